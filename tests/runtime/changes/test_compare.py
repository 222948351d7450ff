"""Any file system against any other: the changes are the true ones, and the layer laid over before gives after."""

import io
import os
import socket
import struct
import subprocess
import tarfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.errors import ScannerError
from scanner.model import Kind, Layer, Level, Limits
from scanner.model.run import ChangeKind, FileState
from scanner.oci.tar import index
from scanner.runtime.changes import mounts, opening
from scanner.runtime.changes.capability import words
from scanner.runtime.changes.kept import Kept
from scanner.runtime.changes.layers import Stood, TreeLayer, open_layer
from scanner.runtime.changes.noting import Notes
from scanner.runtime.changes.opening import Compared, open_pair
from scanner.runtime.changes.squash import Squash
from scanner.sources.container import EngineContainer
from scanner.sources.plugin import SourceOptions
from tests.engine_fixture import missing

ADDED, MODIFIED, METADATA, DELETED = ChangeKind
Tree = dict[bytes, tuple[Kind, int, bytes]]
"""Path → kind, mode, and content or a link's target."""

_NAMES = st.sampled_from([b"a", b"b", b"\xff\xfe", b".wh.a", b".wh..wh..opq", b"x y"])
_CONTENT = st.sampled_from([b"", b"one", b"two", b"#!/bin/sh", b"\x7fELF" + bytes(2000)])


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    tree: Tree = {b"kept": (Kind.FILE, 0o644, b"always")}
    directories = [b""]
    for _ in range(draw(st.integers(0, 8))):
        directory = draw(st.sampled_from(directories))
        path = (directory + b"/" if directory else b"") + draw(_NAMES)
        if path in tree:
            continue
        kind = draw(st.sampled_from([Kind.FILE, Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK, Kind.FIFO]))
        mode = draw(st.sampled_from([0o755, 0o644, 0o4755]))
        what = draw(_CONTENT) if kind is Kind.FILE else b"kept" if kind is Kind.SYMLINK else b""
        tree[path] = (kind, 0o777 if kind is Kind.SYMLINK else mode, what)
        if kind is Kind.DIRECTORY:
            directories.append(path)
    return tree


_TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.DIRECTORY: tarfile.DIRTYPE,
    Kind.SYMLINK: tarfile.SYMTYPE,
    Kind.FIFO: tarfile.FIFOTYPE,
}


def tar(tree: Tree) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as file:
        for path, (kind, mode, what) in tree.items():
            member = tarfile.TarInfo(os.fsdecode(path))
            member.type, member.mode = _TYPES[kind], mode
            if kind is Kind.SYMLINK:
                member.linkname = os.fsdecode(what)
            elif kind is Kind.FILE:
                member.size = len(what)
            file.addfile(member, io.BytesIO(what))
    return made.getvalue()


def unpack(tree: Tree, top: Path) -> None:
    for path, (kind, mode, what) in tree.items():
        place = top / os.fsdecode(path)
        if kind is Kind.DIRECTORY:
            place.mkdir()
        elif kind is Kind.SYMLINK:
            place.symlink_to(os.fsdecode(what))
            continue
        elif kind is Kind.FIFO:
            os.mkfifo(place)
        else:
            place.write_bytes(what)
        place.chmod(mode)


def expected(before: Tree, after: Tree) -> dict[bytes, ChangeKind]:
    found = dict.fromkeys(before.keys() - after.keys(), DELETED)
    found |= dict.fromkeys(after.keys() - before.keys(), ADDED)
    for path in before.keys() & after.keys():
        (kind, mode, what), (kind2, mode2, what2) = before[path], after[path]
        if (kind, what) != (kind2, what2):
            found[path] = MODIFIED
        elif mode != mode2:
            found[path] = METADATA
    return found


def plain(tree: Tree) -> Tree:
    """Without names that a layer cannot hold: they mean removal there."""
    return {p: e for p, e in tree.items() if b".wh." not in p}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees().map(plain), trees(), st.booleans())
