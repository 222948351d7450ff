"""The baseline: the findings that were there when somebody decided to live with them, by fingerprint.

A JSON file with the same bytes for the same findings, one finding to a line, so that a change of it can be reviewed. Several targets
may share one file: each entry says what it was found in, and writing one target's findings leaves the others' alone.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scanner.errors import LimitError, ParseError
from scanner.model import Finding, Json, Report, Severity, never_aside, printable

VERSION = 1
BYTES = 64 << 20
ENTRIES = 250_000
_HEX = frozenset("0123456789abcdef")
_ORDER = {severity.value: -severity.rank for severity in Severity}


@dataclass(frozen=True, slots=True)
class Known:
    """One finding of the baseline. `fingerprint` and `severity` decide; `rule`, `path` and `message` are for whoever reads the file.
    `repository` is what it was found in, by `Target.repository`: who writes that one's findings anew replaces these."""

    fingerprint: str
    severity: Severity
    rule: str
    path: str
    message: str
    repository: str = ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a file knows. `file` is its name for people; `tool` and `ruleset` say what wrote it last."""

    file: str
    entries: tuple[Known, ...]
    tool: str = ""
    ruleset: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """A baseline to be written; `left_out` are findings of the report that it does not hold, because nothing sets them aside,
    `gone` and `new` how many entries of the one before are no longer found, and how many findings it does not know. `others` of its
    entries are other targets'."""

    baseline: Baseline
    left_out: tuple[Finding, ...] = ()
    gone: int = 0
    new: int = 0
    others: int = 0


def made(report: Report, file: str, before: Baseline | None = None) -> Written:
    """The baseline of all findings of a report that may be set aside; those that the report sets aside already are not among them.
    What `before` knows of other targets stays."""
    left_out = tuple(finding for finding in report.findings if never_aside(finding) is not None)
    repository = _repository(report)
    entries = [_known(finding, repository) for finding in report.findings if never_aside(finding) is None]
    others = _of_others(before, repository)
    return Written(_of(report, file, [*entries, *others]), left_out, others=len(others))


def pruned(before: Baseline, report: Report, file: str) -> Written:
    """The baseline without what a report no longer has, for one that knows what it has: a finding that `before` does not know is not
    added, and one that has become milder is known as that; what it knows of other targets stays. `report` is what was found, before
    anything was set aside."""
    repository = _repository(report)
    left: dict[str, list[Severity]] = {}
    for known in before.entries:
        if known.repository == repository:
            left.setdefault(known.fingerprint, []).append(known.severity)
    others = _of_others(before, repository)
    entries: list[Known] = []
    new = 0
    for finding in sorted(report.findings, key=lambda f: -f.severity.rank):
        if never_aside(finding) is not None:
            continue
        if not left.get(finding.fingerprint):
            new += 1
            continue
        then = max(left[finding.fingerprint], key=lambda s: s.rank)
        left[finding.fingerprint].remove(then)
        milder = min(then, finding.severity, key=lambda s: s.rank)
        entries.append(Known(finding.fingerprint, milder, *_words(finding), repository))
    gone = sum(map(len, left.values()))
    return Written(_of(report, file, [*entries, *others]), gone=gone, new=new, others=len(others))


def _of(report: Report, file: str, entries: Iterable[Known]) -> Baseline:
    tool = f"{report.tool.name} {report.tool.version}"
    return Baseline(file, tuple(sorted(entries, key=_key)), tool, report.tool.ruleset)


def _repository(report: Report) -> str:
    return printable(report.target.repository, 500)


def _of_others(before: Baseline | None, repository: str) -> list[Known]:
    return [] if before is None else [known for known in before.entries if known.repository != repository]


def _known(finding: Finding, repository: str) -> Known:
    return Known(finding.fingerprint, finding.severity, *_words(finding), repository)


def _words(finding: Finding) -> tuple[str, str, str]:
    return finding.rule_id, printable(finding.locations[0].display, 500), printable(finding.message, 500)


def _key(known: Known) -> tuple[str, str, str, str, int, str]:
    return known.repository, known.rule, known.path, known.fingerprint, _ORDER[known.severity.value], known.message


# ---- as text


