import os
import shlex
import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.ssh.command import Invocation, parse
from scanner.ssh.forward import Forward
from scanner.ssh.forward import parse as parse_forward
from scanner.ssh.ssh_config import evaluate
from tests.ssh.generated_command import difference, made


def read(text: str, environment: dict[str, str] | None = None) -> Invocation:
    found = parse(shlex.split(text), environment)
    assert found is not None
    return found


def test_generated_command_lines_do_what_ssh_says_they_do() -> None:
    rng = Random(2024)
    for _ in range(int(os.environ.get("SANDSCAN_SSH_COMMANDS", "300"))):
        words = made(rng)
        wrong = difference(words)
        assert not wrong, f"ssh {shlex.join(words)}\n{wrong}"


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (
            "ssh -fNR 0.0.0.0:2222:127.0.0.1:22 u@203.0.113.17",
            "reverse tunnel: 0.0.0.0:2222 on 203.0.113.17 leads to 127.0.0.1:22 here",
        ),
        ("ssh -R8022:localhost:22 h", "reverse tunnel: localhost:8022 on h leads to localhost:22 here"),
        ("ssh -oRemoteForward='8080 [::1]:80' h", "reverse tunnel: localhost:8080 on h leads to [::1]:80 here"),
        ("ssh -R 1080 h", "reverse SOCKS proxy: localhost:1080 on h leads anywhere from here"),
        ("ssh h -D '*:1080'", "SOCKS proxy: *:1080 here leads anywhere through h"),
        ("ssh -gL 80:db:5432 h", "tunnel: *:80 here leads to db:5432 through h"),
        ("ssh -L /run/a:/run/b h", "tunnel: /run/a here leads to /run/b through h"),
        ("ssh -W db:22 jump", "input and output joined to db:22 through jump"),
        ("ssh -w 0:1 h", "network tunnel between a tun device here and one on h"),
        ("ssh -o Tunnel=ethernet h", "network tunnel between a tun device here and one on h"),
        ("autossh -M 0 -N -R 22:localhost:22 h", "reverse tunnel: localhost:22 on h leads to localhost:22 here"),
        (
            "dbclient -y -y -NfR 2222:localhost:22 u@h^2200",
            "reverse tunnel: localhost:2222 on h leads to localhost:22 here",
        ),
        ("/opt/x/dropbearmulti dbclient -B db:22 h", "input and output joined to db:22 through h"),
        ("plink -batch -R 1:b:2 -P 22 h", "reverse tunnel: localhost:1 on h leads to b:2 here"),
        ("mosh --ssh='ssh -R 1:b:2' u@h", "reverse tunnel: localhost:1 on h leads to b:2 here"),
        ("ssh h uptime -a", "runs uptime on h"),
        ("ssh a 'cd /; exec ssh -NR 1:b:2 c'", "on a: reverse tunnel: localhost:1 on c leads to b:2 here"),
        ("scp x u@h:/y", "copies files between here and h"),
        ("ssh h", "connects to h"),
    ],
)
def test_a_summary_says_what_the_line_does(text: str, summary: str) -> None:
    found = read(text)
    assert (found.summary(), found.problem) == (summary, None)


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("ssh u@h -p 22 -p 23", "u", "h", 22),
        ("ssh -l a u@h", "a", "h", None),
        ("ssh -oUser=o -l a u@h", "o", "h", None),
        ("ssh a@b@c", "a@b", "c", None),
        ("ssh ssh://u%20v@h:2200", "u v", "h", 2200),
        ("ssh -p $PORT u@$HOST", "u", None, None),
        ("ssh $USER@h", None, "h", None),
        ("ssh $TARGET", None, None, None),
        ("ssh $SSH_OPTS -- h", None, "h", None),
        ("ssh u@fe80::1", "u", "fe80::1", None),
        ("dbclient -p 1 u@a,v@b/22", "v", "b", 22),
        ("plink -l u -P 2200 h", "u", "h", 2200),
        ("scp -P 2200 u@[::1]:x .", "u", "::1", 2200),
        ("scp a b scp://u@h:2200/x", "u", "h", 2200),
        ("sftp -oPort=3 u@h", "u", "h", 3),
        ("SSH.EXE h", None, "h", None),
    ],
)
def test_the_destination_of_each_way_to_write_it(
    text: str, user: str | None, host: str | None, port: int | None
) -> None:
    found = read(text)
    assert (found.user, found.host, found.port) == (user, host, port)


def test_variables_leave_the_rest_of_a_forwarding_readable() -> None:
    found = read("ssh -R ${LISTEN:-8022}:localhost:$PORT -R $SPEC -N u@$HOST")
    assert found.forwards == (
        Forward("remote", None, None, None, "localhost", None, None, "${LISTEN:-8022}:localhost:$PORT", "-R"),
        Forward("remote", raw="$SPEC", option="-R"),
    )
    assert found.unresolved == ("${LISTEN:-8022}:localhost:$PORT", "$SPEC", "u@$HOST")
    assert (found.problem, found.destination) == (None, "u@$HOST")


