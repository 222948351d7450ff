"""A look at a running container as one report, once or until it is stopped. Nothing is executed in the container."""

import ipaddress
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from scanner import masked
from scanner.errors import SourceError, TargetError
from scanner.model import Finding, Image, ImageConfig, Level, Notification, Report, Target, printable, worst_first
from scanner.model.run import How, Namespace, Process, Program, Run, Socket
from scanner.oci.platforms import host
from scanner.oci.reference import repository_of
from scanner.pipeline import Options, Step
from scanner.runtime.liverules import RULES, judge
from scanner.runtime.liverules.scene import Scene
from scanner.runtime.liverules.signs import Judge, signs
from scanner.runtime.procfs import Seen, look, top
from scanner.runtime.procfs.processes import bare
from scanner.runtime.procfs.programs import Programs

if TYPE_CHECKING:
    from scanner.egressing import EgressOptions
    from scanner.sources.container import EngineContainer

_SIBLINGS = 2000
_KEPT = 100_000
"""Processes, and sockets, that a watch remembers."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How to look. `scanning` is how the programs that run are scanned; `episode` the caller's word for the run; `launches` are
    launch files of the container, judged by `egress`, whose reach goes into the same report."""

    scanning: Options = field(default_factory=Options)
    episode: str | None = None
    launches: tuple[str, ...] = ()
    egress: "EgressOptions | None" = None


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look found, in the parts of a Run; `notifications` say what could not be read, `unseen` besides them."""

    processes: tuple[Process, ...]
    sockets: tuple[Socket, ...]
    namespace: Namespace | None
    findings: tuple[Finding, ...]
    notifications: tuple[Notification, ...]
    unseen: tuple[str, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around a container: `names` of other containers and of the host by address, `published` ports that lead into it."""

    names: Mapping[str, str] = field(default_factory=dict)
    published: frozenset[int] = frozenset()


class Watched:
    """A container that is looked at again and again: each program is scanned once.

    `pid` is its first process by the host's count, `subject` the container's name, `repository` that of its image, which
    fingerprints are made of.
    """

    def __init__(
        self,
        pid: int,
        subject: str,
        repository: str,
        options: Options,
        around: Surroundings = Surroundings(),
        progress: Callable[[Step], None] = lambda _: None,
    ) -> None:
        self.pid, self.subject, self.repository, self._around = pid, subject, repository, around
        self.programs = Programs(options, pid, progress)
        self._ticks: int | None = None

    def look(self) -> Looked:
        """One look. Without processes where the container's first one has ended, even where another has its number by now.
        Raises RuleError and SourceError."""
        seen = look(self.pid)
        if (first := seen.member(self.pid)) is not None:
            self._ticks = first.ticks if self._ticks is None else self._ticks
            if first.ticks != self._ticks:
                seen = Seen((), (), None, (), lambda _: None)
        seen = self.programs.look(_named(seen, self._around))
        files = {m.pid: self.programs.findings(m) for m in seen.members}
        return judged(seen, files, self.subject, self.repository, self._around, self.programs.notes)


def judged(
    seen: Seen,
    files: Mapping[int, Sequence[Finding]],
    subject: str,
    repository: str,
    around: Surroundings,
    notes: Iterable[Notification] = (),
) -> Looked:
    """What a look adds up to; `files` are the findings in the files of each process."""
    judging = Judge()
    miners, tunnels = signs(seen.members, files, judging)
    unseen = seen.unseen
    if judging.left:
        unseen = (*unseen, f"the command lines of {judging.left} processes: judging the others took too long")
    unseen = (*unseen, *(f"command lines: {note}" for note in judging.notes))
    scene = Scene(subject, repository, seen, miners, tunnels, around.names, around.published)
    findings = sorted((masked.finding(f) for f in judge(scene, files)), key=worst_first)
    told = dict.fromkeys((*notes, *(Notification("unseen", Level.WARNING, text) for text in unseen)))
    return Looked(
        seen.processes, seen.sockets, seen.namespace, tuple(findings), tuple(told), unseen, dict(seen.dropped)
    )


def live(name: str, options: LiveOptions, progress: Callable[[Step], None] = lambda _: None) -> Report:
    """The report on a running container, by name or id.

    Raises TargetError (no such container, or it does not run), SourceError (no engine answers, no room on the disk), RuleError.
    What could not be seen is a notification each, and the report is incomplete.
    """
    return follow(name, options, None, 0, lambda _: None, progress)


