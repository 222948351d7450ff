"""Secrets of an image are in no report: planted everywhere, looked for in every format."""

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import debian
from fixtures.image import Step, archive
from fixtures.tarball import Member
from scanner import masked
from scanner.model import Json, Kind, Report
from scanner.model.run import ChangeKind, Endpoint, FileChange, FileState, How, Run, Socket
from scanner.pipeline import Options, scan
from scanner.plugins import plugins
from scanner.reports.plugin import Format, RenderOptions

SECRET = "Zq7vPplanted9KwX3"
GITHUB = "ghp_" + "Zq7vPplanted9KwX3Zq7vPplanted9KwX3"[:36]
TUNNEL = "ssh -N -o StrictHostKeyChecking=no -R 2222:localhost:22 ops@gw.acme.net"

FILES = {
    "etc/cron.d/sync": f"@reboot root sshpass -p {SECRET} {TUNNEL}\n@reboot root sshpass -p'{SECRET}' {TUNNEL}\n",
    "etc/profile.d/x.sh": f"export SSHPASS={SECRET}\nsshpass -e {TUNNEL}\n",
    "usr/local/bin/sync": f"#!/bin/sh\ncurl -u bot:{SECRET} https://api.acme.net\nchisel client --auth bot:{SECRET} https://bot:{SECRET}@relay.acme.net R:socks\n",
    "etc/rc.local": f"#!/bin/sh\nngrok config add-authtoken {SECRET}\nngrok http 80 --authtoken {SECRET}\ntailscale up --authkey {SECRET}\n"
    f"gost -L socks5://bot:{SECRET}@:1080\ncloudflared tunnel run --token {SECRET}\nfrpc tcp -t {SECRET} -s relay.acme.net\n"
    f"ssh -o ProxyCommand='ncat --proxy-auth bot:{SECRET} --proxy p:80 %h %p' -R 1:a:2 ops@gw.acme.net\n"
    f"sshuttle -r bot:{SECRET}@gw.acme.net 0/0\nplink -pw {SECRET} -R 1:a:2 gw.acme.net\ngs-netcat -s {SECRET} -l\n",
    "opt/run.py": f"import os\nos.system('sshpass -p {SECRET} {TUNNEL}')\n",
    "opt/api.py": f"import paramiko\nc = paramiko.SSHClient()\nc.connect('gw.acme.net', username='ops', password='{SECRET}')\n"
    "c.get_transport().request_port_forward('', 2222)\n",
    "root/.netrc": f"machine api.acme.net login bot password {SECRET}\n",
    "root/.git-credentials": f"https://bot:{SECRET}@git.acme.net\n",
    "root/.npmrc": f"//npm.acme.net/:_authToken={SECRET}\n",
    "etc/pip.conf": f"[global]\nindex-url = https://bot:{SECRET}@pypi.acme.net/simple\n",
    "root/.ssh/config": f"Host gw\n  ProxyCommand ncat --proxy-auth bot:{SECRET} --proxy p:80 %h %p\n  RemoteForward 2222 localhost:22\n",
    "etc/ssh/sshd_config": f"ForceCommand sshpass -p {SECRET} {TUNNEL}\n",
    "root/.ngrok2/ngrok.yml": f"version: 2\nauthtoken: {SECRET}\ntunnels:\n  x:\n    proto: http\n    addr: 80\n",
    "etc/frp/frpc.toml": f'serverAddr = "relay.acme.net"\nauth.token = "{SECRET}"\n[[proxies]]\nname = "x"\ntype = "tcp"\nlocalPort = 22\nremotePort = 6000\n',
    "etc/proxychains4.conf": f"[ProxyList]\nsocks5 192.0.2.9 1080 bot {SECRET}\n",
}
CONFIG = {
    "Env": [f"DB_PASSWORD={SECRET}", f"GITHUB_TOKEN={GITHUB}", f"HTTPS_PROXY=http://bot:{SECRET}@proxy.acme.net:3128"],
    "Entrypoint": ["sshpass", "-p"],
    "Cmd": [SECRET, *TUNNEL.split(), "-o", f"ProxyCommand=ncat --proxy-auth bot:{SECRET} %h %p"],
    "Healthcheck": {"Test": ["CMD", "curl", "-u", f"bot:{SECRET}", "https://x"]},
    "Labels": {"com.acme.api-token": SECRET, "com.acme.run": f"docker run -e TOKEN={SECRET} app"},
    "OnBuild": [f"RUN ngrok authtoken {SECRET} && {TUNNEL}"],
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    file = tmp_path_factory.mktemp("masked") / "app.tar"
    members = tuple(Member(path, text.encode(), 0o755) for path, text in FILES.items())
    steps = (
        Step("ADD rootfs.tar / # buildkit", debian.base()),
        Step(
            f"RUN |1 TOKEN={SECRET} /bin/sh -c curl -u bot:{SECRET} https://x && ngrok authtoken {SECRET} # buildkit",
            members,
        ),
    )
    file.write_bytes(archive(steps, CONFIG, "team/app:1"))
    return scan(f"archive:{file}", Options())


@pytest.mark.parametrize("form", [f for f in plugins("scanner.reports") if not f.draws], ids=lambda f: f.name)
@pytest.mark.parametrize("verbose", [False, True])
def test_no_report_shows_a_secret(report: Report, form: Format, verbose: bool) -> None:
    text = form.render(report, RenderOptions(200, verbose=verbose))

    leaked = [text[max(0, m.start() - 120) : m.end()] for m in re.finditer(f"{SECRET}|{GITHUB[4:]}", text)]
    assert leaked == []
    assert "gw.acme.net" in text


def test_every_planted_file_was_looked_into(report: Report) -> None:
    """The secrets are absent because they are masked, not because nothing was found."""
    found = {p.display.decode() for f in report.findings for p in f.locations} | {
        m.location.display.decode() for m in report.means
    }

    assert set(FILES) - found <= {"etc/proxychains4.conf", "root/.ngrok2/ngrok.yml"}
    assert {"Env[0]", "Env[1]"} <= found
    assert [f for f in report.findings_of("tunnel/reverse-ssh") if f.details["destination"] == "gw.acme.net"]
    assert "***" in json.dumps([f.evidence[0].excerpt for f in report.findings])


@pytest.mark.parametrize(
    "words",
    [
        ("ngrok", "authtoken", SECRET),
        ("chisel", "client", "--auth", f"bot:{SECRET}", "https://a"),
        ("gs-netcat", "-s", SECRET),
        ("edge", "-c", "net", "-k", SECRET),
        ("pproxy", "-r", f"socks5://h:1080#bot:{SECRET}"),
        ("sshuttle", "-r", f"bot:{SECRET}@h", "0/0"),
        ("sshpass", "-p", SECRET, "ssh", "h"),
    ],
)
def test_options_of_tools_are_masked_as_words_and_as_text(words: tuple[str, ...]) -> None:
    shown = masked.words(words)

    assert len(shown) == len(words)
    assert SECRET not in " ".join(shown)
    assert SECRET not in masked.text(" ".join(words))
    assert shown[0] == words[0]


@pytest.mark.parametrize(
    "text", [TUNNEL, "frpc -c /etc/frpc.toml", "edge --headless", "sshuttle -r ops@gw 0/0", "ssh-keygen -t ed25519"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked.text(text) == text
    assert " ".join(masked.words(text.split())) == text


@given(st.lists(st.text(max_size=30), max_size=6))
def test_words_stay_as_many_and_masking_twice_changes_nothing(words: list[str]) -> None:
    once = masked.words(words)

    assert len(once) == len(words)
    assert masked.words(once) == once


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_facts_keep_their_shape(value: Json) -> None:
    def shape(one: Json) -> object:
        if isinstance(one, dict):
            return {k: shape(v) for k, v in one.items()}
        return [shape(v) for v in one] if isinstance(one, list) else type(one)

    assert shape(masked._json(value, 0)) == shape(value)


@pytest.mark.parametrize("text", ["frpc ", "sshuttle -", "--auth ", "edge a -", "pproxy -r x", "gs-netcat -s"])
def test_hostile_text_takes_linear_time(text: str) -> None:
    begin = time.process_time()

    masked.text(text * (400_000 // len(text)))

    assert time.process_time() - begin < 5


def test_names_that_a_guest_wrote_are_masked() -> None:
    """A socket's and where a link leads: neither opens anything by that name once it is in a report."""
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
    state = FileState(Kind.SYMLINK, 0o777, 0, 0, 0, link_target=f"https://ci:{token}@example.org".encode())
    told = masked.run(
        Run(
            How.LIVE,
            "box",
            0,
            1,
            changes=(FileChange(b"work/link", ChangeKind.ADDED, "tmpfs", None, state),),
            sockets=(
                Socket("unix", "unix", "listen", Endpoint(f"@{token}"), Endpoint(f"/run/{token}.sock"), 1),
                Socket("tcp", "ipv4", "established", Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 22), 2),
            ),
        )
    )
    assert token not in repr(told)
    assert told.sockets[1].remote == Endpoint("192.0.2.2", 22)
