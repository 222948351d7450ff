"""The clouds' metadata services, by address or by name, asked for straight or through a proxy."""

from collections.abc import Iterable, Sequence

from scanner.egress.observed import destination_of, through
from scanner.egress.permits import address_range
from scanner.model import Confidence, Finding, Rule, Severity, printable
from scanner.model.egress import Destination
from scanner.model.run import Attempt
from scanner.runtime.attempts.plugin import Watch, Watched, by, by_host, listed, said, target, times

METADATA = Rule(
    id="observed/metadata",
    name="Attempt to read a cloud's metadata service",
    severity=Severity.HIGH,
    description="A process of the sandbox asked the address or name at which a cloud hands out credentials of the machine.",
    help="Where it is answered, the sandbox gets the rights of its host's role. Drop what goes to 169.254.169.254, fd00:ec2::254, "
    "100.100.100.200 and 168.63.129.16, require tokens with a hop limit of 1, and find out what the process named here is.",
    references=("https://attack.mitre.org/techniques/T1552/005/",),
    attack=("T1552.005",),
)


def takes(attempt: Attempt, watched: Watched) -> bool:
    return watched.destination(attempt) is Destination.METADATA or _behind(attempt) is not None


def _behind(attempt: Attempt) -> str | None:
    """The metadata service that a proxy was asked for."""
    asked = through(attempt)
    if asked is None:
        return None
    host = asked[0]
    found = destination_of(host, host if address_range(host) is None else None)
    return host if found is Destination.METADATA else None


def judge(attempts: Sequence[Attempt], watched: Watched) -> Iterable[Finding]:
    for host, some in by_host(attempts).items():
        asked = [f"{h.get('method')} {h.get('path')}" for a in some if (h := said(a, "http")).get("path")]
        what = f", for {printable(listed(asked), 300)}" if asked else ""
        yield watched.finding(
            METADATA,
            some,
            f"{_shown(some[0])}, a cloud's metadata service, was asked{by(watched.who(some))} {times(some)}{what}.",
            identity=(host,),
            confidence=Confidence.HIGH if asked else Confidence.MEDIUM,
            details={"requests": list(dict.fromkeys(asked))[:50]},
        )


def _shown(attempt: Attempt) -> str:
    behind = _behind(attempt)
    return target(attempt) if behind is None else f"{printable(behind)} through {target(attempt)}"


PLUGIN = Watch("metadata", (METADATA,), takes, judge, order=30)
