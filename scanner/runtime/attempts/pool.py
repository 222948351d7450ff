"""Mining pools: a client that speaks stratum mines, or would; a name of a pool alone is a hint.

Stratum: Slush Pool's specification of 2012, the JSON-RPC of Monero pools, EthereumStratum 1.0 (NiceHash).
"""

from collections.abc import Iterable, Iterator, Sequence

from scanner.detectors.mining import pools
from scanner.model import Confidence, Finding, Rule, Severity, printable
from scanner.model.run import Attempt
from scanner.runtime.attempts.plugin import Watch, Watched, by, by_host, said, spoke, target, times

POOL = Rule(
    id="observed/pool",
    name="Attempt to join a mining pool",
    severity=Severity.CRITICAL,
    description="A process of the sandbox asked a server for work to mine (stratum, getblocktemplate), or looked for a pool that is known "
    "by its name.",
    help="The sandbox mines as soon as it can reach a pool. Find the program at the process named here and who put it there, and "
    "close the way out.",
    references=("https://attack.mitre.org/techniques/T1496/001/",),
    attack=("T1496.001", "T1071.001"),
)


def takes(attempt: Attempt, watched: Watched) -> bool:
    del watched
    return spoke(attempt, "stratum") or _known(attempt) is not None


def _known(attempt: Attempt) -> str | None:
    """The pool's domain, where the name, or what TLS or a proxy was told, is a pool's."""
    names = (
        attempt.name,
        said(attempt, "tls").get("sni"),
        str(said(attempt, "proxy").get("target")).rpartition(":")[0],
    )
    return next((found for n in names if isinstance(n, str) and (found := pools.domain(n))), None)


def judge(attempts: Sequence[Attempt], watched: Watched) -> Iterable[Finding]:
    for host, some in by_host(attempts).items():
        speaking = [a for a in some if spoke(a, "stratum")]
        yield _finding(host, speaking or some, bool(speaking), watched)
    asked = set(by_host(attempts))
    yield from _looked_up(asked, watched)


def _finding(host: str, attempts: Sequence[Attempt], spoken: bool, watched: Watched) -> Finding:
    first, known = attempts[0], _known(attempts[0])
    told = said(first, "stratum")
    who = by(watched.who(attempts))
    if spoken:
        words = [
            f"{key} {printable(str(told[key]), 80)}" for key in ("login", "worker", "agent", "algo") if told.get(key)
        ]
        method = f" {printable(str(told['method']), 40)}" if told.get("method") else ""
        message = f"Stratum{method} to {target(first)}{who}, {times(attempts)}" + (
            f": {', '.join(words)}" if words else ""
        )
    else:
        message = (
            f"{target(first)} belongs to the mining pool {known}; tried {times(attempts)}{who}, no stratum was spoken"
        )
    return watched.finding(
        POOL,
        attempts,
        message + ".",
        identity=(host, str(first.target.port)),
        confidence=Confidence.HIGH if spoken else Confidence.MEDIUM,
        severity=POOL.severity if spoken else Severity.HIGH,
        details={"pool": known, **{f"stratum_{k}": v for k, v in told.items()}},
    )


def _looked_up(asked: set[str], watched: Watched) -> Iterator[Finding]:
    """A pool's name that was asked for and never connected to."""
    seen = set()
    for query in watched.run.queries:
        name = query.name.rstrip(".").lower()
        known = pools.domain(name)
        if known is None or name in asked or name in seen:
            continue
        seen.add(name)
        lookup = Attempt(
            query.time, query.transport, query.server, name=name, pid=query.pid, service="dns", count=query.count
        )
        who = by(watched.who([lookup]))
        yield watched.finding(
            POOL,
            [lookup],
            f"The name of the mining pool {known} was looked up{who} ({printable(name)}), {times([lookup])}; no connection followed.",
            identity=(name, "lookup"),
            confidence=Confidence.LOW,
            severity=Severity.MEDIUM,
            details={"pool": known},
        )


PLUGIN = Watch("pool", (POOL,), takes, judge, order=10)
