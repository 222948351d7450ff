"""Credentials as means: what lies where, never what it is; and which host a key of the image probably opens."""

import base64
import json
import time
from collections.abc import Callable

import pytest

from fixtures import keys
from scanner.detectors import credentials
from scanner.model import ConfigLocation, FileLocation, ImageConfig, Means, MeansKind, Notification

Judge = Callable[..., list[object]]

SECRET = "Zq7vPplanted9KwX3"
KEY = keys.openssh("the door").encode()
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def of(said: list[object], kind: MeansKind) -> list[Means]:
    found = [m for m in said if isinstance(m, Means) and m.kind is kind]
    assert SECRET not in repr([m.details for m in found] + [m.name for m in found])
    return found


def doors(said: list[object]) -> list[tuple[str, object, object, object]]:
    """Where to, port, how sure, and which key."""
    return [
        (m.name, m.details["port"], m.details["sure"], m.location.display.decode()) for m in of(said, MeansKind.ACCESS)
    ]


@pytest.mark.parametrize(
    ("path", "text", "kind", "number", "target"),
    [
        ("root/.netrc", f"# x\nmachine api.acme.net login bot password {SECRET}\n", "netrc", 2, "api.acme.net"),
        ("root/.git-credentials", f"https://bot:{SECRET}@git.acme.net\n", "git-credentials", 1, "git.acme.net"),
        (
            "etc/pip.conf",
            f"[global]\nindex-url = https://bot:{SECRET}@pypi.acme.net/simple\n",
            "pip",
            2,
            "pypi.acme.net",
        ),
        ("root/.npmrc", f"//npm.acme.net/:_authToken={SECRET}\n", "npmrc", 1, "npm.acme.net"),
        (
            "root/.docker/config.json",
            json.dumps({"auths": {"hub.acme.net": {"auth": base64.b64encode(f"bot:{SECRET}".encode()).decode()}}}),
            "docker",
            1,
            "hub.acme.net",
        ),
        ("root/.aws/credentials", f"[default]\naws_secret_access_key = {SECRET}\n", "aws", 2, "amazonaws.com"),
    ],
)
def test_a_credential_is_told_by_name_and_place(
    judge: Judge, path: str, text: str, kind: str, number: int, target: str
) -> None:
    found = of(judge({path: text.encode()}), MeansKind.CREDENTIAL)

    assert [m.name for m in found] == [kind]
    place = found[0].location
    assert isinstance(place, FileLocation)
    assert (place.display, place.line) == (path.encode(), number)
    assert target in str(found[0].details["target"])


def test_variables_and_the_agents_socket_are_told_by_their_field(judge: Judge) -> None:
    env = (
        "PATH=/bin",
        f"OPENAI_API_KEY={SECRET}",
        "SSH_AUTH_SOCK=/run/agent.sock",
        "HOME=/root",
        "DB_PASSWORD=changeme",
    )

    found = of(judge({}, config=ImageConfig(env=env)), MeansKind.CREDENTIAL)

    assert [(m.name, m.details["of"], m.location) for m in found] == [
        ("environment", "OPENAI_API_KEY", ConfigLocation("Env[1]")),
        ("ssh-agent", "SSH_AUTH_SOCK", ConfigLocation("Env[2]")),
    ]


@pytest.mark.parametrize(
    "path", ["usr/share/doc/x/.netrc", "app/tests/.netrc", "app/examples/.git-credentials", "root/netrc"]
)
def test_a_sample_is_no_means(judge: Judge, path: str) -> None:
    assert of(judge({path: f"machine api.acme.net login bot password {SECRET}\n".encode()}), MeansKind.CREDENTIAL) == []


def test_a_deleted_file_is_no_means(judge: Judge) -> None:
    text = f"machine api.acme.net login bot password {SECRET}\n".encode()

    assert of(judge({"root/.netrc": text}, {"root/.netrc": None}), MeansKind.CREDENTIAL) == []


# ---- this key opens that host


def test_a_key_that_ssh_offers_is_joined_with_the_hosts_that_its_account_knows(judge: Judge) -> None:
    files = {
        "root/.ssh/id_ed25519": KEY,
        "root/.ssh/known_hosts": f"gw.acme.net {HOST_KEY}\n[git.acme.net]:2222 {HOST_KEY}\n*.any {HOST_KEY}\n".encode(),
        "home/bot/.ssh/known_hosts": f"other.acme.net {HOST_KEY}\n".encode(),
        "etc/ssh/ssh_known_hosts": f"all.acme.net {HOST_KEY}\n".encode(),
    }

    assert doors(judge(files)) == [
        ("gw.acme.net", 22, "possible", "root/.ssh/id_ed25519"),
        ("git.acme.net", 2222, "possible", "root/.ssh/id_ed25519"),
        ("all.acme.net", 22, "possible", "root/.ssh/id_ed25519"),
    ]


