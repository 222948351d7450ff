"""The rules of rules/tunnel/relays.yar: each knows its own tool and no other, whatever the file is called."""

import pytest

from fixtures.tunnel_relays import examples
from scanner.model import Severity
from scanner.rulecheck import check
from scanner.ruleset import Ruleset, YaraRule, load

FILE = "rules/tunnel/relays.yar"
EXAMPLES = examples()


@pytest.fixture(scope="module")
def rules() -> Ruleset:
    return load()


def of_this_file(rules: Ruleset) -> list[YaraRule]:
    return [r for r in rules.rules if r.file == FILE]


def tools(rules: Ruleset, data: bytes) -> list[str]:
    """The tools that the rules of this file see in a file."""
    return [str(dict(m.rule.meta)["tool"]) for m in rules.match(data, seconds=60).matches if m.rule.file == FILE]


def test_every_rule_has_examples_and_no_example_lacks_a_rule(rules: Ruleset) -> None:
    assert {r.rule.id for r in of_this_file(rules)} == set(EXAMPLES)


def test_the_rules_are_sound(rules: Ruleset) -> None:
    assert [p.text for p in check(rules, EXAMPLES) if p.rule.file == FILE] == []


def test_every_rule_says_which_tool_it_is_and_is_evidence_of_a_program(rules: Ruleset) -> None:
    for rule in of_this_file(rules):
        assert rule.rule.id == f"tunnel/program-{dict(rule.meta)['tool']}"
        assert rule.evidence == "program"
        assert rule.rule.severity is Severity.NOTE
        assert set(rule.rule.attack) <= {"T1572", "T1090", "T1021.004"}
        assert rule.rule.attack
        assert rule.rule.description.endswith(".")
        assert rule.rule.help.endswith(".")
        assert rule.rule.references


@pytest.mark.parametrize("rule_id", EXAMPLES)
def test_a_program_is_one_tool_and_its_near_misses_are_none(rules: Ruleset, rule_id: str) -> None:
    own = rule_id.removeprefix("tunnel/program-")

    assert [tools(rules, data) for data in EXAMPLES[rule_id].hits] == [[own]] * len(EXAMPLES[rule_id].hits)
    assert not any(own in tools(rules, data) for data in EXAMPLES[rule_id].misses)


def test_a_text_with_the_lines_of_every_tool_is_no_program(rules: Ruleset) -> None:
    everything = b"\n".join(data for given in EXAMPLES.values() for data in given.hits)

    assert tools(rules, b"Tools of attackers and what they print:\n" + everything) == []


def test_the_rules_do_not_see_themselves_in_their_source(rules: Ruleset) -> None:
    [source] = [s for s in rules.sources if s.file == FILE]

    assert tools(rules, source.text.encode()) == []
