"""SARIF 2.1.0 for GitHub code scanning and every other reader of SARIF.

Standard: OASIS SARIF 2.1.0 plus errata 01. GitHub's subset and limits: docs.github.com, "SARIF support for code
scanning". The object model is sarif-om's, the serialiser is sarif_json.py.
"""

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from scanner.model import (
    Confidence,
    ConfigLocation,
    Evidence,
    FileLocation,
    Finding,
    FlowStep,
    Json,
    LaunchLocation,
    Level,
    Location,
    Notification,
    ProcessLocation,
    Report,
    Rule,
    Severity,
    SourceLine,
    printable,
)
from scanner.model.run import Run
from scanner.reports import timeline, watched, words
from scanner.reports.jsontext import dumps
from scanner.reports.plugin import Format, RenderOptions
from scanner.reports.sarif_json import to_json

if TYPE_CHECKING:
    import sarif_om

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ATTACK = "https://attack.mitre.org/"

RULES = 5_000
"""GitHub takes 25,000 rules; those that the results name come first, and there are no more of them than these."""
RESULTS = 5_000
"""GitHub takes 25,000 results of a run and shows the 5,000 worst; which are the worst, we know better."""
COMPRESSED = 10_000_000
"""GitHub refuses an upload of more than 10 MB, gzipped."""
NOTIFICATIONS = 500
RELATED = 10
"""Related locations per result; GitHub keeps 100, people read fewer."""
STORIES = 200
"""Results, the worst, that tell what their process did: of a process with thousands, each would tell the same."""
STEPS = 100
"""Steps of a finding's way; GitHub keeps 1,000."""
ALL_STEPS = 20_000
"""Steps of all findings' ways together: those of the worst are told."""
EVIDENCE_KINDS = 12
URI_LIMIT = 1_000
TEXT_LIMIT = 1_024
"""Characters of a rule's fullDescription that GitHub takes."""

LEVEL = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.NOTE: "note",
}
SECURITY_SEVERITY = {
    # GitHub: over 9.0 critical, 7.0 to 8.9 high, 4.0 to 6.9 medium, 0.1 to 3.9 low; 0.0 is none, it shows the level.
    Severity.CRITICAL: 9.5,
    Severity.HIGH: 8.0,
    Severity.MEDIUM: 5.5,
    Severity.LOW: 2.0,
    Severity.NOTE: 0.0,
}
SUBJECTS = {"egress": "launch-file", "drift": "container", "live": "container", "observed": "container"}
"""What rules of a behaviour are about; all others are about what was looked at."""
PROBLEM = {"error": "error", "warning": "warning", "note": "recommendation"}


def render(report: Report, options: RenderOptions) -> str:  # noqa: ARG001  # SARIF looks the same to everybody
    """A log with one run: the worst results that GitHub takes; what was left out is said in a notification."""
    findings = words.worst_first(report.findings)
    kept = min(len(findings), RESULTS)
    rules = RULES
    acts = _by_process(report.run)
    while True:
        log = _log(report, findings, kept, rules, acts)
        text = dumps({"$schema": log.schema_uri, "version": log.version, "runs": to_json(log.runs)})
        if len(text) <= COMPRESSED or len(zlib.compress(text.encode("ascii"), 6)) <= COMPRESSED:
            return text
        if rules:
            rules = 0  # those that no result names go first
        elif kept:
            kept //= 2
        else:
            return text


Acts = Mapping[int, Sequence[timeline.Moment]]
"""The moments of a run by the process that they belong to."""


def _by_process(run: Run | None) -> Acts:
    acts: dict[int, list[timeline.Moment]] = {}
    for moment in timeline.moments(run) if run is not None else ():
        for pid in moment.pids if moment.time is not None else ():
            acts.setdefault(pid, []).append(moment)
    return acts


