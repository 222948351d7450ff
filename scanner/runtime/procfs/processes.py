"""One process as it stands: who it is, what it runs, what it holds open (proc_pid_stat(5), proc_pid_status(5), …)."""

import ctypes
import functools
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scanner import masked
from scanner.model.run import Process, Program
from scanner.runtime.procfs.inside import Identity, Root, fuse_mounts, identity_of, mount_of
from scanner.runtime.procfs.reading import Missed, ProcessFolder

_STAT, _STATUS = 4096, 64 << 10
_COMMAND, _ENVIRONMENT = 256 << 10, 256 << 10
_SHOWN, _CHARACTERS = 4096, 8192
"""Words of a command line that a report shows, and characters of each; rules see all of them."""
_ALL_WORDS, _FEW = 128 << 20, 4096
"""Bytes of command lines and environments of all processes that are kept, and of each one's after that."""
FILES = 50_000
"""Open files of one process that are looked at."""
_THREADS, _LIBRARIES = 2000, 64
_KCMP = {"x86_64": 312, "aarch64": 272}
"""The number of kcmp(2), which the C library has no function for."""
_MAPS = 4 << 20
_PASSWD = 1 << 20
_SOCKET = re.compile(rb"socket:\[(\d{1,20})\]")
_DEVICE = re.compile(
    rb"/dev/(?:nvidia[\w-]*(?:/[\w-]+)*|dri/[\w-]+|kfd|net/tun|fuse|kvm|vsock|vhost-[\w-]+|mem|kmsg|uinput)"
)
_NAMELESS = re.compile(
    rb"^([0-9a-f]+-[0-9a-f]+) [r-][w-]x. [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) (\d+) +(/[^\n]* \(deleted\)|/memfd:[^\n]*)$",
    re.MULTILINE,
)
_MAPPED_DEVICE = re.compile(rb" (" + _DEVICE.pattern + rb")$", re.MULTILINE)
_GONE = b" (deleted)"
_MATTER = re.compile(
    r"(?i)^(?:LD_PRELOAD|LD_AUDIT|LD_LIBRARY_PATH|(?:https?|all|ftp|no)_proxy|(?:DOCKER|CONTAINER)_HOST|BASH_ENV|ENV|PYTHONSTARTUP|"
    r"PROMPT_COMMAND|GIT_SSH(?:_COMMAND)?|GIT_PROXY_COMMAND|RSYNC_RSH|SSH_(?:CONNECTION|CLIENT|TTY|ORIGINAL_COMMAND)|"
    r"CUDA_VISIBLE_DEVICES|NVIDIA_VISIBLE_DEVICES|(?:NGROK|TUNNEL|CLOUDFLARED|FRP|CHISEL|TS|TAILSCALE)_\w+|"
    r".*(?:POOL|WALLET|STRATUM|MINING|MINER|RIG_?ID).*)$"
)
"""Names of variables that say where a program connects, what it loads, or for whom it works."""
_KERNEL = re.compile(r"\[?(?:kworker|kthreadd|ksoftirqd|kswapd|kdevtmpfs|khugepaged|kblockd|kauditd|kcompactd|ksmd|migration|"
                     r"rcu_\w+|watchdogd|jbd2|scsi_eh_\d+|kintegrityd|irq|cpuhp|idle_inject)(?:[/:_\-0-9].*)?\]?")  # fmt: skip
"""Names of the kernel's own threads, none of which has a program."""


@dataclass(frozen=True, slots=True)
class Library:
    """A file that a process has mapped to run and that has no name any more: `at` is its name in `map_files`."""

    at: str
    path: bytes
    memfd: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A process of a container with what a rule asks for and a report does not show.

    `words` and `variables` are its command line and environment with their secrets; `ticks` tells two processes of one number
    apart. `program` identifies its executable; `replaced`: another file stands at its name now. `libraries` are
    files without a name that it runs code of. `inodes` are the sockets that it holds, `standard` those that are its input,
    output and errors. `net` is its network namespace. `pretends`: it bears the name of a thread of the kernel.
    `thread` is the number under which /proc shows it: its own, or a thread's where its first one has ended before the others.
    """

    process: Process
    ticks: int
    name: str
    words: tuple[str, ...] = field(repr=False)
    variables: tuple[str, ...] = field(repr=False)
    threads: tuple[str, ...]
    program: Identity | None
    replaced: bool
    libraries: tuple[Library, ...]
    inodes: frozenset[int]
    standard: tuple[int | None, int | None, int | None]
    net: int | None
    pretends: bool
    thread: int

    @property
    def pid(self) -> int:
        return self.process.pid


def bare(process: Process, words: tuple[str, ...], name: str) -> Member:
    """A process of which only the command line is known."""
    return Member(
        process=process,
        ticks=0,
        name=name,
        words=words,
        variables=(),
        threads=(),
        program=None,
        replaced=False,
        libraries=(),
        inodes=frozenset(),
        standard=(None, None, None),
        net=None,
        pretends=False,
        thread=process.pid,
    )


@dataclass(frozen=True, slots=True)
class Counted:
    """Fields of /proc/PID/stat: `ticks` since the machine's start, `used` ticks of processor time."""

    name: bytes
    state: str
    parent: int
    used: int
    ticks: int


