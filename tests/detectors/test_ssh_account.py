"""Accounts with empty passwords, and files of ssh that others can write or read."""

import pytest

from fixtures import keys
from scanner.model import Confidence, ImageConfig, Severity
from tests.detectors.conftest import Detect, File, Judge
from tests.detectors.ssh_images import CONFIG, STARTED, cut, image, of, only, place, program

HIGH, MEDIUM, LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
OPEN = {"etc/shadow": b"root:*:1:0:9:7:::\nbob::1:0:9:7:::\ntunnel::1:0:9:7:::\n"}
TAKES = "PasswordAuthentication yes\nPermitEmptyPasswords yes\n"


@pytest.mark.parametrize(
    ("files", "config", "severity", "words"),
    [
        (image(daemon=None), None, LOW, "no ssh daemon lies in the image"),
        (image(), STARTED, MEDIUM, "no daemon of the image takes it"),
        (image(TAKES), STARTED, HIGH, "and sshd takes it"),
        (image(TAKES), None, MEDIUM, "nothing in the image starts it"),
        (image("PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitEmptyPasswords yes\n"), STARTED, MEDIUM, "no daemon"),
        (image("Match User bob\nPermitEmptyPasswords yes\n"), STARTED, HIGH, "and sshd takes it"),
        (image("Match User root\nPermitEmptyPasswords yes\n"), STARTED, MEDIUM, "no daemon"),
        (image(TAKES + "DenyUsers bob\n"), STARTED, MEDIUM, "no daemon"),
        (image(TAKES + "Bad yes\n"), STARTED, MEDIUM, "inert: line 3"),
        (image(daemon=None) | {"usr/sbin/dropbear": program()}, ImageConfig(cmd=("dropbear", "-FB")), HIGH, "and dropbear takes it"),
        (image(daemon=None) | {"usr/sbin/dropbear": program()}, ImageConfig(cmd=("dropbear", "-F")), MEDIUM, "no daemon"),
    ],
)  # fmt: skip
def test_an_empty_password_counts_where_a_daemon_takes_it(
    detect: Detect, files: dict[str, bytes], config: ImageConfig | None, severity: Severity, words: str
) -> None:
    found = only("empty-password-account", detect(files | OPEN, config=config))

    assert (found.severity, found.confidence, place(found)) == (severity, Confidence.HIGH, ("etc/shadow", 2, 0))
    assert "The account bob has an empty password" in found.message
    assert words in found.message
    assert (found.details["account"], found.details["shell"]) == ("bob", "/bin/bash")


def test_root_needs_permit_root_login_for_it(detect: Detect) -> None:
    files = {"etc/shadow": b"root::1:0:9:7:::\nbob:*:1:0:9:7:::\n"}
    assert only("empty-password-account", detect(image(TAKES) | files, config=STARTED)).severity is MEDIUM
    both = image(TAKES + "PermitRootLogin yes\n") | files
    assert only("empty-password-account", detect(both, config=STARTED)).severity is HIGH


@pytest.mark.parametrize(
    ("passwd", "shadow", "where"),
    [
        (b"a::1:1::/a:/bin/sh\n", b"", ("etc/passwd", 1, 0)),
        (b"# c\na:x:1:1::/a:\n", b"a::::::::\n", ("etc/shadow", 1, 0)),
        (b"a:x:1:1::/a:/usr/sbin/nologin\n", b"a::::::::\n", None),
        (b"a:x:1:1::/a:/bin/false\n", b"a::::::::\n", None),
        (b"a:x:1:1::/a:/bin/sh\n", b"a:!::::::::\n", None),
        (b"a:x:1:1::/a:/bin/sh\n", b"a:*:::::::\n", None),
        (b"a:x:1:1::/a:/bin/sh\n", b"", None),
        (b"a:x:1:1::/a:/bin/sh\na::2:2::/b:/bin/sh\n", b"a:*:::::::\n", None),
        (b"+::::::\nbroken\n:::::::\n", b"", None),
    ],
)
def test_only_an_empty_field_of_an_account_with_a_shell_is_one(
    detect: Detect, passwd: bytes, shadow: bytes, where: tuple[str, int, int] | None
) -> None:
    found = of("empty-password-account", detect({"etc/passwd": passwd, "etc/shadow": shadow}))
    assert [place(f) for f in found] == ([where] if where else [])


def test_many_open_accounts_are_cut_and_said(judge: Judge) -> None:
    rows = b"".join(b"u%d::%d:1::/h:/bin/sh\n" % (n, n) for n in range(60))
    said = judge({"etc/passwd": rows})
    assert len(of("empty-password-account", said)) == 50
    assert cut(said, "60 accounts need no password")


@pytest.mark.parametrize("file", [File(b"", 0o666), File(b"", 0o664), File(b"", 0o644, 1000)])
def test_a_configuration_that_others_can_write_is_one(detect: Detect, file: File) -> None:
    found = only("file-mode", detect(image(None) | {CONFIG: file}, config=STARTED))
    assert (found.severity, place(found)) == (MEDIUM, (CONFIG, None, 0))
    assert f"mode {file.mode:o}, owner {file.uid}:0" in found.message
    assert (found.details["mode"], found.details["uid"]) == (f"{file.mode:o}", file.uid)
    assert only("file-mode", detect(image(None, daemon=None) | {CONFIG: file})).severity is LOW


@pytest.mark.parametrize(
    ("path", "mode", "found"),
    [
        ("root/.ssh/id_ed25519", 0o644, True),
        ("root/.ssh/id_ed25519", 0o640, True),
        ("root/.ssh/id_ed25519", 0o600, False),
        ("etc/ssh/ssh_host_ed25519_key", 0o644, True),
        ("etc/ssh/ssh_host_ed25519_key", 0o640, False),
        ("srv/tls/key.pem", 0o644, False),
    ],
)
def test_a_private_key_that_others_can_read_is_one(detect: Detect, path: str, mode: int, found: bool) -> None:
    findings = of("file-mode", detect(image() | {path: File(keys.openssh("k").encode(), mode)}, config=STARTED))
    assert [(f.severity, place(f)) for f in findings] == ([(LOW, (path, None, 0))] if found else [])
