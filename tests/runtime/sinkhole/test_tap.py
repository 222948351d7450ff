"""What only the wire knows: packets that no socket gets. Made by guests with raw sockets, on the real kernel."""

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from scanner.model.run import Attempt, Endpoint
from scanner.runtime.sinkhole.packet import parse
from scanner.runtime.sinkhole.sink import SinkResult
from tests.runtime.sinkhole.lab import Outer, ethernet, observed, outer  # noqa: F401 -- a fixture

RAW = """
def checksum(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data + b"\\0" * (len(data) % 2)))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def segment(target, port, flags, source="172.17.0.2", sport=41000):
    head = struct.pack(">HHIIBBHHH", sport, port, 1, 0, 0x50, flags, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack(">BBH", 0, 6, len(head))
    return head[:16] + struct.pack(">H", checksum(pseudo + head)) + head[18:]
def packet(target, protocol, data, source="172.17.0.2", fragment=0):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(data), 7, fragment, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + data
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def send(target, protocol, data, **more): raw.sendto(packet(target, protocol, data, **more), (target, 0))
"""


def only(result: SinkResult, protocol: str, address: str, port: int | None = None) -> Attempt:
    [found] = [a for a in result.attempts if a.protocol == protocol and a.target == Endpoint(address, port)]
    return found


def test_echo_requests_are_answered_by_the_kernel_and_their_lengths_recorded(outer: Outer) -> None:  # noqa: F811
    answers, result = observed(
        outer,
        """
        def ping(family, host, kind, size, number):
            s = socket.socket(family, socket.SOCK_DGRAM, {2: 1, 10: 58}[family]); s.settimeout(9)
            s.sendto(struct.pack(">BBHHH", kind, 0, 0, 1, number) + b"t" * size, socket.getaddrinfo(host, 0, family)[0][4])
            return len(s.recv(4096)) - 8
        result = [ping(2, "203.0.113.1", 8, size, n) for n, size in enumerate((56, 56, 900))]
        result += [ping(10, "2001:db8::1", 128, 56, 1), ping(10, "fe80::dead%eth0", 128, 1200, 2)]
        """,
    )

    assert answers == [56, 56, 900, 56, 1200]
    four = [a for a in result.attempts if a.target.address == "203.0.113.1"]
    assert {a.protocol for a in four} == {"icmp"}
    assert sum(a.count for a in four) == 3
    assert sum(a.sent for a in four) == 56 + 56 + 900
    assert sorted(size for a in four for size in a.details["icmp"]["sizes"]) == [56, 900]  # type: ignore[index,call-overload,union-attr]
    six = only(result, "icmp6", "2001:db8::1")
    assert (six.details, six.first) == ({"icmp6": {"type": "echo-request", "sizes": [56]}}, b"t" * 56)
    assert only(result, "icmp6", "fe80::dead").sent == 1200


def test_a_scan_that_finishes_no_handshake_is_an_attempt_and_a_connection_is_one_only(outer: Outer) -> None:  # noqa: F811
    _, result = observed(
        outer,
        RAW
        + """
for port in (22, 23, 24): send("203.0.113.1", 6, segment("203.0.113.1", port, 2))
send("203.0.113.2", 6, segment("203.0.113.2", 80, 0x29)); send("203.0.113.2", 6, segment("203.0.113.2", 81, 0))
send("203.0.113.3", 6, segment("203.0.113.3", 80, 2, source="192.0.2.99"), source="192.0.2.99")
tcp("203.0.113.4", 80, b"GET / HTTP/1.0\\r\\n\\r\\n")
""",
    )

    for port in (22, 23, 24):
        scan = only(result, "tcp", "203.0.113.1", port)
        assert (scan.service, scan.details, scan.count) == ("silent", {"tcp": {"handshake": "not finished"}}, 1)
    assert only(result, "tcp", "203.0.113.2", 80).details == {"tcp": {"handshake": "none", "flags": "fin,psh,urg"}}
    assert only(result, "tcp", "203.0.113.2", 81).details == {"tcp": {"handshake": "none", "flags": "none"}}
    assert only(result, "tcp", "203.0.113.3", 80).source == Endpoint("192.0.2.99", 41000)
    assert (only(result, "tcp", "203.0.113.4", 80).service, only(result, "tcp", "203.0.113.4", 80).count) == ("http", 1)
    assert len(result.attempts) == 7


