"""How much a sign weighs, one at a time and together: values instead of processes, because some take minutes to be true."""

from dataclasses import replace

import pytest

from scanner.detectors import tunnel_launch
from scanner.model import (
    Confidence,
    Evidence,
    FileLocation,
    Finding,
    Layer,
    Level,
    Notification,
    ProcessLocation,
    Severity,
)
from scanner.model.run import Endpoint, Namespace, Process, Program, Socket
from scanner.runtime.live import Surroundings, judged
from scanner.runtime.liverules import RULES, deleted, engine, judge, miner, outside, raw, tunnel
from scanner.runtime.liverules.scene import Scene
from scanner.runtime.liverules.signs import Judge, signs
from scanner.runtime.procfs import Seen
from scanner.runtime.procfs.processes import Member
from scanner.runtime.procfs.sockets import ENGINE, OWN_ENGINE

NOW = 1_000_000.0
OUT = "198.51.100.9"


def member(
    *words: str, pid: int = 10, parent: int = 1, path: str = "", age: float = 100, cpu: float = 0.1, **more: object
) -> Member:
    facts = {k: more.pop(k) for k in ("devices", "program") if k in more}
    executable = path or f"/usr/bin/{words[0].rpartition('/')[2]}"
    process = Process(
        pid=pid,
        parent=parent,
        command=words,
        executable=executable.encode(),
        program=facts.get("program", Program.FILE),  # type: ignore[arg-type]
        started=NOW - age,
        cpu=cpu,
        user="root",
        devices=facts.get("devices", ()),  # type: ignore[arg-type]
    )
    made = Member(
        process, 1, words[0][:15], words, (), (), (1, 1, 1), False, (), frozenset(), (None, None, None), 1, False, pid
    )
    return replace(made, **more)  # type: ignore[arg-type]


def tcp(remote: str, port: int, pid: int = 10, state: str = "established", local: int = 40000) -> Socket:
    return Socket("tcp", "ipv4", state, Endpoint("172.17.0.2", local), Endpoint(remote, port), port + pid, (pid,))


def waits(port: int, pid: int = 10) -> Socket:
    return Socket("tcp", "ipv4", "listen", Endpoint("0.0.0.0", port), None, 7, (pid,))


def scene(
    *members: Member, held: tuple[Socket, ...] = (), files: dict[int, tuple[Finding, ...]] | None = None
) -> Scene:
    namespace = Namespace(
        interfaces=("lo 127.0.0.1/8", "eth0 172.17.0.2/16"), routes=("default via 172.17.0.1 dev eth0",)
    )
    miners, tunnels = signs(members, files or {}, Judge())
    seen = Seen(members, held, namespace, (), lambda _: None)
    return Scene("box", "app", seen, miners, tunnels, {"10.9.0.3": "the container db"}, frozenset(), NOW)


def only(found: object) -> Finding:
    [one] = list(found)  # type: ignore[call-overload]
    return one  # type: ignore[no-any-return]


def binary(rule: str, severity: Severity = Severity.CRITICAL, **details: str) -> Finding:
    evidence = Evidence("miner_binary", "protocol", b"usr/bin/x", excerpt="mining.notify")
    place = FileLocation(b"usr/bin/x", Layer(0, None))
    return Finding(rule, severity, Confidence.HIGH, "x is a thing.", (place,), (evidence,), "0" * 64, details=details)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("127.0.0.1", "loopback"),
        ("172.17.0.2", "loopback"),
        ("172.17.0.9", "own"),
        ("10.9.0.3", "own"),
        ("10.8.0.3", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("fd12::1", "private"),
        ("169.254.1.1", "link"),
        ("fe80::1%eth0", "link"),
        ("224.0.0.1", "link"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("198.51.100.9", "outside"),
        ("2001:db8::1", "outside"),
        ("::ffff:198.51.100.9", "outside"),
        ("/run/x.sock", "own"),
    ],
)
def test_where_an_address_lies(address: str, place: str) -> None:
    assert scene(member("x")).place(address) == place


BUSY = {"age": 100.0, "cpu": 95.0}
GPU = {"devices": ("/dev/nvidia0",)}


