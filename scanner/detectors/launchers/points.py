"""Launch points: the files by which a container starts programs on its own, and what shell text each of them holds.

Sources: crontab(5), anacrontab(5), systemd.service(5), systemd.timer(5), inittab(5), supervisord's configuration, the
Desktop Entry Specification, XDG autostart, OpenRC's runscript, s6-rc, monit(1), git's githooks(5), udev(7),
logrotate(8), apt.conf(5), interfaces(5), pam_exec(8), the Dev Container specification, the configuration of MCP clients.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from scanner.detectors.launchers import jsontext
from scanner.detectors.launchers.lines import LINE, Lines, Origin, Script, logical_lines

Starts = Literal["boot", "login", "schedule", "build", "hook", "manual"]
"""What it takes: the sandbox starts, someone logs in, time passes, something is installed, an event, someone's hand."""


@dataclass(frozen=True)
class Point:
    """A kind of launch point: `what` in words, `read` text to scripts, `starts` what it takes for them to run.

    `path` is a regular expression for the whole path, `name` one for a file in any folder: for what follows the last
    slash, with the folders it needs looked back at. Neither counts where `but` is found in the path. `holds`: one of
    these words has to stand in the file, else it says nothing. `language` is what it is written in if it is no shell
    text and no configuration; `installed` is false where it would have to be put elsewhere, or called, before
    anything runs.
    """

    what: str
    read: Callable[[str], Iterator[Script]]
    starts: Starts
    path: bytes = rb""
    name: bytes = rb""
    but: bytes = rb""
    holds: tuple[bytes, ...] = ()
    language: str = ""
    installed: bool = True

    @property
    def pattern(self) -> bytes:
        """For the whole path, `but` left aside."""
        return b"|".join([*([self.path] if self.path else []), *([_FOLDERS + self.name_pattern] if self.name else [])])

    @property
    def name_pattern(self) -> bytes:
        return b"(?:" + self.name + b")"

    @cached_property
    def _whole(self) -> re.Pattern[bytes]:
        return re.compile(self.pattern, re.DOTALL)

    @cached_property
    def _but(self) -> re.Pattern[bytes]:
        return re.compile(self.but or rb"(?!)", re.DOTALL)

    def matches(self, path: bytes) -> bool:
        return self._whole.fullmatch(path) is not None and self._but.search(path) is None

    def scripts(self, text: str, path: bytes) -> Iterator[Script]:
        """The file's scripts; a unit's own name is put in where it speaks of itself."""
        stem = path.rsplit(b"/", 1)[-1].rpartition(b".")[0].decode("utf-8", "surrogateescape")
        for script in self.read(text):
            yield Script(script.text.replace("%N", stem), script.origin) if "%N" in script.text else script


_ANYWHERE = rb"(?:.*/)?"
"""Begins a whole path's expression that PATHS leaves out: another point's name has it as well."""
_FOLDERS = rb"(?>(?:.*/)?)"
"""Up to the last slash, and no other: a path is asked once for its name."""


_BLANK_OR_COMMENT = re.compile(r"\s*(?:#|$)")
_CRON = re.compile(
    r"\s*(?:@(?:reboot|yearly|annually|monthly|weekly|daily|midnight|hourly)|@every\s+\S+|(?:[^\s@#]\S*\s+){4}\S+)\s+(?P<rest>\S.*)"
)
_CRON_USER = re.compile(r"\A[A-Za-z_][\w.:-]*(?:\s+|$)")
_CRON_ENV = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>.*)")
_CRON_PERCENT = re.compile(r"(?<!\\)%.*")
_TIMES = re.compile(r"\s*(?:@(?:reboot|\w+ly)|(?:[\d*][\d*/,A-Za-z-]*\s+){4}[\d*][\d*/,A-Za-z-]*)\s+(?=\S)")
_ANACRON = re.compile(r"\s*(?:\d+|@\w+)\s+\d+\s+\S+\s+")
_KEYED = re.compile(r"\s*(?P<key>[A-Za-z_][\w.-]*)\s*=\s*(?P<value>.*)")
_EXEC_PREFIX = re.compile(r"[@\-:+!|]+")
_SHEBANG = re.compile(r"#![ \t]*(?P<words>[^\n]{1,400})")


def whole(text: str) -> Iterator[Script]:
    """The text is shell text; of a script for execline, each of its blocks is."""
    found = _SHEBANG.match(text)
    if found and found["words"].split()[0].endswith("execlineb"):
        yield from execline(text)
    else:
        yield Script(text)


def nothing(_: str) -> Iterator[Script]:
    """The text is in another language."""
    return iter(())


def _one(text: str, line: int) -> Script:
    return Script(text, Origin(line, line))


_EXECLINE_WORD = re.compile(r"""#[^\n]*|(?P<word>(?:\\.|"(?:[^"\\]|\\.)*+"|[^\s"\\])+)""", re.DOTALL)


def execline(text: str) -> Iterator[Script]:
    """Runs of words between the braces of execline's blocks: newlines are blanks there."""
    words: list[str] = []
    lines = Lines(text)
    begin = 0
    for found in _EXECLINE_WORD.finditer(text):
        word = found["word"]
        if word is None:
            continue
        if word in ("{", "}"):
            if words:
                yield _one(" ".join(words), begin)
            words = []
            continue
        begin = begin if words else lines.at(found.start())
        words.append(word)
    if words:
        yield _one(" ".join(words), begin)


