"""Scripts that mine: what their strings say to a pool, and what their code computes. Words in comments count for nothing."""

import re
from collections.abc import Iterator

from scanner.content import Content
from scanner.detectors.mining import lexing
from scanner.detectors.mining.forms import SCRIPT
from scanner.detectors.mining.pools import Pool, known_pools, mining_urls, pool_url
from scanner.detectors.mining.regions import regions
from scanner.detectors.mining.wallets import wallets
from scanner.model import Evidence, Level, Notification, printable

_STRATUM = re.compile(
    rb"mining\.(?:subscribe|authorize|submit|notify|set_difficulty|set_target|set_extranonce|extranonce\.subscribe|configure|"
    rb"suggest_difficulty|get_transactions|get_upstream)"
)
_CRYPTONOTE = frozenset({b"login", b"job", b"submit", b"keepalived", b"job_id"})
_JSON_METHOD = re.compile(rb"method\\?[\"']\s*:\s*\\?[\"'](login|submit|job|keepalived)\\?[\"']")
_ETHEREUM = re.compile(rb"eth_(?:submitLogin|getWork|submitWork|submitHashrate)")
_GETWORK = re.compile(rb"(?i)^(?:x-mining-extensions|x-long-polling|x-roll-ntime|x-stratum|getwork)$")
_NETWORK = re.compile(
    rb"^(?:socket|asyncore|asynchat|asyncio|create_connection|open_connection|net|tls|WebSocket|TCPSocket|twisted|urllib\d?|"
    rb"requests|http|httplib|websocket|websockets|connect|IO|fsockopen|stream_socket_client|rpc)$"
)
_HASH = re.compile(
    rb"^(?:hashlib|sha256d?|scrypt|cryptonight\w*|randomx\w*|pyrx|pyrandomx|createHash|createHmac|ltc_scrypt|x11_hash|"
    rb"ethash|yescrypt|neoscrypt|hash_target|midstate|pyopencl|cl|WebAssembly|Digest|lyra2re\w*|verushash\w*|blake3?|double_sha256)$"
)
_NONCE = re.compile(rb"(?i)^\w*nonce\w*$")
_ALGORITHM = re.compile(
    rb"(?i)^(?:rx/(?:0|wow|arq|graft|sfx|yada)|cn/\w{1,6}|cn-(?:lite|heavy|pico)\S{0,6}|argon2/chukwa\w*|sha256d|neoscrypt|x16rv?2?|"
    rb"kawpow|etchash|ethash|randomx|cryptonight\S{0,12}|ghostrider|verushash|autolykos2?|kheavyhash|equihash|yespower)$"
)
_OPTION = re.compile(
    rb"^--?(?:donate-level|randomx-\w+|cpu-max-threads-hint|rig-id|coinbase-addr|cuda-\w+|nicehash|huge-pages|no-huge-pages|algo|"
    rb"threads|max-cpu-usage|tls|keepalive|background|url|user|wallet|pass|coin|retries|[oukpaB])(?:[= ]|$)"
)
_TO = frozenset({b"-o", b"--url"})
_FOR = frozenset({b"-u", b"--user", b"--wallet"})
_SPAWN = re.compile(
    rb"^(?:subprocess|Popen|system|spawn|spawnSync|execFile|execSync|child_process|check_output|popen|shell_exec|passthru|"
    rb"proc_open|execvp?e?|posix_spawn|create_subprocess_(?:exec|shell))$"
)
_FETCH = re.compile(
    rb"^(?:urlopen|urlretrieve|requests|urllib\d?|httpx|aiohttp|axios|fetch|https?|open_uri|LWP|wget|curl)$"
)


def runs_programs(script: lexing.Script) -> bool:
    """Whether the script's code starts other programs or fetches files."""
    return any(_SPAWN.match(w) or _FETCH.match(w) for w in script.words)


