"""Whether a matched string stands in a rule, a pattern or a block list: text *about* miners.

Judged for each occurrence alone: a rule's text beside a miner takes nothing from the miner's own strings.
"""

import re

LINE = 400
"""Bytes of the line read on either side of an occurrence. The patterns below cannot take more than quadratic time in it."""

_YARA_BEFORE = re.compile(rb"""\$\w{0,80}\s*=\s*["/{]""")
_YARA_AFTER = re.compile(
    rb"""(?x)["/}][is]{0,2}
    (?:\s+(?:nocase|wide|ascii|fullword|private|xor|base64|base64wide)(?:\([^)\n]*+\))?)*+\s*+(?://[^\n]*+)?\r?$"""
)
_OPERATOR = re.compile(
    rb"""(?ix)
    \b(?:i?contains|startswith|endswith|pmatch|intersects|regex)\s*+(?:\(\s*+)?['"\[]
    | \|(?:contains|startswith|endswith|re)(?:\|\w++)*+\s*+:
    | \b(?:content|pcre|uricontent|dns[._]query)\s*+:\s*+!?\s*+["']
    | ^\s*+(?:match|softmatch|Probe|fallback)\s++[\w-]++\s
    | \b(?:patterns?|pattern-regex|signatures?|indicators?|iocs?|blocklist|blacklist|denylist)["']?\s*+[:=]
    """
)
_PATTERN = re.compile(rb"\\[wSdbs.]|\(\?[:iaxP<!=]|\]\{\d")
_CONTROL = tuple(bytes((byte,)) for byte in range(0x20) if byte not in b"\n\t\r")
_LIST_BEFORE = re.compile(
    rb"""(?ix)^\s*+(?:[-*]\s++)?["']?
    (?:(?:0\.0\.0\.0|127\.0\.0\.\d++|::1?|\|\||address=/|server=/|local-zone:|zone\s|\#|!|@@|\*\.|https?://)["'\s]*+)*+
    [a-z0-9_.-]*+$"""
)
_LIST_AFTER = re.compile(
    rb"""(?ix)^[a-z0-9_.-]*+["']?\s*+
    (?:[\^,;/$"'\s]|always_nxdomain|static|\d++\.\d++\.\d++\.\d++|[#!][^\r]*+|third-party)*+\r?$"""
)


def line_around(data: bytes | memoryview, offset: int, length: int) -> tuple[bytes, bytes]:
    """What stands before and after the occurrence on its line, at most LINE bytes each; a NUL ends a line too."""
    before = bytes(data[max(0, offset - LINE) : offset])
    after = bytes(data[offset + length : offset + length + LINE])
    cut = max(before.rfind(b"\n"), before.rfind(b"\0"))
    ends = [i for i in (after.find(b"\n"), after.find(b"\0")) if i >= 0]
    return before[cut + 1 :], after[: min(ends)] if ends else after


def in_rule(data: bytes | memoryview, offset: int, length: int) -> bool:
    """True inside a YARA string, or behind an operator of a Falco, Sigma, Snort, Suricata or nmap rule."""
    before, after = line_around(data, offset, length)
    if _YARA_BEFORE.search(before) and _YARA_AFTER.search(after):
        return True
    return _OPERATOR.search(before) is not None


def in_pattern(data: bytes | memoryview, offset: int, length: int) -> bool:
    """True in a regular expression that gives a choice of words, as compiled Python keeps the patterns of programs that look
    for miners: a miner has the words themselves, for it says them."""
    before = bytes(data[max(0, offset - LINE) : offset])
    after = bytes(data[offset + length : offset + length + LINE])
    cut = max(before.rfind(byte) for byte in _CONTROL)
    ends = [i for i in map(after.find, _CONTROL) if i >= 0]
    text = before[cut + 1 :] + bytes(data[offset : offset + length]) + (after[: min(ends)] if ends else after)
    return text.count(b"|") >= 2 and _PATTERN.search(text) is not None


def in_list(data: bytes | memoryview, offset: int, length: int) -> bool:
    """True on a line of text with a host and nothing but what block lists and hosts files put around one: no port, no user."""
    before, after = line_around(data, offset, length)
    start = offset - len(before)
    whole_line = start == 0 or bytes(data[start - 1 : start]) == b"\n"
    return whole_line and _LIST_BEFORE.match(before) is not None and _LIST_AFTER.match(after) is not None
