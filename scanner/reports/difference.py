"""What a change of a launch opens and closes, for a person at a terminal."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from scanner.model.egress import Change, Path, Permit, Verdict
from scanner.reports import reach, words
from scanner.reports.plugin import RenderOptions
from scanner.reports.terminal import BOLD, Screen

OPENS, CLOSES = "1;31", "32"
PERMITS = 6


def render(changes: Sequence[Change], old: str, new: str, options: RenderOptions) -> str:
    """The changes of each sandbox, what opens first; `old` and `new` are what was compared."""
    screen = Screen(max(options.width, 24), color=options.color)
    screen.line((f"What {reach.name(new)} changes against {reach.name(old)}", BOLD))
    for name, some in groupby(changes, key=lambda one: one.sandbox):
        screen.blank()
        screen.line((reach.name(name), BOLD))
        alike: dict[tuple[bool, str, tuple[tuple[str, str], ...]], list[str]] = {}
        for change in sorted(some, key=lambda one: not one.opens):
            told = (change.opens, _verdicts(change), tuple(_rows(change, options)))
            alike.setdefault(told, []).append(change.destination.value)
        for (opens, verdicts, rows), destinations in alike.items():
            mark = ("opens", OPENS) if opens else ("closes", CLOSES)
            screen.line(mark, f" {', '.join(destinations)}: {verdicts}", indent=2)
            screen.rows(rows, 4)
    screen.blank()
    opening = {one.sandbox for one in changes if one.opens}
    if not changes:
        screen.line("Nothing: every sandbox reaches what it reached before.")
    elif opening:
        screen.line((f"{words.many(len(opening), 'sandbox', 'sandboxes')} may reach more than before.", OPENS))
    else:
        screen.line(("No sandbox reaches more than before.", CLOSES))
    return screen.text()


def _verdicts(change: Change) -> str:
    before = reach.verdict(change.before) if change.before else "not there"
    after = reach.verdict(change.after) if change.after else "not there"
    return before if before == after else f"{before} → {after}"


def _rows(change: Change, options: RenderOptions) -> Iterator[tuple[str, str]]:
    yield from _permits("+", change.wider, options)
    yield from _permits("-", change.narrower, options)
    if change.after is not None and change.after.verdict is Verdict.UNKNOWN:
        for missing in change.after.missing:
            yield "missing", f"{reach.gap(missing)}; give it with {reach.supply(missing)}"
    yield from _paths("+ path", change.opened, options)
    yield from _paths("- path", change.closed, options)


def _permits(mark: str, permits: Sequence[Permit], options: RenderOptions) -> Iterator[tuple[str, str]]:
    shown = permits if options.verbose else permits[:PERMITS]
    for one in shown:
        yield mark, reach.permit(one)
    if len(shown) < len(permits):
        yield "", f"and {len(permits) - len(shown):,} more: --verbose shows them"


def _paths(mark: str, paths: Sequence[Path], options: RenderOptions) -> Iterator[tuple[str, str]]:
    """The first of each mode, or all of them."""
    first = {one.mode: one for one in reversed(paths)}
    shown = [one for one in paths if options.verbose or one is first[one.mode]]
    for one in shown:
        yield mark, reach.path(one)
        for step in reach.steps(one):
            yield "", step
    if len(shown) < len(paths):
        yield "", f"and {words.many(len(paths) - len(shown), 'more path')}: --verbose shows them"
