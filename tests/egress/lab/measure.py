"""A launch on an engine, and what really got out of its sandbox."""

import base64
import ipaddress
import itertools
import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker.errors

from tests.egress.lab import places
from tests.egress.lab.engine import AGENT, VARIANTS, Engine, started
from tests.egress.lab.launches import GATEWAY, SANDBOX, Described, Service, command_lines, compose
from tests.egress.lab.namespaces import started_hosts
from tests.egress.lab.verdicts import PIVOTS, Row, verdicts

COMPOSE = "SANDSCAN_LAB_COMPOSE"
"""Names a docker-compose that deploys the compose files themselves, where the command lines are run otherwise."""
NOWHERE = ("ENETUNREACH", "EADDRNOTAVAIL", "EACCES", "EPERM")
"""Errors of the sandbox's own kernel: no packet was sent, whatever else was seen outside."""
LOGS = ("world", "corp", "meta", "host")
SEEN_BY = {"internet": "world", "private": "corp", "metadata": "meta"}


@dataclass(frozen=True, slots=True)
class Wire:
    """Where a packet of a probe would be seen: by which host's listeners, and how it is known to be this probe's.

    A SYN (`tcp`) is credited by the port it came from, else a proxy's traffic would be taken for the sandbox's; a datagram,
    an echo request by its `token`; a question by its `name`; a relay's SYN (`relayed`) by where it goes.
    """

    host: str
    protocol: str
    to: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe: `kind` and `plan` are the program's in the sandbox, the rest is for judging its end."""

    id: str
    cls: str
    kind: str
    plan: Mapping[str, Any]
    wire: Wire | None = None
    via: str = "direct"
    sibling: str | None = None
    port: str | None = None
    family: int = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found. `verdicts` counts every way, `direct` plain sockets alone, `unescalated` proxies and relays too.

    `assume` is what is known of the engine, `supplies` what else the lab could tell who asks for it.
    `by_engine` counts every way, but takes nothing for a takeover that does not go by an engine's own socket.
    """

    launch: Described
    engine: str
    assume: tuple[str, ...]
    supplies: tuple[str, ...]
    verdicts: Mapping[str, str]
    by_engine: Mapping[str, str]
    direct: Mapping[str, str]
    unescalated: Mapping[str, str]
    rows: tuple[Row, ...]
    ruleset: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        launch = self.launch
        return {
            "name": launch.name,
            "engine": self.engine,
            "variant": launch.variant,
            "assume": list(self.assume),
            "supplies": list(self.supplies),
            "verdicts": dict(self.verdicts),
            "by_engine": dict(self.by_engine),
            "direct": dict(self.direct),
            "unescalated": dict(self.unescalated),
            "compose": compose(launch),
            "run": command_lines(launch),
            "files": dict(launch.files),
            "host": list(launch.host),
            "ruleset": self.ruleset,
            "measured": {row.id: row.end for row in self.rows},
            "raw": {row.id: row.said for row in self.rows if row.said},
            **self.details,
        }


def measure_all(launches: Iterable[Described], newer: bool) -> Iterator[tuple[Described, Measured | str]]:
    """Each launch with what was measured, or why it was not; one engine for each way of starting it."""
    wanted = [one for one in launches if newer or not one.newer_only]
    wanted = [one for one in wanted if newer or not VARIANTS[one.variant].newer_only]
    with started_hosts() as hosts:
        for variant, group in itertools.groupby(
            sorted(wanted, key=lambda one: one.variant), key=lambda one: one.variant
        ):
            with started(hosts, VARIANTS[variant], newer) as engine:
                for launch in group:
                    try:
                        yield launch, measured(engine, launch)
                    except RuntimeError as error:
                        yield launch, str(error)


def measured(engine: Engine, launch: Described) -> Measured:
    """Deploys it, probes from its sandbox, takes it down. RuntimeError where it does not come up."""
    with _deployed(engine, launch):
        containers = _containers(engine, launch)
        _host_commands(engine, launch, launch.host)
        rules = ("iptables-save", "ip6tables-save") if launch.ruleset else ()
        ruleset = "".join(engine.hosts.run(command) for command in rules)
        supplies = tuple(_supplies(engine, launch))
        token = secrets.token_hex(4)
        phases, listening = _phases(engine, launch, containers, token)
        sandbox = containers[SANDBOX]
        host_pid = 1 if sandbox.attrs["HostConfig"]["PidMode"] == "host" else None
        privileged = bool(sandbox.attrs["HostConfig"]["Privileged"])
        plan = {
            "phases": [
                {**phase, "probes": [{"id": p.id, "kind": p.kind, **p.plan} for p in phase["probes"]]}
                for phase in phases
            ],
            "engines": _engines(engine, containers, listening),
            "image": AGENT,
            "targets": TARGETS,
            "host_pid": host_pid,
            "disk": engine.hosts.disk if privileged else None,
        }
        began = {name: engine.hosts.log(name).stat().st_size for name in LOGS}
        found = _run_probes(sandbox, plan)
        time.sleep(0.4)
        seen = {name: _since(engine.hosts.log(name), began[name]) for name in LOGS}
    tried = [(probe, found["probes"][probe.id]) for phase in phases for probe in phase["probes"]]
    rows = [_row(probe, result, seen) for probe, result in tried if not result["result"].startswith("no:socket")]
    rows += _takeover_rows(found)
    return Measured(
        launch,
        engine.version,
        engine.assumptions,
        supplies,
        verdicts(rows, listening),
        verdicts([row for row in rows if row.via != "disk" and not row.id.endswith("] enter")], listening),
        verdicts([row for row in rows if row.via == "direct"], listening),
        verdicts([row for row in rows if row.via in ("direct", "proxy", "relay")], listening),
        tuple(rows),
        ruleset,
        {
            "sandbox": {key: found[key] for key in ("capabilities", "resolv", "addresses")},
            "commands": found["commands"],
            "disk": found.get("disk"),
            "siblings": {name: list(ports) for name, ports in listening.items()},
        },
    )


# ---- deployment


@contextmanager
def _deployed(engine: Engine, launch: Described) -> Iterator[None]:
    """Its containers run."""
    folder = engine.hosts.folder / "launch"
    folder.mkdir(exist_ok=True)
    for name, text in launch.files:
        (folder / name).write_text(text)
    rules = {command: engine.hosts.run(f"{command}-save") for command in ("iptables", "ip6tables")}
    try:
        by_hand = os.environ.get(COMPOSE)
        (folder / "compose.yaml").write_text(compose(launch))
        done = subprocess.run(
            [by_hand, "-p", launch.name, "up", "-d", "--pull", "never"]
            if by_hand
            else ["bash", "-e", "-c", command_lines(launch)],
            cwd=folder,
            env=engine.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(f"{launch.name}: {done.stderr.strip()}")
        yield
    finally:
        _remove(engine)
        if launch.host:
            for command, saved in rules.items():
                engine.hosts.run(f"{command}-restore", given=saved)
        for name, _ in launch.files:
            (folder / name).unlink()


def _remove(engine: Engine) -> None:
    for container in engine.client.containers.list(all=True):
        with suppress(docker.errors.NotFound):
            container.remove(force=True, v=True)
    for network in engine.client.networks.list():
        if network.name not in ("bridge", "host", "none"):
            network.remove()
    for volume in engine.client.volumes.list():
        volume.remove(force=True)


def _containers(engine: Engine, launch: Described) -> dict[str, Any]:
    """The launch's containers once all run and those that are to listen do."""
    end = time.monotonic() + 15
    while True:
        found = engine.client.containers.list(all=True)
        containers = {c.labels.get("com.docker.compose.service", c.name): c for c in found}
        dead = [name for name, container in containers.items() if container.status not in ("created", "running")]
        if dead:
            said = {name: containers[name].logs(tail=5).decode(errors="replace") for name in dead}
            raise RuntimeError(f"{launch.name}: these ended: {said}")
        waited = [s.name for s in launch.services if s.name not in containers]
        waited += [
            s.name
            for s in launch.services
            if s.name in containers and _listens(s) and not _listening(engine, containers[s.name])
        ]
        if not waited and all(container.status == "running" for container in containers.values()):
            time.sleep(2.5 if any(net.ipv6 for net in launch.nets) else 0.3)  # IPv6 looks for duplicates first
            return containers
        if time.monotonic() > end:
            raise RuntimeError(f"{launch.name}: {', '.join(waited)} did not come up")
        time.sleep(0.1)


