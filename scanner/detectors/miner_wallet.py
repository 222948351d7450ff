"""Wallet addresses whose checksum is right, where nothing else in the file says what they are for."""

import re
from collections.abc import Iterator

from scanner.content import Content
from scanner.detectors.mining import traits
from scanner.detectors.mining.wallets import TRIES, search
from scanner.detectors.plugin import Detector, Wants
from scanner.model import Confidence, Evidence, Finding, Json, Level, Notification, Rule, Severity, State, printable
from scanner.oci.view import ImageView, Sighting

MINER_WALLET = Rule(
    id="miner/wallet",
    name="Wallet address",
    severity=Severity.LOW,
    description="An address of Monero or Kaspa with a valid checksum. Mined coins go to such an address; so do donations.",
    help="Alone it proves nothing: a wallet, a test or a donation page has one too. Look for what uses it.",
    references=("https://docs.getmonero.org/public-address/standard-address/",),
    attack=("T1496.001",),
)

NAME = "miner_wallet"
SHOWN = 20
_DOCUMENT = re.compile(
    rb"(?i)(?:^|/)(?:usr/share/(?:doc|man|info|licenses)/|docs?/|tests?/|testdata/|examples?/|site-packages/|node_modules/|src/)|"
    rb"\.(?:md|markdown|rst|adoc|html?|tex|pod|po|xml|csv|c|cc|cpp|h|hpp|go|rs|java|kt|py|pyc|js|ts|map)$|"
    rb"(?:^|/)(?:README|CHANGELOG|AUTHORS|CONTRIBUTING|FUNDING|DONATE|METADATA|PKG-INFO)[^/]*$"
)


def inspect(content: Content) -> Iterator[Evidence | Notification]:
    """Each valid address of a file that a wallet rule names, at most SHOWN."""
    from scanner.content import archives

    if not any(m.rule.evidence == "wallet" for m in traits.of(content, "miner")):
        return
    if archives.kind(content.head) is not None:
        return  # its members are shown one by one
    found, complete = search(content.data, {"monero", "kaspa"})
    if not complete:
        message = f"holds more than {TRIES} strings that could be a wallet address; the rest was not checked"
        yield Notification("detector", Level.WARNING, message, content.path, content.inner)
    for wallet in found[:SHOWN]:
        line = content.line_of(wallet.offset) if content.is_text else None
        facts: dict[str, Json] = {
            "coin": wallet.coin,
            "kind": wallet.kind,
            "wallet": wallet.address,
            "count": len(found),
        }
        yield Evidence(
            NAME, "wallet", content.path, content.inner, wallet.offset, line, printable(wallet.address), facts
        )


def judge(view: ImageView) -> Iterator[Finding]:
    """One finding for each file with a wallet of which no other detector of miners has something to say."""
    others = {
        (s.layer.index, s.evidence.path, s.evidence.inner)
        for name in ("miner_binary", "miner_config", "miner_launch")
        for s in view.of(name)
        if s.evidence.kind not in ("wallet", "names", "family", "gpu")
    }
    files: dict[bytes, dict[int, list[Sighting]]] = {}
    for s in view.of(NAME):
        if (s.layer.index, s.evidence.path, s.evidence.inner) not in others:
            place = b"!/".join((s.evidence.path, *s.evidence.inner))
            files.setdefault(place, {}).setdefault(s.layer.index, []).append(s)
    for layers in files.values():
        groups = sorted(layers.values(), key=lambda g: (g[0].state is not State.VISIBLE, -g[0].layer.index))
        first = groups[0][0]
        package = view.owner(first.evidence.path)
        document = package is not None or _DOCUMENT.search(first.location.display) is not None
        coin, address = str(first.evidence.facts["coin"]), str(first.evidence.facts["wallet"])
        where = f" in a file of the package {package}" if package else " in a document or source" if document else ""
        yield view.finding(
            MINER_WALLET,
            at=first.location,
            state=first.state,
            hidden_by=first.hidden_by,
            severity=Severity.NOTE if document else Severity.LOW,
            confidence=Confidence.LOW if document else Confidence.MEDIUM,
            message=f"A valid {coin} address{where}: {address[:12]}…{address[-6:]}.",
            evidence=[s.evidence for s in groups[0]],
            details={
                "coin": coin,
                "wallets": [str(s.evidence.facts["wallet"]) for s in groups[0]],
                "package": package,
            },
            related=[g[0].location for g in groups[1:]],
        )


PLUGIN = Detector(
    NAME, version=1, rules=(MINER_WALLET,), wants=Wants(behaviours=("miner",)), inspect=inspect, judge=judge
)
