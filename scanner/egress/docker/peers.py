"""Siblings as they are reached: whole, by name and address; or by the ports that the host forwards to them, in part."""

from collections.abc import Sequence
from dataclasses import replace

from scanner.egress.builder import to
from scanner.egress.docker import mediation, networks, remedies, siblings
from scanner.egress.docker.guard import Passed
from scanner.egress.docker.networks import Peers
from scanner.egress.docker.scene import Attached
from scanner.egress.docker.sketch import Sketch
from scanner.model.egress import Destination, Permit
from scanner.model.launch import Container, Missing, Network, Origin

_EPHEMERAL = ((32768, 60999),)
"""Where the host takes a port from if a launch names none."""
_ANY_PORT = 32768
_ALSO = {
    "localhost": ("localhost", "127.0.0.0/8", "::1/128"),
    "host-service": ("host", "10.0.0.0/8", "100.64.0.0/10"),
}
"""What else one is called by, where a step leads to the caller's own loopback, or to the host."""


def whole(
    sketch: Sketch,
    node: str,
    there: Container,
    kind: str,
    why: str,
    *,
    origin: Origin | None = None,
    actions: Sequence[str] = (),
    missing: Sequence[Missing] = (),
    at: Network | None = None,
) -> None:
    """A sibling that is reached with all it serves, as far as the caller's own rules let it. `at`: on which network it is
    called; None where the way to it was judged before."""
    if there.name == sketch.container.name:
        return
    named = Permit((there.name,))
    passing: tuple[Passed, ...] = (Passed(named),)
    if kind == "localhost":
        passing = sketch.guard.loopback(named)
    elif at is not None:
        passing = sketch.guard.peer(there, at, named)
    if not passing:
        return
    id = sketch.builder.node(f"container:{there.name}", "container", there.name, there.origin)
    hosts = siblings.callable_as(there, (a.network for a in sketch.scene.attached_by_name(there.name)))
    for one in passing:
        called_by = (there.name,) if kind == "called" else (*hosts, *_ALSO.get(kind, ()))
        by = None if kind == "called" and one.permit == named else (replace(one.permit, hosts=called_by),)
        sketch.builder.edge(
            node, id, kind, f"{why}; {one.why}" if one.why else why, origin=one.origin or origin or there.origin,
            permits=by, actions=actions, missing=(*missing, *one.missing),
        )  # fmt: skip
    if sketch.once(id):
        services = f"services of {there.name}"
        sketch.builder.edge(id, to(Destination.SIBLINGS), "service", services, permits=(Permit((there.name,)),))
        mediation.passing_on(sketch, id, there)


def called(sketch: Sketch, node: str, there: Container, by: Container) -> None:
    """A sibling that another calls by its name, where they share a network or a namespace."""
    scene = sketch.scene
    mine = {a.network.key: a.missing for a in scene.attached_by_name(by.name)}
    for attached in scene.attached_by_name(there.name):
        if attached.network.key not in mine:
            continue
        for missing in scene.where(lambda e, n=attached.network: scene.lets(n, e).peers is Peers.OPEN):  # type: ignore[misc]
            why = f"{by.name} calls {there.name} on {attached.network.key}"
            held = (*mine[attached.network.key], *attached.missing, *missing)
            whole(sketch, node, there, "called", why, missing=held, at=attached.network)


def partly(
    sketch: Sketch,
    node: str,
    there: Container,
    kind: str,
    why: str,
    permits: Sequence[Permit],
    *,
    origin: Origin | None = None,
    actions: Sequence[str] = (),
    missing: Sequence[Missing] = (),
    ports: frozenset[int] | None = None,
    passing: Sequence[Passed] | None = None,
) -> None:
    """A sibling of which a part is reached: `permits` as seen by whoever calls, `ports` the container's own. `passing`: what
    the caller's own rules leave of the permits, where they were asked."""
    if there.name == sketch.container.name:
        return
    said = origin or there.origin
    words = "all" if ports is None else ",".join(map(str, sorted(ports)))
    id = f"part:{there.name}/{words}"
    for one in passing if passing is not None else [Passed(p) for p in permits]:
        sketch.builder.node(id, "container", f"{there.name}, in part", said)
        held = (*missing, *one.missing)
        reason, line = (f"{why}; {one.why}" if one.why else why), one.origin or said
        part = (replace(one.permit, hosts=(there.name,)),)
        sketch.builder.edge(
            node, to(Destination.SIBLINGS), kind, reason, origin=line, permits=part, actions=actions, missing=held
        )
        sketch.builder.edge(node, id, kind, reason, origin=line, actions=actions, missing=held)
    if (passing is None or passing) and sketch.once(id):
        mediation.passing_on(sketch, id, there, ports)


