"""devcontainer.json: what the tool starts, what features and images ask for, and the scripts of the project that it runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import LimitError, ParseError, TargetError
from scanner.launch.devcontainer import FORMAT, read
from scanner.launch.features import effect, image_effect
from scanner.launch.plugin import Input, ReadOptions
from scanner.model import Launch
from scanner.model.launch import Container, Default, MountKind, Place, Published, Script

Open = Callable[..., Launch]


@pytest.fixture
def project(tmp_path: Path) -> Open:
    """Read a devcontainer.json (text or values) in a project with these files, from the project's folder's parent."""

    def opened(
        config: Any, at: str = ".devcontainer/devcontainer.json", *, env: dict[str, str] | None = None, **files: str
    ) -> Launch:
        root = tmp_path / "demo"
        for name, text in {**files, at: config if isinstance(config, str) else json.dumps(config, indent=1)}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        path = root / at
        return read([Input(f"demo/{at}", path.read_text(), path)], ReadOptions(env or {}))

    return opened


def only(launch: Launch) -> Container:
    [container] = launch.containers
    return container


def mounts(container: Container) -> list[tuple[MountKind, str, str]]:
    return [(m.kind, m.source, m.target) for m in container.confinement.mounts]


def scripts(container: Container) -> list[tuple[str, str, str, bool | None, bool]]:
    return [(s.where, s.text, str(s.origin), s.as_root, s.on_host) for s in container.scripts]


# ---- one container


def test_an_image_alone(project: Open, tmp_path: Path) -> None:
    launch = project('{"image": "debian" /* why not */, // the rest is default\n}')
    container = only(launch)
    assert (launch.format, launch.runner, container.name) == ("devcontainer", "devcontainer", "demo")
    assert (container.network_mode.value, container.network_mode.origin) == ("bridge", Default("docker"))
    assert container.image is not None
    assert (container.image.value, str(container.image.origin)) == (
        "debian",
        "demo/.devcontainer/devcontainer.json:1:11",
    )
    assert mounts(container) == [(MountKind.BIND, str(tmp_path / "demo"), "/workspaces/demo")]
    assert container.confinement.mounts[0].origin == Default("devcontainer")
    assert [e.value for e in container.entrypoint or ()] == ["/bin/sh"]
    assert container.confinement.privileged is None
    assert container.missing == ()
    assert only(project({"image": "debian", "overrideCommand": False})).entrypoint is None


@pytest.mark.parametrize(
    ("at", "name"),
    [(".devcontainer.json", "demo"), (".devcontainer/a/devcontainer.json", "demo"), ("sub/devcontainer.json", "sub")],
)
def test_the_workspace_by_where_the_file_lies(at: str, name: str, project: Open, tmp_path: Path) -> None:
    container = only(project({"image": "x"}, at))
    folder = tmp_path / "demo" if name == "demo" else tmp_path / "demo" / name
    assert (container.name, mounts(container)[0][1:]) == (name, (str(folder), f"/workspaces/{name}"))


def test_what_is_asked_for_directly(project: Open) -> None:
    container = only(
        project(
            {
                "image": "x",
                "privileged": True,
                "capAdd": ["NET_ADMIN"],
                "securityOpt": ["seccomp=unconfined"],
                "containerUser": "node",
                "containerEnv": {
                    "A": "1",
                    "B": "${localEnv:NOBODY}",
                    "C": "${localEnv:NOBODY:d}",
                    "D": "${containerEnv:PATH}",
                },
                "mounts": ["type=bind,src=/etc,dst=/e,readonly", {"type": "volume", "source": "v", "target": "/v"}],
                "runArgs": ["--network=none", "--pid", "host", "-p", "1:2"],
                "appPort": [8080, "9000:9001"],
                "forwardPorts": [3000, "db:5432"],
                "hostRequirements": {"gpu": "optional"},
                "workspaceMount": "source=${localWorkspaceFolder}/sub,target=/w,type=bind",
                "workspaceFolder": "/w",
            }
        )
    )
    found = container.confinement
    assert found.privileged is not None
    assert found.privileged.value is True
    assert [c.value for c in found.cap_add] == ["NET_ADMIN"]
    for said, value in ((found.seccomp, "unconfined"), (found.user, "node"), (found.pid, "host"), (found.gpus, "all")):
        assert said is not None
        assert said.value == value
    assert container.network_mode.value == "none"
    assert [(k, v.value) for k, v in container.environment] == [
        ("A", "1"),
        ("B", None),
        ("C", "d"),
        ("D", "${containerEnv:PATH}"),
    ]
    assert [m[1:] for m in mounts(container)] == [
        (str(Path(mounts(container)[0][1])), "/w"),
        ("/etc", "/e"),
        ("v", "/v"),
    ]
    assert mounts(container)[0][1].endswith("/demo/sub")
    assert [(p.host_ip, p.host_port, p.port) for p in container.published] == [
        ("127.0.0.1", 8080, 8080),
        ("", 9000, 9001),
        ("", 1, 2),
        ("127.0.0.1", 3000, 3000),
    ]
    assert container.missing == ()


def test_values_keep_their_lines(project: Open) -> None:
    container = only(
        project('{\n "image": "x",\n "runArgs": [\n  "--cap-add=NET_ADMIN",\n  "--network", "none"\n ]\n}')
    )
    file = "demo/.devcontainer/devcontainer.json"
    assert container.confinement.cap_add[0].origin == Place(file, 4, 3)
    assert container.network_mode.origin == Place(file, 5, 3)


def test_an_empty_workspace_mount_is_none(project: Open) -> None:
    assert mounts(only(project({"image": "x", "workspaceMount": ""}))) == []


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ({"image": "x", "runArgs": ["--network=${localEnv:NET}"]}, ["env.NET"]),
        ({"image": "x", "mounts": ["source=${localEnv:DIR},target=/x,type=bind"]}, ["env.DIR"]),
        ({"image": "x", "runArgs": ["--security-opt", "${localEnv:OPT}"]}, ["env.OPT"]),
        ({"image": "x", "features": {"ghcr.io/someone/features/thing:1": {}}}, ["adds.thing"]),
        ({"image": "x", "features": {"./absent": {}}}, ["adds.absent"]),
        # nothing hangs on these
        ({"image": "x", "mounts": ["source=${localEnv:HOME}${localEnv:USERPROFILE}/.aws,target=/x,type=bind"]}, []),
        ({"image": "x", "remoteEnv": {"A": "${localEnv:B}"}}, []),
        ({"image": "x:${localEnv:TAG}"}, []),
        ({"image": "x", "features": {"ghcr.io/devcontainers/features/node:1": {}, "python": "3"}}, []),
    ],
)
def test_what_the_file_does_not_say_is_missing_by_name(config: Any, keys: list[str], project: Open) -> None:
    assert [m.key for m in only(project(config)).missing] == keys


def test_an_assumed_variable_is_known(project: Open) -> None:
    container = only(project({"image": "x", "runArgs": ["--network=${localEnv:NET}"]}, env={"NET": "none"}))
    assert (container.network_mode.value, container.missing) == ("none", ())


# ---- features and images


def test_features_with_their_effects(project: Open) -> None:
    features = (
        "ghcr.io/devcontainers/features/docker-outside-of-docker:1",
        "ghcr.io/devcontainers/features/docker-in-docker:2.12.0",
        "ghcr.io/tailscale/codespace/tailscale",
        "ghcr.io/devcontainers/features/go@sha256:00",
    )
    container = only(project({"image": "x", "features": {key: {} for key in features}}))
    found = container.confinement
    assert [m[1:] for m in mounts(container)[1:]] == [
        ("/var/run/docker.sock", "/var/run/docker-host.sock"),
        ("dind-var-lib-docker", "/var/lib/docker"),
    ]
    assert found.privileged is not None
    assert found.privileged.value is True
    assert {c.value for c in found.cap_add} == {"NET_ADMIN", "NET_RAW", "SYS_PTRACE"}
    assert found.seccomp is not None
    assert found.privileged.origin == Place("demo/.devcontainer/devcontainer.json", 5, 3)


def test_a_feature_of_the_project_is_read_with_those_it_needs(project: Open) -> None:
    container = only(
        project(
            {"image": "x", "features": {"./mine": {}}},
            **{
                ".devcontainer/mine/devcontainer-feature.json": json.dumps(
                    {
                        "id": "mine",
                        "capAdd": ["SYS_ADMIN"],
                        "mounts": [{"type": "bind", "source": "/", "target": "/host"}],
                        "postStartCommand": "echo feature",
                        "dependsOn": {"./other": {}, "ghcr.io/devcontainers/features/docker-from-docker:1": {}},
                    }
                ),
                ".devcontainer/other/devcontainer-feature.json": '{"privileged": true, "dependsOn": {"./mine": {}}}',
            },
        )
    )
    assert [c.value for c in container.confinement.cap_add] == ["SYS_ADMIN"]
    assert container.confinement.privileged is not None
    assert {m[1] for m in mounts(container)[1:]} == {"/", "/var/run/docker.sock"}
    assert [s.text for s in container.scripts] == ["echo feature"]
    assert container.missing == ()


def test_a_feature_outside_the_project_is_never_read(project: Open, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away/devcontainer-feature.json").write_text('{"capAdd": ["SYS_ADMIN"]}')
    container = only(project({"image": "x", "features": {"../../away": {}}}))
    assert container.confinement.cap_add == ()
    assert [m.key for m in container.missing] == ["adds.away"]


def test_the_table_of_features() -> None:
    assert effect("docker-in-docker") == effect("ghcr.io/devcontainers/features/docker-in-docker:1")
    known = effect("ghcr.io/devcontainers-extra/features/ruff:1")
    assert known is not None
    assert known == image_effect("debian")
    aws = effect("ghcr.io/devcontainers-contrib/features/mount-aws-credentials:1")
    assert aws is not None
    assert [m[1] for m in aws.mounts] == ["~/.aws"]
    assert effect("ghcr.io/someone/features/node") is None
    assert effect("") is None


def test_an_image_that_asks_for_more_by_its_label(project: Open) -> None:
    universal = only(project({"image": "mcr.microsoft.com/devcontainers/universal:2-linux"}))
    assert universal.confinement.privileged is not None
    built = only(
        project(
            {"build": {"dockerfile": "Dockerfile", "context": ".."}},
            **{
                ".devcontainer/Dockerfile": "ARG V=1\nFROM mcr.microsoft.com/devcontainers/go:${V} AS base\nFROM base\nRUN x\n"
            },
        )
    )
    assert built.image is None
    assert [c.value for c in built.confinement.cap_add] == ["SYS_PTRACE"]
    assert only(project({"image": "mcr.microsoft.com/devcontainers/base:1"})).confinement.cap_add == ()


# ---- scripts


def test_lifecycle_commands_in_their_order_and_forms(project: Open) -> None:
    container = only(
        project(
            '{"image": "x", "remoteUser": "node",\n'
            ' "postStartCommand": "sudo iptables -P OUTPUT DROP",\n'
            ' "initializeCommand": ["touch", "a b"],\n'
            ' "postCreateCommand": {"one": "npm ci", "two": ["sh", "-c", "x && y"]},\n'
            ' "onCreateCommand": "cd ${containerWorkspaceFolder}"}'
        )
    )
    file = "demo/.devcontainer/devcontainer.json"
    assert scripts(container) == [
        ("initializeCommand", "touch 'a b'", f"{file}:3:23", None, True),
        ("onCreateCommand", "cd /workspaces/demo", f"{file}:5:21", False, False),
        ("postCreateCommand.one", "npm ci", f"{file}:4:31", False, False),
        ("postCreateCommand.two", "sh -c 'x && y'", f"{file}:4:48", False, False),
        ("postStartCommand", "sudo iptables -P OUTPUT DROP", f"{file}:2:22", True, False),
    ]


@pytest.mark.parametrize(
    ("user", "as_root"), [({}, None), ({"remoteUser": "root"}, True), ({"containerUser": "me"}, False)]
)
def test_who_runs_a_command(user: dict[str, str], as_root: bool | None, project: Open) -> None:
    [script] = only(project({"image": "x", "postStartCommand": "iptables -L", **user})).scripts
    assert script.as_root is as_root


FIREWALL = "#!/bin/bash\nset -e\niptables -P OUTPUT DROP\n"


@pytest.mark.parametrize(
    ("command", "file", "dockerfile"),
    [
        ("bash .devcontainer/init-firewall.sh", ".devcontainer/init-firewall.sh", ""),
        ("./init.sh", "init.sh", ""),
        (". ./init.sh", "init.sh", ""),
        ("cd x && sudo -E bash -x scripts/fw.sh --all || true", "scripts/fw.sh", ""),
        ("/workspaces/demo/scripts/fw.sh", "scripts/fw.sh", ""),
        ("${containerWorkspaceFolder}/scripts/fw.sh", "scripts/fw.sh", ""),
        ("bash -c 'scripts/fw.sh'", "scripts/fw.sh", ""),
        (
            "sudo /usr/local/bin/init-firewall.sh",
            ".devcontainer/init-firewall.sh",
            "COPY init-firewall.sh /usr/local/bin/",
        ),
        (
            "sudo /usr/local/bin/fw",
            ".devcontainer/init-firewall.sh",
            "COPY --chmod=755 init-firewall.sh /usr/local/bin/fw",
        ),
        ("/opt/s/fw.sh", ".devcontainer/s/fw.sh", 'ADD ["s", "/opt/s"]'),
        ("/opt/s/fw.sh", ".devcontainer/s/fw.sh", "COPY \\\n  # c\n  s/ \\\n  /opt/s/"),
        ("/opt/a", ".devcontainer/a", "COPY a b /opt/"),
    ],
)
def test_a_script_of_the_project_is_read(command: str, file: str, dockerfile: str, project: Open) -> None:
    files = {file: FIREWALL, ".devcontainer/b": "x"}
    if dockerfile:
        files[".devcontainer/Dockerfile"] = f"FROM debian\n{dockerfile}\n"
    container = only(project({"build": {"dockerfile": "Dockerfile"}, "postStartCommand": command}, **files))
    [_, script] = container.scripts
    assert (script.text, str(script.origin)) == (FIREWALL, f"demo/{file}:1:1")
    assert script.as_root is (True if "sudo" in command else None)


def test_scripts_that_call_scripts(project: Open) -> None:
    container = only(
        project(
            {"image": "x", "postCreateCommand": "bash a.sh; bash a.sh"},
            **{
                "a.sh": 'cd "$(dirname "$0")"; scripts/b.sh',
                "scripts/b.sh": '. "$(dirname "$0")/c.sh"',
                "scripts/c.sh": "bash a.sh",
            },
        )
    )
    assert [str(s.origin).removeprefix("demo/") for s in container.scripts[1:]] == [
        "a.sh:1:1",
        "scripts/b.sh:1:1",
        "scripts/c.sh:1:1",
    ]


def test_scripts_elsewhere_are_told_and_not_read(project: Open, tmp_path: Path) -> None:
    (tmp_path / "away.sh").write_text(FIREWALL)
    root = tmp_path / "demo"
    root.mkdir()
    (root / "link.sh").symlink_to(tmp_path / "away.sh")
    (root / "big.sh").write_text("x" * ((256 << 10) + 1))
    launch = project(
        {
            "image": "x",
            "postStartCommand": "bash ../../away.sh; bash link.sh; bash big.sh; /opt/none.sh; bash /etc/profile; python x.py",
        }
    )
    assert len(only(launch).scripts) == 1
    told = " ".join(n.message for n in launch.notifications)
    assert all(name in told for name in ("../../away.sh", "link.sh", "/opt/none.sh", "/etc/profile"))


def test_a_python_script_is_no_shell_text(project: Open) -> None:
    assert (
        len(
            only(
                project({"image": "x", "postStartCommand": "./x.py"}, **{"x.py": "#!/usr/bin/env python3\nimport os\n"})
            ).scripts
        )
        == 1
    )


# ---- Compose

COMPOSE = """\
services:
  app:
    image: app
    privileged: false
    cap_add: [NET_RAW]
    networks: [inner]
    volumes: ["..:/workspace", "./a:/x"]
    environment: {A: "0", B: "0"}
  db: {image: postgres, networks: [inner]}
  off: {image: off, profiles: [p]}
