"""Network policies of every kind, brought to one shape.

NetworkPolicy: networking.k8s.io/v1. AdminNetworkPolicy and BaselineAdminNetworkPolicy: policy.networking.k8s.io/v1alpha1;
ClusterNetworkPolicy: v1alpha2 and after. What of them is not understood becomes a peer `unread`, of which nobody knows whom
it matches: never an error that drops the policy, never a rule that is left out.
"""

from collections.abc import Iterator

from scanner.launch.document import Node
from scanner.launch.manifests.podspec import Metadata
from scanner.launch.manifests.values import Fields, broken, cidr, elements, fields, number, optional, selector, text
from scanner.model import Peer, Policy, PolicyRule, PortRange, Selector, Tier, Verb, printable

PROTOCOLS = ("TCP", "UDP", "SCTP")
EVERYTHING = Selector()
UNREAD = "unread"


def unread(node: Node, what: str) -> Peer:
    """A peer that is there, but of which nobody knows whom it matches."""
    return Peer(entities=(f"{UNREAD} {printable(what, 60)}",), origin=node.place)


# ---- NetworkPolicy


def network_policy(meta: Metadata, spec: Fields, node: Node) -> Policy:
    types = [text(one, "a policy type") for one in elements(spec.get("policyTypes"), "policyTypes")]
    for one in types:
        if one not in ("Ingress", "Egress"):
            raise broken(spec["policyTypes"], f"policyTypes are Ingress and Egress, not {printable(one, 40)}")
    egress = elements(spec.get("egress"), "egress")
    ingress = elements(spec.get("ingress"), "ingress")
    return Policy(
        kind="NetworkPolicy",
        name=meta.name,
        namespace=meta.namespace,
        tier=Tier.NETWORK,
        pods=selector(spec.get("podSelector"), "podSelector"),
        namespaces=None,
        rules=network_rules(egress, ingress, meta.namespace),
        origin=node.place,
        isolates_egress="Egress" in types if types else bool(egress),
        isolates_ingress="Ingress" in types if types else True,
        implied=not types,
    )


def network_rules(egress: tuple[Node, ...], ingress: tuple[Node, ...], namespace: str) -> tuple[PolicyRule, ...]:
    return (
        *(_network_rule(one, "to", namespace, ingress=False) for one in egress),
        *(_network_rule(one, "from", namespace, ingress=True) for one in ingress),
    )


def _network_rule(node: Node, direction: str, namespace: str, *, ingress: bool) -> PolicyRule:
    given = fields(node, "a rule")
    peers = elements(given.get(direction), direction)
    ports = elements(given.get("ports"), "ports")
    return PolicyRule(
        Verb.ALLOW,
        tuple(_network_peer(one, namespace) for one in peers) if peers else None,
        tuple(_network_port(one) for one in ports) if ports else None,
        node.place,
        ingress=ingress,
    )


def _network_peer(node: Node, namespace: str) -> Peer:
    given = fields(node, "a peer")
    block = given.get("ipBlock")
    if block is not None:
        if len(given) > 1:
            raise broken(node, "a peer has an ipBlock or selectors, not both")
        parts = fields(block, "ipBlock")
        if "cidr" not in parts:
            raise broken(block, "ipBlock needs a cidr")
        excepts = tuple(cidr(one, "except") for one in elements(parts.get("except"), "except"))
        return Peer(cidr=cidr(parts["cidr"], "cidr"), excepts=excepts, origin=node.place)
    pods, namespaces = given.get("podSelector"), given.get("namespaceSelector")
    if pods is None and namespaces is None:
        if given:
            return unread(node, min(given))
        raise broken(node, "a peer names nobody: it needs an ipBlock or a selector")
    return Peer(
        pods=selector(pods, "podSelector") if pods is not None else None,
        namespaces=selector(namespaces, "namespaceSelector") if namespaces is not None else None,
        namespace=namespace if namespaces is None else None,
        origin=node.place,
    )


