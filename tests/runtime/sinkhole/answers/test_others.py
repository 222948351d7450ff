"""SOCKS, lines, databases, and what is known by its first bytes alone."""

import json
import smtplib
import socket
import ssl
import subprocess
import time
from hashlib import sha256

import pytest

from scanner.runtime.sinkhole.answers.answering import datagram, recognise
from tests.runtime.sinkhole.answers.loopback import Conversation, answering
from tests.runtime.sinkhole.answers.test_http import query


def said(port: int, *steps: bytes | int) -> Conversation:
    """A client that sends bytes, and reads at least as many as each number says; then it is gone."""
    with answering(port) as sink, sink.connect() as client:
        for step in steps:
            if isinstance(step, int):
                read = b""
                while len(read) < step:
                    read += client.recv(4096) or pytest.fail(f"closed after {read!r}")
            else:
                client.sendall(step)
        client.shutdown(socket.SHUT_WR)
        return sink.ended()[0]


# SOCKS


@pytest.mark.parametrize(
    ("scheme", "user", "target", "version"),
    [
        ("socks5h", "", "name.example:80", 5),
        ("socks5h", "me:hunter2@", "name.example:80", 5),
        ("socks4a", "", "name.example:80", "4a"),
    ],
)
def test_a_socks_client_is_granted_its_target_and_heard(scheme, user, target, version):
    with answering(1080) as sink:
        subprocess.run(
            ["curl", "-sS", "-m", "5", "-x", f"{scheme}://{user}127.0.0.1:{sink.port}", "http://name.example/in"],
            check=True,
            capture_output=True,
        )
        [told] = sink.ended()
    assert told.details["layers"] == [scheme[:6], "http"]
    assert told.details["socks"]["target"] == target
    assert told.details["socks"]["version"] == version
    assert told.details["http"]["path"] == "/in"
    assert told.details["socks"].get("user") == ("me" if user else None)
    assert "hunter2" not in json.dumps(told.details)


def test_socks4_with_an_address_and_tls_inside_is_heard():
    told = said(1080, b"\4\1\x01\xbb\xc0\0\2\x09me\0", 8, b"SSH-2.0-inside\r\n", 30)
    assert told.details["socks"] == {"version": 4, "command": "connect", "user": "me", "target": "192.0.2.9:443"}
    assert told.details["layers"] == ["socks4", "ssh"]


def test_tors_way_of_asking_a_socks_proxy_to_resolve_is_told():
    told = said(9050, b"\5\1\0", 2, b"\5\xf0\0\3\x09x.example\0\0", 10)
    assert told.details["socks"]["command"] == "resolve"
    assert told.details["socks"]["target"] == "x.example:0"


def test_streams_inside_of_streams_come_to_an_end():
    ask = b"\5\1\0\5\1\0\1\xc0\0\2\1\0\x50"
    told = said(1080, *[step for _ in range(5) for step in (ask, 12)][:9])
    assert told.details["layers"] == ["socks5"] * 5
    assert "more than 4 streams" in told.details["unanswered"]


def test_the_proxy_protocol_is_taken_off():
    told = said(80, b"PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\nGET /x HTTP/1.0\r\n\r\n", 15)
    assert told.details["layers"] == ["proxy-protocol", "http"]
    assert told.details["proxy_protocol"] == {"version": 1, "source": "192.0.2.1", "target": "198.51.100.2:443"}


# Lines


def test_a_letter_is_taken_and_neither_password_nor_letter_told():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with answering(25) as sink:
        with smtplib.SMTP("127.0.0.1", sink.port, local_hostname="me.example", timeout=5) as client:
            client.ehlo()
            client.starttls(context=context)
            client.login("someone", "hunter2")
            client.sendmail("a@x.example", ["b@y.example"], "Subject: s\r\n\r\nstolen things\r\n")
        [told] = sink.ended()
    assert told.details["layers"] == ["smtp", "tls", "smtp"]
    assert {"ehlo me.example", "auth ***", "rcpt to:<b@y.example>", "data"} <= {
        line.lower() for line in told.details["smtp"]["lines"]
    }
    assert "hunter2" not in json.dumps(told.details)
    assert "stolen" not in json.dumps(told.details)
    assert "AGh1bnRlcjI" not in json.dumps(told.details)


