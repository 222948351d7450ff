"""Which distribution package owns a path: dpkg's and apk's databases, read from the image's own layers.

Formats: dpkg's info/PACKAGE.list (one absolute path a line), distroless status.d/PACKAGE.md5sums, apk's installed file
(records of `P:` package, `F:` folder, `R:` file).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from scanner.errors import ScannerError


class Packages:
    """Asked rarely, so read at the first question only. What a later layer writes replaces an earlier layer's file."""

    def __init__(self, kept: Sequence[Callable[[], Mapping[bytes, bytes]]]) -> None:
        self._kept = kept

    @property
    def known(self) -> bool:
        """Whether the image has a package database that can be read here."""
        return bool(self._owners)

    def owner(self, path: bytes) -> str | None:
        """The package that lists the path, under its name before or after the merge of /usr; None if none does."""
        found = self._owners.get(path)
        if found is None and path.startswith(b"usr/"):
            found = self._owners.get(path[4:])
        return found

    @cached_property
    def _owners(self) -> dict[bytes, str]:
        files: dict[bytes, bytes] = {}
        for kept in self._kept:
            try:
                files.update(kept())
            except ScannerError:  # a damaged cache: ownership is only ever supporting evidence
                continue
        owners: dict[bytes, str] = {}
        for path, content in sorted(files.items()):
            if path == b"lib/apk/db/installed":
                owners.update(_apk(content))
            elif path.endswith(b".list"):
                package = path.rpartition(b"/")[2][: -len(b".list")].partition(b":")[0].decode("utf-8", "replace")
                owners.update((line.lstrip(b"/"), package) for line in content.split(b"\n") if line)
            elif path.endswith(b".md5sums"):
                package = path.rpartition(b"/")[2][: -len(b".md5sums")].decode("utf-8", "replace")
                owners.update((line[34:], package) for line in content.split(b"\n") if len(line) > 34)
        return owners


def _apk(content: bytes) -> dict[bytes, str]:
    owners: dict[bytes, str] = {}
    package, folder = "", b""
    for line in content.split(b"\n"):
        key, value = line[:2], line[2:]
        if key == b"P:":
            package = value.decode("utf-8", "replace")
        elif key == b"F:":
            folder = value
        elif key == b"R:":
            owners[folder + b"/" + value if folder else value] = package
    return owners
