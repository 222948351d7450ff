"""rpm's databases: rpm's own answers for real ones, and every form of damage that costs no more than its package."""

import random
import sqlite3
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.content import rpmdb
from scanner.content.budget import Budget
from scanner.content.worker import Worker
from scanner.errors import ParseError
from scanner.model import Limits
from tests.content.rpm_forms import (
    FOLDER_OF,
    FOLDERS,
    FORMS,
    NAME,
    NAMES,
    OLD_NAMES,
    RELEASE,
    VERSION,
    blob,
    header,
    in_hash,
    in_ndb,
    in_sqlite,
    numbers,
    text,
    texts,
)
from tests.engine_fixture import program

SSH = header(
    "openssh-clients",
    "9.9p1",
    "3.fc41",
    epoch=1,
    source="openssh-9.9p1-3.fc41.src.rpm",
    files={"/usr/bin/": ["scp", "ssh"], "/": ["rootfile"], "/etc/ssh/": ["ssh_config"]},
)
KEY = header("gpg-pubkey", "a15b79cc", "63d04c2c", arch=None)
DOCUMENT = (
    b"P:openssh-clients\nV:1:9.9p1-3.fc41\nA:x86_64\no:openssh\n"
    b"F:usr/bin\nR:scp\nR:ssh\nF:\nR:rootfile\nF:etc/ssh\nR:ssh_config\n\n"
    b"P:gpg-pubkey\nV:a15b79cc-63d04c2c\n\n"
)
Form = Callable[..., bytes]


def problems(data: bytes) -> list[str]:
    told, _ = rpmdb.read(data)
    found = told["problems"]
    assert isinstance(found, list)
    return [str(f) for f in found]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_form_gives_the_same_document(form: Form):
    assert rpmdb.read(form([SSH, KEY])) == ({"packages": 2, "problems": []}, DOCUMENT)
    assert rpmdb.read(memoryview(form([]))) == ({"packages": 0, "problems": []}, b"")


@pytest.mark.parametrize("page", [512, 1024, 4096, 65536])
@pytest.mark.parametrize("form", [in_sqlite, in_hash])
def test_any_number_of_packages_of_any_size_on_pages_of_any_size(form: Form, page: int):
    """Trees of several levels, cells that just fit their page and cells that flow over it."""
    pick = random.Random(page)
    sizes = [*range(page - 460, page + 40, 7), *(pick.randrange(1, 3000) for _ in range(700)), 300_000, 1, 70_000]
    blobs = [header(f"p{n}", files={"/usr/share/": ["x" * size]}) for n, size in enumerate(max(s, 1) for s in sizes)]

    told, document = rpmdb.read(form(blobs, page=page))
    assert told == {"packages": len(sizes), "problems": []}
    names = [line[2:] for line in document.split(b"\n") if line.startswith(b"R:")]
    assert [len(n) for n in names] == [max(s, 1) for s in sizes]


def test_ndb_with_more_slots_than_fit_a_page_and_free_ones_between():
    data = bytearray(in_ndb([header(f"p{n}") for n in range(600)]))
    data[32 + 16 * 5 + 4 : 32 + 16 * 5 + 16] = bytes(12)  # the sixth was removed
    told, document = rpmdb.read(data)
    assert told == {"packages": 599, "problems": []}
    assert b"P:p4\n" in document
    assert b"P:p5\n" not in document


def test_what_was_removed_from_a_table_is_not_listed(tmp_path: Path):
    file = tmp_path / "rpmdb.sqlite"
    file.write_bytes(in_sqlite([header(f"p{n}", files={"/x/": ["y" * 5000]}) for n in range(50)]))
    db = sqlite3.connect(file)
    db.execute("DELETE FROM Packages WHERE hnum % 2 = 0")
    db.commit()
    db.close()
    told, document = rpmdb.read(file.read_bytes())
    assert told == {"packages": 25, "problems": []}
    assert b"P:p0\n" in document
    assert b"P:p1\n" not in document


def test_whole_paths_as_old_packages_have_them():
    tags = [text(NAME, "old"), text(VERSION, "1"), text(RELEASE, "2"), texts(OLD_NAMES, ["/bin/x", "/bin/y", "/z"])]
    assert rpmdb.read(in_ndb([blob(tags)]))[1] == b"P:old\nV:1-2\nF:bin\nR:x\nR:y\nF:\nR:z\n\n"


def test_what_was_added_at_installation_replaces_what_the_package_brought():
    tags = [text(NAME, "a"), text(VERSION, "1"), text(RELEASE, "1"), text(VERSION, "2")]
    assert rpmdb.read(in_ndb([blob(tags)]))[1] == b"P:a\nV:2-1\n\n"


