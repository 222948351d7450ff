"""`python -m tests.egress.lab --engine 20.10|29 --count N --seed S [--out FILE]`: measures launches on an engine, as root."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tests.egress.lab.confusion import compared, told
from tests.egress.lab.generated import generated
from tests.egress.lab.launches import fixed
from tests.egress.lab.measure import measure_all


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.egress.lab")
    options.add_argument("--engine", choices=("20.10", "29"), default="20.10")
    options.add_argument("--count", type=int, default=0, help="how many generated launches, beside the fixed ones")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--no-fixed", action="store_true", help="the generated ones alone")
    options.add_argument("--only", help="the launches whose name begins so")
    options.add_argument("--out", type=Path, help="a JSON object a line")
    options.add_argument(
        "--compare", type=Path, nargs="+", metavar="FILE", help="what was measured before; measures nothing"
    )
    given = options.parse_args()
    if given.compare:
        records = [json.loads(line) for file in given.compare for line in file.read_text().splitlines()]
        return _compared(records)
    newer = given.engine == "29"
    launches = [
        one
        for one in (*(() if given.no_fixed else fixed()), *generated(given.count, given.seed, newer))
        if one.name.startswith(given.only or "")
    ]
    failed, records = 0, []
    with given.out.open("a") if given.out else nullcontext(sys.stdout) as out:
        began = time.monotonic()
        for launch, result in measure_all(launches, newer):
            took, began = time.monotonic() - began, time.monotonic()
            if isinstance(result, str):
                failed += 1
                print(f"{launch.name:28} not measured: {result}", file=sys.stderr, flush=True)
                continue
            records.append(result.json())
            print(json.dumps(records[-1]), file=out, flush=True)
            words = " ".join(
                f"{name}={verdict}" + ("" if result.direct[name] == verdict else f"/{result.direct[name]}")
                for name, verdict in result.verdicts.items()
            )
            print(f"{launch.name:28} {words} {took:.0f} s", file=sys.stderr, flush=True)
    return max(_compared(records), 1 if failed else 0)


def _compared(records: Sequence[Mapping[str, Any]]) -> int:
    """Prints the matrices; 1 where something is said to be closed and is not."""
    rows = compared(records)
    print(told(rows))
    return 1 if any(row.wrongly_closed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
