"""What the Action installs: its own commit and the lock's dependencies, by their hashes, and nothing that nobody hashed."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.action.composite import COMPOSE, REPLAY, ROOT, Runner, modules

export, install, workflow = modules("export", "install", "workflow")
HERE = ROOT / ".github" / "action"
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; [^\\]+)? \\$", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return dict(PIN.findall((HERE / name).read_text("utf-8")))


def test_the_dependencies_are_the_locks():
    assert (HERE / "requirements.txt").read_text("utf-8") == export.runtime(), (
        "uv.lock changed: run .venv/bin/python .github/action/export.py and commit what it writes"
    )


def test_what_builds_sandscan_is_pinned_by_hash_and_clashes_with_nothing():
    text = (HERE / "build.txt").read_text("utf-8")
    found = pins("build.txt")

    assert tuple(map(int, found["hatchling"].split("."))) >= (1, 25)
    assert not set(found) & set(pins("requirements.txt"))
    blocks = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    assert all(
        re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks if block and not block.startswith("#")
    )


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("", None),
        ("0.1.0@sha256:" + "ab" * 32, ("0.1.0", "ab" * 32)),
        ("1.2.3rc1@sha256:" + "0" * 64, ("1.2.3rc1", "0" * 64)),
    ],
)
def test_a_release_is_named_with_its_hash(value: str, meant: object):
    assert install.release(value) == meant


@pytest.mark.parametrize(
    "value",
    [
        "0.1.0",
        "latest",
        "0.1.0@sha256:abc",
        "0.1.0@md5:" + "0" * 32,
        "0.1.0 --hash=sha256:" + "0" * 64,
        "0.1.0@sha256:" + "0" * 64 + "\n--index-url=https://evil.example",
        "0.1.0@sha256:" + "A" * 64,
        "../sandscan@sha256:" + "0" * 64,
    ],
)
def test_a_release_without_a_hash_is_refused(value: str):
    with pytest.raises(workflow.Wrong, match="has no hash"):
        install.release(value)


def test_a_refused_release_fails_the_job_before_anything_is_fetched(tmp_path: Path):
    (tmp_path / "app").mkdir()
    ran = Runner(tmp_path / "app", tmp_path / "temp").run(input="a.tar", version="0.1.0")

    assert ran.failed
    assert ran.answers["exit-code"] == "3"
    assert "has no hash" in ran.said("error")[0]
    assert not (tmp_path / "temp" / "sandscan" / "venv").exists()


def test_the_cache_is_of_this_code_and_these_rules(tmp_path: Path):
    import shutil

    for part in ("rules", "scanner", ".github/action"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "vendor"))
    first = install.digest_of(tmp_path)
    assert install.digest_of(tmp_path) == first
    rule = next((tmp_path / "rules").rglob("*.yar"))
    rule.write_text(rule.read_text("utf-8") + "\n// changed\n", "utf-8")
    assert install.digest_of(tmp_path) != first


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where no package can be had."""
    folder = tmp_path_factory.mktemp("index")
    version = pins("requirements.txt")["idna"]
    wanted = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", f"idna=={version}")
    done = subprocess.run(wanted, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        if os.environ.get("SANDSCAN_TEST_STRICT") == "1":
            pytest.fail(f"no package index: {done.stderr}")
        pytest.skip("needs a package index")


def repository(folder: Path) -> Path:
    workspace = folder / "work" / "app"
    workspace.mkdir(parents=True)
    (workspace / "replay.tar").symlink_to(REPLAY)
    (workspace / "compose.yaml").write_bytes(COMPOSE.read_bytes())
    # what a pull request may bring along, in the folder where every step begins
    for name in ("pip", "hatchling", "json"):
        (workspace / f"{name}.py").write_text("raise SystemExit('taken from the workspace')\n")
    return workspace


def test_the_installed_action_finds_what_the_terminal_finds(index: None, terminal: dict[str, Any], tmp_path: Path):
    workspace = repository(tmp_path)
    runner = Runner(workspace, tmp_path / "temp", environment={"PYTHONPATH": str(workspace)})
    ran = runner.run(input="replay.tar", launch="compose.yaml")

    assert ran.outcomes["python"] == ran.outcomes["install"] == "success", ran.log
    assert ran.answers["exit-code"] == "1", ran.log
    [log] = ran.sarif()
    assert log["runs"][0]["results"] == terminal["sarif"]["runs"][0]["results"]
    assert len(log["runs"][0]["results"]) > 10
    installed = runner.temporary / "sandscan" / "venv" / "lib"
    assert list(installed.rglob("site-packages/scanner/cli/main.py")), "installed, not linked to"
    assert not list(installed.rglob("pytest"))

    released(runner.temporary / "sandscan", tmp_path)


def released(folder: Path, elsewhere: Path) -> None:
    """A wheel that an index offers is installed if it has the hash, and only then. `folder` is where the Action has installed itself."""
    python, program = (folder / "venv" / "bin" / name for name in ("python", "sandscan"))
    words = ("-I", "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", str(ROOT))
    subprocess.run((python, *words, f"--wheel-dir={elsewhere / 'index'}"), check=True)
    [wheel] = (elsewhere / "index").glob("sandscan-*.whl")
    version, digest = wheel.name.split("-")[1], hashlib.sha256(wheel.read_bytes()).hexdigest()
    subprocess.run((python, "-I", "-m", "pip", "uninstall", "--quiet", "--yes", "sandscan"), check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", str(elsewhere / "index"))
        with pytest.raises(workflow.Wrong, match="pip install failed"):
            install.hashed(folder, "--requirement", str(install.pinned(folder, version, "0" * 64)))
        assert not program.exists()
        install.hashed(folder, "--requirement", str(install.pinned(folder, version, digest)))
    assert program.exists()
