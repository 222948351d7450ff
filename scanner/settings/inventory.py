"""What a repository builds and launches, from the names of its files and the `build:` of its Compose files: enough to begin with."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scanner.errors import ScannerError

COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
DEVCONTAINERS = ("devcontainer.json", ".devcontainer.json")
MOST = 20
"""Builds and launches that are taken; whoever has more writes them down."""
_ELSEWHERE = frozenset(
    ("test", "tests", "testdata", "fixtures", "example", "examples", "node_modules", "vendor", "third_party", "docs")
)
"""Folders whose Dockerfiles and launch files are samples, or somebody else's."""
_PLAIN = re.compile(r"(?!.*\.\.)[A-Za-z0-9.][A-Za-z0-9._/-]{0,199}")
"""Names that mean themselves in a shell, in YAML and in an expression of GitHub's."""


@dataclass(frozen=True, slots=True)
class Built:
    """An image that the repository builds: its name without a tag, the Dockerfile and the context, as paths from the root."""

    image: str
    dockerfile: str
    context: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """`left_out` are files that are not taken, because of their names or their number."""

    builds: tuple[Built, ...]
    launches: tuple[str, ...]
    left_out: tuple[str, ...]


def look(root: Path, names: Iterable[str], called: str) -> Inventory:
    """What files of a repository, by their names from its root, build and launch. `called` names an image that nothing else names."""
    own = [name for name in names if not _ELSEWHERE & {p.lower() for p in PurePosixPath(name).parts[:-1]}]
    dockerfiles = [name for name in own if _is_dockerfile(PurePosixPath(name).name)]
    launches = [name for name in own if PurePosixPath(name).name in (*COMPOSE, *DEVCONTAINERS)]
    left_out = [name for name in (*dockerfiles, *launches) if not _PLAIN.fullmatch(name)]
    builds: list[Built] = []
    for name in launches:
        if PurePosixPath(name).name in COMPOSE and name not in left_out:
            builds += (one for one in _composed(root, name) if one.dockerfile in dockerfiles)
    for name in dockerfiles:
        if all(one.dockerfile != name for one in builds):
            builds.append(Built(_image_of(name, called), name, posixpath.dirname(name) or "."))
    sound = [one for one in _apart(builds) if all(map(_PLAIN.fullmatch, (one.dockerfile, one.context)))]
    taken = [name for name in launches if name not in left_out]
    left_out += [one.dockerfile for one in sound[MOST:]] + taken[MOST:]
    return Inventory(tuple(sound[:MOST]), tuple(taken[:MOST]), tuple(dict.fromkeys(left_out)))


def _is_dockerfile(name: str) -> bool:
    return (
        re.fullmatch(r"(?:Docker|Container)file(?:\.(?!dockerignore$).+)?|.+\.[Dd]ockerfile", name, re.DOTALL)
        is not None
    )


def _image_of(dockerfile: str, called: str) -> str:
    """`agent` for agent.Dockerfile, Dockerfile.agent and agent/Dockerfile; the repository's name for its own."""
    path = PurePosixPath(dockerfile)
    stem, _, end = path.name.rpartition(".")
    own = stem if end.lower() == "dockerfile" else end if stem else ""
    return _word(own or path.parent.name or called)


def _word(text: str) -> str:
    """The text as a name of an image (distribution/reference: lower case, single separators within)."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:100] or "image"


def _apart(builds: Sequence[Built]) -> Iterator[Built]:
    """Each build once, each under a name of its own."""
    seen: set[tuple[str, str]] = set()
    names: set[str] = set()
    for one in builds:
        if (one.dockerfile, one.context) in seen:
            continue
        seen.add((one.dockerfile, one.context))
        name, number = one.image, 1
        while name in names:
            number += 1
            name = f"{one.image}-{number}"
        names.add(name)
        yield Built(name, one.dockerfile, one.context)


def _composed(root: Path, name: str) -> Iterator[Built]:
    """The builds of a Compose file's services (compose-spec, build.md) that say where they are without variables."""
    from scanner.launch.document import read_yaml
    from scanner.launch.nearby import small_text

    text = small_text(root, name)
    if text is None:
        return
    try:
        documents = list(read_yaml(text, name))
    except ScannerError:
        return  # sandscan egress says what is wrong with it
    services = documents[0].get("services") if documents else None
    for service, _, value in services.items() if services is not None else ():
        build = value.get("build")
        if build is None:
            continue
        context = build.text if build.text is not None else (build.get("context") or build).text
        if build.is_map and build.get("context") is None:
            context = "."
        file = build.get("dockerfile")
        folder = _within(posixpath.dirname(name), context or "")
        if folder is None or (file is not None and file.text is None):
            continue
        dockerfile = _within(folder, file.text if file is not None and file.text else "Dockerfile")
        if dockerfile is not None:
            image = value.get("image")
            called = image.text if image is not None and image.text else service
            yield Built(_repository(called) or _word(service), dockerfile, folder)


def _within(folder: str, path: str) -> str | None:
    """The path from the root; None where it leads out of it, or is no path of it."""
    if not path or path.startswith("/") or "$" in path or ":" in path:
        return None
    whole = posixpath.normpath(posixpath.join(folder, path))
    return None if whole.startswith("../") or whole == ".." else whole


def _repository(image: str) -> str | None:
    """The image's name without tag and digest, as fingerprints have it; None where it is no plain name."""
    from scanner.oci.reference import repository_of

    name = repository_of(image)
    return name if re.fullmatch(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", name) else None
