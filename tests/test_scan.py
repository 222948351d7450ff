"""The whole way: an image in, a report out. Which finding, where, how bad, in which state."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures import debian, miners, negatives, wrapped
from fixtures.image import Step, archive
from fixtures.tarball import HARDLINK, Member, whiteout
from scanner.cache import Cache
from scanner.content.worker import Worker
from scanner.model import FileLocation, Finding, Level, Limits, Report, Severity, State
from scanner.pipeline import Options, scan, scan_opened
from scanner.reports.json import PLUGIN as JSON
from scanner.reports.plugin import RenderOptions
from scanner.sources.recognise import open_target

MINER = miners.binaries()["xmrig-stripped"]
BASE = Step("ADD rootfs.tar / # buildkit", debian.base())


def image(folder: Path, *steps: Step, config: dict[str, object] | None = None, name: str = "team/app:1") -> str:
    file = folder / "app.tar"
    file.write_bytes(archive(steps, config or {}, name))
    return f"archive:{file}"


@pytest.fixture(scope="module", autouse=True)
def _worker() -> Iterator[None]:
    yield
    WORKER.close()


WORKER = Worker(Limits())
"""One for all scans but those with limits of their own: what it loads takes longer than a scan."""


def scanned(target: str, **options: object) -> Report:
    chosen = Options(**options)  # type: ignore[arg-type]
    if chosen.limits != Limits():
        return scan(target, chosen)
    with open_target(target, chosen.source) as opened:
        return scan_opened(opened, chosen, worker=WORKER)


def files(report: Report, rule: str) -> dict[bytes, Finding]:
    return {f.locations[0].display: f for f in report.findings_of(rule)}


def normalised(report: Report) -> str:
    """The JSON without what may differ between two scans of the same bytes."""
    statistics = {k: v for k, v in report.statistics.items() if k not in ("seconds", "layers_cached", "prefilter")}
    return JSON.render(replace(report, started="2026-01-01T00:00:00Z", statistics=statistics), RenderOptions())


@pytest.mark.parametrize("kind", sorted(miners.binaries()))
def test_every_form_of_a_miner_is_found_under_another_name(tmp_path: Path, kind: str):
    step = Step("RUN make install", (Member("usr/lib/.cache/kworker", miners.binaries()[kind], 0o755),))
    report = scanned(image(tmp_path, BASE, step))

    [found] = report.findings_of("miner/binary")
    assert found.severity.rank >= Severity.HIGH.rank, found
    assert found.locations[0].display == b"usr/lib/.cache/kworker"
    assert isinstance(found.locations[0], FileLocation)
    assert found.locations[0].layer.index == 1
    assert found.locations[0].layer.created_by == "RUN make install"
    assert str(found.details["family"]).startswith(kind.partition("-")[0].replace("minerd", "cpuminer"))
    assert found.state is State.VISIBLE
    assert report.complete, report.notifications


@pytest.mark.parametrize("name", sorted(wrapped.archives("kworker", b"")))
def test_a_miner_in_an_archive_is_found_with_the_way_to_it(tmp_path: Path, name: str):
    data = wrapped.archives("kworker", MINER)[name]
    report = scanned(image(tmp_path, BASE, Step("COPY cache /opt", (Member(f"opt/{name}", data),))))

    [found] = report.findings_of("miner/binary")
    assert found.severity.rank >= Severity.HIGH.rank
    path = found.locations[0].display
    assert path.startswith(f"opt/{name}!/".encode())
    assert path.endswith(b"kworker")
    assert report.complete, report.notifications


@pytest.mark.parametrize("name", ["miner.py", "btcminer.py", "start.sh", "minerd.sh"])
def test_miners_that_are_text_are_found(tmp_path: Path, name: str):
    step = Step("COPY . /srv", (Member(f"srv/{name}", miners.scripts()[name], 0o755),))
    report = scanned(image(tmp_path, BASE, step))

    worst = [f for f in report.findings if f.severity.rank >= Severity.HIGH.rank]
    assert [f.locations[0].display for f in worst] == [f"srv/{name}".encode()], report.findings


@pytest.mark.parametrize(
    ("path", "name"),
    [("etc/cron.d/cache", "crontab"), ("etc/systemd/system/cache.service", "miner.service")],
)
def test_what_starts_a_miner_is_found_at_its_line(tmp_path: Path, path: str, name: str):
    report = scanned(image(tmp_path, BASE, Step("COPY etc /etc", (Member(path, miners.scripts()[name]),))))

    [found] = report.findings_of("miner/launch")
    assert found.severity.rank >= Severity.HIGH.rank
    location = found.locations[0]
    assert isinstance(location, FileLocation)
    lines = miners.scripts()[name].splitlines()
    assert location.line is not None
    assert b"/usr/lib/.cache/kworker" in lines[location.line - 1]


def test_an_entrypoint_that_starts_one_is_found_in_the_config(tmp_path: Path):
    command = ["/opt/run", "-o", "stratum+tcp://pool.supportxmr.com:3333", "-u", miners.monero(), "--donate-level=0"]
    report = scanned(image(tmp_path, BASE, config={"Entrypoint": command}))

    [found] = report.findings_of("miner/launch")
    assert found.locations[0].display.startswith(b"Entrypoint")


def test_a_config_names_its_pool(tmp_path: Path):
    step = Step("COPY c /etc", (Member("etc/kw/c.json", miners.config()),))
    [found] = scanned(image(tmp_path, BASE, step)).findings_of("miner/config")
    assert found.severity.rank >= Severity.HIGH.rank
    assert miners.POOL in json.dumps(dict(found.details)) + found.message


def test_a_deleted_miner_is_still_found_and_says_who_deleted_it(tmp_path: Path):
    report = scanned(
        image(
            tmp_path,
            BASE,
            Step("RUN ./build", (Member("opt/x/kworker", MINER, 0o755),)),
            Step("RUN rm -rf /opt/x", (whiteout("opt/x"),)),
        )
    )
    [found] = report.findings_of("miner/binary")
    assert (found.state, found.hidden_by) == (State.DELETED, 2)
    assert found.severity.rank >= Severity.HIGH.rank


def test_an_overwritten_miner_and_a_hard_link_that_outlives_it(tmp_path: Path):
    overwritten = (
        BASE,
        Step("RUN ./build", (Member("opt/kworker", MINER, 0o755),)),
        Step("COPY ok", (Member("opt/kworker", b"#!/bin/sh\n", 0o755),)),
    )
    [found] = scanned(image(tmp_path, *overwritten)).findings_of("miner/binary")
    assert (found.state, found.hidden_by) == (State.OVERWRITTEN, 2)

    linked = (
        BASE,
        Step(
            "RUN ./build",
            (Member("opt/kworker", MINER, 0o755), Member("usr/bin/kw", kind=HARDLINK, link="opt/kworker", mode=0o755)),
        ),
        Step("RUN rm /opt/kworker", (whiteout("opt/kworker"),)),
    )
    [found] = scanned(image(tmp_path, *linked)).findings_of("miner/binary")
    assert found.state is State.VISIBLE, "its other name is still there"


def test_of_two_members_of_one_name_the_first_is_hidden_and_found(tmp_path: Path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for data in (MINER, b"nothing"):
            info = tarfile.TarInfo("opt/kworker")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (tmp_path / "tree.tar").write_bytes(out.getvalue())
    report = scanned(f"rootfs:{tmp_path / 'tree.tar'}")
    [found] = report.findings_of("miner/binary")
    assert (found.state, found.hidden_by) == (State.OVERWRITTEN, 0)


@pytest.mark.parametrize("path", [b"opt/caf\xe9/kworker", b"opt/\x1b[2Jx/kworker", b"opt/a\nb/kworker"])
def test_names_that_are_not_meant_for_people_survive(tmp_path: Path, path: bytes):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(path.decode("utf-8", "surrogateescape"))
        info.size = len(MINER)
        tar.addfile(info, io.BytesIO(MINER))
    (tmp_path / "tree.tar").write_bytes(out.getvalue())
    [found] = scanned(f"rootfs:{tmp_path / 'tree.tar'}").findings_of("miner/binary")
    assert found.locations[0].display == path


@pytest.mark.parametrize(
    "front", [wrapped.harmless(), b"\x7fELF" + bytes(3 << 20), b"#!/bin/sh\nexit 0\n" + b"#" * 5000]
)
def test_a_zip_behind_something_else_is_looked_into(tmp_path: Path, front: bytes):
    data = front + wrapped.zipped({"kworker": MINER})
    step = Step("COPY a /opt", (Member("opt/tool", data, 0o755), Member("opt/t.gz", gzip.compress(data, mtime=0))))
    found = files(scanned(image(tmp_path, BASE, step)), "miner/binary")
    assert set(found) >= {b"opt/tool!/kworker"}
    assert any(p.startswith(b"opt/t.gz!/") and p.endswith(b"!/kworker") for p in found), found


def test_the_end_of_a_zip_may_lie_across_two_reads(tmp_path: Path):
    packed = wrapped.zipped({"kworker": MINER})
    for short_by in (1, 5, 21):
        # one plain file in a tar: its content begins at 512, reads end at whole MiB
        front = bytes((1 << 20) - 512 - len(packed) + short_by)
        with tarfile.open(tmp_path / "t.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            info = tarfile.TarInfo("opt/x")
            info.size = len(front) + len(packed)
            tar.addfile(info, io.BytesIO(b"\x7f" + front[1:] + packed))
        found = files(scanned(f"rootfs:{tmp_path / 't.tar'}"), "miner/binary")
        assert set(found) == {b"opt/x!/kworker"}, short_by


def test_hard_negatives_stay_at_note(tmp_path: Path):
    members = debian.with_directories([Member(p, d) for p, d in negatives.files().items()])
    report = scanned(image(tmp_path, BASE, Step("COPY . /", members)))
    assert [f for f in report.findings if f.severity is not Severity.NOTE] == []


def test_a_directory_gives_what_its_tar_gives(tmp_path: Path):
    tree = tmp_path / "tree"
    (tree / "opt").mkdir(parents=True)
    (tree / "opt/kworker").write_bytes(MINER)
    (tree / "opt/kworker").chmod(0o755)
    (tree / "opt/large.bin").write_bytes(b"\0" * (9 << 20) + MINER)
    (tree / "opt/c.json").write_bytes(miners.config())
    with tarfile.open(tmp_path / "tree.tar", "w") as tar:
        tar.add(tree, ".")
    with gzip.open(tmp_path / "tree.tar.gz", "wb", 1) as packed:
        packed.write((tmp_path / "tree.tar").read_bytes())

    def told(target: str) -> list[tuple[str, bytes, str]]:
        report = scanned(target)
        assert report.complete, report.notifications
        return [(f.rule_id, f.locations[0].display, f.message) for f in report.findings]

    assert (
        told(f"rootfs:{tree}") == told(f"rootfs:{tmp_path / 'tree.tar'}") == told(f"rootfs:{tmp_path / 'tree.tar.gz'}")
    )
    assert {p for _, p, _ in told(f"rootfs:{tree}")} >= {b"opt/kworker", b"opt/c.json"}


def test_holes_in_large_files_move_no_hit_to_another_file(tmp_path: Path):
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "a.img").open("wb") as sparse:
        sparse.write(b"begins with data" * 1000)
        sparse.seek(1 << 26)
        sparse.write(MINER)
        sparse.truncate(1 << 27)
    with (tree / "b.img").open("wb") as hole:
        hole.truncate(1 << 36)
    (tree / "c").write_bytes(b"nothing" * 1000)
    (tree / "kworker").write_bytes(MINER)
    report = scanned(f"rootfs:{tree}")
    assert b"kworker" in files(report, "miner/binary")
    assert not [n for n in report.notifications if n.level is Level.ERROR], report.notifications


def test_the_second_scan_reads_only_new_layers_and_says_the_same(tmp_path: Path):
    cache = Cache(tmp_path / "cache")
    target = image(tmp_path, BASE, Step("RUN ./build", (Member("opt/kworker", MINER, 0o755),)))
    first, second = scanned(target, cache=cache), scanned(target, cache=cache)
    assert (first.statistics["layers_cached"], second.statistics["layers_cached"]) == (0, 2)
    assert normalised(first) == normalised(second) == normalised(scanned(target))

    other = image(tmp_path, BASE, Step("RUN other", (Member("opt/o", b"o"),)))
    assert scanned(other, cache=cache).statistics["layers_cached"] == 1


def test_a_cached_layer_that_is_hidden_in_another_image_is_hidden_there(tmp_path: Path):
    cache = Cache(tmp_path / "cache")
    build = Step("RUN ./build", (Member("opt/kworker", MINER, 0o755),))
    [visible] = scanned(image(tmp_path, BASE, build), cache=cache).findings_of("miner/binary")
    [deleted] = scanned(
        image(tmp_path, BASE, build, Step("RUN rm", (whiteout("opt/kworker"),))), cache=cache
    ).findings_of("miner/binary")
    assert (visible.state, deleted.state) == (State.VISIBLE, State.DELETED)
    assert visible.fingerprint == deleted.fingerprint


def test_a_plain_layer_whose_size_contradicts_the_cache_is_read_again(tmp_path: Path):
    cache = Cache(tmp_path / "cache")
    clean = image(tmp_path, BASE)
    scanned(clean, cache=cache)
    data = bytearray(Path(clean.removeprefix("archive:")).read_bytes())
    [layer] = scanned(clean).image.layers
    assert layer.diff_id is not None
    # the layer's blob is replaced by a longer one that still claims to be the clean layer
    evil = archive([Step("x", (Member("opt/kworker", MINER, 0o755),))], {}, "team/app:1")
    assert hashlib.sha256(data).hexdigest() != hashlib.sha256(evil).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(data)) as honest, tarfile.open(fileobj=io.BytesIO(evil)) as other:
        swapped = io.BytesIO()
        evil_layer = max((other.extractfile(m).read() for m in other if m.isfile()), key=len)  # type: ignore[union-attr]
        with tarfile.open(fileobj=swapped, mode="w") as out:
            for member in honest:
                content = honest.extractfile(member).read() if member.isfile() else b""  # type: ignore[union-attr]
                if member.name.endswith(layer.diff_id[7:]):
                    content = evil_layer
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
    file = tmp_path / "swapped.tar"
    file.write_bytes(swapped.getvalue())
    report = scanned(f"archive:{file}", cache=cache)
    assert report.statistics["layers_cached"] == 0
    assert not report.complete
    assert any("does not match its digest" in n.message for n in report.notifications)
    assert report.findings_of("miner/binary"), "what lies there is told all the same"


def test_fingerprints_survive_a_rebuild_a_new_tag_and_another_layer(tmp_path: Path):
    build = Step("RUN ./build", (Member("opt/kworker", MINER, 0o755), Member("opt/c.json", miners.config())))
    one = scanned(image(tmp_path, BASE, build, name="team/app:1"))
    two = scanned(
        image(tmp_path, BASE, Step("RUN a", (Member("a", b"a"),)), replace(build, when=99), name="team/app:2")
    )
    other = scanned(image(tmp_path, BASE, build, name="team/other:1"))
    assert [f.fingerprint for f in one.findings] == [f.fingerprint for f in two.findings]
    assert not {f.fingerprint for f in one.findings} & {f.fingerprint for f in other.findings}
    assert len({f.fingerprint for f in one.findings}) == len(one.findings)


def test_a_users_rule_is_reported_with_defaults(tmp_path: Path):
    rule = tmp_path / "mine.yar"
    rule.write_text('rule House_Style { strings: $a = "a phrase of ours" condition: $a }')
    step = Step("COPY x", (Member("srv/x", b"here is a phrase of ours, with a mistake\n"),))
    report = scanned(image(tmp_path, BASE, step), rules=(rule,))
    [found] = report.findings_of("yara/House_Style")
    assert (found.severity, found.locations[0].display) == (Severity.MEDIUM, b"srv/x")


@pytest.mark.parametrize("use_prefilter", [True, False])
def test_a_file_that_yara_fails_on_makes_the_report_incomplete_and_costs_no_other_file(
    tmp_path: Path, use_prefilter: bool
):
    """Loops around alternatives that match nothing are too much for YARA, which shows only when it matches."""
    rule = tmp_path / "loop.yar"
    rule.write_text(r"rule Loop { strings: $a = /qzx((00|00|)\b)*y/ condition: $a }")
    files_ = (Member("srv/x", b"here is qzx00 qzx0000y qzxy"), Member("usr/bin/kworker", MINER, 0o755))
    report = scanned(image(tmp_path, BASE, Step("COPY x", files_)), rules=(rule,), use_prefilter=use_prefilter)
    assert not report.complete
    [note] = [n for n in report.notifications if n.incomplete]
    assert (note.stage, note.level, note.path) == ("rules", Level.WARNING, b"srv/x")
    assert note.message == "YARA could not match its 27 bytes: internal error: 46"
    assert b"usr/bin/kworker" in files(report, "miner/binary")


def test_what_a_limit_cuts_off_makes_the_report_incomplete(tmp_path: Path):
    nested = wrapped.zipped({"a.zip": wrapped.zipped({"b.zip": wrapped.zipped({"kworker": MINER})})})
    target = image(tmp_path, BASE, Step("COPY n", (Member("opt/n.zip", nested),)))
    report = scanned(target, limits=Limits(archive_depth=2))
    assert not report.complete
    [note] = [n for n in report.notifications if n.incomplete]
    assert (note.level, note.path) == (Level.WARNING, b"opt/n.zip")
    assert "archive-depth" in note.message
    assert scanned(target).findings_of("miner/binary")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["opt/a", "opt/b.json", "etc/cron.d/c", "srv/d.py", "usr/bin/e"]),
            st.sampled_from(
                [MINER, miners.config(), *miners.scripts().values(), b"clean", b"xmrig mining.subscribe rx/0"]
            ),
            st.booleans(),
        ),
        max_size=6,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_prefilter_loses_nothing(tmp_path: Path, planted: list[tuple[str, bytes, bool]]):
    steps = [
        Step(f"RUN {i}", (Member(path, gzip.compress(data, mtime=0) if packed else data, 0o755),))
        for i, (path, data, packed) in enumerate(planted)
    ]
    target = image(tmp_path, BASE, *steps)
    with_it, without = scanned(target), scanned(target, use_prefilter=False)
    assert [(f.rule_id, f.locations, f.message, f.severity, f.evidence) for f in with_it.findings] == [
        (f.rule_id, f.locations, f.message, f.severity, f.evidence) for f in without.findings
    ]


def test_the_api_returns_a_report(tmp_path: Path):
    from scanner import scan as api

    report = api(image(tmp_path, BASE), cache=tmp_path / "cache")
    assert report.complete
    assert report.findings == ()
    assert (tmp_path / "cache" / "layers.sqlite").exists()
