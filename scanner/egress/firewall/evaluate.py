"""What becomes of a class of packets on its way through the hooks.

A condition that cannot be judged splits the way in two: the packets that match, and the same packets that do not. A part is
accepted if no way drops it, dropped if no way accepts it, undecided otherwise. Source: netfilter's hooks and priorities
(nft(8), ADDRESS FAMILIES and CHAINS), iptables(8), iptables-extensions(8).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from scanner.egress.firewall.model import Chain, Rule, Table, Test, Verb
from scanner.egress.firewall.space import (
    ALL_V4,
    ALL_V6,
    EVERY_ADDRESS,
    EVERY_PORT,
    ICMP,
    NAMES,
    OTHER,
    SCTP,
    TCP,
    UDP,
    Box,
    Budget,
    Region,
    Spans,
    any_near_port,
    both_regions,
    common,
    meet,
    merged,
    network,
    region_without,
    spans,
    without,
)
from scanner.egress.permits import SIX, simplify, written_ranges
from scanner.errors import LimitError
from scanner.model import printable
from scanner.model.egress import ALL_PORTS, Permit
from scanner.model.launch import Place

OUTSIDE = "(outside)"
"""An interface of the host that is no bridge of containers; which one, nobody knows."""
_INSIDE = ("br-", "docker", "veth", "lo", "cni", "podman", "virbr")
STEPS = 700_000
PARTS = 200
"""Lines that are named one by one; the rest counts as one."""
DEPTH = 200


@dataclass(frozen=True, slots=True)
class Flow:
    """A class of packets from a sandbox.

    `in_interface`, `out_interface`: a name (`docker0`), `PREFIX+` for one of unknown name that begins so, OUTSIDE, or None
    for one of which nothing is known. `source`: the sandbox's address or its network's subnets, () where nobody knows.
    `destination`: CIDRs. `protocol`: tcp, udp, sctp, icmp or any; `ports` count for the first three.
    `translated`: a DNAT of the host sent it here (a published port), so that PREROUTING saw another destination.
    `masqueraded`: whether it leaves with the host's address; None reads it from the ruleset. `names`: the names that stand
    for addresses nobody knows (see `read_ruleset`'s `names`), which are part of the destination too.
    """

    in_interface: str | None = None
    out_interface: str | None = None
    source: tuple[str, ...] = ()
    destination: tuple[str, ...] = ("0.0.0.0/0",)
    protocol: str = "any"
    ports: tuple[tuple[int, int], ...] = ALL_PORTS
    family: int = 4
    translated: bool = False
    masqueraded: bool | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a flow and what decides over it: the rule's or policy's line, and the reason as a sentence's end."""

    permits: tuple[Permit, ...]
    place: Place | None
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a flow. The four (with `continued`, of a single chain: what comes back to the caller) are apart.

    `accepted`: passes; `reply` False where no answer comes back. `dropped`: never passes. `redirected`: goes elsewhere than it
    was sent (`why` says where). `undecided`: the text cannot tell; also where only the answer's way is undecided, and that part
    stands in `accepted` with `reply` False as well. `accepted_by`, `reply_dropped_by`: the lines that decided so.
    """

    accepted: tuple[Permit, ...]
    dropped: tuple[Part, ...] = ()
    undecided: tuple[Part, ...] = ()
    redirected: tuple[Part, ...] = ()
    continued: tuple[Permit, ...] = ()
    accepted_by: tuple[Part, ...] = ()
    reply_dropped_by: tuple[Part, ...] = ()

    @property
    def all_dropped(self) -> bool:
        """Nothing gets through, for sure."""
        return not (self.accepted or self.undecided or self.redirected or self.continued)

    @property
    def all_accepted(self) -> bool:
        """All of it gets through, and the answers come back."""
        return (
            not (self.dropped or self.undecided or self.redirected or self.continued)
            and bool(self.accepted)
            and all(p.reply for p in self.accepted)
        )


def undecided(flow: Flow, why: str) -> Outcome:
    """The whole flow, of which the text says nothing."""
    return Outcome((), undecided=(Part(_permits(_region(flow), flow), None, why),))


# ---- the flow as packets


_PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "other": OTHER}


def _region(flow: Flow) -> Region:
    known = [network(one) for one in flow.destination]
    far = spans([(low, high) for family, low, high in known if family == flow.family])
    far = spans((*far, *((NAMES + i, NAMES + i) for i in range(len(flow.names)))))
    if not far:
        return ()
    wanted = _PROTOCOLS.values() if flow.protocol == "any" else (_PROTOCOLS[flow.protocol],)
    ported = sum(p for p in wanted if p in (TCP, UDP, SCTP))
    rest = sum(p for p in wanted if p in (ICMP, OTHER))
    # port 0 is no port that anybody can be asked for
    boxes = [Box(ported, far, spans(flow.ports), EVERY_PORT)] if ported else []
    if rest:
        boxes.append(Box(rest, far, EVERY_PORT, EVERY_PORT))
    return tuple(boxes)


def _permits(region: Iterable[Box], flow: Flow, reply: bool = True) -> tuple[Permit, ...]:
    found = []
    above = 0 if flow.family == 4 else SIX
    for box in region:
        hosts, excepts = written_ranges(tuple((low + above, high + above) for low, high in box.far if low < NAMES))
        names = tuple(
            flow.names[i] for low, high in box.far if low >= NAMES for i in range(low - NAMES, high - NAMES + 1)
        )
        for name, bit in _PROTOCOLS.items():
            if box.protocols & bit:
                ports = box.far_ports if bit in (TCP, UDP, SCTP) else ALL_PORTS
                found += [Permit(hosts, name, ports, excepts, reply)] if hosts else []
                found += [Permit(names, name, ports, (), reply)] if names else []
    return simplify(found)


# ---- scalar tests: yes, no, or None for nobody knows


def named(known: str | None, pattern: str, ctx: "Context") -> bool | None:
    """Whether an interface, as far as it is known, has a name of the pattern."""
    prefix = pattern.removesuffix("+") if pattern.endswith("+") else None
    if prefix == "":
        return True
    if known is None:
        return None
    if known == OUTSIDE:
        name = pattern if prefix is None else prefix
        if name in ctx.bridges or name in ctx.interfaces or name.startswith(_INSIDE):
            return False
        return None
    if known.endswith("+"):
        begin = known[:-1]
        if prefix is None:
            return None if pattern.startswith(begin) else False
        return True if begin.startswith(prefix) else None if prefix.startswith(begin) else False
    return known == pattern if prefix is None else known.startswith(prefix)


def _any(answers: Iterable[bool | None]) -> bool | None:
    seen: bool | None = False
    for answer in answers:
        if answer:
            return True
        if answer is None:
            seen = None
    return seen


@dataclass(frozen=True, slots=True)
class Context:
    """What a hook knows of the packets as a whole. `local`: they go to the host itself; `near` None is unknown."""

    family: int
    in_interface: str | None
    out_interface: str | None
    has_in: bool
    has_out: bool
    near: Spans | None
    reply: bool
    local: bool
    from_local: bool
    translated: bool
    bridges: frozenset[str]
    interfaces: frozenset[str]
    marks: bool
    same_bridge: bool | None

    def answer(self, test: Test) -> bool | None:
        found = self._answer(test)
        return found if found is None or not test.negated else not found

    def _answer(self, test: Test) -> bool | None:
        match test.kind:
            case "in":
                return _any(named(self.in_interface, v, self) for v in test.values) if self.has_in else False
            case "out":
                return _any(named(self.out_interface, v, self) for v in test.values) if self.has_out else False
            case "state":
                states = {"ESTABLISHED"} if self.reply else {"NEW"}
                if self.translated:
                    states.add("DNAT")
                if states & set(test.values):
                    return True
                return None if "SNAT" in test.values else False
            case "direction":
                return ("REPLY" if self.reply else "ORIGINAL") in test.values
            case "dst-type" | "src-type":
                local = self.local if (test.kind == "dst-type") != self.reply else self.from_local
                return ("LOCAL" if local else "UNICAST") in test.values or (
                    None if {"ANYCAST", "UNSPEC", "PROHIBIT", "UNREACHABLE", "BLACKHOLE"} & set(test.values) else False
                )
            case "flags":
                looked, wanted = (set(v.split(",")) - {""} for v in test.values)
                return ({"SYN", "ACK"} if self.reply else {"SYN"}) & looked == wanted
            case "icmp":
                request, answer = ("8", "0") if self.family == 4 else ("128", "129")
                if (answer if self.reply else request) in test.values:
                    return True
                return False if self.reply or set(test.values) == {answer} else None
            case "owner":
                return False if self.has_in else None  # a packet that is passed on belongs to no process here
            case "bridged":
                return self.same_bridge
            case "mark":
                return None if self.marks else (self.family > 0 and test.values[0] == "0")
        return None


# ---- a chain


@dataclass(slots=True)
class _Finals:
    """Where packets ended, with the line: lists of (region, place, words)."""

    accept: list[tuple[Region, Place | None, str]] = field(default_factory=list)
    drop: list[tuple[Region, Place | None, str]] = field(default_factory=list)
    translate: list[tuple[Region, Place | None, str]] = field(default_factory=list)
    masquerade: list[tuple[Region, Place | None, str]] = field(default_factory=list)
    doubts: list[tuple[Region, Place | None, str]] = field(default_factory=list)


def said(rule: Rule) -> str:
    return f"line {rule.place.line} ({printable(rule.text, 160)})"


class Run:
    """One evaluation: the chains of a table, what is known, and a budget."""

    def __init__(self, chains: Mapping[str, Chain], ctx: Context, budget: Budget, nat: bool) -> None:
        self.chains, self.ctx, self.budget, self.nat = chains, ctx, budget, nat
        self.finals = _Finals()

    def chain(self, chain: Chain, region: Region, depth: int = 0) -> Region:
        """What falls out at the chain's end or by RETURN; all else is in `finals`."""
        if depth > DEPTH:
            raise LimitError(f"chains jump to each other more than {DEPTH} deep")
        returned: list[Box] = []
        finals = self.finals
        for rule in chain.rules:
            if not region:
                break
            self.budget.spend(1 + len(region))
            if rule.verb is Verb.PASS:
                continue
            matching, sure = self._match(rule, region)
            if not matching:
                continue
            if sure:
                region = region_without(region, matching, self.budget)
            elif not rule.rate:
                finals.doubts.append((matching, rule.place, _doubt(rule)))
            match rule.verb:
                case Verb.ACCEPT:
                    finals.accept.append((matching, rule.place, f"{said(rule)} accepts it"))
                case Verb.DROP:
                    finals.drop.append((matching, rule.place, f"{said(rule)} drops it"))
                case Verb.TRANSLATE:
                    finals.translate.append((matching, rule.place, f"{said(rule)} sends it to {rule.argument}"))
                case Verb.MASQUERADE:
                    finals.masquerade.append((matching, rule.place, said(rule)))
                case Verb.RETURN:
                    returned += matching
                case Verb.JUMP | Verb.GOTO:
                    target = self.chains.get(rule.argument)
                    if target is None:  # read_ruleset has seen to it
                        raise LimitError(f"{rule.place}: no chain {printable(rule.argument)}")
                    self.budget.spend(25)
                    back = self.chain(target, matching, depth + 1)
                    if rule.verb is Verb.GOTO:
                        returned += back
                    else:
                        region = merged((*region, *back))
                case _:
                    words = f"{said(rule)} does what cannot be judged here"
                    finals.doubts.append((matching, rule.place, words))
                    finals.accept.append((matching, rule.place, words))
                    finals.drop.append((matching, rule.place, words))
        return merged((*region, *returned))

    def _match(self, rule: Rule, region: Region) -> tuple[Region, bool]:
        """The packets that match, or may; and whether they surely do."""
        sure = not rule.unsure
        ctx = self.ctx
        for test in rule.tests:
            answer = ctx.answer(test)
            if answer is False:
                if test.kind == "flags" and test.negated and rule.verb is Verb.DROP:
                    continue
                return (), True
            if answer is None:
                sure = False
            elif test.kind == "flags" and not ctx.reply and rule.verb is Verb.DROP:
                sure = False  # packets with other flags are packets too
        near, far, near_ports, far_ports = (
            (rule.dst, rule.src, rule.dport, rule.sport) if ctx.reply else (rule.src, rule.dst, rule.sport, rule.dport)
        )
        if near is not None:
            if ctx.near is None:
                sure = False
            else:
                both = common(ctx.near, near)
                if not both:
                    return (), True
                sure = sure and both == ctx.near
        wanted = Box(
            rule.protocols,
            EVERY_ADDRESS if far is None else far,
            EVERY_PORT if far_ports is None else far_ports,
            EVERY_PORT if near_ports is None else near_ports,
        )
        found = _met(region, wanted)
        if rule.rate:
            # Some packets match and some do not, so that whoever goes on trying gets what is better for him.
            if rule.verb is Verb.DROP:
                return (), True
            if rule.verb is Verb.ACCEPT:
                return found, sure
            sure = False
        return found, sure


def _met(region: Region, wanted: Box) -> Region:
    return tuple(both for box in region if (both := meet(box, wanted)) is not None)


def _doubt(rule: Rule) -> str:
    what = "; ".join(rule.unsure) if rule.unsure else "whether it is meant cannot be told"
    return f"{said(rule)}: {what}"


# ---- hooks


@dataclass(frozen=True, slots=True)
class _State:
    """What is still on its way, and where the rest ended."""

    alive: Region
    drops: tuple[tuple[Region, Place | None, str], ...] = ()
    accepts: tuple[tuple[Region, Place | None, str], ...] = ()
    moved: tuple[tuple[Region, Place | None, str], ...] = ()
    masqueraded: Region = ()
    maybe_masqueraded: Region = ()
    doubts: tuple[tuple[Region, Place | None, str], ...] = ()


class Evaluator:
    """The tables of one family, asked about flows."""

    def __init__(self, tables: Iterable[Table], family: int, bridges: frozenset[str], marks: bool) -> None:
        self.tables = tuple(tables)
        self.family, self.bridges, self.marks = family, bridges, marks

    def hooks(self, hook: str) -> list[tuple[Table, Chain]]:
        found = [(t, c) for t in self.tables for c in t.chains.values() if c.hook == hook]
        return sorted(found, key=lambda pair: pair[1].priority)

    def context(
        self, flow: Flow, hook: str, reply: bool, *, local: bool = False, from_local: bool = False, near: bool = True
    ) -> Context:
        into, out = flow.in_interface, flow.out_interface
        if reply:
            into, out = out, into
        source: Spans | None = spans(
            [(low, high) for family, low, high in map(network, flow.source) if family == self.family]
        )
        same: bool | None = None
        if into is not None and out is not None and not into.endswith("+") and not out.endswith("+"):
            same = into == out and into != OUTSIDE
        elif OUTSIDE in (into, out):
            same = False
        return Context(
            self.family,
            into,
            out,
            hook in ("prerouting", "input", "forward"),
            hook in ("postrouting", "output", "forward"),
            source if source and near else None,
            reply,
            local,
            from_local,
            flow.translated,
            self.bridges,
            frozenset(i for i in (into, out) if i is not None and i != OUTSIDE),
            self.marks,
            same,
        )

    def through(self, state: _State, hook: str, ctx: Context, budget: Budget, *, filters: bool, nat: bool) -> _State:
        """The state after all chains of the hook, in the order of their priorities."""
        for table, chain in self.hooks(hook):
            if not state.alive:
                break
            if chain.nat:
                if nat and not ctx.reply:
                    state = self._translated(state, table, chain, ctx, budget)
            elif filters:
                state = self._filtered(state, table, chain, ctx, budget)
        return state

    def _filtered(self, state: _State, table: Table, chain: Chain, ctx: Context, budget: Budget) -> _State:
        run = Run(table.chains, ctx, budget, False)
        rest = run.chain(chain, state.alive)
        finals = run.finals
        if rest:
            where = chain.policy_place or chain.place
            words = f"the policy of {chain.name} (line {where.line}) {'accepts' if chain.policy else 'drops'} it"
            if chain.policy is None:
                words = f"the policy of {chain.name} is not told"
                finals.doubts.append((rest, where, words))
            if chain.policy is not False:
                finals.accept.append((rest, where, words))
            if chain.policy is not True:
                finals.drop.append((rest, where, words))
        for region, place, words in finals.translate:  # a TPROXY or a translation outside of nat
            finals.doubts.append((region, place, words))
            finals.accept.append((region, place, words))
            finals.drop.append((region, place, words))
        alive = merged(box for region, _, _ in finals.accept for box in region)
        return replace(
            state,
            alive=alive,
            drops=(*state.drops, *finals.drop),
            # the chain that filters says more than a policy under which nobody wrote rules
            accepts=tuple(finals.accept) if chain.rules or not state.accepts else state.accepts,
            doubts=(*state.doubts, *finals.doubts),
        )

    def _translated(self, state: _State, table: Table, chain: Chain, ctx: Context, budget: Budget) -> _State:
        """The nat table sees the first packet; what it drops is dropped, what it moves goes elsewhere."""
        run = Run(table.chains, ctx, budget, True)
        rest = run.chain(chain, state.alive)
        finals = run.finals
        if chain.policy is False and rest:
            finals.drop.append((rest, chain.policy_place or chain.place, f"the policy of {chain.name} drops it"))
            rest = ()
        sources = merged(box for region, _, _ in finals.masquerade for box in region)
        stays = merged((*rest, *(box for region, _, _ in finals.accept for box in region)))
        alive = merged((*stays, *sources))
        maybe = both_regions(sources, stays, budget)
        return replace(
            state,
            alive=alive,
            drops=(*state.drops, *finals.drop),
            moved=(*state.moved, *finals.translate),
            doubts=(*state.doubts, *finals.doubts),
            masqueraded=region_without(sources, maybe, budget),
            maybe_masqueraded=maybe,
        )


def concluded(
    flow: Flow, start: Region, state: _State, budget: Budget, *, continued: Region = ()
) -> tuple[Region, Outcome]:
    """What passes for sure, and the outcome on the way there (answers not yet looked at)."""
    drops = merged(box for region, _, _ in state.drops for box in region)
    moves = merged(box for region, _, _ in state.moved for box in region)
    others = merged((*drops, *moves, *continued))
    accepted = any_near_port(region_without(state.alive, others, budget))
    going_on = region_without(
        any_near_port(region_without(continued, (*drops, *moves, *state.alive), budget)), accepted, budget
    )
    maybe = merged((*both_regions(state.alive, others, budget), *both_regions(continued, (*drops, *moves), budget)))
    maybe = region_without(any_near_port(maybe), (*accepted, *going_on), budget)
    moved = region_without(
        region_without(any_near_port(region_without(moves, drops, budget)), (*accepted, *going_on), budget),
        maybe,
        budget,
    )
    maybe = merged(
        (
            *maybe,
            *region_without(any_near_port(both_regions(moves, drops, budget)), (*accepted, *going_on, *moved), budget),
        )
    )
    settled = (*accepted, *going_on, *maybe, *moved)
    dropped = region_without(any_near_port(start), settled, budget)
    return accepted, Outcome(
        (),
        tuple(_parts(dropped, state.drops, flow, budget)),
        tuple(_parts(maybe, (*state.doubts, *state.moved, *state.drops), flow, budget)),
        tuple(_parts(moved, state.moved, flow, budget)),
        _permits(going_on, flow),
        tuple(_parts(accepted, state.accepts, flow, budget)),
    )


def _parts(
    region: Region, ends: Iterable[tuple[Region, Place | None, str]], flow: Flow, budget: Budget
) -> Iterator[Part]:
    """The region split among the lines that say what becomes of it, the first that does so first."""
    left = region
    by_line: dict[tuple[Place | None, str], list[Box]] = defaultdict(list)
    for ending, place, words in ends:
        if not left:
            break
        if len(by_line) >= PARTS:
            by_line[place, f"{words}, or one of the rules after it"] += left
            left = ()
            break
        found = both_regions(left, any_near_port(ending), budget)
        if found:
            by_line[place, words] += found
            left = region_without(left, found, budget)
    for (place, words), boxes in by_line.items():
        yield Part(_permits(merged(boxes), flow), place, words)
    if left:
        yield Part(_permits(left, flow), None, "two rules contradict each other there")


def forward(evaluator: Evaluator, flow: Flow) -> Outcome:
    """The way of forwarded packets, and of their answers."""
    budget = Budget(STEPS)
    start = _region(flow)
    ctx = evaluator.context(flow, "prerouting", False)
    state = _State(start)
    if not flow.translated:
        state = evaluator.through(state, "prerouting", ctx, budget, filters=True, nat=True)
    state = evaluator.through(
        state, "forward", evaluator.context(flow, "forward", False), budget, filters=True, nat=False
    )
    state = evaluator.through(
        state, "postrouting", evaluator.context(flow, "postrouting", False), budget, filters=True, nat=True
    )
    accepted, outcome = concluded(flow, start, state, budget)
    if not accepted:
        return outcome
    masked, unclear = state.masqueraded, state.maybe_masqueraded
    if flow.masqueraded is not None:
        masked, unclear = (start if flow.masqueraded else ()), ()
    masked_part = both_regions(accepted, any_near_port(masked), budget)
    plain = region_without(accepted, (*masked, *unclear), budget)
    maybe = region_without(region_without(accepted, masked_part, budget), plain, budget)
    answers = [
        _answers(evaluator, flow, part, knows_near, budget, "forward")
        for part, knows_near in ((masked_part, False), (plain, True), (maybe, False))
        if part
    ]
    return _with_answers(outcome, answers, flow)


def _answers(
    evaluator: Evaluator, flow: Flow, part: Region, knows_near: bool, budget: Budget, hook: str
) -> tuple[Region, Region, Region, _State]:
    """(answered, perhaps answered, never, the state) of what passed."""
    state = _State(part)
    before = replace(evaluator.context(flow, "prerouting", True), near=None)
    if knows_near:
        before = evaluator.context(flow, "prerouting", True)
    elif flow.source:
        # the answer comes to an address of the host's, of which one thing is known: it is none of the sandbox's
        own = evaluator.context(flow, "prerouting", True).near or ()
        whole = ALL_V4 if flow.family == 4 else ALL_V6
        before = replace(before, near=without(whole, own))
    if hook == "forward":
        state = evaluator.through(state, "prerouting", before, budget, filters=True, nat=False)
        for name in ("forward", "postrouting"):
            state = evaluator.through(state, name, evaluator.context(flow, name, True), budget, filters=True, nat=False)
    else:
        to_host = hook == "input"
        for name in ("output", "postrouting") if to_host else ("prerouting", "input"):
            local = to_host or flow.out_interface == "lo"
            ctx = evaluator.context(flow, name, True, local=local, from_local=not to_host)
            state = evaluator.through(state, name, ctx, budget, filters=True, nat=False)
    drops = merged(box for region, _, _ in state.drops for box in region)
    alive = any_near_port(region_without(state.alive, drops, budget))
    maybe = region_without(any_near_port(both_regions(state.alive, drops, budget)), alive, budget)
    never = region_without(region_without(part, alive, budget), maybe, budget)
    return alive, maybe, never, state


def _with_answers(outcome: Outcome, answers: list[tuple[Region, Region, Region, _State]], flow: Flow) -> Outcome:
    budget = Budget(STEPS)
    permits: list[Permit] = []
    unclear: list[Part] = []
    lost: list[Part] = []
    for answered, maybe, never, state in answers:
        permits += _permits(answered, flow)
        permits += _permits(merged((*maybe, *never)), flow, reply=False)
        unclear += [
            replace(part, why=f"of the answer: {part.why}")
            for part in _parts(maybe, (*state.doubts, *state.drops), flow, budget)
        ]
        lost += [replace(part, why=f"of the answer: {part.why}") for part in _parts(never, state.drops, flow, budget)]
    return replace(
        outcome,
        accepted=simplify(permits),
        undecided=(*outcome.undecided, *unclear),
        reply_dropped_by=tuple(lost),
    )


def into(evaluator: Evaluator, flow: Flow) -> Outcome:
    """The way of packets to the host's own addresses."""
    budget = Budget(STEPS)
    start = _region(flow)
    flow = replace(flow, out_interface=None)
    state = _State(start)
    if not flow.translated:
        ctx = evaluator.context(flow, "prerouting", False, local=True)
        state = evaluator.through(state, "prerouting", ctx, budget, filters=True, nat=True)
    ctx = evaluator.context(flow, "input", False, local=True)
    state = evaluator.through(state, "input", ctx, budget, filters=True, nat=False)
    accepted, outcome = concluded(flow, start, state, budget)
    return _with_answers(
        outcome, [_answers(evaluator, flow, accepted, True, budget, "input")] if accepted else [], flow
    )


def out_of(evaluator: Evaluator, flow: Flow) -> Outcome:
    """The way of packets that begin here: `source` is this machine's or container's own address."""
    budget = Budget(STEPS)
    start = _region(flow)
    flow = replace(flow, in_interface=None)
    loopback = flow.out_interface == "lo"
    state = _State(start)
    for hook in ("output", "postrouting"):
        ctx = evaluator.context(flow, hook, False, local=loopback, from_local=True)
        state = evaluator.through(state, hook, ctx, budget, filters=True, nat=True)
    accepted, outcome = concluded(flow, start, state, budget)
    return _with_answers(
        outcome, [_answers(evaluator, flow, accepted, True, budget, "output")] if accepted else [], flow
    )


def single(evaluator: Evaluator, flow: Flow, table: Table, chain: Chain) -> Outcome:
    """One chain alone, as a forwarded packet meets it; `continued` is what it leaves to whoever jumped to it."""
    budget = Budget(STEPS)
    start = _region(flow)
    run = Run(table.chains, evaluator.context(flow, "forward", False), budget, False)
    rest = run.chain(chain, start)
    alive = merged(box for region, _, _ in run.finals.accept for box in region)
    state = _State(
        alive, drops=tuple(run.finals.drop), accepts=tuple(run.finals.accept), doubts=tuple(run.finals.doubts)
    )
    accepted, outcome = concluded(flow, start, state, budget, continued=rest)
    return replace(outcome, accepted=_permits(accepted, flow))
