"""Files of a container, opened from the host so that no link of theirs leads out (openat2(2), RESOLVE_IN_ROOT).

Nothing on a FUSE file system is opened: a program of the container serves it, and could keep whoever reads waiting.
"""

import ctypes
import errno
import os
import re
import stat
import struct
from functools import cache
from itertools import islice
from types import TracebackType

from scanner.runtime.procfs.reading import ProcessFolder

_SYS_OPENAT2 = 437
"""The same number on every architecture (Linux 5.6)."""
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10
_MOUNTS_BYTES = 16 << 20

Identity = tuple[int, int, int]
"""Device, inode, and when it was last changed, because an inode's number is used again."""


def identity_of(state: os.stat_result) -> Identity:
    return state.st_dev, state.st_ino, state.st_ctime_ns


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def open_in(root: int, path: bytes, flags: int) -> int:
    """A descriptor of `path` below `root`, as a process sees it whose root that is. Raises OSError."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    buffer = ctypes.create_string_buffer(how, len(how))
    fd = int(_libc().syscall(_SYS_OPENAT2, root, path.partition(b"\0")[0] or b".", buffer, len(how)))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return fd


def fuse_mounts(mountinfo: bytes) -> frozenset[int]:
    """The numbers of the mounts in /proc/PID/mountinfo that are FUSE's: `… - fuse[blk][.NAME] …` (proc_pid_mountinfo(5))."""
    found = re.findall(rb"^(\d+) \d+ [^\n]*? - fuse(?:blk)?(?:\.[^ \n]*)? ", mountinfo, re.MULTILINE)
    return frozenset(map(int, found))


def mount_of(fd: int) -> int | None:
    """The number of the mount that a descriptor lies in, without asking its file system (proc_pid_fdinfo(5))."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as file:  # noqa: PTH123 - bytes of a pseudo file
            found = re.search(rb"^mnt_id:\s*(\d+)$", file.read(4096), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def open_program(folder: ProcessFolder, name: str = "exe", what: str = "") -> int | None:
    """A descriptor to read the program of a process from, deleted or without a name as it may be; `name` may be a file that
    it maps, too (`map_files/…`). None where it ended, lies on FUSE or may not be seen."""
    at = folder.open(name, os.O_PATH, what)
    if at is None:
        return None
    if mount_of(at) in fuse_mounts(folder.read("mountinfo", _MOUNTS_BYTES) or b""):
        os.close(at)
        return None
    return _regular(at)


def _regular(at: int) -> int | None:
    """The same file for reading, if it is a regular one: opening a device may do something. `at` is closed.

    Nobody is waited for who holds a lease on it (fcntl(2), F_SETLEASE): then it is not to be had.
    """
    try:
        if not stat.S_ISREG(os.fstat(at).st_mode):
            return None
        return os.open(f"/proc/self/fd/{at}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    finally:
        os.close(at)


class Root:
    """The root directory of a process, for reading. Raises OSError where it cannot be opened.

    `problem` says why no file is opened by its name, "" where they are.
    """

    def __init__(self, folder: ProcessFolder) -> None:
        self.problem = ""
        fuse = fuse_mounts(folder.read("mountinfo", _MOUNTS_BYTES) or b"")
        fd = folder.open("root", os.O_PATH | os.O_DIRECTORY, "the root directory")
        if fd is None:
            raise PermissionError(errno.EACCES, "the root directory of the process cannot be opened")
        self.fd = fd
        if fuse:
            self.problem = "a FUSE file system is mounted in it, which could keep whoever reads waiting"

    def __enter__(self) -> "Root":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self.fd)

    def open(self, path: bytes) -> int | None:
        """A regular file, for reading; None where there is none."""
        if self.problem:
            return None
        try:
            return _regular(open_in(self.fd, path, os.O_PATH))
        except OSError:
            return None

    def read(self, path: bytes, limit: int) -> bytes | None:
        """A regular file's bytes, `limit` at most."""
        fd = self.open(path)
        if fd is None:
            return None
        with os.fdopen(fd, "rb") as file:
            try:
                return file.read(limit)
            except OSError:
                return None

    def identity(self, path: bytes) -> Identity | None:
        """What stands there, links followed within the root; None where nothing does."""
        if self.problem:
            return None
        try:
            fd = open_in(self.fd, path, os.O_PATH)
        except OSError:
            return None
        try:
            return identity_of(os.fstat(fd))
        finally:
            os.close(fd)

    def has(self, path: bytes) -> bool | None:
        """Whether a regular file stands there, links followed within the root; None for anything else."""
        try:
            fd = open_in(self.fd, path, os.O_PATH)
        except OSError:
            return False
        try:
            return True if stat.S_ISREG(os.fstat(fd).st_mode) else None
        finally:
            os.close(fd)

    def names(self, path: bytes, limit: int) -> tuple[bytes, ...]:
        """The names in a directory."""
        if self.problem:
            return ()
        try:
            fd = open_in(self.fd, path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return ()
        try:
            with os.scandir(fd) as entries:
                return tuple(os.fsencode(entry.name) for entry in islice(entries, limit))
        except OSError:
            return ()
        finally:
            os.close(fd)