def _log(report: Report, findings: Sequence[Finding], kept: int, most_rules: int, acts: Acts) -> "sarif_om.SarifLog":
    """`most_rules`: no more rules than that, or than the results name."""
    import sarif_om

    loaded = _effective(report)
    named = dict.fromkeys(one.rule_id for one in findings[:kept])
    others = [name for name in loaded if name not in named][: max(0, most_rules - len(named))]
    listed = named.keys() | others
    rules = [one for name, one in loaded.items() if name in listed]
    ways = _ways(findings[:kept])
    techniques = sorted({technique for rule, *_ in rules for technique in _techniques(rule)})
    index = {rule.id: i for i, (rule, *_) in enumerate(rules)}
    taxon = {technique: i for i, technique in enumerate(techniques)}
    seen: Counter[str] = Counter()
    stages = sorted({printable(n.stage) for n in report.notifications} | {"report"})
    subject = "repository" if words.is_check(report) else "container-image"
    driver = sarif_om.ToolComponent(
        name="sandscan",
        version=printable(report.tool.version),
        semantic_version=_semantic(report.tool.version),
        rules=[_rule(*one, taxon, subject) for one in rules],
        notifications=[_stage(stage) for stage in stages],
        supported_taxonomies=[sarif_om.ToolComponentReference(name="MITRE ATT&CK", index=0)] if techniques else None,
        properties={"ruleset": printable(report.tool.ruleset)},
    )
    run = sarif_om.Run(
        tool=sarif_om.Tool(driver=driver),
        # The category of GitHub's alerts: with a tag or a digest in it, every build would orphan the one before.
        automation_details=sarif_om.RunAutomationDetails(id=f"sandscan/{_uri_of(words.repository(report).encode())}/"),
        column_kind="unicodeCodePoints",
        invocations=[_invocation(report, stages, _cuts(findings, kept, ways, len(loaded) - len(rules), acts))],
        results=[
            _result(one, report, index, seen, ways=number < ways, acts=acts if number < STORIES else {})
            for number, one in enumerate(findings[:kept])
        ],
        taxonomies=[_taxonomy(techniques)] if techniques else None,
        properties=_about(report),
    )
    return sarif_om.SarifLog(schema_uri=SCHEMA, version="2.1.0", runs=[run])


def _ways(findings: Sequence[Finding]) -> int:
    """How many of the findings, the first, tell their ways: all of them, or as many as ALL_STEPS holds."""
    left = ALL_STEPS
    for number, one in enumerate(findings):
        left -= min(len(one.flow), STEPS)
        if left < 0:
            return number
    return len(findings)


def _cuts(findings: Sequence[Finding], kept: int, ways: int, rules: int, acts: Acts) -> list[str]:
    """A sentence on each thing that is left out, of which the JSON report has all."""
    said = []
    if kept < len(findings):
        said.append(f"Only the {kept:,} worst of {len(findings):,} findings are listed, because GitHub takes no more")
    if untold := sum(1 for one in findings[ways:kept] if one.flow):
        said.append(f"The ways of {words.many(untold, 'finding')}, the least severe, are left out")
    if untold := sum(1 for one in findings[STORIES:kept] if acts.get(_process_of(one) or -1)):
        said.append(f"What their process did is left out of {words.many(untold, 'finding')}, the least severe")
    if rules:
        said.append(f"{words.many(rules, 'rule')} that no result names {'is' if rules == 1 else 'are'} left out")
    return said


def _semantic(version: str) -> str | None:
    return version if re.fullmatch(r"\d{1,9}\.\d{1,9}\.\d{1,9}", version) else None


def _about(report: Report) -> Json:
    return {
        "target": words.target(report),
        "imageId": printable(report.image.id or "") or None,
        "platform": printable(report.image.platform),
        "manifest": printable(report.target.manifest or "") or None,
        **(_run_of(report.run) if report.run is not None else {}),
    }


def _run_of(run: Run) -> dict[str, Json]:
    return {
        "how": str(run.how),
        "subject": printable(run.subject),
        "episode": None if run.episode is None else printable(run.episode),
        "ended": f"stopped: {words.plain(run.stopped, 400)}" if run.stopped else None,
        "exitCode": run.exit_code,
        "seen": watched.counts(run),
        "dropped": watched.dropped(run) or None,
    }


# ---- rules


