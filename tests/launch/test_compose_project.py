"""Several files, what they extend and include, their environment, and the folder beyond which nothing is read."""

import os
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from scanner.errors import LimitError, ParseError, TargetError
from scanner.launch.compose import FORMAT, find_project, read_project
from scanner.launch.plugin import Input, ReadOptions
from scanner.model import Level
from scanner.model.launch import Container, Launch, Place, Said


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "proj"
    folder.mkdir()
    return folder


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))


def read(folder: Path, *names: str, options: ReadOptions | None = None) -> Launch:
    """The files as a user in the folder would name them."""
    inputs = [Input(name, (folder / name).read_text(), folder / name) for name in names or ("compose.yaml",)]
    return FORMAT.read(inputs, options or ReadOptions())


def container(launch: Launch, name: str) -> Container:
    found = launch.container(name)
    assert found is not None
    return found


def environment(container: Container) -> dict[str, str | None]:
    return {key: value.value for key, value in container.environment}


# ---- overriding


def test_a_second_file_overrides_the_first(project: Path) -> None:
    write(
        project,
        {
            "compose.yaml": """\
                services:
                  a:
                    image: one
                    command: [one]
                    environment: {A: 1, B: 2}
                    ports: ["80:80"]
                    cap_add: [NET_ADMIN]
                    volumes: ["/one:/x", "/two:/y"]
                    extra_hosts: ["h:1.1.1.1"]
                    networks: [closed]
                networks: {closed: {internal: true}, out: }
                """,
            "over.yaml": """\
                services:
                  a:
                    image: two
                    command: two
                    environment: [B=3, C=4]
                    ports: ["80:80", "90:90"]
                    cap_add: [SYS_ADMIN, NET_ADMIN]
                    volumes: ["/three:/x:ro"]
                    extra_hosts: {h: 2.2.2.2}
                    networks: [out]
                """,
        },
    )
    a = container(read(project, "compose.yaml", "over.yaml"), "a")
    assert a.image == Said("two", Place("over.yaml", 3, 12))
    assert a.command is not None
    assert [w.value for w in a.command] == ["two"]
    assert environment(a) == {"A": "1", "B": "3", "C": "4"}
    assert dict(a.environment)["A"].origin == Place("compose.yaml", 5, 22)
    assert dict(a.environment)["B"].origin == Place("over.yaml", 5, 19)
    assert [(p.host_port, p.origin.file) for p in a.published if isinstance(p.origin, Place)] == [
        (80, "over.yaml"),
        (90, "over.yaml"),
    ]
    assert [(c.value, str(c.origin)) for c in a.confinement.cap_add] == [
        ("NET_ADMIN", "over.yaml:7:26"),
        ("SYS_ADMIN", "over.yaml:7:15"),
    ]
    assert [(m.source, m.target, m.read_only) for m in a.confinement.mounts] == [
        ("/three", "/x", True),
        ("/two", "/y", False),
    ]
    assert [v.value for _, v in a.extra_hosts] == ["1.1.1.1", "2.2.2.2"]
    # a plain list merges: the closed network stays, the open one comes
    assert [(x.network, str(x.origin)) for x in a.attachments] == [
        ("closed", "compose.yaml:10:16"),
        ("out", "over.yaml:10:16"),
    ]


@pytest.mark.parametrize(
    ("over", "networks"),
    [
        ("networks: !reset null", ["default"]),
        ("networks: !reset []", ["default"]),
        ("networks: !override [out]", ["out"]),
        ("networks: {closed: !reset null, out: }", ["out"]),
        ("networks: !override {out: {}}", ["out"]),
    ],
)
def test_reset_and_override_take_away_what_was_there(project: Path, over: str, networks: list[str]) -> None:
    write(
        project,
        {
            "compose.yaml": """\
                services: {a: {image: x, networks: [closed]}}
                networks: {closed: {internal: true}, out: }
                """,
            "over.yaml": f"services:\n  a:\n    {over}\n",
        },
    )
    a = container(read(project, "compose.yaml", "over.yaml"), "a")
    assert [x.network for x in a.attachments] == networks


