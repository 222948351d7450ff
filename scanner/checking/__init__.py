"""A repository looked at without any image: its Dockerfiles, launch files, scripts, keys and whatever else lies in it.

What would an image built from these contain, what would a launch of these allow, what would a script do?
"""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Thread

from scanner import masked
from scanner.checking import composed, ignoring, judging, launches
from scanner.checking.builds import Build
from scanner.checking.composed import Asked
from scanner.checking.ignoring import Ignores
from scanner.checking.judging import File, Layers
from scanner.checking.picking import KEPT, opened, pick
from scanner.checking.placing import Tree
from scanner.content.worker import Worker
from scanner.detectors.launchers import reading
from scanner.dockerfile import Dockerfile, parse
from scanner.errors import LimitError, ParseError, ScannerError, UsageError
from scanner.model import (
    Finding,
    Image,
    ImageConfig,
    LaunchLocation,
    Level,
    Limits,
    Notification,
    Report,
    Rule,
    SourceLine,
    Target,
    Tool,
    Traced,
    printable,
    worst_first,
)
from scanner.pipeline import Options, detectors, unread_first
from scanner.prefilter import Names
from scanner.version import tool_version

AT_HAND = 256 << 20
"""Bytes of small texts that are kept while a repository is looked at."""
NAMED = 4
"""Paths that are told one by one in the report's title."""
_DOCKERFILE = re.compile(r"(?i)(?:docker|container)file(?:[._-][^/]+)?|[^/]+\.(?:docker|container)file")
_OTHER = re.compile(
    r"(?i).*\.(?:py|pyi|js|ts|tsx|go|rs|java|kt|rb|php|c|h|cc|cpp|md|rst|adoc|html?|css|json|ya?ml|toml|xml|sh|bash|lock|csv|svg|png|dockerignore|"
    r"gitignore|bats|log|orig|rej|snap|sum|tmlanguage|vim|el)"
)
_FRONTEND = re.compile(
    r"(?i)\ufeff?(?:[ \t]*(?:#|//)[^\n]*\n)*?[ \t]*(?:#|//)[ \t]*syntax[ \t]*=[ \t]*(?P<image>[^\s]+)"
)
"""What builds a Dockerfile instead of BuildKit's own reader (Dockerfile reference, `syntax`): a program of an image's."""
_OFFICIAL = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@].*)?")
_FIRST = re.compile(rb"(?im)\A(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*(?:FROM|ARG)[ \t]+\S")


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """`rules` are a user's YARA files or folders, added to ours."""

    rules: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)


def check(paths: Sequence[Path], options: CheckOptions | None = None) -> Report:
    """The report on the files; findings stand at LaunchLocations from the repository's root on, and have their `source`.

    Raises UsageError (a path does not exist, or there is no file to look at), LimitError, RuleError.
    """
    options = options or CheckOptions()
    started, clock = datetime.now(UTC), time.monotonic()
    notes: list[Notification] = []
    picked = pick(paths, notes)
    if not picked:
        raise UsageError(f"{_called(paths)}: there is no file to look at")
    files: dict[str, File] = {}
    where: dict[str, Path] = {}
    building: list[str] = []
    size = kept = 0
    with ExitStack() as resources:
        layers = Layers(resources)
        for one in opened(picked, notes):
            name = one.picked.name
            layers.add(one)
            size += one.size
            if one.data is None:
                what = f"larger than {KEPT >> 20} MiB"
                if is_dockerfile(name):
                    notes.append(_unread(name, f"{what}: not looked at as a Dockerfile"))
                elif launches.is_candidate(name):
                    notes.append(launches.unread(name, what))
                continue
            is_build = is_dockerfile(name, one.data if one.picked.named else b"")
            if launches.is_candidate(name) and not _is_utf8(one.data):
                notes.append(launches.unread(name, "no text in UTF-8", one.data))
            if b"\0" in one.data[:4096] and not is_build:
                continue
            if kept + one.size > AT_HAND:
                if is_build or launches.is_candidate(name):
                    notes.append(_unread(name, "too many files before it to be read for what it builds or launches"))
                continue
            kept += one.size
            files[name], where[name] = File(name, one.data, one.mode, one.modified), one.picked.path
            if is_build:
                building.append(name)
        ignores = Ignores({n: f.data for n, f in files.items() if n.endswith(ignoring.NAME)}, notes)
        tree = Tree(tuple(sorted(p.name for p in picked)), ignores)
        worker = resources.enter_context(closing(Worker(options.limits)))
        if building:  # its process starts meanwhile
            starting = Thread(target=_start, args=(worker,))
            starting.start()
            resources.callback(starting.join)
        # most of the rest waits for the rules to compile and for the worker
        beside = resources.enter_context(ThreadPoolExecutor(1, "sandscan-launches"))
        texts = {n: (where[n], f.data) for n, f in files.items() if launches.is_candidate(n)}
        launching = beside.submit(launches.judge, texts)
        asked = composed.asked(texts, tree, notes)
        made = list(_builds(building, files, asked, notes))
        found, rules, digest = _judged(layers, made, files, tree, options, worker, notes)
        found = judging.folded(composed.placed(found, asked))
        notes = list(composed.told(notes, asked))
        launched = launching.result()
    findings = [*map(masked.finding, found), *map(_given, launched.findings)]
    statistics = {
        "files": len(picked),
        "bytes": size,
        "builds": len(made),
        "launches": len(launched.names),
        "sandboxes": launched.sandboxes,
        "seconds": round(time.monotonic() - clock, 3),
    }
    every = {rule.id: rule for rule in (*rules, *launched.rules)}
    return Report(
        tool=Tool("sandscan", tool_version(), digest),
        target=Target("check", _called(paths), judging.REPOSITORY),
        image=Image(None, "", None, ImageConfig(), ()),
        findings=tuple(sorted(findings, key=worst_first)),
        means=(),
        notifications=tuple(
            sorted(map(masked.notification, dict.fromkeys((*notes, *launched.notes))), key=unread_first)
        ),
        rules=tuple(every[i] for i in sorted(every)),
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        statistics=statistics,
    )


