"""From a merged Compose project to what it starts: containers and networks, each value with its place.

What an unset variable leaves open about a container is a Missing `env.NAME`; nothing is decided in its stead.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace

from scanner.errors import LimitError, ParseError
from scanner.launch.composing.confining import confinement
from scanner.launch.composing.environment import service_environment
from scanner.launch.composing.mounts import Mounts
from scanner.launch.composing.networking import make_networks, network_mode
from scanner.launch.composing.project import Open, Project, fields, filled, is_true, items, why_missing
from scanner.launch.composing.shorts import port_range, texts, words_of
from scanner.launch.composing.tree import Tree, broken, shown
from scanner.model import Level, printable
from scanner.model.launch import Container, Missing, Mount, MountKind, Network, Place, Published, Said, Script

SERVICES = 10_000
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def built(project: Project) -> tuple[tuple[Container, ...], tuple[Network, ...]]:
    """The containers of the services that are on, and the networks that they use. Raises ParseError, LimitError."""
    services = project.group("services")
    if len(services) > SERVICES:
        raise LimitError(
            f"{next(iter(services.values())).place}: more than {SERVICES:,} services; no launch is that large"
        )
    on: dict[str, Tree] = {}
    for name, service in services.items():
        if not set(name) <= _NAME or not name:
            raise broken(service, f"{shown(name)!r} is no name of a service")
        if service.fields is None:
            raise broken(service, f"the service {shown(name)} says nothing")
        if _is_on(project, name, service):
            on[name] = service
    order = _dependencies_first(project, on, services)
    started = {name: service for name, service in on.items() if _starts(project, name, service)}
    for name, service in on.items():
        # those of services without a container too: Compose makes them, and an empty network_mode hangs on them
        make_networks(project, name, service)
    project.made = tuple(project.networks)
    mounts = Mounts(
        project.group("volumes"), project.group("configs"), project.group("secrets"), project.lookup, project.session
    )
    containers = {name: _container(project, name, service, started, mounts) for name, service in started.items()}
    for name in order:
        if name in started:
            containers[name] = _with_volumes_from(project, name, started[name], containers)
    return tuple(containers.values()), tuple(project.networks.values())


def _is_on(project: Project, name: str, service: Tree) -> bool:
    profiles = service.get("profiles")
    if profiles is None or not profiles.items or "*" in project.profiles:
        return True
    wanted = [one.string() for one in profiles.items]
    if set(wanted) & set(project.profiles) or any(one.unknown for one in profiles.items):
        return True
    project.session.warn(
        f"{service.place}: the service {name} is not started: none of its profiles ({printable(', '.join(wanted))}) is on",
        Level.NOTE,
    )
    return False


def _starts(project: Project, name: str, service: Tree) -> bool:
    provider = service.get("provider")
    if provider is not None:
        kind = provider.get("type")
        project.session.warn(
            f"{provider.place}: the service {name} is no container: the provider "
            f"{shown(kind.string()) if kind is not None else '?'} runs it",
            Level.NOTE,
        )
        return False
    if _replicas(service) == 0:
        project.session.warn(f"{service.place}: the service {name} is not started: it has no replicas", Level.NOTE)
        return False
    if filled(service, "image") is None and service.get("build") is None and service.get("extends") is None:
        raise broken(service, f"the service {name} has neither an image nor a build context")
    return True


def _replicas(service: Tree) -> int:
    for value in (service.get("scale"), service.at("deploy", "replicas")):
        if value is not None and not value.unknown:
            number = value.number()
            if number is None or not 0 <= number <= 1_000_000:
                raise broken(value, f"{shown(value.string())} is no number of replicas")
            return number
    return 1


# ---- which service hangs on which


def _dependencies_first(project: Project, on: Mapping[str, Tree], services: Mapping[str, Tree]) -> tuple[str, ...]:
    """The services that are on, each after those that it needs.

    Raises ParseError for a service that is not there, and for services that wait for each other.
    """
    needs: dict[str, list[str]] = {}
    for name, service in on.items():
        needs[name] = []
        for other, place, required in _needed(service):
            if other in on:
                needs[name].append(other)
            elif required and not (other not in services and project.session.incomplete):
                off = " is not on" if other in services else " does not exist"
                raise ParseError(f"{place}: the service {shown(name)} needs the service {shown(other)}, which{off}")
    done: dict[str, None] = {}
    for start in needs:
        chain: dict[str, Iterator[str]] = {}
        here: str | None = start if start not in done else None
        while here is not None:
            chain.setdefault(here, iter(needs[here]))
            following = next((n for n in chain[here] if n not in done), None)
            if following is None:
                done[here] = None
                chain.popitem()
                here = next(reversed(chain), None)
            elif following in chain:
                cycle = [*list(chain)[list(chain).index(following) :], following]
                raise broken(on[here], f"services wait for each other: {' → '.join(cycle[:20])}")
            else:
                here = following
    return tuple(done)


def _needed(service: Tree) -> Iterator[tuple[str, Place, bool]]:
    """Every service that another needs: its name, where that is said, whether it must be on."""
    for name, how in fields(service, "depends_on"):
        required = how.get("required") if how.fields is not None else None
        if not how.unknown:
            yield name, how.place, required is None or required.flag() is not False
    for link in items(service, "links"):
        if not link.unknown:
            yield link.string().partition(":")[0], link.place, True
    for key in ("network_mode", "ipc", "pid", "uts", "cgroup"):
        mode = service.get(key)
        if mode is not None and not mode.unknown and mode.string().startswith("service:"):
            yield mode.string().removeprefix("service:"), mode.place, True
    for one in items(service, "volumes_from"):
        if not one.unknown and not one.string().startswith("container:"):
            yield one.string().partition(":")[0], one.place, True


# ---- one service


def _container(project: Project, name: str, service: Tree, started: Mapping[str, Tree], mounts: Mounts) -> Container:
    left_open = Open()
    extends = service.get("extends")
    if extends is not None:
        what = (extends.get("file") or extends.get("service") or extends).string()
        left_open.add([Missing(f"adds.{printable(what, 80)}", f"{name} extends what was not read", extends.place)])
        left_open.add(why_missing((extends.get("file") or extends).unknown, f"what {name} extends", extends.place))
    mode, attachments = network_mode(project, service, started, left_open)
    command, entrypoint = service.get("command"), service.get("entrypoint")
    image, container_name, hostname = (filled(service, key) for key in ("image", "container_name", "hostname"))
    working_dir = filled(service, "working_dir")
    held = confinement(name, service, mounts, left_open)
    if mode.value != "none" or any(mount.kind is MountKind.VOLUME for mount in held.mounts):
        # what is not read may be on the same network, or know what the volume is
        left_open.add(project.session.unread)
    return Container(
        name=name,
        kind="service",
        origin=(service.key or service.node).place,
        network_mode=mode,
        attachments=attachments,
        image=Said(image.string(), image.place) if image is not None else None,
        container_name=container_name.string() if container_name is not None and not container_name.unknown else None,
        hostname=hostname.string() if hostname is not None else None,
        working_dir=working_dir.string() if working_dir is not None and not working_dir.unknown else None,
        entrypoint=_command(entrypoint),
        command=_command(command),
        environment=service_environment(project, service),
        published=tuple(_published(project, service)),
        exposed=tuple(_exposed(project, service)),
        links=tuple(Said(o.string(), o.place) for key in ("links", "external_links") for o in items(service, key)),
        extra_hosts=tuple(_hosts(service)),
        dns=tuple(
            Said(o.string(), o.place)
            for o in items(service, "dns")
            if not left_open.unknown(o, "the resolver that it is given") and o.string()
        ),
        confinement=held,
        scripts=tuple(_scripts(service)),
        replicas=_replicas(service),
        missing=tuple(left_open.found.values()),
        labels={k: v.string() for k, v in texts(service.get("labels") or Tree(service.node, fields={})).items()},
    )


def _command(value: Tree | None) -> tuple[Said[str], ...] | None:
    cut = words_of(value) if value is not None else None
    return None if cut is None else tuple(Said(word.string(), word.place) for word in cut)


# ---- ports and names


def _published(project: Project, service: Tree) -> Iterator[Published]:
    for port in items(service, "ports"):
        target = port.get("target") if port.fields is not None else None
        if target is None or target.unknown:
            if port.unknown or (target is not None and target.unknown):
                project.session.warn(
                    f"{port.place}: which port is published hangs on a variable that is not set; it is left out",
                    Level.NOTE,
                )
                continue
            raise broken(port, "the port has no target")
        ip, host, protocol = port.get("host_ip"), port.get("published"), port.get("protocol")
        number, last = port_range(target.string(), target)
        if number != last:
            raise broken(target, "the target is one port")
        host_port = None
        if host is not None and not host.unknown and host.string() not in ("", "0"):
            first, last = port_range(host.string(), host)
            host_port = first if first == last else None
        yield Published(
            ip.string() if ip is not None and not ip.unknown else "",
            host_port,
            number,
            protocol.string().lower() if protocol is not None else "tcp",
            port.place,
        )


def _exposed(project: Project, service: Tree) -> Iterator[int]:
    for one in items(service, "expose"):
        if one.unknown:
            continue
        first, last = port_range(one.string().partition("/")[0], one)
        project.session.budget.spend(last - first + 1, one.place)
        yield from range(first, last + 1)


def _hosts(service: Tree) -> Iterator[tuple[str, Said[str]]]:
    hosts = service.get("extra_hosts")
    if hosts is None:
        return
    for name, value in hosts.pairs():
        for one in value.each():
            yield name, Said(_address(one.string()), one.place)
    for one in hosts.items or ():
        text = one.string()
        name, sign, addresses = text.partition("=" if "=" in text else ":")
        if not sign or not name:
            raise broken(one, f"{shown(text)} gives a host no address")
        for address in addresses.split(","):
            yield name, Said(_address(address), one.place)


def _address(text: str) -> str:
    return text[1:-1] if text.startswith("[") and text.endswith("]") and len(text) > 2 else text


# ---- hooks


def _scripts(service: Tree) -> Iterator[Script]:
    """Commands that Compose runs in the container once it is up, or before it stops."""
    for where in ("post_start", "pre_stop"):
        for hook in items(service, where):
            command, user, privileged = hook.get("command"), hook.get("user"), hook.get("privileged")
            if command is None:
                raise broken(hook, f"{where} has no command")
            as_root = None if user is None or user.unknown else user.string().partition(":")[0] in ("0", "root")
            words = words_of(command) or ()
            how = f"{where} (privileged)" if is_true(privileged) else where
            yield Script(how, shlex.join(word.string() for word in words), command.place, as_root)


# ---- volumes_from


def _with_volumes_from(project: Project, name: str, service: Tree, containers: Mapping[str, Container]) -> Container:
    """The container with the mounts of those whose volumes it has; they are whole already."""
    container = containers[name]
    missing = {one.key: one for one in container.missing}
    taken = {mount.target for mount in container.confinement.mounts}
    added: dict[str, Mount] = {}
    for one in items(service, "volumes_from"):
        for open_ in why_missing(one.unknown, "whose volumes it has", one.place):
            missing.setdefault(open_.key, open_)
        if one.unknown:
            continue
        kind, _, rest = one.string().partition(":")
        source, _, options = rest.partition(":") if kind == "container" else (kind, ":", rest)
        if kind == "container" and source not in containers:
            owner = next((c.name for c in containers.values() if c.container_name == source), None)
            source = owner or source
        if source not in containers:
            key = f"volumes-from.{printable(source, 60)}"
            missing.setdefault(
                key, Missing(key, f"it has the mounts of {shown(source)}, which nothing here starts", one.place)
            )
            continue
        project.session.budget.spend(4 * len(containers[source].confinement.mounts), one.place)
        for mount in containers[source].confinement.mounts:
            if mount.target not in taken:
                read_only = mount.read_only or "ro" in options.split(",")
                added.setdefault(mount.target, replace(mount, read_only=read_only, origin=one.place))
        for theirs in containers[source].missing:
            missing.setdefault(theirs.key, theirs)
    if not added and len(missing) == len(container.missing):
        return container
    confinement = replace(container.confinement, mounts=(*container.confinement.mounts, *added.values()))
    return replace(container, confinement=confinement, missing=tuple(missing.values()))
