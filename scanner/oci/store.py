"""Which image of a store is meant, and its parts: the same for a layout in a directory, in a tar, or behind a registry."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from scanner.errors import LimitError, SourceError, TargetError
from scanner.model import Descriptor, Image, Layer, Level, Limits, Notification, printable
from scanner.oci import manifest, platforms
from scanner.oci.blob import TarBlob
from scanner.oci.manifest import Child
from scanner.oci.reference import DIGEST, parse, repository_of

MAX_DOCUMENTS = 1_000
"""Indexes, and images whose platform only their config tells, that are read to find the one meant."""
MAX_DEPTH = 8
LISTED = 20


class Store(Protocol):
    """Blobs by digest."""

    def has(self, digest: str) -> bool:
        """Whether the store holds the blob; a store that would have to ask says yes."""

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        """A small blob, bounded and verified. Raises SourceError."""

    def blob(self, layer: Layer, descriptor: Descriptor) -> TarBlob:
        """A layer's blob. Raises SourceError where it is not there."""


class Budget:
    """Bytes of documents that one target may make us read: many small ones, or few large ones."""

    def __init__(self, limits: Limits) -> None:
        self.limit = limits.document_bytes
        self._left = 4 * limits.document_bytes

    def take(self, size: int, what: str) -> None:
        """Before a document of `size` bytes is read. Raises LimitError."""
        self._left -= size
        if size > self.limit or self._left < 0:
            raise LimitError(
                f"{what} has {size} bytes, more than the limit of {self.limit} leaves for an image's documents; "
                "raise it with --limit document-bytes=N if you trust the image"
            )


Provenance = Callable[[], tuple[bytes, ...]]
"""Reads, while the image is open, what its builder states of the build: in-toto statements. Raises SourceError and LimitError."""
PROVENANCE = "https://slsa.dev/provenance/"
MAX_STATEMENTS = 4


def unattested() -> tuple[bytes, ...]:
    """The provenance of an image that comes with none."""
    return ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image with its layers; `manifest` is its digest where it has one."""

    image: Image
    blobs: tuple[TarBlob, ...]
    manifest: str | None = None
    notifications: tuple[Notification, ...] = ()
    provenance: Provenance = unattested


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that may be meant.

    `names` and `digests` are what it can be called by (its own digest first, those of the indexes it stands in after
    it), `platform` what its index says, `root` the place in the store's list from which it was reached; `held` is False
    for an image of a platform that is listed but was not saved.
    """

    names: tuple[str, ...]
    digests: tuple[str, ...]
    platform: str | None
    root: int
    load: Callable[[], Loaded]
    held: bool = True


def candidates(store: Store, roots: Sequence[Child], what: str) -> list[Candidate]:
    """Every image that the roots lead to, through nested indexes, in their order; attestations and artifacts left out."""
    read = 0

    def document(child: Child) -> tuple[bytes, str]:
        nonlocal read
        read += 1
        if read > MAX_DOCUMENTS:
            raise SourceError(
                f"{what} leads to more than {MAX_DOCUMENTS} indexes and manifests; name an image by its digest"
            )
        name = f"{what}, {child.descriptor.digest}"
        return store.document(child.descriptor, name), name

    def walk(
        child: Child,
        names: tuple[str, ...],
        above: tuple[str, ...],
        root: int,
        depth: int,
        attested: Mapping[str, Descriptor],
    ) -> Iterator[Candidate]:
        assert child.descriptor.digest is not None, "an index names every digest"
        names = tuple(dict.fromkeys((*names, *child.names)))
        digests = (child.descriptor.digest, *above)
        held = store.has(child.descriptor.digest)
        media_type = child.descriptor.media_type
        if held and (media_type in manifest.INDEXES or media_type not in manifest.MANIFESTS):
            data, name = document(child)
            if manifest.kind(data, name, media_type) == "index":
                if depth >= MAX_DEPTH:
                    raise SourceError(f"{what} has indexes nested more than {MAX_DEPTH} deep")
                attested = manifest.attestations(data, name)
                for inner in manifest.index(data, name):
                    yield from walk(inner, names, digests, root, depth + 1, attested)
                return
        elif held and child.platform is None:
            data, name = document(child)
            if not manifest.is_image(data, name):
                return
        opened = partial(load, store, child.descriptor, what, attested.get(child.descriptor.digest))
        yield Candidate(names, digests, child.platform, root, opened, held)

    return [found for number, child in enumerate(roots) for found in walk(child, (), (), number, 0, {})]


def load(store: Store, descriptor: Descriptor, what: str, attested: Descriptor | None = None) -> Loaded:
    """The image of one manifest, `attested` by another. Raises SourceError where its parts do not fit each other."""
    name = f"the manifest of {what}"
    data = store.document(descriptor, name)
    if manifest.kind(data, name, descriptor.media_type) != "manifest":
        raise SourceError(f"{name} is an index")
    parts = manifest.manifest(data, name)
    config = store.document(parts.config, f"the config of {what}")
    image, notes = manifest.image(config, f"the config of {what}", parts.config.digest)
    check_counts(len(parts.layers), image, what)
    blobs = tuple(store.blob(layer, stored) for layer, stored in zip(image.layers, parts.layers, strict=True))
    provenance = unattested if attested is None else partial(_statements, store, attested, what)
    return Loaded(image, blobs, descriptor.digest, notes, provenance)


def _statements(store: Store, attested: Descriptor, what: str) -> tuple[bytes, ...]:
    """What the builder states; nothing where an archive lists the attestation and does not hold it."""
    if attested.digest is None or not store.has(attested.digest):
        return ()
    name = f"the attestation of {what}"
    data = store.document(attested, name)
    found = [
        d for d in manifest.statements(data, name, PROVENANCE)[:MAX_STATEMENTS] if d.digest and store.has(d.digest)
    ]
    return tuple(store.document(one, name) for one in found)


