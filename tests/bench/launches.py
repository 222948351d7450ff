"""Measures `sandscan egress` against merely reading the same file, in one run, and prints a table.

    python tests/bench/launches.py [--runs N] [--sandboxes N] [--policies N]

The floor is what Python needs to start and to load the file with PyYAML's C loader. Times are medians of N runs.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.bench import SANDSCAN, Row, table  # noqa: E402 - the path is set first
from tests.bench.measure import median  # noqa: E402

FLOOR = "import sys, yaml\nfor d in yaml.load_all(open(sys.argv[1]), Loader=yaml.CSafeLoader): pass"
PRIVATE = "except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]"
RULES = (
    f"- to: [{{ipBlock: {{cidr: 0.0.0.0/0, {PRIVATE}}}}}]\n    ports: [{{port: 443, protocol: TCP}}]",
    "- to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]\n    ports: [{port: 53, protocol: UDP}]",
    "- to: [{podSelector: {matchLabels: {team: t3}}}]",
    "- ports: [{port: 53, protocol: UDP}]",
)


def compose(services: int) -> str:
    """A project of so many services behind a proxy."""
    agents = "".join(
        f"  agent{n}:\n    image: example.com/agent:{n}\n    networks: [inside]\n    cap_drop: [ALL]\n"
        for n in range(services - 1)
    )
    proxy = "  proxy:\n    image: example.com/tinyproxy\n    networks: [inside, outside]\n"
    return f"services:\n{agents}{proxy}networks:\n  inside: {{internal: true}}\n  outside:\n"


def cluster(sandboxes: int, policies: int) -> Iterator[str]:
    """Documents of a cluster's dump: namespaces, pods of 500 kinds, policies of four kinds."""
    choose = random.Random(1)
    for n in range(100):
        yield f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ns-{n}\n  labels: {{team: t{n % 10}}}\n"
    for n in range(sandboxes):
        labels = f"{{app: sandbox, team: t{choose.randrange(20)}, run: r{n % 500}}}"
        yield (
            f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: sandbox-{n}\n  namespace: ns-{n % 100}\n  labels: {labels}\n"
            "spec:\n  automountServiceAccountToken: false\n  containers:\n  - name: main\n"
            f"    image: example.com/sandbox:1.{n % 5}\n    command: [sleep, infinity]\n"
            "    ports: [{name: http, containerPort: 8080}]\n    securityContext: {capabilities: {drop: [ALL]}}\n"
        )
    for n in range(policies):
        yield (
            f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: policy-{n}\n  namespace: ns-{n % 100}\n"
            f"spec:\n  podSelector: {{matchLabels: {{run: r{n % 500}}}}}\n  policyTypes: [Egress]\n  egress:\n  {RULES[n % 4]}\n"
        )


def rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    files = {
        "Compose, 10 services": (folder / "compose.yaml", compose(10), options.runs, "<= 0.5 s"),
        f"cluster, {options.sandboxes:,} sandboxes, {options.policies:,} policies": (
            folder / "cluster.yaml",
            "---\n".join(cluster(options.sandboxes, options.policies)),
            1,
            "<= 20 s, <= 1 GB",
        ),
    }
    for name, (file, text, runs, asked) in files.items():
        file.write_text(text)
        floor = median((sys.executable, "-c", FLOOR, str(file)), runs)
        yield Row(f"floor: PyYAML loads it ({name})", floor, len(text), "1")
        for form in ("text", "json"):
            command = (*SANDSCAN, "egress", str(file), "-o", f"{form}={folder / form}", "--quiet")
            done = median(command, runs)
            yield Row(
                f"sandscan egress -o {form}", done, len(text), f"{done.seconds / floor.seconds:.1f} x its time", asked
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    parser.add_argument("--sandboxes", type=int, default=10_000, metavar="N")
    parser.add_argument("--policies", type=int, default=2_000, metavar="N")
    with tempfile.TemporaryDirectory(prefix="sandscan-bench-") as folder:
        print(table(list(rows(Path(folder), parser.parse_args()))))


if __name__ == "__main__":
    main()
