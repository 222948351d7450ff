"""The root file system as a container sees it: layers applied in order, symbolic links followed within the image.

Source: OCI image-spec v1.1, layer.md (Applying Changesets); path_resolution(7). Only what is asked for is looked up;
no tree of a million paths is built, and no path of an image is ever opened on the host.
"""

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from scanner.errors import ScannerError
from scanner.model import Entry, FileLocation, Kind, Layer, State
from scanner.oci.table import DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, EntryTable

LINKS = 40
"""Symbolic links followed in one path, as in Linux (path_resolution(7))."""
LISTED = 10_000
"""Names that a pattern may give: no honest configuration includes more files."""
SHORT = 8
"""Characters up to which regular files' paths are collected at once: a search for `etc` would halt at every `etc/…`."""
_NOT_FILE = re.compile(b"[^\\x%02x]" % FILE)


@dataclass(frozen=True, slots=True)
class File:
    """A regular file that a container sees. `path` is where it lies after all links; `data` None: it was not kept."""

    path: bytes
    layer: Layer
    entry: Entry
    data: bytes | None

    def at(self, line: int | None = None) -> FileLocation:
        return FileLocation(self.path, self.layer, line=line)


class _LayerIndex:
    """One layer's rows by path: all that are no regular files, and regular ones as they are asked for."""

    def __init__(self, table: EntryTable) -> None:
        self._table = table
        self._files: dict[bytes, int | None] = {}
        self.special: dict[bytes, int] = {}
        self.removed: set[bytes] = set()
        self.opaque: set[bytes] = set()
        for match in _NOT_FILE.finditer(table.kinds):
            row = match.start()
            kind, path = table.kinds[row], table.path(row)
            if kind == WHITEOUT:
                self.removed.add(path)
            elif kind == OPAQUE:
                self.opaque.add(path)
            else:
                self.special[path] = row

    def row(self, path: bytes) -> int | None:
        """The last row that has the path, of whatever kind; None if the layer does not have it."""
        if len(path) <= SHORT:
            file = self._short.get(path)
        else:
            if path not in self._files:
                self._files[path] = max(rows_of(self._table, path), default=None)
            file = self._files[path]
        special = self.special.get(path)
        return special if file is None else file if special is None else max(file, special)

    def learn(self, paths: Iterable[bytes], files: Mapping[bytes, int]) -> None:
        """Take over which of the paths are regular files here, and which are none."""
        for path in paths:
            if len(path) > SHORT:
                self._files[path] = files.get(path)

    def replaces_directory(self, path: bytes) -> bool:
        """Whether the layer puts something else where a directory was."""
        row = self.row(path)
        return row is not None and self._table.kinds[row] != DIRECTORY

    @cached_property
    def _short(self) -> dict[bytes, int]:
        table, begin, found = self._table, 0, {}
        for row, (end, link, kind) in enumerate(zip(table.ends, table.links, table.kinds, strict=True)):
            if kind == FILE and end - link - begin <= SHORT:
                found[bytes(table.names[begin : end - link])] = row
            begin = end
        return found


def rows_of(table: EntryTable, path: bytes) -> Iterator[int]:
    """The rows of regular files at the path, found in the names by one search."""
    names, ends, links = table.names, table.ends, table.links
    at = names.find(path) if path else -1
    while at >= 0:
        row = bisect_left(ends, at + len(path))
        begin = ends[row - 1] if row else 0
        if begin == at and ends[row] - links[row] == at + len(path) and table.kinds[row] == FILE:
            yield row
        at = names.find(path, at + 1)


