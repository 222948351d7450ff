"""Manifests, indexes and configs read with suspicion: bounded, verified by digest, every type checked.

OCI image-spec v1.1 (image-index.md, manifest.md, config.md), Docker image manifest v2 schema 2 and `docker save`'s
manifest.json.
"""

import hashlib
import json
import platform as host
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scanner.errors import DigestMismatch, SourceError, TargetError
from scanner.model import Descriptor, Image, ImageConfig, Layer, Level, Limits, Notification, printable

DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1"
MOST_MANIFESTS = 10_000
MOST_LAYERS = 10_000
MAX_INDEX_DEPTH = 4

Fetch = Callable[[Descriptor], bytes]
"""Gives the bytes of a small blob (manifest, index, config); they are verified by whoever asked."""


def parse(data: bytes, what: str, limits: Limits) -> Any:
    """A JSON document; raises SourceError for anything that is none, or is too large or too deep to be an honest one."""
    if len(data) > limits.document_bytes:
        raise SourceError(f"{what} has {len(data)} bytes; no honest one is larger than {limits.document_bytes}")
    try:
        return json.loads(data)
    except RecursionError as e:
        raise SourceError(f"{what} is nested too deeply to be an honest one") from e
    except ValueError as e:
        raise SourceError(f"{what} is not JSON: {printable(str(e))}. The image is damaged; save it again.") from e


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """The value as a JSON object; raises SourceError naming what it should have been."""
    if not isinstance(value, dict):
        raise SourceError(f"{what} is {_kind(value)}, not an object")
    return value


def sequence(value: Any, what: str, most: int = MOST_MANIFESTS) -> Sequence[Any]:
    """The value as a JSON array of at most `most` items; null counts as empty, as Go writes it."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise SourceError(f"{what} is {_kind(value)}, not an array")
    if len(value) > most:
        raise SourceError(f"{what} has {len(value)} items; no honest image has more than {most}")
    return value


def string(value: Any, what: str) -> str:
    """The value as a string; raises SourceError for anything else."""
    if not isinstance(value, str):
        raise SourceError(f"{what} is {_kind(value)}, not a string")
    return value


def digest_of(value: Any, what: str) -> str:
    """The value as a digest that is safe to build a path or an address from; raises SourceError otherwise."""
    text = string(value, what)
    if not DIGEST.match(text):
        raise SourceError(f"{what} is no sha256 or sha512 digest: {printable(text)}")
    return text


def _kind(value: Any) -> str:
    return {dict: "an object", list: "an array", str: "a string", type(None): "missing"}.get(type(value), "a number")


def verified(data: bytes, digest: str, what: str) -> bytes:
    """The bytes, if they have that digest; raises DigestMismatch naming both otherwise."""
    algorithm = digest.partition(":")[0]
    read = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    if read != digest:
        raise DigestMismatch(what, digest, read)
    return data


def descriptor(value: Any, what: str) -> Descriptor:
    """An OCI descriptor (descriptor.md); raises SourceError for a broken one."""
    fields = mapping(value, what)
    size = fields.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise SourceError(f"{what} has no sound size")
    media_type = fields.get("mediaType", "")
    return Descriptor(string(media_type, f"{what}'s mediaType"), digest_of(fields.get("digest"), f"{what}'s digest"), size)


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest: its own digest, its config and its layers, lowest first."""

    digest: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


def machine() -> str:
    """This machine's platform as images name it, such as linux/amd64."""
    names = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "i686": "386", "i386": "386"}
    return f"linux/{names.get(host.machine(), host.machine())}"


def matches(platform: str, wanted: str) -> bool:
    """Whether an image's platform is the one wanted; a variant only counts where both name one."""
    have, want = platform.split("/"), wanted.split("/")
    return have[:2] == want[:2] and (len(have) < 3 or len(want) < 3 or have[2] == want[2])


def resolve(top: Descriptor, fetch: Fetch, platform: str | None, limits: Limits) -> Manifest:
    """Walk from an index or a manifest to the one image manifest of the platform (None: this machine's).

    Attestations (platform unknown/unknown) and artifacts are passed over. Raises SourceError, or TargetError where the
    platform is not among those offered.
    """
    offered: list[tuple[str, Descriptor]] = []
    seen: set[str] = set()

    def walk(item: Descriptor, named: str | None, depth: int) -> None:
        assert item.digest is not None
        if item.digest in seen:
            return
        seen.add(item.digest)
        if len(seen) > MOST_MANIFESTS or depth > MAX_INDEX_DEPTH:
            raise SourceError("the image index is larger or deeper than any honest one")
        data = verified(fetch(item), item.digest, f"the manifest {item.digest}")
        document = mapping(parse(data, f"the manifest {item.digest}", limits), f"the manifest {item.digest}")
        media_type = document.get("mediaType") or item.media_type
        if "manifests" in document or media_type in INDEXES:
            for entry in sequence(document.get("manifests"), "the index's manifests"):
                walk(descriptor(entry, "an entry of the index"), platform_of(entry), depth + 1)
            return
        if document.get("schemaVersion") == 1 or str(media_type).startswith(SCHEMA1):
            raise SourceError("the image has a schema 1 manifest, which engines no longer read; push it again with a current one")
        if not _is_image(document):
            return
        offered.append((named or "", item))

    def _is_image(document: Mapping[str, Any]) -> bool:
        config = document.get("config")
        kind = config.get("mediaType", "") if isinstance(config, dict) else ""
        artifact = document.get("artifactType") or (kind and "config" in kind and "image" not in kind)
        return isinstance(config, dict) and "layers" in document and not artifact

    walk(top, None, 0)
    images = [(p, d) for p, d in offered if p != "unknown/unknown"]
    if not images:
        raise SourceError("there is no image in the index: only attestations or artifacts")
    if (len(images) == 1 and platform is None) or (len(images) == 1 and not images[0][0]):
        chosen = images[0][1]
    else:
        wanted = platform or machine()
        fitting = [d for p, d in images if matches(p, wanted)]
        if not fitting:
            there = ", ".join(sorted({p or "unnamed" for p, _ in images}))
            raise TargetError(f"the image is not there for {wanted}; choose with --platform: {there}")
        chosen = fitting[0]
    assert chosen.digest is not None
    what = f"the manifest {chosen.digest}"
    return manifest(verified(fetch(chosen), chosen.digest, what), chosen.digest, limits)


