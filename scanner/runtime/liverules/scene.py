"""A look at a container as the rules see it: processes, their sockets, what their files and command lines were found to be."""

import ipaddress
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from scanner.model import (
    Confidence,
    Evidence,
    Finding,
    Json,
    ProcessLocation,
    Rule,
    Severity,
    State,
    fingerprint,
    printable,
)
from scanner.model.run import Program, Socket
from scanner.runtime.procfs import Seen
from scanner.runtime.procfs.processes import Member

DETECTOR = "live"
PLACES, EXAMPLES = 10, 20
"""Processes of one finding that are named, and connections."""
_PRIVATE = tuple(
    ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
"""RFC 1918, RFC 6598, RFC 4193: nobody's outside. Networks for documentation are nobody's at all, and count as outside."""
_METADATA = frozenset(("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "fd20:ce::254"))
"""Where clouds hand out credentials to their machines: AWS, Google, Azure, Alibaba."""
_TEMPORARY = re.compile(rb"^/?(?:tmp|var/tmp|dev|run/shm|run/lock)/|(?:^|/)\.[^/]+$")
_SECONDS, _SHARE = 20, 0.7
"""How long a process must run, and how much of one processor it must use all that time, to be called busy."""
_GPU = re.compile(r"/dev/(?:nvidia\d|nvidiactl|nvidia-uvm|dri/|kfd)")


@dataclass(frozen=True, slots=True)
class Sign:
    """What a process was found to be doing: by its `kind` (program; loaded, a script or library that it runs;
    command; environment), with how much that weighs."""

    kind: str
    severity: Severity
    confidence: Confidence
    summary: str
    rule: str
    evidence: Evidence
    details: Mapping[str, Json] = field(default_factory=dict)


def of_all(signs: Mapping[int, Sequence[Sign]], group: Iterable[Member]) -> list[Sign]:
    """The signs of all processes of a group, each once: they may have other environments, or other libraries."""
    found: dict[tuple[str, str, str], Sign] = {}
    for member in group:
        for one in signs.get(member.pid, ()):
            found.setdefault((one.kind, one.rule, one.summary), one)
    return list(found.values())


@dataclass(frozen=True)
class Scene:
    """One look. `miners` and `tunnels` are the signs of each process by its number; `names` those of other containers and of
    the host by address. `published` are ports of the container that the host hands on."""

    container: str
    repository: str
    seen: Seen
    miners: Mapping[int, tuple[Sign, ...]]
    tunnels: Mapping[int, tuple[Sign, ...]]
    names: Mapping[str, str] = field(default_factory=dict)
    published: frozenset[int] = frozenset()
    now: float = field(default_factory=time.time)

    @cached_property
    def members(self) -> Mapping[int, Member]:
        return {m.pid: m for m in self.seen.members}

    @cached_property
    def held(self) -> Mapping[int, tuple[Socket, ...]]:
        """The sockets of each process."""
        found: dict[int, list[Socket]] = {}
        for one in self.seen.sockets:
            for pid in one.pids:
                found.setdefault(pid, []).append(one)
        return {pid: tuple(sockets) for pid, sockets in found.items()}

    @cached_property
    def listening(self) -> frozenset[tuple[str, int]]:
        """(kind, port) of what the container's processes wait on."""
        return frozenset(
            (s.kind, s.local.port)
            for s in self.seen.sockets
            if s.local is not None and s.local.port and s.state == "listen"
        )

    @cached_property
    def interfaces(self) -> tuple["ipaddress.IPv4Interface | ipaddress.IPv6Interface", ...]:
        """The addresses of the container's own interfaces, with the networks that they are in."""
        found = []
        for text in self.seen.namespace.interfaces if self.seen.namespace is not None else ():
            try:
                found.append(ipaddress.ip_interface(text.partition(" ")[2]))
            except ValueError:
                continue
        return tuple(found)

    def came_in(self, one: Socket) -> bool:
        """Whether the other end opened the connection."""
        return one.local is not None and one.local.port is not None and (one.kind, one.local.port) in self.listening

    def place(self, address: str) -> str:
        """Where an address lies: loopback, link, metadata, own, private or outside."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return "own"
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        if str(parsed) in _METADATA:
            return "metadata"
        if parsed.is_loopback or parsed.is_unspecified or any(parsed == one.ip for one in self.interfaces):
            return "loopback"
        if address in self.names or any(parsed in i.network for i in self.interfaces if i.version == parsed.version):
            return "own"
        if parsed.is_link_local or parsed.is_multicast:
            return "link"
        if any(parsed in n for n in _PRIVATE if n.version == parsed.version):
            return "private"
        return "outside"

    def outgoing(self, pid: int) -> tuple[Socket, ...]:
        """TCP and UDP of the process to somebody beyond the loopback, that it opened itself."""
        return tuple(
            s
            for s in self.held.get(pid, ())
            if s.kind in ("tcp", "udp", "udplite")
            and s.remote is not None
            and s.state != "listen"
            and not self.came_in(s)
            and self.place(s.remote.address) != "loopback"
        )

    def busy(self, member: Member) -> float | None:
        """How many processors the process has used on average since it began; None for one that is not busy."""
        process = member.process
        if process.started is None or process.cpu is None or self.now - process.started < _SECONDS:
            return None
        share = process.cpu / (self.now - process.started)
        return share if share >= _SHARE else None

    @cached_property
    def above_miners(self) -> frozenset[int]:
        """The processes that started, at whatever remove, one that has signs of a miner."""
        return self._above(p for p, found in self.miners.items() if any(s.kind != "environment" for s in found))

    @cached_property
    def above_tunnels(self) -> frozenset[int]:
        return self._above(self.tunnels)

    def _above(self, pids: Iterable[int]) -> frozenset[int]:
        found: set[int] = set()
        for pid in pids:
            member = self.members.get(pid)
            while member is not None and member.process.parent not in found:
                found.add(member.process.parent)
                member = self.members.get(member.process.parent)
        return frozenset(found)

    def finding(
        self,
        rule: Rule,
        members: Sequence[Member],
        severity: Severity,
        confidence: Confidence,
        message: str,
        evidence: Iterable[Evidence],
        details: Mapping[str, Json],
        identity: Iterable[str | bytes] = (),
    ) -> Finding:
        """A finding at the processes. Its fingerprint has no number in it: the same program doing the same is the same finding."""
        first = members[0].process
        shown = tuple(first.command)
        facts: dict[str, Json] = {
            "pid": first.pid,
            "command": list(shown),
            "started": time_of(first.started),
            "cpu_seconds": first.cpu,
            "user": first.user if first.user is not None else first.uid,
            "processes": len(members),
            **details,
        }
        words = " ".join(shown)
        return Finding(
            rule_id=rule.id,
            severity=severity,
            confidence=confidence,
            message=message,
            locations=tuple(self.location(m) for m in members[:PLACES]),
            evidence=tuple(evidence),
            fingerprint=fingerprint(rule.id, self.repository, first.executable or b"", words, *identity),
            state=State.VISIBLE,
            details=facts,
        )

    def location(self, member: Member) -> ProcessLocation:
        process = member.process
        return ProcessLocation(self.container, process.pid, process.command, process.executable)


def title(members: Sequence[Member]) -> str:
    """`Process 12 (python3 x.py), 31.2 s of processor time since 2026-01-02T03:04:05Z`, and how many are like it. What has
    hardly used a processor is only said to run since then."""
    process = members[0].process
    command = printable(" ".join(process.command), 160)
    began = f" since {time_of(process.started)}" if process.started is not None else ""
    used = f", {process.cpu:.1f} s of processor time{began}" if (process.cpu or 0) >= 1 else began
    more = f" and {len(members) - 1} like it" if len(members) > 1 else ""
    return f"Process {process.pid} ({command}){more}{used}"


def time_of(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def alike(members: Iterable[Member]) -> tuple[tuple[Member, ...], ...]:
    """The processes by program and command line, each group by number. A program is what it holds, not how it is called: two
    that have had the same path one after the other are no equals."""
    groups: dict[tuple[object, ...], list[Member]] = {}
    for member in members:
        process = member.process
        key = (process.executable, process.program, process.digest, member.program, member.pretends, member.words)
        groups.setdefault(key, []).append(member)
    return tuple(tuple(group) for group in groups.values())


def hidden(member: Member) -> list[str]:
    """How the process hides what it is, as clauses."""
    found = []
    if member.pretends:
        found.append("bears the name of a thread of the kernel")
    if member.process.program is Program.MEMFD:
        found.append("runs a program that was never a file")
    elif member.process.program is Program.DELETED and not member.replaced:
        found.append("runs a program that was deleted")
    return found


def temporary(member: Member) -> bool:
    """Whether its program lies among temporary files, or has a name that ls(1) does not show."""
    path = member.process.executable
    return path is not None and _TEMPORARY.search(path) is not None


def gpus(member: Member) -> tuple[str, ...]:
    """The graphics cards' device files that it holds."""
    return tuple(d for d in member.process.devices if _GPU.match(d))


def seen_in(member: Member, kind: str, excerpt: str, facts: Mapping[str, Json] | None = None) -> Evidence:
    """Evidence of a process: `path` is its program's."""
    path = (member.process.executable or b"").lstrip(b"/")
    return Evidence(DETECTOR, kind, path, excerpt=printable(excerpt, 300), facts=dict(facts or {}))


def shown(one: Socket) -> str:
    """`tcp 203.0.113.7:443 (established)`."""
    remote = one.remote.display if one.remote is not None else "nobody"
    return f"{one.kind} {remote} ({one.state})"


def raised(severity: Severity, to: Severity) -> Severity:
    """The worse of the two."""
    return max(severity, to, key=lambda s: s.rank)
