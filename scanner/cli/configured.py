"""The configuration file and the commands: which options a file may set, and what holds for the command that runs.

The keys are made from the commands' own options, so that there is nothing to keep in step. What a file says reaches a command as the
default of its options (click's `default_map`): whatever stands on the command line comes before it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.errors import ScannerError, UsageError
from scanner.model import printable

if TYPE_CHECKING:
    from scanner.settings import Key, Option, Settings

_REFUSED = {
    "clean": "it takes away what observations left, and does nothing else",
    "diff": "it compares two launches, and judges none",
    "episode": "each run has its own",
    "fix": "it prints a patch, and judges nothing",
    "list-assumptions": "it prints a list, and judges nothing",
    "watch": "it does not end by itself",
    "write-baseline": "a file that accepts whatever is found would let everything pass",
}
_NAMED_ONLY = {
    "command": "it says what is judged",
    "image": "it names what is fetched and read",
    "insecure-registry": "it gives up encryption",
    "quiet": "it hides what could not be read",
    "rules": "a file of rules includes others, wherever they lie",
}
_WRITTEN = {"pcap": (".pcap", ".pcapng", ".cap")}
"""Options that name a file to be written, beside reports: what its name ends in."""


def judging(group: click.Group) -> dict[str, click.Command]:
    """The commands that judge: those with a threshold to fail at."""
    return {name: one for name, one in group.commands.items() if any(p.name == "fail_on" for p in one.params)}


def keys(group: click.Group) -> "dict[str, tuple[Key, ...]]":
    """What a file may say of each judging command."""
    return {
        name: tuple(_key(p) for p in one.params if isinstance(p, click.Option) and not p.hidden)
        for name, one in judging(group).items()
    }


def _key(option: click.Option) -> "Key":
    from scanner.settings import Key, Kind, Role

    name = max(option.opts, key=len).lstrip("-")
    kinds = {click.types.BoolParamType: Kind.FLAG, click.types.IntParamType: Kind.INTEGER}
    kind = kinds.get(type(option.type), Kind.TEXT)
    least = most = None
    if isinstance(option.type, click.IntRange | click.FloatRange):
        kind = Kind.INTEGER if isinstance(option.type, click.IntRange) else Kind.NUMBER
        least, most = option.type.min, option.type.max
    metavar = option.metavar or ""
    named = re.search(r"\b(?:FILE|DIR)\b", metavar) is not None
    role = Role.REPORT if metavar.startswith("FORMAT") else Role.READS if named else Role.WORD
    default = option.to_info_dict()["default"]
    return Key(
        name=name,
        parameter=option.name or "",
        kind=kind,
        help=(option.help or "").split("  [default")[0],
        several=option.multiple,
        pairs=re.match(r"(?:NAME|KEY)=", metavar) is not None,
        choices=tuple(map(str, option.type.choices)) if isinstance(option.type, click.Choice) else (),
        least=least,
        most=most,
        default=default if isinstance(default, str | int | float | bool) else None,
        metavar=metavar,
        role=Role.WRITES if name in _WRITTEN else role,
        suffixes=_WRITTEN.get(name, ()),
        refused=_REFUSED.get(name, ""),
        named_only=_NAMED_ONLY.get(name, ""),
        check=_check(option),
    )


def _check(option: click.Option) -> Callable[[str], object]:
    """Refuses, as ValueError, what the command would refuse: the option's own callback does, or what the command calls."""

    def check(value: str) -> None:
        try:
            if option.callback is not None and option.name != "baseline":
                given = (value,) if option.multiple else value
                option.callback(click.Context(click.Command("check")), option, given)
            elif (later := _LATER.get(option.name or "")) is not None:
                later(value)
        except click.BadParameter as e:
            raise ValueError(e.message) from e
        except ScannerError as e:
            raise ValueError(str(e)) from e

    return check


def _report(value: str) -> object:
    from scanner.reports.output import parse_output

    return parse_output(value)


def _fact(value: str) -> object:
    from scanner.egress.assumptions import parse

    return parse((value,))


def _kept(value: str) -> object:
    from scanner.egressing import kept

    return kept(value)


def _expected(value: str) -> object:
    from scanner.runtime.drift.policy import of_globs

    return of_globs((value,))


def _variable(value: str) -> None:
    name, equals, _ = value.partition("=")
    if not name or not equals:
        raise UsageError("write NAME=VALUE, or a mapping of names to values")


_LATER: Mapping[str, Callable[[str], object]] = {
    "assumed": _fact,
    "environment": _variable,
    "expected": _expected,
    "keep": _kept,
    "outputs": _report,
    "variables": _variable,
}
"""Options whose values the commands themselves look at, by parameter."""


class Configured(click.Group):
    """A group whose judging commands take the defaults of their options from a configuration."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = args[: args.index("--")] if "--" in args else args
        ctx.meta[_HELP] = any(one in own for one in ctx.help_option_names)
        return super().parse_args(ctx, args)


_HELP = "scanner.cli.configured.help"
_SETTINGS = "scanner.cli.configured.settings"


def configure(context: click.Context, named: str | None, without: bool) -> None:
    """Make the configuration hold for the command that the group is about to call. Raises UsageError for a broken one."""
    group = context.command
    if without and context.get_parameter_source("config") is click.core.ParameterSource.COMMANDLINE:
        raise UsageError("--config and --no-config exclude each other")
    if without or context.meta[_HELP] or not isinstance(group, click.Group):
        return  # whoever asks for help gets it, whatever a file says
    if context.invoked_subcommand not in judging(group):
        return
    settings = settings_of(group, named)
    context.meta[_SETTINGS] = settings
    context.default_map = {
        command: {name: list(one.value) if isinstance(one.value, tuple) else one.value for name, one in options.items()}
        for command, options in settings.options.items()
    }


def settings_of(group: click.Group, named: str | None) -> "Settings":
    """The settings in the named file, else in the one that is found; none where there is none. Raises UsageError."""
    from scanner.settings import NOTHING, find, load

    if named is not None:
        return load(Path(named), keys(group), found=False)
    found = find(Path.cwd())
    if found is None:
        return NOTHING
    settings = load(found.path, keys(group), found=True)
    if found.instead_of is None:
        return settings
    note = f"{settings.file} holds, and [tool.sandscan] in the {found.instead_of.name} beside it does not"
    return replace(settings, notes=(*settings.notes, note))


def current() -> "Settings":
    """The settings that hold for the command that runs; none outside of one."""
    from scanner.settings import NOTHING

    context = click.get_current_context(silent=True)
    settings: Settings = NOTHING if context is None else context.meta.get(_SETTINGS, NOTHING)
    return settings


def holding() -> "tuple[Option, ...]":
    """The options that the file decides for the command that runs: those that do not stand on the command line."""
    context = click.get_current_context(silent=True)
    if context is None:
        return ()
    said = current().options.get(context.info_name or "", {})
    return tuple(one for name, one in said.items() if from_file(name))


def from_file(parameter: str) -> bool:
    """Whether a parameter's value is the configuration's."""
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source(parameter) is click.core.ParameterSource.DEFAULT_MAP


def words(option: "Option") -> str:
    """The option as it would stand on a command line, for people; of variables the names alone."""
    key, value = option.key, option.value
    if not isinstance(value, tuple):
        said = str(value).lower() if isinstance(value, bool) else str(value)
        return f"{key.name}={printable(said, 80)}"
    shown = [one.partition("=")[0] for one in value] if key.name in _VARIABLES else list(value)
    return f"{key.name}={printable(', '.join(shown), 120)}"


_VARIABLES = ("env", "guest-env")
