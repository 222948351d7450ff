"""The report for a person at a terminal: what, where, which layer and instruction, why we believe it, what to do.

Whatever comes from the image goes through `printable` and into rich as Text, so that neither the terminal nor rich's
markup obeys it. Long paths fold, they are never cut.
"""

from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import groupby
from typing import TYPE_CHECKING

from scanner.model import Evidence, FileLocation, Finding, Notification, Report, Rule, Severity, printable
from scanner.reports import words
from scanner.reports.plugin import Format, RenderOptions

if TYPE_CHECKING:
    from rich.console import RenderableType

NARROWEST = 24
PER_GROUP = 10
"""Findings of one rule and severity that are shown whole; `verbose` shows PER_GROUP_VERBOSE."""
PER_GROUP_VERBOSE = 1_000
NOTICES = 20
NOTICES_VERBOSE = 1_000

STYLE = {
    Severity.CRITICAL: "bold white on red",
    Severity.HIGH: "bold red",
    Severity.MEDIUM: "bold yellow",
    Severity.LOW: "bold cyan",
    Severity.NOTE: "bold",
}

Rows = Iterable[tuple[str, str]]


def render(report: Report, options: RenderOptions) -> str:
    from rich.console import Console

    out = StringIO()
    console = Console(
        file=out,
        width=max(options.width, NARROWEST),
        color_system="standard" if options.color else None,
        force_terminal=options.color,
        no_color=not options.color,
        force_jupyter=False,
        force_interactive=False,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={},  # what the terminal can do is in the options, and nowhere else
    )
    for part in _parts(report, options):
        console.print(part)
    return "\n".join(line.rstrip(" ") for line in out.getvalue().split("\n"))


def _parts(report: Report, options: RenderOptions) -> "Iterator[RenderableType]":
    yield from _header(report)
    rules = words.rules(report)
    findings = words.worst_first(report.findings)
    for (severity, rule_id), group in groupby(_together(findings), key=lambda f: (f.severity, f.rule_id)):
        yield ""
        yield from _group(severity, rules[rule_id], list(group), report, options)
    yield from _notices(report, options)
    yield ""
    yield from _summary(report)


def _together(findings: list[Finding]) -> list[Finding]:
    """Findings of one severity with those of one rule side by side, rules in the order of their surest finding."""
    first: dict[tuple[Severity, str], int] = {}
    for i, finding in enumerate(findings):
        first.setdefault((finding.severity, finding.rule_id), i)
    return sorted(findings, key=lambda f: (-f.severity.rank, first[f.severity, f.rule_id]))


def _header(report: Report) -> "Iterator[RenderableType]":
    from rich.text import Text

    tool = f"{printable(report.tool.name)} {printable(report.tool.version)}"
    yield Text(f"{tool}: {words.target(report)}", "bold", overflow="fold")
    yield ""
    image = "  ".join(filter(None, (words.short(report.image.id), printable(report.image.platform))))
    rows = [("image", image), ("size", words.extent(report)), ("found", words.tally(report.findings))]
    if ready := words.ready(report):
        rows.append(("ready", f"{ready} (the JSON report lists them)"))
    yield _rows(rows, 2)
    if not report.complete:
        yield from _alarm(words.incomplete(report))


def _alarm(sentence: str) -> "Iterator[RenderableType]":
    from rich.padding import Padding
    from rich.text import Text

    yield Padding(Text(sentence, "bold red", overflow="fold"), (0, 0, 0, 2))


def _summary(report: Report) -> "Iterator[RenderableType]":
    from rich.text import Text

    text = Text(overflow="fold")
    if report.findings:
        text.append(f"{words.tally(report.findings)}; {words.extent(report)}{words.pace(report)}")
    else:
        text.append(words.nothing_found(report))
    if not report.complete:
        text.append("; ")
        text.append(words.incomplete(report), "bold red")
    text.append(".")
    yield text


# ---- findings


def _group(
    severity: Severity, rule: Rule, findings: list[Finding], report: Report, options: RenderOptions
) -> "Iterator[RenderableType]":
    from rich.padding import Padding
    from rich.text import Text

    heading = Text(overflow="fold")
    heading.append(f" {severity.upper()} " if options.color else severity.upper(), STYLE[severity])
    heading.append(f" {words.plain(rule.name, 200)} ", "bold")
    heading.append(f"({printable(rule.id)})" + (f", {len(findings):,} times" if len(findings) > 1 else ""), "dim")
    yield heading
    whole = options.verbose or severity is not Severity.NOTE
    shown = findings[: PER_GROUP_VERBOSE if options.verbose else PER_GROUP]
    for finding in shown:
        yield Padding(Text(words.plain(finding.message, 1_000), overflow="fold"), (0, 0, 0, 2))
        yield _rows(_finding(finding, report, options) if whole else _briefly(finding), 4)
    if len(findings) > len(shown):
        yield Padding(Text(_rest(len(findings) - len(shown), options), overflow="fold"), (0, 0, 0, 2))
    if whole and rule.help:
        yield Padding(Text(f"What to do: {words.plain(rule.help, 4_000)}", "italic", overflow="fold"), (0, 0, 0, 2))


