"""Package databases on their way from a layer to the image's packages: read, kept, cached; what is not read is told."""

import struct
from pathlib import Path

import pytest

from fixtures.image import Step, archive
from fixtures.tarball import Member
from scanner.content import Content, rpmdb
from scanner.content.worker import Worker
from scanner.detectors.packages import PLUGIN, inspect
from scanner.errors import LimitError
from scanner.model import Kept, Level, Limits, Notification
from scanner.oci.packages import Packages
from scanner.onepass import Engine, scan_layer
from scanner.pipeline import Options, scan
from scanner.record import dump, load
from scanner.ruleset import load as load_rules
from scanner.sources.plugin import SourceOptions
from scanner.sources.recognise import open_target
from tests.content.rpm_forms import FORMS, header

SSH = header("openssh-clients", "9.9p1", "3.fc41", source="openssh-9.9p1-3.fc41.src.rpm", files={"/usr/bin/": ["ssh"]})
PLACES = {
    "sqlite": "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "ndb": "usr/lib/sysimage/rpm/Packages.db",
    "hash": "var/lib/rpm/Packages",
    "hash-be": "var/lib/rpm/Packages",
}
STATUS = b"Package: adduser\nStatus: install ok installed\nArchitecture: all\nVersion: 3.134\n\n"
APK = b"C:Q1=\nP:musl\nV:1.2.4-r2\nA:x86_64\nF:lib\nR:ld-musl-x86_64.so.1\n\n"


def seen(path: str, data: bytes, worker: Worker | None = None, inner: tuple[bytes, ...] = ()) -> list[object]:
    return list(inspect(Content(path.encode(), memoryview(data), inner=inner, worker=worker)))


@pytest.mark.parametrize("form", FORMS)
def test_an_rpm_database_is_kept_as_a_document(form: str, worker: Worker):
    [kept] = seen(PLACES[form], FORMS[form]([SSH]), worker)
    assert isinstance(kept, Kept)
    assert kept.path == PLACES[form].encode()
    found = Packages([lambda: {kept.path: kept.data}])
    assert found.version("openssh-clients") == "9.9p1-3.fc41"
    assert found.owner(b"usr/bin/ssh") == "openssh-clients"
    assert seen(PLACES[form], FORMS[form]([SSH])) == [kept]  # without a worker, as in the other process


def test_what_cannot_be_read_is_a_warning(worker: Worker):
    [note] = seen("var/lib/rpm/Packages", b"no database", worker)
    what = "of the package database: it was not read: it is neither SQLite nor ndb nor Berkeley DB"
    assert note == Notification("content", Level.WARNING, what, b"var/lib/rpm/Packages")


def test_what_is_damaged_is_a_warning_and_the_rest_is_kept(worker: Worker):
    kept, note = seen("var/lib/rpm/Packages.db", FORMS["ndb"]([b"\0\0\0", SSH]), worker)
    assert isinstance(kept, Kept)
    assert kept.data.startswith(b"P:openssh-clients\n")
    what = "of the package database: it was not read whole: a package's header is damaged"
    assert note == Notification("content", Level.WARNING, what, b"var/lib/rpm/Packages.db")


@pytest.mark.parametrize("name", ["rpmdb.sqlite-wal", "rpmdb.sqlite-journal"])
def test_changes_that_are_not_in_the_database_yet_are_told(name: str):
    assert seen(f"var/lib/rpm/{name}", b"") == []
    [note] = seen(f"var/lib/rpm/{name}", struct.pack(">I", 0x377F0682) + bytes(4096))
    assert isinstance(note, Notification)
    assert note.incomplete
    assert "may hold changes that are not in the database yet" in note.message


def test_a_database_too_large_or_too_slow_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rpmdb, "MOST", 1000)
    [note] = seen("var/lib/rpm/Packages.db", FORMS["ndb"]([SSH]))
    assert "larger than 1000 bytes" in str(note)
    monkeypatch.undo()

    def slow(_: object) -> None:
        raise LimitError("its parser took longer than 20 seconds")

    monkeypatch.setattr(rpmdb, "read", slow)
    [note] = seen("var/lib/rpm/Packages.db", FORMS["ndb"]([SSH]))
    assert isinstance(note, Notification)
    assert (note.stage, note.incomplete) == ("worker", True)  # not cached: the next try may do


def test_a_database_in_an_archive_is_not_the_images_own(worker: Worker):
    assert seen("backup.tar", FORMS["ndb"]([SSH]), worker, (b"var/lib/rpm/Packages.db",)) == []


@pytest.mark.parametrize("prefilter", [False, True])
def test_layers_databases_reach_the_images_packages_also_through_the_cache(tmp_path: Path, prefilter: bool):
    many = [
        SSH,
        *(header(f"p{n}", files={"/usr/share/": ["x" * 20_000]}) for n in range(600)),
    ]  # more than kept in memory
    steps = [
        Step("ADD debian", (Member("var/lib/dpkg/status", STATUS), Member("lib/apk/db/installed", APK))),
        Step("ADD fedora", (Member("usr/lib/sysimage/rpm/rpmdb.sqlite", FORMS["sqlite"](many)),)),
        Step("RUN rpm -i", (Member("usr/lib/sysimage/rpm/rpmdb.sqlite", FORMS["sqlite"]([SSH])),)),
    ]
    (tmp_path / "app.tar").write_bytes(archive(steps, {}, "a:1"))
    worker = Worker(Limits())
    engine = Engine(load_rules(), (PLUGIN,), Limits(), worker, use_prefilter=prefilter)
    try:
        with open_target(f"archive:{tmp_path}/app.tar", SourceOptions()) as opened:
            stored = [dump(*scan_layer(blob, engine)) for blob in opened.blobs]
    finally:
        worker.close()
    records = [load(s) for s in stored]
    assert [n for r in records for n in r.notifications] == []
    found = Packages([r.kept for r in records])
    assert [(p.name, p.manager, p.layer, p.removed_by) for p in found.all if not p.name.startswith("p")] == [
        ("adduser", "dpkg", 0, None),
        ("musl", "apk", 0, None),
        ("openssh-clients", "rpm", 1, None),
    ]
    assert {(p.layer, p.removed_by) for p in found.all if p.name.startswith("p")} == {(1, 2)}
    assert len(found.all) == 603
    assert found.owner(b"lib/ld-musl-x86_64.so.1") == "musl"
    assert found.owner(b"usr/bin/ssh") == "openssh-clients"


def test_a_broken_database_leaves_the_report_incomplete(tmp_path: Path):
    step = Step("ADD .", (Member("var/lib/rpm/rpmdb.sqlite", FORMS["sqlite"]([SSH])[:3000]),))
    (tmp_path / "app.tar").write_bytes(archive([step], {}, "a:1"))
    report = scan(f"archive:{tmp_path}/app.tar", Options())
    assert not report.complete
    assert [n.path for n in report.notifications if n.incomplete] == [b"var/lib/rpm/rpmdb.sqlite"]


def test_it_reports_nothing_itself():
    assert PLUGIN.rules == ()
