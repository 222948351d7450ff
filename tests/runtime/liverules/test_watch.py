"""Looking again and again, and looking where /proc is another machine's."""

import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest

from scanner.errors import SourceError
from scanner.model import Report, Severity
from scanner.pipeline import Options
from scanner.runtime.live import LiveOptions, Watched, follow, from_engine, surroundings
from scanner.runtime.procfs.programs import Programs
from scanner.sources.container import find_container
from tests.runtime.stage import IMAGE, NAME, Stage

pytestmark = pytest.mark.engine


def test_a_watch_tells_what_begins_and_ends_and_keeps_all_of_it(stage: Stage, at_engine: object) -> None:
    told: list[Report] = []
    stop = threading.Event()
    late = threading.Timer(120, stop.set)
    late.start()
    words = ["ssh", "-F", "/dev/null", "-N", "-L", "9:h:9", "-o", "ProxyCommand=sleep 3", "nowhere"]

    def seen(report: Report) -> None:
        assert report.run is not None
        told.append(report)
        if len(told) == 1:
            stage.container.exec_run(words, detach=True)
        if any(p.command == tuple(words) and p.ended is not None for p in report.run.processes):
            stop.set()

    report = follow(NAME, LiveOptions(episode="e"), stop, 0.2, seen)
    late.cancel()
    assert report.run is not None
    assert report.statistics["looks"] >= 3
    first = told[0]
    assert len(first.findings) > 10
    later = [f for r in told[1:] for f in r.findings]
    [tunnel] = [f for f in later if "-L" in f.message and f.rule_id == "live/tunnel-process"]
    assert tunnel.fingerprint not in {f.fingerprint for f in first.findings}
    assert tunnel.fingerprint in {f.fingerprint for f in report.findings}
    [client] = [p for p in report.run.processes if p.command[:1] == ("ssh",) and "-L" in p.command]
    assert client.ended is not None
    assert client.started is not None
    assert 2 < client.ended - client.started < 120
    assert len({f.fingerprint for r in told for f in r.findings}) == len(report.findings)


def test_a_watch_ends_with_its_container(stage: Stage, at_engine: object) -> None:
    made = stage.engine.client.containers.run(
        f"{IMAGE}:1", ["sleep", "600"], name="short", detach=True, network_mode="none"
    )
    late = threading.Event()
    timer = threading.Timer(120, late.set)
    timer.start()
    told: list[Report] = []

    def seen(report: Report) -> None:
        if not told:
            made.kill()
        told.append(report)

    try:
        report = follow("short", LiveOptions(), late, 0.2, seen)
        timer.cancel()
        assert not late.is_set()
        assert report.run is not None
        [only] = report.run.processes
        assert only.command == ("sleep", "600")
        assert only.ended is not None
    finally:
        made.remove(force=True)


def test_what_another_machine_runs_is_told_by_its_engine_and_the_rest_named(stage: Stage, at_engine: object) -> None:
    with ExitStack() as resources:
        container = replace(find_container(NAME, resources), local=False, pid=0)
        looked = from_engine(container, IMAGE, Programs(Options(), 0))
    assert [w.split(":")[0] for w in looked.unseen] == [
        "programs, environments, open files and devices of the processes",
        "sockets",
        "routes, resolver and firewall",
    ]
    assert all(n.incomplete for n in looked.notifications)
    assert ("sleep", "900") in [p.command for p in looked.processes]
    reverse = [f for f in looked.findings if f.rule_id == "live/tunnel-process" and "reverse tunnel" in f.message]
    assert [f.severity for f in reverse] == [Severity.CRITICAL]
    assert any(f.rule_id == "live/miner-process" for f in looked.findings)
    assert "hunter2secret" not in str(looked)


def test_a_guest_is_looked_at_without_an_engine(stage: Stage) -> None:
    looked = Watched(stage.pid, "guest", "image", Options()).look()
    assert looked.unseen == ()
    assert {"live/miner-process", "live/engine-socket"} <= {f.rule_id for f in looked.findings}
    assert looked.namespace is not None


def test_who_else_is_on_the_networks_is_asked_of_the_engine(stage: Stage, at_engine: object) -> None:
    with ExitStack() as resources:
        around = surroundings(find_container(NAME, resources))
    assert around.names == {}  # network none
    assert around.published == frozenset()


def test_a_process_of_nobody_is_an_error_or_nothing() -> None:
    assert Watched(2**22 + 7, "gone", "image", Options()).look().processes == ()


def test_an_engine_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(SourceError, match="no container engine answers"):
        follow("x", LiveOptions(), None, 0, lambda _: None)