def test_an_override_opens_a_network(project: Path) -> None:
    write(
        project,
        {
            "compose.yaml": "services: {a: {image: x, networks: [n]}}\nnetworks: {n: {internal: true}}\n",
            "over.yaml": "networks:\n  n:\n    internal: false\n",
        },
    )
    [network] = read(project, "compose.yaml", "over.yaml").networks
    assert network.internal == Said(False, Place("over.yaml", 3, 15))


def test_a_service_can_be_reset(project: Path) -> None:
    write(
        project,
        {
            "compose.yaml": "services: {a: {image: x}, b: {image: y}}\n",
            "over.yaml": "services: {b: !reset null}\n",
        },
    )
    assert [c.name for c in read(project, "compose.yaml", "over.yaml").containers] == ["a"]


def test_a_mapping_cannot_be_overridden_by_a_list(project: Path) -> None:
    write(
        project,
        {
            "compose.yaml": "services: {a: {image: x, deploy: {replicas: 1}}}\n",
            "over.yaml": "services:\n  a:\n    deploy: [x]\n",
        },
    )
    with pytest.raises(ParseError, match=r"over.yaml:3:5: services.a.deploy must be a mapping, not a list"):
        read(project, "compose.yaml", "over.yaml")


def test_documents_of_one_file_override_each_other(project: Path) -> None:
    write(project, {"compose.yaml": "services: {a: {image: x}}\n---\nservices: {a: {image: y}}\n"})
    assert container(read(project), "a").image == Said("y", Place("compose.yaml", 3, 23))


# ---- extends


def test_extends_takes_everything_but_the_networks_definitions(project: Path) -> None:
    write(
        project,
        {
            "compose.yaml": """\
                services:
                  a:
                    extends: {file: shared/base.yaml, service: base}
                    environment: {B: 2}
                  b:
                    extends: a
                    privileged: false
                networks: {lan: {internal: true}}
                """,
            "shared/base.yaml": """\
                services:
                  base:
                    extends: {service: root}
                    volumes: ["./data:/data", "../up:/up"]
                    networks: [lan]
                  root:
                    image: x
                    privileged: true
                    environment: [A=1]
                networks: {lan: {internal: false}}
                """,
        },
    )
    launch = read(project)
    a, b = container(launch, "a"), container(launch, "b")
    assert a.image == Said("x", Place("shared/base.yaml", 7, 12))
    assert a.confinement.privileged == Said(True, Place("shared/base.yaml", 8, 17))
    assert b.confinement.privileged == Said(False, Place("compose.yaml", 7, 17))
    assert environment(b) == {"A": "1", "B": "2"}
    assert [m.source for m in b.confinement.mounts] == [f"{project}/shared/data", f"{project}/up"]
    assert [(n.key, n.internal.value) for n in launch.networks] == [("lan", True)]


def test_services_that_extend_each_other_across_files_are_an_error_with_the_chain(project: Path) -> None:
    write(
        project,
        {
            "compose.yaml": "services:\n  a:\n    extends: {file: other.yaml, service: b}\n",
            "other.yaml": "services:\n  b:\n    extends: {file: compose.yaml, service: a}\n",
        },
    )
    with pytest.raises(
        ParseError, match=r"the service extends itself: a in compose.yaml → b in other.yaml → a in compose.yaml$"
    ):
        read(project)


