import base64
import gc
import json
import time
from copy import deepcopy
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.errors import ReportError
from scanner.model import Aside, Confidence, Level, Report, Severity, State, Traced
from scanner.reports.json import load, render, schema
from scanner.reports.jsontext import dumps
from scanner.reports.plugin import RenderOptions
from tests.reports import runs, samples, samples_egress, strategies

PLAIN = RenderOptions()
VALIDATOR = jsonschema.Draft202012Validator(schema())


def document(report: Report) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(render(report, PLAIN))
    return parsed


def test_the_fields_that_others_rely_on_are_there():
    written = document(samples.INCOMPLETE)

    assert list(written)[:4] == ["schema_version", "tool", "started", "target"]
    assert written["complete"] is False
    assert written["statistics"] == {"bytes": 182_000_000, "files": 4_312, "seconds": 1.234}
    finding = written["findings"][0]
    assert (finding["rule_id"], finding["severity"], finding["confidence"]) == ("miner/binary", "critical", "high")
    assert (finding["state"], finding["hidden_by"]) == ("deleted", 4)
    assert finding["details"] == {"family": "xmrig", "stripped": True, "version": "6.21.0"}
    location = finding["locations"][0]
    assert location["path"] == "opt/.cache/kworker"
    assert location["layer"]["index"] == 2
    assert location["layer"]["diff_id"] == "sha256:" + "2c" * 32
    assert location["layer"]["created_by"].startswith("RUN /bin/sh -c curl")
    assert (location["line"], location["offset"]) == (None, 118_272)
    assert finding["evidence"][4] == {
        "detector": "miner",
        "kind": "algorithm",
        "path": "opt/.cache/kworker",
        "file": "opt/.cache/kworker",
        "inner": [],
        "line": None,
        "offset": 204_800,
        "excerpt": "rx/0",
        "facts": {"algorithm": "rx/0"},
        "context": None,
    }
    assert written["findings"][2]["locations"] == [{"config": "Env[1]"}]
    assert [rule["id"] for rule in written["rules"]] == [rule.id for rule in samples.RULES]
    assert written["notifications"][0]["path"] == "app/deep.zip!/a.zip!/b.zip"
    assert written["notifications"][2]["path"] is None


def test_what_made_a_finding_and_what_lies_around_its_evidence_is_there():
    first, _, third, *_, last = document(samples.TRACED)["findings"]

    assert first["sha256"] == "5e" * 32
    assert first["source"] == {
        "file": "docker/Dockerfile",
        "line": 12,
        "end_line": 15,
        "how": "history",
        "certain": True,
        "why": "The history's step 3 has the words of this instruction.",
    }
    assert (third["sha256"], third["source"]) == (None, None)
    context = last["evidence"][0]["context"]
    assert context["start"] == 14
    assert base64.b64decode(context["data"]).startswith(b"Thank you:\n4AAA")


def test_what_is_set_aside_is_there_whole_and_no_finding():
    written = document(samples.TRACED)

    assert len(written["findings"]) == 5
    assert [(one["how"], one["place"], one["expires"]) for one in written["suppressed"]] == [
        ("baseline", "sandscan-baseline.json", None),
        ("ignored", ".sandscan.yaml:4", "2027-06-30"),
        ("ignored", ".sandscan.yaml:9", "2027-01-31"),
    ]
    assert written["suppressed"][1]["reason"] == "An address of our own tests"
    assert written["suppressed"][1]["finding"]["locations"][0]["path"] == "app/tests/wallet.txt"


def test_a_name_that_is_not_utf8_survives():
    text = render(samples.INFECTED, PLAIN)

    assert text.isascii()
    assert '"path": "app/vendor.tar.gz!/w\\udce9heels/fast.whl!/fast/_core.so"' in text
    [packed] = load(text).findings_of("miner/packed")
    assert packed.locations[0].inner[0] == b"w\xe9heels/fast.whl"


