"""A Dockerfile as the images that it would build: each stage's commands on their lines, what it copies, what it sets.

A stage is written out as one shell script in which every command stands on its own line of the Dockerfile, so that whatever
reads scripts reads builds too. Reference: Dockerfile reference; image-spec v1.1, config.md.
"""

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from scanner.detectors.launchers import points
from scanner.detectors.launchers.shell import Command
from scanner.dockerfile import Dockerfile, ExpandedStage, Heredoc, Instruction, Step, expanded
from scanner.errors import LimitError, ParseError
from scanner.model import ImageConfig, printable

STAGES = 500
"""Stages of one Dockerfile: each is written out over as many lines as the file has."""
_STARTS = ("ENTRYPOINT", "CMD", "HEALTHCHECK")
_NAME = re.compile(r"[A-Za-z_]\w*")
_HERE = re.compile(r"\d?<<-?\s*[\"']?([A-Za-z_][\w.-]*)[\"']?")
_FROM = re.compile(r"(?:^|,)from=([^,]+)")
_SHEBANG = re.compile(r"#!\s*(?:/usr/bin/env\s+(?:-S\s+)?)?(\S+)")
_SHELL = ("/bin/sh", "-c")


class When(StrEnum):
    """BUILD: while the image is made (RUN). START: in every container (CMD, ENTRYPOINT, HEALTHCHECK). LATER: while an image
    is made from this one (ONBUILD)."""

    BUILD = "build"
    START = "start"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Order:
    """A command that a build or a container runs; `file` and `line` are where it is written, `via` says what by: `RUN`, `CMD`,
    or the script that a RUN starts."""

    command: Command
    when: When
    file: str
    line: int
    via: str


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY or ADD: `sources` as the builder reads them, `target` absolute. `stage` is the `--from`, `checked`: a checksum is given."""

    keyword: str
    sources: tuple[str, ...]
    target: str
    is_folder: bool
    line: int
    stage: str | None
    checked: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """An ARG, ENV or LABEL: `value` None for an ARG that only the builder's caller gives."""

    keyword: str
    name: str
    value: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with what it is built from; `counts`: the last stage comes from it. `lineage` are the indices from the first
    ancestor to itself, `script` its RUNs and `starting` its CMD, ENTRYPOINT and HEALTHCHECK as shell text of as many lines
    as the Dockerfile has. `mounts` are what RUNs see of the context while they run. `places` are the instructions behind the fields of `config`.
    """

    index: int
    name: str
    base: str
    line: int
    counts: bool
    lineage: tuple[int, ...]
    script: str
    starting: str
    instructions: tuple[Instruction, ...]
    copies: tuple[Copy, ...]
    mounts: tuple[Copy, ...]
    settings: tuple[Setting, ...]
    config: ImageConfig
    places: Mapping[str, Instruction]


@dataclass(frozen=True, slots=True)
class Build:
    """A Dockerfile by its stages, up to the one that is asked for; `text` are the lines of the file that it stands in. `context` is the folder
    of the repository that it is built in, None where nobody says."""

    file: str
    text: tuple[str, ...]
    stages: tuple[Stage, ...]
    context: str | None = None

    @property
    def images(self) -> Iterator[Stage]:
        """The last stage, and others from which a container is meant to start."""
        for stage in self.stages:
            if stage is self.stages[-1] or (stage.config.cmd or stage.config.entrypoint):
                yield stage

    def line_of(self, instruction: Instruction, words: Sequence[str]) -> int:
        """The line of an instruction that holds one of the words, the first word first; else its own."""
        for word in words:
            for number in range(instruction.line, min(instruction.end_line, len(self.text)) + 1):
                if word and word in self.text[number - 1]:
                    return number
        return instruction.line


def read(
    file: Dockerfile,
    text: str,
    context: str | None = None,
    arguments: Mapping[str, str] | None = None,
    target: str | None = None,
) -> Build:
    """What the stages of a Dockerfile come to, with these arguments and the defaults of all others, up to the stage `target`.

    Raises ParseError where there is no such stage, LimitError for more than STAGES.
    """
    if len(file.stages) > STAGES:
        raise LimitError(f"{file.name} has more than {STAGES} stages, which no Dockerfile has")
    made = expanded(file, arguments)
    last = made.find(target) if target is not None else None
    if target is not None and last is None:
        raise ParseError(f"there is no stage {printable(target, 80)} in {file.name}")
    wanted = made.stages if last is None else made.stages[: last.index + 1]
    lines = tuple(text.split("\n"))
    used = _used(wanted, made.find)
    stages: list[Stage] = []
    for one in wanted:
        parent = stages[one.parent] if one.parent is not None and one.parent < len(stages) else None
        stages.append(_stage(one, parent, len(lines), one.index in used))
    return Build(file.name, lines, tuple(stages), context)


def _used(stages: Sequence[ExpandedStage], find: Callable[[str], ExpandedStage | None]) -> frozenset[int]:
    """The stages that the last one is made from: by FROM, by COPY --from, by a mount."""
    waiting, used = [len(stages) - 1] if stages else [], set[int]()
    while waiting:
        at = waiting.pop()
        if at in used:
            continue
        used.add(at)
        stage = stages[at]
        if stage.parent is not None:
            waiting.append(stage.parent)
        for step in stage.steps:
            for name, value in step.flags:
                mounted = _FROM.search(value) if name == "mount" else None
                source = value if name == "from" else mounted[1] if mounted else None
                other = find(source) if source else None
                if other is not None and other.index < at:
                    waiting.append(other.index)
    return frozenset(used)


def _stage(one: ExpandedStage, parent: Stage | None, size: int, counts: bool) -> Stage:
    config = parent.config if parent is not None else ImageConfig()
    places: dict[str, Instruction] = dict(parent.places) if parent is not None else {}
    running, starting = _Text(size), _Text(size)
    inherited = one.steps[0].environment if one.steps else {}
    running.put(one.stage.line, _exports(inherited.items()))
    starting.put(one.stage.line, _exports(inherited.items()))
    copies: list[Copy] = []
    mounts: list[Copy] = []
    settings: list[Setting] = []
    shell: tuple[str, ...] = _SHELL
    for step in one.steps:
        at, folder = step.instruction, config.working_dir or "/"
        if at.on_build:
            places[f"OnBuild[{len(config.on_build)}]"] = at
            config = replace(config, on_build=(*config.on_build, f"{at.keyword} {at.value}".strip()))
            if at.keyword in ("RUN", *_STARTS):
                _command(starting, at, folder)
            continue
        match at.keyword:
            case "RUN":
                mounts += _mounts(step, folder)
                _command(running, at, folder)
            case "CMD" | "ENTRYPOINT" | "HEALTHCHECK":
                config = _started(config, places, at, shell)
                _command(starting, at, folder)
            case "ENV" | "ARG" | "LABEL":
                said = tuple(_settings(step))
                settings += said
                config = _set(config, places, said, at)
                known = [(s.name, s.value) for s in said if s.value is not None]
                if at.keyword != "LABEL":
                    running.put(at.line, _exports(known))
                    starting.put(at.line, _exports(known))
            case "WORKDIR":
                config = replace(config, working_dir=_absolute(step.words[0] if step.words else "/", folder))
            case "USER":
                config = replace(config, user=step.words[0] if step.words else "")
                places["User"] = at
            case "SHELL":
                shell = at.words if at.is_exec and at.words else shell
                if not shell[-1].startswith("-"):  # words of its own, which every RUN then begins with
                    running.put(at.line, shlex.join(shell).replace("\n", " "))
            case "COPY" | "ADD":
                copies += _copies(step, folder)
                _written(running, step, folder)
    lineage = (*(parent.lineage if parent is not None else ()), one.index)
    return Stage(
        one.index,
        one.stage.name or str(one.index),
        one.stage.expanded,
        one.stage.line,
        counts,
        lineage,
        running.text,
        starting.text,
        tuple(step.instruction for step in one.steps),
        tuple(copies),
        tuple(mounts),
        tuple(settings),
        config,
        places,
    )


# ---- shell text on its lines


class _Text:
    """Lines of shell text, each on its number."""

    def __init__(self, size: int) -> None:
        self._lines = [""] * (size + 1)

    def put(self, line: int, text: str) -> None:
        """The text on its line, behind what stands there."""
        if text and 0 < line < len(self._lines):
            before = self._lines[line]
            self._lines[line] = f"{before}; {text}" if before else text

    def clear(self, first: int, last: int) -> None:
        for line in range(first, min(last, len(self._lines) - 1) + 1):
            self._lines[line] = ""

    @property
    def text(self) -> str:
        return "\n".join(self._lines[1:]) + "\n"


def _exports(pairs: Iterable[tuple[str, str]]) -> str:
    said = (f"export {name}={shlex.quote(value)}" for name, value in pairs if _NAME.fullmatch(name))
    return "; ".join(said).replace("\n", " ")


def _command(text: _Text, at: Instruction, folder: str) -> None:
    """RUN, CMD, ENTRYPOINT or HEALTHCHECK as shell text, each piece on the line on which it stands."""
    words, value = at.words, at.value
    if at.keyword == "HEALTHCHECK":
        if words[:1] != ("CMD",):
            return
        words, value = words[1:], " " * len("CMD") + value[len("CMD") :]
    text.put(at.line, f"cd {shlex.quote(folder)}".replace("\n", " "))
    if at.is_exec:
        text.put(at.line, shlex.join(words).replace("\n", " "))
        return
    alone = _HERE.fullmatch(value.strip()) if len(at.heredocs) == 1 else None
    if alone is not None:
        _document(text, at.heredocs[0], at.line)
        return
    pieces = _pieces(at, value)
    for number in range(min(pieces), max(pieces) + 1):
        text.put(number, pieces.get(number, "") + (" \\" if number < max(pieces) else ""))
    for here in at.heredocs:
        _body(text, here, here.name)


def _document(text: _Text, here: Heredoc, line: int) -> None:
    """A document that is the whole RUN: the shell reads it, or the program that its first line names."""
    shebang = _SHEBANG.match(here.content)
    program = shebang[1] if shebang is not None else "sh"
    if program.rsplit("/", 1)[-1] in points.SHELLS:
        _body(text, here, "")
    elif _NAME.fullmatch(here.name):
        text.put(line, f"{shlex.quote(program)} <<'{here.name}'")
        _body(text, here, here.name)


def _body(text: _Text, here: Heredoc, end: str) -> None:
    lines = here.text.split("\n")[: here.end_line - here.line + 1]
    for number, line in enumerate([*lines, end], here.line):
        text.put(number, line)


def _written(text: _Text, step: Step, folder: str) -> None:
    """Files whose content a COPY or ADD has in itself."""
    here = [one for one in step.instruction.heredocs if _NAME.fullmatch(one.name)]
    if not here or not step.words:
        return
    target = _absolute(step.words[-1], folder)
    several = step.words[-1].endswith("/") or len(step.instruction.heredocs) > 1
    said = []
    for one in here:
        path = f"{target.rstrip('/')}/{one.name}" if several else target
        said.append(f"cat > {shlex.quote(path)} <<" + (one.name if one.expand else f"'{one.name}'"))
        _body(text, one, one.name)
    text.put(step.instruction.line, "; ".join(said).replace("\n", " "))


def _pieces(at: Instruction, value: str) -> dict[int, str]:
    """The value by the lines that it was joined from."""
    begins = [offset for offset, _ in at.parts] or [0]
    lines = [line for _, line in at.parts] or [at.line]
    return {line: value[a:b] for line, a, b in zip(lines, begins, [*begins[1:], len(value)], strict=True)}


# ---- what a stage sets and copies


def _settings(step: Step) -> Iterator[Setting]:
    """With the value as the builder has it; each on the line on which its name stands."""
    at = step.instruction
    for said in step.words:
        name, equals, value = said.partition("=")
        offset = re.search(rf"(?:(?<=\s)|\A){re.escape(name)}(?=[=\s]|\Z)", at.value)
        line = at.line_at(offset.start()) if offset is not None else at.line
        yield Setting(at.keyword, name, value if equals else None, line)


def _set(config: ImageConfig, places: dict[str, Instruction], said: Sequence[Setting], at: Instruction) -> ImageConfig:
    env = list(config.env)
    for one in said:
        if one.keyword != "ENV":
            continue
        number = next((i for i, known in enumerate(env) if known.startswith(f"{one.name}=")), len(env))
        env[number : number + 1] = [f"{one.name}={one.value or ''}"]
        places[f"Env[{number}]"] = at
    return replace(config, env=tuple(env))


def _started(
    config: ImageConfig, places: dict[str, Instruction], at: Instruction, shell: tuple[str, ...]
) -> ImageConfig:
    if at.keyword == "HEALTHCHECK":
        places["Healthcheck"] = at
        if at.words[:1] != ("CMD",):
            return replace(config, healthcheck=())
        words = ("CMD", *at.words[1:]) if at.is_exec else ("CMD-SHELL", at.value[len("CMD") :].strip())
        return replace(config, healthcheck=words)
    words = at.words if at.is_exec else (*shell, at.value) if at.value else ()
    if at.keyword == "CMD":
        places["Cmd"] = at
        return replace(config, cmd=words)
    places["Entrypoint"] = at
    return replace(config, entrypoint=words)


def _copies(step: Step, folder: str) -> Iterator[Copy]:
    at = step.instruction
    sources = tuple(word for word in step.words[:-1] if not word.startswith("<<"))
    if not sources:
        return
    flags = dict(step.flags)
    target = step.words[-1]
    yield Copy(
        at.keyword,
        sources,
        _absolute(target, folder),
        target.endswith(("/", "/.")) or target == "." or len(sources) > 1,
        at.line,
        flags.get("from"),
        "checksum" in flags,
    )


def _mounts(step: Step, folder: str) -> Iterator[Copy]:
    """`--mount=type=bind`, which is what a mount is that says no type; its source is the whole context unless it says another."""
    for name, value in step.flags:
        if name != "mount":
            continue
        said = dict(part.partition("=")[::2] for part in value.split(","))
        target = said.get("target") or said.get("dst") or said.get("destination")
        if said.get("type", "bind") == "bind" and target:
            source = said.get("source") or said.get("src") or "."
            at = step.instruction
            yield Copy(at.keyword, (source,), _absolute(target, folder), False, at.line, said.get("from"), False)


def _absolute(path: str, folder: str) -> str:
    return posixpath.normpath(posixpath.join(folder or "/", path or "."))
