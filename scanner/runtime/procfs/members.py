"""Which processes are a container's: by control group (cgroups(7)), by PID namespace and those within it
(pid_namespaces(7)), and whoever they have started.

A process that moved to another control group is found by its namespace, one that `docker exec` put there by both.
"""

import fcntl
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scanner.runtime.procfs.reading import Missed, ProcessFolder, numbers

PROCESSES = 100_000
"""Processes of one container that are looked at."""
_CGROUP_BYTES = 64 << 10
_GET_PARENT = 0xB702
"""NS_GET_PARENT of ioctl_ns(2)."""
_DEEP = 32
"""PID namespaces lie in each other this deep at most."""
_IDENTIFIER = re.compile(r"(?:^|[^0-9a-f])([0-9a-f]{64})(?:[^0-9a-f]|$)")


@dataclass(frozen=True, slots=True)
class _Seen:
    parent: int
    groups: frozenset[tuple[str, str]]
    namespace: bytes | None


def groups(data: bytes) -> frozenset[tuple[str, str]]:
    """(controllers, path) of each line of /proc/PID/cgroup; other lines are passed over."""
    found = set()
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        number, colon, rest = line.partition(":")
        controllers, second, path = rest.partition(":")
        if colon and second and number.isascii() and number.isdigit() and path.startswith("/"):
            found.add((controllers, path))
    return frozenset(found)


def own(of: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """The control groups that are a container's alone: down to the last folder that bears a container's identifier."""
    found = set()
    for controllers, path in of:
        parts = path.split("/")
        named = [at for at, part in enumerate(parts) if _IDENTIFIER.search(part)]
        if named:
            found.add((controllers, "/".join(parts[: named[-1] + 1])))
    return frozenset(found)


def parent_of(stat: bytes) -> int | None:
    """The parent's number in /proc/PID/stat; a program may have brackets and spaces in its name, the last one counts."""
    fields = stat.rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else None


def members(first: int, missed: Missed) -> tuple[int, ...]:
    """The container's processes by the host's numbers, its `first` one's among them; none where that has ended.

    Where the first is not number 1 of its PID namespace, that is somebody else's (`--pid host`, `--pid container:…`): then
    control groups and descent alone tell.
    """
    seen: dict[int, _Seen] = {}
    for pid in numbers():
        try:
            with ProcessFolder(pid) as folder:
                parent = parent_of(folder.read("stat", 4096) or b"")
                group = groups(folder.read("cgroup", _CGROUP_BYTES) or b"")
                namespace = folder.link("ns/pid")
        except ProcessLookupError:
            continue
        if parent is not None:
            seen[pid] = _Seen(parent, group, namespace)
    if first not in seen:
        return ()
    start = seen[first]
    wanted = own(start.groups)
    spaces: Mapping[bytes, bool] = {}
    if start.namespace is not None and _is_init(first):
        spaces = _within(start.namespace, {s.namespace: pid for pid, s in seen.items() if s.namespace is not None})
    chosen = {
        pid
        for pid, one in seen.items()
        if pid == first
        or (one.namespace is not None and spaces.get(one.namespace))
        or any(c == k and (p == path or p.startswith(f"{path}/")) for c, p in one.groups for k, path in wanted)
    }
    children: dict[int, list[int]] = {}
    for pid, one in seen.items():
        children.setdefault(one.parent, []).append(pid)
    left = list(chosen)
    while left:
        for child in children.get(left.pop(), ()):
            if child not in chosen:
                chosen.add(child)
                left.append(child)
    if len(chosen) > PROCESSES:
        missed.say("the processes", f"there are {len(chosen)}; the first {PROCESSES} were looked at")
    return tuple(sorted(chosen)[:PROCESSES])


def _is_init(pid: int) -> bool:
    """Whether it is number 1 of its own PID namespace, and that is not ours."""
    try:
        with ProcessFolder(pid) as folder:
            status = folder.read("status", 64 << 10) or b""
    except ProcessLookupError:
        return False
    found = re.search(rb"^NSpid:((?:[ \t]+\d+)+)$", status, re.MULTILINE)
    inner = found[1].split() if found else []
    return len(inner) > 1 and inner[-1] == b"1"


def _within(top: bytes, spaces: Mapping[bytes, int]) -> dict[bytes, bool]:
    """For each namespace whether it is the topmost one or lies in it; `spaces` gives a process in each."""
    known: dict[bytes, bool] = {top: True}
    for name, pid in spaces.items():
        if name not in known:
            known[name] = _descends(pid, top)
    return known


def _descends(pid: int, top: bytes) -> bool:
    try:
        with ProcessFolder(pid) as folder:
            at = folder.open("ns/pid", os.O_RDONLY)
    except ProcessLookupError:
        return False
    for _ in range(_DEEP):
        if at is None:
            return False
        try:
            above: int | None = fcntl.ioctl(at, _GET_PARENT)
        except OSError:  # EPERM: the one above is ours, or out of our sight
            above = None
        finally:
            os.close(at)
        if above is not None and f"pid:[{os.fstat(above).st_ino}]".encode() == top:
            os.close(above)
            return True
        at = above
    if at is not None:
        os.close(at)
    return False
