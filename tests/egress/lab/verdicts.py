"""From what single probes did to a verdict on each destination.

A row is one probe's end: `reached` (an answer came back), `one-way` (a packet of it was seen outside, no answer came), `no`.
`via` says by what means: `direct` plain sockets, `proxy` and `relay` what decides for itself, `net_admin …` a route that
the sandbox set itself, `engine`, `nsenter`, `disk` what a takeover reaches.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

RANK = ("no", "one-way", "reached")
ADDRESSED = ("internet", "private", "metadata", "host")
PIVOTS = ("engine", "nsenter", "disk")
MEDIATED = ("proxy", "relay")
NOTHING = "nothing listens"
"""No verdict: there are siblings, but no service that could be reached or not."""


@dataclass(frozen=True, slots=True)
class Row:
    """`cls` is the destination; `sibling` whose probe it is, `port` which of its ports (`published` for one of the host's)."""

    id: str
    cls: str
    end: str
    via: str = "direct"
    sibling: str | None = None
    port: str | None = None
    family: int = 4
    said: str = ""


def of_all(ends: Sequence[str]) -> str:
    """Open where every probe came through, closed where none left."""
    if ends and all(end == "reached" for end in ends):
        return "open"
    return "limited" if any(end != "no" for end in ends) else "closed"


def verdicts(rows: Iterable[Row], siblings: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """The verdict on each destination; `siblings` are the ports on which each of the launch's other services listens."""
    rows = tuple(rows)
    found = {destination: _addressed([row for row in rows if row.cls == destination]) for destination in ADDRESSED}
    found["engine"] = _engine([row for row in rows if row.cls == "engine"])
    found["dns"] = _names([row for row in rows if row.cls == "dns"])
    found["siblings"] = _siblings([row for row in rows if row.cls == "siblings"], siblings)
    return found


def _addressed(rows: Sequence[Row]) -> str:
    """Open by one way that gives all of it on IPv4; what decides for itself never gives all of it."""
    ways: dict[tuple[int, str], list[str]] = {}
    for row in rows:
        ways.setdefault((row.family, row.via), []).append(row.end)
    judged = {way: of_all(ends) for way, ends in ways.items()}
    if any(verdict == "open" and family == 4 and via not in MEDIATED for (family, via), verdict in judged.items()):
        return "open"
    return "limited" if any(verdict != "closed" for verdict in judged.values()) else "closed"


def _engine(rows: Sequence[Row]) -> str:
    """Open where it does what it is asked; limited where it only answers."""
    if not any(row.end == "reached" for row in rows):
        return "closed"
    asked = [row for row in rows if row.via in PIVOTS]
    return "limited" if asked and all(row.end != "reached" for row in asked) else "open"


def _names(rows: Sequence[Row]) -> str:
    """Open where the configured resolver answers; limited where a name leaves at all, or another answers."""
    if any(row.end == "reached" and row.id.endswith(("dns resolver", "dns getaddrinfo")) for row in rows):
        return "open"
    return "limited" if any(row.end != "no" for row in rows) else "closed"


def _siblings(rows: Sequence[Row], siblings: Mapping[str, Sequence[int]]) -> str:
    """Each sibling that listens, each of its ports by whatever name or address; a port of the host's counts in part."""
    judged = []
    for name, listening in siblings.items():
        ports: dict[str, bool] = {}
        for row in rows:
            if row.sibling == name and row.port is not None:
                ports[row.port] = ports.get(row.port, False) or row.end == "reached"
        if not listening and not ports:
            continue
        published = ports.pop("published", False)
        own = list(ports.values()) or [published]
        if all(own):
            judged.append("open")
        else:
            judged.append("limited" if any(own) or published else "closed")
    if siblings and not judged:
        return NOTHING
    if all(verdict == "closed" for verdict in judged):
        return "closed"
    return "open" if all(verdict == "open" for verdict in judged) else "limited"
