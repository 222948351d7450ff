"""One Compose file: what it starts, where each value was said, what stays unknown, what is refused."""

from pathlib import Path
from textwrap import dedent

import pytest

from scanner.errors import LimitError, ParseError
from scanner.launch.compose import FORMAT
from scanner.launch.plugin import Input, ReadOptions
from scanner.model.launch import Container, Default, Launch, Mount, MountKind, Place, Published, Said


def compose(text: str, **environment: str) -> Launch:
    given = Input("compose.yaml", dedent(text))
    assert FORMAT.recognises(given)
    return FORMAT.read([given], ReadOptions(environment))


def service(body: str, rest: str = "", **environment: str) -> Container:
    """The one service `a`, its keys given."""
    lines = "\n".join(f"    {line}" for line in dedent(body).strip().splitlines())
    launch = compose(f"services:\n  a:\n    image: x\n{lines}\n{dedent(rest)}", **environment)
    [container] = launch.containers
    return container


def place(line: int, column: int) -> Place:
    return Place("compose.yaml", line, column)


def keys(container: Container) -> list[str]:
    return [one.key for one in container.missing]


# ---- networks


def test_a_service_that_says_nothing_is_on_the_default_network() -> None:
    launch = compose("services: {a: {image: alpine}}")
    [a], [network] = launch.containers, launch.networks
    assert a.network_mode == Said("networks", Default("compose"))
    assert [(x.network, x.origin) for x in a.attachments] == [("default", Default("compose"))]
    assert (network.key, network.internal) == ("default", Said(False, Default("compose")))
    assert network.driver == Said("bridge", Default("docker"))
    assert a.origin == place(1, 12)
    assert a.image == Said("alpine", place(1, 23))


def test_an_empty_list_of_networks_is_the_default_one() -> None:
    a = service("networks: []")
    assert [x.network for x in a.attachments] == ["default"]


@pytest.mark.parametrize(
    ("said", "internal"),
    [
        ("true", True),
        ("yes", True),
        ('"true"', True),
        ("On", True),
        ("false", False),
        ('"false"', False),
        ("no", False),
    ],
)
def test_internal_is_read_as_compose_casts_it(said: str, internal: bool) -> None:
    launch = compose(f"services: {{a: {{image: x, networks: [n]}}}}\nnetworks:\n  n:\n    internal: {said}\n")
    assert launch.networks[0].internal == Said(internal, place(4, 15))


def test_the_default_network_can_be_customised() -> None:
    launch = compose("services: {a: {image: x}}\nnetworks:\n  default:\n    internal: true\n    name: mine\n")
    [network] = launch.networks
    assert (network.internal, network.name, network.origin) == (Said(True, place(4, 15)), "mine", place(3, 3))


@pytest.mark.parametrize(
    ("mode", "read", "networks"),
    [
        ("none", "none", []),
        ("host", "host", []),
        ("bridge", "bridge", ["bridge"]),
        ("default", "bridge", ["bridge"]),
        ("container:other", "container:other", []),
        ("service:b", "container:b", []),
        ("container:named", "container:b", []),
        ("elsewhere", "networks", ["elsewhere"]),
    ],
)
def test_network_modes(mode: str, read: str, networks: list[str]) -> None:
    launch = compose(
        f"""\
        services:
          a: {{image: x, network_mode: '{mode}'}}
          b: {{image: y, container_name: named, network_mode: none}}
        """
    )
    a = launch.containers[0]
    assert a.network_mode == Said(read, place(2, 31))
    assert [x.network for x in a.attachments] == networks
    assert [n.key for n in launch.networks] == networks
    assert all(n.external == (n.key == "elsewhere") for n in launch.networks)


def test_an_empty_network_mode_is_no_network_where_the_project_has_none() -> None:
    assert service("network_mode: ${MODE}", MODE="").network_mode.value == "none"


def test_an_empty_network_mode_is_the_default_network_where_another_service_uses_it() -> None:
    launch = compose("services:\n  a: {image: x, network_mode: ''}\n  b: {image: y}\n")
    assert [x.network for x in launch.containers[0].attachments] == ["default"]


