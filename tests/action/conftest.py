"""What several files of tests here look at: one run of the whole Action on the replay, and the terminal's word on the same."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.action import forked
from tests.action.composite import SANDSCAN, Ran, Runner, machine


@pytest.fixture(scope="session")
def sandscan() -> Iterator[Path]:
    """sandscan without the time to load it; the run on the replay has the program itself."""
    with forked.program() as program:
        yield program


@pytest.fixture(scope="session")
def replay(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, Ran]:
    """One run on the replay and its launch, for all that it has to show."""
    runner = machine(tmp_path_factory.mktemp("replay"))
    return runner, runner.run(input="replay.tar", launch="compose.yaml", format="html")


@pytest.fixture(scope="session")
def terminal(replay: tuple[Runner, Ran], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The reports that the terminal gives of the replay and its launch, by format."""
    folder = tmp_path_factory.mktemp("terminal")
    files: dict[str, Path] = {form: folder / f"terminal.{form}" for form in ("sarif", "json")}
    subprocess.run(
        (SANDSCAN, "scan", "archive:replay.tar", "--launch=compose.yaml", *(f"-o{k}={v}" for k, v in files.items())),
        cwd=replay[0].workspace,
        env={**os.environ, "SANDSCAN_CACHE_DIR": str(folder / "cache")},
        check=False,
    )
    return {form: json.loads(file.read_bytes()) for form, file in files.items()}
