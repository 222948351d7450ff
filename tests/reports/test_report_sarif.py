import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import jsonschema
import pytest
import sarif_om
from hypothesis import HealthCheck, given, settings

from scanner.model import (
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
    Traced,
)
from scanner.reports import sarif
from scanner.reports.plugin import RenderOptions
from scanner.reports.sarif_json import to_json
from tests.reports import runs, samples, samples_egress, strategies

DATA = Path(__file__).parent / "data"
OFFICIAL = jsonschema.Draft4Validator(json.loads((DATA / "sarif-schema-2.1.0.json").read_text("utf-8")))


def log(report: Report) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(sarif.render(report, RenderOptions()))
    return parsed


def run(report: Report) -> dict[str, Any]:
    [one] = log(report)["runs"]
    return dict(one)


def result(report: Report, rule_id: str) -> dict[str, Any]:
    [one] = [r for r in run(report)["results"] if r["ruleId"] == rule_id]
    return dict(one)


def only(*findings):
    return replace(samples.CLEAN, findings=findings)


# ---- the log


def test_the_log_names_its_schema_and_its_tool():
    whole = log(samples.INFECTED)

    assert whole["$schema"].endswith("/sarif-schema-2.1.0.json")
    assert whole["version"] == "2.1.0"
    [one] = whole["runs"]
    assert one["tool"]["driver"]["name"] == "sandscan"
    assert one["tool"]["driver"]["version"] == one["tool"]["driver"]["semanticVersion"] == "0.1.0"
    assert "informationUri" not in one["tool"]["driver"]


def test_the_category_has_neither_tag_nor_digest():
    report = replace(samples.CLEAN, target=replace(samples.CLEAN.target, repository="host:5000/team/app"))

    assert run(report)["automationDetails"]["id"] == "sandscan/host%3A5000/team/app/"
    assert run(samples.CLEAN)["automationDetails"]["id"] == "sandscan/sandbox/agent/"


def test_a_complete_scan_is_a_successful_invocation():
    [invocation] = run(samples.INFECTED)["invocations"]

    assert invocation == {"executionSuccessful": True, "startTimeUtc": "2025-01-02T03:04:05Z"}


