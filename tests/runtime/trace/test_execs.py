import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ScannerError
from scanner.model.run import Program
from scanner.runtime.trace import bpf, connects
from scanner.runtime.trace import tracer as tracer_module
from scanner.runtime.trace.clock import Clock
from scanner.runtime.trace.events import Ended, Executed, Forked, exit_code
from scanner.runtime.trace.execs import decode
from scanner.runtime.trace.table import SHORT, Masking, Table, words
from scanner.runtime.trace.tracer import Method, Tracer
from tests.runtime.trace.sandbox import sandbox


def test_every_short_lived_program_is_told_with_its_words_its_end_and_its_parent():
    with sandbox() as box, Tracer(box.inode) as tracer:
        began = time.time()
        pids = box.run("""
            pids = [os.posix_spawn("/bin/true", ["true", f"word-{n}", "", "ü ", str(n)], {}) for n in range(300)]
            for pid in pids: os.waitpid(pid, 0)
            tell(pids)
        """)
        ended = time.time()
        found = {p.pid: p for p in tracer.processes()}

    assert tracer.method is Method.BPF
    assert tracer.problems == ()
    assert tracer.dropped == 0
    assert len(pids) == 300
    for n, pid in enumerate(pids):
        process = found[pid]
        assert process.command == ("true", f"word-{n}", "", "ü ", str(n))
        assert (process.parent, process.exit_code, process.uid, process.inner) == (box.pid, 0, 0, pid)
        assert process.executable == b"/bin/true"
        assert process.program is Program.FILE
        assert process.started is not None
        assert process.ended is not None
        assert began - 0.05 <= process.started <= process.ended <= ended + 0.05


def test_command_lines_are_kept_as_they_were_at_exec():
    with sandbox() as box, Tracer(box.inode) as tracer:
        pids = box.run(r"""
            libc = ctypes.CDLL(None)
            def spawn(*words, env=None):
                pid = os.posix_spawn(words[0], words, env or {})
                os.waitpid(pid, 0)
                return pid
            def forked(do):
                pid = os.fork()
                if not pid:
                    try: do()
                    finally: os._exit(99)
                os.waitpid(pid, 0)
                return pid
            liar = '''
            import ctypes
            begin, end = map(int, open("/proc/self/stat").read().rpartition(")")[2].split()[45:47])
            ctypes.memset(begin, ord("x"), end - begin)
            assert open("/proc/self/cmdline").read().startswith("xxxx")
            '''.replace("\n            ", "\n")
            tell({
                "long": spawn("/bin/true", "a" * 1500, "b" * 1500),
                "longer": spawn("/bin/true", *["c" * 999] * 9),
                "bytes": spawn(b"/bin/true", b"\xff\xfe", b"caf\xc3\xa9"),
                "none": forked(lambda: libc.execve(b"/bin/true", (ctypes.c_char_p * 1)(None), (ctypes.c_char_p * 1)(None))),
                "liar": spawn(sys.executable, "-c", liar, "honest", env=dict(os.environ)),
            })
        """)
        found = {p.pid: p for p in tracer.processes()}

    assert found[pids["long"]].command == ("/bin/true", "a" * 1500, "b" * 1500)
    longer = found[pids["longer"]].command
    assert longer[:5] == ("/bin/true", *["c" * 999] * 4)
    assert longer[-1] == "…(9010 bytes in all)"
    assert found[pids["bytes"]].command == ("/bin/true", r"\xff\xfe", "café")
    assert found[pids["none"]].command == ("",), "the kernel gives a program without words an empty one"
    assert found[pids["liar"]].command[-1] == "honest"
    assert all(found[pid].exit_code == 0 for pid in pids.values())


def test_ends_are_told_as_a_shell_counts_them():
    with sandbox() as box, Tracer(box.inode) as tracer:
        pids = box.run("""
            def forked(do):
                pid = os.fork()
                if not pid: do()
                os.waitpid(pid, 0)
                return pid
            def threads():
                for _ in range(4): threading.Thread(target=time.sleep, args=(0.05,), daemon=True).start()
                os._exit(5)
            tell({
                "code": forked(lambda: os._exit(42)),
                "kill": forked(lambda: os.kill(os.getpid(), signal.SIGKILL)),
                "abort": forked(os.abort),
                "threads": forked(threads),
            })
        """)
        processes = tracer.processes()

    ends = {name: [p.exit_code for p in processes if p.pid == pid] for name, pid in pids.items()}
    assert ends == {"code": [42], "kill": [137], "abort": [134], "threads": [5]}
    boot = next(p for p in processes if p.pid == box.pid)
    copies = [p for p in processes if p.pid in pids.values()]
    assert all(p.command == boot.command for p in copies), "a process that is no other program yet is its parent's"


