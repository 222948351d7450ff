"""Authorized keys: whose account each opens, whether a daemon reads it, and where it came from."""

import time

import pytest

from fixtures import keys
from scanner.model import Confidence, FileLocation, ImageConfig, Severity, State
from tests.detectors.conftest import Detect, File, Folder, Judge, Link
from tests.detectors.ssh_images import PASSWD, STARTED, cut, enabled, image, of, only, place, program

HIGH, MEDIUM, LOW, NOTE = Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.NOTE
ROOT = "root/.ssh/authorized_keys"
KEY = keys.public_line("planted", "mallory@example")


def line(options: str = "", what: str = "planted") -> bytes:
    return f"{options} {keys.public_line(what, 'mallory@example')}\n".lstrip().encode()


def test_a_planted_key_is_named_with_its_line_layer_and_account(detect: Detect) -> None:
    findings = detect(image(), {ROOT: b"# ci\n" + line()}, config=STARTED)

    found = only("authorized-key", findings)
    assert (found.severity, found.confidence, place(found)) == (HIGH, Confidence.HIGH, (ROOT, 2, 1))
    assert isinstance(found.locations[0], FileLocation)
    assert found.locations[0].layer.created_by == "RUN step 1"
    assert found.message == "ed25519 key (mallory@example) opens root's account; sshd starts with the container."
    assert found.details["account"] == "root"
    assert str(found.details["fingerprint"]).startswith("SHA256:")
    assert KEY.split()[1] not in repr(found)


@pytest.mark.parametrize(
    ("files", "given", "severity", "words"),
    [
        (image(daemon=None), {}, LOW, "no ssh daemon lies in the image"),
        (image(), {}, MEDIUM, "nothing in the image starts sshd"),
        (image() | enabled(), {}, HIGH, "only an init system or a script starts sshd"),
        (image(), {"config": STARTED}, HIGH, "sshd starts with the container"),
        (image(None), {"config": STARTED}, HIGH, "sshd starts with the container"),
        (image("PermitRootLogin no\n"), {"config": STARTED}, MEDIUM, "PermitRootLogin is no"),
        (image("PermitRootLogin forced-commands-only\n"), {"config": STARTED}, MEDIUM, "forced command alone"),
        (image("PubkeyAuthentication no\n"), {"config": STARTED}, MEDIUM, "PubkeyAuthentication is off"),
        (image("AllowUsers bob\n"), {"config": STARTED}, MEDIUM, "AllowUsers keeps it out"),
        (image("DenyGroups root\n"), {"config": STARTED}, MEDIUM, "DenyGroups keeps it out"),
        (image("AllowUsers root@10.0.0.*\n"), {"config": STARTED}, HIGH, "sshd starts"),
        (image("AuthorizedKeysFile /etc/keys/%u\n"), {"config": STARTED}, MEDIUM, "no daemon of the image reads the file"),
        (image("AuthorizedKeysFile none\n"), {"config": STARTED}, MEDIUM, "no daemon of the image reads the file"),
        (image("Match User root\nPubkeyAuthentication no\n"), {"config": STARTED}, MEDIUM, "PubkeyAuthentication is off"),
        (image("Match User bob\nPubkeyAuthentication no\n"), {"config": STARTED}, HIGH, "sshd starts"),
        (image("PermitRotLogin yes\n"), {"config": STARTED}, MEDIUM, "inert: line 1 keeps sshd from starting"),
        (image(daemon=None) | {"usr/sbin/dropbear": program()}, {"config": ImageConfig(cmd=("dropbear", "-F"))}, HIGH, "dropbear starts"),
    ],
)  # fmt: skip
def test_the_daemon_decides_how_much_it_weighs(
    detect: Detect, files: dict[str, bytes], given: dict[str, object], severity: Severity, words: str
) -> None:
    found = only("authorized-key", detect(files | {ROOT: line()}, **given))

    assert (found.severity, place(found)) == (severity, (ROOT, 1, 0))
    assert words in found.message


