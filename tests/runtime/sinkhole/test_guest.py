"""A guest on a real engine: what it sees, how it is limited, and that nothing of it outlives its observer."""

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import SourceError, TargetError
from scanner.runtime.sinkhole import pause
from scanner.runtime.sinkhole.attached import OUTPUT, Frames
from scanner.runtime.sinkhole.disk import usage
from scanner.runtime.sinkhole.guest import Guest, Limits, Moment, Pause, runtime
from scanner.runtime.sinkhole.inside import halt, inside
from scanner.runtime.sinkhole.sweep import remove_images
from scanner.runtime.sinkhole.withheld import Settings
from scanner.sources.engine import connect
from tests.runtime.sinkhole.guests import VOLUME, Ground, ground, swept

__all__ = ["ground"]

MIB = 1 << 20


# ---- what it sees


@pytest.mark.engine
def test_a_guest_runs_as_its_image_says(ground: Ground) -> None:
    ended = ground.run()
    assert (ended.exit_code, ended.stopped, ended.output, ended.output_lost) == (0, "", b"hello from 0\n", 0)
    assert ended.started <= ended.ended < time.time() + 1
    assert ground.left() == []


@pytest.mark.engine
def test_a_guest_runs_as_its_launch_says(ground: Ground) -> None:
    settings = Settings(
        entrypoint=("sh", "-c"),
        command=(
            "id -u; cat /etc/hosts /etc/hostname /etc/resolv.conf; echo $GREETING; ls -d /empty /data /more; : >/empty/x; exit 7",
        ),
        environment=(("GREETING", "bye"),),
        user="12:34",
        tmpfs=(("/empty", False),),
        volumes=("/more",),
        hostname="box",
        hosts=(("db", "10.0.0.7"),),
    )
    ended = ground.run(settings=settings)
    words = ended.output.decode().split()
    assert ended.exit_code == 7, ended.output
    assert words[0] == "12"
    for expected in ("10.0.0.7", "db", "box", "nameserver", "172.17.0.1", "bye", "/empty", "/data", "/more"):
        assert expected in words
    assert ground.left() == []


@pytest.mark.engine
def test_process_one_is_the_pause_and_orphans_are_reaped(ground: Ground) -> None:
    ended = ground.run("sh", "-c", "(sleep 0.1 &); sleep 0.4; cat /proc/1/cmdline; echo; cat /proc/[0-9]*/stat")
    first, *processes = ended.output.decode().splitlines()
    assert first == "/pause\0"
    assert not [line for line in processes if ") Z " in line]


@pytest.mark.engine
def test_an_image_that_only_calls_itself_the_pause_holds_no_guest(ground: Ground) -> None:
    """Whoever loads an archive into an engine may bring a tag and a label with it."""
    made = ground.client.containers.create(ground.image, ["true"], network_mode="none")
    try:
        label = f"LABEL {pause.LABEL}={pause.digest(platform.machine())}"
        made.commit(pause.REPOSITORY, "latest", changes=f'{label}\nENTRYPOINT ["sleep", "60"]')
        with pytest.raises(
            SourceError, match="another program than sandscan's; remove it with sandscan observe --clean"
        ):
            ground.run()
    finally:
        made.remove(force=True)
    assert ground.left() == []
    assert len(remove_images(ground.client, "the engine")) >= 1
    assert ground.run("id", "-u").output == b"0\n"


@pytest.mark.parametrize(
    ("default", "others", "asked"),
    [
        ("runc", {"runc": {}}, ""),
        ("crun", {}, ""),
        (None, None, ""),
        ("nvidia", {"nvidia": {}, "runc": {}}, "runc"),
        ("runsc", {"runsc": {}, "crun": {}}, "crun"),
    ],
)
def test_a_runtime_that_runs_on_this_kernel_is_asked_for(default: str | None, others: object, asked: str) -> None:
    assert runtime({"DefaultRuntime": default, "Runtimes": others}, "the engine") == asked


def test_an_engine_without_such_a_runtime_is_refused() -> None:
    with pytest.raises(SourceError, match="runs containers with runsc, whose guests cannot be seen"):
        runtime({"DefaultRuntime": "runsc", "Runtimes": {"runsc": {}}}, "the engine")


