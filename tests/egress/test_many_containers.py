"""Launches of very many containers: each may meet all others, so that what is done grows with their square."""

import pytest

from scanner.egress.assess import MOST, PAIRS, Asked, assess
from scanner.errors import LimitError
from scanner.launch import compose
from scanner.launch.plugin import Input, ReadOptions
from scanner.model import Launch


def flat(count: int) -> Launch:
    text = "services:\n" + "".join(f"  s{n}: {{image: x, network_mode: none}}\n" for n in range(count))
    return compose.FORMAT.read([Input("c.yaml", text)], ReadOptions())


def test_all_of_too_many_are_not_judged_but_one_of_them_is() -> None:
    launch = flat(int(PAIRS**0.5) + 1)
    with pytest.raises(LimitError, match=r"^c.yaml: 501 containers are too many .* \(--sandbox\)$"):
        assess(launch, Asked())
    egress, _, _ = assess(launch, Asked(sandboxes=("s7",)))
    assert [one.name for one in egress.sandboxes] == ["s7"]


def test_of_very_many_not_even_one_is_judged() -> None:
    with pytest.raises(LimitError, match=r"^c.yaml: 2,001 containers; more than 2,000 of one launch are not judged$"):
        assess(flat(MOST + 1), Asked(sandboxes=("s7",)))
