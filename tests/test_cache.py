"""The cache is a help and never a danger: damaged, foreign, full or shared, a scan goes on as if it were not there."""

import inspect
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.keys import public_line
from scanner.cache import Cache
from scanner.errors import ParseError
from scanner.model import Evidence, Image, ImageConfig, Layer, Level, Notification, Target
from scanner.oci import tree as tree_
from scanner.oci.blob import TreeBlob
from scanner.oci.table import FILE, EntryTable
from scanner.oci.tree import stamp
from scanner.pipeline import Options, scan_opened
from scanner.record import Carrier, FilePack, LayerRecord, Stored, dump, load, unpack_files
from scanner.sources.plugin import OpenImage

KEY = public_line("stamp", "nobody@a") + "\n"

STORED = Stored(b"seen", b"table", b"kept")


def test_what_was_put_is_got(tmp_path: Path):
    cache = Cache(tmp_path / "c")
    assert cache.get("k") is None
    cache.put("k", STORED)
    assert cache.get("k") == STORED
    assert Cache(tmp_path / "c").get("k") == STORED
    assert cache.info().layers == 1
    assert (tmp_path / "c").stat().st_mode & 0o077 == 0
    cache.drop("k")
    assert cache.get("k") is None
    assert cache.clear() > 0
    assert cache.info().layers == 0
    assert cache.problem is None


@pytest.mark.parametrize("damage", [b"", b"not a database at all, but long enough to look like a file" * 40])
def test_a_damaged_file_is_built_anew(tmp_path: Path, damage: bytes):
    cache = Cache(tmp_path)
    cache.put("k", STORED)
    cache.file.write_bytes(damage)
    fresh = Cache(tmp_path)
    assert fresh.get("k") is None
    fresh.put("k", STORED)
    assert fresh.get("k") == STORED


def test_a_page_overwritten_is_no_evidence(tmp_path: Path):
    cache = Cache(tmp_path)
    for i in range(200):
        cache.put(f"k{i}", Stored(os.urandom(500), b"t", b"k"))
    data = bytearray(cache.file.read_bytes())
    data[4096 * 3 : 4096 * 6] = os.urandom(4096 * 3)
    cache.file.write_bytes(data)
    for i in range(200):
        got = Cache(tmp_path).get(f"k{i}")
        assert got is None or got.table == b"t"


def test_a_row_changed_behind_our_back_is_thrown_away(tmp_path: Path):
    cache = Cache(tmp_path)
    cache.put("k", STORED)
    with sqlite3.connect(cache.file) as db:
        db.execute("UPDATE layer SET seen = ?", (b"nothing to see here",))
    assert cache.get("k") is None
    assert "damaged" in (cache.problem or "")


def test_another_programs_database_is_not_written_into(tmp_path: Path):
    file = tmp_path / "layers.sqlite"
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE theirs (x)")
    cache = Cache(tmp_path)
    assert cache.get("k") is None
    assert cache.problem is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_somebody_elses_cache_is_not_believed(tmp_path: Path):
    cache = Cache(tmp_path / "c")
    cache.put("k", STORED)
    os.chown(cache.file, 65534, 65534)
    assert cache.get("k") is None
    assert "somebody else" in (cache.problem or "")
    os.chown(cache.file, 0, 0)
    (tmp_path / "c").chmod(0o777)
    assert cache.get("k") is None


def test_a_place_that_cannot_be_written_costs_nothing_but_the_cache(tmp_path: Path):
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "below")
    assert cache.get("k") is None
    cache.put("k", STORED)
    assert cache.problem is not None


def test_many_scans_share_it(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from scanner.cache import Cache; from scanner.record import Stored\n"
        "c = Cache(Path(sys.argv[1]))\n"
        "for i in range(50): c.put(f'{sys.argv[2]}-{i}', Stored(b's' * 5000, b't', b'k')); assert c.get(f'{sys.argv[2]}-{i}'), c.problem"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, tmp_path, str(n)]) for n in range(6)]
    assert [p.wait(60) for p in running] == [0] * 6
    assert Cache(tmp_path).info().layers == 300


def record() -> LayerRecord:
    table = EntryTable()
    table.add(b"caf\xe9", FILE, 0o4755, 1, 2, 3, 512, 9)
    evidence = Evidence(
        "miner", "pool", b"caf\xe9", (b"in\xff", b"x"), 5, None, "…", {"n": [1, None, "x"], "d": {"k": True}}
    )
    return LayerRecord(
        "sha256:1",
        2048,
        (Carrier(b"caf\xe9", 0o4755, 1, 2, True, (b"bin/\xe9",), (evidence,), "ab" * 32, 7),),
        (Notification("content", Level.WARNING, "cut", b"caf\xe9", (b"y",), None, 3),),
        {"files": 1},
        lambda: table,
        lambda: {b"var/lib/dpkg/info/a.list": b"/a\n", b"\xff": b""},
    )


