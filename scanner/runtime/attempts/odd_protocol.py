"""What is neither TCP nor UDP: echo requests that carry data, and protocols that no program of a sandbox needs."""

from collections.abc import Iterable, Sequence

from scanner.model import Confidence, Finding, Rule, Severity, printable
from scanner.model.run import Attempt
from scanner.runtime.attempts.plugin import Watch, Watched, by, by_host, listed, said, target, times

ICMP_TUNNEL = Rule(
    id="observed/icmp-tunnel",
    name="Echo requests that carry data",
    severity=Severity.HIGH,
    description="Echo requests of a sandbox whose payloads are large, change in size or are many: ping's are alike and few.",
    help="Data leaves, and commands come back, in packets that most firewalls let through. Drop ICMP from the sandbox, and find the "
    "process named here.",
    references=("https://attack.mitre.org/techniques/T1095/",),
    attack=("T1095", "T1048.003"),
)
ODD_PROTOCOL = Rule(
    id="observed/odd-protocol",
    name="Packets of a protocol other than TCP, UDP and ICMP",
    severity=Severity.HIGH,
    description="The sandbox sent packets that only a raw socket, or a kernel's tunnel, makes (GRE, IP in IP, SCTP, frames of its own), or "
    "asked for a socket that leads past its network.",
    help="Rules on TCP and UDP do not see them. Take NET_RAW from the sandbox and drop what is neither TCP nor UDP.",
    references=("https://attack.mitre.org/techniques/T1095/",),
    attack=("T1095",),
)

PAYLOAD = 256
"""Bytes beyond which an echo request's payload is not ping's own (56 by default; 32 on Windows)."""
SIZES = 4
MANY = 50


_PROBED = frozenset(("io_uring",))
"""What language runtimes try by themselves when they start (libuv does), to go on without it."""
_REACHES_PAST = frozenset(("vsock", "xdp", "tipc", "can", "bluetooth", "rds", "smc", "qipcrtr"))
"""Families that a network namespace does not hold, or that few know: they are asked for to get past it."""


def takes(attempt: Attempt, watched: Watched) -> bool:
    if attempt.protocol in ("tcp", "udp", "unix"):
        return False
    return watched.destination(attempt) is not None or attempt.protocol not in ("icmp", "icmp6")


def judge(attempts: Sequence[Attempt], watched: Watched) -> Iterable[Finding]:
    echoes = [a for a in attempts if a.protocol in ("icmp", "icmp6")]
    for host, some in by_host(echoes).items():
        yield _echo(host, some, watched)
    odd = [a for a in attempts if a.protocol not in ("icmp", "icmp6")]
    kinds: dict[str, list[Attempt]] = {}
    for attempt in odd:
        kinds.setdefault(attempt.protocol, []).append(attempt)
    for protocol, some in kinds.items():
        if some[0].details.get("call"):
            yield _call(protocol, some, watched)
            continue
        yield watched.finding(
            ODD_PROTOCOL,
            some,
            f"{protocol} to {listed(target(a) for a in some)}{by(watched.who(some))}, {times(some)}.",
            identity=(protocol,),
            confidence=Confidence.MEDIUM,
            severity=Severity.MEDIUM,
        )


def _call(protocol: str, attempts: Sequence[Attempt], watched: Watched) -> Finding:
    """What the kernel was asked for: refused, it is a try; granted, the packets that follow are attempts of their own."""
    results = list(dict.fromkeys(printable(str(a.details.get("result")), 30) for a in attempts))
    granted = "granted" in results
    calls = listed(printable(str(a.details.get("call")), 60) for a in attempts)
    if protocol in _REACHES_PAST:
        severity = Severity.HIGH if granted else Severity.MEDIUM
    elif protocol in _PROBED:
        severity = Severity.LOW if granted else Severity.NOTE
    else:
        severity = Severity.MEDIUM if granted else Severity.LOW
    how = "was granted" if granted else f"was refused ({listed(results)})"
    return watched.finding(
        ODD_PROTOCOL,
        attempts,
        f"{calls} {how}{by(watched.who(attempts))}, {times(attempts)}.",
        identity=("call", protocol),
        confidence=Confidence.MEDIUM,
        severity=severity,
    )


def _echo(host: str, attempts: Sequence[Attempt], watched: Watched) -> Finding:
    sizes: set[int] = set()
    for attempt in attempts:
        told = (said(attempt, attempt.protocol) or attempt.details).get("sizes")
        sizes.update(
            n for n in (told if isinstance(told, Sequence) and not isinstance(told, str) else ()) if isinstance(n, int)
        )
    largest = max(sizes, default=0)
    count = sum(a.count for a in attempts)
    signs = [largest > PAYLOAD, len(sizes) >= SIZES, count >= MANY]
    tunnel = sum(signs) >= 2
    shown = f", payloads of {listed(map(str, sorted(sizes)))} bytes" if sizes else ""
    return watched.finding(
        ICMP_TUNNEL,
        attempts,
        f"ICMP to {target(attempts[0])}{by(watched.who(attempts))}, {times(attempts)}{shown}.",
        identity=(host,),
        confidence=Confidence.HIGH if all(signs) else Confidence.MEDIUM,
        severity=ICMP_TUNNEL.severity if tunnel else Severity.NOTE,
        details={"sizes": list(sorted(sizes)[:50])},
    )


PLUGIN = Watch("odd_protocol", (ICMP_TUNNEL, ODD_PROTOCOL), takes, judge, order=25)
