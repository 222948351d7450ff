"""HTTP: who asks for what, metadata services, DNS over HTTPS, proxies, websockets, HTTP/2."""

import base64
import http.client
import json
import struct
import subprocess
import time

import pytest

from scanner.runtime.sinkhole.answers.answering import recognise
from tests.runtime.sinkhole.answers.loopback import answering


def query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes((len(one),)) + one.encode() for one in name.split("."))
    return struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def asked(sink, method, path, body=None, headers=None):
    client = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=5)
    client.request(method, path, body, headers or {})
    answer = client.getresponse()
    read = answer.read()
    client.close()
    return answer, read


def test_a_request_is_told_without_its_secrets():
    first = (
        b"POST /v1/chat?api_key=sk-ant-REDACTED HTTP/1.1\r\nHost: api.example\r\nUser-Agent: thing/1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 12\r\nAuthorization: Bearer sk-ant-REDACTED\r\n\r\n"
    )
    heard = recognise(first, 80)
    assert heard.service == "http"
    assert heard.details["http"] == {
        "method": "POST",
        "host": "api.example",
        "path": "/v1/chat?api_key=***",
        "version": "1.1",
        "agent": "thing/1",
        "type": "application/json",
        "length": 12,
        "auth": "bearer",
    }


@pytest.mark.parametrize(
    "first",
    [
        b"GET",
        b"GETTING on\r\n",
        b"HELLO there\r\n",
        b"OPTIONS rtsp://h/ RTSP/1.0\r\n",
        b"OPTIONS sip:x SIP/2.0\r\n",
        b"POST office\r\n",
    ],
)
def test_what_only_looks_like_it_is_no_http(first):
    assert recognise(first, 80).service != "http"


def test_requests_on_one_connection_are_counted_and_the_later_ones_listed():
    with answering(80) as sink:
        client = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=5)
        for path in ("/a", "/b", "/c"):
            client.request("PUT", path, b"x" * 100_000, {"Host": "h.example"})
            assert client.getresponse().read() == b"ok\n"
        client.close()
        [told] = sink.ended()
    assert told.details["http"]["path"] == "/a"
    assert told.details["http"]["requests"] == 3
    assert told.details["http"]["more"] == ["PUT h.example/b", "PUT h.example/c"]
    assert told.spoken.received > 300_000