def test_no_single_sign_of_work_is_a_miner() -> None:
    for one, held in [
        (member("python3", "train.py", **BUSY), ()),  # type: ignore[arg-type]
        (member("python3", "train.py", **GPU), ()),  # type: ignore[arg-type]
        (member("python3", "train.py", **BUSY, **GPU), (tcp(OUT, 443),)),  # type: ignore[arg-type]
        (member("cc1", "-O2", "x.c", **BUSY), ()),  # type: ignore[arg-type]
        (member("node", "app.js"), (tcp(OUT, 3333),)),
        (member("python3", "x.py", **BUSY), (tcp("172.17.0.9", 3333),)),  # type: ignore[arg-type]
        (member("python3", "x.py", age=5, cpu=5.0), (tcp(OUT, 3333),)),
    ]:
        assert list(miner.judge(scene(one, held=held))) == []


def test_work_without_a_pause_beside_a_pools_port_is_a_guess_and_with_a_card_a_better_one() -> None:
    guess = only(miner.judge(scene(member("python3", "x.py", **BUSY), held=(tcp(OUT, 3333),))))  # type: ignore[arg-type]
    assert (guess.severity, guess.confidence) == (Severity.MEDIUM, Confidence.LOW)
    assert guess.details["signs"] == ["pool port", "processor time"]
    assert f"{OUT}:3333" in guess.message
    better = only(miner.judge(scene(member("python3", "x.py", **BUSY, **GPU), held=(tcp(OUT, 3333),))))  # type: ignore[arg-type]
    assert (better.severity, better.confidence) == (Severity.MEDIUM, Confidence.MEDIUM)


def test_a_busy_program_under_a_kernel_threads_name_is_suspected() -> None:
    found = only(miner.judge(scene(member("[kworker/0:1]", path="/tmp/x", pretends=True, **BUSY))))  # type: ignore[arg-type]
    assert found.details["signs"] == ["processor time", "disguise"]
    assert only(deleted.judge(scene(member("[kworker/0:1]", path="/tmp/x", pretends=True)))).severity is Severity.HIGH


def test_independent_signs_make_a_miner_sure_and_graver() -> None:
    words = ("python3", "x.py", "-o", "stratum+tcp://pool.example:3333", "-u", "me", "--donate-level", "1")
    alone = only(miner.judge(scene(member(*words))))
    assert (alone.severity, alone.confidence) == (Severity.HIGH, Confidence.MEDIUM)
    together = only(miner.judge(scene(member(*words, **BUSY), held=(tcp(OUT, 3333),))))  # type: ignore[arg-type]
    assert (together.severity, together.confidence) == (Severity.CRITICAL, Confidence.HIGH)
    assert together.details["connections"] == [f"{OUT}:3333"]
    assert together.fingerprint == alone.fingerprint


def test_an_environment_with_a_pool_is_told_once_for_all_that_inherit_it() -> None:
    variables = ("POOL=stratum+tcp://pool.example:3333", "WALLET=somebody")
    family = [member("sh", pid=n, age=100 - n, variables=variables) for n in (10, 11, 12)]
    found = only(miner.judge(scene(*family)))
    assert (found.severity, len(found.locations), found.details["processes"]) == (Severity.MEDIUM, 3, 3)
    family.append(member("worker", pid=13, variables=variables, **BUSY))  # type: ignore[arg-type]
    acting = only(miner.judge(scene(*family)))
    assert acting.severity is Severity.HIGH
    assert acting.details["pid"] == 13


def test_a_library_that_names_miners_is_no_miner() -> None:
    note = binary("miner/binary", Severity.NOTE)
    assert only(miner.judge(scene(member("x"), files={10: (note,)}))).severity is Severity.NOTE
    wallet = binary("miner/wallet", Severity.LOW)
    assert list(miner.judge(scene(member("x"), files={10: (wallet,)}))) == []
    told = [f.rule_id for f in judge(scene(member("x"), files={10: (wallet,)}), {10: (wallet,)})]
    assert told == ["miner/wallet"]


def test_processes_alike_are_one_finding() -> None:
    many = [member("ssh", "-N", "-R", "1:localhost:22", OUT, pid=n) for n in range(10, 40)]
    found = only(tunnel.judge(scene(*many)))
    assert found.details["processes"] == 30
    assert len(found.locations) == 10
    assert "and 29 like it" in found.message
    assert found.fingerprint == only(tunnel.judge(scene(many[7]))).fingerprint


@pytest.mark.parametrize("shell", [("sh", "-c"), ("bash", "-lc"), ("timeout", "60"), ("sudo", "-E"), ("tini", "--")])
def test_who_waits_for_a_tunnel_is_not_told_besides(shell: tuple[str, ...]) -> None:
    words = ("ssh", "-N", "-R", "1:localhost:22", OUT)
    rest = (" ".join(words),) if shell[1].endswith("c") else words
    parent, child = member(*shell, *rest, pid=10), member(*words, pid=11, parent=10)
    assert only(tunnel.judge(scene(parent, child))).details["pid"] == 11
    assert only(tunnel.judge(scene(parent))).details["pid"] == 10  # before it has started, or when it cannot be seen


