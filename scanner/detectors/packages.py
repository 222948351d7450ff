"""Package databases stay with their layers, so that judges can ask which packages an image has and who owns a file."""

import re
from collections.abc import Iterator

from scanner.content import Content
from scanner.content.budget import Budget
from scanner.detectors.plugin import Detector, Wants
from scanner.errors import LimitError, ScannerError
from scanner.model import Evidence, Finding, Json, Kept, Level, Limits, Notification, printable
from scanner.oci.packages import KEEPS, RPM
from scanner.oci.view import ImageView

_RPM = re.compile(RPM)
_PENDING = rb"\A(?:var/lib|usr/lib/sysimage|usr/share)/rpm/rpmdb\.sqlite-(?:wal|journal)\Z"
"""Beside a SQLite database: changes that are not in it yet (sqlite.org/tempfiles.html)."""


def inspect(content: Content) -> Iterator[Evidence | Kept | Notification]:
    """An rpm database as the document that Packages reads; what was not read of it is a notification."""
    if content.inner or content.size == 0:
        return  # a database within an archive is not the image's
    if not _RPM.search(content.path):
        if re.search(_PENDING, content.path):
            yield _missing(content, "it may hold changes that are not in the database yet, and was not read")
        return
    from scanner.content import rpmdb

    if content.size > rpmdb.MOST:
        yield _missing(content, f"it was not read: it is larger than {rpmdb.MOST} bytes")
        return
    try:
        told, document = _read(content)
    except ScannerError as e:
        # what took too long or too much may do with the next try
        yield _missing(content, f"it was not read: {e}", "worker" if isinstance(e, LimitError) else "content")
        return
    yield Kept(content.path, document)
    problems = told.get("problems") if isinstance(told, dict) else None
    for problem in problems if isinstance(problems, list) else ():
        yield _missing(content, f"it was not read whole: {problem}")


def _read(content: Content) -> tuple[Json, bytes]:
    """Raises ParseError for what is no database, LimitError where time or memory run out."""
    from scanner.content import rpmdb

    if content.worker is None:
        return rpmdb.read(content.data)
    with content.worker.opened(rpmdb.read, content.data, {}, Budget(Limits()), 0) as (told, held):
        if held.error is not None:
            raise held.error
        return told, bytes(held.view)


def _missing(content: Content, what: str, stage: str = "content") -> Notification:
    return Notification(stage, Level.WARNING, printable(f"of the package database: {what}", 500), content.path)


def judge(_: ImageView) -> tuple[Finding, ...]:
    """Packages are no findings; others ask for them."""
    return ()


PLUGIN = Detector(
    "packages", version=1, rules=(), wants=Wants(paths=(RPM, _PENDING), keeps=KEEPS), inspect=inspect, judge=judge
)
