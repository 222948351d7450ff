"""What a command that only says something loads: nothing that takes a while. What a check loads: what it has a use for."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from scanner.version import tool_version

SLOW = {
    "asyncio", "cryptography", "docker", "email", "hyperscan", "http", "isal", "lief", "lz4", "multiprocessing", "networkx",
    "requests", "rich", "sarif_om", "sqlite3", "ssl", "tree_sitter", "tree_sitter_bash", "urllib3", "yaml", "yara", "zstandard",
}  # fmt: skip


def ran(folder: Path, *arguments: str) -> tuple[int, set[str]]:
    """The exit code of a command, and the modules that it has loaded."""
    code = (
        f"import sys; sys.argv = ['sandscan', *{arguments!r}]\n"
        "from scanner.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as e: print(*sorted(sys.modules), sep='\\n', file=sys.stderr); raise"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder)
    return done.returncode, set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["scan", "--help"], ["check", "--help"], ["completion", "bash"]]
)
def test_help_loads_click_and_the_values_alone(arguments: list[str], tmp_path: Path):
    code, loaded = ran(tmp_path, *arguments)
    assert code == 0
    assert loaded & SLOW == set()
    ours = {name for name in loaded if name.startswith("scanner.")}
    at_hand = ("scanner.cli", "scanner.errors", "scanner.model", "scanner.version")
    assert {name for name in ours if not name.startswith(at_hand)} == set()
    assert "scanner.model.launch" not in ours


def test_a_check_loads_neither_a_prefilter_nor_what_reads_files_that_are_not_there(tmp_path: Path):
    (tmp_path / "Dockerfile").write_text("FROM debian:12\nRUN apt-get update\n")
    (tmp_path / "compose.yaml").write_text("services: {web: {image: nginx}}\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\nmake all\n")
    code, loaded = ran(tmp_path, "check", "-q", "-o", "json=r.json")
    assert code in (0, 1)
    assert {"yara", "scanner.egress.docker.graph"} <= loaded
    assert loaded & {
        "hyperscan", "lief", "networkx", "scanner.cache", "scanner.content.elf", "scanner.content.elffile",
        "scanner.detectors.launchers.python", "scanner.egress.firewall.iptables", "scanner.egress.firewall.nft",
        "scanner.reports.html", "scanner.reports.sarif", "scanner.ssh.sshd_config", "sqlite3",
    } == set()  # fmt: skip


def test_the_version_is_the_installed_one():
    assert tool_version() == version("sandscan")
