"""A name server that knows every name: each gets an address of its own, and from the address the name is known again.

Formats: RFC 1035 (messages), RFC 3596 (AAAA), RFC 2782 (SRV), RFC 6891 (EDNS), RFC 9460 (HTTPS, SVCB: answered with none), RFC 3597
(types without a name).
"""

import ipaddress
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scanner.runtime.sinkhole.addresses import POOL4, POOL6

MALFORMED: Final = "malformed"
"""The type of a query that no server could read; its name is what could be read of it."""

_MAX_NAMES = 32_768
_TTL = 60
_PLAIN_UDP = 512
_OUR_UDP = 1232
_HEADER = struct.Struct(">HHHHHH")
_RESPONSE, _TRUNCATED, _RECURSION_WANTED, _RECURSION = 0x8000, 0x0200, 0x0100, 0x0080
_FORMAT_ERROR, _NO_SUCH_NAME, _NOT_IMPLEMENTED, _REFUSED = 1, 3, 4, 5
_IN, _ANY_CLASS = 1, 255
_A, _NS, _CNAME, _SOA, _PTR, _MX, _TXT, _AAAA, _SRV, _OPT, _ANY = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 255
_TYPES: Final = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    10: "NULL",
    12: "PTR",
    13: "HINFO",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    29: "LOC",
    33: "SRV",
    35: "NAPTR",
    37: "CERT",
    39: "DNAME",
    43: "DS",
    46: "RRSIG",
    47: "NSEC",
    48: "DNSKEY",
    52: "TLSA",
    64: "SVCB",
    65: "HTTPS",
    99: "SPF",
    251: "IXFR",
    252: "AXFR",
    255: "ANY",
    257: "CAA",
}
_POINTER_TO_QUESTION = b"\xc0\x0c"
_LOCALHOST: Final = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a message asks, or what could be read of it; `answer` goes back (None: nothing does)."""

    name: str
    type: str
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class _Question:
    id: int
    flags: int
    labels: tuple[bytes, ...]
    type: int
    class_: int
    raw: bytes
    edns: int | None
    room: int


class _BrokenError(Exception):
    def __init__(self, labels: Sequence[bytes]) -> None:
        super().__init__()
        self.labels = tuple(labels)


class Names:
    """Which name has which address. `given` names have the addresses said, every other one an IPv4 and an IPv6 of the pools.

    A name is the same in capitals. `left_out` counts names beyond 32,768: they share one address, which leads back to none.
    """

    def __init__(self, given: Mapping[str, Sequence[str]]) -> None:
        self._given = {name.lower().rstrip("."): tuple(addresses) for name, addresses in given.items()}
        self._given.setdefault("localhost", _LOCALHOST)
        self._numbers: dict[str, int] = {}
        self._names: dict[str, str] = {}
        for name, addresses in self._given.items():
            for address in addresses:
                self._names.setdefault(str(ipaddress.ip_address(address)), name)
        self.left_out = 0

    def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses of a name (as `shown` has it), the same at every call."""
        name = name.lower()
        if name in self._given:
            return self._given[name]
        index = self._numbers.get(name)
        if index is None:
            if len(self._numbers) >= _MAX_NAMES:
                self.left_out += 1
                return _pooled(_MAX_NAMES + 1)
            index = len(self._numbers) + 1
            self._numbers[name] = index
            self._names.update(dict.fromkeys(_pooled(index), name))
        return _pooled(index)

    def name(self, address: str) -> str | None:
        """The name that was given that address."""
        return self._names.get(address)

    def ask(self, message: bytes, udp: bool) -> Asked | None:
        """Answer a message; None where it is a response, or too short to be anything. Never raises.

        `udp`: an answer longer than its client takes is cut short, so that it asks again by TCP.
        """
        if len(message) < _HEADER.size or message[2] & 0x80:
            return None
        try:
            question = _read(message)
        except _BrokenError as e:
            head = message[:2] + struct.pack(">HHHHH", _RESPONSE | _RECURSION | _FORMAT_ERROR, 0, 0, 0, 0)
            return Asked(shown(e.labels), MALFORMED, head)
        name = shown(question.labels)
        code, answers, authority = self._records(question, name)
        return Asked(name, type_name(question.type), _message(question, code, answers, authority, udp))

    def _records(self, question: _Question, name: str) -> tuple[int, list[bytes], list[bytes]]:
        """(response code, answers, authority)."""
        if question.flags >> 11 & 0xF:
            return _NOT_IMPLEMENTED, [], []
        if question.edns:
            return 0, [], []  # a version of EDNS that is not ours: the OPT record says so
        if question.class_ & 0x7FFF not in (_IN, _ANY_CLASS) or question.type in (251, 252):
            return _REFUSED, [], []
        if name.endswith((".in-addr.arpa", ".ip6.arpa")):
            return self._reverse(question, name)
        wanted = question.type
        own = (_wire(question.labels),) if question.labels else ()
        answers: list[bytes] = []
        if wanted in (_A, _AAAA, _ANY) and question.labels:
            for address in map(ipaddress.ip_address, self.addresses(name)):
                kind = _A if address.version == 4 else _AAAA
                if wanted in (kind, _ANY):
                    answers.append(_record(kind, address.packed))
        if wanted in (_MX, _ANY):
            answers += [_record(_MX, struct.pack(">H", 10) + host) for host in own]
        if wanted in (_TXT, _ANY):
            answers.append(_record(_TXT, b"\x0av=spf1 ~al"))
        if wanted in (_NS, _ANY):
            answers += [_record(_NS, host) for host in own]
        if wanted == _SRV:
            host = tuple(label for label in question.labels if not label.startswith(b"_"))
            port = _SRV_PORTS.get(question.labels[0].lower(), 443) if question.labels else 443
            answers.append(_record(_SRV, struct.pack(">HHH", 10, 10, port) + _wire(host)))
        if wanted in (_SOA, _ANY):
            answers.append(_authority(_POINTER_TO_QUESTION))
        return 0, answers, [] if answers else [_authority()]

    def _reverse(self, question: _Question, name: str) -> tuple[int, list[bytes], list[bytes]]:
        address = _reversed(name)
        known = self.name(address) if address else None
        if known is None:
            return _NO_SUCH_NAME, [], [_authority()]
        if question.type not in (_PTR, _ANY):
            return 0, [], [_authority()]
        return 0, [_record(_PTR, _wire(_labels(known)))], []


