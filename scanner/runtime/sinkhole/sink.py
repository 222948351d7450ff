"""The sinkhole as its user sees it: a context in which a pause's network namespace reaches nothing but answers."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from scanner.errors import ScannerError
from scanner.model.run import Attempt, Endpoint, Query

Who = Callable[[str, Endpoint, Endpoint, float], int | None]
"""Whose socket it was: (protocol, source, target, time) → the host's number of the process, None where nobody knows."""


class SinkError(ScannerError):
    """The sinkhole cannot stand here, or fell: what was seen of the run is not all."""


def nobody(_: str, __: Endpoint, ___: Endpoint, ____: float) -> int | None:
    """A `Who` that knows none."""
    return None


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """`who` is asked at each attempt, in a thread of the sink's. `names` are names that have addresses of their own (the
    launch's other containers); every other name gets one of the pool. `pcap` is where all packets go, up to `pcap_bytes`.

    `attempts` and `queries` bound what is kept: different ones beyond that are counted as dropped.
    """

    who: Who = nobody
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pcap: Path | None = None
    pcap_bytes: int = 256 << 20
    attempts: int = 50_000
    queries: int = 50_000
    start_seconds: float = 20
    finish_seconds: float = 20


@dataclass(frozen=True, slots=True)
class SinkResult:
    """What the guest tried, in the order of time. `dropped` counts what came too fast or too much, by name; `notes` are
    sentences about what could not be done (`TLS is not answered: cryptography is not installed`)."""

    attempts: tuple[Attempt, ...]
    queries: tuple[Query, ...]
    dropped: Mapping[str, int]
    notes: tuple[str, ...]


def check() -> None:
    """Raises SinkError where the sinkhole cannot stand on this machine, with what is missing; changes nothing."""
    raise NotImplementedError


class Sink(AbstractContextManager["Sink"]):
    """On entering: a child process stands in a network namespace of its own without uplink, the veth's peer (`eth0`) is in
    `/proc/PAUSE/ns/net` (which had `lo` alone), and every address and port answers.

    Raises SinkError. Enter it in a thread that lives as long as the sink: the kernel ends the child with that thread.
    """

    def __init__(self, pause_pid: int, options: SinkOptions | None = None) -> None:
        self._pause = pause_pid
        self._options = options or SinkOptions()

    def __enter__(self) -> "Sink":
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    def finish(self) -> SinkResult:
        """Waits until what is on its way has been recorded, ends the child and gives what it saw.

        Raises SinkError where the child is dead or does not answer in time: the observation is then incomplete.
        """
        raise NotImplementedError
