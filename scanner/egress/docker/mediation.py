"""What siblings pass on: proxies, relays, resolvers and engines among them, on the network or by a socket in a shared folder."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from scanner.egress import takeover
from scanner.egress.builder import NAMES, to
from scanner.egress.docker import remedies, siblings
from scanner.egress.docker.guard import OPEN
from scanner.egress.docker.resolver import DOCKER0
from scanner.egress.docker.sketch import Sketch
from scanner.egress.forwarders import Forwarder, forwarder_of
from scanner.egress.permits import address_range
from scanner.model.egress import Destination, Mode, Permit
from scanner.model.launch import Container, Missing, MountKind, Origin

HOST_NAMES = frozenset(("host.docker.internal", "gateway.docker.internal", "host.containers.internal"))


def passing_on(sketch: Sketch, node: str, there: Container, ports: frozenset[int] | None = None) -> None:
    """What of what reaches a sibling at `node` goes on; `ports` are those of it that are reached, None all."""
    known = forwarder_of(there, sketch.scene.assumed)
    if known is not None and known.kind in ("none", "router") and not known.perhaps:
        sketch.builder.barrier(node, _forwarder(sketch, there), f"{there.name}: {known.why}", known.origin)
        return
    if known is not None and ports and known.listens and not ports & {port for _, port in known.listens}:
        return
    if known is not None and ports is None and known.listens and sketch.guard.own is not None:
        node = _listening(sketch, node, there, known)
    to_forwarder(sketch, node, there, known, "passes-on")


def _listening(sketch: Sketch, node: str, there: Container, known: Forwarder) -> str:
    """Where a sibling's software listens: whoever reaches it by other ports alone does not reach that."""
    listens = sketch.builder.node(f"listens:{there.name}", "container", f"{there.name}, where it listens", there.origin)
    ways = ("0.0.0.0/0", "::/0", "host", "localhost", there.name)
    permits = tuple(Permit(ways, protocol, ((port, port),)) for protocol, port in known.listens)
    why = f"{there.name} listens on {', '.join(f'{protocol} {port}' for protocol, port in known.listens[:5])}"
    sketch.builder.edge(node, listens, "listens", why, origin=known.origin, permits=permits)
    return listens


def to_forwarder(
    sketch: Sketch, node: str, there: Container, known: Forwarder | None, kind: str, origin: Origin | None = None
) -> None:
    """The edges to what a sibling's software passes on: what surely passes, and what passes if certain facts hold."""
    if known is None and _adds_nothing(sketch, there):
        return
    if known is None:
        forwarder = _forwarder(sketch, there)
        why = f"whether the software of {there.name} passes traffic on is not known"
        doubt = Missing(f"forwards.{there.name}", why, there.image.origin if there.image else there.origin)
        origin = origin or there.origin
        sketch.builder.edge(node, forwarder, kind, why, mode=Mode.MEDIATED, origin=origin, missing=(doubt,))
        _sockets(sketch, forwarder, there)
        return
    perhaps = known.perhaps
    missing = known.missing
    key = next((source for source in known.keys if source in _mounted(sketch.container)), None)
    if key is not None:
        missing = ()
    elif known.program == "dockerd" and perhaps:
        why = f"{there.name}: {known.why}, and {sketch.container.name} mounts nothing that holds one"
        sketch.builder.barrier(node, to(Destination.ENGINE), why, known.origin)
        perhaps = ()
    why = f"{there.name}: {known.why}" + ("" if key is None else f"; it lies in {key}, which both mount")
    for permits, held in ((known.permits, ()), (perhaps, missing)):
        if permits:
            _passes(sketch, node, there, known, kind, origin or known.origin, why, permits, held)
    if known.siblings:
        for other, part, held in _labelled(sketch, there, known):
            words = f"{why}: {other.name} among them"
            _to_sibling(sketch, node, there, other, kind, origin or known.origin, words, part, held)
    if not known.program:
        # assumed to pass everything on, so an engine's socket that it holds too
        _sockets(sketch, node, there)


