"""Compressed bytes as bounded chunks, and where unpacked bytes wait: in memory while small, else in an unnamed file."""

import bz2
import lzma
import os
import tempfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from scanner.content.budget import Budget
from scanner.errors import LimitError, ParseError, ScannerError
from scanner.mapped import mapped
from scanner.model import printable

CHUNK = 1 << 20
FEED = 1 << 16
FEED_AGAIN = 1 << 12
"""A decoder copies what it did not use: with many small streams in a row, little must be given at a time."""

_ZSTD_BLOCK = 128 << 10
_BLOCK = {b"1AY&SY", b"\x17rE8P\x90"}


class _Decoder(Protocol):
    """What bz2, lzma and isal's igzip_lib have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zlib:
    """zlib's decompressor in the manner of the others, where isal has no wheel."""

    def __init__(self, wbits: int) -> None:
        self._z = zlib.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._z.eof

    @property
    def unused_data(self) -> bytes:
        return self._z.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        out = self._z.decompress(self._z.unconsumed_tail + data, max_length)
        # where all that was asked for came out, more may wait inside
        self.needs_input = not self._z.unconsumed_tail and len(out) < max_length
        return out


@cache
def _errors() -> tuple[type[Exception], ...]:
    """What the decompressors raise for damaged data; lz4 raises RuntimeError."""
    common: tuple[Any, ...] = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError)
    try:
        from isal.igzip_lib import IsalError
    except ImportError:
        return common
    return (IsalError, *common)


def crc32(data: memoryview) -> int:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.crc32(data)
    return int(isal_zlib.crc32(data))


def compression(head: bytes) -> str | None:
    """Which compressed stream begins with these bytes (10 or more); None if none does."""
    if head[:3] == b"\x1f\x8b\x08":
        return "gzip" if len(head) > 3 and head[3] < 0x20 else None
    if head[:6] == b"\xfd7zXZ\0":
        return "xz"
    if head[:3] == b"BZh":
        return "bzip2" if b"1" <= head[3:4] <= b"9" and head[4:10] in _BLOCK else None
    if head[:4] == b"\x28\xb5\x2f\xfd" or (head[1:4] == b"\x2a\x4d\x18" and head[:1] >= b"\x50" and head[0] < 0x60):
        return "zstd"
    if head[:4] == b"\x04\x22\x4d\x18":
        return "lz4"
    if head[:3] == b"\x5d\0\0" and _plausible_lzma(head):
        return "lzma"
    return None


def _plausible_lzma(head: bytes) -> bool:
    """A dictionary of 2^n or 2^n + 2^(n-1) bytes and a size, unknown or below 256 GiB: as xz tests it."""
    window, size = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    bits = window.bit_count()
    whole = bits == 1 or (bits == 2 and window & (window << 1)) or window == 0xFFFFFFFF
    return len(head) >= 13 and bool(whole) and (size == (1 << 64) - 1 or size < 1 << 38)


def decompress(kind: str, data: memoryview, budget: Budget) -> Generator[bytes, None, None]:
    """What a compressed stream holds, in chunks of at most 1 MiB, each counted; streams that follow each other are one.

    `kind` is one of `compression`, or `deflate` (raw, one stream). Raises ParseError where it is damaged or cut off,
    LimitError where going on would cost too much.
    """
    window = budget.open_decoder()
    try:
        yield from _zstd(data, window, budget) if kind == "zstd" else _streams(kind, data, window, budget)
    finally:
        budget.close_decoder()


def inflate(data: memoryview, size: int) -> bytes | None:
    """A small deflate stream that unpacks to just `size` bytes, in one step; None for any other."""
    decoder = _new("deflate", 0)
    try:
        out = decoder.decompress(bytes(data), size + 1)
    except _errors():
        return None
    return out if decoder.eof and len(out) == size else None


