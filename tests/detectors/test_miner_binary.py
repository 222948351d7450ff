"""Programs that mine are found and named; programs that talk about mining are left alone."""

import json
import marshal
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures import miners, negatives
from fixtures.elf import Program, build
from fixtures.wallet import monero
from scanner.detectors.mining import lexing
from scanner.model import Confidence, Evidence, FileLocation, Finding, Severity, State

Detect = Callable[..., list[Finding]]

XMRIG = build(replace(miners.XMRIG, symbols=()))


def binaries(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.rule_id == "miner/binary"]


@pytest.mark.parametrize("name", sorted(miners.binaries()))
def test_a_miner_is_found_and_named(detect: Detect, name: str) -> None:
    [found] = binaries(detect({f"opt/{name}": miners.binaries()[name]}))

    family = {"xmrig": "xmrig", "minerd": "cpuminer", "ethminer": "ethminer"}[name.partition("-")[0]]
    assert found.severity.rank >= Severity.HIGH.rank
    assert found.details["family"] == family
    assert found.locations[0].display == f"opt/{name}".encode()
    assert found.state is State.VISIBLE


def test_evidence_says_what_and_where(detect: Detect) -> None:
    [found] = binaries(detect({"opt/xmrig": XMRIG}))

    assert found.confidence is Confidence.HIGH
    assert set(found.details["classes"]) == {"protocol", "pool", "algorithm", "options", "messages"}  # type: ignore[arg-type]
    assert found.details["pools"] == ["donate.v2.xmrig.com", "donate.ssl.xmrig.com"]
    for piece in found.evidence:
        assert piece.offset is not None
        if piece.kind == "build":
            continue
        strings = piece.facts["strings"]
        assert isinstance(strings, list)
        first = bytes.fromhex(strings[0].partition("=")[2]) if "key0=" in strings[0] else strings[0].encode()
        assert first in XMRIG[piece.offset : piece.offset + 100]


@pytest.mark.parametrize(("name", "stripped"), [("xmrig", False), ("xmrig-dynamic-stripped", True), ("minerd", False)])
def test_how_it_was_built_is_told(detect: Detect, name: str, stripped: bool) -> None:
    [found] = binaries(detect({f"opt/{name}": miners.binaries()[name]}))

    assert found.details["stripped"] is stripped
    assert found.details["machine"] == "X86_64"
    assert ("symbols" in found.details["classes"]) is not stripped  # type: ignore[operator]


def test_a_deleted_miner_is_still_high_and_says_who_deleted_it(detect: Detect) -> None:
    [found] = binaries(detect({"tmp/kworker": XMRIG}, {}, gone={"tmp/kworker": 1}))

    assert (found.severity, found.state, found.hidden_by) == (Severity.HIGH, State.DELETED, 1)
    place = found.locations[0]
    assert isinstance(place, FileLocation)
    assert place.layer.index == 0


def test_the_same_miner_in_two_layers_is_one_finding_with_both_places(detect: Detect) -> None:
    [found] = binaries(detect({"opt/x": XMRIG}, {"opt/x": XMRIG}, gone=None))

    assert [p.layer.index for p in found.locations if isinstance(p, FileLocation)] == [0, 1]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("usr/bin/kworker", "has a kernel thread's or a worm's name"),
        ("usr/lib/.cache/x", "lies hidden behind a dot"),
        ("dev/shm/x", "lies among temporary or device files"),
        ("opt/systemd-helper", "is not named xmrig"),
    ],
)
def test_a_disguise_is_told(detect: Detect, path: str, reason: str) -> None:
    [found] = binaries(detect({path: XMRIG}))

    assert reason in found.details["disguise"]  # type: ignore[operator]
    assert reason in found.message


@pytest.mark.parametrize("path", ["opt/xmrig", "root/.cache/xmrig", "usr/local/bin/xmrig-6.22"])
def test_an_honest_place_is_no_disguise(detect: Detect, path: str) -> None:
    [found] = binaries(detect({path: XMRIG}))

    assert found.details["disguise"] == []


def test_a_program_that_no_package_owns_among_those_that_one_does(detect: Detect) -> None:
    [found] = binaries(detect({"usr/bin/xmrig": XMRIG}, owners={"usr/bin/ls": "coreutils"}))

    assert found.details["disguise"] == ["stands among system files that packages own, and none owns it"]
    assert found.details["package"] is None


def test_a_packages_miner_is_a_miner_too(detect: Detect) -> None:
    [found] = binaries(detect({"usr/bin/xmrig": XMRIG}, owners={"usr/bin/xmrig": "xmrig"}))

    assert found.severity is Severity.CRITICAL
    assert found.details["package"] == "xmrig"


def test_a_member_of_an_archive_is_placed_in_it(detect: Detect) -> None:
    [found] = binaries(detect({"opt/a.tar.gz!/x/kworker": XMRIG}))

    assert found.locations[0].display == b"opt/a.tar.gz!/x/kworker"


