"""Images in a tar: `docker save` in every form, podman's and skopeo's archives, an OCI layout that was tarred.

Legacy: manifest.json names config and layers by path; a layer that two images share may be a link to the other's.
OCI: index.json, oci-layout and blobs/ALGORITHM/HEX (image-layout.md). Engine 25 and later write both into one archive.
"""

import hashlib
import os
import posixpath
import stat
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from scanner.errors import LayerError, LimitError, SourceError, TargetError
from scanner.model import Descriptor, Image, Limits, Notification, printable
from scanner.oci.blob import Readable, StoredFile, TarBlob
from scanner.oci.compression import compression, decompressed
from scanner.oci.manifest import (
    Fetch,
    Manifest,
    descriptor,
    digest_of,
    image,
    machine,
    mapping,
    matches,
    parse,
    platform_of,
    resolve,
    sequence,
    string,
    verified,
)
from scanner.oci.table import FILE, HARDLINK, SYMLINK, EntryTable
from scanner.oci.tar import index

REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"
_COPY = 1 << 20
_MOST_LINKS = 8


class FileReader:
    """A stretch of an open regular file as a stream of its own: several may read one descriptor at once."""

    def __init__(self, file: StoredFile) -> None:
        self._fd, self._at, self._end = file.fd, file.offset, file.offset + file.size

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._at
        data = os.pread(self._fd, left if size < 0 else min(size, left), self._at)
        if not data and left:
            raise LayerError(f"the file ends {left} bytes too early; it was cut off or is being written")
        self._at += len(data)
        return data

    def close(self) -> None:
        """The descriptor belongs to the OpenImage."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An image and its layers, as a source hands them over; `name` is the reference it was found under, if it has one."""

    image: Image
    blobs: tuple[TarBlob, ...]
    manifest: str | None
    name: str | None
    notifications: tuple[Notification, ...]


def open_plain(path: Path, resources: ExitStack, limits: Limits) -> StoredFile:
    """The tar at `path`, plain: a compressed one is unpacked once into an unnamed file, for its parts are read in no order.

    Raises TargetError for what cannot be opened, SourceError for a compressed file that is damaged or a bomb.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as e:
        raise TargetError(f"cannot open {printable(str(path))}: {e.strerror or e}") from e
    resources.callback(os.close, fd)
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        raise TargetError(f"{printable(str(path))} is no regular file")
    whole = StoredFile(fd, 0, info.st_size)
    if compression(os.pread(fd, 8, 0)) is None:
        return whole
    return spooled(decompressed(FileReader(whole), limits, printable(str(path))), resources)


def spooled(stream: Readable, resources: ExitStack) -> StoredFile:
    """A stream copied into an unnamed file; raises SourceError if it breaks off or the disk is full."""
    try:
        file: IO[bytes] = resources.enter_context(tempfile.TemporaryFile(buffering=0))
        size = 0
        while data := stream.read(_COPY):
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            size += len(data)
    except OSError as e:
        raise SourceError(
            f"the image cannot be kept in {tempfile.gettempdir()} while it is read: {e.strerror or e}. "
            "Name a larger place in TMPDIR."
        ) from e
    except (LayerError, LimitError) as e:
        raise SourceError(str(e)) from e
    return StoredFile(file.fileno(), 0, size)


class Members:
    """The files of an outer tar by name; the last of a name counts, links are followed inside the tar only."""

    def __init__(self, file: StoredFile, what: str, limits: Limits) -> None:
        self._file, self._what, self._limits = file, what, limits
        try:
            self._table: EntryTable = index(file.fd, file.size, what, limits)
        except LayerError as e:
            raise SourceError(str(e)) from e
        self._rows = {path: row for row, path in enumerate(self._table.paths()) if self._table.is_entry(row)}

    def __contains__(self, path: bytes) -> bool:
        return path in self._rows

    def find(self, path: str) -> StoredFile:
        """Where a member's bytes lie; raises SourceError if there is none, or it is no file."""
        name = posixpath.normpath(path.encode("utf-8", "surrogateescape")).lstrip(b"/")
        for _ in range(_MOST_LINKS):
            row = self._rows.get(name)
            if row is None:
                raise SourceError(f"{self._what} names {printable(path)}, which is not in it; it was cut off or changed")
            kind = self._table.kinds[row]
            if kind == FILE:
                return StoredFile(self._file.fd, self._table.offsets[row], self._table.stored[row])
            if kind == SYMLINK:
                name = posixpath.normpath(posixpath.join(posixpath.dirname(name), self._table.link(row)))
            elif kind == HARDLINK:
                name = self._table.link(row)
            else:
                break
        raise SourceError(f"{printable(path)} in {self._what} is no file")

    def document(self, path: str) -> bytes:
        """A small member's bytes; raises SourceError if it is larger than any honest document."""
        found = self.find(path)
        if found.size > self._limits.document_bytes:
            raise SourceError(f"{printable(path)} in {self._what} has {found.size} bytes; no honest one is so large")
        return FileReader(found).read(found.size) if found.size else b""


