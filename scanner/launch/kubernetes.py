"""Kubernetes manifests: workloads, network policies of every kind, namespaces, services, and agent-sandbox's own kinds.

Kinds are those of the Kubernetes API, of network-policy-api, of Cilium and of agent-sandbox (agents.x-k8s.io and
extensions.agents.x-k8s.io). Documents are converted one by one, so that a cluster's dump is never held as a tree; only a
single document that is a list is.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from scanner.errors import ParseError
from scanner.launch.document import Node, read_json, read_yaml
from scanner.launch.manifests.cilium import cidr_group, cilium_policies, with_groups
from scanner.launch.manifests.kubevirt import machine
from scanner.launch.manifests.netpol import UNREAD, admin_policy, network_policy, network_rules
from scanner.launch.manifests.networks import pod_network
from scanner.launch.manifests.podspec import Metadata, pod
from scanner.launch.manifests.values import (
    Fields,
    broken,
    elements,
    fields,
    flag,
    labels,
    number,
    optional,
    text,
    text_or_empty,
)
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.model import (
    Cluster,
    Default,
    Launch,
    Level,
    Missing,
    Mount,
    MountKind,
    Namespace,
    Notification,
    Peer,
    Pod,
    PodContainer,
    PodNetwork,
    Policy,
    PolicyRule,
    Said,
    Selector,
    Service,
    Tier,
    Verb,
    printable,
)
from scanner.model.launch import Origin, Place

NAME = "kubernetes.io/metadata.name"
AGENTS = "agents.x-k8s.io"
EXTENSIONS = "extensions.agents.x-k8s.io"
TEMPLATE_LABEL = f"{AGENTS}/sandbox-template-ref-hash"
SANDBOX_LABEL = f"{AGENTS}/sandbox-name-hash"
AGENT_SANDBOX = Default("agent-sandbox")
CONFIG_BYTES = 1 << 20

_TEMPLATED = frozenset(
    (
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "ReplicationController",
        "Job",
        "DeploymentConfig",
        "Rollout",
    )
)
_GROUPS = {
    "NetworkPolicy": ("networking.k8s.io", "extensions"),
    "AdminNetworkPolicy": ("policy.networking.k8s.io",),
    "BaselineAdminNetworkPolicy": ("policy.networking.k8s.io",),
    "ClusterNetworkPolicy": ("policy.networking.k8s.io",),
    "CiliumNetworkPolicy": ("cilium.io",),
    "CiliumClusterwideNetworkPolicy": ("cilium.io",),
    "CiliumCIDRGroup": ("cilium.io",),
    "Sandbox": (AGENTS,),
    "SandboxTemplate": (EXTENSIONS, AGENTS),
    "SandboxClaim": (EXTENSIONS, AGENTS),
    "SandboxWarmPool": (EXTENSIONS, AGENTS),
    "Pod": ("",),
    "PodTemplate": ("",),
    "Namespace": ("",),
    "Service": ("",),
    "ServiceAccount": ("",),
    "ConfigMap": ("",),
    "ReplicationController": ("",),
    "Deployment": ("apps", "extensions"),
    "StatefulSet": ("apps",),
    "DaemonSet": ("apps", "extensions"),
    "ReplicaSet": ("apps", "extensions"),
    "Job": ("batch",),
    "CronJob": ("batch",),
    "DeploymentConfig": ("apps.openshift.io", ""),
    "Rollout": ("argoproj.io",),
    "VirtualMachine": ("kubevirt.io",),
    "VirtualMachineInstance": ("kubevirt.io",),
    "VirtualMachineInstanceReplicaSet": ("kubevirt.io",),
    "UserDefinedNetwork": ("k8s.ovn.org",),
    "ClusterUserDefinedNetwork": ("k8s.ovn.org",),
}
"""The API groups in which a kind is the one that is meant here; the same word elsewhere is another kind."""
_FOREIGN_POLICIES = frozenset(
    (
        "NetworkPolicy",
        "GlobalNetworkPolicy",
        "StagedNetworkPolicy",
        "ClusterNetworkPolicy",
        "AuthorizationPolicy",
        "CiliumEgressGatewayPolicy",
        "FQDNNetworkPolicy",
    )
)
"""Kinds of other groups that decide over traffic and are not read: what they select is unknown, never closed."""

_MADE_BY = {"VirtualMachineInstance": "VirtualMachine"}
"""What makes a controller, under the same name, if that is not among the files itself."""


# ---- recognition

_YAML = tuple(re.compile(rf"(?m)^[\"']?{key}[\"']?\s*:") for key in ("apiVersion", "kind"))
_JSON = tuple(re.compile(rf'"{key}"\s*:') for key in ("apiVersion", "kind"))


def recognises(given: Input) -> bool:
    """Some document has apiVersion and kind at its top, whether or not it is read to its end."""
    signs = _JSON if _is_json(given) else _YAML
    return all(sign.search(given.text) for sign in signs)


def _is_json(given: Input) -> bool:
    begins = given.text.lstrip("\ufeff \t\r\n")[:2]
    return begins[:1] in ("{", "[") and begins != "{{"


# ---- what is gathered


@dataclass(slots=True)
class _Gathered:
    """All objects that were read, before they are put together."""

    pods: list[tuple[Pod, Metadata]] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    namespaces: list[Namespace] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    networks: list[PodNetwork] = field(default_factory=list)
    accounts: dict[tuple[str, str], Said[bool]] = field(default_factory=dict)
    config_maps: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    cidr_groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    templates: dict[tuple[str, str], tuple[Metadata, Fields]] = field(default_factory=dict)
    pools: list[tuple[Metadata, Fields]] = field(default_factory=list)
    claims: list[tuple[Metadata, Fields]] = field(default_factory=list)
    objects: set[tuple[str, str, str]] = field(default_factory=set)
    unread: dict[str, int] = field(default_factory=dict)
    notifications: list[Notification] = field(default_factory=list)


def read(inputs: Sequence[Input], _: ReadOptions) -> Launch:
    """All manifests together as one cluster. Raises ParseError with file:line:column for what the API would refuse."""
    gathered = _Gathered()
    for given in inputs:
        for node in _documents(given):
            _object(node, gathered, None)
    cluster = _cluster(gathered)
    notes = (
        Notification("launch", Level.NOTE, f"objects of kind {kind} are not read", count=count)
        for kind, count in sorted(gathered.unread.items())
    )
    return Launch(
        "kubernetes",
        tuple(given.name for given in inputs),
        "kubernetes",
        cluster=cluster,
        notifications=(*gathered.notifications, *notes),
    )


def _documents(given: Input) -> Iterator[Node]:
    try:
        if "documents" in vars(given):
            yield from given.documents
        elif _is_json(given):
            yield read_json(given.text, given.name)
        else:
            yield from read_yaml(given.text, given.name)
    except ParseError as e:
        at = given.text.find("{{")
        if at < 0 or _is_json(given):
            raise
        line = given.text.count("\n", 0, at) + 1
        column = at - given.text.rfind("\n", 0, at)
        raise _template(Place(given.name, line, column)) from e


def _template(place: Place) -> ParseError:
    return ParseError(f"{place}: a template, no manifest: render it first (`helm template`) and give what comes out")


# ---- one object


def _object(node: Node, gathered: _Gathered, listed: tuple[str, str] | None) -> None:
    """`listed` is the (apiVersion, kind) that a typed list gives its items."""
    if node.is_null:
        return
    object = fields(node, "a manifest")
    version = optional(object.get("apiVersion"), "apiVersion") or (listed[0] if listed else "")
    kind = optional(object.get("kind"), "kind") or (listed[1] if listed else "")
    if not kind or not version:
        raise broken(node, "a manifest needs apiVersion and kind")
    if kind.endswith("List") and "items" in object:
        inner = (version, kind.removesuffix("List")) if kind != "List" else None
        for item in elements(object["items"], "items"):
            _object(item, gathered, inner)
        return
    group = version.rpartition("/")[0]
    if group not in _GROUPS.get(kind, ()):
        _foreign(object, kind, group, node, gathered)
        return
    meta = _metadata(object, node)
    gathered.objects.add((kind, meta.namespace, meta.name))
    _READERS[kind](_Object(kind, object, meta, node), gathered)


def _metadata(object: Fields, node: Node) -> Metadata:
    given = fields(object.get("metadata"), "metadata")
    name = given.get("name", given.get("generateName"))
    if name is None:
        raise broken(object.get("metadata", node), "an object needs metadata.name")
    namespace = given.get("namespace")
    for one in (name, namespace):
        if one is not None and "{{" in (one.text or ""):
            raise _template(one.place)
    owner = None
    for one in elements(given.get("ownerReferences"), "ownerReferences"):
        parts = fields(one, "an owner")
        controls = flag(parts.get("controller"), "controller")
        if controls is not None and controls.value and "kind" in parts and "name" in parts:
            owner = text(parts["kind"], "kind"), text(parts["name"], "name")
    return Metadata(
        name=text(name, "name"),
        namespace=(optional(namespace, "namespace") or "default"),
        labels=labels(given.get("labels"), "labels"),
        annotations=labels(given.get("annotations"), "annotations"),
        owner=owner,
        origin=node.place,
    )


def _foreign(object: Fields, kind: str, group: str, node: Node, gathered: _Gathered) -> None:
    """A kind that is not read. If it decides over traffic, nobody knows what it lets pass: neither closed nor open."""
    if kind not in _FOREIGN_POLICIES:
        name = f"{kind} ({group})" if group else kind
        gathered.unread[printable(name, 100)] = gathered.unread.get(printable(name, 100), 0) + 1
        return
    meta = _metadata(object, node)
    whole = kind.startswith(("Global", "Cluster"))
    nobody_knows = (Peer(entities=(f"{UNREAD} {kind} ({group})",), origin=node.place),)
    gathered.policies.append(
        Policy(
            kind=f"{kind} ({group})",
            name=meta.name,
            namespace=None,
            tier=Tier.ADMIN,
            pods=Selector(),
            namespaces=Selector() if whole else Selector(((NAME, meta.namespace),)),
            rules=tuple(
                PolicyRule(verb, nobody_knows, None, node.place, ingress=ingress)
                for ingress in (False, True)
                for verb in (Verb.DENY, Verb.ALLOW)
            ),
            origin=node.place,
            isolates_egress=False,
        )
    )
    gathered.notifications.append(
        Notification(
            "launch", Level.WARNING, f"{node.place}: {kind} of {group} is not read: what it selects is unknown"
        )
    )


@dataclass(frozen=True, slots=True)
class _Object:
    """A manifest of a kind that is read."""

    kind: str
    fields: Fields
    meta: Metadata
    node: Node

    @property
    def spec(self) -> Fields:
        if "spec" not in self.fields:
            raise broken(self.node, "spec is missing")
        return fields(self.fields["spec"], "spec")


# ---- workloads


def _bare_pod(one: _Object, gathered: _Gathered) -> None:
    gathered.pods.append((pod(one.meta, "Pod", one.fields, one.fields.get("spec"), 1), one.meta))


def _templated(one: _Object, gathered: _Gathered) -> None:
    _from_template(one.spec, one.meta, one.kind, one.node, gathered)


def _from_template(spec: Fields, meta: Metadata, kind: str, node: Node, gathered: _Gathered) -> None:
    if "template" not in spec:
        raise broken(node, "spec.template is missing")
    template = fields(spec["template"], "template")
    count = spec.get("replicas", spec.get("parallelism"))
    replicas = number(count, "replicas", 0, 1 << 31) if count is not None else 1
    gathered.pods.append((pod(meta, kind, template, template.get("spec"), replicas), meta))


def _cron_job(one: _Object, gathered: _Gathered) -> None:
    spec = one.spec
    if "jobTemplate" not in spec:
        raise broken(one.node, "spec.jobTemplate is missing")
    job = fields(spec["jobTemplate"], "jobTemplate")
    _from_template(fields(job.get("spec"), "jobTemplate.spec"), one.meta, "CronJob", one.node, gathered)


def _pod_template(one: _Object, gathered: _Gathered) -> None:
    _from_template(one.fields, one.meta, "PodTemplate", one.node, gathered)


def _machine(one: _Object, gathered: _Gathered) -> None:
    """A machine whose instance is among the files as well is one workload: the instance's pod has it as its owner."""
    spec = one.spec
    template: Fields = one.fields if one.kind == "VirtualMachineInstance" else fields(spec.get("template"), "template")
    count = spec.get("replicas")
    replicas = number(count, "replicas", 0, 1 << 31) if count is not None else 1
    gathered.pods.append((machine(one.meta, one.kind, template, replicas), one.meta))


