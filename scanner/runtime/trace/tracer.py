"""The processes of one network namespace while they run, and who sent which packet: the best means that the kernel grants."""

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from enum import StrEnum
from typing import Protocol

from scanner.errors import ScannerError
from scanner.model.run import Attempt, Endpoint, Process
from scanner.model.text import printable
from scanner.runtime.trace import btf, standing
from scanner.runtime.trace.bpf import BpfError
from scanner.runtime.trace.clock import Clock
from scanner.runtime.trace.connector import ProcConnector
from scanner.runtime.trace.connects import Call, CallWatch, FlowWatch, decode_call, decode_flow
from scanner.runtime.trace.events import Ended, Executed
from scanner.runtime.trace.execs import ExecWatch, decode, settled
from scanner.runtime.trace.flows import Flows
from scanner.runtime.trace.table import SHORT, Masking, Table

_PROCESSES = 20_000
_FLOWS = 50_000
_CALLS = 2_000
_REST = 0.005
"""Seconds that the reader leaves to others after a reading, so that a flood does not wake it for each record."""
_LOOK = 0.02
"""Seconds between two looks at /proc, where nothing tells when to look."""


class Method(StrEnum):
    """How processes are followed. BPF misses none; CONNECTOR loses the command lines of the fastest, and who sent what; POLLING does not
    even see them."""

    BPF = "bpf"
    CONNECTOR = "connector"
    POLLING = "polling"


class _Source(Protocol):
    """One means: `drain` takes what has come in; `fds` are readable when something has."""

    @property
    def fds(self) -> tuple[int, ...]: ...

    def drain(self) -> None: ...

    @property
    def lost(self) -> dict[str, int]: ...


