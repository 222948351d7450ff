"""The tables of /proc as a kernel prints them, and as nobody should: no bytes stop a parser, none make it long."""

import ipaddress
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model.run import Endpoint
from scanner.runtime.procfs import members, namespaces, network, processes, sockets, top
from scanner.runtime.procfs.inside import fuse_mounts
from tests.engine_fixture import program

ID = "ab" * 32
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE4 = "   0: 0100007F:1F90 077100CB:01BB 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0\n"
LINE6 = (
    "   1: 00000000000000000000000001000000:0050 B80D0120000000000000000007000000:C350 0A 00000000:00000000 00:00000000 "
    "00000000  1000        0 4712 1 0000000000000000 100 0 0 10 0\n"
)
MAPPED = (
    "   2: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF0000077100CB:01BB 02 00000000:00000000 00:00000000 "
    "00000000     0        0 4713 1 0000000000000000 100 0 0 10 0\n"
)

hostile = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")),
    st.lists(
        st.sampled_from([LINE4.encode(), LINE6.encode(), MAPPED.encode(), b"\n", b"\0", b": ", b"(", b")", b" "]),
        max_size=12,
    ).map(b"".join),
)


def test_a_line_of_tcp_in_both_families() -> None:
    [four] = sockets.inet((HEADER + LINE4).encode(), "tcp", "ipv4")
    assert (four.state, four.local, four.remote, four.inode) == (
        "established",
        Endpoint("127.0.0.1", 8080),
        Endpoint("203.0.113.7", 443),
        4711,
    )
    six, mapped = sockets.inet((HEADER + LINE6 + MAPPED).encode(), "tcp", "ipv6")
    assert (six.state, six.local, six.remote) == ("listen", Endpoint("::1", 80), Endpoint("2001:db8::7", 50000))
    assert (mapped.state, mapped.local, mapped.remote) == (
        "syn-sent",
        Endpoint("127.0.0.1", 8080),
        Endpoint("203.0.113.7", 443),
    )


@given(hostile, hostile)
def test_no_line_stops_the_ones_around_it(before: bytes, after: bytes) -> None:
    rows = list(sockets.inet(before + b"\n" + LINE4.encode() + after, "tcp", "ipv4"))
    assert 4711 in [row.inode for row in rows]


@given(st.ip_addresses(), st.integers(0, 65535), st.integers(0, 2**32 - 1))
def test_every_address_and_port_is_read_back(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, inode: int
) -> None:
    packed = address.packed
    words = "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))
    line = f"  0: {words}:{port:04X} {words}:{port:04X} 01 0:0 0:0 0 0 0 {inode} 1\n"
    [row] = sockets.inet(line.encode(), "udp", "any")
    mapped = getattr(address, "ipv4_mapped", None)
    assert row.local is not None
    assert ipaddress.ip_address(row.local.address) == (mapped or address)
    assert (row.local.port, row.inode) == (port, inode)


@given(hostile)
def test_no_bytes_stop_a_parser(data: bytes) -> None:
    """Every parser gives something for anything."""
    list(sockets.inet(data, "tcp", "ipv4"))
    list(sockets.unix(data))
    list(sockets.packet(data, {}))
    list(sockets.netlink(data))
    routes = list(network.routes4(data))
    list(network.routes6(data))
    list(network.addresses4(data, routes))
    list(network.addresses6(data))
    network.devices(data)
    network.resolver(data)
    processes.counted(data)
    processes.status(data)
    processes.words(data)
    processes.variables(data)
    processes.users(data)
    processes.inner_user(0, data)
    processes._libraries(data)
    members.groups(data)
    members.parent_of(data)
    fuse_mounts(data)


def test_packet_sockets_say_what_they_see_and_where() -> None:
    table = (
        b"sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"
        b"ffff8880 3      3    0003   0     1 0      0      81\n"
        b"ffff8881 3      2    88cc   2     1 0      0      82\n"
        b"ffff8882 3      10   0000   9     1 0      0      83\n"
    )
    assert [(r.inode, r.says) for r in sockets.packet(table, {2: "eth0"})] == [
        (81, "every protocol on every interface"),
        (82, "LLDP on interface eth0"),
        (83, "no protocol yet on interface 9"),
    ]


