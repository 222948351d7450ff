"""Nothing of a guest leaves: a canary on every interface where sandscan and the engine run sees no frame, and all is as it was before.

The place is a network namespace of the test's own, with an uplink that leads nowhere, addresses, a firewall, a bridge of the engine's
and servers; the guest has NET_RAW and NET_ADMIN, for its launch grants them.
"""

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scanner.runtime.sinkhole import netlink
from tests.runtime.evader import MARK
from tests.runtime.evading import IMAGE, Ground, Shown, ground

__all__ = ["ground"]

pytestmark = pytest.mark.engine

HOST4, HOST6, BRIDGE = "192.0.2.1", "2001:db8::1", "198.18.5.1"
OUTSIDE4, OUTSIDE6 = "203.0.113.5", "2001:db8:1::5"
METADATA4, METADATA6 = "169.254.169.254", "fd00:ec2::254"
ABSTRACT = "@sandscan-canary"
PLACE = f"""
ip link set lo up
ip link add uplink type bridge
ip addr add {HOST4}/24 dev uplink
ip addr add {HOST6}/64 dev uplink nodad
ip link set uplink up
ip route add default via 192.0.2.254 dev uplink
ip -6 route add default via 2001:db8::254 dev uplink
ip neigh add 192.0.2.254 lladdr 02:00:00:00:00:fe dev uplink nud permanent
ip -6 neigh add 2001:db8::254 lladdr 02:00:00:00:00:fe dev uplink nud permanent
nft add table inet kept
nft add chain inet kept forward {{ type filter hook forward priority 0 ; policy drop ; }}
nft add rule inet kept forward ip daddr {METADATA4} drop
"""
LAUNCH = """
services:
  agent:
    image: IMAGE
    network_mode: host
    privileged: false
    cap_add: [NET_RAW, NET_ADMIN]
    security_opt: ["seccomp:unconfined"]
    volumes: ["SOCKET:SOCKET"]
"""
STEPS = (
    (
        f"out_streams {OUTSIDE4},80 {OUTSIDE6},443 {METADATA4},80 {METADATA6},80 {HOST4},8080 {HOST6},8080 {BRIDGE},2375 "
        "172.17.0.1,2375 10.0.0.1,22 fe80::1%eth0,80 ::ffff:203.0.113.6,80 127.0.0.1,8080"
    ),
    f"out_datagrams {OUTSIDE4},443 {OUTSIDE6},443 {HOST4},8080 {BRIDGE},8080 255.255.255.255,9 224.0.0.251,5353 ff02::1%eth0,9",
    f"out_echoes {OUTSIDE4} {OUTSIDE6} {HOST4} {METADATA4}",
    f"out_names 198.51.100.53 2001:db8:1::53 {HOST4}",
    f"out_raw {OUTSIDE4} {HOST4} {OUTSIDE6}",
    "doh",
    "io_uring",
    "+out_links",
    "+out_down",
)


@dataclass
class Canary:
    """What is seen on all interfaces of the place, and who came to its servers."""

    frames: socket.socket
    servers: list[socket.socket]

    def seen(self) -> list[bytes]:
        """All frames so far, but what a kernel says by itself on a new link (neighbour discovery and multicast reports of IPv6)."""
        found = []
        with suppress(BlockingIOError):
            while True:
                frame, (_, kind, *_) = self.frames.recvfrom(65_536)
                link = frame[:12] != bytes(12) and kind == 0x86DD and frame[20] in (0, 58) and MARK not in frame
                if not link:
                    found.append(frame)
        return found

    def visitors(self) -> int:
        came = 0
        for server in self.servers:
            with suppress(BlockingIOError):
                while True:
                    server.accept()[0].close()
                    came += 1
        return came