def _listens(service: Service) -> bool:
    return service.command[0] in ("python3", "tinyproxy") or any(
        word.startswith("TCP-LISTEN") for word in service.command
    )


def _listening(engine: Engine, container: Any) -> list[int]:
    """The TCP ports, beyond the loopback, on which something in the container's network listens."""
    pid = container.attrs["State"]["Pid"]
    if not pid:
        return []
    text = engine.hosts.run("cat", f"/proc/{pid}/net/tcp", f"/proc/{pid}/net/tcp6", check=False)
    ports = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[3] == "0A":
            address, _, port = words[1].partition(":")
            if not (len(address) == 8 and address.endswith("7F")) and address != "00000000000000000000000001000000":
                ports.add(int(port, 16))
    return sorted(ports)


def _networks(engine: Engine, container: Any) -> dict[str, Any]:
    """What it is attached to, or the container whose network it shares: network name → its endpoint."""
    return dict(_network_owner(engine, container).attrs["NetworkSettings"]["Networks"] or {})


def _network_owner(engine: Engine, container: Any) -> Any:
    mode = container.attrs["HostConfig"]["NetworkMode"]
    return engine.client.containers.get(mode[10:]) if mode.startswith("container:") else container


def _network(engine: Engine, name: str) -> Any:
    """A network's attributes; Compose puts the project's name before its."""
    return next(
        n.attrs for n in engine.client.networks.list(greedy=True) if n.name == name or n.name.endswith(f"_{name}")
    )


