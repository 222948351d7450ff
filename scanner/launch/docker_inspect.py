"""`docker inspect`: containers with their networks and volumes as the engine tells of them, podman's too where they are alike.

Shapes: moby, api/swagger.yaml (ContainerInspect, NetworkInspect, Volume), 20.10 (API 1.41) and 29 (API 1.52); podman-inspect(1).
"""

import posixpath
import re
from collections.abc import Iterator, Sequence

from scanner.errors import ParseError, ScannerError
from scanner.launch.docker_run import default_bridge, external_network, unique
from scanner.launch.document import Node
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.model.launch import (
    Attachment,
    Confinement,
    Container,
    Default,
    Launch,
    Mount,
    MountKind,
    Network,
    Origin,
    Published,
    Said,
)

_ID = re.compile(r"[0-9a-f]{12,64}")
_KINDS = {
    "bind": MountKind.BIND,
    "volume": MountKind.VOLUME,
    "tmpfs": MountKind.TMPFS,
    "image": MountKind.IMAGE,
    "npipe": MountKind.BIND,
}
_PODMAN = Default("podman")


def _is_container(one: Node) -> bool:
    return (one.get("HostConfig") or Node("", 0, 0, 0)).is_map and (one.get("Config") or Node("", 0, 0, 0)).is_map


def _is_network(one: Node) -> bool:
    docker = one.get("Driver") is not None and one.get("IPAM") is not None and one.get("Name") is not None
    return docker or (one.get("driver") is not None and one.get("network_interface") is not None)


def _is_volume(one: Node) -> bool:
    return one.get("Mountpoint") is not None and one.get("Driver") is not None and one.get("Name") is not None


def _objects(given: Input) -> Iterator[Node]:
    for document in given.documents:
        yield from document.elements if document.elements is not None else (document,)


