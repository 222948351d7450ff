"""The text of iptables-save, ip6tables-save and `iptables -S`, with `ipset save` behind it, and the words of one iptables rule.

Sources: iptables(8), iptables-extensions(8), iptables-save(8), ipset(8).
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from scanner.egress.firewall.model import PRIORITIES, Chain, Rule, Table, Test, Verb
from scanner.egress.firewall.services import SERVICES
from scanner.egress.firewall.space import (
    ALL_V4,
    ALL_V6,
    EVERY_ADDRESS,
    EVERY_PORT,
    EVERY_PROTOCOL,
    ICMP,
    NAMES,
    OTHER,
    SCTP,
    TCP,
    UDP,
    Spans,
    common,
    network,
    spans,
    without,
)
from scanner.errors import ParseError
from scanner.model import printable
from scanner.model.launch import Place

HOOKS = {
    "raw": {"PREROUTING": ("prerouting", "raw"), "OUTPUT": ("output", "raw")},
    "mangle": {name: (name.lower(), "mangle") for name in ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")},
    "nat": {
        "PREROUTING": ("prerouting", "dstnat"),
        "INPUT": ("input", "srcnat"),
        "OUTPUT": ("output", "dstnat"),
        "POSTROUTING": ("postrouting", "srcnat"),
    },
    "filter": {name: (name.lower(), "filter") for name in ("INPUT", "FORWARD", "OUTPUT")},
    "security": {name: (name.lower(), "security") for name in ("INPUT", "FORWARD", "OUTPUT")},
}
"""Table → built-in chain → (hook, name of its priority)."""

PROTOCOLS = {
    "tcp": TCP, "6": TCP, "udp": UDP, "17": UDP, "sctp": SCTP, "132": SCTP, "icmp": ICMP, "1": ICMP,
    "icmpv6": ICMP, "ipv6-icmp": ICMP, "icmp6": ICMP, "58": ICMP, "all": EVERY_PROTOCOL, "0": EVERY_PROTOCOL,
}  # fmt: skip
ICMP_TYPES = {
    "echo-reply": "0", "pong": "0", "echo-request": "8", "ping": "8", "destination-unreachable": "3",
    "time-exceeded": "11", "ttl-exceeded": "11", "parameter-problem": "12", "redirect": "5", "source-quench": "4",
    "timestamp-request": "13", "timestamp-reply": "14", "router-advertisement": "9", "router-solicitation": "10",
}  # fmt: skip
ICMP6_TYPES = {
    "echo-request": "128", "ping": "128", "echo-reply": "129", "pong": "129", "destination-unreachable": "1",
    "packet-too-big": "2", "time-exceeded": "3", "parameter-problem": "4", "router-solicitation": "133",
    "router-advertisement": "134", "neighbour-solicitation": "135", "neighbor-solicitation": "135",
    "neighbour-advertisement": "136", "neighbor-advertisement": "136", "redirect": "137",
}  # fmt: skip
ALTERNATIVES = 20_000
"""Rules that one rule may stand for (elements of a set of pairs)."""

_GOES_ON = frozenset(
    "LOG NFLOG ULOG MARK CONNMARK SECMARK CONNSECMARK TCPMSS TOS DSCP ECN CLASSIFY CHECKSUM TRACE SET TTL HL AUDIT "
    "TCPOPTSTRIP IDLETIMER LED RATEEST ".split()
)
_MARKS = frozenset(("MARK", "CONNMARK"))


@dataclass(frozen=True, slots=True)
class IpSet:
    """The elements of a set: each a tuple of dimensions (`("addr", spans)`, `("port", (protocols, spans))`, …)."""

    type: str
    elements: tuple[tuple[tuple[str, int, Spans], ...], ...]
    """per element, per dimension: (kind `addr`|`port`, protocols, spans)"""
    unclear: bool = False


Resolve = Callable[[str], Spans | None]
"""What stands for a name among addresses, or None where it means nothing."""


class BadRule(ValueError):
    """What iptables itself would refuse."""


@dataclass(slots=True)
class _Draft:
    """A rule while its words are read."""

    family: int
    protocols: int = EVERY_PROTOCOL
    named_protocol: str = ""
    src: Spans | None = None
    dst: Spans | None = None
    sport: Spans | None = None
    dport: Spans | None = None
    tests: list[Test] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    rate: bool = False
    either_port: Spans | None = None
    products: list[tuple[tuple[tuple[str, Spans | int], ...], ...]] = field(default_factory=list)
    target: str = ""
    goto: bool = False
    said: list[str] = field(default_factory=list)

    def limit(self, which: str, found: Spans) -> None:
        before = getattr(self, which)
        if before is not None:
            found = common(before, found)
        setattr(self, which, found)


def addresses(text: str, family: int, resolve: Resolve | None) -> Spans:
    """A comma list of addresses as `-s` and `-d` take them; raises BadRule."""
    found: list[tuple[int, int]] = []
    for one in text.split(","):
        try:
            version, low, high = network(one)
        except ValueError:
            named = resolve(one) if resolve is not None else None
            if named is None:
                raise BadRule(f"{printable(one, 60)!r} is no address") from None
            found += named
            continue
        if version != family:
            raise BadRule(f"{printable(one, 60)!r} is no IPv{family} address")
        found.append((low, high))
    return spans(found)


def ports(text: str) -> Spans:
    """`80`, `1000:2000`, `:1024`, `http`, comma lists, nft's `1-5` too; raises BadRule."""
    found = []
    for one in text.split(","):
        first, colon, last = one.replace("-", ":", 1).partition(":") if one[:1].isdigit() else one.partition(":")
        low = _port(first) if first else 0
        high = low if not colon else _port(last) if last else 65535
        if low > high:
            raise BadRule(f"{printable(one, 40)!r} is no range of ports")
        found.append((low, high))
    return spans(found)


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536:
        return int(text)
    if text in SERVICES:
        return SERVICES[text]
    raise BadRule(f"{printable(text, 40)!r} is no port")


