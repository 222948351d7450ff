"""Hostile clients: whatever the bytes, no recogniser raises, and every conversation ends within its budget and keeps nothing."""

import asyncio
import gc
import json
import socket
import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.model.run import Endpoint
from scanner.runtime.sinkhole.answers import hello, mining
from scanner.runtime.sinkhole.answers.answering import Context, Keys, Limits, Spoken, converse, datagram, recognise
from scanner.runtime.sinkhole.answers.protocols import databases, magic, quic, ssh
from tests.runtime.sinkhole.answers.test_http import UPGRADE, frame, query
from tests.runtime.sinkhole.answers.test_others import STUN, frp_login
from tests.runtime.sinkhole.answers.test_stratum import MONERO
from tests.runtime.sinkhole.answers.test_tls import client_hello, rfc9001_initial

LOGIN = (
    json.dumps({"id": 1, "method": "login", "params": {"login": MONERO, "pass": "x", "agent": "a"}}).encode() + b"\n"
)
SEEDS = (
    client_hello(),
    b"GET /a?dns=AAA HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    b"CONNECT h:22 HTTP/1.1\r\n\r\nSSH-2.0-x\r\n",
    UPGRADE + frame(b"SSH-2.0-x\r\n"),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\1\1\5\0\0\0\1\x82",
    LOGIN,
    b'{"id":1,"method":"mining.subscribe","params":["m/1"]}\n',
    b"SSH-2.0-OpenSSH_9.9\r\n\0\0\1\x2c\4\x14" + bytes(300),
    b"\5\2\0\2\5\1\0\3\4name\0\x50GET / HTTP/1.0\r\n\r\n",
    b"\4\1\0\x50\0\0\0\1me\0name\0",
    b"EHLO x\r\nMAIL FROM:<a>\r\nDATA\r\nhello\r\n.\r\nSTARTTLS\r\n",
    b"NICK a\r\nUSER a b c :d\r\n",
    b"a1 LOGIN a b\r\na2 AUTHENTICATE PLAIN\r\nxx\r\n",
    b"\xff\xfd\3root\r\n",
    b"\0\0\0\x16\0\3\0\0user\0a\0database\0b\0\0Q\0\0\0\5x",
    b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n",
    b"\x10\x11\0\4MQTT\4\2\0\x3c\0\5bot-1\x82\x0b\0\1\0\6cmd/#1\0",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.0\r\n\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + b"GET / HTTP/1.0\r\n\r\n",
    frp_login(True),
    b"\x17" + client_hello(),
    len(query("a.example")).to_bytes(2, "big") + query("a.example"),
    b"\0\0\7\0\6\0\3\0\4\0\5",
    b"\x13BitTorrent protocol" + bytes(48),
    rfc9001_initial(),
    STUN,
    query("a.example"),
)
PORTS = st.sampled_from((0, 21, 22, 25, 53, 80, 110, 123, 137, 143, 443, 514, 853, 1194, 3306, 4500, 6379, 65535))


