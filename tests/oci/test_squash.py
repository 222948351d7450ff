"""What a container sees, against a model that really applies changesets to a dictionary."""

from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.model import Kind, State
from scanner.oci.squash import Fate, entries, fates, hard_links, superseded
from scanner.oci.table import CODE, DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, EntryTable


def table(*rows: tuple[bytes, int] | tuple[bytes, int, bytes]) -> EntryTable:
    result = EntryTable()
    for at, (path, kind, *link) in enumerate(rows):
        result.add(path, kind, 0o644, 0, 0, 0, at, 0, *link)
    return result


def fate(path: bytes, *above: EntryTable) -> Fate:
    tables = [table((path, FILE)), *above]
    return fates({0: [path]}, [lambda t=t: t for t in tables])[0, path]


def test_a_whiteout_deletes_below_and_names_its_layer():
    assert fate(b"a/b", table(), table((b"a/b", WHITEOUT))) == Fate(State.DELETED, 2)


def test_a_whiteout_of_a_directory_deletes_everything_in_it():
    assert fate(b"a/b/c", table((b"a", WHITEOUT))) == Fate(State.DELETED, 1)
    assert fate(b"ab/c", table((b"a", WHITEOUT))) == Fate(State.VISIBLE)


def test_a_later_file_overwrites_even_if_its_layer_also_removes_the_old_one():
    assert fate(b"a", table((b"a", WHITEOUT), (b"a", FILE))) == Fate(State.OVERWRITTEN, 1)
    assert fate(b"a", table((b"a", FILE), (b"a", WHITEOUT))) == Fate(State.OVERWRITTEN, 1)


def test_an_opaque_directory_empties_what_lies_below_and_spares_its_own_layer():
    opaque = table((b"a/new", FILE), (b"a", OPAQUE))
    assert fate(b"a/b", opaque) == Fate(State.DELETED, 1)
    assert fate(b"a/x/b", opaque) == Fate(State.DELETED, 1)
    assert fate(b"b", opaque) == Fate(State.VISIBLE)
    assert fates({1: [b"a/new"]}, [table, lambda: opaque])[1, b"a/new"] == Fate(State.VISIBLE)


def test_an_opaque_root_empties_everything():
    assert fate(b"a/b", table((b"", OPAQUE))) == Fate(State.DELETED, 1)


def test_a_file_or_link_in_a_directorys_place_takes_its_files_away():
    assert fate(b"a/b", table((b"a", FILE))) == Fate(State.DELETED, 1)
    assert fate(b"a/b", table((b"a", SYMLINK, b"/tmp"))) == Fate(State.DELETED, 1)
    assert fate(b"a/b", table((b"a", DIRECTORY))) == Fate(State.VISIBLE)


def test_the_first_layer_that_hides_is_named():
    assert fate(b"a", table((b"a", WHITEOUT)), table((b"a", FILE))) == Fate(State.DELETED, 1)


def test_of_duplicates_the_last_member_counts():
    twice = table((b"a", FILE), (b"b", FILE), (b"a", FILE))
    assert superseded(twice, [0, 1, 2]) == {0}
    assert [(e.path, e.state, e.hidden_by) for e in entries([lambda: twice])] == [
        (b"a", State.OVERWRITTEN, 0),
        (b"b", State.VISIBLE, None),
        (b"a", State.VISIBLE, None),
    ]


def test_hard_links_are_followed_and_loops_end():
    linked = table(
        (b"a", FILE), (b"b", HARDLINK, b"a"), (b"c", HARDLINK, b"b"), (b"x", HARDLINK, b"y"), (b"y", HARDLINK, b"x")
    )
    assert hard_links(linked, frozenset([b"a"])) == {b"a": (b"b", b"c")}


def test_devices_and_pipes_are_entries_like_others():
    [pipe] = entries([lambda: table((b"p", CODE[Kind.FIFO]))])
    assert (pipe.kind, pipe.state) == (Kind.FIFO, State.VISIBLE)


parts = st.sampled_from([b"a", b"b", b"c"])
paths = st.lists(parts, min_size=1, max_size=3).map(b"/".join)
rows = st.lists(st.tuples(paths, st.sampled_from([FILE, DIRECTORY, WHITEOUT, OPAQUE])), max_size=6)


def apply(layers: list[list[tuple[bytes, int]]]) -> dict[bytes, int]:
    """Files left, by the layer they come from: removal first, then the layer's own entries, as layer.md describes."""
    seen: dict[bytes, tuple[int, int]] = {}
    for index, layer in enumerate(layers):
        for path, kind in layer:
            if kind == WHITEOUT:
                seen = {p: v for p, v in seen.items() if p != path and not p.startswith(path + b"/")}
            elif kind == OPAQUE:
                seen = {p: v for p, v in seen.items() if not p.startswith(path + b"/")}
        for path, kind in layer:
            if kind in (FILE, DIRECTORY):  # whatever held the entry's directories' places is gone
                seen = {p: v for p, v in seen.items() if not path.startswith(p + b"/") or v[0] == DIRECTORY}
            if kind == FILE:
                seen = {p: v for p, v in seen.items() if not p.startswith(path + b"/")}
                seen[path] = (kind, index)
            elif kind == DIRECTORY:
                seen[path] = (kind, index)
    return {p: index for p, (kind, index) in seen.items() if kind == FILE}


def sane(layer: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    """One entry a path and no file below a file: what one layer of a real image can hold."""
    own: dict[bytes, int] = {}
    for path, kind in layer:
        if kind in (FILE, DIRECTORY):
            own[path] = kind
    files = [p for p, k in own.items() if k == FILE]
    clear = {p: k for p, k in own.items() if not any(p.startswith(f + b"/") for f in files)}
    return [*clear.items(), *((p, k) for p, k in layer if k in (WHITEOUT, OPAQUE))]


@given(st.lists(rows.map(sane), min_size=1, max_size=4))
@settings(max_examples=500, deadline=None)
def test_visible_files_are_those_that_applying_the_layers_leaves(layers):
    tables = [table(*layer) for layer in layers]
    visible = {
        (e.path, e.layer)
        for e in entries([lambda t=t: t for t in tables])
        if e.kind is Kind.FILE and e.state is State.VISIBLE
    }
    assert visible == set(apply(layers).items())
