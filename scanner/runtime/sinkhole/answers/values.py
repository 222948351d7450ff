"""What the sink hears and knows while it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scanner.model import Json
from scanner.model.run import Endpoint
from scanner.runtime.sinkhole.answers.keys import Keys


@dataclass(frozen=True, slots=True)
class Heard:
    """What bytes are: `service` as an Attempt has it, `details` as the package's table says."""

    service: str
    details: Mapping[str, Json] = field(default_factory=dict)


SILENT = Heard("silent")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may take. `idle` seconds without a byte end it (SSH, stratum and IRC have until `seconds`: their clients wait);
    `silence` is how long nothing is said before the server speaks first. `depth`: streams inside of streams."""

    seconds: float = 60.0
    idle: float = 10.0
    silence: float = 1.0
    read: int = 1 << 20
    written: int = 256 << 10
    depth: int = 4


@dataclass(frozen=True, slots=True)
class Context:
    """Whom the client wanted, and how to tell what it says.

    `name` is what was looked up and led to `target`. `tell` is called with top-level keys of the details, each whole: a key told
    again replaces what it said before. One key is no detail: `service` replaces the attempt's.
    `resolve` answers a DNS query that came another way than by port 53 (None: no query of ours); without it every name is empty.
    """

    target: Endpoint
    name: str | None
    tell: Callable[[Mapping[str, Json]], None]
    keys: Keys
    limits: Limits = Limits()
    resolve: Callable[[bytes], bytes | None] | None = None


@dataclass(frozen=True, slots=True)
class Spoken:
    """A conversation that is over: the client's `first` bytes (256 at most), how many it sent, how many it was sent, and why it
    ended (`closed`, `reset`, `silence`, `time limit`, `read limit`, `write limit`, `answered`)."""

    first: bytes
    received: int
    sent: int
    end: str
