"""Roots before and after a run, written down file by file, and the changes between them as the comparison gives them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from fixtures.elf import Program, build
from scanner.model import Finding, Kind, Layer, Level, Notification
from scanner.model.run import ChangeKind, FileChange, FileState
from scanner.runtime.drift import Drift, judge
from scanner.runtime.drift.expected import expect
from scanner.runtime.drift.policy import Policy

EARLY, LATE = 1_700_000_000.0, 1_800_000_000.0
ELF = build(Program(strings=b"an honest program\n"))
OTHER_ELF = build(Program(strings=b"an honester program\n"))
LAYER = Layer(3, None, "what the run changed")


@dataclass(frozen=True)
class F:
    """A file: content, or the target of a link. `unread`: it is there, and its content is not handed over."""

    content: bytes | str = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    link: str | None = None
    capability: str = ""
    modified: float | None = None
    unread: bool = False

    @property
    def data(self) -> bytes:
        return self.content.encode() if isinstance(self.content, str) else self.content


Root = Mapping[str, F | str | bytes]


def _files(root: Root) -> dict[bytes, F]:
    return {path.encode("utf-8", "surrogateescape"): f if isinstance(f, F) else F(f) for path, f in root.items()}


def _state(file: F, time: float) -> FileState:
    modified = file.modified if file.modified is not None else time
    if file.link is not None:
        return FileState(Kind.SYMLINK, 0o777, file.uid, file.gid, 0, modified, time, link_target=file.link.encode())
    digest = f"sha256:{hashlib.sha256(file.data).hexdigest()}"
    return FileState(
        Kind.FILE, file.mode, file.uid, file.gid, len(file.data), modified, time, digest, None, file.capability
    )


def changes(before: Root, after: Root) -> tuple[FileChange, ...]:
    old, new = _files(before), _files(after)
    found = []
    for path in sorted(old.keys() | new.keys()):
        b, a = old.get(path), new.get(path)
        if a == b:
            continue
        was, now = (None if b is None else _state(b, EARLY)), (None if a is None else _state(a, LATE))
        if was is None:
            change = ChangeKind.ADDED
        elif now is None:
            change = ChangeKind.DELETED
        elif (was.kind, was.digest, was.link_target) == (now.kind, now.digest, now.link_target):
            change = ChangeKind.METADATA
        else:
            change = ChangeKind.MODIFIED
        seen = a or b
        assert seen is not None
        runs = seen.link is None and (
            seen.data[:4] == b"\x7fELF" or (seen.data[:2] == b"#!" and bool(seen.mode & 0o111))
        )
        user = {0: "root", 1000: "agent"}.get(seen.uid)
        found.append(FileChange(path, change, "writable layer", was, now, user, runs))
    return tuple(found)


def drift(before: Root, after: Root, policy: Policy | None = None, starts: tuple[str, ...] = ()) -> Drift:
    old, new = _files(before), _files(after)

    def content(files: dict[bytes, F], path: bytes) -> bytes | None:
        file = files.get(path)
        return None if file is None or file.unread or file.link is not None else file.data

    known = expect(changes(before, after), lambda p: content(old, p), lambda p: content(new, p), policy)
    return Drift(
        known.changes,
        lambda p: content(old, p),
        lambda p: content(new, p),
        LAYER,
        "app",
        known.covers,
        starts,
        [Notification("drift", Level.WARNING, p) for p in known.problems],
    )


def judged(before: Root, after: Root, **more: object) -> list[Finding]:
    """All findings of the rules on the changes."""
    return [f for f in judge(drift(before, after, **more)) if isinstance(f, Finding)]  # type: ignore[arg-type]


def of(rule: str, before: Root, after: Root, **more: object) -> list[Finding]:
    return [f for f in judged(before, after, **more) if f.rule_id == rule]


def noted(before: Root, after: Root) -> list[Notification]:
    return [n for n in judge(drift(before, after)) if isinstance(n, Notification)]
