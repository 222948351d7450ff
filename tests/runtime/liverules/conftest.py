from collections.abc import Iterator

import pytest

from scanner.model import Report
from scanner.runtime.live import LiveOptions, live
from tests.engine_fixture import Engine
from tests.runtime.stage import NAME, Stage, staged


@pytest.fixture(scope="session")
def stage(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(engine, tmp_path_factory.mktemp("stage")) as one:
        yield one


@pytest.fixture(scope="session")
def report(stage: Stage) -> Report:
    """One look at all of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", stage.engine.host)
        return live(NAME, LiveOptions(episode="4711"))
