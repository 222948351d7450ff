"""The same image from every source is the same Image, and its layers have the same content, byte for byte."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import docker.errors
import pytest

from fixtures.tarball import HARDLINK, Member, directory, symlink, tar, whiteout
from scanner.model import Image, Level
from scanner.oci.blob import TarBlob, TreeBlob
from tests.engine_fixture import Engine, RegistryServer, missing
from tests.sources import forms
from tests.sources.forms import Saved, gz, plain, zst
from tests.sources.reading import contents, listing, opened, walk

TAG = f"sandscan-test-{os.getpid()}:1"
BASE = f"sandscan-test-base-{os.getpid()}:1"
DOCKERFILE = rf"""FROM {BASE}
ENV POOL=none "WITH SPACE"="a b"
LABEL team="sand" unusual="ü\n"
COPY same /same
COPY same /same
COPY other /data/gone/other
EXPOSE 22 8080/udp
VOLUME /data
WORKDIR /bin
USER 1000:1000
STOPSIGNAL SIGKILL
ONBUILD RUN echo child
HEALTHCHECK CMD ["/bin/true"]
ENTRYPOINT ["/opt/run"]
CMD ["--fast"]
"""


def base() -> Saved:
    """Two layers with what layers can hold: links, devices of a kind, deletions, an emptied directory."""
    low = tar(
        [
            directory("bin"),
            Member("bin/su", b"\x7fELF" + bytes(5000), mode=0o4755),
            Member("bin/su2", kind=HARDLINK, link="bin/su"),
            directory("data"),
            directory("data/gone"),
            Member("data/gone/old", b"old"),
            directory("data/emptied"),
            Member("data/emptied/a", b"a"),
            Member("data/emptied/b", b"b"),
            Member("data/ünïcode " + "x" * 90, bytes(range(256)) * 9000),
            symlink("data/link", "/etc/passwd"),
        ]
    )
    high = tar(
        [
            directory("data"),
            whiteout("data/gone"),
            directory("data/emptied"),
            Member("data/emptied/.wh..wh..opq"),
            Member("data/emptied/c", b"c"),
        ]
    )
    made = forms.make([low, high])
    return Saved(made.config, made.layers, (BASE,))


@pytest.fixture(scope="module")
def image(engine: Engine) -> Iterator[Saved]:
    """An image that the engine built, taken apart from its own `docker save`."""
    context = io.BytesIO(
        tar([Member("Dockerfile", DOCKERFILE.encode()), Member("same", b"same"), Member("other", os.urandom(2 << 20))])
    )
    engine.client.images.load(forms.legacy(base()))
    engine.client.images.build(fileobj=context, custom_context=True, tag=TAG, rm=True, forcerm=True)
    saved = b"".join(engine.client.api.get_image(TAG))
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:

        def read(name: str) -> bytes:
            file = archive.extractfile(name)
            assert file is not None
            return file.read()

        [entry] = json.loads(read("manifest.json"))
        config, layers = read(entry["Config"]), tuple(read(name) for name in entry["Layers"])
    yield Saved(config, tuple(gzip.decompress(d) if d[:2] == b"\x1f\x8b" else d for d in layers), (TAG,))
    for tag in (TAG, BASE):
        engine.client.images.remove(tag, force=True)


@pytest.fixture(scope="module")
def exported(engine: Engine, image: Saved) -> bytes:
    return b"".join(engine.client.api.get_image(TAG))


@cache
def reference() -> Image:
    """The image as the engine's API tells it, read once: each export takes the engine its time."""
    with opened(f"docker:{TAG}", engine_access="api") as one:
        return one.image


def same(target: str, image: Saved, source: str, *, repository: str | None = None, **options: object) -> None:
    with opened(target, **options) as one:
        assert one.image.id == image.id
        assert [layer.diff_id for layer in one.image.layers] == [forms.sha256(layer) for layer in image.layers]
        assert contents(one) == [layer.diff_id for layer in one.image.layers]
        assert one.target.source == source
        assert one.target.repository == (repository or TAG.partition(":")[0])
        assert one.image == reference()


