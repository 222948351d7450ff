"""Layers over one another, as a container sees them: asked by path, or walked (image-spec v1.1, layer.md, Applying Changesets)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scanner.model import Kind
from scanner.runtime.changes.layers import FileLayer, Gone, Stood
from scanner.runtime.changes.noting import Notes

MAX_DEPTH = 1_000
"""Directories in directories; deeper ones are reported unread. No path of more can be named to the kernel at once."""
_LINKS = 40


@dataclass(frozen=True, slots=True)
class Met:
    """One thing on a walk: what stands at `path`, None where a layer removed what lies below it.

    `opaque`: of a directory, nothing of what other layers below have in it is to be seen.
    """

    path: bytes
    stood: Stood | None
    opaque: bool = False


class Squash:
    """Layers, the topmost first. What cannot be read is noted, and is as if it were not there.

    `links` is where hard links lead that these layers' own files do not answer: the whole of which they are the upper part.
    """

    def __init__(self, layers: Sequence[FileLayer], notes: Notes, links: "Squash | None" = None) -> None:
        self._notes, self._links = notes, links
        self._visible: dict[bytes, tuple[FileLayer, ...]] = {b"": self._opened(tuple(layers), b"")}

    def get(self, path: bytes) -> Stood | None:
        """What a container finds there, no link followed; a hard link is the file that it leads to."""
        for _ in range(_LINKS):
            found = self._first(self._layers_of(path.rpartition(b"/")[0]), path)
            if not isinstance(found, Stood):
                return None
            if found.state.kind is not Kind.HARDLINK:
                return found
            path = found.state.link_target or b""
            if self._links is not None:
                return self._links.get(path)
        return None

    def names(self, directory: bytes) -> list[bytes]:
        """What is in a directory, sorted."""
        layers = self._layers_of(directory)
        prefix = directory + b"/" if directory else b""
        return [n for n in self._names(layers, directory) if isinstance(self._first(layers, prefix + n), Stood)]

    def walk(self, top: bytes = b"") -> Iterator[Met]:
        """Everything below a directory, each directory before what is in it, names in order."""
        pending = [(top, 0)]
        while pending:
            directory, depth = pending.pop()
            if depth > MAX_DEPTH:
                self._notes.warn(f"more than {MAX_DEPTH} directories deep: not read", directory)
                continue
            layers = self._layers_of(directory)
            prefix = directory + b"/" if directory else b""
            inner: list[tuple[bytes, int]] = []
            for name in self._names(layers, directory):
                path = prefix + name
                found = self._first(layers, path)
                if found is None:
                    self._notes.vanished(path)
                elif isinstance(found, Gone):
                    yield Met(path, None)
                else:
                    if found.state.kind is Kind.DIRECTORY:
                        inner.append((path, depth + 1))
                        yield Met(path, found, any(self._is_opaque(layer, path) for layer in self._layers_of(path)))
                        continue
                    if found.state.kind is Kind.HARDLINK and (found := self.get(path)) is None:
                        self._notes.warn("a hard link that leads nowhere", path)
                        continue
                    yield Met(path, found)
            pending += reversed(inner)

    def _layers_of(self, directory: bytes) -> tuple[FileLayer, ...]:
        """The layers that have something in a directory that a container sees."""
        if (known := self._visible.get(directory)) is not None:
            return known
        missing = [directory]
        while (above := missing[-1].rpartition(b"/")[0]) not in self._visible:
            missing.append(above)
        layers = self._visible[above]
        for path in reversed(missing):
            layers = self._visible[path] = self._opened(layers, path)
        return layers

    def _opened(self, layers: tuple[FileLayer, ...], directory: bytes) -> tuple[FileLayer, ...]:
        found: list[FileLayer] = []
        for layer in layers:
            if directory:
                stood = self._ask(layer, directory)
                if stood is None:
                    continue
                if isinstance(stood, Gone) or stood.state.kind is not Kind.DIRECTORY:
                    break
            found.append(layer)
            if self._is_opaque(layer, directory):
                break
        return tuple(found)

    def _first(self, layers: tuple[FileLayer, ...], path: bytes) -> Stood | Gone | None:
        for layer in layers:
            if (found := self._ask(layer, path)) is not None:
                return found
        return None

    def _ask(self, layer: FileLayer, path: bytes) -> Stood | Gone | None:
        try:
            return layer.get(path)
        except OSError as e:
            self._notes.warn(f"cannot be read: {e.strerror or e}", path)
            return None

    def _is_opaque(self, layer: FileLayer, directory: bytes) -> bool:
        try:
            return layer.is_opaque(directory)
        except OSError:
            return False

    def _names(self, layers: tuple[FileLayer, ...], directory: bytes) -> list[bytes]:
        found: set[bytes] = set()
        for layer in layers:
            try:
                found.update(layer.names(directory))
            except FileNotFoundError:
                self._notes.vanished(directory)
            except OSError as e:
                self._notes.warn(f"cannot be read: {e.strerror or e}", directory)
        return sorted(found)