def decompress_raw_lzma(properties: bytes, data: memoryview, budget: Budget) -> Generator[bytes, None, None]:
    """LZMA without a header, as in zip (APPNOTE 5.8): `properties` are the 5 bytes that would stand in it."""
    window = budget.open_decoder()
    try:
        lc_lp_pb, dictionary = properties[0], int.from_bytes(properties[1:5], "little")
        if len(properties) != 5 or lc_lp_pb >= 9 * 5 * 5:
            raise ParseError("has LZMA properties that mean nothing")
        if dictionary > window:
            raise _too_much(window)
        rest, lc = divmod(lc_lp_pb, 9)
        pb, lp = divmod(rest, 5)
        lzma1 = {"id": lzma.FILTER_LZMA1, "dict_size": max(dictionary, 4096), "lc": lc, "lp": lp, "pb": pb}
        try:
            decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[lzma1])
        except lzma.LZMAError as e:
            raise ParseError("has LZMA properties that mean nothing") from e
        yield from _one(decoder, _Feed(data), budget)
    finally:
        budget.close_decoder()


def _too_much(window: int) -> LimitError:
    return LimitError(f"was not unpacked: it needs more than {window >> 20} MiB of memory to be unpacked")


def _new(kind: str, window: int) -> _Decoder:
    decoder: Any
    if kind == "xz":
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=window)
    elif kind == "lzma":
        decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=window)
    elif kind == "bzip2":
        decoder = bz2.BZ2Decompressor()
    elif kind == "lz4":
        decoder = _lz4()
    else:
        try:
            from isal import igzip_lib
        except ImportError:
            decoder = _Zlib(31 if kind == "gzip" else -15)
        else:
            decoder = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP if kind == "gzip" else igzip_lib.DECOMP_DEFLATE)
    return decoder  # type: ignore[no-any-return]


def _lz4() -> Any:
    try:
        from lz4.frame import LZ4FrameDecompressor
    except ImportError as e:
        raise LimitError("is packed by LZ4, which cannot be read without the lz4 package") from e
    return LZ4FrameDecompressor()


class _Damaged(ParseError):
    """The compressed data is wrong, or its checksum says so."""


class _Feed:
    """The stored bytes, a bit at a time, and what a decoder gave back of them."""

    __slots__ = ("_at", "_back", "_data", "size")

    def __init__(self, data: memoryview) -> None:
        self.size = FEED
        self._data = data
        self._at = 0
        self._back = b""

    def next(self) -> bytes:
        if self._back:
            back, self._back = self._back, b""
            return back
        data = bytes(self._data[self._at : self._at + self.size])
        self._at += len(data)
        self.size = min(2 * self.size, FEED)
        return data

    @property
    def position(self) -> int:
        return self._at - len(self._back)

    def give_back(self, data: bytes) -> None:
        self._back = data + self._back if self._back else data


def _one(decoder: _Decoder, feed: _Feed, budget: Budget) -> Iterator[bytes]:
    """One stream to its end; what the decoder did not use goes back."""
    try:
        while not decoder.eof:
            data = b""
            if decoder.needs_input:
                data = feed.next()
                if not data:
                    raise ParseError("breaks off: its compressed data has no end")
            if out := decoder.decompress(data, CHUNK):
                budget.unpacked(len(out))
                yield out
        feed.give_back(decoder.unused_data)
    except MemoryError as e:
        raise LimitError("was not unpacked: there is not enough memory") from e
    except _errors() as e:
        raise _Damaged(f"has damaged compressed data ({printable(str(e))})") from e


def _salvaged(kind: str, window: int, data: memoryview, given: int, budget: Budget) -> Iterator[bytes]:
    """What comes out before a decoder finds the damage, beyond the `given` bytes: it tells of a wrong checksum only after
    the last byte, but in the same call. So the same is done again, and the last of it in ever smaller steps.
    """
    for step in (512, 1):
        skip = given
        for out in _until_damage(_new(kind, window), _Feed(data), given, step):
            kept, skip = out[skip:], max(0, skip - len(out))
            if kept:
                given += len(kept)
                budget.unpacked(len(kept))
                yield kept


def _until_damage(decoder: _Decoder, feed: _Feed, large: int, step: int) -> Iterator[bytes]:
    """Unpack in large steps up to about `large` bytes, then in steps of `step`."""
    try:
        while not decoder.eof:
            fed = feed.next() if decoder.needs_input else b""
            if decoder.needs_input and not fed:
                return
            out = decoder.decompress(fed, min(CHUNK, large) or step)
            large = max(0, large - len(out))
            yield out
    except _errors():
        return