def is_saved(path: Path) -> bool:
    """Whether a file looks like an archive of images: compressed ones are looked into as far as needed."""
    with ExitStack() as resources:
        try:
            members = Members(open_plain(path, resources, Limits()), str(path), Limits())
        except (SourceError, TargetError, LimitError):
            return False
        return b"manifest.json" in members or b"index.json" in members


def open_saved(file: StoredFile, what: str, reference: str | None, platform: str | None, limits: Limits) -> Opened:
    """The image in an archive; `reference` chooses where there are several. Raises SourceError or TargetError."""
    members = Members(file, what, limits)
    if b"index.json" in members and b"oci-layout" in members:

        def find(item: Descriptor) -> StoredFile:
            assert item.digest is not None
            return members.find("blobs/" + item.digest.replace(":", "/"))

        return open_layout(members.document("index.json"), find, what, reference, platform, limits)
    if b"manifest.json" in members:
        return _legacy(members, what, reference, platform, limits)
    raise SourceError(
        f"{what} holds no image: neither manifest.json nor an OCI index. "
        "If it is a tree (docker export), name it rootfs:FILE."
    )


def _legacy(members: Members, what: str, reference: str | None, platform: str | None, limits: Limits) -> Opened:
    entries = sequence(parse(members.document("manifest.json"), "manifest.json", limits), "manifest.json")
    if not entries:
        raise SourceError(f"{what} holds no image: its manifest.json is empty")
    named = [(_tags(entry), mapping(entry, "an entry of manifest.json")) for entry in entries]
    tags, entry = choose(named, what, reference, lambda e: str(e.get("Config")))
    config_path = string(entry.get("Config"), "manifest.json's Config")
    config = members.document(config_path)
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    stem = posixpath.basename(config_path).removesuffix(".json")
    if len(stem) == 64 and f"sha256:{stem}" != digest:
        verified(config, f"sha256:{stem}", f"the config {config_path}")
    paths = [string(p, "a layer in manifest.json") for p in sequence(entry.get("Layers"), "manifest.json's Layers")]
    found, notes = image(config, digest, len(paths), limits)
    _right_platform(found, platform)
    blobs = []
    for layer, path in zip(found.layers, paths, strict=True):
        file = members.find(path)
        blobs.append(TarBlob(layer, Descriptor("", None, file.size), _opener(file), file))
    return Opened(found, tuple(blobs), None, tags[0] if tags else None, notes)


def _tags(entry: Any) -> list[str]:
    value = entry.get("RepoTags") if isinstance(entry, dict) else None
    return [t for t in value if isinstance(t, str)] if isinstance(value, list) else []


def _right_platform(found: Image, platform: str | None) -> None:
    if platform is not None and not matches(found.platform, platform):
        raise TargetError(f"the image is for {found.platform}, not for {platform}")


def _opener(file: StoredFile) -> Callable[[], Readable]:
    return lambda: FileReader(file)


