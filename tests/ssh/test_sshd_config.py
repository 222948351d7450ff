"""sshd_config: what holds, who said so, and what keeps sshd from starting. The judge is sshd (test_sshd_oracle.py)."""

import pytest

from scanner.ssh.source import Source, Version, Where
from scanner.ssh.sshd_config import Config, Connection, command_line, evaluate, parse, undecided

MAIN = b"/etc/ssh/sshd_config"
DEBIAN_12 = Version(9, 2)


def config(
    text: str | bytes,
    files: dict[str, str] | None = None,
    version: Version | None = DEBIAN_12,
    options: tuple[str, ...] = (),
) -> Config:
    """A configuration with the files that its Include patterns name, word for word."""
    included = {
        name.encode(): [Source(name.encode().replace(b"*", b"1"), content.encode())]
        for name, content in (files or {}).items()
    }
    data = text.encode() if isinstance(text, str) else text
    return parse(Source(MAIN, data), lambda pattern: included.get(pattern, []), version, options)


def test_the_first_value_wins_and_is_named_with_its_line():
    found = evaluate(config("# mine\nPermitRootLogin yes\nPermitRootLogin no\n"))

    setting = found.get("PermitRootLogin")
    assert (setting.values, setting.where, setting.match) == (("yes",), Where(MAIN, 2), None)


def test_a_default_has_no_line():
    setting = evaluate(config("")).get("passwordauthentication")

    assert (setting.values, setting.where) == (("yes",), None)


@pytest.mark.parametrize(
    ("version", "expected"), [(Version(6, 9), "yes"), (Version(7, 0), "without-password"), (None, "without-password")]
)
def test_the_default_of_root_login_moves_with_the_release(version, expected):
    assert evaluate(config("", version=version)).get("permitrootlogin").value == expected


def test_an_unknown_release_is_taken_for_debian_12s_and_says_so():
    assert (config("", version=None).version, config("", version=None).version_known) == (DEBIAN_12, False)


def test_a_drop_in_beats_the_main_file_for_it_is_included_first():
    found = config(
        "Include /etc/ssh/sshd_config.d/*.conf\nX11Forwarding yes\nPasswordAuthentication no\n",
        {"/etc/ssh/sshd_config.d/*.conf": "\nPasswordAuthentication yes\n"},
    )

    setting = evaluate(found).get("passwordauthentication")
    assert (setting.value, setting.where) == ("yes", Where(b"/etc/ssh/sshd_config.d/1.conf", 2))


def test_a_relative_include_is_looked_up_below_etc_ssh():
    asked: list[bytes] = []
    parse(Source(MAIN, b"Include a.conf b/*\nInclude ~/c\n"), lambda pattern: asked.append(pattern) or [], DEBIAN_12)

    assert asked == [b"/etc/ssh/a.conf", b"/etc/ssh/b/*"]


def test_a_match_inside_an_include_ends_with_the_file():
    found = config("Include /m\nX11Forwarding yes\n", {"/m": "Match user root\nPermitTTY no\n"})

    assert evaluate(found, Connection(user="nobody")).get("x11forwarding").value == "yes"
    assert evaluate(found, Connection(user="root")).get("permittty").where == Where(b"/m", 2)


def test_an_include_inside_a_match_holds_for_that_match_alone():
    found = config("Match user root\nInclude /m\n", {"/m": "PermitTTY no\nMatch user *\nGatewayPorts yes\n"})

    assert evaluate(found, Connection(user="nobody")).get("gatewayports").value == "no"
    root = evaluate(found, Connection(user="root"))
    assert (root.get("permittty").value, root.get("permittty").match) == ("no", 0)
    assert (root.get("gatewayports").value, root.get("gatewayports").match) == ("yes", 1)
    assert found.matches[1].within == 0


def test_a_match_overrides_what_stands_before_it_and_the_first_match_wins():
    found = config(
        "AllowTcpForwarding no\nMatch user a\nAllowTcpForwarding local\nMatch user *\nAllowTcpForwarding remote\n"
    )

    forwarding = {user: evaluate(found, Connection(user=user)).get("allowtcpforwarding").value for user in "ab"}
    assert forwarding == {"a": "local", "b": "remote"}
    assert evaluate(found).get("allowtcpforwarding").value == "no"


def test_match_all_counts_without_a_connection():
    found = config("Match all\nPermitRootLogin yes\nPort 2222\n")

    assert found.fatal is None
    assert evaluate(found).get("permitrootlogin").value == "yes"
    assert evaluate(found).get("port").match == 0


