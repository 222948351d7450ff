"""A pool's side of the mining protocols: enough to be told who mines for whom, and work that is worth nothing.

Stratum v1 as SlushPool published it (`mining.*`), the Monero dialect (xmrig-proxy, doc/STRATUM.md), the extensions for
algorithms and NiceHash (xmrig-proxy, doc/STRATUM_EXT.md), EthereumStratum/1.0 and 2.0 (EIP-1571) and ethproxy's `eth_submitLogin`,
`mining.configure` (BIP-310), and work over HTTP: getwork, getblocktemplate (BIP-22), eth_getWork.

The jobs are zeros with a target that no machine meets, so that a client stays and never succeeds.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from scanner.detectors.mining.wallets import Wallet, wallet
from scanner.model import Json
from scanner.runtime.sinkhole.answers.protocol import LISTED, Talk, shown

Message: TypeAlias = Mapping[str, Any]
_DEEP = 32
"""Brackets in brackets; no miner's message has ten."""
_XMR = frozenset(("login", "getjob", "submit", "keepalived"))
_HTTP = frozenset(
    "getwork getblocktemplate submitblock eth_getWork eth_submitWork eth_submitHashrate get_block_template submit_block".split()
)
_ETHEREUM = frozenset(("eth_login", "eth_submitLogin", "eth_getWork", "eth_submitWork", "eth_submitHashrate"))
_BITCOIN = frozenset(
    "subscribe authorize configure submit extranonce.subscribe suggest_difficulty suggest_target multi_version capabilities "
    "get_transactions hello noop hashrate bye".split()
)


def message(line: bytes) -> Message | None:
    """The JSON object of a line, or None: no JSON, not an object, or nested so deep that it is meant to hurt."""
    line = line.strip()
    if not line.startswith(b"{") or _too_deep(line):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def method(asked: Message) -> str | None:
    """The method of a message, where it is a miner's."""
    name = asked.get("method")
    if not isinstance(name, str):
        return None
    if name in _HTTP | _ETHEREUM or (name.startswith("mining.") and name[7:] in _BITCOIN):
        return name
    params = asked.get("params")
    if name not in _XMR or not isinstance(params, dict):
        return None
    known = {"login": ("login",), "getjob": ("id",), "submit": ("nonce", "job_id"), "keepalived": ("id",)}[name]
    return name if any(isinstance(params.get(one), str) for one in known) else None


def dialect(name: str) -> str:
    if name in _XMR:
        return "xmr"
    if name in _ETHEREUM or name == "mining.hello":
        return "ethereum"
    return "getwork" if name in _HTTP else "bitcoin"


def facts(asked: Message, name: str) -> dict[str, Json]:
    """What a message says of who mines, as the package's table has it; passwords are left out."""
    params = asked.get("params")
    known: dict[str, Json] = {"dialect": dialect(name), "method": name}
    if name == "login" and isinstance(params, dict):
        known |= _login(params.get("login"))
        known |= {key: shown(params[key], 100) for key in ("agent", "rigid") if isinstance(params.get(key), str)}
        if isinstance(algorithms := params.get("algo"), list):
            known["algo"] = [shown(one, 40) for one in algorithms[:LISTED] if isinstance(one, str)]
    elif name in ("mining.authorize", "eth_submitLogin", "eth_login"):
        known |= _login(_at(params, 0))
        if isinstance(worker := asked.get("worker"), str):
            known["worker"] = shown(worker, 60)
    elif name == "mining.subscribe":
        known |= {key: shown(text, 100) for key, text in (("agent", _at(params, 0)), ("host", _at(params, 2))) if text}
    elif name == "mining.hello" and isinstance(params, dict):
        known |= {key: shown(params[key], 100) for key in ("agent", "host") if isinstance(params.get(key), str)}
    elif name in ("getblocktemplate", "get_block_template"):
        first = params if isinstance(params, dict) else params[0] if isinstance(params, list) and params else None
        if isinstance(first, dict):
            known |= _login(first.get("wallet_address"))
    return known


def tell(talk: Talk, asked: Message, name: str) -> None:
    """Add what a message says; the first method stays `method`, all are in `methods`, submitted work is counted."""
    before = talk.told.get("stratum", {})
    fresh = facts(asked, name)
    talk.tell("stratum", **{key: fact for key, fact in fresh.items() if key not in before})
    talk.listed("stratum", "methods", name)
    if "submit" in name.lower() and "Login" not in name and "Hashrate" not in name:
        count = before.get("submits")
        talk.tell("stratum", submits=1 + (count if isinstance(count, int) else 0))


