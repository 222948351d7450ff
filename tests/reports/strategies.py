"""Reports that no scan has made yet: every field as hostile as its type allows."""

from dataclasses import replace

from hypothesis import strategies as st

from scanner.model import (
    Aside,
    Confidence,
    ConfigLocation,
    Context,
    Default,
    Evidence,
    FileLocation,
    Finding,
    FlowStep,
    Image,
    ImageConfig,
    Kind,
    LaunchLocation,
    Layer,
    Level,
    Means,
    MeansKind,
    Missing,
    Notification,
    Place,
    ProcessLocation,
    Report,
    Rule,
    Severity,
    SourceLine,
    State,
    Suppressed,
    Target,
    Tool,
    Traced,
)
from scanner.model import egress as e
from scanner.model import run as w

SPITE = (
    "\x1b[2J\x1b[31mred",
    "\x9b31m",
    "\r\nINCOMPLETE\n# heading",
    "\u202eexe.txt\u202c\u2066",
    "[bold red]markup[/bold red] [link=https://evil.example]x[/link]",
    "[click](https://evil.example) ![img](https://evil.example/x.png)",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "@everyone #1 GH-1 www.evil.example https://evil.example a@evil.example :bomb: $x$",
    "a|b\\|c``d```e`",
    "{0} {1} {{2}} %s %(x)s",
    "](1) [x](2) \\[",
    "&amp;&#64;&lt;",
    "1. one",
    "- item",
    "    code",
    "../../../etc/passwd",
    "C:\\x file:///etc/passwd javascript:alert(1)",
    "\ud800 \udcff \x00 \x7f \u2028 \u2029 \ufeff \U000e0041",
    "界" * 90,
    "e\u0301\u0301\u0301\u0301",
    "x" * 700,
    " ",
    "",
)

texts = st.one_of(st.sampled_from(SPITE), st.text(max_size=30))
lone = st.one_of(texts, st.text(st.characters(categories=("Cs", "Cc", "Cf", "L", "P")), max_size=12))
paths = st.one_of(
    st.binary(min_size=1, max_size=20),
    st.sampled_from([one.encode("utf-8", "surrogatepass") for one in SPITE if one]),
    st.just(b"/".join([b"deep"] * 400)),
)
counts = st.integers(0, 2**40)
lines = st.none() | st.integers(1, 2**31)
offsets = st.none() | counts
jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
facts = st.dictionaries(texts, jsons, max_size=3)
tuples = st.lists(texts, max_size=3).map(tuple)