def test_any_two_trees(tmp_path_factory: pytest.TempPathFactory, before: Tree, after: Tree, unpacked: bool) -> None:
    folder = tmp_path_factory.mktemp("pair")
    (folder / "before.tar").write_bytes(tar(before))
    if unpacked:
        (folder / "after").mkdir()
        unpack(after, folder / "after")
    else:
        (folder / "after").write_bytes(tar(after))
    with ExitStack() as resources:
        found = open_pair(f"rootfs:{folder}/before.tar", f"rootfs:{folder}/after", SourceOptions(), resources)

        if unpacked and os.geteuid() == 0:
            _same_owner(found)
        changes = {c.path: c.change for c in found.changes}
        wanted = expected(before, after)
        for path, (
            kind,
            _,
            _,
        ) in after.items():  # of such a name, a tar's reader here knows no more than that it is a file
            if not unpacked and kind is not Kind.FILE and path.rpartition(b"/")[2].startswith(b".wh."):
                changes.pop(path), wanted.pop(path)
        assert changes == wanted
        assert not any(n.incomplete for n in found.notifications)
        for path, (kind, _, what) in after.items():
            if kind is Kind.FILE:
                assert found.content_after(path) == what
        _over(found, after, resources)


def _same_owner(found: Compared) -> None:
    assert all(c.after is None or (c.after.uid, c.after.gid) == (0, 0) for c in found.changes)


def _over(found: Compared, after: Tree, resources: ExitStack) -> None:
    """The run's layer over before's is after, but for modes where the content is the same."""
    notes = Notes()
    layers = [open_layer(blob, Limits(), notes, resources) for blob in (*found.before.blobs, *found.layers)]
    seen = {}
    for met in Squash(layers[::-1], notes).walk():
        if met.stood is not None:
            state = met.stood.state
            content = b"".join(met.stood.chunks()) if state.kind is Kind.FILE else state.link_target or b""
            seen[met.path.replace(b"%2Ewh.", b".wh.")] = (state.kind, content)
    assert {p: e for p, e in seen.items() if b".wh." not in p} == {
        p: (kind, what) for p, (kind, _, what) in plain(after).items()
    }


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees(), st.data())
def test_a_damaged_archive_is_an_error_of_ours_or_a_result(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    raw = bytearray(tar(tree))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(raw), 4096) - 1))
        raw[at : at + 8] = data.draw(st.binary(max_size=12))
    (folder / "after").write_bytes(bytes(raw))
    (folder / "before").write_bytes(tar({b"kept": (Kind.FILE, 0o644, b"always")}))
    with ExitStack() as resources:
        try:
            found = open_pair(f"rootfs:{folder}/before", f"rootfs:{folder}/after", SourceOptions(), resources)
        except ScannerError:
            return
        assert len({c.path for c in found.changes}) == len(found.changes)


def _root() -> None:
    if os.geteuid() != 0:
        missing("root, for overlay's marks")


def test_an_upper_directory_with_every_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _root()
    before, upper = tmp_path / "before", tmp_path / "upper"
    for path in ("gone/x/y", "opaque/old", "opaque/same", "opaque/in/ner", "socket", "attribute", "user/stays", "file"):
        (before / path).parent.mkdir(parents=True, exist_ok=True)
        (before / path).write_text("before")
    for path in ("opaque/in", "user", "dir"):
        (upper / path).mkdir(parents=True)
    os.mknod(upper / "gone", 0o600 | 0o020000, 0)
    os.setxattr(upper / "opaque", "trusted.overlay.opaque", b"y")
    os.setxattr(upper / "user", "user.overlay.opaque", b"y")  # any container may set that: it is no mark here
    (upper / "opaque/same").write_text("before")
    (upper / "opaque/new").write_text("new")
    (upper / "attribute").write_text("")
    os.setxattr(upper / "attribute", "trusted.overlay.whiteout", b"y")
    os.mknod(upper / "device", 0o600 | 0o020000, os.makedev(1, 3))
    for top, number in ((before, 5), (upper, 6)):
        os.mknod(top / "other", 0o600 | 0o020000, os.makedev(1, number))
        os.mknod(top / "same", 0o600 | 0o020000, os.makedev(1, 7))
    os.mkfifo(upper / "pipe")
    with socket.socket(socket.AF_UNIX) as s:
        monkeypatch.chdir(upper)  # a socket's path must be short
        s.bind("socket")
    (upper / "file").mkdir()
    (upper / "moved").mkdir()
    os.setxattr(upper / "moved", "trusted.overlay.redirect", b"/gone")
    with ExitStack() as resources:
        found = open_pair(f"rootfs:{before}", f"upper:{upper}", SourceOptions(), resources)

        assert {c.path: c.change for c in found.changes} == {
            b"gone": DELETED,
            b"gone/x": DELETED,
            b"gone/x/y": DELETED,
            b"opaque/old": DELETED,
            b"opaque/in/ner": DELETED,
            b"opaque/new": ADDED,
            b"attribute": DELETED,
            b"socket": DELETED,
            b"file": MODIFIED,
            b"device": ADDED,
            b"other": MODIFIED,
            b"pipe": ADDED,
            b"dir": ADDED,
            b"moved": ADDED,
        }
        [warned] = [n for n in found.notifications if n.incomplete]
        assert warned.path == b"moved"
        assert "redirect_dir" in warned.message