@pytest.mark.parametrize(
    "words",
    [
        ("ssh", "host.example", "uptime"),
        ("git", "clone", "ssh://git@host.example/x"),
        ("python3", "-m", "pytest", "tests/ssh"),
        ("node", "server.js"),
        ("curl", "https://host.example"),
        ("nginx: worker process",),
        ("/usr/sbin/sshd", "-D"),
        ("tail", "-f", "/var/log/ngrok.log"),
        ("grep", "-r", "ssh -R 1:localhost:22", "."),
    ],
)
def test_ordinary_commands_are_no_tunnels(words: tuple[str, ...]) -> None:
    assert list(tunnel.judge(scene(member(*words)))) == []


def test_a_tool_by_another_name_is_known_by_its_program() -> None:
    tool = binary("tunnel/tool", Severity.HIGH, name="chisel")
    found = only(tunnel.judge(scene(member("updater"), held=(tcp(OUT, 443),), files={10: (tool,)})))
    assert found.severity is Severity.HIGH
    assert found.details["tool"] == "chisel"
    assert found.details["connections"] == [f"{OUT}:443"]


def test_an_ssh_client_that_waits_on_a_port_forwards_whatever_its_words_say() -> None:
    found = only(tunnel.judge(scene(member("ssh", "work"), held=(waits(1080),))))
    assert (found.severity, found.details["listening"]) == (Severity.MEDIUM, ["0.0.0.0:1080"])


def test_a_login_by_where_it_comes_from_and_what_it_forwards() -> None:
    inward = Socket("tcp", "ipv4", "established", Endpoint("172.17.0.2", 22), Endpoint(OUT, 50000), 5, (10,))
    daemon = member("sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", path="/usr/sbin/sshd", pid=9)
    session = member("sshd: agent@pts/0", path="/usr/sbin/sshd", parent=9)
    listening = waits(22, 9)
    found = only(tunnel.judge(scene(daemon, session, held=(listening, inward))))
    assert (found.severity, found.details["from"]) == (Severity.MEDIUM, [OUT])
    near = replace(inward, remote=Endpoint("172.17.0.1", 50000))
    assert only(tunnel.judge(scene(daemon, session, held=(listening, near)))).severity is Severity.LOW
    forwards = only(tunnel.judge(scene(daemon, session, held=(listening, near, waits(2222)))))
    assert (forwards.severity, forwards.details["listening"]) == (Severity.HIGH, ["0.0.0.0:2222"])
    assert list(tunnel.judge(scene(daemon, held=(listening,)))) == []


def test_a_tun_device_is_named() -> None:
    found = only(tunnel.judge(scene(member("vpnd", devices=("/dev/net/tun",)))))
    assert (found.severity, found.details["tool"]) == (Severity.MEDIUM, "tun")
    assert list(tunnel.judge(scene(member("python3", "train.py", devices=("/dev/nvidia0",))))) == []


@pytest.mark.parametrize(
    ("one", "held", "severity"),
    [
        (member("curl", "https://x"), tcp(OUT, 443), Severity.NOTE),
        (member("python3", "x.py"), tcp(OUT, 3333), Severity.NOTE),
        (member("python3", "x.py", age=100, cpu=95.0), tcp(OUT, 3333), Severity.LOW),
        (member("x", path="/tmp/x"), tcp(OUT, 443), Severity.LOW),
        (member("ssh", "h"), tcp(OUT, 22), Severity.LOW),
        (member("ssh", "h"), tcp("10.8.0.1", 22), Severity.LOW),
        (member("x", path="/memfd:x", program=Program.MEMFD), tcp(OUT, 443), Severity.HIGH),
        (member("curl", "http://169.254.169.254/"), tcp("169.254.169.254", 80), Severity.MEDIUM),
        (member("ssh", "-N", "-D", "1080", "h"), tcp(OUT, 22), Severity.MEDIUM),
        (
            member("x", "-o", "stratum+tcp://p.example:3333", "-u", "w", "--donate-level", "1"),
            tcp(OUT, 443),
            Severity.HIGH,
        ),
    ],
)
def test_a_connection_outside_weighs_by_what_else_is_known(one: Member, held: Socket, severity: Severity) -> None:
    found = only(outside.judge(scene(one, held=(held,))))
    assert found.severity is severity
    assert found.details["connections"] in ([held.remote.display], [f"tcp {held.remote.display} (established)"])  # type: ignore[union-attr]