def choose(
    named: Iterable[tuple[list[str], Mapping[str, Any]]],
    what: str,
    reference: str | None,
    identity: Callable[[Mapping[str, Any]], str],
) -> tuple[list[str], Mapping[str, Any]]:
    """The one entry that `reference` names (a tag, a whole name, or a digest); the only one without it.

    Raises TargetError listing what is there.
    """
    candidates = list(named)
    if reference is not None:
        fits = [
            (names, entry)
            for names, entry in candidates
            if reference in (*names, *(n.rpartition(":")[2] for n in names), identity(entry))
        ]
    else:
        fits = candidates
    if len({identity(entry) for _, entry in fits}) == 1:
        names = [n for some, _ in fits for n in some]
        if reference in names:
            names = [reference, *names]
        return names, fits[0][1]
    there = ", ".join(sorted(names[0] if names else identity(entry) for names, entry in candidates)[:20])
    if reference is not None and not fits:
        raise TargetError(f"{what} holds no {printable(reference)}; there are: {printable(there, 1000)}")
    raise TargetError(f"{what} holds several images; choose one with {what}@NAME: {printable(there, 1000)}")


def open_layout(
    index_json: bytes,
    find: Callable[[Descriptor], StoredFile],
    what: str,
    reference: str | None,
    platform: str | None,
    limits: Limits,
) -> Opened:
    """The image in an OCI layout whose blobs `find` finds. Raises SourceError or TargetError."""

    def fetch(item: Descriptor) -> bytes:
        file = find(item)
        if file.size > limits.document_bytes:
            raise SourceError(f"the blob {item.digest} has {file.size} bytes; no honest manifest or config is so large")
        return FileReader(file).read(file.size) if file.size else b""

    document = mapping(parse(index_json, "index.json", limits), "index.json")
    entries = sequence(document.get("manifests"), "index.json's manifests")
    if not entries:
        raise SourceError(f"{what} holds no image: its index.json names no manifest")
    by_digest = [(_names(entry), mapping(entry, "an entry of index.json")) for entry in entries]
    platforms = {str(entry.get("platform")) for _, entry in by_digest}
    if reference is None and len(by_digest) > 1 and len(platforms) == len(by_digest) and not any(n for n, _ in by_digest):
        # one image for several platforms, its manifests in the outermost index
        names: list[str] = []
        found = _of_platform([entry for _, entry in by_digest], fetch, platform, limits)
    else:
        names, entry = choose(by_digest, what, reference, lambda e: digest_of(e.get("digest"), "a digest in index.json"))
        found = resolve(descriptor(entry, "an entry of index.json"), fetch, platform, limits)
    assert found.config.digest is not None
    config = verified(fetch(found.config), found.config.digest, f"the config {found.config.digest}")
    result, notes = image(config, found.config.digest, len(found.layers), limits)
    _right_platform(result, platform)
    blobs = []
    for layer, stored in zip(result.layers, found.layers, strict=True):
        file = find(stored)
        if file.size != stored.size:
            raise SourceError(
                f"the blob {stored.digest} of layer {layer.index} has {file.size} bytes, its manifest says {stored.size}; "
                "the image was cut off or changed"
            )
        blobs.append(TarBlob(layer, stored, _opener(file), file))
    return Opened(result, tuple(blobs), found.digest, names[0] if names else None, notes)


def _of_platform(entries: list[Mapping[str, Any]], fetch: Fetch, platform: str | None, limits: Limits) -> Manifest:
    wanted = platform or machine()
    for entry in entries:
        if matches(platform_of(entry) or "", wanted):
            return resolve(descriptor(entry, "an entry of index.json"), fetch, platform, limits)
    there = ", ".join(sorted(platform_of(e) or "unnamed" for e in entries))
    raise TargetError(f"the image is not there for {wanted}; choose with --platform: {there}")


def _names(entry: Any) -> list[str]:
    notes = entry.get("annotations") if isinstance(entry, dict) else None
    if not isinstance(notes, dict):
        return []
    return [n for key in (FULL_NAME, REF_NAME) if isinstance(n := notes.get(key), str) and n]

