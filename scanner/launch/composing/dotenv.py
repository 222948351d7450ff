"""`.env` and `env_file` as Compose reads them: quotes, export, comments, values over several lines, variables within."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scanner.errors import LimitError, ParseError
from scanner.launch.composing.interpolation import Lookup, substitute
from scanner.model import printable
from scanner.model.launch import Place

ENTRIES = 20_000
_SPACE = " \t\v\f\r\x85\xa0"
_ESCAPE = re.compile(r"\\(?:([abcfnrtv$\"\\])|0([0-9]{0,3}))")
_LETTERS = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "$": "$$",
    '"': '"',
    "\\": "\\",
}


@dataclass(frozen=True, slots=True)
class Variable:
    """`value` None: the name alone stands there, and nobody set it."""

    name: str
    value: str | None
    place: Place
    unknown: tuple[str, ...] = ()


def read_dotenv(text: str, file: str, outside: Lookup) -> dict[str, Variable]:
    """The variables of the file, the last of a name. Values see `outside` first, then what stands above them.

    Raises ParseError with the line of what Compose does not read; LimitError.
    """
    found: dict[str, Variable] = {}

    def lookup(name: str) -> str | None:
        value = outside(name)
        if value is not None:
            return value
        return found[name].value if name in found and not found[name].unknown else None

    for count, one in enumerate(_statements(text.removeprefix("\ufeff"), file, lookup)):
        if count >= ENTRIES:
            raise LimitError(f"{one.place}: more than {ENTRIES:,} variables")
        found[one.name] = one
    return found


def read_raw(text: str, file: str) -> dict[str, Variable]:
    """`format: raw`: KEY=VALUE as `docker run --env-file` takes it, nothing quoted, nothing substituted."""
    found: dict[str, Variable] = {}
    for number, written in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = written.lstrip(" \t\v\f\r")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.rstrip("\r").partition("=")
        place = Place(file, number)
        if not name or re.search(r"\s", name):
            raise ParseError(f"{place}: {printable(name, 60)!r} is no name of a variable")
        found[name] = Variable(name, value if equals else None, place)
        if len(found) > ENTRIES:
            raise LimitError(f"{place}: more than {ENTRIES:,} variables")
    return found


def _statements(text: str, file: str, lookup: Lookup) -> Iterator[Variable]:
    at, line, counted = 0, 1, 0
    while True:
        while at < len(text) and (text[at].isspace() or text[at] == "#"):
            if text[at] == "#":
                end = text.find("\n", at)
                at = len(text) if end < 0 else end
            else:
                at += 1
        if at >= len(text):
            return
        line, counted = line + text.count("\n", counted, at), at
        place = Place(file, line, at - text.rfind("\n", 0, at))
        name, at, alone = _name(text, at, place)
        if alone:
            yield Variable(name, lookup(name), place)
            continue
        raw, at, expands = _raw_value(text, at, place)
        if not expands:
            yield Variable(name, raw, place)
            continue
        value = substitute(raw, lookup, place)
        yield Variable(name, value.text, place, value.unknown)


_NAME = re.compile(r"[^=:\n]*")
_NAME_CHARACTERS = re.compile(r"[\w.\[\]-]+")
_QUOTED = {quote: re.compile(rf"((?:[^\\{quote}]|\\.)*+){quote}", re.DOTALL) for quote in "'\""}
_EXPORT = re.compile(r"export\s+")


def _name(text: str, at: int, place: Place) -> tuple[str, int, bool]:
    """The name, where its value begins, and whether it stands alone on its line."""
    exported = _EXPORT.match(text, at)
    if exported:
        at = exported.end()
    found = _NAME.match(text, at)
    raw = found.group() if found else ""
    name = raw.rstrip()
    if not _NAME_CHARACTERS.fullmatch(name):
        raise ParseError(f"{place}: {printable(raw, 60)!r} is no name of a variable")
    at += len(raw)
    if text[at : at + 1] in ("\n", ""):
        return name, at, True
    at += 1
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return name, at, False


def _raw_value(text: str, at: int, place: Place) -> tuple[str, int, bool]:
    """The value, where the rest begins, and whether variables in it are expanded."""
    quote = text[at : at + 1]
    if quote not in ("'", '"') or not quote:
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        return text[at:end].partition(" #")[0].rstrip(), end, True
    closing = _QUOTED[quote].match(text, at + 1)
    if closing is None:
        raise ParseError(f"{place}: the quote that opens the value is not closed")
    value = closing[1].replace("\\" + quote, quote)
    if quote == "'":
        return value, closing.end(), False
    return _ESCAPE.sub(_meant, value), closing.end(), True


def _meant(found: re.Match[str]) -> str:
    if found[1]:
        return _LETTERS.get(found[1], found.group())
    digits = found[2]
    if len(digits) != 3 or not set(digits) <= set("01234567") or int(digits, 8) > 255:
        return found.group()
    return chr(int(digits, 8))


def values(variables: Mapping[str, Variable]) -> dict[str, str]:
    """Those whose value is known."""
    return {name: v.value for name, v in variables.items() if v.value is not None and not v.unknown}
