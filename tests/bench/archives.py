"""Large archives to measure with, as `docker save` of Engine 25 and later writes them: one plain layer in each."""

import hashlib
import io
import os
import random
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from fixtures.image import CONFIG, LAYER, MANIFEST, document, sha256, timestamp
from fixtures.tarball import Member, directory, packed

WORDS = ("the", "layer", "image", "file", "index", "import", "return", "class", "error", "value", "config", "path")


class _Hashed:
    """A file that hashes what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self.file.write(data)


def of_tree(target: Path, tree: Path, size: int, files: int, name: str = "sandscan-bench:tree") -> None:
    """An archive of at least `size` bytes and `files` files: the tree's own first, then made ones, always the same."""

    def write(layer: _Hashed) -> None:
        with tarfile.open(fileobj=layer, mode="w|", format=tarfile.GNU_FORMAT) as tar:  # type: ignore[call-overload]
            count = 0
            for path in _regular(tree):
                if layer.size >= size and count >= files:
                    return
                try:
                    tar.add(path, arcname=str(path).lstrip("/"), recursive=False)
                except OSError:  # gone, or not ours to read: any other file does as well
                    continue
                count += 1
            spread = random.Random(1)
            while layer.size < size or count < files:
                info = tarfile.TarInfo(f"srv/fill/{count % 256:02x}/{count:08x}")
                data = _filling(spread, max(2000, (size - layer.size) // max(1, files - count)))
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
                count += 1

    _archive(target, write, name)


def of_tiny_files(target: Path, count: int, name: str = "sandscan-bench:tiny") -> None:
    """An archive whose one layer holds `count` files of a line each."""

    def write(layer: _Hashed) -> None:
        for at in range(0, count, 1000):
            layer.write(
                b"".join(
                    packed(Member(f"srv/{i // 1000:04d}/{i:07d}.txt", b"line %d\n" % i)) for i in range(at, at + 1000)
                )
            )
        layer.write(bytes(1024))

    _archive(target, write, name)


def _archive(target: Path, write: Callable[[_Hashed], None], name: str) -> None:
    plain = target.with_suffix(".layer")
    with plain.open("wb", buffering=1 << 20) as file:
        layer = _Hashed(file)
        write(layer)
    digest = "sha256:" + layer.digest.hexdigest()
    config = document(
        {
            "architecture": "amd64",
            "config": {},
            "created": timestamp(0),
            "history": [{"created": timestamp(0), "created_by": "COPY / / # buildkit"}],
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }
    )
    layers = [{"mediaType": LAYER, "digest": digest, "size": layer.size}]
    described = {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)}
    manifest = document({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers})
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": MANIFEST,
                "digest": sha256(manifest),
                "size": len(manifest),
                "annotations": {"org.opencontainers.image.ref.name": name.rpartition(":")[2]},
            }
        ],
    }
    docker = [{"Config": _path(sha256(config)), "RepoTags": [name], "Layers": [_path(digest)]}]
    small = {
        _path(sha256(config)): config,
        _path(sha256(manifest)): manifest,
        "index.json": document(index),
        "manifest.json": document(docker),
        "oci-layout": document({"imageLayoutVersion": "1.0.0"}),
    }
    with target.open("wb") as out:
        out.write(packed(directory("blobs")) + packed(directory("blobs/sha256")))
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
            tar.add(plain, arcname=_path(digest), filter=_owned_by_root)
            for path, data in small.items():
                info = tarfile.TarInfo(path)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    plain.unlink()


def _owned_by_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def _path(digest: str) -> str:
    return digest.replace("sha256:", "blobs/sha256/")


def _regular(tree: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(tree):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _filling(spread: random.Random, size: int) -> bytes:
    """Half text, half noise."""
    text = " ".join(spread.choices(WORDS, k=200)).encode()
    half = size // 2
    return (text * (half // len(text) + 1))[:half] + spread.randbytes(size - half)
