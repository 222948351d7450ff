"""Installs sandscan: the Action's own commit from the Action's folder, or a released version by its hash."""

import hashlib
import os
import re
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from workflow import Wrong, environment, output, say, shown, temporary

RELEASE = re.compile(r"(\d+(?:\.\d+){0,3}(?:(?:a|b|rc)\d+)?(?:\.post\d+)?)@sha256:([0-9a-f]{64})")
HERE = Path(__file__).parent
PLAIN = ("--no-deps", "--no-compile")
"""What is named and nothing else; Python compiles what it needs, which is little of it."""


def main() -> int:
    root = HERE.parent.parent
    try:
        wanted = release(os.environ.get("INPUT_VERSION", "").strip())
        folder = temporary()
        folder.mkdir(parents=True, exist_ok=True)
        # Python's own pip, in an environment that nothing else shares
        venv.create(folder / "venv", with_pip=True, clear=True)
        requirements = ["--requirement", str(HERE / "requirements.txt")]
        if wanted is None:
            hashed(folder, *requirements, "--requirement", str(HERE / "build.txt"))
            _pip(folder, "install", *PLAIN, "--no-index", "--no-build-isolation", "--", str(root))
        else:
            hashed(folder, "--requirement", str(pinned(folder, *wanted)))
            hashed(folder, *requirements)
        _pip(folder, "check")
    except Wrong as e:
        say("error", str(e), "sandscan: not installed")
        return 2
    code = digest_of(root) if wanted is None else f"{wanted[0]}-{wanted[1][:16]}-{digest_of(root)}"
    runner = "-".join(os.environ.get(name, "unknown") for name in ("RUNNER_OS", "RUNNER_ARCH"))
    output({"cache-folder": str(folder / "cache"), "cache-prefix": f"sandscan-{runner}-{code}-"})
    return 0


def release(value: str) -> tuple[str, str] | None:
    """Version and SHA-256 of `0.1.0@sha256:…`, None for nothing. Raises Wrong for a version without a hash."""
    if not value:
        return None
    if match := RELEASE.fullmatch(value):
        return match[1], match[2]
    raise Wrong(
        f"version {shown(value, 100)!r} has no hash, so anybody who holds the package index could change what runs here. "
        "Write it as 0.1.0@sha256:… with the hash of the release's wheel, or leave version out: "
        "the Action then installs its own commit."
    )


def pinned(folder: Path, version: str, digest: str) -> Path:
    """The file that asks pip for the release and for no other bytes."""
    named = folder / "release.txt"
    named.write_text(f"sandscan=={version} --hash=sha256:{digest}\n", "utf-8")
    return named


def digest_of(root: Path) -> str:
    """Of all that decides what is found: code, rules, dependencies. Evidence of other code is never looked up."""
    whole = hashlib.sha256()
    files = [
        p
        for top in ("rules", "scanner")
        for p in (root / top).rglob("*")
        if p.suffix in {".py", ".yar", ".yaml", ".json", ".toml"}
    ]
    for file in sorted([*files, root / ".github" / "action" / "requirements.txt"]):
        whole.update(f"{file.relative_to(root)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode())
    return whole.hexdigest()[:16]


def hashed(folder: Path, *requirements: str) -> None:
    """Installs wheels alone: what an sdist is built with, no hash of ours covers."""
    _pip(folder, "install", *PLAIN, "--require-hashes", "--only-binary=:all:", *requirements)


def _pip(folder: Path, *words: str) -> None:
    """Runs the environment's pip away from the workspace, whose files must not be taken for modules. Raises Wrong."""
    python = folder / "venv" / "bin" / "python"
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    command: Sequence[str] = (str(python), "-I", "-m", "pip", words[0], *quiet, *words[1:])
    done = subprocess.run(
        command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
    )
    if done.returncode:
        reason = (
            "its dependencies are not those of the Action; take the Action of that release"
            if words[0] == "check"
            else "the log says why"
        )
        raise Wrong(f"pip {words[0]} failed: {reason}")
