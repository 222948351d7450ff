"""What a pod on Kubernetes reaches: by its policies and those of the pods it calls, its resolver, its rights on the node.

Semantics (kubernetes.io, Network Policies; network-policy-api; docs.cilium.io):

- Without a policy everything is allowed. Policies are judged as enforced, which is taken for granted and said, unless
  `--assume cni.enforces=false` says otherwise.
- Traffic to the pod's own node is always allowed, by every kind of policy but Cilium's, where the entity `host` decides.
- Pods on the node's own network: whether NetworkPolicy holds for them is left open by the API, so that it is unknown.
- The resolver is the cluster's (`k8s-app: kube-dns` in kube-system, its pods if they are among the files), which forwards
  names outside the cluster unless `cluster.dns=internal` is assumed; with dnsPolicy None it is `nameservers`, with Default
  the node's, whose address nobody knows here. Under a policy that closes all else a node-local cache is not assumed.
- Siblings are the other workloads of the launch. What leaves here has to be let in there.
- A pod that its namespace puts on a primary network of OVN-Kubernetes reaches the pods of that network alone, and those
  that a port of the nodes leads to perhaps; networks that a pod has besides are not held to any NetworkPolicy.
- A sibling forwards only if its image, command or configuration is known to, or if it is assumed: in a cluster every pod
  is on the same network, so that none stands between two of them as a container on two networks does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scanner.egress import takeover
from scanner.egress.assumptions import Assumed
from scanner.egress.builder import EVERYWHERE, HOST, NAMES, Builder, to
from scanner.egress.edits import policy_id
from scanner.egress.forwarders import Forwarder, forwarder_of
from scanner.egress.kubernetes.policies import (
    ALL_PORTS,
    API_SERVER,
    OTHER_NODES,
    OWN_NODE,
    PORTED,
    Cause,
    Leaving,
    Net,
    Passing,
    Targets,
    bits,
    dns_ports,
    port_permits,
    targets,
    together,
)
from scanner.egress.permits import REGIONS, Ranges, Space, address_range, common, within
from scanner.model.egress import Destination, Graph, Mode, Permit
from scanner.model.evidence import Json
from scanner.model.launch import (
    Cluster,
    Container,
    Launch,
    Missing,
    Origin,
    Place,
    Pod,
    PodContainer,
    PodNetwork,
    PolicyRule,
    Said,
    Tier,
    Verb,
)

NAMED = 60
"""Siblings that are named one by one; more are counted by namespace."""
NAMESPACES = 20
"""Namespaces that are counted one by one."""
BARRIERS = 8
"""Policies that are named as what closes a pod."""
CAUSES = 40
"""Rules that are shown each on its own."""
ADD = "add-policy"
_ENFORCED = "; it is taken for granted that the cluster's network plugin enforces it (cni.enforces)"
_DNS_QUESTION = Permit(("0.0.0.0/0", "::/0"), "any", ((53, 53),))
_IPV4_ALONE = Space.of((Permit(("0.0.0.0/0",)),))
_ORDER = (Destination.INTERNET, Destination.PRIVATE, Destination.METADATA)


def pod_graph(launch: Launch, pod: Pod, assumed: Assumed) -> Graph:
    """The graph of one workload of `launch.cluster`. Pods that no policy tells apart share what was worked out for them."""
    cluster = launch.cluster
    assert cluster is not None
    drawing = _drawing(cluster, assumed)
    return drawing.graph(pod)


# ---- what is kept between the pods of one cluster

_KEPT = 3
_drawings: list[tuple[Cluster, Assumed, "_Drawing"]] = []


def _drawing(cluster: Cluster, assumed: Assumed) -> "_Drawing":
    """A launch has thousands of pods, each of which is asked for on its own: the last few clusters are kept."""
    for kept, with_these, drawing in _drawings:
        if kept is cluster and with_these == assumed:
            return drawing
    drawing = _Drawing(cluster, assumed)
    if len(_drawings) >= _KEPT:
        # edits are judged on small parts of a large cluster, which comes back between them
        del _drawings[min(range(len(_drawings)), key=lambda n: len(_drawings[n][0].pods))]
    _drawings.append((cluster, assumed, drawing))
    return drawing


@dataclass(frozen=True, slots=True)
class _Step:
    """An edge out of some node, before that node is known. `action` names an edit by what it changes."""

    target: str
    kind: str
    why: str
    origin: Origin | None
    permits: tuple[Permit, ...] | None
    cause: Cause
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class _Block:
    """Siblings that are reached alike: `mask` of their classes, `name` None where each is named."""

    mask: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """A sibling whose software is known to forward."""

    pod: Pod
    number: int
    forwarder: Forwarder


class _Drawing:
    def __init__(self, cluster: Cluster, assumed: Assumed) -> None:
        self.net = Net(cluster, assumed)
        self.assumed = assumed
        self.said = _ENFORCED if assumed.flag("cni.enforces") is None else ""
        self._steps: dict[tuple[object, ...], tuple[_Step, ...]] = {}
        self._barriers: dict[int, tuple[tuple[str, str, Origin | None], ...]] = {}
        self._blocks: dict[int, tuple[_Block, ...]] = {}
        self._sizes: dict[int, int] | None = None
        self._forwarders: tuple[_Known, ...] | None = None
        self._passing: dict[int, tuple[Passing, ...]] = {}
        self._added: set[str] = set()
        """Policies to be added that the graph in hand has among its actions."""

    # ---- the graph of one pod

    def graph(self, pod: Pod) -> Graph:
        number = self.net.class_of.get(id(pod))
        if number is None:
            raise KeyError(f"no pod {pod.namespace}/{pod.name} in this cluster")
        self._added.clear()
        name = f"{pod.namespace}/{pod.name}"
        builder = Builder(f"pod:{name}", "pod", name, pod.origin)
        for step in self.steps(pod, number):
            self._draw(builder, builder.start, pod, step)
        for target, why, origin in self.barriers(number):
            builder.barrier(builder.start, target, why, origin)
        names = self._siblings(builder, pod, number)
        self._further_networks(builder, pod, names)
        self._forwarding(builder, pod, number, names)
        self._takeovers(builder, pod, names)
        self._token(builder, pod, number)
        return builder.graph()

    def _draw(self, builder: Builder, source: str, pod: Pod, step: _Step, mode: Mode = Mode.DIRECT) -> None:
        builder.edge(
            source,
            step.target,
            step.kind,
            step.why,
            mode=mode,
            origin=step.origin,
            permits=step.permits,
            actions=self._actions(builder, pod, step.cause),
            missing=(*step.missing, *pod.missing),
        )

    def _actions(self, builder: Builder, pod: Pod, cause: Cause) -> tuple[str, ...]:
        """The edits that remove what a cause lets pass: its rule goes, or a policy comes where there is none."""
        rule = cause.rule
        if cause.policy is not None and rule is not None:
            where = policy_id(cause.policy)
            edit: dict[str, Json] = {
                "op": "remove",
                "object": f"policy:{where}",
                "field": "rules",
                "index": cause.index,
            }
            name = _named(cause)
            breaks = "what other pods of the policy use it for"
            title = f"remove {name}"
            return (
                builder.action(
                    f"policy:{where}/rules/{cause.index}", title, 1, rule.origin, _placed(edit, rule.origin), breaks
                ),
            )
        if cause.index >= 0:
            return ()
        if pod.host_network is not None and pod.host_network.value:
            object = f"pod:{pod.namespace}/{pod.name}"
            edit = {"op": "set", "object": object, "field": "host_network", "value": False}
            said = pod.host_network.origin
            title = f"take {pod.name} off the node's own network"
            return (
                builder.action(
                    f"{object}/host_network", title, 2, said, _placed(edit, said), "the node's own addresses and ports"
                ),
            )
        id = ADD if builder.start == f"pod:{pod.namespace}/{pod.name}" else f"{ADD}/{pod.namespace}/{pod.name}"
        if id not in self._added:
            self._added.add(id)
            self._add_policy(builder, id, pod)
        return (id,)

    def _add_policy(self, builder: Builder, id: str, pod: Pod) -> None:
        edit: dict[str, Json] = {
            "op": "add",
            "object": "policy",
            "name": f"deny-egress-{pod.name}"[:253],
            "namespace": pod.namespace,
            "pod": pod.name,
            "labels": dict(pod.labels),
        }
        if isinstance(pod.origin, Place):
            edit["file"] = pod.origin.file
        whose = "the pod" if id == ADD else f"{pod.namespace}/{pod.name}"
        title = f"add a NetworkPolicy that denies what {whose} sends"
        everyone = "" if pod.labels else ", and what all others of its namespace send: it has no labels to select it by"
        breaks = f"what {pod.name} sends until it is allowed by name{everyone}"
        builder.action(id, title, 2, pod.origin, edit, breaks)

    def passing(self, leaving: Leaving) -> tuple[Passing, ...]:
        """What passes by each cause. Of very many rules that nothing but address and port tells apart, the first are shown
        each on its own and the others as one, so that nothing is left out."""
        if len(leaving.passing) <= CAUSES:
            return leaving.passing
        found = self._passing.get(id(leaving))
        if found is None:
            plain = [p for p in leaving.passing if _is_plain(p.cause.rule)]
            many = plain[CAUSES:]
            apart = {id(p) for p in many}
            shown = [p for p in leaving.passing if id(p) not in apart]
            rest = Passing(Cause(None, len(many)), together([p.least for p in many]), together([p.most for p in many]))
            found = self._passing[id(leaving)] = (*shown, rest) if many else leaving.passing
        return found

    # ---- where it gets on its own

    def steps(self, pod: Pod, number: int) -> tuple[_Step, ...]:
        """Edges to addresses, host and names, the same for all pods of a class that ask the same resolver."""
        host = pod.host_network is not None and pod.host_network.value
        asks = (pod.dns_policy.value, tuple(n.value for n in pod.nameservers), host)
        key = (number, *asks)
        found = self._steps.get(key)
        if found is None:
            leaving = self.net.leaving(number)
            found = self._steps[key] = (
                *self._outside(leaving),
                *self._to_node(leaving, host=host),
                *self._names(pod, leaving, number, host=host),
            )
        return found

    def _outside(self, leaving: Leaving) -> Iterator[_Step]:
        for one in self.passing(leaving):
            least, most = self._space(one.least.space), self._space(one.most.space)
            rule = one.cause.rule
            for destination in _ORDER:
                certain = _of(least, destination, rule)
                whole = _of(most, destination, rule) if least is not most else certain
                if certain:
                    yield self._step(to(destination), "egress", one.cause, certain)
                if whole != certain:
                    rest = _of(most - least, destination, rule)
                    yield self._step(to(destination), "egress", one.cause, rest, leaving.missing)
            nodes = one.most.targets.at(OTHER_NODES)
            if nodes and not one.most.space and one.cause.policy is not None:
                permits = tuple(p for ports in nodes.parts for p in port_permits(("nodes of the cluster",), ports))
                doubt = () if one.least.targets.at(OTHER_NODES) else leaving.missing
                yield self._step(to(Destination.PRIVATE), "egress", one.cause, permits, doubt)
            server = one.most.targets.at(API_SERVER)
            if server and not one.most.space and one.cause.policy is not None and _names_server(rule):
                permits = tuple(p for ports in server.parts for p in port_permits(("kube-apiserver",), ports))
                yield self._step(to(Destination.PRIVATE), "egress", one.cause, permits)

    def _space(self, space: Space) -> Space:
        return space & _IPV4_ALONE if self.assumed.flag("host.ipv6") is False else space

    def _step(
        self,
        target: str,
        kind: str,
        cause: Cause,
        permits: tuple[Permit, ...] | None,
        missing: Sequence[Missing] = (),
        words: str = "",
    ) -> _Step:
        rule = cause.rule
        if words:
            why = words
        elif rule is not None:
            why = f"{_named(cause)} allows it"
        elif cause.index > 0:
            why = f"{cause.index:,} further rules allow it"
        elif self.assumed.flag("cni.enforces") is False:
            why = "it is assumed that no policy is enforced here: everything is allowed"
        else:
            why = "no policy forbids it: what none speaks of is allowed"
        return _Step(target, kind, why, rule.origin if rule is not None else None, permits, cause, tuple(missing))

    def _to_node(self, leaving: Leaving, *, host: bool) -> Iterator[_Step]:
        """Services of its own node."""
        target = to(Destination.HOST)
        if host:
            yield self._step(target, "host", _NODE, HOST, words="the pod is on the node's own network")
            return
        always = "traffic between a pod and its own node is always allowed"
        if not leaving.by_cilium:
            missing = leaving.missing if leaving.by_cilium_perhaps else ()
            yield self._step(target, "host", _NODE, HOST, missing, always)
        if leaving.by_cilium_perhaps:
            for one in self.passing(leaving):
                for ports in one.most.targets.at(OWN_NODE).parts:
                    doubt = () if one.least.targets.at(OWN_NODE) else leaving.missing
                    yield self._step(target, "host", one.cause, port_permits(("host",), ports), doubt)

    # ---- names

    def _names(self, pod: Pod, leaving: Leaving, number: int, *, host: bool) -> Iterator[_Step]:
        policy = pod.dns_policy.value
        if policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not host):
            yield from self._cluster_names(leaving, number)
        elif policy != "None":
            yield from self._node_names(leaving)
        for address in dict.fromkeys(n.value for n in pod.nameservers):
            yield from self._names_of(address, leaving, number)

    def _cluster_names(self, leaving: Leaving, number: int) -> Iterator[_Step]:
        """By way of the cluster's resolver, which forwards."""
        if self.assumed.get("cluster.dns") == "internal":
            return
        surely, perhaps, doubts = self.net.admitted(number)
        asked = targets(self.net.resolvers, dns_ports(self.net.resolver.port))
        elsewhere = targets(self.net.resolvers, dns_ports(5353))
        for one in self.passing(leaving):
            through = one.most.targets & perhaps
            certain = bool(one.least.targets & surely & asked)
            missing: tuple[Missing, ...] = () if certain else (*leaving.missing, *doubts)
            if not through & asked:
                if not through & elsewhere:
                    continue
                why = "whether the pods of the cluster's resolver listen on 5353, as they do on OpenShift"
                missing = (*missing, Missing("cluster.dns", why))
            permits = _names_through(one.cause.rule)
            words = "the cluster's resolver forwards names that leave the cluster"
            if one.cause.rule is not None:
                words += f"; {_named(one.cause)} lets the pod ask it"
            yield self._step(to(Destination.DNS), "resolver", one.cause, permits, missing, words)

    def _node_names(self, leaving: Leaving) -> Iterator[_Step]:
        """By way of the node's own resolver, wherever that is."""
        why = "the address of the node's own resolver, which the pod asks"
        for one in self.passing(leaving):
            if not one.most.space & Space.of((_DNS_QUESTION,)):
                continue
            certain = not Space.of((Permit(("0.0.0.0/0",), "udp", ((53, 53),)),)) - one.least.space
            missing = () if certain else (*leaving.missing, Missing("cluster.dns", why))
            yield self._step(to(Destination.DNS), "resolver", one.cause, NAMES, missing, "the node's resolver is asked")

    def _names_of(self, address: str, leaving: Leaving, number: int) -> Iterator[_Step]:
        """By way of a nameserver that the pod names itself."""
        words = f"the nameserver {address} is asked"
        block = address_range(address)
        if block is None:
            return
        if common((block,), _LOOPBACK):
            missing = Missing("cluster.dns", f"what listens on {address} within the pod and where it forwards names")
            yield from (
                self._step(to(Destination.DNS), "resolver", p.cause, NAMES, (missing,), words)
                for p in self.passing(leaving)[:1]
            )
            return
        _, perhaps, _ = self.net.admitted(number)
        asked = targets(self.net.resolvers, dns_ports(self.net.resolver.port))
        question = Space.of((Permit((address,), "any", ((53, 53),)),))
        private = bool(common((block,), REGIONS[Destination.PRIVATE][1]))
        for one in self.passing(leaving):
            if one.most.space & question:
                doubt = () if one.least.space & question else leaving.missing
                yield self._step(to(Destination.DNS), "resolver", one.cause, NAMES, doubt, words)
            elif private and one.most.targets & perhaps & asked:
                whose = Missing("cluster.dns", f"whether {address} is the cluster's resolver")
                yield self._step(to(Destination.DNS), "resolver", one.cause, NAMES, (whose,), words)

    # ---- what stands in the way

    def barriers(self, number: int) -> tuple[tuple[str, str, Origin | None], ...]:
        leaving = self.net.leaving(number)
        found = self._barriers.get(id(leaving))
        if found is None:
            found = self._barriers[id(leaving)] = tuple(self._in_the_way(leaving))
        return found

    def _in_the_way(self, leaving: Leaving) -> Iterator[tuple[str, str, Origin | None]]:
        for destination in (*_ORDER, Destination.DNS, Destination.SIBLINGS):
            for policy in leaving.isolating[:BARRIERS]:
                why = f"{_of_policy(policy.kind, policy.namespace, policy.name)} lets its pods send what its rules allow and nothing else"
                yield to(destination), why + self.said, policy.origin
            if len(leaving.isolating) > BARRIERS:
                yield to(destination), f"{len(leaving.isolating) - BARRIERS:,} further policies do the same", None
            for cause in leaving.denied[:CAUSES]:
                rule = cause.rule
                assert rule is not None
                yield to(destination), f"{_named(cause)} forbids what it names{self.said}", rule.origin
        if self.assumed.get("cluster.dns") == "internal":
            yield to(Destination.DNS), "it is assumed that the cluster's resolver answers for the cluster alone", None

    # ---- siblings

    def _siblings(self, builder: Builder, pod: Pod, number: int) -> tuple[str, ...]:
        """The edges to the other workloads, and their names."""
        others = self._others(pod, number)
        if not others:
            return ()
        leaving = self.net.leaving(number)
        surely, perhaps, doubts = self.net.admitted(number)
        names: dict[int, tuple[str, ...]] = {}
        for index, block in enumerate(others):
            names[index] = (block.name,) if block.name is not None else self._names_in(block.mask, pod)
            for name in names[index]:
                builder.sibling(name)
        target = to(Destination.SIBLINGS)
        for one in self.passing(leaving):
            most = one.most.targets & perhaps
            least = one.least.targets & surely
            certain = self._permits(least, others, names, one.cause.rule)
            if certain:
                step = self._step(target, "sibling", one.cause, certain)
                self._draw(builder, builder.start, pod, step)
            rest = self._permits(most - least, others, names, one.cause.rule)
            if rest:
                step = self._step(target, "sibling", one.cause, rest, tuple(dict.fromkeys((*leaving.missing, *doubts))))
                self._draw(builder, builder.start, pod, step)
        self._kept_out(builder, number, others, perhaps)
        return tuple(name for some in names.values() for name in some)

    def _further_networks(self, builder: Builder, pod: Pod, names: tuple[str, ...]) -> None:
        """What a pod reaches by interfaces that it has besides, where no NetworkPolicy holds."""
        for network in pod.networks:
            known = self._overlay(network.value)
            there = tuple(name for name in names if name in self._attached(network.value)) if known else names
            assumed = self.assumed.get(f"network.{network.value}")
            if assumed == "none":
                continue
            why = f"the pod is on the network {network.value} as well, where network policies do not hold"
            what = Missing(f"network.{network.value}", f"what the network {network.value} leads to", network.origin)
            if not known and assumed != "internal":
                for destination in _ORDER:
                    missing = () if assumed == "open" else (what, *pod.missing)
                    self._by_network(builder, destination, why, network, EVERYWHERE, missing)
            if there:
                self._by_network(builder, Destination.SIBLINGS, why, network, (Permit(there),), (what, *pod.missing))

    def _by_network(
        self,
        builder: Builder,
        destination: Destination,
        why: str,
        network: Said[str],
        permits: tuple[Permit, ...],
        missing: tuple[Missing, ...],
    ) -> None:
        origin = network.origin
        builder.edge(builder.start, to(destination), "network", why, origin=origin, permits=permits, missing=missing)

    def _overlay(self, name: str) -> bool:
        """Whether a further network is known to exist between the nodes alone."""
        return any(
            one.overlay and not one.primary and name.partition("/")[2] == one.name
            for one in self.net.cluster.networks
            if one.namespaces is not None or one.namespace == name.partition("/")[0]
        )

    def _attached(self, network: str) -> frozenset[str]:
        """The workloads on a further network; one that spans namespaces has the same name in each."""
        spans = any(
            one.namespaces is not None and one.name == network.partition("/")[2] for one in self.net.cluster.networks
        )
        wanted = network.partition("/")[2] if spans else network
        return frozenset(
            f"{pod.namespace}/{pod.name}"
            for pod in self.net.cluster.pods
            if any((n.value.partition("/")[2] if spans else n.value) == wanted for n in pod.networks)
        )

    def _permits(
        self, reached: Targets, others: Sequence[_Block], names: Mapping[int, tuple[str, ...]], rule: PolicyRule | None
    ) -> tuple[Permit, ...]:
        by_ports: dict[Ranges, list[str]] = {}
        for ports, mask in reached.parts.items():
            for index, block in enumerate(others):
                if block.mask & mask:
                    by_ports.setdefault(ports, []).extend(names[index])
        permits = [p for ports, found in sorted(by_ports.items()) for p in port_permits(tuple(sorted(found)), ports)]
        return tuple(_by_layer7(permits, rule))

    def _kept_out(self, builder: Builder, number: int, others: Sequence[_Block], perhaps: Targets) -> None:
        shut = 0
        for block in others:
            shut |= block.mask & ~perhaps.mask
        if shut:
            keeping = [
                policy
                for policy, _ in self.net.selecting(next(bits(shut)))
                if policy.isolates_ingress or policy.tier in (Tier.ADMIN, Tier.BASELINE)
            ]
            apart = self.net.network_of and shut & ~self.net.joined(number).most
            if apart:
                space = self.net.classes[next(bits(apart)) - _FIRST].namespace
                network = self.net.network_of[space]
                origin = network.origin if isinstance(network, PodNetwork) else None
                why = f"the pods of {space} are on another network than this one, and networks of pods are kept apart"
                builder.barrier(builder.start, to(Destination.SIBLINGS), why, origin)
            for policy in keeping[:BARRIERS]:
                why = f"{_of_policy(policy.kind, policy.namespace, policy.name)} keeps its pods from being called by this one"
                builder.barrier(builder.start, to(Destination.SIBLINGS), why + self.said, policy.origin)

    def _others(self, pod: Pod, number: int) -> tuple[_Block, ...]:
        """The other workloads, apart only where they are reached differently."""
        net = self.net
        alone = len(net.members[number - _FIRST]) == 1
        mask = net.pods & ~(1 << number) if alone else net.pods
        if not mask:
            return ()
        count = len(net.cluster.pods) - 1
        if count <= NAMED:
            return tuple(_Block(1 << one) for one in bits(mask))
        found = self._blocks.get(number)
        if found is None:
            found = self._blocks[number] = tuple(self._counted(pod, number, mask))
        return found

    def _names_in(self, mask: int, pod: Pod) -> tuple[str, ...]:
        return tuple(
            f"{one.namespace}/{one.name}"
            for number in bits(mask)
            for one in self.net.members[number - _FIRST]
            if one is not pod
        )

    def _counted(self, pod: Pod, number: int, mask: int) -> Iterator[_Block]:
        net = self.net
        surely, perhaps, _ = net.admitted(number)
        blocks = [mask]
        for one in self.passing(net.leaving(number)):
            for reached in (one.most.targets & perhaps, one.least.targets & surely):
                for part in reached.parts.values():
                    blocks = [piece for block in blocks for piece in (block & part, block & ~part) if piece]
        used: dict[str, int] = {}
        for block in blocks:
            for piece, where in self._by_namespace(block, pod.namespace):
                count = self._count(piece) - (piece >> number & 1)
                if count <= 0:
                    continue
                name = f"{count:,} workload{'s' if count > 1 else ''} of {where}"
                used[name] = used.get(name, 0) + 1
                yield _Block(piece, name if used[name] == 1 else f"{name} ({used[name]})")

    def _by_namespace(self, block: int, own: str) -> Iterator[tuple[int, str]]:
        rest = block
        spaces = self.net.namespaces
        for name in (own,) if len(spaces) > NAMESPACES else spaces:
            piece = block & spaces[name]
            if piece:
                yield piece, f"namespace {name}"
                rest &= ~piece
        if rest:
            yield rest, "other namespaces"

    def _count(self, mask: int) -> int:
        if self._sizes is None:
            sizes: dict[int, int] = {}
            for number, members in enumerate(self.net.members, _FIRST):
                sizes[len(members)] = sizes.get(len(members), 0) | 1 << number
            self._sizes = sizes
        return sum(size * (mask & having).bit_count() for size, having in self._sizes.items())

    # ---- siblings that forward

    def _forwarding(self, builder: Builder, pod: Pod, number: int, names: tuple[str, ...]) -> None:
        waiting = [(builder.start, pod, number)]
        seen: set[str] = set()
        known = [k for k in self.known_forwarders() if k.pod is not pod]
        while waiting and known:
            source, caller, at = waiting.pop(0)
            for there in known:
                node = f"container:{there.pod.namespace}/{there.pod.name}"
                if source != f"forwarder:{there.pod.namespace}/{there.pod.name}":
                    self._call(builder, source, at, caller, there, node)
                if node in seen or not self._calls(at, there):
                    continue
                seen.add(node)
                self._pass_on(builder, there, node, names)
                if there.forwarder.kind != "engine":
                    waiting.append((f"forwarder:{there.pod.namespace}/{there.pod.name}", there.pod, there.number))

    def _calls(self, number: int, there: _Known) -> bool:
        _, perhaps, _ = self.net.admitted(number)
        wanted = targets(1 << there.number, _listening(there.forwarder))
        return bool(self.net.leaving(number).most.targets & perhaps & wanted)

    def _call(self, builder: Builder, source: str, number: int, pod: Pod, there: _Known, node: str) -> None:
        surely, perhaps, doubts = self.net.admitted(number)
        leaving = self.net.leaving(number)
        wanted = targets(1 << there.number, _listening(there.forwarder))
        name = f"{there.pod.namespace}/{there.pod.name}"
        for one in self.passing(leaving):
            if not one.most.targets & perhaps & wanted:
                continue
            builder.node(node, "container", name, there.pod.origin)
            certain = bool(one.least.targets & surely & wanted)
            missing = () if certain else tuple(dict.fromkeys((*leaving.missing, *doubts)))
            words = f"{name} may be called" + (f": {_named(one.cause)} allows it" if one.cause.rule is not None else "")
            step = self._step(node, "sibling", one.cause, None, missing, words)
            self._draw(builder, source, pod, step)

    def _pass_on(self, builder: Builder, there: _Known, node: str, names: tuple[str, ...]) -> None:
        """From a sibling that forwards to wherever its own policies let it."""
        forwarder = there.forwarder
        name = f"{there.pod.namespace}/{there.pod.name}"
        if forwarder.kind == "engine":
            if any("engine" in permit.hosts for permit in forwarder.permits):
                takeover.taken(builder, "engine", names)
                builder.edge(node, "engine", "engine-port", forwarder.why, mode=Mode.PIVOT, origin=forwarder.origin)
            else:
                why = f"{name}: {forwarder.why}, and no other pod holds one"
                builder.barrier(node, to(Destination.ENGINE), why, forwarder.origin)
            return
        through = builder.node(f"forwarder:{name}", "forwarder", f"what {name} passes on", there.pod.origin)
        for permits, missing in ((forwarder.permits, ()), (forwarder.perhaps, forwarder.missing)):
            builder.edge(
                node,
                through,
                "passes-on",
                f"{name}: {forwarder.why}",
                mode=Mode.MEDIATED,
                origin=forwarder.origin,
                permits=permits,
                missing=missing,
            )
        for step in self.steps(there.pod, there.number):
            if step.target in (to(Destination.DNS), to(Destination.HOST)):
                continue
            self._draw(builder, through, there.pod, step)
        if forwarder.resolves or forwarder.kind == "dns":
            for step in self.steps(there.pod, there.number):
                if step.target == to(Destination.DNS):
                    words = f"{name} looks up the names it is asked for: {step.why}"
                    self._draw(builder, node, there.pod, replace(step, why=words), Mode.MEDIATED)

    def known_forwarders(self) -> tuple[_Known, ...]:
        """Siblings known to forward, one of each class and kind."""
        if self._forwarders is None:
            looked: dict[tuple[object, ...], Forwarder | None] = {}
            found: dict[tuple[int, object], _Known] = {}
            for pod in self.net.cluster.pods:
                for container in pod.containers:
                    if container.init:
                        continue
                    key = _software(pod, container, self.assumed)
                    if key not in looked:
                        looked[key] = self._forwarder(pod, container)
                    forwarder = looked[key]
                    if forwarder is not None and forwarder.kind != "none":
                        number = self.net.class_of[id(pod)]
                        found.setdefault((number, key), _Known(pod, number, forwarder))
            self._forwarders = tuple(found.values())
        return self._forwarders

    def _forwarder(self, pod: Pod, container: PodContainer) -> Forwarder | None:
        name = f"{pod.namespace}/{pod.name}"
        one = Container(
            name=name,
            kind="pod",
            origin=container.image.origin if container.image is not None else pod.origin,
            network_mode=Said("networks", pod.origin),
            image=container.image,
            entrypoint=container.entrypoint,
            command=container.command,
            environment=container.environment,
            exposed=tuple(port for _, port, _ in container.ports),
            confinement=container.confinement,
        )
        return forwarder_of(one, self.assumed)

    # ---- rights on the node

    def _takeovers(self, builder: Builder, pod: Pod, names: tuple[str, ...]) -> None:
        """What each container that runs beside the agent, or is the agent, may do to the node."""
        several = sum(not c.init for c in pod.containers) > 1
        for container in pod.containers:
            if container.init:
                continue
            object = f"pod:{pod.namespace}/{pod.name}/{container.name}"
            name = f"{pod.namespace}/{pod.name}" + (f"/{container.name}" if several else "")
            found = takeover.takeovers(container.confinement, "kubernetes", self.assumed, name=name, object=object)
            ways = [
                replace(way, actions=tuple(replace(a, edit=_placed(a.edit, a.origin)) for a in way.actions))
                for way in found
            ]
            takeover.draw(builder, builder.start, ways, names)

    # ---- the API server

    def _token(self, builder: Builder, pod: Pod, number: int) -> None:
        """The account's token, which the kubelet mounts unless it is told not to, and the server that honours it.

        By default it may do nothing there, so that no destination follows from it.
        """
        if not pod.token_mounted.value:
            return
        account = pod.service_account.value if pod.service_account is not None else "default"
        token = builder.node(
            "credential:service-account",
            "credential",
            f"token of the service account {account}",
            pod.token_mounted.origin,
        )
        path = "/var/run/secrets/kubernetes.io/serviceaccount/token"
        builder.edge(
            builder.start,
            token,
            "token",
            f"the token of {account} is mounted",
            origin=pod.token_mounted.origin,
            needs=(f"file {path}",),
        )
        most = self.net.leaving(number).most
        if most.targets.at(API_SERVER) or most.space:
            server = builder.node("apiserver", "service", "the cluster's API server")
            why = f"the API server honours the token; what {account} may do there its roles decide, by default nothing"
            builder.edge(token, server, "api", why, needs=(f"roles of {account}",))
        else:
            builder.node("apiserver", "service", "the cluster's API server")
            builder.barrier(token, "apiserver", "no policy lets the pod call it")


