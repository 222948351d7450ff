"""What a run tried, joined with what its launch lets it reach: possible and tried, possible and not tried, tried but closed.

An address that a run asked for belongs to a destination as the prediction's do (scanner/egress/permits.py); a name that was
looked up before says more than the address that it led to.
"""

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from scanner.egress.builder import to
from scanner.egress.permits import REGIONS, address_range, classify, intersect
from scanner.egress.takeover import engine_at
from scanner.model import printable
from scanner.model.egress import (
    Answer,
    Destination,
    Edge,
    Egress,
    Graph,
    Mode,
    Path,
    Permit,
    SandboxReach,
    Tried,
    Verdict,
)
from scanner.model.run import Attempt, Endpoint, How, Run

EDGES = 200
"""Edges of one sandbox's graph that stand for attempts; the most frequent ones where there are more."""
_PORTED = ("tcp", "udp", "sctp")
_NEVER_LEAVE = ("127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128")
_ON_LINK = ("169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "fe80::/10", "ff00::/8")
_MORE_METADATA = ("169.254.170.23", "fd00:ec2::23")
"""AWS's credentials of EKS pods: who asks for them asks for what the metadata service gives."""
_HOST_NAMES = ("host.docker.internal", "gateway.docker.internal", "host.containers.internal", "host-gateway")


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a try was meant to go. `host` is what a permit may name (`host` and `names` by the graph's conventions).

    `through`: a proxy was asked to lead there; the ways through proxies count for nothing else.
    """

    destination: Destination
    host: str
    label: str
    protocol: str
    port: int | None
    service: str = ""
    count: int = 1
    through: bool = False

    @property
    def permit(self) -> Permit:
        ports = ((self.port, self.port),) if self.port and self.protocol in _PORTED else ((1, 65535),)
        return Permit((self.host,), self.protocol, ports)


def join(egress: Egress, run: Run, names: Collection[str]) -> Egress:
    """The egress with the run's attempts on the sandboxes of those names: edges, and what became of each by the prediction.

    Of a live run what is counted are its open connections: they got through, whatever the prediction says.
    """
    return replace(egress, sandboxes=tuple(_joined(s, run) if s.name in names else s for s in egress.sandboxes))


def aims(run: Run, siblings: Sequence[str] = (), gateways: Collection[str] = ()) -> tuple[Aim, ...]:
    """All that the run tried to reach, equal ones folded, in the order of Destination; what stayed in the sandbox is left out.

    `gateways` are the addresses of the sandbox's own gateways: what is tried there is tried on the host.
    """
    found: dict[Aim, int] = {}
    for aim in (*_of_attempts(run, siblings, gateways), *_of_queries(run), *_of_sockets(run, siblings, gateways)):
        key = replace(aim, count=1)
        found[key] = found.get(key, 0) + aim.count
    order = list(Destination)
    folded = (replace(aim, count=count) for aim, count in found.items())
    return tuple(sorted(folded, key=lambda a: (order.index(a.destination), -a.count, a.label, a.port or 0, a.protocol)))


def destination_of(
    address: str, name: str | None = None, siblings: Collection[str] = (), gateways: Collection[str] = ()
) -> Destination | None:
    """What an address, or the name that led to it, counts as; None for what never leaves the sandbox."""
    if name:
        plain = name.rstrip(".").lower()
        if plain in siblings:
            return Destination.SIBLINGS
        if plain in _HOST_NAMES:
            return Destination.HOST
        for destination in (Destination.METADATA, Destination.PRIVATE):
            if classify((Permit((plain,)),), destination) is not Verdict.CLOSED:
                return destination
        return Destination.INTERNET
    block = address_range(address)
    if block is None or _lies(block, _NEVER_LEAVE):
        return None
    metadata = any(first <= block[0] <= last for first, last in REGIONS[Destination.METADATA][1])
    if metadata or _lies(block, _MORE_METADATA):
        return Destination.METADATA
    if address in gateways:
        return Destination.HOST
    if _lies(block, _ON_LINK):
        return Destination.SIBLINGS
    private = any(first <= block[0] <= last for first, last in REGIONS[Destination.PRIVATE][1])
    return Destination.PRIVATE if private else Destination.INTERNET


def _lies(block: tuple[int, int], texts: Iterable[str]) -> bool:
    return any(r is not None and r[0] <= block[0] <= r[1] for r in map(address_range, texts))


def _of_attempts(run: Run, siblings: Sequence[str], gateways: Collection[str]) -> Iterable[Aim]:
    for attempt in run.attempts:
        if attempt.protocol == "unix":
            if engine_at(attempt.target.address) is not None:
                label = printable(attempt.target.address)
                yield Aim(Destination.ENGINE, "engine", label, "unix", None, "", attempt.count)
            continue
        aim = _aim(
            attempt.protocol,
            attempt.target,
            attempt.name,
            siblings,
            gateways,
            "" if attempt.service in ("silent", "unknown") else attempt.service,
            attempt.count,
        )
        if aim is not None:
            yield aim
        asked = through(attempt)
        if asked is not None:
            host, port = asked
            literal = _is_address(host)
            behind = _aim("tcp", Endpoint(host, port), None if literal else host, siblings, gateways, "", attempt.count)
            if behind is not None:
                yield replace(
                    behind, label=f"{behind.label} through {attempt.name or attempt.target.address}", through=True
                )


def through(attempt: Attempt) -> tuple[str, int | None] | None:
    """Where a proxy was asked to lead (HTTP CONNECT, SOCKS)."""
    asked = next((d for key in ("proxy", "socks") if isinstance(d := attempt.details.get(key), Mapping)), {})
    target = asked.get("target")
    if not isinstance(target, str):
        return None
    host, colon, port = target.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
        return target.strip("[]"), None
    return host.strip("[]"), int(port)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _of_queries(run: Run) -> Iterable[Aim]:
    for query in run.queries:
        yield Aim(
            Destination.DNS, "names", f"names asked of {query.server.display}", query.transport, 53, "dns", query.count
        )


def _of_sockets(run: Run, siblings: Sequence[str], gateways: Collection[str]) -> Iterable[Aim]:
    for socket in run.sockets if run.how is How.LIVE else ():
        if socket.says == "engine socket":
            where = socket.remote or socket.local
            yield Aim(Destination.ENGINE, "engine", where.address if where else "an engine's socket", "unix", None)
        elif (
            socket.remote is not None and socket.kind in ("tcp", "udp") and socket.state in ("established", "syn-sent")
        ):
            aim = _aim(socket.kind, socket.remote, None, siblings, gateways, "", 1)
            if aim is not None:
                yield aim


def _aim(
    protocol: str,
    target: Endpoint,
    name: str | None,
    siblings: Sequence[str],
    gateways: Collection[str],
    service: str,
    count: int,
) -> Aim | None:
    destination = destination_of(target.address, name, siblings, gateways)
    if destination is None:
        return None
    told = name.rstrip(".").lower() if name else target.address
    host = "host" if destination is Destination.HOST else told
    kind = {"icmp6": "icmp", "icmpv6": "icmp"}.get(protocol, protocol)
    if kind not in (*_PORTED, "icmp"):
        kind = "other"
    return Aim(destination, host, Endpoint(told, target.port).display, kind, target.port, service, count)


def _gateways(run: Run) -> frozenset[str]:
    """The addresses by which the sandbox's routes lead on (`default via ADDRESS dev eth0`)."""
    if run.namespace is None:
        return frozenset()
    words = (route.split() for route in run.namespace.routes)
    return frozenset(w[w.index("via") + 1] for w in words if "via" in w[:-1])


def _joined(sandbox: SandboxReach, run: Run) -> SandboxReach:
    found = aims(run, sandbox.graph.siblings, _gateways(run))
    answers = tuple(
        _answered(answer, [a for a in found if a.destination is answer.destination], run) for answer in sandbox.answers
    )
    return replace(sandbox, answers=answers, graph=_drawn(sandbox.graph, found, answers))


def _answered(answer: Answer, found: Sequence[Aim], run: Run) -> Answer:
    paths = tuple(replace(p, tried=any(_passes(p, aim) for aim in found)) for p in answer.paths)
    return replace(answer, paths=paths, tried=tuple(_outcome(answer, aim, run) for aim in found))


def _passes(path: Path, aim: Aim) -> bool:
    """Whether the path lets through what was tried. Part of a destination may stand under a name of its own."""
    if path.mode is Mode.MEDIATED and not aim.through:
        return False
    if aim.destination in (Destination.HOST, Destination.DNS, Destination.ENGINE):
        kept = [p for p in path.permits if p.protocol in ("any", aim.protocol, "unix")]
        ports = (aim.port,) if aim.port else ()
        return any(not ports or any(a <= q <= b for a, b in p.ports for q in ports) for p in kept)
    permits = path.permits
    if address_range(aim.host) is not None:  # a name on a list may lead anywhere: it is no leave for an address
        permits = tuple(
            replace(p, hosts=hosts)
            for p in permits
            if (hosts := tuple(h for h in p.hosts if address_range(h) is not None))
        )
    return bool(intersect(permits, (aim.permit,)))


def _outcome(answer: Answer, aim: Aim, run: Run) -> Tried:
    def told(outcome: str, because: str) -> Tried:
        return Tried(aim.label, aim.protocol, aim.count, outcome, because, aim.service)

    ways = [p for p in answer.paths if _passes(p, aim)]
    sure = next((p for p in ways if not p.missing), None)
    if sure is not None:
        return told("possible", _way(sure))
    if run.how is How.LIVE:
        return told("possible", "it is connected, though the prediction has no way for it")
    if ways:
        return told("unknown", f"it hangs on {ways[0].missing[0].key}, which nobody gave")
    if answer.paths_left_out:
        return told("unknown", f"{answer.paths_left_out} more paths were not listed")
    if answer.verdict is Verdict.UNKNOWN and answer.missing:
        return told("unknown", f"it hangs on {answer.missing[0].key}, which nobody gave")
    if answer.because:
        return told("closed", answer.because[0].why)
    return told("closed", "no path lets it through" if answer.paths else "nothing leads there")


def _way(path: Path) -> str:
    """The step of a path that says most: the first that mediates or takes over, else the last."""
    telling = [e for e in path.steps if e.mode is not Mode.DIRECT]
    return (telling[0] if telling else path.steps[-1]).why


def _drawn(graph: Graph, found: Sequence[Aim], answers: Sequence[Answer]) -> Graph:
    outcomes = {(a.destination, t.target, t.protocol): t for a in answers for t in a.tried or ()}
    most = sorted(found, key=lambda a: -a.count)[:EDGES]
    edges = []
    for aim in most:
        tried = outcomes[aim.destination, aim.label, aim.protocol]
        times = "once" if aim.count == 1 else f"{aim.count:,} times"
        why = f"tried {times}: {aim.protocol} {printable(aim.label)}; {tried.outcome}: {tried.because}"
        edges.append(Edge(graph.start, to(aim.destination), "observed", Mode.DIRECT, why, None, (aim.permit,)))
    return replace(graph, observed=tuple(edges))
