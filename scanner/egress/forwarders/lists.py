"""Ordered lists of what a proxy lets through, as they are read by squid, tinyproxy, dante and their like.

A request is asked for a name or an address, a port, and whether it is a tunnel (CONNECT, SOCKS) or a request of HTTP's own.
The first rule that matches decides. Names are told apart by the patterns that stand in the list: one stands for all names
that it matches and no narrower one does; `*` for all others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scanner.egress.firewall.space import (
    EVERY_PORT,
    NAMES,
    Box,
    Budget,
    Region,
    Spans,
    both_regions,
    common,
    meet,
    merged,
    region_without,
    spans,
    without,
)
from scanner.egress.permits import IPV4, IPV6, address_range, simplify, written_ranges
from scanner.model.egress import Permit

TUNNEL, PLAIN = 1, 2
BOTH = TUNNEL | PLAIN
STEPS = 2_000_000


@dataclass(frozen=True, slots=True)
class Hosts:
    """Hosts of one condition: CIDRs, names (`api.example.com`), wildcards (`*.example.com`), `.example.com` for both the
    name and all below it, `*` for all names. `resolved`: names count by the addresses they resolve to."""

    hosts: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class ListRule:
    """All its conditions are anded. `unsure`: whether it is met cannot be told."""

    allow: bool
    hosts: tuple[Hosts, ...] = ()
    ports: Spans | None = None
    ways: int = BOTH
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Allowed:
    """`permits` surely pass, `unclear` may; `tunnels` is what of `permits` passes as any bytes, not as HTTP alone."""

    permits: tuple[Permit, ...]
    unclear: tuple[Permit, ...]
    tunnels: tuple[Permit, ...]


@dataclass(slots=True)
class _Names:
    """The patterns of a list, each with its own number."""

    patterns: list[str] = field(default_factory=lambda: ["*"])

    def add(self, pattern: str) -> None:
        if pattern not in self.patterns and len(self.patterns) < 100_000:
            self.patterns.append(pattern)

    def within(self, pattern: str) -> Spans:
        """The patterns all of whose names this one matches."""
        return spans((NAMES + i, NAMES + i) for i, one in enumerate(self.patterns) if covers(pattern, one))


def covers(wide: str, narrow: str) -> bool:
    """Whether the first pattern surely matches every name of the second."""
    if wide in ("*", narrow):
        return True
    if wide.startswith("."):
        return narrow == wide[1:] or narrow.endswith(wide)
    if "*" not in wide:
        return False
    if narrow.startswith("."):
        return False
    head, *middle, tail = wide.split("*")
    if not (narrow.startswith(head) and narrow.endswith(tail)) or len(narrow) < len(head) + len(tail):
        return False
    at = len(head)
    for part in middle:
        found = narrow.find(part, at)
        if found < 0 or found + len(part) > len(narrow) - len(tail):
            return False
        at = found + len(part)
    return True


def decide(rules: Sequence[ListRule], default: bool) -> Allowed:
    """What the list lets through; `default` is what happens to what no rule names. LimitError if it is too long to follow."""
    names = _Names()
    for rule in rules:
        for condition in rule.hosts:
            for host in condition.hosts:
                if address_range(host) is None:
                    names.add(host.lower().rstrip("."))
    everywhere = spans((*IPV4, *IPV6, (NAMES, NAMES + len(names.patterns) - 1)))
    budget = Budget(STEPS)
    left: Region = (Box(BOTH, everywhere, EVERY_PORT, EVERY_PORT),)
    passed: list[Box] = []
    refused: list[Box] = []
    for rule in rules:
        wanted = Box(rule.ways, _far(rule.hosts, names, everywhere), rule.ports or EVERY_PORT, EVERY_PORT)
        matching = tuple(both for box in left if (both := meet(box, wanted)) is not None)
        budget.spend(1 + len(left))
        if not matching:
            continue
        (passed if rule.allow else refused).extend(matching)
        if not rule.unsure:
            left = region_without(left, matching, budget)
    (passed if default else refused).extend(left)
    some, none = merged(passed), merged(refused)
    sure = region_without(some, none, budget)
    unclear = both_regions(some, none, budget)
    return Allowed(
        _permits(sure, names),
        _permits(unclear, names),
        _permits(tuple(b._replace(protocols=TUNNEL) for b in sure if b.protocols & TUNNEL), names),
    )


def _far(conditions: Iterable[Hosts], names: _Names, everywhere: Spans) -> Spans:
    far = everywhere
    for condition in conditions:
        pairs: list[tuple[int, int]] = []
        for host in condition.hosts:
            one = address_range(host)
            pairs += (one,) if one is not None else names.within(host.lower().rstrip("."))
        found = spans(pairs)
        far = common(far, without(everywhere, found) if condition.negated else found)
    return far


def _permits(region: Region, names: _Names) -> tuple[Permit, ...]:
    found = []
    for box in region:
        ranges = tuple((low, high) for low, high in box.far if low < NAMES)
        hosts, excepts = written_ranges(ranges) if ranges else ((), ())
        named: list[str] = []
        for low, high in box.far:
            for number in range(low - NAMES, high - NAMES + 1) if low >= NAMES else ():
                pattern = names.patterns[number]
                if pattern == "*":
                    # any name is any address that the list does not refuse
                    named += [] if ranges else ["*"]
                elif pattern.startswith("."):
                    named += [pattern[1:], f"*{pattern}"]
                else:
                    named.append(pattern)
        ports = tuple((max(low, 1), high) for low, high in box.far_ports if high)
        if ports and (hosts or named):
            # names stand apart, that no CIDR's exception is read as theirs
            if hosts:
                found.append(Permit(hosts, "tcp", ports, excepts))
            if named and not _whole(ranges):
                found.append(Permit(tuple(named), "tcp", ports))
    return simplify(found)


def _whole(ranges: Spans) -> bool:
    return ranges == spans((*IPV4, *IPV6))
