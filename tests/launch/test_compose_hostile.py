"""Compose files that mean harm: they end in bounded time with an error that says where, or a launch; nothing leaks, nothing runs."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.errors import LimitError, ParseError, ScannerError
from scanner.launch.compose import FORMAT
from scanner.launch.composing.dotenv import read_dotenv, read_raw
from scanner.launch.composing.interpolation import substitute
from scanner.launch.composing.shorts import words
from scanner.launch.composing.tree import Tree, integer
from scanner.launch.document import Node
from scanner.launch.plugin import Input, ReadOptions
from scanner.model.launch import Launch, Place

T = TypeVar("T")
HERE = Place("f", 1, 1)


def read(text: str) -> Launch:
    return FORMAT.read([Input("f", text)], ReadOptions())


def services(line: str, count: int) -> str:
    return "services:\n" + "".join(line.format(n=n, before=n - 1, after=n + 1) for n in range(count))


BASE = "x-e: &e\n" + "".join(f"  K{n}: v\n" for n in range(2000))

HOSTILE = {
    "many services": (services("  s{n}: {{image: x}}\n", 10_001), LimitError, "more than 10,000 services"),
    "extends without end": (
        services("  s{n}: {{extends: s{after}}}\n", 3000) + "  s3000: {image: x}\n",
        LimitError,
        "more than 64 services extend each other",
    ),
    "a large base for many": (
        BASE
        + "services:\n  b: {image: x, environment: *e}\n"
        + "".join(f"  s{n}: {{extends: b}}\n" for n in range(2000)),
        LimitError,
        "more than 500,000 values",
    ),
    "an alias in many": (
        BASE + services("  s{n}: {{image: x, environment: *e}}\n", 300),
        LimitError,
        "more than 500,000 values",
    ),
    "all ports of many": (
        services("  s{n}: {{image: x, ports: ['1-65535:1-65535']}}\n", 20),
        LimitError,
        "more than 500,000 values",
    ),
    "all ports exposed by many": (
        services("  s{n}: {{image: x, expose: ['1-65535']}}\n", 20),
        LimitError,
        "more than 500,000 values",
    ),
    "mounts of each other": (
        "services:\n  s0: {image: x, volumes: ["
        + ", ".join(f"/a{n}" for n in range(1000))
        + "]}\n"
        + "".join(f"  s{n}: {{image: x, volumes_from: [s{n - 1}]}}\n" for n in range(1, 1000)),
        LimitError,
        "more than 500,000 values",
    ),
    "network modes in a ring": (
        services("  s{n}: {{image: x, network_mode: 'service:s{after}'}}\n", 3000)
        + "  s3000: {image: x, network_mode: 'service:s0'}\n",
        ParseError,
        "services wait for each other: s0 → s1 → s2",
    ),
    "defaults within defaults": (
        "services: {a: {image: '" + "${A:-" * 5000 + "}" * 5000 + "'}}",
        LimitError,
        "more than 32 variables within each other's defaults",
    ),
    "defaults that never close": ("services: {a: {image: '" + "${A:-" * 50_000 + "'}}", ParseError, "no closing brace"),
    "an anchor within itself": ("services: &a {a: *a}", ParseError, "stands within its own anchor"),
    "too deep": ("services: {a: {image: x, x-a: " + "[" * 500 + "]" * 500 + "}}", LimitError, "within each other"),
    "aliases of aliases": (
        "x-a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"x-{n}: &{n} [{', '.join([f'*{p}'] * 10)}]\n" for p, n in zip("abcdefg", "bcdefgh", strict=True))
        + "services: {a: {image: x}}\n",
        LimitError,
        "aliases counted where they stand",
    ),
    "a command to run": ("services: {a: {image: '$(touch /tmp/x)'}}", ParseError, "a $ begins no variable"),
    "no mapping": ("services: {a: {image: x}}\n---\n[1, 2]\n", ParseError, "must be a mapping"),
    "a name that is none": ("services: {'a b\\x1b[31m': {image: x}}", ParseError, "is no name of a service"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_soon_in_an_error_that_says_where(name: str) -> None:
    text, error, words_of_it = HOSTILE[name]
    started = time.monotonic()
    with pytest.raises(error) as raised:
        read(text)
    assert words_of_it in str(raised.value)
    assert re.match(r"f:\d+:\d+: ", str(raised.value))
    assert str(raised.value).isprintable()
    assert time.monotonic() - started < 15


def test_a_large_project_is_read() -> None:
    launch = read(
        services("  s{n}: {{image: x, networks: [n{n}]}}\n", 1500)
        + "networks:\n"
        + "".join(f"  n{n}: \n" for n in range(1500))
    )
    assert (len(launch.containers), len(launch.networks)) == (1500, 1500)


def test_variables_that_multiply_are_bounded(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "A0=aaaaaaaaaa\n" + "".join(f"A{n}=$A{n - 1}$A{n - 1}$A{n - 1}$A{n - 1}\n" for n in range(1, 30))
    )
    given = Input("f", "services: {a: {image: '$A5'}}", tmp_path / "f")
    with pytest.raises(LimitError, match=r"^\.env:10:1: variables expand to more than 1 MiB"):
        FORMAT.read([given], ReadOptions())
    (tmp_path / ".env").write_text("A=" + "a" * 900_000 + "\n")
    lines = "".join(f"      K{n}: $A\n" for n in range(100))
    given = Input("f", f"services:\n  a:\n    image: x\n    environment:\n{lines}", tmp_path / "f")
    with pytest.raises(LimitError, match="variables expand to more than 64 MiB"):
        FORMAT.read([given], ReadOptions())


def test_a_usual_file_is_read_in_a_moment() -> None:
    text = services(
        "  s{n}:\n    image: nginx:{n}\n    environment: {{A: b, C: '${{D:-e}}'}}\n    ports: ['80{n}:80']\n"
        "    networks: [front, back]\n    volumes: ['./a:/b', 'data:/c']\n",
        10,
    )
    text += "networks: {front: , back: {internal: true}}\nvolumes: {data: }\n"
    read(text)
    best = 1.0
    for _ in range(3):
        started = time.monotonic()
        read(text)
        best = min(best, time.monotonic() - started)
    assert best < 0.2


_KEYS = st.sampled_from(
    "services networks volumes configs secrets include name image build extends environment ports command network_mode "
    "depends_on env_file deploy devices cap_add profiles volumes_from links extra_hosts internal external driver_opts ipam "
    "config gpus models provider post_start pid a b default file path type source target x-a <<".split()
)
_SCALARS = st.one_of(
    st.sampled_from(
        ["a", "b", "", "null", "${X}", "$$", "${X:-a}", "80:80", "1-3:1-3", "./a:/b", "a:/b", "service:a", "../../etc/passwd",
         "true", "yes", "-1", "host", "A=b", "!reset null", "!override a", "&x a", "*x", "${X:?}", "$", "1e9"]
    ),
    st.text(max_size=6),
)  # fmt: skip
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(_KEYS, inner), max_size=5).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=25,
)


def outcome(act: Callable[[], T]) -> tuple[T | None, str]:
    """What comes of it, or the scanner's own error; anything else is a failure."""
    try:
        return act(), ""
    except ScannerError as e:
        return None, str(e)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=_VALUES, rest=_VALUES)
