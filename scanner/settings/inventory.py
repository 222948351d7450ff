"""What a repository builds and launches, from the names and kinds of its files and the `build:` of its Compose files: enough to begin
with."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scanner.errors import ScannerError
from scanner.launch.compose import OVERRIDES

MOST = 20
"""Builds and launches that are taken; whoever has more writes them down."""
_ELSEWHERE = frozenset(
    ("test", "tests", "testdata", "fixtures", "example", "examples", "node_modules", "vendor", "third_party", "docs")
)
"""Folders whose Dockerfiles and launch files are samples, or somebody else's."""
_PLAIN = re.compile(r"(?!.*\.\.)[A-Za-z0-9.][A-Za-z0-9._/-]{0,199}")


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


def is_plain(name: str) -> bool:
    """Whether a name means itself in a shell, in YAML and in an expression of GitHub's."""
    return _PLAIN.fullmatch(name) is not None


def look(
    root: Path, names: Iterable[str], kinds: Mapping[str, str], together: Iterable[tuple[str, ...]], called: str
) -> Inventory:
    """What files of a repository, by their names from its root, build and launch. `kinds` are the formats of launch files, `together` those
    that make one launch, `called` names an image that nothing else names."""
    own = list(filter(is_own, names))
    dockerfiles = [name for name in own if _is_dockerfile(PurePosixPath(name).name)]
    left_out = [name for name in (*dockerfiles, *kinds) if not is_plain(name)]
    builds: list[Built] = []
    for name, kind in sorted(kinds.items()):
        if kind == "compose" and is_plain(name):
            builds += (one for one in _composed(root, name) if one.dockerfile in dockerfiles)
    for name in dockerfiles:
        if all(one.dockerfile != name for one in builds):
            builds.append(Built(_image_of(name, called), name, posixpath.dirname(name) or "."))
    built = [one for one in _apart(builds) if is_plain(one.dockerfile) and is_plain(one.context)]
    launches = [Launched(_called(files, kinds[files[-1]]), files) for files in together]
    left_out += [one.dockerfile for one in built[MOST:]] + [name for one in launches[MOST:] for name in one.files]
    return Inventory(tuple(built[:MOST]), tuple(launches[:MOST]), tuple(dict.fromkeys(left_out)))


def _called(files: Sequence[str], kind: str) -> str:
    """What a launch is called: manifests by their folder, a Compose project by its first file, what goes on top of one by its own."""
    if kind == "kubernetes" and len(files) > 1:
        return posixpath.dirname(files[0]) or "manifests"
    return files[0] if PurePosixPath(files[-1]).name in OVERRIDES else files[-1]


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
    """The builds of a Compose file's services (compose-spec, build.md) that say where they are without variables; none of a file that cannot
    be read, for sandscan egress says what is wrong with it."""
    from scanner.launch.document import read_yaml
    from scanner.launch.nearby import small_text

    try:
        documents = list(read_yaml(small_text(root, name) or "", name))
    except ScannerError:
        return
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
