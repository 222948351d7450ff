"""`archive:FILE[@NAME]`: an image saved into a file by docker, podman or skopeo; plain, gzip or zstd."""

from contextlib import ExitStack
from pathlib import Path

from scanner.errors import TargetError
from scanner.model import Target, printable
from scanner.oci.manifest import repository
from scanner.oci.saved import is_saved, open_plain, open_saved
from scanner.sources.plugin import OpenImage, Source, SourceOptions


def open_archive(name: str, options: SourceOptions) -> OpenImage:
    """The image in the file; `@NAME` (a tag, a whole name or a digest) chooses where it holds several."""
    path, reference = _split(name)
    if not path.exists():
        raise TargetError(f"there is no file {printable(str(path))}")
    with ExitStack() as resources:
        file = open_plain(path, resources, options.limits)
        opened = open_saved(file, printable(str(path)), reference, options.platform, options.limits)
        repo = repository(opened.name) if opened.name else path.name.partition(".")[0]
        target = Target("archive", name, repo or path.name, opened.manifest)
        return OpenImage(target, opened.image, opened.blobs, opened.notifications, resources.pop_all())


def _split(name: str) -> tuple[Path, str | None]:
    if Path(name).exists() or "@" not in name:
        return Path(name), None
    path, _, reference = name.partition("@")
    return Path(path), reference


PLUGIN = Source(
    scheme="archive",
    summary="docker save, podman save or an OCI layout in a tar; plain, gzip or zstd",
    example="archive:app.tar",
    open=open_archive,
    recognises=lambda path: path.is_file() and is_saved(path),
    order=20,
)
