"""sshd's configuration as the image's own daemon reads it: which line wins, for whom, and how much it weighs."""

import time

import pytest

from fixtures import keys
from scanner.model import Confidence, FileLocation, Finding, ImageConfig, Notification, Severity
from tests.content.rpm_forms import header, in_sqlite
from tests.detectors.conftest import Detect, File, Judge, Link
from tests.detectors.ssh_images import (
    CONFIG,
    STARTED,
    UNIT,
    WANTS,
    cut,
    enabled,
    image,
    of,
    only,
    place,
    program,
    rules,
)

HIGH, MEDIUM, LOW, NOTE = Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.NOTE
QUIET = "PasswordAuthentication no\nKbdInteractiveAuthentication no\nAllowTcpForwarding no\n"
"""With these nothing of the defaults is a finding."""

HITS = [
    ("permit-root-login", "PermitRootLogin yes", MEDIUM, "by key"),
    ("permit-root-login", "PasswordAuthentication yes\nPermitRootLogin yes", HIGH, "by password or key"),
    ("password-authentication", "PasswordAuthentication yes", MEDIUM, "passwords are accepted"),
    ("password-authentication", "UsePAM yes\nKbdInteractiveAuthentication yes", MEDIUM, "through keyboard-interactive"),
    ("empty-passwords", "PasswordAuthentication yes\nPermitEmptyPasswords yes", HIGH, "without a password may log in"),
    ("empty-passwords", "PermitEmptyPasswords yes", LOW, "once passwords are accepted"),
    ("tcp-forwarding", "AllowTcpForwarding yes", MEDIUM, "both ways"),
    ("tcp-forwarding", "AllowTcpForwarding remote", MEDIUM, "inwards"),
    ("tcp-forwarding", "AllowTcpForwarding local", MEDIUM, "outwards"),
    ("gateway-ports", "AllowTcpForwarding yes\nGatewayPorts yes", HIGH, "on all addresses"),
    ("gateway-ports", "AllowTcpForwarding remote\nGatewayPorts clientspecified", HIGH, "whatever address"),
    ("permit-tunnel", "PermitTunnel point-to-point", HIGH, "point-to-point"),
    ("stream-local-forwarding", "AllowStreamLocalForwarding yes", LOW, "Unix sockets"),
    ("agent-forwarding", "AllowAgentForwarding yes", LOW, "agents"),
    ("x11-forwarding", "X11Forwarding yes", LOW, "X11"),
    ("permit-user-environment", "PermitUserEnvironment yes", MEDIUM, "any variable"),
    ("permit-user-environment", "PermitUserEnvironment LD_*", MEDIUM, "LD_*"),
    ("host-based", "HostbasedAuthentication yes", HIGH, "trusted hosts"),
    ("host-based", "IgnoreRhosts no\nHostbasedAuthentication yes", HIGH, "rhosts"),
    ("weak-crypto", "Ciphers aes256-ctr,3des-cbc", MEDIUM, "3des-cbc"),
    ("weak-crypto", "Ciphers +aes128-cbc", LOW, "aes128-cbc"),
    ("weak-crypto", "MACs hmac-md5", MEDIUM, "hmac-md5"),
    ("weak-crypto", "KexAlgorithms +diffie-hellman-group1-sha1", MEDIUM, "group1"),
    ("weak-crypto", "HostKeyAlgorithms +ssh-rsa", MEDIUM, "ssh-rsa"),
    ("weak-crypto", "PubkeyAcceptedKeyTypes +ssh-dss", MEDIUM, "ssh-dss"),
    ("strict-modes", "StrictModes no", MEDIUM, "others can write"),
    ("authorized-keys-command", "AuthorizedKeysCommandUser nobody\nAuthorizedKeysCommand /opt/keys %u", MEDIUM, "/opt/keys %u: a program decides"),
    ("authorized-keys-command", "AuthorizedPrincipalsCommandUser nobody\nAuthorizedPrincipalsCommand /opt/p", MEDIUM, "/opt/p: a program decides"),
    ("trusted-ca", "TrustedUserCAKeys /etc/ssh/ca.pub", HIGH, "/etc/ssh/ca.pub: whoever its authorities sign"),
    ("trusted-ca", "AuthorizedPrincipalsFile /etc/p/%u\nTrustedUserCAKeys /etc/ssh/ca.pub", MEDIUM, "/etc/ssh/ca.pub"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "lines", "severity", "words"), HITS)