def platform_of(entry: Any) -> str | None:
    """The platform an index names for an entry, None if it names none."""
    value = entry.get("platform") if isinstance(entry, dict) else None
    if not isinstance(value, dict):
        return None
    parts = [value.get("os"), value.get("architecture"), value.get("variant")]
    return "/".join(str(p) for p in parts if isinstance(p, str) and p) or None


def manifest(data: bytes, digest: str, limits: Limits) -> Manifest:
    """An image manifest from its bytes; raises SourceError for a broken one."""
    what = f"the manifest {digest}"
    document = mapping(parse(data, what, limits), what)
    layers = []
    for entry in sequence(document.get("layers"), f"{what}'s layers", MOST_LAYERS):
        layer = descriptor(entry, f"a layer of {what}")
        if layer.media_type.endswith(("foreign.diff.tar.gzip", "nondistributable.v1.tar+gzip")) and entry.get("urls"):
            raise SourceError(f"{what} has a foreign layer that lies elsewhere ({layer.digest}); it cannot be read from here")
        layers.append(layer)
    return Manifest(digest, descriptor(document.get("config"), f"{what}'s config"), tuple(layers))


def image(data: bytes, digest: str, layers: int, limits: Limits) -> tuple[Image, tuple[Notification, ...]]:
    """The Image that a config blob describes, and what is to be said of it.

    `layers` is how many the manifest names; raises SourceError if the config's diff_ids are not as many. A history that
    does not fit leaves the instructions unknown, with a note.
    """
    what = f"the config {digest}"
    document = mapping(parse(data, what, limits), what)
    rootfs = mapping(document.get("rootfs"), f"{what}'s rootfs")
    diff_ids = [digest_of(d, f"a diff_id of {what}") for d in sequence(rootfs.get("diff_ids"), f"{what}'s diff_ids", MOST_LAYERS)]
    if len(diff_ids) != layers:
        raise SourceError(
            f"{what} names {len(diff_ids)} layers, its manifest {layers}; no engine would start such an image, "
            "and no scan of it could be whole"
        )
    notes: tuple[Notification, ...] = ()
    history = [
        entry
        for entry in sequence(document.get("history"), f"{what}'s history", 4 * MOST_LAYERS)
        if isinstance(entry, dict) and not entry.get("empty_layer")
    ]
    steps: list[str | None] = [_text(entry.get("created_by")) for entry in history]
    if len(steps) != len(diff_ids):
        if steps:
            message = f"the history names {len(steps)} layers and there are {len(diff_ids)}: instructions are unknown"
            notes = (Notification("source", Level.NOTE, message),)
        steps = [None] * len(diff_ids)
    config = document.get("config")
    names = [document.get("os"), document.get("architecture"), document.get("variant")]
    return (
        Image(
            id=digest,
            platform="/".join(n for n in names if isinstance(n, str) and n) or "unknown",
            created=_text(document.get("created")),
            config=_config(config if isinstance(config, dict) else {}),
            layers=tuple(Layer(i, d, by) for i, (d, by) in enumerate(zip(diff_ids, steps, strict=True))),
        ),
        notes,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def _config(config: Mapping[str, Any]) -> ImageConfig:
    labels, health = config.get("Labels"), config.get("Healthcheck")
    return ImageConfig(
        user=_text(config.get("User")) or "",
        env=_words(config.get("Env")),
        entrypoint=_words(config.get("Entrypoint")),
        cmd=_words(config.get("Cmd")),
        working_dir=_text(config.get("WorkingDir")) or "",
        exposed_ports=_keys(config.get("ExposedPorts")),
        volumes=_keys(config.get("Volumes")),
        labels=tuple(sorted((k, v) for k, v in labels.items() if isinstance(v, str))) if isinstance(labels, dict) else (),
        healthcheck=_words(health.get("Test")) if isinstance(health, dict) else (),
        on_build=_words(config.get("OnBuild")),
        stop_signal=_text(config.get("StopSignal")) or "",
    )


def _keys(value: Any) -> tuple[str, ...]:
    return tuple(sorted(value)) if isinstance(value, dict) else ()


def repository(name: str) -> str:
    """An image's name without tag and digest: `host:5000/team/app:1@sha256:…` is `host:5000/team/app`."""
    name = name.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]
