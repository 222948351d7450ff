"""A run at a terminal: what it tried to reach, what it asked, what it changed, what ran, and when."""

from collections.abc import Iterable, Iterator, Sequence

from scanner.model import Report, printable
from scanner.model.run import FileChange, Run
from scanner.reports import timeline, watched, words
from scanner.reports.plugin import RenderOptions
from scanner.reports.terminal import BOLD, DIM, Screen

ROWS = 20
"""Targets, questions, folders, processes, sockets and moments that are told; `verbose` tells ROWS_VERBOSE."""
ROWS_VERBOSE = 1_000
FOLDERS = 12
LISTED = 5
"""Changes of one folder that are told one by one."""
OUTPUT = 4_096
"""Bytes at the end of what the guest wrote that `verbose` shows; where it ended with an error, the last LISTED lines are always shown."""
LABELS_FROM = 40
"""Columns from which moments stand beside their time; below, they stand under it."""
ALARM = "1;31"


def tell(screen: Screen, report: Report, run: Run, options: RenderOptions) -> None:
    most = ROWS_VERBOSE if options.verbose else ROWS
    _tried(screen, run, most, options)
    _asked(screen, run, most, options)
    _changed(screen, run, options)
    _ran(screen, run, most, options)
    _sockets(screen, run, options)
    _network(screen, run, options)
    _moments(screen, report, run, most, options)
    _list(screen, "Withheld", [f"{printable(one.what)}: {words.plain(one.why, 500)}" for one in run.withheld])
    _list(screen, "Not seen", [words.plain(one, 500) for one in run.unseen], ALARM)
    if run.dropped:
        _list(screen, "Dropped, because it was too much", [watched.dropped(run)], ALARM)
    if run.output and (options.verbose or run.exit_code):
        lines = watched.written(run.output[-OUTPUT:])
        _list(screen, "What it wrote last", lines if options.verbose else lines[-LISTED:])


def _title(screen: Screen, title: str, style: str = BOLD) -> None:
    screen.blank()
    screen.line((title, style))


def _list(screen: Screen, title: str, lines: Sequence[str], style: str = BOLD) -> None:
    if lines:
        _title(screen, title, style)
    for one in lines:
        screen.line(one, indent=2, hang=2)


def _rest(screen: Screen, count: int, what: str, options: RenderOptions) -> None:
    if count > 0:
        how = "" if options.verbose else "--verbose shows more, "
        screen.line(f"… and {count:,} more {what}: {how}the JSON report has them all", indent=2)


def _tried(screen: Screen, run: Run, most: int, options: RenderOptions) -> None:
    aims = watched.aims(run) if options.verbose else watched.gathered(watched.aims(run))
    if aims:
        _title(screen, "What it tried to reach")
    for aim in aims[:most]:
        screen.line((aim.target, BOLD), f" {watched.spoke(aim)}", indent=2, hang=2)
        screen.rows(_aim(aim, run, whole=options.verbose), 4)
    _rest(screen, len(aims) - most, "targets", options)


def _aim(aim: watched.Aim, run: Run, *, whole: bool) -> Iterator[tuple[str, str]]:
    for number, who in enumerate(aim.who if whole else aim.who[:3]):
        yield "" if number else "by", who
    if not whole and len(aim.who) > 3:
        yield "", f"and {len(aim.who) - 3:,} more processes"
    for number, told in enumerate(aim.told if whole else aim.told[:3]):
        yield "" if number else "says", told
    if aim.first:
        yield "first", aim.first
    last = f" to {watched.clock(aim.ended, run.started)}" if aim.ended > aim.began else ""
    sent = f", {words.size(aim.sent)} sent" if aim.sent else ""
    yield "at", f"{watched.clock(aim.began, run.started)}{last}{sent}"


def _asked(screen: Screen, run: Run, most: int, options: RenderOptions) -> None:
    asked = watched.asked(run)
    if asked:
        _title(screen, "What it asked name servers")
    for one in asked[:most]:
        times = f", {one.count:,} times" if one.count > 1 else ""
        by = f" ({one.who})" if one.who else ""
        screen.line(one.name, f" {one.type} of {one.server}{times}{by}", indent=2, hang=2)
    _rest(screen, len(asked) - most, "questions", options)


