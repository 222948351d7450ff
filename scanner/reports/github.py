"""The report as workflow commands of GitHub Actions: a line at the file for each finding, where a reviewer sees it.

Format: docs.github.com, "Workflow commands for GitHub Actions"; how the runner reads a line: actions/runner,
src/Runner.Common/ActionCommand.cs. It takes every line that begins with `::`, so what comes from an image is escaped: in a
command's data `%`, CR and LF, in a property `:` and `,` too. Nothing can then end a command, or begin another.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from scanner.model import Finding, LaunchLocation, Level, Notification, Report, Rule, Severity, printable
from scanner.reports import words
from scanner.reports.plugin import Format, RenderOptions

SHOWN = 10
"""Annotations of one kind that GitHub shows of one step; it drops the others without a word."""
TITLE = 200
MESSAGE = 1_000
"""Characters of each part of a message; GitHub takes 64 KB of all, people read a few lines."""
GAPS = 3
"""Warnings that what was not read may take away from findings."""


class Kind(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


KIND = {
    Severity.CRITICAL: Kind.ERROR,
    Severity.HIGH: Kind.ERROR,
    Severity.MEDIUM: Kind.WARNING,
    Severity.LOW: Kind.NOTICE,
    Severity.NOTE: Kind.NOTICE,
}


def render(report: Report, options: RenderOptions) -> str:  # noqa: ARG001  # GitHub shows the same to everybody
    """At most ten commands of a kind, the worst findings first, errors before warnings before notices; the tenth says how
    many were left out. Nothing at all where nothing was found and everything was read."""
    lines: dict[Kind, list[str]] = {kind: [] for kind in Kind}
    lines[Kind.WARNING] += _gaps(report)
    rules = words.rules(report)
    for finding in words.worst_first(report.findings):
        kind = KIND[finding.severity]
        lines[kind].append(_finding(kind, finding, rules[finding.rule_id], report))
    lines[Kind.NOTICE] += [_notification(Kind.NOTICE, one) for one in report.notifications if not one.incomplete]
    return "".join(f"{line}\n" for kind in Kind for line in _bounded(kind, lines[kind]))


def _bounded(kind: Kind, lines: Sequence[str]) -> Iterator[str]:
    if len(lines) <= SHOWN:
        yield from lines
        return
    yield from lines[: SHOWN - 1]
    rest = words.many(len(lines) - SHOWN + 1, f"more {kind}")
    yield _command(kind, f"{rest}: GitHub shows {SHOWN} of a kind, the other reports have them all", "sandscan")


def _finding(kind: Kind, finding: Finding, rule: Rule, report: Report) -> str:
    title = f"sandscan, {finding.severity}: {words.plain(rule.name or rule.id, TITLE)} ({printable(rule.id, 60)})"
    parts = [words.sentence(words.plain(finding.message, MESSAGE) or title)]
    primary = finding.locations[0]
    if finding.source is not None or not isinstance(primary, LaunchLocation):
        hidden = words.state(finding, report)
        parts.append(f"Where: {words.place(primary)[:MESSAGE]}" + (f", {hidden}" if hidden else ""))
    if finding.source is not None and (how := words.source_how(finding.source)):
        parts.append(f"Why this line: {how}")
    if rule.help:
        parts.append(f"What to do: {words.plain(rule.help, MESSAGE)}")
    return _command(kind, "\n".join(parts), title, words.pointing(finding))


def _gaps(report: Report) -> Iterator[str]:
    """What was not read to its end: the whole in one line, then the first of them, errors before warnings."""
    gaps = [one for one in words.gaps_first(report.notifications) if one.incomplete]
    if not gaps:
        return
    yield _command(Kind.WARNING, words.sentence(words.incomplete(report)), "sandscan: incomplete")
    for one in gaps[:GAPS]:
        yield _notification(Kind.WARNING, one)


def _notification(kind: Kind, one: Notification) -> str:
    where = words.notification_place(one)[:MESSAGE]
    times = f" ({one.count:,} times)" if one.count > 1 else ""
    title = "sandscan: not read to its end" if one.level is not Level.NOTE else "sandscan: remark"
    return _command(kind, f"{f'{where}: ' if where else ''}{words.plain(one.message, MESSAGE)}{times}", title)


def _command(kind: Kind, message: str, title: str, place: tuple[str, int, int | None] | None = None) -> str:
    """`::error file=a,line=1,endLine=2,title=t::message` on one line, whatever is in it."""
    properties = []
    if place is not None:
        file, line, end = place
        properties = [("file", file), ("line", str(line)), *([("endLine", str(end))] if end is not None else [])]
    properties.append(("title", printable(title, TITLE)))
    said = ",".join(f"{name}={_property(value)}" for name, value in properties)
    return f"::{kind} {said}::{_data(message)}"


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


PLUGIN = Format("github", "lines at the files in GitHub Actions", (), render)
