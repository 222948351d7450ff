"""What the tracing programs have in common: reading the kernel's structs, knowing a namespace, handing over records.

Stack of a program: FP-8 is scratch of these functions; FP-16 a key of 32 bits. All of them lose R0 to R5.
"""

from scanner.runtime.trace.bpf import (
    FP,
    R0,
    R1,
    R2,
    R3,
    R4,
    Assembly,
    Helper,
    MapType,
    Register,
    create_map,
    get_element,
)
from scanner.runtime.trace.btf import Types

SCRATCH = -8
KEY = -16
MEMBERS_MAX = 65_536
"""Processes of a sandbox at one time, whose children are followed."""


def read(asm: Assembly, target: Register, pointer: Register, offset: int, size: int = 8) -> None:
    """target = the `size` bytes of the kernel at pointer + offset; 0 where nothing can be read."""
    asm.move(R3, pointer)
    asm.add(R3, offset)
    asm.move(R1, FP)
    asm.add(R1, SCRATCH)
    asm.move(R2, size)
    asm.call(Helper.PROBE_READ_KERNEL)
    asm.load(size, target, FP, SCRATCH)


def copy(asm: Assembly, helper: Helper, target: Register, place: int, pointer: Register, size: int) -> None:
    """The `size` bytes at `pointer` (not R0) to target + place; R0 is what the helper returns."""
    asm.move(R3, pointer)
    asm.move(R1, target)
    asm.add(R1, place)
    asm.move(R2, size)
    asm.call(helper)


def namespace_of_task(asm: Assembly, types: Types, target: Register, task: Register) -> None:
    """target = the inode of the task's network namespace; 0 for a task that is past its end."""
    read(asm, target, task, types.offset("task_struct", "nsproxy"))
    read(asm, target, target, types.offset("nsproxy", "net_ns"))
    read(asm, target, target, types.offset("net", "ns", "inum"), 4)


def leave_unless_equal(asm: Assembly, register: Register, value: int, label: str) -> None:
    """To `label` where the register is not that number of 32 bits (an inode does not fit into an immediate)."""
    asm.constant(R1, value)
    asm.jump_if(register, "!=", R1, label)


def look_up(asm: Assembly, map_fd: int, key: int) -> None:
    """R0 = the address of the value under the key at FP + `key`, 0 where there is none."""
    asm.map(R1, map_fd)
    asm.move(R2, FP)
    asm.add(R2, key)
    asm.call(Helper.MAP_LOOKUP_ELEM)


def put(asm: Assembly, map_fd: int, key: int, value: int) -> None:
    """The value at FP + `value` goes under the key at FP + `key`; R0 is 0 where it did."""
    asm.map(R1, map_fd)
    asm.move(R2, FP)
    asm.add(R2, key)
    asm.move(R3, FP)
    asm.add(R3, value)
    asm.move(R4, 0)
    asm.call(Helper.MAP_UPDATE_ELEM)


def output(asm: Assembly, ring: int, data: Register, place: int, size: Register | int, lost: int, label: str) -> None:
    """The `size` bytes at data + place become a record of the ring; where it is full, `lost` counts one. Goes on at `label`."""
    asm.move(R3, size)
    asm.map(R1, ring)
    asm.move(R2, data)
    asm.add(R2, place)
    asm.move(R4, 0)
    asm.call(Helper.RINGBUF_OUTPUT)
    asm.jump_if(R0, "==", 0, label)
    count(asm, lost, label)


def count(asm: Assembly, counter: int, label: str) -> None:
    """One more in the counter; goes on at `label`."""
    asm.store(4, FP, KEY, 0)
    look_up(asm, counter, KEY)
    asm.jump_if(R0, "==", 0, label)
    asm.move(R1, 1)
    asm.atomic_add(R0, 0, R1)
    asm.jump(label)


def create_counter() -> int:
    return create_map(MapType.ARRAY, 4, 8, 1)


def counted(counter: int) -> int:
    return int.from_bytes(get_element(counter, bytes(4), 8) or b"", "little")
