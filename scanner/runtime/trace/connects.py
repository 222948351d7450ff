"""Which process asked for which address, and what it asked the kernel for without sending a packet.

- Packets: the raw tracepoint net_dev_queue sees each one when its sender hands it to the device, inside the sender's own system call
  (or its io_uring worker, which is a thread of it). It has both addresses and ports as they stand in the packet, so that what a sink
  received is matched exactly; connect, sendto, sendmsg, sendmmsg, write, io_uring, raw and packet sockets are all the same to it.
- A SYN may be sent again by a timer, in the middle of any other process: inet_sock_set_state tells, once and inside connect, whose
  TCP socket it is. Packets of the kernel's own sockets (neighbour discovery, multicast reports) have no file behind them and are left out.
- Calls: socket(2) with a family that no packet shows or that may leave a namespace, io_uring_setup(2), connect(2) to a Unix socket.
  Read when the call *ends* (raw tracepoint sys_exit): what seccomp refuses never passes sys_enter, as the kernel asks seccomp first
  (kernel/entry/common.c), but each refusal passes sys_exit with its error.
"""

import errno
import os
import platform
import socket
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from struct import Struct
from typing import Final

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
    BpfError,
    Helper,
    MapType,
    ProgramType,
    Register,
    RingBuffer,
    attach_raw_tracepoint,
    create_map,
    load,
)
from scanner.runtime.trace.btf import Types
from scanner.runtime.trace.clock import Clock

_RING = 1 << 21
_CALL_RING = 1 << 18
_CONNECTS = 16_384
_FLOWS = 16_384
_AGAIN = 1_000_000_000
"""A flow that goes on is told again after so many nanoseconds: another process may have taken over its port."""

_FLOW: Final = Struct("=QIHBx2s2s4x16s16s")
"""time, pid, EtherType as it stands in the frame, protocol, source port, target port, source, target."""

_RECORD = -80
_TIME, _PID, _ETHERTYPE, _PROTOCOL, _SOURCE_PORT, _TARGET_PORT, _SOURCE, _TARGET = 0, 8, 12, 14, 16, 18, 24, 40
_IPV4, _IPV6 = 0x0008, 0xDD86
"""EtherTypes as a little-endian machine loads them."""

_TCP, _UDP, _SCTP, _UDPLITE, _DCCP, _FRAGMENT = 6, 17, 132, 136, 33, 44
WITH_PORTS = frozenset((_TCP, _UDP, _SCTP, _UDPLITE, _DCCP))
_SYN, _SYN_ACK = 0x02, 0x12
_SYN_SENT = 2
"""TCP_SYN_SENT, include/net/tcp_states.h."""

_CALL: Final = Struct("=QIIiIII")
"""time, pid, which of _NAMES, result, and the first three arguments (their low halves)."""

_NAMES: Final = ("socket", "connect", "io_uring_setup")
_SOCKET, _CONNECT, _IO_URING = range(3)
_CALL_PID, _CALL_KIND, _CALL_RESULT, _CALL_ARGUMENTS = 8, 12, 16, 20
_SYS_SOCKET, _SYS_CONNECT = 1, 3
"""Calls within socketcall(2), include/uapi/linux/net.h."""

_ADDRESS_KEPT = 112
_CALL_SIZE = _CALL.size + _ADDRESS_KEPT


@dataclass(frozen=True, slots=True)
class Flow:
    """A packet that a process sent: the first of its flow within a second. `protocol` is IP's number; ports are 0 where it has none."""

    time: float
    pid: int
    protocol: int
    source: bytes
    source_port: int
    target: bytes
    target_port: int


@dataclass(frozen=True, slots=True)
class Call:
    """A system call by which a process asked for more than packets. `name` is socket, connect or io_uring_setup; `error` an errno, 0 where
    it was granted. `family` and `type` are socket's; `path` the Unix socket's of connect (`@name` for an abstract one)."""

    time: float
    pid: int
    name: str
    error: int
    family: int = 0
    type: int = 0
    path: bytes = b""


@dataclass(frozen=True, slots=True)
class _Abi:
    """One way to call the kernel: the numbers of socket, connect, io_uring_setup and socketcall (None: there is none), where `pt_regs` has
    the first three arguments when the call ends, and how many bytes of each count."""

    mode: int
    numbers: tuple[int, int, int, int | None]
    arguments: tuple[int, int, int]
    width: int