def counted(stat: bytes) -> Counted | None:
    """None for what is no such line. The name stands in brackets and may hold any byte: the last bracket ends it."""
    before, bracket, rest = stat.rpartition(b")")
    fields = rest.split()
    if not bracket or len(fields) < 20:
        return None
    try:
        numbers = [int(fields[at]) for at in (1, 11, 12, 19)]
    except ValueError:
        return None
    name = before.partition(b"(")[2]
    return Counted(name, fields[0].decode("ascii", "replace"), numbers[0], numbers[1] + numbers[2], numbers[3])


def status(data: bytes) -> tuple[int | None, int | None]:
    """(effective user, number in the innermost PID namespace) of /proc/PID/status."""
    uid = re.search(rb"^Uid:\t\d+\t(\d+)\t", data, re.MULTILINE)
    inner = re.search(rb"^NSpid:((?:[ \t]+\d+)+)$", data, re.MULTILINE)
    return int(uid[1]) if uid else None, int(inner[1].split()[-1]) if inner else None


def words(data: bytes) -> tuple[str, ...]:
    """The words of /proc/PID/cmdline, or of a title that a program wrote over them."""
    parts = data.rstrip(b"\0 ").split(b"\0") if data.strip(b"\0 ") else []
    return tuple(part.decode("utf-8", "backslashreplace") for part in parts)


def shown(said: Sequence[str]) -> tuple[str, ...]:
    """The words as a report shows them: masked, and not without end."""
    return tuple(word[:_CHARACTERS] for word in masked.words(said)[:_SHOWN])


def variables(data: bytes) -> tuple[str, ...]:
    """The `NAME=value` of /proc/PID/environ."""
    return tuple(part.decode("utf-8", "backslashreplace") for part in data.split(b"\0") if b"=" in part)


def users(passwd: bytes) -> dict[int, str]:
    """User names by number (passwd(5)); the first line with a number counts, as for getpwuid(3)."""
    found: dict[int, str] = {}
    for line in passwd.split(b"\n"):
        fields = line.split(b":")
        if len(fields) > 3 and fields[0] and fields[2].isdigit() and len(fields[2]) < 11:
            found.setdefault(int(fields[2]), fields[0][:64].decode("utf-8", "backslashreplace"))
    return found


def inner_user(uid: int, uid_map: bytes) -> int | None:
    """The number that a user of ours has within (user_namespaces(7), uid_map); None for none."""
    for line in uid_map.splitlines():
        fields = line.split()
        if len(fields) == 3 and all(f.isdigit() for f in fields):
            inside, outside, length = map(int, fields)
            if outside <= uid < outside + length:
                return inside + uid - outside
    return None


@functools.cache
def memfd_device() -> int:
    """The device number that every memfd_create(2) file of this machine has."""
    fd = os.memfd_create("sandscan", os.MFD_CLOEXEC)
    try:
        return os.fstat(fd).st_dev
    finally:
        os.close(fd)


@functools.cache
def _boot() -> float:
    """When the machine was started; asked once, so that a process has the same start at every look."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def started_at(ticks: int) -> float:
    """Seconds since the epoch; `ticks` count from the machine's start, by the clock that goes on while it sleeps."""
    return _boot() + ticks / os.sysconf("SC_CLK_TCK")


