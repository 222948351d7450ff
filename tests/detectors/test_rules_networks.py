"""The second half of the tunnel programs: each rule names its own tool only, and words about tools are no tool."""

import re

import pytest

from fixtures.tunnel_networks import examples
from scanner.ruleset import Ruleset, YaraRule, load

EXAMPLES = examples()
RULES = tuple(r for r in load().rules if r.rule.id in EXAMPLES)
SHORTEST = 8
"""Characters of a string that a file must hold, so that few files hold it by chance."""


def hit(ruleset: Ruleset, data: bytes) -> set[str]:
    return {m.rule.rule.id for m in ruleset.match(data, seconds=60).matches if m.rule.evidence == "program"}


def test_every_rule_of_the_file_has_examples() -> None:
    files = {r.file for r in RULES}

    assert len(files) == 1
    assert {r.rule.id for r in load().rules if r.file in files} == set(EXAMPLES)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.rule.id)
def test_a_rule_names_its_tool_and_what_to_do(rule: YaraRule) -> None:
    meta = dict(rule.meta)

    assert rule.rule.id == f"tunnel/program-{meta['tool']}"
    assert rule.evidence == "program"
    assert rule.rule.attack
    assert rule.rule.references
    assert all(re.fullmatch(r"https://\S+", r) for r in rule.rule.references)
    assert rule.rule.help.endswith(".")
    assert rule.rule.description.endswith(".")


@pytest.mark.parametrize("rule", sorted(EXAMPLES))
def test_an_example_is_of_one_tool_only(ruleset: Ruleset, rule: str) -> None:
    assert [hit(ruleset, data) for data in EXAMPLES[rule].hits] == [{rule}] * len(EXAMPLES[rule].hits)


def test_a_text_about_all_tools_is_none_of_them(ruleset: Ruleset) -> None:
    words = b"\n".join(data.partition(b"\n")[2] for ex in EXAMPLES.values() for data in ex.misses[-1:])

    assert hit(ruleset, b".TH TOOLS 7\n" + words) == set()


def test_no_string_is_short() -> None:
    [text] = {s.text for s in load().sources for r in RULES[:1] if s.file == r.file}
    strings = re.findall(r'^        \$(?!import|const|var)\w+ = "(.*)"$', text, re.MULTILINE)

    assert len(strings) > len(RULES)
    assert [s for s in strings if len(s) < SHORTEST] == []
