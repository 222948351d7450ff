import errno
import os
import signal
import struct
import subprocess
import sys
import time

import pytest

from scanner.runtime.trace.bpf import (
    FP,
    R0,
    R1,
    R2,
    R3,
    R6,
    R7,
    R9,
    Assembly,
    BpfError,
    Helper,
    MapType,
    ProgramType,
    RingBuffer,
    attach_raw_tracepoint,
    create_map,
    get_element,
    load,
    program_ids,
    set_element,
)
from tests.runtime.trace.sandbox import need_bpf


def test_jumps_count_from_the_instruction_after_them_and_a_map_counts_twice():
    asm = Assembly()
    asm.label("back")
    asm.jump_if(R1, "==", 7, "out")
    asm.constant(R2, 0xF0000000_00000001)
    asm.jump("back")
    asm.label("out")
    asm.leave(0)

    offsets = [struct.unpack_from("=BBhi", asm.code, at)[2] for at in range(0, len(asm.code), 8)]
    assert offsets == [3, 0, 0, -4, 0, 0]


def test_the_encoding_is_that_of_the_instruction_set():
    asm = Assembly()
    asm.move(R6, R1)
    asm.move(R2, -1)
    asm.load(8, R7, R6, 16)
    asm.store(4, FP, -16, R2)
    asm.store(1, FP, -8, 5)
    asm.both(R2, 0xFF)
    asm.jump_if(R2, "<=", R7, "end")
    asm.call(Helper.KTIME_GET_NS)
    asm.atomic_add(R0, 8, R1)
    asm.label("end")
    asm.leave()

    assert asm.code.hex(" ", 8).split() == [
        "bf16000000000000",
        "b7020000ffffffff",
        "7967100000000000",
        "632af0ff00000000",
        "720af8ff05000000",
        "57020000ff000000",
        "bd72020000000000",
        "8500000005000000",
        "db10080000000000",
        "9500000000000000",
    ]


def test_a_label_stands_once_and_somewhere():
    asm = Assembly()
    asm.jump("nowhere")
    with pytest.raises(ValueError, match="no label nowhere"):
        _ = asm.code
    asm.label("nowhere")
    with pytest.raises(ValueError, match="stands twice"):
        asm.label("nowhere")


def test_the_verifier_says_why():
    need_bpf()
    asm = Assembly()
    asm.load(8, R1, R9)
    asm.leave(0)

    with pytest.raises(BpfError, match=r"load the BPF program wrong: Permission denied\n[\s\S]*R9 !read_ok") as caught:
        load(ProgramType.RAW_TRACEPOINT, asm, "wrong")
    assert caught.value.errno == errno.EACCES


def test_what_is_no_tracepoint_is_refused():
    need_bpf()
    asm = Assembly()
    asm.leave(0)
    program = load(ProgramType.RAW_TRACEPOINT, asm, "nothing")
    try:
        with pytest.raises(BpfError, match="watch no_such_thing: No such file"):
            attach_raw_tracepoint("no_such_thing", program)
    finally:
        os.close(program)


def test_a_map_keeps_what_is_put_there():
    need_bpf()
    fd = create_map(MapType.HASH, 4, 8, 4)
    try:
        set_element(fd, b"abcd", b"12345678")
        assert get_element(fd, b"abcd", 8) == b"12345678"
        assert get_element(fd, b"efgh", 8) is None
    finally:
        os.close(fd)


def test_records_come_out_of_the_ring_as_they_went_in_over_many_rounds():
    need_bpf()
    pid = os.getpid()
    with RingBuffer(4096) as ring:
        asm = _teller(ring, pid)
        program = load(ProgramType.RAW_TRACEPOINT, asm, "teller")
        link = attach_raw_tracepoint("sys_exit", program)
        try:
            found = []
            for _ in range(300):
                before = time.monotonic_ns()
                os.stat("/")  # noqa: PTH116 - a system call
                told = [struct.unpack("=QQ", record) for record in ring.records()]
                found += [at for at, who in told if who >> 32 == pid and at >= before]
        finally:
            os.close(link)
            os.close(program)
    assert len(found) >= 300, "24 bytes each: the ring of 4096 went round at least once"
    assert found == sorted(found)


def _teller(ring: RingBuffer, pid: int) -> Assembly:
    """Tells time and process whenever the process with that number passes."""
    asm = Assembly()
    asm.call(Helper.GET_CURRENT_PID_TGID)
    asm.shift_right(R0, 32)
    asm.jump_if(R0, "!=", pid, "full")
    asm.map(R1, ring.fd)
    asm.move(R2, 16)
    asm.move(R3, 0)
    asm.call(Helper.RINGBUF_RESERVE)
    asm.jump_if(R0, "==", 0, "full")
    asm.move(R6, R0)
    asm.call(Helper.KTIME_GET_NS)
    asm.store(8, R6, 0, R0)
    asm.call(Helper.GET_CURRENT_PID_TGID)
    asm.store(8, R6, 8, R0)
    asm.move(R1, R6)
    asm.move(R2, 0)
    asm.call(Helper.RINGBUF_SUBMIT)
    asm.label("full")
    asm.leave(0)
    return asm


def test_nothing_is_left_of_a_tracer_that_was_killed():
    need_bpf()
    code = (
        "import time, os\n"
        "from pathlib import Path\n"
        "from scanner.runtime.trace.tracer import Tracer\n"
        "with Tracer(os.stat('/proc/self/ns/net').st_ino):\n"
        "    held = ''.join(p.read_text() for p in Path('/proc/self/fdinfo').iterdir() if p.exists())\n"
        "    print(*{line.split()[1] for line in held.splitlines() if line.startswith('prog_id:')}, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        loaded = set(map(int, process.stdout.readline().split()))
        process.send_signal(signal.SIGKILL)
    assert len(loaded) >= 6
    until = time.monotonic() + 30
    while loaded & set(program_ids()) and time.monotonic() < until:
        time.sleep(0.02)
    assert not loaded & set(program_ids())
