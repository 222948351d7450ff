"""Members of a zip, found by its central directory and, where that is missing or tells less, by local headers.

Format: PKWARE's APPNOTE 6.3.10. Nothing is read ahead: a directory of a million entries costs no memory.
"""

import calendar
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from scanner.content.budget import Budget
from scanner.content.member import Member, Members, Problem, problem
from scanner.content.streams import crc32, decompress, decompress_raw_lzma, hold, inflate
from scanner.content.tars import short
from scanner.errors import ParseError

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_TAIL = _END.size + 0xFFFF
_MAX = 0xFFFFFFFF
_METHODS = {8: "deflate", 12: "bzip2", 93: "zstd", 95: "xz"}
_STORED, _DEFLATED, _LZMA = 0, 8, 14
_SMALL = 1 << 20
"""Members up to this size, nearly all there are, are unpacked in one step."""
_ENCRYPTED, _DESCRIPTOR = 1, 8
_DESCRIPTOR_BYTES = 24
_UNIX_OWNER = 0x7875


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the central directory lies, what its offsets count from (0, unless something stands before the zip), and
    whether its end record is the last thing in the data.
    """

    begin: int
    end: int
    base: int
    last: bool


@dataclass(slots=True)
class _Entry:
    name: bytes
    flags: int
    method: int
    stamp: int
    crc: int
    stored: int
    size: int
    header: int
    mode: int
    extra: bytes


def directory(data: memoryview, exact: bool = False) -> Directory | None:
    """The central directory that the end of the data points to; None if there is none.

    With `exact`, only where the end record is the last thing in the data.
    """
    start = max(0, len(data) - _TAIL)
    tail = bytes(data[start:])
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        found = _directory(data, start + at, exact)
        if found is not None:
            return found
        at = tail.rfind(b"PK\5\6", 0, at)
    return None


def _directory(data: memoryview, at: int, exact: bool) -> Directory | None:
    if at + _END.size > len(data):
        return None
    _, _, _, _, entries, size, offset, comment = _END.unpack_from(data, at)
    last = at + _END.size + comment == len(data)
    if exact and not last:
        return None
    end = at
    if bytes(data[max(0, at - 20) : max(0, at - 16)]) == b"PK\6\7":
        places = (at - 20 - _END64.size, int.from_bytes(data[at - 12 : at - 4], "little"))
        for place in places:
            if 0 <= place <= at - 20 - _END64.size and bytes(data[place : place + 4]) == b"PK\6\6":
                *_, entries, size, offset = _END64.unpack_from(data, place)
                end = place
                break
    if not entries and not size:
        return Directory(end, end, 0, last) if at == 0 else None
    for begin in (end - size, offset):
        if begin >= 0 and begin + _ENTRY.size <= end and bytes(data[begin : begin + 4]) == b"PK\1\2":
            first = int.from_bytes(data[begin + 42 : begin + 46], "little")
            shifted = begin - offset
            base = shifted if shifted > 0 and bytes(data[shifted + first : shifted + first + 4]) == b"PK\3\4" else 0
            return Directory(begin, end, base, last)
    return None


def members(data: memoryview, found: Directory | None, budget: Budget, depth: int) -> Members:
    """Every member that can be read. `found` is what `directory` gave; without it, local headers are followed."""
    begins, ends = array("Q"), array("Q")
    if found is None:
        yield Problem("has no central directory: the zip was cut off; what its local headers say was read")
        yield from _headers(data, _next(data, 0, 64), len(data), budget, depth)
        return
    for entry in _entries(data, found):
        budget.member()
        begin = _content(data, entry)
        if begin < 0:
            yield Problem("has no header where the zip's directory says it is", short(entry.name))
            continue
        begins.append(entry.header)
        ends.append(min(begin + entry.stored, len(data)))
        if not (entry.name.endswith(b"/") and not entry.size) and entry.mode & 0o170000 in (0, 0o100000):
            yield from _member(data[begin : begin + entry.stored], entry, budget, depth)
    for begin, end in _gaps(begins, ends, found.begin):
        # what a reader of streams sees and a reader of the directory does not; a descriptor may stand before it
        near = min(begin + _DESCRIPTOR_BYTES, end)
        if (at := _next(data, begin, near)) < near:
            yield from _headers(data, at, end, budget, depth)


def _entries(data: memoryview, found: Directory) -> Iterator[_Entry]:
    at = found.begin
    while at + _ENTRY.size <= found.end:
        (
            signature, made_by, _, flags, method, time, date, crc, stored, size,
            name, extra, comment, _, _, attributes, header,
        ) = _ENTRY.unpack_from(data, at)  # fmt: skip
        if signature != b"PK\1\2":
            if signature != b"PK\5\5":  # a digital signature may stand at the end
                raise ParseError("has a broken central directory")
            return
        begin = at + _ENTRY.size
        fields = bytes(data[begin + name : begin + name + extra]) if extra else b""
        if _MAX in (stored, size, header):
            size, stored, header = _large(fields, size, stored, header)
        yield _Entry(
            bytes(data[begin : begin + name]),
            flags,
            method,
            date << 16 | time,
            crc,
            stored,
            size,
            found.base + header,
            attributes >> 16 if made_by >> 8 in (3, 19) else 0,
            fields,
        )
        at = begin + name + extra + comment


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        key, size = struct.unpack_from("<2H", extra, at)
        yield key, extra[at + 4 : at + 4 + size]
        at += 4 + size


def _large(extra: bytes, *values: int) -> list[int]:
    """The values, those that did not fit into 32 bits from the zip64 field."""
    data = next((data for key, data in _fields(extra) if key == 1), b"")
    result = []
    for value in values:
        if value == _MAX and len(data) >= 8:
            result.append(int.from_bytes(data[:8], "little"))
            data = data[8:]
        else:
            result.append(value)
    return result


def _content(data: memoryview, entry: _Entry) -> int:
    """Where a member's data begins; -1 if its local header is not there."""
    at = entry.header
    if at + _LOCAL.size > len(data) or bytes(data[at : at + 4]) != b"PK\3\4":
        return -1
    return at + _LOCAL.size + data[at + 26] + (data[at + 27] << 8) + data[at + 28] + (data[at + 29] << 8)


