"""What the classes of evidence add up to. Pure: evidence in, severity and confidence out.

Core classes are independent signs: a program that speaks a pool's protocol, names proof-of-work algorithms and takes a
miner's options is one, whatever it is called. Supporting classes only raise a confidence that core classes earned.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from scanner.model import Confidence, Severity

CORE = ("protocol", "pool", "algorithm", "options", "symbols", "messages", "wallet")
SUPPORT = ("web", "family", "gpu", "packing", "disguise", "node")

WORK = frozenset({"protocol", "pool"})
"""Where work comes from: without one of these a program computes proof of work for something else, as a node does."""

SAID = {
    "protocol": "speaks a mining pool's protocol",
    "pool": "names where to mine",
    "algorithm": "names or computes proof-of-work algorithms",
    "options": "takes a miner's options",
    "symbols": "is built of a miner's functions",
    "messages": "prints a miner's messages",
    "wallet": "carries a valid wallet address",
    "web": "starts a web page's miner",
    "gpu": "loads the graphics card's library",
    "packing": "is packed",
    "disguise": "hides what it is",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    severity: Severity
    confidence: Confidence
    core: tuple[str, ...]
    support: tuple[str, ...]


def said(kinds: Iterable[str]) -> str:
    """The classes as one clause: `speaks …, names … and takes …`."""
    parts = [SAID[k] for k in kinds if k in SAID]
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1] if parts else ""


def program(kinds: Iterable[str]) -> Verdict | None:
    """The verdict on a program; None where one class stands alone.

    Three core classes, one of which is where work comes from: a miner. Two: most likely one. Without a source of work
    it takes three to say more than that it could mine. A web page's miner is known by its one call.
    """
    seen = frozenset(kinds)
    core = tuple(k for k in CORE if k in seen)
    support = tuple(k for k in SUPPORT if k in seen)
    strong = len(core) + (1 if {"packing", "disguise"} & seen else 0) + (1 if "gpu" in seen and WORK & seen else 0)
    if WORK & seen:
        if len(core) >= 3:
            return Verdict(Severity.CRITICAL, Confidence.HIGH, core, support)
        if core == ("pool", "wallet") and "web" not in seen:
            return Verdict(Severity.MEDIUM, Confidence.LOW, core, support)
        if len(core) == 2:
            confidence = Confidence.HIGH if strong >= 3 else Confidence.MEDIUM
            return Verdict(Severity.HIGH, confidence, core, support)
    elif "options" in seen and len(core) >= 3:
        return Verdict(Severity.HIGH, Confidence.MEDIUM, core, support)
    if "web" in seen:
        return Verdict(Severity.MEDIUM, Confidence.MEDIUM, core, support)
    if len(core) >= 2 or "node" in seen:
        return Verdict(Severity.NOTE, Confidence.LOW, core, support)
    return None
