"""Shell text taken apart, not yet understood: statements as they are written, and here-documents put aside.

Two readers make statements of a text: one that knows the grammar (bash.py), one that goes by lines (linewise.py).
Grammar: POSIX.1-2024, 2.10; bash(1).
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

OPEN, CLOSE = "\ue000", "\ue001"
"""Around the number of a stream, where a word takes another command's output or a here-document: private-use characters.

A text that holds them itself can only name its own streams.
"""
_HERE = re.compile(
    r"""(?<![<\d])\d?<<(?P<tabs>-?)[ \t]*(?:\\?(?P<plain>[A-Za-z_!%+][\w.!%+-]{0,99})|'(?P<single>[^'\n]{1,99})'|"(?P<double>[^"\n]{1,99})")"""
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One simple command as written: assignments and words with their quotes, redirections as (operator, target).

    `source` is the number of the stream it reads, `sink` of the one it writes, 0 for none; `function` the innermost
    one in whose body it stands. Lines count from 1.
    """

    words: tuple[str, ...]
    line: int
    last: int
    redirects: tuple[tuple[str, str], ...] = ()
    source: int = 0
    sink: int = 0
    background: bool = False
    function: str = ""


@dataclass(frozen=True, slots=True)
class Here:
    """A here-document: its text, the line of the text on which it begins, and whether variables are put in."""

    text: str
    line: int
    expands: bool


Parse = Callable[[str, Iterator[int]], Sequence[Statement]]
"""Text to statements; the numbers are those of streams not yet used."""


def stream(number: int, kind: str = "") -> str:
    """The word that stands for a stream; kind `<` or `>` for one that is passed as a file."""
    return f"{OPEN}{kind}{number}{CLOSE}"


def heredocs(text: str, ids: Iterator[int]) -> tuple[str, dict[int, Here]]:
    """The text with each here-document blanked and a file of its stream's name in its stead, so that lines keep their numbers.

    One whose end does not come is left: then it was none. Linear in the text.
    """
    if "<<" not in text:
        return text, {}
    lines = text.split("\n")
    ends: dict[str, list[int]] = {}
    tabbed: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        if len(line) <= 200:
            bare = line.rstrip("\r")
            ends.setdefault(bare, []).append(number)
            tabbed.setdefault(bare.lstrip("\t"), []).append(number)
    found: dict[int, Here] = {}
    number = 0
    while number < len(lines):
        line = lines[number]
        if "<<" not in line or line.lstrip().startswith("#"):
            number += 1
            continue
        body = number + 1
        while body < len(lines) and lines[body - 1].rstrip("\r").endswith("\\"):
            body += 1
        pieces, at = [], 0
        for start in _HERE.finditer(line):
            word = start["plain"] or start["single"] or start["double"]
            places = (tabbed if start["tabs"] else ends).get(word, ())
            index = bisect_right(places, body - 1)
            if index == len(places):
                continue
            end = places[index]
            inside = lines[body:end]
            if start["tabs"]:
                inside = [one.lstrip("\t") for one in inside]
            key = next(ids)
            expands = start["plain"] is not None and "\\" not in start.group()
            found[key] = Here("\n".join(inside) + "\n", body + 1, expands)
            lines[body : end + 1] = [""] * (end + 1 - body)
            pieces.append(line[at : start.start()] + "<" + stream(key))
            at, body = start.end(), end + 1
        if pieces:
            lines[number] = "".join(pieces) + line[at:]
        number = max(number + 1, body) if pieces else number + 1
    return "\n".join(lines), found
