"""What the rules on a run's changes share: the changes, their contents, and one way to make a finding of them."""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from scanner import masked
from scanner.model import (
    Confidence,
    Evidence,
    FileLocation,
    Finding,
    Json,
    Kind,
    Layer,
    Level,
    Notification,
    Rule,
    Severity,
    fingerprint,
    printable,
)
from scanner.model.run import ChangeKind, FileChange

LISTED = 200
"""Files that one finding names; how many there are, it says in any case."""
FINDINGS = 200
"""Of one rule. More are said."""
LINKS = 8
"""Links that are followed one after the other."""

ENTRANCE = re.compile(
    rb"etc|root|home|home/[^/]+|(?:.*/)?\.ssh|(?:root|home/[^/]+)/\.config(?:/(?:systemd(?:/user)?|autostart))?|var/spool/(?:cron|at)(?:/[^/]+)?"
    rb"|(?:usr/local/)?etc/(?:cron\.(?:d|daily|hourly|weekly|monthly)|systemd(?:/(?:system|user))?|init\.d|rc[0-6S]?\.d|profile\.d|sudoers\.d|pam\.d"
    rb"|ld\.so\.conf\.d|ssh|apt(?:/apt\.conf\.d)?|update-motd\.d|xdg(?:/autostart)?|udev(?:/rules\.d)?|doas\.d)",
    re.DOTALL,
)
"""Folders in which something looks for what to start, whom to let in and what to load."""
Content = Callable[[bytes], bytes | None]


@dataclass(frozen=True)
class Drift:
    """The changes of a run as the rules see them. `before` and `after` give a changed file's old and new content, None where
    there is none or it was not read. `layer` is the run's own. `expects(change, rule_id)`: a policy expects the change and
    covers the rule, so that no finding is made of it (None: there is no policy). `starts` are the words that the container starts with.
    """

    changes: tuple[FileChange, ...]
    before: Content
    after: Content
    layer: Layer
    repository: str = ""
    expects: Callable[[FileChange, str], bool] | None = None
    starts: tuple[str, ...] = ()
    notes: list[Notification] = field(default_factory=list)

    @cached_property
    def by_path(self) -> Mapping[bytes, FileChange]:
        return {change.path: change for change in self.changes}

    @cached_property
    def _entrances(self) -> Mapping[bytes, list[bytes]]:
        """The links of this run in whose place a folder is looked for, by the folder that they lead to."""
        found: dict[bytes, list[bytes]] = {}
        for change in self.changes:
            if change.after is None or change.after.kind is not Kind.SYMLINK or not ENTRANCE.fullmatch(change.path):
                continue
            target, link = change.path, change
            for _ in range(LINKS):
                target = resolved(target, (link.after.link_target if link.after else None) or b"")
                following = self.by_path.get(target)
                if following is None or following.after is None or following.after.kind is not Kind.SYMLINK:
                    break
                link = following
            found.setdefault(target, []).append(change.path)
        return found

    def names(self, change: FileChange) -> Sequence[bytes]:
        """The paths under which the file is found: its own, and those through links of this run to a folder above it."""
        if not self._entrances:
            return (change.path,)
        found = [change.path]
        above, slash, _ = change.path.rpartition(b"/")
        while slash:
            rest = change.path[len(above) :]
            found += (link + rest for link in self._entrances.get(above, ())[:LINKS])
            above, slash, _ = above.rpartition(b"/")
        return found

    def of(self, rule: Rule) -> Sequence[FileChange]:
        """The changes that no policy takes away from the rule."""
        if self.expects is None:
            return self.changes
        return [change for change in self.changes if not self.expects(change, rule.id)]

    def new(self, change: FileChange) -> bytes | None:
        """The content that stands at the path now, where a link leads if it is one and leads to a changed file.

        b"" for what is gone or is no file; None where it was not read, which is noted.
        """
        seen = change
        for _ in range(LINKS):
            if seen.after is None or seen.after.kind not in (Kind.SYMLINK, Kind.FILE, Kind.HARDLINK):
                return b""
            if seen.after.kind is not Kind.SYMLINK:
                return self._read(self.after, seen, "now")
            target = resolved(seen.path, seen.after.link_target or b"")
            if target not in self.by_path:
                data = self.after(target)
                if data is None:
                    self.unread(change, f"is a link to /{printable(target)} now: what stands there was not read")
                return data
            seen = self.by_path[target]
        self.unread(change, "is a link to a link to a link …: it was not read")
        return None

    def old(self, change: FileChange) -> bytes | None:
        """The content before; b"" where there was none; None where it was not read, which is noted."""
        if change.before is None or change.before.kind not in (Kind.FILE, Kind.HARDLINK):
            return b""
        return self._read(self.before, change, "before")

    def both(self, change: FileChange) -> tuple[bytes, bytes] | None:
        """Old and new content, None where either was not read."""
        new = self.new(change)
        old = self.old(change)
        return None if old is None or new is None else (old, new)

    def _read(self, content: Content, change: FileChange, when: str) -> bytes | None:
        data = content(change.path)
        if data is None:
            self.unread(change, f"was changed, and what stands in it {when} was not read: it was not judged")
        return data

    def unread(self, change: FileChange, what: str) -> None:
        """Note that something of the change was not judged, once."""
        note = Notification("drift", Level.WARNING, what, change.path, layer=self.layer.index)
        if note not in self.notes:
            self.notes.append(note)

    def finding(
        self,
        rule: Rule,
        at: FileChange | Sequence[FileChange],
        severity: Severity,
        confidence: Confidence,
        message: str,
        *,
        details: Mapping[str, Json] | None = None,
        identity: Iterable[bytes | str] = (),
        place: bytes | None = None,
        line: int | None = None,
        excerpts: Iterable[tuple[str, str]] = (),
    ) -> Finding:
        """A finding on one change, or on several that belong together, the first the primary one.

        `place` stands for the path in the fingerprint where the files may be others the next time; `excerpts` are (kind, text)
        of evidence. Owner, time and place of the change are added to the details.
        """
        changes = [at] if isinstance(at, FileChange) else list(at)
        first = changes[0]
        facts: dict[str, Json] = {
            "change": first.change.value,
            "owner": owner(first),
            "time": when(first),
            "held_by": first.place,
            "expected": first.expected,
            **(details or {}),
        }
        evidence = tuple(
            Evidence("drift", kind, first.path, line=line, excerpt=printable(masked.text(text)))
            for kind, text in (*excerpts, ("change", said(first)))
        )
        return Finding(
            rule_id=rule.id,
            severity=severity,
            confidence=confidence,
            message=message,
            locations=tuple(FileLocation(c.path, self.layer, line=line if c is first else None) for c in changes[:20]),
            evidence=evidence,
            fingerprint=fingerprint(rule.id, self.repository, first.path if place is None else place, *identity),
            details=facts,
        )


