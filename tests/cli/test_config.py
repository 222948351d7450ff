"""The configuration as a user works with it: where it is found, what it decides, and that the command line comes first."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from fixtures.image import Step, archive
from fixtures.tarball import Member
from tests import host_image
from tests.cli.forked import run
from tests.engine_fixture import Engine

ROOT = Path(__file__).parents[2]
SANDSCAN = [sys.executable, "-m", "scanner.cli"]
COMPOSE = "services:\n  agent:\n    image: agent:1\n"
IGNORE = """\
ignore:
  - rule: egress/*
    path: compose.yaml
    reason: the proxy in front of it decides
    expires: 2999-12-31
"""


def egress(cwd: Path, *arguments: object, **environment: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the report of a judged launch."""
    done = run("egress", "compose.yaml", "-o", "json", *arguments, cwd=cwd, **environment)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def notes(report: dict[str, Any]) -> list[str]:
    return [n["message"] for n in report["notifications"]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a launch that lets its sandbox out: exit code 1."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    return tmp_path


def say(project: Path, text: str, name: str = ".sandscan.yaml") -> None:
    (project / name).write_text(text)


# ---- which file, and what comes first


def test_without_a_configuration_nothing_is_said_of_one(project: Path) -> None:
    code, report = egress(project)
    assert code == 1
    assert not [n for n in report["notifications"] if n["stage"] in ("configuration", "suppression")]


def test_the_file_decides_and_the_command_line_comes_before_it(project: Path) -> None:
    say(project, "fail-on: never\negress:\n  sandbox: agent\n")
    code, report = egress(project)
    assert code == 0
    assert notes(report)[-1] == "options of .sandscan.yaml hold: fail-on=never, sandbox=agent"
    code, report = egress(project, "--fail-on", "high")
    assert code == 1
    assert notes(report)[-1] == "options of .sandscan.yaml hold: sandbox=agent"


def test_a_flag_and_a_file_that_is_named(project: Path) -> None:
    say(project, "fail-on: never\n")
    say(project, "egress: {fail-on: low, quiet: true}\n", "other.yaml")
    say(project, "[tool.sandscan]\nfail-on = 'critical'\n", "some.toml")
    assert egress(project)[0] == 0
    assert egress(project, SANDSCAN_CONFIG="other.yaml")[0] == 1
    done = run("--no-config", "egress", "compose.yaml", cwd=project)
    assert done.returncode == 1
    assert run("--config", "other.yaml", "egress", "compose.yaml", cwd=project).returncode == 1
    named = run("--config", "some.toml", "egress", "compose.yaml", cwd=project, SANDSCAN_CONFIG="other.yaml")
    assert named.returncode == 0
    assert "options of some.toml hold: fail-on=critical" in " ".join(named.stdout.split())
    assert run("--no-config", "egress", "compose.yaml", cwd=project, SANDSCAN_CONFIG="other.yaml").returncode == 1
    both = run("--no-config", "--config", "other.yaml", "egress", "compose.yaml", cwd=project)
    assert (both.returncode, both.stderr) == (2, "sandscan: --config and --no-config exclude each other\n")
    none = run("--config", "none.yaml", "egress", "compose.yaml", cwd=project)
    assert (none.returncode, none.stdout) == (2, "")
    assert "none.yaml: there is no such file" in none.stderr


def test_it_is_found_from_below_and_its_paths_begin_where_it_lies(project: Path) -> None:
    say(project, "fail-on: never\noutput: [json=out/report.json]\n")
    (project / "out").mkdir()
    below = project / "a/b"
    below.mkdir(parents=True)
    (below / "compose.yaml").write_text(COMPOSE)
    done = run("egress", "compose.yaml", cwd=below)
    report = json.loads((project / "out/report.json").read_text())
    said = "options of ../../.sandscan.yaml hold: fail-on=never, output=json=../../out/report.json"
    assert notes(report)[-1] == said
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"sandscan: {said}\n")


def test_the_projects_table_holds_where_nothing_else_does_and_the_report_says_which(project: Path) -> None:
    say(project, "[project]\nname = 'sandscan'\n[tool.sandscan]\nfail-on = 'never'\n", "pyproject.toml")
    code, report = egress(project)
    assert (code, notes(report)[-1]) == (0, "options of pyproject.toml hold: fail-on=never")
    say(project, "fail-on: low\n")
    code, report = egress(project)
    assert code == 1
    assert ".sandscan.yaml holds, and [tool.sandscan] in the pyproject.toml beside it does not" in notes(report)


@pytest.mark.parametrize(
    "command",
    [["egress", "compose.yaml"], ["scan", "x.tar"], ["check", "."], ["live", "x"], ["diff", "a", "b"], ["config"]],
)
def test_a_broken_one_ends_whatever_would_follow_it(project: Path, command: list[str]) -> None:
    say(project, "fail-on: high\nfail_on: low\n")
    done = run(*command, cwd=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sandscan: .sandscan.yaml:2:1: there is no key 'fail_on'; did you mean fail-on?\n"


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["egress", "--help"],
        ["egress", "-h"],
        ["rules", "list"],
        ["schema"],
        ["--version"],
        ["--no-config", "egress", "compose.yaml"],
    ],
)
def test_a_broken_one_stands_in_nobodys_way_who_does_not_follow_it(project: Path, command: list[str]) -> None:
    say(project, "fail_on: low\n")
    assert run(*command, cwd=project).returncode in (0, 1)


def test_what_is_said_of_launches_is_no_error_where_there_is_none(project: Path) -> None:
    say(project, "runner: rock\nassume: {engine.icc: false}\nkeep: [api.example.com:443]\n")
    (project / "app.tar").write_bytes(archive([Step("COPY x /", (Member("etc/motd", b"hello\n"),))], {}, "app:1"))
    assert run("scan", "app.tar", cwd=project).returncode == 0
    said = run("scan", "app.tar", "--keep", "api.example.com:443", cwd=project)
    assert said.returncode == 2
    assert "name it with --launch FILE" in said.stderr


def test_a_difference_and_a_patch_print_their_own_whatever_the_file_says(project: Path) -> None:
    (project / "new.yaml").write_text(COMPOSE.replace("agent:1", "agent:2"))
    arguments = (["--diff", "compose.yaml", "new.yaml"], ["compose.yaml", "--fix", "--keep", "api.example.com:443"])
    before = [run("egress", *one, cwd=project) for one in arguments]
    say(project, "output: [sarif=out.sarif]\nbaseline: none.json\n" + IGNORE)
    after = [run("egress", *one, cwd=project) for one in arguments]
    for one, other in zip(before, after, strict=True):
        assert (one.returncode, one.stdout, one.stderr) == (other.returncode, other.stdout, other.stderr)
    assert not (project / "out.sarif").exists()


# ---- what is set aside


def test_what_an_entry_names_is_counted_and_no_reason_to_fail(project: Path) -> None:
    code, before = egress(project)
    say(project, IGNORE)
    code, after = egress(project)
    assert code == 0
    assert after["findings"] == []
    assert [s["finding"] for s in after["suppressed"]] == before["findings"]
    assert {(s["how"], s["place"], s["expires"]) for s in after["suppressed"]} == {
        ("ignored", ".sandscan.yaml:2", "2999-12-31")
    }
    text = " ".join(run("egress", "compose.yaml", cwd=project).stdout.split())
    assert f"{len(before['findings'])} ignored" in text
    assert "holds until 2999-12-31, which is more than two years" in text


def test_a_saved_report_and_sarif_keep_to_it(project: Path) -> None:
    say(project, IGNORE)
    done = run("egress", "compose.yaml", "-o", "json=r.json", "-o", "sarif=r.sarif", cwd=project)
    assert done.returncode == 0
    count = len(json.loads((project / "r.json").read_text())["suppressed"])
    sarif = json.loads((project / "r.sarif").read_text())
    assert sarif["runs"][0]["results"] == []
    (project / ".sandscan.yaml").unlink()
    again = json.loads(run("convert", "r.json", "-o", "json", cwd=project).stdout)
    assert (len(again["findings"]), len(again["suppressed"])) == (0, count)
    assert f"{count} ignored" in " ".join(run("convert", "r.json", cwd=project).stdout.split())


def test_what_has_expired_gates_and_says_so(project: Path) -> None:
    say(project, IGNORE.replace("2999-12-31", "2020-01-31"))
    code, report = egress(project)
    assert (code, report["suppressed"]) == (1, [])
    [said] = [n for n in notes(report) if "expired" in n]
    assert said.startswith("the entry at .sandscan.yaml:2 expired on 2020-01-31: egress/")
    assert "count again" in said


def test_an_entry_for_a_miner_is_not_followed(project: Path) -> None:
    say(project, IGNORE.replace("egress/*", "miner/*").replace("    path: compose.yaml\n", ""))
    done = run("scan", ROOT / "fixtures/rome-replay.tar", "-o", "json", cwd=project)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    kept = {f["rule_id"] for f in report["findings"] if f["confidence"] == "high"}
    assert {"miner/binary", "miner/config", "miner/launch"} <= kept
    assert all(
        not (s["finding"]["rule_id"].startswith("miner/") and s["finding"]["confidence"] == "high")
        for s in report["suppressed"]
    )
    assert any("was not followed for miner/binary" in n and "never set aside" in n for n in notes(report))


def test_the_files_baseline_holds_and_a_new_one_can_be_written_where_there_is_none(project: Path) -> None:
    say(project, "baseline: known.json\n")
    missing = run("egress", "compose.yaml", cwd=project)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == (
        "sandscan: .sandscan.yaml:1:1: cannot read the baseline known.json: No such file or directory; "
        "--write-baseline known.json writes one\n"
    )
    assert run("egress", "compose.yaml", "--write-baseline", "known.json", cwd=project).returncode == 0
    code, report = egress(project)
    assert (code, report["findings"]) == (0, [])
    # written anew, it holds what was set aside by the one before
    held = (project / "known.json").read_bytes()
    assert run("egress", "compose.yaml", "--write-baseline", "known.json", cwd=project).returncode == 0
    assert (project / "known.json").read_bytes() == held


def test_what_is_ignored_is_not_written_to_a_baseline(project: Path) -> None:
    say(project, IGNORE.replace("egress/*", "egress/internet"))
    done = run("egress", "compose.yaml", "--write-baseline", "known.json", cwd=project)
    rules = {f["rule"] for f in json.loads((project / "known.json").read_text())["findings"]}
    assert rules
    assert "egress/internet" not in rules
    assert "1 that the configuration ignores is not in it" in done.stderr


# ---- what is shown


def test_config_shows_what_holds_and_where_it_stands(project: Path) -> None:
    say(
        project,
        "fail-on: medium\nobserve: {seconds: 5}\n" + IGNORE + IGNORE.removeprefix("ignore:\n").replace("2999", "2020"),
    )
    done = run("config", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == ".sandscan.yaml (found)"
    assert "fail-on=medium .sandscan.yaml:1:1" in lines
    assert "seconds=5 .sandscan.yaml:2:11" in lines
    assert ".sandscan.yaml:4 rule egress/*, path compose.yaml" in lines
    assert any(line.startswith("until 2999-12-31 (") for line in lines)
    assert "expired on 2020-12-31: counts again: the proxy in front of it decides" in lines
    assert run("config", cwd=project / ".git").stdout.startswith("../.sandscan.yaml")
    say(project, "fail_on: low\n")
    assert "sandscan init writes one" in run("--no-config", "config", cwd=project).stdout


def test_the_published_schemas_are_ones(project: Path) -> None:
    for name, right, wrong in (
        ("--config", yaml.safe_load(IGNORE.replace("2999-12-31", "'2999-12-31'")), {"fail_on": "low"}),
        ("--baseline", {"version": 1, "findings": []}, {"version": 2, "findings": []}),
    ):
        schema = json.loads(run("schema", name, cwd=project).stdout)
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        assert validator.is_valid(right)
        assert not validator.is_valid(wrong)
    both = run("schema", "--config", "--baseline", cwd=project)
    assert (both.returncode, both.stdout) == (2, "")


def test_a_configuration_costs_help_nothing(project: Path) -> None:
    """What reads it is loaded only where it is read."""
    code = "import sys; from scanner.cli.main import command; print([m for m in ('yaml', 'tomllib', 'scanner.settings.loading', 'scanner.suppression') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---- a watch


@pytest.fixture
def guest(engine: Engine) -> Iterator[Any]:
    """A container that does nothing, but for what a test starts in it."""
    data = host_image.tree(("sh", "sleep", "cp", "rm"), {"hold": (0o644, b"import time\nwhile True: time.sleep(60)\n")})
    engine.client.api.import_image_from_data(data, repository="watched", tag="1")
    one = engine.client.containers.run("watched:1", ["sleep", "600"], name="watched", detach=True, network_mode="none")
    try:
        yield one
    finally:
        one.remove(force=True)
        engine.client.images.remove("watched:1", force=True)


@pytest.mark.engine
def test_a_watch_tells_nothing_of_what_is_set_aside(engine: Engine, guest: Any, project: Path) -> None:
    """A program without its file would be told as it comes; an entry names it, and the report at the end counts it."""
    say(
        project,
        "live: {interval: 0.2}\nignore:\n  - {rule: live/deleted-*, reason: the updater's, expires: 2999-12-31}\n",
    )
    assert guest.exec_run(["cp", "/usr/bin/sleep", "/tmp/updater"]).exit_code == 0
    guest.exec_run(["/tmp/updater", "300"], detach=True)
    errors, lines = project / "errors", project / "lines.jsonl"
    command = [*SANDSCAN, "live", "watched", "--watch", "-o", "json=out.json", "-o", "jsonl=lines.jsonl"]

    def until_told(word: str) -> None:
        end = time.monotonic() + 60
        while not (lines.exists() and word in lines.read_text()):
            assert time.monotonic() < end, errors.read_text()
            time.sleep(0.1)

    with errors.open("w") as err:
        process = subprocess.Popen(command, cwd=project, env={**os.environ, "DOCKER_HOST": engine.host}, stderr=err)
        try:
            until_told('"executable":"/tmp/updater"')  # it runs: no command line that names it counts
            assert guest.exec_run(["rm", "/tmp/updater"]).exit_code == 0
            for word in ("5555", "6666"):  # the look that sees the first may have begun before the removal
                guest.exec_run(["sleep", word], detach=True)
                until_told(f'"{word}"')
            process.send_signal(signal.SIGINT)
            process.wait(60)
        finally:
            process.kill()
            process.wait()
    report = json.loads((project / "out.json").read_text())
    assert [s["finding"]["rule_id"] for s in report["suppressed"]] == ["live/deleted-executable"]
    assert "live/deleted-executable" not in errors.read_text()
    assert not [line for line in map(json.loads, lines.read_text().splitlines()) if line["type"] == "finding"]


def test_a_file_that_lets_everything_pass_does_not_do_so_unseen(project: Path) -> None:
    (project / ".sandscan.yaml").write_text("fail-on: never\noutput: [json=out.json]\n")
    (project / "Dockerfile").write_text("FROM a\nRUN apt-get install autossh\n")
    done = run("check", "Dockerfile", cwd=project)
    assert (done.returncode, done.stdout) == (0, "")
    assert "options of .sandscan.yaml hold: " in done.stderr
    assert "fail-on=never" in done.stderr
    assert "hold" not in run("check", "Dockerfile", "-o", "text", cwd=project).stderr  # it stands in the report
