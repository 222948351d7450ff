"""A container of an engine: what it is made of, when it ran, what is mounted into it, and whether it runs on this machine.

API: moby, api/swagger.yaml (ContainerInspect); times are RFC 3339 with nanoseconds. Mounts: proc(5), /proc/PID/mountinfo.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanner.errors import TargetError
from scanner.model import printable
from scanner.sources.engine import NAME, ask, connect

if TYPE_CHECKING:
    import docker

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):(\d\d))")
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_READ = os.R_OK | os.X_OK


@dataclass(frozen=True, slots=True)
class EngineMount:
    """Something mounted into a container by its engine: `kind` is bind, volume, tmpfs, … as the engine calls it.

    `source` is a path where the engine runs ("" for a tmpfs), `name` the volume's.
    """

    kind: str
    source: str
    destination: str
    name: str
    writable: bool


@dataclass(frozen=True, slots=True)
class EngineContainer:
    """`image` is the id by which the engine knows the image, `image_name` what the container was started from.

    `pid` is the host's number of its first process, 0 where it does not run or that is not known. Times are seconds since the epoch.
    `local`: the engine runs on this machine, and its pids are those of our /proc. `upper` is the directory that holds
    what the container wrote over its image, where it is on this machine, readable, and its owners are as the container sees them; else None.
    `client` is closed with the resources that `find_container` was given.
    """

    id: str
    name: str
    image: str
    image_name: str
    running: bool
    pid: int
    created: float
    started: float | None
    finished: float | None
    mounts: tuple[EngineMount, ...]
    upper: Path | None
    local: bool
    client: "docker.DockerClient"
    endpoint: str
    inspected: Mapping[str, Any]


def find_container(name: str, resources: ExitStack) -> EngineContainer:
    """The container of that name or id (or the id's beginning), asked of the engine in DOCKER_HOST or the usual one.

    Raises TargetError where there is none, SourceError where no engine answers or it goes away.
    """
    if not NAME.fullmatch(name):
        raise TargetError(f"container:{printable(name)}: this is no container's name or id")
    client, endpoint = connect(
        f"To look at the container {name}", "save its files (docker export) and scan them as rootfs:FILE", resources
    )
    api: Any = client.api
    told = ask(endpoint, partial(api.inspect_container, name), name)
    assert told is not None, "what is wanted is told, or it is an error"
    info = ask(endpoint, api.info) or {}
    state = _object(told.get("State"))
    identifier = str(told["Id"])
    running = state.get("Running") is True
    pid = _number(state.get("Pid")) if running else 0
    driver = _object(_object(told.get("GraphDriver")).get("Data"))
    local = endpoint.startswith("unix:") and (
        is_process_of(pid, identifier) if running else _is_stored_here(info, identifier, driver)
    )
    return EngineContainer(
        id=identifier,
        name=str(told.get("Name") or "").removeprefix("/") or identifier[:12],
        image=str(told.get("Image") or ""),
        image_name=str(_object(told.get("Config")).get("Image") or told.get("ImageName") or ""),
        running=running,
        pid=pid if local else 0,
        created=seconds(told.get("Created")) or 0.0,
        started=seconds(state.get("StartedAt")),
        finished=None if running else seconds(state.get("FinishedAt")),
        mounts=tuple(_mounts(told)),
        upper=_upper(info, driver, identifier, pid) if local else None,
        local=local,
        client=client,
        endpoint=endpoint,
        inspected=told,
    )


def seconds(stated: object) -> float | None:
    """A time of the engine's as seconds since the epoch; None for the zero time, which means never, and for no time at all."""
    found = _TIME.fullmatch(stated) if isinstance(stated, str) else None
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
    try:
        whole = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    if year <= 1:
        return None
    if found[8]:
        away = timedelta(hours=int(found[9]), minutes=int(found[10]))
        whole = whole - away if found[8] == "+" else whole + away
    return whole.timestamp() + int((found[7] or "0").ljust(9, "0")) / 1e9


def is_process_of(pid: int, identifier: str) -> bool:
    """Whether that process of *this* machine belongs to the container.

    An engine in a virtual machine or behind a forwarded socket tells numbers of another kernel. Our own process of
    that number names the container's id in its control group, or in what the engine mounts into every container (its /etc/hosts).
    """
    if pid <= 0 or len(identifier) < 12:
        return False
    for file in ("cgroup", "mountinfo"):
        try:
            if identifier.encode() in Path(f"/proc/{pid}/{file}").read_bytes():
                return True
        except OSError:
            continue
    return False


def _is_stored_here(info: Mapping[str, Any], identifier: str, driver: Mapping[str, Any]) -> bool:
    """Whether the engine's record of a container that does not run, or what it wrote, lies on this machine."""
    root, upper = info.get("DockerRootDir"), driver.get("UpperDir")
    places = [Path(root, "containers", identifier)] if isinstance(root, str) and root.startswith("/") else []
    if isinstance(upper, str) and upper.startswith("/"):
        places.append(Path(upper))
    return any(_is_directory(place) for place in places)


def _upper(info: Mapping[str, Any], driver: Mapping[str, Any], identifier: str, pid: int) -> Path | None:
    """overlay2 tells it in GraphDriver; of the containerd store it stands only in the mount table, while the container runs."""
    if any(str(s).startswith(("name=userns", "name=rootless")) for s in info.get("SecurityOptions") or ()):
        return None  # its owners are mapped: they are not those that the container and its image know
    stated = driver.get("UpperDir")
    if isinstance(stated, str) and stated.startswith("/"):
        return Path(stated) if _is_readable(Path(stated)) else None
    return _mounted_upper(identifier, pid, str(info.get("DockerRootDir") or "/")) if pid else None


def _mounted_upper(identifier: str, pid: int, data: str) -> Path | None:
    """From the engine's own mount of the container's root where we see it, else from the container's.

    What stands in a container's own table may have been mounted by the container, a path of its own in the options: such a
    directory is taken only if it is the container's root, by its inode.
    """
    for options in _overlays("/proc/self/mountinfo", lambda point: identifier.encode() in point.split(b"/")):
        for path in _candidates(options, data):
            if _is_readable(path):
                return path
    for options in _overlays(f"/proc/{pid}/mountinfo", lambda point: point == b"/"):
        for path in _candidates(options, data):
            if _is_readable(path) and is_root_of(path, pid):
                return path
    return None


def _overlays(table: str, wanted: Callable[[bytes], bool]) -> Iterator[dict[bytes, bytes]]:
    """Options of the overlay mounts at the wanted mount points, the last mounted first: it hides the ones before."""
    try:
        lines = Path(table).read_bytes().split(b"\n")
    except OSError:
        return
    for line in reversed(lines):
        mount, _, system = line.partition(b" - ")
        fields, kind = mount.split(b" "), system.split(b" ")
        if len(fields) > 4 and len(kind) > 2 and kind[0] == b"overlay" and wanted(unescape(fields[4])):
            pairs = (option.partition(b"=") for option in kind[2].split(b","))
            yield {key: unescape(value) for key, _, value in pairs}


def unescape(text: bytes) -> bytes:
    r"""A field of a mount table without its octal escapes (`\040` for a space; proc(5))."""
    return _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), text)


