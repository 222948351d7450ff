"""What a launch file is, and how a user's words become one launch."""

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import LimitError, ParseError, TargetError, UsageError
from scanner.launch import recognise
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.launch.recognise import format_of, formats, open_launch, read_inputs
from scanner.model import Launch, Level

COMPOSE = "services:\n  app:\n    image: app\n"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\nspec: {containers: [{name: c, image: i}]}\n"
DEVCONTAINER = '{"image": "dev", "features": {}}'
RUN = "docker run --network outer app\n"
NETWORK = json.dumps([{"Name": "outer", "Id": "1", "Driver": "bridge", "Internal": True, "IPAM": {"Config": []}}])
CONTAINER = json.dumps([{"Id": "c", "Name": "/told", "Config": {}, "HostConfig": {"NetworkMode": "none"}}])


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def opened(*paths: Path | str) -> Launch:
    return open_launch([str(p) for p in paths], ReadOptions())


def messages(launch: Launch, level: Level) -> list[str]:
    return [n.message for n in launch.notifications if n.level is level]


# ---- formats


def test_every_module_with_a_format_is_asked_once_and_shell_text_last() -> None:
    names = [f.name for f in formats()]
    assert len(set(names)) == len(names) > 5
    assert {"compose", "kubernetes", "devcontainer", "docker-inspect", "docker-run"} <= set(names)
    assert names[-1] == "docker-run"
    package = Path(recognise.__file__).parent
    with_format = [p for p in package.glob("*.py") if "\nFORMAT = " in p.read_text()]
    assert len(with_format) == len(names)
    assert all(isinstance(f, Format) and f.summary for f in formats())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (COMPOSE, "compose"),
        (POD, "kubernetes"),
        (DEVCONTAINER, "devcontainer"),
        (CONTAINER, "docker-inspect"),
        (NETWORK, "docker-inspect"),
        (RUN, "docker-run"),
        ("#!/bin/sh\nexec docker run app\n", "docker-run"),
        ("[environment]\nallow_internet = false\n", "harbor"),
        ("", None),
        ("hello\n", None),
        ('{"name": "x", "version": "1.0.0", "dependencies": {}}', None),
        ("key: [1, 2]\n", None),
        ("- a\n- b\n", None),
        ("services\n", None),
    ],
)
def test_a_text_is_known_by_its_content(text: str, name: str | None) -> None:
    found = format_of(Input("anything", text))
    assert (found.name if found is not None else None) == name


@settings(deadline=None, max_examples=150)
@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(["services", ":", "{", "}", "[", "]", "\n", " ", "docker run ", "apiVersion", '"', "a"]),
        max_size=20,
    ).map("".join)
)
def test_no_text_makes_recognition_raise(text: str) -> None:
    format_of(Input("x", text))
    for suffix in (".yaml", ".json", ".toml"):
        format_of(Input("x", text, Path("x" + suffix)))


# ---- files


def test_one_file(tmp_path: Path) -> None:
    written(tmp_path, x=COMPOSE)
    launch = opened(tmp_path / "x")
    assert (launch.format, launch.files, [c.name for c in launch.containers]) == (
        "compose",
        (str(tmp_path / "x"),),
        ["app"],
    )


def test_several_files_of_a_kind_are_read_together(tmp_path: Path) -> None:
    written(tmp_path, a=COMPOSE, b="services: {app: {network_mode: none}}\n")
    [app] = opened(tmp_path / "a", tmp_path / "b").containers
    assert app.network_mode.value == "none"
    assert (app.image.value if app.image else "") == "app"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(RUN.encode())))
    launch = opened("-")
    assert (launch.format, launch.files) == ("docker-run", ("standard input",))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"services: [")))
    with pytest.raises(ParseError, match=r"^standard input:2:\d+: no YAML"):
        opened("-")


def test_texts_that_are_read_already() -> None:
    launch = read_inputs([Input("container:told", CONTAINER)], ReadOptions())
    assert ([c.name for c in launch.containers], launch.files) == (["told"], ("container:told",))


def test_networks_that_the_engine_tells_of_are_no_longer_external(tmp_path: Path) -> None:
    compose = "services: {a: {image: i, networks: [n]}}\nnetworks: {n: {external: true, name: outer}}\n"
    written(tmp_path, run=RUN, compose=compose, networks=NETWORK, container=CONTAINER)
    for name, key in (("run", "outer"), ("compose", "n")):
        for order in ((name, "networks"), ("networks", name)):
            launch = opened(*(tmp_path / one for one in order))
            network = launch.network(key)
            assert network is not None
            assert (network.external, network.internal.value) == (False, True)
            assert str(network.internal.origin).startswith(str(tmp_path / "networks") + ":1:")
    with pytest.raises(UsageError, match="these files do not make one launch"):
        opened(tmp_path / "run", tmp_path / "container")