@pytest.mark.engine
def test_volumes_without_number_are_not_made(ground: Ground) -> None:
    settings = Settings(volumes=tuple(f"/v{number}" for number in range(300)))
    with pytest.raises(SourceError, match="301 volumes; no more than 256 are made"):
        ground.run(settings=settings)
    assert ground.left() == []


@pytest.mark.engine
def test_its_network_is_the_pause_s_alone(ground: Ground) -> None:
    ended = ground.run("python3", "-c", "import socket; print(sorted(n for _, n in socket.if_nameindex()))")
    assert ended.output == b"['lo']\n"


@pytest.mark.engine
@pytest.mark.parametrize(
    ("command", "settings"), [(("no-such-program",), Settings()), (("id",), Settings(user="nobody-here"))]
)
def test_what_cannot_be_started_is_said(ground: Ground, command: tuple[str, ...], settings: Settings) -> None:
    with pytest.raises((SourceError, TargetError), match=r"does not start the guest: .*(no-such-program|nobody-here)"):
        ground.run(*command, settings=settings)
    assert ground.left() == []


# ---- limits


@pytest.mark.engine
def test_time_is_limited(ground: Ground) -> None:
    ended = ground.run("sleep", "60", seconds=1)
    assert (ended.exit_code, ended.stopped) == (None, "time limit of 1 s")
    assert 0.9 < ended.ended - ended.started < 20


@pytest.mark.engine
def test_processes_are_limited(ground: Ground) -> None:
    """A loop that starts what it can, for as long as it may; it is bounded by the limit alone."""
    code = (
        "import os, time\nmade = 0\n"
        "for _ in range(300):\n try:\n  child = os.fork()\n except OSError: break\n"
        " if child == 0: time.sleep(60)\n made += 1\nprint(made, flush=True)\nos._exit(0)"
    )
    ended = ground.run("python3", "-c", code, pids=40)
    assert ended.exit_code == 0
    assert 20 < int(ended.output) < 40
    assert ground.left() == []


@pytest.mark.engine
def test_memory_is_limited(ground: Ground) -> None:
    ended = ground.run("python3", "-c", "held = [bytearray(1 << 20) for _ in range(1000)]", memory=64 * MIB)
    assert (ended.exit_code, ended.stopped) == (None, "memory limit of 64 MiB")


@pytest.mark.engine
@pytest.mark.parametrize(
    "code",
    [
        "for i in range(9): open(f'/work/{i}', 'wb').write(bytes(8 << 20))",
        f"for i in range(9): open(f'{VOLUME}/{{i}}', 'wb').write(bytes(8 << 20))",
        "kept = []\nfor i in range(9):\n f = open('/work/x', 'wb'); os.unlink('/work/x'); f.write(bytes(8 << 20)); f.flush(); kept.append(f)",
        "os.mkdir('/work/many')\nfor i in range(20_000): os.close(os.open(f'/work/many/{i}', os.O_CREAT))",
        "while True:\n for f in ('hosts', 'hostname', 'resolv.conf'):\n  open('/etc/' + f, 'ab').write(bytes(8 << 20))",
    ],
    ids=["files", "volume", "unlinked", "inodes", "the engine's own files"],
)
def test_disk_is_limited(ground: Ground, code: str) -> None:
    ended = ground.run("python3", "-c", f"import os, time\n{code}\ntime.sleep(20)", disk=32 * MIB)
    if "/etc/" in code:  # a single file reaches its own limit first: SIGXFSZ, or EFBIG where Python ignores that
        assert ended.stopped == "disk limit of 32 MiB" or b"File too large" in ended.output
    else:
        assert (ended.exit_code, ended.stopped) == (None, "disk limit of 32 MiB"), ended.output
    assert ground.left() == []


