"""Cilium's policies: CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy (cilium.io/v2), brought to the common shape.

Labels may carry their source (`k8s:app`, `any:app`); `io.kubernetes.pod.namespace` and
`io.cilium.k8s.namespace.labels.…` speak of the namespace. A policy with an `egress` (or `egressDeny`) section that is not
empty closes what it selects, unless `enableDefaultDeny` says otherwise. A rule `{}` allows nothing.
"""

from collections.abc import Iterator, Sequence

from scanner.launch.document import Node
from scanner.launch.manifests.netpol import unread
from scanner.launch.manifests.podspec import Metadata
from scanner.launch.manifests.values import (
    OPERATORS,
    Fields,
    broken,
    cidr,
    elements,
    fields,
    flag,
    number,
    optional,
    selector,
    text,
)
from scanner.model import Peer, Policy, PolicyRule, PortRange, Selector, Tier, Verb, printable

EVERYTHING = Selector()
NAMESPACE = "kubernetes.io/metadata.name"
_POD_NAMESPACE = "io.kubernetes.pod.namespace"
_NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels."
_CLUSTER = "io.cilium.k8s.policy.cluster"
_PROTOCOLS = ("ANY", "TCP", "UDP", "SCTP", "ICMP", "ICMPV6", "VRRP", "IGMP")


def cilium_policies(meta: Metadata, object: Fields, node: Node, kind: str) -> Iterator[Policy]:
    """One policy for `spec` and one for each of `specs`."""
    specs = [object["spec"]] if "spec" in object else []
    specs += elements(object.get("specs"), "specs")
    if not specs:
        raise broken(node, f"{kind} needs spec or specs")
    namespace = meta.namespace if kind == "CiliumNetworkPolicy" else None
    for index, spec in enumerate(specs):
        name = meta.name if len(specs) == 1 else f"{meta.name}[{index}]"
        yield _policy(fields(spec, "spec"), spec, kind, name, namespace)


def _policy(spec: Fields, node: Node, kind: str, name: str, namespace: str | None) -> Policy:
    if "endpointSelector" in spec:
        namespaces, pods = _endpoints(spec["endpointSelector"], namespace, "endpointSelector")
    elif "nodeSelector" in spec:
        # a policy of the hosts themselves: no pod is selected by it
        namespaces, pods = EVERYTHING, Selector(expressions=(("reserved:host", "Exists", ()),))
    else:
        raise broken(node, f"{kind} needs an endpointSelector or a nodeSelector")
    rules: list[PolicyRule] = []
    isolates = {}
    default = fields(spec.get("enableDefaultDeny"), "enableDefaultDeny")
    for direction, prefix in (("egress", "to"), ("ingress", "from")):
        written = 0
        for section, verb in ((direction, Verb.ALLOW), (f"{direction}Deny", Verb.DENY)):
            for one in elements(spec.get(section), section):
                written += 1
                rules.append(_rule(one, prefix, verb, namespace, ingress=direction == "ingress"))
        said = flag(default.get(direction), f"enableDefaultDeny.{direction}")
        isolates[direction] = said.value if said is not None else written > 0
    return Policy(
        kind=kind,
        name=name,
        namespace=namespace,
        tier=Tier.CILIUM,
        pods=pods,
        namespaces=namespaces if namespace is None else None,
        rules=tuple(rules),
        origin=node.place,
        isolates_egress=isolates["egress"],
        isolates_ingress=isolates["ingress"],
        implied="egress" not in default,
    )


def _rule(node: Node, prefix: str, verb: Verb, namespace: str | None, *, ingress: bool) -> PolicyRule:
    given = fields(node, "a rule")
    peers: list[Peer] = []
    named = False
    for key, value in given.items():
        if key in ("toPorts", "icmps", "authentication"):
            continue
        if key in (f"{prefix}Requires",):
            named = True
            peers.append(unread(value, key))
            continue
        if not key.startswith(prefix):
            raise broken(value, f"{printable(key, 40)} is no part of a rule")
        named = True
        peers += _peers(key.removeprefix(prefix), value, namespace)
    entries = [fields(one, "toPorts") for one in elements(given.get("toPorts"), "toPorts")]
    ports = tuple(port for entry in entries for port in _ports(entry))
    icmps = tuple(
        PortRange("ICMP")
        for one in elements(given.get("icmps"), "icmps")
        for _ in elements(fields(one, "icmps").get("fields"), "fields")
    )
    names = [[text(one, "serverNames") for one in elements(e.get("serverNames"), "serverNames")] for e in entries]
    layer7 = [fields(entry.get("rules"), "rules") for entry in entries]
    # without any `to…` the ports are open to all; a rule without either allows nothing
    all_peers: tuple[Peer, ...] | None = tuple(peers) if named or not (entries or icmps) else None
    return PolicyRule(
        verb,
        all_peers,
        (*ports, *icmps) if (entries and ports) or icmps else None,
        node.place,
        dns_patterns=_patterns(entries, layer7),
        # what one entry lets through unread, the rule lets through
        l7=bool(layer7) and all(rules.keys() - {"dns"} for rules in layer7),
        server_names=tuple(name for some in names for name in some) if all(names) else (),
        ingress=ingress,
    )