def _rest(count: int, options: RenderOptions) -> str:
    how = "" if options.verbose else "--verbose shows more, "
    return f"… and {count:,} more: {how}the JSON report has them all"


def _briefly(finding: Finding) -> Rows:
    yield "where", words.place(finding.locations[0])


def _finding(finding: Finding, report: Report, options: RenderOptions) -> Rows:
    primary, others = finding.locations[0], finding.locations[1:]
    limit = 2_000 if options.verbose else 130
    yield "where", words.place(primary)
    if isinstance(primary, FileLocation):
        maker = words.instruction(primary.layer.created_by, limit)
        yield "layer", words.layer(primary.layer).removeprefix("layer ") + (f" {maker}" if maker else "")
    if hidden := words.state(finding, report, limit):
        yield "state", hidden
    shown = others if options.verbose else others[:5]
    for i, other in enumerate(shown):
        layer = f", layer {other.layer.index}" if isinstance(other, FileLocation) else ""
        yield "" if i else "also", words.place(other) + layer
    if len(others) > len(shown):
        yield "", f"and {len(others) - len(shown):,} more places"
    by_kind = words.kinds(finding.evidence)
    yield "why", f"{finding.confidence} confidence, {words.many(len(by_kind), 'kind')} of evidence:"
    for kind, found in by_kind.items():
        yield from (_all_evidence if options.verbose else _some_evidence)(kind, found, finding)


def _some_evidence(kind: str, found: list[Evidence], finding: Finding) -> Rows:
    """One line a kind: its first excerpts, and the file where it is another one."""
    excerpts = [shown for one in found[:3] if (shown := printable(one.excerpt, 100))]
    more = f" (+{len(found) - 3:,})" if len(found) > 3 else ""
    away = next((one for one in found if one.path and not words.is_at(one, finding.locations[0])), None)
    where = f" in {words.evidence_place(away)}" if away else ""
    yield "", f"- {printable(kind)}: {', '.join(excerpts) or 'seen'}{more}{where}"


def _all_evidence(kind: str, found: list[Evidence], finding: Finding) -> Rows:
    for one in found:
        here = not one.path or words.is_at(one, finding.locations[0])
        where = words.position(one.line, one.offset) if here else f", {words.evidence_place(one)}"
        yield "", f"- {printable(kind)}: {printable(one.excerpt, 1_000) or 'seen'}{where}"


# ---- what was not read


def _notices(report: Report, options: RenderOptions) -> "Iterator[RenderableType]":
    ordered = words.gaps_first(report.notifications)
    gaps = [one for one in ordered if one.incomplete]
    notes = [one for one in ordered if not one.incomplete]
    yield from _notice_block("Not read to the end", "bold red", gaps, options)
    yield from _notice_block("Remarks", "bold", notes, options)


def _notice_block(
    title: str, style: str, notifications: list[Notification], options: RenderOptions
) -> "Iterator[RenderableType]":
    from rich.text import Text

    if not notifications:
        return
    yield ""
    yield Text(title, style)
    shown = notifications[: NOTICES_VERBOSE if options.verbose else NOTICES]
    yield _rows(((str(one.level), _notice(one)) for one in shown), 2)
    if rest := notifications[len(shown) :]:
        yield _rows([("", _rest(sum(one.count for one in rest), options))], 2)


def _notice(one: Notification) -> str:
    where = words.notification_place(one)
    times = f" ({one.count:,} times)" if one.count > 1 else ""
    return (f"{where}: " if where else "") + words.plain(one.message, 1_000) + times


def _rows(rows: Rows, indent: int) -> "RenderableType":
    """Labels left, text right, as wide as it may be."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0), expand=False)
    grid.add_column(min_width=7, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in rows:
        grid.add_row(Text(label, "dim"), Text(text, overflow="fold"))
    return Padding(grid, (0, 0, 0, indent))


PLUGIN = Format("text", "for a person at a terminal", (".txt",), render)