def init(text: str) -> Iterator[Script]:
    """An init script; OpenRC and Debian's init-d-script start what its variables name."""
    yield from whole(text)
    for variable, starts in (("command", "$command $command_args"), ("DAEMON", "$DAEMON $DAEMON_ARGS")):
        named = "openrc-run" in text[:100] if variable == "command" else "init-d-script" in text[:100]
        found = re.search(rf"(?m)^[ \t]*{variable}=", text) if named else None
        if found:
            yield _one(starts, text.count("\n", 0, found.start()) + 1)


def _cron(text: str, user: bool) -> Iterator[Script]:
    for number, line in enumerate(text.split("\n"), 1):
        if _BLANK_OR_COMMENT.match(line):
            continue
        if found := _CRON_ENV.fullmatch(line):
            yield _one(f"export {found['name']}={_quoted(found['value'].strip())}", number)
        elif found := _CRON.match(line[:LINE]):
            rest = found["rest"]
            if user:
                # a program where the user should stand is a mistake that still says what was meant
                rest = _CRON_USER.sub("", rest, count=1)
            yield _one(_CRON_PERCENT.sub("", rest).replace("\\%", "%"), number)
        else:
            yield _one(line[:LINE], number)


def _quoted(value: str) -> str:
    return value if value[:1] in ("'", '"') else shlex.quote(value)


def system_crontab(text: str) -> Iterator[Script]:
    """Lines of a crontab with a user in its sixth field."""
    yield from _cron(text, True)


def user_crontab(text: str) -> Iterator[Script]:
    """Lines of one user's crontab."""
    yield from _cron(text, False)


def without_times(text: str) -> str:
    """Lines that may be about to become a crontab, without their times."""
    if "*" not in text and "@" not in text:
        return text
    return "\n".join(_TIMES.sub("", line, count=1) for line in text.split("\n"))


def anacrontab(text: str) -> Iterator[Script]:
    """What stands behind period, delay and name."""
    for number, line in enumerate(text.split("\n"), 1):
        if not _BLANK_OR_COMMENT.match(line):
            yield _one(_ANACRON.sub("", line[:LINE]), number)


def unit(text: str) -> Iterator[Script]:
    """Exec lines of a systemd unit, with its Environment; an empty one takes back those before it."""
    kept: list[tuple[str, str, int]] = []
    for number, line in logical_lines(text):
        if line.lstrip().startswith((";", "#")) or not (found := _KEYED.match(line)):
            continue
        key, value = found["key"], found["value"].strip()
        if key == "Environment" and value:
            yield _one("export " + value, number)
        elif key.startswith("Exec") and key != "ExecSearchPath":
            if value:
                kept.append((key, _EXEC_PREFIX.sub("", value, count=1) if value[0] in "@-:+!|" else value, number))
            else:
                kept = [one for one in kept if one[0] != key]
    for _, value, number in kept:
        yield _one(value.replace("$$", "$"), number)


def activating(text: str) -> Iterator[Script]:
    """The unit that a timer, path or socket unit starts: its own name's service if it names none; and Exec lines."""
    yield from unit(text)
    named, trigger = "%N.service", 0
    for number, line in logical_lines(text):
        if found := _KEYED.match(line):
            if found["key"] in ("Unit", "Service"):
                named, trigger = found["value"].strip(), number
            elif found["key"].startswith(("On", "Path", "Directory", "Listen")):
                trigger = trigger or number
    if trigger:
        yield _one(f"systemctl start {named}", trigger)


def keyed(*keys: str, header: str = "") -> Callable[[str], Iterator[Script]]:
    """A reader of `key = command` lines, where a line that begins with blanks goes on from the one before.

    With a `header`, a file without it holds none.
    """

    def read(text: str) -> Iterator[Script]:
        if header and header not in text:
            return
        value, begin = "", 0
        for number, line in logical_lines(text):
            if begin and line[:1] in (" ", "\t") and line.strip() and not _KEYED.match(line):
                value += " " + line.strip()
                continue
            if begin:
                yield _one(value, begin)
                begin = 0
            found = _KEYED.match(line)
            if found and found["key"] in keys:
                value, begin = found["value"].strip(), number
                if (
                    found["key"] != "Exec"
                    and value[:1] in ("'", '"')
                    and value.count(value[0]) == 2
                    and value[-1] == value[0]
                ):
                    value = value[1:-1]
        if begin:
            yield _one(value, begin)

    return read


def inittab(text: str) -> Iterator[Script]:
    """The fourth field of each line."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(":") >= 3 and not line.lstrip().startswith("#"):
            yield _one(line.split(":", 3)[3].lstrip("+-"), number)


def procfile(text: str) -> Iterator[Script]:
    """What follows `name:`."""
    for number, line in enumerate(text.split("\n"), 1):
        if not _BLANK_OR_COMMENT.match(line):
            yield _one(re.sub(r"^[\w-]+:\s*", "", line), number)


def package_json(text: str) -> Iterator[Script]:
    """The scripts that npm runs by name."""
    for path, value, line in jsontext.values(text):
        if len(path) == 2 and path[0] == "scripts":
            yield _one(value, line)


_ON_INSTALL = frozenset(("preinstall", "install", "postinstall", "prepare"))


def dependency_json(text: str) -> Iterator[Script]:
    """The scripts that run when a package is installed; its others wait for its own developers."""
    for path, value, line in jsontext.values(text):
        if len(path) == 2 and path[0] == "scripts" and path[1] in _ON_INSTALL:
            yield _one(value, line)


_DEVCONTAINER = frozenset(
    "initializeCommand onCreateCommand updateContentCommand postCreateCommand postStartCommand postAttachCommand".split()
)


def devcontainer(text: str) -> Iterator[Script]:
    """Lifecycle commands: a string for a shell, an array without one, an object of either that run side by side."""
    yield from _joined(
        (path, value, line)
        for path, value, line in jsontext.values(text)
        if path and (path[0] in _DEVCONTAINER or ("customizations" in path and "command" in path))
    )


def _joined(values: Iterator[tuple[jsontext.Path, str, int]]) -> Iterator[Script]:
    """A string as it is; the words of an array as one command."""
    words: list[str] = []
    folder: jsontext.Path = ()
    begin = 0
    for path, value, line in values:
        if words and path[:-1] != folder:
            yield _one(" ".join(words), begin)
            words = []
        if isinstance(path[-1], int):
            begin = begin if words else line
            folder = path[:-1]
            words.append(shlex.quote(value))
        else:
            yield _one(value, line)
    if words:
        yield _one(" ".join(words), begin)


def servers(text: str) -> Iterator[Script]:
    """Programs that an agent's client starts as MCP servers: command, arguments and environment of each."""
    yield from _programs(text, lambda path: "mcpServers" in path or "servers" in path or "context_servers" in path)


