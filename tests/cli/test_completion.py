"""Completion in the shells themselves: keys are pressed at a terminal, and the line that comes of it is read."""

import copy
import os
import pty
import re
import select
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.checking.every import every
from scanner.cli import completing
from scanner.cli.completion import SCRIPTS
from scanner.cli.main import command
from scanner.plugins import plugins
from scanner.ruleset import load
from scanner.sources.plugin import Source
from tests.engine_fixture import program

BIN = Path(sysconfig.get_path("scripts"))
SCHEMES = "archive:", "docker:", "oci:", "registry:", "rootfs:"
HEAVY = {
    "yara",
    "lief",
    "hyperscan",
    "docker",
    "requests",
    "rich",
    "sarif_om",
    "isal",
    "zstandard",
    "sqlite3",
    "yaml",
    "networkx",
    "tree_sitter",
}
PREPARED = copy.deepcopy(command)
completing.prepare(PREPARED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a folder and files to complete, and nothing else."""
    made = tmp_path_factory.mktemp("completion")
    (made / "images").mkdir()
    (made / "images/app.tar").touch()
    (made / "my file.yaml").touch()
    (made / "compose.yaml").touch()
    return made


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb", "LC_ALL": "C.UTF-8"}


def answers(line: str, folder: Path) -> list[tuple[str, str]]:
    """What a script is told for a line: kinds and values."""
    done = subprocess.run(
        [BIN / "sandscan"],
        env={**environment(folder), "COMP_LINE": line, "_SANDSCAN_COMPLETE": "sandscan_complete"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    found = [tuple(one.split(completing.SEPARATOR)) for one in done.stdout.splitlines() if one]
    return [(kind, value) for kind, value, _ in found]


class Terminal:
    """A shell at a terminal. `line` types, presses Tab, and gives the line as the shell's editor then has it."""

    def __init__(self, arguments: Sequence[str], folder: Path, set_up: str) -> None:
        self._folder = folder
        self._pid, self._terminal = pty.fork()
        if not self._pid:
            os.chdir(folder)
            os.execve(arguments[0], list(arguments), environment(folder))
        self._send(f"{set_up}; echo rea''dy\n")
        self._until(r"^ready\r?$")

    def line(self, typed: str, tabs: int = 1) -> str:
        self._send(typed)
        for _ in range(tabs):
            self._send("\t")
        self._send("\x07")
        line = self._until(r"<<(.*)>>")
        self._send("\x15")
        return line

    def close(self) -> None:
        os.close(self._terminal)
        os.waitpid(self._pid, 0)

    def _send(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def _until(self, pattern: str) -> str:
        seen, end = "", time.monotonic() + 20
        while not (found := re.search(pattern, seen, re.M)):
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{pattern} did not come; there was {seen!r}"
            seen += os.read(self._terminal, 65536).decode(errors="replace")
        return found[found.re.groups]


@pytest.fixture(scope="module")
def bash(folder: Path) -> Iterator[Terminal]:
    shell = Terminal(
        [program("bash"), "--norc", "--noprofile", "-i"],
        folder,
        "PS1=; bind 'set bell-style none'; source <(sandscan completion bash); "
        """bind -x '"\\C-g": printf "<%s%s>\\n" "<$READLINE_LINE" ">"'""",
    )
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def zsh(folder: Path) -> Iterator[Terminal]:
    shell = Terminal(
        [program("zsh"), "-f", "-i"],
        folder,
        "PS1=; unsetopt beep; autoload -Uz compinit; compinit -D -u; source <(sandscan completion zsh); "
        'shown() { print -r -- "<""<$BUFFER>"">" }; zle -N shown; bindkey "^G" shown; bindkey "^U" kill-whole-line',
    )
    yield shell
    shell.close()


TYPED = [
    ("sandscan expl", "sandscan explain "),
    ("sandscan scan --fail-", "sandscan scan --fail-on "),
    ("sandscan scan --fail-on cri", "sandscan scan --fail-on critical "),
    ("sandscan scan --fail-on=cri", "sandscan scan --fail-on=critical "),
    ("sandscan scan arch", "sandscan scan archive:"),
    ("sandscan scan archive:ima", "sandscan scan archive:images/"),
    ("sandscan scan archive:images/a", "sandscan scan archive:images/app.tar "),
    ("sandscan scan ima", "sandscan scan images/"),
    ("sandscan diff cont", "sandscan diff container:"),
    ("sandscan egress comp", "sandscan egress compose.yaml "),
    ("sandscan egress my", "sandscan egress my\\ file.yaml "),
    ("sandscan scan x --launch comp", "sandscan scan x --launch compose.yaml "),
    ("sandscan scan x -o sari", "sandscan scan x -o sarif"),
    ("sandscan scan x -o sarif=ima", "sandscan scan x -o sarif=images/"),
    ("sandscan explain miner/bin", "sandscan explain miner/binary "),
    ("sandscan egress --runner mini", "sandscan egress --runner mini-swe-agent "),
    ("sandscan egress --assume engine.dir", "sandscan egress --assume engine.direct-routing="),
    ("sandscan egress --assume engine.icc=f", "sandscan egress --assume engine.icc=false "),
    ("sandscan egress --image agent=arch", "sandscan egress --image agent=archive:"),
    ("sandscan egress --image agent=archive:images/a", "sandscan egress --image agent=archive:images/app.tar "),
    ("sandscan scan x --limit archive-de", "sandscan scan x --limit archive-depth="),
]


@pytest.mark.parametrize(("typed", "completed"), TYPED)
def test_bash_completes(bash: Terminal, typed: str, completed: str):
    assert bash.line(typed).rstrip() == completed.rstrip()


def test_bash_puts_a_space_only_where_nothing_more_follows(bash: Terminal):
    assert bash.line("sandscan expl") == "sandscan explain "
    assert bash.line("sandscan scan arch") == "sandscan scan archive:"


@pytest.mark.parametrize(("typed", "completed"), TYPED)
def test_zsh_completes(zsh: Terminal, typed: str, completed: str):
    assert zsh.line(typed).rstrip() == completed.rstrip()


@pytest.fixture(scope="module")
def fish(folder: Path) -> dict[str, str]:
    """What fish offers for each line; one shell is asked for all of them."""
    lines = [typed for typed, _ in TYPED]
    script = "sandscan completion fish | source; for line in $argv; echo '<>'; complete -C $line; end"
    done = subprocess.run(
        [program("fish"), "--no-config", "-c", script, *lines],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(lines, done.stdout.split("<>\n")[1:], strict=True))


@pytest.mark.parametrize(("typed", "completed"), TYPED)
def test_fish_completes(fish: dict[str, str], typed: str, completed: str):
    offered = {one.split("\t")[0] for one in fish[typed].splitlines()}
    word = completed.removesuffix(" ").removeprefix(typed.rpartition(" ")[0] + " ").replace("\\ ", " ")
    assert offered & {word, word.removeprefix("--fail-on=")}, fish[typed]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_reads_its_script(shell: str, tmp_path: Path):
    printed = subprocess.run(
        [BIN / "sandscan", "completion", shell], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert printed == (SCRIPTS / f"sandscan.{shell}").read_text()
    (tmp_path / "script").write_text(printed)
    read = subprocess.run([program(shell), "-n", "script"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")


def test_commands_are_offered_with_what_they_do(folder: Path):
    offered = answers("sandscan ", folder)
    assert {kind for kind, _ in offered} == {"plain"}
    assert {value for _, value in offered} == set(command.commands)


def test_a_target_is_a_scheme_or_a_path(folder: Path):
    assert sorted(answers("sandscan scan ", folder)) == [("file", ""), *(("open", one) for one in SCHEMES)]
    assert answers("sandscan scan registry:lo", folder) == []
    assert answers("sandscan scan 'archive:a b", folder) == [("file", "a b")]
    assert sorted(value for kind, value in answers("sandscan diff ", folder) if kind == "open") == sorted(
        ("container:", "upper:", *SCHEMES)
    )


def test_the_schemes_are_those_that_sources_have():
    known = [one.scheme for one in plugins("scanner.sources") if isinstance(one, Source)]
    assert sorted(f"{scheme}:" for scheme in known) == sorted(completing.IMAGES) == sorted(SCHEMES)


def test_every_rule_is_offered_by_id_and_name():
    ruleset = load()
    known = {one.id: one.name for one in [*every(ruleset), *(rule.rule for rule in ruleset.rules)]}
    listed = dict(line.split("\t") for line in completing.RULES.read_text().splitlines())
    assert listed == known, "write the list again: python docs/man/build.py"


def test_every_name_that_is_completed_is_a_parameter():
    def names(one: click.Command) -> set[str]:
        inner = one.commands.values() if isinstance(one, click.Group) else ()
        return {str(parameter.name) for parameter in one.params}.union(*map(names, inner))

    assert names(command) >= set(completing.FINDERS)


@pytest.mark.parametrize("line", ["sandscan ", "sandscan explain ", "sandscan egress --runner ", "sandscan scan x -"])
def test_a_key_waits_for_nothing_heavy(line: str, folder: Path):
    code = (
        "import sys; sys.argv = ['sandscan']\n"
        "from scanner.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    env = {**environment(folder), "COMP_LINE": line, "_SANDSCAN_COMPLETE": "sandscan_complete"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, cwd=folder)
    assert done.stdout.strip()
    assert done.stderr == "[]\n"


@given(
    st.lists(
        st.sampled_from(["scan ", "egress ", "-o ", "--assume ", "=", ":", "'", '"', "\\", "--", " ", "\x1f", "\udcff"])
        | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=5)
    )
)
def test_no_line_stops_the_completion(parts: list[str]):
    line = "sandscan " + "".join(parts)
    with mock.patch.dict(os.environ, {"COMP_LINE": line}):
        told = completing._Lines(PREPARED, {}, "sandscan", "_SANDSCAN_COMPLETE").complete()
    told.encode()
    assert all(one.count(completing.SEPARATOR) == 2 for one in told.split("\n") if one)
