"""What a Dockerfile says, as values: stages, instructions with their lines, heredocs, and what could not be read."""

import re
from bisect import bisect_right
from dataclasses import dataclass

_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a builder would refuse or that was left out, with its line (from 1)."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A here-document of RUN, COPY or ADD: `content` as written, first line at `line` and last one at `end_line` (`line - 1` if it is empty).

    `expand` is False where a part of the word is quoted, `chomp` True for `<<-`, `descriptor` the number before `<<`.
    """

    name: str
    content: str
    expand: bool
    chomp: bool
    line: int
    end_line: int
    descriptor: int = 0

    @property
    def text(self) -> str:
        """The content that a command or a file gets: without leading tabs where `<<-` asks for that."""
        return _LEADING_TABS.sub("", self.content) if self.chomp else self.content


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, from its first line to its last (heredocs and their ends included).

    `keyword` is in upper case; `value` what stands behind it and its flags, continuation lines joined, comments out. `words` are those of
    the exec form (`is_exec`), `NAME=VALUE` or `NAME` of ENV, LABEL and ARG, `NONE` or `CMD …` of HEALTHCHECK, and the words between white
    space of all others; a shell form has none. Quotes and variables in words are as written, save in the exec form.
    `flags` are `--name=value` in order, `true` where there is no value. `on_build`: an instruction that ONBUILD leaves to images built from
    this one. `parts` are (offset in `value`, line) of each line that `value` was joined from.
    """

    keyword: str
    value: str
    words: tuple[str, ...]
    is_exec: bool
    flags: tuple[tuple[str, str], ...]
    heredocs: tuple[Heredoc, ...]
    line: int
    end_line: int
    on_build: bool = False
    parts: tuple[tuple[int, int], ...] = ()

    def flag(self, name: str) -> str | None:
        """The last value given for a flag, None where it was not given."""
        return next((value for key, value in reversed(self.flags) if key == name), None)

    def line_at(self, offset: int) -> int:
        """The line on which a character of `value` stands."""
        at = bisect_right(self.parts, (offset, 1 << 62)) - 1
        return self.parts[at][1] if at >= 0 else self.line


@dataclass(frozen=True, slots=True)
class Stage:
    """A build stage: `base` as written, `expanded` with the defaults of the arguments before the first FROM.

    `name` is in lower case, as the builder compares it. `instructions` are those after FROM, which itself stands on `line` to `end_line`.
    """

    base: str
    expanded: str
    name: str | None
    platform: str | None
    instructions: tuple[Instruction, ...]
    line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A file as it was read. `arguments` are the ARG instructions before the first FROM; `problems` in the order of their lines."""

    name: str
    stages: tuple[Stage, ...]
    arguments: tuple[Instruction, ...]
    escape: str
    problems: tuple[Problem, ...]
