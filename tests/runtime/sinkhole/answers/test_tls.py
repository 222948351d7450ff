"""TLS: what a hello says, published fingerprints, real clients, and the ones that refuse."""

import http.client
import socket
import ssl
import subprocess

import pytest

from scanner.runtime.sinkhole.answers import hello
from scanner.runtime.sinkhole.answers.answering import datagram, recognise
from scanner.runtime.sinkhole.answers.hello import Hello
from scanner.runtime.sinkhole.answers.keys import Keys
from scanner.runtime.sinkhole.answers.protocols import quic
from tests.runtime.sinkhole.answers.loopback import answering


def client_hello(
    sni: str | None = "pool.example",
    alpn: tuple[str, ...] = ("h2", "http/1.1"),
    highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> bytes:
    """The first record of OpenSSL itself."""
    context = ssl.create_default_context()
    context.maximum_version = highest
    context.set_alpn_protocols(list(alpn))
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=sni)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def records(message: bytes, *sizes: int) -> bytes:
    """A handshake message cut into records of these sizes, the rest in the last one."""
    out, at = b"", 0
    for size in (*sizes, len(message)):
        piece = message[at : at + size]
        out += b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece
        at += size
    return out


# Published examples


@pytest.mark.parametrize(
    ("seen", "text", "digest"),
    [
        # salesforce/ja3, README: "How it works"
        (
            Hello(
                769,
                (47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4),
                (0, 10, 11),
                groups=(23, 24, 25),
                formats=(0,),
            ),
            "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0",
            "ada70206e40642a3e4461f35503241d5",
        ),
        (
            Hello(769, (4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99)),
            "769,4-5-10-9-100-98-3-6-19-18-99,,,",
            "de350869b8c85de67a350c8d186f11e6",
        ),
    ],
)
def test_ja3_is_as_its_authors_published_it(seen, text, digest):
    assert hello.ja3_text(seen) == text
    assert hello.ja3(seen) == digest


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one, 16) for one in text.split(","))


SPECIFICATION = Hello(
    0x0303,
    numbers("1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"),
    numbers("001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015"),
    sni=b"x.example",
    alpn=(b"h2",),
    versions=(0x0304, 0x0303),
    signatures=numbers("0403,0804,0401,0503,0805,0501,0806,0601"),
)


def test_ja4_is_as_its_specification_has_it():
    assert hello.ja4(SPECIFICATION) == "t13d1516h2_8daaf6152771_e5627efa2ab1"


def test_ja4_without_signature_algorithms_is_as_its_specification_has_it():
    from dataclasses import replace

    assert hello.ja4(replace(SPECIFICATION, signatures=())) == "t13d1516h2_8daaf6152771_6d807ffa2a79"


@pytest.mark.parametrize(
    ("protocol", "characters"),
    [
        (b"\xab", "ab"),
        (b"\xab\xcd", "ad"),
        (b"\x30\xab", "3b"),
        (b"\x30\x31\xab\xcd", "3d"),
        (b"\x30\xab\xcd\x31", "01"),
        (b"http/1.1", "h1"),
        (b"", "00"),
        (b"a", "aa"),
    ],
)
def test_ja4_names_the_first_protocol_as_its_specification_has_it(protocol, characters):
    assert hello.ja4(Hello(0x0303, alpn=(protocol,))) == f"t12i0000{characters}_000000000000_000000000000"


CURL = bytes.fromhex(  # curl 7.88.1 with OpenSSL 3.0; random, session and key share blanked
    "1603010200010001fc0303"
    + "00" * 32
    + "20"
    + "00" * 32
    + "003e130213031301c02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c02700"
    "67c00ac0140039c009c0130033009d009c003d003c0035002f00ff0100017500000013001100000e766563746f722e6578616d706c65000b000403000102000a0016"
    "0014001d0017001e00190018010001010102010301040010000e000c02683208687474702f312e31001600000017000000310000000d002a00280403050306030807"
    "08080809080a080b080408050806040105010601030303010302040205020602002b0009080304030303020301002d00020101003300260024001d0020"
    + "00" * 32
    + "001500af"
    + "00" * 175
)


def test_curl_has_the_fingerprints_that_it_is_known_by():
    details = recognise(CURL, 443).details["tls"]
    assert details["ja3"] == "0149f47eabf9a20d0893e2a44e5a6323"
    assert details["ja4"] == "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"
    assert details["sni"] == "vector.example"


# Parsing


def test_a_hello_of_openssl_is_read_whole():
    seen = hello.of_stream(client_hello())
    assert seen is not None
    assert (seen.sni, seen.alpn, seen.complete, seen.sslv2) == (b"pool.example", (b"h2", b"http/1.1"), True, False)
    assert seen.versions[:2] == (0x0304, 0x0303)


