"""Where the configuration is: in the current folder or the nearest one above it, up to the repository's root."""

import stat
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

from scanner.errors import ScannerError, UsageError
from scanner.model import printable

NAMES = (".sandscan.yaml", ".sandscan.yml")
PYPROJECT = "pyproject.toml"
_PARENTS = 100


@dataclass(frozen=True, slots=True)
class Found:
    """The file that holds, and the one beside it that does not."""

    path: Path
    instead_of: Path | None = None


def find(start: Path) -> Found | None:
    """The nearest configuration from the folder `start` upwards; None if there is none.

    The search ends at the folder that holds `.git`: nothing above a repository says anything about it. Outside of a repository only
    `start` itself counts, and a folder such as /tmp is no repository's, whatever lies in it: whoever may write there must not decide
    about what lies below.
    Raises UsageError where a folder has both spellings.
    """
    start = start.absolute()
    folders = [start, *islice(takewhile(lambda above: not _is_shared(above), start.parents), _PARENTS)]
    root = next((n for n, folder in enumerate(folders) if _there(folder / ".git")), 0)
    for folder in folders[: root + 1]:
        own = [folder / name for name in NAMES if _there(folder / name)]
        if len(own) > 1:
            raise UsageError(
                f"{printable(str(folder))} has {NAMES[0]} and {NAMES[1]}: which of them holds? Remove one of them"
            )
        project = folder / PYPROJECT
        in_project = _there(project) and has_table(project)
        if own:
            return Found(own[0], project if in_project else None)
        if in_project:
            return Found(project)
    return None


def has_table(project: Path) -> bool:
    """Whether pyproject.toml has a table `tool.sandscan`. One that cannot be read, or is no TOML, has none that anybody could follow;
    but where it seems to have one, it is taken to, so that whoever loads it says what is wrong."""
    from scanner.launch.nearby import file_text
    from scanner.launch.tomltext import read_toml

    try:
        text = file_text(project, PYPROJECT)
    except ScannerError:
        return False
    if "sandscan" not in text:
        return False
    try:
        return read_toml(text, PYPROJECT).at("tool", "sandscan") is not None
    except ScannerError:
        return "tool.sandscan" in text


def _is_shared(folder: Path) -> bool:
    """Whether everybody may put files into a folder, each their own: /tmp, /var/tmp, /dev/shm."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISVTX and mode & stat.S_IWOTH)


def _there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True
