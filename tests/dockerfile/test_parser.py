"""The parser against BuildKit's own, case by case, and against hostile text.

golden.json is what BuildKit's parser said (tests/dockerfile/golden.py asks it anew).
"""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.dockerfile import Dockerfile, Instruction, Stage, parse
from scanner.dockerfile.parser import LARGEST
from scanner.dockerfile.words import word, words
from scanner.errors import LimitError, ParseError
from tests.dockerfile.cases import FILES, WORDS

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
SHELL_FORMS = ("RUN", "CMD", "ENTRYPOINT", "SHELL")


def read(text: str | bytes) -> Dockerfile:
    return parse(text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text, "Dockerfile")


def in_order(file: Dockerfile) -> list[Instruction | Stage]:
    return [*file.arguments, *(one for stage in file.stages for one in (stage, *stage.instructions))]


def as_buildkit_says(one: Instruction | Stage, golden: dict[str, Any]) -> dict[str, Any]:
    """Our value in the golden result's shape; what only a shell may split is one word there, and none here."""
    if isinstance(one, Stage):
        words_ = [one.base, *golden["Words"][1:]]
        return {**golden, "Keyword": "FROM", "Words": words_, "Line": one.line, "End": one.end_line}
    named = list(one.words)
    if one.keyword in SHELL_FORMS and not one.is_exec:
        named = [one.value] if one.value else []
    elif one.keyword == "HEALTHCHECK" and not one.is_exec and named == ["CMD"]:
        named = [*named, one.value[3:].strip()]
    elif one.keyword in ("ENV", "LABEL"):
        signs = golden["Words"][2::3]
        named = [part for pair, sign in zip(named, signs, strict=True) for part in (*pair.split("=", 1), sign)]
    flags = [f for f in golden["Flags"] if "=" not in f]
    return {
        "Keyword": one.keyword,
        "Words": named,
        "Exec": one.is_exec,
        "Flags": [f"--{n}" if f"--{n}" in flags and v == "true" else f"--{n}={v}" for n, v in one.flags],
        "Heredocs": [
            {"Name": h.name, "Content": h.content, "Expand": h.expand, "Chomp": h.chomp} for h in one.heredocs
        ],
        "Line": one.line,
        "End": one.end_line,
        "OnBuild": one.on_build,
    }


@pytest.mark.parametrize("name", FILES)
def test_an_instruction_is_what_buildkit_reads(name: str) -> None:
    golden = GOLDEN["files"][name]
    if name in ("empty", "comments alone"):
        assert golden is None
        with pytest.raises(ParseError, match=r"Dockerfile:\d+: no instruction"):
            read(FILES[name])
        return
    file = read(FILES[name].decode("utf-8", "replace"))  # as Go's JSON does
    if golden is None:
        assert file.problems, "what BuildKit refuses is a problem here"
        assert file.stages, "and the rest is there all the same"
        return
    ours = in_order(file)
    for one in golden:
        one["Words"] = [w for w in one["Words"] if w or one["Keyword"] in ("ENV", "LABEL")]
        if one["Keyword"] == "HEALTHCHECK":
            one["Words"][:1] = [w.upper() for w in one["Words"][:1]]
    if name == "unknown":  # BuildKit's parser drops the words of what it does not know; the builder then refuses it
        golden[1]["Words"] = ["bar", "baz"]
        assert [p.line for p in file.problems] == [2]
    assert [as_buildkit_says(o, g) for o, g in zip(ours, golden, strict=True)] == golden


@pytest.mark.parametrize(("case", "golden"), list(zip(WORDS, GOLDEN["words"], strict=True)))
def test_words_and_variables_are_what_buildkit_makes_of_them(
    case: tuple[str, tuple[str, ...], str], golden: dict[str, Any] | None
) -> None:
    text, given_, escape = case
    env = dict(e.split("=", 1) for e in given_)
    if golden is None:
        with pytest.raises(ParseError):
            word(text, env.get, escape)
        return
    assert {"word": word(text, env.get, escape), "words": words(text, env.get, escape)} == golden


def test_a_character_of_a_joined_value_knows_its_line() -> None:
    file = read("FROM x\nRUN  --mount=type=tmpfs,target=/t \\\n  # why\n  curl u | \\\n\n  sh\n")
    [run] = file.stages[0].instructions
    assert run.value == "curl u |   sh"
    assert [run.line_at(run.value.index(w)) for w in ("curl", "|", "sh")] == [4, 4, 6]
    assert (run.line, run.end_line) == (2, 6)


