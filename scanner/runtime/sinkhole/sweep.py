"""What an observation that was killed left behind, found by its label and removed; one that still runs is left alone.

A process is known by its number, the time it started and the boot it belongs to: numbers are used again (proc(5),
/proc/PID/stat field 22; random(4), boot_id).
"""

import os
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


def owner() -> str:
    """This process, as the label of all that it makes names it: `PID:START:BOOT`."""
    return f"{os.getpid()}:{_started(os.getpid())}:{_BOOT.read_text().strip()}"


def is_alive(stated: str) -> bool:
    """Whether the process that a label names still lives; a label in other words names nobody."""
    pid, _, rest = stated.partition(":")
    start, _, boot = rest.partition(":")
    if not (pid.isascii() and pid.isdigit() and len(pid) < 10) or boot != _BOOT.read_text().strip():
        return False
    return start != "" and _started(int(pid)) == start


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
    # the pause last: it holds the namespaces of the others
    for one in sorted(listed.get("all") or (), key=lambda c: "-pause" in str(c.get("Names"))):
        if not _is_orphan(one):
            continue
        name = next(iter(one.get("Names") or ()), str(one["Id"])[:12]).removeprefix("/")
        if _remove(endpoint, name, partial(api.remove_container, one["Id"], v=True, force=True)):
            removed.append(f"container {name}")
    found = (ask(endpoint, partial(api.volumes, filters=chosen)) or {}).get("Volumes") or ()
    for volume in found:
        name = str(volume.get("Name"))
        if _is_orphan(volume) and _remove(endpoint, name, partial(api.remove_volume, name, force=True)):
            removed.append(f"volume {name}")
    return tuple(map(printable, removed))


def remove_images(client: "docker.DockerClient", endpoint: str) -> tuple[str, ...]:
    """Remove the pause images, of this and of other versions, where nobody uses them; gives their ids."""
    api: Any = client.api
    listed = ask(endpoint, lambda: {"all": api.images(filters={"label": [pause.LABEL]}, all=False)}) or {}
    removed = []
    for one in listed.get("all") or ():
        identifier = str(one.get("Id"))
        if _remove(endpoint, identifier, partial(api.remove_image, identifier, force=True)):
            removed.append(f"image {printable(identifier.removeprefix('sha256:')[:12])}")
    return tuple(removed)


def _is_orphan(labelled: dict[str, Any]) -> bool:
    return not is_alive(str((labelled.get("Labels") or {}).get(LABEL, "")))


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
