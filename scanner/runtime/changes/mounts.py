"""What a run changed in what is mounted into its container: volumes, folders of the host, file systems in memory, its own mounts.

No image tells what was in them before. A file counts as changed if its status change time is not older than the container: no
program can set that time (inode(7)), only the machine's clock could. In memory (tmpfs) everything is the container's. What cannot be
read is said. A mount that the container may only read is left out: whatever changed in it was not the container's doing, and
where the same files are mounted a second time so that it can write them, they are found there.

Of a running container they are read as it sees them, below /proc/PID/root, step by step and without following a link: what the
container puts in the way leads nowhere. Mount tables: proc(5), /proc/PID/mountinfo.
"""

import ctypes
import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from scanner.model import Limits, printable
from scanner.oci.tree import PSEUDO, pseudo_devices
from scanner.runtime.changes.compare import Comparison
from scanner.runtime.changes.layers import Stood, TreeLayer
from scanner.runtime.changes.noting import Notes
from scanner.sources.container import EngineContainer, EngineMount, is_process_of, is_root_of, unescape

ENTRIES = 1_000_000
"""Files of one mount that are looked at."""
MADE_INSIDE = "mount made inside"
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DEVICE = re.compile(rb"\d{1,9}:\d{1,9}")
_MEMORY = ("tmpfs", "ramfs")
_LOCAL = frozenset("ext2 ext3 ext4 xfs btrfs f2fs zfs bcachefs overlay tmpfs ramfs squashfs erofs vfat exfat".split())
"""File systems that answer by themselves: one that a container mounts may be served by the container, and never answer."""
_ENGINES_FILES = frozenset(b"etc/hosts etc/hostname etc/resolv.conf run/.containerenv run/secrets".split())
_DEVICES = frozenset(b"console core fd full null ptmx random stderr stdin stdout tty urandom zero".split())
"""What a runtime puts into every /dev (OCI runtime-spec, config-linux.md, Default Devices and Dev symbolic links)."""
_AS_MADE = (stat.S_IFCHR, stat.S_IFLNK)
_MOUNTS = (b"mqueue", b"pts", b"shm")
"""Places in /dev where a runtime mounts something."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """One mount: `point` without a leading slash; `number` is the kernel's, None where it is told by the engine alone.

    `root` is the folder of the file system (`device`) that is mounted, `kind` the file system's. `held` is a descriptor that keeps it
    from going with its container.
    """

    point: bytes
    place: str
    writable: bool
    number: int | None = None
    device: int = 0
    root: bytes = b"/"
    kind: str = ""
    told: EngineMount | None = None
    held: int | None = None

    @property
    def shown(self) -> str:
        return f"{self.place} at /{printable(os.fsdecode(self.point))}"


def hold(pid: int, points: Iterable[bytes], resources: ExitStack) -> dict[bytes, int]:
    """Descriptors of what is mounted at these places of a process's root, which keep it when the process ends, closed with the
    resources. Places where nothing is mounted, where a link stands in the way, or of a process that has ended are left out."""
    held: dict[bytes, int] = {}
    try:
        top = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return held
    with ExitStack() as steps:
        steps.callback(os.close, top)
        for point in points:
            at = top
            try:
                for name in point.strip(b"/").split(b"/"):
                    at = _step(name, at, steps)
                info = os.fstat(at)
                if not stat.S_ISDIR(info.st_mode) or info.st_dev == os.fstat(top).st_dev:
                    continue
                held[point.strip(b"/")] = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
            except OSError:
                continue
            resources.callback(os.close, held[point.strip(b"/")])
    return held


def mounted(container: EngineContainer, held: Mapping[bytes, int] | None = None) -> tuple[Mounted, ...]:
    """Everything mounted into a container but its root, pseudo file systems and the files that its engine keeps for it.

    Of one that has ended, what was in memory is there where it was `held`.

    From the kernel where it runs on this machine, and from its engine, which does not know what was mounted inside: but what only
    the engine names is what the container's first process has taken out of its own sight.
    """
    if container.pid:
        try:
            lines = Path(f"/proc/{container.pid}/mountinfo").read_bytes().split(b"\n")
        except OSError:
            lines = []
        found = list(_from_kernel(lines, container))
        points = {mount.point for mount in found}
        return tuple(found + [mount for mount in _from_engine(container) if mount.point not in points])
    kept = dict(held or {})
    found = [replace(m, held=kept.pop(m.point, None)) for m in _from_engine(container)]
    found = [m if m.held is None else replace(m, kind="tmpfs") for m in found]
    return (*found, *(Mounted(point, "tmpfs", True, kind="tmpfs", held=fd) for point, fd in kept.items()))


def made(table: Sequence[Mounted]) -> frozenset[bytes]:
    """The places that a runtime makes for mounts where the image has none, and the directories above them."""
    found = set()
    for mount in table:
        path = mount.point
        while path:
            found.add(path)
            path = path.rpartition(b"/")[0]
    return frozenset(found)


def compare(
    container: EngineContainer,
    table: Sequence[Mounted],
    comparison: Comparison,
    notes: Notes,
    limits: Limits,
) -> None:
    """Add the files of all mounts that the run may have changed to the comparison; what cannot be read is noted."""
    if container.pid:
        _look_for_other_views(container, notes)
    points = frozenset(mount.point for mount in table)
    devices = _devices()
    seen: list[tuple[int, bytes]] = []
    for mount in sorted(table, key=lambda m: (m.told is None, m.point)):
        if not mount.writable or mount.kind in PSEUDO:
            continue
        if mount.number is not None and any(
            device == mount.device and (root == mount.root or mount.root.startswith(root.rstrip(b"/") + b"/"))
            for device, root in seen
        ):
            continue  # the same files, seen at another place already
        try:
            with ExitStack() as opened:
                layer, top = _opened(container, mount, notes, opened)
                for path, stood, is_new in _changed(
                    container, mount, layer, top, points, notes, min(ENTRIES, limits.layer_entries), devices
                ):
                    told = mount.told is not None and mount.told.kind == "volume"
                    comparison.mounted(path, stood, mount.place, from_image=told, is_new=is_new)
            seen.append((mount.device, mount.root))
        except OSError as e:
            notes.unseen(f"not read: {mount.shown}: {e.strerror or e}", mount.point)


def _from_engine(container: EngineContainer) -> Iterator[Mounted]:
    for told in container.mounts:
        yield Mounted(os.fsencode(told.destination.strip("/")), _place(told), told.writable, told=told)


def _from_kernel(lines: Sequence[bytes], container: EngineContainer) -> Iterator[Mounted]:
    found: list[Mounted] = []
    told = {os.fsencode(m.destination.strip("/")): m for m in container.mounts}
    own = None
    for line in lines:
        before, _, system = line.partition(b" - ")
        fields, rest = before.split(b" "), system.split(b" ")
        if len(fields) < 6 or len(rest) < 3 or _DEVICE.fullmatch(fields[2]) is None or not fields[0].isdigit():
            continue
        point, root = unescape(fields[4]).strip(b"/"), unescape(fields[3])
        major, _, minor = fields[2].partition(b":")
        device = os.makedev(int(major), int(minor))
        kind = os.fsdecode(rest[0])
        if not point:
            own = device
            continue
        writable = b"ro" not in fields[5].split(b",") and b"ro" not in rest[2].split(b",")
        if kind in PSEUDO or (point.partition(b"/")[0] in (b"proc", b"sys") and (not writable or root == b"/null")):
            continue  # the kernel's, or what a runtime puts over a part of it
        if point in _ENGINES_FILES and container.id.encode() in root:
            continue
        mount = told.pop(point, None)  # whatever is mounted over it later is not the engine's
        if mount is not None:
            place = _place(mount)
        else:
            place = "tmpfs" if kind == "tmpfs" and point in (b"dev", b"dev/shm") else MADE_INSIDE
        found.append(Mounted(point, place, writable, int(fields[0]), device, root, kind, mount))
    # a piece of the container's own root, mounted once more, is compared with the image already
    return iter([m for m in found if m.device != own])


def _place(told: EngineMount) -> str:
    if told.kind == "volume":
        return f"volume {printable(told.name)}"
    return f"bind mount {printable(told.source)}" if told.kind == "bind" else told.kind


def _devices() -> frozenset[int]:
    """Of the file systems that are mounted on the host, where we see it."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().split(b"\n")
    except OSError:
        return frozenset()
    found = (_DEVICE.fullmatch(line.split(b" ")[2]) for line in lines if line.count(b" ") > 2)
    return frozenset(os.makedev(*map(int, one[0].split(b":"))) for one in found if one is not None)


