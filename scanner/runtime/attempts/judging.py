"""All that a watched run tried, sorted by kind and judged."""

from collections.abc import Collection

from scanner.model import Finding, Level, Notification, Rule, printable
from scanner.model.run import How, Run
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

    A judge that fails takes nobody else's findings along, whether it takes or judges: it is an error notification, and the report
    incomplete.
    """
    assert run.how is How.OBSERVE, "only where nothing can leave, an attempt is the whole truth"
    watched = Watched(run, repository, frozenset(siblings), frozenset(gateways))
    findings: list[Finding] = []
    notes: list[Notification] = []
    left = sorted(run.attempts, key=lambda a: a.time)
    for watch in watches():
        try:
            taken = [attempt for attempt in left if watch.takes(attempt, watched)]
            findings += watch.judge(taken, watched)
        except Exception as e:  # one judge's mistake must not take the others' findings along
            what = f"attempts of the kind {watch.name} could not be judged: {type(e).__name__}: {printable(str(e))}"
            notes.append(Notification("detector", Level.ERROR, what))
        else:
            own = set(map(id, taken))
            left = [attempt for attempt in left if id(attempt) not in own]
    return tuple(findings), tuple(notes)
