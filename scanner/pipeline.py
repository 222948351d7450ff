"""One target, one report: open, look at each layer once (or take it from the cache), join, judge."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from scanner import masked
from scanner.detectors.plugin import Detector
from scanner.errors import ParseError, ScannerError
from scanner.model import (
    FileLocation,
    Finding,
    Image,
    Json,
    Level,
    Limits,
    Means,
    Notification,
    Report,
    Rule,
    State,
    Target,
    Tool,
    printable,
    worst_first,
)
from scanner.oci.blob import Blob, TarBlob, TreeBlob
from scanner.oci.filesystem import Filesystem
from scanner.oci.packages import Packages
from scanner.oci.squash import VISIBLE, Fate, fates, hard_links
from scanner.oci.table import EntryTable
from scanner.oci.tree import stamp
from scanner.oci.view import ImageView, Sighting
from scanner.plugins import plugins
from scanner.record import LayerRecord, dump, load, record_key
from scanner.ruleset import Ruleset
from scanner.ruleset import load as load_rules
from scanner.sources.plugin import OpenImage, SourceOptions
from scanner.sources.recognise import open_target
from scanner.version import tool_version

if TYPE_CHECKING:
    from scanner.cache import Cache
    from scanner.content.worker import Worker
    from scanner.onepass import Engine, Progress

STAMPED = 2_000_000
"""Entries of a tree that are looked at to know it again."""
Contents = Mapping[tuple[int, bytes], tuple[str, int]]
"""SHA-256 (64 hex digits) and size of files, by the index of their layer and their path."""
LARGE = 64 << 20
"""Stored bytes from which on an image's archives are unpacked in a process of their own."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to scan. `rules` are a user's YARA files or folders, added to ours; `cache` None keeps nothing between scans."""

    source: SourceOptions = field(default_factory=SourceOptions)
    rules: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    cache: "Cache | None" = None
    use_prefilter: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """How far a scan is, for a progress bar: layers done of all, stored bytes done of all (-1: unknown), files with evidence."""

    layer: int
    layers: int
    read: int
    total: int
    carriers: int


def detectors() -> tuple[Detector, ...]:
    """Every detector, by name."""
    return plugins("scanner.detectors")


def rules_of(ruleset: Ruleset, found: Iterable[Detector]) -> tuple[Rule, ...]:
    """Every rule that can be reported: the detectors' own, and YARA rules that report by themselves. Sorted by id."""
    rules = {rule.id: rule for detector in found for rule in detector.rules}
    rules.update((r.rule.id, r.rule) for r in ruleset.rules if not r.evidence)
    return tuple(rules[i] for i in sorted(rules))


def scan(argument: str, options: Options, progress: Callable[[Step], None] = lambda _: None) -> Report:
    """The report on one target.

    Raises TargetError (missing, or nothing that can be scanned), SourceError (cannot be opened), RuleError (a rule does
    not compile). Whatever fails later is a notification, and the report is incomplete.
    """
    with open_target(argument, options.source) as opened:
        return scan_opened(opened, options, progress)


