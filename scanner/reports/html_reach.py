"""What each sandbox of a launch reaches as data of the HTML page: the matrix, and the paths, graph and cut of each."""

from collections.abc import Sequence

from scanner.model import Json, printable
from scanner.model.egress import Answer, Cut, Destination, Egress, Path, SandboxReach, Verdict
from scanner.reports import reach, words
from scanner.reports.jsontext import dumps
from scanner.reports.picture import Picture, picture

BUDGET = 8_000_000
"""Characters of details; sandboxes beyond are in the matrix alone."""
ROWS = 200
NAMES = 3
PERMITS = 100


def data(egress: Egress) -> dict[str, Json]:
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