def test_a_chunked_body_is_read_to_its_end():
    with answering(80) as sink, sink.connect() as client:
        client.sendall(
            b"POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3;x=y\r\nefg\r\n0\r\n\r\n"
        )
        assert b"200 OK" in client.recv(1000)
        client.sendall(b"GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in client.recv(1000)
        [told] = sink.ended()
    assert told.details["http"]["more"] == ["GET h/2"]


def test_curl_that_waits_for_100_continue_is_told_to_go_on():
    with answering(80) as sink:
        done = subprocess.run(
            [
                "curl",
                "-sS",
                "-m",
                "5",
                "-H",
                "Expect: 100-continue",
                "--data-binary",
                "@-",
                f"http://127.0.0.1:{sink.port}/up",
            ],
            input=b"y" * 5000,
            capture_output=True,
            check=True,
        )
        sink.ended()
    assert done.stdout == b"ok\n"


# Metadata services


def test_imdsv2_gives_a_token_and_role_names_and_no_credentials():
    with answering(80, "169.254.169.254") as sink:
        token, body = asked(sink, "PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        assert token.status == 200
        header = {"X-aws-ec2-metadata-token": body.decode()}
        _, roles = asked(sink, "GET", "/latest/meta-data/iam/security-credentials/", headers=header)
        _, empty = asked(sink, "GET", f"/latest/meta-data/iam/security-credentials/{roles.decode()}", headers=header)
        told = sink.ended(3)
    assert json.loads(empty)["SecretAccessKey"] == ""
    assert [c.details["http"]["metadata"] for c in told] == ["aws", "aws", "aws"]


@pytest.mark.parametrize(
    ("address", "name", "path", "headers", "cloud"),
    [
        (
            "198.18.0.9",
            "metadata.google.internal",
            "/computeMetadata/v1/instance/service-accounts/",
            {"Metadata-Flavor": "Google"},
            "google",
        ),
        ("169.254.169.254", None, "/metadata/instance?api-version=2021-02-01", {"Metadata": "true"}, "azure"),
        ("169.254.169.254", None, "/", {}, "unknown"),
        ("169.254.170.2", None, "/v2/credentials/x", {}, "aws-ecs"),
        ("100.100.100.200", None, "/latest/meta-data/", {}, "alibaba"),
        ("203.0.113.9", None, "/latest/meta-data/", {}, "aws"),
    ],
)
def test_each_clouds_service_is_known(address, name, path, headers, cloud):
    with answering(80, address, name=name) as sink:
        answer, _ = asked(sink, "GET", path, headers=headers)
        [told] = sink.ended()
    assert answer.status == 200
    assert told.details["http"]["metadata"] == cloud
    assert cloud != "google" or answer.headers["Metadata-Flavor"] == "Google"


def test_an_ordinary_host_is_no_metadata_service():
    with answering(80) as sink:
        asked(sink, "GET", "/metadata/instance")
        [told] = sink.ended()
    assert "metadata" not in told.details["http"]


# DNS over HTTPS


@pytest.mark.parametrize("way", ["GET", "POST"])
def test_the_name_of_a_doh_query_is_told_and_the_sinks_resolver_answers(way):
    message = query("secret.data.example", 16)
    path = "/dns-query"
    if way == "GET":
        path += "?dns=" + base64.urlsafe_b64encode(message).rstrip(b"=").decode()
    with answering(443, resolve=lambda asked: b"answer to " + asked[12:18]) as sink:
        answer, body = asked(
            sink,
            way,
            path,
            message if way == "POST" else None,
            {"Content-Type": "application/dns-message"} if way == "POST" else {},
        )
        [told] = sink.ended()
    assert answer.headers["Content-Type"] == "application/dns-message"
    assert body == b"answer to " + message[12:18]
    assert told.details["dns"] == {"name": "secret.data.example", "type": "TXT", "transport": "https"}
    assert told.details["http"]["doh"] == "secret.data.example"


def test_without_a_resolver_a_doh_query_has_an_empty_answer():
    with answering(443) as sink:
        _, body = asked(sink, "POST", "/dns-query", query("x.example"), {"Content-Type": "application/dns-message"})
        sink.ended()
    assert body[:2] == b"\x12\x34"
    assert body[3] & 15 == 0
    assert body[6:8] == b"\0\0"


def test_jsons_form_of_doh_is_known():
    with answering(443) as sink:
        asked(sink, "GET", "/resolve?name=j.example&type=A")
        [told] = sink.ended()
    assert told.details["dns"]["name"] == "j.example"


# Proxies, websockets, HTTP/2


def test_what_is_asked_of_a_proxy_is_told_and_what_follows_is_heard():
    with answering(3128) as sink:
        subprocess.run(
            ["curl", "-sSk", "-m", "5", "-x", f"http://u:hunter2@127.0.0.1:{sink.port}", "https://inner.example/p"],
            check=True,
            capture_output=True,
        )
        [told] = sink.ended()
    assert told.details["layers"] == ["http-connect", "tls", "http"]
    assert told.service == "http"
    assert told.details["proxy"] == {
        "target": "inner.example:443",
        "agent": told.details["http"]["agent"],
        "auth": "basic",
    }
    assert told.details["tls"]["sni"] == "inner.example"
    assert told.details["http"]["path"] == "/p"
    assert "hunter2" not in json.dumps(told.details)


def test_a_proxys_request_that_comes_in_pieces_is_heard_whole():
    with answering(3128) as sink, sink.connect() as client:
        for piece in (b"CONN", b"ECT deep.exam", b"ple:22 HTTP/1.1\r\nUser-Agent: piece", b"meal\r\n\r\n"):
            client.sendall(piece)
            time.sleep(0.05)
        assert client.recv(500).startswith(b"HTTP/1.1 200")
        client.sendall(b"SSH-2.0-x\r\n")
        client.recv(30)
        client.close()
        [told] = sink.ended()
    assert told.details["layers"] == ["http-connect", "ssh"]
    assert told.details["proxy"] == {"target": "deep.example:22", "agent": "piecemeal"}
    assert not {"http", "unknown"} & set(told.details)


def test_a_whole_url_names_the_host_that_is_meant():
    with answering(3128) as sink:
        subprocess.run(
            ["curl", "-sS", "-m", "5", "-x", f"http://127.0.0.1:{sink.port}", "http://far.example/q"],
            check=True,
            capture_output=True,
        )
        [told] = sink.ended()
    assert told.details["http"]["host"] == "far.example"
    assert told.details["http"]["path"] == "/q"
    assert told.details["http"]["proxied"] is True


def frame(data: bytes, kind: int = 2) -> bytes:
    mask = b"\x11\x22\x33\x44"
    size = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return bytes((0x80 | kind,)) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chisel-v3\r\n\r\n"
)


def test_a_chisel_client_is_known_and_its_ssh_heard_inside():
    with answering(8080) as sink, sink.connect() as client:
        client.sendall(UPGRADE)
        answer = client.recv(1000)
        assert b"101 Switching Protocols" in answer
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer  # RFC 6455, 1.3
        client.sendall(frame(b"hi", 9) + frame(b"SSH-2.0-chisel-v3-client\r\n"))
        assert client.recv(4) == b"\x8a\x02hi"
        assert client.recv(23) == b"\x82\x15SSH-2.0-OpenSSH_9.6\r\n"
        client.close()
        [told] = sink.ended()
    assert told.details["layers"] == ["http", "websocket", "ssh"]
    assert told.details["http"]["family"] == "chisel"
    assert told.details["http"]["protocol"] == "chisel-v3"
    assert told.details["ssh"]["client"] == "SSH-2.0-chisel-v3-client"


def test_a_wstunnel_token_is_not_told():
    request = UPGRADE.replace(b"chisel-v3", b"v1, authorization.bearer.eyJhbGciOiJIUzI1NiJ9.eyJpZCI6IjEifQ.abc")
    heard = recognise(request, 80)
    assert heard.details["http"]["family"] == "wstunnel"
    assert "eyJ" not in json.dumps(heard.details)


def test_http2_by_prior_knowledge_is_answered():
    with answering(80) as sink:
        done = subprocess.run(
            [
                "curl",
                "-sS",
                "-m",
                "5",
                "--http2-prior-knowledge",
                "-w",
                "%{http_code} %{http_version}",
                f"http://127.0.0.1:{sink.port}/",
            ],
            capture_output=True,
            check=True,
        )
        [told] = sink.ended()
    assert done.stdout == b"200 2"
    assert told.service == "http2"
    assert told.details["http"] == {"version": "2", "requests": 1}


def test_a_tor_directory_is_known_by_its_path():
    heard = recognise(b"GET /tor/status-vote/current/consensus HTTP/1.0\r\n\r\n", 9030)
    assert heard.details["http"]["family"] == "tor-directory"
