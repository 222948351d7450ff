"""What child and parent say to each other: bounded, folded, and not believed where it makes no sense."""

import json
import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model.run import Attempt, Endpoint
from scanner.runtime.sinkhole.records import MAX_MESSAGE, Ledger, NonsenseError, Outbox, receive

GUEST, TARGET = Endpoint("172.17.0.2", 40000), Endpoint("203.0.113.1", 80)


def ledger(attempts: int = 100, queries: int = 100) -> Ledger:
    return Ledger(lambda *_: 7, attempts, queries)


def passed(outbox: Outbox, child: socket.socket, parent: socket.socket, into: Ledger) -> None:
    """All that waits goes over."""
    outbox.flush()
    child.close()
    for message in receive(parent):
        assert into.take(message)


def test_equal_attempts_are_one_with_their_number_first_and_last() -> None:
    parent, child = socket.socketpair()
    outbox, book = Outbox(child), ledger()
    for second, name in ((10.0, "a.example"), (12.0, "a.example"), (11.0, "b.example")):
        number = outbox.attempt(second, "tcp", GUEST, TARGET, name)
        assert number is not None
        outbox.heard(number, "http", {"http": {"path": "/"}}, b"GET / \xff", 9, last=second + 0.5)
    passed(outbox, child, parent, book)

    first, other = book.attempts()
    assert first == Attempt(
        10.0, "tcp", TARGET, "a.example", GUEST, 7, "http", {"http": {"path": "/"}}, b"GET / \xff", 18, 2, 12.5
    )
    assert (other.name, other.time, other.count) == ("b.example", 11.0, 1)


def test_an_attempt_without_an_end_is_unknown_and_one_of_several_kinds_is_each_of_them() -> None:
    parent, child = socket.socketpair()
    outbox, book = Outbox(child), ledger()
    outbox.attempt(1.0, "tcp", GUEST, TARGET, None)
    number = outbox.attempt(2.0, "udp", GUEST, TARGET, None)
    assert number is not None
    outbox.heard(number, "dns", {}, b"a", 1, 3, more=True)
    outbox.heard(number, "quic", {}, b"b", 2, 4)
    passed(outbox, child, parent, book)

    assert [(a.protocol, a.service, a.count) for a in book.attempts()] == [
        ("tcp", "unknown", 1),
        ("udp", "dns", 3),
        ("udp", "quic", 4),
    ]


def test_what_finds_no_room_is_counted_and_never_waited_for() -> None:
    parent, child = socket.socketpair()
    outbox = Outbox(child, room=10 << 20)
    told = [outbox.attempt(1.0, "tcp", GUEST, Endpoint("203.0.113.1", n), None) for n in range(20_000)]
    begun = [number for number in told if number is not None]
    for number in begun:
        outbox.heard(number, "silent", {}, b"", 0)

    assert 5_000 < len(begun) < 20_000
    assert outbox.dropped == {"attempts": 20_000 - len(begun)}  # the ends have room of their own
    outbox.heard(begun[0], "http", {"long": "x" * MAX_MESSAGE}, b"", 0)
    assert outbox.dropped["attempt details"] == 1
    outbox.query(1.0, "a.example", "A", GUEST, TARGET, "udp")
    assert outbox.dropped["queries"] == 1
    parent.close()
    with pytest.raises(OSError, match="Broken pipe"):
        outbox.flush()


def test_different_ones_beyond_the_limits_are_counted() -> None:
    book = ledger(attempts=2, queries=1)
    for number in range(4):
        book.take(_attempt(number, port=number))
        book.take(_heard(number, count=5))
    for name in ("a", "b", "a"):
        book.take(_query(name))

    assert [a.target.port for a in book.attempts()] == [0, 1]
    assert [(q.name, q.count, q.pid) for q in book.queries()] == [("a", 2, 7)]
    assert book.dropped == {"attempts": 10, "queries": 1}


