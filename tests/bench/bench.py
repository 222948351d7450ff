"""Measures sandscan against the plain way of doing it, in one run on one archive, and prints a table.

    python tests/bench/bench.py [--archive FILE] [--scratch DIR] [--runs N] [--skip NAME]…

Without an archive, one of 2.2 GB and 41,000 files is made of this machine's /usr, and one of 1,000,000 tiny files.
Times are medians of N runs with the archive in the page cache; memory is taken in a run of its own.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench import archives  # noqa: E402 - the path is set first
from tests.bench.measure import Run, run  # noqa: E402

SANDSCAN = (str(Path(sys.executable).parent / "sandscan"),)
FLOOR = (sys.executable, str(Path(__file__).with_name("floor.py")))
GB, MB = 10**9, 10**6


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `size` bytes were read, `asked` is what the design promises."""

    name: str
    run: Run
    size: int = 0
    ratio: str = ""
    asked: str = ""


class Bench:
    """The measurements, each a method; later ones compare themselves with the floor and the cold scan."""

    def __init__(self, archive: Path, scratch: Path, runs: int) -> None:
        self.archive, self.scratch, self.runs = archive, scratch, runs
        self.size = archive.stat().st_size
        self.env = {"SANDSCAN_CACHE_DIR": str(scratch / "cache"), "PYTHONPATH": str(ROOT)}
        self.floor_seconds = self.cold_seconds = 0.0
        self.reports: dict[str, bytes] = {}

    def rows(self, skip: Sequence[str]) -> Iterator[Row]:
        for name in ("floor", "cold", "full", "cached", "help", "tiny", "engine"):
            if name not in skip:
                yield from getattr(self, name)()

    def floor(self) -> Iterator[Row]:
        """The named floor: one thread, every file read, hashed and matched."""
        done = self.measure((*FLOOR, str(self.archive)), runs=1)
        self.floor_seconds = done.seconds
        counted = json.loads(done.output)
        print(f"{counted['files']} files, {counted['bytes'] / GB:.2f} GB in them, {counted['hits']} hit", flush=True)
        yield Row("floor: one thread, tarfile, SHA-256, the same rules", done, self.size, "1")

    def cold(self) -> Iterator[Row]:
        done = self.scan("cold", f"archive:{self.archive}", "--no-cache")
        self.cold_seconds = done.seconds
        yield Row("sandscan, cold", done, self.size, self.against_floor(done), ">= 4 x, <= 250 MB")

    def full(self) -> Iterator[Row]:
        """Every file against every rule: the prefilter must not have cost a finding."""
        done = self.scan("full", f"archive:{self.archive}", "--no-cache", "--no-prefilter", runs=1)
        yield Row("sandscan, without prefilter", done, self.size, self.against_floor(done), self.same("cold", "full"))

    def cached(self) -> Iterator[Row]:
        run((*SANDSCAN, "scan", f"archive:{self.archive}", "--quiet"), self.env)
        done = self.scan("cached", f"archive:{self.archive}")
        asked = f"<= 0.5 s, {self.same('cold', 'cached')}"
        yield Row("sandscan, cached", done, 0, self.against_floor(done), asked)

    def help(self) -> Iterator[Row]:
        yield Row("sandscan --help", self.measure((*SANDSCAN, "--help"), runs=max(self.runs, 9)), asked="<= 0.15 s")

    def tiny(self) -> Iterator[Row]:
        path = self.scratch / "tiny.tar"
        if not path.exists():
            archives.of_tiny_files(path, 1_000_000)
        done = self.scan("tiny", f"archive:{path}", "--no-cache", runs=1)
        yield Row("sandscan, 1,000,000 tiny files", done, path.stat().st_size, "", "<= 30 s, <= 250 MB")

    def engine(self) -> Iterator[Row]:
        """The same image read in place from the engine's layer directories, loaded for this and removed again."""
        if not shutil.which("docker") or run(("docker", "version")).code:
            print("no container engine answers: direct access is not measured", file=sys.stderr)
            return
        name = archive_name(self.archive)
        there = run(("docker", "image", "inspect", name)).code == 0
        if not there:
            subprocess.run(
                ("docker", "load", "--quiet", "--input", str(self.archive)), check=True, stdout=subprocess.DEVNULL
            )
        try:
            done = self.scan("engine", f"docker:{name}", "--no-cache", "--engine-access", "direct")
        finally:
            if not there:
                subprocess.run(("docker", "image", "rm", name), check=True, stdout=subprocess.DEVNULL)
        ratio = f"{done.seconds / self.cold_seconds:.2f} x the archive" if self.cold_seconds else ""
        yield Row("sandscan, engine's layers in place", done, self.size, ratio, "<= 1.3 x the archive")

    def scan(self, name: str, target: str, *options: str, runs: int | None = None) -> Run:
        done = self.measure((*SANDSCAN, "scan", target, "-o", "json", "--quiet", *options), runs)
        if done.code not in (0, 1, 3) or not done.output:
            raise SystemExit(f"the scan {name} ended with {done.code}: {done.errors.decode(errors='replace')}")
        if done.code == 3:
            print(f"the scan {name} is incomplete; its report says why", file=sys.stderr)
        self.reports[name] = done.output
        return done

    def measure(self, command: Sequence[str], runs: int | None = None) -> Run:
        """The last run's output, the median times, and the peak memory of one run more."""
        timed = [run(command, self.env) for _ in range(runs or self.runs)]
        seconds, cpu = (statistics.median(getattr(r, name) for r in timed) for name in ("seconds", "cpu"))
        return replace(run(command, self.env, memory=True), seconds=seconds, cpu=cpu)

    def against_floor(self, done: Run) -> str:
        return f"{self.floor_seconds / done.seconds:.1f} x" if self.floor_seconds else ""

    def same(self, one: str, other: str) -> str:
        if one not in self.reports:
            return ""
        return "findings equal" if _findings(self.reports[one]) == _findings(self.reports[other]) else "FINDINGS DIFFER"