def test_a_password_on_a_line_of_its_own_is_not_told():
    told = said(25, 10, b"EHLO x\r\n", 40, b"AUTH LOGIN\r\n", 10, b"aHVudGVyMg==\r\n", 5)
    assert "aHVudGVyMg" not in json.dumps(told.details)


def test_ftp_shows_its_commands():
    told = said(21, 10, b"USER anonymous\r\n", 5, b"PASS hunter2\r\n", 5, b"RETR /etc/passwd\r\n", 5, b"QUIT\r\n", 3)
    assert told.details["ftp"]["lines"] == ["USER anonymous", "PASS ***", "RETR /etc/passwd", "QUIT"]


@pytest.mark.parametrize(
    ("port", "line", "service", "lines"),
    [
        (110, b"USER bob\r\nPASS hunter2\r\n", "pop3", ["USER bob", "PASS ***"]),
        (143, b"a1 LOGIN bob hunter2\r\n", "imap", ["LOGIN ***"]),
        (6667, b"NICK bot17\r\nUSER b 0 * :b\r\nJOIN #cmd\r\n", "irc", ["NICK bot17", "USER b 0 * :b", "JOIN #cmd"]),
        (23, b"\xff\xfd\x03admin\r\nhunter2\r\nuname -a\r\n", "telnet", ["admin", "***", "uname -a"]),
    ],
)
def test_lines_are_told_without_passwords(port, line, service, lines):
    told = said(port, line, 10)
    assert told.service == service
    assert told.details[service]["lines"] == lines
    assert "hunter2" not in json.dumps(told.details)


# Databases


def test_postgres_goes_through_its_question_for_tls():
    startup = b"\0\3\0\0user\0alice\0database\0prod\0application_name\0psql\0\0"
    startup = (len(startup) + 4).to_bytes(4, "big") + startup
    select = b"Q" + (4 + 9).to_bytes(4, "big") + b"select 1\0"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with answering(5432) as sink, sink.connect() as raw:
        raw.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
        assert raw.recv(1) == b"S"
        with context.wrap_socket(raw, server_hostname="db.example") as client:
            client.sendall(startup)
            assert client.recv(100) == b"R\0\0\0\x08\0\0\0\0Z\0\0\0\5I"
            client.sendall(select)
            assert client.recv(100).startswith(b"C")
        [told] = sink.ended()
    assert told.details["layers"] == ["postgres", "tls", "postgres"]
    assert {"user": "alice", "database": "prod", "client": "psql", "commands": ["select 1"]}.items() <= told.details[
        "postgres"
    ].items()


def test_redis_shows_its_commands_and_keeps_its_password():
    told = said(
        6379,
        b"*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n",
        5,
        b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$15\r\n/var/spool/cron\r\n",
        5,
        b"PING\r\n",
        7,
    )
    assert told.details["redis"]["commands"] == ["AUTH ***", "CONFIG SET dir /var/spool/cron", "PING"]


def test_mqtt_shows_client_and_topics():
    connect = b"\0\4MQTT\4\2\0\x3c\0\5bot-1"
    subscribe = b"\0\1\0\x06cmd/#1\0"
    told = said(1883, b"\x10" + bytes((len(connect),)) + connect, 4, b"\x82" + bytes((len(subscribe),)) + subscribe, 5)
    assert told.details["mqtt"] == {"client": "bot-1", "version": 4, "topics": ["cmd/#1"]}


def test_mysql_waits_for_its_greeting():
    login = b"\x85\xa6\xff\1" + bytes(4) + b"\x21" + bytes(23) + b"root\0" + b"\0" + b"shop\0"
    ask = b"\x03show tables"
    told = said(
        3306, 40, len(login).to_bytes(3, "little") + b"\1" + login, 11, len(ask).to_bytes(3, "little") + b"\0" + ask, 11
    )
    assert told.service == "mysql"
    assert told.details["mysql"] == {"user": "root", "database": "shop", "commands": ["show tables"]}


# Streams known by their first bytes


def frp_login(yamux: bool) -> bytes:
    text = b'{"version":"0.61.0","hostname":"h","os":"linux","arch":"amd64","user":"u","privilege_key":"5f4dcc","run_id":""}'
    message = b"o" + len(text).to_bytes(8, "big") + text
    if not yamux:
        return message
    return b"\0\1\0\1\0\0\0\1\0\0\0\0" + b"\0\0\0\0\0\0\0\1" + len(message).to_bytes(4, "big") + message