def _bridge(engine: Engine, network: str) -> str:
    attributes = _network(engine, network)
    return str(
        (attributes["Options"] or {}).get(f"{'com.docker.network.bridge'}.name") or f"br-{attributes['Id'][:12]}"
    )


def _supplies(engine: Engine, launch: Described) -> Iterator[str]:
    """Facts that a launch file does not hold and that are known here."""
    filtered = engine.hosts.run("cat", "/proc/sys/net/bridge/bridge-nf-call-iptables", check=False).strip() == "1"
    yield from ("host.ipv6=true", "host.metadata=true", f"host.br-netfilter={'true' if filtered else 'false'}")
    for service in launch.services:
        yield f"exposes.{service.name}=false"
        if service.command[0] not in ("tinyproxy", "socat"):
            yield f"forwards.{service.name}=false"
        if service.user is not None:
            yield f"root.{service.name}=false"
    for net in launch.nets:
        if net.driver == "bridge":
            for name in dict.fromkeys((net.name, launch.net_name(net.name))):  # each text's own word for it
                yield f"bridge.{name}={_bridge(engine, launch.net_name(net.name))}"


def _host_commands(engine: Engine, launch: Described, commands: Iterable[str]) -> None:
    def filled(match: "re.Match[str]") -> str:
        what, net = match.groups()
        if what == "bridge":
            return _bridge(engine, launch.net_name(net))
        subnets = [str(pool["Subnet"]) for pool in _network(engine, launch.net_name(net))["IPAM"]["Config"]]
        return next(subnet for subnet in subnets if ":" not in subnet)

    for command in commands:
        engine.hosts.run("sh", "-c", re.sub(r"\{(bridge|subnet):(\w+)\}", filled, command))


# ---- the probes

BY_PROCESS = "/proc/1/root/run/docker.sock"
"""The engine's socket as the host's first process sees it: for whoever may look into that one's files."""
TARGETS = (
    ("internet 443/tcp", places.INTERNET, 443),
    ("internet 22/tcp", places.INTERNET, 22),
    ("private 80/tcp", places.PRIVATE, 80),
    ("private shared 80/tcp", places.SHARED, 80),
    ("metadata 80/tcp", places.METADATA, 80),
    ("host uplink 9000/tcp", places.UPLINK, places.HOST_PORT),
)
"""What a takeover is tried on; the first word is the destination."""


