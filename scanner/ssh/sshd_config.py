"""sshd_config, evaluated as sshd does: which value holds for which connection, which line said so, and whether sshd starts.

Semantics: sshd_config(5) and servconf.c of the installed release. sshd reads its configuration twice. The first reading
takes what stands outside of Match blocks (and in `Match all`), the first value of a keyword wins. The second, for each
connection, takes the blocks that match, where again the first wins, and puts them over the first.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scanner.model.text import printable
from scanner.ssh import numbers, patterns
from scanner.ssh.lexing import BadQuotes, fold, keyword, lines, split, split_delimited, trimmed
from scanner.ssh.source import Problem, Source, Version, Where
from scanner.ssh.sshd_tables import (
    ALGORITHM_KINDS,
    ARGV_SPLIT,
    ASSUMED,
    MATCH_ARGV,
    STRICT_LISTS,
    SUBSYSTEM_IN_MATCH,
    defaults,
    keywords,
    printed,
)
from scanner.ssh.sshd_values import Arguments, Refused, assemble, read

__all__ = [
    "NOT_MODELLED",
    "CommandLine",
    "Config",
    "Connection",
    "Directive",
    "Effective",
    "MatchBlock",
    "Problem",
    "Setting",
    "Source",
    "Version",
    "Where",
    "command_line",
    "evaluate",
    "parse",
    "undecided",
]

MAX_BYTES = 1 << 20
"""Of all files together, included ones as often as they are included."""
MAX_LINES = 100_000
MAX_FILES = 1024
"""How often files are included, and how many patterns are looked up for it."""
MAX_DEPTH = 16
MAX_PORTS = 256
MAX_SUBSYSTEMS = 256
MAX_LISTENERS = 256
MAX_COMPARISONS = 1_000_000
"""Of patterns with what is known of a connection, in one evaluation; a block beyond that is undecided."""

NOT_MODELLED = {
    "listenaddress": "a host name stays a name: what it resolves to depends on the network",
    "rdomain": "a routing domain after ListenAddress is taken as it is: whether there is one depends on the machine",
    "persourcenetblocksize": "with the IPv4 part alone, OpenSSH 9.2 prints whatever was in memory for IPv6; here it is 128",
    "persourcepenalties": "the words of all lines, not joined into one set",
    "~user/": "the home of another user than root stays as written: the image's accounts are not asked",
}
"""What sshd -T prints that is not, or only partly, worked out here, and why."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The values of a keyword. Without `where` they are the default; `match` is the index of the block that set them."""

    keyword: str
    values: tuple[str, ...]
    where: Where | None = None
    match: int | None = None

    @property
    def value(self) -> str:
        """The values as one text, as sshd -T prints them."""
        return " ".join(self.values)


@dataclass(frozen=True, slots=True)
class Directive:
    """One line: its keyword (lower case, aliases resolved), the values sshd takes from it, or why it takes none.

    `match` is the index of the Match block it stands in. An `option` comes from the command line.
    """

    keyword: str
    spelled: str
    values: tuple[str, ...]
    where: Where
    match: int | None = None
    error: str = ""
    in_match: bool = False
    option: bool = False


@dataclass(frozen=True, slots=True)
class MatchBlock:
    """A Match line: `criteria` are (name, pattern) pairs which must all hold; none where the line is broken.

    `within` is the block around the Include that brought it here; `text` is the line as written.
    """

    index: int
    where: Where
    text: str
    criteria: tuple[tuple[str, str], ...]
    within: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Enter:
    """An included file begins."""


@dataclass(frozen=True, slots=True)
class _Leave:
    """An included file ends."""


@dataclass(frozen=True, slots=True)
class _Endless:
    """An Include of a pattern whose files are still being read: the second reading, which knows them all, never ends."""

    where: Where


_Event = Directive | MatchBlock | _Enter | _Leave | _Endless


