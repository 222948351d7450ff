"""What a sandbox reaches whose egress is a list: a provider, a proxy or a sidecar holds it, by addresses, by names, or not at all.

What each enforcement means, and where it was read:

- PACKET: addresses and ports are held; a name is an address that it resolved to, so that whatever else has that address passes
  (OpenSandbox's `dns+nft`, Daytona's and Modal's CIDR lists).
- SNI: connections run into a proxy that reads the name they ask for (TLS SNI, HTTP Host). The names have to be looked up first,
  by a resolver that answers for any name (E2B's tcpfirewall and its 8.8.8.8, Harbor's gost sidecar and the engine's resolver).
- PROXY: no route but a proxy that is asked by name and looks names up itself (sandbox-runtime, OpenShell).
- DNS: names on no list do not resolve, plain addresses are reached as if there were no list (OpenSandbox's default).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from scanner.egress.assumptions import Assumed
from scanner.egress.builder import EVERYWHERE, HOST, NAMES, Builder, to
from scanner.egress.permits import address_range, common, ranges_of, subtract
from scanner.egress.takeover import Edit, draw, taken, takeovers
from scanner.model.egress import ALL_PORTS, Destination, Graph, Mode, Permit
from scanner.model.launch import Default, Enforcement, Hosted, HostRule, Launch, Missing, Origin, Said

_ADDRESSES = (Destination.INTERNET, Destination.PRIVATE, Destination.METADATA)
_LOCAL = ranges_of(("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128"))
"""Where a machine's own addresses usually lie, as what runs on it sees them."""
_HOST_NAMES = re.compile(
    r"localhost|.*\.localhost|(?:host|gateway)\.(?:docker|openshell|ryno|containers|lima)\.internal"
)

_UNKNOWN_RESOLVER = frozenset(("modal", "daytona"))
"""Their documentation does not say for which names their resolvers answer under a list."""
_BLOCK = {
    "modal": "set block_network = true",
    "daytona": "set network_block_all = true",
    "harbor": 'set network_mode = "no-network"',
}
_DENY = {
    "e2b": "set allow_internet_access = false",
    "opensandbox": 'set defaultAction to "deny"',
}


@dataclass(frozen=True, slots=True)
class _Way:
    """What the list lets out: `actions` each alone close it."""

    permits: tuple[Permit, ...]
    why: str
    origin: Origin | None
    kind: str
    actions: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    rule: HostRule | None = None
    missing: tuple[Missing, ...] = ()


def hosted_graph(launch: Launch, sandbox: Hosted, assumed: Assumed) -> Graph:
    """The sandbox's graph. What its system does not document is an edge with the fact that is missing."""
    start = f"hosted:{sandbox.name}"
    builder = Builder(start, sandbox.kind, sandbox.name, sandbox.origin)
    siblings = tuple(name for name in sandbox.shares if any(h.name == name for h in launch.hosted))
    for name in siblings:
        builder.sibling(name)
        builder.node(f"hosted:{name}", sandbox.kind, name)
    if siblings:
        why = "they share one network namespace: what one listens on, the others reach on the loopback"
        builder.edge(start, to(Destination.SIBLINGS), "shared-namespace", why, permits=(Permit(siblings),))
    _takeovers(builder, start, sandbox, assumed, siblings)
    if sandbox.network_mode is not None and sandbox.network_mode.value == "host":
        _on_the_host(builder, start, sandbox)
    elif sandbox.blocked is not None and sandbox.blocked.value:
        for destination in (*_ADDRESSES, Destination.DNS):
            builder.barrier(start, to(destination), "the network is off, whatever a list says", sandbox.blocked.origin)
        _host(builder, start, sandbox, assumed, ())
    else:
        ways = tuple(_ways(builder, sandbox))
        source = _through(builder, start, sandbox) if sandbox.enforcement.value == Enforcement.PROXY else start
        _reached(builder, source, sandbox, assumed, ways)
        _names(builder, source, sandbox, assumed, ways)
        _host(builder, source, sandbox, assumed, ways)
    return builder.graph()


