"""Words and variables as the builder reads them.

Reference: BuildKit's frontend/dockerfile/shell (a lexer of its own, no shell), Dockerfile reference, "Environment replacement".
"""

from collections.abc import Callable

from scanner.errors import LimitError, ParseError

SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""White space as Go's unicode.IsSpace has it; Python's str.isspace knows four more."""
LONGEST = 64 << 10
"""Characters of one expanded value."""
DEEPEST = 40
"""Expansions within each other."""
MOST_WORK = 2_000_000
"""Steps that matching the patterns of one file may take."""
_SPECIAL = "@*#?-$!0"

Lookup = Callable[[str], str | None]


class Work:
    """What the patterns of one file may cost together: `left` in steps."""

    def __init__(self) -> None:
        self.left = MOST_WORK

    def take(self, steps: int) -> None:
        """Raises LimitError where nothing is left."""
        self.left -= steps
        if self.left < 0:
            raise LimitError("patterns and values take too long to match")


def word(text: str, lookup: Lookup, escape: str = "\\", *, quotes: bool = True, work: Work | None = None) -> str:
    """The text with variables replaced and quotes removed, spaces kept: one value. Raises ParseError and LimitError.

    Without `quotes` they are characters like any other, as in a here-document. `work` is shared by all texts of a file.
    """
    return _Lexer(text, lookup, escape, quotes=quotes, work=work).run()[0]


def words(
    text: str,
    lookup: Lookup,
    escape: str = "\\",
    *,
    raw_quotes: bool = False,
    raw_escapes: bool = False,
    skip_unset: bool = False,
    work: Work | None = None,
) -> list[str]:
    """The text split at white space after variables were replaced. Raises ParseError and LimitError."""
    return _Lexer(text, lookup, escape, raw_quotes, raw_escapes, skip_unset, work=work).run()[1]


def unset(_: str) -> None:
    """A lookup that knows no variable."""


class _Words:
    """Words in the making. `buffer` is that of the whole text: what stands before a substitution that holds words of its own is
    lost for the word around it, as in the builder."""

    def __init__(self, buffer: list[str]) -> None:
        buffer.clear()
        self._buffer = buffer
        self._done: list[str] = []
        self._inside = False

    def add(self, text: str) -> None:
        for c in text:
            if c not in SPACE:
                self.raw(c)
            elif self._inside and self._buffer:
                self._end()
                self._inside = False

    def raw(self, text: str) -> None:
        if text:
            self._buffer.append(text)
        self._inside = True

    def done(self) -> list[str]:
        if self._buffer:
            self._end()
        return self._done

    def _end(self) -> None:
        self._done.append("".join(self._buffer))
        self._buffer.clear()


class _Lexer:
    def __init__(
        self,
        text: str,
        lookup: Lookup,
        escape: str,
        raw_quotes: bool = False,
        raw_escapes: bool = False,
        skip_unset: bool = False,
        quotes: bool = True,
        work: Work | None = None,
    ) -> None:
        self._text, self._lookup, self._escape = text, lookup, escape
        self._work = work or Work()
        self._special = "'\"<" if quotes else "<"
        self._raw_quotes, self._raw_escapes, self._skip_unset = raw_quotes, raw_escapes, skip_unset
        self._at = self._depth = self._made = 0
        self._buffer: list[str] = []

    def run(self) -> tuple[str, list[str]]:
        return self._until("", self._raw_escapes)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        c = self._peek()
        self._at += 1
        return c

    def _until(self, stop: str, raw_escapes: bool) -> tuple[str, list[str]]:
        """Up to `stop`, which is taken; to the end where it is empty."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise LimitError(f"more than {DEEPEST} expansions within each other")
        result: list[str] = []
        found = _Words(self._buffer)
        while c := self._peek():
            if stop and c == stop:
                self._at += 1
                break
            if c == "$":
                value = self._dollar()
                found.add(value)
            elif c in self._special:
                value = (
                    self._single() if c == "'" else self._double(raw_escapes) if c == '"' else self._perhaps_heredoc()
                )
                found.raw(value)
            else:
                self._at += 1
                value = c
                if c == self._escape:
                    following = self._next()
                    value = c + following if raw_escapes else following
                    found.raw(value)
                else:
                    found.add(c)
            result.append(value)
        else:
            if stop:
                raise ParseError(f"{stop} is missing")
        self._depth -= 1
        return "".join(result), found.done()

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise ParseError("a single quote is not closed")
        inner = self._text[self._at + 1 : end]
        self._at = end + 1
        return f"'{inner}'" if self._raw_quotes else inner

    def _double(self, raw_escapes: bool) -> str:
        self._at += 1
        result = ['"'] if self._raw_quotes else []
        while (c := self._peek()) != '"':
            if not c:
                raise ParseError("a double quote is not closed")
            if c == "$":
                result.append(self._dollar())
                continue
            self._at += 1
            if c == self._escape:
                if raw_escapes:
                    result.append(c)
                following = self._peek()
                if not following:
                    continue
                if following in ('"', "$", self._escape):
                    c = self._next()
            result.append(c)
        self._at += 1
        return "".join([*result, '"'] if self._raw_quotes else result)

    def _perhaps_heredoc(self) -> str:
        self._at += 1
        if self._peek() != "<":
            return "<"
        begin = self._at
        self._at += 1
        while self._peek() and self._peek() in "\t\r ":
            self._at += 1
        return "<" + self._text[begin : self._at]

    def _name(self) -> str:
        first = self._peek()
        begin = self._at
        if first.isdigit():
            while self._peek().isdigit():
                self._at += 1
        elif first and first in _SPECIAL:
            self._at += 1
        else:
            while (c := self._peek()) and (c == "_" or c.isalnum()):
                self._at += 1
        return self._text[begin : self._at]

    def _dollar(self) -> str:
        value = self._variable()
        self._made += len(value)
        if self._made > LONGEST:
            raise LimitError(f"a value longer than {LONGEST:,} characters")
        return value

    def _variable(self) -> str:
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._lookup(name)
            return value if value is not None else f"${name}" if self._skip_unset else ""
        self._at += 1
        if self._peek() in ("", "{", "}", ":"):
            raise ParseError("a substitution that is none follows ${")
        name = self._name()
        value = self._lookup(name)
        kept = self._skip_unset and value is None
        modifier = self._next()
        if modifier == "}":
            return f"${{{name}}}" if kept else value or ""
        if modifier == "/":
            return self._replaced(name, value, kept)
        colon = modifier == ":"
        if colon:
            modifier = self._next()
        if modifier not in ("+", "-", "?", "#", "%") or (colon and modifier in "#%"):
            raise ParseError(f"${{{name} has a modifier that no builder knows")
        inner, _ = self._until("}", modifier in "#%")
        if kept:
            return f"${{{name}{':' if colon else ''}{modifier}{inner}}}"
        absent = value is None or (colon and not value)
        if modifier == "-":
            return inner if absent else value or ""
        if modifier == "+":
            return "" if absent else inner
        if modifier == "?":
            if absent:
                raise ParseError(f"{name}: {inner or 'is not set'}")
            return value or ""
        longest = inner[:1] == modifier
        return _trimmed(value or "", inner[longest:], longest, modifier == "%", self._work)

    def _replaced(self, name: str, value: str | None, kept: bool) -> str:
        every = self._peek() == "/"
        self._at += every
        pattern, _ = self._until("/", True)
        by, _ = self._until("}", True)
        if kept:
            return f"${{{name}/{pattern}/{by}}}"
        return _substituted(value or "", _pattern(pattern), by, every, self._work)


