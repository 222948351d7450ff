"""The table: planted findings, real builds by both builders, the line that each finding names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.tracing import scan_image
from tests.engine_fixture import Engine
from tests.tracing.builds import Builder, Verdict, builder, scanned, verdicts, write
from tests.tracing.table import CASES, Case, keys, writes

pytestmark = pytest.mark.engine
TABLE = [(case, kind) for case in CASES for kind in case.builders if not case.heredocs]
"""Heredocs need a builder that Debian's engine does not have: test_recorded.py has what one wrote."""
SEEN: list[Verdict] = []


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
