"""An image in the words of the OCI image spec (image-spec v1.1: descriptor.md, config.md)."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A stored blob: media type, `digest` of the bytes as stored (None where the format names none), size in bytes (-1: unknown)."""

    media_type: str
    digest: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One filesystem layer, the same whatever store it came from.

    `diff_id` is the digest of the *uncompressed* tar (None for a plain tree that no config names); `created_by` the
    history entry's instruction, None where the history does not say.
    """

    index: int
    diff_id: str | None
    created_by: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """One entry of the image's history (config.md, property `history`): what a builder says of a step, with or without a layer."""

    created_by: str
    comment: str
    empty_layer: bool


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What a container from the image starts with (config.md, property `config`)."""

    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    healthcheck: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """One image for one platform. Equal for the same image from any source.

    `id` is the digest of the config blob (None for a plain tree), `platform` as `os/architecture[/variant]`. `history` is as the
    config has it, secrets and all: for tracing, no part of a report.
    """

    id: str | None
    platform: str
    created: str | None
    config: ImageConfig
    layers: tuple[Layer, ...]
    history: tuple[History, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """What was asked for and what was opened: `source` is the scheme, `name` the argument without it.

    `repository` names the image without tag or digest, so that fingerprints survive a rebuild;
    `manifest` is the digest of the manifest read, None where there is none.
    """

    source: str
    name: str
    repository: str
    manifest: str | None = None