def test_no_name_can_write_a_line_of_the_document():
    evil = header("a\nP:b", "1\nV:9", files={"/usr/bin/": ["x\nP:openssh", "y"], "/e\nP:c/": ["z"]})
    told, document = rpmdb.read(in_ndb([evil]))
    assert document == b"P:a P:b\nV:1 V:9-1\nA:x86_64\nF:usr/bin\nR:y\n\n"
    assert told["problems"] == ["a file's name has a line break and was left out (2 times)"]


# ---- the real rpm


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three small packages, made by rpmbuild."""
    folder = tmp_path_factory.mktemp("rpmbuild")
    rpmbuild = program("rpmbuild")
    for name, more in {"tiny": "Epoch: 2", "large": "", "other": ""}.items():
        files = [f"usr/bin/{name}", f"etc/{name}/a.conf", f"{name}-file", *(f"usr/lib/{name}/{n}" for n in range(300))]
        install = "\n".join(f"install -D /dev/null %{{buildroot}}/{f}" for f in files)
        spec = f"""Name: {name}
Version: 1.0
Release: 3
{more}
Summary: s
License: MIT
BuildArch: noarch
%description
d
%install
{install}
%files
/usr/bin/{name}
/etc/{name}
/{name}-file
/usr/lib/{name}
"""
        (folder / f"{name}.spec").write_text(spec)
        command = [rpmbuild, "-bb", "--quiet", "--define", f"_topdir {folder}", folder / f"{name}.spec"]
        subprocess.run(command, check=True, capture_output=True)
    return sorted((folder / "RPMS" / "noarch").iterdir())


def rpm(database: Path, *arguments: str | Path, backend: str = "sqlite") -> list[str]:
    command = [program("rpm"), "--define", f"_db_backend {backend}", "--dbpath", database, *arguments]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return sorted(run.stdout.splitlines())


def listed(document: bytes) -> tuple[list[str], list[str]]:
    """The packages as rpm's query would print them, and the files."""
    packages, paths = [], []
    for record in document.decode().split("\n\n")[:-1]:
        fields = dict(line.split(":", 1) for line in record.split("\nF:")[0].split("\n"))
        packages.append(f"{fields['P']} {fields['V']} {fields['A']} {fields['o']}")
        for part in record.split("\nF:")[1:]:
            folder, *names = part.split("\nR:")
            paths += [f"/{folder}/{name}".replace("//", "/") for name in names]
    return sorted(packages), sorted(paths)


QUERY = ("-qa", "--qf", "%{NAME} %{EVR} %{ARCH} %{NAME}\\n")


def test_rpms_own_answers_after_installing_and_removing(built: list[Path], tmp_path: Path):
    database = tmp_path / "db"
    rpm(database, "-i", "--justdb", "--nodeps", "--ignoreos", "--force-debian", *built)
    for removed in (None, "large"):
        if removed:
            rpm(database, "-e", "--justdb", "--force-debian", removed)
        data = (database / "rpmdb.sqlite").read_bytes()
        told, document = rpmdb.read(data)
        assert told == {"packages": 2 if removed else 3, "problems": []}
        assert listed(document) == (rpm(database, *QUERY), rpm(database, "-qal"))
        assert "tiny 2:1.0-3 noarch tiny" in listed(document)[0]


def test_rpm_reads_our_berkeley_db_as_we_do(built: list[Path], tmp_path: Path):
    """What is made here for tests is what rpm takes for one of its own."""
    database, old = tmp_path / "db", tmp_path / "old"
    rpm(database, "-i", "--justdb", "--nodeps", "--ignoreos", "--force-debian", *built)
    with sqlite3.connect(database / "rpmdb.sqlite") as db:
        blobs = [row[0] for row in db.execute("SELECT blob FROM Packages ORDER BY hnum")]
    db.close()
    old.mkdir()
    for order in "<>":
        (old / "Packages").write_bytes(in_hash(blobs, order))
        _, document = rpmdb.read((old / "Packages").read_bytes())
        assert listed(document) == (rpm(old, *QUERY, backend="bdb_ro"), rpm(old, "-qal", backend="bdb_ro"))
    assert rpmdb.read(in_ndb(blobs)) == rpmdb.read((database / "rpmdb.sqlite").read_bytes())


# ---- damage


def test_a_damaged_header_costs_its_package_and_is_told():
    blobs = [SSH, b"\0\0\0", struct.pack(">2I", 1 << 30, 5), header(""), SSH[:-30], KEY]
    told, document = rpmdb.read(in_ndb(blobs))
    assert document == DOCUMENT
    assert told == {"packages": 2, "problems": ["a package's header is damaged (4 times)"]}


