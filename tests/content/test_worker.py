"""The worker against everything that native code may do: each costs one call, the next one works."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.content.budget import Budget
from scanner.content.worker import Worker
from scanner.errors import LimitError, ParseError
from scanner.model import Limits
from tests.content import worker_tasks as tasks

NOTHING = memoryview(b"")


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(Limits(native_seconds=1))
    yield worker
    worker.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid: int, seconds: float = 25) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


def test_a_call_brings_back_what_the_function_returned(worker: Worker) -> None:
    found = worker.call(tasks.measure, memoryview(b"abc" * 1_000_000)[3:], {"times": 2})
    assert (found["size"], found["sum"]) == (2_999_997, 2 * sum((b"abc" * 334)[:1000]))
    assert found["pid"] != os.getpid()


def test_one_process_serves_many_calls_and_ends_when_closed(worker: Worker) -> None:
    pids = {worker.call(tasks.measure, NOTHING, {})["pid"] for _ in range(50)}
    assert len(pids) == 1
    worker.close()
    assert not alive(pids.pop())


@pytest.mark.parametrize(
    ("task", "error", "words"),
    [
        (tasks.crash, ParseError, "crashed (SIGSEGV)"),
        (tasks.leave, ParseError, "without an answer"),
        (tasks.loop, LimitError, "--limit native-seconds=N"),
        (tasks.loop_deaf, LimitError, "--limit native-seconds=N"),
        (tasks.eat_memory, LimitError, "--limit native-bytes=N"),
        (tasks.complain, ParseError, "ValueError: a message with \\x1b[31m in it"),
        (tasks.complain_as_system, ParseError, "OSError"),
        (tasks.not_json, ParseError, "not JSON serializable"),
    ],
)
def test_what_goes_wrong_costs_one_call(worker: Worker, task: object, error: type[Exception], words: str) -> None:
    began = time.monotonic()
    with pytest.raises(error) as caught:
        worker.call(task, NOTHING, {})  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert time.monotonic() - began < 30
    assert worker.call(tasks.measure, memoryview(b"abc"), {})["size"] == 3


def test_python_code_can_save_what_it_has_when_time_is_over(worker: Worker) -> None:
    budget = Budget(Limits())
    with worker.opened(tasks.save_what_there_is, NOTHING, {}, budget, 0) as (value, held):
        assert (value, bytes(held.view), held.error) == ("OutOfTime", b".....", None)


def test_large_answers_are_held_outside_memory_and_counted(worker: Worker, tmp_path: Path) -> None:
    budget = Budget(Limits(keep_bytes=1 << 20), tmp_path)
    with worker.opened(tasks.grow, memoryview(b"stratum!"), {"size": 32 << 20}, budget, 0) as (value, held):
        assert value == "grown"
        assert len(held.view) == 32 << 20
        assert bytes(held.view[-8:]) == b"stratum!"
        assert list(tmp_path.iterdir()) == []
        # the worker is free while its answer is looked at
        assert worker.call(tasks.measure, NOTHING, {})["size"] == 0


def test_an_answer_beyond_the_budget_is_cut_off_and_the_next_call_works(worker: Worker) -> None:
    budget = Budget(Limits(archive_bytes=1 << 20))
    with worker.opened(tasks.grow, memoryview(b"stratum!"), {"size": 32 << 20}, budget, 0) as (_, held):
        assert "--limit archive-bytes=N" in str(held.error)
        assert 0 < len(held.view) <= 1 << 20
    assert worker.call(tasks.measure, memoryview(b"abc"), {})["size"] == 3


def test_it_can_write_no_file_and_knows_nothing_of_us(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="OSError"):
        worker.call(tasks.write_file, NOTHING, {"path": str(tmp_path / "x")})
    found = worker.call(tasks.surroundings, NOTHING, {})
    assert found == {"cwd": "/", "env": ["LC_ALL"], "privileges": ["1"], "core": 0}


def test_threads_take_turns(worker: Worker) -> None:
    sizes: list[int] = []
    threads = [
        threading.Thread(
            target=lambda n=n: sizes.append(worker.call(tasks.measure, memoryview(bytes(n)), {})["size"])  # type: ignore[misc]
        )
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sizes) == list(range(20))


@pytest.mark.parametrize("task", ["measure", "loop_deaf"])
def test_it_dies_with_the_scanner_even_while_busy(task: str) -> None:
    """The scanner is killed outright: nothing of it can tidy up."""
    code = f"""
import threading, time
from scanner.content.worker import Worker
from scanner.model import Limits
from tests.content import worker_tasks as tasks
worker = Worker(Limits(native_seconds=30))
print(worker.call(tasks.measure, memoryview(b""), {{}})["pid"], flush=True)
threading.Thread(target=worker.call, args=(tasks.{task}, memoryview(b""), {{}}), daemon=True).start()
time.sleep(60)
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root) as scanner:
        assert scanner.stdout is not None
        pid = int(scanner.stdout.readline())
        time.sleep(0.2)
        assert alive(pid)
        scanner.send_signal(signal.SIGKILL)
    assert wait_until_gone(pid)
