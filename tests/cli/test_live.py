"""`sandscan live`, as a user runs it, on a real engine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import host_image
from tests.cli import forked
from tests.engine_fixture import Engine, program

pytestmark = pytest.mark.engine

COMMAND = [sys.executable, "-m", "scanner.cli", "live"]
HOLD = "import time\nwhile True: time.sleep(60)\n"


@pytest.fixture(scope="module")
def container(engine: Engine) -> Iterator[Any]:
    data = host_image.tree(["sh", "sleep"], {"hold": (0o644, HOLD.encode())})
    engine.client.api.import_image_from_data(data, repository="live-cli", tag="1")
    one = engine.client.containers.run(
        "live-cli:1",
        ["sleep", "600"],
        name="agent",
        detach=True,
        network_mode="none",
        environment={"TOKEN": "s3cr3t-value-1234"},
    )
    try:
        yield one
    finally:
        one.remove(force=True)
        engine.client.images.remove("live-cli:1", force=True)


def run(engine: Engine, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return forked.run("live", *arguments, cwd=cwd, DOCKER_HOST=engine.host, COLUMNS="100")


def test_a_quiet_container_is_clean(engine: Engine, container: Any, tmp_path: Path) -> None:
    done = run(engine, "agent", "-o", "json=all.json", "-o", "text", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "all.json").read_text())
    assert report["findings"] == []
    assert report["run"]["how"] == "live"
    assert [p["command"] for p in report["run"]["processes"]] == [["sleep", "600"]]
    assert "s3cr3t" not in (tmp_path / "all.json").read_text()


def test_a_tunnel_is_found_by_process_and_fails_the_command(engine: Engine, container: Any, tmp_path: Path) -> None:
    words = [
        "python3",
        "/hold",
        "-o",
        "://".join(("stratum+tcp", "pool.example:3333")),
        "-u",
        "me",
        "--donate-level",
        "1",
    ]
    container.exec_run(words, detach=True)
    done = run(engine, "agent", "--episode", "4711", "-o", "jsonl=run.jsonl", "-o", "text", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "live/miner-process" in done.stdout
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert {line["episode"] for line in lines} == {"4711"}
    [finding] = [line for line in lines if line["type"] == "finding"]
    [process] = [line for line in lines if line["type"] == "process" and line["command"][:2] == ["python3", "/hold"]]
    assert process["pid"] == finding["details"]["pid"]
    assert run(engine, "agent", "--fail-on", "never", cwd=tmp_path).returncode == 0
    least = run(engine, "agent", "--severity", "critical", "--fail-on", "critical", cwd=tmp_path)
    assert (least.returncode, "live/miner-process" in least.stdout) == (0, False)


def test_every_report_can_be_written(engine: Engine, container: Any, tmp_path: Path) -> None:
    formats = ["text", "json", "jsonl", "sarif", "markdown", "html"]
    wanted = [word for name in formats for word in ("-o", f"{name}=out.{name}")]
    done = run(engine, "agent", *wanted, "--fail-on", "never", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in formats:
        assert "agent" in (tmp_path / f"out.{name}").read_text()


def test_a_watch_writes_lines_as_they_come_and_ends_with_a_report(
    engine: Engine, container: Any, tmp_path: Path
) -> None:
    env = {**os.environ, "DOCKER_HOST": engine.host, "COLUMNS": "100"}
    out, errors = tmp_path / "lines.jsonl", tmp_path / "errors"
    with errors.open("w") as err, (tmp_path / "text").open("w") as text:
        command = [*COMMAND, "agent", "--watch", "--interval", "0.2", "-o", f"jsonl={out}", "-o", "text"]
        process = subprocess.Popen(command, env=env, stdout=text, stderr=err)
        try:
            _until(lambda: out.exists() and '"type": "run"' in out.read_text().replace('"type":"', '"type": "'))
            container.exec_run(["python3", "/hold", "ssh", "x"], detach=True)
            container.exec_run(["sh", "-c", "cp=1; exec sleep 5555"], detach=True)
            _until(lambda: '"5555"' in out.read_text())
            process.send_signal(signal.SIGINT)
            code = process.wait(40)
        finally:
            process.kill()
            process.wait()
    assert code in (0, 1), errors.read_text()
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len([line for line in lines if line["type"] == "run"]) == 1
    assert ["sleep", "5555"] in [line["command"] for line in lines if line["type"] == "process"]
    assert "agent" in (tmp_path / "text").read_text()


def _until(true: Any) -> None:
    end = time.monotonic() + 40
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "has no container nobody"),
        (["a/b"], "no container's name"),
        ([], "Missing argument"),
        (["agent", "--interval", "0"], "--interval"),
        (["agent", "--assume", "x=y"], "name it with --launch"),
        (["agent", "-o", "dot"], "--launch"),
    ],
)
def test_wrong_usage_is_told(engine: Engine, container: Any, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = run(engine, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_help_says_what_is_needed(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    for words in ("Nothing is executed", "Root", "--watch", "Exit codes"):
        assert words in done.stdout


def test_who_may_not_see_all_gets_an_incomplete_report(engine: Engine, container: Any, tmp_path: Path) -> None:
    """Root without the right to join a namespace, as in a container of its own."""
    env = {**os.environ, "DOCKER_HOST": engine.host, "COLUMNS": "100"}
    less = [program("setpriv"), "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    command = [*less, *COMMAND, "agent", "--fail-on", "never", "-o", f"json={tmp_path / 'report'}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3, done.stderr
    for what in ("the firewall: only root may join", "the other ends of Unix sockets"):
        assert what in done.stderr
    report = json.loads((tmp_path / "report").read_text())
    assert len(report["run"]["unseen"]) == 2
    assert ["sleep", "600"] in [p["command"] for p in report["run"]["processes"]]


def test_who_is_not_root_is_told_who_sees_more(engine: Engine, container: Any, tmp_path: Path) -> None:
    """Nobody, who may read files as root may, so that the engine and this Python are within reach, and look into no process."""
    files = "+dac_override,+dac_read_search"
    less = [
        program("setpriv"),
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        f"--inh-caps={files}",
        f"--ambient-caps={files}",
    ]
    env = {**os.environ, "DOCKER_HOST": engine.host, "COLUMNS": "100", "HOME": str(tmp_path)}
    done = subprocess.run([*less, *COMMAND, "agent"], env=env, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 3, done.stderr
    assert done.stderr.endswith("sandscan: root sees more of it: sudo sandscan live agent\n")
