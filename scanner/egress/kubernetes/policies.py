"""The algebra of network policies: which traffic leaves a pod, by which rule, and which other pods let it in.

Traffic has two parts: packets to addresses outside the cluster (a Space), and ports of *targets* inside it. Targets are
classes of pods that no policy can tell apart, and a few that are no pods of the launch (the own node, other nodes, the API
server, the cluster's resolver); a set of them is a bit mask, so that thousands are as cheap as one.

What is not certain is carried as two bounds: `least` passes whatever the missing facts are, `most` may pass.

Order: AdminNetworkPolicy (and ClusterNetworkPolicy of the Admin tier) by priority, first match wins; then NetworkPolicy
and Cilium's, which add up, Cilium's denials first; then the baseline; then everything is allowed. kubernetes.io's Network
Policies page; network-policy-api's API overview; docs.cilium.io, Policy Enforcement Modes and Deny Policies.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from scanner.egress.assumptions import Assumed
from scanner.egress.permits import (
    EMPTY,
    IPV4,
    PRIVATE,
    Ranges,
    Space,
    common,
    joined,
    ranges_of,
    without,
)
from scanner.model.egress import Permit
from scanner.model.launch import (
    Cluster,
    Missing,
    Peer,
    Pod,
    PodNetwork,
    Policy,
    PolicyRule,
    PortRange,
    Selector,
    Service,
    Tier,
    Verb,
)

NAME = "kubernetes.io/metadata.name"
SERVICE_ACCOUNT = "io.cilium.k8s.policy.serviceaccount"
PRIMARY = "k8s.ovn.org/primary-user-defined-network"
"""What a namespace's label has to be for its pods to be on a primary network of their own."""
CLUSTER = "cluster"
"""The network that all pods are on if nobody says otherwise."""

# ---- ports on one line: protocol after protocol

_LINES = {"TCP": 0, "UDP": 1, "SCTP": 2, "ICMP": 3, "OTHER": 4}
_WIDTH = 1 << 16


def _line(protocol: str, first: int = 1, last: int = 65535) -> tuple[int, int]:
    base = _LINES[protocol] * _WIDTH
    return (base + first, base + last) if protocol in ("TCP", "UDP", "SCTP") else (base, base)


ALL_PORTS: Ranges = tuple(_line(protocol) for protocol in _LINES)
PORTED: Ranges = tuple(_line(protocol) for protocol in ("TCP", "UDP", "SCTP"))


def dns_ports(port: int) -> Ranges:
    return (_line("TCP", port, port), _line("UDP", port, port))


def port_permits(hosts: tuple[str, ...], ports: Ranges) -> tuple[Permit, ...]:
    """A set of ports as Permits to these hosts."""
    if ports == ALL_PORTS:
        return (Permit(hosts),)
    permits = []
    for protocol, line in _LINES.items():
        base = line * _WIDTH
        found = common(ports, (_line(protocol),))
        if found:
            inner = tuple((a - base, b - base) for a, b in found)
            ported = protocol in ("TCP", "UDP", "SCTP")
            permits.append(Permit(hosts, protocol.lower(), inner) if ported else Permit(hosts, protocol.lower()))
    return tuple(permits)


# ---- targets


@dataclass(frozen=True, slots=True)
class Targets:
    """Ports by target: masks do not overlap, ports are never empty."""

    parts: Mapping[Ranges, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.parts)

    @property
    def mask(self) -> int:
        result = 0
        for mask in self.parts.values():
            result |= mask
        return result

    def __or__(self, other: "Targets") -> "Targets":
        if not self.parts or not other.parts:
            return self if self.parts else other
        result: dict[Ranges, int] = {}
        rest = other.mask
        for ports, mask in self.parts.items():
            left = mask
            for theirs, their_mask in other.parts.items():
                both = left & their_mask
                if both:
                    both_ports = joined(ports, theirs)
                    result[both_ports] = result.get(both_ports, 0) | both
                    left &= ~both
            if left:
                result[ports] = result.get(ports, 0) | left
            rest &= ~mask
        if rest:
            for theirs, their_mask in other.parts.items():
                if their_mask & rest:
                    result[theirs] = result.get(theirs, 0) | their_mask & rest
        return Targets(result)

    def __and__(self, other: "Targets") -> "Targets":
        result: dict[Ranges, int] = {}
        for ports, mask in self.parts.items():
            for theirs, their_mask in other.parts.items():
                if mask & their_mask and (both := common(ports, theirs)):
                    result[both] = result.get(both, 0) | mask & their_mask
        return Targets(result)

    def __sub__(self, other: "Targets") -> "Targets":
        if not self.parts or not other.parts:
            return self
        result: dict[Ranges, int] = {}
        for ports, mask in self.parts.items():
            left = mask
            for theirs, their_mask in other.parts.items():
                both = left & their_mask
                if both:
                    remain = without(ports, theirs)
                    if remain:
                        result[remain] = result.get(remain, 0) | both
                    left &= ~both
            if left:
                result[ports] = result.get(ports, 0) | left
        return Targets(result)

    def at(self, mask: int) -> "Targets":
        """What goes to the targets of a mask."""
        return Targets({ports: mine & mask for ports, mine in self.parts.items() if mine & mask})


NO_TARGETS = Targets()


def targets(mask: int, ports: Ranges) -> Targets:
    return Targets({ports: mask}) if mask and ports else NO_TARGETS


