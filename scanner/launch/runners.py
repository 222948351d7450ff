"""Runners: what the same launch has under each system that may run it. Their facts are data, runners/NAME.toml.

A fact is a value that a system gives where the file says nothing (`how = "default"`), that it adds in any case (`"adds"`), or
that it gives where there is no file at all (`"alone"`), each with the source it was read from; runners/README.md says more.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from scanner.errors import ParseError, TargetError, UsageError
from scanner.launch.document import Node
from scanner.launch.plugin import Input, ReadOptions
from scanner.launch.tomltext import read_toml
from scanner.model import (
    Attachment,
    Cluster,
    Confinement,
    Container,
    Default,
    Enforcement,
    Hosted,
    Launch,
    Mount,
    MountKind,
    Network,
    Pod,
    PodContainer,
    Published,
    Said,
    printable,
)

FOLDER = Path(__file__).with_name("runners")
SANDBOX = "sandbox"
KINDS = ("container", "hosted", "pod")
HOW = ("default", "adds", "alone")
FILLED = ("docker-run", "docker-inspect")
"""The formats whose gaps a runner fills. A Compose project is Compose's own, and a runner's own format has read its facts."""
LARGEST = 4 << 20
"""Characters of a launch file that is read again for a runner of another kind."""

_TEXT = ("network_mode", "seccomp", "apparmor", "pid", "ipc", "uts", "userns", "cgroup", "runtime", "user", "image")
_TRUTH = ("privileged", "no_new_privileges")
_LISTS = ("cap_add", "cap_drop", "devices", "mounts", "published", "extra_hosts", "sysctls", "variables")
_HOSTED_TRUTH = ("default_allow", "deny_first", "dns", "private_closed", "host_closed", "engine_closed", "blocked")
FIELDS: Mapping[str, frozenset[str]] = {
    "container": frozenset((*_TEXT, *_TRUTH, *_LISTS)),
    "hosted": frozenset((*_HOSTED_TRUTH, "enforcement")),
    "pod": frozenset(("runtime", "service_account_token")),
}
"""The fields of which each kind of runner may state facts."""


@dataclass(frozen=True, slots=True)
class Fact:
    """`value` is a text, a truth or a tuple of texts, as the field takes it. `how`: see above."""

    field: str
    value: str | bool | tuple[str, ...]
    how: str
    source: str

    @property
    def adds(self) -> bool:
        return self.how == "adds"


@dataclass(frozen=True, slots=True)
class Runner:
    """`runs` are the formats that it can be given, `alone` whether it starts sandboxes without a launch file."""

    name: str
    summary: str
    kind: str
    runs: tuple[str, ...]
    alone: bool
    facts: tuple[Fact, ...]

    @property
    def origin(self) -> Default:
        return Default(f"runner {self.name}")

    def fact(self, field: str) -> Fact | None:
        return next((fact for fact in self.facts if fact.field == field), None)


@cache
def names() -> tuple[str, ...]:
    """All runners, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def runner(name: str) -> Runner:
    """Raises UsageError for one that there is not, with what was perhaps meant."""
    if name not in names():
        close = difflib.get_close_matches(name.lower(), names(), 1)
        hint = f"did you mean {close[0]}?" if close else "there are " + ", ".join(names())
        raise UsageError(f"there is no runner {printable(name, 60)!r}; {hint}")
    return _loaded(name)


@cache
def _loaded(name: str) -> Runner:
    path = FOLDER / f"{name}.toml"
    return parsed(read_toml(path.read_text(encoding="utf-8"), path.name), name)


def parsed(node: Node, name: str) -> Runner:
    """A runner's file. Raises ParseError for a key, kind or field that there is not, and for a fact without its source."""
    known = {"summary", "kind", "runs", "alone", "facts"}
    for key, at, _ in node.items():
        if key not in known:
            raise ParseError(f"{at.place}: a runner says nothing of {printable(key, 40)!r}")
    summary, kind, alone = (node.get(key) for key in ("summary", "kind", "alone"))
    if summary is None or not summary.text or kind is None or kind.text not in KINDS:
        raise ParseError(f"{node.place}: a runner has a summary, and a kind: {', '.join(KINDS)}")
    runs, facts = node.get("runs"), node.get("facts")
    return Runner(
        name,
        summary.text,
        kind.text,
        tuple(_word(one) for one in (runs.elements or ()) if runs is not None) if runs is not None else (),
        alone is not None and alone.flag() is True,
        tuple(_fact(one, kind.text) for one in facts.elements or ()) if facts is not None else (),
    )


def _word(node: Node) -> str:
    if not node.text:
        raise ParseError(f"{node.place}: a text is meant")
    return node.text


