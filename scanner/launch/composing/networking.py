"""Networks that services join, and what network_mode makes of that."""

from collections.abc import Mapping

from scanner.launch.composing.project import COMPOSE, DOCKER, Open, Project, fields, items, name_of, truth, why_missing
from scanner.launch.composing.tree import Tree, broken, shown
from scanner.model.launch import Attachment, Missing, Network, Origin, Place, Said


def make_networks(project: Project, name: str, service: Tree) -> None:
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


def _key(key: str) -> str:
    """What a network of the project is called in the launch, where `bridge` is the engine's own."""
    return "bridge (the project's)" if key == "bridge" else key


def _network(project: Project, key: str, asked: Tree | None) -> None:
    if _key(key) in project.networks:
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
        made = Network(_key(key), Said("bridge", DOCKER), Said(False, COMPOSE), origin, name, external)
        project.networks[made.key] = made
        return
    project.networks[_key(key)] = _defined(project, key, defined[key])


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
        return Said(truth(said, name), said.place)

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
    options = tuple(fields(value, "driver_opts"))
    for what, one in (*((("driver", driver),) if driver is not None else ()), *options):
        missing.extend(why_missing(one.unknown, f"{what} of the network {key}", one.place))
    subnets, gateways = _addresses(value)
    return Network(
        _key(key),
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


def _default_bridge(project: Project) -> None:
    project.networks.setdefault(
        "bridge", Network("bridge", Said("bridge", DOCKER), Said(False, DOCKER), DOCKER, "bridge")
    )


def network_mode(
    project: Project, service: Tree, started: Mapping[str, Tree], left_open: Open
) -> tuple[Said[str], tuple[Attachment, ...]]:
    """A service's network mode and the networks that it is on, which are made already."""
    mode, networks = service.fields.get("network_mode") if service.fields else None, service.get("networks")
    if networks is not None and networks.fields:
        return _joined(networks, left_open)
    if mode is None:
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
        owner = next((n for n, s in started.items() if other in (name_of(s), f"{project.name}-{n}-1")), None)
        return Said(f"container:{owner or other}", place), ()
    # any other word is the name of a network that the engine has, perhaps one of the project's own
    key = next((n.key for n in project.networks.values() if n.name == text), None)
    if key is None:
        key = f"{text} (the engine's)" if text in project.group("networks") or text in project.networks else text
        project.networks[key] = Network(key, Said("bridge", DOCKER), Said(False, DOCKER), place, text, external=True)
    return Said("networks", place), (Attachment(key, place),)


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


def _joined(networks: Tree, left_open: Open) -> tuple[Said[str], tuple[Attachment, ...]]:
    attachments: list[Attachment] = []
    for key, how in networks.pairs():
        if left_open.unknown(how, "which network it joins"):
            continue
        addresses = {
            k: v.string() for k in ("ipv4_address", "ipv6_address") if (v := how.get(k)) is not None and not v.unknown
        }
        priority = how.get("gw_priority")
        attachments.append(
            Attachment(
                _key(key),
                how.place,
                tuple(o.string() for o in items(how, "aliases")),
                addresses.get("ipv4_address"),
                addresses.get("ipv6_address"),
                priority.number() if priority is not None else None,
            )
        )
    return Said("networks", networks.place), tuple(attachments)