@dataclass(frozen=True, slots=True)
class Traffic:
    space: Space = EMPTY
    targets: Targets = NO_TARGETS

    def __bool__(self) -> bool:
        return bool(self.space) or bool(self.targets)

    def __or__(self, other: "Traffic") -> "Traffic":
        if not other or self is other:
            return self
        return Traffic(self.space | other.space, self.targets | other.targets) if self else other

    def __and__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.space & other.space, self.targets & other.targets)

    def __sub__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.space - other.space, self.targets - other.targets) if other else self


NOTHING = Traffic()


def together(parts: Sequence[Traffic]) -> Traffic:
    """The union of many, pair by pair, so that thousands of small ones are not added to one that grows."""
    some = [part for part in parts if part]
    while len(some) > 1:
        some = [a | b for a, b in itertools.zip_longest(some[::2], some[1::2], fillvalue=NOTHING)]
    return some[0] if some else NOTHING


@dataclass(frozen=True, slots=True)
class Match:
    """What a rule speaks of, between two bounds, and the facts that would bring them together."""

    least: Traffic = NOTHING
    most: Traffic = NOTHING
    missing: tuple[Missing, ...] = ()

    def __or__(self, other: "Match") -> "Match":
        return Match(self.least | other.least, self.most | other.most, (*self.missing, *other.missing))


def exactly(traffic: Traffic) -> Match:
    return Match(traffic, traffic)


@dataclass(frozen=True, slots=True)
class Selection:
    """Targets that are selected for sure, and that may be."""

    least: int
    most: int
    missing: tuple[Missing, ...] = ()

    def within(self, mask: int) -> "Selection":
        return Selection(self.least & mask, self.most & mask, self.missing)


# ---- what leaves a pod


@dataclass(frozen=True, slots=True)
class Cause:
    """Why traffic passes or does not: a rule of a policy, or None for what is so if no policy says anything."""

    policy: Policy | None = None
    index: int = -1

    @property
    def rule(self) -> PolicyRule | None:
        return self.policy.rules[self.index] if self.policy is not None else None


@dataclass(frozen=True, slots=True)
class Passing:
    """Traffic that one cause lets pass, between its bounds."""

    cause: Cause
    least: Traffic
    most: Traffic


@dataclass(frozen=True)
class Leaving:
    """All that leaves a pod: `passing` by cause, `denied` what a rule forbids, `isolating` the policies that close it by default."""

    passing: tuple[Passing, ...]
    denied: tuple[Cause, ...]
    isolating: tuple[Policy, ...]
    missing: tuple[Missing, ...]
    by_cilium: bool
    by_cilium_perhaps: bool
    """Whether Cilium's policies decide over this pod: then they decide over its own node as well."""

    @cached_property
    def most(self) -> Traffic:
        return together([one.most for one in self.passing])


# ---- the cluster

OWN_NODE, OTHER_NODES, API_SERVER, CLUSTER_DNS = (1 << n for n in range(4))
_VIRTUAL = 4


@dataclass(frozen=True, slots=True)
class Resolver:
    """What is known of the cluster's resolver where its pods are not among the files: the port that they listen on too."""

    namespace: str
    label: tuple[str, str]
    port: int


_KUBE_DNS = Resolver("kube-system", ("k8s-app", "kube-dns"), 53)
_OPENSHIFT_DNS = Resolver("openshift-dns", ("dns.operator.openshift.io/daemonset-dns", "default"), 5353)
EVERY_ADDRESS = Permit(("0.0.0.0/0", "::/0"))


@dataclass(frozen=True, slots=True)
class Class:
    """Pods that no policy of the launch tells apart."""

    namespace: str
    labels: tuple[tuple[str, str | None], ...]
    ports: tuple[tuple[str, int, str], ...]
    host_network: bool


