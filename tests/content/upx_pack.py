"""A packer that writes what UPX writes of an ELF file, the loader left out: what it packs can be read, never run.

The encoders are our own: a greedy search for matches, and the three bit codes of UCL's NRV algorithms.
"""

import lzma
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scanner.content import elffile

MAGIC = b"UPX!"
MARK = b"$Info: This file is packed with the UPX executable packer http://upx.sf.net $\n\0$Id: UPX 4.22 Copyright $\n\0"
METHODS = {"2b": 2, "2d": 5, "2e": 8, "lzma": 14}
LOADER = b"\x50\x52\xe8" + bytes(range(256)) * 8

Token = int | tuple[int, int]
"""A literal byte, or a match: distance and length."""


class Bits:
    """Bits in little-endian words that stand where their first bit was needed, bytes between them."""

    def __init__(self, width: int = 4) -> None:
        self.out = bytearray()
        self._width = width
        self._place = self._word = self._left = 0

    def bit(self, value: int) -> None:
        if not self._left:
            self._place, self._word, self._left = len(self.out), 0, 8 * self._width
            self.out += bytes(self._width)
        self._left -= 1
        self._word |= value << self._left
        self.out[self._place : self._place + self._width] = self._word.to_bytes(self._width, "little")

    def bits(self, values: Iterable[int]) -> None:
        for value in values:
            self.bit(value)

    def byte(self, value: int) -> None:
        self.out.append(value)


def _digits(value: int) -> list[int]:
    return [int(digit) for digit in bin(value)[3:]]


def _gamma(value: int) -> list[int]:
    """`value` ≥ 2: each bit after the first, with a stop bit behind it."""
    *most, last = _digits(value)
    return [bit for digit in most for bit in (digit, 0)] + [last, 1]


def _distance(method: str, upper: int) -> list[int]:
    """`upper` ≥ 2, the part of a distance that is not in the byte behind it."""
    if method == "2b":
        return _gamma(upper)
    # backwards: value = (previous - 1) * 2 + c, previous = before * 2 + d
    steps: list[int] = []
    value, last = divmod(upper, 2)
    tail = [last, 1]
    while value != 1:
        between, carry = divmod(value, 2)
        before, digit = divmod(between + 1, 2)
        steps[:0] = [digit, 0, carry]
        value = before
    return steps + tail


def _length(method: str, value: int, first: bool) -> list[int]:
    """The bits of a length ≥ 1; without `first`, the leading one goes into the distance."""
    if method == "2e":
        if value <= 2:
            code = [1, value - 1]
        elif value <= 4:
            code = [0, 1, value - 3]
        else:
            code = [0, 0, *_gamma(value - 3)]
    elif value <= 3:
        code = [value >> 1, value & 1]
    else:
        code = [0, 0, *_gamma(value - 2)]
    return code if first else code[1:]


def encode(method: str, tokens: Iterable[Token], width: int = 4) -> bytes:
    """The stream of these tokens with its end mark."""
    bits = Bits(width)
    last = 1
    for token in tokens:
        if isinstance(token, int):
            bits.bit(1)
            bits.byte(token)
            continue
        distance, length = token
        bits.bit(0)
        coded = length - 1 - (distance > (0xD00 if method == "2b" else 0x500))
        assert coded >= 1, "a match this short cannot be said"
        if distance == last:
            bits.bits(_distance(method, 2))
            bits.bits(_length(method, coded, first=True))
            continue
        value = distance - 1
        if method != "2b":
            leading = _length(method, coded, first=True)[0]
            value = value << 1 | (leading ^ 1)
        bits.bits(_distance(method, (value >> 8) + 3))
        bits.byte(value & 255)
        bits.bits(_length(method, coded, first=method == "2b"))
        last = distance
    bits.bit(0)
    bits.bits(_distance(method, 0x1000002))
    bits.byte(255)
    return bytes(bits.out)


def tokens_of(data: bytes) -> list[Token]:
    """Matches of four bytes and more, found by the last place where four bytes stood."""
    found: list[Token] = []
    seen: dict[bytes, int] = {}
    at = 0
    while at < len(data):
        key = data[at : at + 4]
        place = seen.get(key, -1)
        length = 0
        if place >= 0 and len(key) == 4:
            while at + length < len(data) and data[place + length] == data[at + length] and length < 4096:
                length += 1
        seen[key] = at
        if length >= 4:
            found.append((at - place, length))
            at += length
        else:
            found.append(data[at])
            at += 1
    return found


