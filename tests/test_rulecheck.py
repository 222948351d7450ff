"""`rules check` finds what is wrong with a rule, and nothing wrong with ours."""

from pathlib import Path

import pytest

from scanner.errors import RuleError, ScannerError
from scanner.prefilter import Prefilter, Reach, build
from scanner.rulecheck import Examples, beside, check, check_builtin, check_user
from scanner.ruleset import load

GOOD = """rule good { meta:
    id = "miner/good" name = "Good" severity = "low" description = "Finds x." help = "Remove it."
  strings: $a = "the needle" condition: $a }"""
HIT, MISS = b"in here is the needle", b"in here is the needl"


def write(folder: Path, text: str, **examples: bytes) -> Path:
    """rules.yar with its examples: good_hit_1=… lies in rules.examples/good/hit_1."""
    file = folder / "rules.yar"
    file.write_text(text)
    for name, data in examples.items():
        rule, example = name.split("_", 1)
        path = folder / "rules.examples" / rule / example
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return file


def messages(folder: Path, text: str, **examples: bytes) -> list[tuple[bool, str]]:
    problems, _ = check_user([write(folder, text, **examples)])
    return [(p.error, p.message) for p in problems]


def test_a_sound_rule_has_no_problems(tmp_path):
    problems, count = check_user([write(tmp_path, GOOD, good_hit=HIT, good_hit2=HIT * 2, good_miss=MISS)])
    assert (problems, count) == ((), 1)


@pytest.mark.parametrize("key", ["name", "severity", "description", "help"])
def test_what_a_rule_must_say(tmp_path, key):
    text = GOOD.replace(f" {key} =", " other =")
    [(error, message)] = messages(tmp_path, text, good_hit=HIT, good_miss=MISS)
    assert error
    assert message.startswith(f"has no {key}: add")


def test_examples_must_be_there_and_right(tmp_path):
    assert messages(tmp_path, GOOD) == [
        (True, "has no example that it hits"),
        (True, "has no near miss that it leaves alone"),
    ]
    assert messages(tmp_path, GOOD, good_hit_1=HIT, good_hit_2=MISS, good_miss_1=MISS, good_miss_2=HIT) == [
        (True, "does not hit example 2"),
        (True, "hits near miss 2"),
    ]


def test_a_problem_names_file_line_and_rule(tmp_path):
    problems, _ = check_user([write(tmp_path, "\n" + GOOD, good_hit=MISS, good_miss=MISS)])
    assert [p.text for p in problems] == [f"{tmp_path}/rules.yar:2: error: miner/good: does not hit example 1"]


def test_plain_yara_needs_neither_help_nor_examples_but_those_given_must_be_right(tmp_path):
    plain = 'rule plain { strings: $a = "the needle" condition: $a }'
    assert messages(tmp_path, plain) == []
    assert messages(tmp_path, plain, plain_hit=MISS) == [(True, "does not hit example 1")]


def test_slow_rules_are_warned_about(tmp_path):
    problems = messages(
        tmp_path,
        """rule every { condition: filesize > 10 }
           rule common { strings: $a = "the needle" $b = "ab" condition: any of them }
           rule header { condition: uint32(0) == 0x464c457f }
           rule atoms { strings: $a = /[a-z]{20}x/ condition: $a }""",
    )
    assert [error for error, _ in problems] == [False] * 3
    assert "matched against every file" in problems[0][1]
    assert problems[1][1].startswith("is matched against many files, for its strings are short or common: \\x61\\x62")
    assert problems[2][1] == 'line 4: string "$a" may slow down scanning'


def test_an_example_that_the_prefilter_would_hide_is_an_error(tmp_path, monkeypatch):
    file = write(tmp_path, GOOD, good_hit=HIT, good_miss=MISS)
    ruleset = load([file], builtin=False)
    pattern = build(ruleset).reach["miner/good"].patterns[0]
    wrong = type(pattern)("something else", 90.0)
    monkeypatch.setattr("scanner.rulecheck.build", lambda _: Prefilter({"miner/good": Reach((wrong,), (), 90.0)}))
    [problem] = check(ruleset, beside(ruleset))
    assert problem.error
    assert "the prefilter would not show it" in problem.message


def test_examples_may_be_given(tmp_path):
    ruleset = load([write(tmp_path, GOOD)], builtin=False)
    assert check(ruleset, {"miner/good": Examples((HIT,), (MISS,))}) == ()


def test_a_broken_rule_is_an_error_of_its_own(tmp_path):
    with pytest.raises(RuleError, match=r"rules\.yar:1: "):
        check_user([write(tmp_path, "rule x { condition: $a }")])


def test_our_own_rules_are_sound():
    problems, count = check_builtin()
    assert count == len(load().rules)
    assert [p.text for p in problems if p.error] == []


def test_our_own_rules_are_checked_in_a_checkout_only(tmp_path, monkeypatch):
    monkeypatch.setattr("scanner.rulecheck.__file__", str(tmp_path / "scanner/rulecheck.py"))
    with pytest.raises(ScannerError, match="Run this in a checkout"):
        check_builtin()
