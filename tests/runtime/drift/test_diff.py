"""Whole runs in real containers: honest work leaves notes, an attack is told piece by piece, with what, when and whose.

The containers have this machine's programs, mounted so that they can only be read.
"""

import io
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from fixtures.elf import Program, build
from fixtures.keys import public_line
from fixtures.miners import binaries
from scanner.model import FileLocation, Finding, Report, Severity
from scanner.model.run import ChangeKind, How
from scanner.pipeline import Options
from scanner.runtime.diff import DiffOptions, diff
from scanner.runtime.drift.policy import of_globs, parse
from scanner.sources.plugin import SourceOptions
from scanner.ssh.keys import read_public
from tests.engine_fixture import Engine, program

pytestmark = pytest.mark.engine
IMAGE = "sandscan-test-drift:1"
PASSWD = "root:x:0:0:root:/root:/bin/bash\nagent:x:1000:1000::/home/agent:/bin/bash\n"
KEY = public_line("planted", "me@laptop")
MINER = binaries()["xmrig-stripped"]
HONEST = build(Program(strings=b"an honest tool\n")).ljust(len(MINER), b"\0")
THEN = 1_700_000_000
LOG = "".join(f"Nov 26 12:{i:02} host sshd[1]: Accepted publickey {i}\n" for i in range(20))


