"""inspect_k8s_sandbox: the values of its Helm chart `agent-env`, and the Compose files that it turns into such values.

UKGovernmentBEIS/inspect_k8s_sandbox, src/k8s_sandbox/resources/helm/agent-env (values.yaml, templates/network-policy.yaml and
services.yaml) and docs/docs/helm. Each service is a pod; Cilium policies let out what `allowDomains` (TLS SNI on 443, HTTP Host
on 80), `allowDomainsPorts` (by the addresses that a name resolves to), `allowCIDR` and `allowEntities` name, let names be looked
up that are allowed, and keep pods apart by `networks` and `networkIsolated`. The policies are written here as the chart
renders them and read as any other of their kind.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scanner.errors import LimitError, ParseError, ScannerError
from scanner.launch.document import Node
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.launch.requests import documents, either, flag, mentions, required, settled, text, texts, wrong
from scanner.model import (
    Cluster,
    Container,
    Default,
    Launch,
    Level,
    Namespace,
    Notification,
    Place,
    Pod,
    PodContainer,
    Policy,
    Said,
    printable,
)

RUNNER = Default("runner inspect_k8s_sandbox")
RELEASE = "agent-env"
NAMESPACE = "default"
"""The release's name and namespace are chosen when a sandbox starts."""
EXTENSIONS = ("x-inspect_k8s_sandbox", "x-k8s")
LONGEST = 2 << 20
"""Characters of a file of values."""
_CHART = "the chart's own values"
"""The file of what the chart itself says; no place of the user's."""
_TOP = frozenset(
    (
        *("global", "allowDomains", "allowDomainsPorts", "allowCIDR", "allowEntities", "networks", "corednsImage"),
        *("corednsCommand", "corednsSecurityContext", "imagePullSecrets", "services", "volumes", "additionalResources"),
        *("annotations", "labels", "automountServiceAccountToken", "serviceAccountName", "serviceAccountCreate"),
        *("defaultRuntime", "networkPolicyProvider", "networkPolicy", "extraContainers", "corednsUpstream"),
        "corednsReadyPort",
    )
)
_OWN = _TOP - (
    {"networks", "services", "volumes", "annotations", "labels", "global", "imagePullSecrets"}
    | {"networkPolicy", "extraContainers"}
)
"""Top-level keys that neither Compose nor another chart of services has."""
_OWN_SERVICE = frozenset(
    (
        *("dnsRecord", "additionalDnsRecords", "networkIsolated", "runtimeClassName", "readinessProbe"),
        *("livenessProbe", "imagePullPolicy", "args", "workingDir", "env", "initContainers", "volumeMounts"),
        *("resources", "securityContext", "tolerations", "nodeSelector", "externalIngressPorts"),
    )
)
"""Keys of a service that Compose does not have."""
_SERVICE = _OWN_SERVICE | {"image", "command", "ports", "volumes", "networks"}
_IN_CONTAINER = ("image", "command", "args", "env", "securityContext", "volumeMounts", "resources")
_POLICIES = frozenset(
    ("NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "AdminNetworkPolicy")
) | {"BaselineAdminNetworkPolicy", "ClusterNetworkPolicy"}


# ---- recognition


def _recognises(given: Input) -> bool:
    # a text that is too long for values is not taken apart to see what it is
    found = documents(given) if len(given.text) <= LONGEST else ()
    if not found:
        return mentions(given, ("allowDomains", "allowDomainsPorts", "allowEntities", "allowCIDR", "networkIsolated"))
    return len(found) == 1 and _is_values(found[0])


def _is_values(node: Node) -> bool:
    keys = {key for key, _, _ in node.items()}
    if not keys or not keys <= _TOP:
        return False
    services = node.get("services")
    inner = [value for _, _, value in services.items()] if services is not None else []
    if services is not None and (not services.is_map or not all(v.is_map or v.is_null for v in inner)):
        return False
    if any(not {key for key, _, _ in one.items()} <= _SERVICE for one in inner):
        return False
    return bool(keys & _OWN) or any(one.get(key) is not None for one in inner for key in _OWN_SERVICE)


# ---- reading


@dataclass(frozen=True, slots=True)
class _Service:
    """What the policies need to know of one. `networks` () is none; `ports` None are all."""

    name: str
    node: Node
    networks: tuple[str, ...]
    isolated: bool
    ports: tuple[Node, ...]
    open_ports: tuple[Node, ...] = ()


def _read(inputs: Sequence[Input], options: ReadOptions) -> Launch:
    """All files are the values of one release, a later one over an earlier one, as `helm -f FIRST -f SECOND` takes them."""
    del options  # Helm values are not interpolated
    values: Node | None = None
    for given in inputs:
        if len(given.text) > LONGEST:
            raise LimitError(f"{given.name}: longer than {LONGEST >> 20} MiB; no file of values is that long")
        for node in required(given):
            if not node.is_map:
                raise wrong(node, "a mapping of values is meant")
            values = node if values is None else _over(values, node)
    if values is None:
        raise ParseError(f"{inputs[0].name}:1:1: no values")
    notes: list[Notification] = []
    services = dict(_services(values))
    pods = tuple(_pod(values, name, node) for name, node in services.items())
    facts = tuple(_facts(name, node) for name, node in services.items())
    networks = either(values, "networks")
    apart = networks is not None and bool(networks.pairs)
    policies = tuple(_policies(values, facts, apart)) if _enforced(values, facts) else ()
    extra = _additional(values, notes)
    cluster = Cluster(pods, (_namespace(),), (), (*policies, *extra))
    return Launch(
        "inspect_k8s_sandbox",
        tuple(i.name for i in inputs),
        "inspect_k8s_sandbox",
        cluster=settled(cluster, _CHART, RUNNER),
        notifications=tuple(notes),
    )


def _over(under: Node, over: Node) -> Node:
    """Mappings merge, anything else is replaced; a null takes a key away."""
    if under.pairs is None or over.pairs is None:
        return over
    merged = {name.text or "": (name, value) for name, value in under.pairs}
    for name, value in over.pairs:
        key = name.text or ""
        if value.is_null:
            merged.pop(key, None)
        else:
            merged[key] = (name, _over(merged[key][1], value) if key in merged else value)
    return replace(over, pairs=tuple(merged.values()))


def _services(values: Node) -> Iterator[tuple[str, Node]]:
    services = either(values, "services")
    if services is not None and not services.is_map:
        raise wrong(services, "a mapping of services is meant")
    named = {name for name, _, _ in services.items()} if services is not None else set()
    if "default" not in named:  # the chart's own values have it
        yield "default", _node({"image": "python:3.12-bookworm"}, None)
    for name, key, node in services.items() if services is not None else ():
        if not node.is_map:
            raise wrong(node if not node.is_null else key, "a service is meant")
        if node.get("image") is None:
            image = _node("python:3.12-bookworm", None)
            if name != "default":
                raise ParseError(f"{key.place}: the service {printable(name, 60)} has no image")
            yield name, replace(node, pairs=(*(node.pairs or ()), (_node("image", None), image)))
            continue
        yield name, node


def _facts(name: str, node: Node) -> _Service:
    isolated = flag(either(node, "networkIsolated"))
    ports, open_ports = either(node, "ports"), either(node, "externalIngressPorts")
    return _Service(
        name,
        node,
        tuple(one.value for one in texts(either(node, "networks"))),
        isolated is not None and isolated.value,
        ports.elements or () if ports is not None else (),
        open_ports.elements or () if open_ports is not None else (),
    )


def _enforced(values: Node, services: Sequence[_Service]) -> bool:
    """Whether the chart renders policies. Where it does not, it refuses values that only policies would enforce."""
    policy = either(values, "networkPolicy")
    if policy is None:
        return True
    if not policy.is_map:
        raise wrong(policy, "a mapping with enabled is meant")
    enabled = flag(either(policy, "enabled"))
    if enabled is None or enabled.value:
        return True
    held = [
        either(values, key) for key in ("allowDomains", "allowDomainsPorts", "allowEntities", "allowCIDR", "networks")
    ]
    held += [either(one.node, key) for one in services for key in ("networkIsolated", "networks")]
    for value in held:
        if value is not None and (value.pairs or value.elements or value.flag()):
            raise wrong(value, f"networkPolicy.enabled is false ({enabled.origin}), so that nothing would enforce it")
    return False


# ---- what the chart makes of a service


def _pod(values: Node, name: str, node: Node) -> Pod:
    from scanner.launch.manifests.podspec import Metadata, pod

    volumes, mounts = [], list((either(node, "volumeMounts") or _node([], None)).elements or ())
    listed = either(node, "volumes")
    if listed is not None and listed.elements is None:
        raise wrong(listed, "a list of volumes is meant")
    for one in listed.elements or () if listed is not None else ():
        if one.text is None:
            volumes.append(one)
            continue
        volume, _, path = one.text.partition(":")
        volumes.append(_node({"name": volume, "persistentVolumeClaim": {"claimName": volume}}, one))
        mounts.append(_node({"name": volume, "mountPath": path}, one))
    inside: dict[str, Any] = {"name": name}
    for key in _IN_CONTAINER:
        value = either(node, key)
        if value is not None:
            inside[key] = _node(value.text.split(), value) if key in ("command", "args") and value.text else value
    inside["volumeMounts"] = mounts
    runtime = text(either(node, "runtimeClassName"))
    token = either(values, "automountServiceAccountToken")
    account = either(values, "serviceAccountName")
    spec: dict[str, Any] = {
        "containers": [_node(inside, node), *_list(values, "extraContainers")],
        "volumes": volumes,
        "automountServiceAccountToken": token if token is not None else "false",
    }
    if account is not None:
        spec["serviceAccountName"] = account
    if runtime is None:
        spec["runtimeClassName"] = "gvisor"
    elif runtime.value != "CLUSTER_DEFAULT":
        spec["runtimeClassName"] = either(node, "runtimeClassName")
    first = either(node, "initContainers")
    if first is not None:
        spec["initContainers"] = first
    labels = {**_labels(), "inspect/service": name}
    labels.update((f"aisi.gov.uk/network-{one.value}", "true") for one in texts(either(node, "networks")))
    template = {
        "metadata": _node({"labels": {key: _node(value, None, quoted=True) for key, value in labels.items()}}, None)
    }
    meta = Metadata(name, NAMESPACE, {}, {}, None, node.place)
    return pod(meta, "StatefulSet", template, _node(spec, None), 1)


def _labels() -> dict[str, str]:
    return {"app.kubernetes.io/name": "agent-env", "app.kubernetes.io/instance": RELEASE}


def _namespace() -> Namespace:
    return Namespace(NAMESPACE, {"kubernetes.io/metadata.name": NAMESPACE}, RUNNER)


# ---- its policies


def _policies(values: Node, services: Sequence[_Service], apart: bool) -> Iterator[Policy]:
    """`apart`: the release has networks, so that only what shares one is let in."""
    yield _policy("sandbox-egress", {"egress": list(_egress(values))}, _selector({}))
    yield _policy("sandbox-default-deny-ingress", {"ingress": [{}]}, _selector({}))
    for service in services:
        own = _selector({"inspect/service": service.name})
        for network in service.networks if apart else (None,):
            label = {} if network is None else {f"aisi.gov.uk/network-{network}": "true"}
            rule: dict[str, Any] = {"fromEndpoints": [_selector(label)]}
            ports = [{"ports": [_service_port(one) for one in service.ports]}]
            rules = [{**rule, "toPorts": ports}] if service.ports else [rule]
            echo = [{"fields": [{"type": "8", "family": "IPv4"}, {"type": "128", "family": "IPv6"}]}]
            rules.append({**rule, "icmps": echo})
            name = f"svc-{service.name}-{network}-ingress" if network is not None else f"svc-{service.name}-ingress"
            yield _policy(name, {"ingress": rules}, own, service.node)
        if service.open_ports:
            ports = [{"ports": [{"port": one, "protocol": "ANY"} for one in service.open_ports]}]
            spec = {"ingress": [{"fromEntities": ["all"], "toPorts": ports}]}
            yield _policy(f"sandbox-{service.name}-external-ingress", spec, own, service.node)
        if service.isolated:
            at = either(service.node, "networkIsolated") or service.node
            spec = {"ingressDeny": [{"fromEntities": ["all"]}], "egressDeny": [{"toEntities": ["all"]}]}
            yield _policy(f"svc-{service.name}-isolate", spec, own, at)


def _policy(name: str, spec: Mapping[str, Any], selector: Mapping[str, Any], at: Node | None = None) -> Policy:
    from scanner.launch.manifests.cilium import cilium_policies
    from scanner.launch.manifests.podspec import Metadata

    whole = _node({"endpointSelector": selector, **spec}, at)
    meta = Metadata(f"{RELEASE}-{name}", NAMESPACE, {}, {}, None, whole.place)
    (policy,) = cilium_policies(meta, {"spec": whole}, whole, "CiliumNetworkPolicy")
    return policy


def _selector(more: Mapping[str, str]) -> dict[str, Any]:
    labels = {"io.kubernetes.pod.namespace": NAMESPACE, **_labels(), **more}
    return {"matchLabels": {key: _node(value, None, quoted=True) for key, value in labels.items()}}


def _service_port(node: Node) -> dict[str, Any]:
    port = node if node.text is not None else either(node, "port")
    if port is None:
        raise wrong(node, "a port with protocol and port is meant")
    protocol = either(node, "protocol") if node.is_map else None
    return {"port": port, "protocol": protocol if protocol is not None else "TCP"}


def _egress(values: Node) -> Iterator[Node]:
    domains = _list(values, "allowDomains")
    entities = _list(values, "allowEntities")
    everywhere = next((one for one in domains if one.text == "*"), None)
    world = any(one.text in ("all", "world") for one in entities)
    if everywhere is not None and not world:
        entities.append(_node("world", everywhere))
    names: list[Any] = [{"matchPattern": f"*.{NAMESPACE}.svc.cluster.local"}]
    names += [_node({"matchPattern": one}, one) for one in domains]
    if world and everywhere is None:
        names.append({"matchPattern": _node("*", _first(entities, ("all", "world")), quoted=True)})
    resolvers = [
        {"matchLabels": {"io.kubernetes.pod.namespace": "kube-system", "k8s-app": name}}
        for name in ("kube-dns", "node-local-dns")
    ]
    at_dns = {"ports": [{"port": "53", "protocol": "ANY"}], "rules": {"dns": names}}
    yield _node({"toEndpoints": resolvers, "toPorts": [at_dns]}, None)
    yield _node({"toEndpoints": [_selector({})]}, None)
    if domains and everywhere is None:
        yield from _domains(domains, _list(values, "allowDomainsPorts"))
    # one rule for each entry, where the chart has one for all, so that each has its line; what passes is the same
    for one in entities:
        yield _node({"toEntities": [one]}, one)
    for one in _list(values, "allowCIDR"):
        yield _node({"toCIDR": [one]}, one)


def _domains(domains: list[Node], ports: list[Node]) -> Iterator[Node]:
    for one in domains:
        named = [_node({"matchPattern": one}, one)]
        secure = {"ports": [{"port": "443", "protocol": "TCP"}], "serverNames": domains}
        yield _node({"toFQDNs": named, "toPorts": [secure]}, one)
        plain = {"ports": [{"port": "80", "protocol": "TCP"}], "rules": {"http": [{"host": one}]}}
        yield _node({"toFQDNs": named, "toPorts": [plain]}, one)
    for one in ports:
        port, domain = either(one, "port"), either(one, "domain")
        if port is None or port.integer() is None:
            raise wrong(port or one, "a port with port, and perhaps protocol and domain, is meant")
        protocol = either(one, "protocol")
        entry = {"port": port, "protocol": _node((protocol.text or "").upper(), protocol) if protocol else "ANY"}
        scope = [domain] if domain is not None else domains
        named = [_node({"matchPattern": name}, name) for name in scope]
        yield _node({"toFQDNs": named, "toPorts": [{"ports": [entry]}]}, one)


def _list(values: Node, key: str) -> list[Node]:
    node = either(values, key)
    if node is None:
        return []
    if node.elements is None:
        raise wrong(node, f"{key} is a list")
    return list(node.elements)


def _first(nodes: Sequence[Node], words: Sequence[str]) -> Node | None:
    return next((one for one in nodes if one.text in words), None)


def _additional(values: Node, notes: list[Notification]) -> tuple[Policy, ...]:
    """Policies among the resources that are added; of the others nothing counts here."""
    from scanner.launch.manifests.cilium import cilium_policies
    from scanner.launch.manifests.netpol import network_policy
    from scanner.launch.manifests.podspec import Metadata

    found: list[Policy] = []
    for one in _list(values, "additionalResources"):
        resource = _written(one) if one.text is not None else one
        kind = resource.get("kind") if resource is not None else None
        if resource is None or kind is None or not kind.text:
            words = f"{one.place}: an additional resource is a template that is not rendered here; what it lets through is unknown"
            notes.append(Notification("launch", Level.WARNING, words))
            continue
        if kind.text not in _POLICIES:
            continue
        spec = resource.get("spec")
        named = resource.at("metadata", "name")
        name = (named.text if named is not None else None) or "additional"
        space = resource.at("metadata", "namespace")
        meta = Metadata(name, (space.text if space is not None else None) or NAMESPACE, {}, {}, None, resource.place)
        if kind.text == "NetworkPolicy" and spec is not None:
            found.append(network_policy(meta, {k: v for k, _, v in spec.items() if not v.is_null}, resource))
        elif kind.text.startswith("Cilium"):
            objects = {k: v for k, _, v in resource.items()}
            found += cilium_policies(meta, objects, resource, kind.text)
        else:
            words = f"{one.place}: {printable(kind.text, 60)} among the additional resources is not read"
            notes.append(Notification("launch", Level.WARNING, words))
    return tuple(found)


def _written(node: Node) -> Node | None:
    """A resource that stands in a string, where it is no template; all of it is at the string's place."""
    from scanner.launch.document import read_yaml

    if "{{" in (node.text or ""):
        return None
    try:
        inner = next(iter(read_yaml(node.text or "", _CHART)))
    except (ScannerError, StopIteration):
        return None
    return _moved(inner, node)


def _moved(node: Node, at: Node) -> Node:
    return replace(
        node,
        file=at.file,
        line=at.line,
        column=at.column,
        end=at.end,
        pairs=tuple((_moved(k, at), _moved(v, at)) for k, v in node.pairs) if node.pairs is not None else None,
        elements=tuple(_moved(e, at) for e in node.elements) if node.elements is not None else None,
    )


# ---- values that the chart itself says


def _node(value: Any, at: Node | None, quoted: bool = False) -> Node:
    """A value as a node at another's place, or at the chart's; nodes within it stay where they are."""
    if isinstance(value, Node):
        return value
    file, line, column = (at.file, at.line, at.column) if at is not None else (_CHART, 1, 1)
    end = at.end if at is not None else 1
    if isinstance(value, Mapping):
        pairs = tuple((_node(k, at, quoted=True), _node(v, at)) for k, v in value.items())
        return Node(file, line, column, end, pairs=pairs)
    if isinstance(value, list | tuple):
        return Node(file, line, column, end, elements=tuple(_node(one, at) for one in value))
    return Node(file, line, column, end, text=str(value), quoted=quoted)


# ---- Compose files


def from_compose(inputs: Sequence[Input], options: ReadOptions) -> Launch:
    """A Compose project as inspect_k8s_sandbox runs it: each service a pod, egress by its extension alone.

    Raises as the Compose reader does.
    """
    from scanner.launch import compose

    launch = compose.read(inputs, options)
    extension = _extension(inputs, options)
    keys = {"allow_domains": "allowDomains", "allow_domains_ports": "allowDomainsPorts", "allow_cidr": "allowCIDR"}
    keys["allow_entities"] = "allowEntities"
    given = extension.items() if extension is not None else ()
    values = _node({keys[name]: value for name, _, value in given if name in keys and not value.is_null}, extension)
    own = frozenset(n.key for n in launch.networks if isinstance(n.origin, Place))
    services = tuple(_compose_facts(c, own) for c in launch.containers)
    token = flag(either(extension, "automount_service_account_token")) if extension is not None else None
    account = text(either(extension, "service_account_name")) if extension is not None else None
    pods = tuple(_compose_pod(c, s, token, account) for c, s in zip(launch.containers, services, strict=True))
    cluster = Cluster(pods, (_namespace(),), (), tuple(_policies(values, services, bool(own))))
    return replace(
        launch,
        format="inspect_k8s_sandbox",
        runner="inspect_k8s_sandbox",
        containers=(),
        networks=(),
        cluster=settled(cluster, _CHART, RUNNER),
    )


def _extension(inputs: Sequence[Input], options: ReadOptions) -> Node | None:
    from scanner.launch import compose

    tree = compose.project_of(inputs, options).tree
    found = next((value for key in EXTENSIONS if (value := tree.get(key)) is not None), None)
    return _of_tree(found) if found is not None else None


def _of_tree(tree: Any) -> Node:
    node: Node = tree.node
    if tree.fields is not None:
        pairs = tuple(
            (_node(key, value.key or value.node, quoted=True), _of_tree(value)) for key, value in tree.pairs()
        )
        return Node(node.file, node.line, node.column, node.end, pairs=pairs)
    if tree.items is not None:
        return Node(node.file, node.line, node.column, node.end, elements=tuple(_of_tree(one) for one in tree.items))
    return Node(node.file, node.line, node.column, node.end, text=tree.text or "", quoted=tree.quoted)


def _compose_facts(container: Container, networks: frozenset[str]) -> _Service:
    place = container.origin if isinstance(container.origin, Place) else Place(_CHART, 1)
    node = Node(place.file, place.line, place.column, place.line, pairs=())
    joined = tuple(a.network for a in container.attachments if a.network in networks)
    return _Service(container.name, node, joined, container.network_mode.value == "none", ())


def _compose_pod(container: Container, service: _Service, token: Said[bool] | None, account: Said[str] | None) -> Pod:
    confinement = container.confinement
    inside = PodContainer(
        container.name,
        container.image,
        replace(
            confinement,
            runtime=confinement.runtime or Said("gvisor", RUNNER),
            seccomp=confinement.seccomp or Said("unconfined", RUNNER),
        ),
        entrypoint=container.entrypoint,
        command=container.command,
        environment=container.environment,
    )
    labels = {**_labels(), "inspect/service": container.name}
    labels.update((f"aisi.gov.uk/network-{name}", "true") for name in service.networks)
    return Pod(
        container.name,
        NAMESPACE,
        "StatefulSet",
        container.origin,
        labels,
        (inside,),
        service_account=account,
        token_mounted=token or Said(False, RUNNER),
        missing=container.missing,
    )


FORMAT = Format("inspect_k8s_sandbox", "inspect_k8s_sandbox: Helm values of its chart", _recognises, _read)
