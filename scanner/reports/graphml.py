"""The graph of what each sandbox reaches as GraphML, for Gephi, yEd and graph libraries.

Format: graphml.graphdrawing.org, structure and attributes. All sandboxes are parts of one graph, because most readers take
the first graph alone; `sandbox` says whose a node or a step is.
"""

from collections.abc import Iterator

from scanner.model import Report, printable
from scanner.model.egress import SandboxReach
from scanner.reports import reach
from scanner.reports.drawing import Drawing, drawing
from scanner.reports.plugin import Format, Part, RenderOptions

NODES, EDGES = 10_000, 50_000
KEYS = {
    "node": ("sandbox", "name", "kind", "label", "location", "verdict"),
    "edge": ("sandbox", "kind", "mode", "why", "paths"),
}
FLAGS = {"node": ("start",), "edge": ("barrier", "cut", "unsure")}


def render(report: Report, options: RenderOptions) -> str:  # noqa: ARG001  # everything, whoever looks
    egress = reach.needed(report, "graphml")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
    ]
    for domain, names in KEYS.items():
        lines += [_key(domain, name, "string") for name in names]
        lines += [_key(domain, name, "boolean") for name in FLAGS[domain]]
    lines += [_key("graph", "launch", "string"), _key("graph", "left_out", "int")]
    lines.append('<graph id="reach" edgedefault="directed">')
    lines.append(_data("graph", "launch", reach.launch(egress)))
    left_out = 0
    for number, sandbox in enumerate(egress.sandboxes):
        picture = drawing(sandbox, NODES, EDGES)
        left_out += picture.left_out
        lines += _sandbox(sandbox, picture, f"s{number}")
    lines.append(_data("graph", "left_out", str(left_out)))
    return "\n".join((*lines, "</graph>", "</graphml>\n"))


def _sandbox(sandbox: SandboxReach, picture: Drawing, prefix: str) -> Iterator[str]:
    ids = {one.id: f"{prefix}n{number}" for number, one in enumerate(picture.nodes)}
    whose = reach.name(sandbox.name)
    for one in picture.nodes:
        said = (whose, printable(one.id), one.kind, one.label, one.where, one.shown)
        values = [*zip(KEYS["node"], said, strict=True), ("start", _flag(one.is_start))]
        yield f'<node id="{ids[one.id]}">' + "".join(_data("node", *pair) for pair in values) + "</node>"
    for line in picture.lines:
        step = (whose, line.kind, "" if line.wall else str(line.mode), line.words, ", ".join(line.paths))
        flags = (_flag(line.wall), _flag(line.cut), _flag(line.doubtful))
        values = [*zip(KEYS["edge"], step, strict=True), *zip(FLAGS["edge"], flags, strict=True)]
        ends = f'source="{ids[line.source]}" target="{ids[line.target]}"'
        yield f"<edge {ends}>" + "".join(_data("edge", *pair) for pair in values) + "</edge>"


def _key(domain: str, name: str, kind: str) -> str:
    return f'<key id="{domain}.{name}" for="{domain}" attr.name="{name}" attr.type="{kind}"/>'


def _data(domain: str, name: str, value: str) -> str:
    return f'<data key="{domain}.{name}">{escaped(value)}</data>'


def _flag(value: bool) -> str:
    return "true" if value else "false"


def escaped(text: str) -> str:
    """Printable words as XML text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


PLUGIN = Format(
    "graphml",
    "the graph of what sandboxes reach, for graph programs",
    (".graphml",),
    render,
    draws=frozenset({Part.LAUNCH}),
)