def test_an_empty_network_mode_is_the_engines_bridge_beside_other_networks() -> None:
    launch = compose("services:\n  a: {image: x, network_mode: ''}\n  b: {image: y, networks: [n]}\nnetworks: {n: }\n")
    a = launch.containers[0]
    assert (a.network_mode.value, [x.network for x in a.attachments]) == ("bridge", ["bridge"])


def test_what_a_service_says_of_its_networks_is_kept() -> None:
    a = service(
        """
        networks:
          lan:
            aliases: [one, two]
            ipv4_address: 10.0.0.7
            ipv6_address: fd00::7
            gw_priority: 5
          out: null
        """,
        "networks: {lan: , out: }",
    )
    lan, out = a.attachments
    assert (lan.network, lan.aliases, lan.ipv4, lan.ipv6, lan.gw_priority) == (
        "lan",
        ("one", "two"),
        "10.0.0.7",
        "fd00::7",
        5,
    )
    assert (out.network, out.origin) == ("out", place(10, 7))


def test_options_subnets_and_ipv6_of_a_network() -> None:
    launch = compose(
        """\
        services: {a: {image: x, networks: [n]}}
        networks:
          n:
            driver: macvlan
            enable_ipv6: true
            enable_ipv4: "false"
            driver_opts: {parent: eth0, n: 1}
            ipam: {config: [{subnet: 10.0.0.0/24, gateway: 10.0.0.1}, {subnet: 'fd00::/64'}]}
          unused: {internal: true}
        """
    )
    [network] = launch.networks
    assert network.driver == Said("macvlan", place(4, 13))
    assert network.option("parent") == Said("eth0", place(7, 27))
    assert network.option("n") == Said("1", place(7, 36))
    assert (network.ipv6, network.ipv4) == (Said(True, place(5, 18)), Said(False, place(6, 18)))
    assert (network.subnets, network.gateways) == (("10.0.0.0/24", "fd00::/64"), ("10.0.0.1",))


@pytest.mark.parametrize(
    ("said", "name"),
    [("{external: true}", "n"), ("{external: 'yes', name: far}", "far"), ("{external: {name: far}}", "far")],
)
def test_an_external_network_is_made_elsewhere(said: str, name: str) -> None:
    launch = compose(f"services: {{a: {{image: x, networks: [n]}}}}\nnetworks:\n  n: {said}\n")
    assert [(n.key, n.external, n.name) for n in launch.networks] == [("n", True, name)]


