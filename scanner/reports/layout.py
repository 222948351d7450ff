"""Where the nodes of a graph stand: in layers from left to right, the same every time.

After Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures" (1981): layers by the
longest way from the start, points on long edges, an order with few crossings, then places near one's neighbours.
"""

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

GAP_X = 108.0
GAP_Y = 18.0
BEND = 6.0
"""Height that an edge takes where it passes through a layer."""
SWEEPS = 8

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """`places` are the centres of the nodes, `bends` the points that each edge passes between its ends: where it enters and
    where it leaves the column of a layer, so that no line runs through a box of that layer."""

    places: Mapping[str, Point]
    bends: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def layout(
    sizes: Mapping[str, tuple[float, float]], edges: Sequence[tuple[str, str]], start: str, last: Sequence[str] = ()
) -> Layout:
    """Places for all nodes of `sizes` (width, height); `start` stands first, those of `last` in the last layer.

    Names of nodes are the caller's own (`n0`, `n1`, …), never somebody else's text.
    """
    layer = _layers(list(sizes), edges, start, last)
    chains: list[list[str]] = []
    heights = {node: size[1] for node, size in sizes.items()}
    members: dict[int, list[str]] = {number: [] for number in range(max(layer.values(), default=0) + 1)}
    for node in sizes:
        members[layer[node]].append(node)
    for number, (source, target) in enumerate(edges):
        step = 1 if layer[target] >= layer[source] else -1
        between = []
        for at in range(layer[source] + step, layer[target], step):
            point = f"bend {number} {at}"
            members[at].append(point)
            heights[point] = BEND
            between.append(point)
        chains.append([source, *between, target])
    beside: dict[str, list[str]] = {one: [] for one in heights}
    where = {one: number for number, some in members.items() for one in some}
    for chain in chains:
        for a, b in pairwise(chain):
            if where[a] != where[b]:
                beside[a].append(b)
                beside[b].append(a)
    orders = _ordered([members[number] for number in sorted(members)], beside, where)
    y = _heights(orders, beside, heights)
    columns: list[tuple[float, float]] = []
    left = 0.0
    for order in orders:
        wide = max((sizes[one][0] for one in order if one in sizes), default=0.0)
        columns.append((round(left, 1), round(left + wide, 1)))
        left += wide + GAP_X
    top = min((y[one] - heights[one] / 2 for one in y), default=0.0)
    bottom = max((y[one] + heights[one] / 2 for one in y), default=0.0)
    height = {one: round(y[one] - top, 1) for one in y}

    def bends(chain: list[str]) -> tuple[Point, ...]:
        step = 1 if where[chain[-1]] >= where[chain[0]] else -1
        return tuple((edge, height[one]) for one in chain[1:-1] for edge in columns[where[one]][::step])

    return Layout(
        {node: (round(sum(columns[where[node]]) / 2, 1), height[node]) for node in sizes},
        tuple(map(bends, chains)),
        columns[-1][1] if columns else 0.0,
        round(bottom - top, 1),
    )


def _layers(nodes: Sequence[str], edges: Sequence[tuple[str, str]], start: str, last: Sequence[str]) -> dict[str, int]:
    """The longest way from the start, edges that close a circle left away."""
    leaving: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        if target not in (source, start):
            leaving[source].append(target)
    order: list[str] = []
    forward: dict[str, list[str]] = {node: [] for node in nodes}
    state: dict[str, int] = {}
    for root in (start, *nodes):
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(leaving[root]))]
        while stack:
            node, targets = stack[-1]
            for target in targets:
                if state.get(target) == 1:
                    continue  # it closes a circle
                forward[node].append(target)
                if target not in state:
                    state[target] = 1
                    stack.append((target, iter(leaving[target])))
                    break
            else:
                state[node] = 2
                order.append(node)
                stack.pop()
    layer = dict.fromkeys(nodes, 0)
    for node in reversed(order):
        for target in forward[node]:
            layer[target] = max(layer[target], layer[node] + 1)
    ends = set(last)
    inner = max((layer[node] for node in nodes if node not in ends), default=0)
    layer.update({node: inner + 1 for node in last if node in layer})
    return layer


def _ordered(orders: list[list[str]], beside: Mapping[str, list[str]], where: Mapping[str, int]) -> list[list[str]]:
    """Each layer's nodes by the mean place of their neighbours in the layer before, then after, and so on."""
    best, fewest = [list(one) for one in orders], _crossings(orders, beside, where)
    rank = {one: i for some in orders for i, one in enumerate(some)}
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for number in range(len(orders)) if forward else reversed(range(len(orders))):
            means = {}
            for one in orders[number]:
                near = [rank[b] for b in beside[one] if (where[b] < number) is forward]
                means[one] = sum(near) / len(near) if near else float(rank[one])
            orders[number].sort(key=means.__getitem__)
            rank.update((one, i) for i, one in enumerate(orders[number]))
        crossings = _crossings(orders, beside, where)
        if crossings < fewest:
            best, fewest = [list(one) for one in orders], crossings
    return best


def _crossings(orders: Sequence[Sequence[str]], beside: Mapping[str, list[str]], where: Mapping[str, int]) -> int:
    """Pairs of edges that cross between neighbouring layers."""
    rank = {one: i for some in orders for i, one in enumerate(some)}
    count = 0
    for some in orders:
        seen: list[int] = []
        for one in some:
            targets = [rank[b] for b in beside[one] if where[b] > where[one]]
            count += sum(len(seen) - bisect_right(seen, target) for target in targets)
            for target in targets:
                insort(seen, target)
    return count


def _heights(
    orders: Sequence[Sequence[str]],
    beside: Mapping[str, list[str]],
    heights: Mapping[str, float],
) -> dict[str, float]:
    """Places from top to bottom: as near to the neighbours as the order and the gaps allow."""
    y: dict[str, float] = {}
    for order in orders:
        at = -sum(heights[one] + GAP_Y for one in order) / 2
        for one in order:
            y[one] = at + heights[one] / 2
            at += heights[one] + GAP_Y
    for sweep in range(SWEEPS):
        for number in range(len(orders)) if sweep % 2 == 0 else reversed(range(len(orders))):
            order = orders[number]
            wanted = []
            for one in order:
                near = [y[b] for b in beside[one]]
                wanted.append(sum(near) / len(near) if near else y[one])
            y.update(zip(order, _apart(wanted, [heights[one] for one in order]), strict=True))
    return y


def _apart(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones (least squares) that keep order and gaps: pooling of adjacent violators."""
    offsets, at = [], 0.0
    for i, height in enumerate(heights):
        at += (heights[i - 1] + height) / 2 + GAP_Y if i else 0.0
        offsets.append(at)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    free = [total / count for total, count in pools for _ in range(count)]
    return [one + offset for one, offset in zip(free, offsets, strict=True)]
