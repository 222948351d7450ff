"""QUIC's first packet (RFC 9000 17.2.2), whose ClientHello is encrypted with keys that anybody can derive (RFC 9001 5.2, RFC 9369).

Opened where cryptography is installed: then it has a name. One that is spread over more datagrams than the first has none.
"""

from scanner.model import Json
from scanner.runtime.sinkhole.answers import hello
from scanner.runtime.sinkhole.answers.protocol import Speaker
from scanner.runtime.sinkhole.answers.values import Heard

_VERSIONS: dict[int, tuple[str, bytes, str, int]] = {
    # name, salt, prefix of labels, type of an Initial packet
    1: ("1", bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), "quic ", 0),
    0x6B3343CF: ("2", bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), "quicv2 ", 1),
    0xFF00001D: ("draft-29", bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899"), "quic ", 0),
}
_SMALLEST = 1200
"""RFC 9000 14.1: a client's Initial is padded to this."""
_FRAMES = 500


def datagram(data: bytes, port: int) -> tuple[Heard, bytes | None] | None:  # noqa: ARG001 -- of any port
    if len(data) < _SMALLEST or data[0] & 0xC0 != 0xC0:
        return None
    version = int.from_bytes(data[1:5], "big")
    known = _VERSIONS.get(version)
    if known is None:
        # a version to be negotiated, a draft, or Google's own
        odd = version & 0x0F0F0F0F == 0x0A0A0A0A or version >> 8 == 0xFF0000 or data[1:2] in b"QT"
        return (Heard("quic", {"quic": {"version": f"0x{version:08x}"}}), None) if odd else None
    facts: dict[str, Json] = {"version": known[0]}
    if (data[0] >> 4 & 3) == known[3]:
        try:
            message = _crypto(_opened(data, *known[1:3]))
        except ImportError:
            facts["unread"] = "cryptography is not installed"
        except (_Unreadable, IndexError):
            facts["unread"] = "its first packet cannot be decrypted"
        else:
            facts |= hello.described(hello.of_message(message), "q")
    return Heard("quic", {"quic": facts}), None


class _Unreadable(Exception):
    """Not a packet that a client makes, or one of a hello that begins elsewhere."""


def _opened(data: bytes, salt: bytes, prefix: str) -> bytes:
    """The frames of an Initial packet. Raises _Unreadable, IndexError, ImportError."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import ECB
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.hmac import HMAC

    def mac(key: bytes, text: bytes) -> bytes:
        made = HMAC(key, SHA256())
        made.update(text)
        return made.finalize()

    def expanded(secret: bytes, label: str, size: int) -> bytes:
        """HKDF-Expand-Label (RFC 8446 7.1) for sizes of one block."""
        name = b"tls13 " + label.encode()
        return mac(secret, size.to_bytes(2, "big") + bytes((len(name),)) + name + b"\0" + b"\1")[:size]

    at = 5
    destination = data[at + 1 : at + 1 + data[at]]
    at += 1 + data[at]
    at += 1 + data[at]
    token, at = _number(data, at)
    length, at = _number(data, at + token)
    if len(destination) > 20 or len(data) < at + length or length < 20:
        raise _Unreadable
    client = expanded(mac(salt, destination), "client in", 32)
    key, iv, hidden = (expanded(client, prefix + name, size) for name, size in (("key", 16), ("iv", 12), ("hp", 16)))
    encryptor = Cipher(AES(hidden), ECB()).encryptor()  # noqa: S305 -- RFC 9001 5.4.3 masks headers so
    mask = encryptor.update(data[at + 4 : at + 20])
    first = data[0] ^ (mask[0] & 0x0F)
    size = (first & 3) + 1
    number = bytes(a ^ b for a, b in zip(data[at : at + size], mask[1:], strict=False))
    header = bytes((first,)) + data[1:at] + number
    nonce = bytes(a ^ b for a, b in zip(iv, number.rjust(12, b"\0"), strict=True))
    try:
        return AESGCM(key).decrypt(nonce, data[at + size : at + length], header)
    except InvalidTag:
        raise _Unreadable from None


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer (RFC 9000 16) and where it ends. Raises IndexError."""
    size = 1 << (data[at] >> 6)
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


def _crypto(frames: bytes) -> bytes:
    """The handshake's bytes from its beginning, put in order from CRYPTO frames. Raises _Unreadable, IndexError."""
    pieces: dict[int, bytes] = {}
    at = 0
    while at < len(frames) and len(pieces) < _FRAMES:
        kind = frames[at]
        at += 1
        if kind in (0, 1):
            continue
        if kind != 6:
            break
        offset, at = _number(frames, at)
        size, at = _number(frames, at)
        pieces[offset] = frames[at : at + size]
        at += size
    message = b""
    for offset in sorted(pieces):
        if offset > len(message):
            break
        message = message[:offset] + pieces[offset]
    if message[:1] != b"\1":
        raise _Unreadable
    return message


PLUGIN = Speaker("quic", datagram=datagram)
