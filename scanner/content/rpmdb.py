"""RPM's package database, whichever of its three forms it has, read by our own bounded code: no rpm, no SQLite, no libdb.

Sources: SQLite's Database File Format (sqlite.org/fileformat2.html); rpm's ndb (`Packages.db`: slots that point to
blobs); Berkeley DB's hash pages (`Packages` up to RHEL 8); rpm's header format (rpm-software-management.github.io,
Package Format, Header). What comes out is one document in the form of apk's installed file, kept with the layer.

A database may refer to the same bytes many times. All that is taken from one is at most as many bytes as it has, so
that time and memory follow its size whatever it says.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.content.worker import OutOfTime
from scanner.errors import ParseError
from scanner.model import Json

MOST = 256 << 20
"""Bytes of a database that is read."""
PACKAGES = 100_000
FILES = 2_000_000
"""Names of files, of all packages together."""

_SQLITE = b"SQLite format 3\0"
_NDB = b"RpmP"
_HASH = b"\x61\x15\x06\0"
_BTREE = b"\x62\x31\x05\0"

_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCE = 1000, 1001, 1002, 1003, 1022, 1044
_OLD_NAMES, _FOLDER_OF, _NAMES, _FOLDERS = 1027, 1116, 1117, 1118
_WANTED = frozenset((_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCE, _OLD_NAMES, _FOLDER_OF, _NAMES, _FOLDERS))
_INT32, _STRING, _STRINGS, _TRANSLATED = 4, 6, 8, 9
_MOST_TAGS = 0xFFFF
_FIELD = 1000
"""Bytes of a name or a version; what is longer is cut."""

Bytes = bytes | memoryview


def read(data: Bytes) -> tuple[dict[str, Json], bytes]:
    """{"packages": how many, "problems": what was not read, in words} and the document.

    In the document a package is the lines `P:` name, `V:` [epoch:]version-release, `A:` architecture, `o:` source
    package, then `F:` folder and `R:` file in it, and an empty line. Raises ParseError for what is no such database.
    """
    problems: Counter[str] = Counter()
    document = bytearray()
    packages = files = 0
    try:
        for blob in _blobs(data, problems):
            if packages == PACKAGES:
                problems[f"it lists more than {PACKAGES} packages, the rest was not read"] += 1
                break
            try:
                record, names = _record(blob, FILES - files, problems)
            except (ParseError, struct.error, ValueError, IndexError):
                problems["a package's header is damaged"] += 1
                continue
            except MemoryError:
                problems["a package's list of files needs more memory than there is and was not read"] += 1
                record, names = _record(blob, 0, Counter())
            document += record
            packages += 1
            files += names
    except OutOfTime:
        problems["its time was over before its end, the rest was not read"] += 1
    told: list[Json] = [what if count == 1 else f"{what} ({count} times)" for what, count in sorted(problems.items())]
    return {"packages": packages, "problems": told}, bytes(document)


def _blobs(data: Bytes, problems: Counter[str]) -> Iterator[bytes]:
    """The headers of a database of whichever form."""
    head = bytes(data[:512])
    if head.startswith(_SQLITE):
        return _from_sqlite(data, problems)
    if head.startswith(_NDB):
        return _from_ndb(data, problems)
    if head[12:16] in (_HASH, _HASH[::-1]):
        return _from_hash(data, "<" if head[12:16] == _HASH else ">", problems)
    if head[12:16] in (_BTREE, _BTREE[::-1]):
        raise ParseError("it is a Berkeley DB tree, rpm's packages lie in a hash")
    raise ParseError("it is neither SQLite nor ndb nor Berkeley DB")


class _Room:
    """How many bytes may still be taken out of a database."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int) -> None:
        """Raises ParseError where more is taken than the database has."""
        if size < 0 or size > self._left:
            raise ParseError("it refers to the same bytes more than once")
        self._left -= size


# ---- SQLite


@dataclass(frozen=True, slots=True)
class _Pages:
    """A SQLite database's pages: `size` bytes each, `usable` without what is reserved at their ends; the first is 1."""

    data: Bytes
    size: int
    usable: int
    count: int
    room: _Room