# ---- policies and what they speak of


def _pod_network(one: _Object, gathered: _Gathered) -> None:
    gathered.networks.append(pod_network(one.kind, one.meta.name, one.meta.namespace, one.spec, one.node))


def _network(one: _Object, gathered: _Gathered) -> None:
    gathered.policies.append(network_policy(one.meta, one.spec, one.node))


def _admin(one: _Object, gathered: _Gathered) -> None:
    gathered.policies.append(admin_policy(one.meta, one.spec, one.node, one.kind))


def _cilium(one: _Object, gathered: _Gathered) -> None:
    gathered.policies.extend(cilium_policies(one.meta, one.fields, one.node, one.kind))


def _cidr_group(one: _Object, gathered: _Gathered) -> None:
    gathered.cidr_groups[one.meta.name] = cidr_group(one.spec)


def _namespace(one: _Object, gathered: _Gathered) -> None:
    gathered.namespaces.append(Namespace(one.meta.name, {**one.meta.labels, NAME: one.meta.name}, one.node.place))


def _service(one: _Object, gathered: _Gathered) -> None:
    spec = one.spec
    ports = []
    for listed in elements(spec.get("ports"), "ports"):
        parts = fields(listed, "a port")
        if "port" not in parts:
            raise broken(listed, "a service's port needs a port")
        port = number(parts["port"], "port", 0, 65535)
        target = parts.get("targetPort")
        value: str | int = port if target is None else target.integer() or text_or_empty(target, "targetPort") or port
        ports.append(
            (
                optional(parts.get("name"), "name"),
                port,
                value,
                (optional(parts.get("protocol"), "protocol") or "TCP").upper(),
            )
        )
    gathered.services.append(
        Service(
            one.meta.name,
            one.meta.namespace,
            labels(spec.get("selector"), "selector"),
            tuple(ports),
            one.node.place,
            optional(spec.get("type"), "type") or "ClusterIP",
            optional(spec.get("externalName"), "externalName"),
            optional(spec.get("clusterIP"), "clusterIP"),
            tuple(text(address, "an address") for address in elements(spec.get("externalIPs"), "externalIPs")),
        )
    )


