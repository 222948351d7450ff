"""A report whose findings name the line of the repository that made them: by content, by provenance, by history."""

import fnmatch
import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scanner.dockerfile import Dockerfile, Step, parse
from scanner.errors import ParseError, ScannerError, UsageError
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
from scanner.tracing.alignment import Alignment, aligned, rivals
from scanner.tracing.layers import Origin, by_history, by_provenance, naming, of_config, source_stage, steps_below
from scanner.tracing.provenance import Recorded, recorded
from scanner.tracing.repository import LARGEST_DOCKERFILE, Repository, below, root_of

STAGE = "tracing"
MOST_NOTES = 20


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
        if self.file is None:
            self._choose()
        else:
            self.alignment = aligned(made.image, self.file)
            for problem in self.file.problems[:MOST_NOTES]:
                self.say(f"{self.file.name}:{problem.line}: {problem.message}")
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
        fitting: list[tuple[str, bytes, Dockerfile, Alignment | None]] = []
        tried = 0
        for path in self.repository.dockerfiles():
            data = self.repository.read(path, LARGEST_DOCKERFILE)
            try:
                file = _parsed(data or b"", path)
            except ScannerError:
                continue
            tried += 1
            alignment = aligned(self.made.image, file)
            by_record = self.record is not None and self.record.text == data
            if by_record or (alignment is not None and alignment.whole and alignment.same):
                fitting.append((path, data or b"", file, alignment))
        if self.record is not None and (exact := [f for f in fitting if f[1] == self.record.text]):
            fitting = exact
        if fitting:
            most = max(f[3].same if f[3] else 0 for f in fitting)
            fitting = [f for f in fitting if (f[3].same if f[3] else 0) == most]
        if len(fitting) == 1:
            self.name, self.data, self.file, self.alignment = fitting[0]
            self.say(
                f"{printable(self.name)} is taken for the Dockerfile of the image: the only one of {tried} that fits its history"
            )
        elif fitting:
            names = ", ".join(printable(f[0], 60) for f in fitting[:5])
            self.say(
                f"{len(fitting)} Dockerfiles fit the image's history alike ({names}): name the right one with --dockerfile"
            )
        elif tried:
            self.say(
                f"none of {tried} Dockerfiles in the repository fits the image's history: name the right one with --dockerfile"
            )

    def _origins(self) -> dict[int, Origin]:
        """Each layer's line in the Dockerfile; what is not known is said."""
        if self.file is None:
            return {}
        alignment, layers = self.alignment, self.made.image.layers
        made = {} if alignment is None else by_history(alignment, rivals(self.made.image, alignment))
        if self.record is not None and self.record.text == self.data:
            made |= by_provenance(self.record.lines, self.file, alignment, made)
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
        if any(e.merged for e in alignment.entries):
            return "they were squashed into one, which keeps no line"
        if not any(e.keyword for e in alignment.entries):
            return "the history does not say what made them (an imported or flattened image)"
        if not alignment.belongs:
            return f"the history is that of another Dockerfile ({alignment.same} of {len(alignment.expected)} instructions occur in it)"
        return "what the history says of them stands in no instruction"

    def run(self) -> Report:
        findings = tuple(one if one.source is not None else self.with_source(one) for one in self.report.findings)
        for problem in self.repository.problems[:MOST_NOTES]:
            self.say(problem)
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
        found = naming(place.path, [e.step for e in alignment.expected])
        if len(found) != 1:
            return None
        why = f"layer {layer} was squashed from many instructions; this is the only one that names the file"
        return SourceLine(self.name, found[0].line, found[0].end_line, Traced.HISTORY, False, why)

    def said(self, place: FileLocation, origin: Origin) -> str:
        """Why, and which line of the stage that the file was copied from names it, where one alone does."""
        why = origin.why
        if origin.expected is not None and self.alignment is not None:
            step, stage = origin.expected.step, source_stage(self.alignment, origin.expected)
            if stage is not None and (path := _in_stage(place.path, step)) is not None:
                found = naming(path, steps_below(self.alignment, stage))
                if len(found) == 1:
                    why += f"; line {found[0].line} names /{printable(path, 80)} there"
        return why

    def by_heredoc(self, place: FileLocation, origin: Origin | None) -> SourceLine | None:
        """The heredoc that became the file: its bytes are the file's."""
        held = self.made.contents.get((place.layer.index, place.path))
        if held is None or self.name is None or self.alignment is None or place.inner:
            return None
        steps = [origin.expected.step] if origin is not None and origin.expected is not None else []
        if origin is None and self.alignment.belongs:  # squashed
            steps = [e.step for e in self.alignment.expected]
        for heredoc, text in ((h, t) for s in steps for h, t in zip(s.instruction.heredocs, s.texts, strict=True)):
            raw = text.encode("utf-8", "surrogateescape")
            if len(raw) == held[1] and hashlib.sha256(raw).hexdigest() == held[0]:
                first, last = heredoc.line, max(heredoc.line, heredoc.end_line)
                if place.line is not None and text.count("\n") == heredoc.content.count("\n"):
                    first = last = min(heredoc.line + place.line - 1, last)
                why = (
                    f"the heredoc {printable(heredoc.name, 40)} has the bytes of the file in layer {place.layer.index}"
                )
                return SourceLine(self.name, first, last, Traced.CONTENT, True, why)
        return None

    def by_content(self, place: FileLocation, origin: Origin | None) -> SourceLine | None:
        """The repository's file with the same bytes, unless the layer's line is known and cannot have brought it."""
        held = self.made.contents.get((place.layer.index, place.path))
        if held is None or not held[1]:
            return None
        alike = self.repository.same(*held)
        if not alike:
            return None
        bringing = () if origin is None else self.bringing(origin)
        brought = tuple(path for path in alike if any(_names(path, step) for step in bringing))
        if not brought and origin is not None and origin.certain:
            return None
        is_named = bool(brought)
        brought = brought or alike
        most = max(_ending(path, place.path) for path in brought)
        best = [path for path in brought if _ending(path, place.path) == most]
        line = place.line if place.line is not None and not place.inner else 1
        why = "the file has the same bytes as the one in the image"
        certain = len(best) == 1 and (is_named or (origin is None and most > 0))
        if len(best) > 1:
            why += f"; so have {len(best) - 1} more, such as {printable(best[1], 60)}"
        elif not certain:
            why += ", but which instruction brought it is not known"
        return SourceLine(best[0], line, line, Traced.CONTENT, certain, why)

    def bringing(self, origin: Origin) -> Sequence[Step]:
        """The instructions that can have brought a file of the repository into the layer: its own, or those that filled what it took from."""
        if origin.expected is None or self.alignment is None:
            return ()
        step = origin.expected.step
        if (stage := source_stage(self.alignment, origin.expected)) is not None:
            return steps_below(self.alignment, stage)
        if "from" in dict(step.flags):
            return ()
        if step.instruction.keyword in ("COPY", "ADD"):
            return (step,)
        before = [e.step for e in self.alignment.expected]
        return before[: before.index(step) + 1]

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
            certain = alignment.whole and alignment.same > 0
            why = "no instruction sets it, so it came with the base image"
            return SourceLine(self.name, root.line, root.end_line, Traced.BASE, certain, why)
        certain = alignment.whole and same
        why = f"the last {instruction.keyword} that sets it"
        if not same:
            why += ", though with other words than the image has"
        elif not alignment.whole:
            why += "; the history is not quite this Dockerfile's"
        return SourceLine(self.name, instruction.line, instruction.end_line, Traced.HISTORY, certain, why)


