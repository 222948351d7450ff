"""The report as GitHub-flavoured Markdown, for a job's step summary or a comment.

Everything that comes from the image stands in a code span (paths, excerpts, instructions) or has every character that
Markdown, HTML or GitHub gives a meaning written as a character reference: no markup, no mention, no link of its making.
"""

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from scanner.model import (
    ConfigLocation,
    FileLocation,
    Finding,
    Notification,
    Report,
    Rule,
    Severity,
    SourceLine,
    printable,
)
from scanner.model.egress import Answer, Destination, Egress, SandboxReach, Verdict
from scanner.model.run import FileChange, Run
from scanner.reports import reach, timeline, watched, words
from scanner.reports.plugin import Format, RenderOptions

LIMIT = 1_000_000
"""GitHub drops a step summary of more than 1 MiB (1,048,576 bytes) whole."""
ROWS = 500
DETAILS = 100
NOTICES = 100
EXCERPTS = 5
SANDBOXES = 50
"""Rows of the matrix, and sandboxes that are told one by one; sandboxes with the same verdicts share a row."""
NAMES = 10
PERMITS = 10
MOMENTS = 30
"""Moments, targets and folders of a run."""
TAIL = 2_000
"""Bytes kept free for the sentences that say what was left out."""


def render(report: Report, options: RenderOptions) -> str:
    findings = words.worst_first(report.findings)
    page = _Page()
    for line in _head(report):
        page.add(line)
    if report.egress is not None:
        _egress(page, report.egress, options)
    if report.run is not None:
        _run(page, report, report.run, options)
    if findings:
        _table(page, findings, report, options)
    _set_aside(page, report)
    _notices(page, report, options)
    if findings:
        _details(page, findings, report, options)
    foot = f"{report.tool.name} {report.tool.version}, {words.extent(report)}{words.pace(report)}"
    page.close(f"<sub>{_text(foot)}</sub>\n")
    return page.text()


