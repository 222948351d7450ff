"""What a repository builds and launches, from the names and kinds of its files and the `build:` of its Compose files: enough to begin
with."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from scanner.errors import ScannerError
from scanner.launch.compose import NAMES, OVERRIDES

if TYPE_CHECKING:
    from scanner.launch.document import Node

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
class Launched:
    """What is launched together: its name, and its files as paths from the root."""

    name: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """`left_out` are files that are not taken, because of their names or their number."""

    builds: tuple[Built, ...]
    launches: tuple[Launched, ...]
    left_out: tuple[str, ...]


def is_own(name: str) -> bool:
    """Whether a file, by its name from the root, is the repository's own, and no sample or somebody else's."""
    return not _ELSEWHERE & {part.lower() for part in PurePosixPath(name).parts[:-1]}


def look(root: Path, names: Iterable[str], kinds: Mapping[str, str], called: str) -> Inventory:
    """What files of a repository, by their names from its root, build and launch. `kinds` are the formats of launch files, `called`
    names an image that nothing else names."""
    own = list(filter(is_own, names))
    dockerfiles = [name for name in own if _is_dockerfile(PurePosixPath(name).name)]
    # a Compose file that is broken is one by its name: judging it says what is wrong
    kinds = {name: "compose" for name in own if PurePosixPath(name).name in NAMES} | dict(kinds)
    left_out = [name for name in (*dockerfiles, *kinds) if not _PLAIN.fullmatch(name)]
    sound = {name: kind for name, kind in sorted(kinds.items()) if name not in left_out}
    services = {name: _services(root, name) for name, kind in sound.items() if kind == "compose"}
    builds: list[Built] = []
    for name, those in services.items():
        builds += (one for one in _composed(name, those) if one.dockerfile in dockerfiles)
    for name in dockerfiles:
        if all(one.dockerfile != name for one in builds):
            builds.append(Built(_image_of(name, called), name, posixpath.dirname(name) or "."))
    built = [one for one in _apart(builds) if all(map(_PLAIN.fullmatch, (one.dockerfile, one.context)))]
    launches = list(_together(sound, services))
    taken = {name for one in launches[:MOST] for name in one.files}
    left_out += [one.dockerfile for one in built[MOST:]] + [name for name in sound if name not in taken]
    return Inventory(tuple(built[:MOST]), tuple(launches[:MOST]), tuple(dict.fromkeys(left_out)))


def _together(kinds: Mapping[str, str], services: Mapping[str, Sequence[tuple[str, "Node"]]]) -> Iterator[Launched]:
    """The launches: a folder's manifests at once, its Compose files as Compose takes them, every other file by itself."""
    folders: dict[tuple[str, str], list[str]] = {}
    for name, kind in kinds.items():
        folders.setdefault((posixpath.dirname(name), kind), []).append(name)
    for (folder, kind), names in folders.items():
        if kind == "kubernetes" and len(names) > 1:
            yield Launched(folder or "manifests", tuple(names))
        elif kind == "compose":
            yield from _projects(folder, names, services)
        else:
            yield from (Launched(name, (name,)) for name in names)


def _projects(
    folder: str, names: Sequence[str], services: Mapping[str, Sequence[tuple[str, "Node"]]]
) -> Iterator[Launched]:
    """The project, with its override; then each further file, on top of the project if some service of it is made from nothing."""
    main, override = (
        next((path for one in named if (path := posixpath.join(folder, one)) in names), None)
        for named in (NAMES, OVERRIDES)
    )
    project = () if main is None else (main,) if override is None else (main, override)
    if project:
        yield Launched(project[0], project)
    for name in names:
        if name not in project:
            whole = all(any(map(value.get, ("image", "build", "extends"))) for _, value in services[name])
            yield Launched(name, (name,) if whole else (*project[:1], name))


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


def _services(root: Path, name: str) -> list[tuple[str, "Node"]]:
    """The services of a Compose file; none of one that cannot be read, for sandscan egress says what is wrong with it."""
    from scanner.launch.document import read_yaml
    from scanner.launch.nearby import small_text

    text = small_text(root, name)
    try:
        documents = list(read_yaml(text or "", name))
    except ScannerError:
        return []
    services = documents[0].get("services") if documents else None
    return [(service, value) for service, _, value in services.items()] if services is not None else []


def _composed(name: str, services: Sequence[tuple[str, "Node"]]) -> Iterator[Built]:
    """The builds of a Compose file's services (compose-spec, build.md) that say where they are without variables."""
    for service, value in services:
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
