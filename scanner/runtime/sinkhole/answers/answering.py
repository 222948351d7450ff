"""The three calls: what a TCP stream's first bytes are, what a UDP datagram is, and a conversation with the client.

Details' keys are described in the package's docstring.
"""

import math
import socket
from collections import Counter
from contextlib import suppress
from functools import cache

from scanner.plugins import plugins
from scanner.runtime.sinkhole.answers.greeting import greet
from scanner.runtime.sinkhole.answers.keys import Keys
from scanner.runtime.sinkhole.answers.protocol import Speaker, Talk, shown
from scanner.runtime.sinkhole.answers.stream import Connection, Over, Stream
from scanner.runtime.sinkhole.answers.values import SILENT, Context, Heard, Limits, Spoken

__all__ = ["Context", "Heard", "Keys", "Limits", "Spoken", "converse", "datagram", "recognise"]

_PACKAGE = "scanner.runtime.sinkhole.answers.protocols"
_ENOUGH = 64
"""Bytes after which a stream that nobody knows stays unknown."""
_LOOKED_AT = 16 << 10
"""Bytes that a recogniser sees; a TLS hello with post-quantum keys has two thousand."""


@cache
def _speakers() -> tuple[Speaker, ...]:
    return tuple(sorted(plugins(_PACKAGE), key=lambda speaker: speaker.weak))


def recognise(first: bytes, port: int) -> Heard:
    """What a TCP stream that begins with these bytes is; `silent` for none, `unknown` where nobody knows them. Never raises."""
    if not first:
        return SILENT
    first = first[:_LOOKED_AT]
    for speaker in _speakers():
        if speaker.recognise and (heard := speaker.recognise(first, port)):
            return heard
    return unknown(first)


def datagram(data: bytes, port: int) -> tuple[Heard, bytes | None]:
    """What a UDP datagram is, and the answer to it, None for none. Never raises."""
    for speaker in _speakers():
        if speaker.datagram and (known := speaker.datagram(data, port)):
            return known
    return (unknown(data) if data else SILENT), None


def unknown(data: bytes) -> Heard:
    """How random the bytes are, and their printable start: a hint at encryption, or at a protocol of text."""
    seen = data[:256]
    entropy = -sum(n / len(seen) * math.log2(n / len(seen)) for n in Counter(seen).values())
    start = len(seen) - len(seen.lstrip(bytes(range(32, 127)) + b"\t\r\n"))
    return Heard("unknown", {"unknown": {"entropy": round(entropy, 2), "text": shown(seen[:start].strip(), 120)}})


async def converse(connection: socket.socket, first: bytes, heard: Heard, context: Context) -> Spoken:
    """Answer a client until it has nothing more to say or a limit is reached, and close the connection.

    `connection` does not block and is ours from now on. `first` were peeked from it and are read again, `heard` is what they
    are; where they are none, the client has been given its time, and the server speaks first at once. What is heard is told
    by `context.tell`, `service` and `layers` with it. Raises nothing but what cancels the task.
    """
    pipe = Connection(connection, context.limits)
    talk = Talk(context, Stream(pipe), _go_on, known=(first, heard))
    try:
        await _go_on(talk)
        end = "answered"
    except Over as over:
        end = over.reason
    except Exception as error:
        # a fault of ours costs this conversation, and is told
        end = "answered"
        context.tell({"problem": f"{type(error).__name__} in {'/'.join(talk.layers) or 'recognition'}"})
    finally:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
    context.tell({"end": end})
    return Spoken(pipe.first, pipe.received, pipe.sent, end)


async def _go_on(talk: Talk) -> None:
    """Hear what the stream begins with, and let who knows it answer; the server speaks first where the client does not."""
    stream, limits = talk.stream, talk.context.limits
    port = talk.context.target.port or 0
    first, heard = talk.known or (None, SILENT)
    talk.known = None
    if first == b"" or not (stream.ahead or await _within(talk, limits.silence)):
        await greet(talk, port)
    if bytes(stream.ahead) != first:
        heard = recognise(bytes(stream.ahead), port)
    try:
        # a few bytes may be the beginning of anything, however long the next ones take
        while heard.service == "unknown" and _cut_short(stream.ahead):
            await stream.more()
            heard = recognise(bytes(stream.ahead), port)
    finally:
        talk.heard(heard)
    if talk.depth >= limits.depth:
        talk.unanswered(f"more than {limits.depth} streams inside of streams")
        return
    for speaker in _speakers():
        if answer := speaker.converse.get(heard.service):
            await answer(talk, heard)
            return
    # nobody knows it: what else comes is counted, and not kept
    while True:
        await stream.some()


def _cut_short(data: bytearray) -> bool:
    """Whether it may be the beginning of something: few bytes, or JSON whose line has no end yet."""
    return len(data) < _ENOUGH or (data[:1] == b"{" and len(data) < _LOOKED_AT and b"\n" not in data)


async def _within(talk: Talk, seconds: float) -> bool:
    """Whether more bytes came in that time. Raises Over where nothing will come any more and there is nothing to judge."""
    try:
        await talk.stream.more(seconds)
    except Over as over:
        if over.reason not in ("silence", "closed") or (over.reason == "closed" and not talk.stream.ahead):
            raise
        return False
    return True
