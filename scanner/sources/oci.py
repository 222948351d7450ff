"""`oci:DIR[:TAG|@DIGEST]`: an OCI image layout in a directory (image-spec v1.1, image-layout.md)."""

import os
from contextlib import ExitStack
from pathlib import Path

from scanner.errors import SourceError, TargetError
from scanner.model import Descriptor, Target, printable
from scanner.oci.blob import StoredFile
from scanner.oci.manifest import repository
from scanner.oci.saved import FileReader, open_layout
from scanner.sources.plugin import OpenImage, Source, SourceOptions


def open_oci(name: str, options: SourceOptions) -> OpenImage:
    """The image in the layout, chosen by tag or digest where it holds several."""
    path, reference = _split(name)
    if not path.is_dir():
        raise TargetError(f"there is no directory {printable(str(path))}")
    if not (path / "oci-layout").is_file() or not (path / "index.json").is_file():
        raise TargetError(
            f"{printable(str(path))} is no OCI image layout: it needs oci-layout and index.json. "
            "If it is a tree, name it rootfs:DIR."
        )
    with ExitStack() as resources:

        def open_file(relative: str) -> StoredFile:
            fd = _open_inside(path, relative)
            resources.callback(os.close, fd)
            return StoredFile(fd, 0, os.fstat(fd).st_size)

        def find(item: Descriptor) -> StoredFile:
            assert item.digest is not None  # a digest is checked for its form: it cannot lead out of blobs/
            return open_file("blobs/" + item.digest.replace(":", "/"))

        index = open_file("index.json")
        if index.size > options.limits.document_bytes:
            raise SourceError(f"index.json has {index.size} bytes; no honest one is so large")
        opened = open_layout(
            FileReader(index).read(index.size), find, printable(str(path)), reference, options.platform, options.limits
        )
        repo = repository(opened.name) if opened.name and "/" in opened.name else path.resolve().name
        target = Target("oci", name, repo, opened.manifest)
        return OpenImage(target, opened.image, opened.blobs, opened.notifications, resources.pop_all())


def _open_inside(root: Path, relative: str) -> int:
    """A regular file below the root, no link followed at any step; raises SourceError."""
    *folders, name = relative.split("/")
    try:
        here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
                os.close(here)
                here = below
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
        finally:
            os.close(here)
    except OSError as e:
        raise SourceError(f"{printable(str(root))}: cannot read {relative}: {e.strerror or e}") from e
    return fd


def _split(name: str) -> tuple[Path, str | None]:
    if Path(name).exists():
        return Path(name), None
    if "@" in name:
        path, _, reference = name.partition("@")
        return Path(path), reference
    path, colon, reference = name.rpartition(":")
    return (Path(path), reference) if colon else (Path(name), None)


PLUGIN = Source(
    scheme="oci",
    summary="an OCI image layout in a directory",
    example="oci:layout:1.0",
    open=open_oci,
    recognises=lambda path: (path / "oci-layout").is_file() and (path / "index.json").is_file(),
    order=10,
)
