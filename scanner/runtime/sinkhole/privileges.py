"""What the sink's child gives up once its network stands, and how it ends with its parent: capabilities(7), prctl(2), seccomp(2).

A network namespace holds neither the sockets that have a path, nor those that lead to the machine's hypervisor, nor other processes
of the same user. Whoever took the child over would have these ways: a filter of system calls closes them.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

NOBODY: Final = 65534
CAP_DAC_READ_SEARCH, CAP_NET_RAW = 2, 13

_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 8, 22, 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_OPEN_FILES = 65_536
_ADDRESS_SPACE = 4 << 30

_FILTER = 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
"""Where struct seccomp_data has them; of an argument of 64 bits the low half comes first."""
_X32 = 0x40000000
_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)


@dataclass(frozen=True, slots=True)
class _Calls:
    """Of a machine: its AUDIT_ARCH (include/uapi/linux/audit.h), and the numbers of socket(2) and of what is refused."""

    architecture: int
    socket: int
    refused: tuple[int, ...]


_CALLS: Mapping[str, _Calls] = {
    # connect, execve, execveat, ptrace, process_vm_readv, process_vm_writev, pidfd_getfd, unshare, setns, mount, bpf,
    # perf_event_open, userfaultfd, io_uring_setup, open_by_handle_at, keyctl
    "x86_64": _Calls(0xC000003E, 41, (42, 59, 322, 101, 310, 311, 438, 272, 308, 165, 321, 298, 323, 425, 304, 250)),
    "aarch64": _Calls(0xC00000B7, 198, (203, 221, 281, 117, 270, 271, 438, 97, 268, 40, 280, 241, 282, 425, 265, 219)),
}


def end_with(parent: int) -> None:
    """The kernel kills this process when the parent's thread that started it ends, however it ends. Raises OSError.

    It is asked for again after every change of identity, which undoes it.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit()  # it was gone before we asked


def raise_open_files() -> int:
    """As many open files as root may have, 65,536 at most; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (_OPEN_FILES, hard):
        limit = max(soft, wanted) if wanted != resource.RLIM_INFINITY else _OPEN_FILES
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        except (OSError, ValueError):
            continue
        return limit
    return soft


def give_up(parent: int, file_bytes: int) -> None:
    """Be nobody, in no group, with two capabilities: NET_RAW answers from addresses that are nobody's, in a namespace that leads
    nowhere; DAC_READ_SEARCH lets modules be imported that lie in root's home. No file grows beyond `file_bytes`.

    For a process of one thread. Raises OSError.
    """
    for capability in range(64):
        if ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            break  # the kernel knows no more
    _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    kept = 1 << CAP_NET_RAW | 1 << CAP_DAC_READ_SEARCH
    libc = ctypes.CDLL(None, use_errno=True)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
    sets = ctypes.create_string_buffer(struct.pack("=IIIIII", kept, kept, 0, 0, 0, 0), 24)
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "cannot give up capabilities: " + os.strerror(ctypes.get_errno()))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    end_with(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    filter_calls()


def filter_calls() -> None:
    """Refuse this process what it has no need of: to connect, to become or look into another program, sockets of families that a
    network namespace does not hold. For good, for all threads that it starts from now on. Raises OSError."""
    calls = _CALLS[platform.machine()]
    allow, refuse = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, calls.architecture),
        refuse,
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
    ]
    for number in calls.refused:
        program += [(_EQUAL, 0, 1, number), refuse]
    program += [(_EQUAL, 1, 0, calls.socket), allow, (_LOAD, 0, 0, _ARGUMENTS_AT)]
    for family in _FAMILIES:
        program += [(_EQUAL, 0, 1, family), allow]
    # if_nametoindex(3) asks by a datagram socket of this family
    program += [(_EQUAL, 1, 0, socket.AF_UNIX), refuse, (_LOAD, 0, 0, _ARGUMENTS_AT + 8), (_AND, 0, 0, 0xF)]
    program += [(_EQUAL, 0, 1, socket.SOCK_DGRAM), allow, refuse]
    code = b"".join(struct.pack("=HBBI", *line) for line in program)
    held = ctypes.create_string_buffer(code, len(code))
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(held)))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_SECCOMP, _FILTER, whole, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot filter the sink's system calls: {os.strerror(number)}")


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
