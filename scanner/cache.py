"""What layers had to say, kept from scan to scan: one SQLite file that many scans may share, never trusted, never fatal."""

import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from scanner.record import Stored

APPLICATION = 0x53414E44  # "SAND": SQLite's application_id, which tells our file from a foreign one
VERSION = 1
MAX_BYTES = 2 << 30
_DAY = 86_400
_SCHEMA = """
CREATE TABLE IF NOT EXISTS layer (
    key TEXT PRIMARY KEY, seen BLOB NOT NULL, entries BLOB NOT NULL, kept BLOB NOT NULL,
    checksum BLOB NOT NULL, used INTEGER NOT NULL
) WITHOUT ROWID
"""


def directory() -> Path:
    """$SANDSCAN_CACHE_DIR, else sandscan/ in the XDG cache directory (XDG Base Directory Specification)."""
    if own := os.environ.get("SANDSCAN_CACHE_DIR"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "sandscan"


@dataclass(frozen=True, slots=True)
class Info:
    """What the cache holds: its file, how many layers, how many bytes on disk."""

    file: Path
    layers: int
    size: int


class Cache:
    """`get` and `put` never raise: what cannot be read is a miss, what cannot be written is left out, and `problem` says why."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or directory()
        self.file = self.folder / "layers.sqlite"
        self.problem: str | None = None

    def get(self, key: str) -> Stored | None:
        """The record under the key, or None. A damaged row is thrown away."""
        with self._trying(), self._open() as db:
            row = db.execute("SELECT seen, entries, kept, checksum, used FROM layer WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            stored = Stored(*row[:3])
            if _checksum(key, stored) != row[3]:
                self.problem = "a damaged record was thrown away"
                db.execute("DELETE FROM layer WHERE key = ?", (key,))
                return None
            if (now := int(time.time())) - row[4] > _DAY:
                db.execute("UPDATE layer SET used = ? WHERE key = ?", (now, key))
            return stored
        return None  # type: ignore[unreachable]  # after an error that _trying took

    def put(self, key: str, stored: Stored) -> None:
        """Keep a record; the ones longest unused make room when the file grows past its bound."""
        with self._trying(), self._open() as db:
            db.execute(
                "INSERT OR REPLACE INTO layer VALUES (?, ?, ?, ?, ?, ?)",
                (key, stored.seen, stored.table, stored.kept, _checksum(key, stored), int(time.time())),
            )
            size = db.execute("SELECT coalesce(sum(length(seen) + length(entries) + length(kept)), 0) FROM layer")
            if size.fetchone()[0] > MAX_BYTES:
                db.execute(
                    "DELETE FROM layer WHERE key IN (SELECT key FROM layer ORDER BY used LIMIT (SELECT count(*) / 4 + 1 FROM layer))"
                )

    def drop(self, key: str) -> None:
        """Forget a record that turned out to be unreadable."""
        with self._trying(), self._open() as db:
            db.execute("DELETE FROM layer WHERE key = ?", (key,))

    def info(self) -> Info:
        """Counts for a person; zero where there is no cache."""
        layers = 0
        if self.file.exists():
            with self._trying(), self._open() as db:
                layers = db.execute("SELECT count(*) FROM layer").fetchone()[0]
        return Info(self.file, layers, sum(f.stat().st_size for f in self._files()))

    def clear(self) -> int:
        """Remove the cache's files; gives the bytes that were freed. Raises OSError if they cannot be removed."""
        freed = 0
        for file in self._files():
            freed += file.stat().st_size
            file.unlink()
        return freed

    def _files(self) -> list[Path]:
        return [f for suffix in ("", "-journal") if (f := Path(f"{self.file}{suffix}")).is_file()]

    @contextmanager
    def _trying(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as e:  # locked by others, a full disk, no permission: live without
            self.problem = f"the cache {self.file} cannot be used: {e}"
        except sqlite3.DatabaseError as e:
            self.problem = f"the cache {self.file} was damaged ({e}) and is built anew"
            with suppress(OSError):
                self.clear()
        except OSError as e:
            self.problem = f"the cache {self.file} cannot be used: {e.strerror or e}"

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for place in (self.folder, self.file):
            with suppress(FileNotFoundError):
                info = place.lstat()
                if info.st_uid != os.geteuid() or info.st_mode & 0o022 or stat.S_ISLNK(info.st_mode):
                    raise OSError(0, f"{place} belongs to, or can be written by, somebody else")
        old = os.umask(0o077)
        try:
            connection = sqlite3.connect(self.file, timeout=10, isolation_level=None)
        finally:
            os.umask(old)
        with closing(connection) as db:
            if _identity(db) != (APPLICATION, VERSION):
                db.execute("BEGIN IMMEDIATE")  # many first scans may start at once: one of them makes the table
                if _identity(db) != (APPLICATION, VERSION):
                    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                        raise sqlite3.DatabaseError("it is not of this version of sandscan")
                    db.execute(_SCHEMA)
                    db.execute(f"PRAGMA application_id = {APPLICATION}")
                    db.execute(f"PRAGMA user_version = {VERSION}")
                db.execute("COMMIT")
            db.execute("PRAGMA synchronous = OFF")
            db.execute("PRAGMA trusted_schema = OFF")
            yield db


def _identity(db: sqlite3.Connection) -> tuple[int, int]:
    application: int = db.execute("PRAGMA application_id").fetchone()[0]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return application, version


def _checksum(key: str, stored: Stored) -> bytes:
    digest = hashlib.blake2b(key.encode(), digest_size=32)
    for part in (stored.seen, stored.table, stored.kept):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
