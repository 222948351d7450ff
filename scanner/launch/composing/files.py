"""Files of a project, read within its folder alone: no link, no `..` and no device leads out of it."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from scanner.errors import LimitError, TargetError
from scanner.launch.nearby import within

COMPOSE_FILE = 2 << 20
"""The longest Compose or env file that is read."""
FILES = 500


def absolute_path(path: Path) -> Path:
    """The path from the root, without `..`; links stay."""
    return Path(os.path.normpath(path.absolute()))


class OutsideError(Exception):
    """The path leads out of the project's folder; nothing was opened."""


@dataclass(slots=True)
class Folder:
    """`root` is the folder beyond which nothing is read (None: nothing is read at all), `shown` how the user names it."""

    root: Path | None
    shown: str
    opened: int = 0

    def name(self, path: Path) -> str:
        """A file of the project as the user would name it."""
        if self.root is not None:
            for base in (self.root, Path(os.path.realpath(self.root))):
                if path.is_relative_to(base):
                    inner = str(path.relative_to(base))
                    return inner if self.shown in ("", ".") else f"{self.shown.rstrip('/')}/{inner}"
        return str(path)

    def inside(self, path: Path) -> Path:
        """The path without links. Raises OutsideError."""
        found = within(Path(os.path.realpath(self.root)), str(path)) if self.root is not None else None
        if found is None:
            raise OutsideError
        return found

    def read(self, path: Path) -> str | None:
        """The text of a regular file; None where there is none. Raises OutsideError, LimitError, TargetError."""
        real = self.inside(path)
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as e:
            raise TargetError(f"{self.name(path)} cannot be read: {e.strerror}") from e
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            self.opened += 1
            if self.opened > FILES:
                raise LimitError(f"{self.name(path)}: the project names more than {FILES} files")
            data = file.read(COMPOSE_FILE + 1)
        if len(data) > COMPOSE_FILE:
            raise LimitError(f"{self.name(path)}: longer than {COMPOSE_FILE >> 20} MiB; no launch file is that long")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as e:
            raise TargetError(f"{self.name(path)} is no text in UTF-8: byte {e.start} is wrong") from e


def is_remote(name: str) -> bool:
    """Whether Compose would fetch it: a repository, a URL, an OCI artifact."""
    return "://" in name or name.startswith(("git@", "github.com/", "oci:"))