def _account(one: _Object, gathered: _Gathered) -> None:
    mounts = flag(one.fields.get("automountServiceAccountToken"), "automountServiceAccountToken")
    if mounts is not None:
        gathered.accounts[one.meta.namespace, one.meta.name] = mounts


def _config_map(one: _Object, gathered: _Gathered) -> None:
    data = {name: text_or_empty(value, "data") for name, value in fields(one.fields.get("data"), "data").items()}
    if sum(map(len, data.values())) <= CONFIG_BYTES:
        gathered.config_maps[one.meta.namespace, one.meta.name] = data


# ---- agent-sandbox


def _sandbox(one: _Object, gathered: _Gathered) -> None:
    spec = one.spec
    if "podTemplate" not in spec:
        raise broken(one.node, "spec.podTemplate is missing")
    template = fields(spec["podTemplate"], "podTemplate")
    found = pod(one.meta, "Sandbox", template, template.get("spec"), 1)
    added = {SANDBOX_LABEL: name_hash(one.meta.name)}
    made_from = one.meta.annotations.get(f"{AGENTS}/sandbox-template-ref")
    if made_from is not None:
        added[TEMPLATE_LABEL] = name_hash(made_from)
    gathered.pods.append((replace(found, labels={**found.labels, **added}), one.meta))


