"""Engines in containers (docker:dind and its like): whoever reaches the API launches what he likes there.

Sources: the docker image's documentation: without certificates (DOCKER_TLS_CERTDIR empty) it listens on TCP 2375, with them on
2376, for clients that have the key. dockerd(8), -H.
"""

import re
from dataclasses import replace

from scanner.egress.forwarders.plugin import ENGINE, Forwarder, Program, Run


def read(run: Run) -> Forwarder | None:
    container = run.container
    hosts = run.options("-H", "--host")
    tls = run.flag("--tlsverify", "--tls", "--tlsverify=true")
    listens: list[tuple[str, int]] = []
    sockets: list[str] = []
    for host in hosts:
        found = re.fullmatch(r"tcp://(?:\[[^\]]*\]|[^:/]*):(\d{1,5})/?", host)
        if found and not host.startswith(("tcp://127.", "tcp://localhost", "tcp://[::1]")):
            listens.append(("tcp", int(found[1])))
        elif host.startswith("unix://"):
            sockets.append(host.removeprefix("unix://"))
    origin = run.origin
    if not hosts:
        sockets.append("/var/run/docker.sock")
        by_entrypoint = container.entrypoint is None and container.image is not None
        if by_entrypoint:
            folder = run.env("DOCKER_TLS_CERTDIR")
            said = any(key == "DOCKER_TLS_CERTDIR" for key, _ in container.environment)
            tls = tls or bool(folder) or not (said or _is_old(container.image.value if container.image else ""))
            listens.append(("tcp", 2376 if tls else 2375))
            origin = run.env_origin("DOCKER_TLS_CERTDIR") if said else origin
    if not listens:
        words = f"an engine that listens on {', '.join(sockets) or 'nothing outside'} alone"
        return run.result("engine", ENGINE if sockets else (), words, origin, unix_sockets=sockets)
    if tls:
        words = f"its API on TCP {listens[0][1]} asks for a client's certificate"
        keys = tuple(m.source for m in container.confinement.mounts if m.target.startswith("/certs") and m.source)
        asked = run.untold(words, ENGINE, kind="engine", listens=listens, origin=origin, resolves=False)
        return replace(asked, keys=keys)
    words = f"an engine that takes orders from anybody on TCP {listens[0][1]}"
    return run.result("engine", ENGINE, words, origin, listens=listens, unix_sockets=sockets)


def _is_old(image: str) -> bool:
    """Whether the tag is of a release that made no certificates of its own (before 19.03: hub.docker.com/_/docker)."""
    found = re.match(
        r"v?(\d{2})\.(\d{1,2})|v?(\d{2})(?![\d.])", image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    )
    if found is None:
        return False
    return (int(found[1] or found[3]), int(found[2] or 99)) < (19, 3)


def is_engine_image(run: Run) -> bool:
    return run.container.image is not None and "dind" in run.container.image.value


def _read(run: Run) -> Forwarder | None:
    if run.arguments is None and not is_engine_image(run):
        return run.nothing("the docker image without dind holds a client alone")
    return read(run)


PLUGIN = Program(
    "dockerd",
    images=("docker", "dind", "docker-dind", "docker-in-docker"),
    commands=("dockerd", "dockerd-entrypoint.sh", "dockerd-rootless.sh"),
    read=_read,
    official=("docker",),
)
