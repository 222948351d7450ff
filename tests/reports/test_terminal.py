import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from scanner.reports.terminal import BOLD, Screen, width, wrapped

words = st.text(st.characters(categories=("L", "N", "P", "Zs", "Mn", "So")), max_size=60).filter(str.isprintable)


def lines(text: str, room: int) -> list[str]:
    return [text[start:end] for start, end in wrapped(text, room)]


@pytest.mark.parametrize(
    ("text", "room", "wanted"),
    [
        ("", 10, [""]),
        ("one two", 10, ["one two"]),
        ("one two three", 8, ["one two ", "three"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("to abcdefghij", 4, ["to ", "abcd", "efgh", "ij"]),
        ("界界界", 4, ["界界", "界"]),
        ("a 界界界", 5, ["a ", "界界", "界"]),
    ],
)
def test_words_go_on_the_next_line_and_long_ones_fold(text, room, wanted):
    assert lines(text, room) == wanted


@given(words, st.integers(2, 30))
def test_nothing_is_lost_and_nothing_is_too_wide(text, room):
    assert "".join(lines(text, room)) == text
    assert all(width(line.rstrip()) <= room for line in lines(text, room))


@given(words)
def test_the_width_is_what_terminals_take(text):
    assert width(text) == cell_len(text)


def test_labels_stand_left_and_words_right():
    screen = Screen(24, color=False)
    screen.rows([("where", "a/long/path/to/it"), ("", "more"), ("somewhere", "x")], 2)

    assert screen.text() == "  where      a/long/path\n             /to/it\n             more\n  somewhere  x\n"


def test_a_style_goes_on_over_the_end_of_a_line():
    screen = Screen(8, color=True)
    screen.line("in ", ("bold words", BOLD))

    assert screen.text() == "in \x1b[1mbold\x1b[0m\n\x1b[1mwords\x1b[0m\n"
