"""TLS: the hello's words, a handshake with a certificate that proves nothing, and whatever lies inside.

A client that trusts only certain certificates refuses with an alert, which is told: it is a sign of care, or of a pin.
"""

import ssl
from typing import Any

from scanner.runtime.sinkhole.answers import hello
from scanner.runtime.sinkhole.answers.protocol import Speaker, Talk
from scanner.runtime.sinkhole.answers.stream import Over, Stream
from scanner.runtime.sinkhole.answers.values import Heard

_HELLO = 66 << 10
"""A hello with the largest keys known has less than a tenth of this."""
_PREFERRED = ("http/1.1", "http/1.0")
"""Of what a client offers we choose what we can read best, else its first."""


def recognise(first: bytes, port: int) -> Heard | None:  # noqa: ARG001 -- of any port
    found = hello.of_stream(first)
    return None if found is None else Heard("tls", {"tls": hello.described(found)})


async def converse(talk: Talk, heard: Heard) -> None:  # noqa: ARG001
    """Read the whole hello, answer it, go on inside."""
    stream = talk.stream
    found = hello.of_stream(bytes(stream.ahead))
    while found is not None and not found.complete and len(stream.ahead) < _HELLO:
        await stream.more()
        found = hello.of_stream(bytes(stream.ahead))
    if found is None:
        return
    talk.tell("tls", **hello.described(found))
    name = found.sni.decode("ascii", "ignore")[:253] if found.sni else talk.context.target.address
    context = talk.context.keys.tls(name, _chosen(found.alpn), _only_rsa(found))
    if context is None:
        talk.unanswered("cryptography is not installed")
        return
    inside = Tls(stream, context)
    try:
        agreed = await inside.handshake()
    except ssl.SSLError as error:
        talk.tell("tls", refused=_alert(error))
        return
    except Over as over:
        if over.reason in ("closed", "reset"):
            talk.tell("tls", refused="closed")
        raise
    talk.tell("tls", chosen=agreed)
    try:
        await talk.inside(Stream(inside))
    except ssl.SSLError as error:
        # TLS 1.3: a client may judge the certificate after it has finished its part
        talk.tell("tls", refused=_alert(error))


class Tls:
    """TLS inside of a stream, as a pipe. Raises ssl.SSLError besides Over."""

    def __init__(self, outer: Stream, context: ssl.SSLContext) -> None:
        self._outer = outer
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    async def handshake(self) -> str:
        """Version and protocol agreed on, as words."""
        await self._until(self._tls.do_handshake)
        return " ".join(
            filter(None, ((self._tls.version() or "").replace("v", " "), self._tls.selected_alpn_protocol()))
        )

    async def receive(self, idle: float | None) -> bytes:
        try:
            data: bytes = await self._until(self._tls.read, 16 << 10, idle=idle)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        return data

    async def send(self, data: bytes) -> None:
        await self._until(self._tls.write, data)

    async def _until(self, act: Any, *arguments: Any, idle: float | None = None) -> Any:
        while True:
            try:
                result = act(*arguments)
            except ssl.SSLWantReadError:
                await self._flush()
                try:
                    self._in.write(await self._outer.some(idle))
                except Over as over:
                    if over.reason != "closed":
                        raise
                    self._in.write_eof()
            except ssl.SSLError:
                await self._flush()  # our alert
                raise
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if data := self._out.read():
            await self._outer.write(data)


def _chosen(offered: tuple[bytes, ...]) -> tuple[str, ...]:
    names = [one.decode("ascii") for one in offered if one.isascii() and 0 < len(one) < 100]
    return next(((p,) for p in _PREFERRED if p in names), tuple(names[:1]))


_ECDSA = frozenset((*range(0xC001, 0xC00B), 0xC023, 0xC024, 0xC02B, 0xC02C, 0xC0AC, 0xC0AD, 0xC0AE, 0xC0AF, 0xCCA9))
"""Cipher suites of TLS 1.2 and before that go with our usual certificate (RFC 8422, RFC 5289, RFC 7251, RFC 7905)."""


def _only_rsa(found: hello.Hello) -> bool:
    return 0x0304 not in found.offered and _ECDSA.isdisjoint(found.ciphers)


def _alert(error: ssl.SSLError) -> str:
    """The client's alert, or what else failed, in small letters: `unknown ca`, `no shared cipher`, `closed`."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "closed"
    words = (error.reason or type(error).__name__).lower().replace("_", " ")
    before, alert, after = words.partition(" alert ")
    return after if alert else before


PLUGIN = Speaker("tls", recognise=recognise, converse={"tls": converse})
