"""A process that reads or writes packets past the system: AF_PACKET, raw IP, or a family that no rule of a firewall sees."""

from collections.abc import Iterator, Sequence

from scanner.model import Confidence, Finding, Json, Rule, Severity
from scanner.model.run import Socket
from scanner.runtime.liverules.scene import Scene, alike, hidden, raised, seen_in, title
from scanner.runtime.liverules.tunnel import name_of
from scanner.runtime.procfs.processes import Member

RULE = Rule(
    id="live/raw-socket",
    name="Process with a raw or packet socket",
    severity=Severity.HIGH,
    description="A process holds a socket that sees or makes whole packets (AF_PACKET, SOCK_RAW), or one of a family that network "
    "namespaces and firewalls do not hold back (vsock). ping's own sockets are a note.",
    help="Such a socket reads what others send on the link, and forges or tunnels past rules on ports. Take the capability NET_RAW "
    "from the sandbox (--cap-drop NET_RAW), and refuse other socket families by seccomp.",
    references=("https://attack.mitre.org/techniques/T1040/", "https://attack.mitre.org/techniques/T1095/"),
    attack=("T1040", "T1095"),
)

_PINGS = frozenset(
    "ping ping4 ping6 fping arping traceroute traceroute6 tracepath mtr mtr-packet busybox nping".split()
)
_LEASES = frozenset("dhclient udhcpc dhcpcd systemd-networkd NetworkManager networkd dhcpcanon".split())
_FAMILIES = frozenset(
    "vsock vsock_stream alg tipc xdp rds can bluetooth sctp rxrpc qipcrtr smc mctp packet raw icmp".split()
)
_LONG = 60
"""Seconds after which a ping that still runs is no look whether somebody is there."""


def judge(scene: Scene) -> Iterator[Finding]:
    """One finding for each program and command line, by its gravest socket."""
    for group in alike(scene.seen.members):
        sockets = [s for m in group for s in scene.held.get(m.pid, ()) if s.kind in _FAMILIES]
        weighed = [(_weight(scene, group[0], s), s) for s in sockets]
        kept = [(w, s) for w, s in weighed if w is not None]
        if kept:
            (severity, confidence, what), _ = max(kept, key=lambda one: (one[0][0].rank, one[0][1].rank))
            yield _finding(scene, group, [s for _, s in kept], severity, confidence, what)


def _weight(scene: Scene, member: Member, one: Socket) -> tuple[Severity, Confidence, str] | None:
    name = name_of(member)
    severity, confidence, what = _plain(name, one)
    if one.kind == "icmp":
        ran = scene.now - member.process.started if member.process.started is not None else 0
        if name in _PINGS or ran < _LONG:
            return None
    if hidden(member) and one.kind != "icmp":
        return raised(severity, Severity.HIGH), Confidence.HIGH, what
    return severity, confidence, what


def _plain(name: str, one: Socket) -> tuple[Severity, Confidence, str]:
    """How much a socket weighs by itself, and what it is."""
    if one.kind == "packet":
        what = f"reads and writes whole packets of {one.says}" if one.says else "reads and writes whole packets"
        if name in _LEASES or name == "arping":
            return Severity.NOTE, Confidence.HIGH, f"{what}, as its work needs"
        return Severity.MEDIUM, Confidence.HIGH, what
    if one.kind == "raw":
        icmp = one.says in ("protocol icmp", "protocol icmp6")
        what = f"reads and writes IP packets of {one.says}" if one.says else "reads and writes IP packets"
        if name in _PINGS and (icmp or one.says in ("protocol any", "protocol udp")):
            return Severity.NOTE, Confidence.HIGH, f"{what}, as {name} does"
        return (Severity.LOW if icmp else Severity.MEDIUM), Confidence.HIGH, what
    if one.kind == "icmp":
        return Severity.NOTE, Confidence.MEDIUM, "sends ICMP echoes for more than a minute"
    if one.kind.startswith("vsock"):
        return Severity.HIGH, Confidence.HIGH, "holds a vsock socket, which no network namespace holds back"
    if one.kind == "alg":
        return Severity.NOTE, Confidence.HIGH, "uses the kernel's cryptography"
    return Severity.LOW, Confidence.MEDIUM, f"holds a socket of the family {one.kind}"


def _finding(
    scene: Scene,
    group: Sequence[Member],
    sockets: Sequence[Socket],
    severity: Severity,
    confidence: Confidence,
    what: str,
) -> Finding:
    listed = list(
        dict.fromkeys(f"{s.kind} {s.family}: {s.says}" if s.says else f"{s.kind} {s.family}" for s in sockets)
    )
    details: dict[str, Json] = {
        "sockets": list(listed[:20]),
        "kinds": list(dict.fromkeys(s.kind for s in sockets)),
        "remote": list(dict.fromkeys(s.remote.display for s in sockets if s.remote is not None))[:20],
    }
    evidence = [seen_in(group[0], "socket", text) for text in listed[:10]]
    return scene.finding(RULE, group, severity, confidence, f"{title(group)}: {what}.", evidence, details)
