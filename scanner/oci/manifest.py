"""Indexes, manifests and image configs: JSON that a stranger wrote, read the way engines read it.

Sources: image-spec v1.1 (image-index.md, manifest.md, config.md), Docker image manifest V2 schema 2, and Go's
encoding/json, which takes a field's name in any case.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from scanner.errors import SourceError
from scanner.model import Descriptor, History, Image, ImageConfig, Layer, Level, Notification, printable
from scanner.oci.platforms import UNKNOWN
from scanner.oci.reference import DIGEST

MAX_VALUES = 1_000_000
"""Values in one document: what keeps a few megabytes of `[[],[],…` from becoming gigabytes of objects."""
MAX_LAYERS = 1_000
"""Engines stop at 127 (overlay2's limit of lower directories)."""

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
INDEXES = (OCI_INDEX, DOCKER_LIST)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
SCHEMA1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)

_CONFIGS = (OCI_CONFIG, DOCKER_CONFIG, "application/octet-stream", "")
"""Docker 1.10 pushed configs as octet-stream."""
_LAYERS = (
    OCI_LAYER,
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    DOCKER_LAYER,
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
_REFERENCE_NAME = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME = "io.containerd.image.name"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Child:
    """One line of an index: `platform` as it says (None: it does not), `names` the references it carries."""

    descriptor: Descriptor
    platform: str | None
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image's parts, the lowest layer first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


def digest_of(data: bytes, like: str = "sha256:") -> str:
    """The digest of a document, with the algorithm of another digest."""
    name = "sha512" if like.startswith("sha512:") else "sha256"
    return f"{name}:{hashlib.new(name, data).hexdigest()}"


def verify(data: bytes, digest: str, what: str) -> bytes:
    """The document itself; raises SourceError naming both digests where it is another one."""
    read = digest_of(data, digest)
    if read != digest:
        raise SourceError(
            f"{what} does not match its digest: expected {digest}, read {read}. "
            "It was changed or cut off after it was saved; save the image again."
        )
    return data


def kind(data: bytes, what: str, media_type: str = "") -> str:
    """`index` or `manifest`, by the document's own fields. `media_type` is what its container calls it.

    A document that could be read as either is refused (CVE-2021-41190), and so is what is neither.
    """
    document = document_of(data, what)
    stated = document.text("mediaType") or media_type
    if stated in SCHEMA1 or (document.value("schemaVersion") == 1 and not document.has("config")):
        raise SourceError(
            f"{what} is a schema 1 manifest, which no registry has written since 2016; pull and push the image again"
        )
    index = document.has("manifests")
    manifest = document.has("layers") or document.has("config")
    if index and manifest:
        raise SourceError(f"{what} is an index and a manifest at once; tools would disagree on it, so it is refused")
    if not index and not manifest:
        raise SourceError(f"{what} is neither an index nor a manifest")
    if (index and stated in MANIFESTS) or (manifest and stated in INDEXES):
        raise SourceError(f"{what} is not what its media type says ({stated})")
    return "index" if index else "manifest"


def index(data: bytes, what: str) -> tuple[Child, ...]:
    """The lines of an index or a manifest list, in their order, attestations (platform unknown/unknown) left out."""
    children = []
    for number, entry in enumerate(document_of(data, what).objects("manifests")):
        child = _child(entry, f"{what}, manifest {number}")
        if child.platform != UNKNOWN:
            children.append(child)
    return tuple(children)


def attestations(data: bytes, what: str) -> Mapping[str, Descriptor]:
    """What an index attests of its images: manifests of statements by the digest of the image's manifest (BuildKit,
    docs/attestations/attestation-storage.md)."""
    found = {}
    for number, entry in enumerate(document_of(data, what).objects("manifests")):
        notes = dict(entry.mapping("annotations"))
        if notes.get("vnd.docker.reference.type") == "attestation-manifest":
            subject = notes.get("vnd.docker.reference.digest", "")
            found[subject] = _descriptor(entry, f"{what}, manifest {number}")
    return found


def statements(data: bytes, what: str, predicates: str) -> tuple[Descriptor, ...]:
    """The in-toto statements of an attestation's manifest whose predicate's type begins so."""
    return tuple(
        _descriptor(entry, f"{what}, layer {number}")
        for number, entry in enumerate(document_of(data, what).objects("layers"))
        if entry.text("mediaType") == "application/vnd.in-toto+json"
        and dict(entry.mapping("annotations")).get("in-toto.io/predicate-type", "").startswith(predicates)
    )


def manifest(data: bytes, what: str) -> Manifest:
    """One image's manifest. Raises SourceError for anything else, such as an attestation or a chart."""
    document = document_of(data, what)
    config = _descriptor(document.object("config"), f"{what}, config")
    if config.media_type not in _CONFIGS:
        raise SourceError(f"{what} holds {printable(config.media_type)}, which is no container image")
    layers = tuple(_descriptor(o, f"{what}, layer {i}") for i, o in enumerate(document.objects("layers")))
    if len(layers) > MAX_LAYERS:
        raise SourceError(f"{what} has {len(layers)} layers, more than any engine takes ({MAX_LAYERS} are read)")
    for number, layer in enumerate(layers):
        base = layer.media_type.removesuffix("+gzip").removesuffix("+zstd").removesuffix(".gzip").removesuffix(".zstd")
        if layer.media_type.endswith("+encrypted"):
            raise SourceError(f"{what}, layer {number} is encrypted; decrypt the image first")
        if base and base not in _LAYERS:
            raise SourceError(f"{what}, layer {number} is {printable(layer.media_type)}, which is no file system layer")
    return Manifest(config, layers)


def is_image(data: bytes, what: str) -> bool:
    """Whether a manifest's config is an image's; charts, signatures and attestations have others."""
    config = document_of(data, what).object("config")
    return config.text("mediaType") in _CONFIGS


def image(data: bytes, what: str, digest: str | None = None) -> tuple[Image, tuple[Notification, ...]]:
    """The Image of a config document, `digest` its id (computed if None).

    A history that does not fit the layers costs only their instructions, and a note: no engine reads it.
    """
    document = document_of(data, what)
    rootfs = document.object("rootfs")
    if rootfs.text("type") != "layers":
        raise SourceError(f"{what}: rootfs.type is {printable(rootfs.text('type'))!r}, not 'layers'")
    diff_ids = rootfs.strings("diff_ids")
    if len(diff_ids) > MAX_LAYERS:
        raise SourceError(f"{what} has {len(diff_ids)} layers, more than any engine takes ({MAX_LAYERS} are read)")
    for diff_id in diff_ids:
        if not DIGEST.fullmatch(diff_id) or not diff_id.startswith("sha256:"):
            raise SourceError(f"{what}: the diff_id {printable(diff_id)!r} is no sha256 digest")
    history = tuple(
        History(entry.text("created_by"), entry.text("comment"), entry.flag("empty_layer"))
        for entry in document.objects("history")
    )
    instructions = [entry.created_by for entry in history if not entry.empty_layer]
    notes: tuple[Notification, ...] = ()
    if instructions and len(instructions) != len(diff_ids):
        notes = (
            Notification(
                "source",
                Level.NOTE,
                f"the image's history names {len(instructions)} layers, there are {len(diff_ids)}: "
                "which instruction made which layer is not known",
            ),
        )
        instructions = []
    return (
        Image(
            id=digest or digest_of(data),
            platform=_platform(document),
            created=document.text("created") or None,
            config=_config(document.object("config")),
            layers=tuple(
                Layer(i, diff_id, instructions[i] or None if instructions else None)
                for i, diff_id in enumerate(diff_ids)
            ),
            history=history,
        ),
        notes,
    )


def check_layout(data: bytes, what: str) -> None:
    """The `oci-layout` file (image-layout.md); raises SourceError for a version that is not 1."""
    version = document_of(data, what).text("imageLayoutVersion")
    if version.partition(".")[0] != "1":
        raise SourceError(f"{what} is of version {printable(version)!r}; 1.0.0 can be read")


def document_of(data: bytes, what: str) -> "Document":
    """The JSON object in `data`. Raises SourceError for anything else, and for what readers could disagree on."""
    value = json_of(data, what)
    if not isinstance(value, dict):
        raise SourceError(f"{what} is {_type_name(value)}, not a JSON object")
    return Document(value, what)


def json_of(data: bytes, what: str) -> object:
    """Any JSON value, as strict as RFC 8259 and stricter: no name twice in one object. The caller bounds the size."""
    if data.count(b"{") + data.count(b"[") + data.count(b",") > MAX_VALUES:
        raise SourceError(f"{what} has more than {MAX_VALUES} values; it is no image's document")

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(items)
        if len(made) != len(items):
            seen: set[str] = set()
            twice = next(k for k, _ in items if k in seen or seen.add(k))  # type: ignore[func-returns-value]
            raise SourceError(f"{what} names {printable(twice)!r} twice in one object; tools would disagree on it")
        return made

    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(data.decode("utf-8", "replace"), object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError:
        raise SourceError(f"{what} is nested too deep to be read") from None
    except ValueError as e:
        raise SourceError(f"{what} is no valid JSON: {printable(str(e))}") from e


class Document:
    """One JSON object and what it is called in messages; every accessor raises SourceError for a value of a wrong type.

    A field that is absent or null is empty, as in Go. A name in another case is the same field, as in Go; twice is refused.
    """

    def __init__(self, fields: Mapping[str, object], what: str) -> None:
        self._fields = fields
        self._what = what

    def value(self, name: str) -> object:
        folded = name.casefold()
        found = [key for key in self._fields if key.casefold() == folded]
        if len(found) > 1:
            raise SourceError(
                f"{self._what} has both {' and '.join(map(printable, found))}; tools would disagree on it"
            )
        return self._fields[found[0]] if found else None

    def has(self, name: str) -> bool:
        return self.value(name) is not None

    def text(self, name: str) -> str:
        return _clean(self._of(name, str, ""))

    def flag(self, name: str) -> bool:
        return self._of(name, bool, False)

    def size(self, name: str) -> int:
        """A count of bytes, -1 where there is none."""
        value = self.value(name)
        if value is None:
            return -1
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
            raise SourceError(f"{self._what}: {name} is {_type_name(value)} that is no size")
        return value

    def object(self, name: str) -> "Document":
        return Document(self._of(name, dict, {}), f"{self._what}, {name}")

    def objects(self, name: str) -> "list[Document]":
        return self._objects(name, self._of(name, list, []))

    def lists(self, name: str) -> "list[list[Document]]":
        """A list of lists of objects."""
        made = []
        for number, value in enumerate(self._of(name, list, [])):
            if not isinstance(value, list):
                raise SourceError(f"{self._what}: {name}[{number}] is {_type_name(value)}, not a list")
            made.append(self._objects(f"{name}[{number}]", value))
        return made

    def _objects(self, name: str, values: Sequence[Any]) -> "list[Document]":
        made = []
        for number, value in enumerate(values):
            if not isinstance(value, dict):
                raise SourceError(f"{self._what}: {name}[{number}] is {_type_name(value)}, not an object")
            made.append(Document(value, f"{self._what}, {name}[{number}]"))
        return made

    def names(self) -> tuple[str, ...]:
        """The object's own fields, in order."""
        return tuple(self._fields)

    def strings(self, name: str) -> list[str]:
        values = self._of(name, list, [])
        for number, value in enumerate(values):
            if not isinstance(value, str):
                raise SourceError(f"{self._what}: {name}[{number}] is {_type_name(value)}, not a string")
        return [_clean(v) for v in values]

    def words(self, name: str) -> tuple[str, ...]:
        """A list of strings, or one string, as old engines wrote Cmd and Entrypoint."""
        return (self.text(name),) if isinstance(self.value(name), str) else tuple(self.strings(name))

    def keys(self, name: str) -> tuple[str, ...]:
        return tuple(sorted(map(_clean, self._of(name, dict, {}))))

    def mapping(self, name: str) -> tuple[tuple[str, str], ...]:
        """An object of strings, sorted."""
        values = self._of(name, dict, {})
        for key, value in values.items():
            if not isinstance(value, str):
                raise SourceError(f"{self._what}: {name}.{printable(key)} is {_type_name(value)}, not a string")
        return tuple(sorted((_clean(k), _clean(v)) for k, v in values.items()))

    def _of(self, name: str, kind: type[T], empty: T) -> T:
        value = self.value(name)
        if value is None:
            return empty
        if not isinstance(value, kind):
            raise SourceError(f"{self._what}: {name} is {_type_name(value)}, not {_NAMES[kind]}")
        return value


_NAMES: Mapping[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


def _type_name(value: object) -> str:
    return _NAMES.get(type(value), "null")


def _clean(text: str) -> str:
    """Half of a surrogate pair is no text; Go reads it as U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _child(entry: Document, what: str) -> Child:
    platform = None
    stated = entry.object("platform")
    if stated.has("os") or stated.has("architecture"):
        platform = _platform(stated)
    annotations = dict(entry.mapping("annotations"))
    names = (annotations.get(_CONTAINERD_NAME), annotations.get(_REFERENCE_NAME))
    return Child(_descriptor(entry, what), platform, tuple(dict.fromkeys(n for n in names if n)))


def _platform(document: Document) -> str:
    parts = (document.text("os") or "unknown", document.text("architecture") or "unknown", document.text("variant"))
    return "/".join(p for p in parts if p)


def _descriptor(entry: Document, what: str) -> Descriptor:
    digest = entry.text("digest")
    if not DIGEST.fullmatch(digest):
        raise SourceError(f"{what}: {printable(digest)!r} is no sha256 or sha512 digest")
    return Descriptor(entry.text("mediaType"), digest, entry.size("size"))


def _config(config: Document) -> ImageConfig:
    return ImageConfig(
        user=config.text("User"),
        env=tuple(config.strings("Env")),
        entrypoint=config.words("Entrypoint"),
        cmd=config.words("Cmd"),
        working_dir=config.text("WorkingDir"),
        exposed_ports=config.keys("ExposedPorts"),
        volumes=config.keys("Volumes"),
        labels=config.mapping("Labels"),
        healthcheck=config.object("Healthcheck").words("Test"),
        on_build=tuple(config.strings("OnBuild")),
        stop_signal=config.text("StopSignal"),
    )