def said_by(tokens: Iterable[Token]) -> bytes:
    """What the tokens unpack to."""
    out = bytearray()
    for token in tokens:
        if isinstance(token, int):
            out.append(token)
        else:
            distance, length = token
            for _ in range(length):
                out.append(out[-distance])
    return bytes(out)


def compress(method: str, data: bytes) -> bytes:
    """As a block of UPX: one of the NRV codes, or LZMA behind two bytes of properties."""
    if method == "lzma":
        lzma1 = {"id": lzma.FILTER_LZMA1, "dict_size": max(4096, len(data)), "lc": 3, "lp": 0, "pb": 2}
        return bytes([3 << 3 | 2, 3]) + lzma.compress(data, lzma.FORMAT_RAW, filters=[lzma1])
    return encode(method, tokens_of(data))


@dataclass(frozen=True, slots=True)
class Tampering:
    """What malware changes: another magic, p_info zeroed, the mark and the trailer wiped."""

    magic: bytes = MAGIC
    sizes: bool = True
    mark: bool = True
    trailer: bool = True


ALL_TAMPERED = Tampering(b"YTS\x99", sizes=False, mark=False, trailer=False)


def pack(
    original: bytes,
    method: str = "2b",
    tampering: Tampering = Tampering(),
    compressor: Callable[[str, bytes], bytes] = compress,
) -> bytes:
    """`original`, a little-endian ELF file, as UPX 4 packs it: no sections, two segments, blocks, a dead loader."""
    elf = elffile.header(original)
    assert elf is not None
    loads = [s for s in elffile.segments(elf, original) if s.type == elffile.LOAD and s.size]
    headers = elf.segments_at + elf.segment_count * elf.segment_size
    wide = elf.bits == 64

    def block(data: bytes) -> bytes:
        packed = compressor(method, data)
        if len(packed) >= len(data):
            return struct.pack("<2I4B", len(data), len(data), 0, 0, 0, 0) + data
        return struct.pack("<2I4B", len(data), len(packed), METHODS[method], 0, 0, 0) + packed

    body = block(original[:headers])
    covered = [(0, headers)]
    for load in loads:
        begin = headers if load.offset == 0 else load.offset
        if begin < load.offset + load.size:
            body += block(original[begin : load.offset + load.size])
            covered.append((begin, load.offset + load.size))
    body += bytes(-len(body) % 4) + struct.pack("<2I4B", 0, 0, 0, 0, 0, 0)
    body += LOADER + (MARK if tampering.mark else bytes(len(MARK)))
    done = 0
    for begin, end in [*sorted(covered), (len(original), len(original))]:
        if begin > done:
            body += block(original[done:begin])
        done = max(done, end)
    largest = max(end - begin for begin, end in covered)
    size = struct.pack("<3I", 0, *((len(original), largest) if tampering.sizes else (0, 0)))
    linfo = struct.pack("<I4sHBB", 0x1234, tampering.magic, len(LOADER), 14, 22)
    trailer = struct.pack("<2I", 0, 0) + MAGIC + bytes([14, 22, METHODS[method], 8]) + bytes(24)
    if not tampering.trailer:
        trailer = bytes(len(trailer))

    segment = struct.Struct("<2I6Q" if wide else "<8I")
    front = elf.size + 2 * segment.size
    whole = front + len(linfo + size + body + trailer)
    entry = 0x100000 + whole - len(trailer) - 64
    head = bytearray(original[: elf.size])
    struct.pack_into("<3Q" if wide else "<3I", head, 24, entry, elf.size, 0)
    struct.pack_into("<6H", head, elf.size - 12, elf.size, segment.size, 2, 0, 0, 0)
    if wide:
        rows = [(1, 5, 0, 0x100000, 0x100000, whole, whole, 4096), (1, 6, 0, 0x400000, 0x400000, 0, 0x200000, 4096)]
    else:
        rows = [(1, 0, 0x100000, 0x100000, whole, whole, 5, 4096), (1, 0, 0x400000, 0x400000, 0, 0x200000, 6, 4096)]
    return bytes(head) + b"".join(segment.pack(*row) for row in rows) + linfo + size + body + trailer
