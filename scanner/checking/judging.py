"""What the picked files mean: judged where they lie in the repository, where a build would put them, and with what starts there.

The judges are the image's own. Each build becomes an image of one layer, the files that its COPYs place and its RUNs as
scripts; the repository itself is one more. All layers are read in one go, then each image is judged by itself.
"""

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache

from scanner.checking import placing, workflows
from scanner.checking.builds import Build, Order, Stage, When
from scanner.checking.picking import Opened
from scanner.checking.placing import Tree, placed, roots
from scanner.checking.rules.plugin import Check, Hit, Seen
from scanner.content import Content
from scanner.content.archives import looks_packed
from scanner.content.worker import Worker
from scanner.detectors.launchers import points, reading
from scanner.detectors.launchers.shell import Command
from scanner.detectors.openssh.weights import lowered
from scanner.model import (
    ConfigLocation,
    Evidence,
    FileLocation,
    Finding,
    Image,
    ImageConfig,
    Kind,
    LaunchLocation,
    Layer,
    Level,
    Location,
    Notification,
    Report,
    Rule,
    SourceLine,
    Target,
    Traced,
    fingerprint,
)
from scanner.model.run import FileState
from scanner.oci.blob import TarBlob
from scanner.onepass import HEAD
from scanner.pipeline import Options, scan_opened
from scanner.plugins import plugins
from scanner.record import LayerRecord
from scanner.ruleset import load
from scanner.runtime.spool import LayerSpool
from scanner.sources.plugin import OpenImage

REPOSITORY = "check"
"""What findings belong to: the same in every clone, so that a baseline holds in all of them."""
IMAGES = 200
"""Images that are made of a repository's builds and roots."""
LITTLE = 8 << 20
"""Bytes of all images together up to which YARA is through before a prefilter would be made."""
SCRIPTS = 200
"""Scripts of the repository that the commands of one stage are followed into."""
NAME = "checking"
_LAYER = Layer(0, None)
_PLATFORM = ""


@dataclass(frozen=True, slots=True)
class File:
    """A small text of the repository that is at hand."""

    name: str
    data: bytes
    mode: int
    modified: float


@dataclass(frozen=True, slots=True)
class Pictured:
    """An image as a build would make it: `origins` say which file of the repository a path is (a stage's script: the
    Dockerfile), `weak` which of them count one step less."""

    blob: TarBlob
    origins: Mapping[bytes, str]
    weak: frozenset[bytes]
    config: ImageConfig
    build: Build | None = None
    stage: Stage | None = None


class Layers:
    """The layers in the making: the repository's own grows while its files are read. `packed`: a file of it may be an archive."""

    def __init__(self, resources: ExitStack) -> None:
        self._resources = resources
        self._own = LayerSpool(resources)
        self.packed = False

    def add(self, opened: Opened) -> None:
        self.packed = self.packed or opened.data is None or looks_packed(opened.data[:HEAD])
        state = FileState(Kind.FILE, opened.mode, 0, 0, opened.size, opened.modified)
        self._own.add(os.fsencode(opened.picked.name), state, opened.chunks())

    def own(self) -> TarBlob:
        return self._own.blob(_LAYER)

    def layer(self, files: Mapping[str, File]) -> TarBlob:
        """One more layer, of the files at these paths."""
        spool = LayerSpool(self._resources)
        for path, file in files.items():
            state = FileState(Kind.FILE, file.mode, 0, 0, len(file.data), file.modified)
            spool.add(os.fsencode(path), state, (file.data,))
        return spool.blob(_LAYER)


# ---- the repository's files as images


def pictured(
    layers: Layers,
    builds: Sequence[Build],
    files: Mapping[str, File],
    tree: Tree,
    wanted: Callable[[str], bool],
    notes: list[Notification],
) -> Iterator[Pictured]:
    """The repository itself, then its builds' images and its roots."""
    yield Pictured(layers.own(), {}, frozenset(), ImageConfig())
    steps = {f"steps-{name}.sh": file for name, file in files.items() if workflows.is_workflow(name)}
    if steps:
        scripts = {path: replace(file, data=_steps(file)) for path, file in steps.items()}
        origins = {os.fsencode(path): file.name for path, file in steps.items()}
        yield Pictured(layers.layer(scripts), origins, frozenset(), ImageConfig())
    number = 0
    for build in builds:
        told = frozenset[int]()
        for stage in sorted(build.images, key=lambda s: s is not build.stages[-1]):
            number += 1
            if number > IMAGES:
                break
            last = stage is build.stages[-1]
            yield _image(layers, build, stage, last, told, files, tree, wanted, notes)
            told |= frozenset(stage.lineage)
    for pairs in roots(tree).values():
        number += 1
        if number > IMAGES:
            break
        some = {path: files[name] for path, name in pairs if name in files and wanted(path)}
        if some:
            origins = {os.fsencode(path): file.name for path, file in some.items()}
            yield Pictured(layers.layer(some), origins, frozenset(), ImageConfig())
    if number > IMAGES:
        message = f"more than {IMAGES} images are built here: the rest were not looked at as such; name a part of the repository"
        notes.append(Notification("source", Level.WARNING, message))


