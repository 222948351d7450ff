"""The arguments of sshd's keywords: which are taken, and the words sshd -T prints for them (servconf.c, sshd_config(5)).

A reader is given the arguments of one line and returns its values; it raises Refused where sshd would not start.
"""

from collections.abc import Callable
from dataclasses import dataclass

from scanner.ssh import numbers, patterns
from scanner.ssh.lexing import BLANKS, fold
from scanner.ssh.source import Version
from scanner.ssh.sshd_tables import (
    ARGV_SPLIT,
    SHORT_KEY_NAMES,
    STRICT_LISTS,
    default_algorithms,
    supported_algorithms,
)

HOME = "/root/"
"""What ~/ stands for: sshd expands it as root, and this is where images keep root's home."""
HERE = "/"
"""Where a relative path begins: the folder a daemon is started in."""

_FLAGS = {"yes": "yes", "no": "no"}
_CHOICES = {
    "flag": _FLAGS,
    "addressfamily": {"inet": "inet", "inet6": "inet6", "any": "any"},
    "permitrootlogin": {
        "without-password": "without-password",
        "prohibit-password": "without-password",
        "forced-commands-only": "forced-commands-only",
        **_FLAGS,
    },
    "ignorerhosts": {"shosts-only": "shosts-only", **_FLAGS},
    "compression": {"yes": "yes", "delayed": "yes", "no": "no"},
    "gatewayports": {"clientspecified": "clientspecified", **_FLAGS},
    "forwarding": {"yes": "yes", "all": "yes", "no": "no", "remote": "remote", "local": "local"},
}
_TUNNELS = ("no", "point-to-point", "ethernet", "yes")
_FACILITIES = ("DAEMON", "USER", "AUTH", "AUTHPRIV", *(f"LOCAL{n}" for n in range(8)))
_LEVELS = {
    "SILENT": "SILENT",
    "QUIET": "SILENT",
    "DEBUG1": "DEBUG",
    **{level: level for level in ("FATAL", "ERROR", "INFO", "VERBOSE", "DEBUG", "DEBUG2", "DEBUG3")},
}
_DIGESTS = ("MD5", "SHA1", "SHA256", "SHA384", "SHA512")
METHODS = (
    "none",
    "publickey",
    "gssapi-keyex",
    "gssapi-with-mic",
    "password",
    "keyboard-interactive",
    "hostbased",
)
_QOS = {
    **{f"af{band}{drop}": band * 32 + drop * 8 for band in range(1, 5) for drop in range(1, 4)},
    **{f"cs{band}": band * 32 for band in range(8)},
    "ef": 0xB8,
    "le": 0x04,
    "lowdelay": 0x10,
    "throughput": 0x08,
    "reliability": 0x04,
}
_QOS_NAMES = {value: name for name, value in reversed(_QOS.items())}


class Refused(ValueError):
    """What is wrong with a line; sshd would not start."""


@dataclass(slots=True)
class Arguments:
    """The arguments of one line, taken one after the other; `rest` is the same as written."""

    words: list[str]
    rest: str
    version: Version
    at: int = 0

    @property
    def left(self) -> int:
        return len(self.words) - self.at

    def next(self) -> str | None:
        if self.at >= len(self.words):
            return None
        self.at += 1
        return self.words[self.at - 1]

    def one(self, what: str = "argument") -> str:
        word = self.next()
        if not word:
            raise Refused(f"its {what} is missing")
        return word

    def all(self) -> tuple[str, ...]:
        taken = tuple(self.words[self.at :])
        self.at = len(self.words)
        return taken


Reader = Callable[[Arguments], tuple[str, ...]]


def _choice(name: str) -> Reader:
    choices = _CHOICES[name]

    def read(given: Arguments) -> tuple[str, ...]:
        word = given.one()
        found = choices.get(fold(word))
        if found is None:
            raise Refused(f"{word} is none of {', '.join(choices)}")
        return (found,)

    return read


def _integer(given: Arguments) -> tuple[str, ...]:
    value = numbers.whole(given.one("number"))
    if value is None:
        raise Refused("it wants a number from 0 on")
    return (str(value),)


