"""Shell statements as the commands they come to, within bounds: no shell runs, and nothing outside the text is known.

Variables, arrays, functions and aliases of the same text are put in, wrappers such as nohup and sudo taken off, and text
is followed into the shells, files and hosts it is handed to. Sources: POSIX.1-2024, chapter 2; bash(1), EXPANSION.
"""

import re
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from scanner.detectors.launchers import filters, linewise, points, wrappers
from scanner.detectors.launchers.lines import LINE, Origin, Script
from scanner.detectors.launchers.syntax import CLOSE, OPEN, Here, Parse, Statement, heredocs

DEEP = 4
"""Shells within shells: `sh -c`, `eval`, text piped to a shell."""
CALLS = 12
"""Functions that call functions."""
AGAIN = 16
"""Calls of one function that are read anew, if it uses its arguments."""
WRAPPED = 32
"""Wrappers around one command."""
EXPANDED = LINE
"""Characters of one word after variables are put in."""
EXPANSION = 4 << 20
"""Characters that variables may add to one text; after that they stay as written."""
COMMANDS = 20_000
"""Commands read of one file: no honest script has so many."""
SAID = 1 << 20
"""Characters of all commands of one file together."""
EXPORTED = 50
"""Exported variables that are shown with each command."""
DOWNLOADS = 500
"""Files remembered that a text fetches."""
STDIN = 1 << 16
"""Characters that are kept of what a command reads."""


@dataclass(frozen=True, slots=True)
class Command:
    """One simple command as it would run: wrappers such as nohup and sudo taken off, known variables put in.

    `line` is where it begins, from 1; `folder` the last absolute folder the text changed to, "" if none. `environment`
    has what was set for it, and what the text exported that changes how programs connect or load; `through` the
    wrappers taken off, outermost first. `stdin` is what it reads, where the text says it and it is a program that
    reads orders. `remote` if it would run on another host; `into` is the file that the text is written to, not run yet.
    `sockets` are redirections to bash's /dev/tcp and /dev/udp, as operator and path. `fetched` is the address from which
    its orders come, as far as it reads them, is given them as a word or runs them as a file (`curl … | sh`, `sh -c "$(curl …)"`, `$(curl …)`),
    "" where none says it; its program is `$()` where what was fetched is the command itself.
    """

    argv: tuple[str, ...]
    line: int
    folder: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    background: bool = False
    through: tuple[str, ...] = ()
    stdin: str = ""
    remote: bool = False
    into: str = ""
    sockets: tuple[tuple[str, str], ...] = ()
    fetched: str = ""

    @property
    def program(self) -> str:
        return self.argv[0]

    @property
    def name(self) -> str:
        return self.argv[0].rsplit("/", 1)[-1]

    @property
    def path(self) -> str:
        """The program's path, a relative one put behind the folder; a bare name stays bare."""
        if self.program.startswith("/") or "/" not in self.program or not self.folder:
            return self.program
        return f"{self.folder.rstrip('/')}/{self.program.removeprefix('./')}"

    def __str__(self) -> str:
        return " ".join(self.argv)


@dataclass(frozen=True, slots=True)
class Ran:
    """The commands, by lines; and what was cut off, in words."""

    commands: tuple[Command, ...]
    cut: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Said:
    """Text that a command wrote, and where it stands in the file; of text that it fetched, from where."""

    text: str
    origin: Origin
    fetched: str = ""


@dataclass(frozen=True, slots=True)
class _Around:
    """What the commands of a text inherit from the one that starts it."""

    environment: tuple[tuple[str, str], ...] = ()
    background: bool = False
    through: tuple[str, ...] = ()
    remote: bool = False
    into: str = ""
    stdin: tuple[_Said, ...] = ()
    sockets: tuple[tuple[str, str], ...] = ()


@dataclass
class _State:
    """What is known while one file is read."""

    parse: Parse
    slow: type[Exception]
    deadline: float
    folder: str = ""
    downloads: dict[str, str] = field(default_factory=dict)
    fetches: dict[str, str] = field(default_factory=dict)
    """Variables that hold what was fetched, and from where."""
    room: int = EXPANSION
    left: int = SAID
    ids: Iterator[int] = field(default_factory=lambda: count(1))
    variables: dict[str, str | tuple[str, ...]] = field(default_factory=lambda: {"IFS": " \t\n"})
    exported: dict[str, None] = field(default_factory=dict)
    environment: tuple[tuple[str, str], ...] = ()
    streams: dict[int, list[_Said]] = field(default_factory=dict)
    heres: dict[int, tuple[Here, Origin]] = field(default_factory=dict)
    functions: dict[str, list[tuple[Statement, Origin, int, "_Around"]]] = field(default_factory=dict)
    called: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    aliases: dict[str, str] = field(default_factory=dict)
    found: list[Command] = field(default_factory=list)
    cut: dict[str, None] = field(default_factory=dict)
    late: bool = False
    nested: int = 0
    steps: int = 0


class _Full(Exception):
    """No more commands are taken."""


_PATIENT = 1e6
_OFTEN = 64
"""Statements after which the clock is looked at: the processor's time of this thread, the same on a busy machine."""

