"""Docker's semantics: from a container of a launch to the graph of what it reaches.

A network is two nodes: `network:K`, its link (the neighbours, the bridge's own address), and `network:K/gateway`, what lies
behind the default route through it. What is true of a network is drawn once, whoever is on it: the sandbox, or a sibling
that passes its traffic on. Where engines differ and nobody said which one it is, the edge carries that fact.

The rooms: engines.py (versions), networks.py (what a network lets through), resolver.py (DNS), siblings.py and scene.py (who
lives where), hostrules.py (a ruleset), guard.py and own_rules.py (rules in the container itself), takeover.py (rights); drawn by peers.py, mediation.py, naming.py, rights.py, with the
edits of remedies.py.
"""

from collections.abc import Sequence
from dataclasses import replace

from scanner.egress.assumptions import Assumed
from scanner.egress.builder import EVERYWHERE, HOST, to
from scanner.egress.docker import mediation, naming, networks, peers, remedies, rights, siblings
from scanner.egress.docker.engines import Engine
from scanner.egress.docker.guard import OPEN, Guard, Passed
from scanner.egress.docker.hostrules import HostRules
from scanner.egress.docker.scene import Attached, Scene
from scanner.egress.docker.sketch import ADDRESSED, Sketch
from scanner.egress.firewall import Ruleset
from scanner.model.egress import Destination, Graph, Mode, Permit
from scanner.model.launch import Container, Launch, Missing, Network


def container_graph(launch: Launch, container: Container, assumed: Assumed, ruleset: Ruleset | None = None) -> Graph:
    """What one container of the launch reaches, and by which steps."""
    scene = Scene(launch, assumed)
    sketch = Sketch(scene, HostRules(ruleset, scene), container)
    _from(sketch, sketch.start, container)
    rights.draw(sketch)
    _unguarded(sketch, container)
    mediation.engine_named(sketch)
    mediation.sockets_shared(sketch)
    mediation.sockets_of_host(sketch)
    while sketch.waiting or sketch.asking or sketch.calling_host or sketch.calling:
        while sketch.waiting:
            _from(sketch, *sketch.waiting.pop())
        while sketch.asking:
            node, there = sketch.asking.pop()
            with sketch.behind(_guard(sketch, there)):
                naming.draw(sketch, node, there)
        while sketch.calling_host:
            node, there = sketch.calling_host.pop()
            with sketch.behind(_guard(sketch, there)):
                _call_host(sketch, node, there)
        while sketch.calling:
            node, there, other = sketch.calling.pop()
            with sketch.behind(_guard(sketch, there)):
                peers.called(sketch, node, other, there)
    graph = sketch.builder.graph()
    if any(edge.target == to(Destination.ENGINE) for edge in graph.edges):
        return graph
    why = f"{container.name} has no engine's socket, no privilege and no mount that gives the host away"
    sketch.builder.barrier(sketch.start, to(Destination.ENGINE), why, container.origin)
    return sketch.builder.graph()


def _guard(sketch: Sketch, container: Container) -> Guard:
    owner = sketch.scene.owners[container.name]
    return sketch.guard_of(owner) if owner is not None else OPEN


def _from(sketch: Sketch, node: str, container: Container) -> None:
    """Networks and names of a container from `node` on, through the rules that stand in its namespace."""
    with sketch.behind(_guard(sketch, container)):
        _reach(sketch, node, container)
        naming.draw(sketch, node, container)
        for words, place in sketch.guard.dropped:
            for destination in (*ADDRESSED, Destination.HOST, *([Destination.SIBLINGS] if sketch.siblings else [])):
                sketch.builder.barrier(node, to(destination), words, place)


