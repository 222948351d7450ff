"""`python -m tests.egress.lab --engine 20.10|29 --count N --seed S [--out FILE]`: measures launches on an engine, as root."""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

from tests.egress.lab import engine as engines
from tests.egress.lab.generated import generated
from tests.egress.lab.launches import Described, fixed
from tests.egress.lab.measure import Measured, measured
from tests.egress.lab.namespaces import started_hosts


def measure_all(launches: Iterable[Described], newer: bool) -> Iterator[tuple[Described, Measured | str]]:
    """Each launch with what was measured, or why it was not; one engine for each way of starting it."""
    wanted = [one for one in launches if newer or not one.newer_only]
    wanted = [one for one in wanted if newer or not engines.VARIANTS[one.variant].newer_only]
    with started_hosts() as hosts:
        for variant, group in itertools.groupby(
            sorted(wanted, key=lambda one: one.variant), key=lambda one: one.variant
        ):
            with engines.started(hosts, engines.VARIANTS[variant], newer) as engine:
                for launch in group:
                    try:
                        yield launch, measured(engine, launch)
                    except RuntimeError as error:
                        yield launch, str(error)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.egress.lab")
    options.add_argument("--engine", choices=("20.10", "29"), default="20.10")
    options.add_argument("--count", type=int, default=0, help="how many generated launches, beside the fixed ones")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", help="the launches whose name begins so")
    options.add_argument("--out", type=Path, help="a JSON object a line")
    given = options.parse_args()
    newer = given.engine == "29"
    launches = [
        one for one in (*fixed(), *generated(given.count, given.seed, newer)) if one.name.startswith(given.only or "")
    ]
    failed = 0
    with given.out.open("a") if given.out else nullcontext(sys.stdout) as out:
        began = time.monotonic()
        for launch, result in measure_all(launches, newer):
            took, began = time.monotonic() - began, time.monotonic()
            if isinstance(result, str):
                failed += 1
                print(f"{launch.name:28} not measured: {result}", file=sys.stderr, flush=True)
                continue
            print(json.dumps(result.json()), file=out, flush=True)
            words = " ".join(
                f"{name}={verdict}" + ("" if result.direct[name] == verdict else f"/{result.direct[name]}")
                for name, verdict in result.verdicts.items()
            )
            print(f"{launch.name:28} {words} {took:.0f} s", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