@dataclass(frozen=True, slots=True)
class _Machine:
    """`number` is where `pt_regs` has the call's number. Which of the `abis` it is of, the bits `mask` say at `place` of `pt_regs`, or of
    the task (`in_task`)."""

    number: int
    in_task: bool
    place: int
    mask: int
    abis: tuple[_Abi, _Abi]


def _machine(types: Types) -> _Machine:
    """Raises BpfError for a machine that is not known, BtfError."""

    def at(*members: str) -> int:
        return types.offset("pt_regs", *members)

    name = platform.machine()
    if name == "x86_64":
        # arch/x86/include/asm/ptrace.h; TS_COMPAT (2) is set for int 0x80, from 64-bit code as well
        native = _Abi(0, (41, 42, 425, None), (at("di"), at("si"), at("dx")), 8)
        compat = _Abi(2, (359, 362, 425, 102), (at("bx"), at("cx"), at("dx")), 4)
        return _Machine(at("orig_ax"), True, types.offset("task_struct", "thread_info", "status"), 2, (native, compat))
    if name == "aarch64":
        # arch/arm64/include/asm/ptrace.h: x0 holds the result by then, orig_x0 what it was; PSR_MODE32_BIT is 0x10
        arguments = (at("orig_x0"), at("regs") + 8, at("regs") + 16)
        native = _Abi(0, (198, 203, 425, None), arguments, 8)
        compat = _Abi(0x10, (281, 283, 425, None), arguments, 4)
        return _Machine(at("syscallno"), False, at("pstate"), 0x10, (native, compat))
    raise BpfError(f"trace system calls on {name}", errno.ENOSYS)


class FlowWatch(AbstractContextManager["FlowWatch"]):
    """The programs that see packets, running; `ring` holds their records. Raises BpfError, BtfError."""

    def __init__(self, inode: int, types: Types) -> None:
        with ExitStack() as held:
            self.ring = held.enter_context(RingBuffer(_RING))
            self._lost = _held(held, emit.create_counter())
            connects = _held(held, create_map(MapType.LRU_HASH, 8, 4, _CONNECTS))
            flows = _held(held, create_map(MapType.LRU_HASH, _FLOW.size - 8, 8, _FLOWS))
            for name, tracepoint, assembly in (
                ("state", "inet_sock_set_state", _state(types, inode, connects)),
                ("packet", "net_dev_queue", _packet(types, inode, self.ring.fd, self._lost, connects, flows)),
            ):
                program = _held(held, load(ProgramType.RAW_TRACEPOINT, assembly, f"sandscan_{name}"))
                _held(held, attach_raw_tracepoint(tracepoint, program))
            self._held = held.pop_all()

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def lost(self) -> int:
        """Records for which the ring had no room."""
        return emit.counted(self._lost)


class CallWatch(AbstractContextManager["CallWatch"]):
    """The program that sees system calls end, running; `ring` holds its records. Raises BpfError, BtfError."""

    def __init__(self, inode: int, types: Types) -> None:
        with ExitStack() as held:
            self.ring = held.enter_context(RingBuffer(_CALL_RING))
            self._lost = _held(held, emit.create_counter())
            assembly = _call(types, _machine(types), inode, self.ring.fd, self._lost)
            program = _held(held, load(ProgramType.RAW_TRACEPOINT, assembly, "sandscan_call"))
            _held(held, attach_raw_tracepoint("sys_exit", program))
            self._held = held.pop_all()

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def lost(self) -> int:
        """Records for which the ring had no room."""
        return emit.counted(self._lost)


def decode_flow(record: bytes, clock: Clock) -> Flow | None:
    """The flow that the program wrote; None for bytes that it does not write."""
    if len(record) < _FLOW.size:
        return None
    time, pid, ethertype, protocol, source_port, target_port, source, target = _FLOW.unpack_from(record)
    if ethertype == _IPV4:
        source, target = source[:4], target[:4]
    elif ethertype != _IPV6:
        return None
    at = clock.of_monotonic(time)
    if protocol not in WITH_PORTS:
        return Flow(at, pid, protocol, source, 0, target, 0)
    return Flow(
        at, pid, protocol, source, int.from_bytes(source_port, "big"), target, int.from_bytes(target_port, "big")
    )


