"""Compressed bytes as a stream of plain ones, in bounded steps: gzip, zstd, bzip2 and xz, told apart by their first bytes.

Formats: RFC 1952 (gzip: several members in a row are one file), RFC 8878 (zstd: frames, skippable frames). Engines
write the first two and read all four.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from scanner.errors import LayerError, LimitError
from scanner.model import Limits, printable
from scanner.oci.blob import Readable

READ = 256 << 10
LEAST = 64 << 10
MOST = 1 << 20
"""Bytes given at once, whatever is asked for."""
MEMORY = 128 << 20
"""Of a zstd window and of xz: what `zstd -d` accepts, and what `xz -9` needs."""
MEMBERS, SMALLEST = 100_000, 512
"""More members than this must hold a tar header each on average: empty ones serve only to waste time."""

GZIP, ZSTD, BZIP2, XZ = "gzip", "zstd", "bzip2", "xz"
MAGICS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    (GZIP, (b"\x1f\x8b\x08",)),
    (ZSTD, (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16)))),
    (BZIP2, tuple(b"BZh%d" % level + block for level in range(1, 10) for block in (b"1A", b"\x17r"))),
    (XZ, (b"\xfd7zXZ\0",)),
)
LONGEST_MAGIC = 6
ZSTD_BLOCK = 128 << 10
"""The most that one zstd block unpacks to (RFC 8878, 3.1.1.2.4)."""


class _Decoder(Protocol):
    """One member, as bz2.BZ2Decompressor has it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Codec:
    name: str
    magics: tuple[bytes, ...]
    decoder: Callable[[], _Decoder]
    errors: tuple[type[Exception], ...]


def compression(first: bytes) -> str | None:
    """The format's name by a file's first six bytes; None for anything else, which may be a plain tar."""
    return next((name for name, magics in MAGICS if first.startswith(magics)), None)


def decompressed(source: Readable, limits: Limits, what: str) -> Readable:
    """The plain bytes of `source`, which is read once, forward; a plain one is passed on as it is.

    Reading raises LayerError where the compressed stream is broken, cut off or followed by something else, after
    everything before that was given; LimitError where `limits.ratio` or `limits.layer_bytes` would be crossed. `what`
    names the source in both. At most 1 MiB is given at once.
    """
    first = _at_least(source, b"", LONGEST_MAGIC)
    name = compression(first)
    return _Plain(source, first) if name is None else _Decompressed(source, first, _codec(name), limits, what)


class _Plain:
    def __init__(self, source: Readable, first: bytes) -> None:
        self._source = source
        self._first = first

    def read(self, size: int = -1, /) -> bytes:
        if not self._first:
            return self._source.read(size)
        given = self._first if size < 0 else self._first[:size]
        self._first = self._first[len(given) :]
        return given

    def close(self) -> None:
        self._source.close()


class _Decompressed:
    def __init__(self, source: Readable, first: bytes, codec: _Codec, limits: Limits, what: str) -> None:
        self._source = source
        self._codec = codec
        self._limits = limits
        self._what = what
        self._decoder = codec.decoder()
        self._input, self._at = first, 0
        self._feed = READ
        self._ready = b""
        self._members, self._consumed, self._produced = 1, 0, 0
        self._ended = self._end = False
        """This member's end; the end of all of them."""

    def read(self, size: int = -1, /) -> bytes:
        room = MOST if size < 0 else min(size, MOST)
        if not room:
            return b""
        while not self._ready and not self._end:
            self._ready = self._step(max(room, LEAST))
        given = self._ready if len(self._ready) <= room else self._ready[:room]
        self._ready = self._ready[len(given) :]
        return given

    def close(self) -> None:
        self._source.close()

    def _step(self, room: int) -> bytes:
        if self._ended:
            self._next_member()
            return b""
        decoder = self._decoder
        data = b""
        if decoder.needs_input:
            if self._at == len(self._input):
                self._input, self._at = self._source.read(READ), 0
            data = self._input[self._at : self._at + self._feed]
            if not data:
                raise LayerError(
                    f"{self._what} is cut off: its {self._codec.name} stream stops after {self._produced} bytes, "
                    "before its end. Save or copy the image again."
                )
            self._at += len(data)
            self._consumed += len(data)
            self._feed = min(self._feed * 2, READ)
        try:
            out = decoder.decompress(data, room)
        except self._codec.errors as e:
            raise LayerError(
                f"{self._what} is broken: its {self._codec.name} stream cannot be unpacked past byte "
                f"{self._produced} ({printable(str(e))}). Save or copy the image again."
            ) from e
        self._ended = decoder.eof
        if self._ended:
            unused = len(decoder.unused_data)
            self._at -= unused
            self._consumed -= unused
        self._produced += len(out)
        self._judge()
        return out

    def _next_member(self) -> None:
        """Members and frames may follow each other; anything else behind one is not ours to ignore."""
        rest = self._input[self._at :] if len(self._input) - self._at < LONGEST_MAGIC else b""
        if len(self._input) - self._at < LONGEST_MAGIC:
            self._input, self._at = _at_least(self._source, rest, LONGEST_MAGIC), 0
        if self._codec.name == XZ:
            self._skip_padding()
        if self._at == len(self._input):
            self._end = True
            return
        if not self._input.startswith(self._codec.magics, self._at):
            raise LayerError(
                f"{self._what} has something behind its {self._codec.name} stream, {self._produced} bytes unpacked: "
                "no engine would read it, so its image was changed or damaged."
            )
        self._members += 1
        if self._members > MEMBERS and self._produced < self._members * SMALLEST:
            raise LimitError(
                f"{self._what} is {self._members} {self._codec.name} streams with next to nothing in them; "
                "it was made to waste time"
            )
        self._decoder, self._ended = self._codec.decoder(), False
        # a decoder copies what it did not use: with many small members in a row, little must be given at a time
        self._feed = 4096

    def _skip_padding(self) -> None:
        """Zeros in fours between xz streams (the .xz format, 2.2)."""
        while True:
            rest = self._input[self._at :].lstrip(b"\0")
            if rest:
                self._input, self._at = _at_least(self._source, rest, LONGEST_MAGIC), 0
                return
            self._input, self._at = self._source.read(READ), 0
            if not self._input:
                return

    def _judge(self) -> None:
        limits = self._limits
        if self._produced > limits.layer_bytes:
            raise LimitError(
                f"{self._what} is larger than {limits.layer_bytes} bytes uncompressed; "
                "raise the limit with --limit layer-bytes=N if you trust it"
            )
        if self._produced > limits.ratio_floor and self._produced > limits.ratio * self._consumed:
            raise LimitError(
                f"{self._what} unpacks to more than {limits.ratio} times its size ({self._produced} bytes so far): "
                "a decompression bomb; raise the limit with --limit ratio=N if you trust it"
            )


