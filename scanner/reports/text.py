"""The report for a person at a terminal: what the sandboxes of a launch reach, by which paths, and what closes them; what
a run did; what was found, where, which layer and instruction, why we believe it, what to do.

Whatever comes from the image or the launch goes through `printable`, so that the terminal does not obey it. Long paths
fold, they are never cut.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from scanner.model import (
    Evidence,
    FileLocation,
    Finding,
    LaunchLocation,
    Notification,
    Report,
    Rule,
    Severity,
    printable,
)
from scanner.model.egress import Answer, Destination, Egress, SandboxReach, Verdict
from scanner.reports import reach, text_run, watched, words
from scanner.reports.plugin import Format, RenderOptions
from scanner.reports.terminal import BOLD, DIM, ITALIC, Rows, Screen, Span, width

NARROWEST = 24
PER_GROUP = 10
"""Findings of one rule and severity that are shown whole; `verbose` shows PER_GROUP_VERBOSE."""
PER_GROUP_VERBOSE = 1_000
NOTICES = 20
NOTICES_VERBOSE = 1_000
SANDBOXES = 8
"""Sandboxes that are told one by one; of more, one for each row of the matrix. `verbose` tells SANDBOXES_VERBOSE."""
SANDBOXES_VERBOSE = 500
ROWS = 40
ROWS_VERBOSE = 1_000
NAMES = 6
PERMITS = 6

ALARM = "1;31"
STYLE = {
    Severity.CRITICAL: "1;37;41",
    Severity.HIGH: "1;31",
    Severity.MEDIUM: "1;33",
    Severity.LOW: "1;36",
    Severity.NOTE: BOLD,
}
VERDICT = {Verdict.OPEN: "1;31", Verdict.LIMITED: "1;33", Verdict.UNKNOWN: "1;35", Verdict.CLOSED: "32"}


def render(report: Report, options: RenderOptions) -> str:
    screen = Screen(max(options.width, NARROWEST), color=options.color)
    _header(screen, report, options)
    if report.egress is not None:
        _egress(screen, report.egress, options)
    if report.run is not None:
        text_run.tell(screen, report, report.run, options)
    rules = words.rules(report)
    findings = words.worst_first(report.findings)
    for (severity, rule_id), group in groupby(_together(findings), key=lambda f: (f.severity, f.rule_id)):
        screen.blank()
        _group(screen, severity, rules[rule_id], list(group), report, options)
    if report.suppressed and options.verbose:
        _set_aside(screen, report, rules)
    _notices(screen, report, options)
    screen.blank()
    _summary(screen, report)
    return screen.text()


def _together(findings: list[Finding]) -> list[Finding]:
    """Findings of one severity with those of one rule side by side, rules in the order of their surest finding."""
    first: dict[tuple[Severity, str], int] = {}
    for i, finding in enumerate(findings):
        first.setdefault((finding.severity, finding.rule_id), i)
    return sorted(findings, key=lambda f: (-f.severity.rank, first[f.severity, f.rule_id]))


def _header(screen: Screen, report: Report, options: RenderOptions) -> None:
    tool = f"{printable(report.tool.name)} {printable(report.tool.version)}"
    screen.line((f"{tool}: {words.target(report)}", BOLD))
    screen.blank()
    rows = []
    if words.has_image(report):
        image = "  ".join(filter(None, (words.short(report.image.id), printable(report.image.platform))))
        rows += [("image", image), ("size", words.extent(report))]
    if report.egress is not None:
        rows.append(("launch", reach.launch(report.egress)))
        if report.egress.assumptions:
            assumed = (f"{printable(key)}={printable(value)}" for key, value in report.egress.assumptions)
            rows.append(("assumed", ", ".join(assumed)))
    if report.run is not None:
        rows += watched.head(report.run)
    rows.append(("found", words.tally(report.findings)))
    if aside := words.set_aside(report):
        rows.append(("set aside", ", ".join(aside) + ("" if options.verbose else " (--verbose lists them)")))
    if ready := words.ready(report):
        rows.append(("ready", f"{ready} (the JSON report lists them)"))
    screen.rows(rows, 2)
    if not report.complete:
        screen.line((words.incomplete(report), ALARM), indent=2)


def _summary(screen: Screen, report: Report) -> None:
    if report.findings:
        aside = f"; {len(report.suppressed):,} set aside" if report.suppressed else ""
        told = f"{words.tally(report.findings)}{aside}; {words.extent(report)}{words.pace(report)}"
    else:
        told = words.nothing_found(report)
    if report.complete:
        screen.line(f"{told}.")
    else:
        screen.line(f"{told}; ", (words.incomplete(report), ALARM), ".")


# ---- what the sandboxes reach


def _egress(screen: Screen, egress: Egress, options: RenderOptions) -> None:
    screen.blank()
    if not egress.sandboxes:
        screen.line(("The launch starts no sandbox.", BOLD))
        return
    groups = reach.groups(egress.sandboxes)
    screen.line(("What each sandbox reaches", BOLD))
    _matrix(screen, groups, options)
    one_by_one = SANDBOXES_VERBOSE if options.verbose else SANDBOXES
    told = (
        list(egress.sandboxes) if len(egress.sandboxes) <= one_by_one else [group[0] for group in groups][:one_by_one]
    )
    for sandbox in told:
        screen.blank()
        _sandbox(screen, sandbox, options)
    lacking = reach.without_image(egress.sandboxes)
    rest = len(egress.sandboxes) - len(told)
    if lacking or rest:
        screen.blank()
    if lacking:
        screen.line(lacking)
    if rest:
        how = "" if options.verbose else "--verbose tells more, "
        more = words.many(rest, "more sandbox", "more sandboxes")
        screen.line(f"{more} with verdicts as above: {how}the JSON report has all.")


def _matrix(screen: Screen, groups: list[list[SandboxReach]], options: RenderOptions) -> None:
    """A row for all sandboxes with the same verdicts; below it the verdicts by plain sockets where they differ."""
    shown = groups[: ROWS_VERBOSE if options.verbose else ROWS]
    columns = [one.value for one in Destination]
    cells = [max(len(name), len(Verdict.LIMITED)) for name in columns]
    names = [reach.names(group, NAMES) + _alike(group) for group in shown]
    room = screen.width - 2 - sum(cells) - 2 * len(cells)
    if room < len("directly"):
        _lists(screen, shown, names)
    else:
        label = max(len("directly"), *(width(name) if width(name) <= room else 0 for name in names))
        screen.line(("".join([" " * (label + 2), *(f"  {n:<{c}}" for n, c in zip(columns, cells, strict=True))]), DIM))
        for group, name in zip(shown, names, strict=True):
            _row(screen, group[0], name, label, cells)
    if len(shown) < len(groups):
        rest = sum(len(group) for group in groups[len(shown) :])
        screen.line(
            f"… and {words.many(rest, 'more sandbox', 'more sandboxes')} with other verdicts: the JSON report has all",
            indent=2,
        )


def _alike(group: Sequence[SandboxReach]) -> str:
    return f" ({len(group):,} alike)" if len(group) > NAMES else ""


def _row(screen: Screen, sandbox: SandboxReach, name: str, label: int, cells: list[int]) -> None:
    if width(name) > label:
        screen.line(name, indent=2)
        name = ""
    answers = [_answer(sandbox, one) for one in Destination]
    _cells(screen, name, label, cells, [one.verdict if one else None for one in answers])
    direct = [one.direct if one and one.direct is not one.verdict else None for one in answers]
    if any(direct):
        _cells(screen, "directly", label, cells, direct)


def _cells(screen: Screen, name: str, label: int, cells: list[int], verdicts: Sequence[Verdict | None]) -> None:
    shown = "".join(
        "  " + (screen.styled(one, VERDICT[one]) if one else "") + " " * (cell - len(one or ""))
        for one, cell in zip(verdicts, cells, strict=True)
    )
    screen.raw(f"  {name}{' ' * (label - width(name))}{shown}")


def _lists(screen: Screen, groups: list[list[SandboxReach]], names: list[str]) -> None:
    """The matrix where there is no room for columns."""
    for group, name in zip(groups, names, strict=True):
        screen.line(name, indent=2)
        for answer in group[0].answers:
            screen.line(
                f"{answer.destination.value:<10}", (reach.verdict(answer), VERDICT[answer.verdict]), indent=4, hang=2
            )


def _answer(sandbox: SandboxReach, destination: Destination) -> Answer | None:
    return next((one for one in sandbox.answers if one.destination is destination), None)


def _sandbox(screen: Screen, sandbox: SandboxReach, options: RenderOptions) -> None:
    screen.line((reach.name(sandbox.name), BOLD), (f" ({reach.about(sandbox)})", DIM))
    whole = options.verbose or options.explain is not None
    told = [
        one for one in sandbox.answers if options.explain == "deny" or one.verdict is not Verdict.CLOSED or one.tried
    ]
    for some in reach.alike(told, every=whole):
        verdict = some[0].verdict
        trial = f"; {said}" if (said := reach.trial(some[0])) else ""
        screen.line((f"{reach.names_of(some)}: ", BOLD), (reach.verdict(some[0]), VERDICT[verdict]), trial, indent=2)
        screen.rows(_reasons(some[0], whole, options), 4)
    closed = [one for one in sandbox.answers if one not in told]
    if closed:
        hint = "" if options.explain else " (--explain deny says by what)"
        screen.line((f"{reach.names_of(closed)}: ", BOLD), ("closed", VERDICT[Verdict.CLOSED]), hint, indent=2)
    if supplies := reach.supplies(sandbox):
        screen.line("What is missing can be given:", indent=2)
        for one in supplies:
            screen.line(one, indent=4, hang=2)
    for cut in sandbox.cuts:
        if cut.actions or not cut.possible:
            screen.line(reach.cut(cut, sandbox), indent=2, hang=2)
            for action in reach.actions(cut):
                screen.line(action, indent=4, hang=3)
    for question in sandbox.questions:
        screen.line(reach.question(question), indent=2, hang=2)


def _reasons(answer: Answer, whole: bool, options: RenderOptions) -> Iterator[tuple[str, str]]:
    if answer.verdict is Verdict.LIMITED or options.verbose:
        permits = answer.allows if whole else answer.allows[:PERMITS]
        for number, permit in enumerate(permits):
            yield "" if number else "allows", reach.permit(permit)
        if len(permits) < len(answer.allows):
            yield "", f"and {len(answer.allows) - len(permits):,} more"
    for number, missing in enumerate(answer.missing):
        yield "" if number else "missing", reach.gap(missing)
    for number, tried in enumerate(reach.tries(answer, every=whole)):
        yield "" if number else "tried", tried
    if options.explain == "deny":
        yield from _barriers(answer)
        return
    paths = reach.worst(answer, every=whole)
    for path in paths:
        yield "path", reach.path(path)
        for step in reach.steps(path):
            yield "", step
    if rest := len(answer.paths) - len(paths) + answer.paths_left_out:
        yield "", words.many(rest, "more path") + (" not listed" if whole else " (--explain allow)")


def _barriers(answer: Answer) -> Iterator[tuple[str, str]]:
    for number, barrier in enumerate(answer.because):
        yield "" if number else "because", reach.placed(words.plain(barrier.why, reach.SENTENCE), barrier.origin)
    if not answer.because:
        yield "because", "no step leads there" if answer.verdict is Verdict.CLOSED else "nothing stands in the way"


# ---- findings


def _group(
    screen: Screen, severity: Severity, rule: Rule, findings: list[Finding], report: Report, options: RenderOptions
) -> None:
    heading: list[Span] = [(f" {severity.upper()} " if options.color else severity.upper(), STYLE[severity])]
    heading.append((f" {words.plain(rule.name, 200)} ", BOLD))
    heading.append((f"({printable(rule.id)})" + (f", {len(findings):,} times" if len(findings) > 1 else ""), DIM))
    screen.line(*heading)
    whole = options.verbose or severity is not Severity.NOTE
    launched = not options.verbose and all(isinstance(one.locations[0], LaunchLocation) for one in findings)
    shown = findings[: PER_GROUP_VERBOSE if options.verbose else PER_GROUP]
    for finding in shown:
        screen.line(words.plain(finding.message, 1_000), indent=2)
        screen.rows(_finding(finding, report, options) if whole and not launched else _briefly(finding), 4)
    if len(findings) > len(shown):
        screen.line(_rest(len(findings) - len(shown), options), indent=2)
    if whole and rule.help:
        screen.line((f"What to do: {words.plain(rule.help, 4_000)}", ITALIC), indent=2)


def _rest(count: int, options: RenderOptions) -> str:
    how = "" if options.verbose else "--verbose shows more, "
    return f"… and {count:,} more: {how}the JSON report has them all"


def _briefly(finding: Finding) -> Rows:
    """Where it is, and no more: of a note, and of a launch, whose paths are told above."""
    yield "where", words.where(finding)
    yield from _line(finding)


def _line(finding: Finding) -> Rows:
    """The line of the repository that made it; of a finding that is about the line itself, `where` says it."""
    if finding.source is not None and not words.is_given(finding):
        yield "line", words.source(finding)


def _finding(finding: Finding, report: Report, options: RenderOptions) -> Rows:
    primary, others = finding.locations[0], finding.locations[1:]
    limit = 2_000 if options.verbose else 130
    yield "where", words.where(finding)
    yield from _line(finding)
    layered = not words.is_given(finding)
    if isinstance(primary, FileLocation) and layered:
        maker = words.instruction(primary.layer.created_by, limit)
        yield "layer", words.layer(primary.layer).removeprefix("layer ") + (f" {maker}" if maker else "")
    if hidden := words.state(finding, report, limit):
        yield "state", hidden
    shown = others if options.verbose else others[:5]
    for i, other in enumerate(shown):
        layer = f", layer {other.layer.index}" if isinstance(other, FileLocation) and layered else ""
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


# ---- what is set aside, and what was not read


def _set_aside(screen: Screen, report: Report, rules: Mapping[str, Rule]) -> None:
    screen.blank()
    screen.line(("Set aside", BOLD))
    shown = report.suppressed[:PER_GROUP_VERBOSE]
    for one in shown:
        found = one.finding
        name = words.plain(rules[found.rule_id].name, 200)
        screen.line((found.severity.upper(), DIM), f" {name} ", (f"({printable(found.rule_id)})", DIM), indent=2)
        rows = [("where", words.where(found)), *_line(found), ("by", words.set_aside_because(one))]
        screen.rows(rows, 4)
    if rest := len(report.suppressed) - len(shown):
        screen.line(f"… and {rest:,} more: the JSON report has them all", indent=2)


def _notices(screen: Screen, report: Report, options: RenderOptions) -> None:
    ordered = words.gaps_first(report.notifications)
    _notice_block(screen, "Not read to the end", ALARM, [one for one in ordered if one.incomplete], options)
    _notice_block(screen, "Remarks", BOLD, [one for one in ordered if not one.incomplete], options)


def _notice_block(
    screen: Screen, title: str, style: str, notifications: list[Notification], options: RenderOptions
) -> None:
    if not notifications:
        return
    screen.blank()
    screen.line((title, style))
    shown = notifications[: NOTICES_VERBOSE if options.verbose else NOTICES]
    screen.rows(((str(one.level), _notice(one)) for one in shown), 2)
    if rest := notifications[len(shown) :]:
        screen.rows([("", _rest(sum(one.count for one in rest), options))], 2)


def _notice(one: Notification) -> str:
    where = words.notification_place(one)
    times = f" ({one.count:,} times)" if one.count > 1 else ""
    return (f"{where}: " if where else "") + words.plain(one.message, 1_000) + times


PLUGIN = Format("text", "for a person at a terminal", (".txt",), render)
