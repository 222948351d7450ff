"""What the command line of an SSH client would do, read without running it: ssh, autossh, dbclient, plink, sftp, scp, mosh.

Sources: ssh(1), sftp(1), scp(1) and their getopt strings (OpenSSH 9.2, and -P TAG of 9.4), autossh(1), dbclient(1) and
cli-runopts.c of Dropbear 2022.83, plink(1) and cmdline.c of PuTTY 0.78, mosh(1).
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scanner.ssh import forward, numbers
from scanner.ssh import keywords_ssh_config as keywords
from scanner.ssh.forward import Forward
from scanner.ssh.lexing import keyword, trimmed
from scanner.ssh.patterns import list_matches
from scanner.ssh.source import Where
from scanner.ssh.ssh_config import Directive, read_directive
from scanner.ssh.targets import destination_of_uri

WORDS = 4096
WORD = 8192
"""Words of a command line, and characters of one, that are looked at; a longer line has `cut` set."""
DEEP = 4
"""Commands within the remote commands of commands."""
NESTED = 16384
"""Characters of a remote command that are searched for another client."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What one command line does. What it does not say is None or empty, and then a configuration file may say it.

    `host`, `user` and `port` are None, too, where they are left to a variable; such words are in `unresolved`, and `destination`
    is the word as written. `options` says all that the line sets in the words of ssh_config(5), the first of a keyword
    winning: what ssh_config.evaluate takes. With a `problem` the client refuses to run, or only prints something.
    """

    program: str
    argv: tuple[str, ...]
    destination: str | None = None
    user: str | None = None
    host: str | None = None
    port: int | None = None
    forwards: tuple[Forward, ...] = ()
    cleared: bool = False
    jump_hosts: tuple[str, ...] = ()
    identity_files: tuple[str, ...] = ()
    config_file: str | None = None
    background: bool = False
    no_command: bool = False
    no_tty: bool = False
    session_type: str = "default"
    strict_host_key_checking: str | None = None
    known_hosts_files: tuple[str, ...] = ()
    server_alive_interval: int | None = None
    exit_on_forward_failure: bool | None = None
    proxy_command: str | None = None
    agent_forwarding: bool | None = None
    x11_forwarding: bool | None = None
    gateway_ports: bool | None = None
    control_master: str | None = None
    control_path: str | None = None
    control_command: str | None = None
    command: tuple[str, ...] = ()
    nested: "Invocation | None" = None
    reconnects: bool = False
    monitor_port: int | None = None
    password: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    unresolved: tuple[str, ...] = ()
    problem: str | None = None
    cut: bool = False

    @property
    def connects_to(self) -> str | None:
        """The host behind -o Hostname, or the destination's; None where it is a variable, or what a proxy makes of it."""
        named = next((text for name, text in self.options if name == "hostname"), None)
        if named is None or self.host is None:
            return self.host
        return _plain(named.strip('"').replace("%h", self.host))

    def summary(self) -> str:
        """What it does, in one phrase."""
        there = self.host or self.destination or "somewhere"
        phrases = [_phrase(_opened(one, self.gateway_ports), there) for one in self.forwards]
        if phrases:
            more = f"; and {len(phrases) - 3} more" if len(phrases) > 3 else ""
            return "; ".join(phrases[:3]) + more
        if self.nested is not None:
            return f"on {there}: {self.nested.summary()}"
        if self.program in ("sftp", "scp"):
            return f"copies files between here and {there}"
        if self.command:
            return f"runs {self.command[0]} on {there}"
        return f"connects to {there}"


def _opened(one: Forward, gateway_ports: bool | None) -> Forward:
    """The forwarding as -g leaves it: where no address is said, a port here listens on every one."""
    here = one.kind in ("local", "dynamic") and one.listen_host is None
    return replace(one, listen_host="*") if gateway_ports and here else one


