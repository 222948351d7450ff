"""What containers on Docker reach, engine by engine: the tables that were measured, what nobody gave, and edits that hold.

Verdicts are written as seven letters: internet, private, metadata, host, engine, dns, siblings; O open, L limited, C closed,
U unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.egress.assumptions import Assumed
from scanner.egress.builder import to
from scanner.egress.docker.engines import KINDS
from scanner.egress.docker.graph import container_graph
from scanner.egress.edits import apply
from scanner.egress.firewall import read_ruleset
from scanner.egress.paths import answers
from scanner.model.egress import Answer, Destination, Edge, Graph
from scanner.model.launch import (
    Attachment,
    Confinement,
    Container,
    Launch,
    Missing,
    Mount,
    MountKind,
    Network,
    Place,
    Published,
    Said,
)

OLD = {"engine.version": "20.10.24", "engine.dns": "203.0.113.53", "engine.ip6tables": "true"}
NEW = {"engine.version": "29.8.1", "engine.dns": "203.0.113.53"}
HERE = Place("compose.yaml", 1)
BRIDGE = "com.docker.network.bridge."
SLEEP = (Said("sleep", HERE), Said("infinity", HERE))
WEB = (Said("python3", HERE), Said("-m", HERE), Said("http.server", HERE))


def said(value: str) -> Said[str]:
    return Said(value, HERE)


def net(key: str, driver: str = "bridge", *, internal: bool = False, external: bool = False, ipv6: bool = False, ipv4: bool = True, subnets: Sequence[str] = (), gateways: Sequence[str] = (), **options: str) -> Network:  # fmt: skip
    """A network; options without the bridge driver's prefix."""
    return Network(
        key,
        said(driver),
        Said(internal, HERE),
        HERE,
        name=f"project_{key}",
        external=external,
        ipv4=Said(ipv4, HERE),
        ipv6=Said(ipv6, HERE),
        options=tuple((k if driver != "bridge" else BRIDGE + k, said(v)) for k, v in options.items()),
        subnets=tuple(subnets),
        gateways=tuple(gateways),
    )


def box(name: str, *networks: str, mode: str | None = None, command: Sequence[Said[str]] = SLEEP, image: str = "lab/agent:1", ports: Sequence[tuple[str, int | None, int]] = (), dns: Sequence[str] = (), env: dict[str, str] | None = None, links: Sequence[str] = (), exposed: Sequence[int] = (), addresses: dict[str, str] | None = None, priorities: dict[str, int] | None = None, **rights: object) -> Container:  # fmt: skip
    """A container on networks, or in a mode; `rights` are its Confinement's."""
    attachments = tuple(
        Attachment(n, HERE, ipv4=(addresses or {}).get(n), gw_priority=(priorities or {}).get(n)) for n in networks
    )
    if mode == "bridge":
        attachments = (Attachment("bridge", HERE),)
    return Container(
        name,
        "service",
        HERE,
        said(mode or "networks"),
        attachments,
        image=said(image),
        command=tuple(command),
        environment=tuple((k, Said(v, HERE)) for k, v in (env or {}).items()),
        published=tuple(Published(ip, host, port, "tcp", HERE) for ip, host, port in ports),
        exposed=tuple(exposed),
        links=tuple(said(link) for link in links),
        dns=tuple(said(d) for d in dns),
        confinement=Confinement(**rights),  # type: ignore[arg-type]
    )


def bind(source: str, target: str | None = None, *, read_only: bool = False) -> Mount:
    return Mount(MountKind.BIND, source, target or source, read_only, HERE)


def volume(name: str, target: str) -> Mount:
    return Mount(MountKind.VOLUME, name, target, False, HERE)


def words(text: str) -> tuple[Said[str], ...]:
    return tuple(said(word) for word in text.split())


def caps(*names: str) -> tuple[Said[str], ...]:
    return tuple(said(name) for name in names)


def launch(*parts: Container | Network) -> Launch:
    return Launch(
        "compose",
        ("compose.yaml",),
        "docker",
        containers=tuple(p for p in parts if isinstance(p, Container)),
        networks=tuple(p for p in parts if isinstance(p, Network)),
    )


def graph(of: Launch, assumed: dict[str, str], name: str = "agent", ruleset: str | None = None) -> Graph:
    container = of.container(name)
    assert container is not None
    rules = None if ruleset is None else read_ruleset(ruleset, "ruleset.txt")
    return container_graph(of, container, Assumed(assumed), rules)


def reached(of: Launch, assumed: dict[str, str], ruleset: str | None = None) -> dict[Destination, Answer]:
    return {a.destination: a for a in answers(graph(of, assumed, ruleset=ruleset))}


def letters(of: Launch, assumed: dict[str, str], ruleset: str | None = None) -> str:
    found = reached(of, assumed, ruleset)
    return "".join(found[d].verdict.value[0].upper() for d in Destination)


def missing(of: Launch, assumed: dict[str, str], destination: Destination) -> set[str]:
    return {m.key for m in reached(of, assumed)[destination].missing}


def missing_with(of: Launch, assumed: dict[str, str], ruleset: str) -> set[str]:
    return {m.key for m in reached(of, assumed, ruleset)[Destination.INTERNET].missing}


@dataclass(frozen=True)
class Case:
    """`old` on 20.10.24, `new` on 29; `new` None as `old`."""

    id: str
    parts: tuple[Container | Network, ...]
    old: str
    new: str | None = None

    @property
    def launch(self) -> Launch:
        return launch(*self.parts)


INNER, OUTER = net("inner", internal=True), net("outer")
SOCKET = "/var/run/docker.sock"
LAN = {"parent": "eth0"}


def lan(driver: str = "macvlan", *, internal: bool = False, **options: str) -> Network:
    return net("lan", driver, internal=internal, subnets=("192.168.7.0/24",), **(options or LAN))


