"""What a run did, in words that every report for people shares: times, attempts, changes, processes, sockets. All safe to print."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from scanner.model import Json, Kind, printable
from scanner.model.run import Attempt, ChangeKind, Endpoint, FileChange, How, Process, Program, Query, Run, Socket
from scanner.reports import words

COMMAND = 400
FIRST = 120
"""Characters of a command line, and of what was said first."""
DEEPEST = 40
"""Steps that a process is indented at most."""
SAID = 400
LISTED = 8
"""Interfaces, routes and the like that are named."""

HOW = {
    How.DIFF: "what the run changed",
    How.LIVE: "a look at what runs",
    How.OBSERVE: "observed where nothing can leave",
}


# ---- times


def instant(time: float | None) -> datetime | None:
    """The time in UTC; None for none, and for one that no calendar has."""
    if time is None:
        return None
    try:
        return datetime.fromtimestamp(time, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def stamp(time: float | None) -> str | None:
    """RFC 3339 in UTC with microseconds: `2026-01-02T03:04:05.250000Z`."""
    at = instant(time)
    return None if at is None else at.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def clock(time: float | None, day: float) -> str:
    """`03:04:05.250`; with its date where it is not the day of the other time; empty where nothing says."""
    at, same = instant(time), instant(day)
    if at is None:
        return ""
    if same is not None and at.date() == same.date():
        return at.isoformat(timespec="milliseconds")[11:23]
    return at.isoformat(" ", "seconds").removesuffix("+00:00")


def span(run: Run) -> str:
    """`2026-01-02 03:04:05.250 to 03:05:05.250 UTC (60.0 s)`."""
    began, ended = instant(run.started), instant(run.ended)
    if began is None or ended is None:
        return "not known"
    from_ = began.isoformat(" ", "milliseconds").removesuffix("+00:00")
    if run.ended <= run.started:
        return f"{from_} UTC"
    return f"{from_} to {clock(run.ended, run.started)} UTC ({run.ended - run.started:,.1f} s)"


# ---- who


def finder(run: Run) -> Callable[[int | None, float | None], Process | None]:
    """`Run.process` for many questions: the process of that number, at that time where the number was used twice."""
    by_pid: dict[int, list[Process]] = {}
    for one in run.processes:
        by_pid.setdefault(one.pid, []).append(one)

    def find(pid: int | None, at: float | None) -> Process | None:
        found = by_pid.get(pid, []) if pid is not None else []
        if len(found) > 1 and at is not None:
            found = [max([p for p in found if (p.started or 0) <= at + 1] or found, key=lambda p: p.started or 0)]
        return found[0] if found else None

    return find


def command(process: Process, limit: int = COMMAND) -> str:
    """Its command line; its program in brackets where it has none, as ps(1) does."""
    said = " ".join(process.command)
    return printable(said, limit) if said.strip() else f"[{printable(process.executable or b'?', limit)}]"


def actor(pid: int | None, process: Process | None, limit: int = 120) -> str:
    """`4711 ssh -N -R 2222:localhost:22`, `4711` where the process was not seen, empty where nobody is known."""
    if process is not None:
        return f"{process.pid} {command(process, limit)}"
    return "" if pid is None else str(pid)


def user(process: Process) -> str:
    if process.user:
        return printable(process.user, 60)
    return "" if process.uid is None else f"uid {process.uid}"


# ---- the head


def counts(run: Run) -> str:
    """`44 changes, 4 processes, 4 sockets, 2 queries, 6 attempts`: of what was seen, what there is."""
    parts = (
        (len(run.changes), "change", ""),
        (len(run.processes), "process", "processes"),
        (len(run.sockets), "socket", ""),
        (sum(one.count for one in run.queries), "query", "queries"),
        (sum(one.count for one in outward(run)), "attempt", ""),
    )
    return ", ".join(words.many(number, one, more) for number, one, more in parts if number) or "nothing"


def head(run: Run) -> Iterator[tuple[str, str]]:
    """Labels and words: what was looked at, for whom, when, how it ended."""
    of = f" of {printable(run.image)}" if run.image else ""
    yield "run", f"{printable(run.subject)}{of}: {HOW[run.how]}"
    if run.episode is not None:
        yield "episode", printable(run.episode)
    if run.command:
        yield "command", printable(" ".join(run.command), COMMAND)
    yield "time", span(run)
    if run.stopped:
        yield "ended", f"stopped: {words.plain(run.stopped, SAID)}"
    elif run.exit_code is not None:
        yield "ended", f"exit code {run.exit_code}"
    yield "seen", counts(run)
    if run.dropped:
        yield "dropped", dropped(run)


def dropped(run: Run) -> str:
    """`1,048,576 output bytes`: what came too fast or too much to be kept."""
    return ", ".join(f"{number:,} {printable(name, 60)}" for name, number in sorted(run.dropped.items()))


# ---- what it tried to reach


@dataclass(frozen=True, slots=True)
class Aim:
    """All attempts on one target that spoke alike. `who` are the processes, `told` what their bytes say, `first` bytes escaped."""

    target: str
    protocol: str
    service: str
    count: int
    sent: int
    began: float
    ended: float
    who: tuple[str, ...]
    told: tuple[str, ...]
    first: str
    end: Endpoint
    places: tuple[str, ...]
    """All targets that it stands for."""


def target(attempt: Attempt) -> str:
    """`pool.example:3333 (198.18.0.7)`, `203.0.113.9:22`."""
    shown = printable(attempt.target.display, SAID)
    if not attempt.name:
        return shown
    port = "" if attempt.target.port is None else f":{attempt.target.port}"
    return f"{printable(attempt.name, 253)}{port} ({printable(attempt.target.address)})"


def details(facts: Mapping[str, Json], limit: int = SAID) -> str:
    """`client SSH-2.0-OpenSSH_9.2p1, user ops, forwards bind , port 2222`: as they came, bounded."""
    return words.plain(", ".join(f"{name} {_value(one)}".rstrip() for name, one in list(facts.items())[:20]), limit)


def _value(value: Json, depth: int = 3) -> str:
    if isinstance(value, Mapping):
        return (
            ", ".join(f"{name} {_value(one, depth - 1)}".rstrip() for name, one in list(value.items())[:20])
            if depth
            else "…"
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_value(one, depth - 1) for one in value[:20]) if depth else "…"
    return (
        {None: "", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)[:SAID]
    )


def outward(run: Run) -> list[Attempt]:
    """The attempts that a person is told of: a Unix socket that is not there is what every C library asks for at its start."""
    return [one for one in run.attempts if one.protocol != "unix" or one.details.get("result") == "granted"]


def aims(run: Run) -> list[Aim]:
    """What was tried, by target: those that said something first, then by time."""
    find = finder(run)
    together: dict[tuple[object, ...], list[Attempt]] = {}
    for one in outward(run):
        together.setdefault((one.name, one.target, one.protocol, one.service), []).append(one)
    found = [_aim(attempts, find) for attempts in together.values()]
    return sorted(found, key=lambda one: (one.service in {"silent", "unknown"}, one.began))


def _aim(attempts: Sequence[Attempt], find: Callable[[int | None, float | None], Process | None]) -> Aim:
    first = min(attempts, key=lambda one: one.time)
    who = list({one.pid: find(one.pid, one.time) for one in attempts if one.pid is not None}.items())
    told = dict.fromkeys(said for one in attempts[:50] if (said := details(one.details)))
    return Aim(
        target(first),
        printable(first.protocol, 20),
        printable(first.service, 40),
        sum(one.count for one in attempts),
        sum(one.sent for one in attempts),
        first.time,
        max(one.last if one.last is not None else one.time for one in attempts),
        tuple(dict.fromkeys(actor(*one) for one in who[:20])),
        tuple(told),
        printable(next((one.first for one in attempts if one.first), b"").decode("utf-8", "backslashreplace"), FIRST),
        first.target,
        (target(first),),
    )


MANY = 8
"""So many silent targets of one process are told one by one."""


def gathered(aims: Sequence[Aim]) -> list[Aim]:
    """The same, with the silent targets of one process at one port, or at one address, as one where they are many: a scan."""
    by_port = _gathered(aims, lambda one: one.end.port)
    return _gathered(by_port, lambda one: one.end.address)


def _gathered(aims: Sequence[Aim], shared: Callable[[Aim], object]) -> list[Aim]:
    silent: dict[tuple[object, ...], list[Aim]] = {}
    for one in aims:
        if one.service == "silent":
            silent.setdefault((one.protocol, one.who, shared(one)), []).append(one)
    told: list[Aim] = []
    for one in aims:
        scan = silent.get((one.protocol, one.who, shared(one)), []) if one.service == "silent" else []
        if len(scan) <= MANY:
            told.append(one)
        elif one is scan[0]:
            told.append(_scan(scan))
    return told


def _scan(aims: Sequence[Aim]) -> Aim:
    places = tuple(place for one in aims for place in one.places)
    return replace(
        aims[0],
        target=f"{', '.join(places[:3])} and {len(places) - 3:,} more",
        places=places,
        count=sum(one.count for one in aims),
        sent=sum(one.sent for one in aims),
        ended=max(one.ended for one in aims),
    )


def spoke(aim: Aim) -> str:
    """`tcp, ssh, 3 times`."""
    service = {"silent": "nothing said", "unknown": "an unknown protocol"}.get(aim.service, aim.service)
    return f"{aim.protocol}, {service}" + (f", {aim.count:,} times" if aim.count > 1 else "")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to one server, however often."""

    name: str
    type: str
    server: str
    count: int
    began: float
    who: str


