"""Accounts, groups and rights that a run changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model import Severity
from scanner.runtime.drift.accounts import doas_lines, groups, passwords, people, sudo_lines, sudo_weight
from tests.runtime.drift.root import F, noted, of

RULE = "drift/account"
PASSWD = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\nagent:x:1000:1000::/home/agent:/bin/bash\n"
SHADOW = "root:*:19000:0:99999:7:::\ndaemon:*:19000::::::\nagent:!:19000::::::\n"
GROUP = "root:x:0:\nsudo:x:27:\ndocker:x:999:\nagent:x:1000:\nstaff:x:50:\n"
HASH = "$6$salt$" + "h" * 86


def change(path: str, before: str, after: str) -> list:
    return of(RULE, {path: before}, {path: after})


@pytest.mark.parametrize(
    ("line", "shadow", "severity", "says"),
    [
        ("toor:x:0:0::/root:/bin/bash", "toor:!:1::::::", Severity.CRITICAL, "uid 0, which is root, shell /bin/bash"),
        ("toor::0:0::/root:/bin/sh", "", Severity.CRITICAL, "an empty password"),
        ("bob:x:1001:1001::/home/bob:/bin/bash", f"bob:{HASH}:1::::::", Severity.MEDIUM, "a password"),
        ("bob::1001:1001::/home/bob:/bin/bash", "", Severity.HIGH, "an empty password"),
        ("bob:x:1001:1001::/home/bob:/bin/bash", "bob:!:1::::::", Severity.LOW, "no password that opens it"),
        ("_apt:x:100:65534::/nonexistent:/usr/sbin/nologin", "_apt:*:1::::::", Severity.NOTE, "uid 100"),
        (" bob:x:00:0::/:", "", Severity.CRITICAL, "shell /bin/sh"),
    ],
)
def test_a_new_account_with_what_it_can_do(line: str, shadow: str, severity: Severity, says: str):
    before = {"etc/passwd": PASSWD, "etc/shadow": SHADOW}
    after = {"etc/passwd": PASSWD + line + "\n", "etc/shadow": SHADOW + (shadow + "\n" if shadow else "")}
    [finding] = of(RULE, before, after)
    assert finding.severity is severity
    assert says in finding.message
    assert finding.locations[0].line == 4
    assert "2027-01-15T08:00:00Z" in finding.message
    assert HASH not in str(finding)


def test_two_lines_of_one_name_are_both_told_where_one_is_root():
    [finding] = change("etc/passwd", PASSWD, PASSWD + "agent:x:0:0::/:/bin/sh\n")
    assert finding.severity is Severity.CRITICAL
    assert "agent has uid 0 now and is root" in finding.message


@pytest.mark.parametrize(
    ("old", "new", "severity", "field"),
    [
        ("agent:x:1000:", "agent:x:0:", Severity.CRITICAL, "uid"),
        ("agent:x:1000:1000", "agent:x:1000:0", Severity.HIGH, "gid"),
        ("/usr/sbin/nologin", "/bin/sh", Severity.MEDIUM, "shell"),
        ("root:x:0", "root::0", Severity.HIGH, "password"),
        (":/home/agent:", ":/tmp/h:", Severity.LOW, "home"),
    ],
)
def test_a_changed_field_is_told_with_what_it_was(old: str, new: str, severity: Severity, field: str):
    [finding] = change("etc/passwd", PASSWD, PASSWD.replace(old, new, 1))
    assert (finding.severity, finding.details["field"]) == (severity, field)


@pytest.mark.parametrize(
    ("old", "new", "severity"),
    [
        ("root:*:", f"root:{HASH}:", Severity.HIGH),
        ("root:*:", "root::", Severity.CRITICAL),
        ("agent:!:", f"agent:{HASH}:", Severity.MEDIUM),
        ("agent:!:", "agent::", Severity.HIGH),
    ],
)
def test_a_password_that_opens_an_account_now(old: str, new: str, severity: Severity):
    [finding] = change("etc/shadow", SHADOW, SHADOW.replace(old, new, 1))
    assert finding.severity is severity
    assert HASH not in str(finding)


@pytest.mark.parametrize(
    ("old", "new"),
    [("root:*:", "root:!:"), ("19000", "19001"), ("agent:!:", "agent:!!:"), ("\nagent", "\n# a comment\nagent")],
)
def test_a_lock_of_another_kind_or_another_day_is_nothing(old: str, new: str):
    assert change("etc/shadow", SHADOW, SHADOW.replace(old, new)) == []


@pytest.mark.parametrize(
    ("old", "new", "severity", "says"),
    [
        ("sudo:x:27:", "sudo:x:27:agent", Severity.HIGH, "agent is in the group sudo now, which is as good as root"),
        ("docker:x:999:", "docker:x:999:agent", Severity.HIGH, "docker"),
        ("staff:x:50:", "staff:x:50:agent,bob", Severity.LOW, "agent, bob are in the group staff now"),
        ("agent:x:1000:\n", "agent:x:1000:\nrender:x:101:\n", Severity.NOTE, "New group render"),
        ("agent:x:1000:\n", "agent:x:1000:\nwheelie:x:0:\n", Severity.HIGH, "which is root's"),
        ("staff:x:50:", f"staff:{HASH}:50:", Severity.MEDIUM, "newgrp"),
    ],
)
def test_who_joined_which_group(old: str, new: str, severity: Severity, says: str):
    [finding] = change("etc/group", GROUP, GROUP.replace(old, new, 1))
    assert finding.severity is severity
    assert says in finding.message


def test_an_administrator_of_a_group_is_told_from_gshadow():
    [finding] = change("etc/gshadow", "sudo:*::\n", "sudo:*:agent:\n")
    assert (finding.severity, finding.details["joined"]) == (Severity.HIGH, ["agent"])


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("agent ALL=(ALL:ALL) NOPASSWD: ALL", Severity.HIGH),
        ("agent ALL=(ALL) \\\n  NOPASSWD: /bin/sh", Severity.HIGH),
        ("#1000 ALL=(ALL) NOPASSWD: ALL", Severity.HIGH),
        ("%agents ALL=(ALL) ALL", Severity.MEDIUM),
        ("Defaults !authenticate", Severity.HIGH),
        ('Defaults env_keep += "LD_PRELOAD"', Severity.HIGH),
        ("Defaults insults", Severity.LOW),
        ("@includedir /tmp/sudoers.d", Severity.MEDIUM),
        ("#includedir /tmp/sudoers.d", Severity.MEDIUM),
    ],
)
def test_a_line_of_sudoers_by_what_it_gives(line: str, severity: Severity):
    [finding] = change("etc/sudoers", "root ALL=(ALL) ALL\n", "root ALL=(ALL) ALL\n" + line + "\n")
    assert finding.severity is severity
    assert finding.locations[0].line == 2


def test_a_comment_in_sudoers_is_nothing_and_a_dotted_file_is_not_read():
    assert change("etc/sudoers", "root ALL=(ALL) ALL\n", "# agent ALL=(ALL) NOPASSWD: ALL\nroot ALL=(ALL)  ALL\n") == []
    [finding] = of(RULE, {}, {"etc/sudoers.d/agent.bak": "agent ALL=(ALL) NOPASSWD: ALL\n"})
    assert finding.severity is Severity.LOW
    [read] = of(RULE, {}, {"etc/sudoers.d/agent": "agent ALL=(ALL) NOPASSWD: ALL\n"})
    assert read.severity is Severity.HIGH


def test_doas_without_a_password():
    [finding] = of(RULE, {}, {"etc/doas.conf": "permit nopass agent as root\n# permit nopass bob\n"})
    assert finding.severity is Severity.HIGH


def test_a_passwd_that_became_a_link_is_told_and_what_it_leads_to_is_judged():
    before = {"etc/passwd": PASSWD}
    after = {"etc/passwd": F(link="/tmp/p"), "tmp/p": PASSWD + "toor:x:0:0::/:/bin/sh\n"}
    found = of(RULE, before, after)
    assert [f.severity for f in found] == [Severity.CRITICAL, Severity.HIGH]
    assert "is a link to /tmp/p now" in found[1].message


def test_what_was_not_read_is_said_and_nothing_is_taken_for_clean():
    before, after = {"etc/passwd": PASSWD}, {"etc/passwd": F(PASSWD + "x", unread=True)}
    [note] = [n for n in noted(before, after) if n.path == b"etc/passwd"]
    assert note.incomplete


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"root:x:0:0::/:", b":", b"::::", b"a:b:99999999999:1", b"\\", b"\0#+-"])).map(
        b"\n".join
    )
)
def test_no_bytes_break_a_reader_and_good_lines_after_bad_ones_count(data: bytes):
    good = b"\nagent:x:1000:1000::/home/agent:/bin/sh\n"
    assert people(data + good)[-1].name == "agent"
    assert "agent" in passwords(data + good)
    assert "agent" in groups(data + good)
    for line in sudo_lines(data):
        sudo_weight(line)
    doas_lines(data)


@pytest.mark.parametrize(
    ("path", "after", "why"),
    [
        ("etc/passwd", F("x", 0o666), "Everybody may write it now: /etc/passwd"),
        ("etc/shadow", F("x", 0o644), "Everybody may read it now: /etc/shadow"),
        ("etc/sudoers.d/a", F("x", 0o600, uid=1000), "Uid 1000 owns it now: /etc/sudoers.d/a"),
        ("etc/passwd", F("x", 0o600), None),
        ("etc/hosts", F("x", 0o666), None),
    ],
)
def test_a_file_of_accounts_that_others_may_change_is_told_though_it_says_the_same(
    path: str, after: F, why: str | None
):
    found = of(RULE, {path: F("x", 0o600)}, {path: after})
    if why is None:
        assert found == []
    else:
        assert why in found[0].message
        assert found[0].severity is Severity.HIGH