def _sandbox_template(one: _Object, gathered: _Gathered) -> None:
    spec = one.spec
    if "podTemplate" not in spec:
        raise broken(one.node, "spec.podTemplate is missing")
    gathered.templates[one.meta.namespace, one.meta.name] = one.meta, spec
    policy = _managed_policy(one.meta, spec, one.node)
    if policy is not None:
        gathered.policies.append(policy)


def _sandbox_claim(one: _Object, gathered: _Gathered) -> None:
    gathered.claims.append((one.meta, one.spec))


def _sandbox_pool(one: _Object, gathered: _Gathered) -> None:
    gathered.pools.append((one.meta, one.spec))


def name_hash(name: str) -> str:
    """How agent-sandbox shortens a name for a label: FNV-1a, 32 bits, eight hexadecimal digits."""
    value = 0x811C9DC5
    for byte in name.encode("utf-8", "surrogatepass"):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{value:08x}"


def _managed_policy(meta: Metadata, spec: Fields, node: Node) -> Policy | None:
    """The NetworkPolicy that the controller keeps for a template; None where it is told to keep none."""
    management = optional(spec.get("networkPolicyManagement"), "networkPolicyManagement") or "Managed"
    if management not in ("Managed", "Unmanaged"):
        raise broken(spec["networkPolicyManagement"], "networkPolicyManagement has to be Managed or Unmanaged")
    if management == "Unmanaged":
        return None
    if "networkPolicy" in spec:
        given = fields(spec["networkPolicy"], "networkPolicy")
        rules = network_rules(
            elements(given.get("egress"), "egress"), elements(given.get("ingress"), "ingress"), meta.namespace
        )
        origin: Place | Default = spec["networkPolicy"].place
    else:
        origin = AGENT_SANDBOX
        private = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
        public = (
            Peer(cidr="0.0.0.0/0", excepts=private, origin=origin),
            Peer(cidr="::/0", excepts=("fc00::/7", "fe80::/10"), origin=origin),
        )
        router = (Peer(pods=Selector((("app", "sandbox-router"),)), namespace=meta.namespace, origin=origin),)
        rules = (
            PolicyRule(Verb.ALLOW, public, None, origin),
            PolicyRule(Verb.ALLOW, router, None, origin, ingress=True),
        )
    return Policy(
        kind="NetworkPolicy",
        name=f"{meta.name}-network-policy",
        namespace=meta.namespace,
        tier=Tier.NETWORK,
        pods=Selector(((TEMPLATE_LABEL, name_hash(meta.name)),)),
        namespaces=None,
        rules=rules,
        origin=origin if isinstance(origin, Place) else node.place,
        isolates_egress=True,
        isolates_ingress=True,
    )