def published(
    sketch: Sketch, node: str, there: Container, network: Network | None, missing: Sequence[Missing], why: str
) -> None:
    """A sibling's ports that the host forwards to it, seen from `network` (None: from the host itself)."""
    scene = sketch.scene
    theirs = scene.attached_by_name(there.name)
    outside = [a for a in theirs if not a.network.internal.value]
    if not outside:
        return  # nothing is forwarded to a container on internal networks alone
    for held in scene.where(lambda e: any(scene.lets(a.network, e).from_host for a in outside)):
        for index, port in siblings.reachable_ports(there):
            number = port.host_port
            words = f"port {number or 'of the host (any)'} of the host is {there.name}'s {port.port}: {why}"
            part = (Permit((there.name,), port.protocol, ((number, number),) if number else _EPHEMERAL),)
            actions = (remedies.unpublished(sketch, there, index),)
            doubts: tuple[tuple[Missing, ...], ...] = ((),)
            if network is not None:
                ruled = sketch.rules.published(
                    network, outside[0].network, port.protocol, number or _ANY_PORT, port.port
                )
                doubts = tuple(dict.fromkeys(more for _, more in ruled.permits))
                passing = (*sketch.guard.bridge(network, part[0]), *sketch.guard.host(part[0]))
            else:
                passing = sketch.guard.loopback(part[0])
            for more in doubts:
                partly(
                    sketch, node, there, "published-port", words, part, origin=port.origin, actions=actions,
                    missing=(*missing, *held, *more), ports=frozenset((port.port,)), passing=tuple(dict.fromkeys(passing)),
                )  # fmt: skip


def on_link(sketch: Sketch, node: str, network: Network) -> None:
    """The other containers of a network."""
    scene = sketch.scene
    for there, attached in scene.by_network.get(network.key, ()):
        if there.name == sketch.container.name or scene.together(there.name, sketch.container.name):
            continue
        for how, missing in scene.across(lambda e: (scene.lets(network, e).peers,)):
            held = (*missing, *attached.missing)
            if how is Peers.OPEN:
                _neighbour(sketch, node, network, there, held)
            else:
                _kept_apart(sketch, node, network, there, how, held)


def _neighbour(sketch: Sketch, node: str, network: Network, there: Container, missing: Sequence[Missing]) -> None:
    why = f"{there.name} is on network {network.key} too"
    actions = (*remedies.leaving(sketch, there, network), *remedies.apart(sketch, network))
    ruled = sketch.rules.between(network)
    for permit, more in ruled.permits:
        held = (*missing, *more)
        if permit == Permit(permit.hosts):
            whole(sketch, node, there, "peer", why, actions=actions, missing=held, at=network)
        else:
            part = Permit((there.name,), permit.protocol, permit.ports, reply=permit.reply)
            passing = sketch.guard.peer(there, network, part)
            partly(sketch, node, there, "peer", why, (part,), actions=actions, missing=held, passing=passing)
    for words, place in ruled.dropped:
        sketch.builder.barrier(node, to(Destination.SIBLINGS), f"between containers of {network.key}: {words}", place)


