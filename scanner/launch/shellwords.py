"""Shell text as far as a launch needs it: which programs it starts with which words. Nothing of it is ever run.

Words are expanded as POSIX sh and bash do it (quotes, `VAR=value`, arrays, `${VAR:-default}`, word splitting) from what the
same text assigns. What only a run can tell (`$(…)`, unset variables, values that depend on a condition) stays in the word as
it is written and is named in `Word.unknown`.
"""

import posixpath
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from scanner.errors import LimitError, ParseError
from scanner.model import printable
from scanner.model.launch import Place

NESTED = 20
"""Substitutions, defaults and quoted commands within each other."""
LONGEST = 1 << 20
"""Characters of one expanded command."""
COMMANDS = 50_000
WORDS = 200_000
TEXT = 4 << 20
"""Characters of a text, of which no script of commands that start containers has as many."""
ELEMENTS = 5_000
"""Of one array."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_BRACED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])(\[[@*0-9]{1,9}\])?(:?[-=+?])?")
_SPECIAL = "@*#?$!-0123456789"
_OPERATOR = re.compile(r"\|\||&&|;;&|;;|;&|\|&|&>>|&>|<<<|<<-|<<|<>|<&|>>|>&|>\||[;&|()<>]")
_OPENERS = frozenset(("if", "while", "until", "for", "select", "case"))
_CLOSERS = frozenset(("fi", "done", "esac"))
_SKIPPED = frozenset(("then", "else", "elif", "do", "!", "time", "coproc"))
_DECLARES = frozenset(("export", "declare", "local", "readonly", "typeset"))
_HERE = re.compile(
    r"""\s*(?:cd\s+(?:--\s+)?)?"?(?:\$\(\s*|`)?(?:dirname|readlink\s+-f|realpath)\s+(?:--\s+)?"?(?:\$\(\s*(?:readlink\s+-f|realpath)\s+"?)?
    (?:\$0|\$\{0\}|\$\{?BASH_SOURCE(?:\[0\]\})?\}?|\$\{BASH_SOURCE(?:\[0\])?:-\$0\})"?\s*\)?"?\s*\)?"?
    (?P<up>(?:/\.\.)*)"?\s*(?:>\s*/dev/null(?:\s+2>&1)?\s*)?(?:&&\s*pwd(?:\s+-P)?)?\s*""",
    re.VERBOSE,
)
"""The folder that the script lies in, as scripts find it."""
_WORKING = re.compile(r"\s*(?:pwd(?:\s+-[PL])?|git\s+rev-parse\s+--show-toplevel|realpath\s+\.)\s*")


@dataclass(frozen=True, slots=True)
class Word:
    """One word as the program gets it. `unknown` names what of it only a run can tell (`NET`, `$(id -u)`).

    `loose`: all of it is unknown and it stood without quotes, so that it may be any number of words.
    """

    text: str
    place: Place
    unknown: tuple[str, ...] = ()
    loose: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    kind: Literal["text", "variable", "command", "array", "opaque"]
    text: str
    at: int
    quoted: bool
    operator: str = ""
    index: str = ""
    inner: "tuple[_Part, ...] | tuple[_Lexed, ...]" = ()
    end: int = 0


@dataclass(frozen=True, slots=True)
class _Lexed:
    """A word before its expansion."""

    parts: tuple[_Part, ...]
    at: int

    @property
    def plain(self) -> str | None:
        """Its text, if nothing of it is quoted or expanded."""
        if len(self.parts) == 1 and self.parts[0].kind == "text" and not self.parts[0].quoted:
            return self.parts[0].text
        return None


@dataclass(frozen=True, slots=True)
class _Value:
    words: tuple[Word, ...]
    array: bool = False


class _Text:
    """A text with the places of its characters; a nested one begins where it stands in the outer."""

    def __init__(self, text: str, file: str, line: int = 1, column: int = 1) -> None:
        self.text, self.file, self._line, self._column = text, file, line, column
        self.words = 0
        self._starts: list[int] | None = None

    def place(self, at: int) -> Place:
        if self._starts is None:
            self._starts = [0, *(found.end() for found in re.finditer("\n", self.text))]
        row = bisect_right(self._starts, at) - 1
        column = at - self._starts[row] + (self._column if row == 0 else 1)
        return Place(self.file, self._line + row, column)

    def error(self, at: int, what: str) -> ParseError:
        return ParseError(f"{self.place(at)}: {what}")