@pytest.mark.parametrize("address", ["127.0.0.1", "172.17.0.9", "10.9.0.3", "10.8.0.1", "192.168.3.4", "169.254.7.7"])
def test_a_connection_within_is_nothing(address: str) -> None:
    assert list(outside.judge(scene(member("python3", "x.py"), held=(tcp(address, 5432),)))) == []


def test_a_crawlers_connections_are_one_note() -> None:
    held = tuple(tcp(f"198.51.100.{n}", 443) for n in range(1, 200))
    found = only(outside.judge(scene(member("python3", "crawl.py"), held=held)))
    assert (found.severity, found.details["count"]) == (Severity.NOTE, 199)
    assert "and 196 more" in found.message


def test_who_opened_the_connection_is_told() -> None:
    inward = tcp(OUT, 50000, local=8080)
    found = only(outside.judge(scene(member("nginx"), held=(waits(8080), inward))))
    assert found.details["connections"] == [f"from {OUT}"]


@pytest.mark.parametrize(
    ("one", "severity"),
    [
        (member("x", path="/memfd:x", program=Program.MEMFD), Severity.HIGH),
        (member("x", path="/tmp/x", program=Program.DELETED), Severity.HIGH),
        (member("x", path="/opt/x", program=Program.DELETED), Severity.MEDIUM),
        (member("x", path="/usr/sbin/x", program=Program.DELETED, replaced=True), Severity.LOW),
        (member("x", path="/work/x", program=Program.DELETED, replaced=True), Severity.MEDIUM),
        (member("[kworker/u8:3]", path="/usr/bin/x", pretends=True), Severity.HIGH),
        (member("x"), None),
        (member("runc", "init", path="/memfd:runc_cloned:/proc/self/exe", program=Program.MEMFD, age=1), None),
        (
            member("runc", "init", path="/memfd:runc_cloned:/proc/self/exe", program=Program.MEMFD, age=60),
            Severity.HIGH,
        ),
    ],
)
def test_a_program_that_hides_weighs_by_how(one: Member, severity: Severity | None) -> None:
    assert [f.severity for f in deleted.judge(scene(one))] == ([severity] if severity else [])


def test_what_hides_and_was_found_to_mine_is_sure() -> None:
    one = member("x", path="/memfd:x", program=Program.MEMFD)
    found = only(deleted.judge(scene(one, files={10: (binary("miner/binary"),)})))
    assert found.confidence is Confidence.HIGH
    assert "x is a thing" in found.message


def _packet(says: str = "every protocol on every interface") -> Socket:
    return Socket("packet", "packet", "unconnected", None, None, 1, (10,), says)


def _raw(says: str) -> Socket:
    return Socket("raw", "ipv4", "unconnected", Endpoint("0.0.0.0"), None, 1, (10,), says)


@pytest.mark.parametrize(
    ("one", "held", "severity"),
    [
        (member("sniffer"), _packet(), Severity.MEDIUM),
        (member("dhclient", "eth0"), _packet("IPv4 on interface eth0"), Severity.NOTE),
        (member("x", path="/memfd:x", program=Program.MEMFD), _packet(), Severity.HIGH),
        (member("ping", "h"), _raw("protocol icmp"), Severity.NOTE),
        (member("ping", "h", path="/tmp/x"), _raw("protocol icmp"), Severity.LOW),
        (member("tunnel"), _raw("protocol icmp"), Severity.LOW),
        (member("x"), _raw("protocol 47"), Severity.MEDIUM),
        (member("x"), Socket("vsock", "vsock", "unconnected", None, None, 1, (10,)), Severity.HIGH),
        (member("x"), Socket("alg", "alg", "unconnected", None, None, 1, (10,)), Severity.NOTE),
        (member("ping", "h"), Socket("icmp", "ipv4", "unconnected", Endpoint("0.0.0.0"), None, 1, (10,)), None),
        (member("x", age=5), Socket("icmp", "ipv4", "unconnected", Endpoint("0.0.0.0"), None, 1, (10,)), None),
        (member("x"), Socket("icmp", "ipv4", "unconnected", Endpoint("0.0.0.0"), None, 1, (10,)), Severity.NOTE),
        (member("x"), tcp(OUT, 443), None),
        (member("x"), Socket("netlink", "netlink", "unconnected", None, None, 1, (10,), "route"), None),
    ],
)
def test_a_raw_socket_weighs_by_what_it_sees_and_who_holds_it(
    one: Member, held: Socket, severity: Severity | None
) -> None:
    assert [f.severity for f in raw.judge(scene(one, held=(held,)))] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("held", "severity"),
    [
        (
            Socket("unix", "unix", "established", None, Endpoint("/run/docker.sock"), 1, (10,), ENGINE),
            Severity.CRITICAL,
        ),
        (Socket("unix", "unix", "listen", Endpoint("/run/docker.sock"), None, 1, (10,), OWN_ENGINE), Severity.NOTE),
        (
            Socket("unix", "unix", "established", None, Endpoint("/run/x.sock"), 1, (10,), "outside of the container"),
            None,
        ),
        (tcp("172.17.0.1", 2375), Severity.HIGH),
        (tcp("127.0.0.1", 2375), None),
        (tcp("172.17.0.1", 2374), None),
    ],
)
def test_an_engine_weighs_by_whose_it_is(held: Socket, severity: Severity | None) -> None:
    assert [f.severity for f in engine.judge(scene(member("x"), held=(held,)))] == ([severity] if severity else [])