_ANY, _ONE = object(), object()


def _pattern(text: str) -> list[object]:
    """A shell pattern's characters, with `*` and `?` as marks; without brackets, as the builder has it."""
    made: list[object] = []
    at = 0
    while at < len(text):
        c = text[at]
        at += 1
        if c == "\\":
            following = text[at : at + 1]
            if following not in ("}", "/", "*", "?", "\\") or not following:
                raise ParseError(f"\\{following} in a pattern escapes nothing")
            made.append(following)
            at += 1
        elif c == "*":
            if not made or made[-1] is not _ANY:
                made.append(_ANY)
        else:
            made.append(_ONE if c == "?" else c)
    return made


def _end(pattern: list[object], text: str, begin: int, longest: bool, work: Work) -> int:
    """Where a match that begins at `begin` ends, -1 where there is none. All states at once, so that no pattern explodes."""
    states, end = _closure(pattern, {0}), -1
    for at in range(begin, len(text) + 1):
        if len(pattern) in states:
            end = at
            if not longest:
                break
        if at == len(text) or not states:
            break
        work.take(len(states))
        c, following = text[at], set()
        for state in states:
            if state == len(pattern):
                continue
            wanted = pattern[state]
            if wanted is _ANY:
                if c != "\n":
                    following.add(state)
            elif wanted == c or (wanted is _ONE and c != "\n"):
                following.add(state + 1)
        states = _closure(pattern, following)
    return end


def _closure(pattern: list[object], states: set[int]) -> set[int]:
    return states | {s + 1 for s in states if s < len(pattern) and pattern[s] is _ANY}


def _trimmed(value: str, text: str, longest: bool, at_end: bool, work: Work) -> str:
    pattern = _pattern(text)
    if at_end:
        end = _end(pattern[::-1], value[::-1], 0, longest, work)
        return value[: len(value) - end] if end >= 0 else value
    end = _end(pattern, value, 0, longest, work)
    return value[end:] if end >= 0 else value


def _substituted(value: str, pattern: list[object], by: str, every: bool, work: Work) -> str:
    made: list[str] = []
    at = size = copied = 0
    last = -1
    while at <= len(value):
        work.take(1)
        end = _end(pattern, value, at, True, work)
        if end < 0 or (end == at == last):
            at += 1
            continue
        made += [value[copied:at], by]
        size += at - copied + len(by)
        if size > LONGEST:
            raise LimitError(f"a value longer than {LONGEST:,} characters")
        copied = last = end
        at = end if end > at else at + 1
        if not every:
            break
    return "".join([*made, value[copied:]])
