"""What is drawn of one sandbox's graph, whatever the picture: nodes, steps, walls, what the cut removes; bounded."""

from collections.abc import Iterable
from dataclasses import dataclass

from scanner.model import printable
from scanner.model.egress import Answer, Destination, Edge, Mode, SandboxReach, Verdict
from scanner.reports import reach, words

NODES = 120
EDGES = 300
"""Of one sandbox's graph; steps of paths come first, and what is left out is said."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A node: `verdict` where it is a destination, `where` the line that says it, `is_start` for the agent."""

    id: str
    kind: str
    label: str
    where: str
    verdict: Verdict | None = None
    shown: str = ""
    is_start: bool = False

    @property
    def is_destination(self) -> bool:
        return self.id.startswith("destination:")


@dataclass(frozen=True, slots=True)
class Line:
    """A step: `number` from 1 in this drawing, `paths` the ids of the paths it is on, `cut` if the cut removes it, `wall`
    if it is no step but what stands in its way, `doubtful` if it is there only if a missing fact holds."""

    number: int
    source: str
    target: str
    kind: str
    label: str
    mode: Mode
    words: str
    paths: tuple[str, ...] = ()
    cut: bool = False
    wall: bool = False
    doubtful: bool = False


TRIED = 5
"""Attempts on one destination whose words stand on the line that is drawn for all of them."""


@dataclass(frozen=True, slots=True)
class Drawing:
    nodes: tuple[Dot, ...]
    lines: tuple[Line, ...]
    left_out: int


def drawing(sandbox: SandboxReach, nodes: int = NODES, edges: int = EDGES) -> Drawing:
    """The sandbox's graph as it is drawn. What leads nowhere is left away, destinations are always there."""
    graph = sandbox.graph
    on_paths: dict[Edge, dict[str, None]] = {}
    for answer in sandbox.answers:
        for path in answer.paths:
            for step in path.steps:
                on_paths.setdefault(step, {}).setdefault(path.id)
    cut = reach.first_cut(sandbox)
    chosen = {one.id for one in cut.actions} if cut is not None else set()
    ordered = sorted(dict.fromkeys((*on_paths, *graph.edges)), key=lambda edge: edge not in on_paths)
    ends = {graph.start: None, **{f"destination:{one.value}": None for one in Destination}}
    lines: list[Line] = []
    left_out = 0
    for edge in ordered:
        new = {edge.source, edge.target} - ends.keys()
        if len(lines) >= edges or len(ends) + len(new) > nodes:
            left_out += 1
            continue
        ends.update(dict.fromkeys((edge.source, edge.target)))
        lines.append(
            Line(
                len(lines) + 1,
                edge.source,
                edge.target,
                printable(edge.kind, 60),
                printable(edge.kind, 60) + (" ?" if edge.missing else ""),
                edge.mode,
                reach.step(edge),
                tuple(map(printable, on_paths.get(edge, ()))),
                cut=bool(chosen.intersection(edge.actions)),
                doubtful=bool(edge.missing),
            )
        )
    tried: dict[str, list[Edge]] = {}
    for edge in graph.observed:
        tried.setdefault(edge.target, []).append(edge)
    for target, some in tried.items():
        if len(lines) >= edges or target not in ends:
            left_out += 1
            continue
        more = f"; and {len(some) - TRIED:,} more" if len(some) > TRIED else ""
        said = "; ".join(words.plain(edge.why, reach.SENTENCE) for edge in some[:TRIED]) + more
        lines.append(Line(len(lines) + 1, graph.start, target, "observed", "tried", Mode.DIRECT, said))
    for barrier in graph.barriers:
        if barrier.source in ends and barrier.target in ends and barrier.source != barrier.target:
            if len(lines) >= edges:
                left_out += 1
                continue
            told = reach.placed(words.plain(barrier.why, reach.SENTENCE), barrier.origin)
            lines.append(
                Line(len(lines) + 1, barrier.source, barrier.target, "barrier", "no way", Mode.DIRECT, told, wall=True)
            )
    return Drawing(tuple(_dots(sandbox, ends)), tuple(lines), left_out)


def _dots(sandbox: SandboxReach, ids: Iterable[str]) -> Iterable[Dot]:
    known = {one.id: one for one in reversed(sandbox.graph.nodes)}
    answers: dict[str, Answer] = {f"destination:{one.destination.value}": one for one in sandbox.answers}
    for id in ids:
        node, answer = known.get(id), answers.get(id)
        label = printable(node.label if node else id.removeprefix("destination:")) or printable(id) or "(no name)"
        yield Dot(
            id,
            printable(node.kind if node else id.partition(":")[0], 60),
            label,
            reach.origin(node.origin) if node else "",
            answer.verdict if answer else None,
            reach.verdict(answer) if answer else "",
            id == sandbox.graph.start,
        )
