"""Work in another network namespace, done by a thread of its own that joins it and ends (setns(2)): ours is never left.

A socket opened there belongs to that namespace for good; a program started there runs in it.
"""

import ctypes
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_NEW_NET = 0x40000000
_SOCK_DIAG, _BY_FAMILY = 4, 20
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_NAME, _PEER = 0, 2
_SHOW = 1 | 4
_SECONDS = 10
UNIX_SOCKETS = 200_000
"""Of one namespace. No more are asked for."""


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A Unix socket as the kernel tells of it: `name` as it was bound (abstract ones begin with NUL), `peer` the inode of
    the other end, 0 for none. `listens` and `connected` by its state; `type` 1 stream, 2 datagram, 5 seqpacket."""

    inode: int
    name: bytes
    peer: int
    listens: bool
    connected: bool
    type: int


def within(namespace: int, work: Callable[[], T]) -> T:
    """What `work` gives when it is done in the network namespace that the descriptor is of. Raises what it raises,
    and OSError where the namespace may not be joined."""
    results: list[T] = []
    errors: list[BaseException] = []

    def joined() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace, _NEW_NET):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))  # noqa: TRY301
            results.append(work())
        except BaseException as e:  # raised again by who asked
            errors.append(e)

    thread = threading.Thread(target=joined, name="sandscan-namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def unix_sockets(namespace: int) -> tuple[UnixSocket, ...]:
    """All Unix sockets of a network namespace, by sock_diag(7). Raises OSError."""

    def opened() -> socket.socket:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG)

    with within(namespace, opened) as asked:
        asked.settimeout(_SECONDS)
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        body = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW, 0, 0)
        asked.sendto(struct.pack("=IHHII", 16 + len(body), _BY_FAMILY, _REQUEST_DUMP, 1, 0) + body, (0, 0))
        found: list[UnixSocket] = []
        while len(found) < UNIX_SOCKETS:
            done, sockets = answers(asked.recv(1 << 20))
            found += sockets
            if done:
                break
        return tuple(found)


def answers(data: bytes) -> tuple[bool, list[UnixSocket]]:
    """(whether it was the last one, sockets) of one message of the answer (linux/unix_diag.h). Raises OSError for an error."""
    found: list[UnixSocket] = []
    for kind, body in _messages(data):
        if kind == _DONE:
            return True, found
        if kind == _ERROR:
            number = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else errno.EPROTO
            raise OSError(number, os.strerror(number))
        if kind == _BY_FAMILY and len(body) >= 16:
            family, type_, state, _, inode = struct.unpack_from("=BBBBI", body)
            attributes = dict(_attributes(body[16:]))
            peer = attributes.get(_PEER, b"")
            if family == socket.AF_UNIX:
                name = attributes.get(_NAME, b"")
                number = struct.unpack("=I", peer)[0] if len(peer) == 4 else 0
                found.append(UnixSocket(inode, name, number, state == 10, state == 1, type_))
    return False, found


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if length < 16 or at + length > len(data):
            return
        yield kind, data[at + 16 : at + length]
        at += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4 or at + length > len(data):
            return
        yield kind, data[at + 4 : at + length]
        at += (length + 3) & ~3