class Net:
    """The policies of one launch, ready to be asked. Facts that were assumed are built in."""

    def __init__(self, cluster: Cluster, assumed: Assumed) -> None:
        self.cluster = cluster
        self.assumed = assumed
        enforced = assumed.flag("cni.enforces") is not False
        self.policies: tuple[Policy, ...] = cluster.policies if enforced else ()
        self._mentioned = _mentioned(self.policies, cluster.services)
        self.resolver = _resolver(cluster, self._mentioned, self.policies)
        self.class_of: dict[int, int] = {}
        """The bit number of each pod's class, by the pod's identity."""
        self.classes: list[Class] = []
        self.members: list[list[Pod]] = []
        self._classify()
        self._namespace_labels = {n.name: n.labels for n in cluster.namespaces}
        self._index()
        self.whole = Traffic(Space.of((EVERY_ADDRESS,)), targets(self.all, ALL_PORTS))
        self._rules: dict[tuple[int, int], Match] = {}
        self._selecting: dict[int, list[tuple[Policy, bool]]] | None = None
        self._leaving: dict[int, Leaving] = {}
        self._by_policies: dict[tuple[tuple[int, bool], ...], Leaving] = {}
        self._admitted: dict[int, tuple[Targets, Targets, tuple[Missing, ...]]] = {}
        self._ingress: _Ingress | None = None
        self._selected: dict[tuple[Selector | None, Selector | None, str | None], Selection] = {}
        self._apart: dict[str, Selection] = {}
        self.network_of = {name: self._network(name) for name in self.namespaces} if cluster.networks else {}
        """The pods' network of each namespace, if any has one that is not the cluster's; None where that is not certain."""

    # -- classes

    def _classify(self) -> None:
        numbers: dict[Class, int] = {}
        named = _named_ports(self.policies)
        for pod in self.cluster.pods:
            labels = []
            for key, value in pod.labels.items():
                values = self._mentioned.get(key)
                if values is not None:
                    labels.append((key, value if value in values else None))
            if SERVICE_ACCOUNT in self._mentioned:
                account = pod.service_account.value if pod.service_account is not None else "default"
                known = account in self._mentioned[SERVICE_ACCOUNT]
                labels.append((SERVICE_ACCOUNT, account if known else None))
            ports = tuple(
                sorted(
                    (name, number, protocol)
                    for container in pod.containers
                    for name, number, protocol in container.ports
                    if name is not None and name in named
                )
            )
            host = pod.host_network is not None and pod.host_network.value
            one = Class(pod.namespace, tuple(sorted(labels)), ports, host)
            number = numbers.get(one)
            if number is None:
                number = numbers[one] = len(self.classes) + _VIRTUAL
                self.classes.append(one)
                self.members.append([])
            self.class_of[id(pod)] = number
            self.members[number - _VIRTUAL].append(pod)

    def _index(self) -> None:
        self.namespaces: dict[str, int] = {}
        """The pods of each namespace."""
        self._by_label: dict[tuple[str, str | None], int] = {}
        self._by_key: dict[str, int] = {}
        self._by_port: dict[str, dict[tuple[str, int], int]] = {}
        self.on_host = 0
        for number, one in enumerate(self.classes, _VIRTUAL):
            bit = 1 << number
            self.namespaces[one.namespace] = self.namespaces.get(one.namespace, 0) | bit
            for label in one.labels:
                self._by_label[label] = self._by_label.get(label, 0) | bit
                self._by_key[label[0]] = self._by_key.get(label[0], 0) | bit
            for name, port, protocol in one.ports:
                ports = self._by_port.setdefault(name, {})
                ports[protocol, port] = ports.get((protocol, port), 0) | bit
            if one.host_network:
                self.on_host |= bit
        self.pods = ((1 << len(self.classes)) - 1) << _VIRTUAL
        resolvers = 0
        for number, one in enumerate(self.classes, _VIRTUAL):
            if one.namespace == self.resolver.namespace and any(
                pod.labels.get(self.resolver.label[0]) == self.resolver.label[1]
                for pod in self.members[number - _VIRTUAL]
            ):
                resolvers |= 1 << number
        self.resolvers = resolvers or CLUSTER_DNS
        """The cluster's resolver: its pods if they are among the files, else what stands for them."""
        self.all = self.pods | OWN_NODE | OTHER_NODES | API_SERVER | (CLUSTER_DNS if not resolvers else 0)
        for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP")):
            named = self._by_port.setdefault(name, {})
            key = protocol, self.resolver.port
            named[key] = named.get(key, 0) | (CLUSTER_DNS & self.all)

    # -- selectors

    def selected(self, pods: Selector | None, namespaces: Selector | None, namespace: str | None) -> Selection:
        """Pods by selectors; `namespace` counts where there is no selector of namespaces. None of all three is every pod."""
        key = (pods, namespaces, namespace)
        found = self._selected.get(key)
        if found is None:
            found = self._selected[key] = self._select(pods, namespaces, namespace)
        return found

    def _select(self, pods: Selector | None, namespaces: Selector | None, namespace: str | None) -> Selection:
        least, most = self.all & ~(OWN_NODE | OTHER_NODES | API_SERVER), 0
        missing: tuple[Missing, ...] = ()
        if namespaces is not None and not namespaces.selects_all:
            least, most, missing = self._of_namespaces(namespaces)
        elif namespaces is None and namespace is not None:
            least = most = self._in_namespace(namespace)
        else:
            most = least
        if pods is not None and not pods.selects_all and most:
            labelled, perhaps = self._labelled(pods)
            least, most = least & labelled, most & perhaps
            if labelled != perhaps and most & CLUSTER_DNS:
                why = (
                    "whether the cluster's DNS has the labels that a policy asks for: its pods are not among the files"
                )
                missing = (*missing, Missing("cluster.dns", why))
        if most & self.on_host:
            applies = self.assumed.flag("cni.host-network")
            if applies is not True:
                least &= ~self.on_host
            if applies is False:
                most &= ~self.on_host
            elif applies is None:
                missing = (*missing, _HOST_NETWORK)
        return Selection(least, most, missing)

    def _in_namespace(self, name: str) -> int:
        return self.namespaces.get(name, 0) | (CLUSTER_DNS & self.all if name == self.resolver.namespace else 0)

    def _of_namespaces(self, selector: Selector) -> tuple[int, int, tuple[Missing, ...]]:
        least = most = 0
        missing = []
        for name in dict.fromkeys((*self.namespaces, self.resolver.namespace)):
            mask = self._in_namespace(name)
            if not mask:
                continue
            labels, known = self.namespace_labels(name)
            verdict = _matches(selector, labels, complete=known)
            if (
                verdict is None
                and name == self.resolver.namespace
                and name not in self.namespaces
                and not _means_resolver(selector, self.resolver)
            ):
                verdict = False
            if verdict is not False:
                most |= mask
            if verdict is True:
                least |= mask
            if verdict is None:
                why = f"the labels of the namespace {name}, which is not among the files: a policy asks for them"
                missing.append(Missing(f"namespace.{name}", why))
        return least, most, tuple(missing)

    def namespace_labels(self, name: str) -> tuple[Mapping[str, str], bool]:
        """What is known of a namespace's labels, and whether that is all."""
        if name in self._namespace_labels:
            return self._namespace_labels[name], True
        assumed = self.assumed.get(f"namespace.{name}")
        if assumed is None:
            return {NAME: name}, False
        pairs = () if assumed == "none" else (pair.partition("=") for pair in assumed.split(","))
        return {**{key: value for key, _, value in pairs}, NAME: name}, True

    def _labelled(self, selector: Selector) -> tuple[int, int]:
        """Pods by their labels, for sure and perhaps: of the cluster's resolver only one label is known."""
        mask = self.pods
        for label in selector.labels:
            mask &= self._by_label.get(label, 0)
        for key, operator, values in selector.expressions:
            has = self._by_key.get(key, 0)
            if operator == "Exists":
                mask &= has
            elif operator == "DoesNotExist":
                mask &= ~has
            else:
                among = 0
                for value in values:
                    among |= self._by_label.get((key, value), 0)
                mask &= among if operator == "In" else ~among
        resolver = _matches(selector, dict((self.resolver.label,)), complete=False) if self.all & CLUSTER_DNS else False
        if resolver is None and not _means_resolver(selector, self.resolver):
            resolver = False
        return (
            mask | (CLUSTER_DNS if resolver is True else 0),
            mask | (CLUSTER_DNS if resolver is not False else 0),
        )

    # -- ports

    def ports(self, ranges: Sequence[PortRange] | None, mask: int) -> Targets:
        """The ports of a rule at these targets; a named port is what each of them calls so."""
        if ranges is None:
            return targets(mask, ALL_PORTS)
        result = targets(mask, _numbers(tuple(r for r in ranges if r.name is None)))
        for one in ranges:
            if one.name is None:
                continue
            for (protocol, port), having in self._by_port.get(one.name, {}).items():
                if one.protocol in ("ANY", protocol) and protocol in _LINES:
                    result = result | targets(having & mask, (_line(protocol, port, port),))
        return result

    # -- rules

    def matched(self, policy: Policy, index: int) -> Match:
        """What an egress rule speaks of."""
        key = (id(policy), index)
        found = self._rules.get(key)
        if found is None:
            rule = policy.rules[index]
            if rule.peers is None:
                found = exactly(Traffic(_outside(EVERY_ADDRESS, rule.ports), self.ports(rule.ports, self.all)))
            else:
                found = Match()
                for peer in rule.peers:
                    found = found | self.peer(policy, rule, peer)
            self._rules[key] = found
        return found

    def peer(self, policy: Policy, rule: PolicyRule, peer: Peer) -> Match:
        """Whom one peer of a rule names, at the rule's ports."""
        if peer.cidr is not None:
            return self._block(policy, rule, peer)
        if peer.fqdns:
            return exactly(Traffic(_outside(Permit(peer.fqdns), rule.ports)))
        if peer.entities:
            found = Match()
            for name in peer.entities:
                found = found | self._entity(name, rule, peer)
            return found
        if peer.services:
            return self._services(rule, peer)
        if peer.nodes is not None:
            least = OTHER_NODES if peer.nodes.selects_all else 0
            missing = (
                ()
                if least
                else (Missing("nodes", "the labels of the cluster's nodes, which a policy asks for", peer.origin),)
            )
            return Match(
                Traffic(EMPTY, self.ports(rule.ports, least)),
                Traffic(EMPTY, self.ports(rule.ports, OTHER_NODES)),
                missing,
            )
        return self._at(self.selected(peer.pods, peer.namespaces, peer.namespace), rule)

    def _at(self, selection: Selection, rule: PolicyRule) -> Match:
        most = Traffic(EMPTY, self.ports(rule.ports, selection.most))
        if selection.least == selection.most:
            return Match(most, most)
        return Match(Traffic(EMPTY, self.ports(rule.ports, selection.least)), most, selection.missing)

    def _block(self, policy: Policy, rule: PolicyRule, peer: Peer) -> Match:
        """A block of addresses. Whether it matches pods depends on the plugin: they have addresses, Cilium never looks at them;
        of the cluster's own policies the API says that it does."""
        assert peer.cidr is not None
        space = Traffic(_outside(Permit((peer.cidr,), excepts=peer.excepts), rule.ports))
        inside = self.all & ~(OWN_NODE | OTHER_NODES)
        block = without(ranges_of((peer.cidr,)), ranges_of(peer.excepts))
        given = self.assumed.get("cluster.pod-cidr")
        if policy.tier is Tier.CILIUM:
            return exactly(space)
        if any(not without(family, block) for family in _FAMILIES):
            # a block of all private addresses holds the other nodes' too
            space = space | Traffic(EMPTY, self.ports(rule.ports, OTHER_NODES))
        if given == "unmatched" and policy.tier is Tier.NETWORK:
            return exactly(space)
        where = _FAMILIES if given in (None, "unmatched") else (ranges_of(given.split(",")),)
        touches = any(common(block, ranges) for ranges in where)
        if not touches or (rule.verb is Verb.DENY and not common(block, IPV4)):
            # what IPv6 is denied, IPv4 still has: a pod is a target by either
            return exactly(space)
        with_pods = space | Traffic(EMPTY, self.ports(rule.ports, inside))
        whole = any(not without(ranges, block) for ranges in where)
        if whole and (given is not None or policy.tier is not Tier.NETWORK):
            return exactly(with_pods)
        why = "whether a block of addresses holds the pods of the cluster, and whether its network plugin lets it match them"
        return Match(space, with_pods, (Missing("cluster.pod-cidr", why, peer.origin),))

    def _entity(self, name: str, rule: PolicyRule, peer: Peer) -> Match:
        inside = {
            "host": OWN_NODE,
            "remote-node": OTHER_NODES,
            "kube-apiserver": API_SERVER,
            "cluster": self.all,
        }
        outside = {"world": EVERY_ADDRESS, "world-ipv4": Permit(("0.0.0.0/0",)), "world-ipv6": Permit(("::/0",))}
        if name in inside:
            return exactly(Traffic(EMPTY, self.ports(rule.ports, inside[name])))
        if name in outside:
            return exactly(Traffic(_outside(outside[name], rule.ports)))
        everything = Traffic(_outside(EVERY_ADDRESS, rule.ports), self.ports(rule.ports, self.all))
        if name == "all":
            return exactly(everything)
        if name in ("health", "init", "ingress", "none", "unmanaged"):
            return Match()
        kind, _, rest = name.partition(" ")
        if kind == "cidrgroup":
            given = self.assumed.get(f"cidrgroup.{rest}")
            if given is not None:
                return exactly(Traffic(_outside(Permit(tuple(given.split(",")), excepts=peer.excepts), rule.ports)))
            why = f"the addresses of the CiliumCIDRGroup {rest}, which is not among the files"
            return Match(NOTHING, Traffic(everything.space), (Missing(f"cidrgroup.{rest}", why, peer.origin),))
        if kind == "group":
            why = "the addresses of a cloud provider's group, which only the provider knows"
            return Match(NOTHING, Traffic(everything.space), (Missing("cloud-group", why, peer.origin),))
        why = f"whom a rule matches that is not understood ({rest or name})"
        return Match(NOTHING, everything, (Missing("policy", why, peer.origin),))

    def _services(self, rule: PolicyRule, peer: Peer) -> Match:
        found = Match()
        known = {f"{s.namespace}/{s.name}": s for s in self.cluster.services}
        for name in peer.services:
            service = known.get(name)
            if service is None:
                why = f"what stands behind the service {name}, which is not among the files"
                everything = Traffic(_outside(EVERY_ADDRESS, rule.ports), self.ports(rule.ports, self.all))
                found = found | Match(NOTHING, everything, (Missing("service", why, peer.origin),))
            elif service.selector:
                selector = Selector(tuple(sorted(service.selector.items())))
                found = found | self._at(self.selected(selector, None, service.namespace), rule)
            else:
                why = f"the addresses behind the service {name}, which has no selector"
                space = Traffic(_outside(EVERY_ADDRESS, rule.ports))
                found = found | Match(NOTHING, space, (Missing("service", why, peer.origin),))
        return found

    # -- which policies hold for whom

    def subject(self, policy: Policy) -> Selection:
        """The pods that a policy holds for. Pods on the node's own network are none of the cluster's policies' or Cilium's."""
        found = self.selected(policy.pods, policy.namespaces, policy.namespace).within(self.pods)
        return found if policy.tier is Tier.NETWORK else found.within(~self.on_host)

    def selecting(self, number: int) -> list[tuple[Policy, bool]]:
        """The policies that hold for a class, and whether that is sure."""
        if self._selecting is None:
            self._selecting = {}
            for policy in self.policies:
                found = self.subject(policy)
                for one in bits(found.most):
                    self._selecting.setdefault(one, []).append((policy, bool(found.least >> one & 1)))
        return self._selecting.get(number, [])

    # -- egress

    def leaving(self, number: int) -> Leaving:
        """All that leaves the pods of a class."""
        found = self._leaving.get(number)
        if found is None:
            found = self._leaving[number] = self._leave(number)
        return found

    def _leave(self, number: int) -> Leaving:
        """The same for all classes for which the same policies hold."""
        chosen = self.selecting(number)
        key = tuple((id(policy), sure) for policy, sure in chosen)
        found = self._by_policies.get(key)
        if found is None:
            found = self._by_policies[key] = self._under(chosen)
        return found

    def _under(self, chosen: Sequence[tuple[Policy, bool]]) -> Leaving:
        missing: dict[Missing, None] = {}
        for policy, sure in chosen:
            if not sure:
                missing.update(dict.fromkeys(self.subject(policy).missing))
        way = _Way(self, missing)
        rest = way.by_priority([c for c in chosen if c[0].tier is Tier.ADMIN], self.whole)
        adding = [c for c in chosen if c[0].tier in (Tier.NETWORK, Tier.CILIUM)]
        isolating = [(p, sure) for p, sure in adding if isolates_egress(p)]
        rest = way.denials(adding, rest)
        isolated = NOTHING
        if isolating:
            shut = rest - way.additions(adding, rest)
            surely = any(sure for _, sure in isolating)
            # where a policy holds, so do its own rules; of the others only those that hold for sure
            isolated = shut if surely else together([shut - self._allowed_by(policy) for policy, _ in isolating])
            if surely:
                rest = NOTHING
        rest = way.by_priority([c for c in chosen if c[0].tier is Tier.BASELINE], rest)
        way.allow(Cause(), rest, sure=False)
        cilium = [
            (p, sure)
            for p, sure in adding
            if p.tier is Tier.CILIUM
            and (isolates_egress(p) or any(r.verb is Verb.DENY and not r.ingress for r in p.rules))
        ]
        denied = way.denied | isolated
        return Leaving(
            # what a rule that holds for sure adds is no part of what isolation closes
            tuple(Passing(cause, most - (way.denied if sure else denied), most) for cause, most, sure in way.passing),
            tuple(dict.fromkeys(way.denying)),
            tuple(p for p, _ in isolating),
            tuple(missing),
            any(sure for _, sure in cilium),
            bool(cilium),
        )

    def _allowed_by(self, policy: Policy) -> Traffic:
        return together(
            [
                self.matched(policy, index).least
                for index, rule in enumerate(policy.rules)
                if rule.verb is Verb.ALLOW and not rule.ingress
            ]
        )

    # -- ingress

    def admitted(self, number: int) -> tuple[Targets, Targets, tuple[Missing, ...]]:
        """What other pods let in of the pods of a class: for sure, perhaps, and the facts between the two."""
        found = self._admitted.get(number)
        if found is None:
            if self._ingress is None:
                self._ingress = _Ingress(self)
            surely, perhaps, doubts = self._ingress.of(number)
            held = self.assumed.flag("cni.host-network")
            everything = targets(self.all, ALL_PORTS)
            if self.classes[number - _VIRTUAL].host_network and held is not True and surely.parts != everything.parts:
                # what it sends may count as its node's, which the pods of that node always let in
                perhaps, doubts = everything, (*doubts, _HOST_NETWORK if held is None else _SAME_NODE)
            if self.network_of:
                joined = self.joined(number)
                surely, perhaps = surely.at(joined.least), perhaps.at(joined.most)
                doubts = (*doubts, *joined.missing)
            found = self._admitted[number] = (surely, perhaps, doubts)
        return found

    # -- networks of pods

    def _network(self, namespace: str) -> PodNetwork | str | None:
        """The network of a namespace's pods: a primary one, `CLUSTER`, or None where the files do not decide it."""
        labels, complete = self.namespace_labels(namespace)
        own = [
            one
            for one in self.cluster.networks
            if one.primary
            and (
                one.namespace == namespace
                if one.namespaces is None
                else _matches(one.namespaces, labels, complete=complete) is not False
            )
        ]
        if PRIMARY in labels:
            return own[0] if len(own) == 1 and complete else None
        return CLUSTER if complete or not own else None

    def joined(self, number: int) -> Selection:
        """The targets on the same network as the pods of a class. The cluster's resolver and API server answer on all."""
        one = self.classes[number - _VIRTUAL]
        found = self._apart.get(one.namespace) if not one.host_network else None
        if found is None:
            mine = self.network_of[one.namespace] if not one.host_network else None
            least = most = self.all & ~self.pods | self.resolvers
            for name, mask in self.namespaces.items():
                theirs = self.network_of[name]
                if mine is None or theirs is None:
                    most |= mask
                elif mine is theirs:
                    least |= mask
                    most |= mask
            if mine is not CLUSTER:
                least &= ~self.on_host | self.resolvers
                most |= self.on_host
            missing = []
            if mine is None or None in self.network_of.values():
                why = "on which network the pods of a namespace are: its object or its network's is not among the files"
                unknown = one.namespace if mine is None else min(n for n, w in self.network_of.items() if w is None)
                missing.append(Missing(f"namespace.{unknown}", why))
            by_node = self._by_node & ~most
            if by_node or self.on_host & ~least:
                why = "whether the nodes lead from one network of pods to another: ports of nodes are not kept apart"
                missing.append(Missing("service", why))
            found = Selection(least, most | by_node, tuple(missing))
            if not one.host_network:
                self._apart[one.namespace] = found
        return found

    @cached_property
    def _by_node(self) -> int:
        """Pods that are called by a port of the nodes as well."""
        mask = 0
        for service in self.cluster.services:
            if service.selector and (service.type in ("NodePort", "LoadBalancer") or service.external_ips):
                mask |= self.selected(Selector(tuple(sorted(service.selector.items()))), None, service.namespace).most
        return mask & self.pods