layers = st.builds(
    Layer,
    index=st.integers(0, 300),
    diff_id=st.none() | texts | st.just("sha256:" + "0f" * 32),
    created_by=st.none() | texts,
)
inners = st.lists(paths, max_size=2).map(tuple)
locations = st.one_of(
    st.builds(FileLocation, path=paths, layer=layers, inner=inners, line=lines, offset=offsets),
    st.builds(ConfigLocation, field=texts),
    st.builds(LaunchLocation, file=texts, line=st.integers(1, 2**31), column=st.integers(1, 2**31)),
    st.builds(
        ProcessLocation,
        container=texts,
        pid=st.none() | st.integers(0, 2**22),
        command=tuples,
        executable=st.none() | paths,
    ),
)
evidence = st.builds(
    Evidence,
    detector=texts,
    kind=texts,
    path=paths | st.just(b""),
    inner=inners,
    offset=offsets,
    line=lines,
    excerpt=texts,
    facts=facts,
    context=st.none() | st.builds(Context, start=counts, data=st.binary(max_size=160)),
)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
sources = st.builds(
    SourceLine,
    file=texts | st.just("docker/Dockerfile"),
    line=st.integers(1, 2**31),
    end_line=st.integers(1, 2**31),
    how=st.sampled_from(Traced),
    certain=st.booleans(),
    why=texts,
)
RULE_IDS = ("miner/binary", "miner/wallet", "user", "odd id/ü")
findings = st.builds(
    Finding,
    rule_id=st.sampled_from(RULE_IDS) | texts,
    severity=st.sampled_from(Severity),
    confidence=st.sampled_from(Confidence),
    message=texts,
    locations=st.lists(locations, min_size=1, max_size=3).map(tuple),
    evidence=st.lists(evidence, max_size=3).map(tuple),
    fingerprint=digests | texts,
    state=st.sampled_from(State),
    hidden_by=st.none() | st.integers(0, 300),
    details=facts,
    flow=st.lists(st.builds(FlowStep, location=st.none() | locations, message=texts, kind=texts), max_size=3).map(
        tuple
    ),
    sha256=st.none() | digests,
    source=st.none() | sources,
)
suppressed = st.builds(
    Suppressed,
    finding=findings,
    how=st.sampled_from(Aside),
    reason=texts,
    place=texts | st.just(".sandscan.yaml:4"),
    expires=st.none() | st.dates().map(str),
)
notifications = st.builds(
    Notification,
    stage=st.sampled_from(("source", "layer", "content")) | texts,
    level=st.sampled_from(Level),
    message=texts,
    path=paths,
    inner=inners,
    layer=st.none() | st.integers(0, 300),
    count=st.integers(1, 10**6),
) | st.builds(Notification, stage=texts, level=st.sampled_from(Level), message=texts)
means = st.builds(
    Means,
    kind=st.sampled_from(MeansKind),
    name=texts,
    location=locations,
    version=st.none() | texts,
    owner=st.none() | texts,
    details=facts,
)
rules = st.builds(
    Rule,
    id=st.sampled_from(RULE_IDS) | texts,
    name=texts,
    severity=st.sampled_from(Severity),
    description=texts,
    help=texts,
    references=tuples | st.just(("https://example.com/a?b=c",)),
    attack=tuples | st.just(("T1496.001",)),
)
configs = st.builds(
    ImageConfig,
    user=lone,
    env=tuples,
    entrypoint=tuples,
    cmd=tuples,
    working_dir=texts,
    exposed_ports=tuples,
    volumes=tuples,
    labels=st.dictionaries(texts, texts, max_size=3).map(lambda d: tuple(d.items())),
    healthcheck=tuples,
    on_build=tuples,
    stop_signal=texts,
)
images = st.builds(
    Image,
    id=st.none() | texts,
    platform=texts,
    created=st.none() | texts,
    config=configs,
    layers=st.lists(layers, max_size=3).map(tuple),
)

# ---- what a launch's sandboxes reach