@pytest.mark.parametrize("file", ["../secret.yaml", "/etc/passwd", "link.yaml", "https://example.com/c.yaml"])
def test_what_is_extended_outside_the_project_is_not_read(project: Path, file: str) -> None:
    (project.parent / "secret.yaml").write_text("services: {b: {image: x, privileged: true}}\n")
    (project / "link.yaml").symlink_to("../secret.yaml")
    write(project, {"compose.yaml": f"services:\n  a:\n    image: y\n    extends: {{file: '{file}', service: b}}\n"})
    launch = read(project)
    a = container(launch, "a")
    assert a.confinement.privileged is None
    assert [m.key for m in a.missing] == [f"adds.{file}"]
    [warning] = launch.notifications
    assert warning.level is Level.WARNING
    assert warning.message.startswith(f"compose.yaml:4:21: {file} lies ")
    assert "is not read" in warning.message


def test_a_wider_project_lets_extends_reach_further(project: Path) -> None:
    write(project.parent, {"base.yaml": "services: {b: {image: x, privileged: true}}\n"})
    write(project, {"compose.yaml": "services:\n  a:\n    extends: {file: ../base.yaml, service: b}\n"})
    given = Input("proj/compose.yaml", (project / "compose.yaml").read_text(), project / "compose.yaml")
    launch = FORMAT.read([given], ReadOptions(project=project.parent))
    assert launch.containers[0].confinement.privileged == Said(True, Place("base.yaml", 1, 38))
    assert launch.notifications == ()


def test_a_missing_file_to_extend_is_named(project: Path) -> None:
    write(project, {"compose.yaml": "services:\n  a:\n    extends: {file: none.yaml, service: b}\n"})
    with pytest.raises(TargetError, match=r"compose.yaml:3:21: none.yaml is to be extended, but there is no such file"):
        read(project)


# ---- include


@pytest.mark.parametrize(("mode", "open_"), [("networks: [lan]", True), ("", True), ("network_mode: none", False)])
def test_who_shares_a_network_with_what_was_not_read_is_not_known(project: Path, mode: str, open_: bool) -> None:
    text = f"include:\n  - ../more/compose.yaml\nservices:\n  a:\n    image: x\n    {mode}\nnetworks: {{lan: {{internal: true}}}}\n"
    write(project, {"compose.yaml": text})
    found = container(read(project), "a").missing
    assert [(m.key, m.origin) for m in found] == (
        [("adds.../more/compose.yaml", Place("compose.yaml", 2, 5))] if open_ else []
    )


def test_a_volume_that_an_unread_file_may_define_is_not_known(project: Path) -> None:
    text = "include: [../more.yaml]\nservices:\n  a: {image: x, network_mode: none, volumes: ['shared:/s']}\n"
    write(project, {"compose.yaml": text})
    assert [m.key for m in container(read(project), "a").missing] == ["adds.../more.yaml"]


def test_include_brings_in_a_project_with_its_own_folder_and_environment(project: Path) -> None:
    write(
        project,
        {
            "compose.yaml": """\
                include:
                  - sub/compose.yaml
                  - {path: [more/one.yaml, more/two.yaml], project_directory: ., env_file: my.env}
                services: {a: {image: x, depends_on: [b]}}
                """,
            "sub/compose.yaml": """\
                services: {b: {image: "b:${TAG}", volumes: ["./x:/x"], networks: [lan]}}
                networks: {lan: {internal: true}}
                """,
            "sub/.env": "TAG=sub\nWHO=sub\n",
            "more/one.yaml": "services: {c: {image: 'c:${TAG}', volumes: ['./y:/y']}}\n",
            "more/two.yaml": "services: {c: {privileged: true}}\n",
            "my.env": "TAG=mine\n",
            ".env": "WHO=root\n",
        },
    )
    launch = read(project)
    a, b, c = (container(launch, name) for name in "abc")
    assert a.image is not None
    assert b.image == Said("b:sub", Place("sub/compose.yaml", 1, 23))
    assert c.image is not None
    assert c.image.value == "c:mine"
    assert b.confinement.mounts[0].source == f"{project}/sub/x"
    assert c.confinement.mounts[0].source == f"{project}/y"
    assert c.confinement.privileged == Said(True, Place("more/two.yaml", 1, 28))
    assert {n.key: n.internal.value for n in launch.networks} == {"default": False, "lan": True}