_HOST_NETWORK = Missing(
    "cni.host-network",
    "whether the network plugin holds pods on the node's own network to policies; the API leaves it open",
)
_SAME_NODE = Missing("nodes", "which pods share a node: what a node sends to its own pods, they always let in")
_FAMILIES: tuple[Ranges, ...] = (
    common(PRIVATE, ranges_of(("0.0.0.0/0",))),
    common(PRIVATE, ranges_of(("::/0",))),
)
"""Where pods have their addresses if nobody says it, by family."""


def isolates_egress(policy: Policy) -> bool:
    """Whether it closes what it selects but for its own rules."""
    return policy.isolates_egress and (not policy.implied or any(not r.ingress for r in policy.rules))


class _Way:
    """One walk through the tiers of a class's egress policies."""

    def __init__(self, net: Net, missing: dict[Missing, None]) -> None:
        self.net = net
        self.missing = missing
        self.passing: list[tuple[Cause, Traffic, bool]] = []
        self.denied = NOTHING
        """What may be denied: whatever passes beside it is not certain to."""
        self.denying: list[Cause] = []

    def allow(self, cause: Cause, traffic: Traffic, *, sure: bool) -> None:
        """`sure`: no policy's isolation closes any of it."""
        if traffic:
            self.passing.append((cause, traffic, sure))

    def _match(self, policy: Policy, sure: bool, index: int) -> Match:
        found = self.net.matched(policy, index)
        self.missing.update(dict.fromkeys(found.missing))
        return found if sure else Match(NOTHING, found.most, found.missing)

    def by_priority(self, chosen: Sequence[tuple[Policy, bool]], given: Traffic) -> Traffic:
        """First match wins; what remains, and what is passed on, is returned. Between equals nobody knows who is asked first."""
        passed = NOTHING
        groups: dict[int, list[tuple[Policy, bool]]] = {}
        for policy, sure in chosen:
            groups.setdefault(policy.priority, []).append((policy, sure))
        for priority in sorted(groups):
            equals = groups[priority]
            decided = NOTHING
            doubtful = len(equals) > 1
            for policy, sure in equals:
                open_yet = given
                for index, rule in enumerate(policy.rules):
                    if rule.ingress:
                        continue
                    match = self._match(policy, sure, index)
                    hit = _meet(open_yet, match.most, self.net.whole)
                    cause = Cause(policy, index)
                    if rule.verb is Verb.ALLOW:
                        self.allow(cause, hit, sure=False)
                    elif rule.verb is Verb.DENY:
                        self.denied = self.denied | hit
                        self.denying.append(cause)
                    else:
                        passed = passed | hit
                    open_yet = open_yet - match.least
                decided = decided | (given - open_yet)
            if doubtful:
                self._equal(equals)
            given = given - decided
        return given | passed

    def _equal(self, equals: Sequence[tuple[Policy, bool]]) -> None:
        with_rules = [p for p, _ in equals if any(not r.ingress for r in p.rules)]
        if len(with_rules) > 1:
            names = ", ".join(sorted(p.name for p in with_rules))
            why = f"which of the policies {names} is asked first: their priority is the same, {with_rules[0].priority}"
            self.missing.setdefault(Missing("policy.priority", why, with_rules[0].origin))

    def denials(self, chosen: Sequence[tuple[Policy, bool]], given: Traffic) -> Traffic:
        for policy, sure in chosen:
            for index, rule in enumerate(policy.rules):
                if rule.verb is Verb.DENY and not rule.ingress:
                    match = self._match(policy, sure, index)
                    self.denied = self.denied | _meet(given, match.most, self.net.whole)
                    self.denying.append(Cause(policy, index))
                    given = given - match.least
        return given

    def additions(self, chosen: Sequence[tuple[Policy, bool]], given: Traffic) -> Traffic:
        """What the rules allow for sure; what they may allow passes."""
        allowed = []
        for policy, sure in chosen:
            for index, rule in enumerate(policy.rules):
                if rule.verb is Verb.ALLOW and not rule.ingress:
                    match = self._match(policy, sure, index)
                    exact = sure and match.least is match.most
                    self.allow(Cause(policy, index), _meet(given, match.most, self.net.whole), sure=exact)
                    allowed.append(match.least)
        return together(allowed)


