"""A run: what it changed, what runs now, what it tried to reach; each thing with its time and with who did it.

Times are seconds since the epoch, as the kernel of the host counts them; None where nothing says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scanner.model.entry import Kind
from scanner.model.evidence import Json


class How(StrEnum):
    """DIFF after (or during) a run, by its files; LIVE a look at a running container; OBSERVE a run where nothing can leave."""

    DIFF = "diff"
    LIVE = "live"
    OBSERVE = "observe"


class ChangeKind(StrEnum):
    """ADDED was not there before; MODIFIED has other content (or another link target, or is another kind of thing);
    METADATA has another owner, mode, capability or attribute and the same content; DELETED is there no more."""

    ADDED = "added"
    MODIFIED = "modified"
    METADATA = "metadata"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class FileState:
    """One file as it stands, or stood. `digest` is `sha256:…` of a regular file's content (None: not read, or no file).

    `capability` is the value of `security.capability` in words (`cap_net_raw=ep`), "" for none; `modified` is st_mtime,
    which any program can set; `changed` is st_ctime, which only the kernel sets (None in a tar).
    """

    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    modified: float | None = None
    changed: float | None = None
    digest: str | None = None
    link_target: bytes | None = None
    capability: str = ""


@dataclass(frozen=True, slots=True)
class FileChange:
    """`path` without a leading slash, as the container sees it. `place` says what holds it: `writable layer`, `volume NAME`,
    `bind mount SOURCE`, `tmpfs`, `image`.

    `executable`: it is an ELF file or has an execute bit and a `#!`, now (where deleted: before). `user` is the owner's name by the
    /etc/passwd of the container, None where it has none. `expected` says why the change is no surprise (`dpkg: libfoo1`,
    `policy: /work/**`), None where nobody expected it.
    """

    path: bytes
    change: ChangeKind
    place: str
    before: FileState | None
    after: FileState | None
    user: str | None = None
    executable: bool = False
    expected: str | None = None

    @property
    def time(self) -> float | None:
        """When: by the kernel's clock where there is one, else by the file's own word."""
        if self.after is None:
            return None
        return self.after.changed if self.after.changed is not None else self.after.modified


class Program(StrEnum):
    """Where a process's program lies: FILE on a file system, DELETED no name leads to it any more, MEMFD it never had one."""

    FILE = "file"
    DELETED = "deleted"
    MEMFD = "memfd"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Process:
    """`pid` and `parent` count as the host does, `inner` as the container does (None: not known).

    `command` are the words of its command line, secrets masked; `executable` the path as the container sees it;
    `digest` the `sha256:…` of the program where it was read. `uid` counts as the host does; `user` is the name by the
    container's /etc/passwd. `cpu` seconds used so far. `devices` are the GPU and other device files that it holds open. `environment` are
    names and masked values that matter to a rule, not all.
    """

    pid: int
    parent: int
    command: tuple[str, ...]
    inner: int | None = None
    executable: bytes | None = None
    program: Program = Program.UNKNOWN
    digest: str | None = None
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    uid: int | None = None
    user: str | None = None
    working_dir: bytes | None = None
    cpu: float | None = None
    devices: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`address` in its usual text (IPv4, IPv6 without brackets, or a Unix socket's path, `@name` for an abstract one)."""

    address: str
    port: int | None = None

    @property
    def display(self) -> str:
        if self.port is None:
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Socket:
    """`kind` is tcp, udp, raw, packet, unix, netlink, vsock, …; `family` ipv4, ipv6, or the kind once more. `state` as ss(8) has it
    (`listen`, `established`, `unconnected`, …). `pids` hold it, by the host's count; `inode` its number.

    `says` is what is known of its other end beyond the address: `engine socket`, `published port`, a sibling's name; "" for nothing.
    """

    kind: str
    family: str
    state: str
    local: Endpoint | None
    remote: Endpoint | None
    inode: int
    pids: tuple[int, ...] = ()
    says: str = ""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace: `interfaces` (`eth0 172.17.0.2/16`), `routes` (`default via 172.17.0.1 dev eth0`), resolvers,
    and its own firewall as nft or iptables-save print it ("" for none, None for not read)."""

    interfaces: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    firewall: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One question to a name server (RFC 1035): `server` is who was asked; `count` folds equal ones, `time` is the first's."""

    time: float
    name: str
    type: str
    server: Endpoint
    transport: str = "udp"
    pid: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to reach somebody: TCP's SYN, a datagram, an ICMP message, a packet of any other protocol.

    `protocol` is tcp, udp, icmp, icmp6, sctp, `ip-47`, vsock, …; `target` where to (no port: None). `name` is what was looked up
    before and led there. `service` is what its first bytes are (`tls`, `http`, `ssh`, `stratum`, `socks4`, `socks5`, `dns`, `smtp`,
    …, `unknown`; `silent` where nothing came), `details` what they say (for tls: sni, alpn, ja4; for http: method, host,
    path; for ssh: client, user, forwards; for stratum: method, login, agent). Secrets in it are masked.
    `first` are the first bytes of the client (256 at most), `sent` how many came in all. `count` folds equal ones.
    """

    time: float
    protocol: str
    target: Endpoint
    name: str | None = None
    source: Endpoint | None = None
    pid: int | None = None
    service: str = "silent"
    details: Mapping[str, Json] = field(default_factory=dict)
    first: bytes = b""
    sent: int = 0
    count: int = 1
    last: float | None = None


@dataclass(frozen=True, slots=True)
class Withheld:
    """What a launch grants and an observation does not give: `what` (`network host`, `/var/run/docker.sock`), and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Run:
    """`subject` is the container's or the image's name, `episode` the caller's own word for the run (an agent's trace).

    `unseen` says what could not be looked at and why (each is a notification too); `dropped` counts what came too fast or too
    much, by name (`attempts`, `processes`, `output bytes`). `exit_code` is the guest's, None while it runs or where it was stopped.
    `stopped` says why it was (`time limit of 60 s`), "" where it ended by itself.
    """

    how: How
    subject: str
    started: float
    ended: float
    episode: str | None = None
    image: str | None = None
    command: tuple[str, ...] = ()
    changes: tuple[FileChange, ...] = ()
    processes: tuple[Process, ...] = ()
    sockets: tuple[Socket, ...] = ()
    namespace: Namespace | None = None
    queries: tuple[Query, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    unseen: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    exit_code: int | None = None
    stopped: str = ""
    output: bytes = b""

    def process(self, pid: int | None, at: float | None = None) -> Process | None:
        """The process of that number, `at` that time where the number was used twice; None for none."""
        found = [p for p in self.processes if p.pid == pid]
        if len(found) > 1 and at is not None:
            lived = [p for p in found if (p.started or 0) <= at + 1]
            found = [max(lived or found, key=lambda p: p.started or 0)]
        return found[0] if found else None
