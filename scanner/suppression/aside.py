"""A report with the findings that are known set apart from those that count."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from scanner import globs
from scanner.model import (
    Aside,
    FileLocation,
    Finding,
    Ignore,
    Level,
    Notification,
    Report,
    Severity,
    Suppressed,
    never_aside,
    printable,
)
from scanner.suppression.baseline import Baseline, counted, take

FAR = timedelta(days=2 * 366)
"""An entry that lasts longer is followed, and said: nobody will look at it again."""
STAGE = "suppression"
_SHOWN = 5


@dataclass(slots=True)
class _Entry:
    """An entry that is ready to match, and what it met."""

    ignore: Ignore
    holds: bool
    rule: globs.Glob | None
    path: globs.Glob | None
    met: int = 0
    gates: list[Finding] = field(default_factory=list)
    """Findings that count again because it has expired."""


def set_aside(report: Report, ignores: Sequence[Ignore], baseline: Baseline | None, today: date) -> Report:
    """The report with every finding that an entry or the baseline names in `suppressed`, and a note on each that is not followed.

    An entry names a finding where all that it says holds: `rule` is a glob over the rule's id, `path` one over the primary location as
    shown (`opt/app.jar!/lib/x.so`, the outer file alone, and the line of the repository that made it), `image` one over
    `Target.repository`, without tag or digest as fingerprints are. Where several name it, the first that has not expired decides, and
    an entry comes before the baseline. `today` is the date in UTC; `expires` is the last day on which an entry holds.

    A baseline knows each fingerprint as often as it holds it: more of them count, and so does one that has become more severe.
    Raises ValueError for an entry whose glob is none.
    """
    image = globs.relative(report.target.repository)
    here: list[Ignore] = []
    elsewhere: list[Ignore] = []
    for one in ignores:
        (here if one.image is None or globs.of(one.image).matches(image) else elsewhere).append(one)
    entries = [_ready(one, today) for one in here]
    book = _Book(baseline)
    kept: list[Finding] = []
    aside: list[Suppressed] = []
    unfollowed: list[tuple[Finding, str, str]] = []
    of_rule: dict[str, list[_Entry]] = {}
    for finding in report.findings:
        if finding.rule_id not in of_rule:
            of_rule[finding.rule_id] = [e for e in entries if e.rule is None or e.rule.matches(finding.rule_id)]
        met = _met(of_rule[finding.rule_id], finding)
        named = next((e for e in met if e.holds), None)
        why = never_aside(finding)
        if why is not None:
            if named is not None:
                unfollowed.append((finding, f"the entry at {named.ignore.place}", why))
            elif book.has(finding):
                unfollowed.append((finding, f"the baseline {book.file}", why))
            kept.append(finding)
        elif named is not None:
            until = named.ignore.expires.isoformat()
            aside.append(Suppressed(finding, Aside.IGNORED, named.ignore.reason, named.ignore.place, until))
        elif book.takes(finding):
            aside.append(Suppressed(finding, Aside.BASELINE, "known when the baseline was written", book.file))
        else:
            kept.append(finding)
            for expired in met:
                expired.gates.append(finding)
    notes = [
        *_unfollowed(unfollowed),
        *(_expired(e) for e in entries if not e.holds),
        *(_far(e) for e in entries if e.holds and e.ignore.expires - today > FAR),
        *(_tagged(one, image) for one in elsewhere if _is_of(one.image, image)),
        *_idle([e for e in entries if e.holds and not e.met and _was_looked_for(e, report)]),
        *book.notes(),
    ]
    if not aside and not notes:
        return report
    return replace(
        report,
        findings=tuple(kept),
        suppressed=(*report.suppressed, *aside),
        notifications=(*report.notifications, *notes),
    )


def _ready(ignore: Ignore, today: date) -> _Entry:
    rule = None if ignore.rule is None else globs.of(ignore.rule)
    path = None if ignore.path is None else globs.of(ignore.path)
    return _Entry(ignore, today <= ignore.expires, rule, path)


def _met(candidates: Sequence[_Entry], finding: Finding) -> list[_Entry]:
    if not candidates:
        return []
    paths = _paths(finding)
    met = []
    for entry in candidates:
        fingerprint = entry.ignore.fingerprint
        if fingerprint is not None and not finding.fingerprint.startswith(fingerprint):
            continue
        if entry.path is not None and not any(map(entry.path.matches, paths)):
            continue
        entry.met += 1
        met.append(entry)
    return met


def _paths(finding: Finding) -> tuple[str, ...]:
    """All that a `path` may name: the location as shown, each file around it, and the file of the repository."""
    at = finding.locations[0]
    shown = [at.display]
    if isinstance(at, FileLocation):
        shown = [b"!/".join((at.path, *at.inner[:n])) for n in range(len(at.inner) + 1)]
    words = [one.decode("utf-8", "surrogateescape") for one in shown]
    if finding.source is not None:
        words.append(finding.source.file)
    return tuple(map(globs.relative, words))


class _Book:
    """The baseline, from which each finding takes what it was known as."""

    def __init__(self, baseline: Baseline | None) -> None:
        self.file = "" if baseline is None else baseline.file
        self._left = counted(() if baseline is None else baseline.entries)
        self._risen: list[tuple[Finding, Severity]] = []
        self._more: list[Finding] = []

    def has(self, finding: Finding) -> bool:
        return finding.fingerprint in self._left

    def takes(self, finding: Finding) -> bool:
        """Whether the finding is known, at least as severe; the mildest entry that serves is used up. Findings come worst first."""
        left = self._left.get(finding.fingerprint)
        if left is None:
            return False
        serves = [severity for severity in left if severity.rank >= finding.severity.rank]
        if serves:
            take(left, min(serves, key=lambda s: s.rank))
            return True
        if left:
            self._risen.append((finding, max(left, key=lambda s: s.rank)))
        else:
            self._more.append(finding)
        return False

    def notes(self) -> Iterable[Notification]:
        if self._risen:
            said = [f"{_named(f)} was {then.value} and is {f.severity.value}" for f, then in self._risen]
            yield _note(
                f"{_count(len(said), 'finding')} of the baseline {self.file} became more severe and count again: {_some(said)}"
            )
        if self._more:
            said = list(map(_named, self._more))
            yield _note(
                f"{_count(len(said), 'finding')} more than the baseline {self.file} knows at the same place: {_some(said)}"
            )


def _unfollowed(found: Sequence[tuple[Finding, str, str]]) -> Iterable[Notification]:
    """One note for each reason and each that was not followed."""
    groups: dict[tuple[str, str], list[str]] = {}
    for finding, who, why in found:
        groups.setdefault((who, why), []).append(_named(finding))
    for (who, why), names in groups.items():
        yield _note(f"{who} was not followed for {_some(names)}: {why}")


def _expired(entry: _Entry) -> Notification:
    ignore = entry.ignore
    if entry.gates:
        so = f"{_some(list(map(_named, entry.gates)))} count{'s' * (len(entry.gates) == 1)} again"
    elif entry.met:
        so = "it decides nothing here"
    else:
        so = "it matches nothing here; remove it"
    return _note(f"the entry at {ignore.place} expired on {ignore.expires.isoformat()}: {so}")


def _far(entry: _Entry) -> Notification:
    ignore = entry.ignore
    return _note(f"the entry at {ignore.place} holds until {ignore.expires.isoformat()}, which is more than two years")


_TAG = re.compile(r"(?::[\w][\w.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]+)?$")
"""What may follow an image's name (distribution/reference: tag and digest)."""


