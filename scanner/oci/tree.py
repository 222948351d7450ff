"""A layer that lies unpacked in a directory: walked through directory descriptors, no link is ever followed.

overlay2's whiteouts: kernel documentation, filesystems/overlayfs (character device 0/0; `trusted.overlay.opaque` = "y").
"""

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanner.errors import LimitError, TargetError
from scanner.mapped import mapped
from scanner.model import Kind, Level, Limits, Notification
from scanner.oci.blob import TreeBlob
from scanner.oci.table import CODE, DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, EntryTable

CHUNK = 1 << 20
MAX_DEPTH = 256
"""Directories open at once; deeper ones are reported unread."""

PSEUDO = frozenset(
    "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue "
    "nsfs proc pstore rpc_pipefs securityfs selinuxfs sysfs tracefs".split()
)
"""File systems that hold no files of their own: reading them has no end or has effects."""

SETTLED_NS = 2_000_000_000
"""The age from which on a file's change time tells it from what it was before: the coarsest clock of a file system that keeps
layers ticks every second."""
_GAP = b"\0"


class TreeWalk:
    """The walk of a directory, with the same shape as a TarWalk: its files one after another are the "uncompressed layer".

    `notifications` grow while `chunks` runs: what could not be read is named there.
    """

    def __init__(self, blob: TreeBlob, limits: Limits, keep: int) -> None:
        self.table = EntryTable()
        self.notifications: list[Notification] = []
        self._blob = blob
        self._limits = limits
        self._keep = keep
        self._position = 0
        self._links: dict[tuple[int, int], bytes] = {}
        self._large: dict[int, int] = {}
        self._pending: list[bytes] = []
        self._held = 0
        self._streamed = False
        self._pseudo: frozenset[int] = frozenset()

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """As TarWalk.chunks, without the promise of whole blocks. Raises TargetError if the root cannot be opened."""
        try:
            root = os.open(self._blob.root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as e:
            raise TargetError(f"cannot read the directory {self._blob.root}: {e.strerror}") from e
        self._pseudo = pseudo_devices()
        opened = os.fstat(root)
        yield from self._directory(root, b"", 0)
        yield from self._flush()
        try:
            now = os.lstat(self._blob.root)
        except OSError:
            now = None
        if now is None or (now.st_dev, now.st_ino) != (opened.st_dev, opened.st_ino):
            # an engine that removes an image takes its files away under our eyes, one by one
            self._unread(b"", f"the directory {self._blob.root} was removed or replaced meanwhile")

    def update(self, chunk: bytes) -> None:
        """A tree has no digest to verify."""

    @property
    def diff_id(self) -> str | None:
        return None

    def verify(self) -> None:
        """A tree names no digest: the engine that wrote it verified the layer when it was unpacked."""

    @property
    def read(self) -> int:
        """Bytes read so far, holes counted."""
        return self._position

    @property
    def in_place(self) -> bool:
        return True

    @property
    def rereads(self) -> bool:
        """Large files are held open, small ones are gone once they were read."""
        return False

    def content(self, row: int) -> bytes | None:
        """None: small files cannot be read again."""
        del row
        return None

    @contextmanager
    def region(self, row: int) -> Iterator[memoryview | None]:
        """A large file mapped read-only, from the descriptor under which it was read; None if it shrank away meanwhile."""
        fd = self._large.pop(row, None)
        if fd is None:
            yield None
            return
        try:
            size = min(os.fstat(fd).st_size, self.table.stored[row])
            if not size:
                yield None
                return
            with mapped(fd, 0, size) as view:
                yield view
        finally:
            os.close(fd)

    def forget(self, row: int) -> None:
        """Let go of a large file that nobody wants to see again."""
        if (fd := self._large.pop(row, None)) is not None:
            os.close(fd)

    def close(self) -> None:
        for fd in self._large.values():
            os.close(fd)
        self._large.clear()

    def _unread(self, path: bytes, why: str) -> None:
        self.notifications.append(
            Notification("layer", Level.WARNING, f"cannot be read: {why}", path=path, layer=self._blob.layer.index)
        )

    def _directory(self, fd: int, path: bytes, depth: int) -> Iterator[tuple[int, bytes]]:
        try:
            try:
                with os.scandir(fd) as listing:
                    names = sorted(os.fsencode(e.name) for e in listing)
            except OSError as e:
                self._unread(path, e.strerror or str(e))
                return
            if self._blob.overlay and _is_opaque(fd):
                self.table.add(path, OPAQUE, 0, 0, 0, 0, self._position, 0)
            for name in names:
                child = path + b"/" + name if path else name
                try:
                    info = os.lstat(name, dir_fd=fd)
                except OSError as e:
                    self._unread(child, e.strerror or str(e))
                    continue
                if len(self.table) >= self._limits.layer_entries:
                    raise LimitError(
                        f"layer {self._blob.layer.index} has more than {self._limits.layer_entries} entries; "
                        "raise the limit with --limit layer-entries=N if you trust the image"
                    )
                if stat.S_ISREG(info.st_mode):
                    yield from self._file(fd, name, child, info)
                elif stat.S_ISDIR(info.st_mode):
                    yield from self._descend(fd, name, child, info, depth)
                else:
                    self._special(fd, name, child, info)
        finally:
            os.close(fd)

    def _descend(
        self, fd: int, name: bytes, path: bytes, info: os.stat_result, depth: int
    ) -> Iterator[tuple[int, bytes]]:
        self._add(path, DIRECTORY, info, 0)
        if info.st_dev in self._pseudo:
            self.notifications.append(
                Notification(
                    "layer",
                    Level.NOTE,
                    "is a file system of the kernel's and was left out",
                    path=path,
                    layer=self._blob.layer.index,
                )
            )
            return
        if depth >= MAX_DEPTH:
            self._unread(path, f"more than {MAX_DEPTH} directories deep")
            return
        try:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        except OSError as e:
            self._unread(path, e.strerror or str(e))
            return
        yield from self._directory(inner, path, depth + 1)

    def _special(self, fd: int, name: bytes, path: bytes, info: os.stat_result) -> None:
        mode = info.st_mode
        if stat.S_ISLNK(mode):
            try:
                target = os.readlink(name, dir_fd=fd)
            except OSError as e:
                self._unread(path, e.strerror or str(e))
                return
            self._add(path, SYMLINK, info, 0, target)
        elif stat.S_ISCHR(mode) and self._blob.overlay and info.st_rdev == 0:
            self.table.add(path, WHITEOUT, 0, 0, 0, 0, self._position, 0)
        elif stat.S_ISCHR(mode):
            self._add(path, CODE[Kind.CHARACTER], info, 0)
        elif stat.S_ISBLK(mode):
            self._add(path, CODE[Kind.BLOCK], info, 0)
        elif stat.S_ISFIFO(mode):
            self._add(path, CODE[Kind.FIFO], info, 0)
        # sockets are in no layer: tar has no type for them

    def _add(self, path: bytes, kind: int, info: os.stat_result, size: int, link: bytes = b"") -> None:
        self.table.add(
            path, kind, info.st_mode & 0o7777, info.st_uid, info.st_gid, int(info.st_mtime), self._position, size, link
        )

    def _file(self, fd: int, name: bytes, path: bytes, info: os.stat_result) -> Iterator[tuple[int, bytes]]:
        if info.st_nlink > 1:
            first = self._links.setdefault((info.st_dev, info.st_ino), path)
            if first != path:
                self._add(path, HARDLINK, info, 0, first)
                return
        try:
            # O_NONBLOCK: whatever took the file's place since the look must not make us wait
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        except OSError as e:
            self._add(path, FILE, info, 0)
            self._unread(path, e.strerror or str(e))
            return
        keep_open = False
        try:
            now = os.fstat(file)
            if (now.st_dev, now.st_ino) != (info.st_dev, info.st_ino) or not stat.S_ISREG(now.st_mode):
                self._unread(path, "it was replaced while it was looked at")
                return
            if now.st_size <= self._keep:
                data = _read(file, now.st_size)
                self._add(path, FILE, info, len(data))
                yield from self._give(data)
                if len(data) != now.st_size:
                    self._unread(path, "it changed while it was read")
            else:
                keep_open = True
                self._add(path, FILE, info, now.st_size)
                self._large[len(self.table) - 1] = file
                yield from self._large_file(file, path, now.st_size)
                if not self._streamed:  # nothing but a hole: there is no chunk in which anyone could name it
                    self.forget(len(self.table) - 1)
                    self.table.stored[-1] = 0
        except OSError as e:
            self._unread(path, e.strerror or str(e))
        finally:
            if not keep_open:
                os.close(file)

    def _large_file(self, file: int, path: bytes, size: int) -> Iterator[tuple[int, bytes]]:
        """Stream a large file, holes left out: the position moves on over them, their zeros are nobody's evidence."""
        yield from self._flush()
        self._streamed = False
        begin, at = self._position, 0
        try:
            while at < size:
                data_at = _seek(file, at, os.SEEK_DATA, size)
                hole_at = _seek(file, data_at, os.SEEK_HOLE, size) if data_at < size else size
                at = data_at
                while at < hole_at:
                    data = os.pread(file, min(CHUNK, hole_at - at), at)
                    if not data:
                        self._unread(path, "it shrank while it was read")
                        return
                    self._streamed = True
                    yield begin + at, data
                    at += len(data)
                at = max(at, hole_at)
        finally:
            self._position = begin + size + 1

    def _give(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        self._pending += (data, _GAP)
        self._position += len(data) + 1
        self._held += len(data) + 1
        if self._held >= CHUNK:
            yield from self._flush()

    def _flush(self) -> Iterator[tuple[int, bytes]]:
        if self._held:
            held, self._held = self._held, 0
            chunk = b"".join(self._pending)
            self._pending.clear()
            yield self._position - held, chunk


def _read(file: int, size: int) -> bytes:
    data = os.read(file, size) if size else b""
    while len(data) < size and (more := os.read(file, size - len(data))):
        data += more
    return data


def _seek(file: int, at: int, whence: int, size: int) -> int:
    try:
        return min(os.lseek(file, at, whence), size)
    except OSError:  # ENXIO: only a hole is left; a file system without SEEK_DATA answers EINVAL to neither
        return size


def _is_opaque(fd: int) -> bool:
    for name in ("trusted.overlay.opaque", "user.overlay.opaque"):
        try:
            if os.getxattr(fd, name) == b"y":
                return True
        except OSError:
            continue
    return False


def pseudo_devices() -> frozenset[int]:
    """Device numbers of mounted pseudo file systems, from /proc/self/mountinfo (proc(5)); empty where there is none."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return frozenset()
    devices = set()
    for line in lines:
        before, _, after = line.partition(" - ")
        if after.split(" ", 1)[0] in PSEUDO:
            major, _, minor = before.split(" ")[2].partition(":")
            devices.add(os.makedev(int(major), int(minor)))
    return frozenset(devices)


def stamp(blob: TreeBlob, most: int) -> str | None:
    """What a tree's files are by all that the kernel says of them, none of them read: 64 hex digits that change with any of them.

    An inode's change time is set by the kernel alone (stat(2)), so that no file can be changed and keep its stamp: but that clock
    ticks slowly, and two changes in one tick look like one. So there is no stamp of what was changed a moment ago (or, as it
    seems, will be). None also where a part cannot be looked at, or there are more than `most` entries.
    """
    digest, entries, settled = hashlib.sha256(), 0, time.time_ns() - SETTLED_NS
    try:
        root = os.open(blob.root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for folder, folders, files, fd in os.fwalk(b".", dir_fd=root, onerror=_raise):
            folders.sort()
            files.sort()
            entries += len(folders) + len(files)
            if entries > most:
                return None
            digest.update(folder + b"\0%d\0" % _is_opaque(fd))
            for name in (*folders, *files):
                i = os.lstat(name, dir_fd=fd)
                if i.st_ctime_ns > settled:
                    return None
                facts = (
                    i.st_dev,
                    i.st_ino,
                    i.st_mode,
                    i.st_nlink,
                    i.st_uid,
                    i.st_gid,
                    i.st_rdev,
                    i.st_size,
                    i.st_ctime_ns,
                )
                digest.update(name + b"\0" + repr(facts).encode())
    except (OSError, RecursionError):  # os.fwalk descends by recursion, and a layer may be deeper than Python goes
        return None
    finally:
        os.close(root)
    return digest.hexdigest()


def _raise(error: OSError) -> None:
    raise error
