"""`sandscan check` as a user runs it."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from tests.cli import forked

DOCKERFILE = """\
FROM debian:12
RUN apt-get update && \\
    apt-get install -y \\
      openssh-server \\
      autossh
RUN curl -fsSL https://deb.nodesource.com/setup_20.x | bash -
RUN echo 'root:s3cr3tw0rd' | chpasswd
CMD ["/usr/sbin/sshd", "-D"]
"""


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return forked.run(*arguments, cwd=cwd, COLUMNS="100")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/Dockerfile").write_text(DOCKERFILE)
    return tmp_path


def test_findings_are_told_with_file_and_line(repository: Path) -> None:
    done = run("check", cwd=repository)
    assert done.returncode == 1, done.stderr
    for place in ("docker/Dockerfile:5", "docker/Dockerfile:6", "docker/Dockerfile:7", "docker/Dockerfile:8"):
        assert place in done.stdout
    assert "layer" not in done.stdout
    assert "s3cr3tw0rd" not in done.stdout
    assert done.stderr == ""


def test_the_reports_for_machines_point_to_the_line(repository: Path) -> None:
    done = run("check", ".", "-o", "json=r.json", "-o", "sarif=r.sarif", "-o", "markdown=r.md", cwd=repository)
    assert done.returncode == 1, done.stderr
    report = json.loads((repository / "r.json").read_text())
    jsonschema.validate(report, json.loads(run("schema", cwd=repository).stdout))
    assert {(f["source"]["file"], f["source"]["line"]) for f in report["findings"]} == {
        ("docker/Dockerfile", line) for line in (5, 6, 7, 8)
    }
    [sarif] = json.loads((repository / "r.sarif").read_text())["runs"]
    places = [r["locations"][0]["physicalLocation"] for r in sarif["results"]]
    assert {(p["artifactLocation"]["uri"], p["region"]["startLine"]) for p in places} == {
        ("docker/Dockerfile", line) for line in (5, 6, 7, 8)
    }
    again = run("convert", "r.json", "-o", "markdown", cwd=repository)
    assert again.stdout == (repository / "r.md").read_text()


def test_exit_codes(repository: Path) -> None:
    assert run("check", "--fail-on", "critical", cwd=repository).returncode == 0
    assert run("check", "absent", cwd=repository).returncode == 2
    assert "nothing to look at" in run("check", "absent", cwd=repository).stderr
    (repository / "compose.yaml").write_text("services: [\n")
    done = run("check", cwd=repository)
    assert done.returncode == 3
    assert "compose.yaml" in done.stderr


def test_a_baseline_knows_the_lines_wherever_they_move(repository: Path) -> None:
    assert run("check", "--write-baseline", "known.json", cwd=repository).returncode == 0
    (repository / "docker/Dockerfile").write_text("# a remark\n\n" + DOCKERFILE)
    done = run("check", "--baseline", "known.json", cwd=repository)
    assert done.returncode == 0, done.stdout
    assert "known from the baseline" in done.stdout
    (repository / "docker/Dockerfile").write_text(DOCKERFILE + "RUN npm install -g localtunnel\n")
    done = run("check", "--baseline", "known.json", cwd=repository)
    assert done.returncode == 1
    assert "docker/Dockerfile:9" in done.stdout


def test_a_users_own_rules_count_too(repository: Path) -> None:
    rule = 'rule mine { meta: id = "own/word" severity = "high" strings: $a = "wombat" condition: $a }\n'
    (repository / "own.yar").write_text(rule)
    (repository / "a.txt").write_text("one\ntwo wombats\n")
    done = run("check", "a.txt", "--rules", "own.yar", cwd=repository)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "a.txt" in done.stdout


def test_many_names_make_a_short_title(repository: Path) -> None:
    for number in range(30):
        (repository / f"{number}.txt").write_text("x\n")
    done = run("check", *(f"{n}.txt" for n in range(30)), cwd=repository)
    assert done.returncode == 0, done.stderr
    assert "and 26 more" in done.stdout
    assert "30 files" in done.stdout