@dataclass
class Spaces:
    """The network namespaces of the pause and of the sink, by a handle each, so that their numbers are not given to others."""

    found: dict[str, int] = field(default_factory=dict)

    def look(self, ground: Ground) -> None:
        ours = {c["Id"].encode() for c in ground.client.api.containers()}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes()
                if words.startswith(b"/pause\0"):
                    mine = any(one in (folder / "cgroup").read_bytes() for one in ours)
                elif b"scanner.runtime.sinkhole.child" in words:
                    mine = ground.engine.host.encode() in Path(f"/proc/{_parent(folder)}/environ").read_bytes()
                else:
                    continue
                name = str((folder / "ns/net").readlink())
                if mine and name not in self.found and name != str(Path("/proc", str(ground.pid), "ns/net").readlink()):
                    self.found[name] = os.open(folder / "ns/net", os.O_RDONLY)


def _parent(folder: Path) -> str:
    return (folder / "stat").read_text().rpartition(")")[2].split()[1]


def held(spaces: Collection[str]) -> set[str]:
    """Which of the namespaces a process is in still."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.add(str((folder / "ns/net").readlink()))
    return found & set(spaces)


def within(ground: Ground, words: str) -> str:
    command = [*ground.within, *words.split()]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def state(ground: Ground) -> dict[str, str]:
    """All that an observation could leave: the place's network, byte for byte, and what the engine holds."""
    told = {
        words: within(ground, words)
        for words in (
            "ip -o link",
            "ip -o addr",
            "ip route show table all",
            "ip -6 route show table all",
            "ip rule",
            "ip -6 rule",
            "ip neigh",
            "nft list ruleset",
            "iptables-save",
            "ip6tables-save",
            "sysctl -a --pattern ^net.ipv[46].conf",
        )
    }
    told = {
        words: re.sub(r"(?m)^#.*$|valid_lft \S+ preferred_lft \S+|expires \S+", "", text)
        for words, text in told.items()
    }
    api = ground.client.api
    told["containers"] = str(sorted(c["Id"] for c in api.containers(all=True)))
    told["volumes"] = str(sorted(v["Name"] for v in api.volumes()["Volumes"] or ()))
    told["networks"] = str(sorted(n["Id"] for n in api.networks()))
    told["images"] = str(
        sorted(t for i in api.images() for t in i["RepoTags"] or () if not t.startswith("sandscan-pause:"))
    )
    return told


@contextmanager
def canary(ground: Ground) -> Iterator[Canary]:
    place = os.open(f"/proc/{ground.pid}/ns/net", os.O_RDONLY)

    def opened() -> Canary:
        frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL of every interface
        frames.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        servers = [socket.create_server(("", 8080)), socket.create_server(("", 2375)), socket.socket(socket.AF_UNIX)]
        servers.append(socket.create_server(("::", 8081), family=socket.AF_INET6))
        servers[2].bind(ABSTRACT.replace("@", "\0"))
        servers[2].listen()
        for one in (frames, *servers):
            one.setblocking(False)
        return Canary(frames, servers)

    made = netlink.in_namespace(place, opened)
    os.close(place)
    try:
        yield made
    finally:
        for one in (made.frames, *made.servers):
            one.close()


@dataclass(frozen=True)
class Contained:
    """A run, what the canary saw of it (and is there to see more), and the place before and after."""

    canary: Canary
    shown: Shown
    frames: list[bytes]
    visitors: int
    before: dict[str, str]
    after: dict[str, str]
    spaces: dict[str, int]


@pytest.fixture(scope="module")
def contained(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contained]:
    for line in PLACE.strip().splitlines():
        within(ground, line)
    ground.client.api.create_network(
        "outside", driver="bridge", ipam={"Config": [{"Subnet": "198.18.5.0/24", "Gateway": BRIDGE}]}
    )
    file = tmp_path_factory.mktemp("launch") / "compose.yaml"
    file.write_text(LAUNCH.replace("IMAGE", IMAGE).replace("SOCKET", ground.engine.socket))
    ground.sandscan("observe", IMAGE, "--", "sleep", "0")  # the pause image comes with the first one
    spaces, over = Spaces(), threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            spaces.look(ground)

    with canary(ground) as bird:
        time.sleep(0.5)
        before = state(ground)
        bird.seen()
        watcher = threading.Thread(target=watch)
        watcher.start()
        sockets = f"out_sockets {ground.engine.socket} /var/run/docker.sock /run/docker.sock {ABSTRACT}"
        try:
            shown = ground.observe(
                *STEPS[:-2], sockets, *STEPS[-2:], options=("--launch", str(file), "--seconds", "60")
            )
        finally:
            over.set()
            watcher.join()
        after = state(ground)
        yield Contained(bird, shown, bird.seen(), bird.visitors(), before, after, spaces.found)
    for handle in spaces.found.values():
        os.close(handle)


