"""The report as JSON: everything there is, for other programs and for `sandscan convert`.

`load` is the exact inverse of `render`, `schema` describes both. Paths are bytes: what is not UTF-8 in them is written
as a lone surrogate (`\\udc80` to `\\udcff`, Python's surrogateescape), so that no byte is lost and the file is valid.
"""

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib import resources
from typing import Any, NoReturn

from scanner.errors import ReportError
from scanner.model import (
    SCHEMA_VERSION,
    Confidence,
    ConfigLocation,
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
    State,
    Target,
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
    Verdict,
)
from scanner.model.launch import Default, Missing, Origin, Place
from scanner.reports.jsontext import DEPTH, canonical, dumps
from scanner.reports.plugin import Format, RenderOptions


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the report."""
    text = resources.files("scanner.reports").joinpath("schema/report-1.3.json").read_text("utf-8")
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
            "findings": [_finding(one) for one in report.findings],
            "launch": _launch(report.egress),
            "sandboxes": map(_sandbox, report.egress.sandboxes if report.egress else ()),
            "means": [_means(one) for one in report.means],
            "notifications": [_notification(one) for one in report.notifications],
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


def _finding(finding: Finding) -> Json:
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
            "executable": _name(location.executable),
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
    }


def _notification(notification: Notification) -> Json:
    return {
        "stage": notification.stage,
        "level": notification.level,
        "message": notification.message,
        **_path(notification.path, notification.inner),
        "layer": notification.layer,
        "count": notification.count,
    }


def _name(raw: bytes | None) -> Json:
    return None if raw is None else raw.decode("utf-8", "surrogateescape")


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
        },
    }


def _answer(answer: Answer) -> Json:
    return {
        "destination": answer.destination,
        "verdict": answer.verdict,
        "direct": answer.direct,
        "allows": [_permit(one) for one in answer.allows],
        "missing": [_missing(one) for one in answer.missing],
        "because": [_barrier(one) for one in answer.because],
        "paths": [
            {
                "id": one.id,
                "destination": one.destination,
                "verdict": one.verdict,
                "mode": one.mode,
                "steps": [_step(step) for step in one.steps],
                "permits": [_permit(permit) for permit in one.permits],
                "missing": [_missing(gap) for gap in one.missing],
                "tool": None
                if one.tool is None
                else {
                    "effort": one.tool.effort,
                    "name": one.tool.name,
                    "place": one.tool.place,
                    "words": one.tool.words,
                },
            }
            for one in answer.paths
        ],
        "paths_left_out": answer.paths_left_out,
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
        "permits": None if edge.permits is None else [_permit(one) for one in edge.permits],
        "missing": [_missing(one) for one in edge.missing],
        "actions": edge.actions,
    }


def _barrier(barrier: Barrier) -> Json:
    return {"from": barrier.source, "to": barrier.target, "why": barrier.why, "location": _origin(barrier.origin)}


def _permit(permit: Permit) -> Json:
    return {
        "hosts": permit.hosts,
        "protocol": permit.protocol,
        "ports": permit.ports,
        "excepts": permit.excepts,
        "reply": permit.reply,
    }


def _missing(missing: Missing) -> Json:
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


class _Wrong(Exception):
    """`message` about the value at `path`, which grows from the inside out."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path

    def inside(self, step: str) -> "_Wrong":
        return _Wrong(self.message, step + self.path)


_OLDER = ("1.1",)
Reader = Callable[[Any], Any]
"""Takes a value of a JSON document and returns what it stands for, or raises _Wrong."""


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
    except _Wrong as e:
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
    """A report of version 1.1, which knew no launches, as one of this version."""
    for name in ("launch", "sandboxes"):
        if name in document:
            raise _Wrong(f"is not known to version {document['schema_version']}", f".{name}")
    findings = document.get("findings")
    if isinstance(findings, list):
        findings = [{**one, "flow": one.get("flow", [])} if isinstance(one, dict) else one for one in findings]
    return {**document, "schema_version": SCHEMA_VERSION, "findings": findings, "launch": None, "sandboxes": []}


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


def _of(kind: type, article: str) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise _Wrong(f"is not {article}")
        return value

    return read


def _integer(least: int) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not int or value < least:
            raise _Wrong(f"is not a whole number from {least}")
        return value

    return read


def _optional(reader: Reader) -> Reader:
    return lambda value: None if value is None else reader(value)


def _one_of(kind: type[StrEnum]) -> Reader:
    known = {one.value: one for one in kind}

    def read(value: Any) -> Any:
        if not isinstance(value, str) or value not in known:
            raise _Wrong(f"is not one of {', '.join(known)}")
        return known[value]

    return read


