"""A Dockerfile's text as instructions, each with its lines.

Reference: BuildKit's frontend/dockerfile/parser and instructions; Dockerfile reference, "Format", "Parser directives", "Here-documents".
Where the builder gives up, this reads on and says what is wrong.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from scanner.dockerfile.expansion import with_defaults
from scanner.dockerfile.values import Dockerfile, Heredoc, Instruction, Problem, Stage
from scanner.dockerfile.words import SPACE, unset, words
from scanner.errors import LimitError, ParseError
from scanner.model import printable

LARGEST = 4 << 20
"""Characters of a Dockerfile that are read."""
MOST_INSTRUCTIONS = 20_000
LONGEST_LINE = (64 << 10) - 1
"""Bytes of a line that BuildKit reads (bufio.MaxScanTokenSize)."""
MOST_PROBLEMS = 100

_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\v\f\r ]*=[\t\n\v\f\r ]*(.+)")
_WHITE = re.compile(r"[\t\v\f\r ]+")
_HEREDOC = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*+([^<]*+)")
_STAGE_NAME = re.compile(r"[a-z][a-z0-9\-_.]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHELL = {"RUN", "CMD", "ENTRYPOINT", "SHELL"}
_PAIRS = {"ENV", "LABEL"}
_ONE_WORD = {"MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR"}
_LISTS = {"ADD", "COPY", "EXPOSE", "FROM", "VOLUME"}
_KEYWORDS = _SHELL | _PAIRS | _ONE_WORD | _LISTS | {"ARG", "HEALTHCHECK", "ONBUILD"}
_MAYBE_JSON = _SHELL | {"ADD", "COPY", "VOLUME"}
_WITH_HEREDOCS = {"ADD", "COPY", "RUN"}


def parse(text: str, name: str) -> Dockerfile:
    """The file as data; what a builder would refuse is a Problem and the rest is there. `name` is for messages.

    Raises ParseError (with `name:line`) where there is no instruction at all, and LimitError for a text larger than LARGEST, or with more than
    MOST_INSTRUCTIONS.
    """
    if len(text) > LARGEST:
        raise LimitError(f"{name} is larger than {LARGEST:,} characters, which no Dockerfile is")
    reader = _Reader(text.removeprefix("\ufeff"))
    instructions = list(islice(reader.instructions(), MOST_INSTRUCTIONS + 1))
    if len(instructions) > MOST_INSTRUCTIONS:
        raise LimitError(f"{name} has more than {MOST_INSTRUCTIONS:,} instructions, which no Dockerfile has")
    if not instructions:
        raise ParseError(f"{name}:{max(1, len(reader.lines))}: no instruction in the file; is it a Dockerfile?")
    arguments, stages = _staged(instructions, reader)
    problems = sorted(reader.problems, key=lambda p: p.line)
    return with_defaults(Dockerfile(name, stages, arguments, reader.escape, tuple(problems)))


@dataclass(frozen=True, slots=True)
class _Logical:
    """One instruction's text, joined; `parts` are (offset, line) of what it was joined from."""

    text: str
    line: int
    end_line: int
    parts: tuple[tuple[int, int], ...]