def test_a_file_that_changes_while_it_is_read_is_said_to(tmp_path: Path) -> None:
    notes = Notes()
    with ExitStack() as resources:
        root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
        resources.callback(os.close, root)
        layer = TreeLayer(root, notes, resources)

        def looked_at(name: str) -> Stood:
            (tmp_path / name).write_bytes(bytes(3 << 20))
            stood = layer.get(name.encode())
            assert isinstance(stood, Stood)
            return stood

        grows = looked_at("grows").chunks()
        size = len(next(grows))
        with (tmp_path / "grows").open("ab") as file:
            file.write(b"more")
        assert size + sum(map(len, grows)) == 3 << 20
        assert [(n.level, n.path) for n in notes.notifications] == [(Level.NOTE, b"grows")]

        shrinks = looked_at("shrinks").chunks()
        next(shrinks)
        os.truncate(tmp_path / "shrinks", 1 << 20)
        with pytest.raises(OSError, match="shrank"):
            list(shrinks)

        replaced = looked_at("replaced").chunks()
        (tmp_path / "replaced").unlink()
        os.mkfifo(tmp_path / "replaced")
        with pytest.raises(OSError, match="replaced"):
            list(replaced)

        linked = looked_at("linked").chunks()
        (tmp_path / "linked").unlink()
        (tmp_path / "linked").symlink_to("/etc/passwd")
        with pytest.raises(OSError, match="replaced"):
            list(linked)

        vanishes = looked_at("vanishes").chunks()
        (tmp_path / "vanishes").unlink()
        with pytest.raises(FileNotFoundError):
            list(vanishes)


def test_a_directory_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_text("of the host")
    top = tmp_path / "top"
    (top / "dir").mkdir(parents=True)
    (top / "dir/file").write_text("mine")
    with ExitStack() as resources:
        root = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        resources.callback(os.close, root)
        layer = TreeLayer(root, Notes(), resources)
        (top / "dir").rename(top / "other")
        (top / "dir").symlink_to(tmp_path / "secret")
        assert layer.get(b"dir/file") is None
        with pytest.raises(OSError, match="Not a directory"):
            layer.names(b"dir")


def test_a_tree_that_is_too_deep_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "before/x").write_text("x")
    (tmp_path / "after").mkdir()
    with ExitStack() as resources:
        at = os.open(tmp_path / "after", os.O_RDONLY)
        for _ in range(1_100):
            os.mkdir("d", dir_fd=at)
            inner = os.open("d", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = inner
        os.close(at)
        found = open_pair(f"rootfs:{tmp_path}/before", f"rootfs:{tmp_path}/after", SourceOptions(), resources)

        assert len(found.changes) == 1_002
        [note] = [n for n in found.notifications if n.incomplete]
        assert note.path == b"/".join([b"d"] * 1_001)
    subprocess.run(["rm", "-rf", tmp_path / "after"], check=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", ""),
        (struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0), "cap_net_raw=ep"),
        (struct.pack("<5I", 0x02000000, 1 << 13 | 1, 0, 0, 1 << 7), "cap_bpf=i cap_chown,cap_net_raw=p"),
        (struct.pack("<6I", 0x03000001, 0, 0, 1 << 31, 0, 1000), "cap_63=ep"),
        (b"\1\2\3", "unknown 010203"),
        (struct.pack("<5I", 0x09000000, 0, 0, 0, 0), f"unknown {struct.pack('<5I', 0x09000000, 0, 0, 0, 0).hex()}"),
    ],
)
def test_capabilities_in_words(value: bytes, expected: str) -> None:
    assert words(value) == expected


@given(st.binary(max_size=40))
def test_any_capability_has_words(value: bytes) -> None:
    assert isinstance(words(value), str)


_FIELDS = st.sampled_from(
    [b"1", b"0:5", b"x:y", b"/", b"/m\\040x", b"rw,relatime", b"-", b"tmpfs", b"ext4", b"ro", b"\xff"]
)