def _look_for_other_views(container: EngineContainer, notes: Notes) -> None:
    """Mounts are those that the first process sees. Others may have mount namespaces of their own (mount_namespaces(7)), and it may
    have gone to another root itself."""
    try:
        Path(f"/proc/{container.pid}/root/").stat()
    except PermissionError:
        notes.unseen("the root of the container's first process: only root may look at it, and mounts may be missing")
        return
    except OSError:
        pass  # it has ended: whoever reads its mounts says so
    if container.upper is not None and not is_root_of(container.upper, container.pid):
        notes.unseen("the container's first process has another root than its engine gave it: mounts may be missing")
    seen = _namespace(container.pid)
    others = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and (namespace := _namespace(int(process.name))) not in (seen, None):
            try:
                belongs = container.id.encode() in (process / "cgroup").read_bytes()
            except OSError:
                continue
            if belongs:
                others.add(namespace)
    if others:
        notes.unseen(
            f"processes of the container have {len(others)} mount namespaces of their own: what is mounted there was not read"
        )


def _namespace(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return None


def _opened(
    container: EngineContainer, mount: Mounted, notes: Notes, resources: ExitStack
) -> tuple[TreeLayer, bytes | None]:
    """The layer in which the mount's files are found, and the mount's name in it where it is a single file."""
    if mount.held is not None:
        root = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount.held)
        resources.callback(os.close, root)
        return TreeLayer(root, notes, resources), None
    if mount.number is not None:
        if mount.kind.startswith("fuse") or (mount.told is None and mount.kind not in _LOCAL):
            raise OSError(
                0, f"a file system of the kind {printable(mount.kind)}, which whoever serves it may keep from answering"
            )
        top, path = f"/proc/{container.pid}/root", mount.point
    elif not container.local:
        raise OSError(0, "it is not on this machine")
    elif mount.told is None or mount.told.kind not in ("volume", "bind"):
        went = "the container took it away" if container.running else "it went away when the container stopped"
        raise OSError(0, went)
    else:
        top, path = "/", os.fsencode(mount.told.source.strip("/"))
    at = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    resources.callback(os.close, at)
    if mount.number is not None and not is_process_of(container.pid, container.id):
        raise OSError(0, "the container stopped meanwhile")
    *parents, last = path.split(b"/") if path else [b"."]
    for name in parents:
        at = _step(name, at, resources)
    fd = _step(last, at, resources)
    if mount.number is not None and _number_of(fd) != mount.number:
        raise OSError(0, "something else is mounted over it, or at its place")
    mode = os.fstat(fd).st_mode
    if mount.number is None and os.fstat(fd).st_dev in pseudo_devices():
        raise OSError(0, "it is a file system of the kernel's")
    if stat.S_ISDIR(mode):
        root = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        resources.callback(os.close, root)
        return TreeLayer(root, notes, resources), None
    return TreeLayer(at, notes, resources), last


