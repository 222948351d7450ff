"""What of a launch an observation gives, and what it withholds: one row for each thing that a launch may say."""

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.egress.assess import name_of, sandboxes_of
from scanner.launch.docker_run import read_command
from scanner.launch.plugin import ReadOptions
from scanner.launch.recognise import open_launch
from scanner.model.launch import (
    Confinement,
    Container,
    Default,
    Hosted,
    Launch,
    Missing,
    Mount,
    MountKind,
    Pod,
    PodContainer,
    Said,
)
from scanner.model.run import Withheld
from scanner.runtime.sinkhole.withheld import CAPABILITIES, GUEST_DEFAULT, MOUNTS, Settings, as_launched

HERE = Default("a test")


def run(line: str) -> tuple[Settings, dict[str, str]]:
    """How `docker run LINE` is observed."""
    launch = read_command(f"docker run {line}", name="line", options=ReadOptions({}, ()))
    [container] = launch.containers
    made, left = as_launched(container, launch)
    return made, {one.what: one.why for one in left}


def held(**confinement: Any) -> Settings:
    container = Container("a", "test", HERE, Said("none", HERE), confinement=Confinement(**confinement))
    return as_launched(container, Launch("test", (), "docker", (container,)))[0]


def test_a_plain_launch_has_the_engine_s_capabilities_but_raw_packets() -> None:
    made, left = run("image")
    assert made == Settings(image="image", capabilities=GUEST_DEFAULT)
    assert set(left) == {
        "ulimits, limits of CPU, memory and processes",
        "capability NET_RAW",
    }


@pytest.mark.parametrize(
    ("flags", "what", "why"),
    [
        ("--network host", "network host", "sinkhole"),
        ("--network container:other", "network container:other", "sinkhole"),
        ("--pid host", "pid namespace host", "of its own"),
        ("--ipc host", "ipc namespace host", "of its own"),
        ("--uts host", "uts namespace host", "of its own"),
        ("--userns host", "user namespace host", "of its own"),
        ("--cgroupns host", "cgroup namespace host", "of its own"),
        ("--privileged", "privileged", "stay within"),
        ("--privileged", "capability SYS_ADMIN", "leaves the container"),
        ("--cap-add SYS_PTRACE", "capability SYS_PTRACE", "alive beyond"),
        ("--cap-add cap_dac_read_search", "capability DAC_READ_SEARCH", "handles"),
        ("--cap-add SYS_MODULE", "capability SYS_MODULE", "kernel"),
        ("--cap-add ALL", "capability BPF", "kernel"),
        ("--cap-add NEW_IN_LINUX_9", "capability NEW_IN_LINUX_9", "not known"),
        ("--device /dev/kvm", "device /dev/kvm", "no device"),
        ("--gpus all", "GPUs all", "no device"),
        (
            "-v /var/run/docker.sock:/var/run/docker.sock",
            "host path /var/run/docker.sock at /var/run/docker.sock",
            "no file",
        ),
        ("-v /srv/work:/work", "host path /srv/work at /work", "empty directory"),
        ("-v /:/host", "host path / at /host", "empty directory"),
        ("-v cache:/cache", "volume cache at /cache", "empty volume"),
        ("--security-opt seccomp=unconfined", "seccomp unconfined", "sandscan's own"),
        ("--security-opt apparmor=unconfined", "AppArmor unconfined", "default profile"),
        ("--sysctl net.ipv4.ip_forward=1", "sysctl net.ipv4.ip_forward=1", "its own"),
        ("-p 8080:80", "published port 8080:80/tcp", "outside"),
        ("--runtime runsc", "runtime runsc", "engine's default"),
        ("-e TOKEN", "environment TOKEN", "whoever launches"),
        ("--add-host db:nowhere", "host db=nowhere", "no name with an address"),
    ],
)
def test_what_is_withheld_is_named_with_its_reason(flags: str, what: str, why: str) -> None:
    _, left = run(f"{flags} image")
    assert why in left[what]


