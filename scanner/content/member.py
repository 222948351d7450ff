"""What the readers of archive formats hand over."""

from collections.abc import Generator
from dataclasses import dataclass

from scanner.content.budget import Exhausted
from scanner.errors import LimitError, ScannerError


@dataclass(slots=True)
class Member:
    """A regular file in an archive. `data` is valid until the reader is asked for the next; None: as its archive."""

    name: bytes
    data: memoryview
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something of an archive that could not be read: of a member, or (name None) of the archive from there on.

    `damaged` where the bytes are wrong, not where a password or a limit stands before them; `seen` where they lie plain
    in the file, so that the look at the file was a look at them.
    """

    message: str
    name: bytes | None = None
    damaged: bool = True
    seen: bool = False


Members = Generator[Member | Problem, None, None]


def problem(error: ScannerError, name: bytes | None) -> Problem:
    """The error as a member's problem, after which the archive goes on; raises it again where the budget is used up."""
    if isinstance(error, Exhausted):
        raise error
    return Problem(str(error), name, damaged=not isinstance(error, LimitError))
