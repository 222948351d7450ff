"""Every rule of images, of launches and of runs; `scanner.checking.every` adds those of builds."""

from scanner.egress.findings import RULES as EGRESS
from scanner.model import Rule
from scanner.pipeline import detectors, rules_of
from scanner.ruleset import Ruleset
from scanner.runtime.attempts.judging import rules as attempts
from scanner.runtime.drift import RULES as DRIFT
from scanner.runtime.liverules import RULES as LIVE


def every(ruleset: Ruleset) -> tuple[Rule, ...]:
    """All of them, by id."""
    found = (*rules_of(ruleset, detectors()), *EGRESS, *DRIFT, *LIVE, *attempts())
    return tuple(sorted(found, key=lambda rule: rule.id))
