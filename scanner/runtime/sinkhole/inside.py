"""Processes of a guest by the PID namespace that its pause holds, which no other process of the machine is in: pid_namespaces(7).

The namespace is known by its inode, as it was when the pause was seen to be ours: the pause's number may become another's.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def halt(namespace: int, pause_pid: int) -> None:
    """Stop all processes of the guest: one that is in the middle of writing cannot be frozen, and is to write no more after that.

    A process is held by a descriptor before it is looked at again: its number may have become another's, of this machine.
    """
    for pid in inside(namespace):
        if pid == pause_pid:
            continue
        with suppress(OSError):
            handle = os.pidfd_open(pid)
            try:
                if pid_namespace(pid) == namespace:
                    signal.pidfd_send_signal(handle, signal.SIGSTOP)
            finally:
                os.close(handle)


def inside(namespace: int) -> Iterator[int]:
    """The processes in a PID namespace, which is not our own, by this machine's numbers."""
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and pid_namespace(int(process.name)) == namespace:
                yield int(process.name)


def pid_namespace(pid: int) -> int:
    """The inode of a process's PID namespace. Raises OSError."""
    return Path(f"/proc/{pid}/ns/pid").stat().st_ino
