"""Measures `sandscan check` of a repository against merely reading and hashing its files, in one run, and prints a table.

    python tests/bench/checks.py [--runs N] [--copies N]

The floor is what Python needs to start, to list the files and to take SHA-256 of each; grep -rE for one pattern stands beside it.
Times are medians of N runs. The repository has a hundred files: Dockerfiles, launch files, scripts and Python; `--copies` more of it.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.bench import SANDSCAN, Row, table  # noqa: E402 - the path is set first
from tests.bench.launches import compose  # noqa: E402
from tests.bench.measure import median  # noqa: E402
from tests.checking.ordinary import ORDINARY  # noqa: E402

FLOOR = (
    "import hashlib, sys, pathlib\nfor p in pathlib.Path(sys.argv[1]).rglob('*'):\n"
    "    p.is_file() and hashlib.sha256(p.read_bytes()).digest()"
)
SCRIPT = """\
#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")/.."
for service in api worker web; do
  docker build -t "acme/$service:$VERSION" "services/$service"
  if ! curl -fsS "http://localhost:8080/$service/healthz" > /dev/null; then
    echo "$service is not up" >&2
    exit 1
  fi
done
"""


def repository(root: Path, copies: int) -> tuple[int, int]:
    """Files and bytes of it."""
    sources = sorted((ROOT / "scanner").rglob("*.py"))[:37]
    files: dict[str, str] = {}
    for copy in range(copies):
        at = f"part{copy}/"
        files |= {f"{at}images/{name}/Dockerfile": text for name, text in list(ORDINARY.items())[:20]}
        files |= {f"{at}deploy/{n}/compose.yaml": compose(3) for n in range(5)}
        files |= {f"{at}config/{n}.yaml": "replicas: 2\nname: x\nlist: [1, 2, 3]\n" * 20 for n in range(8)}
        files |= {f"{at}scripts/{n}.sh": SCRIPT * (1 + n % 5) for n in range(30)}
        files |= {f"{at}src/{p.parent.name}_{p.name}": p.read_text() for p in sources}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return len(files), sum(len(text.encode()) for text in files.values())


def rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    for copies, asked in ((1, "< 1 s"), (options.copies, "")):
        root = folder / str(copies)
        count, size = repository(root, copies)
        floor = median((sys.executable, "-c", FLOOR, str(root)), options.runs)
        yield Row(f"floor: Python reads and hashes {count:,} files", floor, size, "1")
        grep = median(("grep", "-rE", "curl [^|]*[|] *(ba)?sh", str(root)), options.runs)
        yield Row("grep -rE", grep, size, f"{grep.seconds / floor.seconds:.1f} x its time")
        done = median((*SANDSCAN, "check", str(root), "-o", f"json={folder / 'r.json'}", "--quiet"), options.runs)
        yield Row("sandscan check", done, size, f"{done.seconds / floor.seconds:.1f} x its time", asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    parser.add_argument("--copies", type=int, default=10, metavar="N")
    with tempfile.TemporaryDirectory(prefix="sandscan-bench-") as folder:
        print(table(list(rows(Path(folder), parser.parse_args()))))


if __name__ == "__main__":
    main()