class Filesystem:
    """Questions about the squashed root. Layers' tables are loaded when the first one is asked.

    A table that cannot be loaded (a damaged cache) is left out, and `problem` says so.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        tables: Sequence[Callable[[], EntryTable]],
        kept: Sequence[Callable[[], Mapping[bytes, bytes]]],
    ) -> None:
        self._layers, self._load, self._kept = tuple(layers), tuple(tables), tuple(kept)
        self._resolved: dict[tuple[bytes, bool], tuple[int, int] | None] = {}
        self.problem: str | None = None

    def stat(self, path: bytes, follow: bool = True) -> Entry | None:
        """The entry a container finds at the path (no leading slash needed), None if there is none.

        With `follow`, its `path` is where symbolic links led to.
        """
        found = self._resolve(path, follow)
        if found is None:
            return None
        layer, row = found
        return replace(self._tables[layer].entry(row, layer), state=State.VISIBLE)

    def read(self, path: bytes) -> File | None:
        """The regular file at the path, links followed; None where there is none."""
        entry = self.stat(path)
        if entry is None or entry.kind not in (Kind.FILE, Kind.HARDLINK):
            return None
        return self._file(entry)

    def _file(self, entry: Entry) -> File:
        kept = self._documents(entry.layer)
        data = kept.get(entry.path)
        if data is None and entry.kind is Kind.HARDLINK and entry.link_target is not None:
            data = kept.get(entry.link_target)
        if data is None and entry.kind is Kind.FILE and entry.size == 0:
            data = b""
        return File(entry.path, self._layers[entry.layer], entry, data)

    def glob(self, pattern: bytes) -> tuple[bytes, ...]:
        """The visible paths that a shell pattern names (glob(7): `*`, `?`, `[…]`, none of which match a slash), sorted.

        Names that begin with a dot need a dot in the pattern. No leading slash in what it gives.
        """
        found = [b""]
        for part in [p for p in pattern.split(b"/") if p]:
            step: list[bytes] = []
            wild = re.compile(_wild(part)) if re.search(rb"[*?\[]", part) else None
            for folder in found:
                if wild is None:
                    path = folder + b"/" + part if folder else part
                    if self._resolve(path, True) is not None or self._holds(path):
                        step.append(path)
                    continue
                for name in self.listing(folder):
                    if wild.fullmatch(name) and (not name.startswith(b".") or part.startswith(b".")):
                        step.append(folder + b"/" + name if folder else name)
            found = step[:LISTED]
        return tuple(sorted(found))

    def listing(self, folder: bytes) -> tuple[bytes, ...]:
        """The names in a directory, sorted, links to it followed; () for anything else."""
        resolved = self._resolve(folder, True)
        if resolved is not None:
            entry = self._tables[resolved[0]].entry(resolved[1], resolved[0])
            folder = entry.path
        folder = folder.strip(b"/")
        prefix = folder + b"/" if folder else b""
        names: set[bytes] = set()
        found: list[dict[bytes, int]] = []
        for table in self._tables:
            files: dict[bytes, int] = {}
            found.append(files)
            if not prefix:
                names.update(p.partition(b"/")[0] for p in table.paths())
                continue
            buffer, ends, links = table.names, table.ends, table.links
            at = buffer.find(prefix)
            while at >= 0:
                row = bisect_left(ends, at + len(prefix))
                begin = ends[row - 1] if row else 0
                if begin == at:
                    path = bytes(buffer[at : ends[row] - links[row]])
                    name, below, _ = path[len(prefix) :].partition(b"/")
                    names.add(name)
                    if not below and table.kinds[row] == FILE:
                        files[path] = row
                at = buffer.find(prefix, at + (len(prefix) if begin == at else 1))
        if prefix:  # all of the folder is known now: no name of it needs a search of its own
            for index, files in zip(self._indexes, found, strict=True):
                index.learn((prefix + name for name in names), files)
        return tuple(n for n in sorted(names) if n and (self._find(prefix + n) is not None or self._holds(prefix + n)))

    def versions(self, path: bytes) -> tuple[File, ...]:
        """Every layer's file at exactly this path, the lowest first, whatever became of it; links are not followed."""
        path = path.strip(b"/")
        found = []
        for index, layer in enumerate(self._indexes):
            row = layer.row(path)
            if row is not None and self._tables[index].kinds[row] in (FILE, HARDLINK):
                found.append(self._file(self._tables[index].entry(row, index)))
        return tuple(found)

    def documents(self, pattern: bytes) -> Iterator[tuple[File, State, int | None]]:
        """Every layer's kept files whose whole path matches, with what became of each and the layer that hid it."""
        wanted = re.compile(pattern)
        for index in range(len(self._kept)):
            for path in sorted(p for p in self._documents(index) if wanted.fullmatch(p)):
                row = self._indexes[index].row(path)
                if row is None or self._tables[index].kinds[row] not in (FILE, HARDLINK):
                    continue
                file = self._file(self._tables[index].entry(row, index))
                yield file, *self._fate(index, path)

    def _fate(self, layer: int, path: bytes) -> tuple[State, int | None]:
        for above in range(layer + 1, len(self._tables)):
            if self._indexes[above].row(path) is not None:
                return State.OVERWRITTEN, above
            if self._hides(above, path) or self._holds_in(above, path + b"/"):
                return State.DELETED, above
        return State.VISIBLE, None

    def kept(self, pattern: bytes) -> Iterator[File]:
        """The kept files that a container sees whose whole path matches the regular expression, sorted by path."""
        wanted = re.compile(pattern)
        paths = {p for index in range(len(self._kept)) for p in self._documents(index) if wanted.fullmatch(p)}
        for path in sorted(paths):
            found = self._find(path)
            if found is not None and self._tables[found[0]].kinds[found[1]] in (FILE, HARDLINK):
                file = self._file(self._tables[found[0]].entry(found[1], found[0]))
                if file.data is not None:
                    yield file

    # ---- how

    @cached_property
    def _tables(self) -> tuple[EntryTable, ...]:
        tables = []
        for load in self._load:
            try:
                tables.append(load())
            except ScannerError as e:
                self.problem = f"a layer's entries cannot be loaded: {e}; scan with --no-cache"
                tables.append(EntryTable())
        return tuple(tables)

    @cached_property
    def _indexes(self) -> tuple[_LayerIndex, ...]:
        return tuple(map(_LayerIndex, self._tables))

    def _documents(self, layer: int) -> Mapping[bytes, bytes]:
        try:
            return self._kept[layer]()
        except ScannerError as e:
            self.problem = f"a layer's kept files cannot be loaded: {e}; scan with --no-cache"
            return {}

    def _holds(self, folder: bytes) -> bool:
        """Whether something visible lies below a directory that no layer has an entry of its own for."""
        prefix = folder.strip(b"/") + b"/"
        for index in reversed(range(len(self._tables))):
            if self._holds_in(index, prefix):
                return True
            if self._hides(index, prefix.rstrip(b"/")):
                return False
        return False

    def _holds_in(self, index: int, prefix: bytes) -> bool:
        table = self._tables[index]
        at = table.names.find(prefix)
        while at >= 0:
            row = bisect_left(table.ends, at + len(prefix))
            if (table.ends[row - 1] if row else 0) == at and table.is_entry(row):
                return True
            at = table.names.find(prefix, at + 1)
        return False

    def _find(self, path: bytes) -> tuple[int, int] | None:
        """(layer, row) of what stands at the path itself once all layers are applied."""
        for index in reversed(range(len(self._tables))):
            row = self._indexes[index].row(path)
            if row is not None:
                # a writer may leave directories out: what holds an entry of a later layer is one all the same
                made = self._tables[index].kinds[row] != DIRECTORY and any(
                    self._holds_in(above, path + b"/") for above in range(index + 1, len(self._tables))
                )
                return None if made else (index, row)
            if self._hides(index, path):
                return None
        return None

    def _hides(self, index: int, path: bytes) -> bool:
        """Whether this layer removes the path of the layers below it."""
        layer = self._indexes[index]
        if path in layer.removed:
            return True
        while path:
            path = path.rpartition(b"/")[0]
            if path in layer.opaque or (path and (path in layer.removed or layer.replaces_directory(path))):
                return True
        return False

    def _resolve(self, path: bytes, follow: bool) -> tuple[int, int] | None:
        key = (path, follow)
        if key not in self._resolved:
            self._resolved[key] = self._walk(path, follow)
        return self._resolved[key]

    def _walk(self, path: bytes, follow: bool) -> tuple[int, int] | None:
        todo = deque(p for p in path.split(b"/") if p not in (b"", b"."))
        at: list[bytes] = []
        links = 0
        found: tuple[int, int] | None = None
        while todo:
            part = todo.popleft()
            if part == b"..":
                del at[-1:]
                found = None
                continue
            at.append(part)
            found = self._special(b"/".join(at)) if todo else self._find(b"/".join(at))
            if found is None:
                continue
            table = self._tables[found[0]]
            kind = table.kinds[found[1]]
            if kind == SYMLINK and (todo or follow):
                links += 1
                if links > LINKS:
                    return None
                target = table.link(found[1])
                at = [] if target.startswith(b"/") else at[:-1]
                todo.extendleft(reversed([p for p in target.split(b"/") if p not in (b"", b".")]))
                found = None
                if not todo:
                    found = self._find(b"/".join(at)) if at else None
            elif todo and kind != DIRECTORY:
                return None
        return found

    def _special(self, path: bytes) -> tuple[int, int] | None:
        """As `_find` for the middle of a path, where only directories and links count: no search for regular files."""
        for index in reversed(range(len(self._tables))):
            row = self._indexes[index].special.get(path)
            if row is not None:
                return index, row
            if self._hides(index, path):
                return None
        return None


def _wild(part: bytes) -> bytes:
    """One component of a glob(7) pattern as a regular expression."""
    out, at = b"", 0
    while at < len(part):
        c = part[at : at + 1]
        at += 1
        if c == b"*":
            out += b"" if out.endswith(b"[^/]*+") else b"[^/]*+" if at == len(part) else b"[^/]*"
        elif c == b"?":
            out += b"[^/]"
        elif c == b"\\" and at < len(part):
            out += re.escape(part[at : at + 1])
            at += 1
        elif c == b"[" and (end := part.find(b"]", at + (2 if part[at : at + 1] in (b"!", b"^") else 1))) > 0:
            inner = part[at:end]
            negated = inner[:1] in (b"!", b"^")
            out += b"[" + (b"^" if negated else b"") + re.escape(inner[negated:]).replace(rb"\-", b"-") + b"]"
            at = end + 1
        else:
            out += re.escape(c)
    return out