def _time(given: Arguments) -> tuple[str, ...]:
    value = numbers.seconds(given.one("time"))
    if value is None:
        raise Refused("it wants a time")
    return (str(value),)


def _time_or_none(given: Arguments) -> tuple[str, ...]:
    if given.left and fold(given.words[given.at]) == "none":
        given.next()
        return ("none",)
    return _time(given)


def _port(given: Arguments) -> tuple[str, ...]:
    value = numbers.port(given.one("port"))
    if not value:
        raise Refused("it wants a port")
    return (str(value),)


def host_and_port(text: str) -> tuple[str, str | None]:
    """HOST, HOST:PORT or [HOST]:PORT in two (hpdelim, cleanhostname); Refused where the brackets are wrong or a / comes first."""
    if text.startswith("["):
        end = text.find("]") + 1
        if not end or text[end : end + 1] not in ("", ":"):
            raise Refused(f"{text} is no host and port")
    else:
        colon, slash = text.find(":"), text.find("/")
        if slash >= 0 and (colon < 0 or slash < colon):
            raise Refused(f"{text} is no host and port")
        end = colon if colon >= 0 else len(text)
    host = text[:end]
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host, text[end + 1 :] if end < len(text) else None


def _listen_address(given: Arguments) -> tuple[str, ...]:
    """The host, the port or "", and the routing domain or ""."""
    word = given.one("address")
    if "[" not in word and word.count(":") >= 2:
        host, port = word, ""
    else:
        host, after = host_and_port(word)
        number = 0 if after is None else numbers.port(after)
        if after is not None and not number:
            raise Refused(f"{after} is no port")
        port = str(number) if number else ""
    domain = ""
    following = given.next()
    if following is not None:
        named = given.next()
        if following != "rdomain" or named is None:
            raise Refused("only rdomain NAME may follow the address")
        domain = named
    return host, port, domain


def _tilde(text: str) -> str:
    """~ and ~/ as root's home. Another user's stays: the image's accounts are not asked."""
    if text == "~" or text.startswith("~/"):
        return HOME + text[1:].lstrip("/")
    return text


def _absolute(text: str) -> str:
    if fold(text) == "none":
        return "none"
    expanded = _tilde(text)
    return expanded if expanded.startswith(("/", "~")) else f"{HERE}/{expanded}"


def _path(given: Arguments) -> tuple[str, ...]:
    return (_absolute(given.one("file name")),)


def _agent(given: Arguments) -> tuple[str, ...]:
    word = given.one("socket name")
    return (word if word == "SSH_AUTH_SOCK" else _absolute(word),)


def _provider(given: Arguments) -> tuple[str, ...]:
    word = given.one()
    return (word if fold(word) == "internal" else _absolute(word),)


def _tilde_path(given: Arguments) -> tuple[str, ...]:
    return (_tilde(given.one()),)


def _word(given: Arguments) -> tuple[str, ...]:
    return (given.one(),)


def _command(given: Arguments) -> tuple[str, ...]:
    text = given.rest.lstrip(BLANKS)
    if not text.startswith("/") and fold(text) != "none":
        raise Refused("it wants an absolute path")
    given.all()
    return (text,)


def _rest(given: Arguments) -> tuple[str, ...]:
    if not given.rest:
        raise Refused("its argument is missing")
    given.all()
    return (given.rest.lstrip(BLANKS),)


def _addendum(given: Arguments) -> tuple[str, ...]:
    (text,) = _rest(given)
    if "\r" in text:
        raise Refused("a carriage return may not be in it")
    return ("none",) if fold(text) == "none" else (text,)


def _environment(given: Arguments) -> tuple[str, ...]:
    return (given.one(),)  # yes and no in lower case, or a list of patterns


def _rekey(given: Arguments) -> tuple[str, ...]:
    """The size, and the time or "" where none is given."""
    word = given.one()
    amount = 0 if word == "default" else numbers.size(word)
    if amount is None or (amount != 0 and amount < 16):
        raise Refused(f"{word} is no size, or too small")
    if not given.left:
        return str(amount), ""
    if given.words[given.at] == "none":
        given.next()
        return str(amount), ""
    return str(amount), *_time(given)


