"""The ROME episode played in real containers: what `diff`, `live` and `observe` each find of it, with process and time."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures import rome_run
from scanner.model import Confidence, FileLocation, Finding, ProcessLocation, Report, Severity
from scanner.model.run import ChangeKind, Endpoint, How, Run
from scanner.reports.json import load
from tests import host_image
from tests.engine_fixture import Engine, program, started_engine

IMAGE = "rome-run"
PROGRAMS = ("sh", "sleep", "ssh", "cat", "true")
DROPPED = rome_run.DROPPED.encode()
EPISODE = ("python3", "/opt/agent/episode.py")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine in a network namespace of its own that leads nowhere: what is sent to TEST-NET is lost without a word."""
    with started_engine(apart=True) as ours:
        ours.client.api.import_image_from_data(host_image.tree(PROGRAMS, rome_run.files()), IMAGE, "latest")
        assert ours.process is not None
        lost = (
            f"neigh add {rome_run.SERVER} lladdr 02:00:00:00:00:01 dev nowhere nud permanent"  # no one is asked for it
        )
        for words in (
            "link add nowhere type bridge",
            "addr add 203.0.113.1/24 dev nowhere",
            "link set nowhere up",
            lost,
        ):
            within = [program("nsenter"), "-t", str(ours.process.pid), "-n", program("ip"), *words.split()]
            subprocess.run(within, check=True)
        yield ours


def sandscan(engine: Engine, command: str, *arguments: str) -> tuple[int, Report]:
    """The command's exit code and its report, through JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "scanner.cli", command, "-o", "json", "--quiet", *arguments],
        env={**os.environ, "DOCKER_HOST": engine.host},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1, 3), done.stderr.decode()
    return done.returncode, load(done.stdout.decode())


def ran(report: Report) -> Run:
    assert report.run is not None
    return report.run


def paths(findings: tuple[Finding, ...]) -> set[bytes]:
    places = [f.locations[0] for f in findings]
    return {p.path for p in places if isinstance(p, FileLocation)}


def pid(finding: Finding) -> int | None:
    place = finding.locations[0]
    assert isinstance(place, ProcessLocation)
    return place.pid


def until(what: str, container: Any) -> None:
    """Wait for a line of the container's output."""
    end = time.monotonic() + 30
    while what not in container.logs().decode():
        assert time.monotonic() < end, container.logs().decode()
        time.sleep(0.1)


def test_diff_finds_what_the_episode_left(engine: Engine) -> None:
    began = time.time()
    container = engine.client.containers.create(
        IMAGE, [*EPISODE, "drop", "plant", "schedule", "tidy", "60"], network_mode="none"
    )
    container.start()
    until("episode: done", container)

    code, report = sandscan(engine, "diff", f"container:{container.id}", "--episode", "rollout-0412")
    container.remove(force=True)

    assert code == 1, report.notifications
    assert paths(report.findings_of("miner/binary")) == {DROPPED}
    assert paths(report.findings_of("drift/new-executable")) == {DROPPED}
    [changed] = report.findings_of("drift/changed-executable")
    assert paths((changed,)) == {rome_run.REPLACED.encode()}
    assert "its size and its time are those of before" in changed.message
    [key] = report.findings_of("drift/authorized-key")
    assert paths((key,)) == {b"root/.ssh/authorized_keys"}
    assert "agent@rollout-0412" in key.message
    assert paths(report.findings_of("drift/persistence")) == {b"etc/crontab"}
    assert paths(report.findings_of("drift/deleted-log")) == {b"var/log/auth.log"}
    assert paths(report.findings_of("drift/history")) == {b"root/.bash_history"}
    assert {f.severity for f in report.findings_of("miner/binary")} == {Severity.CRITICAL}
    run = ran(report)
    assert (run.how, run.episode) == (How.DIFF, "rollout-0412")
    [dropped] = [c for c in run.changes if c.path == DROPPED]
    assert dropped.after is not None
    assert (dropped.change, dropped.after.uid, dropped.user) == (ChangeKind.ADDED, 0, "root")
    assert dropped.time is not None
    assert began - 1 <= dropped.time <= time.time()  # by the kernel's clock, whatever utime(2) said
    assert dropped.after.modified == 1_700_000_000


