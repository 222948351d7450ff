"""Weak algorithms: what a configuration switches on, spelt as OpenSSH spells it."""

import subprocess
import time

import pytest

from scanner.ssh.algorithms import weak
from tests.engine_fixture import program


def graded(kind: str, value: str) -> list[tuple[str, str]]:
    return [(w.name, w.grade) for w in weak(kind, value)]


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("Ciphers", "aes256-ctr,3des-cbc", [("3des-cbc", "broken")]),
        ("ciphers", "+aes128-cbc,arcfour", [("aes128-cbc", "dated"), ("arcfour", "broken")]),
        ("Ciphers", "^3DES-CBC", [("3des-cbc", "broken")]),
        ("Ciphers", "-*-cbc", []),
        ("Ciphers", "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com", []),
        ("MACs", "hmac-md5-96-etm@openssh.com", [("hmac-md5-96-etm@openssh.com", "broken")]),
        ("MACs", "umac-64-etm@openssh.com", [("umac-64-etm@openssh.com", "dated")]),
        ("MACs", "hmac-sha2-256,umac-128@openssh.com", []),
        ("KexAlgorithms", "+diffie-hellman-group1-sha1", [("diffie-hellman-group1-sha1", "broken")]),
        ("KexAlgorithms", "diffie-hellman-group14-sha1", [("diffie-hellman-group14-sha1", "dated")]),
        ("KexAlgorithms", "diffie-hellman-group14-sha256", []),
        ("HostKeyAlgorithms", "+ssh-rsa,ssh-dss", [("ssh-rsa", "broken"), ("ssh-dss", "broken")]),
        ("PubkeyAcceptedKeyTypes", '"+ssh-rsa"', [("ssh-rsa", "broken")]),
        ("PubkeyAcceptedAlgorithms", "rsa-sha2-512,ssh-ed25519", []),
        ("LogLevel", "3des-cbc", []),
        ("Ciphers", "", []),
    ],
)
def test_only_what_is_switched_on_is_weak(kind, value, found):
    assert graded(kind, value) == found


def test_a_pattern_stands_for_all_it_matches():
    names = dict(graded("Ciphers", "+*-cbc"))
    assert names["3des-cbc"] == "broken"
    assert names["aes256-cbc"] == "dated"
    assert "arcfour" not in names
    assert dict(graded("KexAlgorithms", "+diffie-hellman-group?-sha1")) == {"diffie-hellman-group1-sha1": "broken"}


@pytest.mark.parametrize(
    ("query", "kind", "signs"),
    [
        ("cipher", "Ciphers", ("-cbc", "arcfour")),
        ("mac", "MACs", ("md5", "sha1-96", "umac-64")),
        ("kex", "KexAlgorithms", ("sha1",)),
        ("key-sig", "HostKeyAlgorithms", ("ssh-rsa", "ssh-dss")),
    ],
)
def test_every_weak_name_that_ssh_knows_is_known(query, kind, signs):
    known = subprocess.run([program("ssh"), "-Q", query], capture_output=True, text=True, check=True).stdout.split()
    wanted = {name for name in known if any(sign in name for sign in signs)}
    assert wanted
    assert {w.name for w in weak(kind, ",".join(known))} == wanted


@pytest.mark.parametrize("piece", ["*a", "*", "?,", "*a*,", "3des-cbc,", ","])
def test_time_is_linear(piece):
    begin = time.process_time()
    weak("Ciphers", piece * 300_000)
    weak("Ciphers", ",".join(f"*a{n}*?" for n in range(100_000)))
    assert time.process_time() - begin < 10
