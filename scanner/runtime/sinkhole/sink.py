"""The sinkhole as its user sees it: a context in which a pause's network namespace reaches nothing but answers."""

import errno
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from scanner.errors import SourceError
from scanner.model import printable
from scanner.model.run import Attempt, Endpoint, Query
from scanner.runtime.sinkhole import netlink, records, tproxy, wiring
from scanner.runtime.sinkhole.addresses import GUEST_LINK
from scanner.runtime.trace.bpf import BpfError

Who = Callable[[str, Endpoint, Endpoint, float], int | None]
"""Whose socket it was: (protocol, source, target, time) → the host's number of the process, None where nobody knows."""

_NEEDED = {6: "SETGID", 7: "SETUID", 8: "SETPCAP", 12: "NET_ADMIN", 13: "NET_RAW", 21: "SYS_ADMIN"}
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from scanner.runtime.sinkhole.child import main; main()"
)
_MARGIN = 5.0


@dataclass(frozen=True, slots=True)
class SinkResult:
    """What the guest tried, in the order of time. `dropped` counts what came too fast or too much, by name; `notes` are
    sentences about what was not seen, or not whole. `method` is what leads connections to the sink. `unanswered` are sentences
    about what was seen and got no answer (`TLS is not answered: cryptography is not installed …`)."""

    attempts: tuple[Attempt, ...]
    queries: tuple[Query, ...]
    dropped: Mapping[str, int]
    notes: tuple[str, ...]
    method: str = ""
    unanswered: tuple[str, ...] = ()


class SinkError(SourceError):
    """The sinkhole cannot stand here, or fell. `seen` is what it had told until then, which is not all."""

    def __init__(self, message: str, seen: SinkResult | None = None) -> None:
        super().__init__(message)
        self.seen = seen


def nobody(_: str, __: Endpoint, ___: Endpoint, ____: float) -> int | None:
    """A `Who` that knows none."""
    return None


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """`who` is asked at each attempt, in a thread of the sink's. `names` are names that have addresses of their own (the
    launch's other containers); every other name gets one of the pool. `pcap` is where all packets go, up to `pcap_bytes`.

    `attempts` and `queries` bound what is kept: different ones beyond that are counted as dropped. `methods` are tried in turn.
    """

    who: Who = nobody
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pcap: Path | None = None
    pcap_bytes: int = 256 << 20
    attempts: int = 20_000
    queries: int = 50_000
    start_seconds: float = 20
    finish_seconds: float = 30
    methods: tuple[str, ...] = tproxy.METHODS


