"""Commands of the image's configuration, each with its field (image-spec v1.1, config.md; Dockerfile's HEALTHCHECK and ONBUILD)."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scanner.detectors.launchers import points, shell
from scanner.detectors.launchers.points import Starts
from scanner.detectors.launchers.shell import Command
from scanner.model import ImageConfig

VARIABLES = 200
"""Variables of the environment that are put into one text."""
_REFERENCE = re.compile(r"\$\{?([A-Za-z_]\w{0,60})")
_ONBUILD = re.compile(r"(?i)\s*(?P<verb>RUN|CMD|ENTRYPOINT)\s+(?:--\S+\s+)*(?P<rest>\S.*)", re.DOTALL)
_RUN: dict[str, Starts] = {
    "PROMPT_COMMAND": "login",
    "GIT_SSH_COMMAND": "hook",
    "GIT_PROXY_COMMAND": "hook",
    "RSYNC_RSH": "hook",
    "GIT_SSH": "hook",
}
"""Variables that hold a command, and what it takes for that to run: bash(1), git(1), rsync(1)."""
_READ = ("BASH_ENV", "ENV", "PYTHONSTARTUP")
"""Variables that name a file which a shell or Python reads first: bash(1), sh(1), Python's command line."""
_INTERPRETER = re.compile(r"(?:python|pypy|perl|ruby|node|php|lua)[\d.]*|source|\.")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Named:
    """A file that the configuration makes something run: one of `paths` (without leading slash), by `by` in `field`."""

    paths: tuple[bytes, ...]
    by: str
    field: str
    starts: Starts


def commands(config: ImageConfig) -> Iterator[tuple[str, Command]]:
    """(field, command) pairs; entrypoint and command are one line to the runtime, and so here.

    What follows a script of the image may be run by it (`exec "$@"`), and is therefore read by itself, too.
    """
    entrypoint, cmd = config.entrypoint, config.cmd
    both = list(_words([*entrypoint, *cmd], config))
    for command in both:
        yield _field(command, ("Entrypoint", entrypoint), ("Cmd", cmd)), command
    if entrypoint and cmd and [c.program for c in both] == [entrypoint[0]] and _is_script(entrypoint[0]):
        for command in shell.unwrap(_filled(cmd, config), 1, config.working_dir):
            yield _field(command, ("Cmd", cmd)), command
    check = config.healthcheck
    if len(check) > 1:
        found = _text(check[1], config) if check[0] == "CMD-SHELL" else _words(check[1:], config)
        yield from (("Healthcheck[1]", command) for command in found)
    for number, instruction in enumerate(config.on_build):
        if said := _ONBUILD.fullmatch(instruction):
            words = _array(said["rest"])
            found = _text(said["rest"], config) if words is None else _words(words, config)
            yield from ((f"OnBuild[{number}]", command) for command in found)


def variables(config: ImageConfig) -> Iterator[tuple[str, Starts, Command]]:
    """(field, what it takes to run, command) of commands that stand in variables of the environment."""
    for number, variable in enumerate(config.env):
        name, _, value = variable.partition("=")
        if name in _RUN:
            yield from ((f"Env[{number}]", _RUN[name], command) for command in _text(value, config))


def named(config: ImageConfig) -> Iterator[Named]:
    """Files that variables make shells, Python and the loader read, and programs and scripts that the fields start."""
    for number, variable in enumerate(config.env):
        name, _, value = variable.partition("=")
        field = f"Env[{number}]"
        if name in _READ and value:
            yield Named(_paths(value, config), name, field, "hook")
        elif name == "ZDOTDIR" and value:
            for file in (".zshenv", ".zprofile", ".zshrc", ".zlogin"):
                yield Named(_paths(f"{value.rstrip('/')}/{file}", config), name, field, "hook")
        elif name == "LD_PRELOAD":
            for library in re.split(r"[\s:]+", value)[:VARIABLES]:
                if library:
                    yield Named(_paths(library, config), name, field, "hook")
    for field, command in commands(config):
        starts: Starts = "build" if field.startswith("OnBuild") else "boot"
        by = f"the image's {field.partition('[')[0]}"
        folder = command.folder or config.working_dir
        yield Named(_paths(command.program, config, folder, search=True), by, field, starts)
        if _INTERPRETER.fullmatch(command.name) or command.name in points.SHELLS:
            script = next((word for word in command.argv[1:] if not word.startswith("-")), None)
            if script is not None:
                yield Named(_paths(script, config, folder), by, field, starts)


def _paths(word: str, config: ImageConfig, folder: str = "", search: bool = False) -> tuple[bytes, ...]:
    """Where a word leads: from the root, from the working directory, or to the folders of PATH."""
    if word.startswith("/"):
        places = [word]
    elif search and "/" not in word:
        found = next((v[5:] for v in config.env if v.startswith("PATH=")), _PATH)
        places = [f"{place}/{word}" for place in found.split(":")[:50] if place]
    else:
        places = [f"{folder or config.working_dir}/{word.removeprefix('./')}"]
    return tuple(re.sub(r"/+", "/", place).strip("/").encode("utf-8", "surrogateescape") for place in places)


def _is_script(program: str) -> bool:
    return "/" in program or program.endswith((".sh", ".bash")) or "entrypoint" in program


def _array(text: str) -> list[str] | None:
    """The words of an instruction in its exec form; None in its shell form."""
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def _words(words: Sequence[str], config: ImageConfig) -> Iterator[Command]:
    if len(words) == 1 and " " in words[0]:
        yield from _text(words[0], config)
    elif words:
        yield from shell.unwrap(_filled(words, config), 1, config.working_dir)


def _text(text: str, config: ImageConfig) -> Iterator[Command]:
    yield from shell.commands(_set(text, config) + text)


def _filled(words: Sequence[str], config: ImageConfig) -> tuple[str, ...]:
    """The words, where a shell's text knows the image's variables; no other word has any."""
    filled = list(words)
    for at, word in enumerate(words):
        if word.rpartition("/")[2] in points.SHELLS:
            end = next((i for i in range(at + 1, len(words)) if not words[i].startswith(("-", "+"))), len(words))
            if end < len(words) and any(re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", w) for w in words[at + 1 : end]):
                filled[end] = _set(words[end], config) + words[end]
            break
    return tuple(filled)


def _set(text: str, config: ImageConfig) -> str:
    """Assignments of the image's variables that a text refers to."""
    asked = {found[1] for found in _REFERENCE.finditer(text)}
    values = dict(variable.partition("=")[::2] for variable in config.env)
    known = sorted(asked & set(values) - set(_RUN))[:VARIABLES]
    return "".join(f"{name}={shlex.quote(values[name])}\n" for name in known)


def _field(command: Command, *fields: tuple[str, Sequence[str]]) -> str:
    """The word of the configuration that holds the command's program, or else the first one."""
    for holds in (str.__eq__, str.__contains__):
        for name, words in fields:
            for number, word in enumerate(words):
                if holds(word, command.program):
                    return f"{name}[{number}]"
    return next((f"{name}[0]" for name, words in fields if words), "Cmd[0]")
