"""ELF facts: of files built here, of this Python, of files far too large, and of files that lie."""

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.elf import Program, build
from scanner.content import elf, elffile
from scanner.content.elf import ElfFacts, analyse, suspicious_header
from scanner.content.worker import Worker
from scanner.mapped import mapped
from scanner.model import Limits
from tests.content.upx_pack import ALL_TAMPERED, pack

SYMBOLS = "randomx|cryptonight|xmrig"
DYNAMIC = build(
    Program(
        strings=b"nothing to see\0" * 20_000,
        symbols=("randomx_create_vm", "_ZN5xmrig6Client5loginEv", "main", "puts_all"),
        needed=("libhwloc.so.15", "libc.so.6"),
        imports=("cryptonight_hash", "puts"),
    )
)
STATIC = build(Program(strings=b"nothing", symbols=("main",)))
STRIPPED = build(Program(strings=b"nothing"))
BARE = build(Program(strings=b"nothing", sections=False))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker(Limits())
    yield worker
    worker.close()


def facts(worker: Worker, data: bytes, symbols: str = SYMBOLS) -> ElfFacts:
    found = analyse(memoryview(data), worker, symbols)
    assert found is not None
    return found


def test_a_dynamic_program_with_symbols(worker: Worker) -> None:
    found = facts(worker, DYNAMIC)
    assert (found.type, found.machine, found.bits) == ("DYN", "X86_64", 64)
    assert (found.static, found.stripped, found.partial, found.odd) == (False, False, None, ())
    assert found.interpreter == "/lib64/ld-linux-x86-64.so.2"
    assert found.libraries == ("libhwloc.so.15", "libc.so.6")
    assert found.symbols == ("randomx_create_vm", "xmrig::Client::login()", "cryptonight_hash")
    assert found.matching == 3
    assert found.symbol_count >= 6
    assert ".text" in found.sections
    assert found.entry_section == ".text"
    assert found.overlay == 0
    assert found.compilers == ("GCC: (Debian 12.2.0-14) 12.2.0",)
    assert (found.go, found.rustc, found.packing) == (None, None, None)
    [part] = [p for p in found.parts if p.size > 200_000]
    assert part.entropy < 4
    assert not part.executable


def test_static_and_stripped(worker: Worker) -> None:
    assert (facts(worker, STATIC).static, facts(worker, STATIC).stripped) == (True, False)
    assert (facts(worker, STRIPPED).static, facts(worker, STRIPPED).stripped) == (True, True)


def test_a_file_without_sections(worker: Worker) -> None:
    found = facts(worker, BARE)
    assert found.odd == ("no section headers",)
    assert (found.sections, found.entry_section, found.stripped) == ((), None, True)
    assert found.parts[0].name.startswith("segment ")


def test_bytes_behind_the_end_are_an_overlay(worker: Worker) -> None:
    assert facts(worker, STATIC + b"x" * 12345).overlay == 12345


def test_a_packed_program_says_so(worker: Worker) -> None:
    found = facts(worker, pack(DYNAMIC, "lzma", ALL_TAMPERED))
    assert found.packing is not None
    assert found.packing.method == "lzma"
    assert found.packing.tampered == ("magic", "sizes", "mark", "trailer")


def test_this_python_has_its_symbols_and_build_id(worker: Worker) -> None:
    with (
        Path(os.path.realpath(sys.executable)).open("rb") as file,
        mapped(file.fileno(), 0, os.fstat(file.fileno()).st_size) as view,
    ):
        found = analyse(view, worker, r"\APy_(Bytes)?Main\Z")
    assert found is not None
    assert found.partial is None
    assert found.libraries
    assert {"Py_BytesMain"} <= set(found.symbols) or any("libpython" in name for name in found.libraries)


