"""From a graph to answers: what reaches each destination, with and without the facts that nobody gave, and by which paths.

A verdict never depends on how many paths are listed: what passes is carried over the edges until nothing changes
(union where ways meet, intersection along a way), per mode and per certainty. The paths are listed for people, and bounded.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from scanner.egress.permits import classify, intersect, simplify, within
from scanner.model.egress import (
    Answer,
    Barrier,
    Destination,
    Edge,
    Graph,
    Mode,
    Path,
    Permit,
    Verdict,
)
from scanner.model.launch import Missing

if TYPE_CHECKING:
    import networkx as nx

LISTED = 12
"""Paths of one destination that are listed, the plainest first."""
LOOKED_AT = 400
"""Paths that are looked at to choose them."""

Passing = tuple[Permit, ...] | None
"""What may still pass; None is everything."""
_State = tuple[Mode, bool]
"""The mode of a way, and whether it is certain (hangs on no missing fact)."""


def answers(graph: Graph) -> tuple[Answer, ...]:
    """One answer per destination, in the order of Destination."""
    passing = _spread(graph)
    network = _network(graph)
    return tuple(_answer(graph, destination, passing, network) for destination in Destination)


def verdict_of(graph: Graph, destination: Destination) -> Verdict:
    """The verdict alone, without listing paths."""
    return _verdict(graph, destination, _spread(graph).get(_id(destination), {}))[0]


def permits_to(graph: Graph, destination: Destination) -> tuple[Permit, ...]:
    """All that may reach a destination, by any mode, missing facts counted as if they held."""
    return tuple(p for passing in _spread(graph).get(_id(destination), {}).values() for p in passing or ())


def _id(destination: Destination) -> str:
    return f"destination:{destination.value}"


def _answer(
    graph: Graph, destination: Destination, passing: "dict[str, dict[_State, Passing]]", network: "nx.MultiDiGraph[Any]"
) -> Answer:
    arrived = passing.get(_id(destination), {})
    verdict, direct = _verdict(graph, destination, arrived)
    paths, left_out = _paths(graph, destination, network)
    missing = _missing(graph, destination, network) if Verdict.UNKNOWN in (verdict, direct) else ()
    allows: tuple[Permit, ...] = ()
    if verdict is not Verdict.CLOSED:
        certain = [p for (_, sure), some in arrived.items() if sure for p in some or ()]
        every = [p for some in arrived.values() for p in some or ()]
        allows = simplify(within(certain or every, destination))
    return Answer(
        destination,
        verdict,
        direct,
        allows,
        missing,
        paths,
        _because(graph, destination) if verdict is not Verdict.OPEN or direct is not Verdict.OPEN else (),
        left_out,
    )


def _verdict(graph: Graph, destination: Destination, arrived: "dict[_State, Passing]") -> tuple[Verdict, Verdict]:
    """All paths counted, and plain sockets alone."""

    def judged(modes: frozenset[Mode], doubtful: bool) -> Verdict:
        plain = _joined(arrived, modes - {Mode.MEDIATED}, doubtful)
        verdict = classify(plain, destination, graph.siblings)
        if verdict is Verdict.OPEN or Mode.MEDIATED not in modes:
            return verdict
        mediated = _joined(arrived, frozenset((Mode.MEDIATED,)), doubtful)
        through = classify(mediated, destination, graph.siblings)
        if destination is Destination.ENGINE and through is Verdict.OPEN:
            return Verdict.OPEN  # whoever talks to the engine through a relay has the engine
        return Verdict.LIMITED if Verdict.CLOSED is not through else verdict

    def sure(modes: frozenset[Mode]) -> Verdict:
        least, most = judged(modes, doubtful=False), judged(modes, doubtful=True)
        return least if least is most else Verdict.UNKNOWN

    return sure(frozenset(Mode)), sure(frozenset((Mode.DIRECT,)))


def _joined(arrived: "dict[_State, Passing]", modes: frozenset[Mode], doubtful: bool) -> tuple[Permit, ...]:
    return tuple(
        p for (mode, sure), passing in arrived.items() if mode in modes and (sure or doubtful) for p in passing or ()
    )


# ---- what passes


def _spread(graph: Graph) -> dict[str, dict[_State, Passing]]:
    """What arrives at each node. Along a way the last step that is not plain decides its mode: a relay that leads to the
    engine's socket ends in a takeover, a takeover that leads to a proxy ends in its list."""
    leaving: dict[str, list[Edge]] = {}
    for edge in graph.edges:
        leaving.setdefault(edge.source, []).append(edge)
    arrived: dict[str, dict[_State, Passing]] = {graph.start: {(Mode.DIRECT, True): None}}
    waiting = deque([(graph.start, (Mode.DIRECT, True))])
    while waiting:
        node, state = waiting.popleft()
        passing = arrived[node][state]
        mode, sure = state
        for edge in leaving.get(node, ()):
            further = _narrowed(passing, edge.permits)
            if further == ():
                continue
            next_state = (edge.mode if edge.mode is not Mode.DIRECT else mode, sure and not edge.missing)
            states = arrived.setdefault(edge.target, {})
            if next_state not in states:
                states[next_state] = further
            else:
                joined = _union(states[next_state], further)
                if joined == states[next_state]:
                    continue
                states[next_state] = joined
            waiting.append((edge.target, next_state))
    return arrived


