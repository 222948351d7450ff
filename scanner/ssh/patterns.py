"""Patterns and addresses as OpenSSH compares them (ssh_config(5) PATTERNS; match.c, addrmatch.c), in linear time."""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.ssh.lexing import fold

_LONGEST = 1023
"""A part of a pattern list that is longer makes the whole list match nothing (match_pattern_list's buffer)."""

_DECIMAL_MASK = re.compile(r"[0-9]+")
_V4_PART = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*", re.ASCII)


def matches(text: str, pattern: str) -> bool:
    """Whether the whole text is what the pattern says: ``*`` is anything, ``?`` one character."""
    parts = pattern.split("*")
    if len(parts) == 1:
        return len(text) == len(pattern) and _fits(text, 0, pattern)
    first, last = parts[0], parts[-1]
    if len(text) < len(first) + len(last) or not _fits(text, 0, first) or not _fits(text, len(text) - len(last), last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in parts[1:-1]:
        at = _find(text, part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _fits(text: str, at: int, part: str) -> bool:
    if "?" not in part:
        return text.startswith(part, at)
    for piece in part.split("?"):
        if not text.startswith(piece, at):
            return False
        at += len(piece) + 1
    return True


def _find(text: str, part: str, at: int, end: int) -> int:
    """Where a part, which may hold ``?``, first lies between two places; -1 if nowhere."""
    if "?" not in part:
        return text.find(part, at, end)
    anchor = max(part.split("?"), key=len)
    offset = part.find(anchor)
    while at + len(part) <= end:
        found = text.find(anchor, at + offset, end) if anchor else at + offset
        if found < 0 or found - offset + len(part) > end:
            return -1
        if _fits(text, found - offset, part):
            return found - offset
        at = found - offset + 1
    return -1


def list_matches(text: str, patterns: str, *, lower: bool = False) -> int:
    """1 if a pattern of the comma-separated list matches, -1 if one that begins with ``!`` does, 0 otherwise.

    `lower` folds the patterns, not the text.
    """
    found = 0
    for part in _parts(patterns):
        negated = part.startswith("!")
        pattern = part[1:] if negated else part
        if len(pattern) >= _LONGEST:
            return 0
        if matches(text, fold(pattern) if lower else pattern):
            if negated:
                return -1
            found = 1
    return found


def host_matches(host: str, patterns: str) -> int:
    """The same for host names, whose case means nothing."""
    return list_matches(fold(host), patterns, lower=True)


def _parts(patterns: str) -> Iterator[str]:
    parts = patterns.split(",")
    if parts[-1] == "":
        parts.pop()  # nothing follows the last comma
    yield from parts


@dataclass(frozen=True, slots=True)
class Address:
    """An IPv4 or IPv6 address, in network order."""

    packed: bytes

    @property
    def bits(self) -> int:
        return len(self.packed) * 8

    def __str__(self) -> str:
        return socket.inet_ntop(socket.AF_INET if len(self.packed) == 4 else socket.AF_INET6, self.packed)


def address(text: str) -> Address | None:
    """A numeric address in any form that getaddrinfo takes (``127.1``, ``0x7f000001``, ``::1``); None if it is none.

    A zone is read where it is a number, for other names exist on one machine alone.
    """
    if "%" in text:
        text, _, zone = text.partition("%")
        if ":" not in text or not (zone.isascii() and zone.isdecimal()):
            return None
    if ":" in text:
        if not text.isascii() or len(text) > 64:
            return None
        try:
            return Address(socket.inet_pton(socket.AF_INET6, text))
        except (OSError, ValueError):
            return None
    return _version_4(text)


def _version_4(text: str) -> Address | None:
    parts = text.split(".", 4)
    if len(parts) > 4 or len(text) > 64 or any(_V4_PART.fullmatch(part) is None for part in parts):
        return None
    numbers = [_number(part) for part in parts]
    last = numbers.pop()
    if any(number > 255 for number in numbers) or last >= 256 ** (4 - len(numbers)):
        return None
    whole = last + sum(number << (24 - 8 * place) for place, number in enumerate(numbers))
    return Address(whole.to_bytes(4, "big"))


def _number(part: str) -> int:
    if part[:2] in ("0x", "0X"):
        return int(part[2:], 16)
    return int(part, 8) if part.startswith("0") else int(part)


class BadMask(ValueError):
    """A network whose mask is too long for its family, or shorter than the address written before it."""


def network(text: str) -> tuple[Address, int] | None:
    """ADDRESS/BITS or an address alone; None if it is none, BadMask if the two do not fit each other."""
    if len(text.encode("utf-8", "surrogateescape")) > 63:
        return None
    host, slash, mask = text.partition("/")
    if slash and (_DECIMAL_MASK.fullmatch(mask) is None or int(mask) > 128):
        return None
    found = address(host)
    if found is None:
        return None
    bits = int(mask) if slash else found.bits
    if bits > found.bits or int.from_bytes(found.packed, "big") & ((1 << (found.bits - bits)) - 1):
        raise BadMask(text)
    return found, bits


def address_list_matches(text: str | None, patterns: str) -> int:
    """As list_matches, for networks in CIDR form and address patterns. Without a text only the list is checked.

    Raises BadMask for an empty entry and for a network that contradicts itself, where those are reached.
    """
    given = None if text is None else address(text)
    if text is not None and given is None:
        return 0
    found = 0
    for part in patterns.split(","):
        negated = part.startswith("!")
        pattern = part[1:] if negated else part
        if not pattern:
            raise BadMask("an empty entry")
        net = network(pattern)
        if text is None or given is None:
            continue
        if _within(given, net) if net else matches(text, pattern):
            if negated:
                return -1
            found = 1
    return found


def _within(given: Address, net: tuple[Address, int]) -> bool:
    base, bits = net
    if base.bits != given.bits:
        return False
    shift = base.bits - bits
    return int.from_bytes(given.packed, "big") >> shift == int.from_bytes(base.packed, "big") >> shift
