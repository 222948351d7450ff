"""What a run changed: opens what was before and what is after, and compares the two.

Before is an image, as any source gives it. After is a container (its overlay upper directory where it can be read here, else
the engine's export of it), such a directory by itself, a file system, or another image.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from scanner.errors import LayerError, SourceError, TargetError, UsageError
from scanner.model import Descriptor, Kind, Layer, Level, Notification, printable
from scanner.model.run import ChangeKind, FileChange, FileState
from scanner.oci.blob import Blob, TarBlob
from scanner.runtime.changes import mounts
from scanner.runtime.changes.compare import Comparison
from scanner.runtime.changes.kept import Kept
from scanner.runtime.changes.layers import FileLayer, TreeLayer, open_layer
from scanner.runtime.changes.noting import Notes
from scanner.runtime.changes.squash import Met, Squash
from scanner.runtime.changes.streamed import members
from scanner.runtime.spool import MEDIA_TYPE
from scanner.sources.container import EngineContainer, find_container
from scanner.sources.engine import CHUNK, Download, ask
from scanner.sources.plugin import OpenImage, SourceOptions
from scanner.sources.recognise import open_target

_LINKS = 40
"""As many links of one path are followed (MAXSYMLINKS, include/linux/namei.h)."""
CONTENT = 8 << 20
"""A changed file's content is given up to this size."""
WRITABLE, IMAGE = "writable layer", "image"
_CONTAINER, _UPPER = "container:", "upper:"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MADE = frozenset(
    b".dockerenv dev dev/console dev/pts dev/shm dev/mqueue etc etc/hostname etc/hosts etc/mtab etc/resolv.conf proc run "
    b"run/.containerenv run/secrets sys".split()
)
"""What engines make in every container (moby, daemon/initlayer; Podman's of the same kind)."""
_PASSWD = b"etc/passwd"


@dataclass(frozen=True, slots=True)
class Compared:
    """`before` stays open as long as the resources that were given. `changes` are sorted by path, none of them expected yet.

    `layers` is what the run left, to be laid over `before`'s own: files whose content is new, directories, links and devices that
    are new or changed, and a whiteout for what is gone; a file with the same content and another owner or mode is not in it.
    It is empty where nothing changed. `content_before` and `content_after` give a regular file's content by its path, as it
    was and as it is; None where there is none, where it could not be read, or where it is larger than CONTENT. `stands` says
    whether anything that could be read is at a path now.
    """

    before: OpenImage
    changes: tuple[FileChange, ...]
    layers: tuple[Blob, ...]
    notifications: tuple[Notification, ...]
    content_before: Callable[[bytes], bytes | None]
    content_after: Callable[[bytes], bytes | None]
    container: EngineContainer | None
    stands: Callable[[bytes], bool]


def open_pair(
    before: str | None,
    after: str,
    options: SourceOptions,
    resources: ExitStack,
    progress: Callable[[str], None] = lambda _: None,
) -> Compared:
    """Compare what the two arguments mean: `before` an image, or None for a container's own; `after` `container:NAME`,
    `upper:DIR`, `rootfs:DIR|FILE`, or an image. `progress` is told what is being read.

    Raises UsageError for arguments that do not fit together, TargetError, SourceError and LimitError as sources do, LayerError
    where an archive is broken from its first member on. What fails later is a notification.
    """
    if before is not None and before.startswith((_CONTAINER, _UPPER)):
        raise UsageError(
            f"{printable(before)} cannot be what was there before: name the image that the run began with, "
            "and the container after it"
        )
    if after.startswith(_CONTAINER):
        container = find_container(after.removeprefix(_CONTAINER), resources)
        progress(container.image_name if before is None else before)
        image = _image_of(container, options, resources) if before is None else _opened(before, options, resources)
        progress(after)
        return _of_container(image, container, options, resources, own=before is None or _is_own(image, container))
    if before is None:
        raise UsageError(
            f"what {printable(after)} is compared to is missing: name the image first, then this; "
            f"or say container:{printable(after.rpartition(':')[2])} if it is a container, which knows its image"
        )
    progress(before)
    image = _opened(before, options, resources)
    progress(after)
    if after.startswith(_UPPER):
        return _of_upper(image, after.removeprefix(_UPPER), options, resources)
    return _of_image(image, _opened(after, options, resources), options, resources)


def compare_container(
    container: EngineContainer,
    options: SourceOptions,
    resources: ExitStack,
    held: Mapping[bytes, int] | None = None,
) -> Compared:
    """What a container changed of its own image, and of what is mounted into it. `held` is what was in memory, by its place
    (`mounts.hold`), of a container that has ended. Raises as `open_pair`."""
    return _of_container(_image_of(container, options, resources), container, options, resources, held=held)


