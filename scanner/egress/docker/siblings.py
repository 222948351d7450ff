"""What containers of one launch are to each other: whose network namespace they share, what they serve, what they leave open."""

import ipaddress
from collections.abc import Iterable, Iterator

from scanner.egress.docker.networks import DEFAULT_BRIDGE, LOCAL_POOLS
from scanner.model.launch import Container, Launch, Missing, MountKind, Network, Published, Said

_MODES = ("none", "host", "bridge", "default", "networks")
CHAIN = 64
"""How many containers may borrow their network from each other, one after another."""


def owner(launch: Launch, container: Container) -> tuple[Container | None, tuple[Missing, ...]]:
    """Whose network namespace a container lives in: its own, or the one that `container:NAME` leads to.

    None with a Missing where the launch does not hold that container, or where they borrow in a circle.
    """
    seen: set[str] = set()
    one = container
    while len(seen) < CHAIN and one.name not in seen:
        seen.add(one.name)
        lender = borrowed(one.network_mode)
        if lender is None and one.network_mode.value not in _MODES:
            key = f"network.{one.network_mode.value}"
            why = f"what the network mode {one.network_mode.value} of {one.name} gives is not known"
            return None, (Missing(key, why, one.network_mode.origin),)
        if lender is None:
            return one, ()
        found = launch.container(lender)
        if found is None:
            key = f"network.{one.network_mode.value}"
            why = f"{one.name} lives in the network of {lender}, which is not launched here"
            return None, (Missing(key, why, one.network_mode.origin),)
        one = found
    why = f"{container.name} borrows its network in a circle, so that no engine starts it"
    return None, (Missing(f"network.{container.network_mode.value}", why, container.network_mode.origin),)


def borrowed(mode: Said[str]) -> str | None:
    """The container whose network a mode names."""
    kind, colon, name = mode.value.partition(":")
    return name if colon and kind in ("container", "service") else None


def reachable_ports(container: Container) -> Iterator[tuple[int, Published]]:
    """Ports that the host forwards to it and that other containers can call: not those of the host's loopback alone."""
    for index, port in enumerate(container.published):
        if not port.host_ip.startswith("127.") and port.host_ip not in ("::1", "[::1]"):
            yield index, port


def exposes(container: Container) -> bool:
    """Whether the launch says on which ports it serves."""
    return bool(container.exposed or container.published)


def linked(container: Container, other: Container) -> Said[str] | None:
    """The legacy link from one to the other, which the default bridge honours where containers are kept apart."""
    names = {other.name, other.container_name}
    return next((link for link in container.links if link.value.partition(":")[0].lstrip("/") in names), None)


def shared_folders(one: Container, other: Container) -> Iterator[tuple[str, str, str]]:
    """Volumes and folders of the host that both mount: what it is, where in the one, where in the other."""
    for mine in one.confinement.mounts:
        for theirs in other.confinement.mounts:
            if mine.kind is theirs.kind and mine.kind in (MountKind.BIND, MountKind.VOLUME):
                a, b = mine.source.rstrip("/"), theirs.source.rstrip("/")
                if a and (a == b or (mine.kind is MountKind.BIND and (a.startswith(b + "/") or b.startswith(a + "/")))):
                    yield mine.source, mine.target, theirs.target


def at(container: Container, network: str) -> int | None:
    """The index of its attachment to a network."""
    return next((i for i, a in enumerate(container.attachments) if a.network == network), None)


def on_default_bridge(container: Container) -> bool:
    return container.network_mode.value in (DEFAULT_BRIDGE, "default")


def within(path: str, folder: str) -> bool:
    """Whether a path lies in a folder or is it."""
    folder = folder.rstrip("/")
    return path == folder or path.startswith(folder + "/")


def names(container: Container) -> tuple[str, ...]:
    """The names that a mode such as `service:NAME` may call a container by."""
    return tuple(name for name in (container.name, container.container_name) if name)


def called(container: Container) -> frozenset[str]:
    """The names and addresses that others may call a container by."""
    names = {container.name, container.container_name, container.hostname}
    for attachment in container.attachments:
        names |= {*attachment.aliases, attachment.ipv4, attachment.ipv6}
    return frozenset(name.lower() for name in names if name)


def callable_as(container: Container, networks: Iterable[Network]) -> tuple[str, ...]:
    """The addresses that a relay's list may mean a container by: its own, its networks', and where engines choose some."""
    subnets = dict.fromkeys(subnet for network in networks for subnet in network.subnets)
    given = [a for a in sorted(called(container)) if is_address(a)]
    return (*given, *subnets, *LOCAL_POOLS)


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
