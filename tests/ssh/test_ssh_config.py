import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.ssh import ssh_config
from scanner.ssh.keywords_ssh_config import _NEWER, KEYWORDS, known
from scanner.ssh.source import Source, Where
from scanner.ssh.ssh_config import Client, Config, Effective, evaluate, hosts, parse
from tests.ssh.generated_ssh_config import VALUES, difference, made

USER_FILE = b"root/.ssh/config"
SYSTEM_FILE = b"etc/ssh/ssh_config"


def no_files(pattern: bytes) -> Sequence[Source]:
    return ()


def read(text: str | bytes, files: dict[bytes, str] | None = None, *, user_file: bool = True) -> Config:
    """The configuration; `files` are by the pattern that asks for them."""

    def include(pattern: bytes) -> Sequence[Source]:
        return [Source(pattern, (files or {})[pattern].encode())] if pattern in (files or {}) else ()

    data = text.encode() if isinstance(text, str) else text
    return parse(Source(USER_FILE if user_file else SYSTEM_FILE, data), include, user_file)


def effective(text: str, host: str = "web", **more: str) -> Effective:
    return evaluate([read(text)], host, **more)


# As ssh itself


def test_generated_configurations_mean_what_ssh_says_they_mean(tmp_path: Path) -> None:
    rng = Random(2024)
    for _ in range(int(os.environ.get("SANDSCAN_SSH_CONFIGS", "300"))):
        one = made(rng, tmp_path)
        wrong = difference(one)
        assert not wrong, f"{one.user}@{one.host}\n{one.main.decode('utf-8', 'replace')}\n{wrong}"


def test_the_generator_knows_every_keyword() -> None:
    names = {found.name for keyword in VALUES if (found := known(keyword)) is not None}
    ignored = {name for name, keyword in KEYWORDS.items() if keyword.ignored}
    assert set(KEYWORDS) - ignored - names == {*_NEWER, "tag"}


# What wins


def test_the_first_value_wins_and_names_its_line() -> None:
    found = effective("Host db\n  Port 1\nHost web\n  Port 2\nHost *\n  Port 3\n")
    assert found.get("PORT").values == ("2",)
    assert found.get("port").where == Where(USER_FILE, 4)
    assert found.applied == (Where(USER_FILE, 3), Where(USER_FILE, 5))


def test_a_default_has_no_line() -> None:
    assert effective("").get("StrictHostKeyChecking") == ssh_config.Setting("stricthostkeychecking", ("ask",))
    assert effective("").get("ProxyCommand").values == ()


def test_the_users_file_goes_before_the_systems() -> None:
    system = read("Host *\n Port 2\n User sys\n", user_file=False)
    found = evaluate([read("Port 1\n"), system], "web")
    assert (found.get("port").where, found.get("user").where) == (Where(USER_FILE, 1), Where(SYSTEM_FILE, 3))


def test_the_command_line_goes_before_all_files() -> None:
    found = evaluate([read("Port 1\nUser a\n")], "web", "b", [("Port", "9")])
    assert (found.get("port").values, found.get("user").values) == (("9",), ("b",))


def test_forwardings_and_keys_add_up() -> None:
    found = effective(
        "RemoteForward 2222 localhost:22\nHost web\nRemoteForward 1080\nLocalForward /a /b\nIdentityFile k\nHost *\nIdentityFile k2\n"
    )
    forwards = [
        (s.where.line, s.forward.kind, s.forward.listen, s.forward.target)
        for s in found.forwards
        if s.where and s.forward
    ]
    assert forwards == [
        (4, "local", "/a", "/b"),
        (1, "remote", "localhost:2222", "localhost:22"),
        (3, "remote-dynamic", "localhost:1080", "anywhere"),
    ]
    assert [setting.value for setting in found.all("identityfile")] == ["k", "k2"]


def test_a_negated_pattern_takes_the_host_out() -> None:
    text = "Host *.example !bad.example\nPort 7\n"
    assert effective(text, "a.example").get("port").value == "7"
    assert effective(text, "bad.example").get("port").where is None


