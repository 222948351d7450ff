"""Much of everything: what a run floods is counted and bounded, and of many runs nothing stays behind."""

import json
import multiprocessing
import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

import scanner
from scanner.model import Report
from scanner.model.run import ChangeKind
from scanner.reports.json import load
from scanner.reports.output import formats
from scanner.reports.plugin import RenderOptions
from scanner.runtime.observe import ObserveOptions, observe
from scanner.runtime.sinkhole.attached import OUTPUT
from scanner.runtime.sinkhole.guest import Limits
from tests import host_image
from tests.engine_fixture import Engine, missing
from tests.runtime.sinkhole.guests import Ground

pytestmark = pytest.mark.engine

CONNECTIONS, FILES, PROCESSES, MEGABYTES, NAMES = 2_000, 5_000, 200, 64, 200
FLOOD = f"""
import os, socket, struct
for i in range({CONNECTIONS}):
    with socket.create_connection((f"203.0.113.{{i % 250 + 1}}", 1024 + i), 20) as s: s.sendall(b"number %d" % i)
for i in range({FILES}):
    if i % 500 == 0: os.makedirs(f"/work/d{{i // 500}}")
    with open(f"/work/d{{i // 500}}/f{{i}}", "wb") as file: file.write(b"%d" % i)
for i in range({PROCESSES}): os.waitpid(os.posix_spawn("/usr/bin/true", ["true", str(i)], {{}}), 0)
for i in range({NAMES}): socket.gethostbyname(f"host{{i}}.example.org")
for _ in range({MEGABYTES}): os.write(1, bytes(1 << 20))
"""


