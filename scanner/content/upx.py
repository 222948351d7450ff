"""UPX and its lookalikes: recognised by structure, whatever was done to its magics, and unpacked by our own bounded code.

A packed ELF file has, behind its program headers, l_info (checksum, magic, size of the loader, version, format), p_info
(program id, file size, block size) and blocks, each behind a b_info (unpacked size, packed size, method, filter, the
filter's parameter). The first block is the original's ELF header and program headers; then come its segments, then the
loader, then what lay between and behind the segments, then the end mark. A packed library keeps some segments as they
were and may have no block of headers. Malware changes the magics and zeroes p_info, which only `upx -d` needs; the
blocks must stay as they are, for the loader reads them.
"""

import lzma
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from scanner.content import elffile, nrv
from scanner.content.worker import OutOfTime
from scanner.errors import ParseError

MAGIC = b"UPX!"
MAX_PACKED = 64 << 20
"""Bytes of a packed file that can be unpacked."""
MAX_UNPACKED = 128 << 20

_METHODS = {
    2: ("2b", 4), 3: ("2b", 1), 4: ("2b", 2),
    5: ("2d", 4), 6: ("2d", 1), 7: ("2d", 2),
    8: ("2e", 4), 9: ("2e", 1), 10: ("2e", 2),
    14: ("lzma", 0), 15: ("deflate", 0),
}  # fmt: skip
_MARK = re.compile(rb"This file is packed with the UPX|\$Id: UPX [0-9.]{1,8} ")
_TRAILER = re.compile(rb"UPX![\x08-\x20][\x01-\x80][\x02-\x0f]")
_INFO = 12
"""Bytes of l_info, of p_info and of each b_info."""
_SEARCH = 8192
"""How far into the file the first block may begin."""
_BEHIND = 1 << 16
"""How far behind the segments' blocks the others are looked for: the loader stands between."""
_MAX_BLOCKS = 4096
_MAX_STEPS = 1 << 18
_FAR = 16 << 20
"""How far magics are looked for."""
_MAX_HEADERS = 64 + 56 * 64
_LIKELY = {
    "little": re.compile(rb"(?s)(?=..\0\0..\0\0[\x02-\x0a\x0e\x0f]..\0)"),
    "big": re.compile(rb"(?s)(?=\0\0..\0\0..[\x02-\x0a\x0e\x0f]..\0)"),
}
"""A b_info of a small block, by the bytes that are zero in it."""


@dataclass(frozen=True, slots=True)
class Packing:
    """An ELF file packed by UPX or by something made from it.

    `first` is where the first block lies, -1 where no block can be unpacked; `method` how it is compressed; `size` the
    original's bytes (where p_info lies, those of its segments). `tampered` names what UPX would have written otherwise: magic, sizes, mark, trailer.
    """

    first: int
    method: str = ""
    size: int = 0
    version: int = 0
    tampered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Block:
    at: int
    size: int
    packed: int
    method: int
    filter: int

    @property
    def end(self) -> int:
        return self.at + _INFO + self.packed

    @property
    def stored(self) -> bool:
        return self.size == self.packed


def look(data: memoryview) -> Packing | None:
    """How the file is packed; None if it is not by UPX or a lookalike. Quick: only one small block is unpacked."""
    elf = elffile.header(bytes(data[:64]))
    if elf is None:
        return None
    found = _first(data, elf)
    if found is None:
        return _marked(data, elf)
    first, headers = found
    info = bytes(data[first.at - 24 : first.at]) if first.at >= 24 else bytes(24)
    size, blocksize = (int.from_bytes(info[begin : begin + 4], elf.order) for begin in (16, 20))
    extent = _extent(headers)
    end = first.at
    for block in _chain(data, first.at, elf.order):
        end = block.end
    tampered = {
        "magic": info[4:8] != MAGIC,
        "sizes": not blocksize or not extent <= size <= MAX_UNPACKED,
        "mark": _MARK.search(data[end : end + _BEHIND]) is None,
        "trailer": _TRAILER.search(data[end : end + _FAR]) is None,
    }
    return Packing(
        first.at,
        _METHODS[first.method][0],
        extent if tampered["sizes"] else size,
        info[10] if not tampered["magic"] else 0,
        tuple(name for name, is_so in tampered.items() if is_so),
    )


def _marked(data: memoryview, elf: elffile.Header) -> Packing | None:
    """A file that says it is packed, but has no block that can be found: without sections it is believed."""
    behind_headers = elf.segments_at + elf.segment_count * elf.segment_size
    magic = bytes(data[behind_headers + 4 : behind_headers + 8]) == MAGIC
    ends = bytes(data[:_SEARCH]) + bytes(data[max(_SEARCH, len(data) - _BEHIND) :])
    if magic or (not elf.section_count and _MARK.search(ends) and _TRAILER.search(ends)):
        return Packing(-1)
    return None


