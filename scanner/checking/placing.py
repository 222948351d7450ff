"""Where a repository's files lie in the images built from it: what COPY says, and folders that are written like a root.

Where no Compose file says it, the build's context is taken to be the folder, from the Dockerfile's own up to the repository's root, that has
the most of the sources that its COPYs name; the nearest of equals. What a context's `.dockerignore` leaves out lies in no image.
"""

import posixpath
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache, cached_property

from scanner.checking.builds import Build, Copy, Stage
from scanner.checking.ignoring import Ignores

PLACED = 200_000
"""Files that the COPYs of one image place."""
ABOVE = 16
"""Folders above a Dockerfile that may be its context."""
SOURCES = 100
"""Sources of one Dockerfile that are asked which context they have."""
_ROOT = re.compile(
    r"(?P<root>(?:.*/)?(?:rootfs|root|overlay|fs|image|files|skel|chroot|includes\.chroot|filesystem))/"
    r"(?P<path>(?:etc|usr|var|root|home|opt|lib|srv|bin|sbin)/.+)"
)


@dataclass(frozen=True)
class Tree:
    """The names of a repository's files, sorted, and what is kept out of contexts among them."""

    names: tuple[str, ...]
    ignores: Ignores = field(default_factory=lambda: Ignores({}, []))

    @cached_property
    def last_parts(self) -> frozenset[str]:
        """What the files are called, whatever folder they lie in."""
        return frozenset(posixpath.basename(name) for name in self.names)

    def has(self, name: str) -> bool:
        at = bisect_left(self.names, name)
        return at < len(self.names) and self.names[at] == name

    def below(self, folder: str) -> Iterator[str]:
        """The files in a folder and in the folders in it; "" is the root."""
        prefix = f"{folder}/" if folder else ""
        for at in range(bisect_left(self.names, prefix), len(self.names)):
            if not self.names[at].startswith(prefix):
                return
            yield self.names[at]

    def found(self, contexts: Sequence[str], source: str) -> tuple[str, tuple[str, ...]]:
        """What a source of COPY names: the first context that has any such files and folders, and those; of none, the likeliest one."""
        some = ((context, named) for context in contexts if (named := self.within(context, source)))
        return next(some, (contexts[0], ()))

    def within(self, context: str, source: str) -> tuple[str, ...]:
        """The same in one context; a source that leads out of it is taken for one at its root, as the builder does."""
        wanted = posixpath.normpath("/" + source.lstrip("/")).lstrip("/")
        whole = posixpath.join(context, wanted) if wanted else context
        if any(c in wanted for c in "*?["):
            return tuple(self._matching(context, whole))
        return (whole,) if self.has(whole) or next(self.below(whole), None) is not None else ()

    def _matching(self, context: str, pattern: str) -> Iterator[str]:
        """Files and folders by a pattern of Go's filepath.Match: `*` stays within a part."""
        parts = pattern.split("/")
        seen: dict[str, None] = {}
        for name in self.below(context):
            own = name.split("/")
            if len(own) >= len(parts) and all(_part(p).match(o) for p, o in zip(parts, own, strict=False)):
                seen.setdefault("/".join(own[: len(parts)]))
                if len(seen) > PLACED:
                    return
        yield from seen


@cache
def _part(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def contexts(build: Build, tree: Tree) -> tuple[str, ...]:
    """Folders that may be the build's context, the likeliest first."""
    if build.context is not None:
        return (build.context,)
    folders = [posixpath.dirname(build.file)]
    while folders[-1] and len(folders) < ABOVE:
        folders.append(posixpath.dirname(folders[-1]))
    named = {s for stage in build.stages for c in (*stage.copies, *stage.mounts) if c.stage is None for s in c.sources}
    sources = [s for s in sorted(named) if posixpath.normpath(s.lstrip("/") or ".") not in (".", "*")][:SOURCES]
    if not sources and not any(name != build.file for name in tree.below(folders[0])):
        return (*folders[1:], folders[0])  # it lies there alone: there is nothing to be copied
    return tuple(sorted(folders, key=lambda folder: -sum(bool(tree.within(folder, s)) for s in sources)))


def placed(build: Build, stage: Stage, tree: Tree, wanted: Callable[[str], bool]) -> tuple[dict[str, str], bool]:
    """Paths in the stage's image (without leading slash) to the repository's files that lie there, as far as they are
    `wanted`; and whether all were told."""
    return _lying((c for index in stage.lineage for c in build.stages[index].copies), build, tree, wanted)


def seen(build: Build, stage: Stage, tree: Tree, wanted: Callable[[str], bool]) -> dict[str, str]:
    """The same of what the stage's RUNs find, mounts among it."""
    mounted, _ = _lying(stage.mounts, build, tree, wanted)
    return {**placed(build, stage, tree, wanted)[0], **mounted}


def _lying(
    copies: Iterable[Copy], build: Build, tree: Tree, wanted: Callable[[str], bool]
) -> tuple[dict[str, str], bool]:
    made: dict[str, str] = {}
    looked = 0
    places = contexts(build, tree)
    for copy in (c for c in copies if c.stage is None):
        for context, target, name in _copied(copy, places, tree):
            looked += 1
            if looked > PLACED:
                return made, False
            if wanted(target) and not tree.ignores.leaves_out(context, build.file, name):
                made[target] = name
    return made, True


def named(build: Build, places: Sequence[str], tree: Tree, source: str) -> tuple[str | None, bool]:
    """The one file of the repository that a source of COPY names, None for none or many; and whether nothing that it names can get into the
    context."""
    context, found = tree.found(places, source)
    meant = found or (posixpath.join(context, posixpath.normpath("/" + source).strip("/")),)
    left_out = all(tree.ignores.leaves_out(context, build.file, name, all_below=True) for name in meant)
    return found[0] if len(found) == 1 and tree.has(found[0]) and not left_out else None, left_out


def _copied(copy: Copy, places: Sequence[str], tree: Tree) -> Iterator[tuple[str, str, str]]:
    """(context, path in the image, name) of each file that a COPY would take if nothing were left out."""
    target = copy.target.strip("/")
    for source in copy.sources:
        context, found = tree.found(places, source)
        several = copy.is_folder or len(found) > 1
        for one in found:
            if tree.has(one):
                yield context, (_joined(target, posixpath.basename(one)) if several else target), one
            else:
                for name in tree.below(one):
                    yield context, _joined(target, name[len(one) :].lstrip("/")), name


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def roots(tree: Tree) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Folders that are written like a root, such as `docker/rootfs`: their files as (path in the root, name)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in tree.names:
        if matched := _ROOT.fullmatch(name):
            found.setdefault(matched["root"], []).append((matched["path"], name))
    return found
