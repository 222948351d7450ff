"""The network that a guest finds, on the real kernel: whom it reaches, what it sees, and what the sink says of it."""

import pytest

from scanner.model.run import Attempt, Endpoint
from scanner.runtime.sinkhole import tproxy
from scanner.runtime.sinkhole.sink import Sink, SinkOptions, SinkResult
from tests.runtime.sinkhole.lab import Outer, observed, outer, paused  # noqa: F401 -- a fixture

HTTP = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"
TARGETS = (
    ("198.51.100.7", 80),
    ("203.0.113.255", 65535),
    ("169.254.169.254", 80),
    ("172.17.0.1", 2375),
    ("172.17.0.77", 22),
    ("192.0.2.1", 1),
    ("198.18.0.1", 15001),
    ("240.0.0.1", 443),
    ("0.1.2.3", 8080),
    ("2001:db8::5", 443),
    ("fd17::1", 22),
    ("fd17::99", 9999),
    ("fd00:ec2::254", 80),
    ("fe80::1%eth0", 80),
    ("fe80::dead%eth0", 80),
    ("::ffff:203.0.113.9", 81),
)


def plain(host: str) -> str:
    return host.removeprefix("::ffff:").split("%")[0]


def attempt(result: SinkResult, protocol: str, address: str, port: int | None = None) -> Attempt:
    [found] = [a for a in result.attempts if a.protocol == protocol and a.target == Endpoint(address, port)]
    return found


@pytest.mark.parametrize("method", tproxy.METHODS)
def test_every_unicast_address_and_port_answers_as_the_one_that_was_asked(outer: Outer, method: str) -> None:  # noqa: F811
    answers, result = observed(
        outer,
        f"""
        result = []
        for host, port in {TARGETS!r}:
            family, where = address(host, port)
            s = socket.socket(family); s.settimeout(9); s.connect(where); s.sendall({HTTP!r})
            peer = s.getpeername()[:2]; got = s.recv(4096); s.close()
            u = socket.socket(family, socket.SOCK_DGRAM); u.settimeout(9)
            u.sendto(query("pool.example"), where[:1] + (53,) + where[2:]); data, other = u.recvfrom(512); u.close()
            result.append([peer, got.decode("latin-1"), len(data), other[:2]])
        """,
        SinkOptions(methods=(method,)),
    )

    assert result.method == method
    for (host, port), (peer, got, size, other) in zip(TARGETS, answers, strict=True):
        assert peer[1] == port, host
        assert plain(peer[0]) == plain(host)
        assert got.startswith("HTTP/1.1 200"), host
        assert size > 30
        assert (plain(other[0]), other[1]) == (plain(host), 53)
        tried = attempt(result, "tcp", plain(host), port)
        assert (tried.service, tried.first, tried.sent, tried.count) == ("http", HTTP, len(HTTP), 1)
        assert tried.source is not None
        assert tried.source.address in ("172.17.0.2", "fd17::2", "fe80::42:acff:fe11:2")
    # its own resolver is asked, all others are reached for
    asked = {query.server.address for query in result.queries}
    assert asked == {plain(host) for host, _ in TARGETS}
    assert {a.target.address for a in result.attempts if a.service == "dns"} == asked - {"172.17.0.1", "fd17::1"}
    assert result.dropped == {}


def test_the_guest_finds_what_dockers_bridge_network_gives(outer: Outer) -> None:  # noqa: F811
    seen, _ = observed(
        outer,
        """
        read = lambda name: open(name).read().split()
        routes = [line.split()[:4] for line in open("/proc/net/route").read().splitlines()[1:]]
        result = {
            "links": [name for _, name in socket.if_nameindex() if name in ("lo", "eth0")],
            "mac": read("/sys/class/net/eth0/address") if os.path.exists("/sys/class/net/eth0/address") else None,
            "routes": routes,
            "inet6": sorted(line.split()[0] for line in open("/proc/net/if_inet6").read().splitlines()),
            "ping": read("/proc/sys/net/ipv4/ping_group_range"),
        }
        s = socket.socket(2, 2); s.connect(("203.0.113.1", 9)); result["from"] = s.getsockname()[0]
        s = socket.socket(10, 2); s.connect(("2001:db8::1", 9)); result["from6"] = s.getsockname()[0]
        """,
    )

    assert seen["links"] == ["lo", "eth0"]
    assert ["eth0", "00000000", "010011AC", "0003"] in seen["routes"]
    assert ["eth0", "000011AC", "00000000", "0001"] in seen["routes"]
    assert seen["inet6"] == ["0" * 31 + "1", "fd17" + "0" * 27 + "2", "fe800000000000000042acfffe110002"]
    assert seen["ping"] == ["0", "2147483647"]
    assert (seen["from"], seen["from6"]) == ("172.17.0.2", "fd17::2")