def test_unix_sockets_by_state_and_name() -> None:
    table = (
        b"Num       RefCount Protocol Flags    Type St Inode Path\n"
        b"0000000000000000: 00000002 00000000 00010000 0001 01 11 /run/docker.sock\n"
        b"0000000000000000: 00000003 00000000 00000000 0001 03 12\n"
        b"0000000000000000: 00000002 00000000 00000000 0002 01 13 @abstract name\n"
    )
    assert [(r.inode, r.state, r.local) for r in sockets.unix(table)] == [
        (11, "listen", Endpoint("/run/docker.sock")),
        (12, "established", None),
        (13, "unconnected", Endpoint("@abstract name")),
    ]


@pytest.mark.parametrize(
    ("path", "engine"),
    [
        ("/var/run/docker.sock", True),
        ("/run/user/1000/podman/podman.sock", True),
        ("/run/containerd/containerd.sock", True),
        ("/var/run/crio/crio.sock", True),
        ("/run/docker.sock.bak", False),
        ("/run/notdocker.sock", False),
        ("/run/postgresql/.s.PGSQL.5432", False),
        ("@docker", False),
    ],
)
def test_an_engines_name(path: str, engine: bool) -> None:
    assert sockets._is_engine(path) is engine


def _diag(inode: int, name: bytes, peer: int | None, state: int = 1) -> bytes:
    attributes = b""
    for kind, value in ((0, name), (2, struct.pack("=I", peer) if peer is not None else b"")):
        if value:
            attributes += struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
    body = struct.pack("=BBBBIII", 1, 1, state, 0, inode, 0, 0) + attributes
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body


def test_the_kernels_answer_names_the_other_end() -> None:
    done = struct.pack("=IHHII", 20, 3, 2, 1, 0) + struct.pack("=i", 0)
    finished, told = namespaces.answers(_diag(7, b"/run/a\nb", None, 10) + _diag(8, b"\0hidden", 7) + done)
    assert finished
    assert [(s.inode, s.name, s.peer, s.listens, s.connected) for s in told] == [
        (7, b"/run/a\nb", 0, True, False),
        (8, b"\0hidden", 7, False, True),
    ]
    with pytest.raises(OSError, match="Operation not permitted"):
        namespaces.answers(struct.pack("=IHHII", 20, 2, 0, 1, 0) + struct.pack("=i", -1))


@given(st.binary(max_size=300))
def test_no_answer_of_the_kernels_is_read_past_its_end(data: bytes) -> None:
    """Any bytes but those of an error are an answer."""
    try:
        namespaces.answers(data)
    except OSError:
        assert b"\x02\x00" in data
    finished, told = namespaces.answers(_diag(7, b"x", 9) + data[:15])
    assert not finished
    assert [s.inode for s in told] == [7]


