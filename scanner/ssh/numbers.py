"""Numbers, times and sizes as the C library and OpenSSH read them (misc.c, fmt_scaled.c, strtol(3))."""

import re

INT_MAX = 2**31 - 1
_LONG_MAX = 2**63 - 1

_SPACE = r"[ \t\n\v\f\r]*+"
_DECIMAL = re.compile(_SPACE + r"([+-]?[0-9]++)", re.ASCII)
_OCTAL = re.compile(_SPACE + r"([+-]?)([0-7]++)", re.ASCII)
_ANY_BASE = re.compile(_SPACE + r"([+-]?)(0[xX][0-9a-fA-F]++|[0-9]++)", re.ASCII)
_SCALED = re.compile(_SPACE + r"([+-]?)([0-9.]*+)(.?)(.?)", re.ASCII | re.DOTALL)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SCALES = {unit: 1024**power for power, unit in enumerate("bkmgtpe")}
_LONG_DIGITS = 20
_SIZE_DIGITS = 20

SERVICES = {
    "ftp": 21,
    "ssh": 22,
    "telnet": 23,
    "smtp": 25,
    "domain": 53,
    "http": 80,
    "pop3": 110,
    "imap2": 143,
    "ldap": 389,
    "https": 443,
    "ldaps": 636,
    "imaps": 993,
    "pop3s": 995,
    "socks": 1080,
    "mysql": 3306,
    "postgresql": 5432,
    "http-alt": 8080,
}
"""The names in /etc/services that somebody may write for a port; the image's own file is not asked."""


def _bounded(digits: str) -> int:
    """The number, or the largest (smallest) long where it has too many digits, as strtol says."""
    sign = digits[:1] if digits[:1] in "+-" else ""
    magnitude = digits[len(sign) :].lstrip("0")
    value = _LONG_MAX if len(magnitude) > _LONG_DIGITS else min(int(magnitude or "0"), _LONG_MAX)
    return -value if sign == "-" else value


def whole(text: str, highest: int = INT_MAX) -> int | None:
    """A decimal number from 0 to `highest`, and nothing after it (strtonum)."""
    found = _DECIMAL.fullmatch(text)
    if found is None:
        return None
    value = _bounded(found[1])
    return value if 0 <= value <= highest else None


def port(text: str) -> int | None:
    """A port from 0 on, as a number or a service's name (a2port)."""
    number = whole(text, 65535)
    return number if number is not None else SERVICES.get(text)


def seconds(text: str) -> int | None:
    """A time: numbers with units, added up (sshd_config(5) TIME FORMATS)."""
    if not text:
        return None
    total = at = 0
    while at < len(text):
        found = _DECIMAL.match(text, at)
        if found is None:
            return None
        value = _bounded(found[1])
        unit = text[found.end() : found.end() + 1].lower()
        if value < 0 or not unit.isascii() or unit not in _UNITS:
            return None
        total += value * _UNITS[unit]
        if total > INT_MAX:
            return None
        at = found.end() + 1
    return total


def octal(text: str) -> int | None:
    """The octal number the text begins with, as an int; what follows it is not looked at."""
    found = _OCTAL.match(text)
    if found is None:
        return None
    magnitude = found[2].lstrip("0")
    value = _LONG_MAX if len(magnitude) > 22 else min(int(magnitude or "0", 8), _LONG_MAX)
    return _as_int(-value if found[1] == "-" else value)


def any_base(text: str) -> int | None:
    """A number in base 8, 10 or 16, told by its prefix, and nothing after it (strtol with base 0)."""
    found = _ANY_BASE.fullmatch(text)
    if found is None:
        return None
    digits = found[2]
    if digits[:2] in ("0x", "0X"):
        value = int(digits[2:], 16) if len(digits) < 64 else _LONG_MAX
    elif digits.startswith("0") and len(digits) > 1:
        if not set(digits) <= set("01234567"):
            return None
        value = int(digits, 8) if len(digits) < 64 else _LONG_MAX
    else:
        value = _bounded(digits)
    return -value if found[1] == "-" else value


def colon_numbers(text: str, most: int) -> tuple[int, ...]:
    """The numbers at the start of N:N:N, up to `most`, as scanf's %d reads them: spaces before each, anything after."""
    numbers: list[int] = []
    at = 0
    while len(numbers) < most:
        found = _DECIMAL.match(text, at)
        if found is None:
            break
        numbers.append(_as_int(_bounded(found[1])))
        at = found.end()
        if not text.startswith(":", at):
            break
        at += 1
    return tuple(numbers)


def _as_int(value: int) -> int:
    """What is left of a long in an int."""
    return (value + 2**31) % 2**32 - 2**31


def size(text: str) -> int | None:
    """A number of bytes with a unit: 1.5G, 512k (scan_scaled); None where it is none, or too large."""
    found = _SCALED.match(text)
    if found is None:
        return None
    sign, digits, unit, after = str(found[1]), str(found[2]), str(found[3]), str(found[4])
    integer, _, fraction = digits.partition(".")
    if "." in fraction or len(integer) > _SIZE_DIGITS:
        return None
    value, part = int(integer or "0"), int(fraction[: _SIZE_DIGITS - 1] or "0")
    if value > _LONG_MAX or part > _LONG_MAX:
        return None
    if unit:
        scale = _SCALES.get(unit.lower()) if unit.isascii() else None
        if scale is None or (after.isascii() and after.isalnum()) or value > _LONG_MAX // scale:
            return None
        value = value * scale + _scaled_fraction(part, len(fraction[: _SIZE_DIGITS - 1]), scale)
    return -value if sign == "-" else value


def _scaled_fraction(part: int, places: int, scale: int) -> int:
    """The digits after the point, scaled, with the rounding of the original."""
    while part >= _LONG_MAX // scale:
        part //= 10
        places -= 1
    part *= scale
    for _ in range(places):
        part //= 10
    return part
