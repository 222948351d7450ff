"""What a killed observation left is removed at the next start, and nothing else is."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import docker.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.runtime.sinkhole import pause
from scanner.runtime.sinkhole.sweep import LABEL, is_alive, owner, remove_images, sweep
from tests.runtime.sinkhole.guests import Ground, ground

__all__ = ["ground"]

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
NAMESPACE = Path("/proc/self/ns/pid").stat().st_ino
ELSEWHERE = f"1:1:{NAMESPACE + 1}:{BOOT}"
"""An observer in another PID namespace, whose number says nothing here."""


def dead() -> str:
    """The owner that a process which is no more had."""
    code = "from scanner.runtime.sinkhole.sweep import owner; print(owner())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.strip()


def test_a_process_is_its_number_its_start_and_its_boot() -> None:
    mine = owner()
    pid, start, namespace, boot = mine.split(":")
    assert (int(pid), int(namespace), boot) == (os.getpid(), NAMESPACE, BOOT)
    assert is_alive(mine) is True
    assert is_alive(f"{pid}:{int(start) + 1}:{namespace}:{boot}") is False  # the number was used again
    assert is_alive(f"{pid}:{start}:{namespace}:{boot[::-1]}") is None  # the machine was started again, or is another
    assert is_alive(f"{pid}:{start}:{int(namespace) + 1}:{boot}") is None  # another container's number
    assert is_alive(dead()) is False


def test_a_zombie_is_dead() -> None:
    code = "import os; from scanner.runtime.sinkhole.sweep import owner; os.write(1, owner().encode())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = process.stdout.read().decode()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{process.pid}/stat").read_text().split(") ")[1].startswith("Z")
        assert is_alive(told) is False


@given(
    st.text(max_size=40)
    | st.from_regex(r"[0-9]{0,12}:[0-9]{0,5}:", fullmatch=True).map(lambda t: f"{t}{NAMESPACE}:{BOOT}")
)
def test_a_label_in_other_words_names_nobody(label: str) -> None:
    assert not is_alive(label)


@pytest.mark.engine
def test_only_what_belongs_to_the_dead_is_removed(ground: Ground) -> None:
    api = ground.client.api
    labels = ({LABEL: dead()}, {LABEL: owner()}, {"other": "label"})
    names = {f"sandscan-{os.getpid():011x}{number}-guest": label for number, label in enumerate(labels)}
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


@pytest.mark.engine
def test_an_observer_elsewhere_lives_as_long_as_its_pause(ground: Ground) -> None:
    api, stem = ground.client.api, f"sandscan-{os.getpid():012x}"
    labels = {LABEL: ELSEWHERE}
    config = {"Image": ground.image, "Labels": labels, "Cmd": ["sleep", "60"], "HostConfig": {"NetworkMode": "none"}}
    try:
        for role in ("pause", "guest"):
            api.create_container_from_config(config, f"{stem}-{role}")
        api.create_volume(f"{stem}-volume", labels=labels)
        assert sweep(ground.client, "the engine") == ()  # it is about to start
        api.start(f"{stem}-pause")
        assert sweep(ground.client, "the engine") == ()
        api.remove_container(f"{stem}-pause", force=True)  # as the engine does when its observer is killed
        assert sweep(ground.client, "the engine") == (f"container {stem}-guest", f"volume {stem}-volume")
    finally:
        for role in ("pause", "guest"):
            with suppress(docker.errors.NotFound):
                api.remove_container(f"{stem}-{role}", force=True)


@pytest.mark.engine
def test_what_an_image_says_of_itself_removes_nothing(ground: Ground) -> None:
    """Labels are inherited from an image, and an image's are whoever built it's: neither its containers nor it are taken away."""
    client, name, label = ground.client, f"stranger-{os.getpid()}", pause.LABEL
    made = client.containers.create(ground.image, ["true"], name=name, network_mode="none")
    try:
        image = made.commit(name, changes=f"LABEL {LABEL}=1:1:{NAMESPACE}:{BOOT} {label}={pause.digest('x86_64')}")
        made.remove()
        made = client.containers.create(image.id, ["true"], name=name, network_mode="none")
        assert made.labels[LABEL] == f"1:1:{NAMESPACE}:{BOOT}"
        sweep(client, "the engine")
        remove_images(client, "the engine")
        made.reload()
        assert client.images.get(name).id == image.id
    finally:
        made.remove(force=True)
        client.images.remove(name, force=True)