def _adds_nothing(sketch: Sketch, there: Container) -> bool:
    """Whether a sibling stands where the sandbox stands, so that it does not matter what it passes on."""
    scene, mine = sketch.scene, sketch.scene.owners[sketch.container.name]
    theirs = scene.owners[there.name]
    if mine is None or theirs is None or there.missing or theirs.missing:
        return False
    if any(takeover.engine_socket(mount) is not None for mount in there.confinement.mounts):
        return False
    if scene.together(there.name, sketch.container.name):
        return True
    if sketch.guard_of(mine).own is not None:
        return False  # rules that hold the sandbox do not hold its neighbours

    def stands(owner: Container) -> object:
        attached = frozenset((a.network.key, a.attachment.gw_priority) for a in scene.attached(owner))
        return owner.network_mode.value, attached, tuple(d.value for d in owner.dns)

    return stands(mine) == stands(theirs) and mine.network_mode.value in ("networks", "bridge")


def _passes(
    sketch: Sketch,
    node: str,
    there: Container,
    known: Forwarder,
    kind: str,
    origin: Origin,
    why: str,
    permits: tuple[Permit, ...],
    missing: tuple[Missing, ...],
) -> None:
    builder = sketch.builder
    if known.kind == "engine" and any("engine" in p.hosts for p in permits):
        sketch.to_engine(node, why, origin, missing)
        if kind == "unix-socket":
            # a socket among its own files, whoever put it there: nothing stands between
            builder.edge(node, to(Destination.ENGINE), kind, why, origin=origin, permits=permits, missing=missing)
        return
    if known.kind == "engine":
        builder.edge(
            node, to(Destination.ENGINE), kind, why, mode=Mode.MEDIATED, origin=origin, permits=permits, missing=missing
        )
        return
    anywhere, host, named = _apart(sketch, there, permits)
    if anywhere:
        builder.edge(
            node,
            _forwarder(sketch, there),
            kind,
            why,
            mode=Mode.MEDIATED,
            origin=origin,
            permits=anywhere,
            missing=missing,
        )
    if host:
        builder.edge(
            node, _to_host(sketch, there), kind, why, mode=Mode.MEDIATED, origin=origin, permits=host, missing=missing
        )
        for other in sketch.scene.on_host:
            served = tuple(replace(p, hosts=(other.name,)) for p in host)
            builder.edge(
                node, to(Destination.SIBLINGS), kind, why, mode=Mode.MEDIATED, origin=origin, permits=served,
                missing=missing,
            )  # fmt: skip
    for other, part in named:
        _to_sibling(sketch, node, there, other, kind, origin, why, part, missing)
    if known.resolves and any("*" in h or address_range(h) is not None for p in permits for h in p.hosts):
        asks = builder.node(f"asks:{there.name}", "resolver", f"names that {there.name} looks up", known.origin)
        words = f"{there.name} looks up the names that it is asked for"
        builder.edge(node, asks, "looks-up", words, mode=Mode.MEDIATED, origin=origin, permits=NAMES, missing=missing)
        if sketch.once(asks):
            sketch.asking.append((asks, there))


def _to_sibling(
    sketch: Sketch,
    node: str,
    there: Container,
    other: Container,
    kind: str,
    origin: Origin,
    why: str,
    part: Sequence[Permit],
    missing: Sequence[Missing],
) -> None:
    """What a sibling passes on to another one that it calls."""
    words = f"what {there.name} passes on to {other.name}"
    called = sketch.builder.node(f"forwarder:{there.name}/{other.name}", "forwarder", words, there.origin)
    sketch.builder.edge(node, called, kind, why, mode=Mode.MEDIATED, origin=origin, permits=part, missing=missing)
    if sketch.once(called):
        sketch.calling.append((called, there, other))


_SERVED_PORT = re.compile(r"traefik\.(?:http|tcp|udp)\.services\.[^.]+\.loadbalancer\.server\.port", re.IGNORECASE)


