"""Launches to be measured: what they consist of, how they read as a Compose file and as command lines, and many of them.

A launch is described once. Both texts say the same of it, so that a prediction can start from either file; the command
lines are what is really deployed. The sandbox is the service of that name.
"""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.egress.lab import places
from tests.egress.lab.engine import AGENT

SANDBOX = "sandbox"
SLEEP = ("sleep", "infinity")
SOCKET = "/var/run/docker.sock"
GATEWAY = "GATEWAY"
"""Stands for the container host as a sandbox finds it: its gateway, where it has one."""
BRIDGE_OPTION = "com.docker.network.bridge."
MASQUERADE_OFF = (f"{BRIDGE_OPTION}enable_ip_masquerade", "false")
ICC_OFF = (f"{BRIDGE_OPTION}enable_icc", "false")
INHIBIT = (f"{BRIDGE_OPTION}inhibit_ipv4", "true")


def gateway_mode(mode: str, family: str = "ipv4") -> tuple[str, str]:
    return (f"{BRIDGE_OPTION}gateway_mode_{family}", mode)


@dataclass(frozen=True, slots=True)
class Net:
    """A network. `default` is the one that Compose makes where a service names none."""

    name: str
    driver: str = "bridge"
    internal: bool = False
    ipv4: bool = True
    ipv6: bool = False
    options: tuple[tuple[str, str], ...] = ()
    subnet: str | None = None
    gateway: str | None = None

    @property
    def plain(self) -> bool:
        return self == Net(self.name)


@dataclass(frozen=True, slots=True)
class Service:
    """A container. `mode` (`none`, `host`, `bridge`, `container:NAME`) stands instead of `networks`.

    `volumes` are in the short form; `./` is the launch's folder. `ports` too.
    """

    name: str
    networks: tuple[str, ...] = ()
    mode: str | None = None
    command: tuple[str, ...] = SLEEP
    image: str = AGENT
    ports: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    security_opt: tuple[str, ...] = ()
    pid: str | None = None
    volumes: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    user: str | None = None

    @property
    def needs(self) -> list[str]:
        """What has to be there before it: whom it is linked with, whose network it shares."""
        shared = (self.mode or "").partition(":")[2]
        return [*(link.partition(":")[0] for link in self.links), *([shared] if shared else [])]