def test_the_canary_sees_what_leaves(contained: Contained, ground: Ground) -> None:
    """Else its silence would mean nothing."""
    send = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        f"s.sendto({MARK!r}, ('{OUTSIDE4}', 9)); socket.create_connection(('127.0.0.1', 8080), 2).sendall({MARK!r})"
    )
    subprocess.run([*ground.within, "python3", "-c", send], check=True)
    seen = contained.canary.seen()
    assert contained.canary.visitors() == 1
    assert [f for f in seen if MARK in f and socket.inet_aton(OUTSIDE4) in f]
    assert [f for f in seen if MARK in f and socket.inet_aton("127.0.0.1") in f]


def test_no_frame_leaves_and_nobody_is_visited(contained: Contained) -> None:
    assert contained.frames == []
    assert contained.visitors == 0


def test_all_of_it_was_tried(contained: Contained) -> None:
    """The guest's own word on each way, and the sink's."""
    told = contained.shown.told
    assert set(told) == {step.split(" ")[0].removeprefix("+") for step in STEPS} | {"out_sockets"}
    streams = told["out_streams"]
    assert streams.pop("127.0.0.1,8080") == "ECONNREFUSED"  # its own loopback, where nobody listens
    assert set(streams.values()) == {"granted"}, streams
    for step in ("out_datagrams", "out_echoes", "out_names"):
        assert set(told[step].values()) == {"granted"}, told[step]
    assert {k: v for k, v in told["out_raw"].items() if v != "granted"} == {}
    assert set(told["out_sockets"].values()) <= {"ENOENT", "ECONNREFUSED"}, told["out_sockets"]
    assert told["io_uring"] == "EPERM"
    tried = {(a.protocol, a.target.address) for a in contained.shown.run.attempts}
    for address in (OUTSIDE4, OUTSIDE6, METADATA4, METADATA6, HOST4, HOST6, BRIDGE, "10.0.0.1"):
        assert ("tcp", address) in tried
    for protocol, address in (
        ("udp", OUTSIDE4),
        ("icmp", OUTSIDE4),
        ("icmp6", OUTSIDE6),
        ("ip-47", OUTSIDE4),
        ("ip-253", HOST4),
    ):
        assert (protocol, address) in tried, sorted(tried)
    # NET_ADMIN makes a device in the namespace behind the wire, for both are of one user namespace: it has no way out either
    assert told["out_links"] == {"behind the wire": "granted", "of process 1": "granted"}
    assert {"observed/odd-protocol", "observed/metadata", "observed/engine"} <= {
        f.rule_id for f in contained.shown.report.findings
    }
    asked = {q.server.address for q in contained.shown.run.queries if MARK.decode() in q.name}
    assert asked == {"198.51.100.53", "2001:db8:1::53", HOST4}


def test_a_wire_that_was_taken_down_is_said(contained: Contained) -> None:
    assert contained.shown.told["out_down"] == "granted, ENETUNREACH"
    assert contained.shown.says("the guest's network was taken down during the run")


def test_what_the_launch_would_have_given_is_said(contained: Contained, ground: Ground) -> None:
    withheld = {w.what for w in contained.shown.run.withheld}
    assert {
        "network host",
        "seccomp unconfined",
        f"host path {ground.engine.socket} at {ground.engine.socket}",
    } <= withheld


def test_the_host_is_as_it_was(contained: Contained) -> None:
    for what, before in contained.before.items():
        assert contained.after[what] == before, what
    assert "inet kept" in contained.before["nft list ruleset"]


def test_no_namespace_is_left(contained: Contained) -> None:
    assert len(contained.spaces) >= 2, contained.spaces  # the pause's and the sink's
    end = time.monotonic() + 30
    while left := held(contained.spaces):
        assert time.monotonic() < end, left
        time.sleep(0.1)
