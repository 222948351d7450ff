"""What a run changed, kept as a layer while it is compared: bounded, and each file found again in it."""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

from scanner.errors import SourceError
from scanner.model import Kind, Layer, Limits
from scanner.model.run import FileState
from scanner.oci.blob import TarBlob
from scanner.oci.tar import WHITEOUT_PREFIX
from scanner.runtime.changes.noting import Notes
from scanner.runtime.spool import LayerSpool

FILES = 4
"""All files of a run together may take this many times what one file may take (`Limits.spool_bytes`)."""
_BLOCK = 512
_ESCAPED = (WHITEOUT_PREFIX, b"%2Ewh.", b"%25")
"""Beginnings of names that are written in another way: two files have never one name in the layer."""


class Kept:
    """A LayerSpool that never fails: what it has no room for is said."""

    def __init__(self, limits: Limits, notes: Notes, resources: ExitStack) -> None:
        self._spool = LayerSpool(resources)
        self.largest, self._total = limits.spool_bytes, FILES * limits.spool_bytes
        self._notes = notes
        self._places: dict[bytes, tuple[int, int]] = {}
        self._renamed: set[bytes] = set()
        self._fd: int | None = None

    @property
    def is_empty(self) -> bool:
        return not self._spool.size

    def lacks(self, state: FileState) -> str:
        """Why a file of that size can no longer be kept, "" where it can."""
        size = min(state.size, self.largest) if state.kind is Kind.FILE else 0
        if self._spool.size + size <= self._total:
            return ""
        return f"all files of a run may take {self._total} bytes (four times --limit spool-bytes=N)"

    def mark(self) -> int:
        return self._spool.mark()

    def rewind(self, mark: int, path: bytes) -> None:
        """Take back what was added of `path` since the mark."""
        self._spool.rewind(mark)
        self._places.pop(path, None)

    def add(self, path: bytes, state: FileState, content: Iterable[bytes] = ()) -> str:
        """Keep one file. Gives why it could not be kept whole, "" where it could; raises OSError as `content` does."""
        size = min(state.size, self.largest) if state.kind is Kind.FILE else 0
        if lacks := self.lacks(state):
            return lacks
        mark = self._spool.mark()
        try:
            name = self._safe(self._free(path))
            self._spool.add(name, replace(state, size=size) if size != state.size else state, content)
        except SourceError as e:
            self._spool.rewind(mark)
            return str(e)
        except OSError:
            self._spool.rewind(mark)
            raise
        if state.kind is Kind.FILE:
            self._places[path] = (self._spool.size - size - -size % _BLOCK, size)
        return (
            ""
            if size == state.size
            else f"only its first {size} bytes were looked at (--limit spool-bytes=N allows more)"
        )

    def add_link(self, path: bytes, state: FileState, target: bytes) -> str:
        """Another name of a file that was kept."""
        link = replace(state, kind=Kind.HARDLINK, link_target=self._safe(target), size=0)
        try:
            self._spool.add(self._safe(path), link)
        except SourceError as e:
            return str(e)
        if (place := self._places.get(target)) is not None:
            self._places[path] = place
        return ""

    def remove(self, path: bytes) -> str:
        """The path is there no more."""
        try:
            self._spool.add_whiteout(self._safe(path))
        except SourceError as e:
            return str(e)
        return ""

    def blob(self, layer: Layer) -> TarBlob:
        blob = self._spool.blob(layer)
        assert blob.file is not None, "a spool is a file"
        self._fd = blob.file.fd
        return blob

    def content(self, path: bytes, most: int) -> bytes | None:
        """What was kept of a file, once `blob` was asked for; None where it was not, or is larger."""
        place = self._places.get(path)
        if place is None or place[1] > most or self._fd is None:
            return None
        data = os.pread(self._fd, place[1], place[0])
        return data if len(data) == place[1] else None

    def _free(self, path: bytes) -> bytes:
        """The path, or one beside it where a file of that path is kept already: what a mount hides is a file all the same, and
        of two with one name a layer has but the last."""
        name, number = path, 1
        while name in self._places or name in self._renamed:
            number += 1
            name = b"%s#%d" % (path, number)
        if name != path:
            self._renamed.add(name)
        return name

    def _safe(self, path: bytes) -> bytes:
        """The path as a layer may name it: to a layer, `.wh.x` is no file, but the mark that `x` was removed."""
        if not any(one in path for one in _ESCAPED):
            return path
        parts = path.split(b"/")
        if any(part.startswith(WHITEOUT_PREFIX) for part in parts):
            self._notes.disguised(path)
        return b"/".join(b"%%%02X" % part[0] + part[1:] if part.startswith(_ESCAPED) else part for part in parts)
