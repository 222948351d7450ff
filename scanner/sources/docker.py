"""Images of a container engine: through its API (Docker, or Podman's socket), or straight from Docker's own layer store.

Where the engine runs on this machine with overlay2, root may read its layers in place: no export, no copy. The store's
layout: moby, layer/filestore.go and image/fs.go.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanner.errors import LayerError, SourceError, TargetError
from scanner.model import Image, Layer, Level, Notification, Target, printable
from scanner.oci import manifest, platforms
from scanner.oci.blob import Blob, TreeBlob
from scanner.oci.files import spooled
from scanner.oci.reference import parse, repository_of
from scanner.oci.saved import open_saved
from scanner.oci.store import Budget
from scanner.sources.engine import CHUNK, Download, connect
from scanner.sources.failures import reason
from scanner.sources.plugin import OpenImage, Source, SourceOptions

if TYPE_CHECKING:
    import docker

_ID = re.compile(r"(?:sha256:)?[0-9a-f]{4,64}")
_HEX = re.compile(r"[0-9a-f]{64}")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _NotInPlaceError(Exception):
    """Why the layers cannot be read where the engine keeps them."""


def open_docker(name: str, options: SourceOptions) -> OpenImage:
    """`NAME[:TAG]`, `NAME@DIGEST` or an image's id, whole or its beginning."""
    if name.startswith("//"):
        raise TargetError(
            f"docker:{printable(name)}: write docker:NAME for the engine's image, registry:NAME for a registry's"
        )
    if not _ID.fullmatch(name):
        parse(name)
    with ExitStack() as stack:
        client, endpoint = connect(
            f"To scan {printable(name)}",
            f"go without one: registry:{printable(name)}, or archive:FILE for a saved image",
            stack,
        )
        inspected = _inspect(client, endpoint, name)
        target = Target("docker", name, _repository(name, inspected))
        notes: tuple[Notification, ...] = ()
        if options.engine_access != "api":
            try:
                image, trees, notes = _in_place(client, endpoint, inspected, options)
            except _NotInPlaceError as e:
                if options.engine_access == "direct":
                    raise SourceError(
                        f"{printable(name)} cannot be read from the engine's own files: {e}. Leave --engine-access at auto, or say api."
                    ) from e
                notes = (
                    Notification(
                        "source", Level.NOTE, f"the image was exported by the engine, which takes longer: {e}"
                    ),
                )
            else:
                _check_platform(image, name, options)
                return OpenImage(target, image, trees, notes, stack.pop_all())
        what = printable(name)
        try:
            saved = Download(
                client, partial(_save, client, str(inspected["Id"])), f"{what} from the engine at {printable(endpoint)}"
            )
            file = spooled(saved, f"the engine's export of {what}", stack)
        except LayerError as e:
            raise SourceError(str(e)) from e
        loaded, _ = open_saved(file, what, options.limits, None, options.platform)
        return OpenImage(
            replace(target, manifest=loaded.manifest),
            loaded.image,
            loaded.blobs,
            (*notes, *loaded.notifications),
            stack.pop_all(),
            loaded.provenance,
        )


def _inspect(client: "docker.DockerClient", endpoint: str, name: str) -> dict[str, Any]:
    import docker.errors
    import requests

    try:
        inspected = client.api.inspect_image(name)  # type: ignore[no-untyped-call]
    except docker.errors.NotFound as e:
        raise TargetError(
            f"the engine at {printable(endpoint)} has no image {printable(name)}; fetch it with `docker pull {printable(name)}`, "
            f"or scan it where it is: registry:{printable(name)}"
        ) from e
    except docker.errors.APIError as e:
        raise SourceError(
            f"the engine at {printable(endpoint)} does not tell of {printable(name)}: {printable(str(e))}"
        ) from e
    except (docker.errors.DockerException, requests.RequestException, OSError, ValueError) as e:
        raise SourceError(f"the engine at {printable(endpoint)} went away: {reason(e)}") from e
    if not isinstance(inspected, dict) or not isinstance(inspected.get("Id"), str):
        raise SourceError(
            f"the engine at {printable(endpoint)} tells of {printable(name)} in words that are not Docker's"
        )
    return inspected


def _repository(name: str, inspected: dict[str, Any]) -> str:
    """The name without tag and digest; for an id the image's first tag, or the id's beginning where it has none."""
    tags = [t for t in inspected.get("RepoTags") or () if isinstance(t, str)]
    identifier = str(inspected["Id"]).removeprefix("sha256:")
    if _ID.fullmatch(name) and identifier.startswith(name.removeprefix("sha256:")):
        repositories = sorted(repository_of(t) for t in tags)
        # a name may look like the beginning of an id: then it is the name
        return repository_of(name) if repository_of(name) in repositories else (repositories or [identifier[:12]])[0]
    return repository_of(name)


def _save(client: "docker.DockerClient", identifier: str) -> Iterator[bytes]:
    """The stream of `docker save`, without its tag: what was inspected is what is saved."""
    return iter(client.api.get_image(identifier, chunk_size=CHUNK))


def _check_platform(image: Image, name: str, options: SourceOptions) -> None:
    if options.platform is not None and not platforms.matches(platforms.wanted(options.platform), image.platform):
        raise TargetError(
            f"{printable(name)} has no image for {printable(options.platform)}, only for {image.platform}"
        )


