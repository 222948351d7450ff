"""The files of a repository: found by their content, never through a link, within bounds."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from io import BufferedReader
from pathlib import Path

from scanner import roots
from scanner.errors import UsageError
from scanner.model import printable

MOST_ENTRIES = 200_000
"""Files and folders that are looked at."""
MOST_HASHED = 1 << 30
"""Bytes that are hashed for one scan."""
MOST_DOCKERFILES = 200
LARGEST_DOCKERFILE = 4 << 20
DEEPEST = 64
MOST_PROBLEMS = 20
LEFT_OUT = {".git", ".hg", ".svn"}

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass
class Repository:
    """A folder with all below it. `root` is resolved. `problems` say what was left out."""

    root: Path
    problems: list[str] = field(default_factory=list)
    _digests: dict[int, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    _hashed: int = 0

    @cached_property
    def files(self) -> dict[str, int]:
        """Every regular file by its path from the root, with its size; sorted."""
        return dict(sorted(self._walk()))

    @cached_property
    def names(self) -> frozenset[str]:
        """All files, and the folders that have any."""
        return frozenset(self.files).union(*(_above(path) for path in self.files))

    @cached_property
    def _by_size(self) -> dict[int, list[str]]:
        made: dict[int, list[str]] = {}
        for path, size in self.files.items():
            made.setdefault(size, []).append(path)
        return made

    def _walk(self) -> Iterator[tuple[str, int]]:
        pending, seen = [""], 0
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(self.root / folder) as listing:
                    for entry in listing:
                        seen += 1
                        if seen > MOST_ENTRIES:
                            self._say(f"more than {MOST_ENTRIES:,} files: the rest was not compared")
                            return
                        path = f"{folder}/{entry.name}" if folder else entry.name
                        if entry.is_dir(follow_symlinks=False):
                            if path.count("/") >= DEEPEST:
                                self._say(f"what lies deeper than {DEEPEST} folders was not compared")
                            elif entry.name not in LEFT_OUT:
                                pending.append(path)
                        elif entry.is_file(follow_symlinks=False):
                            yield path, entry.stat(follow_symlinks=False).st_size
            except OSError as e:
                self._say(f"{printable(folder) or 'the folder'} cannot be read: {e.strerror or e}")

    def same(self, sha256: str, size: int) -> tuple[str, ...]:
        """The files with these bytes, by path; only files of that size are read, and those once."""
        if size not in self._digests:
            made: dict[str, list[str]] = {}
            for path in self._by_size.get(size, ()):
                if (digest := self._digest(path, size)) is not None:
                    made.setdefault(digest, []).append(path)
            self._digests[size] = {digest: tuple(paths) for digest, paths in made.items()}
        return self._digests[size].get(sha256, ())

    def _digest(self, path: str, size: int) -> str | None:
        if self._hashed + size > MOST_HASHED:
            self._say(f"more than {MOST_HASHED >> 20} MiB to compare: not every file was compared")
            return None
        self._hashed += size
        try:
            with self._open(path) as file:
                found = _hashed(file, size)
                return None if file.read(1) else found
        except OSError as e:
            self._say(f"{printable(path)} cannot be read: {e.strerror or e}")
            return None

    def _say(self, problem: str) -> None:
        if problem not in self.problems and len(self.problems) <= MOST_PROBLEMS:
            is_last = len(self.problems) == MOST_PROBLEMS
            self.problems.append("more could not be read, and is not listed" if is_last else problem)

    def read(self, path: str, most: int) -> bytes | None:
        """A file's first bytes; None where it cannot be read, or a link leads to it."""
        try:
            with self._open(path) as file:
                return file.read(most)
        except OSError:
            return None

    def _open(self, path: str) -> BufferedReader:
        """A regular file below the root, no link followed on the way. Raises OSError."""
        with ExitStack() as stack:
            at = os.open(self.root, _FOLDER & ~os.O_NOFOLLOW)
            stack.callback(os.close, at)
            *folders, last = path.split("/")
            for folder in folders:
                at = os.open(folder, _FOLDER, dir_fd=at)
                stack.callback(os.close, at)
            fd = os.open(last, _FILE, dir_fd=at)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise OSError("no regular file")
            return open(fd, "rb")  # noqa: PTH123 - a descriptor

    def dockerfiles(self) -> tuple[str, ...]:
        """The files that are named as Dockerfiles are."""
        found = [path for path, size in self.files.items() if _is_dockerfile(path) and size <= LARGEST_DOCKERFILE]
        if len(found) > MOST_DOCKERFILES:
            self._say(f"more than {MOST_DOCKERFILES} Dockerfiles: name the one meant with --dockerfile")
            return ()
        return tuple(found)


def _hashed(file: BufferedReader, size: int) -> str:
    """Of as many bytes as the file had when it was listed: one that grows without end ends too."""
    digest = hashlib.sha256()
    while size > 0 and (chunk := file.read(min(size, 1 << 20))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest()


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _is_dockerfile(path: str) -> bool:
    name = path.rpartition("/")[2].lower()
    return (
        name in ("dockerfile", "containerfile")
        or name.startswith(("dockerfile.", "containerfile."))
        or (name.endswith((".dockerfile", ".containerfile")))
    )


def root_of(dockerfile: Path | None, repo: Path | None) -> Path:
    """The repository's root: `repo`, else the git root above the Dockerfile, else its folder. Raises UsageError."""
    if repo is not None:
        if not repo.is_dir():
            raise UsageError(f"--repo {printable(str(repo))}: no such folder")
        return repo.resolve()
    assert dockerfile is not None, "one of the two is there"
    folder = dockerfile.resolve().parent
    return roots.root_of(folder) or folder


def below(root: Path, file: Path) -> str:
    """The file's path from the root, with `/`. Raises UsageError where it lies elsewhere."""
    try:
        return file.resolve().relative_to(root).as_posix()
    except ValueError:
        raise UsageError(
            f"--dockerfile {printable(str(file))} does not lie in {printable(str(root))}; name the repository with --repo"
        ) from None