# ---- words


class _Lexer:
    """Words and operators of a part of a text. A newline is the operator `\\n`."""

    def __init__(self, source: _Text, start: int, end: int, depth: int) -> None:
        self.source, self.text, self.at, self.end, self.depth = source, source.text, start, end, depth
        self.heredocs: list[tuple[str, bool]] = []
        if depth > NESTED:
            raise LimitError(f"{source.place(start)}: more than {NESTED} commands within each other")

    def tokens(self) -> "Iterator[tuple[str, int] | _Lexed]":
        text, end = self.text, self.end
        fresh = True  # a comment may begin here
        while self.at < end:
            char = text[self.at]
            if char == "\n":
                yield "\n", self.at
                self.at += 1
                fresh = True
                if self.heredocs:
                    self._skip_heredocs()
            elif char in " \t\r":
                self.at += 1
                fresh = True
            elif char == "\\" and text[self.at + 1 : self.at + 2] == "\n":
                self.at += 2
            elif char == "\\" and text[self.at + 1 : self.at + 3] == "\r\n":
                self.at += 3
            elif char == "#" and fresh:
                newline = text.find("\n", self.at, end)
                self.at = end if newline < 0 else newline
            elif (found := _OPERATOR.match(text, self.at, end)) is not None:
                if not self._redirection(found):
                    yield found.group(), found.start()
                    self.at = found.end()
                fresh = True
            else:
                word = self._word()
                if text[self.at : self.at + 1] in ("<", ">") and word.plain is not None and word.plain.isdigit():
                    continue  # `2>file`: the number of a descriptor
                yield word
                fresh = False

    def _redirection(self, found: re.Match[str]) -> bool:
        """Skip a redirection and what it names; a here-document's body is skipped with its line."""
        sign = found.group()
        if sign[0] not in "<>" and sign not in ("&>", "&>>"):
            return False
        if sign in ("<", ">") and self.text[found.end() : found.end() + 1] == "(":  # process substitution
            self.at = self._closing(found.end() + 1, found.start()) + 1
            return True
        self.at = found.end()
        while self.at < self.end and self.text[self.at] in " \t":
            self.at += 1
        if self.at >= self.end or self.text[self.at] in "\r\n":
            return True
        start = self.at
        if sign in ("<<", "<<-"):
            self._word()
            raw = self.text[start : self.at]
            self.heredocs.append((re.sub(r"[\\'\"]", "", raw), sign == "<<-"))
        elif _OPERATOR.match(self.text, self.at) is None:
            self._word()
        return True

    def _skip_heredocs(self) -> None:
        for delimiter, tabs in self.heredocs:
            while self.at < self.end:
                newline = self.text.find("\n", self.at, self.end)
                stop = self.end if newline < 0 else newline
                line = self.text[self.at : stop].rstrip("\r")
                self.at = min(stop + 1, self.end)
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
        self.heredocs = []

    def _word(self) -> _Lexed:
        start, parts = self.at, list[_Part]()
        self.source.words += 1
        if self.source.words > WORDS:
            raise LimitError(f"{self.source.place(start)}: more than {WORDS:,} words")
        plain: list[str] = []
        plain_at = self.at

        def flush() -> None:
            nonlocal plain
            if plain:
                parts.append(_Part("text", "".join(plain), plain_at, False))
                plain = []

        while self.at < self.end:
            char = self.text[self.at]
            if char in " \t\n\r;&|<>)":
                break
            if not plain:
                plain_at = self.at
            if char == "(":
                if parts or not _ASSIGNMENT.fullmatch("".join(plain)):
                    break
                flush()
                parts.append(self._array())
            elif char == "\\":
                after = self.text[self.at + 1 : self.at + 2]
                if after == "\n":
                    self.at += 2
                elif after == "\r" and self.text[self.at + 2 : self.at + 3] == "\n":
                    self.at += 3
                else:
                    flush()
                    parts.append(_Part("text", after, self.at, True))
                    self.at += 2
            elif char == "'":
                flush()
                parts.append(self._single(self.at + 1))
            elif char == '"':
                flush()
                self.at += 1
                parts += self._double('"', start)
                self.at += 1
            elif char == "$" and self.text[self.at + 1 : self.at + 2] == "'":
                flush()
                parts.append(self._ansi())
            elif char == "$" and self.text[self.at + 1 : self.at + 2] == '"':
                flush()
                self.at += 2
                parts += self._double('"', start)
                self.at += 1
            elif char in "$`":
                flush()
                parts.append(self._expansion(False))
            else:
                plain.append(char)
                self.at += 1
        flush()
        if self.at == start:  # a bracket that closes nothing
            self.at += 1
            parts.append(_Part("text", self.text[start], start, False))
        return _Lexed(tuple(parts), start)

    def _single(self, begin: int) -> _Part:
        close = self.text.find("'", begin, self.end)
        if close < 0:
            raise self.source.error(begin - 1, "a quote ' is never closed")
        part = _Part("text", self.text[begin:close], begin, True)
        self.at = close + 1
        return part

    def _ansi(self) -> _Part:
        begin = self.at + 2
        at = begin
        while at < self.end and self.text[at] != "'":
            at += 2 if self.text[at] == "\\" else 1
        if at >= self.end:
            raise self.source.error(begin - 2, "a quote $' is never closed")
        raw = self.text[begin:at]
        self.at = at + 1
        letters = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
        return _Part("text", re.sub(r"\\(.)", lambda m: letters.get(m[1], m[0]), raw, flags=re.DOTALL), begin, True)

    def _double(self, close: str, opened: int) -> list[_Part]:
        """The parts up to the closing sign, which is left."""
        parts: list[_Part] = []
        begin = self.at
        text: list[str] = []
        while True:
            if self.at >= self.end:
                raise self.source.error(opened, f"{'a quote' if close == chr(34) else 'a bracket'} is never closed")
            char = self.text[self.at]
            if char == close:
                break
            if char == "\\" and self.text[self.at + 1 : self.at + 2] in ("$", "`", '"', "\\", "\n", "}"):
                if self.text[self.at + 1] != "\n":
                    text.append(self.text[self.at + 1])
                self.at += 2
            elif char in "$`":
                if text:
                    parts.append(_Part("text", "".join(text), begin, True))
                    text = []
                parts.append(self._expansion(True))
                begin = self.at
            else:
                text.append(char)
                self.at += 1
        if text or not parts:
            parts.append(_Part("text", "".join(text), begin, True))
        return parts

    def _expansion(self, quoted: bool) -> _Part:
        text, start = self.text, self.at
        if text[start] == "`":
            close = start + 1
            while close < self.end and text[close] != "`":
                close += 2 if text[close] == "\\" else 1
            if close >= self.end:
                raise self.source.error(start, "a backtick is never closed")
            self.at = close + 1
            return _Part("command", text[start : close + 1], start + 1, quoted, end=close)
        if text.startswith("$((", start):
            self.at = self._closing(start + 2, start) + 1
            return _Part("opaque", text[start : self.at], start, quoted)
        if text.startswith("$(", start):
            close = self._closing(start + 2, start)
            self.at = close + 1
            return _Part("command", text[start : close + 1], start + 2, quoted, end=close)
        if text.startswith("${", start):
            return self._braced(start, quoted)
        name = _NAME.match(text, start + 1, self.end)
        if name is not None:
            self.at = name.end()
            return _Part("variable", name.group(), start, quoted)
        if text[start + 1 : start + 2] and text[start + 1] in _SPECIAL:
            self.at = start + 2
            return _Part("variable", text[start + 1], start, quoted)
        self.at = start + 1
        return _Part("text", "$", start, quoted)

    def _braced(self, start: int, quoted: bool) -> _Part:
        found = _BRACED.match(self.text, start, self.end)
        if found is not None:
            self.at = found.end()
            name, index, operator = found[1], (found[2] or "")[1:-1], found[3] or ""
            if operator:
                inner = _Lexer(self.source, self.at, self.end, self.depth + 1)
                parts = inner._default(start, quoted)
                self.at = inner.at + 1
                return _Part("variable", name, start, quoted, operator, index, tuple(parts))
            if self.text[self.at : self.at + 1] == "}":
                self.at += 1
                return _Part("variable", name, start, quoted, "", index)
        self.at = self._closing(start + 2, start, "}") + 1
        return _Part("opaque", self.text[start : self.at], start, quoted)

    def _default(self, opened: int, quoted: bool) -> list[_Part]:
        """What stands after `:-` and the like, up to the bracket that closes, which is left."""
        if quoted:
            return self._double("}", opened)
        parts: list[_Part] = []
        while True:
            if self.at >= self.end:
                raise self.source.error(opened, "a bracket is never closed")
            char = self.text[self.at]
            if char == "}":
                return parts
            if char == "'":
                parts.append(self._single(self.at + 1))
            elif char == '"':
                self.at += 1
                parts += self._double('"', opened)
                self.at += 1
            elif char in "$`":
                parts.append(self._expansion(False))
            else:
                begin = self.at
                while self.at < self.end and self.text[self.at] not in "}'\"$`":
                    self.at += 1
                parts.append(_Part("text", self.text[begin : self.at], begin, False))

    def _array(self) -> _Part:
        """`( word … )` after `NAME=`."""
        start = self.at
        inner = _Lexer(self.source, start + 1, self.end, self.depth + 1)
        words: list[_Lexed] = []
        for token in inner.tokens():
            if isinstance(token, _Lexed):
                words.append(token)
            elif token[0] == ")":
                self.at = token[1] + 1
                return _Part("array", "", start, False, inner=tuple(words))
        raise self.source.error(start, "a bracket ( is never closed")

    def _closing(self, at: int, opened: int, close: str = ")") -> int:
        """Where the bracket that was opened before `at` is closed."""
        text, stack = self.text, [close]
        while at < self.end:
            char = text[at]
            if stack[-1] == '"':
                if char == "\\":
                    at += 1
                elif char == '"':
                    stack.pop()
                elif char == "$" and text[at + 1 : at + 2] in ("(", "{"):
                    stack.append(")" if text[at + 1] == "(" else "}")
                    at += 1
            elif char == "\\":
                at += 1
            elif char == stack[-1]:
                stack.pop()
                if not stack:
                    return at
            elif char == "'":
                at = text.find("'", at + 1, self.end)
                if at < 0:
                    break
            elif char == '"':
                stack.append('"')
            elif char == "#" and text[at - 1] in " \t\n" and stack[-1] == ")":
                newline = text.find("\n", at, self.end)
                at = (self.end if newline < 0 else newline) - 1
            elif char == "(":
                stack.append(")")
            elif char == "{" and text[at - 1] == "$":
                stack.append("}")
            at += 1
        raise self.source.error(opened, f"a bracket {text[opened : opened + 2]!r} is never closed")