@pytest.mark.parametrize(
    "files",
    [
        [texts(NAMES, ["a"]), texts(FOLDERS, ["/"])],
        [texts(NAMES, ["a"]), numbers(FOLDER_OF, [1]), texts(FOLDERS, ["/"])],
        [texts(NAMES, ["a", "b"]), numbers(FOLDER_OF, [0]), texts(FOLDERS, ["/"])],
        [(NAMES, 8, 1_999_999, b"a\0"), numbers(FOLDER_OF, [0]), texts(FOLDERS, ["/"])],
        [texts(NAMES, ["a"]), (FOLDER_OF, 4, 0xFFFFFFFF, b"\0\0\0\0"), texts(FOLDERS, ["/"])],
        [texts(NAMES, ["a"]), numbers(FOLDER_OF, [0]), (FOLDERS, 8, 1, b"/never ends")],
    ],
)
def test_a_damaged_list_of_files_does_not_hide_its_package(files: list[tuple[int, int, int, bytes]]):
    tags = [text(NAME, "sshd"), text(VERSION, "1"), text(RELEASE, "2"), *files]
    told, document = rpmdb.read(in_ndb([blob(tags)]))
    assert document == b"P:sshd\nV:1-2\n\n"
    assert told["problems"] == ["a package's list of files is damaged and was not read"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "neither"),
        (b"#!/bin/sh\n" * 100, "neither"),
        (in_sqlite([])[:100], "ends within its first page"),
        (b"SQLite format 3\0" + bytes(5000), "page size cannot be"),
        (in_sqlite([SSH]).replace(b"Packages", b"Backages"), "no table of packages"),
        (in_ndb([])[:20], "ends within its header"),
        (in_ndb([])[:4] + b"\7" + in_ndb([])[5:], "version 7"),
        (in_hash([])[:100], "ends within its first page"),
        (in_hash([])[:24] + b"\1" + in_hash([])[25:], "encrypted"),
        (in_hash([])[:16] + b"\5" + in_hash([])[17:], "version 5"),
        (bytes(12) + b"\x62\x31\x05\0" + bytes(500), "tree"),
    ],
)
def test_what_is_no_database_is_said(data: bytes, why: str):
    with pytest.raises(ParseError, match=why):
        rpmdb.read(data)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_database_that_ends_early_gives_what_is_there_and_tells(form: Form):
    blobs = [header(f"p{n}", files={"/x/": ["y" * 3000]}) for n in range(60)]
    data = form(blobs)
    told, document = rpmdb.read(data[: len(data) * 2 // 3 + 1])
    assert told["problems"]
    assert 0 < document.count(b"P:") < 60


def overlapping() -> dict[str, bytes]:
    """One package of 400,000 bytes, to which fifty entries point."""
    big = header("big", files={"/x/": ["y" * 400_000]})
    ndb = bytearray(in_ndb([big]))
    for slot in range(1, 50):
        ndb[32 + 16 * slot : 48 + 16 * slot] = ndb[32:48]
    rows = bytearray(in_sqlite([big], 512, 0))
    rows[512 + 3 : 512 + 5] = (50).to_bytes(2, "big")  # the table begins on the second page
    rows[512 + 8 : 512 + 108] = rows[512 + 8 : 512 + 10] * 50
    hashed = bytearray(in_hash([big]))
    hashed[4096 + 20 : 4096 + 22] = (100).to_bytes(2, "little")
    hashed[4096 + 26 : 4096 + 226] = hashed[4096 + 30 : 4096 + 34] * 50
    return {"ndb": bytes(ndb), "sqlite": bytes(rows), "hash": bytes(hashed)}


@pytest.mark.parametrize("form", ["ndb", "sqlite", "hash"])
def test_the_same_bytes_many_times_cost_once(form: str):
    told, document = rpmdb.read(overlapping()[form])
    assert document.count(b"P:big\n") == 1
    assert "more than once (49 times)" in str(told["problems"])


def test_chains_and_trees_that_bite_their_tail_end():
    data = bytearray(in_hash([header("a", files={"/x/": ["y" * 50_000]})]))
    for page in range(2, len(data) // 4096):  # each page of it empty, and followed by itself
        data[page * 4096 + 16 : page * 4096 + 20] = struct.pack("<I", page)
        data[page * 4096 + 22 : page * 4096 + 24] = b"\0\0"
    assert problems(bytes(data)) == ["a package is damaged: it refers to the same bytes more than once"]

    tree = bytearray(in_sqlite([header(f"p{n}", files={"/x/": ["y" * 2000]}) for n in range(600)], 512))
    for page in range(1, len(tree) // 512):
        if tree[page * 512] == 5:  # every inner page's children are the page itself
            cells = int.from_bytes(tree[page * 512 + 3 : page * 512 + 5], "big")
            for n in range(cells):
                at = page * 512 + int.from_bytes(tree[page * 512 + 12 + 2 * n : page * 512 + 14 + 2 * n], "big")
                tree[at : at + 4] = (page + 1).to_bytes(4, "big")
            tree[page * 512 + 8 : page * 512 + 12] = (page + 1).to_bytes(4, "big")
    assert "read before" in problems(bytes(tree))[0]


def test_more_files_than_there_are_do_not_hide_their_package():
    tags = [text(NAME, "sshd"), text(VERSION, "1"), text(RELEASE, "2"), (NAMES, 8, 0xFFFFFFFF, b"a\0")]
    told, document = rpmdb.read(in_ndb([blob(tags)]))
    assert document == b"P:sshd\nV:1-2\n\n"
    assert told["problems"] == ["it names more than 2000000 files, the rest was not read"]


def test_files_strewn_over_two_long_folders_do_not_multiply_them():
    count, long = 50_000, "/" + "d" * 500_000
    tags = [
        text(NAME, "strewn"),
        text(VERSION, "1"),
        text(RELEASE, "1"),
        numbers(FOLDER_OF, [n % 2 for n in range(count)]),
        texts(NAMES, ["x"] * count),
        texts(FOLDERS, [long, long + "e"]),
    ]
    data = in_ndb([blob(tags)])
    _, document = rpmdb.read(data)
    assert document.count(b"R:") == count
    assert len(document) < 2 * len(data)


def test_limits_are_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rpmdb, "PACKAGES", 3)
    monkeypatch.setattr(rpmdb, "FILES", 6)
    told, document = rpmdb.read(in_sqlite([SSH, SSH, KEY, KEY]))
    assert told["packages"] == 3
    assert told["problems"] == [
        "it lists more than 3 packages, the rest was not read",
        "it names more than 6 files, the rest was not read",
    ]
    assert document.count(b"R:") == 4


SMALL = {name: form([SSH, header("b", files={"/x/": ["y" * 9000]}), KEY]) for name, form in FORMS.items()}


@pytest.mark.parametrize("form", FORMS)
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_flipped_bytes_never_raise_but_what_is_documented(form: str, data: st.DataObject):
    raw = bytearray(SMALL[form])
    # where the structure lies: the start of a page, or anywhere
    places = st.integers(0, len(raw) - 1) | st.builds(
        lambda page, at: min(page * 4096 + at, len(raw) - 1), st.integers(0, len(raw) // 4096), st.integers(0, 64)
    )
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=12)):
        raw[place] = value
    try:
        _, document = rpmdb.read(raw[: data.draw(st.integers(0, len(raw)) | st.just(len(raw)))])
    except ParseError:
        return
    assert len(document) <= 3 * len(raw)
    assert document == b"" or document.endswith(b"\n\n")


@given(st.binary(max_size=600), st.sampled_from([b"SQLite format 3\0\x02\0", b"RpmP", bytes(12) + b"\x61\x15\x06\0"]))
def test_junk_never_raises_but_what_is_documented(junk: bytes, head: bytes):
    for data in (junk, head + junk, head + junk.ljust(4096, b"\x0d")):
        try:
            rpmdb.read(data)
        except ParseError:
            continue


def test_a_list_of_files_larger_than_the_workers_memory_does_not_hide_its_package():
    worker = Worker(Limits(native_bytes=64 << 20))
    data = in_ndb([header("strewn", files={"/x/": ["file"] * 900_000}), KEY])
    try:
        with worker.opened(rpmdb.read, memoryview(data), {}, Budget(Limits()), 0) as (told, held):
            assert told["problems"] == ["a package's list of files needs more memory than there is and was not read"]
            assert bytes(held.view) == b"P:strewn\nV:1.0-1\nA:x86_64\n\nP:gpg-pubkey\nV:a15b79cc-63d04c2c\n\n"
    finally:
        worker.close()


def test_a_worker_gives_the_same():
    worker = Worker(Limits())
    try:
        with worker.opened(rpmdb.read, memoryview(in_sqlite([SSH, KEY])), {}, Budget(Limits()), 0) as (told, held):
            assert told == {"packages": 2, "problems": []}
            assert bytes(held.view) == DOCUMENT
    finally:
        worker.close()
