"""Runs are compared on a real engine whose image is made of this machine's own programs."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import host_image
from tests.engine_fixture import Engine, program, started_engine

PROGRAMS = "sh cat chmod chown cp dd ln mkdir mkfifo mount mv rm sleep touch truncate setcap unshare".split()
IMAGE = "toolbox:1"
FILES = {
    "etc/cron.d/job": (0o644, b"# nothing\n"),
    "etc/ssh/sshd_config": (0o644, b"PermitRootLogin no\n"),
    "work/a": (0o644, b"aaaa"),
    "work/b": (0o755, b"#!/bin/sh\n"),
    "work/deep/er/c": (0o644, b"c\n"),
    "data/kept": (0o644, b"of the image\n"),
    "data/edited": (0o644, b"of the image\n"),
}


@dataclass(frozen=True)
class Docker:
    """The command line, at an engine of our own."""

    engine: Engine

    def __call__(self, *words: str | Path) -> str:
        done = subprocess.run(
            [program("docker"), "-H", self.engine.host, *words], capture_output=True, check=False, text=True, timeout=60
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.strip()

    def run(self, name: str, script: str, *options: str, image: str = IMAGE) -> None:
        """A container that does that and has ended."""
        self("run", "--name", name, "--network", "none", *options, image, "/bin/sh", "-ec", script)

    def keep(self, name: str, script: str, *options: str) -> None:
        """A container that has done that and goes on; its /ready comes last."""
        self(
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "none",
            *options,
            IMAGE,
            "/bin/sh",
            "-ec",
            f"{script}\ntouch /ready; sleep 600",
        )
        self(
            "exec",
            name,
            "/bin/sh",
            "-c",
            "i=0; while [ ! -e /ready ]; do i=$((i+1)); [ $i -lt 400 ] || exit 1; sleep 0.05; done",
        )


@pytest.fixture(scope="module")
def toolbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    tar = tmp_path_factory.mktemp("image") / "image.tar"
    tar.write_bytes(host_image.tree(PROGRAMS, FILES, python=False))
    with started_engine() as engine:
        docker = Docker(engine)
        docker("import", tar, IMAGE)
        yield docker


@pytest.fixture
def docker(toolbox: Docker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Docker]:
    """The engine, found by DOCKER_HOST; without containers afterwards."""
    monkeypatch.setenv("DOCKER_HOST", toolbox.engine.host)
    yield toolbox
    if names := toolbox("ps", "-aq").split():
        toolbox("rm", "-fv", *names)
