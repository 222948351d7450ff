"""Processes as they stand, from /proc: for those that began before anybody watched, and where nothing better tells.

Sources: proc_pid_stat(5), proc_pid_status(5), proc_pid_cmdline(5), proc_pid_exe(5).
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scanner.model.run import Program
from scanner.runtime.trace.clock import Clock
from scanner.runtime.trace.events import Executed

ARGUMENTS_KEPT = 4096
_MAX_ARGUMENTS = 4 << 20
_FIELD = re.compile(rb"^(Tgid|Uid|NSpid):\s*([\d\s]+)$", re.MULTILINE)
_DELETED = b" (deleted)"


@dataclass(frozen=True, slots=True)
class Standing:
    """A running process; the fields are those of `events.Executed`. `ticks` tells two processes of one number apart."""

    pid: int
    parent: int
    inner: int | None
    uid: int | None
    ticks: int
    started: float
    arguments: bytes
    length: int
    executable: bytes | None
    program: Program

    def executed(self, time: float) -> Executed:
        """The event that it has become what it is."""
        return Executed(
            time,
            self.pid,
            self.parent,
            self.inner,
            self.uid,
            self.arguments,
            self.length,
            self.executable,
            self.program,
        )


def namespace(pid: int) -> int | None:
    """The inode of a process's network namespace; None where it has ended (or is a zombie), or may not be looked at."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return None


def processes(inode: int) -> tuple[int, ...]:
    """The numbers of all processes in that network namespace."""
    return tuple(sorted(pid for pid in _numbers() if namespace(pid) == inode))


def _numbers() -> Iterator[int]:
    with os.scandir("/proc") as found:
        for entry in found:
            if entry.name.isdigit():
                yield int(entry.name)


def standing(pid: int, clock: Clock) -> Standing | None:
    """The process now; None where it has ended."""
    folder = Path(f"/proc/{pid}")
    try:
        stat = (folder / "stat").read_bytes()
        status = (folder / "status").read_bytes()
        with (folder / "cmdline").open("rb") as file:
            arguments = file.read(_MAX_ARGUMENTS)
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    known = {name: value.split() for name, value in _FIELD.findall(status)}
    executable, program = _program(folder)
    return Standing(
        pid=pid,
        parent=int(fields[1]),
        inner=int(known[b"NSpid"][-1]) if known.get(b"NSpid") else None,
        uid=int(known[b"Uid"][0]) if known.get(b"Uid") else None,
        ticks=int(fields[19]),
        started=clock.of_ticks(int(fields[19])),
        arguments=arguments[:ARGUMENTS_KEPT],
        length=len(arguments),
        executable=executable,
        program=program,
    )


def _program(folder: Path) -> tuple[bytes | None, Program]:
    try:
        path = os.fsencode((folder / "exe").readlink())
    except OSError:
        return None, Program.UNKNOWN
    if not path.endswith(_DELETED):
        return path, Program.FILE
    path = path.removesuffix(_DELETED)
    return path, Program.MEMFD if path.startswith(b"/memfd:") else Program.DELETED
