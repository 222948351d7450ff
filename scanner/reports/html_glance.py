"""What a reviewer has to know in half a minute, as data of the HTML page: what was looked at, how bad it is, what was not read."""

from collections import Counter
from collections.abc import Iterator

from scanner.model import Json, Notification, Report, Severity, printable
from scanner.model.egress import Destination, Verdict
from scanner.reports import reach, watched, words

NAMED = 3
"""Rules that the verdict names."""
UNREAD = 5
ASIDE = 500
LEAD = {
    Severity.CRITICAL: "Act now",
    Severity.HIGH: "Needs a fix",
    Severity.MEDIUM: "Worth a look",
    Severity.LOW: "Little to worry about",
    Severity.NOTE: "Nothing alarming",
}


def data(report: Report) -> dict[str, Json]:
    counts = Counter(one.severity for one in report.findings)
    worst = report.worst()
    gaps = [one for one in words.gaps_first(report.notifications) if one.incomplete]
    return {
        "target": words.target(report),
        "worst": "" if worst is None else worst.value,
        "verdict": verdict(report),
        "counts": [[one.value, counts[one], _many(counts[one], one)] for one in Severity],
        "facts": [list(pair) for pair in facts(report)],
        "incomplete": words.incomplete(report),
        "unread": [notice(one) for one in gaps[:UNREAD]],
        "unreadLeft": max(len(gaps) - UNREAD, 0),
        "aside": list(words.set_aside(report)),
        "suppressed": list(_suppressed(report)),
        "suppressedLeft": max(len(report.suppressed) - ASIDE, 0),
    }


def verdict(report: Report) -> str:
    """One sentence: `Act now: Cryptocurrency miner, Reverse tunnel, and 2 other kinds of critical findings.`"""
    worst = report.worst()
    if worst is None:
        return (
            f"Nothing found in {words.extent(report)}."
            if report.complete
            else "Nothing found in what could be read, and not everything could be."
        )
    unread = "" if report.complete else " Not everything could be read."
    rules = words.rules(report)
    names = list(
        dict.fromkeys(
            words.plain(rules[one.rule_id].name, 100)
            for one in words.worst_first(report.findings)
            if one.severity is worst
        )
    )
    rest = len(names) - NAMED
    more = f", and {words.many(rest, 'other kind')} of {worst} findings" if rest > 0 else ""
    return f"{LEAD[worst]}: {', '.join(names[:NAMED])}{more}.{unread}"


def notice(one: Notification) -> str:
    """Where, what and how often."""
    where = words.notification_place(one)
    times = f" ({one.count:,} times)" if one.count > 1 else ""
    return (f"{where}: " if where else "") + words.plain(one.message, 1_000) + times


def _many(count: int, severity: Severity) -> str:
    return ("note" if count == 1 else "notes") if severity is Severity.NOTE else severity.value


def facts(report: Report) -> Iterator[tuple[str, str]]:
    """Labels and words: what was looked at, what it reaches, when."""
    if words.has_image(report):
        if report.image.id:
            yield "image", words.short(report.image.id)
        yield "platform", printable(report.image.platform)
    yield "size", words.extent(report)
    if report.image.created:
        yield "built", printable(report.image.created).replace("T", " ").removesuffix("Z")
    if report.egress is not None:
        yield "launch", reach.launch(report.egress)
        if report.egress.assumptions:
            yield (
                "assumed",
                ", ".join(f"{printable(key)}={printable(value)}" for key, value in report.egress.assumptions[:20]),
            )
        yield "reaches", _reaches(report)
    if report.run is not None:
        yield "run", f"{printable(report.run.subject)}, {watched.span(report.run)}"
    if ready := words.ready(report):
        yield "lies ready", ready
    yield (
        "scanned",
        printable(report.started).replace("T", " ").removesuffix("Z")
        + " UTC"
        + words.pace(report).replace(" read", ""),
    )
    yield (
        "by",
        f"{printable(report.tool.name)} {printable(report.tool.version)}, rules {words.short(report.tool.ruleset)}",
    )


def _reaches(report: Report) -> str:
    """How many sandboxes reach what: `internet 2 of 2, engine 1 of 2`."""
    sandboxes = report.egress.sandboxes if report.egress is not None else ()
    counted = Counter(
        one.destination
        for sandbox in sandboxes
        for one in sandbox.answers
        if one.verdict in (Verdict.OPEN, Verdict.LIMITED)
    )
    told = (f"{one} {counted[one]:,} of {len(sandboxes):,}" for one in Destination if counted[one])
    return ", ".join(told) or "nothing"


def _suppressed(report: Report) -> Iterator[Json]:
    for one in report.suppressed[:ASIDE]:
        finding = one.finding
        yield {
            "severity": finding.severity.value,
            "rule": printable(finding.rule_id),
            "message": words.plain(finding.message, 400),
            "where": words.where(finding),
            "how": one.how.value,
            "reason": words.plain(one.reason, 400),
            "expires": printable(one.expires or "", 40),
            "place": words.file(one.place),
        }
