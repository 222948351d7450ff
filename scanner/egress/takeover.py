"""Ways out of the container itself: an engine's socket, a privilege, a mount or a device that gives the host away.

Docker and Kubernetes share them. What each capability unlocks: moby's default seccomp profile; what a writable mount gives:
the host's own manual pages (`core(5)` for core_pattern, `cron(8)`, `ld.so(8)`). A read-only mount of a socket or of the
folder that holds one stops nothing (measured); a read-only mount of files does.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scanner.egress.assumptions import Assumed
from scanner.egress.builder import ENGINE, EVERYWHERE, HOST, NAMES, Builder, to
from scanner.model.egress import Action, Destination, Mode, Permit
from scanner.model.evidence import Json
from scanner.model.launch import Confinement, Missing, Mount, MountKind, Origin, Said

DEFAULT_CAPABILITIES = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID "
    "SYS_CHROOT".split()
)
"""What Docker, containerd and CRI-O (nearly: it leaves out MKNOD, NET_RAW, SYS_CHROOT) give to root if nothing is said."""


Edit = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Takeover:
    """One way to take over: `target` is `engine` or `host`, `permits` what of the engine (all of it, mostly).

    Each of `actions` alone removes this way. `missing`: it works only if these facts hold.
    """

    target: str
    kind: str
    why: str
    origin: Origin | None
    needs: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    missing: tuple[Missing, ...] = ()
    permits: tuple[Permit, ...] = ENGINE


# ---- sockets


@dataclass(frozen=True, slots=True)
class _Socket:
    """`paths` is a regular expression for the socket itself, `stands` where it usually is, `full` whether it gives all."""

    name: str
    paths: str
    stands: tuple[str, ...]
    full: bool = True


_SOCKETS = (
    _Socket("Docker", r".*/docker(?:[-_.][\w.-]*)?\.sock(?:\.raw)?|.*/balena-engine\.sock", ("/run/docker.sock",)),
    _Socket("Podman", r".*/podman\.sock", ("/run/podman/podman.sock",)),
    _Socket(
        "containerd",
        r".*/containerd(?:[-.]\w+)?\.sock(?:\.ttrpc)?",
        ("/run/containerd/containerd.sock", "/run/docker/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock"),
    ),
    _Socket("CRI-O", r".*/crio\.sock", ("/run/crio/crio.sock",)),
    _Socket("the kubelet's runtime", r".*/(?:dockershim|cri-dockerd|frakti)\.sock", ("/run/cri-dockerd.sock",)),
    _Socket("LXD or Incus", r".*/(?:lxd|incus)/(?:.*/)?unix\.socket", ("/run/incus/unix.socket",)),
    _Socket("libvirt", r".*/libvirt-sock|.*/virt\w+d-sock", ("/run/libvirt/libvirt-sock",)),
    _Socket("systemd", r"/run/systemd/private|.*/system_bus_socket", ("/run/systemd/private", "/run/dbus/system_bus_socket")),
    _Socket("BuildKit", r".*/buildkitd?\.sock", ("/run/buildkit/buildkitd.sock",), full=False),
)  # fmt: skip
_PIPE = re.compile(r"(?i)[\\/]+\.?[\\/]*pipe[\\/]+(?:docker_engine|docker|containerd|podman)")

# ---- what of the host's files a writable mount gives away

_WHOLE = (
    ("/", "every file of the host"),
    ("/etc", "the host's accounts, its scheduled jobs and what its loader loads"),
    ("/root", "root's keys and what root's shell runs"),
    ("/home", "the keys of the host's users and what their shells run"),
    ("/Users", "the keys of the host's users and what their shells run"),
    ("/proc", "the host's kernel.core_pattern, which names a program that the host runs"),
    ("/sys", "the host's uevent_helper, which names a program that the host runs"),
    ("/dev", "the host's disks"),
    ("/boot", "the kernel that the host starts next"),
    ("/usr", "the programs that the host runs"),
    ("/bin", "the programs that the host runs"),
    ("/sbin", "the programs that the host runs"),
    ("/lib", "the libraries that the host's programs load"),
    ("/lib64", "the libraries that the host's programs load"),
    ("/run", "the sockets and units of the host's services"),
    ("/var", "the engine's data and the host's scheduled jobs"),
    ("/var/lib", "the engine's data"),
    ("/var/lib/docker", "the file systems of all containers, and their configuration"),
    ("/var/lib/containerd", "the file systems of all containers"),
    ("/var/lib/containers", "the file systems of all containers"),
    ("/var/lib/kubelet", "the volumes and tokens of all pods, and where the node looks for plug-ins"),
    ("/var/lib/rancher", "the cluster's credentials and the file systems of all containers"),
    ("/var/spool/cron", "the host's scheduled jobs"),
    ("/run/docker", "the engine's own state"),
    ("/run/systemd", "the host's units"),
    ("/etc/kubernetes", "the cluster's credentials and the node's static pods"),
)
_INSIDE = re.compile(
    r"/(?:usr/(?:local/)?)?(?:s?bin|lib(?:64|exec)?)(?:/.*)?"
    r"|/usr/local|/boot/.*"
    r"|/etc/(?:cron[^/]*|ld\.so\.[^/]*|profile(?:\.d)?|passwd|shadow|group|sudoers(?:\.d)?|ssh|pam\.d|systemd|init\.d|rc\.local"
    r"|environment|bash\.bashrc|docker|containerd|apt|yum\.repos\.d|kubernetes|modprobe\.d|udev|logrotate\.d|update-motd\.d)(?:/.*)?"
    r"|/root/\.(?:ssh|bashrc|profile|bash_profile|zshrc|config|local)(?:/.*)?"
    r"|/var/spool/cron/.*|/run/systemd/.*"
    r"|/var/lib/(?:docker|containerd|containers|kubelet|rancher)/(?!volumes/[^/]+/_data|pods/).*"
    r"|/proc/(?:sys(?:/kernel(?:/core_pattern)?)?|sysrq-trigger|1(?:/.*)?)|/sys/kernel(?:/.*)?|/sys/(?:devices|class|block|bus|firmware)(?:/.*)?"
)
_HOME = re.compile(
    r"(?:/(?:home|Users)/[^/]+|~|\$\{?HOME\}?)(?:/\.(?:ssh|bashrc|profile|bash_profile|zshrc|zshenv|config|local(?:/bin)?)(?:/.*)?)?"
)
_CGROUPS = re.compile(r"/sys/fs(?:/cgroup(?:/.*)?)?")
_HOMES_SOCKETS = re.compile(r"/run/user(?:/\d+)?")

_DISKS = re.compile(
    r"/dev/(?:sd[a-z]+\d*|hd[a-z]\d*|vd[a-z]+\d*|xvd[a-z]+\d*|nvme\d+n\d+(?:p\d+)?|mmcblk\d+(?:p\d+)?|dm-\d+|md\d+|nbd\d+|loop\d+"
    r"|mapper/.+|disk/.+|root|block/.+)"
)
_MEMORY = re.compile(r"/dev/(?:mem|kmem|port)")

# ---- capabilities

_KERNEL = {
    "SYS_MODULE": "loads a module into the host's kernel",
    "DAC_READ_SEARCH": "opens any file of the host by its handle (open_by_handle_at)",
}
_PERHAPS = {
    "SYS_RAWIO": "speaks to the host's hardware through its ports",
    "BPF": "loads programs into the host's kernel",
    "SYS_BOOT": "loads a new kernel for the host",
}
_RUNC = re.compile(r"(?:io\.containerd\.)?(?:runc(?:\.v\d)?|crun|youki|nvidia(?:-container-runtime)?|oci)")


def capabilities(confinement: Confinement) -> frozenset[str]:
    """What root in the container holds; `ALL` is in it where nearly all are. As moby's TweakCapabilities decides."""
    if _true(confinement.privileged):
        return frozenset({"ALL"})
    added = {_capability(c.value) for c in confinement.cap_add}
    dropped = {_capability(c.value) for c in confinement.cap_drop}
    if "ALL" in added:
        return frozenset({"ALL", *(f"-{name}" for name in dropped - {"ALL"})})
    return frozenset(added) if "ALL" in dropped else (DEFAULT_CAPABILITIES - dropped) | added


