"""From a merged Compose project to what it starts: containers and networks, each value with its place.

What an unset variable leaves open about a container is a Missing `env.NAME`; nothing is decided in its stead.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from scanner.errors import LimitError, ParseError
from scanner.launch.composing.dotenv import Variable, read_dotenv, read_raw
from scanner.launch.composing.files import OutsideError
from scanner.launch.composing.interpolation import Lookup
from scanner.launch.composing.loading import Session
from scanner.launch.composing.mounts import Mounts
from scanner.launch.composing.shorts import port_range, texts, words_of
from scanner.launch.composing.tree import Tree, broken, shown
from scanner.model import Level, printable
from scanner.model.launch import (
    Attachment,
    Confinement,
    Container,
    Default,
    Missing,
    Mount,
    Network,
    Origin,
    Place,
    Published,
    Said,
    Script,
)

COMPOSE = Default("compose")
DOCKER = Default("docker")
SERVICES = 10_000
MODEL_RUNNER = "http://model-runner.docker.internal/engines/v1/"
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@dataclass(slots=True)
class Project:
    """A merged project. `name` None: what it is called is not known. `directory` None: it lies in no folder."""

    tree: Tree
    name: str | None
    directory: Path | None
    lookup: Lookup
    profiles: tuple[str, ...]
    session: Session
    networks: dict[str, Network] = field(default_factory=dict)
    made: tuple[str, ...] = ()
    """The networks that services join by name, before those that a network_mode names."""

    def group(self, kind: str) -> Mapping[str, Tree]:
        group = self.tree.get(kind)
        return group.fields if group is not None and group.fields is not None else {}


def why_missing(names: Iterable[str], what: str, origin: Origin) -> tuple[Missing, ...]:
    return tuple(
        Missing(f"env.{name}", f"{what} hangs on the variable {name}, which is not set", origin) for name in names
    )


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
    for name, service in started.items():
        _networks_of(project, name, service)
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
    if _filled(service, "image") is None and service.get("build") is None and service.get("extends") is None:
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
    for name, how in _fields(service, "depends_on"):
        required = how.get("required") if how.fields is not None else None
        if not how.unknown:
            yield name, how.place, required is None or required.flag() is not False
    for link in _items(service, "links"):
        if not link.unknown:
            yield link.string().partition(":")[0], link.place, True
    for key in ("network_mode", "ipc", "pid", "uts", "cgroup"):
        mode = service.get(key)
        if mode is not None and not mode.unknown and mode.string().startswith("service:"):
            yield mode.string().removeprefix("service:"), mode.place, True
    for one in _items(service, "volumes_from"):
        if not one.unknown and not one.string().startswith("container:"):
            yield one.string().partition(":")[0], one.place, True


def _items(service: Tree, key: str) -> tuple[Tree, ...]:
    value = service.get(key)
    return value.each() if value is not None else ()


def _filled(service: Tree, key: str) -> Tree | None:
    """The value of a key, None if it is an empty string."""
    value = service.get(key)
    return value if value is not None and value.string() else None


def _fields(service: Tree, key: str) -> Iterator[tuple[str, Tree]]:
    value = service.get(key)
    if value is not None:
        yield from value.pairs()


# ---- networks


def _networks_of(project: Project, name: str, service: Tree) -> None:
    """The networks that the service joins are made."""
    mode, networks = service.fields.get("network_mode") if service.fields else None, service.get("networks")
    if mode is not None:
        if mode.is_null:
            raise broken(mode, f"network_mode of the service {name} says nothing")
        if networks is not None and networks.fields and (mode.string() or mode.unknown):
            raise broken(mode, f"the service {name} has both network_mode and networks; Compose takes one of them")
    if networks is None or not networks.fields:
        if mode is None:
            _network(project, "default", None)
        return
    for key, how in networks.pairs():
        if not how.unknown:
            _network(project, key, how)


def _network(project: Project, key: str, asked: Tree | None) -> None:
    if key in project.networks:
        return
    defined = project.group("networks")
    if key not in defined:
        if key != "default" and not project.session.incomplete:
            assert asked is not None
            close = f"; it has {', '.join(shown(n) for n in list(defined)[:5])}" if defined else ""
            raise broken(asked, f"the project defines no network {shown(key)}{close}")
        external = key != "default"
        origin: Origin = asked.place if asked is not None and external else COMPOSE
        name = _engine_name(project, key, None, external)
        project.networks[key] = Network(key, Said("bridge", DOCKER), Said(False, COMPOSE), origin, name, external)
        return
    project.networks[key] = _defined(project, key, defined[key])


def _engine_name(project: Project, key: str, given: Tree | None, external: bool) -> str | None:
    if given is not None:
        return None if given.unknown else given.string()
    if external:
        return key
    return f"{project.name}_{key}" if project.name is not None else None


def _defined(project: Project, key: str, value: Tree) -> Network:
    missing: list[Missing] = []

    def flag(name: str) -> Said[bool] | None:
        said = value.get(name)
        if said is None:
            return None
        if said.unknown:
            missing.extend(why_missing(said.unknown, f"{name} of the network {key}", said.place))
            return None
        return Said(_flag(said, name), said.place)

    external = value.get("external")
    elsewhere = False
    named = value.get("name")
    if external is not None and external.fields is not None:
        elsewhere, named = True, external.get("name") or named
    elif external is not None:
        said = flag("external")
        elsewhere = said is not None and said.value
    if elsewhere and named is not None and named.string() in ("host", "none") and not named.unknown:
        raise broken(
            named, f"the network {key} is the engine's {named.string()}, which no service can join as a network"
        )
    driver = value.get("driver")
    options = tuple(_fields(value, "driver_opts"))
    for what, one in (*((("driver", driver),) if driver is not None else ()), *options):
        missing.extend(why_missing(one.unknown, f"{what} of the network {key}", one.place))
    subnets, gateways = _addresses(value)
    return Network(
        key,
        Said(driver.string(), driver.place) if driver is not None else Said("bridge", DOCKER),
        flag("internal") or Said(False, COMPOSE),
        (value.key or value.node).place,
        _engine_name(project, key, named, elsewhere),
        elsewhere,
        flag("enable_ipv4"),
        flag("enable_ipv6"),
        tuple((k, Said(v.string(), v.place)) for k, v in options),
        subnets,
        gateways,
        # internal and the like are asked for while the arguments above are made
        missing=tuple(missing),
    )


def _addresses(value: Tree) -> tuple[tuple[str, ...], tuple[str, ...]]:
    subnets, gateways = [], []
    config = value.at("ipam", "config")
    for one in config.each() if config is not None else ():
        subnet, gateway = one.get("subnet"), one.get("gateway")
        if subnet is not None and not subnet.unknown:
            subnets.append(subnet.string())
        if gateway is not None and not gateway.unknown:
            gateways.append(gateway.string())
    return tuple(subnets), tuple(gateways)


def _flag(value: Tree, what: str) -> bool:
    flag = value.flag()
    if flag is None:
        raise broken(value, f"{what} is {shown(value.string())!r}, which is neither true nor false")
    return flag


def _default_bridge(project: Project) -> None:
    project.networks.setdefault(
        "bridge", Network("bridge", Said("bridge", DOCKER), Said(False, DOCKER), DOCKER, "bridge")
    )


# ---- one service


class _Open:
    """What unset variables leave open about one container, each variable once."""

    def __init__(self) -> None:
        self.found: dict[str, Missing] = {}

    def add(self, missing: Iterable[Missing]) -> None:
        for one in missing:
            self.found.setdefault(one.key, one)

    def unknown(self, value: Tree, what: str) -> bool:
        """Whether the value hangs on an unset variable, which is then noted."""
        self.add(why_missing(value.unknown, what, value.place))
        return bool(value.unknown)


def _container(project: Project, name: str, service: Tree, started: Mapping[str, Tree], mounts: Mounts) -> Container:
    left_open = _Open()
    extends = service.get("extends")
    if extends is not None:
        what = (extends.get("file") or extends.get("service") or extends).string()
        left_open.add([Missing(f"file.{printable(what, 80)}", f"{name} extends what was not read", extends.place)])
        left_open.add(why_missing((extends.get("file") or extends).unknown, f"what {name} extends", extends.place))
    mode, attachments = _network_mode(project, service, started, left_open)
    command, entrypoint = service.get("command"), service.get("entrypoint")
    image, container_name, hostname = (_filled(service, key) for key in ("image", "container_name", "hostname"))
    return Container(
        name=name,
        kind="service",
        origin=(service.key or service.node).place,
        network_mode=mode,
        attachments=attachments,
        image=Said(image.string(), image.place) if image is not None else None,
        container_name=container_name.string() if container_name is not None and not container_name.unknown else None,
        hostname=hostname.string() if hostname is not None else None,
        entrypoint=_command(entrypoint),
        command=_command(command),
        environment=_environment(project, service),
        published=tuple(_published(project, service)),
        exposed=tuple(_exposed(project, service)),
        links=tuple(Said(o.string(), o.place) for key in ("links", "external_links") for o in _items(service, key)),
        extra_hosts=tuple(_hosts(service)),
        dns=tuple(
            Said(o.string(), o.place)
            for o in _items(service, "dns")
            if not left_open.unknown(o, "the resolver that it is given") and o.string()
        ),
        confinement=_confinement(name, service, mounts, left_open),
        scripts=tuple(_scripts(service)),
        replicas=_replicas(service),
        missing=tuple(left_open.found.values()),
        labels={k: v.string() for k, v in texts(service.get("labels") or Tree(service.node, fields={})).items()},
    )


def _network_mode(
    project: Project, service: Tree, started: Mapping[str, Tree], left_open: _Open
) -> tuple[Said[str], tuple[Attachment, ...]]:
    mode, networks = service.fields.get("network_mode") if service.fields else None, service.get("networks")
    if networks is not None and networks.fields:
        return _joined(project, networks, left_open)
    if mode is None:
        left_open.add(project.networks["default"].missing)
        return Said("networks", COMPOSE), (Attachment("default", COMPOSE),)
    text, place = mode.string(), mode.place
    if left_open.unknown(mode, "its network mode"):
        return Said(text, place), ()
    if text == "":
        return _empty_mode(project, place)
    if text in ("none", "host"):
        return Said(text, place), ()
    if text in ("bridge", "default"):
        _default_bridge(project)
        return Said("bridge", place), (Attachment("bridge", place),)
    kind, colon, other = text.partition(":")
    if kind == "service" and colon:
        return Said(f"container:{other}", place), ()
    if kind == "container" and colon:
        owner = next((n for n, s in started.items() if _container_name(s) == other), None)
        return Said(f"container:{owner or other}", place), ()
    # any other word is the name of a network that the engine has, perhaps one of the project's own
    key = next((n.key for n in project.networks.values() if n.name == text), None)
    if key is None:
        key = text
        project.networks.setdefault(
            key, Network(key, Said("bridge", DOCKER), Said(False, DOCKER), place, text, external=True)
        )
    left_open.add(project.networks[key].missing)
    return Said("networks", place), (Attachment(key, place),)


def _container_name(service: Tree) -> str | None:
    name = service.get("container_name")
    return name.string() if name is not None else None


def _empty_mode(project: Project, place: Place) -> tuple[Said[str], tuple[Attachment, ...]]:
    """`network_mode: ""` hangs on the project's other networks (measured with Compose 2.29 and an engine 20.10).

    Without any the container has none. Where another service uses the default network, it is on that one too. Where there
    are but others, it is created for the engine's bridge and 20.10 does not start it; what does start it gives it the bridge.
    """
    if "default" in project.made:
        return Said("networks", place), (Attachment("default", place),)
    if project.made:
        _default_bridge(project)
        return Said("bridge", place), (Attachment("bridge", place),)
    return Said("none", place), ()


def _joined(project: Project, networks: Tree, left_open: _Open) -> tuple[Said[str], tuple[Attachment, ...]]:
    attachments: list[Attachment] = []
    for key, how in networks.pairs():
        if left_open.unknown(how, "which network it joins"):
            continue
        left_open.add(project.networks[key].missing)
        addresses = {
            k: v.string() for k in ("ipv4_address", "ipv6_address") if (v := how.get(k)) is not None and not v.unknown
        }
        priority = how.get("gw_priority")
        attachments.append(
            Attachment(
                key,
                how.place,
                tuple(o.string() for o in _items(how, "aliases")),
                addresses.get("ipv4_address"),
                addresses.get("ipv6_address"),
                priority.number() if priority is not None else None,
            )
        )
    return Said("networks", networks.place), tuple(attachments)


def _command(value: Tree | None) -> tuple[Said[str], ...] | None:
    cut = words_of(value) if value is not None else None
    return None if cut is None else tuple(Said(word.string(), word.place) for word in cut)


# ---- environment


def _environment(project: Project, service: Tree) -> tuple[tuple[str, Said[str | None]], ...]:
    """`env_file` first, then `environment`. A name alone takes the environment's value, or waits for whoever launches it."""
    found: dict[str, Said[str | None]] = {}
    known: dict[str, str] = {}
    for file in _items(service, "env_file"):
        for name, variable in _env_file(project, file, known).items():
            found[name] = _variable(variable.value, variable.unknown, variable.place)
            if variable.value is not None and not variable.unknown:
                known[name] = variable.value
    environment = service.get("environment")
    for name, value in texts(environment).items() if environment is not None else ():
        text: str | None = value.string()
        if value.is_null:
            text = project.lookup(name)
        found[name] = _variable(text, value.unknown, value.place)
    for name, how in _fields(service, "models"):
        for suffix, key, value_of in (("URL", "endpoint_var", MODEL_RUNNER), ("MODEL", "model_var", None)):
            given = how.get(key) if how.fields is not None else None
            variable_name = given.string() if given is not None else f"{name.upper().replace('-', '_')}_{suffix}"
            found.setdefault(variable_name, Said(value_of, how.place))
        project.session.warn(
            f"{how.place}: the model {shown(name)} is served by the engine's model runner, a service of the host",
            Level.NOTE,
        )
    if _is_true(service.get("use_api_socket")):
        found.setdefault("DOCKER_CONFIG", Said("/run/secrets/docker", COMPOSE))
    project.session.budget.spend(len(found), service.place)
    return tuple(found.items())


