"""Configuration of a miner: where to mine, for whom, which algorithm, in the words of a miner's own options."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.content import Content
from scanner.detectors.mining import configs, lexing, verdict
from scanner.detectors.mining.pools import Pool, endpoint, pool_url
from scanner.detectors.mining.regions import regions
from scanner.detectors.mining.wallets import Purse
from scanner.detectors.plugin import Detector, Wants
from scanner.model import Confidence, Evidence, Finding, Json, Level, Notification, Rule, Severity, State, printable
from scanner.oci.view import ImageView, Sighting

MINER_CONFIG = Rule(
    id="miner/config",
    name="Configuration of a miner",
    severity=Severity.HIGH,
    description="A file that tells a miner which pool to work for, for whose wallet and by which algorithm.",
    help="The miner that reads it may be in the image, or be fetched when the sandbox runs. Remove the file, look for "
    "what would read it, and block the pools it names.",
    references=("https://xmrig.com/docs/miner/config", "https://attack.mitre.org/techniques/T1496/001/"),
    attack=("T1496.001",),
)

NAME = "miner_config"

_POOL_KEYS = re.compile(
    r"^(?:.*[-.])?(?:url|pools?|pool-address|pool-url|pool-host|host|server|servers|stratum|proxy|address|endpoint|daemon|o)\d*(?:\[\])?$"
)
_USER_KEYS = re.compile(
    r"^(?:.*[-.])?(?:user|username|userpass|wallet|wallet-address|login|worker|address|account|payout|coinbase-addr)\d*$"
)
_PASS_KEYS = re.compile(
    r"^(?:pass|password|pool-password|rig-?id|worker-id|worker|keepalive|nicehash|tls|tls-fingerprint|use-tls|use-nicehash)$"
)
_ALGO_KEYS = re.compile(r"^(?:.*[-.])?(?:algo|algorithm|algos|coin|currency|mining-algo)\d*(?:\[\])?$")
_ALGORITHMS = re.compile(
    r"(?i)^(?:rx/\w+|randomx\S*|cn/\w+|cn-(?:lite|heavy|pico)\S*|cryptonight\S*|argon2/chukwa\w*|argon2/wrkz|kawpow\S*|ethash|etchash|"
    r"autolykos2?|octopus|firopow|progpow\S*|kheavyhash|zelhash|equihash\S*|cuckatoo\S*|cuckaroo\S*|sha256d|scrypt|x11|x16r\w*|"
    r"lyra2\S*|neoscrypt|verushash|verus|ghostrider|yespower\S*|yescrypt\S*|beamhash\S*|daggerhashimoto|astrobwt\S*|"
    r"monero7?|xmr|ravencoin|rvn|raptoreum|kaspa|ergo|ethereum|etc|haven|wownero|sumokoin|aeon7?|dero|zephyr)$"
)
_SCHEMA = frozenset(
    """
    donate-level donate-over-proxy max-threads-hint 1gb-pages huge-pages huge-pages-jit hw-aes randomx rig-id nicehash
    rebench-algo bench-algo-time tls-fingerprint pause-on-battery pause-on-active health-print-time wrmsr numa
    self-select daemon-poll-interval bfactor-hint
    pool-list pool-address wallet-address pool-password pool-weight use-nicehash giveup-limit cpu-threads-conf
    gpu-threads-conf call-timeout low-power-mode httpd-port
    api-allow api-listen failover-only no-submit-stale no-pool-disable scan-time expiry intensity kernel-path gpu-engine
    gpu-memclock gpu-powertune thread-concurrency lookup-gap worksize hotplug
    coinbase-addr scantime no-longpoll no-getwork no-stratum retry-pause cpu-max-threads-hint randomx-mode
    lhr-tune dual-algo
    """.split()
)
_PLAIN = frozenset(
    {
        "huge-pages",
        "numa",
        "expiry",
        "intensity",
        "hotplug",
        "worksize",
        "call-timeout",
        "api-listen",
        "scan-time",
        "randomx",
    }
)
"""Keys that other software has too: they count only beside keys that no other has."""
_PLACEHOLDER = re.compile(
    r"(?i)your[-_ ]?|wallet[-_ ]?(?:address|here)?$|^<.*>$|^\$\{?\w+\}?$|example|changeme|^x+$|^user(?:name)?$|^$"
)
_DOCUMENT = re.compile(
    rb"(?i)\.(?:md|markdown|rst|adoc|html?|tex|pod|\d|po|c|cc|cpp|cxx|h|hpp|go|rs|java|kt|cs|swift|yar|yara|rules)(?:\.gz)?$"
)


@dataclass(frozen=True, slots=True)
class Sign:
    """One class of evidence in a configuration: where, and the values that matter."""

    kind: str
    offset: int
    excerpt: str
    facts: dict[str, Json]


def signs(text: str, loose_json: bool) -> Iterator[Sign]:
    """What makes the text a miner's configuration, each class once, in the order of CORE classes."""
    found: dict[str, Sign] = {}
    keys: dict[str, int] = {}
    ends: dict[int, tuple[Pool, int]] = {}
    login: dict[int, tuple[str, int]] = {}
    more: set[int] = set()
    pools: list[str] = []
    purse = Purse()
    for pair in configs.pairs(text, loose_json):
        value = pair.value
        if pair.key in _SCHEMA:
            keys.setdefault(pair.key, pair.offset)
        if _POOL_KEYS.match(pair.key) and value:
            pool = pool_url(value)
            if pool and (pool.scheme or pool.port):
                pools.append(str(pool))
                found.setdefault("pool", Sign("pool", pair.offset, f"{pair.key}: {value}", {}))
            if end := pool or endpoint(value):
                ends.setdefault(pair.group, (end, pair.offset))
        elif pair.key == "[]" and value.startswith("stratum") and (pool := pool_url(value)):
            pools.append(str(pool))
            found.setdefault("pool", Sign("pool", pair.offset, value, {}))
        if _USER_KEYS.match(pair.key) and value:
            login.setdefault(pair.group, (value, pair.offset))
            if "wallet" not in found and (owner := purse.wallet(value)):
                found["wallet"] = Sign(
                    "wallet", pair.offset, owner.address, {"coin": owner.coin, "wallet": owner.address}
                )
        if _PASS_KEYS.match(pair.key):
            more.add(pair.group)
        if _ALGO_KEYS.match(pair.key) and _ALGORITHMS.match(value):
            found.setdefault("algorithm", Sign("algorithm", pair.offset, f"{pair.key}: {value}", {"algorithm": value}))
    if "pool" in found:
        sign = found["pool"]
        found["pool"] = Sign("pool", sign.offset, sign.excerpt, {"pools": list(dict.fromkeys(pools))[:20]})
    own = sorted(k for k in keys if k not in _PLAIN)
    # a pool of one's own is told by what stands beside it in the same object: who logs in, and how
    entry = next((g for g in ends if g in login and g in more), None)
    if len(own) >= 2 or (own and entry is not None):
        offset = min(keys[k] for k in own)
        found["options"] = Sign("options", offset, ", ".join(own[:8]), {"keys": list(own[:20])})
    elif entry is not None and "pool" in found:
        found["options"] = Sign("options", login[entry][1], "a pool with a login beside it", {})
    if "pool" not in found and entry is not None and ("algorithm" in found or "wallet" in found or "options" in found):
        end, offset = ends[entry]
        found["endpoint"] = Sign("endpoint", offset, str(end), {"pools": [str(end)]})
    if "options" in found and login:
        who = next(iter(login.values()))[0]
        facts = {**found["options"].facts, "placeholder": "wallet" not in found and bool(_PLACEHOLDER.search(who))}
        found["options"] = Sign("options", found["options"].offset, found["options"].excerpt, facts)
    order = (*verdict.CORE, "endpoint")
    yield from sorted(found.values(), key=lambda s: order.index(s.kind))


