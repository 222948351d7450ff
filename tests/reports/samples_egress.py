"""What a launch's sandboxes reach, as the judgement gives it, for tests of everything that shows it."""

from dataclasses import replace

from scanner.model import (
    Confidence,
    Default,
    Evidence,
    Finding,
    FlowStep,
    Image,
    ImageConfig,
    LaunchLocation,
    Missing,
    Place,
    Report,
    Rule,
    Severity,
    Target,
    Tool,
    fingerprint,
)
from scanner.model import egress as e
from scanner.model.egress import Destination, Mode, Verdict
from tests.reports import samples

FILE = "compose.yaml"
REACHES_INTERNET = Rule(
    "egress/internet",
    "Sandbox that reaches the internet",
    Severity.HIGH,
    "Packets of the sandbox leave to public addresses.",
    "Whoever runs in the sandbox can carry data out. Put it on an internal network.",
    (),
    ("T1048",),
)
TAKES_ENGINE = Rule(
    "egress/engine",
    "Sandbox that can take over the container engine",
    Severity.CRITICAL,
    "A socket, a right or a mount lets the sandbox start containers of its own.",
    "From there every destination is open. Take the socket away.",
)


def at(line: int, column: int = 5) -> Place:
    return Place(FILE, line, column)


DOCKER = Default("docker")
EVERYWHERE = (e.Permit(("0.0.0.0/0", "::/0")),)
API = e.Permit(("api.example.com", "*.pypi.example"), "tcp", ((443, 443),))

INTERNAL = e.Action(
    "internal:default",
    "internal: true on network default",
    1,
    at(20, 3),
    {"op": "set", "object": "network:default", "field": "internal", "value": True},
    "everything that agent fetches from outside",
)
UNMOUNT = e.Action(
    "unmount:agent:0",
    "drop the mount of /var/run/docker.sock",
    2,
    at(9, 9),
    {"op": "remove", "object": "container:agent", "field": "mounts", "index": 0},
)
RESOLVER = e.Action("dns:agent", "dns: [127.0.0.1] for agent", 1, at(3, 3), {"op": "set", "object": "container:agent"})

AGENT, NETWORK, SOCKET, ENGINE = "container:agent", "network:default", "socket:/var/run/docker.sock", "engine"
PROXY, FORWARDER, RESOLVES = "container:proxy", "forwarder:proxy", "resolver:engine"


def to(destination: Destination) -> str:
    return f"destination:{destination.value}"


ATTACHED = e.Edge(AGENT, NETWORK, "network", Mode.DIRECT, "agent is attached to the network default", at(6))
NATTED = e.Edge(
    NETWORK,
    to(Destination.INTERNET),
    "route",
    Mode.DIRECT,
    "the engine masquerades what leaves the bridge",
    DOCKER,
    EVERYWHERE,
    actions=(INTERNAL.id,),
)
NATTED_PRIVATE = replace(NATTED, target=to(Destination.PRIVATE), permits=(e.Permit(("10.0.0.0/8", "192.168.0.0/16")),))
MOUNTED = e.Edge(
    AGENT,
    SOCKET,
    "engine-socket",
    Mode.PIVOT,
    "the engine's socket is mounted; read-only does not stop its use",
    at(9, 9),
    needs=("root, or the group docker",),
    actions=(UNMOUNT.id,),
)
TAKEN = e.Edge(SOCKET, ENGINE, "engine-api", Mode.PIVOT, "whoever speaks to it starts containers", at(9, 9))
CONTROLS = e.Edge(
    ENGINE, to(Destination.ENGINE), "takeover", Mode.PIVOT, "full control", None, (e.Permit(("engine",)),)
)
FROM_ENGINE = e.Edge(
    ENGINE, to(Destination.METADATA), "takeover", Mode.PIVOT, "a container on the host's network", None, EVERYWHERE
)
ASKS = e.Edge(
    NETWORK,
    RESOLVES,
    "resolver",
    Mode.DIRECT,
    "the embedded resolver 127.0.0.11 answers on a network of one's own",
    DOCKER,
    actions=(RESOLVER.id,),
)
DNS_FACT = Missing("engine.dns", "where the engine's resolver forwards names", DOCKER)
FORWARDS = e.Edge(
    RESOLVES,
    to(Destination.DNS),
    "resolver",
    Mode.DIRECT,
    "names are forwarded to the host's resolver",
    DOCKER,
    (e.Permit(("names",)),),
    missing=(DNS_FACT,),
)
REACHES_PROXY = e.Edge(NETWORK, PROXY, "sibling", Mode.DIRECT, "proxy listens on the same network", at(13, 3))
IS_PROXY = e.Edge(
    PROXY,
    FORWARDER,
    "proxy",
    Mode.MEDIATED,
    "tinyproxy passes what its filter names",
    Place("tinyproxy.conf", 4),
    (API,),
)
PROXIED = e.Edge(
    FORWARDER, to(Destination.INTERNET), "route", Mode.DIRECT, "proxy is on the network outside too", at(16), EVERYWHERE
)
SIBLING = e.Edge(
    PROXY, to(Destination.SIBLINGS), "sibling", Mode.DIRECT, "its port is open", at(13, 3), (e.Permit(("proxy",)),)
)

