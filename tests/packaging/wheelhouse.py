"""Wheels for clients that may ask no index: made again from what is installed here, file by file, as RECORD lists it."""

import csv
import io
import re
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = Path(sys.prefix) / "bin" / "uv"
_OF_THE_INSTALLER = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json")


def made(folder: Path) -> Path:
    """A folder with a wheel of all that sandscan needs to run and to be built, at the versions that are installed here."""
    house = folder / "wheels"
    house.mkdir()
    builders = folder / "builders"  # the isolated build of `.ci/setup` has brought them into uv's cache
    subprocess.run([UV, *"pip install --quiet --offline --target".split(), builders, "hatchling"], check=True)
    wanted = {_normal(line.partition("==")[0]) for line in locked("--no-hashes").splitlines() if "==" in line}
    for one in distributions():
        if _normal(one.name) in wanted:
            _pack(one, house)
    for one in distributions(path=[str(builders)]):
        _pack(one, house)
    return house


def locked(*options: str) -> str:
    """What uv.lock has of sandscan's dependencies, as pip reads it."""
    done = subprocess.run(
        [
            UV,
            *"export --quiet --offline --frozen --no-dev --no-emit-project --no-header --no-annotate".split(),
            *options,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pack(one: Distribution, house: Path) -> None:
    """Binary Distribution Format (packaging.python.org); scripts are made again from entry_points.txt."""
    wheel = one.read_text("WHEEL") or ""
    tags = [line.split(":")[1].strip().split("-") for line in wheel.splitlines() if line.startswith("Tag:")]
    tag = "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True))
    info = f"{re.sub(r'[-_.]+', '_', one.name)}-{one.version}"
    rows = [row for row in csv.reader(io.StringIO(one.read_text("RECORD") or "")) if _is_the_wheels(row[0])]
    record = io.StringIO()
    folder = next(Path(row[0]).parent for row in rows if row[0].endswith(".dist-info/METADATA"))
    csv.writer(record, lineterminator="\n").writerows([*rows, [f"{folder}/RECORD", "", ""]])
    with zipfile.ZipFile(house / f"{info}-{tag}.whl", "w", zipfile.ZIP_STORED) as file:
        for row in rows:
            file.write(one.locate_file(row[0]), row[0])
        file.writestr(f"{folder}/RECORD", record.getvalue())


def _is_the_wheels(path: str) -> bool:
    parts = Path(path).parts
    return (
        parts[0] != ".."
        and "__pycache__" not in parts
        and not (parts[0].endswith(".dist-info") and parts[-1] in _OF_THE_INSTALLER)
    )