def test_a_line_is_a_finding_at_its_place(
    detect: Detect, rule: str, lines: str, severity: Severity, words: str
) -> None:
    findings = detect(image(f"{lines}\n{QUIET}"), config=STARTED)

    found = only(rule, findings)
    number = lines.count("\n") + 1
    assert (found.severity, found.confidence, place(found)) == (severity, Confidence.HIGH, (CONFIG, number, 0))
    first = found.locations[0]
    assert isinstance(first, FileLocation)
    assert first.layer.created_by == "RUN step 0"
    keyword, value = lines.rpartition("\n")[2].split(" ", 1)
    assert str(found.details["keyword"]).replace("Algorithms", "") == keyword.replace("KeyTypes", "").replace(
        "Algorithms", ""
    )
    assert value.lstrip("+").split(",")[-1].split(" ")[0] in str(found.details["value"])
    assert words in found.message
    assert found.message.endswith("; sshd starts with the container.")
    assert (found.details["daemon"], found.details["version"], found.details["inert"]) == ("starts", "9.2", False)


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        ("permit-root-login", "PermitRootLogin no"),
        ("permit-root-login", "PermitRootLogin prohibit-password"),
        ("permit-root-login", "PermitRootLogin forced-commands-only"),
        ("permit-root-login", "AllowUsers bob\nPermitRootLogin yes"),
        ("permit-root-login", "PermitRootLogin yes\nMatch User root\nPermitRootLogin no"),
        ("permit-root-login", "Match User bob\nPermitRootLogin yes"),
        ("password-authentication", "KbdInteractiveAuthentication yes"),  # without PAM nobody asks for one
        ("empty-passwords", "PermitEmptyPasswords no"),
        ("tcp-forwarding", "DisableForwarding yes\nAllowTcpForwarding yes"),
        ("tcp-forwarding", "AllowTcpForwarding no\nAllowTcpForwarding yes"),
        ("gateway-ports", "GatewayPorts yes"),  # nothing is forwarded
        ("gateway-ports", "AllowTcpForwarding local\nGatewayPorts yes"),
        ("permit-tunnel", "PermitTunnel no"),
        ("stream-local-forwarding", "#AllowStreamLocalForwarding yes"),
        ("agent-forwarding", "AllowAgentForwarding no"),
        ("x11-forwarding", "DisableForwarding yes\nX11Forwarding yes"),
        ("permit-user-environment", "PermitUserEnvironment no"),
        ("host-based", "IgnoreRhosts no"),
        ("weak-crypto", "Ciphers aes256-ctr"),
        ("weak-crypto", "Ciphers -3des-cbc"),
        ("weak-crypto", "MACs hmac-sha1"),  # a default of this release
        ("strict-modes", "StrictModes yes"),
        ("authorized-keys-command", "AuthorizedKeysCommand none"),
        ("trusted-ca", "TrustedUserCAKeys none"),
    ],
)
def test_a_near_miss_is_none(detect: Detect, rule: str, lines: str) -> None:
    assert of(rule, detect(image(f"{QUIET}{lines}\n"), config=STARTED)) == []


REACHES = {
    "absent": (image("PermitTunnel yes\n" + QUIET, daemon=None), None),
    "installed": (image("PermitTunnel yes\n" + QUIET), None),
    "enabled": (image("PermitTunnel yes\n" + QUIET) | enabled(), None),
    "starts": (image("PermitTunnel yes\n" + QUIET), STARTED),
}


