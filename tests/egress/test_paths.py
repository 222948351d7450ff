"""From graphs to answers: what passes along paths, what hangs on missing facts, and which edits close at least cost."""

from dataclasses import replace
from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.egress.builder import ENGINE, EVERYWHERE, EVERYWHERE_IPV4, HOST, NAMES, Builder, to
from scanner.egress.cut import cheapest
from scanner.egress.paths import LISTED, answers, removed, ways
from scanner.model.egress import Destination, Graph, Mode, Permit, Verdict
from scanner.model.launch import Missing

D, V = Destination, Verdict
API = Permit(("api.example.com",), "tcp", ((443, 443),))


def started() -> Builder:
    return Builder("container:agent", "container", "agent")


def verdicts(graph: Graph) -> dict[Destination, tuple[Verdict, Verdict]]:
    return {a.destination: (a.verdict, a.direct) for a in answers(graph)}


def test_nothing_drawn_is_closed_everywhere():
    assert set(verdicts(started().graph()).values()) == {(V.CLOSED, V.CLOSED)}


def test_a_route_opens_what_its_permits_say():
    b = started()
    b.node("network:x", "network", "x")
    b.edge("container:agent", "network:x", "attach", "attached")
    b.edge("network:x", to(D.INTERNET), "route", "masqueraded", permits=EVERYWHERE_IPV4)
    b.edge("network:x", to(D.PRIVATE), "route", "one address", permits=(Permit(("10.77.0.1/32",)),))
    b.edge("network:x", to(D.METADATA), "route", "no way back", permits=(Permit(("0.0.0.0/0",), reply=False),))
    b.edge("network:x", to(D.DNS), "resolve", "embedded", permits=NAMES)
    b.edge("network:x", to(D.HOST), "gateway", "its gateway", permits=(Permit(("host gateway 172.17.0.1",)),))
    found = verdicts(b.graph())
    assert found[D.INTERNET] == (V.OPEN, V.OPEN)
    assert found[D.PRIVATE] == (V.LIMITED, V.LIMITED)
    assert found[D.METADATA] == (V.LIMITED, V.LIMITED)
    assert found[D.DNS] == (V.OPEN, V.OPEN)
    assert found[D.HOST] == (V.LIMITED, V.LIMITED)
    assert found[D.ENGINE] == (V.CLOSED, V.CLOSED)


def test_a_proxy_never_opens_more_than_its_list_and_is_not_direct():
    b = started()
    for name in ("container:proxy", "forwarder:proxy", "network:out"):
        b.node(name, "x", name)
    b.edge("container:agent", "container:proxy", "reach", "same network")
    b.edge("container:proxy", "forwarder:proxy", "proxy", "tinyproxy", mode=Mode.MEDIATED, permits=(API,))
    b.edge("forwarder:proxy", "network:out", "attach", "attached")
    b.edge("network:out", to(D.INTERNET), "route", "masqueraded", permits=EVERYWHERE)
    answer = answers(b.graph())[0]
    assert (answer.verdict, answer.direct) == (V.LIMITED, V.CLOSED)
    assert answer.allows == (API,)
    [path] = answer.paths
    assert [e.kind for e in path.steps] == ["reach", "proxy", "attach", "route"]
    assert path.mode is Mode.MEDIATED


def test_a_proxy_without_a_list_is_limited_all_the_same():
    b = started()
    b.node("forwarder:proxy", "x", "proxy")
    b.edge("container:agent", "forwarder:proxy", "proxy", "open proxy", mode=Mode.MEDIATED, permits=EVERYWHERE)
    b.edge("forwarder:proxy", to(D.INTERNET), "route", "out", permits=EVERYWHERE)
    assert verdicts(b.graph())[D.INTERNET] == (V.LIMITED, V.CLOSED)
    assert answers(b.graph())[0].paths[0].verdict is V.LIMITED


