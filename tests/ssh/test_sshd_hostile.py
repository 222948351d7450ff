"""sshd_config from an enemy: any bytes are read, in bounded time, and what is cut off is told."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.ssh.lexing import BadQuotes, keyword, lines, split, split_delimited, trimmed
from scanner.ssh.source import Source, Version, Where
from scanner.ssh.sshd_config import MAX_BYTES, MAX_LINES, Connection, command_line, evaluate, parse, undecided

MAIN = b"/etc/ssh/sshd_config"
DEBIAN_12 = Version(9, 2)
SOMEBODY = Connection(
    user="u" * 200,
    groups=tuple(f"group{n}" for n in range(50)),
    host="h" * 200,
    address="10.1.2.3",
    local_address="::1",
    local_port=22,
)
SECONDS = 30
"""Several times what the slowest takes on a busy machine: what this is to catch takes minutes."""

VERSIONS = st.sampled_from(
    [None, Version(6, 6), Version(7, 4), Version(8, 4), Version(9, 2), Version(9, 9), Version(10, 0)]
)
WORDS = st.sampled_from(
    """Port Match user Include /x /etc/ssh/sshd_config all address 10.0.0.0/8 ! * PermitRootLogin yes Subsystem sftp Ciphers
    +aes* ^ - AuthenticationMethods any publickey SetEnv a=b RekeyLimit 1G 9E ListenAddress [::1]:22 * MaxStartups 1:2:3 IPQoS
    PermitOpen h:* " ' \\ # = LogLevel ChannelTimeout none PerSourcePenalties crash:5 Banner ~ localport""".split()
)
LINES = st.one_of(
    st.binary(max_size=60),
    st.lists(WORDS, max_size=6).map(lambda words: " ".join(words).encode()),
    st.lists(st.one_of(WORDS, st.text(max_size=5)), max_size=5).map(
        lambda words: "\t".join(words).encode("utf-8", "surrogatepass")
    ),
)


def everything(data, include, version=DEBIAN_12, connection=SOMEBODY):
    config = parse(Source(MAIN, data), include, version)
    evaluate(config).dump()
    evaluate(config, connection, frozenset(range(5))).dump()
    undecided(config, connection)
    assert config.fatal is None or (len(config.fatal.message) <= 200 and config.fatal.message.isprintable())
    return config


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, max_size=12).map(b"\n".join), VERSIONS)
def test_no_bytes_raise(data, version):
    everything(data, lambda _: [Source(b"/x", data)], version)


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES.filter(lambda line: b"\0" not in line and b"\n" not in line), max_size=8))
def test_the_line_of_the_last_directive_is_kept(before):
    config = everything(b"\n".join([*before, b"StrictModes no"]), lambda _: [])

    last = config.directives[-1]
    assert (last.keyword, last.values, last.where) == ("strictmodes", ("no",), Where(MAIN, len(before) + 1))


@given(st.text(max_size=200))
def test_lexing_takes_any_text(text):
    keyword(trimmed(text))
    split_delimited(text)
    try:
        split(text)
    except BadQuotes:
        assert "'" in text or '"' in text


@given(st.binary(max_size=300))
def test_lines_are_counted_as_they_lie(data):
    found = list(lines(data))

    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    assert len(found) == data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


@given(st.lists(st.text(max_size=8), max_size=6))
def test_a_command_line_is_any_words(words):
    found = command_line(words)
    parse(Source(MAIN, b""), lambda _: [], None, found.options)


@given(
    st.lists(
        st.sampled_from(["-p22", "-oPort=x", "-h", "-p", "Match all", "Include /x", "-4", "PermitTTY=no", "\0", "-g5"]),
        max_size=6,
    )
)
def test_options_are_any_words(options):
    parse(Source(MAIN, b"Port 22\n"), lambda _: [], None, options)


