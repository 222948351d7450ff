"""What siblings pass on: proxies, relays, resolvers and engines among them, on the network or by a socket in a shared folder."""

from collections.abc import Sequence
from dataclasses import replace

from scanner.egress import remedies, siblings, takeover
from scanner.egress.builder import NAMES, to
from scanner.egress.forwarders import Forwarder, forwarder_of
from scanner.egress.permits import address_range
from scanner.egress.resolver import DOCKER0
from scanner.egress.sketch import Sketch
from scanner.model.egress import Destination, Mode, Permit
from scanner.model.launch import Container, Missing, Origin

HOST_NAMES = frozenset(("host.docker.internal", "gateway.docker.internal", "host.containers.internal"))


def passing_on(sketch: Sketch, node: str, there: Container, ports: frozenset[int] | None = None) -> None:
    """What of what reaches a sibling at `node` goes on; `ports` are those of it that are reached, None all."""
    _engine_of_its_own(sketch, node, there, ports)
    known = forwarder_of(there, sketch.scene.assumed)
    if known is not None and known.kind in ("none", "router") and not known.missing:
        why = f"{there.name}: {known.why}"
        sketch.builder.barrier(node, _forwarder(sketch, there), why, known.origin)
        return
    if known is not None and ports and known.listens and not ports & {port for _, port in known.listens}:
        return
    to_forwarder(sketch, node, there, known, "passes-on")


def to_forwarder(
    sketch: Sketch,
    node: str,
    there: Container,
    known: Forwarder | None,
    kind: str,
    *,
    origin: Origin | None = None,
    actions: Sequence[str] = (),
    missing: Sequence[Missing] = (),
) -> None:
    """The edge to what a sibling's software passes on, and what that is."""
    if known is not None and known.kind == "engine":
        _engine(sketch, node, there, known, kind, origin, actions, missing)
        return
    forwarder = _forwarder(sketch, there)
    if known is None:
        why = f"whether the software of {there.name} passes traffic on is not known"
        doubt = Missing(f"forwards.{there.name}", why, there.image.origin if there.image else there.origin)
        sketch.builder.edge(
            node,
            forwarder,
            kind,
            why,
            mode=Mode.MEDIATED,
            origin=origin or there.origin,
            actions=actions,
            missing=(*missing, doubt),
        )
    else:
        held = (*missing, *known.missing)
        permits = _permits(sketch, there, known)
        sketch.builder.edge(
            node,
            forwarder,
            kind,
            f"{there.name}: {known.why}",
            mode=Mode.MEDIATED,
            origin=origin or known.origin,
            permits=permits,
            actions=actions,
            missing=held,
        )
        if known.resolves and any("*" in h or address_range(h) is not None for p in known.permits for h in p.hosts):
            asks = sketch.builder.node(
                f"asks:{there.name}", "resolver", f"names that {there.name} looks up", known.origin
            )
            why = f"{there.name} looks up the names that it is asked for"
            sketch.builder.edge(
                node, asks, "looks-up", why, mode=Mode.MEDIATED, origin=known.origin, permits=NAMES, actions=actions,
                missing=held,
            )  # fmt: skip
            if sketch.once(asks):
                sketch.asking.append((asks, there))
    if sketch.once(forwarder):
        sketch.waiting.append((forwarder, there))
        if known is None:
            _sockets(sketch, forwarder, there)


def _forwarder(sketch: Sketch, there: Container) -> str:
    return sketch.builder.node(f"forwarder:{there.name}", "forwarder", f"what {there.name} passes on", there.origin)


def _permits(sketch: Sketch, there: Container, known: Forwarder) -> tuple[Permit, ...]:
    """Its list, with the host's names for what is the host's."""
    own = {name.lower() for name, said in there.extra_hosts if said.value == "host-gateway"}
    gateways = {g for a in sketch.scene.attached_by_name(there.name) for g in a.network.gateways}
    found = []
    for permit in known.permits:
        found.append(permit)
        if any(h.lower() in HOST_NAMES | own or h.removesuffix("/32") in {DOCKER0, *gateways} for h in permit.hosts):
            tokens = [
                f"host at the address of {a.network.key}'s bridge" for a in sketch.scene.attached_by_name(there.name)
            ]
            found.append(replace(permit, hosts=("host", *tokens)))
    return tuple(found)


def _engine(
    sketch: Sketch,
    node: str,
    there: Container,
    known: Forwarder,
    kind: str,
    origin: Origin | None,
    actions: Sequence[str],
    missing: Sequence[Missing],
) -> None:
    """A sibling that serves an engine's API: whole, or what its filter lets through."""
    held = (*missing, *known.missing)
    whole = any("engine" in p.hosts for p in known.permits)
    why = f"{there.name}: {known.why}"
    if whole:
        takeover.taken(sketch.builder, "engine", sketch.siblings)
        sketch.builder.edge(
            node, "engine", kind, why, mode=Mode.PIVOT, origin=origin or known.origin, actions=actions, missing=held
        )
    else:
        sketch.builder.edge(
            node, to(Destination.ENGINE), kind, why, mode=Mode.MEDIATED, origin=origin or known.origin,
            permits=known.permits, actions=actions, missing=held,
        )  # fmt: skip


