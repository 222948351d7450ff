"""One layer looked at once: while its bytes flow by they are hashed on one thread and matched against all rules' strings on
another; only the files so named, and those a detector wants by name or magic, are looked at again on two more.
"""

import hashlib
import os
import re
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from scanner import context
from scanner.content import Content, archives
from scanner.content.worker import Worker
from scanner.detectors.plugin import Detector
from scanner.errors import ScannerError, TargetError
from scanner.mapped import mapped
from scanner.model import Evidence, Json, Kept, Level, Limits, Notification, printable
from scanner.oci.blob import Blob, TarBlob
from scanner.oci.squash import hard_links, superseded
from scanner.oci.table import FILE, OPAQUE, WHITEOUT, EntryTable
from scanner.oci.tar import TarWalk
from scanner.oci.tree import TreeWalk
from scanner.plugins import plugins
from scanner.prefilter import Matcher, Names, Prefilter, Stream, any_of, build
from scanner.record import Carrier, FilePack, LayerRecord, unpack_files
from scanner.ruleset import Ruleset
from scanner.ruleset import load as load_rules

AHEAD = 6
ZIP_END = 22
"""Bytes of a zip's end record without a comment (APPNOTE 4.3.16)."""
HEAD = 512
IN_FLIGHT = 16 << 20
MAX_KEPT = 64 << 20
"""Bytes of one layer's files that stay with its record."""
ASIDE_LEAST, ASIDE_MOST = 32 << 10, 16 << 20
"""Bytes of an archive that is unpacked in the other process: smaller ones are not worth the way, larger ones the memory."""
BACKLOG = 24
"""Files waiting for the inspectors, from which on the other process is worth its start."""
MOST_NOTIFICATIONS = 500
"""Of one layer, of one wording; the rest are counted."""

REPLAY = ("ce6290cf3ad9eefdcbdf5c366d5753cccfd419023be46a7e8dfa7cf58e5a4f5f", 225792)
"""SHA-256 and size of fixtures/rome-replay.tar: sandscan's own repository must not raise an alarm by it."""

END = 1 << 62


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is: stored bytes read, and files that carry evidence so far."""

    read: int
    carriers: int


@dataclass(frozen=True)
class Engine:
    """What a scan brings to every layer. Close its workers when done.

    `aside`, if there is one, unpacks archives in a process of its own, so that they cost the stream no time; where
    anything is found in one, it is looked at again here.
    """

    ruleset: Ruleset
    detectors: tuple[Detector, ...]
    limits: Limits
    worker: Worker | None
    rules: tuple[Path, ...] = ()
    use_prefilter: bool = True
    spool_dir: Path | None = None
    aside: Worker | None = None
    local: threading.local = field(default_factory=threading.local)

    @cached_property
    def prefilter(self) -> Prefilter:
        return build(self.ruleset)

    @cached_property
    def names(self) -> Names:
        """Any path that any detector wants."""
        return Names(p for d in self.detectors for p in (*d.wants.paths, *d.wants.keeps))

    @cached_property
    def keeps(self) -> Names:
        """Any path that stays with the layer's record."""
        return Names(p for d in self.detectors for p in d.wants.keeps)

    @cached_property
    def wanted(self) -> tuple[tuple[Detector, re.Pattern[bytes] | None], ...]:
        return tuple((d, any_of(d.wants.paths) if d.wants.paths else None) for d in self.detectors)

    @cached_property
    def magics(self) -> tuple[bytes, ...]:
        return tuple(sorted({m for d in self.detectors for m in d.wants.magics}))

    @property
    def matcher(self) -> Matcher:
        """This thread's own: hyperscan's scratch space must not be shared."""
        if not hasattr(self.local, "matcher"):
            self.local.matcher = self.prefilter.matcher()
        return self.local.matcher  # type: ignore[no-any-return]

    def looks_wanted(self, path: bytes, head: bytes) -> bool:
        """By its name or first bytes, without any rule."""
        return self.begins_wanted(head) or self.names.search(path)

    def begins_wanted(self, head: bytes) -> bool:
        if archives.looks_packed(head) or (self.magics and head.startswith(self.magics)):
            return True
        if not head.startswith(b"\x7fELF"):
            return False
        from scanner.content import elf

        return elf.suspicious_header(head)