def holds(held: frozenset[str], name: str) -> bool:
    """Whether `capabilities` include one."""
    return name in held or ("ALL" in held and f"-{name}" not in held)


def unprivileged(confinement: Confinement) -> bool:
    """Whether the container starts as somebody other than root. What the image says is not known here: taken for root."""
    if confinement.user is None:
        return False
    name = confinement.user.value.partition(":")[0].strip()
    return name not in ("", "0", "root") and "$" not in name


def root_missing(confinement: Confinement, name: str, assumed: Assumed) -> tuple[Missing, ...] | None:
    """What must hold before the container's capabilities are the agent's: () nothing; None that cannot be (so nobody gains
    root by a setuid program), else a Missing."""
    if not unprivileged(confinement):
        return ()
    assert confinement.user is not None
    given = assumed.flag(f"root.{name}")
    if given is not None:
        return () if given else None
    if _true(confinement.no_new_privileges):
        return None
    why = f"{name} runs as user {confinement.user.value}: a capability is its own only once it is root"
    return (Missing(f"root.{name}", why, confinement.user.origin),)


def takeovers(
    confinement: Confinement, platform: str, assumed: Assumed, *, name: str, object: str
) -> tuple[Takeover, ...]:
    """All ways in which what runs in the container takes over the engine or the host, by what its launch gave it.

    `platform` is `docker` or `kubernetes`, `name` the container's for assumptions (`root.NAME`), `object` the thing that
    edits name (`container:agent`).
    """
    found = [*_sockets(confinement, name, object, assumed)]
    root = root_missing(confinement, name, assumed)
    if root is not None:
        ways = (
            *_privileged(confinement, object),
            *_by_capability(confinement, object, assumed),
            *_by_device(confinement, object, assumed),
            *_by_mount(confinement, object, assumed),
            *_by_userns(confinement, object, assumed),
        )
        found += [_with(way, root) for way in ways]
    shields = _shields(confinement, platform, assumed)
    return () if shields is None else tuple(_with(way, shields) for way in found)


