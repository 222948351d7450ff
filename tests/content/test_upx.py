"""UPX recognised and undone: whole, tampered with, cut off, and things that only look like it."""

import random
import struct
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.elf import Program, build
from scanner.content import upx
from scanner.errors import ParseError
from tests.content.upx_pack import ALL_TAMPERED, METHODS, Tampering, pack

SENTENCES = b"\0".join(b"stratum+tcp://pool-%d.example:3333 of a look-alike that mines nothing" % n for n in range(900))
ORIGINAL = build(Program(strings=SENTENCES, symbols=("randomx_create_vm", "main"), needed=("libc.so.6",)))


def elf32(text: bytes) -> bytes:
    """A 32-bit file: a header, one segment that holds all, no sections."""
    size = 52 + 32 + len(text)
    head = b"\x7fELF\1\1\1" + bytes(9) + struct.pack("<2H5I6H", 2, 3, 1, 0x8048054, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    return head + struct.pack("<8I", 1, 0, 0x8048000, 0x8048000, size, size, 5, 4096) + text


@pytest.mark.parametrize("method", METHODS)
def test_a_packed_program_comes_back_byte_for_byte(method: str) -> None:
    packed = pack(ORIGINAL, method)
    assert b"pool-7.example" not in packed

    found = upx.look(memoryview(packed))
    facts, plain = upx.unpack(packed)

    assert found == upx.Packing(first=200, method=method, size=len(ORIGINAL), version=14, tampered=())
    assert facts == {"method": method, "size": len(ORIGINAL), "version": 14, "tampered": [], "problem": None}
    assert plain == ORIGINAL


@pytest.mark.parametrize("method", METHODS)
def test_a_32_bit_program(method: str) -> None:
    original = elf32(SENTENCES)
    facts, plain = upx.unpack(pack(original, method))
    assert (facts["problem"], plain) == (None, original)


@pytest.mark.parametrize(
    ("tampering", "names"),
    [
        (Tampering(magic=b"YTS\x99"), ("magic",)),
        (Tampering(magic=bytes(4)), ("magic",)),
        (Tampering(sizes=False), ("sizes",)),
        (Tampering(mark=False), ("mark",)),
        (Tampering(trailer=False), ("trailer",)),
        (ALL_TAMPERED, ("magic", "sizes", "mark", "trailer")),
    ],
)
@pytest.mark.parametrize("method", ["2e", "lzma"])
def test_tampering_is_named_and_hides_nothing(tampering: Tampering, names: tuple[str, ...], method: str) -> None:
    packed = pack(ORIGINAL, method, tampering)
    found = upx.look(memoryview(packed))
    facts, plain = upx.unpack(packed)
    assert found is not None
    assert (found.first, found.tampered) == (200, names)
    assert facts["problem"] is None
    assert plain == ORIGINAL


def test_blocks_are_found_when_they_lie_elsewhere() -> None:
    """A lookalike may put bytes of its own before l_info."""
    packed = pack(ORIGINAL, "2b", ALL_TAMPERED)
    moved = packed[:176] + bytes(range(1, 100)) + packed[176:]
    found = upx.look(memoryview(moved))
    assert found is not None
    assert found.first == 200 + 99
    assert b"pool-899.example" in upx.unpack(moved)[1]


def test_what_a_cut_off_file_still_holds() -> None:
    packed = pack(ORIGINAL, "2b")
    facts, plain = upx.unpack(packed[: len(packed) // 2])
    assert facts["problem"]
    assert plain[:4] == b"\x7fELF"
    assert b"pool-7.example" in plain
    assert b"pool-899.example" not in plain


def test_blocks_that_no_one_can_read_are_said_to_be_packed() -> None:
    packed = bytearray(pack(ORIGINAL, "2b"))
    packed[212:280] = bytes(68)
    assert upx.look(memoryview(packed)) == upx.Packing(first=-1)
    with pytest.raises(ParseError, match="none of its blocks"):
        upx.unpack(bytes(packed))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"UPX!" * 100,
        b"This file is packed with the UPX executable packer UPX!\x0e\x16\x02" + bytes(1000),
        ORIGINAL,
        ORIGINAL + b"$Info: This file is packed with the UPX executable packer $ UPX!\x0e\x16\x02",
        build(Program(strings=b"UPX! $Id: UPX 4.22 Copyright", sections=True)),
    ],
)
def test_words_alone_are_no_packing(data: bytes) -> None:
    assert upx.look(memoryview(data)) is None


def test_a_block_that_promises_more_than_it_may_is_an_error() -> None:
    facts, plain = upx.unpack(pack(elf32(bytes(3 << 20)), "2d"), most=1 << 20)
    assert "larger than 1048576" in facts["problem"]
    assert len(plain) <= 1 << 20


def test_hostile_chains_take_no_time() -> None:
    """Blocks of one byte for ever, and a b_info at every byte behind them."""
    packed = bytearray(pack(ORIGINAL, "2b", ALL_TAMPERED))
    packed += struct.pack("<2I4B", 5, 1, 2, 0, 0, 0) * 400_000
    began = time.process_time()
    upx.look(memoryview(packed))
    with suppress(ParseError):
        upx.unpack(bytes(packed))
    assert time.process_time() - began < 5


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_never_raise_but_parse_errors(data: st.DataObject) -> None:
    packed = bytearray(_PACKED[data.draw(st.sampled_from(sorted(_PACKED)))])
    for _ in range(data.draw(st.integers(1, 8))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    packed = packed[: data.draw(st.integers(0, len(packed)))]
    upx.look(memoryview(packed))
    with suppress(ParseError):
        _, plain = upx.unpack(bytes(packed), most=1 << 20)
        assert len(plain) <= 1 << 20


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_behind_an_elf_header(data: bytes) -> None:
    file = ORIGINAL[:64] + data
    upx.look(memoryview(file))
    with suppress(ParseError):
        upx.unpack(file)


_SMALL = build(Program(strings=random.Random(3).randbytes(400) + b"stratum" * 40))
_PACKED = {method: pack(_SMALL, method, tampering) for method in METHODS for tampering in (Tampering(), ALL_TAMPERED)}