def _labelled(
    sketch: Sketch, there: Container, known: Forwarder
) -> Iterator[tuple[Container, tuple[Permit, ...], tuple[Missing, ...]]]:
    """The siblings that a relay finds by their labels, with the ports that it passes on to: the one that a label names, else
    those that the container exposes (Traefik's documentation of its Docker provider, PORT DETECTION)."""
    for other in sketch.scene.launch.containers:
        if other.name in (there.name, sketch.container.name):
            continue
        said = {key.lower(): value for key, value in other.labels.items()}
        enabled = said.get("traefik.enable", "").strip().lower()
        if enabled in ("false", "0", "f") or (known.opt_in and enabled not in ("true", "1", "t")):
            continue
        named = {int(v) for k, v in said.items() if _SERVED_PORT.fullmatch(k) and v.isdecimal() and len(v) < 6}
        ports = named or {*other.exposed, *(p.port for p in other.published)}
        if ports:
            yield other, tuple(Permit((other.name,), "any", ((p, p),)) for p in sorted(ports)), ()
            continue
        key = f"exposes.{other.name}"
        given = sketch.scene.assumed.flag(key)
        if given is not False:
            why = f"{there.name} finds {other.name}; whether its image exposes a port to pass on to is not known"
            missing = () if given else (Missing(key, why, other.image.origin if other.image else other.origin),)
            yield other, (Permit((other.name,)),), missing


def _forwarder(sketch: Sketch, there: Container) -> str:
    """The node of what a sibling passes on; what that reaches is drawn later, once."""
    id = sketch.builder.node(f"forwarder:{there.name}", "forwarder", f"what {there.name} passes on", there.origin)
    if sketch.once(id):
        sketch.waiting.append((id, there))
    return id


def _to_host(sketch: Sketch, there: Container) -> str:
    """The node of what a sibling passes on to the host that it runs on."""
    words = f"what {there.name} passes on to the host"
    id = sketch.builder.node(f"forwarder:{there.name}/host", "forwarder", words, there.origin)
    if sketch.once(id):
        sketch.calling_host.append((id, there))
    return id


def _apart(
    sketch: Sketch, there: Container, permits: Sequence[Permit]
) -> tuple[tuple[Permit, ...], tuple[Permit, ...], tuple[tuple[Container, tuple[Permit, ...]], ...]]:
    """A forwarder's list in three: what may be anywhere, the host that it runs on, and siblings that it calls by name."""
    own = {name.lower() for name, said in there.extra_hosts if said.value == "host-gateway"}
    attached = sketch.scene.attached_by_name(there.name)
    meant = {*HOST_NAMES, *own, DOCKER0, *(g for a in attached for g in a.network.gateways)}
    tokens = ("host", *(f"host at the address of {a.network.key}'s bridge" for a in attached))
    anywhere: list[Permit] = []
    host: list[Permit] = []
    named: dict[str, list[Permit]] = {}
    for permit in permits:
        others = []
        for name in permit.hosts:
            sibling = sketch.scene.by_called.get(name.lower().removesuffix("/32"))
            if name.lower().removesuffix("/32") in meant:
                host.append(replace(permit, hosts=tokens))
            elif sibling is not None:
                named.setdefault(sibling, []).append(replace(permit, hosts=(sibling,)))
            else:
                others.append(name)
        if others:
            anywhere.append(replace(permit, hosts=tuple(others)))
    containers = ((sketch.scene.launch.container(name), tuple(part)) for name, part in named.items())
    return tuple(anywhere), tuple(host), tuple((c, part) for c, part in containers if c is not None)


def _mounted(container: Container) -> frozenset[str]:
    return frozenset(m.source for m in container.confinement.mounts if m.source)