def recognises(given: Input) -> bool:
    """Whether it holds what the engine tells of containers or networks (of images it is another thing)."""
    if '"HostConfig"' not in given.text and '"IPAM"' not in given.text and '"network_interface"' not in given.text:
        return False
    try:
        return any(_is_container(one) or _is_network(one) for one in _objects(given))
    except ScannerError:
        # broken JSON of this kind is told by the reader, with its line
        return given.text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[") and '"HostConfig"' in given.text


def read(inputs: Sequence[Input], options: ReadOptions) -> Launch:  # noqa: ARG001 - a format's reader has this shape
    """All containers of the inputs on the networks that are told beside them; a network that is not is external.

    Raises ParseError for broken JSON, an object of another kind, and inputs without a container.
    """
    containers: list[Node] = []
    networks: dict[str, Network] = {}
    volumes: dict[str, Node] = {}
    names: dict[str, str] = {}  # a network's id → its name
    for one in (o for given in inputs for o in _objects(given)):
        if _is_container(one):
            containers.append(one)
        elif _is_network(one):
            network = _network(one)
            if network.driver.value in ("host", "null"):
                continue  # these two are modes, whatever the engine calls them
            networks.setdefault(network.key, network)
            names[_text(one, "Id") or _text(one, "id")] = network.key
        elif _is_volume(one):
            volumes[_text(one, "Name")] = one
        else:
            raise ParseError(f"{one.place}: this is no container, network or volume as docker inspect tells of them")
    if not containers:
        raise ParseError(f"{inputs[0].name}:1:1: docker inspect of networks alone; add that of a container on them")
    told = _told(containers)
    ids = {id_: name for id_, (name, _) in told.items()}
    found = tuple(_container(one, name, ids, names, volumes) for name, one in told.values())
    for container in found:
        for attachment in container.attachments:
            key = attachment.network
            if key not in networks:
                networks[key] = _unseen(key, attachment.origin)
    return Launch("docker-inspect", tuple(i.name for i in inputs), "docker", found, tuple(networks.values()))


def _told(containers: Sequence[Node]) -> dict[str, tuple[str, Node]]:
    """By their ids, once each, what they are called here: two engines may have containers of the same name."""
    told: dict[str, tuple[str, Node]] = {}
    taken: dict[str, int] = {}
    for number, one in enumerate(containers):
        identifier = _text(one, "Id") or f"#{number}"
        if identifier in told:
            continue
        told[identifier] = (unique(_name(one), taken), one)
    return told


def networks_alone(inputs: Sequence[Input]) -> tuple[Network, ...] | None:
    """The networks of inputs that tell of nothing else; None if they tell of containers. Raises ParseError."""
    objects = [o for given in inputs for o in _objects(given)]
    if any(_is_container(one) for one in objects):
        return None
    return tuple(_network(one) for one in objects if _is_network(one))


def _unseen(key: str, origin: Origin) -> Network:
    if key == "bridge":
        return default_bridge()
    if key == "podman":
        return Network(key, Said("bridge", _PODMAN), Said(False, _PODMAN), _PODMAN, name=key)
    assert not isinstance(origin, Default)
    return external_network(key, origin)


# ---- networks


def _network(one: Node) -> Network:
    if one.get("IPAM") is None:
        return _podman_network(one)
    name = _text(one, "Name")
    configs = [c for c in _list(one.at("IPAM", "Config")) if c.is_map]
    driver = one.get("Driver")
    assert driver is not None
    return Network(
        name,
        Said(driver.text or "bridge", driver.place),
        _flag(one, "Internal") or Said(False, Default("docker")),
        one.place,
        name=name,
        ipv4=_flag(one, "EnableIPv4"),
        ipv6=_flag(one, "EnableIPv6"),
        options=tuple((k, Said(v.text or "", v.place)) for k, _, v in _items(one.get("Options"))),
        subnets=tuple(t for c in configs if (t := _text(c, "Subnet"))),
        gateways=tuple(t for c in configs if (t := _text(c, "Gateway"))),
    )


def _podman_network(one: Node) -> Network:
    name = _text(one, "name")
    subnets = [s for s in _list(one.get("subnets")) if s.is_map]
    driver = one.get("driver")
    assert driver is not None
    return Network(
        name,
        Said(driver.text or "bridge", driver.place),
        _flag(one, "internal") or Said(False, _PODMAN),
        one.place,
        name=name,
        ipv6=_flag(one, "ipv6_enabled"),
        options=tuple((k, Said(v.text or "", v.place)) for k, _, v in _items(one.get("options"))),
        subnets=tuple(t for s in subnets if (t := _text(s, "subnet"))),
        gateways=tuple(t for s in subnets if (t := _text(s, "gateway"))),
    )


# ---- containers


def _container(one: Node, name: str, ids: dict[str, str], names: dict[str, str], volumes: dict[str, Node]) -> Container:
    config, host = one.get("Config"), one.get("HostConfig")
    assert config is not None
    assert host is not None
    mode, attachments = _networks(one, host, ids, names)
    image = config.get("Image")
    entrypoint, command = config.get("Entrypoint"), config.get("Cmd")
    exposed = config.get("ExposedPorts")
    return Container(
        name=name,
        kind="container",
        origin=one.place,
        network_mode=mode,
        attachments=attachments,
        image=Said(image.text, image.place) if image is not None and image.text else None,
        container_name=_name(one),
        hostname=_text(config, "Hostname") or None,
        working_dir=_text(config, "WorkingDir") or None,
        entrypoint=_words(entrypoint),
        command=_words(command),
        environment=tuple(_environment(config)),
        published=tuple(_published(one, host)),
        exposed=tuple(
            dict.fromkeys(int(p[0]) for key, _, _ in _items(exposed) if (p := re.match(r"\d{1,5}", key, re.ASCII)))
        ),
        links=tuple(Said(_link(e.text), e.place) for e in _list(host.get("Links")) if e.text),
        extra_hosts=tuple(
            (n, Said(address, e.place))
            for e in _list(host.get("ExtraHosts"))
            if e.text
            for n, _, address in [e.text.partition(":")]
        ),
        dns=tuple(Said(e.text, e.place) for e in _list(host.get("Dns")) if e.text),
        confinement=_confinement(one, config, host, ids, volumes),
        labels={key: value.text or "" for key, _, value in _items(config.get("Labels"))},
    )


def _environment(config: Node) -> Iterator[tuple[str, Said[str | None]]]:
    for one in _list(config.get("Env")):
        if one.text is not None:
            key, equals, value = one.text.partition("=")
            yield key, Said(value if equals else None, one.place)


def _name(one: Node) -> str:
    return _text(one, "Name").lstrip("/") or _text(one, "Id")[:12] or "container"


def _link(text: str) -> str:
    """`/target:/source/alias` as TARGET:ALIAS."""
    target, _, alias = text.partition(":")
    return f"{target.rpartition('/')[2]}:{alias.rpartition('/')[2]}" if alias else target.rpartition("/")[2]


def _networks(
    one: Node, host: Node, ids: dict[str, str], names: dict[str, str]
) -> tuple[Said[str], tuple[Attachment, ...]]:
    """What the container is on. `Networks` tells how it is, the mode how it was made: one that was taken off its network
    is on none."""
    mode = host.get("NetworkMode")
    text = (mode.text if mode is not None else None) or "default"
    place: Origin = mode.place if mode is not None else Default("docker")
    if text in ("none", "host"):
        return Said(text, place), ()
    if text.startswith(("container:", "ns:")):
        kind, _, whose = text.partition(":")
        if kind == "ns":
            return Said("networks", place), (Attachment(text, place),)
        found = next(
            (
                name
                for id_, name in ids.items()
                if whose in (id_, name) or (_ID.fullmatch(whose) and id_.startswith(whose))
            ),
            None,
        )
        return Said(f"container:{found or whose}", place), ()
    told = one.at("NetworkSettings", "Networks")
    attachments = []
    for key, at, settings in _items(told):
        network = names.get(_text(settings, "NetworkID"), key)
        if network in ("none", "host"):
            continue
        priority = settings.get("GwPriority")
        attachments.append(
            Attachment(
                network,
                at.place,
                aliases=tuple(a.text for a in _list(settings.get("Aliases")) if a.text),
                ipv4=_text(settings, "IPAddress") or _text(settings.get("IPAMConfig"), "IPv4Address") or None,
                ipv6=_text(settings, "GlobalIPv6Address") or _text(settings.get("IPAMConfig"), "IPv6Address") or None,
                gw_priority=priority.integer() if priority is not None else None,
            )
        )
    if attachments:
        only_bridge = len(attachments) == 1 and attachments[0].network == "bridge"
        return Said("bridge" if only_bridge else "networks", place), tuple(attachments)
    own = text.partition(":")[0]
    running = one.at("State", "Running")
    if (
        told is not None
        and told.is_map
        and running is not None
        and running.flag()
        and own not in ("slirp4netns", "pasta")
    ):
        return Said("none", told.place), ()
    if own in ("default", "bridge", "slirp4netns", "pasta", "private"):
        return Said("bridge", place), (Attachment("bridge", place),)
    return Said("networks", place), (Attachment(names.get(text, text), place),)


def _published(one: Node, host: Node) -> Iterator[Published]:
    """`NetworkSettings.Ports` knows the ports that the engine chose; of a container that does not run, `PortBindings`."""
    ports = one.at("NetworkSettings", "Ports")
    if ports is None or not any(True for _ in _bindings(ports)):
        ports = host.get("PortBindings")
    seen: set[tuple[str, int | None, int, str]] = set()
    for port, protocol, binding in _bindings(ports):
        address, outside = _text(binding, "HostIp"), _text(binding, "HostPort")
        address = "" if address in ("0.0.0.0", "::") else address  # noqa: S104 - compared, not bound
        number = int(outside) if re.fullmatch(r"\d{1,5}", outside, re.ASCII) else None
        key = (address, number or None, port, protocol)
        if key not in seen:
            seen.add(key)
            yield Published(address, number or None, port, protocol, binding.place)


def _bindings(ports: Node | None) -> Iterator[tuple[int, str, Node]]:
    for key, _, bindings in _items(ports):
        found = re.fullmatch(r"(\d{1,5})(?:/(\w+))?", key, re.ASCII)
        if found is not None:
            for binding in _list(bindings):
                yield int(found[1]), (found[2] or "tcp").lower(), binding


def _confinement(one: Node, config: Node, host: Node, ids: dict[str, str], volumes: dict[str, Node]) -> Confinement:
    seccomp = apparmor = no_new = None
    for option in _list(host.get("SecurityOpt")):
        text = option.text or ""
        key, sign, value = text.partition("=")
        if not sign:
            key, _, value = text.partition(":")
        if key == "seccomp":
            builtin = value in ("default", "builtin")
            named = value if not value.lstrip().startswith("{") else "a profile of its own"
            seccomp = None if builtin else Said(named, option.place)
        elif key == "apparmor":
            apparmor = Said(value, option.place)
        elif key == "no-new-privileges":
            no_new = Said((value or "true") == "true", option.place)
    profile, running = one.get("AppArmorProfile"), one.at("State", "Running")
    if apparmor is None and profile is not None and running is not None and running.flag():
        # a running one without a profile has none, whatever the engine's default is
        apparmor = Said("unconfined", profile.place) if profile.text in ("", "unconfined") else None
    user = config.get("User")
    root = _flag(host, "ReadonlyRootfs")
    return Confinement(
        user=Said(user.text, user.place) if user is not None and user.text else None,
        privileged=_flag(host, "Privileged"),
        read_only=root if root is not None and root.value else None,
        cap_add=tuple(_capabilities(host.get("CapAdd"))),
        cap_drop=tuple(_capabilities(host.get("CapDrop"))),
        seccomp=seccomp,
        apparmor=apparmor,
        no_new_privileges=no_new,
        pid=_mode(host, "PidMode", ids),
        ipc=_mode(host, "IpcMode", ids),
        uts=_mode(host, "UTSMode", ids),
        userns=_mode(host, "UsernsMode", ids),
        cgroup=_mode(host, "CgroupnsMode", ids) or _mode(host, "CgroupMode", ids),
        runtime=_mode(host, "Runtime", ids) or _runtime(one),
        mounts=tuple(_mounts(one, host, volumes)),
        devices=tuple(
            Said(
                ":".join(t for k in ("PathOnHost", "PathInContainer", "CgroupPermissions") if (t := _text(d, k))),
                d.place,
            )
            for d in _list(host.get("Devices"))
            if d.is_map
        ),
        gpus=_gpus(host),
        sysctls=tuple((key, Said(value.text or "", value.place)) for key, _, value in _items(host.get("Sysctls"))),
    )


def _runtime(one: Node) -> Said[str] | None:
    runtime = one.get("OCIRuntime")
    return Said(runtime.text, runtime.place) if runtime is not None and runtime.text else None


def _capabilities(listed: Node | None) -> Iterator[Said[str]]:
    for one in _list(listed):
        if one.text:
            yield Said(one.text.upper().removeprefix("CAP_"), one.place)


def _mode(host: Node, key: str, ids: dict[str, str]) -> Said[str] | None:
    value = host.get(key)
    if value is None or not value.text:
        return None
    text = value.text
    if text.startswith("container:"):
        text = f"container:{ids.get(text.removeprefix('container:'), text.removeprefix('container:'))}"
    return Said(text, value.place)


def _gpus(host: Node) -> Said[str] | None:
    for request in _list(host.get("DeviceRequests")):
        kinds = {c.text for group in _list(request.get("Capabilities")) for c in _list(group)}
        devices = [d.text or "" for d in _list(request.get("DeviceIDs"))]
        if "gpu" in kinds or _text(request, "Driver") == "nvidia" or any("gpu" in d for d in devices):
            count = _text(request, "Count")
            names = ",".join(devices) or ("all" if count in ("-1", "0", "") else count)
            return Said(names, request.place)
    return None


def _mounts(one: Node, host: Node, volumes: dict[str, Node]) -> Iterator[Mount]:
    told = one.get("Mounts")
    for mount in _list(told):
        kind = _KINDS.get(_text(mount, "Type"), MountKind.OTHER)
        source, target = _text(mount, "Source"), _text(mount, "Destination")
        read_only = (_flag(mount, "RW") or Said(True, mount.place)).value is False
        if kind is MountKind.VOLUME:
            name = _text(mount, "Name")
            device = _text(volumes.get(name), "Options", "device")
            plain = _text(volumes.get(name), "Options", "type") in ("", "none", "bind")
            if device and plain:
                kind, source = MountKind.BIND, device
            else:
                source = name or source
        elif kind is MountKind.TMPFS:
            source = ""
        yield Mount(kind, source, target, read_only, mount.place)
    if told is None or not told.elements:
        for bind in _list(host.get("Binds")):
            source, _, rest = (bind.text or "").partition(":")
            target, _, options = rest.partition(":")
            if target:
                kind = MountKind.BIND if posixpath.isabs(source) else MountKind.VOLUME
                yield Mount(kind, source, target, "ro" in options.split(","), bind.place)
    targets = {_text(m, "Destination") for m in _list(told)}
    for path, at, _ in _items(host.get("Tmpfs")):
        if path not in targets:
            yield Mount(MountKind.TMPFS, "", path, False, at.place)


# ---- small parts


def _text(node: Node | None, *keys: str) -> str:
    found = node.at(*keys) if node is not None else None
    return "" if found is None or found.text is None or found.is_null else found.text


def _flag(node: Node, key: str) -> Said[bool] | None:
    found = node.get(key)
    value = found.flag() if found is not None else None
    return Said(value, found.place) if found is not None and value is not None else None


def _list(node: Node | None) -> tuple[Node, ...]:
    return (node.elements or ()) if node is not None else ()


def _items(node: Node | None) -> Iterator[tuple[str, Node, Node]]:
    return node.items() if node is not None else iter(())


def _words(node: Node | None) -> tuple[Said[str], ...] | None:
    if node is None or node.is_null:
        return None
    if node.text is not None:  # podman told the entrypoint as one text
        return (Said(node.text, node.place),) if node.text else None
    return tuple(Said(w.text, w.place) for w in _list(node) if w.text is not None)


FORMAT = Format("docker-inspect", "what docker inspect tells of containers, with their networks", recognises, read)
