"""Networks beside and instead of the cluster's own.

Multus: the annotation `k8s.v1.cni.cncf.io/networks` gives a pod more interfaces (the Network Plumbing Working Group's
de-facto standard), `v1.multus-cni.io/default-network` another first one. NetworkPolicy is not held to on them.
OVN-Kubernetes: UserDefinedNetwork and ClusterUserDefinedNetwork (k8s.ovn.org/v1). A primary one stands in the place of the
cluster's network for the pods of its namespaces, which have to carry a label for it; networks are isolated from one another.
"""

import json
from collections.abc import Mapping
from itertools import chain

from scanner.launch.document import Node
from scanner.launch.manifests.values import Fields, broken, fields, optional, selector
from scanner.model import PodNetwork, Said, printable
from scanner.model.launch import Origin

_ATTACHED = ("k8s.v1.cni.cncf.io/networks", "v1.multus-cni.io/default-network")


def attached(annotations: Mapping[str, str], namespace: str, origin: Origin) -> tuple[Said[str], ...]:
    """The further networks of a pod as NAMESPACE/NAME, in the two ways of writing them: a list of names, or JSON."""
    names = chain.from_iterable(_names(annotations.get(key, ""), namespace) for key in _ATTACHED)
    return tuple(Said(name, origin) for name in dict.fromkeys(names))


def _names(written: str, namespace: str) -> list[str]:
    if written.lstrip().startswith("["):
        try:
            listed = json.loads(written)
        except (ValueError, RecursionError):
            return [f"{namespace}/{printable(written, 40)}"]
        return [
            f"{one.get('namespace') or namespace}/{one.get('name')}" if isinstance(one, dict) else f"{namespace}/{one}"
            for one in listed
        ]
    found = []
    for one in written.split(","):
        name = one.strip().partition("@")[0]
        if name:
            found.append(name if "/" in name else f"{namespace}/{name}")
    return found


def pod_network(kind: str, name: str, namespace: str, spec: Fields, node: Node) -> PodNetwork:
    """A (Cluster)UserDefinedNetwork. Raises ParseError where it says neither topology nor role."""
    clusterwide = kind == "ClusterUserDefinedNetwork"
    given = fields(spec.get("network"), "network") if clusterwide else spec
    topology = optional(given.get("topology"), "topology") or ""
    layer = fields(given.get(topology[:1].lower() + topology[1:]), topology or "a layer")
    role = optional(layer.get("role"), "role")
    if role not in ("Primary", "Secondary"):
        raise broken(node, f"{kind} needs a topology, and for it a role that is Primary or Secondary")
    return PodNetwork(
        kind=kind,
        name=name,
        namespace=None if clusterwide else namespace,
        namespaces=selector(spec.get("namespaceSelector"), "namespaceSelector") if clusterwide else None,
        primary=role == "Primary",
        overlay=topology in ("Layer2", "Layer3"),
        origin=node.place,
    )
