"""OpenShell: a sandbox policy.

NVIDIA/OpenShell, docs/how-it-works/policies (schema, network-rules). A connection passes if a rule of `network_policies` names
its host and port and the executable that opens it, or one that started it; what no rule names is denied. A rule without
binaries matches none. Everything goes through the sandbox's proxy, which looks names up; loopback, link-local and so metadata
addresses are refused whatever a rule says. Exact names may lead to private addresses, wildcards through `allowed_ips` alone.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import replace

from scanner.launch.document import Node
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.launch.requests import documents, either, mentions, required, text, texts, unique, wrong
from scanner.model import Default, Enforcement, Hosted, HostRule, Launch, Level, Notification, Said

RUNNER = Default("runner openshell")
_FRAME = ("filesystem_policy", "landlock", "process", "network_middlewares")


def _is_policy(node: Node) -> bool:
    policies = node.get("network_policies")
    if policies is not None and policies.pairs is not None:
        values = [value for _, _, value in policies.items()]
        return all(value.is_map or value.is_null for value in values) and (
            any(value.get("endpoints") is not None or value.get("binaries") is not None for value in values)
            or (not values and node.get("version") is not None)
        )
    frame = sum((value := node.get(key)) is not None and value.is_map for key in _FRAME)
    return frame >= 2 and node.get("version") is not None and (policies is None or policies.is_null)


def _recognises(given: Input) -> bool:
    found = documents(given)
    if not found:
        return mentions(given, ("network_policies",))
    return len(found) == 1 and _is_policy(found[0])


def _read(inputs: Sequence[Input], options: ReadOptions) -> Launch:
    del options  # nothing of the environment goes into a policy
    hosted: list[Hosted] = []
    notes: list[Notification] = []
    for given in inputs:
        for node in required(given):
            hosted.append(sandbox(node, notes))
    names = unique(one.name for one in hosted)
    named = tuple(replace(one, name=name) for one, name in zip(hosted, names, strict=True))
    return Launch("openshell", tuple(i.name for i in inputs), "openshell", hosted=named, notifications=tuple(notes))


def sandbox(node: Node, notes: list[Notification]) -> Hosted:
    """The policy. Raises ParseError for values of a kind that OpenShell refuses; adds what it means to the notes."""
    policies = either(node, "network_policies")
    if policies is not None and not policies.is_map:
        raise wrong(policies, "a mapping of rules is meant")
    rules = [
        rule
        for name, _, policy in (policies.items() if policies is not None else ())
        for rule in _rules(name, policy, notes)
    ]
    return Hosted(
        "sandbox",
        "openshell",
        node.place,
        Said(False, policies.place if policies is not None else RUNNER),
        tuple(rules),
        Said(Enforcement.PROXY, RUNNER),
        private_closed=Said(False, RUNNER),
        host_closed=Said(True, RUNNER),
        engine_closed=Said(True, RUNNER),
    )


def _rules(name: str, policy: Node, notes: list[Notification]) -> Iterator[HostRule]:
    if policy.is_null:
        return
    if not policy.is_map:
        raise wrong(policy, "a rule with endpoints and binaries is meant")
    listed = either(policy, "binaries")
    if listed is not None and listed.elements is None:
        raise wrong(listed, "a list of {path} is meant")
    binaries = tuple(_path(one) for one in (listed.elements or () if listed is not None else ()))
    endpoints = either(policy, "endpoints")
    if endpoints is not None and endpoints.elements is None:
        raise wrong(endpoints, "a list of endpoints is meant")
    if not binaries:
        if endpoints is not None and endpoints.elements:
            words = f"{policy.place}: the rule {name} names no binaries and so lets nothing out"
            notes.append(Notification("launch", Level.NOTE, words))
        return
    for endpoint in endpoints.elements or () if endpoints is not None else ():
        yield from _endpoint(endpoint, binaries)


def _path(node: Node) -> str:
    path = text(node if node.text is not None else either(node, "path"))
    if path is None:
        raise wrong(node, "{path} is meant")
    return path.value


def _endpoint(node: Node, binaries: tuple[str, ...]) -> Iterator[HostRule]:
    if not node.is_map:
        raise wrong(node, "an endpoint with host and port is meant")
    host = text(either(node, "host"))
    addresses = texts(either(node, "allowed_ips"))
    ports = tuple(_port(one) for one in _listed(either(node, "ports")) + _listed(either(node, "port")))
    if host is None and not addresses:
        raise wrong(node, "an endpoint names a host, or allowed_ips")
    for said in (*((host,) if host is not None else ()), *addresses):
        if not _refused(said.value):
            yield HostRule(True, said.value.lower(), said.origin, ports, "tcp", binaries)


def _refused(host: str) -> bool:
    """Whether OpenShell lets no rule lead there: loopback, link-local (metadata), no address at all."""
    try:
        network = ipaddress.ip_network(host, strict=False)
    except ValueError:
        return False
    return network.is_loopback or network.is_link_local or (network.is_unspecified and network.num_addresses == 1)


def _listed(node: Node | None) -> tuple[Node, ...]:
    return () if node is None else node.elements if node.elements is not None else (node,)


def _port(node: Node) -> tuple[int, int]:
    number = node.integer()
    if number is None or not 0 < number < 65536:
        raise wrong(node, "a port is meant")
    return number, number


FORMAT = Format("openshell", "OpenShell: a policy with network_policies", _recognises, _read)