def packed(files):
    pack = FilePack()
    for path, content in files.items():
        pack.add(path, content)
    return pack.dump()


def test_a_record_survives():
    original = record()
    again = load(dump(original, original.table().dump(), packed(original.kept())))
    assert again.carriers == original.carriers
    assert again.notifications == original.notifications
    assert (again.diff_id, again.size, again.statistics) == ("sha256:1", 2048, {"files": 1})
    assert again.table().path(0) == b"caf\xe9"
    assert again.kept() == original.kept()


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_hostile_records_are_parse_errors(noise: bytes):
    import zlib

    for raw in (noise, zlib.compress(noise), zlib.compress(b'{"carriers": ' + noise + b"}")):
        with pytest.raises(ParseError):
            load(Stored(raw, b"", b""))
        try:
            unpack_files(raw)
        except ParseError:
            continue


def test_only_what_the_same_bytes_say_again_is_lasting():
    assert record().lasting
    for stage in ("layer", "spool", "rules", "detector", "worker"):
        transient = LayerRecord(None, 0, (), (Notification(stage, Level.ERROR, "x"),), {}, EntryTable, dict)
        assert not transient.lasting


def standing(tree: Path) -> OpenImage:
    """An image whose one layer lies unpacked where its engine keeps it."""
    layer = Layer(0, "sha256:" + "1" * 64)
    image = Image(None, "linux/amd64", None, ImageConfig(), (layer,))
    return OpenImage(Target("docker", "app", "app"), image, (TreeBlob(layer, tree, overlay=True),))


def swapped(tree: Path) -> None:
    """Other content of the same size, with the old time."""
    file = tree / "root/.ssh/authorized_keys"
    times = file.stat()
    file.write_text(KEY.replace("nobody@a", "nobody@b"))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        swapped,
        lambda tree: (tree / "root/.ssh/authorized_keys").chmod(0o644),
        lambda tree: (tree / "etc/new").write_text(""),
        lambda tree: (tree / "etc/hostname").unlink(),
        lambda tree: (tree / "etc/hostname").rename(tree / "etc/other"),
    ],
)
def test_an_unpacked_layer_is_known_again_until_a_file_of_it_changes(
    change: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_, "SETTLED_NS", 0)
    tree = tmp_path / "diff"
    for path, text in (("root/.ssh/authorized_keys", KEY), ("etc/hostname", "a\n")):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    options = Options(cache=Cache(tmp_path / "cache"))

    first, again = (scan_opened(standing(tree), options) for _ in range(2))
    change(tree)
    after = scan_opened(standing(tree), options)

    assert [r.statistics["layers_cached"] for r in (first, again, after)] == [0, 1, 0]
    assert again.findings == first.findings
    assert [f.rule_id for f in first.findings] == ["ssh/authorized-key"]


def test_a_tree_that_was_changed_a_moment_ago_has_no_stamp(tmp_path: Path) -> None:
    """The clock of its files may not have ticked since: the next change would look the same."""
    (tmp_path / "a").write_text("")

    assert stamp(TreeBlob(Layer(0, None), tmp_path), 9) is None
    time.sleep(tree_.SETTLED_NS / 1e9 + 0.1)
    assert stamp(TreeBlob(Layer(0, None), tmp_path), 9) is not None


def test_a_tree_that_is_deeper_than_python_goes_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path.joinpath(*["d"] * 300)
    deep.mkdir(parents=True)
    monkeypatch.setattr(tree_, "SETTLED_NS", 0)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 120)
    try:
        told = stamp(TreeBlob(Layer(0, None), tmp_path), 1000)
    finally:
        sys.setrecursionlimit(limit)
    assert told is None or sys.version_info >= (3, 12), "os.fwalk went by recursion until then"


def test_a_tree_that_cannot_be_looked_at_whole_has_no_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_, "SETTLED_NS", 0)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_text("")

    assert stamp(TreeBlob(Layer(0, None), tmp_path), 2) == stamp(TreeBlob(Layer(0, None), tmp_path), 3)
    assert stamp(TreeBlob(Layer(0, None), tmp_path), 1) is None
    assert stamp(TreeBlob(Layer(0, None), tmp_path / "gone"), 9) is None