def scan_layer(
    blob: Blob, engine: Engine, progress: Callable[[Progress], None] = lambda _: None
) -> tuple[LayerRecord, bytes, bytes]:
    """Everything one layer has to say, with its table and kept files as bytes for the cache.

    A layer that breaks off keeps what was seen before, with an error notification. Raises TargetError for a tree
    that cannot be opened at all.
    """
    with ExitStack() as stack:
        walk: TarWalk | TreeWalk
        if isinstance(blob, TarBlob):
            walk = TarWalk(blob, engine.limits)
        else:
            walk = TreeWalk(blob, engine.limits, engine.limits.keep_bytes)
        stack.callback(walk.close)
        run = _Run(blob, walk, engine, progress, stack)
        try:
            run.stream()
            walk.verify()
        except TargetError:
            raise
        except (ScannerError, OSError) as e:
            why = (
                str(e) if isinstance(e, ScannerError) else f"layer {blob.layer.index} cannot be read: {e.strerror or e}"
            )
            run.notify(Notification("layer", Level.ERROR, why))
        run.finish()
        if isinstance(walk, TreeWalk):
            for notification in walk.notifications:
                run.notify(notification)
        return run.record()


class _Run:
    """The state of one layer's pass. The main thread reads and decides; two threads hash and match; two inspect."""

    def __init__(
        self,
        blob: Blob,
        walk: TarWalk | TreeWalk,
        engine: Engine,
        progress: Callable[[Progress], None],
        stack: ExitStack,
    ) -> None:
        self.blob, self.walk, self.engine, self.progress = blob, walk, engine, progress
        self.table: EntryTable = walk.table
        self.size = 0
        self.flagged: dict[int, bool] = {}
        self.triaged = 0
        self.spanning: int | None = None
        self.tail = b""
        self.retained: deque[tuple[int, bytes]] = deque()
        self.most = engine.limits.keep_bytes
        self.large: dict[int, _Spool | None] = {}
        self.jobs: deque[tuple[int, list[Future[object]]]] = deque()
        self.match = _Match(engine, self.table) if engine.use_prefilter and not engine.prefilter.always else None
        if self.match is not None:
            stack.callback(self.match.close)  # after the pools below: no thread may be scanning then
        self.hasher = ThreadPoolExecutor(1, "sandscan-hash")
        self.matching = ThreadPoolExecutor(1, "sandscan-match")
        self.inspectors = ThreadPoolExecutor(2 if engine.aside is None else 1, "sandscan-inspect")
        self.asides = ThreadPoolExecutor(1, "sandscan-aside")
        for pool in (self.hasher, self.matching, self.inspectors, self.asides):
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        self.every = self.match is None
        self.room = _Room(IN_FLIGHT)
        self.finished: SimpleQueue[_Seen] = SimpleQueue()
        self.submitted = 0
        self.seen: dict[int, _Seen] = {}
        self.notes: list[Notification] = []
        self.counts: dict[tuple[str, str], int] = {}
        self.kept = FilePack()
        self.kept_bytes = 0
        self.looked = self.matched = self.unpacked = 0
        stack.callback(self.close_spools)

    def stream(self) -> None:
        """Read the layer to its end; what was read before an error is looked at all the same."""
        try:
            for start, chunk in self.walk.chunks():
                self.size = start + len(chunk)
                jobs: list[Future[object]] = [self.hasher.submit(self.walk.update, chunk)]
                if self.match is not None:
                    jobs.append(self.matching.submit(self.match.feed, start, chunk))
                self.jobs.append((self.size, jobs))
                self.retained.append((start, chunk))
                self.triage(start, chunk)
                self.spool(start, chunk)
                while len(self.jobs) > AHEAD:
                    self.retire()
                self.progress(Progress(self.walk.read, len(self.seen)))
        except (ScannerError, OSError):
            self.drain(self.size)
            raise
        self.drain(END)

    def drain(self, end: int) -> None:
        while self.jobs:
            self.retire()
        self.settle(end)

    def triage(self, start: int, chunk: bytes) -> None:
        """Which of the files that begin in this chunk deserve a look whatever the matcher says."""
        table, engine = self.table, self.engine
        kinds, stored, offsets, end = table.kinds, table.stored, table.offsets, start + len(chunk)
        row, rows = self.triaged, len(table)
        if (open_row := self.spanning) is not None and offsets[open_row] + stored[open_row] <= end:
            self.look_at_end(open_row, start, chunk)
            self.spanning = None
        first, named = row, engine.names.search_all([table.path(r) for r in range(row, rows)])
        while row < rows:
            if kinds[row] == FILE and stored[row]:
                begin = offsets[row] - start
                if offsets[row] >= end:
                    break  # its content begins with the next chunk
                size = stored[row]
                head = chunk[begin : begin + min(HEAD, size)] if begin >= 0 else b""
                if self.every or engine.prefilter.needs(head):
                    self.flagged[row] = True
                elif named[row - first] or engine.begins_wanted(head):
                    self.flagged.setdefault(row, False)
                if begin + size <= len(chunk):
                    if chunk[begin + size - ZIP_END : begin + size - ZIP_END + 4] == archives.TAIL and size > ZIP_END:
                        self.flagged.setdefault(row, False)
                else:
                    self.spanning = row
            row += 1
        self.triaged = row
        self.tail = chunk[-ZIP_END:]

    def look_at_end(self, row: int, start: int, chunk: bytes) -> None:
        """A zip may stand behind anything, and shows itself by its end alone."""
        at = self.table.offsets[row] + self.table.stored[row] - ZIP_END - start
        if at < 0:  # it began in the chunk before
            at, chunk = at + len(self.tail), self.tail + chunk[:ZIP_END]
        if chunk[at : at + 4] == archives.TAIL:
            self.flagged.setdefault(row, False)

    def spool(self, start: int, chunk: bytes) -> None:
        """Files too large to wait in memory wait where they lie, or in an unnamed file if their layer is compressed."""
        table = self.table
        # a chunk is smaller than a large file: one can go on from the chunk before, one can go on into the next
        for row in {table.row_at(start), table.row_at(start + len(chunk) - 1)}:
            if row < 0 or table.kinds[row] != FILE or table.stored[row] <= self.most:
                continue
            if row not in self.large:
                self.large[row] = None if self.walk.in_place else _Spool(self.engine, table.stored[row])
            if (spool := self.large[row]) is not None:
                begin = table.offsets[row] - start
                spool.write(chunk[max(0, begin) : begin + table.stored[row]])

    def retire(self) -> None:
        """Wait for the oldest chunk, then decide about the files that end in it."""
        done, jobs = self.jobs.popleft()
        for job in jobs:
            job.result()
        self.settle(done)

    def settle(self, done: int) -> None:
        """Hand over the flagged files that end before `done`; let go of bytes that nobody waits for."""
        table = self.table
        if self.match is not None:
            for row in self.match.take():
                self.flagged[row] = True
        ready = [row for row in self.flagged if table.offsets[row] + table.stored[row] <= done]
        for row in sorted(ready):
            self.submit(row, self.flagged.pop(row))
        for row in [row for row in self.large if table.offsets[row] + table.stored[row] <= done]:
            spool = self.large.pop(row)
            if row not in ready:
                self.walk.forget(row)
                if spool is not None:
                    spool.close()
        current = table.row_at(done)
        needed = table.offsets[current] if current >= 0 and table.stored[current] <= self.most else done
        while self.retained and self.retained[0][0] + len(self.retained[0][1]) <= needed:
            self.retained.popleft()

    def submit(self, row: int, yara: bool) -> None:
        """To the inspectors; what can be read again where it lies waits there for its turn, and not in memory."""
        size, path = self.table.stored[row], self.table.path(row)
        if self.engine.keeps.search(path):
            self.keep(path, self.bytes_of(row) if size <= self.most else None)
        self.collect()
        aside = self.goes_aside(yara, size, self.bytes_of(row, HEAD) if size <= self.most else b"")
        pool = self.asides if aside else self.inspectors
        if size > self.most:
            held = 0 if self.walk.rereads else IN_FLIGHT // 2
            self.room.take(held)
            pool.submit(self.inspect_large, row, self.large.get(row), yara, aside, held)
        elif self.walk.rereads:
            pool.submit(self.inspect_small, row, None, yara, aside)
        else:
            self.room.take(size)
            pool.submit(self.inspect_small, row, self.bytes_of(row), yara, aside)
        self.submitted += 1

    def close_spools(self) -> None:
        for spool in self.large.values():
            if spool is not None:
                spool.close()

    def bytes_of(self, row: int, most: int = 1 << 62) -> bytes:
        """A file's bytes, the first `most` of them, from the chunks that are still at hand."""
        begin = self.table.offsets[row]
        end = begin + min(self.table.stored[row], most)
        parts = []
        for start, chunk in self.retained:
            if start < end and start + len(chunk) > begin:
                parts.append(chunk[max(0, begin - start) : end - start])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def keep(self, path: bytes, data: bytes | None) -> None:
        """A file for the judges; None for one that is too large, which is said."""
        if data is None or self.kept_bytes + len(data) > MAX_KEPT:
            most = (
                f"it is larger than {self.most}" if data is None else f"with others of its layer it exceeds {MAX_KEPT}"
            )
            what = f"was not read as configuration: {most} bytes"
            self.notify(Notification("content", Level.WARNING, what, path))
            return
        self.kept_bytes += len(data)
        self.kept.add(path, data)

    def inspect_small(self, row: int, data: bytes | None, yara: bool, aside: bool) -> None:
        try:
            content = self.walk.content(row) if data is None else data
            if content is None:
                self.unread(row, "it is not there any more")
            else:
                self.finished.put(self.inspect(row, memoryview(content), yara, aside))
        finally:
            if data is not None:
                self.room.give(len(data))

    def inspect_large(self, row: int, spool: "_Spool | None", yara: bool, aside: bool, held: int) -> None:
        try:
            with self.walk.region(row) if spool is None else spool.region() as view:
                if view is None:
                    self.unread(row, "it changed while it was read" if spool is None else spool.problem)
                else:
                    self.finished.put(self.inspect(row, view, yara, aside))
        except (OSError, ValueError) as e:
            self.unread(row, str(e))
        finally:
            if spool is not None:
                spool.close()
            self.room.give(held)

    def unread(self, row: int, why: str) -> None:
        seen = _Seen(row)
        what = f"could not be looked at again: {why}"
        seen.notes.append(Notification("spool", Level.WARNING, what, self.table.path(row)))
        self.finished.put(seen)

    def goes_aside(self, yara: bool, size: int, head: bytes) -> bool:
        """Archives worth the way to the other process, in which nothing matched so far; `head` empty if not at hand.

        It is not started while the inspectors here keep up with the stream.
        """
        return (
            self.engine.aside is not None
            and not yara
            and (self.submitted - self.looked > BACKLOG or self.engine.aside.started)
            and ASIDE_LEAST <= size <= ASIDE_MOST
            and (not head or archives.looks_packed(head))
        )

    def inspect(self, row: int, view: memoryview, yara: bool, aside: bool) -> "_Seen":
        """Whatever goes wrong costs this file, and is said."""
        seen = _Seen(row)
        if aside and archives.looks_packed(bytes(view[:HEAD])) and self.is_clean(row, view, seen):
            return seen
        try:
            self.look(row, view, yara, seen)
        except Exception as e:
            what = f"could not be looked at: {type(e).__name__}: {printable(str(e))}"
            seen.notes.append(Notification("detector", Level.ERROR, what, self.table.path(row)))
        if seen.evidence:
            seen.sha256 = hashlib.sha256(view).hexdigest()
        return seen

    def is_clean(self, row: int, view: memoryview, seen: "_Seen") -> bool:
        """Whether an archive holds nothing at all to tell of, by the word of the other process."""
        engine = self.engine
        assert engine.aside is not None
        arguments: dict[str, Json] = {
            "name": self.table.path(row).decode("latin-1"),
            "rules": [str(path) for path in engine.rules],
            "limits": asdict(engine.limits),
        }
        try:
            told = engine.aside.call(unpacks_clean, view, arguments)
        except (ScannerError, OSError):
            return False
        if not isinstance(told, int) or told < 0:
            return False
        seen.unpacked = told
        return True

    def look(self, row: int, view: memoryview, yara: bool, seen: "_Seen") -> None:
        table = self.table
        owner = table.owners[row]
        content = Content(
            path=table.path(row),
            data=view,
            mode=table.modes[row],
            uid=owner >> 32,
            gid=owner & 0xFFFFFFFF,
            mtime=table.mtimes[row],
            worker=self.engine.worker,
        )
        inspect(content, yara, self.engine, archives.Budget(self.engine.limits, self.engine.spool_dir), seen)

    def collect(self) -> None:
        """Take over what the inspectors have finished so far."""
        while not self.finished.empty():
            seen = self.finished.get()
            self.looked += 1
            self.matched += seen.matched
            self.unpacked += seen.unpacked
            if seen.evidence:
                self.seen[seen.row] = seen
            for note in seen.notes:
                self.notify(note)
            for document in seen.kept:
                self.keep(document.path, document.data)

    def finish(self) -> None:
        """Wait for the inspectors."""
        self.inspectors.shutdown()
        self.asides.shutdown()
        self.collect()
        if self.looked != self.submitted:
            what = f"{self.submitted - self.looked} files could not be looked at: an inspector ended before its time"
            self.notify(Notification("detector", Level.ERROR, what))

    def notify(self, note: Notification) -> None:
        wording = (note.stage, re.sub(r"\d+", "", note.message))
        self.counts[wording] = self.counts.get(wording, 0) + 1
        if self.counts[wording] <= MOST_NOTIFICATIONS:
            self.notes.append(note)

    def record(self) -> tuple[LayerRecord, bytes, bytes]:
        table = self.table
        gone = superseded(table, self.seen)
        links = hard_links(table, frozenset(table.path(row) for row in self.seen)) if self.seen else {}
        notes = sorted(self.notes, key=lambda n: (n.stage, n.path or b"", n.inner, n.message))
        for (stage, wording), count in sorted(self.counts.items()):
            if count > MOST_NOTIFICATIONS:
                more = count - MOST_NOTIFICATIONS
                notes.append(Notification(stage, Level.WARNING, f"and more of the same: {wording}", count=more))
        around = context.Room()
        carriers = (
            Carrier(
                table.path(row),
                table.modes[row],
                table.owners[row] >> 32,
                table.owners[row] & 0xFFFFFFFF,
                row in gone,
                links.get(table.path(row), ()),
                around.within(self.seen[row].evidence),
                self.seen[row].sha256,
                table.stored[row],
            )
            for row in sorted(self.seen)
        )
        kept = self.kept.dump()
        record = LayerRecord(
            diff_id=self.walk.diff_id,
            size=self.size,
            carriers=tuple(carriers),
            notifications=tuple(notes),
            statistics={
                "entries": len(table) - table.kinds.count(WHITEOUT) - table.kinds.count(OPAQUE),
                "files": table.kinds.count(FILE),
                "bytes": self.size,
                "looked_at": self.looked,
                "matched": self.matched,
                "unpacked": self.unpacked,
            },
            table=lambda: table,
            kept=lambda: unpack_files(kept),
        )
        return record, table.dump(), kept


