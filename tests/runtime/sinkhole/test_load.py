"""What comes fast, and much: bounded in time and memory, and nothing lost without a number."""

import time
from pathlib import Path

from scanner.runtime.sinkhole.sink import Sink, SinkResult
from tests.runtime.sinkhole.lab import Outer, outer, paused  # noqa: F401 -- a fixture

MEMORY = 400 << 20


def loaded(outer: Outer, code: str) -> tuple[SinkResult, int, float]:  # noqa: F811
    """What was seen, the child's largest memory, how long it took."""
    with paused() as pause:

        def run() -> tuple[SinkResult, int, float]:
            with Sink(pause.process.pid) as sink:
                began = time.monotonic()
                pause.run(code, 60)
                status = Path(f"/proc/{sink.pid}/status").read_text()
                peak = int(status.partition("VmHWM:")[2].split()[0]) << 10
                return sink.finish(), peak, time.monotonic() - began

        return outer.do(run)


def test_ten_thousand_connections_at_once_are_all_recorded(outer: Outer) -> None:  # noqa: F811
    result, memory, seconds = loaded(
        outer,
        """
        import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (11000, 11000))
        held = []
        for number in range(10_000):
            s = socket.socket(); s.connect((f"203.0.113.{1 + number % 100}", 1000 + number // 100)); held.append(s)
        """,
    )

    assert sum(a.count for a in result.attempts) == 10_000
    assert len({a.target for a in result.attempts}) == 10_000
    assert result.dropped == {}
    assert memory < MEMORY
    assert seconds < 60


def test_twenty_thousand_datagrams_are_all_counted(outer: Outer) -> None:  # noqa: F811
    result, memory, _ = loaded(
        outer,
        """
        s = socket.socket(2, 2)
        for number in range(20_000): s.sendto(b"x" * 100, (f"203.0.113.{1 + number % 100}", 9000))
        """,
    )

    lost = result.dropped.get("packets looked at", 0)
    assert sum(a.count for a in result.attempts) + lost >= 20_000
    assert lost < 2_000
    assert len(result.attempts) == 100
    assert memory < MEMORY


def test_a_gigabyte_is_counted_and_not_kept(outer: Outer) -> None:  # noqa: F811
    result, memory, seconds = loaded(
        outer,
        """
        s = socket.create_connection(("203.0.113.5", 9999)); piece = b"z" * 1_000_000
        for _ in range(1000): s.sendall(piece)
        s.shutdown(socket.SHUT_WR); s.recv(1)
        """,
    )

    [attempt] = result.attempts
    assert (attempt.sent, attempt.count, len(attempt.first)) == (1_000_000_000, 1, 256)
    assert memory < MEMORY
    assert seconds < 60
