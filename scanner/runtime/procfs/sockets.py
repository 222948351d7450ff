"""Sockets of a container's network namespaces and who holds them (proc_net(5), packet(7), unix(7), sock_diag(7)).

The tables of /proc/PID/net say what there is, the links in /proc/PID/fd who holds it. A socket that stands in no table is
of another family or of a namespace that its holder has left: its protocol's name tells (sockfs, `system.sockprotoname`).
"""

import os
import re
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scanner.model.run import Endpoint, Socket
from scanner.model.text import printable
from scanner.runtime.procfs.namespaces import UNIX_SOCKETS, UnixSocket, unix_sockets, within
from scanner.runtime.procfs.processes import FILES, Member
from scanner.runtime.procfs.reading import Missed, ProcessFolder, numbers

_TABLE = 64 << 20
_SOCKETS, _CLOSED = 100_000, 1000
"""Sockets of one container that are told, and of those that nobody holds any more."""
_SPACES = 256
"""Network namespaces of this machine that are asked for the other ends of Unix sockets."""
_STATES = (
    "established syn-sent syn-recv fin-wait-1 fin-wait-2 time-wait unconnected close-wait last-ack listen closing syn-recv"
).split()
"""include/net/tcp_states.h from 1 on, in the words of ss(8)."""
_UNIX_STATES = {b"01": "unconnected", b"02": "connecting", b"03": "established", b"04": "disconnecting"}
_UNIX_TYPES = {1: "stream", 2: "datagram", 5: "seqpacket"}
_ACCEPTING = 0x10000
_WILDCARD = frozenset(("0.0.0.0", "::"))  # noqa: S104 - compared, never bound

_INNER = frozenset("tcp udp udp-lite raw packet unix ping".split())
"""Protocols whose sockets stand in their namespace's tables."""

