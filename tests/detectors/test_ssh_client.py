"""What ssh's configuration makes it do by itself, line by line."""

import time

import pytest

from scanner.model import Confidence, FileLocation, Severity, State
from tests.detectors.conftest import Detect, File, Judge
from tests.detectors.ssh_images import CLIENT, PASSWD, cut, of, only, place, rules

HIGH, MEDIUM, LOW, NOTE = Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.NOTE
USER = "root/.ssh/config"
SYSTEM = "etc/ssh/ssh_config"
BASE = {**CLIENT, "etc/passwd": PASSWD}


@pytest.mark.parametrize(
    ("rule", "lines", "severity", "words"),
    [
        ("remote-forward", "RemoteForward 2222 localhost:22", HIGH, "opens a reverse tunnel: 2222 localhost:22"),
        ("remote-forward", "RemoteForward 9000", HIGH, "reverse SOCKS proxy: 9000"),
        ("dynamic-forward", "DynamicForward 1080", MEDIUM, "SOCKS proxy: 1080"),
        ("proxy-command", "ProxyCommand corkscrew proxy 3128 %h %p", MEDIUM, "go through corkscrew proxy"),
        ("proxy-command", "ProxyCommand cloudflared access ssh --hostname %h", MEDIUM, "cloudflared"),
        ("proxy-command", "ProxyCommand ssh -W %h:%p bastion", LOW, "bastion"),
        ("proxy-command", "ProxyCommand /usr/bin/sss_ssh_knownhostsproxy -p %p %h", LOW, "sss_ssh"),
        ("proxy-command", "ProxyJump bastion.example", LOW, "through the host bastion.example"),
        ("proxy-command", "PermitLocalCommand yes\nLocalCommand /opt/x", MEDIUM, "LocalCommand /opt/x runs beside"),
        ("proxy-command", "KnownHostsCommand /opt/keys %H", MEDIUM, "KnownHostsCommand /opt/keys %H says"),
        ("proxy-command", 'Match exec "/opt/check %h"', MEDIUM, "Match exec runs /opt/check %h"),
        ("no-host-key-check", "StrictHostKeyChecking no", MEDIUM, "Host keys are not checked"),
        ("no-host-key-check", "StrictHostKeyChecking off", MEDIUM, "Host keys are not checked"),
        ("no-host-key-check", "Host *\nStrictHostKeyChecking no", MEDIUM, "not checked"),
        ("no-host-key-check", "Match all\nStrictHostKeyChecking no", MEDIUM, "not checked"),
        ("no-host-key-check", "Host 10.*\nStrictHostKeyChecking no", LOW, "for these hosts (Host 10.*)"),
        ("no-host-key-check", "UserKnownHostsFile /dev/null", MEDIUM, "Known hosts are thrown away"),
    ],
)
@pytest.mark.parametrize("path", [USER, SYSTEM, "home/bob/.ssh/config", "usr/etc/ssh/ssh_config"])
def test_a_line_that_acts_is_a_finding_at_its_place(
    detect: Detect, rule: str, lines: str, severity: Severity, words: str, path: str
) -> None:
    found = only(rule, detect(BASE, {path: f"{lines}\n".encode()}))

    assert (found.severity, place(found)) == (severity, (path, lines.count("\n") + 1, 1))
    assert isinstance(found.locations[0], FileLocation)
    assert found.locations[0].layer.created_by == "RUN step 1"
    assert words in found.message


@pytest.mark.parametrize(
    "lines",
    [
        "LocalForward 8080 localhost:80",
        "#RemoteForward 2222 localhost:22",
        "ProxyCommand none",
        "ProxyJump none",
        "LocalCommand /opt/x",
        "KnownHostsCommand none",
        "StrictHostKeyChecking accept-new",
        "StrictHostKeyChecking yes",
        "UserKnownHostsFile ~/.ssh/known_hosts",
        "Host a\nUser b\nIdentityFile ~/.ssh/c\nPort 22",
        "Match user bob",
    ],
)
def test_a_near_miss_is_none(detect: Detect, lines: str) -> None:
    assert rules(detect(BASE | {USER: f"{lines}\n".encode()})) == set()


