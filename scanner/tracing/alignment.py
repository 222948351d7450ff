"""Which instruction of a Dockerfile made which layer: the image's history beside the chain of stages, from the end."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scanner.dockerfile import Dockerfile, Expanded, ExpandedStage, Instruction, expanded
from scanner.model import Image
from scanner.tracing.effort import STEP, Effort
from scanner.tracing.history import Agreement, Entry, Expected, agreement, entries

MOST_STAGES = 40
"""Stages, the last ones, that may be the image's."""
MOST_INSTRUCTIONS = 3_000
"""Instructions and stages of a Dockerfile that is compared at all; engines stop at 127 layers."""
_OPTIONAL = {"ONBUILD"}
"""Instructions that BuildKit leaves out of the history."""
_SCORES = {Agreement.SAME: 6, Agreement.LIKELY: 4, Agreement.CHANGED: -2}
_SKIPPED = -3
_ENDS = {"", "CMD", "ENTRYPOINT"}
_PREDEFINED_SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, slots=True)
class Alignment:
    """The image's history beside one stage of one Dockerfile.

    `pairs` maps entries to instructions with how well they fit; entries below `base` came with the image of the `FROM` line. `whole`: every
    instruction of the chain has its entry, the last ones of the history, so that it is this Dockerfile's. `same` counts the
    instructions that are there word for word. `target` is the stage, `root` the one whose FROM names an image. `rivals` are the other
    stages of the file that the history fits as well.
    """

    file: Dockerfile
    expanded: Expanded
    target: int
    root: int
    entries: tuple[Entry, ...]
    expected: tuple[Expected, ...]
    pairs: Mapping[int, tuple[int, Agreement]]
    base: int
    whole: bool
    rivals: "tuple[Alignment, ...]" = ()

    @property
    def same(self) -> int:
        return sum(how is Agreement.SAME for _, how in self.pairs.values())

    @property
    def telling(self) -> int:
        """How many instructions that make layers are there word for word; the layers themselves may have been squashed."""
        return sum(
            how is Agreement.SAME
            and (self.entries[at].layer is not None or self.entries[at].keyword in ("RUN", "COPY", "ADD"))
            for at, (_, how) in self.pairs.items()
        )

    @property
    def end(self) -> int:
        """The last entry of the base's that ends an image, so that no line that is gone from the Dockerfile can have made what lies below; -1
        where none does. Builds end with what is started, and no instruction imports."""
        ends = (at for at, e in enumerate(self.entries[: self.base]) if e.keyword in _ENDS and not e.merged)
        return max(ends, default=-1)

    @property
    def belongs(self) -> bool:
        """Whether the history is this Dockerfile's at all: the most of it is there."""
        return self.whole or self.same * 2 > max(len(self.expected), 1)


def aligned(image: Image, file: Dockerfile, effort: Effort, *, whole: bool = False) -> Alignment | None:
    """The stage of the file that fits the image best, the last one of equals. None where the image has no history that fits its layers,
    the file no stage, or more instructions than anybody builds. `whole`: only one that fits as a whole is looked for."""
    history = entries(image)
    if not history:
        return None
    found = _all(image, file, history, effort, nearest=not whole)
    if not found:
        return None
    best = max(found, key=lambda one: (one.whole, one.same, one.target))
    rivals = (o for o in found if (o.whole, o.same) == (best.whole, best.same) and o.target != best.target)
    return replace(best, rivals=tuple(one for one in rivals if one.expected))


def _all(
    image: Image, file: Dockerfile, history: tuple[Entry, ...], effort: Effort, *, nearest: bool
) -> list[Alignment]:
    """One for each stage, the last first, as far as the effort goes."""
    arguments = _told(history)
    if _length(file) > MOST_INSTRUCTIONS or not effort.take(_size(file)):
        return []
    plain = expanded(file, arguments, work=effort.work)
    if _length(file) + sum(len(_triggers(file, one)) for one in plain.stages) > MOST_INSTRUCTIONS:
        return []
    made = []
    whole = _with_triggers(file, plain)
    read = sum(len(entry.text) for entry in history)
    for target in range(len(file.stages))[: -MOST_STAGES - 1 : -1]:
        if not effort.take(_size(whole) + read):
            break
        stages = expanded(whole, arguments, _environment(image, whole, target), effort.work)
        chain = _chain(stages, target)
        expected = _expected(file, stages, chain)
        pairs, is_whole = _paired(expected, history)
        if is_whole and pairs and min(pairs) and stages.stages[chain[0]].stage.expanded.lower() == "scratch":
            is_whole = False  # nothing can stand below the first instruction
        if not is_whole and not pairs and nearest:
            pairs = _nearest(expected, history, effort)
        base = min(pairs, default=len(history))
        made.append(Alignment(file, stages, target, chain[0], history, expected, pairs, base, is_whole))
    return made


def _size(file: Dockerfile) -> int:
    """What looking at all of it costs."""
    each = (i for stage in file.stages for i in stage.instructions)
    return STEP * _length(file) + sum(len(i.value) + sum(len(h.content) for h in i.heredocs) for i in each)


def _length(file: Dockerfile) -> int:
    return sum(1 + len(stage.instructions) for stage in file.stages)


def _told(history: Sequence[Entry]) -> dict[str, str]:
    """Build arguments that the history names with one value throughout. Defaults are among them, and do no harm."""
    told: dict[str, set[str]] = {}
    for entry in history:
        if entry.keyword == "RUN":
            for name, value in entry.arguments:
                told.setdefault(name, set()).add(value)
    for entry in history:
        if entry.keyword == "ARG":
            for name, value in entry.arguments:
                told.setdefault(name, {value})
    return {name: next(iter(values)) for name, values in told.items() if len(values) == 1}