def _meet(a: Traffic, b: Traffic, whole: Traffic) -> Traffic:
    return b if a is whole else a & b


class _Ingress:
    """The ingress side of all policies, turned round: by whom a rule lets in."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.least_isolated = self.most_isolated = 0
        self._doubts: dict[Missing, None] = {}
        self._senders: dict[int, Selection] = {}
        groups: dict[tuple[int, int], tuple[Targets, Targets]] = {}
        denials: dict[tuple[int, int], tuple[Targets, Targets]] = {}
        for policy in net.policies:
            if policy.tier not in (Tier.NETWORK, Tier.CILIUM):
                continue
            subject = net.subject(policy)
            if not subject.most:
                continue
            if policy.isolates_ingress:
                self.least_isolated |= subject.least
                self.most_isolated |= subject.most
            if subject.least != subject.most:
                self._doubts.update(dict.fromkeys(subject.missing))
            for rule in policy.rules:
                if not rule.ingress:
                    continue
                sources = self._sources(rule, policy)
                key = (sources.least, sources.most)
                into = denials if rule.verb is Verb.DENY else groups
                least, most = into.get(key, (NO_TARGETS, NO_TARGETS))
                sure = least | net.ports(rule.ports, subject.least)
                into[key] = (
                    sure,
                    sure
                    if subject.least == subject.most and least is most
                    else most | net.ports(rule.ports, subject.most),
                )
        self.groups = list(groups.items())
        self.denials = list(denials.items())
        self.admin = _by_tier(net.policies, Tier.ADMIN)
        self.baseline = _by_tier(net.policies, Tier.BASELINE)

    def _sources(self, rule: PolicyRule, policy: Policy) -> Selection:
        """The pods of the launch that a rule names as senders."""
        found = self._senders.get(id(rule))
        if found is None:
            found = self._senders[id(rule)] = self._named(rule, policy)
        return found

    def _named(self, rule: PolicyRule, policy: Policy) -> Selection:
        net = self.net
        if rule.peers is None:
            return Selection(net.pods, net.pods)
        least = most = 0
        for peer in rule.peers:
            match = net.peer(policy, PolicyRule(Verb.ALLOW, None, None, rule.origin), peer)
            least |= match.least.targets.mask
            most |= match.most.targets.mask
            if match.least.targets.mask != match.most.targets.mask:
                self._doubts.update(dict.fromkeys(match.missing))
        return Selection(least & net.pods, most & net.pods)

    def of(self, number: int) -> tuple[Targets, Targets, tuple[Missing, ...]]:
        net = self.net
        bit = 1 << number
        everything = targets(net.all, ALL_PORTS)
        rest, (perhaps, denied) = self._ordered(self.admin, bit, everything)
        for (least, most), (sure, maybe) in self.denials:
            if most & bit:
                denied = denied | (rest & maybe)
            if least & bit:
                rest = rest - sure
        allowed = NO_TARGETS
        for (least, most), (sure, maybe) in self.groups:
            if most & bit:
                perhaps = perhaps | (maybe if rest == everything else rest & maybe)
            if least & bit:
                allowed = allowed | sure
        denied = denied | (rest.at(self.most_isolated) - allowed)
        rest = rest.at(~self.least_isolated)
        rest, may = self._ordered(self.baseline, bit, rest)
        perhaps = perhaps | may[0] | rest
        denied = denied | may[1]
        surely = perhaps - denied
        return surely, perhaps, tuple(self._doubts) if surely != perhaps else ()

    def _ordered(
        self, groups: Sequence[Sequence[Policy]], bit: int, given: Targets
    ) -> tuple[Targets, tuple[Targets, Targets]]:
        """(what is left or passed on, (what may be allowed, what may be denied))"""
        net = self.net
        allowed = denied = passed = NO_TARGETS
        for equals in groups:
            decided = NO_TARGETS
            for policy in equals:
                subject = net.subject(policy)
                open_yet = given
                for rule in policy.rules:
                    if not rule.ingress:
                        continue
                    sources = self._sources(rule, policy)
                    if not sources.most & bit:
                        continue
                    hit = open_yet & net.ports(rule.ports, subject.most)
                    if rule.verb is Verb.ALLOW:
                        allowed = allowed | hit
                    elif rule.verb is Verb.DENY:
                        denied = denied | hit
                    else:
                        passed = passed | hit
                    if sources.least & bit:
                        open_yet = open_yet - net.ports(rule.ports, subject.least)
                decided = decided | (given - open_yet)
            given = given - decided
        return given | passed, (allowed, denied)


def _by_tier(policies: Iterable[Policy], tier: Tier) -> list[list[Policy]]:
    groups: dict[int, list[Policy]] = {}
    for policy in policies:
        if policy.tier is tier and any(r.ingress for r in policy.rules):
            groups.setdefault(policy.priority, []).append(policy)
    return [groups[priority] for priority in sorted(groups)]


# ---- parts


def bits(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set, lowest first."""
    written = bin(mask)[:1:-1]
    at = written.find("1")
    while at >= 0:
        yield at
        at = written.find("1", at + 1)


