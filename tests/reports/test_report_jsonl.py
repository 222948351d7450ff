import json
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings

from scanner.cli.schema import schema as schema_command
from scanner.model import Report
from scanner.reports.jsonl import render, schema
from scanner.reports.plugin import RenderOptions
from tests.reports import runs, samples, samples_egress, strategies

VALIDATOR = jsonschema.Draft202012Validator(schema())


def lines(report: Report) -> list[dict[str, Any]]:
    return [json.loads(line) for line in render(report, RenderOptions()).splitlines()]


def test_every_moment_is_a_line_by_time_and_findings_come_last():
    told = lines(runs.WATCHED)

    kinds = [one["type"] for one in told]
    assert kinds[0] == "run"
    assert kinds[-3:] == ["finding"] * 3
    assert {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)} == {
        "run": 1,
        "process": 4,
        "change": 44,
        "attempt": 4,
        "query": 1,
        "socket": 4,
        "finding": 3,
    }
    times = [one["time"] for one in told if one["type"] != "finding" and one["time"]]
    assert times == sorted(times)
    assert times[0] == "2026-01-02T03:04:05.250000Z"
    assert {(one["episode"], one["subject"]) for one in told} == {("ep-42", "rome-1")}


def test_a_line_can_be_matched_with_a_trace():
    [login] = [one for one in lines(runs.WATCHED) if one["type"] == "attempt" and one["service"] == "stratum"]

    assert login["time"] == "2026-01-02T03:04:11.750000Z"
    assert login["last"] == "2026-01-02T03:04:21.750000Z"
    assert (login["pid"], login["name"], login["target"]) == (
        4_720,
        "pool.example",
        {"address": "198.18.0.7", "port": 3_333},
    )
    [changed] = [one for one in lines(runs.WATCHED) if one.get("path") == "usr/lib/libprocess.so.0"]
    assert changed["time"] == changed["after"]["changed"] == "2026-01-02T03:04:07.750000Z"
    assert changed["user"] == "root"


def test_a_finding_has_the_time_of_what_it_points_to():
    found = [one for one in lines(runs.WATCHED) if one["type"] == "finding"]

    assert [(one["rule_id"], one["time"]) for one in found] == [
        ("observed/reverse-tunnel", "2026-01-02T03:04:10.250000Z"),
        ("observed/pool", "2026-01-02T03:04:11.250000Z"),
        ("drift/new-executable", "2026-01-02T03:04:07.750000Z"),
    ]


def test_a_report_without_a_run_is_lines_too():
    told = lines(samples.INCOMPLETE)

    assert {one["type"] for one in told} == {"notification", "finding"}
    assert {(one["time"], one["episode"], one["subject"]) for one in told} == {
        (None, None, "docker:sandbox/agent:latest")
    }
    assert render(samples.CLEAN, RenderOptions()) == ""


def test_what_is_set_aside_comes_last_and_is_no_finding():
    told = lines(samples.TRACED)

    assert [one["type"] for one in told] == ["finding"] * 5 + ["suppressed"] * 3
    assert (told[0]["source"]["file"], told[0]["source"]["line"]) == ("docker/Dockerfile", 12)
    assert (told[5]["how"], told[5]["reason"], told[5]["expires"]) == ("baseline", "known on 2025-01-01", None)
    assert told[6]["finding"]["locations"][0]["path"] == "app/tests/wallet.txt"


def test_a_launch_is_a_line_for_each_destination_with_what_was_tried():
    told = [one for one in lines(runs.JOINED) if one["type"] == "egress"]

    assert len(told) == 21
    assert (told[0]["sandbox"], told[0]["destination"], told[0]["verdict"]) == ("agent", "internet", "open")
    assert [one["outcome"] for one in told[0]["tried"]] == ["possible", "possible"]


@pytest.mark.parametrize(
    "report",
    [
        runs.WATCHED,
        runs.QUIET,
        runs.NAMELESS,
        runs.JOINED,
        samples.INCOMPLETE,
        samples.TRACED,
        samples_egress.BOTH,
        runs.spiteful("\ud800\x1b[2J", 50),
    ],
)
def test_every_line_is_as_the_schema_says(report):
    for line in lines(report):
        VALIDATOR.validate(line)


@given(strategies.reports | strategies.watched | strategies.launched)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=25)
def test_a_hostile_report_is_lines_as_the_schema_says(report):
    text = render(report, RenderOptions())

    assert text.isascii()
    assert all(line.startswith('{"type":') for line in text.splitlines())
    for line in text.splitlines():
        VALIDATOR.validate(json.loads(line, parse_constant=pytest.fail))


def test_the_schema_is_one_and_refuses_what_is_no_line():
    jsonschema.Draft202012Validator.check_schema(schema())
    good = lines(runs.WATCHED)[0]
    assert VALIDATOR.is_valid(good)
    assert not VALIDATOR.is_valid({**good, "time": 1_767_323_045.25})
    assert not VALIDATOR.is_valid({**good, "type": "walk"})
    assert not VALIDATOR.is_valid({**good, "more": 1})
    assert not VALIDATOR.is_valid({name: one for name, one in good.items() if name != "episode"})


def test_the_schema_of_a_line_is_published():
    printed = CliRunner().invoke(schema_command, ["--lines"], standalone_mode=False)

    assert json.loads(printed.output) == schema()