def _image() -> bytes:
    """A root without programs: what is usually below /usr is mounted."""
    files: dict[str, bytes | str] = {
        "etc/passwd": PASSWD,
        "etc/shadow": "root:*:1::::::\nagent:!:1::::::\n",
        "etc/group": "root:x:0:\nsudo:x:27:\nagent:x:1000:\n",
        "etc/crontab": "17 * * * * root run-parts /etc/cron.hourly\n",
        "var/log/auth.log": LOG,
        "var/log/wtmp": b"\1" * 768,
        "root/.bash_history": "ls\n",
        "var/lib/dpkg/status": "Package: base\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nMaintainer: x\nDescription: x\n\n",
        "var/lib/dpkg/info/base.list": "/.\n",
        "var/lib/dpkg/info/format": "1\n",
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in (
            "etc",
            "root",
            "tmp",
            "work",
            "home/agent",
            "opt/app",
            "var/tmp",
            "var/log",
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
            "usr",
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o1777 if name.endswith("tmp") else 0o755
            tar.addfile(member)
        for name in ("bin", "sbin", "lib", "lib64"):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(member)
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o644, THEN
            tar.addfile(member, io.BytesIO(data))
        member = tarfile.TarInfo("opt/app/tool")
        member.size, member.mode, member.mtime = len(HONEST), 0o755, THEN
        tar.addfile(member, io.BytesIO(HONEST))
    return out.getvalue()


@dataclass(frozen=True)
class Box:
    """Runs shell scripts in containers of the image."""

    engine: Engine
    payload: Path
    made: list[Any]

    def run(self, script: str, *, stay: bool = False) -> Any:
        """The container, once the script is through; still running where it is to stay."""
        for path in ("/usr", sys.base_prefix, sys.prefix):
            assert Path(path).is_dir()
        mounts = {
            path: {"bind": path, "mode": "ro"} for path in {"/usr", sys.base_prefix, sys.prefix, "/etc/alternatives"}
        }
        mounts[str(self.payload)] = {"bind": "/payload", "mode": "ro"}
        more = "; echo through; exec sleep 300" if stay else ""
        container = self.engine.client.containers.create(
            IMAGE,
            ["/bin/bash", "-ec", f"{script}\n{more.removeprefix('; ')}"],
            volumes=mounts,
            network_mode="none",
            working_dir="/work",
            environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        self.made.append(container)
        container.start()
        if not stay:
            result = container.wait(timeout=60)
            assert result["StatusCode"] == 0, container.logs()[-3000:].decode()
            return container
        end = time.monotonic() + 60
        while b"through" not in container.logs():
            assert time.monotonic() < end, container.logs()[-3000:].decode()
            time.sleep(0.05)
        return container


@pytest.fixture
def box(at_engine: Engine, tmp_path: Path) -> Iterator[Box]:
    with suppress(docker.errors.ImageNotFound):
        at_engine.client.images.remove(IMAGE, force=True)
    at_engine.client.api.import_image_from_data(_image(), repository=IMAGE.partition(":")[0], tag="1")
    payload = tmp_path / "payload"
    payload.mkdir()
    found = Box(at_engine, payload, [])
    yield found
    for container in found.made:
        container.remove(force=True)
    at_engine.client.images.remove(IMAGE, force=True)


def judged(container: Any, **options: Any) -> Report:
    return diff(None, f"container:{container.id}", DiffOptions(**options))


def said(report: Report) -> list[str]:
    return [f"{f.severity} {f.rule_id} {f.message}" for f in report.findings]


def one(report: Report, rule: str) -> Finding:
    found = report.findings_of(rule)
    assert len(found) == 1, said(report)
    return found[0]


def test_an_attack_is_told_piece_by_piece(box: Box):
    (box.payload / "m").write_bytes(MINER)
    (box.payload / "key").write_text(KEY + "\n")
    before = time.time()
    container = box.run(
        f"""
        cat /payload/m > /opt/app/tool && touch -d @{THEN} /opt/app/tool
        mkdir -p /root/.ssh && cat /payload/key >> /root/.ssh/authorized_keys
        echo '*/5 * * * * root /var/tmp/.cache/upd --password hunter2hunter2' >> /etc/crontab
        mkdir /var/tmp/.cache && cp /payload/m /var/tmp/.cache/upd && chmod 755 /var/tmp/.cache/upd
        cp /usr/bin/bash /var/tmp/.b && chmod 4755 /var/tmp/.b
        echo 'toor:x:0:0::/root:/bin/bash' >> /etc/passwd
        tail -n 5 /var/log/auth.log > /tmp/l && cat /tmp/l > /var/log/auth.log && rm /tmp/l /var/log/wtmp
        ln -sf /dev/null /root/.bash_history
        cp /payload/m '/dev/shm/[kworker]' && chmod 755 '/dev/shm/[kworker]'
        echo /usr/lib/libhide.so > /etc/ld.so.preload
        """,
        stay=True,
    )
    report = judged(container, episode="4711")
    assert report.run is not None
    assert (report.run.how, report.run.episode, report.run.subject) == (How.DIFF, "4711", container.name)
    assert report.run.command[:2] == ("/bin/bash", "-ec")
    by_rule = {rule: report.findings_of(rule) for rule in {f.rule_id for f in report.findings}}

    changed = one(report, "drift/changed-executable")
    assert changed.locations[0].display == b"opt/app/tool"
    assert "its size and its time are those of before, though its content is not" in changed.message
    assert changed.details["owner"] == "root"
    programs = {f.locations[0].display: f.severity for f in by_rule["drift/new-executable"]}
    assert programs[b"var/tmp/.cache/upd"] is Severity.HIGH
    assert programs[b"var/tmp/.b"] is Severity.HIGH
    assert programs[b"dev/shm/[kworker]"] is Severity.HIGH
    setuid = one(report, "drift/setuid")
    assert (setuid.severity, setuid.locations[0].display) == (Severity.CRITICAL, b"var/tmp/.b")
    key = one(report, "drift/authorized-key")
    planted = read_public(KEY)
    assert planted is not None
    assert (key.details["fingerprint"], key.details["account"]) == (planted.fingerprint, "root")
    cron = one(report, "drift/persistence")
    assert (cron.severity, cron.locations[0].display) == (Severity.HIGH, b"etc/crontab")
    assert "/var/tmp/.cache/upd, which this run wrote" in cron.message
    assert "hunter2" not in str(report)
    preload = one(report, "drift/preload")
    assert (preload.severity, preload.details["library"]) == (Severity.CRITICAL, "/usr/lib/libhide.so")
    account = one(report, "drift/account")
    assert (account.severity, account.details["account"]) == (Severity.CRITICAL, "toor")
    logs = {f.locations[0].display: f for f in by_rule["drift/deleted-log"]}
    assert "lost 15 of 20 lines" in logs[b"var/log/auth.log"].message
    assert logs[b"var/log/wtmp"].details["change"] == "deleted"
    history = one(report, "drift/history")
    assert (history.severity, history.details["change"]) == (Severity.HIGH, "modified")
    miners = {f.locations[0].display for f in by_rule["miner/binary"]}
    assert miners >= {b"opt/app/tool", b"var/tmp/.cache/upd", b"dev/shm/[kworker]"}
    keys = {f.locations[0].display for f in by_rule["ssh/authorized-key"]}
    assert keys == {b"root/.ssh/authorized_keys"}

    tool = next(c for c in report.run.changes if c.path == b"opt/app/tool")
    assert tool.change is ChangeKind.MODIFIED
    assert tool.time is not None
    assert before - 5 < tool.time < time.time() + 5
    assert report.statistics["changes"] == len(report.run.changes)
    assert all(isinstance(f.locations[0], FileLocation) for f in report.findings)
    assert {f.rule_id for f in report.findings} <= {r.id for r in report.rules}


def test_a_compiler_a_test_suite_and_a_package_leave_notes_alone(box: Box):
    for name in ("gcc", "dpkg", "dpkg-deb"):
        program(name)
    (box.payload / "main.c").write_text("int main(void) { return 0; }\n")
    (box.payload / "test_it.py").write_text("import lib\n\ndef test_it():\n    assert lib.one() == 1\n")
    (box.payload / "lib.py").write_text("def one():\n    return 1\n")
    container = box.run(
        f"""
        mkdir -p build src && cp /payload/main.c src/ && gcc -c src/main.c -o build/main.o && gcc build/main.o -o build/app && ./build/app
        cp /payload/*.py . && {sys.executable} -m pytest -q -p no:cacheprovider test_it.py && {sys.executable} -m pytest -q test_it.py
        mkdir -p p/DEBIAN p/opt/tool/bin p/etc/cron.d && cp build/app p/opt/tool/bin/tool && echo '1 1 * * * root /opt/tool/bin/tool' > p/etc/cron.d/tool
        printf 'Package: tool\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: x\\n' > p/DEBIAN/control
        (cd p && md5sum opt/tool/bin/tool etc/cron.d/tool > DEBIAN/md5sums)
        printf '#!/bin/sh\\nexit 0\\n' > p/DEBIAN/postinst && chmod 755 p/DEBIAN/postinst
        dpkg-deb -b p tool.deb && dpkg -i tool.deb && rm -r p tool.deb
        """
    )
    report = judged(container)
    assert report.run is not None
    assert {f.severity for f in report.findings} == {Severity.NOTE}, said(report)
    expected = {c.path: c.expected for c in report.run.changes}
    assert expected[b"opt/tool/bin/tool"] == "dpkg: tool"
    assert expected[b"etc/cron.d/tool"] == "dpkg: tool"
    assert any(p.endswith(b".pyc") and e == "cache: Python's compiled files" for p, e in expected.items())
    assert expected[b"work/build/app"] is None
    assert [n for n in report.notifications if n.incomplete] == []


def test_a_policy_takes_what_is_expected_and_only_that(box: Box):
    (box.payload / "m").write_bytes(MINER)
    container = box.run(
        "cp /payload/m /work/tool && chmod 4755 /work/tool && cp /payload/m /tmp/.t && chmod 755 /tmp/.t"
    )
    rules = {
        f.rule_id
        for f in judged(container, policy=of_globs(["/work/**"])).findings
        if b"work/" in f.locations[0].display
    }
    assert "drift/setuid" in rules
    assert "miner/binary" in rules
    assert "drift/new-executable" not in rules
    named = parse("expect: [{path: /work/**, rules: [drift/*, drift/setuid, miner/binary]}]", "p")
    report = judged(container, policy=named)
    assert {f.locations[0].display for f in report.findings} == {b"tmp/.t"}, said(report)
    assert report.statistics["expected_findings"] == 1
    assert report.statistics["changes_expected"] == 1


def test_nothing_changed_is_nothing_found(box: Box):
    report = judged(box.run("true"), scanning=Options(source=SourceOptions()))
    assert report.findings == ()
    assert report.run is not None
    assert report.complete
