"""A connection to the container engine: where it is, and what to say if nothing answers there."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from scanner.errors import SourceError, TargetError, UsageError
from scanner.model import printable
from scanner.sources.failures import reason

if TYPE_CHECKING:
    import docker

DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"
ANSWER_SECONDS = 60
DOWNLOAD_SECONDS = 1800
"""Old engines write a whole image to a temporary directory before the first byte of it arrives."""
CHUNK = 1 << 20
_BAD_REQUEST = 400
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
"""What a container, a network or a volume may be called, ids included (moby, daemon/names)."""


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


def ask(endpoint: str, question: Callable[[], Any], wanted: str | None = None) -> dict[str, Any] | None:
    """The engine's answer; None where it knows no such thing (it may be gone by now), unless that is the thing `wanted`. Raises
    TargetError for that, UsageError for a name that can be nobody's, SourceError."""
    import docker.errors
    import requests

    try:
        answer = question()
    except docker.errors.NotFound as e:
        if wanted is None:
            return None
        raise TargetError(
            f"the engine at {printable(endpoint)} has no container {wanted}; docker ps --all lists those that it has"
        ) from e
    except docker.errors.APIError as e:
        said = printable(str(e.explanation or e))
        if wanted is not None and e.status_code == _BAD_REQUEST:
            raise UsageError(
                f"the engine at {printable(endpoint)} does not understand {printable(wanted)}: {said}"
            ) from e
        raise SourceError(f"the engine at {printable(endpoint)} does not tell: {said}") from e
    except (docker.errors.DockerException, requests.RequestException, OSError, ValueError) as e:
        raise SourceError(f"the engine at {printable(endpoint)} went away: {reason(e)}") from e
    if not isinstance(answer, dict) or (wanted is not None and not isinstance(answer.get("Id"), str)):
        raise SourceError(f"the engine at {printable(endpoint)} answers in words that are not Docker's")
    return answer


class Download:
    """A long answer of the engine's as a stream; `begin` asks for it, at the first byte."""

    def __init__(self, client: "docker.DockerClient", begin: Callable[[], Iterator[bytes]], what: str) -> None:
        self._client, self._begin, self._what = client, begin, what
        self._chunks: Iterator[bytes] | None = None
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        """Raises SourceError where the engine refuses or goes away."""
        import docker.errors
        import requests
        import urllib3

        if not self._rest:
            try:
                if self._chunks is None:
                    self._client.api.timeout = DOWNLOAD_SECONDS
                    self._chunks = self._begin()
                self._rest = next(self._chunks, b"")
            except docker.errors.APIError as e:
                raise SourceError(f"the engine does not export {self._what}: {printable(str(e))}") from e
            except (
                docker.errors.DockerException,
                requests.RequestException,
                urllib3.exceptions.HTTPError,
                OSError,
            ) as e:
                raise SourceError(
                    f"the export of {self._what} broke off: {reason(e)}. Is the engine still running, has it room on its disk?"
                ) from e
        given = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(given) :]
        return given

    def close(self) -> None:
        """The client is closed by whoever connected it."""


def _has(error: BaseException | None, kind: type[BaseException]) -> bool:
    for _ in range(8):
        if error is None or isinstance(error, kind):
            break
        error = error.__cause__ or error.__context__
    return isinstance(error, kind)
