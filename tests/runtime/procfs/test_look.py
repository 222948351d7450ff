"""Looks at real processes of this machine, without an engine: in namespaces of their own, hiding, ending, many."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scanner.model.run import Program
from scanner.runtime.procfs import Seen, inside, look, opened, processes
from scanner.runtime.procfs.namespaces import unix_sockets, within
from scanner.runtime.procfs.reading import ProcessFolder
from tests.engine_fixture import missing, program

if os.geteuid() != 0:
    missing("root, for namespaces")


@contextmanager
def apart(code: str, *flags: str) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """A Python program in new namespaces; gives its number here. It says `ready` when it is."""
    command = [program("unshare"), *flags, "--kill-child", sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("ready"), line
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            yield (int(children[0]) if children else process.pid), process
        finally:
            process.kill()


READY = "print('ready', flush=True)\nimport sys\nsys.stdin.read()\n"


def seen_with(pid: int, what: Callable[[Seen], bool]) -> Seen:
    """A look, once what has to be seen is there: a child that was started is for a moment what its parent is."""
    end = time.monotonic() + 30
    while not what(found := look(pid)):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def runs(*words: str) -> Callable[[Seen], bool]:
    return lambda seen: any(p.command == words for p in seen.processes)


def test_a_network_namespace_is_told_with_its_firewall() -> None:
    with apart(READY, "-n", "-p", "-f") as (pid, _):
        enter = ["nsenter", f"--net=/proc/{pid}/ns/net", "sh", "-ec"]
        made = (
            "ip link add wan type veth peer name far; ip link set far up; ip addr add 192.0.2.2/24 dev wan; ip link set wan up; ip link set lo up;"
            "ip -6 addr add fd00:7::2/64 dev wan nodad; ip route add default via 192.0.2.1; ip route add unreachable 198.51.100.0/24;"
            "nft add table inet own; nft add chain inet own out '{ type filter hook output priority 0; policy drop; }'"
        )
        subprocess.run([*enter, made], check=True)
        namespace = look(pid).namespace
        assert namespace is not None
        assert {"lo 127.0.0.1/8", "wan 192.0.2.2/24", "wan fd00:7::2/64"} <= set(namespace.interfaces)
        assert "default via 192.0.2.1 dev wan" in namespace.routes
        assert any(r.startswith("198.51.100.0/24 unreachable") for r in namespace.routes)
        assert any(r.startswith("fd00:7::/64 dev wan") for r in namespace.routes)
        assert namespace.firewall is not None
        assert "policy drop" in namespace.firewall
        assert "own" in namespace.firewall


def _ours() -> tuple[Path, int, int]:
    """Our namespace, and how many files and threads we have."""
    return (
        Path("/proc/self/ns/net").readlink(),
        len([*Path("/proc/self/fd").iterdir()]),
        len([*Path("/proc/self/task").iterdir()]),
    )


def test_a_look_leaves_our_own_namespace_as_it_was() -> None:
    before = _ours()
    with apart(READY, "-n", "-p", "-f") as (pid, _):
        look(pid)
    end = time.monotonic() + 10  # a thread that was joined is the kernel's for a moment yet
    while _ours() != before and time.monotonic() < end:
        time.sleep(0.01)
    assert _ours() == before


def test_what_is_done_within_a_namespace_is_done_there() -> None:
    with apart(READY, "-n") as (pid, _), ProcessFolder(pid) as folder:
        at = folder.open("ns/net", os.O_RDONLY)
        assert at is not None
        try:
            assert within(at, lambda: [name for _, name in socket.if_nameindex()]) == ["lo"]
            with pytest.raises(ZeroDivisionError):
                within(at, lambda: 1 // 0)
        finally:
            os.close(at)


def test_a_process_in_a_namespace_within_is_found_by_descent_and_by_namespace() -> None:
    inner = (
        f"import subprocess, sys\np = subprocess.Popen(['{program('unshare')}', '-p', '-f', 'sleep', '70'])\n" + READY
    )
    with apart(inner, "-p", "-f") as (pid, _):
        found = seen_with(pid, runs("sleep", "70"))
        assert [p.command for p in found.processes if p.command[0] == "sleep"] == [("sleep", "70")]
        [sleeper] = [p for p in found.processes if p.command[0] == "sleep"]
        assert sleeper.inner == 1
        assert Path(f"/proc/{sleeper.pid}/status").read_text().count("\t1\n") >= 1


def test_an_orphan_in_the_namespace_is_found() -> None:
    code = (
        "import os\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "        os.setsid(); os.execvp('sleep', ['sleep', '71'])\n"
        "    os._exit(0)\n"
        "os.wait()\n" + READY
    )
    with apart(code, "-p", "-f") as (pid, _):
        found = seen_with(pid, runs("sleep", "71"))
        [orphan] = [p for p in found.processes if p.command == ("sleep", "71")]
        assert orphan.parent == pid


def test_a_process_that_has_ended_is_no_error() -> None:
    with apart(READY, "-p", "-f") as (pid, process):
        seen = look(pid)
        [member] = [m for m in seen.members if m.pid == pid]
        process.kill()
        process.wait()
        end = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert opened(member) is None
        assert seen.programs(pid) is None
        assert look(pid) == Seen((), (), None, (), look(pid).programs) or look(pid).members == ()


def test_a_program_from_memory_is_read_whole() -> None:
    payload = program("sleep")
    code = (
        "import os\nfd = os.memfd_create('x', 0)\n"
        f"os.write(fd, open('{payload}', 'rb').read())\n"
        "pid = os.fork()\n"
        "if not pid: os.execve(f'/proc/self/fd/{fd}', ['quiet', '72'], {})\n" + READY
    )
    with apart(code, "-p", "-f") as (pid, _):
        seen = seen_with(pid, runs("quiet", "72"))
        [member] = [m for m in seen.members if m.process.program is Program.MEMFD]
        assert member.process.executable == b"/memfd:x"
        assert not member.pretends
        file = seen.programs(member.pid)
        assert file is not None
        with file:
            assert file.read() == Path(payload).read_bytes()


def test_a_file_that_is_named_deleted_is_not(tmp_path: Path) -> None:
    named = tmp_path / "tool (deleted)"
    named.write_bytes(Path(program("sleep")).read_bytes())
    named.chmod(0o755)
    process = subprocess.Popen([named, "73"])
    try:
        [one] = [p for p in seen_with(process.pid, runs(str(named), "73")).processes if p.pid == process.pid]
        assert (one.program, one.executable) == (Program.FILE, bytes(named))
        named.unlink()
        [one] = [p for p in look(process.pid).processes if p.pid == process.pid]
        assert (one.program, one.executable) == (Program.DELETED, bytes(named))
    finally:
        process.kill()
        process.wait()


def test_no_link_leads_out_of_a_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (tmp_path / "secret").write_text("outside")
    (root / "etc/passwd").symlink_to("../../../../../../../../" + str(tmp_path / "secret"))
    (root / "etc/absolute").symlink_to("/real")
    (root / "real").write_text("inside")
    (root / "etc/magic").symlink_to("/proc/self/root/etc/passwd")
    os.mkfifo(root / "etc/pipe")
    code = f"import os\nos.chroot({str(root)!r})\nos.chdir('/')\nimport sys\nprint('ready', flush=True)\nsys.stdin.read()\n"
    with apart(code) as (pid, _), ProcessFolder(pid) as folder, inside.Root(folder) as opened_root:
        assert opened_root.read(b"etc/absolute", 100) == b"inside"
        assert opened_root.read(b"/real", 3) == b"ins"
        for path in (b"etc/passwd", b"etc/magic", b"etc/pipe", b"etc", b"none", b"", b"real\0x/y", b"../../secret"):
            assert opened_root.read(path, 100) in (None, b"inside"), path
            assert opened_root.read(path, 100) != b"outside"


def test_a_lie_in_a_unix_sockets_name_is_not_believed(tmp_path: Path) -> None:
    """A name may hold a line that looks like another socket's; the kernel's own answer has no lines."""
    lie = b"\0x\n0000: 00000002 00000000 00010000 0001 01 424242 /run/docker.sock"
    code = f"import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind({lie!r})\ns.listen()\n" + READY
    with apart(code, "-n", "-p", "-f") as (pid, _):
        assert b"424242 /run/docker.sock" in Path(f"/proc/{pid}/net/unix").read_bytes()
        [only] = [s for s in look(pid).sockets if s.kind == "unix"]
        assert only.inode != 424242
        assert only.local is not None
        assert "\n" not in only.local.address
        assert only.says != "engine socket of its own"
        with ProcessFolder(pid) as folder:
            at = folder.open("ns/net", os.O_RDONLY)
            assert at is not None
            assert [s.name for s in unix_sockets(at)] == [lie]
            os.close(at)


def test_a_socket_of_a_namespace_that_was_left_is_named() -> None:
    code = (
        "import ctypes, os, socket\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "assert ctypes.CDLL(None).unshare(0x40000000) == 0\n" + READY
    )
    with apart(code, "-n", "-p", "-f") as (pid, _):
        held = {(s.kind, s.says) for s in look(pid).sockets if s.pids == (pid,)}
        assert ("tcp", "of another network namespace") in held


def test_many_processes_and_sockets_stay_quick() -> None:
    """200 processes and 2,000 sockets; the time for 5,000 and 20,000 follows from it."""
    code = (
        "import os, resource, socket\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))\n"
        "import subprocess; subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)\n"
        "server = socket.create_server(('127.0.0.1', 0), backlog=2000)\n"
        "held = []\n"
        "for _ in range(1000):\n"
        "    held += [socket.create_connection(server.getsockname()), server.accept()[0]]\n"
        "closed, closing = os.pipe()\n"
        "for _ in range(200):\n"
        "    if os.fork() == 0:\n"
        "        [s.close() for s in held]; os.write(closing, b'x'); import time; time.sleep(60); os._exit(0)\n"
        "for _ in range(200):\n"
        "    os.read(closed, 1)\n" + READY
    )
    with apart(code, "-n", "-p", "-f") as (pid, _):
        begin = time.process_time()
        seen = look(pid)
        spent = time.process_time() - begin
        assert len(seen.processes) == 201
        established = [s for s in seen.sockets if s.state == "established"]
        assert len(established) == 2000
        assert all(s.pids == (pid,) for s in established)
        assert spent < 3


def test_sockets_of_a_shared_namespace_are_those_that_it_holds() -> None:
    """A container on the host's network: what the host's own programs hold is not the container's."""
    with socket.create_server(("127.0.0.1", 0)) as ours, apart(READY) as (pid, _):
        assert look(pid).sockets == ()
        [mine] = [s for s in look(os.getpid()).sockets if s.local and s.local.port == ours.getsockname()[1]]
        assert mine.pids[0] == os.getpid()


