"""Ways to get past whoever watches, each one tried on the whole product: caught, or missed and said to be.

docs/watching.md has the table of them.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from docker.api.container import ContainerApiMixin
from docker.errors import APIError

from scanner.model import Severity
from scanner.model.run import ChangeKind, Endpoint, Process, Program
from scanner.runtime.observe import ObserveOptions, observe
from scanner.runtime.sinkhole.guest import Limits
from tests.runtime.evading import Ground, Shown, ground, heard, until, until_output

__all__ = ["ground"]

pytestmark = pytest.mark.engine

STEPS = (
    # those that take longest come first
    *(
        "ssh_443",
        "ssh_in_tls",
        "slow_drip",
        "padded",
        "daemon",
        "icmp_tunnel",
        "dns_tunnel",
        "environment",
        "doh",
        "dot",
    ),
    *("hard_coded_address", "hard_coded_resolver", "ipv6_only", "mapped", "websocket_tunnel", "websocket_plain"),
    *("socks_proxy", "http_proxy", "pool_pinned", "pool_known_pinned", "pool_tls", "nothing_said", "io_uring", "vsock"),
    *("unix_proxy", "passed", "namespaces", "raw", "observer", "memory", "deleted", "brief", "disguised", "renamed"),
    *("listens", "restored", "engine_socket", "encrypted", "loopback", "+disk"),
)


@pytest.fixture(scope="module")
def seen(ground: Ground) -> Shown:
    """One run of all that can be tried at once. It ends by filling the disk, so that what still runs is frozen and looked at."""
    shown = ground.observe(*STEPS, options=("--seconds", "100", "--disk", "16m", "--episode", "evasions"))
    assert shown.run.stopped == "disk limit of 16 MiB", (shown.run.stopped, shown.told)
    assert set(shown.told) == {step.removeprefix("+") for step in STEPS} - {"disk"}
    return shown


# ---- what is tried is told: with the process, the place, and what it is


@pytest.mark.parametrize(
    ("step", "rule", "severity", "place", "service"),
    [
        ("doh", "observed/foreign-resolver", "medium", "198.51.100.53:443", "http"),
        ("dot", "observed/foreign-resolver", "medium", "198.51.100.54:853", "dns"),
        ("hard_coded_resolver", "observed/foreign-resolver", "medium", "192.0.2.53:53", "dns"),
        ("hard_coded_address", "observed/connection", "medium", "203.0.113.99:443", "http"),
        ("ipv6_only", "observed/pool", "critical", "[2001:db8::99]:3333", "stratum"),
        ("mapped", "observed/pool", "critical", "203.0.113.98:3333", "stratum"),
        ("icmp_tunnel", "observed/icmp-tunnel", "high", "203.0.113.70", "icmp"),
        ("websocket_tunnel", "observed/reverse-tunnel", "critical", "tunnel.example:80", "websocket"),
        ("websocket_plain", "observed/tunnel", "medium", "plain-tunnel.example:80", "ssh"),
        ("ssh_443", "observed/reverse-tunnel", "critical", "203.0.113.43:443", "ssh"),
        ("ssh_in_tls", "observed/reverse-tunnel", "critical", "203.0.113.44:443", "ssh"),
        ("socks_proxy", "observed/pool", "critical", "203.0.113.80:1080", "stratum"),
        ("http_proxy", "observed/pool", "critical", "203.0.113.81:3128", "stratum"),
        ("pool_tls", "observed/pool", "critical", "pool.tls.example:443", "stratum"),
        ("pool_known_pinned", "observed/pool", "high", "pool.supportxmr.com:443", "tls"),
        ("pool_pinned", "observed/connection", "low", "pool.pinned.example:443", "tls"),
        ("slow_drip", "observed/pool", "critical", "pool.slow.example:3333", "stratum"),
        ("padded", "observed/connection", "medium", "pool.padded.example:3333", "unknown"),
        ("encrypted", "observed/connection", "medium", "own.example:8443", "unknown"),
        ("nothing_said", "observed/connection", "medium", "203.0.113.60:6000", "silent"),
        ("unix_proxy", "observed/pool", "critical", "pool.relayed.example:3333", "stratum"),
        ("passed", "observed/pool", "critical", "203.0.113.61:3333", "stratum"),
        ("daemon", "observed/pool", "critical", "203.0.113.62:3333", "stratum"),
    ],
)
def test_an_attempt_is_told(seen: Shown, step: str, rule: str, severity: str, place: str, service: str) -> None:
    [attempt] = [a for a in seen.attempts(step) if a.protocol not in ("unix", "udp") or step == "hard_coded_resolver"]
    address, _, port = place.rpartition(":") if attempt.target.port is not None else (place, "", "")
    assert (attempt.name or attempt.target.address) == address.strip("[]")
    assert str(attempt.target.port or "") == port
    assert attempt.service == service
    assert seen.run.started - 1 <= attempt.time <= seen.run.ended + 1
    found = seen.findings(step, rule)
    assert [f.severity.value for f in found if address.strip("[]") in f.message] == [severity], found


def test_a_stream_of_names_is_data(seen: Shown) -> None:
    [tunnel] = seen.findings("dns_tunnel", "observed/dns-tunnel")
    assert (tunnel.severity, tunnel.details["domain"], tunnel.details["names"]) == (Severity.HIGH, "tunnel.example", 60)


def test_names_that_encrypted_resolvers_are_asked_for_are_read(seen: Shown) -> None:
    asked = {n for f in seen.report.findings_of("observed/foreign-resolver") for n in f.details["names"]}  # type: ignore[union-attr]
    assert {"c2.doh.example", "c2.dot.example", "exfil.example"} <= asked


@pytest.mark.parametrize("step", ["ssh_443", "ssh_in_tls"])
def test_what_ssh_asks_for_is_heard_through_any_port_and_in_tls(seen: Shown, step: str) -> None:
    [tunnel] = seen.findings(step, "observed/reverse-tunnel")
    assert tunnel.details["forwards"] == [{"ssh_443": "localhost:2443", "ssh_in_tls": "localhost:2444"}[step]]


def test_what_lies_behind_a_proxy_is_heard(seen: Shown) -> None:
    [socks], [connect] = seen.attempts("socks_proxy"), seen.attempts("http_proxy")
    assert socks.details["socks"]["target"] == "pool.socks.example:3333"  # type: ignore[call-overload,index]
    assert connect.details["proxy"]["target"] == "pool.proxy.example:3333"  # type: ignore[call-overload,index]


def test_a_client_that_trusts_no_other_certificate_is_told_by_its_name(seen: Shown) -> None:
    """What it would have said is not heard, and that it hung up is in the attempt."""
    for step in ("pool_pinned", "pool_known_pinned"):
        assert seen.told[step] == "refused the certificate"
        [attempt] = [a for a in seen.attempts(step) if a.protocol == "tcp"]
        assert attempt.details["tls"]["refused"] == "unknown ca"  # type: ignore[call-overload,index]
        assert attempt.details["tls"]["sni"] == attempt.name  # type: ignore[call-overload,index]


def test_what_goes_from_the_sandbox_to_itself_is_missed(seen: Shown) -> None:
    """Nobody outside is reached by it. What stands at the end is among the sockets."""
    assert seen.told["loopback"] == "True"
    assert seen.attempts("loopback") == []


def test_bytes_that_are_like_any_others_are_told_by_how_random_they_are(seen: Shown) -> None:
    [attempt] = [a for a in seen.attempts("encrypted") if a.protocol == "tcp"]
    assert attempt.sent == 600
    assert attempt.details["unknown"]["entropy"] > 7  # type: ignore[call-overload,index,operator]


def test_a_relay_within_the_sandbox_has_the_connection_and_the_other_end_is_listed(seen: Shown) -> None:
    [pool] = [a for a in seen.attempts("unix_proxy") if a.protocol == "tcp"]
    who = seen.run.process(pool.pid)
    assert who is not None
    assert who.command == ("python3", "/evade", "relay")
    assert "/tmp/relay.sock" in [a.target.address for a in seen.attempts("unix_proxy") if a.protocol == "unix"]


def test_a_connection_that_was_handed_on_is_of_who_opened_it_and_of_who_holds_it(seen: Shown) -> None:
    [attempt] = seen.attempts("passed")
    opened = seen.run.process(attempt.pid)
    assert opened is not None
    assert opened.command == ("python3", "/evade", "do", "passed")
    [held] = [s for s in seen.run.sockets if s.remote == Endpoint("203.0.113.61", 3333)]
    holders = [p.command[2] for pid in held.pids if (p := seen.run.process(pid)) is not None]
    assert holders == ["receiver"]


# ---- what leads past the network is refused, and told


def test_io_uring_and_vsock_are_refused_and_told(seen: Shown) -> None:
    assert (seen.told["io_uring"], seen.told["vsock"]) == ("EPERM", "EPERM")
    for step, protocol in (("io_uring", "io_uring"), ("vsock", "vsock")):
        [attempt] = seen.attempts(step)
        assert (attempt.protocol, attempt.details["result"]) == (protocol, "EPERM")
        assert [f.rule_id for f in seen.findings(step)] == ["observed/odd-protocol"]


def test_raw_sockets_are_refused_and_told(seen: Shown) -> None:
    assert seen.told["raw"] == {"raw": "EPERM", "packet": "EPERM"}
    assert {(a.protocol, a.details["result"]) for a in seen.attempts("raw")} == {("raw", "EPERM"), ("packet", "EPERM")}
    assert {f.rule_id for f in seen.findings("raw")} == {"observed/odd-protocol"}


def test_an_engine_that_is_looked_for_is_told(seen: Shown) -> None:
    assert seen.told["engine_socket"] == "ENOENT"
    [attempt] = seen.attempts("engine_socket")
    assert (attempt.protocol, attempt.target.address) == ("unix", "/var/run/docker.sock")
    assert seen.findings("engine_socket", "observed/engine")


def test_no_namespace_of_its_own_is_made_which_nothing_tells(seen: Shown) -> None:
    """Refused as a whole: what would happen in one, happens not. That it was asked for is missed."""
    assert set(seen.told["namespaces"].values()) == {"EPERM"}
    assert seen.attempts("namespaces") == []


# ---- who watches is out of reach


def test_nothing_of_the_observer_is_seen_or_touched(seen: Shown) -> None:
    told = dict(seen.told["observer"])
    # the kernel passes no signal from within to a namespace's first process that has no handler for it (pid_namespaces(7))
    assert (told.pop("kill 1"), told.pop("stop 1")) == ("granted", "granted")
    told.pop("parent")
    assert set(told.values()) <= {"EPERM", "EACCES", "EROFS"}, told


def test_a_guest_can_know_where_it_is(seen: Shown) -> None:
    """Missed by its nature: whoever asks for a name that cannot be is answered. It is then that nothing more is tried."""
    told = seen.told["environment"]
    assert told["a name that cannot be"].startswith("198.18.")
    assert told["process 1"] == "pause"
    assert told["own number"] > 1
    assert told["seccomp"] == "2"
    assert [line for line in told["resolver"].splitlines() if line.startswith("nameserver")] == [
        "nameserver 172.17.0.1"
    ]
    assert not told["certificate"]  # the name of whoever watches is not in it
    assert [q.name for q in seen.run.queries if q.name.endswith(".invalid")]  # and the question is told


# ---- what hides


def test_a_program_that_was_never_a_file_is_read_from_its_process(seen: Shown) -> None:
    [memory] = [p for p in seen.run.processes if p.program is Program.MEMFD]
    assert memory.command[0] == "[kworker/0:1-events]"
    assert (memory.digest or "").startswith("sha256:")
    [found] = [f for f in seen.report.findings_of("live/deleted-executable") if f.details["pid"] == memory.pid]
    assert found.severity is Severity.HIGH
    assert found.details["pretends"] is True


def test_a_program_that_deleted_itself_is_read_from_its_process(seen: Shown) -> None:
    [gone] = [p for p in seen.run.processes if p.program is Program.DELETED]
    assert (gone.executable, gone.command[0]) == (b"/tmp/.gone", "/tmp/.gone")
    assert (gone.digest or "").startswith("sha256:")
    assert gone.pid in [f.details["pid"] for f in seen.report.findings_of("live/deleted-executable")]


def test_a_program_that_ran_and_is_gone_is_judged_by_its_words_and_said_not_to_be_read(seen: Shown) -> None:
    [brief] = [p for p in seen.processes("brief") if p.executable == b"/tmp/.brief"]
    assert brief.digest is None
    assert brief.ended is not None
    assert [f.details["pid"] for f in seen.findings("brief", "live/miner-process")] == [brief.pid]
    assert not [c for c in seen.run.changes if c.path == b"tmp/.brief"]
    [said] = seen.says("/tmp/.brief")
    assert "content was not seen" in said
    assert "/bin/sh" not in said  # which leads to /usr/bin/sh, as it does everywhere


def test_words_written_over_are_told_as_they_were_and_judged(seen: Shown) -> None:
    [disguised] = [p for p in seen.run.processes if p.command[:3] == ("python3", "/evade", "disguise")]
    assert "stratum+tcp://pool.disguised.example:3333" in disguised.command
    found = {f.rule_id for f in seen.report.findings if f.details.get("pid") == disguised.pid}
    assert found >= {"live/miner-process", "live/deleted-executable"}


def test_another_name_from_the_beginning_is_told_with_the_program(seen: Shown) -> None:
    [renamed] = [p for p in seen.processes("renamed") if p.command[0] == "[kthreadd]"]
    assert renamed.executable == b"/usr/bin/sleep"


def test_a_daemon_is_still_the_sandboxs(seen: Shown) -> None:
    [pool] = seen.attempts("daemon")
    who = seen.run.process(pool.pid)
    assert who is not None
    assert seen.steps[who.pid] == "daemon"
    assert who.ended is not None


def test_a_door_that_nobody_knocks_at_is_listed_and_no_finding(seen: Shown) -> None:
    """Missed as a finding: nobody outside is there to come in. It is seen where it stands at the end."""
    [door] = [s for s in seen.run.sockets if s.state == "listen"]
    assert door.local == Endpoint("0.0.0.0", 4444)
    [process] = [p for pid in door.pids if (p := seen.run.process(pid)) is not None]
    assert process.command == ("python3", "/evade", "door")
    assert not [f for f in seen.report.findings if f.details.get("pid") == process.pid]


def test_the_same_size_and_time_are_no_disguise(seen: Shown) -> None:
    assert seen.files("drift/changed-executable") == {b"usr/local/bin/report"}
    [change] = [c for c in seen.run.changes if c.path == b"usr/local/bin/report"]
    assert change.before is not None
    assert change.after is not None
    assert (change.before.size, change.before.modified) == (change.after.size, change.after.modified)


# ---- too much, and too late


@pytest.fixture(scope="module")
def flooded(ground: Ground) -> Shown:
    return ground.observe(
        "+connections", "+forks", "+kill_all", "+output", options=("--seconds", "100", "--pids", "100")
    )


def test_floods_are_told_and_what_was_too_much_is_counted(flooded: Shown) -> None:
    assert (flooded.run.stopped, flooded.run.exit_code) == ("", 0)
    assert flooded.told["connections"] == "10000"
    assert sum(a.count for a in flooded.attempts("connections")) + flooded.run.dropped.get("attempts", 0) == 10_000
    assert flooded.told["forks"].startswith("refused ")
    lost = flooded.run.dropped["output bytes"]
    assert 200_000_000 < lost + len(flooded.run.output) < 210_000_000
    assert flooded.says(f"{lost:,} output bytes were too many to keep")


def test_whoever_kills_all_that_it_sees_is_still_seen(flooded: Shown) -> None:
    assert set(flooded.told["kill_all"]) == {"granted"}
    [pool] = flooded.findings("kill_all", "observed/pool")
    assert (pool.details["address"], pool.severity) == ("203.0.113.63", Severity.CRITICAL)


def test_what_comes_after_the_time_limit_is_missed_and_the_limit_is_said(ground: Ground) -> None:
    late = ground.observe("late", options=("--seconds", "3"))
    assert late.run.stopped == "time limit of 3 s"
    assert late.run.attempts == ()
    [waiting] = late.processes("late")
    assert waiting.ended is None
    assert late.run.exit_code is None


def test_a_guest_that_cannot_be_frozen_at_once_is_stopped_and_looked_at(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that writes without a pause: the engine refuses now and then, here it does so twice."""
    freeze = ContainerApiMixin.pause
    refusals: list[str] = []

    def refusing(api: Any, container: str) -> None:
        if len(refusals) < 2:
            refusals.append(container)
            raise APIError("unable to freeze")
        freeze(api, container)

    monkeypatch.setattr(ContainerApiMixin, "pause", refusing)
    monkeypatch.setenv("DOCKER_HOST", ground.engine.host)
    options = ObserveOptions(limits=Limits(seconds=60, disk=16 << 20))
    report = observe("evader:1", ["python3", "/evade", "all", "memory", "+disk"], options)
    assert report.run is not None
    assert report.run.stopped == "disk limit of 16 MiB"
    assert len(refusals) == 2
    [memory] = [p for p in report.run.processes if p.program is Program.MEMFD]
    assert memory.digest is not None
    assert report.complete, [n.message for n in report.notifications]


