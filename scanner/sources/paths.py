"""What the sources on disk share: targets that name a file and an image in it, pipes, and first looks."""

import os
import stat
from contextlib import ExitStack
from pathlib import Path

from scanner.errors import LayerError, LimitError, SourceError, TargetError
from scanner.model import Limits, printable
from scanner.oci.blob import Readable, StoredFile
from scanner.oci.compression import LONGEST_MAGIC, compression, decompressed
from scanner.oci.files import reader, regular, spooled

LOOK = 64 << 10
STDIN = "-"
_SUFFIXES = (
    ".tar",
    ".tgz",
    ".tar.gz",
    ".tar.zst",
    ".tar.xz",
    ".tar.bz2",
    ".gz",
    ".zst",
    ".xz",
    ".bz2",
    ".oci",
    ".docker",
)


def exists(path: str) -> bool:
    """Whether there is anything by that name; a name no file system takes is none."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def absent(path: str) -> str:
    """Says that nothing is seen by that name: it is not there, or this user may not look."""
    try:
        Path(path).stat()
    except PermissionError as e:
        return f"cannot open {printable(path)}: {e.strerror}"
    except (OSError, ValueError):
        pass
    return f"{printable(path)}: no such file or directory"


def split(argument: str) -> tuple[str, str | None]:
    """`PATH`, `PATH:NAME`, `PATH@DIGEST` or `PATH:NAME@DIGEST` as a path and a selector: the longest part that exists is the path.

    Raises TargetError if nothing there exists.
    """
    if argument == STDIN or exists(argument):
        return argument, None
    for at in range(len(argument) - 1, 0, -1):
        if argument[at] in ":@" and exists(argument[:at]):
            return argument[:at], argument[at:].removeprefix(":")
    raise TargetError(absent(argument))


def stem(path: str) -> str:
    """The path's last part without what says how it is packed: `out/app.tar.gz` is `app`."""
    name = "stdin" if path == STDIN else Path(path).resolve().name
    while suffix := next((s for s in _SUFFIXES if name.lower().endswith(s) and len(name) > len(s)), ""):
        name = name[: -len(suffix)]
    return name or "/"


def seekable(path: str, what: str, limits: Limits, resources: ExitStack, *, unpacked: bool) -> StoredFile:
    """A regular file as it lies; a pipe or `-` (standard input) on disk without a name.

    With `unpacked`, a compressed file is unpacked into such a file too: its parts are needed in another order than they
    come, some more than once, and unpacking up to each of them again would take time by the square of their number,
    keeping them in memory has no bound. Raises TargetError, SourceError, LimitError.
    """
    stream = _pipe(path, resources)
    if stream is None:
        stored = regular(Path(path), resources)
        if not unpacked or compression(_pread(stored, LONGEST_MAGIC, what)) is None:
            return stored
        stream = reader(stored, what)
    try:
        return spooled(decompressed(stream, limits, what) if unpacked else stream, what, resources)
    except LayerError as e:
        raise SourceError(str(e)) from e


def look(path: Path) -> bytes:
    """The first 64 KiB of a regular file, uncompressed; empty for anything that cannot be read or unpacked."""
    with ExitStack() as resources:
        try:
            stored = regular(path, resources)
            return first_bytes(stored)
        except TargetError:
            return b""


def first_bytes(stored: StoredFile) -> bytes:
    """The first 64 KiB of what a file holds, uncompressed; less where it is shorter or broken."""
    data = b""
    try:
        stream = decompressed(reader(stored, "the file"), Limits(), "the file")
        while len(data) < LOOK and (more := stream.read(LOOK - len(data))):
            data += more
    except (LayerError, LimitError, OSError):
        return data
    return data


def _pread(stored: StoredFile, size: int, what: str) -> bytes:
    try:
        return os.pread(stored.fd, size, stored.offset)
    except OSError as e:
        raise SourceError(f"cannot read {what}: {e.strerror or e}") from e


def _pipe(path: str, resources: ExitStack) -> Readable | None:
    """Standard input or a pipe, opened; None for anything that is a file."""
    if path == STDIN:
        return open(0, "rb", buffering=0, closefd=False)
    try:
        if not stat.S_ISFIFO(Path(path).stat().st_mode):
            return None
        return resources.enter_context(Path(path).open("rb", buffering=0))
    except OSError as e:
        raise TargetError(f"cannot open {printable(path)}: {e.strerror or e}") from e