def test_an_engine_taken_through_a_relay_is_taken():
    b = started()
    b.node("engine", "engine", "engine")
    b.node("forwarder:relay", "x", "relay")
    b.edge("container:agent", "forwarder:relay", "relay", "socat", mode=Mode.MEDIATED)
    b.edge("forwarder:relay", "engine", "engine-socket", "its socket", mode=Mode.PIVOT)
    b.edge("engine", to(D.ENGINE), "takeover", "full API", mode=Mode.PIVOT, permits=ENGINE)
    b.edge("engine", to(D.INTERNET), "takeover", "a host-network container", mode=Mode.PIVOT, permits=EVERYWHERE)
    b.edge("engine", to(D.HOST), "takeover", "a host-network container", mode=Mode.PIVOT, permits=HOST)
    found = verdicts(b.graph())
    assert found[D.ENGINE] == found[D.INTERNET] == found[D.HOST] == (V.OPEN, V.CLOSED)


def test_a_missing_fact_matters_only_where_it_decides():
    b = started()
    fact = Missing("network.corp", "nobody said what the external network is")
    b.node("network:corp", "network", "corp")
    b.node("network:x", "network", "x")
    b.edge("container:agent", "network:corp", "attach", "external", missing=(fact,))
    b.edge("container:agent", "network:x", "attach", "bridge")
    b.edge("network:corp", to(D.INTERNET), "route", "perhaps", permits=EVERYWHERE)
    b.edge("network:corp", to(D.PRIVATE), "route", "perhaps", permits=EVERYWHERE)
    b.edge("network:x", to(D.INTERNET), "route", "masqueraded", permits=EVERYWHERE)
    by = {a.destination: a for a in answers(b.graph())}
    assert by[D.INTERNET].verdict is V.OPEN
    assert by[D.INTERNET].missing == ()
    assert by[D.PRIVATE].verdict is V.UNKNOWN
    assert [m.key for m in by[D.PRIVATE].missing] == ["network.corp"]


def test_siblings_are_open_only_if_each_one_is():
    b = started()
    for name in ("db", "web"):
        b.sibling(name)
        b.node(f"container:{name}", "container", name)
    b.edge("container:agent", to(D.SIBLINGS), "reach", "same network", permits=(Permit(("db",)),))
    assert verdicts(b.graph())[D.SIBLINGS] == (V.LIMITED, V.LIMITED)
    b.edge("container:agent", to(D.SIBLINGS), "reach", "same network", permits=(Permit(("web",)),))
    assert verdicts(b.graph())[D.SIBLINGS] == (V.OPEN, V.OPEN)


def test_many_ways_are_listed_plainest_first_and_counted():
    b = started()
    for n in range(40):
        b.node(f"network:{n}", "network", str(n))
        b.edge("container:agent", f"network:{n}", "attach", str(n))
        mode = Mode.PIVOT if n % 2 else Mode.DIRECT
        b.edge(f"network:{n}", to(D.INTERNET), "route", str(n), mode=mode, permits=EVERYWHERE)
    answer = answers(b.graph())[0]
    assert len(answer.paths) == LISTED
    assert answer.paths_left_out == 40 - LISTED
    assert {p.mode for p in answer.paths} == {Mode.DIRECT}


def test_a_node_that_nobody_named_is_a_mistake():
    with pytest.raises(KeyError, match="network:none"):
        started().edge("container:agent", "network:none", "attach", "x")


# ---- the cut


def unchanged(graph: Graph):
    """Edits of a launch that does what its graph says."""
    return lambda actions: removed(graph, [a.id for a in actions])


def two_networks() -> Builder:
    b = started()
    shared = b.action("no-net-admin", "drop NET_ADMIN", 1, None, {})
    for n in ("a", "b"):
        action = b.action(f"internal-{n}", f"network {n} internal", 2, None, {})
        b.node(f"network:{n}", "network", n)
        b.edge("container:agent", f"network:{n}", "attach", n)
        b.edge(f"network:{n}", to(D.INTERNET), "route", n, permits=EVERYWHERE, actions=(action, shared))
    b.edge("network:a", to(D.HOST), "gateway", "a", permits=HOST, actions=("internal-a",))
    return b


def test_one_edit_that_closes_two_paths_is_cheaper_than_two():
    graph = two_networks().graph()
    cut = cheapest(graph, [D.INTERNET], unchanged(graph))
    assert [a.id for a in cut.actions] == ["no-net-admin"]
    assert (cut.cost, cut.verified, cut.possible) == (1, True, True)


