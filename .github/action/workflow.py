"""What a step says to the runner: outputs, lines at the workflow's run, and text that the runner must not obey.

Format: docs.github.com, "Workflow commands for GitHub Actions".
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class Wrong(Exception):
    """The workflow asks for something that cannot be: its words say what, and what to write instead."""


def output(values: Mapping[str, str]) -> None:
    """Sets the step's outputs, each between delimiters that no value can know: a line break in one begins no other."""
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        for name, value in values.items():
            delimiter = f"sandscan-{secrets.token_hex(16)}"
            file.write(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def say(kind: str, message: str, title: str = "sandscan") -> None:
    """A line in the log and beside the run: `kind` is error, warning or notice."""
    print(command(kind, message, title), flush=True)


def command(kind: str, message: str, title: str) -> str:
    """The same as a line that is not printed yet."""
    return f"::{kind} title={_data(title).replace(':', '%3A').replace(',', '%2C')}::{_data(message)}"


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def environment() -> dict[str, str]:
    """The step's own, without the inputs, and without what would let Python take the workspace's files for modules."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("INPUT_", "PYTHON"))}


@contextmanager
def unheeded() -> Iterator[None]:
    """Between its ends the runner obeys no command that it finds in the log: what is printed there quotes images."""
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    try:
        yield
    finally:
        print(f"\n::{token}::", flush=True)  # the line break ends whatever line was left open


def shown(text: str, limit: int = 300) -> str:
    """The text on one line, without a character that does anything."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text[:limit].split()))


def temporary() -> Path:
    """The Action's own folder below RUNNER_TEMP, which is empty when a job begins."""
    return Path(os.environ["RUNNER_TEMP"]) / "sandscan"
