"""What the sink's child gives up once its network stands, and how it ends with its parent: capabilities(7), prctl(2)."""

import ctypes
import os
import resource
import signal
import struct
import sys
from typing import Final

NOBODY: Final = 65534
CAP_DAC_READ_SEARCH, CAP_NET_RAW = 2, 13

_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 8, 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_OPEN_FILES = 65_536
_ADDRESS_SPACE = 4 << 30


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


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
