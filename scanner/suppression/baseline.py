"""The baseline: the findings that were there when somebody decided to live with them, by fingerprint.

A JSON file with the same bytes for the same findings, one finding to a line, so that a change of it can be reviewed. Several targets
may share one file: each entry says what it was found in, and writing one target's findings leaves the others' alone.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scanner.errors import LimitError, ParseError
from scanner.model import Finding, Json, Report, Severity, never_aside, printable

VERSION = 1
BYTES = 64 << 20
ENTRIES = 250_000
_HEX = frozenset("0123456789abcdef")
_KEYS = ("fingerprint", "severity", "rule", "path", "message", "repository")
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
    """The baseline in a file's bytes, `file` its name for people. Raises ParseError with file:line:column, LimitError."""
    if len(data) > BYTES:
        raise LimitError(f"{file} is larger than any baseline ({BYTES >> 20} MiB)")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        column = e.start - data.rfind(b"\n", 0, e.start)
        raise ParseError(f"{file}:{line}:{column}: no baseline: no text in UTF-8") from e
    return _Reader(text, file).baseline()


_TOKEN = re.compile(
    r"""(?:[ \t\r\n\f\ufeff]++|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+\*/)*+
    (?:"(?P<string>(?:[^"\\\x00-\x1f]++|\\[^\x00-\x1f])*+)"|(?P<sign>[{}\[\]:,])|(?P<bare>[-+.\w]++)|(?P<end>\Z)|(?P<other>.))""",
    re.VERBOSE | re.DOTALL,
)
"""The next token of JSON, behind what may stand before it: comments too, as in all JSON that is read here."""


class _Reader:
    """A baseline's text, read token by token. What no baseline holds is an error where it stands, and nothing is kept but entries, so
    that no file costs more than its length."""

    def __init__(self, text: str, file: str) -> None:
        self._text, self._file, self._after = text, file, 0
        self._advance()

    def _advance(self) -> None:
        found = _TOKEN.match(self._text, self._after)
        assert found is not None
        assert found.lastgroup is not None
        self._kind, self._raw, self._after = found.lastgroup, found[found.lastgroup], found.end()
        self._at = found.start(self._kind) - (self._kind == "string")

    def baseline(self) -> Baseline:
        version = entries = None
        about = {"tool": "", "ruleset": ""}
        other = f"this sandscan reads version {VERSION}; write it anew with --write-baseline"
        for name in self._members(("version", *about, "findings")):
            if name == "version":
                version = self._raw
                if (self._kind, version) != ("bare", str(VERSION)):
                    raise self._wrong(other)
                self._advance()
            elif name == "findings":
                entries = tuple(self._entry() for _ in self._items("[", "]", "'findings' is a list"))
            else:
                about[name] = self._word(name)
        if version is None:
            raise self._wrong(other, 0)
        if entries is None:
            raise self._wrong("'findings' is a list", 0)
        if self._kind != "end":
            raise self._broken()
        return Baseline(self._file, entries, **about)

    def _entry(self) -> Known:
        begun, words = self._at, {}
        for name in self._members(_KEYS):
            at = self._at
            words[name] = word = self._word(name)
            if name == "fingerprint" and (len(word) != 64 or not _HEX.issuperset(word)):
                raise self._wrong("a fingerprint is 64 hexadecimal digits", at)
            if name == "severity" and word not in _ORDER:
                raise self._wrong(f"a severity is one of {', '.join(_ORDER)}", at)
        if len(words) != len(_KEYS):
            raise self._wrong(f"{next(key for key in _KEYS if key not in words)!r} is missing", begun)
        return Known(words.pop("fingerprint"), Severity(words.pop("severity")), **words)

    def _members(self, keys: Sequence[str]) -> Iterator[str]:
        """The keys of an object, each where its value has to be read before the next one is asked for."""
        seen = set()
        for _ in self._items("{", "}", f"an object with {', '.join(keys)} is expected"):
            if self._kind != "string":
                raise self._broken()
            at, name = self._at, self._word("")
            if name not in keys:
                raise self._wrong(f"{printable(name)!r} is no key of it; write it with --write-baseline", at)
            if name in seen:
                raise self._wrong(f"{name!r} stands there twice", at)
            seen.add(name)
            if not self._is(":"):
                raise self._broken()
            yield name

    def _items(self, begin: str, end: str, what: str) -> Iterator[None]:
        """Once before each thing between two signs; a comma may follow the last one."""
        if not self._is(begin):
            raise self._wrong(what)
        count = 0
        while not self._is(end):
            count += 1
            if count > ENTRIES:
                raise LimitError(f"{self._file} holds more than {ENTRIES:,} findings")
            yield
            if not self._is(","):
                if self._is(end):
                    return
                raise self._broken()

    def _is(self, sign: str) -> bool:
        """Whether the sign comes next, which then is read."""
        if self._kind != "sign" or self._raw != sign:
            return False
        self._advance()
        return True

    def _word(self, name: str) -> str:
        if self._kind != "string":
            raise self._wrong(f"{name!r} is a string")
        word = self._raw
        if "\\" in word:
            try:
                word = _HALVES.sub("\ufffd", json.loads(f'"{word}"'))
            except ValueError as e:
                raise self._broken() from e
        self._advance()
        return word

    def _wrong(self, what: str, at: int | None = None) -> ParseError:
        if at is None and self._kind in ("end", "other"):
            return self._broken()
        return ParseError(f"{self._place(self._at if at is None else at)}: no baseline: {what}")

    def _broken(self) -> ParseError:
        shown = printable(self._text[self._at : self._at + 40].partition("\n")[0])
        what = "it ends too early" if self._kind == "end" else f"{shown!r} is not expected here"
        return ParseError(f"{self._place(self._at)}: no JSON: {what}")

    def _place(self, at: int) -> str:
        return f"{self._file}:{self._text.count(chr(10), 0, at) + 1}:{at - self._text.rfind(chr(10), 0, at)}"


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
