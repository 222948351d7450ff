"""Small files that a launch names and that lie beside it. Nothing outside the project's folder is ever read."""

import os
import stat
from pathlib import Path

from scanner.errors import LimitError, ParseError, TargetError
from scanner.model import printable

SMALL = 256 << 10
LARGEST = 64 << 20
"""Bytes of one launch file."""


def folder_of(path: Path | None, project: Path | None) -> Path | None:
    """The folder that a launch file may reach into: its project's, else its own; None for standard input."""
    if project is None and path is None:
        return None
    try:
        return (project if project is not None else path.parent).resolve()  # type: ignore[union-attr]
    except (OSError, RuntimeError):
        return None


def within(folder: Path, name: str) -> Path | None:
    """Where the name leads, links followed; None if that is outside the folder, or nowhere."""
    if "\0" in name or len(name) > 4096:
        return None
    try:
        path = Path(folder, name).resolve()
    except (OSError, RuntimeError):
        return None
    return path if path.is_relative_to(folder) else None


def small_text(folder: Path, name: str) -> str | None:
    """The text of a regular file of at most 256 KiB within the folder; None if it is none, or no UTF-8."""
    path = within(folder, name)
    if path is None:
        return None
    try:
        # what was resolved is opened without following another link, and without waiting for a pipe
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            data = file.read(SMALL + 1)
        return data.decode() if len(data) <= SMALL else None
    except (OSError, UnicodeDecodeError):
        return None


def file_text(path: Path, name: str) -> str:
    """The text of a launch file, `name` for people.

    Raises TargetError where there is no such file or it cannot be read, LimitError, ParseError for what is no UTF-8.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise TargetError(f"{printable(name)} is no regular file; give its text by standard input (-)")
            data = file.read(LARGEST + 1)
    except FileNotFoundError as e:
        raise TargetError(f"{printable(name)}: there is no such file") from e
    except (OSError, ValueError) as e:
        raise TargetError(f"{printable(name)} cannot be read: {getattr(e, 'strerror', None) or e}") from e
    return decoded(data, name)


def decoded(data: bytes, name: str) -> str:
    """UTF-8 text of at most 64 MiB. Raises LimitError; ParseError with the place of the first byte that is none."""
    if len(data) > LARGEST:
        raise LimitError(f"{printable(name)} is larger than {LARGEST >> 20} MiB; no launch file is")
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        column = e.start - data.rfind(b"\n", 0, e.start)
        raise ParseError(f"{printable(name)}:{line}:{column}: no text in UTF-8: the byte {data[e.start]:#04x}") from e