def resolved(path: bytes, target: bytes) -> bytes:
    """Where a link at the path leads, without leading slash and never above the root; folders on the way are taken as they
    are called."""
    joined = target if target.startswith(b"/") else posixpath.join(b"/" + posixpath.dirname(path), target)
    return posixpath.normpath(joined).lstrip(b"/")


def owner(change: FileChange) -> str:
    """Whose the file is (was): `root`, or `uid 1000`."""
    state = change.after or change.before
    if change.user is not None:
        return printable(change.user, 60)
    return f"uid {state.uid}" if state is not None else "nobody known"


def when(change: FileChange) -> str | None:
    """The time of the change as RFC 3339 in UTC, None where nothing says."""
    return clock(change.time)


def clock(seconds: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339 in UTC; None for none, and for a time that no calendar has."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None


def said(change: FileChange) -> str:
    """`added, root, 0755, 48120 bytes, 2026-11-26T12:00:00Z`."""
    state = change.after or change.before
    words = [change.change.value, owner(change)]
    if state is not None:
        words += [
            f"{state.mode & 0o7777:04o}",
            state.kind.value if state.kind is not Kind.FILE else f"{state.size} bytes",
        ]
    if (time := when(change)) is not None:
        words.append(time)
    return ", ".join(words)


def by(change: FileChange) -> str:
    """` by root at 2026-11-26T12:00:00Z`, for the end of a message."""
    time = when(change)
    return f" (owner {owner(change)}{f', {time}' if time else ''})"


def shown(path: bytes) -> str:
    return "/" + printable(path, 160)


def listed(changes: Sequence[FileChange]) -> list[Json]:
    """The files for a finding's details: path, owner, time, size."""
    return [
        {"path": shown(c.path), "owner": owner(c), "time": when(c), "size": c.after.size if c.after else None}
        for c in changes[:LISTED]
    ]


def is_file(change: FileChange) -> bool:
    return change.after is not None and change.after.kind in (Kind.FILE, Kind.HARDLINK)


def written(change: FileChange) -> bool:
    """It has content that it had not before."""
    return change.change in (ChangeKind.ADDED, ChangeKind.MODIFIED)


def text(data: bytes) -> str:
    """Any bytes as text, one character for each that is no UTF-8."""
    return data.decode("utf-8", "surrogateescape")
