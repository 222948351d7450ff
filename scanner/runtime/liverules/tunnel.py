"""A process that tunnels: by its command line, its program, and the sockets that it holds."""

import re
from collections.abc import Iterator, Sequence

from scanner.detectors.launchers.points import SHELLS
from scanner.model import Confidence, Evidence, Finding, Json, Rule, Severity
from scanner.model.run import Socket
from scanner.runtime.liverules.scene import Scene, Sign, alike, hidden, of_all, raised, seen_in, shown, title
from scanner.runtime.liverules.signs import only_loads, wraps
from scanner.runtime.procfs.processes import Member

RULE = Rule(
    id="live/tunnel-process",
    name="Process that tunnels, or hands out a shell",
    severity=Severity.CRITICAL,
    description="A running process that forwards connections through an SSH server or a tunnel service, a shell whose input is a "
    "network socket, a session of the SSH server, or a process that holds a network tunnel device.",
    help="Somebody outside may be inside by now, or what the launch closed is open through another machine. Stop the process, "
    "remove the key or token that it used, and close the way to its server.",
    references=("https://attack.mitre.org/techniques/T1572/", "https://attack.mitre.org/techniques/T1090/"),
    attack=("T1572", "T1021.004", "T1090", "T1059.004"),
)

_CLIENTS = re.compile(r"(?:ssh|slogin|autossh|dbclient|plink|sshuttle|mosh-client)")
_SERVERS = re.compile(r"(?:sshd|sshd-session|sshd-auth|dropbear|tinysshd)")
_SESSION = re.compile(r"sshd(?:-session)?: (?P<user>[^@\s/\[]{1,64})(?:@(?P<where>\S{1,40}))?(?: \[(?P<part>\w+)\])?")
"""How sshd names the processes of a session: `sshd: root@pts/0`, `sshd: root [priv]` (openssh, session.c and sshd-session.c)."""
_LOWEST = {"command": Severity.MEDIUM, "program": Severity.LOW}


def name_of(member: Member) -> str:
    """The program's name: of its file where that is known, for a command line says what it likes."""
    path = member.process.executable
    if path:
        return path.rpartition(b"/")[2].decode("utf-8", "backslashreplace")
    return member.words[0].rpartition("/")[2] if member.words else member.name


def is_server(member: Member) -> bool:
    return _SERVERS.fullmatch(name_of(member)) is not None


def judge(scene: Scene) -> Iterator[Finding]:
    """One finding for each program and command line; a shell that waits for such a process is not told besides."""
    for group in alike(scene.seen.members):
        first = group[0]
        signs = [s for s in of_all(scene.tunnels, group) if s.kind != "command" or not _is_daemon(s)]
        if signs and (wraps(first) or only_loads(signs)) and all(m.pid in scene.above_tunnels for m in group):
            continue
        if is_server(first):
            yield from _server(scene, group)
        elif (bound := _shells(scene, group)) is not None:
            yield bound
        elif signs or (held := _forwards(scene, group)):
            yield _finding(scene, group, signs, _forwards(scene, group) if signs else held)
        elif any("/dev/net/tun" in m.process.devices for m in group):
            yield _device(scene, group)


def _is_daemon(sign: Sign) -> bool:
    return sign.evidence.kind == "daemon"


def _connected(scene: Scene, group: Sequence[Member]) -> list[Socket]:
    return [s for m in group for s in scene.outgoing(m.pid) if s.kind == "tcp"]


def _forwards(scene: Scene, group: Sequence[Member]) -> list[Socket]:
    """Ports that an SSH client waits on: a forward, whoever asked for it (its configuration, its escape character)."""
    if not any(_CLIENTS.fullmatch(name_of(m)) for m in group):
        return []
    return [s for m in group for s in scene.held.get(m.pid, ()) if s.kind == "tcp" and s.state == "listen"]


def _finding(scene: Scene, group: Sequence[Member], signs: Sequence[Sign], waits: Sequence[Socket]) -> Finding:
    connected = _connected(scene, group)
    alive = [s for s in connected if s.state == "established"]
    kinds = list(dict.fromkeys(s.kind for s in signs))
    clauses = [s.summary for s in signs][:3]
    evidence: list[Evidence] = [s.evidence for s in signs][:10]
    severity, confidence = Severity.MEDIUM, Confidence.MEDIUM
    if signs:
        first = max(signs, key=lambda s: (s.severity.rank, s.confidence.rank))
        severity, confidence = raised(first.severity, _LOWEST.get(first.kind, Severity.LOW)), first.confidence
    if waits:
        ports = ", ".join(dict.fromkeys(s.local.display for s in waits if s.local is not None))
        clauses.append(f"waits on {ports} for what it leads through its server")
        evidence.append(seen_in(group[0], "listening", f"listens on {ports}"))
        confidence = Confidence.HIGH
        severity = raised(severity, Severity.MEDIUM)
    for one in dict.fromkeys(shown(s) for s in connected[:3]):
        clauses.append(f"is connected to {one}" if alive else f"tries to reach {one}")
        evidence.append(seen_in(group[0], "connection", one))
    if alive and signs and len(kinds) > 1:
        confidence = Confidence.HIGH
    if hides := [h for m in group for h in hidden(m)]:
        severity = raised(severity, Severity.HIGH)
        clauses.append(" and ".join(dict.fromkeys(hides)))
    details: dict[str, Json] = {
        "signs": kinds + (["listening"] if waits else []) + (["connection"] if connected else []),
        "rules": list(dict.fromkeys(s.rule for s in signs)),
        "tool": next((s.details[k] for s in signs for k in ("tool", "program", "name") if s.details.get(k)), None),
        "destination": next((s.details["destination"] for s in signs if s.details.get("destination")), None),
        "direction": next((s.details["direction"] for s in signs if s.details.get("direction")), None),
        "forwards": next((s.details["forwards"] for s in signs if s.details.get("forwards")), []),
        "connections": list(dict.fromkeys(s.remote.display for s in connected if s.remote is not None))[:20],
        "listening": list(dict.fromkeys(s.local.display for s in waits if s.local is not None)),
        "digest": group[0].process.digest,
    }
    message = f"{title(group)}: {'; '.join(dict.fromkeys(clauses))}."
    return scene.finding(RULE, group, severity, confidence, message, evidence, details)


