"""Bounds that keep a hostile input from taking the machine; each one hit is a notification, never silence."""

from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, counts and seconds. The defaults let every honest image through."""

    archive_depth: int = 6
    """Archives within archives: a file in a tar in a zip has depth 2."""
    archive_members: int = 200_000
    """Members of one archive, nested ones counted with it."""
    archive_bytes: int = 8 * GIB
    """Bytes unpacked from one file of the image, nested archives included."""
    ratio: int = 250
    """Unpacked bytes per stored byte, judged once `ratio_floor` bytes came out."""
    ratio_floor: int = 256 * MIB
    layer_bytes: int = 256 * GIB
    """Uncompressed bytes of one layer."""
    layer_entries: int = 20_000_000
    document_bytes: int = 8 * MIB
    """A manifest, an index, a config: anything of the image's own JSON."""
    spool_bytes: int = 8 * GIB
    """One file of a compressed layer that has to be looked at again is kept on disk, unnamed, up to this size."""
    keep_bytes: int = 8 * MIB
    """Files up to this size are looked at again in memory."""
    yara_seconds: int = 60
    """One file's match; YARA itself counts."""
    native_seconds: int = 20
    """One file in the worker that holds native parsers."""
    native_bytes: int = 384 * MIB
    """Address space that the worker may add to what it needs to start."""
