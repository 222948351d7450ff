"""Detectors driven without the engine: rules over the bytes given, every detector's inspect, then every judge."""

import re
from collections.abc import Callable, Iterator, Mapping

import pytest

from scanner.content import Content
from scanner.content.worker import Worker
from scanner.model import Evidence, Finding, Image, ImageConfig, Layer, Limits, Notification, State, Target
from scanner.oci.packages import Packages
from scanner.oci.view import ImageView, Sighting
from scanner.plugins import plugins
from scanner.ruleset import Ruleset, load

Files = Mapping[str, bytes]
Detect = Callable[..., list[Finding]]


@pytest.fixture(scope="session")
def ruleset() -> Ruleset:
    return load()


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    worker = Worker(Limits())
    yield worker
    worker.close()


@pytest.fixture(scope="session")
def look(ruleset: Ruleset, worker: Worker) -> Callable[..., list[Evidence | Notification]]:
    """What every detector sees in one file; `path!/inner` is a member of an archive."""

    def inspect(path: str, data: bytes) -> list[Evidence | Notification]:
        outer, *inner = path.encode().split(b"!/")
        matches = ruleset.match(data, seconds=60, path=path.encode()).matches
        content = Content(path=outer, data=memoryview(data), inner=tuple(inner), matches=matches, worker=worker)
        behaviours = {m.rule.behaviour for m in matches}
        found: list[Evidence | Notification] = []
        for detector in plugins("scanner.detectors"):
            wants = detector.wants
            named = any(re.search(p, content.name) for p in wants.paths)
            if behaviours & set(wants.behaviours) or named or (wants.magics and data.startswith(wants.magics)):
                found += detector.inspect(content)
        return found

    return inspect


@pytest.fixture(scope="session")
def detect(look: Callable[..., list[Evidence | Notification]]) -> Detect:
    """The findings on an image of these layers; `gone` maps a path to the layer that deleted it, `owners` to its package."""

    def run(
        *layers: Files,
        config: ImageConfig | None = None,
        gone: Mapping[str, int] | None = None,
        owners: Mapping[str, str] | None = None,
    ) -> list[Finding]:
        placed = tuple(Layer(i, f"sha256:{i:064x}", f"RUN step {i}") for i in range(len(layers)))
        sightings = []
        for layer, files in zip(placed, layers, strict=True):
            for path, data in files.items():
                hidden = (gone or {}).get(path)
                state = State.VISIBLE if hidden is None else State.DELETED
                sightings += [Sighting(e, layer, state, hidden) for e in look(path, data) if isinstance(e, Evidence)]
        databases = {
            f"var/lib/dpkg/info/{package}.list".encode(): f"/{path}\n".encode()
            for path, package in (owners or {}).items()
        }
        view = ImageView(
            target=Target("rootfs", "t", "t"),
            image=Image(None, "linux/amd64", None, config or ImageConfig(), placed),
            sightings=tuple(sightings),
            packages=Packages([lambda: databases]),
        )
        return [finding for detector in plugins("scanner.detectors") for finding in detector.judge(view)]

    return run
