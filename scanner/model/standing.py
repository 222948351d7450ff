"""Which findings nothing sets aside: who hides them hides an attack. This is the one place that says so."""

from scanner.model.finding import Finding
from scanner.model.rule import Confidence

TUNNELS = frozenset(
    (
        "live/tunnel-process",
        "observed/dns-tunnel",
        "observed/icmp-tunnel",
        "observed/reverse-tunnel",
        "observed/tunnel",
    )
)
"""A tunnel that was tried or runs, at whatever confidence: it was seen at work, it does not merely lie there."""
MINERS = frozenset(("build/miner", "live/miner-process", "observed/pool"))
"""Rules that say of a miner what the rules `miner/*` say of one in an image."""


def never_aside(finding: Finding) -> str | None:
    """Why a finding is never set aside, in words; None where it may be.

    A miner is confirmed where the confidence is high: different kinds of evidence agree (see the rules `miner/*`), whether it lies in
    the image, is brought by a build, runs, or asked for a pool.
    """
    if finding.rule_id in TUNNELS:
        return "a tunnel that was seen at work is never set aside"
    if finding.confidence is Confidence.HIGH and (finding.rule_id.startswith("miner/") or finding.rule_id in MINERS):
        return "a confirmed miner is never set aside"
    return None