def _in_place(
    client: "docker.DockerClient", endpoint: str, inspected: dict[str, Any], options: SourceOptions
) -> tuple[Image, tuple[Blob, ...], tuple[Notification, ...]]:
    """The image from overlay2's directories, its config verified by its id, each layer by the chain of the diff_ids.

    Raises _NotInPlaceError where that cannot be done: elsewhere, another store, no right to read.
    """
    root = _data_root(client, endpoint)
    with ExitStack() as stack:
        try:
            top = os.open(root, _DIRECTORY)
            stack.callback(os.close, top)
            image, notes = _config(top, str(inspected["Id"]), options)
            trees: list[Blob] = []
            chain = ""
            for layer in image.layers:
                assert layer.diff_id is not None, "a config names every diff_id"
                chain = (
                    f"sha256:{hashlib.sha256(f'{chain} {layer.diff_id}'.encode()).hexdigest()}"
                    if chain
                    else layer.diff_id
                )
                trees.append(_tree(top, root, layer, chain, options))
        except PermissionError as e:
            raise _NotInPlaceError(f"only root may read {root}") from e
        except FileNotFoundError as e:
            raise _NotInPlaceError(
                f"{root} does not hold it on this machine: the engine may run in a container of its own"
            ) from e
        except OSError as e:
            raise _NotInPlaceError(f"{root}: {e.strerror or e}") from e
    return image, tuple(trees), notes


def _data_root(client: "docker.DockerClient", endpoint: str) -> Path:
    """The engine's data directory, if it is a store that can be read in place."""
    import docker.errors
    import requests

    if not endpoint.startswith("unix:"):
        raise _NotInPlaceError(f"the engine at {printable(endpoint)} is not known to be on this machine")
    try:
        info = client.api.info()
    except (docker.errors.DockerException, requests.RequestException, OSError, ValueError) as e:
        raise SourceError(f"the engine at {printable(endpoint)} went away: {reason(e)}") from e
    status = {s[0]: s[1] for s in info.get("DriverStatus") or () if isinstance(s, list) and len(s) == 2}
    security = [str(s) for s in info.get("SecurityOptions") or ()]
    if "containerd" in str(status.get("driver-type", "")) or info.get("Driver") == "overlayfs":
        raise _NotInPlaceError("the engine keeps its images in containerd's store")
    if info.get("Driver") != "overlay2":
        raise _NotInPlaceError(f"the engine's store is {printable(str(info.get('Driver')))}, not overlay2")
    if status.get("Native Overlay Diff") != "true":
        raise _NotInPlaceError(
            "the engine's kernel lets overlay2 redirect directories, so that a layer's files lie elsewhere"
        )
    if any(s.startswith(("name=userns", "name=rootless")) for s in security):
        raise _NotInPlaceError("the engine maps user ids, so that its files have other owners than the image says")
    stated = info.get("DockerRootDir")
    if not isinstance(stated, str) or not stated.startswith("/"):
        raise _NotInPlaceError("the engine does not say where its data is")
    try:
        return Path(stated).resolve(strict=True)
    except (OSError, RuntimeError) as e:
        raise _NotInPlaceError(f"{printable(stated)} is not on this machine, or not readable: {reason(e)}") from e


def _config(top: int, identifier: str, options: SourceOptions) -> tuple[Image, tuple[Notification, ...]]:
    hexadecimal = identifier.removeprefix("sha256:")
    if not _HEX.fullmatch(hexadecimal):
        raise _NotInPlaceError(f"{printable(identifier)} is no image id")
    what = f"the config of {identifier}"
    data = _read(top, f"image/overlay2/imagedb/content/sha256/{hexadecimal}", what, Budget(options.limits))
    return manifest.image(manifest.verify(data, f"sha256:{hexadecimal}", what), what, f"sha256:{hexadecimal}")


def _tree(top: int, root: Path, layer: Layer, chain: str, options: SourceOptions) -> TreeBlob:
    """The layer's directory, after the store's own record of it was compared with what the image says."""
    folder = f"image/overlay2/layerdb/sha256/{chain.removeprefix('sha256:')}"
    budget = Budget(options.limits)
    diff_id = _read(top, f"{folder}/diff", "a layer's record", budget).decode("ascii", "replace").strip()
    cache_id = _read(top, f"{folder}/cache-id", "a layer's record", budget).decode("ascii", "replace").strip()
    if diff_id != layer.diff_id or not _HEX.fullmatch(cache_id):
        raise _NotInPlaceError(f"the engine's record of layer {layer.index} does not fit the image")
    path = f"overlay2/{cache_id}/diff"
    with ExitStack() as stack:
        os.close(_open(top, path, _DIRECTORY, stack))
    return TreeBlob(layer, root / path, overlay=True)


def _open(top: int, path: str, flags: int, resources: ExitStack) -> int:
    """Open a path below a directory, no link followed on the way."""
    at = top
    *parents, last = path.split("/")
    for directory in parents:
        at = os.open(directory, _DIRECTORY, dir_fd=at)
        resources.callback(os.close, at)
    return os.open(last, flags, dir_fd=at)


def _read(top: int, path: str, what: str, budget: Budget) -> bytes:
    with ExitStack() as stack:
        fd = _open(top, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, stack)
        with os.fdopen(fd, "rb") as file:
            size = os.fstat(fd).st_size
            budget.take(size, what)
            return file.read(size)


PLUGIN = Source(
    "docker", "an image of the local engine, or the one in DOCKER_HOST (Podman too)", "docker:app:latest", open_docker
)
