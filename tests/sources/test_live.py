"""A live container on a real engine: told with its networks and sharers; and the same as its command line says."""

import platform
import shlex
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from scanner.errors import SourceError, TargetError
from scanner.launch import docker_inspect, docker_run
from scanner.launch.plugin import Input, ReadOptions
from scanner.model import Launch
from scanner.model.launch import Container, Said
from scanner.sources.live import inspect_container
from tests.engine_fixture import Engine, missing, program, started_engine

IMAGE = "sleeper:1"


def sleeper() -> bytes:
    """A static program that waits for ever: pause(2) in a loop."""
    if platform.machine() != "x86_64":
        missing("an x86_64 machine, for a program made by hand")
    code = bytes.fromhex("b8220000000f05ebf7")
    size = 120 + len(code)
    head = (
        b"\x7fELF"
        + bytes([2, 1, 1])
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    )
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 0x1000) + code


@dataclass(frozen=True)
class Docker:
    """The client, at an engine that may make networks."""

    engine: Engine

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [program("docker"), "-H", self.engine.host, *words], capture_output=True, check=False, text=True, timeout=60
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.strip()


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    tar = tmp_path_factory.mktemp("image") / "image.tar"
    with tarfile.open(tar, "w") as file:
        entry = tarfile.TarInfo("sleeper")
        data = sleeper()
        entry.size, entry.mode = len(data), 0o755
        file.addfile(entry, BytesIO(data))
    with started_engine(apart=True) as engine:
        run = Docker(engine)
        run("import", str(tar), IMAGE)
        yield run


@pytest.fixture
def at_docker(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Docker]:
    """The engine, found by DOCKER_HOST; emptied afterwards."""
    monkeypatch.setenv("DOCKER_HOST", docker.engine.host)
    yield docker
    for clear in (("container", "rm", "-f"), ("network", "rm"), ("volume", "rm")):
        names = docker(
            clear[0],
            "ls",
            "-q",
            *(["-a"] if clear[0] == "container" else []),
            *(["-f", "type=custom"] if clear[0] == "network" else []),
        )
        if names:
            docker(*clear, *names.split())


def live(name: str) -> Launch:
    text = inspect_container(name).text
    given = Input(f"container:{name}", text)
    assert docker_inspect.FORMAT.recognises(given)
    return docker_inspect.read([given], ReadOptions())


# ---- what is told


@pytest.mark.engine
def test_a_container_with_its_networks_and_all_who_share_them(at_docker: Docker) -> None:
    at_docker("network", "create", "--internal", "inner")
    at_docker("network", "create", "outer")
    at_docker("network", "create", "far")
    at_docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/etc", "disguised")
    for name, *flags in (
        ("agent", "--network", "inner", "-v", "disguised:/x"),
        ("proxy", "--network", "inner"),
        ("beside", "--network", "container:agent"),
        ("stranger", "--network", "far"),
    ):
        at_docker("run", "-d", "--name", name, *flags, IMAGE, "/sleeper")
    at_docker("network", "connect", "outer", "proxy")

    launch = live("agent")
    assert launch.containers[0].name == "agent"
    assert {c.name for c in launch.containers} == {"agent", "proxy", "beside"}
    assert {n.key: (n.internal.value, n.external) for n in launch.networks} == {
        "inner": (True, False),
        "outer": (False, False),
    }
    assert [m.source for m in launch.containers[0].confinement.mounts] == ["/etc"]
    assert {c.name for c in live("beside").containers} == {"agent", "proxy", "beside"}
    identifier = at_docker("container", "ls", "-q", "-f", "name=agent")
    assert live(identifier).containers[0].name == "agent"


@pytest.mark.engine
def test_what_the_engine_tells_of_itself(at_docker: Docker) -> None:
    at_docker("create", "--name", "agent", "--network", "none", IMAGE, "/sleeper")
    facts = inspect_container("agent").facts
    assert facts["engine.version"] == at_docker("version", "--format", "{{.Server.Version}}")
    assert facts["engine.rootless"] == "false"


@pytest.mark.engine
def test_a_container_that_is_not_there(at_docker: Docker) -> None:
    with pytest.raises(
        TargetError, match=f"engine at {at_docker.engine.host} has no container nobody; docker ps --all"
    ):
        inspect_container("nobody")


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "a/b", "x\0", "é"])
def test_a_name_that_is_none_never_reaches_the_engine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///none.sock")
    with pytest.raises(TargetError, match="no container's name or id"):
        inspect_container(name)


def test_no_engine_names_the_socket_and_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(SourceError, match=rf"no container engine answers at unix://{tmp_path}/none\.sock") as error:
        inspect_container("agent")
    for hint in ("To look at the container agent, start it", "DOCKER_HOST", "docker inspect agent > agent.json"):
        assert hint in str(error.value)


# ---- command lines against what the engine makes of them