@given(
    st.lists(
        st.binary(max_size=60) | st.lists(_FIELDS, min_size=8, max_size=12).map(b" ".join),
        max_size=8,
    )
)
def test_any_mount_table_is_read(lines: list[bytes]) -> None:
    container = EngineContainer("ab" * 32, "c", "", "", True, 1, 0.0, None, None, (), None, True, None, "", {})  # type: ignore[arg-type]
    for mount in mounts._from_kernel(lines, container):
        assert mount.point
        assert mount.place in ("tmpfs", mounts.MADE_INSIDE)


@given(st.binary(max_size=200))
def test_any_passwd_names_users(text: bytes) -> None:
    assert all(name.isprintable() for name in opening._users(b"root:x:0:0\n" + text).values())


def test_many_layers_need_few_descriptors(tmp_path: Path) -> None:
    """127 layers, each with the same eight directories: Docker's most, and a process may open 1,024 files."""
    notes = Notes()
    with ExitStack() as resources:
        layers = []
        for number in range(127):
            for directory in range(8):
                folder = tmp_path / f"{number}/d{directory}"
                folder.mkdir(parents=True)
                (folder / f"f{number}").touch()
            root = os.open(tmp_path / str(number), os.O_RDONLY | os.O_DIRECTORY)
            resources.callback(os.close, root)
            layers.append(TreeLayer(root, notes, resources))
        held = len(list(Path("/proc/self/fd").iterdir()))
        assert sum(met.stood is not None for met in Squash(layers, notes).walk()) == 8 + 8 * 127
        assert len(list(Path("/proc/self/fd").iterdir())) - held <= 4 * 127
        assert notes.notifications == ()


@given(
    st.sets(
        st.lists(st.sampled_from([b".wh.", b"%2Ewh.", b"%25", b"%", b"x", b".wh"]), min_size=1).map(b"".join),
        max_size=8,
    )
)
def test_no_two_files_of_a_run_have_one_name_in_its_layer(names: set[bytes]) -> None:
    """What a name means to a layer is written in another way: a file that has that name itself is not put in its place."""
    with ExitStack() as resources:
        kept = Kept(Limits(), Notes(), resources)
        for name in names:
            assert kept.add(b"d/" + name, FileState(Kind.FILE, 0o644, 0, 0, len(name)), (name,)) == ""
        blob = kept.blob(Layer(0, None))
        assert blob.file is not None
        table = index(blob.file.fd, blob.file.size, "the layer", Limits())
        assert all(table.is_entry(row) for row in range(len(table)))
        assert len({table.path(row) for row in range(len(table))}) == len(names)
        assert all(kept.content(b"d/" + name, 1 << 20) == name for name in names)


@pytest.mark.parametrize("modified", [-1e18, -1.5, 0, 253402300800.0, 9e18])
def test_a_time_that_no_calendar_has_is_kept_and_told(tmp_path: Path, modified: float) -> None:
    state = FileState(Kind.FILE, 0o7777, 2**32 - 1, 2**32 - 1, 1, modified)
    with ExitStack() as resources:
        kept = Kept(Limits(), Notes(), resources)
        assert kept.add(b"x", state, (b"x",)) == ""
        blob = kept.blob(Layer(0, None))
        assert blob.file is not None
        table = index(blob.file.fd, blob.file.size, "the layer", Limits())
        assert table.path(0) == b"x"
        assert table.entry(0, 0).uid == 2**32 - 1


def test_two_files_of_one_path_are_both_in_the_layer() -> None:
    """One of them lies under a mount."""
    with ExitStack() as resources:
        kept = Kept(Limits(), Notes(), resources)
        for content in (b"under", b"over", b"on top"):
            assert kept.add(b"d/x", FileState(Kind.FILE, 0o644, 0, 0, len(content)), (content,)) == ""
        assert kept.add(b"d/x#2", FileState(Kind.FILE, 0o644, 0, 0, 5), (b"other",)) == ""
        blob = kept.blob(Layer(0, None))
        assert blob.file is not None
        table = index(blob.file.fd, blob.file.size, "the layer", Limits())
        assert {table.path(row) for row in range(len(table))} == {b"d/x", b"d/x#2", b"d/x#3", b"d/x#2#2"}
        assert kept.content(b"d/x", 100) == b"on top"