def _streams(kind: str, data: memoryview, window: int, budget: Budget) -> Iterator[bytes]:
    feed = _Feed(data)
    while True:
        begin, given = feed.position, 0
        error = None
        try:
            for out in _one(_new(kind, window), feed, budget):
                given += len(out)
                yield out
        except _Damaged as e:
            if "limit" in str(e).lower():
                raise _too_much(window) from e
            error = _bare(e)
        if error is not None:
            yield from _salvaged(kind, window, data[begin:], given, budget)
            raise error
        if kind == "deflate":
            return
        budget.member()
        feed.size = FEED_AGAIN
        rest = b""
        while not rest:
            if not (more := feed.next()):
                return
            rest = more.lstrip(b"\0")  # padding of tapes and blocks
        if len(rest) < 16:
            rest += feed.next()
        feed.give_back(rest)
        if compression(rest) != kind:
            return  # what follows the last stream is no part of it: every tool ignores it


def _zstd(data: memoryview, window: int, budget: Budget) -> Iterator[bytes]:
    """Frame after frame (RFC 8878), block by block: a block gives 128 KiB at most, whatever its few bytes say."""
    import zstandard

    # a window is a power of two here: the library's own bound is one too
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << (window.bit_length() - 1))
    at = 0
    while compression(bytes(data[at : at + 16])) == "zstd":
        budget.member()
        if bytes(data[at + 1 : at + 4]) == b"\x2a\x4d\x18":  # a skippable frame
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        decoder = decompressor.decompressobj()
        parts: list[bytes] = []
        have = 0
        error: ScannerError | None = None
        try:
            for begin, end in _zstd_pieces(data, at):
                at = end
                out = decoder.decompress(data[begin:end])
                have += len(out)
                parts.append(out)
                if have >= CHUNK - _ZSTD_BLOCK:
                    budget.unpacked(have)
                    yield b"".join(parts)
                    parts, have = [], 0
        except zstandard.ZstdError as e:
            error = _too_much(window) if "memory" in str(e) else ParseError(f"has damaged compressed data ({e})")
        except ParseError as e:
            error = _bare(e)
        budget.unpacked(have)
        if have:
            yield b"".join(parts)
        if error is not None:
            raise error
        if not decoder.eof:
            raise ParseError("has damaged compressed data (a frame has no end)")
    if at > len(data):
        raise ParseError("breaks off: its compressed data has no end")


def _zstd_pieces(data: memoryview, at: int) -> Iterator[tuple[int, int]]:
    """Where a frame's header, each block and the checksum lie. Raises ParseError if the data ends before the frame."""
    descriptor = data[at + 4] if at + 4 < len(data) else 0
    single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    size = (single, 2, 4, 8)[descriptor >> 6]
    begin, at = at, at + 5 + (not single) + (0, 1, 2, 4)[descriptor & 3] + size
    last = False
    while at <= len(data):
        yield begin, at
        if last:
            return
        begin = at
        header = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == 1 else size)
        if begin + 3 > len(data):
            break
        if last and checksum and at <= len(data):
            # by itself, for a wrong one must not take the last block along
            yield begin, at
            begin, at = at, at + 4
    raise ParseError("breaks off: its compressed data has no end")


class Source(Protocol):
    """An archive's bytes, read forward."""

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""

    def skip(self, size: int) -> None: ...

    def hold(self, size: int) -> "AbstractContextManager[Held]":
        """The next `size` bytes, at hand while the block lasts."""


@dataclass(slots=True)
class Held:
    """Bytes of one member. `error` says why they are not all there."""

    view: memoryview
    error: ScannerError | None = None


class Stored:
    """A source that lies in memory or is mapped: nothing is copied."""

    def __init__(self, data: memoryview, budget: Budget) -> None:
        self._data = data
        self._at = 0
        self._budget = budget

    def read(self, size: int) -> bytes:
        begin = self._at
        self._at += size
        return bytes(self._data[begin : self._at])

    def skip(self, size: int) -> None:
        self._at += size

    def rest(self) -> memoryview:
        """What is left, from the first byte that is not zero."""
        while self._at < len(self._data):
            block = bytes(self._data[self._at : self._at + CHUNK])
            if kept := block.lstrip(b"\0"):
                self._at += len(block) - len(kept)
                break
            self._at += CHUNK
        return self._data[self._at :]

    @contextmanager
    def hold(self, size: int) -> Iterator[Held]:
        view = self._data[self._at : self._at + size]
        self._at += size
        self._budget.unpacked(len(view))
        yield Held(view, None if len(view) == size else ParseError("breaks off"))