@given(strategies.reports | strategies.launched | strategies.watched)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=100)
def test_load_is_the_inverse_of_render_and_both_agree_with_the_schema(report):
    text = render(report, PLAIN)
    again = load(text)

    assert render(again, PLAIN) == text
    assert text.isascii()
    assert text.endswith("}\n")
    VALIDATOR.validate(json.loads(text))


@pytest.mark.parametrize(
    "report",
    [
        samples.CLEAN,
        samples.INFECTED,
        samples.INCOMPLETE,
        samples.TRACED,
        samples_egress.LAUNCHED,
        samples_egress.BOTH,
        runs.WATCHED,
        runs.QUIET,
        runs.NAMELESS,
        runs.JOINED,
        runs.spiteful("\ud800</script>\x1b[2J", 100),
    ],
)
def test_a_report_comes_back_equal(report):
    assert load(render(report, PLAIN)) == report


def test_equal_reports_have_equal_bytes_in_whatever_order_their_facts_grew():
    finding = samples.miner()
    turned = replace(finding, details=dict(reversed(finding.details.items())))

    assert turned == finding
    assert list(turned.details) != list(finding.details)
    one, other = (replace(samples.CLEAN, findings=(f,)) for f in (finding, turned))
    assert render(one, PLAIN) == render(other, PLAIN)


def test_a_number_that_json_cannot_say_is_null():
    report = replace(samples.CLEAN, statistics={"seconds": float("nan")})

    assert document(report)["statistics"] == {"seconds": None}


def test_facts_that_nest_without_end_are_cut_not_lost():
    deep: Any = "core"
    for _ in range(5_000):
        deep = [deep]
    report = replace(samples.CLEAN, findings=(replace(samples.miner(), details={"deep": deep, "family": "xmrig"}),))

    text = render(report, PLAIN)
    assert "nested too deeply" in text
    assert load(text).findings[0].details["family"] == "xmrig"
    assert render(load(text), PLAIN) == text


@given(strategies.jsons)
def test_the_writer_writes_what_the_standard_library_would(value):
    assert dumps(value) == json.dumps(value, indent=2) + "\n"


def test_the_writer_refuses_what_is_no_json():
    with pytest.raises(TypeError, match="bytes"):
        dumps({"path": b"x"})  # type: ignore[dict-item]


# ---- a launch


def test_the_fields_of_a_launch_that_others_rely_on_are_there():
    written = document(samples_egress.LAUNCHED)

    assert written["launch"] == {
        "format": "compose",
        "files": ["compose.yaml", "compose.override.yaml"],
        "runner": "docker",
        "assumptions": [{"key": "engine.version", "value": "20.10.24"}],
    }
    agent, worker, builder = written["sandboxes"]
    assert [(one["name"], one["kind"]) for one in (agent, worker, builder)] == [
        ("agent", "service"),
        ("worker", "service"),
        ("builder", "service"),
    ]
    assert agent["location"] == {"file": "compose.yaml", "line": 3, "column": 3}
    verdicts = {one["destination"]: one for one in agent["verdicts"]}
    assert list(verdicts) == ["internet", "private", "metadata", "host", "engine", "dns", "siblings"]
    assert (verdicts["metadata"]["verdict"], verdicts["metadata"]["direct"]) == ("open", "closed")
    assert verdicts["dns"]["missing"] == [
        {
            "key": "engine.dns",
            "why": "where the engine's resolver forwards names",
            "location": {"default": "docker"},
        }
    ]
    assert verdicts["private"]["allows"] == [
        {"hosts": ["10.0.0.0/8"], "protocol": "udp", "ports": [[1, 65535]], "excepts": ["10.1.0.0/16"], "reply": False}
    ]
    [path] = verdicts["engine"]["paths"]
    assert path["steps"][0] == {
        "edge": "engine-socket",
        "from": "container:agent",
        "to": "socket:/var/run/docker.sock",
        "mode": "pivot",
        "location": {"file": "compose.yaml", "line": 9, "column": 9},
        "needs": ["root, or the group docker"],
        "why": "the engine's socket is mounted; read-only does not stop its use",
        "permits": None,
        "missing": [],
        "actions": ["unmount:agent:0"],
    }
    assert path["tool"] == {"effort": 0, "name": "curl", "place": "usr/bin/curl", "words": "connects as it is: curl"}
    assert [one["title"] for one in agent["cuts"][0]["actions"]] == [
        "internal: true on network default",
        "drop the mount of /var/run/docker.sock",
        "dns: [127.0.0.1] for agent",
    ]
    assert worker["cuts"][0]["possible"] is False
    assert [one["name"] for one in agent["questions"]] == ["could-tunnel", "could-mine"]
    assert written["findings"][0]["flow"][0] == {
        "location": {"file": "compose.yaml", "line": 9, "column": 9},
        "message": "the engine's socket is mounted",
        "kind": "engine-socket",
    }