def _opened(argument: str, options: SourceOptions, resources: ExitStack) -> OpenImage:
    return resources.enter_context(open_target(argument, options))


def _image_of(container: EngineContainer, options: SourceOptions, resources: ExitStack) -> OpenImage:
    try:
        return _opened(f"docker:{container.image}", options, resources)
    except TargetError as e:
        raise TargetError(
            f"the image of the container {printable(container.name)} ({printable(container.image_name)}) is not there any more: {e}. "
            f"Name one that it can be compared to: IMAGE container:{printable(container.name)}"
        ) from e


class _Pair:
    """Before, and all that grows while it is compared."""

    def __init__(
        self, before: OpenImage, options: SourceOptions, resources: ExitStack, made: frozenset[bytes] = frozenset()
    ) -> None:
        self.before, self.options, self.resources = before, options, resources
        self.notes = Notes()
        self.layers = [_layer(blob, options, self.notes, resources) for blob in before.blobs]
        self.squash = Squash(self.layers[::-1], self.notes)
        self.kept = Kept(options.limits, self.notes, resources)
        self.comparison = Comparison(self.squash, self.kept, self.notes, made)

    def finish(self, maker: str, container: EngineContainer | None = None) -> Compared:
        layer = Layer(len(self.before.blobs), None, maker)
        blob = None if self.kept.is_empty else self.kept.blob(layer)
        changes = self.comparison.changes
        latest = {change.path: change for change in changes}
        content_before = partial(_content_before, self.squash)

        def content_after(path: bytes) -> bytes | None:
            change = latest.get(path)
            if change is None or change.change is ChangeKind.METADATA:
                return content_before(path)
            return None if change.after is None else self.kept.content(path, CONTENT)

        def at(path: bytes) -> FileState | None:
            change = latest.get(path)
            if change is not None:
                return change.after
            stood = self.squash.get(path)
            return None if stood is None else stood.state

        users = _users(content_after(_PASSWD) or b"")
        return Compared(
            before=self.before,
            changes=tuple(_owned(change, users) for change in changes),
            layers=() if blob is None else (blob,),
            notifications=self.notes.notifications,
            content_before=content_before,
            content_after=content_after,
            container=container,
            stands=lambda path: _leads(path, at),
        )


def _layer(blob: Blob, options: SourceOptions, notes: Notes, resources: ExitStack) -> FileLayer:
    try:
        return open_layer(blob, options.limits, notes, resources)
    except LayerError as e:
        raise SourceError(str(e)) from e


def _is_own(image: OpenImage, container: EngineContainer) -> bool:
    """Whether the container was made from an image of just these layers, so that what it wrote lies over them."""
    api: Any = container.client.api
    try:
        told = ask(container.endpoint, partial(api.inspect_image, container.image)) or {}
    except SourceError:
        return False
    return tuple((told.get("RootFS") or {}).get("Layers") or ()) == _diff_ids(image)


def _of_container(
    before: OpenImage,
    container: EngineContainer,
    options: SourceOptions,
    resources: ExitStack,
    own: bool = True,
    held: Mapping[bytes, int] | None = None,
) -> Compared:
    """`own`: before is what the container was made from; only then its upper directory is all that differs."""
    table = mounts.mounted(container, held)
    pair = _Pair(before, options, resources, _MADE | mounts.made(table))
    if own and container.upper is not None:
        root = _directory(container.upper, resources)
        upper = Squash([TreeLayer(root, pair.notes, resources, "trusted")], pair.notes)
        pair.comparison.part(upper, WRITABLE)
        _make_sure_of(container.upper, root, pair.notes)
    else:
        pair.comparison.whole(_export(container, pair), WRITABLE)
        pair.notes.add(
            Level.NOTE, "the engine exported the files: their times are what they claim, and any program can set them"
        )
    mounts.compare(container, table, pair.comparison, pair.notes, options.limits)
    if container.running:
        pair.notes.add(Level.NOTE, "the container runs: what changed while its files were read may be missing")
    return pair.finish(f"container {container.name}", container)


def _export(container: EngineContainer, pair: _Pair) -> Iterator[Met]:
    api: Any = container.client.api

    def begin() -> Iterator[bytes]:
        return iter(api.export(container.id, chunk_size=CHUNK))

    stream = Download(container.client, begin, f"the container {printable(container.name)}")
    blob = TarBlob(Layer(0, None), Descriptor(MEDIA_TYPE, None, -1), lambda: stream)
    return members(blob, pair.squash, pair.options.limits, pair.notes)