def inspect(content: Content) -> Iterator[Evidence | Notification]:
    """Evidence of each class in one text; scripts, sources, rules and documents are not configuration."""
    if not content.is_text or content.size == 0:
        return
    loose = configs.looks_like_json(content.text(1 << 16))
    language = lexing.language(content.name, content.head)
    if language is not None or (_DOCUMENT.search(content.name) and not loose):
        return
    parts, complete = regions(content)
    if not complete:
        message = f"a text of {content.size} bytes matches in many places; not all of it was read as configuration"
        yield Notification("detector", Level.WARNING, message, content.path, content.inner)
    for start, data in parts:
        text = data.decode("utf-8", "surrogateescape")
        found = list(signs(text, loose))
        kinds = {s.kind for s in found}
        if kinds <= {"wallet", "algorithm"} or kinds == {"options"}:
            continue
        for sign in found:
            offset = start + len(text[: sign.offset].encode("utf-8", "surrogateescape"))
            line = content.line_of(offset)
            yield Evidence(
                NAME, sign.kind, content.path, content.inner, offset, line, printable(sign.excerpt), sign.facts
            )


def judge(view: ImageView) -> Iterator[Finding]:
    """One finding for each file with two classes or more: in it, a pool or what must be one."""
    files: dict[bytes, dict[int, list[Sighting]]] = {}
    for sighting in view.of(NAME):
        places = files.setdefault(sighting.location.display, {})
        places.setdefault(sighting.layer.index, []).append(sighting)
    for places in files.values():
        ranked = sorted(
            places.values(), key=lambda group: (group[0].state is not State.VISIBLE, -len(group), -group[0].layer.index)
        )
        finding = _finding(view, ranked[0], [group[0] for group in ranked[1:]])
        if finding is not None:
            yield finding


