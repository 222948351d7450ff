"""Bytes in files of the host, read by position: several readers may share one descriptor, from any thread."""

import os
import stat
import tempfile
from contextlib import ExitStack
from pathlib import Path

from scanner.errors import LayerError, SourceError, TargetError
from scanner.oci.blob import Readable, StoredFile

CHUNK = 1 << 20
RESERVE = 256 << 20
"""Free bytes that a spool leaves on its file system: a scan must not fill the disk."""
_CHECKED = 64 << 20
_ZEROS = bytes(CHUNK)


class _FileReader:
    def __init__(self, file: StoredFile, what: str) -> None:
        self._file = file
        self._what = what
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        left = self._file.size - self._at
        size = min(left, CHUNK if size < 0 else size)
        if size <= 0:
            return b""
        data = os.pread(self._file.fd, size, self._file.offset + self._at)
        if not data:
            raise LayerError(f"{self._what} became shorter while it was read: {left} bytes are missing")
        self._at += len(data)
        return data

    def close(self) -> None:
        """The descriptor is shared: whoever opened it closes it."""


def reader(file: StoredFile, what: str) -> Readable:
    """A stream from the file's first byte; raises LayerError if the file shrank meanwhile, OSError as the system does."""
    return _FileReader(file, what)


def part(file: StoredFile, offset: int, size: int) -> StoredFile:
    """A piece of a stored file; never reaches beyond it."""
    offset = min(offset, file.size)
    return StoredFile(file.fd, file.offset + offset, max(0, min(size, file.size - offset)))


def content(file: StoredFile, what: str) -> bytes:
    """All of a file whose size the caller found small enough; raises SourceError where it cannot be read."""
    data = bytearray()
    try:
        stream = reader(file, what)
        while chunk := stream.read(CHUNK):
            data += chunk
    except OSError as e:
        raise SourceError(f"cannot read {what}: {e.strerror or e}") from e
    except LayerError as e:
        raise SourceError(str(e)) from e
    return bytes(data)


def regular(path: Path, resources: ExitStack) -> StoredFile:
    """A regular file that the user named, kept open by `resources`. Raises TargetError where there is none to read."""
    try:
        # a FIFO without a writer would make us wait for ever
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as e:
        raise TargetError(f"cannot open {path}: {getattr(e, 'strerror', None) or e}") from e
    resources.callback(os.close, fd)
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        what = "a directory" if stat.S_ISDIR(info.st_mode) else "no regular file"
        raise TargetError(f"{path} is {what}; a file is needed here")
    return StoredFile(fd, 0, info.st_size)


def spool_directory() -> Path:
    """Where large unnamed files go: TMPDIR, else /var/tmp, which unlike /tmp is seldom memory."""
    if chosen := os.environ.get("TMPDIR"):
        return Path(chosen)
    large = Path("/var/tmp")  # noqa: S108 - the spool has no name there
    return large if os.access(large, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def spooled(stream: Readable, what: str, resources: ExitStack) -> StoredFile:
    """The whole stream in a file without a name, gone with `resources`; runs of zeros take no room.

    Raises SourceError where the disk has no room for it, and what the stream raises.
    """
    directory = spool_directory()
    size, checked = 0, -_CHECKED
    try:
        spool = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - it lives as long as `resources`
        resources.callback(spool.close)
        while data := stream.read(CHUNK):
            if size - checked >= _CHECKED:
                checked = size
                _make_sure_of_room(spool.fileno(), directory, what)
            if data != _ZEROS:
                view, at = memoryview(data), size
                while view:
                    written = os.pwrite(spool.fileno(), view, at)
                    view, at = view[written:], at + written
            size += len(data)
        os.ftruncate(spool.fileno(), size)
    except OSError as e:
        raise SourceError(
            f"cannot keep {what} on disk while it is read: {directory}: {e.strerror or e}. "
            "Set TMPDIR to a directory with more room."
        ) from e
    return StoredFile(spool.fileno(), 0, size)


def _make_sure_of_room(fd: int, directory: Path, what: str) -> None:
    room = os.fstatvfs(fd)
    if room.f_bavail * room.f_frsize < RESERVE:
        raise SourceError(
            f"cannot keep {what} on disk while it is read: {directory} would be full. "
            "Set TMPDIR to a directory with more room."
        )