def scan_opened(
    opened: OpenImage,
    options: Options,
    progress: Callable[[Step], None] = lambda _: None,
    known: dict[str, LayerRecord] | None = None,
    worker: "Worker | None" = None,
    ruleset: Ruleset | None = None,
) -> Report:
    """The report on a target that is open already; it stays open. Raises RuleError and TargetError, as `scan` does.

    `known` is handed on from scan to scan with the same options, where one image lies in the other: layers are read once.
    `worker` is one that the caller has running, and closes; None starts one where a file needs it. `ruleset` are the options' rules,
    where the caller has loaded them.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    ruleset = ruleset or load_rules(options.rules)
    with ExitStack() as stack:
        found = detectors()
        engine = _Starter(ruleset, found, options, _is_large(opened), stack, worker)
        records, notes, cached = _layers(opened, engine, options.cache, progress, {} if known is None else known)
        image = masked.history(_completed(opened.image, records))
        findings, means, more = _judge(opened.target, image, records, found)
    notes = [*opened.notifications, *notes, *more]
    prefilter = engine.started.prefilter if engine.is_started and options.use_prefilter else None
    if prefilter is not None and prefilter.problem:
        notes.append(Notification("rules", Level.NOTE, f"slower than need be: {prefilter.problem}"))
    if options.cache is not None and options.cache.problem:
        notes.append(Notification("cache", Level.NOTE, options.cache.problem))
    totals: dict[str, int] = {}
    for record in records:
        for name, count in record.statistics.items():
            totals[name] = totals.get(name, 0) + count
    statistics: dict[str, Json] = {"layers": len(records), "layers_cached": cached, **totals}
    statistics["layer_sizes"] = [record.size for record in records]
    statistics["prefilter"] = prefilter.engine if prefilter is not None else "none"
    statistics["seconds"] = round(time.monotonic() - clock, 3)
    return Report(
        tool=Tool("sandscan", tool_version(), ruleset.digest),
        target=masked.target(opened.target),
        image=masked.image(image),
        findings=findings,
        means=means,
        notifications=tuple(sorted(map(masked.notification, notes), key=unread_first)),
        rules=rules_of(ruleset, found),
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        statistics=statistics,
    )


def unread_first(note: Notification) -> tuple[int, int, str, bytes, tuple[bytes, ...], str]:
    """What a report's notifications are sorted by."""
    level = (Level.ERROR, Level.WARNING, Level.NOTE).index(note.level)
    return level, -1 if note.layer is None else note.layer, note.stage, note.path or b"", note.inner, note.message


def _completed(image: Image, records: Sequence[LayerRecord]) -> Image:
    """The image with the diff_ids that nobody had named and that were only known once the layers were read."""
    layers = (
        layer if layer.diff_id else replace(layer, diff_id=record.diff_id)
        for layer, record in zip(image.layers, records, strict=True)
    )
    return replace(image, layers=tuple(layers))


class _Starter:
    """What looks at layers, made when the first one is not in the cache: it takes longer to load than a cached scan does."""

    def __init__(
        self,
        ruleset: Ruleset,
        found: Sequence[Detector],
        options: Options,
        large: bool,
        stack: ExitStack,
        worker: "Worker | None",
    ) -> None:
        self._ruleset, self._found, self._options, self._large, self._stack = ruleset, found, options, large, stack
        self._worker = worker
        self.is_started = False
        versions = ((d.name, d.version) for d in found)
        self.key = record_key(ruleset.digest, versions, options.limits, options.use_prefilter)

    @cached_property
    def started(self) -> "Engine":
        from scanner.content.worker import Worker
        from scanner.onepass import Engine

        options, self.is_started = self._options, True
        spool = options.cache.folder if options.cache is not None else None
        worker = self._worker
        if worker is None:
            worker = Worker(options.limits)
            self._stack.callback(worker.close)
        aside = Worker(options.limits) if options.use_prefilter and self._large else None
        if aside is not None:
            self._stack.callback(aside.close)
        return Engine(
            self._ruleset,
            tuple(self._found),
            options.limits,
            worker,
            options.rules,
            options.use_prefilter,
            spool,
            aside,
        )


def _is_large(opened: OpenImage) -> bool:
    """Whether a second process is worth its start."""
    return sum(max(_size(b), 0) for b in opened.blobs) > LARGE or any(isinstance(b, TreeBlob) for b in opened.blobs)


