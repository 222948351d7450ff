"""Edits as diffs: what is removed or set, what stays as it was, in block and in flow style."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.launch.document import read_yaml
from scanner.launch.patch import patch
from scanner.model import (
    Attachment,
    Confinement,
    Container,
    Default,
    Launch,
    Mount,
    MountKind,
    Network,
    Place,
    Said,
)

COMPOSE = """\
# agents
services:
  agent:
    image: x   # the image
    privileged: yes # why
    cap_add: [NET_ADMIN, SYS_ADMIN]
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock
      # the data
      - ./data:/data
      - type: bind
        source: /
        target: /host
    networks:
      inside: {}
      out:
  proxy: {image: y, networks: [inside, out]}
networks:
  inside:
  out:
    driver: bridge
  z: {driver: bridge}
"""
NAME = "compose.yaml"
D = Default("compose")


def at(text: str, number: int = 1) -> Place:
    """The place of a text's n-th occurrence."""
    where = -1
    for _ in range(number):
        where = COMPOSE.index(text, where + 1)
    return Place(NAME, COMPOSE.count("\n", 0, where) + 1, where - COMPOSE.rfind("\n", 0, where))


def mount(place: Place) -> Mount:
    return Mount(MountKind.BIND, "x", "y", read_only=False, origin=place)


LAUNCH = Launch(
    "compose",
    (NAME,),
    "compose",
    containers=(
        Container(
            "agent",
            "compose service",
            at("agent:"),
            Said("networks", D),
            (Attachment("inside", at("inside:")), Attachment("out", at("out:"))),
            confinement=Confinement(
                privileged=Said(True, at("yes")),
                cap_add=(Said("NET_ADMIN", at("NET_ADMIN")), Said("SYS_ADMIN", at("SYS_ADMIN"))),
                mounts=(mount(at("/var/run")), mount(at("./data")), mount(at("type: bind"))),
            ),
        ),
        Container(
            "proxy",
            "compose service",
            at("proxy:"),
            Said("networks", D),
            (Attachment("inside", at("inside, out")), Attachment("out", at("out]"))),
        ),
    ),
    networks=tuple(
        Network(k, Said("bridge", D), Said(False, D), at(f"{k}:", 2 if k != "z" else 1)) for k in ("inside", "out", "z")
    ),
)


def changed(*edits) -> tuple[list[str], list[str]]:
    """Lines taken away and lines added."""
    diff = patch(LAUNCH, edits, {NAME: COMPOSE}).diff.splitlines()[2:]
    return [x[1:] for x in diff if x.startswith("-")], [x[1:] for x in diff if x.startswith("+")]


def remove(field: str, index: int, container: str = "agent") -> dict:
    return {"op": "remove", "object": f"container:{container}", "field": field, "index": index}


def put(where: str, field: str, value) -> dict:
    return {"op": "set", "object": where, "field": field, "value": value}


@pytest.mark.parametrize(
    ("edit", "away", "added"),
    [
        (remove("mounts", 0), ["      - /var/run/docker.sock:/var/run/docker.sock"], []),
        (remove("mounts", 1), ["      - ./data:/data"], []),
        (remove("mounts", 2), ["      - type: bind", "        source: /", "        target: /host"], []),
        (remove("cap_add", 0), ["    cap_add: [NET_ADMIN, SYS_ADMIN]"], ["    cap_add: [SYS_ADMIN]"]),
        (remove("cap_add", 1), ["    cap_add: [NET_ADMIN, SYS_ADMIN]"], ["    cap_add: [NET_ADMIN]"]),
        (remove("attachments", 0), ["      inside: {}"], []),
        (remove("attachments", 1), ["      out:"], []),
        (
            remove("attachments", 1, "proxy"),
            ["  proxy: {image: y, networks: [inside, out]}"],
            ["  proxy: {image: y, networks: [inside]}"],
        ),
        (put("container:agent", "privileged", False), ["    privileged: yes # why"], ["    privileged: false # why"]),
        (put("network:inside", "internal", True), [], ["    internal: true"]),
        (put("network:out", "internal", True), [], ["    internal: true"]),
        (put("network:z", "internal", True), ["  z: {driver: bridge}"], ["  z: {internal: true, driver: bridge}"]),
        (put("network:default", "internal", True), [], ["  default:", "    internal: true"]),
        (
            put("container:agent", "network_mode", "none"),
            ["    networks:", "      inside: {}", "      out:"],
            ["    network_mode: none"],
        ),
        (
            put("network:out", "com.docker.network.bridge.enable_icc", "false"),
            [],
            ["    driver_opts:", '      com.docker.network.bridge.enable_icc: "false"'],
        ),
    ],
)
def test_one_edit_changes_its_lines_alone(edit, away, added):
    assert changed(edit) == (away, added)


