"""Registries: a real one open, locked by a password, or by tokens; and a bad connection to a real one."""

import base64
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scanner.sources.registry as source
from scanner.errors import DigestMismatch, LayerError, LimitError, ScannerError, SourceError, TargetError
from scanner.model import Limits
from scanner.oci.manifest import DOCKER_LIST, OCI_LAYER, OCI_MANIFEST
from scanner.sources.credentials import Credentials, credentials
from tests.engine_fixture import PASSWORD, USER, RegistryServer, free_port, program, served
from tests.sources import forms
from tests.sources.forms import Saved, document, gz, plain, zst
from tests.sources.reading import contents, opened

APP = forms.make(forms.small_layers())
ARM = forms.make(forms.small_layers(), "linux/arm64")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(source, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(source, "LONGEST_WAIT", 0.05)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nobody"))


def push(
    skopeo: Callable[..., str], image: Saved, name: str, folder: Path, packer: forms.Packer = gz, *options: str
) -> None:
    layout = forms.write(folder / f"push-{len(list(folder.iterdir()))}", forms.layout_files(image, packer))
    skopeo("copy", "--dest-tls-verify=false", *options, f"oci:{layout}:1", f"docker://{name}")


@pytest.fixture(scope="module")
def name(registry: RegistryServer, skopeo: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A repository with one image, tag 1, in the open registry."""
    push(skopeo, APP, f"{registry.host}/team/app:1", tmp_path_factory.mktemp("push"))
    return f"{registry.host}/team/app"


def put(host: str, path: str, body: bytes, media_type: str) -> None:
    connection = HTTPConnection(host, timeout=10)
    connection.request("PUT", path, body, {"Content-Type": media_type})
    response = connection.getresponse()
    assert response.status == 201, response.read()
    connection.close()


@pytest.fixture(scope="module")
def pushed(
    locked_registry: RegistryServer, skopeo: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """An image behind a password."""
    name = f"{locked_registry.host}/team/app:1"
    push(skopeo, APP, name, tmp_path_factory.mktemp("push"), plain, f"--dest-creds={USER}:{PASSWORD}")
    return name


@pytest.fixture(scope="module")
def tokens(token_registry: RegistryServer, skopeo: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The host of a registry with tokens; public/app:1 is for all."""
    for repository in ("team/app", "public/app"):
        name = f"{token_registry.host}/{repository}:1"
        push(skopeo, APP, name, tmp_path_factory.mktemp("push"), zst, f"--dest-creds={USER}:{PASSWORD}")
    return token_registry.host


@pytest.fixture(scope="module")
def big(registry: RegistryServer, skopeo: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """An image of one layer of 3 MB, stored as gzip."""
    image = forms.make([forms.tar([forms.Member("big", os.urandom(3 << 20))])])
    push(skopeo, image, f"{registry.host}/big:1", tmp_path_factory.mktemp("push"))
    return image


class TestOpen:
    """No password."""

    def test_by_tag_and_by_digest(self, name: str) -> None:
        digest = forms.sha256(forms.manifest(APP, gz)[0])
        for reference in (":1", f"@{digest}", f":nothing@{digest}"):
            with opened(f"registry:{name}{reference}") as one:
                assert (one.image.id, one.target.manifest, one.target.repository) == (APP.id, digest, name)
                assert contents(one) == [forms.sha256(layer) for layer in APP.layers]

    def test_lists_of_both_families(self, name: str, skopeo: Callable[..., str], tmp_path: Path) -> None:
        host = name.partition("/")[0]
        push(skopeo, ARM, f"{name}:arm", tmp_path)
        lines = [
            forms.descriptor(OCI_MANIFEST, forms.manifest(image, gz)[0], platform={"os": "linux", "architecture": arch})
            for arch, image in (("amd64", APP), ("arm64", ARM))
        ]
        unknown = {**lines[0], "platform": {"os": "unknown", "architecture": "unknown"}}
        for tag, kind in (("list", DOCKER_LIST), ("index", "application/vnd.oci.image.index.v1+json")):
            body = document({"schemaVersion": 2, "mediaType": kind, "manifests": [unknown, *lines]})
            put(host, f"/v2/team/app/manifests/{tag}", body, kind)
            for platform, image in (("linux/amd64", APP), ("linux/arm64/v8", ARM)):
                with opened(f"registry:{name}:{tag}", platform=platform) as one:
                    assert one.image.id == image.id
            with pytest.raises(
                TargetError, match="no image for linux/s390x; choose one with --platform: linux/amd64, linux/arm64"
            ):
                opened(f"registry:{name}:{tag}", platform="linux/s390x")
        with pytest.raises(TargetError, match=r"no image for linux/arm64, only for linux/amd64"):
            opened(f"registry:{name}:1", platform="linux/arm64")

    def test_what_is_not_there(self, name: str, registry: RegistryServer) -> None:
        with pytest.raises(
            TargetError, match=rf"{registry.host} has no .*/team/app:9 .manifest unknown.*; check the name"
        ):
            opened(f"registry:{name}:9")
        with pytest.raises(TargetError, match="has no"):
            opened(f"registry:{registry.host}/nobody/nothing")
        with pytest.raises(TargetError, match="has no"):
            opened(f"registry:{name}@sha256:{'0' * 64}")

    def test_nobody_listens(self) -> None:
        port = free_port()
        begin = time.monotonic()
        with pytest.raises(SourceError, match=f"cannot reach http://localhost:{port}: Connection refused"):
            opened(f"registry:localhost:{port}/app")
        assert time.monotonic() - begin < 2

    def test_a_changed_blob_is_found(
        self, name: str, registry: RegistryServer, skopeo: Callable[..., str], tmp_path: Path
    ) -> None:
        image = forms.make([forms.small_layers()[0], forms.tar([forms.Member("only", b"here")])])
        push(skopeo, image, f"{registry.host}/spoilt:1", tmp_path)
        digest = forms.sha256(gz(image.layers[1])).removeprefix("sha256:")
        [data] = registry.storage.glob(f"**/{digest}/data")
        data.write_bytes(gz(image.layers[1].replace(b"here", b"HERE")))
        with opened(f"registry:{registry.host}/spoilt:1") as one, pytest.raises((DigestMismatch, LayerError)):
            contents(one)
        data.unlink()
        with (
            opened(f"registry:{registry.host}/spoilt:1") as one,
            pytest.raises(LayerError, match="has no blobs/sha256:"),
        ):
            contents(one)

    def test_foreign_layers_and_artifacts(self, name: str) -> None:
        host = name.partition("/")[0]
        config = forms.descriptor(f"{forms.OCI}.config.v1+json", APP.config)
        foreign = {
            **forms.descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", b"elsewhere"),
            "urls": ["https://example.test/layer"],
        }
        layer = forms.descriptor(OCI_LAYER + "+gzip", gz(APP.layers[0]))
        body = document({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer, foreign]})
        answers = {"manifests": body, forms.sha256(APP.config): APP.config}
        with (
            served(answering(answers, OCI_MANIFEST)) as fake,
            pytest.raises(SourceError, match=r"layer 1 .* is a foreign layer"),
        ):
            opened(f"registry:{fake}/app")
        chart = {"config": {**config, "mediaType": "application/vnd.cncf.helm.config.v1+json"}, "layers": [layer]}
        put(
            host,
            "/v2/team/app/manifests/chart",
            document({"schemaVersion": 2, "mediaType": OCI_MANIFEST, **chart}),
            OCI_MANIFEST,
        )
        with pytest.raises(TargetError, match="holds no container image"):
            opened(f"registry:{name}:chart")


class TestLocked:
    """A registry that asks who we are."""

    def test_strangers_are_told_to_log_in(self, pushed: str, locked_registry: RegistryServer) -> None:
        with pytest.raises(SourceError, match=rf"to strangers.*log in with `docker login {locked_registry.host}`"):
            opened(f"registry:{pushed}")

    def test_with_the_password_of_docker_login(
        self, pushed: str, locked_registry: RegistryServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOCKER_CONFIG", str(locked_registry.config_dir))
        with opened(f"registry:{pushed}") as one:
            assert one.image.id == APP.id
            assert contents(one) == [forms.sha256(layer) for layer in APP.layers]

    def test_a_wrong_password_is_never_repeated_in_the_error(
        self, pushed: str, locked_registry: RegistryServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        login(tmp_path, {"auths": {locked_registry.host: {"username": USER, "password": "secret1"}}}, monkeypatch)
        with pytest.raises(SourceError, match=rf"does not give .* to {USER}.*; the login may have expired") as error:
            opened(f"registry:{pushed}")
        assert "secret1" not in str(error.value)
        assert "secret1" not in repr(Credentials(USER, "secret1", "secret1"))

    @pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
    def test_with_a_credential_helper(
        self, key: str, pushed: str, locked_registry: RegistryServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        host = locked_registry.host
        helper(
            tmp_path,
            "test",
            f'read server; [ "$1 $server" = "get {host}" ] && echo \'{{"Username":"{USER}","Secret":"{PASSWORD}"}}\'',
            monkeypatch,
        )
        login(tmp_path, {key: "test" if key == "credsStore" else {host: "test"}}, monkeypatch)
        with opened(f"registry:{pushed}") as one:
            assert one.image.id == APP.id

    def test_a_helper_that_fails_is_named(
        self, pushed: str, locked_registry: RegistryServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("scanner.sources.credentials.HELPER_SECONDS", 0.3)
        login(tmp_path, {"credsStore": "test"}, monkeypatch)
        for script, message in (
            ("exit 1", "docker-credential-test has no credentials for"),
            ("echo nonsense", "gave an answer that is no JSON of credentials"),
            ("exec sleep 5", "did not answer within"),
            (None, r"docker-credential-test, which .*config.json names, is not installed"),
        ):
            helper(tmp_path, "test", script, monkeypatch)
            with pytest.raises(SourceError, match=message):
                opened(f"registry:{pushed}")


class TestToken:
    """A registry that sends us to a token server."""

    def test_strangers_get_what_is_public(self, tokens: str) -> None:
        with opened(f"registry:{tokens}/public/app:1") as one:
            assert contents(one) == [forms.sha256(layer) for layer in APP.layers]
        with pytest.raises(SourceError, match=r"does not give .*/team/app:1 to strangers"):
            opened(f"registry:{tokens}/team/app:1")

    def test_with_a_password(
        self, tokens: str, token_registry: RegistryServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOCKER_CONFIG", str(token_registry.config_dir))
        with opened(f"registry:{tokens}/team/app:1") as one:
            assert contents(one) == [forms.sha256(layer) for layer in APP.layers]

    def test_with_an_identity_token(self, tokens: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        login(tmp_path, {"auths": {f"https://{tokens}/v1/": {"identitytoken": "identity"}}}, monkeypatch)
        with opened(f"registry:{tokens}/team/app:1") as one:
            assert one.image.id == APP.id

    def test_a_token_that_expires_on_the_way_is_renewed(
        self, tokens: str, token_registry: RegistryServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOCKER_CONFIG", str(token_registry.config_dir))
        with opened(f"registry:{tokens}/team/app:1") as one:
            registry = one.blobs[0].open.args[0]  # type: ignore[union-attr]
            registry._authorization = "Bearer old"
            assert contents(one) == [forms.sha256(layer) for layer in APP.layers]


def login(folder: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


def helper(folder: Path, name: str, script: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / f"docker-credential-{name}"
    if script is None:
        path.unlink()
    else:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_credentials_are_found_by_host_whatever_way_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = base64.b64encode(b"me:a:b\0").decode()
    login(
        tmp_path,
        {"auths": {"https://index.docker.io/v1/": {"auth": auth}, "http://r.example.test": {"auth": auth}}},
        monkeypatch,
    )
    assert credentials("docker.io") == credentials("r.example.test") == Credentials("me", "a:b")
    assert credentials("example.test").anonymous
    for broken, problem in (
        ({"auths": {"x.test": {"auth": "%%%"}}}, "is not base64 of user:password"),
        ({"auths": []}, "auths is a list, not an object"),
        ({"credsStore": "../../bin/sh"}, "no program's name"),
    ):
        login(tmp_path, broken, monkeypatch)
        assert problem in credentials("x.test").problem
    (tmp_path / "config.json").write_text("[" * 100_000)
    assert "nested too deep" in credentials("x.test").problem


@dataclass
class Faults:
    """What goes wrong on the way to a real registry: for a path that holds the key, what the proxy does instead."""

    busy: dict[str, int] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    ranges: bool = True
    redirect: str = ""
    change: Callable[[str, bytes, dict[str, str]], bytes] = lambda path, body, headers: body
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def proxied(upstream: str, faults: Faults) -> Iterator[str]:
    """A loopback port that leads to a real registry, with faults."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            faults.asked.append((self.path, dict(self.headers)))
            for key, times in faults.busy.items():
                if key in self.path and times > 0:
                    faults.busy[key] -= 1
                    self.send_response(503)
                    self.send_header("Retry-After", "0")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
            if faults.redirect and "blobs" in self.path:
                self.send_response(307)
                self.send_header("Location", faults.redirect + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            connection = HTTPConnection(upstream, timeout=10)
            names = ("Accept", "Authorization", "Range") if faults.ranges else ("Accept", "Authorization")
            connection.request("GET", self.path, headers={n: self.headers[n] for n in names if n in self.headers})
            response = connection.getresponse()
            headers = {k: v for k, v in response.getheaders() if k != "Content-Length"}
            body = faults.change(self.path, response.read(), headers)
            self.send_response(response.status)
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for key, places in faults.cut.items():
                if key in self.path and places:
                    self.wfile.write(body[: places.pop(0)])
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with served(Handler) as address:
        yield address


def answering(bodies: dict[str, bytes], media_type: str = "") -> type[BaseHTTPRequestHandler]:
    """A registry of fixed answers: the first whose key is in the path; 404 for the rest."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = next((b for key, b in bodies.items() if key in self.path), None)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.send_header("Content-Type", media_type)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class TestBadConnections:
    def test_a_busy_registry_is_asked_again(self, registry: RegistryServer, big: Saved) -> None:
        faults = Faults(busy={"manifests": 2, "blobs": 3})
        with proxied(registry.host, faults) as host, opened(f"registry:{host}/big:1") as one:
            assert contents(one) == [forms.sha256(big.layers[0])]
        faults = Faults(busy={"manifests": 99})
        with (
            proxied(registry.host, faults) as host,
            pytest.raises(SourceError, match="answered 503 when it was asked for"),
        ):
            opened(f"registry:{host}/big:1")
        assert len([p for p, _ in faults.asked if "manifests" in p]) == 4

    @pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
    def test_a_dropped_layer_is_taken_up_where_it_broke_off(
        self, ranges: bool, registry: RegistryServer, big: Saved
    ) -> None:
        digest = forms.sha256(gz(big.layers[0]))
        faults = Faults(cut={digest: [0, 1000, 2 << 20, 1]}, ranges=ranges)
        with proxied(registry.host, faults) as host, opened(f"registry:{host}/big:1") as one:
            assert contents(one) == [forms.sha256(big.layers[0])]
        asked = [headers.get("Range") for path, headers in faults.asked if digest in path]
        assert asked[:3] == [None, None, "bytes=1000-"]
        assert len(asked) == 5

    def test_a_layer_that_never_gets_on_is_given_up(self, registry: RegistryServer, big: Saved) -> None:
        stored = gz(big.layers[0])
        faults = Faults(cut={forms.sha256(stored): [1000, *[0] * 50]})
        words = rf"layer 0 .*broke off after 1000 of {len(stored)} bytes, 4 times"
        with (
            proxied(registry.host, faults) as host,
            opened(f"registry:{host}/big:1") as one,
            pytest.raises(LayerError, match=words),
        ):
            contents(one)

    def test_a_registry_that_goes_away_between_manifest_and_layer(self, registry: RegistryServer, big: Saved) -> None:
        with proxied(registry.host, Faults()) as host:
            one = opened(f"registry:{host}/big:1")
        with one, pytest.raises(LayerError, match="Connection refused"):
            contents(one)

    def test_a_redirect_is_followed_without_our_password(
        self,
        registry: RegistryServer,
        locked_registry: RegistryServer,
        big: Saved,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        storage, front = Faults(), Faults()
        with proxied(registry.host, storage) as elsewhere, served(basic_front(registry.host, elsewhere, front)) as host:
            login(tmp_path, {"auths": {host: {"username": USER, "password": PASSWORD}}}, monkeypatch)
            with opened(f"registry:{host}/big:1") as one:
                assert contents(one) == [forms.sha256(big.layers[0])]
        assert storage.asked
        assert all("Authorization" not in headers for _, headers in storage.asked)
        assert any("Authorization" in headers for _, headers in front.asked)

    def test_redirects_have_an_end(self, registry: RegistryServer, big: Saved) -> None:
        faults = Faults()
        with proxied(registry.host, faults) as host:
            faults.redirect = f"http://{host}"
            with pytest.raises(SourceError, match="redirects more than 5 times"):
                opened(f"registry:{host}/big:1")
            faults.redirect = "file://"
            with pytest.raises(SourceError, match=r"redirects to file:.*, which is not followed"):
                opened(f"registry:{host}/big:1")

    def test_a_manifest_must_be_what_the_registry_says_it_is(self, registry: RegistryServer, big: Saved) -> None:
        faults = Faults(change=lambda path, body, headers: body + b" " if "manifests" in path else body)
        digest = forms.sha256(forms.manifest(big, gz)[0])
        with proxied(registry.host, faults) as host:
            for reference in (":1", f"@{digest}"):
                with pytest.raises(
                    SourceError, match=f"as {host} sent it, does not match its digest: expected {digest}"
                ):
                    opened(f"registry:{host}/big{reference}")
            faults.change = lambda path, body, headers: body + b" " if big.id in path else body
            with pytest.raises(SourceError, match=f"expected {big.id}"):
                opened(f"registry:{host}/big:1")

    def test_an_endless_manifest_is_cut(self, registry: RegistryServer, big: Saved) -> None:
        faults = Faults(change=lambda path, body, headers: body + b" " * (3 << 20))
        with proxied(registry.host, faults) as host, pytest.raises(LimitError, match="more than the limit of 1000000"):
            opened(f"registry:{host}/big:1", limits=Limits(document_bytes=1_000_000))

    def test_a_registry_that_speaks_something_else(self) -> None:
        for body, kind, message in (
            (b"<html>", "", "is no valid JSON"),
            (b'{"schemaVersion":1,"fsLayers":[]}', "", "is a schema 1 manifest"),
            (b'{"layers":[],"manifests":[]}', "", "an index and a manifest at once"),
        ):
            with served(answering({"manifests": body}, kind)) as host, pytest.raises(SourceError, match=message):
                opened(f"registry:{host}/app")

    def test_a_server_that_says_nothing_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(source, "READ_SECONDS", 0.2)
        monkeypatch.setattr(source, "CONNECT_SECONDS", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            begin = time.monotonic()
            with pytest.raises(SourceError, match=r"cannot reach http://127.0.0.1.*timed out"):
                opened(f"registry:127.0.0.1:{silent.getsockname()[1]}/app")
        assert time.monotonic() - begin < 5

    def test_a_layer_that_drips_is_given_up(
        self, monkeypatch: pytest.MonkeyPatch, registry: RegistryServer, big: Saved
    ) -> None:
        monkeypatch.setattr(source, "PATIENCE", 0.3)
        stop = threading.Event()

        class Dripping(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                while not stop.wait(0.05):
                    try:
                        self.wfile.write(b"x")
                    except OSError:
                        return

            def log_message(self, *_: object) -> None:
                pass

        faults = Faults()
        with served(Dripping) as drip, proxied(registry.host, faults) as host, opened(f"registry:{host}/big:1") as one:
            faults.redirect = f"http://{drip}"
            with pytest.raises(LayerError, match=r"layer 0 .*comes too slowly"):
                contents(one)
            stop.set()

    def test_plain_http_only_on_this_machine_or_when_asked_for(self) -> None:
        assert source.is_loopback("localhost:5000")
        assert source.is_loopback("127.3.4.5")
        assert source.is_loopback("[::1]:5000")
        for host in ("registry.test", "127.0.0.1.registry.test", "localhost.test:80", "[::", "10.0.0.1"):
            assert not source.is_loopback(host), host

    def test_a_url_is_not_a_reference(self) -> None:
        with pytest.raises(TargetError, match="without a URL's scheme: registry:HOST/NAME:TAG"):
            opened("registry:https://ghcr.io/x")


def basic_front(upstream: str, storage: str, faults: Faults) -> type[BaseHTTPRequestHandler]:
    """A registry that wants a password and keeps its blobs on another host."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            faults.asked.append((self.path, dict(self.headers)))
            expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
                self.send_header("Content-Length", "0")
            elif "blobs" in self.path:
                self.send_response(307)
                self.send_header("Location", f"http://{storage}{self.path}")
                self.send_header("Content-Length", "0")
            else:
                connection = HTTPConnection(upstream, timeout=10)
                connection.request("GET", self.path, headers={"Accept": self.headers["Accept"]})
                response = connection.getresponse()
                self.send_response(response.status)
                for header, value in response.getheaders():
                    self.send_header(header, value)
                self.end_headers()
                self.wfile.write(response.read())
                return
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def test_a_registry_with_a_certificate(
    registry: RegistryServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https first, even on this machine; an unknown authority is an error that says what to do, never plain http."""
    import ssl
    from http.server import ThreadingHTTPServer

    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        [
            program("openssl"),
            *f"req -x509 -newkey rsa:2048 -nodes -days 2 {subject}".split(),
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    handler = basic_front(registry.host, registry.host, Faults())
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    host = f"localhost:{server.server_address[1]}"
    try:
        login(tmp_path, {"auths": {host: {"username": USER, "password": PASSWORD}}}, monkeypatch)
        with pytest.raises(SourceError, match=r"certificate that no known authority signed.*REQUESTS_CA_BUNDLE"):
            opened(f"registry:{host}/team/app:1")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with pytest.raises(SourceError, match=r"redirects to http://.*, which is not followed"):
            opened(f"registry:{host}/team/app:1")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_no_answer_raises_anything_but_our_own_errors() -> None:
    answer: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer["status"])
            for name in ("Content-Type", "Docker-Content-Digest", "WWW-Authenticate", "Location", "Retry-After"):
                self.send_header(name, answer["header"])
            self.send_header("Content-Length", str(len(answer["body"])))
            self.end_headers()
            self.wfile.write(answer["body"])

        def log_message(self, *_: object) -> None:
            pass

    @settings(max_examples=40, deadline=None)
    @given(
        st.binary(max_size=300) | st.just(forms.manifest(APP, gz)[0]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60),
        st.sampled_from([200, 206, 301, 401, 403, 404, 416, 500]),
    )
    def try_one(body: bytes, header: str, status: int) -> None:
        answer.update(body=body, header=header, status=status)
        with pytest.raises(ScannerError):
            opened(f"registry:{host}/app")

    with served(Handler) as host:
        try_one()