@pytest.mark.parametrize(
    ("options", "severity", "words"),
    [
        ('command="/usr/bin/true"', HIGH, "(runs one command)"),
        ('restrict,command="/usr/bin/true"', MEDIUM, "(runs one command, forwards nothing)"),
        ("restrict", HIGH, "(forwards nothing)"),
        ('from="10.0.0.0/8,192.0.2.1"', HIGH, "(from 10.0.0.0/8, 192.0.2.1)"),
        ('expiry-time="20300101"', HIGH, "(until 2030-01-01 00:00:00)"),
        ("cert-authority", HIGH, "certificate authority's key"),
        ('permitopen="x', LOW, ""),
        ("no-such-option", LOW, "sshd skips the line"),
    ],
)
def test_options_are_said(detect: Detect, options: str, severity: Severity, words: str) -> None:
    found = of("authorized-key", detect(image() | {ROOT: line(options)}, config=STARTED))
    if options.count('"') % 2:
        assert found == []  # a quote that is never closed hides the key from sshd
        return
    [one] = found
    assert one.severity is severity
    assert words in one.message


def test_a_secret_of_a_forced_command_is_masked(detect: Detect) -> None:
    options = 'command="curl -u me:hunter2secret https://example.org"'
    found = only("authorized-key", detect(image() | {ROOT: line(options)}, config=STARTED))
    assert "hunter2secret" not in repr((found.message, found.details, found.evidence))
    assert "curl" in str(found.details["forced_command"])


@pytest.mark.parametrize(
    ("pattern", "path", "account"),
    [
        ("/etc/ssh/authorized_keys/%u", "etc/ssh/authorized_keys/bob", "bob"),
        ("/etc/ssh/keys-%U", "etc/ssh/keys-1000", "bob"),
        ("%h/.ssh/more_keys", "home/bob/.ssh/more_keys", "bob"),
        (".ssh/authorized_keys2", "home/bob/.ssh/authorized_keys2", "bob"),
        ("/srv/%%/authorized_keys", "srv/%/authorized_keys", "root"),
        ("/var/lib/authorized_keys", "var/lib/authorized_keys", "root"),
    ],
)
def test_files_by_authorized_keys_file_are_read(detect: Detect, pattern: str, path: str, account: str) -> None:
    found = only("authorized-key", detect(image(f"AuthorizedKeysFile {pattern}\n") | {path: line()}, config=STARTED))
    assert (found.severity, place(found)[0], found.details["account"]) == (HIGH, path, account)


def test_a_file_that_was_not_kept_is_said(judge: Judge) -> None:
    said = judge(image("AuthorizedKeysFile /opt/k/%u\n") | {"opt/k/root": line()}, config=STARTED)
    assert [n.path for n in cut(said, "holds authorized keys")] == [b"opt/k/root"]


def test_a_link_to_the_file_is_followed(detect: Detect) -> None:
    files = image() | {ROOT: Link("/srv/team/authorized_keys"), "srv/team/authorized_keys": line()}
    found = only("authorized-key", detect(files, config=STARTED))
    assert (found.severity, place(found), found.details["account"]) == (
        HIGH,
        ("srv/team/authorized_keys", 1, 0),
        "root",
    )


def test_a_key_that_a_later_layer_removed_weighs_less(detect: Detect) -> None:
    found = only("authorized-key", detect(image() | {ROOT: line()}, {ROOT: None}, config=STARTED))
    assert (found.state, found.hidden_by, found.severity) == (State.DELETED, 1, MEDIUM)
    assert "was to open root's account" in found.message

    found = only("authorized-key", detect(image() | {ROOT: line()}, {ROOT: b"# none\n"}, config=STARTED))
    assert (found.state, found.hidden_by, place(found)) == (State.OVERWRITTEN, 1, (ROOT, 1, 0))


def test_a_file_that_grew_over_two_layers_tells_each_key_once_with_its_first_place(detect: Detect) -> None:
    findings = detect(
        image() | {ROOT: line("", "old")}, {ROOT: b"\n" + line("", "old") + line("", "new")}, config=STARTED
    )

    old, new = of("authorized-key", findings)
    assert (place(old), place(new)) == ((ROOT, 2, 1), (ROOT, 3, 1))
    [related] = old.locations[1:]
    assert isinstance(related, FileLocation)
    assert (related.line, related.layer.index) == (1, 0)
    assert new.locations[1:] == ()


