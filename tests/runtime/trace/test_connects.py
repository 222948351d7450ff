import errno
import platform
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model.run import Endpoint
from scanner.runtime.trace.clock import Clock
from scanner.runtime.trace.connects import Flow, decode_call, decode_flow
from scanner.runtime.trace.flows import Flows
from scanner.runtime.trace.tracer import Tracer
from tests.runtime.trace.sandbox import sandbox

LISTEN = """
def listening(family, kind, address, port):
    s = socket.socket(family, kind)
    s.bind((address, port))
    if kind == socket.SOCK_STREAM: s.listen(4096)
    return s
"""


def endpoint(pair) -> Endpoint:
    return Endpoint(pair[0], pair[1])


def test_300_that_connect_and_go_are_each_known_by_both_ends():
    with sandbox() as box, Tracer(box.inode) as tracer:
        said = box.run(
            LISTEN
            + """
read, write = os.pipe()
kept = listening(socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0", 443)
for n in range(300):
    if not os.fork():
        s = socket.socket()
        s.connect(("192.0.2.1", 443))
        os.write(write, f"{os.getpid()} {s.getsockname()[1]} {time.time()}\\n".encode())
        os._exit(0)
for _ in range(300): os.wait()
os.close(write)
tell([line.split() for line in open(read).read().splitlines()])
"""
        )
        target = Endpoint("192.0.2.1", 443)
        asked = [
            (int(pid), tracer.who("tcp", Endpoint("192.0.2.1", int(port)), target, float(at))) for pid, port, at in said
        ]

    assert len(asked) == 300
    assert [pid for pid, who in asked if who != pid] == []
    assert tracer.dropped == 0


def test_whoever_asks_as_soon_as_it_accepts_is_answered():
    """A sink asks at accept(2): the record is there before the packet is."""
    with sandbox() as box, Tracer(box.inode) as tracer:
        said = box.run(
            LISTEN
            + """
sink = listening(socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0", 25)
found = []
for _ in range(50):
    pid = os.fork()
    if not pid:
        socket.socket().connect(("198.51.100.7", 25))
        os._exit(0)
    connection, source = sink.accept()
    found.append([pid, source, connection.getsockname(), time.time()])
    os.waitpid(pid, 0)
tell(found)
"""
        )
        for pid, source, target, at in said:
            assert tracer.who("tcp", endpoint(source), endpoint(target), at) == pid
        pid, source, target, at = said[0]
        assert tracer.who("tcp", endpoint(source), Endpoint(target[0], 26), at) is None
        assert tracer.who("udp", endpoint(source), endpoint(target), at) is None


@pytest.mark.parametrize(
    ("family", "connect", "target", "source"),
    [
        ("AF_INET6", "2001:db8::5", "2001:db8::5", "::1"),
        ("AF_INET6", "::ffff:192.0.2.9", "192.0.2.9", "192.0.2.9"),
        ("AF_INET", "127.0.0.5", "127.0.0.5", "127.0.0.1"),
        ("AF_INET", "169.254.169.254", "169.254.169.254", "169.254.169.254"),
    ],
)
def test_tcp_of_each_family_is_known(family, connect, target, source):
    with sandbox() as box, Tracer(box.inode) as tracer:
        pid = box.run(f"""
            s = socket.socket(socket.{family})
            s.bind(("::" if s.family == socket.AF_INET6 else "0.0.0.0", 4567))
            try: s.connect(("{connect}", 81))
            except ConnectionRefusedError: pass
            tell(os.getpid())
        """)
        assert tracer.who("tcp", Endpoint(source, 4567), Endpoint(target, 81), time.time()) == pid