ENGINE = "engine socket"
OWN_ENGINE = "engine socket of its own"
_ENGINES = frozenset("dockerd containerd podman crio buildkitd cri-dockerd nerdctld finch-daemon".split())
_ENGINE_PATH = re.compile(
    rb"(?:^|/)(?:docker(?:\.raw)?|dockershim|podman|containerd(?:\.\w+)*|crio|buildkitd|cri-dockerd|frakti|balena-engine|nerdctl)\.sock$"
)
"""Names that engines bind their sockets to, by their manuals' defaults."""
_KERNEL_PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 58: "icmp6", 255: "any"}
_PACKETS = {0x0003: "every protocol", 0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6", 0x888E: "EAPOL", 0x88CC: "LLDP"}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table, before it is known who holds the socket."""

    kind: str
    family: str
    state: str
    local: Endpoint | None
    remote: Endpoint | None
    inode: int
    says: str = ""

    def held(self, pids: tuple[int, ...]) -> Socket:
        return Socket(self.kind, self.family, self.state, self.local, self.remote, self.inode, pids, self.says)


def _address(text: str) -> str:
    """The kernel prints words of four bytes as the machine keeps them; an IPv4-mapped address is the IPv4 one."""
    packed = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    if packed.startswith(b"\0" * 10 + b"\xff\xff"):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


_INET = re.compile(
    r"^ *\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{2}) "
    r"\S+ \S+ \S+ +\d+ +\d+ +(\d+)",
    re.MULTILINE,
)


def inet(data: bytes, kind: str, family: str) -> Iterator[Row]:
    """tcp, tcp6, udp, udp6, udplite, raw, raw6, icmp and icmp6; of raw sockets the "port" is the protocol."""
    known: dict[str, str] = {}
    for local, port, remote, there, state, inode in _INET.findall(data.decode("ascii", "replace")):
        for one in (local, remote):
            if one not in known:
                known[one] = _address(one)
        number = int(state, 16)
        said = _STATES[number - 1] if 0 < number <= len(_STATES) else f"state {number}"
        here, far = known[local], known[remote]
        if kind in ("raw", "icmp"):
            protocol = int(port, 16)
            says = f"protocol {_KERNEL_PROTOCOLS.get(protocol, protocol)}" if kind == "raw" else ""
            end = None if far in _WILDCARD else Endpoint(far)
            yield Row(kind, family, said, Endpoint(here), end, int(inode), says)
        else:
            end = None if far in _WILDCARD and not int(there, 16) else Endpoint(far, int(there, 16))
            yield Row(kind, family, said, Endpoint(here, int(port, 16)), end, int(inode))


_PACKET = re.compile(rb"^[0-9a-f]+ +\d+ +(\d+) +([0-9a-f]{4}) +(\d+) +\d+ +\d+ +\d+ +(\d+) *$", re.MULTILINE)


def packet(data: bytes, interfaces: Mapping[int, str]) -> Iterator[Row]:
    """net/packet: sk, references, type, protocol, interface (0: all), running, memory, user, inode."""
    for _, protocol, index, inode in _PACKET.findall(data):
        number = int(protocol, 16)
        what = _PACKETS.get(number, f"protocol 0x{number:04x}") if number else "no protocol yet"
        where = f"interface {interfaces.get(int(index), int(index))}" if int(index) else "every interface"
        yield Row("packet", "packet", "unconnected", None, None, int(inode), f"{what} on {where}")


_UNIX = re.compile(
    rb"^[0-9a-fK]+: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{4}) ([0-9A-F]{2}) +(\d+)(?: ([^\n]*))?$",
    re.MULTILINE,
)


def unix(data: bytes) -> Iterator[Row]:
    """net/unix: a socket's name may hold any byte but NUL, so a line may be a lie; sock_diag(7) is asked first."""
    for flags, _, state, inode, path in _UNIX.findall(data):
        listens = int(flags, 16) & _ACCEPTING
        said = "listen" if listens else _UNIX_STATES.get(state, "unconnected")
        yield Row("unix", "unix", said, _named(path), None, int(inode))


_NETLINK = re.compile(rb"^[0-9a-fK]+ +(\d+) +(-?\d+) +[0-9a-f]+ +\d+ +\d+ +\S+ +-?\d+ +\d+ +(\d+) *$", re.MULTILINE)
_NETLINKS = {
    0: "route", 2: "usersock", 4: "sock_diag", 6: "xfrm", 9: "audit", 10: "fib_lookup", 11: "connector",
    12: "netfilter", 15: "kobject_uevent", 16: "generic",
}  # fmt: skip


def netlink(data: bytes) -> Iterator[Row]:
    """net/netlink: sk, protocol, port, groups, …, inode (0: the kernel's own)."""
    for protocol, _, inode in _NETLINK.findall(data):
        if int(inode):
            name = _NETLINKS.get(int(protocol), f"protocol {int(protocol)}")
            yield Row("netlink", "netlink", "unconnected", None, None, int(inode), name)


def _named(name: bytes) -> Endpoint | None:
    """A Unix socket's address: a path, or an abstract name with an @ for its first byte."""
    if not name:
        return None
    abstract = name.startswith((b"\0", b"@"))
    shown = b"@" + name[1:] if abstract else name.rstrip(b"\0")
    return Endpoint(printable(shown, 250))


_TABLES = (
    ("tcp", "tcp", "ipv4"), ("tcp6", "tcp", "ipv6"), ("udp", "udp", "ipv4"), ("udp6", "udp", "ipv6"),
    ("udplite", "udplite", "ipv4"), ("udplite6", "udplite", "ipv6"), ("raw", "raw", "ipv4"), ("raw6", "raw", "ipv6"),
    ("icmp", "icmp", "ipv4"), ("icmp6", "icmp", "ipv6"),
)  # fmt: skip


def look(members: Sequence[Member], missed: Missed) -> tuple[Socket, ...]:
    """The sockets of the container's network namespaces; of one that is shared with this machine only those it holds.

    Sorted by kind, address and number. `pids` is empty where nobody of the container holds it (any more).
    """
    holders: dict[int, list[int]] = {}
    spaces: dict[int, list[int]] = {}
    for member in members:
        for inode in member.inodes:
            holders.setdefault(inode, []).append(member.pid)
        if member.net is not None:
            spaces.setdefault(member.net, []).append(member.thread)
    ours = Path("/proc/self/ns/net").stat().st_ino
    found: list[Socket] = []
    known: set[int] = set()
    for space, pids in spaces.items():
        rows = _of_space(pids, missed)
        if rows is None:
            continue
        closed = 0
        for row in rows:
            held = tuple(sorted(set(holders.get(row.inode, ())))) if row.inode else ()
            known.add(row.inode)
            if held:
                found.append(row.held(held))
            elif space != ours and row.kind not in ("unix", "netlink"):
                closed += 1
                if closed <= _CLOSED:
                    found.append(row.held(()))
        if closed > _CLOSED:
            missed.dropped["closed sockets"] += closed - _CLOSED
    found += _others(members, holders, known)
    if len(found) > _SOCKETS:
        missed.say("the sockets", f"{len(found)} sockets; {_SOCKETS} of them are told")
        found = found[:_SOCKETS]
    return tuple(sorted(_engines(found, frozenset(holders)), key=_order))


def _order(one: Socket) -> tuple[str, str, int, str, int]:
    local, remote = one.local, one.remote
    return (
        one.kind,
        local.address if local else "",
        (local.port or 0) if local else 0,
        remote.display if remote else "",
        one.inode,
    )


def _of_space(pids: Iterable[int], missed: Missed) -> list[Row] | None:
    """All tables of the network namespace that the processes share, read through the first that still lives."""
    for pid in pids:
        try:
            with ProcessFolder(pid, missed) as folder:
                if folder.names("net", 1) is None:
                    continue
                return list(_rows(folder, missed))
        except ProcessLookupError:
            continue
    return None


def _rows(folder: ProcessFolder, missed: Missed) -> Iterator[Row]:
    for name, kind, family in _TABLES:
        yield from inet(_table(folder, name, missed), kind, family)
    namespace = folder.open("ns/net", os.O_RDONLY)
    try:
        interfaces: Mapping[int, str] = {}
        told: tuple[UnixSocket, ...] | None = None
        if namespace is not None:
            try:
                interfaces = within(namespace, lambda: dict(socket.if_nameindex()))
                told = unix_sockets(namespace)
            except OSError:
                pass
        if told is None:
            missed.say("the other ends of Unix sockets", "only root may ask the kernel for them")
            yield from unix(_table(folder, "unix", missed))
        else:
            if len(told) >= UNIX_SOCKETS:
                missed.say("the Unix sockets", f"more than {UNIX_SOCKETS}; the rest was not looked at")
            yield from map(_of_unix, told)
        yield from packet(_table(folder, "packet", missed), interfaces)
        yield from netlink(_table(folder, "netlink", missed))
    finally:
        if namespace is not None:
            os.close(namespace)


def _table(folder: ProcessFolder, name: str, missed: Missed) -> bytes:
    data = folder.read(f"net/{name}", _TABLE) or b""
    if len(data) >= _TABLE:
        missed.say("the sockets", f"the table net/{name} is larger than {_TABLE} bytes; the rest was not read")
        data = data[: data.rfind(b"\n") + 1]
    return data


def _of_unix(one: UnixSocket) -> Row:
    state = "listen" if one.listens else "established" if one.connected else "unconnected"
    return _Peered("unix", "unix", state, _named(one.name), None, one.inode, _UNIX_TYPES.get(one.type, ""), one.peer)


@dataclass(frozen=True, slots=True)
class _Peered(Row):
    """A Unix socket's row with the number of its other end."""

    peer: int = 0

    def held(self, pids: tuple[int, ...]) -> Socket:
        remote = Endpoint(f"inode {self.peer}") if self.peer else None
        return Socket(self.kind, self.family, self.state, self.local, remote, self.inode, pids, self.says)


def _others(members: Sequence[Member], holders: Mapping[int, list[int]], known: set[int]) -> Iterator[Socket]:
    """Held sockets that stand in none of the tables read."""
    left = {inode for inode in holders if inode not in known}
    for member in members:
        wanted = member.inodes & left
        if not wanted:
            continue
        left -= wanted
        for inode, name in _protocols(member, wanted):
            kind = name.lower().removeprefix("af_").removesuffix("v6").removesuffix("-stream")
            says = "of another network namespace" if kind in _INNER else ""
            yield Socket(kind, kind, "unconnected", None, None, inode, tuple(sorted(set(holders[inode]))), says)


def _protocols(member: Member, wanted: frozenset[int]) -> Iterator[tuple[int, str]]:
    """(number, name of the protocol) of sockets that a process holds; those closed meanwhile are left out."""
    try:
        with ProcessFolder(member.thread) as folder:
            for name, to in folder.links("fd", FILES) or ():
                inode = int(to[8:-1]) if to.startswith(b"socket:[") and to[8:-1].isdigit() else None
                if inode in wanted and inode is not None:
                    try:
                        value = os.getxattr(f"/proc/self/fd/{folder.fd}/fd/{name}", "system.sockprotoname")
                    except OSError:
                        value = b"socket"
                    yield inode, value.rstrip(b"\0").decode("ascii", "replace") or "socket"
    except ProcessLookupError:
        return


def _engines(found: Sequence[Socket], held: frozenset[int]) -> Iterator[Socket]:
    """The sockets with the names of the Unix sockets at their other ends, and what is known of them."""
    wanted = {inode: one for one in found if (inode := _peer(one))}
    names = {one.inode: one.local for one in found if one.kind == "unix"}
    outside = {inode for inode in wanted if inode not in names}
    far: dict[int, UnixSocket] = {}
    if outside:
        far = _far(outside)
    engines = _engine_inodes() if outside else frozenset()
    for one in found:
        inode = _peer(one)
        if one.kind != "unix":
            yield one
        elif inode is None:
            own = one.state == "listen" and one.local is not None and _is_engine(one.local.address)
            yield replace(one, says=OWN_ENGINE if own else one.says)
        elif inode in names:
            end = names[inode]
            own = (end is not None and _is_engine(end.address)) and inode in held
            yield replace(one, remote=end, says=OWN_ENGINE if own else one.says)
        else:
            there = far.get(inode)
            end = _named(there.name) if there is not None else None
            engine = inode in engines or (end is not None and _is_engine(end.address))
            says = ENGINE if engine else "outside of the container"
            yield replace(one, remote=end, says=says)


def _peer(one: Socket) -> int | None:
    if one.kind != "unix" or one.remote is None or one.remote.port is not None:
        return None
    found = re.fullmatch(r"inode (\d+)", one.remote.address)
    return int(found[1]) if found else None


def _is_engine(path: str) -> bool:
    return path.startswith("/") and _ENGINE_PATH.search(path.encode("utf-8", "surrogateescape")) is not None


def _far(wanted: set[int]) -> dict[int, UnixSocket]:
    """The Unix sockets of those numbers, wherever on this machine they are: ours first, then every other namespace."""
    found: dict[int, UnixSocket] = {}
    seen: set[bytes] = set()
    for pid in (os.getpid(), *numbers()):
        if wanted <= found.keys() or len(seen) >= _SPACES:
            break
        try:
            with ProcessFolder(pid) as folder:
                space = folder.link("ns/net")
                if space is None or space in seen:
                    continue
                seen.add(space)
                namespace = folder.open("ns/net", os.O_RDONLY)
        except ProcessLookupError:
            continue
        if namespace is None:
            continue
        try:
            found.update((one.inode, one) for one in unix_sockets(namespace) if one.inode in wanted)
        except OSError:
            continue
        finally:
            os.close(namespace)
    return found


def _engine_inodes() -> frozenset[int]:
    """The sockets that this machine's engines hold, whatever they are named."""
    found: set[int] = set()
    for pid in numbers():
        try:
            with ProcessFolder(pid) as folder:
                name = (folder.read("comm", 64) or b"").rstrip(b"\n").decode("utf-8", "replace")
                if name not in _ENGINES:
                    continue
                for _, to in folder.links("fd", FILES) or ():
                    if to.startswith(b"socket:["):
                        found.add(int(to[8:-1]))
        except (ProcessLookupError, ValueError):
            continue
    return frozenset(found)