# ---- what is refused


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "services:\n  a:\n    image: x\n    network_mode: none\n    networks: [n]\nnetworks: {n: }\n",
            "compose.yaml:4:19: the service a has both network_mode and networks; Compose takes one of them",
        ),
        (
            "services:\n  a: {image: x, networks: [m]}\nnetworks: {n: }\n",
            "compose.yaml:2:28: the project defines no network m; it has n",
        ),
        (
            "services: {a: {image: x, networks: [n]}}\nnetworks:\n  n: {external: true, name: host}\n",
            "compose.yaml:3:29: the network n is the engine's host, which no service can join as a network",
        ),
        (
            "services:\n  a:\n    image: x\n    privilegd: true\n",
            "compose.yaml:4:5: Compose knows no key privilegd in services.a; did you mean privileged?",
        ),
        (
            "services: {a: {image: x, networks: [n]}}\nnetworks:\n  n:\n    intern: true\n",
            "compose.yaml:4:5: Compose knows no key intern in networks.n; did you mean internal?",
        ),
        (
            "services: {a: {image: x}}\nnetwork: {}\n",
            "compose.yaml:2:1: Compose knows no key network here; did you mean networks?",
        ),
        (
            "services: {a: {image: x, networks: [n]}}\nnetworks:\n  n: {internal: maybe}\n",
            "compose.yaml:3:17: internal is 'maybe', which is neither true nor false",
        ),
        ("services: {a: {image: x, privileged: 1}}", "compose.yaml:1:38: privileged is '1', which is neither true nor false"),
        ("services:\n  a: {command: x}\n", "compose.yaml:2:3: the service a has neither an image nor a build context"),
        ("services: {a: {image: x, ports: {80: 80}}}", "compose.yaml:1:26: services.a.ports must be a list, not a mapping"),
        ("services: {a: {image: x, ports: ['80:x']}}", "compose.yaml:1:34: x is no port or range of ports"),
        ("services: {a: {image: x, ports: ['1-3:1-2']}}", "compose.yaml:1:34: the port ranges of 1-3:1-2 differ in length"),
        ("services: {a: {image: x, volumes: [vol:/v]}}", "compose.yaml:1:36: the project defines no volume vol, which the service a mounts"),
        ("services: {a: {image: x, volumes: ['/a:/b:ro:x']}}", "compose.yaml:1:36: the volume /a:/b:ro:x has too many colons"),
        ("services: {a: {image: x, secrets: [s]}}", "compose.yaml:1:36: the project defines no secret s, which the service a uses"),
        ("services: {a: {image: x, hostname: $(id)}}", "compose.yaml:1:36: a $ begins no variable here; a plain one is written $$"),
        ("services: {a: {image: '${X'}}", "compose.yaml:1:23: ${ has no closing brace; a plain $ is written $$"),
        ("services: {a: {image: x, depends_on: [b]}}", "compose.yaml:1:39: the service a needs the service b, which does not exist"),
        (
            "services:\n  a: {image: x, network_mode: 'service:b'}\n  b: {image: x, network_mode: 'service:a'}\n",
            "compose.yaml:3:3: services wait for each other: a → b → a",
        ),
        (
            "services:\n  a: {extends: b}\n  b: {extends: {service: a}}\n",
            "compose.yaml:2:16: the service extends itself: a → b → a",
        ),
        ("services:\n  a: {extends: nobody}\n", "compose.yaml:2:16: there is no service nobody to extend"),
        ("services: {a: {image: x}\n", "compose.yaml:2:1: no YAML: did not find expected ',' or '}'"),
        ("services:\n\ta: {image: x}\n", "compose.yaml:2:1: no YAML: a tab stands where YAML takes spaces alone"),
        ("web:\n  image: x\ndb:\n  image: y\n", None),
    ],
)  # fmt: skip
def test_what_compose_refuses_is_an_error_with_its_place(text: str, error: str | None) -> None:
    with pytest.raises(ParseError) as raised:
        FORMAT.read([Input("compose.yaml", text)], ReadOptions())
    if error is None:
        assert str(raised.value).startswith("compose.yaml:1:1: this is a Compose file of the first version")
    else:
        assert str(raised.value) == error


# ---- unset variables


def test_an_unset_variable_decides_nothing() -> None:
    launch = compose(
        """\
        services:
          a:
            image: x
            network_mode: ${MODE}
            privileged: ${FLAG}
            cap_add: ["${CAP}", NET_ADMIN]
            volumes: ["${DATA}:/data", "${SURE:?it must be set}/x:/y:ro"]
            pid: $PID
            security_opt: ["seccomp=${PROFILE}"]
        """
    )
    [a] = launch.containers
    assert a.network_mode.value == "${MODE}"
    assert a.attachments == ()
    assert a.confinement.privileged is None
    assert a.confinement.seccomp is None
    assert [c.value for c in a.confinement.cap_add] == ["NET_ADMIN"]
    assert sorted(keys(a)) == ["env.CAP", "env.DATA", "env.FLAG", "env.MODE", "env.PID", "env.PROFILE", "env.SURE"]
    [mode] = [m for m in a.missing if m.key == "env.MODE"]
    assert (mode.origin, mode.why) == (place(4, 19), "its network mode hangs on the variable MODE, which is not set")
    assert [(m.source, m.target, m.read_only) for m in a.confinement.mounts] == [
        ("${DATA}", "/data", False),
        ("${SURE}/x", "/y", True),
    ]


