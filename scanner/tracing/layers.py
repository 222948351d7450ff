"""Each layer's line: from the build's provenance where it is of this Dockerfile, else from the image's history."""

import posixpath
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter

from scanner.dockerfile import Dockerfile, ExpandedStage, Instruction, Stage, Step
from scanner.model import Image, Traced, printable
from scanner.tracing.alignment import Alignment
from scanner.tracing.effort import STEP, Effort
from scanner.tracing.history import Agreement, Expected


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a layer comes from: lines of the Dockerfile, how that is known, and the instruction, None for a `FROM` line."""

    line: int
    end_line: int
    how: Traced
    certain: bool
    why: str
    expected: Expected | None = None


def by_history(alignment: Alignment) -> dict[int, Origin]:
    """Layers with their lines, as far as the history tells. It is the image's own word: who made the image may have written anything."""
    made = _by_history(alignment)
    for other in alignment.rivals:
        for layer, theirs in _by_history(other).items():
            ours = made.get(layer)
            if ours is not None and (ours.line, ours.end_line) != (theirs.line, theirs.end_line):
                why = f"{ours.why}; line {theirs.line} of another stage fits as well"
                made[layer] = replace(ours, certain=False, why=why)
    return made


def _by_history(alignment: Alignment) -> dict[int, Origin]:
    made: dict[int, Origin] = {}
    if not alignment.belongs:
        return made
    for at, entry in enumerate(alignment.entries):
        if entry.layer is None or entry.merged:
            continue
        if at < alignment.base:
            made[entry.layer] = _of_base(alignment, entry.layer, is_below=at <= alignment.end)
        elif at in alignment.pairs:
            number, how = alignment.pairs[at]
            made[entry.layer] = _of_instruction(alignment, entry.layer, number, how)
    return made


def _of_base(alignment: Alignment, layer: int, *, is_below: bool) -> Origin:
    """`is_below`: the layer lies in an image of its own, so that no line that is gone from the Dockerfile can have made it."""
    root = alignment.file.stages[alignment.root]
    sure = alignment.whole and alignment.same > 0
    why = f"layer {layer} came with the image {printable(root.expanded or '(none)', 80)}, by the image's history"
    if not alignment.expected:
        why += ", if this Dockerfile made the image: it only names a base, which no history confirms"
    elif not sure:
        why += ", or from a line that was changed since: the history is not quite this Dockerfile's"
    elif not is_below:
        why += ", or from a line that was removed since: the history does not show where that image ends"
    return Origin(root.line, root.end_line, Traced.BASE, sure and is_below, why)


def _of_instruction(alignment: Alignment, layer: int, number: int, how: Agreement) -> Origin:
    expected = alignment.expected[number]
    one = expected.step.instruction
    why = f"layer {layer} is this {one.keyword}'s, by the image's history"
    if how is Agreement.LIKELY:
        why = f"layer {layer} is this {one.keyword}'s by its place in the history; its variables have values that are not known here"
    elif how is Agreement.CHANGED:
        why = (
            f"another {one.keyword} stands in this place of the history: the line was changed since, or is not the one"
        )
    elif not alignment.whole:
        why = f"the history has this {one.keyword}, but is not quite this Dockerfile's: it was changed since, or another one built the image"
    if expected.trigger:
        why += "; ONBUILD of the stage below"
    why += copied_from(alignment, expected)
    return Origin(one.line, one.end_line, Traced.HISTORY, alignment.whole and how is Agreement.SAME, why, expected)


def by_provenance(
    lines: Mapping[int, tuple[int, int]], file: Dockerfile, alignment: Alignment | None, told: Mapping[int, Origin]
) -> dict[int, Origin]:
    """Layers with the instructions that the build's own record names; lines that are no instruction's name none. For what it counts
    to a `FROM` that names a stage (the ONBUILD instructions of that stage), the history knows better."""
    names = {stage.name for stage in file.stages if stage.name}
    written: list[tuple[int, Stage | Instruction]] = []
    for stage in file.stages:
        written += [(stage.line, stage), *((i.line, i) for i in stage.instructions)]
    known = {} if alignment is None else {e.step.instruction.line: e for e in reversed(alignment.expected)}
    made: dict[int, Origin] = {}
    for layer, (line, end) in lines.items():
        at = bisect_right(written, line, key=itemgetter(0)) - 1
        if at < 0 or end > written[at][1].end_line:
            continue
        one = written[at][1]
        if isinstance(one, Stage):
            if one.expanded.lower() in names and layer in told:
                made[layer] = told[layer]
                continue
            why = f"layer {layer} is this FROM's, by the provenance of the build"
            made[layer] = Origin(one.line, one.end_line, Traced.PROVENANCE, True, why)
            continue
        why = f"layer {layer} is this {one.keyword}'s, by the provenance of the build"
        expected = known.get(one.line)
        if expected is not None and alignment is not None:
            why += copied_from(alignment, expected)
        made[layer] = Origin(one.line, one.end_line, Traced.PROVENANCE, True, why, expected)
    return made


