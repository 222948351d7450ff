"""YARA's matches in one file as evidence: which class of sign each is, and which occurrences count."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scanner.content import Content
from scanner.detectors.mining import forms
from scanner.detectors.mining.context import in_list, in_pattern, in_rule
from scanner.detectors.mining.pools import DOMAINS, domain
from scanner.detectors.mining.wallets import Wallet, wallets
from scanner.model import printable
from scanner.ruleset import RuleMatch, StringMatch

OCCURRENCES = 500
"""Occurrences of one string whose context is read. A file with more of them is no rule file: the rest count unread."""
POOL_LIST = 16
"""Known pools in one program from which on it is a list of pools, not a place to connect to."""
_DISTINCT = {"protocol": 2, "options": 2, "messages": 2}
_DISTINCT_IN = {
    "miner/algorithm-cryptonote": 2,
    "miner/algorithm-names": 3,
    "miner/protocol-stratum": 3,
    "miner/messages-gpu": 3,
}
_SHORT_NAMES = re.compile(
    rb"[\0 \"'`=,(\[](?:rx/(?:0|2|wow|arq|graft|sfx|keva|yada|loki|xeq|xla)|cn/(?:\d|r|fast|half|xao|rto|rwz|zls|double|ccx|gpu|upx2)|"
    rb"cn-lite/[01]|cn-heavy/(?:0|tube|xhv)|cn-pico(?:/\w{1,4})?|argon2/(?:chukwa\w{0,2}|wrkz))(?=[\0 \"'`,)\]\r\n])"
)


@dataclass(frozen=True, slots=True)
class Trait:
    """One rule that holds by occurrences that count: its class, where it first shows, and the distinct texts seen."""

    rule: str
    kind: str
    offset: int
    texts: tuple[str, ...]


def of(content: Content, behaviour: str) -> tuple[RuleMatch, ...]:
    """The matches of a behaviour that carry an evidence class."""
    return tuple(m for m in content.matches if m.rule.behaviour == behaviour and m.rule.evidence)


def _counts(content: Content, kind: str, offset: int, length: int) -> bool:
    if in_rule(content.data, offset, length):
        return False
    if forms.form(content.name, content.head) == forms.BYTECODE and in_pattern(content.data, offset, length):
        return False
    return kind != "pool" or not in_list(content.data, offset, length)


def counted(content: Content, match: RuleMatch) -> list[StringMatch]:
    """One occurrence of each string that is not part of a rule or of a block list, and every one that YARA told.

    YARA tells few occurrences of a large file. Where all it told lie in rules, the others are looked for here, so that
    a rule's text put before a miner's own hides nothing.
    """
    told: dict[str, list[StringMatch]] = {}
    for string in match.strings:
        told.setdefault(string.identifier, []).append(string)
    kept: list[StringMatch] = []
    for strings in told.values():
        free = [s for s in strings if _counts(content, match.rule.evidence, s.offset, s.length)]
        if not free:
            other = _elsewhere(content, match.rule.evidence, strings[0])
            free = [other] if other else []
        kept += free
    return sorted(kept, key=lambda s: s.offset)


def _elsewhere(content: Content, kind: str, string: StringMatch) -> StringMatch | None:
    text = re.compile(re.escape(string.data), re.IGNORECASE)
    for number, found in enumerate(text.finditer(content.data)):
        begin, length = found.start(), found.end() - found.start()
        if number >= OCCURRENCES or _counts(content, kind, begin, length):
            return StringMatch(string.identifier, begin, length, bytes(found.group()))
    return None


def traits(content: Content, kinds: Iterable[str]) -> list[Trait]:
    """The traits of a compiled program, of these classes, each with enough distinct strings left to mean something."""
    wanted, found = frozenset(kinds), []
    for match in of(content, "miner"):
        kind, rule = match.rule.evidence, match.rule.rule.id
        if kind not in wanted:
            continue
        strings = counted(content, match)
        texts = dict.fromkeys(_shown(s) for s in strings)
        if rule == "miner/algorithm-cryptonote" and strings:
            texts.update(_short_names(content))
        if len({t.lower() for t in texts}) < _DISTINCT_IN.get(rule, _DISTINCT.get(kind, 1)):
            continue
        if rule == "miner/pool-host" and len(texts) >= POOL_LIST:
            continue
        found.append(Trait(rule, kind, strings[0].offset, tuple(texts)[:12]))
    return found


def _shown(string: StringMatch) -> str:
    """The text that matched; constants by their name in the rule and their bytes in hexadecimal."""
    text = string.data.strip(b"\0 \"'`=,()[]\r\n")
    if any(b < 0x20 or b > 0x7E for b in text):
        return f"{string.identifier.removeprefix('$')}={text[:16].hex()}"
    return printable(text, 80)


def _short_names(content: Content) -> dict[str, None]:
    """The variants named outside rules; the rule's regular expressions each stand for many, of which YARA may tell one."""
    names: dict[str, None] = {}
    for number, found in enumerate(_SHORT_NAMES.finditer(content.data)):
        if len(names) == 12 or number == OCCURRENCES:
            break
        if not in_rule(content.data, found.start(), found.end() - found.start()):
            names[found.group()[1:].decode("ascii")] = None
    return names


def family(content: Content) -> str | None:
    """The family that the file names itself as: the rule's string identifiers are the families."""
    votes: dict[str, int] = {}
    for match in of(content, "miner"):
        if match.rule.rule.id == "miner/family":
            for string in counted(content, match):
                name = re.sub(r"_\d+$", "", string.identifier.removeprefix("$"))
                votes[name] = votes.get(name, 0) + 1
    if not votes:
        return None
    # a derived miner names its ancestor too: the more particular name wins, then the more frequent, then the first
    best = min(votes, key=lambda name: (_RANK.get(name, 1), -votes[name], name))
    return _SHOWN.get(best, best)


_RANK: Mapping[str, int] = {
    "cpuminer_opt": 0,
    "xmr_stak": 0,
    "kawpowminer": 0,
    "xmrig_proxy": 2,
    "web_miner": 3,
    "minergate": 3,
}
_SHOWN: Mapping[str, str] = {
    "cpuminer_opt": "cpuminer-opt",
    "xmrig_proxy": "xmrig-proxy",
    "xmr_stak": "xmr-stak",
    "t_rex": "t-rex",
    "kaspa_miner": "kaspa-miner",
    "web_miner": "web miner",
}


def pool_hosts(texts: Iterable[str]) -> list[str]:
    """Those of the texts that are a known pool's domain."""
    return [t for t in texts if t.lower() in DOMAINS or domain(t)]


def valid_wallets(content: Content) -> list[Wallet]:
    """The addresses with a valid checksum in a file that a wallet rule names, each once, with their offsets."""
    if any(m.rule.evidence == "wallet" for m in of(content, "miner")):
        return wallets(content.data, {"monero", "kaspa"})
    return []
