"""Miner families: how they call themselves, how their programs are named, what malware calls them instead."""

import re

PROGRAMS = {
    "xmrig": "xmrig",
    "xmrig-notls": "xmrig",
    "xmrig-nvidia": "xmrig",
    "xmrig-amd": "xmrig",
    "xmrig-cuda": "xmrig",
    "xmrigdaemon": "xmrig",
    "xmrigminer": "xmrig",
    "xmrig-proxy": "xmrig-proxy",
    "xmr-stak": "xmr-stak",
    "xmr-stak-cpu": "xmr-stak",
    "xmr-stak-rx": "xmr-stak",
    "minerd": "cpuminer",
    "cpuminer": "cpuminer",
    "cpuminer-multi": "cpuminer",
    "cpuminer-opt": "cpuminer-opt",
    "cpuminer-avx2": "cpuminer-opt",
    "cpuminer-sse2": "cpuminer-opt",
    "cpuminer-zen": "cpuminer-opt",
    "ccminer": "ccminer",
    "ethminer": "ethminer",
    "kawpowminer": "kawpowminer",
    "cgminer": "cgminer",
    "bfgminer": "bfgminer",
    "sgminer": "sgminer",
    "nbminer": "nbminer",
    "t-rex": "t-rex",
    "trex": "t-rex",
    "lolminer": "lolminer",
    "gminer": "gminer",
    "phoenixminer": "phoenixminer",
    "teamredminer": "teamredminer",
    "nanominer": "nanominer",
    "srbminer": "srbminer",
    "srbminer-multi": "srbminer",
    "wildrig": "wildrig",
    "wildrig-multi": "wildrig",
    "bzminer": "bzminer",
    "rigel": "rigel",
    "onezerominer": "onezerominer",
    "bminer": "bminer",
    "minergate": "minergate",
    "minergate-cli": "minergate",
    "claymore": "claymore",
    "ethdcrminer64": "claymore",
    "nheqminer": "nheqminer",
    "nsfminer": "nsfminer",
    "miniz": "miniz",
    "kaspa-miner": "kaspa-miner",
    "gominer": "gominer",
    "hellminer": "hellminer",
    "astrominer": "astrominer",
}
"""Base names of programs, in lower case, and the family each belongs to."""

COMMON_WORDS = frozenset({"rigel", "t-rex", "trex", "gminer", "claymore", "gominer"})
"""Names that other programs carry too: never enough to say that a command starts a miner."""

ALIASES = {
    "xmrig": ("xmrig", "xmr"),
    "cpuminer": ("minerd", "cpuminer"),
    "cpuminer-opt": ("cpuminer", "minerd"),
    "xmr-stak": ("xmr-stak", "xmrstak"),
    "srbminer": ("srbminer",),
    "web miner": ("miner", "coinhive"),
}
"""What the name of an honest copy of a family contains, where that is not the family's own name."""

RELEASE_URL = re.compile(
    r"(?i)https?://(?:www\.)?(?:github\.com|gitlab\.com|sourceforge\.net/projects|raw\.githubusercontent\.com)/"
    r"(?:(?:[\w.-]{1,60}/){0,2})(?P<name>xmrig(?:-proxy|-cuda)?|xmr-stak|cpuminer(?:-opt|-multi)?|ccminer|ethminer|cgminer|"
    r"bfgminer|sgminer|nbminer|t-rex|lolminer(?:-releases)?|gminerrelease|phoenixminer|teamredminer|nanominer|"
    r"srbminer(?:-multi)?|wildrig-multi|bzminer|rigel|onezerominer|kawpowminer|xmrig_setup)"
    r"/(?:releases/|archive/|files/|-/releases/|raw/|master/|main/|[\w./-]{1,100}\.(?:tar\.gz|tgz|zip|sh))"
    r"|https?://(?:[\w-]+\.)*(?:c3pool\.(?:com|org)|moneroocean\.stream|xmrig\.com)/[\w./-]{0,80}?"
    r"(?P<setup>setup_\w+_miner\.sh|xmrig[\w.-]*\.(?:tar\.gz|zip|sh))"
)
"""A download of a miner's release, or of a pool's installer."""

KERNEL_THREADS = re.compile(
    rb"^\[?(?:kworker|kthreadd?|ksoftirqd|kswapd|kdevtmpfs|kdevtmpfsi|kinsing|khugepaged|kblockd|kauditd|kintegrityd|"
    rb"migration|rcu_(?:sched|bh|gp)|watchdogd?|ksmd|kcompactd|kerberods|sysupdate|networkservice|sysguard|jbd2)"
    rb"(?:[/:_\-0-9].*)?\]?$"
)
"""Names of kernel threads, which no file has honestly, and names that mining worms are known by."""


def program_family(path: bytes | str) -> str | None:
    """The family that a program's name stands for, version and `.exe` behind it forgiven."""
    name = path.decode("utf-8", "replace") if isinstance(path, bytes) else path
    name = name.rsplit("/", 1)[-1].lower().removesuffix(".exe")
    if name in PROGRAMS:
        return PROGRAMS[name]
    stem = re.sub(r"[-_]?v?\d[\w.]*$", "", name)
    return PROGRAMS.get(stem)


def named_honestly(path: bytes, family: str) -> bool:
    """Whether the file's own name shows its family."""
    name = path.rsplit(b"/", 1)[-1].decode("utf-8", "replace").lower()
    return any(alias in name for alias in ALIASES.get(family, (family,)))
