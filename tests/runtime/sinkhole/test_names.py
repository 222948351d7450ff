"""The name server: what it answers, and what it makes of messages that are lies."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.runtime.sinkhole.addresses import POOL4, POOL6
from scanner.runtime.sinkhole.names import MALFORMED, Names, is_query

A, NS, SOA, PTR, MX, TXT, AAAA, SRV, HTTPS, ANY = 1, 2, 6, 12, 15, 16, 28, 33, 65, 255
OPT = b"\0" + struct.pack(">HHIH", 41, 4096, 0, 0)


def wire(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def message(name: bytes, kind: int = A, class_: int = 1, flags: int = 0x0100, extra: bytes = b"") -> bytes:
    head = struct.pack(">HHHHHH", 0x1234, flags, 1, 0, 0, 1 if extra else 0)
    return head + name + struct.pack(">HH", kind, class_) + extra


def records(answer: bytes) -> tuple[int, list[tuple[int, bytes]], int, int]:
    """(flags, the answers' types and data, how many of authority, of additional); of an answer with one question."""
    number, flags, questions, answers, authority, additional = struct.unpack_from(">HHHHHH", answer)
    assert (number, questions) == (0x1234, 1)
    at = 12
    while answer[at]:
        at += answer[at] + 1
    at += 5
    found = []
    for _ in range(answers):
        assert answer[at : at + 2] == b"\xc0\x0c"
        kind, class_, _, size = struct.unpack_from(">HHIH", answer, at + 2)
        assert class_ == 1
        found.append((kind, answer[at + 12 : at + 12 + size]))
        at += 12 + size
    return flags, found, authority, additional


def ask(names: Names, data: bytes, udp: bool = True) -> tuple[str, str, bytes]:
    asked = names.ask(data, udp)
    assert asked is not None
    assert asked.answer is not None
    return asked.name, asked.type, asked.answer


def test_a_name_has_one_address_of_each_family_and_leads_back() -> None:
    names = Names({})
    _, [(_, four)], _, _ = records(ask(names, message(wire("Pool.Example")))[2])
    _, [(_, six)], _, _ = records(ask(names, message(wire("pool.EXAMPLE"), AAAA))[2])

    address4, address6 = ipaddress.ip_address(four), ipaddress.ip_address(six)
    assert address4 in POOL4
    assert address6 in POOL6
    assert names.name(str(address4)) == names.name(str(address6)) == "pool.example"
    assert names.addresses("other.example") != names.addresses("pool.example")
    for reverse in (address4.reverse_pointer, address6.reverse_pointer):
        name, kind, answer = ask(names, message(wire(reverse), PTR))
        assert (name, kind) == (reverse, "PTR")
        assert records(answer)[1] == [(PTR, wire("pool.example"))]
    assert records(ask(names, message(wire("1.113.0.203.in-addr.arpa"), PTR))[2])[0] & 0xF == 3


@pytest.mark.parametrize(
    ("kind", "shown", "data"),
    [
        (MX, "MX", b"\0\x0a" + wire("a.example")),
        (NS, "NS", wire("a.example")),
        (TXT, "TXT", b"\x0av=spf1 ~al"),
        (HTTPS, "HTTPS", None),
        (64, "SVCB", None),
        (257, "CAA", None),
        (65280, "TYPE65280", None),
    ],
)
def test_other_types_are_answered_or_said_to_be_none(kind: int, shown: str, data: bytes | None) -> None:
    name, type_, answer = ask(Names({}), message(wire("a.example"), kind))
    flags, found, authority, _ = records(answer)

    assert (name, type_) == ("a.example", shown)
    assert flags & 0x800F == 0x8000
    assert found == ([(kind, data)] if data else [])
    assert authority == (0 if data else 1)


def test_a_service_leads_to_its_host() -> None:
    _, _, answer = ask(Names({}), message(wire("_stratum._tcp.pool.example"), SRV))
    assert records(answer)[1] == [(SRV, struct.pack(">HHH", 10, 10, 3333) + wire("pool.example"))]
    _, _, answer = ask(Names({}), message(wire("_http._tcp.deb.example"), SRV))  # what APT asks first
    assert records(answer)[1] == [(SRV, struct.pack(">HHH", 10, 10, 80) + wire("deb.example"))]


def test_any_is_answered_with_all_and_cut_short_where_udp_has_no_room() -> None:
    long = ".".join("x" * 60 for _ in range(4))
    names = Names({})
    short = records(ask(names, message(wire(long), ANY))[2])
    assert short[0] & 0x0200
    assert short[1] == []
    whole = records(ask(names, message(wire(long), ANY), udp=False)[2])
    assert {kind for kind, _ in whole[1]} == {A, AAAA, MX, TXT, NS, SOA}
    assert not whole[0] & 0x0200
    roomy = records(ask(names, message(wire(long), ANY, extra=OPT))[2])
    assert {kind for kind, _ in roomy[1]} == {kind for kind, _ in whole[1]}
    assert roomy[3] == 1


def test_given_names_keep_their_addresses() -> None:
    names = Names({"DB": ("172.17.0.9",)})
    assert records(ask(names, message(wire("db")))[2])[1] == [(A, bytes([172, 17, 0, 9]))]
    assert records(ask(names, message(wire("db"), AAAA))[2])[1] == []
    assert records(ask(names, message(wire("localhost")))[2])[1] == [(A, bytes([127, 0, 0, 1]))]
    assert names.name("172.17.0.9") == "db"


def test_too_many_names_share_one_address_and_are_counted() -> None:
    names = Names({})
    for number in range(32_768):
        names.addresses(f"n{number}.example")
    shared = names.addresses("one.more.example")
    assert names.addresses("another.example") == shared
    assert names.name(shared[0]) is None
    assert names.left_out == 2
    assert names.name(names.addresses("n17.example")[0]) == "n17.example"
    assert ipaddress.ip_address(shared[0]) in POOL4


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (message(b"\xc0\x0c"), "."),  # a pointer to itself
        (message(b"\x01a\xc0\x0c"), "a"),  # to what leads to it
        (message(b"\x01a\x01b\xff"), "a.b"),
        (message((b"\x3f" + b"x" * 63) * 4 + b"\0"), ".".join(["x" * 63] * 3)),  # 257 bytes
        (message(wire("a.example"))[:-3], "a.example"),
        (message(b"\x3fab"), "."),
        (struct.pack(">HHHHHH", 0x1234, 0, 9, 0, 0, 0) + wire("a.example") + b"\0\1\0\1", "a.example"),
    ],
)
def test_broken_questions_are_told_with_what_can_be_read(data: bytes, name: str) -> None:
    told, kind, answer = ask(Names({}), data)
    assert kind == MALFORMED
    assert told == name
    assert struct.unpack_from(">HHH", answer) == (0x1234, 0x8081, 0)
    assert not is_query(data)


