"""A websocket's frames (RFC 6455 5) as a pipe: the client's bytes without their masks, ours in binary frames."""

from scanner.runtime.sinkhole.answers.stream import Over, Stream

_FRAME = 64 << 10
_CLOSE, _PING, _PONG = 8, 9, 10


class WebSocket:
    """The server's side, inside of a stream."""

    def __init__(self, outer: Stream) -> None:
        self._outer = outer
        self._left = 0
        self._mask = b""
        self._at = 0

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
            self._left = size
        if not self._outer.ahead:
            await self._outer.more(idle)
        data = await self._outer.take(min(self._left, len(self._outer.ahead), _FRAME))
        self._left -= len(data)
        return self._plain(data)

    async def send(self, data: bytes) -> None:
        if len(data) > _FRAME:
            raise Over("write limit")
        size = bytes((len(data),)) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
        await self._outer.write(b"\x82" + size + data)

    def _plain(self, data: bytes) -> bytes:
        turned = self._mask[self._at % 4 :] + self._mask[: self._at % 4]
        self._at += len(data)
        mask = (turned * (len(data) // 4 + 1))[: len(data)]
        return (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(data), "big")
