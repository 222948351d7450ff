"""A layer's tar read as it flows by: headers are picked out, nothing is extracted, no byte is copied without need.

Formats: POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU and v7 (tar(5)); what is a valid member follows Go's archive/tar,
because engines unpack layers with it. Whiteouts: OCI image-spec v1.1, layer.md.
"""

import hashlib
import os
import posixpath
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from zlib import adler32

from scanner.errors import DigestMismatch, LayerError, LimitError
from scanner.mapped import mapped
from scanner.model import Kind, Limits, printable
from scanner.oci.blob import Readable, TarBlob
from scanner.oci.compression import compression, decompressed
from scanner.oci.table import CODE, DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, EntryTable

BLOCK = 512
CHUNK = 1 << 20
MAX_EXTENDED = 1 << 20
"""Bytes of one pax or GNU long-name header: Go's limit."""

WHITEOUT_PREFIX = b".wh."
OPAQUE_NAME = b".wh..wh..opq"

_ZERO = bytes(BLOCK)
_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s6s82x155s12x")
"""name, mode, uid, gid, size, mtime, checksum, typeflag, linkname, magic, prefix (tar(5), POSIX ustar)."""
_TYPES = {
    b"0": FILE,
    b"\0": FILE,
    b"7": FILE,
    b"S": FILE,
    b"1": HARDLINK,
    b"2": SYMLINK,
    b"3": CODE[Kind.CHARACTER],
    b"4": CODE[Kind.BLOCK],
    b"5": DIRECTORY,
    b"6": CODE[Kind.FIFO],
}
_HEADER_ONLY = frozenset(b"123456")
_EXTENDED = frozenset(b"xgLK")


def clean(path: bytes) -> bytes:
    """A member's name as a path below the root: no leading slash, no `.`, no `..` that climbs out."""
    if path[:2] == b"./":
        path = path[2:]
    if path[-1:] == b"/":
        path = path[:-1]
    if not path or path[:1] in b"/." or b"/." in path or b"//" in path:
        path = posixpath.normpath(b"/" + path).lstrip(b"/")
    return path


def whiteout(path: bytes) -> tuple[int, bytes] | None:
    """What a path deletes below its layer: (WHITEOUT, path removed) or (OPAQUE, directory emptied); None for an ordinary path.

    Only the exact name `.wh..wh..opq` is opaque, and a bare `.wh.` names nothing: it removes nothing.
    """
    directory, _, name = path.rpartition(b"/")
    if not name.startswith(WHITEOUT_PREFIX):
        return None
    if name == OPAQUE_NAME:
        return OPAQUE, directory
    original = name[len(WHITEOUT_PREFIX) :]
    if not original or original in (b".", b".."):
        return None
    return WHITEOUT, directory + b"/" + original if directory else original


def number(field: bytes) -> int:
    """A numeric header field: octal digits, or base-256 where the first bit is set (GNU). Raises ValueError."""
    if field[-1] < 33:  # by far the most: digits, then a NUL or a space
        try:
            return int(field[:-1], 8)
        except ValueError:
            pass
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = len(field) * 8
        return value - (1 << bits) if field[0] & 0x40 else value & (1 << bits - 1) - 1
    text = field.partition(b"\0")[0].strip(b" ")
    return int(text, 8) if text else 0


def pax_records(data: bytes) -> dict[bytes, bytes]:
    """The records of a pax header, `length keyword=value\\n`; the last of a keyword wins. Raises ValueError."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        space = data.index(b" ", at, at + 20)
        end = at + int(data[at:space])
        if end <= space + 1 or end > len(data) or data[end - 1 : end] != b"\n":
            raise ValueError("a record's length does not fit")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise ValueError("a record without a keyword")
        records[key] = value
        at = end
    return records


_USED = frozenset(
    (b"path", b"linkpath", b"size", b"uid", b"gid", b"GNU.sparse.name", b"GNU.sparse.realsize", b"GNU.sparse.size")
) | {b"SCHILY.xattr.security.capability"}


def _used(records: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Only what is asked for: a global header holds for all members to come, and there may be any number of them."""
    return {key: value for key, value in records.items() if key in _USED}