def answers(asked: Message, name: str) -> list[Message]:
    """What a pool says to it: every login is taken, every share accepted."""
    number = asked.get("id")
    if not isinstance(number, int | str) or len(str(number)[:65]) > 64:
        number = None
    ok: dict[str, Any] = {"id": number, "jsonrpc": "2.0", "error": None}
    match name:
        case "login":
            return [ok | {"result": {"id": "1", "job": _JOB, "extensions": ["algo", "keepalive"], "status": "OK"}}]
        case "getjob":
            return [ok | {"result": _JOB}]
        case "submit":
            return [ok | {"result": {"status": "OK"}}]
        case "keepalived":
            return [ok | {"result": {"status": "KEEPALIVED"}}]
        case "mining.subscribe":
            session = [["mining.set_difficulty", "1"], ["mining.notify", "1"]]
            return [ok | {"result": [session, "08000002", 4]}]
        case "mining.authorize":
            return [
                ok | {"result": True},
                {"id": None, "method": "mining.set_difficulty", "params": [1e15]},
                {
                    "id": None,
                    "method": "mining.notify",
                    "params": ["1", _ZERO, _COINBASE, "", [], "20000000", "1d00ffff", "00000000", True],
                },
            ]
        case "mining.configure":
            return [
                ok
                | {"result": {"version-rolling": True, "version-rolling.mask": "1fffe000", "minimum-difficulty": True}}
            ]
        case "mining.hello":
            hello = {
                "proto": "EthereumStratum/2.0.0",
                "encoding": "plain",
                "resume": "0",
                "timeout": "b4",
                "maxerrors": "5",
                "node": "/",
            }
            return [ok | {"result": hello}]
        case "eth_getWork":
            return [ok | {"result": [f"0x{_ZERO}", f"0x{_ZERO}", f"0x{1:064x}"]}]
        case "getblocktemplate":
            return [ok | {"result": _TEMPLATE}]
        case "get_block_template":
            return [ok | {"result": _MONERO_TEMPLATE}]
        case "getwork":
            return [ok | {"result": {"data": "0" * 256, "target": f"{1:064x}", "midstate": _ZERO, "hash1": "0" * 128}}]
    return [ok | {"result": True}]


def text(asked: Message, name: str) -> bytes:
    """The first of the answers, as HTTP gives it."""
    return json.dumps(answers(asked, name)[0]).encode()


_ZERO = "0" * 64
_COINBASE = "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff"
_JOB: Message = {
    "blob": "10" * 2 + "00" * 74,
    "job_id": "1",
    "target": "01000000",
    "algo": "rx/0",
    "height": 1,
    "seed_hash": _ZERO,
}
_TEMPLATE: Message = {
    "version": 0x20000000, "previousblockhash": _ZERO, "transactions": [], "coinbaseaux": {}, "coinbasevalue": 0,
    "target": f"{1:064x}", "mintime": 0, "mutable": [], "noncerange": "00000000ffffffff", "sigoplimit": 80000,
    "sizelimit": 4000000, "curtime": 0, "bits": "03000001", "height": 1, "rules": [], "vbavailable": {}, "vbrequired": 0,
}  # fmt: skip
_MONERO_TEMPLATE: Message = {
    "blocktemplate_blob": "00" * 76, "blockhashing_blob": "00" * 76, "difficulty": 1 << 62, "height": 1,
    "prev_hash": _ZERO, "reserved_offset": 60, "seed_hash": _ZERO, "status": "OK",
}  # fmt: skip


def _login(value: object) -> dict[str, Json]:
    """Whose work it is: `WALLET.worker`, an account, an address. The address is told as miner rules tell it."""
    if not isinstance(value, str) or not value:
        return {}
    known = _wallet(value[:300])
    if known is None:
        return {"login": shown(value, 140)}
    address = f"{known.address[:12]}…{known.address[-6:]}"
    rest = value[:300].partition(known.address)[2]
    worker = shown(rest.lstrip("./+:"), 60)
    facts: dict[str, Json] = {"login": address + shown(rest, 60), "wallet": known.address, "coin": known.coin}
    return facts | ({"worker": worker} if worker else {})


@lru_cache(maxsize=256)
def _wallet(value: str) -> Wallet | None:
    """A miner says who it is again and again, and a checksum takes milliseconds."""
    return wallet(value)


def _at(params: object, index: int) -> str:
    if (
        isinstance(params, Sequence)
        and not isinstance(params, str)
        and len(params) > index
        and isinstance(params[index], str)
    ):
        return str(params[index])
    return ""


def _too_deep(text: bytes) -> bool:
    """Whether brackets open more often than any message needs, those in strings counted too."""
    depth = 0
    for byte in text:
        if byte in b"[{":
            depth += 1
            if depth > _DEEP:
                return True
        elif byte in b"]}":
            depth -= 1
    return False
