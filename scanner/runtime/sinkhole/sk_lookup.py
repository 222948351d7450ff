"""Every TCP and UDP lookup of a namespace leads to four sockets, by a BPF program: for kernels without nf_tables' tproxy.

Source: kernel documentation bpf/prog_sk_lookup; `struct bpf_sk_lookup` in include/uapi/linux/bpf.h.
"""

import os
import socket
import struct

from scanner.runtime.trace import bpf
from scanner.runtime.trace.bpf import FP, R0, R1, R2, R3, R4, R6, R7, AttachType, Helper, MapType, ProgramType

_FAMILY, _PROTOCOL = 8, 12


def redirect(tcp4: socket.socket, udp4: socket.socket, tcp6: socket.socket, udp6: socket.socket) -> tuple[int, ...]:
    """Lead all lookups of the calling thread's network namespace to these sockets, as long as the descriptors returned are open.

    Raises BpfError.
    """
    held: list[int] = []
    try:
        sockets = bpf.create_map(MapType.SOCKMAP, 4, 8, 4)
        held.append(sockets)
        for index, listener in enumerate((tcp4, udp4, tcp6, udp6)):
            bpf.set_element(sockets, struct.pack("=I", index), struct.pack("=Q", listener.fileno()))
        program = bpf.load(ProgramType.SK_LOOKUP, _program(sockets), "sinkhole", AttachType.SK_LOOKUP)
        held.append(program)
        namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            held.append(bpf.create_link(program, namespace, AttachType.SK_LOOKUP))
        finally:
            os.close(namespace)
    except BaseException:
        for descriptor in held:
            os.close(descriptor)
        raise
    return tuple(held)


def _program(sockets: int) -> bpf.Assembly:
    code = bpf.Assembly()
    code.move(R6, R1)
    code.load(4, R2, R6, _FAMILY)
    code.load(4, R3, R6, _PROTOCOL)
    code.move(R4, 0)
    code.jump_if(R2, "==", socket.AF_INET, "protocol")
    code.move(R4, 2)
    code.label("protocol")
    code.jump_if(R3, "!=", socket.IPPROTO_UDP, "find")
    code.add(R4, 1)
    code.label("find")
    code.store(4, FP, -4, R4)
    code.map(R1, sockets)
    code.move(R2, FP)
    code.add(R2, -4)
    code.call(Helper.MAP_LOOKUP_ELEM)
    code.jump_if(R0, "==", 0, "pass")
    code.move(R7, R0)
    code.move(R1, R6)
    code.move(R2, R0)
    code.move(R3, 0)
    code.call(Helper.SK_ASSIGN)
    code.move(R1, R7)
    code.call(Helper.SK_RELEASE)
    code.label("pass")
    code.leave(1)  # SK_PASS: to the socket assigned, or as ever
    return code
