"""What a run did and what each sandbox reaches as one HTML page: findings, timeline, attempts; matrix, paths, graph, cut.

The page holds all it needs and may load nothing: its Content-Security-Policy names its own scripts and styles by their
digests. What comes from the launch or the guest is data in JSON, which the page's script shows as text and never as markup.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

from scanner.model import Json, Report, capital, printable
from scanner.model.egress import Answer, Cut, Destination, Egress, Path, SandboxReach, Verdict
from scanner.reports import html_run, reach, words
from scanner.reports.jsontext import dumps
from scanner.reports.picture import Picture, picture
from scanner.reports.plugin import Format, RenderOptions

BUDGET = 8_000_000
"""Characters of details; sandboxes beyond are in the matrix alone."""
ROWS = 200
NAMES = 3
PERMITS = 100
CYTOSCAPE_STYLE = ".__________cytoscape_container { position: relative; }"
"""The library adds this style sheet itself unless there is one of its name: with ours there, no rule has to let it."""


def render(report: Report, options: RenderOptions) -> str:  # noqa: ARG001  # the page looks the same to everybody
    data = _data(report)
    parts = [("run", report.run is not None), ("reach", report.egress is not None)]
    shown = [name for name, there in parts if there]
    script = "".join(_file(f"page/{name}.js") for name in ("common", *shown))
    scripts = [*((_file("vendor/cytoscape.min.js"),) if report.egress else ()), script]
    styles = [CYTOSCAPE_STYLE, _file("page/page.css")]
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_digest, scripts))}",
            f"style-src {' '.join(map(_digest, styles))}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{_escaped(_title(report))}</title>",
            '<link rel="icon" href="data:,">',
            f'<style id="__________cytoscape_stylesheet">{styles[0]}</style>',
            f"<style>{styles[1]}</style>",
            "</head>",
            "<body>",
            _skip(report),
            "".join(_file(f"page/{name}.html") for name in ("head", *shown, "foot")).rstrip("\n"),
            f'<script type="application/json" id="data">{_embedded(data)}</script>',
            *(f"<script>{one}</script>" for one in scripts),
            "</body>",
            "</html>\n",
        )
    )


def _title(report: Report) -> str:
    did = "what it did" if report.run is not None else "what it reaches"
    return f"{words.target(report)}: {did}"


def _skip(report: Report) -> str:
    if report.run is not None:
        return '<a class="skip" href="#run">Skip to the run</a>'
    return '<a class="skip" href="#chosen">Skip to the sandbox</a>'


@cache
def _file(name: str) -> str:
    """A part of the page; none of them may end the element that it stands in."""
    text = resources.files("scanner.reports").joinpath(name).read_text("utf-8")
    if "</script" in text.lower() or "</style" in text.lower():
        raise AssertionError(f"{name} would end its own element")
    return text


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _embedded(value: Json) -> str:
    """JSON that no HTML parser sees an end tag or a comment in. `dumps` writes ASCII, line separators as escapes."""
    return dumps(value).strip("\n").replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


# ---- the data


def _data(report: Report) -> dict[str, Json]:
    headings = ("what the run did", "what each sandbox reaches")
    there = (report.run is not None, report.egress is not None)
    return {
        "title": _title(report),
        "heading": capital(", and ".join(one for one, is_there in zip(headings, there, strict=True) if is_there)),
        "tool": f"{printable(report.tool.name)} {printable(report.tool.version)}",
        "incomplete": words.incomplete(report),
        "run": None if report.run is None else html_run.data(report, report.run),
        "reach": None if report.egress is None else _reach(report, report.egress),
    }


def _reach(report: Report, egress: Egress) -> dict[str, Json]:
    groups = reach.groups(egress.sandboxes)
    numbers = {id(one): number for number, one in enumerate(egress.sandboxes)}
    ordered = [*(group[0] for group in groups), *(one for group in groups for one in group[1:])]
    details: list[Json] = []
    places = [-1] * len(ordered)
    left = BUDGET
    for sandbox in ordered:
        detail = _sandbox(sandbox)
        left -= len(dumps(detail))
        if left < 0 and details:
            break
        places[numbers[id(sandbox)]] = len(details)
        details.append(detail)
    row_of = {id(one): number for number, group in enumerate(groups) for one in group}
    return {
        "launch": reach.launch(egress),
        "assumed": [f"{printable(key)}={printable(value)}" for key, value in egress.assumptions],
        "summary": f"{words.tally(report.findings)}; {words.extent(report)}",
        "destinations": [one.value for one in Destination],
        "names": [reach.name(one.name) for one in egress.sandboxes],
        "row": [row_of[id(one)] for one in egress.sandboxes],
        "place": places,
        "rows": [_row(group, numbers) for group in groups[:ROWS]],
        "rowsLeft": sum(len(group) for group in groups[ROWS:]),
        "details": details,
    }


def _row(group: Sequence[SandboxReach], numbers: dict[int, int]) -> Json:
    by_destination = {one.destination: one for one in group[0].answers}
    answers = [by_destination.get(one) for one in Destination]
    return {
        "name": reach.names(group, NAMES) if len(group) > 1 else reach.name(group[0].name),
        "count": len(group),
        "first": numbers[id(group[0])],
        "cells": [None if one is None else _cell(one) for one in answers],
    }


def _cell(answer: Answer) -> Json:
    trial = "" if answer.tried is None else "tried" if answer.tried else "not tried"
    return {"verdict": answer.verdict, "shown": reach.verdict(answer), "trial": trial}


def _sandbox(sandbox: SandboxReach) -> Json:
    drawn = picture(sandbox)
    lines: dict[str, list[int]] = {}
    for line in drawn.drawing.lines:
        for path in line.paths:
            lines.setdefault(path, []).append(line.number)
    return {
        "about": reach.about(sandbox),
        "answers": [_answer(one, lines) for one in sandbox.answers],
        "cuts": [_cut(one, sandbox) for one in sandbox.cuts if one.actions or not one.possible],
        "drawnCut": sandbox.cuts.index(first) if (first := reach.first_cut(sandbox)) else -1,
        "questions": [reach.question(one) for one in sandbox.questions],
        "lacking": reach.without_image([sandbox]),
        "graph": _graph(drawn),
    }


def _answer(answer: Answer, lines: dict[str, list[int]]) -> Json:
    allows = answer.allows if answer.verdict is Verdict.LIMITED else ()
    permits = [reach.permit(one) for one in allows[:PERMITS]]
    if len(allows) > PERMITS:
        permits.append(f"and {len(allows) - PERMITS:,} more")
    return {
        "destination": answer.destination,
        "verdict": answer.verdict,
        "shown": reach.verdict(answer),
        "trial": reach.trial(answer),
        "tried": reach.tries(answer, every=True)[:PERMITS],
        "allows": permits,
        "missing": [{"words": reach.gap(one), "supply": reach.supply(one)} for one in answer.missing],
        "because": [reach.placed(words.plain(one.why, reach.SENTENCE), one.origin) for one in answer.because],
        "paths": [_path(one, lines) for one in answer.paths],
        "left": answer.paths_left_out,
    }


def _path(path: Path, lines: dict[str, list[int]]) -> Json:
    return {
        "shown": reach.path(path),
        "steps": [reach.step(one) for one in path.steps],
        "lines": lines.get(printable(path.id), []),
    }


def _cut(cut: Cut, sandbox: SandboxReach) -> Json:
    return {"shown": reach.cut(cut, sandbox), "actions": [reach.action(one) for one in cut.actions]}


def _graph(drawn: Picture) -> Json:
    places = drawn.layout.places
    return {
        "nodes": [
            {
                "id": box.name,
                "label": "\n".join(box.label),
                "words": ", ".join(filter(None, (box.dot.label, box.dot.kind, box.dot.shown, box.dot.where))),
                "verdict": box.dot.verdict or "",
                "start": box.dot.is_start,
                "end": box.dot.is_destination,
                "x": places[box.name][0],
                "y": places[box.name][1],
                "w": round(box.width, 1),
                "h": box.height,
            }
            for box in drawn.boxes
        ],
        "arrows": [
            {
                "source": arrow.source,
                "target": arrow.target,
                "kind": arrow.kind,
                "label": arrow.numbers,
                "lines": [one.number for one in arrow.lines],
                "cut": arrow.cut,
                "offset": arrow.offset,
                "bends": [list(point) for point in bends],
            }
            for arrow, bends in zip(drawn.arrows, drawn.layout.bends, strict=True)
        ],
        "lines": [
            {
                "number": one.number,
                "words": one.words,
                "kind": "barrier" if one.wall else str(one.mode),
                "doubtful": one.doubtful,
                "cut": one.cut,
            }
            for one in drawn.drawing.lines
        ],
        "width": drawn.layout.width,
        "height": drawn.layout.height,
        "left": drawn.drawing.left_out,
    }


PLUGIN = Format(
    "html", "a page to look at: findings, layers, what a sandbox reaches, what a run did", (".html", ".htm"), render
)