def _network_port(node: Node) -> PortRange:
    given = fields(node, "a port")
    protocol = _protocol(given.get("protocol"))
    port = given.get("port")
    if port is None:
        if "endPort" in given:
            raise broken(node, "endPort needs a port")
        return PortRange(protocol)
    first = port.integer()
    if first is None:
        if "endPort" in given:
            raise broken(node, "endPort needs a port that is a number")
        return PortRange(protocol, name=text(port, "port"))
    first = number(port, "port", 1, 65535)
    last = number(given["endPort"], "endPort", first, 65535) if "endPort" in given else first
    return PortRange(protocol, first, last)


def _protocol(node: Node | None) -> str:
    name = (optional(node, "protocol") or "TCP").upper()
    if name not in PROTOCOLS:
        assert node is not None
        raise broken(node, f"protocol has to be one of {', '.join(PROTOCOLS)}, not {printable(name, 40)}")
    return name


# ---- AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy


def admin_policy(meta: Metadata, spec: Fields, node: Node, kind: str) -> Policy:
    """The cluster's own policies. The baseline has no priority; ClusterNetworkPolicy says its tier itself."""
    tier = Tier.BASELINE if kind == "BaselineAdminNetworkPolicy" else Tier.ADMIN
    if kind == "ClusterNetworkPolicy":
        said = optional(spec.get("tier"), "tier")
        if said not in ("Admin", "Baseline"):
            raise broken(spec.get("tier", node), "tier has to be Admin or Baseline")
        tier = Tier.ADMIN if said == "Admin" else Tier.BASELINE
    priority = 0
    if kind != "BaselineAdminNetworkPolicy":
        if "priority" not in spec:
            raise broken(node, f"{kind} needs a priority")
        priority = number(spec["priority"], "priority", 0, 1000)
    if "subject" not in spec:
        raise broken(node, f"{kind} needs a subject")
    namespaces, pods = _subject(spec["subject"])
    return Policy(
        kind=kind,
        name=meta.name,
        namespace=None,
        tier=tier,
        pods=pods,
        namespaces=namespaces,
        rules=(
            *(_admin_rule(one, "to", tier, kind) for one in elements(spec.get("egress"), "egress")),
            *(_admin_rule(one, "from", tier, kind) for one in elements(spec.get("ingress"), "ingress")),
        ),
        origin=node.place,
        priority=priority,
        isolates_egress=False,
        isolates_ingress=False,
    )


def _subject(node: Node) -> tuple[Selector, Selector]:
    given = fields(node, "subject")
    if set(given) == {"namespaces"}:
        return selector(given["namespaces"], "namespaces"), EVERYTHING
    if set(given) == {"pods"}:
        return _namespaced(given["pods"])
    raise broken(node, "subject has to name namespaces or pods, one of them")


def _namespaced(node: Node) -> tuple[Selector, Selector]:
    """(namespaces, pods); an empty selector of either is all of them."""
    given = fields(node, "pods")
    return selector(given.get("namespaceSelector"), "namespaceSelector"), selector(
        given.get("podSelector"), "podSelector"
    )


_ACTIONS = {"Allow": Verb.ALLOW, "Accept": Verb.ALLOW, "Deny": Verb.DENY, "Pass": Verb.PASS}


def _admin_rule(node: Node, direction: str, tier: Tier, kind: str) -> PolicyRule:
    given = fields(node, "a rule")
    action = optional(given.get("action"), "action")
    if action not in _ACTIONS or (tier is Tier.BASELINE and action == "Pass" and kind != "ClusterNetworkPolicy"):
        raise broken(given.get("action", node), "action has to be Allow (Accept), Deny or, above the baseline, Pass")
    peers = elements(given.get(direction), direction)
    if not peers:
        raise broken(node, f"a rule of {kind} needs `{direction}` with at least one peer")
    ports = elements(given.get("ports"), "ports")
    protocols = elements(given.get("protocols"), "protocols")
    return PolicyRule(
        _ACTIONS[action],
        tuple(peer for one in peers for peer in _admin_peer(one)),
        (*(_admin_port(one) for one in ports), *(_cluster_protocol(one) for one in protocols)) or None,
        node.place,
        name=optional(given.get("name"), "name"),
        ingress=direction == "from",
    )


