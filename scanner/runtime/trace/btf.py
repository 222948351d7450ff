"""Where members lie in the structs of the running kernel, read from its own type information.

Format: kernel documentation, bpf/btf. Little endian alone, as the machines are that a program is written for here.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from struct import Struct
from typing import Final

from scanner.errors import ScannerError

_HEADER: Final = Struct("<HBBIIIII")
_MAGIC = 0xEB9F
_MAX_BYTES = 64 << 20
_MAX_INNER = 256
"""Anonymous structs and unions of one struct."""
_MAX_NAMES = 16
"""Typedefs of typedefs."""

_STRUCT, _UNION = 4, 5
_MODIFIERS = frozenset((8, 9, 10, 11, 18))
"""typedef, volatile, const, restrict, type tag: what they are of is in their `type`."""

_FIXED: Final = {1: 1, 3: 3, 14: 1, 17: 1}
_EACH: Final = {4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3}
_BARE = frozenset((2, 7, 8, 9, 10, 11, 12, 16, 18))
"""How many words of 32 bits follow a type's three, by kind: a fixed number, so many for each of its `vlen`, or none."""


class BtfError(ScannerError):
    """The kernel's type information is missing, broken, or does not know what is asked for."""


@dataclass(frozen=True, slots=True)
class Member:
    """`offset` in bytes from the start of the struct asked for; `type` is the number of its type."""

    offset: int
    type: int


class Types:
    """The types of one BTF blob. Raises BtfError where it is broken."""

    def __init__(self, blob: bytes) -> None:
        if len(blob) < _HEADER.size:
            raise BtfError("BTF: shorter than its header")
        magic, version, _, header, types, types_length, strings, strings_length = _HEADER.unpack_from(blob)
        if magic != _MAGIC or version != 1:
            raise BtfError(f"BTF: magic {magic:#x}, version {version}: not known")
        start, names = header + types, header + strings
        if start + types_length > len(blob) or names + strings_length > len(blob):
            raise BtfError(f"BTF: its sections end behind its {len(blob)} bytes")
        self._names = blob[names : names + strings_length]
        self._words = memoryview(blob[start : start + (types_length & ~3)]).cast("I")
        self._starts: list[int] = [0]
        """Of each type, by its number, the word with which it begins; number 0 is void."""
        self._structs: dict[int, list[int]] = {}
        self._index()

    def offset(self, struct: str, *members: str) -> int:
        """The byte offset of a member in a struct; further `members` lead into structs that lie within it.

        Members of anonymous structs and unions count as the struct's own. Raises BtfError: no such thing, a bit field, or two
        structs of that name that disagree.
        """
        found = {self._offset(number, members) for number in self._numbers(struct)} - {None}
        if len(found) != 1:
            raise BtfError(f"BTF: {'no' if not found else 'more than one'} {struct}.{'.'.join(members)}")
        [offset] = found
        assert offset is not None
        return offset

    def size(self, struct: str) -> int:
        """Of a struct in bytes. Raises BtfError as `offset` does."""
        found = {self._words[self._starts[number] + 2] for number in self._numbers(struct)}
        if len(found) != 1:
            raise BtfError(f"BTF: {'no' if not found else 'more than one'} {struct}")
        return found.pop()

    def _index(self) -> None:
        words, end, at = self._words, len(self._words), 0
        starts, structs = self._starts, self._structs
        while at + 3 <= end:
            info = words[at + 1]
            kind, length = info >> 24 & 0x1F, info & 0xFFFF
            if (each := _EACH.get(kind)) is not None:
                if kind == _STRUCT and length:
                    structs.setdefault(words[at], []).append(len(starts))
                following = at + 3 + each * length
            elif kind in _BARE:
                following = at + 3
            elif (fixed := _FIXED.get(kind)) is not None:
                following = at + 3 + fixed
            else:
                raise BtfError(f"BTF: type {len(starts)} is of kind {kind}: not known")
            if following > end:
                raise BtfError(f"BTF: type {len(starts)} ends behind its section")
            starts.append(at)
            at = following

    def _numbers(self, name: str) -> list[int]:
        """The numbers of the structs of that name, at whatever place in the strings it stands."""
        sought, found, at = name.encode() + b"\0", [], -1
        while (at := self._names.find(sought, at + 1)) >= 0:
            found += self._structs.get(at, [])
        return found

    def _name(self, at: int) -> bytes:
        end = self._names.find(b"\0", at)
        return self._names[at:end] if end >= 0 else b""

    def _offset(self, number: int, members: tuple[str, ...]) -> int | None:
        base = 0
        for member in members:
            found = self._member(number, member.encode(), set())
            if found is None:
                return None
            base, number = base + found.offset, found.type
        return base

    def _member(self, number: int, name: bytes, passed: set[int]) -> Member | None:
        """`passed` are the structs that were looked into: none is twice, whatever the blob says of what lies in what."""
        number = self._resolved(number)
        if not number or number in passed or len(passed) > _MAX_INNER:
            return None
        passed.add(number)
        words, at = self._words, self._starts[number]
        info = words[at + 1]
        if info >> 24 & 0x1F not in (_STRUCT, _UNION):
            return None
        has_bits = info >> 31
        for word in range(at + 3, at + 3 + 3 * (info & 0xFFFF), 3):
            named, kind, place = words[word : word + 3]
            bits, place = (place >> 24, place & 0xFFFFFF) if has_bits else (0, place)
            if named:
                if self._name(named) == name:
                    return None if bits or place % 8 else Member(place // 8, kind)
            elif (inner := self._member(kind, name, passed)) is not None:
                return Member(place // 8 + inner.offset, inner.type)
        return None

    def _resolved(self, number: int) -> int:
        """The type behind typedefs and the like; 0 where there is none."""
        for _ in range(_MAX_NAMES):
            if not 0 < number < len(self._starts):
                return 0
            at = self._starts[number]
            if self._words[at + 1] >> 24 & 0x1F not in _MODIFIERS:
                return number
            number = self._words[at + 2]
        return 0


@cache
def running_kernel() -> Types:
    """The types of this kernel, read once. Raises BtfError: a kernel without CONFIG_DEBUG_INFO_BTF has none."""
    path = Path("/sys/kernel/btf/vmlinux")
    try:
        with path.open("rb") as file:
            blob = file.read(_MAX_BYTES + 1)
    except OSError as e:
        raise BtfError(f"cannot read the kernel's type information {path}: {e.strerror}") from e
    if len(blob) > _MAX_BYTES:
        raise BtfError(f"{path} is larger than {_MAX_BYTES >> 20} MiB")
    return Types(blob)
