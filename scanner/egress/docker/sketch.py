"""One container's graph while it is drawn: the builder, the launch around it, and what is still to be drawn."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scanner.egress.builder import ENGINE, EVERYWHERE, HOST, NAMES, Builder, to
from scanner.egress.docker.guard import OPEN, Guard, guard_of
from scanner.egress.docker.hostrules import HostRules
from scanner.egress.docker.resolver import Asked
from scanner.egress.docker.scene import Scene
from scanner.egress.permits import intersect
from scanner.egress.takeover import taken
from scanner.model.egress import Destination, Mode, Permit
from scanner.model.launch import Container, Missing, Network, Origin

ADDRESSED = (Destination.INTERNET, Destination.PRIVATE, Destination.METADATA)
QUESTIONS = (Permit(("0.0.0.0/0", "::/0"), "udp", ((53, 53),)), Permit(("0.0.0.0/0", "::/0"), "tcp", ((53, 53),)))
"""Questions to nameservers, wherever they are."""

_OTHERS = "what a file that was not read starts"


class Sketch:
    """`waiting` are nodes from which another container's own reach begins: what its software passes on. `asking` are those
    from which another container's names are asked, `calling_host` those from which it calls its host alone, `calling` another
    sibling alone, `names` what is known of how names leave from where somebody stands. `guard`: the rules in a namespace of
    its own that what is being drawn is seen through."""

    def __init__(self, scene: Scene, rules: HostRules, container: Container) -> None:
        self.scene = scene
        self.rules = rules
        self.container = container
        self.start = f"container:{container.name}"
        self.builder = Builder(self.start, "container", container.name, container.origin)
        self.siblings = tuple(c.name for c in scene.launch.containers if c.name != container.name)
        for name in self.siblings:
            self.builder.sibling(name)
        self.waiting: list[tuple[str, Container]] = []
        self.asking: list[tuple[str, Container]] = []
        self.calling: list[tuple[str, Container, Container]] = []
        self.calling_host: list[tuple[str, Container]] = []
        self.names: dict[object, tuple[tuple[Asked, tuple[Missing, ...]], ...]] = {}
        self.guard = OPEN
        self._guards: dict[str, Guard] = {}
        self._drawn: set[str] = set()

    def once(self, what: str) -> bool:
        """Whether this is to be drawn for the first time."""
        if what in self._drawn:
            return False
        self._drawn.add(what)
        return True

    def drawn(self, what: str) -> bool:
        return what in self._drawn

    def network(self, network: Network) -> str:
        """The node of a network's link, as it is seen through the rules in force."""
        id = f"network:{network.key}{self.guard.mark}"
        return self.builder.node(id, "network", f"network {network.key}", network.origin)

    def guard_of(self, owner: Container) -> Guard:
        """The rules that stand in a container's namespace."""
        if owner.name not in self._guards:
            self._guards[owner.name] = guard_of(self.scene, owner)
        return self._guards[owner.name]

    @contextmanager
    def behind(self, guard: Guard) -> Iterator[None]:
        """What is drawn meanwhile is seen through these rules."""
        before, self.guard = self.guard, guard
        try:
            yield
        finally:
            self.guard = before

    def onward(
        self,
        node: str,
        permits: Sequence[Permit],
        why: str,
        origin: Origin,
        actions: Sequence[str] = (),
        missing: Sequence[Missing] = (),
    ) -> None:
        """What leaves the host from here, and the nameservers that can be asked among it."""
        for destination in ADDRESSED:
            if destination is Destination.METADATA and self.scene.assumed.flag("host.metadata") is False:
                self.builder.barrier(node, to(destination), "no metadata service answers there")
                continue
            self.builder.edge(
                node,
                to(destination),
                "forwarded",
                why,
                origin=origin,
                permits=permits,
                actions=actions,
                missing=missing,
            )
        asking = intersect(tuple(permits), QUESTIONS)
        if asking:
            reply = any(p.reply for p in asking)
            part = (Permit(("any nameserver that is reached",), "any", ((53, 53),), reply=reply),)
            why = "port 53 is reached outside, so that any nameserver there can be asked"
            self.builder.edge(
                node,
                to(Destination.DNS),
                "nameserver",
                why,
                origin=origin,
                permits=part,
                actions=actions,
                missing=missing,
            )

    def engine_port(self, node: str, words: str, missing: Sequence[Missing] = (), host: Sequence[str] = ()) -> None:
        """The engine's own TCP port, where it is assumed to have one and the host is reached by the names in `host`."""
        port = self.scene.assumed.get("engine.tcp")
        if port not in (None, "none"):
            why = f"the engine listens on TCP {port} of the host for anybody ({words})"
            reached = (Permit(("0.0.0.0/0", "::/0", "host", *host), "tcp", ((int(port or 0), int(port or 0)),)),)
            self.to_engine(node, why, None, missing, (f"tcp {port}",), reached)

    def to_engine(
        self,
        node: str,
        why: str,
        origin: Origin | None,
        missing: Sequence[Missing] = (),
        needs: Sequence[str] = (),
        permits: Sequence[Permit] | None = None,
    ) -> None:
        """An engine that is commanded from `node`; `permits` where only what reaches a port of the host's does so."""
        taken(self.builder, "engine", self.siblings)
        self.builder.edge(
            node,
            "engine",
            "engine-port",
            why,
            mode=Mode.PIVOT,
            origin=origin,
            permits=permits,
            missing=missing,
            needs=needs,
        )

    def _has_others(self, missing: Missing) -> bool:
        """Whether there are siblings, or may be: what a file that was not read adds is the launch's too."""
        return bool(self.siblings) or missing.key.startswith("adds.")

    def anywhere(self, node: str, kind: str, missing: Missing, *, mode: Mode = Mode.DIRECT, sure: bool = False) -> None:
        """Everything, if a fact holds that is not known; or `sure`, where it is assumed to hold."""
        unknown = self.builder.node(f"unknown:{missing.key}", "unknown", missing.why, missing.origin)
        held = () if sure else (missing,)
        self.builder.edge(node, unknown, kind, missing.why, mode=mode, origin=missing.origin, missing=held)
        everything = (
            *((d, EVERYWHERE) for d in ADDRESSED),
            (Destination.HOST, HOST),
            (Destination.ENGINE, ENGINE),
            (Destination.DNS, NAMES),
            (Destination.SIBLINGS, (Permit(self.siblings or (_OTHERS,)),) if self._has_others(missing) else ()),
        )
        for destination, permits in everything:
            self.builder.edge(unknown, to(destination), kind, missing.why, permits=permits)