# ---- words and small parts

_FIRST = 4
_NODE = Cause(None, 0)
"""What is so whatever policies say."""
_LOOPBACK: Ranges = tuple(sorted(r for r in (address_range("127.0.0.0/8"), address_range("::1")) if r is not None))


def _named(cause: Cause) -> str:
    """`rule 2 of NetworkPolicy team/allow`, or the rule's own name."""
    policy, rule = cause.policy, cause.rule
    assert policy is not None
    assert rule is not None
    same = [r for r in policy.rules if r.ingress is rule.ingress and (r.verb is Verb.DENY) is (rule.verb is Verb.DENY)]
    number = next(n for n, r in enumerate(same, 1) if r is rule)
    name = f"rule {rule.name}" if rule.name else f"{'denying ' if rule.verb is Verb.DENY else ''}egress rule {number}"
    return f"{name} of {_of_policy(policy.kind, policy.namespace, policy.name)}"


def _of_policy(kind: str, namespace: str | None, name: str) -> str:
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _placed(edit: Mapping[str, Json], origin: Origin | None) -> dict[str, Json]:
    """The edit with the place that a patch changes."""
    if not isinstance(origin, Place):
        return dict(edit)
    return {**edit, "place": {"file": origin.file, "line": origin.line, "column": origin.column}}