def asked(run: Run) -> list[Asked]:
    """The questions to name servers, each once, in the order of their first."""
    find = finder(run)
    together: dict[tuple[object, ...], list[Query]] = {}
    for one in sorted(run.queries, key=lambda one: one.time):
        together.setdefault((one.name, one.type, one.server, one.transport), []).append(one)
    return [
        Asked(
            printable(some[0].name, 253) or ".",
            printable(some[0].type, 20),
            f"{printable(some[0].server.display)} by {printable(some[0].transport, 20)}",
            sum(one.count for one in some),
            some[0].time,
            actor(some[0].pid, find(some[0].pid, some[0].time)),
        )
        for some in together.values()
    ]


# ---- what it changed


def change(one: FileChange, day: float | None = None) -> str:
    """`added, program, 0755 root, 182 kB, 03:04:07.750`; a disguise is said. Without a `day` no time is."""
    state = one.after if one.after is not None else one.before
    parts = [str(one.change)]
    if disguised(one):
        parts.append("with the size and the time that it had before")
    if one.executable:
        parts.append("program")
    if state is not None:
        owner = printable(one.user, 60) if one.user else f"uid {state.uid}"
        parts.append(f"{state.mode & 0o7777:04o} {owner}")
        if state.capability:
            parts.append(printable(state.capability, 100))
        size = words.size(state.size) if state.kind is Kind.FILE else str(state.kind)
        parts.append(f"to {printable(state.link_target)}" if state.link_target is not None else size)
    if day is not None:
        parts.append(clock(one.time, day))
    if one.place != "writable layer":
        parts.append(f"in {printable(one.place)}")
    if one.expected is not None:
        parts.append(f"expected ({words.plain(one.expected, 200)})")
    return ", ".join(filter(None, parts))