# ---- what the list lets out


def _ways(builder: Builder, sandbox: Hosted) -> Iterator[_Way]:
    kind = sandbox.enforcement.value
    block = _block(builder, sandbox)
    if sandbox.missing:
        why = "what the file leaves open may let anything out"
        yield _Way(EVERYWHERE, why, sandbox.origin, "unread", block, missing=sandbox.missing)
    if kind == Enforcement.NONE:
        yield _Way(EVERYWHERE, "nothing enforces the list", sandbox.enforcement.origin, "unenforced", block)
        return
    if kind == Enforcement.DNS:
        why = "the list is held against names alone: an address needs no name, so that all of them are reached"
        yield _Way(EVERYWHERE, why, sandbox.enforcement.origin, "by-address", (_enforce(builder, sandbox), *block))
        return
    denies = tuple(rule for rule in sandbox.rules if not rule.allow)
    if sandbox.default_allow.value:
        passing = subtract(EVERYWHERE, (_permit(rule) for rule in denies))
        listed = any(rule.allow for rule in sandbox.rules)
        why = "what no rule names is let out" + (", so that the allowed ones restrict nothing" if listed else "")
        deny = _DENY.get(sandbox.kind)
        actions = () if deny is None and block else (_deny(builder, sandbox, deny),)
        yield _Way(passing, why, sandbox.default_allow.origin, "default", (*actions, *block))
    for index, rule in enumerate(sandbox.rules):
        if not rule.allow:
            continue
        stronger = denies if sandbox.deny_first else [r for r in sandbox.rules[:index] if not r.allow]
        passing = _less(_permit(rule), stronger)
        if not passing:
            builder.barrier(f"hosted:{sandbox.name}", to(Destination.INTERNET), f"{rule.host} is denied", rule.origin)
            continue
        yield _Way(
            passing,
            _held(rule, sandbox),
            rule.origin,
            "rule",
            (_remove(builder, sandbox, index), *block),
            rule.binaries,
            rule,
        )


def _permit(rule: HostRule) -> Permit:
    hosts = ("0.0.0.0/0", "::/0") if rule.host in ("*", "**") else (rule.host,)
    return Permit(hosts, rule.protocol, rule.ports or ALL_PORTS)


def _less(permit: Permit, denies: "tuple[HostRule, ...] | list[HostRule]") -> tuple[Permit, ...]:
    """What of an allowed host no deny takes. A name falls to a deny that is the same name or a wildcard over it."""
    passing: tuple[Permit, ...] = (permit,)
    for deny in denies:
        taken_off = _permit(deny)
        if deny.host in ("*", "**") or any(_covers(deny.host, host) for host in permit.hosts):
            taken_off = replace(taken_off, hosts=(*taken_off.hosts, *permit.hosts))
        passing = subtract(passing, (taken_off,))
    return passing


def _covers(wide: str, host: str) -> bool:
    wide, host = wide.lower().rstrip("."), host.lower().rstrip(".")
    if wide.startswith(("*.", "**.")):
        return host.endswith(wide.lstrip("*")) and host != wide.lstrip("*.")
    return wide == host


def _held(rule: HostRule, sandbox: Hosted) -> str:
    """How an allowed host is held, and what passes with it."""
    where = f"{rule.host} is allowed"
    if address_range(rule.host) is not None or rule.host in ("*", "**"):
        return where
    held = {
        Enforcement.PACKET.value: "by the addresses it resolves to: what else has them (a CDN's other customers) passes",
        Enforcement.SNI.value: "by the name that a connection asks for: a CDN that serves others behind it lets them through",
        Enforcement.PROXY.value: "by a proxy that is asked for it: a CDN that serves others behind it lets them through",
    }
    return f"{where}, {held.get(str(sandbox.enforcement.value), '')}"


