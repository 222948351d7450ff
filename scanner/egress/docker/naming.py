"""How names of a container leave, drawn: its configured resolver, what that asks, and what would stop it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from scanner.egress.builder import EVERYWHERE, NAMES, to
from scanner.egress.docker import networks, remedies, siblings
from scanner.egress.docker.engines import Engine
from scanner.egress.docker.guard import Guard
from scanner.egress.docker.resolver import ASKING, Asked, Link, Neighbour, asked, resolver
from scanner.egress.docker.scene import Attached
from scanner.egress.docker.sketch import QUESTIONS, Sketch
from scanner.egress.forwarders import forwarder_of
from scanner.egress.permits import intersect
from scanner.model.egress import Destination, Permit
from scanner.model.launch import Container, Missing, Said

Way = tuple[Asked, tuple[Missing, ...]]

_DEPTH = 4
"""How many siblings may ask each other for names, one after another."""


def draw(sketch: Sketch, node: str, container: Container) -> None:
    """The configured resolver of a container's namespace, from `node` on."""
    owner, _ = siblings.owner(sketch.scene.launch, container)
    kind = resolver(owner) if owner is not None else None
    if owner is None or kind is None:
        return
    id = sketch.builder.node(f"resolver:{owner.name}{sketch.guard.mark}", "resolver", kind.words, kind.origin)
    words = f"names of {owner.name} go to {kind.words}"
    actions = (remedies.without_network(sketch, container),)
    sketch.builder.edge(node, id, "resolver", words, origin=kind.origin, actions=actions)
    if not sketch.once(id):
        return
    closing = (*remedies.unresolving(sketch, owner), *_internal(sketch, owner))
    origin = owner.dns[0].origin if owner.dns else kind.origin
    found = False
    for one, missing in _ways(sketch, owner, sketch.guard):
        if one.by is None:
            found = True
            reply = all(p.reply for p in one.permits)
            why = f"names that {owner.name} asks for leave" + ("" if reply else ", but no answer comes back")
            sketch.builder.edge(
                id,
                to(Destination.DNS),
                "names",
                why,
                origin=origin,
                permits=one.permits,
                actions=closing,
                missing=missing,
            )
            continue
        for permits, more, why in _by_sibling(sketch, owner, one.by, _DEPTH):
            found = True
            sketch.builder.edge(
                id, to(Destination.DNS), "names", why, origin=origin, permits=permits, missing=(*missing, *more)
            )
    if not found:
        why = f"{kind.words}: no way to a nameserver outside"
        sketch.builder.barrier(id, to(Destination.DNS), why, origin)


def by_own_routes(sketch: Sketch, routes: str, owner: Container) -> None:
    """What the configured resolver reaches once the container sets its own default route (NET_ADMIN)."""
    scene = sketch.scene
    attached = scene.attached(owner)
    neighbours = tuple(scene.neighbours(owner))
    for chosen in attached:

        def ask(engine: Engine, chosen: Attached = chosen) -> Iterator[Asked]:
            links = []
            for one in attached:
                let = scene.lets(one.network, engine)
                if one is chosen:
                    let = replace(let, gateway=True, onward=let.own_onward, routed_host=let.own_host)
                links.append(Link(one.attachment, one.network, let))
            yield from asked(owner, links, chosen.network.key, engine, neighbours)

        doubt = tuple(m for a in attached for m in a.missing)
        for one, missing in scene.across(ask):
            if one.by is None and one.to is not None:
                for passing, more in _past_rules(sketch, attached, one):
                    why = f"the resolver of {owner.name} asks by a route of its own through {chosen.network.key}"
                    sketch.builder.edge(
                        routes, to(Destination.DNS), "names", why, origin=chosen.network.origin, permits=passing.permits,
                        missing=(*doubt, *missing, *more),
                    )  # fmt: skip


def _ways(sketch: Sketch, owner: Container, guard: Guard) -> tuple[Way, ...]:
    """How its names leave; alike for all that stand on the same networks and are given no nameservers of their own."""
    if owner.dns or guard.own is not None:
        return tuple(_ways_of(sketch, owner, guard))
    attached = tuple((a.network.key, a.attachment.gw_priority) for a in sketch.scene.attached(owner))
    key = (owner.network_mode.value, attached)
    if key not in sketch.names:
        sketch.names[key] = tuple(_ways_of(sketch, owner, guard))
    return sketch.names[key]