class Streamed:
    """A source that is unpacked as it is read."""

    def __init__(self, chunks: Iterator[bytes], budget: Budget, depth: int) -> None:
        self._chunks = chunks
        self._budget = budget
        self._depth = depth
        self._chunk = memoryview(b"")
        self._pending = 0

    def peek(self, size: int) -> tuple[bytes, ScannerError | None]:
        """Up to `size` bytes at the source's very beginning, which are read again, and why there are no more."""
        parts: list[bytes] = []
        have = 0
        error = None
        try:
            while have < size and (chunk := next(self._chunks, b"")):
                parts.append(chunk)
                have += len(chunk)
        except ScannerError as e:
            error = _bare(e)
        self._chunk = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        return bytes(self._chunk[:size]), error

    def rest(self) -> Iterator[bytes | memoryview]:
        """All that is left."""
        self._settle()
        yield self._chunk
        yield from self._chunks

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes as they come. What is left of them when the next thing is read is skipped."""
        self._settle()
        self._pending = size
        while self._pending:
            if not self._chunk:
                self._chunk = memoryview(next(self._chunks, b""))
                if not self._chunk:
                    self._pending = 0
                    return
            piece = self._chunk[: self._pending]
            self._chunk = self._chunk[len(piece) :]
            self._pending -= len(piece)
            yield piece

    def _settle(self) -> None:
        if self._pending:
            size, self._pending = self._pending, 0
            self.skip(size)

    def read(self, size: int) -> bytes:
        if not self._pending and len(self._chunk) >= size:
            piece = self._chunk[:size]
            self._chunk = self._chunk[size:]
            return bytes(piece)
        return b"".join(self.pieces(size))

    def skip(self, size: int) -> None:
        for _ in self.pieces(size):
            pass

    @contextmanager
    def hold(self, size: int) -> Iterator[Held]:
        if not self._pending and len(self._chunk) >= size:
            piece = self._chunk[:size]
            self._chunk = self._chunk[size:]
            yield Held(piece)
            return
        with hold(self.pieces(size), self._budget, self._depth) as held:
            if held.error is None and len(held.view) < size:
                held.error = ParseError("breaks off")
            yield held


@contextmanager
def hold(chunks: Iterable[bytes | memoryview], budget: Budget, depth: int) -> Iterator[Held]:
    """All chunks in one piece: in memory up to what the budget keeps at that depth, else in an unnamed file, mapped.

    What came before an error is held all the same.
    """
    keep = budget.keep_bytes(depth)
    parts: list[bytes | memoryview] = []
    size = 0
    error: ScannerError | None = None
    with ExitStack() as stack:
        spool = None
        try:
            for chunk in chunks:
                size += len(chunk)
                if spool is None:
                    parts.append(chunk)
                    if size > keep:
                        if budget.spool_dir is not None:
                            budget.spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                        spool = stack.enter_context(tempfile.TemporaryFile(dir=budget.spool_dir, buffering=0))
                        _write(spool.fileno(), parts)
                        parts.clear()
                elif size > budget.limits.spool_bytes:
                    raise LimitError(
                        f"is larger than {budget.limits.spool_bytes} bytes unpacked; what lies beyond was not read "
                        "(raise it with --limit spool-bytes=N if you trust the image)"
                    )
                else:
                    _write(spool.fileno(), (chunk,))
        except ScannerError as e:
            error = _bare(e)
        except OSError as e:
            error = LimitError(f"was not unpacked: no room to keep it meanwhile ({e.strerror or e})")
        if spool is None:
            view = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        elif written := os.fstat(spool.fileno()).st_size:
            view = stack.enter_context(mapped(spool.fileno(), 0, written))
        else:
            view = memoryview(b"")
        yield Held(view, error)


def _bare(error: ScannerError) -> ScannerError:
    """The error without the frames it came from: they would keep mapped memory from being closed."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _write(fd: int, chunks: Iterable[bytes | memoryview]) -> None:
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[os.write(fd, view) :]