def vscode_tasks(text: str) -> Iterator[Script]:
    """Tasks that run when the folder is opened."""
    if "folderOpen" in text:
        yield from _programs(text, lambda path: path[:1] == ("tasks",), needs="folderOpen")


def agent_settings(text: str) -> Iterator[Script]:
    """Hooks, status lines and helpers of a coding agent's settings, and the servers they may name."""
    yield from _programs(text, bool)


_COMMANDS = frozenset(("command", "cmd", "apiKeyHelper", "awsAuthRefresh", "awsCredentialExport"))


def _programs(text: str, wanted: Callable[[jsontext.Path], bool], needs: str = "") -> Iterator[Script]:
    """Objects with `command`, `args` and `env`, as one line each."""
    command, begin = "", 0
    home: jsontext.Path = ()
    words: list[str] = []
    environment: list[str] = []
    seen = not needs

    def said() -> Iterator[Script]:
        if begin and seen:
            program = shlex.quote(command) if words and " " not in command else command
            yield _one(" ".join([*environment, program, *words]), begin)

    waiting: list[tuple[jsontext.Path, str]] = []
    for path, value, line in jsontext.values(text):
        if not wanted(path):
            continue
        if begin and path[: len(home)] != home:
            yield from said()
            begin, words, environment, seen = 0, [], [], not needs
        waiting = [one for one in waiting if one[0][:-2] == path[:-2] or one[0][:-2] == path[:-1]][-500:]
        seen = seen or value == needs
        if path[-1] in _COMMANDS or (path[-1] == 0 and path[-2:-1] == ("command",)):
            if begin:
                yield from said()
                words, environment = [], []
            command, begin = value, line
            home = path[:-1] if path[-1] in _COMMANDS else path[:-2]
            for where, early in waiting:
                if where[: len(home)] == home:
                    _argument(where[len(home) :], early, words, environment)
            waiting = []
        elif begin:
            _argument(path[len(home) :], value, words, environment)
        elif len(path) >= 2:
            waiting.append((path, value))
    yield from said()


def _argument(path: jsontext.Path, value: str, words: list[str], environment: list[str]) -> None:
    if path[:1] in (("args",), ("command",)) and len(path) == 2:
        words.append(shlex.quote(value))
    elif path[:1] == ("env",) and len(path) == 2 and re.fullmatch(r"[A-Za-z_]\w{0,60}", str(path[1])):
        environment.append(f"{path[1]}={shlex.quote(value)}")


_TOML_COMMAND = re.compile(r"""\s*(?P<key>command|args|notify)\s*=\s*(?P<value>.*)""")
_TOML_STRING = re.compile(r"""(?P<q>["'])(?P<text>(?:(?!(?P=q))[^\\\n]|\\.)*+)(?P=q)""")


def servers_toml(text: str) -> Iterator[Script]:
    """The same in TOML, where command and args stand on lines of their own."""
    words: list[str] = []
    begin = 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("["):
            if words:
                yield _one(" ".join(words), begin)
            words, begin = [], 0
        elif found := _TOML_COMMAND.match(line[:LINE]):
            strings = [shlex.quote(s["text"]) for s in _TOML_STRING.finditer(found["value"])]
            if found["key"] == "args":
                words += strings
            elif found["key"] == "notify":
                yield _one(" ".join(strings), number)
            else:
                words, begin = [*strings, *words], number
    if words:
        yield _one(" ".join(words), begin or 1)


_TARGET = re.compile(r"(?P<names>[^\s:#=][^:#=]*)::?(?!=)(?P<needs>[^;#=]*)(?:;(?P<first>.*))?$")
_MAKE_VARIABLE = re.compile(r"\$[({]([A-Za-z_]\w*)[)}]")
_MAKE_ASSIGNED = re.compile(r"\s*(?:export\s+|override\s+)?([A-Za-z_]\w*)\s*(?::{0,3}|\?|\+|!)=\s*(.*)")