def test_several_edits_at_once_count_places_in_the_file_as_it_stands():
    away, added = changed(
        remove("mounts", 0),
        remove("mounts", 2),
        remove("cap_add", 0),
        remove("cap_add", 1),
        put("network:out", "internal", True),
    )
    assert "      - ./data:/data" not in away
    assert "    internal: true" in added
    text = patch(LAUNCH, [remove("mounts", 0), remove("mounts", 1), remove("mounts", 2)], {NAME: COMPOSE}).texts[NAME]
    [document] = read_yaml(text, NAME)
    assert document.at("services", "agent", "volumes") is None
    assert "# agents" in text


def test_a_container_taken_off_its_last_network_is_not_put_on_the_default_one():
    text = patch(LAUNCH, [remove("attachments", 0), remove("attachments", 1)], {NAME: COMPOSE}).texts[NAME]
    [document] = read_yaml(text, NAME)
    assert document.at("services", "agent", "networks") is None
    assert document.at("services", "agent", "network_mode").text == "none"
    assert document.at("services", "proxy", "networks").plain() == ["inside", "out"]


def test_an_edit_that_no_file_holds_is_handed_back():
    wall = {"op": "firewall", "object": "network:out", "allow": "x"}
    result = patch(LAUNCH, [wall, remove("mounts", 0)], {NAME: COMPOSE})
    assert result.left == (wall,)
    assert "docker.sock" in result.diff


def test_a_launch_without_networks_gets_the_default_one():
    text = "services:\n  a:\n    image: x"
    launch = Launch("compose", (NAME,), "compose")
    result = patch(launch, [put("network:default", "internal", True)], {NAME: text})
    [document] = read_yaml(result.texts[NAME], NAME)
    assert document.at("networks", "default", "internal").flag() is True


def test_a_policy_is_a_document_of_its_own():
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: n}\n"
    launch = Launch("kubernetes", ("pod.yaml",), "kubernetes")
    edit = {
        "op": "add",
        "object": "policy",
        "namespace": "n",
        "labels": {"app": "a"},
        "allow": [["203.0.113.7/32", 443]],
    }
    result = patch(launch, [edit], {"pod.yaml": text})
    pod, policy = read_yaml(result.texts["pod.yaml"], "pod.yaml")
    assert pod.get("kind").text == "Pod"
    assert policy.plain() == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny-egress", "namespace": "n"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "a"}},
            "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "203.0.113.7/32"}}], "ports": [{"protocol": "TCP", "port": 443}]}],
        },
    }


@given(
    st.lists(
        st.sampled_from(
            [
                remove("mounts", 0),
                remove("mounts", 1),
                remove("mounts", 2),
                remove("cap_add", 0),
                remove("cap_add", 1),
                remove("attachments", 0),
                remove("attachments", 1, "proxy"),
                put("network:inside", "internal", True),
                put("network:z", "internal", True),
                put("container:agent", "privileged", False),
            ]
        ),
        unique_by=str,
    )
)
def test_any_edits_leave_yaml_that_says_the_rest(edits):
    result = patch(LAUNCH, edits, {NAME: COMPOSE})
    assert result.left == ()
    [document] = read_yaml(result.texts.get(NAME, COMPOSE), NAME)
    assert document.at("services", "agent", "image").text == "x"
    assert document.at("services", "proxy", "image").text == "y"
    assert document.at("networks", "z", "driver").text == "bridge"


def test_the_diff_applies(tmp_path: Path):
    (tmp_path / NAME).write_text(COMPOSE)
    result = patch(LAUNCH, [remove("mounts", 2), put("network:out", "internal", True)], {NAME: COMPOSE})
    done = subprocess.run(
        ["patch", "-p1", "--fuzz=0"], input=result.diff, text=True, cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / NAME).read_text() == result.texts[NAME]