# ---- commands

Handler = Callable[[list[Word], bool], str | None]
"""Gets each command's words and whether it depends on a condition; gives what it prints, if that is known."""


@dataclass
class Shell:
    """Reads commands in their order. `folder` is where the text lies and is thought to be run, `environment` what may be taken for
    variables that the text does not set for certain."""

    command: Handler
    folder: str = "."
    environment: Mapping[str, str] = field(default_factory=dict)
    _values: dict[str, _Value | None] = field(default_factory=dict)
    _of_functions: dict[str, _Value | None] = field(default_factory=dict)
    _count: int = 0
    _branch: bool = False

    def __post_init__(self) -> None:
        self.working: str | None = self.folder
        """Where the next command is run, as `cd` has it; None where only a run can tell."""

    def read(self, text: str, file: str, line: int = 1, column: int = 1) -> None:
        """Raises ParseError with line and column where a quote or a bracket stays open; LimitError."""
        if len(text) > TEXT:
            raise LimitError(f"{Place(file, line, column)}: shell text longer than {TEXT >> 20} MiB")
        self._read(_Text(text, file, line, column), 0, len(text), 0, False, False)

    def _read(
        self, source: _Text, start: int, end: int, depth: int, conditional: bool, function: bool
    ) -> list[str | None]:
        printed: list[str | None] = []
        stack: list[str] = []
        current: list[_Lexed] = []
        after = ""  # the operator before the command
        pending = False  # a function's body comes next
        outside: list[str | None] = []  # where each subshell was begun

        def finish() -> None:
            nonlocal current
            if current:
                maybe = conditional or after in ("&&", "||") or any(s not in ("function", "{") for s in stack)
                # a folder is changed for certain even where the command before it had to succeed, or in a subshell
                self._branch = after == "||" or any(s not in ("function", "{", "(") for s in stack)
                printed.append(self._run(source, current, depth, maybe, function or "function" in stack))
                current = []

        lexer = _Lexer(source, start, end, depth)
        for token in lexer.tokens():
            if isinstance(token, _Lexed):
                word = token.plain
                if word == "{" and (not current or current[0].plain == "function"):
                    stack.append("function" if pending or current else "{")
                    pending, current = False, []
                elif current or word is None:
                    current.append(token)
                elif word in _OPENERS:
                    stack.append(word)
                    if word in ("for", "select", "case"):
                        current.append(token)
                elif word in _CLOSERS or word == "}":
                    if stack:
                        stack.pop()
                elif word not in _SKIPPED:
                    current.append(token)
                continue
            sign, at = token
            if sign == "(":
                if len(current) == 1 and source.text[at + 1 : at + 40].lstrip().startswith(")"):
                    current, pending = [], True
                elif not current and not pending:
                    stack.append("(")
                    outside.append(self.working)
                continue
            if sign == ")":
                finish()
                if stack and stack[-1] == "(":
                    stack.pop()
                    self.working = outside.pop()
                elif pending:
                    continue
            finish()
            after = sign
            if sign != "\n":
                pending = False
        finish()
        return printed

    def _run(self, source: _Text, lexed: list[_Lexed], depth: int, conditional: bool, function: bool) -> str | None:
        self._count += 1
        if self._count > COMMANDS:
            raise LimitError(f"{source.place(lexed[0].at)}: more than {COMMANDS:,} commands")
        first = lexed[0].plain
        if first in ("for", "select"):
            if len(lexed) > 1 and lexed[1].plain is not None:
                self._values[lexed[1].plain] = None
            return None
        if first == "case":
            return None
        declares = first in _DECLARES
        rest = lexed[1:] if declares else lexed
        leading = 0
        while leading < len(rest) and (declares or _assignment(rest[leading]) is not None):
            leading += 1
        lasting = leading == len(rest)
        for one in rest[:leading]:
            if (assigned := _assignment(one)) is not None and lasting:
                self._assign(source, assigned, one, depth, conditional, function)
            else:
                self._expand(source, one, depth)  # for this one command alone
        rest = rest[leading:]
        if declares or not rest:
            return None
        words: list[Word] = []
        total = 0
        for one in rest:
            for word in self._expand(source, one, depth):
                total += len(word.text)
                if total > LONGEST:
                    raise LimitError(f"{word.place}: a command longer than {LONGEST:,} characters")
                words.append(word)
        if words and words[0].text == "$" and words[0].place.column == 1:
            words = words[1:]  # the prompt before a command that was pasted
        if not words:
            return None
        return self._builtin(words, depth, conditional, function)

    def _builtin(self, words: list[Word], depth: int, conditional: bool, function: bool) -> str | None:
        name = words[0].text
        if name in ("read", "unset", "mapfile", "readarray"):
            for word in words[1:]:
                self._values[word.text] = None
            return None
        if name in ("cd", "pushd", "popd"):
            self._change(
                next((w for w in words[1:] if not w.text.startswith("-")), None) if name != "popd" else words[0]
            )
            return None
        if name in ("source", "."):
            self._values = dict.fromkeys(self._values)  # it may set any of them
            return self.command(words, conditional)
        text: Word | None = None
        if name == "eval":
            text = replace(words[1], text=" ".join(w.text for w in words[1:])) if len(words) > 1 else None
        elif name == "alias":
            text = next((replace(w, text=w.text.partition("=")[2]) for w in words[1:] if "=" in w.text), None)
        else:
            at = next(
                (i for i, w in enumerate(words[:8]) if w.text.rpartition("/")[2] in ("sh", "bash", "zsh", "dash")), None
            )
            if at is not None and words[at + 1 : at + 3] and re.fullmatch(r"-[a-z]*c", words[at + 1].text):
                text = words[at + 2] if len(words) > at + 2 and not _engine_before(words, at) else None
        if text is not None and text.text:
            inner = _Text(text.text, text.place.file, text.place.line, text.place.column)
            printed = self._read(inner, 0, len(text.text), depth + 1, conditional, function)
            return printed[0] if len(printed) == 1 else None
        return self.command(words, conditional)

    def _change(self, to: Word | None) -> None:
        """`cd`: without a word it goes home; into what is unknown, or perhaps, to nobody knows where."""
        before = self.working
        if to is None:
            self.working = "~"
        elif to.unknown or to.text in ("popd", "-"):
            self.working = None
        elif to.text.startswith(("/", "~")):
            self.working = to.text
        elif before is not None:
            self.working = posixpath.normpath(posixpath.join(before, to.text))
        if self._branch and self.working != before:
            self.working = None

    # -- values

    def _assign(
        self, source: _Text, name: re.Match[str], word: _Lexed, depth: int, conditional: bool, function: bool
    ) -> None:
        key, add = name[1], bool(name[2])
        place = source.place(word.at)
        array = next((p for p in word.parts if p.kind == "array"), None)
        value: _Value | None
        if array is not None:
            elements = [w for one in array.inner if isinstance(one, _Lexed) for w in self._expand(source, one, depth)]
            value = _Value(tuple(elements), True)
        else:
            first = replace(word.parts[0], text=word.parts[0].text[name.end() :])
            parts = tuple(replace(p, quoted=True) for p in (first, *word.parts[1:]))
            words = self._expand(source, _Lexed(parts, word.at), depth)
            unknown = tuple(u for w in words for u in w.unknown)
            scalar = Word(" ".join(w.text for w in words), place, unknown)
            # what a command prints is nothing that anybody can name; the variable is
            value = _Value((scalar,)) if unknown != (scalar.text,) or _NAME.fullmatch(scalar.text) else None
        before = self._values.get(key)
        if value is None:
            self._values[key] = None
            return
        if add:
            if before is None and key in self._values:
                return
            old = before.words if before is not None else ()
            if value.array and conditional:
                # what was in it for certain stays; that there may be more is a word of its own
                maybe = Word(f"${{{key}}}", place, (key,), True)
                value = _Value((*(w for w in old if w != replace(maybe, place=w.place)), maybe), True)
                self._values[key] = value if key not in self.environment else None
                return
            if value.array:
                value = _Value((*old, *value.words), True)
            else:
                one, two = (old[0] if old else Word("", place)), value.words[0]
                value = _Value((Word(one.text + two.text, place, (*one.unknown, *two.unknown)),))
        size = sum(len(w.text) for w in value.words)
        if size > LONGEST or len(value.words) > ELEMENTS:
            raise LimitError(f"{place}: a value longer than {LONGEST:,} characters or {ELEMENTS:,} elements")
        if function:
            if (key in self._values and not _same(before, value)) or (
                key in self._of_functions and not _same(self._of_functions[key], value)
            ):
                self._values[key] = self._of_functions[key] = None
                return
            self._of_functions[key] = value
        elif key in self._of_functions and not _same(self._of_functions[key], value):
            self._values[key] = None
            return
        self._values[key] = None if conditional and not _same(before, value) else value

    def _lookup(self, name: str) -> _Value | None:
        value = self._values.get(name)
        if value is None and name in self.environment:
            return _Value((Word(self.environment[name], Place("", 0)),))
        if value is None and name == "PWD" and self.working is not None:
            return _Value((Word(self.working, Place("", 0)),))
        if value is None and name == "HOME":
            return _Value((Word("~", Place("", 0)),))
        return value

    def _expand(self, source: _Text, lexed: _Lexed, depth: int) -> list[Word]:
        """The words that one becomes."""
        build = _Fields(source.place(lexed.at))
        self._fill(source, lexed.parts, build, depth)
        return build.done()

    def _fill(self, source: _Text, parts: "tuple[_Part | _Lexed, ...]", build: "_Fields", depth: int) -> None:
        if depth > NESTED:
            raise LimitError(f"{build.place}: more than {NESTED} expansions within each other")
        for part in parts:
            if isinstance(part, _Lexed) or part.kind == "array":
                continue
            if part.kind == "text":
                build.split(part.text, (), part.quoted)
            elif part.kind == "opaque":
                build.unknown(part.text, part.text, part.quoted)
            elif part.kind == "command":
                self._substitute(source, part, build, depth)
            else:
                self._variable(source, part, build, depth)

    def _substitute(self, source: _Text, part: _Part, build: "_Fields", depth: int) -> None:
        raw = source.text[part.at : part.end]
        if _WORKING.fullmatch(raw[:200]):
            if self.working is None:
                build.unknown("${PWD}", "PWD", part.quoted)
            else:
                build.split(self.working, (), part.quoted)
            return
        if len(raw) <= 200 and (here := _HERE.fullmatch(raw)) is not None:
            build.split(self.folder + here["up"], (), part.quoted)
            return
        working = self.working
        printed = self._read(source, part.at, part.end, depth + 1, True, False)
        self.working = working
        if len(printed) == 1 and printed[0] is not None:
            build.split(printed[0], (), part.quoted)
        else:
            shown = printable(part.text, 60)
            build.unknown(shown, shown, part.quoted)

    def _variable(self, source: _Text, part: _Part, build: "_Fields", depth: int) -> None:
        value = self._lookup(part.text)
        shown = f"${{{part.text}}}" if part.text not in ("@", "*") else f"${part.text}"
        uncertain = value is None and part.text in self._values
        empty = value is not None and not any(w.text for w in value.words)
        if part.operator in (":-", "-", ":=", "=", ":?", "?"):
            if uncertain or (part.operator in (":?", "?") and value is None):
                build.unknown(shown, part.text, part.quoted)
                return
            if value is None or (empty and part.operator[0] == ":"):
                self._fill(source, part.inner, build, depth + 1)
                if part.operator in (":=", "="):
                    inner = _Fields(build.place)
                    self._fill(
                        source,
                        tuple(replace(p, quoted=True) for p in part.inner if isinstance(p, _Part)),
                        inner,
                        depth + 1,
                    )
                    self._values[part.text] = _Value(tuple(inner.done()[:1]) or (Word("", build.place),))
                return
        elif part.operator in (":+", "+"):
            if value is None:
                build.unknown(shown, part.text, part.quoted)
            elif not empty or part.operator == "+":
                self._fill(source, part.inner, build, depth + 1)
            return
        many = part.index in ("@", "*") or part.text == "@"
        if value is None:
            build.unknown(shown, part.text, part.quoted and not many)
        elif many and value.array:
            build.many(value.words)
        elif many:
            build.split(value.words[0].text, value.words[0].unknown, False)
        else:
            number = int(part.index) if part.index.isdigit() else 0
            if number < len(value.words):
                build.split(value.words[number].text, value.words[number].unknown, part.quoted)


