"""One attempt for each conversation, in whatever order the wire and the sockets tell of it."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scanner.model import Json
from scanner.model.run import Endpoint
from scanner.runtime.sinkhole.flows import IDLE, Flows
from scanner.runtime.sinkhole.packet import Packet
from scanner.runtime.sinkhole.records import Outbox

GUEST, RESOLVER = "172.17.0.2", Endpoint("172.17.0.1", 53)


class Told(Outbox):
    """What was told, kept instead of sent."""

    def __init__(self) -> None:
        import socket

        super().__init__(socket.socketpair()[0])
        self.begun: dict[int, tuple[str, Endpoint, Endpoint]] = {}
        self.ends: list[tuple[int, str, Mapping[str, Json], int, int]] = []

    def attempt(self, time: float, protocol: str, source: Endpoint, target: Endpoint, name: str | None) -> int | None:
        number = len(self.begun) + 1
        self.begun[number] = (protocol, source, target)
        return number

    def heard(
        self,
        number: int,
        service: str,
        details: Mapping[str, Json],
        first: bytes,
        sent: int,
        count: int = 1,
        last: float | None = None,
        more: bool = False,
    ) -> None:
        self.ends.append((number, service, details, sent, count))


def flows() -> tuple[Flows, Told]:
    told = Told()
    return Flows(told, lambda _: None, lambda data, _: ("recognised", {"bytes": len(data)})), told


def syn(port: int, target: str = "203.0.113.1") -> Packet:
    return Packet("tcp", GUEST, target, 40000 + port, port, kind="syn", flags=2)


def sent(size: int, port: int = 9, target: str = "203.0.113.1", source: int = 5000) -> Packet:
    return Packet("udp", GUEST, target, source, port, b"x" * min(size, 100), size)


def test_a_group_that_a_program_joins_is_the_kernels_word_and_a_long_one_is_an_attempt() -> None:
    some, told = flows()
    some.packet(Packet("igmp", GUEST, "224.0.0.22", payload=b"x" * 16, length=16), 1.0)
    some.packet(Packet("igmp", GUEST, "224.0.0.251", payload=b"x" * 8, length=8), 1.0)
    assert told.begun == {}
    some.packet(Packet("igmp", GUEST, "224.0.0.22", payload=b"x" * 600, length=600), 2.0)
    some.packet(Packet("igmp", "fd17::2", "2001:db8::1", payload=b"x" * 8, length=8), 3.0)
    assert [(p, t.address) for p, _, t in told.begun.values()] == [("igmp", "224.0.0.22"), ("igmp", "2001:db8::1")]


@given(st.permutations(["syn", "again", "accept", "end"]))
def test_a_connection_is_one_attempt_in_any_order(order: list[str]) -> None:
    book, told = flows()
    source, target = Endpoint(GUEST, 40080), Endpoint("203.0.113.1", 80)
    flow: Any = None
    ended = False
    for step in order:
        if step in ("syn", "again"):
            book.packet(syn(80), 1.0)
        elif step == "accept":
            flow = book.accepted(source, target, 2.0)
        else:
            ended = True
        if ended and flow is not None:
            book.ended(flow, "http", {}, b"GET", 3, 3.0)
            ended = False
    book.close()

    assert list(told.begun.values()) == [("tcp", source, target)]
    assert told.ends == [(1, "http", {}, 3, 1)]


def test_a_handshake_that_nobody_finishes_ends_after_a_while() -> None:
    book, told = flows()
    book.packet(syn(22), 1.0)
    book.packet(syn(22), 2.0)
    book.expire(2.0 + IDLE - 0.1, 2.0 + IDLE)
    assert told.ends == []
    book.expire(2.0 + IDLE, 2.5)  # connections have waited to be taken since: it may be one of them
    assert told.ends == []
    book.expire(2.0 + IDLE, 2.0 + IDLE)
    assert told.ends == [(1, "silent", {"tcp": {"handshake": "not finished"}}, 0, 2)]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.sampled_from(["quic", "dns", "unknown"])), max_size=60))
def test_datagrams_are_counted_once_whoever_tells_of_them(events: list[tuple[bool, int, str]]) -> None:
    """The tap sees every datagram; the sockets some of them, before or after."""
    book, told = flows()
    seen = dict.fromkeys(range(4), 0)
    for by_socket, port, service in events:
        seen[port] += 1
        steps = [lambda port=port: book.packet(sent(10, port), 1.0)]
        if by_socket:
            target = Endpoint("203.0.113.1", port)
            steps.append(
                lambda target=target, service=service: book.datagram(
                    Endpoint(GUEST, 5000), target, b"y" * 10, service, {}, 1.0
                )
            )
        for step in steps if port % 2 else reversed(steps):
            step()
    book.close()

    counted = dict.fromkeys(range(4), 0)
    for number, service, _, size, count in told.ends:
        counted[told.begun[number][2].port or 0] += count
        assert service in ("quic", "dns", "unknown", "recognised")
        assert size == 10 * count
    assert counted == seen


def test_questions_to_the_own_resolver_are_no_attempts_and_other_bytes_there_are() -> None:
    book, told = flows()
    guest = Endpoint(GUEST, 5000)
    book.packet(sent(30, 53, "172.17.0.1"), 1.0)
    book.datagram(guest, RESOLVER, b"q" * 30, "dns", {}, 1.0)
    book.close()
    assert told.begun == {}
    assert told.dropped == {}

    book.packet(sent(30, 53, "172.17.0.1"), 2.0)
    book.packet(sent(30, 53, "172.17.0.1"), 2.0)
    book.datagram(guest, RESOLVER, b"q" * 30, "dns", {}, 2.0)
    book.close()
    assert told.dropped == {"queries": 1}  # one found no room in the socket

    book.datagram(guest, RESOLVER, b"\x01tunnel", "unknown", {}, 3.0)
    book.close()
    assert [(t.display, s) for (_, _, t), (_, s, *_) in zip(told.begun.values(), told.ends, strict=True)] == [
        ("172.17.0.1:53", "unknown")
    ]


def test_an_error_about_an_answer_of_ours_is_no_attempt_and_one_about_nothing_is() -> None:
    book, told = flows()
    book.packet(sent(10), 1.0)
    quoted = bytes([0x45]) + bytes(8) + bytes([17]) + bytes(10) + (9).to_bytes(2) + (5000).to_bytes(2) + bytes(4)
    error = Packet("icmp", GUEST, "203.0.113.1", payload=quoted, length=len(quoted), kind="destination-unreachable")
    book.packet(error, 1.0)
    assert [protocol for protocol, _, _ in told.begun.values()] == ["udp"]
    lie = Packet("icmp", GUEST, "203.0.113.77", payload=quoted, length=len(quoted), kind="destination-unreachable")
    book.packet(lie, 1.0)
    assert [protocol for protocol, _, _ in told.begun.values()] == ["udp", "icmp"]


def test_too_many_flows_end_the_longest_silent_ones() -> None:
    book, told = flows()
    for number in range(65_536 + 10):
        book.packet(Packet("udp", GUEST, "203.0.113.1", number, 9, b"x", 1), 1.0)
    assert [number for number, *_ in told.ends] == list(range(1, 11))


packets = st.builds(
    Packet,
    st.sampled_from(["tcp", "udp", "icmp", "icmp6", "sctp", "ip-47", "arp"]),
    st.sampled_from([GUEST, "192.0.2.9"]),
    st.sampled_from(["203.0.113.1", "172.17.0.1", "2001:db8::1"]),
    st.none() | st.integers(0, 65535),
    st.none() | st.integers(0, 65535),
    st.binary(max_size=80),
    st.integers(0, 70000),
    st.sampled_from(["", "echo-request", "destination-unreachable", "neighbour-solicitation"]),
    st.integers(0, 255),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(packets, max_size=30))
def test_every_attempt_ends_once_whatever_comes(stream: list[Packet]) -> None:
    book, told = flows()
    for second, packet in enumerate(stream):
        book.packet(packet, float(second))
        book.expire(float(second), float(second))
    book.close()
    assert sorted(number for number, *_ in told.ends) == sorted(told.begun)
