"""A run where nothing can leave: the image's own command in a sinkhole, then what it tried, ran, changed and left, as one report.

Every end takes everything away: containers, volumes, namespaces and processes. What a killed observer leaves is a stopped
container and its volumes, or a frozen one where cgroup v1 lets nothing frozen die; the next start removes them (`sweep`).
The pause image, of 300 bytes, stays at the engine.
"""

import os
import platform
import posixpath
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanner import masked
from scanner.egress.assess import name_of, sandboxes_of
from scanner.errors import ScannerError, SourceError, TargetError, UsageError
from scanner.model import Image, ImageConfig, Launch, Level, Notification, Report, Target, printable, worst_first
from scanner.model.run import Attempt, How, Process, Run, Withheld
from scanner.oci.reference import repository_of
from scanner.pipeline import Options, Step
from scanner.runtime.drift.policy import Policy
from scanner.runtime.sinkhole.addresses import GATEWAY4, GATEWAY6
from scanner.runtime.sinkhole.guest import Ended, Guest, Limits, Moment, Pause, readable
from scanner.runtime.sinkhole.pause import elf
from scanner.runtime.sinkhole.sink import Sink, SinkError, SinkOptions, SinkResult, check
from scanner.runtime.sinkhole.sweep import remove_images, sweep
from scanner.runtime.sinkhole.withheld import Sandbox, Settings, as_launched
from scanner.sources.engine import ask, connect
from scanner.sources.plugin import OpenImage
from scanner.sources.recognise import sources

if TYPE_CHECKING:
    import docker

    from scanner.egressing import EgressOptions
    from scanner.runtime.changes.opening import Compared
    from scanner.runtime.live import Looked
    from scanner.runtime.procfs import Seen
    from scanner.runtime.procfs.processes import Member
    from scanner.runtime.trace.tracer import Tracer

_NAMED = 10
"""Paths that one sentence names."""
_TOLD_BY_ATTEMPTS = "live/outside-connection"
"""A rule on open connections: in a sinkhole each of them is an attempt, with its first bytes."""
_LIMITS = {
    "MemoryLimit": "memory",
    "PidsLimit": "the number of processes",
    "CpuCfsQuota": "CPU time",
}
"""What the engine says in /info of the controllers that it found (cgroups(7))."""


@dataclass(frozen=True, slots=True)
class ObserveOptions:
    """How to observe and judge. `environment` and `user` are the guest's, over its image's and its launch's. `pcap` takes every
    packet. `launches` are launch files, of which `sandbox` (None: the only one, or the one of that image) is run.
    """

    scanning: Options = field(default_factory=Options)
    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=lambda: Policy(()))
    episode: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    pcap: Path | None = None
    launches: tuple[str, ...] = ()
    egress: "EgressOptions | None" = None
    sandbox: str | None = None


@dataclass(frozen=True, slots=True)
class Watching:
    """Where an observation stands: `stage` in words, and while the guest runs seconds left, processes so far, bytes of output."""

    stage: str
    left: float | None = None
    processes: int = 0
    output: int = 0


@dataclass(frozen=True, slots=True)
class _Watched:
    """All that was seen of the run, before anything of it is judged. `given` are digests of what the engine wrote for the guest."""

    ended: Ended
    sink: SinkResult
    processes: tuple[Process, ...]
    calls: tuple[Attempt, ...]
    seen: "Seen"
    given: Mapping[bytes, str]
    notes: tuple[Notification, ...]


def observe(
    target: str | None,
    command: Sequence[str],
    options: ObserveOptions,
    progress: Callable[[Step], None] = lambda _: None,
    watch: Callable[[Watching], str | None] = lambda _: None,
) -> Report:
    """Run an image of the local engine where nothing can leave, and report what it tried and did.

    `target` is `NAME` or `docker:NAME`; None is the image that the launch names. `command` () is the launch's or the image's own. `watch` is
    told where it stands; while the guest runs, words that it gives end the run, and stand in the report as the reason.
    Raises UsageError, TargetError (no such image, no such command), SourceError (no root, no engine, an engine elsewhere or
    without limits), SinkError, and what a scan raises. What was not seen of the run is a notification, and the report then incomplete:
    of an engine that goes away it holds what was tried until then.
    """
    check_machine()
    launch, sandbox = _launched(options, target)
    settings, withheld = as_launched(sandbox, launch) if launch and sandbox else (Settings(), ())
    settings = _chosen(settings, options)
    name = _image_name(target, settings)
    started, clock = datetime.now(UTC), time.monotonic()
    with ExitStack() as resources:
        watch(Watching("looking at the engine"))
        client, endpoint = connect(
            f"To observe {printable(name)}",
            f"look at the image without running it: sandscan scan {printable(name)}",
            resources,
        )
        check_engine(client, endpoint)
        removed = sweep(client, endpoint)
        image = _inspected(client, endpoint, name)
        watch(Watching("building the sinkhole"))
        within = resources.enter_context(Pause(client, endpoint, settings))
        guest = resources.enter_context(Guest(within, image, settings, options.limits, tuple(command)))
        watched = _watched(within, guest, settings, options, watch)
        watch(Watching("comparing files"))
        report = _judged(guest, watched, options, name, withheld, started, clock, sandbox, progress)
    if removed:
        note = Notification(
            "observe", Level.NOTE, f"what an observation that was killed had left was removed: {', '.join(removed)}"
        )
        report = replace(report, notifications=(*report.notifications, note))
    return report


