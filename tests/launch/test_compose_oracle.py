"""What the scanner makes of a Compose project against what `docker compose config` prints for it."""

import json
import os
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scanner.errors import ScannerError
from tests.launch.compose_oracle import GOLDEN, Case, compare, differences, expected, made, ours, program, written

CASES: list[dict[str, Any]] = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("number", range(len(CASES)))
def test_recorded_projects_are_read_as_compose_printed_them(number: int, tmp_path: Path) -> None:
    golden = CASES[number]
    case = Case(golden["files"], tuple(golden["given"]), golden["environment"], tuple(golden["profiles"]))
    folder = tmp_path / "proj"
    folder.mkdir()
    written(case, folder)
    if golden["config"] is None:
        # Compose refuses it; the scanner may be more lenient, but not fail in any other way
        with suppress(ScannerError):
            ours(case, folder)
        return
    assert differences(ours(case, folder), expected(golden["config"])) == []


def test_there_are_recorded_projects_of_every_kind() -> None:
    accepted = [case for case in CASES if case["config"] is not None]
    assert len(accepted) >= 25
    text = json.dumps([case["files"] for case in accepted])
    for word in (
        "!reset",
        "!override",
        "extends",
        "include",
        "env_file",
        "volumes_from",
        "profiles",
        "${UNSET_1",
        "base.yaml",
    ):
        assert word in text, word
    assert any(len(case["given"]) > 1 for case in accepted)


def test_random_projects_are_read_as_compose_reads_them(tmp_path: Path) -> None:
    compose = program()
    if compose is None:
        # where nothing may be skipped, a Compose that is named must be there
        if os.environ.get("SANDSCAN_TEST_STRICT") == "1" and os.environ.get("SANDSCAN_TEST_COMPOSE"):
            pytest.fail("SANDSCAN_TEST_COMPOSE names no Compose v2")
        pytest.skip("no Compose v2 is installed")
    verdicts: dict[str, int] = {}
    for number in range(60):
        case = made(Random(f"test/{number}"))
        folder = tmp_path / str(number) / "proj"
        folder.mkdir(parents=True)
        verdict, found = compare(compose, case, folder)
        assert verdict != "wrong", f"{folder}: {found}"
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
    assert verdicts["same"] > 30
