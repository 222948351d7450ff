"""Real parts for tests: an engine, registries, skopeo. tests/conftest.py makes them known to all.

What is not installed skips a test, or fails it where SANDSCAN_TEST_STRICT=1 says that nothing may be skipped.
"""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import docker
import docker.errors
import pytest

USER, PASSWORD = "robot", "pass:word"


def missing(what: str) -> None:
    """End the test: skipped, or failed in strict runs."""
    if os.environ.get("SANDSCAN_TEST_STRICT") == "1":
        pytest.fail(f"{what} is needed, and nothing may be skipped")
    pytest.skip(f"{what} is needed")


def program(name: str) -> str:
    """Its path; where it is not installed, the test ends."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        missing(name)
    assert found is not None
    return found


@dataclass(frozen=True)
class Engine:
    """A running engine. `process` is None where it was running before us."""

    host: str
    client: Any
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return self.host.removeprefix("unix://")

    @property
    def in_place(self) -> bool:
        """Whether its layers can be read where they lie."""
        return os.geteuid() == 0 and self.host.startswith("unix:") and self.client.info()["Driver"] == "overlay2"


@contextmanager
def started_engine(*, apart: bool = False, experimental: bool = False) -> Iterator[Engine]:
    """An engine of our own, without networks; gone afterwards with all it held. It lives in memory where there is enough of it: images
    of tests are small, and a disk is slow to keep them.

    `apart` puts it into a network namespace of its own, where it may make networks; `experimental` lets it squash.
    """
    dockerd = program("dockerd")
    if os.geteuid() != 0:
        missing("root, to start an engine")
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 4 << 30
    folder = Path(tempfile.mkdtemp(prefix="sandscan-engine-", dir=memory if roomy else None))
    host = f"unix://{folder}/docker.sock"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for mounted in ("exec/netns/default", "data"):  # a killed engine leaves them
            stack.callback(_unmount, folder / mounted)
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(
            [
                *((program("unshare"), "-n") if apart else ()),
                dockerd,
                "--data-root",
                folder / "data",
                "--exec-root",
                folder / "exec",
                "--pidfile",
                folder / "pid",
                "-H",
                host,
                "--bridge=none",
                "--iptables=false",
                "--ip-forward=false",
                "--ip-masq=false",
                "--log-level=error",
                *(("--experimental",) if experimental else ()),
            ],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        stack.callback(_stop, process, folder)
        end = time.monotonic() + 60
        while True:
            with suppress(docker.errors.DockerException):
                client = docker.DockerClient(host, version="auto")
                break
            if process.poll() is not None or time.monotonic() > end:
                missing(f"a dockerd that starts (it said: {(folder / 'log').read_text()[-500:]})")
            time.sleep(0.2)
        stack.callback(client.close)
        yield Engine(host, client, process)


def _unmount(path: Path) -> None:
    """All that is mounted there, one over the other."""
    while subprocess.run(["umount", "-l", path], capture_output=True, check=False).returncode == 0:
        pass


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(OSError, ValueError):  # a killed engine may leave its containerd behind
        os.kill(int((folder / "exec/containerd/containerd.pid").read_text()), signal.SIGKILL)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine in DOCKER_HOST if it answers, else one of our own."""
    if host := os.environ.get("DOCKER_HOST"):
        with suppress(docker.errors.DockerException):
            client = docker.DockerClient(host, version="auto", timeout=120)
            yield Engine(host, client)
            client.close()
            return
    with started_engine(experimental=True) as ours:
        yield ours


@pytest.fixture
def at_engine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine, found by DOCKER_HOST."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    return engine


