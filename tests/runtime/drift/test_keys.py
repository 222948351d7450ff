"""Keys that a run let in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.keys import public_line
from scanner.model import Severity
from scanner.ssh.keys import read_public
from tests.runtime.drift.root import F, noted, of

RULE = "drift/authorized-key"
OLD, NEW = public_line("old", "ops@host"), public_line("new", "me@laptop")
FILE = "root/.ssh/authorized_keys"


def print_of(line: str) -> str:
    key = read_public(line)
    assert key is not None
    return key.fingerprint


def test_a_new_key_is_named_by_its_fingerprint_and_whom_it_opens():
    [finding] = of(RULE, {FILE: OLD + "\n"}, {FILE: f"{OLD}\n# hello\n{NEW}\n"})
    assert finding.severity is Severity.HIGH
    assert finding.details["fingerprint"] == print_of(NEW)
    assert finding.details["account"] == "root"
    assert f"New ed25519 key {print_of(NEW)} (me@laptop) opens the account of root by /{FILE}" in finding.message
    assert finding.locations[0].line == 3
    assert finding.details["time"] == "2027-01-15T08:00:00Z"


@pytest.mark.parametrize(
    ("path", "account"),
    [
        ("home/agent/.ssh/authorized_keys2", "agent"),
        ("etc/ssh/authorized_keys/deploy", "deploy"),
        ("srv/git/.ssh/authorized_keys", "root"),
    ],
)
def test_whose_account_by_place_or_owner(path: str, account: str):
    [finding] = of(RULE, {}, {path: NEW + "\n"})
    assert finding.details["account"] == account


def test_the_same_keys_in_another_order_are_nothing_new():
    assert of(RULE, {FILE: f"{OLD}\n{NEW}\n"}, {FILE: f"# x\n{NEW}\n\n{OLD}\n"}) == []


@pytest.mark.parametrize("path", ["root/.ssh/known_hosts", "root/.ssh/id_ed25519.pub", "work/authorized_keys.md"])
def test_other_files_with_public_keys_let_nobody_in(path: str):
    assert of(RULE, {}, {path: NEW + "\n"}) == []


def test_options_that_fall_away_are_told_and_others_are_not():
    tight = f'command="/bin/date",restrict {OLD}\n'
    [finding] = of(RULE, {FILE: tight}, {FILE: OLD + "\n"})
    assert "may do more in the account of root" in finding.message
    assert "before it had one command, no forwarding" in finding.message
    assert finding.details["new"] is False
    assert of(RULE, {FILE: OLD + "\n"}, {FILE: tight}) == []


def test_a_key_that_runs_one_command_and_forwards_nothing_weighs_less():
    [finding] = of(RULE, {}, {FILE: f'command="/bin/date",restrict {NEW}\n'})
    assert finding.severity is Severity.MEDIUM


def test_a_link_is_told_and_followed():
    found = of(RULE, {}, {FILE: F(link="/tmp/k"), "tmp/k": NEW + "\n"})
    assert sorted(f.severity.value for f in found) == ["high", "medium"]
    assert noted({}, {FILE: F(link="/somewhere/else")})[0].incomplete


@given(st.binary(max_size=200))
def test_no_line_hides_the_key_after_it(junk: bytes):
    found = of(RULE, {}, {FILE: F(junk.replace(b"\0", b"") + b"\n" + NEW.encode() + b"\n")})
    assert print_of(NEW) in {f.details["fingerprint"] for f in found}


def test_a_key_behind_a_link_in_the_folders_place_opens_the_same_account():
    [finding] = of(RULE, {}, {"root/.ssh": F(link="/opt/k"), "opt/k/authorized_keys": NEW + "\n"})
    assert finding.details["account"] == "root"
    assert finding.locations[0].display == b"opt/k/authorized_keys"
