"""OpenSandbox: the server's configuration (TOML) and a request for a sandbox (JSON), alone and together.

alibaba/OpenSandbox, server/configuration.md, server/opensandbox_server/{config,api/schema}.py and services/docker,
components/egress. Without a `networkPolicy` in the request there is no sidecar, and `[docker] network_mode` is `host` if
nothing is said. With one the sandbox joins the network namespace of a sidecar on the default bridge, which holds the list:
`dns` (the default) answers only for names that are allowed and lets every address pass, `dns+nft` holds addresses too. The
server refuses a policy on any other network.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import replace

from scanner.errors import ParseError
from scanner.launch.document import Node
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.launch.requests import documents, either, flag, mentions, required, rule, text, texts, unique, wrong
from scanner.launch.tomltext import toml_lines
from scanner.model import (
    Attachment,
    Cluster,
    Confinement,
    Container,
    Default,
    Enforcement,
    Hosted,
    HostRule,
    Launch,
    Level,
    Mount,
    MountKind,
    Network,
    Notification,
    Pod,
    PodContainer,
    Published,
    Said,
    printable,
)

RUNNER = Default("runner opensandbox")
DROPPED = (
    *("AUDIT_WRITE", "MKNOD", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_TIME"),
    "SYS_TTY_CONFIG",
)
"""Capabilities that the server takes from a sandbox if nothing is said."""
PORTS = (44772, 8080)
"""What it publishes of a sandbox on a bridge, on every address of the host."""
_SECTIONS = frozenset(
    ("server", "log", "runtime", "docker", "kubernetes", "agent_sandbox", "ingress", "egress", "storage", "store")
) | {"secure_runtime", "renew_intent"}
_POLICY = ("networkPolicy", "network_policy")
_DEFAULT = ("defaultAction", "default_action")


# ---- what is one


def _is_config(node: Node) -> bool:
    tables = {key for key, _, value in node.items() if value.is_map}
    kind, mode = node.at("runtime", "type"), node.at("egress", "mode")
    if node.at("runtime", "execd_image") is not None:
        return True
    if not tables or not {key for key, _, _ in node.items()} <= _SECTIONS:
        return False
    if mode is not None and mode.text in ("dns", "dns+nft"):
        return True
    if kind is not None and kind.text in ("docker", "kubernetes"):
        return True
    return node.at("docker", "network_mode") is not None


def _is_policy(node: Node) -> bool:
    """Also alone, as the sidecar's own interface takes it."""
    default, listed = either(node, *_DEFAULT), node.get("egress")
    named = default is not None and default.text in ("allow", "deny")
    rules = listed.elements if listed is not None else None
    ruled = rules is not None and all(r.get("action") is not None and r.get("target") is not None for r in rules)
    return (named and (listed is None or rules is not None)) or (ruled and bool(rules))


def _is_request(node: Node) -> bool:
    if node.get("apiVersion") is not None or node.get("kind") is not None:
        return False
    policy = either(node, *_POLICY)
    if policy is not None and policy.is_map:
        known = ("image", "entrypoint", "resourceLimits", "timeout", "snapshotId", "extensions")
        return _is_policy(policy) or any(node.get(key) is not None for key in known)
    uri = node.at("image", "uri")
    return uri is not None and any(node.get(key) is not None for key in ("entrypoint", "resourceLimits"))


def _recognises(given: Input) -> bool:
    found = documents(given)
    if not found:
        return mentions(given, ("execd_image", "networkPolicy", "dns+nft"))
    if len(found) != 1 or not found[0].is_map:
        return False
    node = found[0]
    return _is_config(node) if toml_lines(given.text) else _is_request(node) or _is_policy(node)


# ---- what it says


def _read(inputs: Sequence[Input], options: ReadOptions) -> Launch:
    del options  # nothing of the environment goes into either file
    config: Node | None = None
    requests: list[Node] = []
    for given in inputs:
        toml = toml_lines(given.text)
        for node in required(given):
            if not toml:
                requests.append(node)
            elif config is not None:
                raise ParseError(f"{node.place}: a second configuration of a server; {config.file} is the first")
            else:
                config = node
    launch = Launch("opensandbox", tuple(i.name for i in inputs), "opensandbox")
    if not requests:
        return _with(launch, "sandbox", config, None)
    for name, request in zip(unique(_name(one) for one in requests), requests, strict=True):
        launch = _with(launch, name, config, request)
    return launch


