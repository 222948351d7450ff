"""TOML as a tree: the values that the standard library reads, each with the line and column it stands at."""

import math
import string
import tomllib
from datetime import date, datetime, time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import LimitError, ParseError, ScannerError
from scanner.launch.document import Node
from scanner.launch.plugin import Input
from scanner.launch.tomltext import read_toml, toml_lines, toml_of

TEXT = """# a comment with [brackets] and x = 1
title = "x"
[a.b]
k = [1, {z = "q", y.w = 0x10},
  'l\\']
[a]
m.n = 1979-05-27 07:32:00
t = \"\"\"
a"b""\\
   c\"\"\""
"quoted key" = true
[[runs]]
x = 1
[[runs]]
x = 2
[runs.sub]
y = -inf
"""


def places(node: Node, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], tuple[int, int]]:
    found = {path: (node.line, node.column)} if path else {}
    for key, _, value in node.items():
        found |= places(value, (*path, key))
    for number, value in enumerate(node.elements or ()):
        found |= places(value, (*path, str(number)))
    return found


def plain(node: Node, like: object) -> object:
    """The tree as tomllib gives it, types as there: the text of a scalar is what the file says."""
    if isinstance(like, dict):
        assert node.pairs is not None
        assert [key for key, _, _ in node.items()] == list(like)
        return {key: plain(value, like[key]) for key, _, value in node.items()}
    if isinstance(like, list):
        assert node.elements is not None
        return [plain(one, other) for one, other in zip(node.elements, like, strict=True)]
    text = node.text or ""
    if isinstance(like, bool):
        return {"true": True, "false": False}[text]
    if isinstance(like, str):
        assert node.quoted
        return text
    assert not node.quoted
    if isinstance(like, int):
        return node.integer() if abs(like) < 10**18 else int(text.replace("_", ""), 0)
    if isinstance(like, float):
        return float(text.replace("_", ""))
    return tomllib.loads(f"x = {text}")["x"]


def test_values_and_keys_know_their_places() -> None:
    node = read_toml(TEXT, "f.toml")

    assert plain(node, tomllib.loads(TEXT)) == tomllib.loads(TEXT)
    at = places(node)
    assert at[("title",)] == (2, 9)
    assert at[("a", "b")] == (3, 1)
    assert at[("a", "b", "k", "0")] == (4, 6)
    assert at[("a", "b", "k", "1", "z")] == (4, 14)
    assert at[("a", "b", "k", "1", "y", "w")] == (4, 25)
    assert at[("a", "b", "k", "2")] == (5, 3)
    assert at[("a",)] == (6, 1)
    assert at[("a", "m", "n")] == (7, 7)
    assert at[("a", "t")] == (8, 5)
    assert at[("runs", "1")] == (14, 1)
    assert at[("runs", "1", "sub", "y")] == (17, 5)
    key = node.at("a", "quoted key")
    assert key is not None
    assert key.flag() is True
    where = node.key("title")
    assert where is not None
    assert str(where.place) == "f.toml:2:1"
    several = node.at("a", "t")
    assert several is not None
    assert (several.line, several.end) == (8, 10)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = ", "f:1:5"),
        ("a = [", "f:1:6"),
        ("\n[a\n", "f:2:3"),
        ("x = 1\nx = 2\n", "f:2:6"),
        ("[a]\n[a]\n", "f:2:3"),
        ("a = 1 b = 2", "f:1:7"),
        ("a = 'x\n", "f:2:1"),
        ("a = \x01", "f:1:5"),
        ('a = """\nx', "f:2:2"),
    ],
)
def test_broken_toml_is_an_error_with_its_place(text: str, place: str) -> None:
    with pytest.raises(ParseError, match=f"^{place}: no TOML: "):
        read_toml(text, "f")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "[" * 150 + "]" * 150,
        ".".join("a" * 5000) + " = 1",
        ".".join(['"\\""'] * 25_000) + " = 1",
        "[" + ".".join("a" * 90) + "]\n" + ".".join("b" * 20) + " = 1",
        "a = " + "{a = " * 300 + "1" + "}" * 300,
        "a = 1\n" * 200_000,
    ],
    ids=["open", "arrays", "key", "quoted key", "headers and keys", "tables", "long"],
)
def test_what_is_too_deep_or_too_large_is_a_limit(text: str) -> None:
    with pytest.raises((LimitError, ParseError)):
        read_toml(text, "f")


@pytest.mark.parametrize(
    ("text", "is_toml"),
    [
        ("[a]\n", True),
        ("# c\n\n[[a.b]] # x\nx=1", True),
        ("a = 1", True),
        ("\ufeffa.b = 'x'", True),
        ('"a b" = 1', True),
        ('{"a": 1}', False),
        ("[1, 2]", False),
        ("a: b = c", False),
        ("services:\n  a: {}\n", False),
        ("", False),
        ("---\na: 1", False),
        ("- a = b", True),  # the first look is by the line alone; that it is no TOML the reader tells
    ],
)
def test_toml_is_told_from_yaml_and_json_by_its_first_line(text: str, is_toml: bool) -> None:
    assert toml_lines(text) is is_toml


def test_an_input_that_is_no_toml_is_none() -> None:
    assert toml_of(Input("f", "a = [")) is None
    assert toml_of(Input("f", "a: 1")) is None
    found = toml_of(Input("f", "a = 1"))
    assert found is not None
    assert found.file == "f"


# ---- properties

KEYS = st.one_of(st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=6), st.text(max_size=6))
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(10**17), 10**17),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(max_size=20),
    st.datetimes().map(lambda d: d.replace(microsecond=0)),
    st.dates(),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


def quoted(value: str) -> str:
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value) + '"'


def written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        return repr(value) if "e" in repr(value) or "." in repr(value) else f"{value}.0"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list):
        return "[ " + ", ".join(map(written, value)) + (" ,]" if value else "]")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(k)} = {written(v)}" for k, v in value.items()) + "}"
    return str(value)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS.filter(lambda k: not any(0xD800 <= ord(c) < 0xE000 for c in k)), VALUES, max_size=5))
def test_every_document_is_what_the_standard_library_reads(value: dict[str, object]) -> None:
    text = "# x = 1\n" + "".join(f"  {quoted(k)} = {written(v)} # c\n" for k, v in value.items())
    try:
        expected = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeError):
        return  # surrogates, which no file of text holds

    node = read_toml(text, "f")

    assert plain(node, expected) == expected
    lines = text.split("\n")
    for path, (line, column) in places(node).items():
        assert 1 <= line <= len(lines), path
        assert 1 <= column <= len(lines[line - 1]) + 1, path


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab.=[]{}\"'\\,# \n\t\r0_-:T1") | st.characters(), max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        node = read_toml(text, "f")
    except ScannerError as e:
        assert str(e).startswith("f")  # noqa: PT017 - either way is right
        with pytest.raises((ValueError, RecursionError)):
            tomllib.loads(text.removeprefix("\ufeff"))
        return
    expected = tomllib.loads(text.removeprefix("\ufeff"))
    if not any(isinstance(v, float) and math.isnan(v) for v in expected.values()):
        assert plain(node, expected) == expected
