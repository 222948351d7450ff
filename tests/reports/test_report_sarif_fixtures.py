"""SARIF of all that the fixtures hold, as the official schema and the multitool with GitHub's rules see it; and GitHub's
limits on a scan that found too much."""

import gzip
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import scanner
from fixtures import build, image, keys, rules, tunnel_networks, tunnel_relays
from fixtures.tarball import Member
from scanner.cli.main import command
from scanner.model import (
    Aside,
    Confidence,
    Evidence,
    FlowStep,
    LaunchLocation,
    Level,
    Notification,
    Report,
    Rule,
    Severity,
    SourceLine,
    Suppressed,
    Traced,
    fingerprint,
)
from scanner.reports import sarif
from scanner.reports.json import load, render
from scanner.reports.plugin import RenderOptions
from tests.reports import runs, samples, samples_egress
from tests.reports.test_report_sarif import OFFICIAL, assert_good, said_of

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "fixtures" / "rome-launch" / "compose.yaml"


def tunnels() -> dict[str, bytes]:
    """Every example of a tunnel rule: what it must hit, and what it must pass over."""
    examples = {**rules.examples(), **tunnel_networks.examples(), **tunnel_relays.examples()}
    return {
        f"{kind}/{name}/{i}": data
        for name, one in examples.items()
        for kind, some in (("hits", one.hits), ("misses", one.misses))
        for i, data in enumerate(some)
    }


def secrets() -> dict[str, bytes]:
    return {
        "root/.ssh/id_ed25519": keys.openssh("one").encode(),
        "root/.ssh/authorized_keys": keys.public_line("two", "ops@example").encode() + b"\n",
        "home/agent/key.pem": keys.pkcs8("three").encode(),
        "etc/ssh/ssh_host_rsa_key": keys.openssh("four").encode(),
    }


def image_of(name: str, files: Mapping[str, bytes]) -> bytes:
    members = tuple(Member(path, data, 0o755) for path, data in sorted(files.items()))
    step = image.Step(f"COPY {name} / # buildkit", members, when=1_700_000_000)
    return image.archive([step], {"Entrypoint": ["/binaries/kworker"]}, f"fixture/{name}:1")


IMAGES = ("corpus", "tunnels", "keys")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """A report of everything: images, the replay with and without its launch, a launch alone, a run, files of a repository."""
    folder = tmp_path_factory.mktemp("images")
    made: dict[str, Report] = {}
    for name, files in zip(IMAGES, (build.corpus(), tunnels(), secrets()), strict=True):
        (folder / f"{name}.tar").write_bytes(image_of(name, files))
        made[name] = scanner.scan(f"archive:{folder / name}.tar", cache=False)
    replay = ("scan", f"archive:{ROOT / 'fixtures' / build.REPLAY}", "--no-cache")
    for name, arguments in (
        ("replay", replay),
        ("replay-launched", (*replay, "--launch", str(LAUNCH), "--sandbox", "sandbox")),
        ("launch", ("egress", str(LAUNCH))),
    ):
        written = folder / f"{name}.json"
        done = CliRunner().invoke(command, [*arguments, "-o", f"json={written}", "--quiet"])
        assert written.exists(), done.output
        made[name] = load(written.read_text("utf-8"))
    made |= {"run": runs.WATCHED, "joined": runs.JOINED, "checked": samples.CHECKED, "traced": samples.TRACED}
    made |= {"both": samples_egress.BOTH, "incomplete": samples.INCOMPLETE, "clean": samples.CLEAN}
    return made


def log(report: Report) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(sarif.render(report, RenderOptions()))
    return parsed


def test_the_fixtures_hold_what_they_are_for(reports):
    found = {name: Counter(f.rule_id.partition("/")[0] for f in report.findings) for name, report in reports.items()}

    assert found["corpus"]["miner"] > 5
    assert found["tunnels"]["tunnel"] > 5
    assert found["keys"]["ssh"] > 0
    assert found["replay-launched"]["egress"] > 0
    assert found["launch"]["egress"] > 0


def test_every_fixtures_sarif_is_valid(reports):
    for report in reports.values():
        assert_good(log(report))


def test_the_multitool_finds_no_error_in_any(reports, tmp_path):
    said = said_of(tmp_path, {name: sarif.render(report, RenderOptions()) for name, report in reports.items()})

    # SARIF2005 wants an informationUri: the project has no public address yet.
    assert said == {name: [("SARIF2005", "warning")] for name in reports}


def test_a_report_that_was_written_and_read_again_has_the_same_sarif(reports):
    for name, report in reports.items():
        again = load(render(report, RenderOptions()))
        assert render(again, RenderOptions()) == render(report, RenderOptions())
        # the facts of what was said stand in the order in which they came, which JSON sorts
        assert log(again)["runs"][0]["results"] == log(report)["runs"][0]["results"] or report.run is not None, name


# ---- a scan that found too much

WORDS = "stratum+tcp://pool.example:3333 " * 3


