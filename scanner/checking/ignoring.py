"""What `.dockerignore` keeps out of a build's context, so that no COPY, ADD or mount of it sees the file.

`NAME.dockerignore` beside a Dockerfile counts instead of the context's `.dockerignore`. References: Docker's manual, Build context,
".dockerignore files"; how lines are read and matched is that of github.com/moby/patternmatcher (MatchesUsingParentResults), which BuildKit
uses: patterns count in order, the last one that matches decides, what matches a folder matches all that lies in it, and an exception (`!`) is
only asked of what is left out so far. A file that this does not follow leaves nothing out: then more is judged than is built, never less.
"""

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from scanner.errors import LimitError, ParseError
from scanner.model import Level, Notification, printable

NAME = ".dockerignore"
WORK = 4_000_000
"""Steps that all these files of a repository may take together, to be read and to be asked."""
LONGEST = 64 << 10
"""Bytes of a line that the builder reads (bufio.MaxScanTokenSize)."""
_SPACE = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What Go's unicode.IsSpace takes off."""


class Work:
    """What is left of the work for one repository. `spend` raises LimitError once it is used up."""

    def __init__(self, steps: int = WORK) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise LimitError("too many patterns for so many files")


# ---- patterns


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a pattern: `kind` is text, one (`?`), class, star (`*`), deep (`**` before more) or rest (`**` at the end). The characters of a
    class are `ranges`, or all others."""

    kind: str
    text: str = ""
    ranges: tuple[tuple[str, str], ...] = ()
    others: bool = False


@dataclass(frozen=True, slots=True)
class _Pattern:
    """`how` it is compared: whole, begin, end, or by its pieces."""

    exception: bool
    how: str
    text: str
    pieces: tuple[_Piece, ...] = ()

    def matches(self, path: "_Path", work: Work) -> bool:
        work.spend(1)
        if self.how == "whole":
            return path.text == self.text
        if self.how == "begin":
            return path.text.startswith(self.text)
        if self.how == "end":
            return path.text.endswith(self.text) or (self.text[:1] == "/" and path.text == self.text[1:])
        return all(p.text in path.text for p in self.pieces) and path.matched(self.pieces, work)


class _Path:
    """A path whose places are the bits of a number: which of them a pattern reaches takes as many steps as it has characters, whatever
    its wildcards."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _at(self) -> dict[str, int]:
        """The places of each character."""
        found: dict[str, int] = {}
        for place, character in enumerate(self.text):
            found[character] = found.get(character, 0) | 1 << place
        return found

    def matched(self, pieces: tuple[_Piece, ...], work: Work) -> bool:
        every = (1 << len(self.text)) - 1
        slashes = self._at.get("/", 0)
        inside, line = every & ~slashes, every & ~self._at.get("\n", 0)
        reached = 1
        for piece in pieces:
            work.spend(max(1, len(piece.text)) * (1 + len(self.text) // 256))
            if piece.kind == "text":
                for character in piece.text:
                    reached = (reached & self._at.get(character, 0)) << 1
            elif piece.kind == "one":
                reached = (reached & inside) << 1
            elif piece.kind == "class":
                reached = (reached & self._of(piece, every)) << 1
            elif piece.kind == "star":
                reached = _through(reached, inside)
            elif piece.kind == "deep":
                reached |= (_through(reached, line) & slashes) << 1
            else:
                reached = _through(reached, line)
            if not reached:
                return False
        return bool(reached >> len(self.text) & 1)

    def _of(self, piece: _Piece, every: int) -> int:
        found = 0
        for character, places in self._at.items():
            if any(a <= character <= b for a, b in piece.ranges):
                found |= places
        return every & ~found if piece.others else found


def _through(reached: int, over: int) -> int:
    """The places that are reached, and those that are reached from them over any number of such characters: the carry runs through them."""
    return ((over + (reached & over)) ^ over) | reached


def _pattern(line: str, number: int) -> _Pattern | None:
    """A line as the builder reads it; None for one that says nothing. Raises ParseError for one that is not followed."""
    if line.startswith("#"):
        return None
    text = line.strip(_SPACE)
    exception = text.startswith("!")
    if exception:
        text = text[1:].strip(_SPACE)
        if not text:
            raise ParseError(f"line {number}: a ! alone, which the builder refuses")
    if not text:
        return None
    text = posixpath.normpath(text)
    if text.startswith("//"):  # what POSIX leaves open and Go does not
        text = text[1:]
    if len(text) > 1:
        text = text.removeprefix("/")
    pieces = tuple(_pieces(text, number))
    if all(p.kind == "text" for p in pieces) and "\\" not in text:
        return _Pattern(exception, "whole", text)
    if [p.kind for p in pieces] in (["rest"], ["text", "rest"]) and not set(text) & set("\\[]"):
        return _Pattern(exception, "begin", text[:-2])
    if [p.kind for p in pieces] == ["deep", "text"] and not set(text) & set("\\[]"):
        return _Pattern(
            exception, "end", text[2:]
        )  # without the folder that `**` else ends with: `**.log` is `x.log` too
    return _Pattern(exception, "pieces", text, pieces)


_TOKEN = re.compile(
    r"(?P<deep>\*\*/?)|(?P<star>\*)|(?P<one>\?)|\\(?P<escaped>.)|(?P<class>\[(?:\\.|[^\]\\])+\])|(?P<text>[^*?\\\[]+)|(?P<other>.)",
    re.DOTALL,
)
_MEMBER = re.compile(r"(\\.|[^\\])(?:-(\\.|[^\\]))?", re.DOTALL)


def _pieces(text: str, number: int) -> Iterator[_Piece]:
    """The parts of a pattern, text in one piece. Raises ParseError for what is no pattern, or means something else to each of its readers."""
    said = ""
    wild = any(c in text for c in "*?[]\\")
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "text" and not (wild and "^" in token.group()):
            said += token.group()
        elif kind == "escaped" and not token["escaped"].isalnum():
            said += token["escaped"]
        elif kind in ("text", "escaped", "other"):
            raise ParseError(f"line {number}: {printable(text, 60)!r} is no pattern that is followed")
        else:
            if said:
                yield _Piece("text", said)
                said = ""
            if kind == "class":
                yield _class(token.group()[1:-1], text, number)
            elif kind == "deep":
                yield _Piece("deep" if token.end() < len(text) else "rest")
            else:
                yield _Piece(str(kind))
    if said:
        yield _Piece("text", said)


def _class(inside: str, text: str, number: int) -> _Piece:
    others = inside.startswith("^")
    ranges = []
    for member in _MEMBER.finditer(inside[others:]):
        first, last = (part and part[-1] for part in member.groups())
        if any(part and len(part) > 1 and part[-1].isalnum() for part in member.groups()) or "[" in member.group():
            raise ParseError(f"line {number}: {printable(text, 60)!r} is no pattern that is followed")
        ranges.append((first, last or first))
    if not ranges or any(a > b for a, b in ranges):
        raise ParseError(f"line {number}: {printable(text, 60)!r} is no pattern that is followed")
    return _Piece("class", "", tuple(ranges), others)


# ---- files


@dataclass
class Ignored:
    """One file's patterns, asked by paths in the context."""

    patterns: tuple[_Pattern, ...]
    work: Work
    _folders: dict[str, int] = field(default_factory=dict)

    def leaves_out(self, path: str) -> bool:
        """Whether the builder never sees the file. Raises LimitError."""
        above = 0
        parts = path.split("/")
        for count in range(1, len(parts)):
            folder = "/".join(parts[:count])
            if folder not in self._folders:
                self._folders[folder] = self._told(folder, above)[1]
            above = self._folders[folder]
        return self._told(path, above)[0]

    def leaves_all_out(self, path: str) -> bool:
        """The same of a file or a folder that may not be there: also nothing that could lie in it. Raises LimitError."""
        return self.leaves_out(path) and not any(
            p.exception and (p.how != "whole" or p.text.startswith(f"{path}/")) for p in self.patterns
        )

    def _told(self, path: str, above: int) -> tuple[bool, int]:
        """Whether it is left out, and which patterns match it (as bits), given those that match the folder that it lies in."""
        out, matched = False, 0
        asked = _Path(path)
        for number, pattern in enumerate(self.patterns):
            if above >> number & 1 or (pattern.exception == out and pattern.matches(asked, self.work)):
                matched |= 1 << number
                out = not pattern.exception
        return out, matched


def read(data: bytes, work: Work) -> Ignored:
    """The patterns of a file. Raises ParseError (with the line) for one that is not followed, LimitError."""
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as e:
        raise ParseError("no text in UTF-8") from e
    patterns = []
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LONGEST:
            raise ParseError(f"line {number} is longer than the builder reads")
        work.spend(1 + len(line) // 16)
        pattern = _pattern(line, number)
        if pattern is not None:
            patterns.append(pattern)
    return Ignored(tuple(patterns), work)


class Ignores:
    """The files of a repository that leave something out, each read when a build is the first to ask for it."""

    def __init__(self, texts: Mapping[str, bytes], notes: list[Notification]) -> None:
        self._texts, self._notes = texts, notes
        self._work = Work()
        self._read: dict[str, Ignored | None] = {}

    def leaves_out(self, context: str, dockerfile: str, name: str, *, all_below: bool = False) -> bool:
        """Whether a file of the repository is kept out of the context when this Dockerfile is built; `all_below` also all that a folder holds."""
        own = f"{dockerfile}{NAME}"
        path = own if own in self._texts else posixpath.join(context, NAME)
        ignored = self._of(path) if path in self._texts else None
        inner = name[len(context) + 1 :] if context else name
        if ignored is None or not inner:
            return False
        try:
            return ignored.leaves_all_out(inner) if all_below else ignored.leaves_out(inner)
        except LimitError as e:
            self._tell(path, str(e))
            return False

    def _of(self, path: str) -> Ignored | None:
        if path not in self._read:
            try:
                self._read[path] = read(self._texts[path], self._work)
            except (ParseError, LimitError) as e:
                self._tell(path, str(e))
        return self._read[path]

    def _tell(self, path: str, why: str) -> None:
        self._read[path] = None
        message = f"{why}: what it leaves out of a build is judged as if it were copied"
        self._notes.append(Notification("source", Level.NOTE, message, os.fsencode(path)))
