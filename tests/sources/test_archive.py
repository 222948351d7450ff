"""Saved images in every form: what is opened, and what is refused with which words."""

import io
import os
import random
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.tarball import Member, directory, symlink, tar
from scanner.errors import DigestMismatch, LayerError, LimitError, ScannerError, SourceError, TargetError
from scanner.model import Level, Limits
from scanner.oci.blob import TarBlob
from scanner.oci.files import spooled
from scanner.oci.saved import Beginning, beginning
from tests.sources import forms
from tests.sources.forms import Saved, document, gz, plain, zst
from tests.sources.reading import contents, opened, stored_digest

APP = forms.make(forms.small_layers())
OTHER = forms.make([forms.small_layers()[1]])
ARM = forms.make(forms.small_layers(), "linux/arm64")

FORMS: dict[str, Callable[[Saved], bytes]] = {
    "docker 20.10": forms.legacy,
    "docker-archive": forms.docker_archive,
    "engine 25": lambda image: forms.pack(forms.engine25(image)),
    "containerd": lambda image: forms.pack(forms.containerd(image)),
    "containerd zstd": lambda image: forms.pack(forms.containerd(image, packer=zst)),
    "oci-archive": lambda image: forms.pack(forms.layout_files(image, gz)),
}


def tagged(image: Saved, *tags: str) -> Saved:
    return Saved(image.config, image.layers, tags)


