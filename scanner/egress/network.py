"""A sandbox's graph as networkx has it, for questions of one's own."""

from typing import TYPE_CHECKING, Any

from scanner.model.egress import Graph

if TYPE_CHECKING:
    import networkx as nx


def network(graph: Graph) -> "nx.MultiDiGraph[Any]":
    """Nodes by their ids with `kind` and `label`, edges with `kind`, `mode`, `why`, `certain` and the Edge itself as `edge`.

    What a run tried is there too, as edges of the kind `observed`: leave them out before you ask what is possible.

    >>> network(Graph("a", (), ())).number_of_edges()
    0
    """
    import networkx as nx

    result: nx.MultiDiGraph[Any] = nx.MultiDiGraph(start=graph.start)
    for node in graph.nodes:
        result.add_node(node.id, kind=node.kind, label=node.label)
    for edge in (*graph.edges, *graph.observed):
        result.add_edge(
            edge.source,
            edge.target,
            kind=edge.kind,
            mode=edge.mode.value,
            why=edge.why,
            certain=not edge.missing,
            edge=edge,
        )
    return result
