"""Runs a command and says how long it took and how much memory all its processes held together."""

import os
import resource
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

EVERY = 0.01


@dataclass(frozen=True, slots=True)
class Run:
    """`seconds` from start to exit; `cpu` seconds of the process and the children it waited for; `peak`, in bytes, the
    greatest sum of all their memory, looked at every 10 ms, or 0 unless asked for, because looking costs time. A
    process's memory is its proportional set size: PSS of /proc/PID/smaps_rollup (proc(5)), in which a page that n
    processes share counts 1/n for each.
    """

    seconds: float
    cpu: float
    peak: int
    code: int
    output: bytes
    errors: bytes


def run(
    command: Sequence[str], env: Mapping[str, str] | None = None, memory: bool = False, timeout: float = 3600
) -> Run:
    """Raises subprocess.TimeoutExpired after `timeout` seconds, once the command is gone."""
    began, used = time.perf_counter(), _cpu()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
    ) as process:
        peak = [0]
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, done, peak))
        if memory:
            watcher.start()
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
        finally:
            done.set()
            if memory:
                watcher.join()
    return Run(time.perf_counter() - began, _cpu() - used, peak[0], process.returncode, output, errors)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _watch(pid: int, done: threading.Event, peak: list[int]) -> None:
    while not done.is_set():
        peak[0] = max(peak[0], sum(map(pss, _tree(pid))))
        done.wait(EVERY)


def _tree(pid: int) -> Iterator[int]:
    """The process and all below it."""
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # gone while we looked
        return
    for thread in threads:
        try:
            below = (thread / "children").read_text().split()
        except OSError:
            continue
        for child in below:
            yield from _tree(int(child))


def pss(pid: int) -> int:
    """A process's proportional set size in bytes, 0 where it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except OSError:
        return 0
    at = text.find(b"\nPss:")
    return int(text[at + 5 : text.index(b"kB", at)]) * 1024 if at >= 0 else 0


def median(command: tuple[str, ...], runs: int) -> Run:
    """A command's run with the medians of its times; that ends with neither 0 nor 1 is an error."""
    timed = [run(command) for _ in range(runs)]
    if timed[-1].code not in (0, 1):
        raise SystemExit(f"{command} ended with {timed[-1].code}: {timed[-1].errors.decode(errors='replace')}")
    seconds, cpu = (statistics.median(getattr(r, name) for r in timed) for name in ("seconds", "cpu"))
    return replace(run(command, memory=True), seconds=seconds, cpu=cpu)
