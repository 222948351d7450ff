"""The launch files of a repository: which belong together, and what each launch lets its sandboxes reach."""

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.errors import LimitError, ScannerError
from scanner.model import Finding, LaunchLocation, Level, Location, Notification, Rule, printable

if TYPE_CHECKING:
    from scanner.launch.plugin import Input

SUFFIXES = (".yaml", ".yml", ".json", ".toml")
LAUNCHES = 500
"""Launches of one repository that are judged."""
_NEVER = frozenset(
    {
        "package.json",
        "package-lock.json",
        "tsconfig.json",
        "pyproject.toml",
        "Cargo.toml",
        "Cargo.lock",
        "composer.json",
    }
)
"""Names of other tools, whose files are many and large."""
_DEVCONTAINER = "devcontainer"


@dataclass(frozen=True, slots=True)
class Judged:
    """What the launches come to. `names` are the files that were taken for launch files."""

    findings: tuple[Finding, ...]
    notes: tuple[Notification, ...]
    rules: tuple[Rule, ...]
    names: tuple[str, ...]
    sandboxes: int


@dataclass(frozen=True, slots=True)
class Group:
    """What makes one launch: `paths` as `egress` takes them (a folder for a Compose project), the `names` of its files in the repository,
    `about` the file that stands for them."""

    paths: tuple[str, ...]
    names: tuple[str, ...]
    about: str


def is_candidate(name: str) -> bool:
    """Whether a file may be a launch file, by its name: shell text that starts containers is judged by `egress`, not here."""
    return name.lower().endswith(SUFFIXES) and posixpath.basename(name) not in _NEVER


def unread(name: str, why: str, data: bytes = b"") -> Notification:
    """Says that a candidate was not looked at: a warning where it is a launch file by its name, or YAML in UTF-16, which docker and
    kubectl read (YAML 1.2, 5.2); of all other data that nobody launches a note."""
    from scanner.launch.compose import NAMES, OVERRIDES

    base = posixpath.basename(name)
    matters = base in (*NAMES, *OVERRIDES, "devcontainer.json", ".devcontainer.json")
    matters = matters or (base.lower().endswith((".yaml", ".yml")) and data.startswith((b"\xff\xfe", b"\xfe\xff")))
    level = Level.WARNING if matters else Level.NOTE
    return Notification("source", level, f"{why}: not looked at as a launch file", os.fsencode(name))


def judge(texts: Mapping[str, tuple[Path, bytes]]) -> Judged:
    """Every launch in the files, by name. One that cannot be read is a notification, and the others are judged all the same."""
    kinds = recognised(texts)
    findings: dict[tuple[object, ...], Finding] = {}
    notes: list[Notification] = []
    sandboxes = 0
    templates = {name: chart for name in kinds if (chart := chart_of(name, texts)) is not None}
    for chart in sorted(set(templates.values())):
        message = "a chart, whose templates are no manifests yet: render it (`helm template`) and have that looked at"
        notes.append(Notification("launch", Level.NOTE, message, os.fsencode(chart)))
    kinds = {name: kind for name, kind in kinds.items() if name not in templates}
    if not kinds:
        return Judged((), tuple(notes), (), (), 0)
    from scanner.egress.findings import RULES
    from scanner.egressing import EgressOptions, judge_launch

    by_path = {str(path): name for name, (path, _) in texts.items()}
    for number, group in enumerate(groups(kinds, texts)):
        if number == LAUNCHES:
            message = f"more than {LAUNCHES} launches: the rest were not judged; name a part of the repository"
            notes.append(Notification("launch", Level.WARNING, message))
            break
        try:
            report = judge_launch(group.paths, EgressOptions(cuts=False))
        except ScannerError as e:
            where = os.fsencode(group.about)
            notes.append(Notification("launch", Level.WARNING, _named(printable(str(e)), by_path), where))
            continue
        sandboxes += len(report.egress.sandboxes) if report.egress is not None else 0
        notes += (_note(note, by_path, group.about) for note in report.notifications)
        for one in report.findings:
            found = replace(one, locations=tuple(_placed(place, by_path) for place in one.locations))
            first = found.locations[0]
            line = first.line if isinstance(first, LaunchLocation) else 0
            findings.setdefault((found.rule_id, first.display, line, found.message), found)
    return Judged(tuple(findings.values()), tuple(notes), RULES, tuple(sorted(kinds)), sandboxes)