def draw(
    builder: Builder, source: str, ways: Iterable[Takeover], siblings: Sequence[str], *, plain: bool = True
) -> None:
    """The ways as edges from `source`, and what engine and host reach once they are taken: `siblings` too.

    `plain`: a socket of the engine's is reached by plain means, whatever follows from it.
    """
    for way in ways:
        for action in way.actions:
            builder.action(action.id, action.title, action.cost, action.origin, action.edit, action.breaks)
        whole = way.permits == ENGINE
        if whole:
            taken(builder, way.target, siblings)
            _draw(builder, source, way.target, way, Mode.PIVOT, None)
        if way.kind == "engine-socket" and (plain or not whole):
            _draw(builder, source, to(Destination.ENGINE), way, Mode.DIRECT, way.permits)


def _draw(
    builder: Builder, source: str, target: str, way: Takeover, mode: Mode, permits: tuple[Permit, ...] | None
) -> None:
    builder.edge(
        source,
        target,
        way.kind,
        way.why,
        mode=mode,
        origin=way.origin,
        permits=permits,
        needs=way.needs,
        actions=tuple(a.id for a in way.actions),
        missing=way.missing,
    )


def taken(builder: Builder, target: str, siblings: Sequence[str]) -> str:
    """The node `engine` or `host` with all that follows from holding it. Said once, however often it is asked for."""
    everything: tuple[tuple[Destination, tuple[Permit, ...]], ...] = (
        (Destination.INTERNET, EVERYWHERE),
        (Destination.PRIVATE, EVERYWHERE),
        (Destination.METADATA, EVERYWHERE),
        (Destination.HOST, HOST),
        (Destination.ENGINE, ENGINE),
        (Destination.DNS, NAMES),
        (Destination.SIBLINGS, (Permit(tuple(siblings)),) if siblings else ()),
    )
    words = {
        "engine": "whoever commands the engine starts a container with the host's network and files",
        "host": "whoever holds the host uses its network",
    }
    builder.node(target, target, f"the {target}, taken over")
    for destination, permits in everything:
        builder.edge(target, to(destination), "taken", words[target], mode=Mode.PIVOT, permits=permits)
    return target


