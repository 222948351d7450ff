"""The report as JSON lines: one object a line, by time, for pipelines that match a run with an agent's trace.

Every line says its `type`, its `time` (RFC 3339 in UTC with microseconds, null where nothing says), the `episode` and the
`subject`; the rest is as in the JSON report, with every time in it written the same way (and a question's type as its
`record`). Findings come last, those that are set aside after all others.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from scanner.model import FileLocation, Finding, Json, ProcessLocation, Report
from scanner.model.egress import Answer, SandboxReach
from scanner.model.run import Run
from scanner.reports import json as whole
from scanner.reports import json_run, watched
from scanner.reports.jsontext import dumps
from scanner.reports.plugin import Format, RenderOptions

TIMES = frozenset({"time", "last", "started", "ended", "modified", "changed"})
"""Fields of a run that are times."""
_RUN = (
    "how",
    "started",
    "ended",
    "image",
    "command",
    "exit_code",
    "stopped",
    "namespace",
    "withheld",
    "unseen",
    "dropped",
)


def render(report: Report, options: RenderOptions) -> str:  # noqa: ARG001  # lines look the same to everybody
    run = report.run
    told = {
        "episode": run.episode if run else None,
        "subject": run.subject if run else f"{report.target.source}:{report.target.name}",
    }
    dated = [] if run is None else sorted(_of_run(run), key=_order)
    return "".join(_line(*one, told) for one in (*dated, *_undated(report)))


Line = tuple[str, float | None, Mapping[str, Any]]
"""The type, the time, and the rest."""


def _undated(report: Report) -> Iterator[Line]:
    yield from _egress(report)
    for notification in report.notifications:
        yield "notification", None, whole.notification(notification)
    files, processes = _times(report.run)
    for finding in report.findings:
        yield "finding", _time_of(finding, files, processes), whole.finding(finding)
    for one in report.suppressed:
        yield "suppressed", _time_of(one.finding, files, processes), whole.suppressed(one)


def _order(line: Line) -> tuple[bool, float, bool]:
    """By time, the run itself before what began with it, what has no time last."""
    kind, time, _ = line
    return time is None, time or 0.0, kind != "run"


def _line(kind: str, time: float | None, fields: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    value = {"type": kind, "time": watched.stamp(time), **told, **fields}
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")) + "\n"
    except ValueError:  # a number that JSON cannot say: the report's own writer makes it null
        return json.dumps(json.loads(dumps(value)), separators=(",", ":")) + "\n"


def _of_run(run: Run) -> Iterator[Line]:
    fields = json_run.run(run)
    yield "run", run.started, _timed({name: fields[name] for name in _RUN})
    for change in run.changes:
        yield "change", change.time, _change(json_run.change(change))
    for process in run.processes:
        yield "process", process.started, _timed(json_run.process(process))
    for socket in run.sockets:
        yield "socket", None, json_run.socket(socket)
    for query in run.queries:
        yield "query", query.time, _query(_timed(json_run.query(query)))
    for attempt in run.attempts:
        yield "attempt", attempt.time, _timed(json_run.attempt(attempt))


def _timed(fields: Mapping[str, Any]) -> dict[str, Json]:
    """The fields with times as text; `time` is the line's own."""
    return {name: watched.stamp(one) if name in TIMES else one for name, one in fields.items() if name != "time"}


def _change(fields: Mapping[str, Any]) -> dict[str, Json]:
    states = {name: None if fields[name] is None else _timed(fields[name]) for name in ("before", "after")}
    return {**fields, **states}


def _query(fields: Mapping[str, Any]) -> dict[str, Json]:
    """The question's `type` is its `record` here: a line's type is what the line is."""
    return {"record" if name == "type" else name: one for name, one in fields.items()}


def _times(run: Run | None) -> tuple[Mapping[bytes, float], Mapping[int, float]]:
    """When each file changed first, by path, and when each process began, by number; without those of which nothing says."""
    files: dict[bytes, float] = {}
    processes: dict[int, float] = {}
    for change in run.changes if run else ():
        if change.time is not None:
            files[change.path] = min(change.time, files.get(change.path, change.time))
    for process in run.processes if run else ():
        if process.started is not None:
            processes[process.pid] = min(process.started, processes.get(process.pid, process.started))
    return files, processes


