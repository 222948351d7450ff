"""What is built once for all tests of the packages. No client asks an index: `offline` gives them wheels instead."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging import wheelhouse

DAY = "1767225600"
"""SOURCE_DATE_EPOCH: what is built then has the time of no machine in it."""


@dataclass(frozen=True)
class Built:
    """The files that `uv build` makes: the sdist from the tree, and the wheel from the sdist."""

    sdist: Path
    wheel: Path


def build(tree: Path, output: Path, *options: str) -> Built:
    """Both, or with `--wheel` the wheel of the tree itself."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": DAY}
    command = [wheelhouse.UV, *"build --quiet --offline --out-dir".split(), output, *options]
    subprocess.run(command, cwd=tree, env=environment, check=True)
    [wheel] = output.glob("*.whl")
    return Built(next(output.glob("*.tar.gz"), wheel), wheel)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(wheelhouse.ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels: what sandscan needs to run, and to be built."""
    return wheelhouse.made(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="session")
def offline(wheels: Path) -> dict[str, str]:
    """The environment in which pip, uv and pipx know these wheels and nothing else."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PIPX_", "PYTHON"))
    }
    # Python compiles what is run, a small part of what pip would compile; 0 is what pip takes for yes where an option says no
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_COMPILE": "0"}
    uv = {"UV_OFFLINE": "1", "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_NO_CONFIG": "1"}
    return {**kept, **pip, **uv, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
