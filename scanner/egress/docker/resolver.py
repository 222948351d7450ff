"""DNS as a state of its own: who resolves a container's names, and from where it asks.

Networks that a user made have the embedded resolver 127.0.0.11. It asks the upstreams from the container's network
namespace, but those on the host's loopback from the host's: names leave that way although no packet of the container does
(CVE-2024-29018 for internal networks). The default bridge copies the nameservers into the container.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from scanner.egress.builder import NAMES
from scanner.egress.docker.engines import ELSEWHERE, LOOPBACK, Engine
from scanner.egress.docker.networks import DEFAULT_BRIDGE, LOCAL_POOLS, Lets
from scanner.egress.permits import intersect
from scanner.model.egress import Permit
from scanner.model.launch import Attachment, Container, Network, Origin

DOCKER0 = "172.17.0.1"
_PUBLIC = "8.8.8.8"
"""What the engine writes for the default bridge where the host's nameservers are all on its loopback."""
ASKING = tuple(replace(p, ports=((53, 53),)) for p in NAMES)
"""The configured resolver, whole, by the port that it has: what passes on other ports alone does not ask it."""
_ONE_WAY = tuple(replace(p, reply=False) for p in ASKING)


@dataclass(frozen=True, slots=True)
class Link:
    """One network that a container is on, and what it lets through."""

    attachment: Attachment
    network: Network
    lets: Lets


@dataclass(frozen=True, slots=True)
class Asked:
    """One way in which names leave. `by` the container whose software has to pass them on (a resolver among the siblings);
    `to` the nameserver's address and `through` the network, where the question is a packet of the container's own; `at` the
    address of one on the link or of the host."""

    permits: tuple[Permit, ...]
    by: str | None = None
    to: str | None = None
    through: str | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """A container's configured resolver: `kind` in a word, `upstreams` what the launch gives (none: the engine's)."""

    kind: str
    words: str
    origin: Origin


def resolver(container: Container) -> Names | None:
    """Who resolves names; None where there is no network at all."""
    mode = container.network_mode
    if mode.value == "none":
        return None
    if mode.value == "host":
        return Names("host", "the host's own nameservers", mode.origin)
    if mode.value == "bridge":
        return Names("copied", "nameservers copied from the host", mode.origin)
    return Names("embedded", "the engine's embedded resolver 127.0.0.11", mode.origin)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another container on a network; `address` None where the engine chooses it."""

    name: str
    network: str
    address: str | None


def asked(
    container: Container, links: Sequence[Link], route: str | None, engine: Engine, neighbours: Sequence[Neighbour]
) -> Iterator[Asked]:
    """How names leave a container on one engine, `route` being the network of its default route.

    `neighbours` may be nameservers, where an address of theirs is given as one.
    """
    kind = resolver(container)
    if kind is None:
        return
    if kind.kind == "host":
        yield Asked(ASKING)
        return
    given = [d.value for d in container.dns]
    if not given:
        copied = kind.kind == "copied" or all(DEFAULT_BRIDGE in (k.network.key, k.network.name) for k in links)
        if engine.dns == LOOPBACK and not copied:
            outside = any(link.lets.outside and link.lets.gateway for link in links)
            if links and (outside or engine.internal_leaks_names):
                yield Asked(ASKING)
            return
        given = [_PUBLIC if engine.dns in (LOOPBACK, ELSEWHERE) else engine.dns]
    for address in given:
        yield from _from_inside(address, links, route, neighbours)


def _from_inside(
    address: str, links: Sequence[Link], route: str | None, neighbours: Sequence[Neighbour]
) -> Iterator[Asked]:
    """A nameserver that is asked from the container's own namespace."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        yield Asked(_ONE_WAY)  # a name of whatever kind: it may be anything that is reached
        return
    if ip.is_loopback or ip.is_unspecified:
        return
    sibling = next((n.name for n in neighbours if n.address == str(ip)), None)
    if sibling is not None:
        yield Asked(ASKING, sibling)
        return
    for link in links:
        if (_is_gateway(ip, link.network) and link.lets.host) or _within(str(ip), link.lets.near):
            yield Asked(ASKING, at=str(ip))
            return
        if _may_be_on(ip, link.network):
            for neighbour in neighbours:
                if neighbour.network == link.network.key and neighbour.address is None:
                    yield Asked(ASKING, neighbour.name)
    routed = next((link.lets for link in links if link.network.key == route), None)
    if routed is None:
        return
    if str(ip) == DOCKER0 and routed.routed_host:
        yield Asked(ASKING if all(p.reply for p in routed.routed_host) else _ONE_WAY, at=str(ip))
        return
    question = (Permit((f"{ip}/{ip.max_prefixlen}",), "udp", ((53, 53),)),)
    passing = intersect(routed.onward, question)
    if passing:
        yield Asked(ASKING if any(p.reply for p in passing) else _ONE_WAY, to=str(ip), through=route)


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _is_gateway(ip: Address, network: Network) -> bool:
    """Whether an address is the bridge's own: the one that is said, or the first of its subnet."""
    if network.gateways:
        return str(ip) in network.gateways
    return any(ip == subnet.network_address + 1 for subnet in _subnets(network) if subnet.version == ip.version)


def _may_be_on(ip: Address, network: Network) -> bool:
    """Whether a container on the network may have the address: in its subnet, or where engines choose one."""
    within = _subnets(network) or [ipaddress.ip_network(pool) for pool in LOCAL_POOLS]
    return any(ip in subnet for subnet in within if subnet.version == ip.version)


def _subnets(network: Network) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = []
    for subnet in network.subnets:
        try:
            found.append(ipaddress.ip_network(subnet, strict=False))
        except ValueError:
            continue
    return found


def _within(address: str, near: Sequence[Permit]) -> bool:
    return bool(near) and bool(intersect(near, (Permit((address,), "udp", ((53, 53),)),)))
