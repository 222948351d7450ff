"""socat: what listens on one side reaches what is named on the other. Source: socat(1), ADDRESS SPECIFICATIONS and TYPES."""

import re

from scanner.egress.forwarders.plugin import EVERYWHERE, Forwarder, Program, Run
from scanner.model.egress import Permit

_LISTENERS = {
    "tcp-listen": "tcp", "tcp4-listen": "tcp", "tcp6-listen": "tcp", "tcp-l": "tcp", "tcp4-l": "tcp", "tcp6-l": "tcp",
    "udp-listen": "udp", "udp4-listen": "udp", "udp6-listen": "udp", "udp-l": "udp", "udp4-l": "udp", "udp6-l": "udp",
    "udp-recvfrom": "udp", "udp4-recvfrom": "udp", "udp6-recvfrom": "udp", "udp-recv": "udp", "udp4-recv": "udp",
    "openssl-listen": "tcp", "ssl-l": "tcp", "openssl-l": "tcp", "sctp-listen": "sctp", "sctp-l": "sctp",
}  # fmt: skip
_CONNECTORS = {
    "tcp": "tcp", "tcp4": "tcp", "tcp6": "tcp", "tcp-connect": "tcp", "tcp4-connect": "tcp", "tcp6-connect": "tcp",
    "udp": "udp", "udp4": "udp", "udp6": "udp", "udp-connect": "udp", "udp4-connect": "udp", "udp6-connect": "udp",
    "udp-sendto": "udp", "udp4-sendto": "udp", "udp6-sendto": "udp", "openssl": "tcp", "openssl-connect": "tcp", "ssl": "tcp",
    "sctp": "sctp", "sctp-connect": "sctp",
}  # fmt: skip
_UNIX_LISTENERS = frozenset(("unix-listen", "unix-l", "unix-recvfrom", "unix-recv", "abstract-listen", "abstract-l"))
_UNIX_CONNECTORS = frozenset(("unix-connect", "unix", "unix-client", "unix-sendto", "abstract-connect", "gopen"))
ENGINE_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock")
SERVICES = {"http": 80, "https": 443, "ssh": 22, "domain": 53, "docker": 2375}


def read(run: Run) -> Forwarder | None:
    if run.arguments is None:
        return None
    addresses = _addresses(run.words)
    if len(addresses) != 2 or run.unclear:
        return run.untold("its addresses cannot be read", EVERYWHERE, kind="relay", resolves=False)
    (first, _), (second, _) = (_kind(a) for a in addresses)
    for listening, other in ((addresses[0], addresses[1]), (addresses[1], addresses[0])):
        kind, rest = _kind(listening)
        if kind not in _LISTENERS and kind not in _UNIX_LISTENERS:
            continue
        listens = [(_LISTENERS[kind], port)] if kind in _LISTENERS and (port := _port(rest)) else []
        sockets = [rest.split(",")[0]] if kind in _UNIX_LISTENERS and not kind.startswith("abstract") else []
        return _towards(run, other, listens, sockets)
    return run.nothing(f"socat joins {first} and {second}, on which nobody can call")


def _addresses(words: tuple[str, ...]) -> list[str]:
    result = []
    at = 0
    while at < len(words):
        word = words[at]
        if word.startswith("-") and word not in ("-",) and not re.match(r"-,", word):
            if word in ("-b", "-t", "-T", "-L", "-W", "-lp", "-lm", "-lf", "-r", "-R") and at + 1 < len(words):
                at += 1
        else:
            result.append(word)
        at += 1
    return result


def _kind(address: str) -> tuple[str, str]:
    kind, _, rest = address.partition(":")
    if "," in kind:
        kind, _, rest = address.partition(",")
    return kind.lower(), rest


def _port(text: str) -> int:
    port = text.split(",", maxsplit=1)[0].rpartition(":")[2]
    return int(port) if port.isdigit() and len(port) < 6 else SERVICES.get(port, 0)


def _towards(run: Run, address: str, listens: list[tuple[str, int]], sockets: list[str]) -> Forwarder:
    kind, rest = _kind(address)
    target = rest.split(",")[0]
    if kind in _CONNECTORS:
        host, port = target.rpartition(":")[0].strip("[]"), _port(target)
        if not host or not port:
            return run.untold(f"where {address} leads cannot be read", EVERYWHERE, kind="relay", resolves=False)
        permit = Permit((host,), _CONNECTORS[kind], ((port, port),))
        words = f"socat passes what it is sent on to {host}:{port}"
        return run.result("relay", (permit,), words, listens=listens, unix_sockets=sockets)
    if kind in _UNIX_CONNECTORS:
        if target.endswith(ENGINE_SOCKETS):
            words = f"socat passes what it is sent on to the engine's socket {target}"
            return run.result("engine", (Permit(("engine",)),), words, listens=listens, unix_sockets=sockets)
        return run.untold(
            f"who answers on the socket {target} is not known",
            EVERYWHERE,
            kind="relay",
            listens=listens,
            resolves=False,
        )
    if kind in ("socks4", "socks4a", "proxy", "proxy-connect", "socks5-connect"):
        parts = target.split(":")
        return run.untold(f"it goes on through the proxy {parts[0]}", kind="relay", listens=listens, resolves=False)
    if kind in ("exec", "system", "shell"):
        words = f"socat runs {target.split(' ')[0]} for whoever calls"
        if re.match(r"\S*\b(?:ba|da|a|z)?sh\b", target):
            return run.result(
                "relay", EVERYWHERE, f"{words}: a shell", listens=listens, unix_sockets=sockets, resolves=True
            )
        return run.untold(words, EVERYWHERE, kind="relay", listens=listens)
    if kind in ("tun", "interface", "ip-datagram", "ip-sendto"):
        return run.untold(f"where {address} leads cannot be read", EVERYWHERE, kind="relay", listens=listens)
    return run.nothing(f"socat passes what it is sent on to {kind or 'its own output'} alone", listens=listens)


PLUGIN = Program(
    "socat",
    images=("socat", "docker-socat"),
    commands=("socat", "socat1"),
    read=read,
    entrypoint=("socat",),
)