def test_odd_requests_have_their_codes() -> None:
    names = Names({})
    code = lambda data: struct.unpack_from(">H", ask(names, data)[2], 2)[0] & 0xF  # noqa: E731
    assert code(message(wire("a.example"), flags=0x2000)) == 4  # NOTIFY
    assert code(message(wire("version.bind"), TXT, class_=3)) == 5
    assert code(message(wire("example"), 252)) == 5  # a zone's transfer
    future = b"\0" + struct.pack(">HHBBHH", 41, 4096, 0, 9, 0, 0)
    answer = ask(names, message(wire("a.example"), extra=future))[2]
    assert answer[-11:] == b"\0" + struct.pack(">HHBBHH", 41, 1232, 1, 0, 0, 0)
    assert names.ask(message(wire("a.example"), flags=0x8180), udp=True) is None  # an answer
    assert names.ask(b"short", udp=True) is None


def test_bytes_that_are_no_text_are_shown_as_a_zone_file_would() -> None:
    name, _, _ = ask(Names({}), message(b"\x05a.b\\\xff\x02c \0"))
    assert name == r"a\.b\\\255.c\032"


@given(st.binary(max_size=600), st.booleans())
def test_no_message_breaks_the_server(data: bytes, udp: bool) -> None:
    names = Names({})
    for message in (data, b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + data):
        asked = names.ask(message, udp)
        if asked is not None and asked.answer is not None:
            assert asked.answer[:2] == message[:2]
            assert asked.answer[2] & 0x80
            assert not udp or len(asked.answer) <= 1232
        is_query(message)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6))
def test_every_name_leads_back_whatever_its_bytes(labels: list[bytes]) -> None:
    names = Names({})
    raw = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    shown, _, answer = ask(names, message(raw))
    if shown.lower().endswith(("in-addr.arpa", "ip6.arpa", "localhost")):
        return
    [(_, four)] = records(answer)[1]
    _, _, back = ask(names, message(wire(ipaddress.ip_address(four).reverse_pointer), PTR))
    assert records(back)[1] == [(PTR, raw.lower())]