def _steps(file: File) -> bytes:
    return workflows.script(file.data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _image(
    layers: Layers,
    build: Build,
    stage: Stage,
    last: bool,
    told: frozenset[int],
    files: Mapping[str, File],
    tree: Tree,
    wanted: Callable[[str], bool],
    notes: list[Notification],
) -> Pictured:
    named = _words(stage.config)
    where, whole = placed(build, stage, tree, lambda path: wanted(path) or path.rsplit("/", 1)[-1] in named)
    if not whole:
        message = "copies more files than are looked at where they would lie"
        notes.append(Notification("source", Level.WARNING, message, os.fsencode(build.file)))
    some = {path: files[name] for path, name in where.items() if name in files}
    origins = {os.fsencode(path): file.name for path, file in some.items()}
    weak = set() if stage.counts else set(origins)
    # the last stage's image holds the commands of all stages that no other image does
    for one in build.stages if last else (build.stages[i] for i in stage.lineage):
        if one.index in told or not one.script.strip():
            continue
        path = f"steps-{one.index}.sh"
        some[path] = File(build.file, one.script.encode("utf-8", "surrogateescape"), 0o644, 0)
        origins[os.fsencode(path)] = build.file
        if not one.counts:
            weak.add(os.fsencode(path))
    return Pictured(layers.layer(some), origins, frozenset(weak), stage.config, build, stage)


def _words(config: ImageConfig) -> frozenset[str]:
    """File names that what an image starts may mean."""
    said = " ".join((*config.entrypoint, *config.cmd, *config.healthcheck, *config.env))
    return frozenset(word.rsplit("/", 1)[-1] for word in re.split(r"[\s\"'=:;,()&|]+", said) if word)


def is_little(layers: Layers, images: Iterable[Pictured]) -> bool:
    """Whether a prefilter would take longer to make than YARA needs for every file. What an archive comes to nobody knows before."""
    return not layers.packed and sum(one.blob.descriptor.size for one in images) <= LITTLE


def scanned(images: Sequence[Pictured], options: Options, worker: Worker) -> Iterator[Report]:
    """Each image's report. The layers are read once, together: what reads them takes longer to start than most repositories take."""
    known: dict[str, LayerRecord] = {}
    ruleset = load(options.rules)
    layers = tuple(Layer(i, None) for i in range(len(images)))
    blobs = tuple(one.blob for one in images)
    with _opened(blobs, layers, ImageConfig()) as everything:
        whole = scan_opened(everything, options, known=known, worker=worker, ruleset=ruleset)
    if len(images) == 1:
        yield whole
        return
    for one in images:
        with _opened((one.blob,), (_LAYER,), one.config) as opened:
            yield scan_opened(opened, options, known=known, worker=worker, ruleset=ruleset)


def _opened(blobs: tuple[TarBlob, ...], layers: tuple[Layer, ...], config: ImageConfig) -> OpenImage:
    return OpenImage(Target(REPOSITORY, "", REPOSITORY), Image(None, _PLATFORM, None, config, layers), blobs)


# ---- findings where they belong

_OF_IMAGES = frozenset({"ssh/file-mode"})
"""Rules on what only an image has: in a repository, modes and owners are those of whoever checked it out."""
_IMAGE = re.compile(r"\b(in|of) the image\b(?!')")
"""What else lies there, or does not, is said of what was looked at: no image is built yet, and no base was seen."""


def found(one: Pictured, report: Report) -> Iterator[Finding]:
    """The image's findings, each at its line of the repository."""
    for finding in report.findings:
        if one.build is None and finding.rule_id in _OF_IMAGES:
            continue
        weak = any(isinstance(p, FileLocation) and p.path in one.weak for p in finding.locations[:1])
        weak = weak or (
            isinstance(finding.locations[0], ConfigLocation) and one.stage is not None and not one.stage.counts
        )
        places = [_line(place, finding, one) for place in finding.locations]
        first = places[0]
        if first is None:
            continue  # about an image as a whole, and there is none yet
        evidence = tuple(_evidence(e, one) for e in finding.evidence)
        message = _IMAGE.sub(
            rf"\1 {'this repository' if one.build is None else 'what the build copies'}", finding.message
        )
        if isinstance(finding.locations[0], FileLocation) and _is_script(finding.locations[0].path, one):
            message = re.sub(r"\AScript: ", "Step: " if one.build is None else "RUN: ", message)
        yield replace(
            finding,
            severity=lowered(finding.severity) if weak else finding.severity,
            message=message,
            locations=tuple(dict.fromkeys(p for p in places if p is not None)),
            evidence=evidence,
            fingerprint=fingerprint(finding.rule_id, REPOSITORY, first.display, finding.fingerprint),
            source=_source(first),
        )


def _is_script(path: bytes, one: Pictured) -> bool:
    """Whether the path is no file of an image, but commands of a build or a workflow written out as one."""
    return path.startswith(b"steps-") and path in one.origins


def _line(place: Location, finding: Finding, one: Pictured) -> LaunchLocation | None:
    if isinstance(place, FileLocation):
        name = one.origins.get(place.path) or os.fsdecode(place.path)
        inner = "".join("!/" + os.fsdecode(part) for part in place.inner)
        return LaunchLocation(name + inner, place.line or _first_line(finding) or 1)
    if isinstance(place, ConfigLocation) and one.build is not None and one.stage is not None:
        field = place.field
        at = one.stage.places.get(field) or one.stage.places.get(field.partition("[")[0])
        if at is None:
            return None
        words = [word for e in finding.evidence for word in e.excerpt.split()[:3]]
        return LaunchLocation(one.build.file, one.build.line_of(at, words))
    return place if isinstance(place, LaunchLocation) else None


def _first_line(finding: Finding) -> int | None:
    """Of the evidence that lies in the file itself."""
    place = finding.locations[0]
    assert isinstance(place, FileLocation)
    return next(
        (e.line for e in finding.evidence if e.line is not None and (e.path, e.inner) == (place.path, place.inner)),
        None,
    )


def _evidence(evidence: Evidence, one: Pictured) -> Evidence:
    name = one.origins.get(evidence.path)
    return evidence if name is None else replace(evidence, path=os.fsencode(name))


def _source(place: LaunchLocation) -> SourceLine:
    return SourceLine(place.file.split("!/", 1)[0], place.line, place.line, Traced.GIVEN)


# ---- what builds do


def checks() -> tuple[Check, ...]:
    """Every rule on builds, by its file's name."""
    return plugins("scanner.checking.rules")


def rules() -> tuple[Rule, ...]:
    return tuple(check.rule for check in checks())


def built(
    build: Build, files: Mapping[str, File], tree: Tree, worker: Worker, notes: list[Notification]
) -> Iterator[Finding]:
    """What the rules on builds find in a Dockerfile."""
    orders: dict[int, tuple[Order, ...]] = {}
    texts: dict[str, Sequence[str]] = {build.file: build.text}

    places = placing.contexts(build, tree)

    @cache
    def content(source: str) -> tuple[bytes | None, bool]:
        name, left_out = placing.named(build, places, tree, source)
        return (files[name].data if name is not None and name in files else None), left_out

    for stage in build.stages:
        own = list(_orders(build, stage, worker, notes))
        run = {path for order in own for path in _files(order.command)}
        copies = (*(c for index in stage.lineage for c in build.stages[index].copies), *stage.mounts)
        names = {posixpath.basename(path) for path in run}
        if names & tree.last_parts or any(posixpath.basename(copy.target) in names for copy in copies):
            scripts = placing.seen(build, stage, tree, run.__contains__)
            own += _followed(own, scripts, files, worker, texts, notes)
        orders[stage.index] = tuple(own)
        before = tuple(order for index in stage.lineage[:-1] for order in orders.get(index, ()))
        seen = Seen(build, stage, orders[stage.index], before, orders, content, texts)
        for check in checks():
            for hit in check.judge(seen):
                yield _finding(check.rule, hit, stage)


def _orders(build: Build, stage: Stage, worker: Worker, notes: list[Notification]) -> Iterator[Order]:
    """The stage's own commands, each with what it stands in."""
    pairs = zip(stage.script.split("\n"), stage.starting.split("\n"), strict=True)
    text = "\n".join(running or starting for running, starting in pairs)
    content = Content(b"steps.sh", memoryview(text.encode("utf-8", "surrogateescape")), worker=worker)
    read = reading.read(content)
    if read is None:
        return
    notes += (replace(note, path=os.fsencode(build.file)) for note in read.notes)
    by_line = {n: i for i in stage.instructions for n in range(i.line, i.end_line + 1)}
    for command in read.commands:
        at = by_line.get(command.line)
        if at is None:
            continue
        when = When.LATER if at.on_build else When.BUILD if at.keyword in ("RUN", "SHELL") else When.START
        via = f"ONBUILD {at.keyword}" if at.on_build else at.keyword
        yield Order(command, when, build.file, command.line, via)


def _followed(
    orders: Iterable[Order],
    scripts: Mapping[str, str],
    files: Mapping[str, File],
    worker: Worker,
    texts: dict[str, Sequence[str]],
    notes: list[Notification],
) -> Iterator[Order]:
    """Commands of the repository's own scripts that a stage copies and runs."""
    told: set[str] = set()
    for order in orders:
        name = next((scripts[path] for path in _files(order.command) if path in scripts), None)
        if name is None or name in told or name not in files or order.command.remote:
            continue
        if len(told) >= SCRIPTS:
            message = f"runs more than {SCRIPTS} scripts of the repository: the rest were not read as part of it"
            notes.append(Notification("source", Level.WARNING, message, os.fsencode(order.file)))
            return
        told.add(name)
        file = files[name]
        read = reading.read(Content(os.fsencode(name), memoryview(file.data), file.mode, worker=worker))
        if read is None:
            continue
        texts[name] = file.data.decode("utf-8", "surrogateescape").split("\n")
        for command in read.commands:
            yield Order(command, order.when, name, command.line, f"{name.rsplit('/', 1)[-1]}, which {order.via} runs")


def _files(command: Command) -> Iterator[str]:
    """The files that a command may run, without leading slash."""
    words = [command.argv[0]]
    if command.name in points.SHELLS or command.name in (".", "source"):
        words += [next((w for w in command.argv[1:] if not w.startswith(("-", "+"))), "")]
    for word in words:
        if not word or word == "$()":
            continue
        path = word if word.startswith("/") else f"{command.folder}/{word.removeprefix('./')}"
        yield re.sub(r"/+", "/", path).strip("/")
        if "/" not in word:
            yield f"usr/local/bin/{word}"
            yield f"usr/bin/{word}"


def _finding(rule: Rule, hit: Hit, stage: Stage) -> Finding:
    first = hit.signs[0]
    places = dict.fromkeys(LaunchLocation(sign.file, sign.line) for sign in hit.signs)
    message = (
        hit.message if stage.counts else f"{hit.message.removesuffix('.')}; the last stage is not made from this one."
    )
    return Finding(
        rule_id=rule.id,
        severity=hit.severity if stage.counts else lowered(hit.severity),
        confidence=hit.confidence,
        message=message,
        locations=tuple(places),
        evidence=tuple(Evidence(NAME, s.kind, os.fsencode(s.file), line=s.line, excerpt=s.shown) for s in hit.signs),
        fingerprint=fingerprint(rule.id, REPOSITORY, first.file, *hit.identity),
        details={**hit.details, "stage": stage.name},
        source=SourceLine(first.file, first.line, first.line, Traced.GIVEN),
    )


# ---- what says the same twice

_COVERED = {"miner/launch": "build/miner", "tunnel/launch": "build/tunnel-tool"}
"""Rules of images, and the rule on builds that says more where both hold of one line."""


def folded(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for each thing that a rule says of a line: the worst, and of equals the surest. Stages that share a line, and a file
    that is judged where it lies and where a build puts it, say the same thing more than once."""
    best: dict[tuple[str, str, int, str], Finding] = {}
    for one in findings:
        place = one.locations[0]
        assert isinstance(place, LaunchLocation)
        key = (one.rule_id, place.file, place.line, _subject(one))
        known = best.get(key)
        if known is None or _weight(one) > _weight(known):
            best[key] = one
    of_line: dict[tuple[str, str, int], list[Finding]] = {}
    for (rule, file, line, _), one in best.items():
        of_line.setdefault((rule, file, line), []).append(one)
    return [
        one
        for (rule, file, line, _), one in best.items()
        if not any(
            all(a >= b for a, b in zip(_weight(by), _weight(one), strict=True))
            for by in of_line.get((_COVERED.get(rule, ""), file, line), ())
        )
    ]


def _subject(one: Finding) -> str:
    """What of its line a finding is about. Rules on builds know it by their fingerprint, which those on images have by the path."""
    if one.rule_id.startswith("build/"):
        return one.fingerprint
    return one.evidence[0].excerpt if one.evidence else ""


def _weight(one: Finding) -> tuple[int, int]:
    return one.severity.rank, one.confidence.rank