# ---- the ways


def _sockets(confinement: Confinement, name: str, object: str, assumed: Assumed) -> Iterator[Takeover]:
    missing: tuple[Missing, ...] = ()
    if unprivileged(confinement):
        given = assumed.flag(f"root.{name}")
        if given is False:
            return
        if given is None:
            assert confinement.user is not None
            why = f"user {confinement.user.value} of {name} opens the socket only if its mode or group lets it, or as root"
            missing = (Missing(f"root.{name}", why, confinement.user.origin),)
    for index, mount in enumerate(confinement.mounts):
        found = engine_socket(mount)
        if found is None:
            continue
        engine, full, sure = found
        ro = "; read-only does not keep anybody from speaking to it" if mount.read_only else ""
        holds_it = f"{mount.source} is" if sure else f"{mount.source} may hold"
        yield Takeover(
            "engine",
            "engine-socket",
            f"{holds_it} {'the socket of' if sure else 'a socket of'} {engine}, mounted at {mount.target}{ro}"
            if mount.source not in ("/", "/run", "/var/run")
            else f"{mount.source} holds the socket of {engine}, mounted at {mount.target}{ro}",
            mount.origin,
            needs=(f"socket {mount.target}",),
            actions=(_drop_mount(object, index, mount),),
            missing=missing if sure else (*missing, _escape(f"whether {mount.source} holds an engine's socket", mount.origin)),
            permits=ENGINE if full else (Permit((f"{engine} at {mount.target}",)),),
        )  # fmt: skip


def engine_socket(mount: Mount) -> tuple[str, bool, bool] | None:
    """Whose socket a mount is or holds: the engine's name, whether it gives all, whether that is sure."""
    if mount.kind is MountKind.OTHER or _PIPE.search(mount.source):
        return ("Docker", True, True) if _PIPE.search(mount.source) else None
    if mount.kind is not MountKind.BIND:
        return None
    path = host_path(mount.source)
    for socket in _SOCKETS:
        if re.fullmatch(socket.paths, path):
            return socket.name, socket.full, True
    for socket in _SOCKETS:
        if path.startswith("/") and any(_within(stands, path) for stands in socket.stands):
            return socket.name, socket.full, True
    return ("a rootless engine", True, False) if _HOMES_SOCKETS.fullmatch(path) else None


def engine_at(path: str) -> str | None:
    """The engine whose socket has that path, None where it is no engine's."""
    path = host_path(path)
    if path.startswith("/") and _HOMES_SOCKETS.fullmatch(path):
        return "a rootless engine"
    return next((socket.name for socket in _SOCKETS if re.fullmatch(socket.paths, path)), None)


def host_path(source: str) -> str:
    """A path of the host without `.`, `..` and the usual link from /var/run to /run."""
    path = posixpath.normpath(source) if source.startswith("/") else source.rstrip("/") or source
    path = "/" + path.lstrip("/") if path.startswith("//") else path
    return re.sub(r"^(?:/private)?/var/run(?=/|$)", "/run", path)


def _privileged(confinement: Confinement, object: str) -> Iterator[Takeover]:
    if _true(confinement.privileged):
        assert confinement.privileged is not None
        origin = confinement.privileged.origin
        edit: Edit = {"op": "set", "object": object, "field": "privileged", "value": False}
        action = Action(
            f"{object}/privileged", f"take privileged from {_bare(object)}", 1, origin, edit, "devices, mounts"
        )
        yield Takeover(
            "host",
            "privileged",
            "a privileged container has every capability and device of the host",
            origin,
            ("root", "all capabilities"),
            (action,),
        )


