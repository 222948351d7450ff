"""ssh_config as ssh evaluates it: for each keyword the first value that applies to the host (ssh_config(5); readconf.c, ssh.c).

Judged as Debian's OpenSSH 9.2 judges it; keywords and criteria of later releases are taken too. Nothing is run, looked up or
opened: what only a command (`Match exec`), the network or the machine could decide is unknown, and is told.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from scanner.ssh import algorithms_ssh_config as algorithms
from scanner.ssh import keywords_ssh_config as words
from scanner.ssh.forward import Forward
from scanner.ssh.lexing import BadQuotes, delimited, fold, keyword, lines, split, trimmed
from scanner.ssh.patterns import address, list_matches, matches
from scanner.ssh.source import Problem, Source, Where

DEPTH = 16
"""Includes within includes, as in ssh."""
FILES = 1024
LINES = 100_000
BYTES = 1 << 20
PATTERNS = 20_000
INCLUDES = 4096
"""What is read of one configuration, its includes counted with it; more is told in `limits`."""
PROBLEMS = 100
COMPARISONS = 200_000
"""Patterns compared for IgnoreUnknown and SendEnv in one evaluation."""
NAME = 255
"""Characters of a host or user name that patterns are compared with."""

ALWAYS = 0
"""The block of what stands before any Host or Match."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition of a Match line, its name in lower case; `all`, `canonical` and `final` have no argument."""

    name: str
    argument: str = ""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """What holds until the next Host or Match. `parent` is the block whose Include brought it, which has to apply too.

    With a `problem` ssh refuses to run. `start` counts the directives that stand before it.
    """

    where: Where
    kind: Literal["always", "host", "match"]
    text: str
    parent: int | None = None
    patterns: tuple[str, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    problem: str | None = None
    start: int = 0

    @property
    def commands(self) -> tuple[str, ...]:
        """What its `Match exec` would run."""
        return tuple(criterion.argument for criterion in self.criteria if criterion.name == "exec")


@dataclass(frozen=True, slots=True)
class Directive:
    """One line that sets something. `keyword` is ssh -G's name for it, `values` what ssh makes of `text`, none if nothing."""

    where: Where
    keyword: str
    values: tuple[str, ...]
    text: str
    block: int = ALWAYS
    problem: str | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """A file with all that it includes. `problems`: lines for which ssh refuses to run; `limits`: what was not read."""

    source: bytes
    user_file: bool
    blocks: tuple[Block, ...]
    directives: tuple[Directive, ...]
    problems: tuple[Problem, ...] = ()
    limits: tuple[Problem, ...] = ()

    @property
    def fatal(self) -> Problem | None:
        """The first line for which ssh refuses to run, whatever the host."""
        return self.problems[0] if self.problems else None


@dataclass(frozen=True, slots=True)
class Client:
    """The account and machine that ssh runs on; None is not known, and what hangs on it stays as it is written."""

    user: str = "root"
    uid: int = 0
    home: str = "/root"
    hostname: str | None = None
    environment: Mapping[str, str] | None = None
    homes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """What holds for a keyword, in the words of ssh_config(5). A `where` of None is ssh's default."""

    keyword: str
    values: tuple[str, ...]
    where: Where | None = None
    block: int = ALWAYS
    forward: Forward | None = None

    @property
    def value(self) -> str:
        """Its words in one text; "" where nothing is set."""
        return " ".join(self.values)


@dataclass(frozen=True, slots=True)
class Effective:
    """What ssh would do for one host. `unknown`: what could not be decided here; such a Match counts as not matching.

    `applied` are the lines of the Host and Match blocks that hold. With `fatal` ssh refuses to run, and nothing of it counts.
    """

    host: str
    settings: Mapping[str, tuple[Setting, ...]]
    applied: tuple[Where, ...]
    unknown: tuple[Problem, ...] = ()
    fatal: Problem | None = None
    argument: str = ""

    def get(self, name: str) -> Setting:
        """The setting of a keyword or alias, in any case: the first where there are several, without values where none."""
        key = words.ALIASES.get(fold(name), fold(name))
        return next(iter(self.settings.get(key, ())), Setting(key, ()))

    def all(self, name: str) -> tuple[Setting, ...]:
        """All that accumulated, in ssh's order."""
        return self.settings.get(words.ALIASES.get(fold(name), fold(name)), ())

    @property
    def forwards(self) -> tuple[Setting, ...]:
        """Remote, local and dynamic forwardings."""
        return tuple(
            setting
            for name in words.SHOWN_NAMES
            for setting in self.settings.get(name, ())
            if setting.forward is not None
        )

    def dump(self) -> list[str]:
        """The lines that `ssh -G` of Debian's OpenSSH 9.2 prints, in its order."""
        return list(_dumped(self))


# Reading


def read_directive(name: str, text: str, where: Where, block: int = ALWAYS, *, command_line: bool = False) -> Directive:
    """One line's keyword and what follows it, checked. Host, Match and Include are the caller's, and not for command lines."""
    known = words.known(name)
    if not text:
        return Directive(where, fold(name), (), text, block, "nothing follows the keyword", known is None)
    try:
        args = split(text)
    except BadQuotes:
        return Directive(where, known.name if known else fold(name), (), text, block, "a quote is never closed")
    if command_line and fold(name) in ("host", "match", "include"):
        return Directive(where, fold(name), (), text, block, "it is not taken on a command line")
    if known is None:
        return Directive(where, fold(name), (), text, block, None, unknown=True)
    try:
        values, taken = known.read(args, text)
        if taken < len(args):
            return Directive(where, known.name, values, text, block, "more follows than it takes")
        if command_line and known.name == "proxyjump" and words.hops(values[0], strict=True) is None:
            return Directive(where, known.name, values, text, block, "it names a host or user that ssh does not take")
    except words.BadValue as e:
        return Directive(where, known.name, (), text, block, str(e))
    return Directive(where, known.name, values, text, block)


@dataclass(slots=True)
class _Reading:
    """A configuration as it grows."""

    user_file: bool
    include: Callable[[bytes], Sequence[Source]]
    blocks: list[Block]
    directives: list[Directive] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    limits: dict[str, Problem] = field(default_factory=dict)
    excused: list[str] = field(default_factory=list)
    files: int = 0
    lines: int = 0
    bytes: int = 0
    patterns: int = 0
    includes: int = 0
    comparisons: int = COMPARISONS

    def limit(self, where: Where, message: str) -> None:
        self.limits.setdefault(message, Problem(where, message))

    def problem(self, where: Where, message: str) -> None:
        if len(self.problems) < PROBLEMS:
            self.problems.append(Problem(where, message))
        else:
            self.limit(where, f"only the first {PROBLEMS} problems are told")


def parse(source: Source, include: Callable[[bytes], Sequence[Source]], user_file: bool) -> Config:
    """The file with its includes; never raises for any bytes.

    `include` is given a glob pattern and returns the files it names, sorted; the pattern is absolute, or begins with `~` in a
    user's file (relative ones were put behind ~/.ssh or /etc/ssh).
    """
    reading = _Reading(user_file, include, [Block(Where(source.path, 0), "always", "")])
    stack = [_File(_lines_within(source, reading), ALWAYS, ALWAYS, 0)]
    while stack:
        file = stack[-1]
        item = next(file.lines, None)
        if item is None:
            stack.pop()
            continue
        where, name, text = item
        match fold(name):
            case "host":
                file.block = _open_host(reading, where, text, file.base)
            case "match":
                file.block = _open_match(reading, where, text, file.base)
            case "include":
                found = _included(reading, where, text, file.block)
                if found and file.depth >= DEPTH:
                    _add(
                        reading,
                        Directive(where, "include", (), text, file.block, f"files are nested deeper than {DEPTH}"),
                    )
                    continue
                opened = [_File(_lines_within(one, reading), file.block, file.block, file.depth + 1) for one in found]
                stack.extend(reversed(opened))
            case _:
                _add(reading, read_directive(name, text, where, file.block))
    return Config(
        source.path,
        user_file,
        tuple(reading.blocks),
        tuple(reading.directives),
        tuple(reading.problems),
        tuple(reading.limits.values()),
    )


@dataclass(slots=True)
class _File:
    """A file being read: `base` is the block that included it, `block` the one its lines are in now."""

    lines: Iterator[tuple[Where, str, str]]
    base: int
    block: int
    depth: int


def _lines_within(source: Source, reading: _Reading) -> Iterator[tuple[Where, str, str]]:
    """The lines of a file that say something, as far as the bounds go: place, keyword, the rest."""
    if reading.files >= FILES:
        reading.limit(Where(source.path, 0), f"only {FILES} files are read")
        return
    reading.files += 1
    room = BYTES - reading.bytes
    data = source.data[:room]
    reading.bytes += len(data)
    if len(source.data) > room:
        data = data[: data.rfind(b"\n") + 1]
        reading.limit(Where(source.path, data.count(b"\n") + 1), f"only {BYTES >> 10} KiB are read")
    for number, line in lines(data):
        where = Where(source.path, number)
        if reading.lines >= LINES:
            reading.limit(where, f"only {LINES} lines are read")
            return
        reading.lines += 1
        name, text = keyword(trimmed(line))
        if name:
            yield where, name, text


def _cut(text: str) -> tuple[list[str], str | None]:
    """The arguments of a line, and why ssh would refuse them."""
    if not text:
        return [], "nothing follows the keyword"
    try:
        return split(text), None
    except BadQuotes:
        return [], "a quote is never closed"


def _open(reading: _Reading, block: Block) -> int:
    if block.problem is not None:
        reading.problem(block.where, f"{block.kind}: {block.problem}")
    reading.blocks.append(replace(block, start=len(reading.directives)))
    return len(reading.blocks) - 1


def _open_host(reading: _Reading, where: Where, text: str, base: int) -> int:
    patterns, problem = _cut(text)
    room = max(0, PATTERNS - reading.patterns)
    if len(patterns) > room:
        reading.limit(where, f"only {PATTERNS} patterns are compared")
    reading.patterns += len(patterns)
    if "" in patterns:
        reading.problem(where, f"host: {EMPTY}")
    return _open(reading, Block(where, "host", text, base, tuple(patterns[:room]), problem=problem))


EMPTY = "an argument is empty"
_ALONE = frozenset(("canonical", "final"))
_WITH_ARGUMENT = frozenset(
    "host originalhost user localuser exec tagged localnetwork command sessiontype version".split()
)
_UNDECIDED = frozenset("exec localnetwork command sessiontype version".split())
_CLIENT_TOKENS = "CLiklnpdhru"


def _open_match(reading: _Reading, where: Where, text: str, base: int) -> int:
    """A Match line's criteria; where ssh would refuse it, none, and the block never applies."""
    criteria: list[Criterion] = []
    words, problem = _cut(text)
    if problem is None:
        problem, rest = _criteria(text, criteria)
        if problem is None and rest and words:
            problem = "more follows than it takes"
    count = sum(criterion.argument.count(",") + 1 for criterion in criteria)
    if reading.patterns + count > PATTERNS:
        reading.limit(where, f"only {PATTERNS} patterns are compared")
        criteria.clear()
    reading.patterns += count
    if problem is not None:
        criteria.clear()
    return _open(reading, Block(where, "match", text, base, criteria=tuple(criteria), problem=problem))


def _criteria(text: str, found: list[Criterion]) -> tuple[str | None, str | None]:
    """Add what the line says; what ssh would refuse in it, and what it left (match_cfg_line)."""
    rest: str | None = text
    while True:
        word, rest = delimited(rest)
        if not word:
            break
        if word.startswith("#"):
            rest = None
            break
        negated = word.startswith("!")
        name = fold(word[1:] if negated else word)
        if name == "all":
            following, rest = delimited(rest)
            if len(found) > 1 or (following and not following.startswith("#")):
                return "all stands with other criteria", None
            found.append(Criterion(name, "", negated))
            return None, None if following else rest
        if name in _ALONE:
            found.append(Criterion(name, "", negated))
            continue
        argument, rest = delimited(rest)
        if not argument or argument.startswith("#"):
            return f"{name} has no argument", None
        if name not in _WITH_ARGUMENT:
            return f"there is no criterion {name}", None
        if name == "exec" and _expanded(argument, dict.fromkeys(_CLIENT_TOKENS, ""), None, dollar=False) is None:
            return "the command has a token that ssh does not know", None
        found.append(Criterion(name, argument, negated))
    return (None, rest) if found else ("there is no criterion", None)


def _included(reading: _Reading, where: Where, text: str, block: int) -> Sequence[Source]:
    """The files that an Include names."""
    found: list[Source] = []
    patterns, problem = _cut(text)
    for pattern in patterns:
        if reading.includes >= INCLUDES or reading.files >= FILES:
            reading.limit(where, f"only {FILES} files and {INCLUDES} patterns of Include are followed")
            break
        reading.includes += 1
        if not pattern:
            problem = EMPTY
        elif pattern.startswith("~") and not reading.user_file:
            problem = "a path under ~ stands in the system's file"
        if problem:
            break
        if not pattern.startswith(("/", "~")):
            pattern = ("~/.ssh/" if reading.user_file else "/etc/ssh/") + pattern  # noqa: PLW2901
        found += reading.include(pattern.encode("utf-8", "surrogateescape"))
    if problem:
        _add(reading, Directive(where, "include", (), text, block, problem))
    return found


def _add(reading: _Reading, directive: Directive) -> None:
    reading.directives.append(directive)
    if directive.problem is not None:
        reading.problem(directive.where, f"{directive.keyword}: {directive.problem}")
    elif directive.keyword == "ignoreunknown":
        reading.excused += directive.values
    elif directive.unknown:
        if reading.comparisons >= 0:
            reading.comparisons -= sum(patterns.count(",") + 1 for patterns in reading.excused)
        if reading.comparisons < 0:
            reading.limit(directive.where, "IgnoreUnknown is no longer compared")
        elif not any(list_matches(directive.keyword, patterns, lower=True) == 1 for patterns in reading.excused):
            reading.problem(directive.where, f"there is no keyword {directive.keyword}")


# Evaluation


@dataclass(slots=True)
class _Run:
    """One evaluation as it goes; a fatal problem stays the first one."""

    client: Client
    argument: str
    host: str
    assume: Collection[Where]
    final: bool = False
    one: dict[str, Setting] = field(default_factory=dict)
    many: dict[str, list[Setting]] = field(default_factory=dict)
    seen: set[tuple[object, ...]] = field(default_factory=set)
    applied: dict[Where, None] = field(default_factory=dict)
    unknown: dict[Problem, None] = field(default_factory=dict)
    fatal: Problem | None = None
    comparisons: int = COMPARISONS

    def stop(self, where: Where, message: str) -> None:
        self.fatal = self.fatal or Problem(where, message)

    def value(self, name: str) -> str | None:
        return self.one[name].value if name in self.one else None


COMMAND_LINE = Where(b"", 0)


def evaluate(
    configs: Sequence[Config],
    host: str,
    user: str | None = None,
    command_line: Sequence[tuple[str, str]] = (),
    *,
    client: Client | None = None,
    assume: Collection[Where] = (),
    command: str = "",
    stdio_forward: bool = False,
) -> Effective:
    """What ssh would do for `ssh [-o KEYWORD=VALUE ...] [USER@]HOST [COMMAND]` with these files, the user's before the system's.

    `assume` names the lines of undecided Match blocks to take as matching. `stdio_forward`: with -W, which clears forwardings.
    """
    run = _Run(client or Client(), host, host, frozenset(assume))
    if not words.valid_host(host) or (user is not None and not words.valid_user(user)):
        run.stop(COMMAND_LINE, "ssh does not take such a name of a host or user")
    if user is not None:
        run.one["user"] = Setting("user", (user,), COMMAND_LINE)
    for index, (name, text) in enumerate(command_line):
        where = Where(b"", index)
        _apply(run, read_directive(name, text.lstrip(" \t\r\n"), where, command_line=True), True, True)
    if max(len(host), len(user or "")) > NAME:
        _tell(run, COMMAND_LINE, f"patterns are compared with the first {NAME} characters of a name")
    _pass(run, configs)
    again = _canonical(run) or any(
        criterion.name == "final" for config in configs for block in config.blocks for criterion in block.criteria
    )
    if again:
        run.final = True
        run.one["hostname"] = replace(run.one.get("hostname", Setting("hostname", ())), values=(run.host,))
        _pass(run, configs)
    _complete(run, stdio_forward)
    _finish(run, command)
    settings: dict[str, tuple[Setting, ...]] = {name: (setting,) for name, setting in run.one.items()}
    settings |= {name: tuple(found) for name, found in run.many.items()}
    return Effective(run.host, settings, tuple(run.applied), tuple(run.unknown), run.fatal, host)


def _tell(run: _Run, where: Where, message: str) -> None:
    run.unknown[Problem(where, message)] = None


def _pass(run: _Run, configs: Sequence[Config]) -> None:
    """All files once, from the first line to the last."""
    for config in configs:
        active: list[bool] = []
        for index, directive in enumerate(config.directives):
            _blocks(run, config, active, index)
            _apply(run, directive, active[directive.block], config.user_file)
        _blocks(run, config, active, len(config.directives))


def _blocks(run: _Run, config: Config, active: list[bool], index: int) -> None:
    """Decide the blocks that begin before a directive, each when its turn comes: a Match sees what was set before it."""
    while len(active) < len(config.blocks) and config.blocks[len(active)].start <= index:
        block = config.blocks[len(active)]
        holds: bool | None = block.parent is None or active[block.parent]
        if block.problem is not None:
            run.stop(block.where, f"{block.kind}: {block.problem}")
        if block.kind == "host":
            if not holds and block.patterns[:1] == ("",):
                run.stop(block.where, f"host: {EMPTY}")
            holds = holds and _host_applies(run, block)
        elif block.kind == "match":
            holds = _match_applies(run, block) if holds else False
            if holds is None:
                holds = block.where in run.assume
                _tell(run, block.where, f"whether Match {block.text} holds")
        if holds and block.kind != "always":
            run.applied[block.where] = None
        active.append(bool(holds))


def _host_applies(run: _Run, block: Block) -> bool:
    found = False
    for pattern in block.patterns:
        if not pattern:
            run.stop(block.where, f"host: {EMPTY}")
        if matches(run.host[:NAME], pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _match_applies(run: _Run, block: Block) -> bool | None:
    """Whether all criteria hold; None where that hangs on one that cannot be decided here."""
    host = run.host
    if not run.final and "hostname" in run.one:
        expanded = _expanded(run.one["hostname"].value, {"h": run.host}, None, dollar=False)
        if expanded is None:
            run.stop(run.one["hostname"].where or block.where, "hostname: it has a token that ssh does not know")
        host = expanded or ""
    names = {
        "host": fold(host),
        "originalhost": fold(run.argument),
        "user": run.value("user") or run.client.user,
        "localuser": run.client.user,
        "tagged": run.value("tag") or "",
    }
    result: bool | None = bool(block.criteria)
    for criterion in block.criteria:
        if criterion.name in _UNDECIDED:
            result = result and None
            continue
        if criterion.name in names:
            folded = criterion.name in ("host", "originalhost")
            holds = list_matches(names[criterion.name][:NAME], criterion.argument, lower=folded) == 1
        else:
            holds = criterion.name == "all" or run.final
        if holds == criterion.negated:
            result = False
    return result


_UNCONDITIONAL = frozenset(("streamlocalbindmask", "syslogfacility"))
"""ssh sets these from blocks that do not apply, too."""
_WITH_VARIABLES = frozenset((*words.SHOWN_NAMES, "identityagent", "forwardagent"))
_MOST = {
    "identityfile": 100,
    "certificatefile": 100,
    "globalknownhostsfile": 32,
    "userknownhostsfile": 32,
    "canonicaldomains": 32,
    "canonicalizepermittedcnames": 32,
}


def _apply(run: _Run, directive: Directive, active: bool, user_file: bool) -> None:
    """One line, as far as it still sets anything."""
    name, where = directive.keyword, directive.where
    if directive.problem is not None:
        run.stop(where, f"{name}: {directive.problem}")
        return
    if directive.unknown:
        _excuse(run, directive)
        return
    values = directive.values
    if name in _WITH_VARIABLES and values and "${" in values[0]:
        text = _expanded(values[0], None, run.client.environment)
        if text is None:
            run.stop(where, f"{name}: it has a variable that is not set")
            return
        if run.client.environment is None:
            _tell(run, where, f"{name}: its variables")
        elif name in words.SHOWN_NAMES and words.forwarding(name, values, text) is None:
            run.stop(where, f"{name}: it is no forwarding")
            return
    if not values or words.KEYWORDS[name].ignored or not (active or name in _UNCONDITIONAL):
        return
    setting = Setting(name, values, where, directive.block)
    if name in words.SHOWN_NAMES:
        _add_forward(run, setting)
    elif name in ("identityfile", "certificatefile"):
        found = run.many.setdefault(name, [])
        if len(found) >= _MOST[name]:
            run.stop(where, f"{name}: there are more than {_MOST[name]}")
        elif (key := (name, user_file, *values)) not in run.seen:
            run.seen.add(key)
            found.append(setting)
    elif name == "sendenv":
        _send(run, setting)
    elif name == "setenv":
        if not run.many.get(name):
            pairs = {value.partition("=")[0]: value for value in reversed(values)}
            kept = [value for value in dict.fromkeys(values) if pairs[value.partition("=")[0]] == value]
            run.many[name] = [replace(setting, values=(value,)) for value in kept]
    elif name == "rekeylimit":
        run.one.setdefault(name, replace(setting, values=values[:1]))
        if len(values) > 1:
            run.one.setdefault(REKEY_TIME, replace(setting, keyword=REKEY_TIME, values=values[1:]))
    elif name == "forwardagent":
        run.one.setdefault(name, replace(setting, values=("yes",)) if values[0] not in ("yes", "no") else setting)
        if values[0] not in ("yes", "no"):
            run.one.setdefault(AGENT_PATH, replace(setting, keyword=AGENT_PATH))
    elif name == "proxyjump":
        none = fold(values[0]) == "none"
        if name not in run.one and (none or "proxycommand" not in run.one):
            run.one[name] = replace(setting, values=("none" if none else values[0],))
            if not none:
                run.one["proxycommand"] = Setting("proxycommand", ("none",), where, directive.block)
    elif name == "streamlocalbindmask":
        run.one[name] = setting  # the last one wins
    elif name not in run.one:
        if name in _MOST and len(values) > _MOST[name]:
            run.stop(where, f"{name}: there are more than {_MOST[name]}")
        run.one[name] = replace(setting, values=values[:1]) if name == "logverbose" else setting


REKEY_TIME = "rekeylimit time"
AGENT_PATH = "forwardagent path"
"""The second halves of two settings, of which ssh keeps the first for itself."""


def _excuse(run: _Run, directive: Directive) -> None:
    """An unknown keyword stops ssh, unless an IgnoreUnknown that applies comes before it."""
    excused = run.value("ignoreunknown")
    if run.comparisons >= 0:
        run.comparisons -= (excused or "").count(",") + 1
    if run.comparisons < 0:
        _tell(run, directive.where, "whether IgnoreUnknown covers the keywords from here on")
    elif excused is None or list_matches(directive.keyword, excused, lower=True) != 1:
        run.stop(directive.where, f"there is no keyword {directive.keyword}")


def _add_forward(run: _Run, setting: Setting) -> None:
    text = _expanded(setting.values[0], None, run.client.environment)
    known = text is not None and "${" not in text
    forward = words.forwarding(setting.keyword, setting.values, text) if known else None
    if forward is None:
        forward = words.unknown_forwarding(setting.keyword, setting.values)
    forward = replace(forward, raw=setting.values[0])
    remote = setting.keyword == "remoteforward"
    name = "remoteforward" if remote else "dynamicforward" if forward.kind == "dynamic" else "localforward"
    target = "socks" if forward.kind in ("dynamic", "remote-dynamic") else forward.target_host
    key = (
        remote,
        forward.listen_host,
        forward.listen_port,
        forward.listen_path,
        target,
        forward.target_port,
        forward.target_path,
        *(() if known else setting.values),
    )
    if key in run.seen:
        return
    run.seen.add(key)
    run.many.setdefault(name, []).append(replace(setting, keyword=name, forward=forward))
    if not remote:
        run.many.setdefault(LISTENERS, []).append(run.many[name][-1])


LISTENERS = "listeners"
"""Local and dynamic forwardings together, in their order."""


def _send(run: _Run, setting: Setting) -> None:
    """Add names to SendEnv; one with a `-` takes away those it matches."""
    found = run.many.setdefault("sendenv", [])
    for value in setting.values:
        if not value.startswith("-"):
            found.append(replace(setting, values=(value,)))
            continue
        run.comparisons -= len(found)
        if run.comparisons < 0:
            _tell(run, setting.where or COMMAND_LINE, "which variables SendEnv takes away from here on")
            return
        found[:] = [kept for kept in found if not matches(kept.values[0], value[1:])]


def hosts(configs: Sequence[Config], most: int = 256) -> tuple[str, ...]:
    """The names that Host and `Match host` lines spell out, each once, up to `most`: whom the files have something to say about."""
    found: dict[str, None] = {}
    for config in configs:
        for block in config.blocks:
            lists = [c.argument for c in block.criteria if c.name in ("host", "originalhost") and not c.negated]
            for name in (*block.patterns, *(name for text in lists for name in text.split(","))):
                if len(found) >= most:
                    return tuple(found)
                if name and not set(name) & set("*?!") and words.valid_host(name):
                    found[name] = None
    return tuple(found)


# What holds in the end

_FIXED: dict[str, tuple[str, ...]] = {
    name: tuple(value.split())
    for name, value in {
        "addkeystoagent": "no",
        "addressfamily": "any",
        "batchmode": "no",
        "checkhostip": "no",
        "clearallforwardings": "no",
        "compression": "no",
        "connectionattempts": "1",
        "controlmaster": "no",
        "controlpersist": "no",
        "enableescapecommandline": "no",
        "enablesshkeysign": "no",
        "escapechar": "~",
        "exitonforwardfailure": "no",
        "fingerprinthash": "SHA256",
        "forkafterauthentication": "no",
        "forwardagent": "no",
        "forwardx11": "no",
        "forwardx11timeout": "1200",
        "forwardx11trusted": "yes",
        "gatewayports": "no",
        "globalknownhostsfile": "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2",
        "gssapiauthentication": "no",
        "gssapidelegatecredentials": "no",
        "gssapikexalgorithms": algorithms.DEFAULT_GSS_KEX,
        "gssapikeyexchange": "no",
        "gssapirenewalforcesrekey": "no",
        "gssapitrustdns": "no",
        "hashknownhosts": "no",
        "hostbasedauthentication": "no",
        "identitiesonly": "no",
        "ipqos": "lowdelay throughput",
        "kbdinteractiveauthentication": "yes",
        "loglevel": "INFO",
        "nohostauthenticationforlocalhost": "no",
        "numberofpasswordprompts": "3",
        "passwordauthentication": "yes",
        "permitlocalcommand": "no",
        "port": "22",
        "proxyusefdpass": "no",
        "pubkeyauthentication": "yes",
        "rekeylimit": "0",
        "requesttty": "auto",
        "requiredrsasize": "1024",
        "securitykeyprovider": "internal",
        "serveralivecountmax": "3",
        "sessiontype": "default",
        "stdinnull": "no",
        "streamlocalbindmask": "0177",
        "streamlocalbindunlink": "no",
        "stricthostkeychecking": "ask",
        "syslogfacility": "USER",
        "tcpkeepalive": "yes",
        "tunnel": "no",
        "tunneldevice": "any any",
        "verifyhostkeydns": "no",
        "visualhostkey": "no",
        "xauthlocation": "/usr/bin/xauth",
        REKEY_TIME: "0",
    }.items()
}
_CANONICAL = {"canonicalizemaxdots": "1", "canonicalizefallbacklocal": "yes", "canonicalizehostname": "no"}
_IDENTITIES = "id_rsa id_ecdsa id_ecdsa_sk id_ed25519 id_ed25519_sk id_xmss id_dsa".split()
_KNOWN_HOSTS = "~/.ssh/known_hosts"
_CLEARED_BY_NONE = (
    "localcommand remotecommand proxycommand controlpath revokedhostkeys pkcs11provider securitykeyprovider "
    "knownhostscommand"
).split()

NAME_SERVICE = "the host's canonical name, which only the network knows"


def _default(run: _Run, name: str, *values: str) -> None:
    run.one.setdefault(name, Setting(name, values))


def _is(run: _Run, name: str, value: str) -> bool:
    return run.value(name) == value


def _canonical(run: _Run) -> bool:
    """Settle the host's name as far as that needs no network; whether the files are then read once more."""
    for name, value in _CANONICAL.items():
        _default(run, name, value)
    named = run.one.get("hostname")
    if named is not None:
        expanded = _expanded(named.value, {"h": run.host}, None, dollar=False)
        if expanded is None:
            run.stop(named.where or COMMAND_LINE, "hostname: it has a token that ssh does not know")
        run.host = expanded or ""
    address = _address(run.host, run.value("addressfamily"))
    if address is not None:
        run.host = run.host if fold(address) == fold(run.host) else address
    else:
        number = _looks_like_address(run.host)
        run.host = run.host if number else fold(run.host)
        _ask_names(run, named=not number)
    return not _is(run, "canonicalizehostname", "no")


def _ask_names(run: _Run, *, named: bool) -> None:
    """Tell where ssh would ask a name service for the host's name."""
    wanted = run.value("canonicalizehostname")
    direct = fold(run.value("proxycommand") or "none") == "none" and "proxyjump" not in run.one
    if not direct and wanted != "always":
        return
    domains = fold(run.value("canonicaldomains") or "none") != "none"
    few = run.host.count(".") <= int(run.value("canonicalizemaxdots") or 1)
    must = _is(run, "canonicalizefallbacklocal", "no")
    canonical = named and wanted != "no" and (run.host.endswith(".") or (domains and few) or must)
    if canonical or run.value("canonicalizepermittedcnames") not in (None, "none:"):
        _tell(run, COMMAND_LINE, NAME_SERVICE)


_NUMBERS_ALONE = re.compile(r"[0-9.]*\Z")


def _looks_like_address(host: str) -> bool:
    return "%" in host or ":" in host or _NUMBERS_ALONE.match(host) is not None


def _address(host: str, family: str | None) -> str | None:
    """The address in its usual form, where the name is one that needs no look-up; a zone means something on one machine alone."""
    found = address(host)
    if found is None or "%" in host or family == ("inet" if ":" in host else "inet6"):
        return None
    return str(found)


def _complete(run: _Run, stdio_forward: bool) -> None:
    """Put in ssh's defaults (fill_default_options)."""
    if stdio_forward:
        _default(run, "exitonforwardfailure", "yes")
        _default(run, "clearallforwardings", "yes")
    if _is(run, "clearallforwardings", "yes"):
        for name in (*words.SHOWN_NAMES, LISTENERS):
            run.many.pop(name, None)
        run.one["tunnel"] = replace(
            run.one.get("clearallforwardings", Setting("", ())), keyword="tunnel", values=("no",)
        )
    _default(run, "serveraliveinterval", "300" if _is(run, "batchmode", "yes") else "0")
    plain = run.one["userknownhostsfile"].values == (_KNOWN_HOSTS,) if "userknownhostsfile" in run.one else True
    _default(run, "updatehostkeys", "yes" if plain and run.value("verifyhostkeydns") in (None, "no") else "no")
    _default(run, "userknownhostsfile", _KNOWN_HOSTS, f"{_KNOWN_HOSTS}2")
    for name, values in _FIXED.items():
        _default(run, name, *values)
    if not run.many.get("identityfile"):
        run.many["identityfile"] = [Setting("identityfile", (f"~/.ssh/{name}",)) for name in _IDENTITIES]
    if _assemble(run):
        _clear(run)
    keys = run.one.get("hostkeyalgorithms", Setting("hostkeyalgorithms", ()))
    names = algorithms.assembled("hostkeyalgorithms", keys.value)
    if names is None:
        run.stop(keys.where or COMMAND_LINE, "hostkeyalgorithms: nothing is left of the list")
    run.one["hostkeyalgorithms"] = replace(keys, values=(names or "",))
    for name in ("globalknownhostsfile", "userknownhostsfile"):
        if fold(run.one[name].value) == "none":
            run.one[name] = replace(run.one[name], values=())


def _assemble(run: _Run) -> bool:
    """Resolve the lists of algorithms. One that comes to nothing is dropped, and ssh then skips the rest of its completing."""
    for name, (default, _) in algorithms.LISTS.items():
        if name == "hostkeyalgorithms":
            continue
        setting = run.one.get(name, Setting(name, (default,)))
        names = algorithms.assembled(name, setting.value)
        if names is None:
            del run.one[name]
            _tell(
                run, setting.where or COMMAND_LINE, f"{name}: nothing is left of the list, and ssh goes on without one"
            )
            return False
        run.one[name] = replace(setting, values=(names,))
    return True


def _clear(run: _Run) -> None:
    """Drop what is set to none."""
    for name in _CLEARED_BY_NONE:
        if name in run.one and fold(run.one[name].value) == "none":
            del run.one[name]
    if _is(run, "proxyjump", "none"):
        del run.one["proxyjump"]
    if _is(run, "canonicalizepermittedcnames", "none:"):
        del run.one["canonicalizepermittedcnames"]


def _finish(run: _Run, command: str) -> None:
    """What main() of ssh settles and refuses after that, and the tokens that it puts in."""
    _default(run, "user", run.client.user)
    user, port = run.one["user"].value, run.one["port"].value
    if "proxyjump" in run.one:
        jump = run.one["proxyjump"]
        last = words.last_hop(jump.value)
        if last and (last.host, str(last.port or 22), last.user or user) == (run.host, port, user):
            run.stop(jump.where or COMMAND_LINE, "proxyjump: it leads to the host itself")
        if fold(run.value("proxycommand") or "none") != "none":
            run.stop(jump.where or COMMAND_LINE, "proxyjump: there is a proxycommand, too")
        run.one["proxyusefdpass"] = replace(run.one["proxyusefdpass"], values=("no",))
    if "hostkeyalias" in run.one:
        run.one["hostkeyalias"] = replace(run.one["hostkeyalias"], values=(fold(run.one["hostkeyalias"].value),))
    if _is(run, "proxycommand", "-") and _is(run, "proxyusefdpass", "yes"):
        run.stop(run.one["proxycommand"].where or COMMAND_LINE, "proxycommand: - does not go with ProxyUseFdpass")
    remote = "remotecommand" in run.one
    if _is(run, "updatehostkeys", "ask") and (
        ("controlpath" in run.one and run.one["controlpersist"].values[0] == "yes")
        or command
        or remote
        or _is(run, "requesttty", "no")
        or run.value("loglevel") in ("QUIET", "FATAL", "ERROR")
    ):
        run.one["updatehostkeys"] = replace(run.one["updatehostkeys"], values=("no",))
    if _is(run, "connectionattempts", "0"):
        run.stop(run.one["connectionattempts"].where or COMMAND_LINE, "connectionattempts: it is 0")
    if command and remote:
        run.stop(run.one["remotecommand"].where or COMMAND_LINE, "remotecommand: the command line has one, too")
    background = run.one["forkafterauthentication"]
    if background.value == "yes" and not command and not remote and not _is(run, "sessiontype", "none"):
        run.stop(
            background.where or COMMAND_LINE, "forkafterauthentication: there is no command to run in the background"
        )
    _put_in_tokens(run, user, port)


def _put_in_tokens(run: _Run, user: str, port: str) -> None:
    client, alias = run.client, run.one.get("hostkeyalias")
    whole = f"{client.hostname}{run.host}{port}{user}".encode("utf-8", "surrogateescape")
    tokens = {
        "C": None if client.hostname is None else hashlib.sha1(whole, usedforsecurity=False).hexdigest(),
        "L": None if client.hostname is None else client.hostname.partition(".")[0],
        "i": str(client.uid),
        "k": alias.value if alias else run.argument,
        "l": client.hostname,
        "n": run.argument,
        "p": port,
        "d": client.home,
        "h": run.host,
        "r": user,
        "u": client.user,
    }

    def put_in(setting: Setting, text: str, *, path: bool) -> str:
        where = setting.where or COMMAND_LINE
        if path and text.startswith("~"):
            text = _with_home(run, setting, text)
        found = _expanded(text, tokens, client.environment, dollar=path)
        if found is None:
            run.stop(where, f"{setting.keyword}: it has a token or a variable that ssh does not know")
        elif (path and "${" in text and client.environment is None) or (
            client.hostname is None and re.search(r"(?<!%)(?:%%)*+%[CLl]", text)
        ):
            _tell(run, where, f"{setting.keyword}: its variables and tokens")
        return text if found is None else found

    for name in ("remotecommand", "controlpath", "identityagent", AGENT_PATH, "userknownhostsfile"):
        if name in run.one:
            setting = run.one[name]
            path = name != "remotecommand"
            run.one[name] = replace(setting, values=tuple(put_in(setting, text, path=path) for text in setting.values))
    if AGENT_PATH in run.one and _is(run, "forwardagent", "yes"):
        run.one["forwardagent"] = replace(run.one[AGENT_PATH], keyword="forwardagent")
    for name in (*words.SHOWN_NAMES, LISTENERS):
        for index, setting in enumerate(run.many.get(name, ())):
            forward = setting.forward
            if forward is None or (forward.listen_path is None and forward.target_path is None):
                continue
            listen, target = (
                None if text is None else put_in(setting, text, path=False)
                for text in (forward.listen_path, forward.target_path)
            )
            run.many[name][index] = replace(setting, forward=replace(forward, listen_path=listen, target_path=target))


def _with_home(run: _Run, setting: Setting, text: str) -> str:
    """The path with its ~ or ~user put in (tilde_expand); as it is where that home is not known."""
    user, _, rest = text[1:].partition("/")
    home = run.client.homes.get(user) if user else run.client.home
    if home is None:
        _tell(run, setting.where or COMMAND_LINE, f"{setting.keyword}: the home of {user}")
        return text
    return home.removesuffix("/") + "/" + rest.lstrip("/")


_TOKENS = re.compile(r"%(?P<token>.?)", re.DOTALL)
_VARIABLES = re.compile(r"\$\{(?P<name>[^}]*)(?P<end>\}?)")
_BOTH = re.compile(f"{_TOKENS.pattern}|{_VARIABLES.pattern}", re.DOTALL)


def _expanded(
    text: str, tokens: Mapping[str, str | None] | None, environment: Mapping[str, str] | None, *, dollar: bool = True
) -> str | None:
    """The text with %-tokens (where some are given) and, if `dollar`, `${NAME}` put in; None where ssh would refuse it.

    What is not known, a token that is None or any variable without an environment, stays as it is written.
    """
    if "%" not in text and "${" not in text:
        return text
    refused = False

    def put_in(found: re.Match[str]) -> str:
        nonlocal refused
        parts = found.groupdict()
        token, name = parts.get("token"), parts.get("name")
        if token is not None:
            if token == "%":  # noqa: S105
                return "%"
            refused = refused or not tokens or token not in tokens
            value = tokens.get(token) if tokens else None
        else:
            refused = refused or not name or not parts["end"]
            if environment is None:
                return found[0]
            refused = refused or name not in environment
            value = environment.get(name or "", "")
        return found[0] if value is None else value

    pattern = _VARIABLES if tokens is None else _BOTH if dollar else _TOKENS
    result = pattern.sub(put_in, text)
    return None if refused else result


# As ssh -G prints it (dump_client_config)

_FLAGS = (
    "addressfamily batchmode canonicalizefallbacklocal canonicalizehostname checkhostip compression controlmaster "
    "enablesshkeysign clearallforwardings exitonforwardfailure fingerprinthash forwardx11 forwardx11trusted gatewayports "
    "gssapiauthentication gssapikeyexchange gssapidelegatecredentials gssapitrustdns gssapirenewalforcesrekey "
    "gssapiclientidentity gssapiserveridentity gssapikexalgorithms hashknownhosts hostbasedauthentication identitiesonly "
    "kbdinteractiveauthentication nohostauthenticationforlocalhost passwordauthentication permitlocalcommand "
    "proxyusefdpass pubkeyauthentication requesttty sessiontype stdinnull forkafterauthentication streamlocalbindunlink "
    "stricthostkeychecking tcpkeepalive tunnel verifyhostkeydns visualhostkey updatehostkeys enableescapecommandline "
    "canonicalizemaxdots connectionattempts forwardx11timeout numberofpasswordprompts serveralivecountmax "
    "serveraliveinterval requiredrsasize bindaddress bindinterface ciphers controlpath hostkeyalgorithms hostkeyalias "
    "hostbasedacceptedalgorithms identityagent ignoreunknown kbdinteractivedevices kexalgorithms casignaturealgorithms "
    "localcommand remotecommand loglevel macs pkcs11provider securitykeyprovider preferredauthentications "
    "pubkeyacceptedalgorithms revokedhostkeys xauthlocation knownhostscommand"
).split()


def _dumped(effective: Effective) -> Iterator[str]:
    value = {name: found[0].value for name, found in effective.settings.items() if found}

    def shown(name: str) -> str:
        return dict(words.KEYWORDS[name].shown).get(value[name], value[name])

    def each(name: str) -> Iterator[str]:
        return (f"{name} {setting.value}" for setting in effective.settings.get(name, ()))

    def together(name: str, none: str = "none") -> str:
        return f"{name} {value.get(name) or none}"

    yield f"host {effective.argument}"
    yield f"user {value['user']}"
    yield f"hostname {effective.host}"
    yield f"port {value['port']}"
    yield from (f"{name} {shown(name)}" for name in _FLAGS if name in value)
    yield from _dumped_forwards(effective)
    yield from each("identityfile")
    yield together("canonicaldomains")
    yield from each("certificatefile")
    yield together("globalknownhostsfile")
    yield together("userknownhostsfile")
    yield from each("sendenv")
    yield from each("setenv")
    yield together("logverbose")
    yield together("permitremoteopen", "any")
    adding = effective.settings["addkeystoagent"][0].values
    if len(adding) > 1:
        yield f"addkeystoagent {'confirm ' if adding[0] == 'confirm' else ''}{adding[1]}"
    else:
        yield f"addkeystoagent {shown('addkeystoagent')}"
    yield f"forwardagent {value.get(AGENT_PATH, value['forwardagent'])}"
    yield together("connecttimeout")
    yield f"tunneldevice {value['tunneldevice'].replace(' ', ':')}"
    yield "canonicalizePermittedcnames " + (value.get("canonicalizepermittedcnames") or "none")
    yield f"controlpersist {effective.settings['controlpersist'][0].values[-1]}"
    yield f"escapechar {value['escapechar']}"
    yield f"ipqos {value['ipqos']}"
    yield f"rekeylimit {value['rekeylimit']} {value[REKEY_TIME]}"
    yield f"streamlocalbindmask {value['streamlocalbindmask']}"
    yield f"syslogfacility {value['syslogfacility']}"
    if "proxyjump" in value:
        yield f"proxyjump {_dumped_jump(value['proxyjump'])}"
    elif "proxycommand" in value:
        yield f"proxycommand {value['proxycommand']}"


def _dumped_jump(spec: str) -> str:
    before, comma, _ = spec.partition("#")[0].rstrip(" \t\n\v\f\r").rpartition(",")
    hop = words.last_hop(spec)
    if hop is None or hop.host is None:
        return spec
    host = f"[{hop.host}]" if ":" in hop.host or not hop.host.strip("1234567890.") else hop.host
    user = "" if hop.user is None else f"{hop.user}@"
    return f"{before}{comma}{user}{host}{f':{hop.port}' if hop.port else ''}"


def _dumped_forwards(effective: Effective) -> Iterator[str]:
    """ssh keeps local and dynamic forwardings in one list, and knows a dynamic one by a target named socks."""
    local = [setting.forward for setting in effective.settings.get(LISTENERS, ()) if setting.forward]
    remote = [setting.forward for setting in effective.settings.get("remoteforward", ()) if setting.forward]
    for forward in local:
        if forward.target_host in (None, "socks"):
            yield f"dynamicforward {_dumped_end(forward.listen_path, forward.listen_host, forward.listen_port)}"
    for name, found in (("localforward", local), ("remoteforward", remote)):
        for forward in found:
            host = "socks" if forward.kind in ("dynamic", "remote-dynamic") else forward.target_host
            if name == "localforward" and host == "socks":
                continue
            listen = _dumped_end(forward.listen_path, forward.listen_host, forward.listen_port)
            yield f"{name} {listen} {_dumped_end(forward.target_path, host, forward.target_port or 0)}"


def _dumped_end(path: str | None, host: str | None, port: int | None) -> str:
    if path is not None:
        return path
    number = "?" if port is None else str(port)
    return number if host is None else f"[{host}]:{number}"