def test_an_unset_variable_of_a_network_is_missing_of_the_network() -> None:
    launch = compose(
        """\
        services:
          a: {image: x, networks: [n]}
          b: {image: x, networks: ["${NET}", n]}
        networks:
          n: {internal: "${CLOSED}", driver: "${DRIVER}", driver_opts: {parent: "${NIC}"}}
        """
    )
    assert [keys(c) for c in launch.containers] == [[], ["env.NET"]]
    network = launch.network("n")
    assert network is not None
    assert {(m.key, m.origin) for m in network.missing} == {
        ("env.CLOSED", place(5, 17)),
        ("env.DRIVER", place(5, 38)),
        ("env.NIC", place(5, 73)),
    }


def test_a_network_of_the_project_is_none_of_the_engines_of_that_name() -> None:
    launch = compose(
        """\
        services:
          a: {image: x, network_mode: bridge}
          b: {image: x, networks: [bridge]}
          c: {image: x, network_mode: lan}
          d: {image: x, networks: [lan], container_name: d1}
          e: {image: x, network_mode: "container:d1"}
        networks:
          bridge: {internal: true}
          lan: {internal: true}
        """
    )
    found = {}
    for one in launch.containers[:4]:
        [attachment] = one.attachments
        network = launch.network(attachment.network)
        assert network is not None
        found[one.name] = (network.internal.value, network.external)
    assert found == {"a": (False, False), "b": (True, False), "c": (False, True), "d": (True, False)}
    assert launch.containers[4].network_mode.value == "container:d"


def test_a_service_without_replicas_still_makes_the_network_of_an_empty_mode() -> None:
    launch = compose("services:\n  a: {image: x, network_mode: ''}\n  b: {image: y, scale: 0}\n")
    [a] = launch.containers
    assert [x.network for x in a.attachments] == ["default"]


def test_a_variable_that_is_given_decides() -> None:
    a = service("network_mode: ${MODE}\nprivileged: ${FLAG:-no}", MODE="none")
    assert (a.network_mode.value, a.missing) == ("none", ())
    assert a.confinement.privileged == Said(False, place(5, 17))


def test_what_only_names_an_image_or_fills_the_environment_leaves_nothing_open() -> None:
    a = service(
        "environment: {KEY: '${KEY}', URL: 'http://${H}:1', ALONE: , SET: '${SET}'}\ncommand: run ${ARG}", SET="v"
    )
    assert a.missing == ()
    assert [(k, v.value) for k, v in a.environment] == [
        ("KEY", None),
        ("URL", "http://${H}:1"),
        ("ALONE", None),
        ("SET", "v"),
    ]
    assert a.command is not None
    assert [w.value for w in a.command] == ["run", "${ARG}"]


def test_a_required_variable_that_is_empty_is_an_error() -> None:
    with pytest.raises(ParseError, match=r"compose.yaml:4:11: the variable U must not be empty here"):
        service("user: ${U:?who}", U="")


def test_the_environment_of_the_process_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODE", "host")
    assert service("network_mode: ${MODE}").network_mode.value == "${MODE}"


# ---- confinement


def test_everything_that_confines_or_frees() -> None:
    a = compose(
        """\
        services:
          a:
            image: x
            user: "1000:1000"
            privileged: true
            cap_add: [CAP_SYS_ADMIN, net_admin]
            cap_drop: [ALL]
            security_opt: [seccomp:unconfined, apparmor=unconfined, "no-new-privileges:true", "label=disable"]
            pid: host
            ipc: "service:b"
            uts: host
            userns_mode: host
            cgroup: host
            runtime: runsc
            devices: ["/dev/net/tun", {source: /dev/kvm, target: /dev/kvm, permissions: rw}]
            gpus: all
            sysctls: ["net.ipv4.ip_forward=1"]
            dns: 1.1.1.1
            extra_hosts: {h: [1.2.3.4, "::1"], host.docker.internal: host-gateway}
          b: {image: y}
        """
    ).containers[0]
    held = a.confinement
    assert held.user == Said("1000:1000", place(4, 11))
    assert held.privileged == Said(True, place(5, 17))
    assert held.cap_add == (Said("SYS_ADMIN", place(6, 15)), Said("NET_ADMIN", place(6, 30)))
    assert held.cap_drop == (Said("ALL", place(7, 16)),)
    assert (held.seccomp, held.apparmor) == (Said("unconfined", place(8, 20)), Said("unconfined", place(8, 40)))
    assert (held.no_new_privileges, held.security_opts) == (
        Said(True, place(8, 61)),
        (Said("label=disable", place(8, 87)),),
    )
    assert (held.pid, held.ipc) == (Said("host", place(9, 10)), Said("container:b", place(10, 10)))
    assert [x.value for x in (held.uts, held.userns, held.cgroup, held.runtime) if x] == [
        "host",
        "host",
        "host",
        "runsc",
    ]
    assert [d.value for d in held.devices] == ["/dev/net/tun:/dev/net/tun:rwm", "/dev/kvm:/dev/kvm:rw"]
    assert held.gpus == Said("all", place(16, 11))
    assert held.sysctls == (("net.ipv4.ip_forward", Said("1", place(17, 15))),)
    assert a.dns == (Said("1.1.1.1", place(18, 10)),)
    assert [(n, v.value) for n, v in a.extra_hosts] == [
        ("h", "1.2.3.4"),
        ("h", "::1"),
        ("host.docker.internal", "host-gateway"),
    ]