def _effective(report: Report) -> dict[str, tuple[Rule, Severity, Confidence]]:
    """Each rule with the severity and the confidence that GitHub is to show for its alerts.

    SARIF lets every result have a level of its own, but GitHub reads security-severity and precision from the rule
    alone. So a rule gets the worst severity and the highest confidence that its results have *in this run*; without
    results, its own. A rule with a critical and a low result shows both as critical: overstated, never understated,
    and each result's level, rank and properties still say how bad that one is.
    """
    found: dict[str, list[Finding]] = {}
    for finding in report.findings:
        found.setdefault(finding.rule_id, []).append(finding)
    return {
        rule.id: (
            rule,
            max((f.severity for f in found.get(rule.id, [])), key=lambda s: s.rank, default=rule.severity),
            max((f.confidence for f in found.get(rule.id, [])), key=lambda c: c.rank, default=Confidence.MEDIUM),
        )
        for rule in words.rules(report).values()
    }


def _rule(
    rule: Rule, severity: Severity, confidence: Confidence, taxon: Mapping[str, int], subject: str
) -> "sarif_om.ReportingDescriptor":
    import sarif_om

    name = words.plain(rule.name or rule.id, TEXT_LIMIT - 1)
    description = words.sentence(words.plain(rule.description, TEXT_LIMIT - 1) or name)
    return sarif_om.ReportingDescriptor(
        id=printable(rule.id),
        name=_pascal(rule.id, rule.id),
        short_description=sarif_om.MultiformatMessageString(text=words.sentence(name)),
        full_description=sarif_om.MultiformatMessageString(text=description),
        help=sarif_om.MultiformatMessageString(
            text=words.sentence(words.plain(rule.help or rule.description, 8_000) or name), markdown=_help(rule, name)
        ),
        default_configuration=sarif_om.ReportingConfiguration(level=LEVEL[severity]),
        relationships=[_relationship(technique, taxon[technique]) for technique in _techniques(rule)] or None,
        properties={
            "precision": str(confidence),
            "problem.severity": PROBLEM[LEVEL[severity]],
            "security-severity": f"{SECURITY_SEVERITY[severity]:.1f}",
            "tags": _tags(rule, subject),
        },
    )


def _pascal(words_of: str, identifier: str) -> str | None:
    """An identifier for people (SARIF 3.49.7), None where it would only repeat the id."""
    name = "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", words_of))
    return name if name and name.lower() != identifier.lower() else None


def _tags(rule: Rule, subject: str) -> list[str]:
    """GitHub keeps ten. `subject` is what was looked at, where the rule's behaviour does not say what it is about."""
    behaviour = printable(rule.id.partition("/")[0], 60)
    subject = SUBJECTS.get(behaviour, subject)
    tags = ["security", subject, behaviour, *(f"attack/{one}" for one in _techniques(rule))]
    return list(dict.fromkeys(tags))[:10]


def _help(rule: Rule, name: str) -> str:
    """What GitHub shows below an alert. Rules may come from the user: text is escaped, links are checked."""
    parts = [f"## {_markdown(name)}"]
    texts = dict.fromkeys((rule.description, rule.help))
    parts += [_markdown(words.plain(text, 8_000)) for text in texts if text.strip()]
    links = [f"[MITRE ATT&CK {one}]({_technique(one)})" for one in _techniques(rule)]
    for reference in rule.references:
        shown = printable(reference, 1_000)
        links.append(f"<{shown}>" if re.fullmatch(r"https?://[^\s<>]+", shown) else _markdown(shown))
    if links:
        parts.append("### References\n\n" + "\n".join(f"- {link}" for link in links))
    return "\n\n".join(parts) + "\n"


def _relationship(technique: str, index: int) -> "sarif_om.ReportingDescriptorRelationship":
    import sarif_om

    return sarif_om.ReportingDescriptorRelationship(
        target=sarif_om.ReportingDescriptorReference(
            id=technique,
            index=index,
            tool_component=sarif_om.ToolComponentReference(name="MITRE ATT&CK", index=0),
        ),
        kinds=["relevant"],
    )


def _taxonomy(techniques: Iterable[str]) -> "sarif_om.ToolComponent":
    import sarif_om

    return sarif_om.ToolComponent(
        name="MITRE ATT&CK",
        organization="The MITRE Corporation",
        information_uri=ATTACK,
        short_description=sarif_om.MultiformatMessageString(text="Adversary tactics and techniques."),
        is_comprehensive=False,
        taxa=[
            sarif_om.ReportingDescriptor(
                id=technique,
                help_uri=_technique(technique),
                short_description=sarif_om.MultiformatMessageString(text=f"ATT&CK {technique}."),
            )
            for technique in techniques
        ],
    )


