"""Which file holds: the nearest one up to the repository's root, and none from above it."""

import os
import time
from pathlib import Path

import pytest

from scanner.errors import UsageError
from scanner.settings import find

TABLE = "[tool.sandscan]\nfail-on = 'low'\n"


def put(file: Path, text: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def found(start: Path) -> Path | None:
    one = find(start)
    return None if one is None else one.path


def test_the_nearest_one_up_to_the_root_holds(tmp_path: Path) -> None:
    put(tmp_path / ".sandscan.yaml")
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    deep = root / "a/b"
    deep.mkdir(parents=True)
    assert found(deep) is None, "what stands above the root holds for nothing in it"
    top = put(root / ".sandscan.yaml")
    assert found(deep) == top
    near = put(root / "a/.sandscan.yml")
    assert found(deep) == near
    assert found(root) == top


def test_a_worktrees_root_is_one_too(tmp_path: Path) -> None:
    put(tmp_path / ".sandscan.yaml")
    put(tmp_path / "tree/.git", "gitdir: elsewhere")
    assert found(tmp_path / "tree") is None


def test_without_a_repository_the_folder_itself_counts_alone(tmp_path: Path) -> None:
    top = put(tmp_path / ".sandscan.yaml")
    (tmp_path / "below").mkdir()
    assert found(tmp_path) == top
    assert found(tmp_path / "below") is None


def test_a_folder_that_everybody_writes_to_is_no_repository(tmp_path: Path) -> None:
    """Whoever may write to /tmp must not decide about what somebody else has there."""
    shared = tmp_path / "shared"
    put(shared / ".sandscan.yaml", "fail-on: never")
    (shared / ".git").mkdir()
    below = shared / "mine/deep"
    below.mkdir(parents=True)
    assert found(below) == shared / ".sandscan.yaml"
    shared.chmod(0o1777)
    assert found(below) is None
    (shared / "mine/.git").mkdir()
    mine = put(shared / "mine/.sandscan.yaml")
    assert found(below) == mine
    assert found(shared) == shared / ".sandscan.yaml"


def test_both_spellings_are_an_error(tmp_path: Path) -> None:
    put(tmp_path / ".sandscan.yaml")
    put(tmp_path / ".sandscan.yml")
    with pytest.raises(UsageError, match=r"which of them holds\? Remove one"):
        find(tmp_path)


def test_the_own_file_holds_before_the_projects_table(tmp_path: Path) -> None:
    project = put(tmp_path / "pyproject.toml", TABLE)
    assert found(tmp_path) == project
    own = put(tmp_path / ".sandscan.yaml")
    one = find(tmp_path)
    assert one is not None
    assert (one.path, one.instead_of) == (own, project)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (TABLE, True),
        ("tool.sandscan.fail-on = 'low'", True),
        ("[project]\nname = 'sandscan'", False),
        ("[tool]\nother = 'sandscan'", False),
        ("[tool.other]\nx = '[tool.sandscan]'", False),
        ("", False),
        ("[tool.sandscan\n", True),  # broken, but it was meant: whoever loads it says what is wrong
        ("sandscan = [\n", False),
    ],
)
def test_a_project_without_the_table_is_passed_by(tmp_path: Path, text: str, holds: bool) -> None:
    (tmp_path / ".git").mkdir()
    below = tmp_path / "below"
    below.mkdir()
    put(below / "pyproject.toml", text)
    top = put(tmp_path / ".sandscan.yaml")
    assert found(below) == (below / "pyproject.toml" if holds else top)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("# tool.sandscan\n" + ".".join(["a"] * 60_000) + " = 1", True),
        ("# sandscan\n" + "a = 1\n" * 200_000, False),
        ("# tool.sandscan\n" + "[" * 100_000, True),
    ],
    ids=["key", "long", "deep"],
)
def test_a_hostile_project_is_not_read_for_long(tmp_path: Path, text: str, holds: bool) -> None:
    project = put(tmp_path / "pyproject.toml", text)
    begun = time.process_time()
    assert found(tmp_path) == (project if holds else None)
    assert time.process_time() - begun < 2


def test_a_pipe_for_a_project_is_passed_by(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pyproject.toml")
    assert find(tmp_path) is None
