"""Processes as the kernel starts and ends them: fork, exec with the whole command line, exit.

Three programs on the raw tracepoints sched_process_fork, _exec and _exit (include/trace/events/sched.h). A process belongs to the
sandbox when it is in its network namespace, or when its parent belongs: one that moves to a namespace of its own is followed.
The command line is read where exec has just laid it; what the process writes there later does not matter.
"""

import os
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from struct import Struct
from typing import Final

from scanner.model.run import Program
from scanner.runtime.trace import emit
from scanner.runtime.trace.bpf import (
    FP,
    R0,
    R1,
    R2,
    R3,
    R6,
    R7,
    R8,
    R9,
    Assembly,
    Helper,
    MapType,
    ProgramType,
    Register,
    RingBuffer,
    attach_raw_tracepoint,
    create_map,
    delete_element,
    load,
    set_element,
)
from scanner.runtime.trace.btf import Types
from scanner.runtime.trace.clock import Clock
from scanner.runtime.trace.events import Ended, Event, Executed, Forked, exit_code

ARGUMENTS_KEPT = 4096
PATH_KEPT = 512
NAME_KEPT = 64
"""Bytes of a command line, of the program's path, and of its file's own name."""

_RING = 1 << 21
_FORK, _EXEC, _EXIT = 1, 2, 3

_HEADER: Final = Struct("=QIIIIIiQI4x")
"""time, kind, pid, parent, inner pid, uid, status (exit code; for exec 1 where the command line could not be read), length of the command
line, links to the program's file."""

_TIME, _KIND, _PID, _PARENT, _INNER, _UID, _STATUS, _LENGTH, _LINKS = 0, 8, 12, 16, 20, 24, 28, 32, 40
_PATH = _HEADER.size
_NAME = _PATH + PATH_KEPT
_ARGUMENTS = _NAME + NAME_KEPT
_RECORD = -64
"""Where the short records of fork and exit lie on the stack: up to the key at FP-16."""

_TGID = 1
"""PIDTYPE_TGID, include/linux/pid_types.h: where signal_struct.pids has the process."""


def decode(record: bytes, clock: Clock) -> Event | None:
    """The event that a program wrote; None for bytes that none of them writes."""
    if len(record) < _HEADER.size:
        return None
    time, kind, pid, parent, inner, uid, status, length, links = _HEADER.unpack_from(record)
    at = clock.of_monotonic(time)
    if kind == _FORK:
        return Forked(at, pid, parent, inner, uid)
    if kind == _EXIT:
        return Ended(at, pid, exit_code(status))
    if kind != _EXEC or len(record) < _ARGUMENTS:
        return None
    path = record[_PATH:_NAME].partition(b"\0")[0]
    name = record[_NAME:_ARGUMENTS].partition(b"\0")[0]
    program = Program.FILE if links else Program.MEMFD if name.startswith(b"memfd:") else Program.DELETED
    if program is Program.MEMFD:
        path = b"/" + name
    elif path.startswith((b"/dev/fd/", b"/proc/")):  # execveat(2), or a way around the name
        path = name
    return Executed(at, pid, parent, inner, uid, record[_ARGUMENTS:], length, path, program)


def settled(event: Executed) -> Executed:
    """With the whole path of a program that was found by a relative one, where the process is still there to tell (proc_pid_exe(5))."""
    if event.executable is None or event.executable.startswith(b"/"):
        return event
    try:
        path = os.fsencode(Path(f"/proc/{event.pid}/exe").readlink())
    except OSError:
        return event
    path = path.removesuffix(b" (deleted)")
    return (
        replace(event, executable=path) if path.rpartition(b"/")[2] == event.executable.rpartition(b"/")[2] else event
    )