def clean() -> tuple[str, ...]:
    """Remove what killed observations left, and the pause images; gives the names of all that was removed. Raises SourceError."""
    with ExitStack() as resources:
        client, endpoint = connect("To clean up", "start it first: what is left is the engine's", resources)
        return (*sweep(client, endpoint), *remove_images(client, endpoint))


def check_machine() -> None:
    """Raises SourceError where nothing can be observed on this machine or by this user; changes nothing."""
    if sys.platform != "linux":
        raise SourceError(
            "observing needs Linux, whose namespaces hold the guest; run sandscan in the machine where the engine runs"
        )
    if os.geteuid() != 0:
        raise SourceError("observing needs root, to build the network that leads nowhere; run it with sudo")
    elf(platform.machine())
    check()


def check_engine(client: "docker.DockerClient", endpoint: str) -> None:
    """Raises SourceError where the engine's containers are not this machine's, or cannot be limited."""
    shown = printable(endpoint)
    if not endpoint.startswith("unix:"):
        raise SourceError(
            f"the engine at {shown} is not on this machine, and its containers' network cannot be held from here; run sandscan there"
        )
    info = ask(endpoint, client.api.info) or {}
    kernel = str(info.get("KernelVersion") or "")
    if info.get("OSType") not in (None, "linux") or kernel != platform.release():
        raise SourceError(
            f"the engine at {shown} runs on another kernel ({printable(kernel) or 'unknown'}, here {platform.release()}): "
            "a virtual machine. Run sandscan where the engine runs"
        )
    if any(str(s).startswith("name=rootless") for s in info.get("SecurityOptions") or ()):
        raise SourceError(
            f"the engine at {shown} is rootless, and gives its containers no namespaces that could be led into a sinkhole; use one that runs as root"
        )
    if lacking := [words for key, words in _LIMITS.items() if info.get(key) is False]:
        raise SourceError(
            f"the engine at {shown} cannot limit {' or '.join(lacking)}: nothing unknown is run without limits. "
            "Enable the control groups for it (cgroup_enable=memory, or the controllers in cgroup.subtree_control)"
        )


# ---- what is run


def _launched(options: ObserveOptions, target: str | None) -> tuple[Launch | None, Sandbox | None]:
    """The launch, and the one of its sandboxes that is to be run. Raises UsageError where that is not clear."""
    if not options.launches:
        return None, None
    from scanner.egressing import EgressOptions, read_launch

    launch, _ = read_launch(options.launches, options.egress or EgressOptions())
    known = sandboxes_of(launch)
    names = [name_of(one) for one in known]
    if options.sandbox is not None:
        if options.sandbox not in names:
            raise UsageError(
                f"the launch starts no sandbox {printable(options.sandbox)}; there are {printable(', '.join(names[:10]))}"
            )
        return launch, known[names.index(options.sandbox)]
    if target is not None and len(known) > 1:
        wanted = target.removeprefix("docker:")
        known = tuple(one for one in known if as_launched(one, launch)[0].image == wanted) or known
    if len(known) != 1:
        raise UsageError(
            f"the launch starts {len(known)} sandboxes; say which to observe with --sandbox: {printable(', '.join(names[:10]))}"
            if known
            else "the launch starts no sandbox that could be observed"
        )
    return launch, known[0]


def _chosen(settings: Settings, options: ObserveOptions) -> Settings:
    """The settings with what the user said himself."""
    environment = {**dict(settings.environment), **dict(options.environment)}
    return replace(
        settings,
        environment=tuple(environment.items()),
        user=options.user if options.user is not None else settings.user,
    )


