"""From a graph to answers: what reaches each destination, with and without the facts that nobody gave, and by which paths.

A verdict never depends on how many paths are listed: what passes is carried over the edges until nothing changes
(union where ways meet, intersection along a way), per mode and per certainty. The paths are listed for people, and bounded.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

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

LISTED = 12
"""Paths of one destination that are listed, the plainest first."""
LOOKED_AT = 400
"""Paths that are looked at to choose them."""

TAKEN = ("engine", "host")
"""The nodes of what was taken over: what led there was narrow, what leads on is not."""

Passing = tuple[Permit, ...] | None
"""What may still pass; None is everything."""
_State = tuple[Mode, bool]
"""The mode of a way, and whether it is certain (hangs on no missing fact)."""


def answers(graph: Graph) -> tuple[Answer, ...]:
    """One answer per destination, in the order of Destination."""
    passing = _spread(graph)
    return tuple(_answer(graph, destination, passing) for destination in Destination)


def _id(destination: Destination) -> str:
    return f"destination:{destination.value}"


def _answer(graph: Graph, destination: Destination, passing: dict[str, dict[_State, Passing]]) -> Answer:
    arrived = passing.get(_id(destination), {})
    verdict, direct = _verdict(graph, destination, arrived)
    paths, left_out = _paths(graph, destination)
    missing = _missing(graph, destination) if Verdict.UNKNOWN in (verdict, direct) else ()
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
        verdict = classify(plain, destination, graph.siblings, _protocols(graph))
        if verdict is Verdict.OPEN or Mode.MEDIATED not in modes:
            return verdict
        mediated = _joined(arrived, frozenset((Mode.MEDIATED,)), doubtful)
        through = classify(mediated, destination, graph.siblings, _protocols(graph))
        if destination is Destination.ENGINE and through is Verdict.OPEN:
            return Verdict.OPEN  # whoever talks to the engine through a relay has the engine
        return Verdict.LIMITED if Verdict.CLOSED is not through else verdict

    def sure(modes: frozenset[Mode]) -> Verdict:
        least, most = judged(modes, doubtful=False), judged(modes, doubtful=True)
        return least if least is most else Verdict.UNKNOWN

    return sure(frozenset(Mode)), sure(frozenset((Mode.DIRECT,)))


def _protocols(graph: Graph) -> tuple[str, ...]:
    """Those whose every port has to pass for a destination to be open: a pod's policies tell SCTP apart as well."""
    return ("tcp", "udp", "sctp") if graph.start.startswith("pod:") else ("tcp", "udp")


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
            further = _beyond(passing, edge)
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


def _beyond(passing: Passing, edge: Edge) -> Passing:
    """What passes on behind an edge. Whoever takes over engine or host by it decides from there on for himself; software that
    passes traffic on goes by its own list, whatever it took to reach it."""
    if edge.target.startswith("forwarder:"):
        return edge.permits
    further = _narrowed(passing, edge.permits)
    return None if edge.target in TAKEN and further != () else further


def _narrowed(passing: Passing, permits: Passing) -> Passing:
    if passing is None or permits is None:
        return permits if passing is None else passing
    return intersect(passing, permits)


def _union(a: Passing, b: Passing) -> Passing:
    return None if a is None or b is None else simplify((*a, *b))


# ---- paths


@dataclass(frozen=True, slots=True)
class Way:
    """One path from the agent to a destination, and what passes along it."""

    steps: tuple[Edge, ...]
    mode: Mode
    permits: tuple[Permit, ...]
    missing: tuple[Missing, ...]


def ways(graph: Graph, destination: Destination) -> Iterator[Way]:
    """Simple paths to a destination along which something passes, the plainest first (certain before doubtful, plain sockets
    before takeovers before relays, few steps before many). There can be very many: take as many as are wanted.

    Best-first search over partial paths, which a library's search for simple paths could not do: a way ends where nothing
    passes any more, and only nodes from which the destination can be reached are entered.
    """
    target = _id(destination)
    leaving: dict[str, list[int]] = {}
    entering: dict[str, list[str]] = {}
    for number, edge in enumerate(graph.edges):
        leaving.setdefault(edge.source, []).append(number)
        entering.setdefault(edge.target, []).append(edge.source)
    useful = _closure(target, entering)
    queue: list[tuple[tuple[bool, int, int], tuple[int, ...], Mode, Passing]] = []
    if graph.start in useful:
        queue.append(((False, 0, 0), (), Mode.DIRECT, None))
    while queue:
        (doubtful, _, length), numbers, mode, passing = heapq.heappop(queue)
        at = graph.edges[numbers[-1]].target if numbers else graph.start
        if at == target:
            if passing is not None:
                steps = tuple(graph.edges[n] for n in numbers)
                yield Way(steps, mode, passing, tuple(dict.fromkeys(m for e in steps for m in e.missing)))
            continue
        visited = {graph.start, *(graph.edges[n].target for n in numbers)}
        for number in leaving.get(at, ()):
            edge = graph.edges[number]
            if edge.target not in useful or edge.target in visited:
                continue
            further = _beyond(passing, edge)
            if further == ():
                continue
            next_mode = edge.mode if edge.mode is not Mode.DIRECT else mode
            key = (doubtful or bool(edge.missing), _WEIGHT[next_mode], length + 1)
            # the numbers alone tell two partial paths apart: they are never the same
            heapq.heappush(queue, (key, (*numbers, number), next_mode, further))


_WEIGHT = {Mode.DIRECT: 0, Mode.PIVOT: 1, Mode.MEDIATED: 2}


def _closure(start: str, neighbours: Mapping[str, Sequence[str]]) -> set[str]:
    """All that is reached from a node, itself included."""
    found, waiting = {start}, [start]
    while waiting:
        for one in neighbours.get(waiting.pop(), ()):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return found


def _paths(graph: Graph, destination: Destination) -> tuple[tuple[Path, ...], int]:
    """The plainest paths, and how many of those looked at were left out (one more if there may be others)."""
    found = list(islice(ways(graph, destination), LOOKED_AT + 1))
    more = len(found) > LOOKED_AT
    listed = found[:LISTED]
    paths = []
    for number, way in enumerate(listed, 1):
        verdict = classify(way.permits, destination, graph.siblings, _protocols(graph))
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


def _missing(graph: Graph, destination: Destination) -> tuple[Missing, ...]:
    """The facts that edges on some way to the destination wait for, each key once."""
    leaving: dict[str, list[str]] = {}
    entering: dict[str, list[str]] = {}
    for edge in graph.edges:
        leaving.setdefault(edge.source, []).append(edge.target)
        entering.setdefault(edge.target, []).append(edge.source)
    useful = _closure(graph.start, leaving) & _closure(_id(destination), entering)
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
    return replace(graph, edges=tuple(e for e in graph.edges if not chosen.intersection(e.actions)))
