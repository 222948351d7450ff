"""What an ELF file says of itself: its frame by plain struct here, symbols and libraries through lief in the worker.

Go's build information is read here, because lief does not know it (debug/buildinfo, and runtime/debug's BuildInfo).
"""

import math
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scanner.content import elffile, upx
from scanner.content.elffile import Header, Section, Segment
from scanner.content.worker import Worker
from scanner.errors import ScannerError
from scanner.model import printable

WHOLE = 24 << 20
"""Bytes up to which a file is handed to lief whole; of a larger one, what it needs."""
MAX_SYMBOLS = 60_000
"""Above that, lief is spared the symbols: their names are searched where they lie."""
MAX_NAMES = 64 << 20
"""Bytes of a table of names that are searched."""
MOST = 256
"""Symbols, sections, libraries and dependencies that are named; all are counted."""

_TYPES = {1: "REL", 2: "EXEC", 3: "DYN", 4: "CORE"}
_MACHINES = {
    2: "SPARC", 3: "I386", 8: "MIPS", 20: "PPC", 21: "PPC64", 22: "S390", 40: "ARM", 62: "X86_64",
    183: "AARCH64", 243: "RISCV", 247: "BPF", 258: "LOONGARCH",
}  # fmt: skip
_WANTED = frozenset((2, 3, 5, 6, 7, 11, 0x6FFFFFF6))
"""SHT_SYMTAB, _STRTAB, _HASH, _DYNAMIC, _NOTE, _DYNSYM, _GNU_HASH."""
_EXECUTABLE, _WRITABLE = 1, 2
_TABLES = 4
"""Sections of one kind that are read; linkers write one or two."""
_LARGE = 64 << 10
_SAMPLE, _PIECES = 4096, 16
_GO = re.compile(rb"\xff Go buildinf:")
_RUSTC = re.compile(rb"rustc version ([0-9][ -~]{1,60})")


@dataclass(frozen=True, slots=True)
class Part:
    """A large section (or, without sections, segment): `entropy` in bits per byte, judged by samples."""

    name: str
    size: int
    entropy: float
    executable: bool


@dataclass(frozen=True, slots=True)
class GoBuild:
    """What the Go linker wrote: version, path of the main package, its module, and the modules built in."""

    version: str
    path: str = ""
    module: str = ""
    module_version: str = ""
    dependencies: tuple[tuple[str, str], ...] = ()
    dependency_count: int = 0
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ElfFacts:
    """Facts, not judgements. `symbols` are those asked for, demangled where they can be; `matching` counts them all.

    `odd` names what no linker writes; `partial` says why lief gave nothing, None where it did.
    """

    type: str
    machine: str
    bits: int
    static: bool
    stripped: bool
    interpreter: str | None
    libraries: tuple[str, ...]
    symbols: tuple[str, ...]
    matching: int
    symbol_count: int
    sections: tuple[str, ...]
    parts: tuple[Part, ...]
    entry_section: str | None
    overlay: int
    build_id: str | None
    compilers: tuple[str, ...]
    go: GoBuild | None
    rustc: str | None
    packing: upx.Packing | None
    odd: tuple[str, ...]
    partial: str | None


def suspicious_header(head: bytes) -> bool:
    """True for an ELF file without section headers, the mark of packers and of files made by hand.

    64 bytes are enough. Every linker writes section headers, and strip leaves them.
    """
    elf = elffile.header(head)
    if elf is None:
        return head[:4] == elffile.MAGIC
    if elf.type == elffile.CORE:
        return False
    # an object file may have more sections than the field can count
    return not elf.sections_at or (not elf.section_count and elf.type != elffile.REL)


