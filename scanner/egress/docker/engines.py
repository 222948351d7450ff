"""What differs from engine to engine: predicates over its version and flags, and what to do where those are not given.

Nobody's version is guessed. What is asked is answered for every engine that the given facts leave possible (`possible`), and
`told_apart` says which facts an answer hangs on. Measured on 20.10.24 and 29; where behaviour changed in between: moby's
pull requests 46603 and 47481 (internal networks), 47589 (their names), 47771 (ip6tables), 48594 and 48596 (gateway modes).
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from scanner.egress.assumptions import Assumed
from scanner.model.launch import Missing

Version = tuple[int, int, int]
T = TypeVar("T", bound=Hashable)

KINDS: tuple[Version, ...] = (
    (20, 10, 24),
    (23, 0, 11),
    (25, 0, 0),
    (25, 0, 5),
    (26, 0, 0),
    (27, 0, 0),
    (28, 0, 0),
    (29, 0, 0),
)
"""One engine of each kind that behaves in its own way."""

LOOPBACK = "host-loopback"
ELSEWHERE = "elsewhere"
"""A resolver of the engine that is no address of the host's loopback, and nobody said which."""

_WHY = {
    "engine.version": "engines of different versions treat it differently",
    "engine.dns": "the embedded resolver asks from the host where the host's own resolver is on its loopback",
    "engine.ip6tables": "before version 27 nothing filters IPv6 unless --ip6tables says so",
}


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine that may run the launch. `dns` is LOOPBACK, ELSEWHERE or an address."""

    version: Version
    ip6tables: bool
    dns: str

    @property
    def internal_is_routed(self) -> bool:
        """Whether a container on an internal network has a default route, by which it reaches every address of the host."""
        return self.version < (25, 0, 0)

    @property
    def internal_has_address(self) -> bool:
        """Whether the bridge of an internal network has an address of the host."""
        return not (25, 0, 0) <= self.version < (25, 0, 4)

    @property
    def internal_leaks_names(self) -> bool:
        """Whether the embedded resolver asks the host's loopback for a container that is on internal networks alone."""
        v = self.version
        return v < (23, 0, 11) or (24, 0, 0) <= v < (25, 0, 5)

    @property
    def gateway_modes(self) -> bool:
        return self.version >= (27, 0, 0)

    @property
    def isolated_gateways(self) -> bool:
        """Whether `isolated` and `nat-unprotected` are known."""
        return self.version >= (28, 0, 0)

    @property
    def ipv4_can_be_off(self) -> bool:
        """Whether a network without IPv4 is known; older engines give it IPv4 all the same."""
        return self.version >= (28, 0, 0)

    @property
    def filters_per_port(self) -> bool:
        """Whether another network's published port is reached by the firewall's rules (so that they can forbid it), not by
        the proxy that listens on the host."""
        return self.version >= (28, 0, 0)

    @property
    def filters_bridged(self) -> bool:
        """Whether the engine's drops catch frames between two containers of one network (bridge netfilter is on)."""
        return self.version < (28, 0, 0)

    @property
    def prefers_gateways(self) -> bool:
        """Whether `gw-priority` says which network has the default route."""
        return self.version >= (28, 0, 0)

    @property
    def leaves_ipv6_on(self) -> bool:
        """CVE-2024-32473: interfaces on networks without IPv6 keep their link-local addresses."""
        return (26, 0, 0) <= self.version < (26, 0, 2)

    @property
    def facts(self) -> Mapping[str, Hashable]:
        return {"engine.version": self.version, "engine.ip6tables": self.ip6tables, "engine.dns": self.dns}


def possible(assumed: Assumed) -> tuple[Engine, ...]:
    """Every kind of engine that the assumptions allow."""
    versions = KINDS if assumed.engine is None else (assumed.engine,)
    given = assumed.get("engine.dns")
    names = (LOOPBACK, ELSEWHERE) if given is None else (LOOPBACK if _on_loopback(given) else given,)
    flag = assumed.flag("engine.ip6tables")
    return tuple(
        Engine(version, filters, dns)
        for version, dns in product(versions, names)
        for filters in ((flag,) if flag is not None else (True,) if version >= (27, 0, 0) else (False, True))
    )


def _on_loopback(address: str) -> bool:
    return address == LOOPBACK or address.startswith("127.") or address == "::1"


def told_apart(
    engines: Sequence[Engine], answer: Callable[[Engine], Iterable[T]]
) -> Iterator[tuple[T, tuple[Missing, ...]]]:
    """Every item that some engine gives, with the facts that it hangs on: () where all of them give it."""
    given: dict[T, set[Engine]] = {}
    for engine in engines:
        for item in answer(engine):
            given.setdefault(item, set()).add(engine)
    for item, giving in given.items():
        yield item, () if len(giving) == len(engines) else _facts(engines, giving)


def _facts(engines: Sequence[Engine], giving: set[Engine]) -> tuple[Missing, ...]:
    """The facts of which one alone, changed, changes the answer."""
    found: dict[str, None] = {}
    yes = [e.facts for e in engines if e in giving]
    no = [e.facts for e in engines if e not in giving]
    for one in yes:
        for other in no:
            differing = [key for key in one if one[key] != other[key]]
            if len(differing) == 1:
                found.setdefault(differing[0])
    # IPv6 is filtered by all engines from 27 on: there the flag goes with the version
    keys = tuple(found) or ("engine.version",)
    return tuple(Missing(key, _WHY[key]) for key in sorted(keys, reverse=True))