def _from_sqlite(data: Bytes, problems: Counter[str]) -> Iterator[bytes]:
    """The blobs of the table `Packages`, by their number."""
    if len(data) < 512:
        raise ParseError("it ends within its first page")
    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size
    usable = size - data[20]
    if size < 512 or size & (size - 1) or usable < 480:
        raise ParseError("its page size cannot be")
    if len(data) % size:
        problems["it ends within a page"] += 1
    pages = _Pages(data, size, usable, len(data) // size, _Room(len(data)))
    root = None
    for row in _rows(pages, 1, problems):
        columns = _columns(row)
        if len(columns) >= 4 and columns[0] == b"table" and columns[1] == b"Packages" and isinstance(columns[3], int):
            root = columns[3]
            break
    if root is None:
        raise ParseError("it has no table of packages")
    for row in _rows(pages, root, problems):
        blob = next((value for value in _columns(row) if isinstance(value, bytes)), None)
        if blob is None:
            problems["a row holds no package"] += 1
        else:
            yield blob


def _rows(pages: _Pages, root: int, problems: Counter[str]) -> Iterator[bytes]:
    """A table's rows in order, each as its record. Every page is read once, whatever refers to it."""
    data, size = pages.data, pages.size
    seen: set[int] = set()
    todo = [root]
    while todo:
        page = todo.pop()
        if not 0 < page <= pages.count or page in seen:
            problems["a page refers to one that is not there or was read before"] += 1
            continue
        seen.add(page)
        base = (page - 1) * size
        at = base + (100 if page == 1 else 0)
        kind, cells = data[at], int.from_bytes(data[at + 3 : at + 5], "big")
        begin = at + (12 if kind == 5 else 8)
        if kind not in (5, 13) or begin + 2 * cells > base + size:
            problems["a page is damaged"] += 1
            continue
        pointers = struct.unpack_from(f">{cells}H", data, begin)
        if kind == 5:
            children = [int.from_bytes(data[base + p : base + p + 4], "big") for p in pointers if p + 4 <= size]
            children.append(int.from_bytes(data[at + 8 : at + 12], "big"))
            todo += reversed(children)
            continue
        for pointer in pointers:
            try:
                yield _payload(pages, base, pointer)
            except (ParseError, struct.error, IndexError) as e:
                problems[f"a row is damaged: {e}" if isinstance(e, ParseError) else "a row is damaged"] += 1


def _payload(pages: _Pages, base: int, pointer: int) -> bytes:
    """What a leaf's cell holds, with what flows over to other pages. Raises ParseError, IndexError or struct.error."""
    data, usable = pages.data, pages.usable
    length, at = _varint(data, base + pointer)
    _, at = _varint(data, at)  # the row's number
    pages.room.take(length)
    local = length
    if length > usable - 35:
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        if local > usable - 35:
            local = least
    if at + local > base + pages.size:
        raise ParseError("it is longer than its page")
    parts = [bytes(data[at : at + local])]
    left = length - local
    page = int.from_bytes(data[at + local : at + local + 4], "big") if left else 0
    while left:
        if not 0 < page <= pages.count:
            raise ParseError("it goes on where there is no page")
        begin = (page - 1) * pages.size
        part = bytes(data[begin + 4 : begin + 4 + min(left, usable - 4)])
        parts.append(part)
        left -= len(part)
        page = int.from_bytes(data[begin : begin + 4], "big")
    return b"".join(parts)


def _varint(data: Bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes and where it ends (Database File Format 1.6). Raises IndexError."""
    value = 0
    for step in range(8):
        byte = data[at + step]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + step + 1
    return value << 8 | data[at + 8], at + 9


def _columns(row: bytes) -> list[int | bytes | None]:
    """A record's first columns (Database File Format 2.1), as many as are whole; None also stands for a fraction."""
    columns: list[int | bytes | None] = []
    try:
        end, at = _varint(row, 0)
        value = end
        while at < end and len(columns) < 5:
            kind, at = _varint(row, at)
            size = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[kind] if kind < 12 else (kind - 12) // 2
            if value + size > len(row):
                break
            raw = row[value : value + size]
            if kind >= 12:
                columns.append(raw)
            elif kind in (8, 9):
                columns.append(kind - 8)
            else:
                columns.append(int.from_bytes(raw, "big", signed=True) if 0 < kind < 7 else None)
            value += size
    except IndexError:
        pass  # what is whole so far is what there is
    return columns


# ---- ndb


def _from_ndb(data: Bytes, problems: Counter[str]) -> Iterator[bytes]:
    """The blobs that the slots point to; all numbers are little endian, places count blocks of 16 bytes."""
    if len(data) < 32:
        raise ParseError("it ends within its header")
    version, _, slot_pages = struct.unpack_from("<3I", data, 4)
    if version != 0:
        raise ParseError(f"it has version {version} of ndb, which is not known")
    end = slot_pages * 4096
    if end > len(data):
        problems["it ends within its slots"] += 1
        end = len(data) & ~15
    room = _Room(len(data))
    with memoryview(data)[32:end] as slots:
        for magic, number, block, _ in struct.iter_unpack("<4s3I", slots):
            if magic != b"Slot":
                problems["a slot is damaged"] += 1
            elif block:
                try:
                    yield _blob(data, number, block * 16, room)
                except ParseError as e:
                    problems[f"a package is damaged: {e}"] += 1


def _blob(data: Bytes, number: int, at: int, room: _Room) -> bytes:
    """The blob of a package's number. Raises ParseError."""
    if at + 16 > len(data):
        raise ParseError("it lies behind the end")
    magic, same, _, length = struct.unpack_from("<4s3I", data, at)
    if magic != b"BlbS" or same != number or at + 16 + length > len(data):
        raise ParseError("it is not where its slot says")
    room.take(length)
    return bytes(data[at + 16 : at + 16 + length])


# ---- Berkeley DB


def _from_hash(data: Bytes, order: str, problems: Counter[str]) -> Iterator[bytes]:
    """The values on all hash pages. Items fill a page from its end, a key before its value; a long one lies elsewhere."""
    if len(data) < 512:
        raise ParseError("it ends within its first page")
    version, size = struct.unpack_from(order + "2I", data, 16)
    if data[24]:
        raise ParseError("it is encrypted")
    if not 8 <= version <= 10 or size < 512 or size & (size - 1) or size > 65536:
        raise ParseError(f"it has version {version} and page size {size} of Berkeley DB's hash, which is not known")
    if len(data) % size:
        problems["it ends within a page"] += 1
    pages = len(data) // size
    room = _Room(len(data))
    steps = iter(range(pages))
    for number in range(1, pages):
        base = number * size
        if data[base + 25] not in (2, 13):
            continue
        (items,) = struct.unpack_from(order + "H", data, base + 20)
        if 26 + 2 * items > size:
            problems["a page is damaged"] += 1
            continue
        places = struct.unpack_from(f"{order}{items}H", data, base + 26)
        for key, value in zip(places[::2], places[1::2], strict=False):
            if not 26 + 2 * items <= value < key <= size:
                problems["an item is damaged"] += 1
                continue
            try:
                if data[base + value] == 3 and key - value == 12:
                    yield _long_item(data, order, size, base + value, room, steps)
                elif data[base + value] == 1:
                    short = bytes(data[base + value + 1 : base + key])
                    room.take(len(short))
                    if len(short) > 16:  # else it is the highest number given so far
                        yield short
                else:
                    problems["an item is damaged"] += 1
            except ParseError as e:
                problems[f"a package is damaged: {e}"] += 1


def _long_item(data: Bytes, order: str, size: int, at: int, room: _Room, steps: Iterator[int]) -> bytes:
    """An item on pages of its own. `steps` has as many as the database has pages. Raises ParseError."""
    page, length = struct.unpack_from(order + "2I", data, at + 4)
    room.take(length)
    parts: list[bytes] = []
    left = length
    while left:
        base = page * size
        if not page or base + size > len(data) or data[base + 25] != 7:
            raise ParseError("it goes on where there is no page")
        if next(steps, None) is None:
            raise ParseError("it refers to the same bytes more than once")
        page, _, here = struct.unpack_from(order + "I2H", data, base + 16)
        if here > size - 26 or here > left:
            raise ParseError("its pages hold more than it has")
        parts.append(bytes(data[base + 26 : base + 26 + here]))
        left -= here
    return b"".join(parts)


# ---- headers


class _Header:
    """The wanted tags of a header: a count of tags, a count of bytes, the tags' index, the bytes; all big endian."""

    __slots__ = ("_data", "_index")

    def __init__(self, blob: bytes) -> None:
        """Raises ParseError or struct.error."""
        tags, size = struct.unpack_from(">2I", blob)
        begin = 8 + 16 * tags
        if tags > _MOST_TAGS or begin + size > len(blob):
            raise ParseError("a header is cut off")
        self._data = blob[begin : begin + size]
        # what was added when it was installed stands last, and replaces what the package brought
        self._index: dict[int, tuple[int, int, int]] = {
            tag: (kind, offset, count)
            for tag, kind, offset, count in struct.iter_unpack(">4I", blob[8:begin])
            if tag in _WANTED
        }

    def count(self, tag: int) -> int:
        """How many values a tag has, by its own word."""
        return self._index.get(tag, (0, 0, 0))[2]

    def text(self, tag: int) -> bytes:
        """A string on one line, b"" where there is none. Raises ValueError where it does not end."""
        kind, offset, _ = self._index.get(tag, (0, 0, 0))
        if kind not in (_STRING, _TRANSLATED):
            return b""
        end = self._data.index(b"\0", offset)
        return self._data[offset : min(end, offset + _FIELD)].replace(b"\n", b" ")

    def texts(self, tag: int) -> list[bytes]:
        """An array of strings, [] where there is none. Raises ParseError where it does not end."""
        kind, offset, count = self._index.get(tag, (0, 0, 0))
        if kind not in (_STRING, _STRINGS) or not count:
            return []
        if count > len(self._data) - offset:
            raise ParseError("an array is longer than its header")
        found = self._data[offset:].split(b"\0", count)
        if len(found) <= count:
            raise ParseError("an array is longer than its header")
        del found[count:]
        return found

    def numbers(self, tag: int) -> tuple[int, ...]:
        """An array of 32-bit numbers, () where there is none. Raises struct.error where it does not end."""
        kind, offset, count = self._index.get(tag, (0, 0, 0))
        return struct.unpack_from(f">{count}I", self._data, offset) if kind == _INT32 else ()


def _record(blob: bytes, most: int, problems: Counter[str]) -> tuple[bytes, int]:
    """A header as lines of the document, and how many files it names, at most `most`. Raises as _Header does."""
    header = _Header(blob)
    name = header.text(_NAME)
    if not name:
        raise ParseError("a header without a name")
    version = b"%b-%b" % (header.text(_VERSION), header.text(_RELEASE))
    if epoch := header.numbers(_EPOCH):
        version = b"%d:%b" % (epoch[0], version)
    lines = [b"P:" + name, b"V:" + version]
    if architecture := header.text(_ARCH):
        lines.append(b"A:" + architecture)
    source = header.text(_SOURCE)
    if source.count(b"-") >= 2:
        lines.append(b"o:" + source.rsplit(b"-", 2)[0])
    files, folders = header.count(_NAMES) + header.count(_OLD_NAMES), dict[bytes, list[bytes]]()
    try:
        if files <= most:
            folders = _files(header)
        else:
            problems[f"it names more than {FILES} files, the rest was not read"] += 1
    except (ParseError, struct.error):
        problems["a package's list of files is damaged and was not read"] += 1
    files = sum(map(len, folders.values()))
    for folder, names in folders.items():
        if b"\n" in folder or any(b"\n" in n for n in names):
            problems["a file's name has a line break and was left out"] += 1
            if b"\n" in folder:
                continue
            names = [n for n in names if b"\n" not in n]  # noqa: PLW2901 - what is left of it
        lines.append(b"F:" + folder)
        lines += [b"R:" + n for n in names]
    return b"\n".join(lines) + b"\n\n", files


def _files(header: _Header) -> dict[bytes, list[bytes]]:
    """A package's files by folder, so that no folder is written twice however its files are strewn.

    Raises ParseError or struct.error.
    """
    folders: dict[bytes, list[bytes]] = {}
    if old := header.texts(_OLD_NAMES):
        for path in old:
            folder, _, name = path.strip(b"/").rpartition(b"/")
            folders.setdefault(folder, []).append(name)
        return folders
    names, places = header.texts(_NAMES), header.numbers(_FOLDER_OF)
    known = [folder.strip(b"/") for folder in header.texts(_FOLDERS)]
    if len(names) != len(places) or (places and max(places) >= len(known)):
        raise ParseError("a header whose files have no folders")
    lists: list[list[bytes]] = [folders.setdefault(folder, []) for folder in known]
    for name, place in zip(names, places, strict=True):
        lists[place].append(name)
    return {folder: inside for folder, inside in folders.items() if inside}