def test_a_cut_over_several_destinations_is_one_set():
    graph = two_networks().graph()
    cut = cheapest(graph, [D.INTERNET, D.HOST], unchanged(graph))
    assert sorted(a.id for a in cut.actions) == ["internal-a", "no-net-admin"]
    assert cut.cost == 3


def test_a_path_that_no_edit_removes_is_named():
    b = two_networks()
    b.edge("container:agent", to(D.INTERNET), "hostnet", "shares the host's network", permits=EVERYWHERE)
    cut = cheapest(b.graph(), [D.INTERNET], unchanged(b.graph()))
    assert not cut.possible
    assert "shares the host's network" in cut.why_not


def test_an_edit_that_closes_a_path_which_does_not_know_it_is_found():
    b = two_networks()
    b.edge("container:agent", to(D.DNS), "resolve", "names leave", permits=NAMES)
    graph = b.graph()

    def rebuild(actions):
        ids = [a.id for a in actions]
        after = removed(graph, ids)
        kept = after.edges if "internal-b" not in ids else tuple(e for e in after.edges if e.kind != "resolve")
        return replace(after, edges=kept)

    cut = cheapest(graph, [D.DNS], rebuild)
    assert [a.id for a in cut.actions] == ["internal-b"]
    assert cut.verified


def test_edits_that_open_something_else_are_not_believed():
    graph = two_networks().graph()

    def rebuild(actions):
        after = removed(graph, [a.id for a in actions])
        if {a.id for a in actions} == {"no-net-admin"}:
            b = two_networks()
            b.node("network:c", "network", "c")
            b.edge("container:agent", "network:c", "attach", "c appears")
            b.edge("network:c", to(D.INTERNET), "route", "c", permits=EVERYWHERE, actions=("internal-a",))
            return removed(b.graph(), ["no-net-admin"])
        return after

    cut = cheapest(graph, [D.INTERNET], rebuild)
    assert cut.verified
    assert {a.id for a in cut.actions} != {"no-net-admin"}
    assert verdicts(rebuild(cut.actions))[D.INTERNET] == (V.CLOSED, V.CLOSED)


def test_what_is_to_be_kept_stays():
    keep = Permit(("203.0.113.10/32",), "tcp", ((443, 443),))
    graph = two_networks().graph()
    cut = cheapest(graph, [D.INTERNET], unchanged(graph), [keep])
    assert cut.possible
    assert any(a.id.startswith("firewall:") for a in cut.actions)
    assert all("203.0.113.10/32:443" in a.title for a in cut.actions if a.id.startswith("firewall:"))


@st.composite
def graphs(draw):
    """Small graphs with shared actions, some edges without any."""
    b = started()
    nodes = [f"network:{n}" for n in range(draw(st.integers(1, 4)))]
    for node in nodes:
        b.node(node, "network", node)
    names = [b.action(f"a{n}", f"a{n}", draw(st.integers(1, 4)), None, {}) for n in range(draw(st.integers(1, 5)))]
    ends = ["container:agent", *nodes]
    for _ in range(draw(st.integers(1, 9))):
        target = draw(st.sampled_from([*nodes, to(D.INTERNET), to(D.DNS)]))
        permits = {to(D.INTERNET): EVERYWHERE, to(D.DNS): NAMES}.get(target)
        actions = draw(st.lists(st.sampled_from(names), max_size=3, unique=True))
        b.edge(draw(st.sampled_from(ends)), target, "x", "x", permits=permits, actions=actions)
    return b.graph()


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_the_cut_is_a_cheapest_one_and_no_action_of_it_is_useless(graph):
    def closed(ids) -> bool:
        return not any(next(ways(removed(graph, ids), d), None) for d in (D.INTERNET, D.DNS))

    cost = {a.id: a.cost for a in graph.actions}
    every = chain.from_iterable(combinations(cost, n) for n in range(len(cost) + 1))
    best = min((sum(cost[a] for a in s) for s in every if closed(s)), default=None)
    cut = cheapest(graph, [D.INTERNET, D.DNS], unchanged(graph))
    assert cut.possible == (best is not None)
    if best is not None:
        ids = [a.id for a in cut.actions]
        assert cut.cost == best
        assert closed(ids)
        assert not any(closed([i for i in ids if i != one]) for one in ids)
