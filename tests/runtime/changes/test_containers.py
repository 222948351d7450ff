"""What containers of a real engine changed: by content, whatever their files say of themselves."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from scanner.errors import TargetError, UsageError
from scanner.model import Kind, Level, Limits
from scanner.model.run import ChangeKind, FileChange
from scanner.oci.blob import TarBlob
from scanner.oci.tar import index
from scanner.runtime.changes.opening import Compared, compare_container, open_pair
from scanner.sources.container import find_container
from scanner.sources.plugin import SourceOptions
from tests.runtime.changes.conftest import IMAGE, Docker

pytestmark = pytest.mark.engine
ADDED, MODIFIED, METADATA, DELETED = ChangeKind


def compared(after: str, resources: ExitStack, before: str | None = None, access: str = "auto") -> Compared:
    return open_pair(before, after, SourceOptions(engine_access=access), resources)


def exported(name: str, resources: ExitStack) -> Compared:
    """As where the engine's own files cannot be read: from its export."""
    return compare_container(replace(find_container(name, resources), upper=None), SourceOptions(), resources)


def told(found: Compared, place: str | None = None) -> dict[bytes, ChangeKind]:
    return {c.path: c.change for c in found.changes if place is None or c.place == place}


def change(found: Compared, path: bytes) -> FileChange:
    [one] = [c for c in found.changes if c.path == path]
    return one


def layer(found: Compared) -> dict[bytes, Kind | None]:
    """What the run's layer holds, None for a whiteout."""
    [blob] = found.layers
    assert isinstance(blob, TarBlob)
    assert blob.file is not None
    table = index(blob.file.fd, blob.file.size, "the run's layer", Limits())
    return {table.path(r): table.entry(r, 0).kind if table.is_entry(r) else None for r in range(len(table))}


DIRTY = r"""
cp -p /work/a /tmp/old; printf bbbb > /work/a; touch -r /tmp/old /work/a; rm /tmp/old
touch /usr/bin/cat
chmod 4755 /usr/bin/mv
chown 65534 /etc/cron.d/job
setcap cap_net_raw=ep /usr/bin/cp
rm /usr/bin/mkfifo; ln /usr/bin/ln /usr/bin/mkfifo
rm -r /etc/ssh; mkdir /etc/ssh; echo new > /etc/ssh/known
rm -r /work/deep; echo file > /work/deep
rm /work/b; mkdir /work/b; echo in > /work/b/in
mkdir /d; ln -s /etc/shadow /d/link
echo twin > /d/one; ln /d/one /d/two
echo '#!/bin/sh' > /d/.wh.cat; chmod +x /d/.wh.cat
printf x > "/d/$(printf '\377\376name')"
"""
EXPECTED = {
    b"work/a": MODIFIED,
    b"usr/bin/mv": METADATA,
    b"etc/cron.d/job": METADATA,
    b"usr/bin/cp": METADATA,
    b"usr/bin/mkfifo": MODIFIED,
    b"etc/ssh/sshd_config": DELETED,
    b"etc/ssh/known": ADDED,
    b"work/deep": MODIFIED,
    b"work/deep/er": DELETED,
    b"work/deep/er/c": DELETED,
    b"work/b": MODIFIED,
    b"work/b/in": ADDED,
    b"d": ADDED,
    b"d/link": ADDED,
    b"d/one": ADDED,
    b"d/two": ADDED,
    b"d/.wh.cat": ADDED,
    b"d/\xff\xfename": ADDED,
}


@pytest.fixture(params=["upper", "export"])
def dirty(request: pytest.FixtureRequest, docker: Docker) -> Iterator[Compared]:
    docker.run("dirty", DIRTY)
    with ExitStack() as resources:
        yield compared("container:dirty", resources) if request.param == "upper" else exported("dirty", resources)


def test_a_run_is_told_by_content_however_it_is_read(dirty: Compared) -> None:
    found = dirty

    assert told(found) == EXPECTED
    assert {c.place for c in found.changes} == {"writable layer"}
    assert not [n for n in found.notifications if n.incomplete]

    swapped = change(found, b"work/a")
    assert swapped.before is not None
    assert swapped.after is not None
    assert swapped.before.size == swapped.after.size
    assert int(swapped.before.modified or 0) == int(swapped.after.modified or 1) == 1_700_000_000
    assert swapped.before.digest != swapped.after.digest
    assert (found.content_before(b"work/a"), found.content_after(b"work/a")) == (b"aaaa", b"bbbb")

    assert (change(found, b"usr/bin/mv").after or swapped.after).mode == 0o4755
    assert (change(found, b"usr/bin/cp").after or swapped.after).capability == "cap_net_raw=ep"
    assert change(found, b"etc/cron.d/job").user == "nobody"
    assert {c.path for c in found.changes if c.executable} == {
        b"usr/bin/mv",
        b"usr/bin/cp",
        b"usr/bin/mkfifo",
        b"work/b",
        b"d/.wh.cat",
    } - {b"work/b"}
    assert found.content_after(b"usr/bin/mkfifo") == found.content_before(b"usr/bin/ln")
    assert found.content_after(b"etc/ssh/sshd_config") is None
    assert found.content_before(b"etc/ssh/sshd_config") == b"PermitRootLogin no\n"
    assert found.content_after(b"d/two") == b"twin\n"


