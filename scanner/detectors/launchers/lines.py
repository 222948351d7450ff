"""Lines of a text: counted once for many places of it, joined where one ends in a backslash, carried through pieces of it."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

LINE = 1 << 16
"""Characters looked at together: a longer line is read in pieces."""


class Lines:
    """Counts once what would else be counted from the begin for every place."""

    def __init__(self, text: str | bytes) -> None:
        newline = re.compile("\n") if isinstance(text, str) else re.compile(b"\n")
        self._ends = [m.start() for m in newline.finditer(text)]  # type: ignore[arg-type]

    def at(self, offset: int) -> int:
        """The line, from 1, on which the place stands."""
        return bisect_left(self._ends, offset) + 1


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a piece of text stands in its file: from line `first` to `last`, or line by line in `lines`."""

    first: int = 1
    last: int = 1 << 40
    lines: tuple[int, ...] = ()

    def at(self, number: int) -> int:
        """The file's line of the piece's line `number`; the last one for a text that grew."""
        if self.lines:
            return self.lines[min(number, len(self.lines)) - 1]
        return min(self.first + number - 1, self.last)

    def within(self, outer: "Origin") -> "Origin":
        """The same piece, where it was cut from a text that stands at `outer`."""
        if self.lines:
            return Origin(lines=tuple(outer.at(n) for n in self.lines))
        if outer.lines:
            return Origin(lines=outer.lines[self.first - 1 : self.last] or outer.lines[-1:])
        return Origin(outer.at(self.first), outer.at(self.last))


@dataclass(frozen=True, slots=True)
class Script:
    """A piece of shell text that a launch point holds, and where it stands in it."""

    text: str
    origin: Origin = Origin()


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Lines joined where one ends in a backslash, with the number of the first, in pieces of at most LINE characters."""
    joined, begin = "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        begin = begin or number
        line = raw.removesuffix("\r")
        if line.endswith("\\") and len(joined) < LINE:
            joined += line[:-1] + " "
            continue
        whole = joined + line
        for at in range(0, len(whole) or 1, LINE):
            yield begin, whole[at : at + LINE]
        joined, begin = "", 0
    if joined:
        yield begin, joined
