"""Docker's semantics: from a container of a launch to the graph of what it reaches.

A network is two nodes: `network:K`, its link (the neighbours, the bridge's own address), and `network:K/gateway`, what lies
behind the default route through it. What is true of a network is drawn once, whoever is on it: the sandbox, or a sibling
that passes its traffic on. Where engines differ and nobody said which one it is, the edge carries that fact.
"""

import ipaddress
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from scanner.egress import networks, siblings, takeover
from scanner.egress.assumptions import Assumed
from scanner.egress.builder import ENGINE, EVERYWHERE, HOST, Builder, to
from scanner.egress.engines import Engine, possible, told_apart
from scanner.egress.firewall import Ruleset
from scanner.egress.networks import Flags, Lets, Peers
from scanner.egress.permits import intersect
from scanner.egress.resolver import Asked, Link, asked, resolver
from scanner.model.egress import Action, Destination, Graph, Mode, Permit
from scanner.model.evidence import Json
from scanner.model.launch import Attachment, Container, Launch, Missing, Network, Origin, Published, Said

T = TypeVar("T", bound=Hashable)

ADDRESSED = (Destination.INTERNET, Destination.PRIVATE, Destination.METADATA)
_QUESTIONS = (Permit(("0.0.0.0/0", "::/0"), "udp", ((53, 53),)), Permit(("0.0.0.0/0", "::/0"), "tcp", ((53, 53),)))
Edit = Mapping[str, Json]
HOST_NAMES = frozenset(("host.docker.internal", "gateway.docker.internal", "host.containers.internal", "localhost"))


def container_graph(launch: Launch, container: Container, assumed: Assumed, ruleset: Ruleset | None = None) -> Graph:
    """What one container of the launch reaches, and by which steps."""
    drawing = _Drawing(launch, container, assumed, ruleset)
    drawing.draw()
    return drawing.builder.graph()


@dataclass(frozen=True, slots=True)
class _Attached:
    """A network that a container is on, as it is judged, with what must hold for it to be so."""

    index: int
    attachment: Attachment
    network: Network
    missing: tuple[Missing, ...]


