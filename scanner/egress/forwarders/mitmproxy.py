"""mitmproxy, mitmdump, mitmweb: by default a proxy to anywhere. `ignore_hosts` and `allow_hosts` say what is looked into, not
what passes. Source: mitmproxy's documentation (Proxy Modes, Options)."""

from scanner.egress.forwarders.plugin import ANYWHERE, NAMES, Forwarder, Program, Run, target


def read(run: Run) -> Forwarder | None:
    if run.arguments is None:
        return None
    modes = run.options("-m", "--mode") or ["regular"]
    port = run.option("-p", "--listen-port") or "8080"
    listens = [("tcp", int(port))] if port.isdigit() and len(port) < 6 else []
    settings = run.options("--set")
    filters = [s for s in settings if s.startswith(("block_list", "scripts"))] + run.options("-s", "--scripts")
    if filters:
        return run.untold(f"{filters[0]} may refuse some of it", listens=listens)
    permits = []
    for mode in modes:
        kind, _, rest = mode.partition(":")
        if kind in ("regular", "socks5", "transparent", "local", "wireguard"):
            permits += list(ANYWHERE)
        elif kind == "reverse":
            one = target(rest.partition("@")[0] if "@" in rest else rest)
            if one is None:
                return run.untold(f"where {mode} leads cannot be read", listens=listens)
            permits.append(one)
        elif kind == "upstream":
            return run.untold(f"it hands requests on to another proxy ({rest})", listens=listens)
        elif kind == "dns":
            return run.result("dns", NAMES, "mitmproxy resolves names", listens=[("udp", 53)], resolves=True)
        else:
            return run.untold(f"its mode {mode} is not known here", listens=listens)
    dynamic = permits[0] in ANYWHERE
    words = "mitmproxy passes on to anywhere" if dynamic else f"mitmproxy passes on to {permits[0].hosts[0]}"
    return run.result("proxy" if dynamic else "relay", permits, words, listens=listens, resolves=dynamic)


PLUGIN = Program("mitmproxy", images=("mitmproxy",), commands=("mitmdump", "mitmproxy", "mitmweb"), read=read)