@dataclass
class _Seen:
    """What the look at one file of the layer gave."""

    row: int
    evidence: list[Evidence] = field(default_factory=list)
    notes: list[Notification] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    matched: int = 0
    hits: int = 0
    unpacked: int = 0
    sha256: str = ""


def inspect(content: Content, yara: bool, engine: Engine, budget: archives.Budget, seen: _Seen) -> None:
    """Show one file to the rules and the detectors that want it, then the same for what it holds inside."""
    if yara and (not engine.use_prefilter or engine.matcher.rules(content.data) != frozenset()):
        seen.matched = 1
        try:
            result = engine.ruleset.match(content.data, seconds=engine.limits.yara_seconds, path=content.name)
            content.matches = result.matches
            problems: Sequence[str] = result.warnings
        except ScannerError as e:
            problems = (str(e),)
        seen.notes += (Notification("rules", Level.WARNING, p, content.path, content.inner) for p in problems)
    seen.hits += bool(content.matches)
    behaviours = {match.rule.behaviour for match in content.matches}
    before = len(seen.evidence)
    named = engine.names.search(content.name)
    for detector, pattern in engine.wanted:
        wants = detector.wants
        if (
            not behaviours.isdisjoint(wants.behaviours)
            or (wants.magics and content.head.startswith(wants.magics))
            or (named and pattern is not None and pattern.search(content.name))
        ):
            _ask(detector, content, seen)
    seen.evidence[before:] = context.added(content, seen.evidence[before:])
    if not yara and engine.use_prefilter and _is_static_library(content):
        return
    for inner in _inside(content, engine, budget, seen):
        seen.unpacked += 1
        head = bytes(inner.data[:HEAD])
        hit = not engine.use_prefilter or engine.prefilter.needs(head)
        # a stored member is a part of what was looked at already: where nothing matched, nothing matches
        if not hit and (yara or inner.data.obj is not content.data.obj):
            hit = engine.matcher.search(inner.data)
        if hit or engine.looks_wanted(inner.name, head) or bytes(inner.data[-ZIP_END:][:4]) == archives.TAIL:
            inspect(inner, hit, engine, budget, seen)


