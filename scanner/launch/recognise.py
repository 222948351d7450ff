"""What a launch file is, known by its content, and how what a user names becomes one launch.

A directory is read as its own tool would read it: a Compose project, else a development container, else every manifest in it.
"""

import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from scanner.errors import LimitError, ParseError, ScannerError, TargetError, UsageError
from scanner.launch.nearby import LARGEST, decoded, file_text
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.model import Launch, Level, Notification, printable

FILES = 50_000
"""Entries of a directory that are looked at, folders within counted."""
BYTES = 512 << 20
"""Of all manifests of a directory together."""
NAMED = 100
"""Files that are no launch files and are named one by one; the rest are counted."""
_MANIFESTS = (".yaml", ".yml", ".json", ".toml")
_FIRST = ("kubernetes", "inspect_k8s", "compose", "devcontainer", "docker_inspect")
_LAST = ("docker_run",)
"""Modules that are asked before and after the rest: the most particular first, shell text last."""
_STDIN = "standard input"
TASK = "task.toml"
"""A Harbor task's file, beside the folder `environment`."""


@cache
def _modules() -> tuple[str, ...]:
    """The package's modules in the order in which their formats are asked."""
    found = sorted(m.name for m in iter_modules(import_module("scanner.launch").__path__) if m.name != "recognise")
    rest = [name for name in found if name not in _FIRST + _LAST]
    return (*(n for n in _FIRST if n in found), *rest, *(n for n in _LAST if n in found))


@cache
def _format(module: str) -> Format | None:
    found = getattr(import_module(f"scanner.launch.{module}"), "FORMAT", None)
    return found if isinstance(found, Format) else None


def formats() -> Iterator[Format]:
    """Every format, each module of the package loaded when it is its turn: its FORMAT, if it has one."""
    return (found for name in _modules() if (found := _format(name)) is not None)


def format_of(given: Input) -> Format | None:
    """The format that the text is in; None if it is in none."""
    return next((f for f in formats() if f.recognises(given)), None)


def open_launch(paths: Sequence[str], options: ReadOptions, runner: str | None = None) -> Launch:
    """The launch that files or one directory make together; `-` is standard input. `runner` is who runs it.

    Raises TargetError (nothing there, or nothing in it), ParseError (broken or of no known format, with line and column),
    LimitError, UsageError (files that do not belong together).
    """
    if not paths or "" in paths:
        raise UsageError("no launch file was named")
    folder = Path(paths[0])
    if len(paths) == 1 and paths[0] != "-" and folder.is_dir():
        launch = _directory(paths[0], folder, options)
    else:
        inputs: list[Input] = []
        notes: list[Notification] = []
        for path in paths:
            if path != "-" and Path(path).is_dir():
                inputs += (one for one, kind in _manifests(path, Path(path), notes) if kind is not None)
            else:
                inputs.append(_input(path))
        launch = _together(inputs, options)
        launch = replace(launch, notifications=(*launch.notifications, *notes))
    return _run_by(launch, options, runner)


def read_inputs(inputs: Sequence[Input], options: ReadOptions, runner: str | None = None) -> Launch:
    """The same for texts that are read already (a live container's description)."""
    return _run_by(_together(inputs, options), options, runner)


def _run_by(launch: Launch, options: ReadOptions, runner: str | None) -> Launch:
    if runner is None:
        return launch
    from scanner.launch.runners import apply

    return apply(launch, runner, options)


def _input(path: str) -> Input:
    if path == "-":
        return Input(_STDIN, decoded(sys.stdin.buffer.read(LARGEST + 1), _STDIN))
    return Input(path, file_text(Path(path), path), Path(path))


# ---- files that were named


def _together(inputs: Sequence[Input], options: ReadOptions) -> Launch:
    groups: dict[str, tuple[Format, list[Input]]] = {}
    for one in inputs:
        kind = format_of(one)
        if kind is None:
            raise _unrecognised(one)
        groups.setdefault(kind.name, (kind, []))[1].append(one)
    if len(groups) == 1:
        [(kind, group)] = groups.values()
        return kind.read(group, options)
    if len(groups) == 2 and "docker-inspect" in groups:
        _, inspected = groups.pop("docker-inspect")
        [(kind, group)] = groups.values()
        joined = _with_networks(kind.read(group, options), inspected)
        if joined is not None:
            return joined
        groups["docker-inspect"] = (format_of(inspected[0]) or kind, inspected)
    said = "; ".join(
        f"{', '.join(printable(i.name) for i in group[:5])}{', …' if len(group) > 5 else ''}: {kind.summary}"
        for kind, group in groups.values()
    )
    raise UsageError(f"these files do not make one launch ({said}). Look at each kind by itself.")