CASES = (
    # networks
    Case("user-defined", (box("agent", "outer"), box("web", "outer"), OUTER), "OOOOCOO"),
    Case("default bridge", (box("agent", mode="bridge"), box("web", mode="bridge")), "OOOOCOO"),
    Case("none", (box("agent", mode="none"), box("web", "outer"), OUTER), "CCCCCCC"),
    Case("no networks at all", (box("agent"), box("web", "outer"), OUTER), "CCCCCCC"),
    Case("host", (box("agent", mode="host"), box("web", "outer"), OUTER), "OOOOCOO"),
    Case("internal", (box("agent", "inner"), box("web", "inner"), INNER), "CCCOCCO", "CCCLCCO"),
    Case("internal, sibling elsewhere", (box("agent", "inner"), box("web", "outer"), INNER, OUTER), "CCCOCCC", "CCCLCCC"),
    Case(
        "internal with IPv6",
        (box("agent", "inner"), net("inner", internal=True, ipv6=True, subnets=("fd00:77::/64",))),
        "CCCOCCC",
        "CCCLCCC",
    ),
    Case("internal and another", (box("agent", "inner", "outer"), INNER, OUTER), "OOOOCOC"),
    Case("masquerade off", (box("agent", "outer"), net("outer", enable_ip_masquerade="false")), "LLLOCLC"),
    Case("gateway mode nat", (box("agent", "outer"), net("outer", gateway_mode_ipv4="nat")), "OOOOCOC"),
    Case("gateway mode routed", (box("agent", "outer"), net("outer", gateway_mode_ipv4="routed")), "OOOOCOC", "LLLOCLC"),
    Case("nat-unprotected", (box("agent", "outer"), net("outer", gateway_mode_ipv4="nat-unprotected")), "OOOOCOC"),
    Case(
        "isolated",
        (box("agent", "inner"), box("web", "inner"), net("inner", internal=True, gateway_mode_ipv4="isolated")),
        "CCCOCCO",
        "CCCCCCO",
    ),
    Case(
        "isolated for IPv4 alone",
        (box("agent", "inner"), net("inner", internal=True, ipv6=True, gateway_mode_ipv4="isolated")),
        "CCCOCCC",
        "CCCLCCC",
    ),
    Case(
        "inhibited", (box("agent", "outer"), box("web", "outer"), net("outer", inhibit_ipv4="true")), "CCCCCCO"
    ),
    Case("IPv6 alone", (box("agent", "outer"), net("outer", ipv4=False, ipv6=True)), "OOOOCOC", "LLLLCLC"),
    Case("macvlan", (box("agent", "lan"), lan()), "OLLCCOC"),
    Case("macvlan, internal", (box("agent", "lan"), lan(internal=True)), "CLCCCLC"),
    Case("macvlan without a parent", (box("agent", "lan"), box("web", "lan"), lan(macvlan_mode="bridge")), "CCCCCCO"),
    Case("macvlan, private", (box("agent", "lan"), box("web", "lan"), lan(parent="eth0", macvlan_mode="private")), "OLLCCOC"),
    Case("ipvlan at layer 3", (box("agent", "lan"), lan("ipvlan", parent="eth0", ipvlan_mode="l3")), "LLLCCLC"),
    Case("ipvlan without a parent", (box("agent", "lan"), lan("ipvlan", ipvlan_mode="l2")), "CCCCCCC"),
    Case("another's network", (box("agent", mode="container:web"), box("web", "inner"), INNER), "CCCOCCO", "CCCLCCO"),
    Case("the network of one on the host", (box("agent", mode="service:web"), box("web", mode="host")), "OOOOCOO"),
    Case(
        "a network's IPv4 off is unknown to old engines",
        (box("agent", "inner"), net("inner", internal=True, ipv4=False, ipv6=True)),
        "CCCOCCC",
        "CCCLCCC",
    ),
    # which network has the default route
    Case(
        "the first by name has no masquerade",
        (box("agent", "b", "a"), net("a", enable_ip_masquerade="false"), net("b")),
        "LLLOCLC",
    ),
    Case(
        "gw_priority counts on new engines",
        (box("agent", "a", "b", priorities={"b": 1}), net("a", enable_ip_masquerade="false"), net("b")),
        "LLLOCLC",
        "OOOOCOC",
    ),
    Case(
        "the first by name leads nowhere",
        (box("agent", "a", "b"), net("a", inhibit_ipv4="true"), net("b")),
        "CCCLCCC",
    ),
    # siblings
    Case("kept apart", (box("agent", "outer"), box("web", "outer"), net("outer", enable_icc="false")), "OOOOCOC"),
    Case(
        "kept apart, published",
        (box("agent", "outer"), box("web", "outer", ports=[("", 8081, 8080)]), net("outer", enable_icc="false")),
        "OOOOCOL",
    ),
    Case(
        "published elsewhere",
        (box("agent", "outer"), box("web", "other", ports=[("", 8081, 8080)]), OUTER, net("other")),
        "OOOOCOL",
    ),
    Case(
        "published on the host's loopback alone",
        (box("agent", "outer"), box("web", "other", ports=[("127.0.0.1", 8081, 8080)]), OUTER, net("other")),
        "OOOOCOC",
    ),
    Case(
        "published, seen from an internal network",
        (box("agent", "inner"), box("web", "outer", ports=[("", 8081, 8080)]), INNER, OUTER),
        "CCCOCCC",
        "CCCLCCC",
    ),
    Case(
        "an unprotected network lets others in",
        (box("agent", "outer"), box("web", "other"), OUTER, net("other", gateway_mode_ipv4="nat-unprotected")),
        "OOOOCOC",
        "OOOOCOO",
    ),
    Case(
        "a routed network lets others in at published ports",
        (
            box("agent", "outer"),
            box("web", "other", ports=[("", 8081, 8080)]),
            OUTER,
            net("other", gateway_mode_ipv4="routed"),
        ),
        "OOOOCOL",
    ),
    Case("one of two siblings", (box("agent", "outer"), box("a", "outer"), box("b", "other"), OUTER, net("other")), "OOOOCOL"),
    Case("a sibling on the host", (box("agent", "inner"), box("web", mode="host"), INNER), "CCCOCCO", "CCCLCCO"),
    # names
    Case(
        "a resolver that is nobody",
        (box("agent", "outer", dns=["127.0.0.1"]), OUTER),
        "OOOOCLC",
    ),
    Case("dns on an internal network", (box("agent", "inner", dns=["8.8.8.8"]), INNER), "CCCOCCC", "CCCLCCC"),
    # rights
    Case("the engine's socket alone", (box("agent", mode="none", mounts=(bind(SOCKET, read_only=True),)),), "OOOOOOC"),
    Case("/var/run, read-only", (box("agent", "inner", mounts=(bind("/var/run", "/x", read_only=True),)), INNER), "OOOOOOC"),
    Case("/, read-only", (box("agent", mode="none", mounts=(bind("/", "/host", read_only=True),)),), "OOOOOOC"),
    Case("/etc, read-only", (box("agent", mode="none", mounts=(bind("/etc", "/x", read_only=True),)),), "CCCCCCC"),
    Case("/etc, writable", (box("agent", mode="none", mounts=(bind("/etc", "/x"),)),), "OOOOOOC"),
    Case("privileged", (box("agent", mode="none", privileged=Said(True, HERE)),), "OOOOOOC"),
    Case(
        "the host's processes, ptrace, unconfined",
        (
            box(
                "agent",
                "inner",
                pid=said("host"),
                cap_add=caps("SYS_PTRACE"),
                seccomp=said("unconfined"),
                apparmor=said("unconfined"),
            ),
            INNER,
        ),
        "OOOOOOC",
    ),
    Case("NET_ADMIN, internal", (box("agent", "inner", cap_add=caps("NET_ADMIN")), INNER), "CCCOCCC"),
    Case(
        "NET_ADMIN, inhibited",
        (box("agent", "outer", cap_add=caps("NET_ADMIN")), net("outer", inhibit_ipv4="true")),
        "LLLLCLC",
    ),
    Case(
        "NET_ADMIN chooses the route",
        (box("agent", "a", "b", cap_add=caps("NET_ADMIN")), net("a", enable_ip_masquerade="false"), net("b")),
        "OOOOCOC",
    ),
    # what siblings pass on
    Case(
        "a relay to one port",
        (
            box("agent", "inner"),
            box("relay", "inner", "outer", command=words("socat TCP-LISTEN:8443,fork TCP:203.0.113.10:443")),
            INNER,
            OUTER,
        ),
        "LCCOCCO",
        "LCCLCCO",
    ),
    Case(
        "a sleeping neighbour passes nothing on",
        (box("agent", "inner"), box("idle", "inner", "outer"), INNER, OUTER),
        "CCCOCCO",
        "CCCLCCO",
    ),
    Case(
        "a neighbour of unknown software",
        (box("agent", "inner"), box("web", "inner", "outer", command=WEB), INNER, OUTER),
        "UUUOCUO",
        "UUULCUO",
    ),
    Case(
        "software that nobody knows where the agent stands adds nothing",
        (box("agent", "inner"), box("web", "inner", command=WEB), INNER),
        "CCCOCCO",
        "CCCLCCO",
    ),
    Case(
        "the same, with a resolver of its own",
        (box("agent", "inner"), box("web", "inner", command=WEB, dns=["8.8.8.8"]), INNER),
        "CCCOCCO",
        "CCCLCCO",
    ),
    Case(
        "an engine's socket relayed",
        (
            box("agent", "inner"),
            box(
                "engine",
                "inner",
                command=words(f"socat TCP-LISTEN:2375,fork UNIX-CONNECT:{SOCKET}"),
                mounts=(bind(SOCKET),),
            ),
            INNER,
        ),
        "OOOOOOO",
    ),
    Case(
        "an engine's socket relayed into a shared volume",
        (
            box("agent", mode="none", mounts=(volume("sock", "/sock"),)),
            box(
                "relay",
                mode="none",
                command=words(f"socat UNIX-LISTEN:/sock/docker.sock,fork UNIX-CONNECT:{SOCKET}"),
                mounts=(bind(SOCKET), volume("sock", "/sock")),
            ),
        ),
        "OOOOOOO",
    ),
    Case(
        "docker:dind without certificates",
        (
            box("agent", "inner"),
            box("dind", "inner", image="docker:27-dind", command=(), env={"DOCKER_TLS_CERTDIR": ""}),
            INNER,
        ),
        "OOOOOOO",
    ),
    Case(
        "docker:dind, its certificates in a shared volume",
        (
            box("agent", "inner", mounts=(volume("certs", "/certs/client"),)),
            box("dind", "inner", image="docker:dind", command=(), mounts=(volume("certs", "/certs/client"),)),
            INNER,
        ),
        "OOOOOOO",
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_verdicts_on_both_engines(case: Case) -> None:
    assert letters(case.launch, OLD) == case.old
    assert letters(case.launch, NEW) == (case.new or case.old)


# ---- how the engine was started


@pytest.mark.parametrize(
    ("parts", "old", "new"),
    [
        ((box("agent", "inner"), INNER), "CCCOCOC", "CCCLCCC"),
        ((box("agent", "inner", dns=["8.8.8.8"]), INNER), "CCCOCCC", "CCCLCCC"),
        ((box("agent", "outer"), OUTER), "OOOOCOC", "OOOOCOC"),
        ((box("agent", "inner", "outer"), INNER, OUTER), "OOOOCOC", "OOOOCOC"),
        ((box("agent", "outer"), net("outer", enable_ip_masquerade="false")), "LLLOCOC", "LLLOCOC"),
        ((box("agent", "lan"), lan(macvlan_mode="bridge")), "CCCCCOC", "CCCCCCC"),
        ((box("agent", mode="bridge"),), "OOOOCOC", "OOOOCOC"),
        ((box("agent", mode="none"),), "CCCCCCC", "CCCCCCC"),
    ],
)
def test_the_hosts_resolver_on_its_loopback(parts: tuple[Container | Network, ...], old: str, new: str) -> None:
    """Names leak out of an internal network (CVE-2024-29018) until 23.0.11, 25.0.5, 26.0.0."""
    assert letters(launch(*parts), {**OLD, "engine.dns": "host-loopback"}) == old
    assert letters(launch(*parts), {**NEW, "engine.dns": "host-loopback"}) == new


@pytest.mark.parametrize(
    ("version", "dns"),
    [
        ("20.10.24", "O"),
        ("23.0.10", "O"),
        ("23.0.11", "C"),
        ("24.0.9", "O"),
        ("25.0.4", "O"),
        ("25.0.5", "C"),
        ("26.0.0", "C"),
    ],
)
def test_when_the_leak_of_names_was_fixed(version: str, dns: str) -> None:
    found = letters(launch(box("agent", "inner"), INNER), {"engine.version": version, "engine.dns": "127.0.0.53"})
    assert found[5] == dns


@pytest.mark.parametrize(("version", "host"), [("24.0.9", "O"), ("25.0.3", "C"), ("25.0.4", "L"), ("28.0.0", "L")])
def test_the_bridge_of_an_internal_network_by_version(version: str, host: str) -> None:
    assert letters(launch(box("agent", "inner"), INNER), {**NEW, "engine.version": version})[3] == host


def test_link_local_ipv6_that_two_versions_left_on() -> None:
    """CVE-2024-32473."""
    inhibited = launch(box("agent", "outer"), net("outer", inhibit_ipv4="true"))
    assert letters(inhibited, {**NEW, "engine.version": "26.0.1"})[3] == "L"
    assert letters(inhibited, {**NEW, "engine.version": "26.0.2"})[3] == "C"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((box("agent", mode="bridge"), box("web", mode="bridge")), "OOOOCOC"),
        ((box("agent", mode="bridge", links=["web"]), box("web", mode="bridge", exposed=[8080])), "OOOOCOO"),
        ((box("agent", mode="bridge", links=["web:w"]), box("web", mode="bridge")), "OOOOCOU"),
        ((box("agent", "outer"), box("web", "outer"), OUTER), "OOOOCOO"),
        ((box("agent", mode="bridge"), box("web", mode="bridge", ports=[("", 8081, 8080)])), "OOOOCOL"),
    ],
)
def test_containers_of_the_default_bridge_kept_apart(parts: tuple[Container | Network, ...], expected: str) -> None:
    for engine in (OLD, NEW):
        assert letters(launch(*parts), {**engine, "engine.icc": "false"}) == expected


