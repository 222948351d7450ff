"""authorized_keys: which keys open, and what they may do; sshd is asked whether it would let each of them in."""

import getpass
import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.keys import public_line
from scanner.ssh.authorized_keys import BYTES, LINES, AuthorizedKey, parse
from scanner.ssh.keys import read_public
from tests.engine_fixture import program

KEY = public_line("me", "me@there")


def one(options: str) -> AuthorizedKey:
    [key] = parse(f"{options} {KEY}\n".encode()).keys
    return key


def test_keys_are_told_with_line_options_and_comment():
    text = (
        f'# who may\n\n{KEY}\r\n  \trestrict,command="run \\"a, b\\"" {public_line("ci", "ci key")}\nssh-rsa broken\n'
    )
    parsed = parse(text.encode(), b"root/.ssh/authorized_keys")
    first, second = parsed.keys
    assert (first.line, first.options, first.key) == (3, (), read_public(KEY))
    assert first.key.comment == "me@there"
    assert (second.line, second.key.comment) == (4, "ci key")
    assert second.options == (("restrict", None), ("command", 'run "a, b"'))
    assert second.command == 'run "a, b"'
    assert not second.can_open_shell
    [problem] = parsed.problems
    assert (problem.where.path, problem.where.line) == (b"root/.ssh/authorized_keys", 5)


def test_a_plain_key_may_do_everything():
    key = one("")
    assert key.can_open_shell
    assert all((key.can_forward_tcp, key.can_forward_agent, key.can_forward_x11, key.can_open_terminal, key.can_run_rc))


@pytest.mark.parametrize(
    ("options", "tcp", "terminal"),
    [
        ("restrict", False, False),
        ("restrict,pty", False, True),
        ("pty,restrict", False, False),
        ("RESTRICT,Port-Forwarding", True, False),
        ("no-port-forwarding", False, True),
        ("no-port-forwarding,port-forwarding", True, True),
        ("no-pty,no-X11-forwarding", True, False),
        (",restrict,,", False, False),
    ],
)
def test_options_work_in_their_order(options, tcp, terminal):
    key = one(options)
    assert not key.refused
    assert (key.can_forward_tcp, key.can_open_terminal) == (tcp, terminal)


def test_values_are_resolved():
    key = one(
        'from="10.0.0.*,!10.0.0.9",expiry-time="20300101Z",expiry-time="203501011230",permitopen="[::1]:22",'
        'permitopen="db:*",permitlisten="8022",tunnel="ANY",environment="A=b c",environment="D=",cert-authority,'
        'principals="ops,dev"'
    )
    assert not key.refused
    assert key.sources == ("10.0.0.*", "!10.0.0.9")
    assert key.expires == "2030-01-01 00:00:00Z"
    assert key.permit_open == ("[::1]:22", "db:*")
    assert key.permit_listen == ("*:8022",)
    assert key.tunnel == "any"
    assert key.environment == (("A", "b c"), ("D", ""))
    assert key.authority
    assert key.principals == ("ops", "dev")


OPENS = [
    "",
    "restrict",
    "No-Pty,no-user-rc",
    'command="echo ran"',
    "restrict,,",
    ",",
    'environment="A=b c"',
    'expiry-time="20300230"',
    'tunnel=" 1"',
    'permitopen="a[b:+80"',
    'permitlisten="80"',
    "no-verify-required",
    'from="*"',
]
REFUSED = [
    "foo",
    "restrict=x",
    "command=x",
    'command="a',
    'command="a"b',
    'command="echo ran",command="echo ran"',
    'environment="A-B=c"',
    'environment="A"',
    'expiry-time="2030010"',
    'expiry-time="19690101"',
    'tunnel="x"',
    'tunnel="4294967295"',
    'permitopen="80"',
    'permitopen="h:0"',
    'permitopen="h:65536"',
    'permitlisten="[::1]"',
    'principals="a"',
    'from="!*"',
    "no-restrict",
    "no-cert-authority",
    'restrict "x"',
]


def opens(options: str, key: str = KEY) -> bool:
    parsed = parse(f"{options} {key}\n".encode())
    refused = not parsed.keys or bool(parsed.keys[0].refused)
    assert refused == bool(parsed.problems)
    return not refused


