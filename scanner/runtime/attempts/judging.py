"""All that a watched run tried, sorted by kind and judged."""

from collections.abc import Collection

from scanner.model import Finding, Level, Notification, Rule, printable
from scanner.model.run import Attempt, How, Run
from scanner.plugins import plugins
from scanner.runtime.attempts.plugin import Watch, Watched


def watches() -> tuple[Watch, ...]:
    """Every kind of attempt, the most telling first."""
    return tuple(sorted(plugins("scanner.runtime.attempts"), key=lambda w: (w.order, w.name)))


def rules() -> tuple[Rule, ...]:
    """Every rule that attempts may break, by id."""
    return tuple(sorted({r.id: r for w in watches() for r in w.rules}.values(), key=lambda r: r.id))


def judge(
    run: Run, repository: str, siblings: Collection[str] = (), gateways: Collection[str] = ()
) -> tuple[tuple[Finding, ...], tuple[Notification, ...]]:
    """What the run's attempts and queries add up to. `repository` names the image, so that fingerprints last.

    A judge that fails takes nobody else's findings along: it is an error notification, and the report incomplete.
    """
    assert run.how is How.OBSERVE, "only where nothing can leave, an attempt is the whole truth"
    watched = Watched(run, repository, frozenset(siblings), frozenset(gateways))
    taken: dict[str, list[Attempt]] = {}
    known = watches()
    for attempt in sorted(run.attempts, key=lambda a: a.time):
        kind = next((w for w in known if w.takes(attempt, watched)), None)
        if kind is not None:
            taken.setdefault(kind.name, []).append(attempt)
    findings: list[Finding] = []
    notes: list[Notification] = []
    for watch in known:
        try:
            findings += watch.judge(taken.get(watch.name, ()), watched)
        except Exception as e:  # one judge's mistake must not take the others' findings along
            what = f"attempts of the kind {watch.name} could not be judged: {type(e).__name__}: {printable(str(e))}"
            notes.append(Notification("detector", Level.ERROR, what))
    return tuple(findings), tuple(notes)
