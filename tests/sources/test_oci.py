"""OCI image layouts in directories, as they should be and as a stranger may hand them over."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.errors import DigestMismatch, LimitError, ScannerError, SourceError, TargetError
from scanner.model import Limits
from tests.sources import forms
from tests.sources.forms import document, gz
from tests.sources.reading import contents, opened

APP = forms.make(forms.small_layers())
OTHER = forms.make([forms.small_layers()[0]])
ARM = forms.make(forms.small_layers(), "linux/arm64")


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return forms.write(tmp_path / "img", forms.layout_files(APP, gz))


def blob(layout: Path, data: bytes) -> Path:
    return layout / forms.blob_path(data)


def test_a_layout_is_read_from_its_blobs_in_place(layout: Path) -> None:
    with opened(str(layout)) as one:
        assert (one.target.source, one.target.repository) == ("oci", "team/app")
        assert one.target.manifest == forms.sha256(forms.manifest(APP, gz)[0])
        assert contents(one) == [forms.sha256(layer) for layer in APP.layers]
        assert [b.file is not None for b in one.blobs] == [True, True]


def test_a_layout_made_by_skopeo_is_named_by_its_tag_or_its_directory(
    layout: Path, skopeo: Callable[..., str], tmp_path: Path
) -> None:
    for tag in ("2.0", "other"):
        skopeo("copy", f"oci:{layout}:1", f"oci:{tmp_path / 'copy'}:{tag}")
    with opened(f"oci:{tmp_path / 'copy'}:other") as one:
        assert (one.image.id, one.target.repository) == (APP.id, "copy")
    with opened(str(tmp_path / "copy")) as one:
        assert one.image.id == APP.id, "two tags of one image are one image"


def test_tags_and_digests_choose(tmp_path: Path) -> None:
    files = {**forms.layout_files(APP), **forms.layout_files(OTHER)}
    lines = [
        forms.descriptor(f"{forms.OCI}.manifest.v1+json", forms.manifest(image)[0], annotations=forms.names(tag))
        for tag, image in (("app:1", APP), ("app:2", OTHER))
    ]
    layout = forms.write(tmp_path / "dir:with@colon", {**files, "index.json": forms.index(*lines)})
    for selector, image in (("1", APP), ("app:2", OTHER), ("docker.io/library/app:1", APP)):
        with opened(f"oci:{layout}:{selector}") as one:
            assert (one.image.id, one.target.repository) == (image.id, "app")
    with opened(f"oci:{layout}@{forms.sha256(forms.manifest(OTHER)[0])}") as one:
        assert one.image.id == OTHER.id
    with opened(f"oci:{layout}:app:2@{forms.sha256(forms.manifest(OTHER)[0])}") as one:
        assert one.image.id == OTHER.id
    with pytest.raises(TargetError, match="does not hold app:1@"):
        opened(f"oci:{layout}:app:1@{forms.sha256(forms.manifest(OTHER)[0])}")
    with pytest.raises(TargetError, match=r"holds several images: app:1, app:2. Name one"):
        opened(f"oci:{layout}")
    with pytest.raises(TargetError, match="does not hold 3; it holds app:1, app:2"):
        opened(f"oci:{layout}:3")


def test_platforms_are_found_in_configs_where_the_index_does_not_say(tmp_path: Path) -> None:
    files = {**forms.layout_files(APP), **forms.layout_files(ARM)}
    lines = [forms.descriptor(f"{forms.OCI}.manifest.v1+json", forms.manifest(image)[0]) for image in (APP, ARM)]
    layout = forms.write(tmp_path / "both", {**files, "index.json": forms.index(*lines)})
    for platform, image in (("linux/amd64", APP), ("linux/arm64", ARM)):
        with opened(f"oci:{layout}", platform=platform) as one:
            assert (one.image.id, one.target.repository) == (image.id, "both")
    with pytest.raises(
        TargetError, match="no image for linux/s390x; choose one with --platform: linux/amd64, linux/arm64"
    ):
        opened(str(layout), platform="linux/s390x")


def test_nested_indexes_and_attestations(tmp_path: Path) -> None:
    layout = forms.write(tmp_path / "img", forms.containerd(APP, ("linux/arm64", ARM)))
    with opened(f"oci:{layout}:1", platform="linux/arm64") as one:
        assert one.image.id == ARM.id
        assert contents(one) == [forms.sha256(layer) for layer in ARM.layers]
        assert not one.notifications


def test_what_is_no_layout(tmp_path: Path, layout: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for target, message in (
        (f"{tmp_path}/none", "no such file or directory"),
        (f"{tmp_path}/file", "is a file, a layout is a directory; for a saved image write archive:"),
        (str(tmp_path), "is no OCI image layout: it has no oci-layout. For a plain directory tree write rootfs:"),
    ):
        with pytest.raises(TargetError, match=message):
            opened(f"oci:{target}")
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')
    with pytest.raises(SourceError, match=r"oci-layout is of version '2.0.0'; 1.0.0 can be read"):
        opened(str(layout))


def test_a_missing_or_changed_blob_is_named(layout: Path) -> None:
    layer = blob(layout, gz(APP.layers[1]))
    kept = layer.read_bytes()
    layer.unlink()
    with pytest.raises(SourceError, match=f"layer 1 .* is missing: there is no {forms.blob_path(kept)}"):
        opened(str(layout))
    layer.write_bytes(gz(APP.layers[0]))
    with opened(str(layout)) as one, pytest.raises(DigestMismatch, match=forms.sha256(kept)):
        contents(one)
    layer.write_bytes(kept)
    blob(layout, APP.config).write_bytes(APP.config + b" ")
    with pytest.raises(SourceError, match=f"expected {APP.id}, read sha256:"):
        opened(str(layout))


def test_no_link_is_followed_and_no_pipe_waited_for(layout: Path, tmp_path: Path) -> None:
    layer = blob(layout, gz(APP.layers[0]))
    layer.rename(tmp_path / "elsewhere")
    layer.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="is, or lies behind, a symbolic link, which is not followed"):
        opened(str(layout))
    layer.unlink()
    os.mkfifo(layer)
    with pytest.raises(SourceError, match="is no regular file"):
        opened(str(layout))
    layer.unlink()
    (tmp_path / "elsewhere").rename(layer)
    (layout / "blobs").rename(tmp_path / "blobs")
    (layout / "blobs").symlink_to(tmp_path / "blobs")
    with pytest.raises(SourceError, match="a symbolic link"):
        opened(str(layout))
    (layout / "blobs").unlink()
    (tmp_path / "blobs").rename(layout / "blobs")
    link = tmp_path / "mine"
    link.symlink_to(layout)
    with opened(f"oci:{link}") as one:
        assert one.image.id == APP.id, "the link that the user named is the user's own"


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../etc/passwd",
        "sha256:" + "../" * 21 + "x",
        "../../etc:" + "a" * 64,
        "md5:" + "a" * 32,
        "",
        "sha256:" + "A" * 64,
    ],
)
def test_a_digest_cannot_lead_out_of_the_blobs(digest: str, layout: Path) -> None:
    line = {"mediaType": f"{forms.OCI}.manifest.v1+json", "digest": digest, "size": 5}
    (layout / "index.json").write_bytes(document({"manifests": [line]}))
    with pytest.raises(SourceError, match="is no sha256 or sha512 digest"):
        opened(str(layout))


def test_an_endless_document_is_not_read(layout: Path) -> None:
    with (layout / "index.json").open("r+b") as index:
        index.truncate(1 << 40)
    with pytest.raises(LimitError, match=r"img/index.json has 1099511627776 bytes.*--limit document-bytes=N"):
        opened(str(layout))


def test_many_documents_have_a_limit_together(tmp_path: Path) -> None:
    images = [forms.make([forms.small_layers()[0]], Env=["X=" + str(i) * 4000]) for i in range(5)]
    files = {}
    for image in images:
        files |= forms.layout_files(image)
    lines = [forms.descriptor(f"{forms.OCI}.manifest.v1+json", forms.manifest(image)[0]) for image in images]
    layout = forms.write(tmp_path / "many", {**files, "index.json": forms.index(*lines)})
    with pytest.raises(LimitError, match="more than the limit of 5000 leaves for an image's documents"):
        opened(str(layout), platform="linux/amd64", limits=Limits(document_bytes=5000))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["index.json", "oci-layout", "manifest", "config"]), st.integers(0, 2000), st.binary(max_size=9))
def test_no_bytes_raise_anything_but_our_own_errors(layout: Path, which: str, place: int, data: bytes) -> None:
    made = forms.manifest(APP, gz)[0]
    path = {"manifest": blob(layout, made), "config": blob(layout, APP.config)}.get(which, layout / which)
    kept = path.read_bytes()
    path.write_bytes(kept[: place % len(kept)] + data + kept[place % len(kept) + len(data) :])
    try:
        with opened(str(layout)) as one:
            contents(one)
    except ScannerError as e:
        str(e).encode()
    finally:
        path.write_bytes(kept)
