"""What sandboxes reach, in words that every report for people shares: verdicts, what passes, paths, cuts. All safe to print."""

import shlex
from collections.abc import Iterable, Sequence

from scanner.errors import UsageError
from scanner.model import Default, Missing, Origin, Place, Report, capital, printable
from scanner.model.assumption import assumption
from scanner.model.egress import (
    ALL_PORTS,
    Action,
    Answer,
    Cut,
    Destination,
    Edge,
    Egress,
    Mode,
    Path,
    Permit,
    Question,
    SandboxReach,
    Tried,
    Verdict,
)
from scanner.reports import words

HOSTS = 8
"""Hosts of one permit that are shown."""
SENTENCE = 1_000

ASKED = {
    "could-tunnel": "Could ROME's tunnel, SSH to the outside, happen here?",
    "could-mine": "Could it mine?",
}
MODES = {Mode.DIRECT: "by plain sockets", Mode.MEDIATED: "through a proxy or relay", Mode.PIVOT: "by a takeover"}
NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def needed(report: Report, name: str) -> Egress:
    """What the launch's sandboxes reach; raises UsageError where no launch was judged."""
    if report.egress is None:
        raise UsageError(
            f"{name} draws what the sandboxes of a launch reach, and this report has no launch. "
            "Give one: sandscan egress FILE, or sandscan scan TARGET --launch FILE."
        )
    return report.egress


def name(value: str) -> str:
    return printable(value) or "(no name)"


def file(value: str) -> str:
    return printable(value, words.PATH_LIMIT) or "(no name)"


def origin(value: Origin | None) -> str:
    """`compose.yaml:12`, `default of docker`, or nothing."""
    if isinstance(value, Place):
        return f"{file(value.file)}:{value.line}"
    return printable(str(value)) if isinstance(value, Default) else ""


def placed(text: str, value: Origin | None) -> str:
    """The words with who said it behind them."""
    where = origin(value)
    return f"{text} ({where})" if where else text


def files(egress: Egress, limit: int = 5) -> str:
    shown = ", ".join(file(one) for one in egress.files[:limit])
    return shown + (f" and {len(egress.files) - limit:,} more" if len(egress.files) > limit else "")


def launch(egress: Egress) -> str:
    """`compose, run by docker: compose.yaml`; `runner rock` where nothing but the runner is known."""
    if not egress.files:
        return f"runner {name(egress.runner)}"
    runner = f", run by {name(egress.runner)}" if egress.runner and egress.runner != egress.format else ""
    return f"{name(egress.format)}{runner}: {files(egress)}"


def about(reach: SandboxReach) -> str:
    """`service, compose.yaml:3, image python:3.12`."""
    image = f"image {printable(reach.image)}" if reach.image else "image not known"
    return ", ".join(filter(None, (printable(reach.kind), origin(reach.origin), image)))


# ---- verdicts


def verdict(answer: Answer) -> str:
    """`limited (closed directly)`: all paths counted, and plain sockets alone where that differs."""
    return str(answer.verdict) + ("" if answer.direct is answer.verdict else f" ({answer.direct} directly)")


def row(reach: SandboxReach) -> tuple[tuple[Verdict, Verdict], ...]:
    """The verdicts of one sandbox, by which sandboxes are alike."""
    return tuple((one.verdict, one.direct) for one in reach.answers)


_RANK = {Verdict.OPEN: 3, Verdict.UNKNOWN: 2, Verdict.LIMITED: 1, Verdict.CLOSED: 0}


def groups(sandboxes: Iterable[SandboxReach]) -> list[list[SandboxReach]]:
    """Sandboxes with the same verdicts, of which the same was tried, together; the widest first."""
    alike: dict[tuple[tuple[tuple[Verdict, Verdict], ...], tuple[str, ...]], list[SandboxReach]] = {}
    for one in sandboxes:
        alike.setdefault((row(one), tuple(map(trial, one.answers))), []).append(one)
    return [group for _, group in sorted(alike.items(), key=lambda item: _width(item[0][0]), reverse=True)]


def _width(verdicts: Sequence[tuple[Verdict, Verdict]]) -> tuple[int, int]:
    return sum(_RANK[all_paths] for all_paths, _ in verdicts), sum(_RANK[direct] for _, direct in verdicts)


def names(group: Sequence[SandboxReach], limit: int) -> str:
    """`agent, worker and 9,998 more`."""
    shown = ", ".join(name(one.name) for one in group[:limit])
    return shown + (f" and {len(group) - limit:,} more" if len(group) > limit else "")


