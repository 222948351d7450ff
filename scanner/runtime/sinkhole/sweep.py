"""What an observation that was killed left behind, found by its name and label and removed; one that still runs is left alone.

A process is known by its number, the time it started, the PID namespace that counts it and the boot it belongs to: numbers are
used again, and another container's or another machine's say nothing here (proc(5), /proc/PID/stat field 22; pid_namespaces(7);
random(4), boot_id). Whether such an observer lives is told by its pause container, which ends with it.

A label alone is no proof: a container inherits those of its image, and anybody may write one into an image.
"""

import os
import re
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanner.errors import SourceError
from scanner.model import printable
from scanner.runtime.sinkhole import pause
from scanner.sources.engine import ask
from scanner.sources.failures import reason

if TYPE_CHECKING:
    import docker

LABEL = "sandscan.observe"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAME = re.compile(r"sandscan-[0-9a-f]{12}-(pause|guest)")
_BEGINNING = 600
"""Seconds that a pause container may have been made and not yet be started."""
_OVER = ("exited", "dead", "removing", "stopped")
_PAUSE_IMAGE_BYTES = 1 << 16
"""More than any pause image has, in whatever an engine counts."""


def owner() -> str:
    """This process, as the label of all that it makes names it: `PID:START:NAMESPACE:BOOT`."""
    return f"{os.getpid()}:{_started(os.getpid())}:{_here()}"


def is_alive(stated: str) -> bool | None:
    """Whether the process that a label names still lives; None where it is counted elsewhere: in another PID namespace, by another
    machine, or before this one was started. A label in other words names nobody."""
    pid, _, rest = stated.partition(":")
    start, _, place = rest.partition(":")
    if not (pid.isascii() and pid.isdigit() and len(pid) < 10) or not start:
        return False
    return _started(int(pid)) == start if place == _here() else None


def _here() -> str:
    """What counts the processes: `NAMESPACE:BOOT`."""
    return f"{Path('/proc/self/ns/pid').stat().st_ino}:{_BOOT.read_text().strip()}"


def _started(pid: int) -> str:
    """When the process started, in ticks since the boot; "" where there is none, or it is dead and only not yet waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before may hold blanks and parentheses
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")


def sweep(client: "docker.DockerClient", endpoint: str) -> tuple[str, ...]:
    """Remove the containers, with their anonymous volumes, and the volumes of observations whose owner is dead; gives their names.

    Raises SourceError where the engine goes away or does not remove one of them.
    """
    api: Any = client.api
    chosen = {"label": [LABEL]}
    removed = []
    listed = ask(endpoint, lambda: {"all": api.containers(all=True, filters=chosen)}) or {}
    named = [(one, known[1]) for one in listed.get("all") or () if (known := _NAME.fullmatch(_name(one)))]
    held = {_label(one) for one, role in named if role == "pause" and _is_held(one)}
    # the pause last: it holds the namespaces of the others
    for one, _ in sorted(named, key=lambda pair: pair[1] == "pause"):
        name = _name(one)
        if _is_orphan(one, held) and _remove(
            endpoint, name, partial(api.remove_container, one["Id"], v=True, force=True)
        ):
            removed.append(f"container {name}")
    found = (ask(endpoint, partial(api.volumes, filters=chosen)) or {}).get("Volumes") or ()
    for volume in found:
        name = str(volume.get("Name"))
        if _is_orphan(volume, held) and _remove(endpoint, name, partial(api.remove_volume, name, force=True)):
            removed.append(f"volume {name}")
    return tuple(map(printable, removed))


def remove_images(client: "docker.DockerClient", endpoint: str) -> tuple[str, ...]:
    """Remove the pause images, of this and of other versions, where nobody uses them; gives their ids."""
    api: Any = client.api
    listed = ask(endpoint, lambda: {"all": api.images(filters={"label": [pause.LABEL]}, all=False)}) or {}
    removed = []
    for one in listed.get("all") or ():
        identifier = str(one.get("Id"))
        if _is_ours(one) and _remove(endpoint, identifier, partial(api.remove_image, identifier, force=True)):
            removed.append(f"image {printable(identifier.removeprefix('sha256:')[:12])}")
    return tuple(removed)


def _name(container: dict[str, Any]) -> str:
    return str(next(iter(container.get("Names") or ()), "")).removeprefix("/")


def _label(labelled: dict[str, Any]) -> str:
    return str((labelled.get("Labels") or {}).get(LABEL, ""))


def _is_held(pause_container: dict[str, Any]) -> bool:
    """Whether somebody still holds a pause container: it runs, or is about to."""
    state, made = pause_container.get("State"), pause_container.get("Created")
    if state in _OVER:
        return False
    return state in ("running", "paused") or (isinstance(made, int | float) and time.time() - made < _BEGINNING)


def _is_orphan(labelled: dict[str, Any], held: Collection[str]) -> bool:
    alive = is_alive(_label(labelled))
    return not alive if alive is not None else _label(labelled) not in held


def _is_ours(image: dict[str, Any]) -> bool:
    """Whether an image with the pause's label is one: by all its names, or, where a newer one took them, by how small it is."""
    names = [str(name) for name in image.get("RepoTags") or () if name != "<none>:<none>"]
    own = all(
        name.removeprefix("localhost/").removeprefix("docker.io/library/").startswith(f"{pause.REPOSITORY}:")
        for name in names
    )
    return own and (bool(names) or int(image.get("Size") or 0) < _PAUSE_IMAGE_BYTES)


def _remove(endpoint: str, what: str, removal: Any) -> bool:
    """Whether we removed it; False where it was gone, or somebody else is at it."""
    import docker.errors
    import requests

    try:
        removal()
    except docker.errors.NotFound:
        return False
    except docker.errors.APIError as e:
        if e.status_code == 409:  # it is being removed, or in use by an observation that lives
            return False
        raise SourceError(
            f"the engine at {printable(endpoint)} does not remove {printable(what)}, which a killed observation left: {printable(str(e))}"
        ) from e
    except (docker.errors.DockerException, requests.RequestException, OSError) as e:
        raise SourceError(f"the engine at {printable(endpoint)} went away: {reason(e)}") from e
    return True