origins = st.builds(Place, file=texts, line=st.integers(1, 2**31), column=st.integers(1, 2**31)) | st.builds(
    Default, whose=texts
)
missing = st.lists(
    st.builds(Missing, key=texts | st.just("engine.dns"), why=texts, origin=st.none() | origins), max_size=2
).map(tuple)
permits = st.lists(
    st.builds(
        e.Permit,
        hosts=tuples,
        protocol=texts | st.just("tcp"),
        ports=st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 70_000)), max_size=2).map(tuple)
        | st.just(e.ALL_PORTS),
        excepts=tuples,
        reply=st.booleans(),
    ),
    max_size=2,
).map(tuple)
ids = st.sampled_from(
    ("container:a", "network:n", "forwarder:p", "engine", *(f"destination:{d.value}" for d in e.Destination))
)
edges = st.builds(
    e.Edge,
    source=ids | texts,
    target=ids | texts,
    kind=texts,
    mode=st.sampled_from(e.Mode),
    why=texts,
    origin=st.none() | origins,
    permits=st.none() | permits,
    needs=tuples,
    actions=tuples | st.just(("cut",)),
    missing=missing,
)
barriers = st.lists(
    st.builds(e.Barrier, source=ids | texts, target=ids | texts, why=texts, origin=st.none() | origins), max_size=2
).map(tuple)
actions = st.lists(
    st.builds(
        e.Action,
        id=texts | st.just("cut"),
        title=texts,
        cost=st.integers(0, 9),
        origin=st.none() | origins,
        edit=facts,
        breaks=texts,
    ),
    max_size=2,
).map(tuple)
destinations = st.sampled_from(e.Destination)
verdicts = st.sampled_from(e.Verdict)
ways = st.builds(
    e.Path,
    id=texts,
    destination=destinations,
    steps=st.lists(edges, max_size=2).map(tuple),
    verdict=verdicts,
    mode=st.sampled_from(e.Mode),
    permits=permits,
    missing=missing,
    tool=st.none()
    | st.builds(e.Tool, effort=st.integers(0, 3), name=st.none() | texts, place=st.none() | texts, words=texts),
    tried=st.none() | st.booleans(),
)
tries = st.lists(
    st.builds(
        e.Tried,
        target=texts,
        protocol=texts,
        count=st.integers(1, 10**6),
        outcome=st.sampled_from(("possible", "closed", "unknown")) | texts,
        because=texts,
        service=texts,
    ),
    max_size=2,
).map(tuple)
answers = st.builds(
    e.Answer,
    destination=destinations,
    verdict=verdicts,
    direct=verdicts,
    allows=permits,
    missing=missing,
    paths=st.lists(ways, max_size=1).map(tuple),
    because=barriers,
    paths_left_out=st.integers(0, 10**6),
    tried=st.none() | tries,
)
graphs = st.builds(
    e.Graph,
    start=ids | texts,
    nodes=st.lists(
        st.builds(e.Node, id=ids | texts, kind=texts, label=texts, origin=st.none() | origins), max_size=2
    ).map(tuple),
    edges=st.lists(edges, max_size=3).map(tuple),
    barriers=barriers,
    actions=actions,
    siblings=tuples,
    observed=st.lists(edges, max_size=2).map(tuple),
)
reaches = st.builds(
    e.SandboxReach,
    name=texts,
    kind=texts,
    origin=origins,
    graph=graphs,
    answers=st.lists(answers, max_size=2, unique_by=lambda one: one.destination).map(tuple),
    cuts=st.lists(
        st.builds(
            e.Cut,
            closes=st.lists(destinations, max_size=3).map(tuple),
            actions=actions,
            cost=st.integers(0, 99),
            verified=st.booleans(),
            possible=st.booleans(),
            why_not=texts,
        ),
        max_size=2,
    ).map(tuple),
    questions=st.lists(
        st.builds(
            e.Question,
            name=texts | st.sampled_from(("could-tunnel", "could-mine")),
            answer=texts | st.just("yes"),
            words=texts,
            path=st.none() | texts,
        ),
        max_size=2,
    ).map(tuple),
    image=st.none() | texts,
)
egresses = st.builds(
    e.Egress,
    files=tuples,
    format=texts,
    runner=texts,
    assumptions=st.lists(st.tuples(texts, texts), max_size=2).map(tuple),
    sandboxes=st.lists(reaches, max_size=2).map(tuple),
)

# ---- what a run did

