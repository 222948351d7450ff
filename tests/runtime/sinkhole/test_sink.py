"""The sinkhole from its beginning to its end, whatever end that is: nothing leaves it, nothing of it is left."""

import errno
import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scanner.runtime.sinkhole import netlink, privileges
from scanner.runtime.sinkhole.sink import Sink, SinkError, SinkOptions, check
from tests.runtime.sinkhole.lab import Canary, Outer, ended, inhabitants, needs_root, outer, paused, wait_for  # noqa: F401

EVERYTHING = """
def attempt(do, *arguments):
    try: do(*arguments)
    except OSError: pass
for host in ("198.51.100.1", "198.51.100.254", "203.0.113.1", "192.0.2.1", "172.17.0.1", "169.254.169.254", "255.255.255.255",
             "2001:db8:1::1", "2001:db8:1::fe", "2001:db8::1", "fd17::1", "fe80::fe%eth0", "ff02::1%eth0", "224.0.0.1", "127.0.0.1"):
    for port in (22, 53, 80, 443, 853, 2375, 3333):
        attempt(tcp, host, port, b"CANARY", 0.3, False)
        attempt(udp, host, port, b"CANARY")
for family, kind, protocol, host in ((2, 3, 1, "203.0.113.1"), (2, 3, 47, "198.51.100.254"), (10, 3, 58, "2001:db8:1::fe"), (2, 3, 255, "203.0.113.1")):
    def raw():
        s = socket.socket(family, kind, protocol); s.sendto(b"\\x08\\0\\0\\0\\0\\1\\0\\1CANARY", (host, 0))
    attempt(raw)
def frame():
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
    for kind in (b"\\x08\\0", b"\\x08\\6", b"\\x86\\xdd", b"\\x88\\xcc"): s.send(b"\\xff" * 6 + bytes(6) + kind + b"CANARY" * 10)
attempt(frame)
"""


def test_not_one_frame_of_a_guest_with_raw_sockets_leaves(outer: Outer) -> None:  # noqa: F811
    with paused() as pause:

        def run() -> tuple[list[bytes], int, list[bytes]]:
            canary = Canary()
            with Sink(pause.process.pid) as sink:
                pause.run(EVERYTHING)
                result = sink.finish()
                silent = canary.frames()
                # the canary can see: a frame of our own is there
                subprocess.run(
                    [sys.executable, "-c", "import socket; socket.socket(2, 2).sendto(b'x', ('203.0.113.1', 9))"],
                    check=True,
                )
                return silent, len(result.attempts), canary.frames()

        silent, attempts, heard = outer.do(run)

    assert silent == []
    assert attempts > 100
    assert any(b"\xcb\x00\x71\x01" in frame for frame in heard)