def _peers(what: str, node: Node, namespace: str | None) -> Iterator[Peer]:
    if what == "Endpoints":
        for one in elements(node, "endpoints"):
            yield _endpoint_peer(one, namespace)
    elif what == "CIDR":
        for one in elements(node, "a CIDR list"):
            yield Peer(cidr=_address(one), origin=one.place)
    elif what == "CIDRSet":
        for one in elements(node, "a CIDR set"):
            yield _cidr_set(one)
    elif what == "Entities":
        for one in elements(node, "entities"):
            yield Peer(entities=(text(one, "an entity"),), origin=one.place)
    elif what == "FQDNs":
        for one in elements(node, "toFQDNs"):
            parts = fields(one, "an FQDN")
            name = parts.get("matchName", parts.get("matchPattern"))
            if name is None:
                raise broken(one, "an FQDN needs matchName or matchPattern")
            yield Peer(fqdns=(text(name, "a name").rstrip("."),), origin=one.place)
    elif what == "Services":
        for one in elements(node, "toServices"):
            yield _service(one, namespace)
    elif what == "Nodes":
        for one in elements(node, "nodes"):
            yield Peer(nodes=_plain(one, "nodes")[1], origin=one.place)
    elif what == "Groups":
        for one in elements(node, "groups"):
            yield Peer(entities=("group",), origin=one.place)
    else:
        yield unread(node, what)


def _address(node: Node) -> str:
    import ipaddress

    written = text(node, "a CIDR")
    try:
        return str(ipaddress.ip_network(written, strict=False))  # a single address is allowed here
    except ValueError as e:
        raise broken(node, f"{printable(written, 60)} is no CIDR") from e


def _cidr_set(node: Node) -> Peer:
    given = fields(node, "a CIDR set")
    excepts = tuple(_address(one) for one in elements(given.get("except"), "except"))
    if "cidr" in given:
        return Peer(cidr=_address(given["cidr"]), excepts=excepts, origin=node.place)
    if "cidrGroupRef" in given:
        group = text(given["cidrGroupRef"], "cidrGroupRef")
        return Peer(entities=(f"cidrgroup {printable(group, 253)}",), excepts=excepts, origin=node.place)
    return unread(node, next(iter(given), "cidrSet"))


def _service(node: Node, namespace: str | None) -> Peer:
    given = fields(node, "a service")
    if "k8sService" in given:
        inner = fields(given["k8sService"], "k8sService")
        if "serviceName" in inner:
            where = optional(inner.get("namespace"), "namespace") or namespace or "default"
            return Peer(services=(f"{where}/{text(inner['serviceName'], 'serviceName')}",), origin=node.place)
    return unread(node, next(iter(given), "toServices"))


# ---- endpoint selectors


def _endpoint_peer(node: Node, namespace: str | None) -> Peer:
    given = fields(node, "an endpoint selector")
    reserved = [
        _source(name)[1]
        for name, _ in fields(given.get("matchLabels"), "matchLabels").items()
        if _source(name)[0] == "reserved"
    ]
    if reserved:
        return Peer(entities=tuple(reserved), origin=node.place)
    namespaces, pods = _endpoints(node, namespace, "an endpoint selector")
    if namespaces is None:
        return Peer(pods=pods, namespace=namespace, origin=node.place)
    return Peer(pods=pods, namespaces=namespaces, origin=node.place)


