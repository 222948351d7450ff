"""A connection to the container engine: where it is, and what to say if nothing answers there."""

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from scanner.errors import SourceError
from scanner.model import printable
from scanner.sources.failures import reason

if TYPE_CHECKING:
    import docker

DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"
ANSWER_SECONDS = 60


def _endpoint() -> str:
    """Where the engine is: DOCKER_HOST, else DOCKER_CONTEXT or the CLI's current context, else the usual socket."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    from docker.context import ContextAPI

    return str(ContextAPI.kwargs_from_context().get("base_url") or DEFAULT_ENDPOINT)


def connect(aim: str, otherwise: str, resources: ExitStack) -> "tuple[docker.DockerClient, str]":
    """A client, closed with the resources, and its endpoint.

    Raises SourceError where no engine answers: `aim` is what it is needed for, `otherwise` how to go without one.
    """
    import docker

    endpoint = os.environ.get("DOCKER_HOST") or DEFAULT_ENDPOINT
    try:
        endpoint = _endpoint()
        client = docker.from_env(version="auto", timeout=ANSWER_SECONDS)
    except Exception as e:  # a context's files, TLS, ssh: each library raises its own
        hint = "run as root or as a member of the socket's group" if _has(e, PermissionError) else "start it"
        raise SourceError(
            f"no container engine answers at {printable(endpoint)}: {reason(e)}. {aim}, {hint}, name another "
            f"engine in DOCKER_HOST (Podman: unix://$XDG_RUNTIME_DIR/podman/podman.sock), or {otherwise}."
        ) from e
    resources.callback(client.close)
    return client, endpoint


def _has(error: BaseException | None, kind: type[BaseException]) -> bool:
    for _ in range(8):
        if error is None or isinstance(error, kind):
            break
        error = error.__cause__ or error.__context__
    return isinstance(error, kind)