def _image_name(target: str | None, settings: Settings) -> str:
    """The engine's name of the image. Raises UsageError where none is named, or one that no engine holds."""
    if target is None:
        if settings.image is None:
            raise UsageError("name an image of the local engine: sandscan observe IMAGE")
        return settings.image
    scheme, colon, rest = target.partition(":")
    if colon and scheme == "docker":
        return rest
    if colon and rest and scheme in {source.scheme for source in sources()}:
        raise UsageError(
            f"{printable(target)}: only an image of the local engine can be run; bring it there first "
            "(docker load, docker import, docker pull) and name it"
        )
    return target


def _inspected(client: "docker.DockerClient", endpoint: str, name: str) -> dict[str, Any]:
    try:
        found = ask(endpoint, partial(client.api.inspect_image, name), name)
    except TargetError as e:
        raise TargetError(
            f"the engine at {printable(endpoint)} has no image {printable(name)}; fetch it with `docker pull {printable(name)}`"
        ) from e
    assert found is not None, "what is wanted is told, or it is an error"
    return found


# ---- the run itself


def _watched(
    within: Pause, guest: Guest, settings: Settings, options: ObserveOptions, watch: Callable[[Watching], str | None]
) -> _Watched:
    from scanner.runtime.procfs import look
    from scanner.runtime.trace.tracer import Tracer

    notes: list[Notification] = []
    with ExitStack() as standing:
        tracer = standing.enter_context(Tracer(within.namespace))
        sink = standing.enter_context(
            Sink(within.pid, SinkOptions(who=tracer.who, names=settings.names, pcap=options.pcap))
        )
        fallen = os.pidfd_open(sink.pid)
        standing.callback(os.close, fallen)
        given = within.files()
        ended = guest.run(_Turn(tracer, fallen, watch))
        watch(Watching("looking at what runs"))
        # before the look starts some of its own
        processes = tuple(p for p in tracer.processes() if p.pid != within.pid)
        seen = look(guest.pid if guest.is_frozen else within.pid)
        try:
            result = sink.finish()
        except SinkError as e:
            within.kill()
            notes.append(Notification("observe", Level.ERROR, str(e)))
            result = e.seen or SinkResult((), (), {}, ())
        calls = tracer.attempts()
        notes += (Notification("unseen", Level.WARNING, problem) for problem in tracer.problems)
    notes += (Notification("unseen", Level.WARNING, note) for note in ended.notes)
    notes += (Notification("unseen", Level.WARNING, note) for note in result.notes)
    notes += (Notification("observe", Level.NOTE, note) for note in result.unanswered)
    return _Watched(ended, result, processes, calls, seen, given, tuple(notes))


class _Turn:
    """What is done some times a second while the guest runs: the caller is told, and a sinkhole that fell ends the run."""

    def __init__(self, tracer: "Tracer", sink: int, watch: Callable[[Watching], str | None]) -> None:
        self._tracer = tracer
        self._sink = sink
        self._watch = watch

    def __call__(self, moment: Moment) -> str:
        if readable(0, self._sink):
            return "the sinkhole fell"
        of_guest = max(0, self._tracer.count - 1)  # the pause's own is one
        return self._watch(Watching("running", moment.left, of_guest, moment.output)) or ""


# ---- the report


