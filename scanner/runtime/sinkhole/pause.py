"""The program of the pause container, which holds the guest's namespaces: a static ELF of a few hundred bytes, made here.

It waits on its standard input, which the observer holds: when the observer ends, by whatever death, the read ends, the
program exits, and the kernel kills everything in its PID namespace (pid_namespaces(7)). Its steps:

    prctl(PR_SET_DUMPABLE, 0)           nobody without CAP_SYS_PTRACE may open its /proc/1/fd/0, which would keep that input alive
    rt_sigaction(SIGCHLD, SIG_IGN)      orphans leave no zombies: it is process 1, and they are its children
    while read(0, …, 16) > 0: pass
    exit_group(0)

Formats: elf(5); psABI of x86-64 and aarch64; the numbers are those of arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h.
"""

import hashlib
import io
import struct
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scanner.errors import SourceError
from scanner.model import printable

PROGRAM = "pause"
LABEL = "sandscan.pause"
"""The image's label: the program's digest, so that a pause image of an older sandscan is not used."""
REPOSITORY = "sandscan-pause"
USER = "65532:65532"
"""Nobody of the guest's: a process of another user may not look into it."""

_BASE = 0x400000
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_DATA = _HEADER.size + 2 * _SEGMENT.size
_IGNORE = struct.pack("<4Q", 1, 0, 0, 0)
"""struct sigaction of the kernel: sa_handler SIG_IGN, no flags, no restorer, an empty mask."""
_CODE = _DATA + len(_IGNORE)
_PR_SET_DUMPABLE, _SIGCHLD, _MASK_BYTES, _BUFFER = 4, 17, 8, 16
_ET_EXEC, _PT_LOAD, _PT_GNU_STACK, _READ, _WRITE, _RUN, _PAGE = 2, 1, 0x6474E551, 4, 2, 1, 0x1000


@dataclass(frozen=True, slots=True)
class _Machine:
    """`elf` is its number in ELF files, `code` its instructions."""

    elf: int
    code: Callable[[], bytes]


def _x86_64() -> bytes:
    """System calls: number in rax, arguments in rdi, rsi, rdx, r10; `syscall` keeps rsp (System V psABI, A.2)."""

    def number(n: int) -> bytes:
        return b"\xb8" + struct.pack("<I", n)  # mov eax, n

    def first(n: int) -> bytes:
        return b"\xbf" + struct.pack("<I", n)  # mov edi, n

    def second(n: int) -> bytes:
        return b"\xbe" + struct.pack("<I", n)  # mov esi, n

    def third(n: int) -> bytes:
        return b"\xba" + struct.pack("<I", n)  # mov edx, n

    def fourth(n: int) -> bytes:
        return b"\x41\xba" + struct.pack("<I", n)  # mov r10d, n

    call = b"\x0f\x05"  # syscall
    undumpable = number(157) + first(_PR_SET_DUMPABLE) + second(0) + call
    reaping = number(13) + first(_SIGCHLD) + second(_BASE + _DATA) + third(0) + fourth(_MASK_BYTES) + call
    room = b"\x48\x83\xec" + bytes([_BUFFER])  # sub rsp, 16
    reading = number(0) + first(0) + b"\x48\x89\xe6" + third(_BUFFER) + call  # mov rsi, rsp
    more = b"\x48\x85\xc0"  # test rax, rax
    back = b"\x7f" + struct.pack("b", -(len(reading) + len(more) + 2))  # jg to the read
    leaving = number(231) + first(0) + call
    return undumpable + reaping + room + reading + more + back + leaving


def _aarch64() -> bytes:
    """System calls: number in x8, arguments in x0 to x3; every instruction has four bytes (Arm ARM, C6.2)."""

    def put(register: int, value: int) -> bytes:
        low = struct.pack("<I", 0xD2800000 | (value & 0xFFFF) << 5 | register)  # movz
        high = struct.pack("<I", 0xF2A00000 | (value >> 16) << 5 | register)  # movk, lsl 16
        return low + high if value >> 16 else low

    def call(number: int) -> bytes:
        return put(8, number) + struct.pack("<I", 0xD4000001)  # svc 0

    undumpable = put(0, _PR_SET_DUMPABLE) + put(1, 0) + call(167)
    reaping = put(0, _SIGCHLD) + put(1, _BASE + _DATA) + put(2, 0) + put(3, _MASK_BYTES) + call(134)
    room = struct.pack("<I", 0xD10003FF | _BUFFER << 10)  # sub sp, sp, 16
    reading = put(0, 0) + struct.pack("<I", 0x910003E1) + put(2, _BUFFER) + call(63)  # mov x1, sp
    more = struct.pack("<I", 0xF100001F)  # cmp x0, 0
    steps = -(len(reading) + len(more)) // 4
    back = struct.pack("<I", 0x5400000C | (steps & 0x7FFFF) << 5)  # b.gt to the read
    leaving = put(0, 0) + call(94)
    return undumpable + reaping + room + reading + more + back + leaving


_MACHINES: Mapping[str, _Machine] = {"x86_64": _Machine(62, _x86_64), "aarch64": _Machine(183, _aarch64)}


def elf(machine: str) -> bytes:
    """The program for a machine as uname(2) names it; raises SourceError for one that there is no program for."""
    if machine not in _MACHINES:
        raise SourceError(
            f"nothing can be observed on {printable(machine)}: the pause program exists for {' and '.join(_MACHINES)}"
        )
    made = _MACHINES[machine]
    body = _IGNORE + made.code()
    size = _DATA + len(body)
    header = _HEADER.pack(
        b"\x7fELF\x02\x01\x01".ljust(16, b"\0"),  # 64 bits, little-endian, version 1
        _ET_EXEC,
        made.elf,
        1,
        _BASE + _CODE,
        _HEADER.size,  # where the segments' table is; there are no sections
        0,
        0,
        _HEADER.size,
        _SEGMENT.size,
        2,
        0,
        0,
        0,
    )
    whole = _SEGMENT.pack(_PT_LOAD, _READ | _RUN, 0, _BASE, _BASE, size, size, _PAGE)
    stack = _SEGMENT.pack(_PT_GNU_STACK, _READ | _WRITE, 0, 0, 0, 0, 0, 16)
    return header + whole + stack + body


def digest(machine: str) -> str:
    """`sha256:…` of the program."""
    return f"sha256:{hashlib.sha256(elf(machine)).hexdigest()}"


def tree(machine: str) -> bytes:
    """The pause image's file system as `docker import` takes it: a tar with the program and nothing else."""
    program = elf(machine)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo(PROGRAM)
        member.size, member.mode = len(program), 0o555
        tar.addfile(member, io.BytesIO(program))
    return buffer.getvalue()