def _tunnel(given: Arguments) -> tuple[str, ...]:
    word = given.one()
    if word not in _TUNNELS:
        raise Refused(f"{word} is none of {', '.join(_TUNNELS)}")
    return (word,)


def _upper(word: str) -> str:
    return word.upper() if word.isascii() else word


def _facility(given: Arguments) -> tuple[str, ...]:
    word = _upper(given.next() or "")
    if word not in _FACILITIES:
        raise Refused("it wants a log facility")
    return (word,)


def _level(given: Arguments) -> tuple[str, ...]:
    found = _LEVELS.get(_upper(given.next() or ""))
    if found is None:
        raise Refused("it wants a log level")
    return (found,)


def _digest(given: Arguments) -> tuple[str, ...]:
    word = _upper(given.one())
    if word not in _DIGESTS:
        raise Refused(f"it wants one of {', '.join(_DIGESTS)}")
    return (word,)


def _some(given: Arguments, since: Version = STRICT_LISTS) -> tuple[str, ...]:
    """All arguments; from `since` on there must be one."""
    words = given.all()
    if not words and given.version >= since:
        raise Refused("its argument is missing")
    return words


def _filled(words: tuple[str, ...]) -> tuple[str, ...]:
    if "" in words:
        raise Refused("an argument is empty")
    return words


def _verbose(given: Arguments) -> tuple[str, ...]:
    words = _filled(_some(given))
    if len(words) > 1 and any(fold(word) == "none" for word in words):
        raise Refused("none must stand alone")
    return words


def _users(given: Arguments) -> tuple[str, ...]:
    words = _filled(_some(given))
    for word in words:
        _, at, hosts = word.partition("@")
        if at:
            _network_list(hosts)
    return words


def _network_list(text: str) -> None:
    try:
        patterns.address_list_matches(None, text)
    except patterns.BadMask as error:
        raise Refused(f"{text} holds a network that contradicts itself, or nothing") from error


def _groups(given: Arguments) -> tuple[str, ...]:
    return _filled(_some(given))


def _algorithms(kind: str) -> Reader:
    def read(given: Arguments) -> tuple[str, ...]:
        word = given.one()
        if not word.startswith("-") and not _valid(kind, word[1:] if word[0] in "+^" else word, given.version):
            raise Refused("it names an algorithm that sshd does not know")
        return (word,)

    return read


def _valid(kind: str, names: str, version: Version) -> bool:
    if not names:
        return False
    known = frozenset(supported_algorithms(kind, version))
    gss = supported_algorithms("gsskex", version) if kind in ("kex", "gsskex") else ()
    for name in names.split(","):
        if not name:
            break  # as in OpenSSH, the rest is not looked at
        if kind != "gsskex" and name in known:
            continue
        if gss and name.startswith(gss):
            continue
        if kind == "keys" and (fold(name) in SHORT_KEY_NAMES or _pattern_of_keys(name, version)):
            continue
        return False
    return True


def _pattern_of_keys(pattern: str, version: Version) -> bool:
    if "*" not in pattern and "?" not in pattern:
        names = (*supported_algorithms("keys", version), "null")
        return pattern.startswith("!") and pattern[1:] in names
    return any(patterns.list_matches(name, pattern) for name in (*supported_algorithms("keys", version), "null"))


def assemble(kind: str, value: str, version: Version) -> tuple[str, ...] | None:
    """The algorithms a value stands for: +, - and ^ change the default list, patterns are filled in (kex_assemble_names).

    None where nothing is left, or a pattern is negated.
    """
    base = default_algorithms(kind, version)
    if value.startswith("-"):
        return tuple(name for name in base if patterns.list_matches(name, value[1:]) != 1)
    if value.startswith("+"):
        added = value[1:].split(",")
        wanted = [*base, *(added[: added.index("")] if "" in added else added)]
    elif value.startswith("^"):
        wanted = [*value[1:].split(","), *base]
    else:
        wanted = value.split(",")
    if any(name.startswith("!") for name in wanted):
        return None
    every = supported_algorithms(kind, version)
    known = frozenset(every)
    chosen: dict[str, None] = {}
    for name in dict.fromkeys(wanted):
        if name in known:
            chosen[name] = None
        elif "*" in name or "?" in name:
            chosen.update(dict.fromkeys(other for other in every if patterns.list_matches(other, name) == 1))
    return tuple(chosen) or None


