"""What a launch format is: how its files are known by their content, and how they are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from scanner.launch.document import Node
from scanner.model import Launch


@dataclass(frozen=True)
class Input:
    """A launch file as it was given: `name` for people, `path` where it lies (None for standard input), its text.

    `documents` are read on first use, as YAML or JSON by the text's own look; what raises ParseError there is neither.
    """

    name: str
    text: str
    path: Path | None = None

    @cached_property
    def documents(self) -> tuple[Node, ...]:
        from scanner.launch.document import read_json, read_yaml

        if self.text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[") or (
            self.path is not None and self.path.suffix == ".json"
        ):
            return (read_json(self.text, self.name),)
        return tuple(read_yaml(self.text, self.name))


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """`environment` is what interpolation may use besides a project's own .env (never this process's own); `profiles` are
    Compose's; `project` the folder that a file may reach into (None: its own)."""

    environment: Mapping[str, str] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    project: Path | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """`recognises` judges by content alone and never raises; `read` takes all files of the format that were given together.

    `read` raises ParseError (broken, with file:line:column), LimitError, TargetError (a file it names is missing). What it
    cannot decide is a Missing of the thing concerned, what it does not read a Notification of the Launch.
    """

    name: str
    summary: str
    recognises: Callable[[Input], bool]
    read: Callable[[Sequence[Input], ReadOptions], Launch]
