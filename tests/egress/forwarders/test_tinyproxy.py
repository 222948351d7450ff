"""tinyproxy's filter as it is read, against what tinyproxy itself refuses (in a network namespace without a way out)."""

import ipaddress
import json
import os
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from scanner.egress.forwarders import forwarder_of
from scanner.model.egress import Permit
from tests.egress.forwarders.containers import container
from tests.engine_fixture import missing, program

ASK = r"""
import json, socket, subprocess, sys, time
config, asked = sys.argv[1], json.loads(sys.argv[2])
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
proxy = subprocess.Popen([sys.argv[3], "-d", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    for _ in range(200):
        try: socket.create_connection(("127.0.0.1", 8888)).close(); break
        except OSError: time.sleep(0.02)
    answers = []
    for way, host, port in asked:
        with socket.create_connection(("127.0.0.1", 8888)) as s:
            s.settimeout(10)
            line = f"CONNECT {host}:{port} HTTP/1.1" if way == "CONNECT" else f"GET http://{host}:{port}/ HTTP/1.1"
            s.sendall(f"{line}\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            head = b""
            while b"\r\n" not in head and (more := s.recv(4096)): head += more
        answers.append(int(head.split()[1]) if len(head.split()) > 1 else 0)
    print(json.dumps(answers))
finally:
    proxy.kill()
"""

HOSTS = (
    "allowed.example.com", "allowed.example.com.evil.net", "www.allowed.example.com", "allowedXexample.com", "notallowed.example.com",
    "api.example.org", "other.example.net", "127.0.0.1",
)  # fmt: skip
ASKED = [
    (way, host, port) for host in HOSTS for way, port in (("GET", 80), ("GET", 9000), ("CONNECT", 443), ("CONNECT", 22))
]
BASE = "Port 8888\nListen 127.0.0.1\nTimeout 5\nLogLevel Error\n"
CASES = {
    # name: (configuration, filter)
    "no filter": ("", None),
    "a deny list": ('Filter "{filter}"\n', "other\\.example\\.net\n"),
    "a deny list, No": ('Filter "{filter}"\nFilterDefaultDeny No\n', "^allowed\\.example\\.com$\n"),
    "not anchored": ('Filter "{filter}"\nFilterDefaultDeny Yes\nConnectPort 443\n', "allowed.example.com\n"),
    "anchored": ('Filter "{filter}"\nFilterDefaultDeny Yes\n', "^allowed\\.example\\.com$\n# a comment\n\n^api\\.example\\.org$  # another\n"),
    "extended": ('Filter "{filter}"\nFilterDefaultDeny On\nFilterExtended On\n', "^(allowed|www)\\.example\\.(com|org)$\n(^|\\.)example\\.net$\n"),
    "all below": ('Filter "{filter}"\nFilterDefaultDeny Yes\n', "\\.example\\.com$\n"),
    "end alone": ('Filter "{filter}"\nFilterDefaultDeny Yes\nConnectPort 22\n', "allowed\\.example\\.com$\n"),
    "ports": ("ConnectPort 443\nConnectPort 563\n", None),
    "one's own loopback": ("Allow 192.0.2.1\n", None),
    "begin alone": ('Filter "{filter}"\nFilterDefaultDeny Yes\n', "^api\n"),
}  # fmt: skip


def passes(permits: tuple[Permit, ...], host: str, port: int) -> bool:
    """Whether the host, as the client writes it, and the port are permitted."""
    for permit in permits:
        if not any(low <= port <= high for low, high in permit.ports):
            continue
        for one in permit.hosts:
            if "/" in one:
                net = ipaddress.ip_network(one)
                whole = net.prefixlen == 0
                if whole or (host[0].isdigit() and net.version == 4 and ipaddress.ip_address(host) in net):
                    return True
            elif fnmatchcase(host.lower(), one):
                return True
    return False


@pytest.mark.engine
@pytest.mark.parametrize("name", CASES)
def test_tinyproxy_refuses_what_is_read_as_refused(name, tmp_path: Path):
    if os.geteuid() != 0:
        missing("root, for a network namespace")
    proxy = program("tinyproxy")
    settings, listed = CASES[name]
    config, filter_ = tmp_path / "tinyproxy.conf", tmp_path / "filter"
    text = BASE + settings.format(filter=filter_)
    config.write_text(text)
    files = {"/etc/tinyproxy/tinyproxy.conf": text}
    if listed is not None:
        filter_.write_text(listed)
        files[str(filter_)] = listed
    tmp_path.chmod(0o755)
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", ASK, config, json.dumps(ASKED), proxy],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    found = forwarder_of(container("vimagick/tinyproxy", files=files))
    assert found is not None
    tunnels = found.permits if found.tunnels is None else found.tunnels
    for (way, host, port), status in zip(ASKED, answers, strict=True):
        refused = status in (403, 0)
        read = not passes(tunnels if way == "CONNECT" else found.permits, host, port)
        if host == "allowedXexample.com" and not refused:
            continue  # an unescaped dot is read as the dot that was meant
        if name.startswith("a deny list") and refused:
            assert host in ("other.example.net", "allowed.example.com")
            continue  # the name is refused; its addresses are not, by any other name
        if name == "one's own loopback":
            refused = False  # it serves another client alone, not the test's
        assert read == refused, f"{way} {host}:{port} was answered {status}; read as {found.permits}, {tunnels}"


@pytest.mark.parametrize(
    ("settings", "listed", "hosts"),
    [
        ("FilterType fnmatch\nFilterDefaultDeny Yes\n", "*.example.com\napi.example.org\n", {"*.example.com", "api.example.org"}),
        ("FilterType ere\nFilterDefaultDeny Yes\n", "^(a|b)\\.example\\.com$\n", {"a.example.com", "b.example.com"}),
        ("FilterType bre\nFilterDefaultDeny Yes\n", "^a\\.example\\.com$\n", {"a.example.com"}),
        ("FilterURLs Yes\nFilterDefaultDeny Yes\n", "^http://a\\.example\\.com/\n", {"a.example.com"}),
    ],
)  # fmt: skip
def test_newer_kinds_of_filters(settings, listed, hosts):
    text = f'{BASE}Filter "/f"\n{settings}'
    found = forwarder_of(container("tinyproxy", files={"/etc/tinyproxy/tinyproxy.conf": text, "/f": listed}))
    assert found is not None
    assert {h for p in found.permits for h in p.hosts} == hosts
    assert found.missing == ()


def test_an_unanchored_line_is_told():
    files = {
        "/etc/tinyproxy/tinyproxy.conf": f'{BASE}Filter "/f"\nFilterDefaultDeny Yes\n',
        "/f": "^a\\.example$\nallowed.example.com\n",
    }
    found = forwarder_of(container("tinyproxy", files=files))
    assert found is not None
    assert str(found.origin) == "f:2:1"
    assert "not anchored" in found.why


def test_what_it_hands_on_to_is_another_proxys_to_decide():
    files = {"/etc/tinyproxy/tinyproxy.conf": f"{BASE}Upstream http up.example.com:3128\n"}
    found = forwarder_of(container("tinyproxy", files=files))
    assert found is not None
    assert found.permits == ()
    assert [m.key for m in found.missing] == ["allows.px"]


def test_a_deny_list_that_nobody_sees_may_refuse_anything():
    files = {"/etc/tinyproxy/tinyproxy.conf": f'{BASE}Filter "/hidden"\n'}
    found = forwarder_of(container("tinyproxy", files=files))
    assert found is not None
    assert found.permits == ()
    assert found.perhaps
    assert found.missing
