"""The lab's hosts: network namespaces for the container host, the internet, a private network and cloud metadata.

All of a lab lives below one process that is the first of a PID namespace of its own, with mounts and networks of its own:
when it ends, by whatever way, the kernel ends everything in it (engines, containers, listeners), and the namespaces with
their mounts, interfaces and firewall rules are gone. It ends when its standard input closes, that is when whoever started
it is gone, killed or not. Nothing leads out of a lab: its networks are connected with each other and with nothing else.

This file is both: the side that starts a lab (`started_hosts`) and, run as a program, that first process (`main`).
It imports the standard library alone when it runs as a program.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.egress.lab import places

PREFIX = "sandscan-lab-"
STARTING = 60
"""Seconds for which a lab's lock may not be held yet."""
LISTENERS = Path(__file__).with_name("listeners.py")
LINKS = f"""
link set lo up
link add up0 type veth peer name w0 netns world
link add corp0 type veth peer name c0 netns corp
link add meta0 type veth peer name m0 netns meta
addr add {places.UPLINK}/24 dev up0
addr add {places.UPLINK6}/64 dev up0 nodad
addr add {places.CORP_SIDE}/24 dev corp0
addr add {places.META_SIDE}/30 dev meta0
addr add {places.CORP_SIDE6}/64 dev corp0 nodad
addr add {places.META_SIDE6}/64 dev meta0 nodad
link set up0 up
link set corp0 up
link set meta0 up
route add default via {places.ROUTER}
route add 100.64.7.0/24 via {places.PRIVATE}
route add default via {places.INTERNET6}
""" + "".join(f"route add {address}/32 via {places.METADATA}\n" for address in places.METADATA_ELSEWHERE)
FAR_ENDS = {
    "world": f"""
link set lo up
addr add {places.ROUTER}/24 dev w0
addr add {places.INTERNET6}/64 dev w0 nodad
addr add {places.INTERNET}/32 dev lo
addr add {places.NAMES}/32 dev lo
addr add {places.OTHER_NAMES}/32 dev lo
addr add {places.LAST_NAMES[0]}/32 dev lo
addr add {places.LAST_NAMES[1]}/32 dev lo
link set w0 up
""",
    "corp": f"""
link set lo up
addr add {places.PRIVATE}/24 dev c0
addr add {places.PRIVATE6}/64 dev c0 nodad
addr add {places.SHARED}/32 dev lo
link set c0 up
""",
    "meta": f"""
link set lo up
addr add {places.METADATA}/30 dev m0
addr add {places.METADATA6}/64 dev m0 nodad
addr add {places.METADATA_ELSEWHERE[0]}/32 dev lo
addr add {places.METADATA_ELSEWHERE[1]}/32 dev lo
link set m0 up
""",
}


