"""A report whose findings name the line of the repository that made them: by content, by provenance, by history."""

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from scanner.dockerfile import Dockerfile, ExpandedStage, Heredoc, Step, parse
from scanner.errors import LimitError, ParseError, ScannerError, UsageError
from scanner.model import (
    ConfigLocation,
    FileLocation,
    Finding,
    Image,
    Level,
    Notification,
    Report,
    SourceLine,
    Traced,
    printable,
)
from scanner.tracing.alignment import MOST_STAGES, Alignment, aligned, leading_to
from scanner.tracing.copying import can_have_taken, contexts, in_stage, is_from_context, taken
from scanner.tracing.effort import STEP, Effort
from scanner.tracing.history import Expected, entries
from scanner.tracing.layers import Origin, by_history, by_provenance, naming, of_config, source_stage
from scanner.tracing.provenance import Recorded, recorded
from scanner.tracing.repository import LARGEST_DOCKERFILE, Repository, below, root_of

STAGE = "tracing"
MOST_NOTES = 20
MOST_ALIKE = 200
"""Files with the same bytes that are told apart."""
MOST_TRIED = 8 << 20
"""Bytes of Dockerfiles that are tried where none is named."""
SURE_ENDING = 3
"""Parts that two paths have in common at their ends where a file is known by its place alone: every account has a
`.ssh/authorized_keys`. A whole path in the image is as good."""


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """What a user says of where the image comes from. `dockerfile` built it; `repo` holds that and the files that were copied in: None
    is the git root above the Dockerfile, else its folder. With `repo` alone, its Dockerfiles are tried."""

    dockerfile: Path | None = None
    repo: Path | None = None

    @property
    def asked(self) -> bool:
        return self.dockerfile is not None or self.repo is not None