def _array(reader: Reader, least: int = 0) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list) or len(value) < least:
            raise _Wrong("is not an array" if least == 0 else f"is not an array of {least} or more")
        items = []
        for item in value:
            try:
                items.append(reader(item))
            except _Wrong as e:
                raise e.inside(f"[{len(items)}]") from None
        return tuple(items)

    return read


def _object(make: Callable[..., Any], **readers: Reader) -> Reader:
    """Reads an object that has exactly these fields and calls `make` with them."""

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _Wrong("is not an object")
        if value.keys() != readers.keys():
            unknown = ", ".join(sorted(value.keys() - readers.keys()))
            missing = ", ".join(sorted(readers.keys() - value.keys()))
            raise _Wrong(f"lacks {missing}" if missing else f"has fields that are not known here: {printable(unknown)}")
        fields = {}
        for name, reader in readers.items():
            try:
                fields[name] = reader(value[name])
            except _Wrong as e:
                raise e.inside(f".{name}") from None
        return make(**fields)

    return read


def _bytes(value: Any) -> Any:
    try:
        return _text(value).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as e:
        raise _Wrong("is not a path: it holds half of a surrogate pair") from e


def _free(value: Any) -> Any:
    """An object of facts, as deep as `canonical` leaves it."""
    if not isinstance(value, dict):
        raise _Wrong("is not an object")
    if _depth(value) > DEPTH:
        raise _Wrong("is nested too deeply")
    return value


def _statistics(value: Any) -> Any:
    for name, kind in (("files", int), ("bytes", int), ("seconds", float)):
        number = _free(value).get(name)
        if number is not None and (type(number) not in {int, kind} or number < 0):
            raise _Wrong("is not a number from 0", f".{name}")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
    return depth


def _labels(value: Any) -> Any:
    return tuple((name, _at(f".{name}", _text, text)) for name, text in _of(dict, "an object")(value).items())


