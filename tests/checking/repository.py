"""Repositories for tests: files by name, and what was found in them, by place."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from scanner.model import Report


def written(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def tracked(root: Path) -> Path:
    """A git repository with everything in it committed, whoever runs the test."""
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "all", "--no-verify"]):
        git(root, *arguments)
    return root


def git(root: Path, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *arguments], cwd=root, check=check, capture_output=True, text=True)


def said(report: Report) -> set[tuple[str, str, int, str]]:
    """(rule, file, line, severity) of each finding, by its source."""
    return {(f.rule_id, f.source.file, f.source.line, f.severity.value) for f in report.findings if f.source}
