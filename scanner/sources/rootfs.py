"""A file system without an image around it: a directory, or the tar that `docker export` writes."""

import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from scanner.errors import TargetError
from scanner.model import Descriptor, Image, ImageConfig, Layer, Target, printable
from scanner.oci.blob import Blob, TarBlob, TreeBlob
from scanner.oci.compression import compression
from scanner.oci.files import reader
from scanner.oci.manifest import OCI_LAYER
from scanner.oci.platforms import UNKNOWN
from scanner.oci.saved import Beginning, beginning
from scanner.sources.paths import exists, first_bytes, look, seekable, stem
from scanner.sources.plugin import OpenImage, Source, SourceOptions

LAYER = Layer(0, None)


def open_rootfs(name: str, options: SourceOptions) -> OpenImage:
    """A directory, read in place, or a tar; `-` is a tar on standard input."""
    with ExitStack() as stack:
        blob: Blob = _tree(name) if exists(name) and Path(name).is_dir() else _tar(name, options, stack)
        image = Image(None, UNKNOWN, None, ImageConfig(), (LAYER,))
        return OpenImage(Target("rootfs", name, stem(name)), image, (blob,), (), stack.pop_all())


def _tree(name: str) -> TreeBlob:
    try:
        root = Path(name).resolve(strict=True)
        with os.scandir(root) as listing:
            if next(listing, None) is None:
                raise TargetError(f"{printable(name)} is an empty directory: there is nothing to scan")
    except (OSError, RuntimeError) as e:
        raise TargetError(f"cannot read {printable(name)}: {getattr(e, 'strerror', None) or e}") from e
    return TreeBlob(LAYER, root)


def _tar(name: str, options: SourceOptions, resources: ExitStack) -> TarBlob:
    what = printable(name)
    stored = seekable(name, what, options.limits, resources, unpacked=False)
    found = beginning(first_bytes(stored))
    if found in (Beginning.EMPTY, Beginning.NO_TAR):
        raise TargetError(f"{what} is {found.value}; a directory or a tar of a file system is needed here")
    packed = compression(os.pread(stored.fd, 8, stored.offset))
    descriptor = Descriptor(OCI_LAYER + (f"+{packed}" if packed else ""), None, stored.size)
    return TarBlob(LAYER, descriptor, partial(reader, stored, what), stored)


def recognises(path: Path) -> bool:
    return path.is_dir() or beginning(look(path)) is Beginning.TREE


PLUGIN = Source(
    "rootfs", "a directory tree, or a tar of one (docker export)", "rootfs:/mnt/tree", open_rootfs, recognises, order=90
)
