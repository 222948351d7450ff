"""The baseline: the findings that were there when somebody decided to live with them, by fingerprint.

A JSON file with the same bytes for the same findings, one finding to a line, so that a change of it can be reviewed. Several targets
may share one file: each entry says what it was found in, and writing one target's findings leaves the others' alone.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scanner.errors import LimitError, ParseError
from scanner.model import Finding, Json, Report, Severity, never_aside, printable

VERSION = 1
BYTES = 64 << 20
ENTRIES = 250_000
_HEX = frozenset("0123456789abcdef")
_KEYS = ("fingerprint", "severity", "rule", "path", "message", "repository")
_SIGNS = 12
"""Commas and opening brackets of an entry, those in its words among them; more of them than all entries together may have is no baseline."""
_HALVES = re.compile("[\ud800-\udfff]")
"""Halves of surrogate pairs, which no file holds in UTF-8."""
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
    left = counted(known for known in before.entries if known.repository == repository)
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
        take(left[finding.fingerprint], then)
        milder = min(then, finding.severity, key=lambda s: s.rank)
        entries.append(Known(finding.fingerprint, milder, *_words(finding), repository))
    gone = sum(each.total() for each in left.values())
    return Written(_of(report, file, [*entries, *others]), gone=gone, new=new, others=len(others))


def counted(entries: Iterable[Known]) -> dict[str, Counter[Severity]]:
    """How often each fingerprint is known, by severity."""
    found: dict[str, Counter[Severity]] = {}
    for known in entries:
        found.setdefault(known.fingerprint, Counter())[known.severity] += 1
    return found


def take(left: Counter[Severity], severity: Severity) -> None:
    """One less of them; a severity of which none is left is in it no more."""
    left[severity] -= 1
    if not left[severity]:
        del left[severity]


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
    """The file's text: the same bytes for the same entries, one entry to a line, sorted by what it was found in, rule and path.

    Raises LimitError for more than can be read again."""
    if len(baseline.entries) > ENTRIES:
        raise LimitError(f"{baseline.file} would hold more than {ENTRIES:,} findings; it was not written")
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
    text = "\n".join(["{", *lines, *listed, "}", ""])
    if len(text.encode("utf-8", "backslashreplace")) > BYTES:
        raise LimitError(f"{baseline.file} would be larger than {BYTES >> 20} MiB; it was not written")
    return text


def read(data: bytes, file: str) -> Baseline:
    """The baseline in a file's bytes, `file` its name for people. Raises ParseError with the line or the number of the finding, LimitError."""
    if len(data) > BYTES:
        raise LimitError(f"{file} is larger than any baseline ({BYTES >> 20} MiB)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        column = e.start - data.rfind(b"\n", 0, e.start)
        raise ParseError(f"{file}:{line}:{column}: no baseline: no text in UTF-8") from e
    if text.count(",") + text.count("[") > _SIGNS * ENTRIES:
        raise LimitError(f"{file} holds more than {ENTRIES:,} findings")
    seen = 0

    def made(pairs: list[tuple[str, object]]) -> object:
        """An object of the file as it is read: what no baseline holds ends the reading there, and costs no more than what came before."""
        nonlocal seen
        if not any(name in _KEYS for name, _ in pairs):
            return _checked(pairs, ("version", "tool", "ruleset", "findings"), f"{file}: no baseline")
        seen += 1
        if seen > ENTRIES:
            raise LimitError(f"{file} holds more than {ENTRIES:,} findings")
        return _entry(pairs, f"{file}: no baseline: finding {seen}")

    try:
        root = json.loads(text, object_pairs_hook=made)
    except json.JSONDecodeError as e:
        raise ParseError(f"{file}:{e.lineno}:{e.colno}: no JSON: {e.msg}") from e
    except (ValueError, RecursionError) as e:  # a number of thousands of digits, or lists in lists without end
        raise ParseError(f"{file}: no JSON: {printable(str(e))}") from e
    if not isinstance(root, dict):
        raise ParseError(f"{file}: no baseline: an object with version and findings is expected")
    version, entries = root.get("version"), root.get("findings")
    if type(version) is not int or version != VERSION:
        what = f"this sandscan reads version {VERSION}; write it anew with --write-baseline"
        raise ParseError(f"{file}: no baseline: {what}")
    if not isinstance(entries, list) or not all(isinstance(one, Known) for one in entries):
        raise ParseError(f"{file}: no baseline: 'findings' is a list of objects with {', '.join(_KEYS)}")
    about = (_word(root.get(key, ""), key, f"{file}: no baseline") for key in ("tool", "ruleset"))
    return Baseline(file, tuple(entries), *about)


def _entry(pairs: list[tuple[str, object]], where: str) -> Known:
    values = _checked(pairs, _KEYS, where)
    if missing := [key for key in _KEYS if key not in values]:
        raise ParseError(f"{where}: {missing[0]!r} is missing")
    words = {key: _word(value, key, where) for key, value in values.items()}
    if len(words["fingerprint"]) != 64 or not _HEX.issuperset(words["fingerprint"]):
        raise ParseError(f"{where}: a fingerprint is 64 hexadecimal digits")
    if words["severity"] not in _ORDER:
        raise ParseError(f"{where}: a severity is one of {', '.join(_ORDER)}")
    return Known(words.pop("fingerprint"), Severity(words.pop("severity")), **words)


def _checked(pairs: list[tuple[str, object]], keys: Sequence[str], where: str) -> dict[str, object]:
    """The object, if it has no other keys, and none twice."""
    values = dict(pairs)
    if others := [key for key in values if key not in keys]:
        raise ParseError(f"{where}: {printable(others[0])!r} is no key of it; write it with --write-baseline")
    if len(values) < len(pairs):
        twice = next(key for key in values if [name for name, _ in pairs].count(key) > 1)
        raise ParseError(f"{where}: {twice!r} stands there twice")
    return values


def _word(value: object, key: str, where: str) -> str:
    if not isinstance(value, str):
        raise ParseError(f"{where}: {key!r} is a string")
    return _HALVES.sub("\ufffd", value)


def schema() -> dict[str, Json]:
    """The JSON Schema (draft 2020-12) of the file."""
    text: dict[str, Json] = {"type": "string"}
    entry: dict[str, Json] = {
        "type": "object",
        "additionalProperties": False,
        "required": list(_KEYS),
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
