"""tinyproxy: an HTTP proxy whose filter is a deny list unless FilterDefaultDeny says otherwise.

Sources: tinyproxy.conf(5), tinyproxy(8); measured with 1.11.1: an expression is searched anywhere in the host's name, so that
without anchors `allowed.example.com` lets `allowed.example.com.evil.net` through; CONNECT goes to any port where there is no
ConnectPort, a plain request always does.
"""

import re
from collections.abc import Iterator

from scanner.egress.forwarders.lists import PLAIN, TUNNEL, Hosts, ListRule, decide
from scanner.egress.forwarders.plugin import Forwarder, Program, Run, Text
from scanner.egress.forwarders.regex import wildcards

_DIRECTIVE = re.compile(r"""\s*([A-Za-z]+)\s+(?:"([^"]*)"|(.*?))\s*""")
DEFAULT = "/etc/tinyproxy/tinyproxy.conf"


def directives(text: Text) -> Iterator[tuple[int, str, str]]:
    """(line, directive in lower case, value)."""
    for number, line in text.lines():
        found = _DIRECTIVE.fullmatch(line.partition("#")[0] if '"' not in line else line)
        if found is not None and not line.lstrip().startswith("#"):
            yield number, found[1].lower(), found[2] if found[2] is not None else found[3]


def _yes(value: str) -> bool:
    return value.lower() in ("yes", "on", "true", "1")


def read(run: Run) -> Forwarder | None:
    path = run.option("-c") or DEFAULT
    config = run.file(path) or (run.file("/etc/tinyproxy.conf") if run.option("-c") is None else None)
    if config is None:
        return run.untold(f"its configuration {path} is not among the mounted files that can be read")
    said: dict[str, tuple[int, str]] = {}
    connect: list[int] = []
    clients: list[str] = []
    first_connect = 0
    upstreams: list[tuple[int, str]] = []
    for number, name, value in directives(config):
        if name == "connectport":
            connect.append(int(value) if value.isdigit() and len(value) < 6 else 0)
            first_connect = first_connect or number
        elif name in ("allow", "deny"):
            clients.append(f"{name} {value}")
        elif name == "upstream":
            upstreams.append((number, value))
        else:
            said[name] = (number, value)
    port = said.get("port", (0, "8888"))[1]
    listens = [("tcp", int(port))] if port.isdigit() and len(port) < 6 else []
    if clients and all(re.fullmatch(r"allow (?:127\..*|::1|localhost)", c) or c.startswith("deny") for c in clients):
        return run.nothing("tinyproxy serves its own loopback alone (Allow)", config.place(1), listens=listens)
    tunnelled = ListRule(False, ways=TUNNEL, ports=_but(connect)) if connect else None
    rules = [tunnelled] if tunnelled else []
    if upstreams:
        number, value = upstreams[0]
        return run.untold(
            f"it hands requests on to another proxy ({value})", listens=listens, origin=config.place(number)
        )
    place = config.place(first_connect or 1)
    words = ["tinyproxy"]
    default = True
    if "filter" in said:
        number, where = said["filter"]
        place = config.place(number)
        found = run.file(where)
        deny = _yes(said.get("filterdefaultdeny", (0, "no"))[1])
        if found is None:
            if not deny:
                words.append(f"with a deny list ({where}) that is not among the mounted files")
                rules.append(ListRule(False, unsure=True))
            else:
                return run.untold(f"its filter {where} is not among the mounted files", listens=listens, origin=place)
        else:
            default = not deny
            listed, notes, line = _filter(found, said, allow=deny)
            rules += listed
            place = found.place(line)
            words.append(
                f"lets through what matches {found.file}" if deny else f"refuses only what matches {found.file}"
            )
            words += notes
    else:
        words.append("has no filter")
    if not connect:
        words.append("and without ConnectPort it tunnels to any port")
    return run.listed(decide(rules, default), " ".join(words), place, listens=listens)


def _but(ports: list[int]) -> tuple[tuple[int, int], ...]:
    """All ports but these."""
    result, at = [], 0
    for port in sorted(set(ports)):
        if port > at:
            result.append((at, port - 1))
        at = port + 1
    return (*result, (at, 65535)) if at <= 65535 else tuple(result)


def _filter(text: Text, said: dict[str, tuple[int, str]], *, allow: bool) -> tuple[list[ListRule], list[str], int]:
    """The filter's rules, what is to be said of them, and the first line that stands for them."""
    kind = said.get("filtertype", (0, ""))[1].lower()
    extended = kind == "ere" or (not kind and _yes(said.get("filterextended", (0, "no"))[1]))
    urls = _yes(said.get("filterurls", (0, "no"))[1]) or _yes(said.get("filterurloverhost", (0, "no"))[1])
    rules: list[ListRule] = []
    loose = line = 0
    for number, raw in text.lines():
        pattern = re.split(r"(?<!\\)#", raw)[0].strip()
        pattern = pattern.split()[0] if pattern else ""
        if not pattern:
            continue
        line = line or number
        rule, unanchored = _pattern(pattern, kind, extended, urls, allow)
        rules.append(rule)
        if unanchored and not loose:
            loose = number
    notes = []
    if allow and loose:
        line = loose
        notes.append(f"(line {loose} is not anchored: a longer name that contains it passes too)")
    return rules, notes, line or 1


def _pattern(pattern: str, kind: str, extended: bool, urls: bool, allow: bool) -> tuple[ListRule, bool]:
    if kind == "fnmatch":
        glob = re.sub(r"[?\[].*", "*", pattern).lower()
        return ListRule(allow, (Hosts((glob,)),), unsure=not allow and glob != pattern.lower()), False
    if urls:
        # The expression is searched in `http://host:port/path` or, of CONNECT, `host:port`; what a client writes behind a
        # host's name is his, so that only an expression that begins with the scheme and the whole name binds the name.
        found = re.match(r"\^https?(?:\?)?:(?:\\?/){2}((?:[A-Za-z0-9_-]|\\?\.)+)(?:\\?/|\$)", pattern)
        if found:
            return ListRule(allow, (Hosts((found[1].replace("\\", ""),)),), ways=PLAIN), False
        return ListRule(allow, unsure=not allow), True
    found_names = wildcards(pattern, extended=extended)
    if not allow and not found_names.exact:
        return ListRule(False, (Hosts(found_names.hosts),), unsure=True), False
    return ListRule(allow, (Hosts(found_names.hosts),)), found_names.unanchored


PLUGIN = Program(
    "tinyproxy",
    images=("tinyproxy", "docker-tinyproxy"),
    commands=("tinyproxy",),
    read=read,
    entrypoint=("tinyproxy",),
)