def _at_least(source: Readable, have: bytes, size: int) -> bytes:
    """`have` and what follows it, `size` bytes or more unless the source ends."""
    while len(have) < size and (data := source.read(READ)):
        have += data
    return have


def _codec(name: str) -> _Codec:
    magics = dict(MAGICS)[name]
    if name == GZIP:
        try:
            from isal import igzip_lib
        except ImportError:  # no build for this machine: three times slower, the same bytes
            return _Codec(name, magics, _Zlib, (zlib.error,))
        errors: tuple[type[Exception], ...] = (igzip_lib.IsalError,)  # type: ignore[assignment] # its stubs are wrong
        return _Codec(name, magics, partial(igzip_lib.IgzipDecompressor, flag=igzip_lib.DECOMP_GZIP), errors)
    if name == ZSTD:
        from zstandard import ZstdError

        return _Codec(name, magics, _ZstdFrame, (ZstdError,))
    if name == BZIP2:
        return _Codec(name, magics, bz2.BZ2Decompressor, (OSError,))
    return _Codec(name, magics, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, MEMORY), (lzma.LZMAError,))


class _Zlib:
    """A gzip member through zlib."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max(max_length, 0))
        self.needs_input = not self._inner.unconsumed_tail and len(out) != max_length
        return out


class _ZstdFrame:
    """One zstd frame.

    The library's streaming object unpacks whatever it is given at once, 128 KiB for each four bytes in the worst case,
    and its reader object does not say whether a frame ended. So blocks are counted here (RFC 8878, 3.1.1.1 and 3.1.1.2),
    and no more of them are handed on than fit the room.
    """

    def __init__(self) -> None:
        from zstandard import ZstdDecompressor

        self._inner = ZstdDecompressor(max_window_size=MEMORY).decompressobj()
        self._held = b""
        self._through = 0
        self._stage: Callable[[int], int | None] = self._header
        self._last = self._checksum = False
        self.needs_input = True
        self.eof = False
        self.unused_data = b""

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        self._held = self._held + data if self._held else data
        cut = self._cut(max(max_length, ZSTD_BLOCK))
        out = self._inner.decompress(self._held[:cut]) if cut else b""
        self._held = self._held[cut:]
        self.needs_input = not cut or not self._held
        if self._last and not self._through:
            if not self._inner.eof:
                from zstandard import ZstdError

                raise ZstdError("the frame does not end where its blocks do")
            self.eof, self.unused_data = True, self._held
        return out

    def _cut(self, room: int) -> int:
        """How many of the held bytes may be handed on: up to the frame's end, and so much that `room` is kept."""
        at = 0
        while True:
            step = min(self._through, len(self._held) - at)
            self._through -= step
            at += step
            if self._through or self._last:
                return at
            cost = self._stage(at)
            if cost is None or (cost > room and at):
                return at
            room -= cost
            self._pass(at)

    def _header(self, at: int) -> int | None:
        """Bytes that the piece at `at` unpacks to, None where it is not whole."""
        skippable = self._held[at + 1 : at + 4] == b"\x2a\x4d\x18"
        return 0 if len(self._held) - at >= (8 if skippable else 5) else None

    def _block(self, at: int) -> int | None:
        if len(self._held) - at < 3:
            return None
        header = int.from_bytes(self._held[at : at + 3], "little")
        return ZSTD_BLOCK if header >> 1 & 3 == 2 else header >> 3

    def _pass(self, at: int) -> None:
        held = self._held
        if self._stage == self._header:
            if held[at + 1 : at + 4] == b"\x2a\x4d\x18":
                self._through = 8 + int.from_bytes(held[at + 4 : at + 8], "little")
                self._last = True
                return
            descriptor = held[at + 4]
            single, self._checksum = bool(descriptor & 0x20), bool(descriptor & 4)
            content = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
            self._through = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3] + content
            self._stage = self._block
            return
        header = int.from_bytes(held[at : at + 3], "little")
        kind = header >> 1 & 3
        self._through = 3 + (1 if kind == 1 else header >> 3)
        self._last = bool(header & 1)
        if self._last and self._checksum:
            self._through += 4