def _technique(technique: str) -> str:
    """`T1496.001` is at techniques/T1496/001/."""
    return f"{ATTACK}techniques/{technique.replace('.', '/')}/"


def _techniques(rule: Rule) -> list[str]:
    """The rule's ATT&CK techniques and sub-techniques, each once."""
    return [one for one in dict.fromkeys(rule.attack) if re.fullmatch(r"T\d{4}(?:\.\d{3})?", one, re.ASCII)]


# ---- results


def _result(
    finding: Finding, report: Report, index: Mapping[str, int], seen: Counter[str], *, ways: bool, acts: Acts
) -> "sarif_om.Result":
    """`ways`: whether its way is told. A finding whose line in the repository is known stands there, and has its place in
    the image as its first related location."""
    import sarif_om

    source = _source(finding)
    others = finding.locations if source is not None and not words.is_given(finding) else finding.locations[1:]
    elsewhere = _elsewhere(finding)
    related = [_location(one, report, i) for i, one in enumerate(others[:RELATED], start=1)]
    stand_ins = elsewhere[: RELATED - len(related)]
    related += [_evidence_location(one, report, len(related) + i) for i, one in enumerate(stand_ins, start=1)]
    more = len(others) + len(elsewhere) - len(related)
    location = _location(finding.locations[0], report)
    if source is not None and not _is_there(source, finding):
        location.physical_location = _in_repository(source)
        location.logical_locations = None if words.is_given(finding) else location.logical_locations
    seen[finding.fingerprint] += 1
    return sarif_om.Result(
        rule_id=printable(finding.rule_id),
        rule_index=index[finding.rule_id],
        level=LEVEL[finding.severity],
        message=sarif_om.Message(text=_message(finding, report, related, more)),
        locations=[location],
        related_locations=related or None,
        code_flows=_flows(finding, report, acts, ways=ways) or None,
        partial_fingerprints={
            # GitHub tells alerts apart by this one alone; the number parts findings that are alike in everything.
            "primaryLocationLineHash": f"{printable(finding.fingerprint)[:32]}:{seen[finding.fingerprint]}",
            "sandscan/v1": printable(finding.fingerprint),
        },
        rank=SECURITY_SEVERITY[finding.severity] * 10,
        properties={
            "severity": str(finding.severity),
            "confidence": str(finding.confidence),
            "state": str(finding.state),
            "details": _details(finding.details),
        },
    )


def _message(finding: Finding, report: Report, related: Sequence["sarif_om.Location"], more: int) -> str:
    """What it is, where, in what state, and why we believe it. `more`: places that are not among the related ones.

    GitHub shows the first sentence alone where room is scarce, and never the logical locations: they are said here.
    """
    lines = [words.sentence(words.plain(finding.message, 600) or printable(finding.rule_id))]
    inside = _inside(finding, report)
    lines.append(f"Where: {words.where(finding)}" + (f" in {inside}" if inside else ""))
    if finding.source is not None and not words.is_given(finding):
        lines.append(f"Line: {words.source(finding)}")
    if hidden := words.state(finding, report):
        lines.append(f"State: {hidden}.")
    lines.append(f"Why ({finding.confidence} confidence):")
    by_kind = words.kinds(finding.evidence)
    for kind, found in list(by_kind.items())[:EVIDENCE_KINDS]:
        excerpts = [shown for one in found[:3] if (shown := printable(one.excerpt, 120))]
        rest = f" and {len(found) - 3:,} more" if len(found) > 3 else ""
        lines.append(f"- {printable(kind, 40)}: {'; '.join(excerpts) or 'seen'}{rest}")
    if len(by_kind) > EVIDENCE_KINDS:
        lines.append(f"- {len(by_kind) - EVIDENCE_KINDS:,} more kinds of evidence")
    lines = [_text(line) for line in lines]
    if related:
        links = ", ".join(f"[{_link_text(one.message.text)}]({one.id})" for one in related)
        lines.append(f"See also: {links}" + (f", and {words.many(more, 'more place')}." if more else "."))
    return "\n".join(lines)


