"""Resolvers that ask others: a name that a client asks for leaves with them.

Sources: dnsmasq(8), CoreDNS's manual (forward, hosts, template), unbound.conf(5), named.conf(5), the documentation of pihole/pihole and
adguard/adguardhome.
"""

import re
from collections.abc import Iterable

from scanner.egress.forwarders.plugin import NAMES, Forwarder, Run, Text
from scanner.model.egress import Permit
from scanner.model.launch import Origin

LISTENS = (("udp", 53), ("tcp", 53))


def all_names(run: Run, why: str, origin: Origin | None = None) -> Forwarder:
    return run.result("dns", NAMES, why, origin, listens=LISTENS, resolves=True)


def some_names(run: Run, zones: Iterable[str], why: str, origin: Origin | None = None) -> Forwarder:
    hosts = tuple(dict.fromkeys(h for z in zones for h in (z.strip("."), f"*.{z.strip('.')}")))
    return run.result("dns", (Permit(hosts),), why, origin, listens=LISTENS, resolves=True)


def unknown(run: Run, what: str, origin: Origin | None = None) -> Forwarder:
    return run.untold(what, NAMES, kind="dns", listens=LISTENS, origin=origin)


def dnsmasq(run: Run) -> Forwarder | None:
    """`no-resolv` without a server asks nobody; `server=/zone/address` asks for that zone alone; `address=/#/` answers all itself."""
    options = [w.removeprefix("--") for w in run.words if w.startswith("--")]
    short = {"-S": "server", "-R": "no-resolv", "-A": "address"}
    for at, word in enumerate(run.words):
        if word in ("-R",):
            options.append("no-resolv")
        elif word[:2] in short and word[:2] != "-R":
            options.append(f"{short[word[:2]]}={word[2:] or (run.words[at + 1] if at + 1 < len(run.words) else '')}")
    texts: list[Text] = []
    main = run.option("-C", "--conf-file") or "/etc/dnsmasq.conf"
    found = run.file(main)
    texts += [found] if found else []
    texts += run.files_in(run.option("-7", "--conf-dir") or "/etc/dnsmasq.d")
    origin: Origin | None = None
    for text in texts:
        for number, raw in text.lines():
            line = (
                raw.partition("#")[0].strip()
                if not raw.lstrip().startswith(("address=/#", "server=/#"))
                else raw.strip()
            )
            if line:
                options.append(re.sub(r"\s*=\s*", "=", line))
                if line.startswith(("server", "no-resolv")):
                    origin = text.place(number)
    if not texts and run.arguments is None and run.covered(main):
        return unknown(run, f"its configuration {main} cannot be read")
    servers = [o.partition("=")[2] for o in options if o.startswith(("server=", "rev-server="))]
    general = [s for s in servers if not s.startswith("/") or s.startswith("/#/")]
    zones = [
        z for s in servers if s.startswith("/") and not s.endswith("/") for z in s.split("/")[1:-1] if z and z != "#"
    ]
    if "address=/#/" in [o[:11] for o in options] and not zones and not general:
        return run.nothing("dnsmasq answers every name itself (address=/#/)", origin, listens=LISTENS)
    if general or not any(o == "no-resolv" for o in options):
        return all_names(run, "dnsmasq asks other resolvers for what it does not know", origin)
    if zones:
        return some_names(run, zones, "dnsmasq asks other resolvers for some zones alone", origin)
    return run.nothing("dnsmasq asks no other resolver (no-resolv without a server)", origin, listens=LISTENS)


def coredns(run: Run) -> Forwarder | None:
    """A zone's block forwards if `forward` or `proxy` stands in it; the zone `.` is every name."""
    path = run.option("-conf", "--conf") or "/Corefile"
    config = (
        run.file(path)
        or run.file("/etc/coredns/Corefile")
        or run.file("/root/Corefile")
        or run.file("/home/nonroot/Corefile")
    )
    if config is None:
        hidden = run.covered(path) or run.covered("/etc/coredns/Corefile")
        if run.official and run.arguments is None and hidden is None:
            return run.nothing("coredns without a Corefile answers whoami alone", listens=LISTENS)
        return unknown(run, f"its Corefile {path} is not among the mounted files that can be read")
    zones: list[str] = []
    current: list[str] = []
    depth = 0
    origin: Origin | None = None
    filters = ""
    for number, raw in config.lines():
        words = raw.partition("#")[0].split()
        if not words:
            continue
        opens, closes = words[-1] == "{", words[0] == "}"
        if depth == 0 and opens:
            current = [re.sub(r"^(?:dns|tls|https|grpc)://|:\d+$", "", w.strip(",")) or "." for w in words[:-1]]
        elif depth == 1 and words[0] in ("forward", "proxy", "recursive", "unbound"):
            # `forward ZONE to…` is for names below ZONE
            below = words[1] if len(words) > 1 else "."
            zones += current if below == "." else [below]
            origin = origin or config.place(number)
        elif depth == 1 and words[0] in ("acl", "template", "import", "firewall"):
            filters = words[0]
        depth = max(0, depth + opens - closes)
    if not zones:
        return run.nothing("coredns asks no other resolver", config.place(1), listens=LISTENS)
    if filters:
        return unknown(run, f"its {filters} may answer or refuse some names itself", origin)
    if any(z in (".", "") for z in zones):
        return all_names(run, "coredns forwards every name", origin)
    return some_names(run, zones, "coredns forwards names of some zones alone", origin)


def unbound(run: Run) -> Forwarder | None:
    path = run.option("-c") or "/etc/unbound/unbound.conf"
    config = run.file(path) or run.file("/opt/unbound/etc/unbound/unbound.conf")
    if config is None:
        if run.covered(path) or run.covered("/opt/unbound/etc/unbound/unbound.conf"):
            return unknown(run, f"its configuration {path} cannot be read")
        return all_names(run, "unbound resolves every name")
    refused = next(
        (
            n
            for n, raw in config.lines()
            if re.match(r'\s*local-zone:\s*"?\."?\s+"?(?:static|refuse|deny|always_\w+)', raw)
        ),
        0,
    )
    if refused:
        passed = re.findall(r'^\s*local-zone:\s*"?([\w.-]+)"?\s+"?transparent', config.text, re.MULTILINE)
        zones = [z for z in passed if z.strip(".")]
        if zones:
            return some_names(run, zones, "unbound resolves some zones alone", config.place(refused))
        return run.nothing("unbound answers no name but its own", config.place(refused), listens=LISTENS)
    return all_names(run, "unbound resolves every name", config.place(1))


def named(run: Run) -> Forwarder | None:
    config = run.file(run.option("-c") or "/etc/bind/named.conf") or run.file("/etc/bind/named.conf.options")
    if config is None:
        return unknown(run, "its configuration is not among the mounted files that can be read")
    for number, raw in config.lines():
        if re.match(r"\s*recursion\s+no\s*;", raw):
            return run.nothing(
                "named does not resolve for others (recursion no)", config.place(number), listens=LISTENS
            )
    return all_names(run, "named resolves every name", config.place(1))


def always(run: Run) -> Forwarder | None:
    """Pi-hole, AdGuard Home: block lists take some names away, all others leave."""
    return all_names(run, f"{run.program} asks other resolvers for every name that it does not block")
