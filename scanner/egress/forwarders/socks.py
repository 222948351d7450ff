"""Proxies without a list of their own: whoever reaches one connects to anywhere. microsocks, gost, pproxy, chisel and their like.

Sources: the READMEs of microsocks, gost, pproxy, chisel, serjs/go-socks5-proxy, proxy.py; ncat(1).
"""

import re

from scanner.egress.forwarders.plugin import ANYWHERE, EVERYWHERE, Forwarder, Program, Run, target
from scanner.egress.forwarders.regex import wildcards
from scanner.model.egress import Permit

_PORTS = {
    "microsocks": 1080,
    "pproxy": 8080,
    "proxy": 8899,
    "hpts": 8080,
    "polipo": 8123,
    "ss-server": 8388,
    "ssserver": 8388,
}


def read(run: Run) -> Forwarder | None:
    path = run.container.image.value if run.container.image is not None else ""
    if run.arguments is None and "socks5-proxy" in path:
        return _go_socks(run)
    number = run.option("-p", "--port", "-port") or ""
    port = int(number) if number.isdigit() and len(number) < 6 else _PORTS.get(run.words[0] if run.words else "", 1080)
    words = "it connects to anywhere for whoever asks"
    return run.result("proxy", ANYWHERE, words, listens=[("tcp", port)], resolves=True)


def _go_socks(run: Run) -> Forwarder:
    """serjs/go-socks5-proxy: ALLOWED_DEST_FQDN is an expression that is searched in the name."""
    number = run.env("PROXY_PORT") or "1080"
    listens = [("tcp", int(number))] if number.isdigit() and len(number) < 6 else []
    pattern = run.env("ALLOWED_DEST_FQDN")
    if pattern:
        found = wildcards(pattern, extended=True)
        words = f"it connects to names that match ALLOWED_DEST_FQDN ({pattern})"
        permits = (Permit(found.hosts, "tcp"),)
        return run.result("proxy", permits, words, run.env_origin("ALLOWED_DEST_FQDN"), listens=listens, resolves=True)
    return run.result("proxy", ANYWHERE, "it connects to anywhere for whoever asks", listens=listens, resolves=True)


def read_gost(run: Run) -> Forwarder | None:
    if run.arguments is None:
        return None
    if run.option("-C"):
        return run.untold("its configuration file is not read")
    if run.options("-F"):
        return run.untold(f"it hands requests on to another proxy ({run.options('-F')[0]})")
    listens: list[tuple[str, int]] = []
    permits: list[Permit] = []
    resolves = False
    services = run.options("-L") + [w[3:] for w in run.words if w.startswith("-L=")]
    for service in services:
        found = re.fullmatch(r"(?:([a-z0-9+]+)://)?(?:[^@/]*@)?[^:/]*:(\d{1,5})(?:/([^?]*))?(?:\?.*)?", service)
        if found is None:
            return run.untold(f"what it does for {service[:60]} cannot be read")
        scheme, number, there = found[1] or "auto", int(found[2]), found[3]
        listens.append(("udp" if scheme == "udp" else "tcp", number))
        if "bypass=" in service:
            return run.untold("its bypass may refuse some of it", listens=listens)
        if there:
            one = target(there)
            if one is None:
                return run.untold(f"where {there[:60]} leads cannot be read", listens=listens)
            permits.append(one)
        else:
            permits += ANYWHERE
            resolves = True
    words = "gost connects to anywhere for whoever asks" if resolves else "gost hands on to fixed places"
    return run.result(
        "proxy" if resolves else "relay", dict.fromkeys(permits), words, listens=listens, resolves=resolves
    )


def read_ncat(run: Run) -> Forwarder | None:
    if not run.flag("-l", "--listen", "-lk", "-kl", "-lkp", "-klp"):
        return run.nothing("ncat calls, and does not listen")
    kind = run.option("--proxy-type")
    numbers = [int(w) for w in run.words if w.isdigit() and len(w) < 6]
    listens = [("tcp", numbers[-1])] if numbers else []
    if kind:
        return run.result("proxy", ANYWHERE, f"ncat is a proxy ({kind})", listens=listens, resolves=True)
    command = run.option("-c", "--sh-exec", "-e", "--exec")
    if command is None:
        return run.nothing("ncat listens and hands nothing on", listens=listens)
    found = re.search(r"\b(?:nc|ncat|netcat)\s+(?:-\S+\s+)*(\S+)\s+(\d{1,5})", command)
    if found:
        one = target(f"{found[1]}:{found[2]}")
        return run.relay([one] if one else [], f"ncat hands on to {found[1]}:{found[2]}", listens=listens)
    if re.match(r"\S*\b(?:ba|da|a)?sh\b", command):
        return run.result("relay", EVERYWHERE, "ncat gives whoever calls a shell", listens=listens, resolves=True)
    return run.untold(
        f"what ncat runs for whoever calls ({command[:60]}) is not known", EVERYWHERE, kind="relay", listens=listens
    )


def read_chisel(run: Run) -> Forwarder | None:
    if run.words[:1] != ("server",):
        return run.nothing("chisel's client takes no calls") if run.words[:1] == ("client",) else None
    number = run.option("-p", "--port") or "8080"
    listens = [("tcp", int(number))] if number.isdigit() and len(number) < 6 else []
    if run.option("--authfile", "--auth"):
        return run.untold("it asks for a user and a password", listens=listens)
    return run.result(
        "proxy", ANYWHERE, "chisel's server connects to anywhere for its clients", listens=listens, resolves=True
    )


PLUGIN = Program(
    "socks",
    images=(
        "microsocks", "go-socks5-proxy", "socks5-proxy", "socks5", "docker-socks5", "pproxy", "proxy.py", "polipo", "goproxy",
        "docker-proxy.py", "shadowsocks-libev", "shadowsocks", "socks-proxy",
    ),
    commands=("microsocks", "pproxy", "hpts", "polipo", "ss-server", "ssserver", "goproxy"),
    read=read,
)  # fmt: skip
