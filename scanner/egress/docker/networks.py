"""What a network of the engine lets through, by its driver and options, on one engine.

A bridge network: FORWARD decides what goes beyond the host, INPUT what reaches the host itself, and an engine writes rules
for the first alone. Measured on 20.10.24 and 29; macvlan and ipvlan leave the host's rules aside altogether.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from scanner.egress.builder import EVERYWHERE_IPV4, HOST
from scanner.egress.docker.engines import Engine
from scanner.model.egress import Permit
from scanner.model.launch import Attachment, Default, Missing, Network, Origin, Said

PREFIX = "com.docker.network.bridge."
MASQUERADE = PREFIX + "enable_ip_masquerade"
ICC = PREFIX + "enable_icc"
INHIBIT = PREFIX + "inhibit_ipv4"
MODE_4 = PREFIX + "gateway_mode_ipv4"
MODE_6 = PREFIX + "gateway_mode_ipv6"

DEFAULT_BRIDGE = "bridge"
_BRIDGES = ("bridge", "", "default", "nat")
LANS = ("macvlan", "ipvlan")
LOCAL_POOLS = ("172.16.0.0/12", "192.168.0.0/16")
"""Where the engine takes subnets from if nobody names one."""
_NOT_NATTED = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "168.63.129.16/32",
)


class Peers(StrEnum):
    """What containers of one network reach of each other: everything, published ports alone, nothing."""

    OPEN = "open"
    PUBLISHED = "published"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Lets:
    """What a network gives to a container on it.

    `gateway`: a default route. `onward`: what leaves by it, beyond the host; `near` what of that is on the link itself. `host`: what of the host is on the link itself,
    `routed_host` what is reached of it by the default route. `own_onward`, `own_host`: the same where the container makes its
    own routes (NET_ADMIN). `peers`: what it reaches of others here. `outside`: the resolver counts it as a way out.
    `to_published`: whether ports that other containers publish on the host are reached from here. `enters` what
    containers of other bridge networks reach of those here. `from_host`: whether the host itself reaches them.
    """

    gateway: bool = False
    onward: tuple[Permit, ...] = ()
    near: tuple[Permit, ...] = ()
    host: tuple[Permit, ...] = ()
    routed_host: tuple[Permit, ...] = ()
    own_onward: tuple[Permit, ...] = ()
    own_host: tuple[Permit, ...] = ()
    peers: Peers = Peers.OPEN
    outside: bool = False
    to_published: bool = False
    enters: Peers = Peers.CLOSED
    from_host: bool = False


@dataclass(frozen=True, slots=True)
class Flags:
    """What the engine was started with, as far as it changes what networks let through."""

    icc: bool = True
    iptables: bool = True
    rootless: bool = False
    userland_proxy: bool = True
    ipv6: bool = True


def lets(network: Network, engine: Engine, flags: Flags) -> Lets:
    """What this network lets through on this engine. A driver that is not known is judged by `known`, not here."""
    if network.driver.value in LANS:
        return _lan(network)
    if network.driver.value in _BRIDGES:
        return _bridge(network, engine, flags)
    return Lets(peers=Peers.CLOSED)


def known(network: Network, given: str | None) -> tuple[Network | None, tuple[Missing, ...]]:
    """The network to judge by, with what must hold for it; None if it is assumed to be none at all.

    A network made elsewhere, or of a driver whose traffic this does not know, counts as a plain bridge that may be there.
    """
    if is_default_bridge(network):
        return replace(network, driver=Said("bridge", network.driver.origin), external=False), ()
    foreign = network.driver.value not in (*_BRIDGES, *LANS)
    if network.driver.value in ("none", "null"):
        return None, ()
    if not network.external and not foreign:
        return network, ()
    plain = replace(network, driver=Said("bridge", network.driver.origin), options=() if foreign else network.options)
    if given is not None:
        assumed = Said(given == "internal", Default("an assumption"))
        return (None if given == "none" else replace(plain, internal=assumed)), ()
    what = f"of driver {network.driver.value}" if foreign else "made elsewhere"
    why = f"network {network.key} is {what}: whether it leads out is not written here"
    return plain, (Missing(f"network.{network.key}", why, network.origin),)


def is_default_bridge(network: Network) -> bool:
    """The engine's own bridge, whatever a launch calls it."""
    return network.key == DEFAULT_BRIDGE or (network.external and network.name == DEFAULT_BRIDGE)


def default_bridge(origin: Origin) -> Network:
    """The engine's own bridge, where no launch describes it."""
    return Network(DEFAULT_BRIDGE, Said("bridge", origin), Said(False, Default("docker")), origin, name="bridge")


def default_route(candidates: list[tuple[Attachment, Network, Lets]], engine: Engine) -> str | None:
    """The key of the network that a container's default route leads through: internal ones last, then by priority, by name.

    Libnetwork prefers an endpoint with a gateway in both families to one with a single one.
    """
    routed = [(a, n) for a, n, let in candidates if let.gateway]
    if not routed:
        return None

    def order(one: tuple[Attachment, Network]) -> tuple[bool, int, bool, str]:
        attachment, network = one
        priority = -(attachment.gw_priority or 0) if engine.prefers_gateways else 0
        return network.internal.value, priority, not _has_ipv6(network), network.name or network.key

    return min(routed, key=order)[1].key


