"""Harbor and Terminal-Bench 2: a task's `task.toml`, with the Compose file of its environment if it has one.

harborframework.com/docs ("Tasks", "Network Policy"), Harbor's models/task/config.py and environments/docker. The network is
`public` (what a Compose project has if nothing is said), `no-network` or `allowlist`; `[agent]` overrides `[environment]` while
the agent runs, `allow_internet` is how older tasks say it. On Docker every service joins the network namespace of a sidecar
then: its rules hand TCP to a proxy that reads the name asked for (SNI, Host), refuse other protocols and let the resolver
through. The environment's docker-compose.yaml goes over Harbor's own file, whose one service is `main`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scanner.errors import ParseError, TargetError
from scanner.launch.document import Node
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.launch.requests import documents, either, flag, required, rule, settled, text, texts, unique, wrong
from scanner.launch.tomltext import sections, toml_lines
from scanner.model import (
    Attachment,
    Container,
    Default,
    Enforcement,
    Hosted,
    Launch,
    Level,
    Network,
    Notification,
    Origin,
    Said,
    printable,
)
from scanner.roots import lasting

RUNNER = Default("runner harbor")
MODES = ("public", "no-network", "allowlist")
COMPOSE = "docker-compose.yaml"
"""The one name that Harbor looks for in a task's `environment` folder."""
_BASE = "Harbor's own Compose file"
_TABLES = {
    "environment": frozenset(
        (
            *("build_timeout_sec", "docker_image", "cpus", "memory_mb", "storage_mb", "memory", "storage", "gpus"),
            *("allow_internet", "network_mode", "allowed_hosts", "workdir", "mcp_servers", "skills_dir", "healthcheck"),
        )
    ),
    "agent": frozenset(("timeout_sec", "network_mode", "allowed_hosts", "user")),
    "verifier": frozenset(("timeout_sec", "network_mode", "allowed_hosts", "environment_mode", "collect", "user")),
}
_VARIABLES = {
    "CPUS": "1",
    "MEMORY": "1024M",
    "CONTEXT_DIR": ".",
    "TEST_DIR": "/tests",
    "MAIN_IMAGE_NAME": "main",
    "PREBUILT_IMAGE_NAME": "main",
    "HOST_VERIFIER_LOGS_PATH": "./logs/verifier",
    "HOST_AGENT_LOGS_PATH": "./logs/agent",
    "HOST_ARTIFACTS_PATH": "./logs/artifacts",
    "ENV_VERIFIER_LOGS_PATH": "/logs/verifier",
    "ENV_AGENT_LOGS_PATH": "/logs/agent",
    "ENV_ARTIFACTS_PATH": "/logs/artifacts",
}
"""What Harbor puts into the Compose files; folders of each trial."""


# ---- recognition


def _recognises(given: Input) -> bool:
    if not toml_lines(given.text):
        return False
    found = documents(given)
    if not found:
        named = sections(given.text)
        return {"environment", "verifier"} <= named or bool(named & {"allow_internet", "build_timeout_sec"})
    return _is_task(found[0])


def _is_task(node: Node) -> bool:
    known = 0
    for name, keys in _TABLES.items():
        table = node.get(name)
        if table is None or not table.is_map:
            continue
        mode, internet = table.get("network_mode"), table.get("allow_internet")
        if mode is not None and mode.text in MODES:
            return True
        if name == "environment" and internet is not None and internet.flag() is not None:
            return True
        inside = {key for key, _, _ in table.items()}
        known += bool(inside & keys) and (name != "agent" or "timeout_sec" in inside)
    return known >= 2 or (known == 1 and node.get("environment") is not None and _has_frame(node))


def _has_frame(node: Node) -> bool:
    version = node.get("schema_version") or node.get("version")
    named = node.at("task", "name")
    return version is not None and (node.get("metadata") is not None or named is not None)


# ---- the network of a phase


@dataclass(frozen=True, slots=True)
class _Network:
    mode: Said[str]
    hosts: tuple[Said[str], ...]