# ---- where that leads


def _reached(builder: Builder, source: str, sandbox: Hosted, assumed: Assumed, ways: tuple[_Way, ...]) -> None:
    for destination in _ADDRESSES:
        missing: tuple[Missing, ...] = ()
        if destination is not Destination.INTERNET:
            closed = _told(sandbox.private_closed, "provider.private", assumed)
            if closed:
                why = "the system itself keeps private and metadata addresses out of reach"
                origin = sandbox.private_closed.origin if sandbox.private_closed is not None else None
                builder.barrier(source, to(destination), why, origin)
                continue
            if closed is None:
                why = f"whether {sandbox.kind} lets its sandboxes reach private and metadata addresses"
                missing = (Missing("provider.private", why, sandbox.origin),)
        for way in ways:
            _edge(builder, source, destination, sandbox, way, way.permits, missing)
        if not ways:
            builder.barrier(source, to(destination), "no rule lets anything out", sandbox.default_allow.origin)


def _edge(
    builder: Builder,
    source: str,
    destination: Destination,
    sandbox: Hosted,
    way: _Way,
    permits: tuple[Permit, ...],
    missing: tuple[Missing, ...] = (),
) -> None:
    mediated = sandbox.enforcement.value == Enforcement.PROXY
    builder.edge(
        source,
        to(destination),
        way.kind,
        way.why,
        mode=Mode.MEDIATED if mediated else Mode.DIRECT,
        origin=way.origin,
        permits=permits,
        needs=way.needs,
        actions=way.actions,
        missing=(*way.missing, *missing),
    )


def _names(builder: Builder, source: str, sandbox: Hosted, assumed: Assumed, ways: tuple[_Way, ...]) -> None:
    """Whether a name of the agent's own making leaves through the configured resolver."""
    kind = sandbox.enforcement.value
    if sandbox.dns is not None:
        if sandbox.dns.value:
            why = "the resolver answers for any name, whatever the list says"
            way = _Way(NAMES, why, sandbox.dns.origin, "resolver", _block(builder, sandbox))
            _edge(builder, source, Destination.DNS, sandbox, way, NAMES)
        else:
            builder.barrier(source, to(Destination.DNS), "no resolver is in reach", sandbox.dns.origin)
        return
    if kind == Enforcement.DNS:
        ways = tuple(_ways(builder, replace(sandbox, enforcement=Said(Enforcement.PACKET, sandbox.enforcement.origin))))
    unknown: tuple[Missing, ...] = ()
    if sandbox.kind in _UNKNOWN_RESOLVER and not sandbox.default_allow.value:
        given = assumed.get("provider.dns")
        if given == "closed":
            builder.barrier(source, to(Destination.DNS), "--assume provider.dns=closed", None)
            return
        if given is None:
            why = f"for which names {sandbox.kind}'s resolver answers under a list"
            unknown = (Missing("provider.dns", why, sandbox.origin),)
        why = "the provider's resolver answers for names on no list"
        way = _Way(NAMES, why, sandbox.origin, "resolver", _block(builder, sandbox))
        _edge(builder, source, Destination.DNS, sandbox, way, NAMES, unknown)
        return
    any_way = False
    for way in ways:
        if way.rule is None or way.rule.host in ("*", "**"):
            any_way = True
            _edge(builder, source, Destination.DNS, sandbox, replace(way, why=f"names: {way.why}"), NAMES)
        elif address_range(way.rule.host) is not None:
            if kind == Enforcement.SNI and _allows_resolver(way.rule):
                any_way = True
                _edge(builder, source, Destination.DNS, sandbox, way, NAMES)
        elif kind == Enforcement.SNI:
            any_way = True
            why = f"{way.rule.host} has to be looked up, by a resolver that answers for any name"
            _edge(builder, source, Destination.DNS, sandbox, replace(way, why=why), NAMES)
        else:
            any_way = True
            why = f"{way.rule.host} is looked up" + (
                ": whoever serves that zone reads the names" if "*" in way.rule.host else ""
            )
            _edge(builder, source, Destination.DNS, sandbox, replace(way, why=why), (Permit((way.rule.host,)),))
    if not any_way:
        builder.barrier(source, to(Destination.DNS), "no name is let through", sandbox.default_allow.origin)


