"""What a frame on the wire is: who sends what to whom. Every byte of it is the guest's, and may be a lie.

Formats: RFC 791, RFC 8200 (extension headers), RFC 9293, RFC 768, RFC 792, RFC 4443, RFC 826.
"""

import socket
import struct
from dataclasses import dataclass
from typing import Final

ETHERNET: Final = 14
_IPV4, _ARP, _IPV6 = 0x0800, 0x0806, 0x86DD
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION, _NOTHING = 0, 43, 44, 51, 60, 59
_EXTENSIONS = 8
"""Headers looked through; who has more hides something, and is shown as the header that comes next."""

NAMES: Final = {
    1: "icmp",
    2: "igmp",
    6: "tcp",
    17: "udp",
    33: "dccp",
    47: "ip-47",
    58: "icmp6",
    132: "sctp",
    136: "udplite",
}
PORTED: Final = frozenset({"tcp", "udp", "dccp", "sctp", "udplite"})
FLAGS: Final = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")

SYN, RST, ACK = 0x02, 0x04, 0x10

ICMP_TYPES: Final = {
    0: "echo-reply",
    3: "destination-unreachable",
    4: "source-quench",
    5: "redirect",
    8: "echo-request",
    9: "router-advertisement",
    10: "router-solicitation",
    11: "time-exceeded",
    12: "parameter-problem",
    13: "timestamp-request",
    14: "timestamp-reply",
    17: "address-mask-request",
}
ICMP6_TYPES: Final = {
    1: "destination-unreachable",
    2: "packet-too-big",
    3: "time-exceeded",
    4: "parameter-problem",
    128: "echo-request",
    129: "echo-reply",
    130: "multicast-listener-query",
    131: "multicast-listener-report",
    132: "multicast-listener-done",
    133: "router-solicitation",
    134: "router-advertisement",
    135: "neighbour-solicitation",
    136: "neighbour-advertisement",
    137: "redirect",
    143: "multicast-listener-report",
}


@dataclass(frozen=True, slots=True)
class Packet:
    """`protocol` as an Attempt has it; `arp`, `eth-88cc` (in hexadecimal) for what is no IP; `ip-N` for protocols without a name.

    `payload` is what was captured behind the headers that are known here, `length` how long it was on the wire. `kind`
    is the type of an ICMP message, the flags of a TCP segment. `fragment`: the header of what is inside is in another packet.
    `first_fragment`: others belong to this one. `segment` TCP's flags.
    """

    protocol: str
    source: str
    target: str
    source_port: int | None = None
    target_port: int | None = None
    payload: bytes = b""
    length: int = 0
    kind: str = ""
    flags: int = 0
    fragment: bool = False
    first_fragment: bool = False


def parse(frame: bytes) -> Packet | None:
    """The packet of an Ethernet frame (its start, as far as it was captured); None for what is shorter than a header.

    What is cut off within a known header is shown without ports or kind. Never raises.
    """
    if len(frame) < ETHERNET:
        return None
    kind = struct.unpack_from(">H", frame, 12)[0]
    if kind == _IPV4 and len(frame) >= ETHERNET + 20 and frame[ETHERNET] >> 4 == 4:
        return _ipv4(frame)
    if kind == _IPV6 and len(frame) >= ETHERNET + 40 and frame[ETHERNET] >> 4 == 6:
        return _ipv6(frame)
    body = frame[ETHERNET:]
    if kind == _ARP and len(body) >= 28 and body[4:6] == b"\x06\x04":
        source, target = socket.inet_ntoa(body[14:18]), socket.inet_ntoa(body[24:28])
        return Packet("arp", source, target, payload=body[28:], length=len(body) - 28)
    return Packet(f"eth-{kind:04x}", frame[6:12].hex(":"), frame[0:6].hex(":"), payload=body, length=len(body))


def _ipv4(frame: bytes) -> Packet:
    at = ETHERNET
    header = max(20, (frame[at] & 0xF) * 4)
    total, _, fragment = struct.unpack_from(">HHH", frame, at + 2)
    protocol = frame[at + 9]
    source, target = socket.inet_ntoa(frame[at + 12 : at + 16]), socket.inet_ntoa(frame[at + 16 : at + 20])
    length = max(0, total - header)
    return _inside(
        frame[at + header :], length, protocol, source, target, bool(fragment & 0x1FFF), bool(fragment & 0x2000)
    )


def _ipv6(frame: bytes) -> Packet:
    at = ETHERNET
    length, following = struct.unpack_from(">HB", frame, at + 4)
    source = socket.inet_ntop(socket.AF_INET6, frame[at + 8 : at + 24])
    target = socket.inet_ntop(socket.AF_INET6, frame[at + 24 : at + 40])
    at += 40
    later = more = False
    for _ in range(_EXTENSIONS):
        if following not in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION) or len(frame) < at + 8:
            break
        if following == _FRAGMENT:
            offset = struct.unpack_from(">H", frame, at + 2)[0]
            later, more = bool(offset & 0xFFF8), bool(offset & 1)
            size = 8
        elif following == _AUTHENTICATION:
            size = (frame[at + 1] + 2) * 4
        else:
            size = (frame[at + 1] + 1) * 8
        following = frame[at]
        at += size
        length -= size
        if later:
            break
    return _inside(frame[at:], max(0, length), following, source, target, later, more)


def _inside(body: bytes, length: int, number: int, source: str, target: str, later: bool, more: bool) -> Packet:
    """What an IP packet carries. `later`: it is not the first fragment; `more`: others follow."""
    protocol = NAMES.get(number, f"ip-{number}")
    if later:
        return Packet(protocol, source, target, length=length, fragment=True)
    ports: tuple[int | None, int | None] = (None, None)
    header = 0
    kind, flags = "", 0
    if protocol in PORTED:
        if len(body) >= 4:
            ports = struct.unpack_from(">HH", body)
        header = {"tcp": 20, "sctp": 12, "dccp": 12}.get(protocol, 8)
        if protocol == "tcp" and len(body) >= 14:
            header = max(20, (body[12] >> 4) * 4)
            flags = body[13]
            kind = ",".join(name for bit, name in enumerate(FLAGS) if flags >> bit & 1) or "none"
        if protocol == "udp" and len(body) >= 8:
            # of a fragmented datagram, this says how long the whole one is
            length = max(8, struct.unpack_from(">H", body, 4)[0] or length)
    elif protocol in ("icmp", "icmp6") and body:
        header = 8
        kind = (ICMP_TYPES if protocol == "icmp" else ICMP6_TYPES).get(body[0], f"type-{body[0]}")
    return Packet(protocol, source, target, *ports, body[header:], max(0, length - header), kind, flags, False, more)