def test_a_process_that_becomes_another_program_is_both():
    with sandbox() as box, Tracer(box.inode) as tracer:
        pid = box.run("""
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exec /bin/sleep 0.01"], {})
            os.waitpid(pid, 0)
            tell(pid)
        """)
        first, second = [p for p in tracer.processes() if p.pid == pid]

    assert first.command == ("sh", "-c", "exec /bin/sleep 0.01")
    assert second.command == ("/bin/sleep", "0.01")
    assert first.ended == second.started
    assert (first.exit_code, second.exit_code) == (None, 0)


def test_programs_without_a_name_scripts_and_threads_that_exec(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh -e\ntrue\n")
    script.chmod(0o755)
    gone = tmp_path / "gone"
    with sandbox() as box, Tracer(box.inode) as tracer:
        pids = box.run(f"""
            def forked(do):
                pid = os.fork()
                if not pid: do()
                os.waitpid(pid, 0)
                return pid
            program = open("/bin/true", "rb").read()
            fd = os.memfd_create("not a miner")
            os.write(fd, program)
            open("{gone}", "wb").write(program)
            os.chmod("{gone}", 0o755)
            held = os.open("{gone}", os.O_RDONLY)
            os.unlink("{gone}")
            def threaded():
                threading.Thread(target=os.execv, args=("/bin/true", ["from a thread"])).start()
                time.sleep(10)
            tell({{
                "memfd": forked(lambda: os.execve(fd, ["x"], {{}})),
                "gone": forked(lambda: os.execve(held, ["y"], {{}})),
                "script": forked(lambda: os.execv("{script}", ["z", "word"])),
                "thread": forked(threaded),
            }})
        """)
        found = {p.pid: p for p in tracer.processes()}

    memfd, gone_process, scripted, threaded = (found[pids[name]] for name in ("memfd", "gone", "script", "thread"))
    assert (memfd.program, memfd.executable) == (Program.MEMFD, b"/memfd:not a miner")
    assert gone_process.program is Program.DELETED
    assert (scripted.command, scripted.executable) == (("/bin/sh", "-e", str(script), "word"), b"/bin/sh")
    assert (threaded.command, threaded.exit_code) == (("from a thread",), 0)


def test_a_relative_path_is_told_whole_while_the_process_is_there(tmp_path):
    with sandbox() as box, Tracer(box.inode) as tracer:
        pids = box.run(f"""
            os.chdir("{tmp_path}")
            open("named", "wb").write(open("/bin/sleep", "rb").read())
            os.chmod("named", 0o755)
            fd = os.open("named", os.O_RDONLY)
            first = os.posix_spawn("./named", ["./named", "1"], {{}})
            second = os.fork()
            if not second: os.execve(fd, ["by its number", "1"], {{}})
            for pid in (first, second): os.waitpid(pid, 0)
            tell([first, second])
        """)
        told = {p.pid: p.executable for p in tracer.processes()}

    assert [told[pid] for pid in pids] == [bytes(tmp_path / "named")] * 2


def test_a_reader_that_fails_is_told_and_what_it_had_stays(monkeypatch):
    with sandbox() as box, Tracer(box.inode) as tracer:
        monkeypatch.setattr(tracer_module, "decode", lambda *_: 1 / 0)
        box.run("""subprocess.run(["/bin/true"])""")
        assert [p.pid for p in tracer.processes()] == [box.pid]
        assert tracer.problems == (
            "processes were followed only up to an error: ZeroDivisionError('division by zero')",
        )


def test_other_namespaces_are_not_told_and_one_that_leaves_is_followed():
    with sandbox() as box, Tracer(box.inode) as tracer:
        subprocess.run(["/bin/echo", "outside"], check=True, stdout=subprocess.DEVNULL)
        box.run(
            """subprocess.run(["unshare", "--net", "sh", "-c", "/bin/echo moved; true"], stdout=subprocess.DEVNULL)"""
        )
        commands = [p.command for p in tracer.processes()]

    assert ("/bin/echo", "moved") in commands
    assert ("/bin/echo", "outside") not in commands


def test_a_process_has_its_number_of_its_own_namespace_too():
    with sandbox() as box, Tracer(box.inode) as tracer:
        box.run("""subprocess.run(["unshare", "--pid", "--fork", "/bin/true", "inside"], check=True)""")
        [inside] = [p for p in tracer.processes() if p.command == ("/bin/true", "inside")]

    assert inside.inner == 1
    assert inside.pid != 1


def test_secrets_are_masked():
    with sandbox() as box, Tracer(box.inode) as tracer:
        box.run("""subprocess.run(["/bin/true", "--password=hunter2222", "ngrok", "authtoken", "2abcDEFghiJKL"])""")
        [process] = [p for p in tracer.processes() if p.executable == b"/bin/true"]

    assert process.command[0] == "/bin/true"
    assert "hunter2222" not in str(process)
    assert "2abcDEFghiJKL" not in str(process)


def test_long_command_lines_without_end_are_kept_short():
    table = Table(10_000)
    for n in range(4000):
        line = b"%d " % n + b"a b=c:d@e/ " * 400
        table.take(Executed(float(n), n + 1, 1, None, None, line[:4096], len(line), b"/x", Program.FILE))
    images = table.images()
    assert len(images) == 4000
    assert sum(len(i.arguments) for i in images) < 2 * (2 << 20)
    assert words(images[-1].arguments, images[-1].length)[-1].startswith("…(")
    assert table.shortened == sum(len(i.arguments) == SHORT for i in images) > 3000


def test_what_ran_before_and_what_still_runs_is_told():
    with sandbox() as box:
        with Tracer(box.inode) as tracer:
            [boot] = tracer.processes()
            assert boot.pid == box.pid
            assert boot.ended is None
            assert boot.started is not None
            assert time.time() - 30 < boot.started < time.time()
        assert [p.pid for p in tracer.processes()] == [box.pid], "the answer stays when the tracing has ended"


def test_a_fork_bomb_is_counted_and_hides_nothing_that_is_different():
    with sandbox() as box, Tracer(box.inode, limit=200) as tracer:
        began = time.monotonic()
        box.run("""
            def bomb(n):
                for _ in range(n):
                    if not os.fork(): os._exit(0)
                for _ in range(n): os.wait()
            for _ in range(10): bomb(50)
            subprocess.run(["/bin/echo", "in the middle"], stdout=subprocess.DEVNULL)
            for _ in range(30): bomb(50)
        """)
        took = time.monotonic() - began
        processes = tracer.processes()

    assert took < 55  # the sandbox waits for 60
    assert len(processes) <= 200
    assert ("/bin/echo", "in the middle") in [p.command for p in processes]
    assert tracer.dropped == 2002 - len(processes), "2,000 forks, one program, and who began it all"
    assert tracer.count == 2002
    assert any("processes" in p for p in tracer.problems)


def test_what_the_ring_has_no_room_for_is_counted():
    with sandbox() as box, Tracer(box.inode) as tracer:
        with tracer._lock:  # nobody reads meanwhile
            pids = box.run("""
                pids = [os.posix_spawn("/bin/true", [str(n) + "x" * 4096], {}) for n in range(600)]
                for pid in pids: os.waitpid(pid, 0)
                tell(pids)
            """)
        told = [p for p in tracer.processes() if p.pid in set(pids) and p.executable == b"/bin/true"]
        assert 300 < len(told) < 600
        assert tracer.dropped >= 600 - len(told)
        assert f"{tracer.dropped} processes came too fast or were too many to keep" in tracer.problems
    assert tracer.dropped >= 600 - len(told), "the count outlives the tracing"


def test_processes_are_told_where_packets_cannot_be(monkeypatch):
    monkeypatch.setattr(connects, "_packet", lambda *_: unverifiable())
    with sandbox() as box, Tracer(box.inode) as tracer:
        box.run("""subprocess.run(["/bin/true", "seen"])""")
        assert ("/bin/true", "seen") in [p.command for p in tracer.processes()]
        [problem] = tracer.problems
    assert problem == (
        "which process sent what is not known: the kernel refuses to load the BPF program sandscan_packet: Permission denied"
    )


def unverifiable() -> bpf.Assembly:
    asm = bpf.Assembly()
    asm.load(8, bpf.R1, bpf.R9)
    asm.leave(0)
    return asm


def test_a_method_that_is_asked_for_and_refused_is_an_error(monkeypatch):
    monkeypatch.setattr(bpf, "_SYSCALLS", {})
    with (
        pytest.raises(ScannerError, match="the processes of the sandbox cannot be followed: the kernel refuses"),
        Tracer(1, method=Method.BPF),
    ):
        pass


def test_the_proc_connector_serves_and_says_what_it_is():
    with sandbox() as box, Tracer(box.inode, method=Method.CONNECTOR) as tracer:
        pids = box.run("""
            def waited(*words):
                pid = os.posix_spawn(words[0], words, {})
                return pid, os.waitpid(pid, 0)[0]
            tell([waited("/bin/sleep", "0.5")[0], waited("/bin/sh", "-c", "sleep 0.1; exit 3")[0]])
        """)
        found = {p.pid: p for p in tracer.processes()}

    assert tracer.method is Method.CONNECTOR
    assert any("proc connector" in p for p in tracer.problems)
    assert found[pids[0]].command == ("/bin/sleep", "0.5")
    assert found[pids[0]].parent == box.pid
    assert [found[pid].exit_code for pid in pids] == [0, 3]


def test_looking_at_proc_serves_and_says_what_it_is():
    with sandbox() as box, Tracer(box.inode, method=Method.POLLING) as tracer:
        pid = box.run("""
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", "sleep 0.7; exec sleep 0.7"], {})
            os.waitpid(pid, 0)
            tell(pid)
        """)
        told = [p for p in tracer.processes() if p.pid == pid]

    assert any("looking at /proc" in p for p in tracer.problems)
    assert [p.command for p in told] == [("sh", "-c", "sleep 0.7; exec sleep 0.7"), ("sleep", "0.7")]
    assert all(p.ended is not None for p in told)


def test_a_kernel_that_refuses_is_no_end(monkeypatch):
    """A machine whose bpf(2) nobody knows stands for a kernel without it."""
    with sandbox() as box:
        monkeypatch.setattr(bpf, "_SYSCALLS", {})
        with Tracer(box.inode) as tracer:
            assert tracer.method is Method.CONNECTOR
            assert any("the kernel refuses to make a BPF map" in p for p in tracer.problems)
            assert any("not known without BPF" in p for p in tracer.problems)
            assert [p.pid for p in tracer.processes()] == [box.pid]


@pytest.mark.parametrize(("status", "code"), [(0, 0), (0x0300, 3), (9, 137), (0x8B, 139), (0xFF00, 255)])
def test_a_status_is_read_as_wait_has_it(status, code):
    assert exit_code(status) == code


@given(st.binary(max_size=5000))
def test_hostile_records_are_an_event_or_nothing(record):
    event = decode(record, Clock(0.0, 0.0))
    assert event is None or isinstance(event, Forked | Executed | Ended)
    if isinstance(event, Executed):
        words(event.arguments, event.length)


@given(st.lists(st.binary(max_size=20).filter(lambda w: b"\0" not in w), min_size=1, max_size=9))
def test_words_come_back_as_they_were_laid(said):
    laid = b"".join(word + b"\0" for word in said)
    assert words(laid, len(laid)) == tuple(word.decode("utf-8", "backslashreplace") for word in said)


def test_children_of_one_that_is_no_more_are_kept_apart_when_its_number_comes_again():
    table = Table(10)
    table.take(Executed(1.0, 7, 1, 7, 0, b"first\0", 6, b"/first", Program.FILE))
    table.take(Forked(2.0, 7, 3, 7, 0))
    table.take(Executed(3.0, 7, 3, 7, 0, b"second\0", 7, b"/second", Program.FILE))
    table.take(Ended(4.0, 7, 1))
    first, second = Masking().processes(table.images())
    assert (first.command, first.ended, first.exit_code) == (("first",), 2.0, None)
    assert (second.command, second.started, second.ended, second.parent) == (("second",), 2.0, 4.0, 3)