def save(folder: Path, data: bytes, name: str = "app.tar") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("outer", [plain, gz, zst], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_image(form: str, outer: forms.Packer, tmp_path: Path) -> None:
    target = save(tmp_path, outer(FORMS[form](APP)), "x.tar.any")
    with opened(f"archive:{target}") as explicit, opened(target) as bare:
        assert explicit.image == bare.image
        assert (bare.target.source, bare.target.repository) == ("archive", "team/app")
        assert bare.image.id == APP.id
        assert bare.image.platform == "linux/amd64"
        assert [layer.created_by for layer in bare.image.layers] == ["RUN step 0", "RUN step 1"]
        assert bare.image.config.cmd == ("sh",)
        assert contents(bare) == [forms.sha256(layer) for layer in APP.layers]
        assert not bare.notifications
        for blob in bare.blobs:
            assert isinstance(blob, TarBlob)
            assert blob.file is not None
            assert os.pread(blob.file.fd, blob.file.size, blob.file.offset) == blob.open().read()[: blob.file.size]
            if blob.descriptor.digest:
                assert stored_digest(blob) == blob.descriptor.digest


@pytest.mark.parametrize("form", ["docker 20.10", "engine 25", "containerd"])
def test_a_layer_that_occurs_twice_is_read_twice(form: str, tmp_path: Path) -> None:
    one, two = forms.small_layers()
    image = forms.make([one, two, one])
    with opened(f"archive:{save(tmp_path, FORMS[form](image))}") as archive:
        assert contents(archive) == [forms.sha256(layer) for layer in (one, two, one)]


def test_an_image_without_layers_is_an_image(tmp_path: Path) -> None:
    with opened(save(tmp_path, forms.legacy(forms.make([])))) as archive:
        assert archive.blobs == archive.image.layers == ()


def test_a_pipe_and_standard_input_are_archives_too(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(gz(forms.legacy(APP)),))
    writer.start()
    with opened(f"archive:{fifo}") as archive:
        assert (archive.image.id, archive.target.repository) == (APP.id, "team/app")
    writer.join()
    script = "from tests.sources.reading import *\nwith opened('archive:-') as a: print(a.image.id, contents(a)[1])"
    done = subprocess.run([sys.executable, "-c", script], input=forms.legacy(APP), capture_output=True, check=True)
    assert done.stdout.decode().split() == [APP.id, forms.sha256(APP.layers[1])]
    with pytest.raises(TargetError, match=f"if it is a pipe with a saved image, write archive:{fifo}"):
        opened(str(fifo))


class TestSeveralImages:
    """Which one is meant."""

    @pytest.fixture(params=["legacy", "engine 25"])
    def archive(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        images = (tagged(APP, "team/app:1", "team/app:2"), tagged(OTHER, "localhost:5000/x:1"))
        data = forms.legacy(*images) if request.param == "legacy" else forms.pack(forms.engine25(*images))
        return save(tmp_path, data, "both.tar")

    def test_none_named_is_an_error_that_lists_them(self, archive: str) -> None:
        with pytest.raises(
            TargetError, match=r"holds several images: .*team/app:1.*team/app:2.*, .*x:1.*both.tar:NAME"
        ) as error:
            opened(f"archive:{archive}")
        assert "@DIGEST" in str(error.value)

    def test_one_is_named_by_reference_tag_or_digest(self, archive: str) -> None:
        for selector, expected, repository in (
            (":team/app:1", APP, "team/app"),
            (":docker.io/team/app:2", APP, "team/app"),
            (":2", APP, "team/app"),
            (":localhost:5000/x:1", OTHER, "localhost:5000/x"),
        ):
            with opened(f"archive:{archive}{selector}") as one:
                assert (one.image.id, one.target.repository) == (expected.id, repository), selector

    def test_a_name_that_is_not_there_lists_those_that_are(self, archive: str) -> None:
        with pytest.raises(TargetError, match=r"does not hold nope:1; it holds .*team/app:1"):
            opened(f"archive:{archive}:nope:1")
        with pytest.raises(TargetError, match="ends in no digest"):
            opened(f"archive:{archive}@sha256:1")
        with pytest.raises(TargetError, match="does not hold @sha256:0000"):
            opened(f"archive:{archive}@sha256:{'0' * 64}")

    def test_two_tags_of_one_image_are_one_image(self, tmp_path: Path) -> None:
        image = tagged(APP, "a:1", "b:2")
        for data in (forms.legacy(image), forms.pack(forms.engine25(image)), forms.pack(forms.containerd(image))):
            with opened(save(tmp_path, data)) as archive:
                assert (archive.image.id, archive.target.repository) == (APP.id, "a")

    def test_by_its_id_where_it_has_no_name(self, tmp_path: Path) -> None:
        target = save(tmp_path, forms.legacy(tagged(APP), tagged(OTHER)))
        with pytest.raises(TargetError, match=f"several images: @{APP.id}, @{OTHER.id}"):
            opened(f"archive:{target}")
        with opened(f"archive:{target}@{OTHER.id}") as one:
            assert (one.image.id, one.target.repository) == (OTHER.id, "app")

    def test_a_bare_path_with_a_name_behind_it_gets_a_hint(self, archive: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(Path(archive).parent)
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        with pytest.raises(ScannerError, match=r"Did you mean archive:both.tar:x"):
            opened("both.tar:x")


class TestPlatforms:
    @pytest.fixture
    def archive(self, tmp_path: Path) -> str:
        return save(tmp_path, forms.pack(forms.containerd(APP, ("linux/arm64", ARM))))

    def test_asked_for(self, archive: str) -> None:
        for platform, image in (("linux/amd64", APP), ("arm64", ARM), ("linux/arm64/v8", ARM)):
            with opened(f"archive:{archive}", platform=platform) as one:
                assert one.image.id == image.id

    def test_this_machines_by_default(self, archive: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        with opened(f"archive:{archive}") as one:
            assert one.image.id == APP.id

    def test_one_that_is_not_there(self, archive: str) -> None:
        with pytest.raises(
            TargetError, match="no image for linux/s390x; choose one with --platform: linux/amd64, linux/arm64"
        ):
            opened(f"archive:{archive}", platform="linux/s390x")

    def test_a_single_image_must_be_what_was_asked_for(self, tmp_path: Path) -> None:
        target = save(tmp_path, forms.legacy(ARM))
        with opened(target) as one:
            assert one.image.platform == "linux/arm64"
        with pytest.raises(TargetError, match="no image for linux/amd64, only for linux/arm64"):
            opened(target, platform="linux/amd64")

    def test_a_platform_listed_but_not_saved(self, tmp_path: Path) -> None:
        files = forms.containerd(APP, ("linux/arm64", ARM))
        arm_manifest, _ = forms.manifest(ARM, gz)
        del files[forms.blob_path(arm_manifest)]
        target = save(tmp_path, forms.pack(files))
        with opened(target) as one:
            assert one.image.id == APP.id
        with pytest.raises(TargetError, match="no image for linux/arm64, only for linux/amd64"):
            opened(target, platform="linux/arm64")

    def test_two_images_for_one_platform_are_said_to_be_two(self, tmp_path: Path) -> None:
        target = save(tmp_path, forms.pack(forms.containerd(APP, ("linux/amd64", OTHER))))
        with opened(target) as one:
            assert one.image.id == APP.id
            assert [(n.level, n.message) for n in one.notifications] == [
                (Level.NOTE, "2 images for linux/amd64 are listed; the first was scanned, as engines take it")
            ]


class TestContradictions:
    """What one tool would read differently from another is refused."""

    def test_two_tables_of_contents_must_mean_the_same_image(self, tmp_path: Path) -> None:
        files = {**forms.engine25(APP), **forms.manifest(OTHER)[1]}
        entries = [
            {
                "Config": forms.blob_path(OTHER.config),
                "RepoTags": ["team/app:1"],
                "Layers": [forms.blob_path(OTHER.layers[0])],
            }
        ]
        target = save(tmp_path, forms.pack({**files, "manifest.json": document(entries)}))
        with pytest.raises(
            SourceError, match=f"index.json means the image {APP.id} .linux/amd64., manifest.json means {OTHER.id}"
        ):
            opened(target)

    def test_names_that_are_swapped(self, tmp_path: Path) -> None:
        one, two = tagged(APP, "a:1"), tagged(OTHER, "b:1")
        swapped = forms.engine25(tagged(APP, "b:1"), tagged(OTHER, "a:1"))["manifest.json"]
        target = save(tmp_path, forms.pack({**forms.engine25(one, two), "manifest.json": swapped}))
        with pytest.raises(SourceError, match="which one runs depends on the engine"):
            opened(f"archive:{target}:a:1")

    @pytest.mark.parametrize("name", ["manifest.json", "index.json", "oci-layout"])
    def test_a_table_of_contents_twice(self, name: str, tmp_path: Path) -> None:
        files = forms.engine25(APP)
        members = [*(Member(n, d) for n, d in files.items()), Member("./" + name, files[name])]
        with pytest.raises(SourceError, match=f"holds {name} twice"):
            opened(save(tmp_path, tar(members)))


def edited(image: Saved, **change: object) -> bytes:
    """Engine 20.10's form with other fields in manifest.json's only entry."""
    layers = [f"{i}/layer.tar" for i in range(len(image.layers))]
    config = image.id.removeprefix("sha256:") + ".json"
    entry = {"Config": config, "RepoTags": ["app:1"], "Layers": layers, **change}
    files = [Member(n, d) for n, d in zip(layers, image.layers, strict=True)]
    return tar([Member(config, image.config), *files, Member("manifest.json", document([entry]))])


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (edited(APP, Layers=["0/layer.tar"]), SourceError, "names 1 layers, its config 2 diff_ids"),
        (edited(APP, Layers=[]), SourceError, "names 0 layers, its config 2 diff_ids"),
        (edited(APP, Layers=None), SourceError, "names 0 layers, its config 2 diff_ids"),
        (edited(APP, Layers=["0/layer.tar"] * 3), SourceError, "names 3 layers, its config 2 diff_ids"),
        (edited(APP, Layers=["0/layer.tar"] * 1001), SourceError, "1001 layers, more than any engine takes"),
        (edited(APP, Layers=["0/layer.tar", "gone"]), SourceError, r"layer 1 \(gone\) is missing"),
        (edited(APP, Layers="x"), SourceError, "Layers is a string, not a list"),
        (edited(APP, Config="gone.json"), SourceError, "gone.json is missing"),
        (edited(APP, Config=""), SourceError, "names no config"),
        (edited(APP, Config="0/layer.tar"), SourceError, "no valid JSON|not a JSON object|nested"),
        (edited(APP, RepoTags=[1]), SourceError, r"RepoTags\[0\] is a number"),
        (tar([Member("manifest.json", b"[]")]), TargetError, "holds no container image"),
        (tar([Member("manifest.json", b"{}")]), SourceError, "is not a list of objects"),
        (tar([Member("manifest.json", b"[" * 100_000)]), SourceError, "nested too deep"),
        (tar([Member("repositories", b"{}")]), SourceError, "older than 1.10"),
        (tar([Member("oci-layout", b"{}"), Member("index.json", b"{}")]), SourceError, "is of version ''"),
        (tar([Member("blobs/x", b"{}")]), TargetError, "neither manifest.json nor index.json"),
        (tar([directory("manifest.json")]), SourceError, "manifest.json is missing"),
        (tar([symlink("manifest.json", "manifest.json")]), SourceError, "manifest.json is missing"),
        (tar([symlink("manifest.json", "/etc/passwd")]), SourceError, "manifest.json is missing"),
        (b"", SourceError, "is empty: saving the image failed, or is not done"),
        (b"x" * 5000, SourceError, "is no tar, or a broken one, at byte 0"),
    ],
)
def test_a_broken_table_of_contents_is_a_clear_error(
    data: bytes, error: type[ScannerError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message) as raised:
        opened(f"archive:{save(tmp_path, data)}")
    assert "app.tar" in str(raised.value)


def test_a_changed_document_names_both_digests(tmp_path: Path) -> None:
    evil = APP.config.replace(b"linux", b"linuX")
    for files, what in ((forms.engine25(APP), "the config of"), (forms.containerd(APP), "the config of")):
        with pytest.raises(SourceError, match=f"{what} .* expected {APP.id}, read {forms.sha256(evil)}"):
            opened(save(tmp_path, forms.pack({**files, forms.blob_path(APP.config): evil})))
    data = forms.legacy(APP).replace(APP.config, evil)
    with pytest.raises(SourceError, match=f"expected {APP.id}, read {forms.sha256(evil)}"):
        opened(save(tmp_path, data))


def test_a_changed_layer_is_found_when_it_is_read(tmp_path: Path) -> None:
    evil = APP.layers[1].replace(b"etc/three", b"etc/THREE")
    for data in (forms.legacy(APP), forms.pack(forms.engine25(APP))):
        with (
            opened(save(tmp_path, data.replace(APP.layers[1], evil))) as archive,
            pytest.raises((DigestMismatch, LayerError)),
        ):
            contents(archive)


def test_a_missing_blob_is_named(tmp_path: Path) -> None:
    files = forms.containerd(APP)
    path = forms.blob_path(gz(APP.layers[1]))
    del files[path]
    with pytest.raises(SourceError, match=rf"layer 1 \({path}\) is missing; the archive was cut off or changed"):
        opened(save(tmp_path, forms.pack(files)))


def test_a_chart_is_no_image(tmp_path: Path) -> None:
    made = document(
        {
            "schemaVersion": 2,
            "config": forms.descriptor("application/vnd.cncf.helm.config.v1+json", b"{}"),
            "layers": [],
        }
    )
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        forms.blob_path(made): made,
        "index.json": forms.index(forms.descriptor(f"{forms.OCI}.manifest.v1+json", made)),
    }
    with pytest.raises(TargetError, match="holds no container image"):
        opened(save(tmp_path, forms.pack(files)))


def test_indexes_within_indexes_end(tmp_path: Path) -> None:
    files = forms.layout_files(APP)
    made, _ = forms.manifest(APP)
    inner, kind = made, "manifest"
    for _ in range(12):
        inner = forms.index(forms.descriptor(f"{forms.OCI}.{kind}.v1+json", inner))
        kind = "index"
        files[forms.blob_path(inner)] = inner
    files["index.json"] = inner
    with pytest.raises(SourceError, match="indexes nested more than 8 deep"):
        opened(save(tmp_path, forms.pack(files)))


def test_an_index_of_too_many_unknowns_ends(tmp_path: Path) -> None:
    line = {"digest": forms.sha256(forms.manifest(APP)[0]), "size": 3}
    files = {**forms.layout_files(APP), "index.json": document({"manifests": [line] * 1001})}
    with pytest.raises(SourceError, match="leads to more than 1000 indexes and manifests"):
        opened(save(tmp_path, forms.pack(files)))


def test_a_document_larger_than_the_limit_is_not_read(tmp_path: Path) -> None:
    target = save(tmp_path, forms.legacy(APP))
    with pytest.raises(
        LimitError, match=r"manifest.json has .* bytes, more than the limit of 50 .*--limit document-bytes=N"
    ):
        opened(target, limits=Limits(document_bytes=50))


def test_more_members_than_an_image_has_end_the_walk(tmp_path: Path) -> None:
    many = tar([Member("manifest.json", b"[]"), *(directory(f"d{i}") for i in range(600))])
    with pytest.raises(SourceError, match=r"more than 500 members.*--limit archive-members=N"):
        opened(save(tmp_path, many), limits=Limits(archive_members=500))


def test_a_layer_stored_with_holes_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with ExitStack() as stack, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        source = stack.enter_context(tarfile.open(fileobj=io.BytesIO(edited(APP))))
        for member in source:
            data = source.extractfile(member)
            if member.name == "1/layer.tar":
                member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
            archive.addfile(member, data)
    with pytest.raises(SourceError, match=r"1/layer.tar is stored sparse"):
        opened(save(tmp_path, out.getvalue()))


@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_leading_dots_are_found(style: int, tmp_path: Path) -> None:
    folder = "deep/" * 30
    layers = [f"./{folder}{i}.tar" for i in range(2)]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=style) as archive:
        entry = {"Config": "./c.json", "RepoTags": None, "Layers": layers}
        for name, data in (
            *zip(layers, APP.layers, strict=True),
            ("./c.json", APP.config),
            ("./manifest.json", document([entry])),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("hard.tar")
        link.type, link.linkname = tarfile.LNKTYPE, layers[0]
        archive.addfile(link)
    with opened(f"archive:{save(tmp_path, out.getvalue(), 'my.app.tar.gz')}") as image:
        assert contents(image) == [forms.sha256(layer) for layer in APP.layers]
        assert image.target.repository == "my.app"


@pytest.mark.parametrize("form", ["docker 20.10", "containerd"])
def test_cut_off_anywhere_it_is_an_error_or_the_same_image(form: str, tmp_path: Path) -> None:
    dice = random.Random(3)
    data = FORMS[form](forms.make([tar([Member("big", dice.randbytes(60_000))]), forms.small_layers()[1]]))
    words: list[str] = []
    for length in {*range(0, len(data), 4096), *range(0, len(data), 3777)}:
        try:
            with opened(f"archive:{save(tmp_path, data[:length])}") as archive:
                assert contents(archive) == [layer.diff_id for layer in archive.image.layers]
                assert length > len(data) - 2048, "only the end of the tar is missing"
        except ScannerError as e:
            words.append(str(e))
    assert words
    assert all("app.tar" in w or "layer" in w for w in words)


def test_a_compressed_archive_cut_off_or_spoilt(tmp_path: Path) -> None:
    packed = gz(forms.legacy(APP))
    for data, message in (
        (packed[:-5], "cut off"),
        (packed[:500], "cut off"),
        (packed + b"x", "something behind its gzip"),
    ):
        with pytest.raises(SourceError, match=f"app.tar.*{message}"):
            opened(f"archive:{save(tmp_path, data)}")


def test_a_bomb_around_an_archive_does_not_reach_the_disk(tmp_path: Path) -> None:
    data = tar([Member("manifest.json", bytes(64 << 20))])
    with pytest.raises(LimitError, match="a decompression bomb"):
        opened(f"archive:{save(tmp_path, gz(data))}", limits=Limits(ratio=50, ratio_floor=1 << 20))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_a_clear_error_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = save(tmp_path, gz(forms.legacy(APP)))
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        monkeypatch.setenv("TMPDIR", str(small))
        with pytest.raises(SourceError, match=f"{small} would be full. Set TMPDIR to a directory with more room"):
            opened(f"archive:{target}")
        monkeypatch.setattr("scanner.oci.files.RESERVE", 0)
        with pytest.raises(SourceError, match=f"{small}: No space left on device. Set TMPDIR"):
            opened(f"archive:{save(tmp_path, zst(forms.legacy(forms.make([random.Random(1).randbytes(3 << 20)]))))}")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_spool_keeps_zeros_as_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    data = b"begin" + bytes(5 << 20) + b"end" + bytes(3 << 20)
    with ExitStack() as stack:
        stored = spooled(io.BytesIO(data), "it", stack)
        assert os.pread(stored.fd, len(data) + 1, 0) == data
        assert os.fstat(stored.fd).st_blocks * 512 < 4 << 20
        assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_or_not_to_be_read(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"gone.tar: no such file or directory"):
        opened(f"archive:{tmp_path}/gone.tar")
    with pytest.raises(TargetError, match="is a directory; a file is needed here"):
        opened(f"archive:{tmp_path}")
    with pytest.raises(TargetError, match="no such file"):
        opened("archive:" + "x" * 5000)
    with pytest.raises(TargetError, match="is no regular file"):
        opened("archive:/dev/zero")


def test_what_a_file_is_by_its_first_member() -> None:
    for data in (form(APP) for form in FORMS.values()):
        assert beginning(data[:65536]) is Beginning.SAVED_IMAGE
    assert beginning(tar([directory("."), Member("./manifest.json", b"[]")])) is Beginning.SAVED_IMAGE
    assert beginning(tar([Member("usr/lib/manifest.json", b"[]")])) is Beginning.TREE
    assert beginning(tar([directory("bin")])) is Beginning.TREE
    assert beginning(bytes(10240)) is Beginning.EMPTY
    for data in (b"", b"PK\x03\x04", b"x" * 600):
        assert beginning(data) is Beginning.NO_TAR


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(FORMS)),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6),
    st.integers(0, 9000),
)
def test_no_bytes_raise_anything_but_our_own_errors(
    tmp_path: Path, form: str, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(FORMS[form](APP))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        with opened(f"archive:{save(tmp_path, bytes(data[: len(data) - cut]))}") as archive:
            contents(archive)
    except ScannerError as e:
        str(e).encode()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=1500), st.booleans())
def test_no_manifest_raises_anything_but_our_own_errors(tmp_path: Path, text: bytes, docker: bool) -> None:
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": text}
    data = tar([Member("manifest.json", text)]) if docker else forms.pack(files)
    with pytest.raises(ScannerError):
        opened(f"archive:{save(tmp_path, data)}")