def test_groups_and_broadcasts_are_recorded_and_names_answered_there(outer: Outer) -> None:  # noqa: F811
    answers, result = observed(
        outer,
        """
        result = [
            udp("224.0.0.251", 5353, query("printer.local"), 9), udp("ff02::fb%eth0", 5353, query("printer.local"), 9),
            udp("224.0.0.252", 5355, query("wpad"), 9), udp("ff02::1:3%eth0", 5355, query("wpad"), 9),
        ]
        for host, port in (("255.255.255.255", 7), ("172.17.255.255", 8), ("239.1.2.3", 9), ("ff02::1%eth0", 10), ("ff05::2", 11)):
            udp(host, port, b"anybody?")
        result = [[len(r[0]), *r[1:]] if r else None for r in result]
        """,
    )

    assert [a and a[1] for a in answers] == ["172.17.0.1", "fe80::42:acff:fe11:1"] * 2
    assert [(q.name, q.server.display) for q in result.queries] == [
        ("printer.local", "224.0.0.251:5353"),
        ("printer.local", "[ff02::fb]:5353"),
        ("wpad", "224.0.0.252:5355"),
        ("wpad", "[ff02::1:3]:5355"),
    ]
    for host, port in (
        ("255.255.255.255", 7),
        ("172.17.255.255", 8),
        ("239.1.2.3", 9),
        ("ff02::1", 10),
        ("ff05::2", 11),
    ):
        tried = attempt(result, "udp", host, port)
        assert (tried.first, tried.sent, tried.count) == (b"anybody?", 8, 1)


@pytest.mark.parametrize("method", tproxy.METHODS)
def test_names_lead_to_attempts_and_back(outer: Outer, method: str) -> None:  # noqa: F811
    answers, result = observed(
        outer,
        """
        def a(name, kind=1, server="172.17.0.1"):
            data = udp(server, 53, query(name, kind), 9)[0]
            size = {1: 4, 28: 16}[kind]
            return socket.inet_ntop({1: 2, 28: 10}[kind], data[-size:])
        four, six, db = a("Pool.Example"), a("pool.example", 28), a("db", 1, "203.0.113.53")
        result = [four, six, db, a("pool.example")]
        for host in (four, six, db): tcp(host, 3333, b"GET / HTTP/1.0\\r\\n\\r\\n")
        reverse = ".".join(reversed(four.split("."))) + ".in-addr.arpa"
        result.append(udp("172.17.0.1", 53, query(reverse, 12), 9)[0].decode("latin-1"))
        stream = socket.create_connection(("203.0.113.54", 53)); m = query("tcp.example", 16)
        stream.sendall(len(m).to_bytes(2, "big") + m[:5]); time.sleep(0.05); stream.sendall(m[5:]); result.append(len(stream.recv(512)))
        stream.close()
        """,
        SinkOptions(names={"db": ("172.17.0.9",)}, methods=(method,)),
    )
    four, six, db, again, reverse, over_tcp = answers

    assert four == again
    assert four.startswith(("198.18.", "198.19."))
    assert six.startswith("fd00:534e:4b00:")
    assert db == "172.17.0.9"
    assert "\x04pool\x07example\x00" in reverse
    assert over_tcp > 30
    for address, name in ((four, "pool.example"), (six, "pool.example"), (db, "db")):
        assert attempt(result, "tcp", address, 3333).name == name
    assert [(q.name, q.type, q.transport, q.server.address, q.count) for q in result.queries] == [
        ("Pool.Example", "A", "udp", "172.17.0.1", 1),
        ("pool.example", "AAAA", "udp", "172.17.0.1", 1),
        ("db", "A", "udp", "203.0.113.53", 1),
        ("pool.example", "A", "udp", "172.17.0.1", 1),
        (".".join(reversed(four.split("."))) + ".in-addr.arpa", "PTR", "udp", "172.17.0.1", 1),
        ("tcp.example", "TXT", "tcp", "203.0.113.54", 1),
    ]
    assert attempt(result, "tcp", "203.0.113.54", 53).service == "dns"