# ---- what passes


def permit(value: Permit) -> str:
    """`tcp 443 to api.example.com, *.pypi.org`; `anything to 0.0.0.0/0 except 10.0.0.0/8, one way: no answer comes back`."""
    protocol = printable(value.protocol)
    ports = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in value.ports[:HOSTS])
    more = f" and {len(value.ports) - HOSTS:,} more" if len(value.ports) > HOSTS else ""
    if value.ports == ALL_PORTS:
        what = "anything" if protocol == "any" else protocol
    else:
        what = f"{'any protocol' if protocol == 'any' else protocol} port {ports or 'none'}{more}"
    less = f" except {_list(value.excepts)}" if value.excepts else ""
    return f"{what} to {_list(value.hosts)}{less}" + ("" if value.reply else ", one way: no answer comes back")


def _list(hosts: Sequence[str]) -> str:
    shown = ", ".join(printable(one) for one in hosts[:HOSTS]) or "nothing"
    return shown + (f" and {len(hosts) - HOSTS:,} more" if len(hosts) > HOSTS else "")


def supply(missing: Missing) -> str:
    """`--assume engine.icc=VALUE (true or false)`: how to give the fact."""
    known = assumption(missing.key)
    return f"--assume {printable(shlex.quote(f'{missing.key}=VALUE'))}" + (f" (VALUE: {known.values})" if known else "")


def gap(missing: Missing) -> str:
    return f"{printable(missing.key)}: {words.plain(missing.why, SENTENCE)}"


# ---- paths


def path(value: Path) -> str:
    """`limited, through a proxy or relay; connects as it is: curl (usr/bin/curl); tried`."""
    went = "" if value.tried is None else f"; {_maybe(value.verdict)}{' and tried' if value.tried else ', not tried'}"
    return f"{value.verdict}, {MODES[value.mode]}" + (f"; {tool(value)}" if value.tool else "") + went


TRIED = 8
"""Targets of one answer that are named."""


def trial(answer: Answer) -> str:
    """Whether a run tried it: `possible and tried`, `possible, not tried`, `tried, but closed`, `not tried`; nothing where no
    run was watched."""
    if answer.tried is None:
        return ""
    if not answer.tried:
        return "not tried" if answer.verdict is Verdict.CLOSED else f"{_maybe(answer.verdict)}, not tried"
    outcomes = {one.outcome for one in answer.tried}
    if "possible" in outcomes:
        return "possible and tried"
    return "tried, but closed" if outcomes == {"closed"} else "tried, and not known whether possible"


def _maybe(verdict: Verdict) -> str:
    return "perhaps possible" if verdict is Verdict.UNKNOWN else "possible"


def tried(one: Tried) -> str:
    """`tcp to pool.example:3333, stratum, 3 times: possible, because …`; `…: tried, but closed by …`."""
    service = f", {printable(one.service, 40)}" if one.service else ""
    times = f", {one.count:,} times" if one.count > 1 else ""
    why = words.plain(one.because, SENTENCE)
    outcome = {
        "possible": f"possible and tried{f': {why}' if why else ''}",
        "closed": f"tried, but closed{f' by: {why}' if why else ''}",
        "unknown": f"tried, not known whether possible{f': {why}' if why else ''}",
    }.get(one.outcome, f"{words.plain(one.outcome, 60)}{f': {why}' if why else ''}")
    return f"{printable(one.protocol, 20)} to {printable(one.target)}{service}{times}: {outcome}"


def tries(answer: Answer, *, every: bool) -> list[str]:
    """What was tried of it, in words, the most often tried first."""
    found = sorted(answer.tried or (), key=lambda one: -one.count)
    shown = found if every else found[:TRIED]
    return [tried(one) for one in shown] + (
        [f"and {len(found) - len(shown):,} more"] if len(found) > len(shown) else []
    )


def outcomes(sandbox: SandboxReach) -> list[str]:
    """`internet: possible and tried`: of each destination; empty where no run was watched."""
    return [f"{one.destination.value}: {said}" for one in sandbox.answers if (said := trial(one))]


def tool(value: Path) -> str:
    """What of the image the path uses, and what that takes; nothing where no image was looked at."""
    if value.tool is None:
        return ""
    place = f" ({printable(value.tool.place, words.PATH_LIMIT)})" if value.tool.place else ""
    return words.plain(value.tool.words, SENTENCE) + place


