"""authorized_keys: which keys open an account, and what each of them may do there.

Sources: sshd(8), AUTHORIZED_KEYS FILE FORMAT; OpenSSH 9.2's auth2-pubkeyfile.c and auth-options.c for what is refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.ssh.keys import PublicKey, read_public
from scanner.ssh.source import Problem, Where

BYTES = 8 << 20
LINES = 100_000
MINIMUM_RSA = 1024
"""Bits; sshd reads no shorter RSA key (sshkey.h, SSH_RSA_MINIMUM_MODULUS_SIZE)."""


@dataclass(frozen=True, slots=True)
class AuthorizedKey:
    """One key and what it may do, its options applied in their order, as sshd applies them.

    `options` are as written, a flag's value None. `refused` says why sshd skips the line all the same; "" for a key that
    opens. `command` is None where the client chooses. `permit_open` limits `ssh -L`, `permit_listen` limits `ssh -R`; an
    empty one limits nothing. `sources` (from=) likewise. `expires` is the earliest time, as YYYY-MM-DD HH:MM:SS with a Z
    where it is UTC. `tunnel` is the forced tun device, `any` or a number. sshd_config can take away from all this
    (AllowTcpForwarding, PermitUserEnvironment, ForceCommand …), and adds nothing.
    """

    line: int
    key: PublicKey
    options: tuple[tuple[str, str | None], ...] = ()
    refused: str = ""
    can_forward_tcp: bool = True
    can_forward_agent: bool = True
    can_forward_x11: bool = True
    can_open_terminal: bool = True
    can_run_rc: bool = True
    command: str | None = None
    permit_open: tuple[str, ...] = ()
    permit_listen: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    expires: str = ""
    authority: bool = False
    principals: tuple[str, ...] = ()
    tunnel: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def can_open_shell(self) -> bool:
        """Whether the client says what runs; without a terminal it can still name any program."""
        return self.command is None


@dataclass(frozen=True, slots=True)
class Parsed:
    """`keys` in the order of the file; `problems`: lines that sshd skips, and what a limit cut off."""

    keys: tuple[AuthorizedKey, ...]
    problems: tuple[Problem, ...]


def parse(data: bytes, path: bytes = b"") -> Parsed:
    """Every key of the file; `path` is only named in problems. A broken line is a problem, never an end; never raises."""
    keys: list[AuthorizedKey] = []
    problems: list[Problem] = []
    for number, line in numbered(data, path, problems):
        key, trouble = _line(number, line)
        if key:
            keys.append(key)
        if trouble:
            problems.append(Problem(Where(path, number), trouble))
    return Parsed(tuple(keys), tuple(problems))


def numbered(data: bytes, path: bytes, problems: list[Problem]) -> Iterator[tuple[int, str]]:
    """Lines with something to read, without leading blanks, up to the limits; what they cut off is added to `problems`.

    A NUL hides the rest of its line, as it does from getline(3) and what follows.
    """
    number = start = 0
    size = min(len(data), BYTES)
    while start < size and number < LINES:
        end = data.find(b"\n", start, size)
        end = size if end < 0 else end
        number += 1
        line = data[start:end].partition(b"\0")[0].lstrip(b" \t")
        start = end + 1
        if line and line[:1] not in (b"#", b"\r"):
            yield number, line.decode("utf-8", "backslashreplace")
    if start < len(data):
        problems.append(
            Problem(
                Where(path, number + 1), f"only {LINES} lines and {BYTES} bytes are read; the rest of the file was not"
            )
        )


def _line(number: int, line: str) -> tuple[AuthorizedKey | None, str]:
    key, options = read_public(line), ""
    if key is None:
        end = _field_end(line)
        if end < 0:
            return None, "a quote is opened and never closed; sshd skips the line"
        options = line[:end]
        key = read_public(line[end:])
        if key is None:
            return None, "no key can be read here; sshd skips the line"
    given, unread = _split(options)
    entry = _Access()
    refused = next(filter(None, [entry.apply(name, value) for name, value in given]), unread) or entry.final()
    if key.type == "rsa" and key.bits < MINIMUM_RSA:
        refused = refused or f"an RSA key of {key.bits} bits is too short"
    if key.certificate:
        refused = refused or "a certificate opens nothing here"
    authorized = AuthorizedKey(
        number,
        key,
        given,
        refused,
        entry.flags["port-forwarding"],
        entry.flags["agent-forwarding"],
        entry.flags["x11-forwarding"],
        entry.flags["pty"],
        entry.flags["user-rc"],
        entry.values.get("command"),
        tuple(entry.permit_open),
        tuple(entry.permit_listen),
        _listed(entry.values.get("from", "")),
        entry.expires,
        entry.flags["cert-authority"],
        _listed(entry.values.get("principals", "")),
        entry.values.get("tunnel", "").lower(),
        tuple(entry.environment),
    )
    return authorized, f"{refused}; sshd skips the line" if refused else ""


def _listed(value: str) -> tuple[str, ...]:
    return tuple(part for part in value.split(",") if part)


_FIELD = re.compile(r'(?:[^\\" \t]|\\"|\\|"(?:[^\\"]|\\"|\\)*+")*+')


def _field_end(line: str) -> int:
    """Where the options end, as sshkey_advance_past_options finds it: blanks within quotes belong to them; -1 unclosed."""
    found = _FIELD.match(line)
    end = found.end() if found else 0
    return -1 if line.startswith('"', end) else end


_OPTION = re.compile(r',|([^=," \t]++)(?:="((?:[^\\"]|\\"|\\)*+)")?+(?=([=,]?))')


def _split(options: str) -> tuple[tuple[tuple[str, str | None], ...], str]:
    """The options with their values unquoted, and what is wrong with the first that cannot be read; empty ones are fine."""
    found: list[tuple[str, str | None]] = []
    at = 0
    while at < len(options):
        option = _OPTION.match(options, at)
        if option is None:
            return tuple(found), "its options cannot be read"
        at = option.end()
        if option[1] is None:
            continue
        if option[3] == "=":
            return tuple(found), f"the value of {option[1][:40]} stands in no quotes"
        found.append((option[1].lower(), None if option[2] is None else option[2].replace('\\"', '"')))
        if not option[3] and at < len(options):
            return tuple(found), f"something follows {option[1][:40]} that is no option"
    return tuple(found), ""


_RESTRICTED = ("port-forwarding", "agent-forwarding", "x11-forwarding", "pty", "user-rc")
_FLAGS = (*_RESTRICTED, "touch-required", "verify-required", "cert-authority", "restrict")
_NEGATED = (*_RESTRICTED, "touch-required", "verify-required")
_ONCE = ("command", "from", "principals")
_NUMBER = re.compile(r"[ \t\n\v\f\r]*\+?[0-9]{1,12}|[ \t\n\v\f\r]*-0{1,12}")
"""What strtonum takes where nothing is negative."""
_DEVICES = 0x7FFFFFFF - 2
_PERMIT = re.compile(r"(?:\[[^\]]*+\]|[^:/\[][^:/]*+|)[:/](.*)", re.DOTALL)
_SERVICE = re.compile(r"[A-Za-z][\w.+-]*", re.ASCII)
"""Which ones there are, /etc/services of the image knows."""
_ENVIRONMENT = re.compile(r"([A-Za-z0-9_]+)=(.*)", re.DOTALL)
_TIME = re.compile(
    r"(\d{4})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?:([01]\d|2[0-3])([0-5]\d)([0-5]\d|60)?)?(Z|UTC)?",
    re.ASCII | re.IGNORECASE,
)


class _Access:
    """What the options read so far leave; each is applied in turn, so that `restrict,pty` is not `pty,restrict`."""

    def __init__(self) -> None:
        self.flags = dict.fromkeys(_FLAGS, True)
        self.flags.update(dict.fromkeys(("cert-authority", "restrict", "verify-required"), False))
        self.values: dict[str, str] = {}
        self.permit_open: list[str] = []
        self.permit_listen: list[str] = []
        self.environment: list[tuple[str, str]] = []
        self.expires = ""

    def apply(self, name: str, value: str | None) -> str:
        """What makes sshd refuse this option; "" if nothing does."""
        flag = name.removeprefix("no-")
        if flag in _FLAGS and (flag == name or flag in _NEGATED):
            if value is not None:
                return f"{name} takes no value"
            self.flags[flag] = flag == name
            if flag == "restrict":
                self.flags.update(dict.fromkeys(_RESTRICTED, False))
            return ""
        if name not in (*_ONCE, "environment", "expiry-time", "permitopen", "permitlisten", "tunnel"):
            return f"{name[:40]} is no option that sshd knows"
        if value is None:
            return f"{name} has no value"
        if name in _ONCE:
            if name in self.values:
                return f"{name} is there twice"
            self.values[name] = value
            return ""
        if name == "tunnel":
            if value.lower() != "any" and not (_NUMBER.fullmatch(value) and int(value) <= _DEVICES):
                return "its tunnel is no device"
            self.values[name] = value.strip()
            return ""
        if name == "environment":
            found = _ENVIRONMENT.fullmatch(value)
            if not found:
                return "its environment is no NAME=value"
            self.environment.append((found[1], found[2]))
            return ""
        if name == "expiry-time":
            return self._expiry(value)
        listen = name == "permitlisten"
        where = f"*:{value}" if listen and ":" not in value else value
        found = _PERMIT.fullmatch(where)
        port = found[1] if found else ""
        number = int(port) if _NUMBER.fullmatch(port) else 0
        if not (port == "*" or 0 < number < 65536 or _SERVICE.fullmatch(port)):
            return f"its {name} is no host:port"
        (self.permit_listen if listen else self.permit_open).append(where)
        return ""

    def _expiry(self, value: str) -> str:
        found = _TIME.fullmatch(value)
        if not found or found[1] < "1970":
            return "its expiry-time is no time"
        year, month, day, hour, minute, second, zone = found.groups()
        text = f"{year}-{month}-{day} {hour or '00'}:{minute or '00'}:{second or '00'}{'Z' if zone else ''}"
        self.expires = min(self.expires, text) if self.expires else text
        return ""

    def final(self) -> str:
        """What makes sshd refuse the options together; "" if nothing does."""
        if "principals" in self.values and not self.flags["cert-authority"]:
            return "its principals are for a cert-authority alone"
        if "from" in self.values and all(part.startswith("!") for part in _listed(self.values["from"])):
            return "its from matches no host"
        return ""
