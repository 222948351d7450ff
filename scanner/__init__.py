"""sandscan: could this sandbox mine, tunnel out, or reach what it must not? And did it?

>>> from scanner import scan
>>> report = scan("archive:app.tar")  # doctest: +SKIP
>>> [f.rule_id for f in report.findings if f.severity.rank >= 3]  # doctest: +SKIP
['miner/binary']
>>> from scanner import network, reach
>>> report = reach("compose.yaml", assume={"engine.version": "29.0"})  # doctest: +SKIP
>>> network(report.egress.sandboxes[0].graph)  # doctest: +SKIP
<networkx.classes.multidigraph.MultiDiGraph object at 0x7f…>
>>> from scanner import check
>>> report = check("Dockerfile", "compose.yaml")  # doctest: +SKIP
>>> [(f.source.file, f.source.line) for f in report.findings]  # doctest: +SKIP
[('Dockerfile', 12)]
>>> from scanner import diff, live, observe
>>> report = diff("container:agent")  # doctest: +SKIP
>>> [change.path for change in report.run.changes]  # doctest: +SKIP
[b'usr/lib/.cache/kworker']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanner.checking import check_paths as check
    from scanner.egress.network import network as network
    from scanner.egressing import reach as reach
    from scanner.model import Report as Report
    from scanner.runtime.api import diff as diff
    from scanner.runtime.api import live as live
    from scanner.runtime.api import observe as observe
    from scanner.tracing import scan_image as scan

__all__ = ["Report", "check", "diff", "live", "network", "observe", "reach", "scan"]

_PLACES = {
    "scan": ("scanner.tracing", "scan_image"),
    "reach": ("scanner.egressing", "reach"),
    "network": ("scanner.egress.network", "network"),
    "check": ("scanner.checking", "check_paths"),
    "diff": ("scanner.runtime.api", "diff"),
    "live": ("scanner.runtime.api", "live"),
    "observe": ("scanner.runtime.api", "observe"),
    "Report": ("scanner.model", "Report"),
}


def __getattr__(name: str) -> Any:
    # loaded when first used: importing a submodule must not cost the whole scanner
    if name not in _PLACES:
        raise AttributeError(f"module 'scanner' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
