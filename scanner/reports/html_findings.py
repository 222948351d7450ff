"""Findings as data of the HTML page: finished words, bounded, worst first, as many as the page can carry."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from scanner.model import (
    Confidence,
    ConfigLocation,
    FileLocation,
    Finding,
    Json,
    Layer,
    Location,
    ProcessLocation,
    Report,
    Rule,
    Severity,
    State,
    printable,
)
from scanner.reports import html_context, html_ignore, words

BUDGET = 12_000_000
"""Characters of findings in the page. The worst come first; what is left out is said."""
MESSAGE = 1_000
HELP = 4_000
PLACES = 10
KINDS = 20
SEEN = 8
"""Pieces of evidence of one kind."""
EXCERPT = 300
CONTEXTS = 12
"""Pieces of evidence of one finding with what stands around them."""
FLOW = 40
DETAILS = 40
VALUE = 400
LISTED = 20
LINKS = 20
INSTRUCTION = 600


@dataclass(slots=True)
class Numbers:
    """Rules and layers by their numbers in the page: each is said once, however many findings name it."""

    rules: dict[str, int] = field(default_factory=dict)
    layers: dict[Layer, int] = field(default_factory=dict)

    def rule(self, rule_id: str) -> int:
        return self.rules.setdefault(rule_id, len(self.rules))

    def layer(self, location: Location) -> int | None:
        """None where the location lies in no layer."""
        return self.layers.setdefault(location.layer, len(self.layers)) if isinstance(location, FileLocation) else None


def data(report: Report, numbers: Numbers) -> dict[str, Json]:
    """The findings and the rules that they name; `numbers` learns of their layers."""
    findings = words.worst_first(report.findings)
    known = words.rules(report)
    shown: list[Json] = []
    left = BUDGET
    for finding in findings:
        rules = len(numbers.rules)
        one = _finding(finding, report, numbers)
        left -= _length(one) + (_length(_rule(known[finding.rule_id])) if len(numbers.rules) > rules else 0)
        if left < 0 and shown:
            break
        shown.append(one)
    cut = findings[len(shown) :]
    return {
        "severities": [one.value for one in Severity],
        "confidences": [one.value for one in Confidence],
        "states": [one.value for one in State],
        "all": shown,
        "total": len(findings),
        "cut": f"{len(cut):,} of {len(findings):,} findings ({words.tally(cut)})" if cut else "",
        "rules": [_rule(known[name]) for name in numbers.rules],
        "nothing": "" if findings else words.sentence(words.nothing_found(report)),
    }


def _length(value: Json) -> int:
    """Characters in the page, where those of markup are escapes of six."""
    text = json.dumps(value, separators=(",", ":"))
    return len(text) + 5 * sum(map(text.count, "<>&"))


def layer(value: Layer) -> dict[str, Json]:
    digest = words.short(value.diff_id)
    return {"index": value.index, "digest": digest, "instruction": words.instruction(value.created_by, INSTRUCTION)}


def _rule(rule: Rule) -> Json:
    return {
        "id": printable(rule.id),
        "name": words.plain(rule.name, 200),
        "description": words.plain(rule.description, MESSAGE),
        "help": words.plain(rule.help, HELP),
        "links": list(_links(rule)),
    }


def _links(rule: Rule) -> Iterator[Json]:
    """Words and an address, None where it may not be followed; a technique's own page is named once."""
    techniques = [_technique(name) for name in rule.attack[:LINKS]]
    known = {address for _, address in techniques}
    yield from techniques
    yield from (_reference(one) for one in rule.references[:LINKS] if one not in known)


def _technique(name: str) -> tuple[str, str | None]:
    """Words and address of a technique of ATT&CK; without an address where it is none."""
    found = re.fullmatch(r"(T\d{4})(?:\.(\d{3}))?", name, re.ASCII)
    if not found:
        return printable(name), None
    return f"ATT&CK {name}", "https://attack.mitre.org/techniques/" + "/".join(filter(None, found.groups())) + "/"


def _reference(address: str) -> tuple[str, str | None]:
    """Only https leads out of the page, and only to a host that is plain words; the rest is text."""
    safe = len(address) < 2_000 and re.fullmatch(r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[!-~]*)?", address)
    return printable(address, 300), address if safe and not re.search(r"[\"'<>\\`{|}^]", address) else None