def _unguarded(sketch: Sketch, container: Container) -> None:
    """What the networks alone let through, for whoever takes the rules away, or where they were never set."""
    own = _guard(sketch, container).own
    if own is None:
        return
    from scanner.egress.scripts.firewall_script import undone

    undo = undone(container, sketch.scene.assumed.flag(f"root.{container.name}"))
    node = f"unguarded:{container.name}"
    words = f"{container.name} without the firewall of {own.container.name}"
    sketch.builder.node(node, "rights", words, own.firewall.origin)
    # who sets the rules without sudo is the agent itself: as root it takes them away, and nobody else sets them
    sure = own.unset and container.name == own.container.name
    if undo.answer is not False or sure:
        why = f"{container.name} may take away the firewall that {own.container.name} sets up: {undo.why}"
        sketch.builder.edge(
            sketch.start, node, "firewall-undone", why, mode=Mode.PIVOT, origin=undo.origin,
            needs=("root", "CAP_NET_ADMIN"), missing=() if sure else undo.missing,
        )  # fmt: skip
    else:
        sketch.builder.barrier(sketch.start, node, f"nobody takes the firewall away: {undo.why}", undo.origin)
    if own.unset:
        why = f"the firewall of {own.container.name} does not stand if its script does not run as root"
        sketch.builder.edge(sketch.start, node, "firewall-unset", why, origin=own.firewall.origin, missing=own.unset)
    if undo.answer is not False or own.unset:
        _reach(sketch, node, container)
        naming.draw(sketch, node, container)
        owner = sketch.scene.owners[container.name]
        if owner is not None:
            rights.own_routes(sketch, node, owner, ())


def _reach(sketch: Sketch, node: str, container: Container) -> None:
    """The networks of a container's namespace, from `node` on."""
    scene = sketch.scene
    owner, missing = siblings.owner(scene.launch, container)
    for left_open in dict.fromkeys((*container.missing, *(owner.missing if owner is not None else ()))):
        sketch.anywhere(node, "left-open", left_open)
    if owner is None:
        for unknown in missing:
            _borrowed(sketch, node, unknown)
        return
    if owner.network_mode.value == "host":
        _host(sketch, node, container, owner)
    else:
        attached = scene.attached(owner)
        if not attached:
            _nowhere(sketch, node, owner)
        for one in attached:
            _join(sketch, node, container, owner, one)
        for one in attached:
            _follow(sketch, node, container, owner, one, attached)
    for there in scene.launch.containers:
        theirs = scene.owners[there.name]
        if theirs is not None and theirs.name == owner.name and owner.network_mode.value != "host":
            why = f"{there.name} shares the network namespace of {owner.name}: localhost"
            peers.whole(sketch, node, there, "localhost", why)


def _borrowed(sketch: Sketch, node: str, missing: Missing) -> None:
    """The namespace of a container that the launch does not hold: everything, unless it is assumed to be none."""
    given = sketch.scene.assumed.get(missing.key)
    if given == "none":
        sketch.builder.barrier(
            node, to(Destination.INTERNET), f"{missing.why}, and is assumed to be none", missing.origin
        )
        return
    if given is None:
        sketch.anywhere(node, "network", missing)
        return
    origin = missing.origin if missing.origin is not None else sketch.container.origin
    key = missing.key.removeprefix("network.")
    plain = replace(networks.default_bridge(origin), key=key, name=None, external=True)
    judged, _ = networks.known(plain, given)
    assert judged is not None
    link = _link(sketch, judged)
    sketch.builder.edge(node, link, "attached", missing.why, origin=origin)
    for differing in sketch.scene.where(lambda e: sketch.scene.lets(judged, e).gateway):
        sketch.builder.edge(
            node, _gateway(sketch, judged), "default-route", missing.why, origin=origin, missing=differing
        )


def _nowhere(sketch: Sketch, node: str, owner: Container) -> None:
    mode = owner.network_mode
    why = f"{owner.name} has no network" + (" (network_mode: none)" if mode.value == "none" else "")
    for destination in (*ADDRESSED, Destination.HOST, Destination.DNS, Destination.SIBLINGS):
        sketch.builder.barrier(node, to(destination), why, mode.origin)


def _join(sketch: Sketch, node: str, container: Container, owner: Container, one: Attached) -> None:
    sketch.builder.edge(
        node,
        _link(sketch, one.network),
        "attached",
        f"{owner.name} is on network {one.network.key}",
        origin=one.attachment.origin,
        actions=remedies.detaching(sketch, container, owner, one),
        missing=one.missing,
    )