def archive_name(archive: Path) -> str:
    """The image's name in a docker archive."""
    done = run(("tar", "-xOf", str(archive), "manifest.json"))
    return str(json.loads(done.output)[0]["RepoTags"][0])


def _findings(report: bytes) -> object:
    document = json.loads(report)
    return document["findings"], document["notifications"]


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        "| | wall | CPU | MB/s | to the floor | peak memory, all processes (PSS) | asked |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        rate = f"{row.size / row.run.seconds / MB:.0f}" if row.size else ""
        cells = (
            row.name,
            f"{row.run.seconds:.2f} s",
            f"{row.run.cpu:.2f} s",
            rate,
            row.ratio,
            f"{row.run.peak / MB:.0f} MB",
            row.asked,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, metavar="FILE", help="a docker save archive of your own")
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="where archives are made and kept; otherwise removed"
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument(
        "--skip", action="append", default=[], metavar="NAME", help="floor, cold, full, cached, help, tiny, engine"
    )
    options = parser.parse_args()

    scratch = Path(options.scratch or tempfile.mkdtemp(prefix="sandscan-bench-"))
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        archive = options.archive or scratch / "tree.tar"
        if not archive.exists():
            archives.of_tree(archive, Path("/usr"), size=2_200_000_000, files=41_000)
        print(
            f"{archive}: {archive.stat().st_size / GB:.2f} GB, {os.cpu_count()} CPUs, median of {options.runs}",
            flush=True,
        )
        bench = Bench(archive, scratch, options.runs)
        rows = []
        for row in bench.rows(options.skip):
            rows.append(row)
            print(f"  {row.name}: {row.run.seconds:.2f} s", file=sys.stderr, flush=True)
        print(table(rows))
        return int(any("DIFFER" in row.asked for row in rows))
    finally:
        if options.scratch is None:
            shutil.rmtree(scratch)


if __name__ == "__main__":
    sys.exit(main())