def _from_sandbox_template(
    meta: Metadata, kind: str, template: tuple[Metadata, Fields], replicas: int, extra: dict[str, str]
) -> Pod:
    """What a claim or a pool starts from a template: with the controller's defaults (no token; public resolvers where it
    keeps its own policy)."""
    base, spec = template
    inner = fields(spec["podTemplate"], "podTemplate")
    found = pod(meta, kind, inner, inner.get("spec"), replicas)
    details = {name: value for name, value in found.details.items() if name != "token-unsaid"}
    token = found.token_mounted if "token-unsaid" not in found.details else Said(False, AGENT_SANDBOX)
    found = replace(
        found,
        labels={**found.labels, **extra, TEMPLATE_LABEL: name_hash(base.name)},
        token_mounted=token,
        details={**details, "sandboxTemplate": base.name},
    )
    management = optional(spec.get("networkPolicyManagement"), "networkPolicyManagement") or "Managed"
    if management == "Managed" and "networkPolicy" not in spec:
        public = tuple(Said(address, AGENT_SANDBOX) for address in ("8.8.8.8", "1.1.1.1"))
        found = replace(found, dns_policy=Said("None", AGENT_SANDBOX), nameservers=found.nameservers or public)
    return found


def _sandboxes(gathered: _Gathered) -> Iterator[tuple[Pod, Metadata]]:
    """Claims and pools as workloads, and templates that nothing here starts."""
    pools = {
        (meta.namespace, meta.name): _named(spec, "sandboxTemplateRef", "templateRef") for meta, spec in gathered.pools
    }
    used: set[tuple[str, str | None]] = {(namespace, name) for (namespace, _), name in pools.items()}
    owned = {meta.owner for _, meta in gathered.pods}
    wanted: list[tuple[Metadata, str, str | None, int, dict[str, str]]] = []
    for meta, spec in gathered.pools:
        count = spec.get("replicas")
        replicas = number(count, "replicas", 0, 1 << 31) if count is not None else 1
        wanted.append((meta, "SandboxWarmPool", pools[meta.namespace, meta.name], replicas, {}))
    for meta, spec in gathered.claims:
        name = _named(spec, "sandboxTemplateRef", "templateRef")
        if name is None:
            pool = _named(spec, "warmPoolRef")
            name = pools.get((meta.namespace, pool or ""))
            if name is None and pool is not None:
                yield _unknown(meta, f"the SandboxWarmPool {pool}"), meta
                continue
        used.add((meta.namespace, name))
        extra = fields(spec.get("additionalPodMetadata"), "additionalPodMetadata").get("labels")
        if ("SandboxClaim", meta.name) not in owned and ("Sandbox", meta.namespace, meta.name) not in gathered.objects:
            wanted.append((meta, "SandboxClaim", name, 1, labels(extra, "labels")))
    for (namespace, name), (meta, _) in gathered.templates.items():
        if (namespace, name) not in used:
            wanted.append((meta, "SandboxTemplate", name, 1, {}))
    for meta, kind, template, replicas, extra_labels in wanted:
        found = gathered.templates.get((meta.namespace, template or ""))
        if found is None:
            yield _unknown(meta, f"the SandboxTemplate {template or 'that it names'}"), meta
        else:
            yield _from_sandbox_template(meta, kind, found, replicas, extra_labels), meta


