"""Files within a file: which archive it is, by its bytes and never by its name, and its members within a budget."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from scanner.content import tars, zips
from scanner.content.budget import Budget, Exhausted
from scanner.content.content import Content
from scanner.content.member import Member, Members, Problem
from scanner.content.streams import Stored, Streamed, compression, decompress, hold
from scanner.errors import LimitError, ScannerError
from scanner.model import Level, Notification
from scanner.oci.tar import BLOCK

__all__ = ["MAGICS", "TAIL", "Budget", "kind", "looks_packed", "members"]

_FIRST = {
    b"PK\3\4": "zip",
    b"JM\1\0PK\3\4": "zip",
    b"!<arch>\n": "ar",
    b"070701": "cpio",
    b"070702": "cpio",
    b"\xed\xab\xee\xdb": "rpm",
}
_UNREAD = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\7": "RAR",
    b"LZIP\1": "lzip",
    b"\x1f\x9d\x90": "compress",
    b"hsqs": "squashfs",
}
_COMPRESSED = (
    b"\x1f\x8b\x08",
    b"\xfd7zXZ\0",
    b"BZh",
    b"\x5d\0\0",
    b"\x04\x22\x4d\x18",
    b"\x28\xb5\x2f\xfd",
    *(bytes([n]) + b"\x2a\x4d\x18" for n in range(0x50, 0x60)),
)

_ZIPS = tuple(magic for magic, name in _FIRST.items() if name == "zip")

MAGICS: tuple[bytes, ...] = (*_FIRST, *_UNREAD, *_COMPRESSED)
"""First bytes of everything that `members` opens, or says that it cannot, but tar (see `looks_packed`) and zips that
something stands before (see TAIL)."""

TAIL = b"PK\5\6"
"""Whatever ends in a zip has these bytes within its last 65,557."""

MOST_PROBLEMS = 16
"""Of one archive, told one by one; the rest are counted."""


def looks_packed(head: bytes) -> bool:
    """Whether a file may be an archive, by its first 512 bytes. Cheap: it is asked of every file.

    A zip may stand behind a line that names its interpreter.
    """
    return head.startswith(MAGICS) or b"PK\3\4" in head or tars.is_tar(head)


def kind(head: bytes) -> str | None:
    """What a file is by its first 512 bytes: zip, ar, cpio, rpm or tar; gzip, xz, bzip2, zstd, lz4 or lzma for a
    compressed stream; the name of an archive that cannot be read here; None for anything else.
    """
    return next(iter(_kinds(head)), None)


def _kinds(head: bytes) -> list[str]:
    """As `kind`. A tar begins with a name, so it can be made to begin like something else: then it is both."""
    found = []
    if head.startswith(MAGICS):
        found = [name for table in (_FIRST, _UNREAD) for magic, name in table.items() if head.startswith(magic)]
        if (stream := compression(head)) is not None:
            found.append(stream)
    if tars.is_tar(head):
        found.append("tar")
    return found


def members(content: Content, budget: Budget) -> Iterator[Content | Notification]:
    """The regular files that are not empty in an archive, one level deep; nothing for what is no archive.

    A compressed tar or cpio is one level: its own name is no step of `inner`. Each Content is valid until the next is
    asked for. Whatever cannot be read is a Notification: a note where it turns out to be no archive at all, a warning
    else; the members before a limit or a damage are given.
    """
    kinds = _kinds(content.head[:BLOCK])
    found = zips.directory(content.data, exact=bool(kinds) and "zip" not in kinds)
    if found is not None and "zip" not in kinds:
        kinds.append("zip")
    if not kinds:
        return
    # parts of a zip in the middle of something else, or without its end, prove nothing until one of them unpacks
    stray = kinds == ["zip"] and (found is None or not (found.last or content.head.startswith(_ZIPS)))
    problems = _Problems(content)
    for what in kinds:
        try:
            budget.begin(content.size, len(content.inner))
            with closing(_reader(what, found, content, budget)) as read:
                for item in read:
                    if isinstance(item, Member):
                        yield from problems.confirmed()
                        yield _content(content, item)
                    else:
                        yield from problems.add(replace(item, damaged=True) if stray else item)
        except Exhausted as e:
            yield from problems.confirmed()
            if not budget.said(e):
                yield problems.notification(Problem(str(e)), Level.WARNING)
            break
        except ScannerError as e:
            yield from problems.add(Problem(str(e), damaged=not isinstance(e, LimitError)))
    yield from problems.rest()


class _Problems:
    """What went wrong with one archive. Until something came out of it, damage may mean that it is no archive."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._waiting: list[Problem] = []
        self._confirmed = False
        self._told = 0
        self._more = 0

    def notification(self, problem: Problem, level: Level) -> Notification:
        inner = self._content.inner if problem.name is None else (*self._content.inner, problem.name)
        return Notification("content", level, problem.message, self._content.path, inner)

    def add(self, problem: Problem) -> Iterator[Notification]:
        self._told += 1
        if self._told > MOST_PROBLEMS:
            self._more += 1
        elif self._confirmed or not problem.damaged:
            yield self.notification(problem, Level.NOTE if problem.seen else Level.WARNING)
        else:
            self._waiting.append(problem)

    def confirmed(self) -> Iterator[Notification]:
        """Something came out: it is an archive, and what is damaged is a loss."""
        self._confirmed = True
        waiting, self._waiting = self._waiting, []
        for problem in waiting:
            yield self.notification(problem, Level.NOTE if problem.seen else Level.WARNING)

    def rest(self) -> Iterator[Notification]:
        if self._waiting:
            message = f"looks like an archive, but nothing can be unpacked from it: {self._waiting[0].message}"
            yield self.notification(Problem(message), Level.NOTE)
        if self._more:
            level = Level.WARNING if self._confirmed else Level.NOTE
            message = "and more members that could not be read"
            yield Notification("content", level, message, self._content.path, self._content.inner, count=self._more)


