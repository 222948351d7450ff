"""`rootfs:DIR` and `rootfs:FILE`: a tree without image metadata, unpacked or as `docker export` writes it."""

import os
from contextlib import ExitStack
from pathlib import Path

from scanner.errors import TargetError
from scanner.model import Descriptor, Image, ImageConfig, Layer, Target, printable
from scanner.oci.blob import StoredFile, TarBlob, TreeBlob
from scanner.oci.compression import compression
from scanner.oci.saved import FileReader
from scanner.sources.plugin import OpenImage, Source, SourceOptions


def open_rootfs(name: str, _: SourceOptions) -> OpenImage:
    """The tree as an image of one layer, without id, config or history."""
    path = Path(name)
    layer = Layer(0, None)
    image = Image(None, "unknown", None, ImageConfig(), (layer,))
    target = Target("rootfs", name, path.resolve().name or "root")
    try:
        if path.is_dir():
            root = path.resolve()
            if not os.access(root, os.R_OK | os.X_OK):
                raise TargetError(f"the directory {printable(name)} cannot be read: permission denied")
            if not any(root.iterdir()):
                raise TargetError(f"the directory {printable(name)} is empty: there is nothing to scan")
            return OpenImage(target, image, (TreeBlob(layer, root),))
        if not path.exists():
            raise TargetError(f"there is no file or directory {printable(name)}")
        with ExitStack() as resources:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            resources.callback(os.close, fd)
            if not path.is_file() or not _is_tar(fd):
                raise TargetError(f"{printable(name)} is neither a directory nor a tar (plain, gzip or zstd)")
            file = StoredFile(fd, 0, os.fstat(fd).st_size)
            blob = TarBlob(layer, Descriptor("", None, file.size), lambda: FileReader(file), file)
            return OpenImage(target, image, (blob,), resources=resources.pop_all())
    except OSError as e:
        raise TargetError(f"cannot open {printable(name)}: {e.strerror or e}") from e


def _is_tar(fd: int) -> bool:
    head = os.pread(fd, 512, 0)
    if compression(head):
        return True
    # v7 headers carry no magic: the checksum tells (tar(5))
    try:
        return head[257:262] == b"ustar" or int(head[148:156].strip(b" \0") or b"-1", 8) == sum(head[:148] + head[156:]) + 256
    except ValueError:
        return False


def _recognises(path: Path) -> bool:
    if path.is_dir():
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _is_tar(file.fileno())


PLUGIN = Source(
    scheme="rootfs",
    summary="a directory tree, or one in a tar (docker export)",
    example="rootfs:/srv/tree",
    open=open_rootfs,
    recognises=_recognises,
    order=90,
)
