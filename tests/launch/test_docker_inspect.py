"""What docker inspect tells, as two engines told it: 20.10.24 and 29.8.1 of the same containers (tests/launch/data)."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import LimitError, ParseError
from scanner.launch.docker_inspect import FORMAT, networks_alone, read
from scanner.launch.plugin import Input, ReadOptions
from scanner.model import Launch
from scanner.model.launch import Confinement, Container, Default, MountKind, Place

DATA = Path(__file__).parent / "data"
ENGINES = ("20.10", "29")


def told(engine: str, *what: str) -> list[Input]:
    paths = [DATA / f"inspect-{engine}-{one}.json" for one in what or ("containers", "networks")]
    return [Input(path.name, path.read_text(), path) for path in paths]


def launch_of(*objects: dict[str, Any]) -> Launch:
    return read([Input("x.json", json.dumps(objects))], ReadOptions())


def container(**host: Any) -> dict[str, Any]:
    """The least that is a container."""
    extra = {
        key: host.pop(key) for key in ("NetworkSettings", "Mounts", "State", "Config", "Name", "Id") if key in host
    }
    return {"Id": "c" * 64, "Name": "/a", "Config": {"Image": "app"}, "HostConfig": host, **extra}


def only(launch: Launch) -> Container:
    [found] = launch.containers
    return found


@pytest.fixture(params=ENGINES)
def both(request: pytest.FixtureRequest) -> Launch:
    """The containers with their networks, from each engine."""
    return read(told(request.param), ReadOptions())


def the(launch: Launch, name: str) -> Container:
    found = launch.container(name)
    assert found is not None
    return found


def test_both_engines_are_recognised() -> None:
    for engine in ENGINES:
        assert [FORMAT.recognises(one) for one in told(engine)] == [True, True]


def test_networks_of_each_container(both: Launch) -> None:
    assert {c.name: (c.network_mode.value, [a.network for a in c.attachments]) for c in both.containers} == {
        "agent": ("networks", ["inner", "outer"]),
        "web": ("bridge", ["bridge"]),
        "side": ("container:agent", []),
        "peer": ("networks", ["inner"]),
        "linked": ("bridge", ["bridge"]),
        "off": ("none", []),
        "created": ("networks", ["outer"]),
        "hosted": ("host", []),
        "none": ("none", []),
    }
    inner, outer = the(both, "agent").attachments
    assert "box" in inner.aliases
    assert (inner.ipv4, outer.ipv4, outer.ipv6) == ("10.9.0.5", "10.8.0.2", "fd00:9::2")


def test_networks_as_they_were_made(both: Launch) -> None:
    networks = {n.key: n for n in both.networks}
    assert {
        k: (n.driver.value, n.internal.value, n.external, n.ipv6 and n.ipv6.value) for k, n in networks.items()
    } == {
        "inner": ("bridge", True, False, False),
        "outer": ("bridge", False, False, True),
        "bridge": ("bridge", False, False, False),
    }
    icc = networks["inner"].option("com.docker.network.bridge.enable_icc")
    assert icc is not None
    assert icc.value == "false"
    assert networks["inner"].subnets == ("10.9.0.0/24",)
    assert set(networks["outer"].subnets) == {"10.8.0.0/24", "fd00:9::/64"}
    assert isinstance(networks["inner"].internal.origin, Place)


def test_the_newer_engine_tells_more() -> None:
    launch = read(told("29"), ReadOptions())
    assert [a.gw_priority for a in the(launch, "agent").attachments] == [0, 7]
    ipv4 = launch.networks[0].ipv4
    assert ipv4 is not None
    assert ipv4.value is True
    assert ("", 32768, 81, "tcp") in [
        (p.host_ip, p.host_port, p.port, p.protocol) for p in the(launch, "web").published
    ]


def test_what_the_container_was_given(both: Launch) -> None:
    agent = the(both, "agent")
    found = agent.confinement
    assert found.user is not None
    assert found.user.value == "1000"
    assert [c.value for c in found.cap_add] == ["NET_ADMIN"]
    assert [c.value for c in found.cap_drop] == ["CHOWN"]
    for said, value in (
        (found.privileged, False),
        (found.seccomp, "unconfined"),
        (found.no_new_privileges, True),
        (found.pid, "host"),
        (found.ipc, "private"),
        (found.runtime, "runc"),
        (found.apparmor, "unconfined"),  # neither machine had AppArmor
    ):
        assert said is not None
        assert said.value == value
    assert [d.value for d in found.devices] == ["/dev/null:/dev/x:rw"]
    assert [(k, v.value) for k, v in found.sysctls] == [("net.ipv4.ip_forward", "1")]
    assert agent.image is not None
    assert (agent.image.value, [c.value for c in agent.command or ()], agent.exposed) == ("app:1", ["/sleepy"], (9000,))
    assert ("HTTP_PROXY", "http://p:1") in [(k, v.value) for k, v in agent.environment]
    assert [(n, a.value) for n, a in agent.extra_hosts] == [("host.docker.internal", "host-gateway")]
    assert [d.value for d in agent.dns] == ["192.0.2.53"]
    assert agent.labels == {"a": "b"}
    assert [link.value for link in the(both, "linked").links] == ["web:w"]
    privileged = the(both, "web").confinement.privileged
    assert privileged is not None
    assert privileged.value is True
    published = [(p.host_ip, p.host_port, p.port, p.protocol) for p in the(both, "web").published]
    assert {("127.0.0.1", 8080, 80, "tcp"), ("", 53, 53, "udp")} <= set(published)


def test_mounts_and_a_volume_in_disguise(both: Launch) -> None:
    mounts = {m.target: (m.kind, m.source, m.read_only) for m in the(both, "agent").confinement.mounts}
    anonymous = mounts.pop("/anon")
    assert anonymous[0] is MountKind.VOLUME
    assert mounts == {
        "/e": (MountKind.BIND, "/etc", True),
        "/d": (MountKind.VOLUME, "data", False),
        "/hostrun": (MountKind.BIND, "/var/run", False),
        "/t": (MountKind.TMPFS, "", False),
        "/t2": (MountKind.TMPFS, "", False),
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_that_is_not_told_of_is_external(engine: str) -> None:
    launch = read(told(engine, "containers"), ReadOptions())
    assert {n.key: n.external for n in launch.networks} == {"inner": True, "outer": True, "bridge": False}
    assert {m.kind for m in the(launch, "agent").confinement.mounts if m.target == "/e"} == {MountKind.VOLUME}


@pytest.mark.parametrize("engine", ENGINES)
def test_networks_alone_are_networks_and_no_launch(engine: str) -> None:
    assert [n.key for n in networks_alone(told(engine, "networks")) or ()] == ["inner", "outer", "bridge"]
    assert networks_alone(told(engine)) is None
    with pytest.raises(ParseError, match=r"networks\.json:1:1: docker inspect of networks alone"):
        read(told(engine, "networks"), ReadOptions())


def test_every_value_has_its_line(both: Launch) -> None:
    agent = the(both, "agent")
    text = (DATA / Path(agent.network_mode.origin.file)).read_text().split("\n")  # type: ignore[union-attr]
    for said, shown in (
        (agent.confinement.cap_add[0], '"CAP_NET_ADMIN"'),
        (agent.confinement.pid, '"PidMode": "host"'),
        (agent.image, '"Image": "app:1"'),
    ):
        assert said is not None
        assert isinstance(said.origin, Place)
        assert shown in text[said.origin.line - 1]


# ---- other shapes


@pytest.mark.parametrize(
    ("told", "mode", "networks"),
    [
        ({"NetworkMode": "default"}, "bridge", ["bridge"]),
        ({}, "bridge", ["bridge"]),
        ({"NetworkMode": "host", "NetworkSettings": {"Networks": {"host": {}}}}, "host", []),
        ({"NetworkMode": "none", "NetworkSettings": {"Networks": {"none": {}}}}, "none", []),
        ({"NetworkMode": "mine"}, "networks", ["mine"]),
        ({"NetworkMode": "mine", "NetworkSettings": {"Networks": {}}}, "networks", ["mine"]),
        ({"NetworkMode": "mine", "NetworkSettings": {"Networks": {}}, "State": {"Running": True}}, "none", []),
        ({"NetworkMode": "container:" + "d" * 64}, "container:" + "d" * 64, []),
        (
            {"NetworkMode": "bridge", "NetworkSettings": {"Networks": {"bridge": {}, "x": {}}}},
            "networks",
            ["bridge", "x"],
        ),
        ({"NetworkMode": "slirp4netns"}, "bridge", ["bridge"]),
        (
            {"NetworkMode": "pasta", "NetworkSettings": {"Networks": {}}, "State": {"Running": True}},
            "bridge",
            ["bridge"],
        ),
        ({"NetworkMode": "ns:/run/netns/x"}, "networks", ["ns:/run/netns/x"]),
        ({"NetworkMode": "bridge", "NetworkSettings": {"Networks": {"podman": {}}}}, "networks", ["podman"]),
    ],
)
def test_network_modes(told: dict[str, Any], mode: str, networks: list[str]) -> None:
    found = only(launch_of(container(**told)))
    assert (found.network_mode.value, [a.network for a in found.attachments]) == (mode, networks)


def test_a_network_is_found_by_its_id() -> None:
    network = {
        "Name": "mine",
        "Id": "9" * 64,
        "Driver": "macvlan",
        "IPAM": {"Config": None},
        "Options": {"parent": "eth0"},
    }
    launch = launch_of(
        network, container(NetworkMode="9" * 64, NetworkSettings={"Networks": {"other": {"NetworkID": "9" * 64}}})
    )
    assert only(launch).attachments[0].network == "mine"
    [found] = launch.networks
    assert (found.driver.value, found.internal.value, found.internal.origin) == ("macvlan", False, Default("docker"))


def test_the_networks_that_are_modes_are_none() -> None:
    modes = [{"Name": n, "Id": n, "Driver": d, "IPAM": {}} for n, d in (("host", "host"), ("none", "null"))]
    assert launch_of(*modes, container(NetworkMode="host")).networks == ()


def test_podmans_network_and_default() -> None:
    mine = {"name": "mine", "id": "1", "driver": "bridge", "network_interface": "podman1", "internal": True,
            "subnets": [{"subnet": "10.89.0.0/24", "gateway": "10.89.0.1"}], "ipv6_enabled": False}  # fmt: skip
    launch = launch_of(mine, container(NetworkSettings={"Networks": {"mine": {}, "podman": {}}}))
    assert [(n.key, n.internal.value, n.external, n.subnets) for n in launch.networks] == [
        ("mine", True, False, ("10.89.0.0/24",)),
        ("podman", False, False, ()),
    ]


def confined(**host: Any) -> Confinement:
    return only(launch_of(container(**host))).confinement


def test_gpus() -> None:
    requests = [{"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]]}]
    for host, said in (
        ({"DeviceRequests": requests}, "all"),
        ({"DeviceRequests": [{**requests[0], "Count": 2}]}, "2"),
        ({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]}, "nvidia.com/gpu=0"),
    ):
        found = confined(**host).gpus
        assert found is not None
        assert found.value == said
    assert confined(DeviceRequests=[{"Driver": "cdi", "DeviceIDs": ["x.com/nic=0"]}]).gpus is None
    assert confined(DeviceRequests=None).gpus is None


def test_a_profile_of_its_own_is_no_default() -> None:
    found = confined(SecurityOpt=['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}', "apparmor=mine", "label=disable"])
    assert found.seccomp is not None
    assert found.seccomp.value == "a profile of its own"
    assert found.apparmor is not None
    assert found.apparmor.value == "mine"
    assert confined(SecurityOpt=["seccomp=builtin"]).seccomp is None


def test_binds_where_no_mounts_are_told() -> None:
    found = confined(Binds=["/a:/b:ro", "data:/c"], Tmpfs={"/t": ""})
    assert [(m.kind, m.source, m.target, m.read_only) for m in found.mounts] == [
        (MountKind.BIND, "/a", "/b", True),
        (MountKind.VOLUME, "data", "/c", False),
        (MountKind.TMPFS, "", "/t", False),
    ]


def test_the_same_container_twice_is_one_and_another_of_its_name_another() -> None:
    same, other = container(), container(Id="e" * 64)
    assert [c.name for c in launch_of(same, same, other).containers] == ["a", "a-2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"HostConfig": {}, "Config": {}},\n {"HostConfig": ]', r"x:2:17: no JSON"),
        ('[{"HostConfig": {}, "Config": {}}, {"RootFS": {}}]', r"x:1:36: this is no container, network or volume"),
    ],
)
def test_what_is_broken_or_of_another_kind_is_an_error_with_its_place(text: str, message: str) -> None:
    assert FORMAT.recognises(Input("x", text))
    with pytest.raises(ParseError, match=f"^{message}"):
        read([Input("x", text)], ReadOptions())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '[{"RootFS": {}}]', "services: {}", '{"HostConfig": 1}', '"HostConfig"', "\0"]
)
def test_other_texts_are_not_recognised(text: str) -> None:
    assert not FORMAT.recognises(Input("x", text))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 70000)
    | st.sampled_from(["", "host", "container:a", "80/tcp", "a:b:c", "x"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Name", "Networks", "Ports", "80/tcp", "HostPort", "x", "Source", "Type"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    "NetworkMode PortBindings Binds Devices DeviceRequests SecurityOpt CapAdd Sysctls Tmpfs ExtraHosts Links Dns PidMode Runtime "
    "Privileged NetworkSettings Mounts State Config Name Id".split()
)  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=6), min_size=1, max_size=3))
def test_any_value_in_any_place_is_read_or_refused(objects: list[dict[str, Any]]) -> None:
    text = json.dumps([container(**one) for one in objects], indent=1)
    try:
        launch = read([Input("x", text)], ReadOptions())
    except ParseError as e:
        assert str(e).startswith("x:")  # noqa: PT017 - either it is read, or the error says where not
    else:
        keys = {n.key for n in launch.networks}
        assert all(a.network in keys for c in launch.containers for a in c.attachments)


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60), st.integers(0, 400))
def test_hostile_text_ends_in_an_error_with_a_place(noise: str, at: int) -> None:
    text = json.dumps([container()])
    given_ = Input("x", text[:at] + noise + text[at:])
    FORMAT.recognises(given_)
    try:
        read([given_], ReadOptions())
    except (ParseError, LimitError) as e:
        assert str(e).startswith("x:")  # noqa: PT017
