"""Command lines of docker run: every flag that decides reach or confinement, in every spelling; networks made beside them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import LimitError, ParseError
from scanner.launch.docker_run import FORMAT, read, read_command
from scanner.launch.plugin import Input, ReadOptions
from scanner.launch.runflags import (
    NETWORK_CONNECT,
    NETWORK_CREATE,
    NETWORK_DISCONNECT,
    RUN,
    VOLUME_CREATE,
    Command,
)
from scanner.model import Level
from scanner.model.launch import Attachment, Confinement, Container, Default, MountKind, Place, Published, Said
from tests.engine_fixture import missing as not_there


def one(text: str) -> Container:
    [container] = read_command(text).containers
    return container


def confined(flags: str) -> Confinement:
    return one(f"docker run {flags} image").confinement


def at(column: int, line: int = 1) -> Place:
    return Place("command line", line, column)


# ---- how flags are told from words


@pytest.mark.parametrize(
    "text",
    [
        "docker run --network none -v /a:/b -e X=1 app sh -c x",
        "docker run --network=none --volume=/a:/b --env=X=1 app sh -c x",
        "docker run --net none -v=/a:/b -eX=1 app sh -c x",
        "docker run --net=none -v/a:/b -e=X=1 -- app sh -c x",
        "docker run -itd --rm --init=true -v /a:/b --net none -e X=1 app sh -c x",
        "docker run -itde X=1 --network none -v /a:/b app sh -c x",
        "docker create --network none -v /a:/b -e X=1 app sh -c x",
        "docker container run --network none -v /a:/b -e X=1 app sh -c x",
        "docker container create --network none -v /a:/b -e X=1 app sh -c x",
        "podman run --network none -v /a:/b -e X=1 app sh -c x",
        "nerdctl run --network none -v /a:/b -e X=1 app sh -c x",
        "sudo -E docker run --network none -v /a:/b -e X=1 app sh -c x",
        "sudo -u me /usr/bin/docker run --network none -v /a:/b -e X=1 app sh -c x",
        "docker --context here -H tcp://x run --network none -v /a:/b -e X=1 app sh -c x",
        "Y=2 exec docker run --network none -v /a:/b -e X=1 app sh -c x",
        "docker run \\\n  --network none \\\n  -v /a:/b -e X=1 \\\n  app sh -c x",
        "N=none\ndocker run --network $N -v /a:/b -e 'X=1' app sh -c x",
        "F='--network none'\ndocker run $F -v /a:/b -e X=1 app sh -c x",
        'A=(--network none)\nA+=(-v /a:/b)\ndocker run "${A[@]}" -e X=1 app sh -c x',
        "D=${DOCKER:-docker}\n$D run --network none -v /a:/b -e X=1 app sh -c x",
        "$DOCKER run --network none -v /a:/b -e X=1 app sh -c x",
        "$ docker run --network none -v /a:/b -e X=1 app sh -c x",
        "alias a='docker run --network none -v /a:/b -e X=1 app sh -c x'",
    ],
)
def test_every_spelling_says_the_same(text: str) -> None:
    container = one(text)
    assert container.name == "app"
    assert container.network_mode.value == "none"
    assert container.attachments == ()
    assert container.image is not None
    assert container.image.value == "app"
    assert [w.value for w in container.command or ()] == ["sh", "-c", "x"]
    assert [(m.source, m.target) for m in container.confinement.mounts] == [("/a", "/b")]
    assert [(k, v.value) for k, v in container.environment] == [("X", "1")]
    assert container.missing == ()
    assert [s.text for s in container.scripts] == ["x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("docker run --nework none x", r":1:12: docker run has no flag --nework; did you mean --network\?"),
        ("docker run -net=host x", r":1:12: docker run has no flag -n; did you mean --net\?"),
        ("podman run --frobnicate x", r":1:12: podman run has no flag --frobnicate$"),
        ("docker run --name", r":1:12: docker run: --name has no value"),
        ("docker run -v", r":1:12: docker run: -v has no value"),
        ("docker run", r":1:8: docker run names no image"),
        ("docker run -it --rm", r":1:8: docker run names no image"),
        ("docker run --privileged=perhaps x", r":1:12: .*--privileged=perhaps is neither true nor false"),
        ("docker run -p x:y z", r":1:12: x:y publishes no port"),
        ("docker run --expose x z", r":1:12: --expose x is no port"),
        ("docker run -v /a: z", r":1:12: /a: is no SOURCE:TARGET"),
        ("docker run --mount type=bind,src=/a z", r":1:12: .* names no target"),
        ("docker run --add-host x z", r":1:12: --add-host x is no NAME:ADDRESS"),
        ("docker run --network host --network a z", r":1:12: docker refuses a network mode \(host\)"),
        ("docker run --network a --network a z", r":1:24: the network a is named twice"),
        ("docker run --network name=a,foo=b z", r":1:12: --network knows no foo="),
        ("docker network create", r":1:8: docker network create names no network"),
        ("docker network create --internal=x a", r":1:23: .*--internal=x is neither true nor false"),
        ("docker run 'x", r":1:12: a quote ' is never closed"),
        ("echo docker run x", r":1:1: no docker run or docker create"),
    ],
)
def test_what_the_client_refuses_is_an_error_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=f"^command line{message}"):
        read_command(text)


def _printed(*words: str) -> dict[str, bool]:
    """The flags that the client on this machine prints, and whether each takes a value."""
    docker = shutil.which("docker")
    if docker is None:
        not_there("the docker client")
    assert docker is not None
    text = subprocess.run([docker, *words, "--help"], capture_output=True, check=True, text=True).stdout
    found = re.findall(r"^ {2,6}(?:-\w, )?--([\w-]+)(?: ([a-z][\w-]*))?(?:  |$)", text, re.MULTILINE)
    assert len(found) > 1
    return {name: bool(kind) for name, kind in found}


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("run",), RUN),
        (("create",), RUN),
        (("network", "create"), NETWORK_CREATE),
        (("network", "connect"), NETWORK_CONNECT),
        (("volume", "create"), VOLUME_CREATE),
    ],
)
def test_every_flag_of_the_real_client_is_known_with_its_arity(words: tuple[str, ...], command: Command) -> None:
    printed = _printed(*words)
    assert {name for name, value in printed.items() if value} <= command.values
    assert {name for name, value in printed.items() if not value} <= command.switches


def test_a_flag_takes_a_value_or_none() -> None:
    for command in (RUN, NETWORK_CREATE, NETWORK_CONNECT, NETWORK_DISCONNECT, VOLUME_CREATE):
        assert not command.switches & command.values
        assert set(command.short.values()) | set(command.same.values()) <= command.switches | command.values
        assert not set(command.same) & (command.switches | command.values)


# ---- networks


def test_nothing_said_is_the_default_bridge_and_whose_default() -> None:
    launch = read_command("docker run app")
    [container] = launch.containers
    assert container.network_mode == Said("bridge", Default("docker"))
    assert container.attachments == (Attachment("bridge", Default("docker")),)
    [network] = launch.networks
    assert (network.key, network.driver.value, network.internal.value, network.external) == (
        "bridge",
        "bridge",
        False,
        False,
    )


@pytest.mark.parametrize("name", ["bridge", "default"])
def test_the_default_bridge_by_name(name: str) -> None:
    container = one(f"docker run --network {name} app")
    assert container.network_mode == Said("bridge", at(12))
    assert container.attachments == (Attachment("bridge", at(12)),)


def test_networks_that_the_file_makes_and_one_that_it_does_not() -> None:
    launch = read_command(
        "docker network create -d bridge --internal --subnet 10.1.0.0/24 --gateway=10.1.0.1 --ipv6 --subnet fd00::/64 "
        "-o com.docker.network.bridge.enable_icc=false --attachable inner\n"
        "docker network inspect outer >/dev/null || docker network create --ipv4=false outer\n"
        "docker run --network name=inner,alias=a,alias=b,ip=10.1.0.9,ip6=fd00::9,gw-priority=3,driver-opt=x=y "
        "--network outer --network elsewhere app\n"
    )
    [container] = launch.containers
    assert container.network_mode.value == "networks"
    assert container.attachments == (
        Attachment("inner", at(12, 3), ("a", "b"), "10.1.0.9", "fd00::9", 3),
        Attachment("outer", at(102, 3)),
        Attachment("elsewhere", at(118, 3)),
    )
    inner, outer, _ = launch.networks
    assert inner.internal == Said(True, at(33))
    assert inner.driver == Said("bridge", at(23))
    assert inner.ipv6 == Said(True, at(84))
    assert inner.subnets == ("10.1.0.0/24", "fd00::/64")
    assert inner.gateways == ("10.1.0.1",)
    icc = inner.option("com.docker.network.bridge.enable_icc")
    assert icc is not None
    assert icc.value == "false"
    assert outer.internal == Said(False, Default("docker"))
    assert outer.ipv4 is not None
    assert outer.ipv4.value is False
    assert [n.external for n in launch.networks] == [False, False, True]


def test_the_old_flags_go_to_the_first_network() -> None:
    container = one(
        "docker run --network a --network b --ip 10.0.0.2 --ip6 fd00::2 --network-alias x --net-alias y app"
    )
    first, second = container.attachments
    assert (first.aliases, first.ipv4, first.ipv6) == (("x", "y"), "10.0.0.2", "fd00::2")
    assert (second.aliases, second.ipv4, second.ipv6) == ((), None, None)


def test_connecting_and_disconnecting() -> None:
    launch = read_command(
        "ID=$(docker run -d app)\ndocker network connect --alias x --ip 10.0.0.3 inner $ID\n"
        "docker network disconnect bridge app\ndocker run --name b app\ndocker network disconnect -f bridge b\n"
        "docker run --name c app\nif x; then docker network disconnect bridge c; fi\n"
        "docker run --name d --network none app\ndocker network connect inner d\n"
    )
    modes = {c.name: (c.network_mode.value, [a.network for a in c.attachments]) for c in launch.containers}
    assert modes == {
        "app": ("networks", ["inner"]),
        "b": ("none", []),
        "c": ("bridge", ["bridge"]),
        "d": ("none", []),
    }
    assert launch.containers[0].attachments[0].aliases == ("x",)
    assert [n.message.partition(": ")[0] for n in launch.notifications] == ["command line:7:19", "command line:9:8"]


def test_namespaces_of_another_container_are_named_as_it_is_here() -> None:
    launch = read_command(
        "A=$(docker run -d --name first app)\ndocker run --network container:$A --pid=container:first --ipc container:x app\n"
    )
    second = launch.containers[1]
    assert (second.name, second.network_mode.value) == ("app", "container:first")
    assert second.confinement.pid is not None
    assert second.confinement.pid.value == "container:first"
    assert second.confinement.ipc is not None
    assert second.confinement.ipc.value == "container:x"


@pytest.mark.parametrize("flag", ["slirp4netns:allow_host_loopback=true", "pasta", "private"])
def test_podmans_own_modes_are_told(flag: str) -> None:
    launch = read_command(f"podman run --network {flag} app")
    assert launch.containers[0].network_mode.value == "bridge"
    assert [n.level for n in launch.notifications] == [Level.NOTE]


def test_podmans_networks_with_settings_and_pods() -> None:
    launch = read_command(
        "podman run --network a:ip=10.0.0.2,ip=fd00::2,alias=x --network b app\npodman run --pod new:p app"
    )
    assert [(a.network, a.aliases, a.ipv4, a.ipv6) for a in launch.containers[0].attachments] == [
        ("a", ("x",), "10.0.0.2", "fd00::2"),
        ("b", (), None, None),
    ]
    assert [(n.key, n.external) for n in launch.networks] == [("a", True), ("b", True), ("pod:p", True)]


def test_a_network_of_unknown_driver_is_external_and_one_of_an_unknown_name_is_itself() -> None:
    launch = read_command(
        'docker network create -d "$D" a\ndocker network create --internal "$N"\n'
        'docker run --network a x\ndocker run --network "$N" y\ndocker run --network "$M" z\n'
    )
    assert [(n.key, n.external) for n in launch.networks] == [("a", True), ("${N}", False), ("${M}", True)]
    assert [[m.key for m in c.missing] for c in launch.containers] == [[], [], ["env.M"]]


# ---- what it is given


def test_confinement() -> None:
    found = confined(
        "--privileged --cap-add net_admin --cap-add=CAP_SYS_ADMIN,ALL --cap-drop all --security-opt seccomp=unconfined "
        "--security-opt apparmor:unconfined --security-opt no-new-privileges --pid host --ipc=host --uts host "
        "--userns host --cgroupns host --runtime runsc --device /dev/net/tun --device=/dev/x:/dev/y:rw --gpus all "
        "--sysctl net.ipv4.ip_forward=1 -u 1000:1000"
    )
    assert found.privileged == Said(True, at(12))
    assert [c.value for c in found.cap_add] == ["NET_ADMIN", "SYS_ADMIN", "ALL"]
    assert [c.value for c in found.cap_drop] == ["ALL"]
    for said, value in (
        (found.seccomp, "unconfined"),
        (found.apparmor, "unconfined"),
        (found.no_new_privileges, True),
        (found.pid, "host"),
        (found.ipc, "host"),
        (found.uts, "host"),
        (found.userns, "host"),
        (found.cgroup, "host"),
        (found.runtime, "runsc"),
        (found.gpus, "all"),
        (found.user, "1000:1000"),
    ):
        assert said is not None
        assert said.value == value
    assert [d.value for d in found.devices] == ["/dev/net/tun", "/dev/x:/dev/y:rw"]
    assert [(k, v.value) for k, v in found.sysctls] == [("net.ipv4.ip_forward", "1")]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--privileged=false", False),
        ("--privileged=0", False),
        ("--privileged --privileged=F", False),
        ("--privileged=T", True),
    ],
)
def test_a_switch_has_its_last_value(flags: str, said: bool) -> None:
    found = confined(flags).privileged
    assert found is not None
    assert found.value is said


@pytest.mark.parametrize("option", ["no-new-privileges:false", "no-new-privileges=false"])
def test_new_privileges_may_be_allowed(option: str) -> None:
    found = confined(f"--security-opt {option}").no_new_privileges
    assert found is not None
    assert found.value is False


def test_profiles() -> None:
    assert confined("--security-opt seccomp=builtin").seccomp is None
    found = confined("--security-opt seccomp=./p.json").seccomp
    assert found is not None
    assert found.value == "./p.json"


@pytest.mark.parametrize(
    ("flags", "mount"),
    [
        ("-v /a:/b", (MountKind.BIND, "/a", "/b", False)),
        ("-v /a/../b:/b:ro,Z", (MountKind.BIND, "/b", "/b", True)),
        ("-v data:/b", (MountKind.VOLUME, "data", "/b", False)),
        ("-v /b", (MountKind.VOLUME, "", "/b", False)),
        ("-v ~/x:/b", (MountKind.BIND, "~/x", "/b", False)),
        (r"-v 'C:\x:/b'", (MountKind.BIND, r"C:\x", "/b", False)),
        ("--mount type=bind,source=/a,target=/b,readonly", (MountKind.BIND, "/a", "/b", True)),
        ("--mount type=bind,src=/a,dst=/b,ro=false", (MountKind.BIND, "/a", "/b", False)),
        ('--mount \'type=bind,"src=/a,c",destination=/b\'', (MountKind.BIND, "/a,c", "/b", False)),
        ("--mount source=data,target=/b", (MountKind.VOLUME, "data", "/b", False)),
        ("--mount dst=/b,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/etc", (MountKind.BIND, "/etc", "/b", False)),
        ("--mount type=tmpfs,dst=/b", (MountKind.TMPFS, "", "/b", False)),
        ("--mount type=image,src=i,dst=/b", (MountKind.IMAGE, "i", "/b", True)),
        ("--mount type=cluster,src=i,dst=/b", (MountKind.OTHER, "i", "/b", False)),
        ("--tmpfs /b:size=1m", (MountKind.TMPFS, "", "/b", False)),
        ("--use-api-socket", (MountKind.BIND, "/var/run/docker.sock", "/var/run/docker.sock", False)),
    ],
)  # fmt: skip
def test_mounts(flags: str, mount: tuple[MountKind, str, str, bool]) -> None:
    [found] = confined(flags).mounts
    assert (found.kind, found.source, found.target, found.read_only) == mount
    assert found.origin == at(12)


def test_a_volume_that_is_a_folder_of_the_host_in_disguise() -> None:
    launch = read_command(
        "docker volume create --driver local -o type=none -o o=bind -o device=/var/run run\ndocker volume create --name=da\n"
        "docker volume create -o type=nfs -o o=addr=10.0.0.1 -o device=:/x nfs\n"
        "docker run -v run:/r -v da:/d -v nfs:/n app"
    )
    assert [(m.kind, m.source) for m in launch.containers[0].confinement.mounts] == [
        (MountKind.BIND, "/var/run"),
        (MountKind.VOLUME, "da"),
        (MountKind.OTHER, "nfs"),
    ]


def test_volumes_from_another_container() -> None:
    launch = read_command(
        "docker run --name a -v /x:/y --tmpfs /t app\ndocker run --volumes-from a:ro b\ndocker run --volumes-from z c"
    )
    [mount] = launch.containers[1].confinement.mounts
    assert (mount.source, mount.target, mount.read_only, mount.origin) == ("/x", "/y", True, at(12, 2))
    assert [m.key for m in launch.containers[2].missing] == ["adds.z"]


def test_files_of_the_project_are_read_and_no_others(tmp_path: Path) -> None:
    project, outside = tmp_path / "project", tmp_path / "outside.conf"
    project.mkdir()
    outside.write_text("secret")
    (project / "squid.conf").write_text("http_access deny all\n")
    (project / "big.conf").write_bytes(b"x" * ((256 << 10) + 1))
    (project / "link.conf").symlink_to(outside)
    (project / "env").write_text("# c\nA=1\nB\nC=a=b\n")
    run = project / "run.sh"
    run.write_text(
        "docker run -v ./squid.conf:/etc/squid.conf:ro -v $PWD/big.conf:/b -v ./link.conf:/c -v ../outside.conf:/d "
        '--env-file env --env-file ../outside.conf -v "$(dirname "$0")/squid.conf:/e" app\n'
    )
    launch = read([Input(str(run), run.read_text(), run)], ReadOptions())
    squid, big, link, away, same = launch.containers[0].confinement.mounts
    assert (squid.source, squid.content, squid.content_file) == (
        str(project / "squid.conf"),
        "http_access deny all\n",
        "squid.conf",
    )
    assert same.content == squid.content
    assert [m.content for m in (big, link, away)] == [None, None, None]
    assert [(k, v.value, str(v.origin)) for k, v in launch.containers[0].environment] == [
        ("A", "1", "env:2:1"),
        ("B", None, "env:3:1"),
        ("C", "a=b", "env:4:1"),
    ]
    assert ["outside.conf" in n.message for n in launch.notifications] == [True]


def test_ports() -> None:
    container = one(
        "docker run -p 80 -p 8080:81 -p 127.0.0.1:8443:443/tcp -p 127.0.0.1::53/udp -p '[::1]:1:2' -p 90-91:190-191 "
        "-p 7000-7009:70 -p target=5,published=6,protocol=udp --expose 100-101 --expose 53/udp -P app"
    )
    assert [(p.host_ip, p.host_port, p.port, p.protocol) for p in container.published] == [
        ("", None, 80, "tcp"),
        ("", 8080, 81, "tcp"),
        ("127.0.0.1", 8443, 443, "tcp"),
        ("127.0.0.1", None, 53, "udp"),
        ("::1", 1, 2, "tcp"),
        ("", 90, 190, "tcp"),
        ("", 91, 191, "tcp"),
        ("", None, 70, "tcp"),
        ("", 6, 5, "udp"),
        ("", None, 100, "tcp"),
        ("", None, 101, "tcp"),
    ]
    assert container.exposed == (100, 101, 53)
    assert container.published[1] == Published("", 8080, 81, "tcp", at(18))
    with pytest.raises(LimitError, match="more than 70,000 ports"):
        read_command("docker run -p 1-65535 -p 1-65535 app")


def test_the_rest() -> None:
    container = one(
        "docker run --name n -h host --entrypoint /e --add-host a:10.0.0.1 --add-host b=[fd00::1] "
        "--add-host host.docker.internal:host-gateway --dns 10.0.0.53 --dns=8.8.8.8 --link db:d --link x "
        "-e A=b=c -e D -l k=v registry.example:5000/team/app:1@sha256:00 run"
    )
    assert (container.name, container.container_name, container.hostname) == ("n", "n", "host")
    assert [e.value for e in container.entrypoint or ()] == ["/e"]
    assert [(n, a.value) for n, a in container.extra_hosts] == [
        ("a", "10.0.0.1"),
        ("b", "fd00::1"),
        ("host.docker.internal", "host-gateway"),
    ]
    assert [d.value for d in container.dns] == ["10.0.0.53", "8.8.8.8"]
    assert [link.value for link in container.links] == ["db:d", "x"]
    assert [(k, v.value) for k, v in container.environment] == [("A", "b=c"), ("D", None)]
    assert container.labels == {"k": "v"}
    assert container.image is not None
    assert container.image.value == "registry.example:5000/team/app:1@sha256:00"
    assert one("docker run --entrypoint= app").entrypoint == ()
    assert [e.value for e in one("""podman run --entrypoint '["a","b"]' app""").entrypoint or ()] == ["a", "b"]


def test_podman_splits_at_commas_and_docker_does_not() -> None:
    podman, docker = (one(f"{e} run --dns 10.0.0.1,10.0.0.2 --device /dev/a,/dev/b app") for e in ("podman", "docker"))
    assert ([d.value for d in podman.dns], len(podman.confinement.devices)) == (["10.0.0.1", "10.0.0.2"], 2)
    assert ([d.value for d in docker.dns], len(docker.confinement.devices)) == (["10.0.0.1,10.0.0.2"], 1)


def test_names_are_the_images_and_unique() -> None:
    launch = read_command(
        "docker run a/b:1\ndocker run b\ndocker run --name b c\ndocker run $IMAGE\ndocker run --rootfs /x\n"
    )
    assert [c.name for c in launch.containers] == ["b", "b-2", "b-3", "container", "container-2"]
    assert [c.image.value if c.image else None for c in launch.containers] == ["a/b:1", "b", "c", "${IMAGE}", None]


# ---- what nobody knows


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("docker run $OPTIONS app", ["env.OPTIONS"]),
        ('docker run "$@" app', ["$@"]),
        ('docker run --rm "${ARGS[@]}" app', ["env.ARGS"]),
        ("docker run $(options) app", ["$(options)"]),
        ("docker run --network $NET app", ["env.NET"]),
        ("docker run -v $DIR:/x app", ["env.DIR"]),
        ('docker run -v "$DIR/y:/x" app', ["env.DIR"]),
        ("docker run -v /var/$DIR:/x app", ["env.DIR"]),
        ("docker run --mount type=bind,src=$DIR,dst=/x app", ["env.DIR"]),
        ("docker run --mount $MOUNT app", ["env.MOUNT"]),
        ("docker run --privileged=$P app", ["env.P"]),
        ("docker run --cap-add $C app", ["env.C"]),
        ("docker run --security-opt $S app", ["env.S"]),
        ("docker run --pid $P app", ["env.P"]),
        ("docker run --device $D app", ["env.D"]),
        ("docker run --runtime $R app", ["env.R"]),
        ("docker run -p $P app", ["env.P"]),
        ("docker run $ALL", ["env.ALL"]),
        # these decide nothing, or are known to be harmless whatever they hold
        ("docker run -v /home/$USER/x:/x app", []),
        ("docker run -v ./$DIR:/x app", []),
        ("docker run -e A=$B -e C=$D --name $N -h $H app $ARGS", []),
        ("docker run $IMAGE sh", []),
        ("docker run -p $P:80 app", []),
        ("docker run --cap-drop $C app", []),
        ("docker run -u $(id -u):$(id -g) app", []),
    ],
)
def test_what_the_text_does_not_say_is_missing_by_name(text: str, keys: list[str]) -> None:
    container = one(text)
    assert [m.key for m in container.missing] == keys
    assert all(isinstance(m.origin, Place) for m in container.missing)


def test_an_assumed_variable_is_known() -> None:
    launch = read_command("docker run $O --network $N app", options=ReadOptions({"O": "--privileged -it", "N": "none"}))
    [container] = launch.containers
    assert container.missing == ()
    assert container.network_mode.value == "none"
    assert container.confinement.privileged is not None


def test_an_unknown_value_is_no_value() -> None:
    container = one("docker run -e TOKEN=x$Y -e Z=1 app")
    assert [(k, v.value) for k, v in container.environment] == [("TOKEN", None), ("Z", "1")]


@pytest.mark.parametrize(
    ("text", "source", "keys"),
    [
        ("cd /etc\ndocker run -v $PWD:/x app", "/etc", []),
        ("cd /etc && docker run -v ./ssh:/x app", "/etc/ssh", []),
        ('cd "$(dirname "$0")"\ndocker run -v $(pwd)/a:/x app', "./a", []),
        ("cd\ndocker run -v $PWD/.ssh:/x app", "~/.ssh", []),
        ("cd /a/b; cd ../..\ndocker run -v .:/x app", "/", []),
        ("(cd /etc; ls)\ndocker run -v $PWD/a:/x app", "./a", []),
        ("X=$(cd /etc; pwd)\ndocker run -v $PWD/a:/x app", "./a", []),
        ("cd $X\ndocker run -v $PWD:/x app", "${PWD}", ["env.PWD"]),
        ("cd $X\ndocker run -v $(pwd)/y:/x app", "${PWD}/y", ["env.PWD"]),
        ("cd $X\ndocker run -v ./y:/x app", "./y", ["env.PWD"]),
        ("if x; then cd /; fi\ndocker run -v $PWD:/x app", "${PWD}", ["env.PWD"]),
        ("x || cd /\ndocker run -v $PWD:/x app", "${PWD}", ["env.PWD"]),
    ],
)
def test_a_path_is_below_where_the_command_is_run(text: str, source: str, keys: list[str]) -> None:
    container = one(text)
    assert [m.source for m in container.confinement.mounts] == [source]
    assert [m.key for m in container.missing] == keys


# ---- recognition


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("docker run app\n", True),
        ("#!/bin/sh\nset -e\nsudo docker run --rm app\n", True),
        ("podman container create app", True),
        ("$DOCKER run app", True),
        ("# docker run app\necho\n", False),
        ("docker build .\n", False),
        ("services:\n  a:\n    command: docker run app\n", False),
        ('{"a": "docker run app"}', False),
        ("- run: |\n    docker run app\n", False),
        ("", False),
        ("hello", False),
    ],
)
def test_recognition(text: str, said: bool) -> None:
    assert FORMAT.recognises(Input("x", text)) is said


WORDS = st.sampled_from(
    ["docker", "run", "create", "network", "connect", "disconnect", "volume", "container", "podman", "-v", "--mount", "-p", "-e",
     "--network", "--net=", "-itd", "--privileged", "--cap-add", "--", "$X", '"${A[@]}"', "a:b", "/a:/b:ro", "type=bind,src=/,dst=/x",
     "1-9:1-9", "name=a,alias=b", "container:x", "host", "none", "--internal", "--ip", "--pod", "--volumes-from", "app", "=",
     "-", "--x", "'", '"', "$(docker run y)", "\n", ";", "&&", "\\", "A=(", ")", ","]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(WORDS, max_size=40).map(" ".join) | st.lists(WORDS, max_size=12).map("".join) | st.text(max_size=100))
def test_hostile_text_ends_in_a_launch_or_an_error_with_a_place(text: str) -> None:
    given_ = Input("x.sh", text)
    FORMAT.recognises(given_)
    try:
        launch = read([given_], ReadOptions())
    except (ParseError, LimitError) as e:
        assert re.match(r"x\.sh:\d+:\d+: ", str(e))  # noqa: PT017 - either it is read, or the error says where not
    else:
        keys = {n.key for n in launch.networks}
        names = [c.name for c in launch.containers]
        assert len(set(names)) == len(names) > 0
        assert all(a.network in keys for c in launch.containers for a in c.attachments)
