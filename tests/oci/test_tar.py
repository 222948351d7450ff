"""The layer walk against tarfile as the oracle, and against tars that no writer would make."""

import hashlib
import io
import os
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import DigestMismatch, LayerError, LimitError, ScannerError
from scanner.model import Descriptor, Kind, Layer, Limits
from scanner.oci.blob import StoredFile, TarBlob
from scanner.oci.table import FILE, OPAQUE, WHITEOUT, EntryTable
from scanner.oci.tar import TarWalk, clean, number, pax_records, whiteout


def blob(data: bytes, diff_id: str | None = None, digest: str | None = None, file: StoredFile | None = None) -> TarBlob:
    return TarBlob(Layer(0, diff_id), Descriptor("tar", digest, len(data)), lambda: io.BytesIO(data), file)


def walked(data: bytes, limits: Limits | None = None) -> TarWalk:
    walk = TarWalk(blob(data), limits or Limits())
    for _, chunk in walk.chunks():
        walk.update(chunk)
    return walk


def contents(data: bytes) -> dict[bytes, bytes]:
    table = walked(data).table
    return {
        table.path(r): data[table.offsets[r] : table.offsets[r] + table.stored[r]]
        for r in range(len(table))
        if table.kinds[r] == FILE
    }


def member(name: bytes, data: bytes = b"", kind: bytes = b"0", link: bytes = b"", size: int | None = None) -> bytes:
    """One ustar member, byte by byte, so that names no library would write can be written."""
    head = bytearray(512)
    head[: len(name)] = name
    head[100:108] = b"0000644\0"
    head[108:116] = head[116:124] = b"0000000\0"
    head[124:136] = b"%011o\0" % (len(data) if size is None else size)
    head[136:148] = b"00000000000\0"
    head[156:157] = kind
    head[157 : 157 + len(link)] = link
    head[257:265] = b"ustar\x0000"
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data + bytes(-len(data) % 512)


END = bytes(1024)

names = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="/"), min_size=1, max_size=60)


@given(
    st.lists(st.tuples(st.lists(names, min_size=1, max_size=5), st.binary(max_size=2000)), max_size=12),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
@settings(max_examples=200, deadline=None)
def test_every_writer_of_tarfile_is_read_as_tarfile_reads_it(files, form):
    out = io.BytesIO()
    expected = {}
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for parts, data in files:
            info = tarfile.TarInfo("/".join(parts))
            info.size = len(data)
            with suppress(ValueError, UnicodeError):  # ustar cannot hold every name
                tar.addfile(info, io.BytesIO(data))
                path = clean(info.name.encode("utf-8", "surrogateescape"))
                if whiteout(path) is None:
                    expected[path] = data
    assert contents(out.getvalue()) == expected


def test_metadata_is_kept():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("usr/bin/x")
        info.mode, info.uid, info.gid, info.mtime, info.size = 0o4755, 1 << 30, 7, 1700000000.5, 3
        tar.addfile(info, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("usr/bin/y")
        link.type, link.linkname = tarfile.LNKTYPE, "./usr/bin/x"
        tar.addfile(link)
        soft = tarfile.TarInfo("z" * 300)
        soft.type, soft.linkname = tarfile.SYMTYPE, "../" + "t" * 300
        tar.addfile(soft)
        fifo = tarfile.TarInfo("run/f")
        fifo.type = tarfile.FIFOTYPE
        tar.addfile(fifo)

    table = walked(out.getvalue()).table
    first, hard, symbolic, pipe = (table.entry(r, 2) for r in range(4))

    assert (first.path, first.mode, first.uid, first.gid, first.mtime) == (b"usr/bin/x", 0o4755, 1 << 30, 7, 1700000000)
    assert (first.kind, first.size, first.layer) == (Kind.FILE, 3, 2)
    assert (hard.kind, hard.link_target, hard.size, hard.offset) == (Kind.HARDLINK, b"usr/bin/x", 0, -1)
    assert (symbolic.path, symbolic.link_target) == (b"z" * 300, b"../" + b"t" * 300)
    assert pipe.kind is Kind.FIFO


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"/etc/passwd", b"etc/passwd"),
        (b"./etc//passwd", b"etc/passwd"),
        (b"../../etc/passwd", b"etc/passwd"),
        (b"a/../b", b"b"),
        (b"a/./b/", b"a/b"),
        (b"./", b""),
        (b"..", b""),
        (b"caf\xe9", b"caf\xe9"),
        (b".hidden", b".hidden"),
    ],
)
def test_names_are_paths_below_the_root(name, path):
    assert clean(name) == path


