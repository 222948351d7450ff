"""A process whose program hides: deleted, never a file, or under the name of a thread of the kernel."""

import re
from collections.abc import Iterator, Sequence

from scanner.model import Confidence, Evidence, Finding, Json, Rule, Severity, printable
from scanner.model.run import Program
from scanner.runtime.liverules.scene import Scene, alike, raised, seen_in, temporary, title
from scanner.runtime.procfs.processes import Member

RULE = Rule(
    id="live/deleted-executable",
    name="Process whose program hides",
    severity=Severity.HIGH,
    description="A running program that has no file any more, never had one (memfd_create), or that calls itself a thread of the "
    "kernel. What was only updated under a running process is low.",
    help="Nothing that looks at files finds such a program; its content was read from the process and judged. Stop it, and find "
    "out who started it; after an update, restart the service.",
    references=("https://attack.mitre.org/techniques/T1070/004/", "https://attack.mitre.org/techniques/T1620/"),
    attack=("T1070.004", "T1620", "T1036.004"),
)

_SYSTEM = re.compile(
    rb"^/(?:usr/|s?bin/|lib|opt/|snap/|nix/|home/[^/]+/\.(?:local|cache|nvm|pyenv)/|root/\.(?:local|cache|nvm|pyenv)/)"
)
_STARTING = 5
"""Seconds for which an engine's own program, which runs from memory, may be seen before it becomes what it starts (runc(8))."""


def judge(scene: Scene) -> Iterator[Finding]:
    """One finding for each program and command line."""
    for group in alike(scene.seen.members):
        first = group[0]
        if first.process.program is Program.MEMFD and _starts(scene, first):
            continue
        found = _program(first)
        if first.pretends:
            severity = raised(found[0] if found else Severity.HIGH, Severity.HIGH)
            clause = (
                f"calls itself {printable(' '.join(first.process.command), 60)}, as the kernel's own threads are named"
            )
            found = (severity, Confidence.HIGH, [*(found[2] if found else []), clause])
        if found is None:
            found = _libraries(first)
        if found is not None:
            yield _finding(scene, group, *found)


def _starts(scene: Scene, member: Member) -> bool:
    name = (member.process.executable or b"").removeprefix(b"/memfd:")
    young = member.process.started is not None and scene.now - member.process.started < _STARTING
    return young and name.startswith((b"runc_cloned:", b"crun", b"runc-dmz")) and member.words[1:2] == ("init",)


def _program(member: Member) -> tuple[Severity, Confidence, list[str]] | None:
    process = member.process
    path = printable(process.executable or b"", 200)
    if process.program is Program.MEMFD:
        return Severity.HIGH, Confidence.MEDIUM, [f"runs from memory: its program ({path}) was never a file"]
    if process.program is not Program.DELETED:
        return None
    if temporary(member):
        return (
            Severity.HIGH,
            Confidence.MEDIUM,
            [f"its program {path} was deleted from among temporary or hidden files"],
        )
    if member.replaced and process.executable is not None and _SYSTEM.match(process.executable):
        return Severity.LOW, Confidence.LOW, [f"its program {path} was replaced while it ran, as an update does"]
    if member.replaced:
        return Severity.MEDIUM, Confidence.LOW, [f"its program {path} was replaced while it ran"]
    return Severity.MEDIUM, Confidence.MEDIUM, [f"its program {path} was deleted while it ran"]


def _libraries(member: Member) -> tuple[Severity, Confidence, list[str]] | None:
    """Code without a file in a process that has one: engines make some at run time, so it is a note unless it was judged."""
    memfd = [
        lib for lib in member.libraries if lib.memfd and not re.search(rb"(?i)doublemapper|jit|wayland|pulse", lib.path)
    ]
    if not memfd:
        return None
    names = ", ".join(printable(lib.path, 80) for lib in memfd[:3])
    return Severity.LOW, Confidence.LOW, [f"runs code from memory that was never a file: {names}"]


def _finding(
    scene: Scene, group: Sequence[Member], severity: Severity, confidence: Confidence, clauses: Sequence[str]
) -> Finding:
    first = group[0]
    said = list(clauses)
    evidence: list[Evidence] = [seen_in(first, "program", clause) for clause in clauses]
    connected = [s for m in group for s in scene.outgoing(m.pid) if s.remote is not None]
    judged = [
        s
        for m in group
        for s in (*scene.miners.get(m.pid, ()), *scene.tunnels.get(m.pid, ()))
        if s.kind in ("program", "loaded")
    ]
    if judged:
        severity, confidence = raised(severity, Severity.HIGH), Confidence.HIGH
        said.append(judged[0].summary)
        evidence.append(judged[0].evidence)
    elif connected and severity.rank >= Severity.MEDIUM.rank:
        confidence = Confidence.HIGH
        said.append(
            "it is connected to " + ", ".join(dict.fromkeys(s.remote.display for s in connected[:3] if s.remote))
        )
    details: dict[str, Json] = {
        "program": first.process.program.value,
        "executable": printable(first.process.executable or b"", 500),
        "replaced": first.replaced,
        "pretends": first.pretends,
        "digest": first.process.digest,
        "connections": list(dict.fromkeys(s.remote.display for s in connected if s.remote is not None))[:20],
    }
    message = f"{title(group)}: {'; '.join(said)}."
    return scene.finding(RULE, group, severity, confidence, message, evidence, details)