def test_what_two_files_define_differently_is_an_error(project: Path) -> None:
    write(
        project,
        {
            "compose.yaml": "include: [sub.yaml]\nservices:\n  a: {image: x}\n",
            "sub.yaml": "services: {a: {image: y}}\n",
        },
    )
    with pytest.raises(
        ParseError, match=r"compose.yaml:3:3: services.a stands in an included file too, at sub.yaml:1:12"
    ):
        read(project)


def test_files_that_include_each_other_are_an_error_with_the_chain(project: Path) -> None:
    write(
        project,
        {
            "compose.yaml": "include: [a.yaml]\nservices: {x: {image: x}}\n",
            "a.yaml": "include: [b.yaml]\n",
            "b.yaml": "include: [a.yaml]\n",
        },
    )
    with pytest.raises(ParseError, match=r"b.yaml:1:11: the file includes itself: a.yaml → b.yaml → a.yaml"):
        read(project)


def test_what_is_included_from_outside_is_not_read_and_what_it_may_define_is_unknown(project: Path) -> None:
    write(project.parent, {"out.yaml": "services: {b: {image: x}}\nnetworks: {lan: {}}\n"})
    write(
        project,
        {"compose.yaml": "include: [../out.yaml]\nservices:\n  a: {image: x, networks: [lan], depends_on: [b]}\n"},
    )
    launch = read(project)
    assert [c.name for c in launch.containers] == ["a"]
    assert [(n.key, n.external) for n in launch.networks] == [("lan", True)]
    [warning] = launch.notifications
    assert (warning.level, warning.message) == (
        Level.WARNING,
        "compose.yaml:1:11: ../out.yaml lies outside the project's folder, and is not read; what it says is unknown",
    )


# ---- the environment


def test_the_env_file_of_the_project_is_for_interpolation_alone(project: Path) -> None:
    write(
        project,
        {
            ".env": """\
                # a comment
                export MODE=none
                QUOTED='a $MODE'
                DOUBLE="b ${MODE}\\tc"
                LATER=${MODE}-x # said
                LONG="one
                two"
                """,
            "compose.yaml": """\
                services:
                  a:
                    image: x
                    network_mode: ${MODE}
                    environment: [MODE, "Q=${QUOTED}", "D=${DOUBLE}", "L=${LATER}", "LONG=${LONG}", P=$COMPOSE_PROJECT_NAME]
                """,
        },
    )
    a = container(read(project), "a")
    assert a.network_mode == Said("none", Place("compose.yaml", 4, 19))
    assert environment(a) == {
        "MODE": "none",
        "Q": "a $MODE",
        "D": "b none\tc",
        "L": "none-x",
        "LONG": "one\ntwo",
        "P": "proj",
    }
    assert container(read(project, options=ReadOptions({"MODE": "host"})), "a").network_mode.value == "host"


def test_a_broken_env_file_is_an_error_with_its_line(project: Path) -> None:
    write(project, {".env": "A=1\n\nB!=2\n", "compose.yaml": "services: {a: {image: x}}\n"})
    with pytest.raises(ParseError, match=r"^\.env:3:1: 'B!' is no name of a variable"):
        read(project)