def _changed(screen: Screen, run: Run, options: RenderOptions) -> None:
    if not run.changes:
        return
    _title(screen, "What it changed")
    told = run.changes if options.verbose else [one for one in run.changes if one.expected is None]
    folders = watched.folders(told, ROWS_VERBOSE if options.verbose else FOLDERS)
    shown = list(folders.items())[: ROWS_VERBOSE if options.verbose else FOLDERS * 2]
    left = ROWS_VERBOSE * 10 if options.verbose else ROWS
    for folder, changes in shown:
        screen.line((_folder(folder), BOLD), f" {watched.kinds(changes)}", indent=2, hang=2)
        each = changes if options.verbose or len(changes) <= LISTED else [one for one in changes if _loud(one)]
        for one in each[:left]:
            name = printable(one.path[len(folder) :].lstrip(b"/"), words.PATH_LIMIT) or "(no name)"
            screen.line(name, (f" {watched.change(one, run.started)}", DIM), indent=4, hang=2)
        left = max(left - len(each), 0)
    _rest(screen, sum(len(some) for _, some in list(folders.items())[len(shown) :]), "changes", options)
    if expected := [one for one in run.changes if one.expected is not None]:
        reasons = watched.expected(expected)
        screen.line(f"{len(expected):,} expected: {'; '.join(reasons)}", indent=2, hang=2)


def _loud(change: FileChange) -> bool:
    return change.executable or watched.disguised(change)


def _folder(folder: bytes) -> str:
    return printable(b"/" + folder, words.PATH_LIMIT)


def _ran(screen: Screen, run: Run, most: int, options: RenderOptions) -> None:
    if run.processes:
        _title(screen, "Processes")
    deepest = max(0, min(watched.DEEPEST, screen.width - 30))
    for depth, one in watched.tree(run.processes)[:most]:
        about = watched.about(one, run.started)
        told = f" ({about})" if about else ""
        screen.line(
            watched.actor(one.pid, one, watched.COMMAND), (told, DIM), indent=2 + min(2 * depth, deepest), hang=2
        )
    _rest(screen, len(run.processes) - most, "processes", options)


def _sockets(screen: Screen, run: Run, options: RenderOptions) -> None:
    sockets = run.sockets if options.verbose else watched.telling_sockets(run)
    if not run.sockets:
        return
    find = watched.finder(run)
    most = ROWS_VERBOSE if options.verbose else ROWS
    _title(screen, "Sockets")
    for one in sockets[:most]:
        screen.line(watched.socket(one, find), indent=2, hang=2)
    _rest(screen, len(run.sockets) - min(len(sockets), most), "sockets", options)


def _network(screen: Screen, run: Run, options: RenderOptions) -> None:
    told = list(watched.network(run))
    if told:
        _title(screen, "Network")
        screen.rows(told, 2)
    rules = run.namespace.firewall if run.namespace is not None else None
    if options.verbose and rules:
        for line in rules.splitlines()[:ROWS_VERBOSE]:
            screen.line(printable(line, 400), indent=4, hang=2)


def _moments(screen: Screen, report: Report, run: Run, most: int, options: RenderOptions) -> None:
    told = _every(run, most) if options.verbose else timeline.telling(run, report)
    told = tuple(one for one in told if one.time is not None or options.verbose)
    if not told:
        return
    _title(screen, "Timeline" if options.verbose else "Timeline of what matters")
    if screen.width >= LABELS_FROM:
        screen.rows(((_at(one, run), one.sentence) for one in told[:most]), 2)
    else:
        _narrow(screen, told[:most], run)
    _rest(screen, len(told) - most, "moments", options)


def _every(run: Run, most: int) -> tuple[timeline.Moment, ...]:
    """All moments one by one; where those are too many, folded, so that the end is told too."""
    every = timeline.moments(run, verbose=True)
    return every if len(every) <= most else timeline.moments(run)


def _narrow(screen: Screen, moments: Iterable[timeline.Moment], run: Run) -> None:
    for one in moments:
        screen.line((_at(one, run), DIM), indent=2)
        screen.line(one.sentence, indent=4, hang=2)


def _at(moment: timeline.Moment, run: Run) -> str:
    return watched.clock(moment.time, run.started) or "no time"
