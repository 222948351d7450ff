"""Harbor tasks: the network of the agent's phase, older spellings, and the Compose file of the environment."""

from pathlib import Path

import pytest

from scanner.errors import ParseError, TargetError
from scanner.launch import harbor
from scanner.launch.plugin import Input, ReadOptions
from scanner.model import Default, Launch
from tests.launch.judging import allowed, judged, letters, read

OLD = 'version = "1.0"\n[metadata]\ndifficulty = "easy"\n[verifier]\ntimeout_sec = 9.0\n[agent]\ntimeout_sec = 9.0\n'
PUBLIC, NONE, LISTED = "ooooc", "cccccc", "lcccco"
"""internet, private, metadata, host, engine, dns; whether a bridge's resolver answers hangs on the engine"""

NETWORKS = [
    ("nothing said", OLD + "[environment]\ncpus = 1\n", PUBLIC),
    ("allow_internet", OLD + "[environment]\nallow_internet = true\n", PUBLIC),
    ("no allow_internet", OLD + "[environment]\nallow_internet = false\n", NONE),
    ("public", '[environment]\nnetwork_mode = "public"\n', PUBLIC),
    ("no-network", '[environment]\nnetwork_mode = "no-network"\n', NONE),
    ("allowlist", '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["pypi.org"]\n', LISTED),
    # whatever the list says, the resolver answers: names leave
    ("empty allowlist", '[environment]\nnetwork_mode = "allowlist"\n', "ccccco"),
    ("the agent's own", '[environment]\nnetwork_mode = "public"\n[agent]\nnetwork_mode = "no-network"\n', NONE),
    ("the agent's wider", '[environment]\nnetwork_mode = "no-network"\n[agent]\nnetwork_mode = "public"\n', PUBLIC),
    ("the verifier's alone", '[environment]\nnetwork_mode = "no-network"\n[verifier]\nnetwork_mode = "public"\n', NONE),
    (
        "hosts of a table without a mode mean nothing",
        '[environment]\nnetwork_mode = "public"\n[agent]\nallowed_hosts = ["a.example"]\n',
        PUBLIC,
    ),
    (
        "the widest of the steps",
        '[environment]\nnetwork_mode = "no-network"\n[[steps]]\nname = "a"\n[[steps]]\nname = "b"\n[steps.agent]\nnetwork_mode = "allowlist"\nallowed_hosts = ["pypi.org"]\n',
        LISTED,
    ),
]


@pytest.mark.parametrize(("text", "verdicts"), [n[1:] for n in NETWORKS], ids=[n[0] for n in NETWORKS])
def test_the_network_of_the_agents_phase(text: str, verdicts: str) -> None:
    found = judged(read(harbor.FORMAT, text))

    assert list(found) == ["main"]
    assert letters(found["main"])[: len(verdicts)] == verdicts


def test_an_allowlist_is_told_by_host_and_line() -> None:
    text = '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = [\n  "pypi.org",\n  "api.example.com:8443",\n]\n'
    launch = read(harbor.FORMAT, text)

    assert allowed(judged(launch)["main"]["internet"]) == {
        (("pypi.org",), "tcp", ((1, 65535),)),
        (("api.example.com",), "tcp", ((8443, 8443),)),
    }
    assert [str(rule.origin) for rule in launch.hosted[0].rules] == ["f0:4:3", "f0:5:3"]


def test_what_the_agent_leaves_running_meets_the_verifiers_network() -> None:
    text = '[environment]\nnetwork_mode = "public"\n[agent]\nnetwork_mode = "no-network"\n'

    (note,) = read(harbor.FORMAT, text).notifications
    assert note.message.startswith("f0:2:16: the network is no-network only while the agent runs")
    for over in ('network_mode = "no-network"', 'environment_mode = "separate"'):
        assert not read(harbor.FORMAT, text + f"[verifier]\n{over}\n").notifications


def test_the_image_and_its_variables_are_the_environments() -> None:
    text = OLD + '[environment]\ndocker_image = "org/task:1"\nenv = { MODE = "test" }\n'

    (main,) = read(harbor.FORMAT, text).containers
    assert main.image is not None
    assert (main.image.value, str(main.image.origin)) == ("org/task:1", "f0:9:16")
    assert [(name, said.value) for name, said in main.environment] == [("MODE", "test")]


# ---- with the environment's Compose file

COMPOSE = """services:
  main:
    volumes:
      - ./data:/data
  db:
    image: postgres
networks:
  default:
    internal: {internal}
"""


def task(folder: Path, text: str, compose: str | None = None) -> Input:
    (folder / "environment").mkdir(parents=True, exist_ok=True)
    path = folder / "task.toml"
    path.write_text(text)
    if compose is not None:
        (folder / "environment" / "docker-compose.yaml").write_text(compose)
    return Input(f"{folder.name}/task.toml", text, path)


