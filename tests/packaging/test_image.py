"""The Dockerfile, built on a real engine without a network, and the image at work: not root, nothing to write to, no network."""

import hashlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import host_image
from tests.engine_fixture import Engine, RegistryServer, program
from tests.packaging.conftest import Built
from tests.packaging.wheelhouse import ROOT

REPLAY = ROOT / "fixtures" / "rome-replay.tar"
MTIME = 1_700_000_000
"""Of the files that host_image.tree is given."""
BASE, OWN = "sandscan-test-base:1", "sandscan-test-own:1"
CONFINED = ("--read-only", "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


def _shared(files: Iterable[Path]) -> set[Path]:
    told = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False).stdout
    return {Path(found) for found in re.findall(r"(/[^\s:]+\.so[^\s:]*) \(0x", told)}


def base() -> bytes:
    """A file system with the Python that runs the tests, its pip, and the libraries that wheels expect of glibc's."""
    python = Path(sys.executable).resolve()
    library, site = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))
    modules = {
        file: str(file)
        for file in library.rglob("*")
        if file.is_file()
        and not set(file.relative_to(library).parts) & {*host_image.LEFT_OUT, "__pycache__"}
        and file.suffix != ".a"
    }
    pip = {file: str(library / file.relative_to(site)) for file in (site / "pip").rglob("*.*") if file.suffix != ".pyc"}
    compiled = dict(one for file, place in {**modules, **pip}.items() for one in _compiled(Path(file), place))
    tools = {program(name): f"/usr/bin/{name}" for name in ("sh", "mkdir")}
    loaded = _shared([python, *map(Path, tools), *(f for f in modules if f.suffix == ".so"), *site.rglob("*.so")])
    outside = {file: str(file) for file in loaded if not file.is_relative_to(sys.prefix)}
    files = {
        place.lstrip("/"): (0o755, Path(file).read_bytes())
        for file, place in {**modules, **pip, **outside, **tools}.items()
    }
    files[str(python).lstrip("/")] = (0o755, python.read_bytes())
    start = f'#!/bin/sh\nexec {python} "$@"\n'.encode()
    return host_image.tree((), {**files, **compiled, "usr/bin/python3": (0o755, start)}, python=False)


def _compiled(file: Path, place: str) -> Iterator[tuple[str, tuple[int, bytes]]]:
    """What Python has compiled of the module, for the time that its file has in the image: else each start would compile anew."""
    cached = Path(importlib.util.cache_from_source(str(file))) if file.suffix == ".py" else file
    if cached != file and cached.is_file() and (data := cached.read_bytes())[4:8] == bytes(4):
        at = Path(place.lstrip("/")).parent / "__pycache__" / cached.name
        yield str(at), (0o644, data[:8] + MTIME.to_bytes(4, "little") + data[12:])


def rehashed(requirements: str, wheels: Path) -> str:
    """The same packages at the hashes of the wheels at hand, which were made here."""
    lines = []
    for file in sorted(wheels.glob("*.whl")):
        name, version = file.name.split("-")[:2]
        if re.search(rf"^{re.sub('[-_.]+', '[-_.]', name)}==", requirements, re.M | re.I):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    return "".join(lines)


def docker(engine: Engine, *arguments: str | Path, **given: Any) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_HOST": engine.host}
    return subprocess.run([program("docker"), *arguments], env=environment, capture_output=True, check=False, **given)


