"""A whole file system as a tar that flows by (`docker export`): each member once, nothing of it is kept here."""

from collections.abc import Iterator
from functools import partial

from scanner.model import Kind, Limits
from scanner.model.run import FileState
from scanner.oci.blob import TarBlob
from scanner.oci.table import HARDLINK, KINDS, OPAQUE, SYMLINK, WHITEOUT
from scanner.oci.tar import OPAQUE_NAME, WHITEOUT_PREFIX, TarWalk
from scanner.runtime.changes.capability import words
from scanner.runtime.changes.layers import Stood
from scanner.runtime.changes.noting import Notes
from scanner.runtime.changes.squash import Met, Squash


def members(blob: TarBlob, before: Squash, limits: Limits, notes: Notes) -> Iterator[Met]:
    """Each member in its order; its content must be taken before the next one is asked for.

    A file may have a name like a layer's mark for a removed one: in a file system it is a file. Raises as TarWalk does.
    """
    walk = _Stream(TarWalk(blob, limits))
    files: dict[bytes, tuple[FileState, int, bytes]] = {}
    try:
        for row in walk.rows():
            state, path = walk.state(row), walk.path(row)
            if state.kind is Kind.HARDLINK:
                target = state.link_target or b""
                if target not in files:
                    notes.warn("a hard link that leads nowhere", path)
                    continue
                linked, first, where = files[path] = files[target]
                yield Met(path, Stood(linked, partial(_unchanged, before, where), first))
                continue
            if state.kind is Kind.FILE:
                files[path] = (state, row, path)
            if path:
                yield Met(path, Stood(state, partial(walk.content, row), row))
    finally:
        walk.close()


def _unchanged(before: Squash, path: bytes) -> Iterator[bytes]:
    """The content of a member that went by and was not kept: it is what the same path had before."""
    stood = before.get(path)
    if stood is None:
        raise OSError(0, "the first name of this hard link was not kept")
    return stood.chunks()


class _Stream:
    """A walk of a tar turned around: rows are asked for, and content by row, both forwards only."""

    def __init__(self, walk: TarWalk) -> None:
        self._walk, self._table = walk, walk.table
        self._chunks = walk.chunks()
        self._begin, self._chunk = 0, b""

    def rows(self) -> Iterator[int]:
        row = 0
        while True:
            while row < len(self._table):
                yield row
                row += 1
            if not self._next():
                return

    def path(self, row: int) -> bytes:
        path, kind = self._table.path(row), self._table.kinds[row]
        directory, slash, name = path.rpartition(b"/")
        if kind == WHITEOUT:
            return directory + slash + WHITEOUT_PREFIX + name
        if kind == OPAQUE:
            return path + b"/" + OPAQUE_NAME if path else OPAQUE_NAME
        return path

    def state(self, row: int) -> FileState:
        table = self._table
        code = table.kinds[row]
        kind = KINDS[code] if table.is_entry(row) else Kind.FILE
        capability = table.capabilities.get(row)
        return FileState(
            kind,
            table.modes[row],
            table.owners[row] >> 32,
            table.owners[row] & 0xFFFFFFFF,
            table.real_sizes.get(row, table.stored[row]) if kind is Kind.FILE else 0,
            float(table.mtimes[row]),
            None,
            None,
            table.link(row) if code in (SYMLINK, HARDLINK) else None,
            words(capability) if capability else "",
        )

    def content(self, row: int) -> Iterator[bytes]:
        if row in self._table.real_sizes:
            raise OSError(0, "it is sparse, in a form of GNU tar's that is not read")
        at, end = self._table.offsets[row], self._table.offsets[row] + self._table.stored[row]
        while at < end:
            if at >= self._begin + len(self._chunk) and not self._next():
                raise OSError(0, "its archive breaks off")
            data = self._chunk[max(0, at - self._begin) : end - self._begin]
            if data:
                yield data
                at += len(data)

    def close(self) -> None:
        self._walk.close()

    def _next(self) -> bool:
        found = next(self._chunks, None)
        if found is None:
            return False
        self._begin, self._chunk = found
        return True
