"""Mining pools: the URLs that lead to one, and the domains known as pools (stale ones are still evidence)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

DOMAINS = frozenset(
    """
    2miners.com acc-pool.pw aikapool.com antpool.com beepool.com bitcoin.cz bitfly.at bitminter.com braiins.com
    btc.com c3pool.com c3pool.org cedric-crispin.com coinfly.net coinfoundry.org coinotron.com cruxpool.com
    crypto-pool.fr cryptonote.social donate.ssl.xmrig.com donate.v2.xmrig.com dwarfpool.com emcd.io eobot.com
    ethermine.org ethpool.org ezil.me f2pool.com fairhash.org fairpool.xyz flexpool.io flockpool.com flypool.org
    ghostminer.xyz gntl.uk gulf.moneroocean.stream hashcity.org hashvault.pro herominers.com hiveon.com hiveon.net
    k1pool.com kano.is kryptex.network litecoinpool.org luckypool.io luxor.tech minerall.io minergate.com minerpool.net
    minexmr.com mining-dutch.nl miningocean.org miningpoolhub.com miningrigrentals.com monerohash.com moneroocean.stream
    moneropool.com monerop.com nanopool.org nicehash.com ntpool.org nushypool.com okpool.me p2pool.io pool.btc.com
    pool2mine.net poolin.com poolmore.com poolto.be ppxxmr.com prohashing.com public-pool.io raptoreum.zone
    ravenminer.com rplant.xyz semipool.com skypool.org slushpool.com solo.ckpool.org solopool.org sparkpool.com
    spiderpool.com supportxmr.com suprnova.cc unmineable.com unminable.com usxmrpool.com viabtc.com viaxmr.com
    vipor.net wemineltc.com whattomine.com woolypooly.com xmr-eu.dwarfpool.com xmrfast.com xmrpool.de xmrpool.eu
    xmrpool.net xmrpool.us yiimp.eu zapool.xyz zergpool.com zpool.ca
    """.split()
)
"""Domains of pools; a host belongs to one if it is the domain or ends in it after a dot."""

_SCHEME = r"(?:stratum[12]?(?:\+(?:tcps?|ssl|tls(?:12)?|udp|wss?))?|daemon\+https?|ethproxy\+(?:tcp|ssl|tls)|zil\+tcp)"
_HOST = r"(?:\[[0-9A-Fa-f:]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?)"
_URL = re.compile(
    rf"(?i)(?P<scheme>{_SCHEME})://(?:(?P<user>[^\s@/\"'<>]{{1,200}})@)?(?P<host>{_HOST})(?::(?P<port>\d{{1,5}}))?"
)
_ENDPOINT = re.compile(
    rf"(?i)(?<![A-Za-z0-9._-])(?:(?:tcp|ssl|tls|https?|wss?)://)?(?P<host>{_HOST}):(?P<port>\d{{1,5}})(?![\w.])"
)


@dataclass(frozen=True, slots=True)
class Pool:
    """Where work is fetched: `scheme` without `://` ("" if none was written), `host`, `port` (None if none was written).

    `known` names the pool's domain, None for a host that is not listed.
    """

    scheme: str
    host: str
    port: int | None
    known: str | None

    def __str__(self) -> str:
        return (f"{self.scheme}://" if self.scheme else "") + self.host + (f":{self.port}" if self.port else "")


def domain(host: str) -> str | None:
    """The known pool domain that a host belongs to."""
    labels = host.lower().rstrip(".").split(".")
    return next((d for i in range(len(labels) - 1) if (d := ".".join(labels[i:])) in DOMAINS), None)


def _port(text: str | None) -> int | None:
    return int(text) if text and 0 < int(text) < 65536 else None


def mining_urls(text: str) -> Iterator[Pool]:
    """Every URL of a mining scheme that names a host. `stratum+tcp://` alone, as in a rule or a help text, is none."""
    for found in _URL.finditer(text):
        host = found["host"]
        if "." in host or ":" in host or found["port"]:
            yield Pool(found["scheme"].lower(), host, _port(found["port"]), domain(host))


def known_pools(text: str) -> Iterator[Pool]:
    """Every `host:port` of a known pool: a bare host is what block lists have, a miner needs the port."""
    for found in _ENDPOINT.finditer(text):
        known = domain(found["host"])
        if known and _port(found["port"]):
            yield Pool("", found["host"], _port(found["port"]), known)


def pool_url(text: str) -> Pool | None:
    """The pool that `text` as a whole points to by its scheme or its host, None for anything else."""
    text = text.strip()
    return next(mining_urls(text), None) or next(known_pools(text), None)


def endpoint(text: str) -> Pool | None:
    """`text` as `host:port`, with or without a scheme: where a pool could be, if everything around it says so."""
    found = _ENDPOINT.fullmatch(text.strip().rstrip("/"))
    if found is None or not _port(found["port"]):
        return None
    return Pool("", found["host"], _port(found["port"]), domain(found["host"]))