@pytest.mark.parametrize("options", OPENS)
def test_what_sshd_takes_is_taken(options):
    assert opens(options)


@pytest.mark.parametrize("options", REFUSED)
def test_what_sshd_refuses_is_a_problem(options):
    assert not opens(options)


def test_sshd_itself_says_the_same_of_them(tmp_path):
    """A daemon on a pipe, one login for each line; no port is opened."""
    sshd, ssh, keygen = program("sshd"), program("ssh"), program("ssh-keygen")
    for name in ("host", "key"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    config = tmp_path / "config"
    config.write_text(
        f"HostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/keys\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
        f"PidFile none\n"
    )
    key = (tmp_path / "key.pub").read_text().strip()

    def enters(options: str) -> bool:
        (tmp_path / "keys").write_text(f"{options} {key}\n")
        daemon = f"ProxyCommand={sshd} -i -E {tmp_path}/log -f {config}"
        known = f"UserKnownHostsFile={tmp_path}/known"
        settings = [x for o in (daemon, known, "StrictHostKeyChecking=no", "BatchMode=yes") for x in ("-o", o)]
        target = f"{getpass.getuser()}@here.invalid"
        command = [ssh, "-F", "none", *settings, "-i", tmp_path / "key", target, "echo ran"]
        return b"ran" in subprocess.run(command, capture_output=True, timeout=60, check=False).stdout

    if not enters(""):
        pytest.fail(f"no login works here: {(tmp_path / 'log').read_text()[-500:]}")
    asked = OPENS[1:] + REFUSED
    assert [o for o in asked if enters(o) != opens(o, key)] == []


def test_a_short_rsa_key_and_a_certificate_open_nothing(tmp_path):
    keygen = program("ssh-keygen")
    for name in ("ca", "key"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    subprocess.run([keygen, "-q", "-s", tmp_path / "ca", "-I", "id", "-n", "a", tmp_path / "key.pub"], check=True)
    assert not opens("", (tmp_path / "key-cert.pub").read_text().strip())


def test_what_lies_past_a_limit_is_told():
    many = parse(b"\n" * (LINES + 5) + KEY.encode(), b"keys")
    assert not many.keys
    assert [p.where.line for p in many.problems] == [LINES + 1]

    long = parse(KEY.encode() + b"\n#" + b"x" * BYTES + b"\n" + KEY.encode())
    assert [k.line for k in long.keys] == [1]
    assert len(long.problems) == 1
    assert not parse(b"\n" * LINES).problems


def test_a_nul_hides_the_rest_of_its_line():
    assert [k.line for k in parse(f"\0{KEY}\n{KEY}\0 x\n{KEY}".encode()).keys] == [2, 3]


@given(st.lists(st.text(st.characters(exclude_characters="\n"), max_size=80), max_size=8))
def test_no_line_stops_the_ones_after_it(lines):
    found = parse("\n".join([*lines, KEY]).encode("utf-8", "surrogatepass"))
    assert found.keys[-1].line == len(lines) + 1
    assert not found.keys[-1].refused


@given(st.binary(max_size=600))
def test_no_bytes_stop_it(data):
    parse(data)
    parse(data.replace(b"\n", b"") + b" " + KEY.encode())


@given(st.text(alphabet='ab="\\, -,', max_size=40))
def test_options_of_any_shape_are_read_or_told(options):
    parsed = parse(f"{options} {KEY}".encode())
    assert parsed.keys or parsed.problems or options.lstrip().startswith("#")


@pytest.mark.parametrize(
    "piece", [b"a,", b'command="', b'a="\\"', b'""', b"\\", b"ssh-ed25519 AAAA\n", b" ", b'a="b",']
)
def test_time_is_linear(piece):
    def seconds(size: int) -> float:
        data = (piece * (size // len(piece) + 1))[:size] + b" " + KEY.encode()
        begin = time.process_time()
        parse(data)
        return time.process_time() - begin

    assert seconds(1_000_000) < max(12 * seconds(200_000), 1)