def _admin_peer(node: Node) -> Iterator[Peer]:
    given = fields(node, "a peer")
    if len(given) != 1:
        raise broken(node, "a peer has exactly one of namespaces, pods, nodes, networks, domainNames")
    [(name, value)] = given.items()
    if name == "namespaces":
        inner = fields(value, "namespaces")
        if "namespaceSelector" in inner:  # as v1alpha1 began
            yield Peer(namespaces=selector(inner["namespaceSelector"], "namespaceSelector"), origin=node.place)
        elif inner.keys() & {"sameLabels", "notSameLabels", "notSelf"}:
            yield unread(node, "sameLabels")
        else:
            yield Peer(namespaces=selector(value, "namespaces"), origin=node.place)
    elif name == "pods":
        inner = fields(value, "pods")
        if "namespaces" in inner:
            yield unread(node, "pods.namespaces")
            return
        namespaces, pods = _namespaced(value)
        yield Peer(pods=pods, namespaces=namespaces, origin=node.place)
    elif name == "nodes":
        yield Peer(nodes=selector(value, "nodes"), origin=node.place)
    elif name == "networks":
        for one in elements(value, "networks"):
            yield Peer(cidr=cidr(one, "networks"), origin=one.place)
    elif name == "domainNames":
        yield Peer(fqdns=tuple(text(one, "a domain") for one in elements(value, "domainNames")), origin=node.place)
    else:
        yield unread(node, name)


def _admin_port(node: Node) -> PortRange:
    given = fields(node, "a port")
    if set(given) == {"portNumber"}:
        parts = fields(given["portNumber"], "portNumber")
        if "port" not in parts:
            raise broken(node, "portNumber needs a port")
        port = number(parts["port"], "port", 1, 65535)
        return PortRange(_protocol(parts.get("protocol")), port, port)
    if set(given) == {"portRange"}:
        parts = fields(given["portRange"], "portRange")
        if "start" not in parts or "end" not in parts:
            raise broken(node, "portRange needs start and end")
        start, end = number(parts["start"], "start", 1, 65535), number(parts["end"], "end", 1, 65535)
        protocol = _protocol(parts.get("protocol"))
        # the API takes a range that ends before it starts: no port is in it, and no port can have such a name
        return PortRange(protocol, start, end) if start <= end else PortRange(protocol, name=f"{start}-{end}")
    if set(given) == {"namedPort"}:
        return PortRange("ANY", name=text(given["namedPort"], "namedPort"))
    raise broken(node, "a port has exactly one of portNumber, portRange, namedPort")


def _cluster_protocol(node: Node) -> PortRange:
    given = fields(node, "a protocol")
    if len(given) != 1:
        raise broken(node, "a protocol has exactly one of tcp, udp, sctp, destinationNamedPort")
    [(name, value)] = given.items()
    if name == "destinationNamedPort":
        return PortRange("ANY", name=text(value, name))
    if name.upper() not in PROTOCOLS:
        raise broken(node, f"{printable(name, 40)} is no protocol")
    parts = fields(value, name)
    if "destinationPort" not in parts:
        return PortRange(name.upper())
    port = fields(parts["destinationPort"], "destinationPort")
    if "number" in port:
        single = number(port["number"], "number", 1, 65535)
        return PortRange(name.upper(), single, single)
    span = fields(port.get("range"), "range")
    if "start" not in span or "end" not in span:
        raise broken(node, "a destinationPort needs a number or a range")
    start = number(span["start"], "start", 1, 65535)
    return PortRange(name.upper(), start, number(span["end"], "end", start, 65535))
