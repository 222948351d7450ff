"""Images saved as one tar: what `docker save`, `podman save`, skopeo, containerd and the builders write.

Two tables of contents occur, alone or together: Docker's `manifest.json` (Docker Image Specification v1.2) and the OCI
image layout's `index.json` (image-spec v1.1, image-layout.md). Engines differ in which one they load, so where both
are there they must mean the same image.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from scanner.errors import SourceError, TargetError
from scanner.model import Descriptor, Layer, Limits, printable
from scanner.oci import manifest
from scanner.oci.blob import StoredFile, TarBlob
from scanner.oci.compression import LONGEST_MAGIC, compression
from scanner.oci.files import content, part, reader
from scanner.oci.manifest import Document
from scanner.oci.reference import DIGEST
from scanner.oci.store import Budget, Candidate, Loaded, candidates, check_counts, choose, normal
from scanner.oci.tar import BLOCK, MAX_EXTENDED, number, pax_records

MAX_LINKS = 8
_AHEAD = 64 << 10
_BLOB = re.compile(rb"blobs/(sha256|sha512)/([0-9a-f]+)")
_NAMED_BY_DIGEST = re.compile(rb"(?:blobs/sha256/|sha256:)?([0-9a-f]{64})(?:\.json)?")
_FIRST = re.compile(
    rb"(?:blobs(?:/.*)?|[0-9a-f]{64}(?:/.*|\.json|\.tar(?:\.gz)?)?|sha256:[0-9a-f]{64}"
    rb"|manifest\.json|index\.json|oci-layout|repositories)",
    re.DOTALL,
)
"""How the first member of a saved image is named, by any tool that saves images; no root file system begins so."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member's content lies; `link` is what a symbolic link points to, or a hard link's first name."""

    kind: bytes
    offset: int
    size: int
    link: bytes = b""
    contiguous: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of `manifest.json`: names of members, and references."""

    config: str
    tags: tuple[str, ...]
    layers: tuple[str, ...]


class Beginning(Enum):
    """What the first member of a file says about all of it."""

    SAVED_IMAGE = "a saved image"
    TREE = "a tar of files"
    EMPTY = "an empty tar"
    NO_TAR = "no tar"


def beginning(first: bytes) -> Beginning:
    """What a file is, by its first bytes, uncompressed (64 KiB are plenty)."""
    try:
        for name, member in _headers(first):
            if name:
                image = _FIRST.fullmatch(name) is not None and member.kind != b"2"
                return Beginning.SAVED_IMAGE if image else Beginning.TREE
    except ValueError:
        return Beginning.NO_TAR
    if len(first) < BLOCK:
        return Beginning.NO_TAR
    return Beginning.TREE if any(first[:BLOCK]) else Beginning.EMPTY


def open_saved(
    file: StoredFile, what: str, limits: Limits, selector: str | None = None, platform: str | None = None
) -> tuple[Loaded, tuple[str, ...]]:
    """The image meant, and the names it was saved under. `file` is the uncompressed tar.

    Raises SourceError for a tar that is broken or contradicts itself, TargetError where no image, or not one, is meant.
    """
    if not file.size:
        raise SourceError(f"{what} is empty: saving the image failed, or is not done")
    archive = Archive(file, what, limits)
    if b"index.json" in archive.members and b"oci-layout" in archive.members:
        manifest.check_layout(archive.read(b"oci-layout", "oci-layout"), f"{what}: oci-layout")
        roots = manifest.index(archive.read(b"index.json", "index.json"), f"{what}: index.json")
        chosen, loaded = choose(candidates(archive, roots, what), what, selector, platform)
        if b"manifest.json" in archive.members and platform is None:
            archive.must_agree(chosen, loaded)
        return loaded, chosen.names
    if b"manifest.json" in archive.members:
        chosen, loaded = choose(archive.docker_candidates(), what, selector, platform)
        return loaded, chosen.names
    if b"repositories" in archive.members:
        raise SourceError(f"{what} was saved by a Docker older than 1.10; load it into an engine and save it again")
    raise TargetError(f"{what} is no saved image: it has neither manifest.json nor index.json with oci-layout")


class Archive:
    """A saved image's members, by name, and its blobs by digest: a Store."""

    def __init__(self, file: StoredFile, what: str, limits: Limits) -> None:
        self._file = file
        self._what = what
        self._budget = Budget(limits)
        self._digests: dict[bytes, str] = {}
        self.members = _members(file, what, limits)

    def read(self, name: bytes, called: str) -> bytes:
        """A small member, whole."""
        what = f"{self._what}: {called}"
        stored = self._find(name)
        if stored is None:
            raise SourceError(f"{what} is missing; the archive was cut off or changed, save the image again")
        self._budget.take(stored.size, what)
        return content(stored, what)

    def has(self, digest: str) -> bool:
        return self._find(_path(digest)) is not None

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        assert descriptor.digest is not None, "a descriptor of the image's own always has one"
        return manifest.verify(
            self.read(_path(descriptor.digest), _path(descriptor.digest).decode()), descriptor.digest, what
        )

    def blob(self, layer: Layer, descriptor: Descriptor) -> TarBlob:
        assert descriptor.digest is not None, "a descriptor of the image's own always has one"
        return self._blob(layer, _path(descriptor.digest), descriptor)

    def entries(self) -> tuple[Entry, ...]:
        """The images of `manifest.json`."""
        name = f"{self._what}: manifest.json"
        value = manifest.json_of(self.read(b"manifest.json", "manifest.json"), name)
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            raise SourceError(f"{name} is not a list of objects")
        made = []
        for i, fields in enumerate(value):
            document = Document(fields, f"{name}, image {i}")
            config, layers = document.text("Config"), tuple(document.strings("Layers"))
            if not config:
                raise SourceError(f"{name}, image {i} names no config")
            if len(layers) > manifest.MAX_LAYERS:
                raise SourceError(f"{name}, image {i} has {len(layers)} layers, more than any engine takes")
            made.append(Entry(config, tuple(document.strings("RepoTags")), layers))
        return tuple(made)

    def docker_candidates(self) -> Iterator[Candidate]:
        for i, entry in enumerate(self.entries()):
            digest = self.config_digest(entry)
            yield Candidate(entry.tags, (digest,), None, i, partial(self._load, entry))

    def config_digest(self, entry: Entry) -> str:
        """Of the config's bytes, which must be what the config's name says, where it is named by its digest."""
        path = _clean(os.fsencode(entry.config))
        if path not in self._digests:
            data = self.read(path, printable(entry.config))
            if (named := _NAMED_BY_DIGEST.fullmatch(path)) is not None:
                manifest.verify(data, f"sha256:{named[1].decode()}", f"the config of {self._what}")
            self._digests[path] = manifest.digest_of(data)
        return self._digests[path]

    def must_agree(self, chosen: Candidate, loaded: Loaded) -> None:
        """Raise SourceError unless manifest.json, which some engines load, means the image that index.json means."""
        entries = self.entries()
        names = {normal(n) for n in chosen.names}
        entries = tuple(e for e in entries if names & {normal(t) for t in e.tags}) or entries
        digests = {self.config_digest(e) for e in entries}
        if digests and loaded.image.id not in digests:
            raise SourceError(
                f"{self._what}: index.json means the image {loaded.image.id} ({loaded.image.platform}), manifest.json means "
                f"{', '.join(sorted(digests)[:3])}: which one runs depends on the engine. Choose one with --platform, or "
                "save the image again."
            )

    def _load(self, entry: Entry) -> Loaded:
        path = _clean(os.fsencode(entry.config))
        what = f"the config of {self._what}"
        image, notes = manifest.image(self.read(path, printable(entry.config)), what)
        check_counts(len(entry.layers), image, self._what)
        blobs = []
        for layer, name in zip(image.layers, entry.layers, strict=True):
            member = _clean(os.fsencode(name))
            named = _BLOB.fullmatch(member)
            digest = f"{named[1].decode()}:{named[2].decode()}" if named else ""
            descriptor = Descriptor("", digest if DIGEST.fullmatch(digest) else None, -1)
            blobs.append(self._blob(layer, member, descriptor))
        return Loaded(image, tuple(blobs), None, notes)

    def _blob(self, layer: Layer, name: bytes, descriptor: Descriptor) -> TarBlob:
        stored = self._find(name)
        what = f"{self._what}: layer {layer.index} ({printable(name)})"
        if stored is None:
            raise SourceError(f"{what} is missing; the archive was cut off or changed, save the image again")
        if not descriptor.media_type:
            suffix = {"gzip": ".gzip", "zstd": ".zstd", None: ""}
            first = compression(_pread(stored, LONGEST_MAGIC))
            descriptor = replace(descriptor, media_type=manifest.DOCKER_LAYER + suffix.get(first, f".{first}"))
        return TarBlob(layer, replace(descriptor, size=stored.size), partial(reader, stored, what), stored)

    def _find(self, name: bytes) -> StoredFile | None:
        """A regular member, through links inside the archive: old engines write a layer that occurs twice as a link."""
        for _ in range(MAX_LINKS):
            member = self.members.get(name)
            if member is None:
                return None
            if member.kind == b"2":
                name = _clean(posixpath.join(posixpath.dirname(name), member.link))
            elif member.kind == b"1":
                name = _clean(member.link)
            elif member.kind not in (b"0", b"\0", b"7"):
                return None
            elif not member.contiguous:
                raise SourceError(
                    f"{self._what}: {printable(name)} is stored sparse; save the image again without --sparse"
                )
            else:
                return part(self._file, member.offset, member.size)
        return None