NODES = (
    e.Node(AGENT, "container", "agent", at(3, 3)),
    *(e.Node(to(one), "destination", one.value) for one in Destination),
    e.Node(NETWORK, "network", "default", at(20, 3)),
    e.Node(SOCKET, "socket", "/var/run/docker.sock", at(9, 9)),
    e.Node(ENGINE, "engine", "the container engine"),
    e.Node(RESOLVES, "resolver", "127.0.0.11"),
    e.Node(PROXY, "container", "proxy", at(13, 3)),
    e.Node(FORWARDER, "forwarder", "tinyproxy in proxy", at(14)),
)
CURL = e.Tool(0, "curl", "usr/bin/curl", "connects as it is: curl")


def path(destination: Destination, number: int, verdict: Verdict, mode: Mode, *steps: e.Edge, **more: object) -> e.Path:
    permits = next((s.permits for s in steps if s.mode is Mode.MEDIATED), None) or steps[-1].permits or ()
    missing = tuple(gap for step in steps for gap in step.missing)
    return e.Path(f"{destination.value}-{number}", destination, steps, verdict, mode, permits, missing, **more)  # type: ignore[arg-type]


def closed(destination: Destination, *because: e.Barrier) -> e.Answer:
    return e.Answer(destination, Verdict.CLOSED, Verdict.CLOSED, because=because)


WIDE = e.SandboxReach(
    "agent",
    "service",
    at(3, 3),
    e.Graph(
        AGENT,
        NODES[:12],
        (ATTACHED, NATTED, NATTED_PRIVATE, MOUNTED, TAKEN, CONTROLS, FROM_ENGINE, ASKS, FORWARDS),
        (e.Barrier(NETWORK, to(Destination.HOST), "INPUT drops what comes from the bridge", Place("rules.v4", 7, 1)),),
        (INTERNAL, UNMOUNT, RESOLVER),
    ),
    (
        e.Answer(
            Destination.INTERNET,
            Verdict.OPEN,
            Verdict.OPEN,
            EVERYWHERE,
            paths=(path(Destination.INTERNET, 1, Verdict.OPEN, Mode.DIRECT, ATTACHED, NATTED, tool=CURL),),
        ),
        e.Answer(
            Destination.PRIVATE,
            Verdict.LIMITED,
            Verdict.LIMITED,
            (e.Permit(("10.0.0.0/8",), "udp", excepts=("10.1.0.0/16",), reply=False),),
            paths=(path(Destination.PRIVATE, 1, Verdict.LIMITED, Mode.DIRECT, ATTACHED, NATTED_PRIVATE),),
        ),
        e.Answer(
            Destination.METADATA,
            Verdict.OPEN,
            Verdict.CLOSED,
            EVERYWHERE,
            paths=(path(Destination.METADATA, 1, Verdict.OPEN, Mode.PIVOT, MOUNTED, TAKEN, FROM_ENGINE),),
            because=(e.Barrier(NETWORK, to(Destination.METADATA), "a rule drops it", Place("rules.v4", 9, 1)),),
        ),
        closed(
            Destination.HOST,
            e.Barrier(NETWORK, to(Destination.HOST), "INPUT drops what comes from the bridge", Place("rules.v4", 7, 1)),
        ),
        e.Answer(
            Destination.ENGINE,
            Verdict.OPEN,
            Verdict.CLOSED,
            (e.Permit(("engine",)),),
            paths=(path(Destination.ENGINE, 1, Verdict.OPEN, Mode.PIVOT, MOUNTED, TAKEN, CONTROLS, tool=CURL),),
            paths_left_out=2,
        ),
        e.Answer(
            Destination.DNS,
            Verdict.UNKNOWN,
            Verdict.UNKNOWN,
            missing=(DNS_FACT,),
            paths=(path(Destination.DNS, 1, Verdict.UNKNOWN, Mode.DIRECT, ATTACHED, ASKS, FORWARDS),),
        ),
        closed(Destination.SIBLINGS),
    ),
    (
        e.Cut(
            (
                Destination.INTERNET,
                Destination.PRIVATE,
                Destination.METADATA,
                Destination.ENGINE,
                Destination.DNS,
            ),
            (INTERNAL, UNMOUNT, RESOLVER),
            4,
            verified=True,
        ),
        e.Cut((Destination.ENGINE,), (UNMOUNT,), 2, verified=True),
    ),
    (
        e.Question(
            "could-tunnel", "yes", "TCP reaches any external address by plain sockets; ssh lies ready", "internet-1"
        ),
        e.Question("could-mine", "unknown", "no image was looked into", "internet-1"),
    ),
    "python:3.12",
)
"""Much is open: a bridge, the engine's socket, a resolver of which nobody knows where it forwards."""

