"""Datagrams that are known by their shape; a few get an answer that keeps their sender going.

Each function says where its bytes are published.
"""

import re
import struct
import time
from collections.abc import Callable

from scanner.model import Json
from scanner.runtime.sinkhole.answers import hello
from scanner.runtime.sinkhole.answers.protocol import Speaker, shown
from scanner.runtime.sinkhole.answers.values import Heard

_Known = tuple[Heard, bytes | None]


def _of(service: str, answer: bytes | None = None, **facts: Json) -> _Known:
    return Heard(service, {service: facts}), answer


def _wireguard(data: bytes, port: int) -> _Known | None:  # noqa: ARG001
    """WireGuard's paper, 5.4: a type in four bytes and messages of a fixed size."""
    kind = {(1, 148): "initiation", (2, 92): "response", (3, 64): "cookie"}.get(
        (int.from_bytes(data[:4], "little"), len(data))
    )
    return _of("wireguard", message=kind, sender=data[4:8].hex()) if kind else None


def _dtls(data: bytes, port: int) -> _Known | None:  # noqa: ARG001
    """RFC 6347: a handshake record of version 0xfeff or 0xfefd."""
    if len(data) < 25 or data[0] != 22 or data[1] != 0xFE or data[2] not in (0xFF, 0xFD) or data[13] != 1:
        return None
    return Heard("dtls", {"dtls": hello.described(hello.of_message(data[13:], dtls=True), "d")}), None


def _stun(data: bytes, port: int) -> _Known | None:  # noqa: ARG001
    """RFC 8489 5; RFC 8656 for TURN. A binding request is told that it comes from a documentation address."""
    if (
        len(data) < 20
        or data[0] & 0xC0
        or data[4:8] != b"\x21\x12\xa4\x42"
        or len(data) != 20 + int.from_bytes(data[2:4], "big")
    ):
        return None
    kind = int.from_bytes(data[:2], "big")
    name = {1: "binding", 3: "allocate", 4: "refresh", 6: "send", 8: "create-permission", 9: "channel-bind"}.get(
        kind, f"0x{kind:04x}"
    )
    answer = None
    if kind == 1:
        mapped = bytes(a ^ b for a, b in zip(b"\x9c\x40\xc0\0\2\1", data[4:6] + data[4:8], strict=True))
        answer = b"\1\1\0\x0c" + data[4:20] + b"\0\x20\0\x08\0\1" + mapped
    return _of("stun", answer, method=name, turn=kind in (3, 4, 6, 8, 9))


def _ntp(data: bytes, port: int) -> _Known | None:
    """RFC 5905 7.3: a client asks (mode 3) and is told the time."""
    version, mode = data[0] >> 3 & 7, data[0] & 7
    if mode != 3 or not 1 <= version <= 4 or len(data) < 48 or (port != 123 and len(data) != 48) or data[1] > 16:
        return None
    seconds, part = divmod(time.time() + 2208988800, 1)
    now = struct.pack(">II", int(seconds) & 0xFFFFFFFF, int(part * (1 << 32)))
    head = bytes((version << 3 | 4, 2, data[2], 0xEC)) + b"\0\0\0\0\0\0\0\1" + b"\xc0\0\2\1"
    return _of("ntp", head + now + data[40:48] + now + now, version=version)


def _snmp(data: bytes, port: int) -> _Known | None:  # noqa: ARG001
    """RFC 3416, RFC 3412: a sequence that begins with its version. The community is a password, and told to nobody."""
    at = 2 + (data[1] & 0x7F if data[1:2] > b"\x80" else 0) if len(data) > 8 else 0
    if (
        data[:1] != b"\x30"
        or not 2 <= at <= 4
        or data[at : at + 2] != b"\2\1"
        or data[at + 2 : at + 3] not in (b"\0", b"\1", b"\3")
    ):
        return None
    return (
        _of("snmp", version={0: "1", 1: "2c", 3: "3"}[data[at + 2]])
        if data[at + 3 : at + 4] in (b"\4", b"\x30")
        else None
    )


def _ike(data: bytes, port: int) -> _Known | None:
    """RFC 7296 3.1; on port 4500 behind four zero bytes (RFC 3948)."""
    body = data[4:] if port == 4500 and data[:4] == b"\0\0\0\0" else data
    if (
        len(body) < 28
        or body[17] not in (0x10, 0x20)
        or int.from_bytes(body[24:28], "big") != len(body)
        or body[:8] == bytes(8)
    ):
        return None
    return _of("ike", version=body[17] >> 4, exchange=body[18])


