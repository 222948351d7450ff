"""Who we are to a registry: what `docker login` left in Docker's config.json, or in a credential helper.

Formats: Docker CLI, config.json (`auths`, `credHelpers`, `credsStore`); docker-credential-helpers' `get` protocol.
"""

import base64
import binascii
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from scanner.errors import SourceError
from scanner.oci.manifest import Document, document_of
from scanner.oci.reference import DEFAULT_REGISTRY

HELPER_SECONDS = 30
LARGEST = 4 << 20
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HUB = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and password, or an identity token; all empty for nobody. `problem` says why there are none."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    problem: str = ""

    @property
    def anonymous(self) -> bool:
        return not (self.username or self.identity_token)


def config_file() -> Path:
    """Docker's config.json: in DOCKER_CONFIG, else in ~/.docker."""
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path("~/.docker").expanduser()) / "config.json"


def credentials(registry: str) -> Credentials:
    """For a registry's host[:port]; never raises: a public image needs none, and a refusal names the problem."""
    path = config_file()
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Credentials()
    except (OSError, RuntimeError) as e:
        return Credentials(problem=f"{path} cannot be read: {getattr(e, 'strerror', None) or e}")
    if len(data) > LARGEST:
        return Credentials(problem=f"{path} is larger than {LARGEST} bytes")
    try:
        return _from(document_of(data, str(path)), registry)
    except SourceError as e:
        return Credentials(problem=str(e))


def _from(config: Document, registry: str) -> Credentials:
    server = _HUB if registry == DEFAULT_REGISTRY else registry
    helpers = dict(config.mapping("credHelpers"))
    helper = next((h for key, h in helpers.items() if _host(key) == _host(server)), config.text("credsStore"))
    found = _ask(helper, server) if helper else Credentials()
    if not found.anonymous:
        return found
    auths = config.object("auths")
    for key in config.keys("auths"):
        if _host(key) == _host(server):
            stored = _stored(auths.object(key), key)
            if not stored.anonymous or stored.problem:
                return stored
    return found


def _host(key: str) -> str:
    """The host of a key, which old clients wrote as a URL."""
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0].lower()


def _stored(entry: Document, key: str) -> Credentials:
    if token := entry.text("identitytoken"):
        return Credentials(identity_token=token)
    username, password = entry.text("username"), entry.text("password")
    if auth := entry.text("auth"):
        try:
            username, _, password = base64.b64decode(auth, validate=True).decode().rstrip("\0").partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return Credentials(problem=f"{config_file()}: the auth of {key} is not base64 of user:password")
    return Credentials(username, password) if username else Credentials()


def _ask(helper: str, server: str) -> Credentials:
    """What `docker-credential-HELPER get` answers."""
    program = f"docker-credential-{helper}"
    if not _HELPER.fullmatch(helper):
        return Credentials(problem=f"{config_file()} names a credential helper that is no program's name")
    try:
        done = subprocess.run(
            [program, "get"], input=server.encode(), capture_output=True, timeout=HELPER_SECONDS, check=False
        )
    except FileNotFoundError:
        return Credentials(problem=f"{program}, which {config_file()} names, is not installed")
    except subprocess.TimeoutExpired:
        return Credentials(problem=f"{program} did not answer within {HELPER_SECONDS} seconds")
    except OSError as e:
        return Credentials(problem=f"{program} cannot be run: {e.strerror or e}")
    if done.returncode:
        # it knows nobody, or says why not; its words may hold a secret, so they are not repeated
        return Credentials(problem=f"{program} has no credentials for {server}")
    try:
        answer = document_of(done.stdout[:LARGEST], f"the answer of {program}")
        username, secret = answer.text("Username"), answer.text("Secret")
    except SourceError:
        return Credentials(problem=f"{program} gave an answer that is no JSON of credentials")
    if username == "<token>":
        return Credentials(identity_token=secret)
    return Credentials(username, secret)