def test_what_a_timer_sends_again_is_not_the_process_it_interrupts():
    """A SYN into the void is sent again after a second, in the middle of whoever runs then: here two that do nothing but run."""
    with sandbox() as box, Tracer(box.inode) as tracer:
        pid = box.run("""
            subprocess.run(["ip", "route", "del", "local", "0.0.0.0/0", "dev", "lo", "table", "local"], check=True)
            for words in (["link", "add", "void", "type", "veth", "peer", "name", "end"], ["link", "set", "end", "up"], ["link", "set", "void", "up"],
                          ["address", "add", "192.0.2.2/24", "dev", "void"], ["neigh", "add", "192.0.2.1", "lladdr", "02:00:00:00:00:01", "dev", "void"]):
                subprocess.run(["ip", *words], check=True)
            until = time.monotonic() + 1.4
            for _ in range(2):
                if not os.fork():
                    while time.monotonic() < until: pass
                    os._exit(0)
            s = socket.socket()
            s.bind(("192.0.2.2", 4570))
            s.settimeout(1.4)
            try: s.connect(("192.0.2.1", 83))
            except TimeoutError: tell(os.getpid())
            for _ in range(2): os.wait()
        """)
        times = [at for at, _ in tracer._flows._found[6, b"\xc0\0\2\2", 4570, b"\xc0\0\2\1", 83]]
        assert len(times) == 2, "the SYN, and the SYN again"
        for at in times:
            assert tracer.who("tcp", Endpoint("192.0.2.2", 4570), Endpoint("192.0.2.1", 83), at + 0.01) == pid


def test_datagrams_are_known_however_they_are_sent():
    with sandbox() as box, Tracer(box.inode) as tracer:
        pid, ports = box.run("""
            def sender(family=socket.AF_INET):
                s = socket.socket(family, socket.SOCK_DGRAM)
                s.bind(("" if family == socket.AF_INET else "::", 0))
                return s
            a, b, c, d, e, f = sender(), sender(), sender(), sender(socket.AF_INET6), sender(socket.AF_INET6), sender()
            a.sendto(b"x", ("192.0.2.53", 53))
            b.sendmsg([b"x", b"y"], [], 0, ("192.0.2.54", 53))
            c.connect(("192.0.2.55", 53)); os.write(c.fileno(), b"x")
            d.sendto(b"x", ("2001:db8::53", 53))
            e.sendto(b"x", ("::ffff:192.0.2.56", 53))
            f.sendto(b"x" * 60000, ("192.0.2.57", 53))
            tell([os.getpid(), [s.getsockname()[1] for s in (a, b, c, d, e, f)]])
        """)
        targets = ("192.0.2.53", "192.0.2.54", "192.0.2.55", "2001:db8::53", "192.0.2.56", "192.0.2.57")
        for target, port in zip(targets, ports, strict=True):
            # to an IPv4 address of its own the kernel sends from that address
            source = "::1" if ":" in target else target
            assert tracer.who("udp", Endpoint(source, port), Endpoint(target, 53), time.time()) == pid, target


def test_icmp_and_other_protocols_are_known():
    with sandbox() as box, Tracer(box.inode) as tracer:
        pid = box.run("""
            for protocol in (1, 47, 132):
                s = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
                s.sendto(bytes([8, 0, 0xF7, 0xFF]) + bytes(8), ("192.0.2.1", 0))
            s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)
            s.sendto(bytes([128, 0, 0, 0, 0, 0, 0, 0]), ("2001:db8::1", 0))
            tell(os.getpid())
        """)
        here, there = Endpoint("192.0.2.1"), Endpoint("2001:db8::1")
        assert tracer.who("icmp", here, here, time.time()) == pid
        assert tracer.who("ip-47", here, here, time.time()) == pid
        assert tracer.who("sctp", Endpoint("192.0.2.1", 0x0800), Endpoint("192.0.2.1", 0xF7FF), time.time()) == pid
        assert tracer.who("icmp6", Endpoint("::1"), there, time.time()) == pid


URING = """
libc = ctypes.CDLL(None, use_errno=True)
params = ctypes.create_string_buffer(120)
ring = libc.syscall(425, 4, params)
if ring < 0: tell(None)
else:
    import mmap
    offsets = struct.unpack_from("=10I", params, 40)
    queue = mmap.mmap(ring, offsets[6] + 4 * 8, offset=0)
    entries = mmap.mmap(ring, 64 * 8, offset=0x10000000)
    s = socket.socket()
    s.bind(("0.0.0.0", 4568))
    address = ctypes.create_string_buffer(struct.pack("=H", 2) + struct.pack(">H", 82) + socket.inet_aton("192.0.2.1") + bytes(8), 16)
    entries[0:64] = struct.pack("=BBHiQQ", 16, FLAGS, 0, s.fileno(), 16, ctypes.addressof(address)).ljust(64, b"\\0")
    struct.pack_into("=I", queue, offsets[6], 0)
    struct.pack_into("=I", queue, offsets[1], 1)
    submitted = libc.syscall(426, ring, 1, 1, 1, None, 0)
    tell([os.getpid(), submitted, ring])
"""


