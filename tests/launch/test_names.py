"""A launch file is the same file whatever it is called and from wherever one looks: in fingerprints, in baselines, in what GitHub reads."""

import json
import shutil
from datetime import date
from pathlib import Path

import pytest

from scanner import check, reach
from scanner.model import LaunchLocation, Report, SourceLine, Traced
from scanner.reports.github import render as as_commands
from scanner.reports.json import load
from scanner.reports.json import render as as_json
from scanner.reports.plugin import RenderOptions
from scanner.reports.sarif import render as as_sarif
from scanner.roots import lasting, root_of
from scanner.suppression.aside import set_aside
from scanner.suppression.baseline import made

COMPOSE = "services:\n  agent:\n    image: agent:1\n    environment: {HTTPS_PROXY: http://proxy:3128}\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A clone as CI makes it."""
    folder = tmp_path / "builds/17"
    (folder / ".git").mkdir(parents=True)
    (folder / "deploy/more").mkdir(parents=True)
    (folder / "deploy/compose.yaml").write_text(COMPOSE)
    (folder / ".devcontainer").mkdir()
    (folder / ".devcontainer/devcontainer.json").write_text('{"image": "agent:1"}')
    return folder


def prints(report: Report) -> list[str]:
    assert report.findings
    return [f.fingerprint for f in report.findings]


def uris(report: Report) -> set[str]:
    results = json.loads(as_sarif(report, RenderOptions()))["runs"][0]["results"]
    assert results
    return {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in results}


@pytest.mark.parametrize(
    ("at", "name"),
    [
        ("deploy", "compose.yaml"),
        ("deploy", "./compose.yaml"),
        ("deploy", "."),
        ("deploy/more", "../compose.yaml"),
        ("", "{}/deploy/compose.yaml"),
        ("..", "17/deploy/compose.yaml"),
        ("..", "{}/deploy"),
        ("../..", "link/compose.yaml"),
        ("../..", "whole/deploy/compose.yaml"),
    ],
)
def test_a_launch_file_has_one_name_in_its_repository(
    repo: Path, monkeypatch: pytest.MonkeyPatch, at: str, name: str
) -> None:
    (repo.parent.parent / "link").symlink_to(repo / "deploy")
    (repo.parent.parent / "whole").symlink_to(repo)
    monkeypatch.chdir(repo)
    there = reach("deploy/compose.yaml")
    assert all(f.source is None for f in there.findings), "it is called by that name already"
    monkeypatch.chdir(repo / at)
    here = reach(name.format(repo))

    assert prints(here) == prints(there)
    assert uris(here) == uris(there) == {"deploy/compose.yaml"}
    lines = as_commands(here, RenderOptions()).splitlines()
    assert len(lines) == len(here.findings)
    assert all(" file=deploy/compose.yaml,line=" in line for line in lines)
    first = here.findings[0]
    place = first.locations[0]
    assert isinstance(place, LaunchLocation)
    assert first.source == SourceLine("deploy/compose.yaml", place.line, place.line, Traced.GIVEN)
    assert Path(place.file).samefile(repo / "deploy/compose.yaml"), "shown as the user calls it"
    assert load(as_json(here, RenderOptions())).findings[0].source == first.source


@pytest.mark.parametrize("name", ["deploy/compose.yaml", ".devcontainer/devcontainer.json"])
def test_a_baseline_of_the_ci_holds_in_every_other_clone(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    known = made(reach(repo / name), "known.json").baseline
    shutil.copytree(repo, tmp_path / "home/agent")
    monkeypatch.chdir(tmp_path / "home/agent")
    report = reach(name)
    kept = set_aside(report, (), known, date(2030, 1, 1))
    assert kept.findings == ()
    assert len(kept.suppressed) == len(report.findings) > 0


def test_a_check_from_any_folder_knows_what_the_launch_was_known_by(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo)
    known = prints(reach("deploy/compose.yaml"))
    for folder, path in (("", "deploy"), ("deploy", "."), ("deploy/more", ".."), ("..", str(repo / "deploy"))):
        monkeypatch.chdir(repo / folder)
        report = check(path)
        assert sorted(prints(report)) == sorted(known), folder
        assert {f.source.file for f in report.findings if f.source} == {"deploy/compose.yaml"}


def test_the_nearest_repository_counts(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = repo / "vendor/one"
    inner.mkdir(parents=True)
    (inner / ".git").write_text("gitdir: ../../.git/modules/one\n")
    (inner / "compose.yaml").write_text(COMPOSE)
    monkeypatch.chdir(repo)
    assert root_of("vendor/one/compose.yaml") == inner
    assert root_of(inner) == inner
    assert lasting("vendor/one/compose.yaml") == "compose.yaml"


def test_without_a_repository_it_is_the_name_from_here_or_the_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/compose.yaml").write_text(COMPOSE)
    monkeypatch.chdir(tmp_path)
    assert root_of("a/compose.yaml") is None, "the tests' folder lies in a repository"
    assert lasting("./a/compose.yaml") == lasting(str(tmp_path / "a/compose.yaml")) == "a/compose.yaml"
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    assert lasting("../a/compose.yaml") == str(tmp_path / "a/compose.yaml")
    assert [lasting(n) for n in ("standard input", "container:agent", "command line", "", "a\0b")] == [
        "standard input",
        "container:agent",
        "command line",
        "",
        "a\0b",
    ]
