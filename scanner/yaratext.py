"""YARA source text taken apart: what every rule says of itself, its strings and its condition's tokens.

Follows YARA's own lexer (libyara/lexer.l, 4.5), in milliseconds; whether the text is a valid rule is for YARA to say.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from scanner.errors import ParseError

MetaValue = str | int | bool


class Token(NamedTuple):
    """`kind`: word, text, regex, hex, string (`$a`, `#a`, `@a`, `!a`), number, or the operator itself; `at`: where."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class YaraString:
    """`kind` is text, regex or hex, `source` as written, delimiters and all; modifiers map to an argument or ""."""

    name: str
    kind: str
    source: str
    modifiers: dict[str, str]


@dataclass(frozen=True, slots=True)
class RuleText:
    identifier: str
    line: int
    private: bool
    is_global: bool
    tags: tuple[str, ...]
    meta: tuple[tuple[str, MetaValue], ...]
    strings: tuple[YaraString, ...]
    condition: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Include:
    name: str
    line: int


_TOKENS = re.compile(
    r"""
      (?P<space>[ \t\r\n]+ | //[^\n]* | /\*(?:[^*]|\*(?!/))*+\*/)
    | (?P<text>"(?:[^"\\\n]|\\.)*")
    | (?P<regex>/(?:[^/\\\n]|\\.)+/i?s?)
    | (?P<hex>\{(?:[0-9a-fA-F \-|~?\[\]()\n\r\t]|/\*(?:[^*]|\*(?!/))*+\*/|//[^\n]*+)++\})
    | (?P<number>0x[0-9a-fA-F]+ | 0o[0-7]+ | [0-9]+\.[0-9]+ | [0-9]+(?:KB|MB)?)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<string>\$[A-Za-z0-9_]*\*? | [\#@][A-Za-z0-9_]* | !(?!=)[A-Za-z0-9_]*)
    | (?P<operator>\.\. | <= | >= | == | != | << | >> | [!-~])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(rb'\\(?:([trn"\\])|x([0-9a-fA-F]{2}))')
_ESCAPED = {b"t": b"\t", b"r": b"\r", b"n": b"\n", b'"': b'"', b"\\": b"\\"}


def unescape(source: str) -> bytes:
    """The bytes of a text string written with its quotes."""
    return _ESCAPE.sub(lambda m: _ESCAPED[m[1]] if m[1] else bytes([int(m[2], 16)]), source[1:-1].encode())


def number(source: str) -> int | None:
    """An integer as YARA reads it; None for a float."""
    if "." in source:
        return None
    if source[:2] in ("0x", "0o"):
        return int(source, 0)
    scale = {"KB": 1 << 10, "MB": 1 << 20}.get(source[-2:], 1)
    return int(source.rstrip("KMB")) * scale


def parse(text: str) -> list[RuleText | Include]:
    """Rules and includes in order; raises ParseError where the text is no YARA, with its line."""
    return list(_Parser(text).items())


class _Parser:
    def __init__(self, text: str) -> None:
        self._breaks = [m.start() for m in re.finditer("\n", text)]
        self._tokens = list(self._lex(text))
        self._at = 0

    def _lex(self, text: str) -> Iterator[Token]:
        at = 0
        for found in _TOKENS.finditer(text):
            if found.start() != at:
                break
            kind = found.lastgroup or ""
            if kind != "space":
                yield Token(found[0] if kind == "operator" else kind, found[0], at)
            at = found.end()
        if at < len(text):
            raise ParseError(f"line {self._line(at)}: a character that no rule may hold")
        yield Token("end", "", at)

    def _line(self, at: int) -> int:
        return bisect_right(self._breaks, at - 1) + 1

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self, kind: str, text: str | None = None) -> Token:
        token = self._next
        if token.kind != kind or (text is not None and token.text != text):
            raise ParseError(f"line {self._line(token.at)}: unexpected {token.text!r}")
        self._at += 1
        return token

    def _skip(self, text: str) -> bool:
        """Whether the next token is this word or operator; steps over it if so."""
        found = self._next.text == text and self._next.kind in ("word", text)
        self._at += found
        return found

    def items(self) -> Iterator[RuleText | Include]:
        while self._next.kind != "end":
            if self._skip("import"):
                self._take("text")
            elif self._skip("include"):
                name = self._take("text")
                yield Include(name.text[1:-1], self._line(name.at))
            else:
                yield self._rule()

    def _rule(self) -> RuleText:
        scopes: set[str] = set()
        while self._next.text in ("private", "global"):
            scopes.add(self._take("word").text)
        self._take("word", "rule")
        name = self._take("word")
        tags: list[str] = []
        if self._skip(":"):
            while self._next.kind == "word":
                tags.append(self._take("word").text)
        self._take("{")
        meta = tuple(self._meta()) if self._skip("meta") else ()
        strings = tuple(self._strings()) if self._skip("strings") else ()
        self._take("word", "condition")
        self._take(":")
        begin = self._at
        while self._next.kind not in ("}", "end"):
            self._at += 1
        condition = tuple(self._tokens[begin : self._at])
        self._take("}")
        line = self._line(name.at)
        return RuleText(name.text, line, "private" in scopes, "global" in scopes, tuple(tags), meta, strings, condition)

    def _meta(self) -> Iterator[tuple[str, MetaValue]]:
        self._take(":")
        while self._next.kind == "word" and self._tokens[self._at + 1].kind == "=":
            key = self._take("word").text
            self._take("=")
            if self._skip("true") or self._skip("false"):
                yield key, self._tokens[self._at - 1].text == "true"
            elif self._next.kind == "text":
                yield key, unescape(self._take("text").text).decode("utf-8", "replace")
            else:
                sign = -1 if self._skip("-") else 1
                yield key, sign * (number(self._take("number").text) or 0)

    def _strings(self) -> Iterator[YaraString]:
        self._take(":")
        while self._next.kind == "string":
            name = self._take("string").text
            self._take("=")
            if self._next.kind not in ("text", "regex", "hex"):
                raise ParseError(f"line {self._line(self._next.at)}: unexpected {self._next.text!r}")
            value = self._take(self._next.kind)
            modifiers: dict[str, str] = {}
            while self._next.kind == "word" and self._next.text != "condition":
                modifier = self._take("word").text
                modifiers[modifier] = self._argument() if self._skip("(") else ""
            yield YaraString(name, value.kind, value.text, modifiers)

    def _argument(self) -> str:
        """What stands in the parentheses of `xor(1-255)` or `base64("…")`."""
        parts = []
        while not self._skip(")"):
            parts.append(self._next.text)
            self._take(self._next.kind)
        return "".join(parts)