@pytest.mark.parametrize(
    ("parts", "engine"),
    [
        ((box("agent", "outer"), OUTER), "O"),
        ((box("agent", "inner"), INNER), "O"),
        ((box("agent", mode="none"),), "C"),
        ((box("agent", "outer"), net("outer", inhibit_ipv4="true")), "C"),
        ((box("agent", mode="host"),), "O"),
    ],
)
def test_an_engine_on_tcp_is_taken_by_who_reaches_the_host(parts: tuple[Container | Network, ...], engine: str) -> None:
    for version in (OLD, NEW):
        assert letters(launch(*parts), {**version, "engine.tcp": "2375"})[4] == engine


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("host.docker.internal:2375", "OOOOO"),
        ("host.docker.internal:9000", "CCCLC"),
        ("172.17.0.1:2375", "OOOOO"),
        ("203.0.113.10:9000", "LCCLC"),
    ],
)
def test_a_relay_reaches_the_engine_only_by_its_port(target: str, expected: str) -> None:
    """Whoever commands the engine is no longer held by what the relay passes."""
    relay = box(
        "relay",
        "outer",
        command=words(f"socat UNIX-LISTEN:/sock/r.sock,fork TCP:{target}"),
        mounts=(volume("sock", "/sock"),),
    )
    shared = launch(box("agent", mode="none", mounts=(volume("sock", "/sock"),)), relay, OUTER)
    for engine in (OLD, NEW):
        assert letters(shared, {**engine, "engine.tcp": "2375"}).startswith(expected)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("socat TCP-LISTEN:8888,fork TCP:proxy:8888", "L"),
        ("socat TCP-LISTEN:8888,fork TCP:172.20.0.9:8888", "L"),
        ("socat TCP-LISTEN:8888,fork TCP:203.0.113.10:443", "L"),
        ("socat TCP-LISTEN:8888,fork TCP:db:5432", "C"),
        ("socat TCP-LISTEN:8888,fork TCP:10.77.0.1:22", "C"),
    ],
)
def test_a_relay_to_a_proxy_reaches_what_the_proxy_lets_through(first: str, expected: str) -> None:
    """What passes the second goes by the second's list, if the first leads to it at all."""
    chain = launch(
        box("agent", "inner"),
        box("relay", "inner", "middle", command=words(first)),
        box("proxy", "middle", "outer", command=words("socat TCP-LISTEN:8888,fork TCP:203.0.113.99:443")),
        box("db", "middle"),
        INNER,
        net("middle", internal=first.find("203.0.113") < 0),
        OUTER,
    )
    assert letters(chain, NEW)[0] == expected


