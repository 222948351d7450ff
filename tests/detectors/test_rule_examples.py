"""Each of our rules hits its examples and leaves its near misses alone, and the prefilter reaches it by something rare."""

import re

import pytest

from fixtures.rules import examples
from scanner.detectors.mining.verdict import CORE, SUPPORT
from scanner.detectors.tunnelling.catalogue import by_name
from scanner.prefilter import SLOW, build
from scanner.rulecheck import check
from scanner.ruleset import Ruleset, load

RULES = load()
TRAITS = {*CORE, *SUPPORT, "source", "schema", "launch", "program", "go", "command", "key"}


def test_the_rules_are_sound(ruleset: Ruleset) -> None:
    assert [p.text for p in check(ruleset, examples())] == []


def test_every_rule_has_examples_and_no_example_lacks_a_rule(ruleset: Ruleset) -> None:
    assert set(examples()) == {r.rule.id for r in ruleset.rules}


@pytest.mark.parametrize("rule", RULES.rules, ids=lambda r: r.rule.id)
def test_a_rule_is_evidence_of_a_known_class_and_says_what_it_is(rule: object) -> None:
    [found] = [r for r in RULES.rules if r is rule]

    assert found.evidence in TRAITS
    assert found.rule.attack
    assert found.rule.references
    assert all(re.fullmatch(r"https://\S+", r) for r in found.rule.references)
    assert found.rule.help.endswith(".")
    assert found.rule.description.endswith(".")


def test_every_rule_of_a_program_names_a_tool_of_the_catalogue(ruleset: Ruleset) -> None:
    named = {r.rule.id: dict(r.meta).get("tool") for r in ruleset.rules if r.evidence == "program"}

    assert {rule: tool for rule, tool in named.items() if tool not in by_name()} == {}
    assert len(named) > 100


def test_no_rule_is_reached_by_something_common(ruleset: Ruleset) -> None:
    assert {i: r.bits for i, r in build(ruleset).reach.items() if r.bits < SLOW} == {}