def _inside(finding: Finding, report: Report) -> str:
    """What the first location lies in; empty for a file of the repository."""
    primary = finding.locations[0]
    if words.is_given(finding):
        return ""
    if isinstance(primary, FileLocation):
        if words.is_check(report):
            return ""
        maker = words.instruction(primary.layer.created_by)
        return f"{words.layer(primary.layer)} of {words.repository(report)}" + (f", made by: {maker}" if maker else "")
    if isinstance(primary, ConfigLocation):
        return f"the image {words.repository(report)}"
    if isinstance(primary, ProcessLocation):
        return f"the container {printable(primary.container)}"
    return "" if report.egress is None else "the launch"


def _source(finding: Finding) -> SourceLine | None:
    """The line of the repository that made it, if it lies below the repository's root."""
    return finding.source if words.pointing(finding) is not None else None


def _is_there(source: SourceLine, finding: Finding) -> bool:
    """Whether the first location names that line already, and its column too."""
    primary = finding.locations[0]
    same = isinstance(primary, LaunchLocation) and (primary.file, primary.line) == (source.file, source.line)
    return same and source.end_line <= source.line


def _in_repository(source: SourceLine) -> "sarif_om.PhysicalLocation":
    import sarif_om

    return sarif_om.PhysicalLocation(
        artifact_location=sarif_om.ArtifactLocation(uri=_uri_of(LaunchLocation(source.file, 1).display)),
        region=sarif_om.Region(
            start_line=max(source.line, 1), end_line=source.end_line if source.end_line > source.line else None
        ),
    )


def _elsewhere(finding: Finding) -> list[Evidence]:
    """One evidence for each place that no location of the finding names."""
    if isinstance(finding.locations[0], LaunchLocation):
        return []  # what was seen of a launch stands in its files, and the flow names the lines
    named = {(one.path, one.inner) for one in finding.locations if isinstance(one, FileLocation)}
    places: dict[tuple[object, ...], Evidence] = {}
    for one in finding.evidence:
        of_process = isinstance(finding.locations[0], ProcessLocation) and not one.path
        if (one.path, one.inner) not in named and not of_process and not words.is_at(one, finding.locations[0]):
            places.setdefault((one.path, one.inner), one)
    return list(places.values())


def _location(location: Location, report: Report, number: int | None = None) -> "sarif_om.Location":
    import sarif_om

    if isinstance(location, ConfigLocation):
        field = printable(location.field)
        logical = sarif_om.LogicalLocation(name=field, fully_qualified_name=f"config.{field}", kind="property")
        physical = _physical(_uri(report, b"image-config.json"))
    elif isinstance(location, LaunchLocation):
        return _numbered(number, words.place(location), _in_launch(location))
    elif isinstance(location, ProcessLocation):
        # A process has no file of its own: its program's stands in, without the number that differs each time.
        whole = location.pid is None
        logical = sarif_om.LogicalLocation(
            name=printable(location.container) if whole else str(location.pid),
            fully_qualified_name=printable(location.display, words.PATH_LIMIT),
            kind="container" if whole else "process",
        )
        physical = _physical(_uri(report, location.executable or b"container"))
    else:
        layer = location.layer
        logical = sarif_om.LogicalLocation(
            name=f"layer {layer.index}",
            fully_qualified_name=printable(layer.diff_id or "") or f"layer {layer.index}",
            kind="layer",
        )
        physical = _physical(_uri(report, location.display), location.line, location.offset)
        if words.is_check(report):
            return _numbered(number, words.place(location), physical)
    return _numbered(number, words.place(location), physical, [logical])


def _in_launch(location: LaunchLocation) -> "sarif_om.PhysicalLocation":
    """The file of the repository itself, so that an alert stands at its line."""
    import sarif_om

    return sarif_om.PhysicalLocation(
        artifact_location=sarif_om.ArtifactLocation(uri=_uri_of(location.display)),
        region=sarif_om.Region(start_line=max(location.line, 1), start_column=max(location.column, 1)),
    )


def _flows(finding: Finding, report: Report, acts: Acts, *, ways: bool) -> "list[sarif_om.CodeFlow]":
    """The way that the finding tells, and what its process did, moment by moment."""
    told = [_flow(finding, report)] if finding.flow and ways else []
    acted = _acts(finding, report, acts)
    return [*told, acted] if acted is not None else told