def with_padding(data: bytes, size: int) -> bytes:
    """The same ELF file with `size` bytes between what it had and its section headers, which count as its last section's."""
    header = bytearray(data[:64])
    [table] = struct.unpack_from("<Q", header, 40)
    count = struct.unpack_from("<H", header, 60)[0]
    rows = bytearray(data[table : table + 64 * count])
    padded = data[:table] + bytes(size)
    struct.pack_into("<Q", header, 40, len(padded))
    at = 64 * (count - 1)
    rows += struct.pack("<2I4Q2I2Q", 0, 1, 0, 0, table, size, 0, 0, 1, 0)
    struct.pack_into("<H", header, 60, count + 1)
    assert at
    return bytes(header) + padded[64:] + bytes(rows)


def test_a_file_larger_than_lief_is_given_has_the_same_facts(worker: Worker) -> None:
    large = with_padding(DYNAMIC, elf.WHOLE)
    small, whole = facts(worker, DYNAMIC), facts(worker, large)
    assert len(large) > elf.WHOLE
    for name in ("libraries", "symbols", "matching", "interpreter", "static", "stripped", "build_id", "compilers"):
        assert getattr(whole, name) == getattr(small, name), name
    assert whole.partial is None


def test_what_is_handed_over_is_small() -> None:
    large = memoryview(with_padding(DYNAMIC, elf.WHOLE))
    header = elffile.header(bytes(large[:64]))
    assert header is not None
    reduced = elf.reduce(large, header, elffile.segments(header, large), elffile.sections(header, large), False)
    assert len(reduced) < 64 << 10


def test_more_symbols_than_lief_is_given_are_searched_where_they_lie(worker: Worker) -> None:
    names = (*(f"function_{n}" for n in range(elf.MAX_SYMBOLS + 10)), "randomx_vm", "xmrig_start", "the_randomx_end")
    found = facts(worker, build(Program(symbols=names, needed=("libuv.so.1",))))
    assert found.symbol_count > elf.MAX_SYMBOLS
    assert set(found.symbols) == {"randomx_vm", "xmrig_start", "the_randomx_end"}
    assert found.matching == 3
    assert found.libraries == ("libuv.so.1",)
    assert found.partial is None


def test_more_matches_than_are_named_are_counted(worker: Worker) -> None:
    found = facts(worker, build(Program(symbols=tuple(f"randomx_{n}" for n in range(1000)))))
    assert (len(found.symbols), found.matching) == (elf.MOST, 1000)


# ---- Go


def go_inline(version: str, modules: str) -> bytes:
    def counted(text: bytes) -> bytes:
        size, out = len(text), b""
        while size >= 0x80:
            out += bytes([size & 0x7F | 0x80])
            size >>= 7
        return out + bytes([size]) + text

    marked = (
        b"0w\xaf\f\x92t\b\x02A\xe1\xc1\a\xe6\xd6\x18\xe6"
        + modules.encode()
        + b"\xf92C1\x86\x18 r\0\x82B\x10A\x16\xd8\xf2"
    )
    return b"\xff Go buildinf:\x08\x02" + bytes(16) + counted(version.encode()) + counted(marked)


MODULES = (
    "path\texample.org/agent/cmd/agent\n"
    "mod\texample.org/agent\tv1.2.3\th1:abc=\n"
    "dep\tgithub.com/example/stratum\tv0.4.0\th1:def=\n"
    "dep\tgithub.com/example/randomx\tv1.0.0\n"
    "=>\texample.org/fork/randomx\tv1.0.1\th1:ghi=\n"
    "build\t-compiler=gc\nbuild\tCGO_ENABLED=0\n"
)


def with_data(payload: bytes) -> bytes:
    """A section-less ELF file of one writable segment at 0x400000."""
    size = 64 + 56 + len(payload)
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<2HI3QI6H", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return head + struct.pack("<2I6Q", 1, 6, 0, 0x400000, 0x400000, size, size, 4096) + payload


def test_go_build_information_of_a_stripped_program(worker: Worker) -> None:
    go = facts(worker, with_data(bytes(100) + go_inline("go1.22.1", MODULES))).go
    assert go == elf.GoBuild(
        version="go1.22.1",
        path="example.org/agent/cmd/agent",
        module="example.org/agent",
        module_version="v1.2.3",
        dependencies=(("github.com/example/stratum", "v0.4.0"), ("example.org/fork/randomx", "v1.0.1")),
        dependency_count=2,
        settings=(("-compiler", "gc"), ("CGO_ENABLED", "0")),
    )