@dataclass(frozen=True, slots=True)
class Connection:
    """What is known about a connection; None is unknown. `groups` are all names of groups the user is in."""

    user: str | None = None
    groups: tuple[str, ...] | None = None
    host: str | None = None
    address: str | None = None
    local_address: str | None = None
    local_port: int | None = None
    rdomain: str | None = None
    invalid_user: bool | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration as read. `fatal` is the first thing that keeps sshd from starting; `limits` is what was cut off.

    Where the installed version was not known, `version` is the one assumed, and `version_known` is false.
    """

    version: Version
    version_known: bool
    directives: tuple[Directive, ...]
    matches: tuple[MatchBlock, ...]
    fatal: Problem | None
    limits: tuple[Problem, ...]
    events: tuple[_Event, ...] = field(repr=False)
    globals: "Mapping[str, tuple[Setting, ...]]" = field(repr=False)


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds for a connection. `applied` are the Match blocks that did; `fatal` is what would end the connection.

    `limits` is what was not compared.
    """

    version: Version
    settings: Mapping[str, tuple[Setting, ...]]
    applied: tuple[int, ...] = ()
    fatal: Problem | None = None
    limits: tuple[Problem, ...] = ()

    def get(self, keyword: str) -> Setting:
        """All values of a keyword; where several lines gave them, the first line's place.

        Names are folded, and aliases are understood. A keyword that has no value, or none in this release, has no values.
        """
        found = self.all(keyword)
        if len(found) == 1:
            return found[0]
        name = found[0].keyword if found else self._canonical(keyword)
        return Setting(
            name,
            tuple(value for setting in found for value in setting.values),
            found[0].where if found else None,
            found[0].match if found else None,
        )

    def all(self, keyword: str) -> tuple[Setting, ...]:
        """One Setting for each line's, and for keywords that gather values each value's, place; the default if none."""
        name = self._canonical(keyword)
        found = self.settings.get(name)
        if found is None:
            values = defaults(self.version).get(name)
            found = () if values is None else (Setting(name, values),)
        if name == "kbdinteractiveauthentication" and self.version < ARGV_SPLIT:
            [older] = self.all("challengeresponseauthentication")
            if older.values == ("yes",):  # until 8.6 the one turned the other on
                return (replace(older, keyword=name),)
            return found if name in self.settings else (Setting(name, ("no",)),)
        return found

    def _canonical(self, name: str) -> str:
        known = keywords(self.version).get(fold(name))
        return known.canonical if known else fold(name)

    def dump(self) -> list[str]:
        """The lines that sshd -T prints, in its order; NOT_MODELLED names the exceptions."""
        return [line for name in printed(self.version) for line in self._printed(name)]

    def _printed(self, name: str) -> Iterator[str]:
        found = self.all(name)
        if name in ("hostkey", "hostcertificate"):
            for setting in found:
                for value in setting.values:
                    yield f"{name} {'(null)' if fold(value) == 'none' else value}"  # what printf makes of no string
        elif name in _GATHERED or name == "setenv":
            for setting in found:
                if name in ("subsystem", "listenaddress"):
                    yield f"{name} {setting.value}"
                else:
                    yield from (f"{name} {value}" for value in setting.values)
        elif name in ALGORITHM_KINDS:
            yield f"{name} {','.join(self.get(name).values)}"
        elif name in ("maxstartups", "persourcenetblocksize"):
            yield f"{name} {':'.join(self.get(name).values)}"
        elif found:
            yield f"{name} {self.get(name).value}"
        elif name == "channeltimeout" and self.version >= SUBSYSTEM_IN_MATCH:
            yield "channeltimeout none"


_GATHERED = frozenset(
    """port listenaddress hostkey hostcertificate allowusers denyusers allowgroups denygroups acceptenv subsystem
    persourcepenalties""".split()
)
"""Each value of each line counts."""
_LAST = frozenset("persourcenetblocksize ipqos streamlocalbindmask fingerprinthash".split())
"""The last line wins, for sshd does not look whether there was one before."""
_NONE_CLEARS = frozenset(
    """pidfile xauthlocation banner trustedusercakeys revokedkeys securitykeyprovider authorizedprincipalsfile
    forcecommand chrootdirectory hostkeyagent persourcepenaltyexemptlist""".split()
)
"""`none`, in any case, takes the value away."""


# Reading

_NO_ARGUMENT = "it has no argument"
_OPEN_QUOTE = "a quote is never closed"


@dataclass(slots=True)
class _Frame:
    """A file being read: the block around its Include, that of its next line, and the files to include before that."""

    path: bytes
    lines: Iterator[tuple[int, str]]
    outer: int | None
    block: int | None
    pending: list["_Step"]
    where: Where


@dataclass(frozen=True, slots=True)
class _Step:
    """What is left to do for an Include, `pattern` by pattern: look it up (no source), read a file of it, note that it was read.

    `last`: it was the pattern's last file.
    """

    pattern: str
    source: Source | None = None
    read: bool = False
    last: bool = False


