"""A look at a running container on a real engine: every actor is found with its number, its address and its weight."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from scanner.errors import TargetError
from scanner.model import Confidence, Finding, ProcessLocation, Report, Severity
from scanner.model.run import Endpoint, Process, Program, Socket
from scanner.runtime.live import LiveOptions, live
from scanner.runtime.procfs import look
from tests.runtime.stage import IMAGE, NAME, OUTSIDE4, OUTSIDE6, POOL, Stage

pytestmark = pytest.mark.engine


def process(report: Report, *words: str) -> Process:
    """The one process with that command line."""
    assert report.run is not None
    [found] = [p for p in report.run.processes if p.command == words]
    return found


def actor(report: Report, name: str, program: str = "python3") -> Process:
    return process(report, program, f"/actors/{name}")


def found(report: Report, rule: str, one: Process) -> Finding:
    """The one finding of a rule at a process."""
    [finding] = [f for f in report.findings_of(rule) if _at(f) == one.pid]
    return finding


def none(report: Report, rule: str, one: Process) -> None:
    assert [f for f in report.findings_of(rule) if _at(f) == one.pid] == []


def _at(finding: Finding) -> int | None:
    place = finding.locations[0]
    return place.pid if isinstance(place, ProcessLocation) else None


def sockets(report: Report, one: Process) -> list[Socket]:
    assert report.run is not None
    return [s for s in report.run.sockets if one.pid in s.pids]


def test_the_report_is_whole_and_says_whose_run_it_is(report: Report, stage: Stage) -> None:
    run = report.run
    assert run is not None
    assert report.complete, report.notifications
    assert (run.how, run.subject, run.episode, run.image) == ("live", NAME, "4711", f"{IMAGE}:1")
    assert run.command == ("sleep", "900")
    assert report.target.source == "container"
    assert {f"live/{name}" for name in ("miner-process", "raw-socket")} <= {r.id for r in report.rules}
    assert {f.rule_id for f in report.findings} <= {r.id for r in report.rules}
    first = process(report, "sleep", "900")
    assert (first.pid, first.inner, first.user, first.uid) == (stage.pid, 1, "root", 0)
    assert first.executable == b"/usr/bin/sleep"
    assert first.started == pytest.approx(run.started, abs=2)


def test_a_process_is_numbered_as_the_host_and_as_the_container_count(report: Report) -> None:
    client = actor(report, "client4")
    status = Path(f"/proc/{client.pid}/status").read_text()
    assert f"NSpid:\t{client.pid}\t{client.inner}\n" in status
    assert Path(f"/proc/{client.pid}/cmdline").read_bytes() == b"python3\0/actors/client4\0"
    assert process(report, "python3", "/play").pid == client.parent
    assert client.program is Program.FILE
    assert (client.digest or "").startswith("sha256:")


def test_a_miner_is_found_by_its_program_alone(report: Report) -> None:
    one = process(report, "/usr/lib/.cache/kworker")
    finding = found(report, "live/miner-process", one)
    assert (finding.severity, finding.confidence) == (Severity.CRITICAL, Confidence.HIGH)
    assert finding.details["family"] == "xmrig"
    assert finding.details["rules"] == ["miner/binary"]
    assert finding.details["digest"] == one.digest
    assert f"Process {one.pid} (/usr/lib/.cache/kworker)" in finding.message
    assert finding.locations[0].display == f"container:{NAME}/{one.pid}/usr/lib/.cache/kworker".encode()


def test_a_miner_is_found_by_its_command_line(report: Report) -> None:
    [finding] = [f for f in report.findings_of("live/miner-process") if f.details["signs"] == ["command"]]
    assert finding.severity is Severity.HIGH
    assert finding.details["pools"] == [POOL]
    assert POOL in finding.message


def test_a_reverse_tunnel_is_told_with_both_ends_and_its_connection(report: Report) -> None:
    assert report.run is not None
    [client] = [p for p in report.run.processes if p.command[0] == "ssh"]
    finding = found(report, "live/tunnel-process", client)
    assert (finding.severity, finding.confidence) == (Severity.CRITICAL, Confidence.HIGH)
    assert finding.details["destination"] == OUTSIDE4
    assert finding.details["connections"] == [f"{OUTSIDE4}:2022"]
    assert set(finding.details["listening"]) == {"127.0.0.1:1080", "[::1]:1080"}
    assert [f["text"] for f in finding.details["forwards"]] == ["2222:127.0.0.1:443", "1080"]
    assert "reverse tunnel: localhost:2222" in finding.message
    [shell] = [p for p in report.run.processes if p.command[:2] == ("sh", "-c") and "ssh" in p.command[2]]
    none(report, "live/tunnel-process", shell)  # it only waits for the client


def test_a_login_that_forwards_is_told_with_its_ports(report: Report) -> None:
    session = process(report, "sshd: root")
    finding = found(report, "live/tunnel-process", session)
    assert finding.severity is Severity.HIGH
    assert finding.details["from"] == [OUTSIDE4]
    assert "127.0.0.1:2222" in finding.details["listening"]
    assert report.run is not None
    [daemon] = [p for p in report.run.processes if "[listener]" in p.command[0]]
    none(report, "live/tunnel-process", daemon)


def test_a_shell_whose_input_is_a_connection_is_critical(report: Report) -> None:
    one = process(report, "sh", "-i")
    finding = found(report, "live/tunnel-process", one)
    assert finding.severity is Severity.CRITICAL
    assert finding.details["connections"] == [f"{OUTSIDE4}:8443"]


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("client4", f"tcp {OUTSIDE4}:443 (established)"),
        ("client6", f"tcp [{OUTSIDE6}]:4443 (established)"),
        ("mapped", f"tcp {OUTSIDE4}:443 (established)"),
        ("asker", f"udp {OUTSIDE4}:53 (established)"),
        ("linked", f"tcp {OUTSIDE4}:3333 (established)"),
    ],
)
def test_an_ordinary_client_is_a_note_with_its_end(report: Report, name: str, end: str) -> None:
    finding = found(report, "live/outside-connection", actor(report, name))
    assert finding.severity is Severity.NOTE
    assert finding.details["connections"] == [end]


def test_an_ssh_client_outside_is_more_than_a_note(report: Report) -> None:
    assert report.run is not None
    [client] = [p for p in report.run.processes if p.command[0] == "ssh"]
    finding = found(report, "live/outside-connection", client)
    assert finding.severity is Severity.MEDIUM
    assert (finding.details["address"], finding.details["port"]) == (OUTSIDE4, 2022)


def test_a_program_that_was_never_a_file_is_read_and_named(report: Report) -> None:
    assert report.run is not None
    [one] = [p for p in report.run.processes if p.program is Program.MEMFD]
    finding = found(report, "live/deleted-executable", one)
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert one.executable == b"/memfd:payload"
    assert one.digest == process(report, "sleep", "603").digest  # what it was copied from
    assert finding.details["pretends"] is True


def test_a_deleted_program_weighs_by_where_it_lay_and_what_lies_there_now(report: Report) -> None:
    gone, updated = process(report, "/tmp/gone", "601"), process(report, "daemon", "602")
    assert (gone.program, gone.executable) == (Program.DELETED, b"/tmp/gone")
    assert found(report, "live/deleted-executable", gone).severity is Severity.HIGH
    finding = found(report, "live/deleted-executable", updated)
    assert (finding.severity, finding.details["replaced"]) == (Severity.LOW, True)
    none(report, "live/deleted-executable", process(report, "sleep", "603"))


def test_sockets_that_see_packets_are_told_apart_from_ping(report: Report) -> None:
    packet = found(report, "live/raw-socket", actor(report, "packet"))
    assert packet.severity is Severity.MEDIUM
    assert packet.details["sockets"] == ["packet packet: every protocol on every interface"]
    assert found(report, "live/raw-socket", actor(report, "raw")).severity is Severity.MEDIUM
    assert found(report, "live/raw-socket", actor(report, "raw6")).severity is Severity.LOW
    assert found(report, "live/raw-socket", actor(report, "echo", "icmptunnel")).severity is Severity.LOW
    assert found(report, "live/raw-socket", actor(report, "echo", "ping")).severity is Severity.NOTE
    assert [s.family for s in sockets(report, actor(report, "raw6"))] == ["ipv6"]


def test_an_engine_is_known_by_its_own_name_whatever_the_container_calls_it(report: Report, stage: Stage) -> None:
    one = actor(report, "engine")
    finding = found(report, "live/engine-socket", one)
    assert (finding.severity, finding.confidence) == (Severity.CRITICAL, Confidence.HIGH)
    assert finding.details["sockets"] == [str(stage.folder / "docker.sock")]
    [held] = sockets(report, one)
    assert (held.state, held.says) == ("established", "engine socket")


def test_another_socket_of_the_host_is_no_engine(report: Report, stage: Stage) -> None:
    one = actor(report, "neighbour")
    none(report, "live/engine-socket", one)
    [held] = sockets(report, one)
    assert held.remote == Endpoint(str(stage.folder / "app.sock"))
    assert held.says == "outside of the container"


def test_both_ends_of_a_unix_socket_within_are_named(report: Report) -> None:
    ends = sockets(report, actor(report, "inner"))
    assert {(s.state, s.local, s.remote) for s in ends} == {
        ("listen", Endpoint("/run/own.sock"), None),
        ("established", None, Endpoint("/run/own.sock")),
        ("established", Endpoint("/run/own.sock"), None),
    }


def test_what_is_listened_on_is_told_by_family(report: Report) -> None:
    held = {(s.kind, s.family, s.state, s.local) for s in sockets(report, actor(report, "server")) if s.remote is None}
    assert ("tcp", "ipv4", "listen", Endpoint("0.0.0.0", 443)) in held
    assert ("tcp", "ipv6", "listen", Endpoint("::", 4443)) in held
    assert ("udp", "ipv4", "unconnected", Endpoint("0.0.0.0", 5353)) in held


@pytest.mark.parametrize("name", ["busy", "worker", "test", "inner", "neighbour", "updated", "gone"])
def test_ordinary_work_is_nothing(report: Report, name: str) -> None:
    assert report.run is not None
    actors = [
        p.pid for p in report.run.processes if p.command[1:2] == (f"/actors/{name}",) and len(p.command) in (2, 4)
    ]
    assert actors
    assert [f for f in report.findings if _at(f) in actors] == []


def test_secrets_of_command_lines_and_environments_are_masked(report: Report) -> None:
    assert report.run is not None
    [one] = [p for p in report.run.processes if "--password" in p.command]
    assert one.command[-1] == "***"
    assert "NGROK_AUTHTOKEN=***" in one.environment
    assert any(v.startswith("HTTPS_PROXY=") and "pw" not in v for v in one.environment)
    assert "hunter2secret" not in str(report)
    assert "SECRETtoken" not in str(report)


def test_the_namespace_is_told(report: Report) -> None:
    assert report.run is not None
    namespace = report.run.namespace
    assert namespace is not None
    assert "lo 127.0.0.1/8" in namespace.interfaces
    assert "lo ::1/128" in namespace.interfaces
    assert namespace.firewall == ""


def test_the_same_look_again_has_the_same_fingerprints(report: Report, stage: Stage, at_engine: object) -> None:
    again = live(NAME, LiveOptions())
    assert {f.fingerprint for f in again.findings} == {f.fingerprint for f in report.findings}
    assert len({f.fingerprint for f in report.findings}) == len(report.findings)


def test_a_process_that_docker_exec_started_belongs_to_it(stage: Stage) -> None:
    stage.container.exec_run(["sleep", "777"], detach=True)
    end = time.monotonic() + 5
    while not (found := [p for p in look(stage.pid).processes if p.command == ("sleep", "777")]):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert found[0].parent != stage.pid


def test_who_is_not_root_is_told_what_stays_unseen(stage: Stage) -> None:
    code = (
        "import os\n"
        "from scanner.runtime.procfs import look\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"seen = look({stage.pid})\n"
        "print(len(seen.processes), any(p.command == ('sleep', '900') for p in seen.processes))\n"
        "print(*seen.unseen, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    first, *unseen = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert first.split()[1] == "True"
    for what in ("the programs", "the environments", "the open files"):
        assert any(line.startswith(f"{what} of ") and line.endswith("only root may look at it") for line in unseen), (
            unseen
        )


def test_a_container_that_does_not_run_is_refused_with_a_hint(stage: Stage, at_engine: object) -> None:
    made = stage.engine.client.containers.create(f"{IMAGE}:1", ["sleep", "1"], name="still", network_mode="none")
    try:
        with pytest.raises(TargetError, match=r"the container still does not run.*sandscan diff container:still"):
            live("still", LiveOptions())
    finally:
        made.remove(force=True)
    with pytest.raises(TargetError, match="has no container nobody-at-all"):
        live("nobody-at-all", LiveOptions())