def _time_of(finding: Finding, files: Mapping[bytes, float], processes: Mapping[int, float]) -> float | None:
    """When what the finding points to happened: its file changed, its process began; None where the run does not say."""
    for place in finding.locations:
        time = None
        if isinstance(place, FileLocation):
            time = files.get(place.path)
        elif isinstance(place, ProcessLocation) and place.pid is not None:
            time = processes.get(place.pid)
        if time is not None:
            return time
    return None


def _egress(report: Report) -> Iterator[Line]:
    for sandbox in report.egress.sandboxes if report.egress else ():
        for answer in sandbox.answers:
            yield "egress", None, _answer(sandbox, answer)


def _answer(sandbox: SandboxReach, answer: Answer) -> dict[str, Json]:
    return {
        "sandbox": sandbox.name,
        "destination": answer.destination,
        "verdict": answer.verdict,
        "direct": answer.direct,
        "allows": [whole.permit(one) for one in answer.allows],
        "missing": [whole.missing(one) for one in answer.missing],
        "tried": None if answer.tried is None else [whole.tried(one) for one in answer.tried],
    }


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one line, made of the report's."""
    report = whole.schema()
    defs: dict[str, Any] = report["$defs"]
    verdict = defs["sandbox"]["properties"]["verdicts"]["items"]["properties"]
    egress = ("destination", "verdict", "direct", "allows", "missing", "tried")
    run = defs["run"]["properties"]
    bodies = {
        "run": {name: run[name] for name in _RUN},
        "change": defs["change"]["properties"],
        "process": defs["process"]["properties"],
        "socket": defs["socket"]["properties"],
        "query": _query(defs["query"]["properties"]),
        "attempt": defs["attempt"]["properties"],
        "egress": {
            "sandbox": {"description": "The sandbox's name.", "type": "string"},
            **{name: verdict[name] for name in egress},
        },
        "notification": defs["notification"]["properties"],
        "finding": defs["finding"]["properties"],
        "suppressed": defs["suppressed"]["properties"],
    }
    stamp = {
        "type": "string",
        "format": "date-time",
        "pattern": "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z$",
    }
    maybe = {"description": "RFC 3339 in UTC, null where nothing says.", "oneOf": [{"type": "null"}, stamp]}
    defs |= {"time": maybe, "maybe_time": maybe}
    for kind, body in bodies.items():
        fields = {
            "type": {"const": kind},
            "time": {"$ref": "#/$defs/time"},
            "episode": {"description": "The caller's own word for the run.", "type": ["string", "null"]},
            "subject": {"description": "The container, or what was scanned.", "type": "string"},
            **{name: field for name, field in body.items() if name != "time"},
        }
        defs[f"{kind}_line"] = {
            "type": "object",
            "additionalProperties": False,
            "required": list(fields),
            "properties": fields,
        }
    lines = [{"$ref": f"#/$defs/{kind}_line"} for kind in bodies]
    return {
        "$schema": report["$schema"],
        "title": "sandscan report line",
        "description": "One line of -o jsonl. Text is whatever the image or the guest says: escape it before you show it.",
        "oneOf": lines,
        "$defs": _used(defs, [kind["$ref"] for kind in lines]),
    }


def _used(defs: Mapping[str, Any], refs: list[str]) -> dict[str, Any]:
    """The definitions that these lead to."""
    used: dict[str, Any] = {}
    waiting: list[Any] = [{"$ref": one} for one in refs]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            name = str(value.get("$ref", "")).removeprefix("#/$defs/")
            if name in defs and name not in used:
                used[name] = defs[name]
                waiting.append(defs[name])
            waiting += value.values()
    return dict(sorted(used.items()))


PLUGIN = Format("jsonl", "a line of JSON for every moment and finding, by time", (".jsonl", ".ndjson"), render)