def _member(data: memoryview, entry: _Entry, budget: Budget, depth: int) -> Members:
    """One member from its stored bytes."""
    name = short(entry.name)
    uid = gid = None
    if b"ux" in entry.extra:
        uid, gid = _owner(entry.extra)
    facts = (entry.mode & 0o7777 or None, uid, gid, _seconds(entry.stamp))
    encrypted = entry.flags & _ENCRYPTED
    method = entry.method
    if method == _STORED:
        budget.unpacked(len(data))
        if encrypted and crc32(data) != entry.crc:
            yield Problem("is encrypted: it cannot be read without its password", name, damaged=False)
        else:
            if len(data):
                yield Member(name, data, *facts)
            if len(data) < entry.stored:
                yield Problem("breaks off", name)
            elif crc32(data) != entry.crc:
                yield Problem("is not what its checksum says", name)
        return
    if method == _DEFLATED and not encrypted and entry.size <= _SMALL and len(data) <= _SMALL:
        whole_small = inflate(data, entry.size)
        if whole_small is not None and crc32(memoryview(whole_small)) == entry.crc:
            budget.unpacked(entry.size)
            if whole_small:
                yield Member(name, memoryview(whole_small), *facts)
            return
    if method in _METHODS:
        chunks = decompress(_METHODS[method], data, budget)
    elif method == _LZMA:
        chunks = decompress_raw_lzma(bytes(data[4:9]), data[9:], budget)
    else:
        what = "is encrypted" if method == 99 else f"is packed by method {method}, which sandscan cannot read"
        yield Problem(what, name, damaged=False)
        return
    with hold(chunks, budget, depth) as held:
        # LZMA need not mark its end: size and checksum say what is whole
        whole = len(held.view) == entry.size and crc32(held.view) == entry.crc
        if encrypted and not whole:
            yield Problem("is encrypted: it cannot be read without its password", name, damaged=False)
            return
        if held.view:
            yield Member(name, held.view, *facts)
        if not whole:
            error = held.error or ParseError("is not what its size and checksum say")
            yield problem(error, name)


def _owner(extra: bytes) -> tuple[int | None, int | None]:
    """Info-ZIP's new Unix field: version, then two numbers, each behind its length."""
    for key, data in _fields(extra):
        if key == _UNIX_OWNER and len(data) >= 3:
            cut = 2 + data[1]
            return int.from_bytes(data[2:cut], "little"), int.from_bytes(data[cut + 1 :], "little")
    return None, None


@lru_cache(256)
def _seconds(stamp: int) -> int:
    """DOS's local date and time as if it were UTC; 0 for one that cannot be."""
    date, time = stamp >> 16, stamp & 0xFFFF
    year, month, day = 1980 + (date >> 9), date >> 5 & 15, date & 31
    if not 1 <= month <= 12 or not day:
        return 0
    return calendar.timegm((year, month, day, time >> 11, time >> 5 & 63, (time & 31) * 2))


def _gaps(begins: "array[int]", ends: "array[int]", limit: int) -> Iterator[tuple[int, int]]:
    """The parts before the central directory that no member of it covers."""
    at = 0
    for index in sorted(range(len(begins)), key=begins.__getitem__):
        if begins[index] > at:
            yield at, begins[index]
        at = max(at, ends[index])
    if at < limit:
        yield at, limit


def _headers(data: memoryview, at: int, end: int, budget: Budget, depth: int) -> Members:
    """Members that only local headers name, one behind the other, as a reader of streams finds them."""
    while at + _LOCAL.size <= end and bytes(data[at : at + 4]) == b"PK\3\4":
        _, _, flags, method, time, date, crc, stored, size, name, extra = _LOCAL.unpack_from(data, at)
        budget.member()
        begin = at + _LOCAL.size
        fields = bytes(data[begin + name : begin + name + extra])
        if _MAX in (stored, size):
            size, stored = _large(fields, size, stored)
        entry = _Entry(
            bytes(data[begin : begin + name]), flags, method, date << 16 | time, crc, stored, size, at, 0, fields
        )
        begin += name + extra
        if flags & _DESCRIPTOR and not stored:
            # its size stands behind it: the next header, or the end, bounds it
            following = _next(data, begin, end)
            yield from _loose(data[begin:following], entry, budget, depth)
            at = following
        else:
            yield from _member(data[begin : min(begin + stored, end)], entry, budget, depth)
            at = _next(data, begin + stored, end)


def _next(data: memoryview, at: int, end: int) -> int:
    """Where the next local header stands, or `end`."""
    step = 1 << 20
    while at < end:
        found = bytes(data[at : min(at + step + 3, end)]).find(b"PK\3\4")
        if found >= 0:
            return at + found
        at += step
    return end


def _loose(data: memoryview, entry: _Entry, budget: Budget, depth: int) -> Members:
    """A member whose header names neither size nor checksum: whatever unpacks."""
    name = short(entry.name)
    if entry.flags & _ENCRYPTED or entry.method not in _METHODS:
        yield Problem("is a member of a zip without a directory that cannot be read on its own", name, damaged=False)
        return
    with hold(decompress(_METHODS[entry.method], data, budget), budget, depth) as held:
        if held.view:
            yield Member(name, held.view, mtime=_seconds(entry.stamp))
        if held.error is not None:
            yield problem(held.error, name)