def test_without_a_launch_there_are_no_sandboxes():
    written = document(samples.INFECTED)

    assert (written["launch"], written["sandboxes"]) == (None, [])


def older(report: Report, version: str) -> dict[str, Any]:
    """The report as a sandscan of before would have written it."""
    whole = document(report)
    whole["schema_version"] = version
    del whole["suppressed"]
    for finding in whole["findings"]:
        del finding["sha256"], finding["source"]
        for evidence in finding["evidence"]:
            del evidence["context"]
    if version == "1.3":
        return whole
    del whole["run"]
    for sandbox in whole["sandboxes"]:
        for verdict in sandbox["verdicts"]:
            for one in (verdict, *verdict["paths"]):
                del one["tried"]
    if version == "1.1":
        del whole["launch"], whole["sandboxes"]
        for finding in whole["findings"]:
            del finding["flow"]
    return whole


@pytest.mark.parametrize(
    ("report", "version"),
    [
        (samples.INCOMPLETE, "1.1"),
        (samples.INCOMPLETE, "1.2"),
        (samples_egress.LAUNCHED, "1.2"),
        (samples_egress.BOTH, "1.2"),
        (samples.INFECTED, "1.3"),
        (samples_egress.BOTH, "1.3"),
        (runs.JOINED, "1.3"),
    ],
)
def test_a_report_of_a_version_before_is_still_read(report, version):
    assert load(json.dumps(older(report, version))) == report


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("launch", "1.1"),
        ("sandboxes", "1.1"),
        ("run", "1.1"),
        ("run", "1.2"),
        ("suppressed", "1.2"),
        ("suppressed", "1.3"),
    ],
)
def test_a_version_before_did_not_know_what_came_later(name, version):
    before = older(samples.INCOMPLETE, version)
    before[name] = None

    with pytest.raises(ReportError, match=f"{name} is not known to version {version}"):
        load(json.dumps(before))


# ---- a run


def test_the_fields_of_a_run_that_others_rely_on_are_there():
    written = document(runs.WATCHED)["run"]

    assert (written["how"], written["subject"], written["episode"]) == ("observe", "rome-1", "ep-42")
    assert (written["started"], written["ended"], written["exit_code"]) == (runs.START, runs.START + 60, None)
    assert written["changes"][1]["path"] == "usr/lib/libprocess.so.0"
    assert written["changes"][1]["before"]["modified"] == written["changes"][1]["after"]["modified"]
    assert written["changes"][1]["after"]["changed"] == runs.START + 2.5
    assert written["processes"][2]["program"] == "deleted"
    login = written["attempts"][1]
    assert (login["target"], login["name"], login["service"]) == (
        {"address": "198.18.0.7", "port": 3333},
        "pool.example",
        "stratum",
    )
    assert base64.b64decode(login["first"]) == runs.LOGIN.first
    assert base64.b64decode(written["output"]) == runs.ROME.output
    assert written["dropped"] == {"output bytes": 1_048_576}
    assert document(runs.WATCHED)["findings"][0]["locations"] == [
        {
            "container": "rome-1",
            "pid": 4_711,
            "command": ["ssh", "-N", "-R", "2222:localhost:22", "ops@203.0.113.9"],
            "executable": "usr/bin/ssh",
        }
    ]