def _kept_apart(
    sketch: Sketch, node: str, network: Network, there: Container, how: Peers, missing: Sequence[Missing]
) -> None:
    scene = sketch.scene
    said = network.option(networks.ICC)
    origin = said.origin if said is not None else network.origin
    why = f"containers of {network.key} are kept apart (icc is off)"
    sketch.builder.barrier(node, to(Destination.SIBLINGS), why, origin)
    if how is not Peers.PUBLISHED:
        return
    _linked(sketch, network, there, missing)
    for more in scene.where(lambda e: bool(scene.lets(network, e).host)):
        words = f"the host's address on {network.key} is reached"
        published(sketch, node, there, network, (*missing, *more), words)


def _linked(sketch: Sketch, network: Network, there: Container, missing: Sequence[Missing]) -> None:
    """A legacy link of the default bridge lets the exposed ports of the other through."""
    link = siblings.linked(sketch.container, there)
    if link is None or network.key != networks.DEFAULT_BRIDGE or sketch.container.network_mode.value != "bridge":
        return
    why = f"the link to {there.name} lets its exposed ports through"
    key = f"exposes.{there.name}"
    given = sketch.scene.assumed.flag(key)
    if siblings.exposes(there) or given:
        whole(sketch, sketch.start, there, "link", why, origin=link.origin, missing=missing, at=network)
    elif given is None:
        doubt = Missing(key, f"{why}; whether its image exposes any is not known", link.origin)
        whole(sketch, sketch.start, there, "link", why, origin=link.origin, missing=(*missing, doubt), at=network)


def on_host(sketch: Sketch, node: str, words: str, missing: Sequence[Missing], ports: Sequence[Permit] = ()) -> None:
    """Siblings that live in the host's network, once an address of the host is reached; `ports`: where only some are."""
    for there in sketch.scene.on_host:
        why = f"{there.name} lives in the host's network and is reached at {words}"
        origin = there.network_mode.origin
        if ports:
            part = tuple(Permit((there.name,), p.protocol, p.ports, reply=p.reply) for p in ports)
            partly(sketch, node, there, "host-service", why, part, origin=origin, missing=missing)
        else:
            whole(sketch, node, there, "host-service", why, origin=origin, missing=missing)
    if not ports or any(_names_engine(sketch, p) for p in ports):
        sketch.engine_port(node, words, missing, (words,))


def _names_engine(sketch: Sketch, permit: Permit) -> bool:
    port = sketch.scene.assumed.get("engine.tcp")
    if port in (None, "none") or permit.protocol not in ("tcp", "any") or not permit.reply:
        return False
    return any(first <= int(port or 0) <= last for first, last in permit.ports)


def elsewhere(sketch: Sketch, node: str, network: Network) -> None:
    """Siblings of other networks, behind the default route through this one: by published ports, or where they let others in."""
    scene = sketch.scene
    for there in scene.launch.containers:
        if there.name == sketch.container.name or scene.is_on(there.name, network):
            continue
        for missing in scene.where(lambda e: scene.lets(network, e).to_published):
            published(sketch, node, there, network, missing, f"{network.key} reaches what the host forwards")
        for one in scene.attached_by_name(there.name):
            _entered(sketch, node, network, there, one)


def _entered(sketch: Sketch, node: str, network: Network, there: Container, one: Attached) -> None:
    scene = sketch.scene
    if network.internal.value:
        return
    for missing in scene.where(
        lambda e: bool(scene.lets(network, e).onward) and scene.lets(one.network, e).enters is Peers.OPEN
    ):
        why = f"network {one.network.key} lets other networks in"
        whole(sketch, node, there, "routed", why, missing=(*one.missing, *missing), at=one.network)
    for missing in scene.where(
        lambda e: bool(scene.lets(network, e).onward) and scene.lets(one.network, e).enters is Peers.PUBLISHED
    ):
        for index, port in enumerate(there.published):
            why = f"network {one.network.key} is routed, and {there.name} publishes {port.port}"
            part = (Permit((there.name,), port.protocol, ((port.port, port.port),)),)
            actions = (remedies.unpublished(sketch, there, index),)
            partly(
                sketch, node, there, "routed", why, part, origin=port.origin, actions=actions,
                missing=(*one.missing, *missing), ports=frozenset((port.port,)),
                passing=sketch.guard.peer(there, one.network, part[0]),
            )  # fmt: skip