def universe(family: int) -> Spans:
    return spans((*(ALL_V4 if family == 4 else ALL_V6), (NAMES, EVERY_ADDRESS[0][1])))


_WITH_ONE = frozenset(
    "--comment --limit --limit-burst --mark --pkt-type --mac-source --tcp-option --ttl-eq --ttl-lt "
    "--ttl-gt --dscp --dscp-class --tos --length --string --algo --from --to --hex-string --ctstatus --ctproto --ctorigsrc "
    "--ctorigdst --ctreplsrc --ctrepldst --ctexpire --seconds --hitcount --name --rsource --mode --probability --every "
    "--packet --bytecode --u32 --path --cluster-total-nodes --timestart --timestop --weekdays --datestart --datestop "
    "--hashlimit --hashlimit-upto --hashlimit-above --hashlimit-burst --hashlimit-mode --hashlimit-name "
    "--hashlimit-srcmask --hashlimit-dstmask --hashlimit-htable-expire --hashlimit-htable-size --hashlimit-htable-max "
    "--hashlimit-htable-gcinterval --connlimit-above --connlimit-upto --connlimit-mask --connbytes --connbytes-dir "
    "--connbytes-mode --physdev-in --physdev-out --helper --label --realm --source-country --src-cc --dst-cc --country "
    "--queue-num --tunnel-src".split()
)
_ACTIONS_WITH_ONE = frozenset(
    "--to-destination --to-source --to-ports --to --reject-with --log-prefix --log-level --set-mark --set-xmark --and-mark "
    "--or-mark --xor-mark --nfmask --ctmask --mask --set-mss --set-tos --set-dscp --set-dscp-class --nflog-prefix "
    "--nflog-group --nflog-range --nflog-size --nflog-threshold --set-class --zone --zone-orig --zone-reply --ctevents "
    "--expevents --timeout --helper --on-port --on-ip --tproxy-mark --queue-num --queue-balance --gateway --ttl-set "
    "--ttl-dec --hl-set --type --to-netmap --ulog-prefix --selctx".split()
)
_ACTIONS_ALONE = frozenset(
    "--random --random-fully --persistent --log-uid --log-tcp-sequence --log-tcp-options --log-ip-options --clamp-mss-to-pmtu "
    "--save-mark --restore-mark --save --restore --notrack --queue-bypass --queue-cpu-fanout --checksum-fill".split()
)
_ACTIONS_WITH_TWO = frozenset(("--add-set", "--del-set", "--map-set"))


