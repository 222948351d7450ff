"""A run as data of the HTML page: finished words, bounded, which the page's script shows as text."""

from collections.abc import Iterator

from scanner.model import Json, printable
from scanner.model.run import FileChange, Run
from scanner.reports import timeline, watched, words

MOMENTS = 20_000
ROWS = 500
"""Targets, questions, folders, sockets."""
CHANGES = 5_000
PER_FOLDER = 200
PROCESSES = 2_000
OUTPUT = 16_384
SORTS = tuple(timeline.Sort)


def data(run: Run) -> dict[str, Json]:
    moments = timeline.moments(run)
    aims, asked = watched.gathered(watched.aims(run)), watched.asked(run)
    find = watched.finder(run)
    folders = list(watched.folders([one for one in run.changes if one.expected is None], ROWS).items())
    expected = [one for one in run.changes if one.expected is not None]
    telling = watched.telling_sockets(run)
    sockets = [*telling, *(one for one in run.sockets if one not in telling)] if len(run.sockets) <= ROWS else telling
    return {
        "started": None if watched.instant(run.started) is None else run.started,
        "head": [list(pair) for pair in watched.head(run)],
        "sorts": list(SORTS),
        "moments": [_moment(one, run) for one in moments[:MOMENTS]],
        "momentsLeft": max(len(moments) - MOMENTS, 0),
        "tried": [_aim(one, run) for one in aims[:ROWS]],
        "triedLeft": max(len(aims) - ROWS, 0),
        "asked": [
            {
                "name": one.name,
                "type": one.type,
                "server": one.server,
                "count": one.count,
                "who": one.who,
                "at": watched.clock(one.began, run.started),
            }
            for one in asked[:ROWS]
        ],
        "askedLeft": max(len(asked) - ROWS, 0),
        "folders": list(_folders(folders[:ROWS], run)),
        "foldersLeft": max(len(folders) - ROWS, 0),
        "expected": [f"{len(expected):,} in all", *watched.expected(expected)] if expected else [],
        "processes": [
            [min(depth, watched.DEEPEST), watched.actor(one.pid, one, watched.COMMAND), watched.about(one, run.started)]
            for depth, one in watched.tree(run.processes)[:PROCESSES]
        ],
        "processesLeft": max(len(run.processes) - PROCESSES, 0),
        "sockets": [watched.socket(one, find) for one in sockets[:ROWS]],
        "socketsLeft": len(run.sockets) - min(len(sockets), ROWS),
        "network": [list(pair) for pair in watched.network(run)],
        "limits": [list(pair) for pair in _limits(run)],
        "output": watched.written(run.output[-OUTPUT:]),
    }


def _moment(moment: timeline.Moment, run: Run) -> Json:
    """Short, for there are many: time and last from the run's start, kind, time in words, words, who, user, count."""
    return [
        _since(moment.time, run),
        _since(moment.last, run),
        SORTS.index(moment.sort),
        watched.clock(moment.time, run.started),
        moment.words,
        moment.who,
        moment.user,
        moment.count,
    ]


def _since(time: float | None, run: Run) -> float | None:
    if time is None or watched.instant(time) is None or watched.instant(run.started) is None:
        return None
    return round(time - run.started, 6)


def _aim(aim: watched.Aim, run: Run) -> Json:
    last = f" to {watched.clock(aim.ended, run.started)}" if aim.ended > aim.began else ""
    return {
        "target": aim.target,
        "as": watched.spoke(aim),
        "who": list(aim.who),
        "told": list(aim.told[:5]),
        "first": aim.first,
        "at": f"{watched.clock(aim.began, run.started)}{last}",
    }


def _folders(folders: list[tuple[bytes, list[FileChange]]], run: Run) -> Iterator[Json]:
    left = CHANGES
    for folder, changes in folders:
        shown = changes[: min(PER_FOLDER, left)]
        left -= len(shown)
        yield {
            "folder": printable(b"/" + folder, words.PATH_LIMIT),
            "kinds": watched.kinds(changes),
            "changes": [
                [
                    printable(one.path[len(folder) :].lstrip(b"/"), words.PATH_LIMIT) or "(no name)",
                    watched.change(one, run.started),
                ]
                for one in shown
            ],
            "left": len(changes) - len(shown),
        }


def _limits(run: Run) -> Iterator[tuple[str, str]]:
    for one in run.withheld[:ROWS]:
        yield "withheld", f"{printable(one.what)}: {words.plain(one.why, 500)}"
    for said in run.unseen[:ROWS]:
        yield "not seen", words.plain(said, 500)
    if run.dropped:
        yield "dropped", watched.dropped(run)