class _Reader:
    """Reads lines into events; bounded by the limits above, whatever the files include.

    sshd looks a pattern up once and keeps what it named, each file once it was read to its end. Files that include each
    other by patterns may so come to an end that files which name each other do not.
    """

    def __init__(self, include: Callable[[bytes], Sequence[Source]], version: Version) -> None:
        self.version = version
        self.known = keywords(version)
        self.include = include
        self.events: list[_Event] = []
        self.blocks: list[MatchBlock] = []
        self.limits: dict[str, Problem] = {}
        self.looked_up: dict[str, Sequence[Source]] = {}
        self.kept: dict[str, list[Source]] = {}
        self.underway: dict[str, int] = {}
        self.bytes = self.lines = self.files = 0

    def limit(self, where: Where, message: str) -> None:
        self.limits.setdefault(message, Problem(where, message))

    def open(self, source: Source, block: int | None) -> _Frame:
        left = MAX_BYTES - self.bytes
        data = source.data[:left]
        if len(source.data) > left:
            data = data[: data.rfind(b"\n") + 1]  # half a line is none
            self.limit(Where(source.path, data.count(b"\n") + 1), f"only the first {MAX_BYTES} bytes were read")
        self.bytes += min(left, len(source.data))
        read_lines = lines(data, server=True, cut_comments=self.version < ARGV_SPLIT)
        return _Frame(source.path, read_lines, block, block, [], Where(source.path, 1))

    def option(self, text: str, where: Where) -> None:
        flag = text[:2]
        if flag not in _FLAG_OPTIONS:
            self.line(_Frame(b"", iter(()), None, None, [], where), where, text, option=True)
            return
        name, implied = _FLAG_OPTIONS[flag]
        values, error = self.values(name, [implied or text[2:]], implied or text[2:])
        self.events.append(Directive(name, flag, values, where, None, error, option=True))

    def values(self, name: str, words: list[str], rest: str) -> tuple[tuple[str, ...], str]:
        """What a known keyword takes from its arguments, or what is wrong with them."""
        try:
            return read(self.known[name].reader, Arguments(words, rest, self.version)), ""
        except Refused as error:
            return (), printable(str(error))

    def file(self, main: Source) -> None:
        stack = [self.open(main, None)]
        while stack:
            frame = stack[-1]
            if frame.pending:
                step = frame.pending.pop()
                if step.source is None:
                    self.look_up(frame, step.pattern)
                elif step.read:
                    self.note(step.pattern, step.source, step.last)
                elif self.files >= MAX_FILES:
                    self.limit(frame.where, f"only {MAX_FILES} files were included")
                    frame.pending.clear()
                elif len(stack) > MAX_DEPTH:
                    error = "files include each other too deeply"
                    self.events.append(Directive("include", "Include", (), frame.where, frame.block, error, True))
                    frame.pending.clear()
                else:
                    self.files += 1
                    self.events.append(_Enter())
                    stack.append(self.open(step.source, frame.block))
                continue
            following = next(frame.lines, None)
            if following is None:
                stack.pop()
                if stack:
                    self.events.append(_Leave())
                continue
            self.lines += 1
            if self.lines > MAX_LINES:
                self.limit(Where(frame.path, following[0]), f"only the first {MAX_LINES} lines were read")
                self.events.extend(_Leave() for _ in stack[1:])
                return
            frame.where = Where(frame.path, following[0])
            self.line(frame, frame.where, following[1])

    def line(self, frame: _Frame, where: Where, text: str, option: bool = False) -> None:
        spelled, rest = keyword(trimmed(text))
        if not spelled:
            return
        known = self.known.get(fold(spelled))
        name = known.canonical if known else fold(spelled)
        modern = self.version >= ARGV_SPLIT

        def say(values: tuple[str, ...], error: str = "") -> None:
            match = known is not None and known.match is not None and known.match <= self.version
            self.events.append(Directive(name, spelled, values, where, frame.block, error, match, option))

        if modern and not rest:
            say((), _NO_ARGUMENT)
        elif known is None:
            say((), f"OpenSSH {self.version} does not know it")
        elif option and name in ("match", "include"):
            say((), "it may not be given on the command line")
        else:
            try:
                words = self.words(name, rest)
            except BadQuotes:
                say((), _OPEN_QUOTE)
                return
            if name == "match":
                self.match(frame, where, rest, words)
            elif name == "include":
                error = self.includes(frame, words)
                say(tuple(word for word in words if word), error)
            else:
                say(*self.values(known.name, words, rest))

    def words(self, name: str, rest: str) -> list[str]:
        if self.version >= ARGV_SPLIT:
            return split(rest)
        words = split_delimited(rest, equals=name != "setenv")
        return words[: words.index("")] if "" in words else words

    def includes(self, frame: _Frame, words: list[str]) -> str:
        """Queues the patterns that are included, in order; what is wrong, if something is."""
        steps: list[_Step] = []
        for word in words:
            if not word:
                break
            if not word.startswith(
                "~"
            ):  # no home is looked up: it is a name like any other, of a file that is not there
                steps.append(_Step(word if word.startswith("/") else f"/etc/ssh/{word}"))
        frame.pending = steps[::-1]
        if not words:
            return "it names no file"
        return "an argument is empty" if "" in words else ""

    def look_up(self, frame: _Frame, pattern: str) -> None:
        """Queues the files of a pattern: what was read of it before, or else all that it names."""
        if pattern in self.kept:
            if self.underway.get(pattern):
                self.events.append(_Endless(frame.where))
            frame.pending += [_Step(pattern, source) for source in reversed(self.kept[pattern][:MAX_FILES])]
            return
        if pattern not in self.looked_up:
            if len(self.looked_up) >= MAX_FILES:
                self.limit(frame.where, f"only {MAX_FILES} patterns of Include were looked up")
                return
            self.looked_up[pattern] = self.include(pattern.encode("utf-8", "surrogateescape"))
        found = self.looked_up[pattern]
        if len(found) > MAX_FILES:
            self.limit(frame.where, f"only {MAX_FILES} files were included")
            found = found[:MAX_FILES]
        if not found:
            self.kept[pattern] = []
            return
        self.underway[pattern] = self.underway.get(pattern, 0) + 1
        for left, source in enumerate(reversed(found)):
            last = left == 0
            frame.pending += [_Step(pattern, source, True, last), _Step(pattern, source)]

    def note(self, pattern: str, source: Source, last: bool) -> None:
        """A file of a pattern was read to its end."""
        self.kept.setdefault(pattern, []).append(source)
        if last:
            self.underway[pattern] -= 1

    def match(self, frame: _Frame, where: Where, rest: str, words: list[str]) -> None:
        modern = self.version >= MATCH_ARGV
        criteria, error = _criteria(words, self.version) if modern else _old_criteria(rest, self.version)
        index = len(self.blocks)
        block = MatchBlock(index, where, rest, () if error else criteria, frame.outer, printable(error))
        self.blocks.append(block)
        self.events.append(block)
        frame.block = index


