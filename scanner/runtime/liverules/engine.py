"""A process that speaks to the container engine: whoever does is the host's administrator in all but name."""

from collections.abc import Iterator, Sequence

from scanner.model import Confidence, Finding, Json, Rule, Severity
from scanner.model.run import Socket
from scanner.runtime.liverules.scene import Scene, alike, seen_in, title
from scanner.runtime.procfs import sockets as tables
from scanner.runtime.procfs.processes import Member

RULE = Rule(
    id="live/engine-socket",
    name="Process connected to a container engine",
    severity=Severity.CRITICAL,
    description="A process holds a connection to Docker, containerd, Podman or CRI-O outside of the container: by their Unix "
    "socket, whatever it is called in the container, or by their TCP port.",
    help="Over it a process starts containers with the host's root mounted, and reads every other container's secrets. Do not "
    "mount the engine's socket; where the work needs one, give it a filtering proxy or an engine of its own.",
    references=(
        "https://attack.mitre.org/techniques/T1611/",
        "https://docs.docker.com/engine/security/#docker-daemon-attack-surface",
    ),
    attack=("T1611", "T1610"),
)

_PORTS = frozenset((2375, 2376))
"""Docker's, without and with TLS (IANA)."""


def judge(scene: Scene) -> Iterator[Finding]:
    """One finding for each program and command line, by its gravest connection."""
    for group in alike(scene.seen.members):
        held = [s for m in group for s in scene.held.get(m.pid, ())]
        outside = [s for s in held if s.kind == "unix" and s.says == tables.ENGINE]
        tcp = [
            s
            for m in group
            for s in scene.outgoing(m.pid)
            if s.kind == "tcp" and s.remote is not None and s.remote.port in _PORTS and s.state == "established"
        ]
        own = [s for s in held if s.kind == "unix" and s.says == tables.OWN_ENGINE and s.state == "listen"]
        if outside:
            ends = _ends(outside)
            what = f"is connected to the engine outside by its socket ({', '.join(ends) or 'without a name'})"
            yield _finding(scene, group, outside, Severity.CRITICAL, Confidence.HIGH, what)
        elif tcp:
            what = f"is connected to a port that Docker has ({', '.join(_ends(tcp))})"
            yield _finding(scene, group, tcp, Severity.HIGH, Confidence.MEDIUM, what)
        elif own:
            names = ", ".join(s.local.display for s in own if s.local is not None)
            what = f"is an engine within the container ({names})"
            yield _finding(scene, group, own, Severity.NOTE, Confidence.MEDIUM, what)


def _ends(sockets: Sequence[Socket]) -> list[str]:
    return list(dict.fromkeys(s.remote.display for s in sockets if s.remote is not None))


def _finding(
    scene: Scene,
    members: Sequence[Member],
    sockets: Sequence[Socket],
    severity: Severity,
    confidence: Confidence,
    what: str,
) -> Finding:
    details: dict[str, Json] = {"sockets": list(_ends(sockets)), "count": len(sockets)}
    evidence = [seen_in(members[0], "connection", what)]
    return scene.finding(RULE, members, severity, confidence, f"{title(members)}: {what}.", evidence, details)
