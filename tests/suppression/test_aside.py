"""Which findings are set aside, which are not whatever is said, and what the report says of it."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model import Aside, Confidence, Finding, Ignore, Report, Rule, Severity
from scanner.suppression import Baseline, Known, made, set_aside
from tests.suppression.reports import TODAY, ConfigLocation, LaunchLocation, finding, ignore, report

KEY = finding()
TOOL = finding("tunnel/tool", "usr/bin/frpc", severity=Severity.MEDIUM, source="tools/frpc")
JAR = finding("ssh/private-key", "opt/app.jar", inner=("keys.zip", "id_rsa"))
MINER = finding("miner/binary", "opt/x", severity=Severity.CRITICAL, confidence=Confidence.HIGH)


def aside(
    given: Report, *ignores: Ignore, baseline: Baseline | None = None, today: date = TODAY
) -> tuple[list[Finding], list[Finding], str]:
    """What counts, what is set aside, and the notes as one text."""
    done = set_aside(given, ignores, baseline, today)
    assert done.complete
    assert sorted([*done.findings, *(s.finding for s in done.suppressed)], key=id) == sorted(given.findings, key=id)
    return list(done.findings), [s.finding for s in done.suppressed], "\n".join(n.message for n in done.notifications)


def of(*findings: Finding) -> Baseline:
    entries = tuple(Known(f.fingerprint, f.severity, f.rule_id, "there", f.message) for f in findings)
    return Baseline("known.json", entries)


@pytest.mark.parametrize(
    ("says", "meets"),
    [
        ({"rule": "ssh/authorized-key"}, [KEY]),
        ({"rule": "ssh/*"}, [KEY, JAR]),
        ({"rule": "**/*key"}, [KEY, JAR]),
        ({"path": "root/**"}, [KEY]),
        ({"path": "/root/.ssh/authorized_keys"}, [KEY]),
        ({"path": "opt/app.jar"}, [JAR]),
        ({"path": "opt/app.jar!/keys.zip"}, [JAR]),
        ({"path": "opt/app.jar!/**/id_rsa"}, [JAR]),
        ({"path": "opt/*"}, [JAR]),
        ({"path": "**/id_rsa"}, [JAR]),
        ({"path": "tools/*"}, [TOOL]),
        ({"path": "usr/bin/frpc", "rule": "ssh/*"}, []),
        ({"fingerprint": KEY.fingerprint}, [KEY]),
        ({"fingerprint": KEY.fingerprint[:16]}, [KEY]),
        ({"fingerprint": KEY.fingerprint, "path": "elsewhere"}, []),
        ({"rule": "ssh/*", "image": "ghcr.io/*/agent"}, [KEY, JAR]),
        ({"rule": "ssh/*", "image": "ghcr.io/acme/agent:1"}, []),
        ({"rule": "ssh/*", "image": "agent"}, []),
    ],
)
def test_an_entry_meets_what_all_that_it_says_holds_for(says: dict[str, str], meets: list[Finding]) -> None:
    counts, gone, _ = aside(report(KEY, TOOL, JAR), ignore(**says))
    assert gone == [f for f in (KEY, JAR, TOOL) if f in meets]
    assert [f for f in counts if f in meets] == []


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (ConfigLocation("Env[3]"), "Env*"),
        (LaunchLocation("./compose.yaml", 3), "compose.yaml"),
        (LaunchLocation("/srv/app/compose.yaml", 3), "srv/**"),
    ],
)
def test_a_path_is_also_a_field_and_a_launch_file(location: ConfigLocation | LaunchLocation, path: str) -> None:
    one = finding("tunnel/launch", location)
    assert aside(report(one), ignore(path=path))[1] == [one]


def test_what_is_set_aside_says_by_whom_why_and_until_when() -> None:
    [by_entry] = set_aside(report(KEY), [ignore(rule="ssh/*")], None, TODAY).suppressed
    assert (by_entry.how, by_entry.reason, by_entry.place, by_entry.expires) == (
        Aside.IGNORED, "known", ".sandscan.yaml:3", "2027-06-30",
    )  # fmt: skip
    [by_baseline] = set_aside(report(KEY), [], of(KEY), TODAY).suppressed
    assert (by_baseline.how, by_baseline.place, by_baseline.expires) == (Aside.BASELINE, "known.json", None)


def test_an_entry_comes_before_the_baseline_and_the_first_that_holds_before_the_others() -> None:
    entries = [
        ignore(date(2027, 2, 28), "a:1", rule="ssh/*"),
        ignore(place="a:2", path="root/**"),
        ignore(place="a:3", rule="ssh/*"),
    ]
    [one] = set_aside(report(KEY), entries, of(KEY), TODAY).suppressed
    assert (one.how, one.place) == (Aside.IGNORED, "a:2")
    assert "nothing here" not in aside(report(KEY), *entries)[2].replace("decides nothing here", "")


def test_nothing_said_changes_nothing() -> None:
    given = report(KEY, MINER)
    assert set_aside(given, [], None, TODAY) is given
    assert set_aside(given, [], of(), TODAY) is given


# ---- never


@pytest.mark.parametrize(
    "one",
    [
        MINER,
        finding("miner/launch", confidence=Confidence.HIGH),
        finding("live/miner-process", confidence=Confidence.HIGH),
        finding("observed/pool", confidence=Confidence.HIGH),
        finding("build/miner", confidence=Confidence.HIGH),
        *(
            finding(rule, confidence=confidence)
            for confidence in Confidence
            for rule in ("observed/reverse-tunnel", "observed/tunnel", "observed/dns-tunnel", "observed/icmp-tunnel", "live/tunnel-process")
        ),
    ],
    ids=lambda one: f"{one.rule_id}-{one.confidence}",
)  # fmt: skip
def test_miners_and_tunnels_at_work_count_whatever_is_said(one: Finding) -> None:
    for entries, baseline, who in (
        ([ignore(fingerprint=one.fingerprint)], None, "the entry at .sandscan.yaml:3"),
        ([], of(one), "the baseline known.json"),
    ):
        counts, gone, notes = aside(report(one), *entries, baseline=baseline)
        assert (counts, gone) == ([one], [])
        assert f"{who} was not followed for {one.rule_id}" in notes
        assert "is never set aside" in notes


@pytest.mark.parametrize(
    "one",
    [
        finding("miner/binary", confidence=Confidence.MEDIUM),
        finding("observed/pool", confidence=Confidence.LOW),
        finding("build/miner", confidence=Confidence.MEDIUM),
        finding("tunnel/reverse-ssh", confidence=Confidence.HIGH),
        finding("observed/connection", confidence=Confidence.HIGH),
    ],
    ids=lambda one: one.rule_id,
)
def test_what_is_no_confirmed_miner_and_no_tunnel_at_work_may_be_set_aside(one: Finding) -> None:
    assert aside(report(one), ignore(path="**/authorized_keys"))[1] == [one]


# ---- time


def test_an_entry_holds_on_its_last_day_and_no_longer() -> None:
    entry = ignore(TODAY, rule="ssh/*")
    assert aside(report(KEY), entry)[:2] == ([], [KEY])
    counts, gone, notes = aside(report(KEY, JAR), entry, today=TODAY + timedelta(1))
    assert (counts, gone) == ([KEY, JAR], [])
    assert (
        "the entry at .sandscan.yaml:3 expired on 2027-03-01: ssh/authorized-key at root/.ssh/authorized_keys, "
        "ssh/private-key at opt/app.jar!/keys.zip!/id_rsa count again"
    ) in notes


def test_an_expired_entry_gates_nothing_that_something_else_sets_aside() -> None:
    expired = ignore(date(2020, 1, 1), "a:1", rule="ssh/*")
    _, gone, notes = aside(report(KEY), expired, baseline=of(KEY))
    assert gone == [KEY]
    assert "a:1 expired on 2020-01-01: it decides nothing here" in notes
    assert "matches nothing here; remove it" in aside(report(TOOL), expired)[2]


def test_an_entry_for_years_is_followed_and_said() -> None:
    _, gone, notes = aside(report(KEY), ignore(date(2036, 1, 1), rule="ssh/*"))
    assert gone == [KEY]
    assert "holds until 2036-01-01, which is more than two years" in notes


def test_an_entry_that_matches_nothing_is_said_unless_it_is_about_another_image() -> None:
    looked_for = Rule("ssh/private-key", "Private key", Severity.HIGH, "It is there.", "Remove it.")
    notes = aside(
        replace(report(KEY), rules=(looked_for,)),
        ignore(place="a:1", rule="ssh/private-key"),
        ignore(place="a:2", rule="x/y", image="other/*"),
        ignore(place="a:3", path="nowhere/**"),
        ignore(place="a:4", rule="egress/dns"),  # no scan without a launch looks for it
    )[2]
    assert notes == "2 entries match nothing here: a:1 (rule ssh/private-key), a:3 (path nowhere/**)"


@pytest.mark.parametrize(
    "image", ["ghcr.io/acme/agent:dev", "ghcr.io/acme/*:1.0", "ghcr.io/acme/agent@sha256:" + "0" * 64]
)
def test_an_image_with_its_tag_matches_nothing_and_that_is_said(image: str) -> None:
    counts, _, notes = aside(report(KEY), ignore(place="a:1", rule="ssh/*", image=image))
    assert counts == [KEY]
    assert notes.startswith("the entry at a:1 names the image ghcr.io/acme/")
    assert "write ghcr.io/acme/agent, for findings are known again under a new tag" in notes


# ---- baseline


def test_more_of_the_same_counts() -> None:
    counts, gone, notes = aside(report(KEY, KEY, KEY), baseline=of(KEY, KEY))
    assert (len(counts), len(gone)) == (1, 2)
    assert "1 finding more than the baseline known.json knows at the same place: ssh/authorized-key" in notes


@pytest.mark.parametrize(
    ("then", "now", "counts"), [("medium", "critical", True), ("critical", "medium", False), ("high", "high", False)]
)
def test_what_has_become_worse_counts_again(then: str, now: str, counts: bool) -> None:
    before, after = finding(severity=Severity(then)), finding(severity=Severity(now))
    kept, gone, notes = aside(report(after), baseline=of(before))
    assert (bool(kept), bool(gone)) == (counts, not counts)
    assert (
        f"became more severe and count again: ssh/authorized-key at root/.ssh/authorized_keys was {then} and is {now}"
        in notes
    ) == counts


def test_the_worst_of_several_is_not_hidden_behind_a_milder_one() -> None:
    medium, critical = finding(severity=Severity.MEDIUM), finding(severity=Severity.CRITICAL)
    assert aside(report(medium, critical), baseline=of(medium))[:2] == ([critical], [medium])
    assert aside(report(medium, critical), baseline=of(critical))[:2] == ([medium], [critical])
    assert aside(report(medium, critical), baseline=of(critical, medium))[:2] == ([], [critical, medium])


@given(
    st.lists(
        st.builds(
            finding,
            st.sampled_from(["ssh/a", "miner/b", "observed/tunnel", "tunnel/c"]),
            st.sampled_from(["a", "b/c"]),
            severity=st.sampled_from(Severity),
            confidence=st.sampled_from(Confidence),
        ),
        max_size=8,
    ),
    st.integers(0, 8),
    st.lists(
        st.sampled_from([ignore(rule="ssh/*"), ignore(date(2027, 1, 1), rule="**"), ignore(path="**")]), max_size=3
    ),
)
def test_no_finding_is_lost_and_no_miner_or_tunnel_leaves(
    findings: list[Finding], known: int, ignores: list[Ignore]
) -> None:
    given = report(*findings)
    done = set_aside(given, ignores, of(*findings[:known]), TODAY)
    assert len(done.findings) + len(done.suppressed) == len(findings)
    for one in done.suppressed:
        assert one.finding.rule_id != "observed/tunnel"
        assert (one.finding.rule_id, one.finding.confidence) != ("miner/b", Confidence.HIGH)
    again = set_aside(given, [], made(given, "b").baseline, TODAY)
    assert {f.rule_id for f in again.findings} <= {"observed/tunnel", "miner/b"}


def test_a_field_that_is_no_text_has_a_place_too() -> None:
    one = finding("ssh/private-key", ConfigLocation("Labels[\ud800]"))
    assert aside(report(one), ignore(path="opt/**"))[:2] == ([one], [])