def _matches(selector: Selector, labels: Mapping[str, str], *, complete: bool) -> bool | None:
    """Whether labels fit; None where only some of them are known and the others decide."""
    unsure = False
    for key, value in selector.labels:
        if key not in labels:
            if complete:
                return False
            unsure = True
        elif labels[key] != value:
            return False
    for key, operator, values in selector.expressions:
        if key not in labels and not complete:
            unsure = True
            continue
        has = key in labels
        if operator == "Exists":
            fits = has
        elif operator == "DoesNotExist":
            fits = not has
        elif operator == "In":
            fits = has and labels[key] in values
        else:
            fits = not has or labels[key] not in values
        if not fits:
            return False
    return None if unsure else True


def _resolver(cluster: Cluster, mentioned: Mapping[str, set[str]], policies: Iterable[Policy]) -> Resolver:
    """OpenShift's where its namespace or its label is spoken of, else what Kubernetes installs."""
    spoken = _OPENSHIFT_DNS.label[0] in mentioned or any(
        pod.namespace == _OPENSHIFT_DNS.namespace for pod in cluster.pods
    )
    for policy in policies:
        for rule in policy.rules:
            for peer in rule.peers or ():
                if peer.namespaces is not None and (NAME, _OPENSHIFT_DNS.namespace) in peer.namespaces.labels:
                    spoken = True
    return _OPENSHIFT_DNS if spoken else _KUBE_DNS