def _judged(
    guest: Guest,
    watched: _Watched,
    options: ObserveOptions,
    name: str,
    withheld: tuple[Withheld, ...],
    started: datetime,
    clock: float,
    sandbox: Sandbox | None,
    progress: Callable[[Step], None],
) -> Report:
    """The one report: changes as `diff` judges them, processes as `live` does, attempts by their own rules, and the prediction."""
    from scanner.egress.observed import join
    from scanner.runtime.attempts.judging import judge
    from scanner.runtime.attempts.judging import rules as attempt_rules
    from scanner.runtime.changes.opening import compare_container
    from scanner.runtime.diff import DiffOptions, judged
    from scanner.runtime.liverules import RULES as LIVE_RULES
    from scanner.sources.container import find_container

    with ExitStack() as resources:
        try:
            # a frozen guest runs no more than one that has ended
            found = find_container(guest.id, resources)
            container = replace(found, running=False, upper=found.upper or guest.upper)
            compared = compare_container(container, options.scanning.source, resources, guest.memory)
        except ScannerError as e:  # an engine that went away takes the files along, and not what was tried
            compared = _uncompared(name, e)
        changes = (c for c in compared.changes if c.after is None or c.after.digest != watched.given.get(c.path, ""))
        compared = replace(compared, changes=tuple(changes))
        target = Target("docker", name, compared.before.target.repository)
        diffing = DiffOptions(options.scanning, options.policy, options.episode, options.launches, options.egress)
        report = judged(compared, target, diffing, started, clock, progress)
        looked = _looked(guest, watched, options, name, target.repository, progress)
        built = compared.before.image.platform
        left = {change.path for change in compared.changes if change.after is not None}
        gone = tuple(_gone(watched.processes, looked.processes, compared.stands, left))
    assert report.run is not None, "a judged comparison has its run"
    told = compared.container.inspected if compared.container is not None else {}
    run = replace(
        report.run,
        how=How.OBSERVE,
        subject=masked.text(name),
        image=None,
        started=watched.ended.started,
        ended=watched.ended.ended,
        command=masked.words([str(word) for word in (told.get("Path"), *(told.get("Args") or ())) if word]),
        processes=_joined(watched.processes, looked),
        sockets=looked.sockets,
        namespace=watched.seen.namespace,
        queries=watched.sink.queries,
        attempts=tuple(sorted((*watched.sink.attempts, *watched.calls), key=lambda a: a.time)),
        withheld=withheld,
        unseen=(*report.run.unseen, *looked.unseen, *(n.message for n in watched.notes if n.stage == "unseen")),
        dropped=_dropped(watched),
        exit_code=watched.ended.exit_code,
        stopped=watched.ended.stopped,
        output=watched.ended.output,
    )
    tried, notes = judge(run, target.repository, tuple(_siblings(report)), (GATEWAY4, GATEWAY6))
    findings = (*report.findings, *looked.findings, *tried)
    egress = report.egress
    if egress is not None and sandbox is not None:
        egress = join(egress, run, (name_of(sandbox),))
    return replace(
        report,
        findings=tuple(sorted(map(masked.finding, findings), key=worst_first)),
        notifications=(
            *report.notifications,
            *map(
                masked.notification,
                (
                    *watched.notes,
                    *looked.notifications,
                    *notes,
                    *gone,
                    *_never_began(watched.ended, run, built),
                    *_lost(run),
                ),
            ),
        ),
        rules=tuple(
            sorted({r.id: r for r in (*report.rules, *LIVE_RULES, *attempt_rules())}.values(), key=lambda r: r.id)
        ),
        statistics={
            **report.statistics,
            "attempts": len(run.attempts),
            "queries": len(run.queries),
            "processes": len(run.processes),
            "output_bytes": len(run.output) + watched.ended.output_lost,
            "seconds": round(time.monotonic() - clock, 3),
        },
        run=masked.run(run),
        egress=egress,
    )


def _uncompared(name: str, error: ScannerError) -> "Compared":
    """As if nothing had changed, and an error that says that nobody knows."""
    from scanner.runtime.changes.opening import Compared

    image = Image(None, "", None, ImageConfig(), ())
    nothing = OpenImage(Target("docker", name, repository_of(name)), image, ())
    note = Notification("observe", Level.ERROR, f"what the guest changed is not known: {error}")
    return Compared(nothing, (), (), (note,), lambda _: None, lambda _: None, None, lambda _: False)


def _siblings(report: Report) -> Iterable[str]:
    for one in report.egress.sandboxes if report.egress is not None else ():
        yield from one.graph.siblings


def _looked(
    guest: Guest,
    watched: _Watched,
    options: ObserveOptions,
    name: str,
    repository: str,
    progress: Callable[[Step], None],
) -> "Looked":
    """What still ran, with its programs, judged as `live` does; and all that ran before, by its command lines."""
    from scanner.runtime.live import Looked, Surroundings, judged
    from scanner.runtime.procfs import Seen
    from scanner.runtime.procfs.programs import Programs

    rounds: list[Looked] = []
    if guest.is_frozen:
        programs = Programs(options.scanning, guest.pid, progress)
        seen = programs.look(watched.seen)
        files = {m.pid: programs.findings(m) for m in seen.members}
        rounds.append(judged(seen, files, name, repository, Surroundings(), programs.notes))
    standing = {p.pid: p.command for one in rounds for p in one.processes}
    for ended in _apart(watched.processes, standing):
        past = Seen(tuple(map(_member, ended)), (), None, (), lambda _: None)
        rounds.append(judged(past, {}, name, repository, Surroundings()))
    findings = {f.fingerprint: f for one in reversed(rounds) for f in one.findings if f.rule_id != _TOLD_BY_ATTEMPTS}
    first = rounds[0] if guest.is_frozen else Looked((), (), watched.seen.namespace, (), (), ())
    return replace(first, findings=tuple(findings.values()))