def test_the_layer_of_a_run_holds_what_is_new_and_marks_what_is_gone(dirty: Compared) -> None:
    found, held = dirty, layer(dirty)

    assert held[b"etc/ssh/sshd_config"] is None
    assert held[b"work/a"] is Kind.FILE
    assert held[b"d/link"] is Kind.SYMLINK
    assert {held[b"d/one"], held[b"d/two"]} == {Kind.FILE, Kind.HARDLINK}
    assert held[b"d/%2Ewh.cat"] is Kind.FILE, "named like a mark, it would not be scanned"
    assert b"work/deep/er" not in held, "a file took the directory's place, which is mark enough"
    assert b"usr/bin/mv" not in held, "its content is the image's"
    [note] = [n for n in found.notifications if n.path == b"d/.wh.cat"]
    assert note.level is Level.NOTE


def test_nothing_is_said_of_a_container_that_changed_nothing(docker: Docker) -> None:
    docker.run(
        "still",
        "touch /usr/bin/cat; cp /work/a /tmp/x; rm /tmp/x; mv /work/a /work/z; mv /work/z /work/a",
        "-v",
        "/new/place",
    )
    with ExitStack() as resources:
        for found in (compared("container:still", resources), exported("still", resources)):
            assert (found.changes, found.layers) == ((), ())
            assert not [n for n in found.notifications if n.incomplete]


