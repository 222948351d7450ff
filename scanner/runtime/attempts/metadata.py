"""The clouds' metadata services, by address, by name or by what was asked for."""

from collections.abc import Iterable, Sequence

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
    return watched.destination(attempt) is Destination.METADATA


def judge(attempts: Sequence[Attempt], watched: Watched) -> Iterable[Finding]:
    for host, some in by_host(attempts).items():
        asked = [f"{h.get('method')} {h.get('path')}" for a in some if (h := said(a, "http")).get("path")]
        what = f", for {printable(listed(asked), 300)}" if asked else ""
        yield watched.finding(
            METADATA,
            some,
            f"{target(some[0])}, a cloud's metadata service, was asked{by(watched.who(some))} {times(some)}{what}.",
            identity=(host,),
            confidence=Confidence.HIGH if asked else Confidence.MEDIUM,
            details={"requests": list(dict.fromkeys(asked))[:50]},
        )


PLUGIN = Watch("metadata", (METADATA,), takes, judge, order=30)
