"""Private keys by format, place and state; nothing of a key is ever shown."""

import re
import subprocess
from pathlib import Path

import pytest

from fixtures import keys
from fixtures.wallet import nobody
from scanner.model import Confidence, FileLocation, Means, MeansKind, Severity, State
from tests.detectors.conftest import Detect, File, Judge
from tests.detectors.ssh_images import STARTED, cut, image, of, only, place
from tests.engine_fixture import program

HIGH, MEDIUM, LOW, NOTE = Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.NOTE
ID = "root/.ssh/id_ed25519"


@pytest.mark.parametrize(
    ("path", "data", "severity", "format_", "words"),
    [
        (ID, keys.openssh("k"), HIGH, "openssh", "256-bit ed25519 key, openssh format, not encrypted"),
        (ID, keys.openssh("k", cipher="aes256-ctr"), MEDIUM, "openssh", "encrypted with aes256-ctr"),
        (ID, keys.pkcs8("k"), HIGH, "pkcs8", "not encrypted"),
        ("home/bob/work.ppk", keys.putty("k"), HIGH, "putty", "putty format"),
        ("home/bob/old.ppk", keys.putty("k", version=2), HIGH, "putty", "putty format"),
        ("root/.ssh/id_dropbear", keys.dropbear("k"), HIGH, "dropbear", "dropbear format"),
        ("srv/deploy", keys.openssh("k"), HIGH, "openssh", "openssh format"),
        ("srv/deploy", keys.pkcs8("k"), MEDIUM, "pkcs8", "of a kind that ssh reads too"),
        ("etc/ssl/private/server.key", keys.pkcs8("k"), NOTE, "pkcs8", "keys of TLS servers"),
        ("usr/lib/python3/dist-packages/x/tests/id", keys.openssh("k"), NOTE, "openssh", "tests and examples"),
        ("usr/share/doc/x/key", keys.openssh("k"), NOTE, "openssh", "tests and examples"),
    ],
)
def test_a_key_is_weighed_by_its_format_and_place(
    detect: Detect, path: str, data: str | bytes, severity: Severity, format_: str, words: str
) -> None:
    found = only("private-key", detect({path: File(data if isinstance(data, bytes) else data.encode(), 0o600)}))

    assert (found.severity, place(found)[0], place(found)[2]) == (severity, path, 0)
    assert found.details["format"] == format_
    assert words in found.message
    assert isinstance(found.locations[0], FileLocation)
    assert found.locations[0].layer.created_by == "RUN step 0"


@pytest.mark.parametrize(
    "kind", [["-t", "rsa", "-b", "2048"], ["-t", "ecdsa"], ["-t", "ed25519"], ["-t", "rsa", "-m", "PEM"]]
)
@pytest.mark.parametrize("phrase", ["", "nobody"])
def test_keys_of_ssh_keygen_are_known(detect: Detect, tmp_path: Path, kind: list[str], phrase: str) -> None:
    made = tmp_path / "key"
    subprocess.run([program("ssh-keygen"), "-q", *kind, "-N", phrase, "-C", "nobody", "-f", made], check=True)

    found = only("private-key", detect({"root/.ssh/id_x": File(made.read_bytes(), 0o600)}))
    assert found.details["encrypted"] is bool(phrase)
    assert found.severity is (MEDIUM if phrase else HIGH)
    if not phrase or "-m" not in kind:
        assert found.details["type"] == {"rsa": "rsa", "ecdsa": "ecdsa-nistp256", "ed25519": "ed25519"}[kind[1]]
        said = subprocess.run([program("ssh-keygen"), "-lf", made], capture_output=True, check=True, text=True).stdout
        assert found.details["fingerprint"] == said.split()[1]
    for part in re.findall(r"[A-Za-z0-9+/]{20,}", made.read_text()):
        assert part not in repr(found)


def test_neither_seed_nor_armour_is_in_any_field(judge: Judge) -> None:
    text = keys.openssh("k")
    said = repr(judge({ID: text.encode(), "srv/k.ppk": keys.putty("k").encode()}))
    for part in re.findall(r"[A-Za-z0-9+/]{40,}", text + keys.putty("k")):
        assert part not in said
    assert nobody("k").hex() not in said


def test_two_keys_of_one_file_are_two_findings_at_their_lines(detect: Detect) -> None:
    text = "# keys\n" + keys.openssh("one") + "\n" + keys.openssh("two")
    one, two = of("private-key", detect({ID: text.encode()}))
    assert (place(one)[1], place(two)[1]) == (2, text[: text.rindex("-----BEGIN")].count("\n") + 1)