def _endpoints(node: Node, namespace: str | None, what: str) -> tuple[Selector | None, Selector]:
    """(namespaces, pods). Namespaces None is the policy's own; a clusterwide policy means all unless it says one."""
    namespaces, pods = _plain(node, what)
    if namespaces.selects_all:
        return (None if namespace is not None else EVERYTHING), pods
    return namespaces, pods


def _plain(node: Node, what: str) -> tuple[Selector, Selector]:
    """A selector taken apart into what it says of namespaces and of pods, sources of labels left away."""
    whole = selector(node, what)
    labels: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    expressions: dict[bool, list[tuple[str, str, tuple[str, ...]]]] = {True: [], False: []}
    for name, value in whole.labels:
        of_namespace, key = _key(name)
        if key != _CLUSTER:
            labels[of_namespace].append((key, value))
    for name, operator, values in whole.expressions:
        of_namespace, key = _key(name)
        assert operator in OPERATORS
        if key != _CLUSTER:
            expressions[of_namespace].append((key, operator, values))
    spaces, pods = (Selector(tuple(sorted(labels[side])), tuple(sorted(expressions[side]))) for side in (True, False))
    return spaces, pods


def _key(name: str) -> tuple[bool, str]:
    """(whether it speaks of the namespace, the label's own name)"""
    source, key = _source(name)
    if key == _POD_NAMESPACE:
        return True, NAMESPACE
    if key.startswith(_NAMESPACE_LABELS):
        return True, key.removeprefix(_NAMESPACE_LABELS)
    return False, f"{source}:{key}" if source == "reserved" else key


def _source(name: str) -> tuple[str, str]:
    for source in ("k8s", "any", "reserved"):
        for sign in (":", "."):
            if name.startswith(source + sign):
                return source, name[len(source) + 1 :]
    return "", name


# ---- ports


def _ports(entry: Fields) -> Iterator[PortRange]:
    for one in elements(entry.get("ports"), "ports"):
        parts = fields(one, "a port")
        protocol = (optional(parts.get("protocol"), "protocol") or "ANY").upper()
        if protocol not in _PROTOCOLS:
            raise broken(parts["protocol"], f"protocol has to be one of {', '.join(_PROTOCOLS)}")
        port = parts.get("port")
        if port is None or port.text == "0":
            yield PortRange(protocol)
        elif port.integer() is None:
            yield PortRange(protocol, name=text(port, "port"))
        else:
            first = number(port, "port", 1, 65535)
            end = parts.get("endPort")
            last = first if end is None or end.text == "0" else number(end, "endPort", first, 65535)
            yield PortRange(protocol, first, last)


def _patterns(entries: Sequence[Fields], layer7: Sequence[Fields]) -> tuple[str, ...]:
    """The names that its DNS rules let through; () where port 53 is open without such rules."""
    patterns: list[str] = []
    for entry, rules in zip(entries, layer7, strict=True):
        ports = tuple(_ports(entry))
        if ports and not any(p.name is not None or p.first <= 53 <= p.last for p in ports):
            continue
        if "dns" not in rules:
            return ()
        for one in elements(rules["dns"], "dns"):
            parts = fields(one, "a DNS rule")
            name = parts.get("matchName", parts.get("matchPattern"))
            patterns.append(text(name, "a name").rstrip(".") if name is not None else "*")
    return tuple(patterns)


def cidr_group(spec: Fields) -> tuple[str, ...]:
    """The addresses of a CiliumCIDRGroup."""
    return tuple(cidr(one, "externalCIDRs") for one in elements(spec.get("externalCIDRs"), "externalCIDRs"))


def with_groups(policies: Sequence[Policy], groups: dict[str, tuple[str, ...]]) -> tuple[Policy, ...]:
    """The policies with the groups that are among the files put in where they are named."""
    from dataclasses import replace

    if not groups:
        return tuple(policies)

    def put(peer: Peer) -> tuple[Peer, ...]:
        name = peer.entities[0].removeprefix("cidrgroup ") if peer.entities else ""
        if not peer.entities or not peer.entities[0].startswith("cidrgroup ") or name not in groups:
            return (peer,)
        return tuple(Peer(cidr=one, excepts=peer.excepts, origin=peer.origin) for one in groups[name])

    return tuple(
        replace(
            policy,
            rules=tuple(
                rule if rule.peers is None else replace(rule, peers=tuple(p for peer in rule.peers for p in put(peer)))
                for rule in policy.rules
            ),
        )
        for policy in policies
    )
