"""What the HTML page says where no script runs: how bad it is, what was not read, the worst findings and what to do."""

from collections.abc import Iterator

from scanner.model import Finding, Report, Rule
from scanner.reports import html_glance, words

FINDINGS = 100
"""Findings that are listed, the worst."""


def body(report: Report) -> str:
    """Markup whose every word of the report is escaped text."""
    return "\n".join(('<div id="plain">', *_parts(report), "</div>\n"))


def escaped(text: str) -> str:
    """Words as text of an element or of a quoted attribute."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _parts(report: Report) -> Iterator[str]:
    yield f"<h1>{escaped(words.target(report))}</h1>"
    if not report.complete:
        yield f'<p class="alarm">{escaped(words.sentence(words.incomplete(report)))}</p>'
        gaps = [one for one in words.gaps_first(report.notifications) if one.incomplete]
        yield _list([escaped(html_glance.notice(one)) for one in gaps[: html_glance.UNREAD]])
    yield f"<p><strong>{escaped(html_glance.verdict(report))}</strong></p>"
    yield f"<p>{escaped('; '.join((words.tally(report.findings), *_aside(report))))}.</p>"
    yield (
        "<dl>" + "".join(f"<dt>{escaped(k)}</dt><dd>{escaped(v)}</dd>" for k, v in html_glance.facts(report)) + "</dl>"
    )
    findings, rules = words.worst_first(report.findings), words.rules(report)
    shown = findings[:FINDINGS]
    if shown:
        yield _list([_finding(one, rules[one.rule_id]) for one in shown])
    if rest := len(findings) - len(shown):
        yield f"<p>and {words.many(rest, 'more finding')}, none of them worse.</p>"
    yield (
        "<p>All of it is on this page, which shows itself by a script: allow that, or have the report as text with "
        "<code>sandscan convert REPORT.json -o markdown</code>.</p>"
    )


def _aside(report: Report) -> Iterator[str]:
    if aside := words.set_aside(report):
        yield f"set aside: {', '.join(aside)}"


def _finding(finding: Finding, rule: Rule) -> str:
    at = words.where(finding) if finding.source is None else words.source_line(finding.source)
    fix = f"<br>What to do: {escaped(words.plain(rule.help, 1_000))}" if rule.help else ""
    said = escaped(words.plain(finding.message, 1_000) or "(no message)")
    kind = f'<span class="badge {finding.severity}">{finding.severity}</span>'
    return f"{kind} {said} <code>{escaped(at)}</code> ({escaped(words.plain(rule.name, 200))}){fix}"


def _list(items: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{one}</li>" for one in items) + "</ul>"
