"""What a shell is told when somebody presses Tab. Imported only then; the scripts that ask are completions/sandscan.*.

A script gives the line up to the cursor in COMP_LINE, and reads lines of kind, value and a third field, parted by the unit
separator. `plain`: a whole word, with its help. `open`: more follows, so no space. `file` and `dir`: the shell completes
the path in the value itself, and the third field is what stands before it.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

from scanner.cli.completion import SCRIPTS

SEPARATOR = "\x1f"
RULES = SCRIPTS / "rules.txt"
IMAGES = ("docker:", "archive:", "oci:", "registry:", "rootfs:")
ON_DISK = ("archive:", "oci:", "rootfs:", "upper:")
_CURSOR = "\x00"
_PATH = re.compile(r"\b(FILE|DIR|PATH)\b")

Found = Iterable[CompletionItem[str]]


def prepare(command: click.Command) -> None:
    """Makes click answer the scripts for the command and all below it. Only for a process that completes: types are changed."""
    add_completion_class(_Lines, "sandscan")
    for parameter in command.params:
        if found := _finder(parameter):
            parameter.type = _Completed(found)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            prepare(inner)


class _Lines(ShellComplete):
    """click's own completion, in the form of our scripts."""

    name = "sandscan"
    source_template = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one's beginning, without their quotes."""
        *before, last = split_arg_string(os.environ.get("COMP_LINE", "") + _CURSOR)
        return before[1:], last.removesuffix(_CURSOR)

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Every value is the whole word at the cursor: what is `--option=va` there is not `value` here."""
        if not incomplete.isprintable():  # what is answered may hold it, and neither a separator nor half a character
            return []
        option, equals, value = incomplete.partition("=")
        if not (equals and option.startswith("--")):
            return super().get_completions(args, incomplete)
        return [_behind(option + equals, item) for item in super().get_completions([*args, option], value)]

    def format_completion(self, item: CompletionItem[str]) -> str:
        third = (item.before if item.type in ("file", "dir") else item.help) or ""
        return SEPARATOR.join((item.type, item.value, re.sub(r"\s+", " ", third)))


class _Completed(click.types.StringParamType):
    """Text, with its own completion."""

    def __init__(self, find: Callable[[str], Found]) -> None:
        self._find = find

    def shell_complete(self, _: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        return list(self._find(incomplete))


def _behind(before: str, item: CompletionItem[str]) -> CompletionItem[str]:
    if item.type in ("file", "dir"):
        return CompletionItem(item.value, item.type, before=before + (item.before or ""))
    return CompletionItem(before + item.value, item.type, item.help)


def _finder(parameter: click.Parameter) -> Callable[[str], Found] | None:
    """By the parameter's name, else a path where its metavar says FILE or DIR; None leaves it to click."""
    if parameter.name in FINDERS:
        return FINDERS[parameter.name]
    if isinstance(parameter.type, click.types.StringParamType) and _PATH.search(parameter.metavar or ""):
        return files
    return None


def _beginning(incomplete: str, values: Iterable[tuple[str, str | None]], kind: str = "plain") -> Found:
    return [CompletionItem(value, kind, help=said) for value, said in values if value.startswith(incomplete)]


def files(incomplete: str) -> Found:
    """A path on disk."""
    return [CompletionItem(incomplete, "file")]


def _schemes(schemes: Sequence[str], incomplete: str) -> Found:
    """A target: a scheme and what it takes, or a path."""
    scheme, colon, rest = incomplete.partition(":")
    if colon:
        return [CompletionItem(rest, "file", before=scheme + colon)] if scheme + colon in ON_DISK else []
    return [*_beginning(incomplete, ((one, None) for one in schemes), "open"), *files(incomplete)]


def image(incomplete: str) -> Found:
    """What scan takes."""
    return _schemes(IMAGES, incomplete)


def image_of(incomplete: str) -> Found:
    """`[SANDBOX=]TARGET`."""
    found = re.match(r"[^=:]+=", incomplete)
    before = found[0] if found else ""
    return [_behind(before, item) for item in image(incomplete.removeprefix(before))]


def compared(incomplete: str) -> Found:
    """What diff takes."""
    return _schemes((*IMAGES, "container:", "upper:"), incomplete)


def launch(incomplete: str) -> Found:
    """A launch file, or a container that runs."""
    return _schemes(("container:",), incomplete)


def rule(incomplete: str) -> Found:
    """The id of a rule; reading the rules themselves would take too long for a key."""
    lines = RULES.read_text(encoding="utf-8").splitlines()
    return _beginning(incomplete, [(one, name) for one, _, name in (line.partition("\t") for line in lines)])


def output(incomplete: str) -> Found:
    """`FORMAT[=FILE]`."""
    from scanner.reports.output import formats

    name, equals, path = incomplete.partition("=")
    if equals:
        return [CompletionItem(path, "file", before=name + equals)]
    known = {one.name: one.summary for one in formats()}
    written = [CompletionItem(f"{name}=", "open", help="to a file")] if name in known else []
    return [*_beginning(name, known.items()), *written]


def runner(incomplete: str) -> Found:
    """The name of a runner."""
    from scanner.launch.runners import names

    return _beginning(incomplete, [(name, None) for name in names()])


def assumption(incomplete: str) -> Found:
    """`KEY=VALUE`; a part of a key in upper case is the user's to name."""
    from scanner.model.assumption import KNOWN

    stems = {re.sub(r"[A-Z].*", "", one.key): one for one in KNOWN}
    key, equals, _ = incomplete.partition("=")
    if not equals:
        begun = [(stem if stem != one.key else f"{stem}=", one.summary) for stem, one in stems.items()]
        return _beginning(incomplete, begun, "open")
    pattern = next((one.pattern for stem, one in stems.items() if key.startswith(stem)), "")
    words = pattern.split("|") if re.fullmatch(r"[a-z|-]+", pattern) else []
    return _beginning(incomplete, [(f"{key}={word}", None) for word in words])


def limit(incomplete: str) -> Found:
    """`NAME=N`."""
    from scanner.model import Limits

    return _beginning(incomplete, [(f"{one.name.replace('_', '-')}=", None) for one in fields(Limits)], "open")


FINDERS: dict[str, Callable[[str], Found]] = {
    "target": image,
    "targets": compared,
    "image": image,
    "images": image_of,
    "files": launch,
    "diff": files,
    "rule": rule,
    "outputs": output,
    "runner": runner,
    "assumed": assumption,
    "limits": limit,
}
"""How a parameter is completed, by its name in every command that has it."""