def recognised(texts: Mapping[str, tuple[Path, bytes]]) -> dict[str, str]:
    """The format, by name, of each text that one recognises; a repository is full of others."""
    from scanner.checking.texts import Text
    from scanner.launch.compose import NAMES, OVERRIDES
    from scanner.launch.recognise import format_of

    found: dict[str, str] = {}
    for name, (path, data) in texts.items():
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            continue
        given = Text(name, text, path)
        kind = format_of(given)
        if kind is not None and kind.name != "docker-run" and not _networks_alone(kind.name, given):
            found[name] = kind.name
        elif kind is None and posixpath.basename(name) in (*NAMES, *OVERRIDES) and _is_broken(given):
            found[name] = "compose"  # by its name it is one, and reading it says what is wrong
    return found


def chart_of(name: str, texts: Mapping[str, tuple[Path, bytes]]) -> str | None:
    """The Chart.yaml of the Helm chart that a file is a template of; None for any other file, and for one that holds nothing to be put in."""
    parts = name.split("/")
    if b"{{" not in texts[name][1]:
        return None
    folders = ("/".join((*parts[:at], "Chart.yaml")) for at, part in enumerate(parts[:-1]) if part == "templates")
    return next((chart for chart in folders if chart in texts), None)


def _networks_alone(kind: str, given: "Input") -> bool:
    """What the engine tells of networks is no launch without a container on them."""
    if kind != "docker-inspect":
        return False
    from scanner.launch.docker_inspect import networks_alone

    try:
        return networks_alone([given]) is not None
    except ScannerError:
        return False


def _is_broken(given: "Input") -> bool:
    try:
        _ = given.documents
    except ScannerError:
        return True
    return False


def groups(kinds: Mapping[str, str], texts: Mapping[str, tuple[Path, bytes]]) -> Iterator[Group]:
    """A folder's manifests at once, its Compose files as Compose takes them, every other file by itself."""
    folders: dict[tuple[str, str], list[str]] = {}
    for name, kind in sorted(kinds.items()):
        folders.setdefault((posixpath.dirname(name), kind), []).append(name)
    for (_, kind), names in folders.items():
        if kind == "kubernetes":
            yield Group(tuple(str(texts[name][0]) for name in names), tuple(names), names[0])
        elif kind == "compose":
            yield from _projects(names, texts)
        else:
            yield from (Group((str(texts[name][0]),), (name,), name) for name in names)


def _projects(names: Sequence[str], texts: Mapping[str, tuple[Path, bytes]]) -> Iterator[Group]:
    """A folder's project as docker compose takes it, then each further file on top of it: `-f compose.yaml -f compose.prod.yaml`."""
    from scanner.launch.compose import find_project
    from scanner.launch.plugin import ReadOptions

    folder = texts[names[0]][0].parent
    try:
        project = [str(path) for path in find_project(folder, ReadOptions())]
    except (ScannerError, OSError):
        project = []  # reading it says why
    by_path = {str(texts[name][0]): name for name in names}
    own = tuple(by_path[path] for path in project if path in by_path)
    if project:
        yield Group((str(folder),), own, names[0])
    for path, name in by_path.items():
        if path in project:
            continue
        if project and not _whole(texts[name][1]):
            yield Group((project[0], path), (*own[:1], name), name)
        else:
            yield Group((path,), (name,), name)


def _whole(data: bytes) -> bool:
    """Whether a Compose file stands by itself: each service says what it is made from."""
    from scanner.launch.document import read_yaml

    try:
        documents = list(read_yaml(data.decode("utf-8"), ""))
    except (ScannerError, UnicodeDecodeError, LimitError):
        return True
    services = documents[0].get("services") if documents else None
    if services is None:
        return False
    return all(
        v.get("image") is not None or v.get("build") is not None or v.get("extends") is not None
        for _, v in services.pairs or ()
    )


def _placed(place: Location, by_path: Mapping[str, str]) -> Location:
    if isinstance(place, LaunchLocation):
        return replace(place, file=by_path.get(place.file) or by_path.get(os.path.normpath(place.file)) or place.file)
    return place


def _note(note: Notification, by_path: Mapping[str, str], about: str) -> Notification:
    path = (
        os.fsencode(about)
        if note.path is None
        else os.fsencode(by_path.get(os.fsdecode(note.path), os.fsdecode(note.path)))
    )
    return replace(note, path=path, message=_named(note.message, by_path))


def _named(message: str, by_path: Mapping[str, str]) -> str:
    """The message with the files' names in place of the paths by which they were opened."""
    head = message.split(":", 1)[0]
    return by_path[head] + message[len(head) :] if head in by_path else message
