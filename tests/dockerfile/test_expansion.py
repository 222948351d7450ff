"""ARG and ENV, instruction by instruction."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.dockerfile import Expanded, Step, expanded, parse


def made(text: str, **build_args: str) -> Expanded:
    return expanded(parse(text, "Dockerfile"), build_args)


def last(text: str, **build_args: str) -> Step:
    return made(text, **build_args).stages[-1].steps[-1]


@pytest.mark.parametrize(
    ("text", "given_", "words"),
    [
        ("FROM x\nARG A=1\nENV B=$A", {}, ("B=1",)),
        ("FROM x\nARG A=1\nENV B=$A", {"A": "2"}, ("B=2",)),
        ("FROM x\nARG A\nUSER u$A", {}, ("u",)),
        ("FROM x\nENV B=$A", {"A": "2"}, ("B=",)),
        ("FROM x\nENV A=e\nARG A=1\nUSER $A", {"A": "2"}, ("2",)),
        ("FROM x\nENV A=e\nARG A\nUSER $A", {}, ("e",)),
        ("FROM x\nARG A=1\nENV A=e\nUSER $A", {"A": "2"}, ("e",)),
        ("FROM x\nENV A=1\nENV A=2 B=$A", {}, ("A=2", "B=1")),
        ("ARG A=1\nFROM x\nUSER u$A", {}, ("u",)),
        ("ARG A=1\nFROM x\nARG A\nUSER u$A", {}, ("u1",)),
        ("ARG A=1\nFROM x\nARG A=3\nUSER u$A", {}, ("u3",)),
        ("FROM x AS a\nARG A=1\nENV E=$A\nFROM a\nUSER $E-$A", {}, ("1-",)),
        ("FROM x AS a\nENV E=1\nFROM y\nUSER u$E", {}, ("u",)),
        ("FROM x\nARG A B=$C C=1\nARG D=$C\nCOPY $D '$D' /", {}, ("1", "$D", "/")),
        ("FROM x\nARG P='80 443/tcp'\nEXPOSE $P 1", {}, ("80", "443/tcp", "1")),
        ("FROM x\nWORKDIR /a\nENV H=/h\nWORKDIR ${H}/b", {}, ("/h/b",)),
        ("FROM x\nUSER u$HTTP_PROXY", {"HTTP_PROXY": "p"}, ("up",)),
        ("FROM x\nUSER u$TARGETARCH", {"TARGETARCH": "arm64"}, ("u",)),
        ("FROM x\nARG TARGETARCH\nUSER u$TARGETARCH", {"TARGETARCH": "arm64"}, ("uarm64",)),
        ("FROM x\nENV A=1\nCMD [\"$A\"]", {}, ("$A",)),
        ("FROM x\nENV A=1\nONBUILD USER $A", {}, ("$A",)),
        ("# escape=`\nFROM x\nENV A=1\nUSER `$A$A", {}, ("$A1",)),
        ("FROM x\nENV A=1\nLABEL l$A=\"v $A\"", {}, ("l1=v 1",)),
    ],
)  # fmt: skip
def test_a_variable_means_what_the_builder_gives_it(text: str, given_: dict[str, str], words: tuple[str, ...]) -> None:
    assert last(text, **given_).words == words


def test_stages_know_what_they_are_built_from() -> None:
    file = made("ARG B=base\nFROM $B:1 AS One\nFROM one AS two\nFROM --platform=$B scratch\nFROM TWO\n", B="b")
    assert [(s.stage.expanded, s.parent, s.stage.platform) for s in file.stages] == [
        ("b:1", None, None),
        ("one", 0, None),
        ("scratch", None, "b"),
        ("TWO", 1, None),
    ]
    assert [file.find(n).index if file.find(n) else None for n in ("one", "ONE", "2", "9", "no")] == [
        0,
        0,
        2,
        None,
        None,
    ]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["3", "0000000003", "9" * 5_000, "0" * 5_000, "-1", "٣", "²", ""])
def test_a_number_that_is_no_stages_is_none(name: str) -> None:
    assert made("FROM a\nFROM b\n").find(name) is None


def test_a_run_sees_its_arguments_and_flags_are_replaced() -> None:
    step = last("FROM x\nARG A=1\nARG B\nARG C=3\nENV C=e\nRUN --mount=type=bind,source=$A,target=/x echo $A")
    assert dict(step.arguments) == {"A": "1"}
    assert dict(step.environment) == {"C": "e"}
    assert step.flags == (("mount", "type=bind,source=1,target=/x"),)
    assert step.instruction.value == "echo $A"


def test_what_cannot_be_replaced_stays_and_is_said() -> None:
    file = made("FROM x\nUSER ${A?must be set}\nENV B='\n")
    assert [s.words for s in file.stages[0].steps] == [("${A?must be set}",), ("B='",)]
    assert [p.line for p in file.problems] == [2, 3]


@pytest.mark.parametrize(
    "text",
    [
        "FROM x\nENV A=" + "x" * 1000 + "\n" + "ENV A=$A$A$A$A\n" * 3000,
        "FROM x\n" + "".join(f"ENV A{i}=1\n" for i in range(19_000)),
        "FROM x\nENV A=" + "a" * 60_000 + "\nUSER ${A%%" + "a*" * 2_000 + "b}\nUSER ${A//" + "?*" * 2_000 + "b/}\n",
        "FROM x\nUSER " + "${A:-" * 20_000 + "}" * 20_000 + "\n",
    ],
    ids=["doubling", "many", "patterns", "nesting"],
)
def test_expansion_is_bounded_and_says_where_it_stopped(text: str) -> None:
    clock = time.process_time()
    assert made(text).problems
    assert time.process_time() - clock < 8


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from("$A|${A|:-|:+|#|##|%|/|//|}|'|\"|\\|*|?|x|\n ENV A=|\nARG A\n|\nCOPY |\nEXPOSE | ".split("|")),
        max_size=50,
    ),
    st.text(max_size=20),
)
def test_no_text_stops_the_expansion(pieces: list[str], value: str) -> None:
    file = made("FROM x\nENV A=y\n" + "".join(pieces), A=value)
    assert sum(len(s.steps) for s in file.stages) == sum(len(s.stage.instructions) for s in file.stages)
