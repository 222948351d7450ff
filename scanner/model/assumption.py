"""Facts that no launch file holds and a person can supply: `--assume KEY=VALUE`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assumption:
    """`key` as listed (upper-case parts are the user's names), what values it takes, and what hangs on it."""

    key: str
    values: str
    pattern: str
    summary: str


KNOWN = (
    Assumption(
        "engine.version",
        "VERSION, such as 20.10.24",
        r"\d{2}(\.\d{1,4}){0,2}([-+~].*)?",
        "the Docker engine that runs it",
    ),
    Assumption(
        "engine.dns",
        "ADDRESS or host-loopback",
        r"host-loopback|[0-9.]{7,15}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*",
        "where the engine's resolver forwards names: its --dns, else the host's resolver",
    ),
    Assumption(
        "engine.icc", "true or false", "true|false", "whether containers of the default bridge reach each other (--icc)"
    ),
    Assumption(
        "engine.tcp", "PORT or none", r"none|\d{1,5}", "a TCP port on which the engine itself listens without TLS"
    ),
    Assumption(
        "engine.iptables", "true or false", "true|false", "whether the engine writes firewall rules (--iptables)"
    ),
    Assumption("engine.ip6tables", "true or false", "true|false", "the same for IPv6 (--ip6tables)"),
    Assumption(
        "engine.firewall", "iptables or nftables", "iptables|nftables", "the engine's firewall backend, from 29"
    ),
    Assumption("engine.rootless", "true or false", "true|false", "whether the engine runs without root"),
    Assumption(
        "engine.userland-proxy", "true or false", "true|false", "whether published ports go through docker-proxy"
    ),
    Assumption("engine.direct-routing", "true or false", "true|false", "--allow-direct-routing, from 28"),
    Assumption("network.NAME", "internal, open or none", "internal|open|none", "what an external network NAME is"),
    Assumption(
        "forwards.NAME", "true or false", "true|false", "whether the software of the service NAME passes traffic on"
    ),
    Assumption(
        "allows.NAME",
        "all, none, or HOST[:PORT[-PORT]],…",
        r"all|none|[^,\s]+(,[^,\s]+)*",
        "what the proxy or relay NAME lets through, where its own list is not in the launch",
    ),
    Assumption(
        "firewall.NAME",
        "all, none, or HOST[:PORT[-PORT]],…",
        r"all|none|[^,\s]+(,[^,\s]+)*",
        "what the firewall that the container NAME sets up in itself lets out, where its script cannot be followed",
    ),
    Assumption(
        "root.NAME",
        "true or false",
        "true|false",
        "whether the user that NAME runs as can become root, or may open sockets that are mounted into it",
    ),
    Assumption(
        "runtime.NAME",
        "isolates or shares",
        "isolates|shares",
        "whether the runtime NAME (runsc, kata) keeps a container from the host's kernel and sockets",
    ),
    Assumption(
        "host.escape",
        "true or false",
        "true|false",
        "whether rights short of full privilege are enough to take this host: its AppArmor, kernel and cgroups decide",
    ),
    Assumption(
        "host.br-netfilter",
        "true or false",
        "true|false",
        "whether the host's firewall sees frames between containers of one network (engines before 28 see to it)",
    ),
    Assumption(
        "bridge.NAME",
        "INTERFACE, such as br-1a2b3c4d5e6f",
        r"[\w.-]{1,15}",
        "the bridge of network NAME in a --ruleset",
    ),
    Assumption(
        "ruleset.unclear",
        "accept or drop",
        "accept|drop",
        "what the rules of a --ruleset do that cannot be judged here",
    ),
    Assumption(
        "exposes.NAME",
        "true or false",
        "true|false",
        "whether the image of the service NAME exposes the ports it serves",
    ),
    Assumption("host.ipv6", "true or false", "true|false", "whether the host has IPv6 to the outside"),
    Assumption("host.metadata", "true or false", "true|false", "whether a cloud's metadata service answers there"),
    Assumption(
        "cni.enforces", "true or false", "true|false", "whether the cluster's network plugin enforces NetworkPolicy"
    ),
    Assumption(
        "cni.host-network",
        "true or false",
        "true|false",
        "whether the network plugin holds pods in the node's own network to policies",
    ),
    Assumption(
        "cluster.pod-cidr",
        "CIDR,CIDR or unmatched",
        r"unmatched|[0-9A-Fa-f.:]+/\d{1,3}(,[0-9A-Fa-f.:]+/\d{1,3})*",
        "the addresses of pods, as an ipBlock sees them; unmatched where blocks never match pods (Cilium)",
    ),
    Assumption(
        "namespace.NAME",
        "KEY=VALUE,KEY=VALUE or none",
        r"none|[\w./-]+=[\w.-]*(,[\w./-]+=[\w.-]*)*",
        "the labels of a namespace that is not among the files",
    ),
    Assumption(
        "cidrgroup.NAME",
        "CIDR,CIDR",
        r"[0-9A-Fa-f.:]+/\d{1,3}(,[0-9A-Fa-f.:]+/\d{1,3})*",
        "the addresses of a CiliumCIDRGroup that is not among the files",
    ),
    Assumption(
        "cluster.dns", "forwards or internal", "forwards|internal", "whether the cluster's DNS resolves outside names"
    ),
    Assumption(
        "host.system",
        "linux or macos",
        "linux|macos",
        "the system that runs a sandbox without a container: some settings mean nothing on one of them",
    ),
    Assumption(
        "provider.private",
        "open or closed",
        "open|closed",
        "whether private and metadata addresses are in reach of a sandbox that a provider runs",
    ),
    Assumption(
        "provider.host",
        "open or closed",
        "open|closed",
        "whether services of the machine that a provider runs a sandbox on are in reach",
    ),
    Assumption(
        "provider.dns", "open or closed", "open|closed", "whether the provider's resolver answers for names on no list"
    ),
    Assumption(
        "provider.engine",
        "open or closed",
        "open|closed",
        "whether what runs in a provider's sandbox, or one without a container, can take over the machine below",
    ),
    Assumption(
        "proxy.filters", "true or false", "true|false", "whether a proxy of one's own holds the file's list itself"
    ),
    Assumption(
        "adds.NAME",
        "nothing or anything",
        "nothing|anything",
        "whether what was not read (a feature, a file that is extended or included, the volumes of another container) adds "
        "privileges, mounts or networks",
    ),
    Assumption("env.NAME", "VALUE", r"(?s).*", "an environment variable that the launch file interpolates"),
)


def assumption(key: str) -> Assumption | None:
    """What is listed for a key, of which NAME stands for a name of the launch; None if there is nothing."""
    for one in KNOWN:
        prefix, dot, name = one.key.rpartition(".")
        if one.key == key or (name == "NAME" and key.startswith(prefix + dot) and len(key) > len(prefix) + 1):
            return one
    return None
