"""A machine for the sinkhole's tests: an outer namespace with an uplink of its own (which leads nowhere), pauses, and guests.

Everything here lies in network namespaces that end with the tests; the machine's own is never touched.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from scanner.runtime.sinkhole import netlink
from scanner.runtime.sinkhole.sink import Sink, SinkError, SinkOptions, SinkResult, check
from tests.engine_fixture import missing

T = TypeVar("T")

GUEST = """
import socket, struct, sys, time, json, os, ctypes
def address(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return family, socket.getaddrinfo(host, port, family)[0][4]
def tcp(host, port, data=b"", wait=9, answer=True):
    family, where = address(host, port)
    s = socket.socket(family); s.settimeout(wait); s.connect(where)
    if data: s.sendall(data)
    got = b""
    if answer:
        try: got = s.recv(4096)
        except OSError: pass
    s.close()
    return got
def udp(host, port, data=b"x", wait=0.0):
    family, where = address(host, port)
    s = socket.socket(family, socket.SOCK_DGRAM); s.setsockopt(1, 6, 1); s.settimeout(wait or None)
    s.sendto(data, where)
    if not wait: return None
    try: got, peer = s.recvfrom(4096)
    except TimeoutError: return None
    return got, peer[0].split("%")[0], peer[1]
def query(name, kind=1, extra=b""):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    return struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 1 if extra else 0) + labels + b"\\0" + struct.pack(">HH", kind, 1) + extra
"""


def needs_root() -> None:
    """Ends the test where no sinkhole can stand."""
    try:
        check()
    except SinkError as e:
        missing(f"a machine for the sinkhole ({e})")


class Outer:
    """One thread in a network namespace of its own: what sandscan's side does, it does there."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, initializer=netlink.unshare_network)
        self.do(self._uplink)

    def do(self, function: Callable[[], T]) -> T:
        return self._thread.submit(function).result()

    def close(self) -> None:
        self._thread.shutdown()

    def _uplink(self) -> None:
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        netlink.set_up("lo")
        netlink.add_veth("up0", "up1", here, bytes.fromhex("020000000001"))
        os.close(here)
        for name in ("up0", "up1"):
            netlink.set_sysctl(f"net/ipv6/conf/{name}/addr_gen_mode", 1)  # so that the kernel says nothing by itself
            netlink.set_up(name, arp=False)
        netlink.add_address("up0", "198.51.100.1", 24)
        netlink.add_address("up0", "2001:db8:1::1", 64)
        netlink.add_route("0.0.0.0/0", "up0", via="198.51.100.254")
        netlink.add_route("::/0", "up0", via="2001:db8:1::fe")
        self.inode = Path("/proc/thread-self/ns/net").stat().st_ino


class Pause:
    """A process in a network namespace of its own, as the pause container is; it ends with us."""

    def __init__(self) -> None:
        self.process = netlink.in_new_namespace(self._start)
        self.namespace = os.open(f"/proc/{self.process.pid}/ns/net", os.O_RDONLY)
        self.inode = os.fstat(self.namespace).st_ino

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        netlink.set_up("lo")
        # as Docker's `none` network leaves it
        netlink.set_sysctl("net/ipv6/conf/all/disable_ipv6", 1)
        return process

    def run(self, code: str, seconds: float = 30) -> Any:
        """A guest runs `code` there; what it leaves in `result`."""
        guest = self.start(textwrap.dedent(code) + "\nprint(json.dumps(globals().get('result'), default=repr))")
        try:
            said, complaint = guest.communicate(timeout=seconds)
        finally:
            guest.kill()
        assert guest.returncode == 0, complaint
        return json.loads(said.splitlines()[-1])

    def start(self, code: str) -> "subprocess.Popen[str]":
        """A guest that runs `code` there; whoever starts it ends it."""
        words = [sys.executable, "-I", "-c", GUEST + textwrap.dedent(code)]
        return netlink.in_namespace(
            self.namespace,
            lambda: subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True),
        )

    def close(self) -> None:
        os.close(self.namespace)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(5)


class Canary:
    """Everything that passes any link of the thread's namespace."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(3))

    def frames(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(2048))
            except BlockingIOError:
                return found


@contextmanager
def paused() -> Iterator[Pause]:
    pause = Pause()
    try:
        yield pause
    finally:
        pause.close()


def observed(
    outer: Outer, code: str, options: SinkOptions | None = None, seconds: float = 30
) -> tuple[Any, SinkResult]:
    """A guest's `result` of `code` in a sinkhole, and what the sinkhole saw."""
    with paused() as pause:

        def run() -> tuple[Any, SinkResult]:
            with Sink(pause.process.pid, options) as sink:
                result = pause.run(code, seconds)
                return result, sink.finish()

        return outer.do(run)


@pytest.fixture(scope="session")
def outer() -> Iterator[Outer]:
    needs_root()
    made = Outer()
    yield made
    made.close()


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def inhabitants(inode: int) -> list[int]:
    """The processes that live in that network namespace. The kernel gives the number of one that is gone to the next that anybody
    makes, so that it says nothing afterwards: whether these have ended does."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            if (place / "ns/net").stat().st_ino == inode:
                found.append(int(place.name))
    return found


def ended(pid: int) -> bool:
    """It is gone, or waits for its new parent to notice."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def ethernet(payload: bytes, kind: int = 0x0800) -> bytes:
    return bytes(12) + struct.pack(">H", kind) + payload
