"""Shell text: words, values, conditions; and nothing of it is run."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import LimitError, ParseError
from scanner.launch.shellwords import Shell, Word


def commands(text: str, prints: str | None = None, **environment: str) -> list[list[Word]]:
    """The words of each command, in order; one called `print` prints `prints`."""
    found: list[list[Word]] = []

    def take(words: list[Word], conditional: bool) -> str | None:
        found.append(words)
        return prints if words[0].text == "print" else None

    Shell(take, "/work", environment).read(text, "x.sh")
    return found


def texts(text: str, prints: str | None = None, **environment: str) -> list[list[str]]:
    return [[word.text for word in words] for words in commands(text, prints, **environment)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a 'b  c' \"d e\" f\\ g", ["a", "b  c", "d e", "f g"]),
        ("a \\\n  b # c\n", ["a", "b"]),
        ("a \\\r\n b\r\n", ["a", "b"]),
        ("a b#c", ["a", "b#c"]),
        ("a '' \"\"", ["a", "", ""]),
        ("a $'x\\ty'", ["a", "x\ty"]),
        ("X=1\na $X ${X} \"$X\" '$X' \\$X", ["a", "1", "1", "1", "$X", "$X"]),
        ("X='1 2'\na $X \"$X\"", ["a", "1", "2", "1 2"]),
        ("X=\na $X b \"$X\"", ["a", "b", ""]),
        ("a ${X:-d} ${X-e} \"${X:-f g}\"", ["a", "d", "e", "f g"]),
        ("a ${X:-b c}", ["a", "b", "c"]),
        (": ${X:=d}\na $X", ["a", "d"]),
        ("X=v\na ${X:+w} ${X:?no}", ["a", "w", "v"]),
        ("A=(x 'y z')\nA+=(w)\na \"${A[@]}\" ${A[1]}", ["a", "x", "y z", "w", "y", "z"]),
        ("X=a\nX+=b\na $X", ["a", "ab"]),
        ("export X=1 Y=2\na $X$Y", ["a", "12"]),
        ("X=1 a $X", ["a", "${X}"]),
        ("a $HOME/x $PWD/y", ["a", "~/x", "/work/y"]),
        ('D="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"\na $D', ["a", "/work"]),
        ('D="$(cd "$(dirname "$0")/.." && pwd)"\na "$D/x"', ["a", "/work/../x"]),
        ("a $(pwd)/x `pwd`", ["a", "/work/x", "/work"]),
        ("a >out 2>&1 <in b", ["a", "b"]),
        ("$ a b", ["a", "b"]),
    ],
)  # fmt: skip
def test_the_last_commands_words(text: str, words: list[str]) -> None:
    assert texts(text)[-1] == words


def test_words_are_as_bash_has_them() -> None:
    """The same text, given to bash itself: only the program `a` is run, which prints its arguments."""
    bash = shutil.which("bash")
    assert bash is not None
    text = """\
    X='1  2'; Y=; A=(p "q r" ${X}); B="${A[@]:-n}"
    a $X "$X" '$X' \\$X ${Y:-d e} "${Y:-d e}" ${Y-z} ${X:+s} x${Y}y "${A[@]}" pre"${A[0]}"post ${A[1]}
    if true; then a in-if; fi
    f() { a in-f "$X"; }
    f
    for i in 1; do a loop; done
    case x in x) a case ;; *) ;; esac
    a "quoted \\"in\\" quotes" 'single'"joined" "a\\\nb" a\\
b
    cat <<E >/dev/null