def _narrowed(passing: Passing, permits: Passing) -> Passing:
    if passing is None or permits is None:
        return permits if passing is None else passing
    return intersect(passing, permits)


def _union(a: Passing, b: Passing) -> Passing:
    return None if a is None or b is None else simplify((*a, *b))


# ---- paths


@dataclass(frozen=True, slots=True)
class _Way:
    steps: tuple[Edge, ...]
    mode: Mode
    permits: tuple[Permit, ...]
    missing: tuple[Missing, ...]


def _network(graph: Graph) -> "nx.MultiDiGraph[Any]":
    import networkx as nx

    network: nx.MultiDiGraph[Any] = nx.MultiDiGraph()
    network.add_nodes_from(node.id for node in graph.nodes)
    for number, edge in enumerate(graph.edges):
        network.add_edge(edge.source, edge.target, key=number)
    return network


def ways(graph: Graph, destination: Destination, network: "nx.MultiDiGraph[Any] | None" = None) -> Iterator[_Way]:
    """Simple paths to a destination along which something passes; in no order, and there can be very many."""
    import networkx as nx

    network = network if network is not None else _network(graph)
    target = _id(destination)
    if graph.start not in network or target not in network:
        return
    reached = nx.descendants(network, graph.start)
    if target not in reached:
        return
    useful = reached & nx.ancestors(network, target) | {graph.start, target}
    part: Any = network.subgraph(useful)
    for found in nx.all_simple_edge_paths(part, graph.start, target):
        keys: Any = found
        steps = tuple(graph.edges[number] for _, _, number in keys)
        passing: Passing = None
        mode = Mode.DIRECT
        for edge in steps:
            passing = _narrowed(passing, edge.permits)
            mode = edge.mode if edge.mode is not Mode.DIRECT else mode
        if passing is None or passing == ():
            continue
        yield _Way(steps, mode, passing, tuple(dict.fromkeys(m for e in steps for m in e.missing)))


def _paths(graph: Graph, destination: Destination, network: "nx.MultiDiGraph[Any]") -> tuple[tuple[Path, ...], int]:
    """The plainest paths, and how many of those looked at were left out (one more if there may be others)."""
    found = list(islice(ways(graph, destination, network), LOOKED_AT + 1))
    more = len(found) > LOOKED_AT
    found.sort(
        key=lambda w: (bool(w.missing), _weight(w), len(w.steps), [(e.source, e.target, e.why) for e in w.steps])
    )
    listed = found[:LISTED]
    paths = []
    for number, way in enumerate(listed, 1):
        verdict = classify(way.permits, destination, graph.siblings)
        if way.mode is Mode.MEDIATED and verdict is Verdict.OPEN and destination is not Destination.ENGINE:
            verdict = Verdict.LIMITED
        paths.append(
            Path(
                f"{destination.value}-{number}",
                destination,
                way.steps,
                Verdict.UNKNOWN if way.missing else verdict,
                way.mode,
                simplify(within(way.permits, destination)),
                way.missing,
            )
        )
    return tuple(paths), len(found) - len(listed) if not more else max(len(found) - len(listed), 1)


def _weight(way: _Way) -> int:
    return {Mode.DIRECT: 0, Mode.PIVOT: 1, Mode.MEDIATED: 2}[way.mode]


def _missing(graph: Graph, destination: Destination, network: "nx.MultiDiGraph[Any]") -> tuple[Missing, ...]:
    """The facts that edges on some way to the destination wait for, each key once."""
    import networkx as nx

    target = _id(destination)
    useful = (nx.descendants(network, graph.start) | {graph.start}) & (nx.ancestors(network, target) | {target})
    found: dict[str, Missing] = {}
    for edge in graph.edges:
        if edge.source in useful and edge.target in useful:
            for missing in edge.missing:
                found.setdefault(missing.key, missing)
    return tuple(found.values())


def _because(graph: Graph, destination: Destination) -> tuple[Barrier, ...]:
    """The barriers that stand before a destination, those that name it first."""
    target = _id(destination)
    named = [b for b in graph.barriers if b.target == target]
    return tuple(dict.fromkeys(named))


def removed(graph: Graph, actions: Iterable[str]) -> Graph:
    """The graph without the edges that any of the actions removes."""
    chosen = frozenset(actions)
    from dataclasses import replace

    return replace(graph, edges=tuple(e for e in graph.edges if not chosen.intersection(e.actions)))
