"""An OCI image layout in a directory (image-spec v1.1, image-layout.md)."""

import errno
import os
import stat
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from scanner.errors import SourceError, TargetError
from scanner.model import Descriptor, Layer, Limits, Target, printable
from scanner.oci import manifest
from scanner.oci.blob import StoredFile, TarBlob
from scanner.oci.files import content, reader
from scanner.oci.reference import DIGEST
from scanner.oci.store import Budget, candidates, choose, repository
from scanner.sources.paths import split, stem
from scanner.sources.plugin import OpenImage, Source, SourceOptions

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Layout:
    """Blobs opened below one directory descriptor, no link followed, by names made of a checked digest only: a Store."""

    def __init__(self, path: str, limits: Limits, resources: ExitStack) -> None:
        self._what = printable(path)
        self._resources = resources
        self._budget = Budget(limits)
        self._blobs: dict[str, StoredFile] = {}
        try:
            # the user named it: a link here is the user's own
            self._root = os.open(path, _DIRECTORY & ~os.O_NOFOLLOW)
        except (OSError, ValueError) as e:
            raise TargetError(f"cannot open {self._what}: {getattr(e, 'strerror', None) or e}") from e
        resources.callback(os.close, self._root)

    def read(self, name: str) -> bytes:
        """A file at the layout's top."""
        with ExitStack() as stack:
            stored = self._file((name,), stack)
            if stored is None:
                raise TargetError(
                    f"{self._what} is no OCI image layout: it has no {name}. For a plain directory tree write rootfs:{self._what}"
                )
            return self._content(stored, f"{self._what}/{name}")

    def has(self, digest: str) -> bool:
        with ExitStack() as stack:
            return self._file(_path(digest), stack) is not None

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        assert descriptor.digest is not None, "a descriptor of the image's own always has one"
        with ExitStack() as stack:
            stored = self._file(_path(descriptor.digest), stack)
            if stored is None:
                raise self._missing(what, descriptor.digest)
            return manifest.verify(self._content(stored, what), descriptor.digest, what)

    def blob(self, layer: Layer, descriptor: Descriptor) -> TarBlob:
        assert descriptor.digest is not None, "a descriptor of the image's own always has one"
        what = f"{self._what}: layer {layer.index} ({descriptor.digest})"
        stored = self._blobs.get(descriptor.digest) or self._file(_path(descriptor.digest), self._resources)
        if stored is None:
            raise self._missing(what, descriptor.digest)
        self._blobs[descriptor.digest] = stored
        stored_as = Descriptor(descriptor.media_type, descriptor.digest, stored.size)
        return TarBlob(layer, stored_as, partial(reader, stored, what), stored)

    def _content(self, stored: StoredFile, what: str) -> bytes:
        self._budget.take(stored.size, what)
        return content(stored, what)

    def _missing(self, what: str, digest: str) -> SourceError:
        return SourceError(f"{what} is missing: there is no {'/'.join(_path(digest))}. Copy the image again.")

    def _file(self, path: tuple[str, ...], resources: ExitStack) -> StoredFile | None:
        """A regular file, kept open by `resources`; None where there is none."""
        shown = f"{self._what}/{'/'.join(path)}"
        try:
            with ExitStack() as stack:
                at = self._root
                for directory in path[:-1]:
                    at = os.open(directory, _DIRECTORY, dir_fd=at)
                    stack.callback(os.close, at)
                fd = os.open(path[-1], _FILE, dir_fd=at)
        except FileNotFoundError:
            return None
        except OSError as e:
            if e.errno in (errno.ELOOP, errno.ENOTDIR):
                raise SourceError(f"{shown} is, or lies behind, a symbolic link, which is not followed") from e
            raise SourceError(f"cannot open {shown}: {e.strerror or e}") from e
        resources.callback(os.close, fd)
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise SourceError(f"{shown} is no regular file")
        return StoredFile(fd, 0, info.st_size)


def _path(digest: str) -> tuple[str, str, str]:
    assert DIGEST.fullmatch(digest), "digests are checked where they are read"
    algorithm, _, hexadecimal = digest.partition(":")
    return "blobs", algorithm, hexadecimal


def open_layout(name: str, options: SourceOptions) -> OpenImage:
    """`DIR`, `DIR:TAG`, `DIR:NAME` or `DIR@DIGEST` of a manifest or an index."""
    path, selector = split(name)
    if Path(path).is_file():
        raise TargetError(
            f"{printable(path)} is a file, a layout is a directory; for a saved image write archive:{printable(path)}"
        )
    with ExitStack() as stack:
        layout = _Layout(path, options.limits, stack)
        what = printable(path)
        manifest.check_layout(layout.read("oci-layout"), f"{what}/oci-layout")
        roots = manifest.index(layout.read("index.json"), f"{what}/index.json")
        chosen, loaded = choose(candidates(layout, roots, what), what, selector, options.platform)
        return OpenImage(
            Target("oci", name, repository(chosen.names, selector, stem(path)), loaded.manifest),
            loaded.image,
            loaded.blobs,
            loaded.notifications,
            stack.pop_all(),
            loaded.provenance,
        )


def recognises(path: Path) -> bool:
    return path.is_dir() and (path / "oci-layout").is_file() and (path / "index.json").is_file()


PLUGIN = Source("oci", "an OCI image layout directory", "oci:layout:1.0", open_layout, recognises, order=10)