def test_a_key_of_another_name_is_joined_only_with_what_names_it(judge: Judge) -> None:
    files = {
        "root/.ssh/deploy": KEY,
        "root/.ssh/known_hosts": f"gw.acme.net {HOST_KEY}\n".encode(),
        "root/.ssh/config": (
            b"Host prod\n  HostName prod.acme.net\n  User ops\n  Port 2222\n  IdentityFile ~/.ssh/deploy\n"
            b"Host other\n  IdentityFile ~/.ssh/else\n"
        ),
    }

    said = judge(files)

    assert doors(said) == [("ops@prod.acme.net", 2222, "named", "root/.ssh/deploy")]
    [means] = of(said, MeansKind.ACCESS)
    assert means.details["by"] == "IdentityFile in root/.ssh/config, line 1"
    assert means.details["encrypted"] is False
    assert str(means.details["fingerprint"]).startswith("SHA256:")


@pytest.mark.parametrize(
    "config",
    [
        b"IdentityFile ~/.ssh/deploy\n",
        b"Host *\n  IdentityFile ~/.ssh/deploy\n",
        b"Match all\n  IdentityFile /root/.ssh/deploy\n",
    ],
)
def test_a_key_named_for_every_host_is_joined_with_all_known_ones(judge: Judge, config: bytes) -> None:
    files = {
        "root/.ssh/deploy": KEY,
        "root/.ssh/config": config,
        "root/.ssh/known_hosts": f"gw.acme.net {HOST_KEY}\n".encode(),
    }

    assert doors(judge(files)) == [("gw.acme.net", 22, "possible", "root/.ssh/deploy")]


def test_a_key_is_joined_with_commands_and_remotes(judge: Judge) -> None:
    files = {
        "opt/deploy.pem": KEY,
        "root/.ssh/id_ed25519": keys.openssh("another").encode(),
        "etc/cron.d/x": b"@reboot root ssh -N -R 1:a:22 -i /opt/deploy.pem -p 443 ops@gw.acme.net\n",
        "app/.git/config": b'[remote "origin"]\n  url = git@git.acme.net:a/b.git\n',
        "usr/local/bin/y": b"#!/bin/sh\nssh bot@run.acme.net uptime\n",
    }

    found = set(doors(judge(files)))

    assert found == {
        ("ops@gw.acme.net", 443, "named", "opt/deploy.pem"),
        ("git@git.acme.net", None, "possible", "root/.ssh/id_ed25519"),
        ("bot@run.acme.net", None, "possible", "root/.ssh/id_ed25519"),
    }


def test_a_command_of_the_configuration_names_a_key(judge: Judge) -> None:
    config = ImageConfig(cmd=("ssh", "-i", "/opt/deploy.pem", "-NR", "1:a:22", "ops@gw.acme.net"))

    said = judge({"opt/deploy.pem": KEY}, config=config)

    assert doors(said) == [("ops@gw.acme.net", None, "named", "opt/deploy.pem")]
    assert of(said, MeansKind.ACCESS)[0].details["by"] == "-i in the image's Cmd[0]"


def test_a_key_whose_public_half_is_authorized_opens_the_image_itself(judge: Judge) -> None:
    files = {
        "home/bot/.ssh/id_ed25519": KEY,
        "root/.ssh/authorized_keys": keys.public_line("the door").encode() + b"\n",
        "etc/passwd": b"root:x:0:0::/root:/bin/sh\nbot:x:1000:1000::/home/bot:/bin/sh\n",
    }

    assert doors(judge(files)) == [("root@localhost", 22, "named", "home/bot/.ssh/id_ed25519")]


def test_host_keys_and_keys_of_packages_are_joined_with_nothing(judge: Judge) -> None:
    files = {
        "etc/ssh/ssh_host_ed25519_key": KEY,
        "usr/lib/x/.ssh/id_ed25519": keys.openssh("packaged").encode(),
        "etc/ssh/ssh_known_hosts": f"gw.acme.net {HOST_KEY}\n".encode(),
    }

    assert doors(judge(files, owners={"usr/lib/x/.ssh/id_ed25519": "x"})) == []


def test_pairs_are_bounded_and_that_is_said(judge: Judge) -> None:
    hosts = "".join(f"h{n}.acme.net {HOST_KEY}\n" for n in range(300))
    files = {f"home/u{n}/.ssh/id_ed25519": keys.openssh(str(n)).encode() for n in range(12)}
    files["etc/ssh/ssh_known_hosts"] = hosts.encode()

    said = judge(files)

    assert len(of(said, MeansKind.ACCESS)) <= credentials.HYPOTHESES
    notes = [n.message for n in said if isinstance(n, Notification)]
    assert any("may open 200 hosts: 50 of them are told" in n for n in notes)
    assert any("or 200 hosts for one of them" in n for n in notes)
    assert any(f"more than {credentials.HYPOTHESES} pairs" in n for n in notes)


def test_many_names_of_many_keys_take_linear_time(judge: Judge) -> None:
    config = "".join(f"Host h{n}\n  IdentityFile ~/.ssh/id_{n % 3}\n" for n in range(5000))
    files = {f"home/u{n}/.ssh/id_{n % 3}": keys.openssh(str(n)).encode() for n in range(60)}
    files["etc/ssh/ssh_config"] = config.encode()
    begin = time.process_time()

    judge(files)

    assert time.process_time() - begin < 20
