"""Envoy: listeners hand requests to clusters, whose endpoints are fixed, or are whatever name the client asks for.

Sources: Envoy's API reference (config.bootstrap.v3, route.v3.VirtualHost, cluster.v3.Cluster) and its pages on the dynamic forward
proxy. A domain is compared with the whole authority, its port included, unless ports are stripped.
"""

from typing import Any

from scanner.egress.forwarders import yamltree
from scanner.egress.forwarders.plugin import ANYWHERE, Forwarder, Program, Run
from scanner.model.egress import Permit
from scanner.model.launch import Place

_RESTRICTS = ("rbac", "ext_authz", "lua", "wasm", "ext_proc", "golang")


def read(run: Run) -> Forwarder | None:
    inline = run.option("--config-yaml")
    path = run.option("-c", "--config-path") or "/etc/envoy/envoy.yaml"
    found = run.file(path)
    if inline is None and found is None:
        return run.untold(f"its configuration {path} is not among the mounted files that can be read")
    file = found.file if found is not None else "--config-yaml"
    root = yamltree.load(inline or (found.text if found else ""), file)
    if yamltree.get(root, "dynamic_resources") is not None:
        return run.untold("it takes its routes from a server", origin=Place(file, yamltree.line(root)))
    clusters = {
        name: cluster
        for cluster in yamltree.items(yamltree.get(root, "static_resources", "clusters"))
        if (name := yamltree.text(yamltree.get(cluster, "name"))) is not None
    }
    permits: list[Permit] = []
    unclear: list[str] = []
    listens: list[tuple[str, int]] = []
    places: list[int] = []
    resolves = False
    for listener in yamltree.items(yamltree.get(root, "static_resources", "listeners")):
        port = yamltree.text(yamltree.get(listener, "address", "socket_address", "port_value"))
        if port and port.isdigit() and len(port) < 6:
            listens.append(("tcp", int(port)))
        strips = any(yamltree.text(n) == "true" for n in yamltree.every(listener, "strip_any_host_port"))
        for name in (yamltree.text(n) for n in yamltree.every(listener, "name")):
            if name and any(r in name.rpartition(".")[2] or f".{r}" in name for r in _RESTRICTS):
                unclear.append(f"the filter {name} may refuse some of it")
            if name == "envoy.filters.network.sni_dynamic_forward_proxy":
                resolves = True
                permits += _by_sni(listener)
                places.append(yamltree.line(listener))
        for host in yamltree.every(listener, "virtual_hosts"):
            for one in yamltree.items(host):
                domains = [d for n in yamltree.items(yamltree.get(one, "domains")) if (d := yamltree.text(n))]
                for cluster in _named(one):
                    found_permits, dynamic = _of_cluster(clusters.get(cluster), domains, strips)
                    permits += found_permits
                    resolves = resolves or dynamic
                    places.append(yamltree.line(yamltree.get(one, "domains") or one))
        for filter_ in yamltree.every(listener, "typed_config"):
            named = yamltree.text(yamltree.get(filter_, "cluster"))
            if named is not None:
                found_permits, dynamic = _of_cluster(clusters.get(named), [], strips)
                permits += found_permits
                places.append(yamltree.line(filter_))
    place = Place(file, places[0] if places else 1)
    why = "envoy passes on what its routes lead to"
    if unclear:
        return run.untold(unclear[0], permits or ANYWHERE, listens=listens, origin=place, resolves=resolves)
    kind = "proxy" if resolves else "relay" if permits else "none"
    return run.result(kind, dict.fromkeys(permits), why, place, listens=listens, resolves=resolves)


def _named(node: Any) -> list[str]:
    """The clusters that a virtual host's routes name."""
    found = [t for n in yamltree.every(node, "cluster") if (t := yamltree.text(n)) is not None]
    for weighted in yamltree.every(node, "weighted_clusters"):
        found += [t for n in yamltree.every(weighted, "name") if (t := yamltree.text(n)) is not None]
    return list(dict.fromkeys(found))


def _of_cluster(cluster: Any, domains: list[str], strips: bool) -> tuple[list[Permit], bool]:
    """What a cluster reaches for requests of these domains; whether the client's name decides."""
    if cluster is None:
        return list(ANYWHERE), True  # named by a header, or nowhere
    kind = yamltree.text(yamltree.get(cluster, "cluster_type", "name")) or ""
    if "dynamic_forward_proxy" in kind:
        port = 443 if yamltree.get(cluster, "transport_socket") is not None else 80
        return _by_domain(domains or ["*"], port, strips), True
    if yamltree.text(yamltree.get(cluster, "type")) == "ORIGINAL_DST":
        return list(ANYWHERE), False
    found = []
    for address in yamltree.every(cluster, "socket_address"):
        host = yamltree.text(yamltree.get(address, "address"))
        number = yamltree.text(yamltree.get(address, "port_value")) or ""
        if host and number.isdigit() and 0 < int(number[:6]) < 65536:
            found.append(Permit((host.lower(),), "tcp", ((int(number), int(number)),)))
    return found, False


def _by_domain(domains: list[str], port: int, strips: bool) -> list[Permit]:
    found = []
    for domain in domains:
        host, colon, said = domain.rpartition(":")
        if domain == "*":
            return list(ANYWHERE)
        if colon and (said.isdigit() or said == "*"):
            ports = ((1, 65535),) if said == "*" else ((int(said[:5]), int(said[:5])),)
        else:
            host, ports = domain, ((1, 65535),) if strips or domain.endswith("*") else ((port, port),)
        found.append(Permit((host.lower(),), "tcp", ports))
    return found


def _by_sni(listener: Any) -> list[Permit]:
    numbers = [t for n in yamltree.every(listener, "port_value") if (t := yamltree.text(n)) and t.isdigit()]
    ports = ((int(numbers[-1][:5]),) * 2,) if len(numbers) > 1 else ((443, 443),)
    names = [t for n in yamltree.every(listener, "server_names") for s in yamltree.items(n) if (t := yamltree.text(s))]
    return [Permit(tuple(n.lower() for n in names) or ("0.0.0.0/0", "::/0"), "tcp", ports)]


PLUGIN = Program(
    "envoy",
    images=("envoy", "envoyproxy/envoy", "envoy-alpine", "envoy-distroless"),
    commands=("envoy",),
    read=read,
    entrypoint=("envoy",),
)
