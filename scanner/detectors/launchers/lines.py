"""Lines of a text, asked for many places of it."""

import re
from bisect import bisect_left


class Lines:
    """Counts once what would else be counted from the begin for every place."""

    def __init__(self, text: str | bytes) -> None:
        newline = re.compile("\n") if isinstance(text, str) else re.compile(b"\n")
        self._ends = [m.start() for m in newline.finditer(text)]  # type: ignore[arg-type]

    def at(self, offset: int) -> int:
        """The line, from 1, on which the place stands."""
        return bisect_left(self._ends, offset) + 1