def test_reserved_gpus_count() -> None:
    a = service("deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 2, capabilities: [gpu]}]}}}")
    assert a.confinement.gpus == Said("2", place(4, 51))


def test_the_engines_socket_by_use_api_socket() -> None:
    a = service("use_api_socket: true")
    socket, credentials = a.confinement.mounts
    assert socket == Mount(MountKind.BIND, "/var/run/docker.sock", "/var/run/docker.sock", False, place(4, 21))
    assert (credentials.kind, credentials.target) == (MountKind.OTHER, "/run/secrets/docker/config.json")
    assert a.environment == (("DOCKER_CONFIG", Said("/run/secrets/docker", Default("compose"))),)


# ---- mounts


def mounts(container: Container) -> list[tuple[str, str, str, bool]]:
    return [(m.kind.value, m.source, m.target, m.read_only) for m in container.confinement.mounts]


def test_volumes_in_both_syntaxes() -> None:
    a = service(
        """
        volumes:
          - /var/run/docker.sock:/var/run/docker.sock:ro
          - data:/data
          - /anonymous
          - ~/.ssh:/root/.ssh
          - ${HOME}/.aws:/root/.aws
          - {type: bind, source: /, target: /host, read_only: "yes"}
          - {type: tmpfs, target: /scratch}
          - {type: image, source: "alpine:3", target: /img}
          - disk:/disk
          - device:/device
          - ram:/ram
        tmpfs: [/run, "/tmp:ro,size=1m"]
        """,
        """
        volumes:
          data: {name: shared}
          disk: {driver: local, driver_opts: {type: none, o: "bind,ro", device: /srv/disk}}
          device: {driver_opts: {type: ext4, device: /dev/sda1}}
          ram: {driver_opts: {type: tmpfs, device: tmpfs}}
        """,
    )
    assert mounts(a) == [
        ("bind", "/var/run/docker.sock", "/var/run/docker.sock", True),
        ("volume", "shared", "/data", False),
        ("volume", "", "/anonymous", False),
        ("bind", "~/.ssh", "/root/.ssh", False),
        ("bind", "~/.aws", "/root/.aws", False),
        ("bind", "/", "/host", True),
        ("tmpfs", "", "/scratch", False),
        ("image", "alpine:3", "/img", False),
        ("bind", "/srv/disk", "/disk", True),
        ("bind", "/dev/sda1", "/device", False),
        ("tmpfs", "ram", "/ram", False),
        ("tmpfs", "", "/run", False),
        ("tmpfs", "", "/tmp", True),
    ]
    assert a.confinement.mounts[0].origin == place(5, 9)
    assert a.missing == ()


