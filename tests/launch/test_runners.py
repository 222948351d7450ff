"""Runners: their facts have sources, fill what a file leaves open, add what is always added, and refuse what they cannot run."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import ParseError, ScannerError, UsageError
from scanner.launch import compose, daytona, docker_run, e2b, modal, openshell, runners, sandbox_runtime
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.launch.runners import FIELDS, FOLDER, apply, launch_of, names, parsed, runner
from scanner.launch.tomltext import read_toml
from scanner.model import Attachment, Container, Default, Launch, Network, Place, Said
from tests.launch.judging import judged, letters, read

FORMATS = {
    *("compose", "daytona", "devcontainer", "docker-inspect", "docker-run", "e2b", "harbor", "inspect_k8s_sandbox"),
    *("kubernetes", "modal", "opensandbox", "openshell", "sandbox-runtime"),
}


def test_the_systems_of_the_agent_world_are_there() -> None:
    assert set(names()) >= {
        *("docker", "compose", "devcontainer", "inspect_ai", "inspect_k8s_sandbox", "swe-bench", "swe-rex", "r2e-gym"),
        *("rock", "rock-kata", "opensandbox", "harbor", "openhands", "e2b", "modal", "daytona", "sandbox-runtime"),
        *("openshell", "kubernetes", "agent-sandbox", "terminal-bench", "codex"),
    }
    assert list(names()) == sorted(names())


@pytest.mark.parametrize("name", names())
def test_every_fact_has_a_source_and_every_file_says_what_it_is_about(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    found = runner(name)

    assert text.startswith("# "), "a file begins with what its system does"
    assert found.summary
    assert set(found.runs) <= FORMATS
    assert found.alone or found.runs, "a runner starts sandboxes by itself, or runs files"
    assert len({f.field for f in found.facts}) == len(found.facts)
    for fact in found.facts:
        assert fact.field in FIELDS[found.kind]
        assert re.match(r"[\w.-]+/[\w.-]+ \S|[\w.-]+\.(?:com|dev|io)/docs\b|docs\.docker\.com", fact.source), (
            fact.source
        )


def test_the_formats_that_runners_name_are_those_that_there_are() -> None:
    from importlib import import_module
    from pkgutil import iter_modules

    found = set()
    for module in iter_modules(import_module("scanner.launch").__path__):
        format = getattr(import_module(f"scanner.launch.{module.name}"), "FORMAT", None)
        found |= {format.name} if isinstance(format, Format) else set()
    assert {name for r in names() for name in runner(r).runs} <= found


def test_an_unknown_runner_is_told_with_what_was_perhaps_meant() -> None:
    with pytest.raises(UsageError, match="no runner 'swebench'; did you mean swe-bench\\?"):
        launch_of("swebench", None)
    with pytest.raises(UsageError, match="no runner 'Rock'; did you mean rock\\?"):
        launch_of("Rock", None)
    with pytest.raises(UsageError, match="there are agent-sandbox, "):
        launch_of("../../etc/passwd", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('summary = "x"\n', "f:1:1: a runner has a summary, and a kind"),
        ('summary = "x"\nkind = "jail"\n', "a runner has a summary, and a kind"),
        ('summary = "x"\nkind = "pod"\nother = 1\n', "f:3:1: a runner says nothing of 'other'"),
        ('summary = "x"\nkind = "pod"\n[[facts]]\nfield = "runtime"\n', "f:3:1: a fact has field, value, how"),
        ("FACT(privileged, true, adds, '')", "f:3:1: how is one of"),
        ("FACT(privileged, true, often, 'a/b c')", "f:3:1: how is one of"),
        ("FACT(colour, true, adds, 'a/b c')", "f:4:9: 'colour' is no fact of a container"),
        ("FACT(privileged, 'true', adds, 'a/b c')", "f:5:9: true or false is meant"),
        ("FACT(cap_add, 'ALL', adds, 'a/b c')", "f:5:9: a list is meant"),
        ("FACT(default_allow, true, adds, 'a/b c')", "f:4:9: 'default_allow' is no fact of a container"),
    ],
)
def test_a_broken_runner_is_an_error_with_its_place(text: str, words: str) -> None:
    fact = re.fullmatch(r"FACT\((\w+), (.*), (\w+), (.*)\)", text)
    if fact is not None:
        field, value, how, source = fact.groups()
        text = f'summary = "x"\nkind = "container"\n[[facts]]\nfield = "{field}"\nvalue = {value}\nhow = "{how}"\nsource = {source}\n'
    with pytest.raises(ParseError, match=re.escape(words)):
        parsed(read_toml(text, "f"), "f")


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["summary", "kind", "runs", "alone", "facts"]),
        st.sampled_from(['"x"', '"container"', '["a", 1]', "true", "[{}]", '[{field = "user", value = 1}]', "3"]),
    )
)
def test_no_runner_breaks_the_reader(values: dict[str, str]) -> None:
    text = "".join(f"{key} = {value}\n" for key, value in values.items())
    try:
        parsed(read_toml(text, "f"), "f")
    except ScannerError as e:
        assert str(e).startswith("f:")  # noqa: PT017 - either way is right


# ---- sandboxes without a launch file

# internet, private, metadata, host, engine (what the resolver does hangs on the engine)
ALONE = {
    "docker": "ooooc",
    "swe-bench": "uuuuu",  # CAP_SYS_ADMIN under the engine's AppArmor profile
    "swe-rex": "ooooc",
    "mini-swe-agent": "ooooc",
    "r2e-gym": "ooooc",
    "rock": "ooooo",
    "opensandbox": "ooooc",
    "harbor": "ooooc",
    "openhands": "ooooc",
    "inspect_ai": "ccccc",
    "e2b": "occuc",
    "modal": "ouuuc",
    "daytona": "ouuuc",
    "sandbox-runtime": "ccccc",
    "openshell": "ccccc",
}


@pytest.mark.parametrize("name", [n for n in ALONE if n != "swe-bench"])
def test_a_sandbox_as_its_runner_starts_it(name: str) -> None:
    launch = launch_of(name, "org/image:1")

    assert (launch.runner, launch.files) == (name, ())
    found = judged(launch)
    assert list(found) == ["sandbox"]
    assert letters(found["sandbox"])[:5] == ALONE[name]


@pytest.mark.parametrize("name", names())
def test_the_image_given_is_the_sandboxes(name: str) -> None:
    if not runner(name).alone:
        with pytest.raises(UsageError, match=r"name one$"):
            launch_of(name, None)
        return
    launch = launch_of(name, "org/image:1")
    images = [s.image for s in (*launch.containers, *launch.hosted)]
    images += [c.image for pod in (launch.cluster.pods if launch.cluster else ()) for c in pod.containers]
    assert [image.value for image in images if image is not None] == ["org/image:1"]
    judged(launch)


def test_what_rock_adds_is_the_runners() -> None:
    (plain,) = launch_of("rock", None).containers
    (kata,) = launch_of("rock-kata", None).containers

    rock = Default("runner rock")
    assert plain.confinement.privileged == Said(True, rock)
    assert [(p.port, p.host_ip, p.origin) for p in plain.published] == [(p, "", rock) for p in (8000, 8080, 22)]
    assert kata.confinement.privileged is None
    assert [c.value for c in kata.confinement.cap_add] == ["ALL"]
    assert kata.confinement.seccomp == Said("unconfined", Default("runner rock-kata"))
    assert kata.confinement.runtime == Said("io.containerd.kata.v2", Default("runner rock-kata"))
    assert judged(launch_of("rock", None))["sandbox"]["engine"].verdict == "open"
    isolated = judged(launch_of("rock-kata", None), ["runtime.io.containerd.kata.v2=isolates"])["sandbox"]
    assert isolated["engine"].verdict == "closed"


def test_swe_bench_adds_sys_admin() -> None:
    (container,) = launch_of("swe-bench", None).containers
    assert [(c.value, str(c.origin)) for c in container.confinement.cap_add] == [
        ("SYS_ADMIN", "default of runner swe-bench")
    ]
    found = judged(launch_of("swe-bench", None))["sandbox"]
    assert found["engine"].verdict == "unknown"
    assert found["internet"].verdict == "open"


# ---- files under a runner


def command(line: str) -> Launch:
    return docker_run.read_command(line, name="line")


def test_what_the_file_leaves_to_defaults_is_the_runners() -> None:
    (container,) = apply(command("docker run --rm ubuntu sleep 1"), "opensandbox").containers

    assert container.network_mode == Said("host", Default("runner opensandbox"))
    assert container.attachments == ()
    assert "NET_ADMIN" in {c.value for c in container.confinement.cap_drop}
    assert container.confinement.no_new_privileges == Said(True, Default("runner opensandbox"))


def test_what_the_file_says_stays() -> None:
    line = "docker run --network none --cap-drop KILL --security-opt no-new-privileges=false ubuntu"
    (container,) = apply(command(line), "opensandbox").containers

    assert container.network_mode.value == "none"
    assert isinstance(container.network_mode.origin, Place)
    assert [c.value for c in container.confinement.cap_drop] == ["KILL"]
    assert letters(judged(apply(command(line), "opensandbox")).popitem()[1]) == "cccccc"


def test_what_is_always_added_is_added_whatever_the_file_says() -> None:
    (container,) = apply(command("docker run --network none -p 1:22 --cap-add KILL ubuntu"), "rock").containers

    assert container.network_mode.value == "none"
    assert container.confinement.privileged == Said(True, Default("runner rock"))
    assert {p.port for p in container.published} == {22}  # a container without a network has no port to publish
    (other,) = apply(command("docker run --cap-add KILL ubuntu"), "rock-kata").containers
    assert [c.value for c in other.confinement.cap_add] == ["KILL", "ALL"]


def test_a_network_that_was_joined_is_a_network_that_was_said() -> None:
    said = Said("networks", Place("f", 1))
    container = Container("a", "container", Place("f", 1), said, (Attachment("n", Place("f", 2)),))
    network = Network("n", Said("bridge", Default("docker")), Said(False, Default("docker")), Place("f", 2))
    launch = Launch("docker-inspect", ("f",), "docker", (container,), (network,))

    assert apply(launch, "opensandbox").containers[0].network_mode == said
    assert apply(launch, "opensandbox").networks == (network,)


def test_a_runner_of_its_own_format_leaves_it_as_it_was_read() -> None:
    for format, text in (
        (e2b.FORMAT, '{"allowInternetAccess": false}'),
        (modal.FORMAT, "block_network: true\n"),
        (daytona.FORMAT, "networkBlockAll: true\n"),
        (sandbox_runtime.FORMAT, '{"network": {"allowedDomains": []}}'),
        (openshell.FORMAT, "version: 1\nnetwork_policies: {}\n"),
    ):
        launch = read(format, text)
        assert apply(launch, format.name) == launch


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b}]}\n", "rock"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b}]}\n", "e2b"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b}]}\n", "codex"),
    ],
)
def test_a_runner_refuses_what_it_cannot_run(text: str, wrong: str) -> None:
    from scanner.launch import kubernetes

    launch = kubernetes.FORMAT.read([Input("pod.yaml", text)], ReadOptions())
    with pytest.raises(UsageError, match=rf"^{wrong} does not run what is in pod\.yaml \(kubernetes\); it takes "):
        apply(launch, wrong)
    assert apply(launch, "agent-sandbox").runner == "agent-sandbox"


def test_a_compose_file_under_inspect_ai_is_what_compose_makes_of_it(tmp_path: Path) -> None:
    from scanner.launch import compose

    path = tmp_path / "compose.yaml"
    path.write_text("services:\n  default: {image: x}\n  off: {image: x, network_mode: none}\n")
    plain = compose.FORMAT.read([Input(str(path), path.read_text(), path)], ReadOptions())
    launch = apply(plain, "inspect_ai")

    assert (launch.containers, launch.networks, launch.runner) == (plain.containers, plain.networks, "inspect_ai")
    found = judged(launch)
    assert {name: one["internet"].verdict for name, one in found.items()} == {"default": "open", "off": "closed"}


def test_the_readme_names_every_field() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for fields in FIELDS.values():
        for field in fields:
            assert f"`{field}`" in text, field
    for how in runners.HOW:
        assert f"`{how}`" in text


def test_variables_that_a_runner_sets_are_set_for_its_compose_files(tmp_path: Path) -> None:
    path = tmp_path / "docker-compose.yaml"
    path.write_text(
        "services:\n  client:\n    image: x\n    volumes: ['${T_BENCH_TASK_LOGS_PATH}:${T_BENCH_CONTAINER_LOGS_PATH}']\n"
    )
    launch = compose.FORMAT.read([Input(str(path), path.read_text(), path)], ReadOptions())
    assert [m.key for m in launch.containers[0].missing] == ["env.T_BENCH_TASK_LOGS_PATH"]

    ran = apply(launch, "terminal-bench", ReadOptions({"T_BENCH_CONTAINER_LOGS_PATH": "/mine"}))

    assert ran.runner == "terminal-bench"
    assert ran.containers[0].missing == ()
    (mount,) = ran.containers[0].confinement.mounts
    assert (mount.source, mount.target) == ("/terminal-bench/runs/sessions", "/mine")