NARROW = e.SandboxReach(
    "worker",
    "service",
    at(30, 3),
    e.Graph(
        AGENT,
        NODES,
        (ATTACHED, REACHES_PROXY, IS_PROXY, PROXIED, SIBLING),
        (e.Barrier(NETWORK, to(Destination.INTERNET), "the network default is internal", at(20, 3)),),
        (),
        ("proxy",),
    ),
    (
        e.Answer(
            Destination.INTERNET,
            Verdict.LIMITED,
            Verdict.CLOSED,
            (API,),
            paths=(
                path(
                    Destination.INTERNET, 1, Verdict.LIMITED, Mode.MEDIATED, ATTACHED, REACHES_PROXY, IS_PROXY, PROXIED
                ),
            ),
            because=(e.Barrier(NETWORK, to(Destination.INTERNET), "the network default is internal", at(20, 3)),),
        ),
        closed(Destination.PRIVATE),
        closed(Destination.METADATA),
        closed(Destination.HOST),
        closed(Destination.ENGINE),
        closed(Destination.DNS),
        e.Answer(
            Destination.SIBLINGS,
            Verdict.OPEN,
            Verdict.OPEN,
            (e.Permit(("proxy",)),),
            paths=(path(Destination.SIBLINGS, 1, Verdict.OPEN, Mode.DIRECT, ATTACHED, REACHES_PROXY, SIBLING),),
        ),
    ),
    (
        e.Cut(
            (Destination.INTERNET, Destination.SIBLINGS),
            (),
            0,
            verified=False,
            possible=False,
            why_not="agent is attached to the network default",
        ),
    ),
    (e.Question("could-tunnel", "limited", "TCP reaches api.example.com through a proxy or relay", "internet-1"),),
)
"""Internal, with a proxy that has a list."""

SHUT = e.SandboxReach(
    "builder",
    "service",
    at(40, 3),
    e.Graph(AGENT, NODES[:8], ()),
    tuple(closed(one, e.Barrier(AGENT, to(one), "network_mode: none gives no network", at(42))) for one in Destination),
    (),
    (e.Question("could-tunnel", "no", "no TCP connection leaves to an external address"),),
)
"""Nothing leaves."""

EGRESS = e.Egress(
    (FILE, "compose.override.yaml"), "compose", "docker", (("engine.version", "20.10.24"),), (WIDE, NARROW, SHUT)
)


def finding() -> Finding:
    return Finding(
        TAKES_ENGINE.id,
        Severity.CRITICAL,
        Confidence.HIGH,
        "agent can take over the engine: the engine's socket is mounted",
        (LaunchLocation(FILE, 9, 9), LaunchLocation(FILE, 3, 3)),
        (Evidence("egress", "engine-socket", FILE.encode(), line=9, excerpt="the engine's socket is mounted"),),
        fingerprint(TAKES_ENGINE.id, FILE, "agent", "engine"),
        details={"sandbox": "agent", "destination": "engine"},
        flow=(
            FlowStep(LaunchLocation(FILE, 9, 9), "the engine's socket is mounted", "engine-socket"),
            FlowStep(None, "whoever speaks to it starts containers", "engine-api"),
            FlowStep(samples.place(b"usr/bin/curl", 1), "with what the image holds: curl", "means"),
        ),
    )


