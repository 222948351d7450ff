"""Every rule that any command can report: of images, of launches, of runs, and of builds."""

from scanner.checking.judging import rules
from scanner.model import Rule
from scanner.ruleset import Ruleset
from scanner.runtime.rules import every as of_others


def every(ruleset: Ruleset) -> tuple[Rule, ...]:
    """All of them, by id."""
    return tuple(sorted((*of_others(ruleset), *rules()), key=lambda rule: rule.id))