# ---- one finding


def _finding(finding: Finding, report: Report, numbers: Numbers) -> dict[str, Json]:
    primary, others = finding.locations[0], finding.locations[1:]
    always: dict[str, Json] = {
        "s": list(Severity).index(finding.severity),
        "c": list(Confidence).index(finding.confidence),
        "t": list(State).index(finding.state),
        "r": numbers.rule(finding.rule_id),
        "m": words.plain(finding.message, MESSAGE) or "(no message)",
        "w": words.place(primary),
        "f": _file(primary),
        "l": None if words.is_given(finding) else numbers.layer(primary),
        "id": printable(finding.fingerprint),
    }
    never = html_ignore.never(finding)
    sometimes: dict[str, Json] = {
        "source": _source(finding),
        "hidden": words.state(finding, report, VALUE),
        "also": [words.place(one) if words.is_given(finding) else _place(one) for one in others[:PLACES]],
        "alsoLeft": max(len(others) - PLACES, 0),
        "why": list(_evidence(finding)),
        "flow": [_step(kind, said, at) for kind, said, at in _flow(finding)],
        "flowLeft": max(len(finding.flow) - FLOW, 0),
        "sha": printable(finding.sha256 or ""),
        "details": list(_details(finding.details)),
        "never": never,
        "ignore": "" if never else html_ignore.entry(finding, report),
    }
    return always | {key: value for key, value in sometimes.items() if value}


def _file(location: Location) -> str:
    """What the page groups by: the file, the image's config, the container."""
    if isinstance(location, ConfigLocation):
        return "image config"
    if isinstance(location, ProcessLocation):
        return f"container {printable(location.container)}"
    return words.path(location.display)


def _place(location: Location) -> str:
    inside = f", layer {location.layer.index}" if isinstance(location, FileLocation) else ""
    return words.place(location) + inside


def _source(finding: Finding) -> Json:
    one = finding.source
    if one is None:
        return None
    return {"at": words.source_line(one), "how": words.source_how(one), "certain": one.certain}


def _evidence(finding: Finding) -> Iterator[Json]:
    """By kind; each piece with its excerpt, where it lies if elsewhere, and what stands around it."""
    left = CONTEXTS
    for kind, found in list(words.kinds(finding.evidence).items())[:KINDS]:
        seen: list[Json] = []
        for one in found[:SEEN]:
            here = not one.path or words.is_at(one, finding.locations[0])
            at = words.position(one.line, one.offset).removeprefix(", ") if here else words.evidence_place(one)
            around = html_context.around(one) if left else None
            left -= around is not None
            seen.append([words.plain(one.excerpt, EXCERPT) or "seen", at, *((around,) if around else ())])
        yield {"kind": printable(kind, 60), "seen": seen, "left": len(found) - len(seen)}


def _flow(finding: Finding) -> Iterator[tuple[str, str, str]]:
    for step in finding.flow[:FLOW]:
        yield (
            printable(step.kind, 60),
            words.plain(step.message, VALUE),
            "" if step.location is None else _place(step.location),
        )


def _step(kind: str, said: str, at: str) -> Json:
    return [kind, said, at]


def _details(details: Mapping[str, Json]) -> Iterator[Json]:
    """What else is known, as words; what says nothing (None, empty) is left out."""
    for key in sorted(details)[:DETAILS]:
        value = details[key]
        if value is not None and value not in ("", [], (), {}):
            yield [printable(key, 60).replace("_", " "), _said(value)]


def _said(value: Json, depth: int = 3) -> str:
    """`a, b`, `listen 0.0.0.0:2222, port 22`: as words, bounded."""
    if isinstance(value, Mapping):
        if not depth:
            return "…"
        pairs = ((printable(key, 60).replace("_", " "), value[key]) for key in sorted(value)[:LISTED])
        return words.plain(", ".join(f"{key} {_said(one, depth - 1)}" for key, one in pairs if one is not None), VALUE)
    if isinstance(value, list | tuple):
        if not depth:
            return "…"
        between = "; " if any(isinstance(one, Mapping) for one in value[:LISTED]) else ", "
        more = f" and {len(value) - LISTED:,} more" if len(value) > LISTED else ""
        return words.plain(between.join(_said(one, depth - 1) for one in value[:LISTED]), VALUE) + more
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else words.plain(str(value), VALUE)
