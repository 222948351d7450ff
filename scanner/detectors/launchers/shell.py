"""Shell text as simple commands, read tolerantly and within bounds: no shell, no expansion beyond variables of the same file.

Grammar: POSIX.1-2024, 2.10. A line that is not understood still gives its words.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

LINE = 1 << 16
"""Characters looked at together: a longer line is read in pieces."""
DEEP = 4
"""Shells within shells: `sh -c`, `eval`, `$( )`, text piped to a shell."""
EXPANDED = 4000
"""Characters of one word after variables are put in."""
EXPANSION = 4 << 20
"""Characters that variables may add to one text; after that they stay as written."""


@dataclass(frozen=True, slots=True)
class Command:
    """One simple command as it would run: wrappers such as nohup and sudo taken off, known variables put in.

    `line` is where it begins, from 1; `folder` the last absolute folder the text changed to, "" if none.
    """

    argv: tuple[str, ...]
    line: int
    folder: str = ""

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


_TOKEN = re.compile(
    r"""(?P<redirect>(?:\d|&)?(?:<<<|<<-?|>>|>\||[<>]&|[<>]))
    |(?P<operator>[;&|()]+)
    |(?P<word>(?:\\.|"(?:[^"\\]|\\.)*+"|'[^']*+'|[^\s;&|()<>"'\\]|["'\\])++)""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(r"""\\(.)|"((?:[^"\\]|\\.)*+)"|'([^']*+)'""", re.DOTALL)
_ASSIGN = re.compile(r"^([A-Za-z_]\w{0,60})\+?=(.*)$", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w{0,60})(?:(?::?[-=])([^{}$]{0,300}))?\}|([A-Za-z_]\w{0,60}))")
_SUBSTITUTION = re.compile(r"\$\(([^()]{0,4000})\)|`([^`]{0,4000})`")
_KEYWORDS = frozenset(
    "if then elif else fi do done while until for in case esac { } ! time function select [[ ]]".split()
)
_SHELLS = frozenset("sh bash dash ash zsh ksh mksh busybox".split())