def _extent(headers: bytes) -> int:
    """Where the last segment ends, by the original's headers."""
    elf = elffile.header(headers)
    if elf is None:
        return 0
    return max((s.offset + s.size for s in elffile.segments(elf, headers) if s.type == elffile.LOAD), default=0)


def _block(data: memoryview, at: int, order: str) -> _Block | None:
    """The block whose b_info lies at `at`; None where none can."""
    if at < 0 or at + _INFO > len(data):
        return None
    size, packed, method, filtered, _, unused = struct.unpack_from(
        ("<" if order == "little" else ">") + "2I4B", data, at
    )
    known = method in _METHODS or (method == 0 and size == packed)
    if not known or unused or not 0 < packed <= size <= MAX_UNPACKED:
        return None
    return _Block(at, size, packed, method, filtered)


def _usual(elf: elffile.Header) -> int:
    """Where the first block of a program lies: behind the program headers, l_info and p_info."""
    return elf.segments_at + elf.segment_count * elf.segment_size + 2 * _INFO


def _first(data: memoryview, elf: elffile.Header) -> tuple[_Block, bytes] | None:
    """The block of the original's headers, and these: where it should be, behind a magic, or wherever it is."""
    head = bytes(data[:_SEARCH])
    reach = _FAR if MAGIC in bytes(data[-_BEHIND:]) else _FAR // 8
    magics = islice((m.end() + 16 for m in re.finditer(re.escape(MAGIC), data[:reach])), 16)
    anywhere = (m.start() for m in _LIKELY[elf.order].finditer(head))
    for at in chain((_usual(elf),), islice(anywhere, 256)):
        block = _block(data, at, elf.order)
        if block is None or block.size > _MAX_HEADERS or block.stored or not block.method:
            continue
        if (block.size - 64) % 56 and (block.size - 52) % 32:
            continue  # a header and whole program headers
        headers = _beginning(data, block)
        if headers[:4] == elffile.MAGIC:
            return block, headers
    for at in magics:
        block = _block(data, at, elf.order)
        if block is not None and block.method and (beginning := _beginning(data, block)):
            return block, beginning
    return None


def _beginning(data: memoryview, block: _Block) -> bytes:
    """What the block begins with, if that much can be unpacked: its first 4 KiB, or less if it is smaller."""
    size = min(block.size, _MAX_HEADERS)
    out = bytearray()
    start = data[: block.at + _INFO + min(block.packed, 2 * _MAX_HEADERS)]
    try:
        _unpack_into(out, start, block, size)
    except ParseError:
        # a longer block ends in the middle of a match, or of what was given
        return bytes(out) if len(out) > size // 2 and size < block.size else b""
    return bytes(out)


def _unpacked(data: memoryview, block: _Block) -> bytes:
    """A block's bytes, as many as it says. Raises ParseError."""
    out = bytearray()
    _unpack_into(out, data, block, block.size)
    return bytes(out)


def _unpack_into(out: bytearray, data: memoryview, block: _Block, size: int) -> None:
    packed = bytes(data[block.at + _INFO : block.end])
    if block.stored:
        out += packed[:size]
        return
    name, width = _METHODS[block.method]
    if width:
        nrv.decompress_into(out, name, packed, size, width)
    elif name == "lzma":
        _lzma(out, packed, size)
    else:
        try:
            out += zlib.decompressobj(-15).decompress(packed, size)
        except zlib.error as e:
            raise ParseError("has a damaged block") from e
    if len(out) != size:
        raise ParseError("has a block that is shorter than it says")


def _lzma(out: bytearray, packed: bytes, size: int) -> None:
    """LZMA behind UPX's own two bytes of properties: lc + lp and pb, lp and lc."""
    if len(packed) < 8:
        raise ParseError("has a damaged block")
    pb, lp, lc = packed[0] & 7, packed[1] >> 4, packed[1] & 15
    if packed[0] >> 3 != lc + lp:
        raise ParseError("has a damaged block")
    try:
        lzma1 = {"id": lzma.FILTER_LZMA1, "dict_size": max(size, 4096), "lc": lc, "lp": lp, "pb": pb}
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[lzma1])
        out += decoder.decompress(packed[2:], size)
    except lzma.LZMAError as e:
        raise ParseError("has a damaged block") from e


