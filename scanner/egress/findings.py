"""What the reach of a sandbox adds up to: one finding per sandbox and destination, at the line that opens it."""

import os
from collections.abc import Iterable, Iterator

from scanner import roots
from scanner.egress.without_effect import Remark
from scanner.model import (
    Confidence,
    Default,
    Evidence,
    Finding,
    FlowStep,
    Json,
    LaunchLocation,
    Place,
    Rule,
    Severity,
    SourceLine,
    Traced,
    fingerprint,
    printable,
)
from scanner.model.egress import Answer, Destination, Edge, Egress, Mode, Path, Permit, SandboxReach, Verdict
from scanner.model.launch import Origin

_TUNNEL = "https://arxiv.org/abs/2512.24873"
_DOCKER = "https://docs.docker.com/engine/network/"
_POLICIES = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"

INTERNET = Rule(
    "egress/internet",
    "Sandbox that reaches the internet",
    Severity.HIGH,
    "By the launch as it stands, packets of the sandbox leave to public addresses: directly, through a proxy, or after a takeover.",
    "Whoever runs in the sandbox can open a tunnel, talk to a mining pool, or carry data out. Put the sandbox on an internal network, or let it reach only what it needs, and judge the launch again.",
    (_TUNNEL, _DOCKER),
    ("T1572", "T1048", "T1041"),
)
PRIVATE = Rule(
    "egress/private-network",
    "Sandbox that reaches private networks",
    Severity.HIGH,
    "Addresses of RFC 1918, of 100.64/10 or unique local ones beyond the sandbox's own networks answer to it.",
    "The agent can probe and enter the machines behind it, which trust whoever comes from inside. Close the private ranges, 100.64/10 and fc00::/7 included.",
    ("https://www.rfc-editor.org/rfc/rfc6598", _DOCKER),
    ("T1046", "T1021"),
)
METADATA = Rule(
    "egress/metadata",
    "Sandbox that reaches a cloud's metadata service",
    Severity.HIGH,
    "An address at which a cloud hands out credentials and user data of the machine can be reached.",
    "A request to it can return credentials of the host's role. Drop what goes to 169.254.169.254, fd00:ec2::254, 100.100.100.200 and 168.63.129.16, and require tokens with a hop limit of 1.",
    ("https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html",),
    ("T1552.005",),
)
HOST = Rule(
    "egress/host",
    "Sandbox that reaches services of its host",
    Severity.MEDIUM,
    "Services that the container's host binds to all addresses can be reached from the sandbox.",
    "What listens on the host was seldom meant for it. Bind the host's services to an address that the sandbox does not reach, or drop what comes from its bridge in INPUT.",
    (_DOCKER,),
    ("T1046",),
)
ENGINE = Rule(
    "egress/engine",
    "Sandbox that can take over the container engine or its host",
    Severity.CRITICAL,
    "A socket, a right or a mount lets the sandbox start containers of its own, or act as root on the host.",
    "From there every destination is open, whatever the networks say. Take the socket, the privilege or the mount away.",
    ("https://docs.docker.com/engine/security/",),
    ("T1611", "T1610"),
)
DNS = Rule(
    "egress/dns",
    "Resolver that carries names out of the sandbox",
    Severity.MEDIUM,
    "Names that the sandbox asks for leave through its resolver to servers outside.",
    "Data leaves in the names, and answers come back in the records. Give the sandbox a resolver that answers only what it needs (an own `dns:`, an allow-list), or none.",
    ("https://attack.mitre.org/techniques/T1071/004/",),
    ("T1071.004", "T1048.003"),
)
SIBLING = Rule(
    "egress/sibling-pivot",
    "Another container that opens a way out",
    Severity.HIGH,
    "The sandbox reaches a container of the same launch that reaches further than it does itself, and that passes traffic on or may do so.",
    "Whoever holds the sandbox goes out through it. Take it off one of the two networks, or let it pass only what is needed.",
    (_DOCKER,),
    ("T1090.001",),
)
ONE_WAY = Rule(
    "egress/one-way",
    "Packets that leave without an answer",
    Severity.MEDIUM,
    "No connection comes about, but single packets of the sandbox do leave: enough to carry data out by UDP or ICMP.",
    "A network without masquerade is not closed. Make it internal, or drop its packets in FORWARD.",
    (_DOCKER,),
    ("T1048.003",),
)
WITHOUT_EFFECT = Rule(
    "egress/policy-without-effect",
    "Restriction that restricts nothing",
    Severity.MEDIUM,
    "A line of the launch looks as if it kept the sandbox in, and does not.",
    "It is taken for a wall by whoever reads it. Write what was meant, and judge the launch again.",
    (_POLICIES,),
    ("T1562.004",),
)