@pytest.mark.engine
def test_all_of_a_guest_is_stopped_and_the_pause_is_not(ground: Ground) -> None:
    """The pause must see its input end, and nobody else is any of our business."""
    states: dict[bool, set[str]] = {True: set(), False: set()}

    def watch(_: Moment) -> str:
        halt(within.processes, within.pid)
        time.sleep(0.1)
        for pid in inside(within.processes):
            states[pid == within.pid].add(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0])
        return "seen"

    with ExitStack() as stack:
        client, endpoint = connect("", "", stack)
        within = stack.enter_context(Pause(client, endpoint, Settings()))
        image = client.api.inspect_image(ground.image)  # type: ignore[no-untyped-call]
        guest = stack.enter_context(
            Guest(within, image, Settings(), Limits(seconds=20), ("sh", "-c", "sleep 60 & sleep 60"))
        )
        assert guest.run(watch).stopped == "seen"
    assert states == {True: {"S"}, False: {"T"}}


@pytest.mark.engine
def test_output_is_read_kept_a_little_and_counted(ground: Ground) -> None:
    ended = ground.run("sh", "-c", "echo first; head -c 300000000 /dev/zero")
    assert (ended.exit_code, ended.stopped) == (0, "")
    assert ended.output[:6] == b"first\n"
    assert len(ended.output) == OUTPUT
    assert ended.output_lost == 300_000_006 - OUTPUT


@given(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=300))), st.lists(st.integers(1, 64), min_size=1))
def test_frames_are_taken_apart_however_they_are_cut(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for kind, data in frames)
    taker = Frames()
    taken, at, turn = b"", 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        taken += b"".join(bytes(piece) for piece in taker.feed(memoryview(stream[at : at + size])))
        at, turn = at + size, turn + 1
    assert taken == b"".join(data for _, data in frames)


@given(st.binary(max_size=2000))
def test_a_stream_that_is_none_gives_no_more_than_came(data: bytes) -> None:
    assert sum(len(piece) for piece in Frames().feed(memoryview(data))) <= len(data)


def test_usage_counts_each_file_once_follows_no_link_and_stops(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(bytes(100_000))
    (tree / "b").hardlink_to(tree / "a")
    (tree / "out").symlink_to("/usr")
    (tree / "sub").mkdir()
    (tree / "sub/hole").touch()
    os.truncate(tree / "sub/hole", 1 << 40)
    found = usage([tree, tmp_path / "none"], 1 << 50)
    assert 100_000 <= found < 100_000 + 4 * 4096 + 8192
    deep = os.open(tree, os.O_RDONLY)
    for _ in range(1500):  # deeper than any path can name
        os.mkdir("d", dir_fd=deep)
        below = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    assert found < usage([tree], 1 << 50) < found + 2 * 200 * 4096
    assert usage([tree], 1000) < usage([tree], 1 << 50)
    subprocess.run(["rm", "-rf", tree], check=True)


# ---- its end


CHILD = """
import sys
from scanner.sources.engine import connect
from tests.runtime.sinkhole.guests import Ground
from types import SimpleNamespace
Ground(SimpleNamespace(client=None), sys.argv[1]).run("sh", "-c", "while :; do sleep 1; done", seconds=60)
"""


@pytest.mark.engine
def test_a_guest_dies_with_its_observer(ground: Ground) -> None:
    """Killed while the pause starts, while the guest starts, while it runs: the kernel ends it, the next start removes the rest."""
    for moment in (0.35, 0.6, 1.0):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, ground.image], env={**os.environ, "PYTHONPATH": "."}
        ) as observer:
            time.sleep(moment)
            observer.send_signal(signal.SIGKILL)
        _until(lambda: not _running(ground), 30)
    swept(ground)
    assert ground.left() == []


def _running(ground: Ground) -> list[str]:
    found = ground.client.containers.list(all=True, filters={"label": "sandscan.observe"}, ignore_removed=True)
    return [c.name for c in found if c.status in ("running", "paused")]


def _until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.engine
def test_an_exception_leaves_nothing(ground: Ground) -> None:
    """Whatever ends the run from within, Ctrl-C among it."""

    def interrupted(_: Moment) -> str:
        raise KeyboardInterrupt

    with ExitStack() as stack:
        within = stack.enter_context(Pause(ground.client, "the engine", Settings()))
        image = ground.client.api.inspect_image(ground.image)
        guest = stack.enter_context(Guest(within, image, Settings(), Limits(), ("sleep", "60")))
        pid = within.pid
        with pytest.raises(KeyboardInterrupt):
            guest.run(interrupted)
    assert ground.left() == []
    assert not Path(f"/proc/{pid}").exists()
