"""Evidence: what was seen in one file of one layer. And notifications: what could not be seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
"""What a fact may be: JSON, because evidence is cached with its layer and printed in reports."""


@dataclass(frozen=True, slots=True)
class Context:
    """The bytes around what was seen: `data` begins at `start` (bytes) in the innermost file. At most 160 bytes, secrets masked
    with `*`, so that an offset keeps its place."""

    start: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation, true of the file whatever image it lies in.

    `detector` found it; `kind` is its class (for miners: protocol, algorithm, options, pool, wallet, symbols, …):
    confidence is earned by *different* kinds. `path` is the file in the layer, `inner` the way into archives inside
    it, outermost first. `offset` (bytes) and `line` (from 1) say where in that innermost file. `excerpt` is what was
    seen, already safe to print. `context` is what stands around it, where it was kept.
    """

    detector: str
    kind: str
    path: bytes
    inner: tuple[bytes, ...] = ()
    offset: int | None = None
    line: int | None = None
    excerpt: str = ""
    facts: Mapping[str, Json] = field(default_factory=dict)
    context: Context | None = None


class Level(StrEnum):
    """A note informs; a warning or an error means that something was not read and the report is incomplete."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Notification:
    """A skip is data: `stage` that could not go on (source, layer, content, rules, detector), what and where.

    `path` is the file concerned (with `inner` where it lies in an archive), `layer` the layer's index; each None where
    the whole target is meant. `count` folds many of the same kind into one.
    """

    stage: str
    level: Level
    message: str
    path: bytes | None = None
    inner: tuple[bytes, ...] = ()
    layer: int | None = None
    count: int = 1

    @property
    def incomplete(self) -> bool:
        return self.level is not Level.NOTE
