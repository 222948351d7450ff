"""Lines that look like a restriction and are none, judged against what the sandbox reaches all the same."""

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from scanner.egress.assumptions import Assumed
from scanner.model import Cluster, Container, Enforcement, Hosted, Launch, Place, Pod, Policy, Selector, Tier, Verb
from scanner.model.egress import ALL_PORTS, Answer, Destination, Permit, Verdict
from scanner.model.launch import Origin

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
_SHARED = ipaddress.IPv4Network("100.64.0.0/10")


@dataclass(frozen=True, slots=True)
class Remark:
    """`kind` names the trap, `subject` whose line it is (for a fingerprint that survives edits elsewhere), `why` is the sentence."""

    kind: str
    subject: str
    why: str
    origin: Origin


def of_container(container: Container, answers: Sequence[Answer], assumed: Assumed) -> Iterator[Remark]:
    """A firewall of its own that keeps little in, and proxy variables where plain sockets leave as well."""
    internet = _answer(answers, Destination.INTERNET)
    if container.scripts:
        yield from _of_firewall(container, assumed)
    for name, said in container.environment:
        if name.lower() in _PROXIES and said.value and internet.direct in (Verdict.OPEN, Verdict.UNKNOWN):
            yield Remark(
                "proxy-variable",
                name.lower(),
                f"{name} is advice: programs that do not ask it connect directly, for the networks leave internet {internet.direct}",
                said.origin,
            )
            return


def _of_firewall(container: Container, assumed: Assumed) -> Iterator[Remark]:
    """A firewall script that looks like an allow-list, and what it leaves to anybody."""
    from scanner.egress.docker.own_rules import own_firewall
    from scanner.egress.permits import classify
    from scanner.egress.scripts.firewall_script import undone

    own = own_firewall((container,), assumed)
    if own is None:
        return
    name, firewall = container.name, own.firewall
    if own.never is not None:
        why = f"the firewall of {firewall.where or 'its script'} is never set: {own.never}"
        yield Remark("firewall-is-never-set", name, why, firewall.origin)
        return
    undo = undone(container, assumed.flag(f"root.{name}"))
    if undo.answer:
        why = f"{undo.why}: what {firewall.where or 'a script'} forbids at {firewall.origin} is undone by one command (iptables -F)"
        yield Remark("firewall-can-be-undone", name, why, undo.origin)
    four = tuple(
        replace(p, hosts=hosts) for p in firewall.permits if (hosts := tuple(h for h in p.hosts if "::" not in h))
    )
    if classify(four, Destination.INTERNET) is Verdict.OPEN or not firewall.dropped:
        return  # no list at all
    for kind, port, does in (
        ("firewall-lets-ssh-out", 22, "SSH to anybody, so that a tunnel leaves by it"),
        ("firewall-lets-dns-out", 53, "questions to any nameserver, so that data and tunnels leave by port 53"),
    ):
        for part in firewall.accepted:
            if part.place is not None and any(_to_anybody(p, port) for p in part.permits):
                yield Remark(
                    kind, name, f"the allow-list of {firewall.where or 'the script'} lets out {does}", part.place
                )
                break
    if firewall.ipv6 == "open":
        why = f"{firewall.where or 'the script'} sets rules for IPv4 alone: where the container has IPv6, all of it leaves"
        yield Remark("firewall-forgets-ipv6", name, why, firewall.origin)


def _to_anybody(permit: Permit, port: int) -> bool:
    """Whether it lets every IPv4 address be called by this port, but not by every other one."""
    return (
        "0.0.0.0/0" in permit.hosts
        and permit.ports != ALL_PORTS
        and permit.protocol in ("tcp", "udp", "any")
        and any(first <= port <= last for first, last in permit.ports)
    )


