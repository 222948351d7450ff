"""Image references and platforms, as people write them and as engines read them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import TargetError
from scanner.oci import platforms
from scanner.oci.reference import Reference, parse, repository_of

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "reference", "repository"),
    [
        ("debian", Reference("docker.io", "library/debian", "latest", None), "debian"),
        ("team/app:1.0", Reference("docker.io", "team/app", "1.0", None), "team/app"),
        ("index.docker.io/library/app", Reference("docker.io", "library/app", "latest", None), "app"),
        ("localhost/app", Reference("localhost", "app", "latest", None), "localhost/app"),
        ("localhost:5000/a/b/c:x", Reference("localhost:5000", "a/b/c", "x", None), "localhost:5000/a/b/c"),
        ("ghcr.io/t/app@" + DIGEST, Reference("ghcr.io", "t/app", None, DIGEST), "ghcr.io/t/app"),
        ("app:1@" + DIGEST, Reference("docker.io", "library/app", "1", DIGEST), "app"),
        ("[::1]:5000/app", Reference("[::1]:5000", "app", "latest", None), "[::1]:5000/app"),
        ("a__b/c-d--e.f", Reference("docker.io", "a__b/c-d--e.f", "latest", None), "a__b/c-d--e.f"),
    ],
)
def test_a_reference_has_its_parts(text: str, reference: Reference, repository: str) -> None:
    assert parse(text) == reference
    assert reference.repository == repository == repository_of(text)
    assert parse(reference.familiar) == reference


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("App", "names are lower case"),
        ("app:", "is no tag"),
        ("app:a b", "is no tag"),
        ("app@sha256:12", "is no digest"),
        ("", "is no image name"),
        ("/app", "is no image name"),
        ("a//b", "is no image name"),
        ("../etc.d/passwd", "no registry's host"),
        ("ho st.io/app", "no registry's host"),
        ("a.b:99999999/app", "no registry's host"),
        ("a/" * 200, "is no image name"),
    ],
)
def test_what_is_no_reference_is_told_why(text: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        parse(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.text("a.-_:/@", max_size=300))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        reference = parse(text)
    except TargetError:
        return
    assert parse(reference.familiar) == reference


def test_platforms_have_one_spelling() -> None:
    assert platforms.wanted("arm64") == platforms.wanted("linux/AARCH64") == "linux/arm64"
    assert platforms.wanted("linux/armhf") == "linux/arm/v7"
    assert platforms.wanted("windows/amd64") == "windows/amd64"
    for wrong in ("", "linux/", "a/b/c/d", "linux/x y", "/"):
        with pytest.raises(TargetError, match="is no platform; write OS/ARCHITECTURE"):
            platforms.wanted(wrong)


def test_a_variant_counts_only_if_it_was_asked_for() -> None:
    assert platforms.matches("linux/arm64", "linux/arm64/v8")
    assert platforms.matches("linux/arm64/v8", "linux/arm64")
    assert platforms.matches("linux/arm", "linux/arm/v6")
    assert not platforms.matches("linux/arm/v7", "linux/arm/v6")
    assert not platforms.matches("linux/arm64", "linux/arm/v8")
    assert not platforms.matches("windows/amd64", "linux/amd64")
    assert platforms.is_base("linux/arm/v7")
    assert platforms.is_base("linux/arm64")
    assert platforms.is_base("linux/s390x")
    assert not platforms.is_base("linux/arm/v6")
