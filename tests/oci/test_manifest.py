"""Indexes, manifests and configs: what they mean, and what a stranger may write instead."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import ScannerError, SourceError
from scanner.model import Descriptor, ImageConfig, Layer, Level
from scanner.oci import manifest
from scanner.oci.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
)

A, B, C = (f"sha256:{c * 64}" for c in "abc")


def document(value: object) -> bytes:
    return json.dumps(value).encode()


def config(**fields: Any) -> bytes:
    base = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [A, B]}}
    return document({**base, **fields})


def described(media_type: str, digest: str = A, size: int = 3, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size, **more}


def test_a_config_becomes_an_image() -> None:
    data = config(
        variant="v2",
        created="2024-01-02T03:04:05Z",
        config={
            "User": "1000",
            "Env": ["A=1", "B=2"],
            "Entrypoint": ["/run"],
            "Cmd": ["x"],
            "WorkingDir": "/w",
            "ExposedPorts": {"80/tcp": {}, "22/tcp": {}},
            "Volumes": {"/v": {}},
            "Labels": {"b": "2", "a": "1"},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5},
            "OnBuild": ["RUN x"],
            "StopSignal": "SIGTERM",
        },
        history=[{"created_by": "ADD base"}, {"created_by": "ENV", "empty_layer": True}, {"created_by": "RUN two"}],
    )
    image, notes = manifest.image(data, "the config")
    assert image.id == manifest.digest_of(data)
    assert (image.platform, image.created) == ("linux/amd64/v2", "2024-01-02T03:04:05Z")
    assert image.layers == (Layer(0, A, "ADD base"), Layer(1, B, "RUN two"))
    assert image.config == ImageConfig(
        user="1000",
        env=("A=1", "B=2"),
        entrypoint=("/run",),
        cmd=("x",),
        working_dir="/w",
        exposed_ports=("22/tcp", "80/tcp"),
        volumes=("/v",),
        labels=(("a", "1"), ("b", "2")),
        healthcheck=("CMD", "true"),
        on_build=("RUN x",),
        stop_signal="SIGTERM",
    )
    assert notes == ()


def test_what_a_config_leaves_out_or_nulls_is_empty() -> None:
    data = config(config={"Env": None, "Cmd": None, "Labels": None, "Entrypoint": "/old style"}, history=None, os=None)
    image, _ = manifest.image(data, "the config")
    assert image.platform == "unknown/amd64"
    assert image.config == ImageConfig(entrypoint=("/old style",))
    assert [layer.created_by for layer in image.layers] == [None, None]
    assert manifest.image(document({"rootfs": {"type": "layers"}}), "the config")[0].layers == ()


def test_a_layer_may_occur_twice() -> None:
    image, _ = manifest.image(config(rootfs={"type": "layers", "diff_ids": [A, A]}), "the config")
    assert [layer.diff_id for layer in image.layers] == [A, A]


def test_a_history_that_does_not_fit_costs_the_instructions_only() -> None:
    image, [note] = manifest.image(config(history=[{"created_by": "RUN one"}]), "the config")
    assert [layer.created_by for layer in image.layers] == [None, None]
    assert (note.level, note.stage) == (Level.NOTE, "source")
    assert "history names 1 layers, there are 2" in note.message


def test_a_name_in_another_case_is_the_same_field_as_for_engines() -> None:
    data = document({"RootFS": {"Type": "layers", "DIFF_IDS": [C]}, "os": "linux"})
    assert manifest.image(data, "the config")[0].layers == (Layer(0, C),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"rootfs":{"type":"layers","diff_ids":[]},"rootfs":{"type":"layers"}}', "names 'rootfs' twice"),
        (b'{"rootfs":{"type":"layers"},"ROOTFS":{"type":"layers"}}', "has both rootfs and ROOTFS"),
        ('{"rootfs":{"type":"layers"},"rootf\u017f":{"type":"layers"}}'.encode(), "has both rootfs and rootf\u017f"),
        (b"[]", "is a list, not a JSON object"),
        (b"7", "is a number, not a JSON object"),
        (b"", "is no valid JSON"),
        (b"\x00\xff", "is no valid JSON"),
        (b'{"a":NaN}', "NaN is no JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", "is no valid JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deep"),
        (b"[" + b"{}," * 600_000 + b"{}]", "more than 1000000 values"),
        (config(rootfs=[]), "rootfs is a list, not an object"),
        (config(rootfs={"type": "layers", "diff_ids": [7]}), r"diff_ids\[0\] is a number, not a string"),
        (config(rootfs={"type": "layers", "diff_ids": ["sha256:../../etc"]}), "is no sha256 digest"),
        (config(rootfs={"type": "layers", "diff_ids": ["sha512:" + "a" * 128]}), "is no sha256 digest"),
        (config(rootfs={"type": "layers", "diff_ids": [A] * 1001}), "1001 layers, more than any engine takes"),
        (config(rootfs={"type": "windows"}), "rootfs.type is 'windows'"),
        (config(history=[7]), r"history\[0\] is a number, not an object"),
        (config(history=[{"created_by": 7}]), "created_by is a number, not a string"),
        (config(history=[{"empty_layer": "yes"}]), "empty_layer is a string, not true or false"),
        (config(os=["linux"]), "os is a list, not a string"),
        (config(config={"Env": "A=1"}), "Env is a string, not a list"),
        (config(config={"Labels": {"a": 1}}), r"Labels.a is a number, not a string"),
        (config(config={"ExposedPorts": [80]}), "ExposedPorts is a list, not an object"),
    ],
)
def test_a_broken_config_is_a_clear_error(data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message) as error:
        manifest.image(data, "the config of app")
    assert str(error.value).startswith("the config of app")
    assert len(str(error.value)) < 500


def test_half_a_character_is_read_as_engines_read_it() -> None:
    image, _ = manifest.image(config(created="\ud800x\udc00").replace(b"linux", b"li\xffnux"), "the config")
    assert image.created == "\ufffdx\ufffd"
    assert image.platform == "li\ufffdnux/amd64"


def test_an_index_lists_images_and_leaves_attestations_out() -> None:
    data = document(
        {
            "manifests": [
                described(
                    OCI_MANIFEST,
                    A,
                    platform={"os": "linux", "architecture": "arm64", "variant": "v8"},
                    annotations={
                        "org.opencontainers.image.ref.name": "1",
                        "io.containerd.image.name": "docker.io/team/app:1",
                    },
                ),
                described(OCI_MANIFEST, B, platform={"os": "unknown", "architecture": "unknown"}),
                described(OCI_MANIFEST, C, platform={}),
            ]
        }
    )
    first, second = manifest.index(data, "index.json")
    assert (first.descriptor, first.platform) == (Descriptor(OCI_MANIFEST, A, 3), "linux/arm64/v8")
    assert first.names == ("docker.io/team/app:1", "1")
    assert (second.descriptor.digest, second.platform, second.names) == (C, None, ())


def test_an_attestation_mark_on_an_image_that_engines_would_run_hides_nothing() -> None:
    data = document(
        {
            "manifests": [
                described(
                    OCI_MANIFEST,
                    platform={"os": "linux", "architecture": "amd64"},
                    annotations={"vnd.docker.reference.type": "attestation-manifest"},
                )
            ]
        }
    )
    assert [child.platform for child in manifest.index(data, "index.json")] == ["linux/amd64"]


def test_both_families_of_media_types_are_manifests() -> None:
    for config_type, layer_type in ((OCI_CONFIG, OCI_LAYER + "+zstd"), (DOCKER_CONFIG, DOCKER_LAYER + ".gzip")):
        data = document({"config": described(config_type, A, 7), "layers": [described(layer_type, B, 9)]})
        assert manifest.manifest(data, "m") == manifest.Manifest(
            Descriptor(config_type, A, 7), (Descriptor(layer_type, B, 9),)
        )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"config": described("application/vnd.cncf.helm.config.v1+json"), "layers": []}, "no container image"),
        (
            {"config": described(OCI_CONFIG), "layers": [described("application/vnd.in-toto+json")]},
            "no file system layer",
        ),
        (
            {"config": described(OCI_CONFIG), "layers": [described(OCI_LAYER + "+gzip+encrypted")]},
            "layer 0 is encrypted",
        ),
        ({"config": described(OCI_CONFIG), "layers": [described(OCI_LAYER)] * 1001}, "1001 layers"),
        ({"config": described(OCI_CONFIG, "sha256:abc"), "layers": []}, "no sha256 or sha512 digest"),
        ({"config": described(OCI_CONFIG, "sha256:" + "../" * 21 + "x"), "layers": []}, "no sha256 or sha512 digest"),
        ({"config": described(OCI_CONFIG, A, -1), "layers": []}, "size is a number that is no size"),
        ({"config": described(OCI_CONFIG, A, 1 << 70), "layers": []}, "size is a number that is no size"),
        ({"config": {**described(OCI_CONFIG), "size": 1.5}, "layers": []}, "size is a number that is no size"),
        ({"config": {**described(OCI_CONFIG), "size": True}, "layers": []}, "size is true or false that is no size"),
        ({"config": described(OCI_CONFIG), "layers": {}}, "layers is an object, not a list"),
        ({"layers": []}, "no sha256 or sha512 digest"),
    ],
)
def test_a_broken_manifest_is_a_clear_error(value: object, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        manifest.manifest(document(value), "the manifest of app")


def test_a_document_that_could_be_read_two_ways_is_refused() -> None:
    both = {"manifests": [], "layers": [], "config": {}}
    with pytest.raises(SourceError, match="an index and a manifest at once"):
        manifest.kind(document(both), "m")
    with pytest.raises(SourceError, match="not what its media type says"):
        manifest.kind(document({"mediaType": OCI_INDEX, "layers": [], "config": {}}), "m")
    with pytest.raises(SourceError, match="not what its media type says"):
        manifest.kind(document({"manifests": []}), "m", DOCKER_MANIFEST)
    with pytest.raises(SourceError, match="neither an index nor a manifest"):
        manifest.kind(b"{}", "m", DOCKER_LIST)
    with pytest.raises(SourceError, match="schema 1 manifest"):
        manifest.kind(document({"schemaVersion": 1, "fsLayers": []}), "m")


def test_a_document_must_be_what_its_digest_says() -> None:
    assert manifest.verify(b"x", manifest.digest_of(b"x"), "m") == b"x"
    assert manifest.verify(b"x", manifest.digest_of(b"x", "sha512:"), "m") == b"x"
    with pytest.raises(SourceError, match=f"expected {A}, read {manifest.digest_of(b'x')}"):
        manifest.verify(b"x", A, "m")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from([A, OCI_CONFIG, OCI_LAYER, "layers"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "config layers manifests mediaType digest size platform annotations rootfs type diff_ids history created_by "
                "empty_layer os architecture Env Cmd Labels Healthcheck Test ExposedPorts LAYERS".split()
            )
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_no_document_raises_anything_but_our_own_errors(data: bytes) -> None:
    for read in (
        manifest.image,
        manifest.manifest,
        manifest.index,
        manifest.kind,
        manifest.is_image,
        manifest.check_layout,
    ):
        try:
            read(data, "m")
        except ScannerError as e:
            str(e).encode()
