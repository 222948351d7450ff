"""The hooks that pre-commit offers from this repository: the manifest, and a commit that they stop."""

import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checking.repository import git, written

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path(sys.executable).parent / "sandscan"
PRE_COMMIT = shutil.which("pre-commit", path=str(Path(sys.executable).parent))
BAD = 'FROM debian:12\nRUN apt-get install -y openssh-server\nCMD ["/usr/sbin/sshd", "-D"]\n'
GOOD = "FROM debian:12\nRUN apt-get install -y openssh-client\n"


def hooks() -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}


def repository(root: Path) -> Path:
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    for key, value in (
        ("user.name", "t"),
        ("user.email", "t@example.org"),
        ("core.hooksPath", str(root / ".git/hooks")),
    ):
        git(root, "config", key, value)
    return root


def hook_script(root: Path, hook: dict[str, Any]) -> None:
    """What pre-commit does with a hook: its entry, its arguments, and behind them the staged files where it asks for them."""
    entry = shlex.join([str(PROGRAM), *shlex.split(hook["entry"])[1:], *hook.get("args", [])])
    names = "git diff --cached --name-only --diff-filter=ACMRT -z | xargs -0 -r " if hook["pass_filenames"] else ""
    script = root / ".git/hooks/pre-commit"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\n{names}{entry}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


def test_the_manifest_says_what_pre_commit_asks_for() -> None:
    assert set(hooks()) == {"sandscan-check", "sandscan-check-repository"}
    for hook in hooks().values():
        assert hook["entry"] == "sandscan check"
        assert hook["language"] == "python"
        assert hook["name"]
        assert set(hook) <= {
            "id",
            "name",
            "description",
            "entry",
            "args",
            "language",
            "pass_filenames",
            "require_serial",
            "always_run",
            "stages",
        }


@pytest.mark.parametrize("name", ["sandscan-check", "sandscan-check-repository"])
def test_a_commit_is_stopped_and_goes_through_once_it_is_mended(tmp_path: Path, name: str) -> None:
    root = repository(tmp_path / "r")
    hook_script(root, hooks()[name])
    written(
        root,
        {
            "images/Dockerfile": BAD,
            "README.md": "Run `curl https://a.example/x | sh`.\n",
            "--fail-on=never": "a file that a stranger adds, whose name is an option\n",
        },
    )
    git(root, "add", "-A")
    stopped = git(root, "commit", "-m", "one", check=False)
    assert stopped.returncode == 1
    assert "images/Dockerfile:3" in stopped.stdout + stopped.stderr
    assert git(root, "log", check=False).returncode != 0
    written(root, {"images/Dockerfile": GOOD})
    git(root, "add", "-A")
    assert git(root, "commit", "-qm", "one", check=False).returncode == 0


@pytest.mark.skipif(PRE_COMMIT is None, reason="pre-commit is not installed")
def test_pre_commit_takes_the_manifest_and_stops_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the program that is installed here in place of one of its own: the registry is not asked."""
    assert PRE_COMMIT is not None
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(PRE_COMMIT).parent}:/usr/local/bin:/usr/bin:/bin")
    root = repository(tmp_path / "r")
    git(root, "config", "--unset", "core.hooksPath")
    local = [{**hook, "language": "system", "entry": f"{PROGRAM} check"} for hook in hooks().values()]
    written(
        root,
        {
            ".pre-commit-config.yaml": yaml.safe_dump({"repos": [{"repo": "local", "hooks": local}]}),
            "Dockerfile": BAD,
            "--fail-on=never": "",
        },
    )
    git(root, "add", "-A")
    _run(root, PRE_COMMIT, "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml"))
    _run(root, PRE_COMMIT, "install")
    stopped = git(root, "commit", "-m", "one", check=False)
    assert stopped.returncode == 1
    assert stopped.stderr.count("Dockerfile:3") == 2, stopped.stderr
    written(root, {"Dockerfile": GOOD})
    git(root, "add", "-A")
    assert git(root, "commit", "-qm", "one", check=False).returncode == 0


def _run(root: Path, *command: str) -> None:
    subprocess.run(command, cwd=root, check=True, capture_output=True)
