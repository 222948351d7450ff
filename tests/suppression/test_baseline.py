"""The baseline's file: stable bytes, its schema, and that what is no baseline is said with its place."""

import json
import time
from contextlib import suppress

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import LimitError, ScannerError
from scanner.model import Confidence, Severity
from scanner.suppression import Baseline, Known, made, pruned, read, render, schema, set_aside
from scanner.suppression.baseline import BYTES, ENTRIES
from tests.suppression.reports import TODAY, finding, ignore, report

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
        ("[]", "b.json: no baseline: an object with version"),
        ('{"findings": []}', "reads version 1"),
        ('{"version": 2,\n"findings": []}', "b.json: no baseline: this sandscan reads version 1"),
        ('{"version": "1", "findings": []}', "reads version 1"),
        ('{"version": true, "findings": []}', "reads version 1"),
        ('{"version": 1}', "'findings' is a list"),
        ('{"version": 1,\n "findings": {}}', "'findings' is a list"),
        ('{"version": 1, "findings": [{}]}', "objects with fingerprint"),
        ("{}", "reads version 1"),
        ('{"version": 1, "findings": "all"}', "'findings' is a list"),
        ('{"version": 1, "findings": [], "ignore": true}', "'ignore' is no key"),
        ('{"version": 1, "findings": [], "tool": 3}', "'tool' is a string"),
        ('{"version": 1, "findings": [3]}', "objects with fingerprint"),
        ('{"version": 1, "findings": [{"version": 1}]}', "objects with fingerprint"),
        (json.dumps(ENTRY), "an object with version"),
        (json.dumps({"version": 1, "findings": [{**ENTRY, "fingerprint": "abc"}]}), "64 hexadecimal digits"),
        (json.dumps({"version": 1, "findings": [{**ENTRY, "fingerprint": "A" * 64}]}), "64 hexadecimal digits"),
        (json.dumps({"version": 1, "findings": [{**ENTRY, "severity": "bad"}]}), "a severity is one of critical"),
        (json.dumps({"version": 1, "findings": [ENTRY, {**ENTRY, "rule": 3}]}), "finding 2: 'rule' is a string"),
        (json.dumps({"version": 1, "findings": [{"fingerprint": "a" * 64}]}), "'severity' is missing"),
        ('{"version": 1, "findings": [', "b.json:1:29: no JSON"),
        ('{"version": 1,\n"findings": [],}', "b.json:2:16: no JSON"),
        ('{"version": 1, "findings": []} {}', "b.json:1:32: no JSON: Extra data"),
        ('{"version": ' + "1" * 5000 + "}", "b.json: no JSON"),
    ],
)
def test_what_is_no_baseline_is_said_with_its_place(text: str, says: str) -> None:
    with pytest.raises(ScannerError, match=r"^b\.json:") as raised:
        read(text.encode(), "b.json")
    assert says in str(raised.value)
    with suppress(ValueError):
        assert not jsonschema.Draft202012Validator(schema()).is_valid(json.loads(text))


def test_marks_and_halves_that_no_text_should_have_are_read() -> None:
    entry = {**ENTRY, "path": '\U0001f511 \\ "x"', "message": "half \ud83d"}
    text = f'\ufeff{{"version": 1, "findings": [\n{json.dumps(entry)}\n]}}\n'
    [known] = read(text.encode(), "b").entries
    assert (known.path, known.message) == (entry["path"], "half \ufffd")


def test_a_key_that_stands_twice_says_nothing() -> None:
    text = json.dumps({"version": 1, "findings": [ENTRY]})[:-3] + ', "rule": "b/c"}]}'
    with pytest.raises(ScannerError, match="b: no baseline: finding 1: 'rule' stands there twice"):
        read(text.encode(), "b")


LONG = 4 << 20
BEGUN = '{"version": 1, "findings": ['
LINE = json.dumps(ENTRY)


@pytest.mark.parametrize(
    "text",
    [
        "[" * LONG,
        '{"version":' * (LONG // 11),
        BEGUN + "{}," * (LONG // 3),
        BEGUN + "[]," * (LONG // 3),
        BEGUN + '{"rule":' * (LONG // 8),
        BEGUN + '{"rule": [' + "0," * (LONG // 2),
        BEGUN + LINE[:-1] + ', "rule": "x"' * (LONG // 13),
        BEGUN + '{"rule": "' + "\\n" * (LONG // 2),
        BEGUN + "/**/" * (LONG // 4),
        BEGUN + "/*" + "*" * LONG,
        BEGUN + "//\n" * (LONG // 3),
        BEGUN + "\n" * LONG,
        BEGUN + f"{LINE},\n" * (LONG // len(LINE)),
    ],
    ids=range(13),
)
def test_no_file_costs_more_than_its_length(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(ScannerError):
        read(text.encode(), "b.json")
    assert time.process_time() - begun < 4


def test_thirty_thousand_findings_are_far_from_any_bound() -> None:
    message = "a message as long as they are: " * 8
    entries = tuple(
        Known(f"{n:064x}", Severity.LOW, "ssh/file-mode", f"usr/share/{n:05}" * 3, message, "r") for n in range(30_000)
    )
    data = render(Baseline("b", entries)).encode()
    assert len(data) * 4 < BYTES
    assert len(entries) * 4 < ENTRIES
    begun = time.process_time()
    same = read(data, "b").entries == entries
    assert same
    assert time.process_time() - begun < 6


def test_nothing_is_written_that_could_not_be_read() -> None:
    one = Known("0" * 64, Severity.LOW, "a/b", "x", "m" * 100_000, "r")
    with pytest.raises(LimitError, match="b would hold more than 250,000 findings; it was not written"):
        render(Baseline("b", (one,) * (ENTRIES + 1)))
    with pytest.raises(LimitError, match="b would be larger than 64 MiB; it was not written"):
        render(Baseline("b", (one,) * (BYTES // 100_000)))


def test_one_thing_found_thousands_of_times_is_set_aside_as_often_as_it_is_known() -> None:
    many = report(*[KEY] * 20_000)
    known = made(report(*[KEY] * 19_999), "b").baseline
    begun = time.process_time()
    done = set_aside(many, [], known, TODAY)
    assert (len(done.findings), len(done.suppressed)) == (1, 19_999)
    update = pruned(known, report(*[KEY] * 10_000), "b")
    assert (len(update.baseline.entries), update.gone) == (10_000, 9_999)
    assert time.process_time() - begun < 3


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


def test_thousands_of_findings_are_set_aside_soon() -> None:
    many = report(*(finding("ssh/file-mode", f"opt/deep/folder/{n}", severity=Severity.LOW) for n in range(4_000)))
    entries = [ignore(place=f"c:{n}", rule="ssh/*", path=f"**/x{n}*/**") for n in range(100)]
    begun = time.process_time()
    again = read(render(made(many, "b").baseline).encode(), "b")
    done = set_aside(many, entries, again, TODAY)
    assert not done.findings
    assert time.process_time() - begun < 8
