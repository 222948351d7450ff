"""Findings that somebody has seen and set aside: counted, kept in the report, no reason to fail."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from scanner.model.finding import Finding


class Aside(StrEnum):
    """BASELINE: the finding was there when the baseline was written. IGNORED: an entry of the configuration names it."""

    BASELINE = "baseline"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Ignore:
    """One entry of `ignore:` in the configuration: whatever it says must hold for a finding to be set aside.

    `rule`, `path` and `image` are globs (`*` within a part, `**` across parts), None: any; one of them is there. `fingerprint` is a finding's
    whole fingerprint or the first 16 digits or more. `reason` is never empty; `expires` is the last day on which it holds.
    `place` is `file:line` of the entry, for messages.
    """

    reason: str
    expires: date
    place: str
    rule: str | None = None
    path: str | None = None
    image: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that does not count towards the exit code. `place` is the file (and line) that says so; `expires` RFC 3339's
    full-date, None where it holds for good (a baseline)."""

    finding: Finding
    how: Aside
    reason: str
    place: str
    expires: str | None = None
