"""All that one layer has to say, whatever image it lies in: the unit that is cached."""

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scanner.errors import ParseError
from scanner.model import Context, Evidence, Level, Limits, Notification
from scanner.oci.table import EntryTable

VERSION = 7
"""Of what a record holds and means: part of the cache's key."""
LASTING = "content"
"""The stage of notifications that the same bytes and limits give again; any other may go away at the next try."""


def record_key(ruleset: str, detectors: Iterable[tuple[str, int]], limits: Limits, prefilter: bool) -> str:
    """What a layer's record depends on besides its bytes: rules, detectors (name, version), limits; 64 hex digits."""
    versions = ",".join(f"{name}={version}" for name, version in detectors)
    parts = (str(VERSION), ruleset, versions, repr(limits), str(prefilter))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Carrier:
    """A file that carries evidence. `superseded`: a later member of the same layer takes its path again; `aliases`: the
    names that the layer's hard links give it. `sha256` is the digest of the file's content (64 hex digits), `size` its bytes.
    """

    path: bytes
    mode: int
    uid: int
    gid: int
    superseded: bool
    aliases: tuple[bytes, ...]
    evidence: tuple[Evidence, ...]
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """`size` is the layer's uncompressed bytes; `table` and `kept` are loaded only when asked for.

    `kept` maps paths to the small files that whole-image questions need (package databases). `statistics` are counts.
    """

    diff_id: str | None
    size: int
    carriers: tuple[Carrier, ...]
    notifications: tuple[Notification, ...]
    statistics: Mapping[str, int]
    table: Callable[[], EntryTable]
    kept: Callable[[], Mapping[bytes, bytes]]

    @property
    def lasting(self) -> bool:
        """Whether another look at the same bytes would say the same, so that it may be cached."""
        return all(n.stage == LASTING for n in self.notifications if n.incomplete)


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as bytes: what was seen, the entries, the kept files."""

    seen: bytes
    table: bytes
    kept: bytes


def dump(record: LayerRecord, table: bytes, kept: bytes) -> Stored:
    """The record as bytes that `load` understands."""
    seen = {
        "diff_id": record.diff_id,
        "size": record.size,
        "statistics": dict(record.statistics),
        "notifications": [
            [n.stage, n.level.value, n.message, _path(n.path), [_text(i) for i in n.inner], n.count]
            for n in record.notifications
        ],
        "carriers": [
            [
                _text(c.path),
                c.mode,
                c.uid,
                c.gid,
                c.superseded,
                [_text(a) for a in c.aliases],
                [_observed(e) for e in c.evidence],
                c.sha256,
                c.size,
            ]
            for c in record.carriers
        ],
    }
    return Stored(zlib.compress(json.dumps(seen, sort_keys=True).encode(), 1), table, kept)


def _observed(e: Evidence) -> list[object]:
    around = None if e.context is None else [e.context.start, base64.b64encode(e.context.data).decode()]
    return [e.detector, e.kind, [_text(i) for i in e.inner], e.offset, e.line, e.excerpt, e.facts, around]


def load(stored: Stored) -> LayerRecord:
    """The record again; raises ParseError for bytes that `dump` did not write."""
    try:
        seen = json.loads(_expand(stored.seen))
        carriers = tuple(
            Carrier(
                path := _bytes(raw_path),
                int(mode),
                int(uid),
                int(gid),
                bool(superseded),
                tuple(map(_bytes, aliases)),
                tuple(
                    Evidence(
                        str(detector),
                        str(kind),
                        path,
                        tuple(map(_bytes, inner)),
                        offset,
                        line,
                        str(excerpt),
                        dict(facts),
                        None if context is None else Context(int(context[0]), base64.b64decode(context[1])),
                    )
                    for detector, kind, inner, offset, line, excerpt, facts, context in evidence
                ),
                str(sha256),
                int(size),
            )
            for raw_path, mode, uid, gid, superseded, aliases, evidence, sha256, size in seen["carriers"]
        )
        notifications = tuple(
            Notification(
                str(stage),
                Level(level),
                str(message),
                None if path is None else _bytes(path),
                tuple(map(_bytes, inner)),
                None,
                int(count),
            )
            for stage, level, message, path, inner, count in seen["notifications"]
        )
        return LayerRecord(
            seen["diff_id"],
            int(seen["size"]),
            carriers,
            notifications,
            {str(k): int(v) for k, v in seen["statistics"].items()},
            lambda: EntryTable.load(stored.table),
            lambda: unpack_files(stored.kept),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as e:
        raise ParseError(f"not a layer's record: {e}") from e


class FilePack:
    """Files as one compressed run of (length of path, length of content, path, content), in the order they came."""

    def __init__(self) -> None:
        self._squeeze = zlib.compressobj(1)
        self._parts: list[bytes] = []

    def add(self, path: bytes, content: bytes) -> None:
        head = struct.pack("<II", len(path), len(content))
        self._parts.append(self._squeeze.compress(head + path + content))

    def dump(self) -> bytes:
        """The run; nothing can be added after it."""
        return b"".join([*self._parts, self._squeeze.flush()])


def unpack_files(raw: bytes) -> dict[bytes, bytes]:
    """What a FilePack packed; raises ParseError otherwise."""
    try:
        data, files, at = _expand(raw), {}, 0
        while at < len(data):
            name, size = struct.unpack_from("<II", data, at)
            begin = at + 8 + name
            files[data[at + 8 : begin]] = data[begin : begin + size]
            at = begin + size
        if at != len(data):
            raise ParseError("kept files are cut off")
    except (struct.error, zlib.error) as e:
        raise ParseError(f"not kept files: {e}") from e
    return files


_MOST = 1 << 30


def _expand(raw: bytes) -> bytes:
    expand = zlib.decompressobj()
    data = expand.decompress(raw, _MOST)
    if not expand.eof:
        raise ParseError("a record is cut off or too large")
    return data


def _text(path: bytes) -> str:
    return path.decode("latin-1")


def _path(path: bytes | None) -> str | None:
    return None if path is None else _text(path)


def _bytes(text: Any) -> bytes:
    return str(text).encode("latin-1")
