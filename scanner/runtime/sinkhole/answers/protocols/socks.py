"""SOCKS 4, 4a (the memos of their authors) and 5 (RFC 1928, RFC 1929): whom a proxy is asked for, and what is then said to it."""

import socket

from scanner.model import Json
from scanner.model.run import Endpoint
from scanner.runtime.sinkhole.answers.protocol import Speaker, Talk, shown
from scanner.runtime.sinkhole.answers.stream import Stream
from scanner.runtime.sinkhole.answers.values import Heard

_COMMANDS = {1: "connect", 2: "bind", 3: "associate", 0xF0: "resolve", 0xF1: "resolve-ptr"}
_WAYS = {0: "none", 1: "gssapi", 2: "password"}
_TEXT = 256


def recognise(first: bytes, port: int) -> Heard | None:  # noqa: ARG001 -- of any port
    if first[:1] == b"\5" and 2 < len(first) >= 2 + first[1] and 0 < first[1] <= 10:
        # a list of ways that are all known, with nothing behind it: the client has to wait now
        ways = first[2 : 2 + first[1]]
        if len(first) == 2 + first[1] and all(way in _WAYS or way >= 0x80 or way < 10 for way in ways):
            return Heard("socks5", {"socks": {"version": 5}})
        # Tor and others send the request at once
        if first[2 + first[1] :][:1] in (b"\5", b"\1") and all(way < 10 for way in ways):
            return Heard("socks5", {"socks": {"version": 5}})
    if first[:1] == b"\4" and len(first) >= 9 and first[1] in (1, 2, 0xF0, 0xF1) and b"\0" in first[8 : 8 + _TEXT]:
        return Heard("socks4", {"socks": _four(first)})
    return None


async def converse(talk: Talk, heard: Heard) -> None:
    """Grant what is asked, and go on as the one who was asked for. Raises Over."""
    target = await (_socks4 if heard.service == "socks4" else _socks5)(talk)
    if target is not None:
        await talk.inside(talk.stream, target)


def _four(first: bytes) -> dict[str, Json]:
    user, _, rest = first[8:].partition(b"\0")
    known: dict[str, Json] = {"version": 4, "command": _COMMANDS[first[1]]}
    if user:
        known["user"] = shown(user, 100)
    if first[4:7] == b"\0\0\0" and first[7]:
        host, end, _ = rest.partition(b"\0")
        if not end:
            return known
        known["version"], address = "4a", shown(host, 255)
    else:
        address = socket.inet_ntoa(first[4:8])
    return known | {"target": Endpoint(address, int.from_bytes(first[2:4], "big")).display}


async def _socks4(talk: Talk) -> Endpoint | None:
    head = await talk.stream.take(8)
    user = await _until_zero(talk.stream)
    address = socket.inet_ntoa(head[4:8])
    host = b""
    if head[4:7] == b"\0\0\0" and head[7]:
        host = await _until_zero(talk.stream)
        address = shown(host, 255)
    talk.tell("socks", **_four(head + user + b"\0" + (host + b"\0" if host else b"")))
    await talk.stream.write(b"\0\x5a" + head[2:8])
    return Endpoint(address, int.from_bytes(head[2:4], "big")) if head[1] == 1 else None


async def _until_zero(stream: Stream) -> bytes:
    """A text and not the zero byte behind it, cut at _TEXT bytes. Raises Over."""
    text = b""
    while (byte := await stream.take(1)) != b"\0":
        if len(text) < _TEXT:
            text += byte
    return text


async def _socks5(talk: Talk) -> Endpoint | None:
    stream = talk.stream
    ways = await stream.take((await stream.take(2))[1])
    talk.tell("socks", offered=[_WAYS.get(way, f"0x{way:02x}") for way in ways[:10]])
    if 2 in ways:
        # a client that could do without has a name to tell if it offers this
        await stream.write(b"\5\2")
        user = await stream.take((await stream.take(2))[1])
        await stream.skip((await stream.take(1))[0])  # the password, which is told to nobody
        talk.tell("socks", user=shown(user, 100) or None, auth="password")
        await stream.write(b"\1\0")
    elif 0 in ways:
        await stream.write(b"\5\0")
    else:
        await stream.write(b"\5\xff")
        return None
    head = await stream.take(4)
    if head[0] != 5 or head[3] not in (1, 3, 4):
        return None
    match head[3]:
        case 1:
            address = socket.inet_ntoa(await stream.take(4))
        case 4:
            address = socket.inet_ntop(socket.AF_INET6, await stream.take(16))
        case _:
            address = shown(await stream.take((await stream.take(1))[0]), 255)
    target = Endpoint(address, int.from_bytes(await stream.take(2), "big"))
    talk.tell("socks", command=_COMMANDS.get(head[1], str(head[1])), target=target.display)
    await stream.write(b"\5\0\0\1\0\0\0\0\0\0")
    return target if head[1] == 1 else None


PLUGIN = Speaker("socks", recognise=recognise, converse={"socks4": converse, "socks5": converse}, weak=True)
