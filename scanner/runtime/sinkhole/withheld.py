"""A launch as an observation runs it: what it says, less what would let the guest out, let it at the host, or past its limits.

Pure: a launch's values in, the guest's settings and what was withheld out. Capabilities: capabilities(7); how an engine adds
and drops them: moby, oci/caps/utils.go.
"""

import ipaddress
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import singledispatch
from types import MappingProxyType

from scanner.egress.takeover import DEFAULT_CAPABILITIES, capabilities, holds
from scanner.model import printable
from scanner.model.launch import (
    Attachment,
    Confinement,
    Container,
    Hosted,
    Launch,
    Missing,
    Mount,
    MountKind,
    Pod,
    PodContainer,
    Said,
)
from scanner.model.run import Withheld
from scanner.runtime.sinkhole.addresses import GATEWAY4

Sandbox = Container | Pod | Hosted

GUEST_DEFAULT = DEFAULT_CAPABILITIES - {"NET_RAW"}
"""Docker's own, less NET_RAW; NET_ADMIN is not among them."""
_GIVEN = DEFAULT_CAPABILITIES | {"IPC_LOCK", "IPC_OWNER", "LEASE", "NET_ADMIN", "NET_BROADCAST", "SYS_TTY_CONFIG"}
"""What stays within the guest's own namespaces; of them NET_RAW and NET_ADMIN only where the launch itself names them."""
_OUT = {
    "AUDIT_CONTROL": "it changes the host's audit",
    "AUDIT_READ": "it reads the host's audit",
    "BLOCK_SUSPEND": "it keeps the host awake",
    "BPF": "it loads programs into the host's kernel",
    "CHECKPOINT_RESTORE": "it reaches into other processes",
    "DAC_READ_SEARCH": "it opens files of the host by their handles",
    "LINUX_IMMUTABLE": "what it makes immutable could not be removed afterwards",
    "MAC_ADMIN": "it changes the host's mandatory access control",
    "MAC_OVERRIDE": "it passes the host's mandatory access control",
    "PERFMON": "it watches the host's kernel",
    "SYSLOG": "it reads the host's kernel log",
    "SYS_ADMIN": "it mounts, enters namespaces and so leaves the container",
    "SYS_BOOT": "it restarts the host",
    "SYS_MODULE": "it loads code into the host's kernel",
    "SYS_NICE": "it passes the limit on CPU time",
    "SYS_PACCT": "it changes the host's accounting",
    "SYS_PTRACE": "it could keep the container alive beyond the observation",
    "SYS_RAWIO": "it reaches the host's devices",
    "SYS_RESOURCE": "it passes the limits",
    "SYS_TIME": "it sets the host's clock",
    "WAKE_ALARM": "it wakes the host",
}
CAPABILITIES = _GIVEN | frozenset(_OUT)
"""All of Linux 6."""

