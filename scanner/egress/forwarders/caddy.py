"""Caddy: `reverse_proxy` hands on to fixed places, `forward_proxy` (a plug-in) to what its client names.

Sources: Caddy's documentation of the Caddyfile and reverse_proxy; the README of caddyserver/forwardproxy: its `acl` is read in
order, private and loopback addresses are refused after it, everything else is allowed.
"""

import re

from scanner.egress.firewall.space import EVERY_PORT, spans, without
from scanner.egress.forwarders.lists import Hosts, ListRule, decide
from scanner.egress.forwarders.plugin import ANYWHERE, Forwarder, Program, Run, Text, target
from scanner.model.egress import Permit
from scanner.model.launch import Place

_PRIVATE = ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fe80::/10")


def read(run: Run) -> Forwarder | None:
    words = run.words
    if words[:1] == ("file-server",) or words[:1] == ("respond",):
        return run.nothing(f"caddy {words[0]} hands nothing on")
    if words[:1] == ("reverse-proxy",):
        permits = [p for t in run.options("--to", "-t") if (p := target(t, 80)) is not None]
        return run.relay(permits, "caddy hands on to --to", unclear="" if permits else "where it leads cannot be read")
    path = run.option("--config", "-c") or "/etc/caddy/Caddyfile"
    config = run.file(path)
    if config is None:
        hidden = run.covered(path)
        if run.official and run.arguments is None and hidden is None:
            return run.nothing("caddy serves the files of its image alone")
        return run.untold(f"its configuration {path} is not among the mounted files that can be read", resolves=False)
    if config.text.lstrip().startswith("{") and '"apps"' in config.text:
        return run.untold("its configuration is JSON, which is not read", origin=config.place(1))
    return _read(run, config)


def _read(run: Run, config: Text) -> Forwarder | None:
    permits: list[Permit] = []
    unclear = ""
    place: Place | None = None
    stack: list[str] = []
    rules: list[ListRule] | None = None
    ports: tuple[tuple[int, int], ...] | None = None
    upstream = ""
    forward: Place | None = None
    for number, raw in config.lines():
        line = raw.partition(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        words = line.split()
        opens = words[-1] == "{"
        words = words[:-1] if opens else words
        inside = stack[-1] if stack else ""
        if line == "}":
            if stack:
                stack.pop()
            continue
        if words:
            name = words[0]
            here = config.place(number)
            if name == "reverse_proxy" or (inside == "reverse_proxy" and name == "to"):
                place = place or here
                for word in words[1:]:
                    if word.startswith(("/", "@", "*")):
                        continue
                    one = target(word, 80)
                    if one is not None:
                        permits.append(one)
                    elif re.search(r"\{(?:http\.request\.|host|header|query|path|uri|args)", word):
                        permits += list(ANYWHERE)
                        forward = forward or here
                    else:
                        unclear = f"where {word} leads cannot be read"
            elif inside == "reverse_proxy" and name == "dynamic":
                unclear = "it looks its servers up"
            elif name in ("php_fastcgi", "import"):
                unclear = unclear or (
                    f"what {words[1]} holds is not read" if name == "import" and len(words) > 1 else ""
                )
            elif name == "forward_proxy":
                forward, rules = here, []
            elif inside == "acl" and name in ("allow", "deny") and rules is not None:
                rules += _acl(name == "allow", words[1:])
            elif inside == "acl" and name in ("allow_file", "deny_file") and rules is not None:
                rules.append(ListRule(name == "allow_file", unsure=True))
            elif inside == "forward_proxy" and name == "ports":
                ports = tuple((int(w), int(w)) for w in words[1:] if w.isdigit() and len(w) < 6)
            elif inside == "forward_proxy" and name == "upstream" and len(words) > 1:
                upstream = words[1]
        if opens:
            stack.append(words[0] if words else "")
    if rules is not None and forward is not None:
        if upstream:
            return run.untold(f"it hands requests on to another proxy ({upstream})", origin=forward)
        if ports:
            closed = _but(ports)
            rules = [ListRule(False, ports=closed), *rules]
        allowed = decide([*rules, ListRule(False, (Hosts(_PRIVATE),))], True)
        return run.listed(allowed, "caddy's forward_proxy lets through what its acl allows", forward)
    if forward is not None:
        return run.result("proxy", permits, "caddy connects to what its client names", forward, resolves=True)
    if not permits and not unclear:
        return run.nothing("caddy hands nothing on", config.place(1))
    return run.relay(permits, "caddy hands on to fixed places", place, unclear=unclear)


def _but(ports: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return without(EVERY_PORT, spans(ports))


def _acl(allow: bool, hosts: list[str]) -> list[ListRule]:
    return [ListRule(allow) if "all" in hosts else ListRule(allow, (Hosts(tuple(h.lower() for h in hosts)),))]


PLUGIN = Program("caddy", images=("caddy",), commands=("caddy",), read=read, official=("caddy",))
