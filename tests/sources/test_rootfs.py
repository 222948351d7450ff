"""Plain trees and tars of them, and what a bare argument is taken for."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from fixtures.tarball import Member, directory, tar
from scanner.errors import ScannerError, TargetError
from scanner.model import Image, ImageConfig, Layer
from scanner.oci.blob import TarBlob, TreeBlob
from scanner.plugins import plugins
from scanner.sources.recognise import sources
from tests.engine_fixture import Engine
from tests.sources import forms
from tests.sources.forms import gz, plain, zst
from tests.sources.reading import contents, listing, opened, walk

TREE = tar(
    [directory("bin"), Member("bin/sh", b"\x7fELF", mode=0o755), directory("etc"), Member("etc/passwd", b"root")]
)
NOTHING_KNOWN = Image(None, "unknown/unknown", None, ImageConfig(), (Layer(0, None),))


def test_a_directory_is_read_in_place(tmp_path: Path) -> None:
    root = tmp_path / "sandbox.d"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_bytes(b"root")
    (root / "link").symlink_to("/etc/shadow")
    (tmp_path / "alias").symlink_to(root)
    for target in (f"rootfs:{root}", str(root), f"{tmp_path / 'alias'}"):
        with opened(target) as one:
            assert one.blobs == (TreeBlob(Layer(0, None), root),)
            assert one.image == NOTHING_KNOWN
            assert (one.target.source, one.target.repository) == ("rootfs", "sandbox.d")
            assert {path for path, _ in listing(walk(one.blobs[0]).table)} == {b"etc", b"etc/passwd", b"link"}


@pytest.mark.parametrize("outer", [plain, gz, zst], ids=["plain", "gzip", "zstd"])
def test_a_tar_is_one_layer(outer: forms.Packer, tmp_path: Path) -> None:
    path = tmp_path / "tree.tar.gz"
    path.write_bytes(outer(TREE))
    for target in (f"rootfs:{path}", str(path)):
        with opened(target) as one:
            assert one.image == NOTHING_KNOWN
            assert (one.target.source, one.target.repository) == ("rootfs", "tree")
            [blob] = one.blobs
            assert isinstance(blob, TarBlob)
            assert blob.descriptor.digest is None
            assert blob.descriptor.media_type == "application/vnd.oci.image.layer.v1.tar" + forms.SUFFIX[outer]
            assert blob.file is not None
            assert blob.file.size == blob.descriptor.size == path.stat().st_size
            assert contents(one) == [forms.sha256(TREE)]


@pytest.mark.engine
def test_an_export_of_the_engine_is_a_tree(engine: Engine, tmp_path: Path) -> None:
    name = f"sandscan-test-{os.getpid()}:export"
    image = forms.make([TREE])
    engine.client.images.load(forms.legacy(forms.Saved(image.config, image.layers, (name,))))
    container = engine.client.containers.create(name, command=["/bin/sh"])
    try:
        (tmp_path / "x.tar").write_bytes(b"".join(container.export()))
        with opened(str(tmp_path / "x.tar")) as one:
            assert one.target.source == "rootfs"
            assert b"etc/passwd" in {path for path, _ in listing(walk(one.blobs[0]).table)}
    finally:
        container.remove()
        engine.client.images.remove(name)


def test_what_holds_nothing_is_no_target(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing").write_bytes(b"")
    (tmp_path / "zeros").write_bytes(bytes(10240))
    (tmp_path / "text").write_bytes(b"hello\n" * 500)
    for name, message in (
        ("empty", "is an empty directory: there is nothing to scan"),
        ("nothing", "is no tar"),
        ("zeros", "is an empty tar"),
        ("text", "is no tar"),
        ("gone", "No such file or directory"),
    ):
        with pytest.raises(TargetError, match=message):
            opened(f"rootfs:{tmp_path / name}")


def test_a_bare_path_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for data in (b"", b"hello\n" * 500, b"\x1f\x8b\x08broken", gz(b"hello"), bytes(5000), b"PK\x03\x04" + bytes(600)):
        path.write_bytes(data)
        with pytest.raises(
            TargetError, match=r"is no target: neither a saved image .docker save. nor a tar of a file system"
        ):
            opened(str(path))
    with pytest.raises(TargetError, match="is neither a file nor a directory"):
        opened("/dev/null")
    (tmp_path / "d").mkdir()
    with pytest.raises(TargetError, match="is an empty directory"):
        opened(str(tmp_path / "d"))


@pytest.mark.parametrize(
    "target", ["/nowhere/app.tar", "./nothing", "../nothing/x", "~/app", "app.tar.gz", "Image.TAR"]
)
def test_a_path_that_is_not_there_is_no_question_for_the_engine(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///none.sock")
    with pytest.raises(TargetError, match=r"no such file or directory$"):
        opened(target)


def test_wrong_targets_are_told_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///none.sock")
    for target, message in (
        ("", "no target was named"),
        ("archive:", "names no target; write for example archive:app.tar"),
        ("archve:/none/x.tar", r"no such file or directory\. Did you mean archive:/none/x.tar"),
        ("oci-archive:x", "Did you mean archive:x"),
        ("https://ghcr.io/x", "Did you mean registry:ghcr.io/x"),
        ("podman:x", "Did you mean docker:x"),
        ("dir:/none", "Did you mean rootfs:/none"),
        ("a\x1b[31m\nb", r"\\x1b"),
        ("x" * 6000, "xxx"),
        ("nul\0byte", r"\\x00"),
    ):
        with pytest.raises(ScannerError, match=message):
            opened(target)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_what_may_not_be_read_is_no_target() -> None:
    with TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "tree").mkdir(mode=0o700)
        (place / "app.tar").write_bytes(forms.legacy(forms.make([TREE])))
        (place / "app.tar").chmod(0o600)
        sources()  # the modules are loaded while they can be
        os.seteuid(65534)
        try:
            for scheme, name in (
                ("rootfs:", "tree"),
                ("", "tree"),
                ("archive:", "app.tar"),
                ("", "app.tar"),
                ("rootfs:", "app.tar"),
                ("", "tree/deeper"),
                ("archive:", "tree/deeper.tar"),
                ("rootfs:", "tree/deeper"),
            ):
                with pytest.raises(TargetError, match=f"cannot (read|open) {place}/{name}: Permission denied"):
                    opened(f"{scheme}{place}/{name}")
        finally:
            os.seteuid(0)


def test_sources_are_asked_from_the_most_particular_to_the_least() -> None:
    assert [s.scheme for s in sources() if s.recognises] == ["oci", "archive", "rootfs"]
    assert {s.scheme for s in plugins("scanner.sources")} == {"archive", "docker", "oci", "registry", "rootfs"}
