"""Where a layer's bytes are: all that a source hands over, and all that the walk asks of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scanner.model import Descriptor, Layer


class Readable(Protocol):
    """A forward-only stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, b"" at the end; raises OSError or ScannerError."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`size` bytes at `offset` of a regular file that `fd` keeps open (closed by the OpenImage, never by a reader)."""

    fd: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class TarBlob:
    """A layer stored as a tar: plain, gzip or zstd, told apart by its first bytes.

    `open` begins at the first stored byte, again at every call. `file` is set where the stored bytes lie in one piece
    in a regular file, so that a plain tar's members can be read again in place. `descriptor.digest`, where known, and
    `layer.diff_id` are verified by whoever streams it, not by the source.
    """

    layer: Layer
    descriptor: Descriptor
    open: Callable[[], Readable]
    file: StoredFile | None = None


@dataclass(frozen=True, slots=True)
class TreeBlob:
    """A layer that lies unpacked in a directory of the host; its diff_id cannot be verified.

    `overlay` says how deletions are written: True for an overlay2 upper directory (character devices 0/0 and the
    `trusted.overlay.opaque` attribute), False for a plain tree, in which nothing is a whiteout.
    """

    layer: Layer
    root: Path
    overlay: bool = False


Blob = TarBlob | TreeBlob