@pytest.mark.parametrize(
    ("criteria", "holds"),
    [
        ("host gate.example", True),  # what Hostname made of it
        ("originalhost web", True),
        ("host web", False),
        ("user deploy", True),
        ("!user deploy", False),
        ("localuser root", True),
        ("all", True),
        ("final", True),
        ("!final", True),  # on the first reading
        ("host gate.* user x", False),
        ("tagged blue", True),
    ],
)
def test_match_criteria(criteria: str, holds: bool) -> None:
    found = effective(f"Hostname gate.example\nUser deploy\nTag blue\nMatch {criteria}\nPort 9\n")
    assert (found.get("port").value == "9") is holds
    assert found.fatal is None


# What cannot be known


def test_match_exec_is_not_run_but_told(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    config = read(f'Match host web exec "touch {marker}"\nRemoteForward 1 h:1\nMatch host db exec "true"\nPort 3\n')
    assert [block.commands for block in config.blocks] == [(), (f"touch {marker}",), ("true",)]
    found = evaluate([config], "web")
    assert found.forwards == ()
    assert [problem.where for problem in found.unknown] == [Where(USER_FILE, 1)]  # the other cannot hold for web
    assert [s.value for s in evaluate([config], "web", assume=[Where(USER_FILE, 1)]).all("remoteforward")] == ["1:h:1 "]
    assert not marker.exists()


def test_an_unknown_environment_is_told_and_refuses_nothing() -> None:
    found = effective("LocalForward ${PORT} h:22\nIdentityAgent ${SOCKET}\n")
    assert found.fatal is None
    assert [problem.where.line for problem in found.unknown] == [1, 2, 2]
    [setting] = found.forwards
    assert setting.forward is not None
    assert (setting.forward.listen_port, setting.forward.raw) == (None, "${PORT}:h:22")
    known = evaluate([read("LocalForward ${PORT} h:22\n")], "web", client=Client(environment={}))
    assert known.fatal is not None
    assert "variable" in known.fatal.message


def test_a_name_that_only_the_network_knows_is_told() -> None:
    found = effective("CanonicalizeHostname yes\nCanonicalDomains example.com\n")
    assert [problem.message for problem in found.unknown] == [ssh_config.NAME_SERVICE]
    assert found.host == "web"


# Includes


def test_an_include_stands_where_it_is_written_and_its_match_does_not_leak() -> None:
    files = {b"~/.ssh/a": "Port 1\nHost nobody\nUser x\n", b"/b": "Compression yes\n"}
    found = evaluate([read("Include a /b\nUser y\nPort 2\n", files)], "web")
    assert (found.get("port").where, found.get("user").value) == (Where(b"~/.ssh/a", 1), "y")
    assert found.get("compression").where == Where(b"/b", 1)


def test_an_include_in_a_block_holds_with_the_block() -> None:
    config = read("Host db\nInclude /a\n", {b"/a": "Port 1\nHost *\nPort 2\nUser x\n"})
    assert evaluate([config], "web").get("port").where is None
    assert evaluate([config], "db").get("port").value == "1"
    assert evaluate([config], "db").get("user").value == "x"


def test_the_systems_file_includes_from_its_own_folder() -> None:
    config = read("Include a\nInclude ~/b\n", {b"/etc/ssh/a": "Port 1\n"}, user_file=False)
    assert evaluate([config], "web").get("port").where == Where(b"/etc/ssh/a", 1)
    assert config.fatal is not None
    assert config.fatal.where.line == 2


def test_a_file_that_includes_itself_ends_where_ssh_ends_it() -> None:
    config = read("Include /a\n", {b"/a": "Include /a\nPort 1\n"})
    assert config.fatal is not None
    assert "deeper than 16" in config.fatal.message
    assert len(config.directives) < 40


# What ssh refuses


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Port 1\nBogus yes\n", 2),
        ("Host x\n Port nine\n", 2),  # whether it applies or not
        ("User 'a\n", 1),
        ("Match host\n", 1),
        ("Compression yes no\n", 1),
        ("LocalForward 80\n", 1),
        ("Port\n", 1),
        ("ConnectionAttempts 0\n", 1),
    ],
)
def test_what_ssh_refuses_is_fatal_with_its_line(text: str, line: int) -> None:
    found = effective(text)
    assert found.fatal is not None
    assert found.fatal.where.line == line