def makefile(text: str) -> Iterator[Script]:
    """The recipes that a bare `make` runs: the first target's and those it needs."""
    rules: dict[str, tuple[list[str], list[tuple[str, int]]]] = {}
    current: list[tuple[list[str], list[tuple[str, int]]]] = []
    first = ""
    for number, line in logical_lines(text):
        if line.startswith("\t"):
            for _, recipe in current:
                recipe.append((line.strip().lstrip("@-+"), number))
        elif found := _MAKE_ASSIGNED.fullmatch(line):
            value = _MAKE_VARIABLE.sub(r"${\1}", found[2])
            yield _one(f'{found[1]}="{value}"' if '"' not in value else f"{found[1]}='{value}'", number)
        elif found := _TARGET.match(line):
            names = found["names"].split()[:50]
            current = [rules.setdefault(name, ([], [])) for name in names]
            for needs, recipe in current:
                needs.extend(found["needs"].split()[:200])
                if found["first"]:
                    recipe.append((found["first"], number))
            first = first or next((n for n in names if not n.startswith(".") and "%" not in n), "")
        elif line.strip():
            current = []
    waiting, seen = [first], {first}
    while waiting:
        needs, recipe = rules.get(waiting.pop(), ([], []))
        for command, number in recipe:
            yield _one(_MAKE_VARIABLE.sub(r"${\1}", command).replace("$$", "$"), number)
        waiting += [need for need in needs if need not in seen]
        seen.update(needs)


def justfile(text: str) -> Iterator[Script]:
    """The first recipe, which a bare `just` runs."""
    begun = False
    for number, line in enumerate(text.split("\n"), 1):
        if line[:1] in (" ", "\t") and line.strip():
            if begun:
                yield _one(line.strip().lstrip("@-"), number)
        elif re.match(r"[A-Za-z_@][\w -]*(?:[^:=]*):(?!=)", line):
            if begun:
                return
            begun = True


_QUOTED_TEXT = re.compile(r"""\"((?:[^"\\]|\\.)*+)"|'([^']*+)'""", re.DOTALL)
_UDEV = re.compile(r"""(?:RUN(?:\{program\})?|PROGRAM|IMPORT\{program\})\s*[+:]?==?\s*e?"((?:[^"\\]|\\.)*+)\"""")


def udev(text: str) -> Iterator[Script]:
    """Programs that a rule runs when a device appears."""
    for number, line in logical_lines(text):
        if not line.lstrip().startswith("#"):
            for found in _UDEV.finditer(line):
                yield _one(found[1], number)


def logrotate(text: str) -> Iterator[Script]:
    """Scripts between postrotate or its like and endscript."""
    kept: list[str] = []
    begin = 0
    for number, line in enumerate(text.split("\n"), 1):
        word = line.strip()
        if word in ("postrotate", "prerotate", "firstaction", "lastaction", "preremove"):
            kept, begin = [], number + 1
        elif word == "endscript":
            if begin:
                yield Script("\n".join(kept), Origin(begin, number))
            begin = 0
        elif begin:
            kept.append(line)


_APT = re.compile(
    r"""(?P<skip>(?://|\#)[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/)?)|"(?P<text>(?:[^"\\\n]|\\.)*+)"|(?P<sign>[{};])|(?P<word>[^\s{};"]++)""",
    re.VERBOSE | re.DOTALL,
)
_APT_HOOK = re.compile(
    r"(?i)(?:.*::)?(?:(?:pre|post)-invoke(?:-success)?|pre-install-pkgs|proxy-?auto-?detect|post-invoke-stats)(?:::.*)?"
)


def apt(text: str) -> Iterator[Script]:
    """Commands around the runs of apt and dpkg, and what finds a proxy."""
    hook, line, deep = False, 1, 0
    for token in _APT.finditer(text):
        if token.lastgroup == "word":
            hook = hook or _APT_HOOK.fullmatch(token.group()) is not None
        elif token.lastgroup == "text" and hook:
            yield Script(
                token["text"].replace('\\"', '"'), Origin(line := text.count("\n", 0, token.start()) + 1, line)
            )
        elif token.lastgroup == "sign" and hook:
            deep += {"{": 1, "}": -1}.get(token.group(), 0)
            if deep <= 0 and token.group() != "{":
                hook, deep = False, 0


def dpkg(text: str) -> Iterator[Script]:
    """dpkg's own hooks, and its logger."""
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r"\s*(?:pre-invoke|post-invoke|status-logger)\s*[=\s]\s*(.+)", line[:LINE])
        if found:
            yield _one(found[1].strip().strip("\"'"), number)


def interfaces(text: str) -> Iterator[Script]:
    """Commands of up, down and their like."""
    for number, line in logical_lines(text):
        found = re.match(r"\s*(?:pre-up|up|post-up|down|pre-down|post-down)\s+(.+)", line)
        if found:
            yield _one(found[1], number)


def pam(text: str) -> Iterator[Script]:
    """What pam_exec runs at a login."""
    for number, line in logical_lines(text):
        found = re.match(r"[^#]*\bpam_exec\.so\b(.*)", line)
        if found:
            words = found[1].split()
            at = next((i for i, w in enumerate(words) if w.startswith("/")), len(words))
            yield _one(" ".join(words[at:]), number)


def inetd(text: str) -> Iterator[Script]:
    """The program behind service, type, protocol, wait and user."""
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if len(words) >= 6 and not words[0].startswith("#"):
            # the sixth is the program, the seventh its own name
            yield _one(" ".join([words[5], *words[7:]]), number)


def xinetd(text: str) -> Iterator[Script]:
    """Server and its arguments."""
    server, begin = "", 0
    arguments = ""
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r"\s*(server|server_args)\s*\+?=\s*(.*)", line[:LINE])
        if found and found[1] == "server":
            server, begin = found[2], number
        elif found:
            arguments = found[2]
        if line.strip() == "}" and server:
            yield _one(f"{server} {arguments}", begin)
            server = arguments = ""


def incron(text: str) -> Iterator[Script]:
    """What stands behind path and mask."""
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split(None, 2)
        if len(words) == 3 and not words[0].startswith("#"):
            yield _one(words[2], number)