def test_a_relay_to_a_proxy_on_the_host() -> None:
    relay = box(
        "relay",
        "outer",
        command=words("socat UNIX-LISTEN:/sock/r.sock,fork TCP:host.docker.internal:8888"),
        mounts=(volume("sock", "/sock"),),
    )
    proxy = box("proxy", mode="host", command=words("socat TCP-LISTEN:8888,fork TCP:203.0.113.10:443"))
    agent = box("agent", mode="none", mounts=(volume("sock", "/sock"),))
    assert letters(launch(agent, relay, proxy, OUTER), NEW) == "LCCLCCL"


def test_a_builders_socket_is_a_part_of_an_engine() -> None:
    assert letters(launch(box("agent", mode="none", mounts=(bind("/run/buildkit/buildkitd.sock"),))), NEW) == "CCCCLCC"


def test_ipv6_is_not_filtered_where_the_engine_does_not() -> None:
    inner = launch(box("agent", "inner"), net("inner", internal=True, ipv6=True))
    assert letters(inner, {**OLD, "engine.ip6tables": "false"}) == "LLLOCLC"
    assert letters(inner, {**OLD, "engine.ip6tables": "true"}) == "CCCOCCC"
    assert letters(inner, {**OLD, "engine.ip6tables": "false", "host.ipv6": "false"}) == "CCCOCCC"
    unknown = {key: value for key, value in OLD.items() if key != "engine.ip6tables"}
    assert letters(inner, unknown)[0] == "U"
    assert missing(inner, unknown, Destination.INTERNET) == {"engine.ip6tables"}