# ---- diff


CHANGING = ("restored", "swapped", "elsewhere", "short_lived", "marks", "rights")
PLACES = {
    b"data/.cache": "volume",
    b"scratch/.cache": "tmpfs",
    b"dev/shm/.cache": "tmpfs",
    b"bound/.cache": "bind mount",
}


@pytest.fixture(scope="module")
def compared(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A container that changed files in all the ways, compared while it runs, and when it has ended."""
    bound = tmp_path_factory.mktemp("bound")
    (bound / "start.sh").write_bytes(b"#!/bin/sh\nexit 0\n")
    (bound / "start.sh").chmod(0o755)
    container = ground.client.containers.create(
        "evader:1",
        ["python3", "/evade", "all", *CHANGING, "+late", "+late", "+late"],
        network_mode="none",
        volumes={"kept": {"bind": "/data"}, str(bound): {"bind": "/bound"}},
        tmpfs={"/scratch": "exec"},
    )
    container.start()
    told = until(container, *CHANGING)
    running = ground.sandscan("diff", f"container:{container.id}")
    container.kill()
    ended = ground.sandscan("diff", f"container:{container.id}")
    yield {"told": told, "running": running, "ended": ended, "bound": bound}
    container.remove(force=True, v=True)
    ground.client.volumes.get("kept").remove()


@pytest.fixture(params=["running", "ended"])
def diffed(compared: dict[str, Any], request: pytest.FixtureRequest) -> Shown:
    found: Shown = compared[request.param]
    return found


def test_content_is_compared_whatever_times_sizes_and_links_say(diffed: Shown) -> None:
    changed = diffed.files("drift/changed-executable")
    assert {b"usr/local/bin/report", b"usr/local/bin/twin"} <= changed
    assert (
        b"usr/local/bin/first" not in changed
    )  # overlayfs copies one name up (kernel, overlayfs.rst, Non-standard behavior)
    [twin] = [c for c in diffed.run.changes if c.path == b"usr/local/bin/twin"]
    assert twin.change is ChangeKind.MODIFIED


def test_what_lies_in_volumes_memory_and_folders_of_the_host_is_judged(compared: dict[str, Any]) -> None:
    running: Shown = compared["running"]
    places = {c.path: c.place for c in running.run.changes}
    assert {path: places.get(path, "").partition(" ")[0] for path in PLACES} == {
        p: w.partition(" ")[0] for p, w in PLACES.items()
    }
    assert set(PLACES) <= running.files("miner/binary")
    assert b"scratch/owner" in running.files("drift/setuid")
    assert b"bound/start.sh" in places


def test_memory_is_gone_with_the_container_and_that_is_said(compared: dict[str, Any]) -> None:
    ended: Shown = compared["ended"]
    assert {b"data/.cache", b"bound/.cache"} <= ended.files("miner/binary")
    assert not {b"scratch/.cache", b"dev/shm/.cache"} & ended.files("miner/binary")
    assert ended.says("tmpfs at /scratch: it went away when the container stopped")
    assert not ended.says("/dev/shm")  # every container has it, and hardly any writes there: it is missed, and not said


def test_a_change_of_a_file_of_the_host_has_no_before(diffed: Shown) -> None:
    """The image says nothing of what is mounted: that it was changed, its times tell, and not what it was."""
    [script] = [c for c in diffed.run.changes if c.path == b"bound/start.sh"]
    assert (script.change, script.before) == (ChangeKind.MODIFIED, None)


def test_a_file_that_came_and_went_is_missed(diffed: Shown) -> None:
    assert not [c for c in diffed.run.changes if b"short-lived" in c.path]


def test_marks_of_layers_hide_nothing(compared: dict[str, Any], diffed: Shown) -> None:
    assert compared["told"]["marks"] == "EPERM"  # the device is refused by overlayfs itself
    assert b"opt/hidden/worker" in diffed.files("miner/binary")
    assert b"usr/local/bin/report" in diffed.files("drift/changed-executable")
    paths = {c.path: c.change for c in diffed.run.changes}
    for mark in (b"opt/hidden/.wh.worker", b"opt/hidden/.wh..wh..opq", b"usr/local/bin/.wh.report"):
        assert paths[mark] is ChangeKind.ADDED
    assert ChangeKind.DELETED not in paths.values()


def test_a_capability_of_a_file_is_told(compared: dict[str, Any], diffed: Shown) -> None:
    assert compared["told"]["rights"] == "granted"
    assert diffed.files("drift/file-capability") == {b"usr/local/bin/capable"}


# ---- live


LIVING = ("memory", "deleted", "disguised", "renamed", "passed", "mapped_stays", "listens")


@pytest.fixture(scope="module")
def running(ground: Ground) -> Shown:
    """A container whose actors hide. Its loopback takes a network for documentation; nothing leads out of it."""
    container = ground.client.containers.create("evader:1", ["sleep", "300"], network_mode="none")
    container.start()
    container.reload()
    pid = int(container.attrs["State"]["Pid"])
    net = ["nsenter", f"--net=/proc/{pid}/ns/net", "sh", "-ec"]
    subprocess.run([*net, "ip route add local 203.0.113.0/24 dev lo"], check=True)
    container.exec_run(["python3", "/evade", "pool_server"], detach=True)
    done = container.exec_run(["python3", "/evade", "all", *LIVING])
    told = heard(done.output)
    moved = _moved(pid)
    try:
        assert set(told) == set(LIVING), done.output
        shown = ground.sandscan("live", container.id)
    finally:
        container.remove(force=True)
        moved.rmdir()
    return shown


def _moved(first: int) -> Path:
    """The door of the container is taken into a control group outside of the container's."""
    groups = next(p for p in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if (p / "cgroup.procs").exists())
    made = groups / f"sandscan-test-{os.getpid()}"
    made.mkdir()
    inside = Path(f"/proc/{first}/ns/pid").readlink()
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"/evade\0door" in status.read_bytes() and (status.parent / "ns/pid").readlink() == inside:
                (made / "cgroup.procs").write_text(status.parent.name)
    return made


def hidden(shown: Shown, word: str) -> list[Process]:
    return [p for p in shown.run.processes if word in " ".join(p.command)]


def test_live_reads_programs_that_are_no_files(running: Shown) -> None:
    told = {f.details["pid"]: f for f in running.report.findings_of("live/deleted-executable")}
    [memory] = [p for p in running.run.processes if p.program is Program.MEMFD]
    [gone] = [p for p in running.run.processes if p.program is Program.DELETED]
    assert {memory.pid, gone.pid} <= set(told)
    assert (memory.digest or "").startswith("sha256:")
    assert memory.digest == gone.digest  # both are `sleep`
    assert told[memory.pid].details["pretends"] is True


def test_live_sees_words_as_they_are_now_and_that_they_are_a_disguise(running: Shown) -> None:
    """Missed: what it was started with. A look sees what stands in its memory; observe tells what was executed."""
    [disguised] = hidden(running, "kworker/u8:2")
    assert disguised.command == ("[kworker/u8:2]",)
    assert disguised.executable == b"/usr/bin/python3"
    assert disguised.pid in [f.details["pid"] for f in running.report.findings_of("live/deleted-executable")]
    assert not running.report.findings_of("live/miner-process")


def test_live_tells_who_holds_a_connection_that_another_one_opened(running: Shown) -> None:
    [held] = [s for s in running.run.sockets if s.remote == Endpoint("203.0.113.61", 3333) and s.pids]
    assert [p.command[2] for p in running.run.processes if p.pid in held.pids] == ["receiver"]


def test_live_shows_ipv4_in_ipv6_as_ipv4(running: Shown) -> None:
    [held] = [s for s in running.run.sockets if s.remote == Endpoint("203.0.113.98", 3333) and s.pids]
    assert [p.command[2] for p in running.run.processes if p.pid in held.pids] == ["mapping"]


def test_live_finds_a_process_in_another_control_group(running: Shown) -> None:
    [door] = hidden(running, "/evade door")
    [listening] = [s for s in running.run.sockets if s.local == Endpoint("0.0.0.0", 4444)]
    assert listening.pids == (door.pid,)


def test_live_misses_what_has_ended(running: Shown) -> None:
    assert not hidden(running, "[kthreadd]")


def test_live_finds_a_process_in_namespaces_of_its_own(ground: Ground) -> None:
    """Which takes a container that may make some: the engine's own filter refuses it."""
    container = ground.client.containers.create(
        "evader:1", ["python3", "/evade", "nested"], network_mode="none", cap_add=["SYS_ADMIN"]
    )
    container.start()
    try:
        until_output(container, b"nested: ")
        shown = ground.sandscan("live", container.id)
    finally:
        container.remove(force=True)
    [inner] = hidden(shown, "/evade inner")
    assert inner.inner == 1  # as its own namespace counts
    [other] = [s for s in shown.run.sockets if s.local == Endpoint("0.0.0.0", 4445)]
    assert other.pids == (inner.pid,)