def test_live_finds_what_runs_and_with_whom_it_speaks(engine: Engine) -> None:
    network = engine.client.networks.create("outside", driver="bridge")
    container = engine.client.containers.create(IMAGE, [*EPISODE, "drop", "start", "tunnel", "60"], network="outside")
    container.start()
    try:
        until("episode: done", container)
        code, report = sandscan(engine, "live", container.id)
    finally:
        container.remove(force=True)
        network.remove()

    assert code == 1, report.notifications
    processes = {p.command[0]: p for p in ran(report).processes}
    miner, ssh = processes["/" + rome_run.DROPPED], processes["ssh"]
    # the episode's own process, whose script orders both, is told with what it started
    mines = {pid(f): f for f in report.findings_of("live/miner-process")}
    assert set(mines) == {miner.pid}
    assert (mines[miner.pid].severity, mines[miner.pid].confidence) == (Severity.CRITICAL, Confidence.HIGH)
    assert (miner.digest or "").startswith("sha256:")
    tunnels = {pid(f): f for f in report.findings_of("live/tunnel-process")}
    assert set(tunnels) == {ssh.pid}
    assert tunnels[ssh.pid].severity is Severity.CRITICAL
    assert f"localhost:{rome_run.LISTENS} on {rome_run.SERVER}" in tunnels[ssh.pid].message
    tried = [s for s in ran(report).sockets if s.remote is not None and s.remote.address == rome_run.SERVER]
    assert [(s.kind, s.remote, s.state, s.pids) for s in tried] == [
        ("tcp", Endpoint(rome_run.SERVER, 22), "syn-sent", (ssh.pid,))
    ]


def test_observe_finds_what_the_episode_tries_and_leaves(engine: Engine, tmp_path: Path) -> None:
    capture = tmp_path / "run.pcap"
    began = time.time()
    code, report = sandscan(
        engine,
        *("observe", IMAGE, "--seconds", "40", "--pcap", str(capture), "--episode", "rollout-0412", "--"),
        *(*EPISODE, *rome_run.EVERYTHING, "3"),
    )

    assert code == 1, report.notifications
    assert {f.rule_id for f in report.findings} >= {
        "observed/pool",
        "observed/reverse-tunnel",
        "observed/metadata",
        "observed/private-scan",
        "live/miner-process",
        "live/tunnel-process",
        "miner/binary",
        "drift/authorized-key",
        "drift/persistence",
        "drift/changed-executable",
    }
    run = ran(report)
    pids = {p.command[0]: p.pid for p in run.processes}
    [pool] = report.findings_of("observed/pool")
    assert (pool.severity, pool.confidence, pid(pool)) == (Severity.CRITICAL, Confidence.HIGH, pids["python3"])
    assert (pool.details["name"], pool.details["port"]) == rome_run.POOL
    assert pool.details["stratum_agent"] == "XMRig/6.22.2"
    assert '"method": "login"' in str(pool.details["first_bytes"])
    assert began - 1 <= run.started <= run.ended <= time.time()
    [tunnel] = report.findings_of("observed/reverse-tunnel")
    assert (tunnel.severity, pid(tunnel)) == (Severity.CRITICAL, pids["ssh"])
    assert tunnel.details["forwards"] == [f"localhost:{rome_run.LISTENS}"]
    assert (tunnel.details["address"], tunnel.details["port"]) == (rome_run.SERVER, 22)
    [scan] = report.findings_of("observed/private-scan")
    assert scan.details["addresses"] == [f"10.0.0.{n}" for n in range(1, 21)]
    assert (rome_run.POOL[0], "A") in [(q.name, q.type) for q in run.queries]
    assert all(run.started - 1 <= a.time <= run.ended + 1 for a in run.attempts)
    assert capture.read_bytes()[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")  # pcap with nanoseconds
    assert b"pool\x07example" in capture.read_bytes()
    assert engine.client.containers.list(all=True) == []