def test_mounts_are_told_with_their_place_while_the_container_runs(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("from before")
    (tmp_path / "edited").write_text("from before")
    time.sleep(0.1)
    docker.keep(
        "mounts",
        "echo v > /data/new; echo e > /data/edited; echo b > /bound/new; echo e >> /bound/edited; mkdir /bound/dir; "
        "echo t > /mem/t; echo s > /dev/shm/s; echo h > /dev/h; echo x > /etc/hosts; mkfifo /data/pipe; ln -s /etc/shadow /data/link",
        "-v",
        "vol:/data",
        "-v",
        f"{tmp_path}:/bound",
        "-v",
        f"{tmp_path}:/again:ro",
        "--tmpfs",
        "/mem",
    )
    with ExitStack() as resources:
        found = compared("container:mounts", resources)

        assert told(found, "volume vol") == {
            b"data/new": ADDED,
            b"data/edited": MODIFIED,
            b"data/pipe": ADDED,
            b"data/link": ADDED,
        }
        assert told(found, f"bind mount {tmp_path}") == {
            b"bound/new": ADDED,
            b"bound/edited": MODIFIED,
            b"bound/dir": ADDED,
        }
        assert told(found, "tmpfs") == {b"mem/t": ADDED, b"dev/shm/s": ADDED, b"dev/h": ADDED}
        assert told(found, "writable layer") == {b"ready": ADDED}
        edited = change(found, b"data/edited")
        assert edited.before is not None, "a new volume is filled from the image"
        assert (found.content_before(b"data/edited"), found.content_after(b"data/edited")) == (
            b"of the image\n",
            b"e\n",
        )
        assert change(found, b"bound/edited").before is None
        assert [(n.level, n.message) for n in found.notifications if n.incomplete] == []

    docker("stop", "-t", "0", "mounts")
    with ExitStack() as resources:
        found = compared("container:mounts", resources)

        assert told(found, "volume vol")[b"data/new"] is ADDED
        assert told(found, f"bind mount {tmp_path}")[b"bound/new"] is ADDED
        assert told(found, "tmpfs") == {}
        [lost] = [n for n in found.notifications if n.incomplete]
        assert "tmpfs at /mem" in lost.message


def test_a_mount_made_inside_is_read(docker: Docker) -> None:
    script = (
        "mkdir /m; echo under > /m/under; mount -t tmpfs none /m; echo in memory > /m/hidden; mount --bind /m /work"
    )
    docker.keep("inside", script, "--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined")
    with ExitStack() as resources:
        found = compared("container:inside", resources)

        assert told(found, "mount made inside") == {b"m/hidden": ADDED}, "once, though it is mounted twice"
        assert change(found, b"m/under").place == "writable layer"
        assert found.content_after(b"m/hidden") == b"in memory\n"


def test_no_name_and_no_mount_hides_a_file(docker: Docker) -> None:
    """In the place of a device, over a volume, below /proc; and rights given to a file that the volume has from the image."""
    script = (
        "echo t > /data/new; chmod 4755 /data/edited; rm /dev/full /dev/zero; echo f > /dev/full; mkdir /dev/zero; echo z > /dev/zero/x; "
        "mount -t tmpfs none /proc/irq; echo p > /proc/irq/p; mount -t tmpfs none /data; echo over > /data/over"
    )
    docker.keep(
        "hides", script, "-v", "covered:/data", "--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined",
        "--security-opt", "systempaths=unconfined",
    )  # fmt: skip
    with ExitStack() as resources:
        found = compared("container:hides", resources)
        assert told(found, "tmpfs") == {b"dev/full": ADDED, b"dev/zero": ADDED, b"dev/zero/x": ADDED}
        assert told(found, "mount made inside") == {b"proc/irq/p": ADDED, b"data/over": ADDED}
        [unseen] = [n for n in found.notifications if n.stage == "unseen"]
        assert "volume covered at /data: something else is mounted over it" in unseen.message
    docker("stop", "-t", "0", "hides")
    with ExitStack() as resources:
        found = compared("container:hides", resources)
        assert told(found, "volume covered") == {b"data/new": ADDED, b"data/edited": METADATA}
        assert change(found, b"data/edited").before is not None


def test_what_the_first_process_does_not_see_is_read_all_the_same_or_said(docker: Docker) -> None:
    """It goes to a root of its own, where the volume does not show, and a child takes a mount namespace for itself."""
    script = (
        "echo hidden > /data/new; mkdir -p /jail; cp -r /usr /lib* /jail; touch /ready; "
        "unshare -m sleep 600 & exec unshare --root=/jail /usr/bin/sleep 600"
    )
    docker.keep("jail", script, "-v", "hidden:/data", "--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined")
    first = int(docker("inspect", "-f", "{{.State.Pid}}", "jail"))
    end = time.monotonic() + 60
    while _programs(first) != ["sleep", "sleep"]:
        assert time.monotonic() < end, _programs(first)
        time.sleep(0.02)
    with ExitStack() as resources:
        found = compared("container:jail", resources)

        assert told(found, "volume hidden") == {b"data/new": ADDED}
        said = [n.message for n in found.notifications if n.incomplete]
        assert len(said) == 2
        assert "another root" in said[0]
        assert "have 1 mount namespaces" in said[1]


def _programs(first: int) -> list[str]:
    """What a process and its children are, by the names that the kernel has for them."""
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in (first, *children)]


def test_a_link_in_a_mounts_way_leads_nowhere(docker: Docker, tmp_path: Path) -> None:
    """The container may write the folder in which the second one lies: it puts a link to the host there."""
    secret = tmp_path / "host"
    secret.mkdir()
    shared = tmp_path / "shared"
    (shared / "sub").mkdir(parents=True)
    docker.keep(
        "links",
        f"echo w > /sub/written; mv /shared/sub /shared/other; ln -s {secret} /shared/sub; ln -s {secret}/secret /shared/file",
        "-v",
        f"{shared}:/shared",
        "-v",
        f"{shared}/sub:/sub",
    )
    (secret / "secret").write_text("of the host, and newer than the container")
    with ExitStack() as resources:
        running = compared("container:links", resources)
        assert _contents(running) == {b"w\n"}

    docker("stop", "-t", "0", "links")
    with ExitStack() as resources:
        stopped = compared("container:links", resources)
        assert _contents(stopped) == {b"w\n"}, "found as shared/other/written, both times"
        assert change(stopped, b"shared/sub").after is not None
        assert [n.message for n in stopped.notifications if n.incomplete] == [
            f"not read: bind mount {shared}/sub at /sub: a link stands in its way, at sub: no link is followed"
        ]


def _contents(found: Compared) -> set[bytes | None]:
    return {
        found.content_after(c.path)
        for c in found.changes
        if c.after is not None and c.after.kind is Kind.FILE and c.place.startswith("bind")
    }


