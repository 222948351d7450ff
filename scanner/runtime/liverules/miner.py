"""A process that mines: by its program, its command line, and what it does with processors, graphics cards and the network."""

from collections.abc import Iterator, Sequence

from scanner.detectors.mining.families import COMMON_WORDS, program_family
from scanner.model import Confidence, Evidence, Finding, Json, Rule, Severity, printable
from scanner.model.run import Socket
from scanner.runtime.liverules.scene import (
    Scene,
    Sign,
    alike,
    gpus,
    hidden,
    of_all,
    raised,
    seen_in,
    shown,
    temporary,
    title,
)
from scanner.runtime.liverules.signs import only_loads, wraps
from scanner.runtime.procfs.processes import Member

RULE = Rule(
    id="live/miner-process",
    name="Process that mines",
    severity=Severity.CRITICAL,
    description="A running process whose program was found to be a miner, whose command line or script starts one, or that works "
    "without a pause, hides what it is and talks to a port that pools have.",
    help="The sandbox mines for somebody now. Stop the container, keep its files for a look (sandscan diff), and change every "
    "secret that it could read.",
    references=("https://attack.mitre.org/techniques/T1496/001/",),
    attack=("T1496.001",),
)

POOL_PORTS = frozenset(
    map(
        int,
        """
        1314 1444 2633 3032 3256 3333 3334 3335 3353 3355 3357 4244 4444 4445 5332 5333 5555 5556 5588 5730 6666 7777 7778 9999
        10128 10300 10343 11024 13333 13531 14433 14444 15555 16060 17777 19999 20128 20300 20535 30300 33330 33333 43333 45560
        45700 45791 60195
        """.split(),
    )
)
"""Ports that pools publish for their miners; other services have most of them, too: they are never enough."""
_AMOUNTS_TO_NOTHING = frozenset(("miner/wallet",))
"""What is found in files of programs that only speak of miners: told by its own rule."""


def judge(scene: Scene) -> Iterator[Finding]:
    """One finding for each program and command line; a shell that waits for such a process is named with it."""
    for group in alike(scene.seen.members):
        signs = of_all(scene.miners, group)
        strong = [s for s in signs if s.kind != "environment"]
        if strong and (wraps(group[0]) or only_loads(strong)) and all(m.pid in scene.above_miners for m in group):
            continue
        if all(s.rule in _AMOUNTS_TO_NOTHING for s in strong):
            strong = []
        weak = _weak(scene, group)
        ordered = [s for s in signs if s.kind == "environment"]
        if strong or (ordered and weak) or _adds_up(weak):
            yield _finding(scene, group, strong, ordered, weak)
    yield from _of_environment(scene)


def _adds_up(weak: dict[str, str]) -> bool:
    """Signs that ordinary programs have one by one: a port of pools and work without a pause together are few's, a
    thread of the kernel's name nobody's."""
    works = {"processor time", "graphics card"} & weak.keys()
    return bool(works) and ("pool port" in weak or "disguise" in weak or "thread names" in weak)


def _weak(scene: Scene, group: Sequence[Member]) -> dict[str, str]:
    found: dict[str, str] = {}
    for member in group:
        for one in pools(scene, member):
            found.setdefault("pool port", f"is connected to {shown(one)}, a port that pools have")
        if (share := scene.busy(member)) is not None:
            found.setdefault("processor time", f"has used {share:.1f} processors without a pause since it began")
        if cards := gpus(member):
            found.setdefault("graphics card", f"holds {', '.join(cards[:3])}")
        if hides := hidden(member):
            found.setdefault("disguise", " and ".join(hides))
        named = [t for t in member.threads if program_family(t) and t not in COMMON_WORDS]
        if named:
            found.setdefault("thread names", f"has threads named {printable(', '.join(named[:3]))}")
    return found