RULES = (INTERNET, PRIVATE, METADATA, HOST, ENGINE, DNS, SIBLING, ONE_WAY, WITHOUT_EFFECT)
_OF = {
    Destination.INTERNET: INTERNET,
    Destination.PRIVATE: PRIVATE,
    Destination.METADATA: METADATA,
    Destination.HOST: HOST,
    Destination.ENGINE: ENGINE,
    Destination.DNS: DNS,
}
_NAMED = {
    Destination.INTERNET: "the internet",
    Destination.PRIVATE: "private networks",
    Destination.METADATA: "a cloud's metadata service",
    Destination.HOST: "services of its host",
    Destination.ENGINE: "the engine or its host",
    Destination.DNS: "a resolver that forwards names out",
    Destination.SIBLINGS: "other containers of the launch",
}


def findings(egress: Egress, remarks: Iterable[tuple[str, Remark]]) -> Iterator[Finding]:
    """Findings of every sandbox; `remarks` are (sandbox, what is without effect)."""
    for sandbox in egress.sandboxes:
        for answer in sandbox.answers:
            finding = _finding(egress, sandbox, answer)
            if finding is not None:
                yield finding
    for name, remark in remarks:
        where = _location(egress, remark.origin)
        lasting = roots.lasting(where.file)
        yield Finding(
            WITHOUT_EFFECT.id,
            WITHOUT_EFFECT.severity,
            Confidence.HIGH,
            f"{printable(name)}: {remark.why}",
            (where,),
            (),
            fingerprint(WITHOUT_EFFECT.id, lasting, name, remark.kind, remark.subject),
            details={"sandbox": name, "kind": remark.kind},
            source=_source(where, lasting),
        )


def _finding(egress: Egress, sandbox: SandboxReach, answer: Answer) -> Finding | None:
    if answer.verdict is Verdict.CLOSED or answer.destination is Destination.SIBLINGS or not answer.paths:
        return None
    path = answer.paths[0]
    rule = _rule(answer, path)
    where = _location(egress, _telling(path) or sandbox.origin)
    lasting = roots.lasting(where.file)
    severity = _severity(rule, answer, path)
    others: dict[LaunchLocation, None] = {}
    for edge in path.steps:
        if isinstance(edge.origin, Place):
            others.setdefault(_location(egress, edge.origin))
    others.pop(where, None)
    details: dict[str, Json] = {
        "sandbox": sandbox.name,
        "destination": answer.destination.value,
        "verdict": answer.verdict.value,
        "direct": answer.direct.value,
        "paths": len(answer.paths) + answer.paths_left_out,
        "missing": [m.key for m in answer.missing],
    }
    return Finding(
        rule.id,
        severity,
        Confidence.LOW if answer.verdict is Verdict.UNKNOWN else Confidence.HIGH,
        _message(sandbox, answer, path),
        (where, *others),
        _evidence(path),
        fingerprint(rule.id, lasting, sandbox.name, answer.destination.value),
        details=details,
        flow=tuple(_steps(egress, path)),
        source=_source(where, lasting),
    )


def _rule(answer: Answer, path: Path) -> Rule:
    if (
        answer.verdict is Verdict.LIMITED
        and answer.allows
        and not any(p.reply for p in answer.allows)
        and answer.destination
        in (
            Destination.INTERNET,
            Destination.PRIVATE,
            Destination.METADATA,
        )
    ):
        return ONE_WAY
    if (
        path.mode is Mode.MEDIATED
        and answer.destination in (Destination.INTERNET, Destination.PRIVATE)
        and _is_undecided(path)
    ):
        return SIBLING
    return _OF[answer.destination]


def _is_undecided(path: Path) -> bool:
    """Whether the way leads through a sibling that nobody made a proxy with a list."""
    return any(e.target.startswith("forwarder:") and (e.missing or e.permits is None) for e in path.steps)


def _severity(rule: Rule, answer: Answer, path: Path) -> Severity:
    """What is open counts in full, what is limited one step less, and again where only a list lets it through; what is
    unknown counts as what it may be."""
    steps = 0
    if answer.verdict is Verdict.LIMITED:
        steps = 2 if path.mode is Mode.MEDIATED or _is_listed(answer.allows) else 1
    if rule in (ONE_WAY, SIBLING):
        steps = 0
    order = list(Severity)
    return order[min(order.index(rule.severity) + steps, len(order) - 1)]


