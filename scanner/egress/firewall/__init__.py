"""The host's firewall as a person gives it (`--ruleset FILE`): what it lets forward, and to the host itself.

For whoever judges a launch on Docker:

    rules = read_ruleset(text, "ruleset.txt")          # ParseError with the line for what is none
    rules.forward(Flow("br-1a2b", OUTSIDE, ("172.18.0.2",), ("0.0.0.0/0",)))   # new connections out, and their answers
    rules.forward(Flow("br-1a2b", "br-1a2b", …))        # siblings on the bridge (bridge netfilter being on)
    rules.input(Flow("br-1a2b", None, ("172.18.0.2",), ("172.18.0.1",)))       # the host's own addresses
    rules.output(Flow(None, "eth0", …))                 # from this network namespace itself

Each gives an Outcome: `accepted` (Permits; `reply` False where no answer comes back), `dropped`, `undecided` and
`redirected` parts, each with the deciding line. What the text does not say is `undecided`: check `rules.speaks(family,
"forward")` first. IPv4 rules say nothing of IPv6, nor the other way round.

Interfaces: give the bridge's name where it is known (`com.docker.network.bridge.name`, `docker0`, `rules.bridge_of(subnet)`
which the engine's own rules tell), `br-+` where it is an ordinary network of unknown name, OUTSIDE for the host's way out.

A text may hold the engine's own rules (a dump made while the containers ran: `rules.has_engine`): then its answer is whole.
A text without them (a few rules of a person's) is what the engine's own rules come in addition to: ask `rules.chain(flow,
"DOCKER-USER")`, whose `continued` goes on to the engine's rules. `rules.published` are the ports that the host forwards
(DNAT); whether a sandbox reaches one is `forward(Flow(own bridge, their bridge, …, destination=(their address,),
translated=True))`: PREROUTING's raw drops (engine 29) look at the address before the translation.
Masquerading is read from the nat table (`Flow.masqueraded` None); answers to what leaves unmasqueraded meet the raw drops.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scanner.egress.firewall.evaluate import (
    OUTSIDE,
    Evaluator,
    Flow,
    Outcome,
    Part,
    forward,
    into,
    out_of,
    single,
    undecided,
)
from scanner.egress.firewall.model import Chain, Rule, Table, Test, Verb, listed
from scanner.egress.firewall.space import ALL_V4, ALL_V6, cidrs, network, without
from scanner.errors import LimitError, ParseError
from scanner.model.launch import Place

__all__ = ["OUTSIDE", "Flow", "Outcome", "Part", "PublishedPort", "Ruleset", "read_ruleset"]

_ENGINE = frozenset(("DOCKER", "DOCKER-FORWARD", "DOCKER-ISOLATION-STAGE-1", "DOCKER-CT"))


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A DNAT of the host: what is sent to `host` (None: any of its addresses) at `host_ports` goes to `address`:`port`.

    `not_from` is the interface for which it does not hold (the published container's own bridge).
    """

    family: int
    protocol: str
    host: str | None
    host_ports: tuple[tuple[int, int], ...]
    address: str
    port: int | None
    not_from: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A host's rules. `notes` are (line, words) for what of the text must be told besides."""

    name: str
    tables: tuple[Table, ...]
    bridges: Mapping[str, tuple[str, ...]]
    """The bridges of containers that the rules speak of, with their subnets where they are told."""
    published: tuple[PublishedPort, ...]
    notes: tuple[tuple[int, str], ...] = ()
    whole: bool = False
    """Whether a hook of which nothing stands in it filters nothing (nft lists all it has)."""

    @property
    def has_engine(self) -> bool:
        """Whether the engine's own chains stand in it."""
        return any(_ENGINE & set(t.chains) or t.name == "docker-bridges" for t in self.tables)

    def speaks(self, family: int, hook: str = "forward") -> bool:
        """Whether it tells what happens at `input`, `forward` or `output`: it holds a chain there, or is a whole listing."""
        return (self.whole and bool(self._of(family))) or any(
            not chain.nat for _, chain in self._evaluator(family).hooks(hook)
        )

    def has_chain(self, name: str, family: int = 4) -> bool:
        return any(name in t.chains for t in self._of(family))

    def bridge_of(self, subnet: str) -> str | None:
        """The bridge of the subnet (or of the network of an address), if the rules tell."""
        try:
            family, low, high = network(subnet)
        except ValueError:
            return None
        for bridge, subnets in self.bridges.items():
            for one in subnets:
                other, first, last = network(one)
                if other == family and first <= low and high <= last:
                    return bridge
        return None

    def forward(self, flow: Flow) -> Outcome:
        """New connections that the host forwards from `in_interface` to `out_interface`, and whether answers come back."""
        if not self.speaks(flow.family, "forward"):
            return undecided(flow, f"{self.name} says nothing of what is forwarded by IPv{flow.family}")
        if flow.in_interface is not None and flow.in_interface == flow.out_interface and self._filters_frames():
            return undecided(flow, f"{self.name} filters frames of bridges, which is not read")
        return self._asked(lambda evaluator: forward(evaluator, flow), flow)

    def input(self, flow: Flow) -> Outcome:
        """Connections to the host's own addresses; what a published port takes away is `redirected`."""
        if not self.speaks(flow.family, "input"):
            return undecided(flow, f"{self.name} says nothing of what reaches the host by IPv{flow.family}")
        return self._asked(lambda evaluator: into(evaluator, flow), flow)

    def output(self, flow: Flow) -> Outcome:
        """Connections that begin in this network namespace itself, out of `out_interface`."""
        if not self.speaks(flow.family, "output"):
            return undecided(flow, f"{self.name} says nothing of what leaves by IPv{flow.family}")
        return self._asked(lambda evaluator: out_of(evaluator, flow), flow)

    def chain(self, flow: Flow, name: str, table: str = "filter") -> Outcome:
        """One chain alone on a forwarded packet's way; what comes back to the caller is `continued`, answers are not looked at.

        Raises KeyError if there is no such chain of the flow's family.
        """
        found = next(t for t in (*self._of(flow.family), None) if t is None or (t.name == table and name in t.chains))
        if found is None:
            raise KeyError(f"no chain {name} of {table}")
        return self._asked(lambda evaluator: single(evaluator, flow, found, found.chains[name]), flow)

    def _asked(self, ask: Callable[[Evaluator], Outcome], flow: Flow) -> Outcome:
        try:
            return ask(self._evaluator(flow.family))
        except LimitError as e:
            return undecided(flow, f"{self.name}: {e}")

    def _of(self, family: int) -> list[Table]:
        return [t for t in self.tables if t.family == ("ip" if family == 4 else "ip6")]

    def _evaluator(self, family: int) -> Evaluator:
        tables = self._of(family)
        marks = any(r.verb is Verb.PASS and r.argument for t in tables for c in t.chains.values() for r in c.rules)
        return Evaluator(tables, family, frozenset(self.bridges), marks)

    def _filters_frames(self) -> bool:
        return any(t.family == "bridge" and t.chains for t in self.tables)