def test_what_is_unknown_does_not_match_unless_it_is_assumed():
    found = config("Match address 10.0.0.0/8\nPermitRootLogin yes\nMatch user x group y\nPermitTTY no\n")

    somebody = Connection(user="root")
    assert undecided(found, somebody) == (0,)
    assert undecided(found) == (0, 1)
    assert evaluate(found, somebody).get("permitrootlogin").value == "without-password"
    assert evaluate(found, somebody, frozenset({0})).get("permitrootlogin").match == 0
    assert evaluate(found, Connection(user="root", address="11.0.0.1"), frozenset({0})).applied == ()
    assert evaluate(found, Connection(user="x", groups=("z", "y"))).applied == (1,)


def test_a_block_in_a_block_that_cannot_hold_is_decided():
    found = config("Match user root\nInclude /m\n", {"/m": "Match address *\nPermitTTY no\n"})

    assert undecided(found, Connection(user="nobody")) == ()
    assert undecided(found, Connection(user="root")) == (1,)


def test_keywords_that_gather_name_the_line_of_each_value():
    found = evaluate(config("AllowUsers a b\nPort 22\nPort 2222\nAllowUsers c\n"))

    assert [(s.values, s.where and s.where.line) for s in found.all("allowusers")] == [
        (("a",), 1),
        (("b",), 1),
        (("c",), 4),
    ]
    assert found.get("port").values == ("22", "2222")
    assert found.get("listenaddress").values == ("[::]:22", "0.0.0.0:22", "[::]:2222", "0.0.0.0:2222")


def test_the_daemons_own_options_come_first():
    found = evaluate(config("PermitRootLogin no\nPort 22\n", options=("PermitRootLogin=yes", "-p2222")))

    assert found.get("permitrootlogin").where == Where(b"", 1)
    assert [(s.value, s.where) for s in found.all("port")] == [("2222", Where(b"", 2))]


def test_a_command_line_is_read_as_getopt_does():
    line = command_line(["-Dep", "2222", "-oPermitRootLogin=yes", "-f", "/x", "-4", "-h/k"])

    assert (line.config, line.options, line.runs) == ("/x", ("-p2222", "PermitRootLogin=yes", "-4", "-h/k"), True)
    assert not command_line(["-t"]).runs
    assert "argument" in command_line(["-D", "x"]).problem


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("Port 22\nNonsense yes\n", 2, "does not know"),
        ("PermitRootLogin maybe\n", 1, "maybe"),
        ("UsePAM yes#c\n", 1, "yes#c"),
        ("UsePAM yes no\n", 1, "too many"),
        ("\nBanner\n", 2, "no argument"),
        ('Banner "/x\n', 1, "never closed"),
        ("Subsystem sftp /a\nSubsystem sftp /b\n", 2, "twice"),
        ("Match user x\nPort 22\n", 2, "Match block"),
        ("Match user x\nProtocol 2\n", 2, "Match block"),
        ("Match nothing x\n", 1, "no criterion"),
        ("Match address 10.0.0.1/8\n", 1, "contradicts"),
        ("Ciphers aes128-ctr,rot13\n", 1, "does not know"),
        ("Ciphers +\n", 1, "does not know"),
        ("HostKeyAlgorithms RSA\n", 1, "no algorithm is left"),
        ("AuthorizedKeysCommand /x\n", 1, "authorizedkeyscommanduser"),
        ("AuthenticationMethods hostbased\n", 1, "satisfied"),
        ("AddressFamily inet\nListenAddress ::1\n", 2, "inet"),
        ('Include ""\n', 1, "empty"),
        ("RekeyLimit 15\n", 1, "small"),
    ],
)
def test_the_first_line_that_stops_sshd_is_named(text, line, word):
    fatal = config(text).fatal

    assert fatal is not None
    assert (fatal.where, word in fatal.message) == (Where(MAIN, line), True), fatal


def test_reading_goes_on_after_a_line_that_stops_sshd():
    found = config("Nonsense\nPermitRootLogin yes\n")

    assert found.fatal is not None
    assert evaluate(found).get("permitrootlogin").where == Where(MAIN, 2)


