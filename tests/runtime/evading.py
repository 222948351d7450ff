"""An engine with an image that holds `evader.py`, and what a run of it shows. A test imports the fixtures it wants."""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from fixtures import miners
from fixtures.elf import build
from fixtures.wallet import monero
from scanner.model import FileLocation, Finding, ProcessLocation, Report
from scanner.model.run import Attempt, Process, Run
from scanner.reports.json import load
from tests import host_image
from tests.engine_fixture import Engine, missing, program, started_engine

IMAGE = "evader:1"
MINER = "/opt/weights.bin"
_PROGRAMS = ("sh", "sleep", "ssh", "cat")
_SCRIPT = b"#!/bin/sh\n# tells the harness how it went\nexit 0\n"


def image() -> bytes:
    """Its file system; `twin` is a second name of a file of its own."""
    text = (Path(__file__).parent / "evader.py").read_text()
    text = text.replace("WALLET", monero("evader")).replace('"MINER"', repr(MINER))
    files = {
        "evade": (0o644, text.encode()),
        MINER[1:]: (0o644, build(replace(miners.XMRIG, symbols=(), waits=True))),
        "usr/local/bin/report": (0o755, _SCRIPT),
        "usr/local/bin/first": (0o755, _SCRIPT),
    }
    made = io.BytesIO(host_image.tree(_PROGRAMS, files))
    with tarfile.open(fileobj=made, mode="a", format=tarfile.GNU_FORMAT) as tar:
        twin = tarfile.TarInfo("usr/local/bin/twin")
        twin.type, twin.linkname = tarfile.LNKTYPE, "usr/local/bin/first"
        twin.mode, twin.mtime = 0o755, 1_700_000_000  # of the file that both name
        tar.addfile(twin)
    return made.getvalue()


@dataclass(frozen=True)
class Ground:
    """An engine in a network namespace of its own, from which nothing leads to the machine's."""

    engine: Engine

    @property
    def client(self) -> Any:
        return self.engine.client

    @property
    def pid(self) -> int:
        """The engine's own process."""
        assert self.engine.process is not None
        return self.engine.process.pid

    @property
    def within(self) -> tuple[str, ...]:
        """What leads a command into the engine's network namespace."""
        return program("nsenter"), "-t", str(self.pid), "-n"

    def sandscan(self, command: str, *words: str, seconds: float = 120) -> "Shown":
        """The command's report, through JSON."""
        done = subprocess.run(
            [*self.within, sys.executable, "-m", "scanner.cli", command, "-o", "json", "--quiet", *words],
            env={**os.environ, "DOCKER_HOST": self.engine.host},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode in (0, 1, 3), done.stderr.decode()
        assert done.stdout, done.stderr.decode()
        return Shown(load(done.stdout.decode()), done.returncode)

    def observe(self, *steps: str, options: tuple[str, ...] = ()) -> "Shown":
        return self.sandscan("observe", *options, IMAGE, "--", "python3", "/evade", "all", *steps)


@dataclass(frozen=True)
class Shown:
    """A report, and the guest's own word on each step."""

    report: Report
    code: int

    @property
    def run(self) -> Run:
        assert self.report.run is not None
        return self.report.run

    @cached_property
    def told(self) -> dict[str, Any]:
        return heard(self.run.output)

    @cached_property
    def steps(self) -> Mapping[int, str]:
        """The step that each process is of: its own words, or those of whoever started it."""
        found: dict[int, str] = {}
        for process in self.run.processes:
            own = step_of(process)
            if own is not None:
                found[process.pid] = own
            elif process.parent in found:
                found[process.pid] = found[process.parent]
        return found

    def processes(self, step: str) -> list[Process]:
        return [p for p in self.run.processes if self.steps.get(p.pid) == step]

    def attempts(self, step: str) -> list[Attempt]:
        """What its processes tried, but for a cache of names that every program of this C library asks for."""
        return [
            a
            for a in self.run.attempts
            if a.pid is not None and self.steps.get(a.pid) == step and "nscd" not in a.target.address
        ]

    def findings(self, step: str, *rules: str) -> list[Finding]:
        """What is told of its processes."""
        return [
            f
            for f in self.report.findings
            if (f.rule_id in rules or not rules)
            and any(
                isinstance(at, ProcessLocation) and at.pid is not None and self.steps.get(at.pid) == step
                for at in f.locations
            )
        ]

    def files(self, rule: str) -> set[bytes]:
        """The files that a rule names."""
        places = [f.locations[0] for f in self.report.findings_of(rule)]
        return {at.path for at in places if isinstance(at, FileLocation)}

    def says(self, words: str) -> list[str]:
        """The notifications with those words."""
        return [n.message for n in self.report.notifications if words in n.message]


def step_of(process: Process) -> str | None:
    words = process.command
    if words[:3] == ("python3", "/evade", "do"):
        return words[3].partition(" ")[0]
    if words[:1] == ("ssh",):  # stays, when the step that started it is over
        return "ssh_443" if "2443:localhost:22" in words else "ssh_in_tls"
    return None


def heard(output: bytes) -> dict[str, Any]:
    """What the steps said of themselves."""
    told = {}
    for line in output.splitlines():
        if line.startswith(b'{"step"'):
            said = json.loads(line)
            told[said["step"]] = said["told"]
    return told


def until(container: Any, *steps: str) -> dict[str, Any]:
    """Wait until a container's steps have said what came of them."""
    end = time.monotonic() + 40
    while True:
        told = heard(container.logs())
        if set(steps) <= set(told):
            return told
        assert time.monotonic() < end, container.logs().decode()
        time.sleep(0.1)


def until_output(container: Any, what: bytes) -> None:
    end = time.monotonic() + 40
    while what not in container.logs():
        assert time.monotonic() < end, container.logs().decode()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    if os.geteuid() != 0:
        missing("root, to observe a guest")
    with started_engine(apart=True) as engine:
        name, _, tag = IMAGE.partition(":")
        engine.client.api.import_image_from_data(image(), name, tag)
        yield Ground(engine)