def _is_listed(permits: Iterable[Permit]) -> bool:
    return all("0.0.0.0/0" not in p.hosts and "::/0" not in p.hosts for p in permits)


def _message(sandbox: SandboxReach, answer: Answer, path: Path) -> str:
    name, where = printable(sandbox.name), _NAMED[answer.destination]
    if answer.verdict is Verdict.UNKNOWN:
        facts = ", ".join(f"--assume {printable(m.key)}=…" for m in answer.missing[:3])
        return f"{name} may reach {where}: {answer.missing[0].why if answer.missing else 'a fact is missing'} ({facts})"
    how = (
        ""
        if answer.direct is answer.verdict
        else {Mode.DIRECT: "", Mode.MEDIATED: ", through a proxy or relay", Mode.PIVOT: ", after a takeover"}[path.mode]
    )
    if answer.destination is Destination.ENGINE:
        return f"{name} can take over {where}: {path.steps[-1].why}"
    what = "reaches" if any(p.reply for p in path.permits) else "can send, without an answer, to"
    rest = ""
    if answer.verdict is Verdict.LIMITED:
        rest = f" in part: {words(answer.allows)}"
    return f"{name} {what} {where}{how}{rest or ': ' + path.steps[-1].why}"


def words(permits: Iterable[Permit], most: int = 4) -> str:
    """`tcp 443 to api.example.com; udp 53 to anywhere`."""
    texts = []
    for permit in permits:
        hosts = ["anywhere" if h in ("0.0.0.0/0", "::/0") else h for h in permit.hosts]
        shown = ", ".join(dict.fromkeys(hosts[:3])) + (f" and {len(hosts) - 3} more" if len(hosts) > 3 else "")
        ports = (
            ""
            if permit.ports == ((1, 65535),) or not permit.ports
            else " " + ",".join(str(a) if a == b else f"{a}-{b}" for a, b in permit.ports[:5])
        )
        kind = (
            ""
            if permit.protocol == "any" and not ports
            else ("tcp/udp" if permit.protocol == "any" else permit.protocol)
        )
        less = (
            f" but {', '.join(permit.excepts[:3])}" + ("…" if len(permit.excepts) > 3 else "") if permit.excepts else ""
        )
        texts.append(
            f"{kind}{ports}{' to ' if kind or ports else ''}{shown}{less}{'' if permit.reply else ' (one way)'}".strip()
        )
    texts = list(dict.fromkeys(texts))
    more = f"; and {len(texts) - most} more" if len(texts) > most else ""
    return printable("; ".join(texts[:most]) + more, 400)


def _telling(path: Path) -> Origin | None:
    """The line that a reader should see first: where a step that is not plain is said, else where the last one is."""
    placed = [e for e in path.steps if isinstance(e.origin, Place)]
    return next((e.origin for e in placed if e.mode is not Mode.DIRECT), placed[-1].origin if placed else None)


def _location(egress: Egress, origin: Origin | None) -> LaunchLocation:
    if isinstance(origin, Place):
        return LaunchLocation(origin.file, origin.line, origin.column)
    return LaunchLocation(egress.files[0] if egress.files else f"runner {egress.runner}", 1, 1)


def _source(where: LaunchLocation, lasting: str) -> SourceLine | None:
    """The line by the name that the file has in its repository, where the user called it by another."""
    if lasting == os.path.normpath(where.file) or lasting.startswith("/"):
        return None
    return SourceLine(lasting, where.line, where.line, Traced.GIVEN)


def _steps(egress: Egress, path: Path) -> Iterator[FlowStep]:
    for edge in path.steps:
        where = _location(egress, edge.origin) if isinstance(edge.origin, Place) else None
        yield FlowStep(where, _step_words(edge), edge.kind)
    if path.tool is not None:
        yield FlowStep(
            None,
            f"with what the image holds: {path.tool.words}" + (f" ({path.tool.place})" if path.tool.place else ""),
            "means",
        )


def _step_words(edge: Edge) -> str:
    source = f" ({edge.origin})" if isinstance(edge.origin, Default) else ""
    return edge.why + source


def _evidence(path: Path) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            "egress",
            edge.kind,
            (edge.origin.file if isinstance(edge.origin, Place) else "").encode("utf-8", "surrogateescape"),
            line=edge.origin.line if isinstance(edge.origin, Place) else None,
            excerpt=printable(edge.why),
            facts={"from": edge.source, "to": edge.target, "mode": edge.mode.value},
        )
        for edge in path.steps
    )
