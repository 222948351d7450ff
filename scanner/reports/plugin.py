"""What a report format is: a pure function from a Report to text."""

from collections.abc import Callable
from dataclasses import dataclass

from scanner.model import Report


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How a person looks at it: `width` columns, `color` with ANSI escapes, `verbose` with everything folded away shown."""

    width: int = 80
    color: bool = False
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """`name` as in `-o name`; `suffixes` recognise it from a file's name; `render` gives the whole text, newline at its end."""

    name: str
    summary: str
    suffixes: tuple[str, ...]
    render: Callable[[Report, RenderOptions], str]
