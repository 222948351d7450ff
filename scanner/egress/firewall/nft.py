"""`nft -j list ruleset` (JSON) and `nft list ruleset` (text): both become the same statements, and these rules.

Of the text the common statements are read; a rule with one that is not may do anything, and says so.
Sources: nft(8), libnftables-json(5).
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scanner.egress.firewall.iptables import (
    ALTERNATIVES,
    ICMP6_TYPES,
    ICMP_TYPES,
    PROTOCOLS,
    BadRule,
    Resolve,
    addresses,
    check_jumps,
    ports,
    universe,
)
from scanner.egress.firewall.model import PRIORITIES, Chain, Rule, Table, Test, Verb
from scanner.egress.firewall.space import (
    EVERY_PORT,
    ICMP,
    OTHER,
    SCTP,
    TCP,
    UDP,
    Spans,
    common,
    spans,
    without,
)
from scanner.errors import ParseError
from scanner.model import printable
from scanner.model.launch import Place

Atoms = tuple[str, ...]
"""One element of a set: a text for each of the keys."""


@dataclass(frozen=True, slots=True)
class Statement:
    """`kind`: `match` (keys, op, elements or the name of a set), `xt` (an extension of iptables, of which `named` is all that
    is known), `vmap` (keys, elements with verdicts or a map's name),
    `verdict` (verb, argument), `rate`, `unsure` (words), `pass`."""

    kind: str
    keys: tuple[str, ...] = ()
    op: str = "=="
    elements: tuple[Atoms, ...] = ()
    named: str = ""
    verdicts: tuple[tuple[Verb, str], ...] = ()
    words: str = ""


@dataclass(slots=True)
class _Table:
    """A table while it is read. `rules`: per chain (place, text, statements)."""

    family: str
    name: str
    chains: dict[str, Chain] = field(default_factory=dict)
    rules: dict[str, list[tuple[Place, str, list[Statement]]]] = field(default_factory=dict)
    sets: dict[str, list[Atoms] | None] = field(default_factory=dict)
    """None where a set's elements change by themselves"""
    maps: dict[str, list[tuple[Atoms, tuple[Verb, str]]]] = field(default_factory=dict)
    resolve: Resolve | None = None


_VERDICTS = {
    "accept": Verb.ACCEPT,
    "drop": Verb.DROP,
    "reject": Verb.DROP,
    "return": Verb.RETURN,
    "continue": Verb.PASS,
}


def tables_of(read: Mapping[tuple[str, str], _Table]) -> list[Table]:
    """Tables by family: one of inet stands twice."""
    result = []
    for table in read.values():
        families = {"inet": (4, 6), "ip": (4,), "ip6": (6,)}.get(table.family, ())
        if not families:
            result.append(Table(table.family, table.name, table.chains))
        for family in families:
            chains = {
                key: replace(
                    chain,
                    rules=tuple(
                        rule
                        for place, text, statements in table.rules.get(key, ())
                        for rule in rules_of(statements, family, place, text, table)
                    ),
                )
                for key, chain in table.chains.items()
            }
            check_jumps(chains)
            result.append(Table("ip" if family == 4 else "ip6", table.name, chains))
    return result


# ---- statements as rules


def rules_of(statements: Sequence[Statement], family: int, place: Place, text: str, table: _Table) -> Iterator[Rule]:
    """The rules, each a part of what the statements match; none for another family's."""
    drafts = [Rule(place, text, Verb.PASS)]
    for statement in statements:
        if not drafts:
            return
        match statement.kind:
            case "match":
                drafts = [rule for draft in drafts for rule in _matched(draft, statement, family, table)]
            case "vmap":
                pairs = (
                    table.maps.get(statement.named)
                    if statement.named
                    else list(zip(statement.elements, statement.verdicts, strict=True))
                )
                if pairs is None:
                    yield from (replace(d, verb=Verb.UNCLEAR) for d in drafts)
                    return
                for draft in drafts:
                    for element, (verb, argument) in pairs:
                        found = _constrained(draft, statement.keys, element, family, table.resolve)
                        if found is not None:
                            yield replace(found, verb=verb, argument=argument)
            case "rate":
                drafts = [replace(d, rate=True) for d in drafts]
            case "xt":
                words = f"what the match {printable(statement.named, 40)} says is not told"
                drafts = [replace(d, unsure=(*d.unsure, words)) for d in drafts]
            case "unsure":
                drafts = [replace(d, unsure=(*d.unsure, statement.words)) for d in drafts]
            case "verdict":
                [(verb, argument)] = statement.verdicts
                drafts = [replace(d, verb=verb, argument=argument) for d in drafts]
        if len(drafts) > ALTERNATIVES:
            drafts = [Rule(place, text, drafts[0].verb, unsure=("it names too large a set",))]
    yield from drafts


def _matched(draft: Rule, statement: Statement, family: int, table: _Table) -> list[Rule]:
    elements: Sequence[Atoms] | None = statement.elements
    if statement.named:
        elements = table.sets.get(statement.named)
        if elements is None:
            words = f"what the set {printable(statement.named, 60)} holds is not told or changes by itself"
            return [replace(draft, unsure=(*draft.unsure, words))]
    assert elements is not None
    negated = statement.op == "!="
    if statement.op not in ("==", "!=", "in"):
        return [replace(draft, unsure=(*draft.unsure, f"the comparison {statement.op} cannot be judged here"))]
    if len(statement.keys) == 1:
        found = _narrowed(draft, statement.keys[0], [e[0] for e in elements], negated, family, table.resolve)
        return [] if found is None else [found]
    if negated:
        return [replace(draft, unsure=(*draft.unsure, "what is not in a set of several dimensions"))]
    return [
        found for e in elements if (found := _constrained(draft, statement.keys, e, family, table.resolve)) is not None
    ]


def _constrained(draft: Rule, keys: Sequence[str], element: Atoms, family: int, resolve: Resolve | None) -> Rule | None:
    rule: Rule | None = draft
    if len(keys) != len(element):
        return replace(draft, unsure=(*draft.unsure, "an element of another form than its key"))
    for key, atom in zip(keys, element, strict=True):
        if rule is None:
            return None
        rule = _narrowed(rule, key, [atom], False, family, resolve)
    return rule


_PORTED = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "th": TCP | UDP | SCTP, "udplite": OTHER, "dccp": OTHER}


