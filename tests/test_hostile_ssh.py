"""Trees built to crash, stall or fool the readers of SSH configuration and of commands: the scan ends, and says what it left out."""

from pathlib import Path

import pytest

from scanner import scan
from scanner.model import Level, Report

SSHD = "etc/ssh/sshd_config"
BASE = {
    "etc/passwd": b"root:x:0:0::/root:/bin/sh\nu:x:1:1::/home/u:/bin/sh\n",
    "usr/sbin/sshd": b"\x7fELF" + bytes(60) + b"OpenSSH_9.2\0",
    "usr/bin/ssh": b"\x7fELF" + bytes(60),
}


def scanned(tmp_path: Path, files: dict[str, bytes]) -> Report:
    for path, data in {**BASE, **files}.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    report = scan(f"rootfs:{tmp_path}", cache=False)
    assert [n for n in report.notifications if n.level is Level.ERROR] == []
    return report


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({SSHD: b"PermitRootLogin yes\n" * 450_000}, "larger than 8388608"),
        ({SSHD: b"PermitRootLogin yes\n" * 100_000}, "1048576 bytes"),
        ({SSHD: b"Include /etc/ssh/sshd_config\n" * 30_000}, "1024 files"),
        ({SSHD: b"".join(b"Match User u%d\nPermitRootLogin yes\n" % i for i in range(40_000))}, "1048576 bytes"),
        ({SSHD: b'PermitRootLogin "yes\n' * 60_000}, "1048576 bytes"),
        ({SSHD: b"PermitRootLogin yes\0\n" * 60_000}, "1048576 bytes"),
        ({"etc/passwd": b"".join(b"u%d:x:%d:1::/h:/bin/sh\n" % (i, i) for i in range(330_000))}, "larger than 8388608"),
        ({"etc/passwd": b"".join(b"u%d::%d:1::/h:/bin/sh\n" % (i, i) for i in range(50_000))}, "10000 accounts"),
        ({"etc/rc.local": b"#!/bin/sh\n" + b"a|" * 300_000}, "line by line"),
        ({"etc/rc.local": b"#!/bin/sh\n" + b"ssh -R 1:a:2 b;" * 20_000}, "100 commands"),
        ({"etc/rc.local": b"#!/bin/sh\n" + b"A=aaaaaaaaaa\n" + b"A=$A$A$A$A\n" * 30 + b"ssh -R $A $A\n" * 2000}, "longer than"),
    ],
    ids=["huge", "long", "include-loop", "match", "quotes", "nul", "passwd", "empty-passwords", "pipes", "tunnels", "variables"],
)  # fmt: skip
def test_what_is_left_out_is_said_and_makes_the_scan_incomplete(
    tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    report = scanned(tmp_path, files)

    assert not report.complete
    assert any(said in n.message for n in report.notifications if n.incomplete), report.notifications


@pytest.mark.parametrize("text", [b"(" * 200_000, b"$(" * 200_000, b'"' * 200_001, b"if " * 200_000, b"{" * 200_000])
def test_nested_shell_text_breaks_nothing(tmp_path: Path, text: bytes) -> None:
    report = scanned(tmp_path, {"etc/init.d/x": b"#!/bin/sh\n" + text, "etc/rc.local": b"#!/bin/sh\nssh -R 1:a:2 b\n"})

    [found] = report.findings_of("tunnel/reverse-ssh")
    assert found.locations[0].display == b"etc/rc.local"