def _network(*tables: Node | None) -> _Network:
    """The first table that says something of the network counts. Raises ParseError for a mode that there is not."""
    for table in tables:
        if table is None:
            continue
        mode = text(either(table, "network_mode"))
        if mode is not None:
            if mode.value not in MODES:
                raise ParseError(
                    f"{mode.origin}: network_mode is {', '.join(MODES)}, not {printable(mode.value, 40)!r}"
                )
            return _Network(mode, texts(either(table, "allowed_hosts")))
        internet = flag(either(table, "allow_internet"))
        if internet is not None:
            return _Network(Said("public" if internet.value else "no-network", internet.origin), ())
    return _Network(Said("public", RUNNER), ())


def _phases(task: Node) -> Iterator[_Network]:
    """The agent's phases: one, or one a step."""
    environment, agent = _table(task, "environment"), _table(task, "agent")
    steps = either(task, "steps")
    found = 0
    for step in steps.elements or () if steps is not None else ():
        own = _table(step, "agent") if step.is_map else None
        if own is not None and (own.get("network_mode") is not None or own.get("allow_internet") is not None):
            found += 1
            yield _network(own, agent, environment)
    if not found or (steps is not None and len(steps.elements or ()) > found):
        yield _network(agent, environment)


def _table(node: Node, name: str) -> Node | None:
    table = either(node, name)
    if table is not None and not table.is_map:
        raise wrong(table, f"{name} is a table")
    return table


def _widest(phases: Sequence[_Network]) -> _Network:
    """What a task's containers may have at some time while the agent runs in them."""
    for mode in ("public", "allowlist"):
        alike = [p for p in phases if p.mode.value == mode]
        if alike:
            return _Network(alike[0].mode, tuple(host for p in alike for host in p.hosts))
    return phases[0]


# ---- reading


def _read(inputs: Sequence[Input], options: ReadOptions) -> Launch:
    launches = [_task(given, options) for given in inputs]
    if len(launches) > 1:
        names = unique(_name(given) for given in inputs)
        launches = [_prefixed(launch, name) for launch, name in zip(launches, names, strict=True)]
    return Launch(
        "harbor",
        tuple(file for launch in launches for file in launch.files),
        "harbor",
        tuple(c for launch in launches for c in launch.containers),
        tuple(n for launch in launches for n in launch.networks),
        tuple(h for launch in launches for h in launch.hosted),
        notifications=tuple(n for launch in launches for n in launch.notifications),
    )


def _name(given: Input) -> str:
    named = required(given)[0].at("task", "name")
    if named is not None and named.text:
        return printable(named.text, 100)
    return Path(lasting(given.name)).parent.name or "task"


def _task(given: Input, options: ReadOptions) -> Launch:
    task = required(given)[0]
    environment = _table(task, "environment")
    network = _widest(tuple(_phases(task)))
    image = text(either(environment, "docker_image")) if environment is not None else None
    launch, own = _environment(given, image, options)
    launch = replace(
        launch,
        containers=tuple(
            _main(c, environment, image, task)
            if c.name == "main" and not own
            else replace(c, kind="harbor")
            if c.name == "main"
            else c
            for c in launch.containers
        ),
    )
    launch = _held(launch, network)
    return replace(launch, notifications=(*launch.notifications, *_verifier(task, network)))


def _main(container: Container, environment: Node | None, image: Said[str] | None, task: Node) -> Container:
    table = environment.get("env") if environment is not None else None
    pairs = table.items() if table is not None else ()
    given: tuple[tuple[str, Said[str | None]], ...] = tuple(
        (key, Said(value.text, value.place)) for key, _, value in pairs
    )
    place = (environment or task).place
    return replace(container, kind="harbor", origin=place, image=image, environment=(*container.environment, *given))


def _environment(given: Input, image: Said[str] | None, options: ReadOptions) -> tuple[Launch, bool]:
    """The containers as they are without a policy, and whether a Compose file of the task's own says what they are."""
    compose = _compose_file(given, options)
    if compose is None:
        main = Container("main", "harbor", RUNNER, Said("networks", RUNNER), (Attachment("default", RUNNER),), image)
        network = Network("default", Said("bridge", Default("docker")), Said(False, Default("compose")), RUNNER)
        return Launch("harbor", (given.name,), "harbor", (main,), (network,)), False
    from scanner.launch import compose as reader

    folder = compose.path.parent if compose.path is not None else None
    what = f"image: {_quoted(image.value)}" if image is not None else "build: {context: .}"
    text_ = f"services:\n  main:\n    {what}\n    command: [sh, -c, sleep infinity]\n"
    base = Input(_BASE, text_, folder / "docker-compose-base.yaml" if folder is not None else None)
    read = reader.read([base, compose], ReadOptions({**_VARIABLES, **options.environment}, options.profiles, folder))
    launch: Launch = settled(read, _BASE, RUNNER)
    return replace(launch, format="harbor", runner="harbor", files=(given.name, compose.name)), True


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''").replace("$", "$$") + "'"