def _plain(
    token: str, gateways: Sequence[str], tag: str = "", via: str = "direct", on_lan: bool = False
) -> Iterator[Probe]:
    """What plain sockets are tried on."""

    def tcp(name: str, cls: str, host: str, port: int, seen: str | None) -> Probe:
        wire = None if seen is None else Wire(seen, "tcp", host, port)
        family = 6 if ":" in host else 4
        return Probe(f"{tag}{name} {port}/tcp", cls, "tcp", {"host": host, "port": port}, wire, via, family=family)

    def udp(name: str, cls: str, host: str, seen: str) -> Probe:
        plan = {"host": host, "port": places.UDP_PORT, "token": f"LABTOK-{token}-{tag}{name}"}
        family = 6 if ":" in host else 4
        return Probe(f"{tag}{name} {places.UDP_PORT}/udp", cls, "udp", plan, Wire(seen, "token"), via, family=family)

    def connects(name: str, cls: str, host: str, port: int, seen: str) -> Probe:
        plan = {"host": host, "port": port, "connects": True}
        return Probe(f"{tag}{name} {port}/tcp", cls, "tcp", plan, Wire(seen, "tcp", host, port), via)

    for port in (443, 22, 80, 3333):
        yield tcp("internet", "internet", places.INTERNET, port, "world")
    yield connects("internet", "internet", places.INTERNET, 53, "world")
    yield udp("internet", "internet", places.INTERNET, "world")
    plan = {"host": places.INTERNET, "token": f"LABTOK-{token}-{tag}echo"}
    yield Probe(f"{tag}internet icmp", "internet", "icmp", plan, Wire("world", "token"), via)
    yield tcp("internet6", "internet", places.INTERNET6, 443, "world")
    yield udp("internet6", "internet", places.INTERNET6, "world")
    if on_lan:  # a network without the host between: its neighbour is an address of the internet's
        yield tcp("internet neighbour", "internet", places.ROUTER, 443, "world")
    yield tcp("private6", "private", places.PRIVATE6, 80, "corp")
    yield tcp("metadata6", "metadata", places.METADATA6, 80, "meta")
    for name, host in (("private", places.PRIVATE), ("private shared", places.SHARED)):
        for port in (80, 22, 443):
            yield tcp(name, "private", host, port, "corp")
        yield connects(name, "private", host, 53, "corp")
        yield udp(name, "private", host, "corp")
    for port in (80, 443):
        yield tcp("metadata", "metadata", places.METADATA, port, "meta")
    yield connects("metadata", "metadata", places.METADATA, 53, "meta")
    for host in places.METADATA_ELSEWHERE:
        yield tcp(f"metadata {host}", "metadata", host, 80, "meta")
    yield udp("metadata", "metadata", places.METADATA, "meta")
    own = {"uplink": places.UPLINK, "docker0": places.DOCKER0, "corp side": places.CORP_SIDE}
    own |= {f"gateway {address}": address for address in gateways if address != places.DOCKER0}
    for name, host in own.items():
        yield tcp(f"host {name}", "host", host, places.HOST_PORT, None)
        if ":" not in host:
            yield udp(f"host {name}", "host", host, "host")
    label = re.sub(r"\W", "", f"{token}{tag}")[:60]
    resolvers = [("dns direct", places.NAMES), ("dns direct6", places.INTERNET6)]
    for name, host in (*resolvers, *([("dns neighbour", places.ROUTER)] if on_lan else ())):
        plan = {"host": host, "token": f"{name[-1]}{label}.example.net"}
        yield Probe(f"{tag}{name}", "dns", "dns", plan, Wire("world", "name"), via)


def _resolved(token: str, tag: str = "", via: str = "direct") -> Iterator[Probe]:
    """Names, by the resolver that the sandbox is configured with."""
    for name, kind, asked in (
        ("resolver", "dns", f"r{token}.example.com"),
        ("getaddrinfo", "resolve", f"g{token}.example.org"),
    ):
        yield Probe(f"{tag}dns {name}", "dns", kind, {"token": asked}, Wire("world", "name"), via)


def _relayed(cls: str, host: str, port: int) -> Wire | None:
    """Where a relay's or a proxy's own packets for this would be seen; every name is INTERNET's."""
    address = host if host[0].isdigit() else places.INTERNET
    return Wire(SEEN_BY[cls], "relayed", address, port) if cls in SEEN_BY else None