@dataclass(frozen=True, slots=True)
class Hosts:
    """A standing lab: `folder` holds its logs and engine, `first` is its first process's PID as we see it.

    `disk` is the device (major:minor) of a file system of the host's own, which is `folder`/disk there.
    """

    folder: Path
    first: int
    disk: str

    def enter(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` on the container host."""
        return ["nsenter", f"--target={self.first}", "--mount", "--net", "--pid", "--", *command]

    def run(self, *command: str, given: str | None = None, check: bool = True) -> str:
        """What `command` printed on the container host; RuntimeError with its words where it failed."""
        done = subprocess.run(
            self.enter(command), input=given, capture_output=True, text=True, check=False, timeout=60, cwd="/"
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or f'ended with {done.returncode}'}")
        return done.stdout

    def log(self, name: str) -> Path:
        """What the listeners of one host (`world`, `corp`, `meta`, `host`) saw, a JSON object a line."""
        return self.folder / "log" / f"{name}.jsonl"


@contextmanager
def started_hosts() -> Iterator[Hosts]:
    """A lab without an engine; gone afterwards. Root is needed. RuntimeError where it does not start."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = (folder / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        process = subprocess.Popen(
            [
                *"unshare --mount --net --pid --fork --propagation private --".split(),
                sys.executable,
                str(Path(__file__).resolve()),
                str(folder),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            pass_fds=[lock.fileno()],
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            if not said:
                raise RuntimeError(f"the lab did not start: {process.wait(30)}")
            told = json.loads(said)
            yield Hosts(folder, told["first"], told["disk"])
        finally:
            process.stdin.close()
            process.wait(60)
            process.stdout.close()
    finally:
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove what is left of a lab whose first process was itself killed: nobody holds its lock any more."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        with suppress(OSError), lock.open() as file:
            if time.time() - lock.stat().st_mtime > STARTING:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)


def main(folder: Path) -> None:
    """The first process of a lab: builds it, says so, holds it until its standard input ends, and takes it down."""
    if os.getpid() != 1:
        raise SystemExit("only as the first process of a namespace of its own: it ends every other one")
    try:
        _hold(folder)
    finally:
        _take_down(folder)


def _hold(folder: Path) -> None:
    """What it is while it stands."""
    first = Path("/proc/self").readlink().name  # the outer /proc still: our PID as whoever started us sees it
    _command("mount", "-t", "proc", "proc", "/proc")
    _command("mount", "-t", "tmpfs", "tmpfs", "/run")
    Path("/run/lock").mkdir()
    resolver = Path("/etc/resolv.conf").resolve()  # a link into /run, on some machines
    resolver.parent.mkdir(parents=True, exist_ok=True)
    resolver.touch()
    (folder / "resolv.conf").write_text(f"nameserver {places.NAMES}\n")
    _command("mount", "--bind", str(folder / "resolv.conf"), str(resolver))
    disk = _disk(folder)
    for name in FAR_ENDS:
        _command("ip", "netns", "add", name)
    _command("ip", "-batch", "-", given=LINKS)
    _quiet([])
    for name, lines in FAR_ENDS.items():
        _command("ip", "-n", name, "-batch", "-", given=lines)
        _quiet(["ip", "netns", "exec", name])
    (folder / "log").mkdir()
    tcp, udp = ",".join(map(str, places.WORLD_PORTS)), f"53,{places.UDP_PORT}"
    links = {"world": "w0", "corp": "c0", "meta": "m0"}
    listening = [
        _listen(folder, name, ["ip", "netns", "exec", name], "--tcp", tcp, "--udp", udp, "--sniff", link)
        for name, link in links.items()
    ]
    served = ("--tcp", str(places.HOST_PORT), "--tcp-loopback", str(places.LOOPBACK_PORT))
    listening.append(_listen(folder, "host", [], *served, "--udp", str(places.UDP_PORT)))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whatever is orphaned here is nobody's to wait for
    print(json.dumps({"first": int(first), "disk": disk}), flush=True)
    sys.stdin.read()
    del listening


def _command(*command: str, given: str | None = None) -> None:
    subprocess.run(command, input=given, text=True, check=True, stdout=subprocess.DEVNULL)


def _quiet(inside: Sequence[str]) -> None:
    """No forwarding, no filter by the way back, no waiting for duplicate addresses: a probe's end is the rules' doing."""
    script = """
        echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
        for file in /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv6/conf/*/accept_dad; do echo 0 >$file; done"""
    _command(*inside, "sh", "-c", script)


def _disk(folder: Path) -> str:
    """Give the host a disk of its own, for whoever is allowed to mount it; it goes with the last mount."""
    with (folder / "disk.image").open("wb") as file:
        file.truncate(16 << 20)
    (folder / "disk").mkdir()
    _command("mkfs.ext4", "-q", str(folder / "disk.image"))
    _command("mount", "-o", "loop", str(folder / "disk.image"), str(folder / "disk"))
    device = (folder / "disk").stat().st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def _listen(folder: Path, name: str, inside: Sequence[str], *what: str) -> "subprocess.Popen[str]":
    """One host's listeners, once they all stand; they end when their standard input does."""
    process = subprocess.Popen(
        [*inside, sys.executable, str(LISTENERS), "--name", name, "--log", str(folder / f"log/{name}.jsonl"), *what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != "listening":
        raise SystemExit(f"the listeners of {name} did not start")
    return process


def _take_down(folder: Path) -> None:
    """End all but ourselves, and leave nothing behind: mounts go with us, control groups and files do not."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with suppress(OSError):
        while os.waitpid(-1, 0):
            pass
    for mounted in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        target = mounted.split()[1]
        if target.startswith(str(folder)):
            subprocess.run(["umount", "-l", target], check=False, capture_output=True)
    for group in Path("/sys/fs/cgroup").glob(f"**/{folder.name}"):
        for below, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                Path(below).rmdir()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