class _Page:
    """Text that takes what fits."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def add(self, part: str, limit: int = LIMIT) -> bool:
        """False, and nothing added, if the page would grow over the limit."""
        size = len(part.encode("utf-8", "replace"))
        if self._size + size > limit - TAIL:
            return False
        self._parts.append(part)
        self._size += size
        return True

    def close(self, part: str) -> None:
        self._parts.append(part)
        self._size += len(part)

    def text(self) -> str:
        return "".join(self._parts)


def _head(report: Report) -> Iterator[str]:
    yield f"# sandscan: {_text(words.target(report)[:400])}\n\n"
    if not report.complete:
        yield f"> [!WARNING]\n> {words.incomplete(report)}.\n\n"
    if report.findings:
        image = f" of image {_code(words.short(report.image.id))}" if report.image.id else ""
        yield f"**{words.tally(report.findings)}** in {words.extent(report)}{image}.\n\n"
        yield from _counts(report)
    else:
        yield f"**{_text(words.nothing_found(report))}.**\n\n"
    if ready := words.ready(report):
        yield f"Lies ready for whoever runs in it: {_text(ready)}.\n\n"


def _counts(report: Report) -> Iterator[str]:
    """How many of each severity, and how many are new to nobody."""
    counted = Counter(finding.severity for finding in report.findings)
    cells = [(one.capitalize(), counted[one]) for one in Severity]
    if report.suppressed:
        cells.append(("Set aside", len(report.suppressed)))
    yield f"| {' | '.join(name for name, _ in cells)} |\n|{' --- |' * len(cells)}\n"
    yield f"| {' | '.join(f'{count:,}' if count else '–' for _, count in cells)} |\n\n"


def _egress(page: _Page, egress: Egress, options: RenderOptions) -> None:
    """The matrix, then each sandbox: what passes, what is missing, the worst paths, the cut."""
    assumed = ", ".join(_code(f"{key}={value}") for key, value in egress.assumptions)
    page.add("## What each sandbox reaches\n\n")
    page.add(f"{_text(reach.launch(egress))}." + (f" Assumed: {assumed}." if assumed else "") + "\n\n")
    groups = reach.groups(egress.sandboxes)
    limit = len(groups) if options.verbose else SANDBOXES
    columns = [one.value for one in Destination]
    page.add(f"| Sandbox | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}\n")
    count = 0
    for group in groups[:limit]:
        if not page.add(_matrix_row(group), LIMIT // 4):
            break
        count += 1
    page.close("\n")
    if count < len(groups):
        rest = sum(len(group) for group in groups[count:])
        page.close(_left_out(rest, "sandbox", "not in this table", "more sandboxes"))
    told = [group[0] for group in groups] if len(egress.sandboxes) > SANDBOXES else list(egress.sandboxes)
    if lacking := reach.without_image(egress.sandboxes):
        page.add(f"{_text(lacking)}\n\n")
    count = 0
    for sandbox in told[:limit]:
        if not page.add(_sandbox(sandbox, options), LIMIT // 2):
            break
        count += 1
    if count < len(egress.sandboxes):
        page.close(_left_out(len(egress.sandboxes) - count, "sandbox", "not told here", "more sandboxes"))


def _matrix_row(group: list[SandboxReach]) -> str:
    names = ", ".join(_code(reach.name(one.name)) for one in group[:NAMES])
    more = f" and {len(group) - NAMES:,} more" if len(group) > NAMES else ""
    by_destination = {one.destination: one for one in group[0].answers}
    cells = [_cell(by_destination[one]) if one in by_destination else "" for one in Destination]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (names + more, *cells)) + " |\n"


def _cell(answer: Answer) -> str:
    shown = reach.verdict(answer)
    trial = "" if answer.tried is None else ", tried" if answer.tried else ", not tried"
    return (shown if answer.verdict is Verdict.CLOSED else f"**{shown}**") + trial


def _verdict(answer: Answer) -> str:
    shown = reach.verdict(answer)
    trial = f", {said}" if (said := reach.trial(answer)) else ""
    return (shown if answer.verdict is Verdict.CLOSED else f"**{shown}**") + trial


def _sandbox(sandbox: SandboxReach, options: RenderOptions) -> str:
    lines = [_text(reach.about(sandbox)), ""]
    reached = [one for one in sandbox.answers if one.verdict is not Verdict.CLOSED or one.tried]
    for some in reach.alike(reached, every=options.verbose):
        lines += _reached(some, options)
    if closed := [one for one in sandbox.answers if one not in reached]:
        lines.append(f"- {reach.names_of(closed)}: closed")
    lines += [f"- what is missing can be given: {_code(one)}" for one in reach.supplies(sandbox)]
    for cut in sandbox.cuts:
        if cut.actions or not cut.possible:
            lines.append(f"- {_text(reach.cut(cut, sandbox))}")
            lines += [f"  {number}. {_text(reach.action(one))}" for number, one in enumerate(cut.actions, 1)]
    lines += [f"- {_text(reach.question(one))}" for one in sandbox.questions]
    body = "\n".join(lines)
    summary = html.escape(reach.name(sandbox.name))
    return f"<details><summary><code>{summary}</code></summary>\n\n{body}\n\n</details>\n\n"


def _reached(some: Sequence[Answer], options: RenderOptions) -> Iterator[str]:
    """Answers that read the same but for their destination."""
    answer = some[0]
    yield f"- {reach.names_of(some)}: {_verdict(answer)}"
    if answer.verdict is Verdict.LIMITED:
        permits = answer.allows if options.verbose else answer.allows[:PERMITS]
        for permit in permits:
            yield f"  - allows {_text(reach.permit(permit))}"
        if len(permits) < len(answer.allows):
            yield f"  - and {len(answer.allows) - len(permits):,} more"
    for missing in answer.missing:
        yield f"  - missing: {_text(reach.gap(missing))}"
    for tried in reach.tries(answer, every=options.verbose):
        yield f"  - tried: {_text(tried)}"
    paths = reach.worst(answer, every=options.verbose)
    for path in paths:
        yield f"  - path: {_text(reach.path(path))}"
        for number, step in enumerate(path.steps, 1):
            yield f"    {number}. {_text(reach.step(step))}"
    if rest := len(answer.paths) - len(paths) + answer.paths_left_out:
        yield f"  - {words.many(rest, 'more path')}"


def _run(page: _Page, report: Report, run: Run, options: RenderOptions) -> None:
    """What a run did: the head, what was tried, what changed, the moments that matter, what could not be seen."""
    page.add("## The run\n\n")
    for name, value in watched.head(run):
        page.add(f"- {name}: {_text(value)}\n")
    for title, lines in (
        ("withheld", [f"{printable(one.what)}: {words.plain(one.why, 500)}" for one in run.withheld]),
        ("**not seen**", [words.plain(one, 500) for one in run.unseen]),
    ):
        for line in lines[:NOTICES]:
            page.add(f"- {title}: {_text(line)}\n", LIMIT // 4)
    page.add("\n")
    most = 20 * MOMENTS if options.verbose else MOMENTS
    aims = watched.aims(run) if options.verbose else watched.gathered(watched.aims(run))
    rows = [
        (
            _code(one.target),
            _text(watched.spoke(one)),
            _codes(one.who),
            _text("; ".join(one.told[:3])),
            _code(one.first) if one.first else "",
            _text(watched.clock(one.began, run.started)),
        )
        for one in aims[:most]
    ]
    _rows(page, "Tried to reach", ("Target", "As", "By", "Says", "First bytes", "At"), rows, len(aims), "target")
    unexpected = [one for one in run.changes if one.expected is None]
    folders = watched.folders(unexpected, most)
    changed = [
        (_code(printable(b"/" + folder, words.PATH_LIMIT)), _text(watched.kinds(some)), _codes(_names(some, folder)))
        for folder, some in list(folders.items())[:most]
    ]
    _rows(page, "Changed", ("Folder", "How", "What"), changed, len(folders), "folder")
    if expected := [one for one in run.changes if one.expected is not None]:
        page.add(f"{len(expected):,} changes were expected: {_text('; '.join(watched.expected(expected)))}.\n\n")
    told = [one for one in timeline.telling(run, report) if one.time is not None]
    moments = [(_text(watched.clock(one.time, run.started)), _text(one.sentence)) for one in told[:most]]
    _rows(page, "When", ("Time (UTC)", "What"), moments, len(told), "moment")


def _names(changes: Sequence[FileChange], folder: bytes) -> list[str]:
    return [printable(one.path[len(folder) :].lstrip(b"/"), 300) for one in changes]


def _codes(values: Sequence[str]) -> str:
    shown = ", ".join(_code(one) for one in values[:EXCERPTS])
    return shown + (f" and {len(values) - EXCERPTS:,} more" if len(values) > EXCERPTS else "")


def _rows(page: _Page, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], count: int, what: str) -> None:
    """A table, if there is anything in it, and how much of it is not."""
    if not rows:
        return
    page.add(f"### {title}\n\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}\n")
    told = 0
    for row in rows:
        if not page.add("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n", LIMIT // 3):
            break
        told += 1
    page.close("\n")
    if told < count:
        page.close(_left_out(count - told, what, "not in this table"))


def _table(page: _Page, findings: list[Finding], report: Report, options: RenderOptions) -> None:
    columns = ["Severity", "What", "Where"]
    if traced := any(_is_traced(finding) for finding in findings):
        columns.insert(2, "Line")
    if layered := any(_is_layered(finding) for finding in findings):
        columns += ["Layer", "State"]
    page.add(f"## Findings\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n")
    rules = words.rules(report)
    limit = len(findings) if options.verbose else ROWS
    count = 0
    for finding in findings[:limit]:
        if not page.add(_row(finding, rules[finding.rule_id], traced, layered), LIMIT // 2):
            break
        count += 1
    page.close("\n")
    if count < len(findings):
        page.close(_left_out(len(findings) - count, "finding", "not in this table"))


def _is_traced(finding: Finding) -> bool:
    return finding.source is not None and not words.is_given(finding)


def _is_layered(finding: Finding) -> bool:
    return isinstance(finding.locations[0], FileLocation | ConfigLocation) and not words.is_given(finding)


def _row(finding: Finding, rule: Rule, traced: bool, layered: bool) -> str:
    primary = finding.locations[0]
    cells = [f"**{finding.severity}**", f"{_text(words.plain(finding.message, 300))} ({_code(rule.id)})"]
    if traced:
        cells.append(_line(finding.source) if finding.source is not None and _is_traced(finding) else "")
    cells.append(_code(words.where(finding)))
    if layered:
        layer = state = ""
        if isinstance(primary, FileLocation) and _is_layered(finding):
            maker = "" if _is_traced(finding) else words.instruction(primary.layer.created_by, 80)
            layer = f"{primary.layer.index}" + (f" {_code(maker)}" if maker else "")
        if _is_layered(finding):
            state = str(finding.state) + ("" if finding.hidden_by is None else f" in layer {finding.hidden_by}")
        cells += [layer, state]
    # A pipe ends a cell even inside a code span; a backslash before it is taken away again by the table.
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _line(source: SourceLine) -> str:
    return _code(words.source_line(source)) + ("" if source.certain else " (doubtful)")


def _set_aside(page: _Page, report: Report) -> None:
    """What a baseline or the configuration sets aside: counted in the open, told one by one when unfolded."""
    aside = words.set_aside(report)
    if not aside:
        return
    page.add(f"{_text('Set aside: ' + ', '.join(aside))}.\n\n")
    rules = words.rules(report)
    limit = LIMIT * 2 // 3
    page.add(f"<details><summary>{words.many(len(report.suppressed), 'finding')} set aside</summary>\n\n")
    count = 0
    for one in report.suppressed[:ROWS]:
        found = one.finding
        what = f"**{found.severity}** {_text(words.plain(rules[found.rule_id].name, 200))} ({_code(found.rule_id)})"
        where = _code(words.where(found)) + (f", {_line(found.source)}" if found.source and _is_traced(found) else "")
        if not page.add(f"- {what}: {where}: {_text(words.set_aside_because(one))}\n", limit):
            break
        count += 1
    page.close("\n")
    if count < len(report.suppressed):
        page.close(_left_out(len(report.suppressed) - count, "finding", "set aside"))
    page.close("</details>\n\n")


def _details(page: _Page, findings: list[Finding], report: Report, options: RenderOptions) -> None:
    page.add("## Why, and what to do\n\n")
    rules = words.rules(report)
    limit = len(findings) if options.verbose else DETAILS
    count = 0
    for finding in findings[:limit]:
        if not page.add(_detail(finding, rules[finding.rule_id], report, options)):
            break
        count += 1
    if count < len(findings):
        page.close(_left_out(len(findings) - count, "finding", "not explained here"))


def _detail(finding: Finding, rule: Rule, report: Report, options: RenderOptions) -> str:
    primary, others = finding.locations[0], finding.locations[1:]
    source = finding.source if _is_traced(finding) else None
    pointed = words.where(finding) if source is None else words.source_line(source)
    summary = f"{finding.severity}: {words.plain(rule.name, 200)}: {pointed[:400]}"
    lines = [f"{_text(words.plain(finding.message, 1_000))} ({finding.confidence} confidence)", ""]
    lines.append(f"- where: {_code(words.where(finding))}")
    if source is not None:
        how = words.source_how(source)
        lines.append(f"- line: {_code(words.source_line(source))}" + (f" ({_text(how)})" if how else ""))
    if isinstance(primary, FileLocation) and not words.is_given(finding):
        maker = words.instruction(primary.layer.created_by, 1_000)
        lines.append(f"- {_text(words.layer(primary.layer))}" + (f": {_code(maker)}" if maker else ""))
    if hidden := words.state(finding, report):
        lines.append(f"- {_text(hidden)}")
    shown = others if options.verbose else others[:EXCERPTS]
    lines += [f"- also: {_code(words.place(other))}" for other in shown]
    if len(others) > len(shown):
        lines.append(f"- and {len(others) - len(shown):,} more places")
    for kind, found in words.kinds(finding.evidence).items():
        some = found if options.verbose else found[:EXCERPTS]
        excerpts = [_code(excerpt) for one in some if (excerpt := printable(one.excerpt, 300))]
        more = f" and {len(found) - len(some):,} more" if len(found) > len(some) else ""
        lines.append(f"- {_text(printable(kind, 60))}: {', '.join(excerpts) or 'seen'}{more}")
    if rule.help:
        lines += ["", f"**What to do:** {_text(words.plain(rule.help, 4_000))}"]
    body = "\n".join(lines)
    return f"<details><summary><code>{html.escape(summary)}</code></summary>\n\n{body}\n\n</details>\n\n"


def _notices(page: _Page, report: Report, options: RenderOptions) -> None:
    ordered = words.gaps_first(report.notifications)
    if not ordered:
        return
    page.add("## Not read to the end, and remarks\n\n" if not report.complete else "## Remarks\n\n")
    limit = len(ordered) if options.verbose else NOTICES
    count = 0
    for one in ordered[:limit]:
        if not page.add(_notice(one), LIMIT * 2 // 3):
            break
        count += 1
    page.add("\n")
    if count < len(ordered):
        page.close(_left_out(sum(one.count for one in ordered[count:]), "notification", "not listed here"))


def _notice(one: Notification) -> str:
    where = words.notification_place(one)
    times = f" ({one.count:,} times)" if one.count > 1 else ""
    return f"- **{one.level}**{f' {_code(where)}' if where else ''}: {_text(words.plain(one.message, 1_000))}{times}\n"


def _left_out(count: int, one: str, how: str, more: str = "") -> str:
    verb = "is" if count == 1 else "are"
    return f"*{words.many(count, f'more {one}', more)} {verb} {how}: the JSON report has them all.*\n\n"


def _code(value: str) -> str:
    """The value as a code span (GFM 6.3), fenced by more backticks than it has in a row: nothing in it has meaning."""
    shown = printable(value, 2 * words.PATH_LIMIT)
    if not shown.strip():
        return "` `"
    fence = "`" * (max((len(run) for run in re.findall(r"`+", shown)), default=0) + 1)
    space = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _text(value: str) -> str:
    """The value as running text: what Markdown or HTML gives a meaning stands as character references, which are text
    alone. What GitHub looks for later, in the finished text (mentions, issue numbers, links), is parted by a space of
    no width."""
    shown = printable(value, words.PATH_LIMIT)
    shown = re.sub(r"[&<>*_`\[\]|\\~$]", lambda match: f"&#{ord(match[0])};", shown)
    shown = re.sub(r"(?<!&)([@#])", r"\1&#8203;", shown)
    shown = re.sub(r"(?i)(://|\bwww\.)", lambda match: f"{match[0][:-1]}&#8203;{match[0][-1]}", shown)
    # The start of a line may begin a heading, a list or an underline.
    return re.sub(r"^(\d*)([-+=#.) ])", lambda match: f"{match[1]}&#{ord(match[2])};", shown)


PLUGIN = Format("markdown", "for a GitHub step summary or a comment", (".md", ".markdown"), render)