LOOP = Source(b"/x", b"Include /x\n" * 10)
HOSTILE = {
    "junk": (random.Random(1).randbytes(5_000_000), "bytes"),
    "newlines": (b"\n" * 5_000_000, "lines"),
    "one word": (b"a" * 5_000_000, "bytes"),
    "open quotes": (b'Port "' * 1_000_000, "bytes"),
    "open quotes by line": (b'Banner "x\n' * 100_000, ""),
    "match blocks": (b"Match user a\n" * 100_000, "bytes"),
    "short match blocks": (b"match all\n" * 104_000, "lines"),
    "wild match": ((b"Match user " + b"*u?b" * 240 + b"\n") * 1000, ""),
    "long match list": (b"Match user " + b"*?*b," * 200_000, ""),
    "long group list": (b"Match group " + b"*?*b," * 200_000, ""),
    "address list": (b"Match address " + b"::1," * 250_000 + b"*", ""),
    "include loop": (b"Include /x\n", "files"),
    "include loops": (b"Include /x\n" * 95_000, "files"),
    "include names": (b"".join(b"Include y%d\n" % n for n in range(60_000)), "patterns"),
    "ports and addresses": (b"ListenAddress 0.0.0.0\n" * 40_000 + b"Port 22\n" * 256, "ListenAddress"),
    "subsystems": (b"".join(b"Subsystem a%d x\n" % n for n in range(55_000)), ""),
    "users": (b"AllowUsers " + b"a " * 520_000, ""),
    "methods": (b"AuthenticationMethods " + b"publickey," * 90_000 + b"none", ""),
    "key patterns": (b"PubkeyAcceptedAlgorithms -" + b",".join(b"*%dz" % n for n in range(100_000)), ""),
    "many zeros": (b"RekeyLimit " + b"0" * 1_000_000, ""),
    "long time": (b"LoginGraceTime " + b"0s" * 500_000, ""),
    "nul": (b"a\0\n" * 300_000, ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_time_is_bounded_and_what_is_cut_off_is_told(name):
    data, limit = HOSTILE[name]
    asked: list[bytes] = []

    def include(pattern: bytes):
        asked.append(pattern)
        return [LOOP] if pattern == b"/x" else []

    began = time.process_time()
    config = everything(data, include)
    took = time.process_time() - began

    assert took < SECONDS
    assert len(asked) <= 1024
    assert any(limit in problem.message for problem in config.limits) if limit else not config.limits


def test_includes_are_followed_sixteen_deep():
    def deep(pattern: bytes):
        depth = int(pattern[2:])
        return [
            Source(pattern, b"Include /d%d\nPermitTTY no\n" % (depth + 1) if depth < last else b"GatewayPorts yes\n")
        ]

    last = 16
    assert parse(Source(MAIN, b"Include /d1\n"), deep, DEBIAN_12).fatal is None
    last = 17
    fatal = parse(Source(MAIN, b"Include /d1\n"), deep, DEBIAN_12).fatal
    assert fatal is not None
    assert "deeply" in fatal.message


def test_a_file_that_includes_itself_stops_sshd():
    fatal = parse(Source(MAIN, b"Include /x\n"), lambda _: [Source(b"/x", b"\nInclude /x\n")], DEBIAN_12).fatal

    assert fatal is not None
    assert fatal.where == Where(b"/x", 2)


def test_the_last_whole_line_within_the_limit_counts():
    filler = b"#" + b"x" * 62 + b"\n"
    data = filler * (MAX_BYTES // 64 - 1) + b"PermitTTY no\n" + b"GatewayPorts yes " + b" " * 64
    config = parse(Source(MAIN, data), lambda _: [], DEBIAN_12)

    assert [directive.keyword for directive in config.directives] == ["permittty"]
    assert config.limits[0].where == Where(MAIN, MAX_BYTES // 64 + 1)


def test_lines_beyond_the_limit_are_told_with_their_number():
    [limit] = parse(Source(MAIN, b"x\n" * (MAX_LINES + 5)), lambda _: [], DEBIAN_12).limits

    assert limit.where == Where(MAIN, MAX_LINES + 1)


def test_blocks_that_were_not_compared_are_undecided_and_told():
    data = b"Match group " + b"*?*b," * 100_000 + b"\nPermitTTY no\nMatch user *\nX11Forwarding yes\n"
    config = parse(Source(MAIN, data), lambda _: [], DEBIAN_12)

    assert 0 in undecided(config, SOMEBODY)
    assert [limit.where for limit in evaluate(config, SOMEBODY).limits] == [Where(MAIN, 1)]