def _kinds(script: lexing.Script) -> Iterator[tuple[str, int, str, dict[str, str]]]:
    """(class, offset, excerpt, facts) of everything that points to a miner."""
    words = script.words
    network = any(_NETWORK.match(w) for w in words)
    methods: dict[bytes, int] = {}
    notes: set[bytes] = set()
    ethereum: dict[bytes, int] = {}
    headers: dict[bytes, int] = {}
    algorithms: dict[bytes, int] = {}
    options: dict[bytes, int] = {}
    for offset, text in script.literals:
        for found in _STRATUM.finditer(text):
            methods.setdefault(found.group(), offset)
        for found in _ETHEREUM.finditer(text):
            ethereum.setdefault(found.group(), offset)
        if text in _CRYPTONOTE:
            notes.add(text)
        notes.update(_JSON_METHOD.findall(text))
        if _GETWORK.match(text):
            headers.setdefault(text.lower(), offset)
        if _ALGORITHM.match(text):
            algorithms.setdefault(text.lower(), offset)
        if _OPTION.match(text):
            options.setdefault(text.split(b"=")[0], offset)
    if network:
        spoken = (
            methods if len(methods) >= 3 else ethereum if b"eth_submitLogin" in ethereum and len(ethereum) >= 2 else {}
        )
        if (
            not spoken
            and {b"login", b"submit"} <= notes | (words & _CRYPTONOTE)
            and (b"keepalived" in notes or (b"job_id" in notes | words and b"job" in notes))
        ):
            first = next((o for o, t in script.literals if b"login" in t), 0)
            spoken = {b"login": first, b"submit": first}
        if not spoken and len(headers) >= 2:
            spoken = headers
        if spoken:
            yield "protocol", min(spoken.values()), b", ".join(sorted(spoken)).decode("utf-8", "replace"), {}
    hashes = sorted(w for w in words if _HASH.match(w))
    if hashes and any(_NONCE.match(w) for w in words):
        yield "algorithm", 0, "code that hashes with a nonce: " + b", ".join(hashes[:4]).decode("utf-8", "replace"), {}
    elif algorithms and network:
        yield "algorithm", min(algorithms.values()), b", ".join(sorted(algorithms)).decode("utf-8", "replace"), {}
    # a list of options to look for has a miner's own, a command to run has where and for whom besides
    aimed = not _TO.isdisjoint(options) and not _FOR.isdisjoint(options)
    if len(options) >= 3 and aimed and any(_SPAWN.match(w) for w in words):
        yield "options", min(options.values()), b" ".join(sorted(options)).decode("utf-8", "replace"), {}
    if network or any(_SPAWN.match(w) for w in words):
        for offset, text in script.literals:
            decoded = text.decode("utf-8", "replace")
            pool = next(mining_urls(decoded), None) or next(known_pools(decoded), None)
            pool = pool or (_bare_pool(decoded) if network else None)
            if pool:
                yield "pool", offset, str(pool), {"pool": str(pool)}
                break
    addresses = wallets(b"\n".join(text for _, text in script.literals if 26 <= len(text) <= 200))
    if addresses:
        address = addresses[0].address
        offset = next(o for o, text in script.literals if address.encode() in text)
        yield "wallet", offset, address, {"coin": addresses[0].coin, "wallet": address}


def _bare_pool(text: str) -> Pool | None:
    """A literal that is a known pool's host and nothing else: code that connects keeps the port elsewhere."""
    pool = pool_url(text + ":1") if re.fullmatch(r"[A-Za-z0-9.-]{4,120}", text) else None
    return Pool("", pool.host, None, pool.known) if pool else None


def inspect(content: Content, language: str, detector: str) -> Iterator[Evidence | Notification]:
    """Evidence of mining in one script, each class once."""
    parts, complete = regions(content)
    if not complete:
        message = f"a script of {content.size} bytes matches in so many places that not all were read"
        yield Notification("detector", Level.WARNING, message, content.path, content.inner)
    seen: set[str] = set()
    for start, data in parts:
        for kind, offset, excerpt, facts in _kinds(lexing.read(data, language)):
            if kind in seen:
                continue
            seen.add(kind)
            yield Evidence(
                detector,
                kind,
                content.path,
                content.inner,
                start + offset,
                content.line_of(start + offset),
                printable(excerpt),
                {"form": SCRIPT, "language": language, **facts},
            )
