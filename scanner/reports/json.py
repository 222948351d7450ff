"""The report as JSON: everything there is, for other programs and for `sandscan convert`.

`load` is the exact inverse of `render`, `schema` describes both. Paths are bytes: what is not UTF-8 in them is written
as a lone surrogate (`\\udc80` to `\\udcff`, Python's surrogateescape), so that no byte is lost and the file is valid.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from importlib import resources
from typing import Any, NoReturn

from scanner.errors import ReportError
from scanner.model import (
    SCHEMA_VERSION,
    Aside,
    Confidence,
    ConfigLocation,
    Context,
    Evidence,
    FileLocation,
    Finding,
    FlowStep,
    Image,
    ImageConfig,
    Json,
    LaunchLocation,
    Layer,
    Level,
    Location,
    Means,
    MeansKind,
    Notification,
    ProcessLocation,
    Report,
    Rule,
    Severity,
    SourceLine,
    State,
    Suppressed,
    Target,
    Traced,
    printable,
)
from scanner.model import Tool as Scanner
from scanner.model.egress import (
    Action,
    Answer,
    Barrier,
    Cut,
    Destination,
    Edge,
    Egress,
    Graph,
    Mode,
    Node,
    Path,
    Permit,
    Question,
    SandboxReach,
    Tool,
    Tried,
    Verdict,
)
from scanner.model.launch import Default, Missing, Origin, Place
from scanner.reports import json_run
from scanner.reports import jsonread as r
from scanner.reports.jsontext import canonical, dumps
from scanner.reports.plugin import Format, RenderOptions


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the report."""
    text = resources.files("scanner.reports").joinpath("schema/report-1.4.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


# ---- writing


def render(report: Report, options: RenderOptions) -> str:  # noqa: ARG001  # JSON looks the same to everybody
    return dumps(
        {
            "schema_version": report.schema_version,
            "tool": {"name": report.tool.name, "version": report.tool.version, "ruleset": report.tool.ruleset},
            "started": report.started,
            "target": {
                "source": report.target.source,
                "name": report.target.name,
                "repository": report.target.repository,
                "manifest": report.target.manifest,
            },
            "image": _image(report.image),
            "complete": report.complete,
            "findings": [finding(one) for one in report.findings],
            "suppressed": [suppressed(one) for one in report.suppressed],
            "launch": _launch(report.egress),
            "sandboxes": map(_sandbox, report.egress.sandboxes if report.egress else ()),
            "run": None if report.run is None else json_run.run(report.run),
            "means": [_means(one) for one in report.means],
            "notifications": [notification(one) for one in report.notifications],
            "statistics": canonical(report.statistics),
            "rules": [_rule(one) for one in report.rules],
        }
    )


def _image(image: Image) -> Json:
    config = image.config
    return {
        "id": image.id,
        "platform": image.platform,
        "created": image.created,
        "config": {
            "user": config.user,
            "env": config.env,
            "entrypoint": config.entrypoint,
            "cmd": config.cmd,
            "working_dir": config.working_dir,
            "exposed_ports": config.exposed_ports,
            "volumes": config.volumes,
            "labels": dict(config.labels),
            "healthcheck": config.healthcheck,
            "on_build": config.on_build,
            "stop_signal": config.stop_signal,
        },
        "layers": [_layer(one) for one in image.layers],
    }


def _layer(layer: Layer) -> Json:
    return {"index": layer.index, "diff_id": layer.diff_id, "created_by": layer.created_by}


def finding(finding: Finding) -> dict[str, Json]:
    return {
        "rule_id": finding.rule_id,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "message": finding.message,
        "state": finding.state,
        "hidden_by": finding.hidden_by,
        "locations": [_location(one) for one in finding.locations],
        "details": canonical(finding.details),
        "evidence": [_evidence(one) for one in finding.evidence],
        "flow": [_flow_step(one) for one in finding.flow],
        "fingerprint": finding.fingerprint,
        "sha256": finding.sha256,
        "source": None if finding.source is None else _source(finding.source),
    }


def suppressed(value: Suppressed) -> dict[str, Json]:
    return {
        "how": value.how,
        "reason": value.reason,
        "place": value.place,
        "expires": value.expires,
        "finding": finding(value.finding),
    }


def _source(value: SourceLine) -> Json:
    return {
        "file": value.file,
        "line": value.line,
        "end_line": value.end_line,
        "how": value.how,
        "certain": value.certain,
        "why": value.why,
    }


def _flow_step(step: FlowStep) -> Json:
    return {
        "location": None if step.location is None else _location(step.location),
        "message": step.message,
        "kind": step.kind,
    }


def _means(means: Means) -> Json:
    return {
        "kind": means.kind,
        "name": means.name,
        "version": means.version,
        "owner": means.owner,
        "location": _location(means.location),
        "details": canonical(means.details),
    }


def _location(location: Location) -> Json:
    if isinstance(location, ConfigLocation):
        return {"config": location.field}
    if isinstance(location, LaunchLocation):
        return {"file": location.file, "line": location.line, "column": location.column}
    if isinstance(location, ProcessLocation):
        return {
            "container": location.container,
            "pid": location.pid,
            "command": location.command,
            "executable": json_run.name(location.executable),
        }
    return {
        **_path(location.path, location.inner),
        "layer": _layer(location.layer),
        "line": location.line,
        "offset": location.offset,
    }


def _evidence(evidence: Evidence) -> Json:
    return {
        "detector": evidence.detector,
        "kind": evidence.kind,
        **_path(evidence.path, evidence.inner),
        "line": evidence.line,
        "offset": evidence.offset,
        "excerpt": evidence.excerpt,
        "facts": canonical(evidence.facts),
        "context": None if (around := evidence.context) is None else _context(around),
    }


def _context(value: Context) -> Json:
    return {"start": value.start, "data": json_run.octets(value.data)}


def notification(notification: Notification) -> dict[str, Json]:
    return {
        "stage": notification.stage,
        "level": notification.level,
        "message": notification.message,
        **_path(notification.path, notification.inner),
        "layer": notification.layer,
        "count": notification.count,
    }


def _path(file: bytes | None, inner: tuple[bytes, ...]) -> dict[str, Json]:
    if file is None:
        return {"path": None, "file": None, "inner": []}
    parts = [part.decode("utf-8", "surrogateescape") for part in (file, *inner)]
    return {"path": "!/".join(parts), "file": parts[0], "inner": parts[1:]}


def _rule(rule: Rule) -> Json:
    return {
        "id": rule.id,
        "name": rule.name,
        "severity": rule.severity,
        "description": rule.description,
        "help": rule.help,
        "references": rule.references,
        "attack": rule.attack,
    }


# ---- writing what a launch's sandboxes reach


def _launch(egress: Egress | None) -> Json:
    if egress is None:
        return None
    return {
        "format": egress.format,
        "files": egress.files,
        "runner": egress.runner,
        "assumptions": [{"key": key, "value": value} for key, value in egress.assumptions],
    }


def _sandbox(reach: SandboxReach) -> Json:
    return {
        "name": reach.name,
        "kind": reach.kind,
        "image": reach.image,
        "location": _origin(reach.origin),
        "verdicts": [_answer(one) for one in reach.answers],
        "cuts": [_cut(one) for one in reach.cuts],
        "questions": [
            {"name": one.name, "answer": one.answer, "words": one.words, "path": one.path} for one in reach.questions
        ],
        "graph": {
            "start": reach.graph.start,
            "nodes": [
                {"id": one.id, "kind": one.kind, "label": one.label, "location": _origin(one.origin)}
                for one in reach.graph.nodes
            ],
            "edges": [_step(one) for one in reach.graph.edges],
            "barriers": [_barrier(one) for one in reach.graph.barriers],
            "actions": [_action(one) for one in reach.graph.actions],
            "siblings": reach.graph.siblings,
            "observed": [_step(one) for one in reach.graph.observed],
        },
    }


def _answer(answer: Answer) -> Json:
    return {
        "destination": answer.destination,
        "verdict": answer.verdict,
        "direct": answer.direct,
        "allows": [permit(one) for one in answer.allows],
        "missing": [missing(one) for one in answer.missing],
        "because": [_barrier(one) for one in answer.because],
        "paths": [
            {
                "id": one.id,
                "destination": one.destination,
                "verdict": one.verdict,
                "mode": one.mode,
                "steps": [_step(step) for step in one.steps],
                "permits": [permit(passes) for passes in one.permits],
                "missing": [missing(gap) for gap in one.missing],
                "tool": None
                if one.tool is None
                else {
                    "effort": one.tool.effort,
                    "name": one.tool.name,
                    "place": one.tool.place,
                    "words": one.tool.words,
                },
                "tried": one.tried,
            }
            for one in answer.paths
        ],
        "paths_left_out": answer.paths_left_out,
        "tried": None if answer.tried is None else [tried(one) for one in answer.tried],
    }


def tried(value: Tried) -> Json:
    return {
        "target": value.target,
        "protocol": value.protocol,
        "service": value.service,
        "count": value.count,
        "outcome": value.outcome,
        "because": value.because,
    }


def _step(edge: Edge) -> Json:
    return {
        "edge": edge.kind,
        "from": edge.source,
        "to": edge.target,
        "mode": edge.mode,
        "location": _origin(edge.origin),
        "needs": edge.needs,
        "why": edge.why,
        "permits": None if edge.permits is None else [permit(one) for one in edge.permits],
        "missing": [missing(one) for one in edge.missing],
        "actions": edge.actions,
    }


def _barrier(barrier: Barrier) -> Json:
    return {"from": barrier.source, "to": barrier.target, "why": barrier.why, "location": _origin(barrier.origin)}


def permit(permit: Permit) -> Json:
    return {
        "hosts": permit.hosts,
        "protocol": permit.protocol,
        "ports": permit.ports,
        "excepts": permit.excepts,
        "reply": permit.reply,
    }


def missing(missing: Missing) -> Json:
    return {"key": missing.key, "why": missing.why, "location": _origin(missing.origin)}


def _cut(cut: Cut) -> Json:
    return {
        "closes": cut.closes,
        "actions": [_action(one) for one in cut.actions],
        "cost": cut.cost,
        "verified": cut.verified,
        "possible": cut.possible,
        "why_not": cut.why_not,
    }


def _action(action: Action) -> Json:
    return {
        "id": action.id,
        "title": action.title,
        "cost": action.cost,
        "location": _origin(action.origin),
        "edit": canonical(action.edit),
        "breaks": action.breaks,
    }


def _origin(origin: Origin | None) -> Json:
    if origin is None:
        return None
    if isinstance(origin, Default):
        return {"default": origin.whose}
    return {"file": origin.file, "line": origin.line, "column": origin.column}


# ---- reading


_OLDER = ("1.1", "1.2", "1.3")


def load(text: str) -> Report:
    """The Report that `render` wrote; raises ReportError for anything else, naming the place in the document."""
    document = _parse(text)
    version = document.get("schema_version")
    if version not in (SCHEMA_VERSION, *_OLDER):
        raise ReportError(
            f"this report has schema_version {printable(repr(version), 40)}; this sandscan reads {SCHEMA_VERSION}. "
            "Read it with the sandscan that wrote it, or scan again."
        )
    try:
        fields = _REPORT(document if version == SCHEMA_VERSION else _newer(document))
    except r.Wrong as e:
        raise ReportError(f"this is no report that sandscan wrote: {printable(e.path.lstrip('.'))} {e.message}") from e
    complete = fields.pop("complete")
    launch, sandboxes = fields.pop("launch"), fields.pop("sandboxes")
    if launch is None and sandboxes:
        raise ReportError("this is no report that sandscan wrote: it has sandboxes but no launch")
    if launch is not None:
        fields["egress"] = Egress(**launch, sandboxes=sandboxes)
    report = Report(**fields)
    if complete != report.complete:
        raise ReportError(f"this report was changed: complete is {complete}, but its notifications say otherwise")
    return report


def _newer(document: dict[str, Any]) -> dict[str, Any]:
    """A report of a version before as one of this version: 1.1 knew no launches, 1.2 no runs, 1.3 nothing set aside and no
    lines of a repository."""
    version = document["schema_version"]
    added: dict[str, Any] = {"suppressed": []}
    if version in {"1.1", "1.2"}:
        added |= {"run": None}
    if version == "1.1":
        added |= {"launch": None, "sandboxes": []}
    for name in added:
        if name in document:
            raise r.Wrong(f"is not known to version {version}", f".{name}")
    newer = {**document, **added, "schema_version": SCHEMA_VERSION}
    flow: dict[str, Any] = {"flow": []} if version == "1.1" else {}
    newer["findings"] = _each(document.get("findings"), lambda one: _newer_finding({**flow, **one}))
    if version in {"1.1", "1.2"}:
        newer["sandboxes"] = _each(newer.get("sandboxes"), _newer_sandbox)
    return newer


def _newer_finding(finding: dict[str, Any]) -> dict[str, Any]:
    """What lies around evidence, and where a finding was made, was not kept before version 1.4."""
    evidence = _each(finding.get("evidence"), lambda one: {"context": None, **one})
    return {"sha256": None, "source": None, **finding, "evidence": evidence}


def _newer_sandbox(sandbox: dict[str, Any]) -> dict[str, Any]:
    """What a run tried of it was not asked before version 1.3."""

    def answer(one: dict[str, Any]) -> dict[str, Any]:
        paths = _each(one.get("paths"), lambda path: {**path, "tried": path.get("tried")})
        return {**one, "tried": one.get("tried"), "paths": paths}

    graph = sandbox.get("graph")
    newer = {**sandbox, "verdicts": _each(sandbox.get("verdicts"), answer)}
    return {**newer, "graph": {**graph, "observed": graph.get("observed", [])}} if isinstance(graph, dict) else newer


def _each(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Every object of an array changed; what is no array or no object is left for the reader to refuse."""
    return [change(one) if isinstance(one, dict) else one for one in value] if isinstance(value, list) else value


def _parse(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_no_number)
    except RecursionError as e:
        raise ReportError("this is no report that sandscan wrote: it is nested too deeply") from e
    except ValueError as e:
        raise ReportError(f"this is no JSON: {e}") from e
    if not isinstance(document, dict) or "schema_version" not in document:
        raise ReportError("this JSON is no report that sandscan wrote: it has no schema_version")
    return document


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _statistics(value: Any) -> Any:
    for name, kind in (("files", int), ("bytes", int), ("seconds", float)):
        number = r.free(value).get(name)
        if number is not None and (type(number) not in {int, kind} or not 0 <= number < r.MOST):
            raise r.Wrong("is not a number from 0 that is counted to", f".{name}")
    return value


def _labels(value: Any) -> Any:
    return tuple((name, r.at(f".{name}", r.text, text)) for name, text in r.of(dict, "an object")(value).items())


def _with_path(make: Callable[..., Any]) -> Callable[..., Any]:
    """`make` is called with the bytes of `file` and `inner`; `path` must be what `_path` makes of them."""

    def read(path: str | None, file: bytes | None, inner: tuple[bytes, ...], **fields: Any) -> Any:
        if path != _path(file, inner)["path"] or (file is None and inner):
            raise r.Wrong("is not file and inner joined by !/", ".path")
        return make(path=file, inner=inner, **fields)

    return read


def _digest(value: Any) -> Any:
    if re.fullmatch("[0-9a-f]{64}", r.text(value)) is None:
        raise r.Wrong("is not 64 hex digits")
    return value


def _day(value: Any) -> Any:
    """RFC 3339's full-date, as a year of our time has it."""
    try:
        day = date.fromisoformat(r.text(value))
    except ValueError as e:
        raise r.Wrong("is no day as YYYY-MM-DD") from e
    if day.isoformat() != value:
        raise r.Wrong("is no day as YYYY-MM-DD")
    return value


def _where(value: Any) -> Any:
    if isinstance(value, dict) and "config" in value:
        return _CONFIG_LOCATION(value)
    if isinstance(value, dict) and "container" in value:
        return _PROCESS_LOCATION(value)
    return _LAUNCH_LOCATION(value) if isinstance(value, dict) and "column" in value else _FILE_LOCATION(value)


def _who(value: Any) -> Any:
    return _DEFAULT(value) if isinstance(value, dict) and "default" in value else _PLACE_IN_LAUNCH(value)


def _span(value: Any) -> Any:
    """A range of ports: the first and the last."""
    if not isinstance(value, list) or len(value) != 2:
        raise r.Wrong("is not a pair of ports")
    return tuple(r.at(f"[{i}]", r.integer(0), one) for i, one in enumerate(value))


_LAYER = r.record(Layer, index=r.integer(0), diff_id=r.optional(r.text), created_by=r.optional(r.text))
_PLACE: Mapping[str, r.Reader] = {
    "path": r.text,
    "file": r.raw,
    "inner": r.array(r.raw),
    "line": r.optional(r.integer(1)),
    "offset": r.optional(r.integer(0)),
}
_CONFIG_LOCATION = r.record(lambda *, config: ConfigLocation(config), config=r.text)
_FILE_LOCATION = r.record(_with_path(FileLocation), layer=_LAYER, **_PLACE)
_CONTEXT = r.record(Context, start=r.integer(0), data=json_run.octets_again)
_EVIDENCE = r.record(
    _with_path(Evidence),
    detector=r.text,
    kind=r.text,
    excerpt=r.text,
    facts=r.free,
    context=r.optional(_CONTEXT),
    **_PLACE,
)
_LAUNCH_LOCATION = r.record(LaunchLocation, file=r.text, line=r.integer(1), column=r.integer(1))
_PROCESS_LOCATION = r.record(
    ProcessLocation, container=r.text, pid=r.optional(r.integer(0)), command=r.texts, executable=r.optional(r.raw)
)
_FLOW_STEP = r.record(FlowStep, location=r.optional(_where), message=r.text, kind=r.text)
_SOURCE = r.record(
    SourceLine,
    file=r.text,
    line=r.integer(1),
    end_line=r.integer(1),
    how=r.one_of(Traced),
    certain=r.flag,
    why=r.text,
)
_FINDING = r.record(
    Finding,
    rule_id=r.text,
    severity=r.one_of(Severity),
    confidence=r.one_of(Confidence),
    message=r.text,
    state=r.one_of(State),
    hidden_by=r.optional(r.integer(0)),
    locations=r.array(_where, least=1),
    details=r.free,
    evidence=r.array(_EVIDENCE),
    flow=r.array(_FLOW_STEP),
    fingerprint=r.text,
    sha256=r.optional(_digest),
    source=r.optional(_SOURCE),
)
_SUPPRESSED = r.record(
    Suppressed, how=r.one_of(Aside), reason=r.text, place=r.text, expires=r.optional(_day), finding=_FINDING
)
_MEANS = r.record(
    Means,
    kind=r.one_of(MeansKind),
    name=r.text,
    version=r.optional(r.text),
    owner=r.optional(r.text),
    location=_where,
    details=r.free,
)
_NOTIFICATION = r.record(
    _with_path(Notification),
    stage=r.text,
    level=r.one_of(Level),
    message=r.text,
    path=r.optional(r.text),
    file=r.optional(r.raw),
    inner=r.array(r.raw),
    layer=r.optional(r.integer(0)),
    count=r.integer(1),
)
_RULE = r.record(
    Rule,
    id=r.text,
    name=r.text,
    severity=r.one_of(Severity),
    description=r.text,
    help=r.text,
    references=r.texts,
    attack=r.texts,
)
_CONFIG = r.record(
    ImageConfig,
    user=r.text,
    env=r.texts,
    entrypoint=r.texts,
    cmd=r.texts,
    working_dir=r.text,
    exposed_ports=r.texts,
    volumes=r.texts,
    labels=_labels,
    healthcheck=r.texts,
    on_build=r.texts,
    stop_signal=r.text,
)
_IMAGE = r.record(
    Image,
    id=r.optional(r.text),
    platform=r.text,
    created=r.optional(r.text),
    config=_CONFIG,
    layers=r.array(_LAYER),
)
_DEFAULT = r.record(lambda *, default: Default(default), default=r.text)
_PLACE_IN_LAUNCH = r.record(Place, file=r.text, line=r.integer(1), column=r.integer(1))
_ORIGIN = r.optional(_who)
_PERMIT = r.record(Permit, hosts=r.texts, protocol=r.text, ports=r.array(_span), excepts=r.texts, reply=r.flag)
_GAP = r.record(r.renamed(Missing, location="origin"), key=r.text, why=r.text, location=_ORIGIN)
_BARRIER = r.record(
    r.renamed(Barrier, to="target", location="origin", **{"from": "source"}),
    to=r.text,
    why=r.text,
    location=_ORIGIN,
    **{"from": r.text},
)
_EDGE = r.record(
    r.renamed(Edge, edge="kind", to="target", location="origin", **{"from": "source"}),
    edge=r.text,
    to=r.text,
    mode=r.one_of(Mode),
    location=_ORIGIN,
    needs=r.texts,
    why=r.text,
    permits=r.optional(r.array(_PERMIT)),
    missing=r.array(_GAP),
    actions=r.texts,
    **{"from": r.text},
)
_PATH = r.record(
    Path,
    id=r.text,
    destination=r.one_of(Destination),
    verdict=r.one_of(Verdict),
    mode=r.one_of(Mode),
    steps=r.array(_EDGE),
    permits=r.array(_PERMIT),
    missing=r.array(_GAP),
    tool=r.optional(
        r.record(Tool, effort=r.integer(0), name=r.optional(r.text), place=r.optional(r.text), words=r.text)
    ),
    tried=r.optional(r.flag),
)
_ANSWER = r.record(
    Answer,
    destination=r.one_of(Destination),
    verdict=r.one_of(Verdict),
    direct=r.one_of(Verdict),
    allows=r.array(_PERMIT),
    missing=r.array(_GAP),
    because=r.array(_BARRIER),
    paths=r.array(_PATH),
    paths_left_out=r.integer(0),
    tried=r.optional(
        r.array(
            r.record(
                Tried,
                target=r.text,
                protocol=r.text,
                service=r.text,
                count=r.integer(1),
                outcome=r.text,
                because=r.text,
            )
        )
    ),
)
_ACTION = r.record(
    r.renamed(Action, location="origin"),
    id=r.text,
    title=r.text,
    cost=r.integer(0),
    location=_ORIGIN,
    edit=r.free,
    breaks=r.text,
)
_CUT = r.record(
    Cut,
    closes=r.array(r.one_of(Destination)),
    actions=r.array(_ACTION),
    cost=r.integer(0),
    verified=r.flag,
    possible=r.flag,
    why_not=r.text,
)
_SANDBOX = r.record(
    r.renamed(SandboxReach, location="origin", verdicts="answers"),
    name=r.text,
    kind=r.text,
    image=r.optional(r.text),
    location=_who,
    verdicts=r.array(_ANSWER),
    cuts=r.array(_CUT),
    questions=r.array(r.record(Question, name=r.text, answer=r.text, words=r.text, path=r.optional(r.text))),
    graph=r.record(
        Graph,
        start=r.text,
        nodes=r.array(
            r.record(r.renamed(Node, location="origin"), id=r.text, kind=r.text, label=r.text, location=_ORIGIN)
        ),
        edges=r.array(_EDGE),
        barriers=r.array(_BARRIER),
        actions=r.array(_ACTION),
        siblings=r.texts,
        observed=r.array(_EDGE),
    ),
)
_LAUNCH = r.record(
    dict,
    format=r.text,
    files=r.texts,
    runner=r.text,
    assumptions=r.array(r.record(lambda *, key, value: (key, value), key=r.text, value=r.text)),
)
_REPORT = r.record(
    dict,
    schema_version=r.text,
    tool=r.record(Scanner, name=r.text, version=r.text, ruleset=r.text),
    started=r.text,
    target=r.record(Target, source=r.text, name=r.text, repository=r.text, manifest=r.optional(r.text)),
    image=_IMAGE,
    complete=r.flag,
    findings=r.array(_FINDING),
    suppressed=r.array(_SUPPRESSED),
    launch=r.optional(_LAUNCH),
    sandboxes=r.array(_SANDBOX),
    run=r.optional(json_run.RUN),
    means=r.array(_MEANS),
    notifications=r.array(_NOTIFICATION),
    statistics=_statistics,
    rules=r.array(_RULE),
)

PLUGIN = Format("json", "everything, for other programs and for `sandscan convert`", (".json",), render)
