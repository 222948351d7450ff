"""A firewall that stands in a container's own network namespace, put between the container and its networks.

Its rules are those that the launch's scripts set up there (firewall_script.py): they see addresses. Where the graph speaks of
a place by name (the bridge's own address, a sibling, every address of the host), the rules are asked about each address that
the place may have; what they do not all agree on is a missing fact.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scanner.egress import takeover
from scanner.egress.assumptions import Assumed
from scanner.egress.builder import EVERYWHERE
from scanner.egress.docker import networks
from scanner.egress.docker.guard import Guard, Passed
from scanner.egress.docker.resolver import Asked
from scanner.egress.docker.scene import Scene
from scanner.egress.firewall import OUTSIDE, Flow, Outcome, Part, Ruleset
from scanner.egress.firewall.space import EVERY_ADDRESS, NAMES, NAMES_END, Spans, network, spans, without
from scanner.egress.forwarders import permits_of
from scanner.egress.permits import address_range, intersect, ranges_of, simplify, subtract, union
from scanner.egress.scripts.firewall_script import INTERFACE, ScriptFirewall, script_permits
from scanner.egress.scripts.scripted import FIREWALL, GATEWAY, NEIGHBOURS, OWN, RESOLVER
from scanner.model.egress import Permit
from scanner.model.launch import Container, Missing, Network, Script

LINES = 24
"""Lines of a script that get an edge of their own; what more of them accept counts as one."""
_PLACE = "place"
_EMBEDDED = "127.0.0.11"
_BECOMES_ROOT = re.compile(r"\b(?:sudo|doas|su)\b")
_PRIVATE = ranges_of(("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))


# ---- the firewall of a namespace


@dataclass(frozen=True, slots=True)
class Own:
    """The rules that containers set in the network namespace they share. `container` is whose scripts set them.

    `unset`: the rules stand only if these facts hold not. `never`: why no rule of the scripts can ever stand.
    """

    container: Container
    firewall: ScriptFirewall
    unset: tuple[Missing, ...] = ()
    never: str | None = None


def own_firewall(together: Sequence[Container], assumed: Assumed, interface: str = INTERFACE) -> Own | None:
    """What the scripts of containers that share a network namespace set up there; None where none of them does.

    Rules are set by root with NET_ADMIN alone (capabilities(7)); a script of somebody else fails, and nothing stands.
    """
    for container in together:
        scripts = [s for s in container.scripts if not s.on_host]
        given = assumed.get(f"firewall.{container.name}")
        as_given = None if given is None else _assumed(given)
        found = script_permits(scripts, container.name, container.environment, as_given, interface) if scripts else None
        if found is None:
            continue
        if not takeover.holds(takeover.capabilities(container.confinement), "NET_ADMIN"):
            return Own(container, found, never="its container has no NET_ADMIN, without which no rule is set")
        able = [s for s in scripts if s.as_root is not False or _BECOMES_ROOT.search(s.text)]
        if len(able) < len(scripts):
            left = script_permits(able, container.name, container.environment, as_given, interface)
            if left is None:
                return Own(container, found, never="its script runs as a user who is not root and does not become it")
            found = left
        return _doubted(container, found, able, assumed)
    return None


def _doubted(container: Container, found: ScriptFirewall, able: Sequence[Script], assumed: Assumed) -> Own:
    """Where nobody says who runs the script, it sets its rules only if that is root."""
    doubtful = next((s for s in able if s.as_root is None and _sets(s.text) and not _BECOMES_ROOT.search(s.text)), None)
    given = assumed.flag(f"root.{container.name}")
    if doubtful is None or given:
        return Own(container, found)
    if given is False:
        return Own(container, found, never="its script runs as a user who is assumed not to become root")
    why = f"who runs {doubtful.where} in {container.name} stands in the image: not as root it sets no rule"
    return Own(container, found, (Missing(f"root.{container.name}", why, doubtful.origin),))


def _sets(text: str) -> bool:
    return any(name in text for name in FIREWALL)


def _assumed(given: str) -> tuple[Permit, ...]:
    """`all`, `none`, or `HOST[:PORT[-PORT]],…`, by any protocol."""
    return EVERYWHERE if given == "all" else tuple(replace(p, protocol="any") for p in permits_of(given))


def rules_of(scene: Scene, owner: Container) -> "Rules | None":
    """The rules that stand in the namespace of a container; None where none do."""
    together = [c for c in scene.launch.containers if c.name == owner.name or scene.together(c.name, owner.name)]
    attached = scene.attached(owner)
    on_host = owner.network_mode.value == "host"
    interface = OUTSIDE if on_host else INTERFACE if len(attached) < 2 else "eth+"
    own = own_firewall(together, scene.assumed, interface)
    return None if own is None or own.never is not None else Rules(scene, owner, own, interface)


class Rules(Guard):
    """The rules of one namespace."""

    def __init__(self, scene: Scene, owner: Container, own: Own, interface: str) -> None:
        self.scene = scene
        self.owner = owner
        self.own: Own = own
        self.firewall = own.firewall
        self.interface = interface
        self.mark = f"/behind the firewall of {own.container.name}"
        self.given = scene.assumed.get(f"firewall.{own.container.name}") is not None
        self.unread = any("0.0.0.0/0" in p.hosts and p == Permit(p.hosts) for p in own.firewall.perhaps)
        """Some of the script could not be followed: anything may pass, or nothing."""
        self.words = f"the firewall that {own.container.name} sets up in itself"
        late = f"; {own.firewall.window}" if own.firewall.where else ""
        self.dropped = tuple((f"{self.words}: {p.why}{late}", p.place) for p in own.firewall.dropped)
        self._routes = self._default_routes()
        self._beyond: dict[int, Outcome] = {}
        self._placed: dict[tuple[tuple[str, str], ...], Ruleset] = {}

    def _default_routes(self) -> frozenset[str | None]:
        """The networks that may be the one of the default route, whose gateway the script finds."""
        attached = self.scene.attached(self.owner)
        found: set[str | None] = set()
        for some in dict.fromkeys((attached, tuple(a for a in attached if not a.missing))):
            for engine in self.scene.engines:
                links = [(a.attachment, a.network, self.scene.lets(a.network, engine)) for a in some]
                found.add(networks.default_route(links, engine))
        return frozenset(found)

    # ---- addresses beyond

    def onward(self, permit: Permit) -> tuple[Passed, ...]:
        """Each family by its own rules: a name that IPv6 lets pass is none that an IPv4 network reaches."""
        found: list[Passed] = []
        for family in (4, 6):
            hosts = tuple(h for h in permit.hosts if address_range(h) is None or (":" in h) == (family == 6))
            if hosts:
                found += self._onward(replace(permit, hosts=hosts), family)
        return tuple(found)

    def _onward(self, permit: Permit, family: int) -> Iterator[Passed]:
        if family == 6 and self.firewall.ipv6 == "closed" and not self.firewall.assumed:
            return
        whole = "0.0.0.0/0" if family == 4 else "::/0"
        if family not in self._beyond:
            flow = Flow(None, self.interface, (), (whole,), family=family, names=self.firewall.names)
            self._beyond[family] = self.firewall.ruleset.output(flow)
        outcome = self._beyond[family]
        by_rules = () if self.firewall.assumed else _foreign(outcome.accepted)
        accepted = union(by_rules, self.firewall.permits if self.given else ())
        sure = intersect((permit,), accepted)
        parts = (replace(p, permits=_foreign(p.permits)) for p in outcome.accepted_by)
        yield from self._by_line(sure, parts)
        if not self.firewall.missing:
            return
        unclear = [p for part in (*outcome.undecided, *outcome.redirected) for p in _foreign(part.permits)]
        if self.unread:
            unclear.append(Permit((whole,)))  # the script could not be followed
        perhaps = subtract(intersect((permit,), unclear), sure)
        yield from (Passed(p, self.words, self.firewall.origin, self.firewall.missing) for p in perhaps)

    def _by_line(self, sure: tuple[Permit, ...], parts: Iterable[Part]) -> Iterator[Passed]:
        """What surely passes, each part with the line that accepts it; what could not be followed may drop it all the same."""
        doubt = self.firewall.missing if self.unread else ()
        left = sure
        for part in list(parts)[:LINES]:
            mine = intersect(sure, part.permits)
            yield from (Passed(p, f"{self.words}: {part.why}", part.place, doubt) for p in mine)
            left = subtract(left, part.permits)
        yield from (Passed(p, self.words, self.firewall.origin, doubt) for p in left)

    # ---- places that have a name in the graph

    def bridge(self, network: Network, permit: Permit, six: bool = False) -> tuple[Passed, ...]:
        if six:
            addresses = [_second(s, 1) for s in network.subnets if ":" in s] or ["fe80::1"]
            return self._at(permit, [self._ask(a, 6) for a in addresses])
        return self._at(permit, [o for lan in self._lans(network) for o in self._on(network, lan, lan.gateway)])

    def peer(self, there: Container, network: Network, permit: Permit) -> tuple[Passed, ...]:
        attachment = next((a for a in there.attachments if a.network == network.key), None)
        fixed = attachment.ipv4 if attachment is not None else None
        four = [
            o
            for lan in self._lans(network)
            for a in ((fixed,) if fixed else lan.hosts)
            for o in self._on(network, lan, a)
        ]
        found = self._at(permit, four)
        if network.ipv6 is not None and network.ipv6.value:
            said = attachment.ipv6 if attachment is not None else None
            addresses = [said] if said else [_second(s, 2) for s in network.subnets if ":" in s] or ["fd00::2"]
            found = (*found, *self._at(permit, [self._ask(a, 6) for a in addresses]))
        return found

    def loopback(self, permit: Permit) -> tuple[Passed, ...]:
        return self._at(permit, [self._ask("127.0.0.1", 4, interface="lo")])

    def host(self, permit: Permit) -> tuple[Passed, ...]:
        """A block that is too small to be more than other machines' addresses is not taken for the host's."""
        outcome = self._ask("0.0.0.0/0", 4)
        sure = self._as_host(outcome.accepted, permit)
        unclear = [p for part in (*outcome.undecided, *outcome.redirected) for p in part.permits]
        if self.unread:
            unclear.append(Permit(("0.0.0.0/0",)))
        lines = (replace(part, permits=self._as_host(part.permits, permit)) for part in outcome.accepted_by)
        perhaps = subtract(self._as_host(unclear, permit), sure) if self.firewall.missing else ()
        return (
            *self._by_line(sure, lines),
            *(Passed(p, self.words, self.firewall.origin, self.firewall.missing) for p in perhaps),
        )

    def _as_host(self, given: Iterable[Permit], permit: Permit) -> tuple[Permit, ...]:
        """What of a permit for the host is in permits for addresses."""
        found: list[Permit] = []
        for one in given:
            excepts = tuple(e for e in one.excepts if _large((e,)))
            if "0.0.0.0/0" in one.hosts and not excepts:
                hosts = permit.hosts
            else:
                rest = f" but {', '.join(excepts)}" if excepts else ""
                hosts = tuple(f"host at {h}{rest}" for h in one.hosts if _large((h,)))
            if hosts:
                found += intersect((replace(permit, hosts=hosts),), (replace(one, hosts=hosts, excepts=()),))
        return simplify(found)

    def _at(self, permit: Permit, outcomes: Sequence[Outcome]) -> tuple[Passed, ...]:
        """What passes of a permit for a place by name, which has one of the addresses that were asked about."""
        if not outcomes:
            return ()
        accepted = [_shape(o.accepted) for o in outcomes]
        sure = accepted[0]
        for one in accepted[1:]:
            sure = intersect(sure, one)
        unclear = [p for o in outcomes for part in (*o.undecided, *o.redirected) for p in part.permits]
        if self.unread:
            unclear.append(Permit((_PLACE,)))
        possible = union(*accepted, _shape(unclear))
        perhaps = () if self.given else subtract(possible, sure)
        parts = (replace(p, permits=_shape(p.permits)) for p in outcomes[0].accepted_by)
        found = [
            replace(one, permit=passed)
            for one in self._by_line(sure, parts)
            for passed in self._named(one.permit, permit)
        ]
        key = f"firewall.{self.own.container.name}"
        doubt = self.firewall.missing or (
            Missing(key, f"what {self.words} lets through hangs on addresses that are not told", self.firewall.origin),
        )
        found += [
            Passed(p, self.words, self.firewall.origin, doubt) for one in perhaps for p in self._named(one, permit)
        ]
        return tuple(found)

    def _named(self, shape: Permit, permit: Permit) -> tuple[Permit, ...]:
        return intersect((permit,), (replace(shape, hosts=permit.hosts, excepts=()),))

    # ---- names

    def asked(self, one: Asked, kind: str) -> Iterator[tuple[Asked, tuple[Missing, ...]]]:
        ways: list[tuple[Permit, tuple[Missing, ...]]] = [(p, ()) for p in one.permits]
        if kind == "embedded":
            if not self.firewall.resolver_kept:
                if not self.unread:
                    return
                ways = [(p, self.firewall.missing) for p, _ in ways]
            local = [self._ask(_EMBEDDED, 4, {RESOLVER: _EMBEDDED}, interface="lo")]
            ways = [(p.permit, (*m, *p.missing)) for permit, m in ways for p in self._at(permit, local)]
        beyond = list(self._to_nameserver(one, kind))
        if beyond:
            ways = [
                (p.permit, tuple(dict.fromkeys((*m, *p.missing))))
                for permit, m in ways
                for p in self._at(permit, beyond)
            ]
        by_facts: dict[tuple[Missing, ...], list[Permit]] = {}
        for permit, missing in ways:
            by_facts.setdefault(missing, []).append(permit)
        for missing, permits in by_facts.items():
            yield replace(one, permits=simplify(permits)), missing

    def _to_nameserver(self, one: Asked, kind: str) -> Iterator[Outcome]:
        """What becomes of questions that are packets of this namespace; none where somebody else sends them."""
        address = one.to or one.at
        if address is not None:
            family = 6 if ":" in address else 4
            means = {RESOLVER: address if kind == "copied" else _EMBEDDED}
            if one.at is not None and family == 4:
                means |= {GATEWAY: one.at}
            yield self._ask(address, family, means)
        elif one.by is not None:
            there = self.scene.launch.container(one.by)
            for attached in self.scene.attached(self.owner):
                if there is not None and self.scene.is_on(there.name, attached.network):
                    for lan in self._lans(attached.network):
                        yield from (o for a in lan.hosts for o in self._on(attached.network, lan, a))

    # ---- asking the rules

    def _lans(self, network: Network) -> "tuple[_Lan, ...]":
        """The subnets that the network may have: the launch's, the default bridge's own, or where engines choose."""
        four = [s for s in network.subnets if ":" not in s]
        if not four and networks.is_default_bridge(network):
            four = ["172.17.0.0/16"]
        gateways = [g for g in network.gateways if ":" not in g]
        found = (_lan(s, gateways) for s in four or _POOLS)
        return tuple(lan for lan in found if lan is not None)

    def _on(self, network: Network, lan: "_Lan", address: str) -> Iterator[Outcome]:
        """What becomes of packets to an address of one of the own networks: as part of what the script calls the gateway's
        network, where the default route leads through it."""
        if network.key in self._routes:
            yield self._ask(address, 4, {GATEWAY: lan.gateway, NEIGHBOURS: lan.near, RESOLVER: _EMBEDDED})
        if self._routes != {network.key}:
            yield self._ask(address, 4)

    def _ask(
        self, address: str, family: int, means: Mapping[str, str] | None = None, interface: str | None = None
    ) -> Outcome:
        flow = Flow(None, interface or self.interface, (), (address,), family=family)
        key = tuple(sorted((means or {}).items()))
        if key not in self._placed:
            self._placed[key] = _placed(self.firewall.ruleset, self.firewall.names, dict(key))
        outcome = self._placed[key].output(flow)
        if not self.given or interface == "lo":
            return outcome
        more = intersect((Permit((address if "/" in address else _single(address),)),), self.firewall.permits)
        by_rules = () if self.firewall.assumed else outcome.accepted
        return replace(outcome, accepted=union(by_rules, more), undecided=(), redirected=())


# ---- small parts


@dataclass(frozen=True, slots=True)
class _Lan:
    """A subnet: its gateway, the /24 that the gateway is in, and the first and last addresses of others there."""

    gateway: str
    near: str
    hosts: tuple[str, ...]


_POOLS = (*(f"172.{n}.0.0/16" for n in range(17, 32)), *(f"192.168.{n}.0/20" for n in range(0, 256, 16)))
"""Where the engine takes a network from if nobody names one."""


def _lan(subnet: str, gateways: Sequence[str]) -> _Lan | None:
    try:
        whole = ipaddress.IPv4Network(subnet, strict=False)
        gateway = next(
            (g for g in gateways if ipaddress.IPv4Address(g) in whole), str(whole[1 if whole.num_addresses > 2 else 0])
        )
    except ValueError:
        return None
    near = ipaddress.IPv4Network(f"{gateway}/24", strict=False)
    first, last = max(int(whole[0]), int(near[0])), min(int(whole[-1]), int(near[-1]))
    hosts = (str(ipaddress.IPv4Address(min(first + 2, last))), str(ipaddress.IPv4Address(max(last - 1, first))))
    return _Lan(gateway, str(near), tuple(dict.fromkeys(hosts)))


def _second(subnet: str, number: int) -> str:
    """An address of an IPv6 subnet by its number."""
    try:
        return str(ipaddress.IPv6Network(subnet, strict=False)[number])
    except (ValueError, IndexError):
        return "fd00::2"


def _single(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def _large(hosts: Iterable[str]) -> bool:
    """Whether a block is one that a host's own address may be taken to lie in: a private /24 or more, a public /12 or more."""
    for host in hosts:
        block = address_range(host)
        if block is not None:
            size = block[1] - block[0] + 1
            private = any(first <= block[0] and block[1] <= last for first, last in _PRIVATE)
            if size >= 1 << 20 or (private and size >= 1 << 8):
                return True
    return False