def _is_true(value: Tree | None) -> bool:
    return value is not None and not value.unknown and value.flag() is True


def _variable(text: str | None, unknown: tuple[str, ...], place: Place) -> Said[str | None]:
    """A value that is nothing but one unset variable is not known; one that has it in it keeps it as written."""
    if len(unknown) == 1 and text == f"${{{unknown[0]}}}":
        text = None
    return Said(text, place)


def _env_file(project: Project, file: Tree, known: Mapping[str, str]) -> Mapping[str, Variable]:
    path = file.get("path") if file.fields is not None else file
    if path is None:
        raise broken(file, "env_file names no path")
    required = file.get("required") if file.fields is not None else None
    session = project.session

    def lookup(name: str) -> str | None:
        return known[name] if name in known else project.lookup(name)

    text = None
    why = "does not exist"
    if path.unknown:
        why = f"hangs on the variable {path.unknown[0]}, which is not set"
    elif not path.string().startswith("/"):
        why = "lies in no folder that is known"
    else:
        try:
            text = session.text(Path(path.string()))
        except OutsideError:
            why = "lies outside the project's folder"
    if text is None:
        if required is None or required.flag() is not False or why != "does not exist":
            name = session.folder.name(Path(path.string()))
            session.warn(
                f"{path.place}: the env_file {printable(name)} {why}; the environment that it sets is not known"
            )
        return {}
    name = session.folder.name(Path(path.string()))
    form = file.get("format") if file.fields is not None else None
    if form is not None and form.string() not in ("raw", ""):
        raise broken(form, f"{shown(form.string())} is no format of an env_file")
    return read_raw(text, name) if form is not None else read_dotenv(text, name, lookup)


