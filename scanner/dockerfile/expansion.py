"""ARG and ENV as the builder replaces them, instruction by instruction.

Reference: Dockerfile reference, "Environment replacement", "Understand how ARG and FROM interact", "Scope", "Using ARG variables",
"Predefined ARGs", "Automatic platform ARGs"; BuildKit's frontend/dockerfile/dockerfile2llb and instructions (which fields expand).
"""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scanner.dockerfile.values import Dockerfile, Instruction, Problem, Stage
from scanner.dockerfile.words import Work, word, words
from scanner.errors import LimitError, ParseError
from scanner.model import printable

MOST_COPIED = 200_000
"""Variables that are carried from one instruction to the next, summed up over a file."""
MOST_MADE = 1 << 20
"""Characters that expansion may make in one file."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""Arguments that are there without ARG where they are given; in small letters too."""
_EXPANDED = {"ADD", "COPY", "ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction with what the builder makes of it.

    `words` and `flags` are those of the instruction with variables replaced and quotes removed, where the builder does that; the words of
    RUN, CMD, ENTRYPOINT, SHELL, HEALTHCHECK and ONBUILD are as written, a shell may replace more. `environment` is what ENV set before the
    instruction, `arguments` the ARGs in scope that have a value and that no later ENV hides, in the order in which they were declared:
    a RUN sees both, arguments first. Of ARG, the words are `NAME=VALUE` with the value that holds. `texts` are the heredocs' as files or commands get
    them: in those of COPY and ADD variables are replaced, those of RUN are left to its shell.
    """

    instruction: Instruction
    words: tuple[str, ...]
    flags: tuple[tuple[str, str], ...]
    arguments: Mapping[str, str]
    environment: Mapping[str, str]
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpandedStage:
    """A stage with its base's name replaced, and its steps. `parent` is the index of the stage that it is built from, None for an image."""

    index: int
    stage: Stage
    parent: int | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Expanded:
    """A whole file for one set of build arguments. `problems` are expansions that failed: their words stand as written."""

    stages: tuple[ExpandedStage, ...]
    problems: tuple[Problem, ...]

    def find(self, name: str) -> ExpandedStage | None:
        """The stage that a number or a name means, as in `COPY --from=` and `--target`."""
        for one in reversed(self.stages):
            if one.stage.name is not None and one.stage.name == name.lower():
                return one
        index = int(name) if name.isascii() and name.isdecimal() and len(name) < 10 else len(self.stages)
        return self.stages[index] if index < len(self.stages) else None


def with_defaults(file: Dockerfile) -> Dockerfile:
    """The file with the names of its stages' bases replaced as far as defaults go."""
    state = _State(file, {})
    return replace(file, stages=tuple(replace(s, expanded=state.one(s.base, state.meta, s.line)) for s in file.stages))


def expanded(
    file: Dockerfile,
    build_args: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    work: Work | None = None,
) -> Expanded:
    """What the builder makes of the file with these `--build-arg`s. Platform arguments (TARGETARCH, …) count only where they are given.

    `environment` is what the images set that stages are built from; a builder knows it from their configuration. `work` bounds what several
    calls cost together.
    """
    state = _State(file, dict(build_args or {}), work or Work())
    made: list[ExpandedStage] = []
    names: dict[str, int] = {}
    environments: list[dict[str, str]] = []
    for index, stage in enumerate(file.stages):
        base = state.one(stage.base, state.meta, stage.line)
        parent = names.get(base.lower())
        inherited = environments[parent] if parent is not None else environment or {}
        platform = None if stage.platform is None else state.one(stage.platform, state.meta, stage.line)
        steps, own = state.steps(stage, inherited)
        made.append(ExpandedStage(index, replace(stage, expanded=base, platform=platform), parent, steps))
        environments.append(own)
        if stage.name is not None:
            names[stage.name] = index
    return Expanded(tuple(made), tuple(state.problems))


@dataclass(slots=True)
class _State:
    """Budgets and problems of one file; `meta` are the arguments before the first FROM."""

    file: Dockerfile
    given: dict[str, str]
    work: Work = field(default_factory=Work)
    problems: list[Problem] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)
    copied: int = 0
    made: int = 0

    def __post_init__(self) -> None:
        for instruction in self.file.arguments:
            for one in instruction.words:
                name, equals, value = one.partition("=")
                if name in self.given:
                    self.meta[name] = self.given[name]
                elif equals:
                    self.meta[name] = self.one(value, self.meta, instruction.line)

    def say(self, line: int, message: str) -> None:
        if len(self.problems) < 100:
            self.problems.append(Problem(line, message))

    def one(self, text: str, variables: Mapping[str, str], line: int, *, quotes: bool = True) -> str:
        """The text with variables replaced; as written, and a problem, where that fails."""
        escape = self.file.escape if quotes else "\\"
        if not any(c in text for c in ("$", "'", '"', escape)):
            return text
        try:
            self.afford()
            value = word(text, variables.get, escape, quotes=quotes, work=self.work)
        except (ParseError, LimitError) as e:
            self.say(line, f"{printable(text, 60)} stays as it is: {printable(str(e), 120)}")
            return text
        self.made += len(value)
        return value

    def afford(self) -> None:
        if self.made > MOST_MADE:
            raise LimitError(f"variables make more than {MOST_MADE:,} characters")

    def many(self, text: str, variables: Mapping[str, str], line: int) -> list[str]:
        """The text as words, after variables were replaced."""
        try:
            self.afford()
            found = words(text, variables.get, self.file.escape, work=self.work)
        except (ParseError, LimitError) as e:
            self.say(line, f"{printable(text, 60)} stays as it is: {printable(str(e), 120)}")
            return [text]
        self.made += sum(map(len, found))
        return found

    def steps(self, stage: Stage, inherited: Mapping[str, str]) -> tuple[tuple[Step, ...], dict[str, str]]:
        environment, declared = dict(inherited), dict[str, str]()
        predefined = {k: v for k, v in self.given.items() if k.upper() in PROXIES}
        made = []
        for one in stage.instructions:
            # the last of ENV and ARG counts in BuildKit (measured with 0.33); the classic builder lets ENV hide every ARG
            variables = ChainMap(declared, environment, predefined)
            taken, flags = one.words, one.flags
            keyword = "" if one.on_build else one.keyword
            if keyword in ("ADD", "COPY", "RUN"):
                flags = tuple((name, self.one(value, variables, one.line)) for name, value in flags)
            if keyword in _EXPANDED:
                taken = self.replaced(one, variables)
            elif keyword == "ARG":
                taken = self.arguments(one, variables)
            texts = tuple(
                self.one(h.text, variables, h.line, quotes=False) if h.expand and keyword in ("ADD", "COPY") else h.text
                for h in one.heredocs
            )
            made.append(Step(one, taken, flags, declared, environment, texts))
            if keyword in ("ENV", "ARG") and taken:
                pairs = {name: value for name, equals, value in (w.partition("=") for w in taken) if equals}
                before = environment if keyword == "ENV" else declared
                self.copied += len(before) + len(pairs)
                if self.copied > MOST_COPIED:
                    self.say(one.line, "too many variables: from here on their values are not followed")
                    self.copied = 1 << 62
                elif keyword == "ENV":
                    environment = {**before, **pairs}
                    declared = {k: v for k, v in declared.items() if k not in pairs}
                else:
                    declared = {**before, **pairs}
        return tuple(made), environment

    def replaced(self, one: Instruction, variables: Mapping[str, str]) -> tuple[str, ...]:
        if one.keyword in ("ENV", "LABEL"):
            pairs = (w.partition("=") for w in one.words)
            return tuple(f"{self.one(k, variables, one.line)}={self.one(v, variables, one.line)}" for k, _, v in pairs)
        if one.keyword == "EXPOSE":
            return tuple(w for text in one.words for w in self.many(text, variables, one.line))
        return tuple(self.one(w, variables, one.line) for w in one.words)

    def arguments(self, one: Instruction, variables: Mapping[str, str]) -> tuple[str, ...]:
        """`NAME=VALUE` of each: what was given, its default, or what was said before the first FROM."""
        made = []
        for text in one.words:
            name, equals, default = text.partition("=")
            name = self.one(name, variables, one.line)
            value = self.given.get(name)
            if value is None:
                value = self.one(default, variables, one.line) if equals else self.meta.get(name)
            made.append(name if value is None else f"{name}={value}")
        return tuple(made)
