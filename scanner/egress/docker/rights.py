"""What a container's rights give it beyond plain sockets: ways out of itself, and routes of its own making."""

from dataclasses import replace

from scanner.egress import takeover
from scanner.egress.builder import to
from scanner.egress.docker import naming, peers, remedies, siblings
from scanner.egress.docker.engines import Engine
from scanner.egress.docker.scene import Attached
from scanner.egress.docker.sketch import Sketch
from scanner.egress.forwarders import forwarder_of
from scanner.model.egress import Destination, Mode, Permit
from scanner.model.launch import Container, Missing, Network


def draw(sketch: Sketch) -> None:
    """The rights of the sandbox itself."""
    container = sketch.container
    object = f"container:{container.name}"
    ways = takeover.takeovers(container.confinement, "docker", sketch.scene.assumed, name=container.name, object=object)
    takeover.draw(sketch.builder, sketch.start, ways, sketch.siblings)
    _processes(sketch)
    owner = sketch.scene.owners[container.name]
    root = takeover.root_missing(container.confinement, container.name, sketch.scene.assumed)
    if owner is not None and root is not None and sketch.guard_of(owner).own is None:
        own_routes(sketch, sketch.start, owner, root)


def own_routes(sketch: Sketch, source: str, owner: Container, root: tuple[Missing, ...]) -> None:
    """What the sandbox reaches once it makes routes of its own, from `source` on: its start, or where it is rid of the
    firewall within it, which whoever may make routes takes away as well."""
    if not takeover.holds(takeover.capabilities(sketch.container.confinement), "NET_ADMIN"):
        return
    attached = sketch.scene.attached(owner)
    if attached:
        routes = _net_admin(sketch, source, root)
        for one in attached:
            _own_routes(sketch, routes, one)
            _through_peers(sketch, routes, one, owner)
        naming.by_own_routes(sketch, routes, owner)


def _processes(sketch: Sketch) -> None:
    """Processes of siblings in sight: whoever may look into them (ptrace(2), PTRACE_MODE_READ) acts from where they are."""
    container, scene = sketch.container, sketch.scene
    mine = container.confinement.pid
    root = takeover.root_missing(container.confinement, container.name, scene.assumed)
    if root is None:
        return
    sure = takeover.holds(takeover.capabilities(container.confinement), "SYS_PTRACE")
    for there in scene.launch.containers:
        theirs = there.confinement.pid
        seen = mine is not None and (mine.value == "host" or siblings.borrowed(mine) in siblings.names(there))
        shows = theirs is not None and siblings.borrowed(theirs) in siblings.names(container)
        if (
            there.name == container.name
            or not (seen or shows)
            or (not sure and scene.assumed.flag("host.escape") is False)
        ):
            continue
        said = mine if seen else theirs
        assert said is not None
        why = f"{container.name} sees the processes of {there.name} and may act from within them"
        doubt = () if sure or scene.assumed.flag("host.escape") else (Missing("host.escape", why, said.origin),)
        inside = sketch.builder.node(f"inside:{there.name}", "container", f"inside {there.name}", there.origin)
        sketch.builder.edge(
            sketch.start, inside, "processes", why, mode=Mode.PIVOT, origin=said.origin, needs=("root",),
            missing=(*root, *doubt),
        )  # fmt: skip
        if sketch.once(inside):
            sketch.waiting.append((inside, there))
            object = f"container:{there.name}"
            ways = takeover.takeovers(there.confinement, "docker", scene.assumed, name=there.name, object=object)
            takeover.draw(sketch.builder, inside, ways, sketch.siblings, plain=False)


def _net_admin(sketch: Sketch, source: str, root: tuple[Missing, ...]) -> str:
    container = sketch.container
    confinement = container.confinement
    object = f"container:{container.name}"
    giving = takeover.drop_capability(confinement, object, "NET_ADMIN")
    origin = giving[0].origin if giving else container.origin
    for action in giving:
        sketch.builder.action(action.id, action.title, action.cost, action.origin, action.edit, action.breaks)
    actions = [action.id for action in giving]
    if confinement.privileged is not None and confinement.privileged.value:
        # either gives it, so that neither alone takes it away
        lowering = remedies.lowered(sketch, container, confinement.privileged.origin)
        actions = [] if giving else [lowering]
        origin = confinement.privileged.origin
    if source != sketch.start:
        actions = []  # without the right the firewall would not be set either
    routes = sketch.builder.node(f"routes:{container.name}", "routes", f"routes of {container.name}'s own", origin)
    why = f"CAP_NET_ADMIN lets {container.name} make routes of its own"
    sketch.builder.edge(
        source, routes, "capability", why, mode=Mode.PIVOT, origin=origin, needs=("root", "CAP_NET_ADMIN"),
        actions=actions, missing=root,
    )  # fmt: skip
    return routes


