"""Findings that somebody has seen: a baseline or an entry of the configuration sets them aside, openly.

Nothing is lost: a finding moves from `Report.findings` to `Report.suppressed`, and what was not followed, has expired or matches
nothing is a note in the report. Miners and tunnels at work stay whatever is said of them (scanner.model.never_aside).
"""

from scanner.suppression.aside import FAR, set_aside
from scanner.suppression.baseline import Baseline, Known, Written, made, pruned, read, render, schema

__all__ = [
    "FAR",
    "Baseline",
    "Known",
    "Written",
    "made",
    "pruned",
    "read",
    "render",
    "schema",
    "set_aside",
]
