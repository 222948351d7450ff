"""One file's commands, read once for every detector that asks: the one way from a file to what it starts.

The grammar's reader is native code and runs in the worker. A crash, a hang or a blow-up there costs that way of reading
alone: the text is then read by lines here, and a notification says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scanner.content import Content
from scanner.detectors.launchers import bash, linewise, points, shell
from scanner.detectors.launchers.lines import Origin, Script
from scanner.detectors.launchers.points import Point, Starts
from scanner.detectors.launchers.shell import Command, Ran
from scanner.detectors.mining import lexing
from scanner.detectors.mining.regions import WHOLE, regions
from scanner.errors import ScannerError
from scanner.model import Json, Level, Notification, printable

prepare = bash.prepare

_KEY = "launchers.reading"
_SECONDS, _SECONDS_WHOLE = 0.5, 1.5
"""Seconds of the processor that the grammar may take for any text, and besides for WHOLE bytes; what follows, as much again.

An honest text takes a fifth of it.
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file starts: `point` says what kind of launch point it is, `starts` what it takes for it to run.

    `installed` is false for a script that is none, and for one that would have to be put elsewhere first. `notes` tell
    of what was not read.
    """

    point: str
    starts: Starts
    installed: bool
    commands: tuple[Command, ...]
    notes: tuple[Notification, ...]


def place(content: Content) -> Point | None:
    """The launch point that a file is by its path and first bytes, or the script or unit that it would be elsewhere.

    None for a file that is no text, or is written in a language of its own; cheap enough to be asked of every file.
    """
    if not content.is_text or content.size == 0:
        return None
    language = lexing.language(content.name, content.head)
    shebang = content.head.startswith(b"#!")
    is_shell = (
        points.is_shell(content.head.decode("utf-8", "surrogateescape")) if shebang else language in (None, "shell")
    )
    found = points.point(content.name) if not content.inner else None
    if found is not None:
        return found if is_shell or found.language or found.read not in (points.whole, points.init) else None
    if language == "shell" or (shebang and is_shell):
        return points.SCRIPT
    return points.staged(content.name) if language is None and not shebang else None


def read(content: Content) -> Reading | None:
    """The commands of a launch point or script, worked out once; None for any other file. Never raises for its bytes."""
    if _KEY not in content.worked_out:
        found = place(content)
        content.worked_out[_KEY] = _read(content, found) if found is not None else None
    known: Reading | None = content.worked_out[_KEY]
    return known


def _read(content: Content, found: Point) -> Reading:
    parts, complete = regions(content)
    if content.size > WHOLE:
        parts, complete = [(0, bytes(content.data[:WHOLE])), *parts], False
    told: dict[str, None] = {}
    if not complete:
        told[f"a script of {content.size} bytes: only parts of it were read for what they start"] = None
    commands: list[Command] = []
    seen = 0
    for start, data in parts:
        begin = max(start, seen)
        if begin > start:
            data = data[begin - start :]  # noqa: PLW2901  # the part before was read with the first one
        seen = max(seen, begin + len(data))
        if not data or (found.holds and not any(word in data for word in found.holds)):
            continue
        ran, problem = _ran(content, found, data, content.line_of(begin))
        told.update(dict.fromkeys(f"holds {cut}" for cut in ran.cut))
        if problem:
            told[problem] = None
        commands += ran.commands
    if len(commands) > shell.COMMANDS:
        told[f"holds more than {shell.COMMANDS} commands; the rest were not read"] = None
        del commands[shell.COMMANDS :]
    notes = tuple(Notification("detector", Level.WARNING, text, content.path, content.inner) for text in told)
    return Reading(found.what, found.starts, found.installed, tuple(commands), notes)


def _ran(content: Content, found: Point, data: bytes, line: int) -> tuple[Ran, str]:
    """The commands of one part that begins on `line`, and why the grammar could not read it, if it could not."""
    path = content.name.decode("utf-8", "surrogateescape")
    if content.worker is None:
        return _decoded(commands_of(data, found.what, path, line)), ""
    arguments: dict[str, Json] = {"what": found.what, "path": path, "line": line}
    try:
        return _decoded(content.worker.call(commands_of, memoryview(data), arguments)), ""
    except ScannerError as e:
        problem = f"shell text that could not be taken apart, and was read line by line: {printable(str(e))}"
    return shell.run(_scripts(found, data, content.name, line), linewise.statements), problem


def _scripts(found: Point, data: bytes, path: bytes, line: int) -> Sequence[Script]:
    outer = Origin(line)
    scripts = found.scripts(data.decode("utf-8", "surrogateescape").replace("\r\n", "\n"), path)
    return [Script(script.text, script.origin.within(outer)) for script in scripts]


def commands_of(data: bytes, what: str, path: str, line: int) -> dict[str, Any]:
    """For the worker: the commands of a launch point's text, as JSON; four seconds of the processor at most for WHOLE bytes."""
    found = points.named(what)
    assert found is not None
    seconds = _SECONDS + _SECONDS_WHOLE * len(data) / WHOLE
    scripts = _scripts(found, data, path.encode("utf-8", "surrogateescape"), line)
    return _encoded(shell.run(scripts, bash.statements(seconds), 2 * seconds, bash.OutOfTime))


def _encoded(ran: Ran) -> dict[str, Any]:
    environments: dict[tuple[tuple[str, str], ...], int] = {}
    rows = [
        [
            c.argv,
            c.line,
            c.folder,
            environments.setdefault(c.environment, len(environments)),
            c.background,
            c.through,
            c.stdin,
            c.remote,
            c.into,
            c.sockets,
            c.fetched,
        ]
        for c in ran.commands
    ]
    return {"environments": list(environments), "commands": rows, "cut": ran.cut}


def _decoded(value: Mapping[str, Any]) -> Ran:
    environments = [tuple((name, text) for name, text in pairs) for pairs in value["environments"]]
    commands = []
    for argv, line, folder, number, background, through, stdin, remote, into, sockets, fetched in value["commands"]:
        opened = tuple((operator, path) for operator, path in sockets)
        wrapped, environment = tuple(through), environments[number]
        commands.append(
            Command(tuple(argv), line, folder, environment, background, wrapped, stdin, remote, into, opened, fetched)
        )
    return Ran(tuple(commands), tuple(value["cut"]))