def test_a_key_that_a_later_layer_removed_is_still_there(judge: Judge) -> None:
    said = judge({ID: keys.openssh("k").encode()}, {ID: None})
    found = only("private-key", said)
    assert (found.state, found.hidden_by, found.severity) == (State.DELETED, 1, MEDIUM)
    assert not any(isinstance(m, Means) for m in said)


def test_a_visible_key_is_a_means_too(judge: Judge) -> None:
    [means] = [m for m in judge({ID: keys.openssh("k").encode()}) if isinstance(m, Means)]
    assert (means.kind, means.name) == (MeansKind.CREDENTIAL, "ssh private key")


def test_the_same_file_in_two_layers_is_one_finding(detect: Detect) -> None:
    text = keys.openssh("k").encode()
    found = only("private-key", detect({ID: text}, {ID: text}))
    assert place(found) == (ID, 1, 1)
    assert len(found.locations) == 2


def test_a_key_in_an_archive_is_at_its_place_there(detect: Detect) -> None:
    found = only("private-key", detect({"opt/a.tar!/x/.ssh/id_rsa": keys.openssh("k").encode()}))
    assert (place(found)[0], found.severity) == ("opt/a.tar!/x/.ssh/id_rsa", HIGH)


def test_a_package_s_own_key_is_a_note(detect: Detect) -> None:
    found = only("private-key", detect({"opt/x/key": keys.openssh("k").encode()}, owners={"opt/x/key": "vendor"}))
    assert (found.severity, found.confidence) == (NOTE, Confidence.LOW)
    assert "a file of the package vendor" in found.message


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----\n",
        '#define PEM "-----BEGIN RSA PRIVATE KEY-----"\n',
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow...\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "A" * 400 + "\n-----END OPENSSH PRIVATE KEY-----\n",
        "PuTTY-User-Key-File-2: ssh-rsa\n",
        keys.public_line("k"),
    ],
)
def test_a_frame_without_a_key_is_nothing(detect: Detect, text: str) -> None:
    assert of("private-key", detect({ID: text.encode()})) == []


@pytest.mark.parametrize(
    ("files", "config", "severity"),
    [(image(), STARTED, MEDIUM), (image(), None, MEDIUM), (image(daemon=None), None, LOW)],
)
@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("etc/ssh/ssh_host_ed25519_key", keys.openssh("h").encode()),
        ("etc/dropbear/dropbear_ed25519_host_key", keys.dropbear("h")),
    ],
)
def test_a_host_key_is_a_rule_of_its_own(
    detect: Detect, files: dict[str, bytes], config: object, severity: Severity, path: str, data: bytes
) -> None:
    findings = detect(files | {path: File(data, 0o600)}, config=config)
    found = only("host-key-in-image", findings)
    assert (found.severity, place(found)[0]) == (severity, path)
    assert "the same host key in every sandbox" in found.message
    assert of("private-key", findings) == []


def test_a_host_key_that_the_same_build_deleted_later_weighs_less(detect: Detect) -> None:
    path = "etc/ssh/ssh_host_ed25519_key"
    found = only(
        "host-key-in-image", detect(image() | {path: keys.openssh("h").encode()}, {path: None}, config=STARTED)
    )
    assert (found.state, found.severity) == (State.DELETED, LOW)


def test_a_sample_host_key_is_a_note(detect: Detect) -> None:
    findings = detect(image() | {"opt/lib/tests/ssh_host_rsa_key": keys.openssh("h").encode()}, config=STARTED)
    assert of("host-key-in-image", findings) == []
    assert only("private-key", findings).severity is NOTE


def test_a_key_deep_in_a_large_file_is_a_note_with_its_offset(detect: Detect) -> None:
    data = b"\0" * (5 << 20) + keys.openssh("k").encode() + b"\0" * 1000
    found = only("private-key", detect({"opt/blob": data}))
    assert (found.severity, found.confidence) == (NOTE, Confidence.LOW)
    assert isinstance(found.locations[0], FileLocation)
    assert found.locations[0].offset == 5 << 20


def test_more_than_can_be_told_is_said(judge: Judge) -> None:
    said = judge({"srv/all": "".join(keys.openssh(f"k{n}") for n in range(70)).encode()})
    assert len(of("private-key", said)) == 64
    assert cut(said, "more than 64 private keys")
    frames = (b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + b"A" * 100_000) * 600
    assert cut(judge({"srv/all": frames}), "more than 512 frames")
