"""The builds that Compose files ask for: which Dockerfile, under whatever name, in which folder, with which arguments, up to which stage.

Reference: the Compose Build Specification. What is not in the repository (a context by URL, a folder above it) is a note; a project that
cannot be read at all is told where its launch is judged.
"""

import os
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.checking import builds, launches
from scanner.checking.builds import Build
from scanner.checking.placing import Tree
from scanner.dockerfile import Dockerfile
from scanner.dockerfile.expansion import PROXIES
from scanner.errors import LimitError, ParseError, ScannerError
from scanner.model import Finding, LaunchLocation, Level, Location, Notification, printable

if TYPE_CHECKING:
    from scanner.launch.composing.tree import Tree as Value
    from scanner.launch.plugin import Input

BUILDS = 500
"""Builds of a repository's Compose files that are followed."""
TEXT = 2 << 20
"""Characters of Dockerfiles that are read again because they are built in more than one way; and of all inline ones."""
_MAY_BUILD = re.compile(
    rb"""(?m)^[ \t]*["']?build["']?[ \t]*:|[{,][ \t]*["']?build["']?[ \t]*:|<<[ \t]*:|extends|include"""
)
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|git@|github\.com/|[\w.-]+@[\w.-]+:|service:")


@dataclass(frozen=True, slots=True)
class Asked:
    """A build: `dockerfile` is its file in the repository, `inline` its text where it stands in the Compose file, from `line` of `file` on.
    `is_literal`: each line of it is one of that file, below `line`; else all are taken to stand on `line`."""

    file: str
    line: int
    context: str
    dockerfile: str
    arguments: Mapping[str, str]
    target: str | None
    inline: str | None = None
    is_literal: bool = False

    def place(self, line: int) -> int:
        """The line of the Compose file on which a line of the inline Dockerfile stands."""
        return self.line + line if self.is_literal else self.line


def asked(texts: Mapping[str, tuple[Path, bytes]], tree: Tree, notes: list[Notification]) -> list[Asked]:
    """The builds of all Compose files among the texts (path and content by name), each once."""
    some = {name: text for name, text in texts.items() if b"services" in text[1] and _MAY_BUILD.search(text[1])}
    if not some:
        return []
    from scanner.checking.texts import Text
    from scanner.launch.compose import find_project, project_of, recognises
    from scanner.launch.plugin import Input, ReadOptions

    by_path = {os.path.normpath(path): name for name, (path, _) in texts.items()}
    given: dict[str, Text] = {}
    for name, (path, data) in some.items():
        text = Text(str(path), data.decode("utf-8", "replace"), path)
        if recognises(text):
            given[name] = text
    found: dict[tuple[object, ...], Asked] = {}
    left = TEXT
    for group in launches.groups(dict.fromkeys(given, "compose"), texts):
        try:
            files = [p for path in group.paths for p in (find_project(Path(path), ReadOptions()) or (Path(path),))]
            names = [by_path[os.path.normpath(path)] for path in files if os.path.normpath(path) in by_path]
            inputs: list[Input] = [given.get(name) or _input(texts[name]) for name in names]
            services = project_of(inputs, ReadOptions()).group("services") if inputs else {}
        except ScannerError:
            continue  # judging the launch says why
        for service, value in services.items():
            build = value.get("build")
            if build is None:
                continue
            one = _of(service, build, names[0], by_path, texts, tree, notes)
            if one is not None:
                key = (one.context, one.dockerfile, one.inline, one.target, tuple(sorted(one.arguments.items())))
                found.setdefault(key, one)
            left -= len(one.inline or "") if one is not None else 0
            if len(found) >= BUILDS or left < 0:
                notes.append(_too_many())
                return list(found.values())
    return list(found.values())


def _too_many() -> Notification:
    message = f"more builds by Compose files than are looked at ({BUILDS}, of {TEXT >> 20} MiB): name a part of the repository"
    return Notification("source", Level.WARNING, message)


def _input(text: tuple[Path, bytes]) -> "Input":
    from scanner.launch.plugin import Input

    return Input(str(text[0]), text[1].decode("utf-8", "replace"), text[0])


def _of(
    service: str,
    build: "Value",
    first: str,
    by_path: Mapping[str, str],
    texts: Mapping[str, tuple[Path, bytes]],
    tree: Tree,
    notes: list[Notification],
) -> Asked | None:
    """A service's build; None, and a note, where it leads out of the repository."""
    file = by_path.get(os.path.normpath(build.node.file), first)

    def note(about: "Value", why: str) -> None:
        where = by_path.get(os.path.normpath(about.node.file), first)
        message = f"line {about.place.line or 1}: {why}: what {printable(service, 80)} builds of it is not looked at"
        notes.append(Notification("source", Level.NOTE, message, os.fsencode(where)))

    context_said, dockerfile, inline = (build.get(key) for key in ("context", "dockerfile", "dockerfile_inline"))
    context = _folder(context_said, first, by_path, texts) if context_said is not None else posixpath.dirname(first)
    if context is None:
        assert context_said is not None
        note(context_said, f"{printable(context_said.string(), 120)} is no folder of this repository")
        return None
    other = build.get("additional_contexts")
    if other is not None:
        note(other, "additional contexts are not followed")
    target = build.get("target")
    target_name = target.string() if target is not None and not target.unknown else None
    arguments = dict(_arguments(build))
    if inline is not None:
        line = inline.node.line
        at = f"{file}!/dockerfile_inline of {printable(service, 80)}"
        is_literal = _is_literal(inline, texts.get(file))
        return Asked(file, line, context, at, arguments, target_name, inline.string(), is_literal)
    said = dockerfile.string() if dockerfile is not None else "Dockerfile"
    where = dockerfile if dockerfile is not None else build
    name = None if where.unknown and dockerfile is not None else _within(context, said)
    if name is None or not tree.has(name):
        note(where, f"{printable(said, 120)} is no file of this repository")
        return None
    return Asked(file, where.place.line or 1, context, name, arguments, target_name or None)