class ExecWatch(AbstractContextManager["ExecWatch"]):
    """The three programs, running; `ring` holds their records. Raises BpfError, BtfError."""

    def __init__(self, inode: int, types: Types) -> None:
        with ExitStack() as held:
            self.ring = held.enter_context(RingBuffer(_RING))
            self._lost = _held(held, emit.create_counter())
            self._members = _held(held, create_map(MapType.HASH, 4, 4, emit.MEMBERS_MAX))
            scratch = _held(held, create_map(MapType.PERCPU_ARRAY, 4, _ARGUMENTS + ARGUMENTS_KEPT, 1))
            maps = _Maps(self.ring.fd, self._lost, self._members, scratch)
            # exit first: a process that is known must not stay so for ever
            for name, assembly in (
                ("exit", _exit(types, maps)),
                ("exec", _exec(types, maps, inode)),
                ("fork", _fork(types, maps, inode)),
            ):
                program = _held(held, load(ProgramType.RAW_TRACEPOINT, assembly, f"sandscan_{name}"))
                _held(held, attach_raw_tracepoint(f"sched_process_{name}", program))
            self._held = held.pop_all()

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def follow(self, pid: int) -> None:
        """A process that was there before belongs too. Raises BpfError."""
        set_element(self._members, pid.to_bytes(4, "little"), bytes(4))

    def forget(self, pid: int) -> None:
        """It does not: it ended before it was followed, and its number may be used again. Raises BpfError."""
        delete_element(self._members, pid.to_bytes(4, "little"))

    @property
    def lost(self) -> int:
        """Records for which the ring had no room, and processes too many to follow."""
        return emit.counted(self._lost)


@dataclass(frozen=True, slots=True)
class _Maps:
    """Descriptors: `members` holds the process numbers of the sandbox, `scratch` is where a long record is put together."""

    ring: int
    lost: int
    members: int
    scratch: int