def test_what_was_unpacked_counts_as_packed(detect: Detect) -> None:
    [found] = binaries(detect({"opt/xmrig!/(unpacked)": XMRIG}))

    assert "packing" in found.details["support"]  # type: ignore[operator]


def test_a_miner_appended_to_a_picture_is_found(detect: Detect) -> None:
    [found] = binaries(detect({"srv/logo.png": b"\x89PNG\r\n\x1a\n" + bytes(9000) + XMRIG}))

    assert found.severity is Severity.CRITICAL
    assert found.details["form"] == "program inside another file"


@pytest.mark.parametrize("where", ["before", "behind"])
def test_rule_text_beside_a_miner_buys_no_silence(detect: Detect, where: str) -> None:
    words = ["mining.subscribe", "donate.v2.xmrig.com", "rx/0", "donate-level", "stratum+tcp://", "cn/r", "seed_hash"]
    text = "\nrule a {\n strings:\n" + "".join(f' $a{i} = "{w}" ascii\n' for i, w in enumerate(words)) + "}\n"
    cover = text.encode() * 3000
    data = XMRIG + cover if where == "behind" else XMRIG[:4096] + cover + XMRIG[4096:]

    [found] = binaries(detect({"opt/xmrig": data}))

    assert found.severity is Severity.CRITICAL


def test_a_program_that_only_carries_rules_is_no_miner(detect: Detect) -> None:
    text = negatives.TEXTS["usr/share/yara/miners.yar"] + negatives.TEXTS["etc/falco/rules.d/mining.yaml"]
    lists = negatives.TEXTS["etc/hosts.block"]

    assert binaries(detect({"usr/bin/scanner": build(Program(strings=text + b"\0" + lists))})) == []


def test_a_list_of_pools_in_a_program_is_no_place_to_mine_at(detect: Detect) -> None:
    hosts = "supportxmr.com nanopool.org 2miners.com f2pool.com antpool.com viabtc.com zpool.ca minexmr.com c3pool.com"
    more = "herominers.com hashvault.pro xmrpool.eu ethermine.org flypool.org slushpool.com nicehash.com luckypool.io"
    strings = "\0".join([*hosts.split(), *more.split(), "kawpow", "etchash", "neoscrypt"]).encode() + b"\0"

    assert [f for f in binaries(detect({"usr/bin/blocker": build(Program(strings=strings))})) if f.severity.rank] == []


def test_a_node_can_mine_and_is_a_note(detect: Detect) -> None:
    words = b"start-mining\0mining-threads\0randomx_create_vm\0randomx_calculate_hash\0"

    [found] = binaries(detect({"usr/bin/monerod": build(Program(strings=words + miners.RANDOMX))}))

    assert (found.severity, found.confidence) == (Severity.NOTE, Confidence.LOW)
    assert "can mine" in found.message


def test_the_negatives_are_notes_at_most(detect: Detect) -> None:
    assert [(f.rule_id, f.locations[0].display) for f in detect(negatives.files()) if f.severity.rank] == []


# ---- scripts

PYTHON = miners.scripts()["miner.py"]

NODE = b"""
const net = require('net');
const { createHash } = require("crypto");
const socket = net.connect(3333, process.argv[2]);
send({ id: 1, method: "login", params: { login: user, pass: "x" } });
function hash(blob, nonce) { return createHash('sha256').update(blob).digest(); }
socket.on('data', line => { if (line.method === "job") job_id = line.params.job_id; });
send({ id: 2, method: "submit", params: { job_id, nonce } });
"""


def test_a_python_miner_is_found_with_its_line(detect: Detect) -> None:
    [found] = binaries(detect({"opt/m.py": PYTHON}))

    assert found.severity is Severity.CRITICAL
    assert found.details["wallets"] == [monero()]
    place = found.locations[0]
    assert isinstance(place, FileLocation)
    assert place.line is not None
    assert b'"login"' in PYTHON.split(b"\n")[place.line - 1]


def test_a_node_miner_is_found(detect: Detect) -> None:
    [found] = binaries(detect({"opt/m.js": NODE}))

    assert found.severity.rank >= Severity.HIGH.rank


def test_a_miner_spread_over_the_files_of_a_package_is_one_finding(detect: Detect) -> None:
    stratum = b"""import socket
def go(s):
    for m in ("mining.subscribe", "mining.authorize", "mining.notify", "mining.submit"):
        s.sendall(m)
"""
    search = b"""from hashlib import sha256
# mining.subscribe mining.notify mining.submit
def scan(header, nonce):
    return sha256(sha256(header + nonce).digest()).digest()
"""
    inside = {"app.whl!/m/stratum.py": stratum, "app.whl!/m/search.py": search}

    [found] = binaries(detect(inside))

    assert found.locations[0].display == b"app.whl!/m/stratum.py"
    assert found.details["classes"] == ["protocol", "algorithm"]


