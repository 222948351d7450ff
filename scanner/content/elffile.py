"""The frame of an ELF file, read by plain struct: header, segments, sections. It never fails and never reads far.

Format: System V ABI, chapter 4 (gabi41) and elf(5).
"""

import struct
from dataclasses import dataclass
from typing import Literal

MAGIC = b"\x7fELF"
MAX_SEGMENTS = 256
MAX_SECTIONS = 16384

REL, EXEC, DYN, CORE = 1, 2, 3, 4
LOAD, DYNAMIC, INTERP, NOTE = 1, 2, 3, 4
SYMTAB, STRTAB, NOBITS, DYNSYM = 2, 3, 8, 11
ALLOC = 2


@dataclass(frozen=True, slots=True)
class Segment:
    type: int
    flags: int
    offset: int
    address: int
    size: int
    memory: int


@dataclass(frozen=True, slots=True)
class Section:
    name: bytes
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    entry_size: int
    index: int


@dataclass(frozen=True, slots=True)
class Header:
    """What the first 64 bytes say, believed as they are."""

    bits: Literal[32, 64]
    order: Literal["little", "big"]
    type: int
    machine: int
    entry: int
    segments_at: int
    sections_at: int
    segment_size: int
    segment_count: int
    section_size: int
    section_count: int
    names: int

    @property
    def size(self) -> int:
        return 64 if self.bits == 64 else 52

    @property
    def sign(self) -> str:
        """For struct: the byte order."""
        return "<" if self.order == "little" else ">"


def header(head: bytes) -> Header | None:
    """The header at the beginning of an ELF file; None for anything else."""
    if head[:4] != MAGIC or len(head) < 52 or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    sign = "<" if head[5] == 1 else ">"
    if head[4] == 2:
        if len(head) < 64:
            return None
        values = struct.unpack_from(sign + "2HI3QI6H", head, 16)
    else:
        values = struct.unpack_from(sign + "2HI3II6H", head, 16)
    kind, machine, _, entry, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, shstrndx = values
    return Header(
        64 if head[4] == 2 else 32,
        "little" if head[5] == 1 else "big",
        kind,
        machine,
        entry,
        phoff,
        shoff,
        phentsize,
        phnum,
        shentsize,
        shnum,
        shstrndx,
    )


def segments(elf: Header, data: memoryview | bytes) -> tuple[Segment, ...]:
    """The program headers that lie within the data, 256 at most."""
    layout = struct.Struct(elf.sign + ("2I6Q" if elf.bits == 64 else "8I"))
    if elf.segment_size < layout.size:
        return ()
    found = []
    for index in range(min(elf.segment_count, MAX_SEGMENTS)):
        at = elf.segments_at + index * elf.segment_size
        if at + layout.size > len(data):
            break
        if elf.bits == 64:
            kind, flags, offset, address, _, size, memory, _ = layout.unpack_from(data, at)
        else:
            kind, offset, address, _, size, memory, flags, _ = layout.unpack_from(data, at)
        found.append(Segment(kind, flags, offset, address, size, memory))
    return tuple(found)


def sections(elf: Header, data: memoryview) -> tuple[Section, ...]:
    """The section headers that lie within the data, with their names; 16,384 at most."""
    layout = struct.Struct(elf.sign + ("2I4Q2I2Q" if elf.bits == 64 else "10I"))
    if not elf.sections_at or elf.section_size < layout.size:
        return ()
    count, names = elf.section_count, elf.names
    if elf.sections_at + layout.size <= len(data):
        # counts that do not fit stand in the first, otherwise empty section
        first = layout.unpack_from(data, elf.sections_at)
        count = count or first[5]
        names = first[6] if names == 0xFFFF else names
    rows = []
    for index in range(min(count, MAX_SECTIONS)):
        at = elf.sections_at + index * elf.section_size
        if at + layout.size > len(data):
            break
        rows.append(layout.unpack_from(data, at))
    table = b""
    if names < len(rows):
        _, _, _, _, offset, size, *_ = rows[names]
        table = bytes(data[offset : offset + min(size, 1 << 22)])
    found = []
    for index, (name, kind, flags, address, offset, size, link, _, _, entry_size) in enumerate(rows):
        text = table[name : name + 256].partition(b"\0")[0]
        found.append(Section(text, kind, flags, address, offset, size, link, entry_size, index))
    return tuple(found)