def test_details_have_room_for_so_much() -> None:
    book = ledger(attempts=10_000)
    for number in range(1200):
        book.take(_attempt(number, port=number))
        book.take(_heard(number) | {"details": {"long": "x" * 60_000}})

    kept = len(book.attempts())
    assert 1000 < kept < 1200
    assert book.dropped == {"attempts": 1200 - kept}


def test_an_end_without_a_beginning_tells_nothing() -> None:
    book = ledger()
    assert book.take(_heard(1))
    assert book.attempts() == ()
    assert not book.take({"is": "done"})


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("=I", MAX_MESSAGE + 1) + b"x",
        struct.pack("=I", 4) + b"oops",
        struct.pack("=I", 2) + b"[]",
        struct.pack("=I", 200_00) + b"[" * 20_000,
        struct.pack("=I", 9) + b"cut off",
    ],
)
def test_what_is_no_message_is_not_believed(data: bytes) -> None:
    parent, child = socket.socketpair()
    child.sendall(data)
    child.close()
    with pytest.raises(NonsenseError):
        list(receive(parent))
    parent.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"time": "nan"},
        {"time": float("inf")},
        {"protocol": "x" * 60_000},
        {"target": ["203.0.113.1", 65_536]},
        {"target": ["x" * 60_000, 80]},
        {"name": "x" * 60_000},
        {"name": 7},
    ],
)
def test_what_no_honest_child_says_is_not_kept(wrong: dict[str, Any]) -> None:
    with pytest.raises(NonsenseError):
        ledger().take(_attempt(1) | wrong)


@pytest.mark.parametrize("wrong", [{"sent": -1}, {"count": 1 << 80}, {"last": "nan"}, {"service": "x" * 100}])
def test_an_end_that_no_honest_child_tells_is_not_kept(wrong: dict[str, Any]) -> None:
    book = ledger()
    book.take(_attempt(1))
    with pytest.raises(NonsenseError):
        book.take(_heard(1) | wrong)


def test_details_are_what_a_report_can_hold() -> None:
    book = ledger()
    book.take(_attempt(1))
    deep: Any = "the end"
    for _ in range(400):
        deep = {"in": [deep]}
    book.take(_heard(1) | {"details": {"deep": deep, "rate": [float("nan"), float("-inf"), 0.5]}})

    [attempt] = book.attempts()
    assert attempt.details["rate"] == ["nan", "-inf", 0.5]
    text = json.dumps(attempt.details, allow_nan=False)
    assert text.count('{"in"') == 8
    assert "the end" not in text


scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)
keys = (
    "id",
    "time",
    "protocol",
    "source",
    "target",
    "name",
    "service",
    "details",
    "first",
    "sent",
    "count",
    "last",
    "more",
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"is": st.sampled_from(["attempt", "heard", "query", "ready"])},
            optional={**dict.fromkeys(keys, values), "type": values, "server": values, "transport": values},
        ),
        max_size=8,
    )
)
def test_a_lying_child_is_found_out_or_understood(messages: list[dict[str, Any]]) -> None:
    book = ledger()
    for message in messages:
        try:
            book.take(json.loads(json.dumps(message)))
        except NonsenseError:
            break
    for attempt in book.attempts():
        assert isinstance(attempt.target.address, str)
        assert attempt.pid == 7
    assert all(isinstance(query.name, str) for query in book.queries())


def _attempt(number: int, port: int = 80) -> dict[str, Any]:
    return {
        "is": "attempt",
        "id": number,
        "time": float(number),
        "protocol": "tcp",
        "source": ["172.17.0.2", 4],
        "target": ["203.0.113.1", port],
        "name": None,
    }


def _heard(number: int, count: int = 1) -> dict[str, Any]:
    return {
        "is": "heard",
        "id": number,
        "service": "silent",
        "details": {},
        "first": "",
        "sent": 0,
        "count": count,
        "last": None,
        "more": False,
    }


def _query(name: str) -> dict[str, Any]:
    return {
        "is": "query",
        "time": 1.0,
        "name": name,
        "type": "A",
        "source": ["172.17.0.2", 4],
        "server": ["172.17.0.1", 53],
        "transport": "udp",
    }