def analyse(data: memoryview, worker: Worker, symbols: str) -> ElfFacts | None:
    """The facts of an ELF file of any size; None for anything else. Never raises for what a file can hold.

    `symbols` is a regular expression (re.search, text) of the symbol names of interest.
    """
    elf = elffile.header(bytes(data[:64]))
    if elf is None:
        return None
    segments, sections = elffile.segments(elf, data), elffile.sections(elf, data)
    tables = [s for s in sections if s.type in (elffile.SYMTAB, elffile.DYNSYM)]
    count = sum(s.size // s.entry_size for s in tables if s.entry_size)
    found: dict[str, Any] = {}
    partial = None
    many = count > MAX_SYMBOLS
    try:
        handed = data if len(data) <= WHOLE and not many else memoryview(reduce(data, elf, segments, sections, many))
        found = _checked(worker.call(_parse, handed, {"pattern": symbols, "most": MOST, "names": not many}))
    except ScannerError as e:
        partial = str(e)
    names, matching = found.get("symbols", ()), found.get("matching", 0)
    if many or partial is not None:
        names, matching = _search_names(data, tables, sections, re.compile(symbols.encode()))
    libraries = tuple(found.get("libraries", ()))
    interpreter = _interpreter(data, segments)
    comments = [s for s in sections if s.name == b".comment"][:_TABLES]
    comment = b"\0".join(bytes(data[s.offset : s.offset + min(s.size, 4096)]) for s in comments)
    rustc = _RUSTC.search(comment)
    return ElfFacts(
        type=_TYPES.get(elf.type, str(elf.type)),
        machine=_MACHINES.get(elf.machine, str(elf.machine)),
        bits=elf.bits,
        static=elf.type in (2, 3) and interpreter is None and not libraries,
        stripped=not any(s.type == elffile.SYMTAB and s.size for s in sections),
        interpreter=interpreter,
        libraries=libraries,
        symbols=tuple(names),
        matching=matching,
        symbol_count=count or found.get("symbol_count", 0),
        sections=tuple(printable(s.name, 64) for s in sections[1 : MOST + 1]),
        parts=_parts(data, segments, sections),
        entry_section=_entry_section(elf, sections),
        overlay=max(0, len(data) - _end(elf, segments, sections)),
        build_id=_build_id(data, segments, sections, elf),
        compilers=tuple(dict.fromkeys(printable(c, 80) for c in comment.split(b"\0") if c))[:8],
        go=go_build(data, segments, sections),
        rustc=printable(rustc[1]) if rustc else None,
        packing=upx.look(data),
        odd=_odd(data, elf, segments, sections),
        partial=partial,
    )


def prepare() -> None:
    """For the worker: load lief before memory is limited."""
    import lief

    lief.logging.disable()


def _parse(data: bytes, pattern: str, most: int, names: bool) -> dict[str, Any]:
    """In the worker: what lief finds. `names` is False where symbols are searched elsewhere."""
    import lief

    config = lief.ELF.ParserConfig()
    config.parse_relocations = False
    config.parse_symbol_versions = False
    config.parse_overlay = False
    config.parse_notes = False
    config.parse_dyn_symbols = config.parse_symtab_symbols = names
    binary = lief.ELF.parse(data, config)
    if binary is None:
        raise ValueError("lief cannot parse it")
    wanted = re.compile(pattern)
    found: dict[str, None] = {}
    matching = count = 0
    if names:
        for table in (binary.symtab_symbols, binary.dynamic_symbols):
            for symbol in table:
                count += 1
                name = _text(symbol.name)
                if wanted.search(name):
                    matching += name not in found
                    if len(found) < most:
                        found[name] = None
    return {
        "libraries": [_text(name)[:256] for name in binary.libraries[:most]],
        "symbols": [_demangled(lief, name)[:256] for name in found],
        "matching": matching,
        "symbol_count": count,
    }


def _demangled(lief: Any, name: str) -> str:
    if len(name) >= 1024 or not name.startswith("_Z"):
        return name
    symbol = lief.ELF.Symbol()
    symbol.name = name
    return _text(symbol.demangled_name) or name


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")


def _checked(found: Any) -> dict[str, Any]:
    """What came from the worker, if it has the form it should have: nobody knows who answered there."""
    try:
        return {
            "libraries": [printable(str(name)) for name in found["libraries"][:MOST]],
            "symbols": [printable(str(name)) for name in found["symbols"][:MOST]],
            "matching": int(found["matching"]),
            "symbol_count": int(found["symbol_count"]),
        }
    except (KeyError, TypeError, ValueError) as e:
        raise ScannerError("its parser answered nonsense") from e


def reduce(
    data: memoryview, elf: Header, segments: Sequence[Segment], sections: Sequence[Section], without_names: bool
) -> bytes:
    """A small ELF file with what lief needs of a large one: the same headers, tables and notes, no code and no data.

    Every kept section that is loaded gets a segment of its own, so that addresses still lead to it. A file without
    sections is cut off instead.
    """
    if not sections:
        return bytes(data[:WHOLE])
    # the names of libraries lie among those of the dynamic symbols: only the other table can go
    symbols = [s for s in sections if s.type == elffile.SYMTAB and without_names]
    dropped = {n for s in symbols for n in (s.index, s.link)}
    kept: list[Section] = []
    room = WHOLE
    for section in sections:
        wanted = section.type in _WANTED or section.name in (b".interp", b".comment")
        if wanted and section.index not in dropped and section.size <= room:
            room -= section.size
            kept.append(section)
    wide = elf.bits == 64
    segment = struct.Struct(elf.sign + ("2I6Q" if wide else "8I"))
    row = struct.Struct(elf.sign + ("2I4Q2I2Q" if wide else "10I"))
    special = [s for s in segments if s.type in (elffile.DYNAMIC, elffile.INTERP, elffile.NOTE)]
    loaded = [s for s in kept if s.flags & elffile.ALLOC]
    body = bytearray(elf.size + segment.size * (len(special) + len(loaded)))
    moved: dict[int, int] = {}
    for section in kept:
        body += bytes(-len(body) % 16)
        moved[section.index] = len(body)
        body += data[section.offset : section.offset + section.size]
    at = elf.size
    for kind, flags, address, size, offset in (
        *((elffile.LOAD, 4, s.address, s.size, moved[s.index]) for s in loaded),
        *((s.type, s.flags, s.address, s.size, _moved_to(s, kept, moved)) for s in special),
    ):
        values = (
            (kind, flags, offset, address, address, size, size, 8)
            if wide
            else (kind, offset, address, address, size, size, flags, 4)
        )
        segment.pack_into(body, at, *values)
        at += segment.size
    names_at = len(body)
    body += (
        data[sections[elf.names].offset :][: min(sections[elf.names].size, 1 << 20)]
        if elf.names < len(sections)
        else b""
    )
    body += bytes(-len(body) % 16)
    table_at = len(body)
    for section in sections:
        raw = list(row.unpack_from(data, elf.sections_at + section.index * elf.section_size))
        if section.index in moved:
            raw[4] = moved[section.index]
        elif section.index == elf.names:
            raw[4], raw[5] = names_at, min(section.size, 1 << 20)
        elif section.index:
            raw[1], raw[4] = elffile.NOBITS, 0
        body += row.pack(*raw)
    head = bytearray(data[: elf.size])
    wide_offsets = elf.sign + ("2Q" if wide else "2I")
    struct.pack_into(wide_offsets, head, 32 if wide else 28, elf.size, table_at)
    struct.pack_into(elf.sign + "6H", head, elf.size - 12, elf.size, segment.size, len(special) + len(loaded), row.size,
                     min(len(sections), 0xFEFF), elf.names)  # fmt: skip
    body[: elf.size] = head
    return bytes(body)


def _moved_to(segment: Segment, kept: Sequence[Section], moved: dict[int, int]) -> int:
    """Where a segment's section went; 0 for one that was left out."""
    return next((moved[s.index] for s in kept if s.address == segment.address and s.address), 0)


def _search_names(
    data: memoryview, tables: Sequence[Section], sections: Sequence[Section], wanted: re.Pattern[bytes]
) -> tuple[list[str], int]:
    """Matching names in the symbol tables' strings, read where they lie."""
    found: dict[bytes, None] = {}
    matching = 0
    for index in sorted({s.link for s in tables})[:_TABLES]:
        if index >= len(sections):
            continue
        begin = sections[index].offset
        strings = data[begin : begin + min(sections[index].size, MAX_NAMES)]
        end = -1
        for match in wanted.finditer(strings):
            if match.start() < end:
                continue
            begin = match.start() - len(
                bytes(strings[max(0, match.start() - 4096) : match.start()]).rpartition(b"\0")[2]
            )
            name = bytes(strings[begin : begin + 8192]).partition(b"\0")[0]
            end = begin + len(name) + 1
            matching += name not in found
            if len(found) < MOST:
                found[name] = None
    return [printable(name) for name in found], matching


def _interpreter(data: memoryview, segments: Sequence[Segment]) -> str | None:
    for segment in segments:
        if segment.type == elffile.INTERP:
            return printable(bytes(data[segment.offset : segment.offset + min(segment.size, 256)]).partition(b"\0")[0])
    return None


def entropy(data: memoryview) -> float:
    """Shannon's entropy in bits per byte (0 to 8), of 64 KiB at most, taken evenly."""
    step = max(_SAMPLE, len(data) // _PIECES)
    sample = b"".join(bytes(data[at : at + _SAMPLE]) for at in range(0, len(data), step))
    if not sample:
        return 0.0
    counts = [c for c in map(sample.count, range(256)) if c]
    return round(-sum(c / len(sample) * math.log2(c / len(sample)) for c in counts), 2) + 0.0


def _parts(data: memoryview, segments: Sequence[Segment], sections: Sequence[Section]) -> tuple[Part, ...]:
    """The largest sections of 64 KiB and more; all loaded segments where there are no sections."""
    rows = [
        (printable(s.name, 64), s.offset, s.size, bool(s.flags & 4))
        for s in sections
        if s.type != elffile.NOBITS and s.size >= _LARGE and s.offset + s.size <= len(data)
    ]
    if not sections:
        rows = [
            (f"segment {index}", s.offset, min(s.size, len(data) - s.offset), bool(s.flags & _EXECUTABLE))
            for index, s in enumerate(segments)
            if s.type == elffile.LOAD and s.size and s.offset < len(data)
        ]
    rows.sort(key=lambda row: -row[2])
    return tuple(
        Part(name, size, entropy(data[offset : offset + size]), executable)
        for name, offset, size, executable in rows[:8]
    )


def _entry_section(elf: Header, sections: Sequence[Section]) -> str | None:
    for section in sections:
        if section.flags & elffile.ALLOC and 0 <= elf.entry - section.address < section.size and elf.entry:
            return printable(section.name, 64)
    return None


def _end(elf: Header, segments: Sequence[Segment], sections: Sequence[Section]) -> int:
    """Where the file ends by its own account."""
    return max(
        elf.size,
        elf.segments_at + elf.segment_count * elf.segment_size,
        elf.sections_at + len(sections) * elf.section_size,
        *(s.offset + s.size for s in segments),
        *(s.offset + s.size for s in sections if s.type != elffile.NOBITS),
    )


def _odd(data: memoryview, elf: Header, segments: Sequence[Segment], sections: Sequence[Section]) -> tuple[str, ...]:
    loads = [s for s in segments if s.type == elffile.LOAD]
    facts = (
        ("no section headers", not sections and elf.type in (2, 3)),
        ("section headers lie beyond its end", bool(elf.sections_at) and not sections and elf.section_count > 0),
        ("cut off: a segment lies beyond its end", any(s.offset + s.size > len(data) for s in loads)),
        ("a segment is writable and executable", any(s.flags & 3 == 3 for s in loads)),
        ("the entry point lies in no executable segment", elf.type in (2, 3) and bool(elf.entry) and not any(
            s.flags & _EXECUTABLE and 0 <= elf.entry - s.address < max(s.size, s.memory) for s in loads)),
        ("a segment grows to more than eight times its size", any(s.memory > 8 * s.size and s.memory > 1 << 20
                                                                 and s.flags & _EXECUTABLE for s in loads)),
        ("more segments than any linker writes", elf.segment_count > 64),
    )  # fmt: skip
    return tuple(name for name, is_so in facts if is_so)


def _build_id(data: memoryview, segments: Sequence[Segment], sections: Sequence[Section], elf: Header) -> str | None:
    """The hexadecimal id of the note GNU 3 (NT_GNU_BUILD_ID)."""
    places = [(s.offset, s.size) for s in sections if s.type == 7] or [
        (s.offset, s.size) for s in segments if s.type == elffile.NOTE
    ]
    for offset, size in places[:16]:
        for name, kind, content in _notes(bytes(data[offset : offset + min(size, 1 << 16)]), elf.sign):
            if (name, kind) == (b"GNU\0", 3):
                return content[:64].hex()
    return None


def _notes(data: bytes, sign: str) -> Iterator[tuple[bytes, int, bytes]]:
    layout = struct.Struct(sign + "3I")
    at = 0
    while at + 12 <= len(data):
        name, content, kind = layout.unpack_from(data, at)
        begin = at + 12 + name + -name % 4
        yield data[at + 12 : at + 12 + name], kind, data[begin : begin + content]
        at = begin + content + -content % 4


def go_build(data: memoryview, segments: Sequence[Segment], sections: Sequence[Section]) -> GoBuild | None:
    """Go's build information: strings behind its magic (Go 1.18 and later), or pointers to them before."""
    places = [(s.offset, min(s.size, 1 << 20)) for s in sections if s.name == b".go.buildinfo"][:_TABLES]
    places += [(s.offset, min(s.size, 1 << 20)) for s in segments if s.type == elffile.LOAD and s.flags & _WRITABLE]
    if any(s.name in (b".gopclntab", b".note.go.buildid") for s in sections):
        places.append((0, 64 << 20))
    for offset, size in places:
        if (match := _GO.search(data[offset : offset + size])) is not None:
            at = offset + match.start()
            break
    else:
        return None
    head = bytes(data[at : at + 32])
    if len(head) < 32:
        return None
    if head[15] & 2:
        version, at = _inline(data, at + 32)
        modules, _ = _inline(data, at)
    else:
        width, order = head[14], ">" if head[15] & 1 else "<"
        if width not in (4, 8):
            return None
        pointers = struct.unpack_from(order + ("2Q" if width == 8 else "2I"), head, 16)
        version, modules = (_string(data, p, width, order, segments) for p in pointers)
    if not version.startswith((b"go", b"devel")):
        return None
    if len(modules) >= 33 and modules[-17:-16] == b"\n":
        modules = modules[16:-16]  # between two marks of 16 bytes
    return _go_modules(printable(version, 80), modules.decode("utf-8", "backslashreplace"))


def _inline(data: memoryview, at: int) -> tuple[bytes, int]:
    """A string behind its length (a varint), and where it ends."""
    size = shift = 0
    while at < len(data) and shift < 35:
        byte = data[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    size = min(size, 1 << 20)
    return bytes(data[at : at + size]), at + size


def _string(data: memoryview, pointer: int, width: int, order: str, segments: Sequence[Segment]) -> bytes:
    """A Go string by the address of its header: pointer and length."""
    at = _offset(pointer, segments)
    if at is None or at + 2 * width > len(data):
        return b""
    address, size = struct.unpack_from(order + ("2Q" if width == 8 else "2I"), data, at)
    at = _offset(address, segments)
    return b"" if at is None else bytes(data[at : at + min(size, 1 << 20)])


def _offset(address: int, segments: Sequence[Segment]) -> int | None:
    for segment in segments:
        if segment.type == elffile.LOAD and 0 <= address - segment.address < segment.size:
            return segment.offset + address - segment.address
    return None


def _go_modules(version: str, text: str) -> GoBuild:
    path = module = module_version = ""
    dependencies: list[tuple[str, str]] = []
    settings: list[tuple[str, str]] = []
    for line in text.split("\n"):
        kind, *fields = (printable(field) for field in line.split("\t")[:4])
        first, second = (*fields, "", "")[:2]
        if kind == "path":
            path = first
        elif kind == "mod":
            module, module_version = first, second
        elif kind == "dep":
            dependencies.append((first, second))
        elif kind == "=>" and dependencies:
            dependencies[-1] = (first, second)
        elif kind == "build":
            key, _, value = first.partition("=")
            settings.append((key, value))
    return GoBuild(
        version,
        path,
        module,
        module_version,
        tuple(dependencies[:MOST]),
        len(dependencies),
        tuple(settings[:64]),
    )