class Headers:
    """The members of a tar, from blocks given in order. `next` is where the next header (or its extension) begins.

    Only blocks that hold headers need to be given; raises LayerError for what is no tar, LimitError for too many members.
    """

    def __init__(self, what: str, limits: Limits) -> None:
        self.table = EntryTable()
        self.next = 0
        self.ended = False
        self._what = what
        self._limits = limits
        self._records: dict[bytes, bytes] = {}
        self._globals: dict[bytes, bytes] = {}
        self._collect: tuple[int, int, bytearray] | None = None
        self._zero = False

    def finish(self, size: int) -> None:
        """The tar has `size` bytes; raises LayerError if a member needs more, or if there is nothing at all."""
        if self._collect is not None or (not self.ended and self.next > size):
            raise LayerError(
                f"{self._what} breaks off: its last member needs {self.next} bytes, there are {size}. "
                "The image was cut off when it was saved or copied; save it again."
            )
        if not size:
            raise LayerError(f"{self._what} is empty: not even the end of a tar")

    def feed(self, position: int, chunk: bytes) -> None:
        """The headers that begin in the bytes at `position`; whole blocks, from where `next` points at the latest."""
        # chunks are whole blocks, so a header never straddles two of them; extended headers' data may
        end = position + len(chunk)
        while not self.ended:
            if self._collect is not None and not self._collected(position, chunk):
                return
            at = self.next
            if at + BLOCK > end:
                if at < end:
                    raise LayerError(f"{self._what} breaks off inside the header at byte {at}; save the image again")
                return
            header = chunk[at - position : at - position + BLOCK]
            if header[0] == 0 and header == _ZERO:
                # two blocks of zeros end the archive; what follows is padding to every engine
                self.ended, self._zero = self._zero, True
                self.next = at + BLOCK
                continue
            if self._zero:
                raise LayerError(f"{self._what} has a block that is no header at byte {at}; the image is damaged")
            try:
                self._member(at, header)
            except (ValueError, OverflowError) as e:
                raise LayerError(
                    f"{self._what} has a broken tar header at byte {at}: {e}. The image is damaged."
                ) from e

    def _collected(self, position: int, chunk: bytes) -> bool:
        """Take what the chunk has of an extended header's data; True when it is whole and understood."""
        assert self._collect is not None
        kind, size, data = self._collect
        begin = self.next - position
        take = size - len(data)
        data += chunk[begin : begin + take]
        self.next += min(take, len(chunk) - begin)
        if len(data) < size:
            return False
        self._collect = None
        self.next += -size % BLOCK
        try:
            if kind == ord("x"):
                self._records.update(_used(pax_records(bytes(data))))
            elif kind == ord("g"):
                self._globals.update(_used(pax_records(bytes(data))))
            elif kind == ord("L"):
                self._records[b"path"] = bytes(data).partition(b"\0")[0]
            elif kind == ord("K"):
                self._records[b"linkpath"] = bytes(data).partition(b"\0")[0]
            else:  # continuation blocks of an old GNU sparse map: block by block while the last says so
                self.next -= -size % BLOCK
                more = data[504]
                if more:
                    self._collect = (kind, BLOCK, bytearray())
                    return self._collected(position, chunk) if self.next < position + len(chunk) else False
                self._place_sparse()
        except ValueError as e:
            raise LayerError(f"{self._what} has a broken extended header before byte {self.next}: {e}") from e
        return True

    def _member(self, at: int, header: bytes) -> None:
        name, mode, uid_, gid_, size_, mtime_, checksum, flag, link, magic, prefix = _FIELDS.unpack(header)
        # Adler-32's lower half is 1 + the sum of the bytes, modulo 65521 (RFC 1950): the quickest sum there is
        if (number(checksum) - (adler32(header) & 0xFFFF) + 1 + sum(checksum) - 256) % 65521:
            raise ValueError("the checksum does not fit")
        kind = flag[0]
        size = number(size_)
        if size < 0:
            raise ValueError("a negative size")
        if kind in _EXTENDED:
            if size > MAX_EXTENDED:
                raise ValueError(f"an extended header of {size} bytes (the limit is {MAX_EXTENDED})")
            self.next = at + BLOCK
            self._collect = (kind, size, bytearray())
            return
        if len(self.table) >= self._limits.layer_entries:
            raise LimitError(
                f"{self._what} has more than {self._limits.layer_entries} members; "
                "raise the limit with --limit layer-entries=N if you trust the image"
            )
        name = name.partition(b"\0")[0]
        if prefix[0] and magic == b"ustar\0":
            name = prefix.partition(b"\0")[0] + b"/" + name
        link = link.partition(b"\0")[0] if kind in b"12" else b""
        uid, gid, mtime = number(uid_), number(gid_), number(mtime_)
        real = capability = None
        if self._records or self._globals:
            records = {**self._globals, **self._records}
            self._records = {}
            name = records.get(b"GNU.sparse.name", records.get(b"path", name))
            link = records.get(b"linkpath", link) if kind in b"12" else b""
            size = int(records.get(b"size", size))
            uid, gid = int(records.get(b"uid", uid)), int(records.get(b"gid", gid))
            real = records.get(b"GNU.sparse.realsize", records.get(b"GNU.sparse.size"))
            capability = records.get(b"SCHILY.xattr.security.capability")
            if size < 0:
                raise ValueError("a negative size")
        if b"\0" in name or b"\0" in link:
            raise ValueError("a NUL in a name")
        if kind in _HEADER_ONLY:
            size = 0
        code = _TYPES.get(flag, FILE)
        if code == FILE and not kind and name[-1:] == b"/":
            code = DIRECTORY
        path = clean(name)
        removed = whiteout(path)
        if removed is not None:
            code, path = removed
            link = b""
        offset = at + BLOCK
        self.table.add(
            path,
            code,
            number(mode) & 0o7777,
            uid,
            gid,
            max(-(1 << 62), min(mtime, 1 << 62)),
            offset,
            size,
            clean(link) if code == HARDLINK else link,
        )
        row = len(self.table) - 1
        if capability is not None:
            self.table.capabilities[row] = capability
        if real is not None:
            self.table.real_sizes[row] = min(int(real), (1 << 63) - 1)
        self.next = offset + size + (-size % BLOCK)
        if flag == b"S":
            self.table.real_sizes[row] = max(0, number(header[483:495]))
            if header[482]:
                self.next = offset
                self._collect = (ord("S"), BLOCK, bytearray())

    def _place_sparse(self) -> None:
        """An old GNU sparse member's data begins after the last block of its map."""
        size = self.table.stored[-1]
        self.table.offsets[-1] = self.next
        self.next += size + (-size % BLOCK)


