"""The graph of what each sandbox reaches as a Mermaid flowchart, which GitHub and GitLab draw in Markdown.

Language: mermaid.js.org, flowcharts. A label is quoted, and every character in it that Mermaid, Markdown or HTML could give
a meaning is written as its number (`#35;`). GitHub draws at most 500 edges and 50,000 characters.
"""

import re

from scanner.model import Report
from scanner.model.egress import SandboxReach
from scanner.reports import reach, words
from scanner.reports.drawing import Line, drawing
from scanner.reports.plugin import Format, Part, RenderOptions

EDGES = 500
CHARACTERS = 50_000
LABEL = 80
TAIL = 1_500
"""Characters kept free for the styles and for what was left out."""
CLASSES = """\
  classDef open stroke:#b3261e,stroke-width:2px
  classDef limited stroke:#8a5a00,stroke-width:2px
  classDef unknown stroke:#7b3fb8,stroke-width:2px,stroke-dasharray:2 4
  classDef closed stroke:#1a6b35
  classDef start stroke-width:3px"""


def render(report: Report, options: RenderOptions) -> str:  # noqa: ARG001  # GitHub's limits are for everybody
    """Sandboxes as subgraphs, one of each row of the matrix first, as many as are drawn."""
    egress = reach.needed(report, "mermaid")
    groups = reach.groups(egress.sandboxes)
    ordered = [*(group[0] for group in groups), *(one for group in groups for one in group[1:])]
    title = _text(f"What the sandboxes of {reach.launch(egress)} reach", 200)
    head = f'---\ntitle: "{title}"\n---\nflowchart LR'
    lines, size, edges, count, cut = [head], len(head) + TAIL, 0, 0, list[int]()
    for sandbox in ordered:
        some, arrows, dashed = _subgraph(sandbox, f"s{count}")
        length = sum(len(one) + 1 for one in some)
        if edges + arrows > EDGES or size + length > CHARACTERS:
            break
        cut += [edges + number for number in dashed]
        lines += some
        size, edges, count = size + length, edges + arrows, count + 1
    if rest := len(ordered) - count:
        more = words.many(rest, "more sandbox", "more sandboxes")
        lines.append(f'  more["{_text(f"{more} not drawn here, the JSON report has all of them", 200)}"]')
    if not ordered:
        lines.append('  none["The launch starts no sandbox"]')
    lines.append(CLASSES)
    if cut:
        lines.append(f"  linkStyle {','.join(map(str, cut))} stroke:#0b62c4,stroke-dasharray:7 5")
    return "\n".join((*lines, ""))


def _subgraph(sandbox: SandboxReach, prefix: str) -> tuple[list[str], int, list[int]]:
    """Its lines, how many arrows there are, and which of them the cut removes."""
    picture = drawing(sandbox, 80, 120)
    ids = {one.id: f"{prefix}n{number}" for number, one in enumerate(picture.nodes)}
    lines = [f'  subgraph {prefix}["{_text(reach.name(sandbox.name), LABEL)}"]']
    for one in picture.nodes:
        label = f"{_text(one.label, LABEL)}<br/>{_text(one.shown or one.kind, LABEL)}"
        shape = f'(["{label}"])' if one.is_destination else f'["{label}"]'
        kind = str(one.verdict) if one.verdict is not None else "start" if one.is_start else ""
        lines.append(f"    {ids[one.id]}{shape}" + (f":::{kind}" if kind else ""))
    lines += (f"    {ids[one.source]} {_arrow(one)} {ids[one.target]}" for one in picture.lines)
    if picture.left_out:
        lines.append(f'    {prefix}more["{words.many(picture.left_out, "more step")} not drawn"]')
    lines.append("  end")
    return lines, len(picture.lines), [number for number, one in enumerate(picture.lines) if one.cut]


def _arrow(one: Line) -> str:
    arrow = "-. {} .-x" if one.wall else "-. {} .->" if one.doubtful else "-- {} -->"
    return arrow.format(f'"{_text(one.label, 40)}"')


def _text(text: str, limit: int) -> str:
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return re.sub(r"[^A-Za-z0-9 ,.:/_()…-]", lambda found: f"#{ord(found[0])};", shown) or " "


PLUGIN = Format(
    "mermaid",
    "the graph of what sandboxes reach, for Markdown",
    (".mmd", ".mermaid"),
    render,
    draws=frozenset({Part.LAUNCH}),
)
