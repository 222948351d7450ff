"""What the worker is made to do in its tests: good work, and every way to go wrong."""

import ctypes
import os
import re
import resource
import signal
from pathlib import Path


def measure(data: bytes, times: int = 1) -> dict[str, int]:
    return {"size": len(data), "sum": sum(data[:1000]) * times, "pid": os.getpid()}


def grow(data: bytes, size: int) -> tuple[str, bytes]:
    return "grown", data * (size // len(data))


def crash(data: bytes) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(8)


def leave(data: bytes) -> None:
    os._exit(0)


def loop(data: bytes) -> None:
    while True:
        pass


def loop_deaf(data: bytes) -> None:
    """A loop that no signal reaches, as one in native code would be."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    while True:
        pass


def save_what_there_is(data: bytes) -> tuple[str, bytes]:
    """Python code can end in good order when its time is over."""
    done = bytearray()
    try:
        while True:
            done += b"."
            re.match(b"(a*)*c", b"a" * 18)
    except TimeoutError:
        raise
    except Exception as e:
        return type(e).__name__, bytes(done[:5])


def eat_memory(data: bytes) -> int:
    return len(bytearray(1 << 31))


def write_file(data: bytes, path: str) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    return os.write(descriptor, b"x")


def complain(data: bytes) -> None:
    raise ValueError("a message with \x1b[31m in it")


def complain_as_system(data: bytes) -> None:
    raise OSError(5, "input/output error")


def not_json(data: bytes) -> object:
    return {"set": {1, 2}}


def surroundings(data: bytes) -> dict[str, object]:
    status = Path("/proc/self/status").read_text()
    return {
        "cwd": str(Path.cwd()),
        "env": sorted(os.environ),
        "privileges": re.findall(r"NoNewPrivs:\s+(\d)", status),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    }
