"""What unpacking one file of the image may cost, all its nested levels together."""

from pathlib import Path

from scanner.errors import LimitError
from scanner.model import Limits

MEMORY = 192 << 20
"""Bytes that the first decompressor may take for its window; one within it may take half of that, and so on."""


class Exhausted(LimitError):
    """Nothing more of this file can be unpacked; `limit` is what was reached, as `--limit` names it."""

    def __init__(self, limit: str, why: str) -> None:
        super().__init__(f"was not unpacked any further: {why}; raise it with --limit {limit}=N if you trust the image")
        self.limit = limit


class Budget:
    """Counts what comes out of one file of the image. One for each file, used by one thread.

    `spool_dir` is where members too large for memory are kept, unnamed; None for the system's temporary directory.
    """

    __slots__ = ("_decoders", "_members", "_said", "_stored", "_unpacked", "limits", "spool_dir")

    def __init__(self, limits: Limits, spool_dir: Path | None = None) -> None:
        self.limits = limits
        self.spool_dir = spool_dir
        self._stored = 0
        self._unpacked = 0
        self._members = 0
        self._decoders = 0
        self._said: set[str] = set()

    def begin(self, stored: int, depth: int) -> None:
        """An archive of `stored` bytes is opened, the file itself at depth 0. Raises Exhausted if it lies too deep."""
        if depth >= self.limits.archive_depth:
            raise Exhausted("archive-depth", f"it lies in {depth} archives, the limit is {self.limits.archive_depth}")
        self._stored = max(self._stored, stored)

    def member(self) -> None:
        """One more member, of whatever kind. Raises Exhausted."""
        self._members += 1
        if self._members > self.limits.archive_members:
            raise Exhausted("archive-members", f"more than {self.limits.archive_members} members")

    def unpacked(self, size: int) -> None:
        """`size` more bytes came out. Raises Exhausted."""
        self._unpacked += size
        limits = self.limits
        if self._unpacked > limits.archive_bytes:
            raise Exhausted("archive-bytes", f"more than {limits.archive_bytes} bytes came out of {self._stored}")
        if self._unpacked > limits.ratio_floor and self._unpacked > limits.ratio * self._stored:
            raise Exhausted(
                "ratio",
                f"{self._unpacked} bytes came out of {self._stored}, more than {limits.ratio} for each stored byte",
            )

    def said(self, error: Exhausted) -> bool:
        """Whether this limit was hit before in this file: one notification says it for all."""
        known = error.limit in self._said
        self._said.add(error.limit)
        return known

    def keep_bytes(self, depth: int) -> int:
        """Members up to this size are held in memory; less of it the deeper, so that all levels together stay small."""
        return self.limits.keep_bytes >> depth

    def open_decoder(self) -> int:
        """Bytes that one more decompressor may take for its window. Give it back by `close_decoder`."""
        self._decoders += 1
        return MEMORY >> (self._decoders - 1)

    def close_decoder(self) -> None:
        self._decoders -= 1