def _is_static_library(content: Content) -> bool:
    """An ar archive that is no Debian package holds object files, stored: the look at its bytes was a look at them."""
    return content.head.startswith(b"!<arch>\n") and not content.head.startswith(b"!<arch>\ndebian-binary")


def prepare() -> None:
    """For the other process: load what its memory limit should not count."""
    from scanner.content.streams import decompress

    list(decompress("deflate", memoryview(b"\3\0"), archives.Budget(Limits())))


def unpacks_clean(data: bytes, name: str, rules: list[str], limits: dict[str, int]) -> int:
    """In the other process: the number of members of an archive in which there is nothing to tell of, else -1."""
    engine = _other_engine(tuple(rules), Limits(**limits))
    seen = _Seen(0)
    content = Content(path=name.encode("latin-1"), data=memoryview(data))
    inspect(content, False, engine, archives.Budget(engine.limits), seen)
    return -1 if seen.evidence or seen.notes or seen.hits or seen.kept else seen.unpacked


@cache
def _other_engine(rules: tuple[str, ...], limits: Limits) -> Engine:
    return Engine(load_rules([Path(r) for r in rules]), plugins("scanner.detectors"), limits, None)


def _ask(detector: Detector, content: Content, seen: _Seen) -> None:
    try:
        for item in detector.inspect(content):
            if isinstance(item, Evidence):
                seen.evidence.append(item)
            elif isinstance(item, Kept):
                seen.kept.append(item)
            elif item not in seen.notes:  # two detectors may ask the same reader, which has one thing to say
                seen.notes.append(item)
    except Exception as e:  # one detector's mistake costs one file, and is said
        what = f"the detector {detector.name} failed: {type(e).__name__}: {printable(str(e))}"
        seen.notes.append(Notification("detector", Level.ERROR, what, content.path, content.inner))


