"""rpm's databases in the making: headers, and the three forms that hold them, written byte by byte as rpm does."""

import sqlite3
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence

NAME, VERSION, RELEASE, EPOCH, ARCH, SOURCE = 1000, 1001, 1002, 1003, 1022, 1044
OLD_NAMES, FOLDER_OF, NAMES, FOLDERS = 1027, 1116, 1117, 1118

Tag = tuple[int, int, int, bytes]
"""Number, type, count, bytes."""


def text(tag: int, value: str) -> Tag:
    return tag, 6, 1, value.encode() + b"\0"


def texts(tag: int, values: Sequence[str | bytes]) -> Tag:
    raw = (v.encode() if isinstance(v, str) else v for v in values)
    return tag, 8, len(values), b"".join(v + b"\0" for v in raw)


def numbers(tag: int, values: Sequence[int]) -> Tag:
    return tag, 4, len(values), struct.pack(f">{len(values)}I", *values)


def blob(tags: Iterable[Tag]) -> bytes:
    """A header of these tags, in this order; numbers lie at places that four divides."""
    index, data, count = b"", b"", 0
    for tag, kind, many, raw in tags:
        data += bytes(-len(data) % 4) if kind == 4 else b""
        index += struct.pack(">4I", tag, kind, len(data), many)
        data += raw
        count += 1
    return struct.pack(">2I", count, len(data)) + index + data


def header(
    name: str,
    version: str = "1.0",
    release: str = "1",
    *,
    epoch: int | None = None,
    arch: str | None = "x86_64",
    source: str | None = None,
    files: Mapping[str, Sequence[str | bytes]] | None = None,
) -> bytes:
    """A package; `files` are names by folder (`/usr/bin/`)."""
    tags = [text(NAME, name), text(VERSION, version), text(RELEASE, release)]
    if epoch is not None:
        tags.append(numbers(EPOCH, [epoch]))
    if arch is not None:
        tags.append(text(ARCH, arch))
    if source is not None:
        tags.append(text(SOURCE, source))
    if files:
        folder_of = [place for place, names in enumerate(files.values()) for _ in names]
        tags.append(numbers(FOLDER_OF, folder_of))
        tags.append(texts(NAMES, [name for names in files.values() for name in names]))
        tags.append(texts(FOLDERS, list(files)))
    return blob(tags)


def in_sqlite(blobs: Sequence[bytes], page: int = 4096, indexes: int = 18) -> bytes:
    """rpmdb.sqlite as rpm 4.16 and later leave it: a table of packages, tables and indexes to look them up, WAL mode."""
    with sqlite3.connect(":memory:") as db:
        db.execute(f"PRAGMA page_size={page}")
        db.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)")
        for number in range(indexes):
            db.execute(f"CREATE TABLE 'I{number}' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)")
            db.execute(f"CREATE INDEX 'I{number}_key_idx' ON 'I{number}'(key ASC)")
        db.executemany("INSERT INTO Packages(blob) VALUES (?)", [(b,) for b in blobs])
        db.commit()
        data = bytearray(db.serialize())
    data[18:20] = b"\2\2"
    return bytes(data)


def in_ndb(blobs: Sequence[bytes]) -> bytes:
    """Packages.db of openSUSE: slots, then blobs with head and tail, in blocks of 16 bytes."""
    pages = (32 + 16 * len(blobs)) // 4096 + 1
    slots, body = b"", b""
    for number, raw in enumerate(blobs, 1):
        whole = struct.pack("<4s3I", b"BlbS", number, 7, len(raw)) + raw
        whole += bytes(-(len(whole) + 12) % 16)
        whole += struct.pack("<2I4s", zlib.adler32(whole), len(raw), b"BlbE")
        slots += struct.pack("<4s3I", b"Slot", number, (pages * 4096 + len(body)) // 16, len(whole) // 16)
        body += whole
    head = struct.pack("<4s4I", b"RpmP", 0, len(blobs), pages, len(blobs) + 1) + bytes(12)
    free = struct.pack("<4s3I", b"Slot", 0, 0, 0)
    return head + slots + free * ((pages * 4096 - 32 - len(slots)) // 16) + body


def in_hash(blobs: Sequence[bytes], order: str = "<", page: int = 4096) -> bytes:
    """Packages of RHEL 8 and before: a hash of one bucket, keys of four bytes, values on pages of their own."""
    items: list[tuple[bytes, bytes]] = [(struct.pack(order + "I", 0), b"\1" + struct.pack(order + "I", len(blobs)))]
    per_page = (page - 26) // (4 + 5 + 12) - 1
    hashes = len(blobs) // per_page + 1
    overflow: list[bytes] = []
    for number, raw in enumerate(blobs, 1):
        first, room = 1 + hashes + len(overflow), page - 26
        parts = [raw[at : at + room] for at in range(0, len(raw), room)]
        for place, part in enumerate(parts):
            following = first + place + 1 if place + 1 < len(parts) else 0
            head = struct.pack(order + "8xIIIHHBB", first + place, 0, following, 1, len(part), 0, 7)
            overflow.append((head + part).ljust(page, b"\0"))
        items.append((struct.pack(order + "I", number), b"\3\0\0\0" + struct.pack(order + "2I", first, len(raw))))
    pages = []
    for number in range(hashes):
        places, body = [], b""
        for key, value in items[number * per_page : (number + 1) * per_page]:
            for raw in (b"\1" + key, value):
                body = raw + body
                places.append(page - len(body))
        following = number + 2 if number + 1 < hashes else 0
        head = struct.pack(order + "8xIIIHHBB", number + 1, 0, following, len(places), page - len(body), 0, 13)
        index = struct.pack(f"{order}{len(places)}H", *places)
        pages.append((head + index).ljust(page - len(body), b"\0") + body)
    last = hashes + len(overflow)
    meta = struct.pack(order + "8xIIIIBBBBII", 0, 0x061561, 9, page, 0, 8, 0, 0, 0, last)
    meta = meta.ljust(96, b"\0") + struct.pack(order + "I", 1)  # the only bucket begins at page 1
    return b"".join([meta.ljust(page, b"\0"), *pages, *overflow])


FORMS = {"sqlite": in_sqlite, "ndb": in_ndb, "hash": in_hash, "hash-be": lambda blobs: in_hash(blobs, ">")}