@pytest.mark.engine
class TestTheSameImage:
    @pytest.fixture(autouse=True)
    def engine_found(self, at_engine: Engine) -> None:
        """DOCKER_HOST is set."""

    def test_what_it_is(self, image: Saved) -> None:
        with opened(f"docker:{TAG}", engine_access="api") as one:
            layers, config = one.image.layers, one.image.config
        assert [layer.created_by for layer in layers][:2] == ["RUN step 0", "RUN step 1"]
        assert "COPY" in (layers[2].created_by or "")
        assert layers[2].diff_id == layers[3].diff_id, "the same file copied twice is the same layer twice"
        assert len(layers) == 5
        assert (config.user, config.working_dir, config.stop_signal) == ("1000:1000", "/bin", "SIGKILL")
        assert config.entrypoint + config.cmd == ("/opt/run", "--fast")
        assert config.env == ("PATH=/bin", "POOL=none", "WITH SPACE=a b")
        assert config.labels == (("team", "sand"), ("unusual", "ü\\n"))
        assert config.exposed_ports == ("22/tcp", "8080/udp")
        assert config.volumes == ("/data",)
        assert config.healthcheck == ("CMD", "/bin/true")
        assert config.on_build == ("RUN echo child",)

    def test_from_the_engines_api(self, image: Saved) -> None:
        for name in (TAG, image.id, image.id.removeprefix("sha256:")[:12]):
            same(f"docker:{name}", image, "docker", engine_access="api")
        same(TAG, image, "docker", engine_access="api")

    def test_from_the_engines_own_directories(self, image: Saved, engine: Engine) -> None:
        if not engine.in_place:
            missing("root beside an engine with overlay2")
        with (
            opened(f"docker:{TAG}", engine_access="api") as exported,
            opened(f"docker:{TAG}", engine_access="direct") as in_place,
            opened(TAG) as default,
        ):
            assert in_place.image == default.image == exported.image
            assert in_place.target == exported.target
            assert not in_place.notifications
            for number, (tree, stored) in enumerate(zip(in_place.blobs, exported.blobs, strict=True)):
                assert isinstance(tree, TreeBlob)
                assert tree.layer == stored.layer
                assert tree.overlay
                assert default.blobs[number] == tree
                seen, expected = walk(tree), walk(stored)
                assert listing(seen.table) == listing(expected.table), f"layer {number}"
                assert not getattr(seen, "notifications", [])

    @pytest.mark.parametrize("outer", [plain, gz, zst], ids=["plain", "gzip", "zstd"])
    def test_from_its_own_save(self, outer: forms.Packer, image: Saved, exported: bytes, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(outer(exported))
        same(f"archive:{tmp_path / 'x'}", image, "archive")
        same(str(tmp_path / "x"), image, "archive")

    @pytest.mark.parametrize("outer", [plain, gz, zst], ids=["plain", "gzip", "zstd"])
    @pytest.mark.parametrize("form", ["legacy", "engine 25", "containerd"])
    def test_from_a_save_of_other_engines(self, form: str, outer: forms.Packer, image: Saved, tmp_path: Path) -> None:
        made = {
            "legacy": lambda: forms.legacy(image),
            "engine 25": lambda: forms.pack(forms.engine25(image)),
            "containerd": lambda: forms.pack(forms.containerd(image)),
        }[form]()
        (tmp_path / "x").write_bytes(outer(made))
        same(str(tmp_path / "x"), image, "archive")

    @pytest.mark.parametrize("packer", [plain, gz, zst], ids=["plain", "gzip", "zstd"])
    def test_from_a_layout(self, packer: forms.Packer, image: Saved, tmp_path: Path) -> None:
        layout = forms.write(tmp_path / "layout", forms.layout_files(image, packer))
        digest = forms.sha256(forms.manifest(image, packer)[0])
        for selector in ("", ":1", f":{TAG}", f"@{digest}"):
            same(f"oci:{layout}{selector}", image, "oci")
        same(str(layout), image, "oci")

    def test_from_a_registry_as_the_engine_pushes_it(
        self, image: Saved, engine: Engine, registry: RegistryServer
    ) -> None:
        name = f"{registry.host}/team/app"
        engine.client.images.get(TAG).tag(name, "pushed")
        try:
            pushed = engine.client.images.push(name, "pushed")
        finally:
            engine.client.images.remove(f"{name}:pushed")
        assert "errorDetail" not in pushed
        same(f"registry:{name}:pushed", image, "registry", repository=name)

    def test_from_a_registry_as_skopeo_copies_a_layout(
        self, image: Saved, registry: RegistryServer, skopeo: Callable[..., str], tmp_path: Path
    ) -> None:
        layout = forms.write(tmp_path / "layout", forms.layout_files(image, zst))
        name = f"{registry.host}/team/app"
        skopeo("copy", "--dest-tls-verify=false", f"oci:{layout}:1", f"docker://{name}:oci")
        same(f"registry:{name}:oci", image, "registry", repository=name)
        digest = forms.sha256(forms.manifest(image, zst)[0])
        same(f"registry:{name}@{digest}", image, "registry", repository=name)
        with opened(f"registry:{name}:oci") as one:
            assert one.target.manifest == digest

    def test_from_skopeos_archives(
        self, image: Saved, engine: Engine, skopeo: Callable[..., str], tmp_path: Path
    ) -> None:
        layout = forms.write(tmp_path / "layout", forms.layout_files(image, gz))
        archive = tmp_path / "oci.tar"
        skopeo("copy", f"oci:{layout}:1", f"oci-archive:{archive}:{TAG}")
        same(str(archive), image, "archive")
        (tmp_path / "20.tar").write_bytes(forms.legacy(image))
        skopeo("copy", f"docker-archive:{tmp_path / '20.tar'}", f"docker-archive:{tmp_path / 'again.tar'}:{TAG}")
        same(str(tmp_path / "again.tar"), image, "archive")

    def test_other_tools_read_the_forms_made_here_alike(
        self, image: Saved, skopeo: Callable[..., str], tmp_path: Path
    ) -> None:
        for form, made in (
            ("docker-archive", forms.legacy(image)),
            ("docker-archive", forms.docker_archive(image)),
            ("docker-archive", forms.pack(forms.engine25(image))),
            ("oci-archive", forms.pack(forms.engine25(image))),
            ("oci-archive", forms.pack(forms.containerd(image))),
        ):
            (tmp_path / "x").write_bytes(made)
            assert skopeo("inspect", "--raw", "--config", f"{form}:{tmp_path / 'x'}").encode() == image.config
            skopeo("copy", f"{form}:{tmp_path / 'x'}", f"dir:{tmp_path / 'copy'}")

    def test_from_an_engine_that_loads_the_form_made_here(self, image: Saved, engine: Engine) -> None:
        made = forms.make([*image.layers, forms.small_layers()[0]])
        name = f"sandscan-test-{os.getpid()}:25"
        engine.client.images.load(forms.pack(forms.engine25(Saved(made.config, made.layers, (name,)))))
        try:
            with opened(f"docker:{name}", engine_access="api") as one:
                assert one.image.id == made.id
                assert contents(one) == [forms.sha256(layer) for layer in made.layers]
        finally:
            engine.client.images.remove(name)


@pytest.mark.engine
def test_without_the_right_the_engine_exports_and_the_report_says_so(
    image: Saved, at_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    if not at_engine.in_place:
        missing("root beside an engine with overlay2")
    monkeypatch.setattr("scanner.sources.docker._read", forbidden)
    with opened(f"docker:{TAG}") as one:
        assert all(isinstance(blob, TarBlob) for blob in one.blobs)
        [note] = one.notifications
        assert (note.level, note.stage) == (Level.NOTE, "source")
        assert note.message.startswith("the image was exported by the engine, which takes longer: only root may read /")


@pytest.mark.engine
def test_a_store_whose_records_do_not_fit_is_not_read_in_place(image: Saved, at_engine: Engine) -> None:
    """A layer's record is swapped for another's: the chain of diff_ids tells."""
    if not at_engine.in_place:
        missing("root beside an engine with overlay2")
    import hashlib

    from scanner.errors import SourceError

    first, second = (forms.sha256(layer) for layer in image.layers[:2])
    chain = hashlib.sha256(f"{first} {second}".encode()).hexdigest()
    record = Path(at_engine.client.info()["DockerRootDir"], "image/overlay2/layerdb/sha256", chain, "diff")
    record.write_text(first)
    try:
        with pytest.raises(SourceError, match="the engine's record of layer 1 does not fit the image"):
            opened(f"docker:{TAG}", engine_access="direct")
        cache_id = record.parent / "cache-id"
        kept = cache_id.read_text()
        record.write_text(second)
        cache_id.write_text("../../../../etc")
        try:
            with pytest.raises(SourceError, match="does not fit the image"):
                opened(f"docker:{TAG}", engine_access="direct")
        finally:
            cache_id.write_text(kept)
    finally:
        record.write_text(second)
    with pytest.raises(docker.errors.ImageNotFound):
        at_engine.client.images.get("sandscan-test-never-there")
