"""Directories as layers: no link followed, no device opened, overlay2's whiteouts read."""

import os
import socket
from pathlib import Path

import pytest

from scanner.errors import TargetError
from scanner.model import Kind, Layer, Level, Limits
from scanner.oci.blob import TreeBlob
from scanner.oci.table import OPAQUE, WHITEOUT
from scanner.oci.tree import TreeWalk

KEEP = 1 << 16


def walk(root: Path, overlay: bool = False) -> tuple[TreeWalk, bytes]:
    result = TreeWalk(TreeBlob(Layer(0, None), root, overlay), Limits(), KEEP)
    data = bytearray()
    for start, chunk in result.chunks():
        data += bytes(start - len(data)) + chunk
    return result, bytes(data)


def contents(root: Path) -> dict[bytes, bytes]:
    w, data = walk(root)
    t = w.table
    return {
        t.path(r): data[t.offsets[r] : t.offsets[r] + t.stored[r]].ljust(t.stored[r], b"\0")
        for r in range(len(t))
        if t.is_entry(r) and t.entry(r, 0).kind is Kind.FILE
    }


def test_files_small_large_and_empty_are_read_in_a_stable_order(tmp_path: Path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/large").write_bytes(os.urandom(KEEP * 40 + 3))
    (tmp_path / "b/small").write_bytes(b"s")
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "z").write_bytes(b"after the large one")
    expected = {os.fsencode(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert contents(tmp_path) == expected
    w, _ = walk(tmp_path)
    assert list(w.table.paths()) == [b"a", b"b", b"b/large", b"b/small", b"z"]
    with w.region(2) as view:
        assert view is not None
        assert bytes(view) == (tmp_path / "b/large").read_bytes()
    w.close()


def test_links_are_never_followed_and_nothing_special_is_opened(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("not of this image")
    root = tmp_path / "root"
    root.mkdir()
    (root / "dir").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(root / "socket"))
        w, data = walk(root)
    kinds = {w.table.path(r): w.table.entry(r, 0).kind for r in range(len(w.table))}
    assert kinds == {b"dir": Kind.SYMLINK, b"file": Kind.SYMLINK, b"pipe": Kind.FIFO}
    assert b"not of this image" not in data
    assert w.table.link(0) == os.fsencode(outside)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_an_entry_and_is_not_read(tmp_path: Path):
    os.mknod(tmp_path / "zero", 0o666 | 0o020000, os.makedev(1, 5))
    w, data = walk(tmp_path)
    assert w.table.entry(0, 0).kind is Kind.CHARACTER
    assert data == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_overlay_whiteouts_are_read_as_the_kernel_writes_them(tmp_path: Path):
    os.mknod(tmp_path / "gone", 0o020000, os.makedev(0, 0))
    (tmp_path / "d").mkdir()
    (tmp_path / "d/new").write_text("x")
    try:
        os.setxattr(tmp_path / "d", "trusted.overlay.opaque", b"y")
    except OSError:
        pytest.skip("this file system has no trusted attributes")
    rows = {(w.table.path(r), w.table.kinds[r]) for w, _ in [walk(tmp_path, overlay=True)] for r in range(len(w.table))}
    assert (b"gone", WHITEOUT) in rows
    assert (b"d", OPAQUE) in rows
    plain, _ = walk(tmp_path)
    assert plain.table.entry(2, 0).kind is Kind.CHARACTER, "in a plain tree nothing is a whiteout"


def test_hard_links_are_read_once(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"once")
    os.link(tmp_path / "a", tmp_path / "b")
    w, data = walk(tmp_path)
    assert w.table.entry(1, 0).kind is Kind.HARDLINK
    assert w.table.link(1) == b"a"
    assert data.count(b"once") == 1


def test_a_sparse_file_costs_its_data_not_its_size(tmp_path: Path):
    with (tmp_path / "sparse").open("wb") as f:
        f.truncate(1 << 40)
        f.seek(1 << 39)
        f.write(b"found in the middle")
    (tmp_path / "zhole").open("wb").truncate(1 << 40)
    w = TreeWalk(TreeBlob(Layer(0, None), tmp_path), Limits(), KEEP)
    seen = [(start, chunk.strip(b"\0")) for start, chunk in w.chunks() if chunk.strip(b"\0")]
    assert seen[0][1] == b"found in the middle"
    assert w.table.row_at(seen[0][0]) == 0
    w.close()


def test_names_that_are_no_utf8_survive(tmp_path: Path):
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))).write_bytes(b"x")
    assert contents(tmp_path) == {b"caf\xe9": b"x"}


def test_deep_trees_end_with_a_notification(tmp_path: Path):
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(300):
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.chdir(here)
    w, _ = walk(tmp_path)
    [note] = w.notifications
    assert note.level is Level.WARNING
    assert "256 directories deep" in note.message
    os.system(f"rm -rf {tmp_path}/d")


def test_a_root_that_is_missing_or_a_link_is_a_target_error(tmp_path: Path):
    (tmp_path / "link").symlink_to("/")
    for name in ("missing", "link"):
        with pytest.raises(TargetError, match=name):
            walk(tmp_path / name)