@pytest.mark.parametrize(
    ("path", "removes"),
    [
        (b"a/.wh.b", (WHITEOUT, b"a/b")),
        (b".wh.b", (WHITEOUT, b"b")),
        (b"a/.wh..wh..opq", (OPAQUE, b"a")),
        (b".wh..wh..opq", (OPAQUE, b"")),
        (b"a/.wh..wh..opqX", (WHITEOUT, b"a/.wh..opqX")),
        (b"a/.wh.", None),
        (b"a/.wh..", None),
        (b"a/.wh...", None),
        (b"a/x.wh.b", None),
        (b"a.wh./b", None),
    ],
)
def test_whiteouts_mean_what_the_image_spec_says(path, removes):
    assert whiteout(path) == removes


def test_a_sparse_member_is_its_stored_bytes_and_the_next_member_is_found():
    # GNU sparse 1.0: the map and the data are the member's content, the real size stands in the pax header
    body = b"1\n1073741824\n5\n".ljust(512, b"\0") + b"hello"
    keys = (b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.name=big", b"GNU.sparse.realsize=1073741829")
    pax = b"".join(b"%d %s\n" % (len(r) + 4, r) for r in keys)
    data = member(b"h", pax, b"x") + member(b"GNUSparseFile.0/big", body) + member(b"next", b"ok") + END
    table = walked(data).table
    assert [table.path(r) for r in range(2)] == [b"big", b"next"]
    assert table.entry(0, 0).size == 1073741829
    assert table.stored[0] == 517


def test_an_old_sparse_member_with_a_continued_map(tmp_path: Path):
    file = tmp_path / "sparse"
    with file.open("wb") as f:
        for i in range(30):  # more pieces than a header holds: continuation blocks
            f.seek(i * 1 << 20)
            f.write(b"piece%02d" % i)
    if os.system(f"cd {tmp_path} && echo after > after && tar --format=gnu --sparse -cf s.tar sparse after") != 0:
        pytest.fail("GNU tar is needed")
    data = (tmp_path / "s.tar").read_bytes()
    table = walked(data).table
    assert [table.path(r) for r in range(len(table))] == [b"sparse", b"after"]
    assert table.entry(0, 0).size == file.stat().st_size
    begin = table.offsets[0]
    assert data[begin : begin + 7] == b"piece00"
    assert data[table.offsets[1] : table.offsets[1] + 6] == b"after\n"


def test_header_only_members_have_no_data_whatever_their_size_says():
    # as Go's archive/tar: else a link's size would hide the members behind it
    data = member(b"link", kind=b"1", link=b"x", size=512) + member(b"seen", b"1") + END
    assert contents(data) == {b"seen": b"1"}


def test_duplicate_members_are_both_there():
    table = walked(member(b"a", b"1") + member(b"a", b"2") + END).table
    assert [table.path(r) for r in range(2)] == [b"a", b"a"]


@pytest.mark.parametrize("cut", range(0, 12288 + 1, 512))
def test_a_tar_cut_off_anywhere_is_an_error_or_ends_at_a_member(cut):
    whole = b"".join(member(b"f%d" % i, bytes([65 + i]) * 1500) for i in range(6)) + END
    boundaries = {n * 2048 for n in range(1, 7)} | {len(whole) - 512, len(whole)}
    if cut in boundaries:
        assert len(walked(whole[:cut]).table) == min(cut // 2048, 6)
    elif cut < len(whole):
        with pytest.raises(LayerError, match=r"breaks off|empty"):
            walked(whole[:cut])


def test_damage_is_an_error_that_names_the_place():
    data = bytearray(member(b"a", b"1" * 600) + member(b"b") + END)
    data[1536 + 3] ^= 1
    with pytest.raises(LayerError, match=r"byte 1536.*checksum"):
        walked(bytes(data))


def test_negative_and_huge_sizes_are_errors():
    head = bytearray(member(b"a"))
    head[124:136] = b"\xff" * 12
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    with pytest.raises(LayerError, match="negative size"):
        walked(bytes(head) + END)
    with pytest.raises(LayerError, match="breaks off"):
        walked(member(b"a", size=0o77777777777) + END)


def test_limits_stop_the_walk():
    data = b"".join(member(b"%d" % i) for i in range(11)) + END
    with pytest.raises(LimitError, match="layer-entries"):
        walked(data, Limits(layer_entries=10))
    with pytest.raises(LimitError, match="layer-bytes"):
        walked(data, Limits(layer_bytes=1024))


def test_digests_are_verified_and_both_named():
    data = member(b"a", b"1") + END
    real = "sha256:" + hashlib.sha256(data).hexdigest()
    other = "sha256:" + "0" * 64
    for diff_id, digest in ((other, None), (None, other), (other, real), (real, other)):
        walk = TarWalk(blob(data, diff_id, digest), Limits())
        for _, chunk in walk.chunks():
            walk.update(chunk)
        with pytest.raises(DigestMismatch) as error:
            walk.verify()
        assert other in str(error.value)
        assert real in str(error.value)
    walk = TarWalk(blob(data, real, real), Limits())
    for _, chunk in walk.chunks():
        walk.update(chunk)
    walk.verify()


def test_a_compressed_layer_has_two_digests(tmp_path: Path):
    import gzip

    data = member(b"a", b"1" * 3000) + END
    packed = gzip.compress(data)
    walk = TarWalk(
        blob(packed, "sha256:" + hashlib.sha256(data).hexdigest(), "sha512:" + hashlib.sha512(packed).hexdigest()),
        Limits(),
    )
    for _, chunk in walk.chunks():
        walk.update(chunk)
    walk.verify()
    assert not walk.in_place


def test_a_large_member_is_mapped_where_it_lies(tmp_path: Path):
    payload = os.urandom(3 << 20)
    data = member(b"big", payload) + member(b"after", b"x") + END
    file = tmp_path / "outer"
    file.write_bytes(b"pad" * 100 + data)
    fd = os.open(file, os.O_RDONLY)
    try:
        walk = TarWalk(blob(data, file=StoredFile(fd, 300, len(data))), Limits())
        for _, chunk in walk.chunks():
            walk.update(chunk)
        with walk.region(0) as view:
            assert view is not None
            assert hashlib.sha256(view).digest() == hashlib.sha256(payload).digest()
    finally:
        os.close(fd)


@given(st.binary(max_size=4096), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_hostile_bytes_give_a_layer_error_or_nothing(noise, at):
    data = bytearray(member(b"a", b"12") + member(b"p", b"17 path=somewhere\n", b"x") + member(b"b", b"3") + END)
    data[at * 512 : at * 512 + len(noise)] = noise
    with suppress(ScannerError):
        walked(bytes(data))


@given(st.binary(max_size=300))
def test_pax_records_give_a_mapping_or_a_value_error(noise):
    with suppress(ValueError):
        pax_records(noise)


@given(st.binary(min_size=8, max_size=12))
def test_numbers_are_read_or_refused(field):
    with suppress(ValueError):
        assert isinstance(number(field), int)


@given(st.binary(max_size=2000))
def test_a_table_loads_only_what_it_dumped(noise):
    with suppress(ScannerError):
        EntryTable.load(noise)
    with suppress(ScannerError):
        EntryTable.load(b"SET1" + noise)


def test_a_table_survives_dump_and_load():
    table = walked(member(b"a", b"1" * 600) + member(b"d/.wh.x") + member(b"l", kind=b"2", link=b"t") + END).table
    again = EntryTable.load(table.dump())
    assert [again.path(r) for r in range(3)] == [b"a", b"d/x", b"l"]
    assert again.entry(0, 0) == table.entry(0, 0)
    assert again.link(2) == b"t"
    assert again.row_at(table.offsets[0] + 599) == 0
    assert again.row_at(table.offsets[0] + 600) == -1
