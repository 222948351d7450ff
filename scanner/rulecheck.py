"""Are the rules sound? Each says what it means and what to do, hits its example, leaves its near miss alone, and is quick to reach."""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scanner.errors import ScannerError
from scanner.prefilter import SLOW, Prefilter, build
from scanner.ruleset import USER, Ruleset, YaraRule, load

SECONDS = 60
"""For one example."""

_PATTERNS_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Examples:
    """Files that a rule must hit, and near misses that it must leave alone."""

    hits: tuple[bytes, ...] = ()
    misses: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one rule. `error`: the check fails; else it is a warning."""

    rule: YaraRule
    message: str
    error: bool = True

    @property
    def text(self) -> str:
        level = "error" if self.error else "warning"
        return f"{self.rule.file}:{self.rule.line}: {level}: {self.rule.rule.id}: {self.message}"


def check_builtin() -> tuple[tuple[Problem, ...], int]:
    """The problems of our own rules with the examples of fixtures/rules.py, and how many rules there are.

    Raises ScannerError where there is no checkout of the repository around the code.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / "fixtures" / "rules.py").is_file():
        raise ScannerError(
            "the examples of sandscan's own rules lie in its repository, not in the installed package. "
            "Run this in a checkout, or name a rule file of yours."
        )
    sys.path.insert(0, str(root))
    try:
        examples: Mapping[str, Examples] = importlib.import_module("fixtures.rules").examples()
    finally:
        sys.path.remove(str(root))
    ruleset = load()
    return check(ruleset, examples), len(ruleset.rules)


def check_user(paths: Sequence[Path]) -> tuple[tuple[Problem, ...], int]:
    """The problems of a user's rules with the examples beside their files, and how many rules there are.

    Raises RuleError for a rule that is broken.
    """
    ruleset = load(paths, builtin=False)
    return check(ruleset, beside(ruleset)), len(ruleset.rules)


def beside(ruleset: Ruleset) -> dict[str, Examples]:
    """The examples in NAME.examples/RULE/hit* and miss* beside NAME.yar, by rule id; raises ScannerError if unreadable."""
    found = {}
    for rule in ruleset.rules:
        file = Path(rule.file)
        folder = file.with_name(f"{file.stem}.examples") / rule.identifier
        try:
            hits, misses = (
                tuple(f.read_bytes() for f in sorted(folder.glob(pattern)) if f.is_file())
                for pattern in ("hit*", "miss*")
            )
        except OSError as e:
            raise ScannerError(f"{folder}: the examples cannot be read: {e.strerror}.") from e
        found[rule.rule.id] = Examples(hits, misses)
    return found


def check(ruleset: Ruleset, examples: Mapping[str, Examples]) -> tuple[Problem, ...]:
    """The problems of all rules, in their order, and then YARA's own warnings.

    A user's rule without an id of its own need have neither help nor examples; those that lie there must be right.
    """
    prefilter = build(ruleset)
    problems: list[Problem] = []
    for rule in ruleset.rules:
        given = examples.get(rule.rule.id, Examples())
        if rule.behaviour != USER or rule.has_id:
            problems += (Problem(rule, message) for message in [*_unsaid(rule), *_without(given)])
        problems += (Problem(rule, message) for message in _wrong(ruleset, prefilter, rule, given))
        problems += (Problem(rule, message, error=False) for message in _slow(prefilter, rule))
    return (*problems, *_warned(ruleset))


def _unsaid(rule: YaraRule) -> Iterator[str]:
    said = {key for key, value in rule.meta if str(value).strip()}
    for key, what in (
        ("name", "a short title"),
        ("severity", "critical, high, medium, low or note"),
        ("description", "what it finds"),
        ("help", "what a finding means and what to do"),
    ):
        if key not in said:
            yield f"has no {key}: add {what} to its meta"


def _without(given: Examples) -> Iterator[str]:
    if not given.hits:
        yield "has no example that it hits"
    if not given.misses:
        yield "has no near miss that it leaves alone"


def _wrong(ruleset: Ruleset, prefilter: Prefilter, rule: YaraRule, given: Examples) -> Iterator[str]:
    alone = Prefilter({rule.rule.id: prefilter.reach[rule.rule.id]})
    matcher = alone.matcher()
    for number, data in enumerate(given.hits, 1):
        if not _holds(ruleset, rule, data):
            yield f"does not hit example {number}"
        elif not (alone.needs(data) or matcher.search(data)):
            yield f"hits example {number}, but the prefilter would not show it that file: a fault of sandscan's"
    for number, data in enumerate(given.misses, 1):
        if _holds(ruleset, rule, data):
            yield f"hits near miss {number}"


def _holds(ruleset: Ruleset, rule: YaraRule, data: bytes) -> bool:
    return any(m.rule == rule for m in ruleset.match(data, seconds=SECONDS).matches)


def _slow(prefilter: Prefilter, rule: YaraRule) -> Iterator[str]:
    reach = prefilter.reach[rule.rule.id]
    if reach.kind == "always":
        yield (
            "is matched against every file, which makes every scan slow: let its condition need a string of four "
            "characters or more, or a header such as uint32(0) == 0x464c457f"
        )
    elif reach.bits < SLOW and reach.patterns:
        common = sorted(reach.patterns, key=lambda p: p.bits)[:_PATTERNS_SHOWN]
        yield "is matched against many files, for its strings are short or common: " + ", ".join(
            p.expression for p in common
        )


def _warned(ruleset: Ruleset) -> Iterator[Problem]:
    """YARA's own warnings, at the rule in which they lie."""
    for source, line, message in ruleset.warnings():
        before = [
            r for r in ruleset.rules if r.namespace == source.namespace and r.file == source.file and r.line <= line
        ]
        rules = before or [r for r in ruleset.rules if r.namespace == source.namespace]
        yield from (Problem(rule, f"line {line}: {message}", error=False) for rule in rules[-1:])