@st.composite
def hostile(draw):
    """Bytes of a protocol with a piece cut out, turned, doubled or put in."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(0, 20)))
        match draw(st.integers(0, 4)):
            case 0:
                del data[at:to]
            case 1:
                data[at:to] = draw(st.binary(max_size=20))
            case 2:
                data[at:at] = draw(
                    st.sampled_from((b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\r\n", b"{" * 50, b"99999999999"))
                )
            case 3:
                data[at:at] = data[at:to]
            case 4:
                del data[at:]
    return bytes(data)


bytes_of_any_kind = st.one_of(st.binary(max_size=300), hostile())


def printable(value: object) -> bool:
    if isinstance(value, str):
        return value.isprintable() and len(value) <= 500
    if isinstance(value, dict):
        return all(printable(k) and printable(v) for k, v in value.items())
    if isinstance(value, list):
        return len(value) <= 64 and all(map(printable, value))
    return value is None or isinstance(value, int | float | bool)


@settings(max_examples=500, deadline=None)
@given(bytes_of_any_kind, PORTS)
def test_no_stream_or_datagram_makes_a_recogniser_raise(data, port):
    for heard in (recognise(data, port), datagram(data, port)[0]):
        assert heard.service
        assert printable(json.loads(json.dumps(heard.details)))


@settings(max_examples=250, deadline=None)
@given(st.one_of(st.binary(max_size=600), st.sampled_from(SEEDS)), st.data())
def test_no_bytes_make_a_parser_raise(data, more):
    cut = data[more.draw(st.integers(0, len(data))) :]
    for one in (data, cut):
        hello.of_message(one)
        hello.of_message(one, dtls=True)
        hello.of_stream(b"\x16\x03\x01" + one)
        hello.of_stream(b"\x80" + one)
        ssh.algorithms(one)
        mining.message(one)
        magic.recognise(one, 1)
        databases.recognise(b"\0\0\0" + one, 3306)
        with suppress(quic._Unreadable, IndexError):
            quic._crypto(one)
        quic.datagram((b"\xc0\0\0\0\1" + one).ljust(1200, b"\0"), 443)


# Conversations

LIMITS = Limits(seconds=0.7, idle=0.1, silence=0.02, read=64 << 10, written=32 << 10)
KEYS = Keys()


async def conversation(data: bytes, port: int, limits: Limits) -> tuple[Spoken, dict, float]:
    """With a client that sends `data`, reads whatever comes, and leaves the line open; and how long it took."""
    told: dict = {}
    client, server = socket.socketpair()
    client.setblocking(False)
    server.setblocking(False)
    loop = asyncio.get_running_loop()

    async def send() -> None:
        with suppress(OSError):
            await loop.sock_sendall(client, data)

    async def drain() -> None:
        with suppress(OSError):
            while await loop.sock_recv(client, 65536):
                pass

    tasks = [loop.create_task(send()), loop.create_task(drain())]
    began = time.monotonic()
    context = Context(Endpoint("192.0.2.1", port), None, told.update, KEYS, limits)
    spoken = await converse(server, data[:8192], recognise(data[:8192], port), context)
    seconds = time.monotonic() - began
    assert server.fileno() == -1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    client.close()
    return spoken, told, seconds


def held(*clients: tuple[bytes, int], limits: Limits = LIMITS) -> list[tuple[Spoken, dict, float]]:
    """Conversations with all of these clients at once."""

    complaints: list[dict] = []

    async def run() -> list[tuple[Spoken, dict, float]]:
        asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        return await asyncio.gather(*(conversation(data, port, limits) for data, port in clients))

    found = asyncio.run(run())
    gc.collect()
    assert complaints == []
    return found


@settings(max_examples=4, deadline=None)
@given(st.lists(st.tuples(hostile(), PORTS), min_size=15, max_size=30))
def test_every_conversation_ends_within_its_budget_without_a_fault_of_ours(clients):
    for spoken, told, seconds in held(*clients):
        assert "problem" not in told
        assert spoken.received <= LIMITS.read
        assert spoken.sent <= LIMITS.written
        assert len(spoken.first) <= 256
        assert seconds < LIMITS.seconds + 2
        assert printable(json.loads(json.dumps(told)))


def test_every_protocol_that_stops_in_the_middle_comes_to_an_end():
    for seed, (spoken, told, seconds) in zip(
        SEEDS, held(*((seed[: len(seed) * 2 // 3], 80) for seed in SEEDS)), strict=True
    ):
        assert "problem" not in told, seed
        assert spoken.end in ("silence", "time limit", "answered"), seed
        assert seconds < LIMITS.seconds + 2, seed


@pytest.mark.parametrize(
    ("data", "port", "end"),
    [
        (b"GET / HTTP/1.1\r\n" + b"X-A: " + b"a" * 200_000, 80, "answered"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 50_000, 80, "answered"),
        (b"GET /" + b"a" * 200_000, 80, "answered"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"a" * 200_000, 80, "read limit"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 50_000, 80, "read limit"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n" + b"a" * 200_000, 80, "read limit"),
        (b"GET / HTTP/1.1\r\n\r\n" * 20_000, 80, "answered"),
        (b"\x16\x03\x01\0\0" * 40_000, 443, None),
        (b"\x16\x03\x01\xff\xff\x01\xff\xff\xff" + b"a" * 200_000, 443, None),
        (b"{" * 200_000, 3333, "read limit"),
        (b'{"id":1,"method":"login","params":{"login":"' + b"a" * 200_000, 3333, "read limit"),
        (LOGIN * 2000, 3333, "write limit"),
        (b'{"id":1,"method":"login","params":' + b"[" * 10_000 + b"]" * 10_000 + b"}\n", 3333, "silence"),
        (b"\5\1\0" + b"\5\1\0\1\0\0\0\0\0\0" * 10_000, 1080, None),
        (UPGRADE + b"\x89\x80\0\0\0\0" * 20_000, 80, None),
        (UPGRADE + b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" + b"a" * 200_000, 80, None),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" * 20_000, 80, None),
        (b"*9999\r\n" + b"$1\r\na\r\n" * 20_000, 6379, None),
        (b"a" * 500_000, 9, "read limit"),
        (b"SSH-2.0-x\r\n" + b"\xff" * 200_000, 22, None),
        (b"SSH-2.0-" + b"x" * 200_000, 22, None),
        (b"\0" * 200_000, 9, "read limit"),
    ],
    ids=range(22),
)
def test_a_client_made_to_hurt_costs_its_budget_and_no_more(data, port, end):
    [(spoken, told, seconds)] = held((data, port))
    assert "problem" not in told
    assert spoken.received <= LIMITS.read
    assert spoken.sent <= LIMITS.written
    assert end in (None, spoken.end)
    assert seconds < LIMITS.seconds + 2


def test_a_slow_client_has_its_time_limit_and_no_longer():
    async def run() -> tuple[Spoken, float]:
        client, server = socket.socketpair()
        server.setblocking(False)

        async def drip() -> None:
            with suppress(OSError):
                for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 1000:
                    client.send(bytes((byte,)))
                    await asyncio.sleep(0.02)

        task = asyncio.create_task(drip())
        began = time.monotonic()
        limits = Limits(seconds=1, idle=0.5, silence=0.2)
        spoken = await converse(
            server, b"", recognise(b"", 80), Context(Endpoint("192.0.2.1", 80), None, lambda _: None, KEYS, limits)
        )
        task.cancel()
        client.close()
        return spoken, time.monotonic() - began

    spoken, seconds = asyncio.run(run())
    assert spoken.end == "time limit"
    assert seconds < 10, "the client drips for twenty"


def test_a_client_that_reads_nothing_does_not_hold_us():
    async def run() -> Spoken:
        client, server = socket.socketpair()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.setblocking(False)
        server.setblocking(False)
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 2000))
        spoken = await converse(
            server,
            b"GET",
            recognise(b"GET", 80),
            Context(Endpoint("192.0.2.1", 80), None, lambda _: None, KEYS, LIMITS),
        )
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        client.close()
        return spoken

    assert asyncio.run(run()).end in ("silence", "answered")


def test_many_conversations_keep_nothing():
    short = Limits(seconds=0.2, idle=0.05, silence=0.01)
    clients = [(data, 80) for data in (LOGIN * 3, SEEDS[1], b"a" * 5000, UPGRADE)] * 10
    held(*clients, limits=short)
    tracemalloc.start()
    try:
        held(*clients, limits=short)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(4):
            held(*clients, limits=short)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 200_000


@pytest.mark.parametrize(
    "data",
    [
        b"a" * 16000,
        b"a." * 8000,
        b"a@" * 8000,
        b"/" * 16000 + b" ",
        b"[" * 16000,
        b"{" * 16000,
        b"\x1b[" * 8000,
        b"GET " + b"/" * 16000,
        b"\0\0\0" * 5000,
        b"*1\r\n" * 4000,
        b"<1>" * 5000,
    ],
)
def test_no_bytes_take_a_recogniser_long(data):
    began = time.process_time()
    recognise(data, 80)
    datagram(data, 80)
    assert time.process_time() - began < 0.5


def test_certificates_are_kept_within_bounds():
    keys = Keys()
    for number in range(300):
        assert keys.tls(f"{number}.example", ()) is not None
    assert len(keys._contexts) == 256


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 300,
        "x y",
        "*.example",
        "-",
        "192.0.2.1",
        "2001:db8::1",
        "fe80::1%eth0",
        "a\0b",
        "..",
        "xn--",
        "_x.example",
    ],
)
def test_a_certificate_is_made_for_any_name(name):
    assert KEYS.tls(name, ("h2",)) is not None