def _narrowed(
    rule: Rule, key: str, values: Sequence[str], negated: bool, family: int, resolve: Resolve | None
) -> Rule | None:
    """The rule with one more condition; None if it is never met in this family. Raises BadRule."""
    if "*" in values and not negated:
        return rule
    first, _, rest = key.partition(" ")
    if first in ("ip", "ip6") and family != (4 if first == "ip" else 6):
        return None
    if first in ("ip", "ip6") and rest in ("saddr", "daddr"):
        found = _union(addresses(v, family, resolve) for v in values)
        if negated:
            found = without(universe(family), found)
        return _limited(rule, "src" if rest == "saddr" else "dst", found)
    if first in _PORTED and rest in ("sport", "dport"):
        rule = replace(rule, protocols=rule.protocols & _PORTED[first])
        if _PORTED[first] == OTHER:
            return replace(rule, unsure=(*rule.unsure, f"{first} is one protocol among others"))
        found = _union(ports(v) for v in values)
        return _limited(rule, rest, without(EVERY_PORT, found) if negated else found)
    if key in ("meta l4proto", "ip protocol", "ip6 nexthdr", "meta nfproto", "meta protocol"):
        return _protocol(rule, key, values, negated, family)
    if key in ("iifname", "oifname", "iif", "oif"):
        names = tuple(v.removesuffix("*") + "+" if v.endswith("*") else v for v in values)
        return replace(rule, tests=(*rule.tests, Test("in" if key[0] == "i" else "out", names, negated)))
    if key == "ct state":
        return replace(rule, tests=(*rule.tests, Test("state", tuple(v.upper() for v in values), negated)))
    if key == "ct direction":
        names = tuple({"0": "ORIGINAL", "1": "REPLY"}.get(v, v.upper()) for v in values)
        return replace(rule, tests=(*rule.tests, Test("direction", names, negated)))
    if key == "ct status" and set(values) <= {"dnat", "snat"}:
        return replace(rule, tests=(*rule.tests, Test("state", tuple(v.upper() for v in values), negated)))
    if key in ("fib daddr type", "fib saddr type"):
        kind = "dst-type" if "daddr" in key else "src-type"
        return replace(rule, tests=(*rule.tests, Test(kind, tuple(v.upper() for v in values), negated)))
    if key in ("icmp type", "icmpv6 type"):
        if family != (4 if first == "icmp" else 6):
            return None
        known = ICMP_TYPES if family == 4 else ICMP6_TYPES
        numbers = tuple(known.get(v.replace("nd-", "").replace("-solicit", "-solicitation"), v) for v in values)
        rule = replace(rule, protocols=rule.protocols & ICMP)
        return replace(rule, tests=(*rule.tests, Test("icmp", numbers, negated)))
    if key in ("meta mark", "mark"):
        zero = all(re.fullmatch(r"0+|0x0+", v) for v in values)
        return replace(rule, tests=(*rule.tests, Test("mark", ("0" if zero else "1",), negated)))
    if key in ("meta skuid", "meta skgid"):
        return replace(rule, tests=(*rule.tests, Test("owner", tuple(values), negated)))
    if key == "pkttype" and list(values) == ["unicast"] and not negated:
        return rule
    return replace(rule, unsure=(*rule.unsure, f"{printable(key, 40)} cannot be judged here"))


def _union(parts: Iterator[Spans]) -> Spans:
    return spans(pair for part in parts for pair in part)