def test_without_the_userland_proxy_old_engines_isolate_published_ports() -> None:
    elsewhere = launch(box("agent", "outer"), box("web", "other", ports=[("", 8081, 8080)]), OUTER, net("other"))
    assert letters(elsewhere, {**OLD, "engine.userland-proxy": "false"})[6] == "C"
    assert letters(elsewhere, {**NEW, "engine.userland-proxy": "false"})[6] == "L"


def test_no_metadata_service() -> None:
    open_ = launch(box("agent", "outer"), OUTER)
    assert letters(open_, {**NEW, "host.metadata": "false"}) == "OOCOCOC"


def test_rootless_keeps_the_bridges_from_the_host() -> None:
    inner = launch(box("agent", "inner"), INNER)
    assert letters(inner, {**NEW, "engine.rootless": "true"})[3] == "C"


# ---- what nobody gave


def test_an_unknown_version_is_named_where_versions_differ() -> None:
    inner = launch(box("agent", "inner"), INNER)
    assert letters(inner, {}) == "CCCUCUC"
    assert missing(inner, {}, Destination.HOST) == {"engine.version"}
    assert missing(inner, {}, Destination.DNS) == {"engine.version", "engine.dns"}


def test_an_unknown_version_is_no_matter_where_all_agree() -> None:
    assert letters(launch(box("agent", "outer"), box("web", "outer"), OUTER), {}) == "OOOOCOO"
    assert letters(launch(box("agent", mode="none")), {}) == "CCCCCCC"


@pytest.mark.parametrize(
    ("given", "expected"), [(None, "UUUUCUC"), ("internal", "CCCLCCC"), ("open", "OOOOCOC"), ("none", "CCCCCCC")]
)
@pytest.mark.parametrize("key", ["ext", "project_ext"])
def test_a_network_made_elsewhere(given: str | None, expected: str, key: str) -> None:
    external = launch(box("agent", "ext"), net("ext", external=True))
    assumed = NEW if given is None else {**NEW, f"network.{key}": given}
    assert letters(external, assumed) == expected
    if given is None:
        assert missing(external, assumed, Destination.INTERNET) == {"network.ext"}


def test_a_network_of_a_driver_that_is_not_known() -> None:
    assert letters(launch(box("agent", "mesh"), net("mesh", "overlay")), NEW) == "UUUUCUC"


def test_a_container_that_the_launch_does_not_hold() -> None:
    elsewhere = launch(box("agent", mode="container:proxy"), box("web", "outer"), OUTER)
    assert letters(elsewhere, NEW) == "UUUUUUU"
    assert missing(elsewhere, NEW, Destination.INTERNET) == {"network.container:proxy"}
    assert letters(elsewhere, {**NEW, "network.container:proxy": "none"}) == "CCCCCCC"
    assert letters(elsewhere, {**NEW, "network.container:proxy": "internal"})[0] == "C"


def test_containers_that_borrow_in_a_circle() -> None:
    circle = launch(box("agent", mode="container:a"), box("a", mode="container:b"), box("b", mode="service:agent"))
    assert letters(circle, NEW)[:6] == "UUUUUU"


@pytest.mark.parametrize(("given", "expected"), [(None, "UUUUUUO"), ("false", "CCCLCCO"), ("true", "OOOOOOO")])
def test_what_a_neighbour_with_the_engines_socket_passes_on(given: str | None, expected: str) -> None:
    """A server on the internal network alone, of unknown software, that holds the engine's socket."""
    held = launch(box("agent", "inner"), box("web", "inner", command=WEB, mounts=(bind(SOCKET),)), INNER)
    assert letters(held, NEW if given is None else {**NEW, "forwards.web": given}) == expected


def test_a_shared_folder_with_software_that_nobody_knows() -> None:
    shared = launch(
        box("agent", mode="none", mounts=(volume("data", "/data"),)),
        box("web", "outer", command=WEB, mounts=(volume("data", "/srv"),)),
        OUTER,
    )
    assert letters(shared, NEW)[0] == "U"
    assert missing(shared, NEW, Destination.INTERNET) == {"forwards.web"}


def test_net_admin_on_an_internal_network_with_a_neighbour_elsewhere() -> None:
    """Measured on 29: where the host's firewall does not see frames, the neighbour's kernel passes packets on, one way."""
    idle = launch(box("agent", "inner", cap_add=caps("NET_ADMIN")), box("idle", "inner", "outer"), INNER, OUTER)
    assert letters(idle, OLD)[0] == "C"
    assert letters(idle, NEW)[0] == "U"
    assert missing(idle, NEW, Destination.INTERNET) == {"host.br-netfilter"}
    assert letters(idle, {**NEW, "host.br-netfilter": "false"})[0] == "L"
    assert letters(idle, {**NEW, "host.br-netfilter": "true"})[0] == "C"


