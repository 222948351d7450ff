"""Cases of the table, built by a real builder and scanned; whoever compares runs it by hand on other engines too."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scanner.model import Finding, Report, SourceLine
from scanner.tracing import scan_image
from tests.engine_fixture import missing
from tests.host_image import tree
from tests.tracing.table import BASE_2, BUILDKIT, CLASSIC, Case

PROGRAMS = ("sh", "cat", "mkdir", "cp", "mv", "chmod", "rm", "true")


@dataclass(frozen=True)
class Builder:
    """A command line that builds, and the engine it speaks to. `heredocs`: its BuildKit knows them."""

    docker: str
    host: str
    config: Path
    heredocs: bool

    def run(self, *words: str | Path, buildkit: bool = False, stdin: bytes | None = None) -> bytes:
        env = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_CONFIG": str(self.config)}
        env["DOCKER_BUILDKIT"] = str(int(buildkit))
        done = subprocess.run([self.docker, *words], env=env, input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, (words, done.stdout.decode()[-2000:], done.stderr.decode()[-2000:])
        return done.stdout

    def built(self, folder: Path, dockerfile: str, tag: str, kind: str, *options: str) -> None:
        file = folder / dockerfile
        self.run("build", "--network=none", "-q", "-t", tag, "-f", file, *options, folder, buildkit=kind == BUILDKIT)


@contextmanager
def builder(host: str, docker: str | None = None, config: Path | None = None) -> Iterator[Builder]:
    """With the base images of the table. Ends the test where no command line builds with BuildKit."""
    with tempfile.TemporaryDirectory() as empty:
        found = docker or _client(empty)
        if found is None:
            missing("a docker command line that builds with BuildKit")
        assert found is not None
        made = Builder(found, host, config or Path(empty), False)
        version = made.run("version", "--format", "{{.Server.Version}}").decode()
        made = Builder(found, host, config or Path(empty), int(version.split(".")[0]) >= 23)
        made.run("import", "-", "base:1", stdin=tree(PROGRAMS, python=False))
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "Dockerfile").write_text(BASE_2)
            made.built(Path(folder), "Dockerfile", "base:2", CLASSIC)
        yield made


def _client(config: str) -> str | None:
    """The first docker on PATH that has BuildKit's client in it: newer ones want a plug-in for that."""
    env = {**os.environ, "DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": config}
    for folder in [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin"]:
        docker = shutil.which("docker", path=folder)
        if (
            docker
            and not subprocess.run([docker, "build", "--help"], env=env, capture_output=True, check=False).returncode
        ):
            return docker
    return None


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def scanned(made: Builder, case: Case, kind: str, folder: Path, *options: str) -> Report:
    """The case, built, and scanned with what its user has. The image is gone afterwards."""
    write(folder, {case.path: case.built, **case.files})
    (folder / ".git").mkdir()
    tag = f"case-{case.name.lower().replace(' ', '-')}:{kind}"
    made.built(folder, case.path, tag, kind, *case.options, *options)
    if case.dockerfile is not None:
        write(folder, {case.path: case.dockerfile})
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = made.host
    try:
        return scan_image(f"docker:{tag}", dockerfile=folder / case.path, cache=False)
    finally:
        os.environ.pop("DOCKER_HOST")
        if before is not None:
            os.environ["DOCKER_HOST"] = before
        made.run("rmi", "-f", tag)


@dataclass(frozen=True)
class Verdict:
    """One planted finding: what was expected, what was said. `right`: the line is in what was shown."""

    case: str
    place: str
    expected: str
    source: SourceLine | None
    right: bool
    doubted: bool

    @property
    def wrong(self) -> bool:
        """A line that is not the right one, or cannot be known, shown as certain."""
        return self.source is not None and self.source.certain and (not self.right or self.doubted)


def verdicts(case: Case, report: Report, folder: Path) -> list[Verdict]:
    """One for each planted place; a place without a finding is a mistake of the table."""
    made = []
    for place, expected in case.lines.items():
        at = _at(report.findings, place)
        assert at, (case.name, place, [f.locations[0].display for f in report.findings])
        for source in {f.source for f in at}:
            right = source is None and not expected
            if expected and source is not None:
                file, word = expected.split("@", 1)
                text = (folder / file).read_text()
                line = text.count("\n", 0, text.index(word) + (word[0] == "\n")) + 1
                # a file's own line is known to the line, an instruction as a whole
                shown = source.line <= line <= source.end_line if file == case.path else source.line == line
                right = source.file == file and shown
            made.append(Verdict(case.name, place, expected, source, right, place in case.doubted))
    return made


def _at(findings: Sequence[Finding], place: str) -> list[Finding]:
    return [f for f in findings if f.locations[0].display.partition(b"[")[0] == place.encode()]
