"""The README's commands are the ones that CI runs, and what it promises of the command line holds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SANDSCAN = (sys.executable, "-c", "from scanner.cli.main import main; main()")
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    [text] = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    return str(text)


def commands(title: str) -> list[str]:
    """The lines in the section's fenced blocks."""
    return [
        line for block in re.findall(r"^```\w*\n(.*?)^```", section(title), re.M | re.S) for line in block.splitlines()
    ]


@pytest.mark.parametrize(
    ("title", "command"),
    [
        (
            "Try it",
            "bash .ci/setup --no-dev && .venv/bin/sandscan scan archive:fixtures/rome-replay.tar --launch fixtures/rome-launch/compose.yaml --sandbox sandbox",
        ),
        ("Test it", "bash .ci/test"),
    ],
)
def test_each_section_has_one_command(title: str, command: str) -> None:
    assert commands(title) == [command]


def test_ci_runs_the_readmes_commands() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    [function] = re.findall(r"^readme\(\) \{\n.*?^\}", script, re.M | re.S)

    for title in ("Try it", "Test it"):
        assert f"$(readme '{title}')" in script
        done = subprocess.run(
            ("bash", "-c", f"{function}\nreadme '{title}'"), cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == commands(title)


def test_the_example_is_what_sandscan_prints() -> None:
    [example] = re.findall(r"^```text\n(.*?)^```", section("What you see"), re.M | re.S)
    done = subprocess.run(
        (*SANDSCAN, *commands("Try it")[0].split("sandscan ")[1].split(), "--no-cache"),
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    printed = re.sub(r"read in .*", "", done.stdout)
    for part in example.split("[…]\n"):
        assert re.sub(r"read in .*", "", part) in printed


def test_the_workflow_runs_the_same_script() -> None:
    assert "bash .ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()
