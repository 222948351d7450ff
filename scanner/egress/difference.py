"""Two launches compared: which paths a change opens, which it closes, for each sandbox and destination."""

from collections.abc import Iterable, Iterator, Sequence

from scanner.egress.permits import subtract
from scanner.model.egress import Answer, Change, Destination, Egress, Path, Permit, Verdict

_RANK = {Verdict.CLOSED: 0, Verdict.LIMITED: 1, Verdict.UNKNOWN: 2, Verdict.OPEN: 3}


def difference(old: Egress, new: Egress) -> tuple[Change, ...]:
    """Every change, in the order of the new launch; sandboxes that are gone come last. Sandboxes are the same by name."""
    before = {one.name: one for one in reversed(old.sandboxes)}
    after = {one.name: one for one in reversed(new.sandboxes)}
    names = dict.fromkeys((*(one.name for one in new.sandboxes), *(one.name for one in old.sandboxes)))
    found: list[Change | None] = []
    for name in names:
        olds = {one.destination: one for one in before[name].answers} if name in before else {}
        news = {one.destination: one for one in after[name].answers} if name in after else {}
        found += (_change(name, one, olds.get(one), news.get(one)) for one in Destination)
    return tuple(one for one in found if one is not None)


def _change(name: str, destination: Destination, before: Answer | None, after: Answer | None) -> Change | None:
    """None where nothing changed. A path that is not listed before counts as new: some may not have been listed."""
    old_paths, new_paths = (one.paths if one else () for one in (before, after))
    opened, closed = _only(new_paths, old_paths), _only(old_paths, new_paths)
    old_permits, new_permits = (one.allows if one else () for one in (before, after))
    wider, narrower = _beyond(new_permits, old_permits), _beyond(old_permits, new_permits)
    was, now = _ranks(before), _ranks(after)
    if not (opened or closed or wider or narrower) and was == now:
        return None
    opens = bool(opened or wider) or any(b > a for a, b in zip(was, now, strict=True))
    return Change(name, destination, before, after, opens, opened, closed, wider, narrower)


def _ranks(answer: Answer | None) -> tuple[int, int]:
    return (_RANK[answer.verdict], _RANK[answer.direct]) if answer else (0, 0)


def _only(some: Sequence[Path], others: Iterable[Path]) -> tuple[Path, ...]:
    known = {_way(one) for one in others}
    return tuple(one for one in some if _way(one) not in known)


def _way(path: Path) -> tuple[object, ...]:
    """What makes a path the same in both launches: its steps, wherever their lines have moved to."""
    return tuple((one.source, one.target, one.kind, one.mode, bool(one.missing)) for one in path.steps)


def _beyond(some: Sequence[Permit], others: Sequence[Permit]) -> tuple[Permit, ...]:
    """What of some passes that did not pass among the others, an answer where there was none included."""
    more = subtract(some, others)
    return more or tuple(_answered(some, others))


def _answered(some: Sequence[Permit], others: Sequence[Permit]) -> Iterator[Permit]:
    yield from subtract([one for one in some if one.reply], [one for one in others if one.reply])
