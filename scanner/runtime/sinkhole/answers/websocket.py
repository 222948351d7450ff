"""A websocket's frames (RFC 6455 5) as a pipe: the client's bytes without their masks, ours in frames of the same kind.

A text message has a line's end put behind it: what is lines elsewhere (stratum) comes in messages here.
"""

from scanner.runtime.sinkhole.answers.stream import Over, Stream

_FRAME = 64 << 10
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class WebSocket:
    """The server's side, inside of a stream."""

    def __init__(self, outer: Stream) -> None:
        self._outer = outer
        self._left = 0
        self._mask = b""
        self._at = 0
        self._last = False
        self._text = False

    async def receive(self, idle: float | None) -> bytes:
        """Some bytes of a data frame; pings are answered. Raises Over."""
        while not self._left:
            if not self._outer.ahead:
                await self._outer.more(idle)
            begin = await self._outer.take(2)
            kind, masked, size = begin[0] & 15, begin[1] & 0x80, begin[1] & 0x7F
            if size > 125:
                size = int.from_bytes(await self._outer.take(2 if size == 126 else 8), "big")
            self._mask, self._at = (await self._outer.take(4)) if masked else b"\0\0\0\0", 0
            if kind == _CLOSE:
                return b""
            if kind in (_PING, _PONG):
                if size > 125:
                    return b""
                data = self._plain(await self._outer.take(size))
                if kind == _PING:
                    await self._outer.write(bytes((0x80 | _PONG, len(data))) + data)
                continue
            self._left, self._last = size, bool(begin[0] & 0x80)
            if kind:
                self._text = kind == _TEXT
        if not self._outer.ahead:
            await self._outer.more(idle)
        data = await self._outer.take(min(self._left, len(self._outer.ahead), _FRAME))
        self._left -= len(data)
        ends = self._text and self._last and not self._left
        return self._plain(data) + (b"\n" if ends else b"")

    async def send(self, data: bytes) -> None:
        if len(data) > _FRAME:
            raise Over("write limit")
        size = bytes((len(data),)) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
        await self._outer.write((b"\x81" if self._text else b"\x82") + size + data)

    def _plain(self, data: bytes) -> bytes:
        turned = self._mask[self._at % 4 :] + self._mask[: self._at % 4]
        self._at += len(data)
        mask = (turned * (len(data) // 4 + 1))[: len(data)]
        return (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(data), "big")
