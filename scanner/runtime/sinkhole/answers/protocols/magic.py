"""Streams that are known by their first bytes and need no answer to be known.

Each entry says where its bytes are published.
"""

import json
import re

from scanner.model import Json
from scanner.runtime.sinkhole.answers.protocol import Speaker, Talk, shown
from scanner.runtime.sinkhole.answers.stream import Stream
from scanner.runtime.sinkhole.answers.values import Heard

# bitcoin's chainparams.cpp, and the same file of its children: message start, then a command's twelve bytes
_COINS = {
    b"\xf9\xbe\xb4\xd9": "bitcoin",
    b"\x0b\x11\x09\x07": "bitcoin testnet",
    b"\x0a\x03\xcf\x40": "bitcoin signet",
    b"\xfa\xbf\xb5\xda": "bitcoin regtest",
    b"\xfb\xc0\xb6\xdb": "litecoin",
    b"\xc0\xc0\xc0\xc0": "dogecoin",
    b"\x24\xe9\x27\x64": "zcash",
    b"\xe3\xe1\xf3\xe8": "bitcoin cash",
}
_BEGINS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x13BitTorrent protocol", "bittorrent", ""),  # BEP 3
    (b"\x01\x21\x01\x01\x01\x01\x01\x01", "levin", "monero"),  # monero, contrib/epee/include/net/levin_base.h
    (b"JDWP-Handshake", "jdwp", ""),
    (b"CNXN\0\0\0\1", "adb", ""),
    (b"RFB 00", "vnc", ""),  # RFC 6143
    (b"@RSYNCD: ", "rsync", ""),
    (b"<?xml version='1.0'?><stream:stream", "xmpp", ""),
    (b"<stream:stream", "xmpp", ""),
    (b'<?xml version="1.0"?><stream:stream', "xmpp", ""),
    (b"JRMI\0", "rmi", ""),
)
_TEXTS = (
    (re.compile(rb"(?:REGISTER|INVITE|OPTIONS|SUBSCRIBE) sips?:"), "sip"),
    (re.compile(rb"(?:OPTIONS|DESCRIBE|SETUP|PLAY) rtsp://", re.IGNORECASE), "rtsp"),
    (re.compile(rb"[0-9a-f]{4}git-(?:upload|receive)-pack "), "git"),
    (re.compile(rb"(?:get|set|stats|version)(?: [^\r\n]{0,200})?\r\n"), "memcached"),
    (re.compile(rb'\{"(?:Hello|Authenticate|Accept)":'), "bore"),  # bore, src/shared.rs
)


def recognise(first: bytes, port: int) -> Heard | None:  # noqa: ARG001 -- of any port
    if (coin := _COINS.get(first[:4])) and re.match(rb"[a-z]{2,12}\0*", first[4:16]):
        return Heard("bitcoin", {"bitcoin": {"network": coin, "command": shown(first[4:16].rstrip(b"\0"))}})
    for begin, service, network in _BEGINS:
        if first.startswith(begin):
            return Heard(service, {service: {"network": network} if network else {}})
    for shape, service in _TEXTS:
        if shape.match(first):
            return Heard(service, {service: {"line": shown(first.partition(b"\n")[0].rstrip(b"\r"))}})
    return _tor(first) or _openvpn(first) or _windows(first) or _rathole(first) or _frp(first)


def _tor(first: bytes) -> Heard | None:
    """A VERSIONS cell (tor-spec, "Negotiating versions"): circuit 0 in two bytes, command 7, a list of small numbers."""
    size = int.from_bytes(first[3:5], "big")
    if first[:3] != b"\0\0\7" or not 2 <= size <= 32 or size % 2 or len(first) < 5 + size:
        return None
    versions = [int.from_bytes(first[at : at + 2], "big") for at in range(5, 5 + size, 2)]
    return Heard("tor", {"tor": {"versions": list(versions)}}) if all(0 < v < 32 for v in versions) else None