class Looker:
    """Looks at one process after another; what they share is read once."""

    def __init__(self, missed: Missed) -> None:
        self._missed = missed
        self._users: dict[bytes, dict[int, str]] = {}
        self._fuse: dict[bytes, frozenset[int]] = {}
        self._room = _ALL_WORDS

    def look(self, pid: int) -> Member | None:
        """The process, None where it has ended."""
        try:
            with ProcessFolder(pid, self._missed) as first:
                stat = counted(first.read("stat", _STAT) or b"")
                if stat is None:
                    return None
                who = status(first.read("status", _STATUS) or b"")
                if _lives(first, stat):
                    return self._look(first, pid, stat, *who)
                for thread in first.names("task", _THREADS) or ():
                    if (found := self._through(int(thread), pid, stat, *who)) is not None:
                        return found
                return None
        except ProcessLookupError:
            return None

    def _through(self, thread: int, pid: int, stat: Counted, uid: int | None, inner: int | None) -> Member | None:
        """A process whose first thread has ended while others run: it is to be seen through one of these (pthread_exit(3))."""
        try:
            with ProcessFolder(thread, self._missed) as folder:
                own = counted(folder.read("stat", _STAT) or b"")
                if thread == pid or own is None or not _lives(folder, own) or not is_of(folder, pid):
                    return None
                return self._look(folder, pid, stat, uid, inner)
        except ProcessLookupError:
            return None

    def _look(self, folder: ProcessFolder, pid: int, stat: Counted, uid: int | None, inner: int | None) -> Member:
        said = words(self._text(folder, "cmdline", _COMMAND, "the command lines"))
        around = variables(self._text(folder, "environ", _ENVIRONMENT, "the environments"))
        link = folder.link("exe", "the programs")
        program, path, identity, replaced = self._program(folder, link)
        threads = folder.names("task", _THREADS) or ()
        if len(threads) >= _THREADS:
            self._missed.add("the threads", f"more than {_THREADS}; the rest was not looked at")
        files = folder.links("fd", FILES, "the open files") or ()
        for thread in threads:
            if int(thread) != folder.pid and _has_own_files(folder.pid, int(thread)):
                files += folder.links(f"task/{thread}/fd", FILES, "the open files of threads") or ()
        if len(files) >= FILES:
            self._missed.add("the open files", f"more than {FILES}; the rest was not looked at")
        maps = folder.read("maps", _MAPS, "the mapped files") or b""
        if len(maps) >= _MAPS:
            self._missed.add("the mapped files", f"their list is longer than {_MAPS} bytes; the rest was not read")
        libraries = _libraries(maps)
        if len(libraries) > _LIBRARIES:
            self._missed.add("the mapped files", f"more than {_LIBRARIES} without a name; the rest was not looked at")
        devices = {found[0] for _, to in files if (found := _DEVICE.fullmatch(to))}
        devices.update(_MAPPED_DEVICE.findall(maps) if b" /dev/" in maps else ())
        sockets = {name: int(found[1]) for name, to in files if (found := _SOCKET.fullmatch(to))}
        net = re.fullmatch(rb"net:\[(\d+)\]", folder.link("ns/net", "the network namespaces") or b"")
        name = stat.name.decode("utf-8", "backslashreplace")
        process = Process(
            pid=pid,
            parent=stat.parent,
            command=shown(said) or (f"[{name}]",),
            inner=inner,
            executable=path,
            program=program,
            started=started_at(stat.ticks),
            uid=uid,
            user=self._user(folder, uid),
            working_dir=folder.link("cwd"),
            cpu=stat.used / os.sysconf("SC_CLK_TCK"),
            devices=tuple(sorted(d.decode("ascii", "replace") for d in devices)),
            environment=shown([v for v in around if _MATTER.match(v.partition("=")[0])][:50]),
        )
        return Member(
            process=process,
            ticks=stat.ticks,
            name=name,
            words=said,
            variables=around,
            threads=_names(folder, threads, name),
            program=identity,
            replaced=replaced,
            libraries=libraries[:_LIBRARIES],
            inodes=frozenset(sockets.values()),
            standard=(sockets.get("0"), sockets.get("1"), sockets.get("2")),
            net=int(net[1]) if net else None,
            pretends=link is not None and (_KERNEL.fullmatch(said[0]) is not None if said else _bracketed(name)),
            thread=folder.pid,
        )

    def _text(self, folder: ProcessFolder, name: str, limit: int, what: str) -> bytes:
        """A file of words, whole as long as all processes together have not too many."""
        if self._room <= 0:
            limit = _FEW
        data = folder.read(name, limit, what) or b""
        if len(data) >= limit:
            self._missed.add(what, f"longer than {limit} bytes; the rest was not read")
        self._room -= len(data)
        return data

    def _program(
        self, folder: ProcessFolder, link: bytes | None
    ) -> tuple[Program, bytes | None, Identity | None, bool]:
        """What it is, its path, its identity, and whether another file stands at its name now."""
        if link is None:
            return Program.UNKNOWN, None, None, False
        at = folder.open("exe", os.O_PATH)
        if at is None:
            return Program.UNKNOWN, link, None, False
        try:
            if mount_of(at) in self._fuses(folder):
                self._missed.add(
                    "the programs", "they lie on a FUSE file system, which could keep whoever reads waiting"
                )
                return Program.UNKNOWN, link, None, False
            found = os.fstat(at)
        finally:
            os.close(at)
        identity = identity_of(found)
        if found.st_dev == memfd_device():
            return Program.MEMFD, link.removesuffix(_GONE), identity, False
        if not link.endswith(_GONE):
            return Program.FILE, link, identity, False
        # a file may be named so; overlayfs counts no links of a file that lies in a lower layer
        with_suffix, without = self._standing(folder, link)
        if with_suffix is not None and with_suffix[:2] == identity[:2]:
            return Program.FILE, link, identity, False
        return Program.DELETED, link.removesuffix(_GONE), identity, without is not None

    def _standing(self, folder: ProcessFolder, link: bytes) -> tuple[Identity | None, Identity | None]:
        try:
            with Root(folder) as root:
                return root.identity(link), root.identity(link.removesuffix(_GONE))
        except OSError:
            return None, None

    def _fuses(self, folder: ProcessFolder) -> frozenset[int]:
        space = folder.link("ns/mnt") or b""
        if space not in self._fuse:
            self._fuse[space] = fuse_mounts(folder.read("mountinfo", 16 << 20) or b"")
        return self._fuse[space]

    def _user(self, folder: ProcessFolder, uid: int | None) -> str | None:
        if uid is None:
            return None
        space = folder.link("ns/mnt") or b""
        if space not in self._users:
            self._users[space] = users(_file(folder, b"etc/passwd", _PASSWD))
        inside = inner_user(uid, folder.read("uid_map", 64 << 10) or b"")
        return self._users[space].get(inside) if inside is not None else None


