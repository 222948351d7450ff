"""`sandscan diff` as a user runs it: an image and a tree, what is printed, what is refused, how it ends."""

import json
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from fixtures.elf import Program, build
from fixtures.image import Step, archive
from fixtures.keys import public_line
from fixtures.miners import binaries
from fixtures.tarball import Member
from scanner.cli.diff import diff
from scanner.errors import ParseError, UsageError
from scanner.runtime.diff import DiffOptions
from scanner.runtime.diff import diff as diff_of
from tests.cli import forked

ELF = build(Program(strings=b"an honest program\n"))


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return forked.run("diff", *arguments, cwd=cwd)


@pytest.fixture
def before(tmp_path: Path) -> Path:
    members = (Member("etc/motd", b"welcome\n"), Member("root/.bash_history", b"ls\nid\n"))
    file = tmp_path / "app.tar"
    file.write_bytes(archive([Step("COPY x /", members)], {}, "app:1"))
    return file


@pytest.fixture
def after(tmp_path: Path) -> Path:
    """The image's own files as they were, and nothing else yet."""
    root = tmp_path / "root"
    for name, content in (("etc/motd", b"welcome\n"), ("root/.bash_history", b"ls\nid\n")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
        (root / name).chmod(0o644)
    return root


def attack(root: Path) -> None:
    (root / "root/.bash_history").unlink()
    (root / "root/.bash_history").symlink_to("/dev/null")
    (root / "root/.ssh").mkdir()
    (root / "root/.ssh/authorized_keys").write_text(public_line("planted") + "\n")
    (root / "work").mkdir()
    (root / "work/app").write_bytes(ELF)


def test_findings_and_changes_are_in_every_report_with_the_episode(tmp_path: Path, before: Path, after: Path):
    attack(after)
    formats = ("-o", "json=report.json", "-o", "jsonl=report.jsonl", "-o", "text")
    done = run(f"archive:{before}", f"rootfs:{after}", "--episode", "4711", *formats, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert {f["rule_id"]: f["severity"] for f in report["findings"] if f["rule_id"].startswith("drift/")} == {
        "drift/history": "high",
        "drift/authorized-key": "high",
        "drift/new-executable": "note",
    }
    assert (report["run"]["how"], report["run"]["episode"]) == ("diff", "4711")
    changes = {c["path"]: c for c in report["run"]["changes"]}
    assert changes["work/app"]["change"] == "added"
    assert changes["root/.bash_history"]["change"] == "modified"
    assert report["target"]["source"] == "rootfs"
    assert report["statistics"]["changes"] == len(changes)
    for words in ("drift/authorized-key", "/root/.ssh/authorized_keys", "is a link to /dev/null now"):
        assert words in " ".join(done.stdout.split()), done.stdout
    lines = (tmp_path / "report.jsonl").read_text().splitlines()
    assert sum("work/app" in line and isinstance(json.loads(line), dict) for line in lines) > 0


def test_nothing_changed_is_exit_code_0(tmp_path: Path, before: Path, after: Path):
    done = run(before, f"rootfs:{after}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "no findings" in done.stdout.lower()


def test_what_the_image_held_before_is_not_the_runs(tmp_path: Path, before: Path, after: Path):
    """The image's own miner is in the image's report, whether nothing changed or something beside it."""
    replay = Path(__file__).parents[2] / "fixtures/rome-replay.tar"
    same = diff_of(f"archive:{replay}", f"archive:{replay}", DiffOptions())
    assert (same.findings, same.run.changes if same.run else None) == ((), ())
    root = tmp_path / "tree"
    shutil.copytree(after, root)
    (root / "opt").mkdir()
    (root / "opt/m").write_bytes(binaries()["xmrig"])
    (root / "opt/m").chmod(0o755)
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    (moved / "opt/m").chmod(0o700)
    (moved / "work").mkdir()
    (moved / "work/m").write_bytes(binaries()["xmrig"])
    report = diff_of(f"rootfs:{root}", f"rootfs:{moved}", DiffOptions())
    assert [f.locations[0].display for f in report.findings_of("miner/binary")] == [b"work/m"]
    changes = {c.path: c.change.value for c in report.run.changes} if report.run else {}
    assert changes[b"opt/m"] == "metadata"


def test_what_is_expected_is_no_finding_and_stays_in_the_list(tmp_path: Path, before: Path, after: Path):
    (after / "tmp").mkdir()
    (after / "tmp/.x").write_bytes(ELF)
    (tmp_path / "p.yaml").write_text("expect:\n  - path: /tmp/**\n    reason: known\n")
    (after / "work").mkdir()
    (after / "work/a").write_bytes(ELF)
    options = ("--policy", "p.yaml", "--expect", "/work/*")
    done = run(before, f"rootfs:{after}", *options, "-o", "json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert (done.returncode, report["findings"]) == (0, [])
    why = {c["path"]: c["expected"] for c in report["run"]["changes"] if c.get("expected")}
    assert (why["tmp/.x"], why["work/a"]) == ("policy: /tmp/** (known)", "policy: /work/*")
    assert report["statistics"]["changes_expected"] == len(why)


def refused(*arguments: str) -> str:
    """What the command says of arguments that it does not take."""
    with pytest.raises((UsageError, ParseError, click.UsageError)) as raised:
        diff.main(list(arguments), standalone_mode=False)
    return str(raised.value)


def test_what_is_refused_and_why(tmp_path: Path, before: Path, after: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("expct: []\n")
    (tmp_path / "rule.yaml").write_text("expect: [{path: a, rules: [drift/setud]}]\n")
    pair = (str(before), f"rootfs:{after}", "--no-cache")
    assert "Missing" in refused() or "required" in refused()
    assert "name one AFTER, or a BEFORE and an AFTER" in refused("a", "b", "c")
    assert "only a container knows what it was made from" in refused("rootfs:x")
    assert "--expect" in refused(*pair, "--expect", "/")
    assert "cannot read the policy none.yaml" in refused(*pair, "--policy", "none.yaml")
    assert "bad.yaml:1:1: a policy has no key 'expct'; did you mean expect?" in refused(*pair, "--policy", "bad.yaml")
    assert "did you mean drift/setuid?" in refused(*pair, "--policy", "rule.yaml")
    assert "name it with --launch FILE" in refused(*pair, "--runner", "docker")


def test_what_is_not_there_is_told_without_a_traceback(tmp_path: Path, before: Path):
    done = run(before, "rootfs:none", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sandscan: ")
    assert "none" in done.stderr


def test_a_launch_goes_into_the_same_report(tmp_path: Path, before: Path, after: Path):
    attack(after)
    (tmp_path / "compose.yaml").write_text("services:\n  app:\n    image: app:1\n    network_mode: host\n")
    done = run(before, f"rootfs:{after}", "--launch", "compose.yaml", "-o", "json", "--fail-on", "never", cwd=tmp_path)
    report = json.loads(done.stdout)
    rules = {f["rule_id"] for f in report["findings"]}
    assert {"drift/authorized-key"} < rules
    assert any(r.startswith("egress/") for r in rules)
    assert report["launch"]["files"] == ["compose.yaml"]
    assert [one["name"] for one in report["sandboxes"]] == ["app"]
