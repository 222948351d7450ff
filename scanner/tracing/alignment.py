"""Which instruction of a Dockerfile made which layer: the image's history beside the chain of stages, from the end."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scanner.dockerfile import Dockerfile, Expanded, expanded
from scanner.model import Image
from scanner.tracing.history import Agreement, Entry, Expected, agreement, entries

MOST_COMPARED = 250_000
"""Pairs of an instruction and an entry that are compared where a history is not the Dockerfile's, one by one."""
MOST_READ = 20_000_000
"""Characters that comparing them reads."""
MOST_STAGES = 40
"""Stages, the last ones, that may be the image's."""
MOST_INSTRUCTIONS = 3_000
"""Instructions of a Dockerfile that is compared at all; engines stop at 127 layers."""
_OPTIONAL = {"ONBUILD"}
"""Instructions that BuildKit leaves out of the history."""
_SCORES = {Agreement.SAME: 6, Agreement.LIKELY: 4, Agreement.CHANGED: -2}
_SKIPPED = -3
_PREDEFINED_SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, slots=True)
class Alignment:
    """The image's history beside one stage of one Dockerfile.

    `pairs` maps entries to instructions with how well they fit; entries below `base` came with the image of the `FROM` line. `whole`: every
    instruction of the chain has its entry and the other way round, so that the history is this Dockerfile's. `same` counts the
    instructions that are there word for word. `target` is the stage, `root` the one whose FROM names an image.
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

    @property
    def same(self) -> int:
        return sum(how is Agreement.SAME for _, how in self.pairs.values())

    @property
    def belongs(self) -> bool:
        """Whether the history is this Dockerfile's at all: the most of it is there."""
        return self.whole or self.same * 2 > max(len(self.expected), 1)


def aligned(image: Image, file: Dockerfile) -> Alignment | None:
    """The stage of the file that fits the image best, the last one of equals. None where the image has no history that fits its layers,
    the file no stage, or more instructions than anybody builds."""
    history = entries(image)
    if not history or not file.stages or sum(len(s.instructions) for s in file.stages) > MOST_INSTRUCTIONS:
        return None
    best: Alignment | None = None
    for one in _all(image, file, history):
        if best is None or (one.whole, one.same, one.target) > (best.whole, best.same, best.target):
            best = one
    return best


def rivals(image: Image, chosen: Alignment) -> tuple[Alignment, ...]:
    """Other stages of the file that the history fits as well."""
    return tuple(
        one
        for one in _all(image, chosen.file, chosen.entries)
        if (one.whole, one.same) == (chosen.whole, chosen.same) and one.target != chosen.target and one.expected
    )


def _all(image: Image, file: Dockerfile, history: tuple[Entry, ...]) -> list[Alignment]:
    arguments = _told(history)
    made = []
    whole = _with_triggers(file, expanded(file, arguments))
    for target in range(len(file.stages))[-MOST_STAGES:]:
        own = _environment(image, whole, target)
        stages = expanded(whole, arguments, own)
        chain = _chain(stages, target)
        expected = _expected(file, stages, chain)
        pairs, is_whole = _paired(expected, history)
        base = min(pairs, default=len(history))
        made.append(Alignment(file, stages, target, chain[0], history, expected, pairs, base, is_whole))
    return made


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
        below = () if one.parent is None else file.stages[one.parent].instructions
        triggers = tuple(replace(i, on_build=False) for i in below if i.on_build)
        made.append(
            replace(one.stage, base=file.stages[one.index].base, instructions=(*triggers, *one.stage.instructions))
        )
    return replace(file, stages=tuple(made))


def _chain(stages: Expanded, target: int) -> list[int]:
    """The stage's own, and those it is built from, lowest first. A stage can only be built from one above it in the file."""
    chain: list[int] = [target]
    while (below := stages.stages[chain[0]].parent) is not None:
        chain.insert(0, below)
    return chain


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
    """Entries with their instructions, and whether they are the whole Dockerfile's."""
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
            return _nearest(expected, history), False
    return pairs, True


def _is_added(entry: Entry) -> bool:
    return entry.merged or (entry.keyword == "LABEL" and entry.layer is None)


def _nearest(expected: Sequence[Expected], history: Sequence[Entry]) -> dict[int, tuple[int, Agreement]]:
    """The best way to lay the instructions over the end of a history that is not quite theirs: the Dockerfile was changed since."""
    rows, columns = len(expected), len(history)
    read = columns * sum(len(e.step.instruction.value) for e in expected) + rows * sum(len(h.text) for h in history)
    if rows * columns > MOST_COMPARED or read > MOST_READ:
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