def decode_call(record: bytes, clock: Clock) -> Call | None:
    """The call that the program wrote; None for bytes that it does not write."""
    if len(record) < _CALL_SIZE:
        return None
    time, pid, kind, result, first, second, third = _CALL.unpack_from(record)
    if kind >= len(_NAMES):
        return None
    name = _NAMES[kind]
    at, error = clock.of_monotonic(time), -result if result < 0 else 0
    if name == "socket":
        return Call(at, pid, name, error, first, second & 0xF)
    if name == "connect":
        length = min(third, _ADDRESS_KEPT)
        return Call(at, pid, name, error, socket.AF_UNIX, path=_unix_path(record[_CALL.size : _CALL.size + length]))
    return Call(at, pid, name, error)


def _unix_path(address: bytes) -> bytes:
    """Of a sockaddr_un, unix(7): up to a NUL, or an abstract name that begins with one and ends with the address."""
    path = address[2:]
    return b"@" + path[1:] if path[:1] == b"\0" else path.partition(b"\0")[0]


def _held(stack: ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd


def _state(types: Types, inode: int, connects: int) -> Assembly:
    """Arguments of the tracepoint: the socket, its old and its new state. connect(2) passes it before a port is chosen."""
    asm = Assembly()
    asm.load(8, R6, R1, 0)
    asm.load(8, R7, R1, 16)
    asm.jump_if(R7, "!=", _SYN_SENT, "end")
    emit.read(asm, R8, R6, types.offset("sock", "__sk_common", "skc_net", "net"))
    emit.read(asm, R8, R8, types.offset("net", "ns", "inum"), 4)
    emit.leave_unless_equal(asm, R8, inode, "end")
    asm.store(8, FP, _RECORD, R6)
    asm.call(Helper.GET_CURRENT_PID_TGID)
    asm.shift_right(R0, 32)
    asm.store(4, FP, emit.KEY, R0)
    emit.put(asm, connects, _RECORD, emit.KEY)
    asm.label("end")
    asm.leave(0)
    return asm


def _packet(types: Types, inode: int, ring: int, lost: int, connects: int, flows: int) -> Assembly:
    """Argument of the tracepoint: the packet. Its record is made on the stack; all of it but the time is the flow's key."""
    asm = Assembly()
    packet, sock, header, transport = R6, R7, R8, R9
    asm.load(8, packet, R1, 0)
    emit.read(asm, R8, packet, types.offset("sk_buff", "dev"))
    emit.read(asm, R8, R8, types.offset("net_device", "nd_net", "net"))
    emit.read(asm, R8, R8, types.offset("net", "ns", "inum"), 4)
    emit.leave_unless_equal(asm, R8, inode, "end")
    emit.read(asm, sock, packet, types.offset("sk_buff", "sk"))
    asm.jump_if(sock, "==", 0, "end")

    for word in range(0, _FLOW.size, 8):
        asm.store(8, FP, _RECORD + word, 0)
    asm.call(Helper.GET_CURRENT_PID_TGID)
    asm.shift_right(R0, 32)
    asm.store(4, FP, _RECORD + _PID, R0)
    emit.read(asm, header, packet, types.offset("sk_buff", "head"))
    emit.read(asm, R1, packet, types.offset("sk_buff", "transport_header"), 2)
    asm.move(transport, header)
    asm.add(transport, R1)
    emit.read(asm, R1, packet, types.offset("sk_buff", "network_header"), 2)
    asm.add(header, R1)
    emit.read(asm, R1, packet, types.offset("sk_buff", "protocol"), 2)
    asm.store(2, FP, _RECORD + _ETHERTYPE, R1)
    asm.jump_if(R1, "==", _IPV4, "ipv4")
    asm.jump_if(R1, "!=", _IPV6, "end")

    # RFC 8200: the next header at 6, addresses at 8 and 24
    for place, at in ((_SOURCE, 8), (_TARGET, 24)):
        asm.move(R2, header)
        asm.add(R2, at)
        emit.copy(asm, Helper.PROBE_READ_KERNEL, FP, _RECORD + place, R2, 16)
    emit.read(asm, R1, header, 6, 1)
    asm.store(1, FP, _RECORD + _PROTOCOL, R1)
    asm.jump_if(R1, "==", _FRAGMENT, "fragment")
    for extension in (0, 43, 60):
        asm.jump_if(R1, "==", extension, "extension")
    asm.jump("addressed")
    asm.label("fragment")
    emit.read(asm, R1, header, 42, 2)
    asm.both(R1, 0xF8FF)  # its offset, in the frame's byte order
    asm.jump_if(R1, "!=", 0, "end")
    asm.label("extension")
    emit.read(asm, R1, sock, types.offset("sock", "sk_protocol"), 1)
    asm.store(1, FP, _RECORD + _PROTOCOL, R1)
    asm.jump("addressed")

    # RFC 791: the fragment's offset at 6, the protocol at 9, addresses at 12 and 16
    asm.label("ipv4")
    emit.read(asm, R1, header, 6, 2)
    asm.both(R1, 0xFF1F)
    asm.jump_if(R1, "!=", 0, "end")
    emit.read(asm, R1, header, 9, 1)
    asm.store(1, FP, _RECORD + _PROTOCOL, R1)
    for place, at in ((_SOURCE, 12), (_TARGET, 16)):
        emit.read(asm, R1, header, at, 4)
        asm.store(4, FP, _RECORD + place, R1)

    asm.label("addressed")
    emit.read(asm, R1, transport, 0, 4)
    asm.store(4, FP, _RECORD + _SOURCE_PORT, R1)
    asm.load(1, R1, FP, _RECORD + _PROTOCOL)
    asm.jump_if(R1, "==", _TCP, "tcp")
    for protocol in sorted(WITH_PORTS - {_TCP}):
        asm.jump_if(R1, "==", protocol, "ports")
    asm.store(4, FP, _RECORD + _SOURCE_PORT, 0)
    asm.label("ports")
    asm.label("owned")
    emit.read(asm, R1, sock, types.offset("sock", "sk_socket"))
    asm.jump_if(R1, "==", 0, "end")
    emit.read(asm, R1, R1, types.offset("socket", "file"))
    asm.jump_if(R1, "==", 0, "end")
    asm.jump("known")

    asm.label("tcp")
    emit.read(asm, R1, transport, 13, 1)
    asm.both(R1, _SYN_ACK)
    asm.jump_if(R1, "!=", _SYN, "end")
    asm.store(8, FP, emit.KEY, sock)
    emit.look_up(asm, connects, emit.KEY)
    asm.jump_if(R0, "==", 0, "owned")
    asm.load(4, R1, R0, 0)
    asm.store(4, FP, _RECORD + _PID, R1)

    asm.label("known")
    asm.call(Helper.KTIME_GET_NS)
    asm.move(R6, R0)
    asm.store(8, FP, _RECORD + _TIME, R6)
    emit.look_up(asm, flows, _RECORD + _PID)
    asm.jump_if(R0, "==", 0, "new")
    asm.load(8, R1, R0, 0)
    asm.add(R1, _AGAIN)
    asm.jump_if(R6, "<", R1, "end")
    asm.label("new")
    emit.put(asm, flows, _RECORD + _PID, _RECORD + _TIME)
    emit.output(asm, ring, FP, _RECORD, _FLOW.size, lost, "end")
    asm.label("end")
    asm.leave(0)
    return asm


def _call(types: Types, machine: _Machine, inode: int, ring: int, lost: int) -> Assembly:
    """Arguments of the tracepoint: the registers, the result. Every call of the machine passes here: the number is asked first."""
    asm = Assembly()
    place = -(_CALL_SIZE + 32)
    arguments = place + _CALL_ARGUMENTS
    regs, result, kind = R6, R7, R8
    asm.load(8, regs, R1, 0)
    asm.load(8, result, R1, 8)
    emit.read(asm, kind, regs, machine.number, 4)
    for number in sorted({number for abi in machine.abis for number in abi.numbers if number is not None}):
        asm.jump_if(kind, "==", number, "perhaps")
    asm.jump("end")

    asm.label("perhaps")
    asm.call(Helper.GET_CURRENT_TASK)
    asm.move(R9, R0)
    emit.namespace_of_task(asm, types, R9, R9)
    emit.leave_unless_equal(asm, R9, inode, "end")
    for word in range(0, _CALL_SIZE, 8):
        asm.store(8, FP, place + word, 0)
    asm.call(Helper.GET_CURRENT_TASK)
    emit.read(asm, R9, R0 if machine.in_task else regs, machine.place, 4)
    asm.both(R9, machine.mask)
    for abi in machine.abis:
        asm.jump_if(R9, "==", abi.mode, f"mode {abi.mode}")
    asm.jump("end")
    for abi in machine.abis:
        _arguments(asm, abi, regs, kind, arguments)

    asm.label("asked")
    asm.jump_if(kind, "==", _SOCKET, "socket")
    asm.jump_if(kind, "==", _CONNECT, "connect")
    asm.jump_if(kind, "==", _IO_URING, "tell")
    asm.load(4, R1, FP, arguments)
    asm.move(kind, _SOCKET)
    asm.jump_if(R1, "==", _SYS_SOCKET, "within")
    asm.move(kind, _CONNECT)
    asm.jump_if(R1, "!=", _SYS_CONNECT, "end")
    asm.label("within")
    emit.copy(asm, Helper.PROBE_READ_USER, FP, arguments, R9, 12)
    asm.load(4, R9, FP, arguments + 4)
    asm.jump_if(kind, "==", _CONNECT, "connect")

    asm.label("socket")
    asm.load(4, R1, FP, arguments)
    for harmless in (socket.AF_UNIX, socket.AF_NETLINK):
        asm.jump_if(R1, "==", harmless, "end")
    for shown in (socket.AF_INET, socket.AF_INET6):  # its packets are seen; a raw socket makes any
        asm.jump_if(R1, "==", shown, "type")
    asm.jump("tell")
    asm.label("type")
    asm.load(4, R1, FP, arguments + 4)
    asm.both(R1, 0xF)
    asm.jump_if(R1, "==", socket.SOCK_RAW, "tell")
    asm.jump("end")

    asm.label("connect")
    emit.copy(asm, Helper.PROBE_READ_USER, FP, place + _CALL.size, R9, _ADDRESS_KEPT)
    asm.jump_if(R0, "==", 0, "read")
    # it lies at the end of what can be read: a short path is read alone
    emit.copy(asm, Helper.PROBE_READ_USER, FP, place + _CALL.size, R9, 2)
    asm.jump_if(R0, "!=", 0, "end")
    asm.move(R3, R9)
    asm.add(R3, 2)
    asm.move(R1, FP)
    asm.add(R1, place + _CALL.size + 2)
    asm.move(R2, _ADDRESS_KEPT - 2)
    asm.call(Helper.PROBE_READ_USER_STR)
    asm.label("read")
    asm.load(2, R1, FP, place + _CALL.size)
    asm.jump_if(R1, "!=", socket.AF_UNIX, "end")

    asm.label("tell")
    asm.call(Helper.KTIME_GET_NS)
    asm.store(8, FP, place, R0)
    asm.call(Helper.GET_CURRENT_PID_TGID)
    asm.shift_right(R0, 32)
    asm.store(4, FP, place + _CALL_PID, R0)
    asm.store(4, FP, place + _CALL_KIND, kind)
    asm.store(4, FP, place + _CALL_RESULT, result)
    emit.output(asm, ring, FP, place, _CALL_SIZE, lost, "end")
    asm.label("end")
    asm.leave(0)
    return asm


def _arguments(asm: Assembly, abi: _Abi, regs: Register, kind: Register, place: int) -> None:
    """From the number of a call to its `kind` (its place in `abi.numbers`), its arguments at FP + place, the second one in R9."""
    known = [(which, number) for which, number in enumerate(abi.numbers) if number is not None]
    asm.label(f"mode {abi.mode}")
    for which, number in known:
        asm.jump_if(kind, "==", number, f"mode {abi.mode} call {which}")
    asm.jump("end")
    for which, _ in known:
        asm.label(f"mode {abi.mode} call {which}")
        asm.move(kind, which)
        asm.jump(f"mode {abi.mode} arguments")
    asm.label(f"mode {abi.mode} arguments")
    for slot, argument in enumerate(abi.arguments):
        emit.read(asm, R1, regs, argument, 4)
        asm.store(4, FP, place + 4 * slot, R1)
    emit.read(asm, R9, regs, abi.arguments[1], abi.width)
    asm.jump("asked")
