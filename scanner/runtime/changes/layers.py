"""One layer asked by path: a directory in which it lies unpacked, or a tar of which any member can be read again.

No link is ever followed, no device or pipe is ever opened. overlay's marks: kernel documentation, filesystems/overlayfs.
"""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from scanner.errors import SourceError
from scanner.model import Kind, Level, Limits
from scanner.model.run import FileState
from scanner.oci.blob import Blob, StoredFile, TarBlob, TreeBlob
from scanner.oci.compression import LONGEST_MAGIC, compression, decompressed
from scanner.oci.files import spooled
from scanner.oci.table import KINDS, OPAQUE, WHITEOUT, EntryTable
from scanner.oci.tar import BLOCK, Headers
from scanner.oci.tree import pseudo_devices
from scanner.runtime.changes.capability import words
from scanner.runtime.changes.noting import Notes

CHUNK = 1 << 20
_ZEROS = bytes(CHUNK)
HELD = 4
"""Directories of one layer that are kept open at once: an image may have 127 layers, a process 1,024 descriptors."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
}
_IMPLIED = FileState(Kind.DIRECTORY, 0o755, 0, 0, 0)
"""A directory that no member of a tar names."""


@dataclass(frozen=True, slots=True)
class Stood:
    """A file as it stands, or stood. `chunks` gives a regular file's content, as much as `state.size` says.

    `same` is equal for names of one and the same file (hard links), `origin` for entries of one and the same layer of images;
    None where that is not known. `device` is the number of a device file, None in a tar.
    """

    state: FileState
    chunks: Callable[[], Iterator[bytes]]
    same: object = None
    origin: object = None
    device: int | None = None


class Gone:
    """The mark that a layer leaves for what it removes from those below."""


GONE = Gone()


class FileLayer(Protocol):
    """What a squashed view asks of each of its layers. All raise OSError where something cannot be read."""

    def get(self, path: bytes) -> Stood | Gone | None:
        """What the layer itself has there."""

    def names(self, directory: bytes) -> list[bytes]:
        """Of all that it has in a directory, marks included, sorted."""

    def is_opaque(self, directory: bytes) -> bool:
        """Whether it hides what the layers below have in that directory."""


class TreeLayer:
    """A directory, by an open descriptor that is the caller's. What is added, grows or shrinks meanwhile is read as it is found.

    With `overlay` it is an upper or a lower directory of an overlay whose marks lie in attributes of that name space
    (`trusted`, or `user` where it was mounted so: an ordinary container may set the latter itself, so that they count nowhere else).
    """

    def __init__(self, root: int, notes: Notes, resources: ExitStack, overlay: str = "", origin: object = None) -> None:
        self._root, self._notes, self._overlay, self._origin = root, notes, overlay, origin
        self._pseudo = pseudo_devices()
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._opaque, self._marks = f"{overlay}.overlay.opaque", f"{overlay}.overlay."
        resources.callback(self._close)

    def get(self, path: bytes) -> Stood | Gone | None:
        directory, _, name = path.rpartition(b"/")
        try:
            fd = self.directory(directory)
            info = os.lstat(name or b".", dir_fd=fd)
        except (FileNotFoundError, NotADirectoryError):
            return None
        kind = _KINDS.get(stat.S_IFMT(info.st_mode))
        if kind is None:  # a socket: no layer can hold it, what it stands on is gone
            return GONE
        link = None
        capability = b""
        if kind is Kind.FILE or (kind is Kind.DIRECTORY and self._overlay):
            attributes = self._attributes(fd, name, path)
            if kind is Kind.FILE and self._overlay and f"{self._marks}whiteout" in attributes and not info.st_size:
                return GONE
            if "security.capability" in attributes:
                capability = self._attribute(fd, name, "security.capability")
            if f"{self._marks}metacopy" in attributes or f"{self._marks}redirect" in attributes:
                self._notes.warn(
                    "overlayfs keeps the content elsewhere (metacopy or redirect_dir), it was not read", path
                )
        elif kind is Kind.SYMLINK:
            link = os.readlink(name, dir_fd=fd)
        elif kind is Kind.CHARACTER and self._overlay and info.st_rdev == 0:
            return GONE
        return Stood(
            FileState(
                kind,
                info.st_mode & 0o7777,
                info.st_uid,
                info.st_gid,
                info.st_size if kind is Kind.FILE else 0,
                info.st_mtime,
                info.st_ctime,
                None,
                link,
                words(capability) if capability else "",
            ),
            lambda: self._content(path, info),
            (info.st_dev, info.st_ino) if kind is Kind.FILE and info.st_nlink > 1 else None,
            None if self._origin is None else (self._origin, path),
            info.st_rdev if kind in (Kind.CHARACTER, Kind.BLOCK) else None,
        )

    def names(self, directory: bytes) -> list[bytes]:
        fd = self.directory(directory)
        if os.fstat(fd).st_dev in self._pseudo:
            self._notes.add(Level.NOTE, "is a file system of the kernel's and was left out", directory)
            return []
        with os.scandir(fd) as listing:
            return sorted(os.fsencode(e.name) for e in listing)

    def is_opaque(self, directory: bytes) -> bool:
        if not self._overlay:
            return False
        try:
            return os.getxattr(self.directory(directory), self._opaque) == b"y"
        except OSError:
            return False

    def stat(self, path: bytes) -> os.stat_result:
        """Of the file itself, no more than that: raises OSError."""
        directory, _, name = path.rpartition(b"/")
        return os.lstat(name or b".", dir_fd=self.directory(directory))

    def directory(self, path: bytes) -> int:
        """A descriptor of the directory, opened step by step from the nearest one that is open."""
        if not path:
            return self._root
        if (fd := self._open.get(path)) is not None:
            self._open.move_to_end(path)
            return fd
        start, rest = path, []
        at = self._root
        while start:
            start, _, name = start.rpartition(b"/")
            rest.append(name)
            if (fd := self._open.get(start)) is not None:
                at = fd
                break
        first = at
        try:
            for name in reversed(rest):
                step = os.open(name, _DIRECTORY, dir_fd=at)
                if at != first:
                    os.close(at)
                at = step
        except OSError:
            if at != first:
                os.close(at)
            raise
        self._open[path] = at
        while len(self._open) > HELD:
            os.close(self._open.popitem(last=False)[1])
        return at

    def _attributes(self, fd: int, name: bytes, path: bytes) -> list[str]:
        try:
            return os.listxattr(b"/proc/self/fd/%d/%s" % (fd, name or b"."), follow_symlinks=False)
        except FileNotFoundError:
            return []
        except OSError as e:
            self._notes.warn(f"its attributes cannot be read: {e.strerror or e}", path)
            return []

    def _attribute(self, fd: int, name: bytes, which: str) -> bytes:
        try:
            return os.getxattr(b"/proc/self/fd/%d/%s" % (fd, name or b"."), which, follow_symlinks=False)
        except OSError:
            return b""

    def _content(self, path: bytes, info: os.stat_result) -> Iterator[bytes]:
        """As much as it was large when it was looked at; holes are not read. Raises OSError, also where it became shorter."""
        directory, _, name = path.rpartition(b"/")
        # whatever took the file's place since the look is not opened: a device may act on that, a pipe would wait
        looked = os.open(name, _LOOK, dir_fd=self.directory(directory))
        try:
            now = os.fstat(looked)
            if (now.st_dev, now.st_ino) != (info.st_dev, info.st_ino) or not stat.S_ISREG(now.st_mode):
                raise OSError(0, "it was replaced while it was looked at")
            file = os.open(f"/proc/self/fd/{looked}", _FILE)
        finally:
            os.close(looked)
        try:
            left = info.st_size
            if 0 < left <= CHUNK:
                data = os.read(file, left)
                left -= len(data)
                yield data
            if left:
                yield from _stretches(file, info.st_size - left, info.st_size)
            size = os.fstat(file).st_size
            if size < info.st_size:
                raise OSError(0, "it shrank while it was read")
            if size > info.st_size:
                self._notes.add(Level.NOTE, "it grew while it was read: what was added since was not read", path)
        finally:
            os.close(file)

    def _close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()


def _stretches(file: int, at: int, size: int) -> Iterator[bytes]:
    """From one position to another, zeros for the holes."""
    while at < size:
        data_at = _seek(file, at, os.SEEK_DATA, size)
        while at < data_at:
            yield _ZEROS[: data_at - at]
            at += min(CHUNK, data_at - at)
        hole_at = _seek(file, at, os.SEEK_HOLE, size) if at < size else size
        while at < hole_at:
            data = os.pread(file, min(CHUNK, hole_at - at), at)
            if not data:
                raise OSError(0, "it shrank while it was read")
            yield data
            at += len(data)


def _seek(file: int, at: int, whence: int, size: int) -> int:
    """Where the next data, or the next hole begins; a file system that tells of no holes has none."""
    try:
        return min(os.lseek(file, at, whence), size)
    except OSError as e:
        return size if e.errno == errno.ENXIO or whence == os.SEEK_HOLE else at


class TarLayer:
    """A tar, plain in a file; its members are found by their headers, which are read once."""

    def __init__(self, file: StoredFile, what: str, limits: Limits, origin: object = None) -> None:
        self._file, self._origin = file, origin
        self._table = table = _index(file, what, limits)
        self._rows: dict[bytes, int] = {}
        self._removed: set[bytes] = set()
        self._hidden: set[bytes] = set()
        for row, path in enumerate(table.paths()):
            kind = table.kinds[row]
            if kind == WHITEOUT:
                self._removed.add(path)
            elif kind == OPAQUE:
                self._hidden.add(path)
            else:
                self._rows[path] = row  # extracting leaves the last of several

    def get(self, path: bytes) -> Stood | Gone | None:
        row = self._rows.get(path)
        if row is None:
            if path in self._children:
                return Stood(_IMPLIED, _nothing)
            return GONE if path in self._removed else None
        table = self._table
        kind = KINDS[table.kinds[row]]
        capability = table.capabilities.get(row)
        state = FileState(
            kind,
            table.modes[row],
            table.owners[row] >> 32,
            table.owners[row] & 0xFFFFFFFF,
            table.real_sizes.get(row, table.stored[row]) if kind is Kind.FILE else 0,
            float(table.mtimes[row]),
            None,
            None,
            table.link(row) if kind in (Kind.SYMLINK, Kind.HARDLINK) else None,
            words(capability) if capability else "",
        )
        return Stood(state, lambda: self._content(row), None, None if self._origin is None else (self._origin, path))

    def names(self, directory: bytes) -> list[bytes]:
        return sorted(self._children.get(directory, ()))

    def is_opaque(self, directory: bytes) -> bool:
        return directory in self._hidden or directory in self._removed

    @cached_property
    def _children(self) -> dict[bytes, set[bytes]]:
        """What lies in each directory, those that no member names included."""
        children: dict[bytes, set[bytes]] = {}
        for path in (*self._rows, *self._removed):
            while path:
                directory, _, name = path.rpartition(b"/")
                names = children.get(directory)
                if names is None:
                    names = children[directory] = set()
                elif name in names:
                    break
                names.add(name)
                path = directory  # noqa: PLW2901 - up to a directory that is known
        for path in self._hidden:
            children.setdefault(path, set())
        return children

    def _content(self, row: int) -> Iterator[bytes]:
        if row in self._table.real_sizes:
            raise OSError(0, "it is sparse, in a form of GNU tar's that is not read")
        at, end = self._table.offsets[row], self._table.offsets[row] + self._table.stored[row]
        while at < end:
            data = os.pread(self._file.fd, min(CHUNK, end - at), self._file.offset + at)
            if not data:
                raise OSError(0, "its archive became shorter")
            yield data
            at += len(data)


def _index(file: StoredFile, what: str, limits: Limits) -> EntryTable:
    """The members of a plain tar, by seeking from header to header; raises as Headers does."""
    headers = Headers(what, limits)
    while not headers.ended and headers.next < file.size:
        at = headers.next
        block = os.pread(file.fd, min(BLOCK, file.size - at), file.offset + at)
        headers.feed(at, block)
        if len(block) < BLOCK:
            break
    headers.finish(file.size)
    return headers.table


def _nothing() -> Iterator[bytes]:
    return iter(())


def open_layer(blob: Blob, limits: Limits, notes: Notes, resources: ExitStack) -> FileLayer:
    """The layer of an image. A compressed tar, or one that only streams, is unpacked into a file without a name.

    Raises SourceError where the disk has no room or the directory cannot be opened, LayerError and LimitError as the tar's reader does.
    """
    origin = blob.layer.diff_id
    what = f"layer {blob.layer.index}"
    if isinstance(blob, TreeBlob):
        try:
            root = os.open(blob.root, _DIRECTORY)
        except OSError as e:
            raise SourceError(f"cannot read the directory {blob.root}: {e.strerror or e}") from e
        resources.callback(os.close, root)
        return TreeLayer(root, notes, resources, "trusted" if blob.overlay else "", origin)
    return TarLayer(_plain(blob, what, limits, resources), what, limits, origin)


def _plain(blob: TarBlob, what: str, limits: Limits, resources: ExitStack) -> StoredFile:
    file = blob.file
    if file is not None:
        try:
            first = os.pread(file.fd, min(LONGEST_MAGIC, file.size), file.offset)
        except OSError as e:
            raise SourceError(f"cannot read {what}: {e.strerror or e}") from e
        if compression(first) is None:
            return file
    stream = blob.open()
    try:
        return spooled(decompressed(stream, limits, what), f"{what}, unpacked,", resources)
    finally:
        stream.close()
