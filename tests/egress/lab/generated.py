"""Launches made at random: networks with any option, a sandbox with any right, siblings that relay, rules of the host."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.egress.lab import places
from tests.egress.lab.engine import VARIANTS
from tests.egress.lab.launches import (
    ANCHORED,
    BRIDGE_OPTION,
    GATEWAY,
    ICC_OFF,
    INHIBIT,
    MASQUERADE_OFF,
    SANDBOX,
    SOCKET,
    Described,
    Extra,
    Net,
    Service,
    gateway_mode,
    proxied,
    socat,
    tinyproxy,
    web,
)

LAN = Net("lan", "macvlan", options=(("parent", "up0"),), subnet="198.51.100.0/24", gateway=places.ROUTER)
RELAYED = (
    ("internet", places.INTERNET, 443),
    ("private", places.PRIVATE, 22),
    ("metadata", places.METADATA, 80),
    ("host", places.DOCKER0, places.HOST_PORT),
)
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"connect_ports": (443, 563)},
    {"allow": ANCHORED, "connect_ports": (443, 563)},
    {"allow": ANCHORED},
    {"allow": r"allowed\.example\.com", "connect_ports": (443,)},
    {"allow": r"^other\.example\.net$", "deny_rest": False},
    {"allow": r"\.example\.net$", "connect_ports": (443,)},
)
RULES = (
    ("iptables -I DOCKER-USER -i {bridge:NET} -j DROP",),
    ("iptables -I DOCKER-USER -s {subnet:NET} -j DROP",),
    ("iptables -A DOCKER-USER -i {bridge:NET} -j DROP",),
    ("iptables -A FORWARD -i {bridge:NET} -j DROP",),
    ("iptables -I OUTPUT -d 203.0.113.0/24 -j DROP",),
    ("iptables -I INPUT -i {bridge:NET} -j DROP",),
    ("iptables -I DOCKER-USER -i {bridge:NET} -j DROP", "iptables -I INPUT -i {bridge:NET} -j DROP"),
    (
        "iptables -I DOCKER-USER -i {bridge:NET} ! -o {bridge:NET} -j DROP",
        "iptables -I INPUT -i {bridge:NET} -p tcp -j DROP",
    ),
    (
        "iptables -I DOCKER-USER -i {bridge:NET} ! -o {bridge:NET} -j REJECT",
        "iptables -I DOCKER-USER -i {bridge:NET} -p tcp --dport 443 -j RETURN",
        "iptables -I DOCKER-USER -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
    ),
    (
        "iptables -I DOCKER-USER -i {bridge:NET} -d 10.0.0.0/8 -j DROP",
        "iptables -I DOCKER-USER -i {bridge:NET} -d 169.254.0.0/16 -j DROP",
    ),
    (
        "iptables -I DOCKER-USER -i {bridge:NET} -d 10.0.0.0/8 -j DROP",
        "iptables -I DOCKER-USER -i {bridge:NET} -d 172.16.0.0/12 -j DROP",
        "iptables -I DOCKER-USER -i {bridge:NET} -d 192.168.0.0/16 -j DROP",
        "iptables -I DOCKER-USER -i {bridge:NET} -d 169.254.0.0/16 -j DROP",
        "iptables -I DOCKER-USER -i {bridge:NET} -d 100.64.0.0/10 -j DROP",
    ),
    ("iptables -I DOCKER-USER -o {bridge:NET} -j DROP",),
    ("iptables -I DOCKER-USER -p udp --dport 53 -j DROP", "iptables -I DOCKER-USER -p tcp --dport 53 -j DROP"),
    ("iptables -I DOCKER-USER -i {bridge:NET} -m conntrack --ctstate NEW -j DROP",),
)


@dataclass
class _Draft:
    """A launch while it is made up."""

    random: random.Random
    newer: bool
    nets: list[Net] = field(default_factory=list)
    siblings: list[Service] = field(default_factory=list)
    files: list[tuple[str, str]] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    proxies: list[str] = field(default_factory=list)
    extra: list[Extra] = field(default_factory=list)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def some(self) -> tuple[str, ...]:
        """One or more of the networks."""
        names = [net.name for net in self.nets]
        return tuple(self.random.sample(names, min(len(names), self.random.choice((1, 1, 1, 2, 2, 3)))))


def generated(count: int, seed: int, newer: bool) -> Iterator[Described]:
    """As many launches as asked for, the same for the same seed and engine."""
    for number in range(count):
        yield _made(f"g{seed}-{number:03}", random.Random(f"{seed} {number} {newer}"), newer)


def _made(name: str, chosen: random.Random, newer: bool) -> Described:
    draft = _Draft(chosen, newer)
    draft.nets = list(_some_nets(draft))
    for number in range(chosen.choice((0, 1, 1, 1, 2, 2, 3))):
        _add_sibling(draft, f"s{number}", number)
    sandbox = _some_sandbox(draft)
    used = {net for service in (sandbox, *draft.siblings) for net in service.networks}
    variants = [v.name for v in VARIANTS.values() if newer or not v.newer_only]
    variant = chosen.choice(("dns", "dns", "dns", "dns", *variants))
    bridges = [net.name for net in draft.nets if net.name in sandbox.networks and net.driver == "bridge" and net.ipv4]
    rules: tuple[str, ...] = ()
    if bridges and variant != "nftables" and draft.chance(0.2):
        rules = tuple(rule.replace("NET}", f"{bridges[0]}}}") for rule in chosen.choice(RULES))
    if variant == "no-icc":
        sandbox, draft.siblings = _on_default_bridge(draft, sandbox)
    return Described(
        name,
        (sandbox, *draft.siblings),
        tuple(net for net in draft.nets if net.name in used),
        tuple(draft.files),
        tuple(draft.volumes),
        host=rules,
        ruleset=bool(rules),
        variant=variant,
        proxies=tuple(draft.proxies),
        extra=tuple(draft.extra),
    )


def _some_nets(draft: _Draft) -> Iterator[Net]:
    """One to three networks, of every driver and option."""
    chosen = draft.random
    lan: Net | None = LAN
    for number, name in enumerate(chosen.sample(("default", "front", "back", "aside"), chosen.choice((1, 2, 2, 3)))):
        if name == "default" and draft.chance(0.7):
            yield Net(name)
            continue
        if draft.chance(0.08) and lan is not None:
            yield replace(lan, name=name, internal=draft.chance(0.3))
            lan = None  # one network may have these addresses
            continue
        internal = draft.chance(0.45)
        options = []
        if draft.chance(0.2):
            options.append(MASQUERADE_OFF)
        if draft.chance(0.15):
            options.append(ICC_OFF)
        if draft.chance(0.08):
            options.append(INHIBIT)
        if draft.chance(0.1):
            options.append((f"{BRIDGE_OPTION}name", f"br{name}"))
        mode = chosen.choice((None, None, None, "nat", "routed", "nat-unprotected", "isolated"))
        if mode == "isolated" and not internal:
            mode = None
        if mode is not None and not (draft.newer and MASQUERADE_OFF in options and mode == "routed"):
            options.append(gateway_mode(mode))
        ipv6 = draft.chance(0.2)
        ipv4 = not (ipv6 and draft.newer and INHIBIT not in options and mode is None and draft.chance(0.25))
        subnet = f"fd00:{number + 16}::/64" if ipv6 else f"10.211.{number}.0/24" if draft.chance(0.4) else None
        yield Net(name, "bridge", internal, ipv4, ipv6, tuple(options), subnet)


def _add_sibling(draft: _Draft, name: str, number: int) -> None:
    """A service, a proxy, a relay, or one that hands the engine on."""
    chosen = draft.random
    networks = draft.some()
    kind = chosen.choice(("web", "web", "web", "proxy", "proxy", "relay", "names", "unix", "engine"))
    ports = (f"{18081 + number}:8080",) if kind == "web" and draft.chance(0.35) else ()
    on_host = draft.chance(0.08)
    placed: dict[str, object] = {"mode": "host"} if on_host else {}
    on = () if on_host else networks
    shared = "sock:/sock"
    if kind == "proxy":
        made, files = tinyproxy(name, *on, **chosen.choice(FILTERS), **placed)  # type: ignore[arg-type]
        draft.files += files
        draft.proxies.append(f"http://{GATEWAY if on_host else name}:8888")
        if any(service.command == made.command and service.mode == "host" for service in draft.siblings) and on_host:
            return  # the host's port is taken
    elif kind == "relay":
        port = 8440 + number
        cls, host, port_there = chosen.choice(RELAYED)
        made = socat(name, f"TCP-LISTEN:{port}", f"TCP:{host}:{port_there}", *on, **placed)
        draft.extra.append(Extra(f"relay {name}", "tcp", cls, GATEWAY if on_host else name, port, (host, port_there)))
    elif kind == "names":
        command = ("socat", "UDP-LISTEN:53,fork,reuseaddr", f"UDP:{places.NAMES}:53")
        made = Service(name, networks, command=command)
        draft.extra.append(Extra(f"resolver {name}", "dns", "dns", name))
        draft.extra.append(Extra(f"resolver {name} with anything", "udp", "internet", name, 53))
    elif kind == "unix":
        cls, host, port_there = chosen.choice(RELAYED)
        made = socat(
            name, f"UNIX-LISTEN:/sock/{name}.sock", f"TCP:{host}:{port_there}", *on, volumes=(shared,), **placed
        )
        draft.extra.append(Extra(f"relay {name}", "unix", cls, f"/sock/{name}.sock", to=(host, port_there)))
        draft.volumes = ["sock"]
    elif kind == "engine" and draft.chance(0.4):
        made = socat(name, "TCP-LISTEN:2375", f"UNIX-CONNECT:{SOCKET}", *networks, volumes=(f"{SOCKET}:{SOCKET}",))
    else:
        made = web(name, *networks, ports=ports)
    draft.siblings.append(made)


def _some_sandbox(draft: _Draft) -> Service:
    chosen = draft.random
    mode = chosen.choice((None,) * 12 + ("none", "none", "bridge", "host"))
    if mode is None and draft.siblings and draft.chance(0.06):
        mode = f"container:{chosen.choice(draft.siblings).name}"
    sandbox = Service(SANDBOX, () if mode else draft.some(), mode)
    if not (mode or "").startswith("container:"):
        if draft.chance(0.15):
            sandbox = replace(sandbox, dns=(chosen.choice((places.NAMES, places.OTHER_NAMES)),))
        if draft.chance(0.1) and mode != "host":
            sandbox = replace(sandbox, extra_hosts=("host.docker.internal:host-gateway",))
    if draft.chance(0.2):
        sandbox = replace(sandbox, cap_add=("NET_ADMIN",))
    if draft.chance(0.1):
        sandbox = replace(sandbox, cap_drop=("ALL",))
    if draft.chance(0.05):
        sandbox = replace(sandbox, user="1000:1000")
    if draft.chance(0.05):
        sandbox = replace(sandbox, privileged=True)
    if draft.chance(0.06):
        more = chosen.choice((("SYS_ADMIN",), ("SYS_ADMIN", "SYS_PTRACE"), ("SYS_PTRACE",)))
        unconfined = ("seccomp=unconfined", "apparmor=unconfined") if draft.chance(0.6) else ()
        sandbox = replace(sandbox, pid="host", cap_add=(*sandbox.cap_add, *more), security_opt=unconfined)
    mounts = []
    if draft.chance(0.06):
        mounts.append(
            chosen.choice(
                (
                    f"{SOCKET}:{SOCKET}",
                    f"{SOCKET}:{SOCKET}:ro",
                    f"{SOCKET}:/tmp/docker.sock",
                    "/var/run:/hostrun:ro",
                    "/:/host:ro",
                )
            )
        )
    if draft.volumes and draft.chance(0.8):
        mounts.append("sock:/sock")
    environment: tuple[tuple[str, str], ...] = ()
    for sibling in draft.siblings:
        if "TCP-LISTEN:2375,fork,reuseaddr" in sibling.command and draft.chance(0.8):
            environment = (("DOCKER_HOST", f"tcp://{sibling.name}:2375"),)
        if sibling.command[0] == "tinyproxy" and sibling.mode is None and draft.chance(0.7):
            environment = (*environment, *proxied(sibling.name))
            break
    return replace(sandbox, volumes=tuple(mounts), environment=environment)


def _on_default_bridge(draft: _Draft, sandbox: Service) -> tuple[Service, list[Service]]:
    """Where the engine keeps the containers of its own bridge apart, that bridge is what matters."""
    siblings = [
        replace(s, networks=(), mode="bridge", expose=("8080",) if draft.chance(0.5) else ())
        if s.command[0] == "python3"
        else s
        for s in draft.siblings
    ]
    linked = tuple(s.name for s in siblings if s.mode == "bridge" and draft.chance(0.5))
    return replace(sandbox, networks=(), mode="bridge", links=linked), siblings