def test_what_a_user_who_is_not_root_can_do_is_not_known() -> None:
    held = launch(box("agent", mode="none", user=said("1000"), mounts=(bind(SOCKET),)))
    assert letters(held, NEW)[4] == "U"
    assert letters(held, {**NEW, "root.agent": "true"})[4] == "O"
    assert letters(held, {**NEW, "root.agent": "false"})[4] == "C"


@pytest.mark.parametrize("mode", ["slirp4netns", "pasta:--ipv4-only", "ns:/run/netns/x", "nat"])
def test_a_mode_that_nobody_knows(mode: str) -> None:
    strange = launch(box("agent", mode=mode))
    assert letters(strange, NEW) == "UUUUUUC"
    assert missing(strange, NEW, Destination.INTERNET) == {f"network.{mode}"}


def test_the_engines_own_bridge_by_another_name() -> None:
    """`external: true` with `name: bridge`: nothing of it is unknown, and it has no embedded resolver."""
    own = replace(net("default", external=True), name="bridge")
    two = launch(box("agent", "default"), box("web", "default"), own)
    assert letters(two, {**NEW, "engine.dns": "host-loopback"}) == "OOOOCOO"
    assert letters(two, {**NEW, "engine.icc": "false"})[6] == "C"


def test_processes_in_sight_are_acted_from() -> None:
    """A sibling whose processes are in sight is on another network, and holds the engine's socket."""
    web = box("web", "outer", command=WEB)
    sees = launch(box("agent", mode="none", pid=said("service:web")), web, OUTER)
    assert letters(sees, NEW)[0] == "U"
    assert "host.escape" in missing(sees, NEW, Destination.INTERNET)
    assert letters(sees, {**NEW, "host.escape": "true"})[:3] == "OOO"
    assert letters(sees, {**NEW, "host.escape": "false"})[0] == "C"
    traced = launch(box("agent", mode="none", pid=said("service:web"), cap_add=caps("SYS_PTRACE")), web, OUTER)
    assert letters(traced, NEW)[:3] == "OOO"
    holds = box("web", mode="none", pid=said("container:agent"), mounts=(bind(SOCKET),))
    assert letters(launch(box("agent", mode="none"), holds), NEW)[4] == "U"


def test_a_socket_of_the_host_that_nobody_knows() -> None:
    def mounted(path: str, **assumed: str) -> str:
        return letters(launch(box("agent", mode="none", mounts=(bind(path),))), {**NEW, **assumed})

    assert mounted("/run/proxy.sock") == "UUUUUUC"
    assert mounted("/run/proxy.sock", **{"forwards.proxy.sock": "false"}) == "CCCCCCC"
    assert mounted("/run/proxy.sock", **{"forwards.proxy.sock": "true"})[0] == "L"
    assert mounted("/run/mysqld/mysqld.sock") == "CCCCCCC"
    assert mounted("/tmp/ssh-agent.sock") == "CCCCCCC"


def test_what_a_launch_left_open_may_open_anything() -> None:
    hole = Missing("env.MOUNT", "what is mounted hangs on the variable MOUNT", HERE)
    alone = replace(box("agent", mode="none"), missing=(hole,))
    assert letters(launch(alone), NEW) == "UUUUUUC"
    sibling = replace(box("web", "inner", command=words("tinyproxy -d")), missing=(hole,))
    assert letters(launch(box("agent", "inner"), sibling, INNER), NEW)[0] == "U"


# ---- names asked through a sibling


def test_a_nameserver_among_the_siblings() -> None:
    def asking(command: str, **assumed: str) -> str:
        resolver = box("dns", "inner", "outer", command=words(command), addresses={"inner": "172.30.0.53"})
        agent = box("agent", "inner", dns=["172.30.0.53"])
        return letters(launch(agent, resolver, replace(INNER, subnets=("172.30.0.0/24",)), OUTER), {**NEW, **assumed})[
            5
        ]

    assert asking("socat UDP-LISTEN:53,fork UDP:203.0.113.53:53") == "O"
    assert asking("socat TCP-LISTEN:8080,fork TCP:203.0.113.53:80") == "C"
    assert asking("sleep infinity") == "C"
    assert asking("some-server") == "U"


@pytest.mark.parametrize(
    ("address", "subnets", "expected"),
    [
        ("172.30.0.1", ("172.30.0.0/24",), "O"),  # the bridge's own address: a resolver of the host's
        ("172.30.0.2", ("172.30.0.0/24",), "U"),  # the neighbour's, if the engine gave it that one
        ("172.31.0.2", ("172.30.0.0/24",), "C"),
        ("172.30.0.2", (), "U"),
        ("10.1.2.3", (), "C"),  # engines take no subnets from there unless told so
    ],
)
def test_a_nameserver_on_the_link(address: str, subnets: tuple[str, ...], expected: str) -> None:
    agent, web = box("agent", "inner", dns=[address]), box("web", "inner", "outer", command=WEB)
    assert letters(launch(agent, web, replace(INNER, subnets=subnets), OUTER), {**NEW, "forwards.web": "false"})[5] == (
        "C" if expected == "U" else expected
    )
    if expected == "U":
        unknown = launch(agent, web, replace(INNER, subnets=subnets), OUTER)
        assert letters(unknown, NEW)[5] == "U"


# ---- DOCKER_HOST


@pytest.mark.parametrize(
    ("host", "engine"),
    [
        ("tcp://host.docker.internal:2375", "O"),
        ("tcp://203.0.113.99:2375", "O"),
        ("unix:///var/run/docker.sock", "C"),
        ("tcp://web:2375", "U"),
    ],
)
def test_an_engine_that_the_environment_names(host: str, engine: str) -> None:
    named = launch(box("agent", "outer", env={"DOCKER_HOST": host}), box("web", "outer", command=WEB), OUTER)
    assert letters(named, NEW)[4] == engine