@dataclass(frozen=True, slots=True)
class Book:
    """The repository, opened, and the Dockerfile that the user named: its path from the root, its bytes, and what it says."""

    repository: Repository
    name: str | None = None
    data: bytes = b""
    file: Dockerfile | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What a scan knows of an image besides its report: the image with its history and nothing masked, SHA-256 and size of the files with
    findings (by layer and path), the digests of the layers as stored, and what the builder states."""

    image: Image
    contents: Mapping[tuple[int, bytes], tuple[str, int]] = field(default_factory=dict)
    stored: tuple[str | None, ...] = ()
    statements: tuple[bytes, ...] = ()


def opened(asked: TraceOptions) -> Book:
    """The repository and the Dockerfile. Raises UsageError where one is missing, ParseError (with file:line) or LimitError for a Dockerfile
    that cannot be read."""
    if asked.dockerfile is not None and not asked.dockerfile.is_file():
        raise UsageError(f"--dockerfile {printable(str(asked.dockerfile))}: no such file")
    repository = Repository(root_of(asked.dockerfile, asked.repo))
    if asked.dockerfile is None:
        return Book(repository)
    name = below(repository.root, asked.dockerfile)
    try:
        with asked.dockerfile.open("rb") as stream:
            data = stream.read(LARGEST_DOCKERFILE + 1)
    except OSError as e:
        raise UsageError(f"--dockerfile {printable(str(asked.dockerfile))}: {e.strerror or e}") from e
    if len(data) > LARGEST_DOCKERFILE:
        raise LimitError(f"{printable(name)} is larger than {LARGEST_DOCKERFILE:,} bytes, which no Dockerfile is")
    file = _parsed(data, name)
    if not file.stages:
        raise ParseError(f"{printable(name)}:1: there is no FROM; is it a Dockerfile?")
    return Book(repository, name, data, file)


def _parsed(data: bytes, name: str) -> Dockerfile:
    return parse(data.decode("utf-8", "surrogateescape"), printable(name))


def traced(report: Report, made: Made, book: Book, notes: Sequence[Notification] = ()) -> Report:
    """The report with `source` wherever the line is known, and notes on what is not. A finding that has a source keeps it."""
    return _Tracing(report, made, book, notes).run()


class _Tracing:
    def __init__(self, report: Report, made: Made, book: Book, notes: Sequence[Notification]) -> None:
        self.report, self.made, self.repository = report, made, book.repository
        self.notes = list(notes)
        self.record = self._recorded()
        self.name, self.data, self.file = book.name, book.data, book.file
        self.alignment: Alignment | None = None
        self.effort = Effort()
        self.stages: dict[int, tuple[Expected, ...]] = {}
        self.heredocs: dict[int, tuple[tuple[Heredoc, str, int, str], ...]] = {}
        if self.file is None:
            self._choose()
        else:
            self.alignment = aligned(made.image, self.file, self.effort)
            for problem in self.file.problems[:MOST_NOTES]:
                self.say(f"{self.file.name}:{problem.line}: {problem.message}")
            if (more := len(self.file.problems) - MOST_NOTES) > 0:
                self.say(f"{self.file.name}: {more} more problems; sandscan check lists them")
        self.origins = self._origins()

    def say(self, message: str) -> None:
        self.notes.append(Notification(STAGE, Level.NOTE, message))

    def _recorded(self) -> Recorded | None:
        try:
            return recorded(self.made.statements, self.made.stored)
        except ScannerError as e:
            self.say(f"the provenance of the build is not used: {printable(str(e))}")
            return None

    def _choose(self) -> None:
        """The repository's Dockerfile that made the image, where only one can have."""
        fitting: list[tuple[str, bytes, Dockerfile, int]] = []
        tried = read = 0
        for path in self.repository.dockerfiles():
            data = self.repository.read(path, LARGEST_DOCKERFILE) or b""
            read += len(data)
            if read > MOST_TRIED:
                self.say(f"more than {MOST_TRIED >> 20} MiB of Dockerfiles: name the right one with --dockerfile")
                return
            try:
                file = _parsed(data, path)
            except ScannerError:
                continue
            tried += 1
            alignment = aligned(self.made.image, file, self.effort, whole=True)
            fits = alignment is not None and alignment.whole and alignment.telling > 0
            if fits or (self.record is not None and self.record.text == data):
                fitting.append((path, data, file, alignment.same if alignment is not None and fits else 0))
        if self.effort.spent:
            self.say(
                "the Dockerfiles of the repository are too large to be compared: name the right one with --dockerfile"
            )
            return
        if self.record is not None and (exact := [f for f in fitting if f[1] == self.record.text]):
            fitting = exact
        if fitting:
            most = max(f[3] for f in fitting)
            fitting = [f for f in fitting if f[3] == most]
        if len(fitting) == 1:
            self.name, self.data, self.file, _ = fitting[0]
            self.alignment = aligned(self.made.image, self.file, self.effort)
            self.say(
                f"{printable(self.name)} is taken for the Dockerfile of the image: the only one of {tried} that fits its history"
            )
        elif fitting:
            names = ", ".join(printable(f[0], 60) for f in fitting[:5])
            self.say(
                f"{len(fitting)} Dockerfiles fit the image's history alike ({names}): name the right one with --dockerfile"
            )
        elif tried:
            why = "name the right one with --dockerfile"
            if not any(e.keyword for e in entries(self.made.image)):
                why = "it does not say what made the layers (an imported or flattened image)"
            self.say(f"none of {tried} Dockerfiles in the repository fits the image's history: {why}")

    def _origins(self) -> dict[int, Origin]:
        """Each layer's line in the Dockerfile; what is not known is said."""
        if self.file is None:
            return {}
        alignment, layers = self.alignment, self.made.image.layers
        made = {} if alignment is None else by_history(alignment)
        if self.record is not None and self.record.text == self.data:
            stated = by_provenance(self.record.lines, self.file, alignment, made)
            if lost := len(self.record.lines) - len(stated):
                self.say(
                    f"the provenance gives {lost} of {len(layers)} layers lines that are no instruction's: not used"
                )
            made |= stated
        elif self.record is not None:
            self.say(f"the provenance is of another state of {self.file.name}: the image's history is used instead")
        open_ = len(layers) - len(made)
        doubtful = sum(not o.certain for o in made.values())
        if open_:
            self.say(f"{open_} of {len(layers)} layers could not be traced to {self.file.name}: {self._reason()}")
        if doubtful:
            self.say(
                f"{doubtful} of {len(layers)} layers are traced to {self.file.name} with doubt: each finding's source says why"
            )
        return made

    def _reason(self) -> str:
        alignment, history = self.alignment, self.made.image.history
        if not history:
            return "the image has no history"
        if alignment is None:
            return "the image's history does not fit its layers, or the file has more instructions than are compared"
        if not any(e.keyword for e in alignment.entries):
            return "the history does not say what made them (an imported or flattened image)"
        if not alignment.belongs:
            there = f"{alignment.same} of {len(alignment.expected)} instructions occur in it"
            return f"the history is not this Dockerfile's ({there}); another one made the image, or another tool"
        if any(e.merged for e in alignment.entries):
            return "they were squashed into one, which keeps no line"
        return "what the history says of them stands in no instruction"

    def run(self) -> Report:
        findings = tuple(one if one.source is not None else self.with_source(one) for one in self.report.findings)
        for problem in self.repository.problems:
            self.say(problem)
        if self.effort.spent:
            self.say("there is more to compare than is compared for one report: some lines are not known")
        notes = (*self.report.notifications, *self.notes)
        return replace(self.report, findings=findings, notifications=notes)

    def with_source(self, finding: Finding) -> Finding:
        place = finding.locations[0]
        if isinstance(place, FileLocation):
            return replace(finding, source=self.of_file(place))
        if isinstance(place, ConfigLocation) and self.alignment is not None:
            return replace(finding, source=self.of_config(place))
        return finding

    # -- files

    def of_file(self, place: FileLocation) -> SourceLine | None:
        origin = self.origins.get(place.layer.index)
        found = self.by_heredoc(place, origin) or self.by_content(place, origin)
        if found is not None or self.name is None:
            return found
        if origin is None:
            return self.of_squashed(place)
        return SourceLine(self.name, origin.line, origin.end_line, origin.how, origin.certain, self.said(place, origin))

    def of_squashed(self, place: FileLocation) -> SourceLine | None:
        """In a layer that all instructions made together, the one that names the file: a guess, and called one."""
        alignment, layer = self.alignment, place.layer.index
        if alignment is None or self.name is None or not alignment.belongs:
            return None
        if not any(e.merged and e.layer == layer for e in alignment.entries):
            return None
        found = naming(_text(place.path), alignment.expected, self.effort)
        if len(found) != 1:
            return None
        why = f"layer {layer} was squashed from many instructions; this is the only one that names the file"
        return SourceLine(self.name, found[0].line, found[0].end_line, Traced.HISTORY, False, why)

    def said(self, place: FileLocation, origin: Origin) -> str:
        """Why, and which line of the stage that the file was copied from names it, where one alone does."""
        why = origin.why
        if origin.expected is not None and self.alignment is not None:
            stage = source_stage(self.alignment, origin.expected)
            if stage is not None and (path := in_stage(_text(place.path), origin.expected)) is not None:
                found = naming(path, self.leading_to(stage), self.effort)
                if len(found) == 1:
                    why += f"; line {found[0].line} names {printable(path, 80)} there"
        return why

    def leading_to(self, stage: ExpandedStage) -> tuple[Expected, ...]:
        assert self.alignment is not None, "stages are those of an alignment"
        if stage.index not in self.stages:
            self.stages[stage.index] = leading_to(self.alignment, stage)
        return self.stages[stage.index]

    # -- content

    def may_have_made(self, origin: Origin | None) -> tuple[Expected, ...]:
        """The instruction that made a layer; all of the file's where the history does not say which, as of a squashed one."""
        if origin is not None:
            return () if origin.expected is None else (origin.expected,)
        return self.alignment.expected if self.alignment is not None and self.alignment.belongs else ()

    def by_heredoc(self, place: FileLocation, origin: Origin | None) -> SourceLine | None:
        """The heredoc that became the file: its bytes are the file's."""
        held = self.made.contents.get((place.layer.index, place.path))
        if held is None or self.name is None or self.alignment is None or place.inner:
            return None
        steps = (expected.step for expected in self.may_have_made(origin))
        found = [(h, text) for step in steps for h, text, size, digest in self.texts(step) if (digest, size) == held]
        if len(found) > 1:
            found = [one for one in found if one[0].name == _text(place.path).rpartition("/")[2]] or found
        if not found:
            return None
        heredoc, text = found[0]
        first, last = heredoc.line, max(heredoc.line, heredoc.end_line)
        if place.line is not None and text.count("\n") == heredoc.content.count("\n"):
            first = last = min(heredoc.line + place.line - 1, last)
        why = f"the heredoc {printable(heredoc.name, 40)} has the bytes of the file in layer {place.layer.index}"
        if len(found) > 1:
            why += f"; so has the one on line {found[1][0].line}"
        return SourceLine(self.name, first, last, Traced.CONTENT, len(found) == 1, why)

    def texts(self, step: Step) -> tuple[tuple[Heredoc, str, int, str], ...]:
        """Each heredoc with its text, its size and its SHA-256."""
        key = id(step)
        if key not in self.heredocs:
            raws = [text.encode("utf-8", "surrogateescape") for text in step.texts]
            self.heredocs[key] = tuple(
                (h, text, len(raw), hashlib.sha256(raw).hexdigest())
                for h, text, raw in zip(step.instruction.heredocs, step.texts, raws, strict=True)
            )
        return self.heredocs[key]

    def by_content(self, place: FileLocation, origin: Origin | None) -> SourceLine | None:
        """The repository's file with the same bytes, where an instruction brought it to its place, or its path ends like the one in the
        image; nothing where the layer's line is known and cannot have brought it."""
        held = self.made.contents.get((place.layer.index, place.path))
        if held is None or not held[1]:
            return None
        alike = self.repository.same(*held)
        if not alike or not self.effort.take(STEP * len(alike)):
            return None
        more, alike = len(alike) - MOST_ALIKE, alike[:MOST_ALIKE]
        expected = None if origin is None else origin.expected
        ways = (self.brought(alike, _text(place.path), one) for one in reversed(self.may_have_made(origin)))
        brought = next((found for found in ways if found), {})
        best, certain = list(brought), bool(brought)
        if not best and expected is not None:
            best = [path for path in alike if can_have_taken(path, _text(place.path), expected)]
        if not best:
            if origin is not None and (origin.certain or expected is not None):
                return None
            most = max(_ending(path, place.path) for path in alike)
            sure = min(SURE_ENDING, place.path.count(b"/") + 1)
            if origin is not None and most < sure:
                return None
            best = [path for path in alike if _ending(path, place.path) == most]
            certain = most >= sure
        elif len(best) > 1:
            most = max(_ending(path, place.path) for path in best)
            best = [path for path in best if _ending(path, place.path) == most]
        line = place.line if place.line is not None and not place.inner else 1
        why = "the file has the same bytes as the one in the image"
        if len(best) > 1:
            why += f"; so have {len(best) - 1} more, such as {printable(best[1], 60)}"
        elif more > 0:
            why += f"; so have more than {MOST_ALIKE} others"
        elif not certain:
            why += ", but which instruction brought it is not known"
        elif brought and self.has_another(best[0], brought[best[0]]):
            certain = False
            why += ", but the build may have had another folder as its context, which has a file for this place too"
        return SourceLine(best[0], line, line, Traced.CONTENT, certain and len(best) == 1 and more <= 0, why)

    def brought(
        self, alike: Sequence[str], in_image: str, expected: Expected, through: frozenset[int] = frozenset()
    ) -> dict[str, str]:
        """Those of the repository's files that the instruction put to the place, each with the folder that was the context then.
        `through` are the stages that the way there led through: stages that copy from each other have no beginning."""
        if self.alignment is None or len(through) > MOST_STAGES:
            return {}
        step = expected.step
        if not self.effort.take(STEP * len(alike) * (1 + len(step.words))):
            return {}
        if is_from_context(step):
            found = ((path, folder) for path in alike for folder in taken(path, in_image, expected))
            return {path: folder for path, folder in found if folder in self.contexts}
        stage = source_stage(self.alignment, expected)
        inner = None if stage is None or stage.index in through else in_stage(in_image, expected)
        if stage is None or inner is None:
            return {}
        through |= {stage.index}
        before = (self.brought(alike, inner, one, through) for one in reversed(self.leading_to(stage)))
        return next((found for found in before if found), {})

    def has_another(self, path: str, context: str) -> bool:
        """Whether the same instruction would have brought another file if another folder was the context."""
        inner = path[len(context) :].lstrip("/")
        others = (posixpath.join(folder, inner) for folder in self.contexts if folder != context)
        return any(other in self.repository.files for other in others)

    @cached_property
    def contexts(self) -> frozenset[str]:
        if self.file is None or self.name is None:
            return frozenset()
        return contexts(self.file, self.name, self.repository.names)

    # -- configuration

    def of_config(self, place: ConfigLocation) -> SourceLine | None:
        alignment = self.alignment
        if alignment is None or self.name is None or not alignment.belongs:
            return None
        instruction, same = of_config(place.field, self.made.image, alignment)
        if instruction is None:
            if not same:
                return None
            root = alignment.file.stages[alignment.root]
            certain = alignment.whole and alignment.same > 0 and alignment.end == alignment.base - 1
            why = "no instruction sets it, so it came with the base image"
            if not certain:
                why += ", or from a line that was changed or removed since"
            return SourceLine(self.name, root.line, root.end_line, Traced.BASE, certain, why)
        certain = alignment.whole and same
        why = f"the last {instruction.keyword} that sets it"
        if not same:
            why += ", though with other words than the image has"
        elif not alignment.whole:
            why += "; the history is not quite this Dockerfile's"
        return SourceLine(self.name, instruction.line, instruction.end_line, Traced.HISTORY, certain, why)


def _text(path: bytes) -> str:
    """A path in the image, from `/`."""
    return "/" + path.decode("utf-8", "surrogateescape")


def _ending(path: str, in_image: bytes) -> int:
    """How many parts the two paths have in common at their ends."""
    ours, theirs = path.split("/")[::-1], in_image.decode("utf-8", "surrogateescape").split("/")[::-1]
    return next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
