"""What the sink's child tells its parent, and what the parent makes of it.

A message is the length of a JSON object (32 bits), and the object. The child never waits for its parent: what finds no room is
counted. The parent believes no message that it cannot read whole.
"""

import json
import math
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from scanner.model import Json
from scanner.model.run import Attempt, Endpoint, Query

MAX_MESSAGE: Final = 64 << 10
_ROOM = 24 << 20
_KEPT_FREE = 8 << 20
"""Of the room, what is for the ends of attempts that were told already."""
_DETAILS = 64 << 20
_OPEN = 1 << 20
"""Attempts that have begun and not ended: more than the child has connections and flows."""
_LENGTH = struct.Struct("=I")
_PIECE = 1 << 18
_WORD = 64
"""Characters of an address, a protocol, a service, a type."""
_NAME = 1024
"""Characters of a host's name: 255 bytes (RFC 1035, 3.1), each of which may be shown as four."""
_COUNT = 1 << 62
_DEEP = 16
"""Objects in objects that are kept of an attempt's details."""
FIRST_BYTES: Final = 256


class NonsenseError(Exception):
    """A message that is none; its sender is not to be believed any more."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the parent gives its child, as JSON on the command line; descriptors are inherited, `pcap` -1 for none."""

    parent: int
    control: int
    guest: int
    pcap: int
    pcap_bytes: int
    names: Mapping[str, tuple[str, ...]]
    methods: tuple[str, ...]
    drain_seconds: float