@pytest.mark.parametrize("flags", [0, 16], ids=["inline", "by a worker"])
def test_a_connect_through_io_uring_is_known(flags):
    """IORING_OP_CONNECT; IOSQE_ASYNC hands it to a worker of the kernel, which is a thread of the process."""
    with sandbox() as box, Tracer(box.inode) as tracer:
        said = box.run(URING.replace("FLAGS", str(flags)))
        if said is None:
            pytest.skip("this kernel lets nobody use io_uring")
        pid, submitted, _ = said
        assert submitted == 1
        assert tracer.who("tcp", Endpoint("192.0.2.1", 4568), Endpoint("192.0.2.1", 82), time.time()) == pid
        [ring] = [a for a in tracer.attempts() if a.protocol == "io_uring"]
    assert (ring.pid, ring.details) == (pid, {"call": "io_uring_setup", "result": "granted"})


REFUSING = """
libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {"x86_64": (41, 425), "aarch64": (198, 425)}[os.uname().machine]
def step(code, k, jt=0, jf=0): return struct.pack("=HBBI", code, jt, jf, k)
# socket(2) with any other family than 1, 2, 10, 16, and io_uring_setup(2): EPERM
steps = [step(0x20, 0), step(0x15, NUMBERS[1], 7, 0), step(0x15, NUMBERS[0], 0, 5), step(0x20, 16),
         step(0x15, 1, 3, 0), step(0x15, 2, 2, 0), step(0x15, 10, 1, 0), step(0x15, 16, 0, 1), step(0x06, 0x7FFF0000), step(0x06, 0x00050001)]
code = ctypes.create_string_buffer(b"".join(steps))
program = ctypes.create_string_buffer(struct.pack("=H6xQ", len(steps), ctypes.addressof(code)))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())
"""


def test_what_seccomp_refuses_is_told_as_well():
    with sandbox() as box, Tracer(box.inode) as tracer:
        refused = box.run(
            REFUSING
            + """
refused = []
for family, kind, protocol in ((40, 1, 0), (17, 3, 0), (2, 1, 0), (2, 3, 1), (40, 1, 0)):
    try: socket.socket(family, kind, protocol).close()
    except PermissionError: refused.append(family)
if libc.syscall(425, 4, ctypes.create_string_buffer(120)) < 0: refused.append(ctypes.get_errno())
tell(refused)
"""
        )
        attempts = tracer.attempts()

    assert refused == [40, 17, 40, 1]
    told = {(a.protocol, a.target.address, a.details["call"], a.details["result"], a.count) for a in attempts}
    assert told == {
        ("vsock", "AF_VSOCK", "socket(AF_VSOCK, SOCK_STREAM)", "EPERM", 2),
        ("packet", "AF_PACKET", "socket(AF_PACKET, SOCK_RAW)", "EPERM", 1),
        ("raw", "AF_INET", "socket(AF_INET, SOCK_RAW)", "granted", 1),
        ("io_uring", "io_uring", "io_uring_setup", "EPERM", 1),
    }
    assert {a.pid for a in attempts} == {box.pid}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="int 0x80 is x86's")
