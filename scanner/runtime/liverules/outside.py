"""A process that is connected to somebody outside: ordinary by itself, and what turns a suspicion into a finding."""

import re
from collections.abc import Iterator, Sequence

from scanner.model import Confidence, Finding, Json, Rule, Severity
from scanner.model.run import Socket
from scanner.runtime.liverules.miner import POOL_PORTS
from scanner.runtime.liverules.scene import (
    EXAMPLES,
    Scene,
    alike,
    gpus,
    hidden,
    raised,
    seen_in,
    shown,
    temporary,
    title,
)
from scanner.runtime.liverules.tunnel import name_of
from scanner.runtime.procfs.processes import Member

RULE = Rule(
    id="live/outside-connection",
    name="Connection to somebody outside",
    severity=Severity.HIGH,
    description="A process holds a connection to an address that is neither the container's own network nor a private one, to the "
    "service that hands out a cloud machine's credentials, or to an SSH server; graver where other signs are against the process.",
    help="It shows that the sandbox reaches the outside. If it must not, find the path with sandscan egress and close it there.",
    references=("https://attack.mitre.org/techniques/T1071/", "https://attack.mitre.org/techniques/T1552/005/"),
    attack=("T1071", "T1041"),
)

_SSH = 22
_CLIENTS = re.compile(r"ssh|slogin|dbclient|plink|sftp|scp|git|rsync|sftp-server")
_LIVE = frozenset("established syn-sent syn-recv close-wait fin-wait-1 fin-wait-2 last-ack closing unconnected".split())


def judge(scene: Scene) -> Iterator[Finding]:
    """For each program one note with all that is ordinary, and one finding for each end that is not."""
    for group in alike(scene.seen.members):
        ordinary: list[Socket] = []
        told: set[tuple[str, str, int | None]] = set()
        for member in group:
            for one in scene.held.get(member.pid, ()):
                if one.remote is None or one.kind not in ("tcp", "udp", "udplite") or one.state not in _LIVE:
                    continue
                place = scene.place(one.remote.address)
                if place in ("loopback", "link") or (place in ("own", "private") and not _is_ssh(scene, member, one)):
                    continue
                severity, confidence, why = _weight(scene, member, one, place)
                if severity is Severity.NOTE:
                    ordinary.append(one)
                    continue
                end = (one.kind, one.remote.address, one.remote.port)
                if end not in told:
                    told.add(end)
                    yield _finding(scene, group, one, severity, confidence, why)
        if ordinary:
            yield _ordinary(scene, group, ordinary)


def _is_ssh(scene: Scene, member: Member, one: Socket) -> bool:
    port = one.remote.port if one.remote is not None else None
    return not scene.came_in(one) and (port == _SSH or _CLIENTS.fullmatch(name_of(member)) is not None)


def _weight(scene: Scene, member: Member, one: Socket, place: str) -> tuple[Severity, Confidence, list[str]]:
    assert one.remote is not None, "only connected sockets are weighed"
    why: list[str] = []
    severity, confidence = Severity.NOTE, Confidence.HIGH
    if place == "metadata":
        why.append("the service that hands out a cloud machine's credentials")
        severity = Severity.MEDIUM
    if _is_ssh(scene, member, one):
        why.append("an SSH session" if one.remote.port == _SSH else "a session of an SSH client")
        severity = raised(severity, Severity.LOW)
    if one.remote.port in POOL_PORTS and not scene.came_in(one) and (scene.busy(member) is not None or gpus(member)):
        why.append("a port that pools have, held by a process that works without a pause")
        severity = raised(severity, Severity.LOW)
        confidence = Confidence.LOW if len(why) == 1 else confidence
    if hides := hidden(member):
        why += hides
        severity = raised(severity, Severity.HIGH)
        confidence = Confidence.HIGH
    elif temporary(member):
        why.append("the program lies among temporary or hidden files")
        severity = raised(severity, Severity.LOW)
    if any(
        s.severity.rank >= Severity.MEDIUM.rank for s in scene.miners.get(member.pid, ()) if s.kind != "environment"
    ):
        why.append("the process was found to mine")
        severity = raised(severity, Severity.HIGH)
        confidence = Confidence.HIGH
    elif any(s.severity.rank >= Severity.MEDIUM.rank for s in scene.tunnels.get(member.pid, ())):
        why.append("the process was found to tunnel")
        severity = raised(severity, Severity.MEDIUM)
        confidence = Confidence.HIGH
    return severity, confidence, why


def _finding(
    scene: Scene, group: Sequence[Member], one: Socket, severity: Severity, confidence: Confidence, why: Sequence[str]
) -> Finding:
    assert one.remote is not None, "only connected sockets are told"
    inward = scene.came_in(one)
    said = "somebody is connected to it from" if inward else "is connected to"
    if one.state.startswith("syn-"):
        said = "tries to reach"
    message = f"{title(group)}: {said} {shown(one)}: {'; '.join(why)}."
    details: dict[str, Json] = {
        "connections": [one.remote.display],
        "address": one.remote.address,
        "port": one.remote.port,
        "direction": "in" if inward else "out",
        "place": scene.place(one.remote.address),
        "why": list(why),
    }
    end = one.remote.address if inward else one.remote.display
    return scene.finding(
        RULE, group, severity, confidence, message, [seen_in(group[0], "connection", shown(one))], details, (end,)
    )


def _ordinary(scene: Scene, group: Sequence[Member], sockets: Sequence[Socket]) -> Finding:
    ends: dict[str, Socket] = {}
    for one in sockets:
        inward = scene.came_in(one)
        assert one.remote is not None, "only connected sockets are told"
        ends.setdefault(f"from {one.remote.address}" if inward else shown(one), one)
    listed = list(ends)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    message = f"{title(group)}: is connected to the outside: {', '.join(listed[:3])}{more}."
    evidence = [seen_in(group[0], "connection", end) for end in listed[:EXAMPLES]]
    details: dict[str, Json] = {"connections": list(listed[:EXAMPLES]), "count": len(listed), "place": "outside"}
    return scene.finding(RULE, group, Severity.NOTE, Confidence.HIGH, message, evidence, details, ("ordinary",))
