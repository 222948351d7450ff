"""Findings: what the evidence adds up to, where, and how sure we are."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from scanner.model.entry import State
from scanner.model.evidence import Evidence, Json
from scanner.model.image import Layer
from scanner.model.rule import Confidence, Severity
from scanner.model.source import SourceLine


@dataclass(frozen=True, slots=True)
class FileLocation:
    """A file in a layer; `inner` leads into archives inside it, outermost first."""

    path: bytes
    layer: Layer
    inner: tuple[bytes, ...] = ()
    line: int | None = None
    offset: int | None = None

    @property
    def display(self) -> bytes:
        """The path as people know it from JAR URLs: `opt/app.jar!/lib/x.so`."""
        return b"!/".join((self.path, *self.inner))


@dataclass(frozen=True, slots=True)
class ConfigLocation:
    """A field of the image's config, such as `Entrypoint[0]` or `Env[3]`."""

    field: str

    @property
    def display(self) -> bytes:
        return _encoded(self.field)


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a surrogate pair, which no name of this machine has
        return text.encode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class LaunchLocation:
    """A place in a launch file: the file as the user named it, line and column from 1."""

    file: str
    line: int
    column: int = 1

    @property
    def display(self) -> bytes:
        return _encoded(self.file)


@dataclass(frozen=True, slots=True)
class ProcessLocation:
    """A process of a container: `pid` as the host counts (None: the container as a whole), `command` its words with secrets
    masked, `executable` as the container sees it."""

    container: str
    pid: int | None = None
    command: tuple[str, ...] = ()
    executable: bytes | None = None

    @property
    def display(self) -> bytes:
        """`container:NAME`, or `container:NAME/PID/EXECUTABLE`: one word that is unique in a report and stays readable."""
        whole = _encoded(f"container:{self.container}")
        if self.pid is None:
            return whole
        return whole + b"/%d" % self.pid + (b"/" + self.executable.lstrip(b"/") if self.executable else b"")


Location = FileLocation | ConfigLocation | LaunchLocation | ProcessLocation


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One step of the way that a finding tells: `kind` is the edge's (`route`, `mount`, `proxy`, …), `location` None where
    no file says it (a default)."""

    location: Location | None
    message: str
    kind: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer for a person: the first location is the primary one, and there always is one.

    `flow` is the way that leads from the first step to the last, where the finding is about one. `sha256` is the digest (64 hex
    digits) of the file that the first location names, None where it is no file of a layer or lies in an archive. `source` is
    the line of the repository that made it, where one is known.
    """

    rule_id: str
    severity: Severity
    confidence: Confidence
    message: str
    locations: tuple[Location, ...]
    evidence: tuple[Evidence, ...]
    fingerprint: str
    state: State = State.VISIBLE
    hidden_by: int | None = None
    details: Mapping[str, Json] = field(default_factory=dict)
    flow: tuple[FlowStep, ...] = ()
    sha256: str | None = None
    source: SourceLine | None = None

    def __post_init__(self) -> None:
        if not self.locations:
            raise ValueError(f"a finding of {self.rule_id} needs a location")


def worst_first(one: Finding) -> tuple[int, int, str, bytes, str, str]:
    """What a report's findings are sorted by."""
    place = one.locations[0].display
    return -one.severity.rank, -one.confidence.rank, one.rule_id, place, one.message, one.fingerprint


def fingerprint(rule_id: str, repository: str, *identity: bytes | str) -> str:
    """64 hex digits that survive a rebuild, a new tag and a move to another layer: rule, repository, place and evidence.

    Never feed it a tag, a digest, a layer index or a line.
    """
    digest = hashlib.sha256()
    for part in (rule_id, repository, *identity):
        raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()