def monit(text: str) -> Iterator[Script]:
    """Quoted programs behind start, stop, restart, exec and `with path`."""
    for number, line in logical_lines(text):
        if not line.lstrip().startswith("#"):
            for found in re.finditer(r"(?i)\b(?:program\s*=?|exec|path)\s*(?:\"([^\"\n]*)\"|'([^'\n]*)')", line):
                yield _one(found[1] or found[2] or "", number)


_TMUX = re.compile(
    r"\s*(?:run-shell|run|if-shell|if|new-session|new|new-window|neww|respawn-pane|pipe-pane|split-window|splitw|set-hook|bind(?:-key)?)\b(.*)"
)
_TMUX_STATUS = re.compile(r"#\(([^()\n]{1,2000})\)")
_TMUX_DEFAULT = re.compile(r"\s*set(?:-option)?\s.*?\bdefault-(?:command|shell)\s+(.*)")


def tmux(text: str) -> Iterator[Script]:
    """What tmux runs when it starts or draws its status."""
    for number, line in logical_lines(text):
        if line.lstrip().startswith("#"):
            continue
        for found in _TMUX_STATUS.finditer(line):
            yield _one(found[1], number)
        if shell := _TMUX_DEFAULT.match(line):
            yield _one(shell[1].strip("\"'"), number)
        elif runs := _TMUX.match(line):
            quoted = [q[1] or q[2] or "" for q in _QUOTED_TEXT.finditer(runs[1])]
            for command in quoted or [re.sub(r"^(?:\s*-\w+)+\s+", "", runs[1])]:
                yield _one(command, number)


def screen(text: str) -> Iterator[Script]:
    """Windows, programs and status commands that screen starts."""
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r"\s*(screen|exec|shell|backtick)\s+(.+)", line[:LINE])
        if found:
            rest = re.sub(r"^\s*\d+\s+\d+\s+\d+\s+", "", found[2]) if found[1] == "backtick" else found[2]
            yield _one(f"screen {rest}" if found[1] == "screen" else rest, number)


_GIT_SECTION = re.compile(r"\s*\[\s*([\w.-]+)(?:\s+\"[^\"\n]*\")?\s*\](.*)")
_GIT_COMMANDS = {
    "core": frozenset({"sshcommand", "fsmonitor", "pager", "editor", "gitproxy", "askpass", "alternaterefscommand"}),
    "diff": frozenset({"external", "textconv", "command"}),
    "filter": frozenset({"clean", "smudge", "process"}),
    "sequence": frozenset({"editor"}),
    "gpg": frozenset({"program"}),
    "uploadpack": frozenset({"packobjectshook"}),
    "merge": frozenset({"driver"}),
    "mergetool": frozenset({"cmd"}),
    "difftool": frozenset({"cmd"}),
    "remote": frozenset({"uploadpack", "receivepack", "vcs"}),
}


def git_config(text: str) -> Iterator[Script]:
    """Programs that git runs by its configuration, aliases with `!`, credential helpers with `!`."""
    section = ""
    for number, line in logical_lines(text):
        rest = line
        if found := _GIT_SECTION.match(line):
            section, rest = found[1].lower(), found[2]
        found = re.match(r"\s*([A-Za-z][\w-]*)\s*=\s*(.*)", rest)
        if not found or section == "":
            continue
        key, value = found[1].lower(), found[2].strip()
        if value[:1] == '"' and value[-1:] == '"' and len(value) > 1:
            value = value[1:-1].replace('\\"', '"')
        if section in ("alias", "credential") and value.startswith("!"):
            yield _one(value[1:], number)
        elif key in _GIT_COMMANDS.get(section, frozenset()) and value not in ("true", "false"):
            yield _one(value, number)


def upstart(text: str) -> Iterator[Script]:
    """exec lines and script sections."""
    yield from whole(re.sub(r"(?m)^[ \t]*(?:(?:pre|post)-(?:start|stop)[ \t]+)?(?:script|end script)[ \t]*$", "", text))


def environment(text: str) -> Iterator[Script]:
    """Assignments alone: what is exported to every command."""
    for number, line in enumerate(text.split("\n"), 1):
        if found := _CRON_ENV.fullmatch(line):
            yield _one(f"export {found['name']}={_quoted(found['value'].strip())}", number)


def is_shell(text: str) -> bool:
    """False for a text whose `#!` line names another language."""
    found = _SHEBANG.match(text)
    return found is None or interpreter(found["words"]) in SHELLS


SHELLS = frozenset(
    "sh bash dash ash zsh ksh ksh93 mksh lksh fish rbash csh tcsh busybox execlineb openrc-run runscript init-d-script rc.common".split()
)


def interpreter(words: str) -> str:
    """The program that a `#!` line comes to, past env, with-contenv and their options."""
    for word in words.split()[:8]:
        name = word.rsplit("/", 1)[-1]
        if name in ("env", "with-contenv", "gosu") or word.startswith("-") or "=" in word:
            continue
        return name
    return ""