class _Reader:
    """Line by line. `at` is the number of lines that were taken."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        if not self.lines[-1]:
            self.lines.pop()  # the end of the last line begins no other
        self.ends_open = not text.endswith("\n")
        self.at = 0
        self.escape = "\\"
        self.problems: list[Problem] = []

    def say(self, line: int, message: str) -> None:
        if len(self.problems) == MOST_PROBLEMS:
            self.problems.append(Problem(line, "more is wrong from here on, and not listed"))
        elif len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(line, message))

    def _take(self) -> str:
        line = self.lines[self.at]
        self.at += 1
        if len(line) > LONGEST_LINE:
            self.say(self.at, f"a line longer than {LONGEST_LINE:,} bytes, which BuildKit refuses")
        return line

    def instructions(self) -> Iterator[Instruction]:
        self._directives()
        while self.at < len(self.lines):
            logical = self._logical()
            if logical is None:
                continue
            made = self._instruction(logical, logical.text, 0, False)
            if made.keyword in _WITH_HEREDOCS and not made.is_exec and "<<" in logical.text:
                heredocs = self._heredocs(logical)
                made = replace(made, heredocs=heredocs, end_line=self.at)
            yield made

    def _directives(self) -> None:
        """`# escape=`, `# syntax=` and `# check=` at the top, until the first line that is none."""
        seen: set[str] = set()
        for number, raw in enumerate(self.lines, 1):
            line = raw.rstrip("\r").lstrip(SPACE)
            match = _DIRECTIVE.fullmatch(line[1:].strip(SPACE)) if line.startswith("#") else None
            if match is None or (key := match[1].lower()) not in ("escape", "syntax", "check"):
                return
            if key in seen:
                self.say(number, f"the parser directive {key} stands here a second time, which the builder refuses")
                return
            seen.add(key)
            if key == "escape":
                if match[2] in ("\\", "`"):
                    self.escape = match[2]
                else:
                    self.say(number, f"the escape character {printable(match[2], 20)} is none: \\ or ` can be")

    def _continues(self, line: str) -> str | None:
        """The line without its continuation character, None where it has none: one that is itself escaped is none."""
        bare = line.rstrip(" \t")
        if bare.endswith(self.escape) and not bare[:-1].endswith(self.escape):
            return bare[:-1]
        return None

    def _logical(self) -> _Logical | None:
        """The next instruction's text, or None for a comment, an empty line, or nothing but continuations."""
        line = self._take().rstrip("\r").lstrip(SPACE)
        start = self.at
        if not line or line.startswith("#"):
            return None
        pieces, parts, size = [], [(0, start)], 0
        going = self._continues(line)
        pieces.append(line if going is None else going)
        while going is not None and self.at < len(self.lines):
            line = self._take().rstrip("\r")
            stripped = line.lstrip(SPACE)
            if not stripped or stripped.startswith("#"):
                continue
            size += len(pieces[-1])
            parts.append((size, self.at))
            going = self._continues(line)
            pieces.append(line if going is None else going)
        text = "".join(pieces)
        if not text.strip(SPACE):
            return None
        return _Logical(text, start, self.at, tuple(parts))

    def _instruction(self, logical: _Logical, text: str, begin: int, on_build: bool) -> Instruction:
        """`text` is what stands from `begin` on in the logical line."""
        stripped = text.strip(SPACE)
        begin += len(text) - len(text.lstrip(SPACE))
        split = _WHITE.search(stripped)
        keyword = (stripped if split is None else stripped[: split.start()]).upper()
        rest = "" if split is None else stripped[split.end() :]
        flags, skipped = _flags(rest, self.escape)
        value = rest[skipped:].strip(SPACE)
        at = begin + len(stripped) - len(rest) + skipped
        at += len(rest[skipped:]) - len(rest[skipped:].lstrip(SPACE))
        if keyword == "ONBUILD" and value and not on_build:
            return self._instruction(logical, value, at, True)
        say = _Teller(self, logical.line)
        if keyword not in _KEYWORDS:
            say(f"no instruction is called {printable(keyword, 40) or '(nothing)'}")
        elif keyword == "ONBUILD":
            say("ONBUILD needs an instruction other than itself")
        elif not value and keyword not in ("CMD", "ENTRYPOINT", "RUN"):
            say(f"{keyword} says nothing")
        is_exec, words_ = self._words(keyword, value, say)
        parts = tuple((max(0, offset - at), line) for offset, line in logical.parts)
        first = max((i for i, (offset, _) in enumerate(logical.parts) if offset <= at), default=0)
        return Instruction(
            keyword, value, words_, is_exec, flags, (), logical.line, logical.end_line, on_build, parts[first:]
        )

    def _words(self, keyword: str, value: str, say: "_Teller") -> tuple[bool, tuple[str, ...]]:
        if keyword == "HEALTHCHECK":
            kind, _, rest = value.partition(" ") if " " in value else _cut(value)
            exec_words = _json(rest.lstrip(SPACE), say)
            return exec_words is not None, (kind.upper(), *(exec_words or ())) if kind else ()
        if keyword in _MAYBE_JSON:
            exec_words = _json(value, say)
            if exec_words is not None:
                return True, exec_words
        if keyword in _SHELL or not value:
            return False, ()
        if keyword in _LISTS:
            return False, tuple(_WHITE.split(value))
        if keyword == "ARG":
            return False, tuple(_quoted_words(value, self.escape))
        if keyword in _PAIRS:
            return False, self._pairs(keyword, value, say)
        return False, (value,) if keyword in _ONE_WORD else tuple(value.split())

    def _pairs(self, keyword: str, value: str, say: "_Teller") -> tuple[str, ...]:
        found = _quoted_words(value, self.escape)
        if found and "=" not in found[0]:
            halves = _WHITE.split(value, maxsplit=1)
            if len(halves) < 2:
                say(f"{keyword} needs a name and a value")
                return ()
            return (f"{halves[0]}={halves[1]}",)
        for one in found:
            if "=" not in one:
                say(f"{keyword} wants NAME=VALUE, and {printable(one, 40)} has no =")
        return tuple(one for one in found if "=" in one)

    def _heredocs(self, logical: _Logical) -> tuple[Heredoc, ...]:
        try:
            found = words(logical.text, unset, raw_quotes=True, raw_escapes=True, skip_unset=True)
        except (ParseError, LimitError):
            return ()
        made = []
        for one in found:
            try:
                opening = heredoc_of(one)
            except (ParseError, LimitError) as e:
                self.say(logical.line, f"a heredoc that cannot be read: {e}")
                continue
            if opening is None:
                continue
            begin, content = self.at + 1, []
            ended = False
            while self.at < len(self.lines) and not ended:
                line = self._take()
                bare = line.rstrip("\r")
                ended = (bare.lstrip("\t") if opening.chomp else bare) == opening.name
                if not ended:
                    content.append(line + ("\n" if self.at < len(self.lines) or not self.ends_open else ""))
            if not ended:
                self.say(begin - 1, f"the heredoc {printable(opening.name, 40)} has no end")
            made.append(
                replace(opening, content="".join(content), line=begin, end_line=self.at - 1 if ended else self.at)
            )
        return tuple(made)