class _Drawing:
    """One graph while it is drawn."""

    def __init__(self, launch: Launch, container: Container, assumed: Assumed, ruleset: Ruleset | None) -> None:
        self.launch = launch
        self.container = container
        self.assumed = assumed
        self.ruleset = ruleset
        self.engines = possible(assumed)
        self.start = f"container:{container.name}"
        self.builder = Builder(self.start, "container", container.name, container.origin)
        self.siblings = tuple(c.name for c in launch.containers if c.name != container.name)
        for name in self.siblings:
            self.builder.sibling(name)
        self._lets: dict[tuple[str, Engine], Lets] = {}
        self._drawn: set[str] = set()
        self._waiting: list[tuple[str, Container]] = []
        self.flags = Flags(
            icc=assumed.flag("engine.icc") is not False,
            iptables=assumed.flag("engine.iptables") is not False,
            rootless=assumed.flag("engine.rootless") is True,
            userland_proxy=assumed.flag("engine.userland-proxy") is not False,
            ipv6=assumed.flag("host.ipv6") is not False,
        )

    # ---- the whole

    def draw(self) -> None:
        container = self.container
        self._reach(self.start, container)
        self._rights(container)
        self._names(self.start, container)
        self._engine_named(container)
        self._shared(container)
        if container.missing:
            self._unread(container)
        while self._waiting:
            node, sibling = self._waiting.pop()
            self._reach(node, sibling)
            self._names(node, sibling)
        if not any(e.target == to(Destination.ENGINE) for e in self.builder.graph().edges):
            why = f"{container.name} has no engine's socket, no privilege and no mount that gives the host away"
            self.builder.barrier(self.start, to(Destination.ENGINE), why, container.origin)

    def _once(self, what: str) -> bool:
        """Whether this is drawn for the first time."""
        if what in self._drawn:
            return False
        self._drawn.add(what)
        return True

    def lets(self, network: Network, engine: Engine) -> Lets:
        key = (network.key, engine)
        if key not in self._lets:
            self._lets[key] = networks.lets(network, engine, self.flags)
        return self._lets[key]

    def across(self, answer: Callable[[Engine], Iterable[T]]) -> Iterator[tuple[T, tuple[Missing, ...]]]:
        return told_apart(self.engines, answer)

    def where(self, holds: Callable[[Engine], bool]) -> Iterator[tuple[Missing, ...]]:
        """Once, with the facts that it hangs on, if it holds on some engine; not at all if on none."""
        for _, missing in told_apart(self.engines, lambda e: (True,) if holds(e) else ()):
            yield missing

    @cached_property
    def owners(self) -> dict[str, Container | None]:
        return {c.name: siblings.owner(self.launch, c)[0] for c in self.launch.containers}

    @cached_property
    def by_network(self) -> dict[str, list[Container]]:
        """The containers whose network namespace is on a network."""
        found: dict[str, list[Container]] = {}
        for one in self.launch.containers:
            owner = self.owners[one.name]
            for attached in self._attached(owner) if owner is not None else ():
                found.setdefault(attached.network.key, []).append(one)
        return found

    @cached_property
    def on_host(self) -> list[Container]:
        """The containers that live in the host's network namespace."""
        return [
            one
            for one in self.launch.containers
            if (owner := self.owners[one.name]) is not None and owner.network_mode.value == "host"
        ]

    def _attached(self, owner: Container) -> tuple[_Attached, ...]:
        found = []
        if owner.network_mode.value in ("none", "host"):
            return ()
        attachments = owner.attachments
        if not attachments and siblings.on_default_bridge(owner):
            attachments = (Attachment(networks.DEFAULT_BRIDGE, owner.network_mode.origin),)
        for index, attachment in enumerate(attachments):
            network = self.launch.network(attachment.network)
            if network is None and attachment.network == networks.DEFAULT_BRIDGE:
                network = networks.default_bridge(owner.network_mode.origin)
            if network is None:
                origin = attachment.origin
                why = f"network {attachment.network} is not described here"
                network = Network(attachment.network, Said("bridge", origin), Said(False, origin), origin)
                given = self.assumed.get(f"network.{attachment.network}")
                judged, missing = networks.known(replace(network, external=True), given)
                missing = tuple(replace(m, why=why) for m in missing)
            else:
                given = self.assumed.get(f"network.{network.key}") or (
                    self.assumed.get(f"network.{network.name}") if network.name is not None else None
                )
                judged, missing = networks.known(network, given)
            if judged is not None:
                found.append(_Attached(index, attachment, judged, (*missing, *_of_network(network))))
        return tuple(found)

    # ---- where a network namespace leads

    def _reach(self, node: str, container: Container) -> None:
        """The networks of a container's namespace, from `node` on."""
        owner, missing = siblings.owner(self.launch, container)
        if owner is None:
            self._anywhere(node, "network", missing[0].why, missing)
            return
        if owner.network_mode.value == "host":
            self._host(node, container, owner)
            return
        attached = self._attached(owner)
        if not attached:
            self._nowhere(node, owner)
        for one in attached:
            network = self._network(one.network)
            self.builder.edge(
                node,
                network,
                "attached",
                f"{owner.name} is on network {one.network.key}",
                origin=one.attachment.origin,
                actions=self._detaching(container, owner, one),
                missing=one.missing,
            )
            self._link(one.network)
        known = [a for a in attached if not a.missing]
        for one in attached:
            for differing in self.where(lambda e, one=one: self._routes(one, known, e)):  # type: ignore[misc]
                gateway = self._gateway(one.network)
                self.builder.edge(
                    node,
                    gateway,
                    "default-route",
                    f"the default route of {owner.name} leads through {one.network.key}",
                    origin=one.attachment.origin,
                    actions=(*self._detaching(container, owner, one), *self._without_route(one.network)),
                    missing=(*one.missing, *differing),
                )
        for name in self._neighbours(owner):
            self._sibling(node, name, "localhost", f"{name} shares the network namespace of {owner.name}: localhost")

    def _routes(self, one: _Attached, known: Sequence[_Attached], engine: Engine) -> bool:
        """Whether the network has the default route; one that may not be there is taken for it too."""
        if one.missing:
            return self.lets(one.network, engine).gateway
        candidates = [(a.attachment, a.network, self.lets(a.network, engine)) for a in known]
        return networks.default_route(candidates, engine) == one.network.key

    def _neighbours(self, owner: Container) -> Iterator[str]:
        """Other containers of the same network namespace."""
        for one in self.launch.containers:
            theirs = self.owners[one.name]
            if theirs is not None and theirs.name == owner.name and one.name != self.container.name:
                yield one.name

    def _nowhere(self, node: str, owner: Container) -> None:
        mode = owner.network_mode
        why = f"{owner.name} has no network" + (": network_mode none" if mode.value == "none" else "")
        for destination in (*ADDRESSED, Destination.HOST, Destination.DNS, Destination.SIBLINGS):
            self.builder.barrier(node, to(destination), why, mode.origin)

    def _anywhere(self, node: str, kind: str, why: str, missing: tuple[Missing, ...]) -> None:
        """Everything, if a fact holds."""
        unknown = self.builder.node(f"unknown:{missing[0].key}", "unknown", why, missing[0].origin)
        self.builder.edge(node, unknown, kind, why, origin=missing[0].origin, missing=missing)
        for destination in ADDRESSED:
            self.builder.edge(unknown, to(destination), kind, why, permits=EVERYWHERE)
        self.builder.edge(unknown, to(Destination.HOST), kind, why, permits=HOST)
        self.builder.edge(unknown, to(Destination.ENGINE), kind, why, permits=ENGINE)
        self.builder.edge(unknown, to(Destination.DNS), kind, why, permits=(Permit(("names",)),))
        if self.siblings:
            self.builder.edge(unknown, to(Destination.SIBLINGS), kind, why, permits=(Permit(self.siblings),))

    def _unread(self, container: Container) -> None:
        """What the launch leaves open about the container may be whatever opens it."""
        for missing in container.missing:
            self._anywhere(self.start, "left-open", missing.why, (missing,))

    # ---- the host's own network

    def _host(self, node: str, container: Container, owner: Container) -> None:
        host = self.builder.node("network:host", "network", "the host's network", owner.network_mode.origin)
        why = f"{owner.name} lives in the host's network"
        mode = owner.network_mode
        closing = (self._without_network(container),)
        self.builder.edge(node, host, "host-network", why, origin=mode.origin, actions=closing)
        if not self._once(host):
            return
        for destination in ADDRESSED:
            self._onward(host, destination, EVERYWHERE, why, mode.origin)
        self.builder.edge(host, to(Destination.HOST), "host-network", why, origin=mode.origin, permits=HOST)
        self._nameservers(host, EVERYWHERE, mode.origin)
        self._engine_port(host, why)
        for name in self.siblings:
            owner_of = self.owners[name]
            if owner_of is None:
                continue
            if owner_of.network_mode.value == "host":
                self._sibling(host, name, "localhost", f"{name} lives in the host's network too")
                continue
            for one in self._attached(owner_of):
                for missing in self.where(lambda e, n=one.network: self.lets(n, e).from_host):  # type: ignore[misc]
                    why = f"the host has an address on network {one.network.key}, where {name} is"
                    self._sibling(host, name, "host-network", why, missing=(*one.missing, *missing))
            self._published(host, name, (), "the host forwards it")

    # ---- a network's link

    def _network(self, network: Network) -> str:
        words = f"network {network.key}"
        return self.builder.node(f"network:{network.key}", "network", words, network.origin)

    def _link(self, network: Network) -> None:
        """What is on the link itself: the bridge's address, the neighbours."""
        node = self._network(network)
        if not self._once(node):
            return
        for permit, missing in self.across(lambda e: self.lets(network, e).host):
            why = (
                f"the host's own address on {network.key}: what reaches it goes by INPUT, where the engine has no rules"
            )
            self.builder.edge(
                node, to(Destination.HOST), "bridge-address", why, origin=network.origin, permits=(permit,),
                actions=self._isolating(network), missing=missing,
            )  # fmt: skip
        for permit, missing in self.across(lambda e: self.lets(network, e).near):
            why = f"neighbours on the LAN of {network.key}'s parent interface"
            for destination in ADDRESSED:
                self._onward(node, destination, (permit,), why, network.origin, missing=missing)
            self._nameservers(node, (permit,), network.origin, missing=missing)
        for missing in self.where(lambda e: bool(self.lets(network, e).host)):
            self._on_host(node, f"the bridge's address of {network.key}", missing)
        for peers, missing in self.across(lambda e: (self.lets(network, e).peers,)):
            self._peers(node, network, peers, missing)
        self._link_barriers(node, network)

    def _peers(self, node: str, network: Network, peers: Peers, missing: tuple[Missing, ...]) -> None:
        for one in self.by_network.get(network.key, ()):
            if one.name == self.container.name or self.owners[one.name] is self.owners[self.container.name]:
                continue
            held = self._membership(one, network)
            if peers is Peers.OPEN:
                why = f"{one.name} is on network {network.key} too"
                actions = (*self._leaving(one, network), *self._apart(network))
                self._sibling(node, one.name, "peer", why, actions=actions, missing=(*missing, *held))
                continue
            said = networks.option(network, networks.ICC)
            origin = said.origin if said is not None else network.origin
            why = f"containers of {network.key} are kept apart (icc is off)"
            self.builder.barrier(node, f"container:{one.name}", why, origin)
            if peers is Peers.PUBLISHED:
                self._linked(network, one, (*missing, *held))
                link = self.lets(network, self.engines[0])
                if link.host:
                    self._published(node, one.name, missing, f"the host forwards it, also for {network.key} itself")

    def _linked(self, network: Network, other: Container, missing: tuple[Missing, ...]) -> None:
        """A legacy link lets the exposed ports of the other through."""
        link = siblings.linked(self.container, other)
        if link is None or network.key != networks.DEFAULT_BRIDGE or self.container.network_mode.value != "bridge":
            return
        why = f"the link to {other.name} lets its exposed ports through"
        if siblings.exposes(other):
            self._sibling(self.start, other.name, "link", why, origin=link.origin, missing=missing)
        else:
            permits = (Permit((other.name,), "tcp"),)
            self.builder.edge(
                self.start, to(Destination.SIBLINGS), "link", why, origin=link.origin, permits=permits, missing=missing
            )

    def _membership(self, container: Container, network: Network) -> tuple[Missing, ...]:
        owner = self.owners[container.name]
        found = next((a for a in self._attached(owner) if a.network.key == network.key), None) if owner else None
        return found.missing if found is not None else ()

    def _on_host(self, node: str, words: str, missing: tuple[Missing, ...]) -> None:
        """What listens on the host itself, once an address of it is reached."""
        for one in self.on_host:
            if one.name != self.container.name:
                why = f"{one.name} lives in the host's network and is reached at {words}"
                self._sibling(node, one.name, "host-service", why, missing=missing, origin=one.network_mode.origin)
        self._engine_port(node, words, missing)

    def _engine_port(self, node: str, words: str, missing: tuple[Missing, ...] = ()) -> None:
        port = self.assumed.get("engine.tcp")
        if port in (None, "none"):
            return
        takeover.taken(self.builder, "engine", self.siblings)
        why = f"the engine listens on TCP {port} of the host for anybody ({words})"
        self.builder.edge(node, "engine", "engine-port", why, mode=Mode.PIVOT, missing=missing, needs=(f"tcp {port}",))

    # ---- behind a default route

    def _gateway(self, network: Network) -> str:
        node = f"{self._network(network)}/gateway"
        self.builder.node(node, "gateway", f"the default route through {network.key}", network.origin)
        if not self._once(node):
            return node
        internal = self._making_internal(network)
        forwarded = self._words(network)
        for permit, missing in self.across(lambda e: self.lets(network, e).onward):
            for destination in ADDRESSED:
                self._onward(node, destination, (permit,), forwarded, network.origin, internal, missing)
            self._nameservers(node, (permit,), network.origin, internal, missing)
        unrouted = internal if all(not e.internal_is_routed for e in self.engines) else ()
        for permit, missing in self.across(lambda e: self.lets(network, e).routed_host):
            why = f"every address of the host, by the default route of {network.key}: INPUT, where the engine has no rules"
            self.builder.edge(
                node, to(Destination.HOST), "host-address", why, origin=network.origin, permits=(permit,),
                actions=unrouted, missing=missing,
            )  # fmt: skip
        for missing in self.where(lambda e: bool(self.lets(network, e).routed_host)):
            self._on_host(node, "the host's addresses", missing)
        for name in self.siblings:
            if not self._is_on(name, network):
                for missing in self.where(lambda e: self.lets(network, e).to_published):
                    self._published(node, name, missing, f"{network.key} reaches what the host forwards")
                self._entered(node, name, network)
        return node

    def _entered(self, node: str, name: str, network: Network) -> None:
        """Another network's container, where that network lets others in."""
        owner = self.owners[name]
        if owner is None:
            return
        for one in self._attached(owner):

            def enters(engine: Engine, theirs: Network = one.network) -> tuple[Peers, ...]:
                out = self.lets(network, engine)
                return (self.lets(theirs, engine).enters,) if out.onward and not network.internal.value else ()

            for how, missing in self.across(enters):
                why = f"network {one.network.key} lets other networks in"
                held = (*one.missing, *missing)
                if how is Peers.OPEN:
                    self._sibling(node, name, "routed", why, missing=held)
                elif how is Peers.PUBLISHED:
                    self._published(node, name, held, why)

    def _is_on(self, name: str, network: Network) -> bool:
        return any(one.name == name for one in self.by_network.get(network.key, ()))

    def _words(self, network: Network) -> str:
        if not networks.switched(network, networks.MASQUERADE, True):
            return f"{network.key} is forwarded without masquerading: packets leave with the container's own address"
        said = network.option(networks.MODE_4)
        if said is not None and said.value == "routed":
            return f"{network.key} is routed: packets leave with the container's own address"
        return f"{network.key} is forwarded and masqueraded"

    def _onward(
        self,
        node: str,
        destination: Destination,
        permits: Sequence[Permit],
        why: str,
        origin: Origin,
        actions: Sequence[str] = (),
        missing: tuple[Missing, ...] = (),
    ) -> None:
        if destination is Destination.METADATA and self.assumed.flag("host.metadata") is False:
            self.builder.barrier(node, to(destination), "no metadata service answers there")
            return
        self.builder.edge(
            node, to(destination), "forwarded", why, origin=origin, permits=permits, actions=actions, missing=missing
        )

    def _nameservers(
        self,
        node: str,
        permits: Sequence[Permit],
        origin: Origin,
        actions: Sequence[str] = (),
        missing: tuple[Missing, ...] = (),
    ) -> None:
        """Nameservers out there that are asked directly, whatever is configured."""
        asking = intersect(tuple(permits), _QUESTIONS)
        if asking:
            part = (
                Permit(("any nameserver that is reached",), "any", ((53, 53),), reply=any(p.reply for p in asking)),
            )
            why = "port 53 is reached outside, so that any nameserver there can be asked"
            self.builder.edge(
                node,
                to(Destination.DNS),
                "nameserver",
                why,
                origin=origin,
                permits=part,
                actions=actions,
                missing=missing,
            )

    # ---- siblings

    def _sibling(
        self,
        node: str,
        name: str,
        kind: str,
        why: str,
        *,
        origin: Origin | None = None,
        actions: Sequence[str] = (),
        missing: tuple[Missing, ...] = (),
    ) -> None:
        """A sibling that is reached whole, from `node`."""
        there = self.launch.container(name)
        assert there is not None
        if there.name == self.container.name:
            return
        id = self.builder.node(f"container:{there.name}", "container", there.name, there.origin)
        self.builder.edge(node, id, kind, why, origin=origin or there.origin, actions=actions, missing=missing)
        if self._once(id):
            reached = f"services of {there.name}"
            self.builder.edge(id, to(Destination.SIBLINGS), "service", reached, permits=(Permit((there.name,)),))
            self._passing_on(id, there)
            self._serving(id, there, None)

    def _published(self, node: str, name: str, missing: tuple[Missing, ...], why: str) -> None:
        """A sibling's ports that the host forwards."""
        there = self.launch.container(name)
        owner = self.owners.get(name)
        if there is None or owner is None or there.name == self.container.name:
            return
        for index, port in siblings.reachable_ports(there):
            if not any(self.lets(a.network, self.engines[0]).from_host for a in self._attached(owner)):
                continue
            if all(a.network.internal.value for a in self._attached(owner)):
                continue  # nothing is forwarded to a container that is on internal networks alone
            self._published_port(node, there, index, port, missing, why)

    def _published_port(
        self, node: str, there: Container, index: int, port: Published, missing: tuple[Missing, ...], why: str
    ) -> None:
        id = self.builder.node(f"published:{there.name}", "published", f"{there.name}'s published ports", port.origin)
        number = port.host_port
        ports = ((number, number),) if number else ((32768, 60999),)
        words = f"port {number or 'of the host, any'} of the host is {there.name}'s {port.port}: {why}"
        edit: Edit = {"op": "remove", "object": f"container:{there.name}", "field": "published", "index": index}
        unpublish = self.builder.action(
            f"container:{there.name}/published/{index}", f"do not publish port {port.port} of {there.name}", 1,
            port.origin, edit, f"who calls {there.name} from outside",
        )  # fmt: skip
        alone = (unpublish,) if len(there.published) == 1 else ()
        self.builder.edge(node, id, "published-port", words, origin=port.origin, actions=alone, missing=missing)
        part = (Permit((there.name,), port.protocol, ports),)
        self.builder.edge(
            id, to(Destination.SIBLINGS), "service", words, origin=port.origin, permits=part, actions=(unpublish,)
        )
        if self._once(id):
            self._passing_on(id, there)
            self._serving(id, there, frozenset(p.port for p in there.published))

    def _passing_on(self, node: str, there: Container) -> None:
        """What a sibling's software passes on of what it is sent."""
        forwarder = self.builder.node(
            f"forwarder:{there.name}", "forwarder", f"what {there.name} passes on", there.origin
        )
        key = f"forwards.{there.name}"
        given = self.assumed.flag(key)
        if given is False:
            self.builder.barrier(node, forwarder, f"{there.name} is assumed to pass nothing on", there.origin)
            return
        why = f"whether the software of {there.name} passes traffic on is not known"
        missing = () if given else (Missing(key, why, there.image.origin if there.image else there.origin),)
        self.builder.edge(node, forwarder, "passes-on", why, mode=Mode.MEDIATED, origin=there.origin, missing=missing)
        if self._once(forwarder):
            self._waiting.append((forwarder, there))
            self._taken_by(forwarder, there)

    def _taken_by(self, forwarder: str, there: Container) -> None:
        """An engine's socket that a sibling holds is reached by whoever it lets through."""
        sockets = [
            way
            for way in takeover.takeovers(
                there.confinement, "docker", self.assumed, name=there.name, object=f"container:{there.name}"
            )
            if way.target == "engine"
        ]
        takeover.draw(self.builder, forwarder, sockets, self.siblings)

    def _serving(self, node: str, there: Container, ports: frozenset[int] | None) -> None:
        """An engine of its own that a sibling offers on TCP, and a certificate for it that both hold."""
        served = siblings.engine_served(there)
        if served is None or (ports is not None and served.port not in ports):
            return
        shared = next(siblings.shared_folders(self.container, there), None)
        if not served.open and shared is None:
            why = f"{served.why}, and {self.container.name} shares no folder with it that could hold one"
            self.builder.barrier(node, to(Destination.ENGINE), why, there.origin)
            return
        why = served.why if served.open or shared is None else f"{served.why}; {shared[0]} is shared and may hold one"
        takeover.taken(self.builder, "engine", self.siblings)
        self.builder.edge(
            node, "engine", "engine-port", why, mode=Mode.PIVOT, origin=there.origin, needs=(f"tcp {served.port}",)
        )

    # ---- names

    def _names(self, node: str, container: Container) -> None:
        """The configured resolver of a container's namespace."""
        owner, _ = siblings.owner(self.launch, container)
        if owner is None:
            return
        kind = resolver(owner)
        if kind is None:
            return
        id = self.builder.node(f"resolver:{owner.name}", "resolver", kind.words, kind.origin)
        self.builder.edge(node, id, "resolver", f"names of {owner.name} go to {kind.words}", origin=kind.origin)
        if not self._once(id):
            return
        attached = self._attached(owner)
        certain = tuple(a for a in attached if not a.missing)
        addresses = tuple(self._addresses(owner))
        actions = (*self._unresolving(owner), *self._internal_for_names(owner, certain, addresses))
        found = False
        for some in dict.fromkeys((certain, attached)):
            doubt = tuple(m for a in some for m in a.missing)
            for one, missing in self.across(lambda e, some=some: self._asked(owner, some, e, addresses)):  # type: ignore[misc]
                found = True
                self._asking(id, owner, one, (*doubt, *missing), actions)
        if not found:
            why = f"{kind.words} has no way to a nameserver outside"
            self.builder.barrier(
                id, to(Destination.DNS), why, container.dns[0].origin if container.dns else kind.origin
            )

    def _asked(
        self, owner: Container, attached: Sequence[_Attached], engine: Engine, addresses: Sequence[tuple[str, str]]
    ) -> Iterator[Asked]:
        links = [Link(a.attachment, a.network, self.lets(a.network, engine)) for a in attached]
        route = networks.default_route([(link.attachment, link.network, link.lets) for link in links], engine)
        yield from asked(owner, links, route, engine, addresses)

    def _asking(
        self, id: str, owner: Container, one: Asked, missing: tuple[Missing, ...], actions: Sequence[str]
    ) -> None:
        if one.by is None:
            reply = all(p.reply for p in one.permits)
            why = f"names that {owner.name} asks for leave" + ("" if reply else ", but no answer comes back")
            origin = owner.dns[0].origin if owner.dns else owner.network_mode.origin
            self.builder.edge(
                id,
                to(Destination.DNS),
                "names",
                why,
                origin=origin,
                permits=one.permits,
                actions=actions,
                missing=missing,
            )
            return
        there = self.launch.container(one.by)
        assert there is not None
        given = self.assumed.flag(f"forwards.{there.name}")
        if given is False:
            return
        why = f"{owner.name} asks {there.name} for names"
        doubt = (
            ()
            if given
            else (Missing(f"forwards.{there.name}", f"{why}; whether it asks on is not known", there.origin),)
        )
        self.builder.edge(
            id, to(Destination.DNS), "names", why, origin=owner.dns[0].origin, permits=one.permits,
            missing=(*missing, *doubt),
        )  # fmt: skip

    def _addresses(self, owner: Container) -> Iterator[tuple[str, str]]:
        """Addresses of other containers on the same networks."""
        own = {a.network for a in owner.attachments}
        for one in self.launch.containers:
            for attachment in one.attachments if one.name != owner.name else ():
                if attachment.network in own:
                    for address in (attachment.ipv4, attachment.ipv6):
                        if address is not None and _is_address(address):
                            yield one.name, str(ipaddress.ip_address(address))

    def _unresolving(self, owner: Container) -> tuple[str, ...]:
        """The edit that gives a container a nameserver that is nobody: its own loopback."""
        if owner.network_mode.value == "host":
            return ()
        object = f"container:{owner.name}"
        title = f"give {owner.name} a resolver that leads nowhere (dns: 127.0.0.1)"
        origin = owner.dns[0].origin if owner.dns else owner.origin
        if owner.dns:
            edit: Edit = {"op": "set", "object": object, "field": "dns", "value": ["127.0.0.1"]}
        else:
            edit = {"op": "add", "object": object, "field": "dns", "value": "127.0.0.1"}
        return (self.builder.action(f"{object}/dns", title, 1, origin, edit, "names outside"),)

    def _internal_for_names(
        self, owner: Container, attached: Sequence[_Attached], addresses: Sequence[tuple[str, str]]
    ) -> Iterator[str]:
        """Networks that close the resolver's way out once they are internal; the model is asked, engine by engine."""
        for one in attached:
            ids = self._making_internal(one.network)
            if not ids:
                continue
            closed = replace(one.network, internal=Said(True, one.network.origin))
            after = [replace(a, network=closed) if a is one else a for a in attached]

            def left(engine: Engine, after: Sequence[_Attached] = after) -> bool:
                links = [Link(a.attachment, a.network, networks.lets(a.network, engine, self.flags)) for a in after]
                route = networks.default_route([(k.attachment, k.network, k.lets) for k in links], engine)
                return any(True for _ in asked(owner, links, route, engine, addresses))

            if not any(left(engine) for engine in self.engines):
                yield from ids

    # ---- rights

    def _rights(self, container: Container) -> None:
        """Ways out of the container itself, and routes of its own making."""
        object = f"container:{container.name}"
        ways = takeover.takeovers(container.confinement, "docker", self.assumed, name=container.name, object=object)
        takeover.draw(self.builder, self.start, ways, self.siblings)
        root = takeover.root_missing(container.confinement, container.name, self.assumed)
        owner = self.owners[container.name]
        held = takeover.capabilities(container.confinement)
        if root is None or owner is None or not takeover.holds(held, "NET_ADMIN"):
            return
        attached = self._attached(owner)
        if not attached:
            return
        adding = [
            c for c in container.confinement.cap_add if c.value.upper().removeprefix("CAP_") in ("NET_ADMIN", "ALL")
        ]
        origin = adding[0].origin if adding else container.origin
        actions = takeover.drop_capability(container.confinement, object, "NET_ADMIN")
        if not adding and container.confinement.privileged is not None:
            origin = container.confinement.privileged.origin
            edit: Edit = {"op": "set", "object": object, "field": "privileged", "value": False}
            actions = (Action(f"{object}/privileged", f"take privileged from {container.name}", 1, origin, edit),)
        for action in actions:
            self.builder.action(action.id, action.title, action.cost, action.origin, action.edit, action.breaks)
        why = f"CAP_NET_ADMIN lets {container.name} make routes of its own"
        routes = self.builder.node(f"routes:{container.name}", "routes", f"routes of {container.name}'s own", origin)
        self.builder.edge(
            self.start, routes, "capability", why, mode=Mode.PIVOT, origin=origin, needs=("root", "CAP_NET_ADMIN"),
            actions=tuple(a.id for a in actions), missing=root,
        )  # fmt: skip
        for one in attached:
            self._own_routes(routes, one)

    def _own_routes(self, routes: str, one: _Attached) -> None:
        network = one.network
        for permit, missing in self.across(lambda e: self.lets(network, e).own_onward):
            why = f"a route of its own through {network.key}"
            for destination in ADDRESSED:
                self._onward(routes, destination, (permit,), why, network.origin, missing=(*one.missing, *missing))
            self._nameservers(routes, (permit,), network.origin, missing=(*one.missing, *missing))
        for permit, missing in self.across(lambda e: self.lets(network, e).own_host):
            held = (*one.missing, *missing)
            why = f"a default route of its own through {network.key} reaches every address of the host"
            self.builder.edge(
                routes, to(Destination.HOST), "own-route", why, origin=network.origin, permits=(permit,), missing=held
            )
            if permit.reply:
                self._on_host(routes, "the host's addresses", held)

    # ---- engines elsewhere, folders in common

    def _engine_named(self, container: Container) -> None:
        """DOCKER_HOST: an engine that the sandbox is told to use."""
        said = next((v for k, v in container.environment if k == "DOCKER_HOST" and v.value), None)
        if said is None or said.value is None or not said.value.startswith(("tcp://", "http://", "https://")):
            return
        address = said.value.partition("://")[2].rstrip("/")
        host = address.rpartition(":")[0] if ":" in address and not address.endswith("]") else address
        host = host.strip("[]").lower()
        why = f"DOCKER_HOST says that an engine is at {address}"
        owner = self.owners[container.name]
        if owner is None:
            return
        there = next((c for c in self.launch.containers if c.name != container.name and host in _called(c)), None)
        if there is not None:
            id = f"container:{there.name}"
            if id in self._drawn and siblings.engine_served(there) is None:
                missing = (Missing(f"forwards.{there.name}", f"{why}; whether it is one is not known", said.origin),)
                self._to_engine(id, why, said.origin, () if self.assumed.flag(f"forwards.{there.name}") else missing)
            return
        on_host = host in HOST_NAMES or host == "172.17.0.1" or any(n == host for n, _ in container.extra_hosts)
        for one in self._attached(owner):
            gateway = f"network:{one.network.key}/gateway"
            if gateway not in self._drawn:
                continue

            def reached(engine: Engine, network: Network = one.network) -> bool:
                let = self.lets(network, engine)
                return bool(let.routed_host if on_host else let.onward)

            for differing in self.where(reached):
                self._to_engine(gateway, why, said.origin, differing)
        if owner.network_mode.value == "host":
            self._to_engine("network:host", why, said.origin, ())

    def _to_engine(self, node: str, why: str, origin: Origin, missing: tuple[Missing, ...]) -> None:
        takeover.taken(self.builder, "engine", self.siblings)
        self.builder.edge(node, "engine", "engine-port", why, mode=Mode.PIVOT, origin=origin, missing=missing)

    def _shared(self, container: Container) -> None:
        """A folder in common with a sibling, in which it may listen on a Unix socket."""
        for other in self.launch.containers:
            if other.name == container.name:
                continue

    # ---- edits

    def _detaching(self, container: Container, owner: Container, one: _Attached) -> tuple[str, ...]:
        """What takes a container off a network."""
        actions = [self._without_network(container)]
        if owner.attachments and owner.network_mode.value == "networks" and isinstance_place(one.attachment.origin):
            actions.append(self._leave(owner, one.index, one.network.key, one.attachment.origin))
        return tuple(actions)

    def _leaving(self, container: Container, network: Network) -> tuple[str, ...]:
        index = siblings.at(container, network.key)
        if index is None or container.network_mode.value != "networks":
            return ()
        origin = container.attachments[index].origin
        return (self._leave(container, index, network.key, origin),) if isinstance_place(origin) else ()

    def _leave(self, container: Container, index: int, network: str, origin: Origin) -> str:
        object = f"container:{container.name}"
        edit: Edit = {"op": "remove", "object": object, "field": "attachments", "index": index}
        breaks = f"what {container.name} does on {network}"
        return self.builder.action(
            f"{object}/attachments/{index}", f"take {container.name} off network {network}", 2, origin, edit, breaks
        )

    def _without_network(self, container: Container) -> str:
        object = f"container:{container.name}"
        edit: Edit = {"op": "set", "object": object, "field": "network_mode", "value": "none"}
        origin = container.network_mode.origin
        title = f"give {container.name} no network (network_mode: none)"
        return self.builder.action(
            f"{object}/network_mode", title, 3, origin, edit, f"everything {container.name} calls"
        )

    def _making_internal(self, network: Network) -> tuple[str, ...]:
        if network.internal.value or network.external or self.launch.network(network.key) is None:
            return ()
        if network.key == networks.DEFAULT_BRIDGE and not isinstance_place(network.origin):
            return ()
        object = f"network:{network.key}"
        edit: Edit = {"op": "set", "object": object, "field": "internal", "value": True}
        title = f"make network {network.key} internal"
        origin = network.internal.origin if isinstance_place(network.internal.origin) else network.origin
        return (self.builder.action(f"{object}/internal", title, 1, origin, edit, f"what {network.key} calls outside"),)

    def _without_route(self, network: Network) -> tuple[str, ...]:
        """Making it internal takes the default route away too, where no engine that may run it gives one."""
        return self._making_internal(network) if all(not e.internal_is_routed for e in self.engines) else ()

    def _isolating(self, network: Network) -> tuple[str, ...]:
        """A bridge without an address of the host: internal networks of engines from 28 on."""
        said = network.option(networks.MODE_4)
        alone = network.ipv6 is None or not network.ipv6.value
        if not network.internal.value or not alone or not all(e.isolated_gateways for e in self.engines):
            return ()
        if network.external or self.launch.network(network.key) is None:
            return ()
        object = f"network:{network.key}"
        edit: Edit = {"op": "set", "object": object, "field": networks.MODE_4, "value": "isolated"}
        title = f"give the bridge of {network.key} no address of the host (gateway_mode_ipv4: isolated)"
        origin = said.origin if said is not None else network.origin
        return (self.builder.action(f"{object}/isolated", title, 2, origin, edit, "services of the host"),)

    def _apart(self, network: Network) -> tuple[str, ...]:
        if network.external or self.launch.network(network.key) is None or network.driver.value not in ("bridge", ""):
            return ()
        object = f"network:{network.key}"
        edit: Edit = {"op": "set", "object": object, "field": networks.ICC, "value": "false"}
        title = f"keep containers of {network.key} apart (enable_icc: false)"
        return (
            self.builder.action(f"{object}/icc", title, 3, network.origin, edit, f"all calls within {network.key}"),
        )

    # ---- why not

    def _link_barriers(self, node: str, network: Network) -> None:
        if network.internal.value:
            why = f"network {network.key} is internal: the engine drops what leaves it"
            for destination in ADDRESSED:
                self.builder.barrier(node, to(destination), why, network.internal.origin)
        inhibited = network.option(networks.INHIBIT)
        if inhibited is not None and networks.switched(network, networks.INHIBIT, False):
            why = f"the bridge of {network.key} has no address, so that its default route leads nowhere"
            for destination in (*ADDRESSED, Destination.HOST):
                self.builder.barrier(node, to(destination), why, inhibited.origin)
        mode = network.option(networks.MODE_4)
        if mode is not None and mode.value == "isolated" and network.internal.value:
            why = f"the bridge of {network.key} has no address of the host (gateway_mode_ipv4: isolated)"
            self.builder.barrier(node, to(Destination.HOST), why, mode.origin)
        if network.driver.value in ("macvlan", "ipvlan"):
            why = f"the kernel keeps {network.driver.value} children from the host's own addresses"
            self.builder.barrier(node, to(Destination.HOST), why, network.driver.origin)


def isinstance_place(origin: Origin) -> bool:
    """Whether somebody wrote it."""
    from scanner.model.launch import Place

    return isinstance(origin, Place)


def _of_network(network: Network) -> tuple[Missing, ...]:
    return tuple(network.missing)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _called(container: Container) -> frozenset[str]:
    """The names and addresses that others may call a container by."""
    names = {container.name, container.container_name, container.hostname}
    for attachment in container.attachments:
        names |= {*attachment.aliases, attachment.ipv4, attachment.ipv6}
    return frozenset(name.lower() for name in names if name)
