"""The job of our own CI that uses the Action: its steps as they stand in ci.yml, on this repository."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.action.composite import ROOT, Context, Ran, Runner, installed

STEPS = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]["action"]["steps"]


@pytest.fixture
def runner(replay: tuple[Runner, Ran], sandscan: Path, tmp_path: Path) -> Runner:
    """Of this repository, with the evidence of the replay's layers in its cache."""
    one = installed(ROOT, tmp_path, sandscan)
    shutil.copytree(replay[0].given["install"]["cache-folder"], one.given["install"]["cache-folder"])
    return one


def test_the_job_passes_as_it_stands(runner: Runner):
    job, asked = Ran(), 0
    context = Context({}, job, STEPS, "pull_request")
    for step in STEPS:
        if step.get("uses") == "./":
            ran = runner.run(**{name: context.filled(str(value)) for name, value in step["with"].items()})
            asked += 1
            key = step.get("id", step["name"])
            job.outcomes[key], job.outputs[key] = "failure" if ran.failed else "success", ran.answers
            assert not ran.failed or step.get("continue-on-error"), ran.log
            assert "Upload to code scanning" not in ran.used, "only the default branch's findings are uploaded"
        elif "run" in step:
            environment = {name: context.filled(value) for name, value in step["env"].items()}
            subprocess.run(
                ("bash", "-eo", "pipefail", "-c", step["run"]), env={**os.environ, **environment}, check=True
            )
    assert asked == 3