def test_everything_that_keeps_a_tunnel_up_is_read() -> None:
    found = read(
        "AUTOSSH_GATETIME=0 autossh -M 20000 -f -N -T -i /k -o ServerAliveInterval=30 -oExitOnForwardFailure=yes "
        "-o 'StrictHostKeyChecking no' -o UserKnownHostsFile=/dev/null -J a,b:22 -R 2222:localhost:22 u@h"
    )
    assert (found.program, found.reconnects, found.monitor_port) == ("autossh", True, 20000)
    assert (found.background, found.no_command, found.no_tty, found.session_type) == (True, True, True, "none")
    assert (found.server_alive_interval, found.exit_on_forward_failure) == (30, True)
    assert (found.strict_host_key_checking, found.known_hosts_files) == ("no", ("/dev/null",))
    assert (found.jump_hosts, found.identity_files) == (("a", "b:22"), ("/k",))
    assert found.environment == (("AUTOSSH_GATETIME", "0"),)
    assert read("autossh -NR 1:b:2 h", {"AUTOSSH_PORT": "0"}).monitor_port is None


def test_forwardings_that_are_cleared_are_none() -> None:
    assert read("ssh -R 1:b:2 -o ClearAllForwardings=yes h").forwards == ()
    assert [one.kind for one in read("ssh -R 1:b:2 -W c:3 h").forwards] == ["stdio"]
    assert read("ssh -O cancel -R 1:b:2 h").forwards == ()
    assert read("ssh -O forward -R 1:b:2 h").forwards != ()
    assert read("scp -oRemoteForward='1 b:2' h:x .").forwards == ()


def test_options_are_what_the_configuration_is_evaluated_with() -> None:
    found = read("ssh -A -p 2200 -D 1080 -o 'Hostname gate.%h' -R 1:b:2 -i '/a b' u@h")
    assert found.host is not None
    effective = evaluate([], found.host, found.user, found.options)
    assert [effective.get(name).value for name in ("port", "forwardagent", "identityfile")] == ["2200", "yes", "/a b"]
    assert [s.forward.kind for s in effective.forwards if s.forward] == ["remote", "dynamic"]
    assert (found.connects_to, effective.host) == ("gate.h", "gate.h")


@pytest.mark.parametrize(
    "text",
    [
        "ssh",
        "ssh -R x h",
        "ssh -Z h",
        "ssh -p",
        "ssh -V",
        "ssh -f h",
        "ssh -o Bogus=1 h",
        "ssh -1 h",
        "scp a b",
        "dbclient -N",
        "plink -P",
    ],
)
def test_what_the_client_refuses_has_a_problem(text: str) -> None:
    assert read(text).problem


@pytest.mark.parametrize(
    "text", ["", "sshd -D", "ssh-keygen -R h", "tsh -R 1:b:2 h", "rsync -e ssh a h:b", "A=b", "dropbearmulti dropbear"]
)
def test_other_programs_are_no_clients(text: str) -> None:
    assert parse(shlex.split(text)) is None


# Hostile input

_WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        "-R -L -D -W -w -J -o -p -l -- -fN -M -O $X ${X @ : [ ] [::1]:1:b:2 u@h ssh://h 1:b:2 $(x) ` \\ % - ''".split()
    ),
    st.builds(
        lambda letter, text: f"-{letter}{text}",
        st.sampled_from("RLDWwJoplifNMSPBKbe"),
        st.text("0123456789:[]/\\${}@,ah%", max_size=12),
    ),
)


@given(st.sampled_from(["ssh", "autossh", "dbclient", "plink", "sftp", "scp", "mosh"]), st.lists(_WORDS, max_size=10))
def test_no_words_raise(program: str, words: list[str]) -> None:
    found = parse([program, *words])
    assert found is not None
    assert found.summary()
    evaluate([], found.host or "h", found.user, found.options).dump()


@given(st.text("0123456789:[]/\\${}(`)h \t", max_size=40), st.booleans(), st.booleans())
def test_no_forwarding_raises(text: str, dynamic: bool, remote: bool) -> None:
    for variables in (False, True):
        found = parse_forward(text, dynamic=dynamic, remote=remote, variables=variables)
        assert found is None or (found.listen and found.target)


@pytest.mark.parametrize(
    "words",
    [
        ["-R", "1:b:2"] * 50_000,
        [word for port in range(50_000) for word in ("-R", f"{port}:b:2")],
        ["-" + "v" * 1_000_000, "h"],
        ["-L", "[" * 1_000_000, "h"],
        ["-L", "\\:" * 500_000, "h"],
        ["-L", "${" * 500_000, "h"],
        ["-R", "$(" * 500_000 + ":", "h"],
        ["-J", "a," * 500_000 + "b", "h"],
        ["h", *["ssh"] * 100_000],
        ["h", "ssh 'a " * 100_000],
        ["h", 'ssh h "ssh h \'ssh h\\"' * 10_000],
        ["-o", "LocalForward " + "1" * 1_000_000, "h"],
        ["-oIgnoreUnknown=" + "*?" * 500_000, "-oBogus=1", "h"],
        ["u@" * 500_000 + "h"],
    ],
    ids=lambda words: repr(" ".join(words[:3])[:20]),
)
def test_long_lines_end_soon_and_say_that_they_were_cut(words: list[str]) -> None:
    start = time.process_time()
    for program in ("ssh", "autossh", "dbclient", "plink", "scp", "mosh"):
        found = parse([program, *words])
        assert found is not None
        assert found.cut
        found.summary()
    assert time.process_time() - start < 10
