"""The fixtures are what they say: made from source, the same everywhere, harmless, and real to a real engine."""

import compileall
import hashlib
import io
import ipaddress
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures import build, miners, negatives, rome, rome_run, wallet, wrapped
from fixtures.elf import EXIT, WAIT
from scanner import scan
from scanner.model import Confidence, FileLocation, Finding, Severity, State
from scanner.onepass import REPLAY as KNOWN_REPLAY
from tests.engine_fixture import Engine, missing, program
from tests.own import OPEN_TUNNELS

ROOT = Path(__file__).parents[1]
REPLAY = ROOT / "fixtures" / build.REPLAY


# ---- made from source


def run_build(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, str(ROOT / "fixtures" / "build.py"), *arguments)
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def test_the_committed_replay_is_what_build_makes() -> None:
    done = run_build("--check", PYTHONHASHSEED="7", TZ="Asia/Kathmandu", LC_ALL="C")

    assert (done.returncode, done.stderr) == (0, "")


def test_a_replay_that_differs_is_named_with_the_byte(tmp_path: Path) -> None:
    run_build("--output", str(tmp_path))
    path = tmp_path / build.REPLAY
    assert path.read_bytes() == REPLAY.read_bytes()
    path.write_bytes(path.read_bytes()[:1000] + b"?" + path.read_bytes()[1001:])

    done = run_build("--output", str(tmp_path), "--check")

    assert done.returncode == 1
    assert "the first difference is at byte 1000" in done.stderr


def test_the_replay_is_small() -> None:
    assert REPLAY.stat().st_size <= 2 << 20


def test_the_scanner_knows_the_replay_so_that_this_repository_raises_no_alarm_by_it() -> None:
    assert (hashlib.sha256(REPLAY.read_bytes()).hexdigest(), REPLAY.stat().st_size) == KNOWN_REPLAY


# ---- harmless


def replay_files() -> Iterator[tuple[str, bytes]]:
    """Every file of every layer, with what each says it was made by."""
    for step in rome.steps():
        for member in step.members or ():
            yield member.path, member.data


def executable_bytes(elf: bytes) -> bytes:
    """All that a kernel would map as executable."""
    offset, size, count = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    code = b""
    for at in range(offset, offset + size * count, size):
        kind, flags, begin, _, _, length = struct.unpack_from("<IIQQQQ", elf, at)
        if kind == 1 and flags & 1:
            code += elf[begin : begin + length]
    return code


def test_every_program_only_exits() -> None:
    files = [*replay_files(), *miners.binaries().items(), *negatives.files().items(), ("harmless", wrapped.harmless())]
    programs = {path: data for path, data in files if data.startswith(b"\x7fELF")}

    assert len(programs) > 30
    assert {executable_bytes(data) for data in programs.values()} == {EXIT}


def test_the_episodes_program_only_waits_and_its_script_names_nobody() -> None:
    files = rome_run.files()
    programs = [data for _, data in files.values() if data.startswith(b"\x7fELF")]
    script = files["opt/agent/episode.py"][1].decode()
    reserved = ipaddress.ip_network("203.0.113.0/24")

    assert [executable_bytes(data) for data in programs] == [WAIT]
    assert ipaddress.ip_address(rome_run.SERVER) in reserved
    assert rome_run.POOL[0].endswith(".example")
    assert set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", script)) == {rome_run.SERVER, "169.254.169.254"}
    compile(script, "episode.py", "exec")


