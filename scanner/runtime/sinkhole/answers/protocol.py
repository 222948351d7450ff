"""What a file of `protocols` exports, and what it is given to speak with."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from scanner.masked import text
from scanner.model import Json
from scanner.model.run import Endpoint
from scanner.model.text import printable
from scanner.runtime.sinkhole.answers.stream import Stream
from scanner.runtime.sinkhole.answers.values import Context, Heard

LISTED = 20
"""Entries of one list in the details."""


def shown(value: str | bytes, limit: int = 200) -> str:
    """A client's words as they may stand in a report: masked, printable, bounded."""
    decoded = value[: limit * 4].decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value[: limit * 4]
    return printable(text(decoded), limit)


@dataclass
class Talk:
    """One conversation: the stream it goes over, what was told so far. `inside` leads on to what lies in the stream.

    `known` are bytes that were peeked and what they are (none: the client had its time to speak and did not), None where nobody
    has looked yet; `greeted` is what a silent client was told first.
    """

    context: Context
    stream: Stream
    converse: Callable[["Talk"], Awaitable[None]]
    known: tuple[bytes, Heard] | None = None
    greeted: bytes = b""
    depth: int = 0
    layers: tuple[str, ...] = ()
    told: dict[str, dict[str, Json]] = field(default_factory=dict)

    def tell(self, key: str, **facts: Json) -> None:
        """Add facts to a key of the details, and tell the key whole."""
        known = self.told.setdefault(key, {})
        known |= {name: fact for name, fact in facts.items() if fact is not None}
        self.context.tell({key: dict(known)})

    def listed(self, key: str, name: str, fact: Json) -> None:
        """Append to a list of a key's facts, where it is new; where the list is full, it is counted as left out."""
        known = self.told.get(key, {}).get(name)
        before = list(known) if isinstance(known, list | tuple) else []
        if len(before) >= LISTED and fact not in before:
            self.left_out(key, name)
        elif fact not in before:
            self.tell(key, **{name: [*before, fact]})

    def left_out(self, key: str, name: str) -> None:
        """Count one more that a list has no room for."""
        known = self.told.get(key, {}).get("left_out")
        counts = dict(known) if isinstance(known, Mapping) else {}
        count = counts.get(name)
        counts[name] = 1 + (count if isinstance(count, int) else 0)
        self.tell(key, left_out=counts)

    def heard(self, heard: Heard) -> None:
        """A service was recognised, in the layers told so far."""
        self.layers = (*self.layers, heard.service)
        for key, facts in heard.details.items():
            if isinstance(facts, Mapping):
                self.tell(key, **facts)
            else:
                self.context.tell({key: facts})
        more: dict[str, Json] = {"service": heard.service}
        if len(self.layers) > 1:
            more["layers"] = list(self.layers)
        self.context.tell(more)

    def unanswered(self, why: str) -> None:
        self.context.tell({"unanswered": why})

    async def inside(self, stream: Stream, target: Endpoint | None = None) -> None:
        """Converse with what lies inside: in TLS, or behind a proxy that was asked for `target`."""
        self.stream = stream
        self.greeted = b""
        self.depth += 1
        if target is not None:
            self.context = replace(self.context, target=target, name=target.address)
        await self.converse(self)


@dataclass(frozen=True, slots=True)
class Speaker:
    """One protocol. Each of its functions may be missing.

    `recognise` judges a stream's first bytes (cut short, as they may be) and its port; `datagram` one UDP datagram, and gives
    the answer to it (None: none). Both are pure, and None means: not mine. `converse` answers: it has the stream with its
    first bytes still in it, and returns when there is nothing more to hear. It may raise Over. A `weak` one is known by few
    bytes, and asked after all others.
    """

    name: str
    recognise: Callable[[bytes, int], Heard | None] | None = None
    converse: Mapping[str, Callable[[Talk, Heard], Awaitable[None]]] = field(default_factory=dict)
    datagram: Callable[[bytes, int], tuple[Heard, bytes | None] | None] | None = None
    weak: bool = False
