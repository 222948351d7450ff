"""Databases and brokers: who logs in, to what, and what it asks first.

MySQL's Protocol::HandshakeResponse41; PostgreSQL's Message Formats (StartupMessage, SSLRequest); Redis' RESP; MQTT 3.1.1 and 5
(CONNECT); AMQP 0-9-1 4.2.2; MongoDB's wire protocol.
"""

import re

from scanner.model import Json
from scanner.runtime.sinkhole.answers.protocol import Speaker, Talk, shown
from scanner.runtime.sinkhole.answers.values import Heard

_SSL_REQUEST, _GSS_REQUEST, _PROTOCOL_3 = 80877103, 80877104, 196608
_REDIS = re.compile(
    rb"\*[1-9]\d?\r\n\$\d{1,6}\r\n|(?:PING|INFO|AUTH \S+|CONFIG (?:GET|SET) .+|SLAVEOF .+)\r?\n", re.IGNORECASE
)
_MESSAGE = 64 << 10


def recognise(first: bytes, port: int) -> Heard | None:
    if len(first) >= 8 and first[0] == 0:
        size, code = int.from_bytes(first[:4], "big"), int.from_bytes(first[4:8], "big")
        if size == 8 and code in (_SSL_REQUEST, _GSS_REQUEST):
            return Heard("postgres", {"postgres": {"ssl": code == _SSL_REQUEST}})
        if code == _PROTOCOL_3 and 9 <= size <= 10000:
            return Heard("postgres", {"postgres": _startup(first[8:size])})
    if _REDIS.match(first):
        return Heard("redis", {"redis": {}})
    if first[:1] == b"\x10" and (
        first[2:8] == b"\0\4MQTT" or first[3:9] == b"\0\4MQTT" or first[2:10] == b"\0\6MQIsdp"
    ):
        return Heard("mqtt", {"mqtt": {}})
    if first[:4] == b"AMQP" and len(first) >= 8:
        return Heard("amqp", {"amqp": {"version": ".".join(map(str, first[5:8]))}})
    if len(first) >= 36 and port in (3306, 3307) and first[3] == 1 and first[13:36] == bytes(23):
        user, _, rest = first[36:].partition(b"\0")
        database = re.match(rb"([\w$-]{1,64})\0", rest[1 + rest[0] :]) if rest else None
        known: dict[str, Json] = {"user": shown(user, 100)}
        return Heard("mysql", {"mysql": known | ({"database": database[1].decode()} if database else {})})
    if (
        len(first) >= 16
        and first[12:16] in (b"\xdd\x07\0\0", b"\xd4\x07\0\0")
        and int.from_bytes(first[:4], "little") < 48 << 20
    ):
        return Heard("mongodb", {"mongodb": {}})
    return None


def _startup(data: bytes) -> dict[str, Json]:
    words = data.split(b"\0")
    given = dict(zip(words[::2], words[1::2], strict=False))
    names = {b"user": "user", b"database": "database", b"application_name": "client"}
    return {ours: shown(given[theirs], 100) for theirs, ours in names.items() if given.get(theirs)}


async def postgres(talk: Talk, heard: Heard) -> None:  # noqa: ARG001
    """Yes to TLS and to every user; then each query is told and gets an empty answer. Raises Over."""
    stream = talk.stream
    size, code = int.from_bytes(await stream.take(4), "big"), int.from_bytes(await stream.take(4), "big")
    if code == _SSL_REQUEST:
        await stream.write(b"S")
        await talk.inside(stream)
        return
    if code == _GSS_REQUEST:
        await stream.write(b"N")
        await talk.inside(stream)
        return
    await stream.skip(min(size - 8, _MESSAGE))
    ready = b"Z\0\0\0\5I"
    await stream.write(b"R\0\0\0\x08\0\0\0\0" + ready)
    while True:
        kind, size = await stream.take(1), int.from_bytes(await stream.take(4), "big")
        begin = await stream.take(min(max(size - 4, 0), 400))
        await stream.skip(max(size - 4, 0) - len(begin))
        if kind == b"X":
            return
        if kind in (b"Q", b"P"):
            talk.listed("postgres", "commands", shown(begin.strip(b"\0")))
        if kind in (b"Q", b"S"):
            await stream.write(b"C\0\0\0\x0dSELECT 0\0" + ready)