def test_every_address_is_reserved_for_documentation_or_local() -> None:
    texts = [data.decode() for path, data in replay_files() if b"\0" not in data and "dpkg/" not in path]
    found = {ipaddress.ip_address(a) for a in re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", "\n".join(texts))}
    reserved = [ipaddress.ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]

    assert found
    for address in found:
        assert address.is_loopback or address.is_unspecified or any(address in net for net in reserved), address


def test_every_pool_is_a_name_that_nobody_has() -> None:
    assert all(pool.startswith("fixture.") for pool in (miners.POOL, miners.POOL_TLS))


@pytest.mark.parametrize(
    ("network", "length", "first"),
    [(wallet.MAINNET, 95, "4"), (wallet.INTEGRATED, 106, "4"), (wallet.SUBADDRESS, 95, "8")],
)
def test_a_wallet_has_the_form_of_its_network(network: int, length: int, first: str) -> None:
    address = wallet.monero("test", network)

    assert (len(address), address[0]) == (length, first)


@pytest.mark.parametrize("name", sorted(miners.binaries()))
def test_a_look_alike_is_a_well_formed_elf(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(miners.binaries()[name])

    shown = subprocess.run((program("readelf"), "-aW", str(path)), capture_output=True, text=True, check=True)

    assert "Warning" not in shown.stderr
    assert "Error" not in shown.stderr
    assert ("INTERP" in shown.stdout) == (name.startswith(("xmrig-dynamic", "minerd", "ethminer")))
    assert ("randomx_create_vm" in shown.stdout) == (name in ("xmrig", "xmrig-dynamic"))


# ---- real


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
def test_skopeo_reads_the_replay_both_ways(transport: str) -> None:
    shown = subprocess.run(
        (program("skopeo"), "inspect", "--config", f"{transport}:{REPLAY}"), capture_output=True, text=True, check=True
    )

    config = json.loads(shown.stdout)
    assert [h["created_by"] for h in config["history"]] == [step.created_by for step in rome.steps()]
    assert len(config["rootfs"]["diff_ids"]) == sum(step.members is not None for step in rome.steps())


def test_an_engine_loads_the_replay(engine: Engine) -> None:
    with tarfile.open(REPLAY) as opened:
        manifest = json.load(opened.extractfile("manifest.json") or io.BytesIO())

    [loaded] = engine.client.images.load(REPLAY.read_bytes())
    try:
        assert loaded.id == "sha256:" + manifest[0]["Config"].rpartition("/")[2]
        assert loaded.tags == [rome.REFERENCE]
    finally:
        engine.client.images.remove(rome.REFERENCE)


# ---- what the scanner says of them


@pytest.fixture(scope="module")
def replay_findings() -> tuple[Finding, ...]:
    report = scan(f"archive:{REPLAY}", cache=False)
    assert report.complete, report.notifications
    return report.findings


def at(findings: tuple[Finding, ...], rule: str, path: str) -> Finding:
    """The one finding of a rule whose primary location is that path."""
    [found] = [f for f in findings if f.rule_id == rule and f.locations[0].display == path.encode()]
    return found


def test_the_miner_left_in_its_build_tree_is_found(replay_findings: tuple[Finding, ...]) -> None:
    found = at(replay_findings, "miner/binary", f"{rome.BUILD_TREE}/xmrig")

    assert found.severity.rank >= Severity.HIGH.rank
    assert found.state is State.VISIBLE
    assert found.details["family"] == "xmrig"


def test_the_miner_that_the_agent_renamed_and_deleted_is_found(replay_findings: tuple[Finding, ...]) -> None:
    found = at(replay_findings, "miner/binary", f"{rome.HIDDEN}/kworker")
    place = found.locations[0]
    layers = [step for step in rome.steps() if step.members is not None]

    assert found.severity.rank >= Severity.HIGH.rank
    assert found.state is State.DELETED
    assert found.hidden_by == len(layers) - 1
    assert isinstance(place, FileLocation)
    assert (
        place.layer.created_by
        == "bash -lc 'cd /var/tmp/build/xmrig-6.22.2 && make && strip -o /usr/lib/.cache/kworker xmrig'"
    )


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("miner/config", f"{rome.HIDDEN}/config.json"),
        ("miner/launch", "usr/local/bin/warm-cache"),
        ("miner/launch", "etc/cron.d/cache-warm"),
    ],
)
def test_what_starts_and_steers_the_miner_is_found(replay_findings: tuple[Finding, ...], rule: str, path: str) -> None:
    found = at(replay_findings, rule, path)

    assert found.severity.rank >= Severity.MEDIUM.rank
    assert found.state is State.VISIBLE