def _acts(finding: Finding, report: Report, acts: Acts) -> "sarif_om.CodeFlow | None":
    """The moments of the run that belong to the finding's first process, with their times; None without any."""
    import sarif_om

    pid = _process_of(finding)
    moments = acts.get(pid, ()) if pid is not None else ()
    if not moments:
        return None
    located = []
    for moment in moments[:STEPS]:
        location = _location(finding.locations[0], report)
        location.message = sarif_om.Message(text=_text(words.plain(moment.sentence, 600)))
        step = sarif_om.ThreadFlowLocation(
            location=location, kinds=[str(moment.sort)], execution_time_utc=watched.stamp(moment.time)
        )
        located.append(step)
    return sarif_om.CodeFlow(
        message=sarif_om.Message(text="What the process did, and when."),
        thread_flows=[sarif_om.ThreadFlow(id=str(pid), locations=located)],
    )


def _process_of(finding: Finding) -> int | None:
    pids = (one.pid for one in finding.locations if isinstance(one, ProcessLocation) and one.pid is not None)
    return next(pids, None)


def _flow(finding: Finding, report: Report) -> "sarif_om.CodeFlow":
    """The finding's way, as GitHub unfolds it below an alert."""
    import sarif_om

    steps = finding.flow[:STEPS]
    if len(steps) < len(finding.flow):
        rest = FlowStep(None, f"{len(finding.flow) - len(steps):,} more steps are in the JSON report", "left out")
        steps = (*steps, rest)
    located = [_flow_step(step, finding, report) for step in steps]
    return sarif_om.CodeFlow(thread_flows=[sarif_om.ThreadFlow(locations=located)])


def _flow_step(step: FlowStep, finding: Finding, report: Report) -> "sarif_om.ThreadFlowLocation":
    """A step that no file says stands where the finding does: GitHub shows none without a place."""
    import sarif_om

    location = _location(step.location or finding.locations[0], report)
    location.message = sarif_om.Message(text=_text(words.plain(step.message, 600) or printable(step.kind) or "step"))
    kind = printable(step.kind, 60)
    return sarif_om.ThreadFlowLocation(location=location, kinds=[kind] if kind else None)


def _evidence_location(evidence: Evidence, report: Report, number: int) -> "sarif_om.Location":
    uri = _uri(report, b"!/".join((evidence.path, *evidence.inner)))
    return _numbered(number, words.evidence_place(evidence), _physical(uri, evidence.line, evidence.offset))


def _numbered(
    number: int | None,
    place: str,
    physical: "sarif_om.PhysicalLocation",
    logical: "list[sarif_om.LogicalLocation] | None" = None,
) -> "sarif_om.Location":
    import sarif_om

    location = sarif_om.Location(physical_location=physical, logical_locations=logical)
    if number is not None:
        location.id = number
        location.message = sarif_om.Message(text=_text(printable(place, 300)))
    return location


def _physical(uri: str, line: int | None = None, offset: int | None = None) -> "sarif_om.PhysicalLocation":
    """GitHub wants a line, a binary has none: line 1. The byte goes into an address, because a region that has both a
    line and a byte offset must mean the same bytes by them (SARIF 3.30.4)."""
    import sarif_om

    location = sarif_om.PhysicalLocation(
        artifact_location=sarif_om.ArtifactLocation(uri=uri), region=sarif_om.Region(start_line=max(line or 1, 1))
    )
    if line is None and offset is not None:
        location.address = sarif_om.Address(absolute_address=max(offset, 0), kind="data")
    return location


def _uri(report: Report, path: bytes) -> str:
    """`image/path`, as a relative reference (RFC 3986 section 4.2) that can only go down.

    No file of the repository is meant, so the image's name comes first: alerts of two images stay apart, and none lands
    on a source file that happens to have the path. GitHub refuses a scheme, an empty URI and a raw space. Where files of
    the repository themselves were looked at, it is the path alone.
    """
    if words.is_check(report):
        return _uri_of(path)
    return f"{_uri_of(words.repository(report).encode())}/{_uri_of(path)}"