def _named(spec: Fields, *keys: str) -> str | None:
    for key in keys:
        name = fields(spec.get(key), key).get("name")
        if name is not None:
            return text(name, "name")
    return None


def _unknown(meta: Metadata, what: str) -> Pod:
    why = f"{printable(what)} is not among the files, so that nobody knows what is started; give its file too"
    return Pod(meta.name, meta.namespace, "SandboxClaim", meta.origin, missing=(Missing("file", why, meta.origin),))


# ---- all objects together


def _cluster(gathered: _Gathered) -> Cluster:
    pods = [*_workloads(gathered), *(p for p, _ in _sandboxes(gathered))]
    pods = [_completed(one, gathered) for one in _unique(pods, "workload", gathered)]
    policies = _unique(with_groups(gathered.policies, gathered.cidr_groups), "policy", gathered)
    return Cluster(
        tuple(pods),
        tuple(_unique(gathered.namespaces, "namespace", gathered)),
        tuple(_unique(gathered.services, "service", gathered)),
        tuple(policies),
        tuple(gathered.networks),
    )


def _workloads(gathered: _Gathered) -> Iterator[Pod]:
    """Each workload once: what a controller among the files has made is not shown beside it, and pods whose controller is
    not among the files are shown as one, by the controller's name, unless a policy or service may tell their labels apart."""
    asked = _asked_labels(gathered)
    grouped: dict[tuple[str, str, str], tuple[int, tuple[object, ...]]] = {}
    result: list[Pod] = []
    for found, meta in gathered.pods:
        if meta.owner is None or meta.owner[0] == "Node":
            result.append(found)
            continue
        kind, name = meta.owner
        if any((one, meta.namespace, name) in gathered.objects for one in (kind, _MADE_BY.get(kind, kind))):
            continue
        if found.kind != "Pod":
            result.append(found)
            continue
        own = ({key: value for key, value in found.labels.items() if key in asked}, _rights(found))
        key = (meta.namespace, kind, name)
        if key not in grouped:
            grouped[key] = len(result), own
            result.append(replace(found, name=name, kind=kind))
        elif grouped[key][1] == own:
            index = grouped[key][0]
            one = result[index]
            shared = {key: value for key, value in one.labels.items() if found.labels.get(key) == value}
            result[index] = replace(one, labels=shared, replicas=one.replicas + 1)
        else:
            result.append(found)
    return iter(result)


def _asked_labels(gathered: _Gathered) -> frozenset[str]:
    """The labels of pods that any policy or service asks for."""
    selectors = [p.pods for p in gathered.policies]
    selectors += [
        peer.pods for p in gathered.policies for r in p.rules for peer in r.peers or () if peer.pods is not None
    ]
    keys = {key for selector in selectors for key, _ in selector.labels}
    keys |= {key for selector in selectors for key, _, _ in selector.expressions}
    return frozenset(keys.union(*(service.selector for service in gathered.services)))