def read_rule(
    words: Sequence[str],
    family: int,
    place: Place,
    text: str,
    sets: Mapping[str, IpSet],
    resolve: Resolve | None = None,
) -> list[Rule]:
    """What stands behind `-A CHAIN`: rules that each match a part of what it matches; raises BadRule for what is no rule."""
    draft = _Draft(family)
    given = _Words(list(words))
    while (word := given.next_option()) is not None:
        _option(draft, word, given, sets, resolve)
        given.negated = False
    return list(_finished(draft, place, text))


@dataclass(slots=True)
class _Words:
    """A rule's words as they are used up; `negated`: a ! stood before the option or its value."""

    words: list[str]
    at: int = 0
    negated: bool = False

    def next_option(self) -> str | None:
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            if word == "!":
                self.negated = True
                continue
            if word.startswith("--") and "=" in word:
                word, _, value = word.partition("=")
                self.words.insert(self.at, value)
            return word
        return None

    def value(self) -> str:
        if self.words[self.at : self.at + 1] == ["!"]:
            self.negated, self.at = True, self.at + 1
        if self.at >= len(self.words):
            raise BadRule(f"{printable(self.words[-1], 40)} has no value")
        self.at += 1
        return self.words[self.at - 1]


def _option(draft: _Draft, word: str, given: _Words, sets: Mapping[str, IpSet], resolve: Resolve | None) -> None:
    whole = universe(draft.family)
    value = given.value

    def unless(found: Spans, all_of_them: Spans) -> Spans:
        return without(all_of_them, found) if given.negated else found

    def test(kind: str, *values: str) -> None:
        draft.tests.append(Test(kind, values, given.negated))

    match word:
        case "-m" | "--match":
            module = value()
            if module in ("tcp", "udp", "sctp") and draft.protocols == EVERY_PROTOCOL:
                draft.protocols = PROTOCOLS[module]
            if module == "socket":
                draft.unsure.append("whether the packet belongs to a socket of the host cannot be told")
        case "-s" | "--source" | "--src":
            found = addresses(value(), draft.family, resolve)
            draft.limit("src", unless(found, whole))
        case "-d" | "--destination" | "--dst":
            found = addresses(value(), draft.family, resolve)
            draft.limit("dst", unless(found, whole))
        case "--src-range":
            found = addresses(value(), draft.family, None)
            draft.limit("src", unless(found, whole))
        case "--dst-range":
            found = addresses(value(), draft.family, None)
            draft.limit("dst", unless(found, whole))
        case "-i" | "--in-interface":
            test("in", value())
        case "-o" | "--out-interface":
            test("out", value())
        case "-p" | "--protocol" | "--proto":
            name = value().lower()
            bits = PROTOCOLS.get(name, OTHER)
            if bits == EVERY_PROTOCOL:
                return
            draft.named_protocol = "" if name in PROTOCOLS else name
            draft.protocols = EVERY_PROTOCOL & ~bits if given.negated else bits
            if draft.named_protocol and given.negated:
                draft.protocols |= OTHER
        case "--sport" | "--source-port" | "--sports" | "--source-ports":
            found = ports(value())
            draft.limit("sport", unless(found, EVERY_PORT))
        case "--dport" | "--destination-port" | "--dports" | "--destination-ports":
            found = ports(value())
            draft.limit("dport", unless(found, EVERY_PORT))
        case "--ports" | "--port":
            found = ports(value())
            if given.negated:
                draft.limit("sport", without(EVERY_PORT, found))
                draft.limit("dport", without(EVERY_PORT, found))
            else:
                draft.either_port = found
        case "--ctstate" | "--state":
            test("state", *value().upper().split(","))
        case "--ctdir":
            test("direction", value().upper())
        case "--dst-type":
            test("dst-type", *value().upper().split(","))
        case "--src-type":
            test("src-type", *value().upper().split(","))
        case "--limit-iface-in" | "--limit-iface-out":
            draft.unsure.append("the type of an address is asked for one interface alone")
        case "--icmp-type" | "--icmpv6-type":
            kind = value().lower()
            known = ICMP_TYPES if draft.family == 4 else ICMP6_TYPES
            number = known.get(kind, kind.partition("/")[0])
            if kind != "any" and number not in ("255", "any"):
                if not number.isdigit():
                    draft.unsure.append(f"the ICMP type {printable(kind, 40)} is not known here")
                else:
                    test("icmp", number)
        case "--syn":
            draft.tests.append(Test("flags", ("FIN,SYN,RST,ACK", "SYN"), given.negated))
        case "--tcp-flags":
            looked, wanted = value(), value()
            every = "FIN,SYN,RST,PSH,ACK,URG"
            looked, wanted = (every if v == "ALL" else "" if v == "NONE" else v.upper() for v in (looked, wanted))
            test("flags", looked, wanted)
        case "--match-set" | "--set" if word == "--match-set" or draft.target == "":
            name, directions = value(), value()
            _match_set(draft, sets.get(name), name, directions.split(","), given.negated, whole)
        case "-j" | "--jump" | "-g" | "--goto":
            draft.target, draft.goto = value(), word in ("-g", "--goto")
        case "-f" | "--fragment":
            if not given.negated:
                draft.unsure.append("it is meant for fragments")
        case "-c" | "--set-counters":
            value()
            value()
        case "--uid-owner" | "--gid-owner":
            test("owner", value())
        case "--socket-exists":
            test("owner")
        case "--physdev-is-bridged":
            test("bridged")
        case "--physdev-is-in" | "--physdev-is-out":
            draft.unsure.append("which port of a bridge a frame came by cannot be told")
        case "--mark":
            number, _, _ = value().partition("/")
            test("mark", "0" if re.fullmatch(r"0+|0x0+", number) else "1")
        case "--pkt-type":
            if value() != "unicast" or given.negated:
                draft.unsure.append("it is meant for broadcasts")
        case _ if word in _ACTIONS_WITH_ONE and draft.target:
            draft.said.append(value())
        case _ if word in _ACTIONS_ALONE and draft.target:
            draft.said.append(word)
        case _ if word in _ACTIONS_WITH_TWO and draft.target:
            value(), value()
        case "--limit" | "--hashlimit" | "--hashlimit-upto" | "--hashlimit-above":
            value()
            draft.rate = True
        case _ if word in ("--limit-burst", "--comment") or word.startswith("--hashlimit-"):
            value()
        case _ if word in _WITH_ONE:
            argument = value()
            draft.unsure.append(f"{word} {printable(argument, 40)} cannot be judged here")
        case _ if re.fullmatch(r"--[a-z0-9][a-z0-9-]*", word):
            draft.unsure.append(f"{printable(word, 40)} cannot be judged here")
        case _ if word.startswith("-"):
            raise BadRule(f"there is no option {printable(word, 40)}")
        case _:
            if not draft.unsure:  # a value of an option that was not known
                raise BadRule(f"{printable(word, 40)!r} is not expected here")