def _subsystem(given: Arguments) -> tuple[str, ...]:
    """The name, and the command with its arguments."""
    name = given.one("name")
    command = given.one("command")
    return name, " ".join((command, *given.all()))


def _startups(given: Arguments) -> tuple[str, ...]:
    """One number, or three; whether they fit what an earlier line said is seen later."""
    found = numbers.colon_numbers(given.one(), 3)
    if len(found) == 3:
        begin, rate, most = found
        if begin > most or not 1 <= rate <= 100:
            raise Refused("it wants START:RATE:FULL")
    elif len(found) != 1:
        raise Refused("it wants START:RATE:FULL")
    if found[0] <= 0 or found[-1] <= 0:
        raise Refused("it wants numbers above 0")
    return tuple(str(number) for number in found)


def _per_source(given: Arguments) -> tuple[str, ...]:
    word = given.one()
    value = numbers.INT_MAX if word == "none" else numbers.whole(word)
    if value is None:
        raise Refused("it wants a number from 0 on")
    return ("none" if value == numbers.INT_MAX else str(value),)


def _net_block(given: Arguments) -> tuple[str, ...]:
    found = numbers.colon_numbers(given.one(), 2)
    if not found or not 0 <= found[0] <= 32 or (len(found) == 2 and not 0 <= found[1] <= 128):
        raise Refused("it wants BITS4:BITS6")
    return tuple(str(number) for number in found)


_PENALTY_TIMES = ("crash", "authfail", "noauth", "grace-exceeded", "refuseconnection", "max", "min")


def _penalties(given: Arguments) -> tuple[str, ...]:
    words = _some(given)
    for word in words:
        name, colon, value = word.partition(":")
        if fold(word) in ("yes", "no"):
            right = len(words) == 1
        elif name in _PENALTY_TIMES and colon:
            right = numbers.seconds(value) is not None
        elif name in ("max-sources4", "max-sources6"):
            right = numbers.whole(value) is not None
        else:
            right = name in ("overflow", "overflow6") and value in ("deny-all", "permissive")
        if not right:
            raise Refused(f"{word} is no penalty")
    return words


def _exempt(given: Arguments) -> tuple[str, ...]:
    word = given.one()
    _network_list(word)
    return (word,)


def _keys_file(given: Arguments) -> tuple[str, ...]:
    return tuple(_tilde(word) for word in _filled(_some(given)))


def _accept_env(given: Arguments) -> tuple[str, ...]:
    words = _filled(_some(given))
    if any("=" in word for word in words):
        raise Refused("it wants the names of variables")
    return words


def _set_env(given: Arguments) -> tuple[str, ...]:
    words = _filled(_some(given))
    if any("=" not in word for word in words):
        raise Refused("it wants NAME=VALUE")
    by_name: dict[str, str] = {}
    for word in words:
        by_name.setdefault(word.partition("=")[0], word)
    return tuple(by_name.values())


def _permit(listen: bool) -> Reader:
    def read(given: Arguments) -> tuple[str, ...]:
        strict = given.version >= STRICT_LISTS
        first = given.one()
        if first in ("any", "none"):
            if strict and any(word in ("any", "none") for word in given.words[given.at :]):
                raise Refused(f"{first} must stand alone")
            if not strict or not given.left:
                return (first,)
        values: list[str] = []
        word: str | None = first
        while word is not None and (word or strict):
            if strict and word == first and word in ("any", "none"):
                values.append(word)
            else:
                values.append(_host_port(word, listen))
            word = given.next()
        return tuple(values)

    return read


def _host_port(word: str, listen: bool) -> str:
    after: str | None = word
    value = word
    if listen and ":" not in word:
        value = f"*:{word}"
    else:
        _, after = host_and_port(word)
    if after is None or (after != "*" and not numbers.port(after)):
        raise Refused(f"{word} has no port")
    return value