@pytest.mark.parametrize(
    ("files", "where", "what"),
    [
        ({ROOT: File(line(), 0o666)}, ROOT, "holds"),
        ({ROOT: File(line(), 0o600, 1000)}, ROOT, "holds"),
        ({ROOT: line(), "root/.ssh": Folder(0o777)}, "root/.ssh", "lies above"),
        ({ROOT: line(), "root": Folder(0o775)}, "root", "lies above"),
    ],
)
def test_strict_modes_keep_sshd_from_what_others_can_write(
    detect: Detect, files: dict[str, bytes], where: str, what: str
) -> None:
    findings = detect(image() | files, config=STARTED)
    found, mode = only("authorized-key", findings), only("file-mode", findings)
    assert found.severity is MEDIUM
    assert f"StrictModes keeps sshd from reading it: others can write {where}" in found.message
    assert (mode.severity, place(mode)) == (MEDIUM, (where, None, 0))
    assert f"{what} authorized keys" in mode.message

    findings = detect(image("StrictModes no\n") | files, config=STARTED)
    assert only("authorized-key", findings).severity is HIGH
    assert only("file-mode", findings).severity is HIGH


def test_modes_that_are_right_are_no_finding(detect: Detect) -> None:
    bob = {
        "home/bob/.ssh/authorized_keys": File(line(), 0o600, 1000),
        "home/bob/.ssh": Folder(0o700, 1000),
        "home/bob": Folder(0o755, 1000),
    }
    findings = detect(image() | bob | {"home": Folder(0o777)}, config=STARTED)
    assert of("file-mode", findings) == []
    assert only("authorized-key", findings).severity is HIGH


def test_an_account_without_a_shell_can_still_forward(detect: Detect) -> None:
    path = "home/tunnel/.ssh/authorized_keys"
    found = only("authorized-key", detect(image() | {path: line()}, config=STARTED))
    assert found.severity is MEDIUM
    assert "tunnel's account, which has no shell and can still forward" in found.message


def test_a_locked_account_is_closed_without_pam(detect: Detect) -> None:
    files = {"etc/shadow": b"root:!:1:0:9:7:::\n", ROOT: line()}
    assert only("authorized-key", detect(image() | files, config=STARTED)).severity is MEDIUM
    assert only("authorized-key", detect(image("UsePAM yes\n") | files, config=STARTED)).severity is HIGH


@pytest.mark.parametrize(
    ("path", "given", "words"),
    [
        ("opt/lib/tests/x/.ssh/authorized_keys", {}, "tests and examples"),
        ("usr/share/doc/x/.ssh/authorized_keys", {}, "tests and examples"),
        (
            "opt/x/.ssh/authorized_keys",
            {"owners": {"opt/x/.ssh/authorized_keys": "samples"}},
            "a file of the package samples",
        ),
    ],
)
def test_a_sample_is_a_note(detect: Detect, path: str, given: dict[str, object], words: str) -> None:
    found = only("authorized-key", detect(image() | {path: line()}, config=STARTED, **given))
    assert found.severity is NOTE
    assert words in found.message


def test_an_account_that_lives_among_tests_is_no_sample(detect: Detect) -> None:
    files = {"etc/passwd": PASSWD + b"ci:x:7:7::/opt/tests:/bin/sh\n", "opt/tests/.ssh/authorized_keys": line()}
    assert only("authorized-key", detect(image() | files, config=STARTED)).severity is HIGH


def test_many_keys_are_cut_and_said(judge: Judge) -> None:
    lines = b"".join(line("", f"n{n}") for n in range(300)) + b"\xff\0x\n" * 100_000
    begun = time.process_time()
    said = judge(image() | {ROOT: lines}, {ROOT: lines}, {ROOT: lines + b"\n"}, config=STARTED)

    assert time.process_time() - begun < 20
    assert len(of("authorized-key", said)) == 200
    assert cut(said, "holds 300 keys")
    assert cut(said, "lines and")
