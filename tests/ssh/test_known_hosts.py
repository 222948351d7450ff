"""known_hosts: ssh-keygen -F is asked about the same lines."""

import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.keys import public_line
from scanner.ssh.keys import read_public
from scanner.ssh.known_hosts import hosts, matches, parse
from tests.engine_fixture import program

KEY = public_line("host")

TEXT = f"""# hosts
alpha.example.com,192.0.2.1 {KEY} a comment
[beta.example.com]:2222,[2001:db8::1]:2222 {KEY}
*.example.net,!bad.example.net {KEY}
@cert-authority *.example.org {KEY}
@revoked gone.example.com {KEY}
@other x {KEY}
broken ssh-ed25519 AAAA
Mixed.Example.COM {KEY}
"""


def test_lines_are_told_with_names_marker_and_key():
    parsed = parse(TEXT.encode(), b"known")
    assert [(e.line, e.names, e.marker) for e in parsed.entries] == [
        (2, ("alpha.example.com", "192.0.2.1"), ""),
        (3, ("[beta.example.com]:2222", "[2001:db8::1]:2222"), ""),
        (4, ("*.example.net", "!bad.example.net"), ""),
        (5, ("*.example.org",), "cert-authority"),
        (6, ("gone.example.com",), "revoked"),
        (9, ("Mixed.Example.COM",), ""),
    ]
    assert {e.key.fingerprint for e in parsed.entries} == {read_public(KEY).fingerprint}
    assert [p.where.line for p in parsed.problems] == [7, 8]


def test_plain_names_are_hosts():
    assert hosts(parse(TEXT.encode()).entries) == (
        ("alpha.example.com", 22),
        ("192.0.2.1", 22),
        ("beta.example.com", 2222),
        ("2001:db8::1", 2222),
        ("Mixed.Example.COM", 22),
    )


ASKED = [
    ("alpha.example.com", 22),
    ("ALPHA.example.com", 22),
    ("alpha.example.com", 2222),
    ("192.0.2.1", 22),
    ("beta.example.com", 2222),
    ("beta.example.com", 22),
    ("2001:db8::1", 2222),
    ("a.example.net", 22),
    ("bad.example.net", 22),
    ("mixed.example.com", 22),
    ("nobody", 22),
]


@pytest.mark.parametrize("hashed", [False, True])
def test_ssh_keygen_finds_the_same_hosts(tmp_path, hashed):
    keygen, path = program("ssh-keygen"), tmp_path / "known"
    path.write_text("\n".join(line for line in TEXT.splitlines() if not line.startswith(("@other", "broken"))) + "\n")
    if hashed:
        subprocess.run([keygen, "-q", "-H", "-f", path], capture_output=True, check=True)
        assert "|1|" in path.read_text()
    entries = parse(path.read_bytes()).entries
    assert any(e.hashed for e in entries) is hashed
    for host, port in ASKED:
        name = host.lower()  # as ssh does; ssh-keygen does not, for hashes
        asked = name if port == 22 else f"[{name}]:{port}"
        done = subprocess.run([keygen, "-F", asked, "-f", path], capture_output=True, check=False)
        assert any(matches(e, host, port) for e in entries) == bool(done.stdout), (host, port)


@given(st.binary(max_size=400))
def test_no_bytes_stop_it(data):
    for entry in (*parse(data).entries, *parse(data.replace(b"\n", b"") + b" " + KEY.encode()).entries):
        matches(entry, "host", 22)
        hosts((entry,))


@given(st.text(alphabet="a*?!,|1/=[]:", min_size=1, max_size=40))
def test_names_of_any_shape_are_compared(names):
    for entry in parse(f"{names} {KEY}".encode()).entries:
        matches(entry, "aaa", 22)


@pytest.mark.parametrize("piece", ["*a", "*", "?", "a,", "!a,", "|1|", "*?"])
def test_time_is_linear(piece):
    def seconds(size: int) -> float:
        data = f"{(piece * size)[:size]} {KEY}\n".encode()
        begin = time.process_time()
        for entry in parse(data).entries:
            matches(entry, "a" * 200, 22)
        return time.process_time() - begin

    assert seconds(1_000_000) < max(12 * seconds(200_000), 1.5)