def _means_resolver(selector: Selector, resolver: Resolver) -> bool:
    """Whether a selector that asks for labels nobody knows may be meant for the cluster's resolver, or only leaves others out."""
    asked: list[tuple[str, tuple[str, ...]]] = [(key, (value,)) for key, value in selector.labels]
    asked += [(key, values) for key, operator, values in selector.expressions if operator in ("In", "Exists")]
    unknown = [(key, values) for key, values in asked if key not in (NAME, resolver.label[0])]
    return all(
        "dns" in key or key.startswith(("kubernetes.io/", "k8s")) or any("dns" in v or "system" in v for v in values)
        for key, values in unknown
    )


def _mentioned(policies: Iterable[Policy], services: Iterable[Service]) -> dict[str, set[str]]:
    """The labels of pods that some selector asks for, with the values it asks for."""
    found: dict[str, set[str]] = {}

    def add(selector: Selector | None) -> None:
        if selector is None:
            return
        for key, value in selector.labels:
            found.setdefault(key, set()).add(value)
        for key, _, values in selector.expressions:
            found.setdefault(key, set()).update(values)

    for policy in policies:
        add(policy.pods)
        for rule in policy.rules:
            for peer in rule.peers or ():
                add(peer.pods)
    for service in services:
        for key, value in service.selector.items():
            found.setdefault(key, set()).add(value)
    return found


