"""Real packets through real rules: a sandbox, a sibling, a host that forwards, and a world, in namespaces of our own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engine_fixture import missing, program

BRIDGE, UPLINK = "br-abc", "up0"
SANDBOX, SIBLING, GATEWAY, HOST, WORLD = "172.30.5.2", "172.30.5.3", "172.30.5.1", "198.51.100.10", "198.51.100.1"
ELSEWHERE = ("203.0.113.10", "203.0.113.77", "10.77.0.1")
TCP, UDP = (22, 80, 443, 8080), (53, 9999)
WAIT = 0.15
NETNS = "sandscan-test-"
"""How the names of its namespaces begin: they are the machine's, and other tests look whether names are left there."""

SERVER = r"""
import json, select, socket, sys, threading
tcp, udp = json.loads(sys.argv[1])
socks = {}
for port in tcp:
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", port)); s.listen(64); socks[s] = "tcp"
for port in udp:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", port)); s.setsockopt(0, 8, 1); socks[s] = "udp"
seen = []
def sniff():
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    while True:
        data, where = raw.recvfrom(2048)
        if where[2] == 4: continue  # what this side sends itself
        at = (data[0] & 15) * 4
        dst = socket.inet_ntoa(data[16:20])
        if data[9] in (6, 17):
            if data[9] == 6 and data[at + 13] & 0x12 != 2: continue
            seen.append([{6: "tcp", 17: "udp"}[data[9]], dst, int.from_bytes(data[at + 2:at + 4], "big")])
        elif data[9] == 1 and data[at] == 8: seen.append(["icmp", dst, 0])
def answer():
    while True:
        for s in select.select(list(socks), [], [])[0]:
            if socks[s] == "tcp": s.accept()[0].close()
            else:
                data, control, _, who = s.recvmsg(2048, 256)
                info = next(d for level, kind, d in control if (level, kind) == (0, 8))
                packed = [(0, 8, bytes(4) + info[8:12] + bytes(4))]
                try: s.sendmsg([data], packed, 0, who)
                except OSError: pass
threading.Thread(target=sniff, daemon=True).start(); threading.Thread(target=answer, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(seen), flush=True); seen.clear()
"""

CLIENT = r"""
import json, os, select, socket, struct, sys, time
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data)); total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff
print("ready", flush=True)
for line in sys.stdin:
    wait, probes = json.loads(line)
    got = [False] * len(probes); reading, writing, pings = {}, {}, {}
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); raw.setblocking(False)
    for i, (kind, host, port) in enumerate(probes):
        try:
            if kind == "tcp":
                for own in (0, port):  # rules may look at the sender's port, which is his to choose
                    s = socket.socket(); s.setblocking(False); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.bind(("", own)); writing[s] = i; s.connect_ex((host, port))
            elif kind == "udp":
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setblocking(False); reading[s] = i; s.sendto(b"probe", (host, port))
            else:
                ident = int.from_bytes(os.urandom(2), "big"); pings[ident] = i
                head = struct.pack("!BBHHH", 8, 0, 0, ident, 1); head = struct.pack("!BBHHH", 8, 0, checksum(head), ident, 1)
                raw.sendto(head, (host, 0))
        except OSError: pass
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0 and (writing or reading or pings):
        r, w, _ = select.select([*reading, raw], list(writing), [], left)
        for s in w: i = writing.pop(s); got[i] |= s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0; s.close()
        for s in r:
            if s is raw:
                data = raw.recv(2048); at = (data[0] & 15) * 4
                if data[at] == 0:
                    i = pings.pop(int.from_bytes(data[at + 4:at + 6], "big"), None)
                    if i is not None: got[i] = True
            else:
                i = reading.pop(s)
                try: s.recv(100); got[i] = True
                except OSError: pass
                s.close()
    for s in [*reading, *writing, raw]: s.close()
    print(json.dumps(got), flush=True)
"""


