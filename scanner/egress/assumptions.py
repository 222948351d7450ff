"""Facts that no launch file holds and a person can supply: `--assume KEY=VALUE`."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scanner.errors import UsageError
from scanner.model import printable


@dataclass(frozen=True, slots=True)
class Assumption:
    """`key` as listed (upper-case parts are the user's names), what values it takes, and what hangs on it."""

    key: str
    values: str
    pattern: str
    summary: str


KNOWN = (
    Assumption(
        "engine.version",
        "VERSION, such as 20.10.24",
        r"\d{2}(\.\d{1,4}){0,2}([-+~].*)?",
        "the Docker engine that runs it",
    ),
    Assumption(
        "engine.dns",
        "ADDRESS or host-loopback",
        r"host-loopback|[0-9.]{7,15}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*",
        "where the engine's resolver forwards names: its --dns, else the host's resolver",
    ),
    Assumption(
        "engine.icc", "true or false", "true|false", "whether containers of the default bridge reach each other (--icc)"
    ),
    Assumption(
        "engine.tcp", "PORT or none", r"none|\d{1,5}", "a TCP port on which the engine itself listens without TLS"
    ),
    Assumption(
        "engine.iptables", "true or false", "true|false", "whether the engine writes firewall rules (--iptables)"
    ),
    Assumption("engine.ip6tables", "true or false", "true|false", "the same for IPv6 (--ip6tables)"),
    Assumption(
        "engine.firewall", "iptables or nftables", "iptables|nftables", "the engine's firewall backend, from 29"
    ),
    Assumption("engine.rootless", "true or false", "true|false", "whether the engine runs without root"),
    Assumption(
        "engine.userland-proxy", "true or false", "true|false", "whether published ports go through docker-proxy"
    ),
    Assumption("engine.direct-routing", "true or false", "true|false", "--allow-direct-routing, from 28"),
    Assumption("network.NAME", "internal, open or none", "internal|open|none", "what an external network NAME is"),
    Assumption(
        "forwards.NAME", "true or false", "true|false", "whether the software of the service NAME passes traffic on"
    ),
    Assumption("host.ipv6", "true or false", "true|false", "whether the host has IPv6 to the outside"),
    Assumption("host.metadata", "true or false", "true|false", "whether a cloud's metadata service answers there"),
    Assumption(
        "cni.enforces", "true or false", "true|false", "whether the cluster's network plugin enforces NetworkPolicy"
    ),
    Assumption(
        "cluster.dns", "forwards or internal", "forwards|internal", "whether the cluster's DNS resolves outside names"
    ),
    Assumption("env.NAME", "VALUE", r"(?s).*", "an environment variable that the launch file interpolates"),
)


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the user takes for granted. A key that nobody gave is None, never a guess."""

    values: Mapping[str, str] = field(default_factory=dict)

    def get(self, key: str) -> str | None:
        return self.values.get(key)

    def flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        return None if value is None else value == "true"

    @property
    def engine(self) -> tuple[int, int, int] | None:
        """The engine's version as three numbers."""
        version = self.values.get("engine.version")
        if version is None:
            return None
        numbers = [int(n) for n in re.findall(r"\d+", re.split(r"[-+~]", version)[0])][:3]
        return (*numbers, *(0,) * (3 - len(numbers)))  # type: ignore[return-value]

    @property
    def environment(self) -> dict[str, str]:
        return {key[4:]: value for key, value in self.values.items() if key.startswith("env.")}


def parse(given: Iterable[str]) -> Assumed:
    """`KEY=VALUE` each; raises UsageError for a key that does not exist, a value that it cannot have, a contradiction."""
    values: dict[str, str] = {}
    for one in given:
        key, equals, value = one.partition("=")
        known = _known(key)
        if known is None:
            close = difflib.get_close_matches(key, [k.key for k in KNOWN], 1)
            hint = f"did you mean {close[0]}?" if close else "sandscan egress --list-assumptions shows all"
            raise UsageError(f"there is nothing to assume called {printable(key)!r}; {hint}")
        if not equals or not re.fullmatch(known.pattern, value):
            raise UsageError(f"--assume {printable(one)}: {known.key} is {known.values}")
        if values.setdefault(key, value) != value:
            raise UsageError(
                f"--assume {printable(key)} is given twice, as {printable(values[key])} and {printable(value)}"
            )
    return Assumed(values)


def _known(key: str) -> Assumption | None:
    for one in KNOWN:
        prefix, dot, name = one.key.rpartition(".")
        if one.key == key or (name == "NAME" and key.startswith(prefix + dot) and len(key) > len(prefix) + 1):
            return one
    return None