def switched(network: Network, name: str, default: bool) -> bool:
    """A boolean option of the bridge driver, as Go's ParseBool reads it."""
    said = network.option(name)
    if said is None:
        return default
    word = said.value.strip()
    if word in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    return False if word in ("0", "f", "F", "false", "FALSE", "False") else default


def mode(network: Network, name: str, engine: Engine) -> str:
    """The gateway mode in force; engines that do not know one fall back to nat."""
    said = network.option(name)
    value = said.value if said is not None and engine.gateway_modes else "nat"
    return "nat" if value in ("isolated", "nat-unprotected") and not engine.isolated_gateways else value or "nat"


def _has_ipv6(network: Network) -> bool:
    return network.ipv6 is not None and network.ipv6.value


def _has_ipv4(network: Network) -> bool:
    return network.ipv4 is None or network.ipv4.value


def _bridge(network: Network, engine: Engine, flags: Flags) -> Lets:
    internal, inhibited = network.internal.value, switched(network, INHIBIT, False)
    masquerades = switched(network, MASQUERADE, True) and flags.iptables
    mode_4, mode_6 = mode(network, MODE_4, engine), mode(network, MODE_6, engine)
    isolated_4, isolated_6 = internal and mode_4 == "isolated", internal and mode_6 == "isolated"
    four, six = _has_ipv4(network) or not engine.ipv4_can_be_off, _has_ipv6(network)
    drops = internal and flags.iptables

    addressed = four and not inhibited and not isolated_4 and (not internal or engine.internal_has_address)
    routed = not internal or engine.internal_is_routed

    leaves_4 = (
        (Permit(("0.0.0.0/0",), reply=masquerades and mode_4 in ("nat", "nat-unprotected")),)
        if four and not drops
        else ()
    )
    natted_6 = masquerades and engine.ip6tables and mode_6 in ("nat", "nat-unprotected")
    filtered_6 = internal and flags.iptables and engine.ip6tables
    leaves_6 = (Permit(("::/0",), reply=natted_6),) if six and flags.ipv6 and not filtered_6 else ()

    host_6 = (Permit((f"host at the IPv6 address of {network.key}'s bridge",)),) if six and not isolated_6 else ()
    if engine.leaves_ipv6_on and not six:
        host_6 = (Permit((f"host at the link-local IPv6 address of {network.key}'s bridge",)),)
    host_4 = (Permit((f"host at the address of {network.key}'s bridge",)),) if addressed else ()
    if flags.rootless:
        host_4 = host_6 = ()

    one_way = four and (inhibited or isolated_4)
    icc = switched(network, ICC, True) and (flags.icc or DEFAULT_BRIDGE not in (network.key, network.name))
    unprotected = engine.isolated_gateways and not internal and mode_4 == "nat-unprotected"
    opened = engine.gateway_modes and not internal and mode_4 == "routed"
    return Lets(
        gateway=routed and not isolated_4,
        onward=(*(() if inhibited else leaves_4), *leaves_6) if routed else (),
        host=(*host_4, *host_6),
        routed_host=HOST if routed and addressed and not (flags.rootless and internal) else (),
        own_onward=(*((_one_way(leaves_4)) if inhibited else leaves_4), *leaves_6),
        own_host=() if flags.rootless and internal else HOST if addressed else _one_way(HOST) if one_way else (),
        peers=Peers.OPEN if icc or not flags.iptables else Peers.PUBLISHED,
        outside=not internal,
        to_published=not internal and addressed and (flags.userland_proxy or engine.filters_per_port),
        enters=Peers.OPEN if unprotected or not flags.iptables else Peers.PUBLISHED if opened else Peers.CLOSED,
        from_host=addressed,
    )


def _one_way(permits: tuple[Permit, ...]) -> tuple[Permit, ...]:
    return tuple(replace(p, reply=False) for p in permits)


def _lan(network: Network) -> Lets:
    """macvlan and ipvlan: children of a parent interface, whose LAN they share; without one they are among themselves."""
    parent = network.option("parent")
    private = any(
        said is not None and said.value in ("private", "passthru")
        for said in (network.option("macvlan_mode"), network.option("mode"))
    )
    peers = Peers.CLOSED if private else Peers.OPEN
    if parent is None or not parent.value or parent.value.startswith("dm-"):
        return Lets(peers=peers)
    layer_3 = any(
        said is not None and said.value in ("l3", "l3s") for said in (network.option("ipvlan_mode"), network.option("mode"))
    ) and network.driver.value == "ipvlan"  # fmt: skip
    own = Permit(network.subnets or LOCAL_POOLS, reply=not layer_3)
    beyond = (
        own,
        Permit(("0.0.0.0/0",), excepts=_NOT_NATTED, reply=not layer_3),
        Permit(_NOT_NATTED, reply=False),
    )
    if network.internal.value:
        return Lets(near=(own,), own_onward=EVERYWHERE_IPV4, peers=peers)
    return Lets(gateway=True, onward=beyond, near=(own,), own_onward=beyond, peers=peers, outside=True)
