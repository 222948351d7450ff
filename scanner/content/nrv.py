"""NRV2B, NRV2D and NRV2E, the compressions of the UCL library that UPX uses, undone in plain Python.

A stream mixes bits and bytes: bits come from little-endian words, most significant first, each word read where the
last one was used up. Literals follow a 1; a match is a distance, its upper part in a bit code, and a length. The codes
are read by tables over the next bits, runs of literals at once: some megabytes a second.
"""

from functools import cache

from scanner.errors import ParseError

_WINDOW = 12
_MASK = (1 << _WINDOW) - 1
_END = 0x1000002
"""Upper part of a distance; with a byte of 255 behind it, the end of the stream."""

_Table = list[tuple[int, int]]


def decompress_into(out: bytearray, method: str, data: bytes, size: int, width: int = 4) -> None:
    """Append what `data` holds, at most `size` bytes; `method` is 2b, 2d or 2e, `width` the bytes of a word (4, 2 or 1).

    Raises ParseError for anything that is no such stream, or is longer than `size`; `out`, empty at first, then has what
    came before.
    """
    try:
        _decompress(out, method, data, size, width)
    except (IndexError, ValueError) as e:
        raise ParseError("is no stream of that compression") from e


def _decompress(out: bytearray, method: str, data: bytes, size: int, width: int) -> None:
    distances, lengths, shorts, far = _tables(method)
    word = 8 * width
    last = 1
    at = 0
    bits = count = 0
    end = len(data)
    while True:
        # literals: one for each leading 1
        while True:
            if not count:
                if at >= end:
                    raise ParseError("breaks off")
                bits = int.from_bytes(data[at : at + width], "little")
                at += width
                count = word
            ones = count - (bits ^ ((1 << count) - 1)).bit_length()
            if ones:
                out += data[at : at + ones]
                at += ones
            if ones < count:
                count -= ones + 1
                bits &= (1 << count) - 1
                break
            count = 0
        if len(out) > size:
            raise ParseError("is longer than it says")

        # the upper part of the distance; codes are rarely longer than the window
        while count < _WINDOW:
            bits = bits << word | int.from_bytes(data[at : at + width], "little")
            at += width
            count += word
        value, used = distances[bits >> (count - _WINDOW)]
        if not used:
            value, count, at, bits = _long_distance(method, data, at, bits, count, width)
        else:
            count -= used
            bits &= (1 << count) - 1
        # words read ahead only for the window's sake are given back: a byte comes next
        while count >= word:
            count -= word
            at -= width
            bits >>= word
        first = -1
        if value == 2:
            distance = last
        else:
            low = data[at]
            at += 1
            if value == _END and low == 255:
                return
            distance = (value - 3) * 256 + low
            if far:
                first = ~distance & 1
                distance >>= 1
            distance += 1
            last = distance
        if distance > len(out):
            raise ParseError("points before its begin")

        while count < _WINDOW:
            bits = bits << word | int.from_bytes(data[at : at + width], "little")
            at += width
            count += word
        table = lengths if first < 0 else shorts[first]
        length, used = table[bits >> (count - _WINDOW)]
        if not used:
            length, count, at, bits = _long_length(method, first, data, at, bits, count, width)
        else:
            count -= used
            bits &= (1 << count) - 1
        while count >= word:
            count -= word
            at -= width
            bits >>= word
        length += 1 + (distance > (far or 0xD00))
        if length > size - len(out):
            raise ParseError("is longer than it says")
        begin = len(out) - distance
        if length <= distance:
            out += out[begin : begin + length]
        else:
            out += (out[begin:] * (length // distance + 1))[:length]


class _Short(Exception):
    """The window ended within a code."""


class _Bits:
    """Bits one by one, for the tables and for codes longer than the window."""

    def __init__(self, data: bytes, at: int, bits: int, count: int, width: int) -> None:
        self.data, self.at, self.bits, self.count, self.width = data, at, bits, count, width

    def get(self) -> int:
        if not self.count:
            if not self.width:
                raise _Short
            if self.at >= len(self.data):
                raise ParseError("breaks off")
            self.bits = int.from_bytes(self.data[self.at : self.at + self.width], "little")
            self.at += self.width
            self.count = 8 * self.width
        self.count -= 1
        return self.bits >> self.count & 1


def _distance(method: str, bits: _Bits) -> int:
    value = 1
    while True:
        value = value * 2 + bits.get()
        if bits.get():
            return value
        if method != "2b":
            value = (value - 1) * 2 + bits.get()
        if value > _END:
            raise ParseError("points too far")


def _gamma(bits: _Bits) -> int:
    value = 1
    while True:
        value = value * 2 + bits.get()
        if bits.get():
            return value
        if value > 1 << 32:
            raise ParseError("is longer than it can be")


def _length(method: str, first: int, bits: _Bits) -> int:
    """`first` is the length's first bit where the distance brought it, -1 where it did not."""
    one = bits.get() if first < 0 else first
    if method == "2e":
        if one:
            return 1 + bits.get()
        if bits.get():
            return 3 + bits.get()
        return _gamma(bits) + 3
    two = one * 2 + bits.get()
    return two or _gamma(bits) + 2


def _long_distance(method: str, data: bytes, at: int, bits: int, count: int, width: int) -> tuple[int, int, int, int]:
    reader = _Bits(data, at, bits, count, width)
    value = _distance(method, reader)
    return value, reader.count, reader.at, reader.bits & ((1 << reader.count) - 1)


def _long_length(
    method: str, first: int, data: bytes, at: int, bits: int, count: int, width: int
) -> tuple[int, int, int, int]:
    reader = _Bits(data, at, bits, count, width)
    value = _length(method, first, reader)
    return value, reader.count, reader.at, reader.bits & ((1 << reader.count) - 1)


@cache
def _tables(method: str) -> tuple[_Table, _Table, tuple[_Table, _Table], int]:
    """For every window: the code's value and how many bits it takes (0: more than the window has); and the bound of far
    matches, 0 for NRV2B, whose distances do not bring a bit of the length.
    """
    if method not in ("2b", "2d", "2e"):
        raise ParseError("is no known compression")

    def table(first: int | None) -> _Table:
        rows = []
        for window in range(1 << _WINDOW):
            reader = _Bits(b"", 0, window, _WINDOW, 0)
            try:
                value = _distance(method, reader) if first is None else _length(method, first, reader)
            except _Short:
                rows.append((0, 0))
            else:
                rows.append((value, _WINDOW - reader.count))
        return rows

    return table(None), table(-1), (table(0), table(1)), 0 if method == "2b" else 0x500
