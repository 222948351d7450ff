"""Private networks: one address that was configured is one thing, many that were tried one after another a scan."""

from collections.abc import Iterable, Sequence

from scanner.model import Confidence, Finding, Rule, Severity
from scanner.model.egress import Destination
from scanner.model.run import Attempt
from scanner.runtime.attempts.plugin import Watch, Watched, by, by_host, listed, target, times

SCAN = Rule(
    id="observed/private-scan",
    name="Scan of private networks",
    severity=Severity.HIGH,
    description="Processes of the sandbox tried many private addresses, or many ports of one, as someone does who looks for what is there.",
    help="The machines behind a sandbox trust whoever comes from inside. Find the process named here, and close the private ranges, "
    "100.64.0.0/10 and fc00::/7 included.",
    references=("https://attack.mitre.org/techniques/T1046/",),
    attack=("T1046", "T1018"),
)
PRIVATE = Rule(
    id="observed/private-network",
    name="Attempt to reach a private address",
    severity=Severity.MEDIUM,
    description="A process of the sandbox tried a private address or name that is no other container of its launch.",
    help="Where the address answers, the sandbox is inside of a network that trusts it. Allow it the one service it needs, or close the "
    "private ranges.",
    references=("https://www.rfc-editor.org/rfc/rfc1918",),
    attack=("T1021",),
)

HOSTS = 8
"""Different private addresses without a name from which on it is a scan; a configuration seldom names as many."""
PORTS = 12
"""Different ports of one address from which on it is a scan."""


def takes(attempt: Attempt, watched: Watched) -> bool:
    return watched.destination(attempt) is Destination.PRIVATE


def judge(attempts: Sequence[Attempt], watched: Watched) -> Iterable[Finding]:
    unnamed = [a for a in attempts if a.name is None]
    hosts = {a.target.address for a in unnamed}
    ports: dict[str, set[int]] = {}
    for a in attempts:
        if a.target.port is not None:
            ports.setdefault(a.target.address, set()).add(a.target.port)
    wide = {address for address, some in ports.items() if len(some) >= PORTS}
    scanned: list[Attempt] = []
    rest: list[Attempt] = []
    for a in attempts:
        (scanned if a.target.address in wide or (len(hosts) >= HOSTS and a.name is None) else rest).append(a)
    if scanned:
        yield _scan(scanned, watched)
    for host, some in by_host(rest).items():
        reached = sorted({a.target.port for a in some if a.target.port is not None})
        yield watched.finding(
            PRIVATE,
            some,
            f"The private address {target(some[0])} was tried{by(watched.who(some))} {times(some)}"
            + (f", on {listed(map(str, reached))}." if len(reached) > 1 else "."),
            identity=(host,),
            confidence=Confidence.MEDIUM,
            severity=PRIVATE.severity if some[0].name is None else Severity.LOW,
        )


def _scan(attempts: Sequence[Attempt], watched: Watched) -> Finding:
    addresses = list(dict.fromkeys(a.target.address for a in attempts))
    ports = sorted({a.target.port for a in attempts if a.target.port is not None})
    what = f"{len(addresses):,} private addresses" if len(addresses) > 1 else f"the private address {addresses[0]}"
    many = (
        f"{len(ports):,} ports ({listed(map(str, ports), 8)})" if len(ports) > 1 else f"port {listed(map(str, ports))}"
    )
    on = f" on {many}" if ports else ""
    span = f", from {addresses[0]} to {addresses[-1]}" if len(addresses) > 1 else ""
    return watched.finding(
        SCAN,
        attempts,
        f"{what[0].upper()}{what[1:]} tried{by(watched.who(attempts))}{on}{span}.",
        identity=("scan",),
        confidence=Confidence.HIGH,
        details={"addresses": [str(a) for a in addresses[:200]], "ports": list(ports[:200])},
    )


PLUGIN = Watch("private", (SCAN, PRIVATE), takes, judge, order=50)