def disguised(one: FileChange) -> bool:
    """Whether another content has the size and the time of the old: what `docker diff` does not see."""
    before, after = one.before, one.after
    return (
        one.change is ChangeKind.MODIFIED
        and before is not None
        and after is not None
        and before.kind is after.kind
        and before.digest != after.digest
        and (before.size, before.modified) == (after.size, after.modified)
        and before.modified is not None
    )


def folders(changes: Sequence[FileChange], most: int) -> dict[bytes, list[FileChange]]:
    """Changes by the folder that they lie in; where those are more than `most`, by a folder further up."""
    depth = max((one.path.count(b"/") for one in changes), default=0)
    while True:
        found: dict[bytes, list[FileChange]] = {}
        for one in changes:
            found.setdefault(b"/".join(one.path.split(b"/")[:-1][:depth]), []).append(one)
        if len(found) <= most or depth <= 1:
            return dict(sorted(found.items()))
        depth = min(depth - 1, 12)


def kinds(changes: Iterable[FileChange]) -> str:
    """`12 added, 3 modified, 1 of them a program`."""
    listed = list(changes)
    counted = Counter(one.change for one in listed)
    programs = sum(one.executable for one in listed)
    told = ", ".join(f"{counted[one]:,} {one}" for one in ChangeKind if counted[one])
    return told + (f", {words.many(programs, 'program')} among them" if programs else "")


