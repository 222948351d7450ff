"""What a run added to the files by which programs are started: line by line, as each kind of file is read."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.detectors.launchers import points
from scanner.detectors.launchers.lines import LINE
from scanner.detectors.launchers.points import Point
from scanner.model import Kind
from scanner.model.run import FileChange
from scanner.runtime.drift.drift import Drift, text

BYTES = 2 << 20
"""Of a launch point. An honest one is a hundredth of it; more of it is not read, and that is said."""
LINES = 20_000
LONGEST = 16384
"""Characters of a line that are taken apart into words. More are said."""
ADDED = 5000
"""Lines of one file that are looked at one by one."""


ENABLING = re.compile(
    rb"(?P<unit>(?:etc|usr/lib|lib|run)/systemd/(?:system|user)/(?:[^/]+\.(?:wants|requires|upholds)/)?[^/]+\Z)"
    rb"|etc/(?:rc[0-6S]\.d/[SK]\d\d[^/]+|(?:runlevels/[^/]+|init\.d|sv|service)/[^/]+)\Z",
    re.DOTALL,
)
"""Places of links by which systemd, a SysV init, OpenRC or runit start a service."""
_PATHS = re.compile(points.PATHS)
"""Asked first: of very many paths few are launch points."""


@dataclass(frozen=True, slots=True)
class Added:
    """A line that was not there before: `runs` is what it starts as shell text, `raw` the line as it stands, from 1 counted."""

    line: int
    runs: str
    raw: str


@dataclass(frozen=True, slots=True)
class Start:
    """A launch point that the run wrote: what kind it is, and what it starts now that it did not before."""

    change: FileChange
    point: Point
    added: tuple[Added, ...]


def starts(drift: Drift) -> tuple[Start, ...]:
    """Every launch point among the changes that starts something on its own and has something added, by path.

    A program where scripts are looked for (in cron.daily, say) is started itself. What was not read is noted.
    """
    found = []
    for change in drift.changes:
        names = [name for name in drift.names(change) if _PATHS.search(name)]
        path, point = next(((n, p) for n in names if (p := points.point(n)) is not None), (change.path, None))
        if point is None or point.starts == "manual" or change.after is None or change.after.kind is Kind.DIRECTORY:
            continue
        if (
            change.before is not None
            and change.after.digest is not None
            and change.before.digest == change.after.digest
        ):
            continue  # another owner or mode: what it starts is the same
        if change.after.kind is Kind.SYMLINK and ENABLING.match(change.path):
            continue  # what it enables is told as that
        if point.what == "git hook" and change.path.endswith(b".sample"):
            continue
        contents = drift.both(change)
        if contents is None:
            continue
        if contents[1][:4] == b"\x7fELF":
            name = "/" + text(change.path)
            found.append(Start(change, point, (Added(1, name, name),)))
            continue
        added = added_lines(point, contents[0], contents[1], path)
        if added is None:
            drift.unread(change, f"holds more than {BYTES} bytes or {LINES} lines: it was not judged as a {point.what}")
        elif added:
            if len(added) == ADDED:
                drift.unread(change, f"has {ADDED} new lines or more: those behind them were not judged")
            if any(len(one.runs) > LONGEST for one in added):
                drift.unread(
                    change, f"has lines of more than {LONGEST} characters: what stands behind them was not judged"
                )
            found.append(Start(change, point, added))
    return tuple(found)


def added_lines(point: Point, old: bytes, new: bytes, path: bytes = b"") -> tuple[Added, ...] | None:
    """What of a launch point's text is new, () for nothing; None where it is too large to be told."""
    if len(new) > BYTES or len(old) > BYTES or new.count(b"\n") > LINES or old.count(b"\n") > LINES:
        return None
    if point.holds and not any(word in new for word in point.holds):
        return ()
    known = {one.runs for one in _lines(point, text(old), path)}
    fresh: dict[str, Added] = {}
    for one in _lines(point, text(new), path):
        if one.runs not in known:
            fresh.setdefault(one.runs, one)
            if len(fresh) == ADDED:
                break
    return tuple(fresh.values())


_COMMENT = re.compile(r"\s*(?:#|;|//|--|$)")


def _lines(point: Point, content: str, path: bytes) -> Iterator[Added]:
    raw = content.split("\n")
    if point.language or not points.is_shell(content):
        for number, line in enumerate(raw, 1):
            if not _COMMENT.match(line):
                yield Added(number, line.strip()[:LINE], line.strip()[:LINE])
        return
    for script in point.scripts(content, path):
        for offset, line in enumerate(script.text.split("\n"), 1):
            if _COMMENT.match(line):
                continue
            number = script.origin.at(offset)
            whole = raw[number - 1] if 0 < number <= len(raw) else line
            yield Added(number, " ".join(line.split())[:LINE], whole.strip()[:LINE])


def words(runs: str) -> tuple[str, ...]:
    """The words of a line of shell text, quotes taken off; where it cannot be taken apart, those between blanks."""
    try:
        found = shlex.split(runs[:LONGEST], comments=False)
    except ValueError:
        found = runs[:LONGEST].split()
    return tuple(w for word in found for w in re.split(r"[;|&()<>]+", word) if w)


def assignments(runs: str) -> Iterator[tuple[str, str]]:
    """NAME and value of each assignment in a line of shell text."""
    for word in words(runs):
        name, equals, value = word.partition("=")
        if equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            yield name, value
