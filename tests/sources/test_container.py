"""A container is found on a real engine, with what only this machine can tell of it; and strange answers are no surprise."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import SourceError, TargetError
from scanner.sources import container
from scanner.sources.container import EngineMount, find_container, is_process_of, seconds, unescape
from tests import host_image
from tests.engine_fixture import Engine

IMAGE = "found:1"


@pytest.fixture
def running(at_engine: Engine, tmp_path: Path) -> Iterator[str]:
    tar = tmp_path / "image.tar"
    tar.write_bytes(host_image.tree(("sh", "sleep"), python=False))
    at_engine.client.api.import_image(str(tar), repository="found", tag="1")
    made = at_engine.client.containers.create(
        IMAGE,
        ["/bin/sleep", "600"],
        name="found",
        network_mode="none",
        volumes=["kept:/kept", f"{tmp_path}:/bound:ro"],
        tmpfs={"/mem": ""},
    )
    made.start()
    yield "found"
    made.remove(force=True, v=True)


@pytest.mark.engine
def test_a_running_container_is_told_with_times_mounts_and_place(
    running: str, at_engine: Engine, tmp_path: Path
) -> None:
    with ExitStack() as resources:
        found = find_container(running, resources)

        assert (found.name, found.image_name, found.running) == ("found", IMAGE, True)
        assert found.image == at_engine.client.images.get(IMAGE).id
        assert found.started is not None
        assert 0 < found.created <= found.started
        assert found.finished is None
        assert set(found.mounts) == {
            EngineMount("volume", found.mounts[0].source, "/kept", "kept", True)
            if found.mounts[0].kind == "volume"
            else EngineMount("volume", found.mounts[1].source, "/kept", "kept", True),
            EngineMount("bind", str(tmp_path), "/bound", "", False),
            EngineMount("tmpfs", "", "/mem", "", True),
        }
        if at_engine.in_place:
            assert found.local
            assert found.pid == found.inspected["State"]["Pid"]
            assert found.upper == Path(found.inspected["GraphDriver"]["Data"]["UpperDir"])
        again = find_container(found.id[:12], resources)
        assert (again.id, again.started) == (found.id, found.started)

    at_engine.client.containers.get(running).stop(timeout=0)
    with ExitStack() as resources:
        ended = find_container(running, resources)
        assert (ended.running, ended.pid) == (False, 0)
        assert ended.finished is not None
        assert ended.finished >= found.started
        assert ended.upper == found.upper


@pytest.mark.engine
def test_where_the_store_does_not_tell_the_mount_table_does(running: str, at_engine: Engine) -> None:
    """The containerd store has no GraphDriver: the engine's mount of the container's root has the directory in its options."""
    if not at_engine.in_place:
        pytest.skip("an engine on this machine is needed")
    with ExitStack() as resources:
        found = find_container(running, resources)
        info = {"SecurityOptions": [], "DockerRootDir": "/"}
        assert container._upper(info, {}, found.id, found.pid) == found.upper
        assert container._upper({**info, "SecurityOptions": ["name=userns"]}, {}, found.id, found.pid) is None
        assert found.upper is not None
        assert container.is_root_of(found.upper, found.pid)
        assert not container.is_root_of(Path("/"), found.pid)


@pytest.mark.engine
def test_what_is_not_there_is_named(at_engine: Engine) -> None:
    with ExitStack() as resources:
        with pytest.raises(TargetError, match="has no container nobody"):
            find_container("nobody", resources)
        with pytest.raises(TargetError, match="no container's name"):
            find_container("../x", resources)


def test_without_an_engine_it_is_said_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with ExitStack() as resources, pytest.raises(SourceError, match="no container engine answers"):
        find_container("any", resources)


def test_a_process_of_somebody_else_is_not_taken_for_the_containers() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        assert not is_process_of(other.pid, "0123456789abcdef" * 4)
        other.kill()
    assert not is_process_of(os.getpid(), "")
    assert not is_process_of(0, "0123456789abcdef" * 4)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("2026-11-26T12:31:47.668384089Z", 1795696307.668384089),
        ("2026-11-26T14:31:47.5+02:00", 1795696307.5),
        ("2026-11-26T12:31:47Z", 1795696307.0),
        ("0001-01-01T00:00:00Z", None),
        ("2026-13-26T12:31:47Z", None),
        ("", None),
        (None, None),
        (17, None),
    ],
)
def test_times_are_seconds(stated: object, expected: float | None) -> None:
    assert seconds(stated) == (None if expected is None else pytest.approx(expected, abs=1e-6))


@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,12})?(Z|[+-]\d\d:\d\d)", fullmatch=True))
def test_any_time_is_a_number_or_none(stated: str) -> None:
    assert isinstance(seconds(stated), float | None)


def test_mount_options_are_read_with_their_escapes(tmp_path: Path) -> None:
    assert unescape(rb"/a\040b\134c\011\012\0") == b"/a b\\c\t\n\\0"
    odd = tmp_path / "o,d d"
    (odd / "diff").mkdir(parents=True)
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"1 0 0:1 / / rw - ext4 /dev/x rw\n"
        b"2 1 0:2 / / rw - overlay overlay rw,lowerdir=/l1:/l2,upperdir=%s/diff,workdir=/w\n"
        % bytes(odd).replace(b",", rb"\054").replace(b" ", rb"\040")
    )
    [options] = container._overlays(str(table), lambda point: point == b"/")
    assert next(container._candidates(options, "/data")) == odd / "diff"
    relative = {b"upperdir": b"id/diff", b"lowerdir": b"/store/snapshots/2/fs:/store/snapshots/1/fs"}
    assert list(container._candidates(relative, "/data")) == [
        Path("/data/overlay2/id/diff"),
        Path("/store/snapshots/id/diff"),
    ]
    escaped = {b"upperdir": rb"/a\,b"}
    assert list(container._candidates(escaped, "/")) == [Path(r"/a\,b"), Path("/a,b")]


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_mount_table_is_too_strange(lines: list[bytes]) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n".join([*lines, b"2 1 0:2 / / rw - overlay overlay rw,upperdir=/u"]))
        file.flush()
        assert {b"upperdir": b"/u", b"rw": b""} in list(container._overlays(file.name, lambda _: True))
