"""An engine on the lab's host: Debian's, or a newer one from the folder that SANDSCAN_LAB_ENGINE names."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors

from tests.egress.lab import image, places, runtime
from tests.egress.lab.namespaces import Hosts

AGENT = "lab/agent:1"
NEWER = "SANDSCAN_LAB_ENGINE"
RUNTIME = Path(runtime.__file__)


@dataclass(frozen=True, slots=True)
class Variant:
    """How an engine is started: its flags beside the lab's, and the host's resolver where it is its own loopback."""

    name: str
    flags: tuple[str, ...] = ("--dns", places.NAMES)
    assume: tuple[str, ...] = (f"engine.dns={places.NAMES}",)
    resolver_on_loopback: bool = False
    newer_only: bool = False


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("dns"),
        Variant("loopback-dns", (), ("engine.dns=host-loopback",), resolver_on_loopback=True),
        Variant("no-icc", ("--dns", places.NAMES, "--icc=false"), (f"engine.dns={places.NAMES}", "engine.icc=false")),
        Variant(
            "tcp",
            ("--dns", places.NAMES, "-H", "tcp://0.0.0.0:2375", "--tls=false"),
            (f"engine.dns={places.NAMES}", "engine.tcp=2375"),
        ),
        Variant(
            "no-ip6tables",
            ("--dns", places.NAMES, "--ip6tables=false"),
            (f"engine.dns={places.NAMES}", "engine.ip6tables=false"),
        ),
        Variant(
            "nftables",
            ("--dns", places.NAMES, "--firewall-backend=nftables"),
            (f"engine.dns={places.NAMES}", "engine.firewall=nftables"),
            newer_only=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine of the lab. `client` speaks with it, `environment` lets the docker program do so."""

    hosts: Hosts
    variant: Variant
    version: str
    client: Any
    environment: dict[str, str]

    @property
    def newer(self) -> bool:
        return int(self.version.split(".")[0]) >= 28

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the lab knows of it and a launch file does not say."""
        beside = () if self.newer or "--ip6tables=false" in self.variant.flags else ("engine.ip6tables=true",)
        return (f"engine.version={self.version}", *self.variant.assume, *beside)


@contextmanager
def started(hosts: Hosts, variant: Variant, newer: bool) -> Iterator[Engine]:
    """The engine with its image; stopped afterwards. What it holds stays in the lab for the next one.

    RuntimeError with its own words where it does not start.
    """
    resolver = "127.0.0.1" if variant.resolver_on_loopback else places.NAMES
    hosts.run("sh", "-c", f"echo nameserver {resolver} >/etc/resolv.conf")
    forwarder = _forwarder(hosts) if variant.resolver_on_loopback else None
    hosts.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    folder = hosts.folder
    path = f"{os.environ[NEWER]}:{os.environ['PATH']}" if newer else f"/usr/sbin:/usr/bin:{os.environ['PATH']}"
    daemon = shutil.which("dockerd", path=path)
    if daemon is None:
        raise RuntimeError("dockerd is needed")
    process = None
    socket = folder / "docker.sock"
    with (folder / "log/dockerd").open("ab") as log:
        try:
            if variant.name == "nftables":
                hosts.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
            process = subprocess.Popen(
                hosts.enter(
                    [
                        *("env", f"PATH={path}", daemon),
                        *(
                            "--data-root",
                            f"{folder}/data",
                            "--exec-root",
                            f"{folder}/exec",
                            "--pidfile",
                            f"{folder}/pid",
                        ),
                        *("-H", f"unix://{socket}", "-H", "unix:///run/docker.sock"),
                        *("-H", f"unix://{folder}/disk/docker.sock"),
                        *(f"--cgroup-parent=/{folder.name}", "--exec-opt", "native.cgroupdriver=cgroupfs"),
                        *(() if "--ip6tables=false" in variant.flags else ("--ip6tables",)),
                        *(("--add-runtime", f"lab={RUNTIME}", "--default-runtime", "lab") if runtime.lacking() else ()),
                        *("--experimental", *variant.flags),
                    ]
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
            client = _connected(process, hosts)
            try:
                environment = {"PATH": os.environ["PATH"], "DOCKER_HOST": f"unix://{socket}", "HOME": str(folder)}
                engine = Engine(hosts, variant, client.version()["Version"].split("+")[0], client, environment)
                _with_image(client)
                yield engine
            finally:
                client.close()
        finally:
            if process is not None:
                _stop(process, hosts)
            if forwarder is not None:
                assert forwarder.stdin is not None
                forwarder.stdin.close()
                forwarder.wait(10)
            _flush(hosts)


def _connected(process: "subprocess.Popen[bytes]", hosts: Hosts) -> Any:
    end = time.monotonic() + 60
    while True:
        with suppress(docker.errors.DockerException):
            return docker.DockerClient(f"unix://{hosts.folder}/docker.sock", version="auto", timeout=240)
        if process.poll() is not None or time.monotonic() > end:
            said = (hosts.folder / "log/dockerd").read_text(errors="replace")[-800:]
            raise RuntimeError(f"the engine does not start; it said: {said}")
        time.sleep(0.1)


def _with_image(client: Any) -> None:
    try:
        client.images.get(AGENT)
    except docker.errors.ImageNotFound:
        name, _, tag = AGENT.partition(":")
        client.api.import_image_from_data(image.tree(), name, tag, changes=['CMD ["sleep", "infinity"]'])


def _stop(process: "subprocess.Popen[bytes]", hosts: Hosts) -> None:
    """Ask it to end, then see that nothing of it stays."""
    with suppress(OSError, RuntimeError):
        hosts.run("kill", (hosts.folder / "pid").read_text().strip())
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        hosts.run("sh", "-c", f"kill -9 $(cat {hosts.folder}/pid)", check=False)
        process.wait(20)


def _flush(hosts: Hosts) -> None:
    """The host as it was before the engine: no rules, no bridges."""
    for family in ("iptables", "ip6tables"):
        hosts.run(
            f"{family}-restore",
            given="".join(f"*{table}\nCOMMIT\n" for table in ("raw", "mangle", "nat", "filter")),
        )
        for chain in ("INPUT", "FORWARD", "OUTPUT"):
            hosts.run(family, "-P", chain, "ACCEPT")
    for table in re.findall(r"^table (\S+ docker-\S+)$", hosts.run("nft", "list", "tables", check=False), re.MULTILINE):
        hosts.run("nft", "delete", "table", *table.split(), check=False)
    for bridge in re.findall(
        r"^\d+: ([\w.-]+):", hosts.run("ip", "-o", "link", "show", "type", "bridge"), re.MULTILINE
    ):
        hosts.run("ip", "link", "delete", bridge)


def _forwarder(hosts: Hosts) -> "subprocess.Popen[str]":
    """A resolver on the host's loopback that asks the one in the internet."""
    listeners = image.PROBE.with_name("listeners.py")
    process = subprocess.Popen(
        hosts.enter(
            [
                *(
                    "python3",
                    str(listeners),
                    "--name",
                    "loopback-resolver",
                    "--log",
                    f"{hosts.folder}/log/resolver.jsonl",
                ),
                *("--forward", places.NAMES),
            ]
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != "listening":
        raise RuntimeError("the resolver on the host's loopback does not start")
    return process