def test_a_security_option_is_named_as_it_was_written() -> None:
    container = Container(
        "a", "test", HERE, Said("none", HERE), confinement=Confinement(security_opts=(Said("label=disable", HERE),))
    )
    _, left = as_launched(container, Launch("test", (), "docker", (container,)))
    assert Withheld("security option label=disable", "the engine's default holds") in left


def test_what_is_given_is_what_the_launch_says() -> None:
    made, _ = run(
        "--user 1000:1000 -e KEY=secret --hostname box --add-host db:10.0.0.7 --add-host up:host-gateway --tmpfs /scratch "
        "-v /anonymous -v /srv/ro:/ro:ro --cap-add NET_ADMIN --cap-add NET_RAW --cap-drop CHOWN "
        "--read-only --workdir /srv --security-opt no-new-privileges --entrypoint /go image run --fast"
    )
    assert made.user == "1000:1000"
    assert made.environment == (("KEY", "secret"),)
    assert made.hostname == "box"
    assert made.hosts == (("db", "10.0.0.7"), ("up", "172.17.0.1"))
    assert dict(made.tmpfs) == {"/scratch": False, "/ro": True}
    assert made.volumes == ("/anonymous",)
    assert made.capabilities == (GUEST_DEFAULT | {"NET_ADMIN", "NET_RAW"}) - {"CHOWN"}
    assert (made.no_new_privileges, made.read_only, made.working_dir) == (True, True, "/srv")
    assert (made.entrypoint, made.command) == (("/go",), ("run", "--fast"))


def test_the_text_of_a_shell_that_is_the_command_is_not_withheld() -> None:
    made, left = run("image sh -c 'echo hello'")
    assert made.command == ("sh", "-c", "echo hello")
    assert [what for what in left if "command" in what] == []