def test_env_files_fill_the_environment(project: Path) -> None:
    write(
        project,
        {
            "one.env": "A=1\nB=2\nC=$A-${TAG}\n",
            "two.env": "B=3\nD=${NOBODY}\nE\n",
            "raw.env": "F='$A'\n",
            "compose.yaml": """\
                services:
                  a:
                    image: x
                    env_file:
                      - one.env
                      - {path: two.env, required: true}
                      - {path: none.env, required: false}
                      - {path: raw.env, format: raw}
                    environment: {A: 9}
                """,
        },
    )
    launch = read(project, options=ReadOptions({"TAG": "t"}))
    a = container(launch, "a")
    assert environment(a) == {"A": "9", "B": "3", "C": "1-t", "D": None, "E": None, "F": "'$A'"}
    assert dict(a.environment)["B"].origin == Place("two.env", 1, 1)
    assert launch.notifications == ()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none.env", "does not exist"),
        ("../out.env", "lies outside the project's folder"),
        ("link.env", "lies outside the project's folder"),
        ("${WHICH}.env", "hangs on the variable WHICH, which is not set"),
    ],
)
def test_an_env_file_that_is_not_read_is_told(project: Path, name: str, why: str) -> None:
    write(project.parent, {"out.env": "SECRET=1\n"})
    (project / "link.env").symlink_to("../out.env")
    write(project, {"compose.yaml": f"services: {{a: {{image: x, env_file: '{name}'}}}}\n"})
    launch = read(project)
    assert environment(container(launch, "a")) == {}
    [warning] = launch.notifications
    assert warning.level is Level.WARNING
    assert f"{why}; the environment that it sets is not known" in warning.message


def test_the_projects_name(project: Path) -> None:
    write(
        project,
        {"compose.yaml": "services: {a: {image: x}}\n", "named.yaml": "name: My.App\nservices: {a: {image: x}}\n"},
    )
    assert [n.name for n in read(project).networks] == ["proj_default"]
    assert [n.name for n in read(project, "named.yaml").networks] == ["myapp_default"]
    given = ReadOptions({"COMPOSE_PROJECT_NAME": "given"})
    assert [n.name for n in read(project, "named.yaml", options=given).networks] == ["given_default"]


# ---- what is mounted


def test_small_files_of_the_project_are_read_where_they_are_mounted(project: Path) -> None:
    write(project.parent, {"outside.conf": "secret\n"})
    (project / "link.conf").symlink_to("../outside.conf")
    (project / "big.conf").write_text("x" * (257 << 10))
    (project / "bytes.conf").write_bytes(b"\xff\xfe")
    os.mkfifo(project / "pipe")
    write(
        project,
        {
            "tinyproxy.conf": "FilterDefaultDeny Yes\n",
            "compose.yaml": """\
                services:
                  a:
                    image: x
                    volumes:
                      - ./tinyproxy.conf:/etc/tinyproxy/tinyproxy.conf:ro
                      - ./link.conf:/link
                      - ./big.conf:/big
                      - ./bytes.conf:/bytes
                      - ./pipe:/pipe
                      - ../outside.conf:/outside
                      - .:/src
                    configs: [conf]
                configs: {conf: {file: ./tinyproxy.conf}}
                """,
        },
    )
    found = {m.target: (m.content, m.content_file) for m in container(read(project), "a").confinement.mounts}
    assert found == {
        "/etc/tinyproxy/tinyproxy.conf": ("FilterDefaultDeny Yes\n", "tinyproxy.conf"),
        "/conf": ("FilterDefaultDeny Yes\n", "tinyproxy.conf"),
        **dict.fromkeys(("/link", "/big", "/bytes", "/pipe", "/outside", "/src"), (None, None)),
    }


def test_the_folder_of_whoever_launches_it(project: Path) -> None:
    write(project, {"compose.yaml": "services: {a: {image: x, volumes: ['${PWD}/d:/d', '~/k:/k', '$HOME:/h']}}\n"})
    assert [m.source for m in container(read(project), "a").confinement.mounts] == [f"{project}/d", "~/k", "~"]
    home = ReadOptions({"HOME": "/home/me"})
    assert [m.source for m in container(read(project, options=home), "a").confinement.mounts] == [
        f"{project}/d",
        "/home/me/k",
        "/home/me",
    ]


# ---- a folder, as Compose finds its files in it


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in find_project(folder, ReadOptions())]