@dataclass(frozen=True, slots=True)
class Extra:
    """A probe that only this launch calls for: through a relay, at `port` of `host`, to what lies behind it (`to`)."""

    id: str
    kind: str
    cls: str
    host: str
    port: int = 0
    to: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """A launch. `files` are its folder's; `host` commands run on the container host once it stands.

    In them `{bridge:NET}` is the interface and `{subnet:NET}` the addresses of one of its networks. `ruleset`: the host's
    rules are part of what is known. `variant` is how the engine is started.
    """

    name: str
    services: tuple[Service, ...]
    nets: tuple[Net, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    volumes: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    ruleset: bool = False
    variant: str = "dns"
    newer_only: bool = False
    proxies: tuple[str, ...] = ()
    extra: tuple[Extra, ...] = ()

    @property
    def sandbox(self) -> Service:
        return next(service for service in self.services if service.name == SANDBOX)

    def net_name(self, name: str) -> str:
        """As the engine calls it: as Compose would, since a container's default route may follow the names' order."""
        return f"{self.name}_{name}"


# ---- as texts


def compose(launch: Described) -> str:
    """Its compose.yaml."""
    lines = ["services:"]
    for service in launch.services:
        lines += [f"  {service.name}:", *(f"    {line}" for line in _service_lines(service))]
    written = [net for net in launch.nets if net.name != "default" or not net.plain]
    if written:
        lines.append("networks:")
        for net in written:
            lines += _net_lines(net)
    if launch.volumes:
        lines += ["volumes:", *(f"  {name}: {{}}" for name in launch.volumes)]
    return "\n".join(lines) + "\n"


def _service_lines(service: Service) -> Iterator[str]:
    yield f"image: {service.image}"
    yield f"command: {json.dumps(service.command)}"
    if service.mode is not None:
        named = service.mode.partition(":")
        yield f"network_mode: {json.dumps(f'service:{named[2]}' if named[2] else service.mode)}"
    elif service.networks != ("default",):
        yield "networks:"
        for net in service.networks:
            yield f"  {net}: {{}}"
    for key, values in (
        ("ports", service.ports),
        ("expose", service.expose),
        ("dns", service.dns),
        ("extra_hosts", service.extra_hosts),
        ("links", service.links),
        ("cap_add", service.cap_add),
        ("cap_drop", service.cap_drop),
        ("security_opt", service.security_opt),
        ("volumes", service.volumes),
    ):
        if values:
            yield f"{key}:"
            yield from (f"  - {json.dumps(value)}" for value in values)
    if service.environment:
        yield "environment:"
        yield from (f"  {name}: {json.dumps(value)}" for name, value in service.environment)
    if service.privileged:
        yield "privileged: true"
    if service.pid is not None:
        yield f"pid: {json.dumps(service.pid)}"
    if service.user is not None:
        yield f"user: {json.dumps(service.user)}"
    if service.needs:
        yield f"depends_on: {json.dumps(service.needs)}"


def _net_lines(net: Net) -> Iterator[str]:
    yield f"  {net.name}:"
    yield f"    driver: {net.driver}"
    if net.internal:
        yield "    internal: true"
    if net.ipv6:
        yield "    enable_ipv6: true"
    if not net.ipv4:
        yield "    enable_ipv4: false"
    if net.options:
        yield "    driver_opts:"
        yield from (f"      {key}: {json.dumps(value)}" for key, value in net.options)
    if net.subnet is not None:
        gateway = {} if net.gateway is None else {"gateway": net.gateway}
        yield f"    ipam: {json.dumps({'config': [{'subnet': net.subnet, **gateway}]})}"


def command_lines(launch: Described) -> str:
    """Its run.txt: what a shell in the launch's folder runs."""
    lines = [_joined(["docker", "network", "create", *_net_words(launch, net)]) for net in launch.nets]
    for service in _in_order(launch):
        lines.append(_joined(["docker", "run", "-d", *_service_words(launch, service)]))
        lines += [
            _joined(["docker", "network", "connect", launch.net_name(net), service.name])
            for net in service.networks[1:]
        ]
    return "\n".join(lines) + "\n"


def _in_order(launch: Described) -> list[Service]:
    """Those that others need come first."""
    needed = {name for service in launch.services for name in service.needs}
    return sorted(launch.services, key=lambda service: service.name not in needed)


def _joined(words: Sequence[str]) -> str:
    return " ".join(f'"$PWD{word[1:]}"' if word.startswith("./") else shlex.quote(word) for word in words)


def _net_words(launch: Described, net: Net) -> Iterator[str]:
    yield from ("--driver", net.driver)
    if net.internal:
        yield "--internal"
    if net.ipv6:
        yield "--ipv6"
    if not net.ipv4:
        yield "--ipv4=false"
    for key, value in net.options:
        yield from ("-o", f"{key}={value}")
    if net.subnet is not None:
        yield from ("--subnet", net.subnet)
    if net.gateway is not None:
        yield from ("--gateway", net.gateway)
    yield launch.net_name(net.name)


def _service_words(launch: Described, service: Service) -> Iterator[str]:
    yield from ("--name", service.name)
    if service.mode is not None:
        yield from ("--network", service.mode)
    else:
        yield from ("--network", launch.net_name(service.networks[0]))
    for flag, values in (
        ("-p", service.ports),
        ("--expose", service.expose),
        ("--dns", service.dns),
        ("--add-host", service.extra_hosts),
        ("--link", service.links),
        ("--cap-add", service.cap_add),
        ("--cap-drop", service.cap_drop),
        ("--security-opt", service.security_opt),
        ("-v", service.volumes),
        ("-e", tuple(f"{name}={value}" for name, value in service.environment)),
    ):
        for value in values:
            yield from (flag, value)
    if service.privileged:
        yield "--privileged"
    if service.pid is not None:
        yield from ("--pid", service.pid)
    if service.user is not None:
        yield from ("--user", service.user)
    yield service.image
    yield from service.command


# ---- the software of siblings


def web(name: str = "web", *networks: str, **more: object) -> Service:
    """A service that answers HTTP on 8080."""
    return Service(name, networks, command=("python3", "/lab/sibling.py", "8080"), **more)  # type: ignore[arg-type]


def socat(name: str, listen: str, connect: str, *networks: str, **more: object) -> Service:
    """A relay."""
    command = ("socat", f"{listen},fork,reuseaddr" if listen.startswith("TCP") else f"{listen},fork,mode=666", connect)
    return Service(name, networks, command=command, **more)  # type: ignore[arg-type]


TINYPROXY = ("tinyproxy", "-d", "-c", "/etc/tinyproxy/tinyproxy.conf")
ANCHORED = r"^allowed\.example\.com$"


def tinyproxy(
    name: str,
    *networks: str,
    connect_ports: Sequence[int] = (),
    allow: str | None = None,
    deny_rest: bool = True,
    **more: object,
) -> tuple[Service, tuple[tuple[str, str], ...]]:
    """A forwarding proxy and the files of its configuration: `allow` is its filter's one line."""
    lines = ["Port 8888", "Timeout 600", "MaxClients 100", *(f"ConnectPort {port}" for port in connect_ports)]
    files = []
    volumes = [f"./{name}.conf:/etc/tinyproxy/tinyproxy.conf:ro"]
    if allow is not None:
        lines += ['Filter "/etc/tinyproxy/filter"', "FilterExtended On"]
        lines += ["FilterDefaultDeny Yes"] if deny_rest else []
        files.append((f"{name}.filter", f"{allow}\n"))
        volumes.append(f"./{name}.filter:/etc/tinyproxy/filter:ro")
    files.append((f"{name}.conf", "\n".join(lines) + "\n"))
    service = Service(name, networks, command=TINYPROXY, volumes=tuple(volumes), **more)  # type: ignore[arg-type]
    return service, tuple(files)


def proxied(host: str) -> tuple[tuple[str, str], ...]:
    """The variables that programs look at."""
    return (("HTTP_PROXY", f"http://{host}:8888"), ("HTTPS_PROXY", f"http://{host}:8888"))


def agent(*networks: str, **more: object) -> Service:
    return Service(SANDBOX, networks, **more)  # type: ignore[arg-type]


# ---- a fixed set: one launch for each thing that is known to matter


def fixed() -> tuple[Described, ...]:
    """Picked by hand; what only newer engines know is marked so."""
    inner, outer = Net("inner", internal=True), Net("outer")
    return (
        *_networks(inner, outer),
        *_rights(inner, outer),
        *_mediators(inner, outer),
        *_engines(inner, outer),
        *_host_rules(outer, inner),
    )


def _networks(inner: Net, outer: Net) -> Iterator[Described]:
    yield Described("default", (agent("default"), web("web", "default")), (Net("default"),))
    yield Described("bridge", (agent(mode="bridge"),))
    yield Described("none", (agent(mode="none"), web("web", "outer")), (outer,))
    yield Described("host", (agent(mode="host"), web("web", "outer")), (outer,))
    yield Described("internal", (agent("inner"), web("web", "inner")), (inner,))
    yield Described("internal-other", (agent("inner"), web("web", "outer")), (inner, outer))
    yield Described("internal-dns", (agent("inner", dns=(places.NAMES,)),), (inner,))
    yield Described(
        "internal-ipv6", (agent("inner"), web("web", "inner")), (replace(inner, ipv6=True, subnet="fd00:77::/64"),)
    )
    yield Described("ipv6", (agent("outer"), web("web", "outer")), (replace(outer, ipv6=True, subnet="fd00:78::/64"),))
    yield Described("masquerade-off", (agent("outer"),), (replace(outer, options=(MASQUERADE_OFF,)),))
    yield Described("icc-off", (agent("outer"), web("web", "outer")), (replace(outer, options=(ICC_OFF,)),))
    yield Described(
        "icc-off-published",
        (agent("outer"), web("web", "outer", ports=("18081:8080",))),
        (replace(outer, options=(ICC_OFF,)),),
    )
    yield Described("inhibit", (agent("outer"), web("web", "outer")), (replace(outer, options=(INHIBIT,)),))
    yield Described("dual-homed", (agent("inner", "outer"), web("web", "inner")), (inner, outer))
    yield Described("published", (agent("inner"), web("web", "outer", ports=("18081:8080",))), (inner, outer))
    yield Described(
        "published-open", (agent("outer"), web("web", "other", ports=("18081:8080",))), (outer, Net("other"))
    )
    yield Described("container", (agent(mode="container:web"), web("web", "inner")), (inner,))
    yield Described("container-host", (agent(mode="container:web"), web("web", mode="host")))
    yield Described(
        "extra-hosts",
        (agent("inner", extra_hosts=("host.docker.internal:host-gateway",)), web("web", "inner")),
        (inner,),
    )
    yield Described("links", (agent(mode="bridge", links=("web",)), web("web", mode="bridge")))
    yield Described("links-no-icc", (agent(mode="bridge", links=("web",)), web("web", mode="bridge")), variant="no-icc")
    exposed = web("web", mode="bridge", expose=("8080",))
    yield Described("links-no-icc-exposed", (agent(mode="bridge", links=("web",)), exposed), variant="no-icc")
    yield Described("no-icc", (agent(mode="bridge"), web("web", mode="bridge")), variant="no-icc")
    macvlan = Net("lan", "macvlan", subnet="198.51.100.0/24", gateway=places.ROUTER, options=(("parent", "up0"),))
    yield Described("macvlan", (agent("lan"),), (macvlan,))
    yield Described("macvlan-internal", (agent("lan"),), (replace(macvlan, internal=True),))
    yield Described("ipvlan", (agent("lan"),), (replace(macvlan, driver="ipvlan"),))
    yield Described("ipvlan-no-parent", (agent("lan"), web("web", "lan")), (Net("lan", "ipvlan"),))
    for mode in ("nat", "routed", "nat-unprotected"):
        yield Described(
            f"mode-{mode}", (agent("outer"), web("web", "outer")), (replace(outer, options=(gateway_mode(mode),)),)
        )
    isolated = replace(inner, options=(gateway_mode("isolated"),))
    yield Described("mode-isolated", (agent("inner"), web("web", "inner")), (isolated,))
    ipv6_only = replace(outer, ipv4=False, ipv6=True, subnet="fd00:79::/64")
    yield Described("ipv6-only", (agent("outer"),), (ipv6_only,), newer_only=True)


def _rights(inner: Net, outer: Net) -> Iterator[Described]:
    yield Described(
        "net-admin-internal", (agent("inner", cap_add=("NET_ADMIN",)), web("web", "inner", "outer")), (inner, outer)
    )
    yield Described(
        "net-admin-inhibit", (agent("outer", cap_add=("NET_ADMIN",)),), (replace(outer, options=(INHIBIT,)),)
    )
    yield Described("cap-drop", (agent("outer", cap_drop=("ALL",)),), (outer,))
    yield Described("privileged-internal", (agent("inner", privileged=True),), (inner,))
    yield Described("privileged-none", (agent(mode="none", privileged=True),))
    ptrace = agent(
        "inner",
        pid="host",
        cap_add=("SYS_ADMIN", "SYS_PTRACE"),
        security_opt=("seccomp=unconfined", "apparmor=unconfined"),
    )
    yield Described("pid-ptrace", (ptrace,), (inner,))
    yield Described("pid-admin", (agent("inner", pid="host", cap_add=("SYS_ADMIN",)),), (inner,))
    yield Described("socket-none", (agent(mode="none", volumes=(f"{SOCKET}:{SOCKET}:ro",)),))
    yield Described("socket-internal", (agent("inner", volumes=(f"{SOCKET}:{SOCKET}",)),), (inner,))
    yield Described("run-mounted", (agent("inner", volumes=("/var/run:/hostrun:ro",)),), (inner,))
    yield Described("root-mounted", (agent(mode="none", volumes=("/:/host:ro",)),))
    shared = socat(
        "relay",
        "UNIX-LISTEN:/sock/docker.sock",
        f"UNIX-CONNECT:{SOCKET}",
        mode="none",
        volumes=(f"{SOCKET}:{SOCKET}", "sock:/sock"),
    )
    yield Described("socket-shared", (agent(mode="none", volumes=("sock:/sock",)), shared), volumes=("sock",))
    remote = socat("engine", "TCP-LISTEN:2375", f"UNIX-CONNECT:{SOCKET}", "inner", volumes=(f"{SOCKET}:{SOCKET}",))
    yield Described(
        "socket-remote", (agent("inner", environment=(("DOCKER_HOST", "tcp://engine:2375"),)), remote), (inner,)
    )


def _mediators(inner: Net, outer: Net) -> Iterator[Described]:
    def by(name: str, **settings: object) -> Described:
        proxy, files = tinyproxy("proxy", "inner", "outer", **settings)  # type: ignore[arg-type]
        return Described(name, (agent("inner", environment=proxied("proxy")), proxy), (inner, outer), files)

    yield by("proxy-any")
    yield by("proxy-anchored", allow=ANCHORED, connect_ports=(443,))
    yield by("proxy-unanchored", allow=r"allowed\.example\.com", connect_ports=(443, 563))
    yield by("proxy-deny-list", allow=r"^other\.example\.net$", deny_rest=False)
    yield by("proxy-any-port", allow=ANCHORED)
    proxy, files = tinyproxy("proxy", mode="host")
    yield Described(
        "proxy-on-host",
        (agent("inner"), proxy),
        (inner,),
        files,
        proxies=(f"http://{GATEWAY}:8888",),
    )
    relay = socat("relay", "TCP-LISTEN:8443", f"TCP:{places.INTERNET}:443", "inner", "outer")
    reach = Extra("relay to the internet's 443", "tcp", "internet", "relay", 8443, (places.INTERNET, 443))
    yield Described("relay", (agent("inner"), relay), (inner, outer), extra=(reach,))
    yield Described("dual-homed-web", (agent("inner"), web("web", "inner", "outer")), (inner, outer))


def _engines(inner: Net, outer: Net) -> Iterator[Described]:
    yield Described("loopback-dns-internal", (agent("inner"),), (inner,), variant="loopback-dns")
    yield Described(
        "loopback-dns-internal-dns", (agent("inner", dns=(places.NAMES,)),), (inner,), variant="loopback-dns"
    )
    yield Described("loopback-dns-open", (agent("outer"),), (outer,), variant="loopback-dns")
    yield Described("tcp-internal", (agent("inner"),), (inner,), variant="tcp")
    yield Described("tcp-none", (agent(mode="none"),), variant="tcp")
    yield Described(
        "no-ip6tables-internal",
        (agent("inner"),),
        (replace(inner, ipv6=True, subnet="fd00:77::/64"),),
        variant="no-ip6tables",
    )
    yield Described(
        "no-ip6tables-open",
        (agent("outer"),),
        (replace(outer, ipv6=True, subnet="fd00:78::/64"),),
        variant="no-ip6tables",
    )


def _host_rules(outer: Net, inner: Net) -> Iterator[Described]:
    def ruled(name: str, *rules: str, net: Net = outer) -> Described:
        return Described(name, (agent(net.name), web("web", net.name)), (net,), host=rules, ruleset=True)

    yield ruled("rule-user-drop", "iptables -I DOCKER-USER -i {bridge:outer} -j DROP")
    placed = replace(outer, subnet="172.31.250.0/24")
    yield ruled("rule-user-subnet", "iptables -I DOCKER-USER -s {subnet:outer} -j DROP", net=placed)
    yield ruled("rule-user-subnet-unsaid", "iptables -I DOCKER-USER -s {subnet:outer} -j DROP")
    yield ruled("rule-user-appended", "iptables -A DOCKER-USER -i {bridge:outer} -j DROP")
    yield ruled(
        "rule-user-and-input",
        "iptables -I DOCKER-USER -i {bridge:outer} -j DROP",
        "iptables -I INPUT -i {bridge:outer} -j DROP",
    )
    yield ruled("rule-input-internal", "iptables -I INPUT -i {bridge:inner} -j DROP", net=inner)
    yield ruled(
        "rule-allow-443",
        "iptables -I DOCKER-USER -i {bridge:outer} ! -o {bridge:outer} -j DROP",
        "iptables -I DOCKER-USER -i {bridge:outer} -p tcp --dport 443 -j RETURN",
        "iptables -I DOCKER-USER -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
    )