a not a command
E
    a end
    """
    ran = subprocess.run(
        [bash, "-c", 'a() { printf "%s\\0" "$@"; printf "\\1"; }\n' + text], capture_output=True, check=True, text=True
    ).stdout
    assert [["a", *one.split("\0")[:-1]] for one in ran.split("\1")[:-1]] == [
        words for words in texts(text) if words[0] == "a"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "X=1; if c; then X=2; fi; a $X",
        "X=1; c && X=2; a $X",
        "X=1; while c; do X=2; done; a $X",
        "X=1; case $1 in y) X=2;; esac; a $X",
        "X=1; (X=2); a $X",
        "X=1; f() { X=2; }; f; a $X",
        "f() { X=2; }; X=1; f; a $X",
        "X=1; read -r X; a $X",
        "X=1; source .env; a $X",
        "for X in 1 2; do :; done; a $X",
        "X=$(c); a $X",
        "unset X; a $X",
        "a $X",
    ],
)
def test_a_value_that_only_a_run_can_tell_is_unknown_and_named(text: str) -> None:
    word = commands(text)[-1][1]
    assert (word.text, word.unknown, word.loose) == ("${X}", ("X",), True)
    assert commands(text.replace("a $X", "a $X"), X="given")[-1][1].text == "given"


def test_what_is_the_same_under_every_condition_is_known() -> None:
    assert texts("X=1; if c; then X=1; fi; f() { X=1; }; a $X")[-1] == ["a", "1"]


def test_an_array_that_may_grow_keeps_what_is_certain() -> None:
    words = commands('A=(x y)\nif c; then A+=(z); fi\na "${A[@]}" w')[-1]
    assert [w.text for w in words] == ["a", "x", "y", "${A}", "w"]
    assert [w.loose for w in words] == [False, False, False, True, False]
    assert [w.place.line for w in words] == [3, 1, 1, 2, 3]


def test_substitutions_are_unknown_unless_it_is_known_what_they_print() -> None:
    word = commands('a "x-$(id -u)"')[-1][1]
    assert (word.text, word.unknown, word.loose) == ("x-$(id -u)", ("$(id -u)",), False)
    assert texts("C=$(print x)\na $C", prints="name")[-1] == ["a", "name"]


def test_commands_in_substitutions_quotes_and_aliases_are_read_with_their_places() -> None:
    text = 'X=$(b 1)\neval "c 2"\nalias z=\'d 3\'\nbash -c "e 4"\nsu -c x\n'
    assert [(w[0].text, w[1].text, w[0].place.line) for w in commands(text) if w[0].text in "bcde"] == [
        ("b", "1", 1),
        ("c", "2", 2),
        ("d", "3", 3),
        ("e", "4", 4),
    ]


def test_conditions_are_told() -> None:
    found: list[tuple[str, bool]] = []
    Shell(lambda words, conditional: found.append((words[0].text, conditional))).read(
        "a; if b; then c; fi; d || e\nf; { g; }; (h); for i in 1; do k; done; case $1 in x) l ;; esac; m\nn() { o; }\np",
        "x",
    )
    assert [name for name, conditional in found if conditional] == ["b", "c", "e", "h", "k", "l"]
    assert [name for name, conditional in found if not conditional] == ["a", "d", "f", "g", "m", "o", "p"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a 'b", "x.sh:1:3"),
        ('a\n "b', "x.sh:2:2"),
        ("a $(b", "x.sh:1:3"),
        ("a ${b:-", "x.sh:1:3"),
        ("a `b", "x.sh:1:3"),
        ("A=(b", "x.sh:1:3"),
        ("a $'b", "x.sh:1:3"),
    ],
)
def test_what_is_never_closed_is_an_error_with_its_place(text: str, place: str) -> None:
    with pytest.raises(ParseError, match=f"^{place}: .* never closed"):
        commands(text)


def test_a_text_that_grows_without_end_stops() -> None:
    doubling = "A=xxxxxxxxxxxxxxxx\n" + "A=$A$A$A$A$A$A$A$A\n" * 20 + "a $A"
    with pytest.raises(LimitError, match=r"x\.sh:"):
        commands(doubling)
    with pytest.raises(LimitError, match="within each other"):
        commands("a " + "$(b " * 40 + ")" * 40)
    with pytest.raises(LimitError, match="within each other"):
        commands("a " + "${X:-" * 40 + "}" * 40)
    with pytest.raises(LimitError, match="within each other"):
        commands('F=\'eval "$F"\'\neval "$F"')


def test_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    texts(
        f"a $(touch {mark}) `touch {mark}` <(touch {mark})\neval 'touch {mark}'\ntouch {mark}\n: ${{X:=$(touch {mark})}}"
    )
    assert not mark.exists()


PIECES = st.sampled_from(
    ["$(", ")", "`", "${X:-", "}", "'", '"', "\\", "\n", " ", "X=", "A=(", "A+=(x)", '"${A[@]}"', "$X", "if ", ";then ",
     "fi", ";", "&&", "||", "|", "&", "<<E\n", "\nE\n", "for x in ", "do ", "done", "case x in ", "esac", "f() {", "eval ",
     "bash -c ", "((", "))", "[[", "]]", "#", "$((1+", "docker run ", "-x", "\r\n", "\0", "é", "$", "{", "a"]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=60).map("".join) | st.text(max_size=200))
def test_hostile_text_ends_in_words_or_an_error_with_a_place(text: str) -> None:
    lines = text.count("\n") + 1
    try:
        found = commands(text)
    except (ParseError, LimitError) as e:
        place = re.match(r"x\.sh:(\d+):(\d+): ", str(e))
        assert place is not None, e  # noqa: PT017 - either it is read, or the error says where not
        assert int(place[1]) <= lines
    else:
        assert all(1 <= word.place.line <= lines and word.place.column >= 1 for words in found for word in words)