def _apart(traced: Sequence[Process], standing: Mapping[int, tuple[str, ...]]) -> list[list[Process]]:
    """The processes that were seen to begin, in lists that have no number twice; of those that still stand (by number, with the words
    that they have now), what they were before: another program, or the same by words that it has written over since."""
    turns: list[list[Process]] = []
    count: dict[int, int] = {}
    known: set[tuple[int, tuple[str, ...]]] = set()
    last = {p.pid: at for at, p in enumerate(traced)}
    for at, process in enumerate(traced):
        stands = last[process.pid] == at and standing.get(process.pid) == process.command
        if stands or (process.pid, process.command) in known:
            continue
        known.add((process.pid, process.command))
        turn = count.get(process.pid, 0)
        count[process.pid] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(process)
    return turns


def _member(process: Process) -> "Member":
    """A process that is no more, as the rules on running ones see it: by its command line alone."""
    from scanner.runtime.procfs.processes import bare

    return bare(process, process.command, Path(os.fsdecode(process.executable or b"")).name[:15])


def _joined(traced: Sequence[Process], looked: "Looked") -> tuple[Process, ...]:
    """Every process that was seen to begin, the ones still there with what a look at them added, and what only the look saw. A command
    line is what the program was started with: its own memory of that, which a look reads, may have been written over."""
    standing = {p.pid: p for p in looked.processes}
    last = {p.pid: at for at, p in enumerate(traced)}
    whole = []
    for at, process in enumerate(traced):
        found = standing.get(process.pid) if last[process.pid] == at else None
        began = (process.started or found.started) if found else None
        whole.append(
            process if found is None else replace(found, started=began, command=process.command or found.command)
        )
    return (*whole, *(p for p in looked.processes if p.pid not in last))


def _gone(
    traced: Iterable[Process], looked: Iterable[Process], stands: Callable[[bytes], bool], left: Collection[bytes]
) -> Iterable[Notification]:
    """Programs that ran and that nobody has read: neither a file of the run's end nor a process that was looked at. `left` are
    the files that the run left: a short-lived program that was started as `./a` is one of those whose path ends so, or is not known.
    """
    read = {p.executable for p in looked if p.digest is not None}
    ran = dict.fromkeys(p.executable for p in traced if p.executable is not None and p.executable not in read)
    # /proc/self/exe and the like are names of what is told under its own
    absolute = [path for path in ran if path.startswith(b"/") and not path.startswith(b"/proc/")]
    ends = {path: posixpath.join(b"/", posixpath.normpath(path)) for path in ran if not path.startswith(b"/")}
    gone = [path for path in absolute if not stands(path)]
    lost = [path for path, end in ends.items() if not any((b"/" + one).endswith(end) for one in left)]
    for paths, why in (
        (gone, "programs ran whose files were gone in the end: their content was not seen"),
        (
            lost,
            "programs were started by paths relative to folders that are not known: whether they were read is not known",
        ),
    ):
        if paths:
            more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
            names = ", ".join(printable(path, 200) for path in paths[:_NAMED])
            yield Notification(
                "observe", Level.NOTE, f"{why}, and they were judged by their command lines: {names}{more}"
            )


def _never_began(ended: Ended, run: Run, built: str) -> Iterable[Notification]:
    """A command that could not be executed, such as one whose loader the image lacks: a run of nothing shows nothing. `built` is
    the image's platform."""
    if ended.exit_code and not any(process.command for process in run.processes):
        last = ended.output.decode("utf-8", "backslashreplace").strip().rpartition("\n")[2]
        said = f": {printable(last, 300)}" if last else ""
        yield Notification(
            "observe",
            Level.WARNING,
            f"no program was seen to run, and the guest ended with exit code {ended.exit_code}{said} "
            f"(the image is one of {printable(built) or 'no platform'}, this machine {platform.machine()})",
        )


def _dropped(watched: _Watched) -> dict[str, int]:
    found = dict(watched.sink.dropped)
    if watched.ended.output_lost:
        found["output bytes"] = watched.ended.output_lost
    return found


def _lost(run: Run) -> Iterable[Notification]:
    """What was too much to be kept, and whose nobody knows. The output is no part of any judgement, and an attempt is seen without
    an answer or a process; all else may have held something."""
    for what, number in run.dropped.items():
        level = Level.NOTE if what in ("output bytes", "answers") else Level.WARNING
        why = "could not be sent" if what == "answers" else "were too many to keep, and were counted only"
        yield Notification("unseen", level, f"{number:,} {what} {why}")
    if nobodys := sum(a.count for a in run.attempts if a.pid is None):
        yield Notification("observe", Level.NOTE, f"which process made them is not known of {nobodys:,} attempts")