def _sockets(sketch: Sketch, source: str, there: Container) -> None:
    """An engine's socket that a sibling holds: whoever it lets through reaches it."""
    object = f"container:{there.name}"
    ways = takeover.takeovers(there.confinement, "docker", sketch.scene.assumed, name=there.name, object=object)
    takeover.draw(sketch.builder, source, [w for w in ways if w.target == "engine"], sketch.siblings, plain=False)


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
        if sketch.drawn(node) and forwarder_of(there, scene.assumed) is None:
            doubt = Missing(f"forwards.{there.name}", f"{why}; whether it is one is not known", said.origin)
            sketch.to_engine(node, why, said.origin, (doubt,))
        return
    if owner.network_mode.value == "host":
        sketch.to_engine("network:host", why, said.origin)
    port = address.rpartition(":")[2]
    number = int(port) if port.isdecimal() and len(port) < 6 else 2376 if scheme == "https" else 2375
    on_host = host in HOST_NAMES or host == DOCKER0 or any(n.lower() == host for n, _ in container.extra_hosts)
    asking = Permit(("host" if on_host else host,), "tcp", ((number, number),))
    for one in scene.attached(owner):
        for missing in scene.where(
            lambda e, n=one.network: bool(scene.lets(n, e).routed_host if on_host else scene.lets(n, e).onward)  # type: ignore[misc]
        ):
            for guard in dict.fromkeys((sketch.guard_of(owner), OPEN)):
                gateway = f"network:{one.network.key}{guard.mark}/gateway"
                passing = guard.onward(asking)
                if on_host:
                    passing = (*guard.bridge(one.network, asking), *guard.host(asking))
                for passed in passing if sketch.drawn(gateway) else ():
                    sketch.to_engine(gateway, why, said.origin, (*missing, *passed.missing))


def sockets_shared(sketch: Sketch) -> None:
    """Folders that the sandbox shares with siblings, in which one of them listens, or may listen, on a Unix socket."""
    for there in sketch.scene.launch.containers:
        if there.name == sketch.container.name:
            continue
        known = forwarder_of(there, sketch.scene.assumed)
        for source, mine, theirs in siblings.shared_folders(sketch.container, there):
            if known is None or any(siblings.within(path, theirs) for path in known.unix_sockets):
                _by_socket(sketch, there, known, source, mine)


def _by_socket(sketch: Sketch, there: Container, known: Forwarder | None, source: str, mine: str) -> None:
    origin = next(m.origin for m in sketch.container.confinement.mounts if m.source == source)
    actions = remedies.unshared(sketch, sketch.container, source)
    words = f"{source}, which {there.name} mounts too, at {mine}"
    place = sketch.builder.node(f"folder:{source}/{there.name}", "folder", words, origin)
    listens = "may listen" if known is None else "listens"
    why = f"{source} is shared with {there.name}, which {listens} there on a Unix socket"
    sketch.builder.edge(sketch.start, place, "unix-socket", why, origin=origin, actions=actions)
    to_forwarder(sketch, place, there, known, "unix-socket", origin)


_SOCKET = re.compile(r".*(?:\.sock(?:et)?|-sock|/socket|\.s\.[\w.]+)")
_SERVES = re.compile(
    r".*/(?:mysqld?|mariadb|\.s\.PGSQL|postgres|redis|memcached|mongodb|php|fpm|uwsgi|gunicorn|pulse|pipewire|wayland|X11|\.X11"
    r"|ssh-agent|ssh-auth|agent\.|S\.gpg|gpg|keyring|nscd|syslog|log|notify|cups|avahi|pcscd|rpcbind|vscode-|nvidia)[^/]*(?:/[^/]*)?"
)
"""Sockets of services that answer for themselves and pass nothing on."""


def sockets_of_host(sketch: Sketch) -> None:
    """A Unix socket of the host that is mounted, of a service that nobody knows: it may pass everything on."""
    container = sketch.container
    for mount in container.confinement.mounts:
        path = mount.source
        if mount.kind is not MountKind.BIND or takeover.engine_socket(mount) is not None:
            continue
        if not _SOCKET.fullmatch(path) or _SERVES.fullmatch(path):
            continue
        name = path.rpartition("/")[2]
        given = sketch.scene.assumed.flag(f"forwards.{name}")
        why = f"{path} is a socket of the host, mounted at {mount.target}; whether it passes traffic on is not known"
        if given is False:
            sketch.builder.barrier(
                sketch.start, to(Destination.INTERNET), f"{path} is assumed to pass nothing on", mount.origin
            )
            continue
        sketch.anywhere(
            sketch.start,
            "unix-socket",
            Missing(f"forwards.{name}", why, mount.origin),
            mode=Mode.MEDIATED,
            sure=bool(given),
        )