def parse(
    main: Source,
    include: Callable[[bytes], Sequence[Source]],
    version: Version | None = None,
    options: Sequence[str] = (),
) -> Config:
    """Reads the main file, and what it includes; bytes of any kind will do.

    `include` is given an absolute glob pattern and returns the files it matches, in glob's order. `options` are what the
    daemon is started with: KEYWORD=VALUE for its -o, and -p, -h, -c, -g, -4, -6 with their value attached (command_line).
    """
    reader = _Reader(include, version or ASSUMED)
    for number, option in enumerate(options[:MAX_LINES], 1):
        reader.option(option[:MAX_BYTES], Where(b"", number))
    reader.file(main)
    events = tuple(reader.events)
    first = _Pass(reader.version)
    first.read(events)
    settings, broken = _finish(first.state, reader.version)
    fatal = first.fatal or broken
    return Config(
        version=reader.version,
        version_known=version is not None,
        directives=tuple(event for event in events if isinstance(event, Directive)),
        matches=tuple(reader.blocks),
        fatal=fatal,
        limits=(*reader.limits.values(), *first.limits),
        events=events,
        globals=settings,
    )


# Match lines

_SINCE = {
    "all": Version(6, 5),
    "user": Version(0, 0),
    "group": Version(0, 0),
    "host": Version(0, 0),
    "address": Version(0, 0),
    "localaddress": Version(6, 1),
    "localport": Version(6, 1),
    "rdomain": Version(7, 7),
    "invalid-user": Version(9, 9),
    "version": Version(10, 0),
}
_WITH_EQUALS = re.compile(
    r"(user|group|host|address|localaddress|localport|rdomain|version)=(.*)", re.IGNORECASE | re.DOTALL
)

_Criteria = tuple[tuple[str, str], ...]


def _old_criteria(rest: str, version: Version) -> tuple[_Criteria, str]:
    """Until 9.8 the words are cut with strdelim, and an empty one ends them, which leaves what follows too much."""
    words = split_delimited(rest)
    leftover = ""
    ends = next((at for at, word in enumerate(words) if not word or word.startswith("#")), len(words))
    if ends < len(words) and not words[ends]:
        leftover = "an argument is too many" if len(words) > ends + 1 else ""
        words = words[:ends]
    criteria, error = _criteria(words, version)
    return criteria, error or leftover


