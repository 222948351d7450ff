"""Entries of a layer's filesystem changeset (image-spec v1.1, layer.md)."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    CHARACTER = "character device"
    BLOCK = "block device"
    FIFO = "fifo"


class State(StrEnum):
    """Whether a container sees the entry: as it is, replaced by a later layer, or removed by a later layer's whiteout."""

    VISIBLE = "visible"
    OVERWRITTEN = "overwritten"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a layer: `path` without leading slash or `..`, bytes as they stand in the layer.

    `offset` is where its content begins in the uncompressed layer (-1: it has none), `size` its bytes there;
    `hidden_by` the index of the layer that overwrote or deleted it.
    """

    path: bytes
    layer: int
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link_target: bytes | None = None
    offset: int = -1
    state: State = State.VISIBLE
    hidden_by: int | None = None

    @property
    def is_file(self) -> bool:
        return self.kind is Kind.FILE
