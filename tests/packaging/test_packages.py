"""The wheel and the sdist: what is in them, that they are the same wherever they are built, and that what installs them works."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.conftest import Built, build
from tests.packaging.wheelhouse import ROOT, UV

REPLAY = ROOT / "fixtures" / "rome-replay.tar"
BIN = Path(sys.prefix) / "bin"


def tracked(*folders: str) -> set[str]:
    """The files that git keeps."""
    done = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()}


def findings(sandscan: list[str | Path], folder: Path) -> list[dict[str, Any]]:
    """What a scan of the replay finds, from another folder and without a cache; it has to end with 1."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [*sandscan, "scan", f"archive:{REPLAY}", "--no-cache", "-o", "json"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    assert {"miner/binary", "tunnel/reverse-ssh", "ssh/authorized-key"} <= {one["rule_id"] for one in found}
    return found


@pytest.fixture(scope="module")
def from_the_tree(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return findings([BIN / "sandscan"], tmp_path_factory.mktemp("elsewhere"))


def test_the_wheel_holds_the_program_and_nothing_of_its_tests(built: Built):
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    version = re.search(r"-([0-9.]+)-", built.wheel.name)
    assert version is not None
    info, data = f"sandscan-{version[1]}.dist-info", f"sandscan-{version[1]}.data/data/share"
    inside = {f"scanner/_{one}" if one.startswith("rules/") else one for one in tracked("scanner", "rules")}
    assert inside <= names
    assert {one.partition("/")[0] for one in names} == {"scanner", info, info.replace("dist-info", "data")}
    assert not [one for one in names if re.search(r"(^|/)(tests?|fixtures|__pycache__|\.[^/]*)(/|$)", one)]
    assert {one for one in names if one.startswith(data)} == {
        *(f"{data}/man/man1/{page.name}" for page in (ROOT / "docs/man/man1").iterdir()),
        f"{data}/bash-completion/completions/sandscan",
        f"{data}/zsh/site-functions/_sandscan",
        f"{data}/fish/vendor_completions.d/sandscan.fish",
    }
    licences = {one for one in names if one.startswith(f"{info}/licenses/")}
    vendored = {f"{info}/licenses/{one}" for one in tracked("scanner/reports/vendor") if one.endswith(".LICENSE")}
    assert licences == {f"{info}/licenses/LICENSE", *vendored}
    for each in ("scanner/py.typed", f"{info}/entry_points.txt"):
        assert each in names


def test_what_the_wheel_says_of_itself(built: Built):
    with zipfile.ZipFile(built.wheel) as wheel:
        [metadata] = [one for one in wheel.namelist() if one.endswith(".dist-info/METADATA")]
        said = Parser().parsestr(wheel.read(metadata).decode())
    assert said["Name"] == "sandscan"
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.11"
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload() == (ROOT / "README.md").read_text()


def test_the_sdist_is_what_git_keeps(built: Built):
    with tarfile.open(built.sdist) as sdist:
        names = {one.name.partition("/")[2] for one in sdist if one.isfile()}
    assert tracked() - names == set()
    assert not [one for one in names if one.startswith((".venv/", ".git/", ".ci/node_modules/"))]


def test_tree_and_sdist_make_the_same_wheel_byte_for_byte(built: Built, tmp_path: Path):
    """The sdist's files have other times than the tree's, and lie elsewhere."""
    with tarfile.open(built.sdist) as sdist:
        sdist.extractall(tmp_path, filter="data")
    [tree] = tmp_path.iterdir()
    again = build(tree, tmp_path / "again")
    of_the_tree = build(ROOT, tmp_path / "tree", "--wheel")
    assert again.sdist.read_bytes() == built.sdist.read_bytes()
    assert again.wheel.read_bytes() == built.wheel.read_bytes() == of_the_tree.wheel.read_bytes()


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_what_a_client_installs_finds_the_same(
    client: str, built: Built, offline: dict[str, str], from_the_tree: list[dict[str, Any]], tmp_path: Path
):
    """pip installs the wheel, uv builds what it installs from the sdist."""
    venv, python = tmp_path / "venv", tmp_path / "venv/bin/python"
    if client == "pip":
        make = [sys.executable, "-m", "venv", venv]
        install = [python, *"-m pip install --quiet --no-cache-dir".split(), built.wheel]
    else:
        make = [UV, "venv", "--quiet", "--python", sys.executable, venv]
        install = [UV, *"pip install --quiet --python".split(), python, built.sdist]
    for command in (make, install):
        subprocess.run(command, check=True, env=offline, cwd=tmp_path)
    asked = [python, "-c", "import scanner; print(scanner.__file__)"]
    place = subprocess.run(asked, capture_output=True, text=True, check=True, cwd="/").stdout
    assert place.startswith(str(tmp_path))
    assert findings([venv / "bin/sandscan"], tmp_path) == from_the_tree


def test_pipx_installs_the_command_and_its_pages(built: Built, offline: dict[str, str], tmp_path: Path):
    env = {
        **offline,
        "PIPX_HOME": str(tmp_path / "home"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIPX_MAN_DIR": str(tmp_path / "man"),
        "PATH": f"{BIN}:{offline['PATH']}",
    }
    subprocess.run([BIN / "pipx", "install", "--quiet", built.wheel], env=env, check=True, capture_output=True)
    assert _version([tmp_path / "bin/sandscan"], env) == _version([BIN / "sandscan"], env)
    pages = {page.name for page in (ROOT / "docs/man/man1").iterdir()}
    assert {page.name for page in (tmp_path / "man/man1").iterdir()} == pages
    assert _version([BIN / "pipx", "run", "--spec", built.wheel, "sandscan"], env) == _version([BIN / "sandscan"], env)


def test_uvx_runs_it(built: Built, offline: dict[str, str], tmp_path: Path):
    env = {**offline, "UV_TOOL_DIR": str(tmp_path / "tools"), "UV_CACHE_DIR": str(tmp_path / "cache")}
    for each in (built.wheel, built.sdist):
        assert _version([UV, "tool", "run", "--from", each, "sandscan"], env) == _version([BIN / "sandscan"], env)


def _version(command: list[str | Path], env: dict[str, str]) -> str:
    done = subprocess.run([*command, "--version"], env=env, cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sandscan ")
    return done.stdout
