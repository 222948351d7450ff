"""The repository that a file of this machine lies in, and the name that the file has there: the same from whatever folder one looks."""

import os
from pathlib import Path


def root_of(path: str | Path) -> Path | None:
    """The nearest folder with `.git` above the path, or the path itself if it has one; None where none has. A path that seems to lie
    in no repository is looked at where links lead."""
    whole = os.path.abspath(path)  # noqa: PTH100 - resolves no link
    return above(Path(whole)) or above(Path(os.path.realpath(path)))


def above(path: Path) -> Path | None:
    """The same by the path's own words alone, which has to be absolute."""
    return next((folder for folder in (path, *path.parents) if os.path.lexists(folder / ".git")), None)


def lasting(name: str) -> str:
    """A file's name from its repository's root, with `/`, whatever way led to it; without a repository from this process's folder
    where the file lies below it, else the whole path. What names no file (`standard input`, `container:agent`) stays as it is."""
    if not os.path.lexists(name):
        return name
    root, here = root_of(name), Path.cwd()
    whole, real = Path(os.path.abspath(name)), Path(os.path.realpath(name))  # noqa: PTH100 - the first resolves no link
    for folder, path in ((root, whole), (root, real), (here, whole)):
        if folder is not None and path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return str(whole)
