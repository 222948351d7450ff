"""squid: http_access lines in order, each with access lists that must all match; the opposite of the last one is the default.

Sources: squid's configuration reference (acl, http_access, http_port, cache_peer), and its FAQ on access controls.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from scanner.egress.firewall.space import EVERY_PORT, Spans, common, spans, without
from scanner.egress.forwarders.lists import BOTH, PLAIN, TUNNEL, Hosts, ListRule, decide
from scanner.egress.forwarders.plugin import Forwarder, Program, Run, Text
from scanner.egress.forwarders.regex import wildcards
from scanner.egress.permits import address_range
from scanner.model.launch import Place

DEFAULT = "/etc/squid/squid.conf"
DEPTH = 8


@dataclass(slots=True)
class _Acl:
    kind: str
    values: list[str] = field(default_factory=list)
    unread: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    place: Place
    words: tuple[str, ...]


def _joined(text: Text) -> Iterator[tuple[int, str]]:
    """Lines that say something, continued ones as one, with the number of their first."""
    held, first = "", 0
    for number, raw in text.lines():
        line = held + raw.strip()
        first = first or number
        if line.endswith("\\"):
            held = line[:-1] + " "
            continue
        if line and not line.startswith("#"):
            yield first, line
        held, first = "", 0


def _lines(run: Run, text: Text, depth: int = 0) -> Iterator[_Line]:
    """Directives, with what `include` names where it is mounted."""
    for number, line in _joined(text):
        words = tuple(w.strip('"') if not w.startswith("#") else w for w in re.findall(r'"[^"]*"|\S+', line))
        if "#" in (w[:1] for w in words[1:]):
            words = words[: next(i for i, w in enumerate(words) if i and w.startswith("#"))]
        yield _Line(text.place(number), words)
        if words[0] == "include" and depth < DEPTH:
            for path in words[1:]:
                for one in _included(run, path):
                    yield from _lines(run, one, depth + 1)


def _included(run: Run, path: str) -> list[Text]:
    if "*" in path:
        folder, _, pattern = path.rpartition("/")
        return run.files_in(folder, pattern.lstrip("*"))
    found = run.file(path)
    return [found] if found is not None else []


def read(run: Run) -> Forwarder | None:
    path = run.option("-f") or DEFAULT
    config = run.file(path) or (run.file("/etc/squid3/squid.conf") if run.option("-f") is None else None)
    if config is None:
        return run.untold(
            f"its configuration {path} is not among the mounted files that can be read", listens=(("tcp", 3128),)
        )
    acls: dict[str, _Acl] = {
        "all": _Acl("src", ["all"]),
        "localhost": _Acl("src", ["127.0.0.1/32", "::1"]),
        "to_localhost": _Acl("dst", ["127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128"]),
        "to_linklocal": _Acl("dst", ["169.254.0.0/16", "fe80::/10"]),
        "manager": _Acl("never"),
        "CONNECT": _Acl("method", ["CONNECT"]),
    }
    rules: list[ListRule] = []
    listens: list[tuple[str, int]] = []
    notes: list[str] = []
    last: bool | None = None
    place = config.place(1)
    parents: list[_Line] = []
    for line in _lines(run, config):
        words = line.words
        match words[0]:
            case "acl" if len(words) >= 3:
                _acl(run, acls, words)
            case "http_access" if len(words) >= 2 and words[1] in ("allow", "deny"):
                allow = words[1] == "allow"
                made = _rule(acls, words[2:], allow, notes)
                rules += made
                last = allow
                if allow and made:
                    place = line.place
            case "http_port" | "https_port" if len(words) >= 2:
                port = words[1].rpartition(":")[2]
                if port.isdigit() and len(port) < 6 and not words[1].startswith("127."):
                    listens.append(("tcp", int(port)))
            case "cache_peer" if len(words) >= 3 and words[2] == "parent":
                parents.append(line)
    if last is None:
        return run.nothing("squid without http_access lines refuses everything", place, listens=listens)
    why = f"squid lets through what http_access allows ({place.file}:{place.line})"
    if parents:
        return run.untold(
            f"it hands requests on to another proxy ({parents[0].words[1]})", listens=listens, origin=parents[0].place
        )
    unsaid = "; ".join(dict.fromkeys(notes))
    return run.listed(decide(rules, not last), why, place, listens=listens, unsaid=unsaid)


def _acl(run: Run, acls: dict[str, _Acl], words: tuple[str, ...]) -> None:
    name, kind = words[1], words[2]
    acl = acls.setdefault(name, _Acl(kind))
    if acl.kind == "never":
        return
    for value in words[3:]:
        if value.startswith("/") and kind not in ("urlpath_regex", "url_regex"):
            found = run.file(value)
            if found is None:
                acl.unread = value
                continue
            for _, raw in found.lines():
                entry = raw.strip()
                if entry and not entry.startswith("#"):
                    acl.values.append(
                        entry.split("#")[0].split()[0] if kind != "dstdom_regex" else entry.split(" #")[0]
                    )
        else:
            acl.values.append(value)


def _rule(acls: Mapping[str, _Acl], names: tuple[str, ...], allow: bool, notes: list[str]) -> list[ListRule]:
    """The rule of one line; none where it never matches."""
    hosts: list[Hosts] = []
    ports: Spans = EVERY_PORT
    ways = BOTH
    unsure = False
    for said in names:
        negated, name = said.startswith("!"), said.removeprefix("!")
        acl = acls.get(name)
        if acl is None:
            notes.append(f"the acl {name} is not told")
            unsure = True
            continue
        if acl.unread:
            notes.append(f"{acl.unread} is not among the mounted files")
            unsure = True
            if acl.values == []:
                continue
        values = [v for v in acl.values if not v.startswith("-")]
        match acl.kind:
            case "src":
                answer = _client(values)
                if answer is None:
                    notes.append(f"whether the sandbox is one of {name} is not told")
                    unsure = True
                elif answer == negated:
                    return []
            case "never" | "localip" | "myip":
                if not negated:
                    return []
            case "port":
                found = spans(_ports(values))
                ports = common(ports, without(EVERY_PORT, found) if negated else found)
            case "method":
                ways &= _ways(values, negated, allow)
            case "dstdomain":
                found_hosts = tuple(v for v in values if address_range(v) is None)
                hosts.append(Hosts((*found_hosts, *(v for v in values if address_range(v) is not None)), negated))
            case "dst":
                if any(address_range(v.replace("all", "0.0.0.0/0")) is None for v in values):
                    notes.append(f"the addresses of {name} are not read")
                    unsure = True
                plain_values = ["0.0.0.0/0" if v == "all" else v for v in values]
                if "0.0.0.0/0" not in plain_values:
                    hosts.append(Hosts(tuple(plain_values), negated))
                elif negated:
                    return []
            case "dstdom_regex" | "url_regex":
                patterns = [wildcards(v, extended=True) for v in values]
                if acl.kind == "url_regex":
                    if not allow or negated:
                        notes.append(f"what {name} refuses of a URL is the client's choice")
                        unsure = True
                    continue  # what a client writes into a URL is his
                if negated or (not allow and not all(p.exact for p in patterns)):
                    unsure = True
                    notes.append(f"the expressions of {name} cannot be judged here")
                hosts.append(Hosts(tuple(h for p in patterns for h in p.hosts), negated))
            case "ssl::server_name":
                hosts.append(Hosts(tuple(values), negated))
            case "proto" | "urlpath_regex" | "browser" | "req_header" | "time" | "maxconn":
                # the client chooses, or waits
                if not allow:
                    unsure = False
                    return []
            case "proxy_auth" | "proxy_auth_regex" | "external" | "ident":
                notes.append(f"whether the sandbox has the credentials that {name} asks for is not told")
                unsure = True
            case _:
                notes.append(f"the acl {name} ({acl.kind}) cannot be judged here")
                unsure = True
    return [ListRule(allow, tuple(hosts), ports, ways, unsure)] if ways and ports else []


def _ways(values: list[str], negated: bool, allow: bool) -> int:
    """Tunnels, plain requests or both; of the plain methods a part is as good as all where they are allowed, and as none
    where they are refused."""
    methods = {v.upper() for v in values}
    tunnel, plain = TUNNEL if "CONNECT" in methods else 0, bool(methods - {"CONNECT", "PURGE", "TRACE"})
    if negated:
        return (TUNNEL & ~tunnel) | (PLAIN if allow or not plain else 0)
    return tunnel | (PLAIN if plain and allow else 0)


def _client(values: list[str]) -> bool | None:
    """Whether a container's address is one of these: of whole private ranges yes, of loopback no, of a part of one maybe."""
    if "all" in values or "0.0.0.0/0" in values:
        return True
    found = [r for v in values if (r := address_range(v)) is not None]
    lengths = spans(found)
    private = [r for v in ("172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8") if (r := address_range(v)) is not None]
    inside = [common(lengths, (one,)) == (one,) for one in private]
    if inside[0] and (inside[1] or inside[2]):
        return True
    if not any(common(lengths, (one,)) for one in private):
        return False
    return None


def _ports(values: list[str]) -> Iterator[tuple[int, int]]:
    for value in values:
        found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", value)
        if found:
            yield int(found[1]), int(found[2] or found[1])


PLUGIN = Program(
    "squid",
    images=("squid", "docker-squid", "squid-proxy"),
    commands=("squid", "squid3"),
    read=read,
    official=("ubuntu/squid", "sameersbn/squid"),
)
