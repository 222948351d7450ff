"""sshd -T of the machine agrees, on configurations made at random: what holds value for value, and where it stops."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.engine_fixture import missing, program
from tests.ssh import sshd_oracle

COUNT = int(os.environ.get("SANDSCAN_SSHD_CONFIGS", "400"))


def sshd_9_2() -> str:
    """Its path; another release knows other keywords, and ends the test as a missing one does."""
    sshd = program("sshd")
    words = subprocess.run([sshd, "-V"], capture_output=True, check=False).stderr
    if b"OpenSSH_9.2p1 Debian" not in words and b"OpenSSH_9.2," not in words:
        missing("sshd of OpenSSH 9.2p1 Debian")
    try:
        sshd_oracle.prepare()
    except OSError:
        missing("/run/sshd, without which sshd says nothing")
    return sshd


@pytest.mark.parametrize("seed", [1])
def test_sshd_says_the_same(tmp_path: Path, seed: int):
    sshd = sshd_9_2()
    key = sshd_oracle.host_key(tmp_path, program("ssh-keygen"))
    taken, differences = sshd_oracle.compare(sshd, key, COUNT, seed, tmp_path / "samples")

    assert not differences, "\n\n".join(differences)
    assert COUNT < 20 or COUNT // 4 < taken < COUNT  # both kinds were among them