def _candidates(options: Mapping[bytes, bytes], data: str) -> Iterator[Path]:
    """What an overlay's `upperdir` may mean: engines mount with relative paths where options grow too long, and escape
    commas and colons once more (kernel documentation, filesystems/overlayfs)."""
    stated = options.get(b"upperdir", b"")
    if not stated:
        return
    lowest = options.get(b"lowerdir", b"").rpartition(b":")[2]
    for text in dict.fromkeys((stated, _ESCAPE.sub(rb"\1", stated))):
        path = Path(os.fsdecode(text))
        if path.is_absolute():
            yield path
            continue
        yield Path(data, "overlay2", path)
        if lowest.startswith(b"/"):
            yield Path(os.fsdecode(lowest)).parent.parent / path


def is_root_of(path: Path, pid: int) -> bool:
    """Whether the directory is what the process sees as `/`: an overlay shows the upper directory's own inode number."""
    try:
        return path.stat().st_ino == Path(f"/proc/{pid}/root/").stat().st_ino
    except OSError:
        return False


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _is_readable(path: Path) -> bool:
    return _is_directory(path) and os.access(path, _READ)


def _mounts(told: Mapping[str, Any]) -> Iterator[EngineMount]:
    """All of `Mounts`, and what `--tmpfs` made, which stands in HostConfig alone."""
    seen = set()
    for mount in told.get("Mounts") or ():
        if isinstance(mount, dict) and isinstance(mount.get("Destination"), str):
            seen.add(mount["Destination"])
            yield EngineMount(
                kind=str(mount.get("Type") or "bind"),
                source=str(mount.get("Source") or ""),
                destination=mount["Destination"],
                name=str(mount.get("Name") or ""),
                writable=mount.get("RW") is not False,
            )
    for destination, options in _object(_object(told.get("HostConfig")).get("Tmpfs")).items():
        if destination not in seen:
            yield EngineMount("tmpfs", "", destination, "", "ro" not in str(options or "").split(","))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 < value < 1 << 31 else 0
