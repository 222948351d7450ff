"""The algebra of what passes: sets of packets, written as Permits, judged by the regions of the destinations.

A packet is a protocol, an address or a name, and a port. Addresses of both families lie on one line of integers, so that a
set of them is a sorted tuple of ranges; names are points beside the line, because nobody knows here what they resolve to.
Regions: IANA's special-purpose address registries (RFC 6890 and after) and the clouds' own documentation of their
metadata services.
"""

import ipaddress
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from scanner.model.egress import ALL_PORTS, Destination, Permit, Verdict

Ranges = tuple[tuple[int, int], ...]
"""Sorted, disjoint, not adjacent, inclusive."""

SIX = 1 << 33
"""Where IPv6 begins on the line; IPv4 ends well below, so that the families never touch."""
IPV4: Ranges = ((0, (1 << 32) - 1),)
IPV6: Ranges = ((SIX, SIX + (1 << 128) - 1),)
LAST_PORT = 65535
PORTED = ("tcp", "udp", "sctp")
PROTOCOLS = (*PORTED, "icmp", "other")
"""`any` is all of these; protocols of any other name count as `other`."""
_ALIASES = {"icmpv6": "icmp", "icmp6": "icmp", "ipv6-icmp": "icmp"}


# ---- sets of addresses


@lru_cache(65536)
def address_range(text: str) -> tuple[int, int] | None:
    """Where an address or a CIDR (host bits ignored) lies on the line; None of what is neither."""
    if not text or text[-1] not in "0123456789abcdefABCDEF:":
        return None
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    first = int(network.network_address)
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return int(mapped), int(mapped) + network.num_addresses - 1
        first += SIX
    return first, first + network.num_addresses - 1


def ranges_of(texts: Iterable[str]) -> Ranges:
    """The set of the addresses and CIDRs among the texts; names are left out."""
    return _merged(found for found in map(address_range, texts) if found is not None)


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            if last > result[-1][1]:
                result[-1] = (result[-1][0], last)
        else:
            result.append((first, last))
    return tuple(result)


def joined(a: Ranges, b: Ranges) -> Ranges:
    return a if a == b or not b else b if not a else _merged((*a, *b))


def common(a: Ranges, b: Ranges) -> Ranges:
    result = []
    i = j = 0
    while i < len(a) and j < len(b):
        first, last = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if first <= last:
            result.append((first, last))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return tuple(result)


def without(a: Ranges, b: Ranges) -> Ranges:
    result = []
    j = 0
    for start, last in a:
        first = start
        while j < len(b) and b[j][1] < first:
            j += 1
        k = j
        while k < len(b) and b[k][0] <= last:
            if b[k][0] > first:
                result.append((first, b[k][0] - 1))
            first = max(first, b[k][1] + 1)
            k += 1
        if first <= last:
            result.append((first, last))
    return tuple(result)


# ---- regions of the destinations