def test_command_lines_without_end_do_not_fill_our_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_ALL_WORDS", 100_000)
    code = (
        "import subprocess\n"
        "held = [subprocess.Popen(['sleep', '74'], env={'X': 'y' * 100000}) for _ in range(3)]\n" + READY
    )
    with apart(code, "-p", "-f") as (pid, _):
        seen = seen_with(pid, lambda seen: [p.command for p in seen.processes].count(("sleep", "74")) == 3)
        assert len(seen.processes) == 4
        assert any("the environments of 2 processes: longer than 4096 bytes" in text for text in seen.unseen)


def test_a_process_whose_first_thread_has_ended_is_seen_through_another() -> None:
    """To the kernel its leader is a zombie: no command line, no program, no memory, while the others work on."""
    code = (
        "import ctypes, socket, threading, time\n"
        "held = socket.create_server(('127.0.0.1', 0))\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print('ready', flush=True)\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    with apart(code, "-n", "-p", "-f") as (pid, _):
        deadline = time.monotonic() + 10
        while ") Z " not in Path(f"/proc/{pid}/stat").read_text():
            assert time.monotonic() < deadline, "its first thread did not end"
            time.sleep(0.01)
        seen = look(pid)
        member = seen.member(pid)
        assert member is not None
        assert member.thread != pid
        assert member.words[-1] == code
        assert member.process.inner == 1
        assert member.process.executable is not None
        assert seen.namespace is not None
        assert [s.pids for s in seen.sockets if s.state == "listen" and s.kind == "tcp"] == [(pid,)]
        program_ = opened(member)
        assert program_ is not None
        with program_:
            assert program_.read(4) == b"\x7fELF"


def test_nobody_is_waited_for_who_holds_a_lease_on_a_file(tmp_path: Path) -> None:
    """Whoever opens such a file waits for its holder, by default for 45 seconds."""
    path = tmp_path / "script"
    path.write_bytes(b"#!/bin/sh\n")
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    with path.open("rb+") as held:
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        began = time.monotonic()
        assert inside._regular(os.open(path, os.O_PATH)) is None
        assert time.monotonic() - began < 20
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    signal.signal(signal.SIGIO, signal.SIG_DFL)


def test_nobody_is_waited_for_who_never_hands_out_its_words() -> None:
    """Its arguments lie in memory whose first use the process itself has to answer (userfaultfd(2)), and it does not."""
    code = (
        "import ctypes, fcntl, os, struct\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "asks = libc.syscall({'x86_64': 323}.get(os.uname().machine, 282), os.O_CLOEXEC)\n"
        "assert asks >= 0\n"
        "fcntl.ioctl(asks, 0xC018AA3F, struct.pack('QQQ', 0xAA, 0, 0))\n"
        "fields = open('/proc/self/stat').read().rpartition(')')[2].split()\n"
        "start, end = (int(fields[45]) + 4095) & ~4095, int(fields[46]) & ~4095\n"
        "libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)\n"
        "assert libc.mmap(start, end - start, 3, 0x32, -1, 0) == start\n"
        "fcntl.ioctl(asks, 0xC020AA00, struct.pack('QQQQ', start, end - start, 1, 0))\n" + READY
    )
    with apart(code + "#" * 30_000, "-n", "-p", "-f") as (pid, _):
        began = time.monotonic()
        member = look(pid).member(pid)
        assert time.monotonic() - began < 40
        assert member is not None
        assert 0 < sum(map(len, member.words)) < 10_000


def test_a_socket_of_a_thread_with_files_of_its_own_is_its_processs() -> None:
    code = (
        "import ctypes, socket, threading, time\n"
        "def work():\n"
        "    assert ctypes.CDLL(None).unshare(0x400) == 0\n"
        "    held = socket.create_server(('127.0.0.1', 0))\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "threading.Thread(target=work).start()\n"
    )
    with apart(code, "-n", "-p", "-f") as (pid, _):
        assert [s.pids for s in look(pid).sockets if s.state == "listen" and s.kind == "tcp"] == [(pid,)]