# wrapper: (options that take a value, words of its own before the command)
_WRAPPERS: dict[str, tuple[frozenset[str], int]] = {
    "nohup": (frozenset(), 0),
    "exec": (frozenset({"-a"}), 0),
    "command": (frozenset(), 0),
    "builtin": (frozenset(), 0),
    "sudo": (frozenset("-u -g -h -p -C -r -t -T -U -D -R --user --group --host --prompt --chdir".split()), 0),
    "doas": (frozenset({"-u", "-C"}), 0),
    "env": (frozenset({"-u", "-C", "--unset", "--chdir"}), 0),
    "timeout": (frozenset({"-s", "-k", "--signal", "--kill-after"}), 1),
    "nice": (frozenset({"-n", "--adjustment"}), 0),
    "ionice": (frozenset({"-c", "-n", "-p", "--class", "--classdata"}), 0),
    "chrt": (frozenset({"-T", "-P", "-D"}), 1),
    "taskset": (frozenset(), 1),
    "numactl": (frozenset({"-N", "-m", "-i", "-C", "-l"}), 0),
    "setsid": (frozenset(), 0),
    "stdbuf": (frozenset({"-i", "-o", "-e"}), 0),
    "screen": (frozenset({"-S", "-c", "-e", "-h", "-s", "-t", "-T", "-p", "-L", "-Logfile"}), 0),
    "xargs": (frozenset({"-I", "-n", "-P", "-L", "-d", "-a", "-s", "-E"}), 0),
    "watch": (frozenset({"-n", "--interval"}), 0),
    "flock": (frozenset({"-w", "-E", "--timeout"}), 1),
    "chroot": (frozenset({"--userspec", "--groups"}), 1),
    "dumb-init": (frozenset({"-r", "--rewrite"}), 0),
    "tini": (frozenset({"-p", "-e"}), 0),
    "catatonit": (frozenset(), 0),
    "gosu": (frozenset(), 1),
    "su-exec": (frozenset(), 1),
    "runuser": (frozenset({"-u", "-g", "-G"}), 0),
    "setpriv": (frozenset(), 0),
    "unshare": (frozenset(), 0),
    "cpulimit": (frozenset({"-l", "-p", "-e", "-P", "--limit"}), 0),
    "systemd-run": (frozenset({"-p", "-u", "--unit", "--property", "-E"}), 0),
    "strace": (frozenset({"-o", "-e", "-p", "-s"}), 0),
    "tmux": (frozenset({"-L", "-S", "-f"}), 0),
    **dict.fromkeys(
        ("new-session", "new", "new-window", "neww", "split-window", "splitw"),
        (frozenset({"-s", "-n", "-c", "-t", "-x", "-y", "-F", "-e"}), 0),
    ),
    "proxychains": (frozenset({"-f"}), 0),
    "proxychains4": (frozenset({"-f"}), 0),
    "torsocks": (frozenset(), 0),
    "wine": (frozenset(), 0),
    "wine64": (frozenset(), 0),
}


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Lines joined where one ends in a backslash, with the number of the first, in pieces of at most LINE characters."""
    joined, begin = "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        begin = begin or number
        line = raw.removesuffix("\r")
        if line.endswith("\\") and len(joined) < LINE:
            joined += line[:-1] + " "
            continue
        whole = joined + line
        for at in range(0, len(whole) or 1, LINE):
            yield begin, whole[at : at + LINE]
        joined, begin = "", 0
    if joined:
        yield begin, joined


def _unquoted(word: str) -> str:
    if not any(c in word for c in "\\\"'"):
        return word
    return _QUOTED.sub(
        lambda m: m[1] or (re.sub(r'\\([$`"\\])', r"\1", m[2]) if m[2] is not None else m[3]) or "", word
    )


def simple_commands(line: str) -> tuple[list[list[str]], bool]:
    """The words of each command on a line, quotes taken off and redirections left out; a stray quote is a character.

    And whether anything goes on from one command to another or to a file.
    """
    found: list[list[str]] = [[]]
    feeds = target = False
    for token in _TOKEN.finditer(line):
        if token.lastgroup == "operator":
            feeds = feeds or "|" in token.group().replace("||", "")
            found.append([])
            target = False
        elif token.lastgroup == "redirect":
            feeds = feeds or token.group().endswith((">", ">|"))
            target = True
        elif target:
            target = False
        elif token.group().startswith("#"):
            break
        else:
            found[-1].append(_unquoted(token.group()))
    return [words for words in found if words], feeds


def commands(text: str) -> Iterator[Command]:
    """Every simple command of the text; never raises. Takes a second for each few megabytes: bound the text."""
    yield from _commands(text, _State({}, ""), 0, 1)


@dataclass
class _State:
    variables: dict[str, str]
    folder: str
    room: int = EXPANSION


def _commands(text: str, state: _State, depth: int, first: int) -> Iterator[Command]:
    for number, line in logical_lines(text):
        at = first + number - 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if depth < DEEP:
            for found in _SUBSTITUTION.finditer(line):
                yield from _commands(found[1] or found[2] or "", state, depth + 1, at)
        yield from _line(_SUBSTITUTION.sub("$()", line), state, depth, at)


def _line(line: str, state: _State, depth: int, at: int) -> Iterator[Command]:
    simple, feeds = simple_commands(line)
    decode = any(argv[0] == "base64" for argv in simple)
    for argv in simple:
        yield from _simple(argv, state, depth, at, feeds, decode)


def _simple(argv: list[str], state: _State, depth: int, at: int, feeds: bool, decode: bool) -> Iterator[Command]:
    while argv and (argv[0] in _KEYWORDS or argv[0].endswith(")")):
        argv = argv[1:]
    while argv and (assigned := _ASSIGN.match(argv[0])):
        state.variables[assigned[1]] = _expand(assigned[2], state)
        argv = argv[1:]
    if argv and argv[0] in ("export", "readonly", "local", "declare", "set", "setenv"):
        for word in argv[1:]:
            if assigned := _ASSIGN.match(word):
                state.variables[assigned[1]] = _expand(assigned[2], state)
        return
    # an unquoted variable that holds options splits into them, as in a shell
    spread: list[str] = []
    for word in argv:
        whole = _VARIABLE.fullmatch(word)
        expanded = _expand(word, state)
        spread += expanded.split() if whole and len(expanded.split()) > 1 else [expanded]
    yield from unwrap(tuple(spread), at, state.folder, depth, feeds, decode, state)


def _expand(word: str, state: _State) -> str:
    if "$" not in word or state.room <= 0:
        return word
    expanded = _VARIABLE.sub(
        lambda m: state.variables.get(m[1] or m[3], m[2] if m[2] is not None else m[0])[:EXPANDED], word[:LINE]
    )
    state.room -= len(expanded)
    return expanded[:EXPANDED] if len(expanded) > len(word) else expanded


def unwrap(
    argv: tuple[str, ...],
    line: int = 1,
    folder: str = "",
    depth: int = 0,
    feeds: bool = False,
    decode: bool = False,
    state: _State | None = None,
) -> Iterator[Command]:
    """The command that a list of arguments comes down to, and those in text that it hands to a shell.

    `feeds`: its output goes on to a file or another command, so what `echo` says may be a script.
    """
    state = state or _State({}, folder)
    for _ in range(16):
        if not argv or not argv[0]:
            return
        name = argv[0].rsplit("/", 1)[-1]
        if name == "cd" and len(argv) > 1:
            state.folder = (
                argv[1] if argv[1].startswith("/") else f"{state.folder.rstrip('/')}/{argv[1].removeprefix('./')}"
            )
            return
        if name in ("echo", "printf") and depth < DEEP:
            if feeds:
                said = " ".join(argv[1:])
                yield from _commands(_decoded(said) if decode else _uncron(said), state, depth + 1, line)
            return
        if name == "eval" and depth < DEEP:
            yield from _commands(" ".join(argv[1:]), state, depth + 1, line)
            return
        if name in _SHELLS or name in ("su", "script", "ssh-agent", "parallel"):
            script = next((argv[i + 1] for i in range(1, len(argv) - 1) if re.fullmatch(r"-[a-z]*c", argv[i])), None)
            if script is not None and depth < DEEP:
                yield from _commands(script, state, depth + 1, line)
                return
            if name == "busybox" and len(argv) > 1:
                argv = argv[1:]
                continue
            break
        if name == "start-stop-daemon":
            inner = next(
                (i for i, w in enumerate(argv) if w in ("-x", "--exec", "-a", "--startas") and i + 1 < len(argv)), None
            )
            joined = next((w.partition("=")[2] for w in argv if w.startswith(("--exec=", "--startas="))), None)
            rest = argv[argv.index("--") + 1 :] if "--" in argv else ()
            if inner is not None or joined:
                argv = (argv[inner + 1] if inner is not None else str(joined), *rest)
                continue
            break
        wrapper = _WRAPPERS.get(name)
        if wrapper is None:
            break
        rest = _after(argv, *wrapper)
        if not rest or rest == argv:
            break
        if len(rest) == 1 and " " in rest[0] and depth < DEEP:
            yield from _commands(rest[0], state, depth + 1, line)
            return
        argv = rest
    if argv and argv[0]:
        yield Command(argv, line, state.folder)


def _after(argv: tuple[str, ...], valued: frozenset[str], own: int) -> tuple[str, ...]:
    at, short = 1, argv[0].endswith("screen")
    while at < len(argv):
        word = argv[at]
        if word == "--":
            at += 1
            break
        if word in valued or (short and re.fullmatch(r"-\w*[S]", word)):
            at += 2
        elif word.startswith("-") or _ASSIGN.match(word):
            at += 1
        else:
            break
    return argv[at + own :]


def _decoded(text: str) -> str:
    """What `base64 -d` makes of the longest word; "" if it is none."""
    longest = max(text.split() or [""], key=len)[: 1 << 20]
    try:
        return base64.b64decode(longest, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


_CRON_FIELDS = re.compile(r"^\s*(?:@\w+|(?:[\d*/,A-Za-z-]+\s+){4}[\d*/,A-Za-z-]+)\s+(?=\S)")


def _uncron(text: str) -> str:
    r"""Lines that are about to become a crontab, without their times; `\n` as printf and echo -e write it."""
    return "\n".join(_CRON_FIELDS.sub("", line) for line in text.replace("\\n", "\n").split("\n")[:200])