@pytest.mark.parametrize(
    ("reach", "severity", "starts", "words"),
    [
        ("absent", LOW, None, "no sshd lies in the image"),
        ("installed", MEDIUM, None, "nothing in the image starts sshd"),
        ("enabled", HIGH, MEDIUM, "only an init system or a script starts sshd"),
        ("starts", HIGH, HIGH, "sshd starts with the container"),
    ],
)
def test_a_daemon_makes_it_weigh(
    detect: Detect, reach: str, severity: Severity, starts: Severity | None, words: str
) -> None:
    files, config = REACHES[reach]
    findings = detect(files, config=config)

    assert only("permit-tunnel", findings).severity is severity
    assert words in only("permit-tunnel", findings).message
    assert [f.severity for f in of("sshd-starts", findings)] == ([starts] if starts else [])


def test_without_a_daemon_nothing_is_above_low(detect: Detect) -> None:
    everything = "\n".join(line for _, lines, _, _ in HITS for line in lines.split("\n"))
    findings = detect(image(everything + "\n", daemon=None))

    assert {f.severity for f in findings if f.rule_id.startswith("ssh/")} <= {LOW, NOTE}
    assert len(rules(findings)) > 10


# ---- defaults and versions


@pytest.mark.parametrize(
    ("version", "severity"),
    [("6.6", MEDIUM), ("6.9", MEDIUM), ("7.0", None), ("7.4", None), ("9.2", None), ("9.8", None)],
)
def test_root_logged_in_by_default_until_7_0(detect: Detect, version: str, severity: Severity | None) -> None:
    findings = detect(image(daemon=version), config=STARTED)

    found = of("permit-root-login", findings)
    assert [f.severity for f in found] == ([severity] if severity else [])
    for one in found:
        assert f"OpenSSH {version}'s default" in one.message
        assert place(one) == (CONFIG, None, 0)
        assert one.details["default"] is True
    assert only("password-authentication", findings).severity is LOW
    assert only("tcp-forwarding", findings).severity is LOW


APK = b"P:openssh-server\nV:9.3_p2-r3\nA:x86_64\nF:usr/sbin\nR:sshd\n\n"
RPM = in_sqlite([header("openssh-server", "6.6.1p1", "35.el7", files={"/usr/sbin/": ["sshd"]})])


@pytest.mark.parametrize(
    ("files", "given", "version"),
    [
        (
            {},
            {"owners": {"usr/sbin/sshd": "openssh-server"}, "versions": {"openssh-server": "1:8.4p1-5+deb11u3"}},
            "8.4",
        ),
        ({}, {"versions": {"openssh-server": "1:7.4p1-10"}}, "7.4"),  # nothing says who owns what
        ({"lib/apk/db/installed": APK}, {}, "9.3"),
        ({"var/lib/rpm/rpmdb.sqlite": RPM}, {}, "6.6"),
        ({}, {}, "9.8"),
        ({}, {"owners": {"usr/bin/other": "openssh-client"}, "versions": {"openssh-server": "1:7.4p1-10"}}, "9.8"),
    ],
    ids=["dpkg", "dpkg without lists", "apk", "rpm", "banner", "of no package"],
)
def test_the_version_is_the_package_s_or_the_program_s_own(
    detect: Detect, files: dict[str, bytes], given: dict[str, object], version: str
) -> None:
    findings = detect(image(daemon="9.8") | files, config=STARTED, **given)

    assert only("tcp-forwarding", findings).details["version"] == version


def test_where_no_version_is_known_that_is_said(judge: Judge) -> None:
    said = judge(image() | {"usr/sbin/sshd": b"#!/bin/sh\n"}, config=STARTED)

    assert only("tcp-forwarding", said).confidence is Confidence.MEDIUM
    [note] = [n for n in said if isinstance(n, Notification) and "which OpenSSH" in n.message]
    assert note.path == b"usr/sbin/sshd"


