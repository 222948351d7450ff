"""The squashed root, asked by path: against the model that really applies changesets, and by cases of its own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.model import Layer
from scanner.oci.filesystem import Filesystem
from scanner.oci.table import DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, EntryTable
from tests.oci.test_squash import apply, rows, sane, table


def root(*tables: EntryTable, kept: dict[bytes, bytes] | None = None) -> Filesystem:
    layers = [Layer(i, f"sha256:{i}", f"RUN {i}") for i in range(len(tables))]
    documents = [{} for _ in tables[1:]]
    return Filesystem(layers, [lambda t=t: t for t in tables], [lambda d=d: d for d in (*documents, kept or {})])


@given(st.lists(rows.map(sane), min_size=1, max_size=4))
@settings(max_examples=500, deadline=None)
def test_it_sees_the_files_that_applying_the_layers_leaves(layers):
    files = root(*(table(*layer) for layer in layers))
    asked = {path for layer in layers for path, _ in layer}

    seen = {p: e.layer for p in asked if (e := files.stat(p, follow=False)) is not None and e.is_file}

    assert seen == apply(layers)


@given(st.lists(rows.map(sane), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_listing_names_what_can_be_found_and_all_of_it(layers):
    files = root(*(table(*layer) for layer in layers))
    left = apply(layers)

    for folder in (b"", b"a", b"a/b"):
        prefix = folder + b"/" if folder else b""
        below = {p[len(prefix) :].split(b"/")[0] for p in left if p.startswith(prefix)}
        assert below <= set(files.listing(folder))


def test_links_are_followed_from_the_roots_point_of_view():
    files = root(
        table(
            (b"bin", SYMLINK, b"usr/bin"),
            (b"usr/bin", DIRECTORY),
            (b"usr/bin/sshd", FILE),
            (b"opt/a", SYMLINK, b"/bin/sshd"),
            (b"opt/b", SYMLINK, b"../../../bin/./sshd"),
            (b"opt/loop", SYMLINK, b"loop"),
            (b"opt/gone", SYMLINK, b"/nowhere"),
        )
    )

    for path in (b"bin/sshd", b"/bin//sshd", b"opt/a", b"opt/b", b"opt/../bin/sshd"):
        found = files.stat(path)
        assert found is not None, path
        assert found.path == b"usr/bin/sshd"
    assert files.stat(b"opt/loop") is None
    assert files.stat(b"opt/gone") is None
    assert files.stat(b"opt/a", follow=False).link_target == b"/bin/sshd"


def test_a_link_of_a_later_layer_leads_to_an_earlier_ones_file():
    files = root(
        table((b"srv/real", FILE)), table((b"etc/ssh", DIRECTORY), (b"etc/ssh/sshd_config", SYMLINK, b"/srv/real"))
    )

    found = files.read(b"etc/ssh/sshd_config")

    assert (found.path, found.layer.index, found.at(3).line) == (b"srv/real", 0, 3)


def test_a_file_that_was_not_kept_is_there_without_its_bytes():
    rows_ = EntryTable()
    rows_.add(b"etc/a", FILE, 0o600, 1, 2, 0, 0, 5)
    rows_.add(b"etc/empty", FILE, 0o600, 0, 0, 0, 5, 0)
    rows_.add(b"etc/kept", FILE, 0o600, 0, 0, 0, 5, 4)
    rows_.add(b"etc/hard", HARDLINK, 0o600, 0, 0, 0, 9, 0, b"etc/kept")
    files = root(rows_, kept={b"etc/kept": b"text"})

    assert files.read(b"etc/a").data is None
    assert (files.read(b"etc/a").entry.mode, files.read(b"etc/a").entry.uid) == (0o600, 1)
    assert files.read(b"etc/empty").data == b""
    assert files.read(b"etc/kept").data == b"text"
    assert files.read(b"etc/hard").data == b"text"
    assert files.read(b"etc") is None


def test_kept_files_are_those_a_container_sees():
    files = root(table((b"etc/a", FILE), (b"etc/b", FILE)), table((b"etc/b", WHITEOUT)), kept=None)
    assert list(files.kept(rb"etc/.*")) == []
    seen = Filesystem(
        [Layer(0, "x"), Layer(1, "y")],
        [lambda: table((b"etc/a", FILE), (b"etc/b", FILE)), lambda: table((b"etc/b", WHITEOUT))],
        [lambda: {b"etc/a": b"1", b"etc/b": b"2"}, dict],
    )
    assert [(f.path, f.data) for f in seen.kept(rb"etc/.*")] == [(b"etc/a", b"1")]
    assert [f.layer.index for f in seen.versions(b"etc/b")] == [0]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (b"/etc/ssh/sshd_config.d/*.conf", [b"etc/ssh/sshd_config.d/a.conf", b"etc/ssh/sshd_config.d/b.conf"]),
        (b"etc/ssh/sshd_config.d/[!a].conf", [b"etc/ssh/sshd_config.d/b.conf"]),
        (b"etc/ssh/sshd_config.d/[ab].c?nf", [b"etc/ssh/sshd_config.d/a.conf", b"etc/ssh/sshd_config.d/b.conf"]),
        (b"etc/*/sshd_config.d/.*", [b"etc/ssh/sshd_config.d/.hidden"]),
        (b"etc/ssh/none*", []),
        (b"etc/ssh/sshd_config.d/a.conf", [b"etc/ssh/sshd_config.d/a.conf"]),
        (b"etc/ssh/[", []),
    ],
)
def test_patterns_are_read_as_glob_does(pattern: bytes, expected: list[bytes]):
    names = (b"b.conf", b"a.conf", b".hidden", b"a.conf.bak", b"sub/c.conf")
    files = root(table(*((b"etc/ssh/sshd_config.d/" + n, FILE) for n in names)))

    assert list(files.glob(pattern)) == expected


@given(st.binary(max_size=30))
@settings(max_examples=300, deadline=None)
def test_no_path_or_pattern_breaks_it(path: bytes):
    files = root(table((b"a/b", FILE), (b"a/c", SYMLINK, path), (b"d", OPAQUE)))

    files.stat(path)
    files.glob(path)
    files.stat(b"a/c/" + path)
