"""The manual pages say what --help says, and groff and mandoc read them without a word."""

import os
import re
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.cli.main import command
from tests.engine_fixture import program

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "man" / "man1"
_spec = spec_from_file_location("manpages", ROOT / "docs" / "man" / "build.py")
assert _spec is not None
assert _spec.loader is not None
build = module_from_spec(_spec)
_spec.loader.exec_module(build)

NAMES = sorted(page.name for page in PAGES.iterdir())


def test_what_is_committed_is_what_the_command_line_says():
    assert build.stale() == [], "write them again: python docs/man/build.py"


def test_every_command_has_a_page():
    def names(one: click.Command, name: str) -> set[str]:
        inner = one.commands.items() if isinstance(one, click.Group) else ()
        return {f"{name}.1"}.union(*(names(below, f"{name}-{word}") for word, below in inner))

    assert set(NAMES) == names(command, "sandscan")


@pytest.mark.parametrize("page", NAMES)
def test_mandoc_and_groff_have_nothing_to_say(page: str):
    for linter in (
        [program("mandoc"), "-T", "lint", "-W", "warning", page],
        [program("groff"), "-ww", "-man", "-Tutf8", "-z", page],
    ):
        done = subprocess.run(linter, cwd=PAGES, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("", "")


def test_man_shows_options_and_examples_as_they_are_typed():
    env = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MANROFFOPT": "-c", "MAN_KEEP_FORMATTING": ""}
    shown = subprocess.run(
        [program("man"), "-P", "cat", PAGES / "sandscan-scan.1"], env=env, capture_output=True, text=True, check=True
    ).stdout
    shown = re.sub(r".\x08", "", shown)
    assert "\n       -o, --output FORMAT[=FILE]\n" in shown
    assert "           sandscan scan app:latest -o sarif=app.sarif -o text --fail-on medium\n" in shown
    assert "[default: high]" in shown


def test_every_variable_is_one_that_is_read():
    source = "".join(file.read_text() for file in (ROOT / "scanner").rglob("*.py"))
    for names, _ in build.ENVIRONMENT:
        for name in names.split(", "):
            assert f'"{name}"' in source


@given(st.text(max_size=60))
def test_no_word_becomes_a_request(text: str):
    for line in [*build._text(text), build._guarded(text.partition("\n")[0])]:
        assert not line.startswith((".", "'"))
        assert line.isascii()
        assert not re.search(r"\\(?![&e\-[(f])", line)


def test_a_block_of_the_epilog_is_read_by_its_form():
    heading, lines = build._block("\b\nExit codes: 0 it is clean, 1 it\nis not.")
    assert (heading, lines) == ("EXIT STATUS", ["0 it is clean, 1 it is not."])
    heading, lines = build._block("\b\nTargets:\n  .dot   a\n    more")
    assert (heading, lines) == ("TARGETS", [".RS 4", ".nf", "\\&.dot   a", "  more", ".fi", ".RE"])
    heading, lines = build._block("Running\ntext.  Of two sentences.")
    assert (heading, lines) == (None, [".PP", "Running text.", "Of two sentences."])