def test_two_images_where_one_goes_on_from_the_other_and_where_not(docker: Docker) -> None:
    docker.run("first", "rm -r /work/deep; echo one > /work/a")
    docker("commit", "first", "toolbox:2")
    docker.run("second", "echo two > /work/a; mkdir -p /work/deep/er; echo back > /work/deep/er/c", image="toolbox:2")
    docker("commit", "second", "toolbox:3")
    expected = {b"work/a": MODIFIED, b"work/deep/er/c": MODIFIED}
    for access in ("direct", "api"):
        with ExitStack() as resources:
            found = compared("docker:toolbox:3", resources, IMAGE, access)
            assert told(found) == expected
            assert {c.place for c in found.changes} == {"image"}
            assert found.content_after(b"work/deep/er/c") == b"back\n"
            back = compared(IMAGE, resources, "toolbox:3", access)
            assert told(back) == expected
            assert told(compared("toolbox:2", resources, "toolbox:3", access)) == {
                b"work/a": MODIFIED,
                b"work/deep": DELETED,
                b"work/deep/er": DELETED,
                b"work/deep/er/c": DELETED,
            }
    with ExitStack() as resources:
        other = compared("container:second", resources, IMAGE)
        assert told(other) == expected, "what its own image changed counts too"


def test_an_exported_tree_and_an_upper_directory_are_compared(docker: Docker, tmp_path: Path) -> None:
    docker.run("tree", DIRTY)
    docker("export", "-o", tmp_path / "tree.tar", "tree")
    (tmp_path / "tree").mkdir()
    subprocess.run(
        ["tar", "-x", "--xattrs", "--xattrs-include=*", "-f", tmp_path / "tree.tar", "-C", tmp_path / "tree"],
        check=True,
    )
    upper = docker("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", "tree")
    for after in (f"rootfs:{tmp_path}/tree.tar", str(tmp_path / "tree"), f"upper:{upper}"):
        with ExitStack() as resources:
            found = compared(after, resources, IMAGE)
            assert told(found) == EXPECTED, after


def test_a_file_system_in_memory_of_the_host_is_not_the_containers_alone(docker: Docker) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        if Path(folder).stat().st_dev == Path("/").stat().st_dev:
            pytest.skip("/dev/shm is in memory on most machines, not here")
        (Path(folder) / "old").write_text("of the host")
        time.sleep(0.1)
        docker.keep("memory", "echo new > /m/new", "-v", f"{folder}:/m")
        with ExitStack() as resources:
            found = compared("container:memory", resources)

            assert told(found, f"bind mount {folder}") == {b"m/new": ADDED}
        docker("rm", "-f", "memory")


def test_an_archive_that_breaks_off_is_an_error_with_what_was_read(docker: Docker, tmp_path: Path) -> None:
    docker.run("broken", "echo first > /a-first")
    whole = tmp_path / "whole.tar"
    docker("export", "-o", whole, "broken")
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[:-200_000])
    with ExitStack() as resources:
        found = compared(f"rootfs:{cut}", resources, IMAGE)

        assert told(found)[b"a-first"] is ADDED
        assert DELETED not in told(found).values(), "what was not read was not removed"
        assert [n.level for n in found.notifications if n.incomplete][-1] is Level.ERROR


def test_what_is_asked_for_must_fit(docker: Docker) -> None:
    with ExitStack() as resources:
        with pytest.raises(UsageError, match="name the image first"):
            compared(IMAGE, resources)
        with pytest.raises(UsageError, match="cannot be what was there before"):
            compared(IMAGE, resources, "container:x")
        with pytest.raises(TargetError, match="no container nobody"):
            compared("container:nobody", resources)
        with pytest.raises(TargetError, match="cannot read the directory"):
            compared("upper:/nowhere", resources, IMAGE)


def test_a_large_file_is_kept_once_and_a_sparse_one_takes_no_room(docker: Docker) -> None:
    docker.run(
        "large", "truncate -s 3G /sparse; dd if=/dev/urandom of=/random bs=1M count=12 2>/dev/null; ln /random /again"
    )
    with ExitStack() as resources:
        found = compared("container:large", resources)
        assert told(found) == {b"sparse": ADDED, b"random": ADDED, b"again": ADDED}
        [blob] = found.layers
        assert isinstance(blob, TarBlob)
        assert blob.file is not None
        assert os.fstat(blob.file.fd).st_blocks * 512 < 30 << 20
        assert layer(found)[b"random"] is Kind.HARDLINK
        cut = open_pair(None, "container:large", SourceOptions(limits=Limits(spool_bytes=10 << 20)), resources)
        assert {n.path for n in cut.notifications if n.incomplete} == {b"sparse", b"again"}
        assert told(cut) == told(found)