def test_a_keyword_of_a_later_release_keeps_an_old_sshd_from_starting(detect: Detect) -> None:
    lines = "PermitRootLogin yes\nRequiredRSASize 2048\n"

    assert of("inert-config", detect(image(lines, daemon="9.2"), config=STARTED)) == []
    findings = detect(image(lines, daemon="8.9"), config=STARTED)
    inert = only("inert-config", findings)
    assert (inert.severity, place(inert)) == (NOTE, (CONFIG, 2, 0))
    assert "OpenSSH 8.9" in inert.message
    root = only("permit-root-login", findings)
    assert root.severity is MEDIUM
    assert root.details["inert"] is True
    assert "inert: line 2 keeps sshd from starting" in root.message
    assert only("sshd-starts", findings).severity is LOW


# ---- which file, which line, which layer


def test_a_drop_in_of_another_layer_beats_the_main_file(detect: Detect) -> None:
    main = "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin no\n" + QUIET
    findings = detect(image(main), {"etc/ssh/sshd_config.d/50-cloud.conf": b"\nPermitRootLogin yes\n"}, config=STARTED)

    found = only("permit-root-login", findings)
    assert place(found) == ("etc/ssh/sshd_config.d/50-cloud.conf", 2, 1)
    assert isinstance(found.locations[0], FileLocation)
    assert found.locations[0].layer.created_by == "RUN step 1"


def test_an_inert_drop_in_is_named_by_path(detect: Detect) -> None:
    main = "Include /etc/ssh/sshd_config.d/*.conf\nX11Forwarding yes\n" + QUIET
    findings = detect(image(main), {"etc/ssh/sshd_config.d/a.conf": b"PermitRotLogin yes\n"}, config=STARTED)

    assert place(only("inert-config", findings)) == ("etc/ssh/sshd_config.d/a.conf", 1, 1)
    assert "line 1 of etc/ssh/sshd_config.d/a.conf" in only("x11-forwarding", findings).message


def test_a_later_layer_s_file_replaces_the_earlier_one_s(detect: Detect) -> None:
    findings = detect(image("PermitTunnel yes\n"), {CONFIG: QUIET.encode()}, config=STARTED)
    assert of("permit-tunnel", findings) == []
    findings = detect(image(QUIET), {CONFIG: b"PermitTunnel yes\n"}, config=STARTED)
    assert place(only("permit-tunnel", findings)) == (CONFIG, 1, 1)


def test_a_removed_configuration_says_nothing_of_its_settings(detect: Detect) -> None:
    findings = detect(image("PermitTunnel yes\n"), {CONFIG: None}, config=STARTED)

    assert rules(findings) == {"sshd-starts"}
    found = only("sshd-starts", findings)
    assert found.severity is MEDIUM
    assert "it ends if nothing writes its configuration, etc/ssh/sshd_config, before" in found.message


def test_a_link_is_followed(detect: Detect) -> None:
    files = image(None) | {CONFIG: Link("../../opt/sshd.conf"), "opt/sshd.conf": b"PermitTunnel yes\n"}
    assert place(only("permit-tunnel", detect(files, config=STARTED))) == ("opt/sshd.conf", 1, 0)


def test_opensuse_keeps_it_in_usr_etc(detect: Detect) -> None:
    vendor = b"Include /etc/ssh/sshd_config.d/*.conf\nX11Forwarding yes\n"
    files = image(None) | {"usr/etc/ssh/sshd_config": vendor, "etc/ssh/sshd_config.d/a.conf": b"PermitTunnel yes\n"}
    findings = detect(files, config=STARTED)
    assert place(only("x11-forwarding", findings)) == ("usr/etc/ssh/sshd_config", 2, 0)
    assert place(only("permit-tunnel", findings)) == ("etc/ssh/sshd_config.d/a.conf", 1, 0)

    findings = detect(files | {CONFIG: QUIET.encode()}, config=STARTED)
    assert rules(findings) == {"sshd-starts"}