async def redis(talk: Talk, heard: Heard) -> None:  # noqa: ARG001
    """Yes to everything; passwords are told to nobody. Raises Over."""
    stream = talk.stream
    while True:
        words = [await stream.line(_MESSAGE)]
        if re.fullmatch(rb"\*\d{1,4}", words[0]):
            count = int(words[0][1:])
            words = []
            for number in range(count):
                size = await stream.line(20)
                if not re.fullmatch(rb"\$\d{1,9}", size):
                    return
                data = await stream.take(min(int(size[1:]), 400))
                await stream.skip(int(size[1:]) - len(data) + 2)
                if number < 8:
                    words.append(data)
        else:
            words = words[0].split()[:8]
        if not words:
            continue
        command = words[0].upper()
        secret = command in (b"AUTH", b"HELLO") or (command == b"CONFIG" and b"pass" in b" ".join(words).lower())
        talk.listed("redis", "commands", shown(command + b" ***" if secret else b" ".join(words)))
        await stream.write(
            {
                b"PING": b"+PONG\r\n",
                b"INFO": b"$19\r\nredis_version:7.2.4\r\n",
                b"HELLO": b"*0\r\n",
                b"GET": b"$-1\r\n",
            }.get(command, b"+OK\r\n")
        )


async def mqtt(talk: Talk, heard: Heard) -> None:  # noqa: ARG001
    """Let the client in, and tell the topics it asks for. Raises Over."""
    stream = talk.stream
    version = 0
    while True:
        kind = (await stream.take(1))[0]
        size = shift = 0
        while True:
            byte = (await stream.take(1))[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128 or shift > 21:
                break
        body = await stream.take(min(size, 4096))
        await stream.skip(size - len(body))
        match kind >> 4:
            case 1:
                at = 2 + int.from_bytes(body[:2], "big")
                version = body[at] if len(body) > at else 0
                at += 4
                if version == 5 and len(body) > at:
                    at += 1 + body[at]
                client = body[at + 2 : at + 2 + int.from_bytes(body[at : at + 2], "big")]
                talk.tell("mqtt", client=shown(client, 100), version=version)
                await stream.write(b"\x20\3\0\0\0" if version == 5 else b"\x20\2\0\0")
            case 3:
                talk.listed("mqtt", "topics", shown(body[2 : 2 + int.from_bytes(body[:2], "big")], 100))
            case 8:
                at = 3 + body[2] if version == 5 and len(body) > 2 else 2  # MQTT 5 has properties before the topics
                talk.listed(
                    "mqtt", "topics", shown(body[at + 2 : at + 2 + int.from_bytes(body[at : at + 2], "big")], 100)
                )
                await stream.write(b"\x90\3" + body[:2] + b"\0")
            case 12:
                await stream.write(b"\xd0\0")
            case 14:
                return


async def mysql(talk: Talk, heard: Heard) -> None:  # noqa: ARG001
    """Let the client in, and tell what it asks. Raises Over."""
    stream = talk.stream
    logged_in = False
    while True:
        head = await stream.take(4)
        size = int.from_bytes(head[:3], "little")
        body = await stream.take(min(size, 400))
        await stream.skip(size - len(body))
        if logged_in and body[:1] == b"\1":
            return
        if logged_in and body[:1] == b"\3":
            talk.listed("mysql", "commands", shown(body[1:]))
        logged_in = True
        await stream.write(b"\7\0\0" + bytes(((head[3] + 1) & 255,)) + b"\0\0\0\2\0\0\0")


PLUGIN = Speaker(
    "databases",
    recognise=recognise,
    converse={"postgres": postgres, "redis": redis, "mqtt": mqtt, "mysql": mysql},
)