def _members(file: StoredFile, what: str, limits: Limits) -> dict[bytes, Member]:
    """The tar's members by cleaned name, the last of a name, as unpacking it would leave them."""
    members: dict[bytes, Member] = {}
    twice: set[bytes] = set()
    window = _Window(file)
    count = 0
    try:
        for name, member in _headers(window):
            count += 1
            if count > limits.archive_members:
                raise SourceError(
                    f"{what} has more than {limits.archive_members} members, an image saved by an engine some hundred; "
                    "for a plain tree write rootfs:FILE, or raise the limit with --limit archive-members=N"
                )
            if member.offset + member.size > file.size:
                raise SourceError(
                    f"{what} breaks off inside {printable(name)}: {member.offset + member.size} bytes are needed, there are "
                    f"{file.size}. It was cut off when it was saved or copied; save the image again."
                )
            if name in members:
                twice.add(name)
            members[name] = member
    except ValueError as e:
        raise SourceError(f"{what} is no tar, or a broken one, at byte {window.last}: {printable(str(e))}") from e
    except OSError as e:
        raise SourceError(f"cannot read {what}: {e.strerror or e}") from e
    for name in (b"manifest.json", b"index.json", b"oci-layout"):
        if name in twice:
            raise SourceError(f"{what} holds {name.decode()} twice; tools would disagree on it")
    return members


