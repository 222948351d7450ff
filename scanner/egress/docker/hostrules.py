"""The host's firewall as it was given, put between a launch's networks and what they would reach.

Without `--ruleset` the engine's own rules are all there is, and `scanner.egress.docker.networks` knows those. A dump that holds the
engine's chains is the whole answer; a few rules of a person's come in addition, by way of DOCKER-USER and INPUT. What a
text does not speak of (IPv6 in a dump of iptables-save) is left to the engine.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from scanner.egress.docker.networks import DEFAULT_BRIDGE, ICC, LANS, MASQUERADE, PREFIX, switched
from scanner.egress.docker.scene import Scene
from scanner.egress.firewall import OUTSIDE, Flow, Outcome, Part, Ruleset
from scanner.egress.firewall.model import Verb
from scanner.egress.firewall.space import cidrs
from scanner.egress.permits import Ranges, address_range, intersect, ranges_of, simplify, without
from scanner.model.egress import Permit
from scanner.model.launch import Missing, Network, Place

_NAME = PREFIX + "name"
_UNREADABLE = "whatever the ruleset leaves undecided"


@dataclass(frozen=True, slots=True)
class Passing:
    """What passes: each permit with the facts it hangs on; and what does not, with the line that says so."""

    permits: tuple[tuple[Permit, tuple[Missing, ...]], ...]
    dropped: tuple[tuple[str, Place | None], ...] = ()


class HostRules:
    """A ruleset seen from a launch; without one everything passes as the engine lets it."""

    def __init__(self, ruleset: Ruleset | None, scene: Scene) -> None:
        self.ruleset = ruleset
        self.scene = scene
        self._interfaces: dict[str, tuple[str, ...]] = {}

    # ---- which interface a network is

    def interfaces(self, network: Network) -> tuple[str, ...]:
        """The names that the network's bridge may have: one where it is known, `br-+` where the rules name none."""
        if network.key not in self._interfaces:
            self._interfaces[network.key] = self._found(network)
        return self._interfaces[network.key]

    def _found(self, network: Network) -> tuple[str, ...]:
        assert self.ruleset is not None
        said = network.option(_NAME)
        if said is not None and said.value:
            return (said.value,)
        if network.key == DEFAULT_BRIDGE or network.name == "bridge":
            return ("docker0",)
        given = self.scene.assumed.get(f"bridge.{network.key}")
        if given is not None:
            return (given,)
        for subnet in network.subnets:
            found = self.ruleset.bridge_of(subnet)
            if found is not None:
                return (found,)
        named = {s.value for n in self.scene.launch.networks if (s := n.option(_NAME)) is not None}
        others = {
            found
            for n in self.scene.launch.networks
            if n.key != network.key
            for subnet in n.subnets
            if (found := self.ruleset.bridge_of(subnet)) is not None
        }
        free = [b for b in self.ruleset.bridges if b != "docker0" and b not in named and b not in others]
        alike = [b for b in free if self._looks_like(b, network)]
        return tuple(alike or free) or ("br-+",)

    def _looks_like(self, bridge: str, network: Network) -> bool:
        """Whether the engine's own rules for a bridge are those that it writes for such a network."""
        assert self.ruleset is not None
        internal = network.internal.value
        if not self.ruleset.has_engine:
            return True
        if self._looks_internal(bridge) is not internal:
            return False
        if not internal and switched(network, MASQUERADE, True) is not bool(self.ruleset.bridges.get(bridge)):
            return False
        apart = not switched(network, ICC, True)
        return internal or self._looks_apart(bridge) is apart

    def _looks_apart(self, bridge: str) -> bool:
        """Whether the engine's own rules drop what goes from a bridge to itself."""
        assert self.ruleset is not None
        own = {("in", (bridge,), False), ("out", (bridge,), False)}
        return any(
            rule.verb is Verb.DROP and {(t.kind, t.values, t.negated) for t in rule.tests} == own
            for table in self.ruleset.tables
            for name, chain in table.chains.items()
            if name in ("FORWARD", "DOCKER-FORWARD")
            for rule in chain.rules
        )

    def _looks_internal(self, bridge: str) -> bool:
        """Whether the engine's own rules close a bridge to what lies outside."""
        assert self.ruleset is not None
        subnets = self.ruleset.bridges.get(bridge, ())
        flow = Flow(bridge, OUTSIDE, tuple(s for s in subnets if ":" not in s), ("198.18.0.1/32",))
        for chain in ("DOCKER-ISOLATION-STAGE-1", "DOCKER-INTERNAL"):
            if self.ruleset.has_chain(chain):
                return self.ruleset.chain(flow, chain).all_dropped
        return False

    # ---- what passes

    def forwarded(self, network: Network, permit: Permit) -> Passing:
        """What of a permit leaves the host from a network's bridge."""
        if self.ruleset is None or network.driver.value in LANS:
            return Passing(((permit, ()),))
        return self._over(network, lambda bridge: self._forwarded(network, bridge, permit))

    def _forwarded(self, network: Network, bridge: str, permit: Permit) -> Passing:
        return _joined(
            self._outside(Flow(bridge, OUTSIDE, self._sources(network, bridge, family), hosts, permit.protocol, permit.ports, family), permit)
            for family, hosts in _families(permit)
        )  # fmt: skip

    def _outside(self, flow: Flow, permit: Permit) -> Passing:
        assert self.ruleset is not None
        as_it_is = Passing(((_of_family(permit, flow.family), ()),))
        if self.ruleset.has_engine and self.ruleset.speaks(flow.family):
            return self._read(self.ruleset.forward(flow), permit)
        if self.ruleset.has_chain("DOCKER-USER", flow.family):
            outcome = self.ruleset.chain(flow, "DOCKER-USER")
            return self._read(replace(outcome, accepted=(*outcome.accepted, *outcome.continued)), permit)
        return as_it_is

    def from_host(self, permit: Permit) -> Passing:
        """What leaves from the host's own network."""
        if self.ruleset is None:
            return Passing(((permit, ()),))
        found = []
        for family, hosts in _families(permit):
            if self.ruleset.speaks(family, "output"):
                flow = Flow(None, OUTSIDE, (), hosts, permit.protocol, permit.ports, family)
                found.append(self._read(self.ruleset.output(flow), permit))
            else:
                found.append(Passing(((_of_family(permit, family), ()),)))
        return _joined(found)

    def to_host(self, network: Network, permit: Permit, six: bool = False) -> Passing:
        """What of a permit for the host (by its names) passes INPUT from a network's bridge."""
        if self.ruleset is None or not self.ruleset.speaks(6 if six else 4, "input"):
            return Passing(((permit, ()),))
        return self._over(network, lambda bridge: self._to_host(network, bridge, permit, 6 if six else 4))

    def _to_host(self, network: Network, bridge: str, permit: Permit, family: int) -> Passing:
        assert self.ruleset is not None
        whole = "0.0.0.0/0" if family == 4 else "::/0"
        flow = Flow(
            bridge, None, self._sources(network, bridge, family), (whole,), permit.protocol, permit.ports, family
        )
        outcome = self.ruleset.input(flow)
        # what is forwarded to another container was no service of the host's
        kept = replace(outcome, accepted=(*outcome.accepted, *(p for part in outcome.redirected for p in part.permits)))
        read = self._read(replace(kept, redirected=()), replace(permit, hosts=(whole,)))
        found = tuple((self._for_host(p, permit, whole), m) for p, m in read.permits)
        return Passing(found, read.dropped)

    def narrows(self, network: Network) -> bool:
        """Whether something of the host's services does not pass INPUT from a network's bridge."""
        whole = Permit(("host",))
        return self.to_host(network, whole).permits != ((whole, ()),)

    def _for_host(self, found: Permit, permit: Permit, whole: str) -> Permit:
        """A permit over addresses as one over the host's names: every address of the host, or those that are left.

        Addresses of containers, which the engine keeps from being sent to from other bridges, are none of the host's.
        """
        excepts = tuple(e for e in found.excepts if without(ranges_of((e,)), self._containers))
        if found.hosts == (whole,) and not excepts:
            return replace(found, hosts=permit.hosts, excepts=())
        names = tuple(f"host at {h}" for h in found.hosts)
        if excepts:
            names = tuple(f"{name} but {', '.join(excepts)}" for name in names)
        return replace(found, hosts=names, excepts=())

    @cached_property
    def _containers(self) -> Ranges:
        """The containers' addresses, as the raw table of engines from 28 on names them."""
        assert self.ruleset is not None
        found: list[str] = []
        for table in self.ruleset.tables:
            family = 4 if table.family == "ip" else 6
            for chain in table.chains.values() if table.name == "raw" else ():
                for rule in chain.rules:
                    inside = any(t.kind == "in" and t.negated for t in rule.tests)
                    if rule.verb is Verb.DROP and rule.dst is not None and inside:
                        found += cidrs(rule.dst, family)
        return ranges_of(found)

    def between(self, network: Network) -> Passing:
        """What containers of one bridge reach of each other, frames being filtered too."""
        anything = Permit(("0.0.0.0/0",))
        if self.ruleset is None or network.driver.value in LANS:
            return Passing(((anything, ()),))
        if self.scene.assumed.flag("host.br-netfilter") is False:
            return Passing(((anything, ()),))

        def on(bridge: str) -> Passing:
            sources = self._sources(network, bridge, 4)
            return self._outside(Flow(bridge, bridge, sources, sources or ("0.0.0.0/0",)), anything)

        return self._over(network, on)

    def published(self, network: Network, theirs: Network, protocol: str, host_port: int, port: int) -> Passing:
        """Whether a port that another network's container publishes is reached from a network's bridge."""
        anything = Permit(("0.0.0.0/0",), protocol)
        if self.ruleset is None:
            return Passing(((anything, ()),))

        def on(bridge: str) -> Passing:
            assert self.ruleset is not None
            sources = self._sources(network, bridge, 4)
            found = []
            if all(e.filters_per_port for e in self.scene.engines) and network.key != theirs.key:
                for other in self.interfaces(theirs):
                    there = self._sources(theirs, other, 4) or ("0.0.0.0/0",)
                    flow = Flow(bridge, other, sources, there, protocol, ((port, port),), translated=True)
                    found.append(self._outside(flow, anything))
            elif self.ruleset.speaks(4, "input"):
                flow = Flow(bridge, None, sources, ("0.0.0.0/0",), protocol, ((host_port, host_port),))
                outcome = self.ruleset.input(flow)
                found.append(self._read(outcome, anything))
            else:
                found.append(Passing(((anything, ()),)))
            return _joined(found)

        return self._over(network, on)

    # ---- from outcomes

    def _read(self, outcome: Outcome, permit: Permit) -> Passing:
        """What an outcome says of a permit; what it leaves undecided may be accepted."""
        given = self.scene.assumed.get("ruleset.unclear")
        sure = tuple(replace(p, reply=p.reply and permit.reply) for p in outcome.accepted)
        passes: list[tuple[Permit, tuple[Missing, ...]]] = [(p, ()) for p in _less(sure, permit)]
        for part in (*outcome.undecided, *outcome.redirected):
            for p in _less(part.permits, permit):
                reply = replace(p, reply=p.reply and permit.reply)
                if given == "accept":
                    passes.append((reply, ()))
                elif given is None:
                    passes.append((reply, (Missing("ruleset.unclear", part.why or _UNREADABLE, part.place),)))
        return Passing(tuple(passes), tuple(_said(part) for part in outcome.dropped))

    def _over(self, network: Network, answer: Callable[[str], Passing]) -> Passing:
        """The answer for the network's interface; where several may be it, what they do not share hangs on which it is."""
        bridges = self.interfaces(network)
        answers = [answer(bridge) for bridge in bridges]
        if len(answers) == 1:
            return answers[0]
        why = f"which of {', '.join(bridges[:4])} is the bridge of network {network.key}"
        missing = (Missing(f"bridge.{network.key}", why, network.origin),)
        sure = tuple(p for p, m in answers[0].permits if not m)
        for one in answers[1:]:
            sure = intersect(sure, tuple(p for p, m in one.permits if not m))
        perhaps = dict.fromkeys(item for one in answers for item in one.permits if item[0] not in sure)
        permits = (*((p, ()) for p in sure), *((p, (*m, *missing)) for p, m in perhaps))
        return Passing(permits, tuple(dict.fromkeys(d for one in answers for d in one.dropped)))

    def _sources(self, network: Network, bridge: str, family: int) -> tuple[str, ...]:
        assert self.ruleset is not None
        known = network.subnets or self.ruleset.bridges.get(bridge, ())
        return tuple(s for s in known if (":" in s) == (family == 6))


def _families(permit: Permit) -> Iterator[tuple[int, tuple[str, ...]]]:
    for family in (4, 6):
        hosts = tuple(h for h in permit.hosts if address_range(h) is not None and (":" in h) == (family == 6))
        if hosts:
            yield family, hosts


def _of_family(permit: Permit, family: int) -> Permit:
    return replace(permit, hosts=tuple(h for h in permit.hosts if (":" in h) == (family == 6)))


def _less(permits: Sequence[Permit], permit: Permit) -> tuple[Permit, ...]:
    """The permits without what the wider one leaves out."""
    return intersect(permits, (replace(permit, reply=True),)) if permit.excepts else simplify(permits)


def _said(part: Part) -> tuple[str, Place | None]:
    return part.why, part.place


def _joined(parts: Iterable[Passing]) -> Passing:
    found = list(parts)
    return Passing(
        tuple(dict.fromkeys(p for one in found for p in one.permits)),
        tuple(dict.fromkeys(d for one in found for d in one.dropped)),
    )
