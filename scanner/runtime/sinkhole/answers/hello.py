"""A TLS ClientHello: what a client tells of itself before anything is encrypted.

RFC 8446 4.1.2 and RFC 5246 7.4.1.2 (the message), RFC 6066 3 (SNI), RFC 7301 (ALPN), RFC 6347 4.2 (DTLS), RFC 6101 E (SSLv2's
form), RFC 8701 (GREASE), draft-ietf-tls-esni (ECH). Fingerprints: JA3 (salesforce/ja3, README) and JA4 (FoxIO-LLC/ja4,
technical_details/JA4.md; the TLS client's part is under a BSD licence).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import md5, sha256

from scanner.model import Json
from scanner.runtime.sinkhole.answers.families import of_host
from scanner.runtime.sinkhole.answers.protocol import LISTED, shown

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SNI, _GROUPS, _FORMATS, _SIGNATURES, _ALPN, _VERSIONS, _ECH = 0, 10, 11, 13, 16, 43, 0xFE0D
_NAMES = {
    0x0002: "SSL 2.0",
    0x0300: "SSL 3.0",
    0x0301: "TLS 1.0",
    0x0302: "TLS 1.1",
    0x0303: "TLS 1.2",
    0x0304: "TLS 1.3",
    0xFEFF: "DTLS 1.0",
    0xFEFD: "DTLS 1.2",
    0xFEFC: "DTLS 1.3",
}
_JA4_VERSIONS = {
    0x0304: "13",
    0x0303: "12",
    0x0302: "11",
    0x0301: "10",
    0x0300: "s3",
    0x0002: "s2",
    0xFEFF: "d1",
    0xFEFD: "d2",
    0xFEFC: "d3",
}
_RECORDS = 64
"""Records that one hello may be split into; more is no client's way."""


@dataclass(frozen=True, slots=True)
class Hello:
    """`version` is the legacy field, `versions` what supported_versions lists (GREASE left out everywhere). `complete`: nothing
    of the message was missing. `sslv2`: in the old form."""

    version: int
    ciphers: tuple[int, ...] = ()
    extensions: tuple[int, ...] = ()
    sni: bytes | None = None
    alpn: tuple[bytes, ...] = ()
    versions: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    formats: tuple[int, ...] = ()
    signatures: tuple[int, ...] = ()
    complete: bool = False
    sslv2: bool = False

    @property
    def offered(self) -> tuple[int, ...]:
        return self.versions or (self.version,)


def of_stream(data: bytes) -> Hello | None:
    """The hello that a TCP stream begins with, split into records as it may be, as far as it is there; None for no hello."""
    if len(data) >= 3 and data[0] & 0x80 and data[2] == _CLIENT_HELLO:
        return _sslv2(data)
    if len(data) < 3 or data[0] != _HANDSHAKE or data[1] != 3 or data[2] > 4:
        return None
    message = bytearray()
    at = 0
    for _ in range(_RECORDS):
        if len(data) < at + 5 or data[at] != _HANDSHAKE or data[at + 1] != 3:
            break
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        message += data[at + 5 : at + 5 + size]
        at += 5 + size
    if message and message[0] != _CLIENT_HELLO:
        return None
    return of_message(bytes(message))


def of_message(message: bytes, dtls: bool = False) -> Hello:
    """The hello of a handshake message with its header; what is cut off or contradicts itself is left out. Never raises."""
    known: dict[str, int | bytes | tuple[int, ...] | tuple[bytes, ...]] = {}
    complete = False
    reader = _Reader(message)
    try:
        reader.take(1)
        size = reader.number(3)
        if dtls:
            reader.take(8)
        known["version"] = reader.number(2)
        reader.take(32)
        reader.block(1)
        if dtls:
            reader.block(1)
        known["ciphers"] = _honest(_numbers(reader.block(2), 2))
        reader.block(1)
        extensions = []
        inside = _Reader(reader.block(2, whole=False) if reader.left else b"")
        complete = len(message) >= 4 + size + (8 if dtls else 0)
        while inside.left:
            kind = inside.number(2)
            value = inside.block(2)
            if kind not in _GREASE:
                extensions.append(kind)
            known["extensions"] = tuple(extensions)
            known |= _extension(kind, value)
    except _Cut:
        pass
    return Hello(version=0, complete=False) if "version" not in known else Hello(**known, complete=complete)  # type: ignore[arg-type]


def ja3(hello: Hello) -> str:
    """The 32 hex digits of JA3."""
    return md5(ja3_text(hello).encode(), usedforsecurity=False).hexdigest()


def ja3_text(hello: Hello) -> str:
    lists = (hello.ciphers, hello.extensions, hello.groups, hello.formats)
    return ",".join((str(hello.version), *("-".join(map(str, one)) for one in lists)))