def render(baseline: Baseline) -> str:
    """The file's text: the same bytes for the same entries, one entry to a line, sorted by what it was found in, rule and path."""
    head: dict[str, Json] = {
        "version": VERSION,
        "tool": baseline.tool,
        "ruleset": baseline.ruleset,
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    entries = [
        "    "
        + json.dumps(
            {
                "fingerprint": known.fingerprint,
                "severity": known.severity.value,
                "rule": known.rule,
                "path": known.path,
                "message": known.message,
                "repository": known.repository,
            },
            ensure_ascii=False,
        )
        for known in sorted(baseline.entries, key=_key)
    ]
    listed = ['  "findings": [', ",\n".join(entries), "  ]"] if entries else ['  "findings": []']
    return "\n".join(["{", *lines, *listed, "}", ""])


def read(data: bytes, file: str) -> Baseline:
    """The baseline in a file's bytes, `file` its name for people. Raises ParseError with file:line:column, LimitError."""
    from scanner.launch.document import Node, read_json

    def wrong(node: Node, what: str) -> ParseError:
        return ParseError(f"{node.place}: no baseline: {what}")

    def word(node: Node, key: str, *, needed: bool = True) -> str:
        value = node.get(key)
        if value is None and not needed:
            return ""
        if value is None:
            raise wrong(node, f"{key!r} is missing")
        if value.text is None or not value.quoted:
            raise wrong(value, f"{key!r} is a string")
        return value.text

    def allowed(node: Node, keys: Sequence[str]) -> None:
        if not node.is_map:
            raise wrong(node, f"an object with {', '.join(keys)} is expected")
        for name, at, _ in node.items():
            if name not in keys:
                raise wrong(at, f"{printable(name)!r} is no key of it; write it with --write-baseline")

    if len(data) > BYTES:
        raise LimitError(f"{file} is larger than any baseline ({BYTES} bytes)")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        column = e.start - data.rfind(b"\n", 0, e.start)
        raise ParseError(f"{file}:{line}:{column}: no baseline: no text in UTF-8") from e
    root = read_json(text, file)
    allowed(root, ("version", "tool", "ruleset", "findings"))
    version = root.get("version")
    if version is None or version.quoted or version.text != str(VERSION):
        raise wrong(version or root, f"this sandscan reads version {VERSION}; write it anew with --write-baseline")
    listed = root.get("findings")
    if listed is None or listed.elements is None:
        raise wrong(listed or root, "'findings' is a list")
    if len(listed.elements) > ENTRIES:
        raise LimitError(f"{file} holds more than {ENTRIES:,} findings")
    entries = []
    for node in listed.elements:
        allowed(node, ("fingerprint", "severity", "rule", "path", "message", "repository"))
        fingerprint, severity = word(node, "fingerprint"), word(node, "severity")
        if len(fingerprint) != 64 or not _HEX.issuperset(fingerprint):
            raise wrong(node.get("fingerprint") or node, "a fingerprint is 64 hexadecimal digits")
        if severity not in _ORDER:
            raise wrong(node.get("severity") or node, f"a severity is one of {', '.join(_ORDER)}")
        words = (word(node, "rule"), word(node, "path"), word(node, "message"), word(node, "repository"))
        entries.append(Known(fingerprint, Severity(severity), *words))
    about = (word(root, key, needed=False) for key in ("tool", "ruleset"))
    return Baseline(file, tuple(entries), *about)


def schema() -> dict[str, Json]:
    """The JSON Schema (draft 2020-12) of the file."""
    text: dict[str, Json] = {"type": "string"}
    entry: dict[str, Json] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["fingerprint", "severity", "rule", "path", "message", "repository"],
        "properties": {
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "severity": {"enum": list(_ORDER)},
            "rule": text,
            "path": text,
            "message": text,
            "repository": {**text, "description": "The image, the launch file or the check that it was found in."},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A baseline of sandscan",
        "description": "Findings that are known. Written by --write-baseline, read by --baseline.",
        "type": "object",
        "additionalProperties": False,
        "required": ["version", "findings"],
        "properties": {
            "version": {"const": VERSION},
            "tool": {**text, "description": "What wrote it."},
            "ruleset": {**text, "description": "The digest of the rules that were looked for."},
            "findings": {"type": "array", "maxItems": ENTRIES, "items": entry},
        },
    }
