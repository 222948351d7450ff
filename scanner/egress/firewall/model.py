"""Rules of a packet filter in one shape, whichever tool wrote them down."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scanner.egress.firewall.space import EVERY_PROTOCOL, Spans
from scanner.model.launch import Place


class Verb(StrEnum):
    """What a rule does. PASS goes on with the next rule (LOG, marks, counters); UNCLEAR could be anything.

    TRANSLATE sends the packet elsewhere (DNAT, REDIRECT, TPROXY), MASQUERADE gives it an address of the host's (SNAT too).
    """

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    JUMP = "jump"
    GOTO = "goto"
    PASS = "pass"  # noqa: S105 - a packet passes
    TRANSLATE = "translate"
    MASQUERADE = "masquerade"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Test:
    """A test of something that a flow knows as a whole. `kind`:

    `in`, `out`: `values` are names of interfaces (a trailing + is a wildcard); `state`: NEW, ESTABLISHED, RELATED, INVALID,
    UNTRACKED, DNAT, SNAT; `direction`: ORIGINAL, REPLY; `dst-type`, `src-type`: LOCAL, UNICAST, …; `flags`: TCP flags as
    (those looked at, those set), each joined by commas; `bridged`: the frame stays on its bridge; `icmp`: types by number.
    """

    kind: str
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """All its conditions are anded; None of `src`, `dst`, `sport`, `dport` is anything.

    `unsure`: conditions that cannot be judged here, in words; `rate`: only so many packets match. `argument` is the chain
    jumped to, or what a translation says.
    """

    place: Place
    text: str
    verb: Verb
    argument: str = ""
    protocols: int = EVERY_PROTOCOL
    src: Spans | None = None
    dst: Spans | None = None
    sport: Spans | None = None
    dport: Spans | None = None
    tests: tuple[Test, ...] = ()
    unsure: tuple[str, ...] = ()
    rate: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """`hook` None is a chain that is only jumped to; `policy` True accepts at its end, None is told nowhere."""

    name: str
    rules: tuple[Rule, ...]
    place: Place
    hook: str | None = None
    priority: int = 0
    nat: bool = False
    policy: bool | None = True
    policy_place: Place | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """`family`: ip, ip6, inet, bridge, arp, netdev (`iptables` writes ip, `ip6tables` ip6)."""

    family: str
    name: str
    chains: Mapping[str, Chain] = field(default_factory=dict)


PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
