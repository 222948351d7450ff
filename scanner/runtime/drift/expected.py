"""Changes that are no surprise: what package managers wrote, caches, and what a policy declares. Nothing of it is lost:
the change stays in the report with the reason.

A package's word is the container's own: whoever is root in it can write the database as well. So it lowers what ordinary
files weigh and silences nothing; only a policy does, and what matters most only where it names the rule.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from scanner.model import Kind
from scanner.model.run import ChangeKind, FileChange
from scanner.runtime.drift.drift import Content
from scanner.runtime.drift.packages import Hashed, recognised
from scanner.runtime.drift.policy import ORDINARY, Expectation, Policy

POLICY = "policy: "
CACHE = "cache: "


@dataclass(frozen=True)
class Expected:
    """`changes` with their reasons; `policy` for what it takes from a rule; `problems` is what of a database was not read."""

    changes: tuple[FileChange, ...]
    policy: Policy
    problems: tuple[str, ...] = ()

    def covers(self, change: FileChange, rule: str) -> bool:
        """A policy expects the change and covers findings of the rule on it."""
        return self.policy.covers(change.path, change.change, rule)


def expect(
    changes: Sequence[FileChange],
    before: Content,
    after: Content,
    policy: Policy | None = None,
    hashed: Hashed = lambda _path, _algorithm: None,
) -> Expected:
    """Every change with the reason why it was to be expected; a policy's word goes before a package's, that before a cache's.

    A policy that leaves rules on ordinary files in force does not hide that a package has the file: it counts for these rules.
    """
    policy = policy or Policy(())
    owned, problems = recognised(changes, before, after, hashed)
    paths = {c.path: c for c in changes}
    result = []
    for change in changes:
        declared = policy.entry(change.path, change.change)
        package = owned.get(change.path)
        if declared is not None and (package is None or all(map(declared.covers, ORDINARY))):
            why: str | None = f"{POLICY}{declared.words}"
        else:
            why = package or _cache(change, paths)
        result.append(replace(change, expected=why) if why else change)
    return Expected(tuple(result), policy, problems)


def by_package(change: FileChange) -> bool:
    """A package manager's database says that the file is its own."""
    return change.expected is not None and not change.expected.startswith((POLICY, CACHE))


_MAINTAINER = (b".preinst", b".postinst", b".prerm", b".postrm", b".config")
_CACHES: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("apt's lists", lambda p: p.startswith((b"var/lib/apt/lists/", b"var/cache/apt/"))),
    ("dpkg's database", lambda p: p.startswith(b"var/lib/dpkg/") and not p.endswith(_MAINTAINER)),
    ("apk's cache", lambda p: p.startswith((b"var/cache/apk/", b"lib/apk/db/", b"etc/apk/"))),
    ("the linker's cache", lambda p: p in (b"etc/ld.so.cache", b"var/cache/ldconfig/aux-cache")),
    ("fontconfig's cache", lambda p: p.startswith(b"var/cache/fontconfig/")),
    ("debconf's answers", lambda p: p.startswith(b"var/cache/debconf/")),
    ("man's index", lambda p: p.startswith(b"var/cache/man/")),
    ("pytest's cache", lambda p: b"/.pytest_cache/" in b"/" + p),
    ("mypy's cache", lambda p: b"/.mypy_cache/" in b"/" + p),
    ("pip's cache", lambda p: b"/.cache/pip/" in b"/" + p),
)


def _cache(change: FileChange, paths: Mapping[bytes, FileChange]) -> str | None:
    """What holds copies of what is elsewhere. Nothing that can be started is a cache."""
    state = change.after or change.before
    if change.executable or state is None or state.kind not in (Kind.FILE, Kind.HARDLINK, Kind.DIRECTORY):
        return None
    source = compiled_from(change.path)
    if source is not None:
        origin = paths.get(source)
        return None if origin is not None and origin.change is ChangeKind.DELETED else f"{CACHE}Python's compiled files"
    return next((CACHE + what for what, holds in _CACHES if holds(change.path)), None)


def compiled_from(path: bytes) -> bytes | None:
    """The source of a compiled Python file by PEP 3147: `a/__pycache__/b.cpython-311.pyc` is of `a/b.py`."""
    folder, _, name = path.rpartition(b"/")
    parent, slash, last = folder.rpartition(b"/")
    if last != b"__pycache__" or not name.endswith(b".pyc"):
        return None
    return parent + slash + name.split(b".", 1)[0] + b".py"


__all__ = ["Expectation", "Expected", "Policy", "by_package", "compiled_from", "expect"]
