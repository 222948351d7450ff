"""Which file of the repository a COPY or ADD brought to a place in the image.

Format: Dockerfile reference, "ADD or COPY" ("Adding files from the build context", "Destination"), `--parents`, and RUN's `--mount=type=bind`.
"""

import fnmatch
import posixpath
from collections.abc import Iterator, Sequence

from scanner.dockerfile import Dockerfile, Step
from scanner.tracing.history import Expected

MOST_SOURCES = 1_000
"""Sources of one Dockerfile that are looked for in folders that may be its context."""
MOST_ABOVE = 16


def is_from_context(step: Step) -> bool:
    """Whether an instruction is a COPY or ADD that takes files of the build's context."""
    return step.instruction.keyword in ("COPY", "ADD") and step.instruction.flag("from") is None


def taken(path: str, in_image: str, expected: Expected) -> Iterator[str]:
    """The folders that must have been the build's context if a COPY or ADD brought the repository's file to a place (a path from `/`)."""
    step = expected.step
    *sources, to = step.words or ("",)
    # where only the base image knows what a relative path is relative to, the end of the place is all that is known
    is_whole = expected.folder is not None or to.startswith("/")
    to = posixpath.join(expected.folder or "/", to)
    parts = path.split("/")
    parents = step.instruction.flag("parents") is not None
    for source in sources:
        if source.startswith("<<"):
            continue
        for begin, rest in _matches(parts, _clean(source)):
            inner = "/".join(parts[begin:] if parents else rest)
            places = [posixpath.join(to, inner)] if inner else [to, posixpath.join(to, parts[-1])]
            if any(_is_at(in_image, posixpath.normpath(place), is_whole) for place in places):
                yield "/".join(parts[:begin])


def can_have_taken(path: str, in_image: str, expected: Expected) -> bool:
    """Whether an instruction may have brought the file though not all is known of it: from a context that lies elsewhere, to a place that a
    variable names, or through a bind mount that names the file."""
    step = expected.step
    if step.instruction.keyword == "RUN":
        return _mounted(path, step)
    if not is_from_context(step):
        return False
    if next(taken(path, in_image, expected), None) is not None:
        return True
    named = (_clean(source) for source in step.words[:-1] if not source.startswith("<<"))
    return "$" in step.instruction.value and any(_has(path, source) for source in named)


def _mounted(path: str, step: Step) -> bool:
    for name, value in step.flags:
        options = dict(part.partition("=")[::2] for part in value.split(","))
        if name == "mount" and options.get("type", "bind") == "bind" and "from" not in options:
            source = _clean(options.get("source") or options.get("src") or "")
            if _has(path, source):
                return True
    return False


def _has(path: str, source: str) -> bool:
    """Whether a source that is not the whole context is the file, or a folder that it lies in."""
    return bool(source) and next(_matches(path.split("/"), source), None) is not None


def contexts(file: Dockerfile, path: str, names: frozenset[str]) -> frozenset[str]:
    """The folders, from the Dockerfile's own up to the repository's root, that have the most of what its COPYs name: one of them was
    the build's context, unless that lay elsewhere. `names` are all files and folders of the repository."""
    folders = [posixpath.dirname(path)]
    while folders[-1] and len(folders) < MOST_ABOVE:
        folders.append(posixpath.dirname(folders[-1]))
    steps = (
        i for stage in file.stages for i in stage.instructions if i.keyword in ("COPY", "ADD") and not i.flag("from")
    )
    sources = {_clean(word) for i in steps for word in i.words[:-1] if not any(c in word for c in "$*?[<")}
    wanted = sorted(sources - {""})[:MOST_SOURCES]
    have = {folder: sum(posixpath.join(folder, source) in names for source in wanted) for folder in folders}
    return frozenset(folder for folder in folders if have[folder] == max(have.values()))


def _clean(source: str) -> str:
    """A source as a path from the context; empty for all of it."""
    return posixpath.normpath("/" + source.lstrip("/")).lstrip("/")


def _matches(parts: Sequence[str], source: str) -> Iterator[tuple[int, Sequence[str]]]:
    """Where in a file's path the source may stand, as the context may be any folder above it, and what stands behind it."""
    if not source:
        yield from ((begin, parts[begin:]) for begin in range(len(parts)))
        return
    wanted = source.split("/")
    for begin in range(len(parts) - len(wanted) + 1):
        end = begin + len(wanted)
        if all(fnmatch.fnmatchcase(a, b) for a, b in zip(parts[begin:end], wanted, strict=True)):
            yield begin, parts[end:]


def _is_at(in_image: str, place: str, is_whole: bool) -> bool:
    return in_image == place if is_whole else in_image.endswith(place)


def in_stage(path: str, expected: Expected) -> str | None:
    """Where a file that a COPY --from with one source brought lay in the stage, both from `/`; None where that is not clear."""
    if len(expected.step.words) != 2:
        return None
    source, to = expected.step.words
    if not to.startswith("/") and expected.folder is None:
        return None
    source = posixpath.normpath("/" + source.lstrip("/"))
    to = posixpath.normpath(posixpath.join(expected.folder or "/", to))
    if path in (to, posixpath.join(to, posixpath.basename(source))):
        return source
    if path.startswith(to.rstrip("/") + "/"):
        return posixpath.join(source, path[len(to.rstrip("/")) + 1 :])
    return None