# ---- ports and names


def _published(project: Project, service: Tree) -> Iterator[Published]:
    for port in _items(service, "ports"):
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
    for one in _items(service, "expose"):
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


# ---- confinement


def _confinement(name: str, service: Tree, mounts: Mounts, left_open: _Open) -> Confinement:
    def said(key: str, what: str) -> Said[str] | None:
        value = service.get(key)
        if value is None or left_open.unknown(value, what) or not value.string():
            return None
        text = value.string()
        return Said(f"container:{text[8:]}" if text.startswith("service:") else text, value.place)

    def capabilities(key: str) -> tuple[Said[str], ...]:
        return tuple(
            Said(o.string().strip().upper().removeprefix("CAP_"), o.place)
            for o in _items(service, key)
            if not left_open.unknown(o, f"a capability in {key}")
        )

    privileged, user = service.get("privileged"), _filled(service, "user")
    flag = None
    if privileged is not None and not left_open.unknown(privileged, "whether it is privileged"):
        flag = Said(_flag(privileged, "privileged"), privileged.place)
    seccomp, apparmor, no_new, rest = _security(service, left_open)
    api = service.get("use_api_socket")
    if api is not None and not left_open.unknown(api, "whether it gets the engine's socket"):
        _flag(api, "use_api_socket")
    found, missing = mounts.of(name, service)
    left_open.add(missing)
    return Confinement(
        user=Said(user.string(), user.place) if user is not None else None,
        privileged=flag,
        cap_add=capabilities("cap_add"),
        cap_drop=capabilities("cap_drop"),
        seccomp=seccomp,
        apparmor=apparmor,
        no_new_privileges=no_new,
        pid=said("pid", "its pid namespace"),
        ipc=said("ipc", "its ipc namespace"),
        uts=said("uts", "its uts namespace"),
        userns=said("userns_mode", "its user namespace"),
        cgroup=said("cgroup", "its cgroup namespace"),
        runtime=said("runtime", "its runtime"),
        mounts=found,
        devices=tuple(_devices(service, left_open)),
        gpus=_gpus(service),
        sysctls=tuple(
            (k, Said(v.string(), v.place))
            for k, v in texts(service.get("sysctls") or Tree(service.node, fields={})).items()
        ),
        security_opts=rest,
    )