def _layers(
    opened: OpenImage,
    engine: _Starter,
    cache: "Cache | None",
    progress: Callable[[Step], None],
    known: dict[str, LayerRecord],
) -> tuple[list[LayerRecord], list[Notification], int]:
    """Each layer's record, in order; a layer that occurs twice is read once."""
    sizes = [_size(blob) for blob in opened.blobs]
    total = sum(sizes) if all(s >= 0 for s in sizes) else -1
    records: list[LayerRecord] = []
    notes: list[Notification] = []
    done = carriers = cached = 0
    for blob, size in zip(opened.blobs, sizes, strict=True):
        layer, layers = blob.layer, len(opened.blobs)

        def on_progress(p: "Progress", done: int = done, carriers: int = carriers, index: int = layer.index) -> None:
            progress(Step(index, layers, done + p.read, total, carriers + p.carriers))  # noqa: B023 - constant in the loop

        progress(Step(layer.index, layers, done, total, carriers))
        name = _name(blob)
        record = known.get(name)
        key = _key(blob, engine, cache) if record is None else None
        if record is None and key is not None and cache is not None:
            record = _from_cache(cache, key, blob)
            cached += record is not None
        if record is None:
            from scanner.onepass import scan_layer

            record, table, kept = scan_layer(blob, engine.started, on_progress)
            if key is not None and cache is not None and record.lasting:
                cache.put(key, dump(record, table, kept))
        known[name] = record
        records.append(record)
        notes += (replace(n, layer=layer.index) for n in record.notifications)
        done += max(size, 0)
        carriers += len(record.carriers)
        progress(Step(layer.index + 1, layers, done, total, carriers))
    return records, notes, cached


def _key(blob: Blob, engine: _Starter, cache: "Cache | None") -> str | None:
    """By what a layer's record is known: the diff_id, and for a tree, whose diff_id cannot be verified, its files as they stand."""
    diff_id = blob.layer.diff_id
    if diff_id is None or cache is None or isinstance(blob, TarBlob):
        return f"{diff_id}:{engine.key}" if diff_id else None
    stands = stamp(blob, STAMPED)
    return None if stands is None else f"{diff_id}:{stands}:{engine.key}"


def _name(blob: Blob) -> str:
    """A layer's name among those that are known; its blob is alive as long as they are: whoever shares them holds both images open."""
    return blob.layer.diff_id or f"blob {id(blob)}"


def _size(blob: Blob) -> int:
    return blob.descriptor.size if isinstance(blob, TarBlob) else -1


def _from_cache(cache: "Cache", key: str, blob: Blob) -> LayerRecord | None:
    """A layer's record from the cache.

    It is known by its diff_id, which the image's config names and every engine enforces when it unpacks the layer; a
    plain tar whose size is not the one recorded cannot have that diff_id and is read again.
    """
    stored = cache.get(key)
    if stored is None:
        return None
    try:
        record = load(stored)
    except ParseError:
        cache.drop(key)
        return None
    plain = isinstance(blob, TarBlob) and blob.descriptor.media_type.endswith("tar") and blob.descriptor.size >= 0
    if plain and isinstance(blob, TarBlob) and blob.descriptor.size != record.size:
        return None
    return record


def _judge(
    target: Target, image: Image, records: Sequence[LayerRecord], found: Iterable[Detector]
) -> tuple[tuple[Finding, ...], tuple[Means, ...], list[Notification]]:
    view, notes = _join(target, image, records)
    findings: list[Finding] = []
    means: list[Means] = []
    for detector in found:
        try:
            for item in detector.judge(view):
                if isinstance(item, Finding):
                    findings.append(item)
                elif isinstance(item, Means):
                    means.append(item)
                else:
                    notes.append(item)
        except Exception as e:  # one detector's mistake must not take the others' findings along
            what = f"the detector {detector.name} could not judge: {type(e).__name__}: {printable(str(e))}"
            notes.append(Notification("detector", Level.ERROR, what))
    findings.sort(key=worst_first)
    contents = _contents(findings, records)
    findings = [replace(masked.finding(f), sha256=digest_of(f, contents)) for f in findings]
    means = [masked.means(m) for m in means]
    notes += (Notification("content", Level.WARNING, problem) for problem in view.packages.problems)
    means.sort(key=lambda m: (m.kind, m.name, m.location.display, str(m.details)))
    if view.files.problem is not None:
        notes.append(Notification("cache", Level.ERROR, view.files.problem))
    return tuple(findings), tuple(means), notes


def digest_of(finding: Finding, contents: Contents) -> str | None:
    """Of the file that the finding's first location names; None where it is none, or lies in an archive."""
    place = finding.locations[0]
    if not isinstance(place, FileLocation) or place.inner:
        return None
    found = contents.get((place.layer.index, place.path))
    return None if found is None else found[0]


