"""Which files of a repository are looked at, each read once: what git would commit below a folder, and whatever is named outright.

git is asked for names alone (git-ls-files(1)), with everything switched off by which a repository's configuration could make it run a
program or show another folder: core.fsmonitor, core.hooksPath, the fetching of objects that a partial clone lacks (which runs
core.sshCommand), core.worktree, and a bare repository that lies among the files (git-config(1), git(1)).
"""

import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scanner.errors import LimitError, UsageError
from scanner.model import Level, Notification, printable
from scanner.roots import above

FILES = 100_000
"""Files that are looked at; a repository with more is named in parts."""
LARGEST = 256 << 20
"""Bytes of one file."""
BYTES = 2 << 30
"""Bytes of all files together."""
KEPT = 1 << 20
"""Bytes up to which a file stays in memory: no Dockerfile, script or launch file is larger."""
DEEP = 64
_GIT_SECONDS = 30
_GIT_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.untrackedCache=false",
    "safe.bareRepository=explicit",
)
_GIT_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
"""No protocol is called `none`: older versions of git, which fetch whatever they are told, find none that they may speak."""
_CHUNK = 1 << 20
_NEVER = frozenset({".git", ".hg", ".svn", ".jj"})
"""Folders of version control, which hold the past and not the repository."""
_UNTOUCHED = frozenset(
    {"node_modules", ".venv", "venv", "__pycache__", ".tox", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
)
"""Folders that a plain walk leaves out: where there is git, `.gitignore` says so."""


@dataclass(frozen=True, slots=True)
class Picked:
    """A file to look at: `name` from the repository's root with `/`, `path` by which it is opened. `named`: outright, so that it may be
    a link."""

    name: str
    path: Path
    named: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """A picked file's bytes. `data` is the whole content where it is small, else None: `fd` then stands at its begin."""

    picked: Picked
    fd: int
    size: int
    mode: int
    modified: float
    data: bytes | None

    def chunks(self) -> Iterator[bytes]:
        """The content, once."""
        if self.data is not None:
            yield self.data
            return
        while chunk := os.read(self.fd, _CHUNK):
            yield chunk


def pick(paths: Sequence[Path], notes: list[Notification]) -> list[Picked]:
    """The files that the paths come to, each once, by name.

    Raises UsageError where a path does not exist, or is neither a file nor a folder, and LimitError for more than FILES.
    """
    found: dict[str, Picked] = {}
    roots: dict[str, Path] = {}
    for path in paths:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as e:
            why = getattr(e, "strerror", None) or e
            raise UsageError(f"{printable(str(path))}: {why}; there is nothing to look at") from e
        root = root_of(path)
        if stat.S_ISDIR(mode):
            some: Iterator[Picked] = _folder(path, root, notes)
        elif stat.S_ISREG(mode):
            some = iter((Picked(_named(path, root), path, named=True),))
        else:
            raise UsageError(f"{printable(str(path))} is neither a file nor a folder")
        for one in some:
            known = found.get(one.name)
            if known is not None and roots[one.name] != root:  # two repositories have a file of that name
                one = Picked(os.path.abspath(one.path), one.path, one.named)  # noqa: PTH100, PLW2901 - resolves no link
            found[one.name] = one
            roots.setdefault(one.name, root)
            if len(found) > FILES:
                raise LimitError(f"{printable(str(path))} holds more than {FILES:,} files; name a part of it")
    return [found[name] for name in sorted(found)]


def root_of(path: Path) -> Path:
    """The repository's root above a path: where `.git` is, else this process's folder if the path lies in it, else the path's own."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` would follow links out of the repository
    folder = absolute if absolute.is_dir() else absolute.parent
    here = Path.cwd()
    return above(folder) or (here if folder.is_relative_to(here) else folder)


def _named(path: Path, root: Path) -> str:
    return Path(os.path.abspath(path)).relative_to(root).as_posix()  # noqa: PTH100 - as above


def _folder(folder: Path, root: Path, notes: list[Notification]) -> Iterator[Picked]:
    """The regular files below a folder; no link is followed."""
    told = _by_git(folder, root) if (root / ".git").exists() else None
    names = iter(told) if told is not None else _by_walk(folder, notes)
    prefix = Path(os.path.abspath(folder))  # noqa: PTH100 - as above
    for name in names:
        path = folder / os.fsdecode(name)
        try:
            mode = path.lstat().st_mode
        except (OSError, ValueError):
            continue  # git still knows a file that was removed
        if stat.S_ISREG(mode):
            yield Picked(_named(prefix / os.fsdecode(name), root), path)
        elif stat.S_ISDIR(mode):
            shown = _named(prefix / os.fsdecode(name), root)
            message = "is a repository of its own within this one; name it to have it looked at"
            notes.append(Notification("source", Level.NOTE, message, os.fsencode(shown)))


def _by_git(folder: Path, root: Path) -> list[bytes] | None:
    """What git knows or would add below the folder; None where git cannot tell."""
    command = ["git", "-C", str(folder), "--work-tree", os.path.abspath(root)]  # noqa: PTH100 - resolves no link
    command += [word for setting in _GIT_SETTINGS for word in ("-c", setting)]
    command += ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = {**kept, **_GIT_ENVIRONMENT, "GIT_CEILING_DIRECTORIES": os.path.dirname(os.path.abspath(root))}  # noqa: PTH100, PTH120
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_GIT_SECONDS, check=False, env=environment
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    if done.returncode:
        return None
    inside = (name for name in done.stdout.split(b"\0") if name and not name.startswith((b"/", b"../")))
    return [name.rstrip(b"/") for name in inside if b"/../" not in name]


def _by_walk(folder: Path, notes: list[Notification]) -> Iterator[bytes]:
    base = os.fsencode(folder)

    def unreadable(error: OSError) -> None:
        where = os.fsencode(error.filename or folder)
        notes.append(Notification("source", Level.WARNING, f"cannot be read: {error.strerror}", where))

    left_out: list[bytes] = []
    for at, folders, files in os.walk(base, onerror=unreadable, followlinks=False):
        inner = os.path.relpath(at, base)
        left_out += (at + b"/" + one for one in sorted(folders) if os.fsdecode(one) in _UNTOUCHED)
        folders[:] = sorted(f for f in folders if os.fsdecode(f) not in _NEVER | _UNTOUCHED)
        if inner.count(b"/") >= DEEP and folders:
            notes.append(Notification("source", Level.WARNING, f"more than {DEEP} folders deep: not read", at))
            folders[:] = []
        for name in sorted(files):
            yield name if inner == b"." else inner + b"/" + name
    if left_out:
        more = f", and {len(left_out) - 1:,} more such folders" if len(left_out) > 1 else ""
        what = (
            f"left out, for git does not say whether it belongs to the repository{more}; name it to have it looked at"
        )
        notes.append(Notification("source", Level.NOTE, what, left_out[0]))


def opened(picked: Sequence[Picked], notes: list[Notification]) -> Iterator[Opened]:
    """Each file, open until the next one is asked for; what cannot be read is told in the notes."""
    left = BYTES
    for one in picked:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if one.named else os.O_NOFOLLOW)
        try:
            fd = os.open(one.path, flags)
        except OSError as e:
            notes.append(_unread(one, f"cannot be read: {e.strerror}"))
            continue
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                notes.append(_unread(one, "is no file any more"))
            elif info.st_size > LARGEST:
                notes.append(_unread(one, f"larger than {LARGEST >> 20} MiB: not read"))
            elif info.st_size > left:
                notes.append(_unread(one, f"not read: the files before it hold {BYTES >> 30} GiB already"))
            else:
                left -= info.st_size
                data = _whole(fd, info.st_size) if info.st_size <= KEPT else None
                size = info.st_size if data is None else len(data)
                yield Opened(one, fd, size, stat.S_IMODE(info.st_mode), info.st_mtime, data)
        except OSError as e:
            notes.append(_unread(one, f"cannot be read: {e.strerror}"))
        finally:
            os.close(fd)


def _whole(fd: int, size: int) -> bytes:
    data = os.read(fd, size + 1)
    while len(data) < size and (more := os.read(fd, size - len(data))):
        data += more
    return data[: KEPT + 1]


def _unread(one: Picked, why: str) -> Notification:
    return Notification("source", Level.WARNING, why, os.fsencode(one.name))