def test_a_heredoc_knows_its_lines_and_its_text() -> None:
    file = read("FROM x\nCOPY <<-A <<B /d/\n\tone\n\t\ttwo\n\tA\nB\nUSER u\n")
    first, second = file.stages[0].instructions[0].heredocs
    assert (first.text, first.line, first.end_line) == ("one\ntwo\n", 3, 4)
    assert (second.text, second.line, second.end_line) == ("", 6, 5)
    assert file.stages[0].instructions[1].line == 7


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("FROM x\nRUN <<EOF\na\n", 2, "the heredoc EOF has no end"),
        ("RUN a\nFROM x\n", 1, "RUN stands before any FROM"),
        ("FROM\n", 1, "FROM says nothing"),
        ("FROM x y\n", 1, "FROM wants one image"),
        ("FROM x AS 1\n", 1, "1 cannot be a stage's name"),
        ("ARG A\n", 1, "there is no FROM"),
        ("FROM x\n\nENV A=1 B\n", 3, "B has no ="),
        ("FROM x\nENV A\n", 2, "ENV needs a name and a value"),
        ("FROM x\nONBUILD ONBUILD RUN a\n", 2, "ONBUILD needs an instruction"),
        ("FROM x\n" + "RUN " + "a" * 70_000, 2, "a line longer than"),
        ("# escape=x\nFROM x\n", 1, "the escape character x is none"),
    ],
)
def test_what_a_builder_refuses_is_said_with_its_line(text: str, line: int, said: str) -> None:
    problems = read(text).problems
    assert [p.line for p in problems if said in p.message] == [line], problems


def test_problems_are_bounded() -> None:
    problems = read("FROM x\n" + "NOPE\n" * 5_000).problems
    assert len(problems) == 101
    assert problems[-1].message.startswith("more is wrong")


def test_a_text_too_large_for_a_dockerfile_is_refused() -> None:
    with pytest.raises(LimitError, match="larger than"):
        read("#" * (LARGEST + 1))


def test_more_instructions_than_any_dockerfile_has_are_refused() -> None:
    assert len(read("FROM x\n" + "RUN a\n" * 19_999).stages[0].instructions) == 19_999
    with pytest.raises(LimitError, match="more than 20,000 instructions"):
        read("FROM x\n" + "RUN a\n" * 100_000)


@pytest.mark.parametrize(
    "text",
    [
        "FROM x\n" + "RUN a \\\n" * 200_000,
        "FROM x\nCMD " + "[" * 1_000_000,
        "FROM x\nRUN " + "<<A " * 200_000 + "\n" + "A\n" * 200_000,
        "FROM x\nRUN " + "--a " * 500_000,
        "FROM x\nENV A='" + "\\" * 1_000_000,
        "FROM x\nRUN " + "${" * 500_000,
        "ONBUILD " * 300_000,
        "FROM x\nRUN <<" + " " * 200_000 + "<a",
    ],
    ids=["continuations", "brackets", "heredocs", "flags", "escapes", "substitutions", "onbuild", "spaces"],
)
def test_size_costs_no_more_than_size(text: str) -> None:
    clock = time.process_time()
    assert in_order(read(text))
    assert time.process_time() - clock < 5


PIECES = st.sampled_from(
    "FROM |RUN |COPY |ENV |ONBUILD |\n|\\\n|\\ \n|<<EOF|<<-'E'|EOF\n|\tE\n|[\"a\"]|[|$A|${A:-|}|'|\"|#|# escape=`\n|--from=|--|é|\r\n|\0| |=".split(
        "|"
    )
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=60).map(lambda p: "".join(p).encode())))
def test_any_bytes_are_read_or_refused_and_lines_stay_in_order(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    try:
        file = read(text)
    except ParseError:
        return
    lines = len(text.split("\n"))
    ends = [0]
    for one in in_order(file):
        if isinstance(one, Stage) and one.instructions and one.instructions[0].line == one.line:
            continue  # instructions before any FROM stand under a stage that no line begins
        assert ends[-1] < one.line <= one.end_line <= lines
        ends.append(one.end_line)
        if isinstance(one, Instruction):
            assert all(one.line <= one.line_at(at) <= one.end_line for at in range(len(one.value)))
            assert all(one.line < h.line <= h.end_line + 1 for h in one.heredocs)