def _uri_of(path: bytes) -> str:
    segments = [b"_.." if part == b".." else part for part in path.split(b"/") if part not in {b"", b"."}]
    uri = quote(b"/".join(segments), safe="/!@+,=~") or "_"
    if len(uri) > URI_LIMIT:
        cut = re.sub(r"%.?$", "", uri[: URI_LIMIT - 40])
        return f"{cut}~{hashlib.sha256(path).hexdigest()[:32]}"
    return uri


def _details(details: Mapping[str, Json]) -> Json:
    """The plain ones, bounded: a property bag of hostile size would cost the upload."""
    plain: dict[str, Json] = {}
    for key in sorted(details)[:20]:
        value = details[key]
        if isinstance(value, str):
            plain[printable(key, 60)] = printable(value)
        elif isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 1 << 63):
            plain[printable(key, 60)] = value
    return plain


# ---- what was not read


def _invocation(report: Report, stages: Sequence[str], cuts: Sequence[str]) -> "sarif_om.Invocation":
    import sarif_om

    gaps = words.gaps_first(report.notifications)
    shown = [_notification(one, report, stages) for one in gaps[:NOTIFICATIONS]]
    if len(gaps) > NOTIFICATIONS:
        rest = gaps[NOTIFICATIONS:]
        text = f"{sum(n.count for n in rest):,} more notifications are left out here; the JSON report has them all."
        shown.append(_notification(Notification(rest[0].stage, rest[0].level, text), report, stages))
    said = [Notification("report", Level.WARNING, f"{cut}; the JSON report has them all.") for cut in cuts]
    if aside := words.set_aside(report):
        text = f"{words.many(len(report.suppressed), 'finding')} set aside and not listed: {', '.join(aside)}."
        said.append(Notification("report", Level.NOTE, text))
    shown = [*(_notification(one, report, stages) for one in said), *shown]
    run = report.run
    return sarif_om.Invocation(
        execution_successful=report.complete,
        start_time_utc=_utc(report.started) if run is None else watched.stamp(run.started),
        end_time_utc=None if run is None else watched.stamp(run.ended),
        tool_execution_notifications=shown or None,
    )


def _utc(started: str) -> str | None:
    return started if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", started) else None


def _notification(one: Notification, report: Report, stages: Sequence[str]) -> "sarif_om.Notification":
    import sarif_om

    where = words.notification_place(one)
    text = words.plain(one.message, 1_000) + (f" ({where})" if where else "")
    text += f", {one.count:,} times" if one.count > 1 else ""
    stage = printable(one.stage)
    located = one.path is not None
    path = b"!/".join((one.path or b"", *one.inner))
    uri = _uri_of(path) if one.stage == "launch" else _uri(report, path)
    return sarif_om.Notification(
        message=sarif_om.Message(text=words.sentence(_text(text))),
        level=str(one.level),
        descriptor=sarif_om.ReportingDescriptorReference(id=stage, index=stages.index(stage)),
        locations=[_numbered(None, where, _physical(uri))] if located else None,
    )


def _stage(stage: str) -> "sarif_om.ReportingDescriptor":
    import sarif_om

    return sarif_om.ReportingDescriptor(
        id=stage,
        name=_pascal(f"{stage} stage", stage),
        short_description=sarif_om.MultiformatMessageString(text=f"What the {stage} stage could not do."),
        full_description=sarif_om.MultiformatMessageString(text=f"What stage {stage} could not read to its end."),
        help=sarif_om.MultiformatMessageString(
            text="After a warning or an error the report is incomplete: what was not read was not judged. "
            "Scan again once the cause is gone."
        ),
    )


# ---- text


def _text(text: str) -> str:
    """Hostile words in a plain text message: no link (SARIF 3.11.6) and no placeholder (3.11.5) comes of them."""
    return re.sub(r"\{(\d+)\}", r"{{\1}}", text.replace("](", "] ("))


def _link_text(text: str) -> str:
    """Link text, brackets and backslashes escaped (SARIF 3.11.6)."""
    return re.sub(r"([\\\[\]])", r"\\\1", printable(text, 200))


def _markdown(text: str) -> str:
    """No HTML, no markup: SARIF 3.11.4.2 forbids the first, hostile names must not make the second."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", text)


PLUGIN = Format("sarif", "SARIF 2.1.0, as GitHub code scanning takes it", (".sarif", ".sarif.json"), render)
