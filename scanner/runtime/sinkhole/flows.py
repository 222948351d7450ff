"""One attempt for each conversation, whoever noticed it: the tap saw its packets, a socket its bytes.

A packet on the wire and the connection or datagram that a socket gets are the same attempt when protocol and both endpoints are.
Whoever notices it first tells of it; both add what they know until it ends.

What only the tap saw has its facts under the protocol's name, as the answers' have theirs under the service's:
- `tcp`: `handshake` (`not finished`: a SYN and no connection; `none`: a segment that no connection has, with its `flags`)
- `icmp`, `icmp6`: `type` (`echo-request`, …) and `sizes`, the different lengths of what it carried (16 at most)
- `igmp` (but a host's word on its groups), `sctp`, `ip-47`, `arp`, `eth-88cc`, …: `sizes`; `type` is `fragment` where the first piece of a
  packet never came
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from scanner.model import Json
from scanner.model.run import Endpoint
from scanner.runtime.sinkhole.addresses import GATEWAY4, GATEWAY6
from scanner.runtime.sinkhole.packet import ACK, PORTED, RST, SYN, Packet
from scanner.runtime.sinkhole.records import FIRST_BYTES, Outbox

IDLE: Final = 10.0
"""Seconds without a packet after which datagrams are another attempt, and a handshake is held to be given up."""
_HANDSHAKE = 1.0
"""Seconds that a handshake takes at most, on a wire that ends in the next namespace."""
_FLOWS = 65_536
_SIZES = 16
"""Different lengths of one flow that are listed."""
_SERVICES = 8
"""Different services of one flow that are told apart."""
_RESOLVERS = frozenset({Endpoint(GATEWAY4, 53), Endpoint(GATEWAY6, 53)})

_ERRORS: Final = frozenset({"destination-unreachable", "time-exceeded", "parameter-problem", "packet-too-big"})
_NEIGHBOURS: Final = frozenset(
    {
        "multicast-listener-query",
        "multicast-listener-report",
        "multicast-listener-done",
        "router-solicitation",
        "neighbour-solicitation",
        "neighbour-advertisement",
    }
)
_USUAL_NEIGHBOUR_BYTES = 160
_USUAL_ERROR_BYTES = 576

Key = tuple[str, str, int | None, str, int | None, str]
Recognise = Callable[[bytes, int], tuple[str, Mapping[str, Json]]]


@dataclass(slots=True)
class _Part:
    """What of a flow is one service."""

    details: Mapping[str, Json]
    first: bytes
    count: int = 0
    sent: int = 0


@dataclass(slots=True)
class Flow:
    """`number` is how the attempt is known to the parent, None where it was not told (yet, or for want of room).

    `quiet`: what is asked of the guest's own resolver is a query, and no attempt.
    """

    protocol: str
    source: Endpoint
    target: Endpoint
    time: float
    last: float
    quiet: bool = False
    number: int | None = None
    refused: bool = False
    taken: bool = False
    over: bool = False
    seen: int = 0
    seen_bytes: int = 0
    first: bytes = b""
    kind: str = ""
    sizes: list[int] = field(default_factory=list)
    parts: dict[str, _Part] = field(default_factory=dict)


class Flows:
    """All flows that are not over yet, the longest silent first; where there are too many those end early."""

    def __init__(self, outbox: Outbox, name: Callable[[str], str | None], recognise: Recognise) -> None:
        self._outbox = outbox
        self._name = name
        self._recognise = recognise
        self._flows: OrderedDict[Key, Flow] = OrderedDict()
        self._fragmented: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def packet(self, packet: Packet, now: float) -> None:
        """The tap saw a packet of the guest's."""
        if packet.fragment:
            self._fragment(packet, now)
            return
        if packet.first_fragment:
            self._fragmented[packet.protocol, packet.source, packet.target] = None
            if len(self._fragmented) > _FLOWS:
                self._fragmented.popitem(last=False)
        if packet.protocol == "tcp":
            self._segment(packet, now)
        elif not self._usual(packet):
            kind = packet.kind if packet.protocol not in PORTED else ""
            self._saw(self._flow(packet, kind, now), packet, now)

    def accepted(self, source: Endpoint, target: Endpoint, now: float) -> Flow:
        """A connection of the guest's was taken; `ended` is called when it is over."""
        key = ("tcp", source.address, source.port, target.address, target.port, "")
        flow = self._flows.get(key)
        if flow is None or flow.taken:
            flow = self._new(key, source, target, now)
        flow.taken = True
        self._tell(flow)
        return flow

    def ended(self, flow: Flow, service: str, details: Mapping[str, Json], first: bytes, sent: int, now: float) -> None:
        """What a taken connection was. One of DNS with the guest's own resolver is no attempt."""
        flow.over = True
        if flow.quiet and service == "dns":
            return
        flow.quiet = False
        self._tell(flow)
        if flow.number is not None:
            self._outbox.heard(flow.number, service, details, first, sent, last=now)

    def datagram(
        self,
        source: Endpoint,
        target: Endpoint,
        data: bytes,
        service: str,
        details: Mapping[str, Json],
        now: float,
    ) -> None:
        """A socket got a datagram of the guest's, and knows what it is."""
        key = ("udp", source.address, source.port, target.address, target.port, "")
        flow = self._flows.get(key) or self._new(key, source, target, now)
        self._touch(key, flow, now)
        if service != "dns":
            flow.quiet = False
        self._tell(flow)
        part = flow.parts.get(service)
        if part is None:
            if len(flow.parts) >= _SERVICES:
                part = next(iter(flow.parts.values()))
            else:
                part = flow.parts[service] = _Part(details, data[:FIRST_BYTES])
        part.count += 1
        part.sent += len(data)

    def expire(self, now: float, all_taken: float) -> None:
        """End what has been silent for too long. `all_taken` is when no connection waited to be taken: a handshake that began after
        that may be finished, and wait."""
        while self._flows:
            key, flow = next(iter(self._flows.items()))
            if now - flow.last < IDLE:
                return
            if flow.protocol == "tcp" and not flow.taken and not flow.kind and flow.last + _HANDSHAKE > all_taken:
                return
            self._end(key, flow)

    def close(self) -> None:
        """End all; taken connections were ended by whoever took them."""
        while self._flows:
            key, flow = next(iter(self._flows.items()))
            self._end(key, flow)

    def _segment(self, packet: Packet, now: float) -> None:
        """A segment without ACK: a SYN, or none that any honest program sends."""
        if packet.flags & (ACK | RST):
            return
        odd = packet.flags & 0x3F != SYN
        flow = self._flow(packet, packet.kind if odd else "", now)
        if odd or not flow.taken:
            self._saw(flow, packet, now)

    def _fragment(self, packet: Packet, now: float) -> None:
        """A later fragment belongs to the first one; where there was none, it is all there is."""
        if (packet.protocol, packet.source, packet.target) not in self._fragmented:
            self._saw(self._flow(packet, "fragment", now), packet, now)

    def _usual(self, packet: Packet) -> bool:
        """What every kernel says by itself: of its neighbours, of groups, of datagrams that came to no socket."""
        if packet.protocol == "icmp6" and packet.kind in _NEIGHBOURS:
            return packet.length <= _USUAL_NEIGHBOUR_BYTES
        if packet.protocol == "igmp" and ipaddress.ip_address(packet.target).is_multicast:
            return packet.length <= _USUAL_NEIGHBOUR_BYTES  # multicast DNS joins its group: RFC 3376
        if packet.protocol in ("icmp", "icmp6") and packet.kind in _ERRORS:
            return packet.length <= _USUAL_ERROR_BYTES * 3 and self._quotes(packet)
        return False

    def _quotes(self, packet: Packet) -> bool:
        """An error quotes the answer that it is about, from the other end of a flow that we know (RFC 792, RFC 4443)."""
        body, six = packet.payload, packet.protocol == "icmp6"
        header = 40 if six else (body[0] & 0xF) * 4 if body else 0
        if len(body) < header + 4 or header < 20:
            return False
        protocol = {6: "tcp", 17: "udp"}.get(body[6] if six else body[9])
        if protocol is None:
            return False
        ours, theirs = (int.from_bytes(body[at : at + 2]) for at in (header, header + 2))
        key = (protocol, packet.source, theirs, packet.target, ours, "")
        return key in self._flows

    def _flow(self, packet: Packet, kind: str, now: float) -> Flow:
        key = (packet.protocol, packet.source, packet.source_port, packet.target, packet.target_port, kind)
        flow = self._flows.get(key)
        if flow is None:
            source = Endpoint(packet.source, packet.source_port)
            flow = self._new(key, source, Endpoint(packet.target, packet.target_port), now)
        else:
            self._touch(key, flow, now)
        return flow

    def _saw(self, flow: Flow, packet: Packet, now: float) -> None:
        flow.seen += 1
        flow.seen_bytes += packet.length
        if not flow.first and packet.payload:
            flow.first = packet.payload[:FIRST_BYTES]
        if packet.length not in flow.sizes and len(flow.sizes) < _SIZES:
            flow.sizes.append(packet.length)
        flow.last = now
        self._tell(flow)

    def _new(self, key: Key, source: Endpoint, target: Endpoint, now: float) -> Flow:
        flow = Flow(
            key[0], source, target, now, now, quiet=target in _RESOLVERS and key[0] in ("tcp", "udp"), kind=key[5]
        )
        old = self._flows.pop(key, None)
        if old is not None:
            self._finish(old)
        self._flows[key] = flow
        if len(self._flows) > _FLOWS:
            self._end(*next(iter(self._flows.items())))
        return flow

    def _touch(self, key: Key, flow: Flow, now: float) -> None:
        flow.last = now
        self._flows.move_to_end(key)

    def _tell(self, flow: Flow) -> None:
        if flow.number is None and not flow.quiet and not flow.refused:
            name = self._name(flow.target.address)
            flow.number = self._outbox.attempt(flow.time, flow.protocol, flow.source, flow.target, name)
            flow.refused = flow.number is None

    def _end(self, key: Key, flow: Flow) -> None:
        del self._flows[key]
        self._finish(flow)

    def _finish(self, flow: Flow) -> None:
        """Tell what a flow was, but of a taken connection, which its conversation tells."""
        if flow.taken:
            return
        if flow.quiet:
            heard = sum(part.count for part in flow.parts.values())
            if flow.seen > heard:
                self._outbox.dropped["queries"] += flow.seen - heard
            return
        if flow.number is None:
            return
        if flow.protocol == "udp" and flow.kind == "":
            self._finish_datagrams(flow)
            return
        facts: dict[str, Json] = {}
        if flow.protocol == "tcp":
            facts["handshake"] = "none" if flow.kind else "not finished"
        else:
            facts["sizes"] = list(flow.sizes)
        if flow.kind:
            facts["flags" if flow.protocol == "tcp" and flow.kind != "fragment" else "type"] = flow.kind
        service = "silent" if flow.protocol == "tcp" else flow.protocol
        details: dict[str, Json] = {flow.protocol: facts}
        self._outbox.heard(flow.number, service, details, flow.first, flow.seen_bytes, flow.seen, flow.last)

    def _finish_datagrams(self, flow: Flow) -> None:
        assert flow.number is not None
        if not flow.parts:
            service, details = self._recognise(flow.first, flow.target.port or 0)
            flow.parts[service] = _Part(details, flow.first)
        parts = list(flow.parts.items())
        # the wire knows best how many there were; which of them no socket got, nobody knows: they count as the first kind
        missed = max(0, flow.seen - sum(part.count for _, part in parts))
        parts[0][1].count += missed
        if missed:
            parts[0][1].sent = max(parts[0][1].sent, flow.seen_bytes - sum(part.sent for _, part in parts[1:]))
        for at, (service, part) in enumerate(parts, 1):
            self._outbox.heard(
                flow.number, service, part.details, part.first, part.sent, part.count, flow.last, more=at < len(parts)
            )