def test_an_engine_that_the_environment_names_out_of_reach() -> None:
    for host in ("tcp://host.docker.internal:2375", "tcp://203.0.113.99:2375"):
        assert letters(launch(box("agent", "inner", env={"DOCKER_HOST": host}), INNER), NEW)[4] == "C"


# ---- the host's rules

_RULES = """*filter
:INPUT {input} [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
{entering}
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o br-1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i br-1 ! -o br-1 -j ACCEPT
-A FORWARD -i br-1 -o br-1 -j ACCEPT
{user}
-A DOCKER-USER -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 172.18.0.0/16 ! -o br-1 -j MASQUERADE
COMMIT
"""


def rules(*user: str, input: str = "ACCEPT", entering: str = "") -> str:
    lines = "\n".join(f"-A DOCKER-USER {rule}" for rule in user)
    return _RULES.format(user=lines, input=input, entering=entering)


@pytest.mark.parametrize(
    ("ruleset", "expected"),
    [
        (rules(), "OOOOCOO"),
        (rules("-i br-1 -j DROP"), "CCCOCCC"),
        (rules("-s 172.18.0.0/16 -j DROP"), "CCCOCCC"),
        (rules("-i br-1 ! -o br-1 -j DROP"), "CCCOCCO"),
        (rules("-i br-1 -d 10.0.0.0/8 -j DROP"), "OLOOCOO"),
        (rules("-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN", "-i br-1 -p tcp --dport 443 -j RETURN", "-i br-1 ! -o br-1 -j DROP"), "LLLOCCO"),
        (rules(input="DROP"), "OOOCCOO"),
        (rules(entering="-A INPUT -i br-1 -j DROP"), "OOOCCOO"),
        (rules(entering="-A INPUT -i br-1 -p tcp --dport 22 -j DROP"), "OOOLCOO"),
        (rules(entering="-A INPUT -i br-7 -j DROP"), "OOOOCOO"),
        (rules("-o br-1 -j DROP"), "LLLOCLC"),
    ],
)  # fmt: skip
def test_a_ruleset_of_the_host(ruleset: str, expected: str) -> None:
    assert letters(launch(box("agent", "outer"), box("web", "outer"), OUTER), OLD, ruleset) == expected


def test_rules_for_ipv4_say_nothing_of_ipv6() -> None:
    dual = launch(box("agent", "outer"), net("outer", ipv6=True))
    assert letters(dual, NEW, rules("-i br-1 -j DROP"))[0] == "L"


def test_the_rule_that_closes_is_named() -> None:
    found = reached(launch(box("agent", "outer"), OUTER), OLD, rules("-i br-1 -j DROP"))
    [barrier] = found[Destination.INTERNET].because
    assert (barrier.origin, barrier.target) == (Place("ruleset.txt", 13), to(Destination.INTERNET))


def test_which_bridge_is_meant_matters_where_the_rules_name_several() -> None:
    accepted = "-A FORWARD -i br-1 -o br-1 -j ACCEPT"
    other = "-A FORWARD -i br-2 -o br-2 -j ACCEPT\n-A FORWARD -i br-2 ! -o br-2 -j ACCEPT"
    masked = "-A POSTROUTING -s 172.18.0.0/16 ! -o br-1 -j MASQUERADE"
    one = launch(box("agent", "outer"), OUTER)
    unlike = rules("-i br-1 -j DROP").replace(accepted, f"{accepted}\n{other}")
    assert letters(one, OLD, unlike)[0] == "C"  # br-2 is not masqueraded, as this network would be
    two = unlike.replace(masked, f"{masked}\n{masked.replace('172.18', '172.19').replace('br-1', 'br-2')}")
    assert letters(one, OLD, two)[0] == "U"
    assert missing_with(one, OLD, two) == {"bridge.outer"}
    assert letters(one, {**OLD, "bridge.outer": "br-1"}, two)[0] == "C"
    assert letters(one, {**OLD, "bridge.outer": "br-2"}, two)[0] == "L"  # no rule lets its answers back
    # what they share is certain all the same
    assert letters(one, OLD, two.replace("-i br-1 -j DROP", "-p tcp --dport 53 -j DROP"))[:3] == "LLL"
    named = launch(box("agent", "outer"), net("outer", name="br-1"))
    assert letters(named, OLD, two)[0] == "C"


def test_a_published_port_behind_a_rule_that_drops_all() -> None:
    """On 20.10 the proxy on the host answers, past DOCKER-USER; from 28 on the packets are forwarded, and dropped there."""
    elsewhere = launch(
        box("agent", "outer"),
        box("web", "other", ports=[("", 8081, 8080)]),
        net("outer", name="br-1"),
        net("other", name="br-2"),
    )
    assert letters(elsewhere, OLD, rules("-i br-1 -j DROP")) == "CCCOCCL"
    assert letters(elsewhere, NEW, rules("-i br-1 -j DROP")) == "CCCOCCC"
    closed = rules("-i br-1 -j DROP", entering="-A INPUT -i br-1 -p tcp --dport 8081 -j DROP")
    assert letters(elsewhere, OLD, closed)[6] == "C"


def test_input_of_one_network_holds_for_its_address_whatever_the_route() -> None:
    """The bridge's address of the other network is on the link, so that its rules decide."""
    two = launch(box("agent", "a", "b"), net("a", name="br-0"), net("b", name="br-1"))
    assert letters(two, OLD, rules(entering="-A INPUT -i br-1 -p tcp -j DROP"))[3] == "L"
    assert letters(two, OLD, rules())[3] == "O"


def test_addresses_of_containers_are_none_of_the_hosts() -> None:
    raw = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 172.18.0.2/32 ! -i br-9 -j DROP\nCOMMIT\n"
    assert letters(launch(box("agent", "outer"), OUTER), OLD, raw + rules())[3] == "O"