def _by_proxy(number: int, proxy: str, token: str) -> Iterator[Probe]:
    """What a forwarding proxy is asked for."""
    for name, cls, host, want in (
        ("internet", "internet", places.INTERNET, "LAB world"),
        ("allowed.example.com", "internet", "allowed.example.com", "LAB world"),
        ("other.example.net", "internet", "other.example.net", "LAB world"),
        ("allowed.example.com.evil.net", "internet", "allowed.example.com.evil.net", "LAB world"),
        ("private", "private", places.PRIVATE, "LAB corp"),
        ("private shared", "private", places.SHARED, "LAB corp"),
        ("metadata", "metadata", places.METADATA, "LAB meta"),
        ("host uplink", "host", f"{places.UPLINK}:{places.HOST_PORT}", "LAB host"),
        ("host docker0", "host", f"{places.DOCKER0}:{places.HOST_PORT}", "LAB host"),
    ):
        plan = {"proxy": proxy, "host": host, "want": want}
        yield Probe(f"proxy {number} GET {name}", cls, "proxy_get", plan, _relayed(cls, host, 80), "proxy")
    for host, cls, want in (
        (f"{places.INTERNET}:443", "internet", "LAB world"),
        (f"{places.INTERNET}:22", "internet", "LAB world"),
        ("allowed.example.com:443", "internet", "LAB world"),
        ("allowed.example.com:22", "internet", "LAB world"),
        ("other.example.net:443", "internet", "LAB world"),
        (f"{places.PRIVATE}:22", "private", "LAB corp"),
        (f"{places.METADATA}:80", "metadata", "LAB meta"),
    ):
        plan = {"proxy": proxy, "host": host, "want": want}
        address, _, port = host.rpartition(":")
        wire = _relayed(cls, address, int(port))
        yield Probe(f"proxy {number} CONNECT {host}", cls, "proxy_connect", plan, wire, "proxy")
    for name in (f"p{token}.example.com", f"q{token}.allowed.example.com.evil.net"):
        plan = {"proxy": proxy, "host": name, "want": "LAB world", "token": name}
        what = f"proxy {number} resolves {name.partition('.')[2]}"
        yield Probe(what, "dns", "proxy_get", plan, Wire("world", "name"), via="proxy")


def _sibling_probes(
    engine: Engine, launch: Described, containers: Mapping[str, Any], gateways: Sequence[str]
) -> Iterator[tuple[str, list[int], list[Probe]]]:
    """Each other service: its name, where it listens, and every way to it."""
    mine = _network_owner(engine, containers[SANDBOX]).id
    for service in launch.services:
        if service.name == SANDBOX:
            continue
        container = containers[service.name]
        owner = _network_owner(engine, container)
        ports = _listening(engine, container)
        on_host = owner.attrs["HostConfig"]["NetworkMode"] == "host"
        if on_host:
            ports = [port for port in ports if port not in (places.HOST_PORT, places.LOOPBACK_PORT, 2375)]
        ends = _networks(engine, container).values()
        addresses = [end[key] for key in ("IPAddress", "GlobalIPv6Address") for end in ends if end.get(key)]
        if owner.id == mine:
            hosts = ["127.0.0.1"]
        else:
            hosts = [service.name, *addresses, *([*gateways, places.UPLINK] if on_host else [])]
        probes = [
            _to_sibling(service.name, host, port, str(port), connects=port != 8080) for port in ports for host in hosts
        ]
        for bound in (container.attrs["NetworkSettings"]["Ports"] or {}).values():
            for one in bound or ():
                if ":" not in one["HostIp"] and one["HostPort"]:  # a routed network publishes without one
                    port = int(one["HostPort"])
                    probes += [
                        _to_sibling(service.name, host, port, "published", connects=True)
                        for host in dict.fromkeys((places.UPLINK, "127.0.0.1", *(g for g in gateways if ":" not in g)))
                    ]
        yield service.name, ports, list({probe.id: probe for probe in probes}.values())


def _to_sibling(name: str, host: str, port: int, what: str, connects: bool) -> Probe:
    plan = {"host": host, "port": port, "connects": connects}
    kind = "published " if what == "published" else ""
    return Probe(f"sibling {name} {kind}{host}:{port}/tcp", "siblings", "tcp", plan, sibling=name, port=what)