def test_python_that_spawns_a_miner_with_its_options_is_found(detect: Detect) -> None:
    data = f"""import subprocess
subprocess.Popen(["/opt/x", "-o", "{miners.POOL}", "-u", "me", "--donate-level", "0", "--rig-id", "a"])
""".encode()

    [found] = binaries(detect({"opt/m.py": data}))

    assert found.details["classes"] == ["pool", "options"]
    assert found.details["pools"] == [miners.POOL]


def test_python_that_looks_for_miners_is_left_alone(detect: Detect) -> None:
    data = b"""import re, subprocess
PATTERNS = ["xmrig", "stratum+tcp://", "--donate-level", "--randomx-mode", "--rig-id", "cryptonight", "supportxmr.com"]
def check():
    out = subprocess.check_output(["ps", "aux"]).decode()
    return [p for p in PATTERNS if re.search(p, out)]
"""

    assert detect({"opt/check.py": data}) == []


def test_a_miner_of_java_classes_is_one_finding_in_its_jar(detect: Detect) -> None:
    magic = b"\xca\xfe\xba\xbe\0\0\0\x37"
    protocol = magic + b"\1\0\x10mining.subscribe\1\0\x10mining.authorize\1\0\rmining.submit"
    menu = magic + b"\1\0\6kawpow\1\0\x09neoscrypt\1\0\x08etchash"

    [found] = binaries(detect({"app.jar!/m/Client.class": protocol, "app.jar!/m/Algo.class": menu}))

    assert found.locations[0].display == b"app.jar!/m/Client.class"
    assert (found.severity, found.details["form"]) == (Severity.HIGH, "Java class")


def test_python_bytecode_is_read_without_running_it(detect: Detect) -> None:
    source = "import hashlib\nfor nonce in 1, 2:\n    x('mining.subscribe', 'mining.authorize', 'mining.submit')\n"
    bytecode = b"\xa7\r\r\n" + bytes(12) + marshal.dumps(compile(source, "m", "exec"))

    [found] = binaries(detect({"opt/__pycache__/m.cpython-311.pyc": bytecode}))

    assert found.details["classes"] == ["protocol", "algorithm"]


@pytest.mark.parametrize(
    "data",
    [
        b"# " + PYTHON.replace(b"\n", b"\n# "),
        b'SAMPLE = """' + PYTHON.replace(b'"""', b"") + b'"""\nimport socket, hashlib\nnonce = 1\n',
        b"import re\nMETHODS = re.compile('mining.subscribe|mining.authorize|mining.submit')\n",
        b"NAMES = ['mining.subscribe', 'mining.authorize', 'mining.submit', 'rx/0', 'kawpow']\nPOOL = 'supportxmr.com'\n",
    ],
)
def test_python_about_mining_is_no_miner(detect: Detect, data: bytes) -> None:
    assert [f for f in binaries(detect({"opt/m.py": data})) if f.severity.rank] == []


def test_a_pages_miner_is_found(detect: Detect) -> None:
    page = b"<html><script>\nvar m = new CoinHive.Anonymous('KEY');\nm.start();</script>"
    functions = b"\0asm\1\0\0\0_cryptonight_create\0_cryptonight_hash\0_cryptonight_destroy\0"

    found = binaries(detect({"srv/index.html": page, "srv/worker.wasm": functions}))

    assert [f.locations[0].display for f in found] == [b"srv/index.html", b"srv/worker.wasm"]
    assert {f.severity for f in found} == {Severity.MEDIUM}
    assert {f.details["family"] for f in found} == {"web miner"}


@given(st.binary(max_size=400))
@settings(max_examples=60)
def test_no_script_breaks_the_reader(data: bytes) -> None:
    for language in ("python", "javascript", "shell", "php"):
        lexing.read(data, language)


@pytest.mark.parametrize("filler", [b'"""', b"'''", b'"\\', b"`\\", b"/*", b"#", b"f'{", b"((((", b"'\n", b'rb""""'])
def test_no_script_takes_long(filler: bytes, look: Callable[..., list[object]]) -> None:
    look("opt/m.py", b"mining.subscribe mining.notify mining.submit " + filler * 100_000)
    look("opt/m.js", b"mining.subscribe mining.notify mining.submit " + filler * 100_000)


@given(st.binary(max_size=300), st.integers(0, 2000))
@settings(max_examples=60, deadline=None)
def test_no_bytes_break_the_detectors(look: Callable[..., list[object]], data: bytes, at: int) -> None:
    broken = XMRIG[:at] + data + XMRIG[at + len(data) :]

    for piece in look("opt/x", broken):
        if isinstance(piece, Evidence):
            json.dumps(dict(piece.facts))
