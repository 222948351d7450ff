"""HTTP/2 (RFC 9113) as a client begins it: settings are exchanged, and every request gets an empty 200.

Headers are compressed (RFC 7541) and not read: whom they are for says the TLS name. Where a client offers HTTP/1.1 as well, that
is what it gets.
"""

from scanner.runtime.sinkhole.answers.protocol import Speaker, Talk
from scanner.runtime.sinkhole.answers.values import Heard

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _SETTINGS, _PING, _GOAWAY = 1, 4, 6, 7
_FRAME = 16 << 10
_STATUS_200 = b"\x88"
"""Entry 8 of the static table of RFC 7541."""


def recognise(first: bytes, port: int) -> Heard | None:  # noqa: ARG001 -- of any port
    if len(first) >= 16 and _PREFACE.startswith(first[:24]):
        return Heard("http2", {"http": {"version": "2"}})
    return None


async def converse(talk: Talk, heard: Heard) -> None:  # noqa: ARG001
    """Raises Over."""
    stream = talk.stream
    await stream.take(len(_PREFACE))
    await stream.write(_frame(_SETTINGS, 0, 0))
    requests = 0
    while True:
        head = await stream.take(9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        number = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        if size > _FRAME:
            return
        body = await stream.take(size)
        if kind == _SETTINGS and not flags & 1:
            await stream.write(_frame(_SETTINGS, 1, 0))
        elif kind == _PING and not flags & 1 and size == 8:
            await stream.write(_frame(_PING, 1, 0, body))
        elif kind == _HEADERS and number:
            requests += 1
            talk.tell("http", requests=requests)
            await stream.write(_frame(_HEADERS, 5, number, _STATUS_200))
        elif kind == _GOAWAY:
            return


def _frame(kind: int, flags: int, number: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + number.to_bytes(4, "big") + body


PLUGIN = Speaker("http2", recognise=recognise, converse={"http2": converse})
