"""Measures what following a sandbox's processes and packets costs the sandbox, and everybody else; needs root.

    python tests/bench/tracing.py [--runs N]

Each column is the least of N runs, in microseconds for one: a program started and waited for, a system call, a datagram, a connection
accepted. "not traced" is the same work with nothing loaded, "another" while the tracer follows another network namespace.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scanner.runtime.trace.tracer import Tracer  # noqa: E402 - the path is set first
from tests.runtime.trace.sandbox import sandbox  # noqa: E402

WORK = """
def timed(count, do):
    began = time.perf_counter()
    for _ in range(count): do()
    return (time.perf_counter() - began) / count * 1e6
def connect():
    s = socket.socket()
    s.connect(("192.0.2.1", 80))
    listener.accept()[0].close()
    s.close()
datagrams = socket.socket(type=socket.SOCK_DGRAM)
datagrams.bind(("", 0))
listener = socket.socket()
listener.bind(("", 80))
listener.listen(100)
tell([
    timed(500, lambda: os.waitpid(os.posix_spawn("/bin/true", ["true", "x"], {}), 0)),
    timed(200000, os.getppid),
    timed(50000, lambda: datagrams.sendto(b"x", ("192.0.2.1", 9))),
    timed(3000, connect),
])
"""
COLUMNS = ("program", "call", "datagram", "connection")


def measured(traced: str) -> list[float]:
    with ExitStack() as held:
        box = held.enter_context(sandbox())
        if traced == "traced":
            held.enter_context(Tracer(box.inode))
        elif traced == "another":
            held.enter_context(Tracer(held.enter_context(sandbox()).inode))
        found: list[float] = box.run(WORK)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4)
    runs = parser.parse_args().runs
    found: dict[str, list[list[float]]] = {}
    for _ in range(runs):  # in turns, so that a busy machine is as busy for each
        for traced in ("not traced", "traced", "another"):
            found.setdefault(traced, []).append(measured(traced))
    print(f"{'':12}" + "".join(f"{column:>12}" for column in COLUMNS))
    for traced, times in found.items():
        print(f"{traced:12}" + "".join(f"{min(column):12.2f}" for column in zip(*times, strict=True)))


if __name__ == "__main__":
    main()