def _shape(permits: Iterable[Permit]) -> tuple[Permit, ...]:
    """Protocols and ports alone, for one place."""
    return simplify(Permit((_PLACE,), p.protocol, p.ports, reply=p.reply) for p in permits)


def _foreign(permits: Iterable[Permit]) -> tuple[Permit, ...]:
    """Without the names that stand for the own network: what lies beyond is asked about."""
    kept = (replace(p, hosts=tuple(h for h in p.hosts if h not in OWN)) for p in permits)
    return tuple(p for p in kept if p.hosts)


def _placed(rules: Ruleset, names: Sequence[str], means: Mapping[str, str]) -> Ruleset:
    """The rules with the addresses that the script's own words stand for: a rule about the gateway is one about its address."""
    points = {NAMES + i: network(means[name])[1:] for i, name in enumerate(names) if name in means}
    if not points:
        return rules

    def placed(given: Spans | None) -> Spans | None:
        if given is None or given == EVERY_ADDRESS:
            return given
        # `! -d X` holds all names but X: then it is the address of a name left out that it does not hold
        negated = any(low <= NAMES_END <= high for low, high in given)
        held = [a for point, a in points.items() if any(low <= point <= high for low, high in given)]
        lacked = [a for point, a in points.items() if not any(low <= point <= high for low, high in given)]
        return without(given, spans(lacked)) if negated and lacked else given if negated else spans((*given, *held))

    tables = tuple(
        replace(
            t,
            chains={
                name: replace(c, rules=tuple(replace(r, dst=placed(r.dst)) for r in c.rules))
                for name, c in t.chains.items()
            },
        )
        if t.family == "ip"
        else t
        for t in rules.tables
    )
    return replace(rules, tables=tables)
