"""The table: planted findings, real builds by both builders, the line that each finding names."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.model import FileLocation
from scanner.tracing import scan_image
from tests.engine_fixture import Engine, missing
from tests.tracing.builds import Builder, Verdict, builder, scanned, verdicts, write
from tests.tracing.table import BUILDKIT, CASES, CLASSIC, CRON, TUNNEL, Case, key, keys, writes

pytestmark = pytest.mark.engine
TABLE = [(case, kind) for case in CASES for kind in case.builders if not case.heredocs]
"""Heredocs need a builder that Debian's engine does not have: test_recorded.py has what one wrote."""
SEEN: list[Verdict] = []
POOL = "stratum" + "+tcp://pool.example.com:3333"


@pytest.fixture(scope="module")
def made(engine: Engine) -> Iterator[Builder]:
    with builder(engine.host) as one:
        yield one


@pytest.mark.parametrize(("case", "kind"), TABLE, ids=[f"{c.name}-{k}" for c, k in TABLE])
def test_every_planted_finding_names_its_line(made: Builder, case: Case, kind: str, tmp_path: Path) -> None:
    report = scanned(made, case, kind, tmp_path)
    seen = verdicts(case, report, tmp_path)
    SEEN.extend(seen)

    assert [v for v in seen if v.wrong] == [], "a line that is not known was shown as certain"
    assert [v for v in seen if not v.right] == []
    assert report.complete, report.notifications


def test_most_findings_land_on_their_line_and_none_silently_on_another() -> None:
    if not SEEN:
        pytest.skip("nothing was built")
    assert len(SEEN) >= 60
    assert sum(v.right for v in SEEN) >= 0.95 * len(SEEN)
    assert not any(v.wrong for v in SEEN)


def test_a_flattened_image_has_no_certain_line_and_says_why(
    made: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"Dockerfile": f"FROM base:1\nRUN {writes('flat')}\nUSER nobody\n"})
    made.built(tmp_path, "Dockerfile", "layered:1", "buildkit")
    container = made.run("create", "layered:1", "true").decode().strip()
    made.run("import", "-", "flat:1", stdin=made.run("export", container))
    made.run("rm", "-f", container)
    monkeypatch.setenv("DOCKER_HOST", made.host)

    report = scan_image("docker:flat:1", dockerfile=tmp_path / "Dockerfile", cache=False)

    [found] = [f for f in report.findings if f.locations[0].display == keys("flat").encode()]
    assert found.source is None
    said = [n.message for n in report.notifications if n.stage == "tracing"]
    assert len(said) == 1
    assert said[0].startswith(
        "1 of 1 layers could not be traced to Dockerfile: the history does not say what made them"
    )


def test_an_image_that_was_squashed_by_its_build_falls_back_honestly(
    made: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if made.run("version", "--format", "{{.Server.Experimental}}") != b"true\n":
        missing("an engine with --experimental, which squashes")
    text = f"""FROM base:2
COPY app/keys /srv/app/.ssh/authorized_keys
RUN {writes("named")}
RUN p=/srv/unnamed/.ssh; mkdir -p $p && echo '{key("unnamed")}' > $p/authorized_keys
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["{TUNNEL}"]
"""
    write(tmp_path, {"Dockerfile": text, "app/keys": f"# one\n{key('app')}\n", ".git/HEAD": ""})
    made.built(tmp_path, "Dockerfile", "squashed:1", CLASSIC, "--squash")
    monkeypatch.setenv("DOCKER_HOST", made.host)

    report = scan_image("docker:squashed:1", dockerfile=tmp_path / "Dockerfile", cache=False)
    made.run("rmi", "-f", "squashed:1")

    sources = {f.locations[0].display.decode().partition("[")[0]: f.source for f in report.findings}
    known = {place: (s.file, s.line, s.certain) for place, s in sources.items() if s is not None}
    assert known == {
        keys("app"): ("app/keys", 2, True),
        keys("based"): ("Dockerfile", 1, False),
        keys("named"): ("Dockerfile", 3, False),
        "Cmd": ("Dockerfile", 6, True),
    }
    assert {place for place, source in sources.items() if source is None} == {keys("unnamed"), keys("on-build")}
    said = [n.message for n in report.notifications if n.stage == "tracing"]
    assert (
        said[0] == "1 of 3 layers could not be traced to Dockerfile: they were squashed into one, which keeps no line"
    )


FIRST = f"""FROM base:1
COPY app/keys /srv/app/.ssh/authorized_keys
RUN {writes("run")}
COPY cron /etc/cron.d/sync
ENV POOL_URL={POOL}
RUN mkdir -p /etc/ssh && echo 'PermitRootLogin yes' > /etc/ssh/sshd_config
CMD ["{TUNNEL}"]
"""
# the same, moved by instructions before and between, and in another order
SECOND = f"""FROM base:1
ENV STAMP=2
RUN echo $STAMP > /stamp
COPY cron /etc/cron.d/sync
RUN mkdir -p /etc/ssh && echo 'PermitRootLogin yes' > /etc/ssh/sshd_config
RUN {writes("run")}
COPY app/keys /srv/app/.ssh/authorized_keys
ENV POOL_URL={POOL}
CMD ["{TUNNEL}"]
"""


def test_fingerprints_survive_a_rebuild_by_buildkit(
    made: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the second one is from the cache: other times, another tag, every layer in another place."""
    monkeypatch.setenv("DOCKER_HOST", made.host)
    reports = []
    for number, text in enumerate((FIRST, SECOND)):
        write(tmp_path, {"Dockerfile": text, "app/keys": f"{key('app')}\n", "cron": CRON})
        for name in ("app/keys", "cron"):
            os.utime(tmp_path / name, (1_700_000_000 + number * 1_000,) * 2)
        made.built(tmp_path, "Dockerfile", f"rebuilt:{number}", BUILDKIT, "--no-cache")
        reports.append(scan_image(f"docker:rebuilt:{number}", cache=False))
        made.run("rmi", "-f", f"rebuilt:{number}")

    ids = [{layer.diff_id for layer in report.image.layers} for report in reports]
    assert len(ids[0] - ids[1]) >= 2, "what was copied is another layer, for the files are older"
    places = [{f.fingerprint: f.locations[0] for f in report.findings} for report in reports]
    assert len(places[0]) == len(reports[0].findings) >= 5
    assert places[0].keys() == places[1].keys()
    moved = [
        p for p, at in places[0].items() if isinstance(at, FileLocation) and at.layer.index != places[1][p].layer.index
    ]
    assert len(moved) >= 3
