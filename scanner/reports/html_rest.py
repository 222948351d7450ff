"""What lies ready, what was remarked and how much was looked at, as data of the HTML page."""

import json
from collections.abc import Iterator

from scanner.model import FileLocation, Json, Report, printable
from scanner.reports import words
from scanner.reports.html_glance import notice
from scanner.reports.jsontext import canonical

MEANS = 2_000
NOTICES = 500
STATISTICS = 60


def data(report: Report) -> dict[str, Json]:
    notices = words.gaps_first(report.notifications)
    return {
        "means": [
            [
                one.kind.value,
                printable(one.name),
                printable(one.version or "", 60),
                printable(one.owner or "", 80),
                words.place(one.location)
                + (f", layer {one.location.layer.index}" if isinstance(one.location, FileLocation) else ""),
            ]
            for one in report.means[:MEANS]
        ],
        "meansLeft": max(len(report.means) - MEANS, 0),
        "ready": words.ready(report),
        "notices": [[one.level.value, printable(one.stage, 60), notice(one)] for one in notices[:NOTICES]],
        "noticesLeft": max(len(notices) - NOTICES, 0),
        "statistics": [list(pair) for pair in _statistics(report)],
    }


def _statistics(report: Report) -> Iterator[tuple[str, str]]:
    yield "rules looked for", f"{len(report.rules):,}"
    yield "rule set", printable(report.tool.ruleset)
    if report.target.manifest:
        yield "manifest", printable(report.target.manifest)
    if report.image.id:
        yield "image", printable(report.image.id)
    for key in sorted(report.statistics)[:STATISTICS]:
        value = report.statistics[key]
        if key == "layer_sizes" or value is None:
            continue
        said = f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else _said(value)
        yield printable(key, 60).replace("_", " "), said


def _said(value: Json) -> str:
    return words.plain(value if isinstance(value, str) else json.dumps(canonical(value)), 300)
