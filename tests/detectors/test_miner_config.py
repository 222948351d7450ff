"""A miner's configuration by its structure, in every dialect; other configuration by the same words is left alone."""

import json
from collections.abc import Callable
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import miners, negatives
from fixtures.wallet import SUBADDRESS, monero
from scanner.detectors.miner_config import signs
from scanner.detectors.mining import configs
from scanner.model import Confidence, FileLocation, Finding, Severity, State

Detect = Callable[..., list[Finding]]

WALLET = monero("config", SUBADDRESS)

STAK = f"""/*
 * pool_address - where to mine
 */
"pool_list" :
[
    {{"pool_address" : "pool.supportxmr.com:3333", "wallet_address" : "{WALLET}", "rig_id" : "", "pool_password" : "x",
      "use_nicehash" : false, "use_tls" : false, "tls_fingerprint" : "", "pool_weight" : 1 }},
],
"currency" : "monero",
"""
CGMINER = """{
"pools" : [
    { "url" : "http://10.0.0.5:8332", "user" : "worker1", "pass" : "x" }
],
"intensity" : "9", "kernel-path" : "/usr/local/bin", "api-allow" : "W:127.0.0.1", "failover-only" : true
}
"""
YAML = f"""# nightly job
algo: rx/0
pools:
  - url: "10.1.1.1:443"
    user: {WALLET}.rig7
    pass: x
"""
ENV = f"export POOL_URL='stratum+ssl://mine.example.com:443'\nWALLET={WALLET}\n"
MINERD = f'{{"url": "stratum+tcp://fixture.f2pool.com:8888", "user": "{WALLET}", "pass": "x", "algo": "scrypt"}}'
SLOPPY = f"// mine\n{{'pools': [{{'url': 'fixture.nanopool.org:14444', 'user': '{WALLET}', 'algo': 'rx/0',}},],}}"


def configurations(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.rule_id == "miner/config"]


@pytest.mark.parametrize(
    ("name", "text", "pool"),
    [
        ("config.json", miners.config().decode(), "stratum+tcp://fixture.supportxmr.com:3333"),
        ("pools.txt", STAK, "pool.supportxmr.com:3333"),
        ("cgminer.conf", CGMINER, "10.0.0.5:8332"),
        ("x.yml", YAML, "10.1.1.1:443"),
        (".env", ENV, "stratum+ssl://mine.example.com:443"),
        ("c.json", MINERD, "stratum+tcp://fixture.f2pool.com:8888"),
        ("c", SLOPPY, "fixture.nanopool.org:14444"),
        ("NOTES.md", miners.config().decode(), "stratum+tcp://fixture.supportxmr.com:3333"),
    ],
)
def test_a_miners_configuration_is_found_with_its_pool(detect: Detect, name: str, text: str, pool: str) -> None:
    [found] = configurations(detect({f"opt/{name}": text.encode()}))

    assert found.severity is Severity.HIGH
    assert found.details["pools"] == [pool]
    place = found.locations[0]
    assert isinstance(place, FileLocation)
    assert place.line is not None
    assert pool.partition("://")[2] in text.split("\n")[place.line - 1] or pool in text.split("\n")[place.line - 1]


def test_the_classes_earn_the_confidence(detect: Detect) -> None:
    [sure] = configurations(detect({"a.json": miners.config()}))
    [less] = configurations(detect({"a.conf": CGMINER.encode()}))

    assert (sure.confidence, less.confidence) == (Confidence.HIGH, Confidence.MEDIUM)
    assert sure.details["classes"] == ["pool", "algorithm", "options", "wallet"]
    assert sure.details["wallets"] == [monero()]
    assert sure.details["algorithm"] == "rx/0"


def test_a_template_is_less_than_orders(detect: Detect) -> None:
    [found] = configurations(detect({"a.json": miners.config(user="YOUR_WALLET_ADDRESS")}))

    assert found.severity is Severity.MEDIUM
    assert found.details["placeholder"] is True
    assert "placeholder" in found.message


def test_a_deleted_configuration_is_told_as_such(detect: Detect) -> None:
    [found] = configurations(detect({"a.json": miners.config()}, {}, gone={"a.json": 1}))

    assert (found.state, found.hidden_by, found.severity) == (State.DELETED, 1, Severity.HIGH)


@pytest.mark.parametrize(
    "text",
    [
        '{"pools": [{"url": "postgres://db.example.com:5432", "user": "app", "pass": "x", "keepalive": true}]}',
        '{"pools": [], "algo": "sha256", "cpu": {"huge-pages": true}}',
        "database:\n  url: db.example.com:5432\n  user: app\n  password: x\n  worker: 3\n",
        "algo: ethereum\ncoin: monero\nmarket: binance\n",
        '{"donate-level": 1, "rig-id": null}',
        "rule: contains stratum+tcp://pool.example.com:3333\n",
        "0.0.0.0 pool.supportxmr.com\n0.0.0.0 xmr.nanopool.org\n",
        "# see stratum+tcp://pool.supportxmr.com:3333\n",
        f"donations: {WALLET}\n",
    ],
)
def test_other_configuration_is_left_alone(detect: Detect, text: str) -> None:
    assert configurations(detect({"etc/app.conf": text.encode()})) == []


def test_the_negatives_hold_no_configuration(detect: Detect) -> None:
    assert configurations(detect(negatives.files())) == []


def test_source_code_is_no_configuration(detect: Detect) -> None:
    assert configurations(detect({"a/t.py": b"CONFIG = '''\n" + miners.config() + b"'''\n"})) == []


def test_a_huge_text_is_read_around_its_matches(detect: Detect) -> None:
    padding = b'{"filler": "' + b"x" * (5 << 20) + b'",\n'

    [found] = configurations(detect({"a.json": padding + miners.config().lstrip(b"{")}))

    place = found.locations[0]
    assert isinstance(place, FileLocation)
    assert place.offset is not None
    assert place.offset > 5 << 20


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
        max_leaves=12,
    )
)
def test_every_leaf_of_json_is_read(document: object) -> None:
    def leaves(value: object, key: str) -> list[tuple[str, str]]:
        if isinstance(value, dict):
            return [x for k, v in value.items() for x in leaves(v, k)]
        if isinstance(value, list):
            return [x for v in value for x in leaves(v, key + "[]" if not key.endswith("[]") else key)]
        shown = value if isinstance(value, str) else json.dumps(value)
        return [(key.lower().replace("_", "-"), str(shown))]

    text = json.dumps({"root": document})
    read = [p.value for p in configs.pairs(text, True)]

    for _, value in leaves(document, "root"):
        assert value in read


@pytest.mark.parametrize(
    "text",
    ["{" * 100_000, "[" * 100_000, '"' * 99_999, "{'" * 50_000, "/*" * 50_000, '{"a":' * 50_000, ":,:," * 50_000],
)
def test_no_text_takes_long_or_nests_too_deep(text: str) -> None:
    started = perf_counter()

    list(signs(text, True))
    list(signs(text, False))

    assert perf_counter() - started < 3


@given(st.text(alphabet=st.sampled_from("{}[]:,\"'/*#=-\\ \n\tapoolsurl3."), max_size=300), st.booleans())
def test_no_text_breaks_the_reader(text: str, loose: bool) -> None:
    for pair in configs.pairs(text, loose):
        assert 0 <= pair.offset <= len(text)
    list(signs(text, loose))
