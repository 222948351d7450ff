"""An attached container's streams: the connection they come over, the frames they come in, and the guest's output.

The frames: moby, api/swagger.yaml, ContainerAttach, "Stream format".
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any

OUTPUT = 64 << 10
"""Bytes of the guest's output that are kept; the rest is read, counted and let go."""
_RECEIVE = 1 << 18
_FRAME = 8


class Attached(AbstractContextManager[socket.socket]):
    """The connection that an attached container speaks over, closed on leaving."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped
        self._socket: socket.socket = getattr(wrapped, "_sock", wrapped)
        self._socket.settimeout(None)

    def __enter__(self) -> socket.socket:
        return self._socket

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._wrapped.close()
        self._socket.close()


class Frames:
    """Takes the stream of an attached container apart: frames of eight bytes of header (stream, three zeros, length) and content."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._left = 0

    def feed(self, data: memoryview) -> Iterator[memoryview]:
        """The content within the next bytes of the stream, cut as it comes."""
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                yield piece
                continue
            part = data[at : at + _FRAME - len(self._header)]
            self._header += part
            at += len(part)
            if len(self._header) == _FRAME:
                self._left = int.from_bytes(self._header[4:], "big")
                self._header.clear()


class Output:
    """Reads an attached container's output to its end, in a thread of its own, so that the guest never waits for a reader."""

    def __init__(self, connection: socket.socket) -> None:
        self.kept = bytearray()
        self.total = 0
        self._connection = connection
        self._thread = threading.Thread(target=self._read, daemon=True, name="guest output")
        self._thread.start()

    def _read(self) -> None:
        frames = Frames()
        buffer = memoryview(bytearray(_RECEIVE))
        with suppress(OSError):
            while size := self._connection.recv_into(buffer):
                for piece in frames.feed(buffer[:size]):
                    self.kept += piece[: OUTPUT - len(self.kept)]
                    self.total += len(piece)

    def settle(self, seconds: float) -> None:
        """Wait for what is on its way: to the end of the output, but not for ever."""
        self._thread.join(seconds)

    def close(self) -> None:
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
