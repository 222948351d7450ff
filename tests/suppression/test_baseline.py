"""The baseline's file: stable bytes, its schema, and that what is no baseline is said with its place."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import ScannerError
from scanner.model import Confidence, Severity
from scanner.suppression import Baseline, Known, made, pruned, read, render, schema
from tests.suppression.reports import finding, report

KEY = finding()
TOOL = finding("tunnel/tool", "usr/bin/fr\x1b[31mpc", severity=Severity.MEDIUM)
MINER = finding("miner/binary", "opt/x", severity=Severity.CRITICAL, confidence=Confidence.HIGH)


def test_a_written_baseline_is_read_again_and_keeps_its_schema_and_its_bytes() -> None:
    done = made(report(KEY, TOOL, MINER), "known.json")
    assert done.left_out == (MINER,)
    text = render(done.baseline)
    assert text == render(made(report(TOOL, MINER, KEY), "known.json").baseline)
    assert read(text.encode(), "known.json") == done.baseline
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    validator.validate(json.loads(text))
    assert (done.baseline.tool, done.baseline.ruleset) == ("sandscan 1", "abc")
    assert {known.repository for known in done.baseline.entries} == {"ghcr.io/acme/agent"}
    assert "\x1b" not in text
    lines = [line for line in text.splitlines() if "fingerprint" in line]
    assert [json.loads(line.rstrip(","))["rule"] for line in lines] == ["ssh/authorized-key", "tunnel/tool"]


def test_an_empty_one_is_one_too() -> None:
    text = render(made(report(MINER), "b").baseline)
    assert read(text.encode(), "b").entries == ()
    jsonschema.validate(json.loads(text), schema())


def test_an_update_keeps_what_is_still_there_and_adds_nothing() -> None:
    before = made(report(KEY, KEY, TOOL), "old.json").baseline
    new = finding("ssh/private-key", "id_rsa")
    milder = finding(severity=Severity.LOW)
    done = pruned(before, report(milder, new, MINER), "new.json")
    assert [(k.fingerprint, k.severity) for k in done.baseline.entries] == [(KEY.fingerprint, Severity.LOW)]
    assert (done.gone, done.new, done.baseline.file) == (2, 1, "new.json")


def test_an_update_accepts_nothing_that_became_worse() -> None:
    before = made(report(finding(severity=Severity.LOW)), "old.json").baseline
    done = pruned(before, report(finding(severity=Severity.CRITICAL)), "new.json")
    assert [k.severity for k in done.baseline.entries] == [Severity.LOW]


def test_targets_share_a_file_and_each_writes_its_own_findings() -> None:
    first = made(report(KEY, TOOL), "b").baseline
    both = made(report(KEY, repository="other"), "b", first)
    assert [k.repository for k in both.baseline.entries] == ["ghcr.io/acme/agent"] * 2 + ["other"]
    assert both.others == 2
    again = made(report(TOOL), "b", both.baseline)
    assert [(k.rule, k.repository) for k in again.baseline.entries] == [
        ("tunnel/tool", "ghcr.io/acme/agent"),
        ("ssh/authorized-key", "other"),
    ]
    cut = pruned(both.baseline, report(repository="other"), "b")
    assert [k.repository for k in cut.baseline.entries] == ["ghcr.io/acme/agent"] * 2
    assert (cut.gone, cut.others) == (1, 2)


ENTRY = {"repository": "r", "fingerprint": "a" * 64, "severity": "high", "rule": "a/b", "path": "x", "message": "m"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "b.json:1:1: no JSON"),
        ("[]", "b.json:1:1: no baseline: an object with version"),
        ('{"findings": []}', "reads version 1"),
        ('{"version": 2,\n"findings": []}', "b.json:1:13: no baseline: this sandscan reads version 1"),
        ('{"version": "1", "findings": []}', "reads version 1"),
        ('{"version": 1}', "'findings' is a list"),
        ('{"version": 1,\n "findings": {}}', "b.json:2:14: no baseline: 'findings' is a list"),
        ('{"version": 1, "findings": [], "ignore": true}', "'ignore' is no key"),
        ('{"version": 1, "findings": [3]}', "an object with fingerprint"),
        (json.dumps({"version": 1, "findings": [{**ENTRY, "fingerprint": "abc"}]}), "64 hexadecimal digits"),
        (json.dumps({"version": 1, "findings": [{**ENTRY, "fingerprint": "A" * 64}]}), "64 hexadecimal digits"),
        (json.dumps({"version": 1, "findings": [{**ENTRY, "severity": "bad"}]}), "a severity is one of critical"),
        (json.dumps({"version": 1, "findings": [{**ENTRY, "rule": 3}]}), "'rule' is a string"),
        (json.dumps({"version": 1, "findings": [{"fingerprint": "a" * 64}]}), "'severity' is missing"),
        ('{"version": 1, "findings": [', "it ends too early"),
    ],
)
def test_what_is_no_baseline_is_said_with_its_place(text: str, says: str) -> None:
    with pytest.raises(ScannerError) as raised:
        read(text.encode(), "b.json")
    assert says in str(raised.value)
    assert str(raised.value).startswith("b.json:1") or str(raised.value).startswith("b.json:2")
    if text.startswith("{") and text.endswith("}"):
        assert not jsonschema.Draft202012Validator(schema()).is_valid(json.loads(text))


@given(st.one_of(st.binary(max_size=200), st.recursive(
    st.sampled_from([1, "1", "a" * 64, "high", None, True]),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(["version", "findings", *ENTRY]), x, max_size=5),
).map(lambda x: json.dumps(x).encode())))  # fmt: skip
def test_no_bytes_are_answered_with_anything_but_a_baseline_or_words(data: bytes) -> None:
    try:
        read(data, "b.json")
    except ScannerError as e:
        assert str(e).startswith("b.json")  # noqa: PT017


@settings(max_examples=50, deadline=None)
@given(st.lists(st.builds(
    Known,
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.sampled_from(Severity),
    st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20),
), max_size=5))  # fmt: skip
def test_whatever_is_written_is_read(entries: list[Known]) -> None:
    text = render(Baseline("b", tuple(entries), "t", "r"))
    back = read(text.encode("utf-8", "backslashreplace"), "b")
    assert sorted((k.fingerprint, k.severity) for k in back.entries) == sorted(
        (k.fingerprint, k.severity) for k in entries
    )
    assert render(back) == text


def test_ten_thousand_findings_are_set_aside_soon(tmp_path: Path) -> None:
    import time
    from dataclasses import replace

    from scanner.suppression import set_aside
    from tests.suppression.reports import TODAY, ignore

    many = report(*(finding("ssh/file-mode", f"opt/deep/folder/{n}", severity=Severity.LOW) for n in range(10_000)))
    entries = [ignore(place=f"c:{n}", rule="ssh/*", path=f"**/x{n}*/**") for n in range(100)]
    begun = time.perf_counter()
    baseline = made(many, "b").baseline
    again = read(render(baseline).encode(), "b")
    done = set_aside(many, entries, replace(again, file="b"), TODAY)
    assert not done.findings
    assert time.perf_counter() - begun < 20