_DOCUMENTS = rb"\Ausr/(?:share/(?:doc|man|info|locale|licenses|lintian|logcheck)|src|include)/"
_LIBRARIES = rb"\A(?:usr/(?:share|src|lib|include)|lib/modules)/|(?:node_modules|-packages|vendor|testdata|registry/src|pkg/mod|lib/python[^/]*)/"
_HOME = rb"(?:root|home/[^/]+|etc/skel|var/lib/[^/]+|var/[^/]+_home|opt/[^/]+|app|srv|workspaces?(?:/[^/]+)?|usr/src/[^/]+|data)"
_UNITS = (
    rb"(?:(?:etc|usr/lib|usr/local/lib|lib|run)/systemd/(?:system|user|system\.control|transient)|"
    + _HOME
    + rb"/\.(?:config|local/share)/systemd/user|usr/(?:local/)?share/systemd/user)/(?:[^/]+/)?"
)
_SYSTEM_UNITS = rb"(?:etc|usr/lib|usr/local/lib|lib|run)/systemd/(?:system|system\.control|transient)/(?:[^/]+/)?"
_GIT_HOOKS = (
    rb"(?:applypatch-msg|pre-applypatch|post-applypatch|pre-commit|pre-merge-commit|prepare-commit-msg|commit-msg|post-commit|"
    rb"pre-rebase|post-checkout|post-merge|pre-push|pre-receive|update|proc-receive|post-receive|post-update|reference-transaction|"
    rb"push-to-checkout|pre-auto-gc|post-rewrite|sendemail-validate|fsmonitor-watchman|post-index-change)"
)