class Tracer(AbstractContextManager["Tracer"]):
    """While it is entered, a thread collects what happens in the network namespace of that inode. Needs root; without it, or where the
    kernel refuses, a lesser means serves, and `problems` say what is not seen.

    `method` None takes the best that the kernel grants. What was collected can be asked for until the object goes, also after the end.
    """

    def __init__(self, net_namespace_inode: int, *, method: Method | None = None, limit: int = _PROCESSES) -> None:
        self._inode = net_namespace_inode
        self._methods = tuple(Method) if method is None else (method,)
        self._clock = Clock.now()
        self._lock = threading.RLock()
        self._table = Table(limit)
        self._masking = Masking()
        self._flows = Flows(_FLOWS)
        self._calls: dict[Call, Attempt] = {}
        self._calls_dropped = 0
        self._problems: list[str] = []
        self._lost: dict[str, int] = {}
        self._source: _Source | None = None
        self._held = ExitStack()
        self.method: Method | None = None
        """The one that serves; None before the tracer is entered."""

    def __enter__(self) -> "Tracer":
        with ExitStack() as held:
            self._source = self._opened(held)
            with self._lock:
                self._look()
            stop = os.eventfd(0)
            held.callback(os.close, stop)
            thread = threading.Thread(
                target=self._follow, args=(self._source, stop), name="sandscan-tracer", daemon=True
            )
            thread.start()
            held.callback(thread.join)
            held.callback(os.eventfd_write, stop, 1)
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._drain()
            self._look()
            if self._source is not None:
                self._lost = self._source.lost
            self._source = None
        self._held.close()

    def processes(self) -> tuple[Process, ...]:
        """Every program that ran in the namespace, or was started by one that did, in the order in which they began."""
        with self._lock:
            self._drain()
            if self._source is not None:
                self._look()
            images = self._table.images()
        return self._masking.processes(images)  # takes its time: the reader goes on meanwhile

    @property
    def count(self) -> int:
        """How many programs were told so far; costs next to nothing."""
        with self._lock:
            return self._table.count

    def who(self, protocol: str, source: Endpoint, target: Endpoint, time: float) -> int | None:
        """The process (its number on the host) that sent the packets of that flow at that time; None where nobody is known.

        Exact: by both addresses and ports as they stand in the packet. May be asked as soon as a packet has arrived.
        """
        with self._lock:
            if self.method is Method.BPF:
                self._drain()
            return self._flows.who(protocol, source, target, time)

    def attempts(self) -> tuple[Attempt, ...]:
        """What processes asked the kernel for that no packet shows: connections to Unix sockets, sockets of families that leave a namespace
        or make any packet, io_uring. `details` has the call and how it ended (`granted`, or the error's name)."""
        with self._lock:
            self._drain()
            return tuple(sorted(self._calls.values(), key=lambda a: a.time))

    @property
    def problems(self) -> tuple[str, ...]:
        """What was not seen, and why."""
        with self._lock:
            unread = self._table.unread
            said = [f"the command lines of {unread} programs were gone before they could be read"] if unread else []
            if shortened := self._table.shortened:
                said.append(
                    f"the command lines of {shortened} programs were too long together: their first {SHORT} bytes were kept"
                )
            said += [
                f"{number} {what} came too fast or were too many to keep"
                for what, number in self._dropped().items()
                if number
            ]
            return (*self._problems, *said)

    @property
    def dropped(self) -> int:
        """Processes, flows and calls that are not told because they came too fast or were too many."""
        with self._lock:
            return sum(self._dropped().values())

    def _dropped(self) -> dict[str, int]:
        found = dict(self._lost)
        if self._source is not None:
            found = self._source.lost
        for what, number in (
            ("processes", self._table.dropped),
            ("flows", self._flows.dropped),
            ("calls", self._calls_dropped),
        ):
            found[what] = found.get(what, 0) + number
        return found

    def _opened(self, held: ExitStack) -> _Source:
        for method in self._methods:
            try:
                source = self._open(method, held)
            except ScannerError as e:
                self._problems.append(_first_line(e))
                continue
            self.method = method
            if method is not Method.BPF:
                self._problems.append(
                    "processes are followed by the proc connector: command lines of short-lived ones may be missing"
                    if method is Method.CONNECTOR
                    else f"processes are followed by looking at /proc every {_LOOK * 1000:.0f} ms: short-lived ones are not seen"
                )
                self._problems.append("which process sent what is not known without BPF")
            return source
        raise ScannerError(f"the processes of the sandbox cannot be followed: {'; '.join(self._problems)}")

    def _open(self, method: Method, held: ExitStack) -> _Source:
        if method is Method.BPF:
            return _Bpf(self._inode, self._clock, self._table, self._flows, self._call, self._problems, held)
        if method is Method.CONNECTOR:
            return _Connector(held.enter_context(ProcConnector(self._inode, self._clock)), self._table)
        return _Polling(self._inode, self._clock, self._table)

    def _follow(self, source: _Source, stop: int) -> None:
        poll = select.poll()
        for fd in (*source.fds, stop):
            poll.register(fd, select.POLLIN)
        patience = None if source.fds else _LOOK * 1000
        rest = select.poll()
        rest.register(stop, select.POLLIN)
        while not any(fd == stop for fd, _ in poll.poll(patience)):
            with self._lock:
                self._drain()
                if self._source is None:
                    return
            if rest.poll(_REST * 1000):
                return

    def _drain(self) -> None:
        if self._source is None:
            return
        try:
            self._source.drain()
        except Exception as e:  # a reader that dies silently would look like a sandbox where nothing happens
            self._problems.append(f"processes were followed only up to an error: {e!r}")
            self._source = None

    def _look(self) -> None:
        """At /proc: who runs and nobody has told of."""
        running = self._table.running
        for pid in standing.processes(self._inode):
            if pid not in running and (found := standing.standing(pid, self._clock)) is not None:
                self._table.take(found.executed(found.started))

    def _call(self, call: Call) -> None:
        """Equal calls of one process are one attempt."""
        same = Call(0, call.pid, call.name, call.error, call.family, call.type, call.path)
        known = self._calls.get(same)
        if known is None and len(self._calls) >= _CALLS:
            self._calls_dropped += 1
        else:
            self._calls[same] = _attempt(call, known)


