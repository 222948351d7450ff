"""Dante: a SOCKS server whose pass and block rules are read in order; what none matches is blocked. Source: sockd.conf(5)."""

import re

from scanner.egress.forwarders.lists import Hosts, ListRule, decide
from scanner.egress.forwarders.plugin import Forwarder, Program, Run
from scanner.model.launch import Place

_RULE = re.compile(r"\b(client\s+|socks\s+)?(pass|block)\s*\{([^}]*)\}")
_PORT = {"http": 80, "https": 443, "ssh": 22, "domain": 53, "smtp": 25}


def read(run: Run) -> Forwarder | None:
    path = run.option("-f") or "/etc/sockd.conf"
    config = run.file(path) or run.file("/etc/danted.conf") or run.file("/etc/dante.conf")
    if config is None:
        return run.untold(
            f"its configuration {path} is not among the mounted files that can be read", listens=[("tcp", 1080)]
        )
    text = "\n".join(line.partition("#")[0] for line in config.text.splitlines())
    ports = [int(p) for p in re.findall(r"\binternal\s*:.*?\bport\s*=\s*(\d{1,5})", text)]
    socks = [m for m in _RULE.finditer(text) if (m[1] or "socks").split()[0] == "socks"]
    rules: list[ListRule] = []
    place: Place | None = None
    for found in socks:
        allow = found[2] == "pass"
        commands = re.search(r"\bcommand\s*:\s*([a-z ]+)", found[3])
        if commands and "connect" not in commands[1].split():
            continue
        to = re.search(r"\bto\s*:\s*(\S+)(?:\s+port\s*(=|eq|ge|gt|le|lt|ne)?\s*(\w+)(?:\s*-\s*(\w+))?)?", found[3])
        unsure = bool(re.search(r"\b(?:user|group|socksmethod|method)\s*:\s*(?!none)", found[3])) and allow
        hosts: tuple[Hosts, ...] = ()
        spans = None
        if to:
            host = to[1]
            hosts = () if host in ("0/0", "0.0.0.0/0", "::/0", "0.0.0.0/0.0.0.0") else (Hosts((host.lower(),)),)
            spans = _ports(to[2] or "=", to[3], to[4]) if to[3] else None
        rules.append(ListRule(allow, hosts, spans, unsure=unsure))
        if allow and place is None:
            place = config.place(text.count("\n", 0, found.start()) + 1)
    return run.listed(
        decide(rules, False),
        "dante connects to what its pass rules name",
        place or config.place(1),
        listens=[("tcp", p) for p in ports or (1080,)],
        unsaid="it asks for a user",
    )


def _ports(operator: str, first: str, last: str | None) -> tuple[tuple[int, int], ...]:
    low = int(first) if first.isdigit() else _PORT.get(first, 0)
    high = (int(last) if last and last.isdigit() else _PORT.get(last or "", low)) if last else low
    if low > 65535 or high > 65535:
        return ((0, 65535),)
    match operator:
        case "ge":
            return ((low, 65535),)
        case "gt":
            return ((min(low + 1, 65535), 65535),)
        case "le":
            return ((0, low),)
        case "lt":
            return ((0, max(low - 1, 0)),)
        case "ne":
            return ((0, max(low - 1, 0)), (min(low + 1, 65535), 65535))
    return ((low, max(low, high)),)


PLUGIN = Program(
    "dante",
    images=("dante", "dante-server", "wernight/dante", "vimagick/dante"),
    commands=("sockd", "danted"),
    read=read,
)