times = st.floats(allow_nan=False, allow_infinity=False) | st.floats(1.7e9, 1.8e9)
maybe_times = st.none() | times
maybe_texts = st.none() | texts
pids = st.integers(0, 9)
maybe_pids = st.none() | pids
codes = st.none() | st.integers(-(2**31), 2**31)
octets = st.binary(max_size=40)
file_states = st.none() | st.builds(
    w.FileState,
    kind=st.sampled_from(Kind),
    mode=counts,
    uid=counts,
    gid=counts,
    size=counts,
    modified=maybe_times,
    changed=maybe_times,
    digest=maybe_texts,
    link_target=st.none() | paths,
    capability=texts,
)
changes = st.builds(
    w.FileChange,
    path=paths,
    change=st.sampled_from(w.ChangeKind),
    place=texts,
    before=file_states,
    after=file_states,
    user=maybe_texts,
    executable=st.booleans(),
    expected=maybe_texts,
)
processes = st.builds(
    w.Process,
    pid=pids,
    parent=pids,
    command=tuples,
    inner=maybe_pids,
    executable=st.none() | paths,
    program=st.sampled_from(w.Program),
    digest=maybe_texts,
    started=maybe_times,
    ended=maybe_times,
    exit_code=codes,
    uid=st.none() | counts,
    user=maybe_texts,
    working_dir=st.none() | paths,
    cpu=maybe_times,
    devices=tuples,
    environment=tuples,
)
endpoints = st.builds(w.Endpoint, address=texts | st.just("192.0.2.1"), port=st.none() | st.integers(0, 65_535))
maybe_endpoints = st.none() | endpoints
sockets = st.builds(
    w.Socket,
    kind=texts | st.just("tcp"),
    family=texts,
    state=texts,
    local=maybe_endpoints,
    remote=maybe_endpoints,
    inode=counts,
    pids=st.lists(pids, max_size=3).map(tuple),
    says=texts,
)
queries = st.builds(
    w.Query,
    time=times,
    name=texts,
    type=texts,
    server=endpoints,
    transport=texts,
    pid=maybe_pids,
    count=st.integers(1, 10**6),
)
attempts = st.builds(
    w.Attempt,
    time=times,
    protocol=texts | st.just("tcp"),
    target=endpoints,
    name=maybe_texts,
    source=maybe_endpoints,
    pid=maybe_pids,
    service=texts | st.just("silent"),
    details=facts,
    first=octets,
    sent=counts,
    count=st.integers(1, 10**6),
    last=maybe_times,
)
runs = st.builds(
    w.Run,
    how=st.sampled_from(w.How),
    subject=texts,
    started=times,
    ended=times,
    episode=maybe_texts,
    image=maybe_texts,
    command=tuples,
    changes=st.lists(changes, max_size=3).map(tuple),
    processes=st.lists(processes, max_size=3).map(tuple),
    sockets=st.lists(sockets, max_size=2).map(tuple),
    namespace=st.none()
    | st.builds(w.Namespace, interfaces=tuples, routes=tuples, resolvers=tuples, search=tuples, firewall=maybe_texts),
    queries=st.lists(queries, max_size=3).map(tuple),
    attempts=st.lists(attempts, max_size=3).map(tuple),
    withheld=st.lists(st.builds(w.Withheld, what=texts, why=texts), max_size=2).map(tuple),
    unseen=tuples,
    dropped=st.dictionaries(texts, counts, max_size=2),
    exit_code=codes,
    stopped=texts,
    output=octets,
)
statistics = st.fixed_dictionaries(
    {}, optional={"files": counts, "bytes": counts, "seconds": st.floats(0, 10**6), "more": jsons}
)
reports = st.builds(
    Report,
    tool=st.builds(Tool, name=texts, version=texts | st.just("0.1.0"), ruleset=texts),
    target=st.builds(Target, source=texts, name=texts, repository=texts, manifest=st.none() | texts),
    image=images,
    findings=st.lists(findings, max_size=3).map(tuple),
    means=st.lists(means, max_size=3).map(tuple),
    notifications=st.lists(notifications, max_size=3).map(tuple),
    rules=st.lists(rules, max_size=3, unique_by=lambda rule: rule.id).map(tuple),
    started=texts | st.just("2025-01-02T03:04:05Z"),
    statistics=statistics,
    suppressed=st.lists(suppressed, max_size=2).map(tuple),
)
launched = st.builds(lambda report, egress: replace(report, egress=egress), reports, egresses)
"""Reports with a launch."""
watched = st.builds(lambda report, run: replace(report, run=run), reports | launched, runs)
"""Reports with a run."""