def _sockets(sketch: Sketch, forwarder: str, there: Container) -> None:
    """An engine's socket that a sibling of unknown software holds: whoever it lets through may reach it."""
    object = f"container:{there.name}"
    ways = takeover.takeovers(there.confinement, "docker", sketch.scene.assumed, name=there.name, object=object)
    takeover.draw(sketch.builder, forwarder, [w for w in ways if w.target == "engine"], sketch.siblings, plain=False)


def _engine_of_its_own(sketch: Sketch, node: str, there: Container, ports: frozenset[int] | None) -> None:
    """An engine that a sibling starts itself and offers on TCP; a certificate for it may lie in a folder that both mount."""
    served = siblings.engine_served(there)
    if served is None or (ports is not None and served.port not in ports):
        return
    folders = siblings.shared_folders(sketch.container, there)
    shared = next((one for one in folders if any("cert" in part.lower() for part in one)), None)
    if not served.open and shared is None:
        why = f"{served.why}, and {sketch.container.name} shares no folder with it of certificates"
        sketch.builder.barrier(node, to(Destination.ENGINE), why, there.origin)
        return
    why = served.why if served.open or shared is None else f"{served.why}; {shared[0]}, which both mount, holds one"
    sketch.to_engine(node, why, there.origin, (), (f"tcp {served.port}",))


def engine_named(sketch: Sketch) -> None:
    """DOCKER_HOST: an engine that the sandbox is told to use."""
    container, scene = sketch.container, sketch.scene
    said = next((v for k, v in container.environment if k == "DOCKER_HOST" and v.value), None)
    owner = scene.owners[container.name]
    if owner is None or said is None or said.value is None:
        return
    scheme, separator, rest = said.value.partition("://")
    if not separator or scheme not in ("tcp", "http", "https"):
        return
    address = rest.rstrip("/")
    host = (address.rpartition(":")[0] if ":" in address and not address.endswith("]") else address).strip("[]").lower()
    why = f"DOCKER_HOST says that an engine is at {address}"
    there = next((c for c in scene.launch.containers if c.name != container.name and host in siblings.called(c)), None)
    if there is not None:
        node = f"container:{there.name}"
        unknown = forwarder_of(there, scene.assumed) is None and siblings.engine_served(there) is None
        if sketch.drawn(node) and unknown:
            doubt = Missing(f"forwards.{there.name}", f"{why}; whether it is one is not known", said.origin)
            sketch.to_engine(node, why, said.origin, (doubt,))
        return
    if owner.network_mode.value == "host":
        sketch.to_engine("network:host", why, said.origin)
    on_host = host in HOST_NAMES or host == DOCKER0 or any(n.lower() == host for n, _ in container.extra_hosts)
    for one in scene.attached(owner):
        gateway = f"network:{one.network.key}/gateway"
        for missing in scene.where(
            lambda e, n=one.network: bool(scene.lets(n, e).routed_host if on_host else scene.lets(n, e).onward)  # type: ignore[misc]
        ):
            if sketch.drawn(gateway):
                sketch.to_engine(gateway, why, said.origin, missing)


def sockets_shared(sketch: Sketch) -> None:
    """Folders that the sandbox shares with siblings, in which one of them listens, or may listen, on a Unix socket."""
    for there in sketch.scene.launch.containers:
        if there.name == sketch.container.name:
            continue
        shared = list(siblings.shared_folders(sketch.container, there))
        if not shared:
            continue
        known = forwarder_of(there, sketch.scene.assumed)
        for source, mine, theirs in shared:
            if known is not None and known.kind != "none":
                if any(siblings.within(path, theirs) for path in known.unix_sockets):
                    _by_socket(sketch, there, known, source, mine)
            elif known is None:
                _by_socket(sketch, there, None, source, mine)
        _engine_in_folder(sketch, there, shared)


def _by_socket(sketch: Sketch, there: Container, known: Forwarder | None, source: str, mine: str) -> None:
    origin = next(m.origin for m in sketch.container.confinement.mounts if m.source == source)
    actions = remedies.unshared(sketch, sketch.container, source)
    place = sketch.builder.node(
        f"folder:{source}", "folder", f"{source}, which {there.name} mounts too, at {mine}", origin
    )
    why = f"{source} is shared with {there.name}, which listens there on a Unix socket"
    if known is None:
        why = f"{source} is shared with {there.name}, which may listen there on a Unix socket"
    sketch.builder.edge(sketch.start, place, "unix-socket", why, origin=origin, actions=actions)
    to_forwarder(sketch, place, there, known, "unix-socket", origin=origin)


def _engine_in_folder(sketch: Sketch, there: Container, shared: Sequence[tuple[str, str, str]]) -> None:
    """An engine of a sibling's own whose socket lies in a shared folder."""
    paths = siblings.engine_sockets(there)
    for source, _, theirs in shared:
        if any(siblings.within(path, theirs) for path in paths):
            origin = next(m.origin for m in sketch.container.confinement.mounts if m.source == source)
            why = f"the socket of {there.name}'s own engine lies in {source}, which {sketch.container.name} mounts too"
            sketch.to_engine(sketch.start, why, origin)