def _in_stage(path: bytes, step: Step) -> bytes | None:
    """Where a file that a COPY --from with one source brought lay in the stage; None where that is not clear."""
    if len(step.words) != 2:
        return None
    source, to = (posixpath.normpath("/" + w.lstrip("/")).encode("utf-8", "surrogateescape") for w in step.words)
    inside = b"/" + path
    if inside == to or (inside == posixpath.join(to, posixpath.basename(source))):
        return source.lstrip(b"/")
    if inside.startswith(to.rstrip(b"/") + b"/"):
        return posixpath.join(source, inside[len(to.rstrip(b"/")) + 1 :]).lstrip(b"/")
    return None


def _names(path: str, step: Step) -> bool:
    """Whether an instruction can take the repository's file: a COPY or ADD by a source that it lies in or is, a RUN by a bind mount.

    The context may be any folder above the file, so that a source may be any end of its path.
    """
    one = step.instruction
    if one.keyword == "RUN":
        return any(name == "mount" and "type=bind" in value and "from=" not in value for name, value in step.flags)
    if one.keyword not in ("COPY", "ADD") or "from" in dict(step.flags):
        return False
    parts = path.split("/")
    for word in step.words[:-1]:
        source = "/".join(p for p in word.split("/") if p not in ("", "."))
        if word.startswith("<<"):
            continue
        if not source:
            return True  # the context as a whole
        length = source.count("/") + 1
        for begin in range(len(parts) - length + 1):
            if fnmatch.fnmatchcase("/".join(parts[begin : begin + length]), source):
                return True
    return False


def _ending(path: str, in_image: bytes) -> int:
    """How many parts the two paths have in common at their ends."""
    ours, theirs = path.split("/")[::-1], in_image.decode("utf-8", "surrogateescape").split("/")[::-1]
    return next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
