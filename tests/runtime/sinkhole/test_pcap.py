"""The capture file: whole, in its format, and never longer than it may be."""

import os
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from scanner.runtime.sinkhole.sink import Sink, SinkError, SinkOptions
from tests.runtime.sinkhole.lab import Outer, observed, outer, paused  # noqa: F401 -- a fixture


def frames(data: bytes) -> list[tuple[float, bytes]]:
    """(time, frame), by draft-ietf-opsawg-pcap."""
    magic, major, minor, _, _, snaplen, link = struct.unpack_from("=IHHiIII", data)
    assert (magic, major, minor, link) == (0xA1B23C4D, 2, 4, 1)
    at, found = 24, []
    while at < len(data):
        seconds, nanoseconds, captured, length = struct.unpack_from("=IIII", data, at)
        assert captured == length <= snaplen
        assert nanoseconds < 1_000_000_000
        found.append((seconds + nanoseconds / 1e9, data[at + 16 : at + 16 + captured]))
        at += 16 + captured
    assert at == len(data)
    return found


def test_both_directions_are_in_the_file_in_the_order_of_time(outer: Outer, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "run.pcap"
    _, result = observed(
        outer,
        'tcp("203.0.113.1", 80, b"GET /needle HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n"); udp("2001:db8::9", 9, b"haystack")',
        SinkOptions(pcap=file),
    )

    found = frames(file.read_bytes())
    times = [time for time, _ in found]
    assert times == sorted(times)
    [(when, sent)] = [(time, frame) for time, frame in found if b"GET /needle" in frame]
    tried = next(a for a in result.attempts if a.protocol == "tcp")
    assert tried.time <= when < tried.time + 1  # both by the kernel's clock
    assert sent[26:34] == bytes([172, 17, 0, 2, 203, 0, 113, 1])
    assert any(b"HTTP/1.1 200" in frame and frame[26:30] == bytes([203, 0, 113, 1]) for _, frame in found)
    assert any(frame.endswith(b"haystack") for _, frame in found)
    assert "packets captured" not in result.dropped
    assert file.stat().st_mode & 0o777 == 0o600


def test_beyond_its_size_packets_are_counted(outer: Outer, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "run.pcap"
    _, result = observed(
        outer,
        """
        s = socket.socket(2, 2)
        for _ in range(1000): s.sendto(b"x" * 1000, ("203.0.113.1", 9))
        """,
        SinkOptions(pcap=file, pcap_bytes=100_000),
    )

    found = frames(file.read_bytes())
    assert 90 < len(found) < 100
    assert file.stat().st_size <= 100_000
    # the kernel's own words about groups and neighbours are packets too
    assert 0 <= result.dropped["packets captured"] + len(found) - 1000 < 30
    assert sum(a.count for a in result.attempts) == 1000


def test_a_link_in_the_files_place_is_not_followed(outer: Outer, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "run.pcap").symlink_to(tmp_path / "precious")

    def enter() -> None:
        with paused() as pause, Sink(pause.process.pid, SinkOptions(pcap=tmp_path / "run.pcap")):
            pass

    with pytest.raises(SinkError, match=r"cannot be written to .*run\.pcap"):
        outer.do(enter)
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize("read", [False, True])
def test_a_pipe_in_the_files_place_is_not_waited_for(outer: Outer, tmp_path: Path, read: bool) -> None:  # noqa: F811
    os.mkfifo(tmp_path / "run.pcap")

    def enter() -> None:
        with paused() as pause, Sink(pause.process.pid, SinkOptions(pcap=tmp_path / "run.pcap")):
            pass

    with ExitStack() as stack:
        if read:
            stack.callback(os.close, os.open(tmp_path / "run.pcap", os.O_RDONLY | os.O_NONBLOCK))
        with pytest.raises(SinkError, match=r"cannot be written to .*run\.pcap"):
            outer.do(enter)
