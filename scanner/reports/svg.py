"""The graph of what each sandbox reaches as SVG: a picture to look at, with the evidence written below it.

Laid out by ourselves (layout.py), so that the same report is the same picture. Light or dark as the reader's system is.
SVG 1.1, with the `title` and `desc` elements that screen readers read.
"""

from collections.abc import Iterator, Mapping, Sequence

from scanner.model import Report
from scanner.model.egress import Mode, SandboxReach
from scanner.reports import reach, words
from scanner.reports.drawing import Drawing
from scanner.reports.layout import Layout, Point
from scanner.reports.picture import LETTER, LINE, Arrow, Box, folded, picture
from scanner.reports.plugin import Format, Part, RenderOptions
from scanner.reports.terminal import width

SANDBOXES = 20
"""Sandboxes that are drawn, one of each row of the matrix first; `verbose` draws SANDBOXES_VERBOSE."""
SANDBOXES_VERBOSE = 200
MARGIN = 24.0
TITLE_LETTER = 9.4
EVIDENCE = 104
"""Letters of a line of evidence."""
LEAST_WIDTH = 760.0

STYLE = """
  :root { --paper: #fff; --ink: #1b1f24; --quiet: #57606a; --box: #f6f8fa; --edge: #57606a;
    --open: #b3261e; --limited: #8a5a00; --unknown: #7b3fb8; --closed: #1a6b35; --cut: #0b62c4; }
  @media (prefers-color-scheme: dark) {
    :root { --paper: #0f1317; --ink: #e8ecf0; --quiet: #a3adb8; --box: #1b2129; --edge: #8f9aa6;
      --open: #ff8a80; --limited: #ffc24d; --unknown: #d0a6ff; --closed: #6fd08c; --cut: #7ab8ff; }
  }
  .paper { fill: var(--paper); }
  text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: var(--ink); }
  .title { font-size: 15px; font-weight: 700; }
  .quiet { fill: var(--quiet); }
  .box { fill: var(--box); stroke: var(--edge); }
  .start .box { stroke-width: 2.5; }
  .open .box { stroke: var(--open); stroke-width: 2; } .open .said { fill: var(--open); font-weight: 700; }
  .limited .box { stroke: var(--limited); stroke-width: 2; } .limited .said { fill: var(--limited); font-weight: 700; }
  .unknown .box { stroke: var(--unknown); stroke-width: 2; } .unknown .said { fill: var(--unknown); font-weight: 700; }
  .closed .box { stroke: var(--closed); } .closed .said { fill: var(--closed); }
  .line { fill: none; stroke: var(--edge); stroke-width: 1.5; }
  .mediated .line { stroke: var(--limited); }
  .pivot .line { stroke: var(--open); stroke-width: 2; }
  .doubtful .line { stroke: var(--unknown); stroke-dasharray: 2 4; }
  .cut .line { stroke: var(--cut); stroke-dasharray: 7 5; }
  .wall .line { stroke: var(--closed); stroke-dasharray: 1 5; }
  .to-edge { fill: var(--edge); } .to-limited { fill: var(--limited); } .to-open { fill: var(--open); }
  .to-unknown { fill: var(--unknown); } .to-cut { fill: var(--cut); } .to-closed { fill: var(--closed); }
  .badge rect { fill: var(--paper); stroke: var(--edge); } .cut .badge rect { stroke: var(--cut); stroke-width: 2; }
  .badge text { font-size: 10px; text-anchor: middle; }
"""