def _criteria(words: Sequence[str], version: Version) -> tuple[_Criteria, str]:
    found: list[tuple[str, str]] = []
    rest = iter(words)
    for word in rest:
        if word.startswith("#"):
            break
        name, pattern = fold(word), None
        if version >= MATCH_ARGV and (joined := _WITH_EQUALS.fullmatch(word)):
            name, pattern = fold(joined[1]), joined[2]
        if name not in _SINCE or _SINCE[name] > version:
            return tuple(found), f"{word} is no criterion"
        if name == "all":
            following = next(rest, "")
            if found or (following and not following.startswith("#")):
                return tuple(found), "all must stand alone"
            return (("all", ""),), ""
        if name == "invalid-user":
            found.append((name, ""))
            continue
        if pattern is None:
            pattern = next(rest, "")
        if not pattern or pattern.startswith("#"):
            return tuple(found), f"{name} wants an argument"
        if name in ("address", "localaddress"):
            try:
                patterns.address_list_matches(None, pattern)
            except patterns.BadMask:
                return tuple(found), f"{pattern} holds a network that contradicts itself, or nothing"
        if name == "localport" and numbers.port(pattern) is None:
            return tuple(found), f"{pattern} is no port"
        found.append((name, pattern))
    return tuple(found), "" if found else "it has no criterion"


class _Judge:
    """Compares Match blocks with a connection, within MAX_COMPARISONS."""

    def __init__(self, connection: Connection, version: Version) -> None:
        self.connection = connection
        self.version = version
        self.left = MAX_COMPARISONS
        self.limits: list[Problem] = []

    def holds(self, block: MatchBlock) -> bool | None:
        """Whether all criteria of a block hold; None where that depends on what is not known."""
        known: bool | None = bool(block.criteria)
        for name, pattern in block.criteria:
            self.left -= (pattern.count(",") + 1) * (len(self.connection.groups or ()) if name == "group" else 1)
            if self.left < 0:
                if not self.limits:
                    self.limits.append(Problem(block.where, "the patterns of Match from here on were not compared"))
                return None
            one = _criterion(name, pattern, self.connection, self.version)
            if one is False:
                return False
            if one is None:
                known = None
        return known


def _criterion(name: str, pattern: str, connection: Connection, version: Version) -> bool | None:
    match name:
        case "all":
            return True
        case "user":
            return None if connection.user is None else patterns.list_matches(connection.user, pattern) == 1
        case "group":
            return None if connection.groups is None else _in_groups(connection.groups, pattern)
        case "host":
            return None if connection.host is None else patterns.host_matches(connection.host, pattern) == 1
        case "address":
            return _from(connection.address, pattern)
        case "localaddress":
            return _from(connection.local_address, pattern)
        case "localport":
            return None if connection.local_port is None else numbers.port(pattern) == connection.local_port
        case "rdomain":
            return None if connection.rdomain is None else patterns.list_matches(connection.rdomain, pattern) == 1
        case "invalid-user":
            return connection.invalid_user
        case _:
            return patterns.list_matches(f"OpenSSH_{version}", pattern) == 1


def _in_groups(groups: tuple[str, ...], pattern: str) -> bool:
    """Any group may match; one that is negated is the end of it."""
    results = {patterns.list_matches(group, pattern) for group in groups}
    return 1 in results and -1 not in results


def _from(address: str | None, pattern: str) -> bool | None:
    if address is None:
        return None
    try:
        return patterns.address_list_matches(address, pattern) == 1
    except patterns.BadMask:  # the line was refused when it was read
        return False


# The two readings