def _phases(
    engine: Engine, launch: Described, containers: Mapping[str, Any], token: str
) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """What is tried one after the other, and where the siblings listen."""
    sandbox = containers[SANDBOX]
    networks = _networks(engine, sandbox)
    gateways = _gateways(engine, networks)
    probes = list(_plain(token, gateways, on_lan=any(net.driver == "macvlan" for net in launch.nets)))
    probes += _resolved(token)
    listening = {}
    for name, ports, ways in _sibling_probes(engine, launch, containers, gateways):
        listening[name] = ports
        probes += ways
    phases: list[dict[str, Any]] = [{"name": "direct", "at_once": 64, "probes": probes}]
    host = next((address for address in gateways if ":" not in address), places.DOCKER0)
    told = dict(launch.sandbox.environment)
    proxies = [told[key] for key in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") if key in told] + [
        proxy.replace(GATEWAY, host) for proxy in launch.proxies
    ]
    mediated = [p for n, proxy in enumerate(dict.fromkeys(proxies)) for p in _by_proxy(n, proxy, token)]
    for extra in launch.extra:
        asked = f"x{token}.example.com" if extra.kind == "dns" else f"LABTOK-{token}-{extra.id}"
        plan = {"host": extra.host.replace(GATEWAY, host), "port": extra.port, "want": "LAB", "token": asked}
        wire = {"dns": Wire("world", "name"), "udp": Wire("world", "token")}.get(extra.kind)
        if extra.to is not None:
            wire = _relayed(extra.cls, *extra.to)
        mediated.append(Probe(extra.id, extra.cls, extra.kind, plan, wire, "relay"))
    if mediated:
        phases.append({"name": "mediated", "at_once": 8, "probes": mediated})
    if _may_route(sandbox) and "host" not in networks and "none" not in networks:
        for number, (name, hop) in enumerate(_hops(launch, containers, networks, gateways)):
            phases.append(
                {
                    "name": name,
                    "at_once": 64,
                    "before": f"ip route save >/tmp/routes; ip addr add {places.SPOOFED}/32 dev eth0; "
                    f"ip route replace default via {hop}",
                    "after": f"ip addr del {places.SPOOFED}/32 dev eth0; ip route flush table main; "
                    "ip route restore </tmp/routes",
                    "probes": [
                        *_plain(token, gateways, f"[by {name}] ", f"net_admin by {name}"),
                        *_resolved(f"{number}{token}", f"[by {name}] ", f"net_admin by {name}"),
                    ],
                }
            )
    return phases, listening


def _gateways(engine: Engine, networks: Iterable[str]) -> list[str]:
    """The host's own addresses on the bridges of these networks."""
    found = []
    for network in networks:
        if network not in ("none", "host"):
            bridge = "docker0" if network == "bridge" else _bridge(engine, network)
            for line in engine.hosts.run("ip", "-o", "addr", "show", "dev", bridge, check=False).splitlines():
                address = ipaddress.ip_interface(line.split()[3]).ip
                if not address.is_link_local:
                    found.append(str(address))
    return list(dict.fromkeys(found))


def _engines(engine: Engine, containers: Mapping[str, Any], listening: Mapping[str, Sequence[int]]) -> list[str]:
    """Where an engine is looked for, beside where the sandbox is told to look for it."""
    sandbox = containers[SANDBOX]
    found = []
    for name in (name for name, ports in listening.items() if 2375 in ports):
        ends = _networks(engine, containers[name]).values()
        found += [f"{host}:2375" for host in (name, *(end["IPAddress"] for end in ends if end.get("IPAddress")))]
    if sandbox.attrs["HostConfig"]["PidMode"] == "host":
        found.append(BY_PROCESS)
    if "engine.tcp=2375" in engine.assumptions:
        addresses = (*_gateways(engine, _networks(engine, sandbox)), places.DOCKER0, places.UPLINK)
        found += [f"{address}:2375" for address in dict.fromkeys(addresses) if ":" not in address]
    return found


def _may_route(sandbox: Any) -> bool:
    settings = sandbox.attrs["HostConfig"]
    added = {name.removeprefix("CAP_") for name in settings["CapAdd"] or ()}
    return bool(settings["Privileged"] or added & {"NET_ADMIN", "ALL"})