@pytest.mark.parametrize(
    "path",
    [
        "usr/share/openssh/sshd_config",
        "usr/share/doc/openssh-server/examples/sshd_config",
        "usr/share/man/man5/sshd_config.5",
        "usr/share/bash-completion/completions/sshd",
        "etc/logcheck/ignore.d.server/openssh-server",
        "usr/share/lintian/overrides/openssh-server",
        "etc/ssh/sshd_config.ucf-dist",
        "etc/pam.d/sshd",
    ],
)
def test_files_that_no_daemon_reads_say_nothing(detect: Detect, path: str) -> None:
    text = b"#!/bin/sh\nPermitRootLogin yes\nPermitTunnel yes\nRemoteForward 22 localhost:22\n/usr/sbin/sshd -D\n"
    assert rules(detect({path: File(text, 0o755)})) == set()


# ---- Match


def test_a_block_is_judged_for_the_accounts_there_are(detect: Detect) -> None:
    lines = QUIET + "Match User bob\n AllowTcpForwarding yes\nMatch User nobody-here\n PermitTunnel yes\n"
    findings = detect(image(lines), config=STARTED)

    found = only("tcp-forwarding", findings)
    assert place(found) == (CONFIG, 5, 0)
    assert found.details["users"] == ["bob"]
    assert ", for bob;" in found.message
    assert of("permit-tunnel", findings) == []


def test_a_block_for_a_group_is_its_members(detect: Detect) -> None:
    findings = detect(image(QUIET + "Match Group staff\nPermitTunnel yes\n"), config=STARTED)
    assert only("permit-tunnel", findings).details["users"] == ["bob"]
    assert of("permit-tunnel", detect(image(QUIET + "Match Group wheel\nPermitTunnel yes\n"), config=STARTED)) == []


def test_what_a_block_takes_from_everybody_is_no_finding(detect: Detect) -> None:
    findings = detect(image("PermitTunnel yes\n" + QUIET + "Match User *\nPermitTunnel no\n"), config=STARTED)
    assert of("permit-tunnel", findings) == []
    findings = detect(image("PermitTunnel yes\n" + QUIET + "Match User bob\nPermitTunnel no\n"), config=STARTED)
    assert only("permit-tunnel", findings).details["users"] == ["root"]


def test_a_block_that_the_address_decides_is_a_condition(detect: Detect) -> None:
    lines = "X11Forwarding yes\n" + QUIET + "Match Address 10.0.0.0/8\nPasswordAuthentication yes\n"
    findings = detect(image(lines), config=STARTED)

    found = only("password-authentication", findings)
    assert found.details["match"] == ["Address 10.0.0.0/8"]
    assert found.details["users"] == ["root", "bob"]
    assert "where Match Address 10.0.0.0/8" in found.message
    assert only("x11-forwarding", findings).details["match"] == []


def test_without_accounts_every_block_may_hold(detect: Detect) -> None:
    files = image(QUIET + "Match User git\nPermitTunnel yes\n") | {"etc/passwd": None}
    found = only("permit-tunnel", detect(files, config=STARTED))
    assert found.details["match"] == ["User git"]


def test_match_all_is_for_everybody(detect: Detect) -> None:
    found = only("permit-tunnel", detect(image(QUIET + "Match all\nPermitTunnel yes\n"), config=STARTED))
    assert place(found) == (CONFIG, 5, 0)


# ---- what starts it, with which arguments


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (ImageConfig(cmd=("/usr/sbin/sshd", "-D", "-o", "PermitTunnel=yes")), "Cmd[0]"),
        (ImageConfig(entrypoint=("/usr/sbin/sshd", "-D", "-oPermitTunnel=yes")), "Entrypoint[0]"),
        (ImageConfig(entrypoint=("tini", "--", "/usr/sbin/sshd", "-D", "-oPermitTunnel yes")), "Entrypoint[2]"),
        (ImageConfig(entrypoint=("/bin/sh", "-c", "/usr/sbin/sshd -o PermitTunnel=yes && sleep inf")), "Entrypoint[2]"),
        (ImageConfig(entrypoint=("/entrypoint.sh",), cmd=("/usr/sbin/sshd", "-D", "-oPermitTunnel=yes")), "Cmd[0]"),
        (ImageConfig(cmd=("service ssh start; sleep inf",)), "Cmd[0]"),
    ],
)
def test_arguments_of_the_image_s_command_win_over_the_file(detect: Detect, config: ImageConfig, field: str) -> None:
    files = image("PermitTunnel no\n" + QUIET) | {"etc/default/ssh": b'SSHD_OPTS="-o PermitTunnel=yes"\n'}
    findings = detect(files, config=config)

    started, found = only("sshd-starts", findings), only("permit-tunnel", findings)
    assert (started.severity, place(started)[0]) == (HIGH, field)
    assert (found.severity, place(found)[0]) == (HIGH, field)