POINTS = (
    Point("system crontab", system_crontab, "schedule", rb"etc/(?:crontab|cron\.d/[^/]+)"),
    Point(
        "crontab",
        user_crontab,
        "schedule",
        rb"(?:var/spool/cron/(?:crontabs/|tabs/)?|etc/crontabs/|var/cron/tabs/)[^/]+",
    ),
    Point("anacrontab", anacrontab, "schedule", rb"etc/anacrontab"),
    Point(
        "cron script", whole, "schedule", rb"etc/(?:cron\.(?:hourly|daily|weekly|monthly|yearly)|periodic/[^/]+)/[^/]+"
    ),
    Point("at job", whole, "schedule", rb"var/spool/(?:cron/)?at(?:jobs|spool)?/(?:spool/)?[^/]+"),
    Point("incron table", incron, "hook", rb"(?:etc/incron\.d|var/spool/incron)/[^/]+"),
    Point("systemd timer", activating, "schedule", _UNITS + rb"[^/]+\.timer"),
    Point("systemd unit", unit, "boot", _SYSTEM_UNITS + rb"[^/]+\.(?:service|conf)", holds=(b"Exec",)),
    Point("systemd user unit", unit, "login", _UNITS + rb"[^/]+\.(?:service|conf)", holds=(b"Exec",)),
    Point("systemd socket or path unit", activating, "hook", _UNITS + rb"[^/]+\.(?:socket|path)"),
    Point(
        "systemd generator",
        whole,
        "boot",
        rb"(?:etc|usr/lib|usr/local/lib|lib|run)/systemd/(?:system|user|system-environment|user-environment)-generators/[^/]+"
        rb"|(?:etc|usr/lib|lib)/systemd/system-(?:shutdown|sleep)/[^/]+",
    ),
    Point(
        "init script",
        init,
        "boot",
        rb"etc/(?:init\.d|rc[\dS]?\.d|rc\.d|rc\.d/init\.d|local\.d)/[^/]+|etc/rc\.(?:local|sysinit)",
    ),
    Point("inittab", inittab, "boot", rb"etc/inittab"),
    Point("upstart job", upstart, "boot", rb"etc/init/[^/]+\.conf"),
    Point("inetd service", inetd, "boot", rb"etc/inetd\.conf|etc/inetd\.d/[^/]+"),
    Point("xinetd service", xinetd, "boot", rb"etc/xinetd\.(?:conf|d/[^/]+)"),
    Point("dinit service", keyed("command", "stop-command"), "boot", rb"(?:etc|usr/lib|lib)/dinit\.d/[^/]+"),
    Point(
        "supervisor program",
        keyed("command"),
        "boot",
        rb"(?:etc|opt|app|srv|root|usr/local/etc)/(?:.*/)?supervisord?(?:\.d)?/(?:[^/]+/)?[^/]+\.(?:conf|ini)",
        rb"supervisord?[^/]*\.(?:conf|ini)",
        _LIBRARIES,
        holds=(b"command",),
    ),
    Point("circus watcher", keyed("cmd"), "boot", rb"etc/circus(?:\.d)?/[^/]+\.ini", rb"circus[^/]*\.ini", _LIBRARIES),
    Point(
        "monit check",
        monit,
        "boot",
        rb"etc/(?:monit/)?monitrc|etc/monit(?:\.d|/conf\.d|/conf-(?:enabled|available)|/monitrc\.d)/[^/]+",
        rb"\.monitrc",
        _DOCUMENTS,
    ),
    Point(
        "runit or s6 service",
        whole,
        "boot",
        rb"etc/(?:sv|service|services\.d|runit/runsvdir/[^/]+|s6/sv|s6-overlay/s6-rc\.d|s6-rc(?:/source)?)/(?:[^/]+/)?(?:log/)?"
        rb"(?:run|finish|up|down|check|conf)"
        rb"|(?:var/|srv/|run/)?service/[^/]+/(?:log/)?(?:run|finish|check)"
        rb"|etc/(?:cont-init\.d|cont-finish\.d|s6-overlay/scripts|runit|my_init\.d|my_init\.(?:pre|post)_shutdown\.d)/[^/]+"
        rb"|(?:etc/s6-linux-init|run/s6|usr/libexec/s6-overlay)/(?:.*/)?(?:rc\.init|runlevel|rc\.shutdown)",
    ),
    Point(
        "entry hook",
        whole,
        "boot",
        rb"usr/local/bin/(?:before|start)-notebook\.d/[^/]+|var/lib/cloud/scripts/per-[a-z]+/[^/]+"
        rb"|var/lib/cloud/instances?/(?:[^/]+/)?scripts/[^/]+",
        rb"(?<=entrypoint\.d/)[^/]+|(?<=entrypoint-initdb\.d/)[^/]+",
        _DOCUMENTS,
    ),
    Point(
        "environment of every login",
        environment,
        "login",
        rb"etc/environment(?:\.d/[^/]+)?",
        rb"(?<=\.config/environment\.d/)[^/]+",
        _DOCUMENTS,
    ),
    Point(
        "shell start-up file",
        whole,
        "login",
        rb"etc/(?:profile|bash\.bashrc|bashrc|bash\.bash_logout|bash/[^/]+|bashrc\.d/[^/]+|zsh/[^/]+|z(?:shrc|shenv|profile|login|logout)|"
        rb"csh\.(?:cshrc|login|logout)|profile\.d/[^/]+|mkshrc|ksh\.kshrc|fish/config\.fish|fish/conf\.d/[^/]+|X11/Xsession\.d/[^/]+|"
        rb"X11/xinit/(?:xinitrc|xinitrc\.d/[^/]+))",
        rb"\.(?:profile|bashrc|bash_profile|bash_login|bash_logout|bash_aliases|zshrc|zprofile|zshenv|zlogin|zlogout|kshrc|"
        rb"mkshrc|cshrc|tcshrc|login|xprofile|xinitrc|xsession|xsessionrc)"
        rb"|(?<=\.config/fish/)config\.fish|(?<=\.config/fish/conf\.d/)[^/]+|(?<=\.config/plasma-workspace/env/)[^/]+|(?<=\.config/zsh/)\.[^/]+",
        _DOCUMENTS,
    ),
    Point("login message script", whole, "login", rb"etc/update-motd\.d/[^/]+"),
    Point("ssh login script", whole, "login", rb"etc/ssh/sshrc", rb"(?<=\.ssh/)rc", _DOCUMENTS),
    Point("login module", pam, "login", rb"etc/pam\.d/[^/]+|etc/pam\.conf", holds=(b"pam_exec",)),
    Point(
        "autostart entry",
        keyed("Exec"),
        "login",
        rb"(?:etc/xdg|usr/share)/(?:.*/)?autostart/[^/]+\.desktop",
        rb"(?<=\.config/autostart/)[^/]+\.desktop",
        _DOCUMENTS,
    ),
    Point(
        "activation script",
        whole,
        "login",
        name=rb"(?<=etc/conda/activate\.d/)[^/]+|(?<=etc/conda/deactivate\.d/)[^/]+",
        but=_DOCUMENTS,
    ),
    Point(
        "virtual environment script",
        whole,
        "hook",
        name=rb"(?<=bin/)(?:activate|preactivate|postactivate|predeactivate|postdeactivate)(?:\.fish|\.csh)?",
        but=_LIBRARIES,
    ),
    Point("directory hook", whole, "hook", name=rb"\.envrc", but=_LIBRARIES),
    Point(
        "terminal start-up file",
        tmux,
        "manual",
        rb"etc/tmux\.conf",
        rb"\.tmux\.conf|(?<=\.config/tmux/)tmux\.conf",
        _DOCUMENTS,
    ),
    Point("screen start-up file", screen, "manual", rb"etc/screenrc", rb"\.screenrc", _DOCUMENTS),
    Point(
        "git hook",
        whole,
        "hook",
        rb"",
        rb"(?<=\.git/hooks/)[a-z-]+|(?<=hooks/)" + _GIT_HOOKS + rb"|(?<=\.husky/)" + _GIT_HOOKS,
        _DOCUMENTS,
    ),
    Point(
        "git configuration",
        git_config,
        "hook",
        rb"etc/gitconfig",
        rb"\.gitconfig|(?<=\.config/git/)config|(?<=\.git/)config(?:\.worktree)?",
        _DOCUMENTS,
        holds=(
            b"!",
            b"ommand",
            b"monitor",
            b"pager",
            b"editor",
            b"xy",
            b"pass",
            b"ext",
            b"clean",
            b"smudge",
            b"process",
            b"rogram",
            b"ack",
            b"river",
            b"vcs",
            b"ook",
            b"cmd",
        ),
    ),
    Point("apt hook", apt, "hook", rb"etc/apt/apt\.conf(?:\.d/[^/]+)?"),
    Point("dpkg hook", dpkg, "hook", rb"etc/dpkg/dpkg\.cfg(?:\.d/[^/]+)?", holds=(b"invoke", b"status-logger")),
    Point(
        "network hook",
        whole,
        "hook",
        rb"etc/network/if-(?:pre-up|up|down|post-down)\.d/[^/]+|(?:etc|usr/lib)/NetworkManager/dispatcher\.d/(?:[^/]+/)?[^/]+"
        rb"|(?:etc|usr/lib)/networkd-dispatcher/[^/]+\.d/[^/]+|etc/dhcp/dhclient-(?:enter|exit)-hooks(?:\.d/[^/]+)?"
        rb"|etc/dhcpcd\.(?:enter|exit)-hook|(?:usr/)?lib(?:exec)?/dhcpcd/dhcpcd-hooks/[^/]+|etc/ppp/ip(?:v6)?-(?:up|down)(?:\.d/[^/]+)?"
        rb"|usr/share/udhcpc/default\.script|etc/udhcpc/[^/]+",
    ),
    Point("network interfaces", interfaces, "boot", rb"etc/network/interfaces(?:\.d/[^/]+)?"),
    Point(
        "udev rule",
        udev,
        "hook",
        rb"(?:etc|usr/lib|lib|run)/udev/rules\.d/[^/]+\.rules",
        holds=(b"RUN", b"PROGRAM", b"IMPORT{program}"),
    ),
    Point("log rotation", logrotate, "schedule", rb"etc/logrotate\.(?:conf|d/[^/]+)", holds=(b"endscript",)),
    Point(
        "bus service",
        keyed("Exec"),
        "hook",
        rb"(?:usr/(?:local/)?share|etc)/dbus-1/(?:system-)?services/[^/]+\.service",
        rb"(?<=\.local/share/dbus-1/services/)[^/]+\.service",
    ),
    Point("Procfile", procfile, "manual", name=rb"Procfile(?:\.[a-z]+)?", but=_LIBRARIES),
    Point(
        "npm install script",
        dependency_json,
        "build",
        _ANYWHERE + rb"node_modules/(?:@[^/]+/)?[^/]+/package\.json",
        holds=(b'"preinstall"', b'"install"', b'"postinstall"', b'"prepare"'),
    ),
    Point("npm scripts", package_json, "manual", name=rb"package\.json", but=_LIBRARIES, holds=(b'"scripts"',)),
    Point("makefile", makefile, "manual", name=rb"(?:GNUm|M|m)akefile", but=_LIBRARIES),
    Point("justfile", justfile, "manual", name=rb"\.?[jJ]ustfile", but=_LIBRARIES),
    Point(
        "development container",
        devcontainer,
        "boot",
        rb"",
        rb"\.?devcontainer\.json",
        _LIBRARIES,
    ),
    Point(
        "tool server of an agent",
        servers,
        "hook",
        name=rb"\.?mcp\.json|mcp_config\.json|mcp_settings\.json|mcp-servers\.json|cline_mcp_settings\.json|claude_desktop_config\.json|"
        rb"\.claude\.json",
        but=_DOCUMENTS,
        holds=(b"ommand",),
    ),
    Point(
        "settings of an agent",
        agent_settings,
        "hook",
        rb"etc/claude-code/managed-settings\.json",
        rb"(?<=\.claude/)(?:settings|settings\.local|hooks)\.json|(?<=\.gemini/)settings\.json|(?<=\.cursor/)hooks\.json|"
        rb"(?<=\.vscode/)settings\.json|(?<=\.zed/)settings\.json",
        _DOCUMENTS,
        holds=(b"ommand", b"Helper"),
    ),
    Point("tool server of an agent, in TOML", servers_toml, "hook", name=rb"(?<=\.codex/)config\.toml"),
    Point("editor task", vscode_tasks, "hook", name=rb"(?<=\.vscode/)tasks\.json", holds=(b"folderOpen",)),
    Point(
        "Python start-up file",
        nothing,
        "hook",
        rb"",
        rb"(?<=\.ipython/profile_default/startup/)[^/]+|(?:sitecustomize|usercustomize)\.py|(?<=-packages/)[^/]+\.pth|(?<=\.jupyter/)jupyter_[^/]+_config\.py|\.pythonrc(?:\.py)?",
        language="python",
    ),
    Point(
        "entry script",
        whole,
        "boot",
        rb"start|run|init|entry",
        rb"(?:docker-)?(?:entrypoint|entry|start|run|init|launch|boot|startup)[^/]{0,20}\.(?:sh|bash)|(?:docker-)?entrypoint",
        _DOCUMENTS,
    ),
    Point(
        "local program",
        whole,
        "manual",
        rb"(?:usr/local/s?bin|opt|root|home/[^/]+|srv|app|workspace|tmp|var/tmp|dev/shm)/(?>.*/)?[^/]*+(?:(?<=\.sh)|(?<=\.bash))"
        rb"|usr/local/s?bin/[^/]+",
    ),
)
"""The first that matches a path counts."""