def test_other_protocols_raw_frames_and_lone_fragments_are_attempts(outer: Outer) -> None:  # noqa: F811
    _, result = observed(
        outer,
        RAW
        + """
send("203.0.113.1", 47, b"gre tunnel"); send("203.0.113.1", 132, struct.pack(">HHII", 5000, 36412, 0, 0) + b"init")
send("203.0.113.1", 253, b"home made"); send("203.0.113.2", 17, b"later piece", fragment=100)
six = socket.socket(10, socket.SOCK_RAW, 41); six.sendto(b"inside", ("2001:db8::41", 0))
frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); frames.bind(("eth0", 0))
frames.send(b"\\xff" * 6 + bytes.fromhex("0242ac110002") + b"\\x88\\xcc" + b"lldp")
frames.send(b"\\xff" * 6 + bytes.fromhex("0242ac110002") + b"\\x08\\x06" + struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, b"a" * 6, socket.inet_aton("172.17.0.2"), b"", socket.inet_aton("172.17.0.9")))
udp("203.0.113.3", 9, b"u" * 5000)
""",
    )

    gre = only(result, "ip-47", "203.0.113.1")
    assert (gre.service, gre.first, gre.details) == ("ip-47", b"gre tunnel", {"ip-47": {"sizes": [10]}})
    sctp = only(result, "sctp", "203.0.113.1", 36412)
    assert (sctp.first, sctp.source) == (b"init", Endpoint("172.17.0.2", 5000))
    assert only(result, "ip-253", "203.0.113.1").first == b"home made"
    assert only(result, "ip-41", "2001:db8::41").first == b"inside"
    assert only(result, "udp", "203.0.113.2").details["udp"]["type"] == "fragment"  # type: ignore[index,call-overload]
    assert only(result, "eth-88cc", "ff:ff:ff:ff:ff:ff").first == b"lldp"
    assert only(result, "arp", "172.17.0.9").source == Endpoint("172.17.0.2")
    whole = only(result, "udp", "203.0.113.3", 9)
    assert (whole.sent, whole.count) == (5000, 1)
    assert len(result.attempts) == 8


def test_what_a_kernel_says_by_itself_is_no_attempt(outer: Outer) -> None:  # noqa: F811
    _, result = observed(
        outer,
        """
        s = socket.socket(2, 2); s.sendto(query("a.example"), ("203.0.113.53", 53)); s.close()  # its answer comes to nobody
        s = socket.socket(10, 2); s.sendto(query("a.example"), ("2001:db8::53", 53)); s.close()
        s = socket.create_connection(("203.0.113.1", 80)); s.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
        time.sleep(0.3)
        """,
    )

    assert sorted((a.protocol, a.target.display) for a in result.attempts) == [
        ("tcp", "203.0.113.1:80"),
        ("udp", "203.0.113.53:53"),
        ("udp", "[2001:db8::53]:53"),
    ]


def test_a_guest_that_takes_its_network_down_does_not_take_the_sink_with_it(outer: Outer) -> None:  # noqa: F811
    _, result = observed(
        outer,
        """
        tcp("203.0.113.1", 80, b"GET / HTTP/1.0\\r\\n\\r\\n")
        n = socket.socket(16, 3, 0)
        n.send(struct.pack("=IHHIIBxHiII", 32, 17, 5, 1, 0, 0, 0, socket.if_nametoindex("eth0"), 0, 0)); result = n.recv(4096)[16:20].hex()
        try: tcp("203.0.113.2", 80)
        except OSError: pass
        """,
    )

    assert only(result, "tcp", "203.0.113.1", 80).service == "http"
    assert any("network was taken down" in note for note in result.notes)


def test_a_frame_with_extension_headers_is_read_to_its_end() -> None:
    address = socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    inside = struct.pack(">HHHH", 1000, 2000, 12, 0) + b"data"
    chain = bytes([60, 0]) + bytes(6) + bytes([17, 0]) + bytes(6)
    frame = struct.pack(">IHBB", 6 << 28, len(chain) + len(inside), 0, 64) + address * 2 + chain + inside

    packet = parse(ethernet(frame, 0x86DD))

    assert packet is not None
    assert (packet.protocol, packet.target_port, packet.payload, packet.length) == ("udp", 2000, b"data", 4)


@given(
    st.binary(max_size=200),
    st.sampled_from([0x0800, 0x86DD, 0x0806, 0x1234]),
    st.integers(0, 255),
    st.integers(0, 255),
)
def test_no_frame_breaks_the_reader(body: bytes, kind: int, start: int, protocol: int) -> None:
    data = bytearray(body)
    if len(data) > 9:
        data[0] = start
        data[6 if kind == 0x86DD else 9] = protocol
    packet = parse(ethernet(bytes(data), kind))
    assert packet is not None
    assert packet.length >= 0
    assert len(packet.payload) <= len(data)
    assert parse(bytes(data[:13])) is None
