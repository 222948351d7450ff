"""Whom a client of SSH is told to connect to: user@host, URIs, hosts with ports (ssh(1), scp(1), sftp(1); misc.c)."""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from scanner.ssh import numbers


@dataclass(frozen=True, slots=True)
class Destination:
    """Of a word; what it does not say, or leaves to a variable, is None. `raw` is "" where the word is no such destination."""

    raw: str
    user: str | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None


def host_and_port(text: str) -> tuple[str, str | None] | None:
    """The host, out of its brackets, and what follows its colon; None where ssh sees no host (hpdelim, cleanhostname)."""
    if text.startswith("["):
        close = text.find("]")
        if close < 0:
            return None
        host, rest = text[: close + 1], text[close + 1 :]
    else:
        stop = min((at for at in (text.find(":"), text.find("/")) if at >= 0), default=len(text))
        host, rest = text[:stop], text[stop:]
    if rest and not rest.startswith(":"):
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host, rest[1:] if rest else None


_DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*\.?\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


def destination_of_uri(scheme: str, text: str) -> Destination | None:
    """ssh://[user@]host[:port][/path] (parse_uri); None where it is a broken one, a raw of "" where it is none."""
    prefix = f"{scheme}://"
    if not text.startswith(prefix):
        return Destination("")
    user: str | None = None
    rest = text[len(prefix) :]
    before, at, after = rest.partition("@")
    if at:
        name = before.partition(";")[0]
        user = _decoded(name) if name else None
        if user is None:
            return None
        rest = after
    place, slash, path = rest.partition("/") if not rest.startswith("[") else _after_bracket(rest)
    split = host_and_port(place)
    if split is None or not split[0] or not _DOMAIN.match(split[0]) or (split[1] == "" and slash):
        return None
    number = numbers.port(split[1]) if split[1] else None
    if split[1] and not number:
        return None
    decoded = _decoded(path) if slash and path else None
    if slash and path and decoded is None:
        return None
    return Destination(text, user, split[0].removesuffix("."), number, decoded)


def _after_bracket(rest: str) -> tuple[str, str, str]:
    close = rest.find("]")
    place, slash, path = rest[close + 1 :].partition("/")
    return rest[: close + 1] + place, slash, path


def _decoded(text: str) -> str | None:
    if _BAD_ESCAPE.search(text):
        return None
    return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape")).decode(
        "utf-8", "surrogateescape"
    )
