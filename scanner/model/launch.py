"""A launch: what is started, with which rights, on which networks. Every value knows who said it, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from scanner.model.evidence import Json, Notification

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: the file as the user named it, line and column from 1."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Default:
    """Nobody said it: whose default it is (`docker`, `compose`, `kubernetes`, `runner rock`), or which assumption."""

    whose: str

    def __str__(self) -> str:
        return f"default of {self.whose}"


Origin = Place | Default


@dataclass(frozen=True, slots=True)
class Said(Generic[T]):
    """A value with who said it."""

    value: T
    origin: Origin


@dataclass(frozen=True, slots=True)
class Missing:
    """A fact that the files do not hold: `key` is what `--assume KEY=VALUE` supplies, `why` what hangs on it."""

    key: str
    why: str
    origin: Origin | None = None


class MountKind(StrEnum):
    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"
    IMAGE = "image"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Mount:
    """`source` is a path on the host (BIND, absolute where the project's directory is known), or a volume's name.

    `content` is the text of a small mounted regular file of the project, where it could be read (a proxy's configuration);
    `content_file` its name for people.
    """

    kind: MountKind
    source: str
    target: str
    read_only: bool
    origin: Origin
    content: str | None = None
    content_file: str | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """Shell text that the launch itself runs in or for the container, such as a devcontainer's postStartCommand.

    `where` says what runs it; `as_root` None where that is not known; `on_host` for an initializeCommand.
    """

    where: str
    text: str
    origin: Origin
    as_root: bool | None = None
    on_host: bool = False


@dataclass(frozen=True, slots=True)
class Confinement:
    """What holds a container or a pod's container in, beside its network. Capabilities without `CAP_`, upper case; `ALL` too.

    `seccomp`, `apparmor`: None is the runtime's default, else the profile's name (`unconfined`). `runtime` None is runc.
    Namespace modes are the platform's words (`host`, `container:x`, `private`, …); None is a namespace of its own.
    `user` None is the image's.
    """

    user: Said[str] | None = None
    privileged: Said[bool] | None = None
    cap_add: tuple[Said[str], ...] = ()
    cap_drop: tuple[Said[str], ...] = ()
    seccomp: Said[str] | None = None
    apparmor: Said[str] | None = None
    no_new_privileges: Said[bool] | None = None
    pid: Said[str] | None = None
    ipc: Said[str] | None = None
    uts: Said[str] | None = None
    userns: Said[str] | None = None
    cgroup: Said[str] | None = None
    runtime: Said[str] | None = None
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Said[str], ...] = ()
    """`/dev/net/tun:/dev/net/tun:rwm` and the like, as written."""
    gpus: Said[str] | None = None
    sysctls: tuple[tuple[str, Said[str]], ...] = ()
    security_opts: tuple[Said[str], ...] = ()
    """What `--security-opt` says besides (`label=disable`, `systempaths=unconfined`), as written."""
    read_only: Said[bool] | None = None
    """Whether its root file system is mounted read-only; None where nothing says so."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A container's place on a network: `network` is the Network's key in the launch."""

    network: str
    origin: Origin
    aliases: tuple[str, ...] = ()
    ipv4: str | None = None
    ipv6: str | None = None
    gw_priority: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A port of the container that the host forwards to it. `host_ip` "" is every address; `host_port` None an arbitrary one."""

    host_ip: str
    host_port: int | None
    port: int
    protocol: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Container:
    """One container of an engine, whatever file launched it.

    `network_mode` is `bridge` (the engine's default bridge), `none`, `host`, `container:NAME` (NAME is a Container's name
    here, or another's), or `networks` (those of `attachments`). A container on the default bridge has an attachment to the
    network keyed `bridge` as well. `entrypoint`/`command` None are the image's. `environment` values None come from the
    environment of whoever launches it. `dns` are the resolvers that it was given.
    """

    name: str
    kind: str
    origin: Origin
    network_mode: Said[str]
    attachments: tuple[Attachment, ...] = ()
    image: Said[str] | None = None
    container_name: str | None = None
    hostname: str | None = None
    entrypoint: tuple[Said[str], ...] | None = None
    command: tuple[Said[str], ...] | None = None
    environment: tuple[tuple[str, Said[str | None]], ...] = ()
    published: tuple[Published, ...] = ()
    exposed: tuple[int, ...] = ()
    links: tuple[Said[str], ...] = ()
    """`NAME` or `NAME:ALIAS`, the legacy links of the default bridge."""
    extra_hosts: tuple[tuple[str, Said[str]], ...] = ()
    dns: tuple[Said[str], ...] = ()
    confinement: Confinement = field(default_factory=Confinement)
    scripts: tuple[Script, ...] = ()
    replicas: int = 1
    missing: tuple[Missing, ...] = ()
    """What interpolation or an unread file left open about this container."""
    labels: Mapping[str, str] = field(default_factory=dict)
    working_dir: str | None = None
    """None is the image's, or left open."""
    runs_as: Said[str] | None = None
    """Who the agent is in the container, where that is said apart from `confinement.user` (a devcontainer's remoteUser)."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the engine. `key` is the name within the launch, `name` the engine's if it is known.

    `options` are driver options (`com.docker.network.bridge.gateway_mode_ipv4`, `…enable_icc`, `parent`, …).
    `external`: made elsewhere, nothing of it is known but what an assumption says.
    """

    key: str
    driver: Said[str]
    internal: Said[bool]
    origin: Origin
    name: str | None = None
    external: bool = False
    ipv4: Said[bool] | None = None
    ipv6: Said[bool] | None = None
    options: tuple[tuple[str, Said[str]], ...] = ()
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()
    """What interpolation left open about the network."""

    def option(self, name: str) -> Said[str] | None:
        return next((value for key, value in self.options if key == name), None)


# ---- hosted sandboxes: the provider, a proxy or a local jail decides, by a list


class Enforcement(StrEnum):
    """How an allow-list holds: by address and port, by names that are only *resolved*, by a proxy that has to be asked, by one
    that plain connections run into unasked and that reads the name they ask for (SNI, Host), or not at all."""

    PACKET = "packet"
    DNS = "dns"
    PROXY = "proxy"
    SNI = "sni"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class HostRule:
    """One line of a hosted sandbox's policy: `host` is a name, a wildcard or a CIDR; `ports` () are all."""

    allow: bool
    host: str
    origin: Origin
    ports: tuple[tuple[int, int], ...] = ()
    protocol: str = "any"
    binaries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hosted:
    """A sandbox whose egress is a policy, not a network: `default_allow` says what happens to what no rule names.

    `deny_first`: a deny beats an allow, whatever the order. `dns` None: names resolve if anything is allowed.
    """

    name: str
    kind: str
    origin: Origin
    default_allow: Said[bool]
    rules: tuple[HostRule, ...] = ()
    enforcement: Said[Enforcement] = Said(Enforcement.PACKET, Default("the runner"))
    deny_first: bool = True
    network_mode: Said[str] | None = None
    """`host` where the sandbox shares the machine's network whatever the policy says."""
    dns: Said[bool] | None = None
    image: Said[str] | None = None
    confinement: Confinement = field(default_factory=Confinement)
    environment: tuple[tuple[str, Said[str | None]], ...] = ()
    missing: tuple[Missing, ...] = ()
    private_closed: Said[bool] | None = None
    """True where the provider itself keeps private and metadata addresses out of reach."""
    blocked: Said[bool] | None = None
    """True: nothing leaves, whatever the rules say (`block_network`, `network_block_all`)."""
    host_closed: Said[bool] | None = None
    """True where no service of the machine below is in reach, False where nothing but the rules is in between; None unknown."""
    engine_closed: Said[bool] | None = None
    """True where only what `confinement` grants takes over the machine below (a virtual machine, a confined container)."""
    shares: tuple[str, ...] = ()
    """Other sandboxes of the launch in the same network namespace."""


# ---- Kubernetes (defined here because policies, pods and namespaces meet in one launch)


@dataclass(frozen=True, slots=True)
class PodContainer:
    name: str
    image: Said[str] | None
    confinement: Confinement
    ports: tuple[tuple[str | None, int, str], ...] = ()
    """name, number, protocol (`TCP`, `UDP`, `SCTP`)"""
    host_ports: tuple[Said[int], ...] = ()
    entrypoint: tuple[Said[str], ...] | None = None
    command: tuple[Said[str], ...] | None = None
    environment: tuple[tuple[str, Said[str | None]], ...] = ()
    init: bool = False
    working_dir: str | None = None
    """None is the image's."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A workload: all its replicas are alike. `kind` is the owner's (Deployment, Job, Sandbox, …)."""

    name: str
    namespace: str
    kind: str
    origin: Origin
    labels: Mapping[str, str] = field(default_factory=dict)
    containers: tuple[PodContainer, ...] = ()
    host_network: Said[bool] | None = None
    service_account: Said[str] | None = None
    token_mounted: Said[bool] = Said(True, Default("kubernetes"))
    dns_policy: Said[str] = Said("ClusterFirst", Default("kubernetes"))
    nameservers: tuple[Said[str], ...] = ()
    host_aliases: tuple[tuple[str, Said[str]], ...] = ()
    replicas: int = 1
    details: Mapping[str, Json] = field(default_factory=dict)
    missing: tuple[Missing, ...] = ()
    networks: tuple[Said[str], ...] = ()
    """NAMESPACE/NAME of networks that it has beside the cluster's own (Multus): policies do not hold on them."""


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str
    labels: Mapping[str, str]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Service:
    """`selector` empty selects nothing; `ports` are (name, port, target, protocol)."""

    name: str
    namespace: str
    selector: Mapping[str, str]
    ports: tuple[tuple[str | None, int, str | int, str], ...]
    origin: Origin
    type: str = "ClusterIP"
    external_name: str | None = None
    cluster_ip: str | None = None
    external_ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector. `labels` and `expressions` (key, operator, values) are anded; an empty one selects everything."""

    labels: tuple[tuple[str, str], ...] = ()
    expressions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    @property
    def selects_all(self) -> bool:
        return not self.labels and not self.expressions


@dataclass(frozen=True, slots=True)
class PortRange:
    """`protocol` `TCP`, `UDP`, `SCTP`, `ICMP`, `ANY`; a name resolves in each destination pod; (1, 65535) are all."""

    protocol: str
    first: int = 1
    last: int = 65535
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom a rule names, all parts anded. What is None says nothing: `pods` None with `namespaces` set is every pod there.

    `cidr` with `excepts`; `entities` (Cilium: world, cluster, host, kube-apiserver, all, …); `fqdns` (Cilium; with
    `matchPattern` as a wildcard); `services` (Cilium toServices: namespace/name); `nodes` a selector of nodes (ANP);
    `domains` (ANP domainNames).
    """

    pods: Selector | None = None
    namespaces: Selector | None = None
    namespace: str | None = None
    """The one namespace meant where no selector of namespaces is given (the policy's own)."""
    cidr: str | None = None
    excepts: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    fqdns: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    nodes: Selector | None = None
    origin: Origin | None = None


class Verb(StrEnum):
    ALLOW = "Allow"
    DENY = "Deny"
    PASS = "Pass"  # noqa: S105 - a policy's verb, no password


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule: `peers` None is any destination, () is none; `ports` None is every port. `dns_patterns`: L7 DNS rules."""

    verb: Verb
    peers: tuple[Peer, ...] | None
    ports: tuple[PortRange, ...] | None
    origin: Origin
    name: str | None = None
    dns_patterns: tuple[str, ...] = ()
    l7: bool = False
    server_names: tuple[str, ...] = ()
    ingress: bool = False


class Tier(StrEnum):
    """Where a policy stands: admin above network (whose policies add up) above baseline."""

    ADMIN = "admin"
    NETWORK = "network"
    CILIUM = "cilium"
    BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of any kind, brought to one shape. `namespaces` None means the one in `namespace`."""

    kind: str
    name: str
    namespace: str | None
    tier: Tier
    pods: Selector
    namespaces: Selector | None
    rules: tuple[PolicyRule, ...]
    origin: Origin
    priority: int = 0
    isolates_egress: bool = True
    """Whether a selected pod is closed by default once it is selected (NetworkPolicy with Egress, Cilium)."""
    isolates_ingress: bool = False
    implied: bool = False
    """No `policyTypes` say it: the policy isolates egress only as long as it has rules for it."""


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """A network of pods that is not the cluster's own (OVN-Kubernetes): of one namespace, or of those that are selected.

    `primary`: its pods have no other network; else it is one more for those that ask for it. `overlay`: it exists between
    the nodes alone; without, it is a network outside that pods are joined to.
    """

    kind: str
    name: str
    namespace: str | None
    namespaces: Selector | None
    primary: bool
    overlay: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class Cluster:
    pods: tuple[Pod, ...]
    namespaces: tuple[Namespace, ...] = ()
    services: tuple[Service, ...] = ()
    policies: tuple[Policy, ...] = ()
    networks: tuple[PodNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that is started together. `files` as the user named them, `format` what they are, `runner` who runs them.

    `rulesets` are the host's firewall as given; `firewall_scripts` text in the launch that sets one.
    """

    format: str
    files: tuple[str, ...]
    runner: str
    containers: tuple[Container, ...] = ()
    networks: tuple[Network, ...] = ()
    hosted: tuple[Hosted, ...] = ()
    cluster: Cluster | None = None
    notifications: tuple[Notification, ...] = ()

    def container(self, name: str) -> Container | None:
        return next((c for c in self.containers if name in (c.name, c.container_name)), None)

    def network(self, key: str) -> Network | None:
        return next((n for n in self.networks if n.key == key), None)
