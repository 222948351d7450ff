"""bpf(2) by hand: programs assembled, verified, attached, and their ring buffers read, with nothing but the system call.

Whatever is made here is a file descriptor: it ends with the process that holds it, however that ends.
Sources: bpf(2), kernel documentation bpf/standardization/instruction-set and bpf/ringbuf, and include/uapi/linux/bpf.h.
"""

import ctypes
import errno
import mmap
import os
import platform
import resource
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from enum import IntEnum
from functools import cache
from typing import Final

from scanner.errors import ScannerError

_SYSCALLS: Final = {"x86_64": 321, "aarch64": 280}
_LOG_BYTES = 1 << 20
_LOG_QUOTED = 2000


class BpfError(ScannerError):
    """The kernel refuses something of BPF. `errno` says how; the message what, and the verifier's last words where it has any."""

    def __init__(self, what: str, number: int, log: str = "") -> None:
        words = f"the kernel refuses to {what}: {os.strerror(number)}"
        super().__init__(f"{words}\n{log}" if log else words)
        self.errno = number


class Register(IntEnum):
    """R0 holds results, R1 to R5 arguments (lost in every call), R6 to R9 are kept, FP ends the stack of 512 bytes below it."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    FP = 10


R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FP = Register


class Helper(IntEnum):
    """Functions of the kernel that a program may call: bpf-helpers(7)."""

    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    KTIME_GET_NS = 5
    GET_CURRENT_PID_TGID = 14
    GET_CURRENT_UID_GID = 15
    GET_CURRENT_TASK = 35
    SK_RELEASE = 86
    PROBE_READ_USER = 112
    PROBE_READ_KERNEL = 113
    PROBE_READ_USER_STR = 114
    PROBE_READ_KERNEL_STR = 115
    SK_ASSIGN = 124
    RINGBUF_OUTPUT = 130
    RINGBUF_RESERVE = 131
    RINGBUF_SUBMIT = 132


class MapType(IntEnum):
    HASH = 1
    ARRAY = 2
    PERCPU_ARRAY = 6
    LRU_HASH = 9
    SOCKMAP = 15
    RINGBUF = 27


class ProgramType(IntEnum):
    RAW_TRACEPOINT = 17
    SK_LOOKUP = 30


class AttachType(IntEnum):
    SK_LOOKUP = 36


class _Command(IntEnum):
    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    PROG_LOAD = 5
    PROG_GET_NEXT_ID = 11
    RAW_TRACEPOINT_OPEN = 17
    LINK_CREATE = 28


_SIZES: Final = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
_ALU: Final = {"add": 0x00, "sub": 0x10, "mul": 0x20, "or": 0x40, "and": 0x50, "lsh": 0x60, "rsh": 0x70, "mov": 0xB0}
_JUMPS: Final = {"==": 0x10, ">": 0x20, ">=": 0x30, "!=": 0x50, "<": 0xA0, "<=": 0xB0}


class Assembly:
    """A program under construction. Jumps go to names, forward or back; `code` counts the distances.

    A value is a register or a number of 32 bits (sign-extended to 64). Comparisons are unsigned.
    """

    def __init__(self) -> None:
        self._code = bytearray()
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []

    def move(self, target: Register, value: Register | int) -> None:
        self._alu("mov", target, value)

    def add(self, target: Register, value: Register | int) -> None:
        self._alu("add", target, value)

    def subtract(self, target: Register, value: Register | int) -> None:
        self._alu("sub", target, value)

    def multiply(self, target: Register, value: Register | int) -> None:
        self._alu("mul", target, value)

    def both(self, target: Register, value: Register | int) -> None:
        """Bitwise and."""
        self._alu("and", target, value)

    def either(self, target: Register, value: Register | int) -> None:
        """Bitwise or."""
        self._alu("or", target, value)

    def shift_right(self, target: Register, value: Register | int) -> None:
        """Zeros come in from the left."""
        self._alu("rsh", target, value)

    def load(self, size: int, target: Register, address: Register, offset: int = 0) -> None:
        """target = the `size` bytes (1, 2, 4, 8) at address + offset, zero-extended."""
        self._put(0x61 | _SIZES[size], target, address, offset)

    def store(self, size: int, address: Register, offset: int, value: Register | int) -> None:
        """The `size` bytes at address + offset = value."""
        if isinstance(value, Register):
            self._put(0x63 | _SIZES[size], address, value, offset)
        else:
            self._put(0x62 | _SIZES[size], address, 0, offset, value)

    def atomic_add(self, address: Register, offset: int, value: Register) -> None:
        """The 8 bytes at address + offset += value, with whoever else adds at the same time."""
        self._put(0xDB, address, value, offset)

    def map(self, target: Register, fd: int) -> None:
        """target = the map behind that descriptor."""
        self._put(0x18, target, 1, 0, fd)
        self._put(0)

    def constant(self, target: Register, value: int) -> None:
        """target = a number of 64 bits."""
        self._put(0x18, target, 0, 0, _signed(value))
        self._put(0, imm=_signed(value >> 32))

    def call(self, helper: Helper) -> None:
        self._put(0x85, imm=helper)

    def jump(self, label: str) -> None:
        self._jumps.append((len(self._code) // 8, label))
        self._put(0x05)

    def jump_if(self, register: Register, comparison: str, value: Register | int, label: str) -> None:
        """`comparison` is one of == != > >= < <=."""
        self._jumps.append((len(self._code) // 8, label))
        operation = 0x05 | _JUMPS[comparison]
        if isinstance(value, Register):
            self._put(operation | 0x08, register, value)
        else:
            self._put(operation, register, 0, 0, value)

    def label(self, name: str) -> None:
        """Jumps to `name` arrive here. Raises ValueError where the name is taken."""
        if name in self._labels:
            raise ValueError(f"label {name} stands twice")
        self._labels[name] = len(self._code) // 8

    def leave(self, value: int | None = None) -> None:
        """The program ends; its result is `value`, or what R0 holds."""
        if value is not None:
            self.move(R0, value)
        self._put(0x95)

    @property
    def code(self) -> bytes:
        """The instructions. Raises ValueError for a jump to a label that stands nowhere."""
        code = bytearray(self._code)
        for at, label in self._jumps:
            if label not in self._labels:
                raise ValueError(f"no label {label}")
            struct.pack_into("=h", code, at * 8 + 2, self._labels[label] - at - 1)
        return bytes(code)

    def _alu(self, operation: str, target: Register, value: Register | int) -> None:
        if isinstance(value, Register):
            self._put(0x0F | _ALU[operation], target, value)
        else:
            self._put(0x07 | _ALU[operation], target, 0, 0, value)

    def _put(self, opcode: int, dst: int = 0, src: int = 0, offset: int = 0, imm: int = 0) -> None:
        self._code += struct.pack("=BBhi", opcode, dst | src << 4, offset, imm)


def _signed(value: int) -> int:
    """The low 32 bits, as the immediate of an instruction holds them."""
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def create_map(kind: MapType, key_size: int, value_size: int, entries: int) -> int:
    """The descriptor of a new map. Raises BpfError."""
    return _made(
        f"make a BPF map of type {kind.name}",
        _Command.MAP_CREATE,
        struct.pack("=IIII", kind, key_size, value_size, entries),
    )


def set_element(map_fd: int, key: bytes, value: bytes) -> None:
    """Raises BpfError."""
    held, to = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    attributes = struct.pack("=I4xQQQ", map_fd, ctypes.addressof(held), ctypes.addressof(to), 0)
    _made("write into a BPF map", _Command.MAP_UPDATE_ELEM, attributes)


def get_element(map_fd: int, key: bytes, size: int) -> bytes | None:
    """The value of `size` bytes (as the map was made) under `key`, None where there is none. Raises BpfError."""
    held, to = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(size)
    attributes = struct.pack("=I4xQQQ", map_fd, ctypes.addressof(held), ctypes.addressof(to), 0)
    try:
        _made("read from a BPF map", _Command.MAP_LOOKUP_ELEM, attributes)
    except BpfError as e:
        if e.errno == errno.ENOENT:
            return None
        raise
    return to.raw


def delete_element(map_fd: int, key: bytes) -> None:
    """Where there is one under `key`. Raises BpfError."""
    held = ctypes.create_string_buffer(key, len(key))
    try:
        _made(
            "delete from a BPF map",
            _Command.MAP_DELETE_ELEM,
            struct.pack("=I4xQQQ", map_fd, ctypes.addressof(held), 0, 0),
        )
    except BpfError as e:
        if e.errno != errno.ENOENT:
            raise


def load(kind: ProgramType, assembly: Assembly, name: str, attach: AttachType | None = None) -> int:
    """The descriptor of the verified program; `name` (15 letters at most) is what bpftool shows.

    Raises BpfError, with the verifier's last words.
    """
    what = f"load the BPF program {name}"
    code = assembly.code
    instructions = ctypes.create_string_buffer(code, len(code))
    terms = ctypes.create_string_buffer(b"GPL")  # the license that probe_read and get_current_task ask for
    log = ctypes.create_string_buffer(_LOG_BYTES)

    def attributes(level: int) -> bytes:
        return struct.pack(
            "=IIQQIIQII16sII",
            kind,
            len(code) // 8,
            ctypes.addressof(instructions),
            ctypes.addressof(terms),
            level,
            _LOG_BYTES if level else 0,
            ctypes.addressof(log) if level else 0,
            0,
            0,
            name.encode()[:15],
            0,
            0 if attach is None else attach,
        )

    try:
        return _made(what, _Command.PROG_LOAD, attributes(0))
    except BpfError as refused:
        if refused.errno == errno.EPERM:
            raise  # the verifier has not seen it
        with suppress(BpfError):
            return _made(what, _Command.PROG_LOAD, attributes(1))  # once more, to hear why
        said = log.value.decode("utf-8", "replace").strip()
        raise BpfError(what, refused.errno, said[-_LOG_QUOTED:]) from refused


def attach_raw_tracepoint(name: str, program: int) -> int:
    """The program runs whenever the kernel passes the tracepoint, as long as the descriptor returned is open. Raises BpfError."""
    held = ctypes.create_string_buffer(name.encode())
    attributes = struct.pack("=QI4x", ctypes.addressof(held), program)
    return _made(f"watch {name}", _Command.RAW_TRACEPOINT_OPEN, attributes)


def create_link(program: int, target: int, attach: AttachType) -> int:
    """The program is attached to `target` (a descriptor: of a network namespace for SK_LOOKUP) as long as the descriptor returned is open.

    Raises BpfError.
    """
    return _made(
        f"attach a BPF program as {attach.name}", _Command.LINK_CREATE, struct.pack("=IIII", program, target, attach, 0)
    )


def program_ids() -> tuple[int, ...]:
    """The numbers of all BPF programs loaded in this kernel. Raises BpfError."""
    found: list[int] = []
    while True:
        attributes = ctypes.create_string_buffer(struct.pack("=III", found[-1] if found else 0, 0, 0), 12)
        try:
            _call("list BPF programs", _Command.PROG_GET_NEXT_ID, attributes)
        except BpfError as e:
            if e.errno == errno.ENOENT:
                return tuple(found)
            raise
        found.append(struct.unpack_from("=I", attributes, 4)[0])


class RingBuffer(AbstractContextManager["RingBuffer"]):
    """A ring of `size` bytes (a power of two, whole pages) that programs write records to and one thread reads.

    `fd` is what programs name with `Assembly.map`, and is readable (poll(2)) when records wait. Raises BpfError.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._position = 0
        self.fd = create_map(MapType.RINGBUF, 0, 0, size)
        try:
            self._consumer = mmap.mmap(self.fd, mmap.PAGESIZE)
            # the kernel maps the data twice, one after the other, so that a record across the end reads as one piece
            self._producer = mmap.mmap(self.fd, mmap.PAGESIZE + 2 * size, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
        except OSError as e:
            os.close(self.fd)
            raise BpfError("map a BPF ring buffer", e.errno or errno.EIO) from e

    def records(self) -> Iterator[bytes]:
        """What waits now, oldest first; each is gone from the ring once the next is asked for. What comes meanwhile waits for the next call."""
        written = struct.unpack_from("=Q", self._producer, 0)[0]
        while self._position < written:
            at = mmap.PAGESIZE + (self._position & (self._size - 1))
            # no barrier: an interpreter puts more instructions between the two loads than a processor reorders
            header = struct.unpack_from("=I", self._producer, at)[0]
            if header & _BUSY:
                return  # still being written; poll(2) tells when it is done
            length = header & _LENGTH
            if not header & _DISCARDED:
                yield self._producer[at + 8 : at + 8 + length]
            self._position += (length + 8 + 7) & ~7
            struct.pack_into("=Q", self._consumer, 0, self._position)

    def close(self) -> None:
        self._consumer.close()
        self._producer.close()
        os.close(self.fd)

    def __exit__(self, *_: object) -> None:
        self.close()


_BUSY = 1 << 31
_DISCARDED = 1 << 30
_LENGTH = _DISCARDED - 1


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(what: str, command: _Command, attributes: "ctypes.Array[ctypes.c_char]") -> int:
    """The system call itself; `attributes` may be written to. Raises BpfError."""
    number = _SYSCALLS.get(platform.machine())
    if number is None:
        raise BpfError(f"{what} on {platform.machine()}", errno.ENOSYS)
    result: int = _libc().syscall(number, int(command), attributes, len(attributes))
    if result < 0:
        raise BpfError(what, ctypes.get_errno())
    return result


def _made(what: str, command: _Command, attributes: bytes) -> int:
    """As `_call`, once more with unlimited locked memory where it was refused: kernels before 5.11 count maps against that limit."""
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    try:
        return _call(what, command, buffer)
    except BpfError as e:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        if e.errno != errno.EPERM or resource.getrlimit(resource.RLIMIT_MEMLOCK) == unlimited:
            raise
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
        except (OSError, ValueError):
            raise e from None
        return _call(what, command, buffer)