def of_hosted(sandbox: Hosted, answers: Sequence[Answer]) -> Iterator[Remark]:
    """A list that only names are held against, or that nothing enforces."""
    if not sandbox.rules and sandbox.default_allow.value:
        return
    kind = sandbox.enforcement.value
    internet = _answer(answers, Destination.INTERNET)
    if kind is Enforcement.DNS and internet.direct is not Verdict.CLOSED:
        why = "the list is held against names that are resolved; an address needs no name, so that it can be reached all the same"
        yield Remark("dns-only", sandbox.name, why, sandbox.enforcement.origin)
    elif kind is Enforcement.NONE and internet.direct is not Verdict.CLOSED:
        yield Remark(
            "unenforced", sandbox.name, "nothing enforces the list as it is launched", sandbox.enforcement.origin
        )


def of_cluster(
    launch: Launch, assumed: Assumed, selected: "Callable[[Policy], bool] | None" = None
) -> Iterator[tuple[str, Remark]]:
    """Policies, each once: (its name, remark)."""
    cluster = launch.cluster
    if cluster is None:
        return
    unenforced = assumed.flag("cni.enforces") is False
    for policy in cluster.policies:
        if selected is not None and not selected(policy):
            continue
        name = f"{policy.namespace}/{policy.name}" if policy.namespace else policy.name
        if unenforced:
            why = f"the cluster's network plugin does not enforce {policy.kind} (--assume cni.enforces=false)"
            yield name, Remark("unenforced", name, why, policy.origin)
            continue
        yield from ((name, remark) for remark in _of_policy(policy, name, cluster))


def _of_policy(policy: Policy, name: str, cluster: Cluster) -> Iterator[Remark]:
    if (
        policy.tier is Tier.NETWORK
        and policy.isolates_ingress
        and not policy.isolates_egress
        and _only_ingress(policy, cluster)
    ):
        why = "the policy has the type Ingress alone: what its pods send is not restricted by it, nor by another policy"
        yield Remark("ingress-only", name, why, policy.origin)
    for number, rule in enumerate(r for r in policy.rules if not r.ingress and r.verb is Verb.ALLOW):
        if rule.peers is None and rule.ports is not None and any(p.first <= 53 <= p.last for p in rule.ports):
            why = "port 53 is allowed without `to`: it is open to every address, so that `ssh -p 53` leaves"
            yield Remark("port-53-anywhere", f"{name}#{number}", why, rule.origin)
        for peer in rule.peers or ():
            if peer.cidr in ("0.0.0.0/0", "::/0") and peer.excepts and _forgets_shared(peer.cidr, peer.excepts):
                why = "private addresses are excepted, 100.64.0.0/10 is not: Alibaba's metadata service 100.100.100.200 and carrier-grade networks lie there"
                yield Remark("forgotten-shared-space", f"{name}#{number}", why, peer.origin or rule.origin)


def _forgets_shared(cidr: str, excepts: Sequence[str]) -> bool:
    if cidr != "0.0.0.0/0" or not all(p in excepts for p in _PRIVATE):
        return False
    try:
        excepted = [ipaddress.IPv4Network(e, strict=False) for e in excepts if ":" not in e]
    except ValueError:
        return False
    return not any(n.supernet_of(_SHARED) for n in excepted)


def _only_ingress(policy: Policy, cluster: Cluster) -> bool:
    """No other policy of the namespace restricts what the pods send."""
    return not any(
        p.isolates_egress
        and (p.namespace in (policy.namespace, None))
        and (p.pods == policy.pods or p.pods == Selector())
        for p in cluster.policies
    )


def of_pod(pod: Pod, answers: Sequence[Answer]) -> Iterator[Remark]:
    """Proxy variables of a pod's containers."""
    internet = _answer(answers, Destination.INTERNET)
    for container in pod.containers:
        for name, said in container.environment:
            if (
                name.lower() in _PROXIES
                and said.value
                and internet.direct is Verdict.OPEN
                and isinstance(said.origin, Place)
            ):
                why = f"{name} is advice: programs that do not ask it connect directly"
                yield Remark("proxy-variable", f"{container.name} {name.lower()}", why, said.origin)
                return


def _answer(answers: Sequence[Answer], destination: Destination) -> Answer:
    return next(a for a in answers if a.destination is destination)