def _folder(
    said: "Value", first: str, by_path: Mapping[str, str], texts: Mapping[str, tuple[Path, bytes]]
) -> str | None:
    """The folder of the repository that a context names; None for any other."""
    text = said.string()
    if said.unknown or _ELSEWHERE.match(text) or text.startswith("~"):
        return None
    file = by_path.get(os.path.normpath(said.node.file), first)
    if text.startswith("/"):
        text = os.path.relpath(text, os.path.abspath(texts[file][0].parent))  # noqa: PTH100 - resolves no link
    return _within(posixpath.dirname(file), text)


def _within(folder: str, path: str) -> str | None:
    name = posixpath.normpath(posixpath.join(folder, path))
    if name == ".." or name.startswith(("../", "/")):
        return None
    return "" if name == "." else name


def _arguments(build: "Value") -> Iterator[tuple[str, str]]:
    """The arguments whose value is known: one without a value is that of whoever builds."""
    given = build.get("args")
    if given is None:
        return
    for name, value in given.pairs():
        if not value.unknown and value.text is not None and not value.is_null:
            yield name, value.string()
    for one in given.items or ():
        name, sign, text = one.string().partition("=")
        if sign and not one.unknown:
            yield name, text


def _is_literal(inline: "Value", text: tuple[Path, bytes] | None) -> bool:
    """Whether the lines of a scalar stand in the file one by one, as those of a `|` do."""
    lines = text[1].decode("utf-8", "replace").split("\n") if text is not None else []
    said = (inline.node.text or "").rstrip("\n").split("\n")
    below = lines[inline.node.line : inline.node.line + len(said)]
    return len(below) == len(said) and all(a.strip() == b.strip() for a, b in zip(below, said, strict=True))


# ---- what they come to


def made(
    file: Dockerfile, text: str, by_name: bool, some: Iterable[Asked], notes: list[Notification]
) -> Iterator[Build]:
    """The builds of one Dockerfile: as it stands, if it is one by its name, and as Compose files ask for it where that differs."""
    declared = _declared(file)
    known: list[tuple[str | None, Mapping[str, str], str | None]] = []
    some, left = list(some), TEXT
    contexts = {one.context for one in some}
    if by_name:
        context = contexts.pop() if len(contexts) == 1 else None
        known.append((context, {}, None))
        try:
            yield builds.read(file, text, context)
        except LimitError as e:
            notes.append(Notification("source", Level.WARNING, str(e), os.fsencode(file.name)))
            return
    for one in some:
        arguments = {k: v for k, v in one.arguments.items() if k in declared}
        target = None if one.target in (None, "", file.stages[-1].name, str(len(file.stages) - 1)) else one.target
        if (one.context, arguments, target) in known:
            continue
        known.append((one.context, arguments, target))
        left -= len(text) if len(known) > 1 else 0
        if left < 0:
            notes.append(_too_many())
            return
        try:
            yield builds.read(file, text, one.context, arguments, target)
        except (ParseError, LimitError) as e:
            message = f"line {one.line}: {printable(str(e))}: what it builds is not looked at"
            level = Level.WARNING if isinstance(e, LimitError) else Level.NOTE
            notes.append(Notification("source", level, message, os.fsencode(one.file)))


def _declared(file: Dockerfile) -> Collection[str]:
    """The arguments that can change what it builds."""
    said = (*file.arguments, *(i for stage in file.stages for i in stage.instructions if i.keyword == "ARG"))
    return {word.partition("=")[0] for one in said for word in one.words} | {*PROXIES, *map(str.lower, PROXIES)}


def placed(findings: Iterable[Finding], some: Sequence[Asked]) -> Iterator[Finding]:
    """The findings, those in inline Dockerfiles at their lines of the Compose file."""
    inline = {one.dockerfile: one for one in some if one.inline is not None}

    def moved(place: Location) -> Location:
        one = inline.get(place.file) if isinstance(place, LaunchLocation) else None
        return (
            place
            if one is None or not isinstance(place, LaunchLocation)
            else LaunchLocation(one.file, one.place(place.line))
        )

    for finding in findings:
        if not inline or not any(isinstance(p, LaunchLocation) and p.file in inline for p in finding.locations):
            yield finding
            continue
        evidence = []
        for e in finding.evidence:
            one = inline.get(os.fsdecode(e.path))
            evidence.append(e if one is None else replace(e, path=os.fsencode(one.file), line=one.place(e.line or 1)))
        places = tuple(dict.fromkeys(map(moved, finding.locations)))
        source, first = finding.source, places[0]
        if source is not None and isinstance(first, LaunchLocation):
            source = replace(source, file=first.file, line=first.line, end_line=first.line)
        yield replace(finding, locations=places, evidence=tuple(evidence), source=source)


def told(notes: Iterable[Notification], some: Sequence[Asked]) -> Iterator[Notification]:
    """The notifications, those about inline Dockerfiles about their Compose file."""
    inline = {os.fsencode(one.dockerfile): one for one in some if one.inline is not None}
    for note in notes:
        one = inline.get(note.path) if note.path is not None else None
        yield (
            note
            if one is None
            else replace(
                note, path=os.fsencode(one.file), message=f"dockerfile_inline on line {one.line}: {note.message}"
            )
        )