PATHS = (
    rb"(?s:\A(?:"
    + b"|".join(b"(?:" + p.path + b")" for p in POINTS if p.path and not p.path.startswith(_ANYWHERE))
    + rb")\Z|\A"
    + _FOLDERS
    + b"(?:"
    + b"|".join(p.name_pattern for p in POINTS if p.name)
    + rb")\Z)"
)
"""Any of them, anchored at both ends and cheap to be asked of a million paths; `place` says which, and if at all."""


def point(path: bytes) -> Point | None:
    """The launch point that a path in a layer is."""
    return next((p for p in POINTS if p.matches(path)), None)


SCRIPT = Point("script", whole, "manual", installed=False)
"""Any shell script, wherever it lies."""

_STAGED = (
    Point("unit not yet installed", unit, "manual", name=rb"[^/]+\.(?:service|timer)", installed=False),
    Point(
        "supervisor program not yet installed",
        keyed("command", header="[program:"),
        "manual",
        name=rb"[^/]+\.(?:ini|conf)",
        holds=(b"[program:",),
        installed=False,
    ),
    Point("crontab not yet installed", user_crontab, "manual", name=rb"[^/]*cron[^/]{0,20}", installed=False),
)


def staged(path: bytes) -> Point | None:
    """What a file would start if it were put where its like are read from."""
    return next((p for p in _STAGED if p.matches(path)), None)


def written(path: str) -> Point | None:
    """The launch point that a path in a script names; a home folder is taken for root's."""
    home = re.sub(r"^(?:~\w*|\$HOME|\$\{HOME\})(?=/)", "/root", path)
    raw = home.lstrip("/").encode("utf-8", "surrogateescape")
    found = point(raw)
    return staged(raw) if found is None or found.what == "local program" else found


def named(what: str) -> Point | None:
    """The launch point, installed or staged, of that name."""
    return next((p for p in (*POINTS, *_STAGED, SCRIPT) if p.what == what), None)