def test_every_rule_says_what_it_is_and_what_to_do() -> None:
    assert [r.id for r in RULES] == [
        "live/miner-process",
        "live/tunnel-process",
        "live/outside-connection",
        "live/deleted-executable",
        "live/raw-socket",
        "live/engine-socket",
    ]
    for rule in RULES:
        assert rule.attack
        assert rule.description.endswith(".")
        assert rule.help.endswith(".")


def test_thousands_of_processes_are_judged_quickly() -> None:
    """1,000 different command lines, half of them shells that wait for a tunnel."""
    import time

    members = []
    for n in range(0, 1000, 2):
        words = ("ssh", "-N", "-R", f"{n}:localhost:22", OUT)
        members += [member("sh", "-c", " ".join(words), pid=n + 10), member(*words, pid=n + 11, parent=n + 10)]
    held = tuple(tcp(OUT, 22, pid=m.pid) for m in members for _ in range(4))
    begin = time.process_time()
    found = list(judge(scene(*members, held=held), {}))
    assert time.process_time() - begin < 6
    assert len([f for f in found if f.rule_id == "live/tunnel-process"]) == 500


def test_a_script_that_starts_it_is_not_told_besides_what_it_started() -> None:
    place = FileLocation(b"opt/run.py", Layer(0, None))
    script = replace(binary("miner/binary"), locations=(place,))
    parent = member("python3", "/opt/run.py", pid=10)
    child = member("x", "-o", "stratum+tcp://p.example:3333", "-u", "w", "--donate-level", "1", pid=11, parent=10)
    assert only(miner.judge(scene(parent, child, files={10: (script,)}))).details["pid"] == 11
    alone = only(miner.judge(scene(parent, files={10: (script,)})))
    assert (alone.details["pid"], alone.details["signs"]) == (10, ["loaded"])
    assert "runs opt/run.py: x is a thing" in alone.message


def test_command_lines_that_take_too_long_are_counted_not_forgotten() -> None:
    judging = Judge(seconds=0)
    members = [member("ssh", "-N", "-R", f"{n}:localhost:22", OUT, pid=n + 10) for n in range(5)]
    signs(members, {}, judging)
    assert judging.left == 5


def test_a_program_that_took_anothers_path_and_words_is_judged_by_itself() -> None:
    """The first of that name is harmless; it was deleted, and the second lies where it lay."""
    first = replace(member("worker", path="/tmp/worker", pid=10), program=(1, 1, 1))
    second = replace(member("worker", path="/tmp/worker", pid=11), program=(1, 2, 2))
    found = only(miner.judge(scene(first, second, files={11: (binary("miner/binary"),)})))
    assert [p.pid for p in found.locations if isinstance(p, ProcessLocation)] == [11]
    assert found.severity.rank >= Severity.HIGH.rank


def test_what_a_judge_leaves_out_of_a_command_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    note = Notification("detector", Level.WARNING, "the rest was not read")
    monkeypatch.setattr(tunnel_launch, "judge", lambda _: iter((note,)))
    seen = Seen((member("sh", "-c", "true"),), (), None, (), lambda _: None)
    looked = judged(seen, {}, "box", "app", Surroundings())
    assert looked.unseen == ("command lines: the rest was not read",)
    assert [n.level for n in looked.notifications] == [Level.WARNING]