def _by_capability(confinement: Confinement, object: str, assumed: Assumed) -> Iterator[Takeover]:
    held = capabilities(_unprivileged(confinement))
    unconfined = _unconfined(confinement.apparmor)

    def way(capability: str, why: str, missing: tuple[Missing, ...] = ()) -> Takeover:
        adding = [(i, c) for i, c in enumerate(confinement.cap_add) if _capability(c.value) in (capability, "ALL")]
        origin = adding[0][1].origin if adding else None
        needs = ("root", f"CAP_{capability}")
        return Takeover(
            "host", "capability", why, origin, needs, drop_capability(confinement, object, capability), missing
        )

    for capability, does in _KERNEL.items():
        if holds(held, capability):
            yield way(capability, f"CAP_{capability} {does}")
    for capability, does in _PERHAPS.items():
        if holds(held, capability) and _escapes(assumed) is not False:
            yield way(capability, f"CAP_{capability} {does}", _escape_missing(f"CAP_{capability} {does}", assumed))
    if holds(held, "SYS_ADMIN") and (unconfined or _escapes(assumed) is not False):
        does = "mounts the host's file systems and loads programs into its kernel"
        missing = () if unconfined else _escape_missing(f"CAP_SYS_ADMIN {does}, unless AppArmor forbids it", assumed)
        yield way("SYS_ADMIN", f"CAP_SYS_ADMIN {does}" + (", AppArmor is off" if unconfined else ""), missing)
    host_processes = confinement.pid is not None and confinement.pid.value == "host"
    if host_processes and holds(held, "SYS_PTRACE") and (unconfined or _escapes(assumed) is not False):
        assert confinement.pid is not None
        does = "with the host's processes in sight writes into any of them"
        missing = () if unconfined else _escape_missing(f"CAP_SYS_PTRACE {does}, unless AppArmor forbids it", assumed)
        found = way("SYS_PTRACE", f"CAP_SYS_PTRACE {does}", missing)
        private = Action(
            f"{object}/pid",
            f"give {_bare(object)} processes of its own",
            1,
            confinement.pid.origin,
            {"op": "set", "object": object, "field": "pid", "value": None},
        )
        yield Takeover(
            "host", "host-processes", found.why, found.origin, found.needs, (*found.actions, private), missing
        )


def _by_device(confinement: Confinement, object: str, assumed: Assumed) -> Iterator[Takeover]:
    for index, device in enumerate(confinement.devices):
        source, _, rest = device.value.partition(":")
        path = posixpath.normpath(source) if source.startswith("/") else source
        rights = rest.rpartition(":")[2] if rest else "rwm"
        edit: Edit = {"op": "remove", "object": object, "field": "devices", "index": index}
        drop = Action(
            f"{object}/devices/{index}", f"take the device {path} from {_bare(object)}", 2, device.origin, edit
        )
        if path == "/dev" or _DISKS.fullmatch(path) or _MEMORY.fullmatch(path):
            what = "the host's memory" if _MEMORY.fullmatch(path) else "the host's disk"
            writes = "w" in rights if re.fullmatch(r"[rwm]+", rights) else True
            missing = () if writes else _escape_missing(f"{path} is only read, but holds the host's secrets", assumed)
            if writes or _escapes(assumed) is not False:
                yield Takeover("host", "device", f"{path} is {what}", device.origin, ("root", path), (drop,), missing)
        elif (
            path == "/dev/net/tun" and holds(capabilities(confinement), "NET_ADMIN") and _escapes(assumed) is not False
        ):
            why = "a tunnel device with CAP_NET_ADMIN hands frames of its own making to the host's kernel"
            actions = (drop, *drop_capability(confinement, object, "NET_ADMIN"))
            missing = _escape_missing(why, assumed)
            yield Takeover("host", "device", why, device.origin, ("root", "CAP_NET_ADMIN", path), actions, missing)


def _by_mount(confinement: Confinement, object: str, assumed: Assumed) -> Iterator[Takeover]:
    for index, mount in enumerate(confinement.mounts):
        if mount.kind is not MountKind.BIND or mount.read_only:
            continue
        path = host_path(mount.source)
        gives = next((what for whole, what in _WHOLE if path == whole), None)
        missing: tuple[Missing, ...] = ()
        if gives is None and _INSIDE.fullmatch(path):
            gives = "what the host itself runs or trusts"
        elif gives is None and (_HOME.fullmatch(path) or _CGROUPS.fullmatch(path)):
            if _escapes(assumed) is False:
                continue
            home = not _CGROUPS.fullmatch(path)
            gives = (
                "what a user of the host runs when he logs in"
                if home
                else "the host's cgroups, with release_agent on version 1"
            )
            missing = _escape_missing(f"a writable {mount.source} gives {gives}", assumed, mount.origin)
        if gives is not None:
            why = f"{mount.source} is mounted writable at {mount.target}: {gives}"
            drop = (_drop_mount(object, index, mount),)
            yield Takeover("host", "host-mount", why, mount.origin, ("root", f"mount {mount.target}"), drop, missing)