def ja4(hello: Hello, transport: str = "t") -> str:
    """JA4; `transport` is t for TCP, q for QUIC, d for DTLS."""
    first = hello.alpn[0] if hello.alpn else b""
    if not first:
        protocol = "00"
    elif _alphanumeric(first[0]) and _alphanumeric(first[-1]):
        protocol = chr(first[0]) + chr(first[-1])
    else:
        protocol = first.hex()[0] + first.hex()[-1]
    begin = (
        transport
        + _JA4_VERSIONS.get(_newest(hello), "00")
        + ("d" if _SNI in hello.extensions else "i")
        + f"{min(len(hello.ciphers), 99):02}{min(len(hello.extensions), 99):02}"
        + protocol
    )
    extensions = _hex(sorted(e for e in hello.extensions if e not in (_SNI, _ALPN)))
    if extensions and hello.signatures:
        extensions += "_" + _hex(hello.signatures)
    return "_".join((begin, _short(_hex(sorted(hello.ciphers))), _short(extensions)))


def described(hello: Hello, transport: str = "t") -> Mapping[str, Json]:
    """The details of a hello, as the package's table has them. A hello that is not complete has no fingerprint."""
    facts: dict[str, Json] = {
        "versions": [_NAMES.get(v, f"0x{v:04x}") for v in hello.offered[:LISTED]],
        "complete": hello.complete,
    }
    if hello.sni is not None:
        facts["sni"] = name = shown(hello.sni)
        if family := of_host(name):
            facts["family"] = family
    if hello.alpn:
        facts["alpn"] = [shown(one, 40) for one in hello.alpn[:LISTED]]
        if b"argotunnel" in hello.alpn:
            facts["family"] = "cloudflared"
    if _ECH in hello.extensions:
        facts["ech"] = True
    if hello.sslv2:
        facts["sslv2"] = True
    elif hello.complete:
        facts |= {"ja3": ja3(hello), "ja4": ja4(hello, transport)}
    return facts


class _Cut(Exception):
    """There are not as many bytes as were promised."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if self.left < count:
            raise _Cut
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def block(self, size: int, whole: bool = True) -> bytes:
        """What a length of `size` bytes promises; not `whole`: as much of it as there is."""
        length = self.number(size)
        return self.take(length if whole else min(length, self.left))


_GREASE = frozenset(0x0A0A + 0x1010 * i for i in range(16))


def _honest(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in numbers if n not in _GREASE)


def _numbers(data: bytes, size: int) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[i : i + size], "big") for i in range(0, len(data) - size + 1, size))


def _extension(kind: int, value: bytes) -> dict[str, bytes | tuple[int, ...] | tuple[bytes, ...]]:
    """What an extension says that matters here. Raises _Cut."""
    reader = _Reader(value)
    match kind:
        case 0 if value:  # a list of names; the host's is of type 0
            names = _Reader(reader.block(2))
            while names.left:
                kind, name = names.number(1), names.block(2)
                if kind == 0:
                    return {"sni": name}
        case 10:
            return {"groups": _honest(_numbers(reader.block(2), 2))}
        case 11:
            return {"formats": _numbers(reader.block(1), 1)}
        case 13:
            return {"signatures": _honest(_numbers(reader.block(2), 2))}
        case 16:
            protocols = _Reader(reader.block(2))
            found: list[bytes] = []
            while protocols.left and len(found) < 64:
                found.append(protocols.block(1))
            return {"alpn": tuple(p for p in found if not (len(p) == 2 and int.from_bytes(p, "big") in _GREASE))}
        case 43:
            return {"versions": _honest(_numbers(reader.block(1), 2))}
    return {}


def _sslv2(data: bytes) -> Hello | None:
    """SSLv2's form (RFC 5246 E.2), which old clients send to servers of any version."""
    reader = _Reader(data)
    try:
        size = reader.number(2) & 0x7FFF
        reader.take(1)
        version = reader.number(2)
        if version != 0x0002 and version >> 8 != 3:
            return None
        ciphers, session, challenge = reader.number(2), reader.number(2), reader.number(2)
    except _Cut:
        return None
    if ciphers % 3 or session not in (0, 16) or not 16 <= challenge <= 32 or size != 9 + ciphers + session + challenge:
        return None
    known = _numbers(data[11 : 11 + ciphers], 3)
    return Hello(version, ciphers=known, complete=len(data) >= 2 + size, sslv2=True)


def _newest(hello: Hello) -> int:
    """DTLS counts downwards."""
    return min(hello.offered) if hello.version >> 8 == 0xFE else max(hello.offered)


def _alphanumeric(byte: int) -> bool:
    return byte < 128 and chr(byte).isalnum()


def _hex(numbers: Iterable[int]) -> str:
    return ",".join(f"{n:04x}" for n in numbers)


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12] if text else "000000000000"
