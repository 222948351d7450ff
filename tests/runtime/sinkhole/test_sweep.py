"""What a killed observation left is removed at the next start, and nothing else is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.runtime.sinkhole import pause
from scanner.runtime.sinkhole.sweep import LABEL, is_alive, owner, remove_images, sweep
from tests.runtime.sinkhole.guests import Ground, engine, ground

__all__ = ["engine", "ground"]

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def dead() -> str:
    """The owner that a process which is no more had."""
    code = "from scanner.runtime.sinkhole.sweep import owner; print(owner())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.strip()


def test_a_process_is_its_number_its_start_and_its_boot() -> None:
    mine = owner()
    pid, start, boot = mine.split(":")
    assert (int(pid), boot) == (os.getpid(), BOOT)
    assert is_alive(mine)
    assert not is_alive(f"{pid}:{int(start) + 1}:{boot}")  # the number was used again
    assert not is_alive(f"{pid}:{start}:{boot[::-1]}")  # the machine was started again
    assert not is_alive(dead())


def test_a_zombie_is_dead() -> None:
    code = "import os; from scanner.runtime.sinkhole.sweep import owner; os.write(1, owner().encode())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = process.stdout.read().decode()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{process.pid}/stat").read_text().split(") ")[1].startswith("Z")
        assert not is_alive(told)


@given(st.text(max_size=40) | st.from_regex(r"[0-9]{0,12}:[0-9]{0,5}:", fullmatch=True).map(lambda t: t + BOOT))
def test_a_label_in_other_words_names_nobody(label: str) -> None:
    assert not is_alive(label)


@pytest.mark.engine
def test_only_what_belongs_to_the_dead_is_removed(ground: Ground) -> None:
    api = ground.client.api
    labels = {"orphan": {LABEL: dead()}, "alive": {LABEL: owner()}, "stranger": {"other": "label"}}
    names = {f"sandscan-test-{os.getpid()}-{word}": label for word, label in labels.items()}
    try:
        for name, label in names.items():
            mount = {"Type": "volume", "Target": "/v", "VolumeOptions": {"Labels": label}}
            config = {"Image": ground.image, "Labels": label, "HostConfig": {"NetworkMode": "none", "Mounts": [mount]}}
            api.create_container_from_config(config, name)
            api.create_volume(f"{name}-volume", labels=label)
        orphan = next(iter(names))
        assert sweep(ground.client, "the engine") == (f"container {orphan}", f"volume {orphan}-volume")
        assert sweep(ground.client, "the engine") == ()
        assert {c.name for c in ground.client.containers.list(all=True)} & set(names) == set(names) - {orphan}
        labelled = [v.attrs["Labels"] or {} for v in ground.client.volumes.list()]
        assert [one.get(LABEL) for one in labelled if LABEL in one] == [owner()] * 2
    finally:
        for name in names:
            api.remove_container(name, v=True, force=True) if name != orphan else None
            api.remove_volume(f"{name}-volume", force=True) if name != orphan else None


@pytest.mark.engine
def test_the_pause_image_stays_until_it_is_asked_away(ground: Ground) -> None:
    assert ground.run("id", "-u").output == b"0\n"
    [image] = ground.client.images.list(filters={"label": pause.LABEL})
    assert image.attrs["Size"] < 1 << 16  # the containerd store counts the stored blobs, too
    assert remove_images(ground.client, "the engine") == (f"image {image.id.removeprefix('sha256:')[:12]}",)
    assert ground.client.images.list(filters={"label": pause.LABEL}) == []
    assert ground.run("id", "-u").output == b"0\n"