def _named_ports(policies: Iterable[Policy]) -> set[str]:
    return {
        port.name for policy in policies for rule in policy.rules for port in rule.ports or () if port.name is not None
    }


@lru_cache(4096)
def _numbers(ranges: tuple[PortRange, ...]) -> Ranges:
    """The ports with numbers, as ranges on the line."""
    result: Ranges = ()
    for one in ranges:
        protocol = one.protocol.upper()
        if protocol == "ANY":
            lines = tuple(_line(p, one.first, one.last) for p in ("TCP", "UDP", "SCTP"))
        elif protocol in ("TCP", "UDP", "SCTP"):
            lines = (_line(protocol, one.first, one.last),)
        else:
            lines = (_line("ICMP" if protocol.startswith("ICMP") else "OTHER"),)
        result = joined(result, lines)
    return result


@lru_cache(8192)
def _space(permit: Permit, ports: Ranges | None) -> Space:
    if ports is None:
        return Space.of((permit,))
    return Space.of(
        tuple(Permit(p.hosts, p.protocol, p.ports, permit.excepts) for p in port_permits(permit.hosts, ports))
    )


def _outside(permit: Permit, ports: Sequence[PortRange] | None) -> Space:
    """Packets to addresses by a rule's ports; a named port names none of an address outside."""
    return _space(permit, None if ports is None else _numbers(tuple(p for p in ports if p.name is None)))