def test_calls_by_the_numbers_of_32_bits_are_told_as_what_they_are():
    """int 0x80 from 64-bit code: 359 is socket there and 41 is dup, whose first argument is no family."""
    with sandbox() as box, Tracer(box.inode) as tracer:
        results = box.run("""
            import mmap
            page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40, prot=7)  # MAP_32BIT
            # push rbx; mov eax, edi; mov ebx, esi; mov ecx, edx; xor edx, edx; int 0x80; pop rbx; ret
            page[:14] = bytes.fromhex("53 89f8 89f3 89d1 31d2 cd80 5b c3 90")
            at = ctypes.addressof(ctypes.c_char.from_buffer(page))
            call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int)(at)
            page[256:268] = struct.pack("=III", 17, 2, 0)
            page[512:542] = struct.pack("=H", 1) + b"/nowhere/engine.sock".ljust(28, b"\\0")
            page[768:780] = struct.pack("=III", 5, at + 512, 30)
            tell([call(41, 17, 0), call(359, 17, 3), call(102, 1, at + 256), call(102, 3, at + 768)])
        """)
        attempts = tracer.attempts()

    if results[1] == -errno.ENOSYS:
        pytest.skip("this kernel has no calls of 32 bits")
    told = {(a.protocol, a.target.address, a.details["call"], a.count) for a in attempts}
    assert told == {
        ("packet", "AF_PACKET", "socket(AF_PACKET, SOCK_RAW)", 1),
        ("packet", "AF_PACKET", "socket(AF_PACKET, SOCK_DGRAM)", 1),
        ("unix", "/nowhere/engine.sock", "connect", 1),
    }


def test_unix_sockets_that_were_asked_for_are_told(tmp_path):
    with sandbox() as box, Tracer(box.inode) as tracer:
        box.run(f"""
            def reached(address):
                try: socket.socket(socket.AF_UNIX).connect(address)
                except OSError: pass
            reached("/nowhere/docker.sock")
            reached(b"\\0an abstract one")
            server = socket.socket(socket.AF_UNIX)
            server.bind("{tmp_path}/s"); server.listen()
            for _ in range(3): reached("{tmp_path}/s")
        """)
        told = {a.target.address: (a.protocol, a.details["result"], a.count) for a in tracer.attempts()}

    assert told == {
        "/nowhere/docker.sock": ("unix", "ENOENT", 1),
        "@an abstract one": ("unix", "ECONNREFUSED", 1),
        f"{tmp_path}/s": ("unix", "granted", 3),
    }


def test_a_flood_of_datagrams_neither_stalls_nor_is_hidden():
    with sandbox() as box, Tracer(box.inode) as tracer:
        began = time.monotonic()
        box.run("""
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("", 4569))
            for n in range(40000): s.sendto(b"x", (f"198.18.{n >> 8 & 255}.{n & 255}", 9 + (n >> 16)))
            for n in range(20000): s.sendto(b"x", ("198.19.0.1", 9))
        """)
        told = sum(
            tracer.who(
                "udp",
                Endpoint(f"198.18.{n >> 8 & 255}.{n & 255}", 4569),
                Endpoint(f"198.18.{n >> 8 & 255}.{n & 255}", 9),
                0,
            )
            == box.pid
            for n in range(40000)
        )
        assert tracer.who("udp", Endpoint("198.19.0.1", 4569), Endpoint("198.19.0.1", 9), time.time()) == box.pid
    assert told + tracer.dropped == 40000
    assert time.monotonic() - began < 45


def test_a_port_that_another_process_takes_over_is_the_others_from_then_on():
    flows = Flows(10)
    ends = (b"\xc0\0\2\1", 4000, b"\xc0\0\2\2", 80)
    for at, pid in ((10.0, 1), (20.0, 2)):
        flows.take(Flow(at, pid, 6, *ends))
    here, there = Endpoint("192.0.2.1", 4000), Endpoint("192.0.2.2", 80)
    assert [flows.who("tcp", here, there, at) for at in (9.0, 15.0, 19.95, 30.0)] == [1, 1, 2, 2]
    for n in range(12):
        flows.take(Flow(30.0, 3, 17, b"\xc0\0\2\1", n, b"\xc0\0\2\2", 53))
    assert flows.who("tcp", here, there, 15.0) is None
    assert flows.dropped == 3


@given(st.text(max_size=12), st.text(max_size=40), st.integers(0, 65535))
def test_any_text_may_be_asked_for(protocol, address, port):
    assert Flows(1).who(protocol, Endpoint(address, port), Endpoint(address), 0.0) is None


@given(st.binary(max_size=300))
def test_hostile_records_are_a_flow_or_a_call_or_nothing(record):
    flow = decode_flow(record, Clock(0.0, 0.0))
    assert flow is None or (len(flow.source) in (4, 16) and len(flow.source) == len(flow.target))
    call = decode_call(record, Clock(0.0, 0.0))
    assert call is None or call.error >= 0