def _follow(
    sketch: Sketch, node: str, container: Container, owner: Container, one: Attached, attached: Sequence[Attached]
) -> None:
    """The default route, where this network has it; one that may not be there is taken to have it too."""
    scene = sketch.scene
    known = [a for a in attached if not a.missing]

    def routed(engine: Engine) -> bool:
        if one.missing:
            return scene.lets(one.network, engine).gateway
        candidates = [(a.attachment, a.network, scene.lets(a.network, engine)) for a in known]
        return networks.default_route(candidates, engine) == one.network.key

    beside = tuple(
        a.network.key
        for a in attached
        if a.network.key != one.network.key
        and (a.network.driver.value in networks.LANS or sketch.rules.narrows(a.network))
    )
    for differing in scene.where(routed):
        sketch.builder.edge(
            node,
            _gateway(sketch, one.network, beside),
            "default-route",
            f"the default route of {owner.name} leads through {one.network.key}",
            origin=one.attachment.origin,
            actions=(
                *remedies.detaching(sketch, container, owner, one),
                *remedies.unrouted(sketch, one.network),
            ),
            missing=(*one.missing, *differing),
        )


# ---- the host's own network


def _host(sketch: Sketch, node: str, container: Container, owner: Container) -> None:
    scene, mode = sketch.scene, owner.network_mode
    host = sketch.builder.node(f"network:host{sketch.guard.mark}", "network", "the host's network", mode.origin)
    why = f"{owner.name} lives in the host's network"
    closing = (remedies.without_network(sketch, container),)
    sketch.builder.edge(node, host, "host-network", why, origin=mode.origin, actions=closing)
    if not sketch.once(host):
        return
    for whole in EVERYWHERE[0].hosts:
        passing = sketch.rules.from_host(Permit((whole,)))
        for permit, missing in passing.permits:
            for part in sketch.guard.onward(permit):
                held = (*missing, *part.missing)
                sketch.onward(host, (part.permit,), _by(why, part), part.origin or mode.origin, missing=held)
        for words, place in passing.dropped:
            sketch.builder.barrier(host, to(Destination.INTERNET), words, place)
    for local in sketch.guard.loopback(HOST[0]):
        sketch.builder.edge(
            host, to(Destination.HOST), "host-network", _by(why, local), origin=local.origin or mode.origin,
            permits=(local.permit,), missing=local.missing,
        )  # fmt: skip
    peers.on_host(sketch, host, "localhost", ())
    for there in scene.launch.containers:
        for one in scene.attached_by_name(there.name):
            for missing in scene.where(lambda e, n=one.network: scene.lets(n, e).from_host):  # type: ignore[misc]
                words = f"the host has an address on network {one.network.key}, where {there.name} is"
                held = (*one.missing, *missing)
                peers.whole(sketch, host, there, "host-network", words, missing=held, at=one.network)
        peers.published(sketch, host, there, None, (), "the host forwards it")


# ---- a network's link


def _link(sketch: Sketch, network: Network) -> str:
    """What is on the link itself: the bridge's own address, the neighbours, a LAN."""
    scene, node = sketch.scene, sketch.network(network)
    if not sketch.once(node):
        return node
    for permit, missing in scene.across(lambda e: scene.lets(network, e).host):
        why = f"the host's own address on {network.key}: what goes there passes INPUT, where the engine has no rules"
        _to_host(sketch, node, network, permit, "bridge-address", why, remedies.isolated(sketch, network), missing)
    for permit, missing in scene.across(lambda e: scene.lets(network, e).near):
        why = f"neighbours on the LAN of {network.key}'s parent interface"
        for one in sketch.guard.onward(permit):
            held = (*missing, *one.missing)
            sketch.onward(node, (one.permit,), _by(why, one), one.origin or network.origin, missing=held)
    peers.on_link(sketch, node, network)
    _barriers(sketch, node, network)
    return node


def _to_host(
    sketch: Sketch,
    node: str,
    network: Network,
    permit: Permit,
    kind: str,
    why: str,
    actions: Sequence[str],
    missing: Sequence[Missing],
) -> None:
    """Addresses of the host and what listens there, as far as INPUT lets it."""
    six = "IPv6" in permit.hosts[0]
    on_link = kind == "bridge-address"
    for one in sketch.guard.bridge(network, permit, six) if on_link else sketch.guard.host(permit):
        passing = sketch.rules.to_host(network, one.permit, six)
        for passed, more in passing.permits:
            held = (*missing, *one.missing, *more)
            sketch.builder.edge(
                node,
                to(Destination.HOST),
                kind,
                _by(why, one),
                origin=one.origin or network.origin,
                permits=(passed,),
                actions=actions,
                missing=held,
            )
            part = () if passed == Permit(passed.hosts) else (passed,)
            peers.on_host(sketch, node, passed.hosts[0], held, part)
        for words, place in passing.dropped:
            sketch.builder.barrier(node, to(Destination.HOST), words, place)