def _at(step: str, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except _Wrong as e:
        raise e.inside(step) from None


def _with_path(make: Callable[..., Any]) -> Callable[..., Any]:
    """`make` is called with the bytes of `file` and `inner`; `path` must be what `_path` makes of them."""

    def read(path: str | None, file: bytes | None, inner: tuple[bytes, ...], **fields: Any) -> Any:
        if path != _path(file, inner)["path"] or (file is None and inner):
            raise _Wrong("is not file and inner joined by !/", ".path")
        return make(path=file, inner=inner, **fields)

    return read


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
        raise _Wrong("is not a pair of ports")
    return tuple(_at(f"[{i}]", _integer(0), one) for i, one in enumerate(value))


def _renamed(make: Callable[..., Any], **names: str) -> Callable[..., Any]:
    """`make` is called with fields under the model's names where the document has others."""
    return lambda **fields: make(**{names.get(name, name): value for name, value in fields.items()})


_text = _of(str, "a string")
_texts = _array(_text)
_LAYER = _object(Layer, index=_integer(0), diff_id=_optional(_text), created_by=_optional(_text))
_PLACE: Mapping[str, Reader] = {
    "path": _text,
    "file": _bytes,
    "inner": _array(_bytes),
    "line": _optional(_integer(1)),
    "offset": _optional(_integer(0)),
}
_CONFIG_LOCATION = _object(lambda *, config: ConfigLocation(config), config=_text)
_FILE_LOCATION = _object(_with_path(FileLocation), layer=_LAYER, **_PLACE)
_EVIDENCE = _object(_with_path(Evidence), detector=_text, kind=_text, excerpt=_text, facts=_free, **_PLACE)
_LAUNCH_LOCATION = _object(LaunchLocation, file=_text, line=_integer(1), column=_integer(1))
_PROCESS_LOCATION = _object(
    ProcessLocation, container=_text, pid=_optional(_integer(0)), command=_texts, executable=_optional(_bytes)
)
_FLOW_STEP = _object(FlowStep, location=_optional(_where), message=_text, kind=_text)
_FINDING = _object(
    Finding,
    rule_id=_text,
    severity=_one_of(Severity),
    confidence=_one_of(Confidence),
    message=_text,
    state=_one_of(State),
    hidden_by=_optional(_integer(0)),
    locations=_array(_where, least=1),
    details=_free,
    evidence=_array(_EVIDENCE),
    flow=_array(_FLOW_STEP),
    fingerprint=_text,
)
_MEANS = _object(
    Means,
    kind=_one_of(MeansKind),
    name=_text,
    version=_optional(_text),
    owner=_optional(_text),
    location=_where,
    details=_free,
)
_NOTIFICATION = _object(
    _with_path(Notification),
    stage=_text,
    level=_one_of(Level),
    message=_text,
    path=_optional(_text),
    file=_optional(_bytes),
    inner=_array(_bytes),
    layer=_optional(_integer(0)),
    count=_integer(1),
)
_RULE = _object(
    Rule,
    id=_text,
    name=_text,
    severity=_one_of(Severity),
    description=_text,
    help=_text,
    references=_texts,
    attack=_texts,
)
_CONFIG = _object(
    ImageConfig,
    user=_text,
    env=_texts,
    entrypoint=_texts,
    cmd=_texts,
    working_dir=_text,
    exposed_ports=_texts,
    volumes=_texts,
    labels=_labels,
    healthcheck=_texts,
    on_build=_texts,
    stop_signal=_text,
)
_IMAGE = _object(
    Image,
    id=_optional(_text),
    platform=_text,
    created=_optional(_text),
    config=_CONFIG,
    layers=_array(_LAYER),
)
_DEFAULT = _object(lambda *, default: Default(default), default=_text)
_PLACE_IN_LAUNCH = _object(Place, file=_text, line=_integer(1), column=_integer(1))
_ORIGIN = _optional(_who)
_PERMIT = _object(
    Permit, hosts=_texts, protocol=_text, ports=_array(_span), excepts=_texts, reply=_of(bool, "true or false")
)
_GAP = _object(_renamed(Missing, location="origin"), key=_text, why=_text, location=_ORIGIN)
_BARRIER = _object(
    _renamed(Barrier, to="target", location="origin", **{"from": "source"}),
    to=_text,
    why=_text,
    location=_ORIGIN,
    **{"from": _text},
)
_EDGE = _object(
    _renamed(Edge, edge="kind", to="target", location="origin", **{"from": "source"}),
    edge=_text,
    to=_text,
    mode=_one_of(Mode),
    location=_ORIGIN,
    needs=_texts,
    why=_text,
    permits=_optional(_array(_PERMIT)),
    missing=_array(_GAP),
    actions=_texts,
    **{"from": _text},
)
_PATH = _object(
    Path,
    id=_text,
    destination=_one_of(Destination),
    verdict=_one_of(Verdict),
    mode=_one_of(Mode),
    steps=_array(_EDGE),
    permits=_array(_PERMIT),
    missing=_array(_GAP),
    tool=_optional(_object(Tool, effort=_integer(0), name=_optional(_text), place=_optional(_text), words=_text)),
)
_ANSWER = _object(
    Answer,
    destination=_one_of(Destination),
    verdict=_one_of(Verdict),
    direct=_one_of(Verdict),
    allows=_array(_PERMIT),
    missing=_array(_GAP),
    because=_array(_BARRIER),
    paths=_array(_PATH),
    paths_left_out=_integer(0),
)
_ACTION = _object(
    _renamed(Action, location="origin"),
    id=_text,
    title=_text,
    cost=_integer(0),
    location=_ORIGIN,
    edit=_free,
    breaks=_text,
)
_CUT = _object(
    Cut,
    closes=_array(_one_of(Destination)),
    actions=_array(_ACTION),
    cost=_integer(0),
    verified=_of(bool, "true or false"),
    possible=_of(bool, "true or false"),
    why_not=_text,
)
_SANDBOX = _object(
    _renamed(SandboxReach, location="origin", verdicts="answers"),
    name=_text,
    kind=_text,
    image=_optional(_text),
    location=_who,
    verdicts=_array(_ANSWER),
    cuts=_array(_CUT),
    questions=_array(_object(Question, name=_text, answer=_text, words=_text, path=_optional(_text))),
    graph=_object(
        Graph,
        start=_text,
        nodes=_array(_object(_renamed(Node, location="origin"), id=_text, kind=_text, label=_text, location=_ORIGIN)),
        edges=_array(_EDGE),
        barriers=_array(_BARRIER),
        actions=_array(_ACTION),
        siblings=_texts,
    ),
)
_LAUNCH = _object(
    dict,
    format=_text,
    files=_texts,
    runner=_text,
    assumptions=_array(_object(lambda *, key, value: (key, value), key=_text, value=_text)),
)
_REPORT = _object(
    dict,
    schema_version=_text,
    tool=_object(Scanner, name=_text, version=_text, ruleset=_text),
    started=_text,
    target=_object(Target, source=_text, name=_text, repository=_text, manifest=_optional(_text)),
    image=_IMAGE,
    complete=_of(bool, "true or false"),
    findings=_array(_FINDING),
    launch=_optional(_LAUNCH),
    sandboxes=_array(_SANDBOX),
    means=_array(_MEANS),
    notifications=_array(_NOTIFICATION),
    statistics=_statistics,
    rules=_array(_RULE),
)

PLUGIN = Format("json", "everything, for other programs and for `sandscan convert`", (".json",), render)
