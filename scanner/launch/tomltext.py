"""TOML as the tree that YAML and JSON give, every key and value with its place.

What is TOML and what is not, and what a string says, the standard library decides (tomllib); where things stand, a scan of the
text that is known to be valid by then. Format: toml.io/en/v1.0.0.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache

from scanner.errors import LimitError, ParseError, ScannerError
from scanner.launch.document import DEPTH, Node
from scanner.launch.plugin import Input
from scanner.model import printable

SIZE = 1 << 20
"""Characters of one document: configuration written by people is far from it."""

_SPACE = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_KEY = re.compile(r"""[A-Za-z0-9_-]++|"(?:\\.|[^"\\\n])*+"|'[^'\n]*+'""")
_STRING = re.compile(
    r"""\"{3}(?:\\.|[^"\\]|"(?!""))*+"{3,5}|'{3}(?:[^']|'(?!''))*+'{3,5}|"(?:\\.|[^"\\\n])*+"|'[^'\n]*+'""", re.DOTALL
)
_BARE = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]*+|[^\s,\]}#=\[{]++")
_DEEP = re.compile(r"""(?:(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){100}""")
_QUOTED = re.compile(r"""["'][ \t]*+\.""")
"""Where a quoted name of such a key ends; its quotes may stand within it, escaped, so that no pattern of bounded time finds the whole."""
_AT = re.compile(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)")
_LINE = re.compile(
    r"""[ \t]*+(?:\[{1,2}[ \t]*+[A-Za-z_][\w.\-"' \t]*+\]{1,2}[ \t]*+(?:#[^\n]*+)?|[^\s=:#\[{][^=:\n]*+=[^\n]*+)"""
)


@dataclass(slots=True)
class _Table:
    at: int
    end: int
    entries: "dict[str, tuple[int, _Value]]" = field(default_factory=dict)
    """By key: where the key stands, and the value."""


@dataclass(slots=True)
class _Array:
    at: int
    end: int
    elements: "list[_Value]" = field(default_factory=list)


@dataclass(slots=True)
class _Scalar:
    at: int
    end: int
    text: str
    quoted: bool


_Value = _Table | _Array | _Scalar


