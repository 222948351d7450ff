"""An engine that is not there, has no such image, or dies on the way."""

import os
from pathlib import Path
from typing import Any

import pytest

import scanner.sources.docker as source
from scanner.errors import ScannerError, SourceError, TargetError
from scanner.oci.files import spooled
from tests.engine_fixture import Engine, served, started_engine
from tests.sources import forms
from tests.sources.reading import opened


def test_no_engine_names_the_socket_and_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(
        SourceError, match=rf"no container engine answers at unix://{tmp_path}/none.sock: No such file or directory"
    ) as error:
        opened("docker:app:1")
    for hint in ("start it", "DOCKER_HOST", "registry:app:1", "archive:FILE"):
        assert hint in str(error.value)


@pytest.mark.parametrize("host", ["nonsense", "tcp://127.0.0.1:1", "fd://3", "ssh://127.0.0.1:1"])
def test_an_engine_that_cannot_be_reached(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(SourceError, match=f"no container engine answers at {host}"):
        opened("docker:app:1")


def test_the_context_of_the_command_line_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(SourceError, match=r"no container engine answers at"):
        opened("docker:app:1")


def test_a_name_that_is_none_never_reaches_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///none.sock")
    for name in ("UPPER", "a b", "x@sha256:1", "../etc"):
        with pytest.raises(TargetError):
            opened(f"docker:{name}")
    with pytest.raises(TargetError, match="write docker:NAME for the engine's image, registry:NAME"):
        opened("docker://debian")


@pytest.mark.engine
def test_an_image_that_is_not_there(at_engine: Engine) -> None:
    for target in ("docker:sandscan-none:1", "sandscan-none:1"):
        with pytest.raises(TargetError, match="has no image sandscan-none:1; fetch it with `docker pull") as error:
            opened(target)
        assert at_engine.host in str(error.value)
        assert "registry:sandscan-none:1" in str(error.value)


@pytest.mark.engine
def test_a_scheme_mistyped_gets_a_suggestion(at_engine: Engine) -> None:
    with pytest.raises(
        TargetError, match=r"Did you mean docker:app.* The schemes are archive, docker, oci, registry, rootfs"
    ):
        opened("dokcer:app")
    with pytest.raises(ScannerError, match="Did you mean archive:x"):
        opened("docker-archive:x")


@pytest.mark.engine
def test_an_engine_that_is_not_on_this_machine_exports(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The engine's socket behind a TCP port, as a remote engine's would be."""
    image = forms.make(forms.small_layers(), Labels={"test": str(tmp_path)})
    name = f"sandscan-test-{os.getpid()}:remote"
    engine.client.images.load(forms.legacy(forms.Saved(image.config, image.layers, (name,))))
    try:
        with forwarded(engine.socket) as address:
            monkeypatch.setenv("DOCKER_HOST", f"tcp://{address}")
            with opened(f"docker:{name}") as one:
                assert one.image.id == image.id
                [note] = one.notifications
                assert f"the engine at tcp://{address} is not known to be on this machine" in note.message
            with pytest.raises(SourceError, match="cannot be read from the engine's own files: the engine at tcp://"):
                opened(f"docker:{name}", engine_access="direct")
        monkeypatch.setenv("DOCKER_HOST", engine.host)
        for access in ("direct", "api") if engine.in_place else ("api",):
            with pytest.raises(TargetError, match="has no image for linux/arm64, only for linux/amd64"):
                opened(f"docker:{name}", platform="linux/arm64", engine_access=access)
    finally:
        engine.client.images.remove(name)


def forwarded(path: str) -> Any:
    """A TCP port of the loopback that leads to a socket."""
    import socket
    import socketserver
    import threading
    from contextlib import contextmanager, suppress

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(path)
                back = threading.Thread(target=pump, args=(engine, self.request))
                back.start()
                pump(self.request, engine)
                back.join()

    @contextmanager
    def running() -> Any:
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            yield f"127.0.0.1:{server.server_address[1]}"
            server.shutdown()
            thread.join()

    return running()


@pytest.mark.engine
def test_an_engine_killed_while_it_exports_is_an_error_and_not_half_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = forms.tar([forms.Member("big", os.urandom(24 << 20))])
    image = forms.make([layer])
    with started_engine() as engine:
        engine.client.images.load(forms.legacy(forms.Saved(image.config, image.layers, ("big:1",))))
        monkeypatch.setenv("DOCKER_HOST", engine.host)
        process = engine.process
        assert process is not None

        def killed_after_the_first_bytes(stream: Any, *rest: Any) -> Any:
            class Cut:
                given = 0

                def read(self, size: int = -1, /) -> bytes:
                    data: bytes = stream.read(size)
                    if not self.given:
                        process.kill()
                        process.wait()
                    self.given += len(data)
                    return data

                close = stream.close

            return spooled(Cut(), *rest)

        monkeypatch.setattr(source, "spooled", killed_after_the_first_bytes)
        with pytest.raises(SourceError, match=r"the export of big:1 from the engine at .* broke off: .*still running"):
            opened("docker:big:1", engine_access="api")
        with pytest.raises(SourceError, match="no container engine answers"):
            opened("docker:big:1")


def test_what_is_no_docker_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from http.server import BaseHTTPRequestHandler

    answers: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = next((b for p, b in answers.items() if p in self.path), b"{}")
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    checks: list[tuple[dict[str, bytes], str]] = [
        ({}, "no container engine answers"),
        ({"version": b'{"ApiVersion":"1.41"}', "json": b"[]"}, "in words that are not Docker's"),
        ({"version": b'{"ApiVersion":"1.41"}', "json": b"<html>"}, "went away"),
        ({"version": b'{"ApiVersion":"1.41"}', "json": b'{"Id":"x"}', "get": b"no tar"}, "no tar, or a broken one"),
        ({"version": b'{"ApiVersion":"1.41"}', "json": b'{"Id":"x"}', "get": b""}, "is empty"),
    ]
    with served(Handler) as address:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{address}")
        for given, message in checks:
            answers.clear()
            answers.update(given)
            with pytest.raises(SourceError, match=message):
                opened("docker:app:1")
