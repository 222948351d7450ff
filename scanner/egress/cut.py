"""The cheapest edits that close a sandbox: an exact minimum over actions, each edit verified by judging the launch again.

One action often removes several edges, so that this is a minimum hitting set, no max-flow cut (one action = one label:
minimum label cut). Solved by implicit hitting set: the cheapest set of actions that meets every path seen so far; a path that
is still open adds a clause; none left, the edits are applied to the launch itself and its graph is drawn anew. What opens
there adds a clause that holds for this set of edits only. Sets are tried in order of cost, so that the first that passes is
a cheapest one.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from scanner.egress.paths import removed, ways
from scanner.egress.permits import intersect, within
from scanner.model.egress import Action, Cut, Destination, Edge, Graph, Permit

ROUNDS = 400
SETS = 60_000
"""Sets of actions that are tried before the search gives up."""

Rebuild = Callable[[Sequence[Action]], Graph]
"""The sandbox's graph after the edits."""


@dataclass(frozen=True, slots=True)
class _Clause:
    """Where `given` are all chosen, one of `wanted` has to be as well."""

    given: frozenset[str]
    wanted: frozenset[str]


def cheapest(graph: Graph, closes: Sequence[Destination], rebuild: Rebuild, keep: Sequence[Permit] = ()) -> Cut:
    """The cheapest verified cut to `closes`; `keep` stays reachable, and is all that may stay.

    A cut with `possible` False says why: a path that no known action removes, or that only what is kept would close.
    """
    actions = {a.id: a for a in (*graph.actions, *_walls(graph, closes, keep))}
    graph = _with_walls(graph, closes, keep)
    clauses: list[_Clause] = []
    for _ in range(ROUNDS):
        chosen = _solve(clauses, actions)
        if chosen is None:
            why = (
                "what would close it would also close what is to be kept"
                if keep
                else "no set of known edits closes all paths"
            )
            return Cut(tuple(closes), (), 0, verified=False, possible=False, why_not=why)
        way = _open_way(_walled(removed(graph, _plain(chosen)), chosen, keep), closes, keep)
        if way is not None:
            wanted = frozenset(a for edge in way for a in edge.actions if a in actions)
            if not wanted:
                wanted = _closing(way, actions.values(), rebuild, closes, keep)
                if not wanted:
                    return Cut(tuple(closes), (), 0, verified=False, possible=False, why_not=_words(way))
            if not wanted & chosen:
                clauses.append(_Clause(frozenset(), wanted))
                continue
            # the way's edges do not know the action that closes it: the launch itself is asked
        picked = tuple(actions[a] for a in sorted(chosen))
        drawn = _redrawn(rebuild, picked, chosen, closes, keep)
        way = _open_way(drawn, closes, keep)
        if way is not None:
            known = {a.id: a for a in drawn.actions}
            wanted = frozenset(a for edge in way for a in edge.actions if a in actions or a in known) - chosen
            actions.update({a: known[a] for a in wanted if a not in actions})
            clauses.append(_Clause(chosen, wanted))
            continue
        if not _kept(drawn, keep):
            clauses.append(_Clause(chosen, frozenset()))
            continue
        final = _needed(picked, rebuild, closes, keep)
        return Cut(tuple(closes), final, sum(a.cost for a in final), verified=True)
    return Cut(
        tuple(closes),
        (),
        0,
        verified=False,
        possible=False,
        why_not="the search for a cut was given up: too many paths",
    )


def _closing(
    way: Sequence[Edge],
    actions: Iterable[Action],
    rebuild: Rebuild,
    closes: Sequence[Destination],
    keep: Sequence[Permit],
) -> frozenset[str]:
    """The actions each of which closes the way's destination, though none of the way's edges knows it."""
    there = [d for d in closes if way[-1].target == f"destination:{d.value}"]
    return frozenset(
        a.id
        for a in actions
        if _open_way(_redrawn(rebuild, (a,), frozenset((a.id,)), there, keep), there, keep) is None
    )


def _needed(
    picked: tuple[Action, ...], rebuild: Rebuild, closes: Sequence[Destination], keep: Sequence[Permit]
) -> tuple[Action, ...]:
    """Without the actions that the launch closes without: an edge may know fewer of its actions than there are."""
    for one in sorted(picked, key=lambda a: (-a.cost, a.id)):
        rest = tuple(a for a in picked if a is not one)
        chosen = frozenset(a.id for a in rest)
        drawn = _redrawn(rebuild, rest, chosen, closes, keep)
        if _open_way(drawn, closes, keep) is None and _kept(drawn, keep):
            picked = rest
    return picked


def _redrawn(
    rebuild: Rebuild,
    picked: Sequence[Action],
    chosen: frozenset[str],
    closes: Sequence[Destination],
    keep: Sequence[Permit],
) -> Graph:
    edits = [a for a in picked if not a.id.startswith(_WALL)]
    return _walled(_with_walls(rebuild(edits), closes, keep), chosen, keep)