def test_go_build_information_behind_pointers_as_before_1_18(worker: Worker) -> None:
    modules = b"0123456789abcdef" + b"path\texample.org/old\n" + b"0123456789abcdef"
    start = 0x400078
    strings = b"go1.16.5" + modules
    texts = start + 64
    payload = b"\xff Go buildinf:\x08\x00" + struct.pack("<2Q", start + 32, start + 48)
    payload += struct.pack("<4Q", texts, 8, texts + 8, len(modules))
    go = facts(worker, with_data(payload + strings)).go
    assert go is not None
    assert (go.version, go.path) == ("go1.16.5", "example.org/old")


@pytest.mark.parametrize("payload", [b"\xff Go buildinf:", b"\xff Go buildinf:\x08\x02" + bytes(16) + b"\xff" * 40])
def test_half_a_go_header_is_none(worker: Worker, payload: bytes) -> None:
    assert facts(worker, with_data(payload)).go is None


def test_a_rust_compiler_is_named(worker: Worker) -> None:
    found = facts(worker, build(Program(comment="rustc version 1.80.1 (3f5fd8dd4 2024-08-06)")))
    assert found.rustc == "1.80.1 (3f5fd8dd4 2024-08-06)"


# ---- headers that deserve a look


def test_files_without_section_headers_are_suspicious() -> None:
    assert suspicious_header(BARE[:64])
    assert suspicious_header(pack(DYNAMIC)[:512])
    assert suspicious_header(b"\x7fELF" + b"\xff" * 60)
    without_count = bytearray(DYNAMIC[:64])
    without_count[60:62] = bytes(2)
    assert suspicious_header(bytes(without_count))


@pytest.mark.parametrize("data", [DYNAMIC, STATIC, STRIPPED, Path(os.path.realpath(sys.executable)).read_bytes()[:512]])
def test_what_linkers_write_is_not(data: bytes) -> None:
    assert not suspicious_header(data[:64])
    assert not suspicious_header(data[:512])


def test_core_dumps_and_other_files_are_not() -> None:
    core = bytearray(BARE[:64])
    core[16] = 4
    assert not suspicious_header(bytes(core))
    assert not suspicious_header(b"#!/bin/sh")


# ---- hostile


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_files_never_raise(worker: Worker, data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from([DYNAMIC[:20_000] + DYNAMIC[-3000:], STATIC, BARE, _SMALL])))
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(16, min(len(file), 600) - 8) | st.integers(max(16, len(file) - 3000), len(file) - 8))
        file[at : at + 8] = data.draw(
            st.sampled_from([b"\xff" * 8, bytes(8), struct.pack("<Q", at), b"\x7f" + bytes(7)])
        )
    file = file[: data.draw(st.integers(64, len(file)))]
    found = analyse(memoryview(file), worker, SYMBOLS)
    assert found is None or found.bits in (32, 64)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tail=st.binary(max_size=300), wide=st.booleans(), big=st.booleans())
def test_any_bytes_behind_the_magic(worker: Worker, tail: bytes, wide: bool, big: bool) -> None:
    analyse(memoryview(b"\x7fELF" + bytes([2 if wide else 1, 2 if big else 1, 1]) + tail), worker, SYMBOLS)


def test_a_parser_that_dies_leaves_partial_facts() -> None:
    """The worker cannot even start lief in that little memory: what plain Python reads is there all the same."""
    worker = Worker(Limits(native_bytes=1 << 16))
    found = facts(worker, DYNAMIC)
    worker.close()
    assert found.partial is not None
    assert "native-bytes" in found.partial
    assert set(found.symbols) == {"randomx_create_vm", "_ZN5xmrig6Client5loginEv", "cryptonight_hash"}
    assert found.interpreter == "/lib64/ld-linux-x86-64.so.2"


_SMALL = build(Program(symbols=("randomx",), needed=("libc.so.6",), imports=("puts",)))