NO_IMAGE = Image(None, "", None, ImageConfig(), ())
LAUNCHED = Report(
    tool=Tool("sandscan", "0.1.0", "sha256:" + "ab" * 32),
    target=Target("launch", FILE, FILE),
    image=NO_IMAGE,
    findings=(finding(),),
    means=(),
    notifications=(),
    rules=(REACHES_INTERNET, TAKES_ENGINE),
    started="2025-01-02T03:04:05Z",
    statistics={"seconds": 0.123},
    egress=EGRESS,
)
"""`sandscan egress compose.yaml`."""

BOTH = replace(samples.INFECTED, egress=EGRESS, findings=(finding(), *samples.INFECTED.findings))
"""`sandscan scan IMAGE --launch compose.yaml`."""


def many(count: int) -> Report:
    """So many sandboxes, of three kinds."""
    kinds = (WIDE, NARROW, SHUT)
    reaches = tuple(replace(kinds[i % 3], name=f"team-{i % 7}/agent-{i}") for i in range(count))
    return replace(LAUNCHED, egress=replace(EGRESS, sandboxes=reaches))


def hostile(words: str) -> Report:
    """Every name and sentence of the launch is this one."""
    place = Place(words or "x", 1, 1)

    def edge(one: e.Edge) -> e.Edge:
        gaps = tuple(Missing(words, words, place) for _ in one.missing)
        ends = {"source": f"{one.source}{words}", "target": one.target}
        if not one.target.startswith("destination:"):
            ends["target"] = f"{one.target}{words}"
        return replace(one, kind=words, why=words, origin=place, needs=(words,), missing=gaps, **ends)

    def answer(one: e.Answer) -> e.Answer:
        return replace(
            one,
            allows=tuple(replace(p, hosts=(words,), protocol=words, excepts=(words,)) for p in one.allows),
            missing=tuple(Missing(words, words, place) for _ in one.missing),
            because=tuple(e.Barrier(words, words, words, place) for _ in one.because),
            paths=tuple(
                replace(
                    p,
                    id=f"{p.id}{words}",
                    steps=tuple(map(edge, p.steps)),
                    tool=e.Tool(0, words, words, words),
                    missing=tuple(Missing(words, words, place) for _ in p.missing),
                )
                for p in one.paths
            ),
        )

    def sandbox(one: e.SandboxReach) -> e.SandboxReach:
        def node(n: e.Node) -> e.Node:
            id = n.id if n.id.startswith("destination:") else f"{n.id}{words}"
            return replace(n, id=id, label=words, kind=words if n.kind != "destination" else n.kind, origin=place)

        actions = tuple(replace(a, title=words, breaks=words, origin=place) for a in one.graph.actions)
        return replace(
            one,
            name=words,
            kind=words,
            image=words,
            origin=place,
            graph=replace(
                one.graph,
                start=f"{one.graph.start}{words}",
                nodes=tuple(map(node, one.graph.nodes)),
                edges=tuple(map(edge, one.graph.edges)),
                barriers=tuple(
                    replace(b, source=f"{b.source}{words}", why=words, origin=place) for b in one.graph.barriers
                ),
                actions=actions,
                siblings=(words,),
            ),
            answers=tuple(map(answer, one.answers)),
            cuts=tuple(replace(c, actions=actions, why_not=words) for c in one.cuts),
            questions=tuple(replace(q, words=words, answer=words, name=words) for q in one.questions),
        )

    found = replace(
        finding(),
        message=words,
        locations=(LaunchLocation(words or "x", 1, 1),),
        flow=(FlowStep(None, words, words), FlowStep(LaunchLocation(words, 2, 2), words, words)),
    )
    return replace(
        LAUNCHED,
        findings=(found,),
        target=Target("launch", words, words),
        egress=e.Egress((words,), words, words, ((words, words),), tuple(map(sandbox, EGRESS.sandboxes))),
    )
