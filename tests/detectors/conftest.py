"""Detectors driven without the engine: rules over the bytes given, every detector's inspect, then every judge."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from scanner.content import Content
from scanner.content.worker import Worker
from scanner.model import Evidence, Finding, Image, ImageConfig, Kept, Layer, Limits, Means, Notification, State, Target
from scanner.oci.filesystem import Filesystem
from scanner.oci.packages import Packages
from scanner.oci.table import DIRECTORY, FILE, SYMLINK, WHITEOUT, EntryTable
from scanner.oci.view import ImageView, Sighting
from scanner.plugins import plugins
from scanner.ruleset import Ruleset, load


@dataclass(frozen=True, slots=True)
class File:
    """A file with a mode or an owner that matters."""

    data: bytes
    mode: int = 0o644
    uid: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory with a mode or an owner that matters."""

    mode: int = 0o755
    uid: int = 0


Files = Mapping[str, "bytes | File | Link | Folder"]
Detect = Callable[..., list[Finding]]
Judge = Callable[..., list["Finding | Means | Notification"]]


@pytest.fixture(scope="session")
def ruleset() -> Ruleset:
    return load()


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    worker = Worker(Limits())
    yield worker
    worker.close()


@pytest.fixture(scope="session")
def look(ruleset: Ruleset, worker: Worker) -> Callable[..., list[Evidence | Kept | Notification]]:
    """What every detector sees in one file; `path!/inner` is a member of an archive."""

    def inspect(path: str, data: bytes, mode: int = 0o644) -> list[Evidence | Kept | Notification]:
        outer, *inner = path.encode().split(b"!/")
        matches = ruleset.match(data, seconds=60, path=path.encode()).matches
        content = Content(
            path=outer, data=memoryview(data), inner=tuple(inner), matches=matches, worker=worker, mode=mode
        )
        behaviours = {m.rule.behaviour for m in matches}
        found: list[Evidence | Kept | Notification] = []
        for detector in plugins("scanner.detectors"):
            wants = detector.wants
            named = any(re.search(p, content.name) for p in wants.paths)
            if behaviours & set(wants.behaviours) or named or (wants.magics and data.startswith(wants.magics)):
                found += (item for item in detector.inspect(content) if item not in found)
        return found

    return inspect


@pytest.fixture(scope="session")
def judge(look: Callable[..., list[Evidence | Kept | Notification]]) -> Judge:
    """All that is said of an image of these layers, in one list.

    `gone` maps a path to the layer that deleted it, `owners` to its package; a None removes a path. `versions` are those
    of packages in dpkg's status.
    """
    kept_paths = re.compile(b"|".join(b"(?:" + p + b")" for d in plugins("scanner.detectors") for p in d.wants.keeps))

    def run(
        *layers: Files,
        config: ImageConfig | None = None,
        gone: Mapping[str, int] | None = None,
        owners: Mapping[str, str] | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> list[Finding | Means | Notification]:
        placed = tuple(Layer(i, f"sha256:{i:064x}", f"RUN step {i}") for i in range(len(layers)))
        sightings: list[Sighting] = []
        said: list[Finding | Means | Notification] = []
        tables, kept = [EntryTable() for _ in layers], [dict[bytes, bytes]() for _ in layers]
        for layer, files, table, documents in zip(placed, layers, tables, kept, strict=True):
            offset = 0
            for path, value in files.items():
                raw = path.encode()
                if value is None:
                    table.add(raw, WHITEOUT, 0, 0, 0, 0, offset, 0)
                elif isinstance(value, Link):
                    table.add(raw, SYMLINK, 0o777, 0, 0, 0, offset, 0, value.target.encode())
                elif isinstance(value, Folder):
                    table.add(raw, DIRECTORY, value.mode, value.uid, 0, 0, offset, 0)
                if value is None or isinstance(value, Link | Folder):
                    continue
                file = value if isinstance(value, File) else File(value)
                if "!/" not in path:
                    table.add(raw, FILE, file.mode, file.uid, 0, 0, offset, len(file.data))
                    offset += len(file.data)
                    if kept_paths.search(raw):
                        documents[raw] = file.data
                hidden = (gone or {}).get(path)
                if hidden is None:
                    hidden = next(
                        (i for i, f in enumerate(layers) if i > layer.index and f.get(path, b"") is None), None
                    )
                state = State.VISIBLE if hidden is None else State.DELETED
                for item in look(path, file.data, file.mode):
                    if isinstance(item, Evidence):
                        sightings.append(Sighting(item, layer, state, hidden, file.mode))
                    elif isinstance(item, Kept):
                        documents[item.path] = item.data
                    else:
                        said.append(item)
        if kept:
            lists: dict[str, list[str]] = {}
            for path, package in (owners or {}).items():
                lists.setdefault(package, []).append(path)
            for package, paths in lists.items():
                kept[0][f"var/lib/dpkg/info/{package}.list".encode()] = "".join(f"/{p}\n" for p in paths).encode()
            known = {**dict.fromkeys(lists, "1.0"), **(versions or {})}
            if known:
                kept[0][b"var/lib/dpkg/status"] = "".join(
                    f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n"
                    for name, version in known.items()
                ).encode()
        loaders = [lambda d=d: d for d in kept]
        view = ImageView(
            target=Target("rootfs", "t", "t"),
            image=Image(None, "linux/amd64", None, config or ImageConfig(), placed),
            sightings=tuple(sightings),
            packages=Packages(loaders),
            files=Filesystem(placed, [lambda t=t: t for t in tables], loaders),
        )
        return [*said, *(item for detector in plugins("scanner.detectors") for item in detector.judge(view))]

    return run


@pytest.fixture(scope="session")
def detect(judge: Judge) -> Detect:
    """The findings alone."""

    def run(*layers: Files, **given: object) -> list[Finding]:
        return [item for item in judge(*layers, **given) if isinstance(item, Finding)]

    return run