def _call_host(sketch: Sketch, node: str, container: Container) -> None:
    """The host alone, from where a container is: what a relay to the host reaches."""
    scene = sketch.scene
    owner = scene.owners[container.name]
    if owner is None or owner.network_mode.value == "host":
        why = f"{container.name} lives in the host's network"
        sketch.builder.edge(node, to(Destination.HOST), "host-network", why, origin=container.origin, permits=HOST)
        peers.on_host(sketch, node, "localhost", ())
        return
    for one in scene.attached(owner):
        why = f"an address of the host, by {one.network.key}"
        for permit, missing in scene.across(lambda e, n=one.network: scene.lets(n, e).host):  # type: ignore[misc]
            _to_host(sketch, node, one.network, permit, "bridge-address", why, (), (*one.missing, *missing))
        for permit, missing in scene.across(lambda e, n=one.network: scene.lets(n, e).routed_host):  # type: ignore[misc]
            _to_host(sketch, node, one.network, permit, "host-address", why, (), (*one.missing, *missing))


# ---- behind a default route


def _gateway(sketch: Sketch, network: Network, beside: tuple[str, ...] = ()) -> str:
    """What lies behind the default route. `beside`: the container is on these networks as well, so that it looks for the
    host's address there on the link: on a LAN the kernel does not let it through, elsewhere INPUT may not."""
    scene = sketch.scene
    node = f"{sketch.network(network)}/gateway" + ("/beside " + "+".join(beside) if beside else "")
    sketch.builder.node(node, "gateway", f"the default route through {network.key}", network.origin)
    if not sketch.once(node):
        return node
    internal = remedies.internal(sketch, network)
    why = _forwarded(network)
    for permit, missing in scene.across(lambda e: scene.lets(network, e).onward):
        for one in sketch.guard.onward(permit):
            passing = sketch.rules.forwarded(network, one.permit)
            for passed, more in passing.permits:
                held = (*missing, *one.missing, *more)
                sketch.onward(node, (passed,), _by(why, one), one.origin or network.origin, internal, held)
            for words, place in passing.dropped:
                for destination in ADDRESSED:
                    sketch.builder.barrier(node, to(destination), words, place)
    for whole, missing in scene.across(lambda e: scene.lets(network, e).routed_host):
        words = (
            f"every address of the host, by the default route of {network.key}: INPUT, where the engine has no rules"
        )
        permit = replace(whole, hosts=(f"host, but not its address on {' or '.join(beside)}",)) if beside else whole
        _to_host(sketch, node, network, permit, "host-address", words, remedies.unrouted(sketch, network), missing)
    peers.elsewhere(sketch, node, network)
    return node


def _by(why: str, one: Passed) -> str:
    return f"{why}; {one.why}" if one.why else why


def _forwarded(network: Network) -> str:
    mode = network.option(networks.MODE_4)
    if not networks.switched(network, networks.MASQUERADE, True):
        return f"{network.key} is forwarded without masquerading: packets leave with the container's own address"
    if mode is not None and mode.value == "routed":
        return (
            f"{network.key} is routed: packets leave with the container's own address where the engine knows that mode"
        )
    return f"{network.key} is forwarded and masqueraded"


# ---- why not


def _barriers(sketch: Sketch, node: str, network: Network) -> None:
    if network.internal.value:
        why = f"network {network.key} is internal: the engine drops what leaves it"
        for destination in ADDRESSED:
            sketch.builder.barrier(node, to(destination), why, network.internal.origin)
    inhibited = network.option(networks.INHIBIT)
    if inhibited is not None and networks.switched(network, networks.INHIBIT, False):
        why = f"the bridge of {network.key} has no address, so that its default route leads nowhere"
        for destination in (*ADDRESSED, Destination.HOST):
            sketch.builder.barrier(node, to(destination), why, inhibited.origin)
    mode = network.option(networks.MODE_4)
    if mode is not None and mode.value == "isolated" and network.internal.value:
        why = f"the bridge of {network.key} has no address of the host (gateway_mode_ipv4: isolated)"
        sketch.builder.barrier(node, to(Destination.HOST), why, mode.origin)
    if network.driver.value in networks.LANS:
        why = f"the kernel keeps the children of {network.driver.value} from the host's own addresses"
        sketch.builder.barrier(node, to(Destination.HOST), why, network.driver.origin)
