"""Lines for a terminal: words wrapped by the columns they take, labels at the left, styles as ANSI escapes.

Long words fold, they are never cut. What is written must be printable already.
"""

import re
from collections.abc import Iterable

BOLD, DIM, ITALIC = "1", "2", "3"
LABEL = 7
"""Columns that a label has at least."""

Span = tuple[str, str]
"""Words and their style: the parameters of SGR (`1;31`), empty for none."""
Rows = Iterable[tuple[str, str]]
_WORD = re.compile(r"\s*\S+\s*")


class Screen:
    """Collects lines; `text()` is all of them."""

    def __init__(self, width: int, *, color: bool) -> None:
        self.width = width
        self._color = color
        self._lines: list[str] = []

    def blank(self) -> None:
        self._lines.append("")

    def line(self, *spans: Span | str, indent: int = 0, hang: int = 0) -> None:
        """One paragraph. `hang` indents what follows its first line further."""
        parts = [(one, "") if isinstance(one, str) else one for one in spans]
        room = max(self.width - indent - hang, 1)
        for number, (start, end) in enumerate(wrapped("".join(words for words, _ in parts), room)):
            self._lines.append(" " * (indent + hang * (number > 0)) + self._cut(parts, start, end))

    def rows(self, rows: Rows, indent: int, style: str = DIM) -> None:
        """Labels left, text right, as wide as it may be."""
        pairs = list(rows)
        label = max([LABEL, *(width(name) for name, _ in pairs)])
        room = max(self.width - indent - label - 2, 1)
        for name, text in pairs:
            for number, (start, end) in enumerate(wrapped(text, room)):
                shown = name if number == 0 else ""
                space = " " * (label - width(shown) + 2)
                self._lines.append(f"{' ' * indent}{self.styled(shown, style)}{space}{text[start:end].rstrip()}")

    def styled(self, words: str, style: str) -> str:
        return f"\x1b[{style}m{words}\x1b[0m" if self._color and style and words else words

    def raw(self, line: str) -> None:
        """A line that is finished."""
        self._lines.append(line)

    def text(self) -> str:
        return "".join(f"{line.rstrip(' ')}\n" for line in self._lines)

    def _cut(self, parts: list[Span], start: int, end: int) -> str:
        """The styled words from one character to another, without the blanks at their end."""
        shown, at = [], 0
        end = start + len("".join(words for words, _ in parts)[start:end].rstrip())
        for words, style in parts:
            piece = words[max(start - at, 0) : max(end - at, 0)]
            shown.append(self.styled(piece, style))
            at += len(words)
        return "".join(shown)


def width(text: str) -> int:
    """Columns that the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrapped(text: str, room: int) -> list[tuple[int, int]]:
    """Where each line begins and ends; one line, empty, for no words."""
    if len(text) <= room and text.isascii():
        return [(0, len(text))]
    starts, column = [0], 0
    for found in _WORD.finditer(text):
        word, start = found[0], found.start()
        taken = width(word.rstrip())
        if column + taken <= room:
            column += width(word)
        elif taken <= room:
            if start:
                starts.append(start)
            column = width(word)
        else:
            if start:
                starts.append(start)
            column = 0
            for i, character in enumerate(word.rstrip(), start):
                needed = width(character)
                if column and column + needed > room:
                    starts.append(i)
                    column = 0
                column += needed
            column += width(word) - taken
    return list(zip(starts, [*starts[1:], len(text)], strict=True))
