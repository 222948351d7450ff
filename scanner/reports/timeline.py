"""A run as one line of moments: files changed, processes began and ended, sockets, questions, attempts, by time.

Many alike that follow close upon each other are one moment with a count: those of one folder, one target, one program.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from scanner.model import FileLocation, ProcessLocation, Report, printable
from scanner.model.run import FileChange, Process, Run
from scanner.reports import watched, words

FEW = 4
"""So many alike are told one by one."""
GAP = 1.0
LONG_GAP = 60.0
"""Seconds after which what is alike begins anew; longer for what is repeated by waiting: attempts and questions."""
NAMED = 3


class Sort(StrEnum):
    CHANGE = "change"
    PROCESS = "process"
    SOCKET = "socket"
    QUERY = "query"
    ATTEMPT = "attempt"


@dataclass(frozen=True, slots=True)
class Moment:
    """`words` are safe to print, `who` is `PID command` (empty: not known, or several), `user` whose it is. `count` folds, up to `last`.

    `paths` are the files that changed, `pids` the processes: what a finding points to is found by them.
    """

    time: float | None
    sort: Sort
    words: str
    who: str = ""
    user: str = ""
    count: int = 1
    last: float | None = None
    paths: tuple[bytes, ...] = ()
    pids: tuple[int, ...] = ()

    @property
    def sentence(self) -> str:
        """`4711 ssh -N began`, `tried 203.0.113.9:22 by tcp (4711 ssh -N)`."""
        if not self.who:
            return self.words
        return f"{self.who} {self.words}" if self.sort is Sort.PROCESS else f"{self.words} ({self.who})"


@dataclass(frozen=True, slots=True)
class _Alike:
    """A moment with what folds it: to its equals, then with ever more of its kind where those are many."""

    moment: Moment
    keys: tuple[tuple[object, ...], tuple[object, ...], tuple[object, ...]]
    subject: str
    title: tuple[str, str]


def moments(run: Run, *, verbose: bool = False) -> tuple[Moment, ...]:
    """All of them by time, those without one at the end; `verbose` folds nothing."""
    found = sorted(_all(run), key=lambda one: (one.moment.time is None, one.moment.time or 0.0))
    if verbose:
        return tuple(one.moment for one in found)
    folded = [[one] for one in found]
    for level, few in enumerate((FEW, 4 * FEW, 4 * FEW)):
        folded = _folded(folded, level, few)
    told = [moment for group in folded for moment in _told(group)]
    return tuple(sorted(told, key=lambda one: (one.time is None, one.time or 0.0)))


def telling(run: Run, report: Report) -> tuple[Moment, ...]:
    """The moments that matter: what was tried and asked, what the findings point to, programs that nobody expected."""
    paths = {p.path for f in report.findings for p in f.locations if isinstance(p, FileLocation)}
    pids = {p.pid for f in report.findings for p in f.locations if isinstance(p, ProcessLocation)}
    pids |= {one.pid for one in run.attempts} | {one.pid for one in run.queries}
    paths |= {one.path for one in run.changes if one.expected is None and (one.executable or watched.disguised(one))}
    return tuple(
        one
        for one in moments(run)
        if one.sort in {Sort.ATTEMPT, Sort.QUERY}
        or (one.sort is Sort.CHANGE and not paths.isdisjoint(one.paths))
        or (one.sort is Sort.PROCESS and not pids.isdisjoint(one.pids))
    )


def _folded(groups: list[list[_Alike]], level: int, few: int) -> list[list[_Alike]]:
    """Groups of one key that follow each other closely made one, where that makes more than `few` of them one."""
    made: list[list[list[_Alike]]] = []
    open_: dict[tuple[object, ...], list[list[_Alike]]] = {}
    until: dict[tuple[object, ...], float] = {}
    for group in groups:
        moment, name = group[0].moment, group[0].keys[level]
        gap = LONG_GAP if moment.sort in {Sort.ATTEMPT, Sort.QUERY} else GAP
        near = moment.time is None or moment.time - until.get(name, moment.time - gap - 1) <= gap
        if name in open_ and near:
            open_[name].append(group)
        else:
            open_[name] = [group]
            made.append(open_[name])
        until[name] = max((one.moment.last or one.moment.time or 0.0) for one in group)
    joined: list[list[_Alike]] = []
    for some in made:
        if len(some) > few:
            joined.append([one for group in some for one in group])
        else:
            joined += some
    return joined


def _keys(
    alike: tuple[object, ...], exact: tuple[object, ...]
) -> tuple[tuple[object, ...], tuple[object, ...], tuple[object, ...]]:
    return (*alike, "exact", *exact), alike, alike


def _told(group: list[_Alike]) -> Iterator[Moment]:
    if len(group) == 1:
        yield group[0].moment
        return
    first = group[0].moment
    subjects = list(dict.fromkeys(one.subject for one in group))
    last = max((one.moment.last or one.moment.time or 0.0 for one in group), default=0.0)
    folder = _folder(group) if first.sort is Sort.CHANGE else ""
    count = sum(one.moment.count for one in group)
    what = words.many(count, *group[0].title)
    shown = f" under {folder}" if folder else f": {', '.join(subjects[:NAMED])}"
    more = f" and {len(subjects) - NAMED:,} more" if len(subjects) > NAMED and not folder else ""
    yield replace(
        first,
        words=f"{what}{shown}{more}",
        who=first.who if len({one.moment.who for one in group}) == 1 else "",
        count=count,
        last=last if first.time is not None else None,
        paths=tuple(path for one in group for path in one.moment.paths),
        pids=tuple(dict.fromkeys(pid for one in group for pid in one.moment.pids)),
    )


def _folder(group: Iterable[_Alike]) -> str:
    """The deepest folder that holds all of them."""
    paths = [path.split(b"/")[:-1] for one in group for path in one.moment.paths]
    least, most = min(paths), max(paths)
    same = next((n for n, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), min(len(least), len(most)))
    return printable(b"/" + b"/".join(least[:same]), words.PATH_LIMIT)


def _all(run: Run) -> Iterator[_Alike]:
    find = watched.finder(run)
    for change in run.changes:
        yield _change(change)
    for process in run.processes:
        yield from _process(process)
    for one in run.sockets:
        said = watched.socket(one, find)
        moment = Moment(None, Sort.SOCKET, said, pids=one.pids)
        yield _Alike(moment, _keys((Sort.SOCKET, one.kind), (one.state, one.remote)), said, ("socket", "sockets"))
    for query in run.queries:
        who = find(query.pid, query.time)
        said = f"{printable(query.name, 253)} {printable(query.type, 20)}"
        parent = query.name.lower().rstrip(".").rsplit(".", 2)[-2:]
        yield _Alike(
            Moment(
                query.time,
                Sort.QUERY,
                f"asked {printable(query.server.display)} for {said}" + _times(query.count),
                watched.actor(query.pid, who),
                watched.user(who) if who else "",
                query.count,
                pids=() if query.pid is None else (query.pid,),
            ),
            _keys((Sort.QUERY, query.pid, *parent), (query.name, query.type, query.server)),
            said,
            ("question to name servers", "questions to name servers"),
        )
    for attempt in run.attempts:
        who = find(attempt.pid, attempt.time)
        target = f"{watched.target(attempt)} by {printable(attempt.protocol, 20)}"
        alike = (Sort.ATTEMPT, attempt.pid, attempt.protocol, attempt.service)
        told = watched.details(attempt.details, 200)
        said = (
            ""
            if attempt.service == "silent"
            else f", {printable(attempt.service, 40)}" + (f" ({told})" if told else "")
        )
        yield _Alike(
            Moment(
                attempt.time,
                Sort.ATTEMPT,
                f"tried {target}{said}" + _times(attempt.count),
                watched.actor(attempt.pid, who),
                watched.user(who) if who else "",
                attempt.count,
                attempt.last,
                pids=() if attempt.pid is None else (attempt.pid,),
            ),
            # those to one port, then those to one address: a scan of either kind is one moment
            (
                (*alike, attempt.target, attempt.name),
                (*alike, attempt.target.port),
                (*alike, "address", attempt.target.address),
            ),
            target,
            ("attempt", "attempts"),
        )


def _change(change: FileChange) -> _Alike:
    path = printable(b"/" + change.path, words.PATH_LIMIT)
    said = watched.change(change)
    loud = change.executable or watched.disguised(change)
    folder = change.path.rpartition(b"/")[0]
    alike = (Sort.CHANGE, change.change, change.user, change.expected is None, change.path if loud else b"")
    return _Alike(
        Moment(
            change.time, Sort.CHANGE, f"{path}: {said}", user=printable(change.user or "", 60), paths=(change.path,)
        ),
        (
            (*alike, folder, change.expected),
            (*alike, change.path.partition(b"/")[0]),
            (*alike, change.path.partition(b"/")[0]),
        ),
        path,
        (f"file {change.change}", f"files {change.change}"),
    )


def _process(process: Process) -> Iterator[_Alike]:
    who, user = watched.actor(process.pid, process), watched.user(process)
    name = printable(process.command[0] if process.command else process.executable or b"?", 100)
    pids = (process.pid,)
    began = "was seen" if process.started is None else "began"
    alike = (Sort.PROCESS, began, process.parent)
    first = Moment(process.started, Sort.PROCESS, began, who, user, pids=pids)
    yield _Alike(first, _keys(alike, (name,)), name, (f"process {began}", f"processes {began.replace('was', 'were')}"))
    if process.ended is not None:
        code = "" if process.exit_code is None else f" with exit code {process.exit_code}"
        ended = Moment(process.ended, Sort.PROCESS, f"ended{code}", who, user, pids=pids)
        yield _Alike(
            ended,
            _keys((Sort.PROCESS, "ended", process.parent), (name,)),
            name,
            ("process ended", "processes ended"),
        )


def _times(count: int) -> str:
    return f", {count:,} times" if count > 1 else ""
