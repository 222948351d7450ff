"""An image saved in one file: docker save, podman save, skopeo, ctr; plain or compressed, from a file or a pipe."""

from contextlib import ExitStack
from pathlib import Path

from scanner.model import Target, printable
from scanner.oci.saved import Beginning, beginning, open_saved
from scanner.oci.store import repository
from scanner.sources.paths import look, seekable, split, stem
from scanner.sources.plugin import OpenImage, Source, SourceOptions


def open_archive(name: str, options: SourceOptions) -> OpenImage:
    """`FILE`, `FILE:NAME[:TAG]`, `FILE:TAG` or `FILE@DIGEST` (of the image or of its manifest); `-` is standard input."""
    path, selector = split(name)
    what = printable(path)
    with ExitStack() as stack:
        file = seekable(path, what, options.limits, stack, unpacked=True)
        loaded, names = open_saved(file, what, options.limits, selector, options.platform)
        return OpenImage(
            Target("archive", name, repository(names, selector, stem(path)), loaded.manifest),
            loaded.image,
            loaded.blobs,
            loaded.notifications,
            stack.pop_all(),
            loaded.provenance,
        )


def recognises(path: Path) -> bool:
    return beginning(look(path)) is Beginning.SAVED_IMAGE


PLUGIN = Source(
    "archive",
    "an image saved to a file by docker, podman, skopeo or ctr",
    "archive:app.tar",
    open_archive,
    recognises,
    order=20,
)