def index(fd: int, size: int, what: str, limits: Limits) -> EntryTable:
    """The members of a plain tar in a regular file, by seeking from header to header. Raises as Headers does."""
    headers = Headers(what, limits)
    while not headers.ended and headers.next < size:
        at = headers.next
        block = os.pread(fd, BLOCK, at)
        headers.feed(at, block)
        if len(block) < BLOCK:
            break
    headers.finish(size)
    return headers.table


class TarWalk:
    """One pass over one stored layer. Iterate `chunks` to its end, then call `verify`.

    `table` holds the entry of every header in the chunks given so far. Rows of whiteouts are there too, as what they remove.
    """

    def __init__(self, blob: TarBlob, limits: Limits) -> None:
        self._blob = blob
        self._limits = limits
        self._what = f"layer {blob.layer.index}"
        self._headers = Headers(self._what, limits)
        self.table = self._headers.table
        self._uncompressed = hashlib.sha256()
        self._stored: _Stored | None = None
        self._plain = False
        self._resources = ExitStack()

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Pairs of (position in the uncompressed layer, bytes), whole and in order, each a multiple of 512 long but the last.

        Raises LayerError where the tar breaks off, LimitError where a limit would be crossed.
        """
        raw = self._blob.open()
        self._resources.callback(raw.close)
        self._stored = stored = _Stored(raw, self._blob.descriptor.digest)
        self._plain = stored.plain
        reader: Readable = stored if stored.plain else decompressed(stored, self._limits, self._what)
        position = 0
        while True:
            chunk = _fill(reader, CHUNK)
            if not chunk:
                break
            if position + len(chunk) > self._limits.layer_bytes:
                raise LimitError(
                    f"{self._what} is larger than {self._limits.layer_bytes} bytes uncompressed; "
                    "raise the limit with --limit layer-bytes=N if you trust the image"
                )
            self._headers.feed(position, chunk)
            yield position, chunk
            position += len(chunk)
        self._headers.finish(position)

    def update(self, chunk: bytes) -> None:
        """Take the next chunk into the uncompressed digest; called in order, on any one thread."""
        self._uncompressed.update(chunk)

    @property
    def diff_id(self) -> str:
        """The digest of what was streamed so far."""
        return f"sha256:{self._uncompressed.hexdigest()}"

    def verify(self) -> None:
        """Compare both digests with what was promised; raises DigestMismatch naming the two."""
        assert self._stored is not None, "verify comes after chunks"
        diff_id, digest = self._blob.layer.diff_id, self._blob.descriptor.digest
        # one format names no digest of the blob, and a plain tree's tar has no diff_id
        if digest is not None:
            read = self.diff_id if self._plain and digest.startswith("sha256:") else self._stored.digest()
            if digest != read:
                raise DigestMismatch(f"the blob of {self._what}", printable(digest), read)
        if diff_id is not None and diff_id != self.diff_id:
            raise DigestMismatch(f"{self._what}, unpacked,", printable(diff_id), self.diff_id)

    @property
    def read(self) -> int:
        """Stored bytes read so far."""
        return 0 if self._stored is None else self._stored.count

    @property
    def in_place(self) -> bool:
        """Whether `region` can give members where they lie; known once the first chunk was given."""
        return self._plain and self._blob.file is not None

    @property
    def rereads(self) -> bool:
        """Whether any member can be read again at any time, at no cost until then."""
        return self.in_place

    def content(self, row: int) -> bytes | None:
        """A small member's bytes, read again where they lie; None if they are not all there any more."""
        file, size = self._blob.file, self.table.stored[row]
        assert file is not None, "only where rereads is true"
        data = os.pread(file.fd, size, file.offset + self.table.offsets[row])
        return data if len(data) == size else None

    @contextmanager
    def region(self, row: int) -> Iterator[memoryview | None]:
        """A large member's bytes where they lie, mapped read-only; None where the layer cannot be read in place."""
        file = self._blob.file
        if file is None or not self._plain:
            yield None
            return
        with mapped(file.fd, file.offset + self.table.offsets[row], self.table.stored[row]) as view:
            yield view

    def forget(self, row: int) -> None:
        """Nothing is held open for a single member."""

    def close(self) -> None:
        self._resources.close()


