"""The guest's seccomp profile: what it says, and what the kernel makes of it in a real guest."""

import json
from typing import Any

import pytest

from scanner.runtime.sinkhole.seccomp import AF_PACKET, FAMILIES, profile
from scanner.runtime.sinkhole.withheld import GUEST_DEFAULT, Settings
from tests.runtime.sinkhole.guests import Ground, ground

__all__ = ["ground"]

PROBE = """
import ctypes, errno, json, os, socket, subprocess, threading

libc = ctypes.CDLL(None, use_errno=True)


def called(number, *arguments):
    return "works" if libc.syscall(number, *arguments) >= 0 else errno.errorcode[ctypes.get_errno()]


def made(family, kind=socket.SOCK_DGRAM, protocol=0):
    try:
        socket.socket(family, kind, protocol).close()  # never connected
    except OSError as e:
        return errno.errorcode[e.errno]
    return "works"


def opened(path):
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError as e:
        return errno.errorcode[e.errno]
    return "works"


families = {family: made(family) for family in range(1, 48)}
calls = {
    "io_uring_setup": called(425, 4, ctypes.create_string_buffer(120)),
    "io_uring_enter": called(426, 0, 0, 0, 0, 0, 0),
    "unshare user": called(272 if os.uname().machine == "x86_64" else 97, 0x10000000),
    "unshare net": called(272 if os.uname().machine == "x86_64" else 97, 0x40000000),
    "bpf": called(321 if os.uname().machine == "x86_64" else 280, 0, 0, 0),
    "clone3": called(435, 0, 0),
    "vsock with a wide number": called(41, 0x1_0000_0028, 1, 0) if os.uname().machine == "x86_64" else "EPERM",
    "packet": made(17, socket.SOCK_RAW),
    "raw": made(2, socket.SOCK_RAW, 1),
    "the pause's input": opened("/proc/1/fd/0"),
}
thread = threading.Thread(target=os.getpid)
thread.start()
thread.join()
ordinary = {
    "git": subprocess.run(["git", "--version"], capture_output=True).returncode,
    "bash": subprocess.run(["bash", "-c", "echo $(echo a | cat) > /tmp/x; exit 3"]).returncode,
    "pair": len(socket.socketpair()),
    "pid": os.getpid() > 1,
}
child = os.fork()
if child == 0:
    os.setgroups([]), os.setgid(65532), os.setuid(65532)  # as the pause
    os._exit(0 if opened("/proc/1/fd/0") == "EACCES" else 1)
calls["the pause's input, as its user"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps([families, calls, ordinary]))
"""


def rules(text: str) -> list[dict[str, Any]]:
    return list(json.loads(text)["syscalls"])


def test_what_leads_around_a_network_namespace_is_in_no_rule() -> None:
    names = [name for rule in rules(profile(GUEST_DEFAULT)) for name in rule["names"]]
    assert not [n for n in names if n.startswith("io_uring")]
    assert not set(names) & {"socketcall", "unshare", "setns", "mount", "bpf", "pidfd_getfd", "init_module", "keyctl"}
    assert json.loads(profile(()))["defaultAction"] == "SCMP_ACT_ERRNO"
    free = [
        n
        for rule in rules(profile(()))
        if not rule.get("args") and rule["action"] == "SCMP_ACT_ALLOW"
        for n in rule["names"]
    ]
    assert len(free) == len(set(free)) > 340
    assert not set(free) & {"socket", "socketpair", "clone", "clone3", "personality"}


@pytest.mark.parametrize(("capabilities", "families"), [((), FAMILIES), (("NET_RAW",), (*FAMILIES, AF_PACKET))])
def test_only_those_families_are_allowed(capabilities: tuple[str, ...], families: tuple[int, ...]) -> None:
    for name in ("socket", "socketpair"):
        found = [rule["args"] for rule in rules(profile(capabilities)) if name in rule["names"]]
        assert found == [[{"index": 0, "value": f, "valueTwo": 0, "op": "SCMP_CMP_EQ"}] for f in families]


def test_capabilities_open_their_calls() -> None:
    def names(*capabilities: str) -> set[str]:
        return {name for rule in rules(profile(capabilities)) for name in rule["names"]}

    assert names("SYS_CHROOT") - names() == {"chroot"}
    assert names("SYS_TTY_CONFIG") - names() == {"vhangup"}
    assert names("SYS_ADMIN", "BPF", "SYS_MODULE") == names()


@pytest.mark.engine
def test_a_guest_under_it(ground: Ground) -> None:
    ended = ground.run("python3", "-c", PROBE)
    assert (ended.exit_code, ended.stopped) == (0, ""), ended.output
    families, calls, ordinary = json.loads(ended.output.splitlines()[-1])
    allowed = {int(f) for f, answer in families.items() if answer == "works"}
    assert allowed == set(FAMILIES)
    assert families["40"] == families["38"] == families["30"] == "EPERM"
    assert calls == {
        "io_uring_setup": "EPERM",
        "io_uring_enter": "EPERM",
        "unshare user": "EPERM",
        "unshare net": "EPERM",
        "bpf": "EPERM",
        "clone3": "ENOSYS",
        "vsock with a wide number": "EPERM",
        "packet": "EPERM",
        "raw": "EPERM",
        "the pause's input": "EACCES",
        "the pause's input, as its user": 0,
    }
    assert ordinary == {"git": 0, "bash": 3, "pair": 2, "pid": True}


@pytest.mark.engine
def test_a_guest_with_net_raw_has_packets(ground: Ground) -> None:
    ended = ground.run("python3", "-c", PROBE, settings=Settings(capabilities=GUEST_DEFAULT | {"NET_RAW"}))
    families, calls, _ = json.loads(ended.output.splitlines()[-1])
    assert (families["17"], calls["packet"], calls["raw"], families["40"]) == ("works", "works", "works", "EPERM")


@pytest.mark.engine
def test_ordinary_work_under_it(ground: Ground) -> None:
    work = """
set -eo pipefail
git init -q --template= . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git log --oneline > log
cat log | cat > many && rm many
python3 -c "
import asyncio, compileall, multiprocessing, sqlite3, subprocess, tempfile
print(multiprocessing.Pool(2).map(abs, [-1, -2]), asyncio.run(asyncio.sleep(0, 3)), subprocess.check_output(['id', '-u']))
sqlite3.connect(tempfile.mktemp()).execute('create table a(b)')
"
"""
    ended = ground.run("bash", "-c", work)
    assert (ended.exit_code, ended.output) == (0, b"[1, 2] 3 b'0\\n'\n")