def check() -> None:
    """Raises SinkError where the sinkhole cannot stand on this machine, with what is missing.

    Builds one in two namespaces that end with this call; nothing of the machine's own network is touched.
    """
    status = Path("/proc/self/status").read_text("ascii", "replace")
    effective = int(status.partition("\nCapEff:")[2].split()[0], 16)
    lacking = [name for bit, name in _NEEDED.items() if not effective >> bit & 1]
    if lacking:
        raise SinkError(
            f"the sinkhole needs root: this process has no CAP_{', CAP_'.join(lacking)}. Run sandscan with sudo, "
            "or in a container started with --privileged"
        )
    if not Path("/proc/sys/net/ipv6").is_dir():
        raise SinkError("the sinkhole needs IPv6, which this kernel was started without (ipv6.disable=1)")
    try:
        guest = netlink.in_new_namespace(lambda: os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        try:
            netlink.in_new_namespace(lambda: _try(guest))
        finally:
            os.close(guest)
    except (OSError, BpfError) as e:
        raise SinkError(f"the sinkhole cannot stand on this machine: {_words(e)}") from e


def _try(guest: int) -> None:
    wiring.own_everything(guest)
    wiring.connect(guest)
    tproxy.catch(guest).close()


class Sink(AbstractContextManager["Sink"]):
    """On entering: a child process stands in a network namespace of its own without uplink, the veth's peer (`eth0`) is in
    `/proc/PAUSE/ns/net` (which had `lo` alone), and every address and port answers.

    Raises SinkError. Enter it in a thread that lives as long as the sink: the kernel kills the child when that thread ends,
    and with the child go its namespace and the guest's `eth0`.
    """

    def __init__(self, pause_pid: int, options: SinkOptions | None = None) -> None:
        self._pause = pause_pid
        self._options = options or SinkOptions()
        self._ledger = records.Ledger(self._options.who, self._options.attempts, self._options.queries)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._reader: threading.Thread | None = None
        self._guest: int | None = None
        self._ready = threading.Event()
        self._over = threading.Event()
        self._method = ""
        self._dropped: Counter[str] = Counter()
        self._notes: tuple[str, ...] = ()
        self._unanswered: tuple[str, ...] = ()
        self._failure = ""
        self._done = False

    @property
    def pid(self) -> int:
        """The child's process number. Only while the sink stands."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> "Sink":
        try:
            self._start()
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def finish(self) -> SinkResult:
        """Waits until what is on its way has been recorded, ends the child (and the guest's network) and gives what it saw.

        Call it when the guest is over, and before the pause is: a network that went away is told as one.

        Raises SinkError where the child is dead or does not answer in time: the observation is then incomplete.
        """
        assert self._socket is not None
        with suppress(OSError):  # it is dead: how, is told below
            self._socket.send(b"F", socket.MSG_NOSIGNAL)
        answered = self._over.wait(self._options.finish_seconds + _MARGIN)
        if not self._done:
            why = self._failure or (self._death() if answered else "it does not answer")
            self._stop()
            raise SinkError(
                f"the sinkhole fell before the run was over ({why}): what it saw is not all", self._result()
            )
        self._stop()
        return self._result()

    def _result(self) -> SinkResult:
        attempts, queries = self._ledger.attempts(), self._ledger.queries()
        dropped = self._dropped + self._ledger.dropped
        return SinkResult(attempts, queries, dict(sorted(dropped.items())), self._notes, self._method, self._unanswered)

    def _start(self) -> None:
        guest = self._guest = _guest_namespace(self._pause)
        opened = []
        try:
            capture = -1
            if self._options.pcap is not None:
                capture = _new_file(self._options.pcap)
                opened.append(capture)
            self._socket, theirs = socket.socketpair()
            opened.append(theirs.detach())
            setup = records.Setup(
                parent=os.getpid(),
                control=opened[-1],
                guest=guest,
                pcap=capture,
                pcap_bytes=self._options.pcap_bytes,
                names=dict(self._options.names),
                methods=self._options.methods,
                drain_seconds=self._options.finish_seconds,
            )
            # never the current directory: it may be the image's own
            path = json.dumps([p for p in sys.path if Path(p).is_absolute()])
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOT, path, json.dumps(asdict(setup))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[guest, *opened],
                cwd="/",
                env={"LC_ALL": "C.UTF-8"},
            )
        finally:
            for descriptor in opened:
                os.close(descriptor)
        self._reader = threading.Thread(target=self._read, name="sinkhole", daemon=True)
        self._reader.start()

    def _wait_until_ready(self) -> None:
        if not self._ready.wait(self._options.start_seconds):
            raise SinkError(f"the sinkhole did not stand within {self._options.start_seconds:g} seconds")
        if not self._method:
            raise SinkError(f"the sinkhole cannot stand here: {self._failure or self._death()}")

    def _read(self) -> None:
        """What the child tells, until it is gone: the thread's work."""
        assert self._socket is not None
        try:
            for message in records.receive(self._socket):
                if not self._ledger.take(message):
                    self._event(message)
        except records.NonsenseError as e:
            self._failure = f"its process says what makes no sense: {e}"
        except OSError:
            pass  # it died with something of ours unread: how, is told by its end
        except Exception as e:  # a fault of `who`: without it the run cannot be told
            self._failure = f"{type(e).__name__}: {e}"
        finally:
            self._ready.set()
            self._over.set()

    def _event(self, message: Mapping[str, Any]) -> None:
        """Raises NonsenseError."""
        try:
            match message["is"]:
                case "ready":
                    self._method = str(message["method"])
                    self._ready.set()
                case "failed":
                    self._failure = printable(str(message["why"]), 2000)
                case "done":
                    dropped = {printable(str(what), 60): int(n) for what, n in message["dropped"].items()}
                    self._dropped = Counter({what: n for what, n in dropped.items() if n > 0})
                    self._notes = tuple(printable(str(note)) for note in message["notes"])
                    self._unanswered = tuple(printable(str(note)) for note in message["unanswered"])
                    self._done = True
                    self._over.set()
                case other:
                    raise records.NonsenseError(f"a message of kind {other!r}")
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as e:
            raise records.NonsenseError(f"a message without its parts: {e!r}") from e

    def _death(self) -> str:
        """How the child ended."""
        assert self._process is not None
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return "its process closed its ears"
        return f"its process was ended by signal {-code}" if code < 0 else f"its process ended with {code}"

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._guest is not None:
            # the kernel takes its time with the namespace of a process that is gone: its link goes at once
            with suppress(OSError):
                netlink.in_namespace(self._guest, lambda: netlink.delete_link(GUEST_LINK))
            os.close(self._guest)
            self._guest = None
        if self._socket is not None:
            if self._reader is not None:
                self._reader.join()
            self._socket.close()
            self._socket = self._reader = None


def _guest_namespace(pause: int) -> int:
    """The pause's network namespace, which must have no network yet. Raises SinkError."""
    try:
        guest = os.open(f"/proc/{pause}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise SinkError(f"process {pause}, whose network is to end in the sinkhole, is not there: {e.strerror}") from e
    try:
        _without_network(guest, pause)
    except BaseException:
        os.close(guest)
        raise
    return guest


def _without_network(guest: int, pause: int) -> None:
    """Raises SinkError where a namespace has more than lo: an eth0 in the machine's own would be a disaster."""
    try:
        # kernels put tunl0, sit0 and the like into every namespace, down
        up = netlink.in_namespace(guest, netlink.links_up)
    except OSError as e:
        raise SinkError(f"the network of process {pause} cannot be joined: {_words(e)}. Run sandscan as root") from e
    if os.path.samestat(os.fstat(guest), Path("/proc/thread-self/ns/net").stat()) or set(up) - {"lo"}:
        raise SinkError(
            f"process {pause} has a network already ({', '.join(up)}): only one without any is led into the sinkhole"
        )


def _new_file(path: Path) -> int:
    """A file that nobody else reads, of which nothing is left of what it held. Raises SinkError, for what is no file too."""
    try:
        # a pipe without a reader is an error so, and not waited for
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            _emptied(opened)
        except BaseException:
            os.close(opened)
            raise
    except OSError as e:
        raise SinkError(f"the packets cannot be written to {printable(str(path))}: {e.strerror}") from e
    return opened


def _emptied(file: int) -> None:
    """Raises OSError."""
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    os.fchmod(file, 0o600)
    os.ftruncate(file, 0)


def _words(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
