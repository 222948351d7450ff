"""Members of a tar, cpio, ar or rpm, read forward from where they lie or as they are unpacked.

Formats: tar(5) (ustar, pax, GNU, v7), cpio(5) "new ASCII", ar(5), the RPM package file format (Linux Standard Base).
"""

import re
from collections.abc import Mapping

from scanner.content.budget import Budget
from scanner.content.member import Member, Members, Problem, problem
from scanner.content.streams import Source, Stored
from scanner.errors import ParseError
from scanner.oci.tar import BLOCK, MAX_EXTENDED, clean, number, pax_records

MAX_NAME = 4096
"""Bytes of a member's name that are kept, the last ones: PATH_MAX."""

MAX_ZEROS = 1 << 16
"""Blocks of zeros after which nothing more is looked for."""

_CHECKSUM = re.compile(rb" *([0-7]{1,8})(?:[ \0]|\Z)")
_HIGH = re.compile(rb"[\x80-\xff]")
_HEADER_ONLY = frozenset(b"123456")
_ZERO = bytes(BLOCK)
_BROKEN = "has a broken tar header; what can be read after it was read"
_PAX = (b"path", b"size", b"GNU.sparse.name")


def is_tar(head: bytes) -> bool:
    """Whether a tar begins with these 512 bytes: by the checksum: v7 has no magic.

    Some old writers added signed bytes up.
    """
    if len(head) < BLOCK or (stated := _CHECKSUM.match(head, 148, 156)) is None:
        return False
    summed = head[:148] + b"        " + head[156:BLOCK]
    over = sum(summed) - int(stated[1], 8)
    return not over or over == 256 * len(_HIGH.findall(summed))


def short(name: bytes) -> bytes:
    """A member's name as a path below the archive, bounded."""
    return clean(name)[-MAX_NAME:]


def tar(source: Source, budget: Budget) -> Members:
    """Regular files, sparse ones as they are stored. Goes on after an end mark: some readers do (tar -i, apk)."""
    records: dict[bytes, bytes] = {}
    everywhere: dict[bytes, bytes] = {}
    zeros = 0
    broken = False
    while zeros < MAX_ZEROS:
        header = source.read(BLOCK)
        if header == _ZERO:
            zeros += 1
            continue
        if len(header) < BLOCK:
            if header and not zeros:
                raise ParseError("breaks off inside a tar header")
            return
        if not is_tar(header):
            if zeros:
                return
            if not broken:
                yield Problem(_BROKEN, seen=isinstance(source, Stored))
            broken = True
            continue
        zeros = 0
        broken = False
        try:
            kind, size = header[156], number(header[124:136])
            if kind in b"xgLK":
                _extended(kind, size, source, records, everywhere)
                continue
            found = {**everywhere, **records} if everywhere or records else records
            records = {}
            name = found.get(b"GNU.sparse.name") or found.get(b"path") or _name(header)
            size = 0 if kind in _HEADER_ONLY else int(found.get(b"size", size))
            mode, uid, gid, mtime = (
                number(header[begin:end]) for begin, end in ((100, 108), (108, 116), (116, 124), (136, 148))
            )
        except ValueError:
            size = -1
        if size < 0:
            yield Problem(_BROKEN, seen=isinstance(source, Stored))
            broken = True
            continue
        budget.member()
        if kind == ord("S") and header[482]:
            while source.read(BLOCK)[504:505] not in (b"\0", b""):
                budget.member()
        yield from _file(source, size, short(name), (mode & 0o7777, uid, gid, mtime))
        source.skip(-size % BLOCK)


def _file(source: Source, size: int, name: bytes, facts: tuple[int, int, int, int]) -> Members:
    """The next `size` bytes as a member, if there are any."""
    if size:
        with source.hold(size) as held:
            if held.view:
                yield Member(name, held.view, *facts)
            if held.error is not None:
                yield problem(held.error, name)


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and header[345]:
        return header[345:500].partition(b"\0")[0] + b"/" + name
    return name