def _limited(rule: Rule, which: str, found: Spans) -> Rule:
    before: Spans | None = getattr(rule, which)
    now = found if before is None else common(before, found)
    return replace(rule, **{which: now})  # type: ignore[arg-type]


def _protocol(rule: Rule, key: str, values: Sequence[str], negated: bool, family: int) -> Rule | None:
    if key in ("meta nfproto", "meta protocol"):
        mine = {4: {"ipv4", "ip", "2"}, 6: {"ipv6", "ip6", "10"}}[family]
        return rule if bool(mine & set(values)) != negated else None
    bits = others = 0
    for value in values:
        found = PROTOCOLS.get(value)
        if found is None:
            others |= OTHER
        else:
            bits |= found
    if negated:
        rule = replace(rule, protocols=rule.protocols & ~bits)
    else:
        rule = replace(rule, protocols=rule.protocols & (bits | others))
    if others and not (bits and negated):
        rule = replace(rule, unsure=(*rule.unsure, "one protocol among others is meant"))
    return rule


# ---- JSON


def read_json(text: str, name: str) -> list[Table]:
    """Raises ParseError with line and column for what is not libnftables' JSON."""
    tables: dict[tuple[str, str], _Table] = {}
    newlines = [m.start() for m in re.finditer("\n", text)]

    def place(at: int) -> Place:
        line = bisect_right(newlines, at - 1)
        return Place(name, line + 1, at - (newlines[line - 1] if line else -1))

    for at, one in _objects(text, name):
        where = place(at)
        try:
            _object(one, where, tables, text[at : at + 400])
        except (BadRule, ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            raise ParseError(f"{where}: what libnftables does not print: {printable(str(e), 120)}") from e
    for table in tables.values():
        _engines_own(table)
    try:
        return tables_of(tables)
    except BadRule as e:
        raise ParseError(f"{name}:1:1: {e}") from e


_START = re.compile(r'\s*\{\s*"nftables"\s*:\s*\[\s*')
_NEXT = re.compile(r"\s*,?\s*")


def _objects(text: str, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    begun = _START.match(text)
    if begun is None:
        raise ParseError(f'{name}:1:1: no ruleset of nft: {{"nftables": [ is expected')
    decoder = json.JSONDecoder()
    at = begun.end()
    while at < len(text) and text[at] != "]":
        try:
            one, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as e:
            line = text.count("\n", 0, at) + 1
            column = at - text.rfind("\n", 0, at)
            raise ParseError(f"{name}:{line}:{column}: no JSON: {printable(str(e), 120)}") from e
        if not isinstance(one, dict):
            raise ParseError(f"{name}:{text.count(chr(10), 0, at) + 1}:1: an object is expected")
        yield at, one
        found = _NEXT.match(text, end)
        at = found.end() if found else end
    if at >= len(text):
        raise ParseError(f"{name}:{text.count(chr(10)) + 1}:1: it ends too early")


def _object(one: Mapping[str, Any], where: Place, tables: dict[tuple[str, str], _Table], raw: str) -> None:
    if "add" in one:
        one = one["add"]
    if "table" in one:
        _table(tables, one["table"]["family"], one["table"]["name"])
    elif "chain" in one:
        chain = one["chain"]
        table = _table(tables, chain["family"], chain["table"])
        hook = chain.get("hook")
        table.chains[str(chain["name"])] = Chain(
            str(chain["name"]),
            (),
            where,
            str(hook) if hook is not None else None,
            int(chain.get("prio", 0)),
            chain.get("type") == "nat",
            chain.get("policy", "accept") == "accept",
            where,
        )
    elif "set" in one:
        found = one["set"]
        dynamic = "dynamic" in (found.get("flags") or ())
        elements = [e for element in found.get("elem") or () for e in _atoms(element)]
        _table(tables, found["family"], found["table"]).sets[str(found["name"])] = None if dynamic else elements
    elif "map" in one:
        found = one["map"]
        if found.get("map") == "verdict":
            pairs = [(a, _verdict(v)) for k, v in found.get("elem") or () for a in _atoms(k)]
            _table(tables, found["family"], found["table"]).maps[str(found["name"])] = pairs
    elif "rule" in one:
        rule = one["rule"]
        table = _table(tables, rule["family"], rule["table"])
        statements = [s for expression in rule.get("expr") or () for s in _expression(expression)]
        words = f"handle {rule['handle']}" if "handle" in rule else raw
        table.rules.setdefault(str(rule["chain"]), []).append((where, f"chain {rule['chain']}, {words}", statements))


def _sent_to(value: Any) -> str:
    """`ADDRESS:PORT` of a translation, as far as it says so."""
    if not isinstance(value, dict):
        return "itself"
    address, port = value.get("addr"), value.get("port")
    if isinstance(address, str):
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return f"port {port}" if isinstance(port, int) else printable(json.dumps(value), 80)


_XT_TARGETS = {
    "MASQUERADE": Verb.MASQUERADE, "SNAT": Verb.MASQUERADE, "DNAT": Verb.TRANSLATE, "REDIRECT": Verb.TRANSLATE,
    "REJECT": Verb.DROP, "LOG": Verb.PASS, "NFLOG": Verb.PASS, "TCPMSS": Verb.PASS, "CHECKSUM": Verb.PASS,
}  # fmt: skip
"""Of a rule of iptables, JSON holds the names of its extensions alone."""


def _engines_own(table: _Table) -> None:
    """Tells what the extensions of Docker's own rules say, which are always the same: answers are accepted (in DOCKER-CT from
    28 on, before in FORWARD, right before the jump to DOCKER), and published ports are those of local addresses."""
    established = Statement("match", ("ct state",), "in", (("established",), ("related",)))
    local = Statement("match", ("fib daddr type",), elements=(("local",),))
    for chain, rules in table.rules.items():
        for at, (place, text, statements) in enumerate(rules):
            names = [s.named for s in statements if s.kind == "xt"]
            verdict = next((s.verdicts[0] for s in statements if s.kind == "verdict"), None)
            out = [s for s in statements if s.kind == "match" and s.keys == ("oifname",)]
            known = None
            if names == ["conntrack"] and verdict == (Verb.ACCEPT, "") and len(out) == 1:
                after = rules[at + 1][2] if at + 1 < len(rules) else []
                before_docker = [s for s in after if s.kind in ("match", "verdict")] == [
                    *out,
                    Statement("verdict", verdicts=((Verb.JUMP, "DOCKER"),)),
                ]
                if chain == "DOCKER-CT" or (chain == "FORWARD" and before_docker):
                    known = established
            elif names == ["addrtype"] and verdict == (Verb.JUMP, "DOCKER") and chain in ("PREROUTING", "OUTPUT"):
                known = local
            if known is not None:
                rules[at] = (place, text, [known if s.kind == "xt" else s for s in statements])


def _table(tables: dict[tuple[str, str], _Table], family: Any, name: Any) -> _Table:
    return tables.setdefault((str(family), str(name)), _Table(str(family), str(name)))


def _verdict(given: Mapping[str, Any]) -> tuple[Verb, str]:
    [(kind, value)] = given.items()
    if kind in ("jump", "goto"):
        return Verb(kind), str(value["target"])
    return _VERDICTS[kind], ""


def _atoms(value: Any) -> list[Atoms]:
    """The elements that a right side stands for."""
    if isinstance(value, dict):
        if "elem" in value:
            return _atoms(value["elem"]["val"])
        if "set" in value:
            return [atom for one in value["set"] for atom in _atoms(one)]
        if "prefix" in value:
            return [(f"{value['prefix']['addr']}/{value['prefix']['len']}",)]
        if "range" in value:
            return [(f"{value['range'][0]}-{value['range'][1]}",)]
        if "concat" in value:
            parts = [_atoms(one) for one in value["concat"]]
            if any(len(p) != 1 for p in parts):
                raise BadRule("an element of several elements")
            return [tuple(p[0][0] for p in parts)]
        raise BadRule(f"the value {printable(str(value), 60)}")
    if isinstance(value, list):
        return [atom for one in value for atom in _atoms(one)]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadRule(f"the value {printable(str(value), 60)}")
    return [(str(value),)]


def _keys(left: Any) -> tuple[str, ...] | None:
    if not isinstance(left, dict) or len(left) != 1:
        return None
    [(kind, value)] = left.items()
    if kind == "payload" and "protocol" in value:
        return (f"{value['protocol']} {value['field']}",)
    if kind == "meta":
        key = str(value["key"])
        return (key if key in ("iifname", "oifname", "iif", "oif", "pkttype") else f"meta {key}",)
    if kind == "ct":
        return (f"ct {value['key']}",)
    if kind == "fib":
        flags = value.get("flags")
        flags = [flags] if isinstance(flags, str) else list(flags or ())
        return (f"fib {' . '.join(map(str, flags))} {value.get('result')}",)
    if kind == "concat":
        parts = [_keys(one) for one in value]
        if any(p is None or len(p) != 1 for p in parts):
            return None
        return tuple(p[0] for p in parts if p)
    return None


def _expression(expression: Mapping[str, Any]) -> Iterator[Statement]:
    [(kind, value)] = expression.items()
    match kind:
        case "match":
            keys = _keys(value["left"])
            right = value["right"]
            op = str(value.get("op", "=="))
            if keys is None:
                yield Statement("unsure", words="a match that cannot be judged here")
            elif isinstance(right, str) and right.startswith("@"):
                yield Statement("match", keys, op, named=right[1:])
            else:
                try:
                    yield Statement("match", keys, op, tuple(_atoms(right)))
                except BadRule as e:
                    yield Statement("unsure", words=str(e))
        case "vmap":
            keys = _keys(value["key"])
            data = value["data"]
            if keys is None:
                yield Statement("verdict", verdicts=((Verb.UNCLEAR, ""),))
            elif isinstance(data, str):
                yield Statement("vmap", keys, named=data.removeprefix("@"))
            else:
                pairs = [(a, _verdict(v)) for k, v in data["set"] for a in _atoms(k)]
                yield Statement("vmap", keys, elements=tuple(a for a, _ in pairs), verdicts=tuple(v for _, v in pairs))
        case "accept" | "drop" | "reject" | "return" | "continue" | "jump" | "goto":
            yield Statement("verdict", verdicts=(_verdict({kind: value}),))
        case "masquerade" | "snat":
            yield Statement("verdict", verdicts=((Verb.MASQUERADE, ""),))
        case "dnat" | "redirect" | "tproxy":
            yield Statement("verdict", verdicts=((Verb.TRANSLATE, _sent_to(value)),))
        case "limit":
            yield Statement("rate")
        case "counter" | "log" | "mangle" | "comment" | "ct helper" | "ct timeout" | "flow" | "quota" | "set" | "meter":
            if kind in ("quota", "meter"):
                yield Statement("unsure", words=f"a {kind} cannot be judged here")
            elif kind == "mangle":
                yield Statement("pass", words="mark")
        case "xt" if isinstance(value, dict) and value.get("type") == "match":
            if value.get("name") not in ("comment", "tcp", "udp"):
                yield Statement("xt", named=str(value.get("name")))
        case "xt" if isinstance(value, dict) and value.get("type") == "target" and value.get("name") in _XT_TARGETS:
            verb = _XT_TARGETS[value["name"]]
            yield Statement("pass") if verb is Verb.PASS else Statement("verdict", verdicts=((verb, value["name"]),))
        case _:
            yield Statement("verdict", verdicts=((Verb.UNCLEAR, str(kind)),))


# ---- text

_WORD = re.compile(
    r"""(?P<blank>[ \t\r]+|\\\n|\#[^\n]*)|(?P<line>\n)|"(?P<quoted>[^"\n]*)"|(?P<sign>[{},;()])|(?P<word>[^\s{},;()"]+)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int
    column: int
    at: int


def recognises_text(text: str) -> bool:
    for line in map(str.strip, text.splitlines()):
        if line and not line.startswith("#"):
            return re.match(r"(?:flush ruleset|(?:add )?table (?:ip6?|inet|arp|bridge|netdev) \S+)", line) is not None
    return False


def _tokens(text: str, name: str, first_line: int) -> list[_Token]:
    result = []
    at, line, begun = 0, first_line, 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            raise ParseError(f"{name}:{line}:{at - begun + 1}: {printable(text[at])!r} is not expected here")
        kind = found.lastgroup or ""
        if kind == "line":
            result.append(_Token("end", "\n", line, at - begun + 1, at))
            line, begun = line + 1, found.end()
        elif kind == "blank":
            newlines = found.group().count("\n")
            if newlines:
                line, begun = line + newlines, found.end()
        elif kind == "sign" and found.group() == ";":
            result.append(_Token("end", ";", line, at - begun + 1, at))
        else:
            result.append(_Token(kind, found.group(kind), line, at - begun + 1, at))
        at = found.end()
    return result


class _Reader:
    """The text's tokens, read once."""

    def __init__(self, text: str, name: str, first_line: int = 1) -> None:
        self.text, self.name = text, name
        self.tokens = _tokens(text, name, first_line)
        self.at = 0

    def fail(self, what: str) -> ParseError:
        if self.at < len(self.tokens):
            token = self.tokens[self.at]
            return ParseError(f"{self.name}:{token.line}:{token.column}: {what}")
        return ParseError(f"{self.name}:{self.text.count(chr(10)) + 1}:1: {what}: it ends too early")

    def peek(self) -> _Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def next(self) -> _Token:
        if self.at >= len(self.tokens):
            raise self.fail("more is expected")
        self.at += 1
        return self.tokens[self.at - 1]

    def skip_ends(self) -> None:
        while self.at < len(self.tokens) and self.tokens[self.at].kind == "end":
            self.at += 1

    def expect(self, sign: str) -> None:
        token = self.peek()
        if token is None or token.text != sign or token.kind != "sign":
            raise self.fail(f"{sign!r} is expected")
        self.at += 1

    def statement(self) -> list[_Token]:
        """Tokens up to the end of the line or `;`, those within braces included; ends before a closing brace."""
        result: list[_Token] = []
        depth = 0
        while (token := self.peek()) is not None:
            if token.kind == "end" and depth == 0:
                break
            if token.kind == "sign" and token.text == "}" and depth == 0:
                break
            if token.kind == "sign":
                depth += {"{": 1, "}": -1}.get(token.text, 0)
            self.at += 1
            if token.kind != "end":
                result.append(token)
        return result


def read_text(text: str, name: str) -> list[Table]:
    """Raises ParseError with line and column for what is no listing of nft."""
    commands = Commands(name)
    commands.run(text, Place(name, 1))
    tables = commands.tables()
    if not tables:
        raise ParseError(f"{name}:1:1: no ruleset of nft stands here")
    return tables


_FAMILIES = frozenset(("ip", "ip6", "inet", "arp", "bridge", "netdev"))


class Commands:
    """Rules as commands and listings of nft make them, one after the other. `resolve` tells what names stand for."""

    def __init__(self, name: str, resolve: Resolve | None = None) -> None:
        self.name = name
        self._resolve = resolve
        self._tables: dict[tuple[str, str], _Table] = {}

    def tables(self) -> list[Table]:
        """What stands now. Raises ParseError."""
        try:
            return tables_of(self._tables)
        except BadRule as e:
            raise ParseError(f"{self.name}:1:1: {e}") from e

    def run(self, text: str, place: Place) -> None:
        """Commands from a text that begins at a place. Raises ParseError with line and column."""
        reader = _Reader(text, place.file, place.line)
        while True:
            reader.skip_ends()
            if reader.peek() is None:
                return
            self._command(reader)

    def _table(self, family: str, name: str) -> _Table:
        return self._tables.setdefault((family, name), _Table(family, name, resolve=self._resolve))

    def _command(self, reader: _Reader) -> None:
        word = reader.next().text
        if word == "table":
            reader.at -= 1
            word = "add"
        if word not in ("add", "create", "insert", "flush", "delete", "destroy", "replace"):
            reader.at -= 1
            raise reader.fail("a table is expected")
        kind = reader.next().text
        if kind == "ruleset":
            reader.statement()
            self._tables.clear()
            return
        if kind not in ("table", "chain", "rule", "set", "map", "element"):
            reader.statement()
            return
        family = reader.next().text
        if family in _FAMILIES:
            name = reader.next().text
        else:
            family, name = "ip", family
        if word in ("flush", "delete", "destroy"):
            self._removed(word, kind, (family, name), [t.text for t in reader.statement()])
            return
        table = self._table(family, name)
        if kind == "table":
            if self._opens(reader):
                _text_table(reader, table)
            return
        if word == "replace":
            raise reader.fail("which rule is replaced is not followed")
        item = reader.next()
        if kind == "rule":
            words = reader.statement()
            at = 2 if words and words[0].text in ("position", "handle", "index") else 0
            _add_rule(reader, table, item.text, words[at:], first=word == "insert")
        elif kind == "chain":
            if self._opens(reader):
                _text_chain(reader, table, item)
            else:
                table.chains.setdefault(item.text, Chain(item.text, (), Place(reader.name, item.line, item.column)))
        elif kind == "element":
            reader.expect("{")
            words = reader.statement()
            reader.expect("}")
            known = table.sets.setdefault(item.text, [])
            if known is not None:
                known += [_element(group) for group in _groups(words)]
        elif self._opens(reader):
            _text_set(reader, table, item.text, kind == "map")

    @staticmethod
    def _opens(reader: _Reader) -> bool:
        token = reader.peek()
        if token is not None and token.kind == "sign" and token.text == "{":
            reader.next()
            return True
        return False

    def _removed(self, word: str, kind: str, key: tuple[str, str], rest: list[str]) -> None:
        table = self._tables.get(key)
        if table is None:
            return
        if kind == "table" and word == "flush":
            table.rules.clear()
        elif kind == "table":
            del self._tables[key]
        elif kind == "chain" and rest:
            table.rules.pop(rest[0], None)
            if word != "flush":
                table.chains.pop(rest[0], None)
        elif kind == "set" and rest:
            table.sets[rest[0]] = []
        elif kind == "rule" and rest:
            place, text, _ = (table.rules.get(rest[0]) or [(Place(self.name, 1), "a rule", [])])[0]
            unclear = Statement("verdict", verdicts=((Verb.UNCLEAR, "a rule is deleted by its handle"),))
            table.rules.setdefault(rest[0], []).insert(0, (place, text, [unclear]))


def _text_table(reader: _Reader, table: _Table) -> None:
    while True:
        reader.skip_ends()
        token = reader.next()
        if token.text == "}":
            return
        if token.text in ("set", "map", "chain"):
            name = reader.next()
            reader.expect("{")
            if token.text == "chain":
                _text_chain(reader, table, name)
            else:
                _text_set(reader, table, name.text, token.text == "map")
        else:
            reader.statement()  # flags, comments, counters, helpers: a block goes with its braces


def _text_set(reader: _Reader, table: _Table, name: str, is_map: bool) -> None:
    elements: list[Atoms] = []
    pairs: list[tuple[Atoms, tuple[Verb, str]]] = []
    dynamic = False
    verdicts = True
    while True:
        reader.skip_ends()
        token = reader.peek()
        if token is not None and token.text == "}" and token.kind == "sign":
            reader.next()
            break
        words = reader.statement()
        if not words:
            raise reader.fail("more is expected")
        texts = [w.text for w in words]
        if texts[0] == "flags":
            dynamic = "dynamic" in texts
        elif texts[0] == "type" and is_map:
            verdicts = texts[-1] == "verdict"
        elif texts[0] == "elements":
            for element in _groups(words[3:-1]):
                split = _paired(element)
                if is_map and verdicts:
                    if split is None:
                        raise reader.fail("an element of a map has a verdict")
                    pairs.append(split)
                elif not is_map:
                    elements.append(_element(element))
    if is_map:
        if verdicts:
            table.maps[name] = pairs
    else:
        table.sets[name] = None if dynamic else elements


def _groups(words: Sequence[_Token]) -> list[list[_Token]]:
    result: list[list[_Token]] = [[]]
    for word in words:
        if word.kind == "sign" and word.text == ",":
            result.append([])
        else:
            result[-1].append(word)
    return [group for group in result if group]


def _element(words: Sequence[_Token]) -> Atoms:
    """`a . b timeout 5m` without what is said of it besides."""
    atoms: list[str] = []
    wants = True
    for word in words:
        if word.text == "." and word.kind == "word":
            wants = True
        elif wants:
            atoms.append(word.text)
            wants = False
        else:
            break
    return tuple(atoms)


def _paired(words: Sequence[_Token]) -> tuple[Atoms, tuple[Verb, str]] | None:
    at = next((i for i, w in enumerate(words) if w.kind == "word" and w.text == ":"), None)
    if at is None or at + 1 >= len(words):
        return None
    verdict = words[at + 1 :]
    kind = verdict[0].text
    if kind in ("jump", "goto") and len(verdict) > 1:
        return _element(words[:at]), (Verb(kind), verdict[1].text)
    if kind in _VERDICTS:
        return _element(words[:at]), (_VERDICTS[kind], "")
    return None


def _add_rule(reader: _Reader, table: _Table, chain: str, words: Sequence[_Token], *, first: bool = False) -> None:
    if not words:
        raise reader.fail("a rule is expected")
    place = Place(reader.name, words[0].line, words[0].column)
    raw = reader.text[words[0].at : words[-1].at + len(words[-1].text)]
    try:
        statements = list(_text_rule(words))
    except BadRule as e:
        raise ParseError(f"{place}: {e}") from e
    rules = table.rules.setdefault(chain, [])
    rules.insert(0 if first else len(rules), (place, raw, statements))


_PRIORITY = re.compile(r"priority (-?\d+|[a-z]+)(?: ?([-+]) ?(\d+))?")


def _text_chain(reader: _Reader, table: _Table, name: _Token) -> None:
    where = Place(reader.name, name.line, name.column)
    chain = table.chains.get(name.text) or Chain(name.text, (), where)
    while True:
        reader.skip_ends()
        token = reader.peek()
        if token is not None and token.text == "}" and token.kind == "sign":
            reader.next()
            break
        words = reader.statement()
        if not words:
            raise reader.fail("more is expected")
        place = Place(reader.name, words[0].line, words[0].column)
        texts = [w.text for w in words]
        if texts[0] == "type" and "hook" in texts:
            said = " ".join(texts)
            found = _PRIORITY.search(said)
            chain = replace(
                chain,
                hook=texts[texts.index("hook") + 1] if texts[-1] != "hook" else None,
                priority=_priority(found),
                nat=texts[1] == "nat",
                policy=True,
                policy_place=place,
            )
        elif texts[0] == "policy":
            chain = replace(chain, policy=texts[-1] == "accept", policy_place=place)
        elif texts[0] in ("comment", "devices"):
            continue
        else:
            _add_rule(reader, table, name.text, words)
    table.chains[name.text] = chain


def _priority(found: re.Match[str] | None) -> int:
    if found is None:
        return 0
    base = found[1]
    number = int(base[:9]) if base.lstrip("-").isdigit() else PRIORITIES.get(base, 0)
    if found[2]:
        number += int(found[3][:9]) * (1 if found[2] == "+" else -1)
    return number


_ONE_WORD_KEYS = frozenset(("iifname", "oifname", "iif", "oif", "mark", "pkttype"))
_TWO_WORD_KEYS = frozenset(("ip", "ip6", "tcp", "udp", "sctp", "th", "udplite", "dccp", "icmp", "icmpv6", "ct", "meta"))
_OPERATORS = frozenset(("==", "!=", "<", ">", "<=", ">="))
_LOG_OPTIONS = frozenset(("prefix", "level", "group", "snaplen", "queue-threshold", "flags"))


def _text_rule(words: Sequence[_Token]) -> Iterator[Statement]:
    at = 0
    texts = [w.text for w in words]
    while at < len(words):
        word = texts[at]
        following = texts[at + 1] if at + 1 < len(words) else ""
        if word in _VERDICTS:
            yield Statement("verdict", verdicts=((_VERDICTS[word], ""),))
            return
        if word in ("jump", "goto"):
            yield Statement("verdict", verdicts=((Verb(word), following),))
            return
        if word == "counter":
            at += 1
            while at + 1 < len(words) and texts[at] in ("packets", "bytes", "name"):
                at += 2
        elif word == "log":
            at += 1
            while at + 1 < len(words) and texts[at] in _LOG_OPTIONS:
                at += 2
        elif word == "comment":
            at += 2
        elif word == "limit" and following == "rate":
            yield Statement("rate")
            at += 2
            while at < len(words) and (
                texts[at] in ("over", "burst", "packets", "bytes", "kbytes", "mbytes") or re.match(r"\d", texts[at])
            ):
                at += 1
        elif word in ("meta", "ct") and "set" in texts[at + 2 : at + 3]:
            yield Statement("pass", words="mark")
            at += 4
        elif word in ("masquerade", "snat"):
            yield Statement("verdict", verdicts=((Verb.MASQUERADE, ""),))
            return
        elif word in ("dnat", "redirect", "tproxy"):
            end = next((i for i in range(at, len(texts)) if texts[i] == "comment"), len(texts))
            yield Statement("verdict", verdicts=((Verb.TRANSLATE, " ".join(texts[at + 1 : end]) or "itself"),))
            return
        else:
            found = _text_match(words, texts, at)
            if found is None:
                yield from _not_understood(texts, at)
                return
            statement, at = found
            yield statement


def _not_understood(texts: Sequence[str], at: int) -> Iterator[Statement]:
    yield Statement("unsure", words=f"{printable(' '.join(texts[at : at + 3]), 60)} cannot be judged here")
    last = texts[-1]
    if last in _VERDICTS:
        yield Statement("verdict", verdicts=((_VERDICTS[last], ""),))
    else:
        yield Statement("verdict", verdicts=((Verb.UNCLEAR, ""),))


def _text_match(words: Sequence[_Token], texts: Sequence[str], at: int) -> tuple[Statement, int] | None:
    keys: list[str] = []
    while True:
        if at >= len(words):
            return None
        if texts[at] in _ONE_WORD_KEYS:
            keys.append(texts[at])
            at += 1
        elif texts[at] in _TWO_WORD_KEYS and at + 1 < len(words):
            key = f"{texts[at]} {texts[at + 1]}"
            keys.append(key.removeprefix("meta ") if key.removeprefix("meta ") in _ONE_WORD_KEYS - {"mark"} else key)
            at += 2
        elif texts[at] == "fib" and texts[at + 2 : at + 3] == ["type"]:
            keys.append(f"fib {texts[at + 1]} type")
            at += 3
        else:
            return None
        if at < len(words) and texts[at] == ".":
            at += 1
            continue
        break
    op = "=="
    if at < len(words) and texts[at] in _OPERATORS:
        op, at = texts[at], at + 1
    if at >= len(words):
        return None
    if texts[at] == "vmap" and at + 1 < len(words):
        if texts[at + 1].startswith("@"):
            return Statement("vmap", tuple(keys), named=texts[at + 1][1:]), at + 2
        inside, end = _braced(words, at + 1)
        pairs = [_paired(group) for group in _groups(inside)]
        if any(p is None for p in pairs):
            return None
        known = [p for p in pairs if p is not None]
        return (
            Statement("vmap", tuple(keys), elements=tuple(a for a, _ in known), verdicts=tuple(v for _, v in known)),
            end,
        )
    if words[at].kind == "sign" and texts[at] == "{":
        inside, end = _braced(words, at)
        return Statement("match", tuple(keys), op, tuple(_element(g) for g in _groups(inside))), end
    if texts[at].startswith("@"):
        return Statement("match", tuple(keys), op, named=texts[at][1:]), at + 1
    if words[at].kind not in ("word", "quoted") or texts[at] in ("&", "and", "|", "or"):
        return None
    atoms = [texts[at]]
    at += 1
    while at + 1 < len(words) and words[at].kind == "sign" and texts[at] == ",":
        atoms.append(texts[at + 1])
        at += 2
    if keys == ["tcp flags"]:
        return None
    if at < len(words) and texts[at] in ("&", "and", "|", "or", "/"):
        return None
    if len(keys) > 1:
        atoms = []
        at -= 1
        for i in range(len(keys)):
            if at >= len(words):
                return None
            atoms.append(texts[at])
            at += 2 if i + 1 < len(keys) else 1
        return Statement("match", tuple(keys), op, (tuple(atoms),)), at
    return Statement("match", tuple(keys), op, tuple((a,) for a in atoms)), at


def _braced(words: Sequence[_Token], at: int) -> tuple[Sequence[_Token], int]:
    if words[at].text != "{":
        raise BadRule("a set in braces is expected")
    depth = 0
    for i in range(at, len(words)):
        if words[i].kind == "sign":
            depth += {"{": 1, "}": -1}.get(words[i].text, 0)
            if depth == 0:
                return words[at + 1 : i], i + 1
    raise BadRule("a brace is not closed")