class _Fields:
    """Words in the making."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._words: list[Word] = []
        self._text: list[str] | None = None
        self._unknown: list[str] = []
        self._firm = False  # something besides a loose unknown stands in it
        self._size = 0

    def _append(self, text: str) -> None:
        self._size += len(text)
        if self._size > LONGEST:
            raise LimitError(f"{self.place}: a command longer than {LONGEST:,} characters")
        self._text = self._text if self._text is not None else []
        self._text.append(text)

    def unknown(self, shown: str, name: str, quoted: bool) -> None:
        self._append(shown)
        self._unknown.append(name)
        self._firm = self._firm or quoted

    def split(self, text: str, unknown: tuple[str, ...], quoted: bool) -> None:
        """A value; without quotes it ends a word wherever it has white space."""
        if quoted or not re.search(r"[ \t\n]", text):
            if text or quoted:
                self._append(text)
                self._unknown += unknown
                self._firm = self._firm or quoted or not unknown
            return
        if text[0] in " \t\n":
            self._end()
        pieces = text.split()
        for number, piece in enumerate(pieces):
            if number:
                self._end()
            self._append(piece)
            self._firm = True
            self._unknown += [name for name in unknown if name in piece]
        if pieces and text[-1] in " \t\n":
            self._end()

    def many(self, words: tuple[Word, ...]) -> None:
        """The elements of an array: each a word, the first and last joined to what stands around."""
        for number, word in enumerate(words):
            if number:
                self._end()
            alone = self._text is None
            self._append(word.text)
            self._unknown += word.unknown
            self._firm = self._firm or not word.loose
            if alone and len(words) > 1:
                self._end(word.place)

    def _end(self, place: Place | None = None) -> None:
        if self._text is not None:
            loose = bool(self._unknown) and not self._firm
            self._words.append(Word("".join(self._text), place or self.place, tuple(self._unknown), loose))
        self._text, self._unknown, self._firm = None, [], False

    def done(self) -> list[Word]:
        self._end()
        return self._words


def _assignment(word: _Lexed) -> re.Match[str] | None:
    first = word.parts[0] if word.parts else None
    return _ASSIGNMENT.match(first.text) if first is not None and first.kind == "text" and not first.quoted else None


def _same(one: _Value | None, two: _Value | None) -> bool:
    return one is not None and two is not None and [w.text for w in one.words] == [w.text for w in two.words]


def _engine_before(words: list[Word], at: int) -> bool:
    """Whether the shell is one that a container runs."""
    return any(w.text.rpartition("/")[2] in ("docker", "podman", "nerdctl", "kubectl", "ssh") for w in words[:at])