def source_stage(alignment: Alignment, expected: Expected) -> ExpandedStage | None:
    """The stage of the file that a COPY takes its files from, None where it is the context or an image."""
    given = dict(expected.step.flags).get("from")
    return None if given is None else alignment.expanded.find(given)


def copied_from(alignment: Alignment, expected: Expected) -> str:
    """`; from stage build, line 3` of a COPY that takes its files elsewhere; empty for all others."""
    given = dict(expected.step.flags).get("from")
    if given is None or expected.step.instruction.keyword not in ("COPY", "ADD"):
        return ""
    stage = source_stage(alignment, expected)
    if stage is None:
        return f"; the files are of {printable(given, 80)}"
    return f"; the files are of stage {printable(stage.stage.name or str(stage.index), 60)}, which line {stage.stage.line} begins"


def naming(path: str, steps: Iterable[Expected], effort: Effort) -> list[Instruction]:
    """The instructions that name a path (from `/`): a RUN in its text, a COPY or ADD as what it writes to. Every line counts once.
    Empty where not all can be looked at."""
    named = re.compile(rf"(?<![\w.-]){re.escape(path)}(?![\w-]|\.\w)")
    found = {}
    for expected in steps:
        step, one = expected.step, expected.step.instruction
        if not effort.take(STEP + len(one.value) + sum(map(len, step.texts))):
            return []
        to = posixpath.normpath(step.words[-1]) if one.keyword in ("COPY", "ADD") and step.words else None
        if to == path or (one.keyword == "RUN" and named.search("\n".join([one.value, *step.texts]))):
            found[one.line] = one
    return list(found.values())


def of_config(field: str, image: Image, alignment: Alignment) -> tuple[Instruction | None, bool]:
    """The instruction that set a field of the configuration (None: none did, it came with the base image), and whether
    what it says is what the image has."""
    name, _, rest = field.partition("[")
    number = int(rest[:-1]) if rest.endswith("]") and rest[:-1].isdecimal() else None
    config = image.config
    steps = [e.step for e in alignment.expected]
    if name == "Env":
        variable = config.env[number] if number is not None and number < len(config.env) else ""
        key = variable.partition("=")[0]
        for step in _last(steps, "ENV"):
            for word in step.words:
                if word.partition("=")[0] == key:
                    return step.instruction, word == variable
        return None, True
    if name == "OnBuild":
        own = [s.instruction for s in steps if s.instruction.on_build]
        texts = [f"{i.keyword} {i.value}" for i in own]
        wanted = config.on_build[number] if number is not None and number < len(config.on_build) else ""
        for one, text in zip(own, texts, strict=True):
            if " ".join(wanted.split()).endswith(" ".join(text.split()).partition(" ")[2]):
                return one, True
        return None, True
    if name in ("Entrypoint", "Cmd"):
        words = config.entrypoint if name == "Entrypoint" else config.cmd
        for step in _last(steps, name.upper()):
            one = step.instruction
            return one, words == one.words if one.is_exec else words[-1:] == (one.value,)
        return None, True
    keyword = {
        "User": "USER",
        "WorkingDir": "WORKDIR",
        "Healthcheck": "HEALTHCHECK",
        "ExposedPorts": "EXPOSE",
        "Volumes": "VOLUME",
        "Labels": "LABEL",
        "StopSignal": "STOPSIGNAL",
    }.get(name)
    for step in _last(steps, keyword) if keyword else ():
        if name == "User":
            return step.instruction, " ".join(step.words) == config.user
        if name == "Healthcheck":
            return step.instruction, bool(config.healthcheck)
        return step.instruction, name == "WorkingDir"
    return None, keyword is not None


def _last(steps: list[Step], keyword: str | None) -> list[Step]:
    return [s for s in reversed(steps) if s.instruction.keyword == keyword and not s.instruction.on_build]
