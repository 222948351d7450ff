"""Firewalls that a launch's own scripts set up within the container: what they let out, and whether they hold.

For whoever judges a container with scripts (a devcontainer's postStartCommand and the files it runs):

    firewall = script_permits(container.scripts, container.name, container.environment)    # None: no script sets rules
    firewall.permits             # what leaves over the network, both families; names that the script resolves stay names
    firewall.perhaps, .missing   # what leaves besides, if those facts are so
    firewall.towards(("172.18.0.0/16",), gateway=True)    # Outcome for the own network: siblings, the host by its bridge
    firewall.resolver(("203.0.113.53",))    # whether names get out through the configured resolver: True, False, None
    undone(container)            # whether the agent can take the rules away again: then they are no barrier (PIVOT)

The rules act on OUTPUT of the container's own network namespace, as if its scripts had run in order to their ends. Before
they have run everything is open: `window` says so. `accepted`, `dropped` name the deciding lines. iptables says nothing of
IPv6: where only it was used, `ipv6` is `open`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scanner.egress.firewall import Flow, Outcome, Part, Ruleset, ruleset
from scanner.egress.permits import simplify, union
from scanner.egress.scripts.scripted import GATEWAY, NEIGHBOURS, OWN, RESOLVER, Machine
from scanner.errors import ParseError
from scanner.model import printable
from scanner.model.egress import Permit
from scanner.model.launch import Container, Missing, Origin, Place, Said, Script

INTERFACE = "eth0"
_EMBEDDED = "127.0.0.11/32"


@dataclass(frozen=True, slots=True)
class ScriptFirewall:
    """What the scripts' rules let out. `names`: what stands for addresses that only a run knows, in the ruleset's order.

    `ipv6`: `open` (no rule speaks of it), `closed`, `filtered`. `resolver_kept` False: the nat rules that lead to the engine's
    own resolver (127.0.0.11) were removed and not restored.
    """

    ruleset: Ruleset
    names: tuple[str, ...]
    permits: tuple[Permit, ...]
    perhaps: tuple[Permit, ...]
    missing: tuple[Missing, ...]
    accepted: tuple[Part, ...]
    dropped: tuple[Part, ...]
    origin: Origin
    where: str
    window: str
    ipv6: str
    resolver_kept: bool
    assumed: bool = False
    """What could not be followed is assumed, and stands in `permits` alone: no rule adds to it."""

    def towards(
        self,
        destination: Sequence[str],
        family: int = 4,
        *,
        gateway: bool = False,
        neighbours: bool = False,
        loopback: bool = False,
    ) -> Outcome:
        """What of addresses passes; `gateway` and `neighbours` add the own network's as the script found them out itself
        (they stand in the outcome by their names)."""
        wanted = {GATEWAY: gateway, NEIGHBOURS: neighbours}
        # numbers are places in the list, so that those not asked for are cut off again
        flow = Flow(
            None,
            "lo" if loopback else INTERFACE,
            (),
            tuple(destination),
            family=family,
            names=self.names if gateway or neighbours else (),
        )
        outcome = self.ruleset.output(flow)
        if not (gateway or neighbours):
            return outcome
        keep = {name for name, asked in wanted.items() if asked}
        drop = {name for name in self.names if name not in keep}
        return _outcome_without(outcome, drop)

    def resolver(self, upstream: Sequence[str] = ()) -> bool | None:
        """Whether a name leaves through the engine's resolver: by loopback to it, and from it to its upstream (any address
        where none is given)."""
        if not self.resolver_kept:
            return False
        local = self.ruleset.output(Flow(None, "lo", (), (_EMBEDDED,), "udp"))
        addresses = tuple(upstream) or ("0.0.0.0/0",)
        flow = Flow(None, INTERFACE, (), addresses, "udp", ((53, 53),), names=self.names)
        beyond = self.ruleset.output(flow)
        if local.all_dropped or beyond.all_dropped:
            return False
        if upstream and any(p.hosts for p in beyond.accepted) and local.accepted:
            real = simplify(_without_names(beyond.accepted, set(self.names) - {RESOLVER}))
            return bool(real) or None
        return True if local.accepted and beyond.all_accepted else None


@dataclass(frozen=True, slots=True)
class Undo:
    """Whether the agent can undo what root set up in its container: `answer` None hangs on `missing`."""

    answer: bool | None
    why: str
    origin: Origin
    missing: tuple[Missing, ...] = ()


def script_permits(
    scripts: Sequence[Script],
    name: str = "",
    environment: Sequence[tuple[str, Said[str | None]]] = (),
    assumed: tuple[Permit, ...] | None = None,
    interface: str = INTERFACE,
) -> ScriptFirewall | None:
    """The firewall that a container's scripts set up in it, None where none of them does. Never raises.

    Scripts that run on the host are no part of it. `name` is the container's, for the facts that are missing
    (`firewall.NAME`), `environment` its variables. `assumed` is what the user takes the rules to let out where they cannot
    be followed. `interface` is the one by which packets leave, `eth+` where it may be any of several.
    """
    known = {key: said.value for key, said in environment if said.value is not None}
    inside = [s for s in scripts if not s.on_host]
    called = {s.where.rpartition(": ")[2]: (s.text, s.origin) for s in inside if ": " in s.where}
    machine = Machine(_file_of(scripts), environment=known, files=called)
    where = ""
    for script in inside:
        if script.where.rpartition(": ")[2] in machine.ran:
            continue  # another one ran it, in its place
        before = (len(machine.touched), len(machine.doubts))
        machine.script(script.text, script.origin)
        if (len(machine.touched), len(machine.doubts)) != before and not where:
            where = script.where
    if not machine.touched and not machine.doubts:
        return None
    doubts = list(machine.doubts)
    try:
        tables = machine.tables()
    except ParseError as e:
        doubts.append((machine.origin or Place(machine.file, 1), printable(str(e), 160)))
        tables = Machine(machine.file).tables()
    if not machine.touched and all("routes" in words for _, words in doubts):
        return None
    rules = ruleset(tables, machine.file, whole=True)
    found = _judged(machine, rules, doubts, where, f"firewall.{name}", interface)
    if found.missing and assumed is not None:
        sure = () if doubts else found.permits
        return replace(found, permits=union(sure, assumed), perhaps=(), missing=(), assumed=bool(doubts))
    return found


def _file_of(scripts: Sequence[Script]) -> str:
    return next((s.origin.file for s in scripts if isinstance(s.origin, Place)), "script")


def _judged(
    machine: Machine, rules: Ruleset, doubts: Sequence[tuple[Origin, str]], where: str, key: str, interface: str
) -> ScriptFirewall:
    names = tuple(machine.names)
    own = set(OWN)
    four = rules.output(Flow(None, interface, (), ("0.0.0.0/0",), names=names))
    six = rules.output(Flow(None, interface, (), ("::/0",), family=6, names=names))
    if machine.ipv6_disabled is not None:
        six = Outcome(())
    outcomes = [four] if machine.ipv6_disabled is not None else [four, six]
    permits = union(*(_without_names(o.accepted, own) for o in outcomes))
    unclear = [part for o in outcomes for part in (*o.undecided, *o.redirected)]
    perhaps = union(*(_without_names(part.permits, own) for part in unclear))
    missing = [
        Missing(key, f"{part.why}; what then leaves is unknown", part.place)
        for part in unclear
        if _without_names(part.permits, own)
    ]
    if doubts:
        perhaps = union(perhaps, (Permit(("0.0.0.0/0", "::/0")),))
        missing += [Missing(key, words, origin) for origin, words in doubts]
    origin = next(iter(machine.touched.values()), doubts[0][0] if doubts else Place(machine.file, 1))
    ipv6 = "closed" if six.all_dropped else "open" if six.all_accepted else "filtered"
    return ScriptFirewall(
        rules,
        names,
        permits,
        perhaps,
        tuple(dict.fromkeys(missing)),
        tuple(p for o in outcomes for p in o.accepted_by),
        tuple(p for o in outcomes for p in o.dropped),
        origin,
        where,
        f"until {where or 'the script'} has run, everything is open",
        ipv6,
        machine.nat_flushed is None or machine.nat_restored,
    )


def _without_names(permits: Sequence[Permit], names: set[str]) -> tuple[Permit, ...]:
    found = []
    for permit in permits:
        hosts = tuple(h for h in permit.hosts if h not in names)
        if hosts:
            found.append(Permit(hosts, permit.protocol, permit.ports, permit.excepts, permit.reply))
    return tuple(found)


def _outcome_without(outcome: Outcome, names: set[str]) -> Outcome:
    def parts(given: Sequence[Part]) -> tuple[Part, ...]:
        left = (Part(_without_names(p.permits, names), p.place, p.why) for p in given)
        return tuple(p for p in left if p.permits)

    return Outcome(
        _without_names(outcome.accepted, names),
        parts(outcome.dropped),
        parts(outcome.undecided),
        parts(outcome.redirected),
        _without_names(outcome.continued, names),
        parts(outcome.accepted_by),
        parts(outcome.reply_dropped_by),
    )


def undone(container: Container, sudo: bool | None = None) -> Undo:
    """Whether the agent can remove the rules: it has NET_ADMIN in its container and is root, or becomes it by sudo.

    `sudo`: whether its user may become root, where somebody knows (`--assume root.NAME`, the image).
    """
    held = container.confinement
    rights = [s for s in held.cap_add if s.value.upper().removeprefix("CAP_") in ("NET_ADMIN", "ALL")]
    if held.privileged is not None and held.privileged.value:
        rights = [Said("privileged", held.privileged.origin)]
    if not rights:
        return Undo(False, "its container has no NET_ADMIN, without which no rule is set or removed", container.origin)
    origin = rights[0].origin
    said = container.runs_as or held.user
    user = said.value.partition(":")[0].strip() if said is not None and "$" not in said.value else None
    if user in ("0", "root"):
        return Undo(True, f"the agent is root and its container has {rights[0].value}", origin)
    if held.no_new_privileges is not None and held.no_new_privileges.value and user:
        return Undo(False, f"the agent is {user}, and no program gives it more rights", held.no_new_privileges.origin)
    who = f"the agent is {user}" if user else "who the agent is stands in the image"
    if sudo is not None:
        words = f"{who}, and is assumed {'to be root or to become it' if sudo else 'not to become root'}"
        return Undo(sudo, words, origin)
    name = container.name
    return Undo(
        None,
        f"{who}; as root it would undo the rules with the container's {rights[0].value}",
        origin,
        (Missing(f"root.{name}", f"whether the user of {name} is root or becomes it by sudo", origin),),
    )