def _extended(
    kind: int, size: int, source: Source, records: dict[bytes, bytes], everywhere: dict[bytes, bytes]
) -> None:
    """A pax or GNU header: what it says of the next member, or (g) of all that follow."""
    if not 0 <= size <= MAX_EXTENDED:
        raise ValueError(f"an extended header of {size} bytes (the limit is {MAX_EXTENDED})")
    data = source.read(size)
    source.skip(-size % BLOCK)
    if kind == ord("L"):
        records[b"path"] = data.partition(b"\0")[0]
    elif kind != ord("K"):
        found: Mapping[bytes, bytes] = pax_records(data)
        target = everywhere if kind == ord("g") else records
        target.update((key, found[key]) for key in _PAX if key in found)


def cpio(source: Source, budget: Budget) -> Members:
    """Regular files of a cpio archive in the "new ASCII" format: initramfs images and the payload of an rpm."""
    while True:
        header = source.read(110)
        if header[:6] not in (b"070701", b"070702"):
            if len(header) < 6 and not header.strip(b"\0"):
                raise ParseError("breaks off: its cpio trailer is missing")
            raise ParseError("has a broken cpio header")
        try:
            fields = [int(header[at : at + 8], 16) for at in range(6, 102, 8)]
        except ValueError as e:
            raise ParseError("has a broken cpio header") from e
        _, mode, uid, gid, _, mtime, size, _, _, _, _, length = fields
        if not 0 < length <= MAX_EXTENDED:
            raise ParseError(f"has a broken cpio header: a name of {length} bytes")
        name = source.read(length).rstrip(b"\0")
        source.skip(-(110 + length) % 4)
        if name == b"TRAILER!!!":
            return
        budget.member()
        if mode & 0o170000 == 0o100000:
            yield from _file(source, size, short(name), (mode & 0o7777, uid, gid, mtime))
        else:
            source.skip(size)
        source.skip(-size % 4)


def ar(source: Stored, budget: Budget) -> Members:
    """Members of an ar archive, the tables of a static library left out: a .deb's three, object files."""
    source.skip(8)
    names = b""
    while header := source.read(60):
        if len(header) < 60 or header[58:] != b"`\n":
            # nothing reads on from here; whatever it is lies here as it is
            yield from rest(source, -len(header), budget)
            return
        try:
            size = int(header[48:58])
            mtime, uid, gid = (int(header[begin:end].strip() or 0) for begin, end in ((16, 28), (28, 34), (34, 40)))
            mode = int(header[40:48].strip() or b"644", 8)
            name = header[:16].rstrip()
            extended = int(name[3:]) if name.startswith(b"#1/") else 0
            long = int(name[1:]) if name[:1] == b"/" and name[1:].isdigit() else -1
        except ValueError as e:
            raise ParseError("has a broken ar header") from e
        if size < 0 or not 0 <= extended <= size:
            raise ParseError("has a broken ar header: a size that cannot be")
        budget.member()
        left = size
        if name == b"//":
            names = source.read(min(size, MAX_EXTENDED))
            source.skip(max(0, size - MAX_EXTENDED))
        elif name in (b"/", b"/SYM64/", b"__.SYMDEF", b"__.SYMDEF SORTED"):
            source.skip(size)
        else:
            if extended:
                name = source.read(min(extended, MAX_EXTENDED)).rstrip(b"\0")
                source.skip(max(0, extended - MAX_EXTENDED))
                left -= extended
            elif long >= 0:
                name = names[long : long + MAX_NAME].partition(b"\n")[0]
            yield from _file(source, left, short(name.rstrip(b"/")), (mode & 0o7777, uid, gid, mtime))
        source.skip(size % 2)


def rest(source: Stored, step: int, budget: Budget) -> Members:
    """What follows (or stood `step` bytes before), as one member."""
    source.skip(step)
    view = source.rest()
    if view:
        budget.unpacked(len(view))
        yield Member(b"rest", view)


def rpm_payload(data: memoryview) -> int:
    """Where an rpm's compressed cpio archive begins: after the lead, the signature (padded to 8) and the header."""
    at = 96
    for pad in (8, 1):
        if bytes(data[at : at + 3]) != b"\x8e\xad\xe8":
            raise ParseError("has a broken rpm header")
        index, store = (int.from_bytes(data[at + n : at + n + 4], "big") for n in (8, 12))
        at += 16 + 16 * index + store
        at += -at % pad
    if at >= len(data):
        raise ParseError("breaks off before its payload")
    return at