def _shells(scene: Scene, group: Sequence[Member]) -> Finding | None:
    """A shell, or an interpreter, that reads its orders from the network."""
    for member in group:
        if name_of(member) not in SHELLS or name_of(member) == "busybox":
            continue
        sockets = {s.inode: s for s in scene.held.get(member.pid, ()) if s.kind in ("tcp", "udp")}
        joined = [sockets[i] for i in member.standard[:2] if i is not None and i in sockets]
        if not joined:
            continue
        one = joined[0]
        place = scene.place(one.remote.address) if one.remote is not None else "outside"
        severity = Severity.HIGH if place in ("loopback", "own") else Severity.CRITICAL
        message = f"{title(group)}: a shell whose input or output is the network: {shown(one)}."
        details: dict[str, Json] = {
            "signs": ["input"],
            "tool": "shell",
            "direction": "in" if scene.came_in(one) else "out",
            "connections": [one.remote.display] if one.remote is not None else [],
        }
        evidence = [seen_in(member, "input", f"its input or output is {shown(one)}")]
        return scene.finding(RULE, group, severity, Confidence.HIGH, message, evidence, details, ("shell",))
    return None


def _server(scene: Scene, group: Sequence[Member]) -> Iterator[Finding]:
    """Sessions of an SSH server, and what they forward: the processes of a session wait on ports only for whoever is logged in."""
    first = group[0]
    session = _SESSION.match(first.words[0]) if first.words else None
    if session is None or session["part"] in ("listener", "net"):
        return
    held = [s for m in group for s in scene.held.get(m.pid, ())]
    waits = [s for s in held if s.kind == "tcp" and s.state == "listen"]
    peers = [
        s for s in held if s.kind == "tcp" and s.remote is not None and scene.came_in(s) and s.state == "established"
    ]
    leads = [
        s
        for s in held
        if s.kind == "tcp" and s.remote is not None and not scene.came_in(s) and s.state == "established"
    ]
    if session["part"] == "priv" and not waits:
        return  # its child is the session, and is told
    froms = list(dict.fromkeys(s.remote.address for s in peers if s.remote is not None))
    outside = any(scene.place(a) == "outside" for a in froms)
    clauses = [f"a login of {session['user']} from {froms[0] if froms else 'an address that is not known'}"]
    evidence = [seen_in(first, "session", clauses[0])]
    severity = Severity.MEDIUM if outside else Severity.LOW
    if waits:
        ports = ", ".join(dict.fromkeys(s.local.display for s in waits if s.local is not None))
        clauses.append(f"waits on {ports} for what it forwards to whoever is logged in")
        severity = raised(severity, Severity.HIGH)
        evidence.append(seen_in(first, "listening", f"listens on {ports}"))
    if leads:
        clauses.append("leads its user on to " + ", ".join(dict.fromkeys(shown(s) for s in leads[:3])))
        severity = raised(severity, Severity.HIGH if outside else Severity.MEDIUM)
        evidence.append(seen_in(first, "connection", clauses[-1]))
    details: dict[str, Json] = {
        "signs": [e.kind for e in evidence],
        "tool": "sshd",
        "direction": "in",
        "from": list(froms),
        "listening": [s.local.display for s in waits if s.local is not None],
        "connections": list(dict.fromkeys(s.remote.display for s in leads if s.remote is not None))[:20],
    }
    yield scene.finding(
        RULE,
        group,
        severity,
        Confidence.HIGH,
        f"{title(group)}: {'; '.join(clauses)}.",
        evidence,
        details,
        ("session",),
    )


def _device(scene: Scene, group: Sequence[Member]) -> Finding:
    message = f"{title(group)}: holds /dev/net/tun, the device of virtual private networks."
    evidence = [seen_in(group[0], "device", "/dev/net/tun")]
    return scene.finding(
        RULE,
        group,
        Severity.MEDIUM,
        Confidence.MEDIUM,
        message,
        evidence,
        {"signs": ["device"], "tool": "tun"},
        ("tun",),
    )