def test_a_hello_without_a_name_has_none():
    details = recognise(client_hello(sni=None, alpn=("h2",), highest=ssl.TLSVersion.TLSv1_2), 443).details["tls"]
    assert "sni" not in details
    assert details["versions"] == ["TLS 1.2"]
    assert details["ja4"].startswith("t12i")


@pytest.mark.parametrize("sizes", [(1,), (1, 1, 1), (0, 5, 0, 0, 40), (100, 100)])
def test_a_hello_split_into_records_is_the_same_hello(sizes):
    whole = client_hello()
    assert hello.of_stream(records(whole[5:], *sizes)) == hello.of_stream(whole)


def test_a_hello_cut_short_says_so_and_has_no_fingerprint():
    heard = recognise(client_hello()[:120], 443)
    assert heard.service == "tls"
    assert heard.details["tls"]["complete"] is False
    assert "ja4" not in heard.details["tls"]


def test_every_prefix_of_a_hello_is_tls_and_no_error():
    whole = client_hello()
    for size in range(3, len(whole)):
        assert recognise(whole[:size], 1).service == "tls"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("connect.eu.ngrok-agent.com", "ngrok"),
        ("tunnel.us.ngrok.com", "ngrok"),
        ("region1.v2.argotunnel.com", "cloudflared"),
        ("h2.cftunnel.com", "cloudflared"),
        ("derp4.tailscale.com", "tailscale"),
        ("ngrok.com", None),
        ("www.tailscale.com", None),
        ("ngrok-agent.com.example", None),
    ],
)
def test_a_tool_is_known_by_the_host_that_only_it_calls(name, family):
    assert recognise(client_hello(sni=name), 443).details["tls"].get("family") == family


def test_sslv2s_form_is_known():
    ciphers = bytes.fromhex("00002f000035000005")
    message = b"\x01\x03\x01" + len(ciphers).to_bytes(2, "big") + b"\0\0\0\x10" + ciphers + bytes(16)
    heard = recognise((0x8000 | len(message)).to_bytes(2, "big") + message, 443)
    assert heard.service == "tls"
    assert heard.details["tls"]["sslv2"] is True
    assert heard.details["tls"]["versions"] == ["TLS 1.0"]


def test_grease_counts_nowhere_and_ech_is_told():
    def extension(kind: int, value: bytes) -> bytes:
        return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value

    extensions = extension(0x3A3A, b"") + extension(0xFE0D, bytes(10)) + extension(43, b"\x04\x1a\x1a\x03\x04")
    body = (
        b"\x03\x03"
        + bytes(32)
        + b"\0"
        + b"\0\4\x0a\x0a\x13\x01"
        + b"\1\0"
        + len(extensions).to_bytes(2, "big")
        + extensions
    )
    details = recognise(records(b"\1" + len(body).to_bytes(3, "big") + body), 443).details["tls"]
    assert details["ech"] is True
    assert details["versions"] == ["TLS 1.3"]
    assert details["ja4"].startswith("t13i010200_")


# Clients


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_http_in_tls_is_heard_and_both_are_told():
    with answering(443) as sink:
        client = http.client.HTTPSConnection("127.0.0.1", sink.port, context=trusting(), timeout=5)
        client.request("GET", "/wanted?token=abcdef", headers={"Host": "h.example", "Accept": "application/json"})
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"{}")
        client.close()
        [told] = sink.ended()
    assert told.services == ["tls", "http"]
    assert told.details["layers"] == ["tls", "http"]
    assert told.details["http"]["host"] == "h.example"
    assert told.details["http"]["path"] == "/wanted?token=***"
    assert told.details["tls"]["chosen"].startswith("TLS 1.3")
    assert told.spoken.first[0] == 22


def test_the_certificate_has_the_name_that_was_asked_for_and_is_made_once():
    keys = Keys()
    with answering(443, keys=keys) as sink:
        seen = []
        for name in ("a.example", "a.example", "b.example"):
            context = trusting()
            with context.wrap_socket(sink.connect(), server_hostname=name) as client:
                seen.append(client.getpeercert(binary_form=True))
        sink.ended(3)
    assert seen[0] == seen[1] != seen[2]
    assert b"a.example" in seen[0]
    assert b"b.example" in seen[2]


def test_a_client_that_trusts_no_strangers_refuses_and_its_alert_is_told():
    context = ssl.create_default_context()
    with answering(443) as sink:
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(sink.connect(), server_hostname="pinned.example")
        [told] = sink.ended()
    assert told.details["tls"]["refused"] == "unknown ca"
    assert told.details["tls"]["sni"] == "pinned.example"
    assert told.service == "tls"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("ciphers", [(), ("-cipher", "ECDHE-RSA-AES128-GCM-SHA256")])