_SRV_PORTS: Final = {
    b"_http": 80,
    b"_ldap": 389,
    b"_kerberos": 88,
    b"_sip": 5060,
    b"_xmpp-client": 5222,
    b"_stratum": 3333,
    b"_minecraft": 25565,
}


def is_query(message: bytes) -> bool:
    """Whether bytes are one whole query and nothing else: for telling DNS from what only came to its port."""
    if len(message) < _HEADER.size + 5:
        return False
    _, flags, questions, answers, authorities, _ = _HEADER.unpack_from(message)
    if flags & 0xF840 or (questions, answers, authorities) != (1, 0, 0):
        return False
    try:
        _read(message)
    except _BrokenError:
        return False
    return True


def shown(labels: Sequence[bytes]) -> str:
    r"""A name as a zone's file writes it (RFC 1035, 5.1): `.` for the root, `\ddd` for what is no printable character."""
    return ".".join(_label(label) for label in labels) or "."


def _label(label: bytes) -> str:
    return "".join(
        f"\\{chr(byte)}" if byte in b".\\" else chr(byte) if 33 <= byte < 127 else f"\\{byte:03}" for byte in label
    )


def _labels(name: str) -> tuple[bytes, ...]:
    """The labels of what `shown` wrote."""
    labels, label, at = [], bytearray(), 0
    while at < len(name):
        if name[at] == "\\":
            digits = name[at + 1 : at + 4]
            if len(digits) == 3 and digits.isdecimal():
                label.append(int(digits) & 0xFF)
                at += 4
                continue
            at += 1
            if at == len(name):
                break
        elif name[at] == ".":
            labels.append(bytes(label))
            label.clear()
            at += 1
            continue
        label += name[at].encode("latin-1", "replace")
        at += 1
    if label:
        labels.append(bytes(label))
    return tuple(labels)