def _step(name: bytes, at: int, resources: ExitStack) -> int:
    fd = os.open(name, _STEP, dir_fd=at)
    resources.callback(os.close, fd)
    if stat.S_ISLNK(os.fstat(fd).st_mode):
        raise OSError(0, f"a link stands in its way, at {printable(os.fsdecode(name))}: no link is followed")
    return fd


def _number_of(fd: int) -> int | None:
    """Of the mount that a descriptor is in (proc(5), /proc/PID/fdinfo)."""
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
        if line.startswith("mnt_id:"):
            return int(line.split()[1])
    return None


def _changed(
    container: EngineContainer,
    mount: Mounted,
    layer: TreeLayer,
    single: bytes | None,
    points: frozenset[bytes],
    notes: Notes,
    most: int,
    devices: frozenset[int],
) -> Iterator[tuple[bytes, Stood, bool]]:
    """Files that count as changed, by their path in the container, and whether they are younger than it.

    `devices` are those of the host's own mounts: what is in memory there is not the container's alone.
    """
    is_memory = mount.kind in _MEMORY and mount.device not in devices
    since = container.created

    def look(within: bytes, info: os.stat_result) -> tuple[Stood, bool] | None:
        if not is_memory and info.st_ctime < since:
            return None
        stood = layer.get(within)
        if not isinstance(stood, Stood):
            return None
        if is_memory:
            return stood, True
        directory, _, name = within.rpartition(b"/")
        born = _born(layer.directory(directory), name)
        return stood, born is None or born >= since

    if single is not None:
        if (found := look(single, layer.stat(single))) is not None:
            yield mount.point, *found
        return
    count = 0
    device, pseudo = os.fstat(layer.directory(b"")).st_dev, pseudo_devices()
    pending = [b""]
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(layer.directory(directory)) as listing:
                entries = sorted(listing, key=lambda e: e.name)
        except FileNotFoundError:
            notes.vanished(_join(mount.point, directory))
            continue
        except OSError as e:
            notes.warn(f"cannot be read: {e.strerror or e}", _join(mount.point, directory))
            continue
        inner = []
        for entry in entries:
            count += 1
            if count > most:
                raise OSError(0, f"it has more than {most} files, those after the first {most} were not looked at")
            name = os.fsencode(entry.name)
            within = _join(directory, name)
            path = _join(mount.point, within)
            if path in points:
                continue
            try:
                info = entry.stat(follow_symlinks=False)
                # root of the container may have put something else in the place of what a runtime makes
                if mount.point == b"dev" and (
                    (within in _DEVICES and stat.S_IFMT(info.st_mode) in _AS_MADE)
                    or (within in _MOUNTS and info.st_dev != device)
                ):
                    continue
                if info.st_dev != device:
                    if info.st_dev not in pseudo:
                        notes.warn("another file system begins here: not read", path)
                    continue
                if stat.S_ISDIR(info.st_mode):
                    inner.append(within)
                found = look(within, info)
            except FileNotFoundError:
                notes.vanished(path)
                continue
            except OSError as e:
                notes.warn(f"cannot be read: {e.strerror or e}", path)
                continue
            if found is not None:
                yield path, *found
        pending += reversed(inner)


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory and name else directory or name


_BIRTH = 0x800
_STATX = struct.Struct("<I76xqI")
"""statx(2): the mask of what is told, and the time of birth, seconds and nanoseconds."""


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _born(directory: int, name: bytes) -> float | None:
    """When a file was made; None where its file system does not know."""
    buffer = ctypes.create_string_buffer(256)
    try:
        done = _libc().statx(directory, name, 0x100, _BIRTH, buffer)  # AT_SYMLINK_NOFOLLOW
    except AttributeError:  # a C library without it
        return None
    mask, seconds, nanoseconds = _STATX.unpack_from(buffer)
    return seconds + nanoseconds / 1e9 if done == 0 and mask & _BIRTH else None
