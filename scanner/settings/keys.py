"""What a configuration may say: one Key for each option of a command, made from the command itself."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scanner.model import Json


class Kind(StrEnum):
    """The type of a value, or of each of several. A text may be written as a whole number: `user: 1000`."""

    FLAG = "boolean"
    TEXT = "string"
    INTEGER = "integer"
    NUMBER = "number"


class Role(StrEnum):
    """What a text names. READS: a file or a folder that is read. WRITES: a file that is written. REPORT: `FORMAT[=FILE]`."""

    WORD = "word"
    READS = "reads"
    WRITES = "writes"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Key:
    """An option as a key: `name` without dashes, `parameter` as the command calls its value.

    `several` takes a list, or one value; `pairs` a mapping too (`limit: {archive-depth: 3}`). `least` and `most` bound a number,
    both included. `metavar` is what a value looks like, in capitals. `suffixes` are what a file that is written may end in.
    `refused` says why no file may set it, `named_only` why only one that the user names may. `check` raises ValueError, in words,
    for a text that the command would refuse.
    """

    name: str
    parameter: str
    kind: Kind
    help: str = ""
    several: bool = False
    pairs: bool = False
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    default: Json = None
    metavar: str = ""
    role: Role = Role.WORD
    suffixes: tuple[str, ...] = ()
    refused: str = ""
    named_only: str = ""
    check: Callable[[Any], object] | None = None