def _is_of(image: str | None, repository: str) -> bool:
    """Whether a glob that does not match names the image with its tag or digest, which no repository has."""
    name = _TAG.sub("", image or "", count=1)
    return bool(name) and name != image and globs.of(name).matches(repository)


def _tagged(ignore: Ignore, repository: str) -> Notification:
    named = printable(ignore.image or "", 60)
    return _note(
        f"the entry at {ignore.place} names the image {named} with its tag, and matches nothing: write {printable(repository, 100)}, for "
        "findings are known again under a new tag"
    )


def _was_looked_for(entry: _Entry, report: Report) -> bool:
    """Whether the report could have had a finding that the entry names: a scan knows nothing of rules on launches. An entry whose
    rule is none at all, a slip of the pen, is told by `sandscan config`."""
    return entry.rule is None or any(entry.rule.matches(rule.id) for rule in report.rules)


def _idle(entries: Sequence[_Entry]) -> Iterable[Notification]:
    if entries:
        what = "an entry matches" if len(entries) == 1 else f"{len(entries)} entries match"
        yield _note(f"{what} nothing here: {_some([f'{e.ignore.place} ({_says(e.ignore)})' for e in entries])}")


def _says(ignore: Ignore) -> str:
    said = (("rule", ignore.rule), ("path", ignore.path), ("image", ignore.image), ("fingerprint", ignore.fingerprint))
    return ", ".join(f"{key} {printable(value, 60)}" for key, value in said if value is not None)


def _named(finding: Finding) -> str:
    return f"{finding.rule_id} at {printable(finding.locations[0].display, 100)}"


def _some(said: Sequence[str]) -> str:
    more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return ", ".join(said[:_SHOWN]) + more


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _note(message: str) -> Notification:
    return Notification(STAGE, Level.NOTE, message)