def _fact(node: Node, kind: str) -> Fact:
    field, value, how, source = (node.get(key) for key in ("field", "value", "how", "source"))
    if field is None or value is None or how is None or source is None or len(node.pairs or ()) != 4:
        raise ParseError(f"{node.place}: a fact has field, value, how and source")
    if field.text not in FIELDS[kind]:
        raise ParseError(f"{field.place}: {printable(field.text or '', 40)!r} is no fact of a {kind}")
    if how.text not in HOW or not source.text:
        raise ParseError(f"{node.place}: how is one of {', '.join(HOW)}, and a fact has a source")
    said: str | bool | tuple[str, ...]
    if field.text in (*_TRUTH, *_HOSTED_TRUTH, "service_account_token"):
        truth = value.flag()
        if truth is None or value.quoted:
            raise ParseError(f"{value.place}: true or false is meant")
        said = truth
    elif field.text in _LISTS:
        said = tuple(_word(one) for one in value.elements or ())
        if not said:
            raise ParseError(f"{value.place}: a list is meant")
    else:
        said = _word(value)
    return Fact(field.text, said, how.text, source.text)


# ---- a launch under a runner


def apply(launch: Launch, runner_name: str, options: ReadOptions | None = None) -> Launch:
    """The launch as the runner starts it: what the file leaves to defaults is the runner's, what it always adds is there.

    A Compose project under a runner of pods becomes them, and is read again for that with `options`. Raises UsageError for an
    unknown runner and for a launch that it cannot run.
    """
    chosen = runner(runner_name)
    if launch.format not in chosen.runs:
        what = ", ".join(chosen.runs) or "no launch file at all"
        raise UsageError(f"{chosen.name} does not run what is in {_files(launch)} ({launch.format}); it takes {what}")
    if launch.format == "compose" and chosen.name == "inspect_k8s_sandbox":
        from scanner.launch.inspect_k8s import from_compose

        return from_compose(_again(launch), options or ReadOptions())
    variables = chosen.fact("variables")
    if launch.format == "compose" and variables is not None and isinstance(variables.value, tuple):
        launch = _with_variables(launch, variables.value, options or ReadOptions())
    launch = replace(launch, runner=chosen.name)
    if chosen.kind != "container" or launch.format not in FILLED:
        return launch
    facts = tuple(fact for fact in chosen.facts if fact.how != "alone")
    containers = tuple(_container(one, facts, chosen.origin) for one in launch.containers)
    return replace(launch, containers=containers, networks=_networks(launch.networks, containers))


def _files(launch: Launch) -> str:
    return printable(", ".join(launch.files), 200) or "the launch"


def _with_variables(launch: Launch, variables: Sequence[str], options: ReadOptions) -> Launch:
    """The Compose project with what the runner sets for it; what the user says goes over it."""
    from scanner.launch import compose

    given = dict(one.split("=", 1) for one in variables)
    return compose.FORMAT.read(_again(launch), replace(options, environment={**given, **options.environment}))


def _again(launch: Launch) -> Sequence[Input]:
    inputs = []
    for name in launch.files:
        path = Path(name)
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(LARGEST + 1)
        except (OSError, UnicodeDecodeError, ValueError) as e:
            raise TargetError(f"{printable(name)} cannot be read again for this runner: {e}") from e
        if len(text) > LARGEST:
            raise TargetError(f"{printable(name)} is longer than any Compose file")
        inputs.append(Input(name, text, path))
    return inputs


def launch_of(runner_name: str, image: str | None) -> Launch:
    """One sandbox as the runner starts it where no file says anything; its name is `sandbox`.

    Raises UsageError for an unknown runner and for one that always has a launch file.
    """
    chosen = runner(runner_name)
    if not chosen.alone:
        raise UsageError(f"{chosen.name} starts what a launch file says ({', '.join(chosen.runs)}); name one")
    origin = chosen.origin
    said = Said(image, Default("the image given")) if image is not None else None
    launch = Launch("runner", (), chosen.name)
    if chosen.kind == "hosted":
        return replace(launch, hosted=(_hosted(chosen, said),))
    if chosen.kind == "pod":
        runtime, token = chosen.fact("runtime"), chosen.fact("service_account_token")
        confinement = Confinement(
            seccomp=Said("unconfined", Default("kubernetes")),
            runtime=Said(str(runtime.value), origin) if runtime is not None else None,
        )
        pod = Pod(SANDBOX, "default", "Pod", origin, containers=(PodContainer(SANDBOX, said, confinement),))
        if token is not None:
            pod = replace(pod, token_mounted=Said(bool(token.value), origin))
        return replace(launch, cluster=Cluster((pod,)))
    mode = Said("bridge", Default("docker"))
    plain = Container(SANDBOX, chosen.name, origin, mode, (Attachment("bridge", mode.origin),), said)
    container = _container(plain, chosen.facts, origin)
    return replace(launch, containers=(container,), networks=_networks((), (container,)))


# ---- containers