def test_a_report_says_what_was_tried_of_each_destination():
    agent, other, _ = document(runs.JOINED)["sandboxes"]
    verdicts = {one["destination"]: one for one in agent["verdicts"]}

    assert [one["outcome"] for one in verdicts["internet"]["tried"]] == ["possible", "possible"]
    assert verdicts["private"]["tried"] == []
    assert [one["tried"] for one in verdicts["internet"]["paths"]] == [True]
    assert {one["tried"] for one in other["verdicts"]} == {None}


# ---- what load refuses


def change(*steps: str | int, to: Any, of: Report = samples.INCOMPLETE) -> str:
    """The JSON of a good report with one value replaced; `to` is a function of the old value or the new value."""
    whole = document(of)
    spot: Any = whole
    for step in steps[:-1]:
        spot = spot[step]
    spot[steps[-1]] = to(deepcopy(spot[steps[-1]])) if callable(to) else to
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "this is no JSON"),
        ("<html>", "this is no JSON"),
        ("\ufeff{}", "this is no JSON"),
        ('{"schema_version": NaN}', "NaN is no number"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[]", "has no schema_version"),
        ("null", "has no schema_version"),
        ('{"$schema": "x", "version": "2.1.0", "runs": []}', "has no schema_version"),
        (change("schema_version", to="2.0"), "schema_version '2.0'; this sandscan reads 1.4"),
        (change("schema_version", to=1.0), "schema_version 1.0; this sandscan reads 1.4"),
        (change("complete", to=True), "complete is True, but its notifications say otherwise"),
        (change("complete", to="no"), "complete is not true or false"),
        (change("findings", to={}), "findings is not an array"),
        (change("findings", 0, to=[]), r"findings\[0\] is not an object"),
        (change("findings", 0, "severity", to="awful"), r"findings\[0\].severity is not one of critical, high"),
        (change("findings", 0, "severity", to=["high"]), r"findings\[0\].severity is not one of critical, high"),
        (change("findings", 0, "locations", to=[]), r"findings\[0\].locations is not an array of 1 or more"),
        (change("findings", 0, "locations", 0, "line", to=0), r"locations\[0\].line is not a whole number from 1"),
        (change("findings", 0, "locations", 0, "line", to=True), r"line is not a whole number from 1"),
        (change("findings", 0, "locations", 0, "offset", to=1.5), r"offset is not a whole number from 0"),
        (change("findings", 0, "locations", 0, "path", to="else"), r"locations\[0\].path is not file and inner joined"),
        (
            change("findings", 0, "locations", 0, "file", to="\ud800"),
            r"file is not a path: it holds half of a surrogate",
        ),
        (change("findings", 0, "evidence", 2, to=lambda e: {**e, "sure": 1}), r"evidence\[2\] has fields that are not"),
        (
            change("findings", 0, to=lambda f: {k: v for k, v in f.items() if k != "state"}),
            r"findings\[0\] lacks state",
        ),
        (change("findings", 0, "details", to=[]), r"findings\[0\].details is not an object"),
        (change("notifications", 2, "inner", to=["x"]), r"notifications\[2\].path is not file and inner"),
        (change("notifications", 0, "path", to=None), r"notifications\[0\].path is not file and inner"),
        (change("image", "config", "labels", "a", to=1), r"image.config.labels.a is not a string"),
        (change("target", "manifest", to=7), r"target.manifest is not a string"),
        (change("tool", to="sandscan"), r"tool is not an object"),
        (change("statistics", "bytes", to="much"), r"statistics.bytes is not a number from 0"),
        (change("statistics", "bytes", to=10**400), r"statistics.bytes is not a number from 0"),
        (change("statistics", "seconds", to=float("1e308") * 10), "Infinity is no number"),
        (change("statistics", "seconds", to=1e300), r"statistics.seconds is not a number from 0"),
        (
            change("run", "changes", 0, "after", "size", to=10**400, of=runs.WATCHED),
            r"changes\[0\].after.size is more than anything that is counted",
        ),
        (change("sandboxes", to=None), r"sandboxes is not an array"),
        (change("launch", to=None, of=samples_egress.LAUNCHED), r"it has sandboxes but no launch"),
        (change("sandboxes", 0, "location", to=None, of=samples_egress.LAUNCHED), r"sandboxes\[0\].location is not an"),
        (
            change("sandboxes", 0, "verdicts", 1, "verdict", to="ajar", of=samples_egress.LAUNCHED),
            r"sandboxes\[0\].verdicts\[1\].verdict is not one of open, limited, closed, unknown",
        ),
        (
            change("sandboxes", 0, "verdicts", 0, "paths", 0, "steps", 0, "from", to=7, of=samples_egress.LAUNCHED),
            r"paths\[0\].steps\[0\].from is not a string",
        ),
        (
            change("sandboxes", 0, "graph", "edges", 1, "permits", 0, "ports", to=[[1]], of=samples_egress.LAUNCHED),
            r"edges\[1\].permits\[0\].ports\[0\] is not a pair of ports",
        ),
        (
            change("findings", 0, "sha256", to="5E" * 32, of=samples.TRACED),
            r"findings\[0\].sha256 is not 64 hex digits",
        ),
        (
            change("findings", 0, "source", "line", to=0, of=samples.TRACED),
            r"findings\[0\].source.line is not a whole number from 1",
        ),
        (
            change("findings", 0, "source", "how", to="guess", of=samples.TRACED),
            r"findings\[0\].source.how is not one of content, provenance, history, base, given",
        ),
        (
            change("findings", 4, "evidence", 0, "context", "data", to="*", of=samples.TRACED),
            r"findings\[4\].evidence\[0\].context.data is not base64",
        ),
        (
            change("suppressed", 1, "expires", to="20270131", of=samples.TRACED),
            r"suppressed\[1\].expires is no day as YYYY-MM-DD",
        ),
        (
            change("suppressed", 1, "expires", to="2027-02-30", of=samples.TRACED),
            r"suppressed\[1\].expires is no day as YYYY-MM-DD",
        ),
        (
            change("suppressed", 0, "finding", "locations", to=[], of=samples.TRACED),
            r"suppressed\[0\].finding.locations is not an array of 1 or more",
        ),
        (change("suppressed", to=None), "suppressed is not an array"),
        (change("run", "attempts", 0, "first", to="*", of=runs.WATCHED), r"run.attempts\[0\].first is not base64"),
        (
            change("run", "attempts", 0, "first", to="QR==", of=runs.WATCHED),
            r"first is not base64 as sandscan writes it",
        ),
        (
            change("run", "attempts", 1, "count", to=0, of=runs.WATCHED),
            r"attempts\[1\].count is not a whole number from 1",
        ),
        (change("run", "started", to="now", of=runs.WATCHED), r"run.started is not a number"),
        (change("run", "ended", to=10**400, of=runs.WATCHED), r"run.ended is not a number that a computer counts to"),
        (change("run", "dropped", to={"x": -1}, of=runs.WATCHED), r"run.dropped.x is not a whole number from 0"),
        (change("run", "how", to="guess", of=runs.WATCHED), r"run.how is not one of diff, live, observe"),
        (
            change("run", "changes", 0, "after", "kind", to="soup", of=runs.WATCHED),
            r"changes\[0\].after.kind is not one",
        ),
        (
            change("findings", 0, "flow", 0, "location", to={"file": "x"}, of=samples_egress.LAUNCHED),
            r"findings\[0\].flow\[0\].location lacks",
        ),
    ],
)
def test_anything_else_is_refused_with_its_place(text, why):
    with pytest.raises(ReportError, match=why):
        load(text)