@pytest.mark.parametrize(
    "text",
    ["Protocol 1,2\n", "UsePrivilegeSeparation no\n", "KerberosGetAFSToken yes\n", "=UsePAM yes\n", '"Port 22\n'],
)
def test_what_sshd_only_grumbles_about_is_not_fatal(text):
    assert config(text).fatal is None


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("Include /x\n", Version(8, 2)),
        ("PerSourcePenalties no\n", Version(9, 8)),
        ("Match invalid-user\nRefuseConnection yes\n", Version(9, 9)),
        ("ChannelTimeout *=5m\n", Version(9, 2)),
        ("Match user x\nSubsystem a /b\n", Version(9, 5)),
        ("Subsystem a /b\nSubsystem a /c\n", Version(9, 5)),
        ("Port 22 # why\nBanner 'a b'\n", Version(6, 0)),
        ("Match user 'a b'\n", Version(9, 9)),
    ],
)
def test_a_release_takes_what_it_knows(text, since):
    before = Version(since.major - (since.minor == 0), since.minor - 1 if since.minor else 9)

    if since != Version(6, 0):
        assert config(text, version=before).fatal is not None
        assert config(text, version=since).fatal is None
    else:  # before 8.7 comments are cut away, and ' is no quote
        assert "too many" in str(config(text, version=since).fatal)


def test_before_8_7_a_comment_begins_anywhere():
    found = config("ForceCommand echo #x\nUsePAM yes#c\n", version=Version(8, 4))

    assert found.fatal is None
    assert evaluate(found).get("forcecommand").value == "echo"
    assert evaluate(config("ForceCommand echo #x\n")).get("forcecommand").value == "echo #x"


def test_before_8_7_challenge_response_turns_keyboard_interactive_on():
    off = evaluate(config("ChallengeResponseAuthentication no\n", version=Version(8, 4)))

    assert off.get("kbdinteractiveauthentication").value == "no"
    on = evaluate(config("\nChallengeResponseAuthentication yes\n", version=Version(8, 4)))
    assert on.get("kbdinteractiveauthentication").where == Where(MAIN, 2)


def test_an_alias_is_the_keyword_it_stands_for():
    found = evaluate(config("ChallengeResponseAuthentication no\nKbdInteractiveAuthentication yes\n"))

    assert found.get("kbdinteractiveauthentication").where == Where(MAIN, 1)
    assert found.get("ChallengeResponseAuthentication").value == "no"


def test_algorithm_lists_are_worked_out():
    found = evaluate(config("Ciphers ^3des-cbc\nMACs -*sha1*,*etm*\nHostKeyAlgorithms +ssh-rsa,ssh-ds?\n"))

    assert found.get("ciphers").values[:2] == ("3des-cbc", "chacha20-poly1305@openssh.com")
    assert found.get("macs").values == ("umac-64@openssh.com", "umac-128@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
    assert found.get("hostkeyalgorithms").values[-2:] == ("ssh-rsa", "ssh-dss")


def test_a_nul_joins_its_line_to_the_next():
    found = config(b"Banner /x\0junk\n/y\nPermitTTY no\n")

    assert evaluate(found).get("banner").value == "/x/y"
    assert evaluate(found).get("permittty").where == Where(MAIN, 3)


def test_a_directive_knows_its_block_and_its_words():
    directives = config("Ciphers 3des-cbc\nMatch user x\npermittty NO\n").directives

    assert [(d.keyword, d.spelled, d.values, d.match) for d in directives] == [
        ("ciphers", "Ciphers", ("3des-cbc",), None),
        ("permittty", "permittty", ("no",), 0),
    ]


def test_a_block_that_would_end_the_connection_is_told():
    found = config("Match user x\nAuthenticationMethods password\nMatch all\nAuthenticationMethods any\n")

    assert found.fatal is None
    ended = evaluate(found, Connection(user="x")).fatal
    assert ended is not None
    assert ended.where == Where(MAIN, 4)


def test_files_that_include_each_other_by_patterns_start_sshd_and_end_every_connection():
    """sshd keeps what a pattern named, file by file: the first reading ends, the second does not (checked with sshd 9.2)."""
    files = {
        b"/x/b-*": [Source(b"/x/b-1", b"Port 2222\n"), Source(b"/x/b-2", b"Include /x/a\nPermitRootLogin yes\n")],
        b"/x/a": [Source(b"/x/a", b"Include /x/b-*\n")],
    }

    config = parse(Source(b"/main", b"Include /x/a\n"), lambda pattern: files.get(pattern, []), Version(9, 2))

    assert config.fatal is None
    effective = evaluate(config)
    assert effective.get("permitrootlogin").values == ("yes",)
    assert effective.fatal is not None
    assert "too deeply" in effective.fatal.message


def test_a_file_that_includes_itself_keeps_sshd_from_starting():
    files = {b"/x/a": [Source(b"/x/a", b"Include /x/a\n")]}

    config = parse(Source(b"/main", b"Include /x/a\n"), lambda pattern: files.get(pattern, []), Version(9, 2))

    assert config.fatal is not None
    assert "too deeply" in config.fatal.message
