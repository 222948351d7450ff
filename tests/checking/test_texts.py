"""A file that many formats are asked about says what it would say of itself to one, however often it is asked."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.checking.texts import Text
from scanner.errors import ParseError, ScannerError
from scanner.launch.plugin import Input

PIECES = [
    "a: 1\n",
    "a: 2\n",
    "- x\n",
    "  b: [1, {c: d}]\n",
    "{",
    "}",
    "[1,\n",
    "]",
    '"k": "v",',
    "&a ",
    "*a\n",
    "---\n",
    "\t",
    "\0",
]


def told(given: Input) -> str:
    try:
        return repr(given.documents)
    except ScannerError as e:
        return f"{type(e).__name__}: {e}"


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.sampled_from(["a.yaml", "a.json", None]))
def test_each_time_the_same_as_an_input_says(text: str, name: str | None) -> None:
    path = Path(name) if name is not None else None
    asked = Text("a", text, path)
    assert told(asked) == told(asked) == told(Input("a", text, path))


def test_what_is_broken_is_taken_apart_once() -> None:
    asked = Text("a.yaml", "a: 1\na: 2\n", Path("a.yaml"))
    raised = []
    for _ in range(3):
        with pytest.raises(ParseError, match=r"^a\.yaml:2:1: the key a stands on line 1 already$") as error:
            _ = asked.documents
        raised.append(error.value)
    assert raised[0] is raised[1] is raised[2]
