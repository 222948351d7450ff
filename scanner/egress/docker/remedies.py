"""Edits that take a way out of a launch on Docker, each named by the edges that it alone removes, on every engine in question."""

from collections.abc import Mapping

from scanner.egress.docker import networks, siblings
from scanner.egress.docker.scene import Attached
from scanner.egress.docker.sketch import Sketch
from scanner.model.evidence import Json
from scanner.model.launch import Container, Network, Origin, Place

Edit = Mapping[str, Json]


def without_network(sketch: Sketch, container: Container) -> str:
    """`network_mode: none`."""
    edit: Edit = {"op": "set", "object": f"container:{container.name}", "field": "network_mode", "value": "none"}
    title = f"give {container.name} no network (network_mode: none)"
    return sketch.builder.action(
        f"container:{container.name}/network_mode",
        title,
        4,
        container.network_mode.origin,
        edit,
        f"everything that {container.name} calls",
    )


def detaching(sketch: Sketch, container: Container, owner: Container, one: Attached) -> tuple[str, ...]:
    """What takes a container off one of the networks of its namespace."""
    whole = without_network(sketch, container)
    if owner.network_mode.value != "networks" or not isinstance(one.attachment.origin, Place):
        return (whole,)
    return (whole, _leave(sketch, owner, one.index, one.network.key))


def leaving(sketch: Sketch, container: Container, network: Network) -> tuple[str, ...]:
    """What takes a sibling off a network."""
    index = siblings.at(container, network.key)
    if index is None or container.network_mode.value != "networks":
        return ()
    if not isinstance(container.attachments[index].origin, Place):
        return ()
    return (_leave(sketch, container, index, network.key),)


def _leave(sketch: Sketch, container: Container, index: int, network: str) -> str:
    object = f"container:{container.name}"
    edit: Edit = {"op": "remove", "object": object, "field": "attachments", "index": index}
    return sketch.builder.action(
        f"{object}/attachments/{index}",
        f"take {container.name} off network {network}",
        2 if len(container.attachments) > 1 else 4,
        container.attachments[index].origin,
        edit,
        f"what {container.name} does on {network}",
    )


def internal(sketch: Sketch, network: Network) -> tuple[str, ...]:
    """`internal: true`: closes what lies beyond the host, and on engines before 25 nothing else."""
    if network.internal.value or not _ours(sketch, network):
        return ()
    edit: Edit = {"op": "set", "object": f"network:{network.key}", "field": "internal", "value": True}
    origin = network.internal.origin if isinstance(network.internal.origin, Place) else network.origin
    title = f"make network {network.key} internal"
    breaks = f"what the containers on {network.key} call outside"
    return (sketch.builder.action(f"network:{network.key}/internal", title, 1, origin, edit, breaks),)


def unrouted(sketch: Sketch, network: Network) -> tuple[str, ...]:
    """`internal: true` where it takes the default route away too: on engines from 25 on."""
    return internal(sketch, network) if sketch.scene.everywhere(lambda e: not e.internal_is_routed) else ()


def isolated(sketch: Sketch, network: Network) -> tuple[str, ...]:
    """A bridge without an address of the host: for internal networks without IPv6, on engines from 28 on."""
    six = network.ipv6 is not None and network.ipv6.value
    if not network.internal.value or six or not _ours(sketch, network):
        return ()
    if not sketch.scene.everywhere(lambda e: e.isolated_gateways):
        return ()
    said = network.option(networks.MODE_4)
    object = f"network:{network.key}"
    edit: Edit = {"op": "set", "object": object, "field": networks.MODE_4, "value": "isolated"}
    title = f"give the bridge of {network.key} no address of the host (gateway_mode_ipv4: isolated)"
    origin = said.origin if said is not None else network.origin
    return (sketch.builder.action(f"{object}/isolated", title, 2, origin, edit, "services of the host"),)


def apart(sketch: Sketch, network: Network) -> tuple[str, ...]:
    """`enable_icc: false`: containers of the network reach no more than each other's published ports."""
    if not _ours(sketch, network) or network.driver.value not in ("bridge", ""):
        return ()
    object = f"network:{network.key}"
    edit: Edit = {"op": "set", "object": object, "field": networks.ICC, "value": "false"}
    title = f"keep the containers of {network.key} apart (enable_icc: false)"
    breaks = f"all calls within {network.key}"
    return (sketch.builder.action(f"{object}/icc", title, 3, network.origin, edit, breaks),)


def unresolving(sketch: Sketch, owner: Container) -> tuple[str, ...]:
    """A nameserver that is nobody: the container's own loopback."""
    if owner.network_mode.value == "host":
        return ()
    object = f"container:{owner.name}"
    edit: Edit
    if owner.dns:
        edit = {"op": "set", "object": object, "field": "dns", "value": ["127.0.0.1"]}
    else:
        edit = {"op": "add", "object": object, "field": "dns", "value": "127.0.0.1"}
    title = f"give {owner.name} a resolver that leads nowhere (dns: 127.0.0.1)"
    origin = owner.dns[0].origin if owner.dns else owner.origin
    return (sketch.builder.action(f"{object}/dns", title, 1, origin, edit, "names outside"),)


def unpublished(sketch: Sketch, there: Container, index: int) -> str:
    """A port that the host no longer forwards."""
    port = there.published[index]
    object = f"container:{there.name}"
    edit: Edit = {"op": "remove", "object": object, "field": "published", "index": index}
    title = f"do not publish port {port.port} of {there.name}"
    breaks = f"who calls {there.name} from outside"
    return sketch.builder.action(f"{object}/published/{index}", title, 1, port.origin, edit, breaks)


def unshared(sketch: Sketch, container: Container, source: str) -> tuple[str, ...]:
    """The mount of a folder that two containers share, dropped from the one."""
    object = f"container:{container.name}"
    found = []
    for index, mount in enumerate(container.confinement.mounts):
        if mount.source == source:
            edit: Edit = {"op": "remove", "object": object, "field": "mounts", "index": index}
            title = f"drop the mount of {mount.source} from {container.name}"
            breaks = f"what {container.name} does with {mount.target}"
            found.append(sketch.builder.action(f"{object}/mounts/{index}", title, 2, mount.origin, edit, breaks))
    return tuple(found) if len(found) == 1 else ()


def lowered(sketch: Sketch, container: Container, origin: Origin) -> str:
    """`privileged: false`."""
    object = f"container:{container.name}"
    edit: Edit = {"op": "set", "object": object, "field": "privileged", "value": False}
    title = f"take privileged from {container.name}"
    return sketch.builder.action(f"{object}/privileged", title, 1, origin, edit, "devices, mounts")


def _ours(sketch: Sketch, network: Network) -> bool:
    """Whether the launch makes the network, so that an edit of it has a place."""
    if network.external or sketch.scene.launch.network(network.key) is None:
        return False
    return network.key != networks.DEFAULT_BRIDGE or isinstance(network.origin, Place)
