"""What a report format is: a pure function from a Report to text."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from scanner.model import Report


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How a person looks at it: `width` columns, `color` with ANSI escapes, `verbose` with everything folded away shown.

    `explain` `allow` shows every path of a launch's sandboxes, `deny` every barrier; None the worst paths.
    """

    width: int = 80
    color: bool = False
    verbose: bool = False
    explain: str | None = None


class Part(StrEnum):
    """What not every report has: LAUNCH what the sandboxes of a launch reach."""

    LAUNCH = "launch"


@dataclass(frozen=True, slots=True)
class Format:
    """`name` as in `-o name`; `suffixes` recognise it from a file's name; `render` gives the whole text, newline at its end.

    `draws`: one of these must be there, for it shows nothing else; `render` raises UsageError for a report without. Empty:
    it takes any report.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...]
    render: Callable[[Report, RenderOptions], str]
    draws: frozenset[Part] = frozenset()