def _held(stack: ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd


def _exec(types: Types, maps: _Maps, inode: int) -> Assembly:
    """Arguments of the tracepoint: the task, its former pid, the binprm."""
    asm = Assembly()
    task, binprm, record = R6, R7, R9
    asm.load(8, task, R1, 0)
    asm.load(8, binprm, R1, 16)
    emit.read(asm, R8, task, types.offset("task_struct", "tgid"), 4)
    asm.store(4, FP, emit.KEY, R8)
    emit.namespace_of_task(asm, types, R8, task)
    emit.leave_unless_equal(asm, R8, inode, "elsewhere")
    asm.jump("ours")
    asm.label("elsewhere")
    emit.look_up(asm, maps.members, emit.KEY)
    asm.jump_if(R0, "==", 0, "end")
    asm.label("ours")
    _remember(asm, maps, emit.KEY)

    asm.store(4, FP, emit.KEY, 0)
    emit.look_up(asm, maps.scratch, emit.KEY)
    asm.jump_if(R0, "==", 0, "end")
    asm.move(record, R0)
    _head(asm, types, record, 0, task, _EXEC)
    emit.read(asm, R8, task, types.offset("task_struct", "real_parent"))
    emit.read(asm, R8, R8, types.offset("task_struct", "tgid"), 4)
    asm.store(4, record, _PARENT, R8)
    emit.read(asm, R8, binprm, types.offset("linux_binprm", "interp"))
    asm.store(8, record, _PATH, 0)
    emit.copy(asm, Helper.PROBE_READ_KERNEL_STR, record, _PATH, R8, PATH_KEPT)

    mm = R7  # the binprm has told all
    emit.read(asm, mm, task, types.offset("task_struct", "mm"))
    emit.read(asm, R8, mm, types.offset("mm_struct", "exe_file"))
    emit.read(asm, R8, R8, types.offset("file", "f_inode"))
    emit.read(asm, R8, R8, types.offset("inode", "i_nlink"), 4)
    asm.store(4, record, _LINKS, R8)
    emit.read(asm, R8, mm, types.offset("mm_struct", "exe_file"))
    emit.read(asm, R8, R8, types.offset("file", "f_path", "dentry"))
    emit.read(asm, R8, R8, types.offset("dentry", "d_name", "name"))
    asm.store(8, record, _NAME, 0)
    emit.copy(asm, Helper.PROBE_READ_KERNEL_STR, record, _NAME, R8, NAME_KEPT)

    emit.read(asm, R8, mm, types.offset("mm_struct", "arg_end"))
    emit.read(asm, mm, mm, types.offset("mm_struct", "arg_start"))
    start, length = mm, R8
    asm.subtract(length, start)
    asm.store(8, record, _LENGTH, length)
    asm.jump_if(length, "<=", ARGUMENTS_KEPT, "short")
    asm.move(length, ARGUMENTS_KEPT)
    asm.label("short")
    asm.move(R1, record)
    asm.add(R1, _ARGUMENTS)
    asm.move(R2, length)
    asm.move(R3, start)
    asm.call(Helper.PROBE_READ_USER)
    asm.jump_if(R0, "==", 0, "read")
    asm.move(length, 0)
    asm.store(4, record, _STATUS, 1)
    asm.label("read")
    asm.add(length, _ARGUMENTS)
    emit.output(asm, maps.ring, record, 0, length, maps.lost, "end")
    asm.label("end")
    asm.leave(0)
    return asm


def _fork(types: Types, maps: _Maps, inode: int) -> Assembly:
    """Arguments of the tracepoint: the parent and the child; a child that is a thread is no process."""
    asm = Assembly()
    parent, child = R6, R7
    asm.load(8, parent, R1, 0)
    asm.load(8, child, R1, 8)
    emit.read(asm, R8, child, types.offset("task_struct", "pid"), 4)
    emit.read(asm, R9, child, types.offset("task_struct", "tgid"), 4)
    asm.jump_if(R8, "!=", R9, "end")
    emit.namespace_of_task(asm, types, R8, child)
    emit.read(asm, R9, parent, types.offset("task_struct", "tgid"), 4)
    asm.store(4, FP, emit.KEY, R9)
    emit.leave_unless_equal(asm, R8, inode, "elsewhere")
    asm.jump("ours")
    asm.label("elsewhere")
    emit.look_up(asm, maps.members, emit.KEY)
    asm.jump_if(R0, "==", 0, "end")
    asm.label("ours")
    emit.read(asm, R8, child, types.offset("task_struct", "tgid"), 4)
    asm.store(4, FP, emit.KEY, R8)
    _remember(asm, maps, emit.KEY)
    _head(asm, types, FP, _RECORD, child, _FORK)
    asm.store(4, FP, _RECORD + _PARENT, R9)
    emit.output(asm, maps.ring, FP, _RECORD, _HEADER.size, maps.lost, "end")
    asm.label("end")
    asm.leave(0)
    return asm


def _exit(types: Types, maps: _Maps) -> Assembly:
    """Argument of the tracepoint: the task, a thread; it is the last one when none of its process lives on."""
    asm = Assembly()
    task = R6
    asm.load(8, task, R1, 0)
    emit.read(asm, R8, task, types.offset("task_struct", "signal"))
    emit.read(asm, R8, R8, types.offset("signal_struct", "live"), 4)
    asm.jump_if(R8, "!=", 0, "end")
    emit.read(asm, R8, task, types.offset("task_struct", "tgid"), 4)
    asm.store(4, FP, emit.KEY, R8)
    asm.map(R1, maps.members)
    asm.move(R2, FP)
    asm.add(R2, emit.KEY)
    asm.call(Helper.MAP_DELETE_ELEM)
    asm.jump_if(R0, "!=", 0, "end")  # not ours, or told already by a thread that ended at the same time
    _head(asm, types, FP, _RECORD, task, _EXIT)
    emit.read(asm, R8, task, types.offset("task_struct", "exit_code"), 4)
    asm.store(4, FP, _RECORD + _STATUS, R8)
    emit.output(asm, maps.ring, FP, _RECORD, _HEADER.size, maps.lost, "end")
    asm.label("end")
    asm.leave(0)
    return asm


def _remember(asm: Assembly, maps: _Maps, key: int) -> None:
    """The process number at FP + `key` belongs to the sandbox; where there are too many, that is counted."""
    emit.put(asm, maps.members, key, key)
    asm.jump_if(R0, "==", 0, "remembered")
    emit.count(asm, maps.lost, "remembered")
    asm.label("remembered")


def _head(asm: Assembly, types: Types, record: Register, place: int, task: Register, kind: int) -> None:
    """The parts of a record that all have; the others are zero. Loses R8."""
    for word in range(0, _HEADER.size, 8):
        asm.store(8, record, place + word, 0)
    asm.call(Helper.KTIME_GET_NS)
    asm.store(8, record, place + _TIME, R0)
    asm.store(4, record, place + _KIND, kind)
    emit.read(asm, R8, task, types.offset("task_struct", "tgid"), 4)
    asm.store(4, record, place + _PID, R8)
    asm.call(Helper.GET_CURRENT_UID_GID)
    asm.store(4, record, place + _UID, R0)
    # the number in the innermost pid namespace: pid->numbers[pid->level].nr
    emit.read(asm, R8, task, types.offset("task_struct", "signal"))
    emit.read(asm, R8, R8, types.offset("signal_struct", "pids") + 8 * _TGID)
    emit.read(asm, R0, R8, types.offset("pid", "level"), 4)
    asm.both(R0, 31)  # MAX_PID_NS_LEVEL is 32
    asm.multiply(R0, types.size("upid"))
    asm.add(R8, R0)
    emit.read(asm, R8, R8, types.offset("pid", "numbers") + types.offset("upid", "nr"), 4)
    asm.store(4, record, place + _INNER, R8)