def test_an_incomplete_scan_is_a_failed_invocation_that_says_why():
    one = run(samples.INCOMPLETE)
    [invocation] = one["invocations"]

    assert invocation["executionSuccessful"] is False
    notices = invocation["toolExecutionNotifications"]
    assert [n["level"] for n in notices] == ["error", "warning", "note"]
    assert notices[0]["message"]["text"] == "The ELF parser crashed (usr/lib/broken.so, layer 1), 3 times."
    location = notices[1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert location == "sandbox/agent/app/deep.zip!/a.zip!/b.zip"
    stages = one["tool"]["driver"]["notifications"]
    for notice in notices:
        assert stages[notice["descriptor"]["index"]]["id"] == notice["descriptor"]["id"]
    assert [n["descriptor"]["id"] for n in notices] == ["detector", "content", "source"]


# ---- rules


def test_every_loaded_rule_is_listed_even_if_nothing_was_found():
    rules = run(samples.CLEAN)["tool"]["driver"]["rules"]

    assert [rule["id"] for rule in rules] == [rule.id for rule in samples.RULES]
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert 0 < len(rule["fullDescription"]["text"]) <= 1024
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
        assert "level" in rule["defaultConfiguration"]
        assert "security" in rule["properties"]["tags"]
        assert len(rule["properties"]["tags"]) <= 10


def test_severities_are_strings_in_githubs_ranges():
    rules = {rule["id"]: rule for rule in run(samples.CLEAN)["tool"]["driver"]["rules"]}

    shown = {
        rule_id: (rule["defaultConfiguration"]["level"], rule["properties"]["security-severity"])
        for rule_id, rule in rules.items()
    }
    assert shown == {
        "miner/binary": ("error", "9.5"),
        "miner/config": ("error", "8.0"),
        "miner/launch": ("error", "9.5"),
        "miner/wallet": ("note", "2.0"),
        "miner/packed": ("warning", "5.5"),
        "miner/source": ("note", "0.0"),
    }
    assert all(isinstance(rule["properties"]["security-severity"], str) for rule in rules.values())


@pytest.mark.parametrize(
    ("severities", "shown"),
    [
        ((Severity.NOTE,), "0.0"),
        ((Severity.LOW, Severity.NOTE), "2.0"),
        ((Severity.CRITICAL, Severity.LOW), "9.5"),
        ((), "9.5"),
    ],
)
def test_a_rule_shows_the_worst_of_its_results_in_this_run(severities, shown):
    report = only(*(samples.miner(b"opt/%d" % i, severity) for i, severity in enumerate(severities)))

    rule = run(report)["tool"]["driver"]["rules"][0]
    assert rule["id"] == "miner/binary"
    assert rule["properties"]["security-severity"] == shown
    assert [r["properties"]["severity"] for r in run(report)["results"]] == [str(s) for s in severities]


def test_precision_is_the_surest_result():
    report = only(replace(samples.miner(), confidence=Confidence.LOW), samples.miner(b"opt/other"))

    assert run(report)["tool"]["driver"]["rules"][0]["properties"]["precision"] == "high"


def test_attack_techniques_are_a_taxonomy():
    one = run(samples.INFECTED)
    [taxonomy] = one["taxonomies"]
    binary = one["tool"]["driver"]["rules"][0]

    assert taxonomy["name"] == "MITRE ATT&CK"
    assert one["tool"]["driver"]["supportedTaxonomies"] == [{"name": "MITRE ATT&CK", "index": 0}]
    targets = [relation["target"] for relation in binary["relationships"]]
    assert [target["id"] for target in targets] == ["T1496.001", "T1036.005"]
    for target in targets:
        assert taxonomy["taxa"][target["index"]]["id"] == target["id"]
        assert target["toolComponent"] == {"name": "MITRE ATT&CK", "index": 0}
    assert "[MITRE ATT&CK T1496.001](https://attack.mitre.org/techniques/T1496/001/)" in binary["help"]["markdown"]


def test_a_users_rule_without_any_help_is_a_valid_rule():
    report = replace(samples.CLEAN, rules=(Rule("Bare", "", Severity.LOW, "", "", ("not a link", "http://x/ y"), ()),))

    [rule] = run(report)["tool"]["driver"]["rules"]
    assert rule["shortDescription"]["text"] == rule["fullDescription"]["text"] == rule["help"]["text"] == "Bare."
    assert "name" not in rule
    assert "<http" not in rule["help"]["markdown"]


def test_a_finding_of_a_rule_that_is_not_listed_still_has_one():
    one = run(only(replace(samples.miner(), rule_id="gone")))

    [found] = one["results"]
    assert one["tool"]["driver"]["rules"][found["ruleIndex"]]["id"] == "gone"


# ---- results


def test_a_result_says_what_where_and_why():
    found = result(samples.INFECTED, "miner/binary")
    text = found["message"]["text"]

    assert found["level"] == "error"
    assert text.startswith("xmrig 6.21.0 under the name of a kernel thread.\n")
    assert "opt/.cache/kworker, byte 118,272 in layer 2 (2c2c2c2c2c2c) of sandbox/agent" in text
    assert "made by: RUN curl -fsSL" in text
    assert "State: deleted in layer 4 by RUN rm -rf /opt/.cache; the image still carries it." in text
    assert "Why (high confidence):" in text
    assert "- algorithm: rx/0" in text
    [location] = found["locations"]
    assert location["physicalLocation"] == {
        "address": {"absoluteAddress": 118_272, "kind": "data"},
        "artifactLocation": {"uri": "sandbox/agent/opt/.cache/kworker"},
        "region": {"startLine": 1},
    }
    [logical] = location["logicalLocations"]
    assert logical == {"fullyQualifiedName": "sha256:" + "2c" * 32, "kind": "layer", "name": "layer 2"}
    assert found["properties"]["details"] == {"family": "xmrig", "stripped": True, "version": "6.21.0"}


def test_results_come_worst_first_and_every_one_has_a_level():
    mixed = only(samples.source(), samples.wallet(), samples.miner(), samples.packed())

    assert [r["ruleId"] for r in run(mixed)["results"]] == [
        "miner/binary",
        "miner/packed",
        "miner/wallet",
        "miner/source",
    ]
    assert [r["level"] for r in run(mixed)["results"]] == ["error", "warning", "note", "note"]
    assert [r["rank"] for r in run(mixed)["results"]] == [95.0, 55.0, 20.0, 0.0]


def test_other_places_are_linked():
    found = result(samples.INFECTED, "miner/config")

    assert [(one["id"], one["message"]["text"]) for one in found["relatedLocations"]] == [
        (1, "opt/.cache/kworker, byte 118,272"),
        (2, "etc/cron.d/cache, line 1"),
    ]
    assert "[opt/.cache/kworker, byte 118,272](1), [etc/cron.d/cache, line 1](2)" in found["message"]["text"]


def test_a_field_of_the_config_has_a_place_too():
    [location] = result(samples.INFECTED, "miner/launch")["locations"]

    assert location["physicalLocation"]["artifactLocation"]["uri"] == "sandbox/agent/image-config.json"
    assert location["physicalLocation"]["region"] == {"startLine": 1}
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "config.Env[1]"


def test_a_line_is_the_regions_line():
    [location] = result(samples.INFECTED, "miner/wallet")["locations"]

    assert location["physicalLocation"]["region"] == {"startLine": 3}
    assert "address" not in location["physicalLocation"]


def test_fingerprints_are_those_of_the_findings():
    found = result(samples.INFECTED, "miner/binary")["partialFingerprints"]

    expected = samples.miner().fingerprint
    assert found == {"primaryLocationLineHash": f"{expected[:32]}:1", "sandscan/v1": expected}


def test_findings_alike_in_everything_stay_two_alerts():
    hashes = [
        r["partialFingerprints"]["primaryLocationLineHash"]
        for r in run(only(samples.miner(), samples.miner()))["results"]
    ]

    assert [h.partition(":")[2] for h in hashes] == ["1", "2"]


@pytest.mark.parametrize(
    ("path", "inner", "uri"),
    [
        (b"usr/bin/x y", (), "usr/bin/x%20y"),
        (b"a\xff\xc3\xa9", (), "a%FF%C3%A9"),
        (b"c:/x", (), "c%3A/x"),
        (b"a?b#c%41[d]", (), "a%3Fb%23c%2541%5Bd%5D"),
        (b"opt/app.jar", (b"lib/x.so",), "opt/app.jar!/lib/x.so"),
        (b"opt/app.zip", (b"../../etc/passwd",), "opt/app.zip!/_../_../etc/passwd"),
        (b"opt/app.zip", (b"/abs//./x",), "opt/app.zip!/abs/x"),
        (b"..", (), "_.."),
        (b".", (), "_"),
    ],
)
def test_uris_are_relative_and_only_go_down(path, inner, uri):
    found = replace(samples.miner(), locations=(samples.place(path, 2, *inner),))

    [location] = result(only(found), "miner/binary")["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == f"sandbox/agent/{uri}"


def test_a_very_long_path_has_a_bounded_uri_of_its_own():
    uris = set()
    for end in (b"a", b"b"):
        found = replace(samples.miner(), locations=(samples.place(b"\xff" * 5_000 + end, 2),))
        [location] = result(only(found), "miner/binary")["locations"]
        uris.add(location["physicalLocation"]["artifactLocation"]["uri"])
    assert len(uris) == 2
    assert all(len(uri) < 1_100 for uri in uris)


def test_hostile_words_make_no_link_and_no_placeholder():
    found = replace(
        samples.miner(),
        message="see [here](https://evil.example) {0}",
        evidence=(Evidence("miner", "pool", b"x](1)", excerpt="[a](1) {1}"),),
    )

    text = result(only(found), "miner/binary")["message"]["text"]
    links = re.findall(r"(?<!\\)\[((?:[^\[\]\\]|\\.)*)\]\(([^)]*)\)", text)
    assert links == [("x\\] (1)", "1")]
    assert "see [here] (https://evil.example)" in text
    assert not re.search(r"(?<!\{)\{\d+\}(?!\})", text)


# ---- the line of the repository


def test_a_finding_whose_line_is_known_stands_there_and_has_its_place_in_the_image_beside():
    found = result(samples.TRACED, "miner/binary")
    text = found["message"]["text"]

    [location] = found["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "docker/Dockerfile"},
        "region": {"startLine": 12, "endLine": 15},
    }
    assert location["logicalLocations"][0]["name"] == "layer 2"
    [inside] = found["relatedLocations"]
    assert inside["id"] == 1
    assert inside["physicalLocation"]["artifactLocation"]["uri"] == "sandbox/agent/opt/.cache/kworker"
    assert "Where: opt/.cache/kworker, byte 118,272 in layer 2 (2c2c2c2c2c2c) of sandbox/agent" in text
    assert "\nLine: docker/Dockerfile:12-15 (by the image's history)\n" in text
    assert "See also: [opt/.cache/kworker, byte 118,272](1)." in text


def test_a_doubtful_line_is_said_to_be_so():
    text = result(samples.TRACED, "miner/config")["message"]["text"]

    assert (
        "\nLine: docker/Dockerfile:12-15 (doubtful, by the image's history: Lines 12 and 19 have the same words)\n"
        in text
    )


def test_one_line_has_no_end_and_fingerprints_do_not_depend_on_it():
    plain = replace(samples.TRACED, findings=tuple(replace(f, source=None) for f in samples.TRACED.findings))

    assert result(samples.TRACED, "miner/packed")["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}
    assert [r["partialFingerprints"] for r in run(plain)["results"]] == [
        r["partialFingerprints"] for r in run(samples.TRACED)["results"]
    ]


@pytest.mark.parametrize("file", ["/etc/passwd", "../x", "a/../../b", "", ".", "standard input"])
def test_a_line_outside_of_the_repository_is_no_address(file):
    found = replace(samples.miner(), source=SourceLine(file, 3, 3, Traced.CONTENT))

    one = result(only(found), "miner/binary")
    assert one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "sandbox/agent/opt/.cache/kworker"
    assert "Line: " in one["message"]["text"]


def test_files_of_a_repository_are_their_own_places():
    one = run(samples.CHECKED)
    places = [location["physicalLocation"] for found in one["results"] for location in found["locations"]]

    assert places == [
        {"artifactLocation": {"uri": "docker/Dockerfile"}, "region": {"startLine": 7, "endLine": 9}},
        {"artifactLocation": {"uri": "compose.yaml"}, "region": {"startLine": 3, "startColumn": 5}},
    ]
    texts = [found["message"]["text"] for found in one["results"]]
    assert "\nWhere: docker/Dockerfile:7-9\n" in texts[0]
    assert "\nWhere: compose.yaml:3:5\n" in texts[1]
    assert not any(word in text for text in texts for word in ("layer", "image", "the launch"))
    assert "relatedLocations" not in one["results"][0]
    assert one["tool"]["driver"]["rules"][0]["properties"]["tags"][1] == "repository"
    gap = replace(samples.CHECKED, notifications=(Notification("check", Level.WARNING, "too large", b"a/b.sh"),))
    [notice] = run(gap)["invocations"][0]["toolExecutionNotifications"]
    assert notice["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a/b.sh"


def test_what_is_set_aside_is_no_result_and_counted_in_a_note():
    one = run(samples.TRACED)

    assert len(one["results"]) == 5
    [notice] = one["invocations"][0]["toolExecutionNotifications"]
    assert notice["level"] == "note"
    assert notice["message"]["text"] == (
        "3 findings set aside and not listed: 1 known from the baseline sandscan-baseline.json, "
        "2 ignored (.sandscan.yaml), the first until 2027-01-31."
    )
    assert one["invocations"][0]["executionSuccessful"] is True


# ---- launches


def test_a_finding_of_a_launch_stands_at_its_line():
    found = result(samples_egress.LAUNCHED, "egress/engine")

    [location] = found["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "compose.yaml"},
        "region": {"startLine": 9, "startColumn": 9},
    }
    assert [one["message"]["text"] for one in found["relatedLocations"]] == ["compose.yaml:3:3"]
    assert "\nWhere: compose.yaml:9:9 in the launch\n" in found["message"]["text"]


def test_the_way_of_a_finding_is_a_code_flow():
    [flow] = result(samples_egress.BOTH, "egress/engine")["codeFlows"]
    [thread] = flow["threadFlows"]

    steps = [
        (
            one["location"]["message"]["text"],
            one["location"]["physicalLocation"]["artifactLocation"]["uri"],
            one["location"]["physicalLocation"]["region"]["startLine"],
            one["kinds"],
        )
        for one in thread["locations"]
    ]
    assert steps == [
        ("the engine's socket is mounted", "compose.yaml", 9, ["engine-socket"]),
        ("whoever speaks to it starts containers", "compose.yaml", 9, ["engine-api"]),
        ("with what the image holds: curl", "sandbox/agent/usr/bin/curl", 1, ["means"]),
    ]
    assert "codeFlows" not in result(samples_egress.BOTH, "miner/binary")


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("deploy/compose.yaml", "deploy/compose.yaml"),
        ("./compose.yaml", "compose.yaml"),
        ("/srv/app/compose.yaml", "srv/app/compose.yaml"),
        ("../compose.yaml", "_../compose.yaml"),
        ("-", "-"),
        ("a b#c.yaml", "a%20b%23c.yaml"),
        ("caf\udce9.yaml", "caf%E9.yaml"),
    ],
)
def test_a_launch_file_has_the_address_that_the_repository_has_for_it(file, uri):
    found = replace(samples_egress.finding(), locations=(LaunchLocation(file, 1),))

    [location] = result(only(found), "egress/engine")["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_rules_and_remarks_of_a_launch_are_of_its_files():
    remark = Notification("launch", Level.NOTE, "a network of another kind", b"deploy/compose.yaml")
    one = run(
        replace(samples_egress.BOTH, notifications=(remark,), rules=(samples_egress.TAKES_ENGINE, samples.BINARY))
    )

    [notice] = one["invocations"][0]["toolExecutionNotifications"]
    assert notice["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "deploy/compose.yaml"
    tags = {rule["id"]: rule["properties"]["tags"] for rule in one["tool"]["driver"]["rules"]}
    assert tags["egress/engine"][:3] == ["security", "launch-file", "egress"]
    assert tags["miner/binary"][:3] == ["security", "container-image", "miner"]


def test_a_way_without_end_is_cut_and_says_so():
    step = FlowStep(LaunchLocation("compose.yaml", 2), "on", "network")
    found = replace(samples_egress.finding(), flow=(step,) * 5_000)

    [flow] = result(only(found), "egress/engine")["codeFlows"]
    [thread] = flow["threadFlows"]
    assert len(thread["locations"]) == 101
    assert thread["locations"][-1]["location"]["message"]["text"] == "4,900 more steps are in the JSON report"


# ---- GitHub's limits


def test_the_five_thousand_worst_are_kept_and_the_cut_is_said():
    report = samples.crowded(6_000)
    one = run(replace(report, findings=tuple(reversed(report.findings))))

    assert len(one["results"]) == 5_000
    assert sum(r["ruleId"] == "miner/binary" for r in one["results"]) == 600
    [notice] = one["invocations"][0]["toolExecutionNotifications"]
    assert notice["level"] == "warning"
    assert "Only the 5,000 worst of 6,000 findings are listed" in notice["message"]["text"]
    assert one["invocations"][0]["executionSuccessful"] is True


def test_an_upload_never_exceeds_what_github_takes(monkeypatch):
    assert sarif.COMPRESSED == 10_000_000
    monkeypatch.setattr(sarif, "COMPRESSED", 200_000)
    report = only(*(samples.miner(os.urandom(800)) for _ in range(400)))

    text = sarif.render(report, RenderOptions())
    assert len(gzip.compress(text.encode())) <= 200_100
    [one] = json.loads(text)["runs"]
    kept = len(one["results"])
    assert 0 < kept < 400
    assert (
        f"Only the {kept:,} worst of 400" in one["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
    )


def test_notifications_are_bounded_and_counted():
    many = tuple(Notification("content", Level.WARNING, f"no {i}", b"x%d" % i, count=2) for i in range(800))
    notices = run(replace(samples.CLEAN, notifications=many))["invocations"][0]["toolExecutionNotifications"]

    assert len(notices) == 501
    assert "600 more notifications are left out" in notices[-1]["message"]["text"]
    assert notices[-1]["level"] == "warning"


def test_related_locations_are_bounded():
    found = replace(samples.miner(), locations=tuple(samples.place(b"opt/%d" % i, 2) for i in range(3_000)))

    one = result(only(found), "miner/binary")
    assert len(one["relatedLocations"]) == 10
    assert one["message"]["text"].endswith(", and 2,990 more places.")


# ---- valid for everybody


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for child in children for text in strings(child)]


def locations_of(one: dict[str, Any]) -> list[dict[str, Any]]:
    found = [location for r in one["results"] for location in (*r["locations"], *r.get("relatedLocations", ()))]
    flows = [flow for r in one["results"] for flow in r.get("codeFlows", ())]
    found += [step["location"] for flow in flows for thread in flow["threadFlows"] for step in thread["locations"]]
    for invocation in one["invocations"]:
        found += [loc for n in invocation.get("toolExecutionNotifications", ()) for loc in n.get("locations", ())]
    return found


def assert_good(whole: dict[str, Any]) -> None:
    """What the schema says, and what it does not say but GitHub refuses."""
    OFFICIAL.validate(whole)
    [one] = whole["runs"]
    for location in locations_of(one):
        uri = location["physicalLocation"]["artifactLocation"]["uri"]
        split = urlsplit(uri)
        assert uri
        assert re.fullmatch(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-F]{2})+", uri)
        assert (split.scheme, split.netloc, uri[0] == "/") == ("", "", False)
        assert not {b"..", b"."} & set(unquote_to_bytes(uri).split(b"/"))
        assert location["physicalLocation"]["region"]["startLine"] >= 1
    rules = one["tool"]["driver"]["rules"]
    for rule in rules:
        assert re.fullmatch(r"\d+\.\d", rule["properties"]["security-severity"])
        assert len(rule["fullDescription"]["text"]) <= 1024
    for found in one["results"]:
        assert rules[found["ruleIndex"]]["id"] == found["ruleId"]
        assert found["level"] in {"error", "warning", "note"}
        assert found["partialFingerprints"]["primaryLocationLineHash"]
        ids = {location["id"] for location in found.get("relatedLocations", ())}
        assert all(f"]({i})" in found["message"]["text"] for i in ids)
    for text in strings(whole):
        assert all(c == "\n" or c.isprintable() for c in text)


@pytest.mark.parametrize(
    "report",
    [samples.CLEAN, samples.INFECTED, samples.INCOMPLETE, samples.crowded(50), samples.TRACED, samples.CHECKED],
)
def test_the_samples_are_valid(report):
    assert_good(log(report))


@given(strategies.reports | strategies.watched)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=80)
def test_hostile_reports_are_valid(report):
    text = sarif.render(report, RenderOptions())
    assert_good(json.loads(text))
    assert sarif.render(report, RenderOptions()) == text


def multitool() -> str:
    """The SARIF Multitool's own binary: named by SANDSCAN_SARIF_MULTITOOL, or below a node_modules here or on PATH."""
    named = os.environ.get("SANDSCAN_SARIF_MULTITOOL")
    shim = shutil.which("sarif-multitool")
    roots = [Path.cwd() / "node_modules"] + ([Path(shim).resolve().parents[2]] if shim else [])
    binaries = [root / "@microsoft/sarif-multitool-linux/Sarif.Multitool" for root in roots]
    for one in [Path(named)] if named else binaries:
        if os.access(one, os.X_OK):
            return str(one)
    message = "no SARIF multitool: set SANDSCAN_SARIF_MULTITOOL to an executable Sarif.Multitool"
    if os.environ.get("SANDSCAN_TEST_STRICT") == "1":
        pytest.fail(message)
    pytest.skip(message)


def said_of(tmp_path: Path, texts: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """(rule, level) of everything that the multitool says of each log, by its name; its exit code says nothing."""
    for name, text in texts.items():
        (tmp_path / f"{name}.sarif").write_text(text)
    command = [multitool(), "validate", *(f"{name}.sarif" for name in texts), "--rule-kind", "Sarif;Ghas"]
    command += ["--config", str(DATA / "multitool.xml"), "--max-file-size-in-kb", "200000", "-o", "said.out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (tmp_path / "said.out").exists(), done.stdout + done.stderr
    [one] = json.loads((tmp_path / "said.out").read_text("utf-8-sig"))["runs"]
    assert one["invocations"][0]["executionSuccessful"], done.stdout
    assert "skipped" not in done.stdout
    rules = {rule["id"]: rule for rule in one["tool"]["driver"].get("rules", ())}
    default = {rule_id: rule.get("defaultConfiguration", {}).get("level", "warning") for rule_id, rule in rules.items()}
    said: dict[str, set[tuple[str, str]]] = {name: set() for name in texts}
    for r in one.get("results", ()):
        uri = r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        said[Path(uri).stem].add((r["ruleId"], r.get("level", default[r["ruleId"]])))
    return {name: sorted(some) for name, some in said.items()}


def test_the_multitool_looks_with_githubs_rules(tmp_path):
    whole = log(samples.INFECTED)
    location = whole["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    location["artifactLocation"]["uri"] = "docker://image/x"
    del location["region"]["startLine"]

    said = said_of(tmp_path, {"bad": json.dumps(whole)})["bad"]
    assert {rule for rule, level in said if level == "error"} >= {"GH1005", "GH1003"}


# ---- the serialiser


def test_a_level_is_written_though_it_is_the_default():
    assert to_json(sarif_om.Result(message=sarif_om.Message(text="x"), level="warning")) == {
        "message": {"text": "x"},
        "level": "warning",
    }


def test_defaults_and_absent_values_are_left_out_but_not_what_only_equals_them():
    assert to_json(sarif_om.Region(start_line=1, byte_offset=-1)) == {"startLine": 1}
    assert to_json(sarif_om.ReportingConfiguration(enabled=1, level="error")) == {"enabled": 1, "level": "error"}


def test_an_attribute_that_sarif_does_not_have_is_an_error():
    region = sarif_om.Region(start_line=1)
    region.start_lien = 2

    with pytest.raises(TypeError, match="Region has no attribute start_lien"):
        to_json(region)


@pytest.mark.parametrize("value", [b"bytes", {1: "x"}, Path("x"), {"set"}, samples.BINARY])
def test_what_is_no_sarif_is_an_error(value):
    with pytest.raises(TypeError):
        to_json(sarif_om.Message(text=value))


def test_a_process_with_very_many_findings_tells_what_it_did_with_the_worst_of_them():
    acting = next(f for f in runs.WATCHED.findings if sarif._acts(f, runs.WATCHED, sarif._by_process(runs.WATCHED.run)))
    many = tuple(replace(acting, flow=(), fingerprint=f"{n:064x}") for n in range(sarif.STORIES + 50))
    results = json.loads(sarif.render(replace(runs.WATCHED, findings=many), RenderOptions()))["runs"][0]["results"]

    assert len(results) == len(many)
    assert sum("codeFlows" in one for one in results) == sarif.STORIES
