"""What a source is: one way to open one kind of target. Every source gives the same Image for the same image."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from scanner.model import Image, Limits, Notification, Target
from scanner.oci.blob import Blob
from scanner.oci.store import Provenance, unattested


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a user may say about opening a target. `platform` is `os/architecture[/variant]`, None for this machine's."""

    platform: str | None = None
    engine_access: str = "auto"
    insecure_registry: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image ready to be read: `blobs[i]` holds `image.layers[i]`. Leave its `with` block to let go of everything.

    `provenance` reads what the builder states of the build, where that came with the image.
    """

    target: Target
    image: Image
    blobs: tuple[Blob, ...]
    notifications: tuple[Notification, ...] = ()
    resources: ExitStack = field(default_factory=ExitStack)
    provenance: Provenance = unattested

    def __enter__(self) -> "OpenImage":
        return self

    def __exit__(self, *_: object) -> None:
        self.resources.close()


@dataclass(frozen=True, slots=True)
class Source:
    """`open(name, options)` takes the argument without its scheme; raises TargetError (not there, not of this kind) or
    SourceError (there, but unreadable). `recognises(path)` looks at the content of an existing path, cheaply, and is
    None for sources that are not on disk; sources are asked by ascending `order`, the most particular first.
    """

    scheme: str
    summary: str
    example: str
    open: Callable[[str, SourceOptions], OpenImage]
    recognises: Callable[[Path], bool] | None = None
    order: int = 50