def _of_upper(before: OpenImage, name: str, options: SourceOptions, resources: ExitStack) -> Compared:
    """An overlay's upper directory that somebody names. Its marks are attributes of the `user` space where the overlay was mounted
    by somebody who is not root, else of the `trusted` one, which only root may read."""
    if not name:
        raise TargetError("upper: names no directory; write for example upper:/var/lib/docker/overlay2/ID/diff")
    pair = _Pair(before, options, resources, _MADE)
    root = _directory(Path(name), resources)
    space = "trusted" if os.geteuid() == 0 and os.fstat(root).st_uid == 0 else "user"
    pair.comparison.part(Squash([TreeLayer(root, pair.notes, resources, space)], pair.notes), WRITABLE)
    _make_sure_of(Path(name), root, pair.notes)
    return pair.finish(f"the upper directory {name}")


def _of_image(before: OpenImage, after: OpenImage, options: SourceOptions, resources: ExitStack) -> Compared:
    """Another image, or a file system. Where its layers begin with before's own, only the rest needs a look."""
    is_tree = after.target.source == "rootfs"
    pair = _Pair(before, options, resources, _MADE if is_tree else frozenset())
    one, other = _diff_ids(before), _diff_ids(after)
    place = WRITABLE if is_tree else IMAGE
    tars = [blob for blob in after.blobs if isinstance(blob, TarBlob)] if is_tree else []
    if tars:
        pair.comparison.whole(members(tars[0], pair.squash, options.limits, pair.notes), place)
    else:
        shared = len(one) if None not in one and other[: len(one)] == one else 0
        rest = [_layer(blob, options, pair.notes, resources) for blob in after.blobs[shared:]]
        whole = Squash([*pair.layers[:shared], *rest][::-1], pair.notes)
        if shared:
            pair.comparison.part(Squash(rest[::-1], pair.notes, whole), place)
        else:
            pair.comparison.whole(whole.walk(), place)
    return pair.finish(f"{after.target.source}:{after.target.name}")


def _diff_ids(image: OpenImage) -> tuple[str | None, ...]:
    return tuple(layer.diff_id for layer in image.image.layers)


def _directory(path: Path, resources: ExitStack) -> int:
    try:
        fd = os.open(path, _DIRECTORY)
    except (OSError, ValueError) as e:
        raise TargetError(
            f"cannot read the directory {printable(str(path))}: {getattr(e, 'strerror', None) or e}"
        ) from e
    resources.callback(os.close, fd)
    return fd


def _make_sure_of(path: Path, fd: int, notes: Notes) -> None:
    """That it is still there: an engine that removes a container takes its files away under our eyes, one by one."""
    try:
        same = os.path.samestat(path.stat(), os.fstat(fd))
    except OSError:
        same = False
    if not same:
        notes.warn(f"the directory {printable(str(path))} was removed or replaced while it was read")


def _content_before(squash: Squash, path: bytes) -> bytes | None:
    stood = squash.get(path)
    if stood is None or stood.state.kind is not Kind.FILE or stood.state.size > CONTENT:
        return None
    try:
        return b"".join(stood.chunks())
    except OSError:
        return None


def _leads(path: bytes, at: Callable[[bytes], FileState | None]) -> bool:
    """Whether a path leads to anything, links followed within the root (path_resolution(7))."""
    left, links = path.split(b"/")[::-1], 0
    above: list[bytes] = []
    while left:
        name = left.pop()
        if name in (b"", b".", b".."):
            above = above[:-1] if name == b".." else above
            continue
        state = at(b"/".join((*above, name)))
        if state is not None and state.kind is Kind.SYMLINK:
            links += 1
            target = state.link_target or b""
            above = [] if target.startswith(b"/") else above
            left += target.split(b"/")[::-1]
            if links > _LINKS:
                return False
            continue
        if state is None and not left:
            return False
        above = [*above, name]  # what is no file here may be a mount's own directory
    return True


def _owned(change: FileChange, users: Mapping[int, str]) -> FileChange:
    state = change.after or change.before
    user = None if state is None else users.get(state.uid)
    return change if user is None else replace(change, user=user)


def _users(passwd: bytes) -> Mapping[int, str]:
    """Names by uid, the first of several (passwd(5))."""
    users: dict[int, str] = {}
    for line in passwd.splitlines()[:10_000]:
        fields = line.split(b":")
        if len(fields) > 3 and fields[2].isdigit() and len(fields[2]) <= 10:
            users.setdefault(int(fields[2]), printable(fields[0].decode("utf-8", "replace")))
    return users