_ASSIGN = re.compile(r"([A-Za-z_]\w{0,60})(\[[^\]]{0,40}\])?(\+?)=(.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w{0,60}")
_SHELLS = frozenset("sh bash dash ash zsh ksh ksh93 mksh lksh pdksh fish rbash yash csh tcsh".split())
_TEXT_RUNNERS = frozenset("su script ssh-agent parallel sg scriptreplay".split())
_READERS = re.compile(r"(?:python|pypy|perl|ruby|node|nodejs|php|lua|tclsh|Rscript)[\d.]*")
"""Interpreters that read their program from standard input, or take it as a word."""
_ORDERS = {"python": re.compile(r"-[A-Za-z]*c"), "pypy": re.compile(r"-[A-Za-z]*c"), "php": re.compile(r"-r|--run")}
_ORDERS_OF_OTHERS = re.compile(r"-[A-Za-z]*[eE]|-p|--eval|--print")
"""What the word behind is a program for: the interpreters' manual pages."""
_INPUT = frozenset(("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "/dev/fd/63"))
_READER_VALUED = re.compile(r"-[WXIr]|--require")
_SHELL_VALUED = re.compile(r"[-+][A-Za-z]*[oO]|--rcfile|--init-file")
_PROGRAMS = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
_PLACED = {"mv": "tS", "cp": "tS", "ln": "tS", "install": "mogtS"}
"""What puts a file elsewhere, and its options that take a word: coreutils' manual."""
_DECLARES = frozenset("export readonly local declare typeset setenv set".split())
_INTERPRETERS = re.compile(
    r"(?:python|pypy|perl|ruby|node|nodejs|php|lua|tclsh|expect|osascript|ftp|sftp|nc|ncat|socat)[\d.]*"
)
_CONNECTS = re.compile(
    r"(?i)SSHPASS|SSH_\w+|AUTOSSH_\w+|LD_\w+|\w*_proxy|GIT_(?:SSH|PROXY|CONFIG|ASKPASS|EXEC_PATH|TEMPLATE_DIR)\w*|RSYNC_RSH|CVS_RSH|"
    r"BASH_ENV|ENV|PROMPT_COMMAND|PYTHON(?:PATH|STARTUP|HOME)|NODE_OPTIONS|PERL5\w+|RUBYOPT|DOCKER_HOST|KUBECONFIG|"
    r"NGROK_\w+|TUNNEL_\w+|TS_\w+|FRP_\w+|CHISEL_\w+|TORSOCKS_\w+|PROXYCHAINS_\w+|DISPLAY_?HOST"
)
_RUN_LATER = frozenset({"PROMPT_COMMAND", "GIT_SSH_COMMAND", "GIT_PROXY_COMMAND", "RSYNC_RSH"})
_SSH_VALUED = frozenset("BbcDEeFIiJLlmMOopPQRSWw")
_COMMAND_OPTION = re.compile(r"-[a-zA-Z]*c|--command")
_HELD = re.compile(
    r"\s*\$(?:(?P<plain>[A-Za-z_]\w{0,60})|\{(?P<braced>[A-Za-z_]\w{0,60})(?:[:#%/^,@?+-][^{}]{0,200})?\})"
)
_WHOLE_STREAM = re.compile(rf"{OPEN}([<>]?)(\d{{1,7}}){CLOSE}")
_BRACES = re.compile(r"\$\{|\}")
_INTEGER = re.compile(r"-?[0-9]{1,6}")
_POSITIONAL = ("@", "*", *map(str, range(1, 10)))
_UNKNOWN = "$()"
_PROSE = re.compile(
    r"(?i).*\.(?:md|txt|json|ya?ml|toml|conf|cfg|ini|html?|css|log|rst|xml|py|js|ts|c|h|cc|cpp|go|rs|java|rb|pl|php|sql|csv|pem|key|"
    r"pub|crt|list|repo|gpg|asc|desktop|properties|lua|vim|el|tex|svg|rules|socket|mount|target|cnf|patch|diff|lock|in|ac|am|mk|env)"
)
_SILENT = re.compile(r"-[A-Za-z]{0,9}[qcL][A-Za-z]{0,9}|--quiet|--silent|--count")
"""grep that says only whether, or how often."""
_KEYS = frozenset(("Enter", "C-m", "KPEnter", "^M"))
_NOWHERE = frozenset(("/dev/null", "/dev/stderr", "/dev/stdout", "/dev/tty", "/dev/console", "-"))

_PIECES = r"""
    |\$(?P<name>[A-Za-z_]\w{0,60}|[0-9@*\#?$!-])
    |\$\{(?P<plain>[A-Za-z_]\w{0,60}|[0-9@*\#])\}
    |(?P<brace>\$\{)"""
_STREAM = rf"|{OPEN}(?P<kind>[<>]?)(?P<stream>\d{{1,7}}){CLOSE}|(?P<other>.)"
_UNQUOTED = re.compile(
    rf"""(?P<text>[^\\'"${OPEN}]+)|\$?'(?P<single>[^']*)'|(?P<double>\$?")|\\(?P<escaped>.){_PIECES}{_STREAM}""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(
    rf"""(?P<text>[^\\"${OPEN}]+)|(?P<double>")|\\(?P<escaped>[$`"\\\n]){_PIECES}{_STREAM}""", re.VERBOSE | re.DOTALL
)
_SPECIAL = re.compile(rf"""[\\'"${OPEN}]""")
_ANSI = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|([0-7]{1,3})|(.))", re.DOTALL)
_ANSI_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
_CHOICE = re.compile(r"\{([^{}$'\"\\]*,[^{}$'\"\\]*)\}")
_RAW_WORD = re.compile(r"""\#[^\n]*|(?:\\.|\$?"(?:[^"\\]|\\.)*+"|\$?'[^']*+'|[^\s"'\\])+|["'\\]""", re.DOTALL)
_PARAMETER = re.compile(
    r"(?P<length>\#?)(?P<indirect>!?)(?P<name>[A-Za-z_]\w{0,60}|[0-9@*])(?P<index>\[[^\]]{0,40}\])?(?P<rest>.*)",
    re.DOTALL,
)
_ARGUMENTS = re.compile(r"\$(?:\{?[1-9@*])")

_IN_HERE = re.compile(r"\$\(([^()]{0,4000})\)|`([^`]{0,4000})`")


def commands(text: str) -> Iterator[Command]:
    """Every command of the text, read by lines; never raises. Takes a second for each few megabytes: bound the text."""
    yield from run((Script(text),), linewise.statements).commands


def run(scripts: Iterable[Script], parse: Parse, seconds: float = _PATIENT, slow: type[Exception] = _Full) -> Ran:
    """The commands of a file's scripts, which share their variables.

    Where `parse` raises `slow`, the rest is read by lines, and that is told as cut; so is what is left after `seconds`.
    """
    state = _State(parse, slow, time.thread_time() + seconds)
    try:
        for script in scripts:
            state.folder = ""
            _text(state, script.text, script.origin, 0, _Around())
        _uncalled(state)
    except _Full:
        pass
    return Ran(tuple(sorted(state.found, key=lambda c: c.line)), tuple(state.cut))


def unwrap(argv: tuple[str, ...], line: int = 1, folder: str = "") -> Iterator[Command]:
    """The commands that a list of arguments comes down to, and those in text that it hands to a shell."""
    state = _State(linewise.statements, _Full, time.thread_time() + _PATIENT, folder)
    try:
        _words(state, argv, Origin(line, line), 0, _Around(), ())
        _uncalled(state)
    except _Full:
        pass
    yield from state.found


def _text(state: _State, text: str, origin: Origin, depth: int, around: _Around) -> None:
    """Run through a piece of text; functions wait until they are called."""
    if depth > DEEP:
        state.cut["shells within shells, deeper than they are followed"] = None
        return
    if depth:
        state.room -= len(text)
        if state.room < 0:
            state.cut["more text from variables and packed words than is read"] = None
            return
    text, heres = heredocs(text.replace("\0", ""), state.ids)
    for key, here in heres.items():
        last = here.line + here.text.count("\n") - 1
        state.heres[key] = here, Origin(here.line, max(here.line, last)).within(origin)
        if here.expands and ("$(" in here.text or "`" in here.text):
            for found in _IN_HERE.finditer(here.text):
                at = origin.at(here.line)
                _text(state, found[1] or found[2] or "", Origin(at, at), depth + 1, around)
    for statement in _statements(state, text):
        if statement.function:
            state.functions.setdefault(statement.function, []).append((statement, origin, depth, around))
        else:
            _statement(state, statement, origin, depth, around)


def _statements(state: _State, text: str) -> Sequence[Statement]:
    if not state.late:
        try:
            return state.parse(text, state.ids)
        except state.slow:
            state.late = True
            state.cut["shell text that takes too long to take apart; it was read line by line"] = None
    return linewise.statements(text, state.ids)


def _statement(state: _State, statement: Statement, origin: Origin, depth: int, around: _Around) -> None:
    state.steps += 1
    if not state.steps % _OFTEN and time.thread_time() > state.deadline:
        state.cut["shell text that takes too long to follow; the rest was not read"] = None
        raise _Full
    where = Origin(origin.at(statement.line), origin.at(statement.last))
    words, at, own = statement.words, 0, []
    while at < len(words) and (assigned := _ASSIGN.fullmatch(words[at])):
        own.append(assigned)
        at += 1
    if at == len(words):
        for assigned in own:
            _assign(state, assigned, where, depth, around)
        return
    head = words[at]
    if head in _DECLARES:
        _declare(state, head, words[at + 1 :], where, depth, around)
        return
    if head == "alias":
        _alias(state, words[at + 1 :], where, depth, around)
        return
    argv = tuple(field for word in words[at:] for field in _expand(state, word))
    if not argv:
        return
    for_it = tuple((a[1], "".join(_expand(state, a[4], False))) for a in own)
    inherits = around
    if for_it or state.environment or statement.background:
        inherits = replace(
            around,
            environment=_merged(around.environment, state.environment, for_it),
            background=around.background or statement.background,
        )
    stdin = _stdin(state, statement, where, around)
    if sockets := _sockets(state, statement):
        inherits = replace(inherits, sockets=sockets)
        if argv[0] in ("echo", "printf", ":", "true"):
            _tell(state, argv, where, inherits, ())
    if argv[0] in state.functions:
        _call(state, argv, statement, where, depth, around)
    elif (meant := state.aliases.pop(head, None)) is not None:
        # gone while it is put in: an alias of its own name is the program then
        _text(state, " ".join((meant, *map(shlex.quote, argv[1:]))), where, depth + 1, inherits)
        state.aliases[head] = meant
    else:
        said = _words(state, argv, where, depth, inherits, stdin)
        if said:
            _flow(state, statement, said, depth, around)


def _call(state: _State, argv: tuple[str, ...], call: Statement, where: Origin, depth: int, around: _Around) -> None:
    """A function's body, with these arguments if it uses any; not again if nothing new would come of it."""
    body, before = state.functions[argv[0]], state.called.get(argv[0], 0)
    uses = any(_ARGUMENTS.search(word) for statement, *_ in body for word in statement.words)
    if state.calls >= CALLS or (before and (not uses or before >= AGAIN)):
        if uses and len(argv) > 1:
            _words(state, argv[1:], where, depth, around, ())
        return
    state.called[argv[0]] = before + 1
    kept = {name: state.variables.get(name) for name in _POSITIONAL}
    state.variables.update(zip(_POSITIONAL[2:], argv[1:], strict=False))
    state.variables["@"] = state.variables["*"] = argv[1:]
    state.calls += 1
    for statement, origin, deep, inner in body:
        state.streams.pop(statement.sink, None)
        joined = replace(
            statement,
            source=statement.source or call.source,
            sink=statement.sink or call.sink,
            redirects=(*statement.redirects, *call.redirects),
            background=statement.background or call.background,
        )
        _statement(state, joined, origin, deep, inner)
    state.calls -= 1
    for name, value in kept.items():
        if value is None:
            state.variables.pop(name, None)
        else:
            state.variables[name] = value


def _uncalled(state: _State) -> None:
    """Functions that nothing here calls, as they stand: another file may."""
    for name in list(state.functions):
        if name not in state.called:
            state.called[name] = 1
            for statement, origin, depth, around in state.functions[name]:
                _statement(state, statement, origin, depth, around)


def _declare(state: _State, head: str, words: Sequence[str], where: Origin, depth: int, around: _Around) -> None:
    """export, local and their like; csh's setenv and set; fish's set."""
    options = "".join(w for w in words if w.startswith("-") and len(w) < 8)
    exports = head in ("export", "setenv") or "x" in options
    named = [w for w in words if not w.startswith("-")]
    if head in ("set", "setenv") and len(named) > 1 and _NAME.fullmatch(named[0]):
        values = tuple(f for w in named[1:] if w != "=" for f in _expand(state, w))
        state.variables[named[0]] = values if len(values) > 1 else "".join(values)
        named = named[:1]
    elif head == "set":
        if "--" in words:
            values = tuple(f for w in words[list(words).index("--") + 1 :] for f in _expand(state, w))
            state.variables["@"] = state.variables["*"] = values
            state.variables.update(zip(_POSITIONAL[2:], values, strict=False))
        return
    for word in named:
        assigned = _ASSIGN.fullmatch(word) or _ASSIGN.fullmatch("".join(_expand(state, word)))
        if assigned:
            _assign(state, assigned, where, depth, around)
        if exports:
            _export(state, assigned[1] if assigned else word)


def _export(state: _State, name: str) -> None:
    """From here on every command has the variable, if it is one that changes how programs connect or load."""
    if name in state.exported or not _CONNECTS.fullmatch(name):
        return
    if len(state.exported) >= EXPORTED:
        state.cut["more exported variables than are kept"] = None
        return
    state.exported[name] = None
    _renew(state)


def _renew(state: _State) -> None:
    state.environment = tuple(
        (name, value if isinstance(value, str) else " ".join(value))
        for name in state.exported
        if (value := state.variables.get(name)) is not None
    )


def _assign(state: _State, found: re.Match[str], where: Origin, depth: int, around: _Around) -> None:
    name, index, adds, raw = found[1], found[2], found[3], found[4]
    value: str | tuple[str, ...]
    if not adds:
        state.fetches.pop(name, None)
    if raw.startswith("(") and raw.endswith(")"):
        inside = (w.group() for w in _RAW_WORD.finditer(raw, 1, len(raw) - 1))
        value = tuple(f for w in inside if not w.startswith("#") for f in _expand(state, w))
    else:
        value = "".join(_expand(state, raw, False))
        if (value == _UNKNOWN or _is_stream(value)) and not adds:
            state.variables.pop(name, None)
            if (url := _source(state, value)) and len(state.fetches) < DOWNLOADS:
                state.fetches[name] = url
            return
    before = state.variables.get(name)
    if adds or index:
        if isinstance(before, tuple) or isinstance(value, tuple) or index:
            value = (*_fields(before), *_fields(value))
        else:
            value = (before or "") + value
    size = len(value) if isinstance(value, str) else sum(map(len, value)) + len(value)
    if size > EXPANDED and adds:
        state.cut["variables larger than are kept"] = None
        return
    state.variables[name] = value
    if name in state.exported:
        _renew(state)
    if name in _RUN_LATER and isinstance(value, str):
        _text(state, value, where, depth + 1, around)


def _fields(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else value


def _alias(state: _State, words: Sequence[str], where: Origin, depth: int, around: _Around) -> None:
    """What an alias stands for runs when its name is typed."""
    for word in words:
        name, sign, _ = word.partition("=")
        if sign and len(name) <= 60:
            meant = "".join(_expand(state, word[len(name) + 1 :], False))
            state.aliases[name] = meant
            _text(state, meant, where, depth + 1, around)


def _stdin(state: _State, statement: Statement, where: Origin, around: _Around) -> tuple[_Said, ...]:
    """What the text says that the statement reads."""
    for operator, target in statement.redirects:
        kind = operator.lstrip("0")
        if kind == "<<<":
            return (_written(state, " ".join(_expand(state, target, False)) + "\n", where),)
        if kind == "<" and (found := _WHOLE_STREAM.fullmatch(target)):
            key = int(found[2])
            if key in state.heres:
                here, origin = state.heres[key]
                return (_Said(_expand_here(state, here), origin),)
            return tuple(state.streams.get(key, ()))
        if kind == "<" and state.downloads:
            url = state.downloads.get(_whole(state, "".join(_expand(state, target, False))))
            if url is not None:
                return (_Said("", where, url),)
    if statement.source:
        return tuple(state.streams.get(statement.source, ()))
    return around.stdin


def _sockets(state: _State, statement: Statement) -> tuple[tuple[str, str], ...]:
    """Redirections that open a connection: bash(1), REDIRECTION."""
    return tuple(
        (operator, path[:300])
        for operator, target in statement.redirects
        if "/dev/" in target or "$" in target
        if (path := "".join(_expand(state, target, False))).startswith(("/dev/tcp/", "/dev/udp/"))
    )


def _flow(state: _State, statement: Statement, said: Sequence[_Said], depth: int, around: _Around) -> None:
    """What a command wrote goes to a file, or on to the next command."""
    for operator, target in statement.redirects:
        if ">" not in operator or operator.startswith("2"):
            continue
        if operator.endswith("&") and target.isdigit():
            return
        if found := _WHOLE_STREAM.fullmatch(target):
            state.streams.setdefault(int(found[2]), []).extend(said)
        else:
            _write(state, "".join(_expand(state, target, False)), said, depth, around)
        return
    if statement.sink:
        state.streams.setdefault(statement.sink, []).extend(said)


def _write(state: _State, path: str, said: Sequence[_Said], depth: int, around: _Around) -> None:
    """Text that becomes a file: read as what the file would be."""
    if path in _NOWHERE or path.startswith(("/dev/", "/proc/", "/sys/")):
        return
    whole = path if path.startswith(("/", "~", "$")) or not state.folder else f"{state.folder.rstrip('/')}/{path}"
    if (url := next((one.fetched for one in said if one.fetched), "")) and not any(one.text for one in said):
        _keep(state, path, url)
    place = points.written(whole)
    inside = replace(around, into=whole[:4096], stdin=())
    for one in said:
        if place is not None:
            for script in place.scripts(one.text, whole.encode("utf-8", "surrogateescape")):
                _text(state, script.text, script.origin.within(one.origin), depth + 1, inside)
        elif not _PROSE.fullmatch(whole) and points.is_shell(one.text):
            _text(state, points.without_times(one.text), one.origin, depth + 1, inside)


def _words(
    state: _State, argv: tuple[str, ...], where: Origin, depth: int, around: _Around, stdin: tuple[_Said, ...]
) -> Sequence[_Said]:
    """One command, seen through what wraps it; what it writes, as far as the text alone says it."""
    for _ in range(WRAPPED):
        if not argv or not argv[0]:
            return ()
        name = argv[0].rsplit("/", 1)[-1]
        if name in ("cd", "pushd", "chdir"):
            _change(state, argv)
            return ()
        if name in ("echo", "printf"):
            return (_written(state, filters.spoken(name, argv[1:]), where),)
        if name in ("eval", "trap"):
            text = " ".join(argv[1:]) if name == "eval" else argv[1] if len(argv) > 2 else ""
            if name == "eval" and (url := _source(state, text, whole=True)):
                _tell(state, argv, where, around, (), url)
                return ()
            _text(state, text, where, depth + 1, replace(around, stdin=stdin))
            return ()
        if name == "command" and argv[1:2] in (("-v",), ("-V",)):
            break
        if name in _SHELLS or name in _TEXT_RUNNERS:
            if (script := _script(argv)) is not None:
                if url := _source(state, script, whole=True):
                    _tell(state, argv, where, around, (), url)
                    return ()
                if name in _TEXT_RUNNERS:
                    around = replace(around, through=(*around.through, name))
                _text(state, script, where, depth + 1, replace(around, stdin=stdin))
                return ()
            if (peeled := wrappers.peel(argv)) is None:
                if name == "su" and stdin:
                    around = replace(around, through=(*around.through, name))
                    argv = ("sh",)
                break
        else:
            peeled = wrappers.peel(argv)
            if peeled is None:
                if stdin and name in ("sudo", "doas") and {"-s", "-i", "--shell", "--login"} & set(argv):
                    around = replace(around, through=(*around.through, name))
                    argv = ("sh",)
                break
        around = replace(
            around,
            environment=_merged(around.environment, peeled.environment),
            background=around.background or peeled.detached,
            through=(*around.through, name),
        )
        if peeled.text is not None:
            _text(state, peeled.text, where, depth + 1, replace(around, stdin=stdin))
            return ()
        argv = _with_input(state, argv, peeled.argv, stdin) if name == "xargs" and stdin else peeled.argv
    if not argv or not argv[0] or argv[0] == _UNKNOWN:
        return ()
    if not around.into and argv[1:2] != ("in",) and (url := _source(state, argv[0])):
        _tell(state, argv, where, around, (), url)  # `in`: the words of a `case` that was read by lines
        return ()
    if _is_stream(argv[0]):
        return ()
    if argv[0] in ("send-keys", "send", "stuff") and around.through:
        typed = [w for i, w in enumerate(argv[1:]) if w[:1] != "-" and argv[i] != "-t" and w not in _KEYS]
        _text(state, " ".join(typed).replace("\\n", "\n"), where, depth + 1, replace(around, stdin=()))
        return ()
    _tell(state, argv, where, around, stdin)
    return _onward(state, argv, where, depth, around, stdin)


def _with_input(
    state: _State, argv: tuple[str, ...], inner: tuple[str, ...], stdin: tuple[_Said, ...]
) -> tuple[str, ...]:
    """What xargs runs: with what it reads in place of -I's word, else behind; what was fetched only where a shell or an interpreter takes it."""
    words = tuple(" ".join(one.text for one in stdin)[:LINE].split()[:100])
    if not words and _fetched(state, (), stdin) and any(_takes_orders(word.rsplit("/", 1)[-1]) for word in inner):
        key = next(state.ids)
        state.streams[key] = list(stdin)
        words = (f"{OPEN}{key}{CLOSE}",)
        before = argv[: len(argv) - len(inner)]
        for at, word in enumerate(before):
            mark = (
                before[at + 1]
                if word in ("-I", "-J") and at + 1 < len(before)
                else word[2:]
                if word[:2] == "-I"
                else ""
            )
            mark = word.partition("=")[2] or "{}" if word == "-i" or word.startswith("--replace") else mark
            if mark:
                return tuple(word.replace(mark, words[0]) for word in inner)
    return (*inner, *words)


def _takes_orders(name: str) -> bool:
    return name in _SHELLS or name in (".", "source", "eval") or _READERS.fullmatch(name) is not None


def _tell(
    state: _State,
    argv: tuple[str, ...],
    where: Origin,
    around: _Around,
    stdin: tuple[_Said, ...],
    fetched: str = "",
) -> None:
    name = argv[0].rsplit("/", 1)[-1]
    kept = ""
    if stdin and _INTERPRETERS.fullmatch(name):
        kept = "".join(one.text for one in stdin)
        if len(kept) > STDIN:
            kept = kept[:STDIN]
            state.cut["more text for one command than is kept"] = None
    fetched = fetched or _fetched(state, argv, stdin)
    argv = tuple(_WHOLE_STREAM.sub(_as_file, word) if OPEN in word else word for word in argv)
    state.left -= sum(map(len, argv)) + len(kept) + len(around.into)
    if len(state.found) >= COMMANDS:
        state.cut[f"more than {COMMANDS} commands; the rest were not read"] = None
        raise _Full
    if state.left < 0:
        state.cut[f"commands of more than {SAID} characters; the rest were not read"] = None
        raise _Full
    state.found.append(
        Command(
            argv,
            where.first,
            state.folder,
            around.environment,
            around.background,
            around.through,
            kept,
            around.remote,
            around.into,
            around.sockets,
            fetched,
        )
    )


def _keep(state: _State, path: str, url: str) -> None:
    """A file has been fetched: whoever runs it later says from where."""
    if len(state.downloads) < DOWNLOADS:
        state.downloads[_whole(state, path)] = url


def _whole(state: _State, path: str) -> str:
    if path.startswith(("/", "~", "$")):
        return path
    return f"{state.folder.rstrip('/')}/{path.removeprefix('./')}"


def _fetched(state: _State, argv: tuple[str, ...], stdin: Sequence[_Said]) -> str:
    """The address that the orders of a command come from: what a shell or an interpreter reads or is given, a file that was fetched. Of no
    command, that of what is read. What a program merely works on is none."""
    if not argv:
        return next((one.fetched for one in stdin if one.fetched), "")
    name = argv[0].rsplit("/", 1)[-1]
    if not _takes_orders(name):
        places = [_whole(state, argv[0])] if "/" in argv[0] else [f"{folder}/{argv[0]}" for folder in _PROGRAMS]
        return next((state.downloads[place] for place in places if place in state.downloads), "")
    program = _program(argv)
    if program is not None:
        return _source(state, program)
    file = _operand(argv)
    if found := _WHOLE_STREAM.fullmatch(file):
        return _fetched(state, (), state.streams.get(int(found[2]), ())) if found[1] else ""
    if not file or file in _INPUT or (name in _SHELLS and "-s" in argv):
        return _fetched(state, (), stdin)
    return state.downloads.get(_whole(state, file), "")


def _program(argv: Sequence[str]) -> str | None:
    """The program that a shell or an interpreter is given as a word; None if it is given none."""
    name = argv[0].rsplit("/", 1)[-1]
    if name in _SHELLS:
        return _script(tuple(argv))
    orders = _ORDERS.get(name.rstrip("0123456789."), _ORDERS_OF_OTHERS) if _READERS.fullmatch(name) else None
    behind = (argv[at + 1] for at in range(1, len(argv) - 1) if orders is not None and orders.fullmatch(argv[at]))
    return next(behind, None)


def _operand(argv: Sequence[str]) -> str:
    """The first word that is no option of a shell or an interpreter, `-` included; "" if there is none, or it is the name of a module."""
    is_shell = argv[0].rsplit("/", 1)[-1] in _SHELLS
    words = iter(argv[1:])
    for word in words:
        if (_SHELL_VALUED if is_shell else _READER_VALUED).fullmatch(word):
            next(words, "")
        elif word == "-m" and not is_shell:
            return next(words, "")
        elif word == "-" or not word.startswith(("-", "+")):
            return word
    return ""


def file_run(argv: Sequence[str]) -> str:
    """The file that a shell, an interpreter or `source` runs; "" where its orders come otherwise, or it is none of these."""
    name = argv[0].rsplit("/", 1)[-1]
    if not _takes_orders(name) or _program(argv) is not None or (name in _SHELLS and "-s" in argv):
        return ""
    file = _operand(argv)
    return "" if file in _INPUT else file


def _is_stream(text: str) -> bool:
    """Whether the text begins with what some command fetched: only such a stream stays in a word without a kind."""
    found = _WHOLE_STREAM.match(text.lstrip())
    return found is not None and not found[1]


def _source(state: _State, text: str, whole: bool = False) -> str:
    """The address that a text begins with what was fetched from, or a variable that holds it; `whole`: and is nothing else."""
    text = text.strip()
    found = _WHOLE_STREAM.match(text)
    if found is not None:
        url = "" if found[1] else _fetched(state, (), state.streams.get(int(found[2]), ()))
    else:
        found = _HELD.match(text) if state.fetches else None
        url = state.fetches.get(found["plain"] or found["braced"], "") if found is not None else ""
    return url if found is not None and (not whole or found.end() == len(text)) else ""


def _written(state: _State, text: str, where: Origin) -> _Said:
    """What a command writes: text, or nothing but what was fetched."""
    url = _source(state, text, whole=True)
    return _Said("", where, url) if url else _Said(text, where)


def _as_file(found: re.Match[str]) -> str:
    return "/dev/fd/63" if found[1] else _UNKNOWN


def _onward(
    state: _State, argv: tuple[str, ...], where: Origin, depth: int, around: _Around, stdin: tuple[_Said, ...]
) -> Sequence[_Said]:
    """What a command does with text: a shell runs it, ssh runs it elsewhere, crontab and tee keep it, filters change it."""
    name = argv[0].rsplit("/", 1)[-1]
    plain = replace(around, stdin=()) if around.stdin else around
    if name in _SHELLS or name in (".", "source"):
        file = _operand(argv)
        if found := _WHOLE_STREAM.fullmatch(file):
            stdin = tuple(state.streams.get(int(found[2]), ()))
        elif file and file not in _INPUT and "-s" not in argv:
            return ()
        _read(state, stdin, depth, plain)
        return ()
    if name in ("ssh", "slogin", "autossh", "dbclient"):
        words = _remote(argv)
        elsewhere = replace(plain, remote=True, background=False, environment=(), through=())
        if words:
            _text(state, " ".join(words), where, depth + 1, replace(elsewhere, stdin=stdin))
        else:
            _read(state, stdin, depth, elsewhere)
        return ()
    if name == "crontab":
        for one in stdin:
            for script in points.user_crontab(one.text):
                inside = replace(plain, into="crontab")
                _text(state, script.text, script.origin.within(one.origin), depth + 1, inside)
        return ()
    if not stdin:
        path = filters.located(argv)
        if path is None and (download := filters.fetched(argv)) is not None:
            url, to = download
            if to == "-":
                return (_Said("", where, url),)
            _keep(state, to, url)
            return ()
        if state.downloads and name in ("cat", *_PLACED):
            return _passed(state, argv, name, where)
        return (_Said(path, where),) if path else ()
    if name in ("at", "batch") or argv[-1].rsplit("/", 1)[-1] in _SHELLS:
        _read(state, stdin, depth, plain)
        return ()
    if name == "tee":
        for file in argv[1:]:
            if not file.startswith("-"):
                _write(state, file, stdin, depth, around)
        return stdin
    changed, cut = filters.filtered(argv, "".join(one.text for one in stdin))
    if cut:
        state.cut["a packed script larger than is unpacked"] = None
    if changed is None:
        is_silent = name.endswith("grep") and any(map(_SILENT.fullmatch, argv[1:]))
        return stdin if name in filters.PASS and not is_silent else ()
    return (_Said(changed, Origin(where.first, where.first), _fetched(state, (), stdin)),)


def _passed(state: _State, argv: tuple[str, ...], name: str, where: Origin) -> Sequence[_Said]:
    """A file that was fetched is written out, or lies elsewhere from now on."""
    words, options = [], _PLACED.get(name, "")
    given = iter(argv[1:])
    for word in given:
        if not word.startswith("-"):
            words.append(word)
        elif len(word) == 2 and word[1] in options:
            next(given, "")
    if name == "cat":
        return tuple(_Said("", where, url) for word in words if (url := state.downloads.get(_whole(state, word))))
    if len(words) == 2 and (url := state.downloads.get(_whole(state, words[0]))) is not None:
        _keep(state, words[1], url)
        _keep(state, f"{words[1].rstrip('/')}/{words[0].rsplit('/', 1)[-1]}", url)
    return ()


def _read(state: _State, stdin: Sequence[_Said], depth: int, around: _Around) -> None:
    for one in stdin:
        _text(state, one.text, one.origin, depth + 1, around)


def _change(state: _State, argv: tuple[str, ...]) -> None:
    folder = next((w for w in argv[1:] if not w.startswith("-")), "")
    if folder:
        state.folder = (
            folder if folder.startswith("/") else f"{state.folder.rstrip('/')}/{folder.removeprefix('./')}"
        )[:4096]


def _script(argv: tuple[str, ...]) -> str | None:
    """The text behind `-c`, alone or among other letters."""
    for at in range(1, len(argv) - 1):
        if _COMMAND_OPTION.fullmatch(argv[at]):
            return argv[at + 1]
    return None


def _remote(argv: tuple[str, ...]) -> tuple[str, ...]:
    """What stands behind the host: getopt as in ssh(1), options may follow the host."""
    at, host = 1, False
    while at < len(argv):
        word = argv[at]
        if word == "--" and not host:
            at += 1
        elif word.startswith("-") and len(word) > 1:
            letter = next((i for i, c in enumerate(word[1:], 1) if c in _SSH_VALUED), 0)
            at += 2 if letter == len(word) - 1 else 1
        elif host:
            return argv[at:]
        else:
            host = True
            at += 1
    return ()


def _merged(*parts: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    given = [part for part in parts if part]
    return given[0] if len(given) == 1 else tuple(dict(pair for part in given for pair in part).items())


def _expand_here(state: _State, here: Here) -> str:
    """A here-document with its variables put in; its commands run where it stands."""
    if not here.expands or ("$" not in here.text and "\\" not in here.text and "`" not in here.text):
        return here.text
    return "\n".join("".join(_expand(state, line, False, True)) for line in here.text.split("\n"))


def _expand(state: _State, raw: str, split: bool = True, quoted: bool = False) -> list[str]:
    """A word as its fields: quotes off, variables and outputs that are known put in, the others left as they are.

    `split`: an unquoted variable is parted at blanks, as in a command; `quoted`: a line of a here-document.
    """
    if _SPECIAL.search(raw) is None:
        if split and raw[:1] == "{" and (choice := _CHOICE.fullmatch(raw)):
            return [word for word in choice[1].split(",") if word]
        return [raw]
    if state.room <= 0:
        state.cut["more text from variables and packed words than is read"] = None
        return [raw]
    fields: list[str] = []
    current: list[str] = []
    begun = False
    inside, at, size = quoted, 0, 0

    def add(value: str | tuple[str, ...], whole: bool) -> None:
        nonlocal begun, current, size
        many = value if isinstance(value, tuple) else (value,)
        size += sum(map(len, many))
        state.room -= sum(map(len, many))
        if whole or not split:
            joined = many if whole and split else (" ".join(many),)
            for number, one in enumerate(joined):
                if number:
                    fields.append("".join(current))
                    current = []
                current.append(one)
                begun = True
            return
        for number, one in enumerate(many):
            words = one.split()
            if current and (number or one[:1].isspace()):
                fields.append("".join(current))
                current = []
            for more, word in enumerate(words):
                if more:
                    fields.append("".join(current))
                    current = []
                current.append(word)
            if words and one[-1:].isspace():
                fields.append("".join(current))
                current = []

    while at < len(raw):
        token = (_QUOTED if inside else _UNQUOTED).match(raw, at)
        assert token is not None
        at, kind = token.end(), token.lastgroup
        if kind in ("text", "other"):
            current.append(token.group())
        elif kind == "single":
            text = token["single"]
            current.append(_ansi(text) if token.group().startswith("$") else text)
            begun = True
        elif kind == "double":
            if quoted:
                current.append('"')
            else:
                inside, begun = not inside, True
        elif kind == "escaped":
            current.append("" if token["escaped"] == "\n" else token["escaped"])
        elif kind in ("name", "plain"):
            value = state.variables.get(token[kind])
            if value is None:
                current.append(token.group())
            elif isinstance(value, tuple) and token[kind] not in "@*":
                add(value[0] if value else "", inside)
            else:
                add(" ".join(value) if token[kind] == "*" and inside else value, inside)
        elif kind == "brace":
            end = _closing(state, raw, at) if state.room > 0 and state.nested < DEEP else -1
            if end < 0:
                current.append(token.group())
            else:
                state.nested += 1
                value = _parameter(state, raw[at:end])
                state.nested -= 1
                if value is None:
                    current.append(raw[token.start() : end + 1])
                else:
                    add(value, inside)
                at = end + 1
        else:
            add(_output(state, token["kind"], int(token["stream"])), inside)
        if size > EXPANDED and size > len(raw):
            state.cut["words that variables make longer than are read"] = None
            break
    if current or begun:
        fields.append("".join(current))
    return fields or ([] if split else [""])


def _output(state: _State, kind: str, key: int) -> str:
    """What a substitution gives, where the text says it."""
    if kind:
        return f"{OPEN}{kind}{key}{CLOSE}"
    said = state.streams.get(key)
    if said is not None:
        text = "".join(one.text for one in said).rstrip("\n")
        return text if text or not _fetched(state, (), said) else f"{OPEN}{key}{CLOSE}"
    if key in state.heres:
        return state.heres[key][0].text.rstrip("\n")
    return _UNKNOWN


def _closing(state: _State, raw: str, at: int) -> int:
    """Where `${` ends, -1 if it does not within reason."""
    deep, end = 1, min(len(raw), at + 2000)
    for found in _BRACES.finditer(raw, at, end):
        if found.group() == "}":
            deep -= 1
            if not deep:
                state.room -= found.end() - at
                return found.start()
        elif found.group() == "${":
            deep += 1
    state.room -= end - at
    return -1


def _parameter(state: _State, inside: str) -> str | tuple[str, ...] | None:
    """What `${...}` gives; None where it cannot be said."""
    found = _PARAMETER.fullmatch(inside)
    if found is None:
        return None
    value = state.variables.get(found["name"])
    if found["indirect"]:
        value = state.variables.get(value) if isinstance(value, str) else None
    index, rest = found["index"], found["rest"]
    if isinstance(value, tuple) and index not in ("[@]", "[*]") and found["name"] not in "@*":
        number = int(index[1:-1]) if index and index[1:-1].isascii() and index[1:-1].isdigit() else 0
        value = value[number] if number < len(value) else None
    elif isinstance(value, tuple) and (index == "[*]"):
        value = " ".join(value)
    if found["length"]:
        return str(len(value)) if value is not None else None
    if not rest:
        return value
    sign = rest[:2] if rest[:2] in (":-", ":=", ":+", ":?") else rest[:1]
    word = rest[len(sign) :]
    if sign in (":-", ":=", "-", "="):
        if value:
            return value
        given = "".join(_expand(state, word, False))
        if sign in (":=", "="):
            state.variables[found["name"]] = given
        return given
    if sign in (":+", "+"):
        return "".join(_expand(state, word, False)) if value is not None else ""
    if sign in (":?", "?"):
        return value
    return _changed(state, value, rest) if isinstance(value, str) else value


def _changed(state: _State, value: str, rest: str) -> str:
    """Parts, replacements and cases of a value; of patterns only plain words are understood."""
    if rest[0] == ":":
        numbers = [int(n) if _INTEGER.fullmatch(n.strip()) else None for n in rest[1:].split(":")[:2]]
        begin = numbers[0] or 0
        begin = max(0, len(value) + begin) if begin < 0 else begin
        length = numbers[1] if len(numbers) > 1 else None
        return value[begin:] if length is None else value[begin : begin + length if length >= 0 else length]
    if rest[0] == "/":
        every = rest.startswith("//")
        old, _, new = rest[2 if every else 1 :].partition("/")
        old, new = "".join(_expand(state, old, False)), "".join(_expand(state, new, False))
        return value.replace(old, new[:100], -1 if every else 1)[:EXPANDED] if old else value
    if rest[0] in "#%":
        word = "".join(_expand(state, rest.lstrip("#%"), False))
        return value.removeprefix(word) if rest[0] == "#" else value.removesuffix(word)
    if rest[:2] in ("^^", ",,"):
        return value.upper() if rest[0] == "^" else value.lower()
    return value


def _ansi(text: str) -> str:
    """What $'...' means."""

    def one(found: re.Match[str]) -> str:
        number, base = (found[1] or found[2], 16) if found[3] is None else (found[3], 8)
        if number:
            return chr(int(number, base)) if int(number, base) not in range(0xD800, 0xE000) else "?"
        return _ANSI_LETTERS.get(found[4], found[4])

    return _ANSI.sub(one, text) if "\\" in text else text