def _name(request: Node) -> str:
    named = request.at("metadata", "name")
    return printable(named.text, 100) if named is not None and named.text else "sandbox"


def _with(launch: Launch, name: str, config: Node | None, request: Node | None) -> Launch:
    runtime = text(config.at("runtime", "type")) if config is not None else None
    kubernetes = runtime is not None and runtime.value == "kubernetes"
    policy = _policy(request)
    if policy is not None:
        return _listed(launch, name, config, request, policy, kubernetes)
    if kubernetes:
        assert config is not None
        return _pod(launch, name, config, request)
    return _container(launch, name, config, request)


def _policy(request: Node | None) -> Node | None:
    if request is None:
        return None
    policy = either(request, *_POLICY)
    if policy is None and _is_policy(request):
        return request
    if policy is not None and not policy.is_map:
        raise wrong(policy, "a mapping is meant")
    return policy


def _mode(config: Node | None, otherwise: str) -> Said[str]:
    said = text(config.at("docker", "network_mode")) if config is not None else None
    return said if said is not None and said.value.strip() else Said(otherwise, RUNNER)


def _container(launch: Launch, name: str, config: Node | None, request: Node | None) -> Launch:
    mode = _mode(config, "host")
    networks = launch.networks
    attachments: tuple[Attachment, ...] = ()
    network_mode = mode
    if mode.value == "bridge":
        attachments = (Attachment("bridge", mode.origin),)
    elif mode.value not in ("host", "none") and not mode.value.startswith("container:"):
        network_mode = Said("networks", mode.origin)
        attachments = (Attachment(mode.value, mode.origin),)
        if launch.network(mode.value) is None:
            made = Network(
                mode.value, Said("bridge", RUNNER), Said(False, RUNNER), mode.origin, name=mode.value, external=True
            )
            networks = (*networks, made)
    published = tuple(Published("0.0.0.0", None, port, "tcp", RUNNER) for port in PORTS) if attachments else ()  # noqa: S104
    origin = request.place if request is not None else config.place if config is not None else RUNNER
    container = Container(
        name,
        "opensandbox",
        origin,
        network_mode,
        attachments,
        image=_image(request),
        published=published,
        confinement=_confinement(config, request),
        environment=_environment(request),
    )
    return replace(launch, containers=(*launch.containers, container), networks=networks)


def _pod(launch: Launch, name: str, config: Node, request: Node | None) -> Launch:
    namespace = text(config.at("kubernetes", "namespace"))
    account = text(config.at("kubernetes", "service_account"))
    origin = request.place if request is not None else config.place
    confinement = _confinement(None, request)
    runtime = text(config.at("secure_runtime", "k8s_runtime_class"))
    inside = PodContainer(
        "sandbox",
        _image(request),
        replace(confinement, runtime=runtime, cap_drop=(), no_new_privileges=None),
        environment=_environment(request),
    )
    pod = Pod(
        name,
        namespace.value if namespace is not None else "default",
        "BatchSandbox",
        origin,
        containers=(inside,),
        service_account=account,
    )
    cluster = launch.cluster or Cluster(())
    return replace(launch, cluster=replace(cluster, pods=(*cluster.pods, pod)))


def _listed(
    launch: Launch, name: str, config: Node | None, request: Node | None, policy: Node, kubernetes: bool
) -> Launch:
    # a request alone speaks to a server that takes it; a configuration that says nothing has the host's network
    mode = _mode(config, "bridge" if config is None else "host")
    notes: list[str] = []
    shared: Said[str] | None = None
    if not kubernetes and mode.value != "bridge":
        notes.append(f"{policy.place}: the server refuses a networkPolicy while docker.network_mode is {mode.value}")
        shared = Said("host", mode.origin)
    held = text(config.at("egress", "mode")) if config is not None else None
    if held is not None and held.value not in ("dns", "dns+nft"):
        raise ParseError(f"{held.origin}: egress.mode is dns or dns+nft, not {printable(held.value, 40)!r}")
    if held is not None and held.value == "dns+nft":
        notes.append(f"{held.origin}: dns+nft falls back to dns where the sidecar cannot apply nftables")
    enforcement = Said(
        Enforcement.PACKET if held is not None and held.value == "dns+nft" else Enforcement.DNS,
        held.origin if held is not None else RUNNER,
    )
    default, rules = _rules(policy)
    hosted = Hosted(
        name,
        "opensandbox",
        policy.place,
        default,
        rules,
        enforcement,
        deny_first=False,
        network_mode=shared,
        image=_image(request),
        confinement=_confinement(config if not kubernetes else None, request),
        environment=_environment(request),
        private_closed=Said(False, RUNNER),
        host_closed=Said(False, RUNNER),
        engine_closed=Said(True, RUNNER),
    )
    told = tuple(Notification("launch", Level.NOTE, note) for note in notes)
    return replace(launch, hosted=(*launch.hosted, hosted), notifications=(*launch.notifications, *told))