class _Bpf:
    """Processes must be seen, else another means serves; packets and calls are told as a problem where they are not."""

    def __init__(
        self,
        inode: int,
        clock: Clock,
        table: Table,
        flows: Flows,
        call: Callable[[Call], None],
        problems: list[str],
        held: ExitStack,
    ) -> None:
        self._clock, self._table, self._flows, self._call = clock, table, flows, call
        types = btf.running_kernel()
        with ExitStack() as opened:
            self._execs = opened.enter_context(ExecWatch(inode, types))
            for pid in standing.processes(inode):
                self._execs.follow(pid)
                if standing.namespace(pid) != inode:
                    self._execs.forget(pid)
            self._packets = self._calls = None
            try:
                self._packets = opened.enter_context(FlowWatch(inode, types))
            except (BpfError, btf.BtfError) as e:
                problems.append(f"which process sent what is not known: {_first_line(e)}")
            try:
                self._calls = opened.enter_context(CallWatch(inode, types))
            except (BpfError, btf.BtfError) as e:
                problems.append(f"refused calls of the sandbox are not seen: {_first_line(e)}")
            held.push(opened.pop_all())
        watches = (self._execs, self._packets, self._calls)
        self.fds = tuple(watch.ring.fd for watch in watches if watch is not None)

    def drain(self) -> None:
        for record in self._execs.ring.records():
            if (event := decode(record, self._clock)) is not None:
                self._table.take(settled(event) if isinstance(event, Executed) else event)
        if self._packets is not None:
            for record in self._packets.ring.records():
                if (flow := decode_flow(record, self._clock)) is not None:
                    self._flows.take(flow)
        if self._calls is not None:
            for record in self._calls.ring.records():
                if (call := decode_call(record, self._clock)) is not None:
                    self._call(call)

    @property
    def lost(self) -> dict[str, int]:
        return {
            "processes": self._execs.lost,
            "flows": self._packets.lost if self._packets is not None else 0,
            "calls": self._calls.lost if self._calls is not None else 0,
        }


class _Connector:
    def __init__(self, connector: ProcConnector, table: Table) -> None:
        self._connector, self._table = connector, table
        self.fds = (connector.fd,)

    def drain(self) -> None:
        for event in self._connector.events():
            self._table.take(event)

    @property
    def lost(self) -> dict[str, int]:
        return {"messages about processes": self._connector.lost}


class _Polling:
    """`_seen`: of each process its start and what it was when it was last looked at."""

    def __init__(self, inode: int, clock: Clock, table: Table) -> None:
        self._inode, self._clock, self._table = inode, clock, table
        self._seen: dict[int, standing.Standing] = {}
        self.fds: tuple[int, ...] = ()

    def drain(self) -> None:
        now = {
            pid: found
            for pid in standing.processes(self._inode)
            if (found := standing.standing(pid, self._clock)) is not None
        }
        at = time.time()
        for pid in self._table.running:
            if pid not in now or (pid in self._seen and now[pid].ticks != self._seen[pid].ticks):
                self._table.take(Ended(at, pid, None))
        running = self._table.running
        for pid, found in now.items():
            before = self._seen.get(pid)
            if pid not in running:
                self._table.take(found.executed(found.started))
            elif before is not None and (found.executable, found.arguments) != (before.executable, before.arguments):
                self._table.take(found.executed(at))
        self._seen = now

    @property
    def lost(self) -> dict[str, int]:
        return {}


def _attempt(call: Call, known: Attempt | None) -> Attempt:
    """The attempt that a call is, one more where it is `known`."""
    ended = "granted" if not call.error else errno.errorcode.get(call.error, str(call.error))
    if call.name == "connect":
        protocol, target, said = "unix", os.fsdecode(call.path), "connect"
    elif call.name == "io_uring_setup":
        protocol, target, said = "io_uring", "io_uring", "io_uring_setup"
    else:
        family = _named(socket.AddressFamily, call.family)
        protocol = "raw" if call.family in (socket.AF_INET, socket.AF_INET6) else family.removeprefix("AF_").lower()
        target, said = family, f"socket({family}, {_named(socket.SocketKind, call.type)})"
    return Attempt(
        time=call.time if known is None else known.time,
        protocol=protocol,
        target=Endpoint(printable(target, 120)),
        pid=call.pid,
        details={"call": said, "result": ended},
        count=1 if known is None else known.count + 1,
        last=None if known is None else call.time,
    )


def _named(names: type[socket.AddressFamily] | type[socket.SocketKind], number: int) -> str:
    with suppress(ValueError):
        return names(number).name
    return f"{'AF' if names is socket.AddressFamily else 'SOCK'}_{number}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
