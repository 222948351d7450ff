"""The graph of what each sandbox reaches in Graphviz's language.

Grammar: graphviz.org/doc/info/lang.html. In quoted strings a backslash begins an escape (`\\N`, `\\n`) and `&` an HTML
entity, so both are written as what they stand for.
"""

from collections.abc import Iterator

from scanner.model import Report
from scanner.model.egress import Mode, SandboxReach, Verdict
from scanner.reports import reach, words
from scanner.reports.drawing import Dot, Line, drawing
from scanner.reports.plugin import Format, Part, RenderOptions

COLOR = {Verdict.OPEN: "#b3261e", Verdict.LIMITED: "#8a5a00", Verdict.UNKNOWN: "#7b3fb8", Verdict.CLOSED: "#1a6b35"}
MODE = {Mode.DIRECT: "#57606a", Mode.MEDIATED: "#8a5a00", Mode.PIVOT: "#b3261e"}
CUT = "#0b62c4"
NODES, EDGES = 10_000, 50_000


def render(report: Report, options: RenderOptions) -> str:  # noqa: ARG001  # everything, whoever looks
    """One digraph with a cluster for each sandbox; the steps that its cut removes are dashed."""
    egress = reach.needed(report, "dot")
    lines = [
        "digraph reach {",
        f"  label={quoted(f'What the sandboxes of {reach.launch(egress)} reach')};",
        '  rankdir=LR; compound=true; fontname="monospace";',
        '  node [shape=box, style=rounded, fontname="monospace", fontsize=11];',
        '  edge [fontname="monospace", fontsize=9];',
    ]
    for number, sandbox in enumerate(egress.sandboxes):
        lines += _cluster(sandbox, f"s{number}")
    return "\n".join((*lines, "}\n"))


def _cluster(sandbox: SandboxReach, prefix: str) -> Iterator[str]:
    picture = drawing(sandbox, NODES, EDGES)
    ids = {one.id: f"{prefix}n{number}" for number, one in enumerate(picture.nodes)}
    yield f"  subgraph cluster_{prefix} {{"
    yield f"    label={quoted(f'{reach.name(sandbox.name)} ({reach.about(sandbox)})')};"
    for one in picture.nodes:
        yield f"    {ids[one.id]} [{_node(one)}];"
    for line in picture.lines:
        yield f"    {ids[line.source]} -> {ids[line.target]} [{_edge(line)}];"
    if picture.left_out:
        yield f"    {prefix}more [shape=plaintext, label={quoted(words.many(picture.left_out, 'more step'))}];"
    yield "  }"


def _node(one: Dot) -> str:
    label = quoted(one.label)[:-1] + "\\n" + quoted(one.shown or one.kind)[1:]
    parts = [f"label={label}", f"tooltip={quoted(', '.join(filter(None, (one.kind, one.where))) or one.label)}"]
    if one.verdict is not None:
        parts.append(f'color="{COLOR[one.verdict]}", fontcolor="{COLOR[one.verdict]}"')
    if one.is_start:
        parts.append("penwidth=2.5")
    return ", ".join(parts)


def _edge(one: Line) -> str:
    style = "dotted" if one.wall or one.doubtful else "dashed" if one.cut else "solid"
    color = COLOR[Verdict.CLOSED] if one.wall else CUT if one.cut else MODE[one.mode]
    head = ", arrowhead=tee" if one.wall else ""
    return f'label={quoted(one.label)}, tooltip={quoted(one.words)}, style={style}, color="{color}"{head}'


def quoted(text: str) -> str:
    """Printable words as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") + '"'


PLUGIN = Format(
    "dot", "the graph of what sandboxes reach, for Graphviz", (".dot", ".gv"), render, draws=frozenset({Part.LAUNCH})
)
