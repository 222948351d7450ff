"""Ways out of a container itself: which mounts, devices and rights give the engine or the host away, and which do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.egress.assumptions import Assumed
from scanner.egress.takeover import Takeover, capabilities, engine_socket, holds, host_path, takeovers
from scanner.model.launch import Confinement, Mount, MountKind, Place, Said

HERE = Place("compose.yaml", 3)


def said(value: str) -> Said[str]:
    return Said(value, HERE)


def bind(source: str, *, read_only: bool = False) -> Mount:
    return Mount(MountKind.BIND, source, "/x", read_only, HERE)


def ways(assumed: dict[str, str] | None = None, platform: str = "docker", **rights: object) -> tuple[Takeover, ...]:
    confinement = Confinement(**rights)  # type: ignore[arg-type]
    return takeovers(confinement, platform, Assumed(assumed or {}), name="agent", object="container:agent")


def told(found: tuple[Takeover, ...]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(way.target, way.kind, tuple(m.key for m in way.missing)) for way in found]


SOCKET = ("engine", "engine-socket", ())
MOUNT = ("host", "host-mount", ())


@pytest.mark.parametrize(
    ("source", "whose"),
    [
        ("/var/run/docker.sock", "Docker"),
        ("/run/docker.sock", "Docker"),
        ("/private/var/run/docker.sock", "Docker"),
        ("/var/run/../run/docker.sock", "Docker"),
        ("//var/run/docker.sock", "Docker"),
        ("/run/user/1000/docker.sock", "Docker"),
        ("/home/u/.docker/run/docker.sock", "Docker"),
        ("/var/run/docker.sock.raw", "Docker"),
        ("/run/podman/podman.sock", "Podman"),
        ("/run/containerd/containerd.sock", "containerd"),
        ("/var/run/crio/crio.sock", "CRI-O"),
        ("/run/k3s/containerd/containerd.sock", "containerd"),
        ("/var/snap/lxd/common/lxd/unix.socket", "LXD or Incus"),
        ("/run/dbus/system_bus_socket", "systemd"),
        ("/run", "Docker"),
        ("/var/run/", "Docker"),
        ("/", "Docker"),
        ("/run/containerd", "containerd"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_sockets_and_folders_that_hold_them(source: str, whose: str, read_only: bool) -> None:
    """Read-only stops nobody from speaking to a socket (measured)."""
    assert engine_socket(bind(source, read_only=read_only)) == (whose, True, True)
    assert SOCKET in told(ways(mounts=(bind(source, read_only=read_only),)))


def test_a_builders_socket_gives_a_part() -> None:
    [way] = ways(mounts=(bind("/run/buildkit/buildkitd.sock"),))
    assert [p.hosts for p in way.permits] == [("BuildKit at /x",)]


def test_a_users_own_folder_may_hold_the_socket_of_a_rootless_engine() -> None:
    assert told(ways(mounts=(bind("/run/user/1000", read_only=True),))) == [
        ("engine", "engine-socket", ("host.escape",))
    ]


def test_the_engines_pipe_on_windows() -> None:
    pipe = Mount(MountKind.OTHER, r"\\.\pipe\docker_engine", r"\\.\pipe\docker_engine", False, HERE)
    assert told(ways(mounts=(pipe,))) == [SOCKET]


@pytest.mark.parametrize(
    "source",
    ["/srv/docker.sock.d", "/home/u/project", "/var/log", "/var/lib/docker/volumes/data/_data", "/tmp", "/opt/app", "./src", "data", ""],
)  # fmt: skip
def test_folders_that_give_nothing_away(source: str) -> None:
    assert ways(mounts=(bind(source),)) == ()


@pytest.mark.parametrize(
    "source",
    [
        *("/etc", "/etc/cron.d", "/etc/passwd", "/etc/ld.so.preload", "/etc/docker", "/root", "/root/.ssh", "/proc", "/proc/sys"),
        *("/sys", "/sys/kernel", "/usr", "/usr/bin", "/usr/local/bin", "/bin", "/lib", "/boot", "/var", "/var/lib", "/home"),
        *("/var/lib/docker", "/var/lib/docker/overlay2", "/var/lib/kubelet", "/var/spool/cron", "/dev", "/run/systemd/system"),
        "/etc/kubernetes/manifests",
    ],
)  # fmt: skip
def test_folders_whose_writing_takes_the_host(source: str) -> None:
    found = ways(mounts=(bind(source),))
    assert MOUNT in told(found)
    [way] = [w for w in found if w.kind == "host-mount"]
    assert (way.origin, way.actions[0].edit) == (
        HERE,
        {"op": "remove", "object": "container:agent", "field": "mounts", "index": 0},
    )
    assert told(ways(mounts=(bind(source, read_only=True),))) == []


@pytest.mark.parametrize(
    "source", ["/home/u", "/Users/u", "~", "~/.ssh", "${HOME}/.bashrc", "/home/u/.ssh", "/sys/fs/cgroup"]
)
def test_folders_whose_writing_may_take_the_host(source: str) -> None:
    assert told(ways(mounts=(bind(source),))) == [("host", "host-mount", ("host.escape",))]
    assert told(ways({"host.escape": "true"}, mounts=(bind(source),))) == [MOUNT]
    assert ways({"host.escape": "false"}, mounts=(bind(source),)) == ()


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        ({"privileged": Said(True, HERE)}, [("host", "privileged", ())]),
        ({"privileged": Said(False, HERE)}, []),
        ({}, []),
        ({"cap_add": (said("SYS_MODULE"),)}, [("host", "capability", ())]),
        ({"cap_add": (said("cap_sys_module"),)}, [("host", "capability", ())]),
        ({"cap_add": (said("DAC_READ_SEARCH"),)}, [("host", "capability", ())]),
        ({"cap_add": (said("NET_ADMIN"), said("SYS_NICE"))}, []),
        ({"cap_add": (said("SYS_ADMIN"),)}, [("host", "capability", ("host.escape",))]),
        ({"cap_add": (said("SYS_ADMIN"),), "apparmor": said("unconfined")}, [("host", "capability", ())]),
        ({"cap_add": (said("SYS_RAWIO"),)}, [("host", "capability", ("host.escape",))]),
        ({"cap_add": (said("SYS_PTRACE"),)}, []),
        ({"pid": said("host")}, []),
        ({"pid": said("host"), "cap_add": (said("SYS_PTRACE"),)}, [("host", "host-processes", ("host.escape",))]),
        (
            {"pid": said("host"), "cap_add": (said("SYS_PTRACE"),), "apparmor": said("unconfined")},
            [("host", "host-processes", ())],
        ),
        ({"cap_drop": (said("ALL"),), "cap_add": (said("SYS_MODULE"),)}, [("host", "capability", ())]),
        ({"userns": said("host")}, [("host", "userns", ("host.escape",))]),
        ({"devices": (said("/dev/sda"),)}, [("host", "device", ())]),
        ({"devices": (said("/dev/nvme0n1p1:/dev/x:rwm"),)}, [("host", "device", ())]),
        ({"devices": (said("/dev/sda:/dev/sda:r"),)}, [("host", "device", ("host.escape",))]),
        ({"devices": (said("/dev/mem"),)}, [("host", "device", ())]),
        ({"devices": (said("/dev:/dev"),)}, [("host", "device", ())]),
        ({"devices": (said("/dev/fuse"), said("/dev/kvm"), said("/dev/dri"), said("/dev/net/tun"))}, []),
        (
            {"devices": (said("/dev/net/tun"),), "cap_add": (said("NET_ADMIN"),)},
            [("host", "device", ("host.escape",))],
        ),
    ],
)
def test_rights(rights: dict[str, object], expected: list[tuple[str, str, tuple[str, ...]]]) -> None:
    for platform in ("docker", "kubernetes"):
        assert told(ways(platform=platform, **rights)) == expected


def test_all_capabilities_but_one() -> None:
    every = ways(cap_add=(said("ALL"),))
    assert {way.why.split()[0] for way in every} >= {"CAP_SYS_MODULE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"}
    less = ways(cap_add=(said("ALL"),), cap_drop=(said("SYS_MODULE"),))
    assert "CAP_SYS_MODULE" not in {way.why.split()[0] for way in less}


def test_capabilities_as_the_engine_decides_them() -> None:
    assert "NET_RAW" in capabilities(Confinement())
    assert "NET_ADMIN" not in capabilities(Confinement())
    assert capabilities(Confinement(cap_drop=(said("ALL"),))) == frozenset()
    assert capabilities(Confinement(cap_drop=(said("all"),), cap_add=(said("CHOWN"),))) == {"CHOWN"}
    assert "NET_RAW" not in capabilities(Confinement(cap_drop=(said("CAP_NET_RAW"),)))
    assert holds(capabilities(Confinement(privileged=Said(True, HERE))), "SYS_BOOT")


def test_who_is_not_root_needs_to_become_it() -> None:
    user = {"user": said("1000:1000")}
    assert told(ways(**user, privileged=Said(True, HERE))) == [("host", "privileged", ("root.agent",))]
    assert ways({"root.agent": "false"}, **user, privileged=Said(True, HERE)) == ()
    assert ways(**user, privileged=Said(True, HERE), no_new_privileges=Said(True, HERE)) == ()
    # a socket may be open to the user's group all the same
    held = {**user, "mounts": (bind("/var/run/docker.sock"),), "no_new_privileges": Said(True, HERE)}
    assert told(ways(**held)) == [("engine", "engine-socket", ("root.agent",))]
    for root in ("0", "root", "0:0", "", "root:docker"):
        assert told(ways(user=said(root), privileged=Said(True, HERE))) == [("host", "privileged", ())]


def test_a_runtime_with_a_kernel_of_its_own_may_hold() -> None:
    held = {"privileged": Said(True, HERE)}
    assert told(ways(**held, runtime=said("runsc"))) == [("host", "privileged", ("runtime.runsc",))]
    assert ways({"runtime.runsc": "isolates"}, **held, runtime=said("runsc")) == ()
    assert told(ways({"runtime.runsc": "shares"}, **held, runtime=said("runsc"))) == [("host", "privileged", ())]
    for runtime in ("runc", "io.containerd.runc.v2", "crun", "nvidia"):
        assert told(ways(**held, runtime=said(runtime))) == [("host", "privileged", ())]


def test_each_edit_removes_its_way() -> None:
    rights = {
        "privileged": Said(True, HERE),
        "mounts": (bind("/srv"), bind("/var/run/docker.sock")),
        "devices": (said("/dev/sda"),),
        "cap_add": (said("CHOWN"), said("SYS_MODULE")),
    }
    edits = {way.kind: [action.edit for action in way.actions] for way in ways(**rights)}
    assert edits == {
        "privileged": [{"op": "set", "object": "container:agent", "field": "privileged", "value": False}],
        "engine-socket": [{"op": "remove", "object": "container:agent", "field": "mounts", "index": 1}],
        "device": [{"op": "remove", "object": "container:agent", "field": "devices", "index": 0}],
        "capability": [{"op": "remove", "object": "container:agent", "field": "cap_add", "index": 1}],
    }
    doubled = ways(cap_add=(said("ALL"), said("SYS_MODULE")))
    assert [a.edit["value"] for way in doubled if "SYS_MODULE" in way.why for a in way.actions] == [[]]


@given(st.text(max_size=40), st.booleans(), st.sampled_from(list(MountKind)))
def test_no_mount_breaks_it(source: str, read_only: bool, kind: MountKind) -> None:
    ways(mounts=(Mount(kind, source, source, read_only, HERE),), devices=(said(source),), user=said(source))
    assert host_path(host_path(source)) == host_path(source)
