"""Ordinary repositories raise no alarm: each of these texts is one that a team could have."""

from pathlib import Path

import pytest

from scanner.checking import check
from scanner.egressing import EgressOptions, judge_launch
from scanner.model import Finding, Level, Report
from tests.checking.ordinary import ORDINARY, REMOTE_SCRIPTS
from tests.checking.projects import PROJECTS
from tests.checking.repository import written


def test_ordinary_dockerfiles_raise_no_alarm(tmp_path: Path) -> None:
    for name, text in ORDINARY.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "Dockerfile").write_text(text)
    report = check([tmp_path])
    said = {
        (f.source.file.split("/")[-2], f.rule_id, f.source.line, f.severity.value) for f in report.findings if f.source
    }
    assert said == {
        ("nodesource", "build/remote-script", 3, "medium"),
        ("rustup", "build/remote-script", 3, "medium"),
    }, [(f.message, f.source) for f in report.findings]
    assert report.complete, report.notifications
    assert {name for name, *_ in said} == REMOTE_SCRIPTS


LAUNCHED = {
    "web-app": "compose.yaml",
    "node-app": "docker-compose.dev.yml",
    "devcontainer": ".devcontainer/devcontainer.json",
    "eval-harness": "evals/swe/compose.yaml",
}
"""Launch files of the projects: what `egress` says of them, `check` says too, and no more."""


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """All of them in one repository."""
    root = tmp_path_factory.mktemp("projects")
    written(root, {f"{name}/{path}": text for name, files in PROJECTS.items() for path, text in files.items()})
    return root, check([root])


def told(findings: tuple[Finding, ...]) -> set[tuple[str, str, str]]:
    return {(f.rule_id, f.severity.value, f.message) for f in findings}


@pytest.mark.parametrize("name", PROJECTS)
def test_an_ordinary_project_raises_no_alarm_but_for_what_its_launch_reaches(
    projects: tuple[Path, Report], name: str
) -> None:
    root, report = projects
    found = tuple(f for f in report.findings if f.source is not None and f.source.file.startswith(f"{name}/"))
    launch = LAUNCHED.get(name)
    of_launch = judge_launch([str(root / name / launch)], EgressOptions(cuts=False)).findings if launch else ()
    assert told(found) == told(of_launch)


def test_ordinary_projects_are_read_whole(projects: tuple[Path, Report]) -> None:
    _, report = projects
    assert all(f.source is not None for f in report.findings)
    assert {(n.level, n.path) for n in report.notifications} == {
        (Level.NOTE, b"chart/chart/Chart.yaml"),
        (Level.NOTE, b"chart/deploy/kustomization.yaml"),
    }
