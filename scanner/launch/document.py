"""YAML and JSON as one tree that keeps the place of every value, bounded against whatever a hostile file does.

YAML is read through libyaml's events, which are given their places; the tree is ours. What YAML 1.1, YAML 1.2, Go's and
Python's readers each make of a plain scalar differs, so that a scalar keeps its text and whoever reads it says what type
is meant. JSON may have comments and trailing commas, as editors write it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scanner.errors import LimitError, ParseError
from scanner.model import printable
from scanner.model.launch import Place

NODES = 4_000_000
"""Values of one document, aliases counted as often as they are used."""
DEPTH = 100
NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_YES = frozenset(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"))
_NO = frozenset(("n", "N", "no", "No", "NO", "off", "Off", "OFF"))
_INTEGER = re.compile(r"[-+]?(?:0x[0-9A-Fa-f_]{1,16}|0o?[0-7_]{1,22}|[0-9][0-9_]{0,18})")


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value of a document. Exactly one of `pairs` (a mapping), `elements` (a sequence) and `text` (a scalar) is not None.

    `quoted` scalars are strings whatever they say. `tag` is the explicit one (`!reset`), None if there is none.
    `line` and `column` from 1; `end` is the last line the value stands on. `weight` counts the values within it.
    """

    file: str
    line: int
    column: int
    end: int
    pairs: "tuple[tuple[Node, Node], ...] | None" = None
    elements: "tuple[Node, ...] | None" = None
    text: str | None = None
    quoted: bool = False
    tag: str | None = None
    weight: int = field(default=1, repr=False)

    @property
    def place(self) -> Place:
        return Place(self.file, self.line, self.column)

    @property
    def is_null(self) -> bool:
        return self.text is not None and not self.quoted and self.text in NULLS

    @property
    def is_map(self) -> bool:
        return self.pairs is not None

    @property
    def is_list(self) -> bool:
        return self.elements is not None

    def get(self, key: str) -> "Node | None":
        """The value of a key; None if it is absent, or this is no mapping."""
        return next((value for name, value in self.pairs or () if name.text == key), None)

    def key(self, key: str) -> "Node | None":
        """The key itself, whose place is often the better one."""
        return next((name for name, _ in self.pairs or () if name.text == key), None)

    def at(self, *keys: str) -> "Node | None":
        """What a chain of keys leads to."""
        node: Node | None = self
        for key in keys:
            node = node.get(key) if node is not None else None
        return node

    def items(self) -> "Iterator[tuple[str, Node, Node]]":
        """(key, the key's node, the value's) of a mapping; nothing of anything else."""
        for name, value in self.pairs or ():
            yield name.text or "", name, value

    def flag(self) -> bool | None:
        """A boolean as Go's YAML reader takes it where one is meant: `yes`, `on` and a quoted `"true"` too; None if it is none."""
        if self.text is None:
            return None
        if self.text in _TRUE or (not self.quoted and self.text in _YES):
            return True
        return False if self.text in _FALSE or (not self.quoted and self.text in _NO) else None

    def integer(self) -> int | None:
        """A whole number, quoted or not; None if it is none."""
        if self.text is None or not _INTEGER.fullmatch(self.text):
            return None
        digits = self.text.replace("_", "")
        try:
            octal = re.fullmatch(r"[-+]?0[0-7]+", digits) and not self.quoted
            return int(digits, 8) if octal else int(digits, 0 if re.match(r"[-+]?0[xo]", digits) else 10)
        except ValueError:
            return None

    def plain(self) -> object:
        """The value as plain dict, list, str, int, float, bool or None (YAML 1.2's core schema)."""
        if self.pairs is not None:
            return {name.text or "": value.plain() for name, value in self.pairs}
        if self.elements is not None:
            return [one.plain() for one in self.elements]
        text = self.text or ""
        if self.quoted:
            return text
        if text in NULLS:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
            return int(text)
        if re.fullmatch(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", text):
            return float(text)
        return text


# ---- YAML


def read_yaml(text: str, file: str) -> Iterator[Node]:
    """Every document of a YAML stream, one after the other; an empty one is a null.

    Raises ParseError with line and column for what is no YAML, a duplicate key, an anchor within itself; LimitError for what
    is too deep or too large (YAML bombs).
    """
    import yaml

    try:
        yield from _documents(
            yaml.parse(_readable(text, file), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), file
        )
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        what = printable(str(e.problem or e.context or e))
        if "".join(text.split("\n")[line - 1 : line])[column - 1 : column] == "\t":
            what = "a tab stands where YAML takes spaces alone"
        raise ParseError(f"{file}:{line}:{column}: no YAML: {what}") from e
    except yaml.YAMLError as e:
        raise ParseError(f"{file}:1:1: no YAML: {printable(str(e))}") from e


_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _readable(text: str, file: str) -> str:
    """The text, which must hold only what YAML allows in a stream."""
    text = text.removeprefix("\ufeff")
    found = _UNREADABLE.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        raise ParseError(f"{file}:{line}:{column}: no text: the character {ord(found.group()):#04x} stands in it")
    return text


class _Open:
    """A collection that is being read."""

    __slots__ = ("anchor", "children", "column", "is_map", "line", "tag")

    def __init__(self, is_map: bool, line: int, column: int, tag: str | None, anchor: str | None) -> None:
        self.is_map, self.line, self.column, self.tag, self.anchor = is_map, line, column, tag, anchor
        self.children: list[Node] = []


def _documents(events: Iterator[Any], file: str) -> Iterator[Node]:
    from yaml import events as kinds

    stack: list[_Open] = []
    anchors: dict[str, Node | None] = {}
    total = 0
    for event in events:
        start: Any = event.start_mark
        end: Any = event.end_mark
        node: Node | None = None
        if isinstance(event, kinds.DocumentStartEvent):
            stack, anchors, total = [_Open(False, 1, 1, None, None)], {}, 0
            continue
        if isinstance(event, kinds.DocumentEndEvent):
            yield stack[0].children[0]
            continue
        if isinstance(event, kinds.ScalarEvent):
            tag = event.tag if event.tag not in (None, "!") else None
            quoted = not event.implicit[0] if tag is None else tag == "tag:yaml.org,2002:str"
            last = end.line + (end.column > 0 or end.line == start.line)
            node = Node(file, start.line + 1, start.column + 1, last, text=event.value, quoted=quoted, tag=tag)
            if event.anchor:
                anchors[event.anchor] = node
        elif isinstance(event, kinds.AliasEvent):
            line, column = start.line + 1, start.column + 1
            if event.anchor not in anchors:
                raise ParseError(
                    f"{file}:{line}:{column}: the alias *{printable(str(event.anchor))} has no anchor before it"
                )
            node = anchors[event.anchor]
            if node is None:
                raise ParseError(
                    f"{file}:{line}:{column}: *{printable(str(event.anchor))} stands within its own anchor"
                )
        elif isinstance(event, kinds.CollectionStartEvent):
            tag = event.tag if event.tag not in (None, "!") else None
            opened = _Open(
                isinstance(event, kinds.MappingStartEvent), start.line + 1, start.column + 1, tag, event.anchor
            )
            if event.anchor:
                anchors[event.anchor] = None
            stack.append(opened)
            if len(stack) > DEPTH:
                raise LimitError(f"{file}:{opened.line}:{opened.column}: more than {DEPTH} values within each other")
            continue
        elif isinstance(event, kinds.CollectionEndEvent):
            opened = stack.pop()
            node = _closed(opened, file, max(end.line + (end.column > 0), opened.line))
            if opened.anchor:
                anchors[opened.anchor] = node
        if node is None:
            continue
        total += node.weight if isinstance(event, kinds.AliasEvent) else 1
        if total > NODES or node.weight > NODES:
            raise LimitError(
                f"{file}:{node.line}:{node.column}: more than {NODES:,} values, aliases counted where they stand"
            )
        stack[-1].children.append(node)


def _closed(opened: _Open, file: str, end: int) -> Node:
    children = opened.children
    weight = 1 + sum(c.weight for c in children)
    if children and not opened.is_map:
        end = max(children[-1].end if children[-1].file == file else end, opened.line) if end < opened.line else end
    if not opened.is_map:
        return Node(file, opened.line, opened.column, end, elements=tuple(children), tag=opened.tag, weight=weight)
    pairs = list(zip(children[::2], children[1::2], strict=True))
    seen: dict[str, Node] = {}
    for name, _ in pairs:
        if name.text is None:
            raise ParseError(f"{file}:{name.line}:{name.column}: a key is a collection")
        if name.text in seen and not (name.text == "<<" and not name.quoted):
            before = seen[name.text].line
            raise ParseError(
                f"{file}:{name.line}:{name.column}: the key {printable(name.text)} stands on line {before} already"
            )
        seen[name.text] = name
    if "<<" in seen:
        pairs = _merged(pairs, seen)
    return Node(file, opened.line, opened.column, end, pairs=tuple(pairs), tag=opened.tag, weight=weight)


def _merged(pairs: list[tuple[Node, Node]], seen: dict[str, Node]) -> list[tuple[Node, Node]]:
    """Merge keys (yaml.org/type/merge): own keys win, then the first mapping that has it."""
    result = [(name, value) for name, value in pairs if name.text != "<<" or name.quoted]
    known = set(seen)
    for name, value in pairs:
        if name.text != "<<" or name.quoted:
            continue
        for source in value.elements if value.elements is not None else (value,):
            if source.pairs is None:
                raise ParseError(f"{source.place}: what << merges is no mapping")
            for key, merged in source.pairs:
                if key.text not in known:
                    known.add(key.text or "")
                    result.append((key, merged))
    return result


# ---- JSON

_TOKEN = re.compile(
    r"""(?P<skip>[ \t\r\n\f\ufeff]+|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)
    |"(?P<string>(?:[^"\\\x00-\x1f]|\\.)*+)"
    |(?P<sign>[{}\[\]:,])
    |(?P<bare>[-+.\w]++)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}
_BARE = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


def read_json(text: str, file: str) -> Node:
    """One JSON document; comments and trailing commas are allowed (JSON with comments, as devcontainers are written).

    A later duplicate key wins, as every reader of JSON has it. Raises ParseError with line and column; LimitError.
    """
    stack: list[tuple[bool, int, int, list[Node]]] = []
    line, begun, count, at = 1, 0, 0, 0  # `begun` is where the line begins
    wants = "value"  # value | value-or-end | key-or-end | key | colon | comma-or-end | nothing
    result: Node | None = None

    def fail(what: str) -> ParseError:
        return ParseError(f"{file}:{line}:{at - begun + 1}: no JSON: {what}")

    for token in _TOKEN.finditer(text):
        kind, at = token.lastgroup, token.start()
        node: Node | None = None
        if kind in ("string", "bare"):
            raw = token[kind]
            column = at - begun + 1
            if wants in ("key", "key-or-end") and kind == "string":
                stack[-1][3].append(Node(file, line, column, line, text=_plain(raw), quoted=True))
                wants = "colon"
                continue
            if wants not in ("value", "value-or-end"):
                raise fail(f"{printable(raw, 40)!r} is not expected here")
            if kind == "bare" and not _BARE.fullmatch(raw):
                raise fail(f"{printable(raw, 40)!r} is no value; strings stand in quotes")
            node = Node(
                file, line, column, line, text=_plain(raw) if kind == "string" else raw, quoted=kind == "string"
            )
        elif kind == "sign":
            sign = token.group()
            if sign in "{[" and wants in ("value", "value-or-end"):
                stack.append((sign == "{", line, at - begun + 1, []))
                if len(stack) > DEPTH:
                    raise LimitError(f"{file}:{line}:{at - begun + 1}: more than {DEPTH} values within each other")
                wants = "key-or-end" if sign == "{" else "value-or-end"
            elif sign == ":" and wants == "colon":
                wants = "value"
            elif sign == "," and wants == "comma-or-end":
                wants = "key-or-end" if stack[-1][0] else "value-or-end"
            elif (sign == "}" and wants in ("key-or-end", "comma-or-end") and stack and stack[-1][0]) or (
                sign == "]" and wants in ("value-or-end", "comma-or-end") and stack and not stack[-1][0]
            ):
                node = _ended(stack.pop(), file, line)
            else:
                raise fail(f"{sign!r} is not expected here")
        elif kind == "other":
            raise fail(f"{printable(token.group())!r} is not expected here")
        if node is not None:
            count += 1
            if count > NODES:
                raise LimitError(f"{file}:{line}: more than {NODES:,} values")
            if stack:
                stack[-1][3].append(node)
                wants = "comma-or-end"
            else:
                result, wants = node, "nothing"
        if kind == "skip":
            newlines = token.group().count("\n")
            if newlines:
                line += newlines
                begun = at + token.group().rfind("\n") + 1
    at = len(text)
    if result is None:
        raise fail("it ends too early")
    return result


def _ended(opened: tuple[bool, int, int, list[Node]], file: str, end: int) -> Node:
    is_map, line, column, children = opened
    weight = 1 + sum(c.weight for c in children)
    if not is_map:
        return Node(file, line, column, end, elements=tuple(children), weight=weight)
    pairs = {name.text or "": (name, value) for name, value in zip(children[::2], children[1::2], strict=True)}
    return Node(file, line, column, end, pairs=tuple(pairs.values()), weight=weight)


def _plain(raw: str) -> str:
    return _ESCAPE.sub(_meant, raw) if "\\" in raw else raw


def _meant(found: re.Match[str]) -> str:
    if found[1]:
        number = int(found[1], 16)
        return chr(number) if number not in range(0xD800, 0xE000) else "�"
    return _LETTERS.get(found[2], found[2])