def _with_networks(launch: Launch, inspected: Sequence[Input]) -> Launch | None:
    """The launch, its external networks as the engine tells of them; None if the engine tells of containers too."""
    from scanner.launch.docker_inspect import networks_alone

    told = networks_alone(inspected)
    if told is None:
        return None
    by_name = {n.name or n.key: n for n in told}
    networks = tuple(
        replace(by_name[n.name or n.key], key=n.key)
        if (n.external or n.key == "bridge") and (n.name or n.key) in by_name
        else n
        for n in launch.networks
    )
    return replace(launch, files=(*launch.files, *(i.name for i in inspected)), networks=networks)


def _unrecognised(one: Input) -> ScannerError:
    """Why no format takes the text: it is broken, or of another kind."""
    broken = _broken(one)
    if broken is not None:
        return broken
    known = "; ".join(f.summary for f in formats())
    return ParseError(f"{printable(one.name)}:1:1: this is no launch file that is known. Known are: {known}")


def _broken(one: Input) -> ScannerError | None:
    """What is wrong with a document that cannot be read; None where it can, or was none to begin with."""
    suffix = one.path.suffix.lower() if one.path is not None else ""
    if suffix == ".toml":
        from scanner.launch.tomltext import read_toml

        try:
            read_toml(one.text, one.name)
        except (ParseError, LimitError) as e:
            return e
        return None
    looks = suffix in _MANIFESTS or re.search(r"\A\s*[\[{]|^[\w\"'.-]+:(?:\s|$)", one.text[: 1 << 16], re.MULTILINE)
    if not looks:
        return None
    try:
        _ = one.documents
    except (ParseError, LimitError) as e:
        return e
    return None


# ---- a directory


def _directory(name: str, folder: Path, options: ReadOptions) -> Launch:
    from scanner.launch import compose, devcontainer, harbor

    project = compose.read_project(folder, options)
    if project is not None:
        return project
    for inner in (".devcontainer/devcontainer.json", ".devcontainer.json"):
        if (folder / inner).is_file():
            return devcontainer.FORMAT.read([_input(_under(name, inner))], options)
    several = sorted(p.relative_to(folder) for p in folder.glob(".devcontainer/*/devcontainer.json") if p.is_file())
    if several:
        return devcontainer.FORMAT.read([_input(_under(name, str(p))) for p in several[:NAMED]], options)
    if (folder / TASK).is_file() and (folder / "environment").is_dir():
        task = _input(_under(name, TASK))
        if harbor.FORMAT.recognises(task):
            return harbor.FORMAT.read([task], options)
    notes: list[Notification] = []
    groups: dict[str, tuple[Format, list[Input]]] = {}
    for one, kind in _manifests(name, folder, notes):
        if kind is not None:
            groups.setdefault(kind.name, (kind, []))[1].append(one)
    if not groups:
        raise _nothing(name, notes)
    _leave_to_tasks(groups)
    if "kubernetes" in groups:
        for kind, group in groups.values():
            if kind.name != "kubernetes":
                for one in group[:NAMED]:
                    message = f"{printable(one.name)} is no manifest ({kind.summary}); look at it by itself"
                    notes.append(Notification("launch", Level.NOTE, message, os.fsencode(one.name)))
        groups = {"kubernetes": groups["kubernetes"]}
    launch = _one_of(name, groups, options)
    return replace(launch, notifications=(*launch.notifications, *notes))


def _leave_to_tasks(groups: dict[str, tuple[Format, list[Input]]]) -> None:
    """What lies in the folder of a Harbor task is the task's: its environment, or data for the agent."""
    if "harbor" not in groups:
        return
    tasks = {one.path.parent for one in groups["harbor"][1] if one.path is not None}
    for kind, (form, group) in list(groups.items()):
        if kind != "harbor":
            left = [one for one in group if one.path is None or tasks.isdisjoint(one.path.parents)]
            if left:
                groups[kind] = (form, left)
            else:
                del groups[kind]