def _hops(
    launch: Described, containers: Mapping[str, Any], networks: Mapping[str, Any], gateways: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Whom the sandbox could make its router: the host's bridges, and every sibling on a network of its own."""
    for number, gateway in enumerate(g for g in gateways if ":" not in g):
        yield f"gateway {number}", gateway
    for name, container in containers.items():
        if name != SANDBOX:
            for network, end in (container.attrs["NetworkSettings"]["Networks"] or {}).items():
                if network in networks and end.get("IPAddress"):
                    yield f"sibling {name}", end["IPAddress"]
    if any(net.driver == "macvlan" and net.name in launch.sandbox.networks for net in launch.nets):
        yield "the LAN's router", places.ROUTER
    if gateways and ":" not in gateways[0]:  # a rule by the source's address does not know this one
        yield "gateway 0 from another address", f"{gateways[0]} src {places.SPOOFED}"
    # the host answers for each of its addresses on each of its links, also where the bridge has none of its own
    yield "docker0 on the link", f"{places.DOCKER0} dev eth0 onlink"


def _run_probes(sandbox: Any, plan: Mapping[str, Any]) -> Any:
    given = base64.b64encode(json.dumps(plan).encode()).decode()
    told = sandbox.exec_run(
        ["python3", "/lab/probe.py", given], environment=["RES_OPTIONS=timeout:2 attempts:2"], demux=True
    )
    said, errors = (part or b"" for part in told.output)
    _, found, results = said.partition(b"PROBED")
    if not found:
        raise RuntimeError(f"the probes did not run: {(errors + said)[-600:].decode(errors='replace')}")
    return json.loads(results)


# ---- what became of them


def _since(log: Path, position: int) -> list[dict[str, Any]]:
    with log.open() as file:
        file.seek(position)
        return [json.loads(line) for line in file if line.strip()]


def _row(probe: Probe, result: Mapping[str, Any], seen: Mapping[str, Sequence[Mapping[str, Any]]]) -> Row:
    said = result["result"]
    outside = _seen(probe, result, seen)
    if said.startswith("reached"):
        end = "reached"
        if probe.kind in ("dns", "resolve") and not outside:
            end, said = "no", f"{said}, but nobody outside was asked"
    else:
        end = "one-way" if outside and not any(error in said for error in NOWHERE) else "no"
    return Row(
        *(probe.id, probe.cls, end, probe.via, probe.sibling, probe.port, probe.family),
        "" if end == "reached" else said,
    )


def _seen(probe: Probe, result: Mapping[str, Any], seen: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
    """Whether a packet of this probe came out at the other end."""
    wire = probe.wire
    if wire is None:
        return False
    entries = [*seen[wire.host], *(seen["world"] if wire.host in ("corp", "meta") else ())]
    if wire.protocol == "name":
        label = probe.plan["token"].partition(".")[0]
        return any(
            (entry["kind"] == "dns" and entry["name"] == probe.plan["token"])
            or (
                entry["kind"] == "packet"
                and entry["protocol"] == "udp"
                and entry["port"] == 53
                and label in entry["data"]
            )
            for entry in entries
            if entry["time"] <= result["ended"] + 0.6  # a resolver may ask again once the sandbox has another route
        )
    if wire.protocol == "token":
        return any(probe.plan["token"] in entry.get("data", "") for entry in entries)
    return any(
        entry["kind"] == "packet"
        and entry["protocol"] == "tcp"
        and (entry["to"], entry["port"]) == (wire.to, wire.port)
        and (wire.protocol == "relayed" or entry["sport"] == result.get("sport"))
        and result["began"] - 0.05 <= entry["time"] <= result["ended"] + 0.5
        for entry in entries
    )


def _takeover_rows(found: Mapping[str, Any]) -> list[Row]:
    rows = []
    for where, said in found["engines"].items():
        if said not in ("no:ENOENT", "no:ENOTDIR"):
            via = "direct" if where.startswith("/") and where != BY_PROCESS else "relay"
            rows.append(Row(f"engine {where}", "engine", "reached" if said == "reached" else "no", via, said=said))
    for means, results in found["pivots"].items():
        assert means in PIVOTS
        for target, said in results.items():
            cls = "engine" if target in ("create", "enter") else target.split()[0]
            end = "reached" if said == "reached" else "no"
            rows.append(Row(f"[by {means}] {target}", cls, end, means, said="" if end == "reached" else said))
    return rows
