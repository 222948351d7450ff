"""One process's folder of the host's /proc (proc(5)), held open: a number that is used again is another folder.

Everything in it is bounded, because a container decides how long its command lines, tables and maps are.
"""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")

_GONE = frozenset((errno.ENOENT, errno.ESRCH))
_DENIED = frozenset((errno.EACCES, errno.EPERM))
_CHUNK = 1 << 18
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
ROOT_ONLY = "only root may look at it"


class Missed:
    """What could not be seen, folded by what and why: `told` gives one sentence for each."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._said: dict[str, None] = {}
        self.dropped: Counter[str] = Counter()
        """What was seen and is not told, because there was too much of it."""

    def add(self, what: str, why: str) -> None:
        """`what` in the plural of what a process has: `the programs`, `the open files`."""
        self._counts[what, why] += 1

    def say(self, what: str, why: str) -> None:
        """Something that the container has once."""
        self._said.setdefault(f"{what}: {why}")

    def told(self) -> tuple[str, ...]:
        counted = tuple(
            f"{what} of {number} process{'es' if number > 1 else ''}: {why}"
            for (what, why), number in self._counts.items()
        )
        return (*counted, *self._said)


class ProcessFolder:
    """`/proc/PID`. What belongs to a process that has ended, or that we may not see, is None; `missed` learns of the latter.

    Raises ProcessLookupError where no process has that number.
    """

    def __init__(self, pid: int, missed: Missed | None = None) -> None:
        self.pid = pid
        self._missed = missed
        try:
            self.fd = os.open(f"/proc/{pid}", _FOLDER)
        except OSError as e:
            raise ProcessLookupError(errno.ESRCH, f"no process has the number {pid}") from e

    def __enter__(self) -> "ProcessFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self.fd)

    def read(self, name: str, limit: int, what: str = "") -> bytes | None:
        """The file's bytes, `limit` at most."""
        return self._try(lambda: self._read(name, limit), what)

    def link(self, name: str, what: str = "") -> bytes | None:
        """What a magic link says; it is not followed."""
        return self._try(lambda: os.readlink(name.encode(), dir_fd=self.fd), what)

    def open(self, name: str, flags: int, what: str = "") -> int | None:
        """A descriptor of what a magic link leads to."""
        return self._try(lambda: os.open(name, flags | os.O_CLOEXEC, dir_fd=self.fd), what)

    def stat(self, name: str, what: str = "") -> os.stat_result | None:
        return self._try(lambda: os.stat(name, dir_fd=self.fd), what)

    def links(self, name: str, limit: int, what: str = "") -> tuple[tuple[str, bytes], ...] | None:
        """(name, what it says) of the magic links in a folder such as `fd`."""
        return self._try(lambda: tuple(islice(self._links(name), limit)), what)

    def names(self, name: str, limit: int, what: str = "") -> tuple[str, ...] | None:
        """The names in a folder such as `task`."""
        return self._try(lambda: self._names(name, limit), what)

    def _try(self, work: Callable[[], T], what: str) -> T | None:
        try:
            return work()
        except OSError as e:
            if e.errno in _DENIED and what and self._missed is not None:
                self._missed.add(what, ROOT_ONLY)
            elif e.errno not in _GONE and what and self._missed is not None:
                self._missed.add(what, e.strerror or str(e))
            return None

    def _read(self, name: str, limit: int) -> bytes:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            parts, left = [], limit
            while left > 0 and (part := os.read(fd, min(left, _CHUNK))):
                parts.append(part)
                left -= len(part)
        finally:
            os.close(fd)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _names(self, name: str, limit: int) -> tuple[str, ...]:
        fd = os.open(name, _FOLDER, dir_fd=self.fd)
        try:
            with os.scandir(fd) as entries:
                return tuple(entry.name for entry in islice(entries, limit))
        finally:
            os.close(fd)

    def _links(self, name: str) -> Iterator[tuple[str, bytes]]:
        fd = os.open(name, _FOLDER, dir_fd=self.fd)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    try:
                        yield entry.name, os.readlink(entry.name.encode(), dir_fd=fd)
                    except FileNotFoundError:  # closed meanwhile
                        continue
        finally:
            os.close(fd)


def numbers() -> Iterator[int]:
    """The numbers of all processes of this machine, in ascending order."""
    with os.scandir("/proc") as entries:
        found = [int(entry.name) for entry in entries if entry.name.isascii() and entry.name.isdigit()]
    yield from sorted(found)
