"""Reading what a source hands over, the way the engine does."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

from scanner.model import Limits
from scanner.oci.blob import TarBlob, TreeBlob
from scanner.oci.table import EntryTable
from scanner.oci.tar import TarWalk
from scanner.oci.tree import TreeWalk
from scanner.sources.plugin import OpenImage, SourceOptions
from scanner.sources.recognise import open_target


def opened(target: str, **options: object) -> OpenImage:
    return open_target(target, SourceOptions(**options))  # type: ignore[arg-type]


def walk(blob: TarBlob | TreeBlob) -> TarWalk | TreeWalk:
    """The whole layer streamed and verified. A tree has no digest."""
    made: TarWalk | TreeWalk = (
        TarWalk(blob, Limits()) if isinstance(blob, TarBlob) else TreeWalk(blob, Limits(), 1 << 20)
    )
    try:
        for _, chunk in made.chunks():
            made.update(chunk)
        made.verify()
    finally:
        made.close()
    return made


def contents(image: OpenImage) -> list[str | None]:
    """Each layer's uncompressed digest, all layers read at once from threads of their own."""
    with ThreadPoolExecutor(4) as pool:
        return [w.diff_id for w in pool.map(walk, image.blobs)]


def listing(table: EntryTable) -> dict[tuple[bytes, int], int]:
    """Paths and kinds of a layer, with the sizes; the top itself left out, which a tree has no entry for."""
    return {(table.path(r), table.kinds[r]): table.stored[r] for r in range(len(table)) if table.path(r)}


def stored_digest(blob: TarBlob) -> str:
    stream, digest = blob.open(), hashlib.sha256()
    while data := stream.read(70_000):
        digest.update(data)
    stream.close()
    return f"sha256:{digest.hexdigest()}"