class _Pass:
    """One reading of all events: which are active, and what the active ones set."""

    def __init__(
        self,
        version: Version,
        connection: Connection | None = None,
        assume: frozenset[int] = frozenset(),
    ) -> None:
        self.version = version
        self.judge = None if connection is None else _Judge(connection, version)
        self.assume = assume
        self.state: dict[str, list[Setting]] = {}
        self.applied: list[int] = []
        self.fatal: Problem | None = None
        self.limits: list[Problem] = []
        self.ports_given = False
        self.startups: list[str] = ["", "", ""]

    def read(self, events: Sequence[_Event]) -> None:
        first = self.judge is None
        active, never, only_blocks = first, False, not first
        block: int | None = None
        stack: list[tuple[bool, bool, bool, int | None]] = []
        for event in events:
            if isinstance(event, Directive):
                on = active or (first and event.option)
                if first:
                    self.check(event, on)
                if event.error or (event.option and not first):
                    continue
                if on:
                    self.apply(event, block)
                elif event.keyword == "authenticationmethods":
                    self.methods(event, active=False)
            elif isinstance(event, MatchBlock):
                if event.error and first:
                    self.fail(event.where, f"Match: {event.error}")
                active = not never and self.decide(event)
                only_blocks = False
                block = event.index
                if active and not first:
                    self.applied.append(event.index)
            elif isinstance(event, _Endless):
                if not first:
                    self.fail(event.where, "Include: files include each other too deeply")
            elif isinstance(event, _Enter):
                stack.append((active, never, only_blocks, block))
                never = not only_blocks and not active
            else:
                active, never, only_blocks, block = stack.pop()

    def decide(self, block: MatchBlock) -> bool:
        if self.judge is None:
            return block.criteria == (("all", ""),)
        holds = self.judge.holds(block)
        return block.index in self.assume if holds is None else holds

    def fail(self, where: Where, message: str) -> None:
        self.fatal = self.fatal or Problem(where, printable(message))

    def check(self, directive: Directive, active: bool) -> None:
        """What the first reading refuses."""
        unread = directive.keyword == "port" and self.ports_given and directive.error not in (_NO_ARGUMENT, _OPEN_QUOTE)
        if directive.error and not unread:
            self.fail(directive.where, f"{directive.spelled}: {directive.error}")
        elif not active and not directive.in_match:
            self.fail(directive.where, f"{directive.spelled}: it may not stand in a Match block")

    def apply(self, directive: Directive, block: int | None) -> None:
        name, values = directive.keyword, directive.values
        if not values or name == "include":
            return
        setting = Setting(name, values, directive.where, block)
        before = self.state.get(name)
        if name == "port":
            if directive.spelled == "-p":
                self.ports_given = True
            elif self.ports_given:
                return
            if len(before or ()) >= MAX_PORTS:
                self.fail(directive.where, f"more than {MAX_PORTS} ports")
            else:
                self.state.setdefault(name, []).append(setting)
        elif name == "subsystem":
            self.subsystem(setting)
        elif name == "listenaddress" and len(before or ()) >= MAX_LISTENERS:
            if not self.limits:
                self.limits.append(Problem(directive.where, f"only the first {MAX_LISTENERS} ListenAddress were taken"))
        elif name in ("listenaddress", "persourcepenalties"):
            self.state.setdefault(name, []).append(setting)
        elif name in _GATHERED:
            self.state.setdefault(name, []).extend(replace(setting, values=(value,)) for value in values)
        elif name == "maxstartups":
            if len(values) == 3:
                self.startups = list(values)
            else:
                self.startups[0] = self.startups[2] = values[0]
            self.state[name] = [replace(setting, values=tuple(self.startups))]
        elif name == "rekeylimit":
            self.state.setdefault("rekeylimit size", [replace(setting, values=values[:1])])
            if values[1]:
                self.state.setdefault("rekeylimit time", [replace(setting, values=values[1:])])
        elif name == "unusedconnectiontimeout":
            value = "none" if values[0] in ("none", "0") else values[0]
            if values[0] == "none" or before is None:
                self.state[name] = [replace(setting, values=(value,))]
        elif name == "authorizedprincipalscommand" and ARGV_SPLIT <= self.version < Version(9, 4):
            if "authorizedkeyscommand" not in self.state:  # these releases looked at the other command
                self.state[name] = [setting]
        elif name == "authenticationmethods":
            if self.methods(directive, active=True) and before is None:
                self.state[name] = [setting]
        elif before is None or name in _LAST or (name == "persourcemaxstartups" and self.version < SUBSYSTEM_IN_MATCH):
            self.state[name] = [setting]

    def methods(self, directive: Directive, active: bool) -> bool:
        """Whether the methods may be said here: any must be alone, and until 9.8 that means among all lines."""
        if self.version >= STRICT_LISTS or "any" not in directive.values:
            return True
        before = "authenticationmethods" in self.state
        if self.version < ARGV_SPLIT and before:
            return True
        if before or (active and directive.values.index("any") > 0) or (active and directive.values.count("any") > 1):
            self.fail(directive.where, f"{directive.spelled}: any must stand alone")
            return False
        return True

    def subsystem(self, setting: Setting) -> None:
        before = self.state.setdefault("subsystem", [])
        if any(other.values[0] == setting.values[0] for other in before[:MAX_SUBSYSTEMS]):
            if self.version < SUBSYSTEM_IN_MATCH and setting.where is not None:
                self.fail(setting.where, f"Subsystem: {setting.values[0]} is defined twice")
        elif len(before) < MAX_SUBSYSTEMS:
            before.append(setting)
        elif self.version < SUBSYSTEM_IN_MATCH and setting.where is not None:
            self.fail(setting.where, f"more than {MAX_SUBSYSTEMS} subsystems")


_Settings = dict[str, tuple[Setting, ...]]