def _ways_of(sketch: Sketch, owner: Container, guard: Guard) -> Iterator[Way]:
    """By the networks that are there for sure, and by those that may be."""
    scene = sketch.scene
    kind = resolver(owner)
    attached = scene.attached(owner)
    certain = tuple(a for a in attached if not a.missing)
    neighbours = tuple(scene.neighbours(owner))
    for some in dict.fromkeys((certain, attached)):
        doubt = tuple(m for a in some for m in a.missing)

        def ask(engine: Engine, some: Sequence[Attached] = some) -> Iterator[tuple[Asked, tuple[Missing, ...]]]:
            for question in _asked(sketch, owner, some, engine, neighbours):
                for one, doubts in guard.asked(question, kind.kind if kind is not None else ""):
                    for passed, more in _past_rules(sketch, some, one):
                        yield passed, (*doubts, *more)

        for (one, more), missing in scene.across(ask):
            yield one, (*doubt, *missing, *more)


def _asked(
    sketch: Sketch, owner: Container, attached: Sequence[Attached], engine: Engine, neighbours: Sequence[Neighbour]
) -> Iterator[Asked]:
    links = [Link(a.attachment, a.network, sketch.scene.lets(a.network, engine)) for a in attached]
    route = networks.default_route([(link.attachment, link.network, link.lets) for link in links], engine)
    yield from asked(owner, links, route, engine, neighbours)


def _past_rules(
    sketch: Sketch, attached: Sequence[Attached], one: Asked
) -> Iterator[tuple[Asked, tuple[Missing, ...]]]:
    """What the host's rules leave of questions that are asked from inside."""
    if one.to is None or not attached:
        yield one, ()
        return
    question = Permit((one.to,), "udp", ((53, 53),))
    for attachment in attached:
        if attachment.network.key == one.through:
            for permit, more in sketch.rules.forwarded(attachment.network, question).permits:
                yield Asked(tuple(replace(p, reply=permit.reply and p.reply) for p in one.permits)), more


def _by_sibling(
    sketch: Sketch, owner: Container, name: str, depth: int
) -> Iterator[tuple[tuple[Permit, ...], tuple[Missing, ...], str]]:
    """What a nameserver among the siblings asks on: what its own namespace lets out."""
    there = sketch.scene.launch.container(name)
    if there is None or depth == 0:
        return
    why = f"{owner.name} asks {there.name} for names"
    known = forwarder_of(there, sketch.scene.assumed)
    theirs = sketch.scene.owners[there.name]
    if theirs is None:
        return
    if known is None:
        doubt = Missing(f"forwards.{there.name}", f"{why}; whether it asks on is not known", there.origin)
        sides: tuple[tuple[tuple[Permit, ...], tuple[Missing, ...]], ...] = ((NAMES, (doubt,)),)
    else:
        sides = ((known.permits, ()), (known.perhaps, known.missing))
    words = f"{why}, which asks on" + ("" if known is None else f": {known.why}")
    for permits, held in sides:
        for passed, more in _asked_on(sketch, there, theirs, permits, depth):
            yield passed, (*held, *more), words


def _asked_on(
    sketch: Sketch, there: Container, theirs: Container, permits: tuple[Permit, ...], depth: int
) -> Iterator[tuple[tuple[Permit, ...], tuple[Missing, ...]]]:
    """What a sibling that may ask for `permits` gets out of its own namespace: by its own resolver, or by packets."""
    if any("names" in p.hosts for p in permits):
        for one, missing in _ways(sketch, theirs, sketch.guard_of(theirs)):
            if one.by is None:
                yield one.permits, missing
            else:
                for passed, more, _ in _by_sibling(sketch, there, one.by, depth - 1):
                    yield passed, (*missing, *more)
        permits = EVERYWHERE
    question = intersect(permits, QUESTIONS)
    if not question:
        return
    if theirs.network_mode.value == "host":
        yield ASKING, ()
    for attached in sketch.scene.attached(theirs):
        for permit, missing in sketch.scene.across(lambda e, n=attached.network: sketch.scene.lets(n, e).onward):  # type: ignore[misc]
            for asking in intersect((permit,), question):
                for past, more in sketch.rules.forwarded(attached.network, asking).permits:
                    answered = tuple(replace(p, reply=past.reply) for p in ASKING)
                    yield answered, (*attached.missing, *missing, *more)


def _internal(sketch: Sketch, owner: Container) -> Iterator[str]:
    """Networks that close the resolver's way out once they are internal: the model is asked, engine by engine."""
    scene = sketch.scene
    attached = scene.attached(owner)
    neighbours = tuple(scene.neighbours(owner))
    for one in attached:
        ids = remedies.internal(sketch, one.network)
        closed = replace(one.network, internal=Said(True, one.network.origin))
        after = [replace(a, network=closed) if a is one else a for a in attached]

        def shut(engine: Engine, after: Sequence[Attached] = after) -> bool:
            return not any(True for _ in _asked(sketch, owner, after, engine, neighbours))

        if ids and scene.everywhere(shut):
            yield from ids