def _match_set(
    draft: _Draft, found: IpSet | None, name: str, directions: Sequence[str], negated: bool, whole: Spans
) -> None:
    if found is None:
        draft.unsure.append(f"what the set {printable(name, 60)} holds is not told (append what `ipset save` prints)")
        return
    if found.unclear:
        draft.unsure.append(f"the set {printable(name, 60)} holds what cannot be read here")
        return
    sides = ["src" if d == "src" else "dst" for d in directions]
    if all(len(e) == 1 and e[0][0] == "addr" for e in found.elements) and sides:
        spread = spans(pair for element in found.elements for pair in element[0][2])
        draft.limit(sides[0], without(whole, spread) if negated else spread)
        return
    if negated or any(len(e) > len(sides) for e in found.elements):
        draft.unsure.append(f"the set {printable(name, 60)} of several dimensions cannot be judged here")
        return
    products = []
    for element in found.elements:
        parts: list[tuple[str, Spans | int]] = []
        for (kind, protocols, spread), side in zip(element, sides, strict=False):
            if kind == "addr":
                parts.append((side, spread))
            else:
                parts += [("protocols", protocols), ("sport" if side == "src" else "dport", spread)]
        products.append(tuple(parts))
    draft.products.append(tuple(products))


def _finished(draft: _Draft, place: Place, text: str) -> Iterator[Rule]:
    if draft.sport is not None or draft.dport is not None or draft.either_port is not None:
        draft.protocols &= TCP | UDP | SCTP if draft.protocols == EVERY_PROTOCOL else draft.protocols
    if any(t.kind == "flags" for t in draft.tests):
        draft.protocols &= TCP
    if any(t.kind == "icmp" for t in draft.tests):
        draft.protocols &= ICMP
    verb, argument = _verb(draft)
    rule = Rule(
        place,
        text,
        verb,
        argument,
        draft.protocols,
        draft.src,
        draft.dst,
        draft.sport,
        draft.dport,
        tuple(draft.tests),
        tuple(draft.unsure),
        draft.rate,
    )
    yield from alternatives(rule, draft.products, draft.either_port, draft.named_protocol)