def _with_triggers(file: Dockerfile, stages: Expanded) -> Dockerfile:
    """The file with each stage's ONBUILD instructions at the beginning of the stages that are built from it."""
    made = []
    for one in stages.stages:
        triggers = tuple(replace(i, on_build=False) for i in _triggers(file, one))
        made.append(
            replace(one.stage, base=file.stages[one.index].base, instructions=(*triggers, *one.stage.instructions))
        )
    return replace(file, stages=tuple(made))


def _triggers(file: Dockerfile, stage: ExpandedStage) -> tuple[Instruction, ...]:
    """What the stage below leaves to it."""
    return () if stage.parent is None else tuple(i for i in file.stages[stage.parent].instructions if i.on_build)


def _chain(stages: Expanded, target: int) -> list[int]:
    """The stage's own, and those it is built from, lowest first. A stage can only be built from one above it in the file."""
    chain: list[int] = [target]
    while (below := stages.stages[chain[0]].parent) is not None:
        chain.insert(0, below)
    return chain


def leading_to(alignment: Alignment, stage: ExpandedStage) -> tuple[Expected, ...]:
    """All instructions that lead to a stage's end, lowest first."""
    return _expected(alignment.file, alignment.expanded, _chain(alignment.expanded, stage.index))


def _environment(image: Image, file: Dockerfile, target: int) -> dict[str, str]:
    """What the base image sets, as far as the image's configuration shows it: the variables that no ENV of the file names."""
    set_here = {
        word.partition("=")[0]
        for stage in file.stages[: target + 1]
        for one in stage.instructions
        if one.keyword == "ENV" and not one.on_build
        for word in one.words
    }
    pairs = (variable.partition("=") for variable in image.config.env)
    return {name: value for name, _, value in pairs if name not in set_here}


def _expected(file: Dockerfile, stages: Expanded, chain: Sequence[int]) -> tuple[Expected, ...]:
    made: list[Expected] = []
    shell: tuple[str, ...] | None = None
    folder: str | None = "/" if file.stages[chain[0]].base.lower() == "scratch" else None
    for index in chain:
        stage = stages.stages[index]
        triggers = len(stage.steps) - len(file.stages[index].instructions)
        for number, step in enumerate(stage.steps):
            made.append(Expected(step, index, shell, folder, number < triggers))
            one = step.instruction
            if one.on_build:
                continue
            if one.keyword == "SHELL" and one.is_exec:
                shell = one.words
            elif one.keyword == "WORKDIR" and step.words:
                to = step.words[0]
                known = to.startswith("/") or folder is not None
                folder = posixpath.normpath(posixpath.join(folder or "/", to)) if known and "$" not in to else None
    return tuple(made)


def _paired(expected: Sequence[Expected], history: Sequence[Entry]) -> tuple[dict[int, tuple[int, Agreement]], bool]:
    """Entries with their instructions where they are the whole Dockerfile's, and whether they are."""
    pairs: dict[int, tuple[int, Agreement]] = {}
    at = len(history) - 1
    begun = False
    for number in range(len(expected) - 1, -1, -1):
        one = expected[number]
        while at >= 0 and not begun and agreement(one, history[at]) < Agreement.LIKELY and _is_added(history[at]):
            at -= 1  # `--label` and `--squash` write entries of their own behind the Dockerfile's
        how = agreement(one, history[at]) if at >= 0 else Agreement.NONE
        if how >= Agreement.LIKELY:
            pairs[at] = number, how
            at -= 1
            begun = True
        elif one.keyword not in _OPTIONAL:
            return {}, False
    return pairs, True


def _is_added(entry: Entry) -> bool:
    return entry.merged or (entry.keyword == "LABEL" and entry.layer is None)


def _nearest(
    expected: Sequence[Expected], history: Sequence[Entry], effort: Effort
) -> dict[int, tuple[int, Agreement]]:
    """The best way to lay the instructions over the end of a history that is not quite theirs: the Dockerfile was changed since."""
    rows, columns = len(expected), len(history)
    read = columns * sum(len(e.step.instruction.value) for e in expected) + rows * sum(len(h.text) for h in history)
    if not effort.take(rows * columns * STEP + read):
        return {}
    # best[i][j]: what the first i instructions and the first j entries are worth; entries before the first one cost nothing
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    ways = [[""] * (columns + 1) for _ in range(rows + 1)]
    kinds: dict[tuple[int, int], Agreement] = {}
    for i in range(1, rows + 1):
        skip = 0 if expected[i - 1].keyword in _OPTIONAL else _SKIPPED
        best[i][0], ways[i][0] = best[i - 1][0] + skip, "i"
        for j in range(1, columns + 1):
            how = agreement(expected[i - 1], history[j - 1])
            options = [(best[i - 1][j] + skip, "i"), (best[i][j - 1] + _SKIPPED, "j")]
            if how is not Agreement.NONE:
                kinds[i, j] = how
                options.append((best[i - 1][j - 1] + _SCORES[how], "="))
            best[i][j], ways[i][j] = max(options, key=lambda o: (o[0], o[1] == "="))
    pairs: dict[int, tuple[int, Agreement]] = {}
    i, j = rows, columns
    while i and j:
        way = ways[i][j]
        if way == "=":
            pairs[j - 1] = i - 1, kinds[i, j]
        i, j = i - (way != "j"), j - (way != "i")
    return pairs