def test_facts_deeper_than_render_writes_are_refused():
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    with pytest.raises(ReportError, match=r"findings\[0\].details is nested too deeply"):
        load(change("findings", 0, "details", to={"deep": deep}))


def test_a_refusal_is_safe_to_print():
    with pytest.raises(ReportError) as refused:
        load(change("tool", to={"\x1b[2J": 1, "name": "", "version": "", "ruleset": ""}))
    assert "\x1b" not in str(refused.value)


def nodes(value: Any, steps: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a document."""
    found = [steps] if steps else []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        found += nodes(child, (*steps, step))
    return found


NODES = [
    (report, steps)
    for report in (samples.INCOMPLETE, samples.TRACED, samples_egress.LAUNCHED, runs.JOINED)
    for steps in nodes(document(report))
]


@given(st.sampled_from(NODES), strategies.jsons)
@settings(deadline=None, max_examples=400)
def test_a_changed_report_is_refused_or_right(where, value):
    report, steps = where
    text = change(*steps, to=value, of=report)
    try:
        report = load(text)
    except ReportError:
        return
    VALIDATOR.validate(json.loads(text))
    assert load(render(report, PLAIN)) == report


@given(st.text() | strategies.jsons.map(json.dumps))
def test_no_text_gets_past_load(text):
    with pytest.raises(ReportError):
        load(text)


# ---- the schema


def test_the_schema_is_one_and_says_what_every_field_is():
    jsonschema.Draft202012Validator.check_schema(schema())
    for name, field in schema()["properties"].items():
        assert field.get("description") or name == "schema_version", name


def test_the_schema_knows_the_same_words_as_the_model():
    defs = schema()["$defs"]
    finding = defs["finding"]["properties"]
    assert defs["severity"]["enum"] == [one.value for one in Severity]
    assert finding["confidence"]["enum"] == [one.value for one in Confidence]
    assert finding["state"]["enum"] == [one.value for one in State]
    assert defs["source"]["properties"]["how"]["enum"] == [one.value for one in Traced]
    assert defs["suppressed"]["properties"]["how"]["enum"] == [one.value for one in Aside]
    assert defs["notification"]["properties"]["level"]["enum"] == [one.value for one in Level]
    assert schema()["properties"]["schema_version"]["const"] == samples.CLEAN.schema_version


def test_objects_of_the_schema_are_closed_and_complete():
    def objects(value):
        if isinstance(value, dict):
            if "properties" in value and value.get("type") == "object":
                yield value
            for child in value.values():
                yield from objects(child)
        elif isinstance(value, list):
            for child in value:
                yield from objects(child)

    closed = [one for one in objects(schema()) if "files" not in one["properties"]]
    assert len(closed) > 10
    for one in closed:
        assert one["additionalProperties"] is False
        assert sorted(one["required"]) == sorted(one["properties"])


@pytest.mark.parametrize(
    "text",
    [
        change("findings", 0, "severity", to="awful"),
        change("findings", 0, "locations", to=[]),
        change("findings", 0, "locations", 0, "line", to=0),
        change("findings", 0, to=lambda f: {**f, "extra": 1}),
        change("notifications", 0, "count", to=0),
        change("schema_version", to="0.9"),
    ],
)
def test_the_schema_refuses_what_load_refuses(text):
    assert not VALIDATOR.is_valid(json.loads(text))


# ---- speed, as a ratio


def seconds(work):
    """Of this process alone, for the machine may be busy; and without what other tests left for the collector."""
    best = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(4):
            begin = time.process_time()
            work()
            best = min(best, time.process_time() - begin)
    finally:
        gc.enable()
    return best


def test_a_large_report_is_written_faster_than_the_standard_library_would_and_read_in_linear_time():
    small, large = samples.crowded(500), samples.crowded(5_000)
    plain = document(large)

    assert seconds(lambda: render(large, PLAIN)) < 1.5 * seconds(lambda: json.dumps(plain, indent=2))
    text, small_text = render(large, PLAIN), render(small, PLAIN)
    assert seconds(lambda: load(text)) < 30 * seconds(lambda: load(small_text))
