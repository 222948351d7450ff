"""Configuration read tolerantly: JSON with comments, trailing commas and no outer braces; YAML, TOML, INI and env by lines.

Nothing nests calls, nothing fails: a miner reads sloppy files too.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

DEEP = 64
"""Objects within objects; what lies deeper keeps the path of this depth."""
MOST = 200_000
"""Pairs read from one file."""

JSON_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/)?|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*+"?|'(?:[^'\\\n]|\\.)*+'?)
    |(?P<mark>[{}\[\]:,])
    |(?P<bare>[^\s{}\[\]:,"'/\#]++|/)""",
    re.VERBOSE,
)
_LINE = re.compile(
    r"""(?mx)^[ \t]*(?:-[ \t]+)?(?:export[ \t]+|ENV[ \t]+|set[ \t]+)?["']?(?P<key>[A-Za-z_][\w.-]{0,60})["']?[ \t]*(?:=|:(?=[ \t"']|$))[ \t]*
    (?P<value>"[^"\n]{0,2000}"|'[^'\n]{0,2000}'|[^\n]{0,2000})"""
)
_ITEM = re.compile(r"""(?m)^[ \t]*-[ \t]+(?P<value>"[^"\n]{1,2000}"|'[^'\n]{1,2000}'|[^\s#][^\n]{0,2000})$""")


@dataclass(frozen=True, slots=True)
class Pair:
    """`key` in lower case with `-` for `_`, the `group` of the object it stands in, `value` as text, its `offset` in characters."""

    group: int
    key: str
    value: str
    offset: int


def looks_like_json(text: str) -> bool:
    """Whether the file is JSON in the loose sense, comments before it and missing braces forgiven."""
    bare = re.sub(r"^(?:\s+|//[^\n]*\n|/\*(?:[^*]|\*(?!/))*+\*/|#[^\n]*\n|﻿)*+", "", text[:20000])
    return bare[:1] in ("{", "[") or re.match(r'"[\w.-]{1,60}"\s*:', bare) is not None


def pairs(text: str, loose_json: bool) -> Iterator[Pair]:
    """The keys with their values, in order: at most MOST of them."""
    reader = _json_pairs(text) if loose_json else _line_pairs(text)
    for number, pair in enumerate(reader):
        if number == MOST:
            return
        yield pair


def _text(token: str) -> str:
    try:
        value = json.loads(token) if token.startswith('"') else token.strip("'")
    except ValueError:
        value = token.strip("\"'")
    return str(value)


def _normal(key: str) -> str:
    return key.lower().replace("_", "-")


def _json_pairs(text: str) -> Iterator[Pair]:
    stack: list[tuple[int, str]] = [(0, "")]
    groups, key, pending = 0, "", ""
    after_colon = False
    for token in JSON_TOKEN.finditer(text):
        kind, raw = token.lastgroup, token.group()
        if kind == "comment":
            continue
        if kind == "mark":
            if raw in "{[":
                groups += 1 if raw == "{" else 0
                inherited = key if after_colon else stack[-1][1]
                if len(stack) < DEEP:
                    stack.append((groups if raw == "{" else stack[-1][0], inherited))
                if after_colon:
                    yield Pair(stack[-1][0], _normal(key), "", token.start())
                key, after_colon = "", False
            elif raw in "}]":
                if len(stack) > 1:
                    stack.pop()
                key, after_colon = "", False
            elif raw == ":":
                key, after_colon = pending, True
            else:
                key, after_colon = "", False
            continue
        pending = _text(raw) if kind == "string" else raw
        if after_colon:
            yield Pair(stack[-1][0], _normal(key), pending, token.start())
            after_colon = False
        elif stack[-1][1]:
            # an item of a list that has a key; a key of an object is told apart by the colon behind it
            yield Pair(stack[-1][0], _normal(stack[-1][1]) + "[]", pending, token.start())


def _line_pairs(text: str) -> Iterator[Pair]:
    found = [(m.start("value"), m["key"], m["value"]) for m in _LINE.finditer(text)]
    found += [(m.start("value"), "[]", m["value"]) for m in _ITEM.finditer(text)]
    for offset, key, value in sorted(found):
        cleaned = re.sub(r"\s+[#;].*$", "", value) if value[:1] not in "\"'" else value
        yield Pair(0, _normal(key.removeprefix("--")), cleaned.strip().strip("\"'"), offset)