def _solve(clauses: Sequence[_Clause], actions: Mapping[str, Action]) -> frozenset[str] | None:
    """A cheapest set that satisfies every clause: uniform-cost search, branching on the first clause that fails."""
    queue: list[tuple[int, int, tuple[str, ...]]] = [(0, 0, ())]
    seen: set[frozenset[str]] = set()
    for _ in range(SETS):
        if not queue:
            return None
        cost, _, chosen_list = heapq.heappop(queue)
        chosen = frozenset(chosen_list)
        if chosen in seen:
            continue
        seen.add(chosen)
        failing = next((c for c in clauses if c.given <= chosen and not c.wanted & chosen), None)
        if failing is None:
            return chosen
        for action in sorted(failing.wanted):
            grown = tuple(sorted({*chosen, action}))
            heapq.heappush(queue, (cost + actions[action].cost, len(grown), grown))
    return None


def _open_way(graph: Graph, closes: Iterable[Destination], keep: Sequence[Permit]) -> tuple[Edge, ...] | None:
    """A path along which more passes than is to be kept."""
    for destination in closes:
        for way in ways(graph, destination):
            if any(not _covered(p, keep) for p in within(way.permits, destination)):
                return way.steps
    return None


def _covered(permit: Permit, keep: Sequence[Permit]) -> bool:
    """Whether all that passes is to be kept: same hosts, no more ports."""
    return any(
        set(permit.hosts) <= set(k.hosts)
        and k.protocol in ("any", permit.protocol)
        and all(any(first >= a and last <= b for a, b in k.ports) for first, last in permit.ports)
        for k in keep
    )


def _kept(graph: Graph, keep: Sequence[Permit]) -> bool:
    """Whether each host and port to be kept is still reached by some path, directly or through a proxy."""
    if not keep:
        return True
    destinations = (Destination.INTERNET, Destination.PRIVATE, Destination.METADATA, Destination.SIBLINGS)
    reached = [p for d in destinations for way in ways(graph, d) for p in way.permits]
    return all(any(intersect((k,), (p,)) for p in reached) for k in keep)


def _words(way: Sequence[Edge]) -> str:
    return "no known edit removes this path: " + "; ".join(edge.why for edge in way)


# ---- the host's firewall: the one edit that keeps a few addresses and closes the rest

_WALL = "firewall:"
_WALLED = frozenset((Destination.INTERNET, Destination.PRIVATE, Destination.METADATA))


def _plain(chosen: frozenset[str]) -> frozenset[str]:
    return frozenset(a for a in chosen if not a.startswith(_WALL))


def _walls(graph: Graph, closes: Sequence[Destination], keep: Sequence[Permit]) -> tuple[Action, ...]:
    """One action per network whose traffic the host could filter; only where something is to be kept."""
    if not keep:
        return ()
    networks = dict.fromkeys(e.source for e in graph.edges if _is_walled(e, closes))
    labels = {n.id: n for n in graph.nodes}
    allowed = ", ".join(f"{h}:{p[0]}" if p[0] == p[1] else h for k in keep for h in k.hosts for p in k.ports)
    return tuple(
        Action(
            _WALL + network,
            f"on the host, let {labels[network].label} reach only {allowed} (a rule in DOCKER-USER)",
            3,
            labels[network].origin,
            {"op": "firewall", "object": network, "allow": allowed},
        )
        for network in networks
    )


def _is_walled(edge: Edge, closes: Sequence[Destination]) -> bool:
    return edge.source.startswith("network:") and any(
        edge.target == f"destination:{d.value}" for d in closes if d in _WALLED
    )


def _with_walls(graph: Graph, closes: Sequence[Destination], keep: Sequence[Permit]) -> Graph:
    """The graph whose edges know the walls that would close them."""
    if not keep:
        return graph
    return replace(
        graph,
        edges=tuple(
            replace(e, actions=(*e.actions, _WALL + e.source)) if _is_walled(e, closes) else e for e in graph.edges
        ),
    )


def _walled(graph: Graph, chosen: frozenset[str], keep: Sequence[Permit]) -> Graph:
    """What is left once the chosen walls stand: of an edge that one closes, what is kept."""
    standing = frozenset(a for a in chosen if a.startswith(_WALL))
    if not standing:
        return graph
    edges = []
    for edge in graph.edges:
        if standing.intersection(edge.actions):
            left = _left(edge.permits, keep)
            if left:
                edges.append(replace(edge, permits=left, actions=()))
        else:
            edges.append(edge)
    return replace(graph, edges=tuple(edges))


def _left(permits: tuple[Permit, ...] | None, keep: Sequence[Permit]) -> tuple[Permit, ...]:
    return tuple(keep) if permits is None else intersect(permits, tuple(keep))
