"""Building one sandbox's graph: nodes once, edges with their reasons, barriers where there is none, actions that close.

Conventions that the evaluation rests on:

- The agent starts at `container:NAME` (`pod:NAMESPACE/NAME`, `hosted:NAME`). Destinations are `destination:<Destination>`.
- A sibling is two nodes: `container:NAME` is the service as it is reached; `forwarder:NAME` what one is once its software
  passes traffic on. No path leads through a sibling but over the edge between the two (mode MEDIATED, `permits` its
  allow-list; or with a Missing `forwards.NAME` where nobody knows).
- The engine, once taken over, is `engine`, the host `host`; edges out of them are PIVOT and reach every destination whole.
- Permits stand on edges into destinations, and wherever a hop narrows what passes (a proxy's list); along a path they are
  intersected. In permits `hosts` are CIDRs for INTERNET, PRIVATE, METADATA (or DNS names and wildcards); for HOST `host`
  is every address of the host, anything else (`host gateway 172.17.0.1`) a part; for ENGINE `engine` is full control,
  anything else a part; for DNS `names` is the configured resolver, anything else a part; for SIBLINGS the siblings' names.
- An edge that is there only if a fact holds has that fact in `missing`.
- An edge into `engine`, `host` or a `forwarder:` resets what passes: behind it another machine's or program's reach begins.

Secrets in what is told (a proxy's password in a variable) are masked here, before anybody can print them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from scanner.credentials import mask
from scanner.model.egress import Action, Barrier, Destination, Edge, Graph, Mode, Node, Permit
from scanner.model.evidence import Json
from scanner.model.launch import Missing, Origin

EVERYWHERE = (Permit(("0.0.0.0/0", "::/0")),)
EVERYWHERE_IPV4 = (Permit(("0.0.0.0/0",)),)
ENGINE = (Permit(("engine",)),)
HOST = (Permit(("host",)),)
NAMES = (Permit(("names",)),)


def to(destination: Destination) -> str:
    """The id of a destination's node."""
    return f"destination:{destination.value}"


class Builder:
    """Collects; `graph()` is the frozen result, in the order in which things were said."""

    def __init__(self, start: str, kind: str, label: str, origin: Origin | None = None) -> None:
        self.start = start
        self._nodes: dict[str, Node] = {}
        self._edges: dict[Edge, None] = {}
        self._barriers: dict[Barrier, None] = {}
        self._actions: dict[str, Action] = {}
        self._siblings: dict[str, None] = {}
        self.node(start, kind, label, origin)
        for destination in Destination:
            self.node(to(destination), "destination", destination.value)

    def node(self, id: str, kind: str, label: str, origin: Origin | None = None) -> str:
        """The node's id; the first who names it says what it is."""
        self._nodes.setdefault(id, Node(id, kind, mask(label), origin))
        return id

    def edge(
        self,
        source: str,
        target: str,
        kind: str,
        why: str,
        *,
        mode: Mode = Mode.DIRECT,
        origin: Origin | None = None,
        permits: Iterable[Permit] | None = None,
        needs: Iterable[str] = (),
        actions: Iterable[str] = (),
        missing: Iterable[Missing] = (),
    ) -> None:
        passes = None if permits is None else tuple(permits)
        if passes == ():
            return
        for end in (source, target):
            if end not in self._nodes:
                raise KeyError(f"no node {end}")
        facts = tuple(replace(m, why=mask(m.why)) for m in missing)
        edge = Edge(source, target, kind, mode, mask(why), origin, passes, tuple(needs), tuple(actions), facts)
        self._edges.setdefault(edge)

    def barrier(self, source: str, target: str, why: str, origin: Origin | None = None) -> None:
        self._barriers.setdefault(Barrier(source, target, mask(why), origin))

    def action(
        self, id: str, title: str, cost: int, origin: Origin | None, edit: Mapping[str, Json], breaks: str = ""
    ) -> str:
        """The action's id, to be named by the edges that it removes."""
        self._actions.setdefault(id, Action(id, mask(title), cost, origin, edit, mask(breaks)))
        return id

    def sibling(self, name: str) -> None:
        """One more of what the launch starts beside the sandbox."""
        self._siblings.setdefault(name)

    def graph(self) -> Graph:
        return Graph(
            self.start,
            tuple(self._nodes.values()),
            tuple(self._edges),
            tuple(self._barriers),
            tuple(self._actions.values()),
            tuple(self._siblings),
        )