def _of(space: Space, destination: Destination, rule: PolicyRule | None) -> tuple[Permit, ...]:
    """The permits that count towards a destination."""
    permits = space.permits
    return tuple(_by_layer7(permits, rule)) if within(permits, destination) else ()


def _by_layer7(permits: Iterable[Permit], rule: PolicyRule | None) -> Iterator[Permit]:
    """A rule that a proxy reads further lets TCP through alone, and of that what it asks for: a server's name, or HTTP."""
    names = rule.server_names if rule is not None else ()
    if rule is None or not (names or rule.l7):
        yield from permits
        return
    for permit in permits:
        if permit.protocol in ("any", "tcp"):
            yield replace(permit, hosts=names or permit.hosts, protocol="tcp", excepts=() if names else permit.excepts)


def _is_plain(rule: PolicyRule | None) -> bool:
    """Whether addresses and ports are all that a rule asks for."""
    return rule is not None and not (rule.l7 or rule.server_names or rule.dns_patterns)


def _names_server(rule: PolicyRule | None) -> bool:
    return rule is not None and any("kube-apiserver" in peer.entities for peer in rule.peers or ())


def _names_through(rule: PolicyRule | None) -> tuple[Permit, ...]:
    """What a rule of Cilium's lets through its DNS proxy; names of the cluster itself do not leave it."""
    if rule is None or not rule.dns_patterns or "*" in rule.dns_patterns or "**" in rule.dns_patterns:
        return NAMES
    outside = tuple(dict.fromkeys(p for p in rule.dns_patterns if not p.endswith((".cluster.local", ".svc"))))
    return (Permit(outside),) if outside else ()


def _listening(forwarder: Forwarder) -> Ranges:
    if not forwarder.listens:
        return PORTED
    lines = {"tcp": 0, "udp": 1, "sctp": 2}
    return (
        tuple(sorted({(lines[p] * 65536 + n, lines[p] * 65536 + n) for p, n in forwarder.listens if p in lines}))
        or ALL_PORTS
    )


def _software(pod: Pod, container: PodContainer, assumed: Assumed) -> tuple[object, ...]:
    """What decides whether a container forwards; the pod's name only where something is assumed of it."""
    name = f"{pod.namespace}/{pod.name}"
    said = name if any(key.endswith(f".{name}") for key in assumed.values) else ""
    words = tuple(tuple(w.value for w in some or ()) for some in (container.entrypoint, container.command))
    texts = tuple((m.target, m.content) for m in container.confinement.mounts if m.content is not None)
    return (said, container.image.value if container.image is not None else None, words, texts, container.ports)
