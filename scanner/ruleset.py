"""YARA rules, ours and a user's: their meta read as Rule, compiled once, matched against one file's bytes at a time."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

from scanner.errors import LimitError, ParseError, RuleError, ScannerError
from scanner.model import Rule, Severity, printable
from scanner.yaratext import Include, MetaValue, RuleText, number, parse

VERSION = 1
"""Of what a match holds and means: part of the digest."""

MOST_STRINGS = 64
MOST_DATA = 256
WHOLE = 128 << 10
"""Up to this size every place of a string is told; in a larger file its first, so that none can flood the memory."""

EXTERNALS = ("filename", "filepath", "extension", "filetype", "owner")
"""Variables that rules of other scanners use (LOKI, THOR), from the path and the first bytes; `owner` stays empty."""

USER = "user"
"""The behaviour of a user's rules."""

_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*/[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?")
_MOST_TERMS = 500
_SEVERITIES = {
    "critical": Severity.CRITICAL,
    "severe": Severity.CRITICAL,
    "high": Severity.HIGH,
    "error": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "moderate": Severity.MEDIUM,
    "warning": Severity.MEDIUM,
    "low": Severity.LOW,
    "note": Severity.NOTE,
    "info": Severity.NOTE,
    "informational": Severity.NOTE,
    "information": Severity.NOTE,
}


@dataclass(frozen=True, slots=True)
class YaraRule:
    """A YARA rule that is not private. `behaviour` is its folder under rules/, or USER.

    `evidence` is the class of evidence it gives a detector (meta `class`); "" if it reports by itself.
    `file` and `line` say where it stands, `meta` all that it says of itself, in order.
    """

    rule: Rule
    identifier: str
    namespace: str
    behaviour: str
    evidence: str
    file: str
    line: int
    meta: tuple[tuple[str, MetaValue], ...] = ()

    @property
    def has_id(self) -> bool:
        """Whether it was written for this scanner; plain YARA is given an id."""
        return ("id", self.rule.id) in self.meta


@dataclass(frozen=True, slots=True)
class StringMatch:
    """Where a string of a rule lies: `offset` and `length` in bytes, `data` its first MOST_DATA bytes."""

    identifier: str
    offset: int
    length: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """A rule that holds, with at most MOST_STRINGS places, by offset: the first of every string, then the lowest."""

    rule: YaraRule
    strings: tuple[StringMatch, ...]


@dataclass(frozen=True, slots=True)
class MatchResult:
    """`warnings` say what YARA did not look at to its end; with any, the file was not fully judged."""

    matches: tuple[RuleMatch, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of rules and all it includes.

    `included` holds texts by the including file (None: this one) and the name as written; `rules` the file of each rule.
    """

    namespace: str
    behaviour: str
    file: str
    path: Path
    text: str
    rules: tuple[tuple[str, RuleText], ...]
    included: Mapping[tuple[str | None, str], str]


@dataclass(frozen=True)
class Ruleset:
    """Rules in the order of their files. `digest` names what they can find: sources, YARA's version, our own."""

    rules: tuple[YaraRule, ...]
    digest: str
    sources: tuple[SourceFile, ...]
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _made: list[Any] = field(default_factory=list, repr=False, compare=False)

    def compile(self) -> None:
        """Compile now rather than at the first match; raises RuleError for a rule that YARA refuses."""
        with self._lock:
            if not self._made:
                by_name = {(r.namespace, r.identifier): (at, r) for at, r in enumerate(self.rules)}
                self._made.extend((_compile(self.sources), by_name, _externals_used(self.sources)))

    def match(self, data: memoryview | bytes, *, seconds: int, path: bytes = b"") -> MatchResult:
        """The rules that hold for a file, in their order. May be called from several threads at once; gives up the GIL.

        Raises LimitError after `seconds`, RuleError for a rule that does not compile, ScannerError if YARA fails.
        """
        import yara

        self.compile()
        compiled, rules, externals = self._made
        warnings: list[str] = []

        def warn(_: int, what: Any) -> int:
            warnings.append(
                f"{what.string} of the rule {what.rule} lies at more than a million places; the rest was not looked at"
            )
            return int(yara.CALLBACK_CONTINUE)

        size = memoryview(data).nbytes
        try:
            found = compiled.match(
                data=data if size else b"",
                timeout=max(1, seconds),
                fast=size > WHOLE,
                # only what a rule uses: yara-python never frees the values it is given
                externals={k: v for k, v in _externals(path, bytes(data[:4])).items() if k in externals},
                warnings_callback=warn,
                console_callback=lambda _: None,
            )
        except yara.TimeoutError as e:
            raise LimitError(
                f"YARA needs more than {seconds} seconds for its {size} bytes (raise with --limit yara-seconds=N)"
            ) from e
        except yara.Error as e:
            raise ScannerError(f"YARA could not match its {size} bytes: {e}") from e
        hits = sorted((*rules[m.namespace, m.rule], m) for m in found if (m.namespace, m.rule) in rules)
        return MatchResult(tuple(RuleMatch(rule, _strings(m)) for _, rule, m in hits), tuple(warnings))

    def warnings(self) -> Iterator[tuple[SourceFile, int, str]]:
        """What YARA itself finds odd, such as a string that slows it down: the file, the line and the words."""
        for source in self.sources:
            for warning in _yara_compile([source]).warnings:
                if found := re.match(r"line (\d+): (.*)", warning):
                    yield source, int(found[1]), found[2]


def load(user: Sequence[Path] = (), builtin: bool = True) -> Ruleset:
    """Our own rules and a user's files and folders (*.yar, *.yara).

    A user's rules are compiled at once. Raises RuleError: a file is missing, broken or without a rule, an id comes twice.
    """
    sources = list(_builtin()) if builtin else []
    for place, path in enumerate(user):
        sources += _user(path, place)
    rules = _rules(sources)
    ruleset = Ruleset(rules, _digest(sources), tuple(sources))
    if user:
        ruleset.compile()
    seen: dict[str, YaraRule] = {}
    for rule in rules:
        if (other := seen.setdefault(rule.rule.id, rule)) is not rule:
            raise RuleError(
                f"{rule.file}:{rule.line}: the rule {rule.identifier} has the id {rule.rule.id} of the rule "
                f"{other.identifier} in {other.file}:{other.line}. Give one of them another id."
            )
    return ruleset


def _builtin() -> Iterator[SourceFile]:
    here = Path(__file__).resolve().parent
    root = next((d for d in (here / "_rules", here.parent / "rules") if d.is_dir()), None)
    files = sorted(root.rglob("*.yar")) if root else []
    if root is None or not files:
        raise RuleError("sandscan's own rules are missing beside its code. Install it again.")
    for file in files:
        relative = file.relative_to(root)
        yield _read(file, relative.with_suffix("").as_posix(), relative.parts[0], f"rules/{relative.as_posix()}")


def _user(path: Path, place: int) -> list[SourceFile]:
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix in (".yar", ".yara") and f.is_file())
    else:
        files = [path]
    names = {f: f.relative_to(path).as_posix() if path.is_dir() else f.name for f in files}
    sources = [_read(f, f"{USER}/{place}/{names[f]}", USER, str(f)) for f in files]
    # an index file and the files it includes say the same once
    inner = {(s.path.parent / name).resolve() for s in sources for caller, name in s.included if caller is None}
    kept = [s for s in sources if s.path.resolve() not in inner]
    if not any(s.rules for s in kept):
        raise RuleError(f"{path}: holds no YARA rule. Name a rule file, or a folder with files *.yar or *.yara.")
    return kept


def _read(path: Path, namespace: str, behaviour: str, shown: str) -> SourceFile:
    included: dict[tuple[str | None, str], str] = {}
    rules: list[tuple[str, RuleText]] = []

    def take(file: Path, file_shown: str, caller: str | None, above: tuple[Path, ...]) -> str:
        text = _text(file, file_shown)
        for item in _items(text):
            if isinstance(item, RuleText):
                rules.append((file_shown, item))
            elif (inner := (file.parent / item.name).resolve()) in above:
                raise RuleError(f"{file_shown}:{item.line}: includes {item.name}, which includes this file.")
            elif (caller, item.name) not in included:
                included[caller, item.name] = take(inner, str(file.parent / item.name), item.name, (*above, inner))
        return text

    try:
        text = take(path, shown, None, (path.resolve(),))
    except ParseError as e:
        # YARA knows better why; should it have no objection, ours stands
        _yara_compile([SourceFile(namespace, behaviour, shown, path, _text(path, shown), (), included)])
        raise RuleError(f"{shown}: {e}. Correct the rule, or leave the file out.") from e
    return SourceFile(namespace, behaviour, shown, path, text, tuple(rules), included)


@lru_cache(maxsize=64)
def _items(text: str) -> tuple[RuleText | Include, ...]:
    """A file's rules and includes: a scan of many images asks for the same ones again and again."""
    return tuple(parse(text))


def _text(path: Path, shown: str) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as e:
        raise RuleError(
            f"{shown}: the rules cannot be read: {e.strerror}. Name a YARA file or a folder of them."
        ) from e
    except UnicodeDecodeError as e:
        raise RuleError(f"{shown}: is not UTF-8 at byte {e.start}. Save the rules as UTF-8.") from e


def _digest(sources: Sequence[SourceFile]) -> str:
    import yara

    digest = hashlib.sha256()
    parts = [str(VERSION), yara.YARA_VERSION]
    for source in sources:
        parts += [
            source.namespace,
            source.text,
            *(p for k, v in sorted(source.included.items(), key=str) for p in (str(k), v)),
        ]
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


def _rules(sources: Sequence[SourceFile]) -> tuple[YaraRule, ...]:
    public = [(s, f, t) for s in sources for f, t in s.rules if not t.private]
    plain = [t.identifier for s, _, t in public if s.behaviour == USER and _own_id(t) is None]
    return tuple(
        YaraRule(
            _user_rule(source, file, text, plain.count(text.identifier) > 1)
            if source.behaviour == USER
            else _rule(source, file, text),
            text.identifier,
            source.namespace,
            source.behaviour,
            "" if source.behaviour == USER else _first(text, "class"),
            file,
            text.line,
            text.meta,
        )
        for source, file, text in public
    )


def _rule(source: SourceFile, file: str, text: RuleText) -> Rule:
    """A rule of ours. What it does not say is for `rules check` to find."""
    own, severity = _first(text, "id"), _first(text, "severity")
    if not _ID.match(own) or own.split("/")[0] != source.behaviour:
        raise RuleError(
            f"{file}:{text.line}: the rule {text.identifier} has the id {own!r}; "
            f"give it one of the form {source.behaviour}/some-name."
        )
    if severity not in ("", *Severity):
        raise RuleError(
            f"{file}:{text.line}: the rule {text.identifier} has the severity {severity!r}; "
            f"give it one of {', '.join(Severity)}."
        )
    return Rule(
        own,
        _first(text, "name"),
        Severity(severity or "medium"),
        _first(text, "description"),
        _first(text, "help"),
        tuple(re.split(r"[,\s]+", " ".join(_all(text, "references")).strip())) if _first(text, "references") else (),
        tuple(_TECHNIQUE.findall(" ".join(_all(text, "attack")))),
    )


def _user_rule(source: SourceFile, file: str, text: RuleText, crowded: bool) -> Rule:
    """Plain YARA with the meta that people use, and defaults for the rest. `crowded`: another has the same name."""
    author = _first(text, "author")
    links = " ".join(_all(text, "references", "reference", "ref", "url", "link"))
    return Rule(
        _own_id(text) or (f"yara/{source.path.stem}/{text.identifier}" if crowded else f"yara/{text.identifier}"),
        _first(text, "name") or text.identifier.replace("_", " ").strip() or text.identifier,
        _severity(text),
        _first(text, "description", "desc")
        or f"The YARA rule {text.identifier} holds." + (f" By {author}." if author else ""),
        _first(text, "help")
        or f"Read the rule {text.identifier} in {Path(file).name} for what it means. "
        "Remove the file if it does not belong here.",
        tuple(dict.fromkeys(re.findall(r"https?://[^\s,]+", links))),
        tuple(
            dict.fromkeys(
                _TECHNIQUE.findall(" ".join(_all(text, "attack", "mitre", "mitre_attack", "mitre_att", "att_ck")))
            )
        ),
    )


def _own_id(text: RuleText) -> str | None:
    own = _first(text, "id")
    return own if _ID.match(own) else None


def _severity(text: RuleText) -> Severity:
    """A word under `severity`, `level` or `threat_level`, or a `score` from 0 to 100 as THOR gives it; else medium."""
    for word in _all(text, "severity", "level", "threat_level"):
        if known := _SEVERITIES.get(word.lower()):
            return known
    score = _first(text, "score")
    if score.isdecimal() and int(score) <= 100:
        for least, severity in (
            (90, Severity.CRITICAL),
            (75, Severity.HIGH),
            (50, Severity.MEDIUM),
            (25, Severity.LOW),
        ):
            if int(score) >= least:
                return severity
        return Severity.NOTE
    return Severity.MEDIUM


def _all(text: RuleText, *keys: str) -> list[str]:
    return [printable(str(value), 4000).strip() for key in keys for k, value in text.meta if k.lower() == key]


def _first(text: RuleText, *keys: str) -> str:
    return next(iter(_all(text, *keys)), "")


def _compile(sources: Sequence[SourceFile]) -> Any:
    try:
        compiled = _yara_compile(sources, spell_out)
    except RuleError:
        for source in sources:  # one by one, so that the message names the file
            _yara_compile([source])
        compiled = _yara_compile(sources)
    read = [_outline(t.identifier, t.private, t.is_global, t.tags, dict(t.meta)) for s in sources for _, t in s.rules]
    seen = [_outline(r.identifier, r.is_private, r.is_global, r.tags, r.meta) for r in compiled]
    if read != seen:
        odd = next((a, b) for a, b in zip([*read, None], [*seen, None], strict=False) if a != b)
        raise RuleError(
            f"sandscan and YARA read the rules differently, near {odd[1]}. Please report the rule as a fault."
        )
    return compiled


def _outline(
    identifier: str, private: bool, is_global: bool, tags: Sequence[str], meta: Mapping[str, Any]
) -> tuple[Any, ...]:
    """What YARA tells of a compiled rule, to compare; of meta only texts: it cuts numbers to 32 bits."""
    return identifier, private, is_global, tuple(tags), {k: v for k, v in meta.items() if isinstance(v, str)}


def spell_out(text: str) -> str:
    """The same rules with `any of ($a, $b)` written as `($a or $b)`.

    YARA's fast mode stops at the first match only of a string that is named so; without it a hostile file of nothing but
    matches takes gigabytes.
    """
    changed, done = [], 0
    for rule in _items(text):
        if isinstance(rule, RuleText):
            for begin, end, words in _sets(rule):
                changed += [text[done:begin], words]
                done = end
    return "".join([*changed, text[done:]])


def _sets(rule: RuleText) -> Iterator[tuple[int, int, str]]:
    """Where `N of (…)` stands in a condition, and the same in `and` and `or`; not where places are asked for."""
    t = rule.condition
    for i, token in enumerate(t):
        if token.kind != "word" or token.text != "of" or i + 1 == len(t):
            continue
        end = i + 1 if t[i + 1].text == "them" else next((k for k in range(i, len(t)) if t[k].kind == ")"), i)
        before = t[i - 2].text if i > 1 else "("
        after = t[end + 1].text if end + 1 < len(t) else ")"
        items = [k.text for k in t[i + 2 : end] if k.kind != ","] if end > i + 1 else ["$*"]
        if (
            before not in ("(", "and", "or", "not")
            or after not in (")", "and", "or")
            or any(k[0] != "$" for k in items)
        ):
            continue
        names = [
            s.name for k in items for s in rule.strings if s.name == k or (k[-1] == "*" and s.name.startswith(k[:-1]))
        ]
        asked = {"any": 1, "all": len(names)}.get(t[i - 1].text) or (
            number(t[i - 1].text) if t[i - 1].kind == "number" else 0
        )
        if asked and "$" not in names and asked <= len(names) and comb(len(names), asked) <= _MOST_TERMS:
            terms = ("(" + " and ".join(c) + ")" for c in combinations(names, asked))
            yield t[i - 1].at, t[end].at + len(t[end].text), "(" + " or ".join(terms) + ")"


def _unchanged(text: str) -> str:
    return text


def _yara_compile(sources: Sequence[SourceFile], change: Callable[[str], str] = _unchanged) -> Any:
    import yara

    by_name = {s.namespace: s for s in sources}

    def include(name: str, caller: str | None, namespace: str) -> str | None:
        text = by_name[namespace].included.get((caller, name))
        return None if text is None else change(text)

    try:
        return yara.compile(
            sources={s.namespace: change(s.text) for s in sources},
            externals=dict.fromkeys(EXTERNALS, ""),
            include_callback=include,
        )
    except (yara.Error, TypeError) as e:
        file, reason = sources[0].file, str(e)
        if found := re.match(r"line (\d+): ", reason):
            file, reason = f"{file}:{found[1]}", reason[found.end() :]
        elif found := re.match(r"(.*)\((\d+)\): ", reason):  # in a file that it includes
            file, reason = f"{file}: {found[1]}:{found[2]}", reason[found.end() :]
        raise RuleError(f"{file}: {reason}. Correct the rule, or leave the file out.") from e


def _externals_used(sources: Sequence[SourceFile]) -> frozenset[str]:
    words = {t.text for s in sources for _, r in s.rules for t in r.condition if t.kind == "word"}
    return frozenset(words.intersection(EXTERNALS))


def _externals(path: bytes, magic: bytes) -> dict[str, str]:
    text = path.decode("utf-8", "replace")
    name = text.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    kind = "ELF" if magic == b"\x7fELF" else "EXE" if magic[:2] == b"MZ" else ""
    return {
        "filename": name,
        "filepath": f"/{text}",
        "extension": dot + extension if stem else "",
        "filetype": kind,
        "owner": "",
    }


def _strings(match: Any) -> tuple[StringMatch, ...]:
    first: list[StringMatch] = []
    more: list[StringMatch] = []
    for string in match.strings:  # a private string has no instances
        places = [
            StringMatch(string.identifier, i.offset, i.matched_length, i.matched_data[:MOST_DATA])
            for i in string.instances[:MOST_STRINGS]
        ]
        first += places[:1]
        more += places[1:]
    more.sort(key=_place)
    return tuple(sorted((first + more)[:MOST_STRINGS], key=_place))


def _place(string: StringMatch) -> tuple[int, str]:
    return string.offset, string.identifier
