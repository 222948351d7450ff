"""sandscan's command line for tests that ask for it often: every command in a process of its own, forked from one that has loaded all."""

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.forking import Forking


@cache
def _server() -> Forking:
    server = Forking().__enter__()
    atexit.register(server.__exit__)
    return server


@cache
def _cache() -> str:
    """One for all commands: a layer that many scan is read once."""
    folder = tempfile.mkdtemp(prefix="sandscan-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SANDSCAN_CACHE_DIR": _cache(), **environment}
    return _server().completed([*map(str, arguments)], cwd, env)