networks: {inner: {internal: true}}
"""


def test_a_service_with_the_files_settings_on_top(project: Open, tmp_path: Path) -> None:
    launch = project(
        {
            "dockerComposeFile": "docker-compose.yml",
            "service": "app",
            "workspaceFolder": "/workspace",
            "privileged": True,
            "capAdd": ["SYS_ADMIN"],
            "mounts": ["type=bind,src=/var/run/docker.sock,dst=/x"],
            "containerEnv": {"A": "1"},
            "runArgs": ["--network=host"],
            "postStartCommand": "bash /workspace/fw.sh",
            "forwardPorts": [80],
        },
        **{".devcontainer/docker-compose.yml": COMPOSE, "fw.sh": FIREWALL},
    )
    assert launch.files == ("demo/.devcontainer/devcontainer.json", "demo/.devcontainer/docker-compose.yml")
    assert [c.name for c in launch.containers] == ["app", "db"]
    app = launch.containers[0]
    assert [a.network for a in app.attachments] == ["inner"]
    assert [n.internal.value for n in launch.networks] == [True]
    assert app.confinement.privileged is not None
    assert app.confinement.privileged.value is True
    assert [c.value for c in app.confinement.cap_add] == ["NET_RAW", "SYS_ADMIN"]
    assert [m[1:] for m in mounts(app)] == [(str(tmp_path / "demo"), "/workspace"), ("/var/run/docker.sock", "/x")]
    assert {k: v.value for k, v in app.environment} == {"A": "1", "B": "0"}
    assert app.entrypoint is None
    assert [str(s.origin) for s in app.scripts] == ["demo/.devcontainer/devcontainer.json:18:22", "demo/fw.sh:1:1"]
    assert app.published == (
        Published("127.0.0.1", 80, 80, "tcp", Place("demo/.devcontainer/devcontainer.json", 20, 3)),
    )
    assert sum("runArgs is not used" in n.message for n in launch.notifications) == 1


def test_a_service_behind_a_profile_is_started_by_its_name(project: Open) -> None:
    launch = project({"dockerComposeFile": ["../c.yml"], "service": "off"}, **{"c.yml": COMPOSE.replace("..:", ".:")})
    assert launch.container("off") is not None


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"dockerComposeFile": "c.yml"}, ParseError, r":2:2: dockerComposeFile without the service"),
        ({"dockerComposeFile": "none.yml", "service": "app"}, TargetError, r"none\.yml: there is no such file"),
        ({"dockerComposeFile": "../../c.yml", "service": "app"}, TargetError, r":2:23: \.\./\.\./c\.yml lies outside"),
        ({"dockerComposeFile": "/etc/passwd", "service": "app"}, TargetError, r":2:23: /etc/passwd lies outside"),
        ({"dockerComposeFile": "c.yml", "service": "no"}, ParseError, r":3:13: the Compose project has no service no"),
        ({"dockerComposeFile": [], "service": "no"}, ParseError, r":2:2: dockerComposeFile names no file"),
        ({"features": {}}, ParseError, r":1:1: it has none of image, build and dockerComposeFile"),
        ({"image": "x", "runArgs": ["--frobnicate"]}, ParseError, r":4:3: docker run has no flag --frobnicate"),
        ({"image": "x", "capAdd": {"a": 1}}, ParseError, r":3:12: capAdd is no list"),
        ("[]", ParseError, r":1:1: a devcontainer.json is a JSON object"),
        ('{"image": "x"', ParseError, r":1:14: no JSON"),
    ],
)
def test_what_is_broken_is_an_error_with_its_place(
    config: Any, error: type[Exception], message: str, project: Open
) -> None:
    with pytest.raises(error, match=message):
        project(config, **{".devcontainer/c.yml": COMPOSE})


def test_a_compose_file_from_standard_input_has_no_folder() -> None:
    with pytest.raises(TargetError, match="give the file by its path"):
        read([Input("x", '{"dockerComposeFile": "c.yml", "service": "a"}')], ReadOptions())


def test_several_files_are_one_launch(tmp_path: Path) -> None:
    inputs = []
    for name in ("a", "b"):
        path = tmp_path / ".devcontainer" / name / "devcontainer.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"image": name, "runArgs": ["--network=" + name]}))
        inputs.append(Input(str(path), path.read_text(), path))
    launch = read(inputs, ReadOptions())
    assert [(c.name, c.image.value if c.image else "") for c in launch.containers] == [
        (tmp_path.name, "a"),
        (f"{tmp_path.name}-2", "b"),
    ]
    assert [n.key for n in launch.networks] == ["a", "b"]


# ---- recognition, hostile files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"image": "x", "features": {}}', True),
        ('// c\n{"dockerComposeFile": "c", "service": "a"}', True),
        ('{"remoteUser": "x", "postCreateCommand": "y"}', True),
        ('{"image": "x"}', False),
        ('{"services": {}, "features": {}, "image": ""}', False),
        ('{"apiVersion": "v1", "kind": "Pod", "features": {}, "image": ""}', False),
        ('{"HostConfig": {}, "image": "x", "features": {}}', False),
        ("image: x\nfeatures: {}\n", False),
        ("", False),
        ("{", False),
        ("[1]", False),
    ],
)
def test_recognition(text: str, said: bool) -> None:
    assert FORMAT.recognises(Input("x.json", text)) is said


def test_the_name_says_it_where_the_content_does_not() -> None:
    for text in ('{"image": "x"}', '{"image": '):
        assert FORMAT.recognises(Input("x", text, Path("a/.devcontainer/devcontainer.json")))


def test_a_chain_of_features_ends(tmp_path: Path) -> None:
    for number in range(300):
        path = tmp_path / f"f{number}" / "devcontainer-feature.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"dependsOn": {f"./f{number + 1}": {}}}))
    file = tmp_path / "devcontainer.json"
    file.write_text('{"image": "x", "features": {"./f0": {}}}')
    with pytest.raises(LimitError, match="more than 200 features"):
        read([Input("devcontainer.json", file.read_text(), file)], ReadOptions())


TEXTS = st.sampled_from(
    ["x", "", "${localEnv:A}", "${localEnv:A:b}", "${", "${}", "type=bind,src=/,dst=/x", '"', "a,b=c", "--network=none", "-v", "--",
     "sudo ./x.sh", "bash 'x", "$(x)", "../..", "/", "\0", "80:80", "root", "./f", "\n"]
)  # fmt: skip
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers(-1, 70000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    "image build dockerFile features runArgs mounts workspaceMount workspaceFolder containerEnv remoteUser containerUser capAdd "
    "securityOpt privileged appPort forwardPorts hostRequirements overrideCommand initializeCommand postStartCommand "
    "postCreateCommand name".split()
)  # fmt: skip


@settings(deadline=None, max_examples=250)
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_value_in_any_place_is_read_or_refused(config: dict[str, Any]) -> None:
    given_ = Input("x.json", json.dumps({"image": "x", **config}, indent=1))
    FORMAT.recognises(given_)
    try:
        launch = read([given_], ReadOptions())
    except (ParseError, LimitError) as e:
        assert str(e).startswith("x.json:")  # noqa: PT017 - either it is read, or the error says where not
    else:
        assert len(launch.containers) == 1
        assert all(isinstance(s, Script) for s in launch.containers[0].scripts)