@pytest.fixture(scope="module")
def ground(engine: Engine) -> Iterator[Ground]:
    """An engine with a small image that has Python."""
    if os.geteuid() != 0:
        missing("root, to observe a guest")
    name = f"sandscan-load-{os.getpid()}"
    engine.client.api.import_image_from_data(host_image.tree(["true", "sh"]), name, "1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.host)
        yield Ground(engine, f"{name}:1")
    engine.client.images.remove(f"{name}:1", force=True)


def descriptors() -> Counter[str]:
    """What this process has open."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(fd.readlink()).partition("[")[0])
        except OSError:  # the one that lists them
            continue
    return Counter(found)


@pytest.fixture(scope="module")
def flooded(ground: Ground) -> tuple[Report, Counter[str]]:
    """A flood, observed, and what the observer has open afterwards that it had not before."""
    observe(ground.image, ["true"], ObserveOptions(limits=Limits(seconds=20)))  # what is loaded once stays
    before = descriptors()
    report = observe(ground.image, ["python3", "-c", FLOOD], ObserveOptions(limits=Limits(seconds=120)))
    return report, descriptors() - before


def test_every_piece_of_a_flood_is_told(flooded: tuple[Report, Counter[str]]) -> None:
    report, _ = flooded
    run = report.run
    assert run is not None
    assert (run.exit_code, run.stopped) == (0, "")
    spoken = {a.target.port: a.first for a in run.attempts if a.protocol == "tcp" and a.target.port != 53}
    assert spoken == {1024 + i: b"number %d" % i for i in range(CONNECTIONS)}
    added = {
        c.path for c in run.changes if c.change is ChangeKind.ADDED and c.path.rpartition(b"/")[2].startswith(b"f")
    }
    assert added == {b"work/d%d/f%d" % (i // 500, i) for i in range(FILES)}
    assert {p.command for p in run.processes} >= {("true", str(i)) for i in range(PROCESSES)}
    assert {q.name for q in run.queries} == {f"host{i}.example.org" for i in range(NAMES)}


def test_what_is_not_kept_of_it_is_counted_and_leaves_the_report_complete(
    flooded: tuple[Report, Counter[str]],
) -> None:
    report, _ = flooded
    assert report.run is not None
    assert len(report.run.output) == OUTPUT
    assert report.run.dropped == {"output bytes": (MEGABYTES << 20) - OUTPUT}
    assert report.statistics["output_bytes"] == MEGABYTES << 20
    assert any(f"{(MEGABYTES << 20) - OUTPUT:,} output bytes" in n.message for n in report.notifications)
    assert report.complete, [n.message for n in report.notifications]


def test_a_flood_leaves_nothing_behind(flooded: tuple[Report, Counter[str]], ground: Ground) -> None:
    _, opened = flooded
    assert ground.left() == []
    assert not opened


def test_a_flooded_report_is_told_in_every_format_and_read_again(flooded: tuple[Report, Counter[str]]) -> None:
    report, _ = flooded
    told = {
        one.name: one.render(report, RenderOptions())
        for one in formats()
        if one.name in {"json", "jsonl", "html", "markdown", "sarif", "text"}
    }
    sizes = {name: len(text) for name, text in told.items()}
    assert sizes["text"] < 60_000
    assert sizes["markdown"] < 400_000
    assert sizes["html"] < 6_000_000
    assert load(told["json"]).run == report.run
    kinds = Counter(json.loads(line)["type"] for line in told["jsonl"].splitlines())
    assert (kinds["attempt"], kinds["query"]) == (report.statistics["attempts"], report.statistics["queries"])
    assert (kinds["change"], kinds["process"]) == (report.statistics["changes"], report.statistics["processes"])


# ---- many containers

CONTAINERS, AT_ONCE = 10, 4


@dataclass(frozen=True)
class Look:
    """One diff in a process of its own, and what that had open before and after."""

    pid: int
    paths: frozenset[bytes]
    complete: bool
    open_before: int
    open_after: int


def looked(name: str, cache: str) -> Look:
    before = len(list(Path("/proc/self/fd").iterdir()))
    report = scanner.diff(f"container:{name}", cache=cache)
    assert report.run is not None
    paths = frozenset(c.path for c in report.run.changes)
    return Look(os.getpid(), paths, report.complete, before, len(list(Path("/proc/self/fd").iterdir())))


def test_many_containers_at_a_time_are_told_apart_and_leave_nothing(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, cache = tmp_path / "tmp", tmp_path / "cache"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with ExitStack() as held:
        names = []
        for i in range(CONTAINERS):
            made = ground.client.containers.create(ground.image, ["true"], network_mode="none")
            held.callback(made.remove, force=True)
            made.put_archive("/", _one_file(f"work/only-{i}", b"#!/bin/sh\n%d\n" % i))
            names.append(made.id)
        standing = {c.id for c in ground.client.containers.list(all=True)}
        with ProcessPoolExecutor(AT_ONCE, multiprocessing.get_context("spawn")) as pool:
            rounds = []
            for some in (names, names[:AT_ONCE]):
                looks = list(pool.map(looked, some, [str(cache)] * len(some)))
                kept = {path.name for path in cache.rglob("*") if path.is_file()}
                rounds.append((looks, kept))
        assert {c.id for c in ground.client.containers.list(all=True)} == standing

    for looks, _ in rounds:
        assert all(look.complete for look in looks)
        for i, look in enumerate(looks):
            assert {p for p in look.paths if p.startswith(b"work/only")} == {b"work/only-%d" % i}
    again = rounds[1][0]
    assert all(look.open_after == look.open_before for look in again if look.pid in {one.pid for one in rounds[0][0]})
    assert rounds[0][1] == rounds[1][1]
    assert len(rounds[0][1]) == 1, "the image's layer is kept, and nothing of a run"
    assert list(temporary.iterdir()) == []


def _one_file(path: str, content: bytes) -> bytes:
    made = BytesIO()
    with closing(tarfile.open(fileobj=made, mode="w")) as tar:
        member = tarfile.TarInfo(path)
        member.size, member.mode = len(content), 0o755
        tar.addfile(member, BytesIO(content))
    return made.getvalue()
