"""Globs: what they match, said by a regular expression too, and that no pattern makes them slow."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner import globs


def reference(pattern: str) -> re.Pattern[str]:
    """The same glob as a regular expression, which backtracks."""
    pattern = re.sub(r"(?:\*\*/)+", "**/", pattern)
    parts, at = [], 0
    while at < len(pattern):
        if pattern.startswith("/**", at) and at + 3 == len(pattern):
            parts.append("(?:/.*)?")
            at += 3
        elif pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            parts.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            parts.append(".*")
            at += 2
        elif pattern[at] == "*":
            parts.append("[^/]*")
            at += 1
        elif pattern[at] == "?":
            parts.append("[^/]")
            at += 1
        else:
            parts.append(re.escape(pattern[at]))
            at += 1
    return re.compile("".join(parts), re.DOTALL)


@pytest.mark.parametrize(
    ("pattern", "there", "not_there"),
    [
        ("opt/app", ["opt/app"], ["opt/app/x", "opt/ap", "x/opt/app"]),
        ("/opt/app", ["opt/app"], []),
        ("./opt/app", ["opt/app"], []),
        ("opt/*", ["opt/a", "opt/"], ["opt", "opt/a/b"]),
        ("opt/**", ["opt", "opt/a", "opt/a/b"], ["optical", "x/opt"]),
        ("**/id_rsa", ["id_rsa", "root/.ssh/id_rsa"], ["root/my_id_rsa", "id_rsa/x"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["az", "a/bz"]),
        ("*.py", ["x.py", ".py"], ["a/x.py", "x.pyc"]),
        ("**.py", ["x.py", "a/x.py"], ["x.pyc"]),
        ("a?c", ["abc", "aéc"], ["ac", "a/c", "abbc"]),
        ("x[0-9a]y", ["x7y", "xay"], ["xby", "xy"]),
        ("x[!0-9]y", ["xay"], ["x7y", "x/y"]),
        ("x[^0-9]y", ["xay"], ["x7y", "x/y"]),
        ("x[*]y", ["x*y"], ["xay"]),
        ("x[]]y", ["x]y"], ["xy"]),
        ("x[[]y", ["x[y"], ["xy"]),
        ("x[y", ["x[y"], ["xy"]),
        ("*/[", ["x/["], ["x/y"]),
        ("x[]", ["x[]"], ["x"]),
        ("x[a-]y", ["x-y", "xay"], ["xby"]),
        ("Env*", ["Env[3]"], ["env[3]"]),
        ("opt/app.jar!/**", ["opt/app.jar!/lib/x.so", "opt/app.jar!"], ["opt/app.jar"]),
        ("**", ["", "a", "a/b"], []),
        ("*", ["", "a"], ["a/b"]),
        ("x\n*", ["x\ny"], ["x y"]),
    ],
)
def test_what_a_pattern_matches(pattern: str, there: list[str], not_there: list[str]) -> None:
    glob = globs.of(pattern)
    assert [text for text in there if not glob.matches(text)] == []
    assert [text for text in not_there if glob.matches(text)] == []


@pytest.mark.parametrize(
    ("pattern", "says"),
    [("", "empty"), ("/", "empty"), ("[z-a]", "z-a is empty"),
     ("a" * 2000, "1024")],
)  # fmt: skip
def test_what_is_no_pattern_is_said(pattern: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        globs.of(pattern)


SHORT = st.text("ab/*?", max_size=9)


@given(SHORT, st.lists(st.text("ab/", max_size=9), min_size=1, max_size=20))
def test_the_automaton_says_what_the_expression_says(pattern: str, texts: list[str]) -> None:
    pattern = globs.relative(pattern)
    if not pattern:
        return
    glob, expected = globs.of(pattern), reference(re.sub(r"\*{3,}", "**", pattern))
    for text in texts:
        assert glob.matches(text) == bool(expected.fullmatch(text)), (pattern, text)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_pattern_raises_but_in_words_and_the_literal_one_matches_its_text_alone(text: str, other: str) -> None:
    try:
        globs.of(text).matches(other)
    except ValueError as e:
        assert str(e)  # noqa: PT017 -- a pattern may be none, in words
    text = globs.relative(text)
    if text and len(text) < 300:
        glob = globs.of(globs.literal(text))
        assert glob.matches(text)
        assert glob.matches(other) == (text == other)


@pytest.mark.parametrize(
    "pattern", ["*a" * 500, "**a" * 300, "**/*a" * 200, "?*" * 500, "[a-z]*" * 150, "**/" * 300 + "b"]
)
def test_no_pattern_is_slow(pattern: str) -> None:
    """The worst patterns against the longest path: backtracking would not end in this life."""
    text = "a" * 4000 + "/" + "a" * 90
    begun = time.process_time()
    globs.of(pattern).matches(text)
    assert time.process_time() - begun < 0.5