def test_what_a_forward_connects_is_in_the_details(detect: Detect) -> None:
    text = b"Host relay\n  HostName relay.example\n  RemoteForward 0.0.0.0:2222 127.0.0.1:22\n"
    found = only("remote-forward", detect(BASE | {USER: text}))
    assert found.confidence is Confidence.HIGH
    assert found.details["hosts"] == ["relay"]
    assert {k: found.details[k] for k in ("kind", "listen_host", "listen_port", "target_host", "target_port")} == {
        "kind": "remote",
        "listen_host": "0.0.0.0",
        "listen_port": 2222,
        "target_host": "127.0.0.1",
        "target_port": 22,
    }
    assert "(Host relay)" in found.message


def test_an_included_file_of_another_layer_is_the_place(detect: Detect) -> None:
    files = BASE | {SYSTEM: b"Include /etc/ssh/ssh_config.d/*.conf\n"}
    found = only("remote-forward", detect(files, {"etc/ssh/ssh_config.d/a.conf": b"\nRemoteForward 1 a:2\n"}))
    assert place(found) == ("etc/ssh/ssh_config.d/a.conf", 2, 1)
    found = only(
        "remote-forward",
        detect(BASE | {USER: b"Include more_config\n", "root/.ssh/more_config": b"RemoteForward 1 a:2\n"}),
    )
    assert place(found) == ("root/.ssh/more_config", 1, 0)


def test_an_included_file_that_was_not_kept_is_said(judge: Judge) -> None:
    said = judge(BASE | {USER: b"Include /opt/odd\n", "opt/odd": b"RemoteForward 1 a:2\n"})
    assert [n.path for n in cut(said, "was not read")] == [b"opt/odd"]


def test_without_a_client_it_is_low(detect: Detect) -> None:
    found = only("remote-forward", detect({USER: b"RemoteForward 1 a:2\n"}))
    assert found.severity is LOW
    assert "no ssh client lies in the image" in found.message


def test_an_inert_file_is_said(detect: Detect) -> None:
    found = only("remote-forward", detect(BASE | {USER: b"RemoteForward 1 a:2\nNoSuchKeyword yes\n"}))
    assert found.severity is MEDIUM
    assert "inert: ssh refuses to run for line 2" in found.message


def test_a_file_that_a_later_layer_removed_weighs_less(detect: Detect) -> None:
    found = only("remote-forward", detect(BASE | {USER: b"RemoteForward 1 a:2\n"}, {USER: None}))
    assert (found.state, found.hidden_by, found.severity) == (State.DELETED, 1, MEDIUM)


@pytest.mark.parametrize("path", ["opt/lib/tests/.ssh/config", "usr/share/doc/x/examples/.ssh/config"])
def test_a_sample_is_a_note(detect: Detect, path: str) -> None:
    assert only("remote-forward", detect(BASE | {path: b"RemoteForward 1 a:2\n"})).severity is NOTE


def test_an_account_s_home_is_no_sample(detect: Detect) -> None:
    files = BASE | {
        "etc/passwd": PASSWD + b"docs:x:7:7::/home/docs:/bin/sh\n",
        "home/docs/.ssh/config": b"RemoteForward 1 a:2\n",
    }
    assert only("remote-forward", detect(files)).severity is HIGH


def test_a_secret_in_a_command_is_masked(detect: Detect) -> None:
    text = b"ProxyCommand curl -u me:hunter2secret https://example.org/%h\n"
    found = only("proxy-command", detect(BASE | {USER: text}))
    assert "hunter2secret" not in repr((found.message, found.details, found.evidence))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"RemoteForward 1 a:2\n" * 100_000, "more than 100 lines"),
        (b"Match exec x\n" * 100_000, "more than 100 lines"),
        (b"Include ~/.ssh/config\n" * 10_000, ""),
        (b"\xff\0\x1b" * 500_000, "read"),
    ],
)
def test_a_hostile_file_costs_seconds_and_is_said(judge: Judge, text: bytes, word: str) -> None:
    begun = time.process_time()
    said = judge(BASE | {USER: text})
    assert time.process_time() - begun < 20
    assert len(of("remote-forward", said)) <= 100
    assert cut(said, word) or not word


def test_many_files_are_cut_and_said(judge: Judge) -> None:
    said = judge(BASE | {f"home/u{n}/.ssh/config": File(b"ProxyJump a\n", 0o600) for n in range(210)})
    assert len(of("proxy-command", said)) == 200
    assert cut(said, "more than 200 configurations")