def _own_routes(sketch: Sketch, routes: str, one: Attached) -> None:
    """What the bridge's address leads to, once it is made the default route."""
    network, scene = one.network, sketch.scene
    detach = remedies.detaching(
        sketch, sketch.container, sketch.scene.owners[sketch.container.name] or sketch.container, one
    )
    closing = (*remedies.internal(sketch, network), *detach)
    for permit, missing in scene.across(lambda e: scene.lets(network, e).own_onward):
        why = f"a route of its own through {network.key}"
        for passed, more in sketch.rules.forwarded(network, permit).permits:
            sketch.onward(routes, (passed,), why, network.origin, closing, (*one.missing, *missing, *more))
    for permit, missing in scene.across(lambda e: scene.lets(network, e).own_host):
        why = f"a default route of its own through {network.key} reaches every address of the host"
        for passed, more in sketch.rules.to_host(network, permit).permits:
            held = (*one.missing, *missing, *more)
            sketch.builder.edge(
                routes, to(Destination.HOST), "own-route", why, origin=network.origin, permits=(passed,), actions=detach,
                missing=held,
            )  # fmt: skip
            if passed.reply:
                part = () if passed == Permit(passed.hosts) else (passed,)
                peers.on_host(sketch, routes, "the host's addresses", held, part)


def _through_peers(sketch: Sketch, routes: str, one: Attached, owner: Container) -> None:
    """A neighbour made the default route passes packets on by its kernel; answers come back where it translates addresses."""
    network, scene = one.network, sketch.scene
    for there, attached in scene.by_network.get(network.key, ()):
        if scene.together(there.name, owner.name):
            continue
        known = forwarder_of(there, scene.assumed)
        router = known is not None and known.kind == "router"
        held_there = takeover.holds(takeover.capabilities(there.confinement), "NET_ADMIN")
        may_be = (Missing(f"forwards.{there.name}", f"whether {there.name} translates addresses", there.origin),)
        for other in scene.attached_by_name(there.name):
            if other.network.key == network.key:
                continue
            for permit, missing in scene.across(lambda e, n=other.network: _let_pass(sketch, network, n, e)):  # type: ignore[misc]
                doubt = _unseen(sketch, network)
                if doubt is None:
                    continue
                why = f"{there.name}, made the default route, passes packets on to {other.network.key}"
                held = (*one.missing, *attached.missing, *other.missing, *missing, *doubt)
                passed = replace(permit, reply=permit.reply and router)
                sketch.onward(routes, (passed,), why, there.origin, (), held)
                if known is None and held_there and permit.reply:
                    sketch.onward(routes, (permit,), f"{why}, translated", there.origin, (), (*held, *may_be))


def _let_pass(sketch: Sketch, network: Network, beyond: Network, engine: Engine) -> tuple[Permit, ...]:
    """What a neighbour's other network lets out. On an internal network the engine's drops catch the frames on their way to
    the neighbour, as long as the firewall sees frames of bridges; engines from 28 on do not see to that themselves."""
    if network.internal.value and engine.filters_bridged:
        return ()
    return sketch.scene.lets(beyond, engine).onward


def _unseen(sketch: Sketch, network: Network) -> tuple[Missing, ...] | None:
    """Whether frames between containers of an internal network pass unseen by the firewall; None where they do not."""
    given = sketch.scene.assumed.flag("host.br-netfilter")
    if not network.internal.value or given is False:
        return ()
    if given:
        return None
    why = f"frames within the internal network {network.key} are dropped only where the host's firewall sees them"
    return (Missing("host.br-netfilter", why, network.internal.origin),)