def read_ruleset(text: str, name: str) -> Ruleset:
    """A ruleset from the text of iptables-save and ip6tables-save (one or both, `ipset save` behind them), of `iptables -S`,
    of `nft -j list ruleset` or `nft list ruleset`. `name` is the file's, for places.

    Raises ParseError with the line for what is none of these.
    """
    from scanner.egress.firewall import iptables, nft

    text = text.removeprefix("\ufeff")
    if text.lstrip()[:1] == "{":
        return ruleset(nft.read_json(text, name), name, whole=True)
    if nft.recognises_text(text):
        return ruleset(nft.read_text(text, name), name, whole=True)
    if not iptables.recognises(text):
        raise ParseError(
            f"{name}:1:1: no firewall's rules: what iptables-save, ip6tables-save or nft list ruleset print is read"
        )
    tables, notes = iptables.read(text, name)
    return ruleset(tables, name, notes)


def ruleset(tables: list[Table], name: str, notes: Sequence[tuple[int, str]] = (), *, whole: bool = False) -> Ruleset:
    """Tables that were read, with what their rules tell of bridges and published ports."""
    shorter = tuple(
        replace(t, chains={key: replace(c, rules=tuple(listed(c.rules))) for key, c in t.chains.items()})
        for t in tables
    )
    return Ruleset(name, shorter, _bridges(tables), tuple(_published(tables)), tuple(notes), whole)


def _bridges(tables: list[Table]) -> dict[str, tuple[str, ...]]:
    """Docker's rules name them: `-s SUBNET ! -o BRIDGE -j MASQUERADE`, `! -s SUBNET -o BRIDGE -j DROP`, `-i BRIDGE ! -o BRIDGE`;
    all that stands in a table of the engine's own."""
    found: dict[str, dict[str, None]] = {}
    for table in tables:
        if table.family not in ("ip", "ip6"):
            continue
        family = 4 if table.family == "ip" else 6
        for chain in table.chains.values():
            for rule in chain.rules:
                for name, subnets in _told(rule, chain, table.name == "docker-bridges", family):
                    found.setdefault(name, {}).update(dict.fromkeys(subnets))
    return {name: tuple(subnets) for name, subnets in found.items() if not name.endswith("+") and name != "lo"}


def _told(rule: Rule, chain: Chain, engines: bool, family: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What a rule tells of bridges: (name, subnets)."""
    come, go = _named(rule, "in"), _named(rule, "out")
    if rule.verb is Verb.MASQUERADE and go is not None and go.negated and rule.src is not None and come is None:
        yield go.values[0], cidrs(rule.src, family)
    elif come is not None and go is not None and come.values == go.values:
        yield go.values[0], ()
    elif rule.verb is Verb.DROP and go is not None and not go.negated and chain.name.startswith("DOCKER"):
        subnets = _all_but(rule, family)
        if subnets:
            yield go.values[0], subnets
    elif engines:
        for test in (come, go):
            if test is not None:
                yield test.values[0], ()


def _all_but(rule: Rule, family: int) -> tuple[str, ...]:
    """The subnet of `! -s SUBNET`."""
    if rule.src is None:
        return ()
    left = cidrs(without(ALL_V4 if family == 4 else ALL_V6, rule.src), family)
    return left if len(left) == 1 else ()


def _named(rule: Rule, kind: str) -> Test | None:
    return next((t for t in rule.tests if t.kind == kind and len(t.values) == 1), None)


_TARGET = re.compile(r"([0-9a-fA-F:.]*[0-9a-fA-F]|\[[0-9a-fA-F:.]+\]):(\d{1,5})$")


def _published(tables: list[Table]) -> Iterator[PublishedPort]:
    for table in tables:
        if table.family not in ("ip", "ip6"):
            continue
        family = 4 if table.family == "ip" else 6
        for chain in table.chains.values():
            for rule in chain.rules:
                if rule.verb is not Verb.TRANSLATE or rule.dport is None:
                    continue
                found = _TARGET.search(rule.argument)
                if found is None:
                    continue
                guard = _named(rule, "in")
                host = cidrs(rule.dst, family)[0].partition("/")[0] if rule.dst else None
                yield PublishedPort(
                    family,
                    {1: "tcp", 2: "udp", 4: "sctp"}.get(rule.protocols, "any"),
                    host,
                    rule.dport,
                    found[1].strip("[]"),
                    int(found[2]),
                    guard.values[0] if guard is not None and guard.negated else None,
                    rule.place,
                )
