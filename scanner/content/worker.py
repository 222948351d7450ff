"""A process of its own for what is not trusted with the scanner's: native parsers, and loops whose time cannot be told.

It runs one function at a time under limits of memory and time. A crash, a hang or a memory blow-up costs the file it was
given: an error here, a new process for the next file. Values come back as JSON and bytes, never as objects.
"""

import importlib
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from scanner.content.budget import Budget
from scanner.content.streams import Held, hold
from scanner.errors import LimitError, ParseError, ScannerError
from scanner.model import Json, Limits, printable

MAX_JSON = 8 << 20
RECYCLE = 112 << 20
"""Resident bytes after which a process is replaced: what a library once took it does not give back."""

_REQUEST = struct.Struct("<IQ")
_REPLY = struct.Struct("<?IQ")
_PIECE = 1 << 18
_GRACE = 2
"""Seconds between the time limit of the function and the end of the process that does not heed it."""

_NO_NEW_PRIVS = 38

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from scanner.content.worker import serve; serve()"

Function = Callable[..., Any]


class OutOfTime(LimitError):
    """Raised within a function of the worker at its time limit: Python code can still save what it has."""


class Worker:
    """Starts its process when first needed and keeps it for the next call; calls from many threads wait for each other."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._life: int | None = None

    @property
    def started(self) -> bool:
        """Whether there is a process now."""
        return self._process is not None

    def call(self, function: Function, data: memoryview, arguments: Mapping[str, Json]) -> Any:
        """`function(data, **arguments)` there: a function of a module, whose result JSON can carry.

        `data` arrives as bytes. A module's `prepare()`, if it has one, is called before the limits are set.
        Raises ParseError where the function does, or crashes; LimitError where time or memory run out.
        """
        with self._lock:
            value, chunks = self._exchange(function, data, arguments)
            for _ in chunks:
                pass
            return value

    @contextmanager
    def opened(
        self, function: Function, data: memoryview, arguments: Mapping[str, Json], budget: Budget, depth: int
    ) -> Iterator[tuple[Any, Held]]:
        """As `call`, for a function that returns (value, bytes): those are held while the block lasts."""
        with ExitStack() as stack:
            with self._lock:
                value, chunks = self._exchange(function, data, arguments)
                counted = _counted(chunks, budget)
                stack.callback(counted.close)
                held = stack.enter_context(hold(counted, budget, depth))
                if held.error is not None:
                    self._stop()
            yield value, held

    def close(self) -> None:
        """End the process, if there is one. The next call would start another."""
        with self._lock:
            self._stop()

    def _exchange(
        self, function: Function, data: memoryview, arguments: Mapping[str, Json]
    ) -> tuple[Any, Generator[bytes, None, None]]:
        deadline = time.monotonic() + self._limits.native_seconds + _GRACE
        request = json.dumps(
            {
                "module": function.__module__,
                "function": function.__name__,
                "arguments": arguments,
                "seconds": self._limits.native_seconds,
                "bytes": self._limits.native_bytes,
            }
        ).encode()
        done = False
        try:
            connection = self._start()
            connection.settimeout(self._limits.native_seconds + _GRACE)
            connection.sendall(_REQUEST.pack(len(request), len(data)) + request)
            connection.sendall(data)
            header = b"".join(self._receive(_REPLY.size, deadline))
            last, size, blob = _REPLY.unpack(header)
            if size > MAX_JSON:
                raise ParseError("its parser answered more than it may")
            try:
                reply = json.loads(b"".join(self._receive(size, deadline)))
                error, value = reply["error"], reply["value"]
            except (ValueError, TypeError, KeyError, RecursionError) as e:
                raise ParseError("its parser answered nonsense") from e
            done = True
        except (OSError, EOFError) as e:
            raise self._failure(e) from e
        finally:
            if not done:
                self._stop()
        if error is not None:
            self._stop()
            raise self._told(error)
        return value, self._blob(blob, deadline, last)

    def _blob(self, size: int, deadline: float, last: bool) -> Generator[bytes, None, None]:
        try:
            yield from self._receive(size, deadline)
        except (OSError, EOFError) as e:
            raise self._failure(e) from e
        if last:
            self._stop()

    def _receive(self, size: int, deadline: float) -> Generator[bytes, None, None]:
        assert self._socket is not None
        while size:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self._socket.recv(min(size, _PIECE))
            if not piece:
                raise EOFError
            size -= len(piece)
            yield piece

    def _told(self, error: Any) -> ScannerError:
        """An error that the function raised, in its own words."""
        kind, message = (str(error.get(key)) for key in ("kind", "message")) if isinstance(error, dict) else ("", "")
        if kind == "MemoryError":
            return self._no_memory()
        if kind == OutOfTime.__name__:
            return self._no_time()
        return ParseError(printable(message) if kind == ParseError.__name__ else printable(f"{kind}: {message}"))

    def _failure(self, error: Exception) -> ScannerError:
        """Why the process does not answer any more; it is gone after this."""
        if isinstance(error, TimeoutError):
            self._stop()
            return self._no_time()
        code = None
        if self._process is not None:
            try:
                code = self._process.wait(1)
            except subprocess.TimeoutExpired:
                code = None
        self._stop()
        if code == -signal.SIGXCPU:
            return self._no_time()
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in {s.value for s in signal.Signals} else str(-code)
            return ParseError(f"its parser crashed ({name})")
        return ParseError(f"its parser ended without an answer ({str(error) or 'it just ended'})")

    def _no_time(self) -> LimitError:
        return LimitError(
            f"its parser took longer than {self._limits.native_seconds} seconds; "
            "raise it with --limit native-seconds=N if you trust the image"
        )

    def _no_memory(self) -> LimitError:
        return LimitError(
            f"its parser needed more than {self._limits.native_bytes} bytes of memory; "
            "raise it with --limit native-bytes=N if you trust the image"
        )

    def _start(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self._stop()
        if self._socket is None:
            ours, theirs = socket.socketpair()
            life_theirs, self._life = os.pipe()
            self._socket = ours
            # never the current directory: it may be the image's own
            path = json.dumps([p for p in sys.path if Path(p).is_absolute()])
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-c", _BOOT, path, str(theirs.fileno()), str(life_theirs)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), life_theirs),
                    cwd="/",
                    env={"LC_ALL": "C.UTF-8"},
                )
            finally:
                theirs.close()
                os.close(life_theirs)
        return self._socket

    def _stop(self) -> None:
        process, self._process = self._process, None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._life is not None:
            os.close(self._life)
            self._life = None
        if process is not None:
            process.kill()
            process.wait()


def _counted(chunks: Iterator[bytes], budget: Budget) -> Generator[bytes, None, None]:
    for chunk in chunks:
        budget.unpacked(len(chunk))
        yield chunk


def serve() -> None:
    """The process's main: answer calls until the scanner is gone. Arguments: a socket and a pipe to watch."""
    import ctypes

    connection = socket.socket(fileno=int(sys.argv[2]))
    _die_with_parent(int(sys.argv[3]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _out_of_time)
    while True:
        try:
            size, length = _REQUEST.unpack(_exactly(connection, _REQUEST.size))
            request = json.loads(_exactly(connection, size))
            text, blob = _answer(request, _exactly(connection, length))
            last = _resident() > RECYCLE
            connection.sendall(_REPLY.pack(last, len(text), len(blob)) + text)
            connection.sendall(blob)
        except (EOFError, OSError):
            return


def _answer(request: Any, data: bytes) -> tuple[bytes, bytes | bytearray]:
    blob: bytes | bytearray = b""
    try:
        module = importlib.import_module(request["module"])
        getattr(module, "prepare", lambda: None)()
        _limit(request["seconds"], request["bytes"])
        try:
            value = getattr(module, request["function"])(data, **request["arguments"])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if isinstance(value, tuple):
            value, blob = value
        text = json.dumps({"error": None, "value": value})
    except Exception as e:
        blob = b""
        text = json.dumps({"error": {"kind": type(e).__name__, "message": str(e)[:500]}, "value": None})
    return text.encode(), blob


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        # one call as a rule, so that there is no second copy
        more = connection.recv(size - len(data), socket.MSG_WAITALL)
        if not more:
            raise EOFError
        data = data + more if data else more
    return data


def _limit(seconds: int, memory: int) -> None:
    """From here on: that much more memory, that much more processor time, that much time."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _soft(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _soft(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + seconds + _GRACE)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _soft(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _out_of_time(_: int, __: FrameType | None) -> NoReturn:
    raise OutOfTime("the time is over")


def _die_with_parent(pipe: int) -> None:
    """When the scanner's end of the pipe closes, however it ends, the kernel ends this process (SIGIO's default action).

    Not PR_SET_PDEATHSIG: that fires when the thread that started us ends.
    """
    import fcntl

    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if os.get_blocking(pipe):
        os.set_blocking(pipe, False)
    try:
        if os.read(pipe, 1) == b"":
            sys.exit()  # it was gone before we looked
    except BlockingIOError:
        pass
