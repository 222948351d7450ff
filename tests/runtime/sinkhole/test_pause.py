"""The pause program: what it is made of, what it does, and that it ends with whoever holds its input."""

import os
import platform
import signal
import stat
import struct
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import lief
import pytest

from scanner.errors import SourceError
from scanner.runtime.sinkhole import pause
from tests.engine_fixture import missing, program

MACHINES = {"x86_64": lief.ELF.ARCH.X86_64, "aarch64": lief.ELF.ARCH.AARCH64}
ACTION = struct.pack("<4Q", 1, 0, 0, 0)


@pytest.fixture
def installed() -> Iterator[Path]:
    """The program where everybody may run it."""
    if platform.machine() != "x86_64":
        missing("an x86_64 machine, to run its program")
    with TemporaryDirectory(prefix="sandscan-pause-") as folder:
        path = Path(folder) / "pause"
        path.write_bytes(pause.elf("x86_64"))
        path.chmod(0o755)
        path.parent.chmod(0o755)
        yield path


@pytest.mark.parametrize("machine", MACHINES)
def test_it_is_a_static_program_without_writable_code_or_runnable_stack(machine: str) -> None:
    data = pause.elf(machine)
    binary = lief.ELF.parse(list(data))

    assert binary is not None
    assert len(data) < 512
    assert binary.header.machine_type == MACHINES[machine]
    assert binary.header.file_type == lief.ELF.Header.FILE_TYPE.EXEC
    assert not binary.has_interpreter
    assert [str(s.type).rpartition(".")[2] for s in binary.segments] == ["LOAD", "GNU_STACK"]
    load, stack = binary.segments
    assert (load.flags, stack.flags) == (lief.ELF.Segment.FLAGS(5), lief.ELF.Segment.FLAGS(6))
    assert load.virtual_address <= binary.entrypoint < load.virtual_address + load.virtual_size
    assert load.physical_size == len(data)


@pytest.mark.parametrize("machine", MACHINES)
def test_readelf_takes_it_without_a_word(machine: str, tmp_path: Path) -> None:
    file = tmp_path / "pause"
    file.write_bytes(pause.elf(machine))
    done = subprocess.run([program("readelf"), "-hlW", file], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "EXEC (Executable file)" in done.stdout
    assert "R E 0x1000" in done.stdout


def test_a_machine_without_a_program_is_named() -> None:
    with pytest.raises(SourceError, match=r"nothing can be observed on riscv64: .* x86_64 and aarch64"):
        pause.elf("riscv64")


def test_the_image_holds_the_program_alone() -> None:
    with tarfile.open(fileobj=BytesIO(pause.tree("aarch64"))) as tar:
        [member] = tar.getmembers()
        file = tar.extractfile(member)
        assert file is not None
        assert (member.name, member.mode, file.read()) == ("pause", 0o555, pause.elf("aarch64"))
    assert pause.digest("aarch64") != pause.digest("x86_64")


# ---- what it does


def test_it_waits_for_the_end_of_its_input_and_for_nothing_else(installed: Path) -> None:
    with subprocess.Popen([installed], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"x" * 100_000)  # more than it takes at once
        process.stdin.flush()
        time.sleep(0.1)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(5) == 0


def test_an_input_that_cannot_be_read_is_an_end(installed: Path, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as unreadable:
        assert subprocess.run([installed], stdin=unreadable, check=False, timeout=5).returncode == 0


def test_nobody_of_its_own_kind_may_look_into_it(installed: Path) -> None:
    """Or the guest could open its input for writing, and it would never end."""
    if os.geteuid() != 0:
        missing("root, to be somebody else")
    with subprocess.Popen([installed], stdin=subprocess.PIPE, user=65532, group=65532, extra_groups=[]) as process:
        _until(lambda: Path(f"/proc/{process.pid}/fd").stat().st_uid == 0)
        look = ["/bin/sh", "-c", f": > /proc/{process.pid}/fd/0"]
        done = subprocess.run(
            look, user=65532, group=65532, extra_groups=[], capture_output=True, text=True, check=False
        )
        assert "Permission denied" in done.stderr
        assert stat.S_ISFIFO(Path(f"/proc/{process.pid}/fd/0").stat().st_mode)
        process.kill()


def test_its_children_leave_no_zombies(installed: Path) -> None:
    """A child that it inherits at its start, for it has none of its own."""
    start = f"sleep 0.2 & exec {installed}"
    with subprocess.Popen(["sh", "-c", start], stdin=subprocess.PIPE) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        _until(lambda: Path(f"/proc/{process.pid}/exe").readlink() == installed and children.read_text() != "")
        _until(lambda: children.read_text() == "")
        process.send_signal(signal.SIGCHLD)
        time.sleep(0.05)
        assert process.poll() is None
        process.kill()


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_aarch64_program_makes_the_same_calls() -> None:
    """Followed instruction by instruction, by their encodings in the Arm Architecture Reference Manual."""
    binary = lief.ELF.parse(list(pause.elf("aarch64")))
    assert binary is not None
    base = binary.segments[0].virtual_address
    data = pause.elf("aarch64")
    calls = followed(data[binary.entrypoint - base :], reads=[16, 3, 0])
    stack = 0x8000 - 16
    [dumpable, action, *reads, leave] = calls
    assert dumpable[:3] == (167, 4, 0)  # prctl(PR_SET_DUMPABLE, 0)
    assert action[:2] == (134, 17)  # rt_sigaction(SIGCHLD, …
    assert action[3:] == (0, 8)
    assert data[action[2] - base :][:32] == ACTION
    assert [call[:4] for call in reads] == [(63, 0, stack, 16)] * 3
    assert leave[:2] == (94, 0)


def followed(code: bytes, reads: list[int]) -> list[tuple[int, ...]]:
    """The system calls that the code makes (number, four arguments), if read(2) gives those numbers, until exit_group."""
    registers = [0] * 31 + [0x8000]
    left = list(reads)
    greater = False
    calls: list[tuple[int, ...]] = []
    at = 0
    for _ in range(200):
        [word] = struct.unpack_from("<I", code, at)
        at += 4
        to, source = word & 31, word >> 5 & 31
        if word & 0xFF800000 == 0xD2800000:  # movz
            registers[to] = (word >> 5 & 0xFFFF) << (16 * (word >> 21 & 3))
        elif word & 0xFF800000 == 0xF2800000:  # movk
            shift = 16 * (word >> 21 & 3)
            registers[to] = registers[to] & ~(0xFFFF << shift) | (word >> 5 & 0xFFFF) << shift
        elif word & 0xFFC00000 == 0xD1000000:  # sub, immediate
            registers[to] = registers[source] - (word >> 10 & 0xFFF)
        elif word & 0xFFC00000 == 0x91000000:  # add, immediate
            registers[to] = registers[source] + (word >> 10 & 0xFFF)
        elif word & 0xFFC0001F == 0xF100001F:  # cmp, immediate
            greater = registers[source] > (word >> 10 & 0xFFF)
        elif word & 0xFF00001F == 0x5400000C:  # b.gt
            offset = word >> 5 & 0x7FFFF
            at += (4 * (offset - (1 << 19 if offset >> 18 else 0)) - 4) if greater else 0
        elif word == 0xD4000001:  # svc 0
            calls.append((registers[8], *registers[:4]))
            if registers[8] == 94:
                return calls
            registers[0] = left.pop(0) if registers[8] == 63 else 0
        else:
            raise AssertionError(f"not an instruction of ours: {word:#x}")
    raise AssertionError("it does not end")