def test_volumes_from_gives_the_other_services_mounts() -> None:
    launch = compose(
        """\
        services:
          a: {image: x, volumes_from: [b], volumes: [/own]}
          b: {image: x, volumes_from: ["c:ro"]}
          c: {image: x, volumes: ["/var/run/docker.sock:/s", "/etc:/own"]}
          d: {image: x, volumes_from: ["container:other"]}
        """
    )
    a, b, _, d = launch.containers
    assert mounts(a) == [("volume", "", "/own", False), ("bind", "/var/run/docker.sock", "/s", True)]
    assert mounts(b) == [("bind", "/var/run/docker.sock", "/s", True), ("bind", "/etc", "/own", True)]
    assert keys(d) == ["volumes-from.other"]


# ---- ports, command, hooks, the rest


def test_ports_in_both_syntaxes() -> None:
    a = service(
        """
        ports:
          - "8080:80"
          - 127.0.0.1:8443-8444:443-444/udp
          - 90
          - "[::1]:7000:70"
          - "9000-9005:91"
          - {target: 53, published: "5353", protocol: udp, host_ip: 10.0.0.1}
        expose: ["3000-3001", 4000, "53/udp"]
        """
    )
    assert a.published == (
        Published("", 8080, 80, "tcp", place(5, 9)),
        Published("127.0.0.1", 8443, 443, "udp", place(6, 9)),
        Published("127.0.0.1", 8444, 444, "udp", place(6, 9)),
        Published("", None, 90, "tcp", place(7, 9)),
        Published("::1", 7000, 70, "tcp", place(8, 9)),
        Published("", None, 91, "tcp", place(9, 9)),
        Published("10.0.0.1", 5353, 53, "udp", place(10, 9)),
    )
    assert a.exposed == (3000, 3001, 4000, 53)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("sh -c 'echo \"a b\"' c\\ d", ["sh", "-c", 'echo "a b"', "c d"]),
        ("[sh, -c, echo $$HOME]", ["sh", "-c", "echo $HOME"]),
        ("a && b", ["a"]),
        ("run 2>/dev/null", ["run"]),
        ("''", []),
        ("[]", []),
        ("", None),
    ],
)
def test_commands_are_cut_as_compose_cuts_them(said: str, words: list[str] | None) -> None:
    a = service(f"command: {said}")
    assert (None if a.command is None else [w.value for w in a.command]) == words


def test_hooks_are_scripts() -> None:
    a = service(
        """
        post_start:
          - command: ["iptables", "-P", "OUTPUT", "DROP"]
            user: root
            privileged: true
        pre_stop:
          - command: ./bye.sh
        """
    )
    first, last = a.scripts
    assert (first.where, first.text, first.as_root, first.origin) == (
        "post_start (privileged)",
        "iptables -P OUTPUT DROP",
        True,
        place(5, 9),
    )
    assert (last.where, last.text, last.as_root) == ("pre_stop", "./bye.sh", None)


def test_services_that_start_no_container_are_notes() -> None:
    launch = compose(
        """\
        services:
          a: {image: x}
          off: {image: x, profiles: [debug]}
          none: {image: x, deploy: {replicas: 0}}
          model: {provider: {type: model}}
          three: {image: x, scale: 3}
        """
    )
    assert [(c.name, c.replicas) for c in launch.containers] == [("a", 1), ("three", 3)]
    assert [(n.level.value, n.message) for n in launch.notifications] == [
        ("note", "compose.yaml:3:3: the service off is not started: none of its profiles (debug) is on"),
        ("note", "compose.yaml:4:3: the service none is not started: it has no replicas"),
        ("note", "compose.yaml:5:11: the service model is no container: the provider model runs it"),
    ]


def test_a_profile_that_is_on_starts_its_services() -> None:
    given = Input("c.yaml", "services:\n  a: {image: x, profiles: [dev]}\n  b: {image: x, profiles: [ops]}\n")
    assert [c.name for c in FORMAT.read([given], ReadOptions(profiles=("dev",))).containers] == ["a"]
    assert [c.name for c in FORMAT.read([given], ReadOptions({"COMPOSE_PROFILES": "ops, x"})).containers] == ["b"]
    assert [c.name for c in FORMAT.read([given], ReadOptions(profiles=("*",))).containers] == ["a", "b"]


