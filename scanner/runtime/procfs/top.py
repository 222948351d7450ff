"""What the engine tells of a container's processes (`docker top`, moby's ContainerTop): all there is where /proc is another machine's."""

import re
from collections.abc import Sequence

from scanner.model.run import Process
from scanner.runtime.procfs.processes import shown

COLUMNS = "-ww -eo pid,ppid,uid,etimes,times,args"
"""Arguments of the ps of the engine's machine; the last column runs to the end of the line, however long."""
PLAIN = "-efww"
_PROCESSES = 100_000


def processes(
    titles: Sequence[object], rows: Sequence[object], now: float
) -> tuple[tuple[Process, tuple[str, ...]], ...]:
    """Each process, and the words of its command line with their secrets. The engine parts words at every space, so that
    a word with spaces in it is several here; rows that are none are passed over."""
    names = [str(t).upper() for t in titles]
    found = []
    for row in rows[:_PROCESSES]:
        if not isinstance(row, list | tuple) or len(row) != len(names):
            continue
        fields = dict(zip(names, map(str, row), strict=True))
        pid, parent = _number(fields.get("PID")), _number(fields.get("PPID"))
        text = fields.get("COMMAND") or fields.get("CMD") or fields.get("ARGS") or ""
        if pid is None:
            continue
        words = tuple(text.split())
        age, uid = _number(fields.get("ELAPSED")), _number(fields.get("UID"))
        used = _number(fields.get("TIME"))
        process = Process(
            pid=pid,
            parent=parent if parent is not None else 0,
            command=shown(words),
            started=now - age if age is not None else None,
            uid=uid,
            cpu=float(used) if used is not None else None,
        )
        found.append((process, words))
    return tuple(found)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,15}", text) else None