def _phrase(one: Forward, there: str) -> str:
    """A forwarding in words, `there` being the other end."""
    if one.kind == "tun":
        return f"network tunnel between a tun device here and one on {there}"
    if one.kind == "stdio":
        return f"input and output joined to {one.target} through {there}"
    if one.kind == "dynamic":
        return f"SOCKS proxy: {one.listen} here leads anywhere through {there}"
    if one.kind == "remote-dynamic":
        return f"reverse SOCKS proxy: {one.listen} on {there} leads anywhere from here"
    if one.kind == "remote":
        return f"reverse tunnel: {one.listen} on {there} leads to {one.target} here"
    return f"tunnel: {one.listen} here leads to {one.target} through {there}"


# Reading


@dataclass(slots=True)
class _Line:
    """A command line as it is read."""

    program: str
    settings: dict[str, list[Directive]] = field(default_factory=dict)
    forwards: list[Forward] = field(default_factory=list)
    added: list[Directive] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    problem: str | None = None
    config_file: str | None = None
    control_command: str | None = None
    monitor: str | None = None
    verbose: bool = False
    password: bool = False
    destination: str | None = None
    command: tuple[str, ...] = ()

    def refuse(self, message: str) -> None:
        self.problem = self.problem or message

    def current(self, name: str) -> str | None:
        """The value that wins so far."""
        first = next((one for one in self.settings.get(name, ()) if one.values), None)
        return first.values[0] if first else None

    def first(self, name: str, value: str) -> None:
        """An option that goes before what was said before it."""
        self.settings.setdefault(name, []).insert(0, _directive(name, value))

    def next(self, name: str, value: str) -> None:
        """An option that counts where nothing was said before it."""
        self.settings.setdefault(name, []).append(_directive(name, value))


def _directive(name: str, value: str) -> Directive:
    text = _quoted(value)
    if forward.variable(value):
        return Directive(Where(b"", 0), name, (value,), text)
    return read_directive(name, text, Where(b"", 0), command_line=True)


_SAFE = re.compile(r"[A-Za-z0-9_./:@%+,~*^-]+\Z")


