"""Options that several commands share, and what they mean."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from scanner.model import Limits, Severity, printable

Command = TypeVar("Command", bound=Callable[..., Any])
LEVELS = [s.value for s in Severity]


@dataclass(frozen=True, slots=True)
class Common:
    """What a judging command was told by the options of `answer`, `user_rules` and `manner`; what it does not take has its default."""

    outputs: tuple[str, ...]
    fail_on: str
    severity: str
    baseline: str | None
    write_baseline: str | None
    verbose: bool
    quiet: bool
    color: str
    no_progress: bool = False
    rules: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def rule_paths(self) -> tuple[Path, ...]:
        return tuple(map(Path, self.rules))

    @property
    def shows_progress(self) -> bool:
        return sys.stderr.isatty() and not self.quiet and not self.no_progress


def use_color(choice: str, stream: IO[str]) -> bool:
    """Whether to write colours: the flag, else NO_COLOR (no-color.org), else FORCE_COLOR, else whether it is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Columns to write for: the terminal's, COLUMNS, or 80 in a pipe."""
    if columns := os.environ.get("COLUMNS", ""):
        return max(20, int(columns)) if columns.isdigit() else 80
    for stream in (sys.stdout, sys.stderr):
        try:
            return max(20, os.get_terminal_size(stream.fileno()).columns or 80)
        except (OSError, ValueError):
            continue
    return 80


def parse_limits(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> Limits:
    """`archive-depth=3` and the like onto the defaults; a wrong name lists the right ones."""
    limits = Limits()
    names = {f.name.replace("_", "-"): f.name for f in fields(Limits)}
    for value in values:
        name, _equals, number = value.partition("=")
        if name not in names:
            raise click.BadParameter(f"{name!r} is no limit; there are {', '.join(names)}")
        if not re.fullmatch(r"0*[1-9][0-9]{0,17}", number):
            raise click.BadParameter(f"{value!r}: write {name}=NUMBER, such as {name}={getattr(limits, names[name])}")
        limits = replace(limits, **{names[name]: int(number)})
    return limits


def _known(context: click.Context, _: click.Parameter, file: str | None) -> str | None:
    """Reads --baseline before any work is done in vain; raises UsageError for what is none."""
    if file is None or context.resilient_parsing:
        return file
    from scanner.cli.baselines import known

    known(context, file)
    return file


def _to_be_written(_: click.Context, __: click.Parameter, file: str | None) -> str | None:
    """Refuses a place for --write-baseline where nothing can be written."""
    if file is not None:
        if Path(file).is_dir():
            raise click.BadParameter(f"{printable(file)} is a folder; name a file in it")
        folder = Path(file).absolute().parent
        if not folder.is_dir():
            raise click.BadParameter(f"the folder does not exist: {printable(str(folder))}")
    return file


color = click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours in text; NO_COLOR and FORCE_COLOR are honoured.",
)
outputs = click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FORMAT[=FILE]",
    help="text, html, json, jsonl, sarif, markdown, github; of a launch also svg, dot, graphml, mermaid: to a file or standard output. "
    "Repeatable.  [default: text]",
)
user_rules = click.option(
    "--rules",
    "rules",
    multiple=True,
    metavar="FILE|DIR",
    type=click.Path(),
    help="Your own YARA rules beside ours. Repeatable.",
)
episode = click.option("--episode", metavar="ID", help="Your own word for the run, to match it with an agent's trace.")
engine_access = click.option(
    "--engine-access",
    type=click.Choice(["auto", "api", "direct"]),
    default="auto",
    show_default=True,
    help="Read what a local engine holds through its API, or as root straight from its directories.",
)
no_cache = click.option("--no-cache", is_flag=True, help="Read every layer again and keep nothing.")
_SOURCES = (
    click.option(
        "--platform",
        metavar="OS/ARCH",
        help="Of a multi-platform image, such as linux/arm64.  [default: this machine's]",
    ),
    engine_access,
    click.option(
        "--insecure-registry", is_flag=True, help="Speak plain HTTP to a registry that is not on this machine."
    ),
    no_cache,
)
_BASELINES = (
    click.option(
        "--baseline",
        metavar="FILE",
        callback=_known,
        help="Findings that this file knows are counted, and no reason to fail; miners and tunnels at work always are.",
    ),
    click.option(
        "--write-baseline",
        metavar="FILE",
        callback=_to_be_written,
        help="Write all findings to FILE, for the next --baseline, and end as if it held already. With --baseline: write what is still there "
        "of it, add nothing, and end as usual.",
    ),
)
_ANSWER = (
    outputs,
    click.option(
        "--fail-on",
        type=click.Choice([*LEVELS, "never"]),
        default="high",
        show_default=True,
        help="Exit 1 if a finding is at least this severe.",
    ),
    click.option(
        "--severity",
        type=click.Choice(LEVELS),
        default="note",
        show_default=True,
        help="Leave out what is less severe.",
    ),
    *_BASELINES,
)
_MANNER = (
    click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=N",
        callback=parse_limits,
        help="Raise or lower a limit; --limit ? lists them.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="All evidence and every notification, nothing folded."),
    click.option("-q", "--quiet", is_flag=True, help="No progress, no warnings on standard error."),
    click.option("--no-progress", is_flag=True, help="No progress bar."),
    color,
)
_EXPECTED = (
    click.option(
        "--expect",
        "expected",
        multiple=True,
        metavar="GLOB",
        help="A path that the run is meant to change. Repeatable.",
    ),
    click.option("--policy", "policies", multiple=True, metavar="FILE", help="Expected changes as YAML. Repeatable."),
)


def takes_common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command the values of those options as one argument, `common`; it stands nearest to the function."""
    names = {f.name for f in fields(Common)}

    @wraps(command)
    def run(**given: Any) -> Any:
        shared = {name: value for name, value in given.items() if name in names}
        rest = {name: value for name, value in given.items() if name not in names}
        return command(common=Common(**shared), **rest)

    return run


def answer(command: Command) -> Command:
    """Options on what a report says, and when it is a failure."""
    return _with(command, _ANSWER)


def baselines(command: Command) -> Command:
    """Options on findings that are known already; `answer` has them too."""
    return _with(command, _BASELINES)


def sources(command: Command) -> Command:
    """Options on where an image comes from, and what is kept of it."""
    return _with(command, _SOURCES)


def manner(command: Command) -> Command:
    """Options on how much is read, and how it is told."""
    return _with(command, _MANNER)


def expectations(command: Command) -> Command:
    """Options on what a run is meant to change."""
    return _with(command, _EXPECTED)


def _with(command: Command, options: tuple[Any, ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
