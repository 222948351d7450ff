"""Guests on a real engine: an image of this machine's programs, and one run of it. A test imports the fixtures it wants."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from scanner.runtime.sinkhole.guest import Ended, Guest, Limits, Pause
from scanner.runtime.sinkhole.sweep import LABEL, sweep
from scanner.runtime.sinkhole.withheld import Settings
from scanner.sources.engine import connect
from tests import host_image
from tests.engine_fixture import Engine, missing

__all__ = ["Ground", "ground", "swept"]

PROGRAMS = ("sh", "bash", "sleep", "cat", "head", "yes", "ls", "id", "rm", "git")
VOLUME = "/data"
CHANGES = [
    f"VOLUME {VOLUME}",
    "ENV GREETING=hello",
    "WORKDIR /work",
    'CMD ["sh", "-c", "echo $GREETING from $(id -u)"]',
]


@dataclass(frozen=True)
class Ground:
    """An engine with an image to run."""

    engine: Engine
    image: str

    @property
    def client(self) -> Any:
        return self.engine.client

    def left(self) -> list[str]:
        """What observations have left at the engine: containers and volumes."""
        chosen = {"label": LABEL}
        found = self.client.containers.list(all=True, filters=chosen, ignore_removed=True)
        return [c.name for c in found] + [v.name for v in self.client.volumes.list(filters=chosen)]

    def run(self, *command: str, settings: Settings | None = None, **limits: Any) -> Ended:
        """One run of the image in a pause's namespaces, with no network but lo; nothing is left of it."""
        with ExitStack() as stack:
            client, endpoint = connect("", "", stack)
            inspected = client.api.inspect_image(self.image)  # type: ignore[no-untyped-call]
            chosen = settings or Settings()
            within = stack.enter_context(Pause(client, endpoint, chosen))
            guest = stack.enter_context(Guest(within, inspected, chosen, Limits(**{"seconds": 30, **limits}), command))
            return guest.run()


def swept(ground: Ground) -> None:
    """Sweeps as starts do, until nothing is left to sweep: what an observer had asked for when it was killed, the engine may still make."""
    clean, end = time.monotonic(), time.monotonic() + 60
    while time.monotonic() < clean + 2:
        if sweep(ground.client, "the engine"):
            clean = time.monotonic()
        assert clean < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def ground(engine: Engine) -> Iterator[Ground]:
    if os.geteuid() != 0:
        missing("root, to observe a guest")
    name = f"sandscan-guest-{os.getpid()}"
    api = engine.client.api
    api.import_image_from_data(host_image.tree(PROGRAMS), name, "1", changes=CHANGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.host)
        yield Ground(engine, f"{name}:1")
    engine.client.images.remove(f"{name}:1", force=True)
