"""A DNS question (RFC 1035 4.1), wherever it turns up: over HTTPS, over TLS, on a port that is not DNS's."""

from collections.abc import Callable
from dataclasses import dataclass

from scanner.runtime.sinkhole.answers.protocol import shown

_TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 10: "NULL", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR",
    41: "OPT", 43: "DS", 46: "RRSIG", 48: "DNSKEY", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 252: "AXFR", 255: "ANY", 256: "URI",
    257: "CAA", 65399: "PRIVATE",
}  # fmt: skip
_CLASSES = (1, 3, 4, 254, 255, 0x8001, 0x80FF)
"""With the bit that multicast DNS uses for unicast answers."""


@dataclass(frozen=True, slots=True)
class Question:
    """`end` is where the question ends in the message."""

    name: str
    type: str
    end: int


def question(message: bytes) -> Question | None:
    """The one question of a query; None where the bytes are no query, or not all of it."""
    if len(message) < 17 or message[2] & 0xF8 or message[4:6] != b"\0\1":
        return None
    if message[6:10] != b"\0\0\0\0" or message[3] & 0x0F:
        return None
    labels, at = [], 12
    while True:
        if at >= len(message):
            return None
        size = message[at]
        if size == 0:
            break
        if size > 63 or at - 12 > 255:
            return None
        labels.append(message[at + 1 : at + 1 + size])
        at += 1 + size
    kind, network = int.from_bytes(message[at + 1 : at + 3], "big"), int.from_bytes(message[at + 3 : at + 5], "big")
    if len(message) < at + 5 or network not in _CLASSES or kind not in _TYPES:
        return None
    name = ".".join(label.decode("utf-8", "backslashreplace") for label in labels) or "."
    return Question(shown(name, 255), _TYPES[kind], at + 5)


def answer(message: bytes, asked: Question, resolve: Callable[[bytes], bytes | None] | None = None) -> bytes:
    """What the sink's own resolver says, else that there is nothing of that type (RFC 2308's NODATA): no error, no record."""
    if resolve is not None and (found := resolve(message)) is not None:
        return found
    flags = bytes((0x80 | (message[2] & 0x01), 0x80))
    return message[:2] + flags + b"\0\1\0\0\0\0\0\0" + message[12 : asked.end]