def test_the_child_has_what_it_needs_and_no_more(outer: Outer) -> None:  # noqa: F811
    with paused() as pause:

        def look() -> tuple[str, dict[str, str], set[str], list[str]]:
            with Sink(pause.process.pid) as sink:
                place = Path(f"/proc/{sink.pid}")
                status = dict(
                    line.split(":\t", 1) for line in (place / "status").read_text().splitlines() if ":\t" in line
                )
                links = {line.split(":")[0].strip() for line in (place / "net/dev").read_text().splitlines()[2:]}
                inode = (place / "ns/net").stat().st_ino
                assert inode not in (outer.inode, pause.inode, Path("/proc/self/ns/net").stat().st_ino)
                routes = (place / "net/route").read_text().splitlines()[1:]
                return (place / "limits").read_text(), status, links, routes

        limits, status, links, routes = outer.do(look)

    assert status["Uid"].split() == [str(privileges.NOBODY)] * 4
    assert status["Gid"].split() == [str(privileges.NOBODY)] * 4
    kept = 1 << privileges.CAP_NET_RAW | 1 << privileges.CAP_DAC_READ_SEARCH
    assert [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [
        0,
        kept,
        kept,
        0,
        0,
    ]
    assert (status["NoNewPrivs"], status["Seccomp"].strip()) == ("1", "2")
    assert status["Groups"].strip() == ""
    assert {"lo", "vsink"} <= links
    assert "eth0" not in links
    assert routes == []  # no way out: what it knows is itself and the guest
    assert "Max core file size        0" in limits


FILTERED = """
import ctypes, json, os, socket, sys, threading
sys.path[:] = json.loads(sys.argv[1])
from scanner.runtime.sinkhole import netlink, privileges
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
here = socket.create_server(("127.0.0.1", 0)).getsockname()
privileges.filter_calls()
def tried(what):
    try: what()
    except OSError as e: return e.errno
    return 0
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
refused = {
    "connect": tried(lambda: socket.socket().connect(here)),
    "unix stream": tried(lambda: socket.socket(socket.AF_UNIX)),
    "vsock": tried(lambda: socket.socket(40, socket.SOCK_STREAM)),
    "packet": tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "exec": tried(lambda: os.execv("/bin/true", ["true"])),
    "ptrace": libc.ptrace(0, 0, 0, 0) and ctypes.get_errno(),
    "unshare": libc.unshare(0x400) and ctypes.get_errno(),
}
granted = {
    "send": tried(lambda: one.sendto(b"x", here)),
    "pair": tried(socket.socketpair),
    "name": tried(lambda: socket.if_nametoindex("lo")),
    "netlink": tried(lambda: netlink.passes("lo")),
    "file": tried(lambda: open("/proc/self/status").close()),
    "thread": tried(lambda: threading.Thread(target=lambda: None).start()),
}
print(json.dumps([refused, granted]))
"""


def test_whoever_took_the_child_over_has_no_way_around_its_network() -> None:
    path = json.dumps([p for p in sys.path if Path(p).is_absolute()])
    done = subprocess.run([sys.executable, "-c", FILTERED, path], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    refused, granted = json.loads(done.stdout)
    assert set(refused.values()) == {errno.EPERM}, refused
    assert set(granted.values()) == {0}, granted


def test_after_the_end_nothing_is_left(outer: Outer) -> None:  # noqa: F811
    before = outer.do(lambda: (Path("/proc/thread-self/net/dev").read_text().count("\n"), netlink.links_up()))
    with paused() as pause:

        def run() -> list[int]:
            with Sink(pause.process.pid) as sink:
                within = inhabitants(Path(f"/proc/{sink.pid}/ns/net").stat().st_ino)
                assert sink.pid in within
                assert "eth0" in netlink.in_namespace(pause.namespace, netlink.links_up)
                sink.finish()
            return within

        within = outer.do(run)
        assert netlink.in_namespace(pause.namespace, netlink.links_up) == ("lo",)
        assert all(map(ended, within))
    after = outer.do(lambda: (Path("/proc/thread-self/net/dev").read_text().count("\n"), netlink.links_up()))
    assert after == before


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.3, 0.8])
def test_killed_at_any_moment_it_takes_all_along(delay: float) -> None:
    """kill -9 of the parent while it starts, stands, or answers."""
    needs_root()
    code = f"""
import sys; sys.path[:] = {sys.path!r}
from scanner.runtime.sinkhole.sink import Sink
import time
with Sink(int(sys.argv[1])) as sink:
    print(sink.pid, flush=True); time.sleep(60)
"""
    with paused() as pause:
        parent = subprocess.Popen(
            [sys.executable, "-c", code, str(pause.process.pid)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        time.sleep(delay)
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
        gone = lambda: netlink.in_namespace(pause.namespace, netlink.links_up) == ("lo",)  # noqa: E731
        assert wait_for(gone)
        assert wait_for(lambda: not _children_of(parent.pid))


def test_killed_while_it_answers_it_takes_all_along() -> None:
    needs_root()
    code = f"""
import sys; sys.path[:] = {sys.path!r}
from scanner.runtime.sinkhole.sink import Sink
import time
with Sink(int(sys.argv[1])) as sink:
    print(sink.pid, flush=True); time.sleep(60)
"""
    with paused() as pause:
        parent = subprocess.Popen(
            [sys.executable, "-c", code, str(pause.process.pid)], stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout is not None
        sink = int(parent.stdout.readline())
        within = inhabitants(Path(f"/proc/{sink}/ns/net").stat().st_ino)
        assert sink in within
        assert "eth0" in netlink.in_namespace(pause.namespace, netlink.links_up)
        parent.kill()
        parent.communicate()

        # the parent would have slept for 60 seconds
        assert wait_for(lambda: netlink.in_namespace(pause.namespace, netlink.links_up) == ("lo",))
        assert wait_for(lambda: all(map(ended, within)))


def test_a_dead_child_makes_the_observation_incomplete_and_says_what_was_seen(outer: Outer) -> None:  # noqa: F811
    with paused() as pause:

        def run() -> SinkError:
            with Sink(pause.process.pid) as sink:
                pause.run('tcp("203.0.113.1", 80, b"GET / HTTP/1.0\\r\\n\\r\\n"); time.sleep(0.2)')
                os.kill(sink.pid, signal.SIGKILL)
                with pytest.raises(SinkError, match="ended by signal 9") as error:
                    sink.finish()
                return error.value

        error = outer.do(run)

    assert error.seen is not None
    assert [a.target.display for a in error.seen.attempts] == ["203.0.113.1:80"]


def test_a_child_that_hangs_is_not_waited_for(outer: Outer, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("scanner.runtime.sinkhole.sink._MARGIN", 0.5)

    with paused() as pause:

        def run() -> float:
            with Sink(pause.process.pid, SinkOptions(finish_seconds=0.1)) as sink:
                os.kill(sink.pid, signal.SIGSTOP)
                began = time.monotonic()
                with pytest.raises(SinkError, match="does not answer"):
                    sink.finish()
                return time.monotonic() - began

        assert outer.do(run) < 15  # the child sleeps until it is killed


def test_only_a_namespace_without_a_network_is_led_into_the_sinkhole(outer: Outer) -> None:  # noqa: F811
    def enter(pid: int) -> None:
        with Sink(pid):
            pass

    # this process stands where the machine's own network is, or where its container's is
    with pytest.raises(SinkError, match="has a network already"):
        outer.do(lambda: enter(os.getpid()))
    with paused() as pause:
        outer.do(lambda: enter(pause.process.pid))
        standing = Sink(pause.process.pid)
        outer.do(standing.__enter__)
        with pytest.raises(SinkError, match=r"has a network already \(lo, eth0\)"):
            outer.do(lambda: enter(pause.process.pid))
        standing.__exit__(None, None, None)
    with pytest.raises(SinkError, match="is not there"):
        outer.do(lambda: enter(pause.process.pid))


def test_where_no_method_works_there_is_an_error_and_no_network(outer: Outer) -> None:  # noqa: F811
    with paused() as pause:

        def enter() -> None:
            with Sink(pause.process.pid, SinkOptions(methods=())):
                pass

        with pytest.raises(SinkError, match="nothing leads every connection to the sink"):
            outer.do(enter)
        assert netlink.in_namespace(pause.namespace, netlink.links_up) == ("lo",)


def test_a_fault_of_the_one_who_is_asked_is_an_error(outer: Outer) -> None:  # noqa: F811
    def who(*_: object) -> int:
        raise RuntimeError("no idea")

    with paused() as pause:

        def run() -> None:
            with Sink(pause.process.pid, SinkOptions(who=who)) as sink:
                pause.run('udp("203.0.113.1", 9)')
                sink.finish()

        with pytest.raises(SinkError, match="RuntimeError: no idea"):
            outer.do(run)


def test_without_root_it_is_said_before_anything_starts() -> None:
    code = f"""
import sys; sys.path[:] = {sys.path!r}
import os
from scanner.runtime.sinkhole.sink import check, SinkError
import scanner.runtime.sinkhole.wiring, scanner.runtime.sinkhole.tproxy
import ctypes, struct
libc = ctypes.CDLL(None)
assert libc.capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *[0] * 6)) == 0
try: check()
except SinkError as e: print(e)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "the sinkhole needs root" in done.stdout
    assert "CAP_SYS_ADMIN" in done.stdout


def test_the_check_builds_one_and_leaves_nothing() -> None:
    needs_root()
    gc.collect()  # what other tests let go is closed before it is counted
    before = (Path("/proc/net/dev").read_text().count("\n"), len(list(Path("/proc/self/fd").iterdir())))
    check()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before[1]
    assert Path("/proc/net/dev").read_text().count("\n") == before[0]


def _children_of(pid: int) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*/status"):
        try:
            text = place.read_text("utf-8", "replace")  # a name is any bytes
        except OSError:
            continue
        if f"\nPPid:\t{pid}\n" in text:
            found.append(int(place.parent.name))
    return found