def test_ignore_unknown_excuses_what_follows_it() -> None:
    assert effective("IgnoreUnknown Use*\nUseKeychain yes\n").fatal is None
    assert read("IgnoreUnknown Use*\nUseKeychain yes\n").fatal is None
    assert effective("UseKeychain yes\nIgnoreUnknown Use*\n").fatal is not None


def test_reading_goes_on_after_what_ssh_refuses() -> None:
    found = effective("Bogus\nRemoteForward 2222 localhost:22\n")
    assert found.fatal is not None
    assert [setting.where for setting in found.forwards] == [Where(USER_FILE, 2)]


def test_hosts_are_those_that_are_spelled_out() -> None:
    config = read("Host a *.b !c\nMatch host d,e*\nHost a f\n")
    assert hosts([config]) == ("a", "d", "f")
    assert hosts([config], 2) == ("a", "d")


# Hostile input

_LINES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"Host ", b"Match ", b"Include ", b"LocalForward ", b"ProxyJump ", b"Port=", b"\xff", b"\0", b'"', b"%", b"${"]
    ),
    st.builds(
        lambda keyword, value: f"{keyword} {value}".encode("utf-8", "surrogateescape"),
        st.sampled_from([*VALUES, "Host", "Match", "Include", "Tag"]),
        st.text(max_size=30),
    ),
)


@given(st.lists(_LINES, max_size=12), st.text(max_size=12))
def test_no_bytes_raise_and_none_hide_what_follows_them(lines: list[bytes], host: str) -> None:
    lines = [line.replace(b"\n", b" ") for line in lines]
    config = parse(Source(USER_FILE, b"\n".join([*lines, b"RemoteForward 2222 localhost:22"])), no_files, True)
    assert config.directives[-1].where.line == len(lines) + 1
    assert config.directives[-1].keyword == "remoteforward"
    assert evaluate([config], host).dump()
    assert evaluate(
        [config], host, assume=[block.where for block in config.blocks], client=Client(environment={})
    ).dump()


def _timed(work: Callable[[], Config], host: str = "web") -> tuple[Config, Effective]:
    start = time.process_time()
    config = work()
    found = evaluate([config], host)
    found.dump()
    assert time.process_time() - start < 15
    return config, found


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        (b"Host a*b*c*d*e?f\n Port 1\n" * 3_000_000, "1024 KiB"),
        (b"x" * 50_000_000, "1024 KiB"),
        (b"Host *\n" * 100_000, "patterns"),
        (b"Match host *,!*a*b\n" * 50_000, "patterns"),
        (b"\n" * 1_000_000, "100000 lines"),
        (b"Host " + b"*?" * 400_000 + b"\nPort 1\n", ""),
        (b"IgnoreUnknown " + b"a*," * 100_000 + b"\n" + b"zz x\n" * 50_000, "IgnoreUnknown"),
        (b"SendEnv " + b"A " * 100_000 + b"\n" + b"SendEnv -B*\n" * 20_000, ""),
        (b'User "' + b"a\\" * 500_000, ""),
        (b"HostKeyAlgorithms " + b"ssh-*," * 150_000 + b"ssh-rsa\n", ""),
        (b"ProxyJump " + b"a," * 400_000 + b"b\n", ""),
        (b"LocalForward 1 h:1\n" * 50_000, ""),
        (b"ControlPath " + b"%h${" * 200_000 + b"\n", ""),
        (b"SetEnv " + b"A=b " * 200_000 + b"\n", ""),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else value,
)
def test_large_files_end_soon_and_say_what_was_left(data: bytes, limit: str) -> None:
    config, _ = _timed(lambda: parse(Source(USER_FILE, data), no_files, True), "a" * 60)
    assert any(limit in problem.message for problem in config.limits) if limit else not config.limits


def test_a_hundred_thousand_includes_end_soon() -> None:
    def include(pattern: bytes) -> Sequence[Source]:
        return [Source(b"/a", b"Include /a\n" * 1000), Source(b"/b", b"Port 1\n")]

    config, _ = _timed(lambda: parse(Source(USER_FILE, b"Include /a\n" * 100_000), include, True))
    assert any("files" in problem.message for problem in config.limits)
