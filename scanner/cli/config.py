"""`sandscan config`: what the configuration says, and where each of it stands."""

import difflib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from scanner.model import printable

if TYPE_CHECKING:
    from scanner.model import Ignore
    from scanner.settings import Settings


@click.command(epilog="\b\nExamples:\n  sandscan config\n  sandscan --config ci/sandscan.yaml config")
@click.pass_context
def config(context: click.Context) -> None:
    """Check the configuration that holds here, and show what it decides: options by command, and what is ignored until when.

    What it does not say is as --help of the command has it.
    """
    from scanner.cli.configured import settings_of
    from scanner.settings import NOTHING

    root = context.find_root()
    group = root.command
    assert isinstance(group, click.Group)
    settings = NOTHING if root.params["no_config"] else settings_of(group, root.params["config"])
    if settings.file is None:
        click.echo("no configuration holds here; sandscan init writes one")
        return
    named = "found" if settings.found else "named"
    click.echo(f"{settings.file} ({named})")
    for note in settings.notes:
        click.echo(note)
    for line in _options(settings):
        click.echo(line)
    if settings.ignores:
        click.echo("\nignore")
        from scanner import globs

        known = _rules()
        for entry in settings.ignores:
            click.echo(_entry(entry))
            if entry.rule is not None and not any(map(globs.of(entry.rule).matches, known)):
                close = difflib.get_close_matches(entry.rule, known, 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                click.echo(f"    no rule of ours is called {printable(entry.rule, 80)}{hint}")


def _rules() -> list[str]:
    """The ids of all rules; those of rules that a user brings are not among them."""
    from scanner.checking.every import every
    from scanner.ruleset import load

    return [rule.id for rule in every(load(()))]


def _options(settings: "Settings") -> list[str]:
    """One line for each value that stands in the file; the commands behind it where it is not for all that have the option."""
    from scanner.cli.configured import words

    having: dict[str, set[str]] = {}
    of_place: dict[str, tuple[str, str, set[str]]] = {}
    for command, options in settings.options.items():
        for one in options.values():
            having.setdefault(one.key.name, set()).add(command)
            of_place.setdefault(str(one.place), (words(one), one.key.name, set()))[2].add(command)
    if not of_place:
        return ["it sets no options"]
    room = min(60, max(len(said) for said, _, _ in of_place.values()))
    return [
        f"  {said:<{room}}  {place}" + ("" if commands == having[name] else f"  {', '.join(sorted(commands))}")
        for place, (said, name, commands) in of_place.items()
    ]


def _entry(entry: "Ignore") -> str:
    named = (("rule", entry.rule), ("path", entry.path), ("image", entry.image), ("fingerprint", entry.fingerprint))
    what = ", ".join(f"{key} {printable(value, 80)}" for key, value in named if value is not None)
    left = (entry.expires - datetime.now(UTC).date()).days
    until = f"until {entry.expires} ({left} days left)" if left >= 0 else f"expired on {entry.expires}: counts again"
    return f"  {entry.place}  {what}\n    {until}: {printable(entry.reason)}"
