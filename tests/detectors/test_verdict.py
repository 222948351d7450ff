"""What the classes of evidence add up to."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.detectors.mining.verdict import CORE, SUPPORT, WORK, program
from scanner.model import Confidence, Severity

KINDS = st.sets(st.sampled_from([*CORE, *SUPPORT]))


@pytest.mark.parametrize("kind", CORE)
def test_one_core_class_alone_is_nothing(kind: str) -> None:
    assert program({kind}) is None


@pytest.mark.parametrize(
    "support", [set(c) for n in range(4) for c in itertools.combinations(("gpu", "packing", "disguise"), n)]
)
def test_support_alone_is_nothing(support: set[str]) -> None:
    assert program(support) is None
    assert program(support | {"family"}) is None
    assert program(support | {"protocol"}) is None


@pytest.mark.parametrize(
    ("kinds", "severity", "confidence"),
    [
        ("protocol algorithm", Severity.HIGH, Confidence.MEDIUM),
        ("protocol algorithm disguise", Severity.HIGH, Confidence.HIGH),
        ("pool options", Severity.HIGH, Confidence.MEDIUM),
        ("pool options packing", Severity.HIGH, Confidence.HIGH),
        ("protocol pool gpu", Severity.HIGH, Confidence.HIGH),
        ("protocol algorithm options", Severity.CRITICAL, Confidence.HIGH),
        ("pool algorithm symbols", Severity.CRITICAL, Confidence.HIGH),
        ("pool wallet", Severity.MEDIUM, Confidence.LOW),
        ("algorithm symbols options", Severity.HIGH, Confidence.MEDIUM),
        ("algorithm symbols", Severity.NOTE, Confidence.LOW),
        ("algorithm symbols messages", Severity.NOTE, Confidence.LOW),
        ("web", Severity.MEDIUM, Confidence.MEDIUM),
        ("web protocol", Severity.MEDIUM, Confidence.MEDIUM),
        ("node", Severity.NOTE, Confidence.LOW),
        ("node symbols algorithm gpu", Severity.NOTE, Confidence.LOW),
    ],
)
def test_classes_add_up(kinds: str, severity: Severity, confidence: Confidence) -> None:
    judged = program(kinds.split())

    assert judged is not None
    assert (judged.severity, judged.confidence) == (severity, confidence)


@given(KINDS, st.sampled_from([*CORE, *SUPPORT]))
def test_more_evidence_never_weakens_a_verdict(kinds: set[str], more: str) -> None:
    before, after = program(kinds), program(kinds | {more})

    if before is not None:
        assert after is not None
        assert (after.severity.rank, after.confidence.rank) >= (before.severity.rank, before.confidence.rank)


@given(KINDS)
def test_support_never_raises_a_severity(kinds: set[str]) -> None:
    kinds = kinds - {"web"}
    core = kinds & set(CORE)
    alone, all_of_it = program(core), program(kinds)

    if alone is not None and alone.severity is not Severity.NOTE:
        assert all_of_it is not None
        assert all_of_it.severity is alone.severity
    elif not kinds & WORK and "options" not in kinds:
        assert all_of_it is None or all_of_it.severity is Severity.NOTE