def _by_userns(confinement: Confinement, object: str, assumed: Assumed) -> Iterator[Takeover]:
    if confinement.userns is not None and confinement.userns.value == "host" and _escapes(assumed) is not False:
        origin = confinement.userns.origin
        why = "the host's user namespace: where the engine keeps users apart, this container's root is the host's"
        edit: Edit = {"op": "set", "object": object, "field": "userns", "value": None}
        action = Action(f"{object}/userns", f"leave {_bare(object)} in the engine's user namespace", 1, origin, edit)
        yield Takeover("host", "userns", why, origin, ("root",), (action,), _escape_missing(why, assumed, origin))


# ---- small things


def drop_capability(confinement: Confinement, object: str, capability: str) -> tuple[Action, ...]:
    """The edit that takes a capability away: one line, or all of cap_add where several lines give it."""
    giving = [(i, c) for i, c in enumerate(confinement.cap_add) if _capability(c.value) in (capability, "ALL")]
    if not giving:
        return ()
    if len(giving) == 1:
        index, said = giving[0]
        edit: Edit = {"op": "remove", "object": object, "field": "cap_add", "index": index}
        title = f"take CAP_{_capability(said.value)} from {_bare(object)}"
        return (Action(f"{object}/cap_add/{index}", title, 1, said.origin, edit),)
    whole: Edit = {"op": "set", "object": object, "field": "cap_add", "value": []}
    return (
        Action(f"{object}/cap_add", f"take all added capabilities from {_bare(object)}", 2, giving[0][1].origin, whole),
    )


def _drop_mount(object: str, index: int, mount: Mount) -> Action:
    edit: Edit = {"op": "remove", "object": object, "field": "mounts", "index": index}
    title = f"drop the mount of {mount.source} from {_bare(object)}"
    return Action(
        f"{object}/mounts/{index}", title, 2, mount.origin, edit, f"what {_bare(object)} does with {mount.target}"
    )


def _shields(confinement: Confinement, platform: str, assumed: Assumed) -> tuple[Missing, ...] | None:
    """A runtime with a kernel of its own (gVisor, Kata) may hold where runc does not: a Missing; None where it does hold."""
    if confinement.runtime is None or _RUNC.fullmatch(confinement.runtime.value):
        return ()
    name = confinement.runtime.value
    given = assumed.get(f"runtime.{name}")
    if given is not None:
        return None if given == "isolates" else ()
    why = f"whether the runtime {name} of this {platform} host keeps the container from the host's kernel and sockets"
    return (Missing(f"runtime.{name}", why, confinement.runtime.origin),)


def _with(way: Takeover, missing: Sequence[Missing]) -> Takeover:
    if not missing:
        return way
    return Takeover(
        way.target, way.kind, way.why, way.origin, way.needs, way.actions, (*way.missing, *missing), way.permits
    )


def _escapes(assumed: Assumed) -> bool | None:
    return assumed.flag("host.escape")


def _escape(why: str, origin: Origin | None = None) -> Missing:
    return Missing("host.escape", why, origin)


def _escape_missing(why: str, assumed: Assumed, origin: Origin | None = None) -> tuple[Missing, ...]:
    return () if _escapes(assumed) else (_escape(why, origin),)


def _unprivileged(confinement: Confinement) -> Confinement:
    """The same without `privileged`, so that what else it has counts on its own."""
    if not _true(confinement.privileged):
        return confinement
    return Confinement(user=confinement.user, cap_add=confinement.cap_add, cap_drop=confinement.cap_drop)


def _unconfined(profile: Said[str] | None) -> bool:
    return profile is not None and profile.value == "unconfined"


def _true(said: Said[bool] | None) -> bool:
    return said is not None and said.value


def _capability(written: str) -> str:
    name = written.upper()
    return name.removeprefix("CAP_")


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _bare(object: str) -> str:
    return object.partition(":")[2] or object
