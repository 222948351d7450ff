"""The keys of the real commands, for tests of what a configuration may say."""

from functools import cache
from pathlib import Path

from scanner.cli.configured import keys
from scanner.cli.main import command
from scanner.settings import Key, Settings, parse


@cache
def known() -> dict[str, tuple[Key, ...]]:
    return keys(command)


def read(text: str, folder: Path = Path("/nowhere"), *, toml: bool = False, found: bool = True) -> Settings:
    name = "pyproject.toml" if toml else ".sandscan.yaml"
    return parse(text, name, folder, known(), toml=toml, found=found)


def values(settings: Settings, command: str) -> dict[str, object]:
    """What a command gets, by key."""
    return {one.key.name: one.value for one in settings.options[command].values()}