def scan_like(count: int, *, rules: int = 80, steps: int = 0, message: str = "seen") -> Report:
    """As a scan of a large image: every rule, severity and confidence, in the order in which they were found."""
    known = tuple(
        Rule(f"tunnel/rule-{i}", f"Rule {i}", list(Severity)[i % 5], f"What {i} is.", f"What to do of {i}.")
        for i in range(rules)
    )
    kinds = ("protocol", "algorithm", "options", "pool", "wallet")
    found = []
    for i in range(count):
        rule = known[i % rules]
        path = b"opt/app/%d/lib%d.so" % (i % 700, i)
        sample = samples.miner(path, rule.severity)
        flow = tuple(
            FlowStep(LaunchLocation("compose.yaml", j % 90 + 1), f"step {j} of {i}", "route") for j in range(steps)
        )
        found.append(
            replace(
                sample,
                rule_id=rule.id,
                confidence=list(Confidence)[i % 3],
                message=f"{message} {i}",
                locations=(samples.place(path, 2, offset=i), samples.place(b"usr/bin/%d" % i, 3)),
                evidence=tuple(Evidence("d", kind, path, offset=i, excerpt=f"{WORDS}{i}") for kind in kinds),
                fingerprint=fingerprint(rule.id, "r", path),
                flow=flow,
                source=SourceLine("docker/Dockerfile", i % 300 + 1, i % 300 + 2, Traced.HISTORY, certain=i % 2 == 0),
            )
        )
    aside = tuple(Suppressed(one, Aside.BASELINE, "known", "baseline.json") for one in found[:10])
    notes = tuple(Notification("content", Level.WARNING, f"no {i}", b"x%d" % i) for i in range(3_000))
    return replace(samples.CLEAN, findings=tuple(found), rules=known, notifications=notes, suppressed=aside)


def assert_within_limits(text: str) -> dict[str, Any]:
    """What GitHub takes and keeps (docs.github.com, "SARIF support for code scanning")."""
    assert len(gzip.compress(text.encode())) <= 10_000_000
    whole: dict[str, Any] = json.loads(text)
    [run] = whole["runs"]
    driver = run["tool"]["driver"]
    assert len(run["results"]) <= 5_000
    assert len(driver["rules"]) <= 25_000
    assert all(len(rule["properties"]["tags"]) <= 10 for rule in driver["rules"])
    for one in run["results"]:
        assert len(one["locations"]) == 1
        assert len(one.get("relatedLocations", ())) <= 100
        for flow in one.get("codeFlows", ()):
            assert sum(len(thread["locations"]) for thread in flow["threadFlows"]) <= 1_000
    few = some(whole)["runs"][0]
    few["tool"] = {"driver": {**driver, "rules": driver["rules"][:50]}}
    OFFICIAL.validate({**whole, "runs": [few]})
    return dict(run)


def some(whole: dict[str, Any]) -> dict[str, Any]:
    """The log with the first of its results and some of the others: the validators take minutes for all of them, and the
    multitool's GH1004 knows a limit of 1,000 results that GitHub has not had since: it keeps 5,000."""
    [run] = whole["runs"]
    return {**whole, "runs": [{**run, "results": [*run["results"][:5], *run["results"][5::1_000]]}]}


def cuts(run: dict[str, Any]) -> list[str]:
    notices = run["invocations"][0]["toolExecutionNotifications"]
    return [one["message"]["text"] for one in notices if one["descriptor"]["id"] == "report"]


def test_thirty_thousand_findings_stay_within_every_limit_the_worst_first(tmp_path):
    report = scan_like(30_000)
    text = sarif.render(report, RenderOptions())
    run = assert_within_limits(text)

    ranks = [one["rank"] for one in run["results"]]
    assert ranks == sorted(ranks, reverse=True)
    assert set(ranks) == {95.0}  # of 30,000, 6,000 are critical
    surest = [one["properties"]["confidence"] for one in run["results"]]
    assert surest == sorted(surest, key=["high", "medium", "low"].index)
    assert cuts(run) == [
        "Only the 5,000 worst of 30,000 findings are listed, because GitHub takes no more; the JSON report has them all.",
        "10 findings set aside and not listed: 10 known from the baseline baseline.json.",
    ]
    notices = [one["message"]["text"] for one in run["invocations"][0]["toolExecutionNotifications"]]
    assert notices[-1].startswith("2,500 more notifications are left out here")
    few = json.dumps(some(json.loads(text)))
    assert said_of(tmp_path, {"large": few}) == {"large": [("SARIF2005", "warning")]}


def test_ways_without_end_rules_without_number_and_words_without_measure_are_cut_and_said():
    long = assert_within_limits(sarif.render(scan_like(220, steps=2_000), RenderOptions()))
    assert len(long["results"]) == 220
    told = [len(one["codeFlows"][0]["threadFlows"][0]["locations"]) for one in long["results"] if "codeFlows" in one]
    assert told == [101] * 200
    assert cuts(long)[0] == "The ways of 20 findings, the least severe, are left out; the JSON report has them all."

    many = scan_like(5_200, rules=26_000)
    ruled = assert_within_limits(sarif.render(many, RenderOptions()))
    rules = ruled["tool"]["driver"]["rules"]
    assert {one["ruleId"] for one in ruled["results"]} == {rule["id"] for rule in rules}
    assert len(rules) == 5_000
    assert cuts(ruled)[1] == "21,000 rules that no result names are left out; the JSON report has them all."

    loud = assert_within_limits(sarif.render(scan_like(100, message="x" * 200_000), RenderOptions()))
    assert max(len(one["message"]["text"]) for one in loud["results"]) < 5_000


def test_rules_that_no_result_names_go_before_any_result(monkeypatch):
    whole = sarif.render(replace(scan_like(50, rules=2_000), notifications=()), RenderOptions())
    monkeypatch.setattr(sarif, "COMPRESSED", len(gzip.compress(whole.encode())) // 2)
    run = json.loads(sarif.render(replace(scan_like(50, rules=2_000), notifications=()), RenderOptions()))["runs"][0]

    assert len(run["results"]) == len(run["tool"]["driver"]["rules"]) == 50
    assert cuts(run)[0] == "1,950 rules that no result names are left out; the JSON report has them all."