def check_counts(stored: int, image: Image, what: str) -> None:
    """Every layer has its diff_id, every diff_id its layer."""
    if stored != len(image.layers):
        raise SourceError(
            f"the manifest of {what} names {stored} layers, its config {len(image.layers)} diff_ids; no engine would run it"
        )


def choose(
    found: Iterable[Candidate], what: str, selector: str | None = None, platform: str | None = None
) -> tuple[Candidate, Loaded]:
    """The image meant by `selector` (NAME, TAG, @DIGEST or NAME@DIGEST) and `platform`, loaded.

    Without a selector the store must hold one image only, without a platform it is this machine's if there are several.
    Raises TargetError, listing what there is, where none or more than one is meant.
    """
    everything = _merged(found)
    if not everything:
        raise TargetError(f"{what} holds no container image")
    named = _named(everything, selector, what) if selector else everything
    if not selector and len({c.names for c in named}) > 1:
        raise _several(named, what)
    held = [c for c in named if c.held]
    if not held:
        raise TargetError(f"{what} lists images for {_platforms(named)}, but none of them was saved with it")
    if len(held) == 1:
        loaded = held[0].load()
        if platform is not None and not platforms.matches(platforms.wanted(platform), loaded.image.platform):
            there = _platforms([replace(held[0], platform=loaded.image.platform)])
            raise TargetError(f"{what} has no image for {printable(platform)}, only for {there}")
        return held[0], loaded
    fitting = _fitting(held, what, platform)
    if len({c.root for c in fitting}) > 1:
        raise _several(fitting, what)
    best = next((c for c in fitting if platforms.is_base(c.platform or "")), fitting[0])
    same = sum(c.platform == best.platform for c in fitting)
    loaded = best.load()
    if same > 1:
        message = f"{same} images for {best.platform} are listed; the first was scanned, as engines take it"
        loaded = replace(loaded, notifications=(*loaded.notifications, Notification("source", Level.NOTE, message)))
    return best, loaded


def _merged(found: Iterable[Candidate]) -> list[Candidate]:
    """One candidate for each image: an image with two tags is listed twice."""
    merged: dict[tuple[str, str | None], Candidate] = {}
    for candidate in found:
        key = candidate.digests[0], candidate.platform
        first = merged.get(key)
        if first is None:
            merged[key] = candidate
        else:
            names = tuple(dict.fromkeys((*first.names, *candidate.names)))
            digests = tuple(dict.fromkeys((*first.digests, *candidate.digests)))
            merged[key] = replace(first, names=names, digests=digests)
    return list(merged.values())


def _named(found: Sequence[Candidate], selector: str, what: str) -> list[Candidate]:
    name, at, digest = selector.partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise TargetError(f"{printable(selector)!r} ends in no digest; write @sha256: and 64 hex digits")
    chosen = [c for c in found if not at or digest in c.digests]
    if name:
        full = [c for c in chosen if any(_same(n, name) for n in c.names)]
        chosen = full or [c for c in chosen if any(n.rpartition(":")[2] == name for n in c.names)]
    if not chosen:
        raise TargetError(f"{what} does not hold {printable(selector)}; it holds {_listed(found)}")
    return chosen


def normal(name: str) -> str:
    """One spelling for all that mean the same reference; what is none stays as it is."""
    try:
        return parse(name).familiar
    except TargetError:
        return name


def _same(name: str, asked: str) -> bool:
    return name == asked or normal(name) == normal(asked)


def _fitting(held: Sequence[Candidate], what: str, platform: str | None) -> list[Candidate]:
    """Those for the platform asked for or this machine's; where a platform is not stated, the config is read."""
    if len(held) > MAX_DOCUMENTS and any(c.platform is None for c in held):
        raise SourceError(f"{what} holds more than {MAX_DOCUMENTS} images; name one by its digest")
    known = [c if c.platform else replace(c, platform=c.load().image.platform) for c in held]
    wanted = platforms.host() if platform is None else platforms.wanted(platform)
    fitting = [c for c in known if platforms.matches(wanted, c.platform or "")]
    if not fitting:
        asked = "this machine" if platform is None else printable(platform)
        raise TargetError(f"{what} has no image for {asked}; choose one with --platform: {_platforms(known)}")
    return fitting


def _several(found: Sequence[Candidate], what: str) -> TargetError:
    return TargetError(f"{what} holds several images: {_listed(found)}. Name one: {what}:NAME or {what}@DIGEST")


def _listed(found: Sequence[Candidate]) -> str:
    shown = [printable(", ".join(_whole(c.names) or c.names) or f"@{c.digests[0]}") for c in found[:LISTED]]
    return ", ".join(shown) + (f" and {len(found) - LISTED} more" if len(found) > LISTED else "")


def _whole(names: Iterable[str]) -> list[str]:
    """Names that are more than a tag, as people write them."""
    return [normal(n) for n in names if ":" in n or "/" in n]


def _platforms(found: Sequence[Candidate]) -> str:
    return ", ".join(printable(p, 40) for p in sorted({c.platform or "an unknown platform" for c in found})[:LISTED])


def repository(names: Iterable[str], selector: str | None, fallback: str) -> str:
    """The image's name without tag or digest: the one asked for, else the first that is more than a tag, else the fallback."""
    asked = (selector or "").partition("@")[0]
    whole = _whole(names)
    return repository_of(next((n for n in whole if asked and _same(n, asked)), whole[0] if whole else fallback))
