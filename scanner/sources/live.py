"""A container as it stands: what the engine tells of it, of its networks and of whoever shares them with it.

The text is `docker inspect`'s own (a list of containers, networks and volumes), so that a live container and a saved inspect
are read alike. API: moby, api/swagger.yaml.
"""

import json
import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from scanner.errors import TargetError
from scanner.model import printable
from scanner.sources.engine import NAME, ask, connect

if TYPE_CHECKING:
    import docker

SHARERS = 500
"""Containers that are asked about besides the one that was named."""
_VERSION = re.compile(r"\d{2}(\.\d{1,4}){0,2}([-+~].{0,80})?")
_PORT = re.compile(r"tcp://.*:(\d{1,5})/?")


@dataclass(frozen=True, slots=True)
class Live:
    """`text` is what docker inspect would print of all of it; `facts` what the engine tells of itself, by the keys that
    `--assume` has (`engine.version`, …); `left_out` how many sharers were not asked about."""

    text: str
    facts: dict[str, str]
    left_out: int = 0


def inspect_container(name: str) -> Live:
    """The container of that name or id.

    Raises TargetError where there is none, SourceError where no engine answers or it goes away.
    """
    if not NAME.fullmatch(name):
        raise TargetError(f"container:{printable(name)}: this is no container's name or id")
    shown = printable(name)
    with ExitStack() as stack:
        client, endpoint = connect(
            f"To look at the container {shown}",
            f"give its description as a file: docker inspect {shown} > {shown}.json",
            stack,
        )
        api: Any = client.api
        first = ask(endpoint, partial(api.inspect_container, name), shown)
        assert first is not None
        containers = {str(first["Id"]): first}
        networks: dict[str, dict[str, Any]] = {}
        left_out = _gather(api, endpoint, containers, networks)
        volumes = [
            found
            for volume in _volumes(containers.values())
            if (found := ask(endpoint, partial(api.inspect_volume, volume))) is not None
        ]
        facts = _facts(client, endpoint)
    objects = [*containers.values(), *networks.values(), *volumes]
    return Live(json.dumps(objects, indent=2, ensure_ascii=True) + "\n", facts, left_out)


def _gather(api: Any, endpoint: str, containers: dict[str, dict[str, Any]], networks: dict[str, dict[str, Any]]) -> int:
    """Add the networks of the first container and whoever is on them, and whose network namespace it shares, one by one.

    The networks of a sharer are told as well (it may lead on), the containers on those are not.
    """
    [first] = containers
    owner = _owner(containers[first])
    if owner is not None:
        found = ask(endpoint, partial(api.inspect_container, owner))
        if found is not None:
            containers[str(found["Id"])] = found
    wanted: dict[str, None] = {}
    for container in tuple(containers.values()):
        for network in _network_ids(container):
            if network not in networks and (found := ask(endpoint, partial(api.inspect_network, network))) is not None:
                networks[network] = found
                wanted.update(dict.fromkeys(found.get("Containers") or ()))
    for other in _listed(api, endpoint):
        mode = str((other.get("HostConfig") or {}).get("NetworkMode", ""))
        if mode.removeprefix("container:") in containers:
            wanted.setdefault(str(other.get("Id")))
    others = [one for one in wanted if one not in containers]
    for identifier in others[:SHARERS]:
        found = ask(endpoint, partial(api.inspect_container, identifier))
        if found is None:
            continue
        containers[str(found["Id"])] = found
        for network in _network_ids(found):
            if network not in networks and (told := ask(endpoint, partial(api.inspect_network, network))) is not None:
                networks[network] = told
    return max(0, len(others) - SHARERS)


def _listed(api: Any, endpoint: str) -> list[dict[str, Any]]:
    found = ask(endpoint, lambda: {"all": api.containers(all=False)})
    listed = found["all"] if found is not None else []
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _owner(container: dict[str, Any]) -> str | None:
    mode = str((container.get("HostConfig") or {}).get("NetworkMode", ""))
    kind, _, whose = mode.partition(":")
    return whose if kind == "container" and NAME.fullmatch(whose) else None


def _network_ids(container: dict[str, Any]) -> list[str]:
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    found = [str((settings or {}).get("NetworkID") or name) for name, settings in networks.items()]
    return [one for one in found if NAME.fullmatch(one)]


def _volumes(containers: Iterable[dict[str, Any]]) -> list[str]:
    """The named volumes: a local one may be a folder of the host in disguise."""
    names = {
        str(mount.get("Name")): None
        for container in containers
        for mount in container.get("Mounts") or ()
        if isinstance(mount, dict) and mount.get("Type") == "volume" and NAME.fullmatch(str(mount.get("Name")))
    }
    return list(names)


def _facts(client: "docker.DockerClient", endpoint: str) -> dict[str, str]:
    """What of the engine decides reach and stands in no container's description."""
    api: Any = client.api
    version = ask(endpoint, api.version) or {}
    info = ask(endpoint, api.info) or {}
    facts: dict[str, str] = {}
    names = [str(c.get("Name")) for c in version.get("Components") or () if isinstance(c, dict)]
    if "Podman Engine" not in names and _VERSION.fullmatch(str(version.get("Version"))):
        facts["engine.version"] = str(version["Version"])
    security = [str(s) for s in info.get("SecurityOptions") or ()]
    facts["engine.rootless"] = "true" if any("rootless" in s for s in security) else "false"
    firewall = info.get("FirewallBackend")
    if isinstance(firewall, dict):
        driver = str(firewall.get("Driver")).partition("+")[0]
        if driver in ("iptables", "nftables"):
            facts["engine.firewall"] = driver
        told = dict(p for p in firewall.get("Info") or () if isinstance(p, list) and len(p) == 2)
        if told.get("EnableUserlandProxy") in ("true", "false"):
            facts["engine.userland-proxy"] = told["EnableUserlandProxy"]
    bridge = ask(endpoint, partial(api.inspect_network, "bridge"))
    icc = ((bridge or {}).get("Options") or {}).get("com.docker.network.bridge.enable_icc")
    if icc in ("true", "false"):
        facts["engine.icc"] = icc
    port = _PORT.fullmatch(endpoint)
    if port is not None and api.base_url.startswith("http:"):
        facts["engine.tcp"] = port[1]
    return facts