def contents(opened: OpenImage, known: Mapping[str, LayerRecord], findings: Iterable[Finding]) -> Contents:
    """The files that the findings' first locations name, archives as a whole. `known` is what `scan_opened` filled."""
    return _contents(findings, [known[_name(blob)] for blob in opened.blobs])


def _contents(findings: Iterable[Finding], records: Sequence[LayerRecord]) -> Contents:
    """Of a path that a layer has twice, with two contents, nothing is said."""
    named = {(p.layer.index, p.path) for p in (f.locations[0] for f in findings) if isinstance(p, FileLocation)}
    seen: dict[tuple[int, bytes], set[tuple[str, int]]] = {key: set() for key in named}
    for index in {index for index, _ in named}:
        for carrier in records[index].carriers:  # once for all findings: a layer may be full of both
            if (index, carrier.path) in seen:
                seen[index, carrier.path].add((carrier.sha256, carrier.size))
    made: dict[tuple[int, bytes], tuple[str, int]] = {}
    for (index, path), found in seen.items():
        if not found and (kept := records[index].kept().get(path)) is not None:
            found.add((hashlib.sha256(kept).hexdigest(), len(kept)))
        if len(found) == 1 and next(iter(found))[0]:
            made[index, path] = found.pop()
    return made


def _join(target: Target, image: Image, records: Sequence[LayerRecord]) -> tuple[ImageView, list[Notification]]:
    """All layers' evidence as one image sees it."""
    tables: list[Callable[[], EntryTable]] = [cache(record.table) for record in records]
    notes: list[Notification] = []
    aliases: dict[tuple[int, bytes], tuple[tuple[int, bytes], ...]] = {}
    fate_of: dict[tuple[int, bytes], Fate] = {}
    try:
        aliases = _aliases(records, tables)
        asked = {i: {c.path for c in r.carriers} for i, r in enumerate(records) if r.carriers}
        for names in aliases.values():
            for at, name in names:
                asked.setdefault(at, set()).add(name)
        fate_of = fates(asked, tables)
    except ScannerError as e:  # a table from the cache that cannot be read: every finding stands, its state is unsure
        notes.append(Notification("cache", Level.ERROR, f"the state of findings is unknown: {e}; scan with --no-cache"))
    sightings: list[Sighting] = []
    for index, record in enumerate(records):
        layer = image.layers[index]
        for carrier in record.carriers:
            own = Fate(State.OVERWRITTEN, index) if carrier.superseded else fate_of.get((index, carrier.path), VISIBLE)
            names = aliases.get((index, carrier.path), ())
            alive = [name for at, name in names if fate_of.get((at, name), VISIBLE) == VISIBLE]
            fate = VISIBLE if alive and not carrier.superseded else own
            sightings += (
                Sighting(e, layer, fate.state, fate.hidden_by, carrier.mode, tuple(alive)) for e in carrier.evidence
            )
    sightings.sort(
        key=lambda s: (s.layer.index, s.evidence.path, s.evidence.inner, s.evidence.offset or 0, s.evidence.kind)
    )
    kept = [cache(record.kept) for record in records]
    view = ImageView(target, image, tuple(sightings), Packages(kept), Filesystem(image.layers, tables, kept))
    return view, notes


def _aliases(
    records: Sequence[LayerRecord], tables: Sequence[Callable[[], EntryTable]]
) -> dict[tuple[int, bytes], tuple[tuple[int, bytes], ...]]:
    """Hard links to files that carry evidence, in their own layer and in those above."""
    result: dict[tuple[int, bytes], list[tuple[int, bytes]]] = {}
    for layer, record in enumerate(records):
        for carrier in record.carriers:
            if carrier.aliases:
                result[layer, carrier.path] = [(layer, name) for name in carrier.aliases]
        paths = frozenset(c.path for c in record.carriers)
        for above in range(layer + 1, len(tables)) if paths else ():
            for target, names in hard_links(tables[above](), paths).items():
                result.setdefault((layer, target), []).extend((above, name) for name in names)
    return {key: tuple(names) for key, names in result.items()}