_METADATA_4 = (
    "169.254.169.254",  # AWS, Google, Azure, Oracle, DigitalOcean, …
    "169.254.170.2",  # AWS: credentials of ECS tasks
    "169.254.169.253",  # AWS: the resolver of the VPC
    "168.63.129.16",  # Azure: wire server and resolver
    "100.100.100.200",  # Alibaba
    "100.96.0.96",  # Volcano Engine
    "100.80.80.80",
)
_METADATA_6 = ("fd00:ec2::254", "fd20:ce::254")
METADATA = ranges_of((*_METADATA_4, *_METADATA_6))
_PRIVATE_BLOCKS = ranges_of(("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
PRIVATE = without(_PRIVATE_BLOCKS, METADATA)
_NEVER_FORWARDED = ranges_of(
    ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255", "2001:db8::/128")
)
WIDE = without(
    joined(IPV4, ranges_of(("2000::/3", "64:ff9b::/96"))), joined(joined(METADATA, PRIVATE), _NEVER_FORWARDED)
)
"""Whatever might leave as Internet traffic: what reaches only a documentation network is not closed."""
CORE = without(
    common(WIDE, IPV4),
    ranges_of(
        (
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
        )
    ),
)
"""What is globally reachable on IPv4: what leaves out no more than documentation networks is open."""

REGIONS: dict[Destination, tuple[Ranges, Ranges]] = {
    Destination.INTERNET: (CORE, WIDE),
    Destination.PRIVATE: (common(PRIVATE, IPV4), PRIVATE),
    Destination.METADATA: (common(METADATA, IPV4), METADATA),
}
"""Of each destination that is a region of addresses: what has to pass for it to be open, and what counts as a part of it."""

_METADATA_NAMES = (
    "metadata.google.internal",
    "metadata.goog",
    "metadata",
    "instance-data",
    "instance-data.ec2.internal",
)
_CONVENTIONS = frozenset(("host", "engine", "names"))
"""Names of the graph's own (scanner/egress/builder.py): they are no part of a region, and no address tells them apart."""
_LOCAL = re.compile(
    r"[^.]*|.*\.(?:local|localhost|localdomain|internal|intranet|private|corp|lan|home|home\.arpa|svc)\.?",
    re.IGNORECASE,
)


@lru_cache(65536)
def _regions_of_name(name: str) -> frozenset[Destination]:
    """Where a name may lie. A name of the public DNS is Internet, `*` anything, a short or reserved one is private."""
    if not name.strip("*.") or name in _CONVENTIONS:
        return frozenset(REGIONS)
    found = {Destination.METADATA for known in _METADATA_NAMES if _overlap(name, known)}
    if name.lower() in _METADATA_NAMES:
        return frozenset(found)
    return frozenset(found | {Destination.PRIVATE if _LOCAL.fullmatch(name) else Destination.INTERNET})


# ---- sets of hosts: ranges and names


@dataclass(frozen=True, slots=True)
class Hosts:
    ranges: Ranges = ()
    names: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.ranges or self.names)

    def __or__(self, other: "Hosts") -> "Hosts":
        return Hosts(joined(self.ranges, other.ranges), self.names | other.names)

    def __sub__(self, other: "Hosts") -> "Hosts":
        """Names are subtracted by name alone: what a CIDR takes away of a name's addresses, nobody knows here."""
        return Hosts(without(self.ranges, other.ranges), self.names - other.names)

    def same(self, other: "Hosts") -> "Hosts":
        """What is literally in both."""
        return Hosts(common(self.ranges, other.ranges), self.names & other.names)

    def __and__(self, other: "Hosts") -> "Hosts":
        """What may pass both. A name passes a set of addresses that touches a region it may lie in (so that nothing which
        could pass is called closed), and a name or wildcard that agrees with it: the narrower of the two remains."""
        names = {_narrower(a, b) for a in self.names for b in other.names if a == b or _overlap(a, b)}
        for mine, ranges in ((self.names, other.ranges), (other.names, self.ranges)):
            if mine and ranges:
                names.update(name for name in mine if _touches(name, ranges))
        return Hosts(common(self.ranges, other.ranges), frozenset(names))


NOWHERE = Hosts()


def _touches(name: str, ranges: Ranges) -> bool:
    return any(_region_touched(region, ranges) for region in _regions_of_name(name))


@lru_cache(4096)
def _region_touched(region: Destination, ranges: Ranges) -> bool:
    return bool(common(REGIONS[region][1], ranges))


def _narrower(a: str, b: str) -> str:
    """Of two patterns that overlap the one that says more; the same whichever comes first."""
    return max(a, b, key=lambda name: ("*" not in name, len(name), name))


@lru_cache(65536)
def _overlap(a: str, b: str) -> bool:
    """Whether a name could match both, `*` standing for any characters, dots too. Case does not count."""
    a, b = a.lower().rstrip("."), b.lower().rstrip(".")
    if "*" not in a and "*" not in b:
        return a == b
    if "*" not in a:
        return _matches(b, a)
    if "*" not in b:
        return _matches(a, b)
    # Two wildcards overlap unless their fixed beginnings or ends contradict each other.
    (head_a, tail_a), (head_b, tail_b) = ((p.split("*")[0], p.split("*")[-1]) for p in (a, b))
    return (head_a.startswith(head_b) or head_b.startswith(head_a)) and (
        tail_a.endswith(tail_b) or tail_b.endswith(tail_a)
    )


def _matches(pattern: str, name: str) -> bool:
    """A glob whose only sign is `*`; linear, whatever stands in it."""
    head, *middle, tail = pattern.split("*")
    if not name.startswith(head):
        return False
    at = len(head)
    for part in middle:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(name) - at >= len(tail) and name.endswith(tail)


# ---- sets of packets

Layer = tuple[tuple[int, int, Hosts], ...]
"""Hosts by port: sorted, disjoint ranges of ports, none with nowhere, equal neighbours joined."""


def _combined(a: Layer, b: Layer, combine: Callable[[Hosts, Hosts], Hosts]) -> Layer:
    if not a and not b:
        return ()
    edges = sorted({edge for first, last, _ in (*a, *b) for edge in (first, last + 1)})
    result: list[tuple[int, int, Hosts]] = []
    i = j = 0
    for first, following in itertools.pairwise(edges):
        while i < len(a) and a[i][1] < first:
            i += 1
        while j < len(b) and b[j][1] < first:
            j += 1
        hosts = combine(
            a[i][2] if i < len(a) and a[i][0] <= first else NOWHERE,
            b[j][2] if j < len(b) and b[j][0] <= first else NOWHERE,
        )
        if not hosts:
            continue
        if result and result[-1][1] == first - 1 and result[-1][2] == hosts:
            result[-1] = (result[-1][0], following - 1, hosts)
        else:
            result.append((first, following - 1, hosts))
    return tuple(result)


def _each(a: Sequence[Layer], b: Sequence[Layer], combine: Callable[[Hosts, Hosts], Hosts]) -> tuple[Layer, ...]:
    """Protocol by protocol. Most are the same layer, which is worked out once and stays the same."""
    done: dict[tuple[int, int], Layer] = {}
    result = []
    for mine, theirs in zip(a, b, strict=True):
        key = id(mine), id(theirs)
        if key not in done:
            done[key] = _combined(mine, theirs, combine)
        result.append(done[key])
    return tuple(result)


@dataclass(frozen=True)
class Space:
    """A set of packets in its one canonical form, by protocol: `leaving` go out, of which `answered` get an answer."""

    leaving: tuple[Layer, ...]
    answered: tuple[Layer, ...]

    @staticmethod
    @lru_cache(8192)
    def of(permits: tuple[Permit, ...]) -> "Space":
        leaving: list[Layer] = [()] * len(PROTOCOLS)
        answered: list[Layer] = [()] * len(PROTOCOLS)
        gathered: dict[tuple[str, tuple[tuple[int, int], ...], bool], Hosts] = {}
        for permit in permits:
            key = (permit.protocol, permit.ports, permit.reply)
            gathered[key] = gathered.get(key, NOWHERE) | _hosts(permit.hosts, permit.excepts)
        for (protocol, ports, reply), hosts in gathered.items():
            added: list[Layer] = [()] * len(PROTOCOLS)
            for index, layer in _layers(protocol, ports, hosts):
                added[index] = layer
            leaving = list(_each(leaving, added, Hosts.__or__))
            if reply:
                answered = list(_each(answered, added, Hosts.__or__))
        out = tuple(leaving)
        return Space(out, out if leaving == answered else tuple(answered))

    def __bool__(self) -> bool:
        return any(self.leaving)

    def _with(self, other: "Space", combine: Callable[[Hosts, Hosts], Hosts]) -> "Space":
        leaving = _each(self.leaving, other.leaving, combine)
        if self.answered is self.leaving and other.answered is other.leaving:
            return Space(leaving, leaving)
        return Space(leaving, _each(self.answered, other.answered, combine))

    def __or__(self, other: "Space") -> "Space":
        return self._with(other, Hosts.__or__)

    def __and__(self, other: "Space") -> "Space":
        return self._with(other, Hosts.__and__)

    def __sub__(self, other: "Space") -> "Space":
        """What the other lets leave does not leave, and so gets no answer either."""
        return self._with(
            Space(other.leaving, other.leaving) if other.answered is not other.leaving else other, Hosts.__sub__
        )

    def part(self, hosts: Hosts) -> "Space":
        """What of it goes to these hosts, names by name."""
        whole: Layer = ((1, LAST_PORT, hosts),)
        part = (whole,) * len(PROTOCOLS)
        return self._with(Space(part, part), Hosts.same)

    @cached_property
    def permits(self) -> tuple[Permit, ...]:
        """The same as few Permits, in an order of their own: what passes by every protocol and port first."""
        if self.answered is self.leaving:
            return tuple(_written(self.answered, reply=True))
        one_way = _each(self.leaving, self.answered, Hosts.__sub__)
        return (*_written(self.answered, reply=True), *_written(one_way, reply=False))

    def names(self) -> frozenset[str]:
        return frozenset(name for layer in self.leaving for _, _, hosts in layer for name in hosts.names)


EMPTY = Space.of(())


@lru_cache(65536)
def _hosts(hosts: tuple[str, ...], excepts: tuple[str, ...]) -> Hosts:
    names = frozenset(host for host in hosts if address_range(host) is None)
    return Hosts(without(ranges_of(hosts), ranges_of(excepts)), names)


def _layers(protocol: str, ports: Sequence[tuple[int, int]], hosts: Hosts) -> Iterator[tuple[int, Layer]]:
    protocol = _ALIASES.get(protocol.lower(), protocol.lower())
    within = _merged((max(first, 1), min(last, LAST_PORT)) for first, last in ports if first <= last and last >= 1)
    layer: Layer = tuple((first, last, hosts) for first, last in within if first <= last) if hosts else ()
    if protocol == "any":
        whole = within == ALL_PORTS
        for index, name in enumerate(PROTOCOLS):
            if whole or name in PORTED:
                yield index, layer
    elif protocol in PORTED:
        yield PROTOCOLS.index(protocol), layer
    elif hosts:
        yield PROTOCOLS.index(protocol if protocol in PROTOCOLS else "other"), ((1, LAST_PORT, hosts),)


def _written(layers: Sequence[Layer], *, reply: bool) -> Iterator[Permit]:
    known = {id(layer): _on_all_ports(layer) for layer in layers}
    everywhere = [known[id(layer)] for layer in layers]
    anyhow = everywhere[0]
    for hosts in everywhere[1:]:
        anyhow = anyhow.same(hosts)
    if anyhow:
        yield _permit(anyhow, "any", ALL_PORTS, reply)
    rest: dict[tuple[Hosts, Ranges], list[str]] = {}
    for protocol, layer, whole in zip(PROTOCOLS, layers, everywhere, strict=True):
        if whole - anyhow:
            rest.setdefault((whole - anyhow, ALL_PORTS), []).append(protocol)
        ports: dict[Hosts, list[tuple[int, int]]] = {}
        for first, last, hosts in _combined(layer, ((1, LAST_PORT, whole),) if whole else (), Hosts.__sub__):
            ports.setdefault(hosts, []).append((first, last))
        for hosts, found in ports.items():
            rest.setdefault((hosts, tuple(found)), []).append(protocol)
    written: list[Permit] = []
    for (hosts, found_ports), protocols in rest.items():
        # `any` with ports is every protocol that has ports; with all ports it would be more.
        whole_of_ported = tuple(protocols) == PORTED and found_ports != ALL_PORTS
        written.extend(
            _permit(hosts, protocol, found_ports, reply) for protocol in (("any",) if whole_of_ported else protocols)
        )
    order = {protocol: index for index, protocol in enumerate(("any", *PROTOCOLS))}
    yield from sorted(written, key=lambda p: (order[p.protocol], p.ports, p.hosts, p.excepts))


def _on_all_ports(layer: Layer) -> Hosts:
    """The hosts that pass on every port."""
    following = 1
    result: Hosts | None = None
    for first, last, hosts in layer:
        if first != following:
            return NOWHERE
        result, following = hosts if result is None else result.same(hosts), last + 1
    return result if result is not None and following == LAST_PORT + 1 else NOWHERE


@lru_cache(16384)
def _permit(hosts: Hosts, protocol: str, ports: Ranges, reply: bool) -> Permit:
    cidrs, excepts = written_ranges(hosts.ranges)
    return Permit((*cidrs, *sorted(hosts.names)), protocol, ports, excepts, reply)


# ---- ranges as people write them


@lru_cache(16384)
def written_ranges(ranges: Ranges) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """CIDRs and those to be left out of them, as few as it takes: `0.0.0.0/0` but `10.0.0.0/8`, not its 8 neighbours."""
    hosts: list[str] = []
    excepts: list[str] = []
    for base, bits in ((0, 32), (SIX, 128)):
        mine = tuple((first - base, last - base) for first, last in common(ranges, ((base, base + (1 << bits) - 1),)))
        found, left_out = _block(mine, 0, bits)
        hosts.extend(_cidr(first, size, bits) for first, size in found)
        excepts.extend(_cidr(first, size, bits) for first, size in left_out)
    return tuple(hosts), tuple(excepts)


_Blocks = tuple[tuple[int, int], ...]


def _block(ranges: Ranges, start: int, size: int) -> tuple[_Blocks, _Blocks]:
    """The cheapest way to write what lies in the block of 2**size addresses at `start`."""
    if not ranges:
        return (), ()
    last = start + (1 << size) - 1
    if ranges[0][0] <= start and ranges[0][1] >= last:
        return ((start, size),), ()
    middle = start + (1 << (size - 1))
    lower = tuple((a, min(b, middle - 1)) for a, b in ranges if a < middle)
    upper = tuple((max(a, middle), b) for a, b in ranges if b >= middle)
    (low, low_out), (high, high_out) = _block(lower, start, size - 1), _block(upper, middle, size - 1)
    halves = (*low, *high), (*low_out, *high_out)
    cost = len(halves[0]) + len(halves[1])
    if cost <= 1:
        return halves
    left_out = _aligned(without(((start, last),), ranges), cost - 1)
    return (((start, size),), left_out) if left_out is not None else halves


def _aligned(ranges: Ranges, fewer_than: int) -> _Blocks | None:
    """The ranges as aligned blocks; None once they are not fewer than that."""
    result = []
    for begin, last in ranges:
        first = begin
        while first <= last:
            size = min((first & -first).bit_length() - 1 if first else 128, (last - first + 1).bit_length() - 1)
            result.append((first, size))
            if len(result) >= fewer_than:
                return None
            first += 1 << size
    return tuple(result)


def _cidr(first: int, size: int, bits: int) -> str:
    address = ipaddress.IPv4Address(first) if bits == 32 else ipaddress.IPv6Address(first)
    return f"{address}/{bits - size}"


# ---- what others call


def simplify(permits: Iterable[Permit]) -> tuple[Permit, ...]:
    """The same packets, deduplicated, in one order whatever the order given."""
    return Space.of(tuple(permits)).permits


def union(*parts: Iterable[Permit]) -> tuple[Permit, ...]:
    return simplify(permit for part in parts for permit in part)


def intersect(a: Iterable[Permit], b: Iterable[Permit]) -> tuple[Permit, ...]:
    """What may pass both. Names: see Hosts.__and__; answers come back where both let them."""
    return _intersected(tuple(a), tuple(b))


@lru_cache(8192)
def _intersected(a: tuple[Permit, ...], b: tuple[Permit, ...]) -> tuple[Permit, ...]:
    return (Space.of(a) & Space.of(b)).permits


def subtract(a: Iterable[Permit], b: Iterable[Permit]) -> tuple[Permit, ...]:
    """What of `a` is not in `b`. A name goes only if `b` holds the same name."""
    return (Space.of(tuple(a)) - Space.of(tuple(b))).permits


@lru_cache(8192)
def _part(permits: tuple[Permit, ...], destination: Destination, siblings: tuple[str, ...]) -> Space:
    """What counts towards the destination: addresses of its region and the names that may lie there."""
    space = Space.of(permits)
    if destination not in REGIONS:
        return space
    own = _CONVENTIONS.union(siblings)
    names = frozenset(n for n in space.names() if n not in own and destination in _regions_of_name(n))
    return space.part(Hosts(REGIONS[destination][1], names))


def within(permits: Iterable[Permit], destination: Destination, siblings: Sequence[str] = ()) -> tuple[Permit, ...]:
    """The part that lies in a destination's region, for people to read.

    Of the Internet blocks remain as they were written when a part of them is public (`0.0.0.0/0`); of private networks their
    blocks are listed, of metadata services the addresses. Names of siblings are no part of a region.
    """
    return _within(tuple(permits), destination, tuple(siblings))


@lru_cache(16384)
def _within(given: tuple[Permit, ...], destination: Destination, siblings: tuple[str, ...]) -> tuple[Permit, ...]:
    part = _part(given, destination, siblings)
    if destination is Destination.INTERNET:
        shown = simplify(given)
    elif destination is Destination.PRIVATE:
        shown = Space.of(given).part(Hosts(_PRIVATE_BLOCKS, part.names())).permits
    else:
        return part.permits
    result = []
    for permit in shown:
        hosts = tuple(host for host in permit.hosts if _listed(host, permit.excepts, part, REGIONS[destination][1]))
        if hosts:
            blocks = [block for block in map(address_range, hosts) if block is not None]
            excepts = tuple(one for one in permit.excepts if common(tuple(blocks), ranges_of((one,))))
            result.append(Permit(hosts, permit.protocol, permit.ports, excepts, permit.reply))
    return tuple(result)


def _listed(host: str, excepts: tuple[str, ...], part: Space, region: Ranges) -> bool:
    block = address_range(host)
    return host in part.names() if block is None else bool(common(region, without((block,), ranges_of(excepts))))


def classify(
    permits: Iterable[Permit],
    destination: Destination,
    siblings: Sequence[str] = (),
    protocols: tuple[str, ...] = ("tcp", "udp"),
) -> Verdict:
    """OPEN: all that the destination has on IPv4, on every port of the `protocols`, with answers. CLOSED: nothing. Else
    LIMITED.

    What a region is, REGIONS says; names alone never open one. By scanner/egress/builder.py, HOST is open by `host`, ENGINE
    by `engine` (whatever the ports), DNS by `names` with answers, SIBLINGS by every one of `siblings`.
    """
    return _classified(tuple(permits), destination, tuple(siblings), protocols)


@lru_cache(16384)
def _classified(
    permits: tuple[Permit, ...], destination: Destination, siblings: tuple[str, ...], protocols: tuple[str, ...]
) -> Verdict:
    part = _part(permits, destination, siblings)
    if not part:
        return Verdict.CLOSED
    if destination is Destination.ENGINE:
        return Verdict.OPEN if "engine" in part.names() else Verdict.LIMITED
    if destination is Destination.DNS:
        answered = Space(part.answered, part.answered)
        return Verdict.OPEN if "names" in answered.names() else Verdict.LIMITED
    if destination in REGIONS:
        needed = Hosts(REGIONS[destination][0])
    elif destination is Destination.HOST:
        needed = Hosts(names=frozenset(("host",)))
    else:
        needed = Hosts(names=frozenset(siblings))
        if not siblings:
            return Verdict.LIMITED
    return (
        Verdict.OPEN if all(_whole(part.answered[PROTOCOLS.index(p)], needed) for p in protocols) else Verdict.LIMITED
    )


def _whole(layer: Layer, needed: Hosts) -> bool:
    """Whether all of the hosts pass on every port; the whole of IPv4 is every name's address too."""
    passing = _on_all_ports(layer)
    if without(needed.ranges, passing.ranges):
        return False
    return needed.names <= passing.names or not without(IPV4, passing.ranges)