MOUNTS = 64
_KEPT = ("/dev", "/proc", "/sys")
_SHARED = "/dev/shm"  # noqa: S108 - of the guest
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_UNREAD = Withheld(
    "ulimits, limits of CPU, memory and processes",
    "those of the observation hold",
)
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_OWN = frozenset(("", "private", "shareable", "default"))
_SAME = frozenset(("default", "runtime/default", "docker-default", "builtin"))
RUNTIMES = ("runc", "crun", "io.containerd.runc.v2")
"""Those that run a container's processes on this kernel and give them nothing that was not asked for, the first one first."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a guest is started; None is the image's own. `tmpfs` are (path, read-only) of empty directories in memory, `volumes` paths of
    empty volumes; `hosts` lines of /etc/hosts (name, address); `names` what other names of the launch resolve to."""

    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    capabilities: frozenset[str] = GUEST_DEFAULT
    no_new_privileges: bool = False
    read_only: bool = False
    working_dir: str | None = None
    tmpfs: tuple[tuple[str, bool], ...] = ()
    volumes: tuple[str, ...] = ()
    hostname: str | None = None
    hosts: tuple[tuple[str, str], ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    image: str | None = None


@singledispatch
def as_launched(sandbox: Sandbox, _: Launch) -> tuple[Settings, tuple[Withheld, ...]]:
    """How a sandbox of the launch is observed, and what of the launch it does not get, each thing once."""
    raise AssertionError(f"a launch starts no {type(sandbox).__name__}")


@as_launched.register
def _container(one: Container, launch: Launch) -> tuple[Settings, tuple[Withheld, ...]]:
    left = [_UNREAD]
    mode = one.network_mode.value
    if mode == "host" or mode.startswith("container:"):
        left.append(Withheld(f"network {printable(mode)}", "every way out ends in the sinkhole"))
    for port in one.published:
        shown = f"{port.host_port or 'any'}:{port.port}/{printable(port.protocol)}"
        left.append(Withheld(f"published port {shown}", "nobody outside is to reach the guest"))
    own = {*(_words(one.entrypoint) or ()), *(_words(one.command) or ())}
    for script in one.scripts:
        if script.text not in own:  # what `sh -c` is given is the command itself
            left.append(Withheld(printable(script.where), "the guest's own command is run, and no script beside it"))
    left += _open(one.missing)
    hosts = tuple(_hosts(((name, said.value) for name, said in one.extra_hosts), left))
    hostname = one.hostname
    if hostname is not None and not _HOST_NAME.fullmatch(hostname):
        left.append(Withheld(f"host name {printable(hostname)}", "it is none"))
        hostname = None
    settings = replace(
        _confined(one.confinement, left),
        entrypoint=_words(one.entrypoint),
        command=_words(one.command),
        working_dir=one.working_dir,
        environment=tuple(_variables(one.environment, left)),
        hostname=hostname,
        hosts=hosts,
        names=MappingProxyType(dict(_siblings(launch, one))),
        image=one.image.value if one.image is not None else None,
    )
    return settings, _once(left)


@as_launched.register
def _pod(one: Pod, _: Launch) -> tuple[Settings, tuple[Withheld, ...]]:
    left = [_UNREAD]
    if one.host_network is not None and one.host_network.value:
        left.append(Withheld("network host", "every way out ends in the sinkhole"))
    if one.token_mounted.value:
        left.append(Withheld("service account's token", "no credential of the cluster is given"))
    main = next((c for c in one.containers if not c.init), None)
    for other in one.containers:
        if other is not main:
            left.append(Withheld(f"container {printable(other.name)}", "one container of the pod is observed"))
    left += _open(one.missing)
    hosts = tuple(_hosts(((name, said.value) for name, said in one.host_aliases), left))
    if main is None:
        return Settings(hosts=hosts), _once(left)
    return _pod_container(main, one.name, hosts, left)


def _pod_container(
    one: PodContainer, name: str, hosts: tuple[tuple[str, str], ...], left: list[Withheld]
) -> tuple[Settings, tuple[Withheld, ...]]:
    for port in one.host_ports:
        left.append(Withheld(f"host port {port.value}", "nobody outside is to reach the guest"))
    settings = replace(
        _confined(one.confinement, left),
        entrypoint=_words(one.entrypoint),
        command=_words(one.command),
        working_dir=one.working_dir,
        environment=tuple(_variables(one.environment, left)),
        hostname=name if _HOST_NAME.fullmatch(name) else None,
        hosts=hosts,
        image=one.image.value if one.image is not None else None,
    )
    return settings, _once(left)


@as_launched.register
def _hosted(one: Hosted, _: Launch) -> tuple[Settings, tuple[Withheld, ...]]:
    left = [_UNREAD, *_open(one.missing)]
    settings = replace(
        _confined(one.confinement, left),
        environment=tuple(_variables(one.environment, left)),
        image=one.image.value if one.image is not None else None,
    )
    return settings, _once(left)


def _confined(held: Confinement, left: list[Withheld]) -> Settings:
    """The settings that a Confinement decides: user, capabilities, mounts."""
    modes = {"pid": held.pid, "ipc": held.ipc, "uts": held.uts, "user": held.userns, "cgroup": held.cgroup}
    for kind, said in modes.items():
        if said is not None and said.value not in _OWN:
            left.append(Withheld(f"{kind} namespace {printable(said.value)}", "the guest has namespaces of its own"))
    for device in held.devices:
        left.append(Withheld(f"device {printable(device.value)}", "no device of the host is given"))
    if held.gpus is not None:
        left.append(Withheld(f"GPUs {printable(held.gpus.value)}", "no device of the host is given"))
    for name, said in held.sysctls:
        left.append(Withheld(f"sysctl {printable(name)}={printable(said.value)}", "the sinkhole sets its own"))
    if held.seccomp is not None and held.seccomp.value not in _SAME:
        left.append(Withheld(f"seccomp {printable(held.seccomp.value)}", "sandscan's own profile holds"))
    if held.apparmor is not None and held.apparmor.value not in _SAME:
        left.append(Withheld(f"AppArmor {printable(held.apparmor.value)}", "the engine's default profile holds"))
    for option in held.security_opts:
        left.append(Withheld(f"security option {printable(option.value)}", "the engine's default holds"))
    if held.runtime is not None and held.runtime.value not in ("", *RUNTIMES):
        left.append(Withheld(f"runtime {printable(held.runtime.value)}", "the engine's default runs the guest"))
    tmpfs, volumes = _mounts(held.mounts, left)
    return Settings(
        user=held.user.value if held.user is not None else None,
        capabilities=_capabilities(held, left),
        no_new_privileges=held.no_new_privileges is not None and held.no_new_privileges.value,
        read_only=held.read_only is not None and held.read_only.value,
        tmpfs=tmpfs,
        volumes=volumes,
    )


def _capabilities(confinement: Confinement, left: list[Withheld]) -> frozenset[str]:
    """Those that are given. NET_RAW is only where the launch says so: by name, by ALL, by being privileged."""
    held = capabilities(confinement)
    if confinement.privileged is not None and confinement.privileged.value:
        left.append(Withheld("privileged", "only the capabilities that stay within the guest's namespaces are given"))
    added = {said.value.upper().removeprefix("CAP_") for said in confinement.cap_add} - {"ALL"}
    granted = {name for name in CAPABILITIES | added if holds(held, name)}
    for one in sorted(granted - _GIVEN):
        left.append(Withheld(f"capability {printable(one)}", _OUT.get(one, "it is not known what it opens")))
    if "NET_RAW" in granted and "ALL" not in held and "NET_RAW" not in added:
        left.append(Withheld("capability NET_RAW", "the engine's default has it, the launch does not name it"))
        granted.remove("NET_RAW")
    return frozenset(granted & _GIVEN)


def _mounts(mounts: Iterable[Mount], left: list[Withheld]) -> tuple[tuple[tuple[str, bool], ...], tuple[str, ...]]:
    tmpfs: dict[str, bool] = {}
    volumes: dict[str, None] = {}
    for mount in mounts:
        shown = f"{printable(mount.source) or 'nothing'} at {printable(mount.target)}"
        kind = {MountKind.BIND: "host path", MountKind.VOLUME: "volume"}.get(mount.kind, f"{mount.kind} mount")
        path = posixpath.normpath("/" + mount.target.lstrip("/"))
        if "\0" in path or _is_kept(path):
            left.append(Withheld(f"{kind} {shown}", "nothing is mounted there"))
        elif len(tmpfs) + len(volumes) >= MOUNTS:
            left.append(Withheld(f"{kind} {shown}", f"no more than {MOUNTS} mounts are made"))
        elif mount.kind is MountKind.TMPFS:
            tmpfs[path] = mount.read_only
        elif mount.kind is MountKind.VOLUME:
            if mount.source:
                left.append(Withheld(f"volume {shown}", "an empty volume stands in its place"))
            volumes[path] = None
        elif _is_file(mount, path):
            left.append(Withheld(f"{kind} {shown}", "no file of the host is given"))
        else:
            left.append(Withheld(f"{kind} {shown}", "an empty directory stands in its place"))
            tmpfs[path] = mount.read_only
    return tuple(tmpfs.items()), tuple(path for path in volumes if path not in tmpfs)


def _is_kept(path: str) -> bool:
    """Whether the engine mounts something there itself, without which the guest would not start."""
    return path == "/" or (path != _SHARED and any(path == k or path.startswith(k + "/") for k in _KEPT))


def _is_file(mount: Mount, path: str) -> bool:
    """Whether a single file is mounted: its text is known, or its name has an ending (`docker.sock`, `settings.json`)."""
    return mount.content is not None or "." in posixpath.basename(path).lstrip(".")


def _hosts(pairs: Iterable[tuple[str, str]], left: list[Withheld]) -> Iterator[tuple[str, str]]:
    for name, stated in pairs:
        address = GATEWAY4 if stated == "host-gateway" else stated.strip("[]")
        try:
            ipaddress.ip_address(address)
        except ValueError:
            address = ""
        if address and _NAME.fullmatch(name):
            yield name, address
        else:
            left.append(Withheld(f"host {printable(name)}={printable(stated)}", "it is no name with an address"))


def _variables(pairs: Iterable[tuple[str, Said[str | None]]], left: list[Withheld]) -> Iterator[tuple[str, str]]:
    """Values that the launch holds, secrets included: without them the guest would not be what is launched."""
    for name, said in pairs:
        if said.value is None:
            left.append(Withheld(f"environment {printable(name)}", "the launch takes it from whoever launches"))
        elif name and "=" not in name and "\0" not in name + said.value:
            yield name, said.value


def _siblings(launch: Launch, own: Container) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of the launch's other containers that have addresses of their own; every other name gets one from the sinkhole."""
    for other in launch.containers:
        addresses = tuple(a for place in other.attachments for a in _fixed(place))
        if other is own or not addresses:
            continue
        aliases = (alias for place in other.attachments for alias in place.aliases)
        for name in dict.fromkeys((other.name, *([other.container_name] if other.container_name else []), *aliases)):
            yield name.lower(), addresses


def _fixed(place: Attachment) -> Iterator[str]:
    for stated in (place.ipv4, place.ipv6):
        try:
            yield str(ipaddress.ip_address((stated or "").partition("/")[0]))
        except ValueError:
            continue


def _open(missing: Iterable[Missing]) -> Iterator[Withheld]:
    for one in missing:
        yield Withheld(printable(one.key), f"the launch leaves it open: {printable(one.why)}")


def _words(said: tuple[Said[str], ...] | None) -> tuple[str, ...] | None:
    return tuple(one.value for one in said) if said is not None else None


def _once(left: Iterable[Withheld]) -> tuple[Withheld, ...]:
    return tuple(dict.fromkeys(left))