@pytest.mark.parametrize(
    ("confinement", "expected"),
    [
        ({"cap_drop": (Said("ALL", HERE),)}, frozenset()),
        ({"cap_drop": (Said("ALL", HERE),), "cap_add": (Said("NET_RAW", HERE),)}, {"NET_RAW"}),
        ({"cap_add": (Said("ALL", HERE),), "cap_drop": (Said("NET_RAW", HERE),)}, None),
        ({"privileged": Said(True, HERE)}, None),
    ],
)
def test_capabilities_as_the_engine_counts_them(confinement: dict[str, Any], expected: set[str] | None) -> None:
    found = held(**confinement).capabilities
    if expected is not None:
        assert found == expected
        return
    assert {"NET_ADMIN", *GUEST_DEFAULT} <= found
    assert ("NET_RAW" in found) is ("privileged" in confinement)
    assert not found & {"SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "BPF", "SYS_RESOURCE", "SYS_NICE", "LINUX_IMMUTABLE"}


@pytest.mark.parametrize(
    "target", ["/", "/proc", "/proc/sys", "/sys/fs/cgroup", "/dev", "/dev/../proc", "//sys", "/a/../.."]
)
def test_nothing_is_mounted_over_what_the_engine_mounts(target: str) -> None:
    found = held(
        mounts=(Mount(MountKind.BIND, "/x", target, False, HERE), Mount(MountKind.TMPFS, "", target, False, HERE))
    )
    assert (found.tmpfs, found.volumes) == ((), ())
    assert held(mounts=(Mount(MountKind.TMPFS, "", "/dev/shm", False, HERE),)).tmpfs == (("/dev/shm", False),)


def test_mounts_are_bounded() -> None:
    found = held(mounts=tuple(Mount(MountKind.VOLUME, "", f"/v{i}", False, HERE) for i in range(500)))
    assert len(found.volumes) == MOUNTS


def test_names_of_the_launch_s_other_containers_keep_their_addresses(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(
        "services:\n"
        "  agent: {image: a, networks: [n]}\n"
        "  db: {image: b, container_name: Base, networks: {n: {ipv4_address: 10.9.0.5, aliases: [sql]}}}\n"
        "  web: {image: c, networks: [n]}\n"
        "networks: {n: {ipam: {config: [{subnet: 10.9.0.0/16}]}}}\n"
    )
    launch = open_launch([str(file)], ReadOptions({}, ()))
    agent = launch.container("agent")
    assert agent is not None
    made, _ = as_launched(agent, launch)
    assert made.names == {"db": ("10.9.0.5",), "base": ("10.9.0.5",), "sql": ("10.9.0.5",)}


def test_a_pod_s_main_container_is_observed() -> None:
    confinement = Confinement(cap_add=(Said("SYS_ADMIN", HERE),), user=Said("7", HERE))
    pod = Pod(
        "job",
        "ns",
        "Job",
        HERE,
        containers=(
            PodContainer("setup", None, Confinement(), init=True),
            PodContainer(
                "main", Said("image:1", HERE), confinement, host_ports=(Said(80, HERE),), command=(Said("go", HERE),)
            ),
            PodContainer("side", None, Confinement()),
        ),
        host_network=Said(True, HERE),
        host_aliases=(("db", Said("10.0.0.1", HERE)),),
    )
    made, left = as_launched(pod, Launch("kubernetes", (), "kubernetes"))
    assert (made.image, made.user, made.command, made.hosts) == ("image:1", "7", ("go",), (("db", "10.0.0.1"),))
    assert {one.what for one in left} >= {
        "network host",
        "service account's token",
        "container setup",
        "container side",
        "host port 80",
        "capability SYS_ADMIN",
    }


def test_a_hosted_sandbox_has_its_environment_and_open_questions() -> None:
    hosted = Hosted(
        "box",
        "e2b",
        HERE,
        Said(True, HERE),
        environment=(("A", Said("1", HERE)),),
        missing=(Missing("env.B", "the template's name"),),
    )
    made, left = as_launched(hosted, Launch("e2b", (), "e2b"))
    assert made.environment == (("A", "1"),)
    assert Withheld("env.B", "the launch leaves it open: the template's name") in left


_TEXT = st.text(alphabet=string.printable + "\0\x1bé\udc80", max_size=12)
_SAID = _TEXT.map(lambda t: Said(t, HERE))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(list(MountKind)), _TEXT, _TEXT), max_size=6),
    st.lists(
        st.one_of(st.sampled_from(sorted(CAPABILITIES | {"ALL", "CAP_SYS_ADMIN"})).map(lambda t: Said(t, HERE)), _SAID),
        max_size=4,
    ),
    st.lists(st.tuples(_TEXT, _SAID), max_size=4),
    _TEXT,
)
def test_hostile_values_never_become_rights(
    mounts: list[tuple[MountKind, str, str]], added: list[Said[str]], pairs: list[tuple[str, Said[str]]], name: str
) -> None:
    container = Container(
        name,
        "test",
        HERE,
        Said(name, HERE),
        hostname=name,
        environment=tuple(pairs),  # type: ignore[arg-type]
        extra_hosts=tuple(pairs),
        confinement=Confinement(
            cap_add=tuple(added),
            privileged=Said(bool(len(added) % 2), HERE),
            mounts=tuple(Mount(kind, source, target, False, HERE) for kind, source, target in mounts),
            pid=Said(name, HERE),
        ),
    )
    launch = Launch("test", (), "docker", (container,))
    made, left = as_launched(container, launch)
    assert made.capabilities <= CAPABILITIES - {
        "SYS_ADMIN",
        "SYS_PTRACE",
        "SYS_MODULE",
        "DAC_READ_SEARCH",
        "BPF",
        "SYS_RAWIO",
    }
    for path in (*(path for path, _ in made.tmpfs), *made.volumes):
        assert path.startswith("/")
        assert path != "/"
        assert not path.startswith(("/proc", "/sys"))
        assert "\0" not in path
    for key, value in made.environment:
        assert "=" not in key
        assert "\0" not in key + value
    for host, address in made.hosts:
        assert not set(host + address) & set(" \n\t:#") - ({":"} if ":" in address else set())
    assert all(one.what.isprintable() and one.why.isprintable() for one in left)
    assert [name_of(s) for s in sandboxes_of(launch)] == [name]