def _called(paths: Sequence[Path]) -> str:
    """What was asked for, as one name; hooks name hundreds of files."""
    shown = ", ".join(printable(str(path)) for path in paths[:NAMED])
    return shown + (f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else "")


def check_paths(*paths: str | Path, rules: Sequence[str | Path] = ()) -> Report:
    """Look at files and folders, the current one if none is named: the Python API, exported as `scanner.check`.

    `rules` are YARA files or folders beside ours. Raises UsageError, LimitError and RuleError.
    """
    return check([Path(p) for p in paths or (".",)], CheckOptions(tuple(Path(r) for r in rules)))


def is_dockerfile(name: str, data: bytes = b"") -> bool:
    """By its name; of a file that was named outright, also by its first instruction."""
    base = name.rsplit("/", 1)[-1]
    if _OTHER.fullmatch(base):
        return False
    return _DOCKERFILE.fullmatch(base) is not None or _FIRST.match(data) is not None


def _start(worker: Worker) -> None:
    with suppress(ScannerError):  # whoever needs it next is told
        worker.call(reading.commands_of, memoryview(b""), {"what": "script", "path": "", "line": 1})


def _judged(
    layers: Layers,
    made: Sequence[Build],
    files: Mapping[str, File],
    tree: Tree,
    options: CheckOptions,
    worker: Worker,
    notes: list[Notification],
) -> tuple[list[Finding], tuple[Rule, ...], str]:
    """What is found but for the launches, the rules looked for, and their digest."""
    names = Names(p for d in detectors() for p in (*d.wants.paths, *d.wants.keeps))
    wanted = cache(lambda path: names.search(os.fsencode(path)))  # stages copy the same to the same places
    rules, digest = judging.rules(), ""
    found: list[Finding] = []
    for build in made:
        found += judging.built(build, files, tree, worker, notes)
    images = list(judging.pictured(layers, made, files, tree, wanted, notes))
    little = judging.is_little(layers, images)
    scanning = Options(rules=options.rules, limits=options.limits, use_prefilter=not little)
    reports = judging.scanned(images, scanning, worker)
    for number, (one, report) in enumerate(zip(images, reports, strict=True)):
        found += judging.found(one, report)
        notes += (_moved(note, one) for note in report.notifications)
        if not number:
            rules, digest = (*report.rules, *rules), report.tool.ruleset
    return found, rules, digest


def _builds(
    building: Sequence[str], files: Mapping[str, File], asked: Sequence[Asked], notes: list[Notification]
) -> Iterator[Build]:
    """The builds of the files that are Dockerfiles by themselves, and of those that a Compose file names or holds."""
    by_file: dict[str, list[Asked]] = {}
    for one in asked:
        by_file.setdefault(one.dockerfile, []).append(one)
    own = frozenset(building)
    for name in (*building, *sorted(by_file.keys() - own)):
        some = by_file.get(name, [])
        inline = next((one.inline for one in some if one.inline is not None), None)
        file = files.get(name) if inline is None else File(name, inline.encode("utf-8", "surrogateescape"), 0o644, 0)
        if file is None:
            notes.append(_unread(name, "not looked at as a Dockerfile, which a Compose file takes it for"))
        elif (read := _parsed(file, notes)) is not None and read.stages:
            text = file.data.decode("utf-8", "surrogateescape")
            yield from composed.made(read, text, name in own, some, notes)


def _parsed(file: File, notes: list[Notification]) -> Dockerfile | None:
    text = file.data.decode("utf-8", "surrogateescape")
    try:
        read = parse(text, file.name)
    except (ParseError, LimitError) as e:
        notes.append(_unread(file.name, str(e)))
        return None
    notes += (_unread(file.name, f"line {one.line}: {one.message}") for one in read.problems[:20])
    frontend = _FRONTEND.match(text)
    if frontend is not None and not _OFFICIAL.fullmatch(frontend["image"]):
        what = f"is built by the frontend {printable(frontend['image'], 120)}, which may read it otherwise than Docker's does"
        notes.append(_unread(file.name, what))
    return read


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _unread(name: str, why: str) -> Notification:
    return Notification("source", Level.WARNING, why, os.fsencode(name))


def _moved(note: Notification, one: judging.Pictured) -> Notification:
    """The notification about the file of the repository, not about where an image would have it."""
    path = note.path
    if path is not None and path in one.origins:
        path = os.fsencode(one.origins[path])
    return Notification(note.stage, note.level, note.message, path, note.inner, None, note.count)


def _given(finding: Finding) -> Finding:
    place = finding.locations[0]
    if not isinstance(place, LaunchLocation):
        return finding  # what a runner does by default stands in no file
    return replace(finding, source=SourceLine(place.file, place.line, place.line, Traced.GIVEN))
