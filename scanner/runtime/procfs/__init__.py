"""A running container, read from the host's /proc: nothing is executed in it, nothing in it is trusted."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from scanner.model.run import Namespace, Process, Socket
from scanner.runtime.procfs import members as membership
from scanner.runtime.procfs import network, processes, sockets
from scanner.runtime.procfs.inside import open_program
from scanner.runtime.procfs.processes import Member
from scanner.runtime.procfs.reading import Missed, ProcessFolder


@dataclass(frozen=True, slots=True)
class Seen:
    """One look. `members` are the processes with what a report does not show; `unseen` says what could not be looked at.

    `programs(pid)` opens a process's program, deleted or without a name as it may be; None where it has ended or may not be read.
    `dropped` counts what was seen and is not told.
    """

    members: tuple[Member, ...]
    sockets: tuple[Socket, ...]
    namespace: Namespace | None
    unseen: tuple[str, ...]
    programs: Callable[[int], BinaryIO | None]
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def processes(self) -> tuple[Process, ...]:
        return tuple(member.process for member in self.members)

    def member(self, pid: int) -> Member | None:
        return next((m for m in self.members if m.pid == pid), None)


def look(pid: int) -> Seen:
    """All processes of the container whose first one is `pid` by the host's count, their sockets and its network.

    Without any where that process has ended. A process that ends meanwhile is left out.
    """
    missed = Missed()
    looker = processes.Looker(missed)
    found = tuple(m for m in map(looker.look, membership.members(pid, missed)) if m is not None)
    held = sockets.look(found, missed)
    by_number = {m.pid: m for m in found}
    namespace = network.look(by_number[pid].thread if pid in by_number else pid, missed) if found else None

    def programs(number: int) -> BinaryIO | None:
        return opened(by_number[number]) if number in by_number else None

    return Seen(found, held, namespace, missed.told(), programs, dict(missed.dropped))


def opened(member: Member, name: str = "exe") -> BinaryIO | None:
    """The program of a process (or with `map_files/…` a file that it maps), to be closed by the caller; None where the process
    has ended, even where another has its number by now."""
    try:
        with ProcessFolder(member.pid) as first, ProcessFolder(member.thread) as folder:
            stat = processes.counted(first.read("stat", 4096) or b"")
            if stat is None or stat.ticks != member.ticks or not processes.is_of(folder, member.pid):
                return None
            fd = open_program(folder, name)
    except ProcessLookupError:
        return None
    return os.fdopen(fd, "rb") if fd is not None else None