def test_files_that_do_not_belong_together_are_named_with_their_kinds(tmp_path: Path) -> None:
    written(tmp_path, a=COMPOSE, b=POD, c=RUN)
    with pytest.raises(UsageError) as error:
        opened(*(tmp_path / name for name in "abc"))
    for name in "abc":
        assert f"{tmp_path / name}: " in str(error.value)
    for words in ("Compose", "Kubernetes", "docker run"):
        assert words in str(error.value)


def test_who_runs_it_may_be_said(tmp_path: Path) -> None:
    path = written(tmp_path, run="docker run app\n") / "run"
    launch = open_launch([str(path)], ReadOptions(), "rock")
    assert launch.runner == "rock"
    privileged = launch.containers[0].confinement.privileged
    assert privileged is not None
    assert privileged.value is True
    with pytest.raises(UsageError):
        open_launch([str(path)], ReadOptions(), "nobody")


def test_nothing_named() -> None:
    with pytest.raises(UsageError, match="no launch file was named"):
        open_launch([], ReadOptions())


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"hello", ParseError, r"x:1:1: this is no launch file that is known\. Known are: .*Compose"),
        (b"", ParseError, r"x:1:1: this is no launch file"),
        (b"a: b\nc: [\n", ParseError, r"x:3:1: no YAML"),
        (b'{"a":\n !}', ParseError, r"x:2:2: no JSON"),
        (b"services:\n\xff", ParseError, r"x:2:1: no text in UTF-8: the byte 0xff"),
        (b"services: {a: *b}", ParseError, r"x:1:15: the alias \*b has no anchor"),
        (b"a: 1\na: 2\n", ParseError, r"x:2:1: the key a stands on line 1"),
    ],
)
def test_what_cannot_be_read_says_where(data: bytes, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(error, match=message):
        opened(tmp_path / "x")


def test_broken_toml_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text("[environment]\nallow_internet = \n")
    with pytest.raises(ParseError, match=r"task\.toml:2:\d+: "):
        opened(tmp_path / "task.toml")


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="none: there is no such file"):
        opened(tmp_path / "none")
    with pytest.raises(TargetError, match="/dev/null is no regular file"):
        opened("/dev/null")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(LimitError, match="larger than 64 MiB"):
        opened(tmp_path / "x")


# ---- directories


def test_a_compose_project_comes_first(tmp_path: Path) -> None:
    written(
        tmp_path,
        **{
            "compose.yaml": COMPOSE,
            "compose.override.yaml": "services: {app: {privileged: true}}\n",
            ".devcontainer/devcontainer.json": DEVCONTAINER,
            "pod.yaml": POD,
        },
    )
    launch = opened(tmp_path)
    assert launch.format == "compose"
    assert launch.containers[0].confinement.privileged is not None


@pytest.mark.parametrize(
    "name", [".devcontainer/devcontainer.json", ".devcontainer.json", ".devcontainer/a/devcontainer.json"]
)
def test_a_development_container_comes_second(name: str, tmp_path: Path) -> None:
    written(tmp_path, **{name: DEVCONTAINER, "pod.yaml": POD})
    launch = opened(tmp_path)
    assert (launch.format, launch.files) == ("devcontainer", (f"{tmp_path}/{name}",))


TASK = "version = '1.0'\n[metadata]\n[verifier]\ntimeout_sec = 9.0\n[environment]\ncpus = 1\n"
SIDECAR = "services:\n  db: {image: db}\n"


def test_a_task_has_the_compose_file_of_its_environment(tmp_path: Path) -> None:
    files = {"task.toml": TASK, "environment/docker-compose.yaml": SIDECAR, "tests/k8s.yaml": POD}
    launch = opened(written(tmp_path, **files))
    assert (launch.format, {c.name for c in launch.containers}) == ("harbor", {"main", "db"})


def test_what_lies_in_the_folders_of_several_tasks_is_theirs(tmp_path: Path) -> None:
    files = {f"{one}/task.toml": TASK for one in "ab"} | {
        f"{one}/environment/docker-compose.yaml": SIDECAR for one in "ab"
    }
    launch = opened(written(tmp_path, **files, **{"a/solution/compose.yaml": COMPOSE}))
    assert launch.format == "harbor"
    assert sorted(c.name.rpartition("/")[2] for c in launch.containers) == ["db", "db", "main", "main"]


