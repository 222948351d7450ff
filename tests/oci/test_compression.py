"""Compressed streams against the libraries' one-shot functions, and against what a stranger may send instead."""

import bz2
import gzip
import io
import lzma
import random
import sys
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.errors import LayerError, LimitError, ScannerError
from scanner.model import Limits
from scanner.oci.compression import MOST, compression, decompressed

SKIPPABLE = b"\x53\x2a\x4d\x18\x05\0\0\0hello"


def zstd(data: bytes, level: int = 3) -> bytes:
    packer = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstd,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
every_format = pytest.mark.parametrize("name", PACKERS)


class Dribble(io.BytesIO):
    """A stream that never gives more than `step` bytes."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self._step = step

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._step if size is None or size < 0 else min(size, self._step))


def unpacked(data: bytes, size: int = MOST, step: int = 1 << 30, limits: Limits | None = None) -> bytes:
    stream = decompressed(Dribble(data, step), limits or Limits(), "layer 3")
    out = bytearray()
    while piece := stream.read(size):
        assert len(piece) <= size
        out += piece
    assert stream.read(size) == b""
    return bytes(out)


def mixture() -> bytes:
    dice = random.Random(7)
    return dice.randbytes(300_000) + b"abc" * 500_000 + bytes(700_000) + dice.randbytes(999)


@every_format
def test_a_stream_is_told_by_its_first_bytes_and_unpacked_whatever_the_steps(name: str) -> None:
    data = mixture()
    packed = PACKERS[name](data)
    assert compression(packed[:6]) == name
    for size, step in ((MOST, 1 << 30), (512, 4096), (77_777, 1000), (MOST, 3)):
        assert unpacked(packed, size, step) == data, (size, step)


def test_a_plain_stream_passes_through() -> None:
    for data in (b"", b"x", mixture(), b"BZhang/" + bytes(505)):
        assert compression(data[:6]) is None
        assert unpacked(data, 1000, 3) == data


@every_format
def test_several_members_in_a_row_are_one_file(name: str) -> None:
    data, pack = mixture(), PACKERS[name]
    assert unpacked(pack(data[:9]) + pack(b"") + pack(data[9:])) == data
    pieces = [data[i : i + 997] for i in range(0, 100_000, 997)]
    assert unpacked(b"".join(map(pack, pieces)), 4096) == b"".join(pieces)


def test_zstd_frames_may_be_skippable_and_xz_streams_padded() -> None:
    data = mixture()
    assert (
        unpacked(SKIPPABLE + zstd(data[:5]) + SKIPPABLE * 3 + zstandard.compress(data[5:]) + SKIPPABLE, 600, 7) == data
    )
    assert unpacked(lzma.compress(data[:5]) + bytes(8) + lzma.compress(data[5:]) + bytes(300_000), 600) == data


@every_format
def test_a_cut_stream_gives_what_it_has_and_then_says_where_it_ended(name: str) -> None:
    data = mixture()
    packed = PACKERS[name](data)
    for length in (len(packed) - 1, len(packed) - 9, len(packed) // 2, 12):
        stream, got = decompressed(io.BytesIO(packed[:length]), Limits(), "layer 3"), bytearray()

        def drain(stream: io.BytesIO = stream, got: bytearray = got) -> None:  # type: ignore[assignment]
            while piece := stream.read(MOST):
                got += piece

        with pytest.raises(LayerError, match=rf"layer 3 is cut off: its {name} stream stops after {'[0-9]+'} bytes"):
            drain()
        assert data.startswith(bytes(got))


@every_format
def test_what_follows_a_stream_is_not_passed_over(name: str) -> None:
    for rest in (b"garbage", b"x", bytes(5) + b"hidden", PACKERS["zstd" if name == "gzip" else "gzip"](b"another")):
        with pytest.raises(LayerError, match=f"something behind its {name} stream, 5 bytes unpacked"):
            unpacked(PACKERS[name](b"hello") + rest)


@pytest.mark.parametrize("name", ["gzip", "zstd", "xz"])
def test_a_flipped_bit_is_found_by_the_streams_own_checksum(name: str) -> None:
    packed = bytearray(PACKERS[name](mixture()))
    packed[len(packed) // 3] ^= 8
    with pytest.raises(LayerError, match=f"layer 3 is broken: its {name} stream"):
        unpacked(bytes(packed))


def test_a_bomb_ends_at_the_limit_and_not_in_memory() -> None:
    limits = Limits(ratio=100, ratio_floor=8 << 20)
    zeros = bytes(24 << 20)
    for pack in (PACKERS["gzip"], PACKERS["zstd"], PACKERS["bzip2"], PACKERS["xz"]):
        with pytest.raises(LimitError, match=r"layer 3 unpacks to more than 100 times its size .[89].*--limit ratio=N"):
            unpacked(pack(zeros), limits=limits)
    assert unpacked(PACKERS["gzip"](bytes(8 << 20)), limits=limits) == bytes(8 << 20)


def test_one_read_of_a_bomb_is_as_small_as_any() -> None:
    stream = decompressed(io.BytesIO(zstd(bytes(32 << 20))), Limits(), "layer 3")
    assert len(stream.read(1 << 30)) <= MOST


def test_more_bytes_than_a_layer_may_have_end_the_stream() -> None:
    with pytest.raises(LimitError, match=r"layer 3 is larger than 1000 bytes uncompressed.*--limit layer-bytes=N"):
        unpacked(gzip.compress(bytes(2000)), limits=Limits(layer_bytes=1000))


@pytest.mark.parametrize(
    "member", [gzip.compress(b"", mtime=0), gzip.compress(b"x", mtime=0), SKIPPABLE], ids=["empty", "byte", "skippable"]
)
def test_members_without_end_are_given_up(member: bytes) -> None:
    with pytest.raises(LimitError, match=r"100001 (gzip|zstd) streams with next to nothing in them"):
        unpacked(member * 100_010)


def test_a_window_or_dictionary_too_large_for_this_machine_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(LayerError, match=r"zstd stream cannot be unpacked .*memory"):
        unpacked(packer.compress(bytes(1000)) + packer.flush())
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 << 20}]
    with pytest.raises(LayerError, match=r"xz stream cannot be unpacked .*[Mm]emory"):
        unpacked(lzma.compress(b"x", filters=filters))


def test_without_isal_the_same_bytes_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    data = mixture()
    assert unpacked(gzip.compress(data[:9]) + gzip.compress(data[9:]), 5000, 1000) == data
    for broken in (gzip.compress(data)[:-1], gzip.compress(data)[:-4] + b"1234", gzip.compress(data) + b"garbage"):
        with pytest.raises(LayerError):
            unpacked(broken)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(PACKERS)),
    st.binary(max_size=2000),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4),
    st.integers(1, 700),
    st.binary(max_size=30),
)
@example("zstd", b"", [(4, 0xFF)], 1, b"")
def test_no_bytes_raise_anything_but_our_own_errors(
    name: str, data: bytes, changes: list[tuple[int, int]], step: int, rest: bytes
) -> None:
    packed = bytearray(PACKERS[name](data))
    for place, value in changes:
        packed[place % len(packed)] = value
    try:
        out = unpacked(bytes(packed) + rest, 300, step)
    except ScannerError:
        return
    if name == "gzip" and compression(bytes(packed[:6])) == "gzip":
        reference = zlib.decompressobj(31)
        assert out.startswith(reference.decompress(bytes(packed) + rest)), "isal takes what zlib refuses"


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b"BZh91A", b"\xfd7zXZ\0"]),
    st.binary(max_size=300),
)
def test_a_magic_and_noise_raise_nothing_but_our_own_errors(magic: bytes, noise: bytes) -> None:
    try:
        unpacked(magic + noise, 300, 50)
    except ScannerError:
        return
