"""`python .github/action/export.py [--check]`: the dependencies that the Action installs, from uv.lock, with their hashes.

Those that build sandscan (`build.txt`) are resolved from pyproject.toml's build-system; the versions that the file has are
kept while they fit, so that only `--upgrade` needs to look for others.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NOTE = "# made by .github/action/export.py\n"


def runtime() -> str:
    """requirements.txt as the lock says; needs no network."""
    words = ("export", "--locked", "--offline", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate")
    return NOTE + _uv(*words)


def build(*more: str) -> None:
    """Writes build.txt, with the present one's versions where they still fit."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    words = (
        "pip",
        "compile",
        "-",
        "--universal",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--python-version=3.11",
    )
    _uv(*words, f"--output-file={HERE / 'build.txt'}", "--quiet", *more, text="\n".join(wanted))


def _uv(*words: str, text: str = "") -> str:
    uv = Path(sys.executable).parent / "uv"
    return subprocess.run((uv, *words), cwd=ROOT, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    file = HERE / "requirements.txt"
    if "--check" in sys.argv[1:]:
        sys.exit(file.read_text("utf-8") != runtime() and "requirements.txt is not what uv.lock says: run export.py")
    file.write_text(runtime(), "utf-8")
    build(*sys.argv[1:])