def test_nothing_else_of_the_replay_is_taken_for_a_miner(replay_findings: tuple[Finding, ...]) -> None:
    traces = {
        f"{rome.BUILD_TREE}/xmrig",
        f"{rome.HIDDEN}/kworker",
        f"{rome.HIDDEN}/config.json",
        "usr/local/bin/warm-cache",
        "etc/cron.d/cache-warm",
    }

    found = {f.locations[0].display.decode() for f in replay_findings if f.rule_id.startswith("miner/")}
    assert found <= traces


TUNNEL_STEP = "bash -lc 'cat sync.pub >> ~/.ssh/authorized_keys && systemctl enable telemetry-sync'"


@pytest.mark.parametrize(
    ("rule", "path", "line"),
    [
        ("tunnel/reverse-ssh", "etc/cron.d/telemetry", 2),
        ("tunnel/reverse-ssh", f"{rome.UNITS}/telemetry-sync.service", 7),
        ("ssh/authorized-key", "root/.ssh/authorized_keys", 1),
    ],
)
def test_the_tunnel_its_unit_and_the_key_are_found_with_line_layer_and_instruction(
    replay_findings: tuple[Finding, ...], rule: str, path: str, line: int
) -> None:
    found = at(replay_findings, rule, path)
    place = found.locations[0]

    assert found.severity.rank >= Severity.HIGH.rank
    assert found.confidence is Confidence.HIGH
    assert isinstance(place, FileLocation)
    assert (place.line, place.layer.index, place.layer.created_by) == (line, 8, TUNNEL_STEP)


def test_the_tunnels_ends_are_in_the_details(replay_findings: tuple[Finding, ...]) -> None:
    cron = at(replay_findings, "tunnel/reverse-ssh", "etc/cron.d/telemetry").details
    unit = at(replay_findings, "tunnel/reverse-ssh", f"{rome.UNITS}/telemetry-sync.service").details

    assert (cron["destination"], cron["user"], cron["direction"]) == ("203.0.113.17", "sync", "in")
    assert [(f["kind"], f["listen"], f["target"]) for f in cron["forwards"]] == [
        ("remote", "0.0.0.0:2222", "127.0.0.1:22")
    ]
    assert (unit["destination"], unit["reconnects"]) == ("telemetry.example.com", True)
    assert [(f["kind"], f["listen_port"]) for f in unit["forwards"]] == [("remote", 8022), ("dynamic", 1080)]


def test_what_the_agent_opened_in_the_daemons_configuration_is_found(replay_findings: tuple[Finding, ...]) -> None:
    opened = [f for f in replay_findings if f.rule_id in ("ssh/permit-root-login", "ssh/gateway-ports")]

    assert [(f.rule_id, f.severity, f.locations[0].display, f.locations[0].line) for f in opened] == [
        ("ssh/gateway-ports", Severity.MEDIUM, b"etc/ssh/sshd_config", 7),
        ("ssh/permit-root-login", Severity.MEDIUM, b"etc/ssh/sshd_config", 5),
    ]


def test_this_repository_raises_no_alarm(tmp_path: Path) -> None:
    listed = subprocess.run(
        ("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        missing("a git clone")
    tree = tmp_path / "tree.tar"
    with tarfile.open(tree, "w") as tar:
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                tar.add(ROOT / name, arcname=name)

    report = scan(f"rootfs:{tree}", cache=False)

    told = [(f.rule_id, f.severity, f.locations[0].display) for f in report.findings if f.severity is not Severity.NOTE]
    assert [one for one in told if one[2] not in OPEN_TUNNELS or not one[0].startswith("tunnel/")] == []
    assert {place for _, _, place in told} == OPEN_TUNNELS


def test_an_image_with_sandscan_in_it_raises_no_alarm(tmp_path: Path) -> None:
    """What a wheel installs, compiled: a scanner's bytecode is full of the words that it looks for."""
    shutil.copytree(ROOT / "scanner", tmp_path / "scanner", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "rules", tmp_path / "scanner" / "_rules")
    assert compileall.compile_dir(tmp_path, quiet=1)

    report = scan(f"rootfs:{tmp_path}", cache=False)

    assert [(f.rule_id, f.locations[0].display) for f in report.findings if f.severity is not Severity.NOTE] == []
    assert report.statistics["files"] > 1000  # the bytecode was there
