"""`sandscan egress`, and `sandscan scan --launch`, as a user runs them."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from scanner.model.assumption import KNOWN
from tests.cli import forked

REPLAY = Path(__file__).parents[2] / "fixtures" / "rome-replay.tar"
SANDSCAN = [sys.executable, "-m", "scanner.cli"]
COMPOSE = """\
services:
  agent:
    image: agent:1
    networks: [inner]
  builder:
    image: docker:cli
    network_mode: none
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock:ro
  shut:
    image: agent:1
    network_mode: none
networks:
  inner: {}
"""
SHUT = "services:\n  agent:\n    image: agent:1\n    network_mode: none\n"


def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return forked.run(*arguments, cwd=cwd, **{"COLUMNS": "100", **environment})


def spawned(*arguments: object, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """As a shell does."""
    env = {**os.environ, "SANDSCAN_CACHE_DIR": str(cwd / "cache"), "COLUMNS": "100"}
    return subprocess.run(
        [*SANDSCAN, *map(str, arguments)],
        cwd=cwd,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "shut.yaml").write_text(SHUT)
    return tmp_path


def verdicts(report: dict[str, object]) -> dict[str, dict[str, str]]:
    sandboxes = report["sandboxes"]
    assert isinstance(sandboxes, list)
    return {one["name"]: {v["destination"]: v["verdict"] for v in one["verdicts"]} for one in sandboxes}


def test_a_launch_that_opens_is_exit_code_1_and_the_matrix_comes_first(project: Path):
    done = run("egress", "compose.yaml", cwd=project)

    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0].endswith(": launch:compose.yaml")
    matrix = done.stdout.split("What each sandbox reaches\n")[1].split("\n\n")[0]
    assert re.search(r"^  agent +open +open +open +open +closed +", matrix, re.M)
    assert re.search(r"^  shut +(closed *){7}$", matrix, re.M)
    assert "compose.yaml:9" in done.stdout  # the mount of the socket
    assert done.stdout.index("What each sandbox reaches") < done.stdout.index("CRITICAL")


def test_a_closed_launch_is_exit_code_0(project: Path):
    done = run("egress", "shut.yaml", cwd=project)

    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing found: " in done.stdout


def test_the_json_report_keeps_its_schema_and_comes_back(project: Path):
    done = run("egress", "compose.yaml", "-o", "json=r.json", "-o", "text", cwd=project)
    report = json.loads((project / "r.json").read_text())

    jsonschema.validate(report, json.loads(run("schema", cwd=project).stdout))
    assert verdicts(report)["builder"]["engine"] == "open"
    assert set(verdicts(report)["shut"].values()) == {"closed"}
    assert run("convert", "r.json", "-o", "text", cwd=project).stdout == done.stdout
    assert run("convert", "r.json", "-o", "svg", cwd=project).stdout.startswith("<svg ")


def test_every_format_is_written(project: Path):
    forms = {
        "json": "{",
        "sarif": "{",
        "markdown": "# sandscan",
        "dot": "digraph",
        "graphml": "<?xml",
        "mermaid": "---",
        "svg": "<svg",
        "html": "<!doctype html>",
    }
    done = run("egress", "compose.yaml", *(f"-o{form}=out.{form}" for form in forms), cwd=project)

    assert (done.returncode, done.stdout) == (1, "")
    for form, begin in forms.items():
        assert (project / f"out.{form}").read_text().startswith(begin)
    sarif = json.loads((project / "out.sarif").read_text())
    [result] = [one for one in sarif["runs"][0]["results"] if one["ruleId"] == "egress/engine"]
    physical = result["locations"][0]["physicalLocation"]
    assert (physical["artifactLocation"]["uri"], physical["region"]["startLine"]) == ("compose.yaml", 9)
    assert result["codeFlows"]


@pytest.mark.parametrize(("threshold", "code"), [("never", 0), ("critical", 1), ("note", 1)])
def test_the_threshold_decides(project: Path, threshold: str, code: int):
    assert run("egress", "compose.yaml", "--fail-on", threshold, "-q", cwd=project).returncode == code


def test_a_launch_is_read_from_standard_input_and_from_a_command(project: Path):
    given = spawned("egress", "-", "-o", "json", cwd=project, stdin=COMPOSE)
    assert verdicts(json.loads(given.stdout))["shut"]["internet"] == "closed"

    command = "docker run --network none -v /var/run/docker.sock:/s agent:1"
    line = json.loads(run("egress", "--command", command, "-o", "json", cwd=project).stdout)
    [found] = verdicts(line).values()
    assert (found["engine"], found["internet"]) == ("open", "open")
    assert line["launch"]["format"] == "docker-run"


def test_a_variable_is_what_the_options_say_and_never_the_environment(project: Path):
    (project / "v.yaml").write_text("services:\n  agent:\n    image: a\n    network_mode: ${MODE:?}\n")
    (project / "v.env").write_text("# mode\nMODE=none\n")

    def internet(*options: str, **environment: str) -> str:
        done = run("egress", "v.yaml", "-o", "json", *options, cwd=project, **environment)
        return verdicts(json.loads(done.stdout))["agent"]["internet"] if done.stdout else done.stderr

    assert internet("--env", "MODE=none") == "closed"
    assert internet("--env-file", "v.env") == "closed"
    assert internet("--env-file", "v.env", "--env", "MODE=host") == "open"
    assert internet("--assume", "env.MODE=none") == "closed"
    assert internet(MODE="none") != "closed"


def test_what_can_be_assumed_is_listed_whole(tmp_path: Path):
    done = run("egress", "--list-assumptions", cwd=tmp_path)

    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")] == [k.key for k in KNOWN]


def test_explain_shows_the_paths_or_what_stands_in_their_way(project: Path):
    allow = run("egress", "compose.yaml", "--explain", "allow", cwd=project).stdout
    deny = run("egress", "compose.yaml", "--explain", "deny", cwd=project).stdout

    assert re.search(r"^    path     open, ", allow, re.M)
    assert "because" not in allow.split("CRITICAL")[0]
    shut = deny.split("\n\nshut (")[1].split("\n\n")[0]
    assert re.search(r"because  .*\(compose\.yaml:\d+\)", shut)
    assert not re.search(r"^    path ", deny, re.M)


def test_the_fix_is_a_patch_that_applies_and_closes(project: Path):
    done = run("egress", "compose.yaml", "--sandbox", "agent", "--sandbox", "builder", "--fix", cwd=project)
    assert done.returncode == 0, done.stderr

    subprocess.run(["git", "apply", "--unsafe-paths", "-"], input=done.stdout, text=True, cwd=project, check=True)
    after = json.loads(run("egress", "compose.yaml", "-o", "json", cwd=project).stdout)
    for name, found in verdicts(after).items():
        assert {v for d, v in found.items() if d != "siblings"} == {"closed"}, name


def test_a_change_that_opens_fails_and_one_that_closes_does_not(project: Path):
    opens = run("egress", "--diff", "shut.yaml", "compose.yaml", cwd=project)
    closes = run("egress", "--diff", "compose.yaml", "shut.yaml", cwd=project)
    same = run("egress", "--diff", "compose.yaml", "compose.yaml", cwd=project)

    assert (opens.returncode, closes.returncode, same.returncode) == (1, 0, 0)
    assert re.search(r"^agent\n  opens internet.*: closed → open", opens.stdout, re.M)
    assert "No sandbox reaches more than before." in closes.stdout
    assert "Nothing: every sandbox reaches what it reached before." in same.stdout


def test_an_image_and_its_launch_are_one_report(project: Path):
    done = run("scan", REPLAY, "--launch", "compose.yaml", "-o", "json", cwd=project)
    report = json.loads(done.stdout)

    assert done.returncode == 1
    assert report["image"]["layers"]
    rules = {one["rule_id"] for one in report["findings"]}
    assert {"miner/binary", "egress/engine"} <= rules
    agent = next(one for one in report["sandboxes"] if one["name"] == "agent")
    internet = next(one for one in agent["verdicts"] if one["destination"] == "internet")
    assert internet["paths"][0]["tool"]["effort"] in range(4)


def test_an_image_tells_with_which_tool_a_path_is_taken(project: Path):
    done = run("egress", "compose.yaml", "--image", f"agent={REPLAY}", "-o", "json", cwd=project)
    paths = {
        one["name"]: [path["tool"] for verdict in one["verdicts"] for path in verdict["paths"]]
        for one in json.loads(done.stdout)["sandboxes"]
    }

    assert all(paths["agent"])
    assert not any(paths["builder"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["egress"], "nothing to judge"),
        (["egress", "missing.yaml"], "missing.yaml"),
        (["egress", "compose.yaml", "--assume", "engine.icc=perhaps"], "engine.icc is true or false"),
        (["egress", "compose.yaml", "--assume", "engin.icc=true"], "did you mean engine.icc?"),
        (["egress", "compose.yaml", "--to", "mars"], "mars"),
        (["egress", "compose.yaml", "--keep", "host:port"], "write HOST:PORT"),
        (["egress", "compose.yaml", "--env", "X"], "write NAME=VALUE"),
        (["egress", "compose.yaml", "--env-file", "no.env"], "no.env"),
        (["egress", "compose.yaml", "--ruleset", "no.rules"], "no.rules"),
        (["egress", "compose.yaml", "--fix", "-o", "json"], "leave -o out"),
        (["egress", "--fix", "--diff", "a", "b"], "two commands"),
        (["egress", "compose.yaml", "--diff", "a", "b"], "no further files"),
        (["egress", "compose.yaml", "--command", "docker run x"], "not both"),
        (["egress", "compose.yaml", "--image", "archive:no.tar"], "no.tar"),
        (["scan", REPLAY, "-o", "svg"], "name one with --launch FILE"),
        (["scan", REPLAY, "--runner", "docker"], "name it with --launch FILE"),
        (["scan", REPLAY, "--launch", "missing.yaml"], "missing.yaml"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_to_do(project: Path, arguments: list[object], says: str):
    done = run(*arguments, cwd=project)

    assert done.returncode == 2, done
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_broken_launch_names_its_line_and_is_never_taken_for_closed(project: Path):
    (project / "broken.yaml").write_text("services:\n  agent:\n    image: [x\n")
    done = run("egress", "broken.yaml", cwd=project)

    assert done.returncode in (2, 3)
    assert re.search(r"broken\.yaml:\d+:\d+: ", done.stderr)
    assert done.stdout == ""


def test_the_rules_of_launches_are_listed_and_explained(tmp_path: Path):
    listed = run("rules", "list", cwd=tmp_path).stdout
    for rule in ("internet", "private-network", "metadata", "host", "engine", "dns", "sibling-pivot", "one-way"):
        assert re.search(rf"^egress/{rule} ", listed, re.M)
    explained = run("explain", "egress/policy-without-effect", cwd=tmp_path)
    assert explained.returncode == 0
    assert len(explained.stdout.splitlines()) >= 5


def test_a_picture_of_a_report_without_a_launch_is_wrong_usage(project: Path):
    run("scan", REPLAY, "-o", "json=r.json", "-q", cwd=project)
    done = run("convert", "r.json", "-o", "svg", cwd=project)

    assert (done.returncode, done.stdout) == (2, "")
    assert "this report has no launch" in done.stderr


def test_help_shows_examples_exit_codes_and_the_formats(tmp_path: Path):
    text = run("egress", "--help", cwd=tmp_path).stdout

    assert "sandscan egress compose.yaml --sandbox agent --fix | git apply" in text
    assert "Exit codes: 0 nothing" in text
    for form in ("html", "svg", "dot", "graphml", "mermaid"):
        assert form in text


def test_a_compose_file_loads_none_of_the_scanners_heavy_libraries(project: Path):
    code = (
        "import sys; sys.argv = ['sandscan', 'egress', 'compose.yaml', '-q', '-o', 'json=r.json']\n"
        "from scanner.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'yara', 'lief', 'hyperscan', 'docker', 'requests', 'rich.console', 'sarif_om', 'isal', 'zstandard'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=project, timeout=60
    )
    assert done.stderr == "[]\n"


def test_a_compose_file_answers_at_once(project: Path):
    """Half a second of the processor where nothing else runs; twice that here, where much may."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        spawned("egress", "compose.yaml", cwd=project)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(4)) < 1