COMMANDS = (
    "",
    "--network none",
    "--network host",
    "--net=inner",
    "--network name=inner,alias=x,ip=10.77.0.9",
    "--network inner --ip 10.77.0.8 --network-alias y --net-alias z",
    "--privileged -u 1000:1000",
    "--cap-add NET_ADMIN --cap-add=CAP_SYS_ADMIN --cap-drop ALL",
    "--cap-add all --security-opt seccomp=unconfined --security-opt no-new-privileges",
    "--security-opt apparmor=unconfined --security-opt=no-new-privileges:false",
    "--pid host --ipc=host --uts host --userns host --cgroupns private",
    "--pid container:first --ipc shareable --network container:first",
    "-v /etc:/e:ro -v data:/d -v bound:/b --volumes-from first:ro",
    "--mount type=bind,src=/var/run,dst=/r,readonly --mount type=volume,src=data,dst=/d --mount type=tmpfs,dst=/t --tmpfs /u:size=1m",
    "--mount type=volume,dst=/x,volume-driver=local,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/etc",
    "-p 8080:80 -p 127.0.0.1:53:53/udp -p 9000-9001:90-91 -p 127.0.0.1::70 --expose 100-101/tcp",
    "-p target=5,published=6,protocol=udp",
    "-e A=1 -eB=2 -e=C=3 --env D=a=b -l x=y",
    "--add-host a:10.0.0.1 --add-host host.docker.internal:host-gateway --dns 192.0.2.1 --dns=192.0.2.2",
    "--device /dev/null --device=/dev/zero:/dev/z:r --sysctl net.ipv4.ip_forward=1 --runtime runc",
    "-it --rm --init=false -h host --entrypoint /sleeper",
    "--link first:alias",
)  # fmt: skip


def plain(value: Any) -> Any:
    """A value without its origins and what the engine fills in."""
    if isinstance(value, Said):
        return plain(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: plain(getattr(value, f.name))
            for f in fields(value)
            if f.name not in ("origin", "content", "content_file")
        }
    return [plain(v) for v in value] if isinstance(value, tuple) else value


def alike(container: Container) -> dict[str, Any]:
    """What a command line and the engine say of a container alike, once defaults are taken out."""
    found = plain(container)
    confinement = found.pop("confinement")
    for key, default in (
        ("privileged", False),
        ("ipc", "private"),
        ("cgroup", None),
        ("runtime", "runc"),
        ("no_new_privileges", False),
    ):
        if confinement[key] is None:
            confinement[key] = default
    if confinement["cgroup"] == "host":  # the default on some machines, and never in these commands
        confinement["cgroup"] = None
    confinement["devices"] = [_device(d) for d in confinement["devices"]]
    confinement["mounts"] = sorted(
        (
            {**m, "source": "" if m["kind"] == "volume" and len(m["source"]) == 64 else m["source"]}
            for m in confinement["mounts"]
        ),
        key=lambda m: str(m["target"]),
    )
    found["attachments"] = [
        {**a, "gw_priority": None, "aliases": sorted(x for x in a["aliases"] if len(x) < 12)}
        for a in found["attachments"]
    ]
    published = {p["port"] for p in found["published"]}
    return {
        **confinement,
        **{k: found[k] for k in ("network_mode", "attachments", "extra_hosts", "dns", "links")},
        "environment": sorted(e for e in found["environment"] if e[0] != "PATH"),  # the client sends them in any order
        "entrypoint": found["entrypoint"] or None,
        "command": found["command"],
        "image": found["image"],
        "published": sorted(found["published"], key=str),
        "exposed": sorted(set(found["exposed"]) - published),
        "labels": dict(container.labels),
    }


def _device(text: str) -> str:
    parts = text.split(":")
    return ":".join((parts[0], parts[1] if len(parts) > 1 else parts[0], parts[2] if len(parts) > 2 else "rwm"))


@pytest.mark.engine
@pytest.mark.parametrize("flags", COMMANDS)
def test_a_command_line_is_read_as_the_engine_takes_it(flags: str, at_docker: Docker) -> None:
    before = (
        "docker network create --internal --subnet 10.77.0.0/24 inner\n"
        "docker volume create -o type=none -o o=bind -o device=/etc bound\n"
        f"docker run -d --name first --ipc shareable --network none -v /etc:/first {IMAGE} /sleeper\n"
        if any(word in flags for word in ("first", "inner", "bound"))
        else ""
    )
    if "link" in flags:
        before = before.replace("--network none ", "--network inner ")
        flags += " --network inner"
    command = f"docker create --name it {flags} {IMAGE} /sleeper x"
    for line in (*before.splitlines(), command):
        at_docker(*shlex.split(line)[1:])
    [read] = [c for c in docker_run.read_command(before + command).containers if c.name == "it"]
    [told] = [c for c in live("it").containers if c.name == "it"]
    read_, told_ = alike(read), alike(told)
    if "link" in flags:
        read_["links"] = told_["links"]  # on a network of its own it is told as an alias
    if "host" in flags:
        told_["uts"] = read_["uts"]
    assert read_ == told_
