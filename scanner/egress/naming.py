"""How names of a container leave, drawn: its configured resolver, what that asks, and what would stop it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from scanner.egress import networks, remedies, siblings
from scanner.egress.builder import to
from scanner.egress.engines import Engine
from scanner.egress.forwarders import forwarder_of
from scanner.egress.resolver import ASKING, Asked, Link, asked, resolver
from scanner.egress.scene import Attached
from scanner.egress.sketch import Sketch
from scanner.model.egress import Destination, Permit
from scanner.model.launch import Container, Missing, Said

_DEPTH = 4
"""How many siblings may ask each other for names, one after another."""


def draw(sketch: Sketch, node: str, container: Container) -> None:
    """The configured resolver of a container's namespace, from `node` on."""
    owner, _ = siblings.owner(sketch.scene.launch, container)
    kind = resolver(owner) if owner is not None else None
    if owner is None or kind is None:
        return
    id = sketch.builder.node(f"resolver:{owner.name}", "resolver", kind.words, kind.origin)
    words = f"names of {owner.name} go to {kind.words}"
    actions = (remedies.without_network(sketch, container),)
    sketch.builder.edge(node, id, "resolver", words, origin=kind.origin, actions=actions)
    if not sketch.once(id):
        return
    closing = (*remedies.unresolving(sketch, owner), *_internal(sketch, owner))
    origin = owner.dns[0].origin if owner.dns else kind.origin
    found = False
    for one, missing in _ways(sketch, owner):
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


def _ways(sketch: Sketch, owner: Container) -> Iterator[tuple[Asked, tuple[Missing, ...]]]:
    """How its names leave: by the networks that are there for sure, and by those that may be."""
    scene = sketch.scene
    attached = scene.attached(owner)
    certain = tuple(a for a in attached if not a.missing)
    addresses = tuple(scene.addresses(owner))
    for some in dict.fromkeys((certain, attached)):
        doubt = tuple(m for a in some for m in a.missing)

        def ask(engine: Engine, some: Sequence[Attached] = some) -> Iterator[Asked]:
            return _asked(sketch, owner, some, engine, addresses)

        for one, missing in scene.across(ask):
            for passing, more in _past_rules(sketch, some, one):
                yield passing, (*doubt, *missing, *more)


def _asked(
    sketch: Sketch, owner: Container, attached: Sequence[Attached], engine: Engine, addresses: Sequence[tuple[str, str]]
) -> Iterator[Asked]:
    links = [Link(a.attachment, a.network, networks.lets(a.network, engine, sketch.scene.flags)) for a in attached]
    route = networks.default_route([(link.attachment, link.network, link.lets) for link in links], engine)
    yield from asked(owner, links, route, engine, addresses)


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
                reply = permit.reply and all(p.reply for p in one.permits)
                yield replace(one, permits=tuple(replace(p, reply=reply) for p in ASKING)), more


def _by_sibling(
    sketch: Sketch, owner: Container, name: str, depth: int
) -> Iterator[tuple[tuple[Permit, ...], tuple[Missing, ...], str]]:
    """What a nameserver among the siblings asks on: what its own namespace lets out."""
    there = sketch.scene.launch.container(name)
    if there is None or depth == 0:
        return
    known = forwarder_of(there, sketch.scene.assumed)
    why = f"{owner.name} asks {there.name} for names"
    if known is not None and known.kind != "dns" and not known.missing:
        return
    doubt: tuple[Missing, ...] = known.missing if known is not None else ()
    if known is None:
        key = f"forwards.{there.name}"
        doubt = (Missing(key, f"{why}; whether it asks on is not known", there.origin),)
    whole = known is None or any("names" in p.hosts for p in known.permits)
    theirs = sketch.scene.owners[there.name]
    if theirs is None:
        return
    words = f"{why}, which asks on" + ("" if known is None else f": {known.why}")
    for one, missing in _ways(sketch, theirs):
        if one.by is None:
            permits = one.permits if whole else (Permit((f"names that {there.name} lets through",)),)
            yield permits, (*doubt, *missing), words
        else:
            for permits, more, _ in _by_sibling(sketch, there, one.by, depth - 1):
                yield permits, (*doubt, *missing, *more), words
    for attached in sketch.scene.attached(theirs):
        # its own upstream need not be the engine's resolver
        question = Permit(("0.0.0.0/0",), "udp", ((53, 53),))
        for missing in sketch.scene.where(
            lambda e, n=attached.network: any(p.reply for p in sketch.scene.lets(n, e).onward)  # type: ignore[misc]
        ):
            for permit, more in sketch.rules.forwarded(attached.network, question).permits:
                permits = tuple(replace(p, reply=permit.reply) for p in ASKING)
                yield permits, (*doubt, *attached.missing, *missing, *more), words


def _internal(sketch: Sketch, owner: Container) -> Iterator[str]:
    """Networks that close the resolver's way out once they are internal: the model is asked, engine by engine."""
    scene = sketch.scene
    attached = scene.attached(owner)
    addresses = tuple(scene.addresses(owner))
    for one in attached:
        ids = remedies.internal(sketch, one.network)
        closed = replace(one.network, internal=Said(True, one.network.origin))
        after = [replace(a, network=closed) if a is one else a for a in attached]

        def shut(engine: Engine, after: Sequence[Attached] = after) -> bool:
            return not any(True for _ in _asked(sketch, owner, after, engine, addresses))

        if ids and scene.everywhere(shut):
            yield from ids
