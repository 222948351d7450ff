"""A whole image as a detector's judge sees it: all evidence, where it lies, and whether a container would see it."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from scanner.model import (
    Confidence,
    ConfigLocation,
    Evidence,
    FileLocation,
    Finding,
    Image,
    Json,
    Layer,
    Location,
    Rule,
    Severity,
    State,
    Target,
    fingerprint,
)
from scanner.oci.filesystem import Filesystem
from scanner.oci.packages import Packages

T = TypeVar("T")
_COUNTED = re.compile(r"(Env|OnBuild)\[\d+\]")
"""Fields whose number says how many instructions came before, and is another one as soon as one is inserted."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A piece of evidence where it lies in this image. `aliases` are hard links to the same file, `mode` its permissions."""

    evidence: Evidence
    layer: Layer
    state: State
    hidden_by: int | None
    mode: int = 0o644
    aliases: tuple[bytes, ...] = ()

    @property
    def location(self) -> FileLocation:
        e = self.evidence
        return FileLocation(e.path, self.layer, e.inner, e.line, e.offset)


@dataclass(frozen=True, slots=True)
class ImageView:
    """The image, its evidence and the few questions a judge may ask of the squashed filesystem."""

    target: Target
    image: Image
    sightings: tuple[Sighting, ...]
    packages: Packages
    """Who owns a path, and whether the image has a package database at all; read at the first question."""
    files: Filesystem = field(default_factory=lambda: Filesystem((), (), ()))
    """The root as a container sees it: kept files by path, and what stands where."""
    memory: dict[object, object] = field(default_factory=dict, repr=False, compare=False)
    """What `once` made."""

    def once(self, make: "Callable[[ImageView], T]") -> "T":
        """What `make` makes of this image, made at the first question: several judges ask the same."""
        if make not in self.memory:
            self.memory[make] = make(self)
        return self.memory[make]  # type: ignore[return-value]

    def owner(self, path: bytes) -> str | None:
        """The distribution package that owns a path, None if none does (or there is no package database)."""
        return self.packages.owner(path)

    @property
    def has_packages(self) -> bool:
        return self.packages.known

    def of(self, detector: str, *kinds: str) -> tuple[Sighting, ...]:
        """A detector's sightings, of these kinds only if any are named; in a stable order."""
        return tuple(
            s for s in self.sightings if s.evidence.detector == detector and (not kinds or s.evidence.kind in kinds)
        )

    def finding(
        self,
        rule: Rule,
        *,
        at: Location,
        state: State,
        hidden_by: int | None,
        severity: Severity,
        confidence: Confidence,
        message: str,
        evidence: Iterable[Evidence],
        details: Mapping[str, Json] | None = None,
        related: Iterable[Location] = (),
        identity: Iterable[bytes | str] = (),
    ) -> Finding:
        """A complete finding; `identity` is what tells two findings of one rule at one place apart (never a line or a layer)."""
        return Finding(
            rule_id=rule.id,
            severity=severity,
            confidence=confidence,
            message=message,
            locations=(at, *related),
            evidence=tuple(evidence),
            fingerprint=fingerprint(rule.id, self.target.repository, _lasting(at), *identity),
            state=state,
            hidden_by=hidden_by,
            details=dict(details or {}),
        )


def _lasting(at: Location) -> bytes:
    """What stays of a place from build to build."""
    if isinstance(at, ConfigLocation) and (counted := _COUNTED.fullmatch(at.field)):
        return counted[1].encode()
    return at.display