class _Window:
    """A file as a sequence of bytes, read a little ahead of where it is looked at: headers mostly lie side by side."""

    def __init__(self, file: StoredFile) -> None:
        self._file = file
        self._begin, self._data = 0, b""
        self.last = 0

    def __len__(self) -> int:
        return self._file.size

    def __getitem__(self, key: slice) -> bytes:
        start, stop = key.start, min(key.stop, self._file.size)
        self.last = start
        if not (self._begin <= start and stop <= self._begin + len(self._data)):
            size = max(stop - start, BLOCK if start > self._begin + len(self._data) else _AHEAD)
            self._begin, self._data = start, os.pread(self._file.fd, size, self._file.offset + start)
        return self._data[start - self._begin : stop - self._begin]


def _headers(data: "bytes | _Window") -> Iterator[tuple[bytes, Member]]:
    """Names and places of a tar's members. Raises ValueError where a header is broken."""
    at = 0
    records: dict[bytes, bytes] = {}
    standing: dict[bytes, bytes] = {}
    while at + BLOCK <= len(data):
        header = data[at : at + BLOCK]
        if not any(header):
            return
        if number(header[148:156]) != sum(header) - sum(header[148:156]) + 256:
            raise ValueError("the header's checksum does not fit")
        kind, size = header[156:157], number(header[124:136])
        if not 0 <= size < 1 << 62:
            raise ValueError("an impossible size")
        begin = at + BLOCK
        if kind in (b"x", b"g", b"L", b"K"):
            if size > MAX_EXTENDED:
                raise ValueError(f"an extended header of {size} bytes")
            extended = data[begin : begin + size]
            if len(extended) < size:
                raise ValueError("it breaks off inside an extended header")
            if kind == b"x":
                records.update(pax_records(extended))
            elif kind == b"g":
                standing.update(pax_records(extended))
            else:
                records[b"path" if kind == b"L" else b"linkpath"] = extended.partition(b"\0")[0]
            at = begin + size + -size % BLOCK
            continue
        name = header[:100].partition(b"\0")[0]
        if header[257:263] == b"ustar\0" and header[345]:
            name = header[345:500].partition(b"\0")[0] + b"/" + name
        every = {**standing, **records}
        records = {}
        size = int(every.get(b"size", size))
        if not 0 <= size < 1 << 62:
            raise ValueError("an impossible size")
        if kind in (b"1", b"2", b"3", b"4", b"5", b"6"):
            size = 0
        link = every.get(b"linkpath", header[157:257].partition(b"\0")[0])
        sparse = kind == b"S" or any(key.startswith(b"GNU.sparse.") for key in every)
        yield _clean(every.get(b"path", name)), Member(kind, begin, size, link, not sparse)
        at = begin + size + -size % BLOCK
    if at < len(data) and isinstance(data, _Window):
        raise ValueError("it breaks off inside a header")


def _clean(name: bytes) -> bytes:
    """A member's name as a path below the top: `./a` and `/a` are `a`, and nothing climbs out."""
    return posixpath.normpath(b"/" + name).lstrip(b"/")


def _path(digest: str) -> bytes:
    return b"blobs/" + digest.replace(":", "/").encode()


def _pread(file: StoredFile, size: int) -> bytes:
    try:
        return os.pread(file.fd, min(size, file.size), file.offset)
    except OSError as e:
        raise SourceError(f"cannot read the archive: {e.strerror or e}") from e
