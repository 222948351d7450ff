"""Files of a run as one more layer of its image: a tar in a file without a name, so that a run is judged as an image is."""

import io
import os
import tarfile
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from functools import partial

from scanner.errors import SourceError
from scanner.model import Descriptor, Kind, Layer
from scanner.model.run import FileState
from scanner.oci.blob import StoredFile, TarBlob
from scanner.oci.files import RESERVE, reader, spool_directory

MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar"
_OWNER, _TIME, _LARGE = 8**7, 8**11, 8**11
"""Numbers from these on have no room in their field of a header, in octal."""
_REST = b"0".ljust(101, b"\0") + b"ustar  ".ljust(512 - 257, b"\0")
"""Of a regular file's header, what follows the checksum."""
_TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.DIRECTORY: tarfile.DIRTYPE,
    Kind.SYMLINK: tarfile.SYMTYPE,
    Kind.HARDLINK: tarfile.LNKTYPE,
    Kind.CHARACTER: tarfile.CHRTYPE,
    Kind.BLOCK: tarfile.BLKTYPE,
    Kind.FIFO: tarfile.FIFOTYPE,
}
_BLOCK = 512
_NAME = 100
_CHECKED = 64 << 20
_SHORT = 4096
_ZEROS = bytes(1 << 20)
"""A chunk of a hole: it takes no room on the disk."""


class LayerSpool:
    """Grows file by file; `blob` gives it as a layer. The file has no name and is gone with `resources`.

    Every method raises SourceError where the disk has no room.
    """

    def __init__(self, resources: ExitStack) -> None:
        self._folder = spool_directory()
        self._size = 0
        self._checked = -_CHECKED
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - it lives as long as `resources`
        except OSError as e:
            raise self._full(e.strerror or str(e)) from e
        resources.callback(self._close)

    def _close(self) -> None:
        with suppress(OSError):  # what a full disk has no room for is written once more, in vain; it was said already
            self._file.close()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._size

    def add(self, path: bytes, state: FileState, content: Iterable[bytes] = ()) -> None:
        """One member. `content` of a regular file is cut off at `state.size` and filled up with zeros to it."""
        size = state.size if state.kind is Kind.FILE else 0
        self._write(self._header(path, state, size))
        left = size
        for chunk in content:
            piece = chunk[:left]
            if piece == _ZEROS:
                self._skip(len(piece))
            else:
                self._write(piece)
            left -= len(piece)
            if not left:
                break
        self._skip(left + -size % _BLOCK)

    def add_whiteout(self, path: bytes) -> None:
        """The path is there no more (image-spec v1.1, layer.md, Whiteouts)."""
        folder, slash, name = path.rpartition(b"/")
        self._write(self._header(folder + slash + b".wh." + name, FileState(Kind.FILE, 0, 0, 0, 0), 0))

    def mark(self) -> int:
        """Where the next member begins; `rewind` there takes back what was added since."""
        return self._size

    def rewind(self, mark: int) -> None:
        """Take back all that was added since the mark."""
        try:
            self._file.flush()
            self._file.seek(mark)
            self._file.truncate()
        except OSError as e:
            raise self._full(e.strerror or str(e)) from e
        self._size = mark

    def blob(self, layer: Layer) -> TarBlob:
        """All of it as a layer; nothing may be added any more."""
        self._skip(2 * _BLOCK)
        try:
            self._file.flush()
            self._file.truncate(self._size)
        except OSError as e:
            raise self._full(e.strerror or str(e)) from e
        stored = StoredFile(self._file.fileno(), 0, self._size)
        return TarBlob(
            layer, Descriptor(MEDIA_TYPE, None, self._size), partial(reader, stored, "the run's files"), stored
        )

    def _header(self, path: bytes, state: FileState, size: int) -> bytes:
        time = int(state.modified or 0)
        if (
            state.kind is Kind.FILE
            and len(path) < _NAME
            and max(state.uid, state.gid) < _OWNER
            and 0 <= time < _TIME
            and size < _LARGE
        ):
            return _of_file(path, state, size, time)
        member = tarfile.TarInfo(os.fsdecode(path))
        member.type = _TYPES[state.kind]
        member.mode, member.uid, member.gid, member.size = state.mode, state.uid, state.gid, size
        member.mtime = time
        if state.link_target is not None:
            member.linkname = os.fsdecode(state.link_target)
        return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")

    def _write(self, data: bytes) -> None:
        try:
            if self._size - self._checked >= _CHECKED:
                self._checked = self._size
                room = os.fstatvfs(self._file.fileno())
                if room.f_bavail * room.f_frsize < RESERVE:
                    raise self._full("it would be full")
            self._file.write(data)
        except OSError as e:
            raise self._full(e.strerror or str(e)) from e
        self._size += len(data)

    def _skip(self, size: int) -> None:
        """Zeros, as a hole where they are many: every seek writes out what is buffered."""
        if size <= _SHORT:
            self._write(bytes(size))
            return
        try:
            self._file.seek(size, io.SEEK_CUR)
        except OSError as e:
            raise self._full(e.strerror or str(e)) from e
        self._size += size

    def _full(self, why: str) -> SourceError:
        return SourceError(
            f"cannot keep the run's files on disk while they are looked at: {self._folder}: {why}. "
            "Set TMPDIR to a directory with more room."
        )


def _of_file(path: bytes, state: FileState, size: int, time: int) -> bytes:
    """A regular file's header as tarfile writes it, in a tenth of its time (tar(5), GNU tar format)."""
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (state.mode & 0o7777, state.uid, state.gid, size, time)
    front = path.ljust(_NAME, b"\0") + numbers
    checksum = sum(front) + 8 * ord(" ") + sum(_REST)
    return front + b"%06o\0 " % checksum + _REST
