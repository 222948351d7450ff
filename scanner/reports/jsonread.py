"""Reading JSON that sandscan wrote: small readers put together, each of which names the place of what it refuses."""

from collections.abc import Callable
from enum import StrEnum
from math import isfinite
from typing import Any

from scanner.model import printable
from scanner.reports.jsontext import DEPTH

MOST = 1 << 64
"""No size, number or offset of this world is as large; what is, no report could show."""


class Wrong(Exception):
    """`message` about the value at `path`, which grows from the inside out."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path

    def inside(self, step: str) -> "Wrong":
        return Wrong(self.message, step + self.path)


Reader = Callable[[Any], Any]
"""Takes a value of a JSON document and returns what it stands for, or raises Wrong."""


def of(kind: type, article: str) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise Wrong(f"is not {article}")
        return value

    return read


def integer(least: int) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not int or value < least:
            raise Wrong(f"is not a whole number from {least}")
        if value >= MOST:
            raise Wrong("is more than anything that is counted")
        return value

    return read


def number(value: Any) -> Any:
    """Any number that is one; whole ones too."""
    if type(value) not in {int, float}:
        raise Wrong("is not a number")
    try:
        read = float(value)
    except OverflowError:
        read = float("inf")
    if not isfinite(read):
        raise Wrong("is not a number that a computer counts to")
    return read


def optional(reader: Reader) -> Reader:
    return lambda value: None if value is None else reader(value)


def one_of(kind: type[StrEnum]) -> Reader:
    known = {one.value: one for one in kind}

    def read(value: Any) -> Any:
        if not isinstance(value, str) or value not in known:
            raise Wrong(f"is not one of {', '.join(known)}")
        return known[value]

    return read


def array(reader: Reader, least: int = 0) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list) or len(value) < least:
            raise Wrong("is not an array" if least == 0 else f"is not an array of {least} or more")
        items = []
        for item in value:
            try:
                items.append(reader(item))
            except Wrong as e:
                raise e.inside(f"[{len(items)}]") from None
        return tuple(items)

    return read


def record(make: Callable[..., Any], **readers: Reader) -> Reader:
    """Reads an object that has exactly these fields and calls `make` with them."""

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong("is not an object")
        if value.keys() != readers.keys():
            unknown = ", ".join(sorted(value.keys() - readers.keys()))
            missing = ", ".join(sorted(readers.keys() - value.keys()))
            raise Wrong(f"lacks {missing}" if missing else f"has fields that are not known here: {printable(unknown)}")
        fields = {}
        for name, reader in readers.items():
            try:
                fields[name] = reader(value[name])
            except Wrong as e:
                raise e.inside(f".{name}") from None
        return make(**fields)

    return read


def raw(value: Any) -> Any:
    try:
        return text(value).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as e:
        raise Wrong("is not a path: it holds half of a surrogate pair") from e


def free(value: Any) -> Any:
    """An object of facts, as deep as `canonical` leaves it."""
    if not isinstance(value, dict):
        raise Wrong("is not an object")
    if _depth(value) > DEPTH:
        raise Wrong("is nested too deeply")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
    return depth


def at(step: str, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except Wrong as e:
        raise e.inside(step) from None


def renamed(make: Callable[..., Any], **names: str) -> Callable[..., Any]:
    """`make` is called with fields under the model's names where the document has others."""
    return lambda **fields: make(**{names.get(name, name): value for name, value in fields.items()})


text = of(str, "a string")
texts = array(text)
flag = of(bool, "true or false")