def test_compose_takes_the_first_of_its_names_with_its_override(project: Path) -> None:
    assert names(project) == []
    assert read_project(project, ReadOptions()) is None
    files = ["docker-compose.yaml", "docker-compose.yml", "compose.yml", "compose.yaml"]
    for name in files:
        write(project, {name: "services: {a: {image: x}}\n"})
        assert names(project) == [name]
    write(project, {"docker-compose.override.yml": "services: {a: {privileged: true}}\n"})
    assert names(project) == ["compose.yaml", "docker-compose.override.yml"]
    write(project, {"compose.override.yaml": "services: {a: {network_mode: none}}\n"})
    assert names(project) == ["compose.yaml", "compose.override.yaml"]
    launch = read_project(project, ReadOptions())
    assert launch is not None
    assert launch.files == (f"{project}/compose.yaml", f"{project}/compose.override.yaml")
    assert launch.containers[0].network_mode.value == "none"


def test_compose_file_in_the_env_file_replaces_them(project: Path) -> None:
    write(
        project,
        {
            "compose.yaml": "services: {wrong: {image: x}}\n",
            "one.yaml": "services: {a: {image: '${TAG}'}, b: {image: y, profiles: [dev]}}\n",
            "sub/two.yaml": "services: {a: {volumes: ['./x:/x']}}\n",
            ".env": "COMPOSE_FILE=one.yaml,sub/two.yaml\nCOMPOSE_PATH_SEPARATOR=,\nCOMPOSE_PROFILES=dev\nTAG=t\n",
        },
    )
    launch = read_project(project, ReadOptions())
    assert launch is not None
    assert [c.name for c in launch.containers] == ["a", "b"]
    a = launch.containers[0]
    assert a.image == Said("t", Place(f"{project}/one.yaml", 1, 23))
    assert a.confinement.mounts[0].source == f"{project}/x"
    # a file that is named is read alone, as with -f
    assert [c.name for c in read(project).containers] == ["wrong"]


def test_compose_file_in_a_folder_below_keeps_the_variables_of_both(project: Path) -> None:
    write(
        project,
        {
            ".env": "COMPOSE_FILE=sub/c.yaml\nONE=above\n",
            "sub/.env": "ONE=below\nTWO=below\n",
            "sub/c.yaml": "services: {a: {image: '$ONE-$TWO', volumes: ['./x:/x']}}\n",
        },
    )
    launch = read_project(project, ReadOptions())
    assert launch is not None
    a = launch.containers[0]
    assert a.image is not None
    assert a.image.value == "above-below"
    assert a.confinement.mounts[0].source == f"{project}/sub/x"


def test_compose_file_does_not_lead_out_of_the_folder(project: Path) -> None:
    write(project.parent, {"out.yaml": "services: {a: {image: x}}\n"})
    write(project, {".env": "COMPOSE_FILE=../out.yaml\n"})
    with pytest.raises(TargetError, match=r"out\.yaml leads out of the project's folder .* and is not read"):
        read_project(project, ReadOptions())
    write(project, {".env": "COMPOSE_FILE=none.yaml\n"})
    with pytest.raises(TargetError, match=r"there is no file .*none\.yaml, which COMPOSE_FILE names"):
        read_project(project, ReadOptions())
    (project / ".env").unlink()
    (project / "compose.yaml").symlink_to("../out.yaml")
    with pytest.raises(TargetError, match=r"compose\.yaml leads out of the project's folder"):
        read_project(project, ReadOptions())


def test_a_project_may_not_name_any_number_of_files(project: Path) -> None:
    write(project, {f"f{n}.yaml": f"services: {{s{n}: {{image: x}}}}\n" for n in range(520)})
    included = ", ".join(f"f{n}.yaml" for n in range(520))
    write(project, {"compose.yaml": f"include: [{included}]\nservices: {{a: {{image: x}}}}\n"})
    with pytest.raises(LimitError, match="the project names more than 500 files"):
        read(project)