def _compose_file(given: Input, options: ReadOptions) -> Input | None:
    from scanner.launch.composing.files import Folder, OutsideError, absolute_path

    if given.path is None:
        return None
    folder = absolute_path(given.path).parent
    path = folder / "environment" / COMPOSE
    shown = str(Path(given.name).parent / "environment" / COMPOSE)
    root = absolute_path(options.project) if options.project is not None else folder
    try:
        found = Folder(root, str(Path(given.name).parent)).read(path)
    except OutsideError as e:
        raise TargetError(f"{shown} leads out of the task's folder and is not read") from e
    return Input(shown, found, path) if found is not None else None


# ---- what holds it


def _held(launch: Launch, network: _Network) -> Launch:
    if network.mode.value == "public":
        return launch
    if network.mode.value == "no-network":
        first = launch.containers[0].name if launch.container("main") is None else "main"
        mode = Said("none", network.mode.origin)
        other = Said(f"container:{first}", network.mode.origin)
        containers = tuple(
            replace(c, network_mode=mode if c.name == first else other, attachments=(), published=())
            for c in launch.containers
        )
        return replace(launch, containers=containers, networks=())
    names = tuple(c.name for c in launch.containers)
    hosted = tuple(_hosted(c, network, tuple(n for n in names if n != c.name)) for c in launch.containers)
    return replace(launch, containers=(), networks=(), hosted=hosted)


def _hosted(container: Container, network: _Network, others: tuple[str, ...]) -> Hosted:
    return Hosted(
        container.name,
        "harbor",
        container.origin,
        Said(False, network.mode.origin),
        tuple(rule(True, one, "tcp") for one in network.hosts),
        Said(Enforcement.SNI, RUNNER),
        dns=Said(True, RUNNER),
        image=container.image,
        confinement=container.confinement,
        environment=container.environment,
        missing=container.missing,
        private_closed=Said(False, RUNNER),
        host_closed=Said(False, RUNNER),
        engine_closed=Said(True, RUNNER),
        shares=others,
    )


def _verifier(task: Node, network: _Network) -> Iterator[Notification]:
    """What the agent leaves running runs on while the verifier has the same containers."""
    verifier, environment = _table(task, "verifier"), _table(task, "environment")
    separate = text(either(verifier, "environment_mode")) if verifier is not None else None
    if separate is not None and separate.value == "separate":
        return
    after = _network(verifier, environment)
    if MODES.index(after.mode.value) == MODES.index("public") and network.mode.value != "public":
        where: Origin = after.mode.origin
        words = (
            f"{where}: the network is {network.mode.value} only while the agent runs; what it leaves running meets a public one"
            " in the verifier's phase"
        )
        yield Notification("launch", Level.NOTE, words)


def _prefixed(launch: Launch, task: str) -> Launch:
    """Of several tasks each has its own `main`."""

    def named(name: str) -> str:
        return f"{task}/{name}"

    def mode(said: Said[str]) -> Said[str]:
        kind, _, name = said.value.partition(":")
        inside = kind == "container" and launch.container(name) is not None
        return Said(f"container:{named(name)}", said.origin) if inside else said

    containers = tuple(
        replace(
            c,
            name=named(c.name),
            network_mode=mode(c.network_mode),
            attachments=tuple(replace(a, network=named(a.network)) for a in c.attachments),
        )
        for c in launch.containers
    )
    hosted = tuple(replace(h, name=named(h.name), shares=tuple(named(one) for one in h.shares)) for h in launch.hosted)
    networks = tuple(replace(n, key=named(n.key)) for n in launch.networks)
    return replace(launch, containers=containers, hosted=hosted, networks=networks)


FORMAT = Format("harbor", "Harbor: a task.toml, with its environment's Compose file", _recognises, _read)
