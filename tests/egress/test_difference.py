"""What a change of a launch opens and closes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.egress.difference import difference
from scanner.model import Place
from scanner.model.egress import Answer, Destination, Edge, Egress, Graph, Mode, Path, Permit, SandboxReach, Verdict

EVERYWHERE = Permit(("0.0.0.0/0",))
INTERNET = "destination:internet"


def edge(source: str, target: str, kind: str = "route", line: int = 1) -> Edge:
    return Edge(source, target, kind, Mode.DIRECT, "it is there", Place("compose.yaml", line))


def path(number: int, *steps: Edge) -> Path:
    return Path(f"internet-{number}", Destination.INTERNET, steps, Verdict.OPEN, Mode.DIRECT, (EVERYWHERE,))


def answer(verdict: Verdict, *paths: Path, allows: tuple[Permit, ...] = (), direct: Verdict | None = None) -> Answer:
    return Answer(Destination.INTERNET, verdict, direct or verdict, allows, paths=paths)


def launch(**sandboxes: Answer) -> Egress:
    reaches = tuple(
        SandboxReach(name, "service", Place("compose.yaml", 1), Graph("x", (), ()), (one,))
        for name, one in sandboxes.items()
    )
    return Egress(("compose.yaml",), "compose", "docker", (), reaches)


BRIDGE = path(1, edge("a", "n"), edge("n", INTERNET))
SOCKET = path(2, edge("a", "engine", "engine-socket"), edge("engine", INTERNET))
OPEN = answer(Verdict.OPEN, BRIDGE, allows=(EVERYWHERE,))
CLOSED = answer(Verdict.CLOSED)


def test_the_same_launch_changes_nothing_wherever_its_lines_move():
    moved = path(7, edge("a", "n", line=90), edge("n", INTERNET, line=91))

    assert difference(launch(agent=OPEN), launch(agent=answer(Verdict.OPEN, moved, allows=(EVERYWHERE,)))) == ()


def test_a_path_more_is_told_though_the_verdict_stays():
    [change] = difference(launch(agent=OPEN), launch(agent=replace(OPEN, paths=(BRIDGE, SOCKET))))

    assert (change.sandbox, change.destination, change.opens) == ("agent", Destination.INTERNET, True)
    assert (change.opened, change.closed, change.wider) == ((SOCKET,), (), ())


def test_a_path_less_closes():
    [change] = difference(launch(agent=replace(OPEN, paths=(BRIDGE, SOCKET))), launch(agent=OPEN))

    assert (change.opens, change.opened, change.closed) == (False, (), (SOCKET,))


@pytest.mark.parametrize(
    ("before", "after", "opens"),
    [
        (Verdict.CLOSED, Verdict.LIMITED, True),
        (Verdict.CLOSED, Verdict.UNKNOWN, True),
        (Verdict.LIMITED, Verdict.UNKNOWN, True),
        (Verdict.UNKNOWN, Verdict.OPEN, True),
        (Verdict.OPEN, Verdict.UNKNOWN, False),
        (Verdict.UNKNOWN, Verdict.CLOSED, False),
        (Verdict.LIMITED, Verdict.CLOSED, False),
    ],
)
def test_a_verdict_opens_or_closes(before, after, opens):
    [change] = difference(launch(agent=answer(before)), launch(agent=answer(after)))

    assert change.opens is opens


def test_plain_sockets_count_by_themselves():
    [change] = difference(launch(agent=answer(Verdict.OPEN, direct=Verdict.CLOSED)), launch(agent=answer(Verdict.OPEN)))

    assert change.opens


def test_a_list_that_grows_opens_and_one_that_shrinks_closes():
    one = Permit(("api.example.com",), "tcp", ((443, 443),))
    two = Permit(("evil.example.com",), "tcp", ((443, 443),))
    before, after = answer(Verdict.LIMITED, allows=(one,)), answer(Verdict.LIMITED, allows=(one, two))

    [opens] = difference(launch(agent=before), launch(agent=after))
    assert (opens.opens, opens.wider, opens.narrower) == (True, (two,), ())
    [closes] = difference(launch(agent=after), launch(agent=before))
    assert (closes.opens, closes.wider, closes.narrower) == (False, (), (two,))


def test_answers_where_there_were_none_open():
    one_way = Permit(("192.0.2.0/24",), "udp", reply=False)
    [change] = difference(
        launch(agent=answer(Verdict.LIMITED, allows=(one_way,))),
        launch(agent=answer(Verdict.LIMITED, allows=(replace(one_way, reply=True),))),
    )

    assert change.opens
    assert change.wider == (replace(one_way, reply=True),)


def test_a_fact_that_a_path_no_longer_waits_for_opens():
    from scanner.model import Missing

    doubtful = path(1, edge("a", "n"), replace(edge("n", INTERNET), missing=(Missing("engine.dns", "where"),)))
    before = answer(Verdict.UNKNOWN, doubtful)

    [change] = difference(launch(agent=before), launch(agent=OPEN))
    assert (change.opens, change.opened, change.closed) == (True, (BRIDGE,), (doubtful,))


def test_sandboxes_that_come_and_go():
    changes = difference(launch(old=OPEN, both=CLOSED), launch(both=CLOSED, new=OPEN))

    assert [(one.sandbox, one.opens) for one in changes] == [("new", True), ("old", False)]
    assert changes[0].before is None
    assert changes[1].after is None
    assert difference(launch(), launch(new=CLOSED)) == ()


answers = st.builds(
    answer,
    st.sampled_from(Verdict),
    allows=st.sampled_from(
        ((), (EVERYWHERE,), (Permit(("192.0.2.1/32",), "tcp"),), (Permit(("192.0.2.0/24",), reply=False),))
    ),
    direct=st.sampled_from(Verdict),
)


@given(answers, answers)
def test_nothing_is_lost_between_the_two_directions(one, other):
    there = difference(launch(agent=one), launch(agent=other))
    back = difference(launch(agent=other), launch(agent=one))

    assert len(there) == len(back)
    for change, reverse in zip(there, back, strict=True):
        assert (change.opened, change.closed) == (reverse.closed, reverse.opened)
        assert (change.wider, change.narrower) == (reverse.narrower, reverse.wider)
    assert bool(there) is ((one.verdict, one.direct, one.allows) != (other.verdict, other.direct, other.allows))
