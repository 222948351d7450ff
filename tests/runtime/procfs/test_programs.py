"""The programs that run are scanned whatever they are called, once each."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures import miners
from fixtures.elf import build
from scanner.model import Level
from scanner.pipeline import Options
from scanner.runtime import live
from scanner.runtime.procfs import Seen, look
from scanner.runtime.procfs.programs import Programs, script_of
from tests.engine_fixture import missing

if os.geteuid() != 0:
    missing("root, to read what others run")

MINER = build(replace(miners.XMRIG, symbols=(), waits=True))


@contextmanager
def running(path: Path, *, unlinked: bool = False) -> Iterator[Seen]:
    """A look at the miner's look-alike, which only waits, under that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(MINER)
    path.chmod(0o755)
    with subprocess.Popen([path], stdin=subprocess.DEVNULL) as process:
        try:
            words = Path(f"/proc/{process.pid}/cmdline")
            while process.poll() is None and not words.read_bytes():  # they come a moment after the program
                time.sleep(0.001)
            if unlinked:
                path.unlink()
            yield look(process.pid)
        finally:
            process.kill()


NAMES = (".wh.miner", ".wh..wh..opq", "a\nb", "\udcff\udcfe", "x (deleted)", ".wh.d/m", "#2")


@pytest.mark.parametrize("unlinked", [False, True])
def test_no_name_keeps_a_program_from_being_scanned(tmp_path: Path, unlinked: bool) -> None:
    with ExitStack() as stack:
        looks = [stack.enter_context(running(tmp_path / name, unlinked=unlinked)) for name in NAMES]
        programs = Programs(Options(), looks[0].members[0].pid)
        seen = programs.look(replace(looks[0], members=tuple(m for one in looks for m in one.members)))
        assert len(seen.members) == len(NAMES)
        for member, name in zip(seen.members, NAMES, strict=True):
            assert "miner/binary" in [f.rule_id for f in programs.findings(member)], name
            assert (member.process.digest or "").startswith("sha256:"), name
        assert not [n for n in programs.notes if n.incomplete]


def test_a_program_is_scanned_once_and_another_of_its_name_by_itself(tmp_path: Path) -> None:
    with running(tmp_path / "m", unlinked=True) as first, running(tmp_path / "m") as second:
        programs = Programs(Options(), first.members[0].pid)
        both = replace(first, members=(*first.members, *second.members))
        seen = programs.look(both)
        report = programs.report
        assert [len(programs.findings(m)) > 0 for m in seen.members] == [True, True]
        assert len(programs.found) == 2
        again = programs.look(both)
        assert programs.report is report
        assert [m.process.digest for m in again.members] == [m.process.digest for m in seen.members]


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (("python3", "x.py", "y.py"), (b"x.py",)),
        (("python3.11", "-u", "-X", "dev", "/a/x.py"), (b"/a/x.py",)),
        (("bash", "-e", "run.sh"), (b"run.sh",)),
        (("-bash",), ()),
        (("python3", "-m", "http.server"), ()),
        (("python3", "-c", "print(1)"), ()),
        (("sh", "-ec", "x"), ()),
        (("node", "--require", "hook.js", "app.js"), (b"app.js",)),
        (("perl", "-e", "1"), ()),
        (("perl", "-w", "x.pl"), (b"x.pl",)),
        (("cat", "x.py"), ()),
        ((), ()),
    ],
)
def test_the_script_that_an_interpreter_runs(tmp_path: Path, words: tuple[str, ...], script: tuple[bytes, ...]) -> None:
    with running(tmp_path / "m") as seen:
        assert script_of(replace(seen.members[0], words=words)) == script


def test_a_number_that_another_process_has_by_now_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as first:
        try:
            watched = live.Watched(first.pid, "box", "image", Options())
            assert [p.pid for p in watched.look().processes] == [first.pid]
            found = look(first.pid)
            [member] = found.members
            monkeypatch.setattr(
                live, "look", lambda _: replace(found, members=(replace(member, ticks=member.ticks + 1),))
            )
            assert watched.look().processes == ()
        finally:
            first.kill()


@pytest.mark.parametrize(("gone", "level"), [(False, Level.WARNING), (True, Level.NOTE)])
def test_a_script_that_cannot_be_had_is_said(tmp_path: Path, gone: bool, level: Level) -> None:
    """Whoever opens a file with a lease on it would wait for its holder."""
    script = tmp_path / "run.py"
    script.write_text("import sys; print('ready', flush=True); sys.stdin.read()\n")
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    command = [sys.executable, str(script)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        script.open("r+b") as held,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            if gone:
                script.unlink()
            else:
                fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            programs = Programs(Options(), process.pid)
            programs.look(look(process.pid))
            name = os.fsencode(script)[1:]
            assert [n.level for n in programs.notes if n.path == name] == [level]
        finally:
            process.kill()
            signal.signal(signal.SIGIO, before)