def _one_of(name: str, groups: dict[str, tuple[Format, list[Input]]], options: ReadOptions) -> Launch:
    if len(groups) > 1:
        return _together([one for _, group in groups.values() for one in group], options)
    [(kind, group)] = groups.values()
    if kind.name != "compose":
        return kind.read(group, options)
    from scanner.launch import compose

    folders = sorted({one.path.parent for one in group if one.path is not None})
    if len(folders) > 1:
        shown = ", ".join(printable(str(f)) for f in folders[:10])
        raise UsageError(f"{printable(name)} holds Compose projects in several folders; name one of {shown}")
    project = compose.read_project(folders[0], options) if str(folders[0]) != name else None
    if project is None and len(group) > 1:
        shown = ", ".join(printable(one.name) for one in group[:10])
        raise UsageError(f"{printable(name)} holds several Compose files; name those that belong together: {shown}")
    return project if project is not None else kind.read(group, options)


def _nothing(name: str, notes: Sequence[Notification]) -> TargetError:
    broken = next((n.message for n in notes if n.level is Level.ERROR), None)
    why = f"; {broken}" if broken is not None else ""
    return TargetError(
        f"{printable(name)}: there is no launch file in this directory: no Compose project, no devcontainer.json, no manifest{why}"
    )


def _manifests(name: str, folder: Path, notes: list[Notification]) -> Iterator[tuple[Input, Format | None]]:
    """Every manifest below the folder with its format, None where it has none; what was not read goes to the notes."""
    unknown = seen = size = 0
    for shown, path in _walk(name, folder, notes):
        seen += 1
        try:
            size += path.stat().st_size
            if size > BYTES:
                raise LimitError(f"{printable(name)} holds more than {BYTES >> 20} MiB of manifests; name a part of it")
            one = Input(shown, file_text(path, shown), path)
        except (TargetError, ParseError, OSError) as e:
            notes.append(Notification("launch", Level.ERROR, str(e), os.fsencode(shown)))
            continue
        kind = format_of(one)
        if kind is None:
            broken = _broken(one)
            if broken is not None:
                notes.append(Notification("launch", Level.ERROR, str(broken), os.fsencode(shown)))
                continue
            unknown += 1
            if unknown <= NAMED:
                notes.append(
                    Notification(
                        "launch", Level.NOTE, f"{printable(shown)} is no launch file that is known", os.fsencode(shown)
                    )
                )
        yield one, kind
    if unknown > NAMED:
        more = unknown - NAMED
        notes.append(
            Notification(
                "launch", Level.NOTE, f"{more} more files of {printable(name)} are no launch files", count=more
            )
        )


def _walk(name: str, folder: Path, notes: list[Notification]) -> Iterator[tuple[str, Path]]:
    """The manifests below a folder, in the order of their names. Links that leave it are told, not followed."""
    real = folder.resolve()
    count = 0

    def unreadable(error: OSError) -> None:
        where = error.filename or name
        message = f"{printable(where)} cannot be read: {error.strerror}"
        notes.append(Notification("launch", Level.ERROR, message, os.fsencode(where)))

    for at, folders, files in os.walk(folder, onerror=unreadable, followlinks=False):
        inner = os.path.relpath(at, folder)
        folders.sort()
        count += len(folders) + len(files)
        if count > FILES:
            raise LimitError(f"{printable(name)} holds more than {FILES:,} files; name a part of it")
        for one in [*folders, *sorted(files)]:
            path = Path(at, one)
            shown = _under(name, one if inner == "." else f"{inner}/{one}")
            wanted = path.suffix.lower() in _MANIFESTS
            if path.is_symlink():
                target = Path(os.path.realpath(path))
                if not target.is_relative_to(real):
                    if wanted or target.is_dir():
                        message = f"{printable(shown)} is a link that leaves the directory; it was not followed"
                        notes.append(Notification("launch", Level.NOTE, message, os.fsencode(shown)))
                elif wanted and target.is_file() and target.suffix.lower() not in _MANIFESTS:
                    yield shown, target  # the file itself has a name that would not be looked at
            elif one in files and wanted and stat.S_ISREG(path.lstat().st_mode):
                yield shown, path
        folders[:] = [f for f in folders if not f.startswith(".") or f == ".devcontainer"]


def _under(name: str, inner: str) -> str:
    return inner if name in (".", "./") else f"{name.rstrip('/')}/{inner}"
