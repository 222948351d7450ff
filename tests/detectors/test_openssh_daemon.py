"""The parts that the judges of ssh share: accounts, the daemon's version and starts, who may log in. And all of it on any bytes."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures import keys
from scanner.detectors.openssh.accounts import accounts
from scanner.detectors.openssh.daemon import daemon
from scanner.detectors.openssh.logins import logins
from scanner.detectors.openssh.weights import Reach, at_most, lowered, of_daemon
from scanner.model import Finding, Image, ImageConfig, Layer, Notification, Severity, Target
from scanner.oci.filesystem import Filesystem
from scanner.oci.packages import Packages
from scanner.oci.table import FILE, EntryTable
from scanner.oci.view import ImageView
from tests.detectors.conftest import Detect, File, Judge
from tests.detectors.ssh_images import CONFIG, PASSWD, SHADOW, STARTED, cut, image, of, only
from tests.engine_fixture import program


def view(files: dict[str, bytes]) -> ImageView:
    """The squashed root alone: no evidence, every file kept."""
    table = EntryTable()
    for path, data in files.items():
        table.add(path.encode(), FILE, 0o644, 0, 0, 0, 0, len(data))
    kept = {path.encode(): data for path, data in files.items()}
    layers = (Layer(0, "sha256:0", "RUN x"),)
    return ImageView(
        target=Target("rootfs", "t", "t"),
        image=Image(None, "linux/amd64", None, ImageConfig(), layers),
        sightings=(),
        packages=Packages([dict]),
        files=Filesystem(layers, [lambda: table], [lambda: kept]),
    )


# ---- accounts


def test_accounts_are_read_with_their_groups_and_passwords() -> None:
    files = {
        "etc/passwd": b"# c\n+nis::::::\nroot:x:0:0::/root:/bin/bash\nbob:x:1000:50::/home/bob/:\nroot:x:1:1::/:/bin/sh\n",
        "etc/shadow": b"root:!$6$x:1:::::\nbob::1:::::\n",
        "etc/group": b"users:x:50:\nwheel:x:10:bob,root\ndocker:x:11:bob\n",
    }
    root, bob = accounts(view(files)).all
    assert (root.name, root.uid, root.locked, root.groups, root.can_login) == ("root", 0, True, ("wheel",), True)
    assert (bob.home, bob.groups, bob.locked) == (b"home/bob", ("users", "wheel", "docker"), False)
    assert bob.empty_password is not None
    assert (bob.empty_password.path, bob.empty_password.line) == (b"etc/shadow", 2)
    assert bob.location.line == 4


def test_a_passwd_that_was_not_kept_is_said() -> None:
    one = view({"etc/passwd": PASSWD})
    empty = ImageView(one.target, one.image, (), one.packages, Filesystem(one.image.layers, one.files._load, [dict]))
    [note] = accounts(empty).notes
    assert (note.path, "was not read" in note.message) == (b"etc/passwd", True)


def test_they_are_read_once() -> None:
    one = view({"etc/passwd": PASSWD})
    assert accounts(one) is accounts(one)
    assert daemon(one) is daemon(one)
    assert logins(one) is logins(one)


# ---- weights


def test_a_daemon_that_is_not_there_makes_everything_low() -> None:
    for severity in Severity:
        assert of_daemon(severity, Reach.ABSENT).rank <= Severity.LOW.rank
        assert of_daemon(severity, Reach.STARTS) is severity
        assert of_daemon(severity, Reach.INSTALLED) is lowered(severity)
        assert at_most(severity, Severity.NOTE) is Severity.NOTE


# ---- the real program


def test_the_version_of_the_real_sshd_is_what_it_says_of_itself(detect: Detect) -> None:
    path = Path(program("sshd"))
    said = subprocess.run([program("ssh"), "-V"], capture_output=True, check=True, text=True).stderr
    version = re.match(r"OpenSSH_(\d+\.\d+)", said)
    assert version is not None

    findings = detect(image() | {"usr/sbin/sshd": File(path.read_bytes(), 0o755)}, config=STARTED)
    assert only("sshd-starts", findings).details["version"] == version[1]


@pytest.mark.parametrize(
    "config",
    [
        "PermitRootLogin yes\n",
        "PermitRotLogin yes\n",
        "PermitRootLogin maybe\n",
        "Match User a\nPermitRootLogin yes\nPort 22\n",
        "Subsystem sftp /a\nSubsystem sftp /b\n",
        "Ciphers nonsense\n",
        "AuthorizedKeysCommand /bin/true\n",
        "X11Forwarding yes extra\n",
        "Match\n",
        "AllowTcpForwarding 'yes\n",
        "\tx11forwarding=YES # comment\n",
    ],
)
def test_a_line_is_inert_where_the_real_sshd_refuses_it(detect: Detect, tmp_path: Path, config: str) -> None:
    sshd = program("sshd")
    version = subprocess.run([program("ssh"), "-V"], capture_output=True, check=True, text=True).stderr[8:11]
    key = tmp_path / "key"
    subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (tmp_path / "config").write_text(config)
    done = subprocess.run([sshd, "-T", "-h", key, "-f", tmp_path / "config"], capture_output=True, check=False)

    found = of("inert-config", detect(image(config, daemon=version), config=STARTED))
    assert bool(found) == (done.returncode != 0), done.stderr.decode()


# ---- any bytes

LINES = st.sampled_from(
    [b"root:x:0:0::/root:/bin/sh", b"a::1:1::/a:", b":::::::", b"Match User a,!b", b"Match all", b"Match Address 1.2.3.4/33",
     b"Include *", b"Include /etc/ssh/*", b"PermitRootLogin yes", b"AuthorizedKeysFile %h/%u/%U/%% %x %", b"AllowUsers *@*",
     b"StrictModes no", b"RemoteForward 1 a:2", b"Match exec x", b"Host *", b"Ciphers +3des-cbc", b"TrustedUserCAKeys /\x1b[2J",
     b'command="x" ' + keys.public_line("a").encode(), b"SSHD_OPTS='-o \"Port", b"ExecStart=/usr/sbin/sshd -f $X -o", b"\xff\xfe\0"]
)  # fmt: skip
TEXT = st.lists(LINES | st.binary(max_size=40), max_size=8).map(b"\n".join)
PATHS = [
    "etc/passwd", "etc/shadow", "etc/group", CONFIG, "etc/ssh/sshd_config.d/a.conf", "etc/ssh/ssh_config", "root/.ssh/config",
    "root/.ssh/authorized_keys", "a/.ssh/authorized_keys", "etc/default/ssh", "etc/systemd/system/ssh.service", "root/.ssh/id_rsa",
]  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(st.sampled_from(PATHS), TEXT),
    words=st.lists(st.sampled_from(["/usr/sbin/sshd", "-f", "-o", "Port=1", "\udcff", "-"]), max_size=5),
)
def test_no_bytes_stop_the_judges_or_reach_a_terminal(judge: Judge, files: dict[str, bytes], words: list[str]) -> None:
    for item in judge(image() | files, config=ImageConfig(cmd=tuple(words))):
        if isinstance(item, Finding):
            assert item.message.isprintable(), item
            assert item.message.endswith(".")
            assert all(e.excerpt.isprintable() for e in item.evidence)
            assert "\\u001b" not in json.dumps(dict(item.details))
        elif isinstance(item, Notification):
            assert "\x1b" not in item.message


# ---- limits


def test_many_ways_to_start_it_are_cut_and_said(judge: Judge) -> None:
    script = "".join(f"/usr/sbin/sshd -p {n}\n" for n in range(1000, 1100)).encode()
    said = judge(
        image() | {"entrypoint.sh": File(b"#!/bin/sh\n" + script, 0o755)}, config=ImageConfig(cmd=("/entrypoint.sh",))
    )
    assert cut(said, "more than 64 things start an ssh daemon")
    assert cut(said, "only 4 were judged")


def test_many_included_files_are_cut_and_said(judge: Judge) -> None:
    drop_ins = {f"etc/ssh/sshd_config.d/{n:04}.conf": b"X11Forwarding yes\n" for n in range(300)}
    said = judge(image("Include /etc/ssh/sshd_config.d/*.conf\n") | drop_ins, config=STARTED)
    assert cut(said, "names more than 256 files")


def test_many_names_of_key_files_are_cut_and_said(judge: Judge) -> None:
    names = " ".join(f"/etc/ssh/keys-{n}" for n in range(40))
    said = judge(image(f"AuthorizedKeysFile {names}\n"), config=STARTED)
    assert len(cut(said, "AuthorizedKeysFile names more than 16 files")) == 1


def test_many_findings_of_one_rule_are_cut_and_said(judge: Judge) -> None:
    rows = PASSWD + b"".join(b"u%d:x:%d:1::/h/%d:/bin/sh\n" % (n, 2000 + n, n) for n in range(45))
    blocks = "".join(
        f"Match User u{n} Address 10.0.0.{n}\nPermitTunnel yes\nMatch User u{n}\nPermitTunnel ethernet\n"
        for n in range(45)
    )
    said = judge(image(blocks) | {"etc/passwd": rows, "etc/shadow": SHADOW}, config=STARTED)
    assert len(of("permit-tunnel", said)) == 50
    assert cut(said, "more than 50 findings of ssh/permit-tunnel")


def test_accounts_times_blocks_stay_within_seconds(judge: Judge) -> None:
    rows = b"".join(b"u%d:x:%d:1::/h/%d:/bin/sh\n" % (n, n, n) for n in range(5000))
    blocks = "".join(f"Match User u{n} Address 10.0.0.0/8\nPermitTunnel yes\n" for n in range(12_000))
    begun = time.process_time()
    said = judge(image(blocks) | {"etc/passwd": rows}, config=STARTED)
    assert time.process_time() - begun < 30
    assert cut(said, "accounts")