def expected(changes: Iterable[FileChange], most: int = 6) -> list[str]:
    """`dpkg: libfoo1: 3`, the most first: why changes were expected, and how many."""
    counted = Counter(one.expected for one in changes if one.expected is not None)
    shown = [
        f"{words.plain(reason, 200) or 'by no reason given'}: {number:,}"
        for reason, number in counted.most_common(most)
    ]
    return shown + ([f"and by {len(counted) - most:,} more reasons"] if len(counted) > most else [])


# ---- what ran


def tree(processes: Sequence[Process]) -> list[tuple[int, Process]]:
    """Processes with their depth, children below their parents in the order of their start; none is lost to a loop."""
    by_pid = {one.pid: number for number, one in reversed(list(enumerate(processes)))}
    children: dict[int | None, list[int]] = {}
    for number, one in enumerate(processes):
        parent = by_pid.get(one.parent)
        children.setdefault(None if parent == number else parent, []).append(number)
    for some in children.values():
        some.sort(key=lambda number: (processes[number].started or 0, processes[number].pid))
    told: list[tuple[int, Process]] = []
    seen: set[int] = set()
    # what hangs in a loop of parents has no root: each of those is one where nothing else led to it
    for root in (*children.get(None, ()), *range(len(processes))):
        waiting = [(root, 0)]
        while waiting:
            number, depth = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            told.append((depth, processes[number]))
            waiting += [(child, depth + 1) for child in reversed(children.get(number, ()))]
    return told


PROGRAMS = {Program.DELETED: "its program is deleted", Program.MEMFD: "its program is in memory alone"}


def about(process: Process, day: float) -> str:
    """`root, since 03:04:10.250, ended 03:04:12.500 (exit code 0), its program is deleted, 51.5 s of CPU, /dev/nvidia0`."""
    parts = [user(process)]
    if began := clock(process.started, day):
        parts.append(f"from {began}")
    if ended := clock(process.ended, day):
        parts.append(f"to {ended}")
    if process.exit_code is not None:
        parts.append(f"exit code {process.exit_code}")
    parts.append(PROGRAMS.get(process.program, ""))
    if process.cpu is not None and process.cpu >= 1:
        parts.append(f"{process.cpu:,.1f} s of CPU")
    parts += [printable(one, 100) for one in process.devices[:5]]
    return ", ".join(filter(None, parts))


def socket(one: Socket, find: Callable[[int | None, float | None], Process | None]) -> str:
    """`tcp listen 0.0.0.0:2222 (4711 ssh …)`."""
    ends = "".join(
        f" {way}{printable(end.display, SAID)}"
        for way, end in (("", one.local), ("to " if one.local else "with ", one.remote))
        if end is not None
    )
    who = "; ".join(actor(pid, find(pid, None), 60) for pid in one.pids[:3])
    more = f" and {len(one.pids) - 3:,} more" if len(one.pids) > 3 else ""
    says = f", {words.plain(one.says, 200)}" if one.says else ""
    return f"{printable(one.kind, 20)} {printable(one.state, 30)}{ends}{says}" + (f" ({who}{more})" if who else "")


def telling_sockets(run: Run) -> list[Socket]:
    """Those that a person asks about first: listening, with another end, raw, or known to be something."""
    quiet = {"unix", "netlink"}
    return [one for one in run.sockets if one.says or one.kind not in quiet]


def network(run: Run) -> Iterator[tuple[str, str]]:
    """Labels and words of its network namespace; nothing where that was not looked at."""
    found = run.namespace
    if found is None:
        return
    for name in ("interfaces", "routes", "resolvers", "search"):
        some: tuple[str, ...] = getattr(found, name)
        more = f" and {len(some) - LISTED:,} more" if len(some) > LISTED else ""
        if some:
            yield name, "; ".join(printable(one) for one in some[:LISTED]) + more
    if found.firewall is None:
        yield "firewall", "not read"
    else:
        rules = found.firewall.strip().count("\n") + 1
        yield "firewall", words.many(rules, "line") if found.firewall.strip() else "no rules of its own"


def written(output: bytes) -> list[str]:
    """The lines that have something on them, as far as they were kept."""
    return [printable(line, 1_000) for line in output.decode("utf-8", "backslashreplace").split("\n") if line.strip()]