def unpack(data: bytes, most: int = MAX_UNPACKED) -> tuple[dict[str, Any], bytearray]:
    """The original file, as far as its blocks can be unpacked; for the worker, because plain Python is slow.

    Segments lie where they lay, filters are not undone: strings and symbols are as they were, some jumps are not.
    Facts: `method`, `size`, `version`, `tampered` of Packing, and `problem`, None if all of it came out. Raises
    ParseError where nothing did.
    """
    view = memoryview(data)
    packing = look(view)
    elf = elffile.header(data[:64])
    if packing is None or packing.first < 0 or elf is None:
        raise ParseError("is packed by UPX or alike, but none of its blocks can be unpacked")
    image = _Image(None if "sizes" in packing.tampered else packing.size, most)
    image.loose = packing.first != _usual(elf)
    problem = None
    try:
        at = packing.first
        for block in _chain(view, at, elf.order):
            image.take(view, block)
            at = block.end
        for block in _behind(view, at, elf.order, view[packing.first + 8], image):
            image.take(view, block)
        if image.missing:
            problem = f"{image.missing} bytes of it could not be found"
    except OutOfTime:
        problem = "it took too long"
    except ParseError as e:
        problem = str(e)
    facts = {
        "method": packing.method,
        "size": packing.size,
        "version": packing.version,
        "tampered": list(packing.tampered),
        "problem": problem,
    }
    return facts, image.out


def _chain(data: memoryview, at: int, order: str) -> Iterator[_Block]:
    """One block behind the other: a handful, rarely hundreds."""
    for _ in range(_MAX_BLOCKS):
        block = _block(data, at, order)
        if block is None:
            return
        yield block
        at = block.end


def _behind(data: memoryview, at: int, order: str, method: int, image: "_Image") -> list[_Block]:
    """The blocks behind the loader: those that fill what is missing, or at least the first gap.

    The loader has a block in it too, of another size.
    """
    stop = min(at + _BEHIND, len(data))
    fallback: list[_Block] = []
    steps = 0
    while image.gap and at < stop and steps < _MAX_STEPS:
        first = _block(data, at, order)
        if first is not None and first.method in (method, 0) and first.size <= image.gap and not first.filter:
            found, size = [], 0
            for block in _chain(data, at, order):
                found.append(block)
                size += block.size
                steps += 1
                if size >= image.missing and image.sized:
                    break
            whole = size == image.missing and image.sized
            if (whole or (first.size == image.gap and not fallback)) and _unpacks(data, found):
                if whole:
                    return found
                fallback = found
        at += 1
    return fallback


def _unpacks(data: memoryview, blocks: list[_Block]) -> bool:
    """Whether the first compressed one of the blocks is one."""
    try:
        for block in blocks:
            if not block.stored:
                _unpacked(data, block)
                return True
    except ParseError:
        return False
    return False


class _Image:
    """The original as it is put together: headers, segments in their order, the gaps between them."""

    def __init__(self, size: int | None, most: int) -> None:
        self.out = bytearray()
        self._size = size
        self._most = most
        self._slots: list[tuple[int, int]] | None = None
        self.loose = False
        """The blocks are not those of a whole file: they stand one behind the other."""

    @property
    def sized(self) -> bool:
        """Whether the original's size is known."""
        return self._size is not None

    @property
    def missing(self) -> int:
        """Bytes of the original that are not there yet."""
        return sum(end - begin for begin, end in self._slots or ())

    @property
    def gap(self) -> int:
        """Bytes of the next part that is not there yet."""
        return self._slots[0][1] - self._slots[0][0] if self._slots else 0

    def take(self, data: memoryview, block: _Block) -> None:
        """Unpack the next block to where it belongs; what comes out before an error is kept."""
        piece = bytearray()
        try:
            _unpack_into(piece, data, block, block.size)
        finally:
            self._add(piece)

    def _add(self, piece: bytearray) -> None:
        if self._slots is None:
            self._slots = self._plan(bytes(piece))
            at = 0
        else:
            at = self._place(len(piece))
        if at + len(piece) > self._most:
            raise ParseError(f"it is larger than {self._most} bytes unpacked; what lies beyond was not unpacked")
        if at > len(self.out):
            self.out += bytes(at - len(self.out))
        self.out[at : at + len(piece)] = piece

    def _plan(self, headers: bytes) -> list[tuple[int, int]]:
        """Where the blocks go: the ranges of the segments, then what they leave of the file."""
        elf = elffile.header(headers)
        if elf is None or self.loose:
            self.loose = True
            return []
        loads = [s for s in elffile.segments(elf, headers) if s.type == elffile.LOAD and s.size]
        slots = []
        done = 0
        for load in loads:
            begin = len(headers) if load.offset == 0 else load.offset
            slots.append((begin, load.offset + load.size))
        gaps = []
        for begin, end in sorted([(0, len(headers)), *slots]):
            if begin > done:
                gaps.append((done, begin))
            done = max(done, end)
        if self._size is not None and self._size > done:
            gaps.append((done, self._size))
        return [slot for slot in (*slots, *gaps) if slot[0] < slot[1]]

    def _place(self, size: int) -> int:
        """Where the next `size` bytes go; behind everything where they fit nowhere."""
        if self._slots:
            begin, end = self._slots[0]
            if begin + size <= end:
                self._slots[:1] = [(begin + size, end)] if begin + size < end else []
                return begin
            self.loose = True
            self._slots = []
        return len(self.out)
