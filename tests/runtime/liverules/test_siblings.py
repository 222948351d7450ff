"""A container that speaks to others of its network, on an engine that may make networks: they are named, and nobody's outside."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from scanner.runtime.live import LiveOptions, live
from tests import host_image
from tests.engine_fixture import Engine, started_engine

pytestmark = pytest.mark.engine

SERVE = "import socket, time\ns = socket.create_server(('', 5432))\nheld = []\nwhile True: held.append(s.accept()[0])\n"
ASK = "import socket, sys, time\nc = socket.create_connection((sys.argv[1], 5432))\ns = socket.create_server(('', 8080))\ntime.sleep(600)\n"


@pytest.fixture(scope="module")
def apart() -> Iterator[Engine]:
    with started_engine(apart=True) as one:
        yield one


def test_a_neighbour_is_named_and_no_finding(apart: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", apart.host)
    client: Any = apart.client
    files = {"serve": (0o644, SERVE.encode()), "ask": (0o644, ASK.encode())}
    client.api.import_image_from_data(host_image.tree(["sleep"], files), repository="sibling", tag="1")
    network = client.networks.create("inner", driver="bridge", internal=True)
    made = [client.containers.run("sibling:1", ["python3", "/serve"], name="db", detach=True, network="inner")]
    try:
        made[0].reload()
        address = made[0].attrs["NetworkSettings"]["Networks"]["inner"]["IPAddress"]
        made.append(
            client.containers.run("sibling:1", ["python3", "/ask", address], name="app", detach=True, network="inner")
        )
        end = time.monotonic() + 20
        while True:
            report = live("app", LiveOptions())
            assert report.run is not None
            connected = [s for s in report.run.sockets if s.remote is not None and s.remote.port == 5432]
            if [s.state for s in connected] == ["established"] or time.monotonic() > end:
                break
            time.sleep(0.2)
    finally:
        for one in made:
            one.remove(force=True)
        network.remove()
    [neighbour] = connected
    assert (neighbour.state, neighbour.says) == ("established", "the container db")
    assert report.findings == ()
    namespace = report.run.namespace
    assert namespace is not None
    assert any(text.startswith("eth0 ") for text in namespace.interfaces)
    assert any("dev eth0" in text for text in namespace.routes)