def opened(given: Input) -> Launch:
    assert harbor.FORMAT.recognises(given)
    return harbor.FORMAT.read([given], ReadOptions())


def test_a_compose_file_goes_over_harbors_own(tmp_path: Path) -> None:
    launch = opened(task(tmp_path / "a", OLD + "[environment]\n", COMPOSE.format(internal="true")))

    assert launch.files == ("a/task.toml", "a/environment/docker-compose.yaml")
    main, db = sorted(launch.containers, key=lambda c: c.name != "main")
    assert (main.name, main.kind, db.name) == ("main", "harbor", "db")
    assert {str(m.origin).rpartition("/")[2] for m in main.confinement.mounts} == {"docker-compose.yaml:4:9"}
    found = judged(launch)
    assert found["main"]["internet"].verdict == "closed"
    assert found["main"]["siblings"].verdict == "open"


def test_services_that_the_task_does_not_mention_are_harbors(tmp_path: Path) -> None:
    launch = opened(
        task(tmp_path / "a", OLD + '[environment]\ndocker_image = "x:1"\n', "services:\n  db: {image: pg}\n")
    )

    main = launch.container("main")
    assert main is not None
    assert main.origin == Default("runner harbor")
    assert main.image is not None
    assert main.image.value == "x:1"
    assert judged(launch)["main"]["internet"].verdict == "open"


@pytest.mark.parametrize(("mode", "verdicts"), [("no-network", NONE), ("allowlist", "ccccco")])
def test_a_policy_holds_every_service_in_one_namespace(tmp_path: Path, mode: str, verdicts: str) -> None:
    text = f'[environment]\nnetwork_mode = "{mode}"\n'
    found = judged(opened(task(tmp_path / "a", text, COMPOSE.format(internal="false"))))

    assert {name: letters(one) for name, one in found.items()} == {"main": verdicts, "db": verdicts}
    assert {one["siblings"].verdict for one in found.values()} == {"open"}


def test_a_socket_takes_over_behind_an_allowlist_too(tmp_path: Path) -> None:
    compose = "services:\n  main:\n    volumes: [/var/run/docker.sock:/var/run/docker.sock]\n"
    text = '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["pypi.org"]\n'

    found = judged(opened(task(tmp_path / "a", text, compose)))["main"]
    assert letters(found) == "oooooo"


def test_several_tasks_are_kept_apart(tmp_path: Path) -> None:
    named = '[task]\nname = "org/one"\n[environment]\nnetwork_mode = "no-network"\n'
    other = '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["pypi.org"]\n'
    inputs = [
        task(tmp_path / "a", named, COMPOSE.format(internal="true")),
        task(tmp_path / "b", other),
        task(tmp_path / "c", OLD + "[environment]\n"),
    ]

    found = judged(harbor.FORMAT.read(inputs, ReadOptions()))
    assert {name: letters(one) for name, one in found.items()} == {
        "org/one/main": NONE,
        "org/one/db": NONE,
        "b/main": LISTED,
        "c/main": letters(found["c/main"]),
    }
    assert letters(found["c/main"]).startswith(PUBLIC)


def test_a_compose_file_outside_the_task_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("services: {main: {image: x}}\n")
    given = task(tmp_path / "a", OLD + "[environment]\n")
    (tmp_path / "a" / "environment" / "docker-compose.yaml").symlink_to(tmp_path / "secret.yaml")

    with pytest.raises(TargetError, match="leads out of the task's folder"):
        harbor.FORMAT.read([given], ReadOptions())


def test_a_broken_compose_file_is_an_error_with_its_place(tmp_path: Path) -> None:
    given = task(tmp_path / "a", OLD + "[environment]\n", "services:\n  main: [\n")

    with pytest.raises(ParseError, match=r"^a/environment/docker-compose\.yaml:\d+:\d+: "):
        harbor.FORMAT.read([given], ReadOptions())


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[environment]\nallow_internet = true\n[agent]\nnetwork_mode = "off"\n', "f:4:16"),
        ("[environment]\nallow_internet = false\n[verifier]\ntimeout_sec = \n", "f:4:15"),
        ('environment = 3\n[agent]\nnetwork_mode = "public"\n', "f:1:15"),
        ('[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = [["a"]]\n', "f:3:18"),
    ],
)
def test_broken_tasks_are_errors_with_their_place(text: str, place: str) -> None:
    given = Input("f", text)
    assert harbor.FORMAT.recognises(given)
    with pytest.raises(ParseError, match=f"^{place}: "):
        harbor.FORMAT.read([given], ReadOptions())
