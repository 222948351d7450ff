"""What the configuration languages share: the files they are given, the lines they point at, and what was wrong there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One file: where it lies in the image, and its bytes."""

    path: bytes
    data: bytes


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A line of a file, counted from 1. A path of b"" is the command line, and the line the place of the option there."""

    path: bytes
    line: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a line, or was cut off there, in one sentence."""

    where: Where
    message: str


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """An OpenSSH release; patch levels (p1) and a distribution's revisions do not change the language."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"