def test_openssls_own_client_gets_through(version, ciphers):
    with answering(8443) as sink:
        command = [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{sink.port}",
            "-servername",
            "s.example",
            version,
            "-quiet",
            "-ign_eof",
        ]
        if version == "-tls1_2":
            command += ciphers
        done = subprocess.run(
            command,
            check=False,
            input=b"GET / HTTP/1.0\r\nUser-Agent: s_client\r\n\r\n",
            capture_output=True,
            timeout=10,
        )
        [told] = sink.ended()
    assert b"HTTP/1.1 200" in done.stdout
    assert told.details["http"]["agent"] == "s_client"
    assert told.details["tls"]["chosen"].startswith({"-tls1_2": "TLS 1.2", "-tls1_3": "TLS 1.3"}[version])


def test_a_hello_that_comes_byte_by_byte_is_answered():
    whole = client_hello()
    with answering(443) as sink, sink.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(whole), 40):
            client.sendall(whole[at : at + 40])
            sink.until(lambda c: c, 1)
        assert client.recv(3) == b"\x16\x03\x03"
        client.close()
        [told] = sink.ended()
    assert told.details["tls"]["complete"] is True
    assert told.details["tls"]["refused"] == "closed"


def test_without_cryptography_the_hello_is_told_and_the_silence_explained(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cryptography", None)
    with answering(443) as sink, sink.connect() as client:
        client.sendall(client_hello())
        assert client.recv(100) == b""
        [told] = sink.ended()
    assert told.details["unanswered"] == "cryptography is not installed"
    assert told.details["tls"]["sni"] == "pool.example"


# QUIC and DTLS

QUIC_HELLO = bytes.fromhex(  # RFC 9001, appendix A.2
    "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c000000010000e00000b65"
    "78616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa4"
    "7fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c0002"
    "4001003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff"
)


def rfc9001_initial() -> bytes:
    """The packet of appendix A.2, sealed with the keys that appendix A.1 prints."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import ECB

    header = bytes.fromhex("c300000001088394c8f03e5157080000449e00000002")
    sealed = AESGCM(bytes.fromhex("1f369613dd76d5467730efcbe3b1a22d")).encrypt(
        bytes.fromhex("fa044b2f42a3fd3b46fb255e"), QUIC_HELLO.ljust(1162, b"\0"), header
    )
    encryptor = Cipher(AES(bytes.fromhex("9f50449e04a0e810283a1e9933adedd2")), ECB()).encryptor()
    mask = encryptor.update(sealed[:16])
    assert mask[:5].hex() == "437b9aec36"  # as the appendix has it
    return (
        bytes((header[0] ^ mask[0] & 0x0F,))
        + header[1:18]
        + bytes(a ^ b for a, b in zip(header[18:], mask[1:5], strict=True))
        + sealed
    )


def test_the_quic_packet_of_rfc_9001_has_its_name():
    packet = rfc9001_initial()
    assert packet.hex().startswith("c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9b")
    heard, answer = datagram(packet, 443)
    assert answer is None
    assert heard.service == "quic"
    assert heard.details["quic"]["sni"] == "example.com"
    assert heard.details["quic"]["alpn"] == ["alpn"]
    assert heard.details["quic"]["version"] == "1"
    assert heard.details["quic"]["ja4"].startswith("q13d02")


def test_a_quic_packet_that_cannot_be_read_is_quic_and_says_so():
    packet = bytearray(rfc9001_initial())
    packet[-1] ^= 1
    heard, _ = datagram(bytes(packet), 443)
    assert heard.details["quic"] == {"version": "1", "unread": "its first packet cannot be decrypted"}


def test_crypto_frames_in_any_order_make_one_hello():
    message = QUIC_HELLO[4:]
    second = b"\x06\x40\x64" + (0x4000 | len(message) - 100).to_bytes(2, "big") + message[100:]
    first = b"\x06\x00\x40\x64" + message[:100]
    assert quic._crypto(second + b"\0\0\1" + first) == message


def test_dtls_has_the_same_words():
    whole = client_hello(highest=ssl.TLSVersion.TLSv1_2)
    body = whole[9:]
    session = 35 + body[34]
    body = b"\xfe\xfd" + body[2:session] + b"\0" + body[session:]
    message = b"\1" + len(body).to_bytes(3, "big") + b"\0\0\0\0\0" + len(body).to_bytes(3, "big") + body
    packet = b"\x16\xfe\xfd" + bytes(8) + len(message).to_bytes(2, "big") + message
    heard, _ = datagram(packet, 4433)
    assert heard.service == "dtls"
    assert heard.details["dtls"]["sni"] == "pool.example"
    assert heard.details["dtls"]["ja4"].startswith("dd2d")
