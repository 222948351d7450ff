"""Rules of a packet filter in one shape, whichever tool wrote them down."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby

from scanner.egress.firewall.space import EVERY_PROTOCOL, Spans, spans
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
    (those looked at, those set), each joined by commas; `bridged`: the frame stays on its bridge; `owner`: a user's; `icmp`: types by number.
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

LIST = 64
"""From how many rules on that differ in their addresses alone they are one list."""


def listed(rules: Sequence[Rule]) -> Iterator[Rule]:
    """The same rules, where long lists of addresses that meet one end are one rule each, at the place of their first."""

    def key(rule: Rule) -> tuple[object, ...]:
        return (
            rule.verb, rule.argument, rule.protocols, rule.sport, rule.dport, rule.tests, rule.unsure, rule.rate,
            rule.src if rule.dst is not None else None, rule.dst is not None, rule.src is not None,
        )  # fmt: skip

    for _, run in groupby(rules, key):
        group = list(run)
        first = group[0]
        ends = first.verb in (Verb.ACCEPT, Verb.DROP) and not first.unsure
        if len(group) < LIST or not ends or (first.dst is None and first.src is None):
            yield from group
            continue
        text = f"{first.text} and the {len(group) - 1} like it after it"
        if first.dst is None:
            yield replace(first, text=text, src=spans(pair for rule in group for pair in rule.src or ()))
        else:
            yield replace(first, text=text, dst=spans(pair for rule in group for pair in rule.dst or ()))