def render(report: Report, options: RenderOptions) -> str:
    egress = reach.needed(report, "svg")
    groups = reach.groups(egress.sandboxes)
    most = SANDBOXES_VERBOSE if options.verbose else SANDBOXES
    drawn = [*(group[0] for group in groups), *(one for group in groups for one in group[1:])][:most]
    body: list[str] = []
    y, wide = MARGIN, LEAST_WIDTH
    for sandbox in drawn:
        parts, right, bottom = _sandbox(sandbox, y)
        body += parts
        y, wide = bottom + 2 * MARGIN, max(wide, right + MARGIN)
    if rest := len(egress.sandboxes) - len(drawn):
        more = words.many(rest, "more sandbox", "more sandboxes")
        body.append(_text(f"{more} not drawn here: the JSON report has all of them.", MARGIN, y, "quiet"))
        y += 2 * LINE
    if not egress.sandboxes:
        body.append(_text("The launch starts no sandbox.", MARGIN, y + LINE))
        y += 3 * LINE
    title = f"What the sandboxes of {reach.launch(egress)} reach"
    size = f'width="{wide:.0f}" height="{y:.0f}" viewBox="0 0 {wide:.0f} {y:.0f}"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title">',
            f'<title id="title">{escaped(title)}</title>',
            f"<style>{STYLE}</style>",
            "<defs>",
            *(_marker(name, color) for name, color in MARKERS.items()),
            "</defs>",
            f'<rect class="paper" width="{wide:.0f}" height="{y:.0f}"/>',
            *body,
            "</svg>\n",
        )
    )


MARKERS = {
    "direct": "edge",
    "mediated": "limited",
    "pivot": "open",
    "doubtful": "unknown",
    "cut": "cut",
    "wall": "closed",
}
"""Arrow heads, each with the colour of its line."""


def _marker(name: str, color: str) -> str:
    """An arrow's head; before a wall a bar."""
    shape = "M4 0h3v10h-3z" if name == "wall" else "M0 1 8 5 0 9z"
    place = 'viewBox="0 0 10 10" refX="7" refY="5" markerWidth="10" markerHeight="10" orient="auto"'
    return f'<marker id="{name}" {place} markerUnits="userSpaceOnUse"><path class="to-{color}" d="{shape}"/></marker>'