def _names(folder: ProcessFolder, threads: Sequence[str], name: str) -> tuple[str, ...]:
    """Other names that its threads have."""
    if len(threads) < 2:
        return ()
    found = (folder.read(f"task/{number}/comm", 64) or b"" for number in threads)
    names = {one.rstrip(b"\n").decode("utf-8", "backslashreplace") for one in found}
    return tuple(sorted(names - {name, ""}))


def _has_own_files(one: int, other: int) -> bool:
    """Whether a thread has left the table of open files that the others share (unshare(2), CLONE_FILES; kcmp(2)): what it opens
    since is not to be seen at the process."""
    number = _KCMP.get(os.uname().machine)
    return number is not None and _libc().syscall(number, one, other, 2, 0, 0) > 0


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _lives(folder: ProcessFolder, stat: Counted) -> bool:
    """Not ended, nor ending: then it has let go of its memory, and with it of its words and program."""
    return stat.state not in ("Z", "X") and not (folder.read("statm", 64) or b"0 ").startswith(b"0 ")


def is_of(folder: ProcessFolder, pid: int) -> bool:
    """Whether the folder is that of a thread of the process."""
    return re.search(rb"^Tgid:\t%d$" % pid, folder.read("status", _STATUS) or b"", re.MULTILINE) is not None


def _bracketed(name: str) -> bool:
    """A program whose command line is empty is shown as `[name]`, as the kernel's threads are."""
    return _KERNEL.fullmatch(name) is not None


def _file(folder: ProcessFolder, path: bytes, limit: int) -> bytes:
    try:
        with Root(folder) as root:
            return root.read(path, limit) or b""
    except OSError:
        return b""


def _libraries(maps: bytes) -> tuple[Library, ...]:
    """Executable mappings of files without a name, each once (proc_pid_maps(5))."""
    if _GONE not in maps and b"/memfd:" not in maps:
        return ()
    found: dict[tuple[bytes, bytes], Library] = {}
    for area, device, inode, path in _NAMELESS.findall(maps):
        memfd = path.startswith(b"/memfd:")
        name = path.removesuffix(_GONE)
        if not name.startswith((b"/SYSV", b"/dev/zero", b"/anon_hugepage", b"/[aio]")):
            found.setdefault((device, inode), Library(area.decode("ascii"), name, memfd))
    return tuple(found.values())


def environment(of: Member) -> Mapping[str, str]:
    """Its variables by name; the last one of a name counts for few, the first for getenv(3)."""
    found: dict[str, str] = {}
    for variable in of.variables:
        name, _, value = variable.partition("=")
        found.setdefault(name, value)
    return found
