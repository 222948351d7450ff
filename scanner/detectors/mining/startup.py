"""Whether a command starts or fetches a miner: by its pool, its options, its wallet and its name together."""

import re
from dataclasses import dataclass

from scanner.detectors.launchers.shell import Command
from scanner.detectors.mining.families import COMMON_WORDS, RELEASE_URL, program_family
from scanner.detectors.mining.pools import Pool, endpoint, pool_url
from scanner.detectors.mining.wallets import Purse, Wallet
from scanner.model import Confidence, Severity

_TALKERS = frozenset(
    """
    grep egrep fgrep rg ag ack iptables ip6tables nft ufw firewall-cmd pkill killall kill pgrep ps pidof nslookup dig host
    ping test [ [[ yara semgrep clamscan which type whereis man apropos ls cat head tail less rm mv cp ln chmod chown mkdir
    touch find stat file strings md5sum sha256sum tar unzip zip apt apt-get dnf yum apk pip pip3 npm alert add-to-blocklist
    echo printf sed awk logger export alias unalias true false exit return sleep trap wc sort uniq tee git-grep dpkg rpm
    """.split()
)
"""Programs whose arguments are words to look for, files to move or text to print, never a miner's orders."""

_FETCHERS = frozenset(
    "curl wget wget2 aria2c axel lwp-download fetch git http https lynx busybox python python3 perl node".split()
)

_POOL_FLAGS = frozenset("-o --url --pool -pool -epool --server -P --stratum -zpool --proxy-url -s --pool1 -o1".split())
_USER_FLAGS = frozenset(
    "-u --user -O --userpass --wallet -w -wal -ewal --login --worker -user -wallet --mining-address -a".split()
)
_OPTIONS = re.compile(
    r"^--?(?:donate-level|donate-over-proxy|cpu-max-threads-hint|max-cpu-usage|randomx-[\w-]+|rig-id|nicehash|coinbase-addr|"
    r"cuda-(?:devices|loader|launch|bfactor-hint)|opencl-[\w-]+|huge-pages-jit|no-huge-pages|tls-fingerprint|1gb-pages|argon2-impl|"
    r"lhr-[\w-]+|gpu-threads|cpu-threads|disable-cpu|disable-gpu|esm|ewal|epool|devfee|mining-address|mine-when-not-synced)(?:=|$)"
)
_SOFT_OPTIONS = re.compile(
    r"^(?:-k|-B|--keepalive|--background|--tls|--threads|-t|--cpu-priority|--cpu-affinity|-p|--pass|-x|--config|-c)(?:=|$)"
)
_ALGORITHM = re.compile(
    r"(?i)^(?:rx/\w+|randomx|cn/\w+|cn-(?:lite|heavy|pico)\S*|cryptonight\S*|argon2/chukwa\w*|kawpow|ethash|etchash|autolykos2?|"
    r"octopus|firopow|progpow\S*|kheavyhash|zelhash|equihash\S*|cuckatoo\S*|sha256d|scrypt|x11|x16r\w*|lyra2\S*|neoscrypt|"
    r"verushash|verus|ghostrider|yespower\S*|yescrypt\S*|monero|xmr|ravencoin|rvn)$"
)
_REPOSITORY = re.compile(
    r"(?i)github\.com[/:](?:xmrig/xmrig|xmrig/xmrig-proxy|moneroocean/xmrig|mocchi?/xmrig|pooler/cpuminer|jaydee\w*/cpuminer-opt|"
    r"tpruvot/(?:ccminer|cpuminer-multi)|ethereum-mining/ethminer|ckolivas/cgminer|luke-jr/bfgminer|fireice-uk/xmr-stak|"
    r"sgminer-dev/sgminer|ravencommunity/kawpowminer|elichai/kaspa-miner|decred/gominer)(?:\.git)?/?$"
)


@dataclass(frozen=True, slots=True)
class Startup:
    """What a command does for a miner: `kinds` of sign, the pool, the wallet and the family where known."""

    kinds: tuple[str, ...]
    pool: Pool | None
    wallet: Wallet | None
    family: str | None
    fetches: str | None

    def verdict(self) -> tuple[Severity, Confidence] | None:
        """How bad and how sure; None for a command that says too little."""
        signs = set(self.kinds)
        if self.fetches:
            return Severity.HIGH, Confidence.MEDIUM
        if "pool" in signs and signs & {"options", "algorithm", "wallet", "name", "login"}:
            strong = len(signs & {"options", "algorithm", "wallet", "name"}) >= 2
            return Severity.HIGH, Confidence.HIGH if strong else Confidence.MEDIUM
        if "endpoint" in signs and len(signs & {"options", "algorithm", "wallet", "name"}) >= 2:
            return Severity.HIGH, Confidence.MEDIUM
        if "options" in signs and signs & {"wallet", "name", "algorithm"}:
            return Severity.HIGH, Confidence.MEDIUM
        if "name" in signs:
            return Severity.MEDIUM, Confidence.MEDIUM
        if "options" in signs or {"endpoint", "algorithm", "login"} <= signs:
            return Severity.MEDIUM, Confidence.LOW
        return None


def _values(argv: tuple[str, ...]) -> list[tuple[str, str]]:
    """(flag, value) pairs, with "" for a bare word or a flag that takes none; `--flag=value` is taken apart."""
    found, flag = [], ""
    for word in argv[1:]:
        if word.startswith("-") and len(word) > 1:
            name, sign, value = word.partition("=")
            if sign:
                found.append((name, value))
                flag = ""
            else:
                found.append((name, ""))
                flag = name
        else:
            found.append((flag, word))
            flag = ""
    return found


def assess(command: Command, purse: Purse) -> Startup | None:
    """The signs of a miner in one command; None if there are none, or if its program only handles words.

    `purse` checks the wallets of all the commands of a file.
    """
    name = command.name.lower()
    fetched = next(
        (w for w in command.argv if name in _FETCHERS and (RELEASE_URL.search(w) or _REPOSITORY.search(w))), None
    )
    if fetched:
        return Startup(("fetch",), None, None, None, fetched)
    if name in _TALKERS or name in _FETCHERS - {"busybox", "python", "python3", "perl", "node"}:
        return None
    kinds: dict[str, None] = {}
    pool: Pool | None = None
    owner: Wallet | None = None
    family = program_family(command.program)
    if family and name not in COMMON_WORDS:
        kinds["name"] = None
    for flag, value in _values(command.argv):
        if _OPTIONS.match(flag):
            kinds["options"] = None
        if not value:
            continue
        if found := pool_url(value):
            pool = pool or found
            kinds["pool"] = None
        elif flag in _POOL_FLAGS and (found := endpoint(value)):
            pool = pool or found
            kinds["endpoint"] = None
        if flag in ("-a", "--algo", "--coin", "-algo", "-coin", "--algorithm") and _ALGORITHM.match(value):
            kinds["algorithm"] = None
        if flag in _USER_FLAGS:
            kinds["login"] = None
        if len(value) >= 26 and owner is None and (owner := purse.wallet(value)):
            kinds["wallet"] = None
    if family and name in COMMON_WORDS and kinds:
        kinds["name"] = None
    if not kinds or (set(kinds) <= {"login", "algorithm", "endpoint"} and len(kinds) < 3):
        return None
    return Startup(tuple(kinds), pool, owner, family, None)
