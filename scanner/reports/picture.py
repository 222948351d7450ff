"""A drawing with places: what the two pictures, SVG and HTML, share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scanner.model.egress import Mode, SandboxReach
from scanner.reports.drawing import Dot, Drawing, Line, drawing
from scanner.reports.layout import Layout, layout
from scanner.reports.terminal import width, wrapped

LETTER = 7.4
"""Width of a letter of the monospaced font at 12 pixels, rounded up."""
LINE = 16.0
COLUMNS = 26
"""Letters of a label on one line; a longer one goes on below, at most LABEL_LINES."""
LABEL_LINES = 3
BADGES = 84.0
"""Room for numbers before the head of arrows; those of more arrows begin again at the head."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node as it is drawn: the lines of its label, the last of them its kind or its verdict."""

    name: str
    dot: Dot
    label: tuple[str, ...]
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Arrow:
    """All steps between the same two nodes, one arrow. `kind` says how it is drawn."""

    source: str
    target: str
    lines: tuple[Line, ...]
    offset: float = 0.0
    """How far before its head its numbers stand: those of several arrows into one node stand side by side."""

    @property
    def kind(self) -> str:
        """A step before a wall, a takeover before a plain socket."""
        steps = [one for one in self.lines if not one.wall]
        if not steps:
            return "wall"
        if all(one.doubtful for one in steps):
            return "doubtful"
        modes = {one.mode for one in steps}
        return next(mode.value for mode in (Mode.PIVOT, Mode.MEDIATED, Mode.DIRECT) if mode in modes)

    @property
    def cut(self) -> bool:
        """Whether the cut removes every step."""
        steps = [one for one in self.lines if not one.wall]
        return bool(steps) and all(one.cut for one in steps)

    @property
    def numbers(self) -> str:
        return ", ".join(str(one.number) for one in self.lines[:3]) + ("…" if len(self.lines) > 3 else "")

    @property
    def badge(self) -> float:
        """The width of what its numbers stand in."""
        return 18.0 if len(self.numbers) <= 2 else len(self.numbers) * 6.4 + 10

    @property
    def words(self) -> str:
        return "; ".join(f"{one.number} {one.words}" for one in self.lines[:20])


@dataclass(frozen=True, slots=True)
class Picture:
    drawing: Drawing
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    layout: Layout


def picture(sandbox: SandboxReach) -> Picture:
    """The sandbox's graph with a place for everything, destinations in a column on the right."""
    drawn = drawing(sandbox)
    boxes = [_box(f"n{number}", dot) for number, dot in enumerate(drawn.nodes)]
    ends = max(box.width for box in boxes if box.dot.is_destination)
    boxes = [Box(b.name, b.dot, b.label, ends, b.height) if b.dot.is_destination else b for b in boxes]
    names = {box.dot.id: box.name for box in boxes}
    together: dict[tuple[str, str], list[Line]] = {}
    for line in drawn.lines:
        together.setdefault((names[line.source], names[line.target]), []).append(line)
    taken: dict[str, float] = {}
    arrows = []
    for (source, target), lines in together.items():
        arrow = Arrow(source, target, tuple(lines))
        before = taken.get(target, 0.0)
        before = 0.0 if before + arrow.badge > BADGES else before
        arrows.append(replace(arrow, offset=9 + before + arrow.badge / 2))
        taken[target] = before + arrow.badge + 3
    sizes = {box.name: (box.width, box.height) for box in boxes}
    last = [box.name for box in boxes if box.dot.is_destination]
    start = names[sandbox.graph.start]
    return Picture(drawn, tuple(boxes), tuple(arrows), layout(sizes, list(together), start, last))


def _box(name: str, dot: Dot) -> Box:
    shown = folded(dot.label, COLUMNS)
    if len(shown) > LABEL_LINES:
        shown = [*shown[: LABEL_LINES - 1], shown[LABEL_LINES - 1][: COLUMNS - 1] + "…"]
    label = (*shown, folded(dot.shown or dot.kind or "node", COLUMNS)[0])
    return Box(name, dot, label, max(width(one) for one in label) * LETTER + 20, len(label) * LINE + 12)


def folded(text: str, room: int) -> Sequence[str]:
    return [text[start:end].strip() for start, end in wrapped(text, room)]
