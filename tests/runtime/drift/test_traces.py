"""Logs and histories that a run removed or switched off."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model import Severity
from scanner.runtime.drift.traces import switched_off
from tests.runtime.drift.root import F, of

LOG, HISTORY = "drift/deleted-log", "drift/history"
LINES = "".join(f"Nov 26 12:0{i} host sshd: line {i}\n" for i in range(10))


def record(name: str) -> bytes:
    """One record of utmp(5) as x86-64 has it, as far as it matters here."""
    return struct.pack("<hi32s4s32s", 7, 1, b"pts/0", b"ts/0", name.encode()).ljust(384, b"\0")


@pytest.mark.parametrize(
    ("path", "before", "after", "severity", "says"),
    [
        ("var/log/auth.log", LINES, None, Severity.HIGH, f"was deleted with its {len(LINES)} bytes"),
        ("var/log/auth.log", LINES, "", Severity.HIGH, f"was emptied: its {len(LINES)} bytes are gone"),
        ("var/log/auth.log", LINES, "".join(LINES.splitlines(True)[5:]), Severity.HIGH, "lost 5 of 10 lines"),
        (
            "var/log/auth.log",
            LINES,
            LINES.replace("line 3", "line X") + "more\n" * 9,
            Severity.HIGH,
            "lost 1 of 10 lines",
        ),
        ("var/log/app/access.log", LINES, "", Severity.LOW, "was emptied"),
        ("var/log/lastlog", "x" * 292, "x" * 10, Severity.HIGH, "was cut from 292 to 10 bytes"),
        ("var/log/journal/ab/system.journal", "x" * 500, None, Severity.HIGH, "was deleted"),
    ],
)
def test_how_much_of_a_log_is_gone(path: str, before: str, after: str | None, severity: Severity, says: str):
    [finding] = of(LOG, {path: before}, {} if after is None else {path: after})
    assert finding.severity is severity
    assert says in finding.message


def test_a_record_taken_out_of_wtmp_is_counted():
    logins = [record("root"), record("agent"), record("ops")]
    [finding] = of(LOG, {"var/log/wtmp": b"".join(logins)}, {"var/log/wtmp": logins[0] + record("") + logins[2]})
    assert "lost 1 of 3 records of logins" in finding.message


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"var/log/auth.log": LINES}, {"var/log/auth.log": LINES + "more\n"}),
        ({"var/log/auth.log": LINES}, {"var/log/auth.log": "", "var/log/auth.log.1": LINES}),
        ({"var/log/auth.log": LINES}, {"var/log/auth.log.1.gz": "x" * 40}),
        ({"var/log/auth.log": ""}, {}),
        ({"var/log/wtmp": record("a")}, {"var/log/wtmp": record("a") + record("b")}),
        ({"var/log/lastlog": "x" * 292}, {"var/log/lastlog": "y" * 292}),
        ({}, {"var/log/new.log": ""}),
        ({"work/debug.log": LINES}, {}),
        ({"var/log/auth.log": F(LINES)}, {"var/log/auth.log": F(LINES, 0o600)}),
    ],
)
def test_a_log_that_grows_or_is_rotated_is_nothing(before: dict, after: dict):
    assert of(LOG, before, after) == []


def test_a_log_that_leads_nowhere():
    [finding] = of(LOG, {"var/log/auth.log": LINES}, {"var/log/auth.log": F(link="/dev/null")})
    assert finding.severity is Severity.HIGH
    assert "what is written to it is gone" in finding.message
    [stream] = of(LOG, {"var/log/syslog": LINES}, {"var/log/syslog": F(link="/dev/stdout")})
    assert stream.severity is Severity.LOW


@pytest.mark.parametrize(
    ("before", "after", "severity", "says"),
    [
        ("ls\n", F(link="/dev/null"), Severity.HIGH, "is a link to /dev/null now"),
        (None, F(link="/dev/null"), Severity.HIGH, "is a link to /dev/null now"),
        ("ls\nid\n", None, Severity.MEDIUM, "was deleted with its 6 bytes"),
        ("ls\nid\n", "", Severity.MEDIUM, "was emptied"),
        ("ls\nid\n", "ls\n", Severity.MEDIUM, "lost 1 of 2 lines"),
    ],
)
def test_a_history_that_is_gone(before: str | None, after: F | str | None, severity: Severity, says: str):
    path = "root/.bash_history"
    [finding] = of(HISTORY, {} if before is None else {path: before}, {} if after is None else {path: after})
    assert finding.severity is severity
    assert says in finding.message


def test_a_history_that_grows_begins_or_is_full_is_nothing():
    path = "root/.bash_history"
    full = [f"command {i}\n" for i in range(600)]
    assert of(HISTORY, {path: "ls\n"}, {path: "ls\nid\n"}) == []
    assert of(HISTORY, {}, {path: "ls\n"}) == []
    assert of(HISTORY, {path: ""}, {}) == []
    assert of(HISTORY, {path: "".join(full[:500])}, {path: "".join(full[100:])}) == []
    assert of(HISTORY, {"work/history.txt": "ls\n"}, {}) == []


@pytest.mark.parametrize(
    "line",
    [
        "unset HISTFILE",
        "export HISTFILE=/dev/null",
        "HISTSIZE=0",
        "set +o history",
        "HISTFILE=",
        "true; HISTFILESIZE=0",
        "export HISTIGNORE='*'",
    ],
)
def test_a_line_that_switches_the_history_off(line: str):
    [finding] = of(HISTORY, {"root/.bashrc": "true\n"}, {"root/.bashrc": f"true\n{line}\n"})
    assert finding.severity is Severity.MEDIUM
    assert finding.locations[0].line == 2


@pytest.mark.parametrize(
    "line",
    [
        "HISTSIZE=1000",
        "HISTCONTROL=ignoreboth",
        "echo HISTFILE",
        "HISTFILE=$HOME/.h",
        "# unset HISTFILE",
        "set -o history",
    ],
)
def test_a_line_that_keeps_it(line: str):
    assert of(HISTORY, {}, {"root/.bashrc": line + "\n"}) == []


@given(st.text(max_size=120))
def test_no_line_breaks_the_reader(line: str):
    assert isinstance(switched_off(line), str)


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_no_log_breaks_the_count(old: bytes, new: bytes):
    for path in ("var/log/wtmp", "var/log/auth.log", "root/.zsh_history"):
        for finding in of(LOG, {path: old}, {path: new}):
            lost = finding.details.get("lost")
            assert lost is None or 0 < int(str(lost)) <= int(str(finding.details["of"]))
