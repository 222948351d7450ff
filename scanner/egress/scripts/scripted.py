"""A firewall script followed by its text: which rules stand when it has run. Nothing is run.

Values that only the run would know stay what they are: the addresses of a name that is resolved, a list that is fetched, the
gateway. A condition that cannot be judged leaves its rules unsure.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from scanner.egress.firewall.iptables import HOOKS, BadRule, IpSet, check_jumps, element, read_rule
from scanner.egress.firewall.iptables import read as read_saved
from scanner.egress.firewall.model import PRIORITIES, Chain, Rule, Table, Verb
from scanner.egress.firewall.nft import Commands
from scanner.egress.firewall.space import EVERY_ADDRESS, NAMES, Spans, network
from scanner.egress.scripts import shell
from scanner.egress.scripts.shell import (
    AndOr,
    Case,
    For,
    Function,
    Group,
    If,
    Node,
    Pipeline,
    Simple,
    While,
    Word,
    literal,
)
from scanner.errors import ParseError
from scanner.model import printable
from scanner.model.launch import Origin, Place

GATEWAY, NEIGHBOURS, RESOLVER = "the gateway", "the gateway's /24", "the configured resolver"
OWN = (GATEWAY, NEIGHBOURS, RESOLVER)
STEPS = 50_000
VALUES = 20_000

IPTABLES = {
    name + kind: family for name, family in (("iptables", 4), ("ip6tables", 6)) for kind in ("", "-legacy", "-nft")
}
RESTORES = {name + "-restore": family for name, family in IPTABLES.items()}
FIREWALL = frozenset((*IPTABLES, *RESTORES, "ipset", "nft", "ufw", "firewall-cmd"))
_ROUTES = frozenset(("ip", "route"))
_LOOKUPS = frozenset(("dig", "host", "nslookup", "getent", "drill", "dog", "delv", "resolveip", "kdig", "resolvectl"))
_FILTERS = frozenset(
    "grep egrep fgrep awk gawk mawk sed cut tr sort uniq head tail jq aggregate aggregate6 tee column rev cat paste xargs "
    "iprange aggregate-prefixes wc python3 python perl".split()
)
_WRAPPERS = {
    "sudo": "ugpCRrTt",
    "env": "uS",
    "exec": "a",
    "command": "",
    "nice": "n",
    "timeout": "",
    "nohup": "",
    "time": "",
    "doas": "u",
}
_DOMAIN = re.compile(r"(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)+[A-Za-z]{2,}\.?")
_URL = re.compile(r"https?://[^\s\"']+")


@dataclass(frozen=True, slots=True)
class Symbol:
    """A value that only a run would know. `kind`: `names` (the addresses of the name `text`), `list` (addresses listed at
    `text`), `gateway`, `network` (the gateway's /24), `resolver`, `unknown` (in words)."""

    kind: str
    text: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return {
            "names": (self.text,),
            "list": (self.text,),
            "gateway": (GATEWAY,),
            "network": (GATEWAY, NEIGHBOURS),
            "resolver": (RESOLVER,),
        }.get(self.kind, ())

    def __str__(self) -> str:
        return self.text or {"gateway": GATEWAY, "network": NEIGHBOURS, "resolver": RESOLVER}.get(self.kind, "…")


Value = str | Symbol


class _Stop(Exception):
    """The script ends here."""


class _Next(Exception):
    """The loop goes on with its next round, or ends (`break`)."""

    def __init__(self, ends: bool) -> None:
        super().__init__()
        self.ends = ends


@dataclass(slots=True)
class _SetRule:
    """A rule as it was set: its words with symbols, judged when the script has ended."""

    words: tuple[Value, ...]
    place: Origin
    unsure: tuple[str, ...]


@dataclass(slots=True)
class _SetChain:
    rules: list[_SetRule | Rule] = field(default_factory=list)
    policy: bool | None = True
    place: Origin | None = None


@dataclass(slots=True)
class _Set:
    kinds: list[str]
    elements: list[tuple[Value, ...]] = field(default_factory=list)
    unclear: bool = False


@dataclass(slots=True)
class Machine:
    """A network namespace's rules as scripts set them, one command after the other."""

    file: str
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, Origin]] = field(default_factory=dict)
    """Scripts that others run, by the name that they use."""
    ran: set[str] = field(default_factory=set)
    chains: dict[tuple[int, str], dict[str, _SetChain]] = field(default_factory=dict)
    sets: dict[str, _Set] = field(default_factory=dict)
    names: list[str] = field(default_factory=lambda: list(OWN))
    variables: dict[str, list[Value]] = field(default_factory=dict)
    functions: dict[str, tuple[Node, ...]] = field(default_factory=dict)
    doubts: list[tuple[Origin, str]] = field(default_factory=list)
    touched: dict[int, Origin] = field(default_factory=dict)
    """The families whose filter table was changed, with the first place."""
    nat_flushed: Origin | None = None
    nat_restored: bool = False
    ipv6_disabled: Origin | None = None
    nft: Commands | None = None
    origin: Origin | None = None
    steps: int = STEPS
    maybe: list[str] = field(default_factory=list)
    calls: int = 0

    def __post_init__(self) -> None:
        for family in (4, 6):
            for table, hooks in HOOKS.items():
                self.chains[family, table] = {name: _SetChain() for name in hooks}

    # ---- places and doubts

    def place(self, line: int) -> Origin:
        base = self.origin
        if isinstance(base, Place):
            return Place(base.file, base.line + line - 1, base.column if line == 1 else 1)
        return base if base is not None else Place(self.file, line)

    def doubt(self, line: int, words: str) -> None:
        self.doubts.append((self.place(line), words))

    # ---- running

    def script(self, text: str, origin: Origin) -> None:
        """All of one script; what cannot be read of it is a doubt."""
        self.origin = origin
        self.variables = {}
        self.functions = {}
        try:
            self.nodes(self.understood(text))
        except (_Stop, _Next):
            pass
        except RecursionError:
            self.doubts.append((origin, "the script is nested too deep"))
        self.maybe.clear()
        self.calls = 0

    def understood(self, text: str) -> tuple[Node, ...]:
        """The commands of a text, as far as it can be read."""
        try:
            return shell.read(text)
        except shell.Unreadable as e:
            if any(name in text for name in FIREWALL):
                self.doubt(e.line, f"the script cannot be read from here on: {printable(str(e), 100)}")
            return e.before

    def nodes(self, nodes: Sequence[Node], given: list[Value] | None = None) -> None:
        for node in nodes:
            self.node(node, given)

    def node(self, node: Node, given: list[Value] | None = None) -> None:
        """One command; `given` is what comes by its standard input."""
        self.steps -= 1
        if self.steps == 0:
            self.doubts.append((self.origin or Place(self.file, 1), "the script is too long to be followed"))
        if self.steps <= 0:
            raise _Stop
        match node:
            case Simple():
                self.simple(node, given)
            case Pipeline(commands):
                for one in commands[:-1]:
                    if self.sets_rules((one,)):
                        self.node(one, given)
                last = commands[-1]
                if isinstance(last, (While, Group, Simple, For, If)):
                    self.node(last, self.printed(Pipeline(commands[:-1]), given) if len(commands) > 1 else given)
                else:
                    self.node(last)
            case AndOr(first, rest):
                self.and_or(first, rest, given)
            case Function(name, body):
                self.functions[name] = body
            case Group(body, redirects):
                self.nodes(body, self.redirected(redirects, given))
            case For(line, variable, words, body):
                self.for_(line, variable, words, body)
            case While():
                self.while_(node, given)
            case If(line, branches, otherwise):
                self.if_(line, branches, otherwise)
            case Case(line, bodies):
                for body in bodies:
                    if self.sets_rules(body):
                        self.perhaps(body, f"if the case on line {self.said(line)} is that")

    def said(self, line: int) -> int:
        place = self.place(line)
        return place.line if isinstance(place, Place) else line

    def perhaps(self, body: Sequence[Node], words: str) -> None:
        self.maybe.append(words)
        kept = dict(self.variables)
        try:
            self.nodes(body)
        except (_Stop, _Next):
            if self.steps <= 0:
                raise
        finally:
            self.maybe.pop()
        for name in self.variables:
            if self.variables[name] != kept.get(name):
                both = [*kept.get(name, []), *self.variables[name]]
                self.variables[name] = list(dict.fromkeys(both))[:VALUES] if name in kept else self.variables[name]

    def and_or(self, first: Node, rest: Sequence[tuple[str, Node]], given: list[Value] | None) -> None:
        answer = self.condition(first)
        if not _is_test(first):
            self.node(first, given)
            answer = True if self.sets_rules((first,)) and answer is None else answer
        for operator, node in rest:
            if (
                not self.sets_rules((node,))
                and not (operator == "&&" and answer is True)
                and not (operator == "||" and answer is False)
            ):
                if _ends(node):
                    answer = answer if answer is not None else operator == "||"
                elif answer is None and not _is_test(node):
                    self.perhaps((node,), "if the command before it succeeds")
                continue
            if (operator == "&&") is answer:
                if _is_test(node):
                    answer = self.condition(node)
                else:
                    self.node(node)
            elif answer is None:
                self.perhaps((node,), "if what stands before it is so")

    def for_(self, line: int, variable: str, words: Sequence[Word], body: Sequence[Node]) -> None:
        values = self.fields(words)
        if not variable:  # for ((…))
            if self.sets_rules(body):
                self.perhaps(body, f"as often as line {self.said(line)} counts")
            return
        for value in values:
            self.variables[variable] = [value]
            if self.round_ends(body):
                break

    def round_ends(self, body: Sequence[Node]) -> bool:
        """One round of a loop; whether it was the last."""
        try:
            self.nodes(body)
        except _Next as e:
            return e.ends
        return False

    def while_(self, loop: While, given: list[Value] | None) -> None:
        given = self.redirected(loop.redirects, given)
        reader = loop.condition[0] if loop.condition else None
        while isinstance(reader, (AndOr, Pipeline)):
            reader = reader.first if isinstance(reader, AndOr) else reader.commands[-1]
        words = [literal(w) for w in reader.words] if isinstance(reader, Simple) else []
        if words[:1] != ["read"]:
            if self.sets_rules(loop.body):
                answer = self.condition(loop.condition[0]) if len(loop.condition) == 1 else None
                if answer is True:
                    self.round_ends(loop.body)
                else:
                    self.perhaps(loop.body, f"while line {self.said(loop.line)} holds")
            return
        variables = [w for w in words[1:] if w is not None and re.fullmatch(r"[A-Za-z_]\w*", w)] or ["REPLY"]
        for value in given if given is not None else [Symbol("unknown", "what the loop reads is not told")]:
            for one in value.splitlines() if isinstance(value, str) else (value,):
                self.split_into(variables, one)
                if self.round_ends(loop.body):
                    return

    def split_into(self, variables: Sequence[str], value: Value) -> None:
        if isinstance(value, Symbol):
            for name in variables:
                self.variables[name] = [value]
            return
        separators = self.variables.get("IFS", [" \t\n"])[0]
        pattern = "[" + re.escape(separators if isinstance(separators, str) and separators else " \t\n") + "]+"
        parts = re.split(pattern, value.strip(), maxsplit=len(variables) - 1) if len(variables) > 1 else [value.strip()]
        for i, name in enumerate(variables):
            self.variables[name] = [parts[i] if i < len(parts) else ""]

    def if_(
        self, line: int, branches: Sequence[tuple[tuple[Node, ...], tuple[Node, ...]]], otherwise: Sequence[Node]
    ) -> None:
        words = f"if the condition on line {self.said(line)} holds"
        unclear = False
        for condition, body in branches:
            for one in condition[:-1]:
                self.node(one)
            last = condition[-1] if condition else None
            answer = self.condition(last) if last is not None else None
            if last is not None and self.sets_rules((last,)) and not _is_test(last):
                self.node(last)
                answer = True if answer is None else answer
            if answer is None and any(_ends(n) for n in body) and not self.sets_rules(body):
                answer = False  # where it gives up, no firewall of its stands
            if answer is False:
                continue
            if answer is True and not unclear:
                self.nodes(body)
                return
            self.perhaps(body, words)
            if answer is True:
                return
            unclear = True
        if unclear:
            self.perhaps(otherwise, f"unless the condition on line {self.said(line)} holds")
        else:
            self.nodes(otherwise)

    def sets_rules(self, nodes: Sequence[Node], depth: int = 0) -> bool:
        """Whether a command of a firewall's stands within."""
        for one in shell.simple_commands(tuple(nodes)):
            words = [literal(w) for w in one.words]
            if any(w is not None and w.rpartition("/")[2] in FIREWALL for w in words):
                return True
            if any(w in self.files and any(name in self.files[w][0] for name in FIREWALL) for w in words if w):
                return True
            if one.words and words[0] is None:
                said = [v for v in self.fields(one.words[:1]) if isinstance(v, str)]
                if any(v.rpartition("/")[2] in FIREWALL for v in said):
                    return True
            if (
                words[:1]
                and words[0] in self.functions
                and depth < 8
                and self.sets_rules(self.functions[words[0] or ""], depth + 1)
            ):
                return True
        return False

    # ---- conditions

    def condition(self, node: Node) -> bool | None:
        match node:
            case Pipeline(commands, negated):
                answer = self.condition(commands[0]) if len(commands) == 1 else None
                return answer if answer is None or not negated else not answer
            case AndOr(first, rest):
                answer = self.condition(first)
                for operator, one in rest:
                    other = self.condition(one)
                    if operator == "&&":
                        answer = (
                            False if answer is False or other is False else None if None in (answer, other) else True
                        )
                    else:
                        answer = True if answer is True or other is True else None if None in (answer, other) else False
                return answer
            case Simple():
                return self._simple_condition(node)
        return None

    def _simple_condition(self, node: Simple) -> bool | None:
        if not node.words:
            return True if node.assignments else None
        name = literal(node.words[0])
        if name == "[[":
            return self.tested(node.raw)
        values = self.unwrapped(self.fields(node.words))
        if not values:
            return None
        first = values[0].rpartition("/")[2] if isinstance(values[0], str) else ""
        if first in ("true", ":"):
            return True
        if first == "false":
            return False
        if first in ("[", "test"):
            return _tested([v for v in values[1:] if v != "]"])
        if first in IPTABLES:
            words = [v for v in values[1:] if isinstance(v, str)]
            if "-C" in words or "--check" in words:
                return self.stands(IPTABLES[first], values[1:])
            for option in ("-L", "-nL", "-S", "--list", "-vnL", "-N"):
                if option in words:
                    rest = [w for w in words[words.index(option) + 1 :] if not w.startswith("-")]
                    table = _table(words)
                    known = rest[:1] and rest[0] in self.chains.get((IPTABLES[first], table), {})
                    return (not known if option == "-N" else bool(known)) if rest else None
        if first == "ipset" and len(values) > 2 and values[1] in ("list", "-L", "test", "-T"):
            return values[2] in self.sets if values[1] in ("list", "-L") else None
        if first in ("command", "which", "type", "hash") or values[0] == "command":
            return True if {"iptables", "ipset", "nft"} & {v for v in values if isinstance(v, str)} else None
        return None

    def stands(self, family: int, values: list[Value]) -> bool:
        """Whether a rule is there that `-C` asks for."""
        words = [v for v in values if v not in ("-w", "--wait")]
        table = _table([v for v in words if isinstance(v, str)])
        at = next(i for i, v in enumerate(words) if v in ("-C", "--check"))
        rest = [*_without_table(words[at + 1 :]), *_without_table(words[:at])]
        chain = self.chains.get((family, table), {}).get(str(rest[0]) if rest else "")
        return chain is not None and any(isinstance(r, _SetRule) and r.words == tuple(rest[1:]) for r in chain.rules)

    def tested(self, raw: str) -> bool | None:
        """A `[[ … ]]`: whether a value is there, or is another; a form that a value has to have, it has."""
        negated = raw.startswith("!")
        raw = raw.removeprefix("!").strip()
        if "=~" in raw and "&&" not in raw and "||" not in raw:
            return not negated
        if "&&" in raw or "||" in raw or len(raw) > 2000:
            return None
        try:
            nodes = shell.read(f"[ {raw.replace('<', ' ').replace('>', ' ')} ]")
        except shell.Unreadable:
            return None
        answer = self.condition(nodes[0]) if len(nodes) == 1 else None
        return answer if answer is None or not negated else not answer

    # ---- values

    def fields(self, words: Iterable[Word]) -> list[Value]:
        result: list[Value] = []
        for word in words:
            result += self.expanded(word)
            if len(result) > VALUES:
                raise _Stop
        return result

    def expanded(self, word: Word) -> list[Value]:
        """A word's fields: an unquoted value falls apart at blanks, an array's elements stand alone."""
        fields: list[list[Value]] = [[]]
        some = False
        for part in word:
            match part.kind:
                case "text":
                    fields[-1].append(part.text)
                    some = some or bool(part.text) or part.quoted
                    continue
                case "variable":
                    values = self.variable(part.text, part.rest)
                    several = part.rest[:3] in ("[@]", "[*]") or part.text in ("@", "*")
                case "command":
                    values = self.output(part.body, None)
                    several = False
                case "process":
                    fields[-1].append(Symbol("unknown", "a file"))
                    some = True
                    continue
                case _:
                    values, several = [Symbol("unknown", "a number that is computed")], False
            if part.quoted and not several:
                some = True
                fields[-1] += [_joined(values)] if values else [""]
                continue
            split: list[Value] = []
            for value in values:
                split += [value] if isinstance(value, Symbol) or (part.quoted and several) else self.split(value)
            if split:
                some = True
                fields[-1].append(split[0])
                fields += [[one] for one in split[1:]]
            if len(fields) > VALUES:
                raise _Stop
        return [_concatenated(parts) for parts in fields] if some else []

    def split(self, value: str) -> list[str]:
        separators = self.variables.get("IFS", [" \t\n"])[0]
        if not isinstance(separators, str):
            separators = " \t\n"
        return [v for v in re.split("[" + re.escape(separators) + "]+", value) if v] if separators else [value]

    def variable(self, name: str, rest: str) -> list[Value]:
        values = self.variables.get(name)
        if values is None and name in self.environment:
            values = [self.environment[name]]
        operator = re.match(r"(?:\[[@*]\])?(:?[-=+?])", rest)
        if operator and operator[1][-1] in "-=":
            default = rest[operator.end() :]
            if values and values != [""]:
                return values
            return [Symbol("unknown", f"the value of {name}")] if "$" in default else [default.strip("\"'")]
        if values is None:
            return [Symbol("unknown", f"the value of {printable(name, 40)}")]
        cut = re.fullmatch(r"(##?|%%?)(.*)", rest, re.DOTALL)
        if cut:
            return [_cut(v, cut[1], cut[2]) if isinstance(v, str) else v for v in values]
        if rest in ("", "[@]", "[*]") or (operator and operator[1][-1] == "?"):
            return values
        return [v if isinstance(v, Symbol) else Symbol("unknown", f"a part of {name}") for v in values]

    # ---- what commands print

    def output(self, nodes: Sequence[Node], given: list[Value] | None) -> list[Value]:
        """What commands print, as far as it matters: text, or symbols. Of several, all that they print."""
        self.calls += 1
        try:
            if self.calls > 30:
                return [Symbol("unknown", "what is nested too deep")]
            result: list[Value] = []
            for node in nodes:
                result += self.printed(node, given)
            return result
        finally:
            self.calls -= 1

    def printed(self, node: Node, given: list[Value] | None) -> list[Value]:
        self.steps -= 1
        if self.steps <= 0:
            raise _Stop
        match node:
            case Pipeline(commands):
                for one in commands:
                    given = self.printed(one, given)
                if given and all(isinstance(v, Symbol) and v.kind == "gateway" for v in given):
                    return self.of_gateway(commands)
                return given or []
            case AndOr(first, _):
                return self.printed(first, given)
            case Group(body):
                return self.output(body, given)
            case Simple():
                return self.simply_printed(node, given)
            case For(variable=variable, words=words, body=body):
                result: list[Value] = []
                for value in self.fields(words):
                    self.variables[variable] = [value]
                    result += self.output(body, None)
                return result
            case If(branches=branches, otherwise=otherwise):
                return [v for _, body in branches for v in self.output(body, None)] + self.output(otherwise, None)
        return [Symbol("unknown", "what a loop prints")]

    def of_gateway(self, commands: Sequence[Node]) -> list[Value]:
        """What pipelines make of the default route: the gateway itself, or with its last number replaced its network."""
        words = " ".join(
            "".join(p.text for p in word if p.kind == "text")
            for one in commands
            if isinstance(one, Simple)
            for word in one.words
        )
        if re.search(r"/24\b", words.replace("\\", "")):
            return [Symbol("network")]
        return (
            [Symbol("unknown", "a network made of the gateway's address")]
            if re.search(r"\\?/\d", words)
            else [Symbol("gateway")]
        )

    def simply_printed(self, node: Simple, given: list[Value] | None) -> list[Value]:
        given = self.redirected(node.redirects, given)
        for name, words in node.assignments:
            if not node.words:
                self.variables[name] = self.fields(words)
        values = self.unwrapped(self.fields(node.words))
        if not values:
            return []
        name = values[0].rpartition("/")[2] if isinstance(values[0], str) else ""
        rest = values[1:]
        texts = [v for v in rest if isinstance(v, str)]
        if name in self.functions:
            return self.output(self.functions[name], None)
        if name in ("echo", "printf"):
            return self.echoed(name, rest)
        if name in _LOOKUPS:
            found: list[Value] = [
                Symbol("names", v.rstrip(".").lower()) for v in texts if _DOMAIN.fullmatch(v) and not v.startswith("@")
            ]
            return found or [Symbol("unknown", f"what {name} finds")]
        if name in ("curl", "wget"):
            urls = [Symbol("list", v) for v in texts if _URL.fullmatch(v)]
            return list(urls) or [Symbol("unknown", f"what {name} fetches")]
        if name in ("ip", "route", "netstat"):
            return self.routed(texts, name)
        if name in ("command", "which", "type") and texts:
            return [texts[-1]]
        if any(t.endswith("resolv.conf") for t in texts):
            return [Symbol("resolver")]
        if name == "xargs":
            return given if given is not None else []
        if name in _FILTERS:
            if given is None:
                files = [t for t in texts if not t.startswith("-")]
                return [Symbol("list", f"the file {files[-1]}")] if files else []
            return self.filtered(name, texts, given)
        if name in ("hostname",):
            return [Symbol("unknown", "the container's own address")]
        return [Symbol("unknown", f"what {printable(name or str(values[0]), 40)} prints")]

    def routed(self, texts: Sequence[str], name: str) -> list[Value]:
        if name == "ip" and not any(t in ("route", "r", "ro") for t in texts):
            return [Symbol("unknown", "the container's own address")]
        return [Symbol("gateway")]

    def echoed(self, name: str, values: list[Value]) -> list[Value]:
        while values and isinstance(values[0], str) and re.fullmatch(r"-[neE]+|--", values[0]):
            values = values[1:]
        if name == "printf" and values:
            values = values[1:] or values
        symbols: list[Value] = [v for v in values if isinstance(v, Symbol)]
        if symbols:
            return [*symbols, *(v for v in values if isinstance(v, str) and len(values) > 1)]
        return ["\n".join(map(str, values)) if name == "printf" else " ".join(map(str, values))]

    def filtered(self, name: str, texts: Sequence[str], given: list[Value]) -> list[Value]:
        """What a filter leaves: of symbols the same, of text the same lines at most."""
        if name == "tr" and len(texts) >= 2 and texts[0] not in ("-d", "-s"):
            to = texts[1].replace("\\n", "\n")
            return [
                v if isinstance(v, Symbol) else re.sub("[" + re.escape(texts[0]) + "]", to[-1:] or " ", v)
                for v in given
            ]
        if name in ("sort", "uniq", "cat", "tee", "head", "tail", "grep", "egrep", "fgrep", "xargs"):
            return given
        return [v if isinstance(v, Symbol) else Symbol("unknown", f"what {name} makes of a text") for v in given]

    def redirected(self, redirects: Sequence[shell.Redirect], given: list[Value] | None) -> list[Value] | None:
        """The standard input after redirections."""
        for one in redirects:
            if one.operator in ("<<", "<<-"):
                text = one.text or ""
                given = [self.in_document(text) if not any(p.quoted for p in one.word) else text]
            elif one.operator == "<<<":
                given = self.fields((one.word,))
            elif one.operator == "<":
                process = next((p for p in one.word if p.kind == "process"), None)
                if process is not None:
                    given = self.output(process.body, None)
                else:
                    name = _joined(self.expanded(one.word))
                    given = [Symbol("list", f"the file {name}")]
        return given

    def in_document(self, text: str) -> str:
        """A here-document's text with the variables that are plain text put in."""

        def value(found: re.Match[str]) -> str:
            values = self.variables.get(found[1] or found[2])
            if values and all(isinstance(v, str) for v in values):
                return " ".join(str(v) for v in values)
            return found.group()

        return re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, text)

    # ---- commands

    def unwrapped(self, values: list[Value]) -> list[Value]:
        """Without `sudo`, `timeout 5` and their like."""
        while values and isinstance(values[0], str):
            name = values[0].rpartition("/")[2]
            if name not in _WRAPPERS or len(values) < 2 or (name == "command" and values[1] in ("-v", "-V")):
                break
            options = _WRAPPERS[name]
            values = values[1:]
            while values and isinstance(values[0], str) and (values[0].startswith("-") or re.match(r"\w+=", values[0])):
                takes = len(values[0]) == 2 and values[0][1] in options
                values = values[2:] if takes else values[1:]
            if name == "timeout":
                values = values[1:]
        return values

    def simple(self, node: Simple, given: list[Value] | None) -> None:
        for name, words in node.assignments:
            self.variables[name] = self.fields(words)
        if not node.words:
            return
        given = self.redirected(node.redirects, given)
        values = self.unwrapped(self.fields(node.words))
        if values:
            self.run(values, node.line, given)

    def run(self, values: list[Value], line: int, given: list[Value] | None) -> None:
        first = values[0]
        if isinstance(first, Symbol):
            if any(v in ("-A", "-I", "-P", "-F", "-D") for v in values):
                self.doubt(line, f"which program sets the rule is not told ({first})")
            return
        name, rest = first.rpartition("/")[2], values[1:]
        if name in self.functions:
            self.call(name, rest, given)
        elif name in IPTABLES:
            self.iptables(IPTABLES[name], rest, line)
        elif name in RESTORES:
            self.restored(RESTORES[name], rest, line, given)
        elif name == "ipset":
            self.ipset(rest, line, given)
        elif name == "nft":
            self.nft_command(rest, line, given)
        elif name in ("ufw", "firewall-cmd"):
            if any(v in ("enable", "default", "allow", "deny", "--add-rich-rule", "--direct") for v in rest):
                self.doubt(line, f"what {name} sets up cannot be read here")
        elif name == "sysctl":
            self.sysctl(" ".join(str(v) for v in rest), line)
        elif name in _ROUTES:
            self.route(name, rest, line)
        elif name in ("echo", "printf"):
            pass
        elif name == "xargs":
            self.xargs(rest, line, given)
        elif name in ("read", "mapfile", "readarray"):
            self.reads(name, rest, given)
        elif name in ("exit", "return"):
            if not self.maybe:
                raise _Stop
        elif name in ("continue", "break"):
            if not self.maybe:
                raise _Next(name == "break")
        elif first in self.files:
            self.run_file(first, rest)
        elif name in ("source", ".") and rest and rest[0] in self.files:
            self.run_file(str(rest[0]), rest[1:], sourced=True)
        elif name in ("sh", "bash", "dash", "ash", "zsh", "eval"):
            self.nested(name, rest, line, given)
        elif name in ("source", ".") or "/" in first:
            if re.search(
                r"fire.?wall|iptables|egress|lockdown|nftables",
                str(rest[0] if name in ("source", ".") and rest else first),
                re.I,
            ):
                self.doubt(
                    line,
                    f"the script {printable(str(rest[0] if name in ('source', '.') and rest else first), 80)} is not at hand",
                )
        elif name == "unset":
            for v in rest:
                self.variables.pop(str(v), None)
        elif name == "shift":
            for i in range(1, 9):
                self.variables[str(i)] = self.variables.pop(str(i + 1), [])

    def call(self, name: str, rest: list[Value], given: list[Value] | None) -> None:
        self.calls += 1
        if self.calls > 20:
            self.calls -= 1
            return
        kept = {k: self.variables.get(k) for k in ("@", "*", *map(str, range(1, 10)))}
        self.variables["@"] = self.variables["*"] = list(rest)
        for i in range(1, 10):
            self.variables[str(i)] = [rest[i - 1]] if i <= len(rest) else [""]
        depth = len(self.maybe)
        try:
            self.nodes(self.functions[name], given)
        except (_Stop, _Next):
            if self.steps <= 0:
                raise
        finally:
            del self.maybe[depth:]
            self.calls -= 1
            for key, value in kept.items():
                if value is None:
                    self.variables.pop(key, None)
                else:
                    self.variables[key] = value

    def run_file(self, name: str, arguments: Sequence[Value], *, sourced: bool = False) -> None:
        """A script that another one runs, where it does: in a shell of its own, or (sourced) in the same."""
        text, place = self.files[name]
        self.ran.add(name)
        self.calls += 1
        origin, variables, functions, depth = self.origin, self.variables, self.functions, len(self.maybe)
        self.origin = place
        if not sourced:
            self.variables, self.functions = {}, {}
            self.variables["@"] = self.variables["*"] = list(arguments)
            self.variables |= {str(i): [v] for i, v in enumerate(arguments[:9], 1)}
        try:
            if self.calls < 15:
                self.nodes(self.understood(text))
        except (_Stop, _Next):
            if sourced or self.steps <= 0:
                raise
        finally:
            del self.maybe[depth:]
            self.calls -= 1
            self.origin = origin
            if not sourced:
                self.variables, self.functions = variables, functions

    def nested(self, name: str, rest: list[Value], line: int, given: list[Value] | None) -> None:
        texts: list[Value] = []
        if name == "eval":
            texts = [" ".join(str(v) for v in rest)] if all(isinstance(v, str) for v in rest) else []
        else:
            options = [v for v in rest if isinstance(v, str) and v.startswith("-")]
            if any("c" in o for o in options):
                others = [v for v in rest if not (isinstance(v, str) and v.startswith("-"))]
                texts = others[:1]
            elif len(options) == len(rest):
                texts = given or []
            else:
                at = next(i for i, v in enumerate(rest) if v not in options)
                if any(isinstance(v, str) and ("/" in v or v in self.files) for v in rest):
                    self.run(rest[at:], line, None)
        for text in texts:
            if isinstance(text, str):
                self.calls += 1
                if self.calls < 15:
                    origin, self.origin = self.origin, self.place(line)
                    try:
                        self.nodes(self.understood(text))
                    finally:
                        self.origin = origin
                self.calls -= 1

    def reads(self, name: str, rest: list[Value], given: list[Value] | None) -> None:
        variables = [v for v in rest if isinstance(v, str) and re.fullmatch(r"[A-Za-z_]\w*", v)]
        options = "".join(v for v in rest if isinstance(v, str) and v.startswith("-"))
        values = given if given is not None else [Symbol("unknown", "what is read")]
        if not variables:
            return
        if name != "read" or "a" in options:
            flat: list[Value] = []
            for v in values:
                flat += [v] if isinstance(v, Symbol) else v.splitlines() if name != "read" else self.split(v)
            self.variables[variables[-1]] = flat[:VALUES]
        else:
            first = values[0] if values else ""
            self.split_into(variables, first if isinstance(first, Symbol) else first.split("\n")[0])

    def xargs(self, rest: list[Value], line: int, given: list[Value] | None) -> None:
        words = list(rest)
        placeholder = ""
        each = False
        while words and isinstance(words[0], str) and words[0].startswith("-"):
            option = words.pop(0)
            if str(option)[:2] in ("-I", "-i"):
                placeholder = str(option)[2:] or (str(words.pop(0)) if words else "{}")
                each = True
            elif option in ("-L", "-n", "-P", "-d") and words:
                each = each or option in ("-n", "-L")
                words.pop(0)
        if not words or not isinstance(words[0], str) or words[0].rpartition("/")[2] not in FIREWALL:
            return
        for value in given or []:
            if isinstance(value, Symbol) and value.kind == "unknown" and "nat" in words:
                self.nat_restored = True
                continue
            lines: list[Value] = (
                [value] if isinstance(value, Symbol) else list(value.splitlines() if each else value.split())
            )
            for one in lines:
                if placeholder:
                    made = [_put(w, placeholder, one) for w in words]
                else:
                    made = [*words, *([one] if isinstance(one, Symbol) else one.split())]
                self.run(made, line, None)

    # ---- rules

    def iptables(self, family: int, values: list[Value], line: int) -> None:
        words = [v for v in values if v not in ("-w", "--wait")]
        table = _table([v for v in words if isinstance(v, str)])
        chains = self.chains.get((family, table))
        if chains is None:
            return
        at = next((i for i, v in enumerate(words) if isinstance(v, str) and v in _ACTIONS), None)
        if at is None:
            return
        action = _ACTIONS[str(words[at])]
        rest = [*_without_table(words[at + 1 :]), *_without_table(words[:at])]
        place = self.place(line)
        name = rest[0] if rest and isinstance(rest[0], str) and not rest[0].startswith("-") else ""
        if action in ("check", "list"):
            return
        if table == "filter" or action != "flush":
            self.touched.setdefault(family, place)
        match action:
            case "flush":
                self.flush(family, table, chains, name, place)
            case "policy" if name and len(rest) > 1:
                chain = chains.get(name)
                if chain is not None:
                    accept = rest[1] == "ACCEPT"
                    chain.policy = accept if not self.maybe or chain.policy is accept else None
                    chain.place = place
            case "new" if name:
                chains.setdefault(name, _SetChain())
            case "remove":
                for one in [name] if name else [n for n in chains if n not in HOOKS[table]]:
                    chains.pop(one, None)
            case "append" | "insert" if name:
                self.insert(chains, name, rest[1:], place, action, table)
            case "delete" if name:
                self.delete(chains, name, rest[1:], line)
            case "replace" if name:
                chain = chains.setdefault(name, _SetChain())
                if len(rest) > 1 and str(rest[1]).isdigit() and int(str(rest[1])[:6]) <= len(chain.rules):
                    chain.rules[int(str(rest[1])[:6]) - 1] = _SetRule(tuple(rest[2:]), place, tuple(self.maybe))

    def flush(self, family: int, table: str, chains: dict[str, _SetChain], name: str, place: Origin) -> None:
        if self.maybe:
            self.doubts.append((place, f"rules are removed {self.maybe[-1]}"))
            return
        for one in [name] if name else list(chains):
            if one in chains:
                chains[one].rules.clear()
        if table == "nat" and family == 4 and name in ("", "OUTPUT"):
            self.nat_flushed, self.nat_restored = place, False

    def insert(
        self, chains: dict[str, _SetChain], name: str, rest: list[Value], place: Origin, action: str, table: str
    ) -> None:
        chain = chains.setdefault(name, _SetChain())
        if table == "nat" and any(v in ("127.0.0.11", "127.0.0.11/32", "DOCKER_OUTPUT") for v in rest):
            self.nat_restored = True
        at = 0
        if action == "insert" and rest and isinstance(rest[0], str) and rest[0].isdigit() and len(rest[0]) < 6:
            at, rest = int(rest[0]) - 1, rest[1:]
        rule = _SetRule(tuple(rest), place, tuple(self.maybe))
        if action == "append":
            chain.rules.append(rule)
        else:
            chain.rules.insert(at, rule)
        if len(chain.rules) > VALUES:
            raise _Stop

    def delete(self, chains: dict[str, _SetChain], name: str, rest: list[Value], line: int) -> None:
        chain = chains.get(name)
        if chain is None:
            return
        if self.maybe:
            self.doubt(line, f"a rule is removed {self.maybe[-1]}")
            return
        if len(rest) == 1 and isinstance(rest[0], str) and rest[0].isdigit() and len(rest[0]) < 6:
            if 0 < int(rest[0]) <= len(chain.rules):
                del chain.rules[int(rest[0]) - 1]
            return
        wanted = tuple(rest)
        at = next((i for i, r in enumerate(chain.rules) if isinstance(r, _SetRule) and r.words == wanted), None)
        if at is not None:
            del chain.rules[at]

    def restored(self, family: int, rest: list[Value], line: int, given: list[Value] | None) -> None:
        text = _joined(given or [Symbol("unknown")])
        if not isinstance(text, str):
            self.doubt(line, "the rules that are restored are not at hand")
            return
        keep = "-n" in rest or "--noflush" in rest
        try:
            tables, _ = read_saved(text if family == 4 else "# ip6tables-save\n" + text, self.file)
        except ParseError as e:
            self.doubt(line, f"the rules that are restored cannot be read: {printable(str(e), 100)}")
            return
        place = self.place(line)
        self.touched.setdefault(family, place)
        for table in tables:
            chains = self.chains[family, table.name]
            for name, chain in table.chains.items():
                one = chains.setdefault(name, _SetChain())
                if not keep or chain.hook is None:
                    one.rules.clear()
                if chain.policy is not None and chain.hook is not None:
                    one.policy, one.place = chain.policy, place
                one.rules += [replace(r, place=place if isinstance(place, Place) else r.place) for r in chain.rules]
            if table.name == "nat" and family == 4:
                self.nat_flushed = place

    def ipset(self, values: list[Value], line: int, given: list[Value] | None) -> None:
        words = [v for v in values if v not in ("-!", "-exist", "--exist", "-q", "-quiet", "--quiet", "-o")]
        if not words:
            return
        action = str(words[0])
        name = str(words[1]) if len(words) > 1 else ""
        match action:
            case "create" | "-N" | "n" if len(words) > 2:
                kinds = str(words[2]).partition(":")[2].split(",")
                if str(words[2]) in ("iphash", "nethash"):
                    kinds = ["net"]
                self.sets.setdefault(name, _Set(kinds, unclear="list:" in str(words[2])))
            case "add" | "-A" if len(words) > 2 and words[2] != "":
                found = self.sets.setdefault(name, _Set(["net"]))
                if "nomatch" in words:
                    found.unclear = True
                found.elements.append((words[2],))
                if len(found.elements) > VALUES:
                    found.unclear = True
            case "flush" | "-F" if not self.maybe:
                for key in [name] if name else list(self.sets):
                    if key in self.sets:
                        self.sets[key].elements.clear()
            case "destroy" | "-X" | "x" if not self.maybe:
                for key in [name] if name else list(self.sets):
                    self.sets.pop(key, None)
            case "swap" if len(words) > 2:
                other = str(words[2])
                if name in self.sets and other in self.sets:
                    self.sets[name], self.sets[other] = self.sets[other], self.sets[name]
            case "restore" | "-R":
                text = _joined(given or [Symbol("unknown")])
                if isinstance(text, str):
                    for one in text.splitlines():
                        if one.split()[:1] in (["create"], ["add"]):
                            self.ipset(list(one.split()), line, None)
                else:
                    self.doubt(line, "the sets that are restored are not at hand")
            case "del" | "-D" if len(words) > 2:
                found_set = self.sets.get(name)
                if found_set is not None and (words[2],) in found_set.elements:
                    found_set.elements.remove((words[2],))

    def nft_command(self, values: list[Value], line: int, given: list[Value] | None) -> None:
        options = [v for v in values if isinstance(v, str) and v.startswith("-")]
        if self.nft is None:
            self.nft = Commands(self.file, self.resolve)
        place = self.place(line)
        if "-f" in options or "--file" in options:
            text = _joined(given or [Symbol("unknown")])
        else:
            text = " ".join(self.token(v) for v in values if v not in options)
        if "list" in [v for v in values[:2] if isinstance(v, str)]:
            return
        if not isinstance(text, str):
            self.doubt(line, "the rules that nft loads are not at hand")
            return
        if self.maybe:
            self.doubt(line, f"nft changes rules {self.maybe[-1]}")
        self.touched.setdefault(4, place)
        try:
            self.nft.run(text, place if isinstance(place, Place) else Place(self.file, line))
        except ParseError as e:
            self.doubt(line, f"a command of nft cannot be read: {printable(str(e), 100)}")

    def sysctl(self, text: str, line: int) -> None:
        if re.search(r"net[./]ipv6[./]conf[./](?:all|default|eth0)[./]disable_ipv6\s*=?\s*1", text) and not self.maybe:
            self.ipv6_disabled = self.ipv6_disabled or self.place(line)

    def route(self, name: str, rest: list[Value], line: int) -> None:
        words = [v for v in rest if isinstance(v, str)]
        verbs = {"del", "delete", "add", "replace", "change", "flush"}
        if (name == "route" or any(w in ("route", "r", "ro", "rule", "link") for w in words)) and verbs & set(words):
            self.doubt(line, "it changes routes, which is not followed")

    # ---- the rules at the end

    def token(self, value: Value) -> str:
        """A symbol as one word that `resolve` knows again."""
        if isinstance(value, str):
            return value
        if not value.names:
            return "\x01"
        return "\x02".join(("", *(str(self.number(n)) for n in value.names)))

    def number(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def resolve(self, text: str) -> Spans | None:
        """What stands for a name or a symbol among addresses."""
        if text == "\x01":
            return EVERY_ADDRESS
        if text.startswith("\x02"):
            numbers = sorted(int(n.partition("/")[0]) for n in text.split("\x02")[1:])
            return tuple((NAMES + n, NAMES + n) for n in numbers)
        if _DOMAIN.fullmatch(text):
            n = self.number(text.rstrip(".").lower())
            return ((NAMES + n, NAMES + n),)
        return None

    def ip_sets(self, family: int) -> dict[str, IpSet]:
        result = {}
        for name, one in self.sets.items():
            read = []
            unclear = one.unclear
            for (value,) in one.elements:
                text = self.token(value)
                if text == "\x01":
                    unclear = True
                    continue
                try:
                    version = network(text)[0] if isinstance(value, str) and "," not in text else family
                except ValueError:
                    version = family
                if version != family:
                    continue
                found = element(one.kinds, text, self.resolve)
                if found is None:
                    unclear = True
                else:
                    read.append(found)
            # a set that is never filled here is filled by somebody else: dnsmasq, another script
            result[name] = IpSet(",".join(one.kinds), tuple(read), unclear or not one.elements)
        return result

    def tables(self) -> list[Table]:
        """What stands at the end, of both families. Raises ParseError where chains go round in a circle."""
        result = []
        for (family, table), chains in self.chains.items():
            sets = self.ip_sets(family)
            closed: dict[str, Chain] = {}
            for name, one in chains.items():
                hook, priority = HOOKS[table].get(name, (None, "filter"))
                rules: list[Rule] = []
                for rule in one.rules:
                    rules += [rule] if isinstance(rule, Rule) else self.judged(rule, family, sets)
                rules = [
                    replace(r, verb=Verb.UNCLEAR)
                    if r.verb in (Verb.JUMP, Verb.GOTO) and r.argument not in chains
                    else r
                    for r in rules
                ]
                where = one.place if isinstance(one.place, Place) else Place(self.file, 1)
                closed[name] = Chain(
                    name, tuple(rules), where, hook, PRIORITIES[priority], table == "nat", one.policy, where
                )
            check_jumps(closed)
            result.append(Table("ip" if family == 4 else "ip6", table, closed))
        if self.nft is not None:
            result += self.nft.tables()
        return result

    def judged(self, rule: _SetRule, family: int, sets: dict[str, IpSet]) -> Iterator[Rule]:
        place = rule.place if isinstance(rule.place, Place) else Place(self.file, 1)
        text = " ".join(str(w) for w in rule.words)
        words = [self.token(w) for w in rule.words]
        unsure = list(rule.unsure)
        for i, word in enumerate(words):
            if word == "\x01":
                said = rule.words[i]
                unsure.append(f"{said if isinstance(said, Symbol) and said.text else 'a value of it'} is not told")
                if words[i - 1] not in ("-s", "-d", "--source", "--destination", "--src", "--dst"):
                    words = _target_alone(words)
                    break
        try:
            read = read_rule(words, family, place, text, sets, self.resolve)
        except BadRule as e:
            if family == 6 and "IPv6" in str(e):
                return  # iptables refuses the command
            yield Rule(place, text, Verb.UNCLEAR, unsure=(str(e),))
            return
        for one in read:
            yield replace(one, unsure=(*one.unsure, *unsure)) if unsure else one


_ACTIONS = {
    "-A": "append", "--append": "append", "-I": "insert", "--insert": "insert", "-D": "delete", "--delete": "delete",
    "-R": "replace", "--replace": "replace", "-F": "flush", "--flush": "flush", "-P": "policy", "--policy": "policy",
    "-N": "new", "--new-chain": "new", "-X": "remove", "--delete-chain": "remove", "-C": "check", "--check": "check",
    "-L": "list", "--list": "list", "-S": "list", "--list-rules": "list", "-nL": "list", "-Z": "list", "-nvL": "list",
    "-vnL": "list",
}  # fmt: skip


def _table(words: Sequence[str]) -> str:
    for at, word in enumerate(words):
        if word in ("-t", "--table") and at + 1 < len(words):
            return words[at + 1]
        if word.startswith("--table="):
            return word[8:]
    return "filter"


def _without_table(words: Sequence[Value]) -> list[Value]:
    result: list[Value] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("-t", "--table"):
            skip = True
        elif not (isinstance(word, str) and (word.startswith("--table=") or word in ("-v", "--verbose"))):
            result.append(word)
    return result


def _target_alone(words: Sequence[str]) -> list[str]:
    at = next((i for i, w in enumerate(words) if w in ("-j", "--jump", "-g", "--goto")), None)
    return list(words[at : at + 2]) if at is not None and at + 1 < len(words) and words[at + 1] != "\x01" else []


def _put(word: Value, placeholder: str, value: Value) -> Value:
    if not isinstance(word, str) or placeholder not in word:
        return word
    return value if word == placeholder or isinstance(value, Symbol) else word.replace(placeholder, value)


def _joined(values: Sequence[Value]) -> Value:
    """Values as one: text, or the symbol among them."""
    if len(values) == 1:
        return values[0]
    symbol = next((v for v in values if isinstance(v, Symbol)), None)
    return symbol if symbol is not None else "\n".join(str(v) for v in values)


def _concatenated(parts: Sequence[Value]) -> Value:
    symbols = [p for p in parts if isinstance(p, Symbol)]
    if not symbols:
        return "".join(str(p) for p in parts)
    around = "".join(p for p in parts if isinstance(p, str))
    if len(symbols) == 1:
        if around in ("", "/32", "/128"):
            return symbols[0]
        if symbols[0].kind in ("gateway", "network") and around == "/24":
            return Symbol("network")
    return Symbol("unknown", symbols[0].text or "a value that only the run knows")


def _cut(value: str, operator: str, pattern: str) -> Value:
    """`${X%%/*}` and its like, for the patterns that are a sign and an asterisk."""
    found = re.fullmatch(r"(\*?)([^*?\[\]$\"'\\]+)(\*?)", pattern)
    if found is None:
        return Symbol("unknown", "a part of a value")
    sign = found[2]
    if operator == "%%" and found[3] and not found[1]:
        return value.split(sign, 1)[0]
    if operator == "%" and found[3] and not found[1]:
        return value.rsplit(sign, 1)[0]
    if operator == "##" and found[1] and not found[3]:
        return value.rsplit(sign, 1)[-1]
    if operator == "#" and found[1] and not found[3]:
        return value.split(sign, 1)[-1]
    if not found[1] and not found[3]:
        return value.removesuffix(sign) if operator[0] == "%" else value.removeprefix(sign)
    return Symbol("unknown", "a part of a value")


def _is_test(node: Node) -> bool:
    """A command that only asks."""
    if isinstance(node, Pipeline):
        return all(_is_test(c) for c in node.commands)
    if isinstance(node, AndOr):
        return _is_test(node.first) and all(_is_test(n) for _, n in node.rest)
    if not isinstance(node, Simple) or not node.words:
        return False
    words = [literal(w) for w in node.words]
    if words[0] in ("[", "[[", "test", "((", "command", "which", "type", "hash", "grep"):
        return True
    return (words[0] or "").rpartition("/")[2] in IPTABLES and any(
        w in ("-C", "--check", "-L", "-nL", "-S") for w in words
    )


def _ends(node: Node) -> bool:
    """Whether it gives up: `exit`, `return`, `false`."""
    return any(
        literal(w) in ("exit", "return", "false", "die", "break", "continue")
        for s in shell.simple_commands((node,))
        for w in s.words[:1]
    )


def _tested(values: Sequence[Value]) -> bool | None:
    """`[ … ]`: whether something is said, or is the same."""
    words = list(values)
    if words[:1] == ["!"]:
        answer = _tested(words[1:])
        return None if answer is None else not answer
    if len(words) == 2 and words[0] in ("-n", "-z"):
        empty = words[1] == ""
        if isinstance(words[1], Symbol) and words[1].kind == "unknown":
            return words[0] == "-n" if "prints" in words[1].text else None
        return empty if words[0] == "-z" else not empty
    if words[:1] == ["-n"] and len(words) == 1:
        return False
    if words[:1] == ["-z"] and len(words) == 1:
        return True
    if len(words) == 3 and words[1] in ("=", "==", "!="):
        if any(isinstance(w, Symbol) for w in words):
            return None
        return (words[0] == words[2]) is (words[1] != "!=")
    return None
