"""JSON as editors write it, comments and trailing commas included, as (path, value, line): no tree, no recursion, never an error."""

import re
from collections.abc import Iterator

DEEP = 32
"""Objects within objects; what lies deeper has no place."""
MOST = 1 << 16
"""Characters of one string."""
_TOKEN = re.compile(
    r"""(?P<skip>[\s]+|//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/)?)
    |"(?P<string>(?:[^"\\\n]|\\.)*+)"
    |(?P<sign>[{}\[\]:,])
    |(?P<bare>[^\s{}\[\]:,"]++)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}

Path = tuple[str | int, ...]


def values(text: str) -> Iterator[tuple[Path, str, int]]:
    """Every string, number and word with the keys that lead to it and its line."""
    keys: list[str | int | None] = []
    deep = 0  # brackets open beyond DEEP
    waits: str | None = None  # a string that is a key if a colon follows
    waits_line = line = 1
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind in ("string", "bare"):
            if waits is not None:
                yield _path(keys), waits, waits_line
            waits = _plain(token[kind][:MOST]) if kind == "string" else token[kind][:MOST]
            waits_line = line
        elif kind == "sign":
            sign = token.group()
            if sign == ":" and waits is not None:
                if keys and not deep and not isinstance(keys[-1], int):
                    keys[-1] = waits
                waits = None
            else:
                if waits is not None:
                    if not deep:
                        yield _path(keys), waits, waits_line
                    waits = None
                if sign in "{[":
                    if len(keys) >= DEEP:
                        deep += 1
                    else:
                        keys.append(0 if sign == "[" else None)
                elif sign in "}]":
                    if deep:
                        deep -= 1
                    elif keys:
                        keys.pop()
                elif sign == "," and keys and not deep:
                    last = keys[-1]
                    keys[-1] = last + 1 if isinstance(last, int) else None
        line += token.group().count("\n")
    if waits is not None and not deep:
        yield _path(keys), waits, waits_line


def _path(keys: list[str | int | None]) -> Path:
    return tuple("" if key is None else key for key in keys)


def _plain(text: str) -> str:
    return _ESCAPE.sub(_meant, text) if "\\" in text else text


def _meant(found: re.Match[str]) -> str:
    if found[1]:
        number = int(found[1], 16)
        return chr(number) if number not in range(0xD800, 0xE000) else "?"
    return _LETTERS.get(found[2], found[2])