@pytest.mark.parametrize(
    ("first", "port", "service", "facts"),
    [
        (
            b"\xf9\xbe\xb4\xd9version\0\0\0\0\0" + bytes(8),
            8333,
            "bitcoin",
            {"network": "bitcoin", "command": "version"},
        ),
        (b"\x13BitTorrent protocol" + bytes(8), 6881, "bittorrent", {}),
        (b"\x01\x21\x01\x01\x01\x01\x01\x01" + bytes(8), 18080, "levin", {"network": "monero"}),
        (b"\0\0\7\0\6\0\3\0\4\0\5", 9001, "tor", {"versions": [3, 4, 5]}),
        (frp_login(False), 7000, "frp", {"version": "0.61.0", "os": "linux", "user": "u"}),
        (frp_login(True), 7000, "frp", {"version": "0.61.0", "hostname": "h"}),
        (b"\0\0\0\0\1" + sha256(b"service").digest(), 2333, "rathole", {"channel": "control", "version": 1}),
        (b"\1\0\0\0\0" + sha256(b"token").digest(), 2333, "rathole", {"channel": "data", "version": 0}),
        (b"\x17\x16\x03\x01\x01\x00\x01", 7000, "frp", {"tls": True}),
        (b"\x00\x0e\x38" + bytes(range(8)) + bytes(5), 1194, "openvpn", {"transport": "tcp"}),
        (b"\3\0\0\x2a\x25\xe0\0\0\0\0\0Cookie: mstshash=admin\r\n", 3389, "rdp", {"user": "admin"}),
        (b"\0\0\0\x40\xfeSMB" + bytes(8), 445, "smb", {"version": 2}),
        (b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", 389, "ldap", {}),
        (b'{"Hello":8000}\0', 7835, "bore", {}),
        (b"0033git-upload-pack /x.git\0host=h\0", 9418, "git", {}),
        (b"AMQP\0\0\x09\x01", 5672, "amqp", {"version": "0.9.1"}),
        (b"bash: no job control in this shell\nroot@c:/# ", 4444, "shell", {}),
        (b"/bin/sh: 0: can't access tty; job control turned off\n# ", 4444, "shell", {}),
        (b"root@box:/tmp# ", 4444, "shell", {"text": "root@box:/tmp# "}),
        (
            len(query("t.example", 16)).to_bytes(2, "big") + query("t.example", 16),
            5300,
            "dns",
            {"name": "t.example", "type": "TXT", "transport": "tcp"},
        ),
        (b"hello world\n", 9999, "unknown", {"text": "hello world"}),
    ],
)
def test_a_stream_is_known_by_its_first_bytes(first, port, service, facts):
    heard = recognise(first, port)
    assert heard.service == service
    assert facts.items() <= heard.details[service].items()


def test_frps_key_is_not_told():
    assert "5f4dcc" not in json.dumps(recognise(frp_login(True), 7000).details)


def test_a_silent_shell_complains_about_our_greeting_and_is_known():
    with answering(4444) as sink, sink.connect() as client:
        client.setblocking(True)
        shell = subprocess.Popen(["/bin/sh"], stdin=client, stdout=client, stderr=client, env={"PATH": "/nowhere"})
        told = sink.until(lambda c: c.services)
        shell.kill()
        shell.wait()
    assert told.service == "shell"
    assert "not found" in told.details["shell"]["text"]


def test_dns_over_tls_is_heard_by_name():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with answering(853, resolve=lambda asked: asked + b"!") as sink:
        with context.wrap_socket(sink.connect(), server_hostname="dns.example") as client:
            for name in ("one.example", "two.example"):
                message = query(name)
                client.sendall(len(message).to_bytes(2, "big") + message)
                assert client.recv(500)[2:] == message + b"!"
        [told] = sink.ended()
    assert told.details["layers"] == ["tls", "dns"]
    assert told.details["dns"] == {
        "name": "one.example",
        "type": "A",
        "transport": "tls",
        "names": ["one.example", "two.example"],
    }


def test_nothing_said_at_all_is_silent_and_ends():
    with answering(8080) as sink, sink.connect() as client:
        client.shutdown(socket.SHUT_WR)
        [told] = sink.ended()
    assert told.services == []
    assert told.spoken.received == 0


# Datagrams

STUN = b"\0\1\0\0\x21\x12\xa4\x42" + bytes(range(12))


@pytest.mark.parametrize(
    ("data", "port", "service", "facts"),
    [
        (b"\1\0\0\0" + b"\x05\0\0\0" + bytes(140), 51820, "wireguard", {"message": "initiation"}),
        (b"\x38" + bytes(range(8)) + bytes(5), 1194, "openvpn", {"transport": "udp"}),
        (b"\x38" + bytes(range(8)) + bytes(range(20)) + b"\0\0\0\1" + bytes(9), 443, "openvpn", {}),
        (STUN, 3478, "stun", {"method": "binding", "turn": False}),
        (b"\0\3\0\0\x21\x12\xa4\x42" + bytes(12), 3478, "stun", {"method": "allocate", "turn": True}),
        (b"\x23" + bytes(47), 123, "ntp", {"version": 4}),
        (b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19", 161, "snmp", {"version": "2c"}),
        (
            bytes(range(1, 9)) + bytes(8) + b"\x21\x20\x22\x08" + bytes(4) + b"\0\0\0\x1c",
            500,
            "ike",
            {"version": 2, "exchange": 34},
        ),
        (
            bytes(4) + bytes(range(1, 9)) + bytes(8) + b"\x21\x20\x22\x08" + bytes(4) + b"\0\0\0\x1c",
            4500,
            "ike",
            {"version": 2},
        ),
        (
            b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nST: ssdp:all\r\nMAN: "x"\r\n\r\n',
            1900,
            "ssdp",
            {"target": "ssdp:all"},
        ),
        (
            b"\0\1\1\x10\0\1\0\0\0\0\0\0\x20" + b"EIEPFDFE" + b"CA" * 12 + b"\0\0\x20\0\1",
            137,
            "netbios",
            {"name": "HOST"},
        ),
        (b"<34>Oct 11 22:14:15 box su: hello", 514, "syslog", {}),
        (b"\0\0\4\x17\x27\x10\x19\x80" + bytes(8), 6969, "bittorrent", {"message": "tracker"}),
        (b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:aa1:y1:qe", 6881, "bittorrent", {"message": "dht ping"}),
        (b"TS\xf0\x9f\x92\xac" + bytes(56), 41641, "tailscale", {}),
        (b"\0\1boot.img\0octet\0", 69, "tftp", {"path": "boot.img", "write": False}),
        (query("tunnel.example", 16), 5300, "dns", {"name": "tunnel.example", "type": "TXT"}),
        (bytes(range(64)), 9, "unknown", {"entropy": 6.0}),
    ],
)
def test_a_datagram_is_known_by_its_shape(data, port, service, facts):
    heard, _ = datagram(data, port)
    assert heard.service == service
    assert facts.items() <= heard.details[service].items()


def test_snmps_community_is_not_told():
    heard, _ = datagram(b"\x30\x26\x02\x01\x01\x04\x06s3cret\xa0\x19", 161)
    assert "s3cret" not in json.dumps(heard.details)


def test_a_time_server_tells_the_time():
    asked = b"\x23" + bytes(39) + b"\1\2\3\4\5\6\7\x08"
    _, answer = datagram(asked, 123)
    assert answer is not None
    assert (len(answer), answer[0] & 7, answer[24:32]) == (48, 4, asked[40:48])
    assert abs(int.from_bytes(answer[40:44], "big") - 2208988800 - time.time()) < 5


def test_a_stun_client_learns_a_documentation_address():
    _, answer = datagram(STUN, 3478)
    assert answer is not None
    assert answer[:8] == b"\1\1\0\x0c\x21\x12\xa4\x42"
    assert answer[8:20] == STUN[8:]
    port = int.from_bytes(answer[26:28], "big") ^ 0x2112
    address = bytes(a ^ b for a, b in zip(answer[28:32], STUN[4:8], strict=True))
    assert (socket.inet_ntoa(address), port) == ("192.0.2.1", 40000)


@pytest.mark.parametrize("data", [b"", b"\0", bytes(48), b"ok"])
def test_little_is_no_protocol(data):
    heard, answer = datagram(data, 9)
    assert heard.service == ("unknown" if data else "silent")
    assert answer is None