def pools(scene: Scene, member: Member) -> tuple[Socket, ...]:
    """Connections to ports of pools, beyond the container's own networks."""
    return tuple(
        s
        for s in scene.outgoing(member.pid)
        if s.remote is not None
        and s.remote.port in POOL_PORTS
        and scene.place(s.remote.address) in ("outside", "private")
    )


def _finding(
    scene: Scene, group: Sequence[Member], strong: Sequence[Sign], ordered: Sequence[Sign], weak: dict[str, str]
) -> Finding:
    kinds = list(dict.fromkeys(s.kind for s in (*strong, *ordered)))
    if strong:
        first = max(strong, key=lambda s: (s.severity.rank, s.confidence.rank))
        severity, confidence = raised(first.severity, Severity.MEDIUM), first.confidence
        if first.severity is Severity.NOTE or (first.severity.rank < Severity.MEDIUM.rank and not weak):
            severity = first.severity  # a library or a test that names miners
        independent = len(kinds) + len(weak)
        if independent > 1 and severity.rank >= Severity.MEDIUM.rank:
            severity, confidence = (
                raised(severity, Severity.CRITICAL if severity.rank >= 3 else Severity.HIGH),
                Confidence.HIGH,
            )
    elif ordered:
        severity, confidence = Severity.HIGH, Confidence.HIGH if len(weak) > 1 else Confidence.MEDIUM
    else:
        severity, confidence = Severity.MEDIUM, Confidence.MEDIUM if len(weak) > 2 else Confidence.LOW
    clauses = [s.summary for s in (*strong, *ordered)][:3] + list(weak.values())
    if strong and temporary(group[0]):
        clauses.append("its program lies among temporary or hidden files")
    evidence: list[Evidence] = [s.evidence for s in (*strong, *ordered)][:10]
    evidence += [seen_in(group[0], kind.replace(" ", "-"), said) for kind, said in weak.items()]
    remotes = list(
        dict.fromkeys(s.remote.display for m in group for s in scene.outgoing(m.pid) if s.remote is not None)
    )
    details: dict[str, Json] = {
        "signs": [*kinds, *weak],
        "rules": list(dict.fromkeys(s.rule for s in (*strong, *ordered))),
        "pools": _listed(strong, ordered, name="pools"),
        "wallets": _listed(strong, ordered, name="wallets"),
        "family": next((s.details["family"] for s in (*strong, *ordered) if s.details.get("family")), None),
        "connections": list(remotes)[:20],
        "digest": group[0].process.digest,
    }
    message = f"{title(group)}: {'; '.join(dict.fromkeys(clauses))}."
    return scene.finding(RULE, group, severity, confidence, message, evidence, details)


def _listed(*found: Sequence[Sign], name: str) -> list[Json]:
    values: dict[str, None] = {}
    for signs in found:
        for one in signs:
            listed = one.details.get(name)
            if isinstance(listed, list | tuple):
                values.update(dict.fromkeys(map(str, listed)))
    return list(values)


def _of_environment(scene: Scene) -> Iterator[Finding]:
    """An environment that names a pool and whom to mine for is inherited by whoever is started: told once, at the first."""
    groups: dict[str, list[Member]] = {}
    for member in scene.seen.members:
        for one in scene.miners.get(member.pid, ()):
            if one.kind == "environment":
                groups.setdefault(one.summary, []).append(member)
    for summary, members in groups.items():
        members.sort(key=lambda m: (m.process.started or 0, m.pid))
        if any(_weak(scene, [m]) or any(s.kind != "environment" for s in scene.miners[m.pid]) for m in members):
            continue  # told with the process that acts on it
        sign = next(s for s in scene.miners[members[0].pid] if s.kind == "environment")
        message = f"{title(members)}: {summary}."
        details: dict[str, Json] = {"signs": ["environment"], "pools": _listed([sign], name="pools")}
        yield scene.finding(
            RULE, members, Severity.MEDIUM, sign.confidence, message, [sign.evidence], details, ("environment",)
        )