def _openvpn(first: bytes) -> Heard | None:
    """A client's hard reset behind its length (OpenVPN's protocol doxygen; opcode 7 or 10 in the upper five bits)."""
    size = int.from_bytes(first[:2], "big")
    if first[2:3] not in (b"\x38", b"\x50") or not 14 <= size <= 1100 or len(first) < 16:
        return None
    plain = size == 14 and first[11:16] == b"\0\0\0\0\0"
    wrapped = size > 14 and (
        first[11:15] == b"\0\0\0\1" or any(first[11 + n : 15 + n] == b"\0\0\0\1" for n in (16, 20, 32, 64))
    )
    return Heard("openvpn", {"openvpn": {"transport": "tcp"}}) if plain or wrapped else None


def _windows(first: bytes) -> Heard | None:
    if first[:2] == b"\3\0" and len(first) >= 7 and first[5] == 0xE0:  # X.224 connection request (MS-RDPBCGR 2.2.1.1)
        cookie = re.search(rb"mstshash=([^\r\n]{1,64})", first[:200])
        return Heard("rdp", {"rdp": {"user": shown(cookie[1])} if cookie else {}})
    if first[:1] == b"\0" and first[4:8] in (b"\xffSMB", b"\xfeSMB"):  # MS-SMB2 2.1
        return Heard("smb", {"smb": {"version": 1 if first[4] == 0xFF else 2}})
    if first[:1] == b"\x30" and re.match(
        rb"\x30.{1,5}\x02\x01.\x60.{1,5}\x02\x01[\2\3]", first[:20], re.DOTALL
    ):  # RFC 4511
        return Heard("ldap", {"ldap": {}})
    return None


def _rathole(first: bytes) -> Heard | None:
    """A hello and nothing behind it (rapiz1/rathole, src/protocol.rs, as bincode writes it): which channel, a version, a digest."""
    channel = {0: "control", 1: "data"}.get(int.from_bytes(first[:4], "little"))
    if len(first) != 37 or channel is None or first[4] > 1 or len(set(first[5:])) < 16:
        return None
    return Heard("rathole", {"rathole": {"channel": channel, "version": first[4]}})


def _frp(first: bytes) -> Heard | None:
    """frp's login, bare, in yamux's first frames, or TLS behind the byte that frp sets before it.

    fatedier/frp: pkg/msg/msg.go (type `o`, eight bytes of length, JSON), pkg/util/net/tls.go (0x17); hashicorp/yamux, spec.md.
    """
    if first[:1] == b"\x17" and first[1:3] == b"\x16\3":
        return Heard("frp", {"frp": {"tls": True}})
    inner, yamux = first, False
    while len(inner) >= 12 and inner[0] == 0 and inner[1] < 4 and int.from_bytes(inner[2:4], "big") < 16:
        kind, stream, size = inner[1], int.from_bytes(inner[4:8], "big"), int.from_bytes(inner[8:12], "big")
        if kind < 2 and not 0 < stream < 1 << 16:
            break
        yamux, inner = True, inner[12:]
        if kind == 0 and size:
            break
    if inner[:1] == b"o" and inner[1:6] == b"\0\0\0\0\0" and inner[9:10] == b"{":
        return Heard("frp", {"frp": _login(inner[9:])})
    return Heard("yamux", {"yamux": {}}) if yamux else None


def _login(text: bytes) -> dict[str, Json]:
    try:
        value, _ = json.JSONDecoder().raw_decode(text[:4096].decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    names = ("version", "hostname", "os", "arch", "user", "run_id")
    return {
        name: shown(value[name], 60) for name in names if isinstance(value, dict) and isinstance(value.get(name), str)
    }


async def frp(talk: Talk, heard: Heard) -> None:
    """TLS behind frp's own byte is TLS. Raises Over."""
    facts = heard.details["frp"]
    if isinstance(facts, dict) and facts.get("tls"):
        await talk.stream.take(1)
        await talk.inside(talk.stream)
        return
    await _rest(talk.stream)


async def _rest(stream: Stream) -> None:
    while True:
        await stream.some()


PLUGIN = Speaker("magic", recognise=recognise, converse={"frp": frp})