def _security(
    service: Tree, left_open: _Open
) -> tuple[Said[str] | None, Said[str] | None, Said[bool] | None, tuple[Said[str], ...]]:
    seccomp = apparmor = no_new = None
    rest: list[Said[str]] = []
    for one in _items(service, "security_opt"):
        if left_open.unknown(one, "a security option"):
            continue
        text = one.string()
        key, sign, value = text.partition("=")
        if not sign and text != "no-new-privileges":
            key, sign, value = text.partition(":")
        if key == "seccomp":
            seccomp = None if value in ("default", "builtin") else Said(value, one.place)
        elif key == "apparmor":
            apparmor = Said(value, one.place)
        elif key == "no-new-privileges":
            no_new = Said(not sign or value.lower() in ("true", "1", "t"), one.place)
        elif not sign:
            raise broken(one, f"{shown(text)} is no security option")
        else:
            rest.append(Said(text, one.place))
    return seccomp, apparmor, no_new, tuple(rest)


def _devices(service: Tree, left_open: _Open) -> Iterator[Said[str]]:
    for one in _items(service, "devices"):
        source, target, rights = one.get("source"), one.get("target"), one.get("permissions")
        if source is None:
            raise broken(one, "the device has no source")
        if left_open.unknown(source, "a device of the host"):
            continue
        inner = target.string() if target is not None else source.string()
        yield Said(f"{source.string()}:{inner}:{rights.string() if rights is not None else 'rwm'}", one.place)
    for rule in _items(service, "device_cgroup_rules"):
        if not left_open.unknown(rule, "a rule for devices"):
            yield Said(rule.string(), rule.place)


