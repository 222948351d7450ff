"""The entries of one layer in columns: a million of them in some 80 bytes each, where objects would take a gigabyte."""

import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from scanner.errors import ParseError
from scanner.model import Entry, Kind

KINDS = tuple(Kind)
CODE = {kind: code for code, kind in enumerate(KINDS)}
FILE = CODE[Kind.FILE]
DIRECTORY = CODE[Kind.DIRECTORY]
HARDLINK = CODE[Kind.HARDLINK]
SYMLINK = CODE[Kind.SYMLINK]
WHITEOUT = len(KINDS)
"""`path` is removed from the layers below (layer.md, Whiteouts)."""
OPAQUE = WHITEOUT + 1
"""Everything below the directory `path` is removed from the layers below (layer.md, Opaque Whiteout)."""

_COLUMNS = (
    ("ends", "Q"),
    ("links", "I"),
    ("offsets", "Q"),
    ("stored", "Q"),
    ("mtimes", "q"),
    ("owners", "Q"),
    ("modes", "I"),
)
_HEADER = struct.Struct("<4sQQ")
_MAGIC = b"SET1"
MAX_TABLE = 4 << 30


class EntryTable:
    """Rows are added in the layer's order and never change. Offsets grow, so that a position finds its row by bisection.

    `stored` is the bytes that lie in the layer; a sparse file's real size stands in `real_sizes`. `capabilities` are raw values
    of `security.capability` by row, of a table that was just read: `dump` leaves them out.
    """

    __slots__ = (
        "capabilities",
        "ends",
        "kinds",
        "links",
        "modes",
        "mtimes",
        "names",
        "offsets",
        "owners",
        "real_sizes",
        "stored",
    )

    def __init__(self) -> None:
        self.names = bytearray()
        self.ends = array("Q")
        self.links = array("I")
        self.offsets = array("Q")
        self.stored = array("Q")
        self.mtimes = array("q")
        self.owners = array("Q")
        self.modes = array("I")
        self.kinds = bytearray()
        self.real_sizes: dict[int, int] = {}
        self.capabilities: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self.kinds)

    def add(
        self,
        path: bytes,
        kind: int,
        mode: int,
        uid: int,
        gid: int,
        mtime: int,
        offset: int,
        stored: int,
        link: bytes = b"",
    ) -> None:
        """Append a row; `offset` must not be smaller than the row's before."""
        self.names += path
        if link:
            self.names += link
        self.ends.append(len(self.names))
        self.links.append(len(link))
        self.offsets.append(offset)
        self.stored.append(stored)
        self.mtimes.append(mtime)
        self.owners.append((uid & 0xFFFFFFFF) << 32 | gid & 0xFFFFFFFF)
        self.modes.append(mode)
        self.kinds.append(kind)

    def path(self, row: int) -> bytes:
        begin = self.ends[row - 1] if row else 0
        return bytes(self.names[begin : self.ends[row] - self.links[row]])

    def link(self, row: int) -> bytes:
        """The target of a symbolic or hard link; b"" for anything else."""
        end = self.ends[row]
        return bytes(self.names[end - self.links[row] : end])

    def row_at(self, position: int) -> int:
        """The row whose content holds the byte at `position` of the uncompressed layer; -1 for headers and padding."""
        row = bisect_right(self.offsets, position) - 1
        return row if row >= 0 and position < self.offsets[row] + self.stored[row] else -1

    def paths(self) -> Iterator[bytes]:
        begin = 0
        names, links = self.names, self.links
        for row, end in enumerate(self.ends):
            yield bytes(names[begin : end - links[row]])
            begin = end

    def is_entry(self, row: int) -> bool:
        return self.kinds[row] < WHITEOUT

    def entry(self, row: int, layer: int) -> Entry:
        """The row as a value, state still unknown (`visible`); only for rows that are entries, not whiteouts."""
        kind = KINDS[self.kinds[row]]
        return Entry(
            path=self.path(row),
            layer=layer,
            kind=kind,
            mode=self.modes[row],
            uid=self.owners[row] >> 32,
            gid=self.owners[row] & 0xFFFFFFFF,
            size=self.real_sizes.get(row, self.stored[row]),
            mtime=self.mtimes[row],
            link_target=self.link(row) or None,
            offset=self.offsets[row] if kind is Kind.FILE else -1,
        )

    def dump(self) -> bytes:
        """The table, compressed; `load` gives it back."""
        squeeze = zlib.compressobj(1)
        parts = [_HEADER.pack(_MAGIC, len(self), len(self.names))]
        for name, _ in _COLUMNS:
            parts.append(squeeze.compress(getattr(self, name).tobytes()))
        parts.append(squeeze.compress(bytes(self.kinds)))
        parts.append(squeeze.compress(self.names))
        sparse = array("Q", [n for pair in self.real_sizes.items() for n in pair])
        parts.append(squeeze.compress(sparse.tobytes()))
        parts.append(squeeze.flush())
        return b"".join(parts)

    @classmethod
    def load(cls, raw: bytes) -> "EntryTable":
        """The table that `dump` wrote; raises ParseError for anything else."""
        try:
            magic, rows, names = _HEADER.unpack_from(raw)
            width = sum(array(code).itemsize for _, code in _COLUMNS) + 1
            least = rows * width + names
            if magic != _MAGIC or least > MAX_TABLE:
                raise ParseError("not a table of layer entries")
            expand = zlib.decompressobj()
            data = expand.decompress(raw[_HEADER.size :], least + 16 * rows + 1)
        except (struct.error, zlib.error) as e:
            raise ParseError(f"not a table of layer entries: {e}") from e
        if len(data) < least or (len(data) - least) % 16 or not expand.eof:
            raise ParseError("a table of layer entries is cut off")
        table, at = cls(), 0
        for name, code in _COLUMNS:
            column = array(code)
            size = rows * column.itemsize
            column.frombytes(data[at : at + size])
            setattr(table, name, column)
            at += size
        table.kinds = bytearray(data[at : at + rows])
        at += rows
        table.names = bytearray(data[at : at + names])
        sparse = array("Q")
        sparse.frombytes(data[at + names :])
        table.real_sizes = dict(zip(sparse[::2], sparse[1::2], strict=True))
        if (table.ends[-1] if rows else 0) != names or any(k > OPAQUE for k in table.kinds):
            raise ParseError("a table of layer entries contradicts itself")
        return table
