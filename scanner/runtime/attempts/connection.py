"""Every other attempt to leave: one finding for each host outside, so that a policy can be written from them."""

from collections.abc import Iterable, Sequence

from scanner.model import Confidence, Finding, Rule, Severity, printable
from scanner.model.egress import Destination
from scanner.model.run import Attempt
from scanner.runtime.attempts.plugin import Watch, Watched, by, by_host, listed, said, target, times

CONNECTION = Rule(
    id="observed/connection",
    name="Attempt to reach the internet",
    severity=Severity.MEDIUM,
    description="A process of the sandbox tried a public address or name. By itself that is what programs do; an address without a name, "
    "and bytes that belong to no known protocol, weigh more.",
    help="See whether the sandbox needs it. If so, allow this name and port and nothing else; if not, find the process named here.",
    references=("https://attack.mitre.org/techniques/T1071/",),
    attack=("T1071", "T1041"),
)

_PLAIN = frozenset(("http", "tls", "quic", "dns", "ntp", "silent", "smtp", "ftp", "git", "ssh"))
"""SSH that is not taken by the rules on tunnels carries git."""


def takes(attempt: Attempt, watched: Watched) -> bool:
    return watched.destination(attempt) is Destination.INTERNET


TOLD = 100
"""Hosts that are told one by one; of more, the rest is one finding."""


def judge(attempts: Sequence[Attempt], watched: Watched) -> Iterable[Finding]:
    hosts = list(by_host(attempts).items())
    if len(hosts) > TOLD:
        hosts.sort(key=lambda one: _severity(one[1]) is not Severity.MEDIUM)  # what weighs more is told first
    for host, some in hosts[:TOLD]:
        services = list(dict.fromkeys(a.service for a in some))
        ports = sorted({a.target.port for a in some if a.target.port is not None})
        words = [w for a in some if (w := _words(a))]
        yield watched.finding(
            CONNECTION,
            some,
            f"{target(some[0])} was tried{by(watched.who(some))} {times(some)}"
            + (f", ports {listed(map(str, ports))}" if len(ports) > 1 else "")
            + (f": {listed(words, 3)}" if words else "")
            + ".",
            identity=(host,),
            confidence=Confidence.HIGH,
            severity=_severity(some),
            details={"ports": list(ports[:200]), "services": list(services)},
        )
    if len(hosts) > TOLD:
        rest = [a for _, some in hosts[TOLD:] for a in some]
        yield watched.finding(
            CONNECTION,
            rest,
            f"{len(hosts) - TOLD:,} more hosts outside were tried{by(watched.who(rest[:1000]))} {times(rest)}: "
            f"{listed(printable(host) for host, _ in hosts[TOLD:])}.",
            identity=("more",),
            confidence=Confidence.HIGH,
            severity=max((_severity(some) for _, some in hosts[TOLD:]), key=lambda s: s.rank),
            details={"hosts": [printable(host) for host, _ in hosts[TOLD : TOLD + 1000]]},
        )


def _severity(attempts: Sequence[Attempt]) -> Severity:
    """What programs do is low; an address that nobody looked up, or bytes of no known protocol, weigh more."""
    strange = any(a.service not in _PLAIN for a in attempts)
    named = attempts[0].name is not None or isinstance(said(attempts[0], "tls").get("sni"), str)
    return Severity.LOW if named and not strange else Severity.MEDIUM


def _words(attempt: Attempt) -> str:
    """What the first bytes say, in a few words."""
    http, tls = said(attempt, "http"), said(attempt, "tls")
    if http.get("method"):
        return printable(f"{http['method']} {http.get('path') or ''}".strip(), 120)
    if tls.get("sni"):
        return f"TLS for {printable(str(tls['sni']), 80)}"
    if attempt.service == "ssh":
        return "git over SSH"
    if attempt.service == "silent":
        return "nothing was said" if attempt.protocol == "tcp" else ""
    return attempt.service if attempt.service != "unknown" else "unknown bytes"


PLUGIN = Watch("connection", (CONNECTION,), takes, judge, order=90)