def _gpus(service: Tree) -> Said[str] | None:
    gpus = service.get("gpus")
    if gpus is not None and gpus.items is None:
        return Said(gpus.string(), gpus.place)
    reserved = service.at("deploy", "resources", "reservations", "devices")
    for one in (*_items(service, "gpus"), *(reserved.items or () if reserved is not None else ())):
        kinds = {o.string() for o in _items(one, "capabilities")}
        driver = one.get("driver")
        is_gpu = (
            gpus is not None
            or kinds & {"gpu", "nvidia", "compute"}
            or (driver is not None and driver.string() == "nvidia")
        )
        if is_gpu:
            count, ids = one.get("count"), _items(one, "device_ids")
            what = ",".join(o.string() for o in ids) or (count.string() if count is not None else "all")
            return Said(what, one.place)
    return None


def _scripts(service: Tree) -> Iterator[Script]:
    """Commands that Compose runs in the container once it is up, or before it stops."""
    for where in ("post_start", "pre_stop"):
        for hook in _items(service, where):
            command, user, privileged = hook.get("command"), hook.get("user"), hook.get("privileged")
            if command is None:
                raise broken(hook, f"{where} has no command")
            as_root = None if user is None or user.unknown else user.string().partition(":")[0] in ("0", "root")
            words = words_of(command) or ()
            how = f"{where} (privileged)" if _is_true(privileged) else where
            yield Script(how, shlex.join(word.string() for word in words), command.place, as_root)


# ---- volumes_from


def _with_volumes_from(project: Project, name: str, service: Tree, containers: Mapping[str, Container]) -> Container:
    """The container with the mounts of those whose volumes it has; they are whole already."""
    container = containers[name]
    missing = {one.key: one for one in container.missing}
    taken = {mount.target for mount in container.confinement.mounts}
    added: dict[str, Mount] = {}
    for one in _items(service, "volumes_from"):
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