def _allows_resolver(rule: HostRule) -> bool:
    """Whether an address rule lets the resolver through that E2B gives its sandboxes."""
    return rule.protocol in ("any", "udp") and bool(common(ranges_of((rule.host,)), ranges_of(("8.8.8.8",))))


def _host(builder: Builder, source: str, sandbox: Hosted, assumed: Assumed, ways: tuple[_Way, ...]) -> None:
    """Services of the machine below."""
    closed = _told(sandbox.host_closed, "provider.host", assumed)
    if closed is None:
        why = f"whether services of the machine that runs it answer a sandbox of {sandbox.kind}"
        missing = (Missing("provider.host", why, sandbox.origin),)
        way = _Way(HOST, why, sandbox.origin, "provider", ())
        _edge(builder, source, Destination.HOST, sandbox, way, HOST, missing)
        return
    reached = False
    for way in ways:
        if way.rule is None or way.rule.host in ("*", "**"):
            if not closed:
                reached = True
                _edge(builder, source, Destination.HOST, sandbox, way, HOST)
        elif _HOST_NAMES.fullmatch(way.rule.host.lower()):
            reached = True
            _edge(builder, source, Destination.HOST, sandbox, way, (_part(way.rule),))
        elif common(ranges_of((way.rule.host,)), _LOCAL) and not closed:
            reached = True
            why = f"{way.rule.host} is allowed, where the machine's own addresses may lie"
            _edge(builder, source, Destination.HOST, sandbox, replace(way, why=why), (_part(way.rule),))
    if not reached:
        why = (
            "the machine's own addresses are on no list"
            if not closed
            else "the system keeps the machine itself out of reach"
        )
        builder.barrier(source, to(Destination.HOST), why, (sandbox.host_closed or sandbox.default_allow).origin)


def _part(rule: HostRule) -> Permit:
    return Permit((f"the host as {rule.host}",), rule.protocol, rule.ports or ALL_PORTS)


def _told(said: Said[bool] | None, key: str, assumed: Assumed) -> bool | None:
    """Closed by what the file or the system's own documentation says; the latter gives way to what the user assumes."""
    given = assumed.get(key)
    if said is None or (given is not None and isinstance(said.origin, Default)):
        return None if given is None else given == "closed"
    return said.value


# ---- ways around the list


def _takeovers(builder: Builder, start: str, sandbox: Hosted, assumed: Assumed, siblings: tuple[str, ...]) -> None:
    ways = takeovers(sandbox.confinement, "docker", assumed, name=sandbox.name, object=f"hosted:{sandbox.name}")
    if sandbox.kind == "sandbox-runtime" and ways:  # it opens single sockets on macOS alone
        given = assumed.get("host.system")
        missing = (Missing("host.system", "srt opens single Unix sockets on macOS alone", ways[0].origin),)
        ways = (
            ()
            if given == "linux"
            else ways
            if given
            else tuple(replace(w, missing=(*w.missing, *missing)) for w in ways)
        )
    draw(builder, start, ways, siblings)
    closed = _told(sandbox.engine_closed, "provider.engine", assumed)
    if closed is None or not closed:
        why = f"whether what runs in a sandbox of {sandbox.kind} can take over the machine below"
        unknown = (Missing("provider.engine", why, sandbox.origin),) if closed is None else ()
        taken(builder, "host", siblings)
        builder.edge(start, "host", "escape", why, mode=Mode.PIVOT, origin=sandbox.origin, missing=unknown)
    elif not ways:
        why = "nothing that the sandbox is given takes over the machine below"
        origin = sandbox.engine_closed.origin if sandbox.engine_closed is not None else sandbox.origin
        builder.barrier(start, to(Destination.ENGINE), why, origin)