def escaped(text: str) -> str:
    """Words as XML text and attribute; what is printable has no character that XML forbids."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


# ---- one sandbox


def _sandbox(sandbox: SandboxReach, top: float) -> tuple[list[str], float, float]:
    """Its picture and its evidence; the right and the lower end."""
    drawn = picture(sandbox)
    name, about = reach.name(sandbox.name), reach.about(sandbox)
    x = MARGIN + 8 + width(name) * TITLE_LETTER
    right = max(MARGIN + drawn.layout.width, x + width(about) * LETTER)
    y = top + 2 * LINE + 8
    parts = [
        f'<g role="group" aria-label="{escaped(name)}">',
        _text(name, MARGIN, top + LINE, "title"),
        _text(about, x, top + LINE, "quiet"),
    ]
    boxes = {box.name: box for box in drawn.boxes}
    badges: list[str] = []
    for number, arrow in enumerate(drawn.arrows):
        line, badge = _arrow(arrow, drawn.layout, number, boxes, y)
        parts.append(line)
        badges.append(badge)
    parts += badges
    for box in drawn.boxes:
        parts += _box(box, drawn.layout.places[box.name], y)
    y += drawn.layout.height + 1.5 * LINE
    for mark, told in _legend(sandbox, drawn.drawing):
        for number, piece in enumerate(folded(told, EVIDENCE)):
            if mark and number == 0:
                parts.append(_text(f"{mark:>3}", MARGIN, y, "quiet"))
            x = MARGIN + (4 * LETTER if mark else 0)
            parts.append(_text(piece, x, y))
            right = max(right, x + width(piece) * LETTER)
            y += LINE
    parts.append("</g>")
    return parts, right, y


def _box(box: Box, place: Point, top: float) -> Iterator[str]:
    x, y, dot = MARGIN + place[0] - box.width / 2, top + place[1] - box.height / 2, box.dot
    names = " ".join(filter(None, ("node", dot.verdict and str(dot.verdict), "start" if dot.is_start else "")))
    title = ", ".join(filter(None, (dot.label, dot.kind, dot.shown, dot.where)))
    yield f'<g class="{names}"><title>{escaped(title)}</title>'
    radius = 10 if dot.is_destination else 4
    size = f'width="{box.width:.1f}" height="{box.height:.1f}"'
    yield f'<rect class="box" x="{x:.1f}" y="{y:.1f}" {size} rx="{radius}"/>'
    for number, line in enumerate(box.label):
        kind = ("said" if dot.shown else "quiet") if number == len(box.label) - 1 else ""
        yield _text(line, x + 10, y + 17 + number * LINE, kind)
    yield "</g>"


def _arrow(arrow: Arrow, places: Layout, number: int, boxes: Mapping[str, Box], top: float) -> tuple[str, str]:
    """The line, and its numbers; in one layer it goes around the right side."""
    source, target = places.places[arrow.source], places.places[arrow.target]
    bulge = source[0] == target[0]
    side = 1 if target[0] >= source[0] else -1
    begin = (source[0] + side * boxes[arrow.source].width / 2, source[1])
    end = (target[0] - side * (boxes[arrow.target].width / 2 + 2), target[1])
    if bulge:
        end = (target[0] + boxes[arrow.target].width / 2, target[1])
    points = [(MARGIN + x, top + y) for x, y in (begin, *places.bends[number], end)]
    kind = "cut" if arrow.cut else arrow.kind
    title = f"<title>{escaped(arrow.words)}</title>"
    line = f'<path class="line" d="{_curve(points, bulge=bulge)}" marker-end="url(#{kind})"/>'
    badge = _badge(arrow, _before(points, arrow.offset, bulge=bulge))
    return f'<g class="{kind}">{title}{line}</g>', f'<g class="{kind}">{title}{badge}</g>'


def _curve(points: Sequence[Point], *, bulge: bool) -> str:
    (x, y), parts = points[0], []
    parts.append(f"M{x:.1f} {y:.1f}")
    for to_x, to_y in points[1:]:
        middle = x + 46 if bulge else (x + to_x) / 2
        parts.append(f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return " ".join(parts)


def _before(points: Sequence[Point], distance: float, *, bulge: bool) -> Point:
    """A point on the curve's last piece, so far before its end as there is room; a bulge has it in its middle."""
    (x1, y1), (x2, y2) = points[-2:]
    if bulge:
        return x2 + 34, (y1 + y2) / 2
    wanted = x2 - min(distance, abs(x2 - x1) * 0.8) * (1 if x2 >= x1 else -1)
    # along a cubic whose two handles lie half-way: x = x1 + (x2 - x1)(1.5t - 1.5t² + t³), y = y1 + (y2 - y1)(3t² - 2t³)
    share = (wanted - x1) / (x2 - x1) if x2 != x1 else 0.5
    low, high = 0.0, 1.0
    for _ in range(24):
        t = (low + high) / 2
        low, high = (t, high) if 1.5 * t - 1.5 * t * t + t**3 < share else (low, t)
    return wanted, y1 + (y2 - y1) * (3 * low * low - 2 * low**3)


def _badge(arrow: Arrow, at: Point) -> str:
    x, y, wide = at[0] - arrow.badge / 2, at[1] - 9, arrow.badge
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="18" rx="9"/>'
    return f'<g class="badge">{shape}<text x="{at[0]:.1f}" y="{at[1] + 3.5:.1f}">{arrow.numbers}</text></g>'


def _legend(sandbox: SandboxReach, picture: Drawing) -> Iterator[tuple[str, str]]:
    """The evidence: every numbered line's reason, then the cut."""
    for one in picture.lines:
        marks = [str(one.mode)] if not one.wall and one.mode is not Mode.DIRECT else []
        marks += ["stands in the way"] * one.wall + ["if a missing fact holds"] * one.doubtful
        marks += ["removed by the cut"] * one.cut
        yield str(one.number), one.words + (f" [{', '.join(marks)}]" if marks else "")
    if picture.left_out:
        yield "", f"{words.many(picture.left_out, 'more step')} not drawn here: the JSON report has all of them."
    cut = reach.first_cut(sandbox)
    if cut is not None:
        yield "", reach.cut(cut, sandbox)
        for number, action in enumerate(cut.actions, 1):
            yield f"{number}.", reach.action(action)


def _text(text: str, x: float, y: float, kind: str = "") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{name} xml:space="preserve">{escaped(text)}</text>'


PLUGIN = Format(
    "svg", "the graph of what sandboxes reach, as a picture", (".svg",), render, draws=frozenset({Part.LAUNCH})
)