def alternatives(
    rule: Rule,
    products: Sequence[Sequence[Sequence[tuple[str, Spans | int]]]],
    either_port: Spans | None = None,
    named_protocol: str = "",
) -> Iterator[Rule]:
    """The rule for each element of the sets it names; a protocol among `other` apart from the rest."""
    rules = [rule]
    if either_port is not None:
        rules = [
            replace(rule, sport=either_port),
            replace(rule, dport=either_port, sport=without(EVERY_PORT, either_port)),
        ]
    for elements in products:
        if len(rules) * len(elements) > ALTERNATIVES:
            rules = [replace(r, unsure=(*r.unsure, "it names too large a set")) for r in rules]
            continue
        spread = []
        for one in rules:
            for element in elements:
                changed = one
                for which, given in element:
                    if which == "protocols":
                        assert isinstance(given, int)
                        changed = replace(changed, protocols=changed.protocols & given)
                        continue
                    assert not isinstance(given, int)
                    before: Spans | None = getattr(changed, which)
                    now = given if before is None else common(before, given)
                    changed = replace(changed, **{which: now})  # type: ignore[arg-type]
                spread.append(changed)
        rules = spread
    for one in rules:
        if not named_protocol:
            yield one
            continue
        if one.protocols & ~OTHER:
            yield replace(one, protocols=one.protocols & ~OTHER)
        words = f"{printable(named_protocol, 20)} is one protocol among others"
        yield replace(one, protocols=one.protocols & OTHER, unsure=(*one.unsure, words))


def _verb(draft: _Draft) -> tuple[Verb, str]:
    target = draft.target
    if not target or target in _GOES_ON:
        return Verb.PASS, target if target in _MARKS else ""
    if draft.goto:
        return Verb.GOTO, target
    said = " ".join(draft.said)
    match target:
        case "ACCEPT":
            return Verb.ACCEPT, ""
        case "DROP" | "REJECT" | "TARPIT":
            return Verb.DROP, ""
        case "RETURN":
            return Verb.RETURN, ""
        case "MASQUERADE" | "SNAT":
            return Verb.MASQUERADE, said
        case "DNAT" | "NETMAP":
            return Verb.TRANSLATE, said or "another address"
        case "REDIRECT" | "TPROXY":
            return Verb.TRANSLATE, f"a port of the machine itself {said}".strip()
        case "CT":
            return (Verb.UNCLEAR, "") if "--notrack" in draft.said else (Verb.PASS, "")
        case "NOTRACK" | "QUEUE" | "NFQUEUE" | "TEE" | "SYNPROXY" | "DNPT" | "SNPT" | "CLUSTERIP":
            return Verb.UNCLEAR, target
    return Verb.JUMP, target


# ---- whole texts


@dataclass(slots=True)
class _Open:
    """A chain while its rules are read."""

    place: Place
    policy: bool | None = None
    policy_place: Place | None = None
    rules: list[Rule] = field(default_factory=list)


_HEADER = re.compile(r"#.*?\b(ip6?tables)(?:-nft|-legacy)?(?:-save)?\b", re.IGNORECASE)
_CHAIN = re.compile(r":(\S+)\s+(\S+)(?:\s+\[\d+:\d+\])?\s*")
_COUNTERS = re.compile(r"\[\d+:\d+\]\s+")
_LOOKS = re.compile(r"\s*(?:\*(?:filter|nat|mangle|raw|security)\b|-[PNAI] \S+|:[A-Z])", re.MULTILINE)


