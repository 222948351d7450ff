"""What a container sees of a layer's file: the layers above decide (OCI image-spec v1.1, layer.md, Applying Changesets).

Asked for the few paths that carry evidence, so that no tree of a million paths is ever built.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scanner.model import Entry, State
from scanner.oci.table import DIRECTORY, HARDLINK, OPAQUE, WHITEOUT, EntryTable


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a file of a layer: its state and the layer that hid it (its own, where a later member replaced it)."""

    state: State
    hidden_by: int | None = None


VISIBLE = Fate(State.VISIBLE)


def ancestors(path: bytes) -> Iterator[bytes]:
    """Every directory above the path, nearest first, the root as b""."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


class _Changes:
    """What one layer does to a set of paths."""

    __slots__ = ("_asked", "_entries", "_opaque", "_removed")

    def __init__(self, table: EntryTable, asked: frozenset[bytes]) -> None:
        self._asked = asked
        self._entries: dict[bytes, int] = {}
        self._removed: set[bytes] = set()
        self._opaque: set[bytes] = set()
        last = b""
        for row, path in enumerate(table.paths()):
            kind = table.kinds[row]
            directory = path.rpartition(b"/")[0]
            if directory != last and kind < WHITEOUT:
                # a writer may leave directories out: what holds an entry is one all the same
                last = directory
                for parent in (directory, *ancestors(directory)):
                    if parent in asked:
                        self._entries.setdefault(parent, DIRECTORY)
            if path in asked:
                if kind == WHITEOUT:
                    self._removed.add(path)
                elif kind == OPAQUE:
                    self._opaque.add(path)
                else:
                    self._entries[path] = kind

    def fate(self, path: bytes, layer: int) -> Fate | None:
        """What this layer, lying above, does to the file at `path`; None if it leaves it alone."""
        if path in self._entries:
            return Fate(State.OVERWRITTEN, layer)
        if path in self._removed:
            return Fate(State.DELETED, layer)
        for directory in ancestors(path):
            replaced = self._entries.get(directory, DIRECTORY) != DIRECTORY
            if replaced or directory in self._opaque or (directory and directory in self._removed):
                return Fate(State.DELETED, layer)
        return None


def fates(
    paths: Mapping[int, Iterable[bytes]], tables: Sequence[Callable[[], EntryTable]]
) -> dict[tuple[int, bytes], Fate]:
    """The fate of each (layer, path) asked about. `tables[i]()` loads layer i's entries; only layers above are loaded."""
    wanted = {layer: set(some) for layer, some in paths.items()}
    result: dict[tuple[int, bytes], Fate] = {}
    for above in range(len(tables)):
        open_questions = {
            (layer, path)
            for layer, some in wanted.items()
            if layer < above
            for path in some
            if (layer, path) not in result
        }
        if not open_questions:
            continue
        asked = frozenset(p for _, path in open_questions for p in (path, *ancestors(path)))
        changes = _Changes(tables[above](), asked)
        for layer, path in open_questions:
            if (fate := changes.fate(path, above)) is not None:
                result[layer, path] = fate
    return {(layer, path): result.get((layer, path), VISIBLE) for layer, some in wanted.items() for path in some}


def superseded(table: EntryTable, rows: Iterable[int]) -> frozenset[int]:
    """Those of the rows whose path a later member of the same layer takes again: extracting leaves the last one."""
    names = {row: table.path(row) for row in rows}
    if not names:
        return frozenset()
    paths = frozenset(names.values())
    last: dict[bytes, int] = {}
    for row, path in enumerate(table.paths()):
        if path in paths and table.is_entry(row):
            last[path] = row
    return frozenset(row for row, path in names.items() if last.get(path, row) != row)


def hard_links(table: EntryTable, targets: frozenset[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """The other names that a layer's hard links give to these paths; chains of links are followed."""
    links: dict[bytes, bytes] = {
        table.path(row): table.link(row) for row, kind in enumerate(table.kinds) if kind == HARDLINK
    }
    found: dict[bytes, list[bytes]] = {}
    for name, target in links.items():
        seen = {name}
        while target in links and target not in seen:
            seen.add(target)
            target = links[target]  # noqa: PLW2901 - the loop variable walks along the chain
        if target in targets and target != name:
            found.setdefault(target, []).append(name)
    return {target: tuple(sorted(names)) for target, names in found.items()}


def entries(tables: Sequence[Callable[[], EntryTable]]) -> Iterator[Entry]:
    """Every entry of every layer with its state, layer by layer from the lowest. Costs memory by the number of paths."""
    loaded = [table() for table in tables]
    for index, table in enumerate(loaded):
        own = {path for row, path in enumerate(table.paths()) if table.is_entry(row)}
        fate_of = fates({index: own}, [lambda t=t: t for t in loaded])  # type: ignore[misc]
        gone = superseded(table, range(len(table)))
        for row in range(len(table)):
            if not table.is_entry(row):
                continue
            entry = table.entry(row, index)
            fate = Fate(State.OVERWRITTEN, index) if row in gone else fate_of[index, entry.path]
            yield replace(entry, state=fate.state, hidden_by=fate.hidden_by)
