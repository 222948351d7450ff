"""HAProxy: frontends hand on to the servers of their backends. Source: HAProxy's configuration manual."""

import re
from dataclasses import dataclass, field

from scanner.egress.forwarders.plugin import ANYWHERE, ENGINE, Forwarder, Program, Run, Text, target
from scanner.egress.forwarders.socat import ENGINE_SOCKETS
from scanner.model.egress import Permit
from scanner.model.launch import Place

_PATHS = ("/usr/local/etc/haproxy/haproxy.cfg", "/etc/haproxy/haproxy.cfg")


@dataclass(slots=True)
class _Section:
    kind: str
    name: str
    servers: list[tuple[Place, str]] = field(default_factory=list)
    uses: list[str] = field(default_factory=list)
    filters: bool = False
    chooses: Place | None = None


def _sections(text: Text) -> list[_Section]:
    result: list[_Section] = [_Section("global", "")]
    for number, raw in text.lines():
        words = raw.partition("#")[0].split()
        if not words:
            continue
        place = text.place(number)
        if words[0] in (
            "frontend",
            "backend",
            "listen",
            "defaults",
            "global",
            "resolvers",
            "peers",
            "userlist",
            "cache",
        ):
            result.append(_Section(words[0], words[1] if len(words) > 1 else ""))
            continue
        section = result[-1]
        if words[0] == "server" and len(words) > 2:
            section.servers.append((place, words[2]))
        elif words[0] in ("default_backend", "use_backend") and len(words) > 1:
            section.uses.append(words[1])
        elif words[0] == "bind" and len(words) > 1:
            section.servers.append((place, "bind " + words[1]))
        elif words[0] in ("http-request", "tcp-request", "block", "reqdeny") and any(
            w in ("deny", "reject", "block", "tarpit", "silent-drop") for w in words
        ):
            section.filters = True
        if any(w.startswith(("set-dst", "do-resolve")) for w in words) or "http_proxy" in words[1:2]:
            section.chooses = section.chooses or place
    return result


def read(run: Run) -> Forwarder | None:
    paths = run.options("-f") or list(_PATHS)
    config = next((found for path in paths if (found := run.file(path)) is not None), None)
    if config is None:
        if run.official and run.arguments is None and not any(run.covered(p) for p in paths):
            return run.nothing("the haproxy image holds no configuration, without which it does not start")
        return run.untold(
            f"its configuration {paths[0]} is not among the mounted files that can be read", resolves=False
        )
    sections = _sections(config)
    fronts = [s for s in sections if s.kind in ("frontend", "listen")]
    backends = {s.name: s for s in sections if s.kind in ("backend", "listen")}
    used: list[_Section] = []
    for front in fronts:
        used.append(front)
        for name in front.uses:
            used += (
                [backends[name]] if name in backends else list(backends.values()) if "%" in name or "[" in name else []
            )
    used = list({id(s): s for s in used}.values())
    listens = [("tcp", p) for s in fronts for _, server in s.servers if (p := _bound(server))]
    permits: list[Permit] = []
    place = config.place(1)
    filtered = any(s.filters for s in used)
    unclear = ""
    for section in used:
        if section.chooses is not None:
            words = "the client's request says where it connects to (set-dst)"
            if filtered:
                return run.untold(f"{words}, and rules may refuse some of it", listens=listens, origin=section.chooses)
            return run.result("proxy", ANYWHERE, f"haproxy: {words}", section.chooses, listens=listens, resolves=True)
        for at, server in section.servers:
            if server.startswith("bind "):
                continue
            place = at if not permits else place
            if server.endswith(ENGINE_SOCKETS):
                if filtered:
                    return run.untold(
                        "rules decide what of the engine's API passes",
                        ENGINE,
                        kind="engine",
                        listens=listens,
                        origin=at,
                        resolves=False,
                    )
                return run.result(
                    "engine", ENGINE, f"haproxy hands on to the engine's socket ({server})", at, listens=listens
                )
            address = re.sub(r"^(?:ipv[46]|tcp[46]?|quic[46])@", "", server)
            one = target(address) or target(address, listens[0][1] if listens else None)
            if one is None:
                unclear = f"where {server} leads cannot be read"
            else:
                permits.append(one)
    return run.relay(permits, "haproxy hands on to its servers", place, listens=listens, unclear=unclear)


def _bound(server: str) -> int:
    found = re.fullmatch(r"bind (?:[^,]*?):(\d{1,5})(?:[,-].*)?", server)
    return int(found[1]) if found and "127.0.0.1" not in server else 0


PLUGIN = Program(
    "haproxy", images=("haproxy", "haproxytech/haproxy-alpine"), commands=("haproxy",), read=read, official=("haproxy",)
)
