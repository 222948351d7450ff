"""known_hosts: which hosts somebody has been to, or will trust. With a key beside it, where that key leads.

Sources: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; OpenSSH's hostfile.c (hashed names) and match.c (patterns).
"""

import binascii
import hmac
import re
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass

from scanner.ssh.authorized_keys import numbered
from scanner.ssh.keys import PublicKey, read_public
from scanner.ssh.lexing import fold
from scanner.ssh.patterns import host_matches
from scanner.ssh.source import Problem, Where

DEFAULT_PORT = 22


@dataclass(frozen=True, slots=True)
class HostKey:
    """One line: `names` are its patterns, or one hashed name. `marker` is "", `cert-authority` or `revoked`."""

    line: int
    names: tuple[str, ...]
    key: PublicKey
    marker: str = ""

    @property
    def hashed(self) -> bool:
        return self.names[0].startswith("|")


@dataclass(frozen=True, slots=True)
class Parsed:
    """`entries` in the order of the file; `problems`: lines that ssh skips, and what a limit cut off."""

    entries: tuple[HostKey, ...]
    problems: tuple[Problem, ...]


_LINE = re.compile(r"(?:(@[^ \t]*+)[ \t]++)?+([^ \t]++)[ \t]++(.*+)", re.DOTALL)
_MARKERS = {"@cert-authority": "cert-authority", "@revoked": "revoked"}


def parse(data: bytes, path: bytes = b"") -> Parsed:
    """Every host key of the file; `path` is only named in problems. A broken line is a problem, never an end; never raises."""
    entries: list[HostKey] = []
    problems: list[Problem] = []
    for number, line in numbered(data, path, problems):
        found = _LINE.match(line)
        marker = (found[1] or "") if found else ""
        if marker and marker not in _MARKERS:
            problems.append(Problem(Where(path, number), "its marker is unknown; ssh skips the line"))
            continue
        key = read_public(found[3]) if found else None
        if found is None or key is None:
            problems.append(Problem(Where(path, number), "no host key can be read here; ssh skips the line"))
            continue
        names = (found[2],) if found[2].startswith("|") else tuple(n for n in found[2].split(",") if n)
        if names:
            entries.append(HostKey(number, names, key, _MARKERS.get(marker, "")))
    return Parsed(tuple(entries), tuple(problems))


def matches(entry: HostKey, host: str, port: int = DEFAULT_PORT) -> bool:
    """Whether the line speaks of this host: patterns with `*`, `?` and `!`, `[host]:port`, hashed names."""
    name = fold(host)
    if port != DEFAULT_PORT:
        name = f"[{name}]:{port}"
    if entry.hashed:
        return _hash_matches(entry.names[0], name)
    return host_matches(name, ",".join(entry.names)) == 1


def _hash_matches(hashed: str, name: str) -> bool:
    parts = hashed.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, digest = b64decode(parts[2], validate=True), b64decode(parts[3], validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(salt) == 20 and hmac.digest(salt, name.encode("utf-8", "surrogateescape"), "sha1") == digest


_BRACKETED = re.compile(r"\[([^\[\]]+)\]:([0-9]{1,5})")


def hosts(entries: Iterable[HostKey]) -> tuple[tuple[str, int], ...]:
    """Hosts and ports that are named in plain, each once, in order: no patterns, hashes, or revoked keys."""
    found: dict[tuple[str, int], None] = {}
    for entry in entries:
        if entry.hashed or entry.marker == "revoked":
            continue
        for name in entry.names:
            if name[0] in "!" or "*" in name or "?" in name:
                continue
            bracketed = _BRACKETED.fullmatch(name)
            found[(bracketed[1], int(bracketed[2])) if bracketed else (name, DEFAULT_PORT)] = None
    return tuple(found)