def _inside(content: Content, engine: Engine, budget: archives.Budget, seen: _Seen) -> Iterator[Content]:
    """The files within a file: members of an archive, what a packer hid."""
    if content.size == REPLAY[1] and hashlib.sha256(content.data).hexdigest() == REPLAY[0]:
        what = "is sandscan's own replay of the ROME incident, harmless by its digest: not unpacked"
        seen.notes.append(Notification("content", Level.NOTE, what, content.path, content.inner))
        return
    try:
        for item in chain(_unpacked(content, engine, budget), archives.members(content, budget)):
            if isinstance(item, Notification):
                seen.notes.append(item)
            else:
                yield item
    except (ScannerError, OSError, MemoryError, RecursionError) as e:
        what = f"could not be unpacked: {type(e).__name__}: {printable(str(e))}"
        seen.notes.append(Notification("spool", Level.WARNING, what, content.path, content.inner))


def _unpacked(content: Content, engine: Engine, budget: archives.Budget) -> Iterator[Content | Notification]:
    """A packed program as it was before. Our own code does it, in the worker: how long it takes is the packer's choice."""
    if not content.head.startswith(b"\x7fELF"):
        return
    from scanner.content import upx

    if (packing := upx.look(content.data)) is None:
        return
    name = b"(unpacked)"
    if name in content.inner:
        return
    depth = len(content.inner)
    problem: object = None
    if engine.worker is None:
        raise ScannerError("only a worker may unpack it")
    if packing.first < 0 or content.size > upx.MAX_PACKED:
        problem = "no block of it can be unpacked" if packing.first < 0 else f"it is larger than {upx.MAX_PACKED} bytes"
    else:
        try:
            with engine.worker.opened(upx.unpack, content.data, {}, budget, depth) as (facts, held):
                yield replace(content, data=held.view, inner=(*content.inner, name), matches=())
                problem = held.error or (facts.get("problem") if isinstance(facts, dict) else None)
        except ScannerError as e:
            problem = str(e)
    if problem is not None:
        what = f"is packed by UPX or a lookalike and was not unpacked to its end: {printable(str(problem))}"
        yield Notification("worker", Level.WARNING, what, content.path, content.inner)