def _openvpn(data: bytes, port: int) -> _Known | None:
    """A client's hard reset (opcode 7 or 10), bare, with an HMAC, or wrapped: the packet's number 1 has one of a few places."""
    if data[0] not in (0x38, 0x50) or not 14 <= len(data) <= 1200:
        return None
    plain = len(data) == 14 and data[9:] == b"\0\0\0\0\0"
    number = any(data[9 + n : 13 + n] == b"\0\0\0\1" for n in (0, 16, 20, 32, 64))
    return _of("openvpn", transport="udp") if plain or number or port == 1194 else None


def _ssdp(data: bytes, port: int) -> _Known | None:  # noqa: ARG001
    """UPnP Device Architecture 1.3."""
    if not data.startswith((b"M-SEARCH * HTTP/1.1", b"NOTIFY * HTTP/1.1")):
        return None
    wanted = re.search(rb"\r\nS?NT:[ \t]*([^\r\n]{1,200})|\r\nST:[ \t]*([^\r\n]{1,200})", data[:1500], re.IGNORECASE)
    return _of("ssdp", method=shown(data.partition(b" ")[0]), target=shown(wanted[1] or wanted[2]) if wanted else None)


def _netbios(data: bytes, port: int) -> _Known | None:
    """RFC 1002 4.2: a name in half bytes, A to P."""
    if port not in (137, 138) or len(data) < 50:
        return None
    found = re.search(rb"\x20([A-P]{32})\0", data[12:120])
    if found is None:
        return None
    name = bytes((found[1][i] - 65) << 4 | (found[1][i + 1] - 65) for i in range(0, 30, 2))
    return _of("netbios", name=shown(name.rstrip(b" \0")))


def _syslog(data: bytes, port: int) -> _Known | None:
    """RFC 5424, RFC 3164: a priority in angle brackets."""
    found = re.match(rb"<(\d{1,3})>", data)
    if not found or int(found[1]) > 191 or (port != 514 and not re.match(rb"<\d{1,3}>(?:1 |[A-Z][a-z]{2} )", data)):
        return None
    return _of("syslog", text=shown(data, 120))


def _dhcp(data: bytes, port: int) -> _Known | None:  # noqa: ARG001
    """RFC 2131 3: the magic cookie."""
    return _of("dhcp") if data[236:240] == b"\x63\x82\x53\x63" and data[0] in (1, 2) else None


def _bittorrent(data: bytes, port: int) -> _Known | None:  # noqa: ARG001
    """BEP 5 (the DHT's messages), BEP 15 (a tracker's connect request)."""
    if data[:8] == b"\0\0\4\x17\x27\x10\x19\x80" and len(data) == 16:
        return _of("bittorrent", message="tracker")
    if data[:1] == b"d" and (
        found := re.search(rb"1:q(?:4:ping|9:find_node|9:get_peers|13:announce_peer)1:t", data[:400])
    ):
        return _of("bittorrent", message="dht " + shown(found[0][3:-3].partition(b":")[2]))
    return None


def _tailscale(data: bytes, port: int) -> _Known | None:  # noqa: ARG001
    """tailscale, disco/disco.go: a magic of six bytes."""
    return _of("tailscale", message="disco") if data[:6] == b"TS\xf0\x9f\x92\xac" else None


def _tftp(data: bytes, port: int) -> _Known | None:
    """RFC 1350: a file's name and a mode."""
    found = re.match(rb"\0[\1\2]([\x20-\x7e]{1,200})\0(?:netascii|octet)\0", data, re.IGNORECASE)
    return _of("tftp", path=shown(found[1]), write=data[1] == 2) if found and port else None


_SHAPES: tuple[Callable[[bytes, int], _Known | None], ...] = (
    _wireguard,
    _dtls,
    _stun,
    _tailscale,
    _ssdp,
    _dhcp,
    _bittorrent,
    _tftp,
    _netbios,
    _ike,
    _snmp,
    _ntp,
    _openvpn,
    _syslog,
)


def datagram(data: bytes, port: int) -> _Known | None:
    return next((known for shape in _SHAPES if data and (known := shape(data, port))), None)


PLUGIN = Speaker("datagrams", datagram=datagram)