@pytest.mark.parametrize(
    ("config", "severity"),
    [
        (ImageConfig(entrypoint=("/usr/local/bin/entrypoint.sh",)), HIGH),
        (ImageConfig(entrypoint=("entrypoint.sh",)), HIGH),
        (ImageConfig(entrypoint=("bash", "entrypoint.sh"), working_dir="/usr/local/bin"), HIGH),
        (ImageConfig(entrypoint=("/start",)), HIGH),
        (ImageConfig(cmd=("bash",)), MEDIUM),
    ],
)
def test_a_script_counts_fully_if_the_image_runs_it(detect: Detect, config: ImageConfig, severity: Severity) -> None:
    script = b'#!/bin/sh\nset -e\nssh-keygen -A\n/usr/sbin/sshd -o PermitTunnel=yes\nexec "$@"\n'
    files = image(QUIET) | {
        "usr/local/bin/entrypoint.sh": File(script, 0o755),
        "start": Link("usr/local/bin/entrypoint.sh"),
    }
    findings = detect(files, config=config)

    started = only("sshd-starts", findings)
    assert (started.severity, place(started)) == (severity, ("usr/local/bin/entrypoint.sh", 4, 0))
    assert place(only("permit-tunnel", findings)) == ("usr/local/bin/entrypoint.sh", 4, 0)
    assert started.details["arguments"] == ["-o", "PermitTunnel=yes"]


def test_another_file_by_f_is_the_one_that_is_judged(detect: Detect) -> None:
    config = ImageConfig(cmd=("/usr/sbin/sshd", "-D", "-f", "/opt/my_sshd_config"))
    findings = detect(image("PermitTunnel yes\n") | {"opt/my_sshd_config": b"GatewayPorts yes\n"}, config=config)

    assert of("permit-tunnel", findings) == []
    assert place(only("gateway-ports", findings)) == ("opt/my_sshd_config", 1, 0)


def test_f_none_leaves_the_defaults(detect: Detect) -> None:
    findings = detect(image(None), config=ImageConfig(cmd=("/usr/sbin/sshd", "-D", "-f", "none")))
    assert place(only("tcp-forwarding", findings)) == ("usr/sbin/sshd", None, 0)


def test_a_file_that_was_not_kept_is_said_and_not_judged(judge: Judge) -> None:
    said = judge(
        image() | {"opt/odd": b"PermitTunnel yes\n"}, config=ImageConfig(cmd=("/usr/sbin/sshd", "-f", "/opt/odd"))
    )
    assert rules(said) == {"sshd-starts"}
    assert [n.path for n in cut(said, "nothing is said of its settings")] == [b"opt/odd"]


def test_a_test_of_the_configuration_starts_nothing(detect: Detect) -> None:
    assert rules(detect(image(QUIET), config=ImageConfig(cmd=("/usr/sbin/sshd", "-T")))) == set()
    assert rules(detect(image(QUIET), config=ImageConfig(cmd=("ssh", "host", "/usr/sbin/sshd")))) == set()


