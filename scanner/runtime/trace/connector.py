"""The proc connector, where BPF is refused: the kernel tells numbers, the rest is read from /proc before the process has gone.

It loses the command lines of the fastest. Sources: kernel documentation driver-api/connector, include/uapi/linux/cn_proc.h; the
messages reach the initial network namespace alone.
"""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from struct import Struct
from typing import Final

from scanner.errors import ScannerError
from scanner.model.run import Program
from scanner.runtime.trace import standing
from scanner.runtime.trace.clock import Clock
from scanner.runtime.trace.events import Ended, Event, Executed, Forked, exit_code

_NETLINK_CONNECTOR = 11
_PROC = 1
"""CN_IDX_PROC and CN_VAL_PROC, and the multicast group."""
_LISTEN, _IGNORE = 1, 2
_FORK, _EXEC, _EXIT = 0x1, 0x2, 0x80000000
_RECEIVE = 8 << 20
_AT_ONCE = 10_000
_SO_RCVBUFFORCE = 33

_NETLINK: Final = Struct("=IHHII")
_CONNECTOR: Final = Struct("=IIIIHH")
_EVENT: Final = Struct("=IIQIIII")
"""what, cpu, time, and the first four numbers of its data."""


class ConnectorError(ScannerError):
    """The kernel does not tell about processes over netlink."""


class ProcConnector(AbstractContextManager["ProcConnector"]):
    """A subscription for the processes of a network namespace. Raises ConnectorError."""

    def __init__(self, inode: int, clock: Clock) -> None:
        self._inode, self._clock = inode, clock
        self._members = set(standing.processes(inode))
        self.lost = 0
        """How often messages came too fast."""
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR)
        except OSError as e:
            raise ConnectorError(f"cannot open the proc connector: {e.strerror}") from e
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE)
            self._socket.bind((0, _PROC))
            self._ask(_LISTEN)
        except OSError as e:
            self._socket.close()
            raise ConnectorError(f"cannot listen to the proc connector: {e.strerror}") from e
        self.fd = self._socket.fileno()

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the kernel forgets a listener that closes as well
            self._ask(_IGNORE)
        self._socket.close()

    def events(self) -> Iterator[Event]:
        """What has come in and concerns the namespace; what comes in a flood waits for the next call."""
        for _ in range(_AT_ONCE):
            try:
                message = self._socket.recv(4096)
            except BlockingIOError:
                return
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                self.lost += 1
                continue
            told = decode(message)
            if told is not None and (event := self._event(*told)) is not None:
                yield event

    def _ask(self, what: int) -> None:
        body = _CONNECTOR.pack(_PROC, _PROC, 0, 0, 4, 0) + what.to_bytes(4, "little")
        self._socket.send(_NETLINK.pack(_NETLINK.size + len(body), 3, 0, 0, os.getpid()) + body)

    def _event(self, what: int, time: int, numbers: tuple[int, ...]) -> Event | None:
        at = self._clock.of_monotonic(time)
        if what == _FORK:
            _, parent, thread, pid = numbers
            if thread != pid or parent not in self._members:
                return None
            self._members.add(pid)
            return Forked(at, pid, parent, None, None)
        thread, pid, status, _ = numbers
        if what == _EXEC:
            if pid not in self._members and standing.namespace(pid) != self._inode:
                return None
            self._members.add(pid)
            found = standing.standing(pid, self._clock)
            if found is None:
                return Executed(at, pid, 0, None, None, b"", 0, None, Program.UNKNOWN)
            return found.executed(at)
        if what == _EXIT and thread == pid and pid in self._members:
            self._members.discard(pid)
            return Ended(at, pid, exit_code(status))
        return None


def decode(message: bytes) -> tuple[int, int, tuple[int, ...]] | None:
    """What happened, when, and the numbers told with it; None for a message that is none of the proc connector's."""
    start = _NETLINK.size + _CONNECTOR.size
    if len(message) < start + 24:
        return None
    index, value, *_ = _CONNECTOR.unpack_from(message, _NETLINK.size)
    if (index, value) != (_PROC, _PROC):
        return None
    what, _, time, *numbers = _EVENT.unpack_from(message[start : start + _EVENT.size].ljust(_EVENT.size, b"\0"))
    return what, time, tuple(numbers)