def recognises(text: str) -> bool:
    return any(_LOOKS.match(line) for line in text.splitlines())


def read(text: str, name: str) -> tuple[list[Table], list[tuple[int, str]]]:
    """The tables, and what of the text is to be told (line, words). Raises ParseError with the line for what is no ruleset."""
    lines = text.splitlines()
    sets = read_sets(lines, name)
    notes: list[tuple[int, str]] = []
    family, table = 4, ""
    sections: dict[tuple[int, str], dict[str, _Open]] = {}
    for number, line, section in _numbered(lines):
        stripped = line.strip()
        if stripped.startswith("#"):
            if "legacy tables present" in stripped:
                notes.append((number, "there are more rules in the legacy tables, which this text does not hold"))
            elif (header := _HEADER.match(stripped)) and "completed" not in stripped.lower():
                family = 6 if header[1].lower() == "ip6tables" else 4
            continue
        if not stripped or stripped.startswith(("create ", "add ")):
            continue
        if stripped.startswith("*"):
            table = stripped[1:].strip()
            if table not in HOOKS:
                raise ParseError(f"{name}:{number}:1: there is no table {printable(table, 40)!r}")
            if section == 6:
                family = 6
            sections.setdefault((family, table), {})
            continue
        if stripped == "COMMIT":
            table = ""
            continue
        key = (6 if section == 6 else family, table or "filter")
        chains = sections.setdefault(key, {})
        try:
            _line(stripped, number, name, key, chains, sets)
        except ValueError as e:
            raise ParseError(f"{name}:{number}:1: {e}") from e
    tables = [_closed(key, chains) for key, chains in sections.items()]
    if not tables:
        raise ParseError(f"{name}:1:1: no rules of iptables stand here")
    return tables, notes


_SIX = re.compile(r"(?:-s|-d) \S*:\S*|ipv6-icmp|icmp6?v6|icmp6-|-p icmpv6")


def _numbered(lines: Sequence[str]) -> Iterator[tuple[int, str, int]]:
    """Lines with their numbers, and 6 where the section they stand in speaks of IPv6 by its own words."""
    begins = [i for i, line in enumerate(lines) if line.lstrip().startswith("*")]
    if not begins or begins[0] > 0:
        begins = [0, *begins]
    for begin, end in pairwise([*begins, len(lines)]):
        section = 6 if any(_SIX.search(line) for line in lines[begin:end] if line.lstrip()[:1] != "#") else 4
        for i in range(begin, end):
            yield i + 1, lines[i], section


def _line(
    line: str, number: int, name: str, key: tuple[int, str], chains: dict[str, _Open], sets: Mapping[str, IpSet]
) -> None:
    place = Place(name, number)
    family, _ = key
    if line.startswith(":"):
        found = _CHAIN.fullmatch(line)
        if found is None:
            raise BadRule(f"{printable(line, 80)!r} declares no chain")
        _declare(chains, found[1], found[2], place)
        return
    line = _COUNTERS.sub("", line, count=1) if line.startswith("[") else line
    words = shlex.split(line)
    if len(words) >= 2 and words[0] in ("-P", "--policy"):
        _declare(chains, words[1], words[2] if len(words) > 2 else "", place)
    elif len(words) == 2 and words[0] in ("-N", "--new-chain"):
        _declare(chains, words[1], "-", place)
    elif len(words) >= 2 and words[0] in ("-A", "--append", "-I", "--insert"):
        chain = chains.get(words[1])
        if chain is None:
            chain = chains[words[1]] = _Open(place)
        rest = words[2:]
        rules = None
        if words[0] in ("-I", "--insert"):
            index = 1
            if rest and rest[0].isdigit() and len(rest[0]) < 9:
                index, rest = int(rest[0]), rest[1:]
            rules = read_rule(rest, family, place, line, sets)
            chain.rules[index - 1 : index - 1] = rules
        else:
            chain.rules += read_rule(rest, family, place, line, sets)
    else:
        raise BadRule(f"{printable(line, 80)!r} is no line of iptables-save")