class _Stored:
    """A layer's stored bytes, digested as they are read unless they are the uncompressed tar itself."""

    def __init__(self, stream: Readable, digest: str | None) -> None:
        self._stream = stream
        self._first = _fill(stream, 8)
        self.plain = compression(self._first) is None
        self.count = len(self._first)
        self._hash = hashlib.new("sha512" if (digest or "").startswith("sha512:") else "sha256")
        self._skip = self.plain and self._hash.name == "sha256"

    def read(self, size: int = -1, /) -> bytes:
        if self._first:
            data, self._first = self._first, b""
        else:
            data = self._stream.read(size)
            self.count += len(data)
        if not self._skip:
            self._hash.update(data)
        return data

    def digest(self) -> str:
        """Of everything, what a decompressor left unread included."""
        while self.read(CHUNK):
            pass
        return f"{self._hash.name}:{self._hash.hexdigest()}"

    def close(self) -> None:
        self._stream.close()


def _fill(reader: Readable, size: int) -> bytes:
    """Exactly `size` bytes, fewer only at the end: streams may give less than was asked for."""
    data = reader.read(size)
    if len(data) == size or not data:
        return data
    parts, have = [data], len(data)
    while have < size and (data := reader.read(size - have)):
        parts.append(data)
        have += len(data)
    return b"".join(parts)
