"""A launch on Docker as a whole: which containers share what, and how its networks are judged under what is assumed."""

import ipaddress
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from scanner.egress.assumptions import Assumed
from scanner.egress.docker import networks, siblings
from scanner.egress.docker.engines import Engine, possible, told_apart
from scanner.egress.docker.networks import Flags, Lets
from scanner.egress.docker.resolver import Neighbour
from scanner.model.launch import Attachment, Container, Launch, Missing, Network, Said

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Attached:
    """A network that a container is on, as it is judged, with what must hold for it to be so."""

    index: int
    attachment: Attachment
    network: Network
    missing: tuple[Missing, ...]


class Scene:
    """The launch and everything about it that does not hang on whose reach is asked for."""

    def __init__(self, launch: Launch, assumed: Assumed) -> None:
        self.launch = launch
        self.assumed = assumed
        self.engines = possible(assumed)
        self.flags = Flags(
            icc=assumed.flag("engine.icc") is not False,
            iptables=assumed.flag("engine.iptables") is not False,
            rootless=assumed.flag("engine.rootless") is True,
            userland_proxy=assumed.flag("engine.userland-proxy") is not False,
            ipv6=assumed.flag("host.ipv6") is not False,
        )
        self._lets: dict[tuple[str, bool, Engine], Lets] = {}

    # ---- engines

    def lets(self, network: Network, engine: Engine) -> Lets:
        """What a network of this launch lets through on one engine; also if it were internal, or were not."""
        key = (network.key, network.internal.value, engine)
        if key not in self._lets:
            self._lets[key] = networks.lets(network, engine, self.flags)
        return self._lets[key]

    def across(self, answer: Callable[[Engine], Iterable[T]]) -> Iterator[tuple[T, tuple[Missing, ...]]]:
        """Every item that some engine gives, with the facts that it hangs on."""
        return told_apart(self.engines, answer)

    def where(self, holds: Callable[[Engine], bool]) -> Iterator[tuple[Missing, ...]]:
        """Once, with the facts that it hangs on, if it holds on some engine; not at all if on none."""
        for _, missing in told_apart(self.engines, lambda engine: (True,) if holds(engine) else ()):
            yield missing

    def everywhere(self, holds: Callable[[Engine], bool]) -> bool:
        return all(holds(engine) for engine in self.engines)

    # ---- who lives where

    @cached_property
    def owners(self) -> dict[str, Container | None]:
        """Whose network namespace each container lives in; None where nobody knows."""
        return {c.name: siblings.owner(self.launch, c)[0] for c in self.launch.containers}

    def together(self, one: str, other: str) -> bool:
        """Whether two containers live in one network namespace."""
        mine, theirs = self.owners.get(one), self.owners.get(other)
        if mine is None or theirs is None:
            return False
        both_on_host = mine.network_mode.value == theirs.network_mode.value == "host"
        return mine.name == theirs.name or both_on_host

    def attached(self, owner: Container) -> tuple[Attached, ...]:
        """The networks of a namespace, those left out that are assumed to be none."""
        if owner.network_mode.value in ("none", "host"):
            return ()
        attachments = owner.attachments
        if not attachments and siblings.on_default_bridge(owner):
            attachments = (Attachment(networks.DEFAULT_BRIDGE, owner.network_mode.origin),)
        found = (self._judged(owner, index, attachment) for index, attachment in enumerate(attachments))
        return tuple(one for one in found if one is not None)

    def attached_by_name(self, name: str) -> tuple[Attached, ...]:
        owner = self.owners.get(name)
        return self.attached(owner) if owner is not None else ()

    def _judged(self, owner: Container, index: int, attachment: Attachment) -> Attached | None:
        network = self.launch.network(attachment.network)
        if network is None and attachment.network == networks.DEFAULT_BRIDGE:
            network = networks.default_bridge(owner.network_mode.origin)
        if network is None:
            origin = attachment.origin
            network = Network(attachment.network, Said("bridge", origin), Said(False, origin), origin, external=True)
        given = self.assumed.get(f"network.{network.key}")
        if given is None and network.name is not None:
            given = self.assumed.get(f"network.{network.name}")
        judged, missing = networks.known(network, given)
        if judged is None:
            return None
        origin = attachment.origin
        missing = tuple(replace(m, origin=origin) if m.origin is None else m for m in (*missing, *network.missing))
        return Attached(index, attachment, judged, missing)

    @cached_property
    def by_network(self) -> dict[str, list[tuple[Container, Attached]]]:
        """The containers on each network, those that borrow another's namespace too."""
        found: dict[str, list[tuple[Container, Attached]]] = {}
        for one in self.launch.containers:
            for attached in self.attached_by_name(one.name):
                found.setdefault(attached.network.key, []).append((one, attached))
        return found

    def is_on(self, name: str, network: Network) -> bool:
        return any(one.name == name for one, _ in self.by_network.get(network.key, ()))

    @cached_property
    def by_called(self) -> dict[str, str]:
        """The container that a name or an address means, where it is one of the launch's."""
        return {name: c.name for c in reversed(self.launch.containers) for name in siblings.called(c)}

    def neighbours(self, owner: Container) -> Iterator[Neighbour]:
        """The other containers on a namespace's networks, with the addresses that the launch gives them."""
        own = {a.network.key for a in self.attached(owner)}
        for one in self.launch.containers:
            for attachment in one.attachments if one.name != owner.name else ():
                if attachment.network in own:
                    given = [a for a in (attachment.ipv4, attachment.ipv6) if a is not None and siblings.is_address(a)]
                    for address in given:
                        yield Neighbour(one.name, attachment.network, str(ipaddress.ip_address(address)))
                    if attachment.ipv4 is None:
                        yield Neighbour(one.name, attachment.network, None)

    @cached_property
    def on_host(self) -> tuple[Container, ...]:
        """The containers that live in the host's network namespace."""
        return tuple(
            one
            for one in self.launch.containers
            if (owner := self.owners[one.name]) is not None and owner.network_mode.value == "host"
        )