def type_name(number: int) -> str:
    return _TYPES.get(number, f"TYPE{number}")


def _pooled(index: int) -> tuple[str, str]:
    """The first 256 addresses of the pool stay free: .0 and .1 look like a network's own."""
    return str(POOL4[255 + index]), str(POOL6[255 + index])


def _read(message: bytes) -> _Question:
    """Raises _BrokenError."""
    number, flags, questions, answers, authorities, additional = _HEADER.unpack_from(message)
    labels: list[bytes] = []
    at = _HEADER.size
    size = 1
    try:
        while (length := message[at]) != 0:
            # a pointer cannot lead anywhere but into the header here: only loops and lies begin with one
            if length > 63 or size + length + 1 > 255 or at + 1 + length > len(message):
                raise _BrokenError(labels)
            labels.append(message[at + 1 : at + 1 + length])
            size += length + 1
            at += length + 1
        at += 1
        kind, class_ = struct.unpack_from(">HH", message, at)
    except (IndexError, struct.error):
        raise _BrokenError(labels) from None
    at += 4
    if questions != 1:
        raise _BrokenError(labels)
    edns, room = _edns(message, at, answers + authorities, additional)
    return _Question(number, flags, tuple(labels), kind, class_, message[_HEADER.size : at], edns, room)


def _edns(message: bytes, at: int, before: int, additional: int) -> tuple[int | None, int]:
    """(version, None where there is none; how long an answer by UDP may be). Only the usual place is looked at: right behind
    the question."""
    if before == 0 and additional and message[at : at + 1] == b"\0" and len(message) >= at + 11:
        kind, size, _, version = struct.unpack_from(">HHBB", message, at + 1)
        if kind == _OPT:
            return version, min(max(size, _PLAIN_UDP), _OUR_UDP)
    return None, _PLAIN_UDP


def _message(question: _Question, code: int, answers: list[bytes], authority: list[bytes], udp: bool) -> bytes:
    flags = _RESPONSE | _RECURSION | (question.flags & (0x7800 | _RECURSION_WANTED)) | code
    extra = b""
    if question.edns is not None:
        extended = 1 if question.edns else 0  # BADVERS is 16: its upper bits stand here (RFC 6891, 6.1.3)
        extra = b"\0" + struct.pack(">HHBBHH", _OPT, _OUR_UDP, extended, 0, 0, 0)

    def whole(flags: int, answers: list[bytes], authority: list[bytes]) -> bytes:
        counts = (1, len(answers), len(authority), 1 if extra else 0)
        return (
            _HEADER.pack(question.id, flags, *counts) + question.raw + b"".join(answers) + b"".join(authority) + extra
        )

    message = whole(flags, answers, authority)
    if udp and len(message) > question.room:
        return whole(flags | _TRUNCATED, [], [])
    return message


def _record(kind: int, data: bytes, name: bytes = _POINTER_TO_QUESTION) -> bytes:
    return name + struct.pack(">HHIH", kind, _IN, _TTL, len(data)) + data


def _authority(name: bytes = b"\0") -> bytes:
    """A SOA; the root's says that there is no more (RFC 2308)."""
    data = b"\x02ns\0" + b"\x04root\0" + struct.pack(">IIIII", 2026010100, 1800, 900, 604800, _TTL)
    return _record(_SOA, data, name)


def _wire(labels: Sequence[bytes]) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _reversed(name: str) -> str | None:
    """The address that a name of in-addr.arpa or ip6.arpa stands for."""
    parts = name.lower().split(".")[:-2][::-1]
    try:
        if name.lower().endswith(".in-addr.arpa"):
            return str(ipaddress.IPv4Address(".".join(parts)))
        if len(parts) != 32:
            return None
        return str(ipaddress.IPv6Address(int("".join(parts), 16)))
    except ValueError:
        return None