def follow(
    name: str,
    options: LiveOptions,
    stop: threading.Event | None,
    interval: float,
    told: Callable[[Report], None],
    progress: Callable[[Step], None] = lambda _: None,
) -> Report:
    """Look every `interval` seconds until `stop` is set or the container ends (None: once); the report on all that was seen.

    After each look that saw something new `told` is given a report of that alone. Raises as `live` does.
    """
    from scanner.sources.container import find_container

    began, clock = datetime.now(UTC), time.monotonic()
    with ExitStack() as resources:
        container = find_container(name, resources)
        if not container.running:
            raise TargetError(
                f"the container {container.name} does not run, so there is nothing to look at; what it left is told by "
                f"sandscan diff container:{container.name}"
            )
        repository = _repository(container)
        watched = Watched(
            container.pid, container.name, repository, options.scanning, surroundings(container), progress
        )
        seen_all = _All()
        frame = _Frame(container, repository, options, began)
        while True:
            looked = watched.look() if container.pid else from_engine(container, repository, watched.programs)
            if container.pid and not looked.processes and not seen_all.looks:
                raise SourceError(f"the container {container.name} ended before it was looked at")
            if container.pid and looked.processes and not seen_all.looks:
                _check(container)
            fresh = seen_all.add(looked)
            if fresh is not None and stop is not None:
                told(frame.report(fresh, watched.programs, clock))
            ended = container.pid != 0 and not looked.processes
            if stop is None or ended or stop.wait(interval):
                break
        report = frame.report(seen_all.union(), watched.programs, clock, looks=seen_all.looks)
    if options.launches and options.egress is not None:
        # the one place where what runs meets what the launch lets through
        from scanner.egressing import with_launch

        rules = {r.id: r for r in report.rules}
        joined = with_launch(report, options.launches, options.egress)
        rules.update((r.id, r) for r in joined.rules)
        report = replace(joined, rules=tuple(rules[i] for i in sorted(rules)))
    return report


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all reports of one watch share."""

    container: "EngineContainer"
    repository: str
    options: LiveOptions
    began: datetime

    def report(self, looked: Looked, programs: Programs, clock: float, looks: int = 1) -> Report:
        scanned = programs.report
        assert scanned is not None, "the first look scans"
        container = self.container
        inspected = container.inspected
        command = [str(inspected.get("Path") or ""), *map(str, inspected.get("Args") or ())]
        rules = {r.id: r for r in (*scanned.rules, *RULES)}
        return replace(
            scanned,
            target=masked.target(Target("container", container.name, self.repository)),
            image=Image(container.image or None, host(), None, ImageConfig(), ()),
            findings=looked.findings,
            means=(),
            notifications=tuple(dict.fromkeys(map(masked.notification, looked.notifications))),
            rules=tuple(rules[i] for i in sorted(rules)),
            started=self.began.isoformat(timespec="seconds").replace("+00:00", "Z"),
            statistics={
                "looks": looks,
                "processes": len(looked.processes),
                "sockets": len(looked.sockets),
                "programs": len({p.digest for p in looked.processes if p.digest}),
                "seconds": round(time.monotonic() - clock, 3),
            },
            run=masked.run(
                Run(
                    how=How.LIVE,
                    subject=container.name,
                    started=container.started or self.began.timestamp(),
                    ended=time.time(),
                    episode=self.options.episode,
                    image=container.image_name or None,
                    command=tuple(word for word in command if word),
                    processes=looked.processes,
                    sockets=looked.sockets,
                    namespace=looked.namespace,
                    unseen=looked.unseen,
                    dropped=looked.dropped,
                )
            ),
        )


class _All:
    """The union of all looks: processes with their ends, sockets as they were last, findings as they were worst."""

    def __init__(self) -> None:
        self.looks = 0
        self._processes: dict[tuple[int, int], Process] = {}
        self._sockets: dict[tuple[object, ...], Socket] = {}
        self._findings: dict[str, Finding] = {}
        self._notes: dict[Notification, None] = {}
        self._unseen: dict[str, None] = {}
        self._namespace: Namespace | None = None
        self._dropped: dict[str, int] = {}

    def add(self, looked: Looked) -> Looked | None:
        """What of it is new, None for nothing; a finding that weighs more than before is new."""
        self.looks += 1
        now = time.time()
        present = {_life(p): p for p in looked.processes}
        began = [p for key, p in present.items() if _what(p) != _what(self._processes.get(key))]
        gone = [
            (key, replace(p, ended=now)) for key, p in self._processes.items() if key not in present and p.ended is None
        ]
        self._processes.update(present)
        self._processes.update(gone)
        opened = []
        for one in looked.sockets:
            key = (one.kind, one.inode, one.local, one.remote)
            if key not in self._sockets or self._sockets[key].state != one.state:
                opened.append(one)
                self._sockets[key] = one
        findings = []
        for finding in looked.findings:
            old = self._findings.get(finding.fingerprint)
            if old is None or finding.severity.rank > old.severity.rank:
                findings.append(finding)
                self._findings[finding.fingerprint] = finding
        notes = [n for n in looked.notifications if n not in self._notes]
        unseen = [u for u in looked.unseen if u not in self._unseen]
        self._notes.update(dict.fromkeys(notes))
        self._unseen.update(dict.fromkeys(unseen))
        self._namespace = looked.namespace or self._namespace
        for name, number in looked.dropped.items():
            self._dropped[name] = max(number, self._dropped.get(name, 0))
        self._forget()
        if not (began or gone or opened or findings or notes):
            return None
        processes = (*began, *(p for _, p in gone))
        return Looked(processes, tuple(opened), looked.namespace, tuple(findings), tuple(notes), tuple(unseen))

    def union(self) -> Looked:
        return Looked(
            tuple(sorted(self._processes.values(), key=lambda p: (p.started or 0, p.pid))),
            tuple(self._sockets.values()),
            self._namespace,
            tuple(sorted(self._findings.values(), key=worst_first)),
            tuple(self._notes),
            tuple(self._unseen),
            self._dropped,
        )

    def _forget(self) -> None:
        """A container that starts processes without end must not fill our memory."""
        for kept in (self._processes, self._sockets):
            if len(kept) > _KEPT:
                for key in list(kept)[: len(kept) - _KEPT]:
                    del kept[key]  # type: ignore[arg-type]
                what = f"more than {_KEPT} processes or sockets came and went: the first ones are not in the report"
                self._notes.setdefault(Notification("unseen", Level.WARNING, what))
                self._unseen.setdefault(what)


def _what(process: Process | None) -> tuple[object, ...] | None:
    """What a process is: another program after exec(2), under its old number, is as new as another process."""
    return None if process is None else (process.executable, process.command)


def _life(process: Process) -> tuple[int, int]:
    """A process by its number and, to a tenth of a second, its start."""
    return process.pid, round((process.started or 0) * 10)


def _check(container: "EngineContainer") -> None:
    """Raises SourceError where the number of the first process is somebody else's by now."""
    from scanner.sources.container import is_process_of

    if not is_process_of(container.pid, container.id):
        raise SourceError(f"the container {container.name} ended while it was looked at")


