"""The files that an Include of sshd_config(5) or ssh_config(5) names, looked up in the image's root and nowhere else."""

from collections.abc import Callable, Sequence

from scanner.model import Level, Notification, printable
from scanner.oci.view import ImageView
from scanner.ssh.source import Source

INCLUDED = 256
"""Files that one pattern may bring."""


def including(
    view: ImageView, of: bytes, whose: str, notes: list[Notification], home: bytes = b"root"
) -> Callable[[bytes], Sequence[Source]]:
    """What the parsers ask for a pattern; `of` is the file that includes, `whose` the program's, `home` what `~` means.

    What is not read is a warning in `notes`.
    """

    def include(pattern: bytes) -> list[Source]:
        if pattern.startswith(b"~"):
            pattern = home + b"/" + pattern.partition(b"/")[2]
        sources: list[Source] = []
        for path in view.files.glob(pattern):
            file = view.files.read(path)
            if file is None:
                continue
            if len(sources) == INCLUDED:
                what = f"Include {printable(pattern, 120)} names more than {INCLUDED} files: the rest were not read"
                notes.append(Notification("detector", Level.WARNING, what, of))
                break
            if file.data is None:
                what = f"is included by {whose}'s configuration and was not read"
                notes.append(Notification("detector", Level.WARNING, what, file.path, layer=file.layer.index))
                continue
            sources.append(Source(path, file.data))
        return sources

    return include