def test_names_asked_for_on_other_ways_have_addresses_too(outer: Outer) -> None:  # noqa: F811
    """Over HTTP, over TCP and UDP at a port that is not DNS's: the client goes on to where the name leads."""
    answers, result = observed(
        outer,
        """
        def a(data): return socket.inet_ntop(2, data[-4:])
        m = query("doh.example")
        head = f"POST /dns-query HTTP/1.1\\r\\nHost: a\\r\\nContent-Type: application/dns-message\\r\\nContent-Length: {len(m)}\\r\\n\\r\\n"
        result = [a(tcp("203.0.113.53", 80, head.encode() + m))]
        m = query("odd.example")
        result.append(a(tcp("203.0.113.54", 5300, len(m).to_bytes(2, "big") + m)))
        result.append(a(udp("203.0.113.55", 5300, query("even.example"), 9)[0]))
        for host in result: tcp(host, 443, b"GET / HTTP/1.0\\r\\n\\r\\n")
        """,
    )

    names = ["doh.example", "odd.example", "even.example"]
    assert [attempt(result, "tcp", address, 443).name for address in answers] == names
    assert [(q.name, q.server.display, q.transport) for q in result.queries] == [
        ("doh.example", "203.0.113.53:80", "tcp"),
        ("odd.example", "203.0.113.54:5300", "tcp"),
        ("even.example", "203.0.113.55:5300", "udp"),
    ]


def test_the_owner_of_each_attempt_is_asked_for_once(outer: Outer) -> None:  # noqa: F811
    asked = []

    def who(protocol: str, source: Endpoint, target: Endpoint, time: float) -> int:
        asked.append((protocol, source, target, time))
        return 4711 if protocol == "tcp" else 4712

    _, result = observed(
        outer,
        """
        s = socket.socket(); s.bind(("", 40001)); s.connect(("203.0.113.1", 80)); s.close()
        for _ in range(3): s = socket.socket(2, 2); s.bind(("", 40002)); s.sendto(b"x", ("203.0.113.2", 9)); s.close()
        udp("172.17.0.1", 53, query("a.example"), 9)
        """,
        SinkOptions(who=who),
    )

    assert [(p, s.display, t.display) for p, s, t, _ in asked[:2]] == [
        ("tcp", "172.17.0.2:40001", "203.0.113.1:80"),
        ("udp", "172.17.0.2:40002", "203.0.113.2:9"),
    ]
    assert len(asked) == 3
    assert attempt(result, "tcp", "203.0.113.1", 80).pid == 4711
    assert attempt(result, "udp", "203.0.113.2", 9).pid == 4712
    assert attempt(result, "udp", "203.0.113.2", 9).count == 3
    assert [q.pid for q in result.queries] == [4712]


def test_what_is_not_heard_out_is_said(outer: Outer) -> None:  # noqa: F811
    _, result = observed(
        outer,
        """
        inside = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\\r\\n"
        tcp("203.0.113.1", 80, inside * 9 + b"GET / HTTP/1.0\\r\\n\\r\\n")
        tcp("203.0.113.2", 80, inside + b"GET / HTTP/1.0\\r\\n\\r\\n")
        """,
    )

    assert result.notes == ("connections that were not heard out: 1 (more than 4 streams inside of streams)",)


def test_slow_and_silent_clients_are_waited_for(outer: Outer) -> None:  # noqa: F811
    answers, result = observed(
        outer,
        """
        slow = socket.create_connection(("203.0.113.1", 80)); silent = socket.create_connection(("203.0.113.2", 4444))
        for byte in b"GET /slow HTTP/1.1\\r\\nHost: s.example\\r\\n\\r\\n": slow.sendall(bytes([byte])); time.sleep(0.02)
        slow.settimeout(9); result = slow.recv(100).decode()
        """,
    )

    assert answers.startswith("HTTP/1.1 200")
    slow = attempt(result, "tcp", "203.0.113.1", 80)
    assert (slow.service, slow.details["http"]["path"], slow.sent) == ("http", "/slow", 39)  # type: ignore[index,call-overload]
    assert attempt(result, "tcp", "203.0.113.2", 4444).service == "silent"


def test_what_is_still_open_at_the_end_is_told_with_what_it_sent(outer: Outer) -> None:  # noqa: F811
    with paused() as pause:

        def run() -> SinkResult:
            with Sink(pause.process.pid) as sink:
                guest = pause.start(
                    """
                    s = socket.create_connection(("203.0.113.1", 9000)); s.sendall(b"q" * 5000)
                    print("sent", flush=True); time.sleep(60)
                    """
                )
                try:
                    assert guest.stdout is not None
                    assert guest.stdout.readline() == "sent\n"
                    return sink.finish()
                finally:
                    guest.kill()
                    guest.communicate()

        result = outer.do(run)

    tried = attempt(result, "tcp", "203.0.113.1", 9000)
    assert (tried.service, tried.sent, tried.first) == ("unknown", 5000, b"q" * 256)
    assert tried.details["end"] == "the run was over"
