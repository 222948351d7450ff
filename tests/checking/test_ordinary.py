"""Ordinary repositories raise no alarm: each of these texts is one that a team could have."""

from pathlib import Path

from scanner.checking import check
from tests.checking.ordinary import ORDINARY, REMOTE_SCRIPTS


def test_ordinary_dockerfiles_raise_no_alarm(tmp_path: Path) -> None:
    for name, text in ORDINARY.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "Dockerfile").write_text(text)
    report = check([tmp_path])
    said = {
        (f.source.file.split("/")[-2], f.rule_id, f.source.line, f.severity.value) for f in report.findings if f.source
    }
    assert said == {
        ("nodesource", "build/remote-script", 3, "medium"),
        ("rustup", "build/remote-script", 3, "medium"),
    }, [(f.message, f.source) for f in report.findings]
    assert report.complete, report.notifications
    assert {name for name, *_ in said} == REMOTE_SCRIPTS