def test_a_manifest_beside_tasks_is_not_left_out(tmp_path: Path) -> None:
    launch = opened(written(tmp_path, **{"a/task.toml": TASK, "pod.yaml": POD}))
    assert launch.format == "kubernetes"
    assert [m.split(" is no manifest")[0] for m in messages(launch, Level.NOTE)] == [str(tmp_path / "a/task.toml")]


def test_every_manifest_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    folder = written(
        tmp_path / "folder",
        **{
            "b/pod.yml": POD.replace("NAME", "b"),
            "a.yaml": POD.replace("NAME", "a"),
            "c.json": '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}',
            ".hidden/pod.yaml": POD.replace("NAME", "hidden"),
            "values.yaml": "replicas: 1\n",
            "broken.yaml": "a: [\n",
            "latin.yaml": "x",
            "README.md": "docker run app\n",
            "sub/compose.yaml": COMPOSE,
        },
    )
    written(outside, **{"pod.yaml": POD.replace("NAME", "outside")})
    (folder / "latin.yaml").write_bytes(b"\xff")
    (folder / "link.yaml").symlink_to(outside / "pod.yaml")
    (folder / "linked").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    launch = opened(folder)
    assert launch.cluster is not None
    assert {p.name for p in launch.cluster.pods} == {"a", "b"}
    errors, notes = messages(launch, Level.ERROR), messages(launch, Level.NOTE)
    assert [e.removeprefix(f"{folder}/").partition(": ")[0] for e in errors] == ["broken.yaml:2:1", "latin.yaml:1:1"]
    for part in (
        "values.yaml is no launch file",
        "link.yaml is a link that leaves",
        "linked is a link that leaves",
        "sub/compose.yaml is no manifest",
    ):
        assert sum(part in note for note in notes) == 1
    assert not any(word in " ".join((*errors, *notes)) for word in ("hidden", "README"))


def test_files_that_are_none_are_counted_beyond_a_hundred(tmp_path: Path) -> None:
    written(tmp_path, **{f"{n}.yaml": "x: 1\n" for n in range(120)}, **{"pod.yml": POD})
    launch = opened(tmp_path)
    notes = [n for n in launch.notifications if n.level is Level.NOTE]
    assert (len(notes), notes[-1].count, sum(n.count for n in notes)) == (101, 20, 120)


def test_a_folder_among_files(tmp_path: Path) -> None:
    folder = written(tmp_path / "folder", **{"a.yaml": POD.replace("NAME", "a")})
    written(tmp_path, **{"b.yaml": POD.replace("NAME", "b")})
    for order in ((folder, tmp_path / "b.yaml"), (tmp_path / "b.yaml", folder)):
        launch = opened(*order)
        assert launch.cluster is not None
        assert {p.name for p in launch.cluster.pods} == {"a", "b"}


def test_a_single_compose_project_further_down(tmp_path: Path) -> None:
    written(
        tmp_path,
        **{"deploy/compose.yaml": COMPOSE, "deploy/compose.override.yaml": "services: {app: {privileged: true}}\n"},
    )
    [app] = opened(tmp_path).containers
    assert app.confinement.privileged is not None
    written(tmp_path, **{"other/compose.yaml": COMPOSE})
    with pytest.raises(UsageError, match="Compose projects in several folders; name one of"):
        opened(tmp_path)


def test_a_directory_with_nothing(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="there is no launch file in this directory"):
        opened(tmp_path)
    written(tmp_path, **{"broken.yaml": "a: [\n"})
    with pytest.raises(TargetError, match=r"no launch file in this directory.*broken\.yaml:2:1: no YAML"):
        opened(tmp_path)


def test_a_directory_with_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, **{f"{n}.yaml": POD for n in range(12)})
    monkeypatch.setattr(recognise, "FILES", 11)
    with pytest.raises(LimitError, match="holds more than 11 files"):
        opened(tmp_path)
    monkeypatch.setattr(recognise, "FILES", 100)
    monkeypatch.setattr(recognise, "BYTES", 100)
    with pytest.raises(LimitError, match="MiB of manifests"):
        opened(tmp_path)


def test_the_current_directory_names_files_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, **{"k/pod.yaml": POD})
    monkeypatch.chdir(tmp_path)
    launch = opened(".")
    assert launch.files == ("k/pod.yaml",)