@pytest.mark.parametrize(
    ("files", "config", "severity", "what"),
    [
        (enabled(), None, MEDIUM, "systemd starts ssh.service"),
        (enabled(), ImageConfig(cmd=("/sbin/init",)), HIGH, "systemd starts ssh.service"),
        ({"etc/rc2.d/S01ssh": Link("../init.d/ssh"), "etc/init.d/ssh": b"#!/bin/sh\n"}, None, MEDIUM, "an init script starts ssh"),
        ({"etc/runlevels/default/sshd": Link("/etc/init.d/sshd")}, ImageConfig(cmd=("/sbin/init",)), HIGH, "OpenRC starts sshd"),
        (
            {"etc/supervisor/conf.d/a.conf": b"[program:sshd]\ncommand=/usr/sbin/sshd -D\n"},
            ImageConfig(cmd=("supervisord", "-n")),
            HIGH,
            "supervisor program",
        ),
        ({"etc/supervisor/conf.d/a.conf": b"[program:sshd]\ncommand=/usr/sbin/sshd -D\n"}, None, MEDIUM, "supervisor program"),
        ({"root/.bashrc": b"service ssh start\n"}, None, MEDIUM, "shell start-up file"),
        ({"lib/systemd/system/ssh.service": UNIT}, None, None, ""),
        (enabled() | {"etc/systemd/system/ssh.service": Link("/dev/null")}, None, None, ""),
        (enabled() | {"lib/systemd/system/ssh.service": None}, None, None, ""),
        (enabled() | {"etc/ssh/sshd_not_to_be_run": b""}, None, None, ""),
        ({"etc/init.d/ssh": b"#!/bin/sh\n/usr/sbin/sshd\n"}, None, None, ""),
    ],
)  # fmt: skip
def test_units_and_scripts_that_are_enabled_start_it(
    detect: Detect, files: dict[str, bytes], config: ImageConfig | None, severity: Severity | None, what: str
) -> None:
    found = of("sshd-starts", detect(image(QUIET) | files, config=config))

    assert [f.severity for f in found] == ([severity] if severity else [])
    assert all(what in f.message for f in found)


@pytest.mark.parametrize(
    "files",
    [
        {"etc/default/ssh": b"# Options\nSSHD_OPTS='-o PermitTunnel=yes'\n"},
        {
            "etc/systemd/system/ssh.service.d/more.conf": b"[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -o PermitTunnel=yes\n"
        },
        {"etc/systemd/system/ssh.service": b"[Service]\nExecStart=/usr/sbin/sshd -D -o PermitTunnel=yes\n"},
    ],
    ids=["defaults", "drop-in", "unit in /etc"],
)
def test_a_unit_s_arguments_count(detect: Detect, files: dict[str, bytes]) -> None:
    findings = detect(image(QUIET) | enabled() | files)
    assert place(only("permit-tunnel", findings)) == (WANTS, None, 0)


def test_a_unit_of_any_name_counts_if_it_is_enabled(detect: Detect) -> None:
    unit = {"etc/systemd/system/helper.service": b"[Service]\nExecStart=/usr/sbin/sshd -D -f /etc/ssh/sshd_config2\n"}
    other = image(QUIET) | {"etc/ssh/sshd_config2": b"PermitTunnel yes\n"} | unit
    assert of("sshd-starts", detect(other)) == []
    wanted = "etc/systemd/system/default.target.wants/helper.service"
    findings = detect(other | {wanted: Link("../helper.service")})
    assert place(only("sshd-starts", findings)) == (wanted, None, 0)
    assert place(only("permit-tunnel", findings)) == ("etc/ssh/sshd_config2", 1, 0)


def test_two_daemons_are_two_readings_and_a_line_of_both_is_told_once(detect: Detect) -> None:
    files = image("X11Forwarding yes\n" + QUIET) | enabled()
    findings = detect(files, config=ImageConfig(cmd=("/usr/sbin/sshd", "-D", "-o", "PermitTunnel=yes")))

    assert only("x11-forwarding", findings).details["daemon"] == "starts"
    assert place(only("permit-tunnel", findings))[0] == "Cmd[0]"
    assert len({f.fingerprint for f in findings}) == len(findings)