def _finding(view: ImageView, group: list[Sighting], others: list[Sighting]) -> Finding | None:
    kinds = {s.evidence.kind for s in group}
    core = [k for k in (*verdict.CORE, "endpoint") if k in kinds]
    if not kinds & {"pool", "endpoint"} or len(core) < 2:
        return None
    facts: dict[str, Json] = {k: v for s in group for k, v in s.evidence.facts.items()}
    placeholder = facts.get("placeholder") is True
    severity = Severity.MEDIUM if placeholder else Severity.HIGH
    confidence = Confidence.HIGH if len(core) >= 3 and "pool" in kinds else Confidence.MEDIUM
    first = next((s for s in group if s.evidence.kind in ("pool", "endpoint")), group[0])
    pools = facts.get("pools")
    shown = ", ".join(str(p) for p in pools[:3]) if isinstance(pools, list | tuple) else ""
    whom = f" for the {facts['coin']} wallet {str(facts['wallet'])[:12]}…" if "wallet" in facts else ""
    hint = "; its login is still a placeholder" if placeholder else ""
    details: dict[str, Json] = {
        "classes": core,
        "pools": pools if pools is not None else [],
        "algorithm": facts.get("algorithm"),
        "wallets": [facts["wallet"]] if "wallet" in facts else [],
        "placeholder": placeholder,
        "package": view.owner(first.evidence.path),
    }
    return view.finding(
        MINER_CONFIG,
        at=first.location,
        state=first.state,
        hidden_by=first.hidden_by,
        severity=severity,
        confidence=confidence,
        message=f"Configuration of a miner that works at {shown}{whom}{hint}.",
        evidence=[s.evidence for s in group],
        details=details,
        related=[s.location for s in others],
    )


PLUGIN = Detector(
    NAME,
    version=1,
    rules=(MINER_CONFIG,),
    wants=Wants(behaviours=("miner",)),
    inspect=inspect,
    judge=judge,
)