@dataclass(frozen=True)
class Lab:
    """`host` is the namespace whose rules are tried; the processes answer lines of JSON."""

    host: str
    sandbox: str
    client: Any
    watchers: tuple[tuple[str, Any], ...]

    def run(self, *command: str, given: str | None = None, inside: str | None = None) -> str:
        done = subprocess.run(
            ["ip", "netns", "exec", inside or self.host, *command],
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}\n{given or ''}"
        return done.stdout

    def probe(self, probes: list[tuple[str, str, int]], wait: float) -> dict[tuple[str, str, int], str]:
        """`reached` (and answered), `one-way` (it arrived), or `no`, of each (protocol, address, port)."""
        for _, watcher in self.watchers:
            _asked(watcher, None)
        got = _asked(self.client, [wait, probes])
        time.sleep(0.02)
        seen = {(kind, host, port) for _, w in self.watchers for kind, host, port in _asked(w, None)}
        return {p: "reached" if ok else "one-way" if p in seen else "no" for p, ok in zip(probes, got, strict=True)}


def _asked(process: Any, what: Any) -> Any:
    process.stdin.write(json.dumps(what) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@contextmanager
def packet_lab() -> Iterator[Lab]:
    """sandbox and sibling on the host's bridge, the world behind its uplink; the world routes answers back."""
    if os.geteuid() != 0:
        missing("root, for network namespaces")
    ip = program("ip")
    prefix = f"{NETNS}{os.getpid()}-"
    names = {n: f"{prefix}{n}" for n in ("sandbox", "sibling", "host", "world")}

    def do(*words: str) -> None:
        done = subprocess.run([ip, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"a kernel that makes network namespaces ({done.stderr.strip()})")

    with ExitStack() as stack:
        for name in names.values():
            do("netns", "add", name)
            stack.callback(subprocess.run, [ip, "netns", "del", name], capture_output=True, check=False)
            do("-n", name, "link", "set", "lo", "up")
        do("-n", names["host"], "link", "add", BRIDGE, "type", "bridge")
        do("-n", names["host"], "addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        do("-n", names["host"], "link", "set", BRIDGE, "up")
        for name, address in (("sandbox", SANDBOX), ("sibling", SIBLING)):
            port = f"v{name}"
            do(
                "link",
                "add",
                port,
                "netns",
                names["host"],
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                names[name],
            )
            do("-n", names["host"], "link", "set", port, "master", BRIDGE, "up")
            do("-n", names[name], "addr", "add", f"{address}/24", "dev", "eth0")
            do("-n", names[name], "link", "set", "eth0", "up")
            do("-n", names[name], "route", "add", "default", "via", GATEWAY)
        do("link", "add", UPLINK, "netns", names["host"], "type", "veth", "peer", "name", "w0", "netns", names["world"])
        do("-n", names["host"], "addr", "add", f"{HOST}/24", "dev", UPLINK)
        do("-n", names["host"], "link", "set", UPLINK, "up")
        do("-n", names["world"], "addr", "add", f"{WORLD}/24", "dev", "w0")
        do("-n", names["world"], "link", "set", "w0", "up")
        for address in ELSEWHERE:
            do("-n", names["world"], "addr", "add", f"{address}/32", "dev", "lo")
        do("-n", names["host"], "route", "add", "default", "via", WORLD)
        do("-n", names["world"], "route", "add", "172.30.5.0/24", "via", HOST)
        switches = "echo 1 > /proc/sys/net/ipv4/ip_forward; for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done; echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables || true"
        lab = Lab(names["host"], names["sandbox"], None, ())
        lab.run("sh", "-c", switches)

        def start(name: str, code: str, *arguments: str) -> Any:
            process = subprocess.Popen(
                [ip, "netns", "exec", names[name], sys.executable, "-c", code, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            return process

        served = json.dumps([TCP, UDP])
        watchers = tuple((n, start(n, SERVER, served)) for n in ("world", "host", "sibling"))
        yield Lab(names["host"], names["sandbox"], start("sandbox", CLIENT), watchers[:1])


def bridges_are_filtered() -> bool:
    """Whether the kernel hands bridged frames to iptables in namespaces (br_netfilter)."""
    return Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists()