def read_toml(text: str, file: str) -> Node:
    """The document as a mapping. Strings are quoted scalars; numbers, booleans and times keep the text they are written with.

    Raises ParseError with line and column for what is no TOML; LimitError for what is too deep or too large.
    """
    import tomllib

    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if len(text) > SIZE:
        raise LimitError(f"{file}: more than {SIZE:,} characters of TOML")
    # checked first: what reads such a key takes the square of its length
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > DEPTH and (_DEEP.search(line) or len(_QUOTED.findall(line)) > DEPTH // 2):
            raise LimitError(f"{file}:{number}: more than {DEPTH} names in one key")
    try:
        tomllib.loads(text)
    except RecursionError as e:
        raise LimitError(f"{file}: more than {DEPTH} values within each other") from e
    except ValueError as e:
        found = _AT.search(str(e))
        if found is not None and found[1]:
            place = f"{found[1]}:{found[2]}"
        else:
            place = f"{text.count(chr(10)) + 1}:{len(text) - text.rfind(chr(10))}"
        raise ParseError(f"{file}:{place}: no TOML: {printable(_AT.sub('', str(e)))}") from e
    return _Scan(text, file).document()


class _Scan:
    """Where everything stands in a text that tomllib has read."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file, self.at = text, file, 0
        self.lines = [0, *(m.end() for m in re.finditer("\n", text))]

    def document(self) -> Node:
        root = table = _Table(0, 0)
        self.skip()
        while self.at < len(self.text):
            begin = self.at
            if self.text.startswith("[", begin):
                several = self.text.startswith("[[", begin)
                self.at += 2 if several else 1
                keys = self.key()
                self.expect("]]" if several else "]")
                table = self.opened(root, keys, several, begin)
            else:
                self.assign(table, 0)
            self.skip()
        root.end = len(self.text)
        return self.frozen(root, 0)

    def skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def expect(self, sign: str) -> None:
        self.skip()
        if not self.text.startswith(sign, self.at):
            raise self.lost()
        self.at += len(sign)

    def lost(self) -> ParseError:
        line, column = self.place(self.at)
        return ParseError(f"{self.file}:{line}:{column}: no TOML that can be placed")

    def place(self, at: int) -> tuple[int, int]:
        line = bisect_right(self.lines, at)
        return line, at - self.lines[line - 1] + 1

    def key(self) -> list[tuple[str, int]]:
        """The parts of a dotted key with their places."""
        parts: list[tuple[str, int]] = []
        while True:
            self.skip()
            found = _KEY.match(self.text, self.at)
            if found is None:
                raise self.lost()
            raw = found.group()
            parts.append((_string(raw) if raw[0] in "\"'" else raw, self.at))
            self.at = found.end()
            self.skip()
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def opened(self, root: _Table, keys: list[tuple[str, int]], several: bool, begin: int) -> _Table:
        table = root
        for number, (name, at) in enumerate(keys):
            last = number == len(keys) - 1
            value = table.entries.get(name, (at, None))[1]
            if isinstance(value, _Array) and not (last and several):
                value = value.elements[-1]
            if last and several:
                array = value if isinstance(value, _Array) else _Array(begin, self.at)
                table.entries.setdefault(name, (at, array))
                table = _Table(begin, self.at)
                array.elements.append(table)
                array.end = self.at
            elif isinstance(value, _Table):
                if last:  # named by a longer header before: this is where it is opened
                    value.at = begin
                    table.entries[name] = (at, value)
                table = value
            else:
                made = _Table(begin, self.at)
                table.entries[name] = (at, made)
                table = made
        return table

    def assign(self, table: _Table, depth: int) -> None:
        keys = self.key()
        self.expect("=")
        value = self.value(depth + 1)
        for name, at in keys[:-1]:
            inner = table.entries.get(name, (at, None))[1]
            if not isinstance(inner, _Table):
                inner = _Table(at, self.at)
                table.entries[name] = (at, inner)
            inner.end = table.end = self.at
            table = inner
        table.entries[keys[-1][0]] = (keys[-1][1], value)
        table.end = self.at

    def value(self, depth: int) -> _Value:
        self.skip()
        begin = self.at
        if depth > DEPTH:
            raise LimitError(f"{self.file}:{self.place(begin)[0]}: more than {DEPTH} values within each other")
        if self.text.startswith("[", begin):
            self.at += 1
            array = _Array(begin, begin)
            while not self.closed("]"):
                array.elements.append(self.value(depth + 1))
            array.end = self.at
            return array
        if self.text.startswith("{", begin):
            self.at += 1
            table = _Table(begin, begin)
            while not self.closed("}"):
                self.assign(table, depth)
            table.end = self.at
            return table
        quoted = self.text.startswith(('"', "'"), begin)
        found = (_STRING if quoted else _BARE).match(self.text, begin)
        if found is None:
            raise self.lost()
        self.at = found.end()
        return _Scalar(begin, self.at, _string(found.group()) if quoted else found.group(), quoted)

    def closed(self, sign: str) -> bool:
        self.skip()
        if self.text.startswith(",", self.at):
            self.at += 1
            self.skip()
        if self.text.startswith(sign, self.at):
            self.at += 1
            return True
        return False

    def frozen(self, value: _Value, depth: int) -> Node:
        line, column = self.place(value.at)
        end = max(self.place(max(value.end - 1, value.at))[0], line)
        if depth > DEPTH:
            raise LimitError(f"{self.file}:{line}:{column}: more than {DEPTH} values within each other")
        if isinstance(value, _Scalar):
            return Node(self.file, line, column, end, text=value.text, quoted=value.quoted)
        if isinstance(value, _Array):
            elements = tuple(self.frozen(one, depth + 1) for one in value.elements)
            return Node(self.file, line, column, end, elements=elements, weight=1 + sum(one.weight for one in elements))
        pairs = []
        for name, (at, inner) in value.entries.items():
            where = self.place(at)
            pairs.append((Node(self.file, *where, where[0], text=name, quoted=True), self.frozen(inner, depth + 1)))
        weight = 1 + sum(1 + inner.weight for _, inner in pairs)
        end = max((inner.end for _, inner in pairs), default=end)
        return Node(self.file, line, column, max(end, line), pairs=tuple(pairs), weight=weight)


def _string(raw: str) -> str:
    """What a quoted string says."""
    if "\\" not in raw and not raw.startswith(('"""', "'''")):
        return raw[1:-1]
    import tomllib

    value = tomllib.loads(f"x={raw}")["x"]
    return value if isinstance(value, str) else raw


def toml_lines(text: str) -> bool:
    """Whether a text looks like TOML at its first line that says anything: a header, or a key and an equals sign."""
    at = _SPACE.match(text.removeprefix("\ufeff"))
    begin = at.end() if at is not None else 0
    return _LINE.match(text.removeprefix("\ufeff"), begin) is not None


def toml_of(given: Input) -> Node | None:
    """The input as TOML; None if it is none, or broken."""
    return _toml(given.text, given.name) if toml_lines(given.text) else None


@lru_cache(4)
def _toml(text: str, name: str) -> Node | None:
    try:
        return read_toml(text, name)
    except ScannerError:
        return None


@lru_cache(16)
def sections(text: str) -> frozenset[str]:
    """The names in headers and before equals signs of a text that is meant to be TOML, for saying what a broken one was to be."""
    found = re.findall(r"^[ \t]*+(?:\[{1,2}[ \t]*+)?([A-Za-z0-9_.-]++)[ \t]*+(?:[\]=])", text[: 1 << 16], re.MULTILINE)
    return frozenset(found)
