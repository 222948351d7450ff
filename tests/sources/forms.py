"""One image in every form in which engines and tools save it, written byte by byte as they do."""

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from fixtures.tarball import Member, directory, symlink, tar

OCI = "application/vnd.oci.image"
LAYER = f"{OCI}.layer.v1.tar"
Packer = Callable[[bytes], bytes]


def plain(data: bytes) -> bytes:
    return data


def gz(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(data)


SUFFIX: Mapping[Packer, str] = {plain: "", gz: "+gzip", zst: "+zstd"}


@dataclass(frozen=True)
class Saved:
    """An image's config document and uncompressed layers."""

    config: bytes
    layers: tuple[bytes, ...]
    tags: tuple[str, ...] = ("team/app:1",)

    @property
    def id(self) -> str:
        return sha256(self.config)


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def document(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def blob_path(data: bytes) -> str:
    return "blobs/sha256/" + sha256(data).removeprefix("sha256:")


def descriptor(media_type: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}


def make(layers: Sequence[bytes], platform: str = "linux/amd64", **config: Any) -> Saved:
    """A small image around layers; each has an instruction, and one more makes no layer."""
    os, architecture = platform.split("/")
    history = [{"created": "2024-05-01T00:00:00Z", "created_by": f"RUN step {i}"} for i in range(len(layers))]
    image = {
        "architecture": architecture,
        "os": os,
        "created": "2024-05-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], **config},
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
        "history": [*history, {"created": "2024-05-01T00:00:00Z", "created_by": 'CMD ["sh"]', "empty_layer": True}],
    }
    return Saved(document(image), tuple(layers))


def small_layers() -> tuple[bytes, bytes]:
    return (
        tar([directory("etc"), Member("etc/one", b"1" * 700), Member("etc/two", b"2" * 3000)]),
        tar([directory("etc"), Member("etc/.wh.one"), Member("etc/three", bytes(range(256)) * 40)]),
    )


def pack(files: Mapping[str, bytes]) -> bytes:
    """A tar as the engine writes it: the directories, then sorted."""
    folders = sorted({"/".join(name.split("/")[:i]) for name in files for i in range(1, name.count("/") + 1)})
    members = [*(directory(f) for f in folders), *(Member(name, data) for name, data in files.items())]
    return tar(sorted(members, key=lambda m: m.path))


def legacy(*images: Saved) -> bytes:
    """`docker save` of 20.10: a directory for each layer, one that occurs twice as a link (tarexport/save.go)."""
    members: dict[str, Member] = {}
    entries = []
    for image in images:
        paths: list[str] = []
        first: dict[bytes, str] = {}
        for number, layer in enumerate(image.layers):
            name = hashlib.sha256(f"{image.id} {number}".encode()).hexdigest()
            path = f"{name}/layer.tar"
            members[name] = directory(name)
            members[f"{name}/VERSION"] = Member(f"{name}/VERSION", b"1.0")
            members[f"{name}/json"] = Member(f"{name}/json", document({"id": name}))
            members[path] = symlink(path, f"../{first[layer]}") if layer in first else Member(path, layer)
            first.setdefault(layer, path)
            paths.append(path)
        config = f"{image.id.removeprefix('sha256:')}.json"
        members[config] = Member(config, image.config)
        entries.append({"Config": config, "RepoTags": list(image.tags) or None, "Layers": paths})
    members["manifest.json"] = Member("manifest.json", document(entries))
    return tar(members[name] for name in sorted(members))


def docker_archive(image: Saved) -> bytes:
    """skopeo's and podman's docker-archive: layers as `<diff_id>.tar` at the top, never twice."""
    layers = [sha256(layer).removeprefix("sha256:") + ".tar" for layer in image.layers]
    files = dict(zip(layers, image.layers, strict=True))
    config = image.id.removeprefix("sha256:") + ".json"
    entries = [{"Config": config, "RepoTags": list(image.tags), "Layers": layers}]
    return tar(Member(n, d) for n, d in {**files, config: image.config, "manifest.json": document(entries)}.items())


def manifest(image: Saved, packer: Packer = plain) -> tuple[bytes, dict[str, bytes]]:
    """The OCI manifest, and the blobs it names."""
    stored = [packer(layer) for layer in image.layers]
    made = document(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": descriptor(f"{OCI}.config.v1+json", image.config),
            "layers": [descriptor(LAYER + SUFFIX[packer], layer) for layer in stored],
        }
    )
    return made, {blob_path(data): data for data in (*stored, image.config, made)}


def index(*manifests: dict[str, Any]) -> bytes:
    return document({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": list(manifests)})


def names(tag: str) -> dict[str, str]:
    first, slash, _ = tag.partition("/")
    host = slash and ("." in first or ":" in first)
    full = tag if host else f"docker.io/{tag}" if slash else f"docker.io/library/{tag}"
    return {"io.containerd.image.name": full, "org.opencontainers.image.ref.name": tag.rpartition(":")[2]}


def layout_files(image: Saved, packer: Packer = plain) -> dict[str, bytes]:
    """An OCI image layout that holds one image under its tags."""
    made, blobs = manifest(image, packer)
    lines = [descriptor(f"{OCI}.manifest.v1+json", made, annotations=names(tag)) for tag in image.tags]
    return {**blobs, "index.json": index(*lines), "oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}


def engine25(*images: Saved, packer: Packer = plain) -> dict[str, bytes]:
    """`docker save` of Engine 25 and later with overlay2: a layout of plain blobs, and manifest.json beside it."""
    files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    lines: list[dict[str, Any]] = []
    entries = []
    for image in images:
        made, blobs = manifest(image, packer)
        files |= blobs
        lines += [descriptor(f"{OCI}.manifest.v1+json", made, annotations=names(tag)) for tag in image.tags]
        layers = [blob_path(packer(layer)) for layer in image.layers]
        entries.append({"Config": blob_path(image.config), "RepoTags": list(image.tags), "Layers": layers})
    return {**files, "index.json": index(*lines), "manifest.json": document(entries)}


def containerd(image: Saved, *others: tuple[str, Saved], packer: Packer = gz) -> dict[str, bytes]:
    """`docker save` with containerd's store: gzip blobs, and for a BuildKit image an inner index with its attestation.

    `others` are images for other platforms in the same index; Docker's manifest.json names the first only.
    """
    files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    lines = []
    for platform, each in (("linux/amd64", image), *others):
        made, blobs = manifest(each, packer)
        files |= blobs
        os, architecture = platform.split("/")
        lines.append(descriptor(f"{OCI}.manifest.v1+json", made, platform={"os": os, "architecture": architecture}))
    statement, nothing = b'{"_type":"https://in-toto.io/Statement/v0.1"}', b"{}"
    attestation = document(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": descriptor(f"{OCI}.config.v1+json", nothing),
            "layers": [descriptor("application/vnd.in-toto+json", statement)],
        }
    )
    lines.append(
        descriptor(
            f"{OCI}.manifest.v1+json",
            attestation,
            annotations={
                "vnd.docker.reference.digest": lines[0]["digest"],
                "vnd.docker.reference.type": "attestation-manifest",
            },
            platform={"architecture": "unknown", "os": "unknown"},
        )
    )
    inner = index(*lines)
    files |= {blob_path(data): data for data in (statement, nothing, attestation, inner)}
    layers = [blob_path(packer(layer)) for layer in image.layers]
    entries = [{"Config": blob_path(image.config), "RepoTags": list(image.tags), "Layers": layers}]
    top = [descriptor(f"{OCI}.index.v1+json", inner, annotations=names(tag)) for tag in image.tags]
    return {**files, "index.json": index(*top), "manifest.json": document(entries)}


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The files below a directory."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
