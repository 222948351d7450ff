"""Sets of packets: products of protocols, the far side's addresses and port, the near side's port.

Addresses are numbers. What is not known as a number but must be told apart (a name that a script resolves when it runs)
gets one of its own above all real ones: `NAMES` and up.
"""

import ipaddress
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scanner.errors import LimitError

Spans = tuple[tuple[int, int], ...]
"""Inclusive, sorted, apart from each other."""

NAMES = 1 << 130
NAMES_END = NAMES + (1 << 32)
ALL_V4: Spans = ((0, (1 << 32) - 1),)
ALL_V6: Spans = ((0, (1 << 128) - 1),)
EVERY_ADDRESS: Spans = ((0, NAMES_END),)
EVERY_PORT: Spans = ((0, 65535),)

TCP, UDP, SCTP, ICMP, OTHER = 1, 2, 4, 8, 16
EVERY_PROTOCOL = 31


class Box(NamedTuple):
    """The packets with one of `protocols` (a sum of TCP, UDP, SCTP, ICMP, OTHER), and addresses and ports in all of the spans."""

    protocols: int
    far: Spans
    far_ports: Spans
    near_ports: Spans


Region = tuple[Box, ...]
EVERYTHING = Box(EVERY_PROTOCOL, EVERY_ADDRESS, EVERY_PORT, EVERY_PORT)


class Budget:
    """Steps that an evaluation may take; LimitError beyond."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise LimitError("the rules are too many or too entangled to be followed")


# ---- spans


def spans(pairs: Iterable[tuple[int, int]]) -> Spans:
    """Any pairs as spans."""
    result: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if result and low <= result[-1][1] + 1:
            if high > result[-1][1]:
                result[-1] = (result[-1][0], high)
        else:
            result.append((low, high))
    return tuple(result)


def common(a: Spans, b: Spans) -> Spans:
    if len(a) > len(b):
        a, b = b, a
    result: list[tuple[int, int]] = []
    for low, high in a:
        at = bisect_left(b, (low, -1))
        if at and b[at - 1][1] >= low:
            at -= 1
        while at < len(b) and b[at][0] <= high:
            result.append((max(low, b[at][0]), min(high, b[at][1])))
            at += 1
    return tuple(result)


def without(a: Spans, b: Spans) -> Spans:
    """What of `a` is not in `b`."""
    result = a
    if len(b) > 8:
        pieces: list[tuple[int, int]] = []
        for low, high in a:
            at = low
            i = max(bisect_right(b, (low, 1 << 140)) - 1, 0)
            while i < len(b) and b[i][0] <= high:
                first, last = b[i]
                i += 1
                if last < at:
                    continue
                if first > at:
                    pieces.append((at, first - 1))
                at = last + 1
            if at <= high:
                pieces.append((at, high))
        return tuple(pieces)
    for low, high in b:
        begin = bisect_left(result, (low, -1))
        if begin and result[begin - 1][1] >= low:
            begin -= 1
        end = begin
        pieces = []
        while end < len(result) and result[end][0] <= high:
            first, last = result[end]
            if first < low:
                pieces.append((first, low - 1))
            if last > high:
                pieces.append((high + 1, last))
            end += 1
        if end > begin:
            result = (*result[:begin], *pieces, *result[end:])
    return result


def network(text: str) -> tuple[int, int, int]:
    """(family, first, last) of an address, a CIDR, `ADDRESS/NETMASK`, or `FIRST-LAST`; ValueError for what is none."""
    first, dash, last = text.partition("-")
    if dash:
        low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
        if low.version != high.version or int(low) > int(high):
            raise ValueError("no range")
        return low.version, int(low), int(high)
    found = ipaddress.ip_network(text.strip(), strict=False)
    return found.version, int(found.network_address), int(found.broadcast_address)


def cidrs(given: Spans, family: int) -> tuple[str, ...]:
    """The real addresses of the spans as CIDRs."""
    address = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    top = (1 << (32 if family == 4 else 128)) - 1
    return tuple(
        str(net)
        for low, high in common(given, ((0, top),))
        for net in ipaddress.summarize_address_range(address(low), address(high))
    )


# ---- boxes


def meet(a: Box, b: Box) -> Box | None:
    """The packets in both; None where there are none."""
    protocols = a.protocols & b.protocols
    if not protocols:
        return None
    far = a.far if b.far is EVERY_ADDRESS else common(a.far, b.far)
    if not far:
        return None
    far_ports = a.far_ports if b.far_ports is EVERY_PORT else common(a.far_ports, b.far_ports)
    if not far_ports:
        return None
    near_ports = a.near_ports if b.near_ports is EVERY_PORT else common(a.near_ports, b.near_ports)
    return Box(protocols, far, far_ports, near_ports) if near_ports else None


def cut(a: Box, b: Box) -> list[Box]:
    """What of `a` is not in `b`, in boxes apart from each other."""
    both = meet(a, b)
    if both is None:
        return [a]
    result = []
    if rest := a.protocols & ~both.protocols:
        result.append(a._replace(protocols=rest))
    a = a._replace(protocols=both.protocols)
    if left := without(a.far, both.far):
        result.append(a._replace(far=left))
    a = a._replace(far=both.far)
    if left := without(a.far_ports, both.far_ports):
        result.append(a._replace(far_ports=left))
    a = a._replace(far_ports=both.far_ports)
    if left := without(a.near_ports, both.near_ports):
        result.append(a._replace(near_ports=left))
    return result


def merged(region: Iterable[Box]) -> Region:
    """The same packets in fewer boxes."""
    boxes = list(region)
    for index in (1, 0, 2):
        if len(boxes) < 2:
            break
        groups: dict[tuple[object, ...], list[Box]] = {}
        for box in boxes:
            groups.setdefault((*box[:index], *box[index + 1 :]), []).append(box)
        boxes = [_joined(group, index) for group in groups.values()]
    return tuple(boxes)


def _joined(group: Sequence[Box], index: int) -> Box:
    first = group[0]
    if len(group) == 1:
        return first
    if index == 0:
        protocols = 0
        for box in group:
            protocols |= box.protocols
        return first._replace(protocols=protocols)
    if index == 1:
        return first._replace(far=spans(pair for box in group for pair in box.far))
    return first._replace(far_ports=spans(pair for box in group for pair in box.far_ports))


def both_regions(a: Iterable[Box], b: Sequence[Box], budget: Budget) -> Region:
    result = []
    for one in a:
        budget.spend(1 + len(b))
        result += [found for other in b if (found := meet(one, other)) is not None]
    return merged(result)


def region_without(a: Iterable[Box], b: Iterable[Box], budget: Budget) -> Region:
    left = list(a)
    for taken in b:
        budget.spend(1 + len(left))
        left = [piece for box in left for piece in cut(box, taken)]
    return merged(left)


def any_near_port(region: Iterable[Box]) -> Region:
    """The region as the sender sees it, who chooses his own port."""
    return merged(box._replace(near_ports=EVERY_PORT) for box in region)
