"""sandscan: could this sandbox mine, tunnel out, or reach what it must not?

>>> from scanner import scan
>>> report = scan("archive:app.tar")  # doctest: +SKIP
>>> [f.rule_id for f in report.findings if f.severity.rank >= 3]  # doctest: +SKIP
['miner/binary']
>>> from scanner import network, reach
>>> report = reach("compose.yaml", assume={"engine.version": "29.0"})  # doctest: +SKIP
>>> network(report.egress.sandboxes[0].graph)  # doctest: +SKIP
<networkx.classes.multidigraph.MultiDiGraph object at 0x7f…>
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanner.egress.network import network as network
    from scanner.egressing import reach as reach
    from scanner.model import Report as Report
    from scanner.pipeline import scan_image as scan

__all__ = ["Report", "network", "reach", "scan"]


def __getattr__(name: str) -> Any:
    # loaded when first used: importing a submodule must not cost the whole scanner
    if name == "scan":
        from scanner.pipeline import scan_image

        return scan_image
    if name == "reach":
        from scanner.egressing import reach

        return reach
    if name == "network":
        from scanner.egress.network import network

        return network
    if name == "Report":
        from scanner.model import Report

        return Report
    raise AttributeError(f"module 'scanner' has no attribute {name!r}")