def _qos(given: Arguments) -> tuple[str, ...]:
    values = [_one_qos(given.one(), given.version)]
    second = given.next()
    values.append(values[0] if second is None else _one_qos(second, given.version))
    return tuple(values)


def _one_qos(word: str, version: Version) -> str:
    name = fold(word)
    if name == "none" or (version >= Version(10, 0) and name in ("lowdelay", "throughput", "reliability")):
        return "none"  # the old words are still taken, and mean nothing
    value = _QOS.get(name)
    if value is None:
        value = numbers.any_base(word)
    if value is None or not 0 <= value <= 255:
        raise Refused(f"{word} is no quality of service")
    return _QOS_NAMES.get(value) or f"0x{value:02x}"


def _methods(given: Arguments) -> tuple[str, ...]:
    words = given.all()
    if not words:
        raise Refused("its argument is missing")
    seen_any = False
    for word in words:
        if word == "any":
            seen_any = True
            continue
        if seen_any:
            raise Refused("any must stand alone")
        if any(method.partition(":")[0] not in METHODS for method in word.split(",")):
            raise Refused(f"{word} holds a method that sshd does not know")
    if given.version >= STRICT_LISTS and "any" in words[1:]:
        raise Refused("any must stand alone")
    return words


def _mask(given: Arguments) -> tuple[str, ...]:
    value = numbers.octal(given.one())
    if value is None or not 0 <= value <= 0o777:
        raise Refused("it wants an octal mask")
    return (f"0{value:o}",)


def _key_options(given: Arguments) -> tuple[str, ...]:
    words = {fold(word) for word in given.all()}
    if words - {"none", "touch-required", "verify-required"}:
        raise Refused("it wants touch-required or verify-required")
    return tuple(word for word in ("touch-required", "verify-required") if word in words) or ("none",)


def _routing_domain(_: Arguments) -> tuple[str, ...]:
    raise Refused("routing domains are not for this platform")


def _timeouts(given: Arguments) -> tuple[str, ...]:
    words = _some(given)
    for place, word in enumerate(words):
        if fold(word) == "none":
            if place + 1 < len(words) or (place and given.version >= STRICT_LISTS):
                raise Refused("none must stand alone")
            continue
        kind, equals, interval = word.partition("=")
        if not kind or not equals or numbers.seconds(interval) is None:
            raise Refused(f"{word} is no TYPE=TIME")
    return words


def _ignored(given: Arguments) -> tuple[str, ...]:
    return given.all()


READERS: dict[str, Reader] = {
    **{name: _choice(name) for name in _CHOICES},
    **{kind: _algorithms(kind) for kind in ("ciphers", "macs", "kex", "gsskex")},
    "keyalgorithms": _algorithms("keys"),
    "integer": _integer,
    "time": _time,
    "timeornone": _time_or_none,
    "port": _port,
    "listenaddress": _listen_address,
    "path": _path,
    "agent": _agent,
    "provider": _provider,
    "tilde": _tilde_path,
    "word": _word,
    "command": _command,
    "rest": _rest,
    "addendum": _addendum,
    "environment": _environment,
    "rekey": _rekey,
    "tunnel": _tunnel,
    "facility": _facility,
    "level": _level,
    "digest": _digest,
    "verbose": _verbose,
    "users": _users,
    "groups": _groups,
    "subsystem": _subsystem,
    "startups": _startups,
    "persource": _per_source,
    "netblock": _net_block,
    "penalties": _penalties,
    "exempt": _exempt,
    "keysfile": _keys_file,
    "acceptenv": _accept_env,
    "setenv": _set_env,
    "permitopen": _permit(listen=False),
    "permitlisten": _permit(listen=True),
    "ipqos": _qos,
    "methods": _methods,
    "mask": _mask,
    "keyoptions": _key_options,
    "rdomain": _routing_domain,
    "timeouts": _timeouts,
    "ignored": _ignored,
}


def read(reader: str, given: Arguments) -> tuple[str, ...]:
    """The values of a line. Raises Refused for what the release would not take, arguments too many included."""
    values = READERS[reader](given)
    if given.left and (given.version >= ARGV_SPLIT or given.words[given.at]):
        raise Refused("an argument is too many")
    return values