@pytest.fixture(scope="module")
def own(
    engine: Engine, built: Built, wheels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, str]]:
    """The image, built from the sdist; no network for the build, and pip is pointed to wheels in the context."""
    folder = tmp_path_factory.mktemp("context")
    with tarfile.open(built.sdist) as sdist:
        sdist.extractall(folder, filter="data")
    [context] = folder.iterdir()
    for name in ("requirements.txt", "build.txt"):
        file = context / ".github/action" / name
        file.write_text(rehashed(file.read_text(), wheels))
    (context / "wheels").mkdir()
    for wheel in wheels.iterdir():
        (context / "wheels" / wheel.name).hardlink_to(wheel)
    imported = docker(engine, "import", "-", BASE, input=base())
    assert imported.returncode == 0, imported.stderr.decode()
    given = {"BASE": BASE, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "wheels"}
    options = [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
    made = docker(engine, "build", "--network", "none", "--force-rm", *options, "--tag", OWN, context)
    assert made.returncode == 0, (made.stdout + made.stderr).decode()[-3000:]
    yield engine, OWN
    docker(engine, "rmi", "--force", OWN, BASE)


def findings(done: subprocess.CompletedProcess[bytes]) -> set[tuple[str, str]]:
    assert (done.returncode, done.stderr) == (1, b""), done.stderr.decode()
    return {(one["rule_id"], one["fingerprint"]) for one in json.loads(done.stdout)["findings"]}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """What a scan of the replay finds outside of any container."""
    command = [Path(sys.prefix) / "bin/sandscan", "scan", f"archive:{REPLAY}", "--no-cache", "-o", "json"]
    return findings(subprocess.run(command, capture_output=True, check=False, cwd=tmp_path_factory.mktemp("outside")))


def test_it_scans_standard_input_with_nothing_to_write_to(own: tuple[Engine, str], expected: set[tuple[str, str]]):
    engine, image = own
    run = ["run", "--rm", "-i", *CONFINED, image, "scan", "archive:-", "-o", "json"]
    assert findings(docker(engine, *run, input=REPLAY.read_bytes())) == expected


@pytest.mark.parametrize("user", ["65532:65532", "4711:4712"])
def test_it_scans_what_is_mounted_as_whoever_it_is(own: tuple[Engine, str], expected: set[tuple[str, str]], user: str):
    engine, image = own
    mount = f"type=bind,source={REPLAY.parent},target=/work,readonly"
    run = ["run", "--rm", *CONFINED, "--user", user, "--mount", mount, image]
    assert findings(docker(engine, *run, "scan", f"archive:{REPLAY.name}", "-o", "json")) == expected


def test_the_volume_keeps_what_layers_had_to_say(own: tuple[Engine, str]):
    engine, image = own
    mounts = ["--mount", "type=volume,source=sandscan-test-cache,target=/cache"]
    try:
        run = ["run", "--rm", "-i", *CONFINED, *mounts, image]
        docker(engine, *run, "scan", "archive:-", "-q", input=REPLAY.read_bytes())
        told = docker(engine, *run, "cache", "info")
        assert b"11 layers" in told.stdout, told
    finally:
        docker(engine, "volume", "rm", "--force", "sandscan-test-cache")


def test_nobody_is_root_and_the_tools_of_the_build_are_gone(own: tuple[Engine, str]):
    engine, image = own
    configured = engine.client.images.get(image).attrs["Config"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", configured["User"])
    assert configured["Entrypoint"] == ["sandscan"]
    assert configured.get("Healthcheck") is None
    assert set(configured["Volumes"]) == {"/cache"}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in configured["Labels"].items()}
    assert (labels["title"], labels["version"], labels["licenses"]) == ("sandscan", version, "Apache-2.0")
    assert labels["base.name"] == BASE
    container = engine.client.containers.create(image)
    try:
        exported = b"".join(container.export())
    finally:
        container.remove(v=True)
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        names = {member.name for member in tar}
    assert "opt/sandscan/bin/sandscan" in names
    left = [
        name for name in names if re.search(r"^(src|dist|opt/build|opt/sandscan/.*/(pip|hatchling))(/|$)|\.whl$", name)
    ]
    assert left == []


def test_its_own_image_raises_no_alarm(own: tuple[Engine, str], tmp_path: Path):
    engine, image = own
    saved = tmp_path / "own.tar"
    assert docker(engine, "save", "--output", saved, image).returncode == 0
    command = [Path(sys.prefix) / "bin/sandscan", "scan", f"archive:{saved}", "--no-cache", "-o", "json"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b""), [
        (one["rule_id"], one["message"]) for one in json.loads(done.stdout)["findings"]
    ]


def test_it_scans_a_registry_and_needs_no_engine(
    own: tuple[Engine, str],
    expected: set[tuple[str, str]],
    registry: RegistryServer,
    skopeo: Callable[..., str],
):
    """The registry listens on this machine's loopback alone, so the container shares its network."""
    engine, image = own
    skopeo("copy", "--dest-tls-verify=false", f"docker-archive:{REPLAY}", f"docker://{registry.host}/rome:1")
    run = ["run", "--rm", "--read-only", "--network", "host", "--cap-drop", "ALL", image]
    assert {
        rule for rule, _ in findings(docker(engine, *run, "scan", f"registry:{registry.host}/rome:1", "-o", "json"))
    } == {rule for rule, _ in expected}


def test_our_own_check_finds_nothing_in_the_dockerfile():
    command = [Path(sys.prefix) / "bin/sandscan", "check", "Dockerfile", "--fail-on", "low", "-o", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b""), done.stdout.decode()
    assert json.loads(done.stdout)["complete"] is True
