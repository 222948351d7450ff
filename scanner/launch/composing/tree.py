"""A value of a Compose project while it is interpolated and merged: what it says, where it stands, what it hangs on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from scanner.errors import LimitError, ParseError
from scanner.launch.document import NULLS, Node
from scanner.model import printable
from scanner.model.launch import Place

VALUES = 500_000
"""Values of one project, counted as often as anchors, extends and volumes_from repeat them."""
_TRUE = frozenset(("true", "y", "yes", "on"))
_FALSE = frozenset(("false", "n", "no", "off"))
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]{1,16}|0[oO]?[0-7]{0,22}|0[bB][01]{1,64}|[1-9][0-9]{0,19})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One of `fields`, `items` and `text` is not None, save for a null.

    `node` is where the value stands, `key` the node of its key. `quoted` is a string whatever it says. `unknown` names the
    variables in `text` that nobody set (they stand there as written). `mark` is `!reset` or `!override`.
    """

    node: Node
    fields: "dict[str, Tree] | None" = None
    items: "tuple[Tree, ...] | None" = None
    text: str | None = None
    quoted: bool = False
    unknown: tuple[str, ...] = ()
    mark: str | None = None
    key: Node | None = None
    weight: int = field(default=1, repr=False)

    @property
    def place(self) -> Place:
        """Where the value stands; that of its key if it is a collection, which begins on the line after."""
        at = self.key if self.key is not None and (self.text is None or self.is_null) else self.node
        return at.place

    @property
    def is_null(self) -> bool:
        return (
            self.fields is None
            and self.items is None
            and (self.text is None or (self.text in NULLS and not self.quoted))
        )

    def get(self, key: str) -> "Tree | None":
        """The value of a key; None if it is absent or null."""
        value = self.fields.get(key) if self.fields is not None else None
        return None if value is None or value.is_null else value

    def at(self, *keys: str) -> "Tree | None":
        value: Tree | None = self
        for key in keys:
            value = value.get(key) if value is not None else None
        return value

    def pairs(self) -> "Iterator[tuple[str, Tree]]":
        yield from (self.fields or {}).items()

    def each(self) -> "tuple[Tree, ...]":
        """The elements of a list; a single value is a list of one."""
        if self.items is not None:
            return self.items
        return () if self.is_null or self.fields is not None else (self,)

    def string(self) -> str:
        """The scalar as Compose prints it: numbers and booleans lose what YAML makes of their writing."""
        text = self.text or ""
        if self.quoted or self.node.tag is not None:
            return text
        if text in NULLS:
            return ""
        if text in ("True", "TRUE", "False", "FALSE"):
            return text.lower()
        if text.isalpha():
            return text
        number = integer(text)
        if number is not None and -(1 << 63) <= number < 1 << 64:
            return str(number)
        return _go_float(float(text)) if _FLOAT.fullmatch(text) else text

    def flag(self) -> bool | None:
        """A boolean, quoted or not, as Compose casts it; None if it is none."""
        word = (self.text or "").lower()
        return True if word in _TRUE else False if word in _FALSE else None

    def number(self) -> int | None:
        return integer(self.text or "")


def integer(text: str) -> int | None:
    """A whole number as YAML 1.1 and Go write it (0x10, 010, 0b1); None if it is none."""
    text = text.replace("_", "") if text[:1] != "_" else text
    if not _INTEGER.fullmatch(text):
        return None
    digits = text.lstrip("+-").lower()
    base = {"0x": 16, "0b": 2, "0o": 8}.get(digits[:2], 8 if digits[:1] == "0" and len(digits) > 1 else 10)
    value = int(digits.removeprefix({16: "0x", 2: "0b"}.get(base, "0o")), base)
    return -value if text.startswith("-") else value


def _go_float(value: float) -> str:
    """As Go's %v prints it: the exponent from 1e21 on, and below 1e-4."""
    if value == 0 or 1e-4 <= abs(value) < 1e21:
        text = f"{value:.0f}" if value == int(value) else repr(value)
        return text if "e" not in text else f"{value:f}".rstrip("0")
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent:
        mantissa, _, exponent = f"{value:e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
    return (
        f"{mantissa.removesuffix('.0')}e{exponent[:1] if exponent[:1] in '+-' else '+'}{exponent.lstrip('+-').zfill(2)}"
    )


def scalar(text: str, like: Tree, unknown: tuple[str, ...] | None = None) -> Tree:
    """A string that stands where another value stands."""
    return Tree(like.node, text=text, quoted=True, unknown=like.unknown if unknown is None else unknown, key=like.key)


def mapping(fields: dict[str, Tree], like: Tree) -> Tree:
    return Tree(
        like.node, fields=fields, key=like.key, mark=like.mark, weight=1 + sum(f.weight for f in fields.values())
    )


def sequence(items: tuple[Tree, ...], like: Tree) -> Tree:
    return Tree(like.node, items=items, key=like.key, mark=like.mark, weight=1 + sum(i.weight for i in items))


def null(node: Node) -> Tree:
    return Tree(node, text="", quoted=False)


def under(value: Tree, key: Node | None) -> Tree:
    """The value as the one of another key."""
    return replace(value, key=key)


def broken(value: Tree, what: str) -> ParseError:
    """The error that points at a value."""
    return ParseError(f"{value.place}: {what}")


class Budget:
    """What a project may cost in all; whoever repeats values pays for them."""

    def __init__(self, values: int = VALUES) -> None:
        self._left = values
        self._characters = 64 << 20

    def spend(self, values: int, at: Place) -> None:
        self._left -= values
        if self._left < 0:
            raise LimitError(
                f"{at}: the project has more than {VALUES:,} values once it is put together; it is not read"
            )

    def characters(self, count: int, at: Place) -> None:
        self._characters -= count
        if self._characters < 0:
            raise LimitError(f"{at}: variables expand to more than 64 MiB; the project is not read")


def shown(text: str) -> str:
    """A name from the file, safe to print."""
    return printable(text, 80)
