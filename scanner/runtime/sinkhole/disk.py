"""What a guest writes to the engine's disk, measured while it runs: so much, and no more."""

import os
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path

from scanner.model import printable
from scanner.runtime.sinkhole.inside import inside

_TURN = 0.2
_LEAST = 4096
"""What a file counts at least: an empty one takes an inode."""
_DEEP = 200
_FLOOR = 256 << 20
"""Free bytes of the engine's disk below which a guest is stopped, whoever filled it."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Disk:
    """Measures what the guest wrote, again and again, in a thread of its own. `over` says why to stop, "" as long as there is no reason."""

    def __init__(self, places: list[Path], limit: int, namespace: int) -> None:
        self.used = 0
        self.over = ""
        self._places = places
        self._limit = limit
        self._namespace = namespace
        self._free = self._room()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="guest disk")
        self._thread.start()

    def _watch(self) -> None:
        try:
            self._measure()
        except Exception as e:  # a watch that ends without a word would be no limit
            self.over = f"what it writes on disk cannot be measured: {type(e).__name__}: {printable(str(e))}"

    def _measure(self) -> None:
        wait = _TURN
        while not self._stop.wait(wait):
            clock = time.monotonic()
            used = usage(self._places, self._limit)
            room = self._room()
            if self._free - room > self._limit // 2 > used:
                used += _unlinked(self._namespace)
            self.used = used
            if used > self._limit:
                self.over = f"disk limit of {self._limit >> 20} MiB"
            elif room < _FLOOR:
                self.over = "the engine's disk is nearly full"
            wait = max(_TURN, 3 * (time.monotonic() - clock))

    def _room(self) -> int:
        for place in self._places:
            with suppress(OSError):
                found = os.statvfs(place)
                return found.f_bavail * found.f_frsize
        return 1 << 62

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)


def usage(places: list[Path], limit: int) -> int:
    """Bytes that the files below take on disk, each at least 4 KiB; counting ends once they are more than the limit.

    No link is followed. What lies deeper than 200 directories is not counted: the free space of the disk is watched as well.
    """
    total = 0
    seen: set[tuple[int, int]] = set()
    for place in places:
        total += _below(place, limit - total, seen)
    return total


def _below(place: Path, limit: int, seen: set[tuple[int, int]]) -> int:
    try:
        top = place.lstat()
        if not stat.S_ISDIR(top.st_mode):
            return top.st_blocks * 512
        levels = [_Level(os.open(place, _DIRECTORY))]
    except OSError:
        return 0
    total = 0
    try:
        while levels and total <= limit:
            entry = next(levels[-1].entries, None)
            if entry is None:
                levels.pop().close()
                continue
            with suppress(OSError):  # it may be gone by now
                found = entry.stat(follow_symlinks=False)
                known = (found.st_dev, found.st_ino)
                if found.st_nlink == 1 or stat.S_ISDIR(found.st_mode) or known not in seen:
                    total += max(found.st_blocks * 512, _LEAST)
                if stat.S_ISDIR(found.st_mode) and len(levels) < _DEEP:
                    levels.append(_Level(os.open(entry.name, _DIRECTORY, dir_fd=levels[-1].fd)))
                elif found.st_nlink > 1:
                    seen.add(known)
    finally:
        for level in levels:
            level.close()
    return total


class _Level:
    """An open directory on the way down."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.entries = os.scandir(fd)

    def close(self) -> None:
        self.entries.close()
        os.close(self.fd)


def _unlinked(namespace: int) -> int:
    """Bytes on disk of files that processes in the PID namespace hold open and that no name leads to any more."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for pid in inside(namespace):
        process = Path(f"/proc/{pid}")
        with suppress(OSError):
            root = (process / "root/").stat().st_dev
            for fd in (process / "fd").iterdir():
                with suppress(OSError):
                    found = fd.stat()
                    known = (found.st_dev, found.st_ino)
                    if (
                        stat.S_ISREG(found.st_mode)
                        and not found.st_nlink
                        and found.st_dev == root
                        and known not in seen
                    ):
                        seen.add(known)
                        total += found.st_blocks * 512
    return total
