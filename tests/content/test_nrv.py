"""NRV streams: our encoder's, libucl's (the library that UPX itself uses), and anything else."""

import ctypes
import ctypes.util
import os
import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.content.nrv import decompress_into
from scanner.errors import ParseError
from tests.content.upx_pack import encode, said_by, tokens_of

METHODS = ("2b", "2d", "2e")


def decompressed(method: str, data: bytes, size: int, width: int = 4) -> bytes:
    out = bytearray()
    decompress_into(out, method, data, size, width)
    return bytes(out)


@st.composite
def token_lists(draw: st.DrawFn) -> list[int | tuple[int, int]]:
    """Literals and matches that a decoder must accept, far and near, long and short, the last distance again."""
    tokens: list[int | tuple[int, int]] = [draw(st.integers(0, 255))]
    size, last = 1, 1
    for _ in range(draw(st.integers(0, 60))):
        if draw(st.booleans()):
            tokens += draw(st.lists(st.integers(0, 255), min_size=1, max_size=40))
            size += len(tokens) - 1
            size = len(said_by(tokens))
        else:
            distance = last if draw(st.booleans()) and last <= size else draw(st.integers(1, size))
            length = draw(st.one_of(st.integers(3, 12), st.integers(13, 2000)))
            tokens.append((distance, length))
            size += length
            last = distance
    return tokens


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("width", [1, 2, 4])
@settings(max_examples=25, deadline=None)
@given(tokens=token_lists())
def test_what_was_encoded_comes_out(method: str, width: int, tokens: list[int | tuple[int, int]]) -> None:
    plain = said_by(tokens)
    assert decompressed(method, encode(method, tokens, width), len(plain), width) == plain


@pytest.mark.parametrize("method", METHODS)
def test_distances_longer_than_the_window_of_the_tables(method: str) -> None:
    noise = random.Random(1).randbytes(1000)
    matches = ((1000, 3_000_000), (2_999_999, 50_000), (70_000, 4), (1, 3), (1_234_567, 9))
    tokens: list[int | tuple[int, int]] = [*noise, *matches]
    plain = noise
    for distance, length in matches:
        begin = len(plain) - distance
        plain += (plain[begin:] * (length // distance + 1))[:length]
    assert decompressed(method, encode(method, tokens), len(plain)) == plain


class Config(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("bb_endian", "bb_size")),
        *((name, ctypes.c_uint) for name in ("max_offset", "max_match")),
        *((name, ctypes.c_int) for name in ("s_level", "h_level", "p_level", "c_flags")),
        ("m_size", ctypes.c_uint),
    )


@pytest.fixture(scope="session")
def ucl() -> ctypes.CDLL:
    name = ctypes.util.find_library("ucl")
    if name is None:
        if os.environ.get("SANDSCAN_TEST_STRICT") == "1":
            pytest.fail("libucl is not installed (Debian: libucl1)")
        pytest.skip("libucl is not installed (Debian: libucl1)")
    return ctypes.CDLL(name)


def by_ucl(ucl: ctypes.CDLL, method: str, data: bytes, width: int) -> bytes:
    out = ctypes.create_string_buffer(len(data) + len(data) // 8 + 256)
    size = ctypes.c_uint(len(out))
    config = Config(0, 8 * width, 2**32 - 1, 2**32 - 1, -1, -1, -1, -1, 2**32 - 1)
    compress = getattr(ucl, f"ucl_nrv{method}_99_compress")
    assert compress(data, len(data), out, ctypes.byref(size), None, 7, ctypes.byref(config), None) == 0
    return out.raw[: size.value]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("width", [1, 2, 4])
def test_what_ucl_compressed_comes_out(ucl: ctypes.CDLL, method: str, width: int) -> None:
    words = random.Random(2)
    text = b" ".join(words.choice([b"stratum", b"pool", b"job", b"nonce", words.randbytes(9)]) for _ in range(20_000))
    plain = text + bytes(70_000) + text[::-1]
    assert decompressed(method, by_ucl(ucl, method, plain, width), len(plain), width) == plain


@pytest.mark.parametrize("method", METHODS)
def test_ucl_reads_what_our_encoder_writes(ucl: ctypes.CDLL, method: str) -> None:
    """So that the encoder is no mirror of our decoder's mistakes."""
    plain = b"a pool, another pool, and one more pool " * 50
    packed = encode(method, tokens_of(plain))
    out, size = ctypes.create_string_buffer(len(plain)), ctypes.c_uint(len(plain))
    decompress = getattr(ucl, f"ucl_nrv{method}_decompress_safe_le32")
    assert decompress(packed, len(packed), out, ctypes.byref(size), None) == 0
    assert out.raw[: size.value] == plain


@pytest.mark.parametrize("method", METHODS)
def test_more_than_was_promised_is_an_error_and_what_came_before_stays(method: str) -> None:
    tokens = tokens_of(b"stratum" * 1000)
    out = bytearray()
    with pytest.raises(ParseError, match="longer"):
        decompress_into(out, method, encode(method, tokens), 6999)
    assert out.startswith(b"stratum")
    assert len(out) <= 6999


@settings(max_examples=400, deadline=None)
@given(
    method=st.sampled_from([*METHODS, "2x"]),
    width=st.sampled_from([1, 2, 4]),
    data=st.binary(max_size=400),
    size=st.integers(0, 5000),
)
def test_any_bytes_end_in_bytes_or_a_parse_error(method: str, width: int, data: bytes, size: int) -> None:
    out = bytearray()
    with suppress(ParseError):
        decompress_into(out, method, data, size, width)
    assert len(out) <= size + 8 * width


@settings(max_examples=80, deadline=None)
@given(tokens=token_lists(), method=st.sampled_from(METHODS), data=st.data())
def test_a_damaged_stream_ends_in_bytes_or_a_parse_error(
    tokens: list[int | tuple[int, int]], method: str, data: st.DataObject
) -> None:
    packed = bytearray(encode(method, tokens))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    size = len(said_by(tokens))
    out = bytearray()
    with suppress(ParseError):
        decompress_into(out, method, bytes(packed), size)
    assert len(out) <= size + 32
