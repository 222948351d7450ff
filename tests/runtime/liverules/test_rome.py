"""The ROME episode, played in a container without a network: what of it runs is found."""

import subprocess
import time
from pathlib import Path

import pytest

from fixtures import rome_run
from scanner.model import Confidence, Severity
from scanner.runtime.live import LiveOptions, live
from tests import host_image
from tests.engine_fixture import Engine

pytestmark = pytest.mark.engine

SILENT = "import socket, time\ns = socket.create_server(('', 22))\ntime.sleep(600)\n"
"""A server that never says anything: the tunnel's client waits for it."""


def test_the_episodes_miner_and_tunnel_are_found_by_process(engine: Engine, at_engine: object) -> None:
    files = {**rome_run.files(), "silent": (0o644, SILENT.encode())}
    engine.client.api.import_image_from_data(host_image.tree(["sh", "ssh"], files), repository="rome-live", tag="1")
    container = engine.client.containers.run(
        "rome-live:1", ["python3", "/silent"], name="rome", detach=True, network_mode="none"
    )
    try:
        container.reload()
        pid = container.attrs["State"]["Pid"]
        subprocess.run(
            [
                "nsenter",
                f"--net=/proc/{pid}/ns/net",
                "ip",
                "route",
                "add",
                "local",
                "203.0.113.0/24",
                "dev",
                "lo",
            ],
            check=True,
        )
        _until(lambda: ":0016 00000000" in Path(f"/proc/{pid}/net/tcp").read_text())
        container.exec_run(["python3", "/opt/agent/episode.py", "drop", "start", "tunnel", "600"], detach=True)
        _until(lambda: ":0016 01 " in Path(f"/proc/{pid}/net/tcp").read_text())  # the tunnel's client is connected
        report = live("rome", LiveOptions())
    finally:
        container.remove(force=True)
        engine.client.images.remove("rome-live:1", force=True)
    assert report.run is not None
    [miner] = report.findings_of("live/miner-process")
    assert (miner.severity, miner.confidence) == (Severity.CRITICAL, Confidence.HIGH)
    assert miner.details["signs"] == ["program", "command"]
    assert "stratum+tcp://pool.example:3333" in miner.details["pools"]
    process = report.run.process(miner.details["pid"])
    assert process is not None
    assert process.executable == b"/" + rome_run.DROPPED.encode()
    [tunnel] = report.findings_of("live/tunnel-process")
    assert tunnel.severity is Severity.CRITICAL
    assert tunnel.details["destination"] == rome_run.SERVER
    assert tunnel.details["connections"] == [f"{rome_run.SERVER}:22"]
    assert f"localhost:{rome_run.LISTENS}" in tunnel.message
    [connection] = report.findings_of("live/outside-connection")
    assert (connection.severity, connection.details["port"]) == (Severity.MEDIUM, 22)
    assert {f.rule_id.partition("/")[0] for f in report.findings} == {"live"}


def _until(true: "object") -> None:
    end = time.monotonic() + 30
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)
