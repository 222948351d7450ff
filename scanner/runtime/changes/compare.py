"""Files after a run against files before it: what differs by content, by kind, by owner, mode or capability, and what is gone.

Each file after is read once; a file before only where size and kind do not tell already. Times decide nothing: any program can set them.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from scanner.errors import ScannerError
from scanner.model import Kind, Level
from scanner.model.run import ChangeKind, FileChange, FileState
from scanner.runtime.changes.kept import Kept
from scanner.runtime.changes.layers import Stood
from scanner.runtime.changes.noting import Notes
from scanner.runtime.changes.squash import Met, Squash

SMALL = 8 << 20
"""A file up to this size is read into memory, and written only if it changed; a larger one is written while it is read."""
MOST = 500_000
"""Changes that are told: a run that makes more files than that wants to be in the way."""
_HEAD = 4
_ELF = b"\x7fELF"
_SHEBANG = b"#!"


@dataclass(slots=True)
class _Read:
    """A regular file that was read: `data` of a small one; `mark` is where a large one begins among what is kept.

    `kept` is the path under which its content was kept, `lost` why it was not, or not all of it.
    """

    digest: str | None
    head: bytes
    data: bytes | None = None
    mark: int | None = None
    kept: bytes | None = None
    lost: str = ""


class Comparison:
    """Grows by `part`, `whole` and `mounted`.

    `made` are paths that the engine makes in every container (mount points, /.dockerenv): as it makes them, they are no change.
    """

    def __init__(self, before: Squash, kept: Kept, notes: Notes, made: frozenset[bytes] = frozenset()) -> None:
        self._before, self._kept, self._notes, self._made = before, kept, notes, made
        self._changes: list[FileChange] = []
        self._files: dict[object, _Read] = {}
        self._removed: set[bytes] = set()

    def part(self, after: Squash, place: str) -> None:
        """`after` holds only what lies over `before`, with marks for what is gone: an overlay's upper directory, an image's last layers."""
        for met in after.walk():
            if self._is_enough():
                return
            if met.stood is None:
                self._gone(met.path, place)
                continue
            self._compare(met.path, met.stood, place)
            if met.opaque:
                for below in self._before.walk(met.path):
                    if below.stood is not None and after.get(below.path) is None:
                        self._delete(below.path, below.stood, place)

    def whole(self, after: Iterable[Met], place: str) -> None:
        """`after` is all there is: what it does not name is gone. Raises as it does, if that is before its first member."""
        seen: set[bytes] = set()
        latest: dict[bytes, int] = {}
        try:
            for met in after:
                path = met.path
                if met.stood is None:
                    continue
                if self._is_enough():
                    return
                if path in seen and path in latest:
                    self._notes.warn(
                        "its archive names it twice: the last one counts, the others were scanned too", path
                    )
                    self._changes[latest.pop(path)] = _SUPERSEDED
                count = len(self._changes)
                self._compare(path, met.stood, place)
                if len(self._changes) > count:
                    latest[path] = len(self._changes) - 1
                while path and path not in seen:
                    seen.add(path)
                    path = path.rpartition(b"/")[0]
        except ScannerError as e:
            if not seen:
                raise
            self._notes.add(Level.ERROR, f"the rest was not read, and what was removed is not known: {e}")
            return
        for met in self._before.walk():
            if met.stood is not None and met.path not in seen and met.path not in self._removed:
                self._delete(met.path, met.stood, place)

    def mounted(self, path: bytes, stood: Stood, place: str, *, from_image: bool, is_new: bool) -> None:
        """A file of something mounted over the image: nothing tells what was there before but the image's own file at that path.

        `from_image`: the mount was filled with the image's files (a new volume). `is_new`: the file did not exist before the container did.
        """
        before = self._before.get(path)
        if self._is_enough():
            return
        if stood.state.kind is Kind.FILE:
            self._regular(path, stood, before, place, mounted=True, known=from_image, is_new=is_new)
            return
        if stood.state.kind is Kind.DIRECTORY and not is_new:
            return  # what was put into it made it look changed
        if before is not None and _alike(stood.state, before.state):
            return
        self._keep_special(path, stood.state)
        kind = ChangeKind.ADDED if is_new else ChangeKind.MODIFIED
        self._changes.append(FileChange(path, kind, place, None, stood.state))

    @property
    def changes(self) -> list[FileChange]:
        """All so far, by path."""
        return sorted((c for c in self._changes if c is not _SUPERSEDED), key=lambda c: (c.path, c.place))

    def _is_enough(self) -> bool:
        if len(self._changes) < MOST:
            return False
        self._notes.warn(f"more than {MOST} changes: the others are neither told nor scanned")
        return True

    def _compare(self, path: bytes, stood: Stood, place: str) -> None:
        before = self._before.get(path)
        if before is not None and stood.origin is not None and stood.origin == before.origin:
            return
        state = stood.state
        if before is None and path in self._made and _is_bare(state):
            return
        if before is not None and before.state.kind is Kind.DIRECTORY and state.kind is not Kind.DIRECTORY:
            self._delete_below(path, place)
        if state.kind is Kind.FILE:
            self._regular(path, stood, before, place)
            return
        if before is None:
            kind = ChangeKind.ADDED
        elif not _alike(state, before.state) or _is_other_device(stood, before):
            kind = ChangeKind.MODIFIED
        elif _metadata(state) != _metadata(before.state):
            kind = ChangeKind.METADATA
        else:
            return
        self._keep_special(path, state)
        self._changes.append(FileChange(path, kind, place, before.state if before else None, state))

    def _regular(
        self,
        path: bytes,
        stood: Stood,
        before: Stood | None,
        place: str,
        *,
        mounted: bool = False,
        known: bool = True,
        is_new: bool = True,
    ) -> None:
        state = stood.state
        may_be_same = before is not None and before.state.kind is Kind.FILE and before.state.size == state.size
        try:
            read = self._read(path, stood, may_be_same)
        except FileNotFoundError:
            self._notes.vanished(path)
            return
        was = None if before is None else before.state
        if before is not None and may_be_same:
            was = replace(before.state, digest=self._digest(path, before))
        after = FileState(
            state.kind,
            state.mode,
            state.uid,
            state.gid,
            state.size,
            state.modified,
            state.changed,
            read.digest,
            None,
            state.capability,
        )
        executable = _is_executable(state.mode, read.head)
        if was is not None and was.digest is not None and was.digest == read.digest:
            if read.mark is not None:
                self._kept.rewind(read.mark, path)
                read.mark = read.kept = None
            differs = _metadata(state) != _metadata(was)
            if mounted and not known:  # the owner of what a host's folder holds tells nothing; rights that it gives do
                differs = _rights(state) not in ((0, ""), _rights(was))
                was = None
            if differs:
                self._changes.append(FileChange(path, ChangeKind.METADATA, place, was, after, None, executable))
        else:
            self._keep_regular(path, stood, read)
            was = was if known else None
            kind = ChangeKind.ADDED if was is None and is_new else ChangeKind.MODIFIED
            self._changes.append(FileChange(path, kind, place, was, after, None, executable))
        read.data = read.mark = None

    def _read(self, path: bytes, stood: Stood, may_be_same: bool) -> _Read:
        """Raises FileNotFoundError where it is gone; where anything else fails, the digest is not known."""
        if stood.same is not None and (read := self._files.get(stood.same)) is not None:
            return read
        if not may_be_same and (lacks := self._kept.lacks(stood.state)):
            return _Read(None, b"", lost=lacks)
        if stood.state.size > SMALL:
            read = self._read_large(path, stood, may_be_same)
        else:
            try:
                data = b"".join(stood.chunks())
                read = _Read(f"sha256:{hashlib.sha256(data).hexdigest()}", data[:_HEAD], data)
            except FileNotFoundError:
                raise
            except OSError as e:
                read = _Read(None, b"", lost=e.strerror or str(e))
        if stood.same is not None:
            self._files[stood.same] = read
        return read

    def _read_large(self, path: bytes, stood: Stood, may_be_same: bool) -> _Read:
        mark = self._kept.mark()
        hashed = _Hashed(stood.chunks())
        try:
            lost = self._kept.add(path, stood.state, hashed)
            if lost and may_be_same:
                for _ in hashed:  # whether it is the same does not depend on what there is room for
                    pass
        except FileNotFoundError:
            raise
        except OSError as e:
            return _Read(None, hashed.head, lost=e.strerror or str(e))
        digest = hashed.digest if hashed.count == stood.state.size else None
        if self._kept.mark() == mark:
            return _Read(digest, hashed.head, lost=lost)
        return _Read(digest, hashed.head, None, mark, path, lost)

    def _keep_regular(self, path: bytes, stood: Stood, read: _Read) -> None:
        """A small file, or another name of a file that was looked at under its first one; a large one is kept already."""
        lost = read.lost
        if read.mark is not None:
            pass
        elif read.kept is not None:
            lost = self._kept.add_link(path, stood.state, read.kept)
        elif not lost:
            try:
                lost = self._kept.add(path, stood.state, stood.chunks() if read.data is None else (read.data,))
                read.kept = path
            except OSError as e:
                lost = e.strerror or str(e)
        if lost:
            self._notes.warn(f"not scanned, or not all of it: {lost}", path)

    def _keep_special(self, path: bytes, state: FileState) -> None:
        if lost := self._kept.add(path, state):
            self._notes.warn(f"not scanned: {lost}", path)

    def _digest(self, path: bytes, before: Stood) -> str | None:
        hashed = hashlib.sha256()
        try:
            for chunk in before.chunks():
                hashed.update(chunk)
        except OSError as e:
            self._notes.warn(f"what was there before cannot be read: {e.strerror or e}", path)
            return None
        return f"sha256:{hashed.hexdigest()}"

    def _gone(self, path: bytes, place: str) -> None:
        before = self._before.get(path)
        if before is None:
            return
        self._delete(path, before, place)
        if before.state.kind is Kind.DIRECTORY:
            self._delete_below(path, place)

    def _delete_below(self, path: bytes, place: str) -> None:
        self._removed.add(path)
        for met in self._before.walk(path):
            if met.stood is not None and met.path not in self._removed:
                self._delete(met.path, met.stood, place)

    def _delete(self, path: bytes, before: Stood, place: str) -> None:
        head = b""
        if before.state.kind is Kind.FILE:
            try:
                head = next(iter(before.chunks()), b"")[:_HEAD]
            except OSError as e:
                self._notes.warn(f"what was there before cannot be read: {e.strerror or e}", path)
        if path.rpartition(b"/")[0] not in self._removed and (lost := self._kept.remove(path)):
            self._notes.warn(f"not scanned: {lost}", path)
        self._removed.add(path)
        executable = _is_executable(before.state.mode, head)
        self._changes.append(FileChange(path, ChangeKind.DELETED, place, before.state, None, None, executable))


class _Hashed:
    """Chunks that are hashed as they pass."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._hash = chunks, hashlib.sha256()
        self.count, self.head = 0, b""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        if len(self.head) < _HEAD:
            self.head = (self.head + chunk[:_HEAD])[:_HEAD]
        self._hash.update(chunk)
        self.count += len(chunk)
        return chunk

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


_SUPERSEDED = FileChange(b"", ChangeKind.METADATA, "", None, None)


def _is_executable(mode: int, head: bytes) -> bool:
    return head == _ELF or (bool(mode & 0o111) and head.startswith(_SHEBANG))


def _alike(one: FileState, other: FileState) -> bool:
    return one.kind is other.kind and one.link_target == other.link_target


def _is_other_device(one: Stood, other: Stood) -> bool:
    return None not in (one.device, other.device) and one.device != other.device


def _metadata(state: FileState) -> tuple[int, int, int, str]:
    """What counts besides content; the mode of a link is nobody's."""
    mode = 0 if state.kind is Kind.SYMLINK else state.mode
    return mode, state.uid, state.gid, state.capability


def _rights(state: FileState) -> tuple[int, str]:
    """What a program is given beyond the rights of whoever starts it."""
    return state.mode & 0o6000, state.capability


def _is_bare(state: FileState) -> bool:
    """A directory, an empty file, or the link to the mount table, as an engine makes them."""
    return (
        state.kind is Kind.DIRECTORY
        or (state.kind is Kind.FILE and not state.size)
        or (state.kind is Kind.SYMLINK and state.link_target == b"/proc/mounts")
    )