def _quoted(value: str) -> str:
    """The value as one word of ssh_config(5)."""
    if _SAFE.match(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


_ASSIGNMENT = re.compile(r"([A-Za-z_]\w{0,60})=(.*)\Z", re.DOTALL)
_LONELY = re.compile(r"\$(?:\{?[A-Za-z_]\w*(?:\[[@*]\])?\}?|[@*])\Z")
_OPTIONS_BY_NAME = re.compile(r"opt|arg|flag|param|\$[@*]|\[[@*]\]", re.IGNORECASE)
_PROGRAMS = frozenset("ssh slogin autossh dbclient plink sftp scp mosh".split())


def parse(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Invocation | None:
    """The command line, its program first (NAME=VALUE words may stand before it); None where it is no client of SSH.

    Never raises. `environment` holds what the launch sets; of it only AUTOSSH_* matters.
    """
    return _parse(argv, dict(environment or {}), DEEP)


def _parse(argv: Sequence[str], environment: dict[str, str], deep: int) -> Invocation | None:
    cut = len(argv) > WORDS or any(len(word) > WORD for word in argv[:WORDS])
    words = [word[:WORD] for word in argv[:WORDS]]
    start = 0
    while start < len(words) and (found := _ASSIGNMENT.match(words[start])):
        environment[found[1]] = found[2]
        start += 1
    words = words[start:]
    if words and _name(words[0]) == "dropbearmulti":
        words = words[1:]
        if words and words[0] == "ssh":
            words[0] = "dbclient"
    if not words or _name(words[0]) not in _PROGRAMS:
        return None
    line = _Line(_name(words[0]))
    match line.program:
        case "dbclient":
            _read_dbclient(line, words[1:])
        case "plink":
            _read_plink(line, words[1:])
        case "sftp" | "scp":
            _read_copy(line, words[1:])
        case "mosh":
            _read_mosh(line, words[1:])
        case _:
            _read_ssh(line, words[1:])
    if line.program == "autossh":
        line.monitor = environment.get("AUTOSSH_PORT", line.monitor)
    nested = _nested(line.command, deep) if deep > 0 else None
    kept = tuple((name, value) for name, value in environment.items() if name.startswith("AUTOSSH_"))
    return replace(_made(line, tuple(argv[:WORDS])), nested=nested, environment=kept, cut=cut)


def _name(word: str) -> str:
    return word.replace("\\", "/").rsplit("/", 1)[-1].lower().removesuffix(".exe")


def _options(line: _Line, words: Sequence[str], flags: str, valued: str, at: int) -> Iterator[tuple[str, str, int]]:
    """The options from a place on, with their values, and the place after each, as getopt(3) without permutation cuts them.

    A letter of "-" is `--`, which ends them. An unknown one, or one without its value, refuses the line and ends them.
    """
    while at < len(words):
        word = words[at]
        if word == "--":
            yield "-", "", at + 1
            return
        if len(word) < 2 or word[0] != "-":
            return
        at += 1
        for place, letter in enumerate(word[1:], 2):
            if letter in valued:
                if place < len(word):
                    value = word[place:]
                elif at < len(words):
                    value, at = words[at], at + 1
                else:
                    line.refuse(f"-{letter} has no value")
                    return
                yield letter, value, at
                break
            if letter not in flags:
                line.refuse(f"there is no option -{letter}")
                return
            yield letter, "", at


_SSH_FLAGS = "1246afgknqstvxyACGKMNTVXY"
_SSH_VALUED = "bceilmopBDEFIJLOPQRSwW"


def _read_ssh(line: _Line, words: Sequence[str]) -> None:
    flags, valued = _SSH_FLAGS, _SSH_VALUED
    if line.program == "autossh":
        flags, valued = flags.replace("M", ""), valued + "M"
    at, ended = 0, False
    while True:
        for letter, value, after in _options(line, words, flags, valued, at):
            at = after
            if letter != "-":
                _ssh_option(line, letter, value)
        if at >= len(words) or (line.problem and line.destination is None):
            break
        ended = ended or (at > 0 and words[at - 1] == "--")
        word = words[at]
        if line.destination is not None:
            line.command = tuple(words[at:])
            break
        at += 1
        if _LONELY.match(word) and _OPTIONS_BY_NAME.search(word) and at < len(words) and not ended:
            line.unresolved.append(word)  # options of the script's own, or its caller's
            continue
        _ssh_destination(line, word)
        if ended:
            line.command = tuple(words[at:])
            break
    if line.destination is None:
        line.refuse("there is no destination")
    if line.current("sessiontype") == "subsystem" and not line.command:
        line.refuse("-s has no subsystem")
    if line.command and (line.current("remotecommand") or "none").lower() != "none":
        line.refuse("it has a command and a RemoteCommand")
    if (
        line.current("forkafterauthentication") == "yes"
        and line.program != "autossh"
        and not (line.command or line.current("sessiontype") == "none" or line.current("remotecommand"))
    ):
        line.refuse("-f has no command to run")


def _ssh_destination(line: _Line, word: str) -> None:
    line.destination = word
    uri = destination_of_uri("ssh", word)
    if forward.variable(word):
        line.unresolved.append(word)
    if uri is not None and uri.raw:
        if uri.path is not None:
            line.refuse("the destination has a path")
        if uri.user is not None:
            line.next("user", uri.user)
        if uri.port is not None:
            line.next("port", str(uri.port))
        return
    if uri is None and not forward.variable(word):
        line.refuse("the destination is a broken URI")
    user, sign, _ = word.rpartition("@")
    if sign and not user:
        line.refuse("the destination has no user before its @")
    elif sign and "://" not in word:
        line.next("user", user)


_LEVELS = "QUIET FATAL ERROR INFO VERBOSE DEBUG DEBUG2 DEBUG3".split()
_SIMPLE = {
    "4": (("addressfamily", "inet"),),
    "6": (("addressfamily", "inet6"),),
    "n": (("stdinnull", "yes"),),
    "f": (("forkafterauthentication", "yes"), ("stdinnull", "yes")),
    "x": (("forwardx11", "no"),),
    "X": (("forwardx11", "yes"),),
    "Y": (("forwardx11", "yes"), ("forwardx11trusted", "yes")),
    "g": (("gatewayports", "yes"),),
    "a": (("forwardagent", "no"),),
    "A": (("forwardagent", "yes"),),
    "k": (("gssapidelegatecredentials", "no"),),
    "K": (("gssapiauthentication", "yes"), ("gssapidelegatecredentials", "yes")),
    "T": (("requesttty", "no"),),
    "C": (("compression", "yes"),),
    "q": (("loglevel", "QUIET"),),
}
"""Flags that set something, whatever was set before."""
_VALUED = {
    "b": "bindaddress",
    "B": "bindinterface",
    "c": "ciphers",
    "e": "escapechar",
    "I": "pkcs11provider",
    "m": "macs",
    "S": "controlpath",
    "P": "tag",
}
_PRINTS = frozenset("GVQ")


def _ssh_option(line: _Line, letter: str, value: str) -> None:
    """One option of ssh(1), as main() of ssh.c takes it."""
    if value and forward.variable(value):
        line.unresolved.append(value)
    for name, said in _SIMPLE.get(letter, ()):
        line.first(name, said)
    if letter in _VALUED:
        line.first(_VALUED[letter], value)
        _check(line, _VALUED[letter], 0, f"-{letter}")
    elif letter in _PRINTS:
        line.refuse("it only prints what it is asked for")
    match letter:
        case "1":
            line.refuse("protocol 1 is gone")
        case "F":
            line.config_file = value
        case "O":
            if line.control_command is not None or any(one.kind == "stdio" for one in line.forwards):
                line.refuse("-O comes with another one or with -W")
            line.control_command = value
            if value not in ("check", "forward", "exit", "stop", "cancel", "proxy"):
                line.refuse("-O has no such command")
        case "M" if line.program == "autossh":
            line.monitor = value
        case "M":
            line.first("controlmaster", "ask" if line.current("controlmaster") == "yes" else "yes")
        case "i":
            line.added.append(_directive("identityfile", value))
        case "J":
            _jump(line, value)
        case "t":
            line.first("requesttty", "force" if line.current("requesttty") == "yes" else "yes")
        case "v":
            level = _LEVELS.index(line.current("loglevel") or "INFO")
            line.first("loglevel", "DEBUG" if not line.verbose else _LEVELS[min(level + 1, len(_LEVELS) - 1)])
            line.verbose = True
        case "w":
            line.next("tunnel", "yes")
            line.first("tunneldevice", value)
            _check(line, "tunneldevice", 0, "-w")
        case "W":
            _stdio(line, value)
        case "p" if line.current("port") is None:  # a second one is not even looked at
            line.next("port", value)
            _check(line, "port", -1, "-p")
        case "l":
            line.next("user", value)
        case "L" | "R" | "D":
            _forwarding(line, letter, value)
        case "N":
            _session(line, "none")
            line.first("requesttty", "no")
        case "s":
            _session(line, "subsystem")
        case "o":
            _set(line, value)


def _check(line: _Line, name: str, index: int, option: str) -> None:
    found = line.settings[name][index]
    if found.problem is not None:
        line.refuse(f"{option}: {found.problem}")


def _session(line: _Line, kind: str) -> None:
    if line.current("sessiontype") not in (None, kind):
        line.refuse("it has two kinds of session")
    line.first("sessiontype", kind)


def _jump(line: _Line, value: str) -> None:
    if line.current("proxyjump") is not None or line.current("proxycommand") is not None:
        line.refuse("-J comes after another jump or proxy")
    found = Directive(Where(b"", 0), "proxyjump", (value,), value)
    if not forward.variable(value) and keywords.hops(value, strict=True) is None:
        line.refuse("-J: it takes hosts with a comma between them")
    line.settings.setdefault("proxyjump", []).append(found)


def _stdio(line: _Line, value: str) -> None:
    found = forward.parse(value, dynamic=True, remote=False, option="-W", variables=True)
    if line.control_command is not None or any(one.kind == "stdio" for one in line.forwards):
        line.refuse("-W comes with another one or with -O")
    if found is None:
        line.refuse("-W: it takes a host and a port")
        return
    stdio = Forward("stdio", None, None, None, found.listen_host, found.listen_port, found.listen_path, value, "-W")
    line.forwards.append(stdio)
    line.first("requesttty", "no")
    line.first("sessiontype", "none")


def _forwarding(line: _Line, letter: str, value: str) -> None:
    option = f"-{letter}"
    remote = letter == "R"
    found = forward.parse(value, dynamic=letter == "D", remote=remote, option=option, variables=True)
    if found is None and remote:
        found = forward.parse(value, dynamic=True, remote=True, option=option, variables=True)
    if found is None:
        line.refuse(f"{option}: it is no forwarding")
        return
    _add_forward(line, found)


def _add_forward(line: _Line, found: Forward) -> None:
    """Add it, unless it is there already, and say it in the words of ssh_config(5)."""
    bare = replace(found, raw="", option="")
    if any(replace(one, raw="", option="") == bare for one in line.forwards[-64:]):
        return
    line.forwards.append(found)
    name = "remoteforward" if found.kind.startswith("remote") else "localforward"
    if found.kind in ("dynamic", "remote-dynamic") or found.option == "-D":
        name = "dynamicforward" if name == "localforward" else name
        line.added.append(Directive(Where(b"", 0), name, (found.raw,), _quoted(found.raw)))
        return
    parts = found.raw.split(":")
    for count in range(1, len(parts)):
        listen, target = ":".join(parts[:count]), ":".join(parts[count:])
        if listen and target:
            line.added.append(Directive(Where(b"", 0), name, (found.raw,), f"{_quoted(listen)} {_quoted(target)}"))
            return


def _set(line: _Line, text: str) -> None:
    """-o KEYWORD=VALUE, in all the ways a line of ssh_config(5) may be written."""
    name, rest = keyword(trimmed(text))
    if not name:
        return
    found = read_directive(name, rest.lstrip(" \t\r\n"), Where(b"", 0), command_line=True)
    loose = forward.variable(text)
    if found.unknown:
        excused = line.current("ignoreunknown")
        if not loose and (excused is None or list_matches(found.keyword, excused, lower=True) != 1):
            line.refuse(f"-o: there is no keyword {name}")
        return
    if found.problem is not None and not loose:
        line.refuse(f"-o {name}: {found.problem}")
        return
    if found.problem is not None:
        found = replace(found, values=(rest.strip(),))
    known = keywords.KEYWORDS.get(found.keyword)
    if found.keyword in keywords.SHOWN_NAMES and found.values:
        _set_forward(line, found)
    elif known is not None and known.accumulates:
        line.added.append(found)
    elif known is not None and not known.ignored:
        line.settings.setdefault(found.keyword, []).append(found)


def _set_forward(line: _Line, found: Directive) -> None:
    option = keywords.SHOWN_NAMES[found.keyword]
    spec, kind = (*found.values, "")[:2]
    remote = found.keyword == "remoteforward"
    dynamic = bool(kind) or found.keyword == "dynamicforward"
    if len(found.values) == 1:  # what could not be read, for its variables
        spec = ":".join(spec.split(None, 1))
    made = forward.parse(spec, dynamic=dynamic, remote=remote, option=option, variables=True)
    if made is None:
        made = Forward("remote" if remote else "dynamic" if dynamic else "local", raw=spec, option=option)
    before = len(line.forwards)
    _add_forward(line, made)
    if len(line.forwards) > before and line.added:
        line.added[-1] = found
    elif len(line.forwards) > before:
        line.added.append(found)


# The other programs


_COPY = {
    "sftp": ("1246AafhNpqrvC", "cDilosSbBFJPRX"),
    "scp": ("12346ABCTdfOpqRrstv", "DFJMPSciloX"),
}


def _read_copy(line: _Line, words: Sequence[str]) -> None:
    """sftp and scp run ssh without forwardings; of the files only the first remote one is looked at."""
    flags, valued = _COPY[line.program]
    for name, value in (("forwardx11", "no"), ("permitlocalcommand", "no"), ("clearallforwardings", "yes")):
        line.first(name, value)
    at = 0
    for letter, value, after in _options(line, words, flags, valued, at):
        at = after
        if letter == "P":
            _ssh_option(line, "p", value)
        elif letter in "46cioFJCAvq":
            _ssh_option(line, letter, value)
    for word in words[at:]:
        found = _remote_file(line.program, word)
        if found is None:
            continue
        user, host, port = found
        line.destination = word
        if forward.variable(word):
            line.unresolved.append(word)
        if user:
            line.next("user", user)
        if port is not None:
            line.next("port", str(port))
        line.settings["host"] = [Directive(Where(b"", 0), "host", (host,), host)]
        break
    else:
        line.refuse("there is no remote file")


def _remote_file(program: str, word: str) -> tuple[str | None, str, int | None] | None:
    """User, host and port of [user@]host:path or a URI; None for a file here. sftp's first word is always a host."""
    uri = destination_of_uri(program, word)
    if uri is not None and uri.raw:
        return uri.user, uri.host or "", uri.port
    stop = _colon(word)
    if stop < 0 and program == "scp":
        return None
    place = word if stop < 0 else word[:stop]
    user, sign, host = place.rpartition("@")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return (user if sign and user else None), host, None


def _colon(word: str) -> int:
    """Where the colon after a host stands, -1 where there is none (misc.c: colon)."""
    if word.startswith(":"):
        return -1
    bracket = word.startswith("[") or "@[" in word.partition("/")[0]
    for at, mark in enumerate(word):
        if mark == ":" and (not bracket or word[at - 1] == "]"):
            return at
        if mark == "/":
            return -1
    return -1


def _read_dbclient(line: _Line, words: Sequence[str]) -> None:
    """Dropbear's client: options may stand behind the destination, unknown ones are passed over, hops are listed with commas."""
    flags, valued = "yqtTNfsguAvzFDVh", "poLRBJlWKIcmbi"
    at, checks = 0, 0
    while at < len(words):
        word = words[at]
        if not word.startswith("-"):
            if line.destination is not None:
                line.command = tuple(words[at:])
                break
            line.destination = word
            at += 1
            continue
        at += 1
        for place, letter in enumerate(word[1:], 2):
            if letter not in valued:
                checks += letter == "y"
                if letter in flags:
                    _dbclient_flag(line, letter)
                continue
            value = word[place:]
            if not value and at < len(words):
                value, at = words[at], at + 1
            elif not value:
                line.refuse(f"-{letter} has no value")
            _dbclient_option(line, letter, value)
            break
    if checks:
        line.first("stricthostkeychecking", "no" if checks > 1 else "accept-new")
    if line.destination is None:
        line.refuse("there is no destination")
        return
    _dbclient_hops(line, line.destination)


def _dbclient_flag(line: _Line, letter: str) -> None:
    if letter in "fTgA":
        for name, said in _SIMPLE[letter]:
            line.first(name, said)
    elif letter == "N":
        line.first("sessiontype", "none")
    elif letter == "s":
        line.first("sessiontype", "subsystem")
    elif letter in "Vh":
        line.refuse("it only prints what it is asked for")


def _dbclient_option(line: _Line, letter: str, value: str) -> None:
    if forward.variable(value):
        line.unresolved.append(value)
    match letter:
        case "p":
            line.first("port", value)
        case "l":
            line.first("user", value)
        case "L" | "R":
            _forwarding(line, letter, value)
        case "B":
            _stdio(line, value)
            line.forwards = [replace(one, option="-B") if one.option == "-W" else one for one in line.forwards]
        case "J":
            line.settings["proxycommand"] = [Directive(Where(b"", 0), "proxycommand", (value,), value)]
        case "K":
            line.first("serveraliveinterval", value)
        case "i":
            line.added.append(_directive("identityfile", value))
        case "b":
            line.first("bindaddress", value)
        case "o" if value.lower().startswith(("exitonforwardfailure", "port")):
            _set(line, value)
        case _:
            pass  # others change nothing that is looked at


def _dbclient_hops(line: _Line, word: str) -> None:
    if forward.variable(word):
        line.unresolved.append(word)
    *hops, last = word.split(",")
    user, sign, place = last.partition("@")
    if not sign:
        user, place = "", last
    host, port = place, ""
    for mark in "^/":
        if mark in place:
            host, _, port = place.partition(mark)
            break
    if user:
        line.first("user", user)
    if port:
        line.first("port", port)
    line.settings["host"] = [Directive(Where(b"", 0), "host", (host,), host)]
    if hops:
        text = ",".join(hop.replace("^", ":").replace("/", ":") for hop in hops)
        line.settings["proxyjump"] = [Directive(Where(b"", 0), "proxyjump", (text,), text)]


_PLINK_VALUED = frozenset(
    "-load -l -P -pw -pwfile -L -R -D -nc -m -i -cert -hostkey -loghost -sercfg -sessionlog -sshlog -sshrawlog -proxycmd "
    "-logappend -o".split()
) - {"-logappend"}


def _read_plink(line: _Line, words: Sequence[str]) -> None:
    """PuTTY's plink: each option is a word of its own, and its value the next one."""
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith("-"):
            if line.destination is not None:
                line.command = tuple(words[at - 1 :])
                break
            _ssh_destination(line, word)
            continue
        value = ""
        if word in _PLINK_VALUED:
            if at >= len(words):
                line.refuse(f"{word} has no value")
                break
            value, at = words[at], at + 1
            if forward.variable(value):
                line.unresolved.append(value)
        _plink_option(line, word, value)
    if line.destination is None:
        line.refuse("there is no destination")


def _plink_option(line: _Line, word: str, value: str) -> None:
    match word:
        case "-L" | "-R" | "-D":
            _forwarding(line, word[1], value.removeprefix("4").removeprefix("6") if value[1:2] in "L" else value)
        case "-nc":
            _stdio(line, value)
            line.forwards = [replace(one, option="-nc") if one.option == "-W" else one for one in line.forwards]
        case "-P":
            line.first("port", value)
        case "-l":
            line.first("user", value)
        case "-i":
            line.added.append(_directive("identityfile", value))
        case "-pw" | "-pwfile":
            line.password = True
        case "-proxycmd":
            line.settings["proxycommand"] = [Directive(Where(b"", 0), "proxycommand", (value,), value)]
        case "-hostkey":
            line.first("stricthostkeychecking", "yes")
        case "-load":
            line.config_file = value
            line.destination = line.destination or value
        case "-N":
            line.first("sessiontype", "none")
        case "-s":
            line.first("sessiontype", "subsystem")
        case "-batch":
            line.first("batchmode", "yes")
        case "-A" | "-a" | "-X" | "-x" | "-T" | "-C" | "-4" | "-6":
            for name, said in _SIMPLE[word[1]]:
                line.first(name, said)
        case "-V" | "--version" | "--help" | "-pgpfp":
            line.refuse("it only prints what it is asked for")
        case _:
            pass  # others change nothing that is looked at


_MOSH_VALUED = frozenset(
    "--client --server --predict --port -p --family --ssh --bind-server --experimental-remote-ip".split()
)


def _read_mosh(line: _Line, words: Sequence[str]) -> None:
    """mosh starts its server through ssh, whose own options may stand in --ssh."""
    through: list[str] = []
    rest: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            rest += words[at:]
            break
        if not word.startswith("-") or len(word) < 2:
            rest.append(word)
            continue
        name, sign, value = word.partition("=")
        if name in _MOSH_VALUED and not sign and at < len(words):
            value, at = words[at], at + 1
        if name == "--ssh":
            through = _split(value)
        elif name in ("--help", "--version"):
            line.refuse("it only prints what it is asked for")
    if not rest:
        line.refuse("there is no destination")
        return
    _read_ssh(line, [*through[1:], "--", rest[0]])
    line.command = tuple(rest[1:])


def _split(text: str) -> list[str]:
    """The words of a shell's text, its operators words of their own; none where a quote is never closed."""
    reader = shlex.shlex(text[:NESTED], posix=True, punctuation_chars=";&|()\n")
    reader.whitespace_split = True
    reader.whitespace = " \t\r"
    reader.commenters = ""
    try:
        return list(reader)
    except ValueError:
        return []


def _nested(command: Sequence[str], deep: int) -> Invocation | None:
    """The first client among the commands that the other end is told to run."""
    text = " ".join(command)
    if not any(name in text for name in _PROGRAMS):
        return None
    words: list[str] = []
    for word in [*_split(text), ";"]:
        if word and not word.strip(";&|()\n"):
            found = _parse(words, {}, deep - 1) if words else None
            if found is not None:
                return found
            words = []
        elif words or word not in ("exec", "nohup", "sudo", "setsid", "command", "then", "do"):
            words.append(word)
    return None


# What it comes to


def _made(line: _Line, argv: tuple[str, ...]) -> Invocation:
    cleared = line.current("clearallforwardings")
    stdio = [one for one in line.forwards if one.kind == "stdio"]
    clears = cleared == "yes" or (bool(stdio) and cleared is None)
    forwards = stdio if clears else [*line.forwards, *_tun(line)]
    if line.control_command in ("check", "exit", "stop", "cancel"):
        forwards = []
    user, port = line.current("user"), line.current("port")
    settings = {name: found for name, found in line.settings.items() if name != "host"}
    options = [(one.keyword, one.text) for found in settings.values() for one in found if one.keyword != "user"]
    options += [(one.keyword, one.text) for one in line.added]
    session = line.current("sessiontype") or "default"
    alive = line.current("serveraliveinterval")
    jump = line.current("proxyjump")
    hosts = line.settings.get("userknownhostsfile")
    return Invocation(
        program=line.program,
        argv=argv,
        destination=line.destination,
        user=_plain(user),
        host=_host(line),
        port=numbers.port(port) if port else None,
        forwards=tuple(forwards),
        cleared=clears,
        jump_hosts=() if jump is None or jump.lower() == "none" else tuple(jump.split(",")),
        identity_files=tuple(one.values[0] for one in line.added if one.keyword == "identityfile" and one.values),
        config_file=line.config_file,
        background=line.current("forkafterauthentication") == "yes",
        no_command=session == "none",
        no_tty=line.current("requesttty") == "no",
        session_type=session,
        strict_host_key_checking=line.current("stricthostkeychecking"),
        known_hosts_files=hosts[0].values if hosts else (),
        server_alive_interval=numbers.whole(alive) if alive else None,
        exit_on_forward_failure=_truth(line.current("exitonforwardfailure")),
        proxy_command=line.current("proxycommand"),
        agent_forwarding=_truth(line.current("forwardagent")),
        x11_forwarding=_truth(line.current("forwardx11")),
        gateway_ports=_truth(line.current("gatewayports")),
        control_master=line.current("controlmaster"),
        control_path=line.current("controlpath"),
        control_command=line.control_command,
        command=line.command or tuple((line.current("remotecommand") or "").split()),
        reconnects=line.program == "autossh",
        monitor_port=_monitor(line.monitor),
        password=line.password,
        options=tuple(options),
        unresolved=tuple(dict.fromkeys(line.unresolved)),
        problem=line.problem,
    )


def _truth(value: str | None) -> bool | None:
    return None if value is None else value != "no"


def _plain(text: str | None) -> str | None:
    """The text, if no variable stands in it."""
    return None if text is None or forward.variable(text) else text


def _host(line: _Line) -> str | None:
    word = line.destination
    if "host" in line.settings:
        return _plain(line.current("host"))
    if word is None:
        return None
    uri = destination_of_uri("ssh", word)
    if uri is not None and uri.raw:
        return uri.host
    host = word.rpartition("@")[2]
    return None if "://" in word else _plain(host)


def _tun(line: _Line) -> list[Forward]:
    """The tun device that -w or Tunnel asks for."""
    if line.current("tunnel") in (None, "no"):
        return []
    device = next((one for one in line.settings.get("tunneldevice", ()) if one.values), None)
    pair = (*device.values, "any")[:2] if device else ("any", "any")
    here, there = (numbers.whole(word) for word in pair)
    option = "Tunnel" if device is None else "-w"
    return [Forward("tun", listen_port=here, target_port=there, raw=device.text if device else "", option=option)]


def _monitor(text: str | None) -> int | None:
    """autossh's own port, over which it sends itself messages; None where it has none."""
    port = numbers.whole((text or "").partition(":")[0], 65534)
    return port or None