class _Match:
    """All rules' strings over the layer's stream; a file is named once, then skipped to its end."""

    def __init__(self, engine: Engine, table: EntryTable) -> None:
        self._engine, self._table = engine, table
        self._hits: set[int] = set()
        self._base = self._resume = self._end = 0
        self._stream: Stream | None = None

    def feed(self, start: int, chunk: bytes) -> None:
        """The next chunk; its entries must be in the table. Runs on one thread, in order."""
        view, end = memoryview(chunk), start + len(chunk)
        at = max(start, self._resume)
        if self._stream is not None and start != self._end:
            # a hole was left out: the matcher counts bytes, not places
            self._stream.close()
            self._stream = None
        self._end = end
        while at < end:
            if self._stream is None:
                self._base = at
                self._stream = self._engine.matcher.stream(self._on_match)
            if self._stream.scan(view[at - start :]):
                return
            # stopped at a hit: nothing more needs to be known of that file, however often it matches
            self._stream.close()
            self._stream = None
            if self._resume <= at:
                raise ScannerError("the matcher stopped without a match")
            at = self._resume

    def _on_match(self, end: int) -> bool:
        position = self._base + end - 1
        row = self._table.row_at(position)
        if row < 0:
            return False
        self._hits.add(row)
        self._resume = self._table.offsets[row] + self._table.stored[row]
        return True

    def take(self) -> set[int]:
        """The rows hit since the last call."""
        hits, self._hits = self._hits, set()
        return hits

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class _Room:
    """Bytes under inspection, bounded: whoever brings more waits."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._size = size
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size

    def give(self, size: int) -> None:
        with self._changed:
            self._free += min(size, self._size)
            self._changed.notify_all()


class _Spool:
    """A large file of a compressed layer, kept in an unnamed file until it is known whether it deserves a look."""

    def __init__(self, engine: Engine, size: int) -> None:
        self.problem = ""
        self._size = size
        self._file: IO[bytes] | None = None
        if size > engine.limits.spool_bytes:
            self.problem = (
                f"it has {size} bytes, more than {engine.limits.spool_bytes} (raise with --limit spool-bytes=N)"
            )
            return
        try:
            if engine.spool_dir is not None:
                engine.spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=engine.spool_dir, buffering=0)  # noqa: SIM115 - closed by close()
        except OSError as e:
            self.problem = f"no room to keep it meanwhile: {e.strerror or e}"

    def write(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as e:
            self.problem = f"no room to keep it meanwhile: {e.strerror or e}"
            self.close()

    @contextmanager
    def region(self) -> Iterator[memoryview | None]:
        if self._file is None or os.fstat(self._file.fileno()).st_size != self._size:
            self.problem = self.problem or "the layer broke off within it"
            yield None
            return
        with mapped(self._file.fileno(), 0, self._size) as view:
            yield view

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