def _container(container: Container, facts: Sequence[Fact], origin: Default) -> Container:
    for fact in facts:
        if fact.field == "network_mode":
            container = _with_network(container, fact, origin)
        elif fact.field == "image":
            if container.image is None:
                container = replace(container, image=Said(str(fact.value), origin))
        elif fact.field == "published":
            container = _with_ports(container, fact, origin)
        elif fact.field == "extra_hosts":
            known = {name for name, _ in container.extra_hosts}
            more = (value.partition("=") for value in _texts(fact))
            added = tuple((name, Said(to, origin)) for name, _, to in more if name not in known)
            container = replace(container, extra_hosts=(*container.extra_hosts, *added))
        else:
            held = _confined(container.confinement, fact, origin)
            container = replace(container, confinement=held)
    return container


def _texts(fact: Fact) -> tuple[str, ...]:
    return fact.value if isinstance(fact.value, tuple) else (str(fact.value),)


def _with_network(container: Container, fact: Fact, origin: Default) -> Container:
    """Another network mode where nobody said one: joining networks is saying one."""
    said = container.network_mode
    joined = any(not isinstance(a.origin, Default) for a in container.attachments)
    if not fact.adds and (not isinstance(said.origin, Default) or joined):
        return container
    mode = str(fact.value)
    attachments = {"bridge": (Attachment("bridge", origin),), "networks": (Attachment("default", origin),)}
    return replace(container, network_mode=Said(mode, origin), attachments=attachments.get(mode, ()))


_PORT = re.compile(r"(?:(?P<ip>[0-9.]+):)?(?:(?P<host>\d+):)?(?P<port>\d+)(?:/(?P<protocol>tcp|udp))?")


def _with_ports(container: Container, fact: Fact, origin: Default) -> Container:
    if container.network_mode.value in ("host", "none"):
        return container
    added = []
    for value in _texts(fact):
        found = _PORT.fullmatch(value)
        if found is None:
            raise ParseError(f"{origin}: {printable(value, 40)!r} is no published port")
        host = int(found["host"]) if found["host"] else None
        added.append(Published(found["ip"] or "", host, int(found["port"]), found["protocol"] or "tcp", origin))
    return replace(container, published=(*container.published, *added))


def _confined(held: Confinement, fact: Fact, origin: Default) -> Confinement:
    if fact.field in ("cap_add", "cap_drop", "devices"):
        before: tuple[Said[str], ...] = getattr(held, fact.field)
        if before and not fact.adds:
            return held
        known = {one.value for one in before}
        added = tuple(Said(value, origin) for value in _texts(fact) if value not in known)
        changed: dict[str, Any] = {fact.field: (*before, *added)}
        return replace(held, **changed)
    if fact.field == "mounts":
        targets = {mount.target for mount in held.mounts}
        mounts = (_mount(value, origin) for value in _texts(fact))
        return replace(held, mounts=(*held.mounts, *(m for m in mounts if m.target not in targets)))
    if fact.field == "sysctls":
        given = {name for name, _ in held.sysctls}
        pairs = (value.partition("=") for value in _texts(fact))
        more = tuple((name, Said(value, origin)) for name, _, value in pairs if name not in given)
        return replace(held, sysctls=(*held.sysctls, *more))
    said = getattr(held, fact.field)
    if said is not None and not isinstance(said.origin, Default) and not fact.adds:
        return held
    one: dict[str, Any] = {fact.field: Said(fact.value, origin)}
    return replace(held, **one)


def _mount(value: str, origin: Default) -> Mount:
    source, _, rest = value.partition(":")
    target, _, mode = rest.partition(":")
    kind = MountKind.BIND if source.startswith(("/", "~", "$")) else MountKind.VOLUME
    return Mount(kind, source, target, mode == "ro", origin)


def _networks(networks: tuple[Network, ...], containers: tuple[Container, ...]) -> tuple[Network, ...]:
    """The networks that are joined, those that a runner's default asks for included."""
    joined = {a.network: a.origin for c in containers for a in c.attachments}
    known = {network.key for network in networks}
    made = tuple(
        Network(key, Said("bridge", Default("docker")), Said(False, Default("docker")), origin, name=key)
        for key, origin in joined.items()
        if key not in known
    )
    return (*networks, *made)


# ---- hosted sandboxes


def _hosted(chosen: Runner, image: Said[str] | None) -> Hosted:
    origin = chosen.origin

    def truth(field: str) -> Said[bool] | None:
        fact = chosen.fact(field)
        return Said(bool(fact.value), origin) if fact is not None else None

    enforcement, order = chosen.fact("enforcement"), chosen.fact("deny_first")
    return Hosted(
        SANDBOX,
        chosen.name,
        origin,
        truth("default_allow") or Said(True, origin),
        enforcement=Said(
            Enforcement(str(enforcement.value)) if enforcement is not None else Enforcement.PACKET, origin
        ),
        deny_first=order is None or bool(order.value),
        dns=truth("dns"),
        image=image,
        private_closed=truth("private_closed"),
        blocked=truth("blocked"),
        host_closed=truth("host_closed"),
        engine_closed=truth("engine_closed"),
    )