def test_no_project_ends_in_anything_but_a_launch_or_an_error(body: str, rest: str) -> None:
    text = f"services: {{a: {body}, b: {{image: x, extends: a}}}}\nnetworks: {rest}\n"
    given_file = Input("f", text)
    assert FORMAT.recognises(given_file) in (True, False)
    launch, error = outcome(lambda: FORMAT.read([given_file], ReadOptions({"X": "a"})))
    if launch is None:
        assert error.startswith("f:")
    else:
        assert {c.name for c in launch.containers} <= {"a", "b"}
        assert {x.network for c in launch.containers for x in c.attachments} <= {n.key for n in launch.networks}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_hostile_bytes_are_read_or_refused(data: bytes) -> None:
    for text in (data.decode("utf-8", "surrogateescape"), data.decode("latin-1")):
        given_file = Input("f", text)
        FORMAT.recognises(given_file)
        assert outcome(lambda: FORMAT.read([given_file], ReadOptions()))[1].isprintable()  # noqa: B023 - called at once


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab$#{}:-?+'\"\\= \n\t", max_size=40))
def test_env_files_are_read_or_refused_with_a_line(text: str) -> None:
    for reader in (lambda: read_dotenv(text, "f", {"a": "1"}.get), lambda: read_raw(text, "f")):
        found, error = outcome(reader)
        if found is None:
            assert re.match(r"f:\d+:\d+: ", error)
        else:
            assert all(1 <= v.place.line <= text.count("\n") + 1 for v in found.values())


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="aB$#{}:-?+ }", max_size=30))
def test_a_text_without_variables_stays_and_one_with_them_is_told(text: str) -> None:
    found, error = outcome(lambda: substitute(text, {"a": "1"}.get, HERE))
    if found is None:
        assert error.startswith("f:1:1: ")
        assert "$" in text
    else:
        assert "$" in text or found.text == text
        assert all(f"${{{name}}}" in found.text for name in found.unknown)
        assert substitute(text.replace("$", "$$"), {}.get, HERE).text == text


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab '\"\\;|<>`()$0", max_size=30))
def test_words_of_a_command(line: str) -> None:
    found = words(line)
    assert found is None or all(isinstance(word, str) for word in found)
    if not set(line) & set("'\"\\;|<>`()"):
        assert found == line.split()


@given(st.integers(-(2**63), 2**64 - 1))
def test_numbers_keep_their_value(number: int) -> None:
    node = Node("f", 1, 1, 1, text=str(number))
    assert Tree(node, text=str(number)).string() == str(number)
    assert integer(str(number)) == number
    assert integer(hex(number)) == (number if abs(number) < 2**64 else None)