def _finish(state: Mapping[str, Sequence[Setting]], version: Version) -> tuple[_Settings, Problem | None]:
    """The first reading's settings as the daemon starts with them, and what keeps it from that."""
    settings: _Settings = {name: tuple(found) for name, found in state.items()}
    for name in settings.keys() & _NONE_CLEARS:
        [found] = settings[name]
        if fold(found.values[0]) == "none":
            settings[name] = (replace(found, values=("none",)),)
    if "channeltimeout" in settings and [fold(v) for v in settings["channeltimeout"][0].values] == ["none"]:
        del settings["channeltimeout"]
    if "maxstartups" in settings:
        [found] = settings["maxstartups"]
        begin, rate, most = found.values
        settings["maxstartups"] = (replace(found, values=(begin, rate or "30", most)),)
    if "persourcenetblocksize" in settings and len(settings["persourcenetblocksize"][0].values) == 1:
        [found] = settings["persourcenetblocksize"]
        settings["persourcenetblocksize"] = (replace(found, values=(*found.values, "128")),)
    _join_rekey(settings)
    listening, assembled = _listen(settings), _assembled(settings, version)
    problem = listening or assembled
    for name in settings.keys() & ALGORITHM_KINDS.keys():
        if not settings[name][0].values:  # what is empty after the first reading is the default in the second
            settings[name] = (replace(settings[name][0], values=defaults(version)[name]),)
    for command in ("authorizedkeyscommand", "authorizedprincipalscommand"):
        found_command = settings.get(command)
        if found_command and fold(found_command[0].values[0]) != "none" and f"{command}user" not in settings:
            problem = problem or _problem(found_command[0], f"{command} is set, but {command}user is not")
    return settings, problem or _satisfiable(settings, version)


def _problem(setting: Setting, message: str) -> Problem:
    return Problem(setting.where or Where(b"", 0), printable(message))


def _join_rekey(settings: _Settings) -> None:
    size, time = settings.pop("rekeylimit size", None), settings.pop("rekeylimit time", None)
    before = settings.get("rekeylimit", (Setting("rekeylimit", ("0", "0")),))[0]
    if size or time:
        said = (size or time or (before,))[0]
        values = (size[0].values[0] if size else before.values[0], time[0].values[0] if time else before.values[1])
        settings["rekeylimit"] = (replace(said, keyword="rekeylimit", values=values),)


_EVERYWHERE = ("[::]", "0.0.0.0")  # noqa: S104 nothing is bound here


def _listen(settings: _Settings) -> Problem | None:
    """Ports and addresses joined into what sshd listens on, as HOST:PORT."""
    family = settings["addressfamily"][0].values[0] if "addressfamily" in settings else "any"
    ports = [setting.values[0] for setting in settings.get("port", ())] or ["22"]
    asked = settings.get("listenaddress", ())
    problem: Problem | None = None
    joined: list[Setting] = []
    for setting in asked or (Setting("listenaddress", ("", "", "")),):
        host, port, domain = setting.values
        hosts = _hosts(host, family) if asked else [name for name in _EVERYWHERE if _of(name, family)]
        if not hosts:
            problem = problem or _problem(setting, f"ListenAddress: {host} is no address of the family {family}")
        after = f" rdomain {domain}" if domain else ""
        joined.extend(
            replace(setting, values=(f"{name}:{number}{after}",))
            for number in ([port] if port else ports)
            for name in hosts
        )
    settings["listenaddress"] = tuple(joined)
    return problem


_HOST_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def _of(name: str, family: str) -> bool:
    return family == "any" or (family == "inet6") == name.startswith("[")


def _hosts(host: str, family: str) -> list[str]:
    if host == "*":  # the C library takes it for no name at all, and that for this machine
        return [name for name in ("[::1]", "127.0.0.1") if _of(name, family)]
    found = patterns.address(host)
    if found is None:
        return [host] if _HOST_NAME.fullmatch(host) else []
    name = str(found) if found.bits == 32 else f"[{found}]"
    return [name] if _of(name, family) else []


def _assembled(settings: _Settings, version: Version) -> Problem | None:
    problem: Problem | None = None
    for name in sorted(settings.keys() & ALGORITHM_KINDS.keys()):
        [found] = settings[name]
        if name == "gssapikexalgorithms":
            settings[name] = (replace(found, values=tuple(found.values[0].split(","))),)
            continue
        chosen = assemble(ALGORITHM_KINDS[name], found.values[0], version)
        if chosen is None:
            problem = problem or _problem(found, f"{name}: no algorithm is left")
        settings[name] = (replace(found, values=() if chosen is None else chosen),)
    return problem


_ENABLED_BY = {
    "publickey": "pubkeyauthentication",
    "gssapi-keyex": "gssapiauthentication",
    "gssapi-with-mic": "gssapiauthentication",
    "password": "passwordauthentication",
    "keyboard-interactive": "kbdinteractiveauthentication",
    "hostbased": "hostbasedauthentication",
}


def _satisfiable(settings: _Settings, version: Version) -> Problem | None:
    """sshd does not start where every list of methods holds one that is turned off."""
    if "authenticationmethods" not in settings:
        return None
    [found] = settings["authenticationmethods"]
    if found.values == ("any",):
        return None
    effective = Effective(version, settings)
    for one in found.values:
        names = {method.partition(":")[0] for method in one.split(",")}
        if all(name == "none" or effective.get(_ENABLED_BY[name]).values == ("yes",) for name in names):
            return None
    return _problem(found, "AuthenticationMethods: none of the lists can be satisfied")


