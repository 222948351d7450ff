"""Miners: who logs in, for which wallet, and that the work they are given is worth nothing."""

import json
import socket
import ssl
import time

import pytest

from fixtures.wallet import monero
from scanner.runtime.sinkhole.answers.answering import recognise
from tests.runtime.sinkhole.answers.loopback import Sink, answering
from tests.runtime.sinkhole.answers.test_http import UPGRADE, frame

MONERO = monero("stratum")
ALGORITHMS = ["/".join(pair) for pair in (("rx", "0"), ("cn", "r"))]  # in pieces: this file is no miner
"""The donation address of the Monero project."""
BITCOIN = "".join(("1A1zP1eP5QGefi2DMP", "TfTL5SLmv7DivfNa"))
"""The address of Bitcoin's first block."""


class Miner:
    """Speaks stratum and does no work."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rwb")

    def asks(self, method: str, params: object, number: int = 1, **more: object) -> dict:
        self.says(json.dumps({"id": number, "method": method, "params": params} | more).encode())
        return self.hears()

    def says(self, line: bytes) -> None:
        self._file.write(line + b"\n")
        self._file.flush()

    def hears(self) -> dict:
        return json.loads(self._file.readline())


def mined(sink: Sink, tls: bool = False) -> tuple[socket.socket, Miner]:
    connection = sink.connect()
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = context.wrap_socket(connection, server_hostname="pool.example")
    return connection, Miner(connection)


@pytest.mark.parametrize("tls", [False, True])
def test_a_monero_miner_logs_in_gets_work_and_submits(tls):
    with answering(3333) as sink:
        connection, miner = mined(sink, tls)
        given = {
            "login": f"{MONERO}.rig7+5000",
            "pass": "hunter2:x@y",
            "agent": "look-alike/1.0",
            "rigid": "r7",
            "algo": ALGORITHMS,
        }
        answer = miner.asks("login", given)
        assert answer["result"]["status"] == "OK"
        assert int.from_bytes(bytes.fromhex(answer["result"]["job"]["target"]), "little") == 1
        assert miner.asks("keepalived", {"id": "1"}, 2)["result"]["status"] == "KEEPALIVED"
        share = {"id": "1", "job_id": "1", "nonce": "00000000", "result": "00" * 32}
        assert miner.asks("submit", share, 3)["result"]["status"] == "OK"
        miner.asks("submit", share, 4)
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
        [told] = sink.ended()
    assert told.service == "stratum"
    assert told.details["stratum"] == {
        "dialect": "xmr",
        "method": "login",
        "login": f"{MONERO[:12]}…{MONERO[-6:]}.rig7+5000",
        "wallet": MONERO,
        "coin": "monero",
        "worker": "rig7+5000",
        "agent": "look-alike/1.0",
        "rigid": "r7",
        "algo": ALGORITHMS,
        "methods": ["login", "keepalived", "submit"],
        "submits": 2,
    }
    assert told.details.get("layers") == (["tls", "stratum"] if tls else None)
    assert "hunter2" not in json.dumps(told.details)


def test_a_bitcoin_miner_subscribes_authorizes_and_is_given_a_job():
    with answering(443) as sink:
        connection, miner = mined(sink)
        assert miner.asks("mining.configure", [["version-rolling"], {}])["result"]["version-rolling"] is True
        assert miner.asks("mining.subscribe", ["cpuminer/2.5.1"], 2)["result"][1] == "08000002"
        assert miner.asks("mining.authorize", [f"{BITCOIN}.w1", "hunter2"], 3)["result"] is True
        assert [miner.hears()["method"] for _ in range(2)] == ["mining.set_difficulty", "mining.notify"]
        assert miner.asks("mining.submit", [f"{BITCOIN}.w1", "1", "0", "0", "0"], 4)["result"] is True
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
        [told] = sink.ended()
    said = told.details["stratum"]
    assert (said["dialect"], said["method"], said["agent"], said["submits"]) == (
        "bitcoin",
        "mining.configure",
        "cpuminer/2.5.1",
        1,
    )
    assert (said["coin"], said["wallet"], said["worker"]) == ("bitcoin", BITCOIN, "w1")
    assert "hunter2" not in json.dumps(told.details)


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        (
            b'{"id":1,"method":"eth_submitLogin","params":["someone","x"],"worker":"w"}',
            {"dialect": "ethereum", "login": "someone", "worker": "w"},
        ),
        (
            b'{"id":0,"method":"mining.hello","params":{"agent":"g/1","host":"p","port":"bd","proto":"EthereumStratum/2.0.0"}}',
            {"dialect": "ethereum", "agent": "g/1", "host": "p"},
        ),
        (b'{"id":1,"jsonrpc":"2.0","method":"eth_getWork","params":[]}', {"dialect": "ethereum"}),
        (
            b'{"id":1,"method":"mining.subscribe","params":["NiceHash/1.0","EthereumStratum/1.0.0"]}',
            {"dialect": "bitcoin", "agent": "NiceHash/1.0"},
        ),
    ],
)
def test_each_dialect_is_known(line, facts):
    heard = recognise(line + b"\n", 4444)
    assert heard.service == "stratum"
    assert facts.items() <= heard.details["stratum"].items()


@pytest.mark.parametrize(
    "line",
    [
        b'{"method":"initialize","id":1}',
        b'{"id":1,"method":"login"}',
        b'{"method":"submit","params":{"form":"x"}}',
        b"{}",
        b'{"method":["login"]}',
        b"[" * 5000,
        b'{"a":' * 5000,
    ],
)
def test_other_json_is_no_miner(line):
    assert recognise(line + b"\n", 3333).service != "stratum"


def test_a_login_that_comes_in_pieces_is_heard_whole():
    with answering(3333) as sink, sink.connect() as client:
        text = (
            json.dumps(
                {
                    "id": 1,
                    "jsonrpc": "2.0",
                    "params": {"pass": "x" * 200, "login": MONERO, "agent": "slow"},
                    "method": "login",
                }
            ).encode()
            + b"\n"
        )
        for at in range(0, len(text), 90):
            client.sendall(text[at : at + 90])
            sink.until(lambda c: c, 1)
        assert b'"job"' in client.recv(4096)
        client.close()
        [told] = sink.ended()
    assert told.service == "stratum"
    assert told.details["stratum"]["wallet"] == MONERO


def test_a_login_that_takes_longer_than_a_silence_is_heard_whole():
    login = json.dumps({"id": 1, "method": "login", "params": {"login": MONERO, "agent": "slower"}}).encode() + b"\n"
    with answering(3333) as sink, sink.connect() as client:
        for piece in (login[:1], login[1:2], login[2:40], login[40:]):
            client.sendall(piece)
            time.sleep(0.35)
        assert b'"job"' in client.recv(4096)
        client.close()
        [told] = sink.ended()
    assert told.service == "stratum"
    assert "unknown" not in told.details


def test_a_miner_in_a_websocket_needs_no_lines():
    login = json.dumps({"id": 1, "method": "login", "params": {"login": MONERO, "agent": "web"}}).encode()
    with answering(443) as sink, sink.connect() as client:
        client.sendall(UPGRADE.replace(b"chisel-v3", b"stratum"))
        assert b"101" in client.recv(500)
        client.sendall(frame(login, kind=1))
        answer = client.recv(4096)
        assert answer[0] == 0x81
        assert b'"job_id"' in answer
        client.close()
        [told] = sink.ended()
    assert told.details["layers"] == ["http", "websocket", "stratum"]
    assert told.details["stratum"]["wallet"] == MONERO


@pytest.mark.parametrize(
    ("method", "key"),
    [("getblocktemplate", "previousblockhash"), ("getwork", "midstate"), ("get_block_template", "seed_hash")],
)
def test_work_over_http_is_stratum_too(method, key):
    import http.client

    with answering(8332) as sink:
        client = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=5)
        params = {"wallet_address": MONERO} if method == "get_block_template" else []
        client.request(
            "POST", "/", json.dumps({"id": 1, "method": method, "params": params}), {"Authorization": "Basic dTpwYXNz"}
        )
        answer = json.loads(client.getresponse().read())
        client.close()
        [told] = sink.ended()
    assert key in answer["result"]
    assert told.service == "stratum"
    assert told.details["layers"] == ["http", "stratum"]
    assert told.details["stratum"]["method"] == method
    assert told.details["http"]["auth"] == "basic"
    assert told.details["stratum"].get("wallet") == (MONERO if method == "get_block_template" else None)