def _rights(one: Pod) -> tuple[object, ...]:
    """What tells two pods of one controller apart besides their labels: what each may do, not where that is said."""
    parts = []
    for container in one.containers:
        held = container.confinement
        parts.append(
            (
                container.image.value if container.image is not None else None,
                container.ports,
                _said(held.privileged),
                tuple(sorted(c.value for c in held.cap_add)),
                tuple(sorted((m.source, m.target, m.read_only) for m in held.mounts if m.kind is MountKind.BIND)),
                (_said(held.pid), _said(held.ipc), _said(held.runtime)),
            )
        )
    networks = tuple(n.value for n in one.networks)
    return (_said(one.host_network), _said(one.service_account), one.dns_policy.value, networks, *parts)


def _said(value: Said[bool] | Said[str] | None) -> bool | str | None:
    return None if value is None else value.value


def _completed(one: Pod, gathered: _Gathered) -> Pod:
    """What other objects say of a pod: its account's token, and the text of the configuration it mounts."""
    details = one.details
    if "token-unsaid" in details:
        account = one.service_account.value if one.service_account is not None else "default"
        mounts = gathered.accounts.get((one.namespace, account))
        rest = {name: value for name, value in details.items() if name != "token-unsaid"}
        one = replace(one, details=rest, token_mounted=mounts if mounts is not None else one.token_mounted)
    if gathered.config_maps:
        one = replace(
            one, containers=tuple(_with_config(c, one.namespace, gathered.config_maps) for c in one.containers)
        )
    return one


def _with_config(
    container: PodContainer, namespace: str, maps: Mapping[tuple[str, str], dict[str, str]]
) -> PodContainer:
    mounts: list[Mount] = []
    for mount in container.confinement.mounts:
        name, _, key = mount.source.removeprefix("configMap ").partition("/")
        data = maps.get((namespace, name)) if mount.source.startswith("configMap ") else None
        if data is None:
            mounts.append(mount)
        elif key:
            mounts.append(replace(mount, content=data.get(key), content_file=f"{name}/{key}"))
        else:
            mounts.extend(
                replace(
                    mount, target=f"{mount.target.rstrip('/')}/{file}", content=content, content_file=f"{name}/{file}"
                )
                for file, content in data.items()
            )
    return replace(container, confinement=replace(container.confinement, mounts=tuple(mounts)))


_Value = TypeVar("_Value", Pod, Policy, Namespace, Service)


def _unique(values: Iterable[_Value], what: str, gathered: _Gathered) -> list[_Value]:
    """One of each name, whatever the order of the files: of two that differ the later by file and line, as `kubectl apply -f`
    on a folder leaves it; said as a warning."""
    latest: dict[tuple[str, str, str], _Value] = {}
    for value in values:
        key = (getattr(value, "kind", ""), getattr(value, "namespace", None) or "", value.name)
        before = latest.get(key)
        latest[key] = value if before is None or _order(before.origin) <= _order(value.origin) else before
        if before is not None:
            shown = printable("/".join(part for part in key if part))
            counts = latest[key].origin
            gathered.notifications.append(
                Notification("launch", Level.WARNING, f"the {what} {shown} is there twice; the one at {counts} counts")
            )
    return list(latest.values())


def _order(origin: Origin) -> tuple[str, int, int]:
    return (origin.file, origin.line, origin.column) if isinstance(origin, Place) else ("", 0, 0)


_READERS: Mapping[str, Callable[[_Object, _Gathered], None]] = {
    **dict.fromkeys(_TEMPLATED, _templated),
    **dict.fromkeys(("AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy"), _admin),
    **dict.fromkeys(("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"), _cilium),
    **dict.fromkeys(("VirtualMachine", "VirtualMachineInstance", "VirtualMachineInstanceReplicaSet"), _machine),
    **dict.fromkeys(("UserDefinedNetwork", "ClusterUserDefinedNetwork"), _pod_network),
    "Pod": _bare_pod,
    "CronJob": _cron_job,
    "PodTemplate": _pod_template,
    "NetworkPolicy": _network,
    "CiliumCIDRGroup": _cidr_group,
    "Namespace": _namespace,
    "Service": _service,
    "ServiceAccount": _account,
    "ConfigMap": _config_map,
    "Sandbox": _sandbox,
    "SandboxTemplate": _sandbox_template,
    "SandboxClaim": _sandbox_claim,
    "SandboxWarmPool": _sandbox_pool,
}

FORMAT = Format("kubernetes", "Kubernetes manifests, network policies, agent-sandbox", recognises, read)
