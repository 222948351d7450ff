"""The image's layers as data of the HTML page: how large each is, and where findings sit."""

import re
from collections import Counter
from collections.abc import Sequence

from scanner.model import FileLocation, Json, Report, Severity, Traced
from scanner.reports import words
from scanner.reports.html_findings import Numbers, layer

LAYERS = 500
_ROOT = re.compile(r"ADD (file:|rootfs|[\w.-]*\.tar)|# debian\.sh|FROM ")
"""What the first layer of a base image is made by: a root file system."""


def data(report: Report, numbers: Numbers) -> dict[str, Json]:
    """The image's own layers first, then others that findings name (`numbers`); `own` says how many are the image's."""
    image = report.image.layers
    own = image[:LAYERS] if words.has_image(report) else ()
    known = frozenset(own)
    shown = [*own, *(one for one in numbers.layers if one not in known)]
    places = {one: n for n, one in enumerate(shown)}
    sizes = _sizes(report)
    base = _base(report)
    counted: dict[object, Counter[Severity]] = {}
    for finding in report.findings:
        if isinstance(at := finding.locations[0], FileLocation):
            counted.setdefault(at.layer, Counter())[finding.severity] += 1
    return {
        "all": [
            {
                **layer(one),
                "size": sizes[n] if n < len(own) and n < len(sizes) else None,
                "said": words.size(sizes[n]) if n < len(own) and n < len(sizes) else "",
                "base": n < base and n < len(own),
                "counts": [counted.get(one, Counter())[severity] for severity in Severity],
            }
            for n, one in enumerate(shown)
        ],
        "own": len(own),
        "left": max(len(image) - LAYERS, 0),
        "places": [places[one] for one in numbers.layers],
        "sized": bool(sizes),
        "total": words.size(sum(sizes)) if sizes else "",
    }


def _sizes(report: Report) -> Sequence[int]:
    """Bytes of each layer; empty where the report does not say them of all layers."""
    found = report.statistics.get("layer_sizes")
    if not isinstance(found, list | tuple) or len(found) != len(report.image.layers):
        return ()
    sizes = [one for one in found if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 1 << 60]
    return sizes if len(sizes) == len(found) else ()


def _base(report: Report) -> int:
    """How many of the first layers are known to have come with the base image: all up to the last whose finding points to a
    `FROM` line, and one that brings a root file system."""
    known = [
        one.locations[0].layer.index + 1
        for one in report.findings
        if one.source is not None and one.source.how is Traced.BASE and isinstance(one.locations[0], FileLocation)
    ]
    first = report.image.layers[:1]
    root = bool(first and len(report.image.layers) > 1 and _ROOT.match(words.instruction(first[0].created_by)))
    return max([*known, int(root)])