def _declare(chains: dict[str, _Open], chain: str, policy: str, place: Place) -> None:
    if policy not in ("ACCEPT", "DROP", "-"):
        raise BadRule(f"{printable(policy, 40)!r} is no policy")
    opened = chains.setdefault(chain, _Open(place))
    opened.policy, opened.policy_place = policy != "DROP", place


def _closed(key: tuple[int, str], opened: Mapping[str, _Open]) -> Table:
    family, table = key
    chains = {}
    for name, one in opened.items():
        hook, priority = HOOKS[table].get(name, (None, "filter"))
        rules = [
            replace(r, verb=Verb.UNCLEAR) if r.verb in (Verb.JUMP, Verb.GOTO) and r.argument not in opened else r
            for r in one.rules
        ]
        chains[name] = Chain(
            name,
            tuple(rules),
            one.place,
            hook,
            PRIORITIES[priority],
            table == "nat",
            one.policy,
            one.policy_place,
        )
    check_jumps(chains)
    return Table("ip" if family == 4 else "ip6", table, chains)


def check_jumps(chains: Mapping[str, Chain]) -> None:
    """Every jump has a chain to go to, and none comes back to itself, as the kernel demands; raises ParseError."""
    state: dict[str, int] = {}
    for root in chains:
        stack = [(root, iter(chains[root].rules))]
        if state.get(root):
            continue
        state[root] = 1
        while stack:
            name, rules = stack[-1]
            for rule in rules:
                if rule.verb not in (Verb.JUMP, Verb.GOTO):
                    continue
                if rule.argument not in chains:
                    raise ParseError(
                        f"{rule.place}: there is no chain and no known target {printable(rule.argument, 60)}"
                    )
                seen = state.get(rule.argument, 0)
                if seen == 1:
                    raise ParseError(f"{rule.place}: the chains go round in a circle at {printable(rule.argument, 60)}")
                if seen == 0:
                    state[rule.argument] = 1
                    stack.append((rule.argument, iter(chains[rule.argument].rules)))
                    break
            else:
                state[name] = 2
                stack.pop()


# ---- ipset save

_PROTOCOL_PORT = re.compile(r"(?:([a-z0-9]+):)?([0-9a-z-]+)")


def read_sets(lines: Sequence[str], name: str) -> dict[str, IpSet]:
    """The sets that `create` and `add` lines make; raises ParseError."""
    kinds: dict[str, tuple[str, list[str]]] = {}
    elements: dict[str, list[tuple[tuple[str, int, Spans], ...]]] = {}
    unclear: set[str] = set()
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) >= 3 and words[0] == "create":
            kind = words[2].partition(":")[2]
            kinds[words[1]] = (words[2], kind.split(",") if kind else [])
            elements[words[1]] = []
            if "list" in words[2]:
                unclear.add(words[1])
        elif len(words) >= 3 and words[0] == "add":
            if words[1] not in kinds:
                raise ParseError(f"{name}:{number}:1: the set {printable(words[1], 60)} is not created above")
            read = None if "nomatch" in words[3:] else element(kinds[words[1]][1], words[2])
            if read is None:
                unclear.add(words[1])
            else:
                elements[words[1]].append(read)
    return {key: IpSet(kinds[key][0], tuple(elements[key]), key in unclear) for key in kinds}


def element(
    kinds: Sequence[str], text: str, resolve: Resolve | None = None
) -> tuple[tuple[str, int, Spans], ...] | None:
    """One element of a set of these dimensions; None if it cannot be read."""
    parts = text.split(",")
    if len(parts) != len(kinds):
        return None
    result: list[tuple[str, int, Spans]] = []
    for kind, part in zip(kinds, parts, strict=True):
        try:
            if kind in ("ip", "net"):
                named = resolve(part) if resolve is not None else None
                if named is None:
                    _, low, high = network(part)
                    named = ((low, high),)
                result.append(("addr", EVERY_PROTOCOL, named))
            elif kind == "port":
                found = _PROTOCOL_PORT.fullmatch(part)
                if found is None:
                    return None
                bits = PROTOCOLS.get(found[1] or "tcp")
                if bits is None or not bits & (TCP | UDP | SCTP):
                    return None
                result.append(("port", bits, ports(found[2])))
            else:
                return None
        except ValueError:
            return None
    return tuple(result)