def without_image(sandboxes: Iterable[SandboxReach]) -> str:
    """A sentence where paths lead out and nobody knows with which tool; else nothing."""
    paths = [one for sandbox in sandboxes for answer in sandbox.answers for one in answer.paths[:1]]
    if all(one.tool is not None for one in paths):
        return ""
    which = "some of the paths" if any(one.tool is not None for one in paths) else "the paths"
    return f"No image was looked at, so that nobody knows which tool {which} take: give it with --image."


def worst(answer: Answer, *, every: bool) -> tuple[Path, ...]:
    """The paths to be told: every one, or of each mode the first of those that give as much as any."""
    ordered = sorted(answer.paths, key=lambda one: -_RANK[one.verdict])
    if every or not ordered:
        return tuple(ordered)
    most = answer.verdict if any(one.verdict is answer.verdict for one in ordered) else ordered[0].verdict
    first: dict[Mode, Path] = {}
    for one in ordered:
        if one.verdict is most:
            first.setdefault(one.mode, one)
    return tuple(first.values())


def alike(answers: Iterable[Answer], *, every: bool) -> list[list[Answer]]:
    """Answers that read the same in all but their destination together, in the order of the first."""
    together: dict[tuple[object, ...], list[Answer]] = {}
    for one in answers:
        told = tuple((path(way), tuple(steps(way))) for way in worst(one, every=every))
        passes = one.allows if one.verdict is Verdict.LIMITED else ()
        gaps = tuple(map(gap, one.missing))
        key = (
            one.verdict,
            one.direct,
            one.tried,
            passes,
            gaps,
            told,
            one.because if every else (),
            one.paths_left_out > 0,
        )
        together.setdefault(key, []).append(one)
    return list(together.values())


def supplies(sandbox: SandboxReach) -> list[str]:
    """How to give what is missing, each fact once."""
    return list(dict.fromkeys(supply(one) for answer in sandbox.answers for one in answer.missing))


def step(edge: Edge) -> str:
    """One step: why it is there, what it needs, where that is said."""
    needs = f"; needs {', '.join(printable(one) for one in edge.needs)}" if edge.needs else ""
    return placed(words.plain(edge.why, SENTENCE) or name(edge.kind), edge.origin) + needs


def steps(value: Path) -> list[str]:
    return [f"{number}. {step(one)}" for number, one in enumerate(value.steps, 1)]


# ---- cuts


def reached(reach: SandboxReach) -> tuple[Destination, ...]:
    return tuple(one.destination for one in reach.answers if one.verdict is not Verdict.CLOSED)


def cut(value: Cut, reach: SandboxReach) -> str:
    """`Two changes close all of them:`, or why none do."""
    what = "all of them" if set(value.closes) >= set(reached(reach)) else _and([str(one) for one in value.closes])
    if not value.possible:
        return f"No change known closes {what}: {words.plain(value.why_not, SENTENCE) or 'no reason is given'}."
    count = len(value.actions)
    number = NUMBERS[count] if count < len(NUMBERS) else f"{count:,}"
    doubt = "" if value.verified else " (not verified: the changed launch was not judged again)"
    return f"{number} {'change closes' if count == 1 else 'changes close'} {what}{doubt}:"


def actions(value: Cut) -> list[str]:
    return [f"{number}. {action(one)}" for number, one in enumerate(value.actions, 1)]


def names_of(answers: Iterable[Answer]) -> str:
    return ", ".join(one.destination.value for one in answers)


def action(one: Action) -> str:
    takes = f"; it costs: {words.plain(one.breaks, SENTENCE)}" if one.breaks else ""
    return placed(words.plain(one.title, SENTENCE), one.origin) + takes


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:]))) or "nothing"


def first_cut(reach: SandboxReach) -> Cut | None:
    """The cut that a picture shows: the possible one that closes most; None if there is none."""
    possible = [one for one in reach.cuts if one.possible and one.actions]
    return max(possible, key=lambda one: len(one.closes), default=None)


def removed(reach: SandboxReach, value: Cut | None) -> frozenset[int]:
    """Which of the graph's edges the cut removes, by their number."""
    chosen = {one.id for one in value.actions} if value is not None else set()
    return frozenset(number for number, edge in enumerate(reach.graph.edges) if chosen.intersection(edge.actions))


def question(value: Question) -> str:
    """`Could it mine? No: …`."""
    asked = ASKED.get(value.name) or f"{name(value.name)}?"
    answer = words.plain(value.answer, 60)
    return f"{asked} {words.sentence(f'{capital(answer)}: {words.plain(value.words, SENTENCE)}')}"
