"""What happens to processes, whoever tells it. Times are seconds since the epoch; numbers count as the host does."""

from dataclasses import dataclass

from scanner.model.run import Program


@dataclass(frozen=True, slots=True)
class Forked:
    """A process has begun as a copy of its parent. `inner` is its number within its own pid namespace."""

    time: float
    pid: int
    parent: int
    inner: int | None
    uid: int | None


@dataclass(frozen=True, slots=True)
class Executed:
    """A process has become another program. `arguments` as they lie in memory, a NUL after each, empty where they were not seen;
    `length` is how long they are in all. `executable` is the path by which the kernel found it (a script's: its interpreter),
    `/memfd:NAME` for a file that never had one."""

    time: float
    pid: int
    parent: int
    inner: int | None
    uid: int | None
    arguments: bytes
    length: int
    executable: bytes | None
    program: Program


@dataclass(frozen=True, slots=True)
class Ended:
    """A process's last thread has ended; `exit_code` is 128 + N where signal N killed it, as a shell counts, None where not told."""

    time: float
    pid: int
    exit_code: int | None


Event = Forked | Executed | Ended


def exit_code(status: int) -> int:
    """Of a status as wait(2) has it."""
    return 128 + (status & 0x7F) if status & 0x7F else status >> 8 & 0xFF