def test_the_profile_without_a_name_is_on_where_none_is_asked_for() -> None:
    given = Input("c.yaml", "services:\n  a: {image: x, profiles: ['', pg]}\n  b: {image: x, profiles: [sql]}\n")

    def started(options: ReadOptions) -> list[str]:
        return [c.name for c in FORMAT.read([given], options).containers]

    assert started(ReadOptions()) == started(ReadOptions({"COMPOSE_PROFILES": ""})) == ["a"]
    assert started(ReadOptions(profiles=("sql",))) == started(ReadOptions({"COMPOSE_PROFILES": "sql"})) == ["b"]


def test_a_service_that_needs_one_that_is_off_is_refused() -> None:
    text = "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, profiles: [p]}\n"
    with pytest.raises(ParseError, match="needs the service b, which is not on"):
        compose(text)
    launch = compose(text.replace("[b]", "{b: {condition: service_started, required: false}}"))
    assert [c.name for c in launch.containers] == ["a"]


def test_models_are_a_service_of_the_host() -> None:
    launch = compose(
        """\
        services:
          a: {image: x, models: {llm: {endpoint_var: ENDPOINT}}}
        models: {llm: {model: ai/smollm2}}
        """
    )
    [a] = launch.containers
    assert [k for k, _ in a.environment] == ["ENDPOINT", "LLM_MODEL"]
    assert "model runner, a service of the host" in launch.notifications[0].message


def test_anchors_merge_keys_and_extensions() -> None:
    launch = compose(
        """\
        x-base: &base
          image: x
          network_mode: none
        services:
          a: {<<: *base, x-inspect_k8s_sandbox: {allow_domains: [a.example]}}
        """
    )
    assert launch.containers[0].network_mode == Said("none", place(3, 17))


def test_configs_and_secrets_with_content_land_in_the_container() -> None:
    a = service(
        "configs: [conf, {source: by_env, target: /etc/x}]\nsecrets: [key]",
        """
        configs:
          conf: {content: "Allow ${WHO}"}
          by_env: {environment: WHO}
        secrets:
          key: {environment: UNSET}
        """,
        WHO="me",
    )
    assert [(m.source, m.target, m.content) for m in a.confinement.mounts] == [
        ("config conf", "/conf", "Allow me"),
        ("config by_env", "/etc/x", "me"),
        ("secret key", "/run/secrets/key", None),
    ]


# ---- recognition


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {image: x}}",
        '{"services": {"a": {"image": "x"}}}',
        "version: '3'\nservices:\n  a:\n    build: .\n",
        "include: [other.yaml]\n",
        "web:\n  image: x\n  net: host\n",
        "x-inspect_k8s_sandbox: {allow_domains: [a]}\nservices: {default: {image: x}}\n",
    ],
)
def test_compose_files_are_recognised(text: str) -> None:
    assert FORMAT.recognises(Input("f", text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "services: 3\nother: 4\n",
        "apiVersion: v1\nkind: Pod\nservices: {}\n",
        "services: {default: {image: x}}\nallowDomains: [a.example]\n",
        "services: {default: {image: x, dnsRecord: true}}\n",
        "services: {default: {image: x, runtimeClassName: gvisor}}\n",
        "image: x\nrunArgs: []\n",
        '{"image": "x", "features": {}}',
        "docker run --rm alpine\n",
        "network_policies: {a: {endpoints: []}}\n",
        "services: {a: {image: x}\n",
    ],
)
def test_other_documents_are_not(text: str) -> None:
    assert not FORMAT.recognises(Input("f", text))


def test_a_file_that_is_too_long_is_recognised_and_refused_at_once() -> None:
    given = Input("big.yaml", "services:\n" + "".join(f"  s{n}: {{image: x}}\n" for n in range(120_000)))
    assert FORMAT.recognises(given)
    with pytest.raises(LimitError, match=r"big.yaml: longer than 2 MiB"):
        FORMAT.read([given], ReadOptions())


def test_standard_input_lies_in_no_folder() -> None:
    a = service("volumes: ['./x:/x', '../y:/y']")
    assert mounts(a) == [("bind", "./x", "/x", False), ("bind", "../y", "/y", False)]
    assert Path.cwd().name not in str(a)
