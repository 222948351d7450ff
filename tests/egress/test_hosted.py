"""Lists that hold what leaves a sandbox: each enforcement's verdicts, and what a rule or an edit must never do."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.egress.assess import Asked, assess
from scanner.egress.assumptions import Assumed, parse
from scanner.egress.edits import apply
from scanner.egress.hosted import hosted_graph
from scanner.egress.paths import answers
from scanner.egress.permits import classify
from scanner.model import (
    Confinement,
    Default,
    Enforcement,
    Hosted,
    HostRule,
    Launch,
    Missing,
    Mount,
    MountKind,
    Place,
    Said,
)
from scanner.model.egress import Answer, Destination, Mode, Verdict

FILE = Place("f", 1)
SYSTEM = Default("runner x")
CLOSED = Verdict.CLOSED
RANK = {Verdict.CLOSED: 0, Verdict.LIMITED: 1, Verdict.UNKNOWN: 2, Verdict.OPEN: 3}


def rule(host: str, allow: bool = True, line: int = 5, **more: object) -> HostRule:
    return HostRule(allow, host, Place("f", line), **more)  # type: ignore[arg-type]


def sandbox(*rules: HostRule, default: bool = False, enforcement: str = "packet", **more: object) -> Hosted:
    base = Hosted(
        "box",
        "opensandbox",
        FILE,
        Said(default, Place("f", 2)),
        rules,
        Said(Enforcement(enforcement), Place("f", 3)),
        private_closed=Said(False, SYSTEM),
        host_closed=Said(False, SYSTEM),
        engine_closed=Said(True, SYSTEM),
    )
    return replace(base, **more)  # type: ignore[arg-type]


def judge(one: Hosted, *assume: str) -> dict[str, Answer]:
    graph = hosted_graph(Launch("x", ("f",), "x", hosted=(one,)), one, parse(assume))
    return {a.destination.value: a for a in answers(graph)}


def letters(found: dict[str, Answer], direct: bool = False) -> str:
    order = ("internet", "private", "metadata", "host", "engine", "dns")
    return "".join((found[n].direct if direct else found[n].verdict).value[0] for n in order)


# internet, private, metadata, host, engine, dns: by all paths, by plain sockets alone
TABLE = [
    ("nothing allowed", sandbox(), "cccccc", "cccccc"),
    ("all allowed", sandbox(default=True), "ooooco", "ooooco"),
    ("all allowed, by a proxy", sandbox(default=True, enforcement="proxy"), "llllcl", "cccccc"),
    ("a name, by address", sandbox(rule("a.example")), "lccccl", "lccccl"),
    ("a name, by SNI", sandbox(rule("a.example"), enforcement="sni"), "lcccco", "lcccco"),
    ("a name, by a proxy", sandbox(rule("a.example"), enforcement="proxy"), "lccccl", "cccccc"),
    ("a name, by DNS alone", sandbox(rule("a.example"), enforcement="dns"), "oooocl", "oooocl"),
    ("nothing, by DNS alone", sandbox(enforcement="dns"), "oooocc", "oooocc"),
    ("a name, by nothing", sandbox(rule("a.example"), enforcement="none"), "ooooco", "ooooco"),
    ("a public network", sandbox(rule("1.0.0.0/8")), "lccccc", "lccccc"),
    ("a private network", sandbox(rule("10.0.0.0/8")), "clclcc", "clclcc"),
    ("the metadata service", sandbox(rule("169.254.169.254")), "cclccc", "cclccc"),
    ("every address", sandbox(rule("0.0.0.0/0")), "ooolcc", "ooolcc"),
    ("every name", sandbox(rule("*")), "ooooco", "ooooco"),
    ("IPv6 alone", sandbox(rule("2000::/3")), "lccccc", "lccccc"),
    ("every address is denied, of IPv4", sandbox(rule("0.0.0.0/0", False), default=True), "lllo" + "co", "lllo" + "co"),
    ("one port", sandbox(rule("0.0.0.0/0", ports=((443, 443),), protocol="tcp")), "lllccc"[:3] + "lcc", "lll" + "lcc"),
    ("a name beside a deny of the same", sandbox(rule("a.example"), rule("a.example", False)), "cccccc", "cccccc"),
    ("a name beside a deny of one port", sandbox(rule("a.b"), rule("a.b", False, ports=((22, 22),))), "lccccl", "lccccl"),
    ("a network beside a deny within it", sandbox(rule("10.0.0.0/8"), rule("10.1.0.0/16", False)), "clclcc", "clclcc"),
    ("the deny that comes later", sandbox(rule("a.b"), rule("a.b", False), deny_first=False), "lccccl", "lccccl"),
    ("the deny that came before", sandbox(rule("a.b", False), rule("a.b"), deny_first=False), "cccccc", "cccccc"),
    ("blocked, whatever is allowed", sandbox(rule("*"), default=True, blocked=Said(True, FILE)), "cccccc", "cccccc"),
    ("the host's network", sandbox(network_mode=Said("host", FILE)), "ooooco", "ooooco"),
    ("the provider holds private ranges", sandbox(rule("10.0.0.0/8"), private_closed=Said(True, SYSTEM)), "cccl" + "cc", "cccl" + "cc"),
    ("nobody knows of private ranges", sandbox(default=True, private_closed=None), "ouuoco", "ouuoco"),
    ("nobody knows of the host", sandbox(host_closed=None), "cccucc", "cccucc"),
    ("the host itself", sandbox(rule("host.docker.internal")), "clclcl", "clclcl"),
    ("a resolver that answers all", sandbox(dns=Said(True, SYSTEM)), "ccccco", "ccccco"),
    ("no resolver", sandbox(default=True, dns=Said(False, SYSTEM)), "oooocc", "oooocc"),
    ("what was left open", sandbox(missing=(Missing("env.X", "x"),)), "uuuucu", "uuuucu"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "verdicts", "direct"), [t[1:] for t in TABLE], ids=[t[0] for t in TABLE])
def test_verdicts(one: Hosted, verdicts: str, direct: str) -> None:
    found = judge(one)

    assert letters(found) == verdicts
    assert letters(found, direct=True) == direct
    assert found["siblings"].verdict is CLOSED


def test_what_is_closed_says_why_and_where() -> None:
    found = judge(sandbox())["internet"]

    assert [(b.why, str(b.origin)) for b in found.because] == [("no rule lets anything out", "f:2:1")]
    blocked = judge(sandbox(blocked=Said(True, Place("f", 9))))["internet"]
    assert [str(b.origin) for b in blocked.because] == ["f:9:1"]


@pytest.mark.parametrize(
    ("enforcement", "words"),
    [
        ("packet", "by the addresses it resolves to: what else has them"),
        ("sni", "by the name that a connection asks for"),
        ("proxy", "by a proxy that is asked for it"),
    ],
)
def test_an_allowed_name_says_what_passes_with_it(enforcement: str, words: str) -> None:
    (path,) = judge(sandbox(rule("cdn.example", line=7), enforcement=enforcement))["internet"].paths

    step = path.steps[-1]
    assert words in step.why
    assert "CDN" in step.why
    assert str(step.origin) == "f:7:1"
    assert path.mode is (Mode.MEDIATED if enforcement == "proxy" else Mode.DIRECT)


def test_a_socket_goes_around_every_list() -> None:
    mount = Mount(MountKind.BIND, "/var/run/docker.sock", "/d", True, Place("f", 8))
    found = judge(sandbox(confinement=Confinement(mounts=(mount,)), enforcement="proxy"))

    assert letters(found) == "oooooo"
    assert letters(found, direct=True)[:4] == "cccc"
    assert str(found["internet"].paths[0].steps[0].origin) == "f:8:1"


def test_sandboxes_of_one_namespace_reach_each_other() -> None:
    first, second = sandbox(shares=("other", "gone")), sandbox(name="other", shares=("box",))
    launch = Launch("x", ("f",), "x", hosted=(first, second))
    found = {a.destination: a for a in answers(hosted_graph(launch, first, Assumed()))}

    assert found[Destination.SIBLINGS].verdict is Verdict.OPEN
    assert [p.hosts for p in found[Destination.SIBLINGS].allows] == [("other",)]


@pytest.mark.parametrize(
    ("one", "titles"),
    [
        (sandbox(rule("a.example"), rule("b.example", line=6)), {"take a.example off the list of box", "take b.example off the list of box"}),
        (sandbox(default=True), {'set defaultAction to "deny"'}),
        (sandbox(enforcement="dns"), {'set [egress] mode = "dns+nft"'}),
        (sandbox(network_mode=Said("host", FILE)), {'set network_mode of box to "bridge"'}),
        (sandbox(rule("a.example"), default=True, kind="modal"), {"set block_network = true"}),
        (sandbox(default=True, kind="e2b"), {"set allow_internet_access = false"}),
        (sandbox(rule("a.example"), enforcement="dns"), {'set [egress] mode = "dns+nft"', "take a.example off the list of box"}),
    ],
)  # fmt: skip
def test_the_cut_is_in_the_systems_own_words_and_closes(one: Hosted, titles: set[str]) -> None:
    egress, _, _ = assess(Launch("x", ("f",), "x", hosted=(one,)), Asked())

    (cut,) = egress.sandboxes[0].cuts
    assert {a.title for a in cut.actions} == titles
    assert cut.verified
    after = apply(Launch("x", ("f",), "x", hosted=(one,)), cut.actions).hosted[0]
    assert letters(judge(after)) == "cccccc"


# ---- properties

HOSTS = st.sampled_from(
    [
        *("a.example", "*.a.example", "b.a.example", "*", "localhost", "metadata.google.internal", "10.0.0.0/8"),
        *("10.1.0.0/16", "0.0.0.0/0", "::/0", "1.1.1.1", "169.254.169.254", "100.64.0.0/10", "fd00::/8", "no such/9"),
    ]
)
PORTS = st.sampled_from([(), ((443, 443),), ((1, 1024),), ((22, 22), (443, 443))])
RULES = st.lists(
    st.builds(
        lambda allow, host, ports, protocol, line: HostRule(allow, host, Place("f", line), ports, protocol),
        st.booleans(),
        HOSTS,
        PORTS,
        st.sampled_from(["any", "tcp", "udp"]),
        st.integers(1, 99),
    ),
    max_size=5,
)
SANDBOXES = st.builds(
    lambda rules, default, enforcement, first, private: sandbox(
        *rules,
        default=default,
        enforcement=enforcement,
        deny_first=first,
        private_closed=None if private is None else Said(private, SYSTEM),
    ),
    RULES,
    st.booleans(),
    st.sampled_from(["packet", "sni", "proxy", "dns", "none"]),
    st.booleans(),
    st.sampled_from([None, True, False]),
)


@settings(max_examples=80, deadline=None)
@given(SANDBOXES, HOSTS)
def test_a_deny_never_opens_and_an_allow_never_closes(one: Hosted, host: str) -> None:
    before = judge(one)
    # put first, so that it counts where order does
    denied = judge(replace(one, rules=(rule(host, False), *one.rules)))
    allowed = judge(replace(one, rules=(rule(host), *one.rules)))

    for name, answer in before.items():
        assert RANK[denied[name].verdict] <= RANK[answer.verdict], name
        assert RANK[allowed[name].verdict] >= RANK[answer.verdict], name


@settings(max_examples=60, deadline=None)
@given(SANDBOXES)
def test_blocked_is_closed_and_stricter_is_never_more(one: Hosted) -> None:
    found = judge(one)
    blocked = judge(replace(one, blocked=Said(True, FILE)))
    assert all(blocked[n].verdict is CLOSED for n in ("internet", "private", "metadata", "dns"))
    strict = judge(replace(one, default_allow=Said(False, FILE)))
    held = judge(replace(one, enforcement=Said(Enforcement.PACKET, FILE)))
    for name, answer in found.items():
        assert RANK[strict[name].verdict] <= RANK[answer.verdict], name
        if one.enforcement.value in (Enforcement.NONE, Enforcement.DNS):
            assert RANK[held[name].verdict] <= RANK[answer.verdict], name


@settings(max_examples=60, deadline=None)
@given(SANDBOXES)
def test_what_is_listed_as_allowed_is_the_verdict(one: Hosted) -> None:
    for name, answer in judge(one).items():
        destination = Destination(name)
        if answer.verdict is CLOSED:
            assert not answer.allows
        elif answer.verdict is Verdict.LIMITED and answer.direct is Verdict.LIMITED:
            assert classify(answer.allows, destination) is Verdict.LIMITED


@settings(max_examples=40, deadline=None)
@given(SANDBOXES)
def test_every_edge_can_be_closed_or_says_what_is_missing(one: Hosted) -> None:
    launch = Launch("x", ("f",), "x", hosted=(one,))
    graph = hosted_graph(launch, one, Assumed())
    after = apply(launch, graph.actions).hosted[0]

    # with all edits done nothing leaves: no rule is left, nothing is let out by default, names are held by address
    found = judge(after)
    if one.enforcement.value != Enforcement.NONE:
        assert all(found[n].verdict is CLOSED for n in ("internet", "dns", "host")), letters(found)