class _Teller:
    """Says problems of one instruction."""

    def __init__(self, reader: _Reader, line: int) -> None:
        self._reader, self._line = reader, line

    def __call__(self, message: str) -> None:
        self._reader.say(self._line, message)


def heredoc_of(one: str) -> Heredoc | None:
    """What a word such as `<<-"EOF"` opens, None where it opens nothing. Raises ParseError and LimitError."""
    match = _HEREDOC.fullmatch(one)
    if match is None or not match[3]:
        return None
    plain = words(match[3], unset, skip_unset=True)
    if len(plain) != 1:
        return None
    raw = words(match[3], unset, raw_quotes=True, skip_unset=True)
    if len(raw) != 1:
        raise ParseError(f"{printable(one, 40)} is no word")
    quotes = [w.count("'") + w.count('"') for w in (plain[0], raw[0])]
    descriptor = int(match[1][:5]) if match[1] else 0
    return Heredoc(plain[0], "", quotes[0] == quotes[1], bool(match[2]), 0, 0, descriptor)


def _cut(value: str) -> tuple[str, str, str]:
    """At the first white space of any kind."""
    match = _WHITE.search(value)
    return (value, "", "") if match is None else (value[: match.start()], " ", value[match.end() :])


def _json(value: str, say: "_Teller") -> tuple[str, ...] | None:
    """The exec form's words; None for what is no list of strings in JSON, and is a shell form then."""
    if not value.startswith("["):
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(w, str) for w in found):
        say("an exec form may hold strings alone")
        return None
    return tuple(_SURROGATE.sub("\ufffd", w) for w in found)


def _flags(rest: str, escape: str) -> tuple[tuple[tuple[str, str], ...], int]:
    """The `--name=value` words at the beginning, without quotes, and how many characters they take."""
    made: list[tuple[str, str]] = []
    at = 0
    while True:
        while at < len(rest) and rest[at] in " \t\n\v\f\r":
            at += 1
        if not rest.startswith("--", at):
            return tuple(made), at
        word, quote = [], ""
        while at < len(rest) and (quote or rest[at] not in " \t\n\v\f\r"):
            c = rest[at]
            at += 1
            if c == escape:
                word.append(rest[at : at + 1])
                at += 1
            elif c == quote:
                quote = ""
            elif not quote and c in "'\"":
                quote = c
            else:
                word.append(c)
        at = min(at, len(rest))
        text = "".join(word)
        if text == "--":
            return tuple(made), at
        name, equals, value = text[2:].partition("=")
        made.append((name, value if equals else "true"))


def _quoted_words(text: str, escape: str) -> list[str]:
    """Words between white space, quotes kept in place."""
    made: list[str] = []
    word: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        c = text[at]
        at += 1
        if not quote and c in SPACE:
            if word:
                made.append("".join(word))
                word = []
            continue
        if c == escape and quote != "'":
            if at == len(text):
                continue  # an escape at the very end is skipped
            word += [c, text[at]]
            at += 1
            continue
        if c == quote:
            quote = ""
        elif not quote and c in "'\"":
            quote = c
        word.append(c)
    if word:
        made.append("".join(word))
    return made


def _staged(instructions: list[Instruction], reader: _Reader) -> tuple[tuple[Instruction, ...], tuple[Stage, ...]]:
    """Instructions under the FROM they belong to."""
    arguments: list[Instruction] = []
    stages: list[tuple[Stage, list[Instruction]]] = []
    for one in instructions:
        if one.keyword == "FROM" and not one.on_build:
            stages.append((_stage(one, reader), []))
        elif stages:
            stages[-1][1].append(one)
        elif one.keyword == "ARG":
            arguments.append(one)
        else:
            reader.say(one.line, f"{printable(one.keyword, 40)} stands before any FROM")
            stages.append((Stage("", "", None, None, (), one.line, one.line), [one]))
    if not stages:
        reader.say(instructions[-1].end_line, "there is no FROM, so nothing is built")
    return tuple(arguments), tuple(replace(stage, instructions=tuple(own)) for stage, own in stages)


def _stage(one: Instruction, reader: _Reader) -> Stage:
    base = one.words[0] if one.words else ""
    name = None
    if len(one.words) == 3 and one.words[1].lower() == "as":
        name = one.words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            reader.say(one.line, f"{printable(name, 40)} cannot be a stage's name")
    elif len(one.words) > 1:
        reader.say(one.line, "FROM wants one image, or IMAGE AS NAME")
    return Stage(base, base, name, one.flag("platform"), (), one.line, one.end_line)