def evaluate(config: Config, connection: Connection | None = None, assume: frozenset[int] = frozenset()) -> Effective:
    """What holds for a connection; without one, what sshd -T prints: the globals.

    A Match block whose result depends on what is unknown does not match, unless its index is in `assume`.
    """
    second = _Pass(config.version, connection or Connection(), assume)
    second.read(config.events)
    known = keywords(config.version)
    settings: _Settings = dict(config.globals)
    found: _Settings = {name: tuple(said) for name, said in second.state.items()}
    _join_over(settings, found)
    for name, said in found.items():
        allowed = known[name].match if name in known else None
        if name == "permituserenvironment" and said[0].values[0] not in ("yes", "no"):
            settings[name] = said  # the list is copied, though the keyword may stand outside of blocks alone
        elif allowed is None or allowed > config.version:
            continue
        elif name == "subsystem":
            settings[name] = _merged(settings.get(name, ()), said)
        elif name in ("forcecommand", "chrootdirectory") and fold(said[0].values[0]) == "none":
            settings[name] = (replace(said[0], values=("none",)),)
        elif name not in ALGORITHM_KINDS:
            settings[name] = said
    algorithms = {
        name: said for name, said in found.items() if name in ALGORITHM_KINDS and known[name].match is not None
    }
    broken = _assembled(algorithms, config.version)
    settings.update(algorithms)
    limits = tuple(second.judge.limits) if second.judge else ()
    return Effective(config.version, settings, tuple(second.applied), second.fatal or broken, limits)


def _join_over(settings: _Settings, found: _Settings) -> None:
    """The two halves of RekeyLimit hold apart from each other."""
    if "rekeylimit size" in found or "rekeylimit time" in found:
        if "rekeylimit" in settings:
            found["rekeylimit"] = settings["rekeylimit"]
        _join_rekey(found)


def _merged(before: Sequence[Setting], said: Sequence[Setting]) -> tuple[Setting, ...]:
    by_name = {setting.values[0]: setting for setting in before}
    by_name.update({setting.values[0]: setting for setting in said})
    return tuple(by_name.values())


def undecided(config: Config, connection: Connection | None = None) -> tuple[int, ...]:
    """The Match blocks that may or may not hold for the connection, as far as it is known."""
    judge = _Judge(connection or Connection(), config.version)
    holds: list[bool | None] = []
    for block in config.matches:
        one = judge.holds(block)
        around = None if block.within is None else holds[block.within]
        if block.within is not None and around is not True and one is not False:
            one = None if around is None else False
        holds.append(one)
    return tuple(index for index, one in enumerate(holds) if one is None)


# The daemon's command line

_FLAG_OPTIONS = {
    "-p": ("port", ""),
    "-h": ("hostkey", ""),
    "-c": ("hostcertificate", ""),
    "-g": ("logingracetime", ""),
    "-4": ("addressfamily", "inet"),
    "-6": ("addressfamily", "inet6"),
    "-q": ("loglevel", "QUIET"),
    "-d": ("loglevel", "DEBUG1"),
}
_TAKES_VALUE = frozenset("CEbcfghkopu")
_FLAGS = frozenset("46DQRTdeiqrtVG")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What sshd is started with: its configuration file (None: the usual one), `options` for parse, and whether it runs.

    `problem` says what sshd would not take.
    """

    config: str | None
    options: tuple[str, ...]
    runs: bool
    problem: str = ""


def command_line(arguments: Sequence[str]) -> CommandLine:
    """The arguments after the program's name, as getopt reads them (sshd(8))."""
    config: str | None = None
    options: list[str] = []
    runs, problem = True, ""
    rest = iter(arguments[:MAX_LINES])
    for argument in rest:
        if argument == "--" or not argument.startswith("-") or argument == "-":
            problem = problem or f"{printable(argument, 60)} is an argument too many"
            break
        at = 1
        while at < len(argument):
            letter = argument[at]
            at += 1
            if letter in _TAKES_VALUE:
                value = argument[at:] or next(rest, None)
                if value is None:
                    problem = problem or f"-{letter} wants a value"
                elif letter == "f":
                    config = value
                elif letter == "o":
                    options.append(value)
                elif letter in "pghc":
                    options.append(f"-{letter}{value}")
                break
            if letter not in _FLAGS:
                problem = problem or f"-{printable(letter)} is no option"
            elif letter in "46qd":
                options.append(f"-{letter}")
            elif letter in "tTVG":
                runs = False
    return CommandLine(config, tuple(options), runs and not problem, problem)