def _reader(what: str, found: zips.Directory | None, content: Content, budget: Budget) -> Members:
    data, depth = content.data, len(content.inner)
    if what == "zip":
        return zips.members(data, found, budget, depth)
    if what == "tar":
        return tars.tar(Stored(data, budget), budget)
    if what == "ar":
        return tars.ar(Stored(data, budget), budget)
    if what == "cpio":
        return _cpio(data, budget)
    if what == "rpm":
        return _rpm(data, budget, depth)
    if what in _UNREAD.values():
        return _only(Problem(f"is packed by {what}, which sandscan cannot read", damaged=False))
    return _compressed(what, data, _unpacked_name(what, content), budget, depth)


def _rpm(data: memoryview, budget: Budget, depth: int) -> Members:
    begin = tars.rpm_payload(data)
    payload = compression(bytes(data[begin : begin + BLOCK]))
    if payload is None:
        yield Problem("is an rpm whose payload cannot be read", damaged=False)
    else:
        yield from _compressed(payload, data[begin:], b"payload", budget, depth)


def _only(problem: Problem) -> Members:
    yield problem


def _compressed(what: str, data: memoryview, name: bytes, budget: Budget, depth: int) -> Members:
    """A compressed stream: the members of the tar or cpio in it, or the one file."""
    chunks = decompress(what, data, budget)
    with closing(chunks):
        source = Streamed(chunks, budget, depth)
        head, error = source.peek(BLOCK)
        kinds = _kinds(head)
        if "tar" in kinds:
            yield from tars.tar(source, budget)
        elif "cpio" in kinds:
            yield from tars.cpio(source, budget)
        elif head:
            with hold(source.rest(), budget, depth) as held:
                yield Member(name, held.view)
                error = held.error
        if error is not None:
            raise error


def _cpio(data: memoryview, budget: Budget) -> Members:
    """A cpio archive; an initramfs goes on after it with another, compressed or not."""
    source = Stored(data, budget)
    yield from tars.cpio(source, budget)
    yield from tars.rest(source, 0, budget)


def _unpacked_name(what: str, content: Content) -> bytes:
    """The name of a single compressed file: what gzip noted, else the outer one without its suffix."""
    if what == "gzip" and content.head[3] & 8:
        begin = 10
        if content.head[3] & 4:
            begin += 2 + int.from_bytes(content.head[10:12], "little")
        name = content.head[begin:].partition(b"\0")[0].rpartition(b"/")[2]
        if name:
            return tars.short(name)
    name = content.name.rpartition(b"/")[2]
    return name.rpartition(b".")[0] or name


def _content(outer: Content, member: Member) -> Content:
    return Content(
        path=outer.path,
        data=member.data,
        mode=outer.mode if member.mode is None else member.mode,
        uid=outer.uid if member.uid is None else member.uid & _MAX_ID,
        gid=outer.gid if member.gid is None else member.gid & _MAX_ID,
        mtime=outer.mtime if member.mtime is None else max(-_MAX_TIME, min(member.mtime, _MAX_TIME)),
        inner=(*outer.inner, member.name),
        worker=outer.worker,
    )


_MAX_ID = 0xFFFFFFFF
_MAX_TIME = 1 << 62
