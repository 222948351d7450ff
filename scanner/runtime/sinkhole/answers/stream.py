"""A client's bytes, read ahead and paid for: whatever lies inside of what, one connection has one budget."""

import asyncio
import socket
from typing import Protocol

from scanner.runtime.sinkhole.answers.values import Limits

_CHUNK = 16 << 10
ALL_THE_TIME = float("inf")
"""For a client that may say nothing for long, and is there: it has what the connection has."""


class Over(Exception):
    """A conversation is over, which is no error. `reason`: closed, reset, silence, time limit, read limit, write limit, answered."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Pipe(Protocol):
    """What bytes come from and go to: the connection itself, or TLS or a websocket inside of it."""

    async def receive(self, idle: float | None) -> bytes:
        """Some bytes, b"" at the end. Raises Over (`silence` after `idle` seconds without a byte)."""
        ...

    async def send(self, data: bytes) -> None:
        """Raises Over."""
        ...


class Connection:
    """The socket as a pipe. It counts: `received`, `sent`, and the first bytes."""

    def __init__(self, connection: socket.socket, limits: Limits) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self.ends = self._loop.time() + limits.seconds
        self.received = 0
        self.sent = 0
        self.first = b""

    async def receive(self, idle: float | None) -> bytes:
        if self.received >= self._limits.read:
            raise Over("read limit")
        left = self.ends - self._loop.time()
        if left <= 0:
            raise Over("time limit")
        idle = self._limits.idle if idle is None else idle
        await asyncio.sleep(0)  # one whose bytes are always there must not keep the others waiting
        try:
            async with asyncio.timeout(min(idle, left)):
                data = await self._loop.sock_recv(self._socket, min(_CHUNK, self._limits.read - self.received))
        except TimeoutError:
            raise Over("time limit" if left <= idle else "silence") from None
        except OSError:
            raise Over("reset") from None
        self.received += len(data)
        if len(self.first) < 256:
            self.first += data[: 256 - len(self.first)]
        return data

    async def send(self, data: bytes) -> None:
        if self.sent + len(data) > self._limits.written:
            raise Over("write limit")
        left = self.ends - self._loop.time()
        if left <= 0:
            raise Over("time limit")
        try:
            # a client that does not read has as long as one that does not write
            async with asyncio.timeout(min(self._limits.idle, left)):
                await self._loop.sock_sendall(self._socket, data)
        except TimeoutError:
            raise Over("time limit" if left <= self._limits.idle else "silence") from None
        except OSError:
            raise Over("reset") from None
        self.sent += len(data)


class Stream:
    """Bytes of a pipe, read ahead as far as somebody looked."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.ahead = bytearray()

    async def more(self, idle: float | None = None) -> None:
        """Read some bytes more. Raises Over, `closed` at the end."""
        data = await self.pipe.receive(idle)
        if not data:
            raise Over("closed")
        self.ahead += data

    async def look(self, count: int) -> bytes:
        """The next `count` bytes, which stay. Raises Over where there are not as many."""
        while len(self.ahead) < count:
            await self.more()
        return bytes(self.ahead[:count])

    async def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises Over where there are not as many."""
        data = await self.look(count)
        del self.ahead[:count]
        return data

    async def some(self, idle: float | None = None) -> bytes:
        """All that is there, at least a byte."""
        if not self.ahead:
            await self.more(idle)
        data = bytes(self.ahead)
        self.ahead.clear()
        return data

    async def line(self, limit: int, idle: float | None = None) -> bytes:
        r"""The next line without its end (\n, or \r\n); one longer than `limit` is cut there, the rest is the next one."""
        searched = 0
        while (end := self.ahead.find(b"\n", searched, limit)) < 0 and len(self.ahead) < limit:
            searched = len(self.ahead)
            await self.more(idle)
        if end < 0:
            return await self.take(limit)
        line = await self.take(end + 1)
        return line[:-1].removesuffix(b"\r")

    async def skip(self, count: int) -> None:
        """Take `count` bytes and keep none."""
        while count:
            if not self.ahead:
                await self.more()
            gone = min(count, len(self.ahead))
            del self.ahead[:gone]
            count -= gone

    async def write(self, data: bytes) -> None:
        await self.pipe.send(data)