def _on_the_host(builder: Builder, start: str, sandbox: Hosted) -> None:
    assert sandbox.network_mode is not None
    origin = sandbox.network_mode.origin
    bridge = builder.action(
        f"hosted:{sandbox.name}/network_mode",
        f'set network_mode of {sandbox.name} to "bridge"',
        2,
        origin,
        {"op": "set", "object": f"hosted:{sandbox.name}", "field": "network_mode", "value": "bridge"},
    )
    why = "it shares the machine's network: no list stands in between"
    for destination in _ADDRESSES:
        builder.edge(start, to(destination), "host-network", why, origin=origin, permits=EVERYWHERE, actions=(bridge,))
    builder.edge(start, to(Destination.HOST), "host-network", why, origin=origin, permits=HOST, actions=(bridge,))
    builder.edge(start, to(Destination.DNS), "host-network", why, origin=origin, permits=NAMES, actions=(bridge,))


def _through(builder: Builder, start: str, sandbox: Hosted) -> str:
    """The proxy's node; no plain socket gets past it."""
    proxy = builder.node(f"proxy:{sandbox.name}", "proxy", "the sandbox's proxy", sandbox.enforcement.origin)
    why = "the sandbox has no network but the proxy that is handed to it"
    builder.edge(start, proxy, "proxy", why, origin=sandbox.enforcement.origin)
    for destination in (*_ADDRESSES, Destination.HOST, Destination.DNS):
        builder.barrier(start, to(destination), why, sandbox.enforcement.origin)
    return proxy


# ---- what closes them


def _block(builder: Builder, sandbox: Hosted) -> tuple[str, ...]:
    title = _BLOCK.get(sandbox.kind)
    if title is None:
        return ()
    edit: Edit = {"op": "set", "object": f"hosted:{sandbox.name}", "field": "blocked", "value": True}
    breaks = f"all that {sandbox.name} does with a network"
    return (builder.action(f"hosted:{sandbox.name}/blocked", title, 2, sandbox.origin, edit, breaks),)


def _deny(builder: Builder, sandbox: Hosted, title: str | None) -> str:
    edit: Edit = {"op": "set", "object": f"hosted:{sandbox.name}", "field": "default_allow", "value": False}
    words = title or "let out only what is listed"
    origin = sandbox.default_allow.origin
    return builder.action(f"hosted:{sandbox.name}/default_allow", words, 1, origin, edit, "what no rule names")


def _remove(builder: Builder, sandbox: Hosted, index: int) -> str:
    rule = sandbox.rules[index]
    edit: Edit = {"op": "remove", "object": f"hosted:{sandbox.name}", "field": "rules", "index": index}
    title = f"take {rule.host} off the list of {sandbox.name}"
    # named by what it says, not by its index, which changes when another rule goes; the same said twice is counted
    twins = sum(1 for other in sandbox.rules[:index] if (other.host, other.origin) == (rule.host, rule.origin))
    id = f"hosted:{sandbox.name}/rules/{rule.host}@{rule.origin}" + (f"#{twins + 1}" if twins else "")
    return builder.action(id, title, 1, rule.origin, edit, rule.host)


def _enforce(builder: Builder, sandbox: Hosted) -> str:
    edit: Edit = {"op": "set", "object": f"hosted:{sandbox.name}", "field": "enforcement", "value": "packet"}
    title = 'set [egress] mode = "dns+nft"' if sandbox.kind == "opensandbox" else "enforce the list by address too"
    return builder.action(f"hosted:{sandbox.name}/enforcement", title, 1, sandbox.enforcement.origin, edit)