def test_what_a_rule_leaves_unclear_is_not_known() -> None:
    one = launch(box("agent", "outer"), OUTER)
    strange = rules("-i br-1 -m bpf --bytecode 1,6 -j DROP")
    assert letters(one, OLD, strange)[:3] == "UUU"
    assert missing_with(one, OLD, strange) == {"ruleset.unclear"}
    assert letters(one, {**OLD, "ruleset.unclear": "accept"}, strange)[0] == "O"
    assert letters(one, {**OLD, "ruleset.unclear": "drop"}, strange)[0] == "C"


def test_macvlan_leaves_the_hosts_rules_aside() -> None:
    assert letters(launch(box("agent", "lan"), lan()), OLD, rules("-j DROP"))[0] == "O"


# ---- why not, and what would close it


def test_what_is_closed_says_by_which_line() -> None:
    line = Place("compose.yaml", 9, 5)
    inner = replace(INNER, internal=Said(True, line))
    found = reached(launch(box("agent", "inner"), inner), NEW)
    assert [b.origin for b in found[Destination.INTERNET].because] == [line]
    line = Place("compose.yaml", 4, 3)
    alone = replace(box("agent", mode="none"), network_mode=Said("none", line))
    for destination in (Destination.INTERNET, Destination.HOST, Destination.DNS):
        assert [b.origin for b in reached(launch(alone), NEW)[destination].because] == [line]


def removes(of: Launch, assumed: dict[str, str], edge: Edge, drawn: Graph, action: str) -> bool:
    """Whether the edge is gone from the graph of the launch after the edit."""
    [found] = [a for a in drawn.actions if a.id == action]
    after = graph(apply(of, [found]), assumed)
    gone = (edge.source, edge.target, edge.kind, edge.why, edge.permits)
    return gone not in {
        (e.source, e.target, e.kind, e.why, e.permits) for e in after.edges
    } or edge.source not in reachable(after)


def reachable(drawn: Graph) -> set[str]:
    found, waiting = {drawn.start}, [drawn.start]
    while waiting:
        node = waiting.pop()
        for edge in drawn.edges:
            if edge.source == node and edge.target not in found:
                found.add(edge.target)
                waiting.append(edge.target)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_every_edit_removes_the_edges_that_name_it(case: Case) -> None:
    for assumed in (OLD, NEW, {**OLD, "engine.dns": "host-loopback"}):
        drawn = graph(case.launch, assumed)
        for edge in drawn.edges:
            for action in edge.actions:
                assert removes(case.launch, assumed, edge, drawn, action), (action, edge)


def test_internal_alone_leaves_the_host_open_to_old_engines() -> None:
    """And names, where the host's resolver is on its loopback: the edit is named by no edge that it does not remove."""
    drawn = graph(launch(box("agent", "outer"), OUTER), {**OLD, "engine.dns": "host-loopback"})
    closed = {e.target for e in drawn.edges if "network:outer/internal" in e.actions}
    assert to(Destination.INTERNET) in closed
    assert to(Destination.HOST) not in closed
    assert not any("network:outer/internal" in e.actions for e in drawn.edges if e.kind == "names")


# ---- properties


MODES = st.sampled_from(["none", "host", "bridge", "container:b", "container:c", None])
NETS = st.lists(st.sampled_from(["a", "b", "lan", "ext"]), unique=True, max_size=3)
OPTIONS = st.dictionaries(
    st.sampled_from(["enable_icc", "enable_ip_masquerade", "inhibit_ipv4", "gateway_mode_ipv4", "gateway_mode_ipv6"]),
    st.sampled_from(["true", "false", "routed", "isolated", "nat-unprotected", "?"]),
    max_size=3,
)


@st.composite
def launches(draw: st.DrawFn) -> Launch:
    parts: list[Container | Network] = []
    for name in ("agent", "b", "c"):
        mode = draw(MODES)
        joined = draw(NETS) if mode is None else []
        parts.append(
            box(
                name,
                *joined,
                mode=mode,
                command=draw(
                    st.sampled_from([SLEEP, WEB, words("tinyproxy -d"), words("socat TCP-LISTEN:1,fork TCP:b:2")])
                ),
                ports=draw(st.sampled_from([(), (("", 8081, 8080),), (("127.0.0.1", None, 53),)])),
                dns=draw(st.sampled_from([(), ("8.8.8.8",), ("127.0.0.1",), ("nonsense",)])),
                env=draw(st.sampled_from([{}, {"DOCKER_HOST": "tcp://b:2375"}, {"DOCKER_HOST": "tcp://["}])),
                cap_add=draw(st.sampled_from([(), caps("NET_ADMIN"), caps("ALL"), caps("SYS_ADMIN")])),
                mounts=draw(st.sampled_from([(), (bind("/run"),), (volume("v", "/v"),), (bind(""),)])),
            )
        )
    parts.append(net("a", internal=draw(st.booleans()), ipv6=draw(st.booleans()), **draw(OPTIONS)))
    parts.append(net("b", internal=draw(st.booleans()), **draw(OPTIONS)))
    parts.append(lan(internal=draw(st.booleans())))
    parts.append(net("ext", external=True))
    return launch(*parts)


@given(launches())
@settings(max_examples=40, deadline=None)
def test_what_is_certain_of_an_unknown_engine_is_so_on_every_engine(of: Launch) -> None:
    """Closed or open without a version means so on each of them; a fact that is given never contradicts."""
    least = letters(of, {})
    for version in (KINDS[0], KINDS[3], KINDS[-1]):
        for dns in ("host-loopback", "203.0.113.53"):
            given = {"engine.version": ".".join(map(str, version)), "engine.dns": dns}
            for unknown, known in zip(least, letters(of, given), strict=True):
                assert known == unknown or "U" in (known, unknown), (given, least)