class Outbox:
    """What waits to be sent; bounded. `dropped` counts by name what found no room."""

    def __init__(self, connection: socket.socket, room: int = _ROOM) -> None:
        self._socket = connection
        self._room = room
        self._waiting = bytearray()
        self._numbers = 0
        self.dropped: Counter[str] = Counter()

    @property
    def empty(self) -> bool:
        return not self._waiting

    def attempt(self, time: float, protocol: str, source: Endpoint, target: Endpoint, name: str | None) -> int | None:
        """Tell of an attempt at once; its number, None where there is no room (its end will not be told either)."""
        self._numbers += 1
        told = self._put(
            {
                "is": "attempt",
                "id": self._numbers,
                "time": time,
                "protocol": protocol,
                "source": _told(source),
                "target": _told(target),
                "name": name,
            },
            _KEPT_FREE,
            "attempts",
        )
        return self._numbers if told else None

    def heard(
        self,
        number: int,
        service: str,
        details: Mapping[str, Json],
        first: bytes,
        sent: int,
        count: int = 1,
        last: float | None = None,
        more: bool = False,
    ) -> None:
        """Tell what an attempt came to. Where one was several things, each has a message of its own: `more` follows."""
        message: dict[str, Json] = {
            "is": "heard",
            "id": number,
            "service": service,
            "details": dict(details),
            "first": first[:FIRST_BYTES].decode("latin-1"),
            "sent": sent,
            "count": count,
            "last": last,
            "more": more,
        }
        self._put(message, 0, "attempt details")

    def query(self, time: float, name: str, kind: str, source: Endpoint, server: Endpoint, transport: str) -> None:
        self._put(
            {
                "is": "query",
                "time": time,
                "name": name,
                "type": kind,
                "source": _told(source),
                "server": _told(server),
                "transport": transport,
            },
            _KEPT_FREE,
            "queries",
        )

    def say(self, message: Mapping[str, Json]) -> None:
        """A message that is sent whatever waits."""
        self._append(json.dumps(message).encode())

    def flush(self) -> None:
        """Send what goes without waiting. Raises OSError where the parent is gone."""
        while self._waiting:
            try:
                sent = self._socket.send(memoryview(self._waiting)[:_PIECE], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            del self._waiting[:sent]

    def _put(self, message: Mapping[str, Json], keep_free: int, what: str) -> bool:
        text = json.dumps(message).encode()
        if len(text) > MAX_MESSAGE or len(self._waiting) + len(text) > self._room - keep_free:
            self.dropped[what] += 1
            return False
        self._append(text)
        return True

    def _append(self, text: bytes) -> None:
        self._waiting += _LENGTH.pack(len(text)) + text


def _told(endpoint: Endpoint) -> list[Json]:
    return [endpoint.address, endpoint.port]


def receive(connection: socket.socket) -> Iterator[dict[str, Any]]:
    """The messages that come, until the other end is closed. Raises OSError, NonsenseError."""
    data = bytearray()
    while piece := connection.recv(_PIECE):
        data += piece
        yield from _taken(data)
    if data:
        raise NonsenseError("the last message is cut off")


def _taken(data: bytearray) -> Iterator[dict[str, Any]]:
    """The whole messages at the front of the data, which they leave. Raises NonsenseError."""
    at = 0
    try:
        while len(data) >= at + _LENGTH.size:
            size = _LENGTH.unpack_from(data, at)[0]
            if size > MAX_MESSAGE:
                raise NonsenseError(f"a message of {size} bytes")
            if len(data) < at + _LENGTH.size + size:
                return
            text = bytes(data[at + _LENGTH.size : at + _LENGTH.size + size])
            at += _LENGTH.size + size
            try:
                message = json.loads(text)
            except (ValueError, RecursionError) as e:
                raise NonsenseError("a message that is no JSON") from e
            if not isinstance(message, dict):
                raise NonsenseError("a message that is no object")
            yield message
    finally:
        del data[:at]


class Ledger:
    """Attempts and queries as they are told, equal ones folded; `who` is asked once for each.

    Different ones beyond the limits are counted in `dropped`, and so are those whose details would take more than 64 MiB in all.
    """

    def __init__(
        self, who: Callable[[str, Endpoint, Endpoint, float], int | None], attempts: int, queries: int
    ) -> None:
        self._who = who
        self._attempt_limit = attempts
        self._query_limit = queries
        self._room = _DETAILS
        self._open: dict[int, Attempt] = {}
        self._attempts: dict[tuple[object, ...], Attempt] = {}
        self._queries: dict[tuple[object, ...], Query] = {}
        self.dropped: Counter[str] = Counter()

    def take(self, message: Mapping[str, Any]) -> bool:
        """Enter a message; False where it is of another kind. Raises NonsenseError."""
        try:
            match message["is"]:
                case "attempt":
                    self._begin(message)
                case "heard":
                    self._end(message)
                case "query":
                    self._ask(message)
                case _:
                    return False
        except (KeyError, TypeError, ValueError, OverflowError) as e:
            raise NonsenseError(f"a message without its parts: {e!r}") from e
        return True

    def attempts(self) -> tuple[Attempt, ...]:
        """In the order of time; what nobody told the end of is `unknown`."""
        for attempt in self._open.values():
            self._keep(replace(attempt, service="unknown"))
        self._open.clear()
        return tuple(sorted(self._attempts.values(), key=lambda a: (a.time, a.protocol, a.target.display)))

    def queries(self) -> tuple[Query, ...]:
        return tuple(sorted(self._queries.values(), key=lambda q: (q.time, q.name, q.type)))

    def _begin(self, message: Mapping[str, Any]) -> None:
        time, protocol, name = _time(message["time"]), _word(message["protocol"]), message["name"]
        source, target = _endpoint(message["source"]), _endpoint(message["target"])
        pid = self._who(protocol, source, target, time)
        name = None if name is None else _word(name, _NAME)
        if len(self._open) >= _OPEN:
            raise NonsenseError("attempts without an end")
        self._open[int(message["id"])] = Attempt(time, protocol, target, name, source, pid)

    def _end(self, message: Mapping[str, Any]) -> None:
        number, more = int(message["id"]), bool(message["more"])
        begun = self._open.get(number) if more else self._open.pop(number, None)
        if begun is None:
            return  # a message without a beginning tells nothing
        details = message["details"]
        if not isinstance(details, dict):
            raise NonsenseError("details that are no object")
        last = message["last"]
        self._keep(
            replace(
                begun,
                service=_word(message["service"]),
                details={key: _plain(value, _DEEP) for key, value in details.items()},
                first=str(message["first"]).encode("latin-1")[:FIRST_BYTES],
                sent=_number(message["sent"]),
                count=_number(message["count"]),
                last=None if last is None else _time(last),
            )
        )

    def _keep(self, attempt: Attempt) -> None:
        a = attempt
        details = json.dumps(a.details, sort_keys=True)
        key = (a.protocol, a.target, a.name, a.pid, a.service, details)
        known = self._attempts.get(key)
        if known is None:
            if len(self._attempts) < self._attempt_limit and len(details) <= self._room:
                self._room -= len(details)
                self._attempts[key] = attempt
            else:
                self.dropped["attempts"] += attempt.count
            return
        self._attempts[key] = replace(
            known,
            time=min(known.time, attempt.time),
            count=known.count + attempt.count,
            sent=known.sent + attempt.sent,
            last=max(known.last or known.time, attempt.last or attempt.time),
        )

    def _ask(self, message: Mapping[str, Any]) -> None:
        time, name, kind, transport = (
            _time(message["time"]),
            _word(message["name"], _NAME),
            _word(message["type"]),
            _word(message["transport"]),
        )
        source, server = _endpoint(message["source"]), _endpoint(message["server"])
        pid = self._who(transport, source, server, time)
        key = (name, kind, server, transport, pid)
        known = self._queries.get(key)
        if known is not None:
            self._queries[key] = replace(known, count=known.count + 1)
        elif len(self._queries) < self._query_limit:
            self._queries[key] = Query(time, name, kind, server, transport, pid)
        else:
            self.dropped["queries"] += 1


def _endpoint(value: Any) -> Endpoint:
    address, port = value
    return Endpoint(_word(address), None if port is None else _number(port, 0xFFFF))


def _word(value: Any, most: int = _WORD) -> str:
    """Raises ValueError: no text, or longer than any that an honest child writes."""
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"no text of at most {most} characters")
    return value


def _number(value: Any, most: int = _COUNT) -> int:
    """Raises ValueError, TypeError, OverflowError."""
    number = int(value)
    if not 0 <= number <= most:
        raise ValueError(f"no number up to {most}")
    return number


def _time(value: Any) -> float:
    """Raises ValueError, TypeError, OverflowError."""
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError("no time")
    return seconds


def _plain(value: Any, deep: int) -> Json:
    """What a report can hold: no number that JSON has none for, and nothing that lies too deep to be walked through."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if not isinstance(value, dict | list):
        kept: Json = value
        return kept
    if not deep:
        return "…"
    if isinstance(value, list):
        return [_plain(one, deep - 1) for one in value]
    return {key: _plain(one, deep - 1) for key, one in value.items()}
