"""Options on launch files that `egress` and every command with `--launch` share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scanner.cli.configured import from_file
from scanner.errors import UsageError
from scanner.model import printable
from scanner.model.destination import Destination

if TYPE_CHECKING:
    from scanner.egressing import EgressOptions

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--runner", metavar="NAME", help="Who runs the launch: its defaults hold where the files say nothing."
    ),
    click.option(
        "--profile", "profiles", multiple=True, metavar="NAME", help="A Compose profile to enable. Repeatable."
    ),
    click.option(
        "--env", "environment", multiple=True, metavar="NAME=VALUE", help="For interpolation in the files. Repeatable."
    ),
    click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="Such lines in a file. Repeatable."),
    click.option(
        "--assume",
        "assumed",
        multiple=True,
        metavar="KEY=VALUE",
        help="A fact that no file holds; sandscan egress --list-assumptions shows all. Repeatable.",
    ),
    click.option(
        "--ruleset",
        "rulesets",
        multiple=True,
        metavar="FILE",
        help="The host's firewall: iptables-save, ip6tables-save, or nft -j list ruleset. Repeatable.",
    ),
    click.option(
        "--sandbox",
        "sandboxes",
        multiple=True,
        metavar="NAME",
        help="Whose reach to judge: a service, container or namespace/workload.  [default: all]",
    ),
    click.option(
        "--to",
        "to",
        multiple=True,
        type=click.Choice([one.value for one in Destination]),
        help="What the cut has to close.  [default: all but siblings]",
    ),
    click.option("--keep", multiple=True, metavar="HOST:PORT", help="What has to stay reachable. Repeatable."),
)


def launch_options(command: Command) -> Command:
    """The options, in the order in which --help shows them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def launch_files(what: str) -> Callable[[Command], Command]:
    """`--launch FILE`, which is for `what`, and the options on it."""

    def add(command: Command) -> Command:
        option = click.option("--launch", "launches", multiple=True, metavar="FILE", help=what)
        return option(launch_options(command))

    return add


def of_launch(launches: tuple[str, ...], given: dict[str, Any]) -> "EgressOptions | None":
    """How to judge the launch of `--launch`, read once so that a broken file is said before any work; None without one.

    Raises UsageError for options that say something of a launch where none is named, and what reading raises.
    """
    if not launches:
        # what a configuration says of launches holds where there is one
        if said := [name for name, value in given.items() if value and not from_file(name)]:
            name = {"sandboxes": "sandbox", "profiles": "profile", "environment": "env", "env_files": "env-file"}
            shown = {**name, "assumed": "assume", "rulesets": "ruleset"}.get(said[0], said[0])
            raise UsageError(f"--{shown} says something of a launch; name it with --launch FILE")
        return None
    from scanner.egressing import read_launch

    options = egress_options(**given)
    read_launch(launches, options)
    return options


def egress_options(
    *,
    runner: str | None,
    profiles: tuple[str, ...],
    environment: tuple[str, ...],
    env_files: tuple[str, ...],
    assumed: tuple[str, ...],
    rulesets: tuple[str, ...],
    to: tuple[str, ...],
    keep: tuple[str, ...],
    sandboxes: tuple[str, ...] = (),
    images: tuple[str, ...] = (),
    commands: tuple[str, ...] = (),
    cuts: bool = True,
) -> "EgressOptions":
    """What the options mean; raises UsageError for what they cannot."""
    from scanner.egress.assumptions import parse
    from scanner.egressing import EgressOptions, kept

    variables: dict[str, str] = {}
    for file in env_files:
        variables.update(_variables(file))
    for one in environment:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise UsageError(f"--env {printable(one)}: write NAME=VALUE")
        variables[name] = value
    return EgressOptions(
        runner=runner,
        profiles=profiles,
        environment=variables,
        assumed=parse(assumed),
        rulesets=tuple(Path(one) for one in rulesets),
        images=tuple(map(_image, images)),
        keep=tuple(map(kept, keep)),
        to=tuple(Destination(one) for one in to),
        commands=commands,
        cuts=cuts,
        sandboxes=sandboxes,
    )


def _image(argument: str) -> tuple[str, str]:
    """`TARGET` for every sandbox, `SANDBOX=TARGET` for one; a target's scheme comes before any equals sign."""
    found = re.fullmatch(r"([^=:]+)=(.+)", argument, re.DOTALL)
    return (found[1], found[2]) if found else ("", argument)


def _variables(file: str) -> dict[str, str]:
    """The variables of an .env file as Compose reads it; one without a value is left to whoever launches."""
    from scanner.launch.composing.dotenv import read_dotenv
    from scanner.launch.nearby import file_text

    read = read_dotenv(file_text(Path(file), printable(file)), printable(file), lambda _: None)
    return {one.name: one.value for one in read.values() if one.value is not None and not one.unknown}