def test_routes_and_addresses_of_both_families() -> None:
    route = (
        b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        b"eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        b"eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        b"*\t006433C6\t00000000\t0201\t0\t0\t5\t00FFFFFF\t0\t0\t0\n"
        b"eth1\t006433C6\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    found = list(network.routes4(route))
    assert [str(r) for r in found] == [
        "default via 172.17.0.1 dev eth0",
        "172.17.0.0/16 dev eth0",
        "198.51.100.0/24 unreachable metric 5",
    ]
    trie = (
        b"Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 172.17.0.2\n        /32 host LOCAL\n"
        b"     |-- 172.17.255.255\n        /32 link BROADCAST\nLocal:\n     |-- 172.17.0.2\n        /32 host LOCAL\n"
        b"     |-- 192.0.2.9\n        /32 host LOCAL\n"
    )
    assert list(network.addresses4(trie, found)) == ["lo 127.0.0.1/8", "eth0 172.17.0.2/16", "? 192.0.2.9/32"]
    inet6 = b"fd000000000000000000000000000002 02 40 00 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n"
    assert list(network.addresses6(inet6)) == ["eth0 fd00::2/64", "lo ::1/128"]
    route6 = (
        b"fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n"
        b"00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003     eth0\n"
        b"fd000000000000000000000000000002 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000004 00000000 80200001     eth0\n"
        b"ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000002 00000000 00000001     eth0\n"
        b"00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n"
    )
    assert [str(r) for r in network.routes6(route6)] == [
        "fd00::/64 dev eth0 metric 256",
        "default via fd00::1 dev eth0 metric 1024",
    ]


def test_the_resolver_takes_the_last_search_list() -> None:
    text = b"# nameserver 1.1.1.1\nnameserver 192.0.2.53\nnameserver fd00::53\nsearch a.example\ndomain b.example\noptions ndots:5\n"
    assert network.resolver(text) == (("192.0.2.53", "fd00::53"), ("b.example",))


def test_a_name_with_brackets_does_not_move_the_fields() -> None:
    line = b"12 (evil) R 1 (x) S 34 12 12 0 -1 0 0 0 0 0 70 30 0 0 20 0 1 0 9876 0 0\n"
    counted = processes.counted(line)
    assert counted is not None
    assert (counted.name, counted.state, counted.parent, counted.used, counted.ticks) == (
        b"evil) R 1 (x",
        "S",
        34,
        100,
        9876,
    )
    assert members.parent_of(line) == 34


@given(st.binary(max_size=15), st.integers(0, 2**22), st.integers(0, 2**40))
def test_any_name_of_a_program_is_read_past(name: bytes, parent: int, ticks: int) -> None:
    line = b"7 (" + name + b") S %d 1 1 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0 %d 0 0\n" % (parent, ticks)
    counted = processes.counted(line)
    assert counted is not None
    assert (counted.name, counted.parent, counted.used, counted.ticks) == (name, parent, 7, ticks)


def test_words_titles_and_empty_ones() -> None:
    assert processes.words(b"ssh\0-N\0\0a b\0") == ("ssh", "-N", "", "a b")
    assert processes.words(b"sshd: root@pts/0\0\0\0\0\0") == ("sshd: root@pts/0",)
    assert processes.words(b"") == processes.words(b"\0\0") == ()
    assert processes.words(b"a\0\xff\x00") == ("a", "\\xff")


@given(st.lists(st.text("ab -=\n", min_size=1, max_size=5).filter(lambda w: w.strip("\0 ")), min_size=1, max_size=6))
def test_every_word_is_read_back(said: list[str]) -> None:
    data = "\0".join(said).encode() + b"\0"
    assert processes.words(data) == (*said[:-1], said[-1].rstrip(" "))


def test_users_as_the_container_counts_them() -> None:
    table = b"         0     100000      65536\n     65536        500          1\n"
    assert processes.inner_user(100000, table) == 0
    assert processes.inner_user(101000, table) == 1000
    assert processes.inner_user(500, table) == 65536
    assert processes.inner_user(7, table) is None
    assert processes.users(b"root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbroken\n:x:5:5\nu:x:5:5::/:\n") == {
        0: "root",
        5: "u",
    }


def test_mapped_code_without_a_file_is_named_once() -> None:
    maps = (
        b"7f0000000000-7f0000001000 r-xp 00000000 00:01 17                         /memfd:lib (deleted)\n"
        b"7f0000001000-7f0000002000 rw-p 00001000 00:01 17                         /memfd:lib (deleted)\n"
        b"7f0000003000-7f0000004000 r-xp 00000000 00:35 99                         /tmp/x\\012y.so (deleted)\n"
        b"7f0000005000-7f0000006000 r-xp 00000000 00:35 98                         /usr/lib/libc.so.6\n"
        b"7f0000007000-7f0000008000 rwxs 00000000 00:01 12                         /dev/zero (deleted)\n"
    )
    assert processes._libraries(maps) == (
        processes.Library("7f0000000000-7f0000001000", b"/memfd:lib", True),
        processes.Library("7f0000003000-7f0000004000", rb"/tmp/x\012y.so", False),
    )


@pytest.mark.parametrize(
    ("path", "own"),
    [
        (f"/docker/{ID}", f"/docker/{ID}"),
        (f"/system.slice/docker-{ID}.scope/init.scope", f"/system.slice/docker-{ID}.scope"),
        (f"/user.slice/libpod-{ID}.scope/container", f"/user.slice/libpod-{ID}.scope"),
        (f"/docker/{'cd' * 32}/docker/{ID}/x", f"/docker/{'cd' * 32}/docker/{ID}"),
    ],
)
def test_a_containers_control_group_ends_at_its_identifier(path: str, own: str) -> None:
    groups = members.groups(f"0::{path}\n5:pids:/\nbroken\n".encode())
    assert members.own(groups) == {("", own)}


def test_a_control_group_that_names_nobody_is_no_containers() -> None:
    groups = members.groups(b"0::/user.slice/session-3.scope\n4:memory:/\n")
    assert members.own(groups) == frozenset()


def test_only_fuses_mounts_are_avoided() -> None:
    table = (
        b"22 1 0:20 / / rw,relatime shared:1 - overlay overlay rw\n"
        b"23 22 0:44 / /mnt rw,nosuid - fuse.sshfs host:/ rw\n24 22 0:45 / /x rw - fuse x rw\n"
        b"25 22 0:46 / /y rw - fusectl fusectl rw\n26 22 8:1 / /z rw shared:2 master:1 - fuseblk /dev/sda1 rw\n"
    )
    assert fuse_mounts(table) == {23, 24, 26}


def test_what_an_engine_tells_of_processes() -> None:
    rows = [["12", "1", "0", "100", "90", "ssh -N -R 1:a:2 h"], ["x", "1", "0", "1", "1", "y"], ["13", "12"], "broken"]
    [(one, words)] = top.processes(["PID", "PPID", "UID", "ELAPSED", "TIME", "COMMAND"], rows, 1000.0)
    assert (one.pid, one.parent, one.uid, one.started, one.cpu) == (12, 1, 0, 900.0, 90.0)
    assert words == ("ssh", "-N", "-R", "1:a:2", "h")
    [(plain, _)] = top.processes(
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
        [["root", "5", "1", "0", "10:00", "?", "00:00:01", "sh"]],
        0,
    )
    assert (plain.pid, plain.uid, plain.cpu, plain.started) == (5, None, None, None)


@given(
    st.lists(st.text(max_size=8), max_size=8),
    st.lists(st.one_of(st.none(), st.lists(st.text(max_size=8), max_size=8)), max_size=5),
)
def test_no_answer_of_an_engine_stops_the_reader(titles: list[str], rows: list[object]) -> None:
    for one, words in top.processes(titles, rows, 0.0):
        assert one.pid >= 0
        assert len(one.command) == len(words)


def test_the_tables_agree_with_ss() -> None:
    """Our own namespace, read by the parser and by iproute2."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ours = {
            (r.local.address, r.local.port)
            for r in sockets.inet(Path("/proc/self/net/tcp").read_bytes(), "tcp", "ipv4")
            if r.local is not None and r.local.port == port and r.state == "listen"
        }
        told = subprocess.run(
            [program("ss"), "-Hltn", f"sport = {port}"], capture_output=True, text=True, check=True
        ).stdout
    assert ours == {("127.0.0.1", port)}
    assert f"127.0.0.1:{port}" in told


def test_rules_see_the_whole_of_a_long_word_and_a_report_its_beginning() -> None:
    script = "echo ok; " * 5000 + " ".join(("xmrig", "-o", "pool.example:3333"))
    said = processes.words(f"sh\0-c\0{script}\0".encode())
    assert said == ("sh", "-c", script)
    assert processes.shown(said) == ("sh", "-c", script[:8192])
    assert len(processes.shown(("x",) * 5000)) == 4096


def test_mapped_code_that_hides_behind_much_of_its_kind_is_found() -> None:
    row = "%x000-%x000 r-xp 00000000 00:01 %d %30s/memfd:%d (deleted)"
    maps = "\n".join(row % (n, n + 1, n, "", n) for n in range(100, 150)).encode() + b"\n"
    assert len(processes._libraries(maps)) == 50
