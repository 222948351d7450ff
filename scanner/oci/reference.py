"""Image references: `[host[:port]/]path[:tag][@digest]`, as Docker reads them (distribution/reference, reference.go)."""

import re
from dataclasses import dataclass

from scanner.errors import TargetError
from scanner.model import printable

DEFAULT_REGISTRY = "docker.io"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
LONGEST = 255

_HOST = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference: `registry` is host[:port], `path` whole (`library/debian`), `tag` None only beside a digest."""

    registry: str
    path: str
    tag: str | None
    digest: str | None

    @property
    def repository(self) -> str:
        """The name without tag and digest, as people write it: `debian`, `team/app`, `ghcr.io/team/app`."""
        if self.registry != DEFAULT_REGISTRY:
            return f"{self.registry}/{self.path}"
        return self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path

    @property
    def familiar(self) -> str:
        """All of it, as people write it."""
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """The reference with Docker's defaults filled in. Raises TargetError naming what is wrong with it."""
    rest, at, digest = text.partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise TargetError(f"{printable(text)!r}: {printable(digest)!r} is no digest; write @sha256: and 64 hex digits")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, colon, tag = rest, "", ""
    if colon and not _TAG.fullmatch(tag):
        raise TargetError(f"{printable(text)!r}: {printable(tag)!r} is no tag (letters, digits, _ . -; at most 128)")
    first, slash, path = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        first, path = DEFAULT_REGISTRY, name
    elif first in ("index.docker.io", "registry-1.docker.io"):
        first = DEFAULT_REGISTRY
    if len(first) > LONGEST or not _HOST.fullmatch(first):
        raise TargetError(f"{printable(text)!r}: {printable(first)!r} is no registry's host[:port]")
    if len(path) > LONGEST or not path or not all(_COMPONENT.fullmatch(c) for c in path.split("/")):
        hint = "; names are lower case" if path != path.lower() else ""
        raise TargetError(
            f"{printable(text)!r} is no image name: {printable(path)!r} does not fit [host/]name[:tag]{hint}"
        )
    if first == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    return Reference(first, path, tag or (None if digest else "latest"), digest or None)


def repository_of(name: str) -> str:
    """The part of a name that outlives a rebuild; the name itself where it is no reference."""
    try:
        return parse(name).repository
    except TargetError:
        return name