@dataclass(frozen=True)
class RegistryServer:
    """A running docker-registry; `config_dir` is a DOCKER_CONFIG with the password for it, empty where it asks for none."""

    host: str
    storage: Path
    config_dir: Path


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def started_registry(folder: Path, auth: str = "", config: str = "{}") -> Iterator[RegistryServer]:
    """Debian's docker-registry on a free port of the loopback; `auth` is the lines of its configuration on that."""
    server = program("docker-registry")
    host = f"127.0.0.1:{free_port()}"
    settings = folder / "config.yml"
    settings.write_text(
        "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\n"
        f"storage:\n  filesystem:\n    rootdirectory: {folder / 'storage'}\nhttp:\n  addr: {host}\n  secret: test\n{auth}"
    )
    (folder / "docker").mkdir()
    (folder / "docker/config.json").write_text(config.replace("HOST", host))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([server, "serve", settings], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 20
            while True:
                with (
                    suppress(OSError),
                    socket.create_connection((host.partition(":")[0], int(host.rpartition(":")[2])), 1),
                ):
                    break
                if process.poll() is not None or time.monotonic() > end:
                    missing(f"a docker-registry that starts (it said: {(folder / 'log').read_text()[-500:]})")
                time.sleep(0.05)
            yield RegistryServer(host, folder / "storage", folder / "docker")
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry open to all."""
    with started_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="session")
def locked_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that asks for USER and PASSWORD by Basic authentication (htpasswd)."""
    folder = tmp_path_factory.mktemp("locked")
    line = subprocess.run([program("htpasswd"), "-Bbn", USER, PASSWORD], capture_output=True, check=True).stdout
    (folder / "htpasswd").write_bytes(line)
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    auth = f"auth:\n  htpasswd:\n    realm: test\n    path: {folder / 'htpasswd'}\n"
    with started_registry(folder, auth, json.dumps({"auths": {"HOST": {"auth": basic}}})) as server:
        yield server


@pytest.fixture(scope="session")
def token_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that sends its clients to a token server, which signs tokens for USER and PASSWORD, or USER's identity token."""
    folder = tmp_path_factory.mktemp("token")
    openssl = program("openssl")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            openssl,
            *"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test".split(),
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    pem = "".join(certificate.read_text().splitlines()[1:-1])

    def token(access: list[dict[str, Any]]) -> str:
        now = int(time.time())
        claims = {
            "iss": "test",
            "sub": USER,
            "aud": "test",
            "exp": now + 600,
            "nbf": now - 5,
            "iat": now,
            "access": access,
        }
        parts = [_url64(json.dumps(p).encode()) for p in ({"typ": "JWT", "alg": "RS256", "x5c": [pem]}, claims)]
        signed = subprocess.run(
            [openssl, "dgst", "-sha256", "-sign", key], input=".".join(parts).encode(), capture_output=True, check=True
        )
        return ".".join([*parts, _url64(signed.stdout)])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            self._answer(
                parse_qs(urlsplit(self.path).query), self.headers.get("Authorization") == f"Basic {basic}", "token"
            )

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            known = form.get("grant_type") == ["refresh_token"] and form.get("refresh_token") == ["identity"]
            self._answer(form, known, "access_token")

        def _answer(self, query: dict[str, list[str]], known: bool, name: str) -> None:
            access = []
            for scope in query.get("scope", []):
                kind, repository, actions = scope.split(":", 2)
                wanted = actions.split(",") if known else []
                if wanted or repository.startswith("public/"):
                    access.append({"type": kind, "name": repository, "actions": wanted or ["pull"]})
            body = json.dumps({name: token(access)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with served(Handler) as issuer:
        auth = f"auth:\n  token:\n    realm: http://{issuer}/token\n    service: test\n    issuer: test\n    rootcertbundle: {certificate}\n"
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        with started_registry(folder, auth, json.dumps({"auths": {"HOST": {"auth": basic}}})) as server:
            yield server


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server of our own on the loopback; gives its host:port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def skopeo() -> Callable[..., str]:
    """Run skopeo; gives what it printed."""
    found = program("skopeo")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run([found, "--insecure-policy", *arguments], capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run
