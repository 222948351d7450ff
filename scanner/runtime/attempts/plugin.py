"""What a kind of attempt is: which ones it takes, and what they add up to."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from scanner.egress.observed import destination_of
from scanner.model import (
    Confidence,
    Evidence,
    Finding,
    Json,
    ProcessLocation,
    Rule,
    Severity,
    fingerprint,
    printable,
)
from scanner.model.egress import Destination
from scanner.model.run import Attempt, Process, Run
from scanner.reports.watched import finder

NAMED = 5
"""Processes, ports or names that a message lists."""


@dataclass(frozen=True)
class Watched:
    """A run and what its judges need to know besides. `siblings` are the names that its launch starts beside it, `gateways` the
    addresses of its host."""

    run: Run
    repository: str
    siblings: frozenset[str] = frozenset()
    gateways: frozenset[str] = frozenset()

    @cached_property
    def process(self) -> Callable[[int | None, float | None], Process | None]:
        """`Run.process` for many attempts of many processes."""
        return finder(self.run)

    def destination(self, attempt: Attempt) -> Destination | None:
        return destination_of(attempt.target.address, attempt.name, self.siblings, self.gateways)

    def located(self, pid: int | None, at: float | None = None) -> ProcessLocation:
        """The process, or the container where nobody knows which process it was."""
        process = self.process(pid, at)
        if process is None:
            return ProcessLocation(self.run.subject, pid)
        return ProcessLocation(self.run.subject, process.pid, process.command, process.executable)

    def finding(
        self,
        rule: Rule,
        attempts: Sequence[Attempt],
        message: str,
        *,
        identity: Iterable[str],
        confidence: Confidence,
        severity: Severity | None = None,
        details: Mapping[str, Json] | None = None,
    ) -> Finding:
        """One finding for attempts that belong together, at the process that made the first of them."""
        places = dict.fromkeys(self.located(a.pid, a.time) for a in attempts[:1000])
        first = min(attempts, key=lambda a: a.time)
        facts: dict[str, Json] = {
            "time": moment(first.time),
            "count": sum(a.count for a in attempts),
            "name": first.name,
            "address": first.target.address,
            "port": first.target.port,
            "protocol": first.protocol,
            "service": first.service,
            "first_bytes": printable(first.first, 300),
        }
        return Finding(
            rule_id=rule.id,
            severity=severity or rule.severity,
            confidence=confidence,
            message=message,
            locations=tuple(places)[:NAMED] or (ProcessLocation(self.run.subject),),
            evidence=tuple(_evidence(a) for a in attempts[:NAMED]),
            fingerprint=fingerprint(rule.id, self.repository, *identity),
            details={**facts, **(details or {})},
        )

    def who(self, attempts: Iterable[Attempt]) -> str:
        """`python3 miner.py (PID 12)` for a message; "" where nobody knows."""
        words = []
        for attempt in attempts:
            process = self.process(attempt.pid, attempt.time)
            if process is not None:
                words.append(f"{printable(' '.join(process.command), 80)} (PID {process.pid})")
            elif attempt.pid is not None:
                words.append(f"PID {attempt.pid}")
        return listed(words)


@dataclass(frozen=True, slots=True)
class Watch:
    """`takes` says whether an attempt is of this kind; kinds are asked by ascending `order`, the most telling first. `judge` gets what
    was taken, in time's order, and may look at the rest of the run as well. Both are plain functions and keep nothing."""

    name: str
    rules: tuple[Rule, ...]
    takes: Callable[[Attempt, Watched], bool]
    judge: Callable[[Sequence[Attempt], Watched], Iterable[Finding]]
    order: int = 50


def said(attempt: Attempt, service: str) -> Mapping[str, Json]:
    """What the attempt's bytes say of a service; empty for nothing."""
    found = attempt.details.get(service)
    return found if isinstance(found, Mapping) else {}


def spoke(attempt: Attempt, *services: str) -> bool:
    """Whether any of the services was spoken, inside of whatever else."""
    layers = attempt.details.get("layers")
    inner = layers if isinstance(layers, Sequence) and not isinstance(layers, str) else ()
    return attempt.service in services or any(layer in services for layer in inner)


def target(attempt: Attempt) -> str:
    """`pool.example:3333 (198.18.0.9)`, or the address alone."""
    if attempt.name is None:
        return printable(attempt.target.display)
    port = "" if attempt.target.port is None else f":{attempt.target.port}"
    return f"{printable(attempt.name)}{port} ({printable(attempt.target.address)})"


def host(attempt: Attempt) -> str:
    """What stays the same from run to run: the name, or the address where there was none."""
    return (attempt.name or attempt.target.address).rstrip(".").lower()


def by_host(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """The attempts by the host that they were meant for, in order of first sight."""
    found: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        found.setdefault(host(attempt), []).append(attempt)
    return found


def listed(words: Iterable[str], most: int = NAMED) -> str:
    """`a, b and 3 more`; equal words once."""
    unique = list(dict.fromkeys(words))
    shown = unique[:most]
    rest = len(unique) - len(shown)
    if rest:
        return f"{', '.join(shown)} and {rest:,} more"
    return shown[0] if len(shown) == 1 else " and ".join([", ".join(shown[:-1]), shown[-1]]) if shown else ""


def times(attempts: Iterable[Attempt]) -> str:
    """`once`, `7 times`."""
    count = sum(a.count for a in attempts)
    return "once" if count == 1 else f"{count:,} times"


def moment(time: float) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    try:
        return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return "unknown"


def by(who: str) -> str:
    """` by WHO`, or nothing where nobody knows."""
    return f" by {who}" if who else ""


def _evidence(attempt: Attempt) -> Evidence:
    seen = printable(attempt.first, 200)
    return Evidence(
        "attempt",
        attempt.service,
        b"",
        excerpt=f"{moment(attempt.time)} {attempt.protocol} {target(attempt)}" + (f": {seen}" if seen else ""),
        facts=dict(attempt.details),
    )
