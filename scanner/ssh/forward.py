"""Port forwardings, as -L, -R, -D, -W and the Forward keywords write them (ssh(1), ssh_config(5); readconf.c: parse_forward)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from scanner.ssh import numbers

Kind = Literal["local", "remote", "dynamic", "remote-dynamic", "tun", "stdio"]

HOST_BYTES = 1024
PATH_BYTES = 107
"""The longest host and socket path that ssh takes."""

BAD = -1
VARIABLE = -2

_EXPANSION = re.compile(r"\$\{[^{}]*+\}|\$\([^()]*+\)|`[^`]*+`")
_SCANNED = re.compile(r"[\\:/$`]")


@dataclass(frozen=True, slots=True)
class Forward:
    """One forwarding. Of a host and port or a path, what is not said, or is a variable, is None.

    `listen_host` None is the loopback address, "" or "*" every address. For a tun `listen_port` and `target_port` are the
    numbers of the devices here and there, None for any. `raw` is as written, `option` what said it, such as -R or RemoteForward.
    """

    kind: Kind
    listen_host: str | None = None
    listen_port: int | None = None
    listen_path: str | None = None
    target_host: str | None = None
    target_port: int | None = None
    target_path: str | None = None
    raw: str = ""
    option: str = ""

    @property
    def listens_everywhere(self) -> bool:
        """Whether it asks to be reached from other machines too; the server's GatewayPorts may say no to a remote one."""
        return self.listen_host is not None and self.listen_host not in _LOOPBACK

    @property
    def listen(self) -> str:
        """Where it listens, in words."""
        if self.listen_path is not None:
            return self.listen_path
        host = "localhost" if self.listen_host is None else _bracketed(self.listen_host) or "*"
        return f"{host}:{_port(self.listen_port)}"

    @property
    def target(self) -> str:
        """Where it leads, in words; a dynamic one leads where its client asks."""
        if self.target_path is not None:
            return self.target_path
        if self.kind in ("dynamic", "remote-dynamic"):
            return "anywhere"
        return f"{_bracketed(self.target_host or '') or '?'}:{_port(self.target_port)}"


_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _port(port: int | None) -> str:
    return "?" if port is None else str(port)


def _port_of(text: str, variables: bool) -> int:
    """A port, BAD, or VARIABLE where `variables` are let stand."""
    value = numbers.port(text)
    if value is not None:
        return value
    return VARIABLE if variables and variable(text) else BAD


def variable(text: str) -> bool:
    """Whether a shell or ssh would put something in that is not known here."""
    return "$" in text or "`" in text


def fields(text: str, *, variables: bool = False) -> list[tuple[str, bool]] | None:
    r"""The up to four fields between the colons, and whether each holds a slash; None where ssh takes none of it.

    A field in brackets is taken as it is; elsewhere a backslash takes the next character as it is.
    """
    found: list[tuple[str, bool]] = []
    at, end = 0, len(text)
    while at < end and len(found) < 4:
        if text[at] == "[":
            close = text.find("]", at)
            if close < 0 or text[close + 1 : close + 2] not in ("", ":"):
                return None
            field = text[at + 1 : close]
            found.append((field, "/" in field))
            at = close + 2
            continue
        pieces: list[str] = []
        path = False
        for start, stop, mark in _marks(text, at, variables):
            pieces.append(text[start:stop])
            at = stop + 1
            if mark == "\\":
                if at >= end:
                    return None
                pieces.append(text[at])
                at += 1
            elif mark == "/":
                path = True
                pieces.append("/")
            elif mark == ":":
                break
        found.append(("".join(pieces), path))
    return found if at >= end else None


def _marks(text: str, at: int, variables: bool) -> Iterator[tuple[int, int, str]]:
    """Pieces of the text with the mark that ends each; "" at its end. What a shell would expand is passed over whole."""
    start = at
    while True:
        found = _SCANNED.search(text, at)
        if found is None:
            yield start, len(text), ""
            return
        stop = found.start()
        if text[stop] in "$`":
            expansion = _EXPANSION.match(text, stop) if variables else None
            at = expansion.end() if expansion else stop + 1
            continue
        yield start, stop, text[stop]
        start = at = stop + (2 if text[stop] == "\\" else 1)


def parse(spec: str, *, dynamic: bool, remote: bool, option: str = "", variables: bool = False) -> Forward | None:
    """The forwarding, or None where ssh refuses it. `variables`: the text may hold what a shell has yet to put in."""
    kind: Kind = ("remote-dynamic" if dynamic else "remote") if remote else "dynamic" if dynamic else "local"
    text = spec.lstrip(" \t\n\v\f\r")
    found = fields(text, variables=variables)
    if found is None:
        return None
    if variables and variable(text) and len(found) < 3 and not (dynamic and not remote) and not _paths(found):
        return Forward("remote" if remote else "local", raw=spec, option=option)  # the rest is in the variable
    forward = _placed(found, kind, spec, option, dynamic, variables)
    if forward is None or _too_long(forward):
        return None
    if not remote and forward.listen_path is None and forward.listen_port == 0:
        return None
    return forward


def _paths(found: list[tuple[str, bool]]) -> bool:
    return len(found) == 2 and found[1][1]


def _placed(
    found: list[tuple[str, bool]], kind: Kind, spec: str, option: str, dynamic: bool, variables: bool
) -> Forward | None:
    """What each field means by their count and by which of them are paths."""
    words = [field for field, _ in found]
    paths = [path for _, path in found]
    listen_host = listen_path = target_host = target_path = None
    listen_port = target_port = ""
    match len(words):
        case 1 if dynamic:
            if paths[0]:
                listen_path = words[0]
            else:
                listen_port = words[0]
        case 2 if dynamic and not paths[1]:
            listen_host, listen_port = words
        case 2 if paths[1]:  # even where none was asked for
            kind, dynamic = ("remote" if kind.startswith("remote") else "local"), False
            target_path = words[1]
            if paths[0]:
                listen_path = words[0]
            else:
                listen_port = words[0]
        case 3 if not dynamic and paths[0]:
            listen_path, target_host, target_port = words
        case 3 if not dynamic and paths[2]:
            listen_host, listen_port, target_path = words
        case 3 if not dynamic:
            listen_port, target_host, target_port = words
        case 4 if not dynamic:
            listen_host, listen_port, target_host, target_port = words
        case _:
            return None
    listens = BAD if listen_path is not None else _port_of(listen_port, variables)
    leads = BAD if target_path is not None or dynamic else _port_of(target_port, variables)
    if (listens == BAD and listen_path is None) or (leads in (BAD, 0) and target_path is None and not dynamic):
        return None
    return Forward(
        kind,
        listen_host,
        listens if listens >= 0 else None,
        listen_path,
        target_host,
        leads if leads >= 0 else None,
        target_path,
        spec,
        option,
    )


def _too_long(forward: Forward) -> bool:
    hosts = (forward.listen_host, forward.target_host)
    paths = (forward.listen_path, forward.target_path)
    return any(size(host) > HOST_BYTES for host in hosts if host) or any(
        size(path) > PATH_BYTES for path in paths if path
    )


def size(text: str) -> int:
    """Its length in bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