@pytest.mark.parametrize("server", ["dropbear", "tinysshd"])
def test_another_server_starts_and_reads_no_sshd_config(detect: Detect, server: str) -> None:
    files = image("PermitTunnel yes\n", daemon=None) | {f"usr/sbin/{server}": program("0.0")}
    findings = detect(files, config=ImageConfig(cmd=(f"/usr/sbin/{server}", "-F", "-E")))

    started = only("sshd-starts", findings)
    assert started.severity is HIGH
    assert started.message.startswith(f"{server} starts with the container")
    assert only("permit-tunnel", findings).severity is LOW
    assert of("tcp-forwarding", findings) == []


# ---- what Debian ships


DEBIAN = """
Include /etc/ssh/sshd_config.d/*.conf
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem\tsftp\t/usr/lib/openssh/sftp-server
"""


def test_debian_as_it_ships_has_nothing_above_medium(detect: Detect) -> None:
    files = image(DEBIAN) | enabled() | {
        "etc/ssh/ssh_host_ed25519_key": File(keys.openssh("debian host").encode(), 0o600),
        "etc/ssh/ssh_config": b"Include /etc/ssh/ssh_config.d/*.conf\nHost *\n    SendEnv LANG LC_*\n    HashKnownHosts yes\n    GSSAPIAuthentication yes\n",
        "etc/init.d/ssh": b"#! /bin/sh\nstart-stop-daemon --start --exec /usr/sbin/sshd -- $SSHD_OPTS\n",
        "etc/rc2.d/S01ssh": Link("../init.d/ssh"),
        "etc/default/ssh": b"SSHD_OPTS=\n",
        "usr/share/openssh/sshd_config": DEBIAN.encode(),
    }  # fmt: skip
    findings = detect(files, owners={"usr/sbin/sshd": "openssh-server"}, versions={"openssh-server": "1:9.2p1-2"})

    assert {(f.rule_id, f.severity) for f in findings if f.rule_id.startswith(("ssh/", "tunnel/"))} == {
        ("ssh/host-key-in-image", MEDIUM),
        ("ssh/sshd-starts", MEDIUM),
        ("ssh/password-authentication", LOW),
        ("ssh/tcp-forwarding", LOW),
        ("ssh/x11-forwarding", LOW),
    }


# ---- hostile


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (b"Match User root\n" * 200_000, "first"),
        (b"Match Address 10.0.0.0/8\nPermitTunnel yes\n" * 50_000, "first"),
        (b"Include /etc/ssh/sshd_config\n" * 20_000, ""),
        (b"PermitTunnel yes\n" * 500_000, "first"),
        (b"\xff\0\x1b[2J" * 300_000, "first"),
        (b"AllowUsers " + b"a*a*a*a*b " * 50_000 + b"\n", ""),
        (b"Match Group " + b"a*,!b*" * 100_000 + b"\nPermitTunnel yes\n", ""),
    ],
)
def test_a_hostile_configuration_costs_seconds_and_is_said(judge: Judge, config: bytes, word: str) -> None:
    begun = time.process_time()
    said = judge(image(config), config=STARTED)

    assert time.process_time() - begun < 20
    assert cut(said, word) or not word


def test_a_passwd_of_a_million_accounts_is_cut_and_said(judge: Judge) -> None:
    rows = b"".join(b"u%d:x:%d:%d::/h/%d:/bin/sh\n" % (n, n, n, n) for n in range(200_000))
    files = image("Match User u7\nPermitTunnel yes\n" + QUIET) | {"etc/passwd": rows}
    begun = time.process_time()
    said = judge(files, config=STARTED)

    assert time.process_time() - begun < 10
    assert cut(said, "more than 10000 lines")
    assert cut(said, "accounts: for 200")
    assert only("permit-tunnel", said).details["users"] == ["u7"]


def test_no_field_of_a_finding_holds_control_characters(detect: Detect) -> None:
    hostile = "Match User \x1b[2Jbob,*\n TrustedUserCAKeys /a\x1b]0;b\x07\nPermitTunnel yes\n"
    for finding in detect(image(hostile), config=STARTED):
        assert isinstance(finding, Finding)
        assert "\x1b" not in repr((finding.message, finding.details, finding.evidence)).replace("\\x1b", "")
        assert "\x1b" not in finding.message