def _rules(policy: Node) -> tuple[Said[bool], tuple[HostRule, ...]]:
    """Names are matched in order, addresses that are denied before any that are allowed (components/egress: policy, nftables)."""
    said = text(either(policy, *_DEFAULT))
    listed = either(policy, "egress")
    if listed is not None and listed.elements is None:
        raise wrong(listed, "a list of {action, target} is meant")
    if said is not None and said.value.lower() not in ("allow", "deny"):
        raise ParseError(f"{said.origin}: defaultAction is allow or deny, not {printable(said.value, 40)!r}")
    rules = []
    for one in listed.elements or () if listed is not None else ():
        action, target = text(either(one, "action")), text(either(one, "target"))
        if target is None or (action is not None and action.value.lower() not in ("allow", "deny")):
            raise wrong(one, "a rule with action (allow, deny) and target is meant")
        rules.append(rule(action is not None and action.value.lower() == "allow", target))
    rules.sort(key=lambda r: r.allow or not _is_address(r.host))
    if said is not None:
        return Said(said.value.lower() == "allow", said.origin), tuple(rules)
    # nothing said at all is an open start by the API's own words; with rules the sidecar denies the rest
    return Said(not rules, RUNNER), tuple(rules)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_network(host, strict=False)
    except ValueError:
        return False
    return True


def _image(request: Node | None) -> Said[str] | None:
    if request is None:
        return None
    image = request.get("image")
    return text(image) if image is None or image.text is not None else text(image.get("uri"))


def _environment(request: Node | None) -> tuple[tuple[str, Said[str | None]], ...]:
    env = request.get("env") if request is not None else None
    if env is None or not env.is_map:
        return ()
    return tuple((key, Said(None if value.is_null else value.text, value.place)) for key, _, value in env.items())


def _confinement(config: Node | None, request: Node | None) -> Confinement:
    docker = config.get("docker") if config is not None else None
    dropped = either(docker, "drop_capabilities") if docker is not None else None
    plain = flag(either(docker, "no_new_privileges")) if docker is not None else None
    seccomp = text(either(docker, "seccomp_profile")) if docker is not None else None
    apparmor = text(either(docker, "apparmor_profile")) if docker is not None else None
    return Confinement(
        cap_drop=texts(dropped) if dropped is not None else tuple(Said(name, RUNNER) for name in DROPPED),
        no_new_privileges=plain if plain is not None else Said(True, RUNNER),
        seccomp=seccomp if seccomp is not None and seccomp.value else None,
        apparmor=apparmor if apparmor is not None and apparmor.value else None,
        runtime=text(config.at("secure_runtime", "docker_runtime")) if config is not None else None,
        mounts=_mounts(request),
    )


def _mounts(request: Node | None) -> tuple[Mount, ...]:
    volumes = either(request, "volumes") if request is not None else None
    if volumes is None:
        return ()
    if volumes.elements is None:
        raise wrong(volumes, "a list of volumes is meant")
    mounts = []
    for one in volumes.elements:
        path, target = text(one.at("host", "path")), text(either(one, "mountPath", "mount_path"))
        claim = text(either(one.get("pvc") or one, "claimName", "claim_name"))
        under = text(either(one, "subPath", "sub_path"))
        read_only = flag(either(one, "readOnly", "read_only"))
        source = path.value if path is not None else claim.value if claim is not None else ""
        if path is not None and under is not None:
            source = f"{source.rstrip('/')}/{under.value.lstrip('/')}"
        kind = MountKind.BIND if path is not None else MountKind.VOLUME if claim is not None else MountKind.OTHER
        mounts.append(
            Mount(
                kind,
                source,
                target.value if target is not None else "",
                read_only is not None and read_only.value,
                one.place,
            )
        )
    return tuple(mounts)


FORMAT = Format("opensandbox", "OpenSandbox: server configuration (TOML), request (JSON)", _recognises, _read)
