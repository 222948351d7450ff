"""`sandscan observe` as a user runs it: what it takes, what it refuses before anything is started, exit codes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from scanner.cli.observe import observe
from scanner.errors import UsageError
from tests.runtime.sinkhole.guests import Ground, ground

__all__ = ["ground"]


def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scanner.cli", "observe", *map(str, arguments)]
    env = {**os.environ, "SANDSCAN_CACHE_DIR": str(cwd / "cache"), "PYTHONPATH": str(Path.cwd()), **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name an image of the local engine"),
        (["image", "--memory", "lots"], "write a size of at least 8m"),
        (["image", "--memory", "1m"], "write a size of at least 8m"),
        (["image", "--disk", "-1"], "write a size of at least 8m"),
        (["image", "--seconds", "0"], "not in the range"),
        (["image", "--pids", "1"], "not in the range"),
        (["image", "--guest-env", "NAME"], "--guest-env NAME: write NAME=VALUE"),
        (["image", "--pcap", "none/run.pcap"], "the folder of the packets does not exist"),
        (["image", "--pcap", "."], "the packets go to a file of their own"),
        (["image", "--pcap", "/dev/null"], "the packets go to a file of their own"),
        (["image", "--sandbox", "a"], "--sandbox says something of a launch; name it with --launch FILE"),
        (["image", "--runner", "docker"], "--runner says something of a launch"),
        (["--launch", "x", "--sandbox", "a", "--sandbox", "b"], "one sandbox is observed at a time"),
        (["image", "-o", "svg"], "name one with --launch FILE"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", "unix:///none.sock")
    monkeypatch.setattr("scanner.cli.stop.gently", lambda: None)  # the handlers are the test run's
    with pytest.raises((UsageError, click.UsageError), match=re.escape(words)):
        observe.main([*arguments], standalone_mode=False)


def test_without_an_engine_it_says_what_is_needed(tmp_path: Path) -> None:
    done = run("image", cwd=tmp_path, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 3
    words = "no container engine answers" if os.geteuid() == 0 else "observing needs root"
    assert words in done.stderr


@pytest.mark.engine
def test_one_run_in_every_way_that_it_is_written(ground: Ground, tmp_path: Path) -> None:
    command = ["sh", "-c", "echo $WORD; id -u; echo KEY=$API_KEY; head -c 100000 /dev/zero; exit 4"]
    flags = [
        "--guest-env",
        "WORD=said",
        "--user",
        "5:5",
        "--guest-env",
        "API_KEY=hunter2hunter2",
        "--episode",
        "e-2",
        "--seconds",
        "20",
        "--memory",
        "256m",
    ]
    formats = [
        "-o",
        "json",
        "-o",
        "html=run.html",
        "-o",
        "jsonl=run.jsonl",
        "-o",
        "text=run.txt",
        "-o",
        "sarif=run.sarif",
    ]
    done = run(ground.image, *flags, *formats, "--", *command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    told = json.loads(done.stdout)["run"]
    assert (told["how"], told["episode"], told["exit_code"]) == ("observe", "e-2", 4)
    assert told["dropped"] == {"output bytes": told["dropped"]["output bytes"]}
    assert "hunter2" not in done.stdout
    assert "e-2" in (tmp_path / "run.txt").read_text()
    assert all((tmp_path / f"run.{kind}").stat().st_size for kind in ("html", "jsonl", "sarif"))
    assert ground.left() == []


@pytest.mark.engine
def test_clean_removes_the_pause_image(ground: Ground, tmp_path: Path) -> None:
    ground.run("id")
    done = run("--clean", cwd=tmp_path)
    assert (done.returncode, done.stdout[:14]) == (0, "removed image ")
    again = run("--clean", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, "nothing was left behind\n")


@pytest.mark.parametrize(
    ("arguments", "image", "command"),
    [
        (["app", "--", "python", "-m", "x"], "app", ("python", "-m", "x")),
        (["--launch", "f", "--", "python", "main.py"], None, ("python", "main.py")),
        (["--launch", "f", "app", "--", "sh", "-c", "echo --", "--"], "app", ("sh", "-c", "echo --", "--")),
        (["app", "sleep", "5"], "app", ("sleep", "5")),
        (["app"], "app", ()),
    ],
)
def test_what_follows_two_dashes_is_the_command(
    arguments: list[str], image: str | None, command: tuple[str, ...]
) -> None:
    parsed = observe.make_context("observe", [*arguments])
    assert (parsed.params["image"], parsed.params["command"]) == (image, command)