def _repository(container: "EngineContainer") -> str:
    """The image's name without tag and digest, for fingerprints that survive the next container."""
    name = container.image_name
    return repository_of(name) if name and not name.startswith("sha256:") else "container"


def surroundings(container: "EngineContainer") -> Surroundings:
    """Who else is on the container's networks, and which ports of it the host hands on, by what the engine tells."""
    from scanner.sources.engine import ask

    api: Any = container.client.api
    settings = container.inspected.get("NetworkSettings")
    settings = settings if isinstance(settings, Mapping) else {}
    names: dict[str, str] = {}
    networks = settings.get("Networks")
    for name, one in (networks if isinstance(networks, Mapping) else {}).items():
        if not isinstance(one, Mapping):
            continue
        for key in ("Gateway", "IPv6Gateway"):
            _add(names, one.get(key), "the host, as gateway")
        found = ask(container.endpoint, partial(api.inspect_network, str(one.get("NetworkID") or name))) or {}
        others = found.get("Containers")
        for identifier, other in list(others.items())[:_SIBLINGS] if isinstance(others, Mapping) else ():
            if isinstance(other, Mapping) and identifier != container.id:
                for key in ("IPv4Address", "IPv6Address"):
                    _add(names, other.get(key), f"the container {printable(str(other.get('Name')), 100)}")
    ports = settings.get("Ports")
    published = {
        int(port)
        for key, bound in (ports if isinstance(ports, Mapping) else {}).items()
        if bound and (port := str(key).partition("/")[0]).isdigit()
    }
    return Surroundings(names, frozenset(published))


def _add(names: dict[str, str], address: object, name: str) -> None:
    text = str(address or "").partition("/")[0]
    try:
        names.setdefault(str(ipaddress.ip_address(text)), name)
    except ValueError:
        return


def _named(seen: Seen, around: Surroundings) -> Seen:
    """The same look with the names of those at the other ends."""
    return replace(seen, sockets=tuple(_said(one, around) for one in seen.sockets))


def _said(one: Socket, around: Surroundings) -> Socket:
    if one.kind not in ("tcp", "udp", "udplite") or one.says:
        return one
    if one.remote is not None and one.remote.address in around.names:
        return replace(one, says=around.names[one.remote.address])
    if one.state == "listen" and one.local is not None and one.local.port in around.published:
        return replace(one, says="published port")
    return one


def from_engine(container: "EngineContainer", repository: str, programs: Programs) -> Looked:
    """What the engine tells of a container whose processes are not in this machine's /proc: numbers and command lines."""
    from scanner.sources.engine import ask

    api: Any = container.client.api
    where = f"the engine at {printable(container.endpoint)} runs on another machine, or its processes are not to be seen from here"
    told: dict[str, Any] | None = None
    try:
        told = ask(container.endpoint, partial(api.top, container.id, ps_args=top.COLUMNS))
    except SourceError:
        told = ask(container.endpoint, partial(api.top, container.id, ps_args=top.PLAIN))
    found = top.processes((told or {}).get("Titles") or (), (told or {}).get("Processes") or (), time.time())
    members = tuple(
        bare(replace(process, program=Program.UNKNOWN), words, words[0] if words else "") for process, words in found
    )
    unseen = (
        f"programs, environments, open files and devices of the processes: {where}",
        f"sockets: {where}",
        f"routes, resolver and firewall: {where}",
    )
    seen = programs.look(Seen(members, (), None, unseen, lambda _: None))
    return judged(seen, {}, container.name, repository, Surroundings(), programs.notes)
